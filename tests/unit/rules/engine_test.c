/* The engine of one partition: its clock, its deadlines, what it restores and what it stores. */
#include "vigia/alarm_engine.h"
#include "vigia/rules_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define S(...) "{\"v\":1,\"sensor\":\"s\",\"device\":\"d\",\"period_ms\":0" __VA_ARGS__ "}"

struct told {
    unsigned count;
    enum vg_alarm_event_kind kind; /* of the newest */
    enum vg_alarm_type type;
    int64_t time_ms;
    char reason[32];
};

static void on_event(void *arg, const struct vg_alarm_event *event)
{
    struct told *told = arg;
    told->count++;
    told->kind = event->kind;
    told->type = event->type;
    told->time_ms = event->time_ms;
    (void)vg_str_copy(event->reason != NULL ? event->reason : "", told->reason,
                      sizeof(told->reason));
}

/* Whoever brings it to the wrong state: no alarm of another sensor is acknowledged there. */
static void a_command_that_names_another_sensor_is_refused(void **unused)
{
    struct vg_rules_conf conf;
    struct vg_rules_state s;
    struct told told = {0};
    struct vg_command c = {.verb = VG_COMMAND_ACKNOWLEDGE, .alarm_id = "attic:smoke:1"};
    (void)unused;
    vg_rules_conf_default(&conf);
    struct vg_rules rules = {.conf = &conf, .event = on_event, .arg = &told};
    assert_true(vg_rules_state_init(&s, VG_SPAN("hall")));
    vg_rules_command(&rules, &s, &c);
    assert_int_equal(told.count, 1);
    assert_string_equal(told.reason, "unknown");
}

static int64_t period_ms = 1000;

static int64_t on_period(void *arg, const char *device, const char *sensor)
{
    (void)arg;
    (void)device;
    (void)sensor;
    return period_ms;
}

static struct vg_alarm_engine *engine(const struct vg_rules_conf *conf, size_t max,
                                      struct told *told)
{
    struct vg_alarm_engine *e = NULL;
    struct vg_alarm_engine_options o = {
        .conf = conf, .max_sensors = max, .event = on_event, .period = on_period, .arg = told};
    assert_int_equal(vg_alarm_engine_new(&o, &e), VG_OK);
    vg_alarm_engine_restored(e);
    return e;
}

static void read_one(struct vg_alarm_engine *e, const char *sensor, uint32_t has, int64_t at_ms)
{
    struct vg_reading m = {.device = "d", .has = has, .time_ms = at_ms, .received_ms = at_ms};
    assert_true(vg_str_copy(sensor, m.sensor, sizeof(m.sensor)));
    m.motion = (has & VG_HAS_MOTION) != 0;
    m.smoke = (has & VG_HAS_SMOKE) != 0;
    m.temperature = 31;
    m.max_temperature = 30;
    vg_alarm_engine_advance(e, at_ms, SIZE_MAX);
    vg_alarm_engine_reading(e, &m);
}

static void restore_into(struct vg_alarm_engine *from, struct vg_alarm_engine *to)
{
    static char buf[VG_ALARM_STATE_MAX];
    struct vg_span key, value;
    struct vg_error err;
    while (vg_alarm_engine_next_dirty(from, buf, &key, &value)) {
        assert_int_equal(vg_alarm_engine_restore(to, value, &err), VG_OK);
    }
}

/* What the log knows may lag behind by as much as the processor before waited for. */
static void a_shorter_patience_than_before_is_no_silence(void **unused)
{
    struct vg_rules_conf before, after;
    struct told told = {0};
    (void)unused;
    vg_rules_conf_default(&before);
    before.supervision = true;
    before.silence_factor = 10;
    after = before;
    after.silence_factor = 3;
    struct vg_alarm_engine *a = engine(&before, 4, &told), *b = engine(&after, 4, &told);
    read_one(a, "hall", VG_HAS_MOTION, 1000);
    read_one(a, "hall", 0, 1000);
    restore_into(a, b); /* as of now */
    read_one(a, "hall", 0, 10500);
    vg_alarm_engine_heartbeat(a, 10500);
    restore_into(a, b);
    vg_alarm_engine_restored(b);
    told.count = 0;
    vg_alarm_engine_advance(b, 13499, SIZE_MAX);
    assert_int_equal(told.count, 0);
    vg_alarm_engine_advance(b, 13500, SIZE_MAX);
    assert_int_equal(told.count, 1);
    vg_alarm_engine_free(a);
    vg_alarm_engine_free(b);
}

