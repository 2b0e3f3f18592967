#include "resolve.h"

#include "vigia/queue.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct question {
    uint64_t ticket;
    unsigned turn;
    struct vg_endpoint endpoint;
};
struct answer {
    uint64_t ticket;
    struct vgi_address address;
};

struct vgi_resolver {
    struct vg_loop *loop;
    vgi_resolved_fn *fn;
    void *arg;
    struct vg_queue *questions, *answers;
    vg_watch_id watch;
    pthread_t thread;
    bool started;
    uint64_t last_ticket;
    pthread_mutex_t lock; /* of the two below */
    bool looking;         /* inside getaddrinfo(3), which nothing ends early */
    bool left;            /* by its owner while looking: the thread frees everything */
};

static void release(struct vgi_resolver *r)
{
    vg_queue_free(r->questions);
    vg_queue_free(r->answers);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

static void look_up(const struct vg_endpoint *e, int flags, unsigned turn, struct vgi_address *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", (unsigned)e->port);
    out->len = 0;
    if (getaddrinfo(e->host, port, &hints, &list) != 0 || list == NULL) {
        return;
    }
    unsigned count = 1;
    for (const struct addrinfo *a = list->ai_next; a != NULL; a = a->ai_next) {
        count++;
    }
    const struct addrinfo *a = list;
    for (unsigned i = 0; i < turn % count; i++) {
        a = a->ai_next;
    }
    memcpy(&out->at, a->ai_addr, a->ai_addrlen);
    out->len = a->ai_addrlen;
    freeaddrinfo(list);
}

/* The next question, from which on the thread counts as looking; false when there will be none. */
static bool next_question(struct vgi_resolver *r, struct question *q)
{
    while (vg_queue_wait(r->questions, -1)) {
        (void)pthread_mutex_lock(&r->lock);
        r->looking = vg_queue_pop(r->questions, q, 1) == 1;
        const bool looking = r->looking;
        (void)pthread_mutex_unlock(&r->lock);
        if (looking) {
            return true;
        }
    }
    return false;
}

static void *serve(void *arg)
{
    struct vgi_resolver *r = arg;
    struct question q;
    while (next_question(r, &q)) {
        struct answer a = {.ticket = q.ticket};
        look_up(&q.endpoint, AI_ADDRCONFIG, q.turn, &a.address);
        (void)pthread_mutex_lock(&r->lock);
        r->looking = false;
        const bool left = r->left;
        (void)pthread_mutex_unlock(&r->lock);
        if (left) {
            release(r);
            return NULL;
        }
        /* As long as the questions' queue, and drained by the loop: full only while the loop is
         * stopped. */
        if (vg_queue_push(r->answers, &a) != VG_OK) {
            break;
        }
    }
    return NULL;
}

static void on_answers(void *arg, unsigned events)
{
    (void)events;
    struct vgi_resolver *r = arg;
    struct answer a;
    while (vg_queue_pop(r->answers, &a, 1) == 1) {
        r->fn(r->arg, a.ticket, &a.address);
    }
}

enum vg_err vgi_resolver_new(struct vg_loop *loop, vgi_resolved_fn *fn, void *arg,
                             struct vgi_resolver **out)
{
    struct vgi_resolver *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return VG_E_NOMEM;
    }
    r->loop = loop;
    r->fn = fn;
    r->arg = arg;
    (void)pthread_mutex_init(&r->lock, NULL);
    enum vg_err e = vg_queue_new(sizeof(struct question), VGI_RESOLVE_MAX, &r->questions);
    if (e == VG_OK) {
        e = vg_queue_new(sizeof(struct answer), VGI_RESOLVE_MAX + 1, &r->answers);
    }
    if (e == VG_OK) {
        e = vg_loop_watch(loop, vg_queue_fd(r->answers), VG_LOOP_READ, on_answers, r, &r->watch);
    }
    if (e != VG_OK) {
        vgi_resolver_free(r);
        return e;
    }
    *out = r;
    return VG_OK;
}

void vgi_resolver_free(struct vgi_resolver *r)
{
    if (r == NULL) {
        return;
    }
    vg_loop_unwatch(r->loop, r->watch);
    if (r->started) {
        struct question q;
        (void)pthread_mutex_lock(&r->lock);
        while (vg_queue_pop(r->questions, &q, 1) == 1) {
        }
        vg_queue_close(r->questions);
        const bool leave = r->looking;
        r->left = leave;
        if (leave) {
            (void)pthread_detach(r->thread);
        }
        (void)pthread_mutex_unlock(&r->lock);
        if (leave) {
            return;
        }
        (void)pthread_join(r->thread, NULL);
    }
    release(r);
}

enum vg_err vgi_resolve_numeric(const struct vg_endpoint *e, struct vgi_address *out)
{
    struct vgi_address a;
    look_up(e, AI_NUMERICHOST, 0, &a);
    if (a.len == 0) {
        return VG_E_NOTFOUND;
    }
    *out = a;
    return VG_OK;
}

static enum vg_err start_thread(struct vgi_resolver *r)
{
    sigset_t all, before;
    pthread_attr_t attr;
    sigfillset(&all);
    if (pthread_attr_init(&attr) != 0) {
        return VG_E_NOMEM;
    }
    (void)pthread_attr_setstacksize(&attr, 256 * 1024);
    /* Signals are the loop's business. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r->started = pthread_create(&r->thread, &attr, serve, r) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return r->started ? VG_OK : VG_E_NOMEM;
}

enum vg_err vgi_resolver_ask(struct vgi_resolver *r, const struct vg_endpoint *e, unsigned turn,
                             uint64_t *ticket)
{
    if (!r->started) {
        enum vg_err failed = start_thread(r);
        if (failed != VG_OK) {
            return failed;
        }
    }
    struct question q = {.ticket = r->last_ticket + 1, .turn = turn, .endpoint = *e};
    enum vg_err refused = vg_queue_push(r->questions, &q);
    if (refused != VG_OK) {
        return refused;
    }
    *ticket = ++r->last_ticket;
    return VG_OK;
}
