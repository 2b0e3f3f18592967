/* See vigia/alarm_engine.h.
 *
 * A reading only moves s->seen_ms; the silence heap keeps the older, earlier key, and looks when it
 * comes up. So a normal reading costs one table lookup and no heap work. The pseudo-sensor of the
 * collectors stands outside the table. */
#include "heap.h"
#include "rules_internal.h"
#include "table.h"
#include "vigia/alarm_engine.h"
#include "vigia/rules_json.h"

#include <assert.h>
#include <stdlib.h>

#define SENSORS_LIMIT (1u << 26)

struct vg_alarm_engine {
    struct vg_rules rules;
    vg_alarm_period_fn *period;
    void *arg;
    struct vg_rules_state *states;
    size_t count, max;
    struct vgi_table table;
    struct vgi_heap expiry, silence;
    uint32_t *dirty; /* sensors to be stored */
    size_t dirty_count;
    bool *listed; /* by sensor: in `dirty` */
    struct vg_rules_state collectors;
    int64_t clock_ms;
    size_t asked; /* sensors before this one have the period that their device says */
    struct vg_alarm_engine_counters counters;
};

enum vg_err vg_alarm_engine_new(const struct vg_alarm_engine_options *o,
                                struct vg_alarm_engine **out)
{
    if (o->max_sensors < 1 || o->max_sensors > SENSORS_LIMIT) {
        return VG_E_RANGE;
    }
    struct vg_alarm_engine *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        return VG_E_NOMEM;
    }
    e->rules = (struct vg_rules){
        .conf = o->conf, .event = o->event, .arg = o->arg, .arrived_ms = VG_LONG_AGO_MS};
    e->period = o->period;
    e->arg = o->arg;
    e->max = o->max_sensors;
    e->clock_ms = VG_LONG_AGO_MS;
    e->states = calloc(e->max, sizeof(*e->states));
    e->dirty = calloc(e->max, sizeof(*e->dirty));
    e->listed = calloc(e->max, sizeof(*e->listed));
    bool fine = vgi_table_init(&e->table, e->max, o->seed);
    fine = vgi_heap_init(&e->expiry, e->states, e->max) && fine;
    fine = vgi_heap_init(&e->silence, e->states, e->max) && fine;
    if (!fine || e->states == NULL || e->dirty == NULL || e->listed == NULL) {
        vg_alarm_engine_free(e);
        return VG_E_NOMEM;
    }
    char name[VG_SENSOR_ID_MAX + 1];
    vg_collector_sensor(o->partition, name);
    (void)vg_rules_state_init(&e->collectors, vg_span_str(name));
    *out = e;
    return VG_OK;
}

void vg_alarm_engine_free(struct vg_alarm_engine *e)
{
    if (e == NULL) {
        return;
    }
    vgi_table_done(&e->table);
    vgi_heap_done(&e->expiry);
    vgi_heap_done(&e->silence);
    free(e->states);
    free(e->dirty);
    free(e->listed);
    free(e);
}

/* After anything that may have changed a sensor: its deadlines, and its place in the list of what
 * is to be stored. */
static void settle(struct vg_alarm_engine *e, uint32_t i)
{
    struct vg_rules_state *s = &e->states[i];
    if (s->dirty) {
        vgi_heap_at_most(&e->expiry, i, vg_rules_expiry(e->rules.conf, s));
        if (!e->listed[i]) {
            e->listed[i] = true;
            e->dirty[e->dirty_count++] = i;
        }
    }
    vgi_heap_at_most(&e->silence, i, vg_rules_silence(e->rules.conf, s, e->collectors.since_ms));
}

/* NULL: there is no room. */
static struct vg_rules_state *state_of(struct vg_alarm_engine *e, const char *sensor, uint32_t *i)
{
    struct vgi_slot slot;
    size_t at;
    *i = vgi_table_find(&e->table, e->states, sensor, &slot, &at);
    if (*i == VGI_NO_INDEX) {
        if (e->count >= e->max || !vg_rules_state_init(&e->states[e->count], vg_span_str(sensor))) {
            return NULL;
        }
        *i = (uint32_t)e->count++;
        e->asked += e->asked + 1 == e->count; /* a new one is asked with its first message */
        vgi_table_put(&e->table, at, slot, *i);
    }
    return &e->states[*i];
}

