/* The numbers that vigia-collector publishes. */
#ifndef VGI_INGEST_METRICS_H
#define VGI_INGEST_METRICS_H

#include "vigia/metric.h"
#include "vigia/registry.h"

enum vgi_metric {
    VGI_M_READINGS, /* durable */
    VGI_M_READINGS_FAILED,
    VGI_M_ANSWER_204,
    VGI_M_ANSWER_400,
    VGI_M_ANSWER_401,
    VGI_M_ANSWER_403,
    VGI_M_ANSWER_413,
    VGI_M_ANSWER_415,
    VGI_M_ANSWER_422,
    VGI_M_ANSWER_429,
    VGI_M_ANSWER_503,
    VGI_M_EARLY_ACKS,
    VGI_M_DUPLICATES,
    VGI_M_WAIT_MS,
    VGI_M_PENDING,
    VGI_M_PENDING_FULL_URGENT,
    VGI_M_PENDING_FULL_ROUTINE,
    VGI_M_QUEUE_FULL_URGENT,
    VGI_M_QUEUE_FULL_ROUTINE,
    VGI_M_SESSIONS,
    VGI_M_SESSIONS_OPENED,
    VGI_M_SESSIONS_ENDED_CAP,
    VGI_M_SESSIONS_ENDED_REPLACED,
    VGI_M_SESSIONS_ENDED_DEVICE,
    VGI_M_HANDSHAKES,
    VGI_M_HANDSHAKES_FULL,
    VGI_M_HANDSHAKES_FAILED,
    VGI_M_IDENTITIES_REFUSED,
    VGI_M_REJECTED,
    VGI_M_REJECTED_DROPPED,
    VGI_M_HEARTBEATS,
    VGI_M_HEARTBEATS_FAILED,
    VGI_M_DEVICES,
    VGI_M_DEVICES_REFUSED,
    VGI_M_COUNT
};

enum vg_err vgi_metrics_register(void) VG_NODISCARD;
void vgi_count(enum vgi_metric m);
void vgi_count_many(enum vgi_metric m, int64_t n);
void vgi_gauge(enum vgi_metric m, int64_t value);
int64_t vgi_metric_value(enum vgi_metric m);
void vgi_count_answer(enum vg_coap code);

#endif
