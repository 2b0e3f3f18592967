/* The appender: every accepted record holds a slot until its delivery report, which becomes the
 * verdict.
 *
 * acks=all and idempotence are pinned: a verdict "durable" means that min.insync.replicas copies
 * are written, once and in order within the life of one producer. A producer with a fatal error is
 * replaced: what it still held fails, what comes after goes to the new one. Records that it had
 * written stay, so the repeats that follow are for readers to see through. */
#include "kafka_appender.h"
#include "vigia/fault.h"
#include "vigia/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PURGE_MS 2000 /* delivery reports of purged records are local: they need no broker */

struct slot {
    vg_dlog_verdict_fn *fn;
    void *arg;
    struct slot *next_free;
    bool used;
};

struct appender {
    struct vgi_kafka_note note; /* first: the handle's opaque points here */
    struct vgi_kafka *k;
    rd_kafka_t *rk;
    rd_kafka_topic_t *topics[VG_TOPIC_COUNT];
    int fd;
    struct slot *slots, *free;
    size_t slot_count;
    size_t pending;
    uint64_t renewed;
    bool closing;
};

/* ---- verdicts ---- */

static struct vg_dlog_verdict verdict_of(const rd_kafka_message_t *m)
{
    const rd_kafka_msg_status_t status = rd_kafka_message_status(m);
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR || status == RD_KAFKA_MSG_STATUS_PERSISTED) {
        return (struct vg_dlog_verdict){VG_OK, false, m->partition, m->offset};
    }
    enum vg_err result = vgi_kafka_class(m->err);
    if (result == VG_E_AGAIN) {
        result = VG_E_TIMEOUT; /* it was tried until the verdict was due */
    } else if (result != VG_E_TIMEOUT && result != VG_E_CLOSED && result != VG_E_FATAL) {
        result = VG_E_IO;
    }
    return (struct vg_dlog_verdict){result, status == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED, -1,
                                    -1};
}

static void slot_free(struct appender *a, struct slot *s)
{
    *s = (struct slot){.next_free = a->free};
    a->free = s;
    a->pending--;
}

static void slot_settle(struct appender *a, struct slot *s, struct vg_dlog_verdict v)
{
    vg_dlog_verdict_fn *fn = s->fn;
    void *arg = s->arg;
    slot_free(a, s); /* before the call: it may append */
    if (fn != NULL) {
        fn(arg, &v);
    }
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    (void)VG_FAULT(LOG_GROUP_COMMITTED);
    slot_settle(opaque, m->_private, verdict_of(m));
}

/* ---- the producer ---- */

static void add_callback(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
}

