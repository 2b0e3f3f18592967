/* The buffer as the agent sees it: order, identity, group commit, outcomes, bounds, time, refusals.
 */
#include "harness.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    rig_init(r);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    rig_done(*state);
    free(*state);
    return 0;
}

static void rows_come_back_in_order_with_their_identity(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    for (int i = 0; i < 10; i++) {
        struct vg_reading n = normal("s1", i);
        append(r, &n);
    }
    wait_until(r, routine_committed, 10, "ten rows committed");
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 10);
    for (size_t i = 0; i < 10; i++) {
        const struct vg_reading *x = &r->rows[i].reading;
        assert_int_equal(x->seq, i + 1);
        assert_int_equal(x->lane, VG_LANE_ROUTINE);
        assert_true(x->store == stats(r).store);
        assert_string_equal(x->device, "pi-1");
        assert_string_equal(x->sensor, "s1");
        assert_true(x->temperature == (double)i);
        assert_true(r->rows[i].booted);
    }
    assert_int_equal(vg_buffer_fetch(r->b, VG_BUFFER_ROUTINE, 1), VG_E_CONFLICT);
    settle(r, VG_BUFFER_ROUTINE, VG_BUFFER_DONE);
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 0);
    wait_until(r, rows_on_card, 0, "rows removed");
    assert_int_equal(stats(r).settled, 10);
}

static void an_urgent_reading_is_on_the_card_long_before_its_group(void **state)
{
    struct rig *r = *state;
    r->options.group_ms = 5000;
    rig_open(r);
    struct vg_mono start = vg_now_mono(r->clock);
    struct vg_reading s = smoke("s1");
    append(r, &s);
    wait_until(r, urgent_committed, 1, "the urgent row committed");
    assert_true(vg_mono_diff_ms(vg_now_mono(r->clock), start) < 4000);
    assert_int_equal(fetch(r, VG_BUFFER_URGENT, 1), 1);
    assert_true(r->rows[0].reading.smoke);
}

static void a_full_group_commits_before_its_time(void **state)
{
    struct rig *r = *state;
    r->options.group_ms = 5000;
    rig_open(r);
    struct vg_mono start = vg_now_mono(r->clock);
    for (int i = 0; i < VG_BUFFER_GROUP_MAX; i++) {
        struct vg_reading n = normal("s1", i);
        append(r, &n);
    }
    wait_until(r, routine_committed, VG_BUFFER_GROUP_MAX, "the group committed");
    assert_true(vg_mono_diff_ms(vg_now_mono(r->clock), start) < 4000);
    assert_int_equal(stats(r).commits, 1);
}

static void oks_and_events_travel_in_the_urgent_lane(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading ok = {.sensor = "s1", .has = VG_HAS_OK};
    struct vg_reading alive = {.sensor = "pi-1", .event = VG_EVENT_ALIVE};
    append(r, &ok);
    append(r, &alive);
    wait_until(r, urgent_committed, 2, "both committed");
    assert_int_equal(fetch(r, VG_BUFFER_URGENT, 8), 2);
    assert_int_equal(r->rows[0].reading.has, VG_HAS_OK);
    assert_int_equal(r->rows[1].reading.event, VG_EVENT_ALIVE);
}

static void a_row_keeps_its_store_across_opens_and_numbers_begin_anew(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    append(r, &n);
    uint64_t first = stats(r).store;
    rig_close(r);
    rig_open(r);
    uint64_t second = stats(r).store;
    assert_true(first != second);
    append(r, &n);
    wait_until(r, routine_committed, 1, "the second row");
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 2);
    assert_true(r->rows[0].reading.store == first && r->rows[0].reading.seq == 1);
    assert_true(r->rows[1].reading.store == second && r->rows[1].reading.seq == 1);
}

