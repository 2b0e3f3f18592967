/* Readings: strikes, alarms, OKs. The table of design is the order of the functions below. */
#include "rules_internal.h"

#include <assert.h>
#include <string.h>

void vg_rules_conf_default(struct vg_rules_conf *conf)
{
    *conf = (struct vg_rules_conf){
        .strikes = 3,
        .window_ms = 600000,
        .supervision = true,
        .silence_factor = 3,
        .alive_ms = 60000,
        .heartbeat_ms = 30000,
        .priority = {[VG_ALARM_MOTION] = VG_PRIORITY_MEDIUM,
                     [VG_ALARM_SMOKE] = VG_PRIORITY_HIGH,
                     [VG_ALARM_TEMPERATURE] = VG_PRIORITY_HIGH,
                     [VG_ALARM_SILENCE] = VG_PRIORITY_LOW,
                     [VG_ALARM_DEVICE] = VG_PRIORITY_MEDIUM,
                     [VG_ALARM_STORAGE] = VG_PRIORITY_LOW,
                     [VG_ALARM_COLLECTOR] = VG_PRIORITY_HIGH},
    };
}

bool vg_rules_state_init(struct vg_rules_state *s, struct vg_span sensor)
{
    memset(s, 0, sizeof(*s));
    s->ok_ms = s->newest_ms = s->seen_ms = VG_LONG_AGO_MS;
    s->saved_ms = s->since_ms = s->clock_ms = s->arrived_ms = VG_LONG_AGO_MS;
    for (unsigned i = 0; i < VG_ALARM_TYPE_COUNT; i++) {
        struct vg_alarm *a = &s->alarm[i];
        a->first_ms = a->last_ms = a->raised_ms = VG_LONG_AGO_MS;
    }
    return sensor.len > 0 && vg_span_copy(sensor, s->sensor, sizeof(s->sensor));
}

struct vg_alarm_event vgi_rules_event(const struct vg_rules_state *s, enum vg_alarm_event_kind kind,
                                      enum vg_alarm_type type, const struct vg_reading *m,
                                      int64_t time_ms)
{
    const struct vg_alarm *a = &s->alarm[type];
    return (struct vg_alarm_event){
        .kind = kind,
        .type = type,
        .sensor = s->sensor,
        .activation = a->activation,
        .strikes = a->strikes,
        .count = a->count,
        .time_ms = time_ms,
        .raised_ms = VG_LONG_AGO_MS,
        .first_ms = a->first_ms,
        .device = m != NULL ? m->device : s->device,
        .reading = m,
    };
}

void vgi_rules_emit(struct vg_rules *rules, struct vg_alarm_event *event)
{
    event->priority =
        event->type < VG_ALARM_TYPE_COUNT ? rules->conf->priority[event->type] : VG_PRIORITY_LOW;
    rules->event(rules->arg, event);
}

void vgi_rules_activate(const struct vg_rules *rules, struct vg_rules_state *s,
                        enum vg_alarm_type type, int64_t raised_ms)
{
    struct vg_alarm *a = &s->alarm[type];
    a->condition = VG_ACTIVE;
    a->raised = a->activation;
    a->raised_ms = raised_ms;
    a->acked = false;
    a->priority = (uint8_t)rules->conf->priority[type];
    s->dirty = true;
}

void vgi_rules_raise_new(struct vg_rules *rules, struct vg_rules_state *s, enum vg_alarm_type type,
                         const struct vg_reading *m, int64_t time_ms, int64_t first_ms,
                         const char *reason)
{
    struct vg_alarm *a = &s->alarm[type];
    a->activation++;
    a->count = 1;
    a->strikes = 1;
    a->first_ms = first_ms;
    a->last_ms = time_ms;
    vgi_rules_activate(rules, s, type, time_ms);
    struct vg_alarm_event e = vgi_rules_event(s, VG_RAISED, type, m, time_ms);
    e.raised_ms = a->raised_ms;
    e.reason = reason;
    vgi_rules_emit(rules, &e);
}

void vgi_rules_clear(struct vg_rules *rules, struct vg_rules_state *s, enum vg_alarm_type type,
                     const struct vg_reading *m, int64_t time_ms, bool late, const char *reason)
{
    struct vg_alarm *a = &s->alarm[type];
    a->condition = VG_NORMAL;
    s->dirty = true;
    struct vg_alarm_event e = vgi_rules_event(s, VG_CLEARED, type, m, time_ms);
    e.raised_ms = a->raised_ms;
    e.late = late;
    e.reason = reason;
    vgi_rules_emit(rules, &e);
}

