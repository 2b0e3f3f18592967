/* A card that fails, and power that is cut, while a file passes from device to device. */
#include "faultvfs.h"
#include "owners.h"

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 20];
    FILE *f = fopen(from, "r");
    assert_non_null(f);
    const size_t len = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    assert_in_range(len, 4096, sizeof bytes - 1);
    f = fopen(to, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    (void)fclose(f);
}

/* As leave_rows, but the program is killed: part of the rows is in the WAL only. */
static uint64_t leave_rows_killed(struct rig *r, const char *device, int count)
{
    char wal[VG_BUFFER_FILE_MAX], kept[2][VG_BUFFER_FILE_MAX];
    (void)leave_rows(r, device, 0);
    rig_open(r);
    const uint64_t store = stats(r).store;
    for (int i = 0; i < count; i++) {
        struct vg_reading n = normal("s1", i);
        append(r, &n);
    }
    wait_until(r, routine_committed, (uint64_t)count, "the rows");
    (void)snprintf(wal, sizeof wal, "%s-wal", r->path);
    (void)snprintf(kept[0], sizeof kept[0], "%s/kept", r->folder);
    (void)snprintf(kept[1], sizeof kept[1], "%s/kept-wal", r->folder);
    copy_file(r->path, kept[0]);
    copy_file(wal, kept[1]);
    rig_close(r);
    assert_int_equal(rename(kept[0], r->path), 0);
    assert_int_equal(rename(kept[1], wal), 0);
    return store;
}

/* Gives pi-1's file to pi-2 again and again; of its reads each `step`th fails once in turn. Returns
 * how many did. */
static int refuse_reads(struct rig *r, int step, uint64_t waiting)
{
    char wal[VG_BUFFER_FILE_MAX], kept[2][VG_BUFFER_FILE_MAX];
    (void)snprintf(wal, sizeof wal, "%s-wal", r->path);
    (void)snprintf(kept[0], sizeof kept[0], "%s/kept", r->folder);
    (void)snprintf(kept[1], sizeof kept[1], "%s/kept-wal", r->folder);
    copy_file(r->path, kept[0]);
    copy_file(wal, kept[1]);
    r->options.device = "pi-2";
    int refused = 0, ended = 0;
    for (int n = 1, fired = 1; fired > 0; n += step) {
        copy_file(kept[0], r->path);
        copy_file(kept[1], wal);
        fault_arm_here(&fault_read, n, SQLITE_IOERR_CORRUPTFS);
        const enum vg_err rc = rig_try_open(r);
        fired = atomic_load(&fault_read.fired);
        fault_reset();
        refused += fired;
        if (rc == VG_OK) {
            assert_false(vg_buffer_found(r->b)->damaged);
            assert_string_equal(vg_buffer_found(r->b)->set_aside, beside(r, "pi-1"));
            assert_int_equal(vg_buffer_found(r->b)->set_aside_rows, waiting);
        } else {
            assert_int_equal(rc, VG_E_IO);
            ended++;
            rig_open(r);
        }
        rig_close(r);
        assert_int_equal(files_named(r, "damaged"), 0);
        assert_int_equal(unlink(beside(r, "pi-1")), 0);
        assert_int_equal(unlink(r->path), 0);
    }
    assert_true(ended <= 2); /* each file's header: of that the library tells only that it failed */
    return refused;
}

/* As damage they would never be sent. */
static void another_devices_rows_are_its_own_though_the_card_refuses_a_read_once(void **state)
{
    struct rig *r = *state;
    (void)leave_rows_killed(r, "pi-1", 3);
    assert_true(refuse_reads(r, 1, 4) > 3);
    /* More than the page cache holds, so that what is in it has to be read again. */
    (void)leave_rows(r, "pi-1", 0);
    run_sql(r->path, "INSERT INTO queue SELECT (1 << 62) | (1 << 38) | value, 1, zeroblob(60)"
                     " FROM series");
    (void)leave_rows_killed(r, "pi-1", 3);
    assert_true(refuse_reads(r, 23, 10005) > 3);
}

/* Wherever writing fails first while the file is set aside: it is sent by its own device or by nobody. */
static void a_card_that_fails_while_a_file_is_set_aside_loses_nothing(void **state)
{
    struct rig *r = *state;
    struct fault *const faults[] = {&fault_write, &fault_sync};
    int refused = 0;
    for (size_t f = 0; f < 2; f++) {
        bool opened = false;
        for (int after = 1; !opened; after++) {
            assert_true(after < 100);
            const uint64_t store = leave_rows_killed(r, "pi-1", 3);
            r->options.device = "pi-2";
            fault_arm(faults[f], after, SQLITE_IOERR_WRITE, FAULT_EVER);
            opened = rig_try_open(r) == VG_OK;
            if (opened) {
                assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 0);
                rig_close(r);
            } else {
                refused++;
                assert_non_null(strstr(r->err.text, r->path));
            }
            fault_reset();
            rig_open(r);
            expect_no_rows(r, "pi-2");
            rig_close(r);
            r->options.device = "pi-1";
            rig_open(r);
            assert_int_equal(take(r, VG_BUFFER_ROUTINE, "pi-1", store), 3);
            assert_int_equal(fetch(r, VG_BUFFER_URGENT, 64), 1);
            settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
            wait_until(r, rows_on_card, 0, "rows removed");
            rig_close(r);
        }
    }
    assert_true(refused > 0);
    assert_int_equal(files_named(r, "damaged"), 0);
}

