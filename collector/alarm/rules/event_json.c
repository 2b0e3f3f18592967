/* Events and commands as JSON. */
#include "vigia/json.h"
#include "vigia/rules_json.h"

#include <stdio.h>
#include <string.h>

static void put_text(struct vg_json_out *w, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        vg_jsonw_key(w, key);
        vg_jsonw_string(w, text);
    }
}

static void put_ms(struct vg_json_out *w, const char *key, int64_t ms)
{
    if (ms != VG_LONG_AGO_MS) {
        vg_jsonw_key(w, key);
        vg_jsonw_i64(w, ms);
    }
}

/* What was active, and the temperatures, which say how hot even when they are not the reason. */
static void put_values(struct vg_json_out *w, const struct vg_reading *m)
{
    if ((m->has & VG_HAS_MOTION) != 0 && m->motion) {
        vg_jsonw_key(w, "motion");
        vg_jsonw_bool(w, true);
    }
    if ((m->has & VG_HAS_SMOKE) != 0 && m->smoke) {
        vg_jsonw_key(w, "smoke");
        vg_jsonw_bool(w, true);
    }
    if ((m->has & VG_HAS_TEMPERATURE) != 0) {
        vg_jsonw_key(w, "temperature");
        vg_jsonw_double(w, m->temperature);
    }
    if ((m->has & VG_HAS_MAX_TEMPERATURE) != 0) {
        vg_jsonw_key(w, "max_temperature");
        vg_jsonw_double(w, m->max_temperature);
    }
}

static void put_identity(struct vg_json_out *w, const struct vg_reading *m)
{
    if (m->lane == VG_LANE_NONE) {
        return;
    }
    char store[17];
    snprintf(store, sizeof(store), "%016llx", (unsigned long long)m->store);
    vg_jsonw_key(w, "store");
    vg_jsonw_string(w, store);
    vg_jsonw_key(w, "lane");
    vg_jsonw_string(w, m->lane == VG_LANE_URGENT ? "u" : "r");
    vg_jsonw_key(w, "seq");
    vg_jsonw_u64(w, m->seq);
}

static void put_name(struct vg_json_out *w, const struct vg_alarm_event *e)
{
    char id[VG_ALARM_ID_MAX + 1];
    if (e->named == NULL) {
        vg_alarm_id_format(e->sensor, e->type, e->activation, id);
    }
    vg_jsonw_key(w, "alarm_id");
    vg_jsonw_string(w, e->named != NULL ? e->named : id);
    vg_jsonw_key(w, "sensor");
    vg_jsonw_string(w, e->sensor);
    if (e->type < VG_ALARM_TYPE_COUNT) {
        vg_jsonw_key(w, "type");
        vg_jsonw_string(w, vg_alarm_type_name(e->type));
    }
    vg_jsonw_key(w, "activation");
    vg_jsonw_u64(w, e->activation);
}

enum vg_err vg_alarm_event_encode(const struct vg_alarm_event *e, char *out, size_t size,
                                  size_t *len)
{
    struct vg_json_out w;
    vg_jsonw_init(&w, out, size);
    vg_jsonw_object(&w);
    vg_jsonw_key(&w, "v");
    vg_jsonw_i64(&w, VG_RULES_VERSION);
    put_text(&w, "event", vg_alarm_event_name(e->kind));
    put_name(&w, e);
    if (e->strikes > 0) {
        vg_jsonw_key(&w, "strikes");
        vg_jsonw_u64(&w, e->strikes);
    }
    put_text(&w, "priority", vg_priority_name((enum vg_priority)e->priority));
    vg_jsonw_key(&w, "late");
    vg_jsonw_bool(&w, e->late);
    put_ms(&w, "time_ms", e->time_ms);
    put_ms(&w, "raised_ms", e->raised_ms);
    put_ms(&w, "first_ms", e->first_ms);
    if (e->count > 0) {
        vg_jsonw_key(&w, "count");
        vg_jsonw_u64(&w, e->count);
    }
    put_text(&w, "reason", e->reason);
    put_text(&w, "who", e->who);
    put_text(&w, "why", e->why);
    if (e->reading != NULL) {
        put_text(&w, "detail", e->reading->event != VG_EVENT_NONE ? e->reading->event_text : NULL);
        put_values(&w, e->reading);
    }
    put_text(&w, "device", e->device);
    if (e->reading != NULL) {
        put_identity(&w, e->reading);
    }
    vg_jsonw_object_end(&w);
    struct vg_span done = vg_jsonw_done(&w);
    if (done.len == 0) {
        return VG_E_FULL;
    }
    *len = done.len;
    return VG_OK;
}

