/* The processor's consumer: a member of its group, from joining to leaving. Rebalances arrive here,
 * and the messages of the inputs.
 *
 * Eager rebalancing (range): a revocation takes everything. The open transaction is aborted then,
 * never committed: the caller may not have handled all it was given. */
#include "kafka_processor.h"
#include "vigia/log.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- rebalancing ---- */

/* Every input must bring the same partitions: a partition's state is made from all of them. */
static enum vg_err take_assignment(struct vgi_kafka_processor *p,
                                   const rd_kafka_topic_partition_list_t *list,
                                   struct vg_error *err)
{
    p->part_count = 0;
    for (int i = 0; i < list->cnt; i++) {
        const int32_t partition = list->elems[i].partition;
        if (partition >= VG_DLOG_PARTITIONS_MAX ||
            vgi_kafka_input_of(p, list->elems[i].topic) == p->options.input_count) {
            return vg_fail(err, VG_E_INVALID,
                           "kafka %.80s: group %s: assigned %s[%" PRId32 "], which is no input",
                           p->k->brokers, p->group_id, list->elems[i].topic, partition);
        }
        if (vgi_kafka_part_of(p, partition) == NULL) {
            p->parts[p->part_count++] = (struct vgi_kafka_part){.partition = partition};
        }
    }
    for (size_t i = 0; i < p->part_count; i++) {
        for (size_t j = 0; j < p->options.input_count; j++) {
            if (rd_kafka_topic_partition_list_find(list, p->input_names[j],
                                                   p->parts[i].partition) == NULL) {
                return vg_fail(err, VG_E_INVALID,
                               "kafka %.80s: group %s: assigned partition %" PRId32
                               " without that of %s: the inputs "
                               "are not co-partitioned",
                               p->k->brokers, p->group_id, p->parts[i].partition,
                               p->input_names[j]);
            }
        }
    }
    return VG_OK;
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
                         rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct vgi_kafka_processor *p = opaque;
    if (p->in_txn && !p->finished) {
        struct vg_error why;
        (void)!vgi_kafka_txn_abort(p, &why); /* a fatal one is told by the next call */
    }
    vgi_kafka_untell(p);
    p->part_count = 0;
    p->phase = VGI_IDLE;
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && list->cnt > 0 && !p->closing &&
        take_assignment(p, list, &p->refused) == VG_OK) {
        p->phase = VGI_ASSIGNED; /* assign() follows when it is restored */
        return;
    }
    rd_kafka_assign(rk,
                    what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && list->cnt == 0 ? list : NULL);
}

/* ---- messages ---- */

static enum vg_err lost_place(const struct vgi_kafka_processor *p, const rd_kafka_message_t *m,
                              struct vg_error *err)
{
    const size_t input = m->rkt == NULL ? 0 : vgi_kafka_input_of(p, rd_kafka_topic_name(m->rkt));
    for (size_t i = 0; i < p->part_count && m->rkt != NULL && input < p->options.input_count; i++) {
        if (p->parts[i].partition == m->partition && p->parts[i].next[input] >= 0) {
            struct vgi_kafka_place at = {p->input_names[input], m->partition,
                                         p->parts[i].next[input], 0, 0};
            return vgi_kafka_lost_place(p, &at, rd_kafka_message_errstr(m), err);
        }
    }
    return vg_fail(err, VG_E_FATAL, "kafka %.80s: group %s: %.120s", p->k->brokers, p->group_id,
                   rd_kafka_message_errstr(m));
}

static enum vg_err consumer_error(struct vgi_kafka_processor *p, const rd_kafka_message_t *m,
                                  struct vg_error *err)
{
    const char *topic = m->rkt == NULL ? p->group_id : rd_kafka_topic_name(m->rkt);
    switch (vgi_kafka_class(m->err)) {
    case VG_E_TIMEOUT:
    case VG_E_AGAIN:
        return VG_OK; /* the client keeps trying */
    case VG_E_RANGE:
        return lost_place(p, m, err);
    case VG_E_FATAL:
        p->finished = true;
        return vgi_kafka_fail(p->k, err, m->err, topic);
    case VG_E_DENIED:
        return vgi_kafka_fail(p->k, err, m->err, topic);
    default: /* a topic that a starting broker does not know yet, a poll that came late: it passes,
                or shows in what follows */
        vg_log_warn("log-consumer", "group=%s topic=%s what=%s", p->group_id, topic,
                    VG_Q(rd_kafka_message_errstr(m)));
        return VG_OK;
    }
}

/* Takes in one message of the consumer: a record is kept, the end of a partition moves the
 * position, an error is judged. */
