/* Contexts: what their owner sets, what passes between two of them, the turn of their loop. */
#include "coap_sim.h"

#include <stdlib.h>
#include <string.h>

static coap_context_t *contexts;

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
    if (kind == SIM_HELLO && step == SIM_STEPS) {
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
    sim_net_send(s->conn->path, d, sizeof *d, arrive);
}

/* ---- the turn of the loop ---- */

unsigned int coap_io_prepare_epoll(coap_context_t *ctx, coap_tick_t now)
{
    (void)now;
    int64_t next = SIM_NEVER;
    for (const coap_session_t *s = ctx->sessions; s != NULL; s = s->next) {
        int64_t at = sim_message_due(s);
        int64_t step = sim_handshake_due(s);
        at = step < at ? step : at;
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
        sim_session_arrived(ctx, in->datagram);
        free(in->datagram);
        free(in);
    }
    for (coap_session_t *s = ctx->sessions; s != NULL;) {
        s = sim_session_due(s) ? ctx->sessions : s->next;
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
        if (!sim_session_free_if_over(s)) {
            sim_session_remove(s);
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
