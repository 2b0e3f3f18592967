/* The words of the rules, one table each; docs/schemas has the same ones. */
#include "vigia/rules.h"

#include <assert.h>

static const char *const type_names[] = {
    [VG_ALARM_MOTION] = "motion",           [VG_ALARM_SMOKE] = "smoke",
    [VG_ALARM_TEMPERATURE] = "temperature", [VG_ALARM_SILENCE] = "silence",
    [VG_ALARM_DEVICE] = "device",           [VG_ALARM_STORAGE] = "storage",
    [VG_ALARM_COLLECTOR] = "collector",
};
static_assert(sizeof(type_names) / sizeof(type_names[0]) == VG_ALARM_TYPE_COUNT,
              "a type has no name");

static const char *const event_names[] = {
    [VG_PRE_ALARM] = "pre_alarm",
    [VG_PRE_ALARM_EXPIRED] = "pre_alarm_expired",
    [VG_PRE_ALARM_CANCELLED] = "pre_alarm_cancelled",
    [VG_RAISED] = "raised",
    [VG_CLEARED] = "cleared",
    [VG_LATE_ACTIVITY] = "late_activity",
    [VG_ACKNOWLEDGED] = "acknowledged",
    [VG_REFUSED] = "refused",
};
static_assert(sizeof(event_names) / sizeof(event_names[0]) == VG_ALARM_EVENT_KIND_COUNT,
              "an event has no name");

static const char *const condition_names[] = {"normal", "pending", "active"};
static const char *const priority_names[] = {"low", "medium", "high"};

const char *vg_alarm_type_name(enum vg_alarm_type type)
{
    assert((unsigned)type < VG_ALARM_TYPE_COUNT);
    return type_names[type];
}

enum vg_alarm_type vg_alarm_type_parse(struct vg_span name)
{
    unsigned i = 0;
    while (i < VG_ALARM_TYPE_COUNT && !vg_span_eq(name, vg_span_str(type_names[i]))) {
        i++;
    }
    return (enum vg_alarm_type)i;
}

const char *vg_condition_name(enum vg_condition condition)
{
    assert((unsigned)condition <= VG_ACTIVE);
    return condition_names[condition];
}

const char *vg_priority_name(enum vg_priority priority)
{
    assert((unsigned)priority <= VG_PRIORITY_HIGH);
    return priority_names[priority];
}

const char *vg_alarm_event_name(enum vg_alarm_event_kind kind)
{
    assert((unsigned)kind < VG_ALARM_EVENT_KIND_COUNT);
    return event_names[kind];
}
