/* The uplink's decisions, apart from any socket: rows, events and time in, actions out.
 *
 *        fetch ┌────────┐ send        A lane holds a window of rows. The longest run at its head
 * that has one store and rows ─────►│  lane  │────► link   consecutive numbers, and fits in a body,
 * is in flight; an answer settles rows, the settle ◄─│ u or r │◄──── answer rest moves up. So a
 * hole ends a batch, and the next run has its own first number. └────────┘ link: DOWN ─► CONNECTING
 * ─► UP ─► (lost) ─► CONNECTING or WAITING (backoff) ─► next collector
 *
 * The core never reads a clock, draws from a seeded generator, and takes its memory in
 * vgi_core_new. The caller feeds one event, then takes every action with vgi_core_next before it
 * feeds another. vigia/uplink.h has the answer table. */
#ifndef VIGIA_UPLINK_CORE_H
#define VIGIA_UPLINK_CORE_H

#include "vigia/clock.h"
#include "vigia/random.h"
#include "vigia/span.h"
#include "vigia/uplink.h"

/* Encodes as many of `count` rows as fit in one body and returns how many; 0 when not even the
 * first does. The body stays with the caller until the next call for the same lane. */
typedef size_t vgi_pack_fn(void *arg, enum vg_uplink_lane lane, enum vg_format format,
                           const struct vg_uplink_row *rows, size_t count);

enum vgi_action_type {
    VGI_ACT_CONNECT, /* begin a handshake with `collector` */
    VGI_ACT_CLOSE,   /* end the session or the handshake */
    VGI_ACT_FETCH,   /* ask for up to `count` rows of `lane` */
    VGI_ACT_SEND,    /* post what pack made for `lane`; request, store, seq, format name it */
    VGI_ACT_SETTLE,  /* `count` outcomes of `lane` at `outcomes` */
    VGI_ACT_TELL,    /* something a person wants to know: `event`, `detail` */
};

struct vgi_action {
    enum vgi_action_type type;
    enum vg_uplink_lane lane;
    enum vg_format format;
    enum vg_uplink_event event;
    size_t collector;
    size_t count;
    uint32_t request;
    uint64_t store, seq;
    int64_t detail;
    const struct vg_uplink_outcome *outcomes; /* valid until the next event */
};

/* Why a session ended. */
enum vgi_lost {
    VGI_LOST_UNRESOLVED,  /* the collector's name gave no address */
    VGI_LOST_UNREACHABLE, /* no route, or nobody listens there */
    VGI_LOST_REFUSED,     /* the handshake failed: wrong key, unknown identity, no common suite */
    VGI_LOST_TIMEOUT,     /* no answer to the handshake */
    VGI_LOST_CLOSED,      /* the collector closed an established session */
    VGI_LOST_UNANSWERED,  /* retransmissions of a request went unanswered */
    VGI_LOST_COUNT,
};

/* libcoap ignores less. */
#define VGI_ACK_TIMEOUT_MIN_MS 1000

/* VG_E_RANGE with the value named, for what vgi_core_new does not check. */
enum vg_err vgi_options_check(const struct vg_uplink_options *options,
                              struct vg_error *err) VG_NODISCARD;

struct vgi_core;

enum vg_err vgi_core_new(const struct vg_uplink_options *options, vgi_pack_fn *pack, void *pack_arg,
                         struct vgi_core **out) VG_NODISCARD;
void vgi_core_free(struct vgi_core *c);

void vgi_core_start(struct vgi_core *c, struct vg_mono now);
/* No further requests; closes the session. */
void vgi_core_stop(struct vgi_core *c);
/* Rows of `lane` may be waiting. */
void vgi_core_notify(struct vgi_core *c, enum vg_uplink_lane lane, struct vg_mono now);
/* The answer to a FETCH: at most the number asked for, oldest first; 0 when none wait. */
void vgi_core_rows(struct vgi_core *c, enum vg_uplink_lane lane, const struct vg_uplink_row *rows,
                   size_t count, struct vg_mono now);
void vgi_core_connected(struct vgi_core *c, struct vg_mono now);
void vgi_core_lost(struct vgi_core *c, enum vgi_lost why, struct vg_mono now);
/* `code` as in enum vg_coap; `max_age_s` is -1 without the option. An answer to a request that is
 * no longer in flight is counted and ignored. */
void vgi_core_answer(struct vgi_core *c, enum vg_uplink_lane lane, uint32_t request, unsigned code,
                     int64_t max_age_s, struct vg_span payload, struct vg_mono now);
void vgi_core_timer(struct vgi_core *c, struct vg_mono now);

/* When vgi_core_timer is next to be called; false: not before another event. */
bool vgi_core_deadline(const struct vgi_core *c, struct vg_mono *out);
bool vgi_core_next(struct vgi_core *c, struct vgi_action *out);
const struct vg_uplink_stats *vgi_core_stats(const struct vgi_core *c);

#endif
