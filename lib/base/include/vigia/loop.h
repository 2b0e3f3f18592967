/* The event loop: epoll and timers; one per thread that needs one. Another thread wakes it through
 * a vg_queue's descriptor.
 *
 * All memory is taken in vg_loop_new. Handlers run one at a time on the loop's thread, never
 * nested. A handler may add, change and remove anything, itself included. An id that was removed is
 * never mistaken for a newer one. Time comes from the clock given at creation. */
#ifndef VIGIA_LOOP_H
#define VIGIA_LOOP_H

#include "vigia/clock.h"
#include "vigia/err.h"

struct vg_loop;
typedef int vg_watch_id; /* > 0 */
typedef int vg_timer_id; /* > 0 */

#define VG_LOOP_READ  1u
#define VG_LOOP_WRITE 2u

typedef void vg_loop_fd_fn(void *arg, unsigned events);
typedef void vg_loop_timer_fn(void *arg);

/* At most this many watches and as many timers in one loop. */
#define VG_LOOP_SLOTS_MAX (1u << 20)

/* VG_E_NOMEM, VG_E_IO, VG_E_RANGE above VG_LOOP_SLOTS_MAX. Bounds are the caller's: one more than
 * either is VG_E_FULL at add time. */
enum vg_err vg_loop_new(const struct vg_clock *clock, size_t max_watches, size_t max_timers,
                        struct vg_loop **out) VG_NODISCARD;
void vg_loop_free(struct vg_loop *loop);

const struct vg_clock *vg_loop_clock(const struct vg_loop *loop);

/* Watches a descriptor (level-triggered); the caller keeps owning it and removes the watch before
 * closing it. VG_E_EXISTS when it is watched already, VG_E_IO for what epoll cannot watch (a
 * regular file). An error or hang-up is told as the events that were asked for, so that the
 * handler's own read or write meets it. */
enum vg_err vg_loop_watch(struct vg_loop *loop, int fd, unsigned events, vg_loop_fd_fn *fn,
                          void *arg, vg_watch_id *out) VG_NODISCARD;
/* Changes what is waited for; 0 pauses the watch. Where the kernel has no room for it nothing
 * changes, and the next call tries again: whoever calls has a timer beside the watch. */
void vg_loop_rewatch(struct vg_loop *loop, vg_watch_id id, unsigned events);
void vg_loop_unwatch(struct vg_loop *loop, vg_watch_id id); /* 0 is allowed */

/* A named timer slot, created disarmed. */
enum vg_err vg_loop_timer(struct vg_loop *loop, vg_loop_timer_fn *fn, void *arg,
                          vg_timer_id *out) VG_NODISCARD;
/* Arms (or moves) it to fire once at `when`; a time in the past fires on the next turn. */
void vg_loop_timer_at(struct vg_loop *loop, vg_timer_id id, struct vg_mono when);
void vg_loop_timer_in_ms(struct vg_loop *loop, vg_timer_id id, int64_t ms);
void vg_loop_timer_stop(struct vg_loop *loop, vg_timer_id id);
/* Gives the slot back; 0 is allowed. */
void vg_loop_timer_remove(struct vg_loop *loop, vg_timer_id id);

/* Runs until vg_loop_stop (a stop asked for before counts); VG_E_IO when epoll itself fails. */
enum vg_err vg_loop_run(struct vg_loop *loop) VG_NODISCARD;
/* One turn, waiting at most `max_wait_ms` (-1: until something happens). For programs with a loop
 * of their own and tests. */
enum vg_err vg_loop_turn(struct vg_loop *loop, int max_wait_ms) VG_NODISCARD;
/* Safe from a handler and from a signalfd handler; not from other threads. */
void vg_loop_stop(struct vg_loop *loop);

#endif
