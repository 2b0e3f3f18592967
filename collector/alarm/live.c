/* The live processor: records of the log into the engines of the partitions, events and states
 * back, one commit.
 *
 *   turn:  devices ─► poll ─► handle each record ─► deadlines ─► states ─► commit
 *
 * A commit covers every record that was polled, so a batch is handled whole before it. What tells
 * an event commits at the end of its batch, routine progress each commit_interval. When anything
 * goes wrong in between, the transaction is dropped: the log then tells every partition anew, and
 * the engines with what they had learnt are forgotten with it. */
#include "alarm.h"
#include "metrics.h"
#include "wall.h"

#include "vigia/devices.h"
#include "vigia/dlog_admin.h"
#include "vigia/dlog_processor.h"
#include "vigia/fault.h"
#include "vigia/log.h"
#include "vigia/program.h"
#include "vigia/random.h"
#include "vigia/rules_json.h"

#include <assert.h>
#include <stdlib.h>

/* One batch, so that the outputs of its worst case fit a transaction: each reading up to eight
 * records (two pre-alarms that expire, two that begin, motion, the end of a silence and of a
 * storage alarm, its state), each deadline two. */
#define BATCH          1024
#define DEADLINES_MAX  2048
#define BATCHES_A_TURN 16
#define PACE_MS        10 /* between two turns that the log wakes */
#define URGENT_MS      20 /* that an event waits for its commit at most, while there is a backlog */
#define COMMIT_RECORDS 4096  /* commit when so many wait, whatever the time */
#define COMMIT_GIVE_UP 20000 /* ms after which a commit that is refused for now is given up */
#define COMMIT_AGAIN   50    /* ms between two tries of it */
/* A received time further ahead of the wall clock than this is that of a collector whose clock is
 * wrong; the record counts as received now. A partition's clock further ahead went by a wrong wall
 * clock of our own; it is set back. */
#define AHEAD_MAX_MS 60000
static_assert(AHEAD_MAX_MS >= VGI_WALL_LEAP_MS, "a step that is no leap sets no clock back");
static_assert(BATCH * 8 + DEADLINES_MAX * 2 + COMMIT_RECORDS <= VG_DLOG_TXN_RECORDS_MAX,
              "the worst batch fits a transaction");

#define TOPICS                                                                                     \
    (VG_TOPIC_BIT(VG_TOPIC_READINGS) | VG_TOPIC_BIT(VG_TOPIC_COMMANDS) |                           \
     VG_TOPIC_BIT(VG_TOPIC_DEVICES) | VG_TOPIC_BIT(VG_TOPIC_ALARMS) |                              \
     VG_TOPIC_BIT(VG_TOPIC_ALARM_STATE))

struct alarm;

struct part {
    struct alarm *alarm;
    int32_t number;
    struct vg_alarm_engine *engine; /* NULL: not ours */
    struct vg_alarm_engine_counters counted;
    bool caught_up;
    bool compared; /* its states with our clock, which stood */
};

struct alarm {
    const struct vgi_alarm_conf *conf;
    struct vg_loop *loop;
    struct vg_dlog *log;
    struct vg_devices *devices;
    uint64_t devices_refused; /* as told so far */
    struct vg_dlog_processor *processor;
    struct part *parts;
    int32_t part_count;
    vg_watch_id devices_watch, processor_watch;
    vg_timer_id timer, pace;
    bool devices_changed;
    bool uncommitted;  /* records were handled since the last commit */
    bool urgent;       /* and an event was told */
    bool broken;       /* the transaction cannot be committed */
    bool commit_waits; /* refused for now */
    bool failed;       /* the program ends */
    size_t deadlines_left;
    struct vg_mono commit_due, urgent_due, give_up;
    struct vgi_wall wall;
    uint64_t seed;
    struct vg_reading reading;
    struct vg_dlog_record records[BATCH];
    char buf[VG_ALARM_STATE_MAX];
};

static void turn(void *arg);

static void fail_as(struct alarm *a, const char *what, const struct vg_error *err, int exit_code)
{
    if (!a->failed) {
        struct vg_error located = *err;
        vg_program_locate(&located);
        vg_log_error("alarm-failed", "doing=%s class=%s error=%s", what, vg_err_name(err->code),
                     VG_Q(located.text));
        a->failed = true;
        vg_program_fail(exit_code);
    }
}

