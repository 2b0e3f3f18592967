/* Scans and readers.
 *
 * The end that a scan has to reach is the log end without regard to open transactions: the last
 * stable offset may lag behind a commit that has already returned. Control records and aborted ones
 * occupy offsets, so the scan goes by the position that the end-of-partition event tells, never by
 * "last record + 1 == end" alone. */
#include "kafka_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

struct vgi_kafka_scan {
    struct vgi_kafka_note note; /* first: the handle's opaque points here */
    struct vgi_kafka *k;
    enum vg_topic topic;
    rd_kafka_t *rk;
    size_t count;
    size_t behind; /* parts that have not reached their end */
    struct vgi_kafka_scan_part parts[];
};

void vgi_kafka_record(enum vg_topic t, const rd_kafka_message_t *m, struct vg_dlog_record *out)
{
    *out = (struct vg_dlog_record){
        .topic = t,
        .partition = m->partition,
        .offset = m->offset,
        .append_ms = rd_kafka_message_timestamp(m, NULL),
        .key = vg_span(m->key, m->key_len),
        .value = vg_span(m->payload, m->len),
    };
}

void vgi_kafka_batch_clear(struct vgi_kafka_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        rd_kafka_message_destroy(b->messages[i]);
    }
    b->count = 0;
    b->bytes = 0;
}

void vgi_kafka_batch_add(struct vgi_kafka_batch *b, enum vg_topic t, rd_kafka_message_t *m,
                         struct vg_dlog_record *out)
{
    vgi_kafka_record(t, m, out);
    b->messages[b->count++] = m;
    b->bytes += m->len + m->key_len;
}

/* ---- scan ---- */

static enum vg_err scan_assign(struct vgi_kafka_scan *s, struct vg_error *err)
{
    char name[VGI_KAFKA_NAME_MAX];
    vgi_kafka_topic_name(s->k, s->topic, name);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)s->count);
    for (size_t i = 0; i < s->count; i++) {
        rd_kafka_topic_partition_list_add(list, name, s->parts[i].partition)->offset =
            s->parts[i].next;
    }
    const rd_kafka_resp_err_t code = rd_kafka_assign(s->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? VG_OK : vgi_kafka_fail(s->k, err, code, name);
}

enum vg_err vgi_kafka_scan_open(struct vgi_kafka *k, enum vg_topic t,
                                const struct vgi_kafka_scan_part *parts, size_t count, int fd,
                                struct vgi_kafka_scan **out, struct vg_error *err)
{
    static const struct vgi_kafka_setting settings[] = {
        {"group.id",
         "none"}, /* the library asks for one; it is never joined and nothing is committed */
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"},
        {"auto.offset.reset", "error"},
        {"enable.partition.eof", "true"},
        {"fetch.queue.backoff.ms", "20"},
        {"queued.min.messages", "10000"},
        {"queued.max.messages.kbytes", "16384"},
        {NULL, NULL},
    };
    struct vgi_kafka_scan *s = calloc(1, sizeof *s + count * sizeof s->parts[0]);
    if (s == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a reader");
    }
    s->k = k;
    s->topic = t;
    s->count = count;
    memcpy(s->parts, parts, count * sizeof s->parts[0]);
    for (size_t i = 0; i < count; i++) {
        s->behind += parts[i].next < parts[i].end;
    }
    vgi_kafka_note_init(&s->note);
    enum vg_err rc = vgi_kafka_new(k, RD_KAFKA_CONSUMER, &s->note, settings, NULL, &s->rk, err);
    if (rc == VG_OK) {
        rd_kafka_poll_set_consumer(s->rk);
        rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(s->rk);
        vgi_kafka_fd_watch(fd, queue);
        rd_kafka_queue_destroy(queue);
        rc = scan_assign(s, err);
    }
    if (rc != VG_OK) {
        vgi_kafka_scan_close(s);
        return rc;
    }
    *out = s;
    return VG_OK;
}

