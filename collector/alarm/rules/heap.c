/* See heap.h: a binary heap over sensor numbers, with the place of each sensor kept beside it. */
#include "heap.h"

#include <stdlib.h>

bool vgi_heap_init(struct vgi_heap *h, const struct vg_rules_state *states, size_t max)
{
    h->states = states;
    h->item = calloc(max, sizeof(*h->item));
    h->at = calloc(max, sizeof(*h->at));
    h->key = calloc(max, sizeof(*h->key));
    h->len = 0;
    return h->item != NULL && h->at != NULL && h->key != NULL;
}

void vgi_heap_done(struct vgi_heap *h)
{
    free(h->item);
    free(h->at);
    free(h->key);
}

static bool before(const struct vgi_heap *h, uint32_t a, uint32_t b)
{
    if (h->key[a] != h->key[b]) {
        return h->key[a] < h->key[b];
    }
    return strcmp(h->states[a].sensor, h->states[b].sensor) < 0;
}

static void place(struct vgi_heap *h, size_t at, uint32_t sensor)
{
    h->item[at] = sensor;
    h->at[sensor] = (uint32_t)at + 1;
}

static void sift(struct vgi_heap *h, size_t at)
{
    uint32_t sensor = h->item[at];
    while (at > 0 && before(h, sensor, h->item[(at - 1) / 2])) {
        place(h, at, h->item[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = at * 2 + 1;
        if (child + 1 < h->len && before(h, h->item[child + 1], h->item[child])) {
            child++;
        }
        if (child >= h->len || !before(h, h->item[child], sensor)) {
            break;
        }
        place(h, at, h->item[child]);
        at = child;
    }
    place(h, at, sensor);
}

void vgi_heap_set(struct vgi_heap *h, uint32_t sensor, int64_t key)
{
    size_t at = h->at[sensor];
    if (key == VG_NEVER_MS) {
        if (at > 0) {
            uint32_t last = h->item[--h->len];
            h->at[sensor] = 0;
            if (last != sensor) {
                place(h, at - 1, last);
                sift(h, at - 1);
            }
        }
        return;
    }
    h->key[sensor] = key;
    if (at == 0) {
        at = ++h->len;
        place(h, at - 1, sensor);
    }
    sift(h, at - 1);
}

void vgi_heap_at_most(struct vgi_heap *h, uint32_t sensor, int64_t key)
{
    if (h->at[sensor] == 0 || key < h->key[sensor]) {
        vgi_heap_set(h, sensor, key);
    }
}

int64_t vgi_heap_first(const struct vgi_heap *h, uint32_t *sensor)
{
    if (h->len == 0) {
        return VG_NEVER_MS;
    }
    *sensor = h->item[0];
    return h->key[h->item[0]];
}
