/* The configuration of vigia-collector. */
#ifndef VGI_INGEST_CONF_H
#define VGI_INGEST_CONF_H

#include "vigia/conf.h"
#include "vigia/dlog.h"
#include "vigia/endpoint.h"
#include "vigia/keys.h"
#include "vigia/record.h"

struct vgi_conf {
    struct vg_dlog_conf log;
    struct vg_keys_conf keys;
    char listen[VG_ENDPOINT_TEXT_MAX];
    char instance[VG_INSTANCE_MAX + 1];
    char metrics_listen[VG_ENDPOINT_TEXT_MAX];
    int64_t heartbeat_ms;
    int64_t hold_ack_ms;
    int64_t idle_timeout_ms;
    int64_t max_devices;
    int64_t max_sessions;
    int64_t max_handshakes;
    int64_t max_pending;
    int64_t max_batch;
    int64_t request_rate;
    int64_t request_burst;
    int64_t rejected_rate;
    int64_t retry_after_ms;
};

extern const struct vg_conf_table vgi_conf_table;

/* Checks across keys. */
enum vg_err vgi_conf_check(void *conf, struct vg_error *err) VG_NODISCARD;

#endif
