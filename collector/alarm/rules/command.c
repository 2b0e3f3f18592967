/* Commands of people: acknowledge; every other verb is refused by name. */
#include "rules_internal.h"
#include "vigia/rules_json.h"

#include <stdio.h>

void vg_alarm_id_format(const char *sensor, enum vg_alarm_type type, uint64_t activation, char *out)
{
    snprintf(out, VG_ALARM_ID_MAX + 1, "%s:%s:%llu", sensor, vg_alarm_type_name(type),
             (unsigned long long)activation);
}

/* Cuts the part after the last ':' off. */
static bool cut_last(struct vg_span *whole, struct vg_span *last)
{
    size_t at = whole->len;
    while (at > 0 && whole->at[at - 1] != ':') {
        at--;
    }
    if (at == 0) {
        return false;
    }
    *last = vg_span(whole->at + at, whole->len - at);
    whole->len = at - 1;
    return true;
}

bool vg_alarm_id_parse(struct vg_span id, struct vg_span *sensor, enum vg_alarm_type *type,
                       uint64_t *activation)
{
    struct vg_span number, word;
    unsigned long long n;
    if (!cut_last(&id, &number) || !cut_last(&id, &word) || id.len == 0 ||
        id.len > VG_SENSOR_ID_MAX) {
        return false;
    }
    enum vg_alarm_type t = vg_alarm_type_parse(word);
    /* One alarm has one name: no leading zeros. */
    if (t == VG_ALARM_TYPE_COUNT || !vg_span_to_u64(number, &n) ||
        (number.at[0] == '0' && number.len > 1)) {
        return false;
    }
    *sensor = id;
    *type = t;
    *activation = n;
    return true;
}

/* NULL: the alarm may be acknowledged. */
static const char *objection(const struct vg_rules_state *s, const struct vg_command *c,
                             enum vg_alarm_type *type, uint64_t *activation)
{
    struct vg_span sensor;
    if (!vg_alarm_id_parse(vg_span_str(c->alarm_id), &sensor, type, activation) ||
        !vg_span_eq(sensor, vg_span_str(s->sensor))) {
        *type = VG_ALARM_TYPE_COUNT;
        *activation = 0;
        return "unknown";
    }
    const struct vg_alarm *a = &s->alarm[*type];
    if (c->verb != VG_COMMAND_ACKNOWLEDGE) {
        return "unsupported";
    }
    if (*activation == 0 || *activation > a->activation) {
        return "unknown";
    }
    if (*activation > a->raised) {
        return a->condition == VG_PENDING && *activation == a->activation ? "not-raised" : "stale";
    }
    if (*activation < a->raised) {
        return "stale";
    }
    return a->acked ? "already-acknowledged" : NULL;
}

void vg_rules_command(struct vg_rules *rules, struct vg_rules_state *s, const struct vg_command *c)
{
    enum vg_alarm_type type;
    uint64_t activation;
    const char *reason = objection(s, c, &type, &activation);
    struct vg_alarm_event e = {
        .kind = reason == NULL ? VG_ACKNOWLEDGED : VG_REFUSED,
        .type = type,
        .sensor = s->sensor,
        .named = c->alarm_id,
        .activation = activation,
        .time_ms = c->time_ms,
        .raised_ms = VG_LONG_AGO_MS,
        .first_ms = VG_LONG_AGO_MS,
        .reason = reason,
        .who = c->who,
        .why = c->why,
        .device = s->device,
    };
    if (reason == NULL) {
        s->alarm[type].acked = true;
        s->dirty = true;
        e.raised_ms = s->alarm[type].raised_ms;
    }
    vgi_rules_emit(rules, &e);
}

struct vg_span vg_command_sensor(const struct vg_command *c)
{
    struct vg_span sensor;
    enum vg_alarm_type type;
    uint64_t activation;
    if (!vg_alarm_id_parse(vg_span_str(c->alarm_id), &sensor, &type, &activation)) {
        return (struct vg_span){NULL, 0};
    }
    return sensor;
}
