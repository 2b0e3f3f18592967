/* Opening the buffer's file: is it ours, is it whole, does it keep what it promises. */
#include "store.h"

#include "vigia/log.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* migrations[n] takes a file from version n to n + 1. */
static const char *const migrations[VGI_SCHEMA_VERSION] = {
    "CREATE TABLE boots(boot INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);"
    "CREATE TABLE epochs(epoch INTEGER PRIMARY KEY, store INTEGER NOT NULL, boot INTEGER NOT NULL);"
    "CREATE TABLE rows(lane INTEGER NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " taken INTEGER NOT NULL, row BLOB NOT NULL, PRIMARY KEY(lane, epoch, seq)) WITHOUT ROWID;"
    "CREATE TABLE anchors(boot INTEGER NOT NULL, at INTEGER NOT NULL, wall INTEGER NOT NULL,"
    " PRIMARY KEY(boot, at)) WITHOUT ROWID;"
    "CREATE TABLE gaps(reason INTEGER NOT NULL, lane INTEGER NOT NULL, store INTEGER NOT NULL,"
    " first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL,"
    " PRIMARY KEY(reason, lane, store)) WITHOUT ROWID;"
    "CREATE TABLE quarantine(n INTEGER PRIMARY KEY, lane INTEGER NOT NULL, store INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, code INTEGER NOT NULL, taken INTEGER NOT NULL, row BLOB NOT NULL);",
    /* Rows stand in the order of one integer: see store.h. */
    "CREATE TABLE queue(place INTEGER PRIMARY KEY, taken INTEGER NOT NULL, row BLOB NOT NULL);"
    "INSERT INTO queue SELECT (lane << 62) | (epoch << 38) | seq, taken, row FROM rows ORDER BY 1;"
    "DROP TABLE rows;"
    "CREATE VIEW rows AS SELECT place >> 62 AS lane, (place >> 38) & 16777215 AS epoch,"
    " place & 274877906943 AS seq, taken, row FROM queue;",
};
static_assert(VGI_SEQ_BITS == 38 && VGI_EPOCH_MAX == 16777215, "as the migration says");

/* What stands in a file, seen without opening it as a database. UNDONE: a power cut left a rollback
 * journal beside it (the schema was being made, or WAL being switched on), so what it holds is known
 * only once SQLite has rolled that back. */
enum look { LOOK_NEW, LOOK_OURS, LOOK_UNDONE, LOOK_DAMAGED };

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static enum vg_err refuse_version(const char *path, uint32_t version, struct vg_error *err)
{
    return vg_fail(err, VG_E_VERSION,
                   "%s: buffer of schema version %" PRIu32
                   ", made by a newer program; accepted: up to %d",
                   path, version, VGI_SCHEMA_VERSION);
}

static bool has_journal(const char *path)
{
    char journal[600];
    struct stat is;
    (void)snprintf(journal, sizeof journal, "%s-journal", path);
    return stat(journal, &is) == 0 && S_ISREG(is.st_mode) && is.st_size > 0;
}

static enum vg_err refuse_owner(const char *path, uint32_t application, struct vg_error *err)
{
    return vg_fail(err, VG_E_VERSION,
                   "%s: database of another program (application id 0x%08" PRIx32
                   "); accepted: 0x%08x",
                   path, application, (unsigned)VGI_APPLICATION_ID);
}

/* The header of the file itself (https://sqlite.org/fileformat.html §1.3): application id at 68,
 * user version at 60. A file that is no database is somebody else's unless its size is that of one.
 */
static enum vg_err look_at(const char *path, enum look *look, struct vg_error *err)
{
    struct stat is;
    if (stat(path, &is) == 0 && !S_ISREG(is.st_mode)) {
        return vg_fail(err, VG_E_INVALID,
                       "%s: is no regular file; accepted: a buffer file of this program, or none",
                       path);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno != ENOENT) {
            return vg_fail(err, errno == EACCES ? VG_E_DENIED : VG_E_IO, "%s: %s", path,
                           strerror(errno));
        }
        *look = LOOK_NEW;
        return VG_OK;
    }
    uint8_t head[100] = {0};
    struct stat st = {0};
    ssize_t got = read(fd, head, sizeof head);
    int failed = got < 0 || fstat(fd, &st) != 0 ? errno : 0;
    (void)close(fd);
    if (failed != 0) {
        return vg_fail(err, VG_E_IO, "%s: %s", path, strerror(failed));
    }
    bool whole = got == (ssize_t)sizeof head && memcmp(head, "SQLite format 3", 16) == 0;
    if (has_journal(path) && (!whole || be32(head + 68) == 0)) {
        *look = LOOK_UNDONE;
        return VG_OK;
    }
    if (got == 0) {
        *look = LOOK_NEW;
        return VG_OK;
    }
    if (!whole) {
        if (st.st_size % VGI_PAGE_BYTES != 0) {
            return vg_fail(err, VG_E_VERSION,
                           "%s: not a database; accepted: a buffer file of this program, or none",
                           path);
        }
        *look = LOOK_DAMAGED;
        return VG_OK;
    }
    uint32_t application = be32(head + 68);
    if (application != VGI_APPLICATION_ID) {
        return refuse_owner(path, application, err);
    }
    if (be32(head + 60) > VGI_SCHEMA_VERSION) {
        return refuse_version(path, be32(head + 60), err);
    }
    *look = LOOK_OURS;
    return VG_OK;
}

