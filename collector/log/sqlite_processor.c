/* The processor: one active instance per group, by a lock on a file of its own that the kernel
 * frees at death. The others try again at every poll. An epoch in the database, raised by each new
 * owner and compared inside each commit, keeps out one that lost the lock without noticing
 * (somebody deleted the file).
 *
 *   STANDBY ─lock─► ASSIGNING ─group row, state─► ACTIVE ─abort─► ASSIGNING        ─epoch changed─►
 * STANDBY */
#include "sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STANDBY_STEP_MS 20   /* between two tries to get the lock, within one poll */
#define CHECKPOINT_AT   8000 /* frames; above the appender's, which has more time for it */
#define RESTORE_BATCH   512
#define TXN_BYTES_FIRST (64 * 1024)

enum status { STANDBY, ASSIGNING, ACTIVE };

struct input {
    struct vgi_fetch fetch;
    int64_t committed, end;
};

struct out {
    enum vg_topic topic;
    bool tombstone;
    uint32_t klen, vlen;
    size_t at;
};

struct processor {
    const struct vgi_sqlite *log;
    struct vgi_writer w;
    struct vgi_wake wake;
    struct vgi_arena arena;
    char group[VG_DLOG_NAME_MAX + 64], instance[VG_DLOG_NAME_MAX]; /* group with prefix */
    struct vg_dlog_processor_calls calls;
    void *arg;
    enum vg_topic state_topic;
    struct input input[VG_DLOG_INPUTS_MAX];
    size_t inputs, turn;
    enum status status;
    bool told_assigned, caught_up;
    int lock;
    int64_t group_id, epoch;
    struct out *out;
    size_t outs;
    char *bytes;
    size_t used, room;
};

/* ---- ownership ---- */

/* VG_OK with p->lock >= 0 when it is ours. */
static enum vg_err try_lock(struct processor *p, struct vg_error *err)
{
    char path[sizeof p->log->path + sizeof p->group + 8];
    struct stat ours, named;
    snprintf(path, sizeof path, "%s-%s.lock", p->log->path, p->group);
    const int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0640);
    if (fd < 0) {
        return vg_fail(err, VG_E_DENIED, "%s: %s", path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const int e = errno;
        close(fd);
        return e == EWOULDBLOCK || e == EINTR ? VG_OK
                                              : vg_fail(err, VG_E_IO, "%s: %s", path, strerror(e));
    }
    /* A file that was replaced between open and lock guards nothing. */
    if (fstat(fd, &ours) != 0 || stat(path, &named) != 0 || ours.st_ino != named.st_ino) {
        close(fd);
        return VG_OK;
    }
    p->lock = fd;
    p->status = ASSIGNING;
    return VG_OK;
}

static void unlock(struct processor *p)
{
    if (p->lock >= 0) {
        close(p->lock);
        p->lock = -1;
    }
    p->status = STANDBY;
}

static enum vg_err run_bound(struct processor *p, const char *sql, const char *a, const char *b,
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
static enum vg_err load_input(struct processor *p, struct input *in, struct vg_error *err)
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
static enum vg_err join(struct processor *p, struct vg_error *err)
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

static enum vg_err restore(struct processor *p, struct vg_error *err)
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

static void tell_revoked(struct processor *p)
{
    if (p->told_assigned) {
        p->told_assigned = false;
        if (p->calls.revoked != NULL) {
            p->calls.revoked(p->arg, 0);
        }
    }
}

static enum vg_err assign(struct processor *p, struct vg_error *err)
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
    p->status = ACTIVE;
    return VG_OK;
}

/* Gets this instance as far as it can: *ready when records may be read. */
static enum vg_err ensure_active(struct processor *p, int64_t until, bool *ready,
                                 struct vg_error *err)
{
    enum vg_err rc = VG_OK;
    if (p->status == STANDBY) {
        tell_revoked(p);
    }
    while (rc == VG_OK && p->status == STANDBY) {
        rc = try_lock(p, err);
        const int64_t left = until - vgi_now_ms();
        if (rc != VG_OK || p->status != STANDBY || left <= 0) {
            break;
        }
        poll(NULL, 0, left < STANDBY_STEP_MS ? (int)left : STANDBY_STEP_MS);
    }
    if (rc == VG_OK && p->status == ASSIGNING) {
        rc = assign(p, err);
    }
    *ready = rc == VG_OK && p->status == ACTIVE;
    /* A busy or full log may be better at the next poll. */
    return rc == VG_E_AGAIN || rc == VG_E_FULL ? VG_OK : rc;
}

