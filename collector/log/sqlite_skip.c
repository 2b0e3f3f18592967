/* Moves the positions of a group over records that have left the log unread: what max_bytes does to
 * a group that is away for too long. One transaction, so that nothing is trimmed in between. The
 * group's lock tells an instance that runs; the epoch keeps out one that has lost it. */
#include "sqlite_db.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

struct gaps {
    struct vg_dlog_skipped at[VG_TOPIC_COUNT];
    size_t count;
};

static enum vg_err find_group(struct vgi_writer *w, const char *name, const char *plain,
                              int64_t *out, struct vg_error *err)
{
    sqlite3_stmt *s = NULL;
    enum vg_err rc = vgi_db_prepare(w->conn.db, "SELECT id FROM grp WHERE name=?1", &s, err);
    if (rc == VG_OK) {
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        const int step = sqlite3_step(s);
        if (step == SQLITE_ROW) {
            *out = sqlite3_column_int64(s, 0);
        } else if (step == SQLITE_DONE) {
            rc = vg_fail(err, VG_E_NOTFOUND, "group '%s' has read nothing of this log", plain);
        } else {
            rc = vgi_db_fail(w->conn.db, "read the group", err);
        }
    }
    sqlite3_finalize(s);
    return rc;
}

/* Records leave time-kept topics from their oldest on, up to `trimmed`; compacted ones never count
 * as trimmed. */
static enum vg_err find_gaps(struct vgi_writer *w, int64_t group, struct gaps *out,
                             struct vg_error *err)
{
    enum vg_err rc = VG_OK;
    for (int i = 0; i < VG_TOPIC_COUNT && rc == VG_OK; i++) {
        const struct vgi_topic *topic = &w->conn.topic[i];
        struct vg_dlog_skipped gap = {.topic = (enum vg_topic)i};
        if (!topic->exists) {
            continue;
        }
        rc = vgi_db_int(w->conn.db, "SELECT next FROM pos WHERE grp=?1 AND topic=?2", group,
                        topic->id, &gap.from, err);
        if (rc == VG_E_NOTFOUND) {
            rc = VG_OK; /* no input of the group */
            continue;
        }
        if (rc == VG_OK) {
            rc = vgi_db_int(w->conn.db, "SELECT trimmed FROM topic WHERE id=?1", topic->id, 0,
                            &gap.to, err);
        }
        if (rc == VG_OK && gap.from < gap.to) {
            out->at[out->count++] = gap;
        }
    }
    return rc;
}

static enum vg_err move(struct vgi_writer *w, int64_t group, const struct gaps *gaps,
                        struct vg_error *err)
{
    char sql[160];
    snprintf(sql, sizeof sql, "UPDATE grp SET epoch=epoch+1 WHERE id=%" PRId64, group);
    enum vg_err rc = vgi_db_exec(w->conn.db, sql, err);
    for (size_t i = 0; i < gaps->count && rc == VG_OK; i++) {
        snprintf(sql, sizeof sql,
                 "UPDATE pos SET next=%" PRId64 " WHERE grp=%" PRId64 " AND topic=%" PRId64,
                 gaps->at[i].to, group, w->conn.topic[gaps->at[i].topic].id);
        rc = vgi_db_exec(w->conn.db, sql, err);
    }
    return rc;
}

static enum vg_err skip(struct vgi_writer *w, const char *name, const char *plain,
                        struct gaps *gaps, struct vg_error *err)
{
    int64_t group = 0;
    int lock = -1;
    enum vg_err rc = vgi_writer_begin(w, err);
    if (rc == VG_OK) {
        rc = find_group(w, name, plain, &group, err);
    }
    if (rc == VG_OK) {
        rc = find_gaps(w, group, gaps, err);
    }
    if (rc == VG_OK && gaps->count > 0) {
        rc = vgi_group_lock(w->conn.log, name, false, &lock, err);
        if (rc == VG_OK || rc == VG_E_NOTFOUND) { /* no file: nobody runs */
            rc = move(w, group, gaps, err);
        }
        if (rc == VG_OK) {
            rc = vgi_writer_commit(w, err);
        }
    }
    vgi_writer_rollback(w);
    if (lock >= 0) {
        close(lock);
    }
    return rc;
}

enum vg_err vgi_sqlite_skip(void *log, const char *group, vg_dlog_skipped_fn *fn, void *arg,
                            struct vg_error *err)
{
    struct vgi_writer w;
    struct gaps gaps = {.count = 0};
    char name[VGI_GROUP_MAX];
    enum vg_err rc = vgi_writer_open(log, 1, &w, err);
    if (rc != VG_OK) {
        return rc;
    }
    snprintf(name, sizeof name, "%s%s", w.conn.log->conf->prefix, group);
    rc = skip(&w, name, group, &gaps, err);
    vgi_writer_close(&w);
    for (size_t i = 0; i < gaps.count && rc == VG_OK; i++) {
        fn(arg, &gaps.at[i]);
    }
    return rc;
}
