/* A bounded multi-producer queue of fixed-size items between threads, with a descriptor to wait on.
 *
 * The maximum is an argument of the constructor; a full queue refuses (VG_E_FULL) and counts, it
 * never grows and never overwrites. The consumer's descriptor (eventfd) is readable while items
 * wait. */
#ifndef VIGIA_QUEUE_H
#define VIGIA_QUEUE_H

#include "vigia/err.h"

#include <stdint.h>

struct vg_queue;

/* VG_E_RANGE when either size is 0 or both together are more than memory can hold, VG_E_NOMEM,
 * VG_E_IO. */
enum vg_err vg_queue_new(size_t item_size, size_t max_items, struct vg_queue **out) VG_NODISCARD;
void vg_queue_free(struct vg_queue *q);
/* Copies *item in. VG_E_FULL when full, VG_E_CLOSED after vg_queue_close. Any thread. */
enum vg_err vg_queue_push(struct vg_queue *q, const void *item) VG_NODISCARD;
/* Copies up to `max` items out, oldest first, and returns how many. Never blocks. */
size_t vg_queue_pop(struct vg_queue *q, void *items, size_t max);
/* Waits until an item is there, the queue is closed or `timeout_ms` passed (-1: no limit); returns
 * whether items wait. */
bool vg_queue_wait(struct vg_queue *q, int timeout_ms);
/* No more items are taken in; those inside can still be popped. Wakes every waiter. */
void vg_queue_close(struct vg_queue *q);
bool vg_queue_closed(struct vg_queue *q);
int vg_queue_fd(const struct vg_queue *q);
size_t vg_queue_len(struct vg_queue *q);
/* Items refused because the queue was full, since it was made. */
uint64_t vg_queue_refused(struct vg_queue *q);

#endif
