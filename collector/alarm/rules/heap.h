/* A heap of deadlines, at most one per sensor; equal times go by sensor id, so that the order of
 * events does not depend on the order in which the sensors were met. A key may be earlier than the
 * true deadline (never later): who takes the first looks. */
#ifndef VIGIA_RULES_HEAP_H
#define VIGIA_RULES_HEAP_H

#include "vigia/rules.h"

struct vgi_heap {
    const struct vg_rules_state *states;
    uint32_t *item; /* heap order -> sensor */
    uint32_t *at;   /* sensor -> place in `item` + 1; 0: not in the heap */
    int64_t *key;   /* by sensor */
    size_t len;
};

bool vgi_heap_init(struct vgi_heap *h, const struct vg_rules_state *states, size_t max);
void vgi_heap_done(struct vgi_heap *h);
/* Adds or moves; VG_NEVER_MS removes. */
void vgi_heap_set(struct vgi_heap *h, uint32_t sensor, int64_t key);
/* Adds, or moves to an earlier key; a later one is left for who takes it. */
void vgi_heap_at_most(struct vgi_heap *h, uint32_t sensor, int64_t key);
/* VG_NEVER_MS when empty. */
int64_t vgi_heap_first(const struct vgi_heap *h, uint32_t *sensor);

#endif
