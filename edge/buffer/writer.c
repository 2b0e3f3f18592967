/* The writer's thread: takes what the loop's side left under the lock, works without it, leaves the
 * answers. */
#include "inner.h"
#include "row.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* While the disk is full, an eighth of a ring is kept free for what comes next. */
#define FREE_SHARE 8

void vgi_writer_pending(struct vg_buffer *b)
{
    if (!b->pending) {
        b->pending = true;
        b->pending_since = vg_now_mono(b->clock);
    }
}

static void ring_bell(struct vg_buffer *b)
{
    uint64_t one = 1;
    /* It fails only when the counter is at its end, and then it is readable already. */
    ssize_t ignored = write(b->event_fd, &one, sizeof one);
    (void)ignored;
}

void vgi_writer_signal(struct vg_buffer *b, int lane, unsigned what)
{
    (void)pthread_mutex_lock(&b->lock);
    b->requests[lane].ready |= what;
    (void)pthread_mutex_unlock(&b->lock);
    ring_bell(b);
}

bool vgi_writer_event(struct vg_buffer *b, enum vg_event event, const char *text)
{
    struct vg_reading r = {.event = (uint8_t)event};
    (void)vg_str_copy(b->device, r.sensor, sizeof r.sensor);
    (void)snprintf(r.event_text, sizeof r.event_text, "%s", text);
    uint8_t row[VGI_ROW_MAX];
    size_t len = vgi_row_encode(&r, row);
    struct vgi_ring *ring = &b->rings[VG_BUFFER_URGENT];
    uint64_t *seq = &b->last_seq[VG_BUFFER_URGENT];
    if (!vgi_ring_push(ring, *seq + 1, vg_now_boot(b->clock).ns, row, len)) {
        return false;
    }
    ++*seq;
    b->waiting[VG_BUFFER_URGENT]++;
    return true;
}

static void tell_storage(struct vg_buffer *b, const char *text)
{
    (void)pthread_mutex_lock(&b->lock);
    (void)vgi_writer_event(b, VG_EVENT_STORAGE, text);
    (void)pthread_mutex_unlock(&b->lock);
}

/* Makes room in the rings while nothing can be written, oldest first. */
static void trim_rings(struct vg_buffer *b)
{
    (void)pthread_mutex_lock(&b->lock);
    for (int lane = VG_BUFFER_LANES - 1; lane >= 0; lane--) {
        struct vgi_ring *ring = &b->rings[lane];
        uint64_t first = 0, last = 0, count = 0;
        uint64_t pos = ring->head;
        const struct vgi_record *r = NULL;
        while (vgi_ring_used(ring) > ring->capacity - ring->capacity / FREE_SHARE &&
               (r = vgi_ring_next(ring, ring->tail, &pos)) != NULL) {
            if (!r->dead) {
                first = first == 0 ? r->seq : first;
                last = r->seq;
                count++;
            }
            vgi_ring_pop(ring, pos);
        }
        if (count > 0) {
            vgi_gap_add(b, VGI_GAP_MEMORY, lane, b->store.id, first, last, count);
            b->own.evicted += count;
        }
    }
    (void)pthread_mutex_unlock(&b->lock);
}

static void give_up(struct vg_buffer *b, const char *why)
{
    if (b->failed_for_good) {
        return;
    }
    b->failed_for_good = true;
    b->own.fatal = true;
    (void)pthread_mutex_lock(&b->lock);
    (void)vg_fail(&b->fatal, VG_E_FATAL, "%s: %s", b->store.path, why);
    b->fatal_ready = true;
    (void)pthread_mutex_unlock(&b->lock);
    ring_bell(b);
}

void vgi_writer_damage(struct vg_buffer *b, uint64_t rows)
{
    b->damage.files++;
    b->damage.rows += rows;
    (void)vg_str_copy(b->store.aside, b->damage.file, sizeof b->damage.file);
}

