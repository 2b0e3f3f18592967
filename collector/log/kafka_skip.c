/* Moves the positions of a group that the log does not hold: retention removed what the group had
 * not read, or the log lost its end with a leader that had not been in sync. The coordinator takes
 * new positions only while the group has no member. */
#include "kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static enum vg_err list_once(struct vgi_kafka *k, const char *group_id,
                             rd_kafka_topic_partition_list_t **out, struct vg_error *err)
{
    struct vgi_kafka_request q;
    vgi_kafka_request_init(&q, k, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    /* Not while a transaction that moves them is open. */
    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_require_stable_offsets(q.options, 1));
    rd_kafka_ListConsumerGroupOffsets_t *what =
        rd_kafka_ListConsumerGroupOffsets_new(group_id, NULL);
    rd_kafka_ListConsumerGroupOffsets(k->admin, &what, 1, q.options, q.queue);
    rd_kafka_ListConsumerGroupOffsets_destroy(what);
    enum vg_err rc = vgi_kafka_request_wait(&q, k, "listing positions", err);
    if (rc == VG_OK) {
        size_t n = 0;
        const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
            rd_kafka_event_ListConsumerGroupOffsets_result(q.event), &n);
        const rd_kafka_error_t *why = n == 1 ? rd_kafka_group_result_error(groups[0]) : NULL;
        if (n != 1 || why != NULL) {
            rc = vgi_kafka_fail(k, err, n == 1 ? rd_kafka_error_code(why) : RD_KAFKA_RESP_ERR__FAIL,
                                "listing positions");
        } else {
            const rd_kafka_topic_partition_list_t *known =
                rd_kafka_group_result_partitions(groups[0]);
            *out = known == NULL ? NULL : rd_kafka_topic_partition_list_copy(known);
        }
    }
    vgi_kafka_request_done(&q);
    return rc;
}

/* Whether a position is still to be settled: the last transaction's end is on its way to it. */
static bool any_unsettled(const rd_kafka_topic_partition_list_t *positions)
{
    for (int i = 0; positions != NULL && i < positions->cnt; i++) {
        if (positions->elems[i].err == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT) {
            return true;
        }
    }
    return false;
}

/* The committed positions of a group. The caller destroys *out; NULL: there are none. */
static enum vg_err list_positions(struct vgi_kafka *k, const char *group_id,
                                  rd_kafka_topic_partition_list_t **out, struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + VGI_KAFKA_ADMIN_MS;
    for (;;) {
        const enum vg_err rc = list_once(k, group_id, out, err);
        const bool unsettled = rc == VG_OK && any_unsettled(*out);
        /* A coordinator that has just started loads its groups first. */
        if ((rc != VG_E_AGAIN && !unsettled) || vgi_now_ms() > until) {
            return rc;
        }
        if (unsettled) {
            rd_kafka_topic_partition_list_destroy(*out);
            *out = NULL;
        }
        vgi_kafka_pause();
    }
}

struct search {
    struct vgi_kafka *k;
    rd_kafka_topic_partition_list_t *moves;
    struct vg_dlog_skipped *told; /* one for each move */
};

/* Adds the positions of one topic that the log does not hold. */
static enum vg_err find_gaps(struct search *s, enum vg_topic t,
                             const rd_kafka_topic_partition_list_t *positions, struct vg_error *err)
{
    int32_t partitions[VG_DLOG_PARTITIONS_MAX];
    int64_t next[VG_DLOG_PARTITIONS_MAX];
    int64_t begin[VG_DLOG_PARTITIONS_MAX], end[VG_DLOG_PARTITIONS_MAX];
    char name[VGI_KAFKA_NAME_MAX];
    size_t n = 0;
    vgi_kafka_topic_name(s->k, t, name);
    for (int i = 0; i < positions->cnt && n < VG_DLOG_PARTITIONS_MAX; i++) {
        const rd_kafka_topic_partition_t *tp = &positions->elems[i];
        if (strcmp(tp->topic, name) != 0) {
            continue;
        }
        if (tp->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return vgi_kafka_fail(s->k, err, tp->err, name);
        }
        if (tp->offset >= 0) {
            partitions[n] = tp->partition;
            next[n++] = tp->offset;
        }
    }
    if (n == 0) {
        return VG_OK;
    }
    enum vg_err rc = vgi_kafka_extent(s->k, name, partitions, n, begin, end, err);
    for (size_t i = 0; i < n && rc == VG_OK; i++) {
        if (next[i] < begin[i] || next[i] > end[i]) {
            s->told[s->moves->cnt] = (struct vg_dlog_skipped){t, partitions[i], next[i], begin[i]};
            rd_kafka_topic_partition_list_add(s->moves, name, partitions[i])->offset = begin[i];
        }
    }
    return rc;
}

