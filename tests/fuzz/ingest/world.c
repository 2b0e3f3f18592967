/* A collector without its program. */
#include "world.h"

#include "vigia/log.h"
#include "vigia/record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define DURABLE_MAX 4096 /* datagrams of one input whose fate is kept */

static struct world *current;
static struct vgi_conf conf;
static struct vg_keys *keys;
static const uint8_t psk[VG_PSK_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static uint8_t fates[DURABLE_MAX]; /* per datagram: 1 durable, 2 failed or waiting */

void world_require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "property broken: %s\n", what);
        abort();
    }
}

/* ---- the log ---- */

static void hold_reading(struct vg_span key, struct vg_span value)
{
    static struct vg_reading reading;
    static struct vg_heartbeat beat;
    enum vg_record_kind kind;
    struct vg_error err;

    world_require(current->may_append, "a reading was stored for nobody");
    world_require(vg_record_decode(value, &kind, &reading, &beat, &err) == VG_OK &&
                      kind == VG_RECORD_READING,
                  "a stored reading follows the schema");
    world_require(vg_span_eq(key, vg_span_str(reading.sensor)), "the key is the sensor");
    world_require(strcmp(reading.device, WORLD_DEVICE) == 0, "the device is the session's");
    world_require(reading.event == VG_EVENT_NONE ? strcmp(reading.sensor, "42959") == 0 ||
                                                       strncmp(reading.sensor, "hall-", 5) == 0 ||
                                                       strcmp(reading.sensor, WORLD_DEVICE) == 0
                                                 : strcmp(reading.sensor, WORLD_DEVICE) == 0,
                  "the device may speak for the sensor");
    world_require(reading.received_ms == current->clock.wall.ms, "received now");
}

static enum vg_err wait_for_verdict(struct world *w, bool reading, vg_dlog_verdict_fn *fn,
                                    void *arg)
{
    w->waiting[w->waiting_count].fn = fn;
    w->waiting[w->waiting_count].arg = arg;
    w->waiting[w->waiting_count].request = w->request;
    w->waiting[w->waiting_count++].reading = reading;
    return VG_OK;
}

static void hold_bounds(struct vg_span key, struct vg_span value)
{
    world_require(key.len > 0 && key.len <= VG_DLOG_KEY_MAX && value.at != NULL &&
                      value.len <= VG_DLOG_VALUE_MAX,
                  "the log's own bounds are kept");
}

static enum vg_err take_rejected(struct world *w, const struct vg_dlog_entry *entries, size_t count,
                                 enum vg_dlog_room room, vg_dlog_verdict_fn *fn, void *arg)
{
    world_require(count == 1 && room == VG_DLOG_ROUTINE, "refused payloads come singly");
    hold_bounds(entries[0].key, entries[0].value);
    if (w->waiting_count + WORLD_KEPT >= w->queue_room) {
        return VG_E_FULL;
    }
    w->rejected++;
    return wait_for_verdict(w, false, fn, arg);
}

enum vg_err vg_dlog_append_group(struct vg_dlog_appender *a, enum vg_topic t,
                                 enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                                 size_t count, vg_dlog_verdict_fn *fn, void *arg)
{
    struct world *w = current;
    (void)a;
    if (t == VG_TOPIC_REJECTED) {
        return take_rejected(w, entries, count, room, fn, arg);
    }
    world_require(t == VG_TOPIC_READINGS && count >= 1 && count <= VG_DLOG_GROUP_MAX,
                  "groups are readings");
    for (size_t i = 0; i < count; i++) {
        hold_bounds(entries[i].key, entries[i].value);
        hold_reading(entries[i].key, entries[i].value);
    }
    if (w->waiting_count + (room == VG_DLOG_ROUTINE ? WORLD_KEPT : 0) >= w->queue_room) {
        return VG_E_FULL;
    }
    w->appended += count;
    fates[w->request % DURABLE_MAX] = 2;
    return wait_for_verdict(w, true, fn, arg);
}

