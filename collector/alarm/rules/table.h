/* The table of an engine: sensor id -> index of its state. Open addressing, made once, nothing is
 * ever removed. */
#ifndef VIGIA_RULES_TABLE_H
#define VIGIA_RULES_TABLE_H

#include "vigia/rules.h"

struct vgi_slot {
    uint32_t hash;
    uint32_t index; /* + 1; 0: empty */
};
struct vgi_table {
    struct vgi_slot *slot;
    size_t mask;
    uint64_t seed;
};

#define VGI_NO_INDEX UINT32_MAX

/* Room for `max` entries at half load. False: no memory. */
bool vgi_table_init(struct vgi_table *t, size_t max, uint64_t seed);
void vgi_table_done(struct vgi_table *t);
/* VGI_NO_INDEX when it is not there; *slot is where it is or would be. */
uint32_t vgi_table_find(const struct vgi_table *t, const struct vg_rules_state *states,
                        const char *sensor, struct vgi_slot *slot, size_t *at);
void vgi_table_put(struct vgi_table *t, size_t at, struct vgi_slot slot, uint32_t index);

#endif
