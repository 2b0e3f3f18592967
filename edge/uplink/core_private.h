/* What core.c (the link) and lane.c (the rows) share. */
#ifndef VIGIA_UPLINK_CORE_PRIVATE_H
#define VIGIA_UPLINK_CORE_PRIVATE_H

#include "core.h"

#define VGI_ACTIONS_MAX 24 /* more than one event can cause: 2 link, 3 per lane, the rest tells */

/* Bounds of a Max-Age that is obeyed. */
#define VGI_WAIT_MIN_MS     1000
#define VGI_WAIT_MAX_MS     3600000
#define VGI_WAIT_DEFAULT_MS 60000 /* RFC 7252 §5.10.5 */
/* 5.03 in a row before the next collector is tried. */
#define VGI_UNAVAILABLE_MAX 3
/* Requests that were acknowledged but never answered, in a row, before the session is called dead.
 */
#define VGI_SILENT_MAX 2

/* The longest wait after a collector closed a session, and of an urgent row for the next try: well
 * under the three missing heartbeats (60 s each by default) after which a device counts as lost. */
#define VGI_WAIT_URGENT_MAX_MS 30000
/* An urgent row ends a wait, but not sooner than this after one last did, nor than this after the
 * failure that the wait began with. */
#define VGI_URGENT_EVERY_MS 5000
#define VGI_HURRIED_MAX     2 /* doublings: 10 s, 20 s, and 30 s at most */
/* A session that worked and was closed begins again at once, once in so many backoff_max. */
#define VGI_AT_ONCE_BACKOFFS 5

enum vgi_link { VGI_DOWN, VGI_CONNECTING, VGI_UP, VGI_WAITING, VGI_STOPPED };

struct vgi_lane {
    struct vg_uplink_row *rows; /* the window, oldest first */
    size_t count;
    size_t sent;  /* rows in flight, at the head of the window; 0: none */
    size_t limit; /* most rows in a run: halved by 4.13, doubled by 2.04 */
    uint32_t request;
    struct vg_mono deadline; /* of the answer, while sent > 0 */
    /* Nothing is sent to a collector before: what one has asked for binds no other. */
    struct vg_mono hold[VG_UPLINK_COLLECTORS_MAX];
    unsigned silent;
    bool fetching, more;                /* `more`: rows may be waiting outside */
    struct vg_uplink_outcome *outcomes; /* of the present event */
    size_t outcome_count;
};

struct vgi_parked {
    char sensor[VG_SENSOR_ID_MAX + 1];
    uint8_t lane;
    struct vg_mono until;
};

struct vgi_core {
    struct vg_uplink_options options;
    vgi_pack_fn *pack;
    void *pack_arg;
    struct vg_rng rng;
    enum vgi_link link;
    struct vg_mono link_deadline; /* of the handshake or the backoff */
    size_t collector;
    size_t tried;     /* collectors that failed since the last success */
    unsigned attempt; /* exponent of the backoff after failures */
    bool proven;      /* this session has had a 2.04 */
    /* A session that worked and was closed begins again at once from then on, not before. */
    struct vg_mono at_once;
    unsigned closes;            /* exponent of the wait after those closed before */
    struct vg_mono urgent_from; /* from then on an urgent row ends the present wait */
    unsigned hurried;           /* waits that urgent rows have ended since the last 2.04 */
    unsigned unavailable;
    enum vg_format format;
    int64_t credit; /* routine lane: thousandths of a reading that may be sent */
    struct vg_mono credited;
    uint32_t next_request;
    struct vgi_lane lanes[VG_UPLINK_LANES];
    struct vgi_parked *parked;
    size_t parked_count;
    struct vgi_action actions[VGI_ACTIONS_MAX];
    size_t action_count, action_next;
    struct vg_uplink_stats stats;
};

static inline bool vgi_before(struct vg_mono a, struct vg_mono b)
{
    return a.ns < b.ns;
}

/* core.c */
struct vgi_action *vgi_act(struct vgi_core *c, enum vgi_action_type type);
void vgi_tell(struct vgi_core *c, enum vg_uplink_event event, int64_t detail);
void vgi_session_failed(struct vgi_core *c, struct vg_mono now);
void vgi_session_next(struct vgi_core *c, struct vg_mono now);

/* lane.c */
void vgi_lane_drive(struct vgi_core *c, enum vg_uplink_lane lane, struct vg_mono now);
void vgi_lane_answer(struct vgi_core *c, enum vg_uplink_lane lane, unsigned code, int64_t max_age_s,
                     struct vg_span payload, struct vg_mono now);
void vgi_lane_take(struct vgi_core *c, enum vg_uplink_lane lane, const struct vg_uplink_row *rows,
                   size_t count, struct vg_mono now);
/* Forgets sensors whose time has come and marks their lanes as having rows. */
void vgi_parked_expire(struct vgi_core *c, struct vg_mono now);
/* Milliseconds until the routine lane may send again; 0: now. */
int64_t vgi_rate_wait_ms(struct vgi_core *c, struct vg_mono now);

#endif
