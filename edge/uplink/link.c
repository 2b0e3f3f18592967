/* Sessions and requests: the only calls into libcoap that know CoAP. */
#include "link.h"

#include "vigia/fault.h"
#include "vigia/registry.h"

#include <assert.h>
#include <string.h>

#include <mbedtls/ssl.h>

/* After two unanswered retransmissions the session is dead; the third is made in a new one. */
#define RETRANSMISSIONS VG_DEAD_AFTER_UNANSWERED
/* During the handshake the core's own deadline decides; this only has to be longer. */
#define HANDSHAKE_RETRANSMISSIONS 6
#define TOKEN_BYTES               5 /* lane, request */
/* Packets: a body, at most 80 bytes of header and options, 50 of DTLS with CID; libcoap refuses
 * what would be larger. */
#define MTU 1232
static_assert(VGI_BODY_MAX + 80 + 50 <= MTU, "every body fits");

/* A longer one would only fail in the handshake, without a word. */
static_assert(VG_UPLINK_PSK_MAX <= MBEDTLS_PSK_MAX_LEN, "Mbed TLS takes every key that we accept");

static struct vg_mono mono(const struct vg_uplink *u)
{
    return vg_now_mono(vg_loop_clock(u->net->loop));
}

void vgi_link_lost(struct vg_uplink *u, enum vgi_lost why)
{
    if (u->busy) {
        /* coap_send() may find out by itself that nobody is there; the core hears of it when its
         * actions are done. */
        u->lost_meanwhile = true;
        u->lost_why = why;
        return;
    }
    vgi_core_lost(u->core, why, mono(u));
    vgi_uplink_act(u);
}

/* libcoap tells of an end by an event or by on_nack, whichever knows first. */
static int on_event(coap_session_t *session, const coap_event_t event)
{
    struct vg_uplink *u = coap_session_get_app_data(session);
    if (u != NULL && event == COAP_EVENT_DTLS_CLOSED) {
        vgi_link_lost(u, u->connected ? VGI_LOST_CLOSED : VGI_LOST_REFUSED);
    }
    return 0;
}

bool vgi_link_look(struct vg_uplink *u)
{
    if (u->session == NULL || u->connected) {
        return false;
    }
    if (coap_session_get_state(u->session) != COAP_SESSION_STATE_ESTABLISHED) {
        return true;
    }
    u->connected = true;
    coap_session_set_max_retransmit(u->session, RETRANSMISSIONS);
    vgi_core_connected(u->core, mono(u));
    vgi_uplink_act(u);
    return false;
}

static void on_nack(coap_session_t *session, const coap_pdu_t *sent,
                    const coap_nack_reason_t reason, const coap_mid_t mid)
{
    (void)sent;
    (void)mid;
    struct vg_uplink *u = coap_session_get_app_data(session);
    if (u == NULL) {
        return;
    }
    if (reason == COAP_NACK_TOO_MANY_RETRIES) {
        vgi_link_lost(u, VGI_LOST_UNANSWERED);
    } else if (reason == COAP_NACK_ICMP_ISSUE || reason == COAP_NACK_NOT_DELIVERABLE) {
        vgi_link_lost(u, VGI_LOST_UNREACHABLE);
    } else {
        vgi_link_lost(u, u->connected ? VGI_LOST_CLOSED : VGI_LOST_REFUSED);
    }
}

static int64_t max_age(const coap_pdu_t *pdu)
{
    coap_opt_iterator_t it;
    const coap_opt_t *o = coap_check_option(pdu, COAP_OPTION_MAXAGE, &it);
    return o == NULL ? -1 : (int64_t)coap_decode_var_bytes(coap_opt_value(o), coap_opt_length(o));
}

static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent,
                                   const coap_pdu_t *received, const coap_mid_t mid)
{
    (void)sent;
    (void)mid;
    struct vg_uplink *u = coap_session_get_app_data(session);
    coap_bin_const_t token = coap_pdu_get_token(received);
    if (u == NULL || token.length != TOKEN_BYTES || token.s[0] >= VG_UPLINK_LANES ||
        VG_FAULT(EDGE_ANSWER_READ)) {
        return COAP_RESPONSE_OK;
    }
    uint32_t request;
    memcpy(&request, token.s + 1, sizeof request);
    const uint8_t *data = NULL;
    size_t len = 0;
    (void)coap_get_data(received, &len, &data);
    vgi_core_answer(u->core, (enum vg_uplink_lane)token.s[0], request,
                    (unsigned)coap_pdu_get_code(received), max_age(received), vg_span(data, len),
                    mono(u));
    vgi_uplink_act(u);
    return COAP_RESPONSE_OK;
}