static void rows_without_an_outcome_are_offered_again_after_a_restart(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    append(r, &n);
    append(r, &n);
    wait_until(r, routine_committed, 2, "rows");
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 2), 2);
    r->count = 1;
    settle(r, VG_BUFFER_ROUTINE, VG_BUFFER_DONE);
    rig_close(r);
    rig_open(r);
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 2), 1);
    assert_int_equal(r->rows[0].reading.seq, 2);
}

static void a_rewind_offers_rows_in_flight_again(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    append(r, &n);
    wait_until(r, routine_committed, 1, "row");
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 2), 1);
    vg_buffer_rewind(r->b, VG_BUFFER_ROUTINE);
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 2), 1);
}

static bool waiting_told(struct rig *r, uint64_t value)
{
    return r->waiting[VG_BUFFER_ROUTINE] > value;
}

static void parked_rows_are_offered_again_when_their_time_comes(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    append(r, &n);
    append(r, &n);
    wait_until(r, routine_committed, 2, "rows");
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 2), 2);
    r->waiting[VG_BUFFER_ROUTINE] = 0;
    vg_buffer_dispatch(r->b);
    unsigned told = r->waiting[VG_BUFFER_ROUTINE];
    settle(r, VG_BUFFER_ROUTINE, VG_BUFFER_PARKED);
    wait_until(r, waiting_told, told, "the end of parking");
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 2), 2);
    assert_int_equal(r->rows[0].reading.seq, 1);
    settle(r, VG_BUFFER_ROUTINE, VG_BUFFER_DONE);
    wait_until(r, rows_on_card, 0, "rows removed");
    assert_int_equal(stats(r).parked, 2);
}

static int64_t ask(struct rig *r, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open_v2(r->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
    return v;
}

/* `series` stands for the numbers from 1 to 10,000 in a table of one column, `value`. */
static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TEMP VIEW series AS WITH RECURSIVE n(value) AS (SELECT 1"
                                  " UNION ALL SELECT value + 1 FROM n LIMIT 10000) SELECT * FROM n",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

static void refused_rows_are_kept_in_quarantine_with_their_code(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    append(r, &n);
    wait_until(r, routine_committed, 1, "row");
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 2), 1);
    settle(r, VG_BUFFER_ROUTINE, VG_BUFFER_QUARANTINED);
    wait_until(r, rows_on_card, 0, "row moved");
    assert_int_equal(stats(r).quarantined, 1);
    rig_close(r);
    assert_int_equal(ask(r, "SELECT code FROM quarantine WHERE seq = 1 AND lane = 1"), 150);
}

static void outcomes_beyond_what_was_handed_out_are_refused(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_buffer_outcome o = {.store = 1, .seq = 1};
    assert_int_equal(vg_buffer_settle(r->b, VG_BUFFER_URGENT, &o, 1), VG_E_RANGE);
    assert_int_equal(vg_buffer_fetch(r->b, VG_BUFFER_URGENT, 0), VG_E_RANGE);
    assert_int_equal(vg_buffer_fetch(r->b, VG_BUFFER_URGENT, VG_BUFFER_FETCH_MAX + 1), VG_E_RANGE);
    struct vg_reading bad = {.sensor = ""};
    assert_int_equal(vg_buffer_append(r->b, &bad, vg_now_boot(r->clock)), VG_E_INVALID);
}

static bool evicted(struct rig *r, uint64_t value)
{
    return stats(r).evicted >= value;
}

static bool gap_waits(struct rig *r, uint64_t value)
{
    return stats(r).rows[VG_BUFFER_URGENT] > value;
}

/* Waits for a gap event in the urgent lane that begins like `text`; settles all it passes. */
static void expect_gap(struct rig *r, const char *text)
{
    struct vg_mono deadline = vg_mono_add_ms(vg_now_mono(r->clock), DEADLINE_MS);
    while (vg_now_mono(r->clock).ns < deadline.ns) {
        (void)fetch(r, VG_BUFFER_URGENT, 64);
        for (size_t i = 0; i < r->count; i++) {
            const struct vg_reading *x = &r->rows[i].reading;
            if (x->event == VG_EVENT_GAP && strncmp(x->event_text, text, strlen(text)) == 0) {
                assert_string_equal(x->sensor, "pi-1");
                return;
            }
        }
        settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    }
    fail_msg("no gap event like: %s", text);
}

