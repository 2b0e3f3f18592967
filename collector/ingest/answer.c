/* Answers: on the acknowledgement when the log was quick, by themselves when it was not. */
#include "inside.h"

#include "vigia/fault.h"
#include "vigia/log.h"

static coap_pdu_code_t code_of(enum vg_coap code)
{
    return (coap_pdu_code_t)code; /* both are the byte of the header */
}

static void add_option_number(coap_pdu_t *pdu, coap_option_num_t option, unsigned value)
{
    uint8_t bytes[4];
    (void)coap_add_option(pdu, option, coap_encode_var_safe(bytes, sizeof(bytes), value), bytes);
}

/* Options go in ascending order: Content-Format 12, Max-Age 14, Size1 60. */
void vgi_answer_fill(struct vgi_collector *c, coap_pdu_t *pdu, const struct vgi_verdict *verdict,
                     int64_t max_age_ms)
{
    (void)c;
    coap_pdu_set_code(pdu, code_of(verdict->code));
    if (verdict->list_len > 0) {
        add_option_number(pdu, COAP_OPTION_CONTENT_FORMAT, VG_FORMAT_CBOR);
    }
    if (verdict->code == VG_COAP_TOO_MANY || verdict->code == VG_COAP_UNAVAILABLE) {
        add_option_number(pdu, COAP_OPTION_MAXAGE, (unsigned)((max_age_ms + 999) / 1000));
    }
    if (verdict->code == VG_COAP_TOO_LARGE) {
        add_option_number(pdu, COAP_OPTION_SIZE1, VG_BODY_MAX);
    }
    if (verdict->list_len > 0) {
        (void)coap_add_data(pdu, verdict->list_len, (const uint8_t *)verdict->list);
    }
    vgi_count_answer(verdict->code);
}

/* A message of this request's session; NULL when there is no memory for it. */
static coap_pdu_t *message(const struct vgi_pending *p, coap_pdu_type_t type, coap_mid_t mid,
                           bool with_token)
{
    coap_pdu_t *pdu =
        coap_pdu_init(type, COAP_EMPTY_CODE, mid, coap_session_max_pdu_size(p->session->coap));
    if (pdu != NULL && with_token && p->token_len > 0 &&
        coap_add_token(pdu, p->token_len, p->token) != 1) {
        coap_delete_pdu(pdu);
        pdu = NULL;
    }
    return pdu;
}

static void send_answer(struct vgi_collector *c, struct vgi_pending *p)
{
    coap_session_t *coap = p->session->coap;
    struct vgi_verdict verdict = {.code = p->failed ? VG_COAP_UNAVAILABLE : VG_COAP_CHANGED,
                                  .reason = ""};
    coap_pdu_type_t type = p->held          ? COAP_MESSAGE_ACK
                           : p->confirmable ? COAP_MESSAGE_CON
                                            : COAP_MESSAGE_NON;
    coap_mid_t mid = p->held ? p->mid : coap_new_message_id(coap);
    coap_pdu_t *pdu = VG_FAULT(COLLECTOR_BEFORE_ANSWER) ? NULL : message(p, type, mid, true);

    if (pdu == NULL) {
        vg_log_error("no-memory", "for=answer");
        return; /* the device asks again */
    }
    vgi_answer_fill(c, pdu, &verdict, c->conf->retry_after_ms);
    (void)coap_send(coap, pdu);
    (void)VG_FAULT(COLLECTOR_AFTER_ANSWER);
}

void vgi_answer(struct vgi_collector *c, struct vgi_pending *p)
{
    struct vgi_session *s = p->session;
    struct vg_mono now = vg_now_mono(c->clock);

    vgi_count_many(VGI_M_WAIT_MS, vg_mono_diff_ms(now, p->since));
    if (s != NULL) {
        if (!p->failed) {
            vgi_exchange_stored(&s->exchanges, p->mid, now);
        }
        send_answer(c, p);
        vgi_exchange_remove(&s->exchanges, p);
        vgi_pool_unhold(&c->pool, p);
        p->session = NULL;
        coap_session_release(s->coap);
    }
    vgi_pool_give(&c->pool, p);
    vgi_gauge(VGI_M_PENDING, (int64_t)c->pool.used);
    if (c->draining && c->pool.used == 0) {
        vgi_collector_drained(c);
    }
}

void vgi_answer_held(struct vgi_collector *c)
{
    struct vg_mono now = vg_now_mono(c->clock);
    struct vgi_pending *p = NULL;

    while ((p = vgi_pool_first_held(&c->pool)) != NULL && vg_mono_diff_ms(p->ack_by, now) <= 0) {
        coap_pdu_t *ack = message(p, COAP_MESSAGE_ACK, p->mid, false);
        vgi_pool_unhold(&c->pool, p);
        vgi_count(VGI_M_EARLY_ACKS);
        if (ack != NULL) {
            (void)coap_send(p->session->coap, ack);
        }
    }
    if (p != NULL) {
        vg_loop_timer_at(c->loop, c->timer_hold, p->ack_by);
    }
}
