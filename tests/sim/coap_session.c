/* Contexts, sessions and their handshake. */
#include "coap_sim.h"

#include <stdlib.h>
#include <string.h>

#define STEPS            3
#define HELLO_FIRST      (1 * SIM_S) /* RFC 6347 §4.2.4.1: 1 s, doubled */
#define HELLO_LAST       (60 * SIM_S)
#define HALF_OPEN_MAX    (30 * SIM_S)
#define REPLAY_WINDOW    64
#define CONNS_ROOM_FIRST 256

bool sim_replay_protection = true;
struct sim_coap_count sim_coap_counts;

static coap_context_t *contexts;
static uint64_t conns;

/* ---- small calls ---- */

void coap_startup(void)
{
}
void coap_cleanup(void)
{
}
void coap_set_log_handler(coap_log_handler_t handler)
{
    (void)handler;
}
void coap_set_log_level(coap_log_t level)
{
    (void)level;
}
void coap_dtls_set_log_level(coap_log_t level)
{
    (void)level;
}
int coap_dtls_psk_is_supported(void)
{
    return 1;
}

coap_tls_version_t *coap_get_tls_library_version(void)
{
    static coap_tls_version_t version = {.type = COAP_TLS_LIBRARY_MBEDTLS, .version = 0x7fffffff};
    return &version;
}

const char *coap_package_version(void)
{
    return "4.3.5";
}

void coap_ticks(coap_tick_t *t)
{
    *t = (coap_tick_t)(sim_now / SIM_MS);
}

void coap_address_init(coap_address_t *a)
{
    memset(a, 0, sizeof *a);
}

coap_str_const_t *coap_make_str_const(const char *text)
{
    static coap_str_const_t strings[2];
    static unsigned turn;
    coap_str_const_t *s = &strings[turn++ % 2];
    s->length = strlen(text);
    s->s = (const uint8_t *)text;
    return s;
}

/* ---- contexts ---- */

coap_context_t *coap_new_context(const coap_address_t *listen)
{
    (void)listen;
    coap_context_t *ctx = calloc(1, sizeof *ctx);
    if (ctx != NULL) {
        ctx->proc = sim_me();
        ctx->path = sim_path(ctx->proc->host->number);
        ctx->fd = sim_fd_coap(ctx->proc, &ctx->ready);
        ctx->alarm = SIM_NEVER;
        ctx->next = contexts;
        contexts = ctx;
    }
    return ctx;
}

int coap_context_get_coap_fd(const coap_context_t *ctx)
{
    return ctx->fd;
}
void coap_context_set_app_data(coap_context_t *ctx, void *app)
{
    ctx->app = app;
}
void *coap_context_get_app_data(const coap_context_t *ctx)
{
    return ctx->app;
}
void coap_context_set_max_handshake_sessions(coap_context_t *ctx, unsigned int max)
{
    (void)ctx;
    (void)max;
}
void coap_context_set_max_idle_sessions(coap_context_t *ctx, unsigned int max)
{
    (void)ctx;
    (void)max;
}
void coap_context_set_session_timeout(coap_context_t *ctx, unsigned int seconds)
{
    (void)ctx;
    (void)seconds;
}
int coap_context_set_psk2(coap_context_t *ctx, coap_dtls_spsk_t *setup)
{
    ctx->psk = *setup;
    return 1;
}
void coap_register_event_handler(coap_context_t *ctx, coap_event_handler_t fn)
{
    ctx->on_event = fn;
}
void coap_register_nack_handler(coap_context_t *ctx, coap_nack_handler_t fn)
{
    ctx->on_nack = fn;
}
void coap_register_response_handler(coap_context_t *ctx, coap_response_handler_t fn)
{
    ctx->on_response = fn;
}

coap_endpoint_t *coap_new_endpoint(coap_context_t *ctx, const coap_address_t *at,
                                   coap_proto_t proto)
{
    (void)proto;
    ctx->port = ntohs(at->addr.sin.sin_port);
    return (coap_endpoint_t *)(void *)ctx;
}

