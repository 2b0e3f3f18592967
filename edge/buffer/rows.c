/* Rows out: what a fetch hands out, and what becomes of it. */
#include "inner.h"
#include "row.h"

/* The record of a row of this open that is still in the ring; NULL when it is on the card or gone.
 */
static struct vgi_record *in_ring(struct vg_buffer *b, int lane, struct vgi_key key)
{
    if (key.epoch != b->store.epoch) {
        return NULL;
    }
    (void)pthread_mutex_lock(&b->lock);
    uint64_t tail = b->rings[lane].tail;
    (void)pthread_mutex_unlock(&b->lock);
    uint64_t pos = b->rings[lane].head;
    struct vgi_record *r;
    while ((r = vgi_ring_next(&b->rings[lane], tail, &pos)) != NULL) {
        if (r->seq == key.seq) {
            return r;
        }
    }
    return NULL;
}

/* False when there is no room left: the row is then offered again after the next open, and counts
 * once there too. */
static bool note_settled(struct vg_buffer *b, int lane, struct vgi_key key)
{
    if (b->settled_count > 0) {
        struct vgi_run *last = &b->settled[b->settled_count - 1];
        if (last->lane == lane && last->epoch == key.epoch && last->last + 1 == key.seq) {
            last->last = key.seq;
            return true;
        }
    }
    if (b->settled_count == VGI_SETTLED_MAX) {
        return false;
    }
    b->settled[b->settled_count++] = (struct vgi_run){lane, key.epoch, key.seq, key.seq};
    return true;
}

static void park(struct vg_buffer *b, int lane, struct vgi_key key, struct vg_mono until)
{
    if (!b->parked[lane].armed || vgi_key_less(key, b->parked[lane].first)) {
        b->parked[lane].first = key;
    }
    if (!b->parked[lane].armed || until.ns < b->parked[lane].until.ns) {
        b->parked[lane].until = until;
    }
    b->parked[lane].armed = true;
}

static void settle_one(struct vg_buffer *b, int lane, struct vgi_key key,
                       const struct vg_buffer_outcome *o)
{
    if (o->fate == VG_BUFFER_PARKED) {
        park(b, lane, key, o->until);
        b->own.parked++;
        return;
    }
    struct vgi_record *r = in_ring(b, lane, key);
    if (r != NULL) {
        r->dead = true;
        if (o->fate == VG_BUFFER_DONE) {
            b->own.settled++;
        } else {
            b->own.quarantined++;
        }
    } else if (o->fate == VG_BUFFER_DONE) {
        (void)note_settled(b, lane, key);
    } else if (b->refused_count < VGI_QUARANTINE_MAX) {
        b->refused[b->refused_count++] = (struct vgi_refused){lane, key, o->code};
    }
    vgi_writer_pending(b);
}

void vgi_rows_settle(struct vg_buffer *b, int lane, const struct vg_buffer_outcome *outcomes,
                     size_t count)
{
    size_t *handed = &b->handed_count[lane];
    for (size_t i = 0; i < count; i++) {
        for (size_t h = 0; h < *handed; h++) {
            struct vgi_handed *row = &b->handed[lane][h];
            if (row->store == outcomes[i].store && row->key.seq == outcomes[i].seq) {
                settle_one(b, lane, row->key, &outcomes[i]);
                memmove(row, row + 1, (*handed - h - 1) * sizeof *row);
                --*handed;
                break;
            }
        }
    }
}

static void hand_out(struct vg_buffer *b, int lane, struct vgi_key key, uint64_t store,
                     int64_t taken_ns, bool booted, bool known, int64_t wall_ms,
                     struct vg_buffer_row *row)
{
    struct vg_reading *r = &row->reading;
    (void)vg_str_copy(b->device, r->device, sizeof r->device);
    r->store = store;
    r->seq = key.seq;
    r->lane = lane == VG_BUFFER_URGENT ? VG_LANE_URGENT : VG_LANE_ROUTINE;
    r->time_ms = known ? wall_ms : 0;
    if (!known && r->quality == VG_QUALITY_SYNCED) {
        r->quality = VG_QUALITY_UNSYNCED;
        b->own.undated += booted ? 0 : 1;
    }
    row->taken = (struct vg_boot){taken_ns};
    row->booted = booted;
    b->handed[lane][b->handed_count[lane]++] = (struct vgi_handed){key, store};
    b->cursor[lane] = key;
}

