/* See proxy.h. It forwards whole frames: a length of 4 bytes, then a request (API key, version,
 * correlation id) or a response (correlation id). https://kafka.apache.org/protocol */
#include "proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LINKS    16
#define FRAME    65536
#define ASKED    64
#define METADATA 3
#define TURN_MS  20

struct link {
    int fd[2]; /* the client's, the broker's; -1: free */
    size_t have[2];
    uint8_t frame[2][FRAME];
    int32_t asked[ASKED]; /* correlation ids of requests for Metadata, the newest ones */
    size_t asked_count;
};

struct proxy {
    int listener, port, broker_port;
    pthread_t thread;
    atomic_bool none, hang_up, stop;
    atomic_int named_none;
    struct link links[LINKS];
};

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put32(uint8_t *at, uint32_t n)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(n >> (24 - 8 * i));
    }
}

/* A length that takes one byte: all of this broker's do. */
static size_t short_length(const uint8_t *at)
{
    if (*at >= 0x80) {
        abort();
    }
    return *at == 0 ? 0 : *at - 1U;
}

/* Metadata of version 9 and above: tags, throttle time, then the brokers: id, host, port, rack,
 * tags. Returns the length of the changed frame. */
static size_t rewrite(struct proxy *p, uint8_t *frame, size_t len)
{
    uint8_t *const brokers = frame + 4 + 4 + 1 + 4;
    const size_t count = short_length(brokers);
    uint8_t *at = brokers + 1;
    for (size_t i = 0; i < count; i++) {
        at += 4;
        at += 1 + short_length(at);
        put32(at, (uint32_t)p->port);
        at += 4;
        at += 1 + short_length(at);
        at += 1;
    }
    if (atomic_load(&p->none) && count > 0) {
        const size_t cut = (size_t)(at - (brokers + 1));
        *brokers = 1; /* none */
        memmove(brokers + 1, at, len - (size_t)(at - frame));
        len -= cut;
        put32(frame, (uint32_t)(len - 4));
        atomic_fetch_add(&p->named_none, 1);
    }
    return len;
}

static bool send_all(int fd, const uint8_t *at, size_t len)
{
    while (len > 0) {
        const ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* One whole frame from `side`. */
static bool pass(struct proxy *p, struct link *l, int side, uint8_t *frame, size_t len)
{
    const int32_t id = (int32_t)get32(frame + (side == 0 ? 8 : 4));
    if (side == 0 && frame[4] == 0 && frame[5] == METADATA) {
        l->asked[l->asked_count++ % ASKED] = id;
    }
    for (size_t i = 0; side == 1 && i < ASKED && i < l->asked_count; i++) {
        if (l->asked[i] == id) {
            len = rewrite(p, frame, len);
            l->asked[i] = -1;
            break;
        }
    }
    return send_all(l->fd[1 - side], frame, len);
}

static void end_link(struct link *l)
{
    close(l->fd[0]);
    close(l->fd[1]);
    l->fd[0] = l->fd[1] = -1;
}

static bool carry(struct proxy *p, struct link *l, int side)
{
    uint8_t *const frame = l->frame[side];
    const ssize_t n = recv(l->fd[side], frame + l->have[side], FRAME - l->have[side], 0);
    if (n <= 0) {
        return false;
    }
    l->have[side] += (size_t)n;
    while (l->have[side] >= 12) {
        const size_t len = 4 + get32(frame);
        uint8_t one[FRAME];
        if (len > FRAME || l->have[side] < len) {
            return len <= FRAME;
        }
        memcpy(one, frame, len);
        memmove(frame, frame + len, l->have[side] - len);
        l->have[side] -= len;
        if (!pass(p, l, side, one, len)) {
            return false;
        }
    }
    return true;
}

static void take(struct proxy *p)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)p->broker_port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int client = accept(p->listener, NULL, NULL);
    const int broker = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (size_t i = 0; i < LINKS; i++) {
        struct link *l = &p->links[i];
        if (l->fd[0] < 0 && connect(broker, (const struct sockaddr *)&to, sizeof to) == 0) {
            *l = (struct link){.fd = {client, broker}};
            return;
        }
    }
    close(client);
    close(broker);
}

static void *run(void *arg)
{
    struct proxy *p = arg;
    while (!atomic_load(&p->stop)) {
        struct pollfd ends[1 + 2 * LINKS] = {{.fd = p->listener, .events = POLLIN}};
        if (atomic_exchange(&p->hang_up, false)) {
            for (size_t i = 0; i < LINKS; i++) {
                if (p->links[i].fd[0] >= 0) {
                    end_link(&p->links[i]);
                }
            }
        }
        for (size_t i = 0; i < 2 * LINKS; i++) {
            ends[1 + i] = (struct pollfd){.fd = p->links[i / 2].fd[i % 2], .events = POLLIN};
        }
        if (poll(ends, 1 + 2 * LINKS, TURN_MS) <= 0) {
            continue;
        }
        for (size_t i = 0; i < 2 * LINKS; i++) {
            struct link *l = &p->links[i / 2];
            if (ends[1 + i].revents != 0 && l->fd[0] >= 0 && !carry(p, l, (int)(i % 2))) {
                end_link(l);
            }
        }
        if (ends[0].revents != 0) {
            take(p);
        }
    }
    return NULL;
}

struct proxy *proxy_start(int port)
{
    struct proxy *p = calloc(1, sizeof *p);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    assert_non_null(p);
    for (size_t i = 0; i < LINKS; i++) {
        p->links[i].fd[0] = p->links[i].fd[1] = -1;
    }
    p->broker_port = port;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(p->listener, LINKS), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &len), 0);
    p->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
    return p;
}

int proxy_port(const struct proxy *p)
{
    return p->port;
}

void proxy_name_no_broker(struct proxy *p, bool none)
{
    atomic_store(&p->none, none);
}

int proxy_named_none(struct proxy *p)
{
    return atomic_load(&p->named_none);
}

void proxy_hang_up(struct proxy *p)
{
    atomic_store(&p->hang_up, true);
}

void proxy_stop(struct proxy *p)
{
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    for (size_t i = 0; i < LINKS; i++) {
        if (p->links[i].fd[0] >= 0) {
            end_link(&p->links[i]);
        }
    }
    close(p->listener);
    free(p);
}
