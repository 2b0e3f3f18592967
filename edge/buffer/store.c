/* The statements of the buffer's file; see store.h. */
#include "store.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>

enum statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_UNDO,
    ST_BOOT,
    ST_EPOCHS_TRIM,
    ST_BOOTS_TRIM,
    ST_EPOCH,
    ST_INSERT,
    ST_REMOVE,
    ST_QUARANTINE,
    ST_QUARANTINE_TRIM,
    ST_ANCHOR,
    ST_ANCHORS_TRIM,
    ST_COUNT,
    ST_BYTES,
    ST_GAPS_LOAD,
    ST_GAPS_CLEAR,
    ST_GAP_SAVE,
    ST_NEXT,
    ST_OLDEST,
    ST_NEAR,
    ST_END
};
static_assert(ST_END == VGI_STATEMENTS, "one slot per statement");

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

#define LANE_SHIFT (VGI_SEQ_BITS + VGI_EPOCH_BITS)
static_assert(LANE_SHIFT == 62 && VG_BUFFER_LANES == 2, "a place is positive");
#define SEQ_MASK ((1LL << VGI_SEQ_BITS) - 1)

static int64_t lane_begin(int lane)
{
    return (int64_t)lane << LANE_SHIFT;
}

static int64_t lane_end(int lane)
{
    return lane_begin(lane) + ((1LL << LANE_SHIFT) - 1);
}

/* A key before all others has the place before the lane's first; (epoch, 0) - 1 is the place before
 * that, too. */
static int64_t place_of(int lane, int64_t epoch, uint64_t seq)
{
    assert(epoch <= VGI_EPOCH_MAX);
    return epoch < 0 ? lane_begin(lane) - 1
                     : lane_begin(lane) + (epoch << VGI_SEQ_BITS) + (int64_t)seq;
}

static const char *const texts[ST_END] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_UNDO] = "ROLLBACK",
    [ST_BOOT] = "INSERT OR IGNORE INTO boots VALUES(?1, ?2)",
    /* An epoch without rows is never asked for again; a boot without epochs needs no anchors. */
    [ST_EPOCHS_TRIM] = "DELETE FROM epochs WHERE epoch <> ?1"
                       " AND NOT EXISTS (SELECT 1 FROM queue WHERE place BETWEEN epoch * ?2"
                       " AND epoch * ?2 + (?2 - 1)) AND NOT EXISTS (SELECT 1 FROM queue WHERE"
                       " place BETWEEN ?3 + epoch * ?2 AND ?3 + epoch * ?2 + (?2 - 1))",
    [ST_BOOTS_TRIM] =
        "DELETE FROM boots WHERE boot <> ?1 AND boot NOT IN (SELECT boot FROM epochs)",
    [ST_EPOCH] = "INSERT OR REPLACE INTO epochs VALUES(?1, ?2, ?3, ?4)",
    [ST_INSERT] = "INSERT INTO queue VALUES(?1, ?2, ?3)",
    [ST_REMOVE] = "DELETE FROM queue WHERE place BETWEEN ?1 AND ?2",
    [ST_QUARANTINE] = "INSERT INTO quarantine(lane, store, seq, code, taken, row)"
                      " SELECT ?2, e.store, ?4, ?5, taken, row FROM queue JOIN epochs e"
                      " ON e.epoch = ?3 WHERE place = ?1",
    [ST_QUARANTINE_TRIM] = "DELETE FROM quarantine WHERE n <= (SELECT max(n) FROM quarantine) - ?1",
    [ST_ANCHOR] = "INSERT OR REPLACE INTO anchors VALUES(?1, ?2, ?3)",
    [ST_ANCHORS_TRIM] =
        "DELETE FROM anchors WHERE (boot, at) IN (SELECT boot, at FROM anchors ORDER BY boot DESC,"
        " at DESC LIMIT -1 OFFSET ?2) OR (boot <> ?1 AND boot NOT IN (SELECT boot FROM epochs))",
    [ST_COUNT] = "SELECT count(*) FROM queue WHERE place BETWEEN ?1 AND ?2",
    [ST_BYTES] = "SELECT p.page_count - f.freelist_count FROM pragma_page_count p,"
                 " pragma_freelist_count f",
    [ST_GAPS_LOAD] =
        "SELECT reason, lane, store, first, last, count FROM gaps LIMIT " TEXT(VGI_GAPS_MAX),
    [ST_GAPS_CLEAR] = "DELETE FROM gaps",
    [ST_GAP_SAVE] = "INSERT OR REPLACE INTO gaps VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [ST_NEXT] = "SELECT place, taken, row, e.store, e.boot FROM queue CROSS JOIN epochs e"
                " ON e.epoch = (place >> ?4) & ?3 WHERE place > ?1 AND place <= ?2"
                " ORDER BY place LIMIT 1",
    [ST_OLDEST] = "SELECT max(place) FROM (SELECT place, taken FROM queue WHERE place BETWEEN ?1"
                  " AND ?2 ORDER BY place LIMIT ?3) WHERE taken < ?4",
    [ST_NEAR] = "SELECT * FROM (SELECT at, wall FROM anchors WHERE boot = ?1 AND at <= ?2"
                " ORDER BY at DESC LIMIT 1) UNION ALL SELECT * FROM (SELECT at, wall FROM anchors"
                " WHERE boot = ?1 AND at > ?2 ORDER BY at LIMIT 1)",
};

