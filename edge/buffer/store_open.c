/* Opening the buffer's file: is it ours, is it whole, does it keep what it promises. */
#include "look.h"
#include "store.h"

#include "vigia/file.h"
#include "vigia/span.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
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
    /* Whose rows they are; '' where an older version did not write it down. */
    "ALTER TABLE epochs ADD COLUMN device TEXT NOT NULL DEFAULT '';",
};
static_assert(VGI_SEQ_BITS == 38 && VGI_EPOCH_MAX == 16777215, "as the migration says");

/* A file given way to may have to give way itself: by hand, two may have changed places. */
#define OWN_ROUNDS 4

int vgi_store_number(sqlite3 *db, const char *sql, int64_t *out)
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
    int rc = vgi_store_number(s->db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK && version > VGI_SCHEMA_VERSION) {
        (void)vgi_refuse_version(s->path, (uint32_t)version, err);
        return SQLITE_MISMATCH;
    }
    s->forward = version == VGI_SCHEMA_LATER;
    if (rc != SQLITE_OK || version >= VGI_SCHEMA_LATER) {
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

bool vgi_store_forward(struct vgi_store *s)
{
    if (!s->forward) {
        return true;
    }
    char sql[40];
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version=%d", VGI_SCHEMA_VERSION);
    int rc = sqlite3_exec(s->db, migrations[VGI_SCHEMA_LATER], NULL, NULL, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    }
    return rc == SQLITE_OK || vgi_store_failed(s, rc, "bring forward");
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
    int rc = vgi_store_number(s->db, "PRAGMA page_count", &pages);
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
    int rc = vgi_store_number(s->db, "SELECT EXISTS (SELECT 1 FROM queue)", &waiting);
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
    int rc = vgi_store_number(s->db, "SELECT coalesce(max(epoch), 0) FROM epochs", &highest);
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
        rc = vgi_store_number(s->db, "SELECT coalesce(max(boot), 0) + 1 FROM boots", &s->boot);
    }
    s->registered = false;
    return rc;
}

/* Rolls back what a power cut left (the first read does), and looks at what was there before. */
static int look_again(struct vgi_store *s, bool *fresh, struct vg_error *err)
{
    int64_t application = 0, objects = 0;
    int rc = vgi_store_number(s->db, "PRAGMA application_id", &application);
    if (rc == SQLITE_OK) {
        rc = vgi_store_number(s->db, "SELECT count(*) FROM sqlite_schema", &objects);
    }
    *fresh = application == 0 && objects == 0;
    if (rc == SQLITE_OK && !*fresh && application != VGI_APPLICATION_ID) {
        (void)vgi_refuse_owner(s->path, (uint32_t)application, err);
        return SQLITE_MISMATCH;
    }
    return rc;
}

