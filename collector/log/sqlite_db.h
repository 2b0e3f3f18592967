/* The SQLite backend from inside: one connection, its statements, its wake-up.
 *
 *   sqlite_db.c         opens and verifies a connection; schema; errors; topics
 *   sqlite_wake.c       a descriptor that becomes readable when somebody committed
 *   sqlite_writer.c     one write transaction: records, offsets, positions of groups
 *   sqlite_fetch.c      one bounded batch of records into memory
 *   sqlite_appender.c   group commit on a thread of its own
 *   sqlite_reader.c     sqlite_owner.c + sqlite_processor.c
 *   sqlite_skip.c       positions of a group over what has left the log
 *   sqlite_upkeep.c     retention, backup
 *   sqlite_backend.c    the operations on the log as a whole
 *
 * Schema, version 1 (application_id "VGLG"): `topic` has a row per topic with the next offset and
 * the offset below which everything was removed; the records of topic n are in table rn. Offsets of
 * time-kept topics have no holes, so a hole means removed records. `grp` has a row per group with
 * the epoch of its active instance, `pos` its next offsets. */
#ifndef VG_LOG_SQLITE_DB_H
#define VG_LOG_SQLITE_DB_H

#include "dlog_inside.h"

#include <sqlite3.h>

#define VGI_APPLICATION_ID 0x56474c47 /* "VGLG" */
#define VGI_SCHEMA_VERSION 1
#define VGI_BUSY_MS        5000                    /* longest wait for another writer */
#define VGI_GROUP_MAX      (VG_DLOG_NAME_MAX + 64) /* name of a group with its prefix */

struct vgi_sqlite {
    const struct vg_dlog_conf *conf;
    const char *client;
    char path[400];
    sqlite3 *keep; /* stays open so that the WAL file stays; also checks the file once */
};

/* A topic as one connection knows it. */
struct vgi_topic {
    bool exists;
    int64_t id;
    bool compact;
    int64_t retain_ms;
};

struct vgi_conn {
    sqlite3 *db;
    const struct vgi_sqlite *log;
    struct vgi_topic topic[VG_TOPIC_COUNT];
};

/* A new connection with every setting verified and the topics loaded; for one thread. */
enum vg_err vgi_conn_open(const struct vgi_sqlite *log, struct vgi_conn *c, struct vg_error *err);
/* Loads the topics again; inside a write transaction they cannot change any more. */
enum vg_err vgi_conn_topics(struct vgi_conn *c, struct vg_error *err);
void vgi_conn_close(struct vgi_conn *c);
/* VG_E_NOTFOUND with one line when the topic is missing. */
enum vg_err vgi_conn_need(const struct vgi_conn *c, enum vg_topic t, struct vg_error *err);

/* Opens path, verified or created; used by vgi_conn_open and at the start. */
enum vg_err vgi_db_open(const char *path, unsigned flags, sqlite3 **out, struct vg_error *err);

/* Class and text of the connection's last error: VG_E_AGAIN (busy), VG_E_FULL (disk), VG_E_FATAL
 * (I/O, damage), VG_E_NOMEM. */
enum vg_err vgi_db_fail(sqlite3 *db, const char *doing, struct vg_error *err);
enum vg_err vgi_db_exec(sqlite3 *db, const char *sql, struct vg_error *err);
enum vg_err vgi_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct vg_error *err);
/* One integer; VG_E_NOTFOUND when there is no row. Binds up to two integers. */
enum vg_err vgi_db_int(sqlite3 *db, const char *sql, int64_t a, int64_t b, int64_t *out,
                       struct vg_error *err);

/* ---- wake-up ---- */

/* A descriptor (epoll) over an inotify watch on the WAL and an eventfd "there may be more". Writers
 * touch the WAL's times *after* their commit is visible: the write to the WAL itself comes before
 * that, and waking on it would find nothing. */
struct vgi_wake {
    int epoll, inotify, more;
};
enum vg_err vgi_wake_open(const struct vgi_sqlite *log, struct vgi_wake *w, struct vg_error *err);
void vgi_wake_close(struct vgi_wake *w);
void vgi_wake_more(const struct vgi_wake *w, bool more);
void vgi_wake_drain(const struct vgi_wake *w);
void vgi_wake_others(const struct vgi_sqlite *log);

/* ---- one batch of records ---- */

struct vgi_fetch {
    sqlite3_stmt *select, *trimmed;
    enum vg_topic topic;
    bool compact;
    int64_t pos; /* next offset */
};
struct vgi_arena {
    char *at; /* VG_DLOG_BATCH_BYTES */
    size_t used;
};
enum vg_err vgi_arena_new(struct vgi_arena *a, struct vg_error *err);
enum vg_err vgi_fetch_open(struct vgi_conn *c, enum vg_topic t, int64_t pos, struct vgi_fetch *f,
                           struct vg_error *err);
void vgi_fetch_close(struct vgi_fetch *f);
/* Adds up to `max` records behind `arena->used`, moves pos. *exhausted: nothing more was there. A
 * hole in a time-kept topic is VG_E_RANGE. */
