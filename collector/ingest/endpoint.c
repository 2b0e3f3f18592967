/* The CoAP side: resources, what a request is, repeated messages, the port. */
#include "inside.h"

#include "vigia/fault.h"
#include "vigia/log.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <unistd.h>

#define QUERIES_MAX 8
/* libcoap refuses what is longer than a session's MTU, and its default is 1,152 with all headers in
 * it. The largest body with options and DTLS record is below this, and this is below what passes
 * everywhere that Ethernet does. */
#define DATAGRAM_MAX 1400
static_assert(VG_BODY_MAX + 200 <= DATAGRAM_MAX, "a request with the largest body fits a datagram");

/* libcoap opens a socket that it cannot read or answer from, and tells nobody but this line: the
 * first error since it was made empty. */
static char trouble[160];

static void on_libcoap_line(coap_log_t level, const char *message)
{
    size_t len = strcspn(message, "\n");
    char line[sizeof(trouble)];

    /* Most of what libcoap warns of is somebody's bad datagram; our own events and counters tell
     * it. */
    if (vg_span_copy(vg_span(message, len < sizeof(line) ? len : sizeof(line) - 1), line,
                     sizeof(line))) {
        vg_log_write(level <= COAP_LOG_CRIT ? VG_LOG_ERROR : VG_LOG_DEBUG, "coap", "text=%s",
                     VG_Q(line));
        if (level <= COAP_LOG_ERR && trouble[0] == '\0') {
            (void)vg_str_copy(line, trouble, sizeof(trouble));
        }
    }
}

/* ---- requests ---- */

/* Answers a request from inside its handler. */
static void answer_now(struct vgi_collector *c, coap_pdu_t *response, enum vg_coap code,
                       int64_t max_age_ms)
{
    struct vgi_verdict verdict = {.code = code, .reason = ""};
    vgi_answer_fill(c, response, &verdict, max_age_ms);
}

/* Nothing is sent now: libcoap drops an empty answer that is no acknowledgement. */
static void answer_later(coap_pdu_t *response)
{
    coap_pdu_set_type(response, COAP_MESSAGE_NON);
    coap_pdu_set_code(response, COAP_EMPTY_CODE);
}

static bool is_blockwise(const coap_pdu_t *request)
{
    coap_opt_iterator_t it;
    const coap_opt_t *option = coap_check_option(request, COAP_OPTION_BLOCK1, &it);
    unsigned value =
        option == NULL ? 0 : coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option));

    return (value & 8) != 0 ||
           (value >> 4) != 0; /* more to come, or not the first (RFC 7959 §2.2) */
}

static size_t collect_queries(const coap_pdu_t *request, struct vg_span queries[QUERIES_MAX])
{
    coap_opt_iterator_t it;
    const coap_opt_t *option = NULL;
    size_t count = 0;

    coap_option_iterator_init(request, &it, COAP_OPT_ALL);
    while (count < QUERIES_MAX && (option = coap_option_next(&it)) != NULL) {
        if (it.number == COAP_OPTION_URI_QUERY) {
            queries[count++] = vg_span(coap_opt_value(option), coap_opt_length(option));
        }
    }
    return count;
}

static void read_request(struct vgi_collector *c, const coap_pdu_t *pdu, enum vgi_resource resource,
                         const char *device, struct vg_span queries[QUERIES_MAX],
                         struct vgi_request *out)
{
    coap_opt_iterator_t it;
    const coap_opt_t *format = coap_check_option(pdu, COAP_OPTION_CONTENT_FORMAT, &it);
    const uint8_t *data = NULL;
    size_t len = 0;

    *out = (struct vgi_request){.resource = resource,
                                .device = vg_devices_find(c->devices, vg_span_str(device)),
                                .now = vg_now_wall(c->clock),
                                .max_batch = (size_t)c->conf->max_batch};
    if (format != NULL) {
        out->has_format = true;
        out->format = coap_decode_var_bytes(coap_opt_value(format), coap_opt_length(format));
    }
    out->blockwise = is_blockwise(pdu);
    if (coap_get_data(pdu, &len, &data) == 1) {
        out->body = vg_span(data, len);
    } else {
        out->body = vg_span("", 0);
    }
    out->query_count = collect_queries(pdu, queries);
    out->queries = queries;
}