static void fail(struct alarm *a, const char *what, const struct vg_error *err)
{
    fail_as(a, what, err, VG_EXIT_FAIL);
}

static void append(struct alarm *a, enum vg_topic topic, int32_t partition, struct vg_span key,
                   struct vg_span value)
{
    if (!a->broken &&
        vg_dlog_processor_append(a->processor, topic, partition, key, value) != VG_OK) {
        a->broken = true;
    }
}

static void on_event(void *arg, const struct vg_alarm_event *event)
{
    struct part *p = arg;
    char json[VG_ALARM_EVENT_MAX];
    size_t len;
    if (vg_alarm_event_encode(event, json, sizeof(json), &len) != VG_OK) {
        p->alarm->broken = true;
        return;
    }
    vgi_metrics_event(event->kind);
    struct alarm *a = p->alarm;
    if (!a->urgent) {
        a->urgent = true;
        a->urgent_due = vg_mono_add_ms(vg_now_mono(vg_loop_clock(a->loop)), URGENT_MS);
    }
    append(p->alarm, VG_TOPIC_ALARMS, p->number, vg_span_str(event->sensor), vg_span(json, len));
    if (VG_FAULT(ALARM_OUTPUT)) {
        p->alarm->broken = true;
    }
}

static int64_t on_period(void *arg, const char *device, const char *sensor)
{
    const struct part *p = arg;
    const struct vg_device *d = vg_devices_find(p->alarm->devices, vg_span_str(device));
    if (d == NULL || d->state != VG_DEVICE_ACTIVE || d->period_ms == 0 ||
        !vg_device_may(d, vg_span_str(sensor))) {
        return 0;
    }
    return strcmp(device, sensor) == 0 ? p->alarm->conf->rules.alive_ms : d->period_ms;
}

static void on_device(void *arg, const char *name, const struct vg_device *now)
{
    struct alarm *a = arg;
    (void)name;
    (void)now;
    a->devices_changed = true;
}

/* ---- time ---- */

static int64_t wall_ms(const struct alarm *a)
{
    return vg_now_wall(vg_loop_clock(a->loop)).ms;
}

/* Whether our clock has stood for long enough to set a partition's back by it; see wall.h. */
static bool clock_stands(struct alarm *a)
{
    const struct vg_clock *clock = vg_loop_clock(a->loop);
    const struct vg_boot boot = vg_now_boot(clock);
    const int64_t leap_ms = vgi_alarm_wall_look(&a->wall, vg_now_wall(clock), boot);
    if (leap_ms != 0) {
        vg_log_warn(leap_ms > 0 ? "clock-leapt" : "clock-back", "leap_ms=%lld", (long long)leap_ms);
        vgi_metrics_clock_leapt();
    }
    return vgi_alarm_wall_stands(&a->wall, boot, VGI_WALL_STANDS_MS);
}

/* A clock ahead of ours, which stands, went by a wall clock that was wrong, here or where the state
 * was stored: until then no deadline would be due. Of a restored partition the states are looked at
 * once, too: they may be stored ahead of their clock. */
static void compare_clock(struct part *p, int64_t now_ms)
{
    const int64_t clock_ms = vg_alarm_engine_clock(p->engine);
    if (p->compared && clock_ms <= now_ms + AHEAD_MAX_MS) {
        return;
    }
    p->compared = true;
    size_t states = vg_alarm_engine_set_back(p->engine, now_ms, AHEAD_MAX_MS);
    if (states > 0) {
        vgi_metrics_clock_set_back();
        vg_log_warn("partition-clock-set-back", "partition=%d ms=%lld states=%zu", (int)p->number,
                    (long long)(clock_ms > now_ms ? clock_ms - now_ms : 0), states);
    }
}

/* ---- partitions ---- */

static void on_assigned(void *arg, int32_t number)
{
    struct alarm *a = arg;
    struct part *p = &a->parts[number];
    struct vg_alarm_engine_options options = {.conf = &a->conf->rules,
                                              .partition = number,
                                              .max_sensors = (size_t)a->conf->max_sensors,
                                              .seed = a->seed,
                                              .event = on_event,
                                              .period = on_period,
                                              .arg = p};
    vg_alarm_engine_free(p->engine);
    *p = (struct part){.alarm = a, .number = number};
    if (vg_alarm_engine_new(&options, &p->engine) != VG_OK) {
        struct vg_error err;
        (void)vg_fail(&err, VG_E_NOMEM, "no memory for %zu sensors", options.max_sensors);
        fail(a, "assign", &err);
    }
}

