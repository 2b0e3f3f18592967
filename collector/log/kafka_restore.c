/* From an assignment to partitions that are owned: their committed positions, the ends of their
 * inputs, their state.
 *
 * An assignment is not handed to the client until all three are known; until then nothing is
 * fetched, and the group waits. The committed positions are asked for with stable offsets, so a new
 * owner waits until the transaction of the one before has ended. State is read up to the end of the
 * changelog as it stands after that. */
#include "kafka_processor.h"
#include "vigia/log.h"

#include <inttypes.h>

#define STEP_MS 100 /* a step of restoring may take this long even if the caller waits for less */
/* An answer that comes later than it was waited for is thrown away, so each request waits for twice
 * as long as the one before. */
#define COMMITTED_MAX_MS 2000
#define CONFLICTS_MIN    3 /* in a row, and for VGI_KAFKA_CONFLICT_MS, before it gives up */

void vgi_kafka_restore_drop(struct vgi_kafka_processor *p)
{
    vgi_kafka_scan_close(p->scan);
    vgi_newest_free(p->table);
    p->scan = NULL;
    p->table = NULL;
}

/* Before the state is there, waiting is no error: the former owner's transaction is open, or a
 * broker is away or just back and does not know its topics yet. Only what waiting cannot mend is
 * told. */
static enum vg_err wait_or_fail(const struct vgi_kafka_processor *p, enum vg_err rc,
                                const struct vg_error *err)
{
    switch (rc) {
    case VG_OK:
    case VG_E_AGAIN:
    case VG_E_TIMEOUT:
        return VG_OK;
    case VG_E_IO:
    case VG_E_NOTFOUND:
        vg_log_warn("log-restore-waits", "group=%s why=%s", p->group_id, VG_Q(err->text));
        return VG_OK;
    default:
        return rc;
    }
}

static rd_kafka_topic_partition_list_t *input_list(const struct vgi_kafka_processor *p)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)(p->part_count * p->options.input_count));
    for (size_t i = 0; i < p->part_count; i++) {
        for (size_t j = 0; j < p->options.input_count; j++) {
            rd_kafka_topic_partition_list_add(list, p->input_names[j], p->parts[i].partition)
                ->offset = p->parts[i].next[j];
        }
    }
    return list;
}

/* The committed positions; negative where the group has none yet. */
static enum vg_err fetch_committed(struct vgi_kafka_processor *p, bool *known, struct vg_error *err)
{
    rd_kafka_topic_partition_list_t *list = input_list(p);
    const int wait_ms = p->committed_ms > STEP_MS ? p->committed_ms : STEP_MS;
    vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_committed", wait_ms);
    rd_kafka_resp_err_t code = rd_kafka_committed(p->consumer, list, wait_ms);
    vgi_kafka_watchdog_leave(p->watchdog);
    if (code == RD_KAFKA_RESP_ERR__TIMED_OUT) {
        p->committed_ms = wait_ms * 2 < COMMITTED_MAX_MS ? wait_ms * 2 : COMMITTED_MAX_MS;
    }
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        const rd_kafka_topic_partition_t *tp = &list->elems[i];
        code = tp->err;
        vgi_kafka_part_of(p, tp->partition)->next[vgi_kafka_input_of(p, tp->topic)] = tp->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    *known = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (*known) {
        p->committed_ms = 0;
        return VG_OK;
    }
    return vgi_kafka_fail(p->k, err, code, "fetching committed offsets");
}

static void list_partitions(const struct vgi_kafka_processor *p, int32_t *partitions)
{
    for (size_t i = 0; i < p->part_count; i++) {
        partitions[i] = p->parts[i].partition;
    }
}

/* Checks the committed positions of one input against what the log holds; a new group starts at the
 * earliest record. */