enum vg_err vg_alarm_engine_restore(struct vg_alarm_engine *e, struct vg_span json,
                                    struct vg_error *err)
{
    struct vg_rules_state s;
    uint32_t i;
    enum vg_err rc = vg_rules_state_decode(json, &s, err);
    if (rc != VG_OK) {
        return rc;
    }
    if (strcmp(s.sensor, e->collectors.sensor) == 0) {
        e->collectors = s;
        e->clock_ms = s.clock_ms;
        e->rules.arrived_ms = s.arrived_ms;
        return VG_OK;
    }
    struct vg_rules_state *to = state_of(e, s.sensor, &i);
    if (to == NULL) {
        return vg_fail(err, VG_E_FULL,
                       "alarm-state holds more than max_sensors = %zu sensors: raise it", e->max);
    }
    *to = s;
    return VG_OK;
}

void vg_alarm_engine_restored(struct vg_alarm_engine *e)
{
    for (uint32_t i = 0; i < e->count; i++) {
        vgi_rules_restored(&e->rules, &e->states[i], e->clock_ms);
        vgi_heap_set(&e->expiry, i, vg_rules_expiry(e->rules.conf, &e->states[i]));
        settle(e, i);
    }
    e->asked = 0;
}

static int64_t collector_deadline(const struct vg_alarm_engine *e)
{
    const struct vg_rules_conf *conf = e->rules.conf;
    if (!conf->supervision || e->collectors.seen_ms == VG_LONG_AGO_MS ||
        e->collectors.alarm[VG_ALARM_COLLECTOR].condition == VG_ACTIVE) {
        return VG_NEVER_MS;
    }
    return vgi_add_ms(e->collectors.seen_ms, conf->heartbeat_ms);
}

/* Silence means nothing while no collector writes. */
static int64_t silence_first(const struct vg_alarm_engine *e, uint32_t *i)
{
    if (e->collectors.alarm[VG_ALARM_COLLECTOR].condition == VG_ACTIVE) {
        return VG_NEVER_MS;
    }
    return vgi_heap_first(&e->silence, i);
}

/* Tells the first deadline at or before `now_ms`, or corrects a key that was too early. False:
 * there is none. */
static bool fire_one(struct vg_alarm_engine *e, int64_t now_ms, size_t *told)
{
    uint32_t expiring = 0, silent = 0;
    int64_t collector = collector_deadline(e);
    int64_t expiry = vgi_heap_first(&e->expiry, &expiring);
    int64_t silence = silence_first(e, &silent);
    if (collector <= now_ms && collector <= expiry && collector <= silence) {
        vg_rules_collector_silent(&e->rules, &e->collectors, collector);
        (*told)++;
        return true;
    }
    if (expiry <= now_ms && expiry <= silence) {
        struct vg_rules_state *s = &e->states[expiring];
        *told += vg_rules_expiry(e->rules.conf, s) == expiry;
        vg_rules_expire(&e->rules, s, expiry);
        vgi_heap_set(&e->expiry, expiring, vg_rules_expiry(e->rules.conf, s));
        settle(e, expiring);
        return true;
    }
    if (silence <= now_ms) {
        struct vg_rules_state *s = &e->states[silent];
        int64_t floor_ms = e->collectors.since_ms;
        *told += vg_rules_silence(e->rules.conf, s, floor_ms) == silence;
        vg_rules_silent(&e->rules, s, silence, floor_ms);
        vgi_heap_set(&e->silence, silent, vg_rules_silence(e->rules.conf, s, floor_ms));
        settle(e, silent);
        return true;
    }
    return false;
}

