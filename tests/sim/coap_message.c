/* Requests, answers, acknowledgements, retransmission (RFC 7252 §4.2 to §4.5, §5.2). */
#include "coap_sim.h"

#include <stdlib.h>
#include <string.h>

unsigned (*sim_answer_twist)(unsigned code);

/* ---- resources ---- */

coap_resource_t *coap_resource_init(coap_str_const_t *path, int flags)
{
    (void)flags;
    coap_resource_t *r = calloc(1, sizeof *r);
    if (r != NULL) {
        (void)snprintf(r->path, sizeof r->path, "%.*s", (int)path->length, (const char *)path->s);
    }
    return r;
}

coap_str_const_t *coap_resource_get_uri_path(coap_resource_t *r)
{
    return coap_make_str_const(r->path);
}

void coap_resource_set_userdata(coap_resource_t *r, void *user)
{
    r->user = user;
}

void *coap_resource_get_userdata(coap_resource_t *r)
{
    return r->user;
}

void coap_register_request_handler(coap_resource_t *r, coap_request_t method,
                                   coap_method_handler_t handler)
{
    (void)method;
    r->handler = handler;
}

void coap_add_resource(coap_context_t *ctx, coap_resource_t *r)
{
    if (ctx->resource_count == SIM_RESOURCES_MAX) {
        sim_fail("more than %d resources", SIM_RESOURCES_MAX);
    }
    ctx->resources[ctx->resource_count++] = r;
}

static coap_resource_t *find_resource(const coap_context_t *ctx, const coap_pdu_t *pdu)
{
    char path[64] = "";
    size_t len = 0;
    for (size_t i = 0; i < pdu->option_count; i++) {
        const struct sim_option *o = &pdu->options[i];
        if (o->number == COAP_OPTION_URI_PATH && len + o->len + 2 < sizeof path) {
            len += (size_t)snprintf(path + len, sizeof path - len, "%s%.*s", len > 0 ? "/" : "",
                                    (int)o->len, (const char *)o->value);
        }
    }
    for (size_t i = 0; i < ctx->resource_count; i++) {
        if (strcmp(ctx->resources[i]->path, path) == 0) {
            return ctx->resources[i];
        }
    }
    return NULL;
}

/* ---- sending ---- */

uint16_t coap_new_message_id(coap_session_t *s)
{
    return ++s->next_mid;
}

coap_mid_t coap_send(coap_session_t *s, coap_pdu_t *pdu)
{
    coap_mid_t mid = pdu->mid;
    if (s->closed || s->state != COAP_SESSION_STATE_ESTABLISHED) {
        coap_delete_pdu(pdu);
        return COAP_INVALID_MID;
    }
    if (s->server && pdu->code != 0 && sim_answer_twist != NULL) {
        pdu->code = (coap_pdu_code_t)sim_answer_twist((unsigned)pdu->code);
    }
    sim_session_transmit(s, SIM_DATA, 0, pdu);
    if (pdu->type != COAP_MESSAGE_CON) {
        coap_delete_pdu(pdu);
        return mid;
    }
    struct sim_unacked *u = calloc(1, sizeof *u);
    if (u == NULL) {
        sim_fail("no memory for a message");
    }
    /* ACK_RANDOM_FACTOR 1.5 (§4.8) */
    u->wait = s->ack_timeout + sim_between(SIM_DICE_NET, 0, s->ack_timeout / 2);
    u->due = sim_now + u->wait;
    u->pdu = pdu;
    u->next = s->unacked;
    s->unacked = u;
    sim_coap_counts.requests += !s->server;
    sim_context_alarm(s->ctx, u->due);
    return mid;
}

static coap_pdu_t *acked(coap_session_t *s, coap_mid_t mid)
{
    for (struct sim_unacked **at = &s->unacked; *at != NULL; at = &(*at)->next) {
        if ((*at)->pdu->mid == mid) {
            struct sim_unacked *u = *at;
            coap_pdu_t *pdu = u->pdu;
            *at = u->next;
            free(u);
            return pdu;
        }
    }
    return NULL;
}

