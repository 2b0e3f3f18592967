/* A bounded ring of rows on their way to the card. Not locked: the buffer's mutex is.
 *
 *   head ─► [record][record]…[record] ◄─ tail       records are contiguous; a skip fills the rest
 * of the memory
 *
 * A record does not move or change (but for `dead`) from push to pop, so one thread may read
 * records between a head and a tail that it has seen under the lock while another pushes. */
#ifndef VIGIA_BUFFER_RING_H
#define VIGIA_BUFFER_RING_H

#include "vigia/span.h"

#include <stdint.h>

struct vgi_record {
    uint32_t size; /* of the whole record, a multiple of 8 */
    uint16_t len;  /* of the row; 0: a skip to the start of the memory */
    bool dead;     /* settled before it reached the card */
    uint64_t seq;
    int64_t taken_ns;
    /* the row follows */
};

struct vgi_ring {
    uint8_t *memory;
    uint64_t capacity;   /* a multiple of 8 */
    uint64_t head, tail; /* counts of bytes since start; position = count % capacity */
};

/* `memory` has `capacity` bytes, a multiple of 8, is aligned to 8 and stays with the caller. */
void vgi_ring_init(struct vgi_ring *r, void *memory, size_t capacity);
/* False when it does not fit now. len is 1 to VGI_ROW_MAX. */
bool vgi_ring_push(struct vgi_ring *r, uint64_t seq, int64_t taken_ns, const void *row, size_t len);
/* The record at *pos, below `tail`, skipping skips; NULL at the end. Advances *pos past it. Start
 * with *pos = head. */
struct vgi_record *vgi_ring_next(const struct vgi_ring *r, uint64_t tail, uint64_t *pos);
static inline struct vg_span vgi_record_row(const struct vgi_record *record)
{
    return vg_span(record + 1, record->len);
}
/* Everything before `pos` (a value that vgi_ring_next gave) is free again. */
static inline void vgi_ring_pop(struct vgi_ring *r, uint64_t pos)
{
    r->head = pos;
}
static inline size_t vgi_ring_used(const struct vgi_ring *r)
{
    return (size_t)(r->tail - r->head);
}

#endif
