/* The group commit: rows from the rings in, settled rows out, evictions and the gaps they leave, in
 * one transaction. */
#include "inner.h"

#include "vigia/fault.h"

#include <inttypes.h>
#include <stdio.h>

/* What the running transaction has changed so far; it counts when it has committed. */
struct change {
    uint64_t inserted[VG_BUFFER_LANES], removed[VG_BUFFER_LANES];
    uint64_t settled, quarantined, evicted;
};

void vgi_gap_add(struct vg_buffer *b, enum vgi_gap_reason reason, int lane, uint64_t store,
                 uint64_t first, uint64_t last, uint64_t count)
{
    b->gaps_dirty = true;
    vgi_writer_pending(b);
    for (size_t i = 0; i < b->gap_count; i++) {
        struct vgi_gap *g = &b->gaps[i];
        bool same = g->reason == reason && g->lane == lane && g->store == store;
        /* A full table merges into its last entry: the count stays right, all else names the
         * newest run. */
        if (!g->told && (same || (b->gap_count == VGI_GAPS_MAX && i + 1 == b->gap_count))) {
            b->own.gaps_joined += same ? 0 : 1;
            bool joins = same && g->first > 0 && first > 0;
            g->reason = (uint8_t)reason;
            g->lane = (uint8_t)lane;
            g->first = joins && g->first < first ? g->first : first;
            g->last = joins && g->last > last ? g->last : last;
            g->store = store;
            g->count += count;
            return;
        }
    }
    if (b->gap_count < VGI_GAPS_MAX) {
        b->gaps[b->gap_count++] = (struct vgi_gap){.reason = (uint8_t)reason,
                                                   .lane = (uint8_t)lane,
                                                   .store = store,
                                                   .first = first,
                                                   .last = last,
                                                   .count = count};
    }
}

/* Turns entries into events, as long as the ring takes them. The last one of a full table waits, so
 * that what this commit evicts has an entry to join. With the lock held. */
static void tell_gaps(struct vg_buffer *b, struct vg_mono now)
{
    if (b->gap_count == 0 || (now.ns < b->gap_at.ns && !b->stop)) {
        return;
    }
    const size_t tell = b->gap_count < VGI_GAPS_MAX ? b->gap_count : VGI_GAPS_MAX - 1;
    for (size_t i = 0; i < tell; i++) {
        struct vgi_gap *g = &b->gaps[i];
        char text[VG_EVENT_TEXT_MAX + 1], range[48] = "";
        if (g->first > 0) {
            (void)snprintf(range, sizeof range, " seq=%" PRIu64 "-%" PRIu64, g->first, g->last);
        }
        (void)snprintf(text, sizeof text, "%s lane=%c count=%" PRIu64 " store=%016" PRIx64 "%s",
                       vgi_gap_reason_name((enum vgi_gap_reason)g->reason),
                       g->lane == VG_BUFFER_URGENT ? VG_LANE_URGENT : VG_LANE_ROUTINE, g->count,
                       g->store, range);
        if (!g->told && !vgi_writer_event(b, VG_EVENT_GAP, text)) {
            return;
        }
        g->told = true;
        b->gaps_dirty = true;
    }
    b->gap_at = vg_mono_add_ms(now, VGI_GAP_MS);
}

static bool insert_rings(struct vg_buffer *b, const uint64_t *tails, struct change *c)
{
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        uint64_t pos = b->rings[lane].head;
        const struct vgi_record *r;
        while ((r = vgi_ring_next(&b->rings[lane], tails[lane], &pos)) != NULL) {
            if (r->dead) {
                continue;
            }
            if (!vgi_store_insert(&b->store, lane, r->seq, r->taken_ns, vgi_record_row(r))) {
                return false;
            }
            c->inserted[lane]++;
        }
    }
    return true;
}

static bool apply_settled(struct vg_buffer *b, struct change *c)
{
    for (size_t i = 0; i < b->settled_count; i++) {
        const struct vgi_run *s = &b->settled[i];
        uint64_t removed = 0;
        if (!vgi_store_remove(&b->store, s->lane, s->epoch, s->first, s->last, &removed)) {
            return false;
        }
        c->removed[s->lane] += removed;
        c->settled += removed;
    }
    for (size_t i = 0; i < b->refused_count; i++) {
        const struct vgi_refused *r = &b->refused[i];
        uint64_t removed = 0;
        if (!vgi_store_quarantine(&b->store, r->lane, r->key, r->code, &removed)) {
            return false;
        }
        c->removed[r->lane] += removed;
        c->quarantined += removed;
    }
    return true;
}

