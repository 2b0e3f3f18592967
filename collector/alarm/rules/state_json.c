/* The state of a sensor as JSON, exact both ways. What has not happened yet is left out. */
#include "rules_internal.h"
#include "vigia/json.h"
#include "vigia/rules_json.h"

#include <stdio.h>
#include <string.h>

static void put_ms(struct vg_json_out *w, const char *key, int64_t ms)
{
    if (ms != VG_LONG_AGO_MS) {
        vg_jsonw_key(w, key);
        vg_jsonw_i64(w, ms);
    }
}

static void put_u64(struct vg_json_out *w, const char *key, uint64_t value)
{
    vg_jsonw_key(w, key);
    vg_jsonw_u64(w, value);
}

static void put_alarm(struct vg_json_out *w, const struct vg_rules_state *s,
                      enum vg_alarm_type type)
{
    const struct vg_alarm *a = &s->alarm[type];
    vg_jsonw_object(w);
    vg_jsonw_key(w, "type");
    vg_jsonw_string(w, vg_alarm_type_name(type));
    vg_jsonw_key(w, "condition");
    vg_jsonw_string(w, vg_condition_name((enum vg_condition)a->condition));
    put_u64(w, "activation", a->activation);
    put_u64(w, "raised", a->raised);
    vg_jsonw_key(w, "acked");
    vg_jsonw_bool(w, a->acked);
    vg_jsonw_key(w, "priority");
    vg_jsonw_string(w, vg_priority_name((enum vg_priority)a->priority));
    put_u64(w, "strikes", a->strikes);
    put_u64(w, "count", a->count);
    put_ms(w, "raised_ms", a->raised_ms);
    put_ms(w, "first_ms", a->first_ms);
    put_ms(w, "last_ms", a->last_ms);
    if (a->condition == VG_PENDING) {
        vg_jsonw_key(w, "pending");
        vg_jsonw_array(w);
        for (unsigned i = 0; i < a->strikes; i++) {
            const struct vg_strike *k = &s->strike[type - VG_ALARM_SMOKE][i];
            vg_jsonw_array(w);
            vg_jsonw_i64(w, k->time_ms);
            vg_jsonw_i64(w, k->now_ms);
            vg_jsonw_array_end(w);
        }
        vg_jsonw_array_end(w);
    }
    vg_jsonw_object_end(w);
}

static void put_store(struct vg_json_out *w, const struct vg_store_mark *mark)
{
    char store[17];
    snprintf(store, sizeof(store), "%016llx", (unsigned long long)mark->store);
    vg_jsonw_object(w);
    vg_jsonw_key(w, "store");
    vg_jsonw_string(w, store);
    put_u64(w, "u", mark->next[0]);
    put_u64(w, "r", mark->next[1]);
    put_ms(w, "newest_ms", mark->newest_ms);
    vg_jsonw_object_end(w);
}

enum vg_err vg_rules_state_encode(const struct vg_rules_state *s, char *out, size_t size,
                                  size_t *len)
{
    struct vg_json_out w;
    vg_jsonw_init(&w, out, size);
    vg_jsonw_object(&w);
    vg_jsonw_key(&w, "v");
    vg_jsonw_i64(&w, VG_RULES_VERSION);
    vg_jsonw_key(&w, "sensor");
    vg_jsonw_string(&w, s->sensor);
    vg_jsonw_key(&w, "device");
    vg_jsonw_string(&w, s->device);
    vg_jsonw_key(&w, "period_ms");
    vg_jsonw_i64(&w, s->period_ms);
    vg_jsonw_key(&w, "patience_ms");
    vg_jsonw_i64(&w, s->patience_ms);
    put_ms(&w, "seen_ms", s->seen_ms);
    put_ms(&w, "since_ms", s->since_ms);
    put_ms(&w, "clock_ms", s->clock_ms);
    put_ms(&w, "arrived_ms", s->arrived_ms);
    put_ms(&w, "ok_ms", s->ok_ms);
    put_ms(&w, "newest_ms", s->newest_ms);
    vg_jsonw_key(&w, "alarms");
    vg_jsonw_array(&w);
    for (enum vg_alarm_type type = VG_ALARM_MOTION; type < VG_ALARM_TYPE_COUNT; type++) {
        if (s->alarm[type].activation > 0) {
            put_alarm(&w, s, type);
        }
    }
    vg_jsonw_array_end(&w);
    vg_jsonw_key(&w, "stores");
    vg_jsonw_array(&w);
    for (unsigned i = 0; i < s->store_count; i++) {
        put_store(&w, &s->store[i]);
    }
    vg_jsonw_array_end(&w);
    vg_jsonw_object_end(&w);
    struct vg_span done = vg_jsonw_done(&w);
    if (done.len == 0) {
        return VG_E_FULL;
    }
    *len = done.len;
    return VG_OK;
}