/* The schema is brought forward by the first commit: there may be no room for it when it is opened. */
static void a_file_of_version_2_on_a_full_card_is_sent_and_brought_forward_later(void **state)
{
    struct rig *r = *state;
    const uint64_t store = leave_rows(r, "pi-1", 3);
    run_sql(r->path, "ALTER TABLE epochs DROP COLUMN device; PRAGMA user_version=2");
    fault_arm(&fault_write, 1, SQLITE_FULL, FAULT_EVER);
    rig_open(r);
    struct vg_reading u = smoke("s2");
    append(r, &u);
    wait_until(r, disk_is_full, 1, "the full card");
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 3);
    assert_true(r->rows[0].reading.store == store);
    vg_buffer_rewind(r->b, VG_BUFFER_ROUTINE);
    fault_reset();
    wait_until(r, urgent_committed, 1, "the alarm");
    rig_close(r);
    assert_int_equal(ask(r, "PRAGMA user_version"), 3);
    assert_int_equal(ask(r, "SELECT count(*) FROM epochs WHERE device = 'pi-1'"), 1);
    assert_int_equal(ask(r, "SELECT count(*) FROM rows WHERE lane = 1"), 3);
    r->options.device = "pi-2";
    rig_open(r);
    assert_string_equal(vg_buffer_found(r->b)->set_aside, beside(r, "pi-1"));
}

/* What a power cut leaves of a transaction that a database without WAL had begun. */
static void leave_journal(struct rig *r)
{
    char path[200], journal[2][VG_BUFFER_FILE_MAX];
    (void)snprintf(path, sizeof path, "%s/other", r->folder);
    (void)snprintf(journal[0], sizeof journal[0], "%s-journal", path);
    (void)snprintf(journal[1], sizeof journal[1], "%s-journal", r->path);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TABLE t(x); INSERT INTO t VALUES(zeroblob(20000));"
                                  "BEGIN; UPDATE t SET x = zeroblob(30000)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_db_cacheflush(db), SQLITE_OK);
    copy_file(journal[0], journal[1]);
    (void)sqlite3_close(db);
}

/* After the one rename, before the other; what the renamed file had as WAL is not yet gone from the
 * card, nor is an older file's journal. */
static void a_power_cut_between_the_renames_loses_nothing(void **state)
{
    struct rig *r = *state;
    const uint64_t store = leave_rows(r, "pi-1", 3);
    (void)leave_rows(r, "pi-2", 2);
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    append(r, &n);
    wait_until(r, routine_committed, 1, "the row");
    char wal[VG_BUFFER_FILE_MAX], kept[VG_BUFFER_FILE_MAX];
    (void)snprintf(wal, sizeof wal, "%s-wal", r->path);
    (void)snprintf(kept, sizeof kept, "%s/kept", r->folder);
    copy_file(wal, kept);
    rig_close(r);
    assert_int_equal(rename(r->path, beside(r, "pi-2")), 0);
    assert_int_equal(rename(kept, wal), 0);
    leave_journal(r);
    r->options.device = "pi-1";
    rig_open(r);
    assert_true(vg_buffer_found(r->b)->taken_back);
    assert_int_equal(vg_buffer_found(r->b)->others, 1);
    expect_rows(r, "pi-1", store, 3, 1);
}

/* The power was cut after a new file was begun, and the device then has its old name back. */
static void an_empty_file_makes_room_for_the_devices_own(void **state)
{
    struct rig *r = *state;
    for (int half = 0; half < 2; half++) {
        const uint64_t store = leave_rows(r, "pi-1", 3);
        r->options.device = "pi-2";
        rig_open(r);
        expect_no_rows(r, "pi-2");
        rig_close(r);
        if (half == 1) {
            char wal[VG_BUFFER_FILE_MAX];
            (void)snprintf(wal, sizeof wal, "%s-wal", r->path);
            (void)unlink(wal);
            assert_int_equal(truncate(r->path, 0), 0);
        }
        r->options.device = "pi-1";
        rig_open(r);
        assert_true(vg_buffer_found(r->b)->taken_back);
        assert_string_equal(vg_buffer_found(r->b)->set_aside, "");
        expect_rows(r, "pi-1", store, 3, 1);
        rig_close(r);
        assert_int_equal(files_named(r, ".of-"), 0);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup_failing_card, rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(another_devices_rows_are_its_own_though_the_card_refuses_a_read_once),
        TEST(a_card_that_fails_while_a_file_is_set_aside_loses_nothing),
        TEST(a_file_of_version_2_on_a_full_card_is_sent_and_brought_forward_later),
        TEST(a_power_cut_between_the_renames_loses_nothing),
        TEST(an_empty_file_makes_room_for_the_devices_own),
    };
    return cmocka_run_group_tests_name("whose rows a file holds, on a failing card", tests, NULL,
                                       NULL);
}
