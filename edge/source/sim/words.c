/* Words, numbers and durations of a scenario line. */
#include "words.h"

#include "vigia/conf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define SHOWN_WORD_MAX  40
#define NUMBER_MAX      1e6 /* sums of two stay finite, and no sensor says more */
#define DURATION_MAX_MS (366LL * 24 * 3600 * 1000)

bool vgi_words_fail(struct vgi_words *w, enum vg_err code, const char *fmt, ...)
{
    char text[VG_ERROR_TEXT_MAX];
    va_list ap;

    if (w->failed != VG_OK) {
        return false;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    w->failed = vg_fail(w->err, code, "%s:%d: %s", w->name, w->line, text);
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

struct vg_span vgi_words_next(struct vgi_words *w)
{
    struct vg_span word;

    while (w->rest.len > 0 && is_blank(w->rest.at[0])) {
        w->rest = vg_span(w->rest.at + 1, w->rest.len - 1);
    }
    word = vg_span(w->rest.at, 0);
    while (word.len < w->rest.len && !is_blank(w->rest.at[word.len])) {
        word.len++;
    }
    w->rest = vg_span(w->rest.at + word.len, w->rest.len - word.len);
    return word;
}

bool vgi_words_take(struct vgi_words *w, const char *word)
{
    struct vgi_words ahead = *w;

    if (!vg_span_eq(vgi_words_next(&ahead), vg_span_str(word))) {
        return false;
    }
    w->rest = ahead.rest;
    return true;
}

static bool not_accepted(struct vgi_words *w, const char *what, struct vg_span word,
                         const char *accepted)
{
    return vgi_words_fail(w, VG_E_INVALID, "%s: '%.*s': accepted: %s", what,
                          (int)(word.len < SHOWN_WORD_MAX ? word.len : SHOWN_WORD_MAX), word.at,
                          accepted);
}

bool vgi_words_number(struct vgi_words *w, const char *what, double *out)
{
    struct vg_span word = vgi_words_next(w);

    return (vg_span_to_double(word, out) && fabs(*out) <= NUMBER_MAX) ||
           not_accepted(w, what, word, "a number from -1000000 to 1000000");
}

bool vgi_words_duration(struct vgi_words *w, const char *what, bool zero, int64_t *out)
{
    struct vg_span word = vgi_words_next(w);
    char text[SHOWN_WORD_MAX];
    int64_t ms = 0;

    if (!vg_span_copy(word, text, sizeof(text)) ||
        vg_conf_parse_duration(text, &ms, NULL) != VG_OK || ms > DURATION_MAX_MS ||
        (ms == 0 && !zero)) {
        return not_accepted(w, what, word,
                            zero ? "0s to 366d, such as 250ms or 10s"
                                 : "1ms to 366d, such as 250ms or 10s");
    }
    *out = ms;
    return true;
}

bool vgi_words_integer(struct vgi_words *w, const char *what, int64_t lo, int64_t hi, int64_t *out)
{
    struct vg_span word = vgi_words_next(w);
    char accepted[80];
    long long value = 0;

    (void)snprintf(accepted, sizeof(accepted), "%lld to %lld", (long long)lo, (long long)hi);
    if (!vg_span_to_i64(word, &value) || value < lo || value > hi) {
        return not_accepted(w, what, word, accepted);
    }
    *out = value;
    return true;
}