void coap_endpoint_set_default_mtu(coap_endpoint_t *endpoint, unsigned mtu)
{
    (void)endpoint;
    (void)mtu;
}

static void on_alarm(void *arg, uint64_t n)
{
    coap_context_t *ctx = arg;
    if (!ctx->dead && ctx->alarm == (int64_t)n) {
        ctx->alarm = SIM_NEVER;
        ctx->ready = true;
        sim_fd_changed(ctx->proc);
    }
}

void sim_context_alarm(coap_context_t *ctx, int64_t at)
{
    if (at < ctx->alarm) {
        ctx->alarm = at;
        sim_at(at, on_alarm, ctx, (uint64_t)at);
    }
}

/* ---- what passes between two ends ---- */

static coap_context_t *listener(uint16_t port)
{
    for (coap_context_t *ctx = contexts; ctx != NULL; ctx = ctx->next) {
        if (!ctx->dead && ctx->port == port) {
            return ctx;
        }
    }
    return NULL;
}

static void arrive(void *arg)
{
    struct sim_datagram *d = arg;
    const coap_session_t *s = d->to_server ? d->conn->server : d->conn->client;
    coap_context_t *ctx = s != NULL ? s->ctx : d->to_server ? listener(d->conn->port) : NULL;
    struct sim_inbox *in = malloc(sizeof *in);
    if (ctx == NULL || in == NULL) {
        free(d);
        free(in);
        return;
    }
    *in = (struct sim_inbox){NULL, d};
    if (ctx->last != NULL) {
        ctx->last->next = in;
    } else {
        ctx->first = in;
    }
    ctx->last = in;
    ctx->ready = true;
    sim_fd_changed(ctx->proc);
}

void sim_session_transmit(coap_session_t *s, enum sim_kind kind, unsigned step,
                          const coap_pdu_t *pdu)
{
    size_t len = pdu != NULL ? sizeof(struct sim_datagram) : offsetof(struct sim_datagram, pdu);
    struct sim_datagram *d = calloc(1, sizeof *d);
    if (d == NULL) {
        sim_fail("no memory for a datagram");
    }
    d->conn = s->conn;
    d->to_server = !s->server;
    d->kind = kind;
    d->step = step;
    d->address = s->conn->path->address;
    d->number = ++s->sent;
    if (kind == SIM_HELLO && step == STEPS) {
        memcpy(d->identity, s->identity, sizeof d->identity);
        memcpy(d->key, s->key, sizeof d->key);
        d->key_len = s->key_bin.length;
    }
    if (pdu != NULL) {
        d->pdu = *pdu;
    }
    sim_trace("datagram %llu %s kind=%d step=%u mid=%d code=%d", (unsigned long long)s->conn->id,
              d->to_server ? "up" : "down", (int)kind, step, pdu != NULL ? pdu->mid : 0,
              pdu != NULL ? (int)pdu->code : 0);
    (void)len;
    sim_net_send(s->conn->path, d, sizeof *d, arrive);
}

/* ---- sessions ---- */

static coap_session_t *new_session(coap_context_t *ctx, struct sim_conn *conn, bool server)
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
    coap_session_t *s = new_session(ctx, conn, false);
    conn->client = s;
    s->references = 1;
    memcpy(s->identity, setup->psk_info.identity.s, setup->psk_info.identity.length);
    memcpy(s->key, setup->psk_info.key.s, setup->psk_info.key.length);
    s->key_bin.length = setup->psk_info.key.length;
    s->step = 1;
    s->step_wait = HELLO_FIRST;
    s->step_due = sim_now + HELLO_FIRST;
    sim_coap_counts.handshakes++;
    sim_session_transmit(s, SIM_HELLO, 1, NULL);
    sim_context_alarm(ctx, s->step_due);
    return s;
}

static void remove_session(coap_session_t *s)
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

static bool free_if_over(coap_session_t *s)
{
    if (!s->closed || s->references > 0 || !s->server) {
        return false;
    }
    remove_session(s);
    (void)s->ctx->on_event(s, COAP_EVENT_SERVER_SESSION_DEL);
    return true;
}

