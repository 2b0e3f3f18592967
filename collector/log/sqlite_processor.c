/* The processor: records of the inputs come in batches; what is appended waits in memory until the
 * commit writes outputs, state and positions in one short transaction. Whose turn it is:
 * sqlite_owner.c. */
#include "sqlite_processor.h"

#include "vigia/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECKPOINT_AT   8000 /* frames; above the appender's, which has more time for it */
#define TXN_BYTES_FIRST (64 * 1024)

/* ---- reading ---- */

static void check_caught_up(struct vgi_processor *p)
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

static enum vg_err left_the_log(const struct vgi_processor *p, const struct vgi_input *in,
                                struct vg_error *err)
{
    const char *prefix = p->log->conf->prefix;
    return vg_fail(err, VG_E_RANGE,
                   "group %s: %s%s: the next record, offset %" PRId64
                   ", is not in the log any more: " VGI_SKIP_HINT,
                   p->group, prefix, vg_topic_spec(in->fetch.topic)->name, in->fetch.pos,
                   p->group + strlen(prefix));
}

/* One pass over the inputs, beginning with another one each time, so that a long backlog of one
 * never starves the others. */
static enum vg_err fetch_inputs(struct vgi_processor *p, struct vg_dlog_record *records, size_t max,
                                size_t *count, bool *exhausted, struct vg_error *err)
{
    enum vg_err rc = VG_OK;
    size_t n = 0;
    *exhausted = true;
    p->arena.used = 0;
    for (size_t i = 0; i < p->inputs && rc == VG_OK; i++) {
        struct vgi_input *in = &p->input[(p->turn + i) % p->inputs];
        size_t got = 0;
        bool end = false;
        if (n < max) {
            rc =
                vgi_fetch(&p->w.conn, &in->fetch, &p->arena, records + n, max - n, &got, &end, err);
            rc = rc == VG_E_RANGE ? left_the_log(p, in, err) : rc;
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
    struct vgi_processor *p = self;
    const int64_t until = vgi_now_ms() + timeout_ms;
    bool ready = false;
    vgi_wake_drain(&p->wake);
    enum vg_err rc = vgi_owner_poll(p, until, &ready, err);
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

static bool make_room(struct vgi_processor *p, size_t need)
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
    struct vgi_processor *p = self;
    if (partition > 0 || (partition < 0 && t == p->state_topic)) {
        return VG_E_RANGE;
    }
    if (p->status != VGI_ACTIVE) {
        return VG_E_CONFLICT;
    }
    if (!p->w.conn.topic[t].exists) {
        return VG_E_NOTFOUND;
    }
    if (p->outs == VG_DLOG_TXN_RECORDS_MAX || !make_room(p, key.len + value.len)) {
        return VG_E_FULL;
    }
    p->out[p->outs++] =
        (struct vgi_out){t, value.at == NULL, (uint32_t)key.len, (uint32_t)value.len, p->used};
    if (key.len > 0) {
        memcpy(p->bytes + p->used, key.at, key.len);
    }
    if (value.at != NULL && value.len > 0) {
        memcpy(p->bytes + p->used + key.len, value.at, value.len);
    }
    p->used += key.len + value.len;
    return VG_OK;
}

static void drop_txn(struct vgi_processor *p)
{
    p->outs = 0;
    p->used = 0;
}

static bool nothing_to_commit(const struct vgi_processor *p)
{
    for (size_t i = 0; i < p->inputs; i++) {
        if (p->input[i].fetch.pos != p->input[i].committed) {
            return false;
        }
    }
    return p->outs == 0;
}

static enum vg_err check_epoch(struct vgi_processor *p, struct vg_error *err)
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

static enum vg_err put_all(struct vgi_processor *p, struct vg_error *err)
{
    const int64_t now = vgi_wall_ms();
    enum vg_err rc = check_epoch(p, err);
    for (size_t i = 0; i < p->outs && rc == VG_OK; i++) {
        const struct vgi_out *o = &p->out[i];
        const char *key = p->bytes + o->at;
        int64_t ignored;
        rc = vgi_writer_put(&p->w, o->topic, now, vg_span(key, o->klen),
                            (struct vg_span){o->tombstone ? NULL : key + o->klen, o->vlen},
                            &ignored, err);
    }
    for (size_t i = 0; i < p->inputs && rc == VG_OK; i++) {
        const struct vgi_input *in = &p->input[i];
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
    struct vgi_processor *p = self;
    if (p->status != VGI_ACTIVE) {
        return p->outs == 0 ? VG_OK
                            : vg_fail(err, VG_E_CONFLICT, "group %s: not the owner", p->group);
    }
    if (nothing_to_commit(p)) {
        return VG_OK;
    }
    enum vg_err rc = vgi_writer_begin(&p->w, err);
    if (rc == VG_OK) {
        rc = put_all(p, err);
        if (rc == VG_OK && VG_FAULT(LOG_TXN_WRITTEN)) {
            rc = vg_fail(err, VG_E_AGAIN, "fault point");
        }
        if (rc == VG_OK) {
            rc = vgi_writer_commit(&p->w, err);
            (void)VG_FAULT(LOG_TXN_COMMITTED);
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
        vgi_owner_leave(p);
        vgi_wake_more(&p->wake, true);
        return VG_E_CONFLICT;
    default:
        return VG_E_FATAL;
    }
}

enum vg_err vgi_sqlite_abort(void *self, struct vg_error *err)
{
    struct vgi_processor *p = self;
    (void)err;
    drop_txn(p);
    if (p->status == VGI_ACTIVE) {
        p->status = VGI_ASSIGNING;
        vgi_wake_more(&p->wake, true);
    }
    return VG_OK;
}

/* ---- the rest ---- */

int vgi_sqlite_processor_fd(const void *self)
{
    return ((const struct vgi_processor *)self)->wake.epoll;
}

bool vgi_sqlite_processor_active(const void *self)
{
    return ((const struct vgi_processor *)self)->status == VGI_ACTIVE;
}

bool vgi_sqlite_processor_caught_up(const void *self, int32_t partition)
{
    const struct vgi_processor *p = self;
    return partition == 0 && p->status == VGI_ACTIVE && p->caught_up;
}

enum vg_err vgi_sqlite_end_at_assignment(const void *self, enum vg_topic t, int32_t partition,
                                         int64_t *out)
{
    const struct vgi_processor *p = self;
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
    return ((const struct vgi_processor *)self)->outs;
}

static enum vg_err open_parts(struct vgi_processor *p, const struct vg_dlog_processor_options *o,
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
    struct vgi_processor *p = calloc(1, sizeof *p);
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
    struct vgi_processor *p = self;
    for (size_t i = 0; i < p->inputs; i++) {
        vgi_fetch_close(&p->input[i].fetch);
    }
    vgi_owner_leave(p);
    vgi_writer_close(&p->w);
    vgi_wake_close(&p->wake);
    free(p->arena.at);
    free(p->bytes);
    free(p->out);
    free(p);
}