static void answered(coap_session_t *s, const coap_pdu_t *answer)
{
    for (const struct sim_unacked *u = s->unacked; u != NULL; u = u->next) {
        if (u->pdu->token_len == answer->token_len &&
            memcmp(u->pdu->token, answer->token, answer->token_len) == 0) {
            coap_delete_pdu(acked(s, u->pdu->mid));
            return;
        }
    }
}

int64_t sim_message_due(const coap_session_t *s)
{
    int64_t next = SIM_NEVER;
    for (const struct sim_unacked *u = s->unacked; u != NULL; u = u->next) {
        next = u->due < next ? u->due : next;
    }
    return next;
}

void sim_message_forget(coap_session_t *s)
{
    while (s->unacked != NULL) {
        coap_delete_pdu(acked(s, s->unacked->pdu->mid));
    }
}

bool sim_message_repeat(coap_session_t *s)
{
    struct sim_unacked *u = s->unacked;
    while (u != NULL && u->due > sim_now) {
        u = u->next;
    }
    if (u == NULL) {
        return false;
    }
    if (u->repeats < s->max_retransmit) {
        u->repeats++;
        u->wait *= 2;
        u->due = sim_now + u->wait;
        sim_coap_counts.retransmissions++;
        sim_session_transmit(s, SIM_DATA, 0, u->pdu);
        return true;
    }
    coap_pdu_t *pdu = acked(s, u->pdu->mid);
    if (s->ctx->on_nack != NULL) {
        s->ctx->on_nack(s, pdu, COAP_NACK_TOO_MANY_RETRIES, pdu->mid);
    }
    coap_delete_pdu(pdu);
    return true;
}

/* ---- receiving ---- */

static void acknowledge(coap_session_t *s, coap_mid_t mid)
{
    coap_pdu_t *ack = coap_pdu_init(COAP_MESSAGE_ACK, COAP_EMPTY_CODE, mid, 0);
    if (ack != NULL) {
        (void)coap_send(s, ack);
    }
}

/* The handler sets the code of what is sent back. Nothing is: an empty acknowledgement, unless the
 * handler has made it a message that needs none. */
static void serve(coap_session_t *s, const coap_pdu_t *request)
{
    coap_resource_t *r = find_resource(s->ctx, request);
    coap_pdu_t *response =
        coap_pdu_init(request->type == COAP_MESSAGE_CON ? COAP_MESSAGE_ACK : COAP_MESSAGE_NON,
                      COAP_EMPTY_CODE, request->mid, 0);
    if (response == NULL) {
        sim_fail("no memory for an answer");
    }
    (void)coap_add_token(response, request->token_len, request->token);
    if (r == NULL) {
        response->code = COAP_RESPONSE_CODE(404);
    } else {
        r->handler(r, s, request, NULL, response);
    }
    if (response->code == COAP_EMPTY_CODE) {
        if (response->type == COAP_MESSAGE_ACK) {
            acknowledge(s, request->mid);
        }
        coap_delete_pdu(response);
        return;
    }
    (void)coap_send(s, response);
}

static void take_answer(coap_session_t *s, const coap_pdu_t *answer)
{
    if (answer->type == COAP_MESSAGE_CON) {
        bool repeated = s->last_con == answer->mid;
        s->last_con = answer->mid;
        acknowledge(s, answer->mid);
        if (repeated) {
            return;
        }
    }
    answered(s, answer);
    (void)s->ctx->on_response(s, NULL, answer, answer->mid);
}

void sim_message_arrived(coap_session_t *s, const coap_pdu_t *pdu)
{
    if (pdu->type == COAP_MESSAGE_ACK || pdu->type == COAP_MESSAGE_RST) {
        coap_delete_pdu(acked(s, pdu->mid));
    }
    if (pdu->code == COAP_EMPTY_CODE) {
        return;
    }
    if (s->server) {
        serve(s, pdu);
    } else {
        take_answer(s, pdu);
    }
}
