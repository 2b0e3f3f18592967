/* The ring of rows; see ring.h. */
#include "ring.h"

#include <assert.h>

static_assert(sizeof(struct vgi_record) % 8 == 0, "rows follow their record without padding");

/* A skip is shorter than a record when only its first 8 bytes are left before the end of the
 * memory. */
#define SKIP_MIN 8

static struct vgi_record *at(const struct vgi_ring *r, uint64_t pos)
{
    return (struct vgi_record *)(void *)(r->memory + pos % r->capacity);
}

void vgi_ring_init(struct vgi_ring *r, void *memory, size_t capacity)
{
    assert(capacity % 8 == 0 && capacity > 0 && (uintptr_t)memory % 8 == 0);
    *r = (struct vgi_ring){.memory = memory, .capacity = capacity};
}

bool vgi_ring_push(struct vgi_ring *r, uint64_t seq, int64_t taken_ns, const void *row, size_t len)
{
    assert(len > 0 && len <= UINT16_MAX);
    uint64_t size = (sizeof(struct vgi_record) + len + 7) / 8 * 8;
    uint64_t to_end = r->capacity - r->tail % r->capacity;
    uint64_t skip = to_end < size ? to_end : 0;
    if (vgi_ring_used(r) + skip + size > r->capacity) {
        return false;
    }
    if (skip > 0) {
        static_assert(offsetof(struct vgi_record, dead) < SKIP_MIN, "a skip fits in 8 bytes");
        struct vgi_record *filler = at(r, r->tail);
        filler->size = (uint32_t)skip;
        filler->len = 0;
        r->tail += skip;
    }
    struct vgi_record *record = at(r, r->tail);
    record->size = (uint32_t)size;
    record->len = (uint16_t)len;
    record->dead = false;
    record->seq = seq;
    record->taken_ns = taken_ns;
    memcpy(record + 1, row, len);
    r->tail += size;
    return true;
}

struct vgi_record *vgi_ring_next(const struct vgi_ring *r, uint64_t tail, uint64_t *pos)
{
    while (*pos < tail) {
        struct vgi_record *record = at(r, *pos);
        *pos += record->size;
        if (record->len > 0) {
            return record;
        }
    }
    return NULL;
}
