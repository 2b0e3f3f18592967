/* Transactions of a processor.
 *
 * Every transaction carries the position of every owned input partition, also when only timers
 * fired: the group's generation travels with the positions, and it alone keeps out an instance that
 * has lost its partitions without knowing. The arguments of a repeated send are those of the first,
 * as the client requires. An error that is neither retriable nor abortable leaves nothing to do but
 * to end the program.
 *
 * A transaction is committed only when a broker has given every record of it an offset. What the
 * client calls delivered without one it concludes from a later request (see kafka_appender.c), and
 * for a producer that the broker has forgotten, after a quiet day, that is wrong. So all delivery
 * reports are waited for before the commit: nothing is left for it to flush, and so no report can
 * come in it unseen. They are at most VG_DLOG_TXN_RECORDS_MAX, and are served here alone: before a
 * commit and in an abort. What is left when the producer is destroyed is dropped by the client. */
#include "kafka_processor.h"

#include "vigia/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FLUSH_MS      5000
#define REPORTS_MS    500 /* between two looks at what the delivery reports say */
#define SEND_CALL_MS  10000
#define QUEUE_RECORDS "100000" /* above VG_DLOG_TXN_RECORDS_MAX: our own bound refuses first */
#define QUEUE_KBYTES  "65536"

static enum vg_err finish(struct vgi_kafka_processor *p, struct vg_error *err,
                          rd_kafka_error_t *error, const char *what)
{
    p->finished = true;
    (void)vgi_kafka_fail_error(p->k, err, error, what);
    if (err != NULL) {
        err->code = VG_E_FATAL;
    }
    return VG_E_FATAL;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct vgi_kafka_processor *p = opaque;
    (void)rk;
    p->txn_failed += m->err != RD_KAFKA_RESP_ERR_NO_ERROR;
    p->txn_unplaced += m->err == RD_KAFKA_RESP_ERR_NO_ERROR && m->offset < 0;
}

static void add_callback(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
}

enum vg_err vgi_kafka_txn_open(struct vgi_kafka_processor *p, struct vg_error *err)
{
    char id[sizeof p->group_id + VG_DLOG_NAME_MAX + 1], timeout[16];
    snprintf(id, sizeof id, "%s.%s", p->group_id, p->instance);
    snprintf(timeout, sizeof timeout, "%d", VGI_KAFKA_TRANSACTION_MS);
    const struct vgi_kafka_setting settings[] = {
        {"transactional.id", id},
        {"transaction.timeout.ms", timeout},
        {"message.timeout.ms", timeout},
        {"acks", "all"},
        {"enable.idempotence", "true"},
        {"linger.ms", "1"},
        {"compression.type", "lz4"},
        /* The coordinator answers "concurrent transactions" while it still writes the markers of
         * the last one, a few ms; the default of 100 ms would be paid by nearly every transaction.
         */
        {"retry.backoff.ms", "5"},
        {"retry.backoff.max.ms", "200"},
        {"partitioner", "murmur2_random"},
        {"queue.buffering.max.messages", QUEUE_RECORDS},
        {"queue.buffering.max.kbytes", QUEUE_KBYTES},
        {NULL, NULL},
    };
    const enum vg_err rc =
        vgi_kafka_new(p->k, RD_KAFKA_PRODUCER, &p->note, settings, add_callback, &p->producer, err);
    if (rc != VG_OK) {
        return rc;
    }
    const int64_t until = vgi_now_ms() + VGI_KAFKA_INIT_MS;
    for (;;) {
        vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_init_transactions", VGI_KAFKA_INIT_MS);
        rd_kafka_error_t *error = rd_kafka_init_transactions(p->producer, VGI_KAFKA_INIT_MS);
        vgi_kafka_watchdog_leave(p->watchdog);
        if (error == NULL) {
            return VG_OK;
        }
        if (!rd_kafka_error_is_retriable(error) || vgi_now_ms() > until) {
            return vgi_kafka_fail_error(p->k, err, error, "taking over the transactional id");
        }
        rd_kafka_error_destroy(error);
        vgi_kafka_pause();
    }
}

void vgi_kafka_txn_close(struct vgi_kafka_processor *p)
{
    if (p->producer == NULL) {
        return;
    }
    for (int i = 0; i < VG_TOPIC_COUNT; i++) {
        if (p->topics[i] != NULL) {
            rd_kafka_topic_destroy(p->topics[i]);
            p->topics[i] = NULL;
        }
    }
    vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_destroy", 0);
    rd_kafka_destroy(p->producer);
    vgi_kafka_watchdog_leave(p->watchdog);
    p->producer = NULL;
}

static enum vg_err begin(struct vgi_kafka_processor *p, struct vg_error *err)
{
    if (p->in_txn) {
        return VG_OK;
    }
    rd_kafka_error_t *error = rd_kafka_begin_transaction(p->producer);
    if (error != NULL) {
        return finish(p, err, error, "beginning a transaction");
    }
    p->in_txn = true;
    return VG_OK;
}