/* Removes the oldest files set aside before, so that damage that comes again cannot fill the card.
 */
static void forget_damaged(const char *path)
{
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    const char *name = slash != NULL ? path + (slash - folder) + 1 : path;
    if (slash != NULL) {
        slash[1] = '\0';
    }
    char prefix[300];
    (void)snprintf(prefix, sizeof prefix, "%s.damaged-", name);
    for (int rounds = 0; rounds < 16; rounds++) {
        DIR *d = opendir(slash != NULL ? folder : ".");
        if (d == NULL) {
            return;
        }
        size_t count = 0;
        char oldest[NAME_MAX + 1] = "";
        for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
            size_t len = strlen(e->d_name);
            bool wal = len > 4 && strcmp(e->d_name + len - 4, "-wal") == 0;
            if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && !wal) {
                count++;
                if (oldest[0] == '\0' || strcmp(e->d_name, oldest) < 0) {
                    (void)vg_str_copy(e->d_name, oldest, sizeof oldest);
                }
            }
        }
        (void)closedir(d);
        if (count <= VGI_DAMAGED_MAX) {
            return;
        }
        char victim[sizeof folder + sizeof oldest + 8];
        (void)snprintf(victim, sizeof victim, "%s%s", slash != NULL ? folder : "", oldest);
        (void)unlink(victim);
        (void)snprintf(victim, sizeof victim, "%s%s-wal", slash != NULL ? folder : "", oldest);
        (void)unlink(victim);
    }
}

static enum vg_err set_aside(const char *path, int64_t wall_s, struct vg_error *err)
{
    char from[600], to[640];
    /* The second part keeps two in one second apart. */
    for (int n = 0; n < 100; n++) {
        (void)snprintf(to, sizeof to, "%s.damaged-%010" PRId64 "%s%.*d", path, wall_s,
                       n > 0 ? "." : "", n > 0 ? 2 : 0, n);
        if (access(to, F_OK) != 0) {
            break;
        }
    }
    if (rename(path, to) != 0 && errno != ENOENT) {
        return vg_fail(err, VG_E_IO, "%s: damaged, and cannot be renamed: %s", path,
                       strerror(errno));
    }
    /* A WAL left behind would be replayed into the new file. */
    (void)snprintf(from, sizeof from, "%s-wal", path);
    (void)snprintf(to + strlen(to), sizeof to - strlen(to), "-wal");
    if (rename(from, to) != 0 && errno != ENOENT) {
        return vg_fail(err, VG_E_IO, "%s: damaged, and cannot be renamed: %s", from,
                       strerror(errno));
    }
    forget_damaged(path);
    return VG_OK;
}

static int read_int(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
            *out = sqlite3_column_int64(st, 0);
            rc = SQLITE_OK;
        }
    }
    int done = sqlite3_finalize(st);
    return rc == SQLITE_OK ? done : rc;
}

static bool reads_back(sqlite3 *db, const char *sql, const char *expect)
{
    sqlite3_stmt *st = NULL;
    bool same = false;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        same = text != NULL && strcmp(text, expect) == 0;
    }
    (void)sqlite3_finalize(st);
    return same;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct vgi_store *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

static int keep_wal(sqlite3 *db)
{
    /* The WAL is kept at its size: on a full disk its pages are the space in which evictions can
     * still be written. */
    int yes = 1;
    return sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &yes);
}

/* The schema, made or brought forward in one transaction. A new file gets its ids before WAL
 * begins, so that they stand in the file's own header. */