/* A state that does not say for how long it was waited, as a version before stored them. */
static void restore_olden(struct vg_alarm_engine *e, const char *sensor)
{
    static const char part[] = ",\"patience_ms\":3000";
    static char buf[VG_ALARM_STATE_MAX];
    struct vg_rules_state s;
    struct vg_error err;
    size_t len;
    assert_true(vg_rules_state_init(&s, vg_span_str(sensor)));
    s.seen_ms = 1000;
    s.period_ms = 1000;
    s.patience_ms = 3000;
    assert_int_equal(vg_rules_state_encode(&s, buf, sizeof(buf), &len), VG_OK);
    char *at = memmem(buf, len, part, sizeof(part) - 1);
    assert_non_null(at);
    const size_t gone = sizeof(part) - 1, after = len - gone - (size_t)(at - buf);
    memmove(at, at + gone, after);
    assert_int_equal(vg_alarm_engine_restore(e, vg_span(buf, len - gone), &err), VG_OK);
}

/* More of them than a transaction takes: it would be refused for ever. */
static void many_sensors_of_a_version_before_are_stored_in_portions(void **unused)
{
    enum { MANY = 20000, PORTION = 2048 };
    struct vg_rules_conf conf;
    struct told told = {0};
    static char buf[VG_ALARM_STATE_MAX];
    char name[16];
    struct vg_span key, value;
    size_t stored = 0;
    (void)unused;
    vg_rules_conf_default(&conf);
    struct vg_alarm_engine *e = engine(&conf, MANY, &told);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof(name), "s%d", i);
        restore_olden(e, name);
    }
    vg_alarm_engine_restored(e);
    assert_int_equal(vg_alarm_engine_dirty(e), 0);
    for (int i = 0; i <= MANY / PORTION; i++) {
        assert_true(vg_alarm_engine_advance(e, 2000, PORTION) <= PORTION);
        assert_true(vg_alarm_engine_dirty(e) <= PORTION);
        while (vg_alarm_engine_next_dirty(e, buf, &key, &value)) {
            stored++;
        }
    }
    assert_int_equal(stored, MANY);
    assert_int_equal(vg_alarm_engine_advance(e, 2000, PORTION), 0);
    assert_int_equal(vg_alarm_engine_dirty(e), 0);
    assert_int_equal(told.count, 0);
    vg_alarm_engine_free(e);
}

/* Grace for what the log may not know, once: a processor that restarts again and again must tell. */
static void a_sensor_of_a_version_before_has_grace_until_it_is_stored(void **unused)
{
    struct vg_rules_conf conf;
    struct told told = {0};
    (void)unused;
    vg_rules_conf_default(&conf);
    struct vg_alarm_engine *a = engine(&conf, 1, &told), *b = engine(&conf, 1, &told);
    restore_olden(a, "hall");
    vg_alarm_engine_advance(a, 5000, SIZE_MAX); /* the clock of the partition */
    vg_alarm_engine_restored(a);
    vg_alarm_engine_advance(a, 7999, SIZE_MAX);
    assert_int_equal(told.count, 0);
    restore_into(a, b);
    vg_alarm_engine_advance(b, 7999, SIZE_MAX);
    vg_alarm_engine_restored(b);
    vg_alarm_engine_advance(b, 7999, SIZE_MAX);
    assert_int_equal(told.count, 0);
    vg_alarm_engine_advance(b, 8000, SIZE_MAX);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.type, VG_ALARM_SILENCE);
    vg_alarm_engine_free(a);
    vg_alarm_engine_free(b);
}

/* The state of such a sensor would be restored in place of the collectors' own, with the clock. */
static void a_sensor_that_takes_the_collectors_name_is_told_but_not_kept(void **unused)
{
    struct vg_rules_conf conf;
    struct told told = {0};
    char buf[VG_ALARM_STATE_MAX];
    struct vg_span key, value;
    (void)unused;
    vg_rules_conf_default(&conf);
    struct vg_alarm_engine *e = engine(&conf, 4, &told);
    read_one(e, "collectors/0", VG_HAS_SMOKE, 1000);
    assert_int_equal(told.count, 1);
    assert_string_equal(told.reason, "no-room");
    assert_int_equal(vg_alarm_engine_counters(e).no_room, 1);
    assert_int_equal(vg_alarm_engine_sensors(e), 0);
    assert_false(vg_alarm_engine_next_dirty(e, buf, &key, &value));
    vg_alarm_engine_free(e);
}