static void on_state(void *arg, int32_t number, struct vg_span key, struct vg_span value)
{
    struct alarm *a = arg;
    struct vg_error err;
    (void)key;
    if (a->failed || value.at == NULL) {
        return;
    }
    /* Going on without it would give out alarm ids a second time. */
    if (vg_alarm_engine_restore(a->parts[number].engine, value, &err) != VG_OK) {
        fail(a, "restore", &err);
    }
}

static void on_restored(void *arg, int32_t number)
{
    struct alarm *a = arg;
    if (!a->failed) {
        vg_alarm_engine_restored(a->parts[number].engine);
        vg_log_info("partition-restored", "partition=%d sensors=%zu", (int)number,
                    vg_alarm_engine_sensors(a->parts[number].engine));
    }
}

static void on_caught_up(void *arg, int32_t number)
{
    struct alarm *a = arg;
    a->parts[number].caught_up = true;
    vg_log_info("partition-caught-up", "partition=%d", (int)number);
}

static void on_revoked(void *arg, int32_t number)
{
    struct alarm *a = arg;
    vg_alarm_engine_free(a->parts[number].engine);
    a->parts[number] = (struct part){.alarm = a, .number = number};
    vg_log_info("partition-revoked", "partition=%d", (int)number);
}

/* ---- records ---- */

static void unreadable(struct alarm *a, const struct vg_dlog_record *r, const struct vg_error *err)
{
    if (err->code == VG_E_VERSION) {
        fail(a, "read", err);
        return;
    }
    vgi_metrics_unreadable();
    vg_log_warn("record-unreadable", "topic=%s partition=%d offset=%lld error=%s",
                vg_topic_spec(r->topic)->name, (int)r->partition, (long long)r->offset,
                VG_Q(err->text));
}

static void advance(struct alarm *a, struct part *p, int64_t now_ms)
{
    a->deadlines_left -= vg_alarm_engine_advance(p->engine, now_ms, a->deadlines_left);
}

/* The partition's clock does not go back by itself: one wrong collector would end every pre-alarm
 * now and hold all deadlines until its time has come. */
static int64_t received(const struct alarm *a, const struct vg_dlog_record *r, int64_t received_ms)
{
    const int64_t now_ms = wall_ms(a);
    if (received_ms <= now_ms + AHEAD_MAX_MS) {
        return received_ms;
    }
    vgi_metrics_ahead();
    vg_log_warn("received-ahead", "partition=%d offset=%lld ms=%lld", (int)r->partition,
                (long long)r->offset, (long long)(received_ms - now_ms));
    return now_ms;
}

static void on_reading(struct alarm *a, struct part *p, const struct vg_dlog_record *r)
{
    struct vg_heartbeat beat;
    enum vg_record_kind kind;
    struct vg_error err;
    if (vg_record_decode(r->value, &kind, &a->reading, &beat, &err) != VG_OK) {
        unreadable(a, r, &err);
    } else if (kind == VG_RECORD_HEARTBEAT) {
        beat.received_ms = received(a, r, beat.received_ms);
        advance(a, p, beat.received_ms);
        vg_alarm_engine_heartbeat(p->engine, beat.received_ms);
    } else {
        a->reading.received_ms = received(a, r, a->reading.received_ms);
        advance(a, p, a->reading.received_ms);
        vg_alarm_engine_reading(p->engine, &a->reading);
    }
}

static void on_record(struct alarm *a, const struct vg_dlog_record *r)
{
    struct part *p = &a->parts[r->partition];
    struct vg_command command;
    struct vg_error err;
    if (r->value.at == NULL || p->engine == NULL) {
        return;
    }
    if (r->topic == VG_TOPIC_READINGS) {
        on_reading(a, p, r);
    } else if (vg_command_decode(r->value, &command, &err) != VG_OK) {
        unreadable(a, r, &err);
    } else {
        vg_alarm_engine_command(p->engine, &command);
    }
}

static void count(struct part *p)
{
    struct vg_alarm_engine_counters now = vg_alarm_engine_counters(p->engine);
    if (now.no_room > p->counted.no_room) {
        vg_log_error("sensors-no-room", "partition=%d max_sensors=%lld readings=%llu",
                     (int)p->number, (long long)p->alarm->conf->max_sensors,
                     (unsigned long long)(now.no_room - p->counted.no_room));
    }
    vgi_metrics_engine(&now, &p->counted);
    p->counted = now;
}

