/* See table.h. The hash is seeded, so that nobody can choose sensor ids that fall together. */
#include "table.h"

#include <stdlib.h>

bool vgi_table_init(struct vgi_table *t, size_t max, uint64_t seed)
{
    size_t slots = 16;
    while (slots < max * 2) {
        slots *= 2;
    }
    t->slot = calloc(slots, sizeof(*t->slot));
    t->mask = slots - 1;
    t->seed = seed;
    return t->slot != NULL;
}

void vgi_table_done(struct vgi_table *t)
{
    free(t->slot);
    t->slot = NULL;
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ULL;
    h ^= h >> 32;
    return h;
}

static uint32_t hash(const struct vgi_table *t, const char *sensor)
{
    uint64_t h = t->seed ^ 0x9e3779b97f4a7c15ULL;
    size_t len = strnlen(sensor, VG_SENSOR_ID_MAX);
    size_t at = 0;
    for (; at + 8 <= len; at += 8) {
        uint64_t word;
        memcpy(&word, sensor + at, 8);
        h = mix(h ^ word);
    }
    uint64_t word = (uint64_t)len << 56;
    memcpy(&word, sensor + at, len - at);
    return (uint32_t)mix(mix(h ^ word) + t->seed);
}

uint32_t vgi_table_find(const struct vgi_table *t, const struct vg_rules_state *states,
                        const char *sensor, struct vgi_slot *slot, size_t *at)
{
    slot->hash = hash(t, sensor);
    size_t i = slot->hash & t->mask;
    while (t->slot[i].index != 0) {
        if (t->slot[i].hash == slot->hash &&
            strcmp(states[t->slot[i].index - 1].sensor, sensor) == 0) {
            *at = i;
            return t->slot[i].index - 1;
        }
        i = (i + 1) & t->mask;
    }
    *at = i;
    return VGI_NO_INDEX;
}

void vgi_table_put(struct vgi_table *t, size_t at, struct vgi_slot slot, uint32_t index)
{
    slot.index = index + 1;
    t->slot[at] = slot;
}
