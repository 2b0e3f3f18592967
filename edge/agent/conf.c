/* The agent's configuration: one table, and what belongs together. */
#include "conf.h"

#include "provision.h"

#include "vigia/buffer.h"
#include "vigia/file.h"

#define S      struct vgi_edge_conf
#define DAY_MS (24LL * 3600 * 1000)

#define DEVICE_ITEM(fallback)                                                                      \
    VG_CONF_STRING(S, device, "device", "name", fallback,                                          \
                   "The device's name: its DTLS identity, and what its readings stand under.")
#define COLLECTORS_ITEM(fallback)                                                                  \
    VG_CONF_STRING(S, collectors, "uplink", "collectors", fallback,                                \
                   "Collectors as host:port, separated by commas, in the order in which they are " \
                   "tried; the port is 5684 where none is written.")
#define PSK_ITEM(fallback)                                                                         \
    VG_CONF_STRING(S, psk, "uplink", "psk", fallback,                                              \
                   "The device's pre-shared key, 32 to 64 hexadecimal digits.", .secret = true)

static const struct vg_conf_item items[] = {
    DEVICE_ITEM(""),
    VG_CONF_PATH(S, provisioning, "device", "provisioning", "",
                 "A file made by vigia device add, mode 0600, with [device] name, [uplink] "
                 "collectors and [uplink] psk; what stands here as well has to be left out there."),
    VG_CONF_PATH(S, boot_file, "device", "boot_file", "",
                 "A new provisioning file, for example on the boot partition: at start it is "
                 "checked, moved to "
                 "device.provisioning, and its key wiped here."),
    VG_CONF_DURATION(S, alive_ms, "device", "alive", "60s", 1000, DAY_MS,
                     "How often the device tells that it lives."),
    VG_CONF_ENUM(
        S, clock, "device", "clock", "auto", "auto|trusted|unsynced",
        "auto: the kernel knows whether the clock is synchronised. trusted: it is (where a host "
        "keeps time for a container). unsynced: it is not, and times are sent as ages."),
    COLLECTORS_ITEM(""),
    PSK_ITEM(""),
    VG_CONF_PATH(S, psk_file, "uplink", "psk_file", "",
                 "A file of mode 0600 with the key in hexadecimal digits, instead of psk."),
    VG_CONF_INT(S, batch, "uplink", "batch", "64", 1, VG_UPLINK_BATCH_MAX, "readings",
                "Most readings in one request; a body of 1,152 bytes is the other limit."),
    VG_CONF_INT(
        S, rate, "uplink", "rate", "500", 0, 1000000, "readings/s",
        "Routine readings are sent at most this fast, a backlog too; 0: as fast as they are "
        "answered. Urgent readings do not wait."),
    VG_CONF_DURATION(S, ack_timeout_ms, "uplink", "ack_timeout", "1s", 1000, 60000,
                     "First retransmission after this long, the next ones after double (RFC 7252 "
                     "ACK_TIMEOUT). After two in vain the session is dead."),
    VG_CONF_DURATION(S, response_ms, "uplink", "response_timeout", "20s", 100, 600000,
                     "How long an acknowledged request may wait for its answer."),
    VG_CONF_DURATION(S, handshake_ms, "uplink", "handshake_timeout", "10s", 100, 600000,
                     "Longest DTLS handshake, the look-up of the collector's name included."),
    VG_CONF_DURATION(S, backoff_min_ms, "uplink", "backoff_min", "1s", 10, 3600000,
                     "First wait after every collector has failed, or after sessions were closed "
                     "again and again; it doubles each time, with jitter."),
    VG_CONF_DURATION(
        S, backoff_max_ms, "uplink", "backoff_max", "60s", 10, DAY_MS,
        "Longest wait after every collector has failed. An urgent reading ends it sooner: 5s to "
        "10s after the last try at first, 15s to 30s after it in a long outage. A session that "
        "worked and was closed by its collector begins again at once, but only once in five times "
        "backoff_max; closed sooner again, the next one waits, 30s at most, and an urgent reading "
        "ends that wait, at most once in 5s."),
    VG_CONF_DURATION(
        S, park_ms, "uplink", "park", "1h", 1000, DAY_MS,
        "Readings of a sensor that the device may not speak for are tried again this often."),
    VG_CONF_BOOL(S, cid, "uplink", "connection_id", "true",
                 "Asks for a DTLS Connection ID (RFC 9146), which survives a change of address."),
    VG_CONF_PATH(S, buffer_path, "buffer", "path", "/var/lib/vigia/edge.db",
                 "The buffer's file; its folder exists."),
    VG_CONF_SIZE(S, max_bytes, "buffer", "max_bytes", "64M", VG_BUFFER_BYTES_MIN, 1LL << 40,
                 "Largest size of the buffer; above it the oldest routine readings go first."),
    VG_CONF_DURATION(S, max_age_ms, "buffer", "max_age", "30d", 1000, INT64_MAX,
                     "Unsent readings older than this are given up."),
    VG_CONF_DURATION(S, group_ms, "buffer", "group", "1s", 1, 5000,
                     "Routine readings are written together after at most this long."),
    VG_CONF_SIZE(S, urgent_ring, "buffer", "urgent_ring", "128k", 4096, 1LL << 26,
                 "Memory for urgent readings that wait for the card."),
    VG_CONF_SIZE(S, routine_ring, "buffer", "routine_ring", "256k", 4096, 1LL << 26,
                 "Memory for routine readings that wait for the card."),
    VG_CONF_STRING(S, metrics_listen, "metrics", "listen", "",
                   "Address and port, such as 127.0.0.1:9472, that serves /metrics, /healthz and "
                   "/readyz. Empty: none."),
};