/* The request waits for the log; its answer rides on the acknowledgement or follows. */
static void wait_for_log(struct vgi_collector *c, struct vgi_session *s, const coap_pdu_t *pdu,
                         coap_pdu_t *response)
{
    coap_bin_const_t token = coap_pdu_get_token(pdu);
    struct vgi_pending *p = NULL;

    if (s->exchanges.waiting_count < VGI_SESSION_PENDING_MAX) {
        p = VG_FAULT(COLLECTOR_PENDING) ? NULL : vgi_pool_take(&c->pool, c->verdict.urgent);
    }
    if (p == NULL) {
        vgi_count(c->verdict.urgent ? VGI_M_PENDING_FULL_URGENT : VGI_M_PENDING_FULL_ROUTINE);
        vg_log_warn(c->verdict.urgent ? "urgent-pending-full" : "pending-full",
                    "device=%s pending=%zu max_pending=%zu kept=%zu", s->peer->name, c->pool.used,
                    c->pool.max, c->pool.kept);
        answer_now(c, response, VG_COAP_UNAVAILABLE, c->conf->retry_after_ms);
        return;
    }
    p->confirmable = coap_pdu_get_type(pdu) == COAP_MESSAGE_CON;
    p->mid = (uint16_t)coap_pdu_get_mid(pdu);
    p->token_len = (uint8_t)token.length;
    memcpy(p->token, token.s, token.length);
    p->since = vg_now_mono(c->clock);
    p->ack_by = vg_mono_add_ms(p->since, c->conf->hold_ack_ms);
    if (!vgi_intake_store(c, p, c->batch)) {
        vgi_pool_give(&c->pool, p);
        answer_now(c, response, VG_COAP_UNAVAILABLE, c->conf->retry_after_ms);
        return;
    }
    (void)VG_FAULT(COLLECTOR_SUBMITTED);
    p->session = s;
    coap_session_reference(s->coap);
    vgi_exchange_add(&s->exchanges, p);
    vgi_gauge(VGI_M_PENDING, (int64_t)c->pool.used);
    if (p->confirmable && c->conf->hold_ack_ms > 0) {
        vgi_pool_hold(&c->pool, p);
        vgi_answer_held(c);
        answer_later(response);
    } else if (p->confirmable) {
        vgi_count(VGI_M_EARLY_ACKS); /* libcoap sends it from the empty response */
    }
}

/* A message that came before. True when that is all there is to it. */
static bool is_repeated(struct vgi_collector *c, struct vgi_session *s, const coap_pdu_t *pdu,
                        coap_pdu_t *response)
{
    uint16_t mid = (uint16_t)coap_pdu_get_mid(pdu);
    const struct vgi_pending *p = vgi_exchange_waiting(&s->exchanges, mid);

    if (p != NULL) {
        vgi_count(VGI_M_DUPLICATES);
        if (p->held) {
            answer_later(response);
        }
        return true; /* acknowledged before: the empty acknowledgement again */
    }
    if (vgi_exchange_was_stored(&s->exchanges, mid, vg_now_mono(c->clock))) {
        vgi_count(VGI_M_DUPLICATES);
        answer_now(c, response, VG_COAP_CHANGED, 0);
        return true;
    }
    return false;
}

static void handle(struct vgi_collector *c, coap_session_t *coap, const coap_pdu_t *pdu,
                   enum vgi_resource resource, coap_pdu_t *response)
{
    struct vgi_session *s = vgi_session_of(c, coap);
    struct vg_span queries[QUERIES_MAX];
    struct vgi_request request;

    (void)VG_FAULT(COLLECTOR_DATAGRAM);
    if (s == NULL || VG_FAULT(COLLECTOR_SESSION)) {
        answer_now(c, response, VG_COAP_UNAUTHORIZED, 0);
        return;
    }
    if (is_repeated(c, s, pdu, response)) {
        return;
    }
    if (c->draining) {
        answer_now(c, response, VG_COAP_UNAVAILABLE, c->conf->retry_after_ms);
        return;
    }
    int64_t wait_ms = vgi_bucket_take(&s->peer->bucket, vg_now_mono(c->clock));
    if (wait_ms > 0) {
        vg_log_warn("too-fast", "device=%s request_rate=%lld", s->peer->name,
                    (long long)c->conf->request_rate);
        answer_now(c, response, VG_COAP_TOO_MANY, wait_ms);
        return;
    }
    read_request(c, pdu, resource, s->peer->name, queries, &request);
    vgi_check(&request, c->batch, &c->verdict);
    if (c->verdict.code != VG_COAP_CHANGED) {
        char text[VG_COAP_TEXT_MAX];
        vg_log_warn("request-refused", "device=%s code=%s reason=%s bytes=%zu", s->peer->name,
                    vg_coap_text(c->verdict.code, text), c->verdict.reason, request.body.len);
        vgi_intake_reject(c, &request, &c->verdict);
        vgi_answer_fill(c, response, &c->verdict, 0);
        return;
    }
    wait_for_log(c, s, pdu, response);
}

static void on_readings(coap_resource_t *resource, coap_session_t *session,
                        const coap_pdu_t *request, const coap_string_t *query, coap_pdu_t *response)
{
    (void)query;
    handle(coap_resource_get_userdata(resource), session, request, VGI_READINGS, response);
}

static void on_ok(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                  const coap_string_t *query, coap_pdu_t *response)
{
    (void)query;
    handle(coap_resource_get_userdata(resource), session, request, VGI_OK, response);
}

/* ---- context and port ---- */

static bool add_resource(struct vgi_collector *c, const char *path, coap_method_handler_t handler)
{
    coap_resource_t *resource = coap_resource_init(coap_make_str_const(path), 0);

    /* Without memory for the path libcoap hands out a resource that it cannot add. */
    if (resource == NULL || coap_resource_get_uri_path(resource) == NULL) {
        return false;
    }
    coap_resource_set_userdata(resource, c);
    coap_register_request_handler(resource, COAP_REQUEST_POST, handler);
    coap_add_resource(c->coap, resource);
    return true;
}

