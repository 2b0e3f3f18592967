/* See metrics.h. */
#include "metrics.h"

#include "vigia/metric.h"

#include <assert.h>

#define EVENT(kind, word)                                                                          \
    [kind] = {.name = "vigia_alarm_events_total",                                                  \
              .labels = "event=\"" word "\"",                                                      \
              .help = "Events written to the topic alarms.",                                       \
              .type = VG_COUNTER}
#define COUNTER(at, n, h) [at] = {.name = "vigia_alarm_" n, .help = h, .type = VG_COUNTER}

enum {
    READINGS = VG_ALARM_EVENT_KIND_COUNT,
    ACTIVE_READINGS,
    OKS,
    DEVICE_EVENTS,
    HEARTBEATS,
    COMMANDS,
    DUPLICATES,
    OLD_STORES,
    NO_ROOM,
    UNREADABLE,
    AHEAD,
    CLOCK_LEAPS,
    CLOCKS_SET_BACK,
    DEVICES_REFUSED,
    COMMITS,
    DROPPED,
    IS_ACTIVE,
    METRIC_COUNT
};

static struct vg_metric metrics[METRIC_COUNT] = {
    EVENT(VG_PRE_ALARM, "pre_alarm"),
    EVENT(VG_PRE_ALARM_EXPIRED, "pre_alarm_expired"),
    EVENT(VG_PRE_ALARM_CANCELLED, "pre_alarm_cancelled"),
    EVENT(VG_RAISED, "raised"),
    EVENT(VG_CLEARED, "cleared"),
    EVENT(VG_LATE_ACTIVITY, "late_activity"),
    EVENT(VG_ACKNOWLEDGED, "acknowledged"),
    EVENT(VG_REFUSED, "refused"),
    COUNTER(READINGS, "readings_total", "Readings, OKs and device events applied."),
    COUNTER(ACTIVE_READINGS, "active_readings_total", "Of these, readings with something active."),
    COUNTER(OKS, "oks_total", "Of these, OKs."),
    COUNTER(DEVICE_EVENTS, "device_events_total", "Of these, events of devices."),
    COUNTER(HEARTBEATS, "heartbeats_total", "Heartbeats of collectors."),
    COUNTER(COMMANDS, "commands_total", "Commands of people."),
    COUNTER(DUPLICATES, "duplicates_total", "Readings that were applied before, by identity."),
    COUNTER(OLD_STORES, "old_stores_total", "Readings of buffers that are no longer remembered."),
    COUNTER(NO_ROOM, "no_room_total", "Readings of sensors above max_sensors."),
    COUNTER(UNREADABLE, "unreadable_total", "Records that are not of their schema, skipped."),
    COUNTER(AHEAD, "received_ahead_total",
            "Records of a collector whose clock is a minute or more ahead."),
    COUNTER(CLOCK_LEAPS, "clock_leaps_total",
            "Steps of this machine's wall clock of more than a minute, ahead or back."),
    COUNTER(CLOCKS_SET_BACK, "clocks_set_back_total",
            "Clocks of partitions that were a minute or more ahead of the wall clock."),
    COUNTER(DEVICES_REFUSED, "devices_refused_total",
            "Entries of devices that cannot be read or exceed max_devices: not supervised."),
    COUNTER(COMMITS, "commits_total", "Transactions committed."),
    COUNTER(DROPPED, "dropped_transactions_total", "Transactions dropped, to be done again."),
    [IS_ACTIVE] = {.name = "vigia_alarm_active",
                   .help = "1 while this instance owns a partition, 0 while it stands by.",
                   .type = VG_GAUGE},
};

enum vg_err vgi_metrics_start(void)
{
    return vg_metric_register(metrics, METRIC_COUNT);
}

void vgi_metrics_event(enum vg_alarm_event_kind kind)
{
    vg_metric_add(&metrics[kind], 1);
}

static void grow(int at, uint64_t now, uint64_t before)
{
    if (now != before) {
        vg_metric_add(&metrics[at], (int64_t)(now - before));
    }
}

void vgi_metrics_engine(const struct vg_alarm_engine_counters *now,
                        const struct vg_alarm_engine_counters *before)
{
    grow(READINGS, now->readings, before->readings);
    grow(ACTIVE_READINGS, now->active, before->active);
    grow(OKS, now->oks, before->oks);
    grow(DEVICE_EVENTS, now->device_events, before->device_events);
    grow(HEARTBEATS, now->heartbeats, before->heartbeats);
    grow(COMMANDS, now->commands, before->commands);
    grow(DUPLICATES, now->duplicates, before->duplicates);
    grow(OLD_STORES, now->old_stores, before->old_stores);
    grow(NO_ROOM, now->no_room, before->no_room);
}

void vgi_metrics_unreadable(void)
{
    vg_metric_add(&metrics[UNREADABLE], 1);
}

void vgi_metrics_ahead(void)
{
    vg_metric_add(&metrics[AHEAD], 1);
}

void vgi_metrics_clock_leapt(void)
{
    vg_metric_add(&metrics[CLOCK_LEAPS], 1);
}

void vgi_metrics_clock_set_back(void)
{
    vg_metric_add(&metrics[CLOCKS_SET_BACK], 1);
}

void vgi_metrics_devices_refused(uint64_t count)
{
    vg_metric_add(&metrics[DEVICES_REFUSED], (int64_t)count);
}

void vgi_metrics_commit(void)
{
    vg_metric_add(&metrics[COMMITS], 1);
}

void vgi_metrics_dropped(void)
{
    vg_metric_add(&metrics[DROPPED], 1);
}

void vgi_metrics_active(bool active)
{
    vg_metric_set(&metrics[IS_ACTIVE], active);
}