static void ended(struct vgi_kafka_processor *p)
{
    p->in_txn = false;
    p->txn_records = 0;
    p->txn_bytes = 0;
    p->txn_failed = 0;
    p->txn_unplaced = 0;
}

/* ---- append ---- */

static rd_kafka_topic_t *topic_of(struct vgi_kafka_processor *p, enum vg_topic t)
{
    if (p->topics[t] == NULL) {
        char name[VGI_KAFKA_NAME_MAX];
        vgi_kafka_topic_name(p->k, t, name);
        p->topics[t] = rd_kafka_topic_new(p->producer, name, NULL);
    }
    return p->topics[t];
}

enum vg_err vgi_kafka_txn_append(void *processor, enum vg_topic t, int32_t partition,
                                 struct vg_span key, struct vg_span value)
{
    struct vgi_kafka_processor *p = processor;
    if (p->finished) {
        return VG_E_FATAL;
    }
    if (t == p->options.state_topic && partition < 0) {
        return VG_E_RANGE;
    }
    if (p->phase != VGI_ACTIVE || p->start_over ||
        (partition >= 0 && !vgi_kafka_owns(p, partition))) {
        return VG_E_CONFLICT;
    }
    if (p->txn_records == VG_DLOG_TXN_RECORDS_MAX ||
        p->txn_bytes + key.len + value.len > VG_DLOG_TXN_BYTES_MAX) {
        return VG_E_FULL;
    }
    rd_kafka_topic_t *topic = topic_of(p, t);
    if (topic == NULL) {
        return VG_E_NOMEM;
    }
    const enum vg_err rc = begin(p, NULL);
    if (rc != VG_OK) {
        return rc;
    }
    /* MSG_F_COPY: the client reads key and value before it returns, and writes to neither. */
    if (rd_kafka_produce(topic, partition < 0 ? RD_KAFKA_PARTITION_UA : partition,
                         RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)value.at, value.len, key.at,
                         key.len, NULL) != 0) {
        const rd_kafka_resp_err_t code = rd_kafka_last_error();
        /* "State": the transaction has failed in the background and waits for its abort. */
        return code == RD_KAFKA_RESP_ERR__STATE ? VG_E_CONFLICT : vgi_kafka_class(code);
    }
    p->txn_records++;
    p->txn_bytes += key.len + value.len;
    return VG_OK;
}

size_t vgi_kafka_txn_pending(const void *processor)
{
    const struct vgi_kafka_processor *p = processor;
    return p->txn_records;
}

/* ---- abort ---- */

enum vg_err vgi_kafka_txn_abort(void *processor, struct vg_error *err)
{
    struct vgi_kafka_processor *p = processor;
    if (p->finished) {
        return vg_fail(err, VG_E_FATAL, "kafka %.80s: the processor is finished", p->k->brokers);
    }
    p->start_over = true;
    vgi_kafka_fd_raise(p->fd);
    if (!p->in_txn) {
        return VG_OK;
    }
    if (p->txn_records > 0) {
        /* An abort that overtakes the first record is answered with a fatal error (librdkafka issue
         * 4849). */
        vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_flush", FLUSH_MS);
        rd_kafka_flush(p->producer, FLUSH_MS);
        vgi_kafka_watchdog_leave(p->watchdog);
    }
    const int64_t until = vgi_now_ms() + VGI_KAFKA_TRANSACTION_MS;
    for (;;) {
        vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_abort_transaction", 0);
        rd_kafka_error_t *error = rd_kafka_abort_transaction(p->producer, -1);
        vgi_kafka_watchdog_leave(p->watchdog);
        if (error == NULL) {
            ended(p);
            return VG_OK;
        }
        if (!rd_kafka_error_is_retriable(error) || vgi_now_ms() > until) {
            return finish(p, err, error, "aborting a transaction");
        }
        rd_kafka_error_destroy(error);
        vgi_kafka_pause();
    }
}

/* ---- commit ---- */

/* After a failed step: VG_E_AGAIN means that the caller repeats the step. */
static enum vg_err settle(struct vgi_kafka_processor *p, rd_kafka_error_t *error, const char *what,
                          int64_t until, struct vg_error *err)
{
    const bool retriable = rd_kafka_error_is_retriable(error) != 0;
    if (rd_kafka_error_is_fatal(error) ||
        (!retriable && !rd_kafka_error_txn_requires_abort(error))) {
        return finish(p, err, error, what);
    }
    if (retriable && vgi_now_ms() < until) {
        rd_kafka_error_destroy(error);
        vgi_kafka_pause();
        return VG_E_AGAIN;
    }
    struct vg_error why;
    (void)vgi_kafka_fail_error(p->k, &why, error, what);
    const enum vg_err rc = vgi_kafka_txn_abort(p, err);
    return rc == VG_OK ? vg_fail(err, VG_E_CONFLICT, "%s", why.text) : rc;
}