static void ask_periods(struct vg_alarm_engine *e, size_t max, size_t *told)
{
    while (e->asked < e->count && *told < max) {
        uint32_t i = (uint32_t)e->asked++;
        struct vg_rules_state *s = &e->states[i];
        int64_t period_ms = e->period(e->arg, s->device, s->sensor);
        bool store = vg_rules_supervise(&e->rules, s, period_ms, e->clock_ms);
        if (s->stale && !s->dirty) {
            s->dirty = store = true;
        }
        *told += store;
        settle(e, i);
    }
}

size_t vg_alarm_engine_advance(struct vg_alarm_engine *e, int64_t now_ms, size_t max)
{
    size_t told = 0;
    if (now_ms > e->clock_ms) {
        e->clock_ms = now_ms;
    }
    if (e->collectors.seen_ms == VG_LONG_AGO_MS) {
        /* The wait for a first heartbeat begins with time itself. */
        e->collectors.seen_ms = e->clock_ms;
    }
    ask_periods(e, max, &told);
    while (told < max && fire_one(e, e->clock_ms, &told)) {
    }
    return told;
}

int64_t vg_alarm_engine_clock(const struct vg_alarm_engine *e)
{
    return e->clock_ms;
}

size_t vg_alarm_engine_set_back(struct vg_alarm_engine *e, int64_t now_ms, int64_t slack_ms)
{
    const int64_t most_ms = vgi_add_ms(now_ms, slack_ms);
    size_t ahead = e->clock_ms > most_ms || vgi_rules_newest_ms(&e->collectors) > most_ms;
    for (size_t i = 0; i < e->count; i++) {
        ahead += vgi_rules_newest_ms(&e->states[i]) > most_ms;
    }
    if (ahead == 0) {
        return 0;
    }
    e->clock_ms = vgi_min_ms(e->clock_ms, now_ms);
    e->rules.arrived_ms = vgi_min_ms(e->rules.arrived_ms, now_ms);
    vgi_rules_set_back(&e->collectors, now_ms);
    e->collectors.dirty = true;
    e->asked = 0; /* what is stale is stored on the way */
    for (uint32_t i = 0; i < e->count; i++) {
        struct vg_rules_state *s = &e->states[i];
        vgi_rules_set_back(s, now_ms);
        /* Earlier than they were, which the heaps must not miss. */
        vgi_heap_set(&e->expiry, i, vg_rules_expiry(e->rules.conf, s));
        vgi_heap_set(&e->silence, i, vg_rules_silence(e->rules.conf, s, e->collectors.since_ms));
    }
    return ahead;
}

int64_t vg_alarm_engine_next(const struct vg_alarm_engine *e)
{
    uint32_t i;
    int64_t next = collector_deadline(e);
    int64_t expiry = vgi_heap_first(&e->expiry, &i);
    int64_t silence = silence_first(e, &i);
    next = expiry < next ? expiry : next;
    return silence < next ? silence : next;
}

static void count(struct vg_alarm_engine *e, const struct vg_reading *m)
{
    e->counters.readings++;
    e->counters.active += vg_reading_active(m);
    e->counters.oks += (m->has & VG_HAS_OK) != 0;
    e->counters.device_events += m->event != VG_EVENT_NONE;
}

/* A sensor that cannot be followed: what is active is told, and that is all that can be done for
 * it. */
static void no_room(struct vg_alarm_engine *e, const struct vg_reading *m)
{
    struct vg_rules_state s;
    e->counters.no_room++;
    if (!vg_reading_active(m) || !vg_rules_state_init(&s, vg_span_str(m->sensor))) {
        return;
    }
    static const uint32_t has[] = {VG_HAS_MOTION, VG_HAS_SMOKE, VG_HAS_TEMPERATURE};
    for (enum vg_alarm_type type = VG_ALARM_MOTION; type <= VG_ALARM_TEMPERATURE; type++) {
        struct vg_reading only = *m;
        only.has &= has[type] | (type == VG_ALARM_TEMPERATURE ? VG_HAS_MAX_TEMPERATURE : 0);
        if (vg_reading_active(&only)) {
            struct vg_alarm_event event =
                vgi_rules_event(&s, VG_LATE_ACTIVITY, type, m, vg_reading_count_ms(m));
            event.late = true;
            event.reason = "no-room";
            vgi_rules_emit(&e->rules, &event);
        }
    }
}