/* ---- reading ---- */

static void check_caught_up(struct processor *p)
{
    if (p->caught_up) {
        return;
    }
    for (size_t i = 0; i < p->inputs; i++) {
        if (p->input[i].fetch.pos < p->input[i].end) {
            return;
        }
    }
    p->caught_up = true;
    if (p->calls.caught_up != NULL) {
        p->calls.caught_up(p->arg, 0);
    }
}

/* One pass over the inputs, beginning with another one each time, so that a long backlog of one
 * never starves the others. */
static enum vg_err fetch_inputs(struct processor *p, struct vg_dlog_record *records, size_t max,
                                size_t *count, bool *exhausted, struct vg_error *err)
{
    enum vg_err rc = VG_OK;
    size_t n = 0;
    *exhausted = true;
    p->arena.used = 0;
    for (size_t i = 0; i < p->inputs && rc == VG_OK; i++) {
        struct input *in = &p->input[(p->turn + i) % p->inputs];
        size_t got = 0;
        bool end = false;
        if (n < max) {
            rc =
                vgi_fetch(&p->w.conn, &in->fetch, &p->arena, records + n, max - n, &got, &end, err);
            n += got;
        }
        /* The records of a compacted input end before the offsets that newer ones of their keys
         * freed. */
        if (rc == VG_OK && end && got == 0 && in->fetch.compact && in->fetch.pos < in->end) {
            in->fetch.pos = in->end;
        }
        *exhausted = *exhausted && end;
    }
    p->turn++;
    *count = n;
    return rc;
}

enum vg_err vgi_sqlite_poll(void *self, int timeout_ms, struct vg_dlog_record *records, size_t max,
                            size_t *count, struct vg_error *err)
{
    struct processor *p = self;
    const int64_t until = vgi_now_ms() + timeout_ms;
    bool ready = false;
    vgi_wake_drain(&p->wake);
    enum vg_err rc = ensure_active(p, until, &ready, err);
    if (rc != VG_OK || !ready) {
        vgi_wake_more(&p->wake, false);
        if (rc == VG_OK) {
            *count = 0;
        }
        return rc;
    }
    for (;;) {
        size_t n = 0;
        bool exhausted = false;
        check_caught_up(p);
        rc = fetch_inputs(p, records, max, &n, &exhausted, err);
        if (rc == VG_E_AGAIN) {
            rc = VG_OK;
            n = 0;
        }
        if (rc != VG_OK) {
            return rc;
        }
        vgi_wake_more(&p->wake, !exhausted || (n > 0 && !p->caught_up));
        const int64_t left = until - vgi_now_ms();
        if (n > 0 || timeout_ms == 0 || left <= 0) {
            *count = n;
            return VG_OK;
        }
        vgi_wait_fd(p->wake.epoll, left < VG_DLOG_TURN_MS ? (int)left : VG_DLOG_TURN_MS);
        vgi_wake_drain(&p->wake);
    }
}

/* ---- writing ---- */

static bool make_room(struct processor *p, size_t need)
{
    size_t room = p->room;
    if (p->used + need > VG_DLOG_TXN_BYTES_MAX) {
        return false;
    }
    while (room < p->used + need) {
        room *= 2;
    }
    if (room > p->room) {
        char *grown = realloc(p->bytes, room);
        if (grown == NULL) {
            return false;
        }
        p->bytes = grown;
        p->room = room;
    }
    return true;
}

