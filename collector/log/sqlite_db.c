/* Opens one connection to the log file, refuses what is not ours, and verifies what durability
 * rests on. */
#include "sqlite_db.h"
#include "vigia/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Less than the gap that an appender leaves between two groups; a lock held for long is asked for
 * more seldom. */
#define BUSY_STEP_US 100
#define BUSY_TRIES   500
#define BUSY_SLOW_US 1000

/* A file that cannot be opened: what is wrong with it as configured, or what the machine lacks for
 * now. */
static enum vg_err cannot_open(int rc, int number)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return VG_E_NOMEM;
    case SQLITE_CANTOPEN: {
        const enum vg_err code = vg_err_of_errno(number);
        return number == 0 || code == VG_E_NOTFOUND ? VG_E_DENIED : code;
    }
    case SQLITE_IOERR:
        return VG_E_IO;
    default:
        return VG_E_DENIED;
    }
}

static enum vg_err open_failed(const char *path, sqlite3 *db, struct vg_error *err)
{
    const enum vg_err code =
        db == NULL ? VG_E_NOMEM
                   : cannot_open(sqlite3_extended_errcode(db), sqlite3_system_errno(db));
    return vg_fail(err, code, "%s: cannot be opened: %s", path,
                   db == NULL ? "no memory" : sqlite3_errmsg(db));
}

enum vg_err vgi_db_fail(sqlite3 *db, const char *doing, struct vg_error *err)
{
    const int rc = sqlite3_extended_errcode(db);
    const char *path = sqlite3_db_filename(db, "main");
    enum vg_err code = VG_E_FATAL;
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        code = VG_E_AGAIN;
        break;
    case SQLITE_FULL:
        code = VG_E_FULL;
        break;
    case SQLITE_NOMEM:
        code = VG_E_NOMEM;
        break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        code = VG_E_DENIED;
        break;
    case SQLITE_CANTOPEN:
        code = cannot_open(rc, sqlite3_system_errno(db));
        code = code == VG_E_DENIED ? code : VG_E_FATAL;
        break;
    case SQLITE_NOTADB:
        return vg_fail(err, VG_E_VERSION, "%s: is not a log of Vigía (not a database)", path);
    case SQLITE_CORRUPT:
        code = VG_E_CORRUPT;
        break;
    case SQLITE_IOERR:
        /* A full disk also shows as a failure to grow the shared memory file or to write. */
        code = sqlite3_system_errno(db) == ENOSPC ? VG_E_FULL : VG_E_FATAL;
        break;
    default:
        break;
    }
    return vg_fail(err, code, "%s: %s: %s (%d)", path, doing, sqlite3_errmsg(db), rc);
}

enum vg_err vgi_db_exec(sqlite3 *db, const char *sql, struct vg_error *err)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? VG_OK
                                                                : vgi_db_fail(db, "write", err);
}

enum vg_err vgi_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct vg_error *err)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK
               ? VG_OK
               : vgi_db_fail(db, "prepare", err);
}

enum vg_err vgi_db_int(sqlite3 *db, const char *sql, int64_t a, int64_t b, int64_t *out,
                       struct vg_error *err)
{
    sqlite3_stmt *s = NULL;
    enum vg_err rc = vgi_db_prepare(db, sql, &s, err);
    if (rc != VG_OK) {
        return rc;
    }
    const int params = sqlite3_bind_parameter_count(s);
    if (params >= 1) {
        sqlite3_bind_int64(s, 1, a);
    }
    if (params >= 2) {
        sqlite3_bind_int64(s, 2, b);
    }
    switch (sqlite3_step(s)) {
    case SQLITE_ROW:
        *out = sqlite3_column_int64(s, 0);
        break;
    case SQLITE_DONE:
        rc = VG_E_NOTFOUND;
        break;
    default:
        rc = vgi_db_fail(db, "read", err);
    }
    sqlite3_finalize(s);
    return rc;
}

/* SQLite's own busy waits grow to 100 ms; the writers of this log hold the lock for some ms only.
 */
static int wait_for_writer(void *arg, int tries)
{
    (void)arg;
    if (tries >= BUSY_TRIES + VGI_BUSY_MS * 1000 / BUSY_SLOW_US) {
        return 0;
    }
    usleep(tries < BUSY_TRIES ? BUSY_STEP_US : BUSY_SLOW_US);
    return 1;
}