static void scan_reached(struct vgi_kafka_scan *s, int32_t partition, int64_t next)
{
    for (size_t i = 0; i < s->count; i++) {
        struct vgi_kafka_scan_part *p = &s->parts[i];
        if (p->partition == partition && next > p->next) {
            s->behind -= p->next < p->end && next >= p->end;
            p->next = next;
        }
    }
}

static enum vg_err scan_error(struct vgi_kafka_scan *s, const rd_kafka_message_t *m,
                              struct vg_error *err)
{
    switch (vgi_kafka_class(m->err)) {
    case VG_E_TIMEOUT:
    case VG_E_AGAIN:
        return VG_OK; /* the client keeps trying */
    case VG_E_RANGE:
        return vg_fail(err, VG_E_RANGE,
                       "kafka %.80s: %s[%" PRId32 "]: the next record to read has left the log",
                       s->k->brokers, vg_topic_spec(s->topic)->name, m->partition);
    default:
        return vgi_kafka_fail(s->k, err, m->err, vg_topic_spec(s->topic)->name);
    }
}

enum vg_err vgi_kafka_scan_poll(struct vgi_kafka_scan *s, int timeout_ms, rd_kafka_message_t **out,
                                struct vg_error *err)
{
    int64_t until = vgi_now_ms() + timeout_ms;
    for (;;) { /* until the queue is empty: only then does the next message raise the descriptor */
        const int64_t left = until - vgi_now_ms();
        rd_kafka_message_t *m = rd_kafka_consumer_poll(s->rk, left > 0 ? (int)left : 0);
        if (m == NULL) {
            *out = NULL;
            return VG_OK;
        }
        if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            scan_reached(s, m->partition, m->offset + 1);
            *out = m;
            return VG_OK;
        }
        enum vg_err rc = VG_OK;
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            scan_reached(s, m->partition, m->offset);
            until = s->behind == 0
                        ? 0
                        : until; /* caught up: the caller may have nothing more to wait for */
        } else {
            rc = scan_error(s, m, err);
        }
        rd_kafka_message_destroy(m);
        if (rc != VG_OK) {
            *out = NULL;
            return rc;
        }
    }
}

bool vgi_kafka_scan_caught_up(const struct vgi_kafka_scan *s)
{
    return s->behind == 0;
}

void vgi_kafka_scan_close(struct vgi_kafka_scan *s)
{
    if (s == NULL) {
        return;
    }
    if (s->rk != NULL) {
        rd_kafka_consumer_close(s->rk);
        rd_kafka_destroy(s->rk);
    }
    vgi_kafka_note_done(&s->note);
    free(s);
}

/* ---- reader ---- */

struct reader {
    struct vgi_kafka_scan *scan;
    enum vg_topic topic;
    int fd;
    struct vgi_kafka_batch batch;
};

/* Where each partition starts for a time: the first record appended at or after it, or the end. */
static enum vg_err offsets_at_time(struct vgi_kafka *k, const char *topic,
                                   const int32_t *partitions, size_t count, int64_t at,
                                   struct vgi_kafka_scan_part *parts, struct vg_error *err)
{
    int64_t found[VG_DLOG_PARTITIONS_MAX];
    const enum vg_err rc =
        vgi_kafka_offsets(k, topic, partitions, count, at < 0 ? 0 : at, found, err);
    for (size_t i = 0; rc == VG_OK && i < count; i++) {
        parts[i].next = found[i] < 0 ? parts[i].end : found[i];
    }
    return rc;
}

