/* A CoAP client with Connection ID for the collector's tests, driven line by line from standard
 * input:
 *
 *   post PATH FORMAT BODYHEX [QUERY…]     one confirmable request; prints "CODE BODYHEX"
 *   flood PATH FORMAT BODYHEX COUNT WIDTH COUNT requests, WIDTH under way; prints "done GOOD
 * MILLISECONDS" con MID PATH FORMAT BODYHEX           the same message id as often as it is asked;
 * prints as post does
 *
 * It is libcoap's client, as in the agent; the clients of Debian and Californium are the
 * independent ones. */
#include "fixture.h"

#include "vigia/span.h"

#include <arpa/inet.h>
#include <coap3/coap.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MS  (25000 * VIGIA_TEST_PATIENCE)
#define BODY_MAX 1400

struct client {
    coap_context_t *context;
    coap_session_t *session;
    size_t answered, good;
    bool gone;
    unsigned code;
    char body[2 * 1500 + 1];
};

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent,
                                   const coap_pdu_t *received, const coap_mid_t mid)
{
    struct client *c = coap_session_get_app_data(session);
    const uint8_t *data = NULL;
    size_t len = 0;
    (void)sent;
    (void)mid;

    c->answered++;
    c->code = coap_pdu_get_code(received);
    c->good += c->code == COAP_RESPONSE_CODE_CHANGED;
    c->body[0] = '\0';
    if (coap_get_data(received, &len, &data) == 1 && len <= 1500) {
        vg_hex(data, len, c->body);
    }
    return COAP_RESPONSE_OK;
}

static void on_nack(coap_session_t *session, const coap_pdu_t *sent,
                    const coap_nack_reason_t reason, const coap_mid_t mid)
{
    struct client *c = coap_session_get_app_data(session);
    (void)sent;
    (void)reason;
    (void)mid;
    c->gone = true;
}

static bool open_client(struct client *c, const char *host, unsigned port, const char *identity,
                        const char *key_hex, bool cid, unsigned local_port)
{
    static uint8_t key[32];
    static coap_dtls_cpsk_t psk;
    coap_address_t to, from;

    coap_startup();
    coap_set_log_level(COAP_LOG_CRIT);
    c->context = coap_new_context(NULL);
    if (c->context == NULL || !vg_unhex(vg_span_str(key_hex), key, sizeof(key))) {
        return false;
    }
    coap_address_init(&to);
    to.addr.sin.sin_family = AF_INET;
    to.addr.sin.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &to.addr.sin.sin_addr) != 1) {
        return false;
    }
    from = to;
    from.addr.sin.sin_port = htons((uint16_t)local_port);
    psk.version = COAP_DTLS_CPSK_SETUP_VERSION;
    psk.use_cid = cid;
    psk.psk_info.identity = (coap_bin_const_t){strlen(identity), (const uint8_t *)identity};
    psk.psk_info.key = (coap_bin_const_t){sizeof(key), key};
    c->session = coap_new_client_session_psk2(c->context, local_port == 0 ? NULL : &from, &to,
                                              COAP_PROTO_DTLS, &psk);
    if (c->session == NULL) {
        return false;
    }
    coap_session_set_app_data(c->session, c);
    coap_session_set_mtu(c->session, 1400);
    coap_session_set_nstart(c->session, 64);
    coap_register_response_handler(c->context, on_response);
    coap_register_nack_handler(c->context, on_nack);
    return true;
}

struct post {
    const char *path;
    unsigned long format;
    uint8_t body[BODY_MAX];
    size_t len;
    char *queries[4];
    size_t query_count;
    long mid; /* -1: a new one */
};

static bool send_post(struct client *c, const struct post *p)
{
    uint8_t token[8], number[4];
    size_t token_len = 0;
    coap_mid_t mid = p->mid >= 0 ? (coap_mid_t)p->mid : coap_new_message_id(c->session);
    coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_CON, COAP_REQUEST_CODE_POST, mid, 1400);
    char path[64];
    char *rest = NULL;

    if (pdu == NULL || !vg_str_copy(p->path, path, sizeof(path))) {
        return false;
    }
    coap_session_new_token(c->session, &token_len, token);
    (void)coap_add_token(pdu, token_len, token);
    for (char *part = strtok_r(path, "/", &rest); part != NULL; part = strtok_r(NULL, "/", &rest)) {
        (void)coap_add_option(pdu, COAP_OPTION_URI_PATH, strlen(part), (const uint8_t *)part);
    }
    (void)coap_add_option(pdu, COAP_OPTION_CONTENT_FORMAT,
                          coap_encode_var_safe(number, sizeof(number), (unsigned)p->format),
                          number);
    for (size_t i = 0; i < p->query_count; i++) {
        (void)coap_add_option(pdu, COAP_OPTION_URI_QUERY, strlen(p->queries[i]),
                              (const uint8_t *)p->queries[i]);
    }
    return coap_add_data(pdu, p->len, p->body) == 1 &&
           coap_send(c->session, pdu) != COAP_INVALID_MID;
}