static enum vg_err fetch_ends(struct vgi_kafka_processor *p, size_t input, struct vg_error *err)
{
    int32_t partitions[VG_DLOG_PARTITIONS_MAX] = {0};
    int64_t begin[VG_DLOG_PARTITIONS_MAX] = {0}, end[VG_DLOG_PARTITIONS_MAX] = {0};
    const char *name = p->input_names[input];
    list_partitions(p, partitions);
    enum vg_err rc = vgi_kafka_extent(p->k, name, partitions, p->part_count, begin, end, err);
    for (size_t i = 0; i < p->part_count && rc == VG_OK; i++) {
        int64_t *next = &p->parts[i].next[input];
        if (*next < 0) {
            *next = begin[i];
        }
        const struct vgi_kafka_place at = {name, partitions[i], *next, begin[i], end[i]};
        rc = vgi_kafka_in_log(p, &at, err);
        p->parts[i].end[input] = end[i];
    }
    return rc;
}

static bool has_position(const struct vgi_kafka_processor *p, const struct vgi_kafka_part *part)
{
    for (size_t j = 0; j < p->options.input_count; j++) {
        if (part->next[j] >= 0) {
            return true;
        }
    }
    return false;
}

/* Positions travel with the state, so where there is state there were positions: the brokers have
 * dropped those of a group that was away for longer than they keep them
 * (offsets.retention.minutes). What was handled long ago comes again, and the newest waits for it.
 */
static void tell_lost_positions(const struct vgi_kafka_processor *p, size_t part, int64_t states)
{
    vg_log_error("log-positions-lost",
                 "group=%s partition=%" PRId32 " states=%" PRId64
                 " reason=\"the brokers have dropped the group's positions\""
                 " then=\"reads everything that the log holds again\"",
                 p->group_id, p->parts[part].partition, states);
}

static enum vg_err open_restore(struct vgi_kafka_processor *p, const bool *new_part,
                                struct vg_error *err)
{
    struct vgi_kafka_scan_part scan[VG_DLOG_PARTITIONS_MAX];
    int32_t partitions[VG_DLOG_PARTITIONS_MAX];
    int64_t begin[VG_DLOG_PARTITIONS_MAX], end[VG_DLOG_PARTITIONS_MAX];
    char name[VGI_KAFKA_NAME_MAX];
    vgi_kafka_topic_name(p->k, p->options.state_topic, name);
    list_partitions(p, partitions);
    enum vg_err rc = vgi_kafka_extent(p->k, name, partitions, p->part_count, begin, end, err);
    if (rc != VG_OK) {
        return rc;
    }
    for (size_t i = 0; i < p->part_count; i++) {
        scan[i] = (struct vgi_kafka_scan_part){partitions[i], begin[i], end[i]};
        if (new_part[i] && end[i] > begin[i]) {
            tell_lost_positions(p, i, end[i] - begin[i]);
        }
    }
    p->table = vgi_newest_new();
    if (p->table == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the state of group %s", p->group_id);
    }
    return vgi_kafka_scan_open(p->k, p->options.state_topic, scan, p->part_count, p->fd, &p->scan,
                               err);
}

enum vg_err vgi_kafka_restore_begin(struct vgi_kafka_processor *p, struct vg_error *err)
{
    bool known = false;
    enum vg_err rc = fetch_committed(p, &known, err);
    if (rc != VG_OK || !known) {
        return wait_or_fail(p, rc, err);
    }
    bool new_part[VG_DLOG_PARTITIONS_MAX] = {false};
    for (size_t i = 0; i < p->part_count; i++) {
        new_part[i] = !has_position(p, &p->parts[i]);
    }
    for (size_t j = 0; j < p->options.input_count && rc == VG_OK; j++) {
        rc = fetch_ends(p, j, err);
    }
    if (rc == VG_OK && p->options.state_topic != VG_TOPIC_NONE) {
        rc = open_restore(p, new_part, err);
    }
    if (rc != VG_OK) {
        vgi_kafka_restore_drop(p);
        return wait_or_fail(p, rc, err);
    }
    p->phase = VGI_RESTORING;
    p->told = true;
    for (size_t i = 0; i < p->part_count && p->options.calls.assigned != NULL; i++) {
        p->options.calls.assigned(p->options.arg, p->parts[i].partition);
    }
    return VG_OK;
}