static bool is_active(const struct vg_reading *m, enum vg_alarm_type type)
{
    switch (type) {
    case VG_ALARM_MOTION:
        return (m->has & VG_HAS_MOTION) != 0 && m->motion;
    case VG_ALARM_SMOKE:
        return (m->has & VG_HAS_SMOKE) != 0 && m->smoke;
    default:
        return (m->has & VG_HAS_TEMPERATURE) != 0 && (m->has & VG_HAS_MAX_TEMPERATURE) != 0 &&
               m->temperature > m->max_temperature;
    }
}

static struct vg_strike *strikes_of(struct vg_rules_state *s, enum vg_alarm_type type)
{
    static_assert(VG_ALARM_TEMPERATURE - VG_ALARM_SMOKE + 1 == VG_RULES_STRIKE_TYPES,
                  "the types that count strikes stand together");
    assert(type >= VG_ALARM_SMOKE && type <= VG_ALARM_TEMPERATURE);
    return s->strike[type - VG_ALARM_SMOKE];
}

static void late_activity(struct vg_rules *rules, const struct vg_rules_state *s,
                          enum vg_alarm_type type, const struct vg_reading *m, const char *reason)
{
    struct vg_alarm_event e = vgi_rules_event(s, VG_LATE_ACTIVITY, type, m, vg_reading_count_ms(m));
    e.activation = 0;
    e.strikes = 0;
    e.count = 0;
    e.first_ms = VG_LONG_AGO_MS;
    e.late = true;
    e.reason = reason;
    vgi_rules_emit(rules, &e);
}

/* The pre-alarm ends without an alarm. */
static void pre_alarm_ends(struct vg_rules *rules, struct vg_rules_state *s,
                           enum vg_alarm_event_kind how, enum vg_alarm_type type,
                           const struct vg_reading *m, int64_t time_ms, bool late)
{
    s->alarm[type].condition = VG_NORMAL;
    s->dirty = true;
    struct vg_alarm_event e = vgi_rules_event(s, how, type, m, time_ms);
    e.late = late;
    vgi_rules_emit(rules, &e);
}

/* Active while NORMAL. */
static void begin(struct vg_rules *rules, struct vg_rules_state *s, enum vg_alarm_type type,
                  const struct vg_reading *m, int64_t time_ms, bool late, int64_t now_ms)
{
    struct vg_alarm *a = &s->alarm[type];
    bool at_once = type == VG_ALARM_MOTION || rules->conf->strikes <= 1;
    a->activation++;
    a->count = 1;
    a->strikes = 1;
    a->first_ms = a->last_ms = time_ms;
    if (at_once) {
        vgi_rules_activate(rules, s, type, time_ms);
    } else {
        a->condition = VG_PENDING;
        strikes_of(s, type)[0] = (struct vg_strike){time_ms, now_ms};
    }
    struct vg_alarm_event e =
        vgi_rules_event(s, at_once ? VG_RAISED : VG_PRE_ALARM, type, m, time_ms);
    e.raised_ms = at_once ? a->raised_ms : VG_LONG_AGO_MS;
    e.late = late;
    vgi_rules_emit(rules, &e);
}

/* Active while PENDING, inside the window: one strike more. */
static void strike(struct vg_rules *rules, struct vg_rules_state *s, enum vg_alarm_type type,
                   const struct vg_reading *m, int64_t time_ms, bool late, int64_t now_ms)
{
    struct vg_alarm *a = &s->alarm[type];
    struct vg_strike *list = strikes_of(s, type);
    unsigned at = a->strikes;
    assert(at >= 1 && at < VG_STRIKES_MAX);
    /* Equal times keep the log's order. */
    while (at > 0 && list[at - 1].time_ms > time_ms) {
        list[at] = list[at - 1];
        at--;
    }
    list[at] = (struct vg_strike){time_ms, now_ms};
    a->strikes++;
    a->count++;
    a->first_ms = list[0].time_ms;
    a->last_ms = list[a->strikes - 1].time_ms;
    if (a->strikes < rules->conf->strikes) {
        return;
    }
    vgi_rules_activate(rules, s, type, a->last_ms);
    struct vg_alarm_event e = vgi_rules_event(s, VG_RAISED, type, m, time_ms);
    e.raised_ms = a->raised_ms;
    e.late = late;
    vgi_rules_emit(rules, &e);
}

