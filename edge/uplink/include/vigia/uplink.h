/* The uplink: rows of the buffer to a collector, over CoAP and DTLS with a pre-shared key (RFC
 * 7252, RFC 6347, RFC 9146).
 *
 * It asks its feed for rows, posts them as SenML packs, and tells the feed what became of each. One
 * batch per lane is in flight; the urgent lane goes first. What an answer means for the rows of its
 * batch:
 *
 *   2.04            done: they may be removed
 *   4.00, 4.22      rows named in the refusal list: quarantined (or parked, where the list says
 *                   foreign sensor); the rest is sent again. Without a usable list the batch is
 *                   halved until a single row is left: quarantined
 *   4.03            named rows parked (all, without a list), and so are later rows of the same
 *                   sensors of the lane, so that a sensor's rows never overtake each other (as
 *                   long as no more than `parked_sensors` are parked)
 *   4.13            batch halved; a single row is quarantined
 *   4.15            CBOR falls back to JSON for this session; in JSON too: an error, tried again
 *                   after `park_ms`
 *   4.29, 5.03      nothing is sent to this collector before Max-Age (60 s without one, RFC 7252
 *                   §5.10.5), nor in a new session with it, but another collector owes it nothing;
 *                   a 5.03 to routine rows holds routine rows only, since a collector keeps room
 *                   for urgent ones;
 *                   the third 5.03 in a row also moves on to the next collector where there is one
 *   4.01            new handshake after a backoff
 *   anything else   this collector cannot serve us (4.04, 4.05, 5.00, a 2.xx that promises
 *                   nothing): next collector, or a new session with the same one, after a backoff;
 *                   rows stay
 *   none            acknowledged but no answer: sent once more; then, or after two unanswered
 *                   retransmissions, the session is dead: one new handshake at once, and the third
 *                   retransmission happens there
 *
 * A failed handshake goes to the next collector at once; when all have failed, a jittered
 * exponential backoff. An urgent row ends it sooner, 5 to 10 s after the last try, then 10 to 20 s,
 * then 15 to 30 s: a site on fire is not to wait for a collector that is back. A session that
 * worked and is closed by the collector begins again at once, but that only once per five times
 * `backoff_max_ms`: closed sooner again, the next collector after a wait, which grows, up to 30 s,
 * until a session lasts. So a collector without room for all is not stormed. An urgent row ends
 * such a wait too, at most once in 5 s, since whoever closes sessions would take it. */
#ifndef VIGIA_UPLINK_H
#define VIGIA_UPLINK_H

#include "vigia/endpoint.h"
#include "vigia/loop.h"
#include "vigia/reading.h"
#include "vigia/registry.h"

#define VG_UPLINK_COLLECTORS_MAX 8
#define VG_UPLINK_PSK_MAX        32
#define VG_UPLINK_PSK_MIN        16 /* 128 bits */
#define VG_UPLINK_BATCH_MAX      64
/* All sensors of the largest scenario, 4096, in both lanes. */
#define VG_UPLINK_PARKED_MAX 8192

enum vg_uplink_lane { VG_UPLINK_URGENT, VG_UPLINK_ROUTINE, VG_UPLINK_LANES };
enum vg_uplink_fate { VG_UPLINK_DONE, VG_UPLINK_QUARANTINED, VG_UPLINK_PARKED };

struct vg_uplink_options {
    char identity[VG_DEVICE_NAME_MAX + 1];
    uint8_t psk[VG_UPLINK_PSK_MAX];
    size_t psk_len;
    struct vg_endpoint collectors[VG_UPLINK_COLLECTORS_MAX];
    size_t collector_count;
    size_t batch_rows;      /* most readings in one request, 1 to VG_UPLINK_BATCH_MAX */
    size_t parked_sensors;  /* remembered as parked, 1 to VG_UPLINK_PARKED_MAX, a sensor counting in
                               each lane; 80 bytes each. Above it the oldest is forgotten: its next
                               rows are sent, and may overtake those parked */
    int64_t rate;           /* routine readings per second at most; 0: no limit */
    int64_t ack_timeout_ms; /* RFC 7252 §4.8 */
    int64_t response_ms;    /* how long an acknowledged request may wait for its answer */
    int64_t handshake_ms;   /* longest handshake */
    int64_t backoff_min_ms, backoff_max_ms;
    int64_t park_ms; /* until a parked row, or a refused format, is tried again */
    uint64_t seed;   /* of jitter */
    bool cid;        /* ask for a Connection ID */
};
/* The protocol's own timing, one routine batch of 64, no rate limit, no identity, key or collector.
 */
void vg_uplink_options_init(struct vg_uplink_options *options);
/* A row and what is known about its time. Wall time is worked out when the row is sent, and sent as
 * relative time (RFC 8428 §4.5.3) while the clock is not synchronised or shows what no clock that was
 * ever set does, a time before July 1978 or after the year 9999. */