/* Removes the oldest rows of a lane, at most `max` of one epoch, taken before `cutoff_ns`. */
static bool evict(struct vg_buffer *b, int lane, const struct vgi_stored *head, uint64_t max,
                  int64_t cutoff_ns, enum vgi_gap_reason reason, struct change *c)
{
    uint64_t last, removed = 0;
    if (!vgi_store_oldest(&b->store, lane, head->key.epoch, max, cutoff_ns, &last) ||
        !vgi_store_remove(&b->store, lane, head->key.epoch, head->key.seq, last, &removed)) {
        return false;
    }
    c->removed[lane] += removed;
    c->evicted += removed;
    if (removed > 0) {
        vgi_gap_add(b, reason, lane, head->store, head->key.seq, last, removed);
    }
    return true;
}

static const struct vgi_key before_all = {INT64_MIN, 0};

/* How many rows the next step may evict for want of room. The last ones stay: if something else
 * fills the file, evicting every row would help nobody. */
static uint64_t to_spare(const struct vg_buffer *b, const struct change *c)
{
    uint64_t rows = 0;
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        rows += b->rows[lane] + c->inserted[lane] - c->removed[lane];
    }
    const uint64_t spare = rows > VG_BUFFER_KEEP_ROWS ? rows - VG_BUFFER_KEEP_ROWS : 0;
    return spare < VGI_EVICT_ROWS ? spare : VGI_EVICT_ROWS;
}

static bool evict_bytes(struct vg_buffer *b, struct change *c)
{
    uint64_t spare;
    for (int step = 0; step < VGI_EVICT_STEPS && (spare = to_spare(b, c)) > 0; step++) {
        int64_t live;
        if (!vgi_store_bytes(&b->store, &live)) {
            return false;
        }
        if (live <= b->max_bytes) {
            break;
        }
        struct vgi_stored head;
        bool found;
        int lane = VG_BUFFER_ROUTINE;
        if (!vgi_store_next(&b->store, lane, before_all, &head, &found)) {
            return false;
        }
        if (!found) {
            lane = VG_BUFFER_URGENT;
            if (!vgi_store_next(&b->store, lane, before_all, &head, &found)) {
                return false;
            }
        }
        if (!found) {
            break;
        }
        if (!evict(b, lane, &head, spare, INT64_MAX, VGI_GAP_FULL, c)) {
            return false;
        }
    }
    return true;
}

/* How long ago a row was taken. Of a boot whose time nobody knows it is at least as long as this
 * boot has lasted. */
static bool age_of(struct vg_buffer *b, const struct vgi_stored *row, int64_t *age_ms)
{
    int64_t boot_ns = vg_now_boot(b->clock).ns;
    if (row->boot == b->store.boot) {
        *age_ms = (boot_ns - row->taken_ns) / VG_NS_PER_MS;
        return true;
    }
    bool known;
    int64_t wall_ms = 0;
    if (!vgi_store_resolve(&b->store, row->boot, row->taken_ns, &known, &wall_ms)) {
        return false;
    }
    *age_ms = boot_ns / VG_NS_PER_MS;
    if (known && b->newest.wall_ms > 0) {
        *age_ms = b->newest.wall_ms + (boot_ns - b->newest.at_ns) / VG_NS_PER_MS - wall_ms;
    }
    return true;
}

static bool evict_age(struct vg_buffer *b, struct change *c)
{
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        for (int step = 0; step < VGI_EVICT_STEPS; step++) {
            struct vgi_stored head;
            bool found;
            int64_t age_ms;
            if (!vgi_store_next(&b->store, lane, before_all, &head, &found)) {
                return false;
            }
            if (!found) {
                break;
            }
            if (!age_of(b, &head, &age_ms)) {
                return false;
            }
            if (age_ms <= b->max_age_ms) {
                break;
            }
            int64_t cutoff = head.taken_ns + (age_ms - b->max_age_ms) * VG_NS_PER_MS;
            if (!evict(b, lane, &head, VGI_EVICT_ROWS, cutoff, VGI_GAP_AGE, c)) {
                return false;
            }
        }
    }
    return true;
}

/* Where a test kills the program; says that the commit may go on. */
static bool fault_before_commit(const struct change *c)
{
    if (c->inserted[VG_BUFFER_URGENT] + c->inserted[VG_BUFFER_ROUTINE] > 0) {
        (void)VG_FAULT(EDGE_BEFORE_COMMIT);
    }
    if (c->settled > 0) {
        (void)VG_FAULT(EDGE_BEFORE_DELETE);
    }
    return true;
}

