/* A card that refuses: every write and every sync failing in turn, a full disk. */
#include "faultvfs.h"
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

/* A short life of a buffer: append, commit, hand out, settle. Stops where the file fails. Returns
 * what was committed. */
static struct vg_buffer_stats short_life(struct rig *r)
{
    struct vg_buffer_stats s = {0};
    if (rig_try_open(r) != VG_OK) {
        assert_true(r->err.text[0] != '\0');
        return s;
    }
    for (int i = 0; i < 6 && !r->fatal; i++) {
        struct vg_reading x = smoke("s1"), n = normal("s2", i);
        append(r, &n);
        append(r, &x);
        struct vg_mono deadline = vg_mono_add_ms(vg_now_mono(r->clock), DEADLINE_MS);
        while (!r->fatal && !urgent_committed(r, (uint64_t)i + 1)) {
            vg_buffer_dispatch(r->b);
            assert_true(vg_now_mono(r->clock).ns < deadline.ns);
        }
    }
    s = stats(r);
    rig_close(r);
    return s;
}

/* Everything that was committed is there after the fault has gone, with its numbers. */
static void expect_kept(struct rig *r, const struct vg_buffer_stats *s)
{
    rig_open(r);
    assert_true(stats(r).store != s->store);
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        uint64_t last = 0;
        while (fetch(r, (enum vg_buffer_lane)lane, 64) > 0) {
            for (size_t i = 0; i < r->count; i++) {
                if (r->rows[i].reading.store == s->store) {
                    assert_int_equal(r->rows[i].reading.seq, ++last);
                }
            }
            settle(r, (enum vg_buffer_lane)lane, VG_BUFFER_DONE);
        }
        assert_true(last >= s->committed[lane]);
    }
    rig_close(r);
}

static void clear_folder(struct rig *r)
{
    static const char *const suffixes[] = {"", "-wal", "-journal"};
    for (size_t i = 0; i < 3; i++) {
        char path[256];
        (void)snprintf(path, sizeof path, "%s%s", r->path, suffixes[i]);
        (void)unlink(path);
    }
}

static void sweep(struct rig *r, struct fault *f, int code)
{
    int fatal = 0, n = 1;
    for (;; n++) {
        assert_true(n < 2000);
        clear_folder(r);
        fault_arm(f, n, code, FAULT_EVER);
        struct vg_buffer_stats s = short_life(r);
        bool fired = atomic_load(&f->fired) > 0;
        fatal += r->fatal ? 1 : 0;
        fault_reset();
        expect_kept(r, &s);
        if (!fired) {
            break;
        }
    }
    print_message("%d places failed in turn, %d of them while running\n", n - 1, fatal);
    assert_true(n > 5 && fatal > 0);
}

/* What is undone after a failure must not speak for it. */
static void a_file_that_cannot_be_made_says_why(void **state)
{
    struct rig *r = *state;
    int refused = 0;
    for (int n = 1; n < 200; n++) {
        clear_folder(r);
        fault_arm(&fault_write, n, SQLITE_FULL, FAULT_EVER);
        const enum vg_err rc = rig_try_open(r);
        fault_reset();
        if (rc == VG_OK) {
            rig_close(r);
            break;
        }
        refused++;
        assert_int_equal(rc, VG_E_FULL);
        assert_non_null(strstr(r->err.text, r->path));
        assert_non_null(strstr(
            r->err.text, "no space left on its file system; make room there and start again"));
    }
    assert_true(refused > 3);
}

static void a_failed_sync_anywhere_loses_nothing_that_was_committed(void **state)
{
    sweep(*state, &fault_sync, SQLITE_IOERR_FSYNC);
}

static void a_failed_write_anywhere_loses_nothing_that_was_committed(void **state)
{
    sweep(*state, &fault_write, SQLITE_IOERR_WRITE);
}

static void a_failed_sync_is_fatal_and_is_told_once(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading x = smoke("s1");
    append(r, &x);
    wait_until(r, urgent_committed, 1, "the first row");
    fault_arm(&fault_sync, 1, SQLITE_IOERR_FSYNC, 0);
    append(r, &x);
    wait_until(r, is_fatal, 0, "the verdict");
    assert_int_equal(r->err.code, VG_E_FATAL);
    assert_non_null(strstr(r->err.text, r->path));
    assert_int_equal(stats(r).committed[VG_BUFFER_URGENT], 1);
    /* The alarm still leaves, from memory; nothing is written any more. */
    assert_int_equal(fetch(r, VG_BUFFER_URGENT, 8), 2);
    int writes = atomic_load(&fault_write.calls);
    append(r, &x);
    settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    assert_int_equal(fetch(r, VG_BUFFER_URGENT, 8), 1);
    r->fatal = false;
    vg_buffer_dispatch(r->b);
    assert_false(r->fatal);
    rig_close(r);
    assert_true(atomic_load(&fault_write.calls) - writes <
                64); /* the close itself copies the WAL back */
}

