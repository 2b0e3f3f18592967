/* Sessions: their beginning and end, and what their owner asks of them. */
#include "coap_sim.h"

#include <stdlib.h>
#include <string.h>

static uint64_t conns;

coap_session_t *sim_session_new(coap_context_t *ctx, struct sim_conn *conn, bool server)
{
    coap_session_t *s = calloc(1, sizeof *s);
    if (s == NULL) {
        sim_fail("no memory for a session");
    }
    s->ctx = ctx;
    s->conn = conn;
    s->server = server;
    s->address = conn->path->address;
    s->state = COAP_SESSION_STATE_HANDSHAKE;
    s->next_mid = (uint16_t)vg_rng_next(sim_dice(SIM_DICE_NET));
    s->ack_timeout = 2 * SIM_S;
    s->max_retransmit = 4;
    s->last_con = -1;
    s->since = sim_now;
    s->next = ctx->sessions;
    ctx->sessions = s;
    (void)snprintf(s->name, sizeof s->name, "conn-%llu", (unsigned long long)conn->id);
    return s;
}

coap_session_t *coap_new_client_session_psk2(coap_context_t *ctx, const coap_address_t *local,
                                             const coap_address_t *server, coap_proto_t proto,
                                             coap_dtls_cpsk_t *setup)
{
    (void)local;
    (void)proto;
    struct sim_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return NULL;
    }
    *conn = (struct sim_conn){.id = ++conns,
                              .path = ctx->path,
                              .port = ntohs(server->addr.sin.sin_port),
                              .cid = setup->use_cid != 0};
    coap_session_t *s = sim_session_new(ctx, conn, false);
    conn->client = s;
    s->references = 1;
    memcpy(s->identity, setup->psk_info.identity.s, setup->psk_info.identity.length);
    memcpy(s->key, setup->psk_info.key.s, setup->psk_info.key.length);
    s->key_bin.length = setup->psk_info.key.length;
    sim_handshake_begin(s);
    return s;
}

void sim_session_remove(coap_session_t *s)
{
    for (coap_session_t **at = &s->ctx->sessions; *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    sim_message_forget(s);
    s->freed = true; /* kept: a late datagram or a dead program may point to it */
}

/* The session is over at this end. */
void sim_session_end(coap_session_t *s, bool tell_peer)
{
    if (s->closed) {
        return;
    }
    if (tell_peer) {
        sim_session_transmit(s, SIM_ALERT, 0, NULL);
    }
    s->closed = true;
    s->state = COAP_SESSION_STATE_NONE;
    if (s->server && s->conn->server == s) {
        s->conn->server = NULL;
    } else if (!s->server && s->conn->client == s) {
        s->conn->client = NULL;
    }
    sim_message_forget(s);
}

bool sim_session_free_if_over(coap_session_t *s)
{
    if (!s->closed || s->references > 0 || !s->server) {
        return false;
    }
    sim_session_remove(s);
    (void)s->ctx->on_event(s, COAP_EVENT_SERVER_SESSION_DEL);
    return true;
}

void coap_session_release(coap_session_t *s)
{
    s->references--;
    if (s->references == 0 && !s->server) {
        sim_session_end(s, s->state == COAP_SESSION_STATE_ESTABLISHED);
        sim_session_remove(s);
    }
}

coap_session_t *coap_session_reference(coap_session_t *s)
{
    s->references++;
    return s;
}

void coap_session_disconnected(coap_session_t *s, coap_nack_reason_t reason)
{
    (void)reason;
    sim_session_end(s, true);
    s->ctx->ready = true;
    sim_fd_changed(s->ctx->proc);
}

void coap_session_set_app_data(coap_session_t *s, void *app)
{
    s->app = app;
}
void *coap_session_get_app_data(const coap_session_t *s)
{
    return s->app;
}
coap_context_t *coap_session_get_context(const coap_session_t *s)
{
    return s->ctx;
}
coap_session_state_t coap_session_get_state(const coap_session_t *s)
{
    return s->state;
}
size_t coap_session_max_pdu_size(const coap_session_t *s)
{
    (void)s;
    return SIM_DATA_MAX;
}
void coap_session_set_mtu(coap_session_t *s, unsigned mtu)
{
    (void)s;
    (void)mtu;
}
void coap_session_set_nstart(coap_session_t *s, uint16_t n)
{
    (void)s;
    (void)n;
}
void coap_session_set_max_retransmit(coap_session_t *s, uint16_t n)
{
    s->max_retransmit = n;
}
void coap_session_set_ack_timeout(coap_session_t *s, coap_fixed_point_t t)
{
    s->ack_timeout = t.integer_part * SIM_S + t.fractional_part * SIM_MS;
}
const char *coap_session_str(const coap_session_t *s)
{
    return s->name;
}
const coap_bin_const_t *coap_session_get_psk_identity(const coap_session_t *s)
{
    return s->identity_bin.length > 0 ? &s->identity_bin : NULL;
}
const coap_bin_const_t *coap_session_get_psk_key(const coap_session_t *s)
{
    return s->key_bin.length > 0 ? &s->key_bin : NULL;
}