enum vg_err vgi_sqlite_processor_append(void *self, enum vg_topic t, int32_t partition,
                                        struct vg_span key, struct vg_span value)
{
    struct processor *p = self;
    if (partition > 0 || (partition < 0 && t == p->state_topic)) {
        return VG_E_RANGE;
    }
    if (p->status != ACTIVE) {
        return VG_E_CONFLICT;
    }
    if (!p->w.conn.topic[t].exists) {
        return VG_E_NOTFOUND;
    }
    if (p->outs == VG_DLOG_TXN_RECORDS_MAX || !make_room(p, key.len + value.len)) {
        return VG_E_FULL;
    }
    p->out[p->outs++] =
        (struct out){t, value.at == NULL, (uint32_t)key.len, (uint32_t)value.len, p->used};
    if (key.len > 0) {
        memcpy(p->bytes + p->used, key.at, key.len);
    }
    if (value.len > 0) {
        memcpy(p->bytes + p->used + key.len, value.at, value.len);
    }
    p->used += key.len + value.len;
    return VG_OK;
}

static void drop_txn(struct processor *p)
{
    p->outs = 0;
    p->used = 0;
}

static bool nothing_to_commit(const struct processor *p)
{
    for (size_t i = 0; i < p->inputs; i++) {
        if (p->input[i].fetch.pos != p->input[i].committed) {
            return false;
        }
    }
    return p->outs == 0;
}

static enum vg_err check_epoch(struct processor *p, struct vg_error *err)
{
    sqlite3_stmt *s = p->w.epoch_get;
    enum vg_err rc = VG_OK;
    sqlite3_bind_int64(s, 1, p->group_id);
    const int step = sqlite3_step(s);
    if (step != SQLITE_ROW && step != SQLITE_DONE) {
        rc = vgi_db_fail(p->w.conn.db, "read the group", err);
    } else if (step == SQLITE_DONE || sqlite3_column_int64(s, 0) != p->epoch) {
        rc = vg_fail(err, VG_E_CONFLICT, "group %s: another instance has taken over", p->group);
    }
    sqlite3_reset(s);
    return rc;
}

static enum vg_err put_all(struct processor *p, struct vg_error *err)
{
    const int64_t now = vgi_wall_ms();
    enum vg_err rc = check_epoch(p, err);
    for (size_t i = 0; i < p->outs && rc == VG_OK; i++) {
        const struct out *o = &p->out[i];
        const char *key = p->bytes + o->at;
        int64_t ignored;
        rc = vgi_writer_put(&p->w, o->topic, now, vg_span(key, o->klen),
                            (struct vg_span){o->tombstone ? NULL : key + o->klen, o->vlen},
                            &ignored, err);
    }
    for (size_t i = 0; i < p->inputs && rc == VG_OK; i++) {
        const struct input *in = &p->input[i];
        sqlite3_stmt *s = p->w.pos_set;
        if (in->fetch.pos != in->committed) {
            sqlite3_bind_int64(s, 1, p->group_id);
            sqlite3_bind_int64(s, 2, p->w.conn.topic[in->fetch.topic].id);
            sqlite3_bind_int64(s, 3, in->fetch.pos);
            const int step = sqlite3_step(s);
            sqlite3_reset(s);
            rc = step == SQLITE_DONE ? VG_OK : vgi_db_fail(p->w.conn.db, "write a position", err);
        }
    }
    return rc;
}

enum vg_err vgi_sqlite_commit(void *self, struct vg_error *err)
{
    struct processor *p = self;
    if (p->status != ACTIVE) {
        return p->outs == 0 ? VG_OK
                            : vg_fail(err, VG_E_CONFLICT, "group %s: not the owner", p->group);
    }
    if (nothing_to_commit(p)) {
        return VG_OK;
    }
    enum vg_err rc = vgi_writer_begin(&p->w, err);
    if (rc == VG_OK) {
        rc = put_all(p, err);
        if (rc == VG_OK) {
            rc = vgi_writer_commit(&p->w, err);
        } else {
            vgi_writer_rollback(&p->w);
        }
    }
    switch (rc) {
    case VG_OK:
        for (size_t i = 0; i < p->inputs; i++) {
            p->input[i].committed = p->input[i].fetch.pos;
        }
        drop_txn(p);
        return VG_OK;
    case VG_E_AGAIN:
    case VG_E_FULL: /* the disk */
    case VG_E_NOMEM:
        return VG_E_AGAIN;
    case VG_E_CONFLICT:
        drop_txn(p);
        unlock(p);
        vgi_wake_more(&p->wake, true);
        return VG_E_CONFLICT;
    default:
        return VG_E_FATAL;
    }
}

