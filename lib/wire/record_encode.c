/* Writing records of the `readings` topic (record.h). */
#include "vigia/json.h"
#include "vigia/record.h"

#include <assert.h>
#include <math.h>

/* Every byte of a text may become six (\u00xx); 600 bytes cover names, numbers and punctuation. */
#define ESCAPED(len) (6 * (len))
static_assert(VG_RECORD_MAX >=
                  600 + ESCAPED(VG_SENSOR_ID_MAX) + ESCAPED(VG_DEVICE_NAME_MAX) +
                      ESCAPED(VG_EVENT_TEXT_MAX) +
                      VG_EXTRAS_MAX * (ESCAPED(VG_EXTRA_NAME_MAX) + ESCAPED(VG_EXTRA_TEXT_MAX) + 8),
              "the longest record fits");

static void write_identity(struct vg_json_out *w, const struct vg_reading *r)
{
    char store[17];
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(r->store >> (56 - 8 * i));
    }
    vg_hex(bytes, sizeof(bytes), store);
    vg_jsonw_key(w, "store");
    vg_jsonw_string(w, store);
    vg_jsonw_key(w, "lane");
    vg_jsonw_span(w, vg_span(&r->lane, 1));
    vg_jsonw_key(w, "seq");
    vg_jsonw_u64(w, r->seq);
}

static void write_bool(struct vg_json_out *w, const char *key, bool value)
{
    vg_jsonw_key(w, key);
    vg_jsonw_bool(w, value);
}

static void write_double(struct vg_json_out *w, const char *key, double value)
{
    vg_jsonw_key(w, key);
    vg_jsonw_double(w, value);
}

static void write_quantities(struct vg_json_out *w, const struct vg_reading *r)
{
    if ((r->has & VG_HAS_OK) != 0) {
        write_bool(w, "ok", true);
    }
    if ((r->has & VG_HAS_MOTION) != 0) {
        write_bool(w, "motion", r->motion);
    }
    if ((r->has & VG_HAS_SMOKE) != 0) {
        write_bool(w, "smoke", r->smoke);
    }
    if ((r->has & VG_HAS_TEMPERATURE) != 0) {
        write_double(w, "temperature", r->temperature);
    }
    if ((r->has & VG_HAS_MAX_TEMPERATURE) != 0) {
        write_double(w, "max_temperature", r->max_temperature);
    }
}

static void write_event(struct vg_json_out *w, const struct vg_reading *r)
{
    vg_jsonw_key(w, vg_event_name((enum vg_event)r->event));
    if (r->event == VG_EVENT_ALIVE) {
        vg_jsonw_bool(w, true);
    } else {
        vg_jsonw_string(w, r->event_text);
    }
}

static void write_extras(struct vg_json_out *w, const struct vg_reading *r)
{
    vg_jsonw_key(w, "x");
    vg_jsonw_object(w);
    for (size_t i = 0; i < r->extra_count; i++) {
        const struct vg_extra *extra = &r->extras[i];
        vg_jsonw_key(w, extra->name);
        switch ((enum vg_extra_type)extra->type) {
        case VG_EXTRA_NUMBER:
            vg_jsonw_double(w, extra->number);
            break;
        case VG_EXTRA_BOOL:
            vg_jsonw_bool(w, extra->boolean);
            break;
        case VG_EXTRA_TEXT:
            vg_jsonw_string(w, extra->text);
            break;
        }
    }
    vg_jsonw_object_end(w);
}

static void write_head(struct vg_json_out *w, const char *key, const char *text)
{
    vg_jsonw_object(w);
    vg_jsonw_key(w, "v");
    vg_jsonw_u64(w, VG_RECORD_VERSION);
    vg_jsonw_key(w, key);
    vg_jsonw_string(w, text);
}

static void write_times(struct vg_json_out *w, int64_t time_ms, int64_t received_ms)
{
    vg_jsonw_key(w, "time_ms");
    vg_jsonw_i64(w, time_ms);
    vg_jsonw_key(w, "received_ms");
    vg_jsonw_i64(w, received_ms);
}

static enum vg_err finish(const struct vg_json_out *w, size_t *len)
{
    if (w->failed) {
        return VG_E_FULL;
    }
    *len = w->len;
    return VG_OK;
}

static bool numbers_finite(const struct vg_reading *r)
{
    if (((r->has & VG_HAS_TEMPERATURE) != 0 && !isfinite(r->temperature)) ||
        ((r->has & VG_HAS_MAX_TEMPERATURE) != 0 && !isfinite(r->max_temperature))) {
        return false;
    }
    for (size_t i = 0; i < r->extra_count; i++) {
        if (r->extras[i].type == VG_EXTRA_NUMBER && !isfinite(r->extras[i].number)) {
            return false;
        }
    }
    return true;
}

enum vg_err vg_record_encode(const struct vg_reading *reading, char *out, size_t size, size_t *len)
{
    struct vg_json_out w;
    if (reading->sensor[0] == '\0' || !numbers_finite(reading)) {
        return VG_E_INVALID;
    }
    vg_jsonw_init(&w, out, size);
    write_head(&w, "sensor", reading->sensor);
    if (reading->device[0] != '\0') {
        vg_jsonw_key(&w, "device");
        vg_jsonw_string(&w, reading->device);
    }
    if (reading->lane != VG_LANE_NONE) {
        write_identity(&w, reading);
    }
    write_times(&w, reading->time_ms, reading->received_ms);
    vg_jsonw_key(&w, "quality");
    vg_jsonw_string(&w, vg_quality_name((enum vg_quality)reading->quality));
    write_quantities(&w, reading);
    if (reading->event != VG_EVENT_NONE) {
        write_event(&w, reading);
    }
    if (reading->extra_count > 0) {
        write_extras(&w, reading);
    }
    vg_jsonw_object_end(&w);
    return finish(&w, len);
}

enum vg_err vg_heartbeat_encode(const struct vg_heartbeat *beat, char *out, size_t size,
                                size_t *len)
{
    struct vg_json_out w;
    if (beat->instance[0] == '\0') {
        return VG_E_INVALID;
    }
    vg_jsonw_init(&w, out, size);
    write_head(&w, "heartbeat", beat->instance);
    write_times(&w, beat->time_ms, beat->received_ms);
    vg_jsonw_object_end(&w);
    return finish(&w, len);
}