enum vg_err vgi_fetch(struct vgi_conn *c, struct vgi_fetch *f, struct vgi_arena *arena,
                      struct vg_dlog_record *records, size_t max, size_t *count, bool *exhausted,
                      struct vg_error *err);

/* ---- writing ---- */

struct vgi_writer {
    struct vgi_conn conn;
    sqlite3_stmt *begin, *commit, *rollback, *next_get, *next_set, *pos_set, *epoch_get;
    struct {
        sqlite3_stmt *insert;
        int64_t next;
        bool touched;
    } topic[VG_TOPIC_COUNT];
    int wal_frames,
        checkpoint_at; /* frames in the WAL after the last commit; when to move them to the file */
    bool broken;       /* a checkpoint failed: no sync can be trusted any more */
};
/* `checkpoint_at` in frames (pages) of the WAL. */
enum vg_err vgi_writer_open(const struct vgi_sqlite *log, int checkpoint_at, struct vgi_writer *w,
                            struct vg_error *err);
void vgi_writer_close(struct vgi_writer *w);
enum vg_err vgi_writer_begin(struct vgi_writer *w, struct vg_error *err);
enum vg_err vgi_writer_put(struct vgi_writer *w, enum vg_topic t, int64_t now_ms,
                           struct vg_span key, struct vg_span value, int64_t *offset,
                           struct vg_error *err);
/* On failure everything is rolled back; VG_E_FATAL: it may have become durable all the same. */
enum vg_err vgi_writer_commit(struct vgi_writer *w, struct vg_error *err);
void vgi_writer_rollback(struct vgi_writer *w);

/* ---- upkeep ---- */

/* One step of retention: at most VGI_TRIM_ROWS rows in one commit. *again: another step would find
 * more. */
#define VGI_TRIM_ROWS 1000
enum vg_err vgi_trim_step(struct vgi_writer *w, int64_t now_ms, struct vg_dlog_retained *sum,
                          bool *again, struct vg_error *err);
/* Whether the file is above [log] max_bytes. */
bool vgi_over_limit(struct vgi_conn *c);
enum vg_err vgi_sqlite_retain(void *log, struct vg_dlog_retained *out, struct vg_error *err);
enum vg_err vgi_sqlite_backup(void *log, const char *path, vg_dlog_progress_fn *fn, void *arg,
                              struct vg_error *err);

/* ---- groups ---- */

/* Takes the lock of a group (its name with prefix), which closing *out gives back. `create`: makes
 * the file if it is absent, else that is VG_E_NOTFOUND. VG_E_CONFLICT: an instance holds it. */
enum vg_err vgi_group_lock(const struct vgi_sqlite *log, const char *group, bool create, int *out,
                           struct vg_error *err);
enum vg_err vgi_sqlite_skip(void *log, const char *group, vg_dlog_skipped_fn *fn, void *arg,
                            struct vg_error *err);

/* ---- operations, see backend.h ---- */

enum vg_err vgi_sqlite_appender_open(void *log, void **out, struct vg_error *err);
enum vg_err vgi_sqlite_append(void *a, enum vg_topic t, int32_t partition, enum vg_dlog_room room,
                              const struct vg_dlog_entry *entries, size_t count,
                              vg_dlog_verdict_fn *fn, void *arg);
int vgi_sqlite_appender_fd(const void *a);
enum vg_err vgi_sqlite_appender_dispatch(void *a, struct vg_error *err);
size_t vgi_sqlite_appender_pending(const void *a);
bool vgi_sqlite_appender_holds(void *a, const void *arg);
uint64_t vgi_sqlite_appender_forced(void *a);
void vgi_sqlite_appender_close(void *a);

enum vg_err vgi_sqlite_reader_open(void *log, enum vg_topic t, int32_t partition,
                                   struct vg_dlog_from from, void **out, struct vg_error *err);
enum vg_err vgi_sqlite_read(void *r, int timeout_ms, struct vg_dlog_record *records, size_t max,
                            size_t *count, struct vg_error *err);
bool vgi_sqlite_reader_caught_up(const void *r);
int vgi_sqlite_reader_fd(const void *r);
void vgi_sqlite_reader_close(void *r);

enum vg_err vgi_sqlite_processor_open(void *log, const struct vg_dlog_processor_options *options,
                                      void **out, struct vg_error *err);
enum vg_err vgi_sqlite_poll(void *p, int timeout_ms, struct vg_dlog_record *records, size_t max,
                            size_t *count, struct vg_error *err);
int vgi_sqlite_processor_fd(const void *p);
bool vgi_sqlite_processor_active(const void *p);
bool vgi_sqlite_processor_caught_up(const void *p, int32_t partition);
enum vg_err vgi_sqlite_end_at_assignment(const void *p, enum vg_topic t, int32_t partition,
                                         int64_t *out);
enum vg_err vgi_sqlite_processor_append(void *p, enum vg_topic t, int32_t partition,
                                        struct vg_span key, struct vg_span value);
size_t vgi_sqlite_processor_pending(const void *p);
enum vg_err vgi_sqlite_commit(void *p, struct vg_error *err);
enum vg_err vgi_sqlite_abort(void *p, struct vg_error *err);
void vgi_sqlite_processor_close(void *p);

#endif
