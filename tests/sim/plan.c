/* Everything that will go wrong, drawn from the seed before it begins. */
#include "world.h"

#include "disk.h"
#include "net.h"

#include <math.h>
#include <string.h>

#define W    (&sim_world)
#define DICE SIM_DICE_PLAN

static int64_t seconds(int64_t low, int64_t high)
{
    return sim_between(DICE, low * 1000, high * 1000) * SIM_MS;
}

/* Events at random moments until the end, `every_h` hours apart on average. */
static void now_and_then(double every_h, sim_event_fn *fn, void *arg)
{
    for (int64_t at = sim_now;;) {
        at +=
            (int64_t)(-log(1.0 - vg_rng_unit(sim_dice(DICE))) * every_h * (double)SIM_HOUR) + SIM_S;
        if (at >= W->end_ns) {
            return;
        }
        sim_at(at, fn, arg, 0);
    }
}

/* ---- processes ---- */

static void on_kill(void *arg, uint64_t n)
{
    (void)n;
    sim_world_kill(arg, sim_chance(DICE, 0.9) ? seconds(1, 20) : seconds(20, 1800));
}

static void on_stop(void *arg, uint64_t n)
{
    (void)n;
    sim_world_stop(arg, seconds(1, 60));
}

static void on_power_cut(void *arg, uint64_t n)
{
    (void)n;
    const struct sim_host *h = arg;
    sim_world_power_cut(h->number, seconds(5, 300));
}

/* Whoever makes the n-th write or sync from now on dies in it. */
static void on_die_writing(void *arg, uint64_t n)
{
    (void)n;
    const struct sim_host *h = arg;
    sim_disk_faults(h->number)->die_after = sim_between(DICE, 1, 60);
}

/* ---- disks ---- */

static void on_full(void *arg, uint64_t n)
{
    (void)arg;
    (void)n;
    W->log_faults++;
    sim_disk_faults(0)->full_until = sim_now + seconds(1, 300);
    sim_disk_faults(0)->full_for_all = sim_chance(DICE, 0.5);
    sim_world_idle(sim_disk_faults(0)->full_until);
}

static void on_sync_error(void *arg, uint64_t n)
{
    (void)arg;
    (void)n;
    W->log_faults++;
    sim_disk_faults(0)->error_until = sim_now + sim_between(DICE, 1, 3000) * SIM_MS;
    sim_world_idle(sim_disk_faults(0)->error_until);
}

static void on_slow(void *arg, uint64_t n)
{
    (void)n;
    const struct sim_host *h = arg;
    W->log_faults += h->number == 0;
    sim_disk_faults(h->number)->slow_until = sim_now + seconds(1, 120);
    if (h->number == 0) {
        sim_world_idle(sim_disk_faults(0)->slow_until);
    }
}

/* ---- network ---- */

static void on_outage(void *arg, uint64_t n)
{
    struct sim_path *p = arg;
    int64_t until = sim_now + (n > 0 ? (int64_t)n : seconds(5, 3600));
    p->dark_until = until > p->dark_until ? until : p->dark_until;
    W->outages++;
    sim_trace("outage until %.0f s", (double)p->dark_until / (double)SIM_S);
}

static void on_rebind(void *arg, uint64_t n)
{
    (void)n;
    struct sim_path *p = arg;
    p->address++;
    W->rebinds++;
    sim_trace("rebind");
}

/* ---- clocks ---- */

/* A clock that nobody has set: 1970, what it was when last saved, or anything. */
void sim_clock_unsynced(struct sim_host *h)
{
    static const int64_t ten_years = 10LL * 365 * 24 * 3600 * 1000;
    h->synced = sim_defect_is() == SIM_DEFECT_WRONG_CLOCK;
    switch (sim_between(DICE, 0, 4)) {
    case 0:
        h->wall_offset_ms = -(SIM_EPOCH_MS + sim_now / SIM_MS);
        break;
    case 1:
        h->wall_offset_ms = -sim_between(DICE, 60000, 86400000);
        break;
    case 2:
        h->wall_offset_ms = sim_between(DICE, -3600000, 3600000);
        break;
    case 3:
        h->wall_offset_ms = sim_between(DICE, -ten_years, ten_years);
        break;
    default:
        break; /* lost its source, but not the time */
    }
    sim_trace("clock %s unsynced offset=%lld", h->name, (long long)h->wall_offset_ms);
}

static void synced(struct sim_host *h)
{
    h->synced = true;
    h->wall_offset_ms = sim_between(DICE, -30, 30);
    sim_trace("clock %s synced offset=%lld", h->name, (long long)h->wall_offset_ms);
}

static void on_clock(void *arg, uint64_t n)
{
    (void)n;
    struct sim_host *h = arg;
    W->clock_steps++;
    if (h->synced && sim_chance(DICE, 0.5)) {
        sim_clock_unsynced(h);
    } else if (!h->synced && sim_chance(DICE, 0.25)) {
        sim_clock_unsynced(h); /* from one wrong time to another */
    } else {
        synced(h);
    }
}

/* ---- */

static void plan_device(struct sim_device *d)
{
    struct sim_path *p = sim_path(d->host.number);
    *p = (struct sim_path){
        .loss = W->options.loss, .twice = W->options.twice, .reorder = W->options.reorder};
    if (W->options.calm) {
        return;
    }
    now_and_then(3, on_kill, &d->proc);
    now_and_then(8, on_stop, &d->proc);
    now_and_then(8, on_power_cut, &d->host);
    now_and_then(6, on_die_writing, &d->host);
    now_and_then(6, on_slow, &d->host);
    now_and_then(4, on_outage, p);
    now_and_then(4, on_rebind, p);
    now_and_then(2, on_clock, &d->host);
    if (sim_chance(DICE, 0.5)) {
        sim_clock_unsynced(&d->host);
    }
    if (sim_chance(DICE, 0.6)) { /* most of a day, or all of it */
        int64_t at = sim_now + seconds(60, 4 * 3600);
        sim_at(at, on_outage, p, (uint64_t)seconds(20 * 3600, 26 * 3600));
    }
}

void sim_plan(void)
{
    for (int i = 0; i < W->options.devices; i++) {
        plan_device(&W->devices[i]);
    }
    if (W->options.calm) {
        return;
    }
    for (int i = 0; i < W->options.collectors; i++) {
        now_and_then(2, on_kill, &W->collectors[i].proc);
    }
    now_and_then(2, on_kill, &W->alarm.proc);
    now_and_then(6, on_stop, &W->alarm.proc);
    now_and_then(4, on_power_cut, &W->log_host);
    now_and_then(1, on_die_writing, &W->log_host);
    now_and_then(2, on_full, NULL);
    now_and_then(6, on_sync_error, NULL);
    now_and_then(4, on_slow, &W->log_host);
}

void sim_plan_end(void)
{
    for (int i = 0; i <= W->options.devices; i++) {
        struct sim_disk_faults *f = sim_disk_faults(i);
        *f = (struct sim_disk_faults){.lies = f->lies};
        struct sim_path *p = sim_path(i);
        *p = (struct sim_path){.address = p->address};
    }
    for (int i = 0; i < W->options.devices && !W->options.calm; i++) {
        synced(&W->devices[i].host);
    }
    sim_trace("faults are over");
}