static void a_full_buffer_gives_up_the_oldest_routine_rows_and_says_so(void **state)
{
    struct rig *r = *state;
    r->options.max_bytes = 131072;
    rig_open(r);
    struct vg_reading s = smoke("s1");
    for (int i = 0; i < 20; i++) {
        append(r, &s);
    }
    wait_until(r, urgent_committed, 20, "urgent rows");
    uint64_t sent = 0;
    while (!evicted(r, 300)) {
        struct vg_reading n = normal("s2", 1);
        if (vg_buffer_append(r->b, &n, vg_now_boot(r->clock)) == VG_OK) {
            sent++;
        } else {
            wait_until(r, routine_committed, sent, "room in the ring");
        }
        assert_true(sent < 100000);
    }
    wait_until(r, routine_committed, sent, "all committed");
    wait_until(r, gap_waits, 20, "the gap event");
    struct vg_buffer_stats s1 = stats(r);
    assert_true(s1.bytes <= r->options.max_bytes);
    assert_true(s1.rows[VG_BUFFER_URGENT] >= 21);
    /* What is left is the newest of the lane. */
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 1), 1);
    assert_true(r->rows[0].reading.seq > 300);
    expect_gap(r, "full lane=r count=");
}

/* A small buffer that was closed, so that a test may put into its file what years would. */
static void make_small(struct rig *r)
{
    r->options.max_bytes = 65536;
    r->options.boot_id = "boot-one";
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    append(r, &n);
    rig_close(r);
}

/* Alarms that are committed to it can still be fetched. */
static void expect_room_for_alarms(struct rig *r, uint64_t count)
{
    rig_open(r);
    struct vg_reading x = smoke("s2");
    for (uint64_t i = 0; i < count; i++) {
        append(r, &x);
        wait_until(r, urgent_committed, stats(r).appended[VG_BUFFER_URGENT], "the alarm");
    }
    size_t alarms = 0;
    while (fetch(r, VG_BUFFER_URGENT, 64) > 0) {
        for (size_t i = 0; i < r->count; i++) {
            alarms += r->rows[i].reading.smoke ? 1 : 0;
        }
        settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    }
    assert_int_equal(alarms, count);
}

static void anchors_of_a_long_boot_leave_a_small_buffer_room_for_readings(void **state)
{
    struct rig *r = *state;
    make_small(r);
    run_sql(r->path,
            "INSERT INTO anchors SELECT (SELECT max(boot) FROM boots), value *"
            " 600000000000, 1793194820000 + value * 600000 FROM series WHERE value <= 8192");
    expect_room_for_alarms(r, 3);
    assert_true(stats(r).bytes <= r->options.max_bytes);
    assert_int_equal(stats(r).evicted, 0);
    rig_close(r);
    /* The newest stay: they tell the time of what waits. */
    assert_int_equal(ask(r, "SELECT max(at) FROM anchors"), 8192 * 600000000000LL);
    assert_in_range(ask(r, "SELECT count(*) FROM anchors"), 100, 200);
}

static void a_full_quarantine_leaves_a_small_buffer_room_for_readings(void **state)
{
    struct rig *r = *state;
    make_small(r);
    run_sql(r->path, "INSERT INTO quarantine SELECT value, 1, 1, value, 150, 0, zeroblob(1200)"
                     " FROM series WHERE value <= 1000");
    expect_room_for_alarms(r, 3);
    assert_true(stats(r).bytes <= r->options.max_bytes);
    assert_int_equal(stats(r).evicted, 0);
    rig_close(r);
    assert_int_equal(ask(r, "SELECT max(n) FROM quarantine"), 1000);
    assert_in_range(ask(r, "SELECT count(*) FROM quarantine"), 4, 20);
}