static int migrate(struct vgi_store *s, bool fresh, struct vg_error *err)
{
    int64_t version = 0;
    int rc = read_int(s->db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK && version > VGI_SCHEMA_VERSION) {
        (void)refuse_version(s->path, (uint32_t)version, err);
        return SQLITE_MISMATCH;
    }
    if (rc != SQLITE_OK || version == VGI_SCHEMA_VERSION) {
        return rc;
    }
    char sql[120];
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
                   VGI_APPLICATION_ID, VGI_SCHEMA_VERSION);
    rc = sqlite3_exec(s->db, fresh ? "PRAGMA page_size=4096; BEGIN IMMEDIATE" : "BEGIN IMMEDIATE",
                      NULL, NULL, NULL);
    for (int64_t v = version; rc == SQLITE_OK && v < VGI_SCHEMA_VERSION; v++) {
        rc = sqlite3_exec(s->db, migrations[v], NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}

/* Sets, and reads back, what the promise rests on. */
static int configure(struct vgi_store *s, struct vg_error *err)
{
    int rc = sqlite3_exec(s->db,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                          "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=8388608;"
                          "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON;"
                          "PRAGMA trusted_schema=OFF",
                          NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        return rc;
    }
    static const char *const expected[][3] = {
        {"PRAGMA journal_mode", "wal", "journal_mode"},
        {"PRAGMA synchronous", "2", "synchronous"},
        {"PRAGMA locking_mode", "exclusive", "locking_mode"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        if (!reads_back(s->db, expected[i][0], expected[i][1])) {
            (void)vg_fail(err, VG_E_INVALID, "%s: %s did not read back as %s", s->path,
                          expected[i][2], expected[i][1]);
            return SQLITE_MISMATCH;
        }
    }
    (void)sqlite3_wal_hook(s->db, on_wal, s);
    return keep_wal(s->db);
}

static int check_whole(struct vgi_store *s)
{
    int64_t pages = 0;
    int rc = read_int(s->db, "PRAGMA page_count", &pages);
    if (rc == SQLITE_OK && pages * VGI_PAGE_BYTES <= VGI_CHECK_MAX_BYTES &&
        !reads_back(s->db, "PRAGMA quick_check(1)", "ok")) {
        rc = sqlite3_errcode(s->db);
        rc = rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
    }
    return rc;
}

/* Epoch numbers have run out, after VGI_EPOCH_MAX opens: they begin again once nothing waits. */
static int begin_anew(struct vgi_store *s)
{
    int64_t waiting = 0;
    int rc = read_int(s->db, "SELECT EXISTS (SELECT 1 FROM queue)", &waiting);
    if (rc == SQLITE_OK) {
        rc = waiting != 0 ? SQLITE_TOOBIG : sqlite3_exec(s->db, "DELETE FROM epochs", 0, 0, 0);
    }
    s->epoch = 1;
    return rc;
}

/* This boot's row and this open's epoch number; both are written by the first transaction. Epochs
 * without rows go then. */
static int place(struct vgi_store *s)
{
    int64_t highest = 0;
    int rc = read_int(s->db, "SELECT coalesce(max(epoch), 0) FROM epochs", &highest);
    if (rc == SQLITE_OK && s->epoch <= highest) {
        s->epoch = highest + 1;
    }
    if (rc == SQLITE_OK && s->epoch > VGI_EPOCH_MAX) {
        rc = begin_anew(s);
    }
    s->boot = 0;
    sqlite3_stmt *st = NULL;
    if (rc == SQLITE_OK) {
        rc = sqlite3_prepare_v2(s->db, "SELECT boot FROM boots WHERE id = ?", -1, &st, NULL);
    }
    if (rc == SQLITE_OK) {
        (void)sqlite3_bind_text(st, 1, s->boot_id, -1, SQLITE_STATIC);
        rc = sqlite3_step(st);
        s->boot = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
    }
    (void)sqlite3_finalize(st);
    if (rc == SQLITE_OK && s->boot == 0) {
        rc = read_int(s->db, "SELECT coalesce(max(boot), 0) + 1 FROM boots", &s->boot);
    }
    s->registered = false;
    return rc;
}

/* Rolls back what a power cut left (the first read does), and looks at what was there before. */
static int look_again(struct vgi_store *s, bool *fresh, struct vg_error *err)
{
    int64_t application = 0, objects = 0;
    int rc = read_int(s->db, "PRAGMA application_id", &application);
    if (rc == SQLITE_OK) {
        rc = read_int(s->db, "SELECT count(*) FROM sqlite_schema", &objects);
    }
    *fresh = application == 0 && objects == 0;
    if (rc == SQLITE_OK && !*fresh && application != VGI_APPLICATION_ID) {
        (void)refuse_owner(s->path, (uint32_t)application, err);
        return SQLITE_MISMATCH;
    }
    return rc;
}

/* One attempt. SQLITE_MISMATCH: *err is filled. */
static int attempt(struct vgi_store *s, enum look look, struct vg_error *err)
{
    int rc = sqlite3_open_v2(s->path, &s->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_PRIVATECACHE,
                             s->vfs[0] != '\0' ? s->vfs : NULL);
    if (rc != SQLITE_OK) {
        return rc;
    }
    (void)sqlite3_extended_result_codes(s->db, 1);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    char sql[100];
    (void)snprintf(sql, sizeof sql, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-%d",
                   VGI_CACHE_KIB);
    bool fresh = look == LOOK_NEW;
    rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK && look == LOOK_UNDONE) {
        rc = look_again(s, &fresh, err);
    }
    if (rc == SQLITE_OK) {
        rc = migrate(s, fresh, err);
    }
    if (rc == SQLITE_OK) {
        rc = configure(s, err);
    }
    if (rc == SQLITE_OK) {
        rc = check_whole(s);
    }
    return rc == SQLITE_OK ? place(s) : rc;
}

static enum vg_err explain(struct vgi_store *s, int rc, struct vg_error *err)
{
    /* What was undone since may have put its own message in the place of the failure's. */
    const bool told = s->db != NULL && (sqlite3_errcode(s->db) & 0xff) == (rc & 0xff);
    const char *text = told ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
    enum vg_err class;
    switch (rc & 0xff) {
    case SQLITE_MISMATCH:
        return err->code;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return vg_fail(err, VG_E_CONFLICT, "%s: in use by another process", s->path);
    case SQLITE_NOMEM:
        class = VG_E_NOMEM;
        break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        class = VG_E_DENIED;
        break;
    case SQLITE_CANTOPEN: {
        int number = s->db == NULL ? 0 : sqlite3_system_errno(s->db);
        class = number == 0 ? VG_E_NOTFOUND : vg_err_of_errno(number);
        return vg_fail(err, class, "%s: %s; accepted: a file in a folder that exists", s->path,
                       s->db == NULL ? text : strerror(number));
    }
    case SQLITE_TOOBIG:
        return vg_fail(err, VG_E_FULL,
                       "%s: opened %lld times while readings waited; accepted: a new file", s->path,
                       VGI_EPOCH_MAX);
    default:
        class = VG_E_IO;
    }
    return vg_fail(err, class, "%s: %s", s->path, text);
}

void vgi_store_close(struct vgi_store *s)
{
    vgi_store_finalize(s);
    (void)sqlite3_close(s->db);
    s->db = NULL;
}

static enum vg_err open_file(struct vgi_store *s, int64_t wall_s, bool *damaged,
                             struct vg_error *err)
{
    struct vg_error detail = {0};
    for (int round = 0;; round++) {
        enum look look = LOOK_NEW;
        enum vg_err e = look_at(s->path, &look, &detail);
        int rc = SQLITE_OK;
        if (e == VG_OK && look != LOOK_DAMAGED) {
            rc = attempt(s, look, &detail);
            if (rc == SQLITE_OK) {
                return VG_OK;
            }
        }
        bool broken =
            e == VG_OK && (look == LOOK_DAMAGED || vgi_store_classify(rc) == VGI_FAULT_DAMAGED);
        if (e == VG_OK && !broken) {
            e = explain(s, rc, &detail);
        }
        vgi_store_close(s);
        if (broken && round == 0) {
            e = set_aside(s->path, wall_s, &detail);
            *damaged = true;
        } else if (broken) {
            e = vg_fail(&detail, VG_E_CORRUPT, "%s: damaged again as soon as it was made", s->path);
        }
        if (e != VG_OK) {
            if (err != NULL) {
                *err = detail;
            }
            return e;
        }
    }
}

enum vg_err vgi_store_open(struct vgi_store *s, const char *path, const char *vfs,
                           const char *boot_id, uint64_t id, int64_t wall_s, bool *damaged,
                           struct vg_error *err)
{
    memset(s, 0, sizeof *s);
    *damaged = false;
    if (sqlite3_libversion_number() < VG_FLOOR_SQLITE) {
        return vg_fail(err, VG_E_UNSUPPORTED, "SQLite %s is too old; accepted: %d and later",
                       sqlite3_libversion(), VG_FLOOR_SQLITE);
    }
    s->id = id;
    if (!vg_str_copy(path, s->path, sizeof s->path) ||
        !vg_str_copy(vfs != NULL ? vfs : "", s->vfs, sizeof s->vfs) ||
        !vg_str_copy(boot_id, s->boot_id, sizeof s->boot_id)) {
        return vg_fail(err, VG_E_RANGE, "buffer: path, VFS or boot id too long");
    }
    (void)sqlite3_hard_heap_limit64(VGI_HEAP_MAX_BYTES);
    return open_file(s, wall_s, damaged, err);
}

enum vg_err vgi_store_replace(struct vgi_store *s, int64_t wall_s, struct vg_error *err)
{
    bool again;
    vgi_store_close(s);
    enum vg_err e = set_aside(s->path, wall_s, err);
    return e != VG_OK ? e : open_file(s, wall_s, &again, err);
}
