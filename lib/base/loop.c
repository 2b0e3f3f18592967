/* The event loop.
 *
 *   turn:  epoll_wait (at most until the next timer) -> handlers of ready descriptors -> handlers
 * of due timers
 *
 * Watches and timers live in two tables of slots taken at creation. An id carries the slot's index
 * and its generation, so an event for a watch that an earlier handler of the same turn removed
 * finds nobody. Armed timers form a binary heap of slot indexes ordered by time, then by order of
 * arming. A turn takes the due timers out of the heap before it calls any: one that arms itself in
 * the past again fires on the next turn and cannot starve the descriptors. */
#include "vigia/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define INDEX_BITS 20
#define EVENTS_MAX 64 /* descriptors handled per turn; the rest stay ready */
/* NOLINTNEXTLINE(misc-redundant-expression): two names of one number is what it is there to hold */
static_assert(VG_LOOP_SLOTS_MAX == 1u << INDEX_BITS, "an id holds every index");
#define GENERATION_MAX ((INT_MAX >> INDEX_BITS) - 1)

struct watch {
    int id; /* 0: free */
    int generation;
    int fd;
    unsigned events; /* 0: not in the epoll set */
    vg_loop_fd_fn *fn;
    void *arg;
    size_t next_free;
};

enum timer_state { TIMER_IDLE, TIMER_ARMED, TIMER_DUE };

struct timer {
    int id;
    int generation;
    enum timer_state state;
    struct vg_mono when;
    uint64_t order;
    size_t heap_at; /* while armed */
    vg_loop_timer_fn *fn;
    void *arg;
    size_t next_free;
};

struct vg_loop {
    const struct vg_clock *clock;
    int epoll;
    bool stop;
    struct watch *watches;
    size_t max_watches, free_watch; /* the end of a free list is its maximum */
    struct timer *timers;
    size_t max_timers, free_timer;
    size_t *heap, heap_len;
    vg_timer_id *due;
    uint64_t order;
};

/* calloc of at least one, so that NULL always means no memory. */
static void *take(size_t count, size_t size)
{
    return calloc(count == 0 ? 1 : count, size);
}

enum vg_err vg_loop_new(const struct vg_clock *clock, size_t max_watches, size_t max_timers,
                        struct vg_loop **out)
{
    if (max_watches > VG_LOOP_SLOTS_MAX || max_timers > VG_LOOP_SLOTS_MAX) {
        return VG_E_RANGE;
    }
    struct vg_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return VG_E_NOMEM;
    }
    loop->clock = clock;
    loop->max_watches = max_watches;
    loop->max_timers = max_timers;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->watches = take(max_watches, sizeof *loop->watches);
    loop->timers = take(max_timers, sizeof *loop->timers);
    loop->heap = take(max_timers, sizeof *loop->heap);
    loop->due = take(max_timers, sizeof *loop->due);
    if (loop->epoll < 0 || loop->watches == NULL || loop->timers == NULL || loop->heap == NULL ||
        loop->due == NULL) {
        enum vg_err code = loop->epoll < 0 ? VG_E_IO : VG_E_NOMEM;
        vg_loop_free(loop);
        return code;
    }
    for (size_t i = 0; i < max_watches; i++) {
        loop->watches[i].next_free = i + 1;
    }
    for (size_t i = 0; i < max_timers; i++) {
        loop->timers[i].next_free = i + 1;
    }
    *out = loop;
    return VG_OK;
}

void vg_loop_free(struct vg_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    if (loop->epoll >= 0) {
        close(loop->epoll);
    }
    free(loop->watches);
    free(loop->timers);
    free(loop->heap);
    free(loop->due);
    free(loop);
}

const struct vg_clock *vg_loop_clock(const struct vg_loop *loop)
{
    return loop->clock;
}

static int make_id(size_t index, int *generation)
{
    *generation = *generation >= GENERATION_MAX ? 1 : *generation + 1;
    return (*generation << INDEX_BITS) | (int)index;
}

static size_t index_of(int id)
{
    return (size_t)id & (VG_LOOP_SLOTS_MAX - 1);
}

/* --- watches --- */

static struct watch *find_watch(struct vg_loop *loop, vg_watch_id id)
{
    size_t at = index_of(id);
    return id > 0 && at < loop->max_watches && loop->watches[at].id == id ? &loop->watches[at]
                                                                          : NULL;
}

