/* The appender: what one call appends holds a slot until the delivery report of its last record,
 * which becomes the verdict.
 *
 * acks=all and idempotence are pinned: a verdict "durable" means that min.insync.replicas copies
 * are written, once and in order within the life of one producer.
 *
 * No record is ever stored while an earlier one of its key is not. So the client never gives one up
 * by itself: its own time limit, which it applies to records one by one, is off, and a record that
 * a broker refuses for good ends the producer (gapless). The time limit is the slot's: when it has
 * passed, the verdict is given, but the records stay in the client's queue, in their order and
 * within its bounds, and may be stored later. A producer with a fatal error is replaced: what it
 * still held fails, what comes after goes to the new one. Repeats are for readers to see through.
 *
 * Durable is only what a broker has given an offset. When a request fails in a way that may be
 * tried again and the next one, already on its way, succeeds, the client calls the records of both
 * delivered: it relies on the brokers to refuse a gap in its sequence numbers. A broker that has
 * heard nothing of a producer yet, or has forgotten it, takes any number (Kafka's ProducerAppendInfo:
 * "accept writes with any sequence number"), and the records of the first request are nowhere.
 * They come without an offset, and are to be sent again.
 */
#include "kafka_appender.h"
#include "bounds.h"
#include "vigia/fault.h"
#include "vigia/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A lone record need not wait; under load records gather behind the request in flight anyway. */
#define LINGER_MS "0.2"
#define PURGE_MS  2000 /* delivery reports of purged records are local: they need no broker */

struct slot {
    vg_dlog_verdict_fn *fn;
    void *arg;
    struct slot *next, *prev; /* of those under way in the order of appending, or of the free */
    int64_t deadline;
    size_t count;        /* records that the client took */
    size_t taken, bytes; /* of the group, as counted against the bounds */
    enum vg_dlog_room room;
    size_t unreported; /* records without a delivery report */
    struct vg_dlog_verdict verdict;
    bool used;
    bool told; /* the verdict was given when the deadline passed */
};

struct appender {
    struct vgi_kafka_note note; /* first: the handle's opaque points here */
    struct vgi_kafka *k;
    rd_kafka_t *rk;
    rd_kafka_topic_t *topics[VG_TOPIC_COUNT];
    int fd;
    struct slot *slots, *free;
    struct slot *first, *last; /* under way */
    struct vgi_bounds held;    /* what the client has */
    size_t pending;            /* records without a verdict */
    uint64_t renewed;
    bool closing;
};

/* ---- verdicts ---- */

static struct vg_dlog_verdict verdict_of(const rd_kafka_message_t *m)
{
    const rd_kafka_msg_status_t status = rd_kafka_message_status(m);
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return m->offset >= 0 ? (struct vg_dlog_verdict){VG_OK, false, m->partition, m->offset}
                              : (struct vg_dlog_verdict){VG_E_IO, true, -1, -1};
    }
    enum vg_err result = vgi_kafka_class(m->err);
    if (result == VG_E_AGAIN) {
        result = VG_E_TIMEOUT; /* it was tried until the verdict was due */
    } else if (result != VG_E_TIMEOUT && result != VG_E_CLOSED && result != VG_E_FATAL) {
        result = VG_E_IO;
    }
    return (struct vg_dlog_verdict){result, status != RD_KAFKA_MSG_STATUS_NOT_PERSISTED, -1, -1};
}

static struct slot *slot_take(struct appender *a)
{
    struct slot *s = a->free;
    assert(s != NULL);
    a->free = s->next;
    *s = (struct slot){.used = true, .prev = a->last};
    *(a->last == NULL ? &a->first : &a->last->next) = s;
    a->last = s;
    return s;
}

static void slot_free(struct appender *a, struct slot *s)
{
    *(s->prev == NULL ? &a->first : &s->prev->next) = s->next;
    *(s->next == NULL ? &a->last : &s->next->prev) = s->prev;
    vgi_bounds_give(&a->held, s->room, s->taken, s->bytes);
    *s = (struct slot){.next = a->free};
    a->free = s;
}

static void slot_tell(struct appender *a, struct slot *s)
{
    if (!s->told) {
        s->told = true;
        a->pending -= s->count;
        if (s->fn != NULL) {
            s->fn(s->arg, &s->verdict); /* it may append */
        }
    }
}

/* The worst of the group's reports counts; what came before it may be stored. */
static void slot_report(struct slot *s, struct vg_dlog_verdict v)
{
    if (s->verdict.result == VG_OK) {
        v.maybe_persisted = v.maybe_persisted || (v.result != VG_OK && s->unreported < s->count);
        s->verdict = v;
    } else {
        s->verdict.maybe_persisted |= v.maybe_persisted || v.result == VG_OK;
    }
    s->unreported--;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct slot *s = m->_private;
    (void)rk;
    (void)VG_FAULT(LOG_GROUP_COMMITTED);
    slot_report(s, verdict_of(m));
    if (s->unreported == 0) {
        slot_tell(opaque, s);
        slot_free(opaque, s);
    }
}