/* SQLite's locks and shared memory do not work between machines. */
static enum vg_err check_local(const char *path, struct vg_error *err)
{
    static const unsigned long remote[] = {0x6969,     0x517B,     0xFF534D42,
                                           0xFE534D42, 0x01021997, 0x00C36400};
    struct statfs fs;
    if (statfs(path, &fs) != 0) {
        return VG_OK;
    }
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++) {
        if (((unsigned long)fs.f_type & 0xffffffffUL) == remote[i]) {
            return vg_fail(err, VG_E_UNSUPPORTED,
                           "%s: lies on a network file system: a log file needs a local one", path);
        }
    }
    return VG_OK;
}

/* Whether the file's own header names another program (https://sqlite.org/fileformat.html §1.3). False:
 * it cannot be read. */
static bool head_tells(const char *path, bool *foreign)
{
    unsigned char head[72];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd < 0 ? -1 : read(fd, head, sizeof head);
    if (fd >= 0) {
        close(fd);
    }
    const uint32_t id = got < (ssize_t)sizeof head
                            ? 0
                            : (uint32_t)head[68] << 24 | (uint32_t)head[69] << 16 |
                                  (uint32_t)head[70] << 8 | head[71];
    *foreign = id != 0 && id != VGI_APPLICATION_ID && memcmp(head, "SQLite format 3", 16) == 0;
    return got >= 0;
}

/* Longest path that is opened, NUL included. */
#define PATH_ROOM 512

static bool beside(const char *path, const char *suffix)
{
    char name[PATH_ROOM + 16];
    struct stat st;
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &st) == 0;
}

/* A file that nobody has open has no -wal: SQLite has written it back and removed it. A -journal is
 * that of a cut while it was being made. */
static bool is_alone(const char *path)
{
    return !beside(path, "-wal") && !beside(path, "-journal");
}

/* "file:PATH", and with `alone` a promise that no other process writes: SQLite then makes neither
 * -wal nor -shm. */
static void uri_of(const char *path, bool alone, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "file:");
    for (; *path != '\0' && at + 4 < size; path++) {
        bool plain = strchr("?#%", *path) == NULL;
        at += (size_t)snprintf(out + at, size - at, plain ? "%c" : "%%%02X", (unsigned char)*path);
    }
    snprintf(out + at, size - at, "%s", alone ? "?immutable=1" : "");
}

/* Reads who made the file. `*fresh` when it is empty; `*undone` when only a connection that may
 * write can tell: a power cut left a journal beside it that has to be rolled back. */