static enum vg_err take_message(struct vgi_kafka_processor *p, rd_kafka_message_t *m,
                                struct vg_dlog_record *records, struct vg_error *err)
{
    struct vgi_kafka_part *part = m->rkt == NULL ? NULL : vgi_kafka_part_of(p, m->partition);
    const size_t input = m->rkt == NULL ? 0 : vgi_kafka_input_of(p, rd_kafka_topic_name(m->rkt));
    const bool ours = p->phase == VGI_ACTIVE && part != NULL && input < p->options.input_count;
    enum vg_err rc = VG_OK;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && ours) {
        part->next[input] = m->offset + 1;
        p->moved = true;
        vgi_kafka_batch_add(&p->batch, p->options.inputs[input], m, &records[p->batch.count]);
        return VG_OK;
    }
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (ours && m->offset > part->next[input]) {
            part->next[input] = m->offset; /* over control records and aborted ones */
        }
    } else if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rc = consumer_error(p, m, err);
    }
    rd_kafka_message_destroy(m);
    return rc;
}

enum vg_err vgi_kafka_group_fill(struct vgi_kafka_processor *p, int timeout_ms,
                                 struct vg_dlog_record *records, size_t max, struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + timeout_ms;
    while (p->batch.count < max && p->batch.bytes < VG_DLOG_BATCH_BYTES) {
        const int64_t left = p->batch.count > 0 ? 0 : until - vgi_now_ms();
        const enum vgi_phase before = p->phase;
        rd_kafka_message_t *m = rd_kafka_consumer_poll(p->consumer, left > 0 ? (int)left : 0);
        if (m == NULL) {
            if (p->phase != before) {
                vgi_kafka_fd_raise(p->fd); /* a rebalance: go on in the next poll */
            }
            return VG_OK;
        }
        const enum vg_err rc = take_message(p, m, records, err);
        if (rc != VG_OK) {
            return rc;
        }
        if (p->phase != before) {
            vgi_kafka_fd_raise(p->fd);
            return VG_OK;
        }
    }
    vgi_kafka_fd_raise(p->fd); /* full: there may be more */
    return VG_OK;
}

/* ---- join and leave ---- */

static void add_callback(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
}

enum vg_err vgi_kafka_group_join(struct vgi_kafka_processor *p, struct vg_error *err)
{
    char session[16], heartbeat[16], max_poll[16];
    snprintf(session, sizeof session, "%d", VGI_KAFKA_SESSION_MS);
    snprintf(heartbeat, sizeof heartbeat, "%d", VGI_KAFKA_HEARTBEAT_MS);
    snprintf(max_poll, sizeof max_poll, "%d", VGI_KAFKA_MAX_POLL_MS);
    const struct vgi_kafka_setting settings[] = {
        {"group.id", p->group_id},
        {"partition.assignment.strategy", "range"},
        {"session.timeout.ms", session},
        {"heartbeat.interval.ms", heartbeat},
        {"max.poll.interval.ms", max_poll},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"},
        {"auto.offset.reset", "error"},
        {"enable.partition.eof", "true"},
        /* While anything waits here, the next request to the broker does: under load a few large
         * ones, instead of one for each append. What is asked for at once makes up for it. */
        {"queued.min.messages", "1"},
        {"fetch.queue.backoff.ms", "10"},
        {"queued.max.messages.kbytes", "16384"},
        {"fetch.message.max.bytes", "4194304"},
        {"fetch.max.bytes", "16777216"},
        {NULL, NULL},
    };
    enum vg_err rc =
        vgi_kafka_new(p->k, RD_KAFKA_CONSUMER, &p->note, settings, add_callback, &p->consumer, err);
    if (rc != VG_OK) {
        return rc;
    }
    rd_kafka_poll_set_consumer(p->consumer);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(p->consumer);
    vgi_kafka_fd_watch(p->fd, queue);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)p->options.input_count);
    for (size_t i = 0; i < p->options.input_count; i++) {
        rd_kafka_topic_partition_list_add(list, p->input_names[i], RD_KAFKA_PARTITION_UA);
    }
    const rd_kafka_resp_err_t code = rd_kafka_subscribe(p->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? VG_OK
                                              : vgi_kafka_fail(p->k, err, code, p->group_id);
}

void vgi_kafka_group_leave(struct vgi_kafka_processor *p)
{
    if (p->consumer == NULL) {
        return;
    }
    if (p->phase == VGI_ASSIGNED || p->phase == VGI_RESTORING) {
        rd_kafka_assign(p->consumer, NULL); /* it was promised one; close would wait for it */
    }
    vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_consumer_close", 0);
    rd_kafka_consumer_close(p->consumer);
    rd_kafka_destroy(p->consumer);
    vgi_kafka_watchdog_leave(p->watchdog);
}