/* ---- commit ---- */

static void store_states(struct alarm *a)
{
    struct vg_span key, value;
    for (int32_t i = 0; i < a->part_count; i++) {
        struct part *p = &a->parts[i];
        while (p->engine != NULL && !a->broken &&
               vg_alarm_engine_next_dirty(p->engine, a->buf, &key, &value)) {
            append(a, VG_TOPIC_ALARM_STATE, i, key, value);
            if (VG_FAULT(ALARM_STATE)) {
                a->broken = true;
            }
        }
    }
}

static void drop(struct alarm *a, const char *why)
{
    struct vg_error err;
    vg_log_warn("transaction-dropped", "why=%s", why);
    vgi_metrics_dropped();
    if (vg_dlog_processor_abort(a->processor, &err) != VG_OK) {
        fail(a, "abort", &err);
    }
    a->broken = a->urgent = a->uncommitted = a->commit_waits = false;
}

static void commit(struct alarm *a)
{
    struct vg_error err;
    struct vg_mono now = vg_now_mono(vg_loop_clock(a->loop));
    if (!a->commit_waits) {
        store_states(a);
        a->give_up = vg_mono_add_ms(now, COMMIT_GIVE_UP);
    }
    if (a->broken) {
        drop(a, "append");
        return;
    }
    enum vg_err rc = VG_FAULT(ALARM_BEFORE_COMMIT) ? vg_fail(&err, VG_E_AGAIN, "fault point")
                                                   : vg_dlog_processor_commit(a->processor, &err);
    a->commit_waits = rc == VG_E_AGAIN;
    switch (rc) {
    case VG_OK:
        (void)VG_FAULT(ALARM_AFTER_COMMIT);
        vgi_metrics_commit();
        break;
    case VG_E_AGAIN:
        vg_log_warn("commit-waits", "error=%s", VG_Q(err.text));
        if (now.ns >= a->give_up.ns) {
            drop(a, "commit");
        }
        return;
    case VG_E_CONFLICT:
        /* The next poll takes everything away and gives it again. */
        vg_log_warn("commit-refused", "error=%s", VG_Q(err.text));
        break;
    default:
        fail(a, "commit", &err);
        return;
    }
    a->urgent = a->uncommitted = false;
    a->commit_due = vg_mono_add_ms(now, a->conf->commit_ms);
}

/* An event commits at once, or with a backlog (whose next batch has one too) a little later. */
static void commit_if_due(struct alarm *a, bool backlog)
{
    size_t waiting = vg_dlog_processor_pending(a->processor);
    for (int32_t i = 0; i < a->part_count; i++) {
        if (a->parts[i].engine != NULL) {
            waiting += vg_alarm_engine_dirty(a->parts[i].engine);
        }
    }
    if (!a->uncommitted && !a->broken && waiting == 0) {
        return;
    }
    const int64_t now_ns = vg_now_mono(vg_loop_clock(a->loop)).ns;
    const bool urgent = a->urgent && (!backlog || now_ns >= a->urgent_due.ns);
    if (urgent || a->broken || waiting >= COMMIT_RECORDS || now_ns >= a->commit_due.ns) {
        commit(a);
    }
}

/* ---- the loop ---- */

/* Nothing is applied before the devices are known; once they are, a pause of their view holds
 * nobody up. */
static bool follow_devices(struct alarm *a)
{
    struct vg_error err;
    enum vg_err rc = vg_devices_dispatch(a->devices, &err);
    if (rc != VG_OK && rc != VG_E_AGAIN && rc != VG_E_TIMEOUT) {
        fail(a, "devices", &err);
    }
    const uint64_t refused = vg_devices_refused(a->devices);
    if (refused != a->devices_refused) {
        /* Fails open here: what such a device speaks for is not supervised. */
        vgi_metrics_devices_refused(refused - a->devices_refused);
        a->devices_refused = refused;
        vg_log_error("device-entry-refused", "error=%s", VG_Q(vg_devices_refusal(a->devices)));
    }
    return !a->failed && vg_devices_caught_up(a->devices);
}