void vg_alarm_engine_reading(struct vg_alarm_engine *e, const struct vg_reading *m)
{
    uint32_t i;
    /* A state under the name of a pseudo-sensor would be restored as that one's. */
    bool reserved = vg_collector_partition(vg_span_str(m->sensor)) >= 0;
    struct vg_rules_state *s = reserved ? NULL : state_of(e, m->sensor, &i);
    assert(e->clock_ms != VG_LONG_AGO_MS);
    count(e, m);
    if (s == NULL) {
        no_room(e, m);
        return;
    }
    bool met = s->seen_ms == VG_LONG_AGO_MS || strcmp(s->device, m->device) != 0;
    if (met) {
        (void)vg_rules_supervise(&e->rules, s, e->period(e->arg, m->device, m->sensor),
                                 e->clock_ms);
    }
    vg_rules_reading(&e->rules, s, m, e->clock_ms);
    settle(e, i);
}

void vg_alarm_engine_heartbeat(struct vg_alarm_engine *e, int64_t received_ms)
{
    assert(e->clock_ms != VG_LONG_AGO_MS);
    e->counters.heartbeats++;
    e->rules.arrived_ms = vgi_max_ms(e->rules.arrived_ms, received_ms);
    vg_rules_collector_heard(&e->rules, &e->collectors, e->clock_ms);
}

void vg_alarm_engine_command(struct vg_alarm_engine *e, const struct vg_command *c)
{
    struct vg_span sensor = vg_command_sensor(c);
    struct vg_rules_state nobody;
    struct vgi_slot slot;
    size_t at;
    e->counters.commands++;
    if (!vg_rules_state_init(&nobody, sensor)) {
        (void)vg_rules_state_init(&nobody, VG_SPAN("-"));
    }
    if (strcmp(nobody.sensor, e->collectors.sensor) == 0) {
        vg_rules_command(&e->rules, &e->collectors, c);
        return;
    }
    uint32_t i = vgi_table_find(&e->table, e->states, nobody.sensor, &slot, &at);
    if (i == VGI_NO_INDEX) {
        vg_rules_command(&e->rules, &nobody, c);
        return;
    }
    vg_rules_command(&e->rules, &e->states[i], c);
    settle(e, i);
}

void vg_alarm_engine_devices_changed(struct vg_alarm_engine *e)
{
    e->asked = 0;
}

bool vg_alarm_engine_next_dirty(struct vg_alarm_engine *e, char *buf, struct vg_span *key,
                                struct vg_span *value)
{
    struct vg_rules_state *s;
    size_t len = 0;
    if (e->collectors.dirty) {
        s = &e->collectors;
        s->clock_ms = e->clock_ms;
        s->arrived_ms = e->rules.arrived_ms;
    } else if (e->dirty_count > 0) {
        uint32_t i = e->dirty[--e->dirty_count];
        e->listed[i] = false;
        s = &e->states[i];
    } else {
        return false;
    }
    s->patience_ms = vgi_rules_patience_ms(e->rules.conf, s);
    enum vg_err rc = vg_rules_state_encode(s, buf, VG_ALARM_STATE_MAX, &len);
    assert(rc == VG_OK);
    (void)rc;
    vg_rules_stored(s);
    *key = vg_span_str(s->sensor);
    *value = vg_span(buf, len);
    return true;
}

size_t vg_alarm_engine_dirty(const struct vg_alarm_engine *e)
{
    return e->dirty_count + e->collectors.dirty;
}

size_t vg_alarm_engine_sensors(const struct vg_alarm_engine *e)
{
    return e->count;
}

struct vg_alarm_engine_counters vg_alarm_engine_counters(const struct vg_alarm_engine *e)
{
    struct vg_alarm_engine_counters c = e->counters;
    c.duplicates = e->rules.counters.duplicates;
    c.old_stores = e->rules.counters.old_stores;
    return c;
}