static void get_small(struct vg_json *j, uint8_t max, uint8_t *out)
{
    uint64_t value = 0;
    if (vg_json_u64(j, &value)) {
        if (value > max) {
            vg_json_fail(j, VG_JSON_RANGE);
            return;
        }
        *out = (uint8_t)value;
    }
}

/* One of `count` words. */
static void get_word(struct vg_json *j, const char *const *words, uint8_t count, uint8_t *out)
{
    struct vg_json_str text;
    if (!vg_json_string(j, &text)) {
        return;
    }
    for (uint8_t i = 0; i < count; i++) {
        if (vg_json_str_is(text, words[i])) {
            *out = i;
            return;
        }
    }
    vg_json_fail(j, VG_JSON_RANGE);
}

static void get_strikes(struct vg_json *j, struct vg_strike *list, unsigned *count)
{
    vg_json_array(j);
    while (vg_json_element(j)) {
        struct vg_strike k = {0, 0};
        vg_json_array(j);
        bool whole = vg_json_element(j) && vg_json_i64(j, &k.time_ms) && vg_json_element(j) &&
                     vg_json_i64(j, &k.now_ms);
        /* At most one less than raises at the greatest setting; in order. */
        if (!whole || vg_json_element(j) || *count >= VG_STRIKES_MAX - 1 ||
            (*count > 0 && k.time_ms < list[*count - 1].time_ms)) {
            vg_json_fail(j, VG_JSON_RANGE);
            return;
        }
        list[(*count)++] = k;
    }
}

static void get_alarm(struct vg_json *j, struct vg_rules_state *s)
{
    static const char *const conditions[] = {"normal", "pending", "active"};
    static const char *const priorities[] = {"low", "medium", "high"};
    struct vg_json_str key, word;
    struct vg_alarm a = {
        .first_ms = VG_LONG_AGO_MS, .last_ms = VG_LONG_AGO_MS, .raised_ms = VG_LONG_AGO_MS};
    struct vg_strike list[VG_STRIKES_MAX];
    unsigned pending = 0;
    enum vg_alarm_type type = VG_ALARM_TYPE_COUNT;
    vg_json_object(j);
    while (vg_json_member(j, &key)) {
        if (vg_json_str_is(key, "type")) {
            type = vg_json_string(j, &word) ? vg_alarm_type_parse(word.raw) : type;
        } else if (vg_json_str_is(key, "condition")) {
            get_word(j, conditions, 3, &a.condition);
        } else if (vg_json_str_is(key, "activation")) {
            vg_json_u64(j, &a.activation);
        } else if (vg_json_str_is(key, "raised")) {
            vg_json_u64(j, &a.raised);
        } else if (vg_json_str_is(key, "acked")) {
            vg_json_bool(j, &a.acked);
        } else if (vg_json_str_is(key, "priority")) {
            get_word(j, priorities, 3, &a.priority);
        } else if (vg_json_str_is(key, "strikes")) {
            get_small(j, VG_STRIKES_MAX, &a.strikes);
        } else if (vg_json_str_is(key, "count")) {
            vg_json_u64(j, &a.count);
        } else if (vg_json_str_is(key, "raised_ms")) {
            vg_json_i64(j, &a.raised_ms);
        } else if (vg_json_str_is(key, "first_ms")) {
            vg_json_i64(j, &a.first_ms);
        } else if (vg_json_str_is(key, "last_ms")) {
            vg_json_i64(j, &a.last_ms);
        } else if (vg_json_str_is(key, "pending")) {
            get_strikes(j, list, &pending);
        } else {
            vg_json_skip(j);
        }
    }
    bool strikes_type = type == VG_ALARM_SMOKE || type == VG_ALARM_TEMPERATURE;
    bool is_pending = a.condition == VG_PENDING;
    if (type == VG_ALARM_TYPE_COUNT || a.activation == 0 || a.raised > a.activation ||
        (is_pending && (!strikes_type || pending == 0 || pending != a.strikes)) ||
        (!is_pending && pending > 0)) {
        vg_json_fail(j, VG_JSON_RANGE);
        return;
    }
    s->alarm[type] = a;
    if (is_pending) {
        memcpy(s->strike[type - VG_ALARM_SMOKE], list, pending * sizeof(list[0]));
    }
}

static void get_store(struct vg_json *j, struct vg_rules_state *s)
{
    struct vg_json_str key;
    struct vg_store_mark mark = {.newest_ms = VG_LONG_AGO_MS};
    char hex[17] = "";
    uint8_t bytes[8] = {0};
    vg_json_object(j);
    while (vg_json_member(j, &key)) {
        if (vg_json_str_is(key, "store")) {
            vg_json_text(j, hex, sizeof(hex));
        } else if (vg_json_str_is(key, "u")) {
            vg_json_u64(j, &mark.next[0]);
        } else if (vg_json_str_is(key, "r")) {
            vg_json_u64(j, &mark.next[1]);
        } else if (vg_json_str_is(key, "newest_ms")) {
            vg_json_i64(j, &mark.newest_ms);
        } else {
            vg_json_skip(j);
        }
    }
    if (s->store_count >= VG_RULES_STORES_MAX || !vg_unhex(vg_span_str(hex), bytes, 8)) {
        vg_json_fail(j, VG_JSON_RANGE);
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        mark.store = mark.store << 8 | bytes[i];
    }
    s->store[s->store_count++] = mark;
}

