/* A buffer driven from the proof's thread, with bounded waits. */
#ifndef VIGIA_TEST_CRASH_DRIVE_H
#define VIGIA_TEST_CRASH_DRIVE_H

#include "vigia/buffer.h"

#include <stdatomic.h>

/* A clock that moves only when told, readable from any thread. */
struct drive_clock {
    struct vg_clock clock;
    _Atomic int64_t ms; /* monotonic, boot and wall differ by constants */
    int64_t boot_ms, wall_ms;
};
void drive_clock_init(struct drive_clock *c);
static inline void drive_clock_advance(struct drive_clock *c, int64_t ms)
{
    atomic_fetch_add(&c->ms, ms);
}

struct drive {
    struct vg_buffer *b;
    struct vg_buffer_row rows[VG_BUFFER_FETCH_MAX];
    size_t count;
    bool answered, fatal;
    struct drive_clock *clock; /* moves by 1 ms per turn of a wait; NULL: none */
    struct vg_error err;
};

/* false: d->err says why. */
bool drive_open(struct drive *d, const struct vg_buffer_options *options,
                const struct vg_clock *clock);
void drive_close(struct drive *d);
struct vg_buffer_stats drive_stats(const struct drive *d);
/* Dispatches until `holds` or CUT_WAIT_MS have passed (false). */
bool drive_until(struct drive *d, bool (*holds)(struct drive *d, uint64_t value), uint64_t value);
/* Rows into d->rows; false when no answer came. */
bool drive_fetch(struct drive *d, enum vg_buffer_lane lane, size_t max);

#endif