enum vg_err vg_dlog_append_heartbeat(struct vg_dlog_appender *a, int32_t partition,
                                     struct vg_span key, struct vg_span value,
                                     vg_dlog_verdict_fn *fn, void *arg)
{
    (void)a, (void)partition, (void)key, (void)value, (void)fn, (void)arg;
    world_require(false, "no heartbeat is asked for");
    return VG_E_UNSUPPORTED;
}

size_t vg_dlog_appender_pending(const struct vg_dlog_appender *a)
{
    (void)a;
    return current->waiting_count;
}

bool vg_dlog_appender_holds(const struct vg_dlog_appender *a, const void *arg)
{
    (void)a;
    (void)arg;
    return false;
}

size_t world_verdicts(struct world *w, enum vg_err result)
{
    size_t count = w->waiting_count;

    for (size_t i = 0; i < count; i++) {
        struct vg_dlog_verdict verdict = {
            .result = result, .maybe_persisted = result != VG_OK, .offset = -1};
        if (w->waiting[i].reading) {
            w->durable += result == VG_OK;
            fates[w->waiting[i].request % DURABLE_MAX] = result == VG_OK ? 1 : 2;
        }
        w->waiting[i].fn(w->waiting[i].arg, &verdict);
    }
    w->waiting_count = 0;
    return count;
}

bool world_request_durable(const struct world *w, size_t request)
{
    return w->request - request < DURABLE_MAX && fates[request % DURABLE_MAX] == 1;
}

void vgi_collector_fail(struct vgi_collector *c, const char *msgid, const struct vg_error *err)
{
    (void)c;
    (void)err;
    world_require(false, msgid);
}

void vgi_collector_drained(struct vgi_collector *c)
{
    (void)c;
}

/* The view behind the table of devices: the world fills the table by itself. */
enum vg_err vg_dlog_view_open(struct vg_dlog *log, enum vg_topic t, vg_dlog_change_fn *fn,
                              void *arg, struct vg_dlog_view **out, struct vg_error *err)
{
    (void)log, (void)t, (void)fn, (void)arg, (void)out, (void)err;
    return VG_E_UNSUPPORTED;
}
enum vg_err vg_dlog_view_dispatch(struct vg_dlog_view *v, int timeout_ms, struct vg_error *err)
{
    (void)v, (void)timeout_ms, (void)err;
    return VG_E_UNSUPPORTED;
}
bool vg_dlog_view_caught_up(const struct vg_dlog_view *v)
{
    (void)v;
    return true;
}
int vg_dlog_view_fd(const struct vg_dlog_view *v)
{
    (void)v;
    return -1;
}
void vg_dlog_view_close(struct vg_dlog_view *v)
{
    (void)v;
}

/* ---- the world ---- */

void world_once(void)
{
    char folder[] = "/tmp/vigia-fuzz-XXXXXX";
    struct vg_error err = {0};

    if (keys != NULL) {
        return;
    }
    vg_log_init("fuzz", VG_LOG_ERROR, VG_LOG_LOGFMT);
    world_require(vgi_metrics_register() == VG_OK, "metrics");
    struct vg_conf_sources none = {.ignore_environment = true};
    world_require(vg_conf_load(&vgi_conf_table, &none, &conf, &err) == VG_OK, "configuration");
    conf.max_devices = 4;
    conf.max_sessions = 3;
    conf.max_handshakes = 4;
    conf.max_pending = 8;
    conf.log.queue_max = WORLD_RECORDS;
    world_require(mkdtemp(folder) != NULL, "a folder");
    (void)snprintf(conf.keys.kek_file, sizeof(conf.keys.kek_file), "%s/kek", folder);
    world_require(vg_keys_create_file(conf.keys.kek_file, &err) == VG_OK, "a key file");
    world_require(vg_keys_open(&conf.keys, &keys, &err) == VG_OK, "the key file");
    world_require(unlink(conf.keys.kek_file) == 0 && rmdir(folder) == 0, "tidying up");
}

const uint8_t *world_psk(void)
{
    return psk;
}