/* Which partitions, from where, to which end. */
static enum vg_err plan(struct vgi_kafka *k, enum vg_topic t, int32_t partition,
                        struct vg_dlog_from from, struct vgi_kafka_scan_part *parts, size_t *count,
                        struct vg_error *err)
{
    char name[VGI_KAFKA_NAME_MAX];
    int32_t total = 0;
    vgi_kafka_topic_name(k, t, name);
    enum vg_err rc = vgi_kafka_partition_count(k, name, &total, err);
    if (rc != VG_OK) {
        return rc;
    }
    if (partition >= total || total > VG_DLOG_PARTITIONS_MAX) {
        return vg_fail(err, VG_E_RANGE, "topic %s: partition %" PRId32 ": accepted: 0 to %" PRId32,
                       name, partition, total - 1);
    }
    const size_t n = partition < 0 ? (size_t)total : 1;
    int32_t partitions[VG_DLOG_PARTITIONS_MAX];
    int64_t begin[VG_DLOG_PARTITIONS_MAX];
    int64_t end[VG_DLOG_PARTITIONS_MAX];
    for (size_t i = 0; i < n; i++) {
        partitions[i] = partition < 0 ? (int32_t)i : partition;
    }
    rc = vgi_kafka_extent(k, name, partitions, n, begin, end, err);
    if (rc != VG_OK) {
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        const int64_t start = from.kind == VG_DLOG_END      ? end[i]
                              : from.kind == VG_DLOG_OFFSET ? from.at
                                                            : begin[i];
        if (start < begin[i] || start > end[i]) {
            return vg_fail(err, VG_E_RANGE,
                           "topic %s[%" PRId32 "]: offset %" PRId64 ": accepted: %" PRId64
                           " to %" PRId64,
                           name, partitions[i], start, begin[i], end[i]);
        }
        parts[i] = (struct vgi_kafka_scan_part){partitions[i], start, end[i]};
    }
    *count = n;
    return from.kind == VG_DLOG_TIME ? offsets_at_time(k, name, partitions, n, from.at, parts, err)
                                     : VG_OK;
}

enum vg_err vgi_kafka_reader_open(void *log, enum vg_topic t, int32_t partition,
                                  struct vg_dlog_from from, void **out, struct vg_error *err)
{
    struct vgi_kafka *k = log;
    struct vgi_kafka_scan_part parts[VG_DLOG_PARTITIONS_MAX];
    size_t count = 0;
    enum vg_err rc = plan(k, t, partition, from, parts, &count, err);
    if (rc != VG_OK) {
        return rc;
    }
    struct reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a reader");
    }
    r->topic = t;
    r->fd = vgi_kafka_fd_new();
    rc = r->fd < 0 ? vg_fail(err, VG_E_IO, "no descriptor for a reader: %m")
                   : vgi_kafka_scan_open(k, t, parts, count, r->fd, &r->scan, err);
    if (rc != VG_OK) {
        vgi_kafka_reader_close(r);
        return rc;
    }
    *out = r;
    return VG_OK;
}

enum vg_err vgi_kafka_read(void *reader, int timeout_ms, struct vg_dlog_record *records, size_t max,
                           size_t *count, struct vg_error *err)
{
    struct reader *r = reader;
    vgi_kafka_batch_clear(&r->batch);
    vgi_kafka_fd_clear(r->fd);
    int wait_ms = timeout_ms;
    while (r->batch.count < max && r->batch.bytes < VG_DLOG_BATCH_BYTES) {
        rd_kafka_message_t *m = NULL;
        const enum vg_err rc = vgi_kafka_scan_poll(r->scan, wait_ms, &m, err);
        if (rc != VG_OK) {
            return rc;
        }
        if (m == NULL) {
            *count = r->batch.count;
            return VG_OK;
        }
        vgi_kafka_batch_add(&r->batch, r->topic, m, &records[r->batch.count]);
        wait_ms = 0;
    }
    vgi_kafka_fd_raise(r->fd); /* full: there may be more */
    *count = r->batch.count;
    return VG_OK;
}

bool vgi_kafka_reader_caught_up(const void *reader)
{
    const struct reader *r = reader;
    return vgi_kafka_scan_caught_up(r->scan);
}

int vgi_kafka_reader_fd(const void *reader)
{
    const struct reader *r = reader;
    return r->fd;
}

void vgi_kafka_reader_close(void *reader)
{
    struct reader *r = reader;
    vgi_kafka_batch_clear(&r->batch);
    vgi_kafka_scan_close(r->scan);
    if (r->fd >= 0) {
        close(r->fd);
    }
    free(r);
}
