/* Administration of the log: `vigia init`, the check at start, topic listings, retention, backup.
 */
#ifndef VIGIA_DLOG_ADMIN_H
#define VIGIA_DLOG_ADMIN_H

#include "vigia/dlog.h"

/* Creates the missing ones of `topics` (a set of VG_TOPIC_BIT) from the topics table and checks the
 * others; *created is the set of those made now. Safe to repeat. VG_E_INVALID as vg_dlog_check;
 * VG_E_RANGE: the brokers cannot give these settings; VG_E_TIMEOUT. */
enum vg_err vg_dlog_create(struct vg_dlog *log, unsigned topics, unsigned *created,
                           struct vg_error *err) VG_NODISCARD;

/* Compares the topics with the table, changing nothing. VG_E_NOTFOUND: one is missing;
 * VG_E_INVALID: one has a different setting; both end a program with 78 and err->text names topic,
 * setting, what was found and what is accepted. VG_E_TIMEOUT: the log cannot be reached; the text
 * names the address. */
enum vg_err vg_dlog_check(struct vg_dlog *log, unsigned topics, struct vg_error *err) VG_NODISCARD;

#define VG_DLOG_PARTITIONS_MAX 1000

struct vg_dlog_topic_info {
    char name[96];                     /* with prefix */
    struct vg_topic_settings settings; /* as found */
    struct vg_dlog_partition_info {
        int64_t begin; /* offset of the earliest record kept; == end when there is none */
        int64_t end;   /* offset that the next record will get, or more */
    } partition[VG_DLOG_PARTITIONS_MAX];
};

/* VG_E_NOTFOUND: the topic does not exist in the log. */
enum vg_err vg_dlog_describe(struct vg_dlog *log, enum vg_topic t, struct vg_dlog_topic_info *out,
                             struct vg_error *err) VG_NODISCARD;

/* The topics of the table that exist. */
enum vg_err vg_dlog_list(struct vg_dlog *log, unsigned *topics, struct vg_error *err) VG_NODISCARD;

/* Told every VG_DLOG_BATCH_MAX records or pages; returns false to stop (VG_E_CLOSED). `total` is 0
 * where unknown. May be NULL. */
typedef bool vg_dlog_progress_fn(void *arg, uint64_t done, uint64_t total);

/* Counts the committed records that are in the topic now, by reading it; tombstones of compacted
 * topics are not counted. */
enum vg_err vg_dlog_count(struct vg_dlog *log, enum vg_topic t, vg_dlog_progress_fn *fn, void *arg,
                          uint64_t *out, struct vg_error *err) VG_NODISCARD;

/* One key's newest value. */
typedef void vg_dlog_latest_fn(void *arg, int32_t partition, struct vg_span key,
                               struct vg_span value);

struct vg_dlog_latest_limits {
    int64_t stall_ms; /* nothing could be read for so long, or new values come faster than they are
                         read: VG_E_TIMEOUT */
    size_t max_bytes; /* held in memory meanwhile, keys and values; more is VG_E_FULL */
};

/* Reads what is in a compacted topic now and then tells, in the order of the keys, the newest value
 * of each that has one: each key once, also where the log still keeps its earlier values. After an
 * error nothing was told. VG_E_INVALID: the topic is not compacted. */
enum vg_err vg_dlog_latest(struct vg_dlog *log, enum vg_topic t,
                           const struct vg_dlog_latest_limits *limits, vg_dlog_latest_fn *fn,
                           void *arg, struct vg_error *err) VG_NODISCARD;

struct vg_dlog_retained {
    uint64_t removed; /* records that left by age or size */
    uint64_t forced;  /* of these, records that a group had not read yet (max_bytes) */
};

/* Applies the retention now, in small steps that leave room for writers. SQLite only: appenders do
 * the same whenever they are idle. Kafka's brokers do it by themselves: VG_E_UNSUPPORTED. */
enum vg_err vg_dlog_retain(struct vg_dlog *log, struct vg_dlog_retained *out,
                           struct vg_error *err) VG_NODISCARD;

/* Copies the log to a new file while it is in use; the copy is complete and consistent or absent.
 * VG_E_EXISTS: the file is there. VG_E_UNSUPPORTED: Kafka. */
enum vg_err vg_dlog_backup(struct vg_dlog *log, const char *path, vg_dlog_progress_fn *fn,
                           void *arg, struct vg_error *err) VG_NODISCARD;

/* A position that was moved because the record to read next had left the log. */
struct vg_dlog_skipped {
    enum vg_topic topic;
    int32_t partition;
    int64_t from; /* was to be read next */
    int64_t
        to; /* is read next: the oldest record that is there; below `from` where the log had lost
                   its end (Kafka), and what is there is read once more */
};
typedef void vg_dlog_skipped_fn(void *arg, const struct vg_dlog_skipped *skipped);

/* The way out after VG_E_RANGE of a processor: moves, in all partitions at once, each position of
 * `group` that is not in the log to the oldest record that is, and then tells `fn` of each. No call:
 * nothing was missing. A position that is in the log stays. VG_E_INVALID: the name. VG_E_NOTFOUND:
 * no such group. VG_E_CONFLICT: something is missing and an instance of the group runs; nothing was
 * moved. VG_E_AGAIN, VG_E_TIMEOUT: the log is busy or away. */
enum vg_err vg_dlog_skip(struct vg_dlog *log, const char *group, vg_dlog_skipped_fn *fn, void *arg,
                         struct vg_error *err) VG_NODISCARD;

#endif
