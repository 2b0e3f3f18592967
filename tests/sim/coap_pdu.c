/* Messages and options: as values, not as bytes; the wire format is libcoap's own business. */
#include "coap_sim.h"

#include <stdlib.h>
#include <string.h>

coap_pdu_t *coap_pdu_init(coap_pdu_type_t type, coap_pdu_code_t code, coap_mid_t mid, size_t size)
{
    (void)size;
    coap_pdu_t *pdu = calloc(1, sizeof *pdu);
    if (pdu != NULL) {
        pdu->type = type;
        pdu->code = code;
        pdu->mid = mid;
    }
    return pdu;
}

coap_pdu_t *coap_new_pdu(coap_pdu_type_t type, coap_pdu_code_t code, coap_session_t *session)
{
    return coap_pdu_init(type, code, coap_new_message_id(session), SIM_DATA_MAX);
}

void coap_delete_pdu(coap_pdu_t *pdu)
{
    free(pdu);
}

int coap_add_token(coap_pdu_t *pdu, size_t len, const uint8_t *data)
{
    if (len > sizeof pdu->token) {
        return 0;
    }
    memcpy(pdu->token, data, len);
    pdu->token_len = len;
    return 1;
}

size_t coap_add_option(coap_pdu_t *pdu, coap_option_num_t number, size_t len, const uint8_t *data)
{
    if (pdu->option_count == SIM_OPTIONS_MAX || len > SIM_OPTION_BYTES ||
        (pdu->option_count > 0 && pdu->options[pdu->option_count - 1].number > number)) {
        sim_fail("option %d does not fit the simulation", number);
    }
    struct sim_option *o = &pdu->options[pdu->option_count++];
    o->number = number;
    o->len = (uint16_t)len;
    if (len > 0) {
        memcpy(o->value, data, len);
    }
    return len + 1;
}

int coap_add_data(coap_pdu_t *pdu, size_t len, const uint8_t *data)
{
    if (len > sizeof pdu->data) {
        return 0;
    }
    memcpy(pdu->data, data, len);
    pdu->len = len;
    return 1;
}

int coap_get_data(const coap_pdu_t *pdu, size_t *len, const uint8_t **data)
{
    *len = pdu->len;
    *data = pdu->len > 0 ? pdu->data : NULL;
    return pdu->len > 0;
}

coap_pdu_code_t coap_pdu_get_code(const coap_pdu_t *pdu)
{
    return pdu->code;
}

coap_mid_t coap_pdu_get_mid(const coap_pdu_t *pdu)
{
    return pdu->mid;
}

coap_pdu_type_t coap_pdu_get_type(const coap_pdu_t *pdu)
{
    return pdu->type;
}

coap_bin_const_t coap_pdu_get_token(const coap_pdu_t *pdu)
{
    return (coap_bin_const_t){.length = pdu->token_len, .s = pdu->token};
}

void coap_pdu_set_code(coap_pdu_t *pdu, coap_pdu_code_t code)
{
    pdu->code = code;
}

void coap_pdu_set_type(coap_pdu_t *pdu, coap_pdu_type_t type)
{
    pdu->type = type;
}

/* An option handed out is a struct sim_option. */
static coap_opt_t *as_opt(const struct sim_option *o)
{
    return (coap_opt_t *)(uintptr_t)o;
}

static const struct sim_option *as_option(const coap_opt_t *o)
{
    return (const struct sim_option *)(const void *)o;
}

coap_opt_t *coap_check_option(const coap_pdu_t *pdu, coap_option_num_t number,
                              coap_opt_iterator_t *it)
{
    (void)it;
    for (size_t i = 0; i < pdu->option_count; i++) {
        if (pdu->options[i].number == number) {
            return as_opt(&pdu->options[i]);
        }
    }
    return NULL;
}

coap_opt_iterator_t *coap_option_iterator_init(const coap_pdu_t *pdu, coap_opt_iterator_t *it,
                                               const coap_opt_filter_t *filter)
{
    (void)filter;
    memset(it, 0, sizeof *it);
    it->length = pdu->option_count;
    it->next_option = as_opt(pdu->options);
    return it;
}

coap_opt_t *coap_option_next(coap_opt_iterator_t *it)
{
    if (it->length == 0) {
        return NULL;
    }
    const struct sim_option *o = as_option(it->next_option);
    it->length--;
    it->number = o->number;
    it->next_option = as_opt(o + 1);
    return as_opt(o);
}

uint32_t coap_opt_length(const coap_opt_t *opt)
{
    return as_option(opt)->len;
}

const uint8_t *coap_opt_value(const coap_opt_t *opt)
{
    return as_option(opt)->value;
}

unsigned int coap_decode_var_bytes(const uint8_t *buf, size_t len)
{
    unsigned value = 0;
    for (size_t i = 0; i < len; i++) {
        value = value << 8 | buf[i];
    }
    return value;
}

unsigned int coap_encode_var_safe(uint8_t *buf, size_t room, unsigned int value)
{
    unsigned len = 0;
    for (unsigned v = value; v > 0; v >>= 8) {
        len++;
    }
    if (len > room) {
        return 0;
    }
    for (unsigned i = len; i-- > 0; value >>= 8) {
        buf[i] = (uint8_t)value;
    }
    return len;
}
