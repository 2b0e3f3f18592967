/* What vigia-edge can be told. */
#ifndef VIGIA_EDGE_CONF_H
#define VIGIA_EDGE_CONF_H

#include "vigia/conf.h"
#include "vigia/uplink.h"

#define VGI_PATH_ROOM   512
#define VGI_SOURCES_MAX 16

enum vgi_clock_mode { VGI_CLOCK_AUTO, VGI_CLOCK_TRUSTED, VGI_CLOCK_UNSYNCED };

struct vgi_source_conf {
    char name[32];
    int kind; /* index into vgi_source_kinds */
    char scenario[VGI_PATH_ROOM];
    char ledger[VGI_PATH_ROOM];
    int64_t start_ms;
};

/* "FILE:LINE: " of what came from the provisioning file; empty for the rest. */
struct vgi_provision_places {
    char device[VG_CONF_PLACE_MAX + 2];
    char collectors[VG_CONF_PLACE_MAX + 2];
    char psk[VG_CONF_PLACE_MAX + 2];
};

struct vgi_edge_conf {
    char device[VG_DEVICE_NAME_MAX + 1];
    char provisioning[VGI_PATH_ROOM];
    char boot_file[VGI_PATH_ROOM];
    int64_t alive_ms;
    int clock; /* enum vgi_clock_mode */

    char collectors[VG_CONF_VALUE_MAX];
    char psk[2 * VG_UPLINK_PSK_MAX + 1];
    char psk_file[VGI_PATH_ROOM];
    int64_t batch, rate, ack_timeout_ms, response_ms, handshake_ms, backoff_min_ms, backoff_max_ms,
        park_ms;
    bool cid;
    struct vgi_provision_places places;
    struct vg_uplink_options uplink; /* worked out by vgi_edge_conf_check */

    char buffer_path[VGI_PATH_ROOM];
    int64_t max_bytes, max_age_ms, group_ms, urgent_ring, routine_ring;

    struct vgi_source_conf sources[VGI_SOURCES_MAX];
    size_t source_count;

    char metrics_listen[128];
};

extern const struct vg_conf_table vgi_edge_table;

/* Reads the provisioning and key files, and checks what belongs together; for vg_program. */
enum vg_err vgi_edge_conf_check(void *conf, struct vg_error *err);

#endif
