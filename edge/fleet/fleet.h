/* Many devices in one process, each with its own DTLS session, on the agent's own uplink.
 *
 * The load is open: readings fall due by the clock, whether or not earlier ones are answered, and
 * latency counts from the moment a reading fell due to its 2.04. So a slow collector shows as
 * latency, not as a lower rate. */
#ifndef VIGIA_FLEET_H
#define VIGIA_FLEET_H

#include "vigia/conf.h"
#include "vigia/uplink.h"

#define VGI_FLEET_DEVICES_MAX 20000
/* Readings of one device that may wait in a lane; one more is counted as missed. */
#define VGI_FLEET_WAITING_MAX 256

struct vgi_fleet_conf {
    char collectors[VG_CONF_VALUE_MAX];
    char credentials[512];
    int64_t devices; /* 0: as many as the file has */
    int64_t rate;    /* readings per second, all devices together */
    int64_t batch;
    int64_t sensors; /* of each device */
    int64_t duration_ms, grace_ms;
    int64_t ramp; /* handshakes begun per second */
    int64_t lanes;
    bool active; /* every reading is smoke, in the urgent lane */
    bool cid;
    char metrics_listen[128];
};

extern const struct vg_conf_table vgi_fleet_table;
enum vg_err vgi_fleet_check(void *conf, struct vg_error *err);
enum vg_err vgi_fleet_start(struct vg_loop *loop, void *conf, void **state, struct vg_error *err);
void vgi_fleet_drain(void *state);
void vgi_fleet_stop(void *state);

/* Latencies, counted in steps of VGI_STEP_US. */
#define VGI_STEP_US   100
#define VGI_STEPS_MAX 300000 /* 30 s; the last one takes everything longer */
struct vgi_tally {
    uint64_t count;
    int64_t max_us;
    uint32_t *steps;
};
enum vg_err vgi_tally_init(struct vgi_tally *t) VG_NODISCARD;
void vgi_tally_done(struct vgi_tally *t);
void vgi_tally_add(struct vgi_tally *t, int64_t us);
/* The latency that `part` of 1 does not exceed, in milliseconds; 0 when nothing was counted. */
double vgi_tally_quantile_ms(const struct vgi_tally *t, double part);

#endif
