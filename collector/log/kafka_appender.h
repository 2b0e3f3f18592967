/* The appender on Kafka: an idempotent producer whose delivery reports are the verdicts. */
#ifndef VG_LOG_KAFKA_APPENDER_H
#define VG_LOG_KAFKA_APPENDER_H

#include "kafka.h"

enum vg_err vgi_kafka_appender_open(void *log, void **out, struct vg_error *err);
enum vg_err vgi_kafka_append(void *a, enum vg_topic t, int32_t partition, enum vg_dlog_room room,
                             const struct vg_dlog_entry *entries, size_t count,
                             vg_dlog_verdict_fn *fn, void *arg);
int vgi_kafka_appender_fd(const void *a);
enum vg_err vgi_kafka_appender_dispatch(void *a, struct vg_error *err);
size_t vgi_kafka_appender_pending(const void *a);
bool vgi_kafka_appender_holds(void *a, const void *arg);
void vgi_kafka_appender_close(void *a);

/* For tests of error paths: the producer inside, and how often it was made anew. */
rd_kafka_t *vgi_kafka_appender_handle(void *a);
uint64_t vgi_kafka_appender_renewed(const void *a);

#endif