void coap_session_release(coap_session_t *s)
{
    s->references--;
    if (s->references == 0 && !s->server) {
        sim_session_end(s, s->state == COAP_SESSION_STATE_ESTABLISHED);
        remove_session(s);
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

/* ---- handshake ---- */

static void establish(coap_session_t *s)
{
    s->state = COAP_SESSION_STATE_ESTABLISHED;
    s->step_due = SIM_NEVER;
}

static void server_last_step(coap_session_t *s, const struct sim_datagram *d)
{
    coap_context_t *ctx = s->ctx;
    if (s->state == COAP_SESSION_STATE_ESTABLISHED) {
        sim_session_transmit(s, SIM_REPLY, STEPS, NULL);
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
    sim_session_transmit(s, SIM_REPLY, STEPS, NULL);
}

static void server_hello(coap_context_t *ctx, const struct sim_datagram *d)
{
    coap_session_t *s = d->conn->server;
    if (s == NULL) {
        if (d->step != 1 || d->conn->client == NULL) {
            return; /* nobody knows this handshake any more */
        }
        s = d->conn->server = new_session(ctx, d->conn, true);
        (void)ctx->on_event(s, COAP_EVENT_SERVER_SESSION_NEW);
        sim_context_alarm(ctx, s->since + HALF_OPEN_MAX);
    }
    if (d->step == STEPS) {
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
    if (s->step == STEPS) {
        establish(s);
        return;
    }
    s->step++;
    s->step_wait = HELLO_FIRST;
    s->step_due = sim_now + HELLO_FIRST;
    sim_session_transmit(s, SIM_HELLO, s->step, NULL);
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

static void handle(coap_context_t *ctx, const struct sim_datagram *d)
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

/* One thing that is due; false: nothing is. */
static bool session_due(coap_session_t *s)
{
    if (free_if_over(s)) {
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

unsigned int coap_io_prepare_epoll(coap_context_t *ctx, coap_tick_t now)
{
    (void)now;
    int64_t next = SIM_NEVER;
    for (const coap_session_t *s = ctx->sessions; s != NULL; s = s->next) {
        int64_t at = sim_message_due(s);
        if (s->state == COAP_SESSION_STATE_HANDSHAKE) {
            int64_t step = s->server ? s->since + HALF_OPEN_MAX : s->step_due;
            at = step < at ? step : at;
        }
        next = at < next ? at : next;
    }
    if (next != SIM_NEVER) {
        sim_context_alarm(ctx, next);
    }
    return 0;
}

int coap_io_process(coap_context_t *ctx, uint32_t timeout_ms)
{
    (void)timeout_ms;
    ctx->ready = false;
    while (ctx->first != NULL) {
        struct sim_inbox *in = ctx->first;
        ctx->first = in->next;
        ctx->last = ctx->first == NULL ? NULL : ctx->last;
        handle(ctx, in->datagram);
        free(in->datagram);
        free(in);
    }
    for (coap_session_t *s = ctx->sessions; s != NULL;) {
        s = session_due(s) ? ctx->sessions : s->next;
    }
    (void)coap_io_prepare_epoll(ctx, 0);
    return 0;
}

void coap_free_context(coap_context_t *ctx)
{
    while (ctx != NULL && ctx->sessions != NULL) {
        coap_session_t *s = ctx->sessions;
        sim_session_end(s, s->state == COAP_SESSION_STATE_ESTABLISHED);
        s->references = 0;
        if (!free_if_over(s)) {
            remove_session(s);
        }
    }
    if (ctx != NULL) {
        ctx->dead = true;
    }
}

void sim_coap_forget(struct sim_proc *p)
{
    for (coap_context_t *ctx = contexts; ctx != NULL; ctx = ctx->next) {
        if (ctx->proc != p || ctx->dead) {
            continue;
        }
        ctx->dead = true;
        for (coap_session_t *s = ctx->sessions; s != NULL; s = s->next) {
            if (s->conn->server == s) {
                s->conn->server = NULL;
            } else if (s->conn->client == s) {
                s->conn->client = NULL;
            }
        }
    }
}