const char *vgi_gap_reason_name(enum vgi_gap_reason reason)
{
    static const char *const names[VGI_GAP_REASONS] = {"full", "age", "memory", "damaged"};
    return names[reason];
}

enum vgi_fault vgi_store_classify(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return VGI_FAULT_NONE;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
        return VGI_FAULT_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return VGI_FAULT_DAMAGED;
    case SQLITE_IOERR:
        /* A read past the end is what a truncated file looks like. */
        return rc == SQLITE_IOERR_SHORT_READ || rc == SQLITE_IOERR_CORRUPTFS ? VGI_FAULT_DAMAGED
               : rc == SQLITE_IOERR_NOMEM                                    ? VGI_FAULT_FULL
                                                                             : VGI_FAULT_FATAL;
    default:
        return VGI_FAULT_FATAL;
    }
}

bool vgi_store_failed(struct vgi_store *s, int rc, const char *doing)
{
    s->fault = vgi_store_classify(rc);
    (void)snprintf(s->why, sizeof s->why, "%s: %s (%d)", doing, sqlite3_errmsg(s->db), rc);
    return false;
}

void vgi_store_finalize(struct vgi_store *s)
{
    for (size_t i = 0; i < ST_END; i++) {
        (void)sqlite3_finalize(s->statements[i]);
        s->statements[i] = NULL;
    }
}

/* A statement ready to be bound; NULL on failure. */
static sqlite3_stmt *ready(struct vgi_store *s, enum statement which)
{
    if (s->statements[which] == NULL) {
        int rc = sqlite3_prepare_v3(s->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                                    &s->statements[which], NULL);
        if (rc != SQLITE_OK) {
            (void)vgi_store_failed(s, rc, "prepare");
            return NULL;
        }
    }
    return s->statements[which];
}

static bool finish(struct vgi_store *s, sqlite3_stmt *st, int rc)
{
    int reset = sqlite3_reset(st);
    rc = reset != SQLITE_OK ? reset : rc;
    return vgi_store_classify(rc) == VGI_FAULT_NONE || vgi_store_failed(s, rc, sqlite3_sql(st));
}

/* Runs a statement whose parameters are integers. */
static bool run(struct vgi_store *s, enum statement which, const int64_t *values, int count)
{
    sqlite3_stmt *st = ready(s, which);
    if (st == NULL) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        (void)sqlite3_bind_int64(st, i + 1, values[i]);
    }
    return finish(s, st, sqlite3_step(st));
}
#define RUN(s, which, ...)                                                                         \
    run(s, which, (const int64_t[]){__VA_ARGS__},                                                  \
        (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

/* Runs a statement that gives one integer at most; *out stays when there is none. */
static bool ask(struct vgi_store *s, enum statement which, const int64_t *values, int count,
                int64_t *out)
{
    sqlite3_stmt *st = ready(s, which);
    if (st == NULL) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        (void)sqlite3_bind_int64(st, i + 1, values[i]);
    }
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(st, 0);
    }
    return finish(s, st, rc);
}

static bool insert_boot(struct vgi_store *s)
{
    sqlite3_stmt *st = ready(s, ST_BOOT);
    if (st == NULL) {
        return false;
    }
    (void)sqlite3_bind_int64(st, 1, s->boot);
    (void)sqlite3_bind_text(st, 2, s->boot_id, -1, SQLITE_STATIC);
    return finish(s, st, sqlite3_step(st));
}

static bool insert_epoch(struct vgi_store *s)
{
    sqlite3_stmt *st = ready(s, ST_EPOCH);
    if (st == NULL) {
        return false;
    }
    (void)sqlite3_bind_int64(st, 1, s->epoch);
    (void)sqlite3_bind_int64(st, 2, (int64_t)s->id);
    (void)sqlite3_bind_int64(st, 3, s->boot);
    (void)sqlite3_bind_text(st, 4, s->device, -1, SQLITE_STATIC);
    return finish(s, st, sqlite3_step(st));
}