/* One poll and all that follows from it; false: nothing more for now. */
static bool batch(struct alarm *a)
{
    struct vg_error err;
    size_t got = 0;
    /* Taken before the poll: what was appended until then and is not in it, may be on its way for
     * settle at most. */
    const int64_t now_ms = wall_ms(a);
    enum vg_err rc = vg_dlog_processor_poll(a->processor, 0, a->records, BATCH, &got, &err);
    if (rc != VG_OK && rc != VG_E_AGAIN && rc != VG_E_TIMEOUT) {
        /* Starting again does not bring back what has left the log: the line names the way out. */
        fail_as(a, "poll", &err, rc == VG_E_RANGE ? VG_EXIT_CONFIG : VG_EXIT_FAIL);
    }
    if (rc != VG_OK || a->failed) {
        return false;
    }
    if (got > 0) {
        (void)VG_FAULT(ALARM_POLLED);
    }
    a->deadlines_left = DEADLINES_MAX;
    for (size_t i = 0; i < got && !a->failed && !a->broken; i++) {
        on_record(a, &a->records[i]);
        (void)VG_FAULT(ALARM_APPLIED);
    }
    a->uncommitted = a->uncommitted || got > 0;
    const int64_t applied_ms = wall_ms(a);
    const bool stands =
        clock_stands(a); /* looked at last: applied_ms is of the clock that stands */
    for (int32_t i = 0; i < a->part_count && !a->failed; i++) {
        struct part *p = &a->parts[i];
        if (p->engine == NULL) {
            continue;
        }
        if (a->devices_changed) {
            vg_alarm_engine_devices_changed(p->engine);
        }
        if (stands) {
            compare_clock(p, applied_ms);
        }
        if (p->caught_up && got == 0) {
            advance(a, p, now_ms - a->conf->settle_ms);
        }
        count(p);
    }
    a->devices_changed = false;
    if (!a->failed) {
        commit_if_due(a, got == BATCH);
    }
    return got > 0 || a->deadlines_left == 0;
}

static int64_t wait_ms(const struct alarm *a)
{
    int64_t wait = VG_DLOG_TURN_MS;
    const int64_t now_ms = wall_ms(a) - a->conf->settle_ms;
    if (a->uncommitted) {
        int64_t due = vg_mono_diff_ms(a->commit_due, vg_now_mono(vg_loop_clock(a->loop))) + 1;
        wait = due < wait ? due : wait;
    }
    for (int32_t i = 0; i < a->part_count; i++) {
        if (a->parts[i].engine != NULL && a->parts[i].caught_up) {
            int64_t next = vg_alarm_engine_next(a->parts[i].engine);
            wait = next < now_ms + wait ? next - now_ms : wait;
        }
    }
    return wait < 1 ? 1 : wait;
}

static void turn(void *arg)
{
    struct alarm *a = arg;
    if (a->failed) {
        return;
    }
    bool more = false;
    if (follow_devices(a)) {
        if (a->commit_waits) {
            commit(a);
        }
        for (int i = 0; i < BATCHES_A_TURN && !a->commit_waits && !a->failed; i++) {
            more = batch(a);
            if (!more) {
                break;
            }
        }
    }
    vgi_metrics_active(vg_dlog_processor_active(a->processor));
    /* Nothing is polled while a commit waits, so the descriptor would stay readable: the timer alone
     * decides when the next try is. */
    vg_loop_rewatch(a->loop, a->processor_watch, a->commit_waits ? 0 : VG_LOOP_READ);
    vg_loop_timer_in_ms(a->loop, a->timer, a->commit_waits ? COMMIT_AGAIN : more ? 0 : wait_ms(a));
}

static void listen_to_log(struct alarm *a, unsigned events)
{
    vg_loop_rewatch(a->loop, a->devices_watch, events);
    vg_loop_rewatch(a->loop, a->processor_watch, events);
}

/* What comes is handled at once, and then nothing for PACE_MS: under load a turn takes what came
 * meanwhile together, instead of being woken by every commit of every collector. */
static void on_readable(void *arg, unsigned events)
{
    struct alarm *a = arg;
    (void)events;
    turn(a);
    listen_to_log(a, 0);
    vg_loop_timer_in_ms(a->loop, a->pace, PACE_MS);
}

static void on_pace(void *arg)
{
    listen_to_log(arg, VG_LOOP_READ);
}

bool vgi_alarm_ready(void *state)
{
    const struct alarm *a = state;
    return !a->failed && vg_devices_caught_up(a->devices);
}

