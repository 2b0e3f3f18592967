/* Reading records of the `readings` topic: the hot path of every consumer (record.h).
 *
 * Our own records have their fields in the order of the table below, so the search for a field
 * starts behind the one found last and nearly always ends at once; any other order is read as well.
 */
#include "vigia/json.h"
#include "vigia/record.h"

#include <assert.h>

/* The record's object, `x` in it, and unknown fields with something nested inside. */
#define DEPTH_MAX 8

enum field {
    F_V,
    F_SENSOR,
    F_DEVICE,
    F_STORE,
    F_LANE,
    F_SEQ,
    F_TIME,
    F_RECEIVED,
    F_QUALITY,
    F_IS_OK,
    F_MOTION,
    F_SMOKE,
    F_TEMPERATURE,
    F_MAX_TEMPERATURE,
    F_ALIVE,
    F_GAP,
    F_STORAGE,
    F_CLOCK,
    F_X,
    F_HEARTBEAT,
    F_COUNT
};

#define BIT(field) (1u << (field))
#define IDENTITY   (BIT(F_STORE) | BIT(F_LANE) | BIT(F_SEQ))
#define TIMES      (BIT(F_TIME) | BIT(F_RECEIVED))

static const struct vg_span field_names[] = {
    [F_V] = {"v", 1},
    [F_SENSOR] = {"sensor", 6},
    [F_DEVICE] = {"device", 6},
    [F_STORE] = {"store", 5},
    [F_LANE] = {"lane", 4},
    [F_SEQ] = {"seq", 3},
    [F_TIME] = {"time_ms", 7},
    [F_RECEIVED] = {"received_ms", 11},
    [F_QUALITY] = {"quality", 7},
    [F_IS_OK] = {"ok", 2},
    [F_MOTION] = {"motion", 6},
    [F_SMOKE] = {"smoke", 5},
    [F_TEMPERATURE] = {"temperature", 11},
    [F_MAX_TEMPERATURE] = {"max_temperature", 15},
    [F_ALIVE] = {"alive", 5},
    [F_GAP] = {"gap", 3},
    [F_STORAGE] = {"storage", 7},
    [F_CLOCK] = {"clock", 5},
    [F_X] = {"x", 1},
    [F_HEARTBEAT] = {"heartbeat", 9},
};
static_assert(sizeof(field_names) / sizeof(field_names[0]) == F_COUNT, "every field has a name");

struct decoder {
    struct vg_json j;
    struct vg_reading *reading;
    struct vg_heartbeat *beat;
    int64_t version;
    unsigned seen;
};

/* F_COUNT when it is none of them. */
static enum field find_field(struct vg_json_str key, enum field last)
{
    char plain[16];
    struct vg_span name = key.raw;
    if (key.escaped) {
        if (!vg_json_str_copy(key, plain, sizeof(plain))) {
            return F_COUNT;
        }
        name = vg_span_str(plain);
    }
    enum field f = last;
    for (unsigned i = 0; i < F_COUNT; i++) {
        f = f + 1 == F_COUNT ? (enum field)0 : (enum field)(f + 1);
        if (vg_span_eq(name, field_names[f])) {
            return f;
        }
    }
    return F_COUNT;
}

static bool require(struct decoder *d, bool condition)
{
    return condition || vg_json_fail(&d->j, VG_JSON_RANGE);
}

static bool take_time(struct decoder *d, int64_t *out)
{
    return vg_json_i64(&d->j, out) && require(d, *out >= 0 && *out <= VG_TIME_MS_MAX);
}

static bool take_store(struct decoder *d, uint64_t *out)
{
    struct vg_json_str s;
    uint8_t bytes[8] = {0};
    if (!vg_json_string(&d->j, &s) ||
        !require(d, s.raw.len == 16 && vg_unhex(s.raw, bytes, sizeof(bytes)))) {
        return false;
    }
    uint64_t store = 0;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        store = store << 8 | bytes[i];
    }
    *out = store;
    return true;
}

static bool take_lane(struct decoder *d, char *out)
{
    char lane[2];
    if (!vg_json_text(&d->j, lane, sizeof(lane)) ||
        !require(d, lane[0] == VG_LANE_URGENT || lane[0] == VG_LANE_ROUTINE)) {
        return false;
    }
    *out = lane[0];
    return true;
}