static void begin_again(struct vg_buffer *b)
{
    struct vg_error err;
    b->own.damaged++;
    const enum vg_err e = vgi_store_replace(&b->store, vg_now_wall(b->clock).ms / 1000, &err);
    b->own.asides_removed = b->store.asides_removed;
    if (e != VG_OK) {
        give_up(b, err.text);
        return;
    }
    (void)pthread_mutex_lock(&b->lock);
    vgi_writer_damage(b, b->rows[VG_BUFFER_URGENT] + b->rows[VG_BUFFER_ROUTINE]);
    (void)pthread_mutex_unlock(&b->lock);
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        if (b->rows[lane] > 0) {
            vgi_gap_add(b, VGI_GAP_DAMAGED, lane, b->store.id, 0, 0, b->rows[lane]);
        }
        b->own.evicted += b->rows[lane];
        b->rows[lane] = 0;
        b->parked[lane].armed = false;
    }
    b->settled_count = 0;
    b->refused_count = 0;
    b->anchor_dirty = b->newest.wall_ms > 0;
    tell_storage(b, "damaged: file set aside, a new one begun");
}

void vgi_writer_fault(struct vg_buffer *b)
{
    const struct vg_mono now = vg_now_mono(b->clock);
    b->own.commit_failures++;
    switch (b->store.fault) {
    case VGI_FAULT_FULL:
        if (!b->failing && now.ns >= b->storage_at.ns) {
            tell_storage(b, "full: no space, readings are kept in memory");
            b->storage_at = vg_mono_add_ms(now, VGI_STORAGE_MS);
        }
        b->own.fulls += b->failing ? 0 : 1;
        b->failing = true;
        b->retry_at = vg_mono_add_ms(now, VGI_RETRY_MS);
        trim_rings(b);
        break;
    case VGI_FAULT_DAMAGED:
        begin_again(b);
        break;
    case VGI_FAULT_NONE:
    case VGI_FAULT_FATAL:
        give_up(b, b->store.why);
        break;
    }
}

static void sooner(struct vg_mono *at, struct vg_mono other)
{
    if (other.ns < at->ns) {
        *at = other;
    }
}

/* When a commit is next due. With the lock held. */
static struct vg_mono commit_at(const struct vg_buffer *b)
{
    struct vg_mono at = {INT64_MAX};
    if (b->failed_for_good) {
        return at;
    }
    at = b->sweep_at;
    if (b->waiting[VG_BUFFER_URGENT] > 0 || b->waiting[VG_BUFFER_ROUTINE] >= VG_BUFFER_GROUP_MAX ||
        b->settled_count == VGI_SETTLED_MAX || b->refused_count == VGI_QUARANTINE_MAX) {
        at.ns = INT64_MIN;
    }
    if (b->waiting[VG_BUFFER_ROUTINE] > 0) {
        sooner(&at, vg_mono_add_ms(b->oldest, b->group_ms));
    }
    if (b->pending) {
        sooner(&at, vg_mono_add_ms(b->pending_since, b->group_ms));
    }
    for (size_t i = 0; i < b->gap_count; i++) {
        if (!b->gaps[i].told) {
            sooner(&at, b->gap_at);
        }
    }
    if (b->failing) {
        at = b->retry_at;
    }
    return at;
}

/* Waits until there is something to do. With the lock held. */
static void wait_for_work(struct vg_buffer *b)
{
    while (!b->kick && !b->stop) {
        struct vg_mono at = commit_at(b);
        for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
            if (b->parked[lane].armed && !b->parked_told[lane]) {
                sooner(&at, b->parked[lane].until);
            }
        }
        int64_t ms = at.ns == INT64_MAX   ? VGI_SWEEP_MS
                     : at.ns == INT64_MIN ? 0
                                          : vg_mono_diff_ms(at, vg_now_mono(b->clock)) + 1;
        if (ms <= 0 || (at.ns != INT64_MAX && vg_now_mono(b->clock).ns >= at.ns)) {
            return;
        }
        ms = ms > VGI_SWEEP_MS ? VGI_SWEEP_MS : ms;
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t ns = until.tv_nsec + ms % 1000 * VG_NS_PER_MS;
        until.tv_sec += (time_t)(ms / 1000 + ns / VG_NS_PER_S);
        until.tv_nsec = (long)(ns % VG_NS_PER_S);
        (void)pthread_cond_timedwait(&b->wake, &b->lock, &until);
    }
}

