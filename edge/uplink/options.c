/* What an uplink can be told, and what is refused. */
#include "core.h"

void vg_uplink_options_init(struct vg_uplink_options *options)
{
    *options = (struct vg_uplink_options){
        .batch_rows = VG_UPLINK_BATCH_MAX,
        .parked_sensors = VG_UPLINK_PARKED_MAX,
        .ack_timeout_ms = VG_ACK_TIMEOUT_MS,
        .response_ms = VG_SEPARATE_TIMEOUT_MS,
        .handshake_ms = 10000,
        .backoff_min_ms = 1000,
        .backoff_max_ms = 60000,
        .park_ms = 3600000,
        .cid = true,
    };
}

const char *vg_uplink_lost_name(int64_t detail)
{
    static const char *const names[VGI_LOST_COUNT] = {
        [VGI_LOST_UNRESOLVED] = "unresolved", [VGI_LOST_UNREACHABLE] = "unreachable",
        [VGI_LOST_REFUSED] = "refused",       [VGI_LOST_TIMEOUT] = "timeout",
        [VGI_LOST_CLOSED] = "closed",         [VGI_LOST_UNANSWERED] = "unanswered",
    };
    return detail >= 0 && detail < VGI_LOST_COUNT ? names[detail] : "unknown";
}

bool vg_uplink_lost_unresolved(int64_t detail)
{
    return detail == VGI_LOST_UNRESOLVED;
}

enum vg_err vgi_options_check(const struct vg_uplink_options *o, struct vg_error *err)
{
    if (!vg_sensor_id_valid(vg_span_str(o->identity))) {
        return vg_fail(err, VG_E_RANGE, "the device's name is not one that the wire accepts");
    }
    if (o->psk_len < VG_UPLINK_PSK_MIN || o->psk_len > VG_UPLINK_PSK_MAX) {
        return vg_fail(err, VG_E_RANGE, "the pre-shared key has %zu bytes, accepted: %d to %d",
                       o->psk_len, VG_UPLINK_PSK_MIN, VG_UPLINK_PSK_MAX);
    }
    if (o->collector_count < 1 || o->collector_count > VG_UPLINK_COLLECTORS_MAX) {
        return vg_fail(err, VG_E_RANGE, "%zu collectors, accepted: 1 to %d", o->collector_count,
                       VG_UPLINK_COLLECTORS_MAX);
    }
    if (o->batch_rows < 1 || o->batch_rows > VG_UPLINK_BATCH_MAX || o->parked_sensors < 1 ||
        o->parked_sensors > VG_UPLINK_PARKED_MAX) {
        return vg_fail(
            err, VG_E_RANGE,
            "batches of %zu readings and %zu parked sensors, accepted: 1 to %d and 1 to %d",
            o->batch_rows, o->parked_sensors, VG_UPLINK_BATCH_MAX, VG_UPLINK_PARKED_MAX);
    }
    if (o->rate < 0 || o->ack_timeout_ms < VGI_ACK_TIMEOUT_MIN_MS || o->ack_timeout_ms > 60000 ||
        o->response_ms < 1 || o->handshake_ms < 1 || o->backoff_min_ms < 1 ||
        o->backoff_max_ms < o->backoff_min_ms || o->park_ms < 1) {
        return vg_fail(err, VG_E_RANGE, "an uplink time or rate is out of range");
    }
    return VG_OK;
}