static bool take_quality(struct decoder *d, uint8_t *out)
{
    struct vg_json_str s;
    enum vg_quality quality = VG_QUALITY_SYNCED;
    if (!vg_json_string(&d->j, &s) || !require(d, vg_quality_parse(s.raw, &quality))) {
        return false;
    }
    *out = (uint8_t)quality;
    return true;
}

/* `ok` and `alive` are there only as true. */
static bool take_true(struct decoder *d)
{
    bool value = false;
    return vg_json_bool(&d->j, &value) && require(d, value);
}

static bool take_bool(struct decoder *d, uint32_t bit, bool *out)
{
    d->reading->has |= bit;
    return vg_json_bool(&d->j, out);
}

static bool take_double(struct decoder *d, uint32_t bit, double *out)
{
    d->reading->has |= bit;
    return vg_json_number(&d->j, out);
}

static bool take_event(struct decoder *d, enum vg_event event)
{
    if (!require(d, d->reading->event == VG_EVENT_NONE)) {
        return false;
    }
    d->reading->event = (uint8_t)event;
    if (event == VG_EVENT_ALIVE) {
        return take_true(d);
    }
    return vg_json_text(&d->j, d->reading->event_text, sizeof(d->reading->event_text));
}

static bool take_extra(struct decoder *d, struct vg_json_str name)
{
    if (!require(d, d->reading->extra_count < VG_EXTRAS_MAX)) {
        return false;
    }
    struct vg_extra *extra = &d->reading->extras[d->reading->extra_count];
    if (!require(d, vg_json_str_copy(name, extra->name, sizeof(extra->name)))) {
        return false;
    }
    d->reading->extra_count++;
    switch (vg_json_peek(&d->j)) {
    case VG_JSON_NUMBER:
        extra->type = VG_EXTRA_NUMBER;
        return vg_json_number(&d->j, &extra->number);
    case VG_JSON_BOOL:
        extra->type = VG_EXTRA_BOOL;
        return vg_json_bool(&d->j, &extra->boolean);
    default:
        extra->type = VG_EXTRA_TEXT;
        return vg_json_text(&d->j, extra->text, sizeof(extra->text));
    }
}

static bool take_extras(struct decoder *d)
{
    struct vg_json_str name;
    if (!vg_json_object(&d->j)) {
        return false;
    }
    while (vg_json_member(&d->j, &name)) {
        if (!take_extra(d, name)) {
            return false;
        }
    }
    return d->j.error == VG_JSON_OK;
}

/* Reads the value of one known field. */
static bool take_field(struct decoder *d, enum field field)
{
    struct vg_reading *r = d->reading;
    switch (field) {
    case F_V:
        return vg_json_i64(&d->j, &d->version);
    case F_SENSOR:
        return vg_json_text(&d->j, r->sensor, sizeof(r->sensor)) &&
               require(d, r->sensor[0] != '\0');
    case F_DEVICE:
        return vg_json_text(&d->j, r->device, sizeof(r->device));
    case F_STORE:
        return take_store(d, &r->store);
    case F_LANE:
        return take_lane(d, &r->lane);
    case F_SEQ:
        return vg_json_u64(&d->j, &r->seq) && require(d, r->seq <= VG_SEQ_MAX);
    case F_TIME:
        return take_time(d, &r->time_ms);
    case F_RECEIVED:
        return take_time(d, &r->received_ms);
    case F_QUALITY:
        return take_quality(d, &r->quality);
    case F_IS_OK:
        r->has |= VG_HAS_OK;
        return take_true(d);
    case F_MOTION:
        return take_bool(d, VG_HAS_MOTION, &r->motion);
    case F_SMOKE:
        return take_bool(d, VG_HAS_SMOKE, &r->smoke);
    case F_TEMPERATURE:
        return take_double(d, VG_HAS_TEMPERATURE, &r->temperature);
    case F_MAX_TEMPERATURE:
        return take_double(d, VG_HAS_MAX_TEMPERATURE, &r->max_temperature);
    case F_ALIVE:
        return take_event(d, VG_EVENT_ALIVE);
    case F_GAP:
        return take_event(d, VG_EVENT_GAP);
    case F_STORAGE:
        return take_event(d, VG_EVENT_STORAGE);
    case F_CLOCK:
        return take_event(d, VG_EVENT_CLOCK);
    case F_X:
        return take_extras(d);
    case F_HEARTBEAT:
        return vg_json_text(&d->j, d->beat->instance, sizeof(d->beat->instance)) &&
               require(d, d->beat->instance[0] != '\0');
    case F_COUNT:
        break;
    }
    return vg_json_skip(&d->j);
}

