#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <coap3/coap.h>
#include <unistd.h>

struct server {
    struct vg_loop *loop;
    coap_context_t *coap;
    vg_watch_id watch;
    uint16_t port;
    struct server_answer script[SERVER_NOTES];
    size_t script_count, script_next;
    struct server_request requests[SERVER_NOTES];
    size_t request_count;
    size_t sessions;
    struct server_answer late; /* of the one delayed request */
    struct vg_batch batch;
};

static void note(struct server *s, coap_session_t *session, const coap_pdu_t *request,
                 const coap_string_t *query)
{
    assert_true(s->request_count < SERVER_NOTES);
    struct server_request *r = &s->requests[s->request_count++];
    memset(r, 0, sizeof *r);
    if (query != NULL) {
        assert_true(vg_span_copy(vg_span(query->s, query->length), r->query, sizeof r->query));
    }
    const coap_bin_const_t *id = coap_session_get_psk_identity(session);
    assert_non_null(id);
    assert_true(vg_span_copy(vg_span(id->s, id->length), r->identity, sizeof r->identity));
    coap_opt_iterator_t it;
    const coap_opt_t *format = coap_check_option(request, COAP_OPTION_CONTENT_FORMAT, &it);
    assert_non_null(format);
    r->content_format = coap_decode_var_bytes(coap_opt_value(format), coap_opt_length(format));
    const uint8_t *data = NULL;
    size_t len = 0;
    assert_true(coap_get_data(request, &len, &data));
    enum vg_format known;
    assert_true(vg_format_known(r->content_format, &known));
    r->decoded =
        vg_batch_decode(known, vg_span(data, len), vg_now_wall(vg_clock_system()), &s->batch, NULL);
    r->readings = s->batch.count;
    r->first = s->batch.readings[0];
}

static void respond(const struct server_answer *a, coap_pdu_t *response)
{
    uint8_t bytes[4];
    coap_pdu_set_code(response, (coap_pdu_code_t)(a->code == 0 ? VG_COAP_CHANGED : a->code));
    if (a->refusal_count > 0) {
        coap_add_option(response, COAP_OPTION_CONTENT_FORMAT,
                        coap_encode_var_safe(bytes, sizeof bytes, VG_FORMAT_CBOR), bytes);
    }
    if (a->max_age >= 0) {
        coap_add_option(response, COAP_OPTION_MAXAGE,
                        coap_encode_var_safe(bytes, sizeof bytes, (unsigned)a->max_age), bytes);
    }
    if (a->refusal_count > 0) {
        char list[VG_REFUSALS_BYTES_MAX];
        size_t len;
        assert_int_equal(vg_refusals_encode(a->refusals, a->refusal_count, list, sizeof list, &len),
                         VG_OK);
        coap_add_data(response, len, (const uint8_t *)list);
    }
}

static void on_post(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                    const coap_string_t *query, coap_pdu_t *response)
{
    struct server *s = coap_resource_get_userdata(resource);
    coap_bin_const_t token = coap_pdu_get_token(request);
    if (coap_find_async(session, token) != NULL) {
        respond(&s->late, response);
        return;
    }
    note(s, session, request, query);
    struct server_answer a = {.max_age = -1};
    if (s->script_next < s->script_count) {
        a = s->script[s->script_next++];
    }
    if (a.delay_ms > 0) {
        s->late = a;
        assert_non_null(coap_register_async(
            session, request, (coap_tick_t)a.delay_ms * COAP_TICKS_PER_SECOND / 1000));
        return;
    }
    respond(&a, response);
}

static int on_event(coap_session_t *session, const coap_event_t event)
{
    struct server *s = coap_context_get_app_data(coap_session_get_context(session));
    s->sessions += event == COAP_EVENT_SERVER_SESSION_NEW;
    return 0;
}

static void on_readable(void *arg, unsigned events)
{
    (void)events;
    struct server *s = arg;
    coap_io_process(s->coap, COAP_IO_NO_WAIT);
    coap_tick_t now;
    coap_ticks(&now);
    (void)coap_io_prepare_epoll(s->coap, now);
}

struct server *server_new(struct vg_loop *loop, uint16_t port)
{
    struct server *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->loop = loop;
    s->coap = coap_new_context(NULL);
    assert_non_null(s->coap);
    coap_context_set_app_data(s->coap, s);
    coap_register_event_handler(s->coap, on_event);
    coap_dtls_spsk_t psk = {.version = COAP_DTLS_SPSK_SETUP_VERSION};
    psk.psk_info.key.s = (const uint8_t *)SERVER_KEY;
    psk.psk_info.key.length = strlen(SERVER_KEY);
    assert_true(coap_context_set_psk2(s->coap, &psk));
    coap_address_t at;
    coap_address_init(&at);
    at.size = sizeof at.addr.sin;
    at.addr.sin.sin_family = AF_INET;
    at.addr.sin.sin_port = htons(port);
    at.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (port == 0) {
        /* libcoap does not tell which port it was given, so one is chosen for it. */
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        socklen_t len = sizeof at.addr.sin;
        assert_int_equal(bind(fd, &at.addr.sa, len), 0);
        assert_int_equal(getsockname(fd, &at.addr.sa, &len), 0);
        close(fd);
    }
    s->port = ntohs(at.addr.sin.sin_port);
    assert_non_null(coap_new_endpoint(s->coap, &at, COAP_PROTO_DTLS));
    coap_resource_t *r = coap_resource_init(coap_make_str_const("v1/readings"), 0);
    coap_resource_set_userdata(r, s);
    coap_register_request_handler(r, COAP_REQUEST_POST, on_post);
    coap_add_resource(s->coap, r);
    assert_int_equal(vg_loop_watch(loop, coap_context_get_coap_fd(s->coap), VG_LOOP_READ,
                                   on_readable, s, &s->watch),
                     VG_OK);
    return s;
}

void server_free(struct server *s)
{
    if (s == NULL) {
        return;
    }
    vg_loop_unwatch(s->loop, s->watch);
    coap_free_context(s->coap);
    free(s);
}

uint16_t server_port(const struct server *s)
{
    return s->port;
}

void server_script(struct server *s, const struct server_answer *answers, size_t count)
{
    memcpy(s->script, answers, count * sizeof answers[0]);
    s->script_count = count;
    s->script_next = 0;
}

size_t server_count(const struct server *s)
{
    return s->request_count;
}

const struct server_request *server_request(const struct server *s, size_t i)
{
    assert_true(i < s->request_count);
    return &s->requests[i];
}

size_t server_sessions(const struct server *s)
{
    return s->sessions;
}
