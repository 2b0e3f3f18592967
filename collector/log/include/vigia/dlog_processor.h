/* The processor: consume, keep state, append; one atomic commit of outputs, state and input
 * offsets.
 *
 *   poll ─► records ─► the caller changes its state ─► append(output), append(state topic) … ─►
 * commit └► assigned(p), state(p, key, value)…, restored(p) │ caught_up(p) │ revoked(p)
 *
 * Instances of one group share the input partitions; a partition has one owner at a time. With
 * SQLite there is one partition: one instance is active, the others stand by and take over when it
 * ends, however it ends. The state of a partition is what was committed to the same partition of
 * the state topic; it is told anew each time the partition is assigned. A new group starts at the
 * earliest record. An offset that is not in the log any more stops the processor (VG_E_RANGE, one
 * line); it is never silently reset: vg_dlog_skip (dlog_admin.h) is the way out.
 *
 * Nothing may rely on the commit alone: a replay must be harmless (deterministic ids, idempotent
 * rules). */
#ifndef VIGIA_DLOG_PROCESSOR_H
#define VIGIA_DLOG_PROCESSOR_H

#include "vigia/dlog.h"

#define VG_DLOG_INPUTS_MAX 4
#define VG_DLOG_NAME_MAX   64 /* group and instance: [A-Za-z0-9._-], bytes, NUL included */
#define VG_DLOG_TXN_RECORDS_MAX                                                                    \
    16384 /* records appended between two commits; also keeps SQLite's writes short */
#define VG_DLOG_TXN_BYTES_MAX (16 << 20) /* keys and values appended between two commits */

struct vg_dlog_processor;

/* Callbacks, made inside poll only. `arg` first; any may be NULL. */
struct vg_dlog_processor_calls {
    /* The partition is ours; its state follows through `state`, one call per key, then `restored`,
     * before any of its records. */
    void (*assigned)(void *arg, int32_t partition);
    void (*state)(void *arg, int32_t partition, struct vg_span key, struct vg_span value);
    void (*restored)(void *arg, int32_t partition);
    /* Everything that was in the inputs when the partition was assigned has been returned by poll
     * (and handled: this comes with the poll after it). Once per assignment. */
    void (*caught_up)(void *arg, int32_t partition);
    /* The partition is not ours (any more): forget its state. Nothing appended for it since the
     * last commit will be seen. */
    void (*revoked)(void *arg, int32_t partition);
};

struct vg_dlog_processor_options {
    const char *group;    /* "alarm" */
    const char *instance; /* unique within the group, stable over restarts */
    enum vg_topic inputs[VG_DLOG_INPUTS_MAX];
    size_t input_count;
    enum vg_topic state_topic; /* compacted; VG_TOPIC_NONE: keeps no state */
    struct vg_dlog_processor_calls calls;
    void *arg;
};

/* VG_E_INVALID: a name, or inputs and state topic that are not co-partitioned (told with both
 * counts). VG_E_NOTFOUND: a topic is missing. Does not wait for an assignment. */
enum vg_err vg_dlog_processor_open(struct vg_dlog *log,
                                   const struct vg_dlog_processor_options *options,
                                   struct vg_dlog_processor **out,
                                   struct vg_error *err) VG_NODISCARD;

/* Up to `max` records of owned partitions, per (topic, partition) in order; waits at most
 * `timeout_ms`. They belong to the open transaction: the next commit covers every record returned
 * so far, so handle all of a batch before committing. Key and value are borrowed until the next
 * poll. VG_OK with *count 0: nothing came, or this instance stands by. VG_E_RANGE: the next offset
 * has left the log for good. VG_E_FATAL: fenced, the place in the log was lost, or the log cannot be
 * used any more: a new processor may go on. */
enum vg_err vg_dlog_processor_poll(struct vg_dlog_processor *p, int timeout_ms,
                                   struct vg_dlog_record *records, size_t max, size_t *count,
                                   struct vg_error *err) VG_NODISCARD;
int vg_dlog_processor_fd(const struct vg_dlog_processor *p);

/* True while at least one partition is owned and restored. */
bool vg_dlog_processor_active(const struct vg_dlog_processor *p);
/* True when `partition` is owned and `caught_up` was told for it. */
bool vg_dlog_processor_caught_up(const struct vg_dlog_processor *p, int32_t partition);
/* One past the last offset of an input seen when its partition was assigned; VG_E_NOTFOUND when not
 * owned. */
enum vg_err vg_dlog_processor_end_at_assignment(const struct vg_dlog_processor *p, enum vg_topic t,
                                                int32_t partition, int64_t *out) VG_NODISCARD;

/* Adds a record to the open transaction; copies. State goes to the partition that it belongs to
 * (value.at == NULL removes the key); outputs to the same partition or by key (-1). The state topic
 * is always written by explicit partition. VG_E_FULL: VG_DLOG_TXN_… reached: abort, or commit
 * earlier (see _pending). VG_E_CONFLICT: the partition is not owned. */
enum vg_err vg_dlog_processor_append(struct vg_dlog_processor *p, enum vg_topic t,
                                     int32_t partition, struct vg_span key,
                                     struct vg_span value) VG_NODISCARD;
/* Records in the open transaction. Commit well before VG_DLOG_TXN_RECORDS_MAX. */
size_t vg_dlog_processor_pending(const struct vg_dlog_processor *p);

/* Outputs, state and the next offset of every touched partition become visible together, durably,
 * or not at all. Blocks until that is so. VG_E_AGAIN: refused for now, the transaction stands:
 * commit again, or abort. VG_E_CONFLICT: ownership was lost or the transaction was aborted; nothing
 * was committed, the next poll revokes and assigns anew. VG_E_FATAL. */
enum vg_err vg_dlog_processor_commit(struct vg_dlog_processor *p,
                                     struct vg_error *err) VG_NODISCARD;
/* Drops the open transaction and goes back to the last commit: the next poll revokes and assigns
 * every owned partition anew, with the state as committed, and returns the records again. */
enum vg_err vg_dlog_processor_abort(struct vg_dlog_processor *p, struct vg_error *err) VG_NODISCARD;

/* Leaves the group at once, so that another instance takes over; drops an open transaction. Makes
 * no callback. NULL is allowed. */
void vg_dlog_processor_close(struct vg_dlog_processor *p);

#endif