static void a_failed_sync_of_a_checkpoint_is_fatal_too(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading n = normal("s1", 1);
    struct vg_mono deadline = vg_mono_add_ms(vg_now_mono(r->clock), DEADLINE_MS);
    /* Syncs number the commits; those beyond are a checkpoint's. Make the first of these fail. */
    uint64_t appended = 0;
    while (!r->fatal) {
        assert_true(vg_now_mono(r->clock).ns < deadline.ns);
        vg_buffer_dispatch(r->b);
        if (vg_buffer_append(r->b, &n, vg_now_boot(r->clock)) == VG_OK) {
            appended++;
        }
        if (appended == 20000) {
            fault_arm(&fault_sync, 40, SQLITE_IOERR_FSYNC, FAULT_EVER);
        }
    }
    assert_int_equal(r->err.code, VG_E_FATAL);
}

static bool gap_told(struct rig *r, const char *reason)
{
    bool told = false;
    while (fetch(r, VG_BUFFER_URGENT, 64) > 0) {
        for (size_t i = 0; i < r->count; i++) {
            const struct vg_reading *x = &r->rows[i].reading;
            told = told || (x->event == VG_EVENT_GAP &&
                            strncmp(x->event_text, reason, strlen(reason)) == 0);
        }
        settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    }
    return told;
}

static void a_full_disk_keeps_readings_in_memory_and_alarms_leave_from_there(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading x = smoke("s1");
    append(r, &x);
    wait_until(r, urgent_committed, 1, "the first row");
    fault_arm(&fault_write, 1, SQLITE_FULL, FAULT_EVER);
    append(r, &x);
    wait_until(r, disk_is_full, 1, "the full disk noticed");
    append(r, &x);
    assert_int_equal(stats(r).committed[VG_BUFFER_URGENT], 1);
    size_t count = fetch(r, VG_BUFFER_URGENT, 8);
    assert_true(count >= 3);
    assert_int_equal(r->rows[0].reading.seq, 1);
    assert_int_equal(r->rows[1].reading.seq, 2);
    assert_true(r->rows[1].reading.store == stats(r).store);
    settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    fault_reset();
    append(r, &x);
    wait_until(r, disk_is_full, 0, "space again");
    uint64_t last = stats(r).appended[VG_BUFFER_URGENT];
    wait_until(r, urgent_committed, last, "all committed");
    while (fetch(r, VG_BUFFER_URGENT, 8) > 0) {
        /* What was settled from memory does not come again. */
        assert_true(r->rows[0].reading.seq > count);
        settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    }
    assert_false(r->fatal);
}

static unsigned take_storage_events(struct rig *r)
{
    unsigned events = 0;
    while (fetch(r, VG_BUFFER_URGENT, 64) > 0) {
        for (size_t i = 0; i < r->count; i++) {
            events += r->rows[i].reading.event == VG_EVENT_STORAGE ? 1 : 0;
        }
        settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    }
    return events;
}

static bool commits(struct rig *r, uint64_t value)
{
    return stats(r).commits >= value;
}

static void a_checkpoint_that_finds_no_space_is_told_once(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    fault_arm(&fault_copy, 1, SQLITE_FULL, FAULT_EVER);
    for (uint64_t i = 0; !disk_is_full(r, 1); i++) {
        struct vg_reading n = normal("s1", 1);
        append(r, &n);
        if (i % 512 == 511) {
            wait_until(r, routine_committed, i + 1, "room in the ring");
        }
        assert_true(i < 100000);
    }
    const uint64_t before = stats(r).commits;
    struct vg_reading x = smoke("s1");
    for (uint64_t i = 1; i <= 3; i++) {
        append(r, &x);
        wait_until(r, commits, before + i, "a commit");
    }
    assert_true(disk_is_full(r, 1));
    assert_int_equal(stats(r).fulls, 1);
    assert_int_equal(take_storage_events(r), 1);
    fault_reset();
    append(r, &x);
    wait_until(r, disk_is_full, 0, "space again");
}

static void a_disk_at_the_edge_of_full_is_told_once_a_minute(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    struct vg_reading x = smoke("s1");
    for (int i = 0; i < 3; i++) {
        fault_arm(&fault_write, 1, SQLITE_FULL, FAULT_EVER);
        append(r, &x);
        wait_until(r, disk_is_full, 1, "the full disk noticed");
        fault_reset();
        wait_until(r, disk_is_full, 0, "space again");
    }
    assert_int_equal(stats(r).fulls, 3);
    assert_int_equal(take_storage_events(r), 1);
}

