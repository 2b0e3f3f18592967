/* The live processor: records of the log into the engines of the partitions, events and states
 * back, one commit.
 *
 *   turn:  devices ─► poll ─► handle each record ─► deadlines ─► states ─► commit
 *
 * A commit covers every record that was polled, so a batch is handled whole before it. What tells
 * an event commits at the end of its batch, routine progress each commit_interval. When anything
 * goes wrong in between, the transaction is dropped: the log then tells every partition anew, and
 * the engines with what they had learnt are forgotten with it. */
#include "live.h"
#include "metrics.h"

#include "vigia/dlog_admin.h"
#include "vigia/fault.h"
#include "vigia/log.h"
#include "vigia/program.h"
#include "vigia/random.h"

#include <stdlib.h>

#define BATCHES_A_TURN 16
#define PACE_MS        10 /* between two turns that the log wakes */
#define COMMIT_AGAIN   50 /* ms between two tries of a commit that is refused for now */

#define TOPICS                                                                                     \
    (VG_TOPIC_BIT(VG_TOPIC_READINGS) | VG_TOPIC_BIT(VG_TOPIC_COMMANDS) |                           \
     VG_TOPIC_BIT(VG_TOPIC_DEVICES) | VG_TOPIC_BIT(VG_TOPIC_ALARMS) |                              \
     VG_TOPIC_BIT(VG_TOPIC_ALARM_STATE))

static void fail_as(struct vgi_alarm *a, const char *what, const struct vg_error *err,
                    int exit_code)
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

void vgi_alarm_fail(struct vgi_alarm *a, const char *what, const struct vg_error *err)
{
    fail_as(a, what, err, VG_EXIT_FAIL);
}

int64_t vgi_alarm_wall_ms(const struct vgi_alarm *a)
{
    return vg_now_wall(vg_loop_clock(a->loop)).ms;
}

/* ---- a turn ---- */

static void on_device(void *arg, const char *name, const struct vg_device *now)
{
    struct vgi_alarm *a = arg;
    (void)name;
    (void)now;
    a->devices_changed = true;
}

/* Nothing is applied before the devices are known; once they are, a pause of their view holds
 * nobody up. */
static bool follow_devices(struct vgi_alarm *a)
{
    struct vg_error err;
    enum vg_err rc = vg_devices_dispatch(a->devices, &err);
    if (rc != VG_OK && rc != VG_E_AGAIN && rc != VG_E_TIMEOUT) {
        vgi_alarm_fail(a, "devices", &err);
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
static bool batch(struct vgi_alarm *a)
{
    struct vg_error err;
    size_t got = 0;
    /* Taken before the poll: what was appended until then and is not in it, may be on its way for
     * settle at most. */
    const int64_t now_ms = vgi_alarm_wall_ms(a);
    enum vg_err rc =
        vg_dlog_processor_poll(a->processor, 0, a->records, VGI_ALARM_BATCH, &got, &err);
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
    a->deadlines_left = VGI_ALARM_DEADLINES_MAX;
    for (size_t i = 0; i < got && !a->failed && !a->broken; i++) {
        vgi_alarm_part_record(a, &a->records[i]);
        (void)VG_FAULT(ALARM_APPLIED);
    }
    a->uncommitted = a->uncommitted || got > 0;
    const int64_t applied_ms = vgi_alarm_wall_ms(a);
    const bool stands =
        vgi_alarm_clock_stands(a); /* looked at last: applied_ms is of the clock that stands */
    for (int32_t i = 0; i < a->part_count && !a->failed; i++) {
        struct vgi_alarm_part *p = &a->parts[i];
        if (p->engine == NULL) {
            continue;
        }
        if (a->devices_changed) {
            vg_alarm_engine_devices_changed(p->engine);
        }
        if (stands) {
            vgi_alarm_part_compare_clock(p, applied_ms);
        }
        if (p->caught_up && got == 0) {
            vgi_alarm_part_advance(a, p, now_ms - a->conf->settle_ms);
        }
        vgi_alarm_part_count(p);
    }
    a->devices_changed = false;
    if (!a->failed) {
        vgi_alarm_commit_if_due(a, got == VGI_ALARM_BATCH);
    }
    return got > 0 || a->deadlines_left == 0;
}

static int64_t wait_ms(const struct vgi_alarm *a)
{
    int64_t wait = VG_DLOG_TURN_MS;
    const int64_t now_ms = vgi_alarm_wall_ms(a) - a->conf->settle_ms;
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
    struct vgi_alarm *a = arg;
    if (a->failed) {
        return;
    }
    bool more = false;
    if (follow_devices(a)) {
        if (a->commit_waits) {
            vgi_alarm_commit(a);
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

/* ---- what wakes it ---- */

static void listen_to_log(struct vgi_alarm *a, unsigned events)
{
    vg_loop_rewatch(a->loop, a->devices_watch, events);
    vg_loop_rewatch(a->loop, a->processor_watch, events);
}

/* What comes is handled at once, and then nothing for PACE_MS: under load a turn takes what came
 * meanwhile together, instead of being woken by every commit of every collector. */
static void on_readable(void *arg, unsigned events)
{
    struct vgi_alarm *a = arg;
    (void)events;
    turn(a);
    listen_to_log(a, 0);
    vg_loop_timer_in_ms(a->loop, a->pace, PACE_MS);
}

static void on_pace(void *arg)
{
    listen_to_log(arg, VG_LOOP_READ);
}

/* ---- start and stop ---- */

bool vgi_alarm_ready(void *state)
{
    const struct vgi_alarm *a = state;
    return !a->failed && vg_devices_caught_up(a->devices);
}

void vgi_alarm_drain(void *state)
{
    struct vgi_alarm *a = state;
    if (!a->failed && !a->commit_waits && vg_dlog_processor_active(a->processor)) {
        vgi_alarm_commit(a);
    }
    vg_loop_stop(a->loop);
}

void vgi_alarm_stop(void *state)
{
    struct vgi_alarm *a = state;
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

static enum vg_err open_log(struct vgi_alarm *a, struct vg_error *err)
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

static enum vg_err open_inputs(struct vgi_alarm *a, struct vg_error *err)
{
    struct vg_dlog_processor_options options = {
        .group = "alarm",
        .instance = a->conf->instance,
        .inputs = {VG_TOPIC_READINGS, VG_TOPIC_COMMANDS},
        .input_count = 2,
        .state_topic = VG_TOPIC_ALARM_STATE,
        .calls = vgi_alarm_part_calls,
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

static enum vg_err watch(struct vgi_alarm *a, struct vg_error *err)
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
    struct vgi_alarm *a = calloc(1, sizeof(*a));
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
