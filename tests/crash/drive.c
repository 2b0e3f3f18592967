/* See drive.h. */
#include "drive.h"

#include "powercut.h"

#include <poll.h>
#include <string.h>

static struct vg_mono now_mono(void *self)
{
    struct drive_clock *c = self;
    return (struct vg_mono){(atomic_load(&c->ms) + 1000) * VG_NS_PER_MS};
}
static struct vg_boot now_boot(void *self)
{
    struct drive_clock *c = self;
    return (struct vg_boot){(atomic_load(&c->ms) + c->boot_ms) * VG_NS_PER_MS};
}
static struct vg_wall now_wall(void *self)
{
    struct drive_clock *c = self;
    return (struct vg_wall){atomic_load(&c->ms) + c->wall_ms};
}
static bool synced(void *self)
{
    (void)self;
    return true;
}

void drive_clock_init(struct drive_clock *c)
{
    c->clock = (struct vg_clock){now_mono, now_boot, now_wall, synced, c};
    atomic_store(&c->ms, 0);
    c->boot_ms = 5000;
    c->wall_ms = 1793194820000;
}

static void on_rows(void *arg, enum vg_buffer_lane lane, const struct vg_buffer_row *rows,
                    size_t count)
{
    struct drive *d = arg;
    (void)lane;
    memcpy(d->rows, rows, count * sizeof *rows);
    d->count = count;
    d->answered = true;
}

static void on_waiting(void *arg, enum vg_buffer_lane lane)
{
    (void)arg;
    (void)lane;
}

static void on_fatal(void *arg, const struct vg_error *err)
{
    struct drive *d = arg;
    d->fatal = true;
    d->err = *err;
}

bool drive_open(struct drive *d, const struct vg_buffer_options *options,
                const struct vg_clock *clock)
{
    const struct vg_buffer_events events = {on_rows, on_waiting, on_fatal, d};
    *d = (struct drive){.b = NULL};
    return vg_buffer_open(options, &events, clock, &d->b, &d->err) == VG_OK;
}

void drive_close(struct drive *d)
{
    (void)vg_buffer_close(d->b, NULL);
    d->b = NULL;
}

struct vg_buffer_stats drive_stats(const struct drive *d)
{
    struct vg_buffer_stats s;
    vg_buffer_stats(d->b, &s);
    return s;
}

bool drive_until(struct drive *d, bool (*holds)(struct drive *d, uint64_t value), uint64_t value)
{
    struct vg_mono end = vg_mono_add_ms(vg_now_mono(vg_clock_system()), CUT_WAIT_MS);
    while (!holds(d, value)) {
        /* The descriptor tells of rows; counters move without it, so it is only a hint. */
        struct pollfd p = {.fd = vg_buffer_fd(d->b), .events = POLLIN};
        (void)poll(&p, 1, 1);
        vg_buffer_dispatch(d->b);
        if (d->clock != NULL) {
            drive_clock_advance(d->clock, 1);
        }
        if (d->fatal || vg_now_mono(vg_clock_system()).ns > end.ns) {
            return false;
        }
    }
    return true;
}

static bool has_answer(struct drive *d, uint64_t value)
{
    (void)value;
    return d->answered;
}

bool drive_fetch(struct drive *d, enum vg_buffer_lane lane, size_t max)
{
    d->answered = false;
    return vg_buffer_fetch(d->b, lane, max) == VG_OK && drive_until(d, has_answer, 0);
}
