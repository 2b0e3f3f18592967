/* The one table of vigia-collector's configuration. */
#include "conf.h"

#include "vigia/registry.h"

#define S struct vgi_conf

static const struct vg_conf_item items[] = {
    VG_DLOG_CONF_ITEMS(S, log),
    VG_KEYS_CONF_ITEMS(S, keys),
    VG_CONF_STRING(S, instance, "collector", "instance", "collector-1",
                   "Name of this collector in its heartbeats; each running collector has its own."),
    VG_CONF_STRING(S, listen, "collector", "listen", "0.0.0.0:5684",
                   "UDP address and port for CoAP over DTLS; IPv6 in brackets."),
    VG_CONF_DURATION(S, heartbeat_ms, "collector", "heartbeat", "10s", 100, 60000,
                     "A heartbeat goes to every partition of readings this often."),
    VG_CONF_DURATION(
        S, hold_ack_ms, "collector", "hold_ack", "50ms", 0, 500,
        "An answer that is ready this soon rides on the acknowledgement; a later one is "
        "sent by itself. 0: always by itself."),
    VG_CONF_DURATION(S, idle_timeout_ms, "collector", "idle_timeout", "24h", 10000,
                     30LL * 24 * 3600 * 1000,
                     "A session without a message for this long is ended."),
    VG_CONF_INT(S, max_devices, "collector", "max_devices", "20000", 1, 1000000, "devices",
                "Devices that are held in memory; further ones stay unknown."),
    VG_CONF_INT(S, max_sessions, "collector", "max_sessions", "20000", 1, 1000000, "sessions",
                "Open DTLS sessions; one more ends the one that has been silent longest. A device "
                "has at most two."),
    VG_CONF_INT(S, max_handshakes, "collector", "max_handshakes", "500", 1, 100000, "handshakes",
                "Handshakes under way; further ones are not answered until one ends."),
    VG_CONF_INT(S, max_pending, "collector", "max_pending", "2048", 1, 100000, "requests",
                "Requests waiting for the log; one more is answered 5.03. An eighth is kept for "
                "urgent readings and OKs."),
    VG_CONF_INT(S, max_batch, "collector", "max_batch", "128", 1, VG_BATCH_READINGS_MAX, "readings",
                "Readings of one request; a larger batch is answered 4.13."),
    VG_CONF_INT(S, request_rate, "collector", "request_rate", "50", 1, 100000, "requests/s",
                "Requests of one device; above it they are answered 4.29."),
    VG_CONF_INT(S, request_burst, "collector", "request_burst", "100", 1, 100000, "requests",
                "Requests that a device may send at once before request_rate holds."),
    VG_CONF_INT(S, rejected_rate, "collector", "rejected_rate", "5", 0, 1000, "records/s",
                "Refused payloads that are written to the topic rejected; further ones are only "
                "counted."),
    VG_CONF_DURATION(S, retry_after_ms, "collector", "retry_after", "5s", 1000, 600000,
                     "Max-Age of a 5.03: a device tries again after this long."),
    VG_CONF_STRING(S, metrics_listen, "metrics", "listen", "127.0.0.1:9471",
                   "Address of /metrics, /healthz and /readyz; empty: none."),
};

const struct vg_conf_table vgi_conf_table = {
    .program = "vigia-collector",
    .items = items,
    .item_count = sizeof(items) / sizeof(items[0]),
    .object_size = sizeof(struct vgi_conf),
};

enum vg_err vgi_conf_check(void *object, struct vg_error *err)
{
    const struct vgi_conf *conf = object;
    struct vg_endpoint endpoint;

    if (vg_endpoint_parse(vg_span_str(conf->listen), VG_COAPS_PORT, &endpoint, err) != VG_OK) {
        struct vg_error inner = *err;
        return vg_fail(err, VG_E_INVALID, "collector.listen: %s", inner.text);
    }
    if (!vg_sensor_id_valid(vg_span_str(conf->instance))) {
        return vg_fail(err, VG_E_INVALID,
                       "collector.instance: '%s', accepted: 1 to %d letters, digits and - . _ : / "
                       "(a letter or digit first)",
                       conf->instance, VG_INSTANCE_MAX);
    }
    return VG_OK;
}