static void on_device_change(void *arg, const char *name, const struct vg_device *now)
{
    vgi_sessions_device_changed(arg, name, now);
}

/* The world looks at held answers when it moves time. */
static void on_timer(void *arg)
{
    (void)arg;
}

static void add_device(struct world *w, const char *name, enum vg_device_state state)
{
    static char json[VG_DEVICE_JSON_MAX];
    struct vg_device *d = vg_device_new();
    struct vg_error err;
    size_t len = 0;

    world_require(d != NULL && vg_str_copy(name, d->name, sizeof(d->name)), "a device");
    d->version = 1;
    d->state = state;
    world_require(vg_device_add_pattern(d, VG_SPAN("42959"), &err) == VG_OK &&
                      vg_device_add_pattern(d, VG_SPAN("hall-*"), &err) == VG_OK &&
                      vg_keys_seal(keys, name, 1, psk, &d->credential, &err) == VG_OK &&
                      vg_device_encode(d, json, sizeof(json), &len, &err) == VG_OK &&
                      vg_devices_apply(w->collector.devices, vg_span_str(name), vg_span(json, len),
                                       &err) == VG_OK,
                  "an entry");
    free(d);
}

static int bound_socket(const char *host, const char *port, char bound[8])
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    unsigned long long number = 0;

    world_require(vg_span_to_u64(vg_span_str(port), &number), "a port");
    at.sin_port = htons((uint16_t)number);
    world_require(fd >= 0 && inet_pton(AF_INET, host, &at.sin_addr) == 1 &&
                      bind(fd, (const struct sockaddr *)&at, len) == 0 &&
                      getsockname(fd, (struct sockaddr *)&at, &len) == 0,
                  "a socket");
    (void)snprintf(bound, 8, "%u", ntohs(at.sin_port));
    return fd;
}

static void connect_socket(int fd, const struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    unsigned long long number = 0;

    world_require(vg_span_to_u64(vg_span_str(w->port), &number), "a port");
    to.sin_port = htons((uint16_t)number);
    world_require(inet_pton(AF_INET, "127.0.0.2", &to.sin_addr) == 1 &&
                      connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0,
                  "a connected socket");
}

static void open_udp(struct vgi_collector *c)
{
    struct vg_endpoint at;
    struct vg_error err;
    coap_address_t address;

    coap_address_init(&address);
    world_require(vg_endpoint_parse(vg_span_str(conf.listen), 0, &at, &err) == VG_OK, "listen");
    address.size = sizeof(address.addr.sin);
    address.addr.sin.sin_family = AF_INET;
    address.addr.sin.sin_port = htons(at.port);
    world_require(inet_pton(AF_INET, at.host, &address.addr.sin.sin_addr) == 1, "listen");
    coap_endpoint_t *endpoint = coap_new_endpoint(c->coap, &address, COAP_PROTO_UDP);
    world_require(endpoint != NULL, "an endpoint");
    coap_endpoint_set_default_mtu(endpoint, 1400);
}