static bool trim_quarantine(struct vgi_store *s)
{
    if (!RUN(s, ST_QUARANTINE_TRIM, s->quarantine_max)) {
        return false;
    }
    s->quarantine_trimmed += (uint64_t)sqlite3_changes(s->db);
    return true;
}

static bool register_epoch(struct vgi_store *s)
{
    return insert_boot(s) &&
           RUN(s, ST_EPOCHS_TRIM, s->epoch, SEQ_MASK + 1, lane_begin(VG_BUFFER_ROUTINE)) &&
           insert_epoch(s) && RUN(s, ST_ANCHORS_TRIM, s->boot, s->anchors_max) &&
           RUN(s, ST_BOOTS_TRIM, s->boot) && trim_quarantine(s);
}

void vgi_store_bound(struct vgi_store *s, int64_t max_bytes)
{
    const int64_t share = max_bytes / VGI_ASIDE_SHARE;
    const int64_t anchors = share / VGI_ANCHOR_BYTES, rows = share / VGI_ROW_MAX;
    s->anchors_max = anchors < VG_BUFFER_ANCHORS_MAX ? anchors : VG_BUFFER_ANCHORS_MAX;
    s->quarantine_max = rows < VG_BUFFER_QUARANTINE_MAX ? rows : VG_BUFFER_QUARANTINE_MAX;
}

bool vgi_store_begin(struct vgi_store *s)
{
    s->quarantine_trimmed = 0;
    return run(s, ST_BEGIN, NULL, 0) &&
           (s->registered || (vgi_store_forward(s) && register_epoch(s)));
}

bool vgi_store_commit(struct vgi_store *s)
{
    if (!run(s, ST_COMMIT, NULL, 0)) {
        return false;
    }
    s->registered = true;
    s->forward = false;
    return true;
}

void vgi_store_undo(struct vgi_store *s)
{
    if (s->db != NULL && sqlite3_get_autocommit(s->db) == 0) {
        enum vgi_fault fault = s->fault; /* the first failure is the one to act on */
        (void)run(s, ST_UNDO, NULL, 0);
        s->fault = fault;
    }
}

bool vgi_store_checkpoint(struct vgi_store *s)
{
    if (s->wal_pages < VGI_CHECKPOINT_PAGES) {
        return true;
    }
    /* Our own call, because SQLite's automatic one swallows a failed fsync. */
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (vgi_store_classify(rc) == VGI_FAULT_DAMAGED) {
        /* It has read the WAL and not yet synced the file: all is copied again. */
        rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        return vgi_store_failed(s, rc, "checkpoint");
    }
    s->wal_pages = 0;
    return true;
}

bool vgi_store_insert(struct vgi_store *s, int lane, uint64_t seq, int64_t taken_ns,
                      struct vg_span row)
{
    assert(seq <= SEQ_MASK);
    sqlite3_stmt *st = ready(s, ST_INSERT);
    if (st == NULL) {
        return false;
    }
    (void)sqlite3_bind_int64(st, 1, place_of(lane, s->epoch, seq));
    (void)sqlite3_bind_int64(st, 2, taken_ns);
    (void)sqlite3_bind_blob(st, 3, row.at, (int)row.len, SQLITE_STATIC);
    return finish(s, st, sqlite3_step(st));
}

bool vgi_store_remove(struct vgi_store *s, int lane, int64_t epoch, uint64_t first, uint64_t last,
                      uint64_t *removed)
{
    if (!RUN(s, ST_REMOVE, place_of(lane, epoch, first), place_of(lane, epoch, last))) {
        return false;
    }
    *removed += (uint64_t)sqlite3_changes(s->db);
    return true;
}

bool vgi_store_quarantine(struct vgi_store *s, int lane, struct vgi_key key, uint8_t code,
                          uint64_t *removed)
{
    return RUN(s, ST_QUARANTINE, place_of(lane, key.epoch, key.seq), lane, key.epoch,
               (int64_t)key.seq, code) &&
           trim_quarantine(s) && vgi_store_remove(s, lane, key.epoch, key.seq, key.seq, removed);
}

bool vgi_store_anchor(struct vgi_store *s, struct vgi_anchor a)
{
    return RUN(s, ST_ANCHOR, s->boot, a.at_ns, a.wall_ms) &&
           RUN(s, ST_ANCHORS_TRIM, s->boot, s->anchors_max);
}

bool vgi_store_count(struct vgi_store *s, int lane, uint64_t *rows)
{
    int64_t n = 0;
    bool good = ask(s, ST_COUNT, (const int64_t[]){lane_begin(lane), lane_end(lane)}, 2, &n);
    *rows = (uint64_t)n;
    return good;
}

bool vgi_store_bytes(struct vgi_store *s, int64_t *live)
{
    int64_t pages = 0;
    bool good = ask(s, ST_BYTES, NULL, 0, &pages);
    *live = pages * VGI_PAGE_BYTES;
    return good;
}