static bool statements(struct vg_buffer *b, const uint64_t *tails, bool sweep, struct change *c)
{
    return vgi_store_begin(&b->store) && insert_rings(b, tails, c) && apply_settled(b, c) &&
           (!b->anchor_dirty || vgi_store_anchor(&b->store, b->newest)) &&
           (!sweep || evict_age(b, c)) && evict_bytes(b, c) &&
           (!b->gaps_dirty || vgi_store_gaps_save(&b->store, b->gaps, b->gap_count)) &&
           fault_before_commit(c) && vgi_store_commit(&b->store);
}

/* All, or nothing: what failed is undone, here too. */
static bool transact(struct vg_buffer *b, const uint64_t *tails, bool sweep, struct change *c)
{
    struct vgi_gap gaps[VGI_GAPS_MAX];
    const size_t gap_count = b->gap_count;
    const uint64_t gaps_joined = b->own.gaps_joined;
    memcpy(gaps, b->gaps, sizeof gaps);
    *c = (struct change){0};
    if (statements(b, tails, sweep, c)) {
        return true;
    }
    vgi_store_undo(&b->store);
    memcpy(b->gaps, gaps, sizeof gaps);
    b->gap_count = gap_count;
    b->own.gaps_joined = gaps_joined;
    return false;
}

static void account(struct vg_buffer *b, const uint64_t *tails, const uint64_t *seqs,
                    const struct change *c, int64_t us)
{
    int64_t live = 0;
    (void)vgi_store_bytes(&b->store, &live);
    (void)pthread_mutex_lock(&b->lock);
    struct vg_buffer_stats *s = &b->own;
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        vgi_ring_pop(&b->rings[lane], tails[lane]);
        b->rows[lane] += c->inserted[lane] - c->removed[lane];
        s->rows[lane] = b->rows[lane];
        s->committed[lane] = seqs[lane];
    }
    s->evicted += c->evicted;
    s->settled += c->settled;
    s->quarantined += c->quarantined;
    s->quarantine_trimmed += b->store.quarantine_trimmed;
    s->commits++;
    s->commit_us_last = us;
    s->commit_us_max = us > s->commit_us_max ? us : s->commit_us_max;
    s->bytes = live;
    (void)pthread_mutex_unlock(&b->lock);
}

static void forget_told(struct vg_buffer *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->gap_count; i++) {
        if (!b->gaps[i].told) {
            b->gaps[kept++] = b->gaps[i];
        }
    }
    b->gap_count = kept;
    b->gaps_dirty = false;
}

bool vgi_commit(struct vg_buffer *b)
{
    struct vg_mono start = vg_now_mono(b->clock);
    uint64_t tails[VG_BUFFER_LANES], seqs[VG_BUFFER_LANES];
    (void)pthread_mutex_lock(&b->lock);
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        if (b->dropped[lane] > 0) {
            vgi_gap_add(b, VGI_GAP_MEMORY, lane, b->store.id, 0, 0, b->dropped[lane]);
            b->dropped[lane] = 0;
        }
    }
    tell_gaps(b, start);
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        tails[lane] = b->rings[lane].tail;
        seqs[lane] = b->last_seq[lane];
        b->waiting[lane] = 0;
    }
    (void)pthread_mutex_unlock(&b->lock);

    bool sweep = start.ns >= b->sweep_at.ns;
    struct change c;
    bool done = transact(b, tails, sweep, &c);
    if (!done && b->store.fault == VGI_FAULT_DAMAGED) {
        done = transact(b, tails, sweep, &c);
    }
    if (!done) {
        vgi_writer_fault(b);
        return false;
    }
    if (c.inserted[VG_BUFFER_URGENT] + c.inserted[VG_BUFFER_ROUTINE] > 0) {
        (void)VG_FAULT(EDGE_ROW_COMMITTED);
    }
    if (c.settled > 0) {
        (void)VG_FAULT(EDGE_AFTER_DELETE);
    }
    if (sweep) {
        b->sweep_at = vg_mono_add_ms(start, VGI_SWEEP_MS);
    }
    b->settled_count = 0;
    b->refused_count = 0;
    b->anchor_dirty = false;
    b->pending = false;
    forget_told(b);
    account(b, tails, seqs, &c, (vg_now_mono(b->clock).ns - start.ns) / 1000);
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        if (c.inserted[lane] > 0) {
            vgi_writer_signal(b, lane, VGI_WAITING);
        }
    }
    if (!vgi_store_checkpoint(&b->store)) {
        vgi_writer_fault(b);
        return false;
    }
    b->failing = false;
    return true;
}