#undef S
#define S struct vgi_source_conf
static const struct vg_conf_item source_items[] = {
    VG_CONF_ENUM(S, kind, "source", "kind", "sim", "sim", "What kind of source this is."),
    VG_CONF_PATH(S, scenario, "source", "scenario", "", "sim: the scenario file that is played."),
    VG_CONF_PATH(S, ledger, "source", "ledger", "",
                 "sim: a file that gets one JSON line per sample, for a checker. Empty: none."),
    VG_CONF_INT(
        S, start_ms, "source", "start_ms", "0", 0, VG_TIME_MS_MAX, "ms since 1970",
        "sim: when the story began, so that it goes on where it stood after a restart. 0: now."),
};
#undef S
#define S struct vgi_edge_conf

static const struct vg_conf_each sources = {
    .section = "source",
    .items = source_items,
    .item_count = sizeof source_items / sizeof source_items[0],
    .array_offset = offsetof(S, sources),
    .element_size = sizeof(struct vgi_source_conf),
    .count_offset = offsetof(S, source_count),
    .max = VGI_SOURCES_MAX,
    .name_offset = offsetof(struct vgi_source_conf, name),
    .name_size = sizeof(((struct vgi_source_conf *)0)->name),
    .help = "One block for each source of readings.",
};

const struct vg_conf_table vgi_edge_table = {
    .program = "vigia-edge",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .each = &sources,
    .each_count = 1,
    .object_size = sizeof(S),
};

static enum vg_err read_key_file(S *conf, struct vg_error *err)
{
    if (conf->psk[0] != '\0') {
        return vg_fail(err, VG_E_INVALID,
                       "uplink.psk_file: uplink.psk is set too, accepted is one of them");
    }
    char text[sizeof conf->psk + 2];
    size_t len;
    enum vg_err e = vg_secret_file_read(conf->psk_file, text, sizeof text, &len, err);
    if (e != VG_OK) {
        return vg_err_blame(err, e, "uplink.psk_file");
    }
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        len--;
    }
    bool fits = vg_span_copy(vg_span(text, len), conf->psk, sizeof conf->psk);
    explicit_bzero(text, sizeof text);
    return fits ? VG_OK
                : vg_fail(err, VG_E_RANGE,
                          "uplink.psk_file: %s: accepted: 32 to 64 hexadecimal digits",
                          conf->psk_file);
}

