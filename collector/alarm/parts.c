/* The partitions of the live processor: what the log tells of them goes into their engines, what
 * the engines tell goes back as records. Here too: which time they go by. */
#include "live.h"
#include "metrics.h"

#include "vigia/fault.h"
#include "vigia/log.h"

#include <string.h>

#define URGENT_MS 20 /* that an event waits for its commit at most, while there is a backlog */
/* A received time further ahead of the wall clock than this is that of a collector whose clock is
 * wrong; the record counts as received now. A partition's clock further ahead went by a wrong wall
 * clock of our own; it is set back. */
#define AHEAD_MAX_MS 60000
static_assert(AHEAD_MAX_MS >= VGI_WALL_LEAP_MS, "a step that is no leap sets no clock back");

/* ---- what an engine asks and tells ---- */

static void on_event(void *arg, const struct vg_alarm_event *event)
{
    struct vgi_alarm_part *p = arg;
    char json[VG_ALARM_EVENT_MAX];
    size_t len;
    if (vg_alarm_event_encode(event, json, sizeof(json), &len) != VG_OK) {
        p->alarm->broken = true;
        return;
    }
    vgi_metrics_event(event->kind);
    struct vgi_alarm *a = p->alarm;
    if (!a->urgent) {
        a->urgent = true;
        a->urgent_due = vg_mono_add_ms(vg_now_mono(vg_loop_clock(a->loop)), URGENT_MS);
    }
    vgi_alarm_append(p->alarm, VG_TOPIC_ALARMS, p->number, vg_span_str(event->sensor),
                     vg_span(json, len));
    if (VG_FAULT(ALARM_OUTPUT)) {
        p->alarm->broken = true;
    }
}

static int64_t on_period(void *arg, const char *device, const char *sensor)
{
    const struct vgi_alarm_part *p = arg;
    const struct vg_device *d = vg_devices_find(p->alarm->devices, vg_span_str(device));
    if (d == NULL || d->state != VG_DEVICE_ACTIVE || d->period_ms == 0 ||
        !vg_device_may(d, vg_span_str(sensor))) {
        return 0;
    }
    return strcmp(device, sensor) == 0 ? p->alarm->conf->rules.alive_ms : d->period_ms;
}

/* ---- time ---- */

bool vgi_alarm_clock_stands(struct vgi_alarm *a)
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
void vgi_alarm_part_compare_clock(struct vgi_alarm_part *p, int64_t now_ms)
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

/* ---- ours and no more ---- */

static void on_assigned(void *arg, int32_t number)
{
    struct vgi_alarm *a = arg;
    struct vgi_alarm_part *p = &a->parts[number];
    struct vg_alarm_engine_options options = {.conf = &a->conf->rules,
                                              .partition = number,
                                              .max_sensors = (size_t)a->conf->max_sensors,
                                              .seed = a->seed,
                                              .event = on_event,
                                              .period = on_period,
                                              .arg = p};
    vg_alarm_engine_free(p->engine);
    *p = (struct vgi_alarm_part){.alarm = a, .number = number};
    if (vg_alarm_engine_new(&options, &p->engine) != VG_OK) {
        struct vg_error err;
        (void)vg_fail(&err, VG_E_NOMEM, "no memory for %zu sensors", options.max_sensors);
        vgi_alarm_fail(a, "assign", &err);
    }
}

static void on_state(void *arg, int32_t number, struct vg_span key, struct vg_span value)
{
    struct vgi_alarm *a = arg;
    struct vg_error err;
    (void)key;
    if (a->failed || value.at == NULL) {
        return;
    }
    /* Going on without it would give out alarm ids a second time. */
    if (vg_alarm_engine_restore(a->parts[number].engine, value, &err) != VG_OK) {
        vgi_alarm_fail(a, "restore", &err);
    }
}

static void on_restored(void *arg, int32_t number)
{
    struct vgi_alarm *a = arg;
    if (!a->failed) {
        vg_alarm_engine_restored(a->parts[number].engine);
        vg_log_info("partition-restored", "partition=%d sensors=%zu", (int)number,
                    vg_alarm_engine_sensors(a->parts[number].engine));
    }
}

static void on_caught_up(void *arg, int32_t number)
{
    struct vgi_alarm *a = arg;
    a->parts[number].caught_up = true;
    vg_log_info("partition-caught-up", "partition=%d", (int)number);
}

static void on_revoked(void *arg, int32_t number)
{
    struct vgi_alarm *a = arg;
    vg_alarm_engine_free(a->parts[number].engine);
    a->parts[number] = (struct vgi_alarm_part){.alarm = a, .number = number};
    vg_log_info("partition-revoked", "partition=%d", (int)number);
}

const struct vg_dlog_processor_calls vgi_alarm_part_calls = {.assigned = on_assigned,
                                                             .state = on_state,
                                                             .restored = on_restored,
                                                             .caught_up = on_caught_up,
                                                             .revoked = on_revoked};

/* ---- records ---- */

static void unreadable(struct vgi_alarm *a, const struct vg_dlog_record *r,
                       const struct vg_error *err)
{
    /* With 1 and not 78: the next start may be that of a newer program, without anybody's help. */
    if (err->code == VG_E_VERSION) {
        vgi_alarm_fail(a, "read", err);
        return;
    }
    vgi_metrics_unreadable();
    vg_log_warn("record-unreadable", "topic=%s partition=%d offset=%lld error=%s",
                vg_topic_spec(r->topic)->name, (int)r->partition, (long long)r->offset,
                VG_Q(err->text));
}

void vgi_alarm_part_advance(struct vgi_alarm *a, struct vgi_alarm_part *p, int64_t now_ms)
{
    a->deadlines_left -= vg_alarm_engine_advance(p->engine, now_ms, a->deadlines_left);
}

/* The partition's clock does not go back by itself: one wrong collector would end every pre-alarm
 * now and hold all deadlines until its time has come. */
static int64_t received(const struct vgi_alarm *a, const struct vg_dlog_record *r,
                        int64_t received_ms)
{
    const int64_t now_ms = vgi_alarm_wall_ms(a);
    if (received_ms <= now_ms + AHEAD_MAX_MS) {
        return received_ms;
    }
    vgi_metrics_ahead();
    vg_log_warn("received-ahead", "partition=%d offset=%lld ms=%lld", (int)r->partition,
                (long long)r->offset, (long long)(received_ms - now_ms));
    return now_ms;
}

static void on_reading(struct vgi_alarm *a, struct vgi_alarm_part *p,
                       const struct vg_dlog_record *r)
{
    struct vg_heartbeat beat;
    enum vg_record_kind kind;
    struct vg_error err;
    if (vg_record_decode(r->value, &kind, &a->reading, &beat, &err) != VG_OK) {
        unreadable(a, r, &err);
    } else if (kind == VG_RECORD_HEARTBEAT) {
        beat.received_ms = received(a, r, beat.received_ms);
        vgi_alarm_part_advance(a, p, beat.received_ms);
        vg_alarm_engine_heartbeat(p->engine, beat.received_ms);
    } else {
        a->reading.received_ms = received(a, r, a->reading.received_ms);
        vgi_alarm_part_advance(a, p, a->reading.received_ms);
        vg_alarm_engine_reading(p->engine, &a->reading);
    }
}

void vgi_alarm_part_record(struct vgi_alarm *a, const struct vg_dlog_record *r)
{
    struct vgi_alarm_part *p = &a->parts[r->partition];
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

void vgi_alarm_part_count(struct vgi_alarm_part *p)
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