struct work {
    struct {
        size_t wanted;
        bool rewind;
        uint32_t generation;
        size_t outcome_count;
        struct vg_buffer_outcome outcomes[VG_BUFFER_FETCH_MAX];
    } lanes[VG_BUFFER_LANES];
};

/* With the lock held. */
static void take_work(struct vg_buffer *b, struct work *w)
{
    b->kick = false;
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        struct vgi_request *r = &b->requests[lane];
        w->lanes[lane].wanted = r->wanted;
        w->lanes[lane].rewind = r->rewind;
        w->lanes[lane].generation = r->generation;
        w->lanes[lane].outcome_count = r->outcome_count;
        memcpy(w->lanes[lane].outcomes, r->outcomes, r->outcome_count * sizeof r->outcomes[0]);
        r->wanted = 0;
        r->rewind = false;
        r->outcome_count = 0;
    }
    if (b->has_anchor) {
        b->newest = b->anchor;
        b->anchor_dirty = true;
        b->has_anchor = false;
        vgi_writer_pending(b);
    }
}

static void answer(struct vg_buffer *b, int lane, size_t wanted, uint32_t generation)
{
    struct vgi_request *r = &b->requests[lane];
    size_t count = vgi_rows_fetch(b, lane, wanted, r->rows);
    b->parked_told[lane] = false;
    (void)pthread_mutex_lock(&b->lock);
    if (r->generation == generation) {
        r->row_count = count;
        r->ready |= VGI_ROWS_READY;
    }
    (void)pthread_mutex_unlock(&b->lock);
    ring_bell(b);
}

static void tell_parked(struct vg_buffer *b)
{
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        if (b->parked[lane].armed && !b->parked_told[lane] &&
            vg_now_mono(b->clock).ns >= b->parked[lane].until.ns) {
            b->parked_told[lane] = true;
            vgi_writer_signal(b, lane, VGI_WAITING);
        }
    }
}

/* A commit, and with it a failure's pause, is over: whoever was told of no rows may ask again. */
static void tell_unread(struct vg_buffer *b)
{
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        if (b->unread[lane]) {
            b->unread[lane] = false;
            vgi_writer_signal(b, lane, VGI_WAITING);
        }
    }
}

static void do_work(struct vg_buffer *b, const struct work *w, bool commit)
{
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        vgi_rows_settle(b, lane, w->lanes[lane].outcomes, w->lanes[lane].outcome_count);
        if (w->lanes[lane].rewind) {
            b->cursor[lane] = (struct vgi_key){INT64_MIN, 0};
            b->parked[lane].armed = false;
            b->handed_count[lane] = 0;
        }
    }
    if (commit && !b->failed_for_good) {
        (void)vgi_commit(b);
        tell_unread(b);
    }
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        if (w->lanes[lane].wanted > 0) {
            answer(b, lane, w->lanes[lane].wanted, w->lanes[lane].generation);
        }
    }
    tell_parked(b);
}

/* What cannot be committed is offered from memory. With the lock held. */
static bool offer_from_memory(struct vg_buffer *b)
{
    bool any = false;
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        bool more = (b->failing || b->failed_for_good) && b->last_seq[lane] > b->offered[lane];
        if (more) {
            b->offered[lane] = b->last_seq[lane];
            b->requests[lane].ready |= VGI_WAITING;
            any = true;
        }
    }
    return any;
}

void *vgi_writer_main(void *buffer)
{
    struct vg_buffer *b = buffer;
    struct work w;
    bool stop = false;
    while (!stop) {
        (void)pthread_mutex_lock(&b->lock);
        wait_for_work(b);
        stop = b->stop;
        take_work(b, &w);
        bool commit = stop || vg_now_mono(b->clock).ns >= commit_at(b).ns;
        (void)pthread_mutex_unlock(&b->lock);

        do_work(b, &w, commit);

        (void)pthread_mutex_lock(&b->lock);
        b->own.disk_full = b->failing;
        b->stats = b->own;
        bool offered = offer_from_memory(b);
        (void)pthread_mutex_unlock(&b->lock);
        if (offered) {
            ring_bell(b);
        }
    }
    return NULL;
}
