/* The handshake of a session, and what a record that arrives is taken for. */
#include "coap_sim.h"

#include <string.h>

#define HELLO_FIRST   (1 * SIM_S) /* RFC 6347 §4.2.4.1: 1 s, doubled */
#define HELLO_LAST    (60 * SIM_S)
#define HALF_OPEN_MAX (30 * SIM_S)
#define REPLAY_WINDOW 64

bool sim_replay_protection = true;
struct sim_coap_count sim_coap_counts;

/* ---- handshake ---- */

static void next_hello(coap_session_t *s)
{
    s->step++;
    s->step_wait = HELLO_FIRST;
    s->step_due = sim_now + HELLO_FIRST;
    sim_session_transmit(s, SIM_HELLO, s->step, NULL);
}

void sim_handshake_begin(coap_session_t *s)
{
    sim_coap_counts.handshakes++;
    next_hello(s);
    sim_context_alarm(s->ctx, s->step_due);
}

int64_t sim_handshake_due(const coap_session_t *s)
{
    if (s->state != COAP_SESSION_STATE_HANDSHAKE) {
        return SIM_NEVER;
    }
    return s->server ? s->since + HALF_OPEN_MAX : s->step_due;
}

static void establish(coap_session_t *s)
{
    s->state = COAP_SESSION_STATE_ESTABLISHED;
    s->step_due = SIM_NEVER;
}

static void server_last_step(coap_session_t *s, const struct sim_datagram *d)
{
    coap_context_t *ctx = s->ctx;
    if (s->state == COAP_SESSION_STATE_ESTABLISHED) {
        sim_session_transmit(s, SIM_REPLY, SIM_STEPS, NULL);
        return;
    }
    memcpy(s->identity, d->identity, sizeof s->identity);
    s->identity_bin =
        (coap_bin_const_t){strnlen(s->identity, sizeof s->identity), (const uint8_t *)s->identity};
    const coap_bin_const_t *key =
        ctx->psk.validate_id_call_back(&s->identity_bin, s, ctx->psk.id_call_back_arg);
    if (key == NULL || key->length != d->key_len || memcmp(key->s, d->key, key->length) != 0) {
        (void)ctx->on_event(s, COAP_EVENT_DTLS_ERROR);
        sim_session_end(s, true);
        return;
    }
    memcpy(s->key, key->s, key->length);
    s->key_bin = (coap_bin_const_t){key->length, s->key};
    establish(s);
    sim_coap_counts.established++;
    sim_session_transmit(s, SIM_REPLY, SIM_STEPS, NULL);
}

static void server_hello(coap_context_t *ctx, const struct sim_datagram *d)
{
    coap_session_t *s = d->conn->server;
    if (s == NULL) {
        if (d->step != 1 || d->conn->client == NULL) {
            return; /* nobody knows this handshake any more */
        }
        s = d->conn->server = sim_session_new(ctx, d->conn, true);
        (void)ctx->on_event(s, COAP_EVENT_SERVER_SESSION_NEW);
        sim_context_alarm(ctx, s->since + HALF_OPEN_MAX);
    }
    if (d->step == SIM_STEPS) {
        server_last_step(s, d);
    } else if (s->state == COAP_SESSION_STATE_HANDSHAKE) {
        sim_session_transmit(s, SIM_REPLY, d->step, NULL);
    }
}

static void client_reply(coap_session_t *s, const struct sim_datagram *d)
{
    if (s->state != COAP_SESSION_STATE_HANDSHAKE || d->step != s->step) {
        return;
    }
    if (s->step == SIM_STEPS) {
        establish(s);
        return;
    }
    next_hello(s);
}

/* ---- records ---- */

/* True when it came before, or too long ago to know. */
static bool replayed(coap_session_t *s, uint64_t number)
{
    if (number > s->seen_top) {
        uint64_t shift = number - s->seen_top;
        s->seen_mask = shift >= REPLAY_WINDOW ? 0 : s->seen_mask << shift;
        s->seen_mask |= 1;
        s->seen_top = number;
        return false;
    }
    uint64_t back = s->seen_top - number;
    if (back >= REPLAY_WINDOW || (s->seen_mask & 1ULL << back) != 0) {
        return true;
    }
    s->seen_mask |= 1ULL << back;
    return false;
}

static void established_record(coap_session_t *s, const struct sim_datagram *d)
{
    if (s->state != COAP_SESSION_STATE_ESTABLISHED) {
        return;
    }
    if (s->server && d->address != s->address) {
        if (!d->conn->cid) {
            return; /* of an address that nobody has a session with */
        }
        s->address = d->address;
        sim_coap_counts.rebound++;
    }
    if (sim_replay_protection && replayed(s, d->number)) {
        sim_coap_counts.replayed++;
        return;
    }
    if (d->kind == SIM_DATA) {
        sim_message_arrived(s, &d->pdu);
        return;
    }
    sim_session_end(s, false);
    (void)s->ctx->on_event(s, COAP_EVENT_DTLS_CLOSED);
}

void sim_session_arrived(coap_context_t *ctx, const struct sim_datagram *d)
{
    coap_session_t *s = d->to_server ? d->conn->server : d->conn->client;
    if (d->kind == SIM_HELLO) {
        server_hello(ctx, d);
    } else if (s == NULL || s->ctx != ctx) {
        return;
    } else if (d->kind == SIM_REPLY) {
        client_reply(s, d);
    } else if (d->kind == SIM_ALERT && s->state == COAP_SESSION_STATE_HANDSHAKE) {
        sim_session_end(s, false);
        (void)ctx->on_event(s, COAP_EVENT_DTLS_CLOSED);
    } else {
        established_record(s, d);
    }
}

bool sim_session_due(coap_session_t *s)
{
    if (sim_session_free_if_over(s)) {
        return true;
    }
    if (s->closed) {
        return false;
    }
    if (!s->server && s->state == COAP_SESSION_STATE_HANDSHAKE && s->step_due <= sim_now) {
        s->step_wait = s->step_wait * 2 < HELLO_LAST ? s->step_wait * 2 : HELLO_LAST;
        s->step_due = sim_now + s->step_wait;
        sim_session_transmit(s, SIM_HELLO, s->step, NULL);
        return true;
    }
    if (s->server && s->state == COAP_SESSION_STATE_HANDSHAKE &&
        s->since + HALF_OPEN_MAX <= sim_now) {
        sim_session_end(s, false);
        return true;
    }
    return sim_message_repeat(s);
}