static void active(struct vg_rules *rules, struct vg_rules_state *s, enum vg_alarm_type type,
                   const struct vg_reading *m, int64_t time_ms, bool late, int64_t now_ms)
{
    struct vg_alarm *a = &s->alarm[type];
    if (time_ms < s->ok_ms) {
        late_activity(rules, s, type, m, "older-than-ok");
        return;
    }
    switch (a->condition) {
    case VG_NORMAL:
        begin(rules, s, type, m, time_ms, late, now_ms);
        return;
    case VG_PENDING: {
        const struct vg_strike *list = strikes_of(s, type);
        int64_t first_ms = list[0].time_ms;
        int64_t last_ms = list[a->strikes - 1].time_ms;
        if (time_ms > vgi_add_ms(first_ms, rules->conf->window_ms)) {
            pre_alarm_ends(rules, s, VG_PRE_ALARM_EXPIRED, type, m, time_ms, late);
            begin(rules, s, type, m, time_ms, late, now_ms);
        } else if (last_ms > vgi_add_ms(time_ms, rules->conf->window_ms)) {
            late_activity(rules, s, type, m, "before-window");
        } else {
            strike(rules, s, type, m, time_ms, late, now_ms);
        }
        return;
    }
    default:
        a->count++;
        a->last_ms = vgi_max_ms(a->last_ms, time_ms);
        return;
    }
}

/* Removes the strikes at or before `time_ms`. */
static void forgive(struct vg_rules *rules, struct vg_rules_state *s, enum vg_alarm_type type,
                    const struct vg_reading *m, int64_t time_ms, bool late)
{
    struct vg_alarm *a = &s->alarm[type];
    struct vg_strike *list = strikes_of(s, type);
    unsigned gone = 0;
    while (gone < a->strikes && list[gone].time_ms <= time_ms) {
        gone++;
    }
    if (gone == 0) {
        return;
    }
    if (gone == a->strikes) {
        pre_alarm_ends(rules, s, VG_PRE_ALARM_CANCELLED, type, m, time_ms, late);
        return;
    }
    a->strikes = (uint8_t)(a->strikes - gone);
    memmove(list, list + gone, a->strikes * sizeof(list[0]));
    a->first_ms = list[0].time_ms;
    s->dirty = true;
}

static void ok(struct vg_rules *rules, struct vg_rules_state *s, const struct vg_reading *m,
               int64_t time_ms, bool late)
{
    for (enum vg_alarm_type type = VG_ALARM_MOTION; type <= VG_ALARM_TEMPERATURE; type++) {
        struct vg_alarm *a = &s->alarm[type];
        if (a->condition == VG_PENDING) {
            forgive(rules, s, type, m, time_ms, late);
        } else if (a->condition == VG_ACTIVE && a->raised_ms <= time_ms) {
            vgi_rules_clear(rules, s, type, m, time_ms, late, NULL);
        }
    }
    s->ok_ms = vgi_max_ms(s->ok_ms, time_ms);
}

/* A reading without anything active. It resets a type only if it measured it, and measured it well.
 */
static void normal(struct vg_rules *rules, struct vg_rules_state *s, const struct vg_reading *m)
{
    const uint32_t warm = VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE;
    if (!rules->conf->normal_resets ||
        (m->quality != VG_QUALITY_SYNCED && m->quality != VG_QUALITY_UNSYNCED)) {
        return;
    }
    int64_t time_ms = vg_reading_count_ms(m);
    if (s->alarm[VG_ALARM_SMOKE].condition == VG_PENDING && (m->has & VG_HAS_SMOKE) != 0) {
        forgive(rules, s, VG_ALARM_SMOKE, m, time_ms, time_ms < s->newest_ms);
    }
    if (s->alarm[VG_ALARM_TEMPERATURE].condition == VG_PENDING && (m->has & warm) == warm) {
        forgive(rules, s, VG_ALARM_TEMPERATURE, m, time_ms, time_ms < s->newest_ms);
    }
}