static void a_sensor_without_room_is_told_and_counted(void **unused)
{
    struct vg_rules_conf conf;
    struct told told = {0};
    (void)unused;
    vg_rules_conf_default(&conf);
    struct vg_alarm_engine *e = engine(&conf, 1, &told);
    read_one(e, "one", VG_HAS_MOTION, 1000);
    assert_int_equal(told.count, 1);
    read_one(e, "two", VG_HAS_OK, 1001);
    assert_int_equal(told.count, 1);
    read_one(e, "two", VG_HAS_MOTION | VG_HAS_SMOKE | VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE,
             1002);
    assert_int_equal(told.count, 4);
    assert_string_equal(told.reason, "no-room");
    read_one(e, "two", VG_HAS_MOTION, 1003);
    assert_int_equal(told.count, 5);
    assert_int_equal(vg_alarm_engine_counters(e).no_room, 3);
    assert_int_equal(vg_alarm_engine_sensors(e), 1);
    assert_int_equal(vg_alarm_engine_restore(e, vg_span_str(S("")), NULL), VG_E_FULL);
    vg_alarm_engine_free(e);
}

/* The clock was a day ahead once: what it says must not hold every deadline until then. */
static void an_engine_whose_clock_was_ahead_supervises_from_now_on(void **unused)
{
    const int64_t day_ms = 86400000, now_ms = 100 * day_ms, slack_ms = 60000;
    struct vg_rules_conf conf;
    struct told told = {0};
    struct vg_error err;
    struct vg_reading unsynced = {.sensor = "hall",
                                  .device = "d",
                                  .has = VG_HAS_MOTION,
                                  .motion = true,
                                  .quality = VG_QUALITY_UNSYNCED};
    static char buf[3][VG_ALARM_STATE_MAX];
    struct vg_span key, value[3];
    (void)unused;
    vg_rules_conf_default(&conf);
    struct vg_alarm_engine *e = engine(&conf, 4, &told);
    vg_alarm_engine_advance(e, now_ms + day_ms, SIZE_MAX);
    vg_alarm_engine_heartbeat(e, now_ms + day_ms);
    read_one(e, "hall", VG_HAS_OK, now_ms + day_ms);
    read_one(e, "hall", VG_HAS_SMOKE, now_ms + day_ms);
    read_one(e, "attic", VG_HAS_SMOKE, now_ms + day_ms);
    assert_int_equal(told.count, 2);
    for (size_t i = 0; i < 3; i++) {
        assert_true(vg_alarm_engine_next_dirty(e, buf[i], &key, &value[i]));
    }
    struct vg_alarm_engine *next = NULL;
    struct vg_alarm_engine_options o = {
        .conf = &conf, .max_sensors = 4, .event = on_event, .period = on_period, .arg = &told};
    assert_int_equal(vg_alarm_engine_new(&o, &next), VG_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(vg_alarm_engine_restore(next, value[i], &err), VG_OK);
    }
    vg_alarm_engine_restored(next);
    vg_alarm_engine_advance(next, 0, SIZE_MAX); /* as it runs before it is set back */
    assert_int_equal(vg_alarm_engine_dirty(next), 0);
    struct vg_alarm_engine *both[] = {e, next}; /* while it runs, and when it is restored */
    for (size_t i = 0; i < 2; i++) {
        told.count = 0;
        assert_int_equal(vg_alarm_engine_set_back(both[i], now_ms, slack_ms), 3);
        assert_int_equal(vg_alarm_engine_set_back(both[i], now_ms, slack_ms), 0);
        assert_true(vg_alarm_engine_clock(both[i]) == now_ms);
        /* Stored: the clock at once, the sensors in portions. */
        assert_int_equal(vg_alarm_engine_dirty(both[i]), 1);
        assert_int_equal(vg_alarm_engine_advance(both[i], now_ms, 1), 1);
        assert_int_equal(vg_alarm_engine_dirty(both[i]), 2);
        assert_int_equal(vg_alarm_engine_advance(both[i], now_ms, 2), 1);
        assert_int_equal(vg_alarm_engine_dirty(both[i]), 3);
        /* The OK of tomorrow is forgotten, and what arrives now does so now. */
        unsynced.time_ms = unsynced.received_ms = now_ms + 1;
        vg_alarm_engine_advance(both[i], now_ms + 1, SIZE_MAX);
        vg_alarm_engine_reading(both[i], &unsynced);
        assert_int_equal(told.count, 1);
        assert_int_equal(told.kind, VG_RAISED);
        assert_true(told.time_ms == now_ms + 1);
        /* The strike of tomorrow is one of now, and the third raises. */
        read_one(both[i], "hall", VG_HAS_SMOKE, now_ms + 2);
        assert_int_equal(told.count, 1);
        read_one(both[i], "hall", VG_HAS_SMOKE, now_ms + 3);
        assert_int_equal(told.count, 2);
        assert_int_equal(told.kind, VG_RAISED);
        assert_true(told.time_ms == now_ms + 3);
        /* Twice the patience for a state that was restored. */
        vg_alarm_engine_advance(both[i], now_ms + 6 * period_ms, SIZE_MAX);
        assert_int_equal(told.count, 4);
        assert_int_equal(told.type, VG_ALARM_SILENCE);
        vg_alarm_engine_advance(both[i], now_ms + conf.heartbeat_ms, SIZE_MAX);
        assert_int_equal(told.count, 5);
        assert_int_equal(told.type, VG_ALARM_COLLECTOR);
        vg_alarm_engine_advance(both[i], now_ms + conf.window_ms, SIZE_MAX);
        assert_int_equal(told.count, 6); /* of the attic */
        assert_int_equal(told.kind, VG_PRE_ALARM_EXPIRED);
        vg_alarm_engine_free(both[i]);
    }
}

