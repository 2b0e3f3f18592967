/* A collector without its program: the endpoint, the sessions, the checks and the intake as they are, over a log that keeps
 * nothing and gives its verdicts when it is told to.
 *
 *   target ──datagrams──► 127.0.0.2:P  endpoint ─► check ─► intake ─► world_append (holds each record to its contract)
 *   target ◄──answers───  127.0.0.1:P                         ▲
 *   target ──world_verdicts(result)───────────────────────────┘
 *
 * The client socket has port P of one loopback address and the collector the same port of another, so that targets that run side
 * by side never meet. One world lives for one input. */
#ifndef VIGIA_FUZZ_INGEST_WORLD_H
#define VIGIA_FUZZ_INGEST_WORLD_H

#include "../../../collector/ingest/inside.h"

#define WORLD_DEVICE     "pi-42"
#define WORLD_REVOKED    "pi-43"
#define WORLD_RECORDS    256 /* requests and refused payloads that wait for a verdict, at most */
#define WORLD_KEPT       4   /* of these for urgent requests */
#define WORLD_ANSWER_MAX 2048
#define WORLD_NOW_MS     1793194820500LL
/* CON POST /v1/readings, content-format 50, message id 0, one plain reading. */
#define WORLD_GOOD_REQUEST                                                                         \
    "\x41\x02\x00\x00\x07\xb2v1\x08readings\x11\x32\xff"                                           \
    "{\"id\":\"42959\",\"smoke\":true}"

struct world {
    struct vgi_collector collector;
    struct vg_fake_clock clock;
    int client;      /* connected to the collector, never blocks */
    int stranger;    /* the same from another address; opened on first use */
    char port[8];    /* P */
    size_t appended; /* readings that the log has accepted */
    size_t durable;  /* requests with a good verdict */
    size_t rejected; /* records of the topic `rejected` */
    bool may_append; /* false: a reading that arrives is somebody's forgery */
    struct {
        vg_dlog_verdict_fn *fn;
        void *arg;
        size_t request; /* world_send's number */
        bool reading;
    } waiting[WORLD_RECORDS];
    size_t waiting_count, queue_room;
    size_t request; /* datagrams sent so far */
};

/* Once per process: quiet log lines, the key file. */
void world_once(void);
/* The devices' key. */
const uint8_t *world_psk(void);
void world_open(struct world *w, coap_proto_t proto);
void world_close(struct world *w);
/* Sends a datagram and lets the collector handle what there is. */
void world_send(struct world *w, const void *bytes, size_t len);
/* The same from another address: connected to the collector like `client`. */
void world_send_from_stranger(struct world *w, const void *bytes, size_t len);
/* The next datagram that the client got; 0: none. */
size_t world_receive(struct world *w, uint8_t out[WORLD_ANSWER_MAX]);
/* Gives the verdict to every record that waits. Returns how many there were. */
size_t world_verdicts(struct world *w, enum vg_err result);
/* Whether every reading of this datagram has had a good verdict, and there was one. */
bool world_request_durable(const struct world *w, size_t request);
void world_advance(struct world *w, int64_t ms);
/* The device leaves the table. */
void world_revoke(struct world *w);

void world_require(bool condition, const char *what);

/* Reads the input from its front; 0 and short spans at its end. */
struct world_input {
    const uint8_t *at;
    size_t left;
};
uint8_t world_u8(struct world_input *in);
uint16_t world_u16(struct world_input *in);
/* At most `max` bytes, their number first. */
struct vg_span world_bytes(struct world_input *in, size_t max);

#endif
