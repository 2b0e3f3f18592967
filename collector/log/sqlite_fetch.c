/* One bounded batch of records, copied out so that the read transaction ends with the batch. */
#include "sqlite_db.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum vg_err vgi_arena_new(struct vgi_arena *a, struct vg_error *err)
{
    *a = (struct vgi_arena){malloc(VG_DLOG_BATCH_BYTES), 0};
    return a->at != NULL ? VG_OK : vg_fail(err, VG_E_NOMEM, "no memory for a batch");
}

enum vg_err vgi_fetch_open(struct vgi_conn *c, enum vg_topic t, int64_t pos, struct vgi_fetch *f,
                           struct vg_error *err)
{
    char sql[128];
    snprintf(sql, sizeof sql,
             "SELECT off, ts, key, value FROM r%" PRId64 " WHERE off >= ?1 ORDER BY off",
             c->topic[t].id);
    *f = (struct vgi_fetch){.topic = t, .compact = c->topic[t].compact, .pos = pos};
    enum vg_err rc = vgi_db_prepare(c->db, sql, &f->select, err);
    return rc != VG_OK
               ? rc
               : vgi_db_prepare(c->db, "SELECT trimmed FROM topic WHERE id=?1", &f->trimmed, err);
}

void vgi_fetch_close(struct vgi_fetch *f)
{
    sqlite3_finalize(f->select);
    sqlite3_finalize(f->trimmed);
    f->select = f->trimmed = NULL;
}

static enum vg_err gone(const struct vgi_conn *c, const struct vgi_fetch *f, int64_t found,
                        struct vg_error *err)
{
    return vg_fail(
        err, VG_E_RANGE,
        "%s: topic %s%s: offset %" PRId64 " is not in the log any more, the next is %" PRId64,
        c->log->path, c->log->conf->prefix, vg_topic_spec(f->topic)->name, f->pos, found);
}

/* False when the row does not fit the batch any more. */
static bool take(struct vgi_fetch *f, struct vgi_arena *a, struct vg_dlog_record *r)
{
    const size_t klen = (size_t)sqlite3_column_bytes(f->select, 2);
    const size_t vlen = (size_t)sqlite3_column_bytes(f->select, 3);
    if (VG_DLOG_BATCH_BYTES - a->used < klen + vlen) {
        return false;
    }
    char *at = a->at + a->used;
    *r = (struct vg_dlog_record){.topic = f->topic,
                                 .offset = sqlite3_column_int64(f->select, 0),
                                 .append_ms = sqlite3_column_int64(f->select, 1),
                                 .key = vg_span(at, klen)};
    if (klen > 0) {
        memcpy(at, sqlite3_column_blob(f->select, 2), klen);
    }
    if (sqlite3_column_type(f->select, 3) != SQLITE_NULL) {
        r->value = vg_span(at + klen, vlen);
        if (vlen > 0) {
            memcpy(at + klen, sqlite3_column_blob(f->select, 3), vlen);
        }
    }
    a->used += klen + vlen;
    return true;
}

/* Nothing at or behind pos: is that the end, or was all of it removed? */
static enum vg_err check_end(struct vgi_conn *c, const struct vgi_fetch *f, struct vg_error *err)
{
    sqlite3_bind_int64(f->trimmed, 1, c->topic[f->topic].id);
    const int step = sqlite3_step(f->trimmed);
    const int64_t trimmed = step == SQLITE_ROW ? sqlite3_column_int64(f->trimmed, 0) : 0;
    const enum vg_err rc = step == SQLITE_ROW    ? VG_OK
                           : step == SQLITE_DONE ? VG_E_NOTFOUND
                                                 : vgi_db_fail(c->db, "read", err);
    sqlite3_reset(f->trimmed);
    return rc == VG_OK && f->pos < trimmed ? gone(c, f, trimmed, err) : rc;
}

enum vg_err vgi_fetch(struct vgi_conn *c, struct vgi_fetch *f, struct vgi_arena *arena,
                      struct vg_dlog_record *records, size_t max, size_t *count, bool *exhausted,
                      struct vg_error *err)
{
    enum vg_err rc = VG_OK;
    size_t n = 0;
    int step = SQLITE_ROW;
    sqlite3_bind_int64(f->select, 1, f->pos);
    /* The bound is kept here: SQLite compiles a statement again each time when its LIMIT is a
     * parameter. */
    while (n < max && (step = sqlite3_step(f->select)) == SQLITE_ROW) {
        const int64_t off = sqlite3_column_int64(f->select, 0);
        if (!f->compact && off != f->pos) {
            rc = gone(c, f, off, err);
            break;
        }
        if (!take(f, arena, &records[n])) {
            break;
        }
        n++;
        f->pos = off + 1;
    }
    if (step != SQLITE_ROW && step != SQLITE_DONE) {
        rc = vgi_db_fail(c->db, "read", err);
    }
    sqlite3_reset(f->select);
    if (rc == VG_OK && n == 0 && step == SQLITE_DONE && !f->compact) {
        rc = check_end(c, f, err);
    }
    if (rc == VG_OK) {
        *count = n;
        *exhausted = step == SQLITE_DONE;
    }
    return rc;
}