/* Runs until `answered` requests have their answers; false: the session is gone or the time is up.
 */
static bool wait_answers(struct client *c, size_t answered)
{
    int64_t until = now_ms() + WAIT_MS;
    while (c->answered < answered && !c->gone && now_ms() < until) {
        if (coap_io_process(c->context, 1000) < 0) {
            return false;
        }
    }
    return c->answered >= answered;
}

static void print_answer(const struct client *c, bool there)
{
    if (there) {
        printf("%u.%02u %s\n", c->code >> 5, c->code & 31, c->body);
    } else {
        printf("none\n");
    }
}

static void run_post(struct client *c, const struct post *p)
{
    c->gone = false;
    c->answered = 0;
    print_answer(c, send_post(c, p) && wait_answers(c, 1));
}

static void run_flood(struct client *c, const struct post *p, size_t count, size_t width)
{
    int64_t started = now_ms();
    size_t good = c->good, sent = 0;

    c->gone = false;
    c->answered = 0;
    while (sent < count && !c->gone) {
        if (!send_post(c, p)) {
            break;
        }
        sent++;
        if (sent >= width && !wait_answers(c, sent - width + 1)) {
            break;
        }
    }
    (void)wait_answers(c, sent);
    printf("done %zu %lld\n", c->good - good, (long long)(now_ms() - started));
}

static bool parse_post(char **words, size_t count, struct post *p)
{
    unsigned long long format = 0;
    size_t len = 0;

    if (count < 3 || !vg_span_to_u64(vg_span_str(words[1]), &format) ||
        (len = strlen(words[2])) / 2 > BODY_MAX ||
        !vg_unhex(vg_span(words[2], len), p->body, len / 2)) {
        return false;
    }
    p->path = words[0];
    p->format = (unsigned long)format;
    p->len = len / 2;
    return true;
}

static void run_line(struct client *c, char *line)
{
    char *words[10], *rest = NULL;
    size_t count = 0;
    struct post p = {.mid = -1};
    unsigned long long a = 0, b = 0;

    for (char *w = strtok_r(line, " \n", &rest); w != NULL && count < 10;
         w = strtok_r(NULL, " \n", &rest)) {
        words[count++] = w;
    }
    if (count >= 4 && strcmp(words[0], "post") == 0 && parse_post(words + 1, count - 1, &p)) {
        for (size_t i = 4; i < count && p.query_count < 4; i++) {
            p.queries[p.query_count++] = words[i];
        }
        run_post(c, &p);
    } else if (count == 6 && strcmp(words[0], "flood") == 0 && parse_post(words + 1, 3, &p) &&
               vg_span_to_u64(vg_span_str(words[4]), &a) &&
               vg_span_to_u64(vg_span_str(words[5]), &b) && b > 0) {
        run_flood(c, &p, (size_t)a, (size_t)b);
    } else if (count == 5 && strcmp(words[0], "con") == 0 && parse_post(words + 2, 3, &p) &&
               vg_span_to_u64(vg_span_str(words[1]), &a) && a <= 65535) {
        p.mid = (long)a;
        c->gone = false;
        c->answered = 0;
        printf(send_post(c, &p) ? "sent\n" : "none\n");
    } else if (count == 1 && strcmp(words[0], "wait") == 0) {
        print_answer(c, wait_answers(c, 1));
    } else {
        printf("malformed\n");
    }
    (void)fflush(stdout);
}

int run_client(int argc, char **argv)
{
    static struct client c;
    static char line[4096];
    unsigned long long port = 0, local = 0;

    if (argc != 6 || !vg_span_to_u64(vg_span_str(argv[1]), &port) ||
        !vg_span_to_u64(vg_span_str(argv[5]), &local) || port > 65535 || local > 65535 ||
        !open_client(&c, argv[0], (unsigned)port, argv[2], argv[3], strcmp(argv[4], "cid") == 0,
                     (unsigned)local)) {
        fprintf(stderr, "collector_fixture client HOST PORT IDENTITY KEYHEX cid|plain LOCALPORT\n");
        return 2;
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        run_line(&c, line);
    }
    coap_session_release(c.session);
    coap_free_context(c.context);
    coap_cleanup();
    return 0;
}
