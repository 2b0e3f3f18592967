/* The topics of the log: one closed table, used by `vigia init` and by the check at the start of
 * every program.
 *
 * A topic's full name is the prefix ([log] prefix, "vigia." by default) followed by the name below.
 * Key and value of each are described in docs/schemas/. */
#ifndef VIGIA_TOPICS_H
#define VIGIA_TOPICS_H

#include "vigia/err.h"
#include "vigia/span.h"

#include <stdint.h>

enum vg_topic {
    VG_TOPIC_READINGS,
    VG_TOPIC_REJECTED,
    VG_TOPIC_ALARMS,
    VG_TOPIC_ALARM_STATE,
    VG_TOPIC_COMMANDS,
    VG_TOPIC_DEVICES,
    VG_TOPIC_CUSTOMERS,
    VG_TOPIC_NOTIFICATIONS,
    VG_TOPIC_COUNT,
    VG_TOPIC_NONE = VG_TOPIC_COUNT /* where a topic is optional */
};

/* A set of topics. */
#define VG_TOPIC_BIT(t) (1u << (t))
#define VG_TOPICS_ALL   (VG_TOPIC_BIT(VG_TOPIC_COUNT) - 1u)

enum vg_cleanup {
    VG_CLEANUP_TIME,   /* records leave when they are older than the retention */
    VG_CLEANUP_COMPACT /* the last record of each key stays; a record without value (tombstone)
                          removes the key */
};

/* Tombstones stay at least this long, so that a follower that was away sees them. */
#define VG_TOMBSTONE_KEEP_MS (24LL * 3600 * 1000)

struct vg_topic_spec {
    const char *name; /* without prefix: "readings" */
    enum vg_cleanup cleanup;
    bool partitioned; /* has [log] partitions; all such topics are co-partitioned. Otherwise it has
                         one */
    bool long_kept;   /* time-kept: [log] retain_alarms instead of [log] retain */
    const char *key, *value; /* one line each, for people */
};

/* The entry of `t`, which must be below VG_TOPIC_COUNT. Static. */
const struct vg_topic_spec *vg_topic_spec(enum vg_topic t);

/* By name without prefix; VG_E_NOTFOUND when there is no such topic. */
enum vg_err vg_topic_by_name(struct vg_span name, enum vg_topic *out) VG_NODISCARD;

/* What a topic must look like, or was found to be. A backend without the notion (SQLite:
 * replication) reports 1. */
struct vg_topic_settings {
    int32_t partitions;
    int32_t replication; /* copies of each record, on different brokers */
    int32_t min_insync;  /* copies that must be written before a record counts as durable */
    int64_t retain_ms;   /* of time-kept topics; INT64_MAX: for ever; 0 for compacted ones */
    enum vg_cleanup cleanup;
};

#endif
