/* The file of the buffer: not ours, of another version, in use, damaged; options that are refused; the
 * opening of a long backlog. */
#include "harness.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_refusal(struct rig *r, enum vg_err code, const char *part)
{
    struct stat before, after;
    assert_int_equal(stat(r->path, &before), 0);
    assert_int_equal(rig_try_open(r), code);
    assert_non_null(strstr(r->err.text, r->path));
    assert_non_null(strstr(r->err.text, part));
    assert_int_equal(stat(r->path, &after), 0);
    assert_true(before.st_size == after.st_size && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    assert_int_equal(files_named(r, "damaged"), 0);
}

static void a_database_of_another_program_is_refused_untouched(void **state)
{
    struct rig *r = *state;
    run_sql(r->path, "PRAGMA application_id=7; CREATE TABLE t(x)");
    expect_refusal(r, VG_E_VERSION,
                   "another program (application id 0x00000007); accepted: 0x56474231");
}

static void a_database_of_a_newer_version_is_refused_untouched(void **state)
{
    struct rig *r = *state;
    run_sql(r->path, "PRAGMA application_id=1447510577; PRAGMA user_version=4; CREATE TABLE t(x)");
    expect_refusal(r, VG_E_VERSION, "version 4");
}

static void rows_of_a_file_of_version_1_are_carried_over(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    uint64_t store = stats(r).store;
    for (int i = 0; i < 3; i++) {
        struct vg_reading n = normal("s1", i), u = smoke("s2");
        append(r, &n);
        append(r, &u);
    }
    rig_close(r);
    run_sql(
        r->path,
        "CREATE TABLE old(lane INTEGER NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,"
        " taken INTEGER NOT NULL, row BLOB NOT NULL, PRIMARY KEY(lane, epoch, seq)) WITHOUT"
        " ROWID; INSERT INTO old SELECT lane, epoch, seq, taken, row FROM rows; DROP VIEW rows;"
        " DROP TABLE queue; ALTER TABLE old RENAME TO rows; ALTER TABLE epochs DROP COLUMN device;"
        " PRAGMA user_version=1");
    rig_open(r);
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        assert_int_equal(fetch(r, (enum vg_buffer_lane)lane, 8), 3);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(r->rows[i].reading.seq, i + 1);
            assert_true(r->rows[i].reading.store == store);
            assert_true(r->rows[i].reading.smoke == (lane == VG_BUFFER_URGENT));
        }
    }
}

static void a_file_that_is_no_database_is_refused_untouched(void **state)
{
    struct rig *r = *state;
    FILE *f = fopen(r->path, "w");
    assert_non_null(f);
    (void)fputs("my diary\n", f);
    (void)fclose(f);
    expect_refusal(r, VG_E_VERSION, "not a database");
}

static void a_second_process_is_told_that_the_file_is_in_use(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct rig second = *r;
    assert_int_equal(rig_try_open(&second), VG_E_CONFLICT);
}

static void options_out_of_range_are_refused(void **state)
{
    struct rig *r = *state;
    struct vg_buffer_options good = r->options;
    r->options.max_bytes = 1;
    assert_int_equal(rig_try_open(r), VG_E_RANGE);
    r->options = good;
    r->options.max_age_ms = 0;
    assert_int_equal(rig_try_open(r), VG_E_RANGE);
    r->options = good;
    r->options.group_ms = 5001;
    assert_int_equal(rig_try_open(r), VG_E_RANGE);
    r->options.group_ms = 0;
    assert_int_equal(rig_try_open(r), VG_E_RANGE);
    r->options = good;
    r->options.ring_bytes[0] = 100;
    assert_int_equal(rig_try_open(r), VG_E_RANGE);
    r->options = good;
    r->options.device = "no spaces";
    assert_int_equal(rig_try_open(r), VG_E_RANGE);
    r->options = good;
    r->options.path = "/nonexistent/folder/buffer.db";
    assert_int_equal(rig_try_open(r), VG_E_NOTFOUND);
}

static void flip(struct rig *r, off_t at, size_t len)
{
    int fd = open(r->path, O_RDWR);
    assert_true(fd >= 0);
    char noise[4096];
    memset(noise, 0x5a, sizeof noise);
    assert_int_equal(pwrite(fd, noise, len, at), len);
    (void)close(fd);
}

