/* The SQLite backend when the file does not do as asked: a busy writer, a lock that was deleted, a
 * full disk, a failed sync. */
#include "sqlite_log.h"
#include "vigia/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* ---- other writers ---- */

static void a_writer_that_never_ends_costs_a_verdict_and_not_the_log(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    sqlite3 *hog = NULL;
    fx->conf.verdict_ms = 1000;
    struct vg_dlog *log = make(fx);
    ok(vg_dlog_appender_open(log, &a, &err), &err);
    assert_int_equal(sqlite3_open(fx->path, &hog), SQLITE_OK);
    assert_int_equal(sqlite3_exec(hog, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    const int64_t start = clock_ms(CLOCK_MONOTONIC);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.verdicts, 1);
    assert_int_equal(t.last.result, VG_E_TIMEOUT);
    assert_true(clock_ms(CLOCK_MONOTONIC) - start >= 1000);
    assert_int_equal(sqlite3_exec(hog, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(hog);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.verdicts, 2);
    assert_int_equal(t.last.result, VG_OK);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
}

/* It holds the lock, so nobody else steps in: somebody must hear of it. */
static void an_owner_that_cannot_restore_says_so_and_goes_on_later(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_record r;
    char path[96], lines[2048];
    size_t n = 0;
    sqlite3 *hog = NULL;
    struct vg_dlog *log = make(fx);
    assert_int_equal(sqlite3_open(fx->path, &hog), SQLITE_OK);
    assert_int_equal(sqlite3_exec(hog, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    snprintf(path, sizeof path, "%s/lines", fx->dir);
    const int told = open(path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    const int real = dup(STDERR_FILENO);
    assert_true(told >= 0 && real >= 0 && dup2(told, STDERR_FILENO) >= 0);
    struct vg_dlog_processor *p = join(log, "g", "a");
    assert_true(dup2(real, STDERR_FILENO) >= 0);
    const ssize_t len = pread(told, lines, sizeof lines - 1, 0);
    assert_true(len >= 0);
    lines[len] = '\0';
    close(told);
    close(real);
    assert_false(vg_dlog_processor_active(p));
    assert_non_null(strstr(lines, "msg=log-restore-waits group=vigia.g why="));
    assert_int_equal(sqlite3_exec(hog, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(hog);
    ok(vg_dlog_processor_poll(p, 0, &r, 1, &n, &err), &err);
    assert_true(vg_dlog_processor_active(p));
    vg_dlog_processor_close(p);
    vg_dlog_close(log);
}

static void an_owner_whose_lock_file_was_deleted_cannot_commit(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_record r;
    char lock[240];
    size_t n = 0;
    struct vg_dlog *log = make(fx);
    struct vg_dlog_processor *first = join(log, "g", "a");
    struct vg_dlog_processor *second = join(log, "g", "b");
    assert_true(vg_dlog_processor_active(first));
    assert_false(vg_dlog_processor_active(second));
    snprintf(lock, sizeof lock, "%s-%sg.lock", fx->path, fx->conf.prefix);
    assert_int_equal(unlink(lock), 0);
    ok(vg_dlog_processor_poll(second, 0, &r, 1, &n, &err), &err);
    assert_true(vg_dlog_processor_active(second));
    assert_int_equal(
        vg_dlog_processor_append(first, VG_TOPIC_ALARMS, 0, VG_SPAN("k"), VG_SPAN("v")), VG_OK);
    assert_int_equal(vg_dlog_processor_commit(first, &err), VG_E_CONFLICT);
    assert_false(vg_dlog_processor_active(first));
    assert_int_equal(count(log, VG_TOPIC_ALARMS), 0);
    ok(vg_dlog_processor_poll(first, 0, &r, 1, &n, &err), &err);
    assert_false(vg_dlog_processor_active(first));
    vg_dlog_processor_close(first);
    vg_dlog_processor_close(second);
    vg_dlog_close(log);
}

/* ---- a full disk ---- */

/* A file system of 4 MB over the test's folder, seen by this process only. */
static bool mount_small(const char *dir)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("small", dir, "tmpfs", 0, "size=4m") == 0;
}

static void a_full_disk_fails_records_cleanly_until_there_is_room(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    char value[1001], ballast[96];
    if (!mount_small(fx->dir)) {
        print_message("skipped: a full disk needs the right to mount a file system\n");
        skip();
    }
    memset(value, 'x', sizeof value);
    snprintf(ballast, sizeof ballast, "%s/ballast", fx->dir);
    const int fd = open(ballast, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 2 << 20), 0);
    close(fd);
    struct vg_dlog *log = make(fx);
    ok(vg_dlog_appender_open(log, &a, &err), &err);
    for (int i = 0; i < 10000 && t.durable == t.verdicts; i++) {
        assert_int_equal(
            vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), vg_span(value, 1000), tell, &t),
            VG_OK);
        ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    }
    assert_int_equal(t.last.result, VG_E_FULL);
    assert_false(t.last.maybe_persisted);
    const int before = t.durable;
    assert_int_equal(count(log, VG_TOPIC_READINGS), before);
    assert_int_equal(unlink(ballast), 0);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.last.result, VG_OK);
    assert_int_equal(count(log, VG_TOPIC_READINGS), before + 1);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    umount2(fx->dir, MNT_DETACH);
}

static void a_full_disk_stores_a_group_whole_or_not_at_all(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    struct vg_dlog_entry entries[300];
    char value[1000];
    if (!mount_small(fx->dir)) {
        print_message("skipped: a full disk needs the right to mount a file system\n");
        skip();
    }
    memset(value, 'x', sizeof value);
    for (size_t i = 0; i < 300; i++) {
        entries[i] = (struct vg_dlog_entry){VG_SPAN("k"), vg_span(value, sizeof value)};
    }
    struct vg_dlog *log = make(fx);
    ok(vg_dlog_appender_open(log, &a, &err), &err);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(
            vg_dlog_append_group(a, VG_TOPIC_READINGS, VG_DLOG_ROUTINE, entries, 300, tell, &t),
            VG_OK);
        if (i % 4 == 3) { /* several in one flight, and no more than the queue takes */
            ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
        }
    }
    assert_int_equal(t.verdicts, 40);
    assert_in_range(t.durable, 1, 39);
    assert_int_equal(t.last.result, VG_E_FULL);
    assert_int_equal(count(log, VG_TOPIC_READINGS), 300 * t.durable);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    umount2(fx->dir, MNT_DETACH);
}

/* ---- a failed sync: SQLite's own file methods with another xSync ---- */

static sqlite3_vfs failing;
static int (*real_open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
static int (*real_sync)(sqlite3_file *, int);
static sqlite3_io_methods wal_methods;
static _Atomic bool sync_fails;

static int failing_sync(sqlite3_file *f, int flags)
{
    return sync_fails ? SQLITE_IOERR_FSYNC : real_sync(f, flags);
}

static int failing_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    const int rc = real_open(vfs, name, f, flags, out);
    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL) != 0 && f->pMethods != &wal_methods) {
        real_sync = f->pMethods->xSync;
        wal_methods = *f->pMethods;
        wal_methods.xSync = failing_sync;
        f->pMethods = &wal_methods;
    }
    return rc;
}

