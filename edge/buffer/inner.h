/* What the loop's side (buffer.c) and the writer's side (writer.c, commit.c, rows.c) of the buffer
 * share.
 *
 * `lock` guards everything up to the line; below it belongs to the writer alone. The lock is never
 * held across a call of SQLite. */
#ifndef VIGIA_BUFFER_INNER_H
#define VIGIA_BUFFER_INNER_H

#include "ring.h"
#include "store.h"

#include <pthread.h>

/* Settled runs and quarantined rows that wait for the next commit. */
#define VGI_SETTLED_MAX    256
#define VGI_QUARANTINE_MAX 128
/* Rows evicted in one step, and steps in one commit: an eviction never holds the card for long. */
#define VGI_EVICT_ROWS  128
#define VGI_EVICT_STEPS 64
/* Longest time between two looks at the age of rows. Shortest time between two gap events; between
 * two events about a full disk; between two tries on one. */
#define VGI_SWEEP_MS   60000
#define VGI_GAP_MS     10000
#define VGI_STORAGE_MS 60000
#define VGI_RETRY_MS   1000

#define VGI_ROWS_READY 1u
#define VGI_WAITING    2u

struct vgi_request {
    size_t wanted; /* rows asked for; 0: none */
    bool busy;     /* asked and not yet answered by on_rows */
    bool rewind;
    uint32_t generation; /* of rewinds: an older answer is thrown away */
    size_t outstanding;  /* rows handed out without an outcome */
    size_t outcome_count;
    struct vg_buffer_outcome outcomes[VG_BUFFER_FETCH_MAX];
    unsigned ready; /* VGI_… */
    size_t row_count;
    struct vg_buffer_row rows[VG_BUFFER_FETCH_MAX]; /* the writer's while `busy` and not ready */
};

struct vgi_run {
    int lane;
    int64_t epoch;
    uint64_t first, last;
};

struct vgi_refused {
    int lane;
    struct vgi_key key;
    uint8_t code;
};

struct vgi_handed {
    struct vgi_key key;
    uint64_t store;
};

struct vg_buffer {
    struct vg_buffer_events events;
    const struct vg_clock *clock;
    char device[VG_DEVICE_NAME_MAX + 1];
    int64_t max_bytes, max_age_ms, group_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int event_fd;
    struct vg_buffer_found found; /* as the open left it */

    struct vgi_ring rings[VG_BUFFER_LANES];
    uint64_t last_seq[VG_BUFFER_LANES];
    uint64_t waiting[VG_BUFFER_LANES]; /* appended since the last look at the ring */
    struct vg_mono oldest;             /* when the first of those came */
    uint64_t dropped[VG_BUFFER_LANES]; /* refused since the last gap entry */
    struct vgi_request requests[VG_BUFFER_LANES];
    struct vgi_anchor anchor;
    bool has_anchor, kick, stop, fatal_ready, fatal_told;
    struct vg_error fatal;
    uint64_t refused_total;
    struct vg_buffer_stats stats; /* as the writer last published them */
    struct vg_buffer_damage damage;

    /* ---- the writer's own ---- */
    struct vgi_store store;
    struct vgi_key cursor[VG_BUFFER_LANES]; /* of the last row handed out */
    struct vgi_handed handed[VG_BUFFER_LANES][VG_BUFFER_FETCH_MAX];
    size_t handed_count[VG_BUFFER_LANES];
    struct {
        bool armed;
        struct vgi_key first;
        struct vg_mono until;
    } parked[VG_BUFFER_LANES];
    struct vgi_run settled[VGI_SETTLED_MAX];
    size_t settled_count;
    struct vgi_refused refused[VGI_QUARANTINE_MAX];
    size_t refused_count;
    struct vgi_gap gaps[VGI_GAPS_MAX];
    size_t gap_count;
    struct vgi_anchor newest; /* of this boot; wall_ms 0: none */
    struct vg_mono pending_since;
    uint64_t rows[VG_BUFFER_LANES];
    uint64_t offered[VG_BUFFER_LANES]; /* last number offered from memory */
    struct vg_buffer_stats own;
    struct vg_mono retry_at, sweep_at, gap_at, storage_at;
    bool pending; /* settled, refused, gaps or anchor wait for a commit */
    bool gaps_dirty, anchor_dirty, failing, failed_for_good;
    bool parked_told[VG_BUFFER_LANES];
    bool
        unread[VG_BUFFER_LANES]; /* a fetch could not read; told as waiting after the next commit */
};

/* writer.c */
void *vgi_writer_main(void *buffer);
void vgi_writer_pending(struct vg_buffer *b);
void vgi_writer_signal(struct vg_buffer *b, int lane, unsigned what);
/* Acts on store.fault: keeps trying, begins a new file, or gives up. */
void vgi_writer_fault(struct vg_buffer *b);
/* Notes the file that the store has set aside, with its rows. With the lock held. */
void vgi_writer_damage(struct vg_buffer *b, uint64_t rows);
/* Writes an event about ourselves into the urgent ring; false when it is full. With the lock held.
 */
bool vgi_writer_event(struct vg_buffer *b, enum vg_event event, const char *text);

/* commit.c */
void vgi_gap_add(struct vg_buffer *b, enum vgi_gap_reason reason, int lane, uint64_t store,
                 uint64_t first, uint64_t last, uint64_t count);
/* One transaction with all that waits. */
bool vgi_commit(struct vg_buffer *b);

/* rows.c */
void vgi_rows_settle(struct vg_buffer *b, int lane, const struct vg_buffer_outcome *outcomes,
                     size_t count);
size_t vgi_rows_fetch(struct vg_buffer *b, int lane, size_t max, struct vg_buffer_row *out);

static inline bool vgi_key_less(struct vgi_key a, struct vgi_key b)
{
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.seq < b.seq;
}

#endif
