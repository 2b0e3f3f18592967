/* Retention in small steps, and the copy of a log that is in use. */
#include "sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKUP_PAGES     256  /* of one step */
#define BACKUP_BUSY_MAX  2000 /* steps in a row that found the log busy */
#define BACKUP_PAUSE_US  1000
#define RETAIN_STEPS_MAX 10000000

bool vgi_over_limit(struct vgi_conn *c)
{
    int64_t pages = 0, unused = 0, size = 0;
    if (vgi_db_int(c->db, "PRAGMA page_count", 0, 0, &pages, NULL) != VG_OK ||
        vgi_db_int(c->db, "PRAGMA freelist_count", 0, 0, &unused, NULL) != VG_OK ||
        vgi_db_int(c->db, "PRAGMA page_size", 0, 0, &size, NULL) != VG_OK) {
        return false;
    }
    return (pages - unused) * size > c->log->conf->max_bytes;
}

struct cut {
    int64_t from, to; /* offsets that leave */
    int64_t unread;   /* first offset that some group has not read */
};

/* What the next step would remove from a time-kept topic. Reads only. */
static enum vg_err plan(struct vgi_conn *c, enum vg_topic t, int64_t now_ms, bool force,
                        struct cut *out, struct vg_error *err)
{
    const struct vgi_topic *topic = &c->topic[t];
    int64_t next = 0, unread = 0, young = 0;
    char sql[128];
    enum vg_err rc =
        vgi_db_int(c->db, "SELECT trimmed FROM topic WHERE id=?1", topic->id, 0, &out->from, err);
    if (rc == VG_OK) {
        rc = vgi_db_int(c->db, "SELECT next FROM topic WHERE id=?1", topic->id, 0, &next, err);
    }
    if (rc == VG_OK) {
        rc = vgi_db_int(c->db, "SELECT coalesce(min(next), ?2) FROM pos WHERE topic=?1", topic->id,
                        next, &unread, err);
    }
    if (rc != VG_OK) {
        return rc;
    }
    out->unread = unread;
    out->to = out->from + VGI_TRIM_ROWS < next ? out->from + VGI_TRIM_ROWS : next;
    if (force) {
        return VG_OK;
    }
    out->to = out->to < unread ? out->to : unread;
    if (topic->retain_ms == INT64_MAX || out->to <= out->from) {
        out->to = out->from;
        return VG_OK;
    }
    snprintf(sql, sizeof sql,
             "SELECT off FROM r%" PRId64 " WHERE off >= ?1 AND ts >= ?2 AND off < %" PRId64
             " ORDER BY off LIMIT 1",
             topic->id, out->to);
    rc = vgi_db_int(c->db, sql, out->from, now_ms - topic->retain_ms, &young, err);
    if (rc == VG_OK && young < out->to) {
        out->to = young;
    }
    return rc == VG_E_NOTFOUND ? VG_OK : rc;
}

static enum vg_err remove_rows(struct vgi_writer *w, enum vg_topic t, int64_t now_ms, bool force,
                               struct vg_dlog_retained *sum, struct vg_error *err)
{
    const int64_t id = w->conn.topic[t].id;
    struct cut cut = {0, 0, 0};
    char sql[192];
    enum vg_err rc = vgi_writer_begin(w, err);
    if (rc != VG_OK) {
        return rc;
    }
    rc = plan(&w->conn, t, now_ms, force, &cut, err); /* again: now nobody else moves anything */
    if (rc == VG_OK) {
        snprintf(sql, sizeof sql,
                 "DELETE FROM r%" PRId64 " WHERE off < %" PRId64
                 "; UPDATE topic SET trimmed=%" PRId64 " WHERE id=%" PRId64,
                 id, cut.to, cut.to, id);
        rc = vgi_db_exec(w->conn.db, sql, err);
    }
    if (rc != VG_OK) {
        vgi_writer_rollback(w);
        return rc;
    }
    rc = vgi_writer_commit(w, err);
    if (rc == VG_OK && cut.to > cut.from) {
        const int64_t first_unread = cut.unread > cut.from ? cut.unread : cut.from;
        sum->removed += (uint64_t)(cut.to - cut.from);
        sum->forced += cut.to > first_unread ? (uint64_t)(cut.to - first_unread) : 0;
    }
    return rc;
}

