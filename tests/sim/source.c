/* Random sensors behind the interface of the emulated ones (vigia/source_sim.h), with the ledger of
 * all that they said.
 *
 * A sensor tells normal values at a period of its own. Now and then an episode begins: some active
 * readings of one or several kinds, a pause between them, and mostly an OK at the end. Bursts of
 * normal values fill whole groups. What is due while the agent is down is never said. */
#include "world.h"

#include "vigia/source_sim.h"

#include <stdlib.h>
#include <string.h>

#define NORMAL_MAX_TEMPERATURE 30.0
#define DICE                   SIM_DICE_TRAFFIC

static int64_t later(int64_t low_s, int64_t high_s)
{
    return sim_now + sim_between(DICE, low_s * 1000, high_s * 1000) * SIM_MS;
}

static void plan_episode(struct sim_sensor *s)
{
    s->next_episode = later(120, 10800);
    s->next_strike = SIM_NEVER;
    s->ok_at = SIM_NEVER;
}

void sim_sensors_init(struct sim_device *d)
{
    d->sensor_count = (size_t)sim_between(DICE, 1, SIM_SENSORS_MAX);
    for (size_t i = 0; i < d->sensor_count; i++) {
        struct sim_sensor *s = &d->sensors[i];
        (void)snprintf(s->id, sizeof s->id, "d%d-s%zu", d->host.number, i);
        s->period = sim_between(DICE, 60, 900) * SIM_S;
        s->next_normal = later(0, 60);
        s->last_at = -1;
        plan_episode(s);
    }
}

static void begin_episode(struct sim_sensor *s)
{
    int kinds = (int)sim_between(DICE, 1, 7);
    s->motion = (kinds & 1) != 0;
    s->smoke = (kinds & 2) != 0;
    s->hot = (kinds & 4) != 0;
    s->strikes_left = (int)sim_between(DICE, 1, 6);
    /* A third of the episodes is slow enough for their windows to end in between. */
    s->strike_gap = sim_chance(DICE, 0.33) ? sim_between(DICE, 60, 420) : sim_between(DICE, 1, 45);
    s->next_strike = sim_now;
    s->next_episode = SIM_NEVER;
}

static int64_t due(const struct sim_sensor *s)
{
    int64_t at = s->next_normal;
    at = s->next_episode < at ? s->next_episode : at;
    at = s->next_strike < at ? s->next_strike : at;
    return s->ok_at < at ? s->ok_at : at;
}

static struct sim_said *say(struct sim_device *d, struct sim_sensor *s, struct vg_sample *out)
{
    if (s->said_count == s->said_room) {
        s->said_room = s->said_room == 0 ? 64 : s->said_room * 2;
        s->said = realloc(s->said, s->said_room * sizeof *s->said);
        if (s->said == NULL) {
            sim_fail("no memory for the ledger");
        }
    }
    int64_t at = sim_now / SIM_MS;
    at = at > s->last_at ? at : s->last_at + 1;
    s->last_at = at;
    struct sim_said *said = &s->said[s->said_count++];
    *said =
        (struct sim_said){.ns = sim_now, .at = at, .life = d->proc.lives, .synced = d->host.synced};
    *out = (struct vg_sample){.taken = vg_now_boot(&d->host.clock)};
    (void)vg_str_copy(s->id, out->reading.sensor, sizeof out->reading.sensor);
    return said;
}

static void say_values(struct sim_device *d, struct sim_sensor *s, bool active,
                       struct vg_sample *out)
{
    struct sim_said *said = say(d, s, out);
    struct vg_reading *r = &out->reading;
    said->motion = active && s->motion;
    said->smoke = active && s->smoke;
    said->temperature = (double)sim_between(DICE, 180, 260) / 10.0 + (active && s->hot ? 25.0 : 0);
    said->urgent = active;
    r->has = VG_HAS_MOTION | VG_HAS_SMOKE | VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE;
    r->motion = said->motion;
    r->smoke = said->smoke;
    r->temperature = said->temperature;
    r->max_temperature = NORMAL_MAX_TEMPERATURE;
    (void)vg_reading_add_number(r, "at", (double)said->at);
    sim_trace("says %s at=%lld active=%d", s->id, (long long)said->at, active);
}

