/* Plain JSON, content-format 50: {"id", "motion", "smoke", "temperature", "max_temperature"}, one
 * object or an array of them. An object is one reading, taken now. */
#include "batch.h"

/* Reads the value of one quantity; false when the reader has failed. */
static bool take_value(struct vg_json *j, struct vgi_value *value, struct vgi_text *text)
{
    struct vg_json_str string;
    *value = (struct vgi_value){.type = VGI_OTHER};
    switch (vg_json_peek(j)) {
    case VG_JSON_NUMBER:
        value->type = VGI_NUMBER;
        return vgi_json_number_any(j, &value->number);
    case VG_JSON_BOOL:
        value->type = VGI_BOOL;
        return vg_json_bool(j, &value->boolean);
    case VG_JSON_STRING:
        if (!vg_json_string(j, &string)) {
            return false;
        }
        vgi_text_from_json(text, string);
        value->type = VGI_TEXT;
        value->text = text;
        return true;
    case VG_JSON_OBJECT:
    case VG_JSON_ARRAY:
    case VG_JSON_NULL:
    case VG_JSON_NONE:
        break;
    }
    return vg_json_skip(j);
}

/* Gives the reading its sensor. */
static enum vg_reason set_id(struct vg_reading *r, const struct vgi_value *value)
{
    if (value->type != VGI_TEXT) {
        return VG_REASON_VALUE_TYPE;
    }
    if (value->text->len > VG_SENSOR_ID_MAX) {
        return VG_REASON_NAME_LONG;
    }
    if (!vg_sensor_id_valid(vgi_text_span(value->text))) {
        return VG_REASON_NAME;
    }
    memcpy(r->sensor, value->text->at, value->text->len + 1);
    return VG_REASON_NONE;
}

/* A member's name as a quantity. A '/' would end the sensor's name in SenML, where the same reading
 * must fit too. */
static enum vg_reason set_quantity(struct vg_reading *r, const struct vgi_text *name,
                                   const struct vgi_value *value)
{
    struct vg_span quantity = vgi_text_span(name);
    if (!vgi_name_chars(quantity) || memchr(quantity.at, '/', quantity.len) != NULL) {
        return VG_REASON_NAME;
    }
    return vgi_quantity_set(r, quantity, value);
}

static enum vg_reason take_object(struct vg_json *j, struct vg_batch *b, struct vg_wall now)
{
    struct vg_json_str key;
    struct vgi_text name;
    struct vgi_text text;
    struct vgi_value value;
    bool has_id = false;
    int index = vgi_batch_add(b, vg_span("", 0), now.ms, now.ms, VG_QUALITY_UNSYNCED);
    if (index < 0) {
        return VG_REASON_TOO_MANY;
    }
    struct vg_reading *r = &b->readings[index];
    uint8_t *reason = &b->reasons[index];
    vg_json_object(j);
    while (vg_json_member(j, &key)) {
        vgi_text_from_json(&name, key);
        if (!take_value(j, &value, &text)) {
            break;
        }
        enum vg_reason found;
        if (vg_span_eq(vgi_text_span(&name), VG_SPAN("id"))) {
            found = has_id ? VG_REASON_TWICE : set_id(r, &value);
            has_id = true;
        } else {
            found = set_quantity(r, &name, &value);
        }
        if (*reason == VG_REASON_NONE) {
            *reason = (uint8_t)found;
        }
    }
    if (*reason == VG_REASON_NONE && !has_id) {
        *reason = VG_REASON_NAME_PARTS;
    }
    return VG_REASON_NONE;
}

enum vg_err vgi_decode_plain_json(struct vg_span body, struct vg_wall now, struct vg_batch *b,
                                  struct vg_error *err)
{
    struct vg_json j;
    vg_json_init(&j, body, VGI_DEPTH_MAX);
    enum vg_json_type type = vg_json_peek(&j);
    enum vg_reason reason = VG_REASON_NONE;
    if (type == VG_JSON_OBJECT) {
        reason = take_object(&j, b, now);
    } else if (type == VG_JSON_ARRAY) {
        vg_json_array(&j);
        while (reason == VG_REASON_NONE && vg_json_element(&j)) {
            if (vg_json_peek(&j) == VG_JSON_OBJECT) {
                reason = take_object(&j, b, now);
            } else if (vgi_json_other(&j)) {
                reason = VG_REASON_SHAPE;
            }
        }
    } else if (vgi_json_other(&j)) {
        reason = VG_REASON_SHAPE;
    }
    if (reason != VG_REASON_NONE) {
        return vgi_batch_fail(b, reason, (size_t)(j.at - j.start), err);
    }
    if (!vg_json_done(&j)) {
        return vgi_batch_fail(b, vgi_json_reason(j.error), j.offset, err);
    }
    if (b->count == 0) {
        return vgi_batch_fail(b, VG_REASON_EMPTY, 0, err);
    }
    return vgi_batch_finish(b, err);
}
