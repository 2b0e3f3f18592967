/* Reading committed records of named partitions: the reader on Kafka, and what restores a
 * processor's state. */
#ifndef VG_LOG_KAFKA_READER_H
#define VG_LOG_KAFKA_READER_H

#include "kafka.h"

/* ---- a scan: an assigned consumer that knows when it has passed the end it saw at its start ----
 */

struct vgi_kafka_scan;

struct vgi_kafka_scan_part {
    int32_t partition;
    int64_t next; /* offset to go on from; holes (markers, aborted records, compaction) are passed
                     over */
    int64_t end;  /* caught up when next >= end */
};

/* `parts` is copied. `fd` is raised when something can be polled; the caller keeps owning it. */
enum vg_err vgi_kafka_scan_open(struct vgi_kafka *k, enum vg_topic t,
                                const struct vgi_kafka_scan_part *parts, size_t count, int fd,
                                struct vgi_kafka_scan **out, struct vg_error *err) VG_NODISCARD;
/* The next committed record, or NULL when none came within timeout_ms; the caller destroys it.
 * VG_E_RANGE: what was to be read next has left the log. Brokers that are away are no error. */
enum vg_err vgi_kafka_scan_poll(struct vgi_kafka_scan *s, int timeout_ms, rd_kafka_message_t **out,
                                struct vg_error *err) VG_NODISCARD;
bool vgi_kafka_scan_caught_up(const struct vgi_kafka_scan *s);
void vgi_kafka_scan_close(struct vgi_kafka_scan *s); /* NULL is allowed */

/* Fills a record that borrows from the message. */
void vgi_kafka_record(enum vg_topic t, const rd_kafka_message_t *m, struct vg_dlog_record *out);

/* Messages lent to the caller of read or poll until the next call. */
struct vgi_kafka_batch {
    rd_kafka_message_t *messages[VG_DLOG_BATCH_MAX];
    size_t count, bytes;
};
void vgi_kafka_batch_clear(struct vgi_kafka_batch *b);
/* Keeps the message and fills `out`. */
void vgi_kafka_batch_add(struct vgi_kafka_batch *b, enum vg_topic t, rd_kafka_message_t *m,
                         struct vg_dlog_record *out);

/* ---- the reader's operations ---- */

enum vg_err vgi_kafka_reader_open(void *log, enum vg_topic t, int32_t partition,
                                  struct vg_dlog_from from, void **out, struct vg_error *err);
enum vg_err vgi_kafka_read(void *r, int timeout_ms, struct vg_dlog_record *records, size_t max,
                           size_t *count, struct vg_error *err);
bool vgi_kafka_reader_caught_up(const void *r);
int vgi_kafka_reader_fd(const void *r);
void vgi_kafka_reader_close(void *r);

#endif
