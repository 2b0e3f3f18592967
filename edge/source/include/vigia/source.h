/* A source of readings: sensors behind one ops struct, so that the agent needs to know none of
 * them.
 *
 *   open ──► fd and deadline say when to call read ──► read fills samples ──► … ──► close
 *
 * All calls come from the loop's thread and none may block: what has to wait gives a descriptor or
 * a deadline. A source takes its memory in open. A sensor that cannot be read gives a sample of
 * quality FAULT, never a zero. */
#ifndef VIGIA_SOURCE_H
#define VIGIA_SOURCE_H

#include "vigia/clock.h"
#include "vigia/err.h"
#include "vigia/reading.h"

/* What a sensor said, and when. The source fills sensor, quality (SYNCED stands for good: what the
 * clock knows is not its business; otherwise STALE, WARMING_UP or FAULT) and quantities or OK, and
 * leaves device, identity and times alone. */
struct vg_sample {
    struct vg_reading reading;
    struct vg_boot taken;
};

struct vg_source_ops {
    const char *name; /* "sim" */

    /* `config` is the kind's own options, named in its header, and need not outlive the call;
     * `clock` must. On failure nothing is left open, and err->text is one complete line naming the
     * file or device and what is accepted. VG_E_NOTFOUND, VG_E_IO, VG_E_INVALID, VG_E_RANGE,
     * VG_E_FULL, VG_E_NOMEM. */
    enum vg_err (*open)(const void *config, const struct vg_clock *clock, void **self,
                        struct vg_error *err);

    /* A descriptor that is readable when read has something, -1 when there is none. It stays the
     * same until close. */
    int (*fd)(void *self);

    /* When read is next to be called if the descriptor stays silent; false: not before that. A time
     * in the past means now. */
    bool (*deadline)(void *self, struct vg_mono *at);

    /* Up to `max` samples that are due, in the order in which they were taken. When *count == max
     * there may be more: ask again. VG_E_FATAL: this source will give nothing any more. */
    enum vg_err (*read)(void *self, struct vg_sample *out, size_t max, size_t *count,
                        struct vg_error *err);

    /* NULL is allowed. */
    void (*close)(void *self);
};

/* Every member is there: registration refuses a kind that lacks one. */
bool vg_source_ops_complete(const struct vg_source_ops *ops);

#endif