static void get_time(struct vg_json *j, struct vg_json_str key, struct vg_rules_state *s)
{
    if (vg_json_str_is(key, "period_ms")) {
        vg_json_i64(j, &s->period_ms);
    } else if (vg_json_str_is(key, "patience_ms")) {
        vg_json_i64(j, &s->patience_ms);
    } else if (vg_json_str_is(key, "arrived_ms")) {
        vg_json_i64(j, &s->arrived_ms);
    } else if (vg_json_str_is(key, "seen_ms")) {
        vg_json_i64(j, &s->seen_ms);
    } else if (vg_json_str_is(key, "since_ms")) {
        vg_json_i64(j, &s->since_ms);
    } else if (vg_json_str_is(key, "clock_ms")) {
        vg_json_i64(j, &s->clock_ms);
    } else if (vg_json_str_is(key, "ok_ms")) {
        vg_json_i64(j, &s->ok_ms);
    } else if (vg_json_str_is(key, "newest_ms")) {
        vg_json_i64(j, &s->newest_ms);
    } else {
        vg_json_skip(j);
    }
}

enum vg_err vg_rules_state_decode(struct vg_span json, struct vg_rules_state *s,
                                  struct vg_error *err)
{
    struct vg_json j;
    struct vg_json_str key;
    int64_t version = 0;
    (void)vg_rules_state_init(s, VG_SPAN("-"));
    s->sensor[0] = '\0';
    vg_json_init(&j, json, 8);
    vg_json_object(&j);
    while (vg_json_member(&j, &key)) {
        if (vg_json_str_is(key, "v")) {
            vg_json_i64(&j, &version);
        } else if (vg_json_str_is(key, "sensor")) {
            vg_json_text(&j, s->sensor, sizeof(s->sensor));
        } else if (vg_json_str_is(key, "device")) {
            vg_json_text(&j, s->device, sizeof(s->device));
        } else if (vg_json_str_is(key, "alarms")) {
            vg_json_array(&j);
            while (vg_json_element(&j)) {
                get_alarm(&j, s);
            }
        } else if (vg_json_str_is(key, "stores")) {
            vg_json_array(&j);
            while (vg_json_element(&j)) {
                get_store(&j, s);
            }
        } else {
            get_time(&j, key, s);
        }
    }
    if (version > VG_RULES_VERSION) {
        return vg_fail(err, VG_E_VERSION, "alarm-state: v is %lld, at most %d is known",
                       (long long)version, VG_RULES_VERSION);
    }
    if (!vg_json_done(&j)) {
        return vg_fail_at(err, VG_E_INVALID, j.offset, "alarm-state: %s at byte %zu",
                          vg_json_error_text(j.error), j.offset);
    }
    if (version < 1 || s->sensor[0] == '\0' || s->period_ms < 0) {
        return vg_fail(err, VG_E_INVALID, "alarm-state: needs v, sensor and a period_ms >= 0");
    }
    s->saved_ms = s->seen_ms;
    s->restored = true;
    return VG_OK;
}

void vg_alarm_views(const struct vg_rules_state *s, vg_alarm_view_fn *fn, void *arg)
{
    for (enum vg_alarm_type type = VG_ALARM_MOTION; type < VG_ALARM_TYPE_COUNT; type++) {
        const struct vg_alarm *a = &s->alarm[type];
        struct vg_alarm_view view = {
            .sensor = s->sensor, .device = s->device, .type = type, .alarm = a, .acked = a->acked};
        if (a->raised > 0 && (a->condition == VG_ACTIVE || !a->acked)) {
            view.activation = a->raised;
            view.active = a->condition == VG_ACTIVE;
            vg_alarm_id_format(s->sensor, type, a->raised, view.id);
            fn(arg, &view);
        }
        if (a->condition == VG_PENDING) {
            view.activation = a->activation;
            view.pre_alarm = true;
            view.active = view.acked = false;
            vg_alarm_id_format(s->sensor, type, a->activation, view.id);
            fn(arg, &view);
        }
    }
}

static const char collectors[] = "collectors/";

void vg_collector_sensor(int32_t partition, char out[VG_SENSOR_ID_MAX + 1])
{
    snprintf(out, VG_SENSOR_ID_MAX + 1, "%s%d", collectors, (int)partition);
}

int32_t vg_collector_partition(struct vg_span sensor)
{
    const size_t prefix = sizeof(collectors) - 1;
    long long n;
    if (sensor.len <= prefix || memcmp(sensor.at, collectors, prefix) != 0 ||
        !vg_span_to_i64(vg_span(sensor.at + prefix, sensor.len - prefix), &n) || n < 0 ||
        n > INT32_MAX) {
        return -1;
    }
    return (int32_t)n;
}
