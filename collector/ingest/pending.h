/* Requests that wait for the log, and the message ids that were answered lately.
 *
 *   take ─► the verdict ─► answer
 *     └─ not answered within the hold time: empty acknowledgement, the answer follows by itself
 *
 * A fixed pool, a hold queue in order of arrival (all are held equally long), one list per session
 * so that a repeated confirmable message finds what it repeats (RFC 7252 §4.5). */
#ifndef VGI_INGEST_PENDING_H
#define VGI_INGEST_PENDING_H

#include "vigia/clock.h"
#include "vigia/err.h"

#include <stdbool.h>
#include <stdint.h>

#define VGI_TOKEN_MAX           8
#define VGI_RECENT_MAX          32     /* answered message ids that a session remembers */
#define VGI_RECENT_LIFE_MS      247000 /* EXCHANGE_LIFETIME, RFC 7252 §4.8.2 */
#define VGI_SESSION_PENDING_MAX 16     /* requests of one session that wait for the log */

struct vgi_session;

struct vgi_pending {
    struct vgi_pending *hold_next, *hold_prev; /* while held */
    struct vgi_pending *next;                  /* of its session, or of the free list */
    struct vgi_session *session;               /* NULL once the session has ended */
    void *owner;                               /* of the pool, for verdict callbacks */
    struct vg_mono since;
    struct vg_mono ack_by;
    size_t outstanding; /* readings without a verdict */
    bool failed;        /* they are not all durable */
    bool confirmable;
    bool urgent;
    bool held; /* in the hold queue: not acknowledged yet */
    uint16_t mid;
    uint8_t token_len;
    uint8_t token[VGI_TOKEN_MAX];
};

struct vgi_pool {
    struct vgi_pending *all, *free;
    struct vgi_pending *hold_first, *hold_last;
    size_t max, kept, used;
};

/* `kept` of its `max` places (fewer than all) are for urgent requests. */
enum vg_err vgi_pool_init(struct vgi_pool *pool, size_t max, size_t kept, void *owner) VG_NODISCARD;
void vgi_pool_done(struct vgi_pool *pool);
/* NULL: no place for such a request. */
struct vgi_pending *vgi_pool_take(struct vgi_pool *pool, bool urgent);
void vgi_pool_give(struct vgi_pool *pool, struct vgi_pending *p);
void vgi_pool_hold(struct vgi_pool *pool, struct vgi_pending *p);
void vgi_pool_unhold(struct vgi_pool *pool, struct vgi_pending *p);
/* The held request whose time comes first; NULL: none. */
struct vgi_pending *vgi_pool_first_held(const struct vgi_pool *pool);

/* What a session knows of its requests. */
struct vgi_exchanges {
    struct vgi_pending *waiting;
    size_t waiting_count;
    size_t recent_at; /* next place to write */
    struct {
        bool used;
        uint16_t mid;
        struct vg_mono at;
    } recent[VGI_RECENT_MAX];
};

struct vgi_pending *vgi_exchange_waiting(const struct vgi_exchanges *x, uint16_t mid);
void vgi_exchange_add(struct vgi_exchanges *x, struct vgi_pending *p);
void vgi_exchange_remove(struct vgi_exchanges *x, struct vgi_pending *p);
/* Remembers a stored request; only such are remembered, as repeating any other is harmless. */
void vgi_exchange_stored(struct vgi_exchanges *x, uint16_t mid, struct vg_mono now);
bool vgi_exchange_was_stored(const struct vgi_exchanges *x, uint16_t mid, struct vg_mono now);

#endif