static void whatever_else_fills_the_file_the_newest_rows_can_still_be_fetched(void **state)
{
    struct rig *r = *state;
    make_small(r);
    /* Boots that left one row each take more room than their rows. */
    run_sql(r->path, "INSERT INTO boots SELECT 100 + value, printf('%0100d', value) FROM"
                     " series WHERE value <= 900;"
                     "INSERT INTO epochs SELECT 100 + value, value, 100 + value FROM"
                     " series WHERE value <= 900;"
                     "INSERT INTO queue SELECT (1 << 62) | ((100 + value) << 38) | 1, 0, row FROM"
                     " (SELECT row FROM queue LIMIT 1), series WHERE value <= 900");
    expect_room_for_alarms(r, 25);
    assert_true(evicted(r, 800));
    assert_true(fetch(r, VG_BUFFER_ROUTINE, 64) > 0);
}

/* Settles all of the urgent lane; returns how many rows its gap events count. */
static uint64_t take_gaps(struct rig *r)
{
    static const char key[] = "count=";
    uint64_t told = 0;
    while (fetch(r, VG_BUFFER_URGENT, 64) > 0) {
        for (size_t i = 0; i < r->count; i++) {
            const struct vg_reading *x = &r->rows[i].reading;
            const char *at = strstr(x->event_text, key);
            told += at != NULL ? strtoull(at + strlen(key), NULL, 10) : 0;
        }
        settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    }
    return told;
}

#define OLD_ROWS 600

/* Two commits in a row evict from more stores each than the table of gaps has places. */
static void evictions_from_many_stores_are_all_told(void **state)
{
    struct rig *r = *state;
    make_small(r);
    r->options.max_bytes = 131072;
    run_sql(r->path, "DELETE FROM queue;"
                     "INSERT INTO epochs SELECT 100 + value, value, (SELECT max(boot) FROM boots)"
                     " FROM series WHERE value <= 600;"
                     "INSERT INTO queue SELECT (1 << 62) | ((100 + value) << 38) | 1, 0,"
                     " zeroblob(600) FROM series WHERE value <= 600");
    uint64_t told = 0, left = OLD_ROWS;
    struct vg_reading x = smoke("s2");
    for (int opens = 0; opens < 4; opens++) {
        rig_open(r);
        for (int i = 0; i < 12; i++) {
            append(r, &x);
            wait_until(r, urgent_committed, stats(r).appended[VG_BUFFER_URGENT], "the alarm");
        }
        left = stats(r).rows[VG_BUFFER_ROUTINE];
        told += take_gaps(r);
        rig_close(r); /* tells what is left without a wait */
    }
    assert_in_range(left, 1, OLD_ROWS - 6 * 64);
    assert_int_equal(told, OLD_ROWS - left);
}

static void rows_older_than_the_limit_go_and_say_so(void **state)
{
    struct rig *r = *state;
    r->options.max_age_ms = 60000;
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    struct vg_boot long_ago = {vg_now_boot(r->clock).ns - 120 * VG_NS_PER_S};
    assert_int_equal(vg_buffer_append(r->b, &n, long_ago), VG_OK);
    append(r, &n);
    wait_until(r, evicted, 1, "the old row evicted");
    expect_gap(r, "age lane=r count=1 ");
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 4), 1);
    assert_int_equal(r->rows[0].reading.seq, 2);
}

static void a_full_ring_refuses_and_the_gap_counts_it(void **state)
{
    struct rig *r = *state;
    r->options.ring_bytes[VG_BUFFER_ROUTINE] = 4096;
    r->options.group_ms = 300;
    rig_open(r);
    uint64_t refused = 0;
    for (int i = 0; i < 5000; i++) {
        struct vg_reading n = normal("s1", i);
        enum vg_err e = vg_buffer_append(r->b, &n, vg_now_boot(r->clock));
        assert_true(e == VG_OK || e == VG_E_FULL);
        refused += e == VG_E_FULL ? 1 : 0;
    }
    assert_true(refused > 0);
    assert_int_equal(stats(r).refused, refused);
    wait_until(r, routine_committed, 5000 - refused, "what fitted");
    expect_gap(r, "memory lane=r count=");
}

