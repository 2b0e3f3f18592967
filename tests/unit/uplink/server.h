/* A tiny CoAP/DTLS server on the test's own loop: it notes requests and answers as told. */
#ifndef VIGIA_TEST_UPLINK_SERVER_H
#define VIGIA_TEST_UPLINK_SERVER_H

#include "vigia/loop.h"
#include "vigia/senml.h"

#define SERVER_KEY   "0123456789abcdef0123456789abcdef"
#define SERVER_NOTES 64

struct server;

struct server_answer {
    unsigned code;    /* 0: 2.04 */
    int64_t max_age;  /* -1: without */
    int64_t delay_ms; /* above 0: a separate response */
    struct vg_refusal refusals[4];
    size_t refusal_count;
};

struct server_request {
    char query[VG_QUERY_MAX * 3]; /* "store=…&lane=…&seq=…" as it came */
    char identity[VG_DEVICE_NAME_MAX + 1];
    unsigned content_format;
    enum vg_err decoded;
    size_t readings;
    struct vg_reading first;
};

/* Listens on a free port of 127.0.0.1, or on `port` if it is not 0. */
struct server *server_new(struct vg_loop *loop, uint16_t port);
void server_free(struct server *s);
uint16_t server_port(const struct server *s);
/* The answers of the next requests, in order; after the last, 2.04. */
void server_script(struct server *s, const struct server_answer *answers, size_t count);
size_t server_count(const struct server *s);
const struct server_request *server_request(const struct server *s, size_t i);
size_t server_sessions(const struct server *s); /* begun */

#endif