static int epoll_change(const struct vg_loop *loop, int op, const struct watch *w, unsigned events)
{
    struct epoll_event e = {.data = {.u64 = (uint64_t)w->id}};
    e.events = ((events & VG_LOOP_READ) != 0 ? (uint32_t)EPOLLIN : 0) |
               ((events & VG_LOOP_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0);
    return epoll_ctl(loop->epoll, op, w->fd, &e);
}

enum vg_err vg_loop_watch(struct vg_loop *loop, int fd, unsigned events, vg_loop_fd_fn *fn,
                          void *arg, vg_watch_id *out)
{
    size_t at = loop->free_watch;
    if (at == loop->max_watches) {
        return VG_E_FULL;
    }
    struct watch *w = &loop->watches[at];
    w->id = make_id(at, &w->generation);
    w->fd = fd;
    w->events = events;
    w->fn = fn;
    w->arg = arg;
    if (events != 0 && epoll_change(loop, EPOLL_CTL_ADD, w, events) != 0) {
        w->id = 0;
        return errno == EEXIST ? VG_E_EXISTS : VG_E_IO;
    }
    loop->free_watch = w->next_free;
    *out = w->id;
    return VG_OK;
}

void vg_loop_rewatch(struct vg_loop *loop, vg_watch_id id, unsigned events)
{
    struct watch *w = find_watch(loop, id);
    assert(w != NULL);
    if (w == NULL || w->events == events) {
        return;
    }
    /* epoll tells of a hang-up even when nothing is asked for, so a paused descriptor leaves the
     * set. */
    int op = events == 0 ? EPOLL_CTL_DEL : w->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_change(loop, op, w, events) == 0) {
        w->events = events;
    } else {
        assert(errno == ENOMEM || errno == ENOSPC);
    }
}

void vg_loop_unwatch(struct vg_loop *loop, vg_watch_id id)
{
    struct watch *w = find_watch(loop, id);
    if (w == NULL) {
        return;
    }
    if (w->events != 0) {
        (void)epoll_change(loop, EPOLL_CTL_DEL, w, 0);
    }
    w->id = 0;
    w->next_free = loop->free_watch;
    loop->free_watch = index_of(id);
}

static void handle_event(struct vg_loop *loop, const struct epoll_event *e)
{
    const struct watch *w = find_watch(loop, (vg_watch_id)e->data.u64);
    if (w == NULL) {
        return;
    }
    unsigned events = 0;
    if ((e->events & (EPOLLHUP | EPOLLERR)) != 0) {
        events = w->events;
    }
    if ((e->events & EPOLLIN) != 0) {
        events |= VG_LOOP_READ;
    }
    if ((e->events & EPOLLOUT) != 0) {
        events |= VG_LOOP_WRITE;
    }
    /* An earlier handler may have paused or narrowed it in this turn. */
    events &= w->events;
    if (events != 0) {
        w->fn(w->arg, events);
    }
}

/* --- timers --- */

static struct timer *find_timer(struct vg_loop *loop, vg_timer_id id)
{
    size_t at = index_of(id);
    return id > 0 && at < loop->max_timers && loop->timers[at].id == id ? &loop->timers[at] : NULL;
}

static bool earlier(const struct vg_loop *loop, size_t a, size_t b)
{
    const struct timer *x = &loop->timers[a], *y = &loop->timers[b];
    return x->when.ns != y->when.ns ? x->when.ns < y->when.ns : x->order < y->order;
}

static void place(struct vg_loop *loop, size_t at, size_t timer)
{
    loop->heap[at] = timer;
    loop->timers[timer].heap_at = at;
}

static void sift_up(struct vg_loop *loop, size_t at)
{
    size_t timer = loop->heap[at];
    while (at > 0 && earlier(loop, timer, loop->heap[(at - 1) / 2])) {
        place(loop, at, loop->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(loop, at, timer);
}

static void sift_down(struct vg_loop *loop, size_t at)
{
    size_t timer = loop->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < loop->heap_len && earlier(loop, loop->heap[child + 1], loop->heap[child])) {
            child++;
        }
        if (child >= loop->heap_len || !earlier(loop, loop->heap[child], timer)) {
            break;
        }
        place(loop, at, loop->heap[child]);
        at = child;
    }
    place(loop, at, timer);
}