/* Tombstones that every follower has had time to see. */
static enum vg_err remove_tombstones(struct vgi_writer *w, enum vg_topic t, int64_t now_ms,
                                     struct vg_dlog_retained *sum, bool *again,
                                     struct vg_error *err)
{
    const int64_t id = w->conn.topic[t].id, before = now_ms - VG_TOMBSTONE_KEEP_MS;
    char sql[192];
    int64_t any = 0;
    snprintf(sql, sizeof sql, "SELECT 1 FROM r%" PRId64 " WHERE value IS NULL AND ts < ?1 LIMIT 1",
             id);
    enum vg_err rc = vgi_db_int(w->conn.db, sql, before, 0, &any, err);
    if (rc != VG_OK) {
        return rc == VG_E_NOTFOUND ? VG_OK : rc;
    }
    snprintf(sql, sizeof sql,
             "DELETE FROM r%" PRId64 " WHERE off IN (SELECT off FROM r%" PRId64
             " WHERE value IS NULL AND ts < %" PRId64 " LIMIT %d)",
             id, id, before, VGI_TRIM_ROWS);
    rc = vgi_writer_begin(w, err);
    if (rc != VG_OK) {
        return rc;
    }
    rc = vgi_db_exec(w->conn.db, sql, err);
    if (rc != VG_OK) {
        vgi_writer_rollback(w);
        return rc;
    }
    const uint64_t n = (uint64_t)sqlite3_changes64(w->conn.db);
    rc = vgi_writer_commit(w, err);
    if (rc == VG_OK) {
        sum->removed += n;
        *again = n == VGI_TRIM_ROWS;
    }
    return rc;
}

/* Above max_bytes: readings and what was rejected leave before alarms and commands. */
static enum vg_err force_step(struct vgi_writer *w, int64_t now_ms, struct vg_dlog_retained *sum,
                              bool *again, struct vg_error *err)
{
    static const enum vg_topic order[] = {VG_TOPIC_REJECTED, VG_TOPIC_READINGS, VG_TOPIC_ALARMS,
                                          VG_TOPIC_COMMANDS};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        struct cut cut = {0, 0, 0};
        if (!w->conn.topic[order[i]].exists) {
            continue;
        }
        enum vg_err rc = plan(&w->conn, order[i], now_ms, true, &cut, err);
        if (rc == VG_OK && cut.to > cut.from) {
            rc = remove_rows(w, order[i], now_ms, true, sum, err);
            *again = rc == VG_OK;
            return rc;
        }
        if (rc != VG_OK) {
            return rc;
        }
    }
    return VG_OK;
}

enum vg_err vgi_trim_step(struct vgi_writer *w, int64_t now_ms, struct vg_dlog_retained *sum,
                          bool *again, struct vg_error *err)
{
    *again = false;
    for (int i = 0; i < VG_TOPIC_COUNT; i++) {
        const enum vg_topic t = (enum vg_topic)i;
        struct cut cut = {0, 0, 0};
        enum vg_err rc = VG_OK;
        if (!w->conn.topic[t].exists) {
            continue;
        }
        if (w->conn.topic[t].compact) {
            const uint64_t before = sum->removed;
            rc = remove_tombstones(w, t, now_ms, sum, again, err);
            if (rc != VG_OK || sum->removed > before) {
                return rc;
            }
            continue;
        }
        rc = plan(&w->conn, t, now_ms, false, &cut, err);
        if (rc == VG_OK && cut.to > cut.from) {
            *again = true;
            return remove_rows(w, t, now_ms, false, sum, err);
        }
        if (rc != VG_OK) {
            return rc;
        }
    }
    return vgi_over_limit(&w->conn) ? force_step(w, now_ms, sum, again, err) : VG_OK;
}

enum vg_err vgi_sqlite_retain(void *log, struct vg_dlog_retained *out, struct vg_error *err)
{
    struct vgi_writer w;
    struct vg_dlog_retained sum = {0, 0};
    enum vg_err rc = vgi_writer_open(log, 2000, &w, err);
    if (rc != VG_OK) {
        return rc;
    }
    bool again = true;
    for (int i = 0; i < RETAIN_STEPS_MAX && again && rc == VG_OK; i++) {
        rc = vgi_trim_step(&w, vgi_wall_ms(), &sum, &again, err);
    }
    vgi_writer_close(&w);
    if (rc == VG_OK) {
        *out = sum;
    }
    return rc;
}

/* ---- backup ---- */