static void a_long_full_disk_gives_up_the_oldest_in_memory_and_says_so(void **state)
{
    struct rig *r = *state;
    r->options.ring_bytes[VG_BUFFER_ROUTINE] = 8192;
    rig_open(r);
    struct vg_reading n = normal("s1", 1), x = smoke("s1");
    append(r, &n);
    wait_until(r, routine_committed, 1, "the first row");
    fault_arm(&fault_write, 1, SQLITE_FULL, FAULT_EVER);
    append(r, &x);
    wait_until(r, disk_is_full, 1, "the full disk noticed");
    struct vg_mono deadline = vg_mono_add_ms(vg_now_mono(r->clock), DEADLINE_MS);
    while (stats(r).evicted == 0 || stats(r).refused == 0) {
        assert_true(vg_now_mono(r->clock).ns < deadline.ns);
        enum vg_err e = vg_buffer_append(r->b, &n, vg_now_boot(r->clock));
        assert_true(e == VG_OK || e == VG_E_FULL);
        vg_buffer_dispatch(r->b);
    }
    fault_reset();
    wait_until(r, disk_is_full, 0, "space again");
    wait_until(r, routine_committed, stats(r).appended[VG_BUFFER_ROUTINE], "all committed");
    while (!gap_told(r, "memory lane=r count=")) {
        assert_true(vg_now_mono(r->clock).ns < deadline.ns);
    }
    assert_false(r->fatal);
}

static uint64_t close_and_count(struct rig *r)
{
    struct vg_buffer *b = r->b;
    r->b = NULL;
    return vg_buffer_close(b, &r->err);
}

static void a_close_that_cannot_commit_says_how_many_rows_are_lost(void **state)
{
    struct rig *r = *state;
    /* A full disk is told by a row of its own. */
    static const struct {
        int code;
        uint64_t lost;
        const char *told;
    } cases[] = {{SQLITE_FULL, 3, "3 rows are not on the card: "},
                 {SQLITE_IOERR_WRITE, 2, "2 rows are not on the card: "}};
    struct vg_reading n = normal("s1", 1);
    r->options.group_ms = 5000;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig_open(r);
        append(r, &n);
        append(r, &n);
        fault_arm(&fault_write, 1, cases[i].code, FAULT_EVER);
        assert_int_equal(close_and_count(r), cases[i].lost);
        assert_int_equal(r->err.code, VG_E_IO);
        assert_non_null(strstr(r->err.text, r->path));
        assert_non_null(strstr(r->err.text, cases[i].told));
        fault_reset();
    }
    rig_open(r);
    append(r, &n);
    assert_int_equal(close_and_count(r), 0);
}

static int open_for_reading(const char *path, int flags, int mode)
{
    if ((flags & O_ACCMODE) != O_RDONLY) {
        errno = ENOSPC; /* of inodes */
        return -1;
    }
    return open(path, flags, mode);
}

/* The library then tries to open it for reading only. The start ends with 1, and is tried again. */
static void
a_file_that_cannot_be_opened_for_writing_now_is_no_mistake_of_the_configuration(void **state)
{
    struct rig *r = *state;
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
    for (int there = 0; there < 2; there++) {
        vfs->xSetSystemCall(vfs, "open", (sqlite3_syscall_ptr)open_for_reading);
        const enum vg_err rc = rig_try_open(r);
        vfs->xSetSystemCall(vfs, "open", NULL);
        print_message("%s: %s\n", vg_err_name(rc), r->err.text);
        assert_int_equal(rc, VG_E_IO);
        rig_open(r);
        rig_close(r);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup_failing_card, rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_cannot_be_made_says_why),
        TEST(a_file_that_cannot_be_opened_for_writing_now_is_no_mistake_of_the_configuration),
        TEST(a_failed_sync_anywhere_loses_nothing_that_was_committed),
        TEST(a_failed_write_anywhere_loses_nothing_that_was_committed),
        TEST(a_failed_sync_is_fatal_and_is_told_once),
        TEST(a_failed_sync_of_a_checkpoint_is_fatal_too),
        TEST(a_full_disk_keeps_readings_in_memory_and_alarms_leave_from_there),
        TEST(a_checkpoint_that_finds_no_space_is_told_once),
        TEST(a_disk_at_the_edge_of_full_is_told_once_a_minute),
        TEST(a_long_full_disk_gives_up_the_oldest_in_memory_and_says_so),
        TEST(a_close_that_cannot_commit_says_how_many_rows_are_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