static void read_stored(struct vg_alarm_engine *e, uint32_t has, uint64_t store, uint64_t seq,
                        int64_t time_ms, int64_t received_ms)
{
    struct vg_reading m = {.sensor = "hall",
                           .device = "d",
                           .has = has,
                           .motion = (has & VG_HAS_MOTION) != 0,
                           .smoke = (has & VG_HAS_SMOKE) != 0,
                           .lane = VG_LANE_URGENT,
                           .store = store,
                           .seq = seq,
                           .time_ms = time_ms,
                           .received_ms = received_ms};
    vg_alarm_engine_advance(e, received_ms, SIZE_MAX);
    vg_alarm_engine_reading(e, &m);
}

/* All that a sensor remembers is of tomorrow: 32 stores, and an OK. The smoke that a device saw
 * while the processor was down must raise, in this instance and after the next restart. */
static void an_ok_and_stores_ahead_suppress_no_alarm_of_a_backlog(void **unused)
{
    const int64_t day_ms = 86400000, now_ms = 100 * day_ms;
    struct vg_rules_conf conf;
    struct told told = {0};
    (void)unused;
    vg_rules_conf_default(&conf);
    conf.supervision = false;
    struct vg_alarm_engine *e = engine(&conf, 2, &told), *next = engine(&conf, 2, &told);
    for (uint64_t store = 1; store <= VG_RULES_STORES_MAX; store++) {
        read_stored(e, VG_HAS_OK, store, 1, now_ms + day_ms, now_ms + day_ms);
    }
    assert_int_equal(vg_alarm_engine_set_back(e, now_ms, 60000), 2);
    vg_alarm_engine_advance(e, now_ms, SIZE_MAX);
    restore_into(e, next);
    vg_alarm_engine_restored(next);
    assert_int_equal(vg_alarm_engine_set_back(next, now_ms + 2000, 0), 0); /* it was stored */
    /* Measured before the clock was set back, of a buffer that is known; then of a new one. */
    struct vg_alarm_engine *both[] = {e, next};
    for (size_t i = 0; i < 2; i++) {
        told.count = 0;
        for (uint64_t seq = 2; seq <= 4; seq++) {
            read_stored(both[i], VG_HAS_SMOKE, 7, seq, now_ms - 5000 + (int64_t)seq, now_ms + 2000);
        }
        assert_int_equal(told.count, 2);
        assert_int_equal(told.kind, VG_RAISED);
        assert_int_equal(told.type, VG_ALARM_SMOKE);
        read_stored(both[i], VG_HAS_MOTION, 77, 1, now_ms + 3000, now_ms + 3000);
        assert_int_equal(told.count, 3);
        assert_int_equal(told.kind, VG_RAISED);
        assert_int_equal(told.type, VG_ALARM_MOTION);
        assert_int_equal(vg_alarm_engine_counters(both[i]).old_stores, 0);
        vg_alarm_engine_free(both[i]);
    }
}

