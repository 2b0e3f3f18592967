/* Inside vigia-collector: the one object that everything hangs on, and who does what with it.
 *
 *   endpoint.c   CoAP resources, what a request is            ─► check.c (pure) ─► intake.c
 *   sessions.c   DTLS identities and sessions, their caps, their end
 *   intake.c     readings ─► log ─► verdicts ─► answer; heartbeats; refused payloads
 *   answer.c     answers on the acknowledgement or by themselves
 *   collector.c  start, turn, ready, drain, stop */
#ifndef VGI_INGEST_INSIDE_H
#define VGI_INGEST_INSIDE_H

#include "check.h"
#include "conf.h"
#include "metrics.h"
#include "peers.h"
#include "pending.h"

#include "vigia/devices.h"
#include "vigia/dlog.h"
#include "vigia/dlog_admin.h"
#include "vigia/keys.h"
#include "vigia/loop.h"

#include <coap3/coap.h>

struct vgi_session {
    coap_session_t *coap;
    struct vgi_peer *peer; /* NULL once the session is no longer good */
    struct vgi_session *lru_next, *lru_prev;
    struct vgi_session *doomed_next;
    struct vgi_session *candidate_next;
    bool candidate; /* its handshake is not over */
    bool doomed;
    struct vgi_exchanges exchanges;
};

/* The heartbeat of one partition. */
struct vgi_beat {
    struct vgi_collector *owner;
    bool withheld; /* the last one */
};

struct vgi_collector {
    const struct vgi_conf *conf;
    struct vg_loop *loop;
    const struct vg_clock *clock;

    struct vg_dlog *log;
    struct vg_dlog_appender *appender;
    struct vg_devices *devices;
    uint64_t devices_refused; /* as far as told in log lines */
    struct vg_keys *keys;
    struct vg_credential
        decoy; /* opened for unknown identities, so that they take as long as known ones */
    int32_t partitions;
    struct vgi_beat beats[VG_DLOG_PARTITIONS_MAX];

    coap_context_t *coap;
    bool open; /* the port */
    struct vgi_peers *peers;
    struct vgi_pool pool;
    struct vgi_session *lru_first, *lru_last; /* last: heard most lately */
    struct vgi_session *candidates, *doomed;
    size_t session_count, handshakes;
    bool handshakes_full;
    coap_bin_const_t psk; /* for libcoap, valid until the next handshake */
    uint8_t psk_bytes[VG_PSK_BYTES];

    struct vg_batch *batch;
    char *values; /* room for its records: VG_BATCH_READINGS_MAX * VG_RECORD_MAX */
    struct vgi_verdict verdict;
    struct vgi_bucket rejected;

    bool log_good; /* the last verdict was a durable one */
    bool draining, stopped;
    enum vg_err fatal;
    vg_watch_id watch_coap, watch_appender, watch_devices;
    vg_timer_id timer_turn, timer_heartbeat, timer_hold, timer_devices, timer_drain;
};

/* ---- sessions.c ---- */
void vgi_sessions_setup(struct vgi_collector *c);
/* Candidates whose handshake is over become sessions. */
void vgi_sessions_admit(struct vgi_collector *c);
/* The session of a request, moved to the end of the line; NULL: none that is good. */
struct vgi_session *vgi_session_of(struct vgi_collector *c, coap_session_t *coap);
/* A device changed or left: sessions that it may no longer have are doomed. */
void vgi_sessions_device_changed(struct vgi_collector *c, const char *name,
                                 const struct vg_device *now);
/* Ends the doomed. Never from inside libcoap: it may be reading from the very session. */
void vgi_sessions_end_doomed(struct vgi_collector *c);
enum vg_err vgi_sessions_psk(struct vgi_collector *c, struct vg_error *err) VG_NODISCARD;

/* ---- endpoint.c ---- */
/* Makes the CoAP context with its resources; opens no port. */
enum vg_err vgi_endpoint_new(struct vgi_collector *c, struct vg_error *err) VG_NODISCARD;
/* Whether the port can be had. VG_E_EXISTS: somebody has it. */
enum vg_err vgi_endpoint_probe(const struct vgi_collector *c, struct vg_error *err) VG_NODISCARD;
enum vg_err vgi_endpoint_open(struct vgi_collector *c, struct vg_error *err) VG_NODISCARD;
void vgi_endpoint_free(struct vgi_collector *c);
/* Handles what has arrived. */
void vgi_endpoint_turn(struct vgi_collector *c);

/* ---- intake.c ---- */
/* Appends a batch for `p`; false: nothing of it is on its way (p->outstanding is 0), the answer
 * is 5.03. */
bool vgi_intake_store(struct vgi_collector *c, struct vgi_pending *p, const struct vg_batch *batch);
/* Best effort, rate-limited. */
void vgi_intake_reject(struct vgi_collector *c, const struct vgi_request *request,
                       const struct vgi_verdict *verdict);
/* To each partition whose last heartbeat the log does not hold any more: one that waited in an
 * outage and were stored after it would say that the readings of that time could be stored, too. */
void vgi_intake_heartbeat(struct vgi_collector *c);

/* ---- answer.c ---- */
/* Every verdict of `p` is in: answers and gives it back. */
void vgi_answer(struct vgi_collector *c, struct vgi_pending *p);
/* Acknowledges what has been held too long, and arms the timer for the next. */
void vgi_answer_held(struct vgi_collector *c);
/* Counts an answer and sets the options that belong to its code. */
void vgi_answer_fill(struct vgi_collector *c, coap_pdu_t *pdu, const struct vgi_verdict *verdict,
                     int64_t max_age_ms);

/* ---- collector.c ---- */
/* The log cannot be used any more, or something as bad: the program ends with `code`. */
void vgi_collector_fail(struct vgi_collector *c, const char *msgid, const struct vg_error *err);
void vgi_collector_drained(struct vgi_collector *c);

#endif