enum vg_err vgi_sqlite_abort(void *self, struct vg_error *err)
{
    struct processor *p = self;
    (void)err;
    drop_txn(p);
    if (p->status == ACTIVE) {
        p->status = ASSIGNING;
        vgi_wake_more(&p->wake, true);
    }
    return VG_OK;
}

/* ---- the rest ---- */

int vgi_sqlite_processor_fd(const void *self)
{
    return ((const struct processor *)self)->wake.epoll;
}

bool vgi_sqlite_processor_active(const void *self)
{
    return ((const struct processor *)self)->status == ACTIVE;
}

bool vgi_sqlite_processor_caught_up(const void *self, int32_t partition)
{
    const struct processor *p = self;
    return partition == 0 && p->status == ACTIVE && p->caught_up;
}

enum vg_err vgi_sqlite_end_at_assignment(const void *self, enum vg_topic t, int32_t partition,
                                         int64_t *out)
{
    const struct processor *p = self;
    for (size_t i = 0; i < p->inputs && partition == 0 && p->told_assigned; i++) {
        if (p->input[i].fetch.topic == t) {
            *out = p->input[i].end;
            return VG_OK;
        }
    }
    return VG_E_NOTFOUND;
}

size_t vgi_sqlite_processor_pending(const void *self)
{
    return ((const struct processor *)self)->outs;
}

static enum vg_err open_parts(struct processor *p, const struct vg_dlog_processor_options *o,
                              struct vg_error *err)
{
    snprintf(p->group, sizeof p->group, "%s%s", p->log->conf->prefix, o->group);
    snprintf(p->instance, sizeof p->instance, "%s", o->instance);
    p->calls = o->calls;
    p->arg = o->arg;
    p->state_topic = o->state_topic;
    p->out = calloc(VG_DLOG_TXN_RECORDS_MAX, sizeof *p->out);
    p->bytes = malloc(TXN_BYTES_FIRST);
    p->room = TXN_BYTES_FIRST;
    if (p->out == NULL || p->bytes == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a processor");
    }
    enum vg_err rc = vgi_writer_open(p->log, CHECKPOINT_AT, &p->w, err);
    if (rc == VG_OK) {
        rc = vgi_wake_open(p->log, &p->wake, err);
    }
    if (rc == VG_OK) {
        rc = vgi_arena_new(&p->arena, err);
    }
    if (rc == VG_OK && p->state_topic != VG_TOPIC_NONE) {
        rc = vgi_conn_need(&p->w.conn, p->state_topic, err);
    }
    for (size_t i = 0; i < o->input_count && rc == VG_OK; i++) {
        rc = vgi_conn_need(&p->w.conn, o->inputs[i], err);
        if (rc == VG_OK) {
            rc = vgi_fetch_open(&p->w.conn, o->inputs[i], 0, &p->input[i].fetch, err);
            p->inputs = i + 1;
        }
    }
    return rc;
}

enum vg_err vgi_sqlite_processor_open(void *log, const struct vg_dlog_processor_options *options,
                                      void **out, struct vg_error *err)
{
    struct processor *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a processor");
    }
    p->log = log;
    p->lock = -1;
    p->wake = (struct vgi_wake){-1, -1, -1};
    const enum vg_err rc = open_parts(p, options, err);
    if (rc != VG_OK) {
        vgi_sqlite_processor_close(p);
        return rc;
    }
    *out = p;
    return VG_OK;
}

void vgi_sqlite_processor_close(void *self)
{
    struct processor *p = self;
    for (size_t i = 0; i < p->inputs; i++) {
        vgi_fetch_close(&p->input[i].fetch);
    }
    unlock(p);
    vgi_writer_close(&p->w);
    vgi_wake_close(&p->wake);
    free(p->arena.at);
    free(p->bytes);
    free(p->out);
    free(p);
}