void vgi_alarm_drain(void *state)
{
    struct alarm *a = state;
    if (!a->failed && !a->commit_waits && vg_dlog_processor_active(a->processor)) {
        commit(a);
    }
    vg_loop_stop(a->loop);
}

void vgi_alarm_stop(void *state)
{
    struct alarm *a = state;
    if (a == NULL) {
        return;
    }
    vg_loop_unwatch(a->loop, a->processor_watch);
    vg_loop_unwatch(a->loop, a->devices_watch);
    vg_dlog_processor_close(a->processor);
    vg_devices_free(a->devices);
    for (int32_t i = 0; i < a->part_count; i++) {
        vg_alarm_engine_free(a->parts[i].engine);
    }
    vg_dlog_close(a->log);
    free(a->parts);
    free(a);
}

static enum vg_err open_log(struct alarm *a, struct vg_error *err)
{
    enum vg_err rc = vg_dlog_open(&a->conf->log, "vigia-alarm", 0, &a->log, err);
    if (rc == VG_OK) {
        rc = vg_dlog_check(a->log, TOPICS, err);
    }
    if (rc == VG_OK) {
        rc = vg_dlog_partitions(a->log, VG_TOPIC_READINGS, &a->part_count, err);
    }
    if (rc != VG_OK) {
        a->part_count = 0;
        return rc;
    }
    a->parts = calloc((size_t)a->part_count, sizeof(*a->parts));
    if (a->parts == NULL) {
        a->part_count = 0;
        return vg_fail(err, VG_E_NOMEM, "no memory");
    }
    return VG_OK;
}

static enum vg_err open_inputs(struct alarm *a, struct vg_error *err)
{
    struct vg_dlog_processor_options options = {
        .group = "alarm",
        .instance = a->conf->instance,
        .inputs = {VG_TOPIC_READINGS, VG_TOPIC_COMMANDS},
        .input_count = 2,
        .state_topic = VG_TOPIC_ALARM_STATE,
        .calls = {.assigned = on_assigned,
                  .state = on_state,
                  .restored = on_restored,
                  .caught_up = on_caught_up,
                  .revoked = on_revoked},
        .arg = a,
    };
    enum vg_err rc = vg_devices_new((size_t)a->conf->max_devices, on_device, a, &a->devices);
    if (rc != VG_OK) {
        return vg_fail(err, rc, "no memory for %lld devices", (long long)a->conf->max_devices);
    }
    rc = vg_devices_follow(a->devices, a->log, err);
    if (rc == VG_OK) {
        rc = vg_dlog_processor_open(a->log, &options, &a->processor, err);
    }
    return vg_err_blame_value(err, rc, "processor.instance", "instance '");
}

static enum vg_err watch(struct alarm *a, struct vg_error *err)
{
    if (vg_loop_timer(a->loop, turn, a, &a->timer) != VG_OK ||
        vg_loop_timer(a->loop, on_pace, a, &a->pace) != VG_OK ||
        vg_loop_watch(a->loop, vg_devices_fd(a->devices), VG_LOOP_READ, on_readable, a,
                      &a->devices_watch) != VG_OK ||
        vg_loop_watch(a->loop, vg_dlog_processor_fd(a->processor), VG_LOOP_READ, on_readable, a,
                      &a->processor_watch) != VG_OK) {
        return vg_fail(err, VG_E_FULL, "the event loop has no room");
    }
    vg_loop_timer_in_ms(a->loop, a->timer, 0);
    return VG_OK;
}

enum vg_err vgi_alarm_start(struct vg_loop *loop, void *conf, void **state, struct vg_error *err)
{
    struct alarm *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory");
    }
    a->conf = conf;
    a->loop = loop;
    enum vg_err rc = vg_random_bytes(&a->seed, sizeof(a->seed));
    if (rc != VG_OK) {
        (void)vg_fail(err, rc, "no random bytes");
    } else if ((rc = vgi_metrics_start()) != VG_OK) {
        (void)vg_fail(err, rc, "too many metrics");
    } else if ((rc = open_log(a, err)) == VG_OK && (rc = open_inputs(a, err)) == VG_OK) {
        rc = watch(a, err);
    }
    if (rc != VG_OK) {
        vgi_alarm_stop(a);
        return rc;
    }
    *state = a;
    return VG_OK;
}