static void tell_state(void *arg, int32_t partition, struct vg_span key, struct vg_span value)
{
    const struct vgi_kafka_processor *p = arg;
    if (p->options.calls.state != NULL) {
        p->options.calls.state(p->options.arg, partition, key, value);
    }
}

/* The group has refused the first commit: somebody else's turn, or the member is not known any more.
 * The next poll starts over. Without an end to it only a new member helps. */
static enum vg_err refused(struct vgi_kafka_processor *p, struct vg_error *err)
{
    const int64_t now_ms = vgi_now_ms();
    const struct vg_error why = *err;
    if (p->conflicts == 0) {
        p->first_conflict_ms = now_ms;
    }
    p->conflicts++;
    vg_log_warn("log-restore-refused", "group=%s times=%u why=%s", p->group_id, p->conflicts,
                VG_Q(why.text));
    if (p->conflicts >= CONFLICTS_MIN && now_ms - p->first_conflict_ms >= VGI_KAFKA_CONFLICT_MS) {
        return vg_fail(err, VG_E_FATAL, "kafka %.80s: group %s takes no positions for %d s: %.120s",
                       p->k->brokers, p->group_id, VGI_KAFKA_CONFLICT_MS / 1000, why.text);
    }
    vgi_kafka_pause();
    return VG_OK;
}

/* The first commit carries the positions alone: it shows that the group takes our transactions, and
 * spares the first real one the delay of setting the coordinators up. The assignment is handed over
 * before it: until then the client looks for no lost session, and does not join again when the group
 * no longer knows it. What it fetches meanwhile is taken in by a poll after the commit, or dropped.
 */
static enum vg_err restored(struct vgi_kafka_processor *p, struct vg_error *err)
{
    rd_kafka_topic_partition_list_t *list = input_list(p);
    const rd_kafka_resp_err_t code = rd_kafka_assign(p->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return vgi_kafka_fail(p->k, err, code, "taking up an assignment");
    }
    const enum vg_err rc = vgi_kafka_txn_commit_now(p, err);
    if (rc != VG_OK) {
        return rc == VG_E_CONFLICT ? refused(p, err) : rc;
    }
    p->conflicts = 0;
    if (p->table != NULL) {
        vgi_newest_each(p->table, tell_state, p);
    }
    vgi_kafka_restore_drop(p);
    p->phase = VGI_ACTIVE;
    for (size_t i = 0; i < p->part_count && p->options.calls.restored != NULL; i++) {
        p->options.calls.restored(p->options.arg, p->parts[i].partition);
    }
    return VG_OK;
}

enum vg_err vgi_kafka_restore_step(struct vgi_kafka_processor *p, int timeout_ms,
                                   struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + (timeout_ms > STEP_MS ? timeout_ms : STEP_MS);
    while (p->scan != NULL && !vgi_kafka_scan_caught_up(p->scan)) {
        const int64_t left = until - vgi_now_ms();
        if (left <= 0) {
            return VG_OK;
        }
        rd_kafka_message_t *m = NULL;
        enum vg_err rc = vgi_kafka_scan_poll(p->scan, (int)left, &m, err);
        if (rc == VG_OK && m != NULL) {
            struct vg_dlog_record r;
            vgi_kafka_record(p->options.state_topic, m, &r);
            rc = vgi_newest_set(p->table, r.partition, r.key, r.value);
            rd_kafka_message_destroy(m);
            if (rc != VG_OK) {
                return vg_fail(err, rc, "no memory for the state of group %s", p->group_id);
            }
        }
        if (rc != VG_OK) {
            /* VG_E_RANGE is for the inputs: the state is read from its beginning at each start. */
            return rc == VG_E_RANGE ? VG_E_IO : rc;
        }
    }
    return restored(p, err);
}