/* A row whose checksum is wrong goes, and is told as a gap. */
static void drop_damaged(struct vg_buffer *b, int lane, const struct vgi_stored *row)
{
    b->cursor[lane] = row->key;
    if (note_settled(b, lane, row->key)) {
        vgi_gap_add(b, VGI_GAP_DAMAGED, lane, row->store, row->key.seq, row->key.seq, 1);
        b->own.damaged++;
        b->own.damaged_rows++;
    }
}

static bool fetch_stored(struct vg_buffer *b, int lane, size_t max, struct vg_buffer_row *out,
                         size_t *count)
{
    struct vgi_stored row;
    bool found = true;
    while (*count < max) {
        if (!vgi_store_next(&b->store, lane, b->cursor[lane], &row, &found)) {
            return false;
        }
        if (!found) {
            return true;
        }
        struct vg_buffer_row *to = &out[*count];
        if (!vgi_row_decode(vg_span(row.row, row.len), &to->reading)) {
            drop_damaged(b, lane, &row);
            continue;
        }
        bool known;
        int64_t wall_ms = 0;
        if (!vgi_store_resolve(&b->store, row.boot, row.taken_ns, &known, &wall_ms)) {
            return false;
        }
        hand_out(b, lane, row.key, row.store, row.taken_ns, row.boot == b->store.boot, known,
                 wall_ms, to);
        ++*count;
    }
    return true;
}

/* Rows that cannot reach the card are handed out from memory: an alarm does not wait for space. */
static void fetch_ring(struct vg_buffer *b, int lane, size_t max, struct vg_buffer_row *out,
                       size_t *count)
{
    (void)pthread_mutex_lock(&b->lock);
    uint64_t tail = b->rings[lane].tail;
    (void)pthread_mutex_unlock(&b->lock);
    uint64_t pos = b->rings[lane].head;
    while (*count < max) {
        const struct vgi_record *r = vgi_ring_next(&b->rings[lane], tail, &pos);
        if (r == NULL) {
            return;
        }
        struct vgi_key key = {b->store.epoch, r->seq};
        struct vg_buffer_row *to = &out[*count];
        if (r->dead || !vgi_key_less(b->cursor[lane], key) ||
            !vgi_row_decode(vgi_record_row(r), &to->reading)) {
            continue;
        }
        int64_t wall_ms = 0;
        struct vgi_anchor newest = b->newest;
        bool before = newest.at_ns <= r->taken_ns;
        bool known = newest.wall_ms > 0 && vgi_buffer_resolve(r->taken_ns, before ? &newest : NULL,
                                                              before ? NULL : &newest, &wall_ms);
        hand_out(b, lane, key, b->store.id, r->taken_ns, true, known, wall_ms, to);
        ++*count;
    }
}

size_t vgi_rows_fetch(struct vg_buffer *b, int lane, size_t max, struct vg_buffer_row *out)
{
    size_t count = 0;
    if (b->parked[lane].armed && vg_now_mono(b->clock).ns >= b->parked[lane].until.ns) {
        /* Nothing is in flight now, so all that is left behind the cursor was parked. */
        b->cursor[lane] =
            (struct vgi_key){b->parked[lane].first.epoch, b->parked[lane].first.seq - 1};
        b->parked[lane].armed = false;
    }
    b->handed_count[lane] = 0;
    bool good = b->store.db == NULL || fetch_stored(b, lane, max, out, &count);
    if (!good && b->store.fault == VGI_FAULT_DAMAGED) {
        good = fetch_stored(b, lane, max, out, &count); /* goes on behind the last row read */
    }
    if (!good && !b->failed_for_good) {
        vgi_writer_fault(b);
        if (!b->failed_for_good) {
            /* Rows in memory come after those that could not be read: handed out first, they would
             * make the others late for whoever counts by number. */
            b->unread[lane] = true;
            return count;
        }
    }
    if (b->failing || b->failed_for_good) {
        fetch_ring(b, lane, max, out, &count);
    }
    return count;
}
