/* Requests that wait for the log. */
#include "pending.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum vg_err vgi_pool_init(struct vgi_pool *pool, size_t max, size_t kept, void *owner)
{
    memset(pool, 0, sizeof(*pool));
    pool->all = calloc(max, sizeof(*pool->all));
    if (pool->all == NULL) {
        return VG_E_NOMEM;
    }
    pool->max = max;
    pool->kept = kept;
    for (size_t i = max; i-- > 0;) {
        pool->all[i].owner = owner;
        pool->all[i].next = pool->free;
        pool->free = &pool->all[i];
    }
    return VG_OK;
}

void vgi_pool_done(struct vgi_pool *pool)
{
    free(pool->all);
    memset(pool, 0, sizeof(*pool));
}

struct vgi_pending *vgi_pool_take(struct vgi_pool *pool, bool urgent)
{
    struct vgi_pending *p = pool->free;

    if (pool->used >= pool->max - (urgent ? 0 : pool->kept)) {
        return NULL;
    }
    void *owner = p->owner;
    pool->free = p->next;
    pool->used++;
    *p = (struct vgi_pending){.owner = owner, .urgent = urgent};
    return p;
}

void vgi_pool_give(struct vgi_pool *pool, struct vgi_pending *p)
{
    assert(!p->held && p->outstanding == 0 && p->session == NULL);
    p->next = pool->free;
    pool->free = p;
    pool->used--;
}

void vgi_pool_hold(struct vgi_pool *pool, struct vgi_pending *p)
{
    p->held = true;
    p->hold_next = NULL;
    p->hold_prev = pool->hold_last;
    if (pool->hold_last != NULL) {
        pool->hold_last->hold_next = p;
    } else {
        pool->hold_first = p;
    }
    pool->hold_last = p;
}

void vgi_pool_unhold(struct vgi_pool *pool, struct vgi_pending *p)
{
    if (!p->held) {
        return;
    }
    if (p->hold_prev != NULL) {
        p->hold_prev->hold_next = p->hold_next;
    } else {
        pool->hold_first = p->hold_next;
    }
    if (p->hold_next != NULL) {
        p->hold_next->hold_prev = p->hold_prev;
    } else {
        pool->hold_last = p->hold_prev;
    }
    p->held = false;
}

struct vgi_pending *vgi_pool_first_held(const struct vgi_pool *pool)
{
    return pool->hold_first;
}

struct vgi_pending *vgi_exchange_waiting(const struct vgi_exchanges *x, uint16_t mid)
{
    struct vgi_pending *p = x->waiting;
    while (p != NULL && p->mid != mid) {
        p = p->next;
    }
    return p;
}

void vgi_exchange_add(struct vgi_exchanges *x, struct vgi_pending *p)
{
    p->next = x->waiting;
    x->waiting = p;
    x->waiting_count++;
}

void vgi_exchange_remove(struct vgi_exchanges *x, struct vgi_pending *p)
{
    struct vgi_pending **slot = &x->waiting;
    while (*slot != NULL && *slot != p) {
        slot = &(*slot)->next;
    }
    if (*slot != NULL) {
        *slot = p->next;
        p->next = NULL;
        x->waiting_count--;
    }
}

void vgi_exchange_stored(struct vgi_exchanges *x, uint16_t mid, struct vg_mono now)
{
    x->recent[x->recent_at].used = true;
    x->recent[x->recent_at].mid = mid;
    x->recent[x->recent_at].at = now;
    x->recent_at = (x->recent_at + 1) % VGI_RECENT_MAX;
}

bool vgi_exchange_was_stored(const struct vgi_exchanges *x, uint16_t mid, struct vg_mono now)
{
    for (size_t i = 0; i < VGI_RECENT_MAX; i++) {
        if (x->recent[i].used && x->recent[i].mid == mid &&
            vg_mono_diff_ms(now, x->recent[i].at) < VGI_RECENT_LIFE_MS) {
            return true;
        }
    }
    return false;
}
