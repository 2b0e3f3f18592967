#include "fleet.h"

#define S struct vgi_fleet_conf

static const struct vg_conf_item items[] = {
    VG_CONF_STRING(S, collectors, "fleet", "collectors", NULL,
                   "Collectors as host:port, separated by commas, as for the agent."),
    VG_CONF_PATH(S, credentials, "fleet", "credentials", NULL,
                 "A file of mode 0600 with one device a line: its name, a blank, its key in "
                 "hexadecimal digits."),
    VG_CONF_INT(S, devices, "fleet", "devices", "0", 0, VGI_FLEET_DEVICES_MAX, "devices",
                "How many of the file's devices take part; 0: all."),
    VG_CONF_INT(S, rate, "fleet", "rate", "100", 1, 10000000, "readings/s",
                "Of all devices together."),
    VG_CONF_INT(S, batch, "fleet", "batch", "1", 1, VG_UPLINK_BATCH_MAX, "readings",
                "Readings that fall due together and travel in one datagram."),
    VG_CONF_INT(S, lanes, "fleet", "lanes", "1", 1, 2, "lanes",
                "1: readings travel in the lane that they belong to. 2: in both lanes by turns, so "
                "that each device may have two requests under way."),
    VG_CONF_INT(S, sensors, "fleet", "sensors", "4", 1, 1000, "sensors",
                "Sensors of each device, named DEVICE.0, DEVICE.1 and so on."),
    VG_CONF_DURATION(S, duration_ms, "fleet", "duration", "10s", 100, 30LL * 24 * 3600 * 1000,
                     "How long readings fall due, counted from when every device has a session."),
    VG_CONF_DURATION(S, grace_ms, "fleet", "grace", "30s", 0, 3600000,
                     "How long sessions at the beginning, and answers at the end, are waited for."),
    VG_CONF_INT(S, ramp, "fleet", "ramp", "200", 1, 100000, "handshakes/s",
                "Handshakes begun per second."),
    VG_CONF_BOOL(
        S, active, "fleet", "active", "false",
        "Every reading tells of smoke, in the urgent lane; otherwise they are normal and routine."),
    VG_CONF_BOOL(S, cid, "fleet", "connection_id", "true", "Asks for a DTLS Connection ID."),
    VG_CONF_STRING(S, metrics_listen, "metrics", "listen", "",
                   "Address and port that serves /metrics, /healthz and /readyz. Empty: none."),
};

const struct vg_conf_table vgi_fleet_table = {
    .program = "vigia-fleet",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .object_size = sizeof(S),
};

enum vg_err vgi_fleet_check(void *object, struct vg_error *err)
{
    const S *conf = object;
    struct vg_endpoint list[VG_UPLINK_COLLECTORS_MAX];
    size_t count;
    struct vg_error why;
    if (vg_endpoint_list_parse(conf->collectors, VG_COAPS_PORT, list, VG_UPLINK_COLLECTORS_MAX,
                               &count, &why) != VG_OK) {
        return vg_fail(err, VG_E_INVALID, "fleet.collectors: %.220s", why.text);
    }
    return VG_OK;
}