static enum vg_err move_class(struct vgi_kafka *k, rd_kafka_resp_err_t code, const char *group_id,
                              struct vg_error *err)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return VG_OK;
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP:
    case RD_KAFKA_RESP_ERR_GROUP_SUBSCRIBED_TO_TOPIC:
        return vg_fail(err, VG_E_CONFLICT,
                       "group %s: an instance of it runs, or was killed less than %d s ago",
                       group_id, VGI_KAFKA_SESSION_MS / 1000);
    default:
        return vgi_kafka_fail(k, err, code, "moving positions");
    }
}

static enum vg_err move(struct vgi_kafka *k, const char *group_id,
                        const rd_kafka_topic_partition_list_t *moves, struct vg_error *err)
{
    struct vgi_kafka_request q;
    vgi_kafka_request_init(&q, k, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS);
    rd_kafka_AlterConsumerGroupOffsets_t *what =
        rd_kafka_AlterConsumerGroupOffsets_new(group_id, moves);
    rd_kafka_AlterConsumerGroupOffsets(k->admin, &what, 1, q.options, q.queue);
    rd_kafka_AlterConsumerGroupOffsets_destroy(what);
    enum vg_err rc = vgi_kafka_request_wait(&q, k, "moving positions", err);
    if (rc == VG_OK) {
        size_t n = 0;
        const rd_kafka_group_result_t **groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(
            rd_kafka_event_AlterConsumerGroupOffsets_result(q.event), &n);
        const rd_kafka_error_t *why = n == 1 ? rd_kafka_group_result_error(groups[0]) : NULL;
        const rd_kafka_topic_partition_list_t *done =
            n == 1 ? rd_kafka_group_result_partitions(groups[0]) : NULL;
        rc = move_class(k, why != NULL ? rd_kafka_error_code(why) : RD_KAFKA_RESP_ERR_NO_ERROR,
                        group_id, err);
        const int answers = done == NULL ? 0 : done->cnt;
        if (rc == VG_OK && answers != moves->cnt) {
            rc = vgi_kafka_fail(k, err, RD_KAFKA_RESP_ERR__FAIL, "moving positions");
        }
        for (int i = 0; rc == VG_OK && i < answers; i++) {
            rc = move_class(k, done->elems[i].err, group_id, err);
        }
    }
    vgi_kafka_request_done(&q);
    return rc;
}

static enum vg_err skip(struct search *s, const char *group_id,
                        const rd_kafka_topic_partition_list_t *positions, struct vg_error *err)
{
    enum vg_err rc = VG_OK;
    for (int i = 0; i < VG_TOPIC_COUNT && rc == VG_OK; i++) {
        rc = find_gaps(s, (enum vg_topic)i, positions, err);
    }
    return rc == VG_OK && s->moves->cnt > 0 ? move(s->k, group_id, s->moves, err) : rc;
}

enum vg_err vgi_kafka_skip(void *log, const char *group, vg_dlog_skipped_fn *fn, void *arg,
                           struct vg_error *err)
{
    struct search s = {.k = log};
    rd_kafka_topic_partition_list_t *positions = NULL;
    char group_id[VG_DLOG_NAME_MAX + 64];
    snprintf(group_id, sizeof group_id, "%s%s", s.k->conf->prefix, group);
    enum vg_err rc = vgi_kafka_reach(s.k, err);
    if (rc == VG_OK) {
        rc = list_positions(s.k, group_id, &positions, err);
    }
    if (rc == VG_OK && (positions == NULL || positions->cnt == 0)) {
        rc = vg_fail(err, VG_E_NOTFOUND, "group '%s' has read nothing of this log", group);
    }
    if (rc != VG_OK || positions == NULL) {
        if (positions != NULL) {
            rd_kafka_topic_partition_list_destroy(positions);
        }
        return rc;
    }
    s.moves = rd_kafka_topic_partition_list_new(positions->cnt);
    s.told = calloc((size_t)positions->cnt + 1, sizeof *s.told);
    if (s.told == NULL) {
        rc = vg_fail(err, VG_E_NOMEM, "no memory for %d positions", positions->cnt);
    } else {
        rc = skip(&s, group_id, positions, err);
    }
    for (int i = 0; i < s.moves->cnt && rc == VG_OK; i++) {
        fn(arg, &s.told[i]);
    }
    free(s.told);
    rd_kafka_topic_partition_list_destroy(s.moves);
    rd_kafka_topic_partition_list_destroy(positions);
    return rc;
}
