/* The SQLite backend's operations on the log as a whole, and its table for dlog.c. */
#include "sqlite_db.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static enum vg_err sqlite_open(const struct vg_dlog_conf *conf, const char *client,
                               const char *rest, unsigned flags, void **out, struct vg_error *err)
{
    if (sqlite3_libversion_number() < VG_FLOOR_SQLITE) {
        return vg_fail(err, VG_E_VERSION, "SQLite %s is too old: %d or newer is needed",
                       sqlite3_libversion(), VG_FLOOR_SQLITE);
    }
    struct vgi_sqlite *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the log");
    }
    log->conf = conf;
    log->client = client;
    enum vg_err rc = VG_OK;
    if (!vg_str_copy(rest, log->path, sizeof log->path)) {
        rc = vg_fail(err, VG_E_RANGE, "log.url: '%.100s…' is longer than %zu bytes", rest,
                     sizeof log->path - 1);
    }
    if (rc == VG_OK) {
        rc = vgi_db_open(log->path, flags, &log->keep, err);
    }
    if (rc != VG_OK) {
        free(log);
        return rc;
    }
    *out = log;
    return VG_OK;
}

static void sqlite_close(void *self)
{
    struct vgi_sqlite *log = self;
    sqlite3_close(log->keep);
    free(log);
}

static enum vg_err create_topic(struct vgi_writer *w, enum vg_topic t, struct vg_error *err)
{
    const struct vg_dlog_conf *conf = w->conn.log->conf;
    const struct vg_topic_settings want = vg_dlog_want(conf, t);
    const bool compact = want.cleanup == VG_CLEANUP_COMPACT;
    char sql[512];
    int64_t id = 0;
    /* Prefix and names are of letters, digits, '.', '_' and '-' only. */
    snprintf(
        sql, sizeof sql,
        "INSERT INTO topic(name, compact, retain_ms, next, trimmed) VALUES('%s%s', %d, %" PRId64
        ", 0, 0)",
        conf->prefix, vg_topic_spec(t)->name, compact, want.retain_ms);
    enum vg_err rc = vgi_db_exec(w->conn.db, sql, err);
    if (rc != VG_OK) {
        return rc;
    }
    id = sqlite3_last_insert_rowid(w->conn.db);
    snprintf(sql, sizeof sql,
             "CREATE TABLE r%" PRId64 "(off INTEGER PRIMARY KEY, ts INTEGER NOT NULL, key BLOB NOT "
             "NULL%s, value BLOB)",
             id, compact ? " UNIQUE" : "");
    rc = vgi_db_exec(w->conn.db, sql, err);
    if (rc == VG_OK && compact) {
        snprintf(sql, sizeof sql,
                 "CREATE INDEX tombstones%" PRId64 " ON r%" PRId64 "(ts) WHERE value IS NULL", id,
                 id);
        rc = vgi_db_exec(w->conn.db, sql, err);
    }
    return rc;
}

static enum vg_err sqlite_create(void *self, unsigned topics, unsigned *created,
                                 struct vg_error *err)
{
    struct vgi_writer w;
    unsigned made = 0;
    enum vg_err rc = vgi_writer_open(self, 1, &w, err);
    if (rc != VG_OK) {
        return rc;
    }
    rc = vgi_writer_begin(&w, err);
    if (rc == VG_OK) {
        rc = vgi_conn_topics(&w.conn, err); /* another `vigia init` may have been faster */
    }
    for (int i = 0; i < VG_TOPIC_COUNT && rc == VG_OK; i++) {
        const enum vg_topic t = (enum vg_topic)i;
        if ((topics & VG_TOPIC_BIT(t)) != 0 && !w.conn.topic[t].exists) {
            rc = create_topic(&w, t, err);
            made |= VG_TOPIC_BIT(t);
        }
    }
    if (rc == VG_OK) {
        rc = vgi_writer_commit(&w, err);
    }
    vgi_writer_rollback(&w);
    vgi_writer_close(&w);
    if (rc == VG_OK) {
        *created = made;
    }
    return rc;
}

static enum vg_err fill(struct vgi_conn *c, enum vg_topic t, struct vg_dlog_topic_info *out,
                        struct vg_error *err)
{
    const struct vgi_topic *topic = &c->topic[t];
    int64_t begin = 0, end = 0;
    char sql[96];
    enum vg_err rc =
        vgi_db_int(c->db, "SELECT next FROM topic WHERE id=?1", topic->id, 0, &end, err);
    if (rc == VG_OK) {
        snprintf(sql, sizeof sql, "SELECT coalesce(min(off), ?1) FROM r%" PRId64, topic->id);
        rc = vgi_db_int(c->db, sql, end, 0, &begin, err);
    }
    if (rc != VG_OK) {
        return rc;
    }
    snprintf(out->name, sizeof out->name, "%s%s", c->log->conf->prefix, vg_topic_spec(t)->name);
    out->settings = (struct vg_topic_settings){
        1, 1, 1, topic->retain_ms, topic->compact ? VG_CLEANUP_COMPACT : VG_CLEANUP_TIME};
    out->partition[0] = (struct vg_dlog_partition_info){begin, end};
    return VG_OK;
}

static enum vg_err sqlite_describe(void *self, enum vg_topic t, struct vg_dlog_topic_info *out,
                                   struct vg_error *err)
{
    struct vgi_conn c;
    enum vg_err rc = vgi_conn_open(self, &c, err);
    if (rc != VG_OK) {
        return rc;
    }
    rc = vgi_conn_need(&c, t, err);
    if (rc == VG_OK) {
        rc = fill(&c, t, out, err);
    }
    vgi_conn_close(&c);
    return rc;
}

const struct vgi_backend vgi_sqlite_backend = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .create = sqlite_create,
    .describe = sqlite_describe,
    .retain = vgi_sqlite_retain,
    .backup = vgi_sqlite_backup,
    .skip = vgi_sqlite_skip,
    .appender_open = vgi_sqlite_appender_open,
    .append = vgi_sqlite_append,
    .appender_fd = vgi_sqlite_appender_fd,
    .appender_dispatch = vgi_sqlite_appender_dispatch,
    .appender_pending = vgi_sqlite_appender_pending,
    .appender_holds = vgi_sqlite_appender_holds,
    .appender_forced = vgi_sqlite_appender_forced,
    .appender_close = vgi_sqlite_appender_close,
    .reader_open = vgi_sqlite_reader_open,
    .read = vgi_sqlite_read,
    .reader_caught_up = vgi_sqlite_reader_caught_up,
    .reader_fd = vgi_sqlite_reader_fd,
    .reader_close = vgi_sqlite_reader_close,
    .processor_open = vgi_sqlite_processor_open,
    .poll = vgi_sqlite_poll,
    .processor_fd = vgi_sqlite_processor_fd,
    .processor_active = vgi_sqlite_processor_active,
    .processor_caught_up = vgi_sqlite_processor_caught_up,
    .end_at_assignment = vgi_sqlite_end_at_assignment,
    .processor_append = vgi_sqlite_processor_append,
    .processor_pending = vgi_sqlite_processor_pending,
    .commit = vgi_sqlite_commit,
    .abort = vgi_sqlite_abort,
    .processor_close = vgi_sqlite_processor_close,
};
