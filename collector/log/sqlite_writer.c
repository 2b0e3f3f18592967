/* One write transaction: offsets are given out inside it, so that they have neither holes nor
 * doubles among processes. */
#include "sqlite_db.h"

#include <inttypes.h>
#include <stdio.h>

#define WAL_FRAMES_MAX 16384 /* 64 MiB */

static enum vg_err prepare_inserts(struct vgi_writer *w, struct vg_error *err)
{
    enum vg_err rc = VG_OK;
    for (int t = 0; t < VG_TOPIC_COUNT && rc == VG_OK; t++) {
        const struct vgi_topic *topic = &w->conn.topic[t];
        char sql[128];
        if (topic->exists) {
            /* REPLACE removes the older record of the key: a compacted topic is compact at every
             * commit. */
            snprintf(sql, sizeof sql,
                     "%s INTO r%" PRId64 "(off, ts, key, value) VALUES(?1, ?2, ?3, ?4)",
                     topic->compact ? "REPLACE" : "INSERT", topic->id);
            rc = vgi_db_prepare(w->conn.db, sql, &w->topic[t].insert, err);
        }
    }
    return rc;
}

static int note_frames(void *arg, sqlite3 *db, const char *name, int frames)
{
    (void)db;
    (void)name;
    ((struct vgi_writer *)arg)->wal_frames = frames;
    return SQLITE_OK;
}

enum vg_err vgi_writer_open(const struct vgi_sqlite *log, int checkpoint_at, struct vgi_writer *w,
                            struct vg_error *err)
{
    *w = (struct vgi_writer){.checkpoint_at = checkpoint_at};
    enum vg_err rc = vgi_conn_open(log, &w->conn, err);
    const struct {
        const char *sql;
        sqlite3_stmt **to;
    } all[] = {
        {"BEGIN IMMEDIATE", &w->begin},
        {"COMMIT", &w->commit},
        {"ROLLBACK", &w->rollback},
        {"SELECT next FROM topic WHERE id=?1", &w->next_get},
        {"UPDATE topic SET next=?2 WHERE id=?1", &w->next_set},
        {"UPDATE pos SET next=?3 WHERE grp=?1 AND topic=?2", &w->pos_set},
        {"SELECT epoch FROM grp WHERE id=?1", &w->epoch_get},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0] && rc == VG_OK; i++) {
        rc = vgi_db_prepare(w->conn.db, all[i].sql, all[i].to, err);
    }
    if (rc == VG_OK) {
        rc = prepare_inserts(w, err);
    }
    if (rc == VG_OK) {
        sqlite3_wal_hook(w->conn.db, note_frames,
                         w); /* instead of SQLite's own, which hides errors */
    }
    if (rc != VG_OK) {
        vgi_writer_close(w);
    }
    return rc;
}

void vgi_writer_close(struct vgi_writer *w)
{
    sqlite3_stmt *all[] = {w->begin,    w->commit,  w->rollback, w->next_get,
                           w->next_set, w->pos_set, w->epoch_get};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        sqlite3_finalize(all[i]);
    }
    for (int t = 0; t < VG_TOPIC_COUNT; t++) {
        sqlite3_finalize(w->topic[t].insert);
    }
    vgi_conn_close(&w->conn);
    *w = (struct vgi_writer){.begin = NULL};
}

static int run(sqlite3_stmt *s)
{
    const int step = sqlite3_step(s);
    const int rc = sqlite3_reset(s);
    return step == SQLITE_DONE ? SQLITE_OK : rc;
}

enum vg_err vgi_writer_begin(struct vgi_writer *w, struct vg_error *err)
{
    if (w->broken) {
        return vg_fail(err, VG_E_FATAL, "%s: an earlier checkpoint failed", w->conn.log->path);
    }
    for (int t = 0; t < VG_TOPIC_COUNT; t++) {
        w->topic[t].touched = false;
    }
    return run(w->begin) == SQLITE_OK ? VG_OK : vgi_db_fail(w->conn.db, "begin to write", err);
}

static enum vg_err touch(struct vgi_writer *w, enum vg_topic t, struct vg_error *err)
{
    sqlite3_bind_int64(w->next_get, 1, w->conn.topic[t].id);
    const int step = sqlite3_step(w->next_get);
    const enum vg_err rc =
        step == SQLITE_ROW ? VG_OK : vgi_db_fail(w->conn.db, "read the next offset", err);
    if (rc == VG_OK) {
        w->topic[t].next = sqlite3_column_int64(w->next_get, 0);
        w->topic[t].touched = true;
    }
    sqlite3_reset(w->next_get);
    return rc;
}

enum vg_err vgi_writer_put(struct vgi_writer *w, enum vg_topic t, int64_t now_ms,
                           struct vg_span key, struct vg_span value, int64_t *offset,
                           struct vg_error *err)
{
    if (!w->topic[t].touched) {
        const enum vg_err rc = touch(w, t, err);
        if (rc != VG_OK) {
            return rc;
        }
    }
    sqlite3_stmt *s = w->topic[t].insert;
    sqlite3_bind_int64(s, 1, w->topic[t].next);
    sqlite3_bind_int64(s, 2, now_ms);
    sqlite3_bind_blob(s, 3, key.at, (int)key.len, SQLITE_STATIC);
    if (value.at == NULL) {
        sqlite3_bind_null(s, 4);
    } else {
        sqlite3_bind_blob(s, 4, value.at, (int)value.len, SQLITE_STATIC);
    }
    if (run(s) != SQLITE_OK) {
        return vgi_db_fail(w->conn.db, "write a record", err);
    }
    *offset = w->topic[t].next++;
    return VG_OK;
}

/* Moves the WAL into the file. What was committed is durable in the WAL whatever happens here; but
 * after a failed sync the kernel forgets what it could not write, so a second try would seem to
 * succeed: this writer ends. */
static void checkpoint(struct vgi_writer *w)
{
    if (w->wal_frames < w->checkpoint_at) {
        return;
    }
    /* Readers that never pause keep the WAL from starting over: above the hard limit wait for them.
     */
    const int mode =
        w->wal_frames < WAL_FRAMES_MAX ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART;
    const int rc = sqlite3_wal_checkpoint_v2(w->conn.db, "main", mode, NULL, NULL) & 0xff;
    w->broken = rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED && rc != SQLITE_FULL;
}

enum vg_err vgi_writer_commit(struct vgi_writer *w, struct vg_error *err)
{
    enum vg_err rc = VG_OK;
    for (int t = 0; t < VG_TOPIC_COUNT && rc == VG_OK; t++) {
        if (w->topic[t].touched) {
            sqlite3_bind_int64(w->next_set, 1, w->conn.topic[t].id);
            sqlite3_bind_int64(w->next_set, 2, w->topic[t].next);
            if (run(w->next_set) != SQLITE_OK) {
                rc = vgi_db_fail(w->conn.db, "write the next offset", err);
            }
        }
    }
    if (rc == VG_OK && run(w->commit) != SQLITE_OK) {
        rc = vgi_db_fail(w->conn.db, "commit", err);
    }
    if (rc != VG_OK) {
        vgi_writer_rollback(w);
        return rc;
    }
    vgi_wake_others(w->conn.log);
    checkpoint(w);
    return VG_OK;
}

void vgi_writer_rollback(struct vgi_writer *w)
{
    /* Many errors have rolled back by themselves. */
    if (sqlite3_get_autocommit(w->conn.db) == 0) {
        (void)run(w->rollback);
    }
}