static void an_engine_that_is_a_little_ahead_stays_as_it_is(void **unused)
{
    struct vg_rules_conf conf;
    struct told told = {0};
    (void)unused;
    vg_rules_conf_default(&conf);
    struct vg_alarm_engine *e = engine(&conf, 4, &told);
    assert_int_equal(vg_alarm_engine_set_back(e, 1000, 0), 0);
    read_one(e, "hall", VG_HAS_SMOKE, 61000);
    assert_int_equal(vg_alarm_engine_set_back(e, 1000, 60000), 0);
    assert_true(vg_alarm_engine_clock(e) == 61000);
    assert_int_equal(vg_alarm_engine_set_back(e, 1000, 59999), 2);
    assert_true(vg_alarm_engine_clock(e) == 1000);
    vg_alarm_engine_free(e);
}

/* Each time by what was ahead then; what was not is left alone. */
static void a_clock_that_is_set_back_again_before_it_is_stored_stores_each_state_once(void **unused)
{
    struct vg_rules_conf conf;
    struct told told = {0};
    (void)unused;
    vg_rules_conf_default(&conf);
    struct vg_alarm_engine *e = engine(&conf, 4, &told), *log = engine(&conf, 4, &told);
    read_one(e, "attic", VG_HAS_SMOKE, 1000);
    read_one(e, "hall", VG_HAS_SMOKE, 90000);
    restore_into(e, log);
    assert_int_equal(vg_alarm_engine_set_back(e, 5000, 60000), 2); /* the clock, the hall */
    assert_int_equal(vg_alarm_engine_set_back(e, 2000, 2000), 2);
    assert_int_equal(vg_alarm_engine_dirty(e), 1);
    assert_int_equal(vg_alarm_engine_advance(e, 2000, SIZE_MAX), 1);
    assert_int_equal(vg_alarm_engine_dirty(e), 2);
    vg_alarm_engine_free(e);
    vg_alarm_engine_free(log);
}

/* A state of the collectors without the partition's clock, as any writer may leave it. */
static void collectors_heard_of_ahead_are_set_back_without_a_clock(void **unused)
{
    struct vg_rules_conf conf;
    struct told told = {0};
    struct vg_error err;
    (void)unused;
    vg_rules_conf_default(&conf);
    conf.supervision = true;
    struct vg_alarm_engine *e = engine(&conf, 4, &told);
    assert_int_equal(vg_alarm_engine_restore(e,
                                             VG_SPAN("{\"v\":1,\"sensor\":\"collectors/0\","
                                                     "\"device\":\"\",\"seen_ms\":900000000}"),
                                             &err),
                     VG_OK);
    vg_alarm_engine_restored(e);
    assert_int_equal(vg_alarm_engine_clock(e), VG_LONG_AGO_MS);
    assert_int_equal(vg_alarm_engine_set_back(e, 1000, 0), 1);
    vg_alarm_engine_advance(e, 1000 + conf.heartbeat_ms - 1, SIZE_MAX);
    assert_int_equal(told.count, 0);
    vg_alarm_engine_advance(e, 1000 + conf.heartbeat_ms, SIZE_MAX);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.type, VG_ALARM_COLLECTOR);
    vg_alarm_engine_free(e);
}

static void deadlines_are_told_in_portions(void **unused)
{
    struct vg_rules_conf conf;
    struct told told = {0};
    char name[16];
    (void)unused;
    vg_rules_conf_default(&conf);
    conf.heartbeat_ms = 1000000;
    struct vg_alarm_engine *e = engine(&conf, 100, &told);
    assert_int_equal(vg_alarm_engine_next(e), VG_NEVER_MS);
    assert_int_equal(vg_alarm_engine_clock(e), VG_LONG_AGO_MS);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "s%d", i);
        read_one(e, name, VG_HAS_OK, 1000);
    }
    assert_int_equal(vg_alarm_engine_next(e), 4000);
    assert_int_equal(vg_alarm_engine_advance(e, 3999, 30), 0);
    assert_int_equal(vg_alarm_engine_advance(e, 4000, 30), 30);
    assert_int_equal(vg_alarm_engine_advance(e, 4000, 100), 70);
    assert_int_equal(told.count, 100);
    assert_int_equal(vg_alarm_engine_next(e), 1001000);
    /* What the end of a supervision clears is told in portions too. */
    period_ms = 0;
    vg_alarm_engine_devices_changed(e);
    assert_int_equal(vg_alarm_engine_advance(e, 4001, 60), 60);
    assert_int_equal(vg_alarm_engine_advance(e, 4001, 60), 40);
    period_ms = 1000;
    assert_int_equal(told.count, 200);
    vg_alarm_engine_free(e);
}

