/* What a quantity's name means: the known ones with their types and units, events, quality, and
 * extras. */
#include "batch.h"

#include <math.h>

/* Fields of the readings schema (record.h) that are no quantity of the wire: an extra of this name
 * would read like one of them. The quantities themselves are handled before. */
static const char *const reserved_names[] = {
    "v",       "sensor",      "device",  "store", "lane",      "seq",
    "time_ms", "received_ms", "quality", "x",     "heartbeat",
};

/* Names with a meaning on the wire. */
static const char *const known_names[] = {
    "motion", "smoke", "temperature", "max_temperature", "ok",
    "q",      "alive", "gap",         "storage",         "clock",
};

static bool in_list(struct vg_span name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (vg_span_eq(name, vg_span_str(list[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_reserved(struct vg_span name)
{
    return in_list(name, reserved_names, sizeof(reserved_names) / sizeof(reserved_names[0]));
}

bool vgi_extra_name(struct vg_span name)
{
    return !is_reserved(name) &&
           !in_list(name, known_names, sizeof(known_names) / sizeof(known_names[0]));
}

bool vgi_name_chars(struct vg_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || strchr("-:./_", c) == NULL)) {
            return false;
        }
    }
    return name.len > 0;
}

static enum vg_reason set_bool(struct vg_reading *r, uint32_t bit, bool *field,
                               const struct vgi_value *value)
{
    if (value->type != VGI_BOOL) {
        return VG_REASON_VALUE_TYPE;
    }
    if ((r->has & bit) != 0) {
        return VG_REASON_TWICE;
    }
    r->has |= bit;
    *field = value->boolean;
    return VG_REASON_NONE;
}

static enum vg_reason set_celsius(struct vg_reading *r, uint32_t bit, double *field,
                                  const struct vgi_value *value)
{
    if (value->type != VGI_NUMBER) {
        return VG_REASON_VALUE_TYPE;
    }
    if (value->unit != NULL && !vg_span_eq(vgi_text_span(value->unit), VG_SPAN("Cel"))) {
        return VG_REASON_UNIT;
    }
    if (!isfinite(value->number)) {
        return VG_REASON_VALUE_RANGE;
    }
    if ((r->has & bit) != 0) {
        return VG_REASON_TWICE;
    }
    r->has |= bit;
    *field = value->number;
    return VG_REASON_NONE;
}

/* ok and alive say something only by being there. */
static enum vg_reason require_true(const struct vgi_value *value)
{
    if (value->type != VGI_BOOL) {
        return VG_REASON_VALUE_TYPE;
    }
    return value->boolean ? VG_REASON_NONE : VG_REASON_FALSE;
}

static enum vg_reason set_ok(struct vg_reading *r, const struct vgi_value *value)
{
    enum vg_reason reason = require_true(value);
    if (reason == VG_REASON_NONE && (r->has & VG_HAS_OK) != 0) {
        reason = VG_REASON_TWICE;
    }
    r->has |= VG_HAS_OK;
    return reason;
}

static enum vg_reason set_quality(struct vg_reading *r, const struct vgi_value *value)
{
    if (value->type != VGI_TEXT) {
        return VG_REASON_VALUE_TYPE;
    }
    if ((r->has & VGI_HAS_QUALITY) != 0) {
        return VG_REASON_TWICE;
    }
    r->has |= VGI_HAS_QUALITY;
    struct vg_span name = vgi_text_span(value->text);
    enum vg_quality quality;
    if (vg_span_eq(name, VG_SPAN("good"))) {
        return VG_REASON_NONE;
    }
    /* "synced" is not a sender's to claim: it follows from an absolute time. */
    if (!vg_quality_parse(name, &quality) || quality == VG_QUALITY_SYNCED) {
        return VG_REASON_QUALITY;
    }
    r->quality = (uint8_t)quality;
    return VG_REASON_NONE;
}

static bool text_fits(const struct vgi_text *text, size_t max)
{
    return text->len <= max && !text->nul;
}

static enum vg_reason set_event(struct vg_reading *r, enum vg_event event,
                                const struct vgi_value *value)
{
    enum vg_reason reason = VG_REASON_NONE;
    if (event == VG_EVENT_ALIVE) {
        reason = require_true(value);
    } else if (value->type != VGI_TEXT) {
        reason = VG_REASON_VALUE_TYPE;
    } else if (!text_fits(value->text, VG_EVENT_TEXT_MAX)) {
        reason = VG_REASON_TEXT;
    }
    if (reason != VG_REASON_NONE) {
        return reason;
    }
    if (r->event != VG_EVENT_NONE) {
        return r->event == event ? VG_REASON_TWICE : VG_REASON_EVENT_ALONE;
    }
    r->event = (uint8_t)event;
    if (event != VG_EVENT_ALIVE) {
        memcpy(r->event_text, value->text->at, value->text->len + 1);
    }
    return VG_REASON_NONE;
}

static enum vg_reason set_extra_value(struct vg_extra *extra, const struct vgi_value *value)
{
    switch (value->type) {
    case VGI_NUMBER:
        if (!isfinite(value->number)) {
            return VG_REASON_VALUE_RANGE;
        }
        extra->type = VG_EXTRA_NUMBER;
        extra->number = value->number;
        return VG_REASON_NONE;
    case VGI_BOOL:
        extra->type = VG_EXTRA_BOOL;
        extra->boolean = value->boolean;
        return VG_REASON_NONE;
    case VGI_TEXT:
        if (!text_fits(value->text, VG_EXTRA_TEXT_MAX)) {
            return VG_REASON_TEXT;
        }
        extra->type = VG_EXTRA_TEXT;
        memcpy(extra->text, value->text->at, value->text->len + 1);
        return VG_REASON_NONE;
    case VGI_OTHER:
        break;
    }
    return VG_REASON_VALUE_TYPE;
}

static enum vg_reason set_extra(struct vg_reading *r, struct vg_span name,
                                const struct vgi_value *value)
{
    if (is_reserved(name)) {
        return VG_REASON_RESERVED;
    }
    if (name.len > VG_EXTRA_NAME_MAX) {
        return VG_REASON_NAME_LONG;
    }
    for (size_t i = 0; i < r->extra_count; i++) {
        if (vg_span_eq(name, vg_span_str(r->extras[i].name))) {
            return VG_REASON_TWICE;
        }
    }
    if (r->extra_count == VG_EXTRAS_MAX) {
        return VG_REASON_EXTRAS;
    }
    struct vg_extra *extra = &r->extras[r->extra_count];
    enum vg_reason reason = set_extra_value(extra, value);
    if (reason == VG_REASON_NONE) {
        memcpy(extra->name, name.at, name.len);
        extra->name[name.len] = '\0';
        r->extra_count++;
    }
    return reason;
}

enum vg_reason vgi_quantity_set(struct vg_reading *r, struct vg_span name,
                                const struct vgi_value *value)
{
    if (vg_span_eq(name, VG_SPAN("motion"))) {
        return set_bool(r, VG_HAS_MOTION, &r->motion, value);
    }
    if (vg_span_eq(name, VG_SPAN("smoke"))) {
        return set_bool(r, VG_HAS_SMOKE, &r->smoke, value);
    }
    if (vg_span_eq(name, VG_SPAN("temperature"))) {
        return set_celsius(r, VG_HAS_TEMPERATURE, &r->temperature, value);
    }
    if (vg_span_eq(name, VG_SPAN("max_temperature"))) {
        return set_celsius(r, VG_HAS_MAX_TEMPERATURE, &r->max_temperature, value);
    }
    if (vg_span_eq(name, VG_SPAN("ok"))) {
        return set_ok(r, value);
    }
    if (vg_span_eq(name, VG_SPAN("q"))) {
        return set_quality(r, value);
    }
    enum vg_event event = vg_event_parse(name);
    if (event != VG_EVENT_NONE) {
        return set_event(r, event, value);
    }
    return set_extra(r, name, value);
}

enum vg_reason vgi_reading_check(const struct vg_reading *r)
{
    bool quantities = (r->has & VG_HAS_QUANTITIES) != 0;
    bool own_quality = r->quality > VG_QUALITY_UNSYNCED;
    if ((r->has & VG_HAS_OK) != 0) {
        bool more = quantities || own_quality || r->event != VG_EVENT_NONE || r->extra_count > 0;
        return more ? VG_REASON_OK_ALONE : VG_REASON_NONE;
    }
    if (r->event != VG_EVENT_NONE) {
        return quantities || own_quality ? VG_REASON_EVENT_ALONE : VG_REASON_NONE;
    }
    return quantities || own_quality || r->extra_count > 0 ? VG_REASON_NONE : VG_REASON_NO_VALUE;
}