struct vg_uplink_row {
    struct vg_reading reading; /* identity included; lane 'u' or 'r' */
    struct vg_boot taken; /* when `booted`: the moment of the present boot at which it was taken */
    bool booted; /* false: reading.time_ms is its wall time; 0 there: it is from an earlier boot
                    whose time nobody knows, and is sent as taken at this boot's start. True:
                    time_ms, unless 0, stands in while the clock is not synchronised */
};

struct vg_uplink_outcome {
    uint64_t store, seq;
    enum vg_uplink_fate fate;
    uint8_t code; /* quarantined: the CoAP code (enum vg_coap) that refused it, 0: the wire cannot
                     carry it */
    struct vg_mono until; /* parked rows: offer them again then, oldest first, together with all
                             later rows of their sensor */
};

enum vg_uplink_event {
    VG_UPLINK_EV_CONNECTED, /* collector; detail: attempts it took */
    VG_UPLINK_EV_LOST,    /* collector; detail: enum vgi_lost as text through vg_uplink_lost_name */
    VG_UPLINK_EV_BACKOFF, /* detail: milliseconds until the next try, unless an urgent row has it
                             sooner */
    VG_UPLINK_EV_REFUSED, /* detail: the code (enum vg_coap) of an answer that refused rows or the
                             session */
    VG_UPLINK_EV_WAIT,    /* detail: milliseconds, as told by 4.29 or 5.03 */
    VG_UPLINK_EV_FORMAT,  /* 4.15: fallen back to JSON (detail 0), or JSON is refused as well (1) */
    VG_UPLINK_EV_UNEXPECTED,  /* detail: the code */
    VG_UPLINK_EV_QUARANTINED, /* detail: rows */
    VG_UPLINK_EV_PARKED,      /* detail: rows */
};

struct vg_uplink_stats {
    uint64_t requests, rows_sent, rows_done, rows_quarantined, rows_parked, answers_ok,
        answers_refused, answers_wait, answers_unexpected, answers_late, unanswered, handshakes,
        connected, sessions_lost, failovers, backoffs, parked_forgotten;
    bool up;          /* a session is established */
    size_t collector; /* the one in use or tried */
    int64_t wait_ms;  /* the last backoff, or wait after a close */
};

/* What the uplink asks of its owner, on the loop's thread. These functions call nothing of
 * vg_uplink_* themselves, apart from vg_uplink_stats. */
struct vg_uplink_feed {
    /* Wants up to `max` rows of `lane`, oldest first, neither settled nor parked; vg_uplink_rows
     * answers later, also when there are none. One request per lane at a time. */
    void (*fetch)(void *arg, enum vg_uplink_lane lane, size_t max);
    /* What became of rows that were handed over. */
    void (*settle)(void *arg, enum vg_uplink_lane lane, const struct vg_uplink_outcome *outcomes,
                   size_t count);
    /* May be NULL. */
    void (*event)(void *arg, enum vg_uplink_event event, size_t collector, int64_t detail);
    /* Whether the wall clock is to be believed; NULL: as the loop's clock says. */
    bool (*synced)(void *arg);
    void *arg;
};

/* One CoAP context on a loop, shared by any number of uplinks. It has a thread for names that must
 * be looked up. */
struct vg_uplink_net;
/* At most `max_uplinks` share it. Takes two watches of the loop, and each uplink one timer. */
enum vg_err vg_uplink_net_new(struct vg_loop *loop, size_t max_uplinks, struct vg_uplink_net **out,
                              struct vg_error *err) VG_NODISCARD;
void vg_uplink_net_free(struct vg_uplink_net *net); /* after its uplinks */

struct vg_uplink;
/* Copies options and feed. VG_E_RANGE (a value), VG_E_FULL (max_uplinks, timers), VG_E_NOMEM. */
enum vg_err vg_uplink_open(struct vg_uplink_net *net, const struct vg_uplink_options *options,
                           const struct vg_uplink_feed *feed, struct vg_uplink **out,
                           struct vg_error *err) VG_NODISCARD;
void vg_uplink_start(struct vg_uplink *u);
/* Sends nothing more and ends the session; rows in flight stay unsettled. */
void vg_uplink_stop(struct vg_uplink *u);
void vg_uplink_close(struct vg_uplink *u);

void vg_uplink_notify(struct vg_uplink *u, enum vg_uplink_lane lane);
void vg_uplink_rows(struct vg_uplink *u, enum vg_uplink_lane lane, const struct vg_uplink_row *rows,
                    size_t count);
const struct vg_uplink_stats *vg_uplink_stats(const struct vg_uplink *u);
const char *vg_uplink_lost_name(int64_t detail);
/* The collector's name gave no address: the network may be down, or the configuration wrong. */
bool vg_uplink_lost_unresolved(int64_t detail);

#endif