static enum vg_err fail(const struct decoder *d, enum field field, struct vg_error *err)
{
    enum vg_err code = d->j.error == VG_JSON_RANGE ? VG_E_RANGE : VG_E_INVALID;
    const char *name = field == F_COUNT ? "record" : field_names[field].at;
    return vg_fail_at(err, code, d->j.offset, "byte %zu: %s: %s", d->j.offset, name,
                      vg_json_error_text(d->j.error));
}

/* What must be there, once every field was read. */
static enum vg_err check(const struct decoder *d, struct vg_error *err)
{
    bool heartbeat = (d->seen & BIT(F_HEARTBEAT)) != 0;
    unsigned need = BIT(F_V) | TIMES | (heartbeat ? 0 : BIT(F_SENSOR));
    if ((d->seen & IDENTITY) != 0) {
        need |= IDENTITY;
    }
    for (unsigned f = 0; f < F_COUNT; f++) {
        if ((need & ~d->seen & BIT(f)) != 0) {
            return vg_fail(err, VG_E_INVALID, "record: %s is missing", field_names[f].at);
        }
    }
    return VG_OK;
}

static void clear(struct vg_reading *r)
{
    r->sensor[0] = '\0';
    r->device[0] = '\0';
    r->store = 0;
    r->seq = 0;
    r->lane = VG_LANE_NONE;
    r->quality = VG_QUALITY_SYNCED;
    r->event = VG_EVENT_NONE;
    r->extra_count = 0;
    r->has = 0;
    r->event_text[0] = '\0';
}

/* A newer version stops the reader whatever else the record looks like, so "v" is judged as soon as
 * it is known. */
static enum vg_err check_version(const struct decoder *d, struct vg_error *err)
{
    if (d->version > VG_RECORD_VERSION) {
        return vg_fail(err, VG_E_VERSION, "record: v is %lld, this program reads up to %d",
                       (long long)d->version, VG_RECORD_VERSION);
    }
    if (d->version < 1) {
        return vg_fail(err, VG_E_RANGE, "record: v is %lld, accepted: %d", (long long)d->version,
                       VG_RECORD_VERSION);
    }
    return VG_OK;
}

/* One member; *last is the field found before. */
static enum vg_err take_member(struct decoder *d, struct vg_json_str key, enum field *last,
                               struct vg_error *err)
{
    enum field field = find_field(key, *last);
    if (field != F_COUNT) {
        if ((d->seen & BIT(field)) != 0) {
            size_t offset = (size_t)(d->j.at - d->j.start);
            return vg_fail_at(err, VG_E_INVALID, offset, "byte %zu: %s: given twice", offset,
                              field_names[field].at);
        }
        d->seen |= BIT(field);
        *last = field;
    }
    if (!take_field(d, field)) {
        return fail(d, field, err);
    }
    return field == F_V ? check_version(d, err) : VG_OK;
}

enum vg_err vg_record_decode(struct vg_span text, enum vg_record_kind *kind,
                             struct vg_reading *reading, struct vg_heartbeat *beat,
                             struct vg_error *err)
{
    struct decoder d = {.reading = reading, .beat = beat};
    struct vg_json_str key;
    enum field last = (enum field)(F_COUNT - 1);
    vg_json_init(&d.j, text, DEPTH_MAX);
    clear(reading);
    vg_json_object(&d.j);
    while (vg_json_member(&d.j, &key)) {
        enum vg_err result = take_member(&d, key, &last, err);
        if (result != VG_OK) {
            return result;
        }
    }
    if (!vg_json_done(&d.j)) {
        return fail(&d, F_COUNT, err);
    }
    enum vg_err result = check(&d, err);
    if (result != VG_OK) {
        return result;
    }
    *kind = VG_RECORD_READING;
    if ((d.seen & BIT(F_HEARTBEAT)) != 0) {
        beat->time_ms = reading->time_ms;
        beat->received_ms = reading->received_ms;
        *kind = VG_RECORD_HEARTBEAT;
    }
    return VG_OK;
}