enum vg_err vg_command_encode(const struct vg_command *c, char *out, size_t size, size_t *len)
{
    struct vg_span sensor = vg_command_sensor(c);
    struct vg_json_out w;
    vg_jsonw_init(&w, out, size);
    vg_jsonw_object(&w);
    vg_jsonw_key(&w, "v");
    vg_jsonw_i64(&w, VG_RULES_VERSION);
    vg_jsonw_key(&w, "command");
    vg_jsonw_string(&w, c->verb == VG_COMMAND_ACKNOWLEDGE ? "acknowledge" : "other");
    vg_jsonw_key(&w, "alarm_id");
    vg_jsonw_string(&w, c->alarm_id);
    if (sensor.len > 0) {
        vg_jsonw_key(&w, "sensor");
        vg_jsonw_span(&w, sensor);
    }
    put_text(&w, "who", c->who);
    put_text(&w, "why", c->why);
    put_ms(&w, "time_ms", c->time_ms);
    vg_jsonw_object_end(&w);
    struct vg_span done = vg_jsonw_done(&w);
    if (done.len == 0) {
        return VG_E_FULL;
    }
    *len = done.len;
    return VG_OK;
}

enum vg_err vg_command_decode(struct vg_span json, struct vg_command *c, struct vg_error *err)
{
    struct vg_json j;
    struct vg_json_str key, verb = {0};
    struct vg_command got = {.verb = VG_COMMAND_OTHER};
    int64_t version = 0;
    if (json.len > VG_COMMAND_JSON_MAX) {
        return vg_fail(err, VG_E_RANGE, "command: %zu bytes, at most %d are accepted", json.len,
                       VG_COMMAND_JSON_MAX);
    }
    vg_json_init(&j, json, 4);
    vg_json_object(&j);
    while (vg_json_member(&j, &key)) {
        if (vg_json_str_is(key, "v")) {
            vg_json_i64(&j, &version);
        } else if (vg_json_str_is(key, "command")) {
            vg_json_string(&j, &verb);
        } else if (vg_json_str_is(key, "alarm_id")) {
            vg_json_text(&j, got.alarm_id, sizeof(got.alarm_id));
        } else if (vg_json_str_is(key, "who")) {
            vg_json_text(&j, got.who, sizeof(got.who));
        } else if (vg_json_str_is(key, "why")) {
            vg_json_text(&j, got.why, sizeof(got.why));
        } else if (vg_json_str_is(key, "time_ms")) {
            vg_json_i64(&j, &got.time_ms);
        } else {
            vg_json_skip(&j);
        }
    }
    if (version > VG_RULES_VERSION) {
        return vg_fail(err, VG_E_VERSION, "command: v is %lld, at most %d is known",
                       (long long)version, VG_RULES_VERSION);
    }
    if (!vg_json_done(&j)) {
        return vg_fail_at(err, j.error == VG_JSON_RANGE ? VG_E_RANGE : VG_E_INVALID, j.offset,
                          "command: %s at byte %zu", vg_json_error_text(j.error), j.offset);
    }
    if (version < 1 || verb.raw.len == 0 || got.alarm_id[0] == '\0' || got.time_ms < 0 ||
        got.time_ms > VG_TIME_MS_MAX) {
        return vg_fail(err, VG_E_INVALID,
                       "command: needs v, command, alarm_id and a time_ms of this era");
    }
    if (vg_json_str_is(verb, "acknowledge")) {
        got.verb = VG_COMMAND_ACKNOWLEDGE;
    }
    *c = got;
    return VG_OK;
}