static enum vg_err read_owner(const char *path, int mode, bool alone, bool *fresh, bool *undone,
                              struct vg_error *err)
{
    sqlite3 *db = NULL;
    int64_t application = 0, version = 0, tables = 0;
    char uri[3 * PATH_ROOM + sizeof "file:?immutable=1"];
    uri_of(path, alone, uri, sizeof uri);
    if (sqlite3_open_v2(uri, &db, mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL) !=
        SQLITE_OK) {
        const enum vg_err rc = open_failed(path, db, err);
        sqlite3_close(db);
        return rc;
    }
    sqlite3_busy_handler(db, wait_for_writer, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    enum vg_err rc = vgi_db_exec(db, "BEGIN", err); /* one snapshot: somebody may be making it */
    if (rc == VG_OK) {
        rc = vgi_db_int(db, "PRAGMA application_id", 0, 0, &application, err);
    }
    if (rc == VG_OK) {
        rc = vgi_db_int(db, "PRAGMA user_version", 0, 0, &version, err);
    }
    if (rc == VG_OK) {
        rc = vgi_db_int(db, "SELECT count(*) FROM sqlite_schema", 0, 0, &tables, err);
    }
    if (rc == VG_OK && application == VGI_APPLICATION_ID && version > VGI_SCHEMA_VERSION) {
        rc = vg_fail(err, VG_E_VERSION,
                     "%s: was made by a newer version (schema %" PRId64 ", accepted: up to %d)",
                     path, version, VGI_SCHEMA_VERSION);
    } else if (rc == VG_OK && application != VGI_APPLICATION_ID &&
               (application != 0 || tables != 0)) {
        rc = vg_fail(err, VG_E_VERSION,
                     "%s: belongs to another program (application_id 0x%08" PRIx64
                     ", accepted: 0x%08x)",
                     path, application, VGI_APPLICATION_ID);
    }
    *undone = rc != VG_OK && sqlite3_extended_errcode(db) == SQLITE_READONLY_ROLLBACK;
    sqlite3_close(db);
    if (rc == VG_OK) {
        *fresh = application == 0;
    }
    return rc;
}

/* Through a connection that cannot write, but for a file that a power cut interrupted while it was
 * being made. A file that is refused is left as it was, without a -wal and -shm of ours beside it.
 */
static enum vg_err check_owner(const char *path, bool *fresh, struct vg_error *err)
{
    bool undone = false, alone = is_alone(path);
    enum vg_err rc = read_owner(path, SQLITE_OPEN_READONLY, alone, fresh, &undone, err);
    if (rc != VG_OK && alone && !is_alone(path)) {
        /* Somebody opened it meanwhile: what was read may have been half written. */
        rc = read_owner(path, SQLITE_OPEN_READONLY, false, fresh, &undone, err);
    }
    bool foreign = false;
    if (!undone || !head_tells(path, &foreign)) {
        return rc;
    }
    return foreign ? vg_fail(err, VG_E_VERSION,
                             "%s: belongs to another program, which was interrupted", path)
                   : read_owner(path, SQLITE_OPEN_READWRITE, false, fresh, &undone, err);
}

/* The first switch to WAL needs the file alone and does not call the busy handler. */
static enum vg_err set_wal(sqlite3 *db, struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + VGI_BUSY_MS;
    for (;;) {
        sqlite3_stmt *s = NULL;
        enum vg_err rc = vgi_db_prepare(db, "PRAGMA journal_mode=WAL", &s, err);
        const int step = rc == VG_OK ? sqlite3_step(s) : SQLITE_ERROR;
        if (rc == VG_OK && step != SQLITE_ROW) {
            rc = vgi_db_fail(db, "journal_mode", err);
        } else if (rc == VG_OK) {
            const char *mode = (const char *)sqlite3_column_text(s, 0);
            if (mode == NULL || strcmp(mode, "wal") != 0) {
                rc = vg_fail(err, VG_E_UNSUPPORTED, "%s: journal_mode is '%s', accepted: wal",
                             sqlite3_db_filename(db, "main"), mode == NULL ? "" : mode);
            }
        }
        sqlite3_finalize(s);
        if (rc != VG_E_AGAIN || vgi_now_ms() >= until) {
            return rc;
        }
        usleep(BUSY_SLOW_US);
    }
}

/* Both are read back: an ignored PRAGMA would silently cost durability. */
static enum vg_err set_durable(sqlite3 *db, struct vg_error *err)
{
    enum vg_err rc = set_wal(db, err);
    int64_t sync = -1;
    if (rc == VG_OK) {
        rc = vgi_db_exec(db,
                         "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864;"
                         "PRAGMA wal_autocheckpoint=0; PRAGMA cell_size_check=ON;"
                         "PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY",
                         err);
    }
    if (rc == VG_OK) {
        rc = vgi_db_int(db, "PRAGMA synchronous", 0, 0, &sync, err);
    }
    if (rc == VG_OK && sync != 2) {
        rc = vg_fail(err, VG_E_UNSUPPORTED, "%s: synchronous is %" PRId64 ", accepted: 2 (FULL)",
                     sqlite3_db_filename(db, "main"), sync);
    }
    return rc;
}

static enum vg_err create_schema(sqlite3 *db, struct vg_error *err)
{
    static const char sql[] =
        "CREATE TABLE IF NOT EXISTS topic(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
        " compact INTEGER NOT NULL, retain_ms INTEGER NOT NULL, next INTEGER NOT NULL,"
        " trimmed INTEGER NOT NULL);"
        "CREATE TABLE IF NOT EXISTS grp(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
        " epoch INTEGER NOT NULL, instance TEXT NOT NULL);"
        "CREATE TABLE IF NOT EXISTS pos(grp INTEGER NOT NULL, topic INTEGER NOT NULL,"
        " next INTEGER NOT NULL, PRIMARY KEY(grp, topic)) WITHOUT ROWID;";
    char ids[96];
    snprintf(ids, sizeof ids, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
             VGI_APPLICATION_ID, VGI_SCHEMA_VERSION);
    enum vg_err rc = vgi_db_exec(db, "BEGIN IMMEDIATE", err);
    if (rc == VG_OK) {
        rc = vgi_db_exec(db, sql, err);
    }
    if (rc == VG_OK) {
        rc = vgi_db_exec(db, ids, err);
    }
    return rc;
}

/* Made here, so that the -wal and -shm files inherit its mode. */
static enum vg_err create_file(const char *path, struct vg_error *err)
{
    const int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0640);
    if (fd < 0) {
        return errno == EEXIST ? VG_OK
                               : vg_fail(err, vg_err_of_errno(errno), "%s: cannot be made: %s",
                                         path, strerror(errno));
    }
    close(fd);
    return VG_OK;
}