/* Each is stored, and what is stored at once has to fit one transaction. */
static void changes_of_periods_are_taken_in_portions(void **unused)
{
    struct vg_rules_conf conf;
    struct told told = {0};
    char name[8], buf[VG_ALARM_STATE_MAX];
    struct vg_span key, value;
    (void)unused;
    vg_rules_conf_default(&conf);
    struct vg_alarm_engine *e = engine(&conf, 10, &told);
    for (int i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof(name), "s%d", i);
        read_one(e, name, VG_HAS_TEMPERATURE, 1000);
    }
    while (vg_alarm_engine_next_dirty(e, buf, &key, &value)) {
    }
    period_ms = 2000;
    vg_alarm_engine_devices_changed(e);
    assert_int_equal(vg_alarm_engine_advance(e, 1000, 4), 4);
    assert_int_equal(vg_alarm_engine_dirty(e), 4);
    assert_int_equal(vg_alarm_engine_advance(e, 1000, 100), 6);
    assert_int_equal(vg_alarm_engine_dirty(e), 10);
    assert_int_equal(vg_alarm_engine_advance(e, 1000, 100), 0);
    period_ms = 1000;
    vg_alarm_engine_free(e);
}

static void an_engine_of_impossible_size_is_refused(void **unused)
{
    struct vg_alarm_engine *e = NULL;
    struct vg_alarm_engine_options o = {.max_sensors = 0};
    (void)unused;
    assert_int_equal(vg_alarm_engine_new(&o, &e), VG_E_RANGE);
    o.max_sensors = (1u << 26) + 1;
    assert_int_equal(vg_alarm_engine_new(&o, &e), VG_E_RANGE);
    assert_null(e);
    vg_alarm_engine_free(NULL);
}

static void a_stored_state_that_is_damaged_is_refused(void **unused)
{
    struct vg_rules_conf conf;
    struct told told = {0};
    struct vg_error err;
    (void)unused;
    vg_rules_conf_default(&conf);
    struct vg_alarm_engine *e = engine(&conf, 1, &told);
    assert_int_equal(vg_alarm_engine_restore(e, VG_SPAN("{\"v\":1"), &err), VG_E_INVALID);
    assert_int_equal(vg_alarm_engine_restore(e, VG_SPAN("{\"v\":9,\"sensor\":\"s\"}"), &err),
                     VG_E_VERSION);
    vg_alarm_engine_free(e);
}

static void a_patience_that_overflows_is_for_ever(void **unused)
{
    struct vg_rules_conf conf;
    struct vg_rules_state s;
    (void)unused;
    vg_rules_conf_default(&conf);
    assert_true(vg_rules_state_init(&s, VG_SPAN("s")));
    s.seen_ms = 1000;
    s.period_ms = INT64_MAX / 2;
    assert_int_equal(vg_rules_silence(&conf, &s, VG_LONG_AGO_MS), VG_NEVER_MS);
    assert_false(vg_rules_state_init(&s, VG_SPAN("")));
    assert_false(vg_rules_state_init(
        &s, VG_SPAN("0123456789012345678901234567890123456789012345678901234567890123")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_that_names_another_sensor_is_refused),
        cmocka_unit_test(a_shorter_patience_than_before_is_no_silence),
        cmocka_unit_test(many_sensors_of_a_version_before_are_stored_in_portions),
        cmocka_unit_test(a_sensor_of_a_version_before_has_grace_until_it_is_stored),
        cmocka_unit_test(a_sensor_that_takes_the_collectors_name_is_told_but_not_kept),
        cmocka_unit_test(a_sensor_without_room_is_told_and_counted),
        cmocka_unit_test(an_engine_whose_clock_was_ahead_supervises_from_now_on),
        cmocka_unit_test(an_ok_and_stores_ahead_suppress_no_alarm_of_a_backlog),
        cmocka_unit_test(an_engine_that_is_a_little_ahead_stays_as_it_is),
        cmocka_unit_test(a_clock_that_is_set_back_again_before_it_is_stored_stores_each_state_once),
        cmocka_unit_test(collectors_heard_of_ahead_are_set_back_without_a_clock),
        cmocka_unit_test(deadlines_are_told_in_portions),
        cmocka_unit_test(changes_of_periods_are_taken_in_portions),
        cmocka_unit_test(an_engine_of_impossible_size_is_refused),
        cmocka_unit_test(a_stored_state_that_is_damaged_is_refused),
        cmocka_unit_test(a_patience_that_overflows_is_for_ever),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