static void say_ok(struct sim_device *d, struct sim_sensor *s, struct vg_sample *out)
{
    struct sim_said *said = say(d, s, out);
    said->ok = said->urgent = true;
    out->reading.has = VG_HAS_OK;
    sim_trace("says %s at=%lld ok", s->id, (long long)said->at);
}

/* The next thing that is due of a sensor; false: nothing is. */
static bool next_sample(struct sim_device *d, struct sim_sensor *s, struct vg_sample *out)
{
    if (s->next_episode <= sim_now) {
        begin_episode(s);
    }
    if (s->next_strike <= sim_now) {
        say_values(d, s, true, out);
        s->strikes_left--;
        s->next_strike = sim_now + s->strike_gap * SIM_S;
        if (s->strikes_left == 0) {
            s->next_strike = SIM_NEVER;
            if (sim_chance(DICE, 0.75)) {
                s->ok_at = later(2, 900);
            } else {
                plan_episode(s);
            }
        }
        return true;
    }
    if (s->ok_at <= sim_now) {
        say_ok(d, s, out);
        plan_episode(s);
        return true;
    }
    if (s->next_normal <= sim_now) {
        say_values(d, s, false, out);
        if (s->burst_left == 0 && sim_chance(DICE, 0.002)) {
            s->burst_left = (int)sim_between(DICE, 20, 300);
        }
        s->next_normal = sim_now + s->period;
        if (s->burst_left > 0) {
            s->burst_left--;
            s->next_normal = sim_now + 5 * SIM_MS;
        }
        return true;
    }
    return false;
}

/* ---- the interface ---- */

static enum vg_err source_open(const void *config, const struct vg_clock *clock, void **self,
                               struct vg_error *err)
{
    (void)config;
    (void)clock;
    (void)err;
    struct sim_device *d = &sim_world.devices[sim_me()->host->number - 1];
    for (size_t i = 0; i < d->sensor_count; i++) {
        struct sim_sensor *s = &d->sensors[i];
        s->next_normal = s->next_normal < sim_now ? later(0, 20) : s->next_normal;
        if (s->next_strike < sim_now || s->ok_at < sim_now || s->next_episode < sim_now) {
            /* What the sensor would have done meanwhile is over, the OK mostly is still to come. */
            plan_episode(s);
            s->ok_at = sim_chance(DICE, 0.5) ? later(1, 60) : SIM_NEVER;
        }
    }
    *self = d;
    return VG_OK;
}

static int source_fd(void *self)
{
    (void)self;
    return -1;
}

static bool source_deadline(void *self, struct vg_mono *at)
{
    const struct sim_device *d = self;
    int64_t next = SIM_NEVER;
    for (size_t i = 0; i < d->sensor_count; i++) {
        int64_t one = due(&d->sensors[i]);
        next = one < next ? one : next;
    }
    if (next >= sim_world.end_ns) {
        return false;
    }
    at->ns = next - d->host.booted_ns;
    return true;
}

static enum vg_err source_read(void *self, struct vg_sample *out, size_t max, size_t *count,
                               struct vg_error *err)
{
    (void)err;
    struct sim_device *d = self;
    *count = 0;
    for (size_t i = 0; i < d->sensor_count; i++) {
        while (*count < max && sim_now < sim_world.end_ns &&
               next_sample(d, &d->sensors[i], &out[*count])) {
            ++*count;
        }
    }
    return VG_OK;
}

static void source_close(void *self)
{
    (void)self;
}

const struct vg_source_ops vg_source_sim = {
    .name = "sim",
    .open = source_open,
    .fd = source_fd,
    .deadline = source_deadline,
    .read = source_read,
    .close = source_close,
};
