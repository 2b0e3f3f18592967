/* The buffer at its bounds: a full file, whatever fills it; rows that are too old; a full ring. */
#include "faultvfs.h"
#include "harness.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

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

static bool commits(struct rig *r, uint64_t value)
{
    return stats(r).commits >= value;
}

static bool quarantined(struct rig *r, uint64_t value)
{
    return stats(r).quarantined >= value;
}

static bool undated(struct rig *r, uint64_t value)
{
    return stats(r).undated >= value;
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

static void a_reading_that_no_kept_anchor_reaches_is_counted(void **state)
{
    struct rig *r = *state;
    make_small(r);
    static const struct {
        int anchors;
        uint64_t undated;
    } boots[] = {{1000, 0}, {8192, 1}}; /* a week, and eight: an anchor reaches 6.9 days */
    static const char *const ids[] = {"boot-two", "boot-three"};
    for (size_t i = 0; i < 2; i++) {
        char sql[400];
        (void)snprintf(sql, sizeof sql,
                       "DELETE FROM anchors; UPDATE queue SET taken = 0;"
                       "INSERT INTO anchors SELECT (SELECT min(boot) FROM boots), value *"
                       " 600000000000, 1793194820000 + value * 600000 FROM series"
                       " WHERE value <= %d",
                       boots[i].anchors);
        run_sql(r->path, sql);
        r->options.boot_id = ids[i];
        rig_open(r);
        wait_until(r, commits, 1, "the trim");
        assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 1), 1);
        assert_int_equal(r->rows[0].reading.time_ms, boots[i].undated > 0 ? 0 : 1793194820000);
        wait_until(r, undated, boots[i].undated, "the count");
        assert_int_equal(stats(r).undated, boots[i].undated);
        rig_close(r);
    }
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
    const uint64_t trimmed = stats(r).quarantine_trimmed;
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 1), 1);
    settle(r, VG_BUFFER_ROUTINE, VG_BUFFER_QUARANTINED);
    wait_until(r, quarantined, 1, "one more in quarantine");
    assert_int_equal(stats(r).quarantine_trimmed, trimmed + 1);
    rig_close(r);
    assert_int_equal(ask(r, "SELECT max(n) FROM quarantine"), 1001);
    assert_in_range(ask(r, "SELECT count(*) FROM quarantine"), 4, 20);
    assert_int_equal(ask(r, "SELECT count(*) FROM quarantine"), 1000 - trimmed);
}

static void whatever_else_fills_the_file_the_newest_rows_can_still_be_fetched(void **state)
{
    struct rig *r = *state;
    make_small(r);
    /* Boots that left one row each take more room than their rows. */
    run_sql(r->path, "INSERT INTO boots SELECT 100 + value, printf('%0100d', value) FROM"
                     " series WHERE value <= 900;"
                     "INSERT INTO epochs SELECT 100 + value, value, 100 + value, 'pi-1' FROM"
                     " series WHERE value <= 900;"
                     "INSERT INTO queue SELECT (1 << 62) | ((100 + value) << 38) | 1, 0, row FROM"
                     " (SELECT row FROM queue LIMIT 1), series WHERE value <= 900");
    expect_room_for_alarms(r, 25);
    assert_true(evicted(r, 800));
    assert_true(fetch(r, VG_BUFFER_ROUTINE, 64) > 0);
}

/* Settles all of the urgent lane; returns how many rows its gap events count. *events is increased by
 * those. */
static uint64_t take_gaps(struct rig *r, uint64_t *events)
{
    static const char key[] = "count=";
    uint64_t told = 0;
    while (fetch(r, VG_BUFFER_URGENT, 64) > 0) {
        for (size_t i = 0; i < r->count; i++) {
            const struct vg_reading *x = &r->rows[i].reading;
            const char *at = strstr(x->event_text, key);
            *events += at != NULL ? 1 : 0;
            told += at != NULL ? strtoull(at + strlen(key), NULL, 10) : 0;
        }
        settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    }
    return told;
}

#define OLD_ROWS 600

/* Two commits in a row evict from more stores each than the table of gaps has places. The first of them
 * fails and is done again: what it evicted counts once. */
static void evictions_from_many_stores_are_all_told(void **state)
{
    struct rig *r = *state;
    make_small(r);
    r->options.max_bytes = 131072;
    fault_install();
    fault_reset();
    r->options.vfs = FAULT_VFS;
    run_sql(r->path,
            "DELETE FROM queue;"
            "INSERT INTO epochs SELECT 100 + value, value, (SELECT max(boot) FROM boots), 'pi-1'"
            " FROM series WHERE value <= 600;"
            "INSERT INTO queue SELECT (1 << 62) | ((100 + value) << 38) | 1, 0,"
            " zeroblob(600) FROM series WHERE value <= 600");
    uint64_t told = 0, left = OLD_ROWS, events = 0, joined = 0;
    struct vg_reading x = smoke("s2");
    for (int opens = 0; opens < 4; opens++) {
        rig_open(r);
        if (opens == 0) {
            fault_arm(&fault_write, 1, SQLITE_FULL, 0);
        }
        for (int i = 0; i < 12; i++) {
            append(r, &x);
            wait_until(r, urgent_committed, stats(r).appended[VG_BUFFER_URGENT], "the alarm");
        }
        left = stats(r).rows[VG_BUFFER_ROUTINE];
        told += take_gaps(r, &events);
        joined += stats(r).gaps_joined;
        rig_close(r); /* tells what is left without a wait */
    }
    assert_int_equal(atomic_load(&fault_write.fired), 1);
    assert_in_range(left, 1, OLD_ROWS - 6 * 64);
    assert_int_equal(told, OLD_ROWS - left);
    /* Each row, of a store of its own, has an event of its own or is joined to one; what a close joins,
     * nobody can ask any more. */
    assert_in_range(events + joined, OLD_ROWS - left - 4 * 16, OLD_ROWS - left);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_buffer_gives_up_the_oldest_routine_rows_and_says_so),
        TEST(anchors_of_a_long_boot_leave_a_small_buffer_room_for_readings),
        TEST(a_reading_that_no_kept_anchor_reaches_is_counted),
        TEST(a_full_quarantine_leaves_a_small_buffer_room_for_readings),
        TEST(whatever_else_fills_the_file_the_newest_rows_can_still_be_fetched),
        TEST(evictions_from_many_stores_are_all_told),
        TEST(rows_older_than_the_limit_go_and_say_so),
        TEST(a_full_ring_refuses_and_the_gap_counts_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
