/* Who owns a group: one active instance, by a lock on a file of its own that the kernel frees at
 * death. The others try again at every poll. An epoch in the database, raised by each new owner and
 * compared inside each commit, keeps out one that lost the lock without noticing (somebody deleted
 * the file).
 *
 *   STANDBY ─lock─► ASSIGNING ─group row, state─► ACTIVE ─abort─► ASSIGNING        ─epoch changed─►
 * STANDBY */
#include "sqlite_processor.h"

#include "vigia/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STANDBY_STEP_MS 20 /* between two tries to get the lock, within one poll */
#define RESTORE_BATCH   512

enum vg_err vgi_group_lock(const struct vgi_sqlite *log, const char *group, bool create, int *out,
                           struct vg_error *err)
{
    char path[sizeof log->path + VGI_GROUP_MAX + 8];
    struct stat ours, named;
    snprintf(path, sizeof path, "%s-%s.lock", log->path, group);
    const int fd = open(path, (create ? O_CREAT : 0) | O_RDWR | O_CLOEXEC, 0640);
    if (fd < 0) {
        return vg_fail(err, vg_err_of_errno(errno), "%s: %s", path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const int e = errno;
        close(fd);
        return e == EWOULDBLOCK || e == EINTR
                   ? vg_fail(err, VG_E_CONFLICT, "group %s: an instance of it runs", group)
                   : vg_fail(err, VG_E_IO, "%s: %s", path, strerror(e));
    }
    /* A file that was replaced between open and lock guards nothing. */
    if (fstat(fd, &ours) != 0 || stat(path, &named) != 0 || ours.st_ino != named.st_ino) {
        close(fd);
        return vg_fail(err, VG_E_CONFLICT, "group %s: its lock was replaced just now", group);
    }
    *out = fd;
    return VG_OK;
}

/* VG_OK with p->lock >= 0 when it is ours. */
static enum vg_err try_lock(struct vgi_processor *p, struct vg_error *err)
{
    const enum vg_err rc = vgi_group_lock(p->log, p->group, true, &p->lock, err);
    if (rc == VG_OK) {
        p->status = VGI_ASSIGNING;
    }
    return rc == VG_E_CONFLICT ? VG_OK : rc;
}

void vgi_owner_leave(struct vgi_processor *p)
{
    if (p->lock >= 0) {
        close(p->lock);
        p->lock = -1;
    }
    p->status = VGI_STANDBY;
}

static enum vg_err run_bound(struct vgi_processor *p, const char *sql, const char *a, const char *b,
                             struct vg_error *err)
{
    sqlite3_stmt *s = NULL;
    enum vg_err rc = vgi_db_prepare(p->w.conn.db, sql, &s, err);
    if (rc == VG_OK) {
        sqlite3_bind_text(s, 1, a, -1, SQLITE_STATIC);
        if (b != NULL) {
            sqlite3_bind_text(s, 2, b, -1, SQLITE_STATIC);
        }
        const int step = sqlite3_step(s);
        if (step == SQLITE_ROW) {
            p->group_id = sqlite3_column_int64(s, 0);
            p->epoch = sqlite3_column_int64(s, 1);
        } else if (step != SQLITE_DONE) {
            rc = vgi_db_fail(p->w.conn.db, "join the group", err);
        }
    }
    sqlite3_finalize(s);
    return rc;
}

/* The position of an input; a new group starts at the earliest record. */
static enum vg_err load_input(struct vgi_processor *p, struct vgi_input *in, struct vg_error *err)
{
    sqlite3 *db = p->w.conn.db;
    const int64_t topic = p->w.conn.topic[in->fetch.topic].id;
    int64_t pos = 0, end = 0;
    char sql[192];
    enum vg_err rc = vgi_db_int(db, "SELECT next FROM pos WHERE grp=?1 AND topic=?2", p->group_id,
                                topic, &pos, err);
    if (rc == VG_E_NOTFOUND) {
        snprintf(sql, sizeof sql,
                 "INSERT INTO pos(grp, topic, next) SELECT %" PRId64
                 ", id, trimmed FROM topic WHERE "
                 "id=%" PRId64,
                 p->group_id, topic);
        rc = vgi_db_exec(db, sql, err);
        if (rc == VG_OK) {
            rc = vgi_db_int(db, "SELECT next FROM pos WHERE grp=?1 AND topic=?2", p->group_id,
                            topic, &pos, err);
        }
    }
    if (rc == VG_OK) {
        rc = vgi_db_int(db, "SELECT next FROM topic WHERE id=?1", topic, 0, &end, err);
    }
    if (rc == VG_OK) {
        in->fetch.pos = in->committed = pos;
        in->end = end;
    }
    return rc;
}

/* Raises the epoch: from here on no earlier owner can commit. */
static enum vg_err join(struct vgi_processor *p, struct vg_error *err)
{
    enum vg_err rc = vgi_writer_begin(&p->w, err);
    if (rc != VG_OK) {
        return rc;
    }
    rc = run_bound(
        p,
        "INSERT INTO grp(name, epoch, instance) VALUES(?1, 1, ?2) ON CONFLICT(name) DO UPDATE "
        "SET epoch=epoch+1, instance=?2",
        p->group, p->instance, err);
    if (rc == VG_OK) {
        rc = run_bound(p, "SELECT id, epoch FROM grp WHERE name=?1", p->group, NULL, err);
    }
    for (size_t i = 0; i < p->inputs && rc == VG_OK; i++) {
        rc = load_input(p, &p->input[i], err);
    }
    if (rc != VG_OK) {
        vgi_writer_rollback(&p->w);
        return rc;
    }
    return vgi_writer_commit(&p->w, err);
}

static enum vg_err restore(struct vgi_processor *p, struct vg_error *err)
{
    struct vg_dlog_record records[RESTORE_BATCH];
    struct vgi_fetch f = {.select = NULL};
    bool done = p->state_topic == VG_TOPIC_NONE || p->calls.state == NULL;
    enum vg_err rc = done ? VG_OK : vgi_fetch_open(&p->w.conn, p->state_topic, 0, &f, err);
    while (rc == VG_OK && !done) {
        size_t n = 0;
        p->arena.used = 0;
        rc = vgi_fetch(&p->w.conn, &f, &p->arena, records, RESTORE_BATCH, &n, &done, err);
        for (size_t i = 0; rc == VG_OK && i < n; i++) {
            if (records[i].value.at != NULL) {
                p->calls.state(p->arg, 0, records[i].key, records[i].value);
            }
        }
    }
    vgi_fetch_close(&f);
    return rc;
}

static void tell_revoked(struct vgi_processor *p)
{
    if (p->told_assigned) {
        p->told_assigned = false;
        if (p->calls.revoked != NULL) {
            p->calls.revoked(p->arg, 0);
        }
    }
}

static enum vg_err assign(struct vgi_processor *p, struct vg_error *err)
{
    tell_revoked(p);
    enum vg_err rc = join(p, err);
    if (rc != VG_OK) {
        return rc;
    }
    p->told_assigned = true;
    p->caught_up = false;
    if (p->calls.assigned != NULL) {
        p->calls.assigned(p->arg, 0);
    }
    rc = restore(p, err);
    if (rc != VG_OK) {
        return rc;
    }
    if (p->calls.restored != NULL) {
        p->calls.restored(p->arg, 0);
    }
    p->status = VGI_ACTIVE;
    return VG_OK;
}

enum vg_err vgi_owner_poll(struct vgi_processor *p, int64_t until, bool *ready,
                           struct vg_error *err)
{
    enum vg_err rc = VG_OK;
    if (p->status == VGI_STANDBY) {
        tell_revoked(p);
    }
    while (rc == VG_OK && p->status == VGI_STANDBY) {
        rc = try_lock(p, err);
        const int64_t left = until - vgi_now_ms();
        if (rc != VG_OK || p->status != VGI_STANDBY || left <= 0) {
            break;
        }
        poll(NULL, 0, left < STANDBY_STEP_MS ? (int)left : STANDBY_STEP_MS);
    }
    if (rc == VG_OK && p->status == VGI_ASSIGNING) {
        rc = assign(p, err);
    }
    *ready = rc == VG_OK && p->status == VGI_ACTIVE;
    if (rc != VG_E_AGAIN && rc != VG_E_FULL) {
        return rc;
    }
    /* A busy or full log may be better at the next poll; until then the group stands still. */
    vg_log_warn("log-restore-waits", "group=%s why=%s", p->group, VG_Q(err->text));
    return VG_OK;
}
