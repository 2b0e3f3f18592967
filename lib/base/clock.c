/* The system's clocks, a clock for tests, and how wall time is written. */
#include "vigia/clock.h"

#include "clock_synced.h"

#include <stdio.h>
#include <time.h>

/* The kernel's error bound above which the wall clock does not count as synchronised, in
 * microseconds. The kernel adds 500 of them each second, whatever the clock really does, and
 * systemd-timesyncd takes the bound back to 0 only at each poll, up to 2048 s apart: 1,024,000. The
 * rest leaves 1,952 s for polls whose answers are lost. */
#define SYNCED_ERROR_MAX_US 2000000

static int64_t read_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * VG_NS_PER_S + t.tv_nsec;
}

static struct vg_mono system_mono(void *self)
{
    (void)self;
    return (struct vg_mono){read_ns(CLOCK_MONOTONIC)};
}

static struct vg_boot system_boot(void *self)
{
    (void)self;
    return (struct vg_boot){read_ns(CLOCK_BOOTTIME)};
}

static struct vg_wall system_wall(void *self)
{
    (void)self;
    return (struct vg_wall){read_ns(CLOCK_REALTIME) / VG_NS_PER_MS};
}

bool vgi_clock_synced(int state, const struct timex *t)
{
    return state >= 0 && state != TIME_ERROR && (t->status & STA_UNSYNC) == 0 &&
           t->maxerror <= SYNCED_ERROR_MAX_US;
}

static bool system_synced(void *self)
{
    (void)self;
    struct timex t = {.modes = 0};
    int state = adjtimex(&t);
    return vgi_clock_synced(state, &t);
}

const struct vg_clock *vg_clock_system(void)
{
    static const struct vg_clock clock = {
        .mono = system_mono, .boot = system_boot, .wall = system_wall, .synced = system_synced};
    return &clock;
}

static struct vg_mono fake_mono(void *self)
{
    return ((struct vg_fake_clock *)self)->mono;
}

static struct vg_boot fake_boot(void *self)
{
    return ((struct vg_fake_clock *)self)->boot;
}

static struct vg_wall fake_wall(void *self)
{
    return ((struct vg_fake_clock *)self)->wall;
}

static bool fake_synced(void *self)
{
    return ((struct vg_fake_clock *)self)->synced;
}

void vg_fake_clock_init(struct vg_fake_clock *f, int64_t wall_ms)
{
    *f = (struct vg_fake_clock){
        .clock = {.mono = fake_mono,
                  .boot = fake_boot,
                  .wall = fake_wall,
                  .synced = fake_synced,
                  .self = f},
        .wall = {wall_ms},
        .synced = true,
    };
}

void vg_fake_clock_advance_ms(struct vg_fake_clock *f, int64_t ms)
{
    f->mono.ns += ms * VG_NS_PER_MS;
    f->boot.ns += ms * VG_NS_PER_MS;
    f->wall.ms += ms;
}

void vg_wall_format(struct vg_wall t, char *out)
{
    /* Floor division, so that a moment before 1970 keeps a fraction of 0 to 999. */
    int64_t fraction = t.ms % 1000;
    time_t seconds = (time_t)(t.ms / 1000);
    if (fraction < 0) {
        fraction += 1000;
        seconds--;
    }
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL || parts.tm_year > 9999 - 1900 ||
        parts.tm_year < -1900) {
        snprintf(out, VG_RFC3339_MAX, "out-of-range");
        return;
    }
    /* The remainders tell the compiler that each part keeps to its width. */
    snprintf(out, VG_RFC3339_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
             (unsigned)(parts.tm_year + 1900) % 10000, (unsigned)(parts.tm_mon + 1) % 100,
             (unsigned)parts.tm_mday % 100, (unsigned)parts.tm_hour % 100,
             (unsigned)parts.tm_min % 100, (unsigned)parts.tm_sec % 100, (unsigned)fraction % 1000);
}