static enum vg_err check_key(S *conf, struct vg_error *err)
{
    size_t digits = strlen(conf->psk);
    struct vg_uplink_options *o = &conf->uplink;
    o->psk_len = digits / 2;
    if (digits == 0) {
        return vg_fail(
            err, VG_E_NOTFOUND,
            "uplink.psk: no key, accepted is one of device.provisioning, uplink.psk_file "
            "and uplink.psk");
    }
    if (digits % 2 != 0 || o->psk_len < VG_UPLINK_PSK_MIN || o->psk_len > VG_UPLINK_PSK_MAX ||
        !vg_unhex(vg_span(conf->psk, digits), o->psk, o->psk_len)) {
        bool filed = conf->psk_file[0] != '\0';
        return vg_fail(err, VG_E_INVALID,
                       "%s%s%s%s: %zu characters found, accepted: 32 to 64 hexadecimal digits",
                       conf->places.psk, filed ? "uplink.psk_file" : "uplink.psk",
                       filed ? ": " : "", conf->psk_file, digits);
    }
    explicit_bzero(conf->psk, sizeof conf->psk);
    return VG_OK;
}

static enum vg_err check_sources(const S *conf, struct vg_error *err)
{
    if (conf->source_count == 0) {
        return vg_fail(err, VG_E_NOTFOUND,
                       "[source]: none, accepted: at least one block [source NAME]");
    }
    for (size_t i = 0; i < conf->source_count; i++) {
        if (conf->sources[i].scenario[0] == '\0') {
            return vg_fail(err, VG_E_NOTFOUND,
                           "source %s.scenario: missing, accepted: the path of a scenario",
                           conf->sources[i].name);
        }
    }
    return VG_OK;
}

enum vg_err vgi_edge_conf_check(void *object, struct vg_error *err)
{
    S *conf = object;
    enum vg_err e = VG_OK;
    if (conf->provisioning[0] != '\0') {
        e = vgi_provision_read(conf, err);
    } else if (conf->boot_file[0] != '\0') {
        e = vg_fail(err, VG_E_INVALID,
                    "device.boot_file: set without device.provisioning, where it is moved to");
    }
    if (e == VG_OK && conf->psk_file[0] != '\0') {
        e = read_key_file(conf, err);
    }
    if (e != VG_OK) {
        return e;
    }
    if (!vg_sensor_id_valid(vg_span_str(conf->device))) {
        return vg_fail(err, conf->device[0] == '\0' ? VG_E_NOTFOUND : VG_E_INVALID,
                       "%sdevice.name: '%s', accepted: 1 to %d letters, digits and - : . / _, "
                       "beginning with a letter or digit",
                       conf->places.device, conf->device, VG_DEVICE_NAME_MAX);
    }
    if (conf->backoff_max_ms < conf->backoff_min_ms) {
        return vg_fail(
            err, VG_E_RANGE,
            "uplink.backoff_max: %lld ms, accepted: at least uplink.backoff_min, %lld ms",
            (long long)conf->backoff_max_ms, (long long)conf->backoff_min_ms);
    }
    struct vg_uplink_options *o = &conf->uplink;
    vg_uplink_options_init(o);
    e = check_key(conf, err);
    if (e == VG_OK && conf->collectors[0] == '\0') {
        e = vg_fail(err, VG_E_NOTFOUND, "uplink.collectors: missing, accepted: host:port, …");
    }
    struct vg_error why;
    if (e == VG_OK &&
        vg_endpoint_list_parse(conf->collectors, VG_COAPS_PORT, o->collectors,
                               VG_UPLINK_COLLECTORS_MAX, &o->collector_count, &why) != VG_OK) {
        e = vg_fail(err, VG_E_INVALID, "%suplink.collectors: %.220s", conf->places.collectors,
                    why.text);
    }
    if (e != VG_OK) {
        return e;
    }
    bool fits = vg_str_copy(conf->device, o->identity, sizeof o->identity);
    o->batch_rows = (size_t)conf->batch;
    o->rate = conf->rate;
    o->ack_timeout_ms = conf->ack_timeout_ms;
    o->response_ms = conf->response_ms;
    o->handshake_ms = conf->handshake_ms;
    o->backoff_min_ms = conf->backoff_min_ms;
    o->backoff_max_ms = conf->backoff_max_ms;
    o->park_ms = conf->park_ms;
    o->cid = conf->cid;
    return fits ? check_sources(conf, err) : vg_fail(err, VG_E_RANGE, "device.name: too long");
}