void world_open(struct world *w, coap_proto_t proto)
{
    struct vgi_collector *c = &w->collector;
    struct vg_error err = {0};

    memset(w, 0, sizeof(*w));
    memset(fates, 0, sizeof(fates));
    current = w;
    w->stranger = -1;
    w->may_append = true;
    w->queue_room = WORLD_RECORDS;
    vg_fake_clock_init(&w->clock, WORLD_NOW_MS);
    w->client = bound_socket("127.0.0.1", "0", w->port);
    connect_socket(w->client, w);
    (void)snprintf(conf.listen, sizeof(conf.listen), "127.0.0.2:%s", w->port);

    c->conf = &conf;
    c->clock = &w->clock.clock;
    c->log_good = true;
    c->keys = keys;
    c->batch = calloc(1, sizeof(*c->batch));
    c->values = malloc(VG_BATCH_READINGS_MAX * VG_RECORD_MAX);
    world_require(c->batch != NULL && c->values != NULL &&
                      vg_loop_new(c->clock, 1, 1, &c->loop) == VG_OK &&
                      vg_loop_timer(c->loop, on_timer, NULL, &c->timer_hold) == VG_OK,
                  "a loop");
    vgi_bucket_init(&c->rejected, 5, 5, vg_now_mono(c->clock));
    world_require(vgi_peers_new(4, conf.request_rate, conf.request_burst, &c->peers) == VG_OK &&
                      vgi_pool_init(&c->pool, (size_t)conf.max_pending, WORLD_KEPT, c) == VG_OK &&
                      vg_devices_new(4, on_device_change, c, &c->devices) == VG_OK,
                  "memory");
    add_device(w, WORLD_DEVICE, VG_DEVICE_ACTIVE);
    add_device(w, WORLD_REVOKED, VG_DEVICE_REVOKED);
    world_require(vgi_endpoint_new(c, &err) == VG_OK, "an endpoint");
    if (proto == COAP_PROTO_DTLS) {
        world_require(vgi_endpoint_open(c, &err) == VG_OK, err.text);
    } else {
        open_udp(c);
    }
}

void world_close(struct world *w)
{
    struct vgi_collector *c = &w->collector;

    (void)world_verdicts(w, VG_E_CLOSED);
    world_require(c->pool.used == 0, "no request is left behind");
    world_require(c->session_count <= (size_t)conf.max_sessions, "sessions are bounded");
    vgi_endpoint_free(c);
    world_require(c->session_count == 0 && c->candidates == NULL && c->doomed == NULL &&
                      c->lru_first == NULL,
                  "every session has been told good-bye");
    vg_devices_free(c->devices);
    vgi_pool_done(&c->pool);
    vgi_peers_free(c->peers);
    vg_loop_free(c->loop);
    free(c->batch);
    free(c->values);
    (void)close(w->client);
    if (w->stranger >= 0) {
        (void)close(w->stranger);
    }
    current = NULL;
}

static void send_from(struct world *w, int fd, const void *bytes, size_t len)
{
    w->request++;
    fates[w->request % DURABLE_MAX] = 0;
    (void)send(fd, bytes, len, 0); /* an empty or an unroutable one is no datagram to lose */
    vgi_endpoint_turn(&w->collector);
}

void world_send(struct world *w, const void *bytes, size_t len)
{
    send_from(w, w->client, bytes, len);
}

void world_send_from_stranger(struct world *w, const void *bytes, size_t len)
{
    if (w->stranger < 0) {
        char port[8];
        w->stranger = bound_socket("127.0.0.3", "0", port);
        connect_socket(w->stranger, w);
    }
    send_from(w, w->stranger, bytes, len);
}

size_t world_receive(struct world *w, uint8_t out[WORLD_ANSWER_MAX])
{
    ssize_t len = recv(w->client, out, WORLD_ANSWER_MAX, MSG_DONTWAIT);
    return len > 0 ? (size_t)len : 0;
}

void world_advance(struct world *w, int64_t ms)
{
    vg_fake_clock_advance_ms(&w->clock, ms);
    vgi_answer_held(&w->collector);
    vgi_endpoint_turn(&w->collector);
}

void world_revoke(struct world *w)
{
    struct vg_error err;
    world_require(vg_devices_apply(w->collector.devices, VG_SPAN(WORLD_DEVICE), vg_span(NULL, 0),
                                   &err) == VG_OK,
                  "a tombstone");
    vgi_sessions_end_doomed(&w->collector);
    w->may_append = false;
}

/* ---- input ---- */

uint8_t world_u8(struct world_input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

uint16_t world_u16(struct world_input *in)
{
    uint8_t high = world_u8(in);
    return (uint16_t)(high << 8 | world_u8(in));
}

struct vg_span world_bytes(struct world_input *in, size_t max)
{
    size_t len = world_u16(in);
    len = len < max ? len : max;
    len = len < in->left ? len : in->left;
    struct vg_span out = vg_span(in->at, len);
    in->at += len;
    in->left -= len;
    return out;
}