static void device_event(struct vg_rules *rules, struct vg_rules_state *s,
                         const struct vg_reading *m)
{
    struct vg_alarm *a = &s->alarm[VG_ALARM_STORAGE];
    if (m->event != VG_EVENT_GAP && m->event != VG_EVENT_STORAGE) {
        return;
    }
    switch (vgi_rules_mark(s, m)) {
    case VGI_MARK_DUPLICATE:
        rules->counters.duplicates++;
        return;
    case VGI_MARK_OLD_STORE:
        rules->counters.old_stores++;
        return;
    case VGI_MARK_NEW:
        break;
    }
    s->dirty = true;
    int64_t time_ms = vg_reading_count_ms(m);
    if (a->condition == VG_ACTIVE) {
        a->count++;
        a->last_ms = vgi_max_ms(a->last_ms, time_ms);
        return;
    }
    vgi_rules_raise_new(rules, s, VG_ALARM_STORAGE, m, time_ms, time_ms,
                        vg_event_name((enum vg_event)m->event));
}

void vg_rules_reading(struct vg_rules *rules, struct vg_rules_state *s, const struct vg_reading *m,
                      int64_t now_ms)
{
    const struct vg_reading *as_sent = m;
    struct vg_reading counted;
    rules->arrived_ms = vgi_max_ms(rules->arrived_ms, m->received_ms);
    bool synced = m->quality == VG_QUALITY_SYNCED;
    /* Nothing is measured after it has arrived: the device's clock runs ahead, and an OK of next
     * year would make every alarm until then older than itself. But a collector whose clock is
     * behind must not put it before what others have brought. The partition's clock would do for
     * that, too, but says something else each time that the log is read. A restart may have
     * forgotten the last of arrived_ms, but no time that was counted. */
    int64_t latest_ms = vgi_max_ms(s->newest_ms, synced ? rules->arrived_ms : m->received_ms);
    if (synced ? m->time_ms > latest_ms : m->received_ms < latest_ms) {
        counted = *m;
        counted.time_ms = counted.received_ms = latest_ms;
        m = &counted;
    }
    vg_rules_expire(rules, s, now_ms);
    vgi_rules_heard(rules, s, m, now_ms);
    if (m->event != VG_EVENT_NONE) {
        device_event(rules, s, m);
        return;
    }
    bool is_ok = (m->has & VG_HAS_OK) != 0;
    if (!is_ok && !vg_reading_active(m)) {
        normal(rules, s, m);
        return;
    }
    enum vgi_mark mark = vgi_rules_mark(s, as_sent);
    if (mark == VGI_MARK_DUPLICATE) {
        rules->counters.duplicates++;
        return;
    }
    rules->counters.old_stores += mark == VGI_MARK_OLD_STORE;
    int64_t time_ms = vg_reading_count_ms(m);
    bool late = time_ms < s->newest_ms;
    if (is_ok && mark == VGI_MARK_NEW) {
        ok(rules, s, m, time_ms, late);
    }
    for (enum vg_alarm_type type = VG_ALARM_MOTION; !is_ok && type <= VG_ALARM_TEMPERATURE;
         type++) {
        if (!is_active(m, type)) {
            continue;
        }
        if (mark == VGI_MARK_OLD_STORE) {
            late_activity(rules, s, type, m, "old-store");
        } else {
            active(rules, s, type, m, time_ms, late, now_ms);
        }
    }
    if (mark == VGI_MARK_NEW) {
        /* Told as late or not, it has been applied: the mark has to be stored. */
        s->dirty = true;
        if (time_ms >= s->ok_ms) {
            s->newest_ms = vgi_max_ms(s->newest_ms, time_ms);
        }
    }
}

int64_t vg_rules_expiry(const struct vg_rules_conf *conf, const struct vg_rules_state *s)
{
    int64_t first = VG_NEVER_MS;
    for (enum vg_alarm_type type = VG_ALARM_SMOKE; type <= VG_ALARM_TEMPERATURE; type++) {
        if (s->alarm[type].condition == VG_PENDING) {
            int64_t at = vgi_add_ms(s->strike[type - VG_ALARM_SMOKE][0].now_ms, conf->window_ms);
            first = at < first ? at : first;
        }
    }
    return first;
}

void vg_rules_expire(struct vg_rules *rules, struct vg_rules_state *s, int64_t now_ms)
{
    int64_t due_ms;
    while ((due_ms = vg_rules_expiry(rules->conf, s)) <= now_ms && due_ms != VG_NEVER_MS) {
        for (enum vg_alarm_type type = VG_ALARM_SMOKE; type <= VG_ALARM_TEMPERATURE; type++) {
            if (s->alarm[type].condition == VG_PENDING &&
                vgi_add_ms(strikes_of(s, type)[0].now_ms, rules->conf->window_ms) == due_ms) {
                pre_alarm_ends(rules, s, VG_PRE_ALARM_EXPIRED, type, NULL, due_ms, false);
            }
        }
    }
}