/* One attempt. SQLITE_MISMATCH: *err is filled. */
static int attempt(struct vgi_store *s, enum vgi_look look, struct vg_error *err)
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
    bool fresh = look == VGI_LOOK_NEW;
    rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK && look == VGI_LOOK_UNDONE) {
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
    if (rc == SQLITE_OK) {
        rc = place(s);
    }
    return rc == SQLITE_OK ? vgi_store_whose(s) : rc;
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
        /* The library opens what it may not open for writing, for want of descriptors or inodes
         * too, for reading only: what passes is no mistake of the configuration. */
        class = vg_sqlite_may_write(s->path) ? VG_E_IO : VG_E_DENIED;
        break;
    case SQLITE_CANTOPEN: {
        int number = s->db == NULL ? 0 : sqlite3_system_errno(s->db);
        class = number == 0 ? VG_E_NOTFOUND : vg_err_of_errno(number);
        if ((class == VG_E_NOTFOUND || class == VG_E_DENIED) && vg_sqlite_may_write(s->path)) {
            return vg_fail(err, VG_E_IO, "%s: cannot be opened now; its permissions allow it",
                           s->path);
        }
        return vg_fail(err, class, "%s: %s; accepted: a file in a folder that exists", s->path,
                       s->db == NULL ? text : strerror(number));
    }
    case SQLITE_FULL:
        return vg_fail(err, VG_E_FULL,
                       "%s: no space left on its file system; make room there and start again",
                       s->path);
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
        enum vgi_look look = VGI_LOOK_NEW;
        enum vg_err e = vgi_look_at(s->path, &look, &detail);
        int rc = SQLITE_OK;
        if (e == VG_OK && look != VGI_LOOK_DAMAGED) {
            rc = attempt(s, look, &detail);
            if (vgi_store_classify(rc) == VGI_FAULT_DAMAGED) {
                /* A read that failed looks like damage, and may not fail again; what is set aside
                 * is not read again, and its rows are lost. */
                vgi_store_close(s);
                rc = attempt(s, look, &detail);
            }
            if (rc == SQLITE_OK) {
                return VG_OK;
            }
        }
        bool broken =
            e == VG_OK && (look == VGI_LOOK_DAMAGED || vgi_store_classify(rc) == VGI_FAULT_DAMAGED);
        if (e == VG_OK && !broken) {
            e = explain(s, rc, &detail);
        }
        vgi_store_close(s);
        if (broken && round == 0) {
            e = vgi_beside_damaged(s->path, wall_s, s->aside, &s->asides_removed, &detail);
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

/* What waits in a file is its device's. One in which nothing is goes to whoever opens it, and makes
 * room for the device's own if that is beside. */
static enum vg_err is_own(const struct vgi_store *s, bool *own, struct vg_error *err)
{
    bool beside;
    if (s->kept) {
        *own = s->owner[0] == '\0' || strcmp(s->owner, s->device) == 0;
        return VG_OK;
    }
    enum vg_err e = vgi_beside_has(s->path, s->device, &beside, err);
    *own = !beside;
    return e;
}

/* What the file holds; and everything into the file itself, so that one rename moves it: the close
 * then removes the WAL. */
static int ready_to_move(struct vgi_store *s, struct vgi_inside *in)
{
    int no = 0;
    int rc = vgi_store_inside(s, in);
    if (rc == SQLITE_OK) {
        rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    return rc == SQLITE_OK ? sqlite3_file_control(s->db, "main", SQLITE_FCNTL_PERSIST_WAL, &no)
                           : rc;
}

/* Another device's file, or one in which nothing is. */
static enum vg_err give_way(struct vgi_store *s, int64_t wall_s, struct vg_buffer_found *found,
                            struct vg_error *err)
{
    struct vgi_inside in = {0};
    int rc = ready_to_move(s, &in);
    /* A long file is not read through when it is opened. As in open_file, it is asked twice. */
    if (vgi_store_classify(rc) == VGI_FAULT_DAMAGED) {
        rc = ready_to_move(s, &in);
    }
    const bool damaged = vgi_store_classify(rc) == VGI_FAULT_DAMAGED;
    enum vg_err e = rc == SQLITE_OK || damaged ? VG_OK : explain(s, rc, err);
    vgi_store_close(s);
    if (e != VG_OK) {
        return e;
    }
    if (damaged) {
        found->damaged = true;
        return vgi_beside_damaged(s->path, wall_s, s->aside, &s->asides_removed, err);
    }
    if (!in.waits && !in.refused) {
        return vgi_beside_remove(s->path, err);
    }
    char name[VGI_BESIDE_MAX];
    if (in.waits) {
        vgi_beside_name(s->path, s->owner, name);
        e = vgi_beside_put(s->path, s->owner, err);
    } else {
        e = vgi_beside_refused(s->path, wall_s, name, &s->asides_removed, err);
    }
    if (e == VG_OK) {
        (void)vg_str_copy(name, found->set_aside, sizeof found->set_aside);
        found->set_aside_rows = in.waits ? (uint64_t)in.rows : 0;
    }
    return e;
}

static enum vg_err open_own(struct vgi_store *s, int64_t wall_s, struct vg_buffer_found *found,
                            struct vg_error *err)
{
    for (int round = 0; round < OWN_ROUNDS; round++) {
        bool own = false;
        enum vg_err e = vgi_beside_take(s->path, s->device, &found->taken_back, err);
        if (e == VG_OK) {
            e = open_file(s, wall_s, &found->damaged, err);
        }
        if (e == VG_OK) {
            e = is_own(s, &own, err);
        }
        if (e == VG_OK && own) {
            return vgi_beside_others(s->path, &found->others, err);
        }
        if (e == VG_OK) {
            e = give_way(s, wall_s, found, err);
        }
        if (e != VG_OK) {
            return e;
        }
    }
    return vg_fail(err, VG_E_EXISTS,
                   "%s: the file beside it that is named after '%s' holds another device's rows, "
                   "again and again; accepted: a file that is named after its device",
                   s->path, s->device);
}

enum vg_err vgi_store_open(struct vgi_store *s, const struct vgi_opening *how,
                           struct vg_buffer_found *found, struct vg_error *err)
{
    memset(s, 0, sizeof *s);
    memset(found, 0, sizeof *found);
    if (sqlite3_libversion_number() < VG_FLOOR_SQLITE) {
        return vg_fail(err, VG_E_UNSUPPORTED, "SQLite %s is too old; accepted: %d and later",
                       sqlite3_libversion(), VG_FLOOR_SQLITE);
    }
    s->id = how->id;
    if (!vg_str_copy(how->path, s->path, sizeof s->path) ||
        !vg_str_copy(how->vfs != NULL ? how->vfs : "", s->vfs, sizeof s->vfs) ||
        !vg_str_copy(how->device, s->device, sizeof s->device) ||
        !vg_str_copy(how->boot_id, s->boot_id, sizeof s->boot_id)) {
        return vg_fail(err, VG_E_RANGE, "buffer: path, VFS, device or boot id too long");
    }
    (void)sqlite3_hard_heap_limit64(VGI_HEAP_MAX_BYTES);
    return open_own(s, how->wall_s, found, err);
}

enum vg_err vgi_store_replace(struct vgi_store *s, int64_t wall_s, struct vg_error *err)
{
    bool again;
    vgi_store_close(s);
    enum vg_err e = vgi_beside_damaged(s->path, wall_s, s->aside, &s->asides_removed, err);
    return e != VG_OK ? e : open_file(s, wall_s, &again, err);
}