static void disarm(struct vg_loop *loop, struct timer *t)
{
    if (t->state == TIMER_ARMED) {
        size_t at = t->heap_at;
        size_t last = loop->heap[--loop->heap_len];
        if (at < loop->heap_len) {
            place(loop, at, last);
            sift_up(loop, at);
            sift_down(loop, loop->timers[last].heap_at);
        }
    }
    t->state = TIMER_IDLE;
}

enum vg_err vg_loop_timer(struct vg_loop *loop, vg_loop_timer_fn *fn, void *arg, vg_timer_id *out)
{
    size_t at = loop->free_timer;
    if (at == loop->max_timers) {
        return VG_E_FULL;
    }
    struct timer *t = &loop->timers[at];
    loop->free_timer = t->next_free;
    t->id = make_id(at, &t->generation);
    t->state = TIMER_IDLE;
    t->fn = fn;
    t->arg = arg;
    *out = t->id;
    return VG_OK;
}

void vg_loop_timer_at(struct vg_loop *loop, vg_timer_id id, struct vg_mono when)
{
    struct timer *t = find_timer(loop, id);
    assert(t != NULL);
    if (t == NULL) {
        return;
    }
    disarm(loop, t);
    t->when = when;
    t->order = loop->order++;
    t->state = TIMER_ARMED;
    place(loop, loop->heap_len++, index_of(id));
    sift_up(loop, loop->heap_len - 1);
}

void vg_loop_timer_in_ms(struct vg_loop *loop, vg_timer_id id, int64_t ms)
{
    vg_loop_timer_at(loop, id, vg_mono_add_ms(vg_now_mono(loop->clock), ms));
}

void vg_loop_timer_stop(struct vg_loop *loop, vg_timer_id id)
{
    struct timer *t = find_timer(loop, id);
    if (t != NULL) {
        disarm(loop, t);
    }
}

void vg_loop_timer_remove(struct vg_loop *loop, vg_timer_id id)
{
    struct timer *t = find_timer(loop, id);
    if (t == NULL) {
        return;
    }
    disarm(loop, t);
    t->id = 0;
    t->next_free = loop->free_timer;
    loop->free_timer = index_of(id);
}

static void run_due_timers(struct vg_loop *loop)
{
    struct vg_mono now = vg_now_mono(loop->clock);
    size_t count = 0;
    while (loop->heap_len > 0 && loop->timers[loop->heap[0]].when.ns <= now.ns) {
        struct timer *t = &loop->timers[loop->heap[0]];
        disarm(loop, t);
        t->state = TIMER_DUE;
        loop->due[count++] = t->id;
    }
    for (size_t i = 0; i < count; i++) {
        struct timer *t = find_timer(loop, loop->due[i]);
        /* An earlier handler may have stopped, moved or removed it. */
        if (t != NULL && t->state == TIMER_DUE) {
            t->state = TIMER_IDLE;
            t->fn(t->arg);
        }
    }
}

/* --- turning --- */

static int wait_ms(const struct vg_loop *loop, int max_wait_ms)
{
    if (loop->heap_len == 0) {
        return max_wait_ms;
    }
    int64_t left = loop->timers[loop->heap[0]].when.ns - vg_now_mono(loop->clock).ns;
    /* Rounded up: waking early would only turn in vain. */
    int64_t ms = left <= 0 ? 0 : (left - 1) / VG_NS_PER_MS + 1;
    if (max_wait_ms >= 0 && ms > max_wait_ms) {
        return max_wait_ms;
    }
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

enum vg_err vg_loop_turn(struct vg_loop *loop, int max_wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(loop->epoll, events, EVENTS_MAX, wait_ms(loop, max_wait_ms));
    if (count < 0 && errno != EINTR) {
        return VG_E_IO;
    }
    for (int i = 0; i < count; i++) {
        handle_event(loop, &events[i]);
    }
    run_due_timers(loop);
    return VG_OK;
}

enum vg_err vg_loop_run(struct vg_loop *loop)
{
    enum vg_err result = VG_OK;
    while (!loop->stop && result == VG_OK) {
        result = vg_loop_turn(loop, -1);
    }
    loop->stop = false;
    return result;
}

void vg_loop_stop(struct vg_loop *loop)
{
    loop->stop = true;
}
