/* The processor on Kafka: inside, shared by kafka_processor.c (open, poll, close), kafka_group.c
 * (the consumer in its group), kafka_restore.c (from an assignment to owned partitions),
 * kafka_range.c (positions outside the log) and kafka_txn.c (transactions). */
#ifndef VG_LOG_KAFKA_PROCESSOR_H
#define VG_LOG_KAFKA_PROCESSOR_H

#include "kafka_reader.h"
#include "kafka_watchdog.h"
#include "newest.h"

/*            rebalance                offsets known            caught up
 *   IDLE ───────────────► ASSIGNED ──────────────► RESTORING ───────────► ACTIVE
 *     ▲                      ▲ └── abort, conflict: start over ───────────────┤
 *     └──────────────────────┴───────────────── revoked ──────────────────────┘  */
enum vgi_phase { VGI_IDLE, VGI_ASSIGNED, VGI_RESTORING, VGI_ACTIVE };

struct vgi_kafka_part {
    int32_t partition;
    int64_t next[VG_DLOG_INPUTS_MAX]; /* position of each input: what a commit sends */
    int64_t end[VG_DLOG_INPUTS_MAX];  /* log end when it was assigned */
    bool caught_up;                   /* and told */
};

struct vgi_kafka_processor {
    struct vgi_kafka_note note; /* first: the handles' opaque points here */
    struct vgi_kafka *k;
    struct vg_dlog_processor_options options; /* group and instance point below */
    char group[VG_DLOG_NAME_MAX], instance[VG_DLOG_NAME_MAX];
    char group_id[VG_DLOG_NAME_MAX * 2]; /* prefix.group */
    char input_names[VG_DLOG_INPUTS_MAX][VGI_KAFKA_NAME_MAX];
    int fd;
    struct vgi_kafka_watchdog *watchdog;

    rd_kafka_t *consumer;
    enum vgi_phase phase;
    struct vgi_kafka_part parts[VG_DLOG_PARTITIONS_MAX];
    size_t part_count;
    bool told;       /* `assigned` was called for parts */
    bool start_over; /* the next poll goes back to the last commit */
    bool closing;
    struct vg_error refused; /* code set: an assignment that cannot be worked with */
    struct vgi_kafka_scan *scan;
    struct vgi_newest *table;
    struct vgi_kafka_batch batch;

    rd_kafka_t *producer;
    rd_kafka_topic_t *topics[VG_TOPIC_COUNT];
    bool in_txn;
    bool moved;         /* positions moved since the last commit */
    bool finished;      /* fatal: only close is left */
    unsigned conflicts; /* first commits refused in a row; since first_conflict_ms */
    int64_t first_conflict_ms;
    int committed_ms; /* what the next request for committed positions may take */
    size_t txn_records, txn_bytes;
    size_t txn_failed, txn_unplaced; /* reported: not delivered; delivered, but without an offset */
};

bool vgi_kafka_owns(const struct vgi_kafka_processor *p, int32_t partition);
/* NULL: not assigned to us. */
struct vgi_kafka_part *vgi_kafka_part_of(struct vgi_kafka_processor *p, int32_t partition);
/* The number of the input that reads `topic` (with prefix); input_count: none does. */
size_t vgi_kafka_input_of(const struct vgi_kafka_processor *p, const char *topic);
/* Forgets what the caller was told about the partitions. They may still be ours. */
void vgi_kafka_untell(struct vgi_kafka_processor *p);

/* ---- kafka_group.c ---- */

enum vg_err vgi_kafka_group_join(struct vgi_kafka_processor *p, struct vg_error *err) VG_NODISCARD;
/* Leaves the group and frees the consumer, if there is one. */
void vgi_kafka_group_leave(struct vgi_kafka_processor *p);
/* Serves the group and takes in up to `max` records of the inputs: into p->batch and `records`.
 * Ends early at a rebalance, which changes p->phase. */
enum vg_err vgi_kafka_group_fill(struct vgi_kafka_processor *p, int timeout_ms,
                                 struct vg_dlog_record *records, size_t max,
                                 struct vg_error *err) VG_NODISCARD;

/* ---- kafka_restore.c ---- */

#define VGI_KAFKA_CONFLICT_MS 30000 /* a group that takes no positions for longer: start again */

/* VGI_ASSIGNED to VGI_RESTORING; VG_OK without that: not yet, call again. */
enum vg_err vgi_kafka_restore_begin(struct vgi_kafka_processor *p,
                                    struct vg_error *err) VG_NODISCARD;
/* VGI_RESTORING to VGI_ACTIVE; VG_OK without that: not yet, call again. */
enum vg_err vgi_kafka_restore_step(struct vgi_kafka_processor *p, int timeout_ms,
                                   struct vg_error *err) VG_NODISCARD;
void vgi_kafka_restore_drop(struct vgi_kafka_processor *p);

/* ---- kafka_txn.c ---- */

/* Makes the transactional producer and takes over its id, ending the transaction of a predecessor.
 */
enum vg_err vgi_kafka_txn_open(struct vgi_kafka_processor *p, struct vg_error *err) VG_NODISCARD;
void vgi_kafka_txn_close(struct vgi_kafka_processor *p);
enum vg_err vgi_kafka_txn_append(void *processor, enum vg_topic t, int32_t partition,
                                 struct vg_span key, struct vg_span value);
size_t vgi_kafka_txn_pending(const void *processor);
enum vg_err vgi_kafka_txn_commit(void *processor, struct vg_error *err);
/* Sends the positions of all owned partitions in a transaction even if nothing was appended. */
enum vg_err vgi_kafka_txn_commit_now(struct vgi_kafka_processor *p,
                                     struct vg_error *err) VG_NODISCARD;
enum vg_err vgi_kafka_txn_abort(void *processor, struct vg_error *err);

/* ---- kafka_range.c ---- */

struct vgi_kafka_place {
    const char *topic; /* with prefix */
    int32_t partition;
    int64_t next;       /* to be read next */
    int64_t begin, end; /* what the brokers say that the log holds */
};
/* VG_E_RANGE: the oldest record is newer than `next`. VG_E_FATAL: `next` lies behind the end. Both
 * texts name what the log holds and the way out. */
enum vg_err vgi_kafka_in_log(const struct vgi_kafka_processor *p, const struct vgi_kafka_place *at,
                             struct vg_error *err) VG_NODISCARD;
/* The client has given up the place `at`, for the reason `why`: asks the brokers what the log holds
 * (fills begin and end) and judges it. As vgi_kafka_in_log, and VG_E_FATAL when the log holds the
 * place or does not tell; never VG_OK. */
enum vg_err vgi_kafka_lost_place(const struct vgi_kafka_processor *p, struct vgi_kafka_place *at,
                                 const char *why, struct vg_error *err) VG_NODISCARD;

/* ---- kafka_processor.c ---- */

enum vg_err vgi_kafka_processor_open(void *log, const struct vg_dlog_processor_options *options,
                                     void **out, struct vg_error *err);
enum vg_err vgi_kafka_poll(void *p, int timeout_ms, struct vg_dlog_record *records, size_t max,
                           size_t *count, struct vg_error *err);
int vgi_kafka_processor_fd(const void *p);
bool vgi_kafka_processor_active(const void *p);
bool vgi_kafka_processor_caught_up(const void *p, int32_t partition);
enum vg_err vgi_kafka_end_at_assignment(const void *p, enum vg_topic t, int32_t partition,
                                        int64_t *out);
void vgi_kafka_processor_close(void *p);

#endif