static rd_kafka_topic_partition_list_t *positions(const struct vgi_kafka_processor *p)
{
    const size_t inputs = p->options.input_count;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)(p->part_count * inputs));
    for (size_t i = 0; i < p->part_count; i++) {
        for (size_t j = 0; j < inputs; j++) {
            rd_kafka_topic_partition_list_add(list, p->input_names[j], p->parts[i].partition)
                ->offset = p->parts[i].next[j];
        }
    }
    return list;
}

static enum vg_err send_positions(struct vgi_kafka_processor *p, int64_t until,
                                  struct vg_error *err)
{
    rd_kafka_topic_partition_list_t *list = positions(p);
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(p->consumer);
    enum vg_err rc = VG_E_AGAIN;
    while (rc == VG_E_AGAIN) {
        vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_send_offsets_to_transaction", SEND_CALL_MS);
        rd_kafka_error_t *error =
            rd_kafka_send_offsets_to_transaction(p->producer, list, group, SEND_CALL_MS);
        vgi_kafka_watchdog_leave(p->watchdog);
        rc = error == NULL ? VG_OK
                           : settle(p, error, "sending positions to a transaction", until, err);
    }
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(list);
    return rc;
}

/* VG_OK: every record has a place in the log; or the transaction has failed, so that the commit will
 * be refused and say why. This waits for nothing that an abort would not wait for as well: when a
 * transaction fails, the client drops at once what it has not sent yet. */
static enum vg_err await_places(struct vgi_kafka_processor *p, int64_t until, struct vg_error *err)
{
    bool reported, fatal;
    if (p->txn_records == 0) {
        return VG_OK;
    }
    vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_flush", VGI_KAFKA_TRANSACTION_MS);
    do {
        reported = rd_kafka_flush(p->producer, REPORTS_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
        fatal = rd_kafka_fatal_error(p->producer, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
    } while (!reported && !fatal && p->txn_failed == 0 && p->txn_unplaced == 0 &&
             vgi_now_ms() < until);
    vgi_kafka_watchdog_leave(p->watchdog);
    if (p->txn_failed > 0 || fatal || (reported && p->txn_unplaced == 0)) {
        return VG_OK;
    }
    const size_t unplaced = p->txn_unplaced, records = p->txn_records;
    const enum vg_err rc = vgi_kafka_txn_abort(p, err);
    if (rc != VG_OK) {
        return rc;
    }
    return unplaced > 0
               ? vg_fail(err, VG_E_CONFLICT,
                         "kafka %.80s: group %s: %zu of %zu records of a transaction are called "
                         "delivered but have no place in the log",
                         p->k->brokers, p->group_id, unplaced, records)
               : vg_fail(err, VG_E_CONFLICT,
                         "kafka %.80s: group %s: not all of the %zu records of a transaction were "
                         "delivered within %d ms",
                         p->k->brokers, p->group_id, records, VGI_KAFKA_TRANSACTION_MS);
}

enum vg_err vgi_kafka_txn_commit_now(struct vgi_kafka_processor *p, struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + VGI_KAFKA_TRANSACTION_MS;
    enum vg_err rc = begin(p, err);
    if (rc == VG_OK) {
        rc = send_positions(p, until, err);
    }
    if (rc == VG_OK) {
        rc = await_places(p, until, err);
    }
    if (rc == VG_OK && VG_FAULT(LOG_TXN_WRITTEN)) {
        rc = vg_fail(err, VG_E_AGAIN, "fault point");
    }
    if (rc != VG_OK) {
        return rc;
    }
    rc = VG_E_AGAIN;
    while (rc == VG_E_AGAIN) {
        vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_commit_transaction", 0);
        rd_kafka_error_t *error = rd_kafka_commit_transaction(p->producer, -1);
        vgi_kafka_watchdog_leave(p->watchdog);
        rc = error == NULL ? VG_OK : settle(p, error, "committing a transaction", until, err);
    }
    if (rc == VG_OK) {
        (void)VG_FAULT(LOG_TXN_COMMITTED);
        ended(p);
        p->moved = false;
    }
    return rc;
}

enum vg_err vgi_kafka_txn_commit(void *processor, struct vg_error *err)
{
    struct vgi_kafka_processor *p = processor;
    if (p->finished) {
        return vg_fail(err, VG_E_FATAL, "kafka %.80s: the processor is finished", p->k->brokers);
    }
    if (!p->in_txn && !p->moved) {
        return VG_OK;
    }
    if (p->phase != VGI_ACTIVE || p->start_over) {
        return vg_fail(err, VG_E_CONFLICT, "kafka %.80s: group %s: the partitions are not owned",
                       p->k->brokers, p->group_id);
    }
    return vgi_kafka_txn_commit_now(p, err);
}
