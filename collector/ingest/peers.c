/* Devices that have spoken: their rate and their sessions. */
#include "peers.h"

#include <stdlib.h>
#include <string.h>

#define MILLI 1000

void vgi_bucket_init(struct vgi_bucket *b, int64_t rate, int64_t burst, struct vg_mono now)
{
    *b = (struct vgi_bucket){.rate = rate, .burst = burst, .level = burst * MILLI, .filled = now};
}

int64_t vgi_bucket_take(struct vgi_bucket *b, struct vg_mono now)
{
    int64_t elapsed_ms = vg_mono_diff_ms(now, b->filled);

    /* Longer than this and it is full anyway; the product below stays small. */
    int64_t full_ms = b->burst * MILLI / b->rate + 1;
    if (elapsed_ms > full_ms) {
        elapsed_ms = full_ms;
        b->filled = now;
    } else if (elapsed_ms > 0) {
        b->filled = vg_mono_add_ms(b->filled, elapsed_ms);
    }
    if (elapsed_ms > 0) {
        b->level += elapsed_ms * b->rate; /* thousandths: rate per second is rate/1000 per ms */
        if (b->level > b->burst * MILLI) {
            b->level = b->burst * MILLI;
        }
    }
    if (b->level >= MILLI) {
        b->level -= MILLI;
        return 0;
    }
    return (MILLI - b->level + b->rate - 1) / b->rate;
}

struct vgi_peers {
    size_t max, count, mask;
    int64_t rate, burst;
    struct vgi_peer *buckets[];
};

static size_t hash(const char *name)
{
    uint64_t h = 14695981039346656037ULL;
    for (; *name != '\0'; name++) {
        h = (h ^ (unsigned char)*name) * 1099511628211ULL;
    }
    return (size_t)(h ^ (h >> 32));
}

enum vg_err vgi_peers_new(size_t max, int64_t rate, int64_t burst, struct vgi_peers **out)
{
    size_t buckets = 64;
    while (buckets < max) {
        buckets *= 2;
    }
    struct vgi_peers *peers = calloc(1, sizeof(*peers) + buckets * sizeof(struct vgi_peer *));
    if (peers == NULL) {
        return VG_E_NOMEM;
    }
    peers->max = max;
    peers->mask = buckets - 1;
    peers->rate = rate;
    peers->burst = burst;
    *out = peers;
    return VG_OK;
}

void vgi_peers_free(struct vgi_peers *peers)
{
    if (peers == NULL) {
        return;
    }
    for (size_t i = 0; i <= peers->mask; i++) {
        while (peers->buckets[i] != NULL) {
            struct vgi_peer *peer = peers->buckets[i];
            peers->buckets[i] = peer->next;
            free(peer);
        }
    }
    free(peers);
}

static struct vgi_peer **find_slot(struct vgi_peer *const *buckets, size_t mask, const char *name)
{
    struct vgi_peer **slot = (struct vgi_peer **)&buckets[hash(name) & mask];
    while (*slot != NULL && strcmp((*slot)->name, name) != 0) {
        slot = &(*slot)->next;
    }
    return slot;
}

struct vgi_peer *vgi_peers_find(const struct vgi_peers *peers, const char *name)
{
    return *find_slot(peers->buckets, peers->mask, name);
}

enum vg_err vgi_peers_get(struct vgi_peers *peers, const char *name, struct vg_mono now,
                          struct vgi_peer **out)
{
    struct vgi_peer **slot = find_slot(peers->buckets, peers->mask, name);

    if (*slot == NULL) {
        if (peers->count == peers->max) {
            return VG_E_FULL;
        }
        struct vgi_peer *peer = calloc(1, sizeof(*peer));
        if (peer == NULL) {
            return VG_E_NOMEM;
        }
        if (!vg_str_copy(name, peer->name, sizeof(peer->name))) {
            free(peer);
            return VG_E_INVALID;
        }
        vgi_bucket_init(&peer->bucket, peers->rate, peers->burst, now);
        *slot = peer;
        peers->count++;
    }
    *out = *slot;
    return VG_OK;
}

void vgi_peers_remove(struct vgi_peers *peers, const char *name)
{
    struct vgi_peer **slot = find_slot(peers->buckets, peers->mask, name);
    struct vgi_peer *peer = *slot;

    if (peer != NULL && peer->session_count == 0) {
        *slot = peer->next;
        peers->count--;
        free(peer);
    }
}

struct vgi_session *vgi_peer_add(struct vgi_peer *peer, struct vgi_session *session)
{
    struct vgi_session *oldest = NULL;

    if (peer->session_count == VGI_SESSIONS_PER_DEVICE) {
        oldest = peer->sessions[0];
        vgi_peer_drop(peer, oldest);
    }
    peer->sessions[peer->session_count++] = session;
    return oldest;
}

void vgi_peer_drop(struct vgi_peer *peer, const struct vgi_session *session)
{
    for (size_t i = 0; i < peer->session_count; i++) {
        if (peer->sessions[i] == session) {
            for (peer->session_count--; i < peer->session_count; i++) {
                peer->sessions[i] = peer->sessions[i + 1];
            }
            return;
        }
    }
}