static void rows_of_an_earlier_boot_get_their_time_from_anchors(void **state)
{
    struct rig *r = *state;
    r->options.boot_id = "boot-one";
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    assert_int_equal(vg_buffer_append(r->b, &n, (struct vg_boot){5 * VG_NS_PER_S}), VG_OK);
    vg_buffer_anchor(r->b, (struct vg_boot){10 * VG_NS_PER_S}, (struct vg_wall){1793194820000});
    rig_close(r);
    r->options.boot_id = "boot-two";
    rig_open(r);
    assert_int_equal(vg_buffer_append(r->b, &n, (struct vg_boot){5 * VG_NS_PER_S}), VG_OK);
    rig_close(r);
    r->options.boot_id = "boot-three";
    rig_open(r);
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 2), 2);
    assert_false(r->rows[0].booted);
    assert_true(r->rows[0].reading.time_ms == 1793194815000);
    assert_int_equal(r->rows[0].reading.quality, VG_QUALITY_SYNCED);
    assert_false(r->rows[1].booted);
    assert_true(r->rows[1].reading.time_ms == 0);
    assert_int_equal(r->rows[1].reading.quality, VG_QUALITY_UNSYNCED);
}

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
    run_sql(r->path, "PRAGMA application_id=1447510577; PRAGMA user_version=3; CREATE TABLE t(x)");
    expect_refusal(r, VG_E_VERSION, "version 3");
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
    run_sql(r->path,
            "CREATE TABLE old(lane INTEGER NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,"
            " taken INTEGER NOT NULL, row BLOB NOT NULL, PRIMARY KEY(lane, epoch, seq)) WITHOUT"
            " ROWID; INSERT INTO old SELECT lane, epoch, seq, taken, row FROM rows; DROP VIEW rows;"
            " DROP TABLE queue; ALTER TABLE old RENAME TO rows; PRAGMA user_version=1");
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_come_back_in_order_with_their_identity),
        TEST(an_urgent_reading_is_on_the_card_long_before_its_group),
        TEST(a_full_group_commits_before_its_time),
        TEST(oks_and_events_travel_in_the_urgent_lane),
        TEST(a_row_keeps_its_store_across_opens_and_numbers_begin_anew),
        TEST(rows_without_an_outcome_are_offered_again_after_a_restart),
        TEST(a_rewind_offers_rows_in_flight_again),
        TEST(parked_rows_are_offered_again_when_their_time_comes),
        TEST(refused_rows_are_kept_in_quarantine_with_their_code),
        TEST(outcomes_beyond_what_was_handed_out_are_refused),
        TEST(a_full_buffer_gives_up_the_oldest_routine_rows_and_says_so),
        TEST(anchors_of_a_long_boot_leave_a_small_buffer_room_for_readings),
        TEST(a_full_quarantine_leaves_a_small_buffer_room_for_readings),
        TEST(whatever_else_fills_the_file_the_newest_rows_can_still_be_fetched),
        TEST(evictions_from_many_stores_are_all_told),
        TEST(rows_older_than_the_limit_go_and_say_so),
        TEST(a_full_ring_refuses_and_the_gap_counts_it),
        TEST(rows_of_an_earlier_boot_get_their_time_from_anchors),
        TEST(a_database_of_another_program_is_refused_untouched),
        TEST(a_database_of_a_newer_version_is_refused_untouched),
        TEST(rows_of_a_file_of_version_1_are_carried_over),
        TEST(a_file_that_is_no_database_is_refused_untouched),
        TEST(a_second_process_is_told_that_the_file_is_in_use),
        TEST(options_out_of_range_are_refused),
        TEST(a_damaged_file_is_set_aside_and_a_storage_event_says_so),
        TEST(a_row_whose_checksum_is_wrong_is_dropped_and_told),
        TEST(a_backlog_of_100000_rows_opens_to_its_first_row_within_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
