/* The topics table, and what each topic must look like under a configuration. */
#include "vigia/dlog.h"

#include <assert.h>

static const struct vg_topic_spec specs[VG_TOPIC_COUNT] = {
    [VG_TOPIC_READINGS] = {"readings", VG_CLEANUP_TIME, true, false, "sensor",
                           "one flat object per reading, OK or device event"},
    [VG_TOPIC_REJECTED] = {"rejected", VG_CLEANUP_TIME, false, false, "device",
                           "a refused payload with its reason"},
    [VG_TOPIC_ALARMS] = {"alarms", VG_CLEANUP_TIME, true, true, "sensor", "alarm event"},
    [VG_TOPIC_ALARM_STATE] = {"alarm-state", VG_CLEANUP_COMPACT, true, false, "sensor",
                              "current state of every alarm of a sensor"},
    [VG_TOPIC_COMMANDS] = {"commands", VG_CLEANUP_TIME, true, true, "sensor",
                           "acknowledgement or reset, with who and why"},
    [VG_TOPIC_DEVICES] = {"devices", VG_CLEANUP_COMPACT, false, false, "device",
                          "sensors it may speak for, credential, state"},
    [VG_TOPIC_CUSTOMERS] = {"customers", VG_CLEANUP_COMPACT, false, false, "customer",
                            "directory entry, sensors, place"},
    [VG_TOPIC_NOTIFICATIONS] = {"notifications", VG_CLEANUP_COMPACT, false, false, "alarm",
                                "ledger of what was sent"},
};

const struct vg_topic_spec *vg_topic_spec(enum vg_topic t)
{
    assert(t < VG_TOPIC_COUNT);
    return &specs[t];
}

enum vg_err vg_topic_by_name(struct vg_span name, enum vg_topic *out)
{
    for (int i = 0; i < VG_TOPIC_COUNT; i++) {
        if (vg_span_eq(name, vg_span_str(specs[i].name))) {
            *out = (enum vg_topic)i;
            return VG_OK;
        }
    }
    return VG_E_NOTFOUND;
}

struct vg_topic_settings vg_dlog_want(const struct vg_dlog_conf *conf, enum vg_topic t)
{
    const struct vg_topic_spec *spec = vg_topic_spec(t);
    const bool cluster = strncmp(conf->url, "sqlite:", 7) != 0;
    struct vg_topic_settings want = {
        .partitions = cluster && spec->partitioned ? (int32_t)conf->partitions : 1,
        .replication = cluster ? (int32_t)conf->replication : 1,
        .min_insync = cluster ? (int32_t)conf->min_insync : 1,
        .cleanup = spec->cleanup,
    };
    if (spec->cleanup == VG_CLEANUP_TIME) {
        want.retain_ms = spec->long_kept ? conf->retain_alarms_ms : conf->retain_ms;
    }
    return want;
}

enum vg_err vg_dlog_conf_default(const char *url, struct vg_dlog_conf *out)
{
    struct vg_dlog_conf conf = {
        .prefix = "vigia.",
        .queue_max = 20000,
        .queue_max_bytes = 32LL << 20,
        .verdict_ms = VG_DLOG_VERDICT_MAX_MS,
        .retain_ms = 30LL * 24 * 3600 * 1000,
        .retain_alarms_ms = 365LL * 24 * 3600 * 1000,
        .max_bytes = 8LL << 30,
        .partitions = 6,
        .replication = 3,
        .min_insync = 2,
        .call_deadline_ms = 45000,
    };
    size_t len = strlen(url);
    if (len >= sizeof conf.url) {
        return VG_E_RANGE;
    }
    memcpy(conf.url, url, len + 1);
    *out = conf;
    return VG_OK;
}
