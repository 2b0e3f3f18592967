/* A card that refuses reads, and a file damaged under our hands: what is read is asked for twice. */
#include "faultvfs.h"
#include "harness.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#define BACKLOG 20000 /* rows: more than the page cache holds, so that a fetch has to read */

static void make_backlog(struct rig *r)
{
    rig_open(r);
    for (uint64_t i = 0; i < BACKLOG;) {
        struct vg_reading n = normal("s1", 1);
        if (vg_buffer_append(r->b, &n, vg_now_boot(r->clock)) == VG_OK) {
            i++;
        } else {
            wait_until(r, routine_committed, i, "room in the ring");
        }
    }
    rig_close(r);
    rig_open(r);
}

static void a_row_that_cannot_be_read_is_not_passed_by_newer_ones_in_memory(void **state)
{
    struct rig *r = *state;
    make_backlog(r);
    const uint64_t store = stats(r).store;
    fault_arm(&fault_write, 1, SQLITE_FULL, FAULT_EVER);
    struct vg_reading n = normal("s1", 2);
    append(r, &n);
    wait_until(r, disk_is_full, 1, "the full disk noticed");
    fault_arm(&fault_read, 1, SQLITE_IOERR_NOMEM, 0);
    uint64_t old = 0;
    struct vg_mono deadline = vg_mono_add_ms(vg_now_mono(r->clock), DEADLINE_MS);
    bool newer = false;
    while (!newer) {
        assert_true(vg_now_mono(r->clock).ns < deadline.ns);
        (void)fetch(r, VG_BUFFER_ROUTINE, 64);
        for (size_t i = 0; i < r->count; i++) {
            newer = r->rows[i].reading.store == store;
            assert_int_equal(newer ? BACKLOG : r->rows[i].reading.seq, newer ? old : ++old);
        }
        settle(r, VG_BUFFER_ROUTINE, VG_BUFFER_DONE);
    }
    assert_int_equal(atomic_load(&fault_read.fired), 1);
    assert_true(disk_is_full(r, 1));
}

/* A file that is set aside is not read again, so that its rows would be lost. */
static void a_read_that_the_card_refuses_once_sets_no_file_aside(void **state)
{
    struct rig *r = *state;
    make_backlog(r);
    rig_close(r);
    int refused = 0;
    for (int n = 1, fired = 1; fired > 0; n++) {
        fault_arm_here(&fault_read, n, SQLITE_IOERR_CORRUPTFS);
        const enum vg_err rc = rig_try_open(r);
        fired = atomic_load(&fault_read.fired);
        fault_reset();
        refused += fired;
        /* The library tells of the first, its header, only that it failed: no damage either. */
        assert_int_equal(rc, n == 1 ? VG_E_IO : VG_OK);
        assert_int_equal(files_named(r, "damaged"), 0);
        if (rc == VG_OK) {
            assert_false(vg_buffer_found(r->b)->damaged);
            rig_close(r);
        }
    }
    rig_open(r);
    assert_true(refused > 3);
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 64);
    assert_int_equal(r->rows[0].reading.seq, 1);
}

/* A clock that stands: no commit but that of an alarm comes in between, and reads. */
static void open_backlog_standing(struct rig *r)
{
    static struct vg_fake_clock standing;
    make_backlog(r);
    rig_close(r);
    vg_fake_clock_init(&standing, vg_now_wall(r->clock).ms);
    r->clock = &standing.clock;
    rig_open(r);
}

/* So that the next fetch goes on behind these, and no commit reads for it. */
static void park_for_long(struct rig *r)
{
    struct vg_buffer_outcome o[VG_BUFFER_FETCH_MAX];
    memset(o, 0, sizeof o);
    for (size_t i = 0; i < r->count; i++) {
        o[i].store = r->rows[i].reading.store;
        o[i].seq = r->rows[i].reading.seq;
        o[i].fate = VG_BUFFER_PARKED;
        o[i].until = vg_mono_add_ms(vg_now_mono(r->clock), (int64_t)100 * DEADLINE_MS);
    }
    assert_int_equal(vg_buffer_settle(r->b, VG_BUFFER_ROUTINE, o, r->count), VG_OK);
}

static void a_read_that_the_card_refuses_once_to_a_fetch_sets_no_file_aside(void **state)
{
    struct rig *r = *state;
    open_backlog_standing(r);
    int refused = 0;
    uint64_t last = 0;
    for (int i = 0; i < 50; i++) { /* a page begins in the midst of most of them */
        fault_arm(&fault_read, 1, SQLITE_IOERR_CORRUPTFS, 0);
        assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 64);
        refused += atomic_load(&fault_read.fired);
        fault_reset();
        for (size_t k = 0; k < r->count; k++) {
            assert_int_equal(r->rows[k].reading.seq, ++last);
        }
        park_for_long(r);
    }
    assert_true(refused > 10);
    assert_int_equal(stats(r).damaged, 0);
    assert_int_equal(files_named(r, "damaged"), 0);
}

static void a_read_that_the_card_refuses_once_to_a_commit_sets_no_file_aside(void **state)
{
    struct rig *r = *state;
    open_backlog_standing(r);
    struct vg_reading x = smoke("s1");
    int refused = 0;
    for (int at = 1, fired = 1; fired > 0; at++) {
        fault_arm(&fault_read, at, SQLITE_IOERR_CORRUPTFS, 0);
        append(r, &x);
        wait_until(r, urgent_committed, 1, "the alarm");
        fired = atomic_load(&fault_read.fired);
        fault_reset();
        refused += fired;
        assert_int_equal(stats(r).damaged, 0);
        assert_int_equal(stats(r).rows[VG_BUFFER_ROUTINE], BACKLOG);
        rig_close(r); /* the next open's first commit has to read */
        rig_open(r);
    }
    assert_true(refused > 3);
    assert_int_equal(files_named(r, "damaged"), 0);
}

