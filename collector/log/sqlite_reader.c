/* The reader: bounded batches behind a position; every batch is one short read transaction. */
#include "sqlite_db.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct reader {
    struct vgi_conn conn;
    struct vgi_wake wake;
    struct vgi_arena arena;
    struct vgi_fetch fetch;
    int64_t end; /* at open */
    bool caught_up;
};

struct range {
    int64_t trimmed, next;
};

static enum vg_err read_range(struct vgi_conn *c, enum vg_topic t, struct range *out,
                              struct vg_error *err)
{
    const int64_t id = c->topic[t].id;
    enum vg_err rc =
        vgi_db_int(c->db, "SELECT next FROM topic WHERE id=?1", id, 0, &out->next, err);
    return rc != VG_OK ? rc
                       : vgi_db_int(c->db, "SELECT trimmed FROM topic WHERE id=?1", id, 0,
                                    &out->trimmed, err);
}

/* The first offset whose append time is not before `ms`: times grow with offsets (a clock set back
 * makes this approximate). */
static enum vg_err find_time(struct vgi_conn *c, enum vg_topic t, struct range range, int64_t ms,
                             int64_t *out, struct vg_error *err)
{
    char sql[96];
    snprintf(sql, sizeof sql, "SELECT ts FROM r%" PRId64 " WHERE off >= ?1 ORDER BY off LIMIT 1",
             c->topic[t].id);
    int64_t lo = range.trimmed, hi = range.next;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        int64_t ts = 0;
        const enum vg_err rc = vgi_db_int(c->db, sql, mid, 0, &ts, err);
        if (rc != VG_OK && rc != VG_E_NOTFOUND) {
            return rc;
        }
        if (rc == VG_E_NOTFOUND || ts >= ms) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    *out = lo;
    return VG_OK;
}

static enum vg_err start_at(struct vgi_conn *c, enum vg_topic t, struct vg_dlog_from from,
                            struct range range, int64_t *out, struct vg_error *err)
{
    switch (from.kind) {
    case VG_DLOG_END:
        *out = range.next;
        return VG_OK;
    case VG_DLOG_TIME:
        return find_time(c, t, range, from.at, out, err);
    case VG_DLOG_OFFSET:
        if (from.at < range.trimmed || from.at > range.next) {
            return vg_fail(err, VG_E_RANGE,
                           "%s: topic %s%s: offset %" PRId64
                           " is not in the log: accepted are %" PRId64 " to %" PRId64,
                           c->log->path, c->log->conf->prefix, vg_topic_spec(t)->name, from.at,
                           range.trimmed, range.next);
        }
        *out = from.at;
        return VG_OK;
    default:
        *out = range.trimmed;
        return VG_OK;
    }
}

static enum vg_err open_parts(struct reader *r, const struct vgi_sqlite *log, enum vg_topic t,
                              struct vg_dlog_from from, struct vg_error *err)
{
    struct range range = {0, 0};
    int64_t pos = 0;
    enum vg_err rc = vgi_conn_open(log, &r->conn, err);
    if (rc == VG_OK) {
        rc = vgi_conn_need(&r->conn, t, err);
    }
    if (rc == VG_OK) {
        rc = vgi_wake_open(log, &r->wake, err);
    }
    if (rc == VG_OK) {
        rc = vgi_arena_new(&r->arena, err);
    }
    if (rc == VG_OK) {
        rc = read_range(&r->conn, t, &range, err);
    }
    if (rc == VG_OK) {
        rc = start_at(&r->conn, t, from, range, &pos, err);
    }
    if (rc == VG_OK) {
        rc = vgi_fetch_open(&r->conn, t, pos, &r->fetch, err);
    }
    r->end = range.next;
    r->caught_up = pos >= range.next;
    return rc;
}

enum vg_err vgi_sqlite_reader_open(void *log, enum vg_topic t, int32_t partition,
                                   struct vg_dlog_from from, void **out, struct vg_error *err)
{
    if (partition > 0) {
        return vg_fail(err, VG_E_RANGE, "partition %d: this log has partition 0 only",
                       (int)partition);
    }
    struct reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a reader");
    }
    r->wake = (struct vgi_wake){-1, -1, -1};
    const enum vg_err rc = open_parts(r, log, t, from, err);
    if (rc != VG_OK) {
        vgi_sqlite_reader_close(r);
        return rc;
    }
    *out = r;
    return VG_OK;
}

enum vg_err vgi_sqlite_read(void *self, int timeout_ms, struct vg_dlog_record *records, size_t max,
                            size_t *count, struct vg_error *err)
{
    struct reader *r = self;
    const int64_t until = vgi_now_ms() + timeout_ms;
    for (;;) {
        size_t n = 0;
        bool exhausted = false;
        vgi_wake_drain(&r->wake);
        r->arena.used = 0;
        enum vg_err rc =
            vgi_fetch(&r->conn, &r->fetch, &r->arena, records, max, &n, &exhausted, err);
        if (rc != VG_OK && rc != VG_E_AGAIN) {
            return rc;
        }
        vgi_wake_more(&r->wake, rc == VG_OK && !exhausted);
        r->caught_up = r->caught_up || r->fetch.pos >= r->end || exhausted;
        const int64_t left = until - vgi_now_ms();
        if (n > 0 || left <= 0 || timeout_ms == 0) {
            *count = n;
            return VG_OK;
        }
        vgi_wait_fd(r->wake.epoll, left < VG_DLOG_TURN_MS ? (int)left : VG_DLOG_TURN_MS);
    }
}

bool vgi_sqlite_reader_caught_up(const void *self)
{
    return ((const struct reader *)self)->caught_up;
}

int vgi_sqlite_reader_fd(const void *self)
{
    return ((const struct reader *)self)->wake.epoll;
}

void vgi_sqlite_reader_close(void *self)
{
    struct reader *r = self;
    vgi_fetch_close(&r->fetch);
    vgi_conn_close(&r->conn);
    vgi_wake_close(&r->wake);
    free(r->arena.at);
    free(r);
}