static enum vg_err copy_pages(sqlite3 *from, sqlite3 *to, vg_dlog_progress_fn *fn, void *arg,
                              struct vg_error *err)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    if (b == NULL) {
        return vgi_db_fail(to, "begin the backup", err);
    }
    enum vg_err rc = VG_OK;
    int step = SQLITE_OK;
    /* The read transaction around it keeps one snapshot, so that commits of others never start the
     * copy again. */
    for (int busy = 0; rc == VG_OK && step != SQLITE_DONE && busy < BACKUP_BUSY_MAX;) {
        step = sqlite3_backup_step(b, BACKUP_PAGES);
        if (step == SQLITE_BUSY || step == SQLITE_LOCKED) {
            busy++;
            usleep(BACKUP_PAUSE_US);
        } else if (step != SQLITE_OK && step != SQLITE_DONE) {
            rc = vg_fail(err, step == SQLITE_FULL ? VG_E_FULL : VG_E_IO, "backup: %s",
                         sqlite3_errstr(step));
        } else {
            busy = 0;
            const uint64_t total = (uint64_t)sqlite3_backup_pagecount(b);
            if (fn != NULL && !fn(arg, total - (uint64_t)sqlite3_backup_remaining(b), total)) {
                rc = vg_fail(err, VG_E_CLOSED, "stopped");
            }
        }
    }
    sqlite3_backup_finish(b);
    if (rc == VG_OK && step != SQLITE_DONE) {
        rc = vg_fail(err, VG_E_TIMEOUT, "backup: the log stayed busy");
    }
    return rc;
}

/* The copy is one plain file: no WAL beside it that somebody could forget to take along. */
static enum vg_err copy_to(const struct vgi_sqlite *log, const char *part, vg_dlog_progress_fn *fn,
                           void *arg, struct vg_error *err)
{
    struct vgi_conn c;
    sqlite3 *to = NULL;
    int64_t ignored = 0;
    enum vg_err rc = vgi_conn_open(log, &c, err);
    if (rc != VG_OK) {
        return rc;
    }
    if (sqlite3_open_v2(part, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        rc = vg_fail(err, VG_E_IO, "%s: %s", part, to == NULL ? "no memory" : sqlite3_errmsg(to));
    }
    if (rc == VG_OK) {
        rc = vgi_db_exec(c.db, "BEGIN", err);
    }
    if (rc == VG_OK) {
        rc = vgi_db_int(c.db, "SELECT count(*) FROM topic", 0, 0, &ignored, err);
    }
    if (rc == VG_OK) {
        rc = copy_pages(c.db, to, fn, arg, err);
    }
    if (rc == VG_OK &&
        sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL) != SQLITE_OK) {
        rc = vgi_db_fail(to, "finish the backup", err);
    }
    if (sqlite3_close(to) != SQLITE_OK && rc == VG_OK) {
        rc = vg_fail(err, VG_E_IO, "%s: cannot be closed", part);
    }
    vgi_conn_close(&c);
    return rc;
}

static enum vg_err sync_path(const char *path, int flags, struct vg_error *err)
{
    const int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        const enum vg_err rc = vg_fail(err, VG_E_IO, "%s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    close(fd);
    return VG_OK;
}

enum vg_err vgi_sqlite_backup(void *self, const char *path, vg_dlog_progress_fn *fn, void *arg,
                              struct vg_error *err)
{
    char part[VG_DLOG_PATH_MAX + 16];
    const int len = snprintf(part, sizeof part, "%s.part", path);
    if (len < 0 || (size_t)len >= sizeof part) {
        return vg_fail(err, VG_E_RANGE, "%.100s…: the path is longer than %d bytes", path,
                       VG_DLOG_PATH_MAX);
    }
    if (access(path, F_OK) == 0) {
        return vg_fail(err, VG_E_EXISTS, "%s: exists already", path);
    }
    const int fd = open(part, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        return vg_fail(err, errno == EEXIST ? VG_E_EXISTS : VG_E_IO, "%s: %s", part,
                       strerror(errno));
    }
    close(fd);
    enum vg_err rc = copy_to(self, part, fn, arg, err);
    if (rc == VG_OK) {
        rc = sync_path(part, O_RDONLY, err);
    }
    /* link(2) and not rename(2): it never replaces a file that came meanwhile. */
    if (rc == VG_OK && link(part, path) != 0) {
        rc = vg_fail(err, errno == EEXIST ? VG_E_EXISTS : VG_E_IO, "%s: %s", path, strerror(errno));
    }
    unlink(part);
    if (rc == VG_OK) {
        char dir[VG_DLOG_PATH_MAX];
        if (vg_str_copy(path, dir, sizeof dir)) {
            char *slash = strrchr(dir, '/');
            if (slash != NULL) {
                slash[slash == dir ? 1 : 0] = '\0';
            }
            rc = sync_path(slash == NULL ? "." : dir, O_RDONLY | O_DIRECTORY, err);
        }
    }
    return rc;
}
