/* Any bytes as what a device says once its session stands: CoAP messages through libcoap's parser into the endpoint, the checks
 * and the intake, over a log whose verdicts come when the input says so.
 *
 *   input: steps, each a byte and what it needs
 *     0..3  a datagram: length (2), bytes          5  every waiting record has failed
 *     4     every waiting record is durable        6  milliseconds pass: number (2)
 *     7     0: the device is revoked  1: the log has room for n records: n (1)  2: the collector drains
 *           3: a datagram from another address: length (2), bytes
 *
 * The session is plain UDP, so that every byte counts; its identity is given where DTLS would have given it. */
#include "world.h"

#define REQUESTS_MAX 512

static coap_event_handler_t real_handler;

static struct {
    uint16_t mid;
    uint8_t token_len, token[8];
} sent[REQUESTS_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __wrap_coap_register_event_handler(coap_context_t *context, coap_event_handler_t handler);
void __real_coap_register_event_handler(coap_context_t *context, coap_event_handler_t handler);
const coap_bin_const_t *__wrap_coap_session_get_psk_identity(const coap_session_t *session);
const coap_bin_const_t *__wrap_coap_session_get_psk_key(const coap_session_t *session);

/* A new session begins where the handshake would have left it. */
static int on_event(coap_session_t *coap, const coap_event_t event)
{
    int rc = real_handler(coap, event);

    if (event == COAP_EVENT_SERVER_SESSION_NEW) {
        struct vgi_collector *c = coap_context_get_app_data(coap_session_get_context(coap));
        struct vgi_session *s = calloc(1, sizeof(*s));
        world_require(s != NULL, "memory");
        s->coap = coap;
        s->candidate = true;
        s->candidate_next = c->candidates;
        c->candidates = s;
        coap_session_set_app_data(coap, s);
    }
    return rc;
}

void __wrap_coap_register_event_handler(coap_context_t *context, coap_event_handler_t handler)
{
    real_handler = handler;
    __real_coap_register_event_handler(context, on_event);
}

const coap_bin_const_t *__wrap_coap_session_get_psk_identity(const coap_session_t *session)
{
    static const coap_bin_const_t identity = {sizeof(WORLD_DEVICE) - 1,
                                              (const uint8_t *)WORLD_DEVICE};
    (void)session;
    return &identity;
}

const coap_bin_const_t *__wrap_coap_session_get_psk_key(const coap_session_t *session)
{
    static coap_bin_const_t key = {VG_PSK_BYTES, NULL};
    (void)session;
    key.s = world_psk();
    return &key;
}

/* ---- answers ---- */

static bool code_is_known(uint8_t code)
{
    static const uint8_t known[] = {0,
                                    VG_COAP_CHANGED,
                                    COAP_RESPONSE_CODE(202), /* DELETE of what is not there */
                                    COAP_RESPONSE_CODE(205), /* /.well-known/core */
                                    VG_COAP_BAD_REQUEST,
                                    VG_COAP_UNAUTHORIZED,
                                    COAP_RESPONSE_CODE(402), /* a critical option nobody knows */
                                    VG_COAP_FORBIDDEN,
                                    VG_COAP_NOT_FOUND,
                                    VG_COAP_NOT_ALLOWED,
                                    COAP_RESPONSE_CODE(406),
                                    COAP_RESPONSE_CODE(408),
                                    COAP_RESPONSE_CODE(412),
                                    VG_COAP_TOO_LARGE,
                                    VG_COAP_UNSUPPORTED_FORMAT,
                                    VG_COAP_UNPROCESSABLE,
                                    VG_COAP_TOO_MANY,
                                    COAP_RESPONSE_CODE(505),
                                    VG_COAP_UNAVAILABLE};
    return memchr(known, code, sizeof(known)) != NULL;
}

/* 2.04 answers a message whose readings are durable, or one that repeats its message id. */
static void hold_changed(const struct world *w, bool on_ack, uint16_t mid, const uint8_t *token,
                         size_t token_len)
{
    size_t first = w->request > REQUESTS_MAX ? w->request - REQUESTS_MAX + 1 : 1;
    bool good = false;

    for (size_t r = first; r <= w->request && !good; r++) {
        bool same = on_ack ? sent[r % REQUESTS_MAX].mid == mid
                           : sent[r % REQUESTS_MAX].token_len == token_len &&
                                 memcmp(sent[r % REQUESTS_MAX].token, token, token_len) == 0;
        for (size_t i = first; i <= w->request && same && !good; i++) {
            good = sent[i % REQUESTS_MAX].mid == sent[r % REQUESTS_MAX].mid &&
                   world_request_durable(w, i);
        }
    }
    world_require(good, "2.04 only for what is durable");
}

/* The payload of a message whose header and token are good; NULL without one. */
static struct vg_span payload_of(const uint8_t *at, size_t len)
{
    size_t i = 0;

    while (i < len && at[i] != 0xff) {
        unsigned delta = at[i] >> 4, size = at[i] & 15;
        i += 1 + (delta == 13 ? 1u : delta == 14 ? 2u : 0u);
        world_require(delta != 15 && size != 15 && i <= len, "an answer's options are well formed");
        if (size == 13 || size == 14) {
            world_require(i + size - 12 <= len, "an answer's options are well formed");
            unsigned more = size == 13 ? at[i] : (unsigned)(at[i] << 8 | at[i + 1]) + 256u;
            i += size - 12;
            size = 13 + more;
        }
        i += size;
    }
    world_require(i <= len, "an answer's options end where it ends");
    return i < len ? vg_span(at + i + 1, len - i - 1) : vg_span(NULL, 0);
}

/* Where the token begins, and its length. libcoap answers in kind: the lengths that RFC 7252 §3
 * reserves, and the extended ones (RFC 8974 §2.1: 13 and one byte, 14 and two). */
static size_t token_of(const uint8_t *at, size_t len, size_t *token_len)
{
    world_require(len >= 4 && at[0] >> 6 == 1 && (at[0] & 15) <= 14, "an answer is a CoAP message");
    size_t begin = 4;
    *token_len = at[0] & 15;
    if (*token_len >= 13) {
        begin += *token_len - 12;
        world_require(len >= begin, "an answer is a CoAP message");
        *token_len = begin == 5 ? 13u + at[4] : 269u + (unsigned)(at[4] << 8 | at[5]);
    }
    world_require(len >= begin + *token_len, "an answer has its whole token");
    return begin;
}

static void hold_answer(const struct world *w, const uint8_t *answer, size_t len)
{
    struct vg_refusal list[VG_BATCH_READINGS_MAX];
    size_t count = 0;

    size_t token_len = 0;
    const size_t token = token_of(answer, len, &token_len);
    uint8_t type = answer[0] >> 4 & 3, code = answer[1];
    uint16_t mid = (uint16_t)(answer[2] << 8 | answer[3]);
    world_require(code_is_known(code), "an answer's code is one of the table");
    struct vg_span payload = payload_of(answer + token + token_len, len - token - token_len);
    if (code == VG_COAP_CHANGED) {
        world_require(payload.at == NULL && token_len <= 8, "2.04 has no body and a good token");
        hold_changed(w, type == COAP_MESSAGE_ACK, mid, answer + token, token_len);
    }
    if (code == VG_COAP_FORBIDDEN || code == VG_COAP_UNPROCESSABLE) {
        world_require(vg_refusals_decode(payload, list, VG_BATCH_READINGS_MAX, &count) == VG_OK &&
                          count > 0,
                      "refused readings are named");
        for (size_t i = 1; i < count; i++) {
            world_require(list[i - 1].index < list[i].index, "each once, in order");
        }
    }
}

static void hold_answers(struct world *w)
{
    uint8_t answer[WORLD_ANSWER_MAX];
    size_t len;

    while ((len = world_receive(w, answer)) > 0) {
        hold_answer(w, answer, len);
    }
}

/* ---- steps ---- */

static void send_message(struct world *w, struct vg_span bytes, bool from_stranger)
{
    size_t r = (w->request + 1) % REQUESTS_MAX;
    const uint8_t *at = (const uint8_t *)bytes.at;

    memset(&sent[r], 0, sizeof(sent[r]));
    if (bytes.len >= 4 && (at[0] & 15) <= sizeof(sent[r].token) && bytes.len >= 4u + (at[0] & 15)) {
        sent[r].mid = (uint16_t)(at[2] << 8 | at[3]);
        sent[r].token_len = at[0] & 15;
        memcpy(sent[r].token, at + 4, sent[r].token_len);
    }
    if (from_stranger) {
        world_send_from_stranger(w, bytes.at, bytes.len);
    } else {
        world_send(w, bytes.at, bytes.len);
    }
}

static void rare_step(struct world *w, struct world_input *in)
{
    switch (world_u8(in) % 4) {
    case 0:
        world_revoke(w);
        break;
    case 1:
        w->queue_room = world_u8(in);
        break;
    case 2:
        w->collector.draining = true;
        break;
    default:
        send_message(w, world_bytes(in, 2048), true);
        break;
    }
}

static void one_input(struct world *w, const uint8_t *data, size_t size)
{
    struct world_input in = {data, size};

    world_open(w, COAP_PROTO_UDP);
    while (in.left > 0) {
        uint8_t step = world_u8(&in) % 8;
        switch (step) {
        case 4:
        case 5:
            (void)world_verdicts(w, step == 4 ? VG_OK : VG_E_TIMEOUT);
            break;
        case 6:
            world_advance(w, world_u16(&in));
            break;
        case 7:
            rare_step(w, &in);
            break;
        default:
            send_message(w, world_bytes(&in, 2048), false);
            break;
        }
        hold_answers(w);
    }
    world_close(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    static bool known_good;

    if (!known_good) { /* that the target still reaches what it is for */
        static const uint8_t good[] = "\x00\x00\x2f" WORLD_GOOD_REQUEST "\x04";
        static_assert(sizeof(WORLD_GOOD_REQUEST) - 1 == 0x2f, "the length in front of it");
        world_once();
        one_input(&w, good, sizeof(good) - 1);
        world_require(w.durable == 1, "a good request is stored");
        known_good = true;
    }
    one_input(&w, data, size);
    return 0;
}
