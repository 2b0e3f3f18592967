/* Names and small questions about a reading (reading.h). */
#include "vigia/reading.h"

#include <assert.h>
#include <math.h>

static const char *const quality_names[] = {
    [VG_QUALITY_SYNCED] = "synced", [VG_QUALITY_UNSYNCED] = "unsynced",
    [VG_QUALITY_STALE] = "stale",   [VG_QUALITY_WARMING_UP] = "warming-up",
    [VG_QUALITY_FAULT] = "fault",
};
static_assert(sizeof(quality_names) / sizeof(quality_names[0]) == VG_QUALITY_COUNT,
              "every quality has a name");

static const char *const event_names[] = {
    [VG_EVENT_NONE] = "none",       [VG_EVENT_ALIVE] = "alive", [VG_EVENT_GAP] = "gap",
    [VG_EVENT_STORAGE] = "storage", [VG_EVENT_CLOCK] = "clock",
};
static_assert(sizeof(event_names) / sizeof(event_names[0]) == VG_EVENT_COUNT,
              "every event has a name");

const char *vg_quality_name(enum vg_quality quality)
{
    assert((unsigned)quality < VG_QUALITY_COUNT);
    return quality_names[quality];
}

bool vg_quality_parse(struct vg_span name, enum vg_quality *out)
{
    for (unsigned i = 0; i < VG_QUALITY_COUNT; i++) {
        if (vg_span_eq(name, vg_span_str(quality_names[i]))) {
            *out = (enum vg_quality)i;
            return true;
        }
    }
    return false;
}

const char *vg_event_name(enum vg_event event)
{
    assert((unsigned)event < VG_EVENT_COUNT);
    return event_names[event];
}

enum vg_event vg_event_parse(struct vg_span name)
{
    for (unsigned i = VG_EVENT_NONE + 1; i < VG_EVENT_COUNT; i++) {
        if (vg_span_eq(name, vg_span_str(event_names[i]))) {
            return (enum vg_event)i;
        }
    }
    return VG_EVENT_NONE;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool vg_sensor_id_valid(struct vg_span id)
{
    if (id.len == 0 || id.len > VG_SENSOR_ID_MAX || !is_alnum(id.at[0])) {
        return false;
    }
    for (size_t i = 1; i < id.len; i++) {
        if (!is_alnum(id.at[i]) && (id.at[i] == '\0' || strchr("-:./_", id.at[i]) == NULL)) {
            return false;
        }
    }
    return true;
}

bool vg_reading_active(const struct vg_reading *r)
{
    const uint32_t both = VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE;
    return ((r->has & VG_HAS_MOTION) != 0 && r->motion) ||
           ((r->has & VG_HAS_SMOKE) != 0 && r->smoke) ||
           ((r->has & both) == both && r->temperature > r->max_temperature);
}

int64_t vg_reading_count_ms(const struct vg_reading *r)
{
    return r->quality == VG_QUALITY_SYNCED ? r->time_ms : r->received_ms;
}

/* The next free extra with its name set, or NULL. */
static struct vg_extra *next_extra(struct vg_reading *r, const char *name, enum vg_extra_type type)
{
    if (r->extra_count == VG_EXTRAS_MAX) {
        return NULL;
    }
    struct vg_extra *extra = &r->extras[r->extra_count];
    if (!vg_str_copy(name, extra->name, sizeof(extra->name))) {
        return NULL;
    }
    extra->type = (uint8_t)type;
    return extra;
}

bool vg_reading_add_number(struct vg_reading *r, const char *name, double value)
{
    struct vg_extra *extra = isfinite(value) ? next_extra(r, name, VG_EXTRA_NUMBER) : NULL;
    if (extra == NULL) {
        return false;
    }
    extra->number = value;
    r->extra_count++;
    return true;
}

bool vg_reading_add_bool(struct vg_reading *r, const char *name, bool value)
{
    struct vg_extra *extra = next_extra(r, name, VG_EXTRA_BOOL);
    if (extra == NULL) {
        return false;
    }
    extra->boolean = value;
    r->extra_count++;
    return true;
}

bool vg_reading_add_text(struct vg_reading *r, const char *name, const char *value)
{
    struct vg_extra *extra = next_extra(r, name, VG_EXTRA_TEXT);
    if (extra == NULL || !vg_str_copy(value, extra->text, sizeof(extra->text))) {
        return false;
    }
    r->extra_count++;
    return true;
}

static bool extra_equal(const struct vg_extra *a, const struct vg_extra *b)
{
    if (a->type != b->type || strcmp(a->name, b->name) != 0) {
        return false;
    }
    switch ((enum vg_extra_type)a->type) {
    case VG_EXTRA_NUMBER:
        return a->number == b->number;
    case VG_EXTRA_BOOL:
        return a->boolean == b->boolean;
    case VG_EXTRA_TEXT:
        return strcmp(a->text, b->text) == 0;
    }
    return false;
}

static bool quantities_equal(const struct vg_reading *a, const struct vg_reading *b)
{
    uint32_t has = a->has;
    return has == b->has && ((has & VG_HAS_MOTION) == 0 || a->motion == b->motion) &&
           ((has & VG_HAS_SMOKE) == 0 || a->smoke == b->smoke) &&
           ((has & VG_HAS_TEMPERATURE) == 0 || a->temperature == b->temperature) &&
           ((has & VG_HAS_MAX_TEMPERATURE) == 0 || a->max_temperature == b->max_temperature);
}

/* Events with a text; `alive` has none. */
static bool event_has_text(unsigned event)
{
    return event != VG_EVENT_NONE && event != VG_EVENT_ALIVE;
}

bool vg_reading_equal(const struct vg_reading *a, const struct vg_reading *b)
{
    if (strcmp(a->sensor, b->sensor) != 0 || strcmp(a->device, b->device) != 0 ||
        a->lane != b->lane || a->time_ms != b->time_ms || a->received_ms != b->received_ms ||
        a->quality != b->quality || a->event != b->event || a->extra_count != b->extra_count ||
        !quantities_equal(a, b)) {
        return false;
    }
    if (a->lane != VG_LANE_NONE && (a->store != b->store || a->seq != b->seq)) {
        return false;
    }
    if (event_has_text(a->event) && strcmp(a->event_text, b->event_text) != 0) {
        return false;
    }
    for (size_t i = 0; i < a->extra_count; i++) {
        if (!extra_equal(&a->extras[i], &b->extras[i])) {
            return false;
        }
    }
    return true;
}