enum vg_err vgi_endpoint_new(struct vgi_collector *c, struct vg_error *err)
{
    coap_startup();
    const coap_tls_version_t *tls = coap_get_tls_library_version();
    if (tls->type != COAP_TLS_LIBRARY_MBEDTLS || tls->version < VG_FLOOR_MBEDTLS) {
        return vg_fail(err, VG_E_VERSION, "Mbed TLS 0x%08llx; accepted: 0x%08x or later",
                       (unsigned long long)tls->version, VG_FLOOR_MBEDTLS);
    }
    if (vg_need_version("libcoap", coap_package_version(), VG_FLOOR_LIBCOAP, err) != VG_OK) {
        return VG_E_VERSION;
    }
    coap_set_log_handler(on_libcoap_line);
    coap_set_log_level(COAP_LOG_WARN);
    coap_dtls_set_log_level(COAP_LOG_WARN);
    c->coap = coap_new_context(NULL);
    if (c->coap == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for CoAP");
    }
    vgi_sessions_setup(c);
    enum vg_err rc = vgi_sessions_psk(c, err);
    if (rc == VG_OK && (!add_resource(c, VG_PATH_VERSION "/" VG_PATH_READINGS, on_readings) ||
                        !add_resource(c, VG_PATH_VERSION "/" VG_PATH_OK, on_ok))) {
        rc = vg_fail(err, VG_E_NOMEM, "no memory for CoAP resources");
    }
    return rc;
}

static enum vg_err resolve(const struct vgi_collector *c, struct addrinfo **out,
                           struct vg_error *err)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct vg_endpoint at;
    char port[8];

    enum vg_err rc = vg_endpoint_parse(vg_span_str(c->conf->listen), VG_COAPS_PORT, &at, err);
    if (rc != VG_OK) {
        (void)vg_err_blame(err, rc, "collector.listen");
        return rc;
    }
    (void)snprintf(port, sizeof(port), "%u", at.port);
    int code = getaddrinfo(at.host, port, &hints, out);
    if (code != 0) {
        bool lacks = code == EAI_MEMORY || code == EAI_AGAIN || code == EAI_SYSTEM;
        return vg_fail(err, lacks ? VG_E_IO : VG_E_INVALID,
                       "collector.listen: %s: %s; accepted: an address of this machine",
                       c->conf->listen, gai_strerror(code));
    }
    return VG_OK;
}

/* libcoap sets SO_REUSEADDR, with which two servers share a UDP port without an error: a socket
 * without it tells. */
static enum vg_err probe(const struct vgi_collector *c, const struct addrinfo *at,
                         struct vg_error *err)
{
    int fd = socket(at->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int failed = fd < 0 || bind(fd, at->ai_addr, at->ai_addrlen) != 0 ? errno : 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    if (failed != 0) {
        return vg_fail(err, vg_err_of_errno(failed),
                       "collector.listen: %s: %s; accepted: an address of this machine and a free "
                       "UDP port",
                       c->conf->listen, strerror(failed));
    }
    return VG_OK;
}

enum vg_err vgi_endpoint_probe(const struct vgi_collector *c, struct vg_error *err)
{
    struct addrinfo *at = NULL;
    enum vg_err rc = resolve(c, &at, err);

    if (rc == VG_OK) {
        rc = probe(c, at, err);
        freeaddrinfo(at);
    }
    return rc;
}

enum vg_err vgi_endpoint_open(struct vgi_collector *c, struct vg_error *err)
{
    struct addrinfo *at = NULL;
    coap_address_t address;
    enum vg_err rc = resolve(c, &at, err);

    if (rc != VG_OK) {
        return rc;
    }
    rc = probe(c, at, err);
    if (rc == VG_OK) {
        coap_address_init(&address);
        address.size = at->ai_addrlen;
        memcpy(&address.addr, at->ai_addr, at->ai_addrlen);
        trouble[0] = '\0';
        coap_endpoint_t *endpoint = coap_new_endpoint(c->coap, &address, COAP_PROTO_DTLS);
        if (endpoint != NULL && trouble[0] != '\0') {
            rc = vg_fail(err, VG_E_IO, "collector.listen: %s: its socket cannot be set up: %s",
                         c->conf->listen, trouble);
        } else if (endpoint != NULL) {
            coap_endpoint_set_default_mtu(endpoint, DATAGRAM_MAX);
        } else {
            rc = vg_fail(err, VG_E_IO, "collector.listen: %s: cannot be opened: %s",
                         c->conf->listen, strerror(errno));
        }
    }
    freeaddrinfo(at);
    c->open = rc == VG_OK;
    return rc;
}

void vgi_endpoint_turn(struct vgi_collector *c)
{
    (void)coap_io_process(c->coap, COAP_IO_NO_WAIT);
    vgi_sessions_admit(c);
    vgi_sessions_end_doomed(c);
}

void vgi_endpoint_free(struct vgi_collector *c)
{
    if (c->coap != NULL) {
        coap_free_context(c->coap); /* tells every session good-bye */
        c->coap = NULL;
    }
    coap_cleanup();
}
