/* Time: three kinds that the compiler keeps apart.
 *
 *   vg_mono   nanoseconds of CLOCK_MONOTONIC  deadlines and durations inside a process; stops in
 * suspend vg_boot   nanoseconds of CLOCK_BOOTTIME   when a reading was taken; never steps, counts
 * suspend vg_wall   milliseconds since 1970 UTC     what is stored and shown; may step
 *
 * Pure code takes times as arguments. Programs read them through a `struct vg_clock`, which a test
 * replaces. */
#ifndef VIGIA_CLOCK_H
#define VIGIA_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct vg_mono {
    int64_t ns;
};
struct vg_boot {
    int64_t ns;
};
struct vg_wall {
    int64_t ms;
};

#define VG_NS_PER_MS 1000000LL
#define VG_NS_PER_S  1000000000LL

struct vg_clock {
    struct vg_mono (*mono)(void *self);
    struct vg_boot (*boot)(void *self);
    struct vg_wall (*wall)(void *self);
    /* True when the kernel calls the wall clock synchronised and its error bound is at most 2 s
     * (adjtimex(2)): 4000 s after the last correction at the latest it is not. */
    bool (*synced)(void *self);
    void *self;
};

/* The system's clocks. Static, never freed. */
const struct vg_clock *vg_clock_system(void);

static inline struct vg_mono vg_now_mono(const struct vg_clock *c)
{
    return c->mono(c->self);
}
static inline struct vg_boot vg_now_boot(const struct vg_clock *c)
{
    return c->boot(c->self);
}
static inline struct vg_wall vg_now_wall(const struct vg_clock *c)
{
    return c->wall(c->self);
}

static inline struct vg_mono vg_mono_add_ms(struct vg_mono t, int64_t ms)
{
    return (struct vg_mono){t.ns + ms * VG_NS_PER_MS};
}
/* a - b in milliseconds, rounded towards zero. */
static inline int64_t vg_mono_diff_ms(struct vg_mono a, struct vg_mono b)
{
    return (a.ns - b.ns) / VG_NS_PER_MS;
}

/* A clock for tests: it moves only when told. */
struct vg_fake_clock {
    struct vg_clock clock; /* hand out &fake.clock */
    struct vg_mono mono;
    struct vg_boot boot;
    struct vg_wall wall;
    bool synced;
};
void vg_fake_clock_init(struct vg_fake_clock *f, int64_t wall_ms);
/* Moves all three clocks forward together. */
void vg_fake_clock_advance_ms(struct vg_fake_clock *f, int64_t ms);

/* RFC 3339 UTC with milliseconds, "2026-11-21T05:18:00.123Z"; `out` has room for VG_RFC3339_MAX. */
#define VG_RFC3339_MAX 32
void vg_wall_format(struct vg_wall t, char *out);

#endif