void vgi_link_handlers(coap_context_t *coap)
{
    coap_register_event_handler(coap, on_event);
    coap_register_nack_handler(coap, on_nack);
    coap_register_response_handler(coap, on_response);
}

void vgi_link_connect(struct vg_uplink *u)
{
    const struct vg_endpoint *e = &u->options.collectors[u->connect_to];
    struct vgi_address address;
    if (vgi_resolve_numeric(e, &address) == VG_OK) {
        vgi_link_resolved(u, &address);
    } else if (vgi_resolver_ask(u->net->resolver, e, u->address_turn++, &u->resolving) != VG_OK) {
        vgi_link_lost(u, VGI_LOST_UNRESOLVED);
    }
}

void vgi_link_resolved(struct vg_uplink *u, const struct vgi_address *address)
{
    if (address->len == 0) {
        vgi_link_lost(u, VGI_LOST_UNRESOLVED);
        return;
    }
    coap_address_t to;
    coap_address_init(&to);
    to.size = address->len;
    memcpy(&to.addr, &address->at, address->len);
    coap_dtls_cpsk_t psk = {.version = COAP_DTLS_CPSK_SETUP_VERSION,
                            .use_cid = u->options.cid ? 1 : 0};
    psk.psk_info.identity.s = (const uint8_t *)u->options.identity;
    psk.psk_info.identity.length = strlen(u->options.identity);
    psk.psk_info.key.s = u->options.psk;
    psk.psk_info.key.length = u->options.psk_len;
    u->connected = false;
    coap_session_t *s =
        coap_new_client_session_psk2(u->net->coap, NULL, &to, COAP_PROTO_DTLS, &psk);
    if (s == NULL) {
        vgi_link_lost(u, VGI_LOST_UNREACHABLE);
        return;
    }
    u->session = s;
    u->net->connecting = true;
    coap_session_set_app_data(s, u);
    int64_t ms = u->options.ack_timeout_ms;
    coap_session_set_ack_timeout(s, (coap_fixed_point_t){.integer_part = (uint16_t)(ms / 1000),
                                                         .fractional_part = (uint16_t)(ms % 1000)});
    coap_session_set_max_retransmit(s, HANDSHAKE_RETRANSMISSIONS);
    coap_session_set_mtu(s, MTU);
    coap_session_set_nstart(s, VG_UPLINK_LANES); /* one batch in flight per lane */
}

void vgi_link_close(struct vg_uplink *u)
{
    u->connect_wanted = false;
    u->resolving = 0;
    if (u->session != NULL) {
        vgi_net_release(u->net, u->session);
        u->session = NULL;
    }
}

static bool add_number(coap_pdu_t *pdu, coap_option_num_t option, unsigned value)
{
    uint8_t bytes[4];
    return coap_add_option(pdu, option, coap_encode_var_safe(bytes, sizeof bytes, value), bytes) !=
           0;
}

static bool add_text(coap_pdu_t *pdu, coap_option_num_t option, const char *text)
{
    return coap_add_option(pdu, option, strlen(text), (const uint8_t *)text) != 0;
}

bool vgi_link_send(struct vg_uplink *u, const struct vgi_action *a)
{
    coap_pdu_t *pdu = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_POST, u->session);
    if (pdu == NULL) {
        return false;
    }
    struct vg_span body = u->bodies[a->lane];
    uint8_t token[TOKEN_BYTES] = {(uint8_t)a->lane};
    memcpy(token + 1, &a->request, sizeof a->request);
    struct vg_identity id = {.store = a->store,
                             .seq = a->seq,
                             .lane =
                                 a->lane == VG_UPLINK_URGENT ? VG_LANE_URGENT : VG_LANE_ROUTINE};
    char queries[3][VG_QUERY_MAX];
    vg_identity_format(&id, queries);
    /* In the order of their numbers, as libcoap wants them. */
    bool whole = coap_add_token(pdu, sizeof token, token) &&
                 add_text(pdu, COAP_OPTION_URI_PATH, VG_PATH_VERSION) &&
                 add_text(pdu, COAP_OPTION_URI_PATH, VG_PATH_READINGS) &&
                 add_number(pdu, COAP_OPTION_CONTENT_FORMAT, a->format);
    for (size_t i = 0; i < 3; i++) {
        whole = whole && add_text(pdu, COAP_OPTION_URI_QUERY, queries[i]);
    }
    whole = whole && coap_add_data(pdu, body.len, (const uint8_t *)body.at);
    if (!whole) {
        coap_delete_pdu(pdu);
        return false;
    }
    /* Takes the pdu in any case. */
    return coap_send(u->session, pdu) != COAP_INVALID_MID && !VG_FAULT(EDGE_REQUEST_SENT);
}