static enum vg_err producer_open(struct appender *a, struct vg_error *err)
{
    const struct vg_dlog_conf *conf = a->k->conf;
    char messages[24], kbytes[24], timeout[24];
    snprintf(messages, sizeof messages, "%" PRId64, conf->queue_max);
    snprintf(kbytes, sizeof kbytes, "%" PRId64,
             conf->queue_max_bytes / 1024 < INT32_MAX ? conf->queue_max_bytes / 1024 : INT32_MAX);
    snprintf(timeout, sizeof timeout, "%" PRId64, conf->verdict_ms);
    const struct vgi_kafka_setting settings[] = {
        {"acks", "all"},
        {"enable.idempotence", "true"},
        {"linger.ms", "1"},
        {"compression.type", "lz4"},
        {"partitioner", "murmur2_random"},
        {"message.timeout.ms", timeout},
        {"queue.buffering.max.messages", messages},
        {"queue.buffering.max.kbytes", kbytes},
        {NULL, NULL},
    };
    enum vg_err rc =
        vgi_kafka_new(a->k, RD_KAFKA_PRODUCER, &a->note, settings, add_callback, &a->rk, err);
    if (rc != VG_OK) {
        return rc;
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(a->rk);
    vgi_kafka_fd_watch(a->fd, queue);
    rd_kafka_queue_destroy(queue);
    return VG_OK;
}

/* Ends the producer; everything it still held gets its verdict now. */
static void producer_close(struct appender *a)
{
    if (a->rk == NULL) {
        return;
    }
    rd_kafka_purge(a->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(a->rk, PURGE_MS);
    for (int i = 0; i < VG_TOPIC_COUNT; i++) {
        if (a->topics[i] != NULL) {
            rd_kafka_topic_destroy(a->topics[i]);
            a->topics[i] = NULL;
        }
    }
    rd_kafka_destroy(a->rk);
    a->rk = NULL;
    for (size_t i = 0; i < a->slot_count && a->pending > 0; i++) {
        if (a->slots[i].used) { /* its report did not come within PURGE_MS */
            slot_settle(a, &a->slots[i], (struct vg_dlog_verdict){VG_E_CLOSED, true, -1, -1});
        }
    }
}

static enum vg_err producer_renew(struct appender *a, struct vg_error *err)
{
    char text[160];
    rd_kafka_fatal_error(a->rk, text, sizeof text);
    vg_log_warn("log-appender-renewed", "pending=%zu reason=%s", a->pending, VG_Q(text));
    producer_close(a);
    a->renewed++;
    struct vg_error why;
    if (producer_open(a, &why) != VG_OK) {
        return vg_fail(err, VG_E_FATAL, "%s", why.text);
    }
    return VG_OK;
}

/* ---- operations ---- */

enum vg_err vgi_kafka_appender_open(void *log, void **out, struct vg_error *err)
{
    struct vgi_kafka *k = log;
    struct appender *a = calloc(1, sizeof *a);
    const size_t count = (size_t)k->conf->queue_max;
    struct slot *slots = calloc(count, sizeof *slots);
    if (a == NULL || slots == NULL) {
        free(a);
        free(slots);
        return vg_fail(err, VG_E_NOMEM, "no memory for an appender of %zu records", count);
    }
    a->k = k;
    a->slots = slots;
    a->slot_count = count;
    for (size_t i = 0; i < count; i++) {
        slots[i].next_free = a->free;
        a->free = &slots[i];
    }
    vgi_kafka_note_init(&a->note);
    a->fd = vgi_kafka_fd_new();
    const enum vg_err rc = a->fd < 0 ? vg_fail(err, VG_E_IO, "no descriptor for an appender: %m")
                                     : producer_open(a, err);
    if (rc != VG_OK) {
        vgi_kafka_appender_close(a);
        return rc;
    }
    *out = a;
    return VG_OK;
}

static rd_kafka_topic_t *topic_of(struct appender *a, enum vg_topic t)
{
    if (a->topics[t] == NULL) {
        char name[VGI_KAFKA_NAME_MAX];
        vgi_kafka_topic_name(a->k, t, name);
        a->topics[t] = rd_kafka_topic_new(a->rk, name, NULL);
    }
    return a->topics[t];
}

static enum vg_err refusal(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return VG_E_RANGE;
    case RD_KAFKA_RESP_ERR__FATAL:
        return VG_E_FULL; /* nothing is taken until the next dispatch has renewed the producer */
    default:
        return vgi_kafka_class(code);
    }
}

enum vg_err vgi_kafka_append(void *appender, enum vg_topic t, int32_t partition, struct vg_span key,
                             struct vg_span value, vg_dlog_verdict_fn *fn, void *arg)
{
    struct appender *a = appender;
    if (a->closing || a->rk == NULL) {
        return a->closing ? VG_E_CLOSED : VG_E_FATAL;
    }
    struct slot *s = a->free;
    rd_kafka_topic_t *topic = topic_of(a, t);
    if (s == NULL) {
        return VG_E_FULL;
    }
    if (topic == NULL) {
        return VG_E_NOMEM;
    }
    a->free = s->next_free;
    *s = (struct slot){.fn = fn, .arg = arg, .used = true};
    a->pending++;
    /* MSG_F_COPY: the client reads key and value before it returns, and writes to neither. */
    if (rd_kafka_produce(topic, partition < 0 ? RD_KAFKA_PARTITION_UA : partition,
                         RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)value.at, value.len, key.at,
                         key.len, s) != 0) {
        const rd_kafka_resp_err_t code = rd_kafka_last_error();
        slot_free(a, s);
        return refusal(code);
    }
    (void)VG_FAULT(LOG_GROUP_WRITTEN);
    return VG_OK;
}

int vgi_kafka_appender_fd(const void *appender)
{
    const struct appender *a = appender;
    return a->fd;
}

enum vg_err vgi_kafka_appender_dispatch(void *appender, struct vg_error *err)
{
    struct appender *a = appender;
    if (a->rk == NULL) {
        return vg_fail(err, VG_E_FATAL, "kafka %.80s: the appender has no producer any more",
                       a->k->brokers);
    }
    vgi_kafka_fd_clear(a->fd);
    rd_kafka_poll(a->rk, 0);
    if (rd_kafka_fatal_error(a->rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return producer_renew(a, err);
    }
    return VG_OK;
}

size_t vgi_kafka_appender_pending(const void *appender)
{
    const struct appender *a = appender;
    return a->pending;
}

void vgi_kafka_appender_close(void *appender)
{
    struct appender *a = appender;
    a->closing = true;
    producer_close(a);
    if (a->fd >= 0) {
        close(a->fd);
    }
    vgi_kafka_note_done(&a->note);
    free(a->slots);
    free(a);
}

rd_kafka_t *vgi_kafka_appender_handle(void *appender)
{
    struct appender *a = appender;
    return a->rk;
}

uint64_t vgi_kafka_appender_renewed(const void *appender)
{
    const struct appender *a = appender;
    return a->renewed;
}
