/* Devices that have spoken: request rate, and which of a device's sessions is oldest.
 *
 * Pure: time is an argument. A peer is made at its device's first session and stays until its
 * device leaves the table, so a new handshake does not refill a bucket. */
#ifndef VGI_INGEST_PEERS_H
#define VGI_INGEST_PEERS_H

#include "vigia/clock.h"
#include "vigia/err.h"
#include "vigia/reading.h"

#define VGI_SESSIONS_PER_DEVICE 2 /* the one in use, and the one that replaces it */

struct vgi_bucket {
    int64_t rate;  /* tokens per second */
    int64_t burst; /* most tokens */
    int64_t level; /* in thousandths of a token */
    struct vg_mono filled;
};

void vgi_bucket_init(struct vgi_bucket *b, int64_t rate, int64_t burst, struct vg_mono now);
/* Takes one token. 0: taken; else milliseconds until one is there. */
int64_t vgi_bucket_take(struct vgi_bucket *b, struct vg_mono now);

struct vgi_session;

struct vgi_peer {
    struct vgi_peer *next;
    char name[VG_DEVICE_NAME_MAX + 1];
    struct vgi_bucket bucket;
    size_t session_count;
    struct vgi_session *sessions[VGI_SESSIONS_PER_DEVICE]; /* oldest first */
};

struct vgi_peers;

enum vg_err vgi_peers_new(size_t max, int64_t rate, int64_t burst,
                          struct vgi_peers **out) VG_NODISCARD;
void vgi_peers_free(struct vgi_peers *peers); /* NULL is allowed */
/* The peer of a device, made when it is not there yet. VG_E_FULL, VG_E_NOMEM. */
enum vg_err vgi_peers_get(struct vgi_peers *peers, const char *name, struct vg_mono now,
                          struct vgi_peer **out) VG_NODISCARD;
struct vgi_peer *vgi_peers_find(const struct vgi_peers *peers, const char *name);
/* Forgets a peer without sessions. */
void vgi_peers_remove(struct vgi_peers *peers, const char *name);

/* Adds a session; the one that has to end for it, or NULL. */
struct vgi_session *vgi_peer_add(struct vgi_peer *peer, struct vgi_session *session);
void vgi_peer_drop(struct vgi_peer *peer, const struct vgi_session *session);

#endif
