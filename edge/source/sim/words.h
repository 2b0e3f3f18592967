/* A line of a scenario as words, taken one by one; the first error stays and names file, line and
 * word. */
#ifndef VIGIA_SIM_WORDS_H
#define VIGIA_SIM_WORDS_H

#include "vigia/err.h"
#include "vigia/span.h"

#include <stdint.h>

struct vgi_words {
    struct vg_span rest;
    const char *name;
    int line;
    enum vg_err failed;
    struct vg_error *err;
};

/* Records the first error; later ones are ignored. Returns false always, so that `return
 * vgi_words_fail(…)` reads well. */
bool vgi_words_fail(struct vgi_words *w, enum vg_err code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The next word, empty at the end of the line. */
struct vg_span vgi_words_next(struct vgi_words *w);
/* Takes the next word if it is this one. */
bool vgi_words_take(struct vgi_words *w, const char *word);
/* The next word as a number (at most a million either way), a duration in ms (> 0 and <= 366 d, or
 * >= 0 where `zero`), an integer of lo..hi. */
bool vgi_words_number(struct vgi_words *w, const char *what, double *out);
bool vgi_words_duration(struct vgi_words *w, const char *what, bool zero, int64_t *out);
bool vgi_words_integer(struct vgi_words *w, const char *what, int64_t lo, int64_t hi, int64_t *out);

#endif