/* Verdicts that are due: the slots are in the order of their deadlines. */
static void expire(struct appender *a)
{
    const int64_t now = vgi_now_ms();
    struct slot *next = NULL;
    for (struct slot *s = a->first; s != NULL && s->deadline <= now; s = next) {
        next = s->next; /* what the callback appends comes behind, and nothing else changes here */
        if (!s->told) {
            s->verdict = (struct vg_dlog_verdict){VG_E_TIMEOUT, true, -1, -1};
            slot_tell(a, s);
        }
    }
}

/* ---- the producer ---- */

static void add_callback(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
}

static enum vg_err producer_open(struct appender *a, struct vg_error *err)
{
    const struct vg_dlog_conf *conf = a->k->conf;
    const int64_t kib = (conf->queue_max_bytes + VGI_BEATS_BYTES) / 1024 + 1;
    char messages[24], kbytes[24];
    snprintf(messages, sizeof messages, "%" PRId64, conf->queue_max + VGI_BEATS_MAX);
    snprintf(kbytes, sizeof kbytes, "%" PRId64, kib < INT32_MAX ? kib : INT32_MAX);
    const struct vgi_kafka_setting settings[] = {
        {"acks", "all"},
        {"enable.idempotence", "true"},
        {"linger.ms", LINGER_MS},
        {"compression.type", "lz4"},
        {"partitioner", "murmur2_random"},
        {"enable.gapless.guarantee", "true"},
        {"message.timeout.ms", "0"}, /* none: ours is the slot's */
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
    while (a->first != NULL) { /* a report did not come within PURGE_MS */
        struct slot *s = a->first;
        s->verdict = (struct vg_dlog_verdict){VG_E_CLOSED, true, -1, -1};
        slot_tell(a, s);
        slot_free(a, s);
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
    const size_t count = (size_t)k->conf->queue_max + VGI_BEATS_MAX; /* one record each, at least */
    struct slot *slots = calloc(count, sizeof *slots);
    if (a == NULL || slots == NULL) {
        free(a);
        free(slots);
        return vg_fail(err, VG_E_NOMEM, "no memory for an appender of %zu records", count);
    }
    a->k = k;
    a->slots = slots;
    for (size_t i = 0; i < count; i++) {
        slots[i].next = a->free;
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

enum vg_err vgi_kafka_append(void *appender, enum vg_topic t, int32_t partition,
                             enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                             size_t count, vg_dlog_verdict_fn *fn, void *arg)
{
    struct appender *a = appender;
    size_t bytes = 0;
    if (a->closing || a->rk == NULL) {
        return a->closing ? VG_E_CLOSED : VG_E_FATAL;
    }
    for (size_t i = 0; i < count; i++) {
        bytes += entries[i].key.len + entries[i].value.len;
    }
    rd_kafka_topic_t *topic = topic_of(a, t);
    if (topic == NULL) {
        return VG_E_NOMEM;
    }
    /* Within our own bounds the client's are never reached, and there is a slot. */
    if (!vgi_bounds_take(&a->held, a->k->conf, room, count, bytes)) {
        return VG_E_FULL;
    }
    struct slot *s = slot_take(a);
    s->room = room;
    s->taken = count;
    s->bytes = bytes;
    s->fn = fn;
    s->arg = arg;
    s->deadline = vgi_now_ms() + a->k->conf->verdict_ms;
    for (; s->count < count; s->count++) {
        const struct vg_dlog_entry *e = &entries[s->count];
        /* MSG_F_COPY: the client reads key and value before it returns, and writes to neither. */
        if (rd_kafka_produce(topic, partition < 0 ? RD_KAFKA_PARTITION_UA : partition,
                             RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)e->value.at, e->value.len,
                             e->key.at, e->key.len, s) != 0) {
            const enum vg_err rc = refusal(rd_kafka_last_error());
            if (s->count == 0) {
                slot_free(a, s);
                return rc;
            }
            /* The producer has broken in between: what it took decides when the verdict comes. */
            s->verdict = (struct vg_dlog_verdict){VG_E_IO, true, -1, -1};
            break;
        }
    }
    s->unreported = s->count;
    a->pending += s->count;
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
    expire(a);
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

bool vgi_kafka_appender_holds(void *appender, const void *arg)
{
    const struct appender *a = appender;
    const struct slot *s = a->first;
    while (s != NULL && s->arg != arg) {
        s = s->next;
    }
    return s != NULL;
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