static void a_damaged_file_is_set_aside_and_a_storage_event_says_so(void **state)
{
    struct rig *r = *state;
    static const off_t places[] = {0, 4096 + 8};
    for (size_t i = 0; i < 2; i++) {
        rig_open(r);
        for (int k = 0; k < 500; k++) {
            struct vg_reading n = normal("s1", k);
            append(r, &n);
        }
        rig_close(r);
        flip(r, places[i], 2000);
        rig_open(r);
        assert_int_equal(files_named(r, "damaged"), 2 * ((int)i + 1));
        assert_int_equal(stats(r).damaged, 1);
        wait_until(r, urgent_committed, 1, "the storage event");
        assert_int_equal(fetch(r, VG_BUFFER_URGENT, 4), 1);
        assert_int_equal(r->rows[0].reading.event, VG_EVENT_STORAGE);
        rig_close(r);
    }
}

/* Above 32 MiB a file is not read through: it looks whole until its rows are counted, for its own
 * device and for another one. */
static void a_bad_leaf_of_a_long_file_does_not_keep_the_agent_from_starting(void **state)
{
    struct rig *r = *state;
    static const char *const devices[] = {"pi-1", "pi-2"};
    for (size_t i = 0; i < 2; i++) {
        r->options.device = "pi-1";
        rig_open(r);
        struct vg_reading n = normal("s1", 1);
        append(r, &n);
        rig_close(r);
        run_sql(r->path, "INSERT INTO queue SELECT (1 << 62) + ((SELECT max(epoch) FROM epochs)"
                         " << 38) + 100 + value, 0, zeroblob(3900) FROM series");
        flip(r, 5000 * 4096, 2000);
        r->options.device = devices[i];
        rig_open(r);
        assert_true(vg_buffer_found(r->b)->damaged);
        assert_string_equal(vg_buffer_found(r->b)->set_aside, "");
        assert_int_equal(files_named(r, "buffer.db.damaged-"), 2 * ((int)i + 1));
        assert_int_equal(stats(r).damaged, 1);
        append(r, &n);
        assert_int_equal(fetch(r, VG_BUFFER_URGENT, 4), 1);
        assert_string_equal(r->rows[0].reading.event_text,
                            "damaged: file set aside, a new one begun");
        rig_close(r);
        assert_int_equal(unlink(r->path), 0);
    }
}

static void a_row_whose_checksum_is_wrong_is_dropped_and_told(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    for (int i = 0; i < 3; i++) {
        struct vg_reading n = normal("s1", i);
        append(r, &n);
    }
    rig_close(r);
    run_sql(r->path,
            "UPDATE queue SET row = zeroblob(60) WHERE place = (SELECT q.place FROM rows JOIN"
            " queue q USING(taken, row) WHERE seq = 2)");
    rig_open(r);
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 4), 2);
    assert_int_equal(r->rows[1].reading.seq, 3);
    wait_until(r, gap_waits, 0, "the gap event");
    expect_gap(r, "damaged lane=r count=1 ");
}

static void a_backlog_of_100000_rows_opens_to_its_first_row_within_a_second(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    for (int i = 0; i < 100000;) {
        struct vg_reading n = normal("sensor-0123", i);
        if (vg_buffer_append(r->b, &n, vg_now_boot(r->clock)) == VG_OK) {
            i++;
        } else {
            wait_until(r, routine_committed, stats(r).appended[1], "room in the ring");
        }
    }
    wait_until(r, routine_committed, 100000, "the backlog");
    struct vg_buffer_stats s = stats(r);
    rig_close(r);
    struct vg_mono start = vg_now_mono(r->clock);
    rig_open(r);
    struct vg_mono opened = vg_now_mono(r->clock);
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 64);
    struct vg_mono fetched = vg_now_mono(r->clock);
    print_message("100000 rows: %" PRId64
                  " bytes (%.1f per row); open %.1f ms, first rows after %.1f ms\n",
                  s.bytes, (double)s.bytes / 100000, (double)(opened.ns - start.ns) / 1e6,
                  (double)(fetched.ns - start.ns) / 1e6);
    assert_int_equal(stats(r).rows[VG_BUFFER_ROUTINE], 100000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_database_of_another_program_is_refused_untouched),
        TEST(a_database_of_a_newer_version_is_refused_untouched),
        TEST(rows_of_a_file_of_version_1_are_carried_over),
        TEST(a_file_that_is_no_database_is_refused_untouched),
        TEST(a_second_process_is_told_that_the_file_is_in_use),
        TEST(options_out_of_range_are_refused),
        TEST(a_damaged_file_is_set_aside_and_a_storage_event_says_so),
        TEST(a_bad_leaf_of_a_long_file_does_not_keep_the_agent_from_starting),
        TEST(a_row_whose_checksum_is_wrong_is_dropped_and_told),
        TEST(a_backlog_of_100000_rows_opens_to_its_first_row_within_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