static enum vg_err open_db(const char *path, unsigned flags, sqlite3 **out, struct vg_error *err)
{
    struct stat st;
    enum vg_err rc = VG_OK;
    if (stat(path, &st) != 0) {
        if (errno != ENOENT || (flags & VG_DLOG_MAY_CREATE) == 0) {
            return vg_fail(err, vg_err_of_errno(errno),
                           errno == ENOENT ? "%s: there is no log (%s): 'vigia init' makes one"
                                           : "%s: %s",
                           path, strerror(errno));
        }
        rc = create_file(path, err);
    } else if (!S_ISREG(st.st_mode)) {
        return vg_fail(err, VG_E_INVALID, "%s: is not a file", path);
    }
    bool fresh = false;
    if (rc == VG_OK) {
        rc = check_local(path, err);
    }
    if (rc == VG_OK) {
        rc = check_owner(path, &fresh, err);
    }
    if (rc == VG_OK && fresh && (flags & VG_DLOG_MAY_CREATE) == 0) {
        rc = vg_fail(err, VG_E_NOTFOUND, "%s: is empty: 'vigia init' makes a log of it", path);
    }
    if (rc != VG_OK) {
        return rc;
    }
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        rc = open_failed(path, db, err);
    } else if (sqlite3_db_readonly(db, "main") == 1) {
        rc = vg_fail(err, VG_E_DENIED, "%s: may not be written", path);
    } else {
        sqlite3_busy_handler(db, wait_for_writer, NULL);
        rc = set_durable(db, err);
    }
    if (rc == VG_OK && fresh) {
        rc = create_schema(db, err);
    }
    if (rc != VG_OK) {
        sqlite3_close(db);
        return rc;
    }
    *out = db;
    return VG_OK;
}

enum vg_err vgi_db_open(const char *path, unsigned flags, sqlite3 **out, struct vg_error *err)
{
    const enum vg_err rc = open_db(path, flags, out, err);
    struct statvfs fs;
    if (rc != VG_E_DENIED || !vg_sqlite_may_write(path)) {
        return rc;
    }
    /* Not as configured, but as it is for now. Linux itself turns a file system read-only after an
     * error, and back after a repair. And the library opens what it may not open for writing, for
     * want of descriptors or inodes too, for reading only. */
    if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_RDONLY) != 0) {
        return vg_fail(err, VG_E_IO, "%s: its file system is read-only", path);
    }
    return vg_fail(err, VG_E_IO, "%s: cannot be opened for writing now; its permissions allow it",
                   path);
}

enum vg_err vgi_conn_topics(struct vgi_conn *c, struct vg_error *err)
{
    sqlite3_stmt *s = NULL;
    enum vg_err rc =
        vgi_db_prepare(c->db, "SELECT name, id, compact, retain_ms FROM topic", &s, err);
    if (rc != VG_OK) {
        return rc;
    }
    const size_t prefix = strlen(c->log->conf->prefix);
    int step;
    while ((step = sqlite3_step(s)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(s, 0);
        enum vg_topic t;
        if (name == NULL || strncmp(name, c->log->conf->prefix, prefix) != 0 ||
            vg_topic_by_name(vg_span_str(name + prefix), &t) != VG_OK) {
            continue;
        }
        c->topic[t] = (struct vgi_topic){true, sqlite3_column_int64(s, 1),
                                         sqlite3_column_int(s, 2) != 0, sqlite3_column_int64(s, 3)};
    }
    if (step != SQLITE_DONE) {
        rc = vgi_db_fail(c->db, "read topics", err);
    }
    sqlite3_finalize(s);
    return rc;
}

enum vg_err vgi_conn_open(const struct vgi_sqlite *log, struct vgi_conn *c, struct vg_error *err)
{
    *c = (struct vgi_conn){.log = log};
    enum vg_err rc = vgi_db_open(log->path, 0, &c->db, err);
    if (rc == VG_OK) {
        rc = vgi_conn_topics(c, err);
    }
    if (rc != VG_OK) {
        vgi_conn_close(c);
    }
    return rc;
}

void vgi_conn_close(struct vgi_conn *c)
{
    sqlite3_close(c->db);
    c->db = NULL;
}

enum vg_err vgi_conn_need(const struct vgi_conn *c, enum vg_topic t, struct vg_error *err)
{
    if (!c->topic[t].exists) {
        return vg_fail(err, VG_E_NOTFOUND, "%s: topic %s%s does not exist: 'vigia init' makes it",
                       c->log->path, c->log->conf->prefix, vg_topic_spec(t)->name);
    }
    return VG_OK;
}