static void a_read_that_the_card_refuses_once_to_a_checkpoint_sets_no_file_aside(void **state)
{
    struct rig *r = *state;
    static const int at[] = {1, 2, 100};
    uint64_t appended = 0;
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        fault_arm(&fault_log, at[i], SQLITE_IOERR_CORRUPTFS, 0);
        while (atomic_load(&fault_log.fired) == 0) {
            append(r, &n);
            if (++appended % 512 == 0) {
                wait_until(r, routine_committed, appended, "room in the ring");
            }
            assert_true(appended < 100000);
        }
        const uint64_t before = stats(r).commits;
        append(r, &n);
        wait_until(r, routine_committed, ++appended, "the row after it");
        assert_true(stats(r).commits > before);
        assert_int_equal(stats(r).damaged, 0);
    }
    assert_int_equal(stats(r).rows[VG_BUFFER_ROUTINE], appended);
    assert_int_equal(stats(r).commit_failures, 0);
    assert_int_equal(files_named(r, "damaged"), 0);
    assert_false(r->fatal);
}

static bool damage_seen(struct rig *r, uint64_t value)
{
    return stats(r).damaged >= value;
}

static void a_read_that_the_card_refuses_twice_is_damage(void **state)
{
    struct rig *r = *state;
    open_backlog_standing(r);
    fault_arm(&fault_read, 1, SQLITE_IOERR_CORRUPTFS, 1);
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 0);
    wait_until(r, damage_seen, 1, "the damage");
    assert_int_equal(atomic_load(&fault_read.fired), 2);
    assert_true(files_named(r, "damaged") > 0);
    assert_false(r->fatal);
}

static bool routine_waits(struct rig *r, uint64_t value)
{
    return r->waiting[VG_BUFFER_ROUTINE] > value;
}

static void rows_that_could_not_be_read_are_offered_again(void **state)
{
    struct rig *r = *state;
    make_backlog(r);
    fault_arm(&fault_read, 1, SQLITE_IOERR_NOMEM, 0);
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 0);
    assert_int_equal(atomic_load(&fault_read.fired), 1);
    const uint64_t told = r->waiting[VG_BUFFER_ROUTINE];
    wait_until(r, routine_waits, told, "the rows offered again");
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 64);
    assert_int_equal(r->rows[0].reading.seq, 1);
    assert_false(r->fatal);
}

static void a_file_damaged_while_open_is_replaced_and_readings_go_on(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading n = normal("s1", 1), x = smoke("s1");
    append(r, &n);
    append(r, &x);
    wait_until(r, routine_committed, 1, "rows");
    uint64_t store = stats(r).store;
    fault_arm(&fault_write, 1, SQLITE_CORRUPT, 1);
    append(r, &x);
    wait_until(r, damage_seen, 1, "the damage");
    wait_until(r, urgent_committed, 2, "the second alarm in the new file");
    assert_true(files_named(r, "damaged") > 0);
    assert_true(stats(r).store == store);
    struct vg_buffer_damage d;
    vg_buffer_damage(r->b, &d);
    assert_int_equal(d.files, 1);
    assert_int_equal(d.rows, 2);
    assert_int_equal(access(d.file, F_OK), 0);
    assert_int_equal(stats(r).damaged_rows, 0);
    bool alarm = false, storage = false;
    while (fetch(r, VG_BUFFER_URGENT, 64) > 0) {
        for (size_t i = 0; i < r->count; i++) {
            const struct vg_reading *y = &r->rows[i].reading;
            alarm = alarm || (y->store == store && y->seq == 2 && y->smoke);
            storage = storage || y->event == VG_EVENT_STORAGE;
        }
        settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    }
    assert_true(alarm);
    assert_true(storage);
    assert_false(r->fatal);
}

static void damaged_files_do_not_pile_up(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 6; i++) {
        rig_open(r);
        assert_int_equal(stats(r).asides_removed, i > 2 ? 1 : 0);
        rig_close(r);
        int fd = open(r->path, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, "oops", 4, 0), 4);
        (void)close(fd);
    }
    rig_open(r);
    assert_true(files_named(r, "damaged") <= 4); /* two, each with its WAL */
    assert_int_equal(stats(r).asides_removed, 1);
    fault_arm(&fault_write, 1, SQLITE_CORRUPT, 1);
    struct vg_reading x = smoke("s1");
    append(r, &x);
    wait_until(r, damage_seen, 2, "the damage");
    assert_int_equal(stats(r).asides_removed, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup_failing_card, rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_row_that_cannot_be_read_is_not_passed_by_newer_ones_in_memory),
        TEST(a_read_that_the_card_refuses_once_sets_no_file_aside),
        TEST(a_read_that_the_card_refuses_once_to_a_fetch_sets_no_file_aside),
        TEST(a_read_that_the_card_refuses_once_to_a_commit_sets_no_file_aside),
        TEST(a_read_that_the_card_refuses_once_to_a_checkpoint_sets_no_file_aside),
        TEST(a_read_that_the_card_refuses_twice_is_damage),
        TEST(rows_that_could_not_be_read_are_offered_again),
        TEST(a_file_damaged_while_open_is_replaced_and_readings_go_on),
        TEST(damaged_files_do_not_pile_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