bool vgi_store_gaps_load(struct vgi_store *s, struct vgi_gap *gaps, size_t *count)
{
    sqlite3_stmt *st = ready(s, ST_GAPS_LOAD);
    if (st == NULL) {
        return false;
    }
    int rc;
    size_t n = 0;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW && n < VGI_GAPS_MAX) {
        uint64_t reason = (uint64_t)sqlite3_column_int64(st, 0);
        uint64_t lane = (uint64_t)sqlite3_column_int64(st, 1);
        if (reason >= VGI_GAP_REASONS || lane >= VG_BUFFER_LANES) {
            (void)sqlite3_reset(st);
            return vgi_store_failed(s, SQLITE_CORRUPT, "gaps");
        }
        gaps[n++] = (struct vgi_gap){.reason = (uint8_t)reason,
                                     .lane = (uint8_t)lane,
                                     .store = (uint64_t)sqlite3_column_int64(st, 2),
                                     .first = (uint64_t)sqlite3_column_int64(st, 3),
                                     .last = (uint64_t)sqlite3_column_int64(st, 4),
                                     .count = (uint64_t)sqlite3_column_int64(st, 5)};
    }
    *count = n;
    return finish(s, st, rc);
}

bool vgi_store_gaps_save(struct vgi_store *s, const struct vgi_gap *gaps, size_t count)
{
    bool good = run(s, ST_GAPS_CLEAR, NULL, 0);
    for (size_t i = 0; good && i < count; i++) {
        const struct vgi_gap *g = &gaps[i];
        good = g->told || RUN(s, ST_GAP_SAVE, g->reason, g->lane, (int64_t)g->store,
                              (int64_t)g->first, (int64_t)g->last, (int64_t)g->count);
    }
    return good;
}

bool vgi_store_next(struct vgi_store *s, int lane, struct vgi_key after, struct vgi_stored *out,
                    bool *found)
{
    *found = false;
    sqlite3_stmt *st = ready(s, ST_NEXT);
    if (st == NULL) {
        return false;
    }
    (void)sqlite3_bind_int64(st, 1, place_of(lane, after.epoch, after.seq));
    (void)sqlite3_bind_int64(st, 2, lane_end(lane));
    (void)sqlite3_bind_int64(st, 3, VGI_EPOCH_MAX);
    (void)sqlite3_bind_int(st, 4, VGI_SEQ_BITS);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *found = true;
        int64_t place = sqlite3_column_int64(st, 0);
        out->key.epoch = place >> VGI_SEQ_BITS & VGI_EPOCH_MAX;
        out->key.seq = (uint64_t)(place & SEQ_MASK);
        out->taken_ns = sqlite3_column_int64(st, 1);
        const void *row = sqlite3_column_blob(st, 2);
        size_t len = (size_t)sqlite3_column_bytes(st, 2);
        out->len = row != NULL && len <= sizeof out->row ? len : 0;
        if (out->len > 0) {
            memcpy(out->row, row, out->len);
        }
        out->store = (uint64_t)sqlite3_column_int64(st, 3);
        out->boot = sqlite3_column_int64(st, 4);
    }
    return finish(s, st, rc);
}

bool vgi_store_oldest(struct vgi_store *s, int lane, int64_t epoch, uint64_t n, int64_t cutoff_ns,
                      uint64_t *last)
{
    int64_t v = 0;
    const int64_t values[] = {place_of(lane, epoch, 0), place_of(lane, epoch, SEQ_MASK), (int64_t)n,
                              cutoff_ns};
    bool good = ask(s, ST_OLDEST, values, 4, &v);
    *last = (uint64_t)(v & SEQ_MASK);
    return good;
}

bool vgi_store_resolve(struct vgi_store *s, int64_t boot, int64_t taken_ns, bool *known,
                       int64_t *wall_ms)
{
    *known = false;
    sqlite3_stmt *st = ready(s, ST_NEAR);
    if (st == NULL) {
        return false;
    }
    (void)sqlite3_bind_int64(st, 1, boot);
    (void)sqlite3_bind_int64(st, 2, taken_ns);
    struct vgi_anchor near[2];
    const struct vgi_anchor *before = NULL, *after = NULL;
    int rc;
    for (int i = 0; (rc = sqlite3_step(st)) == SQLITE_ROW && i < 2; i++) {
        near[i] = (struct vgi_anchor){sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1)};
        if (near[i].at_ns <= taken_ns) {
            before = &near[i];
        } else {
            after = &near[i];
        }
    }
    *known = vgi_buffer_resolve(taken_ns, before, after, wall_ms);
    return finish(s, st, rc);
}