static void after_a_failed_sync_nothing_is_acknowledged_any_more(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    sqlite3_vfs *own = sqlite3_vfs_find(NULL);
    failing = *own;
    failing.zName = "failing";
    real_open = own->xOpen;
    failing.xOpen = failing_open;
    assert_int_equal(sqlite3_vfs_register(&failing, 1), SQLITE_OK);
    struct vg_dlog *log = make(fx);
    ok(vg_dlog_appender_open(log, &a, &err), &err);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.durable, 1);
    sync_fails = true;
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    assert_int_equal(vg_dlog_appender_drain(a, DEADLINE_MS, &err), VG_E_FATAL);
    assert_int_equal(t.verdicts, 2);
    assert_int_equal(t.last.result, VG_E_FATAL);
    assert_true(t.last.maybe_persisted);
    sync_fails = false; /* the kernel may say so now; the pages are lost all the same */
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_E_FATAL);
    assert_int_equal(vg_dlog_appender_dispatch(a, &err), VG_E_FATAL);
    assert_true(strlen(err.text) > 0);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    sqlite3_vfs_register(own, 1);
    sqlite3_vfs_unregister(&failing);
}

/* ---- a file system that may not be written ---- */

static void a_file_system_that_is_read_only_for_now_is_no_mistake_of_the_configuration(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog *log = NULL;
    if (!mount_small(fx->dir)) {
        print_message("skipped: a file system needs the right to mount it\n");
        skip();
    }
    vg_dlog_close(make(fx));
    assert_int_equal(mount(NULL, fx->dir, NULL, MS_REMOUNT | MS_RDONLY, "size=4m"), 0);
    const enum vg_err rc = vg_dlog_open(&fx->conf, "test", 0, &log, &err);
    print_message("%s: %s\n", vg_err_name(rc), err.text);
    assert_int_equal(rc, VG_E_IO); /* a start ends with 1, and is tried again */
    assert_non_null(strstr(err.text, "read-only"));
    assert_int_equal(mount(NULL, fx->dir, NULL, MS_REMOUNT, "size=4m"), 0);
    ok(vg_dlog_open(&fx->conf, "test", 0, &log, &err), &err);
    vg_dlog_close(log);
    umount2(fx->dir, MNT_DETACH);
}

static int open_for_reading(const char *path, int flags, int mode)
{
    if ((flags & O_ACCMODE) != O_RDONLY) {
        errno = ENFILE;
        return -1;
    }
    return open(path, flags, mode);
}

/* The library then opens it for reading only, without a word. */
static void a_log_that_cannot_be_opened_for_writing_now_is_no_mistake_of_it_either(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog *log = NULL;
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    vg_dlog_close(make(fx));
    vfs->xSetSystemCall(vfs, "open", (sqlite3_syscall_ptr)open_for_reading);
    const enum vg_err rc = vg_dlog_open(&fx->conf, "test", 0, &log, &err);
    vfs->xSetSystemCall(vfs, "open", NULL);
    print_message("%s: %s\n", vg_err_name(rc), err.text);
    assert_int_equal(rc, VG_E_IO);
    ok(vg_dlog_open(&fx->conf, "test", 0, &log, &err), &err);
    vg_dlog_close(log);
}

#define T(f) cmocka_unit_test_setup_teardown(f, sqlite_log_setup, sqlite_log_teardown)

int main(int argc, char **argv)
{
    vg_log_init("sqlite_faults_test", VG_LOG_WARN, VG_LOG_LOGFMT);
    const struct CMUnitTest tests[] = {
        T(a_writer_that_never_ends_costs_a_verdict_and_not_the_log),
        T(an_owner_that_cannot_restore_says_so_and_goes_on_later),
        T(an_owner_whose_lock_file_was_deleted_cannot_commit),
        T(a_full_disk_fails_records_cleanly_until_there_is_room),
        T(a_full_disk_stores_a_group_whole_or_not_at_all),
        T(a_file_system_that_is_read_only_for_now_is_no_mistake_of_the_configuration),
        T(a_log_that_cannot_be_opened_for_writing_now_is_no_mistake_of_it_either),
        T(after_a_failed_sync_nothing_is_acknowledged_any_more),
    };
    if (argc == 2) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
