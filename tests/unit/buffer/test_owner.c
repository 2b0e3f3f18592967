/* Whose rows a file holds: a device that is provisioned anew never sends another's. */
#include "../../../edge/buffer/beside.h"
#include "owners.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void another_devices_rows_are_set_aside_and_not_sent(void **state)
{
    struct rig *r = *state;
    (void)leave_rows(r, "pi-1", 3);
    r->options.device = "pi-2";
    rig_open(r);
    assert_string_equal(vg_buffer_found(r->b)->set_aside, beside(r, "pi-1"));
    assert_int_equal(vg_buffer_found(r->b)->set_aside_rows, 4);
    assert_int_equal(vg_buffer_found(r->b)->others, 1);
    assert_false(vg_buffer_found(r->b)->damaged);
    assert_int_equal(fetch(r, VG_BUFFER_ROUTINE, 64), 0);
    wait_until(r, urgent_committed, 1, "the storage event");
    assert_int_equal(fetch(r, VG_BUFFER_URGENT, 64), 1);
    assert_int_equal(r->rows[0].reading.event, VG_EVENT_STORAGE);
    assert_string_equal(r->rows[0].reading.event_text,
                        "set aside: buffers of other devices, count=1");
    assert_string_equal(r->rows[0].reading.device, "pi-2");
    rig_close(r);
    /* One file, whole without a WAL. */
    assert_int_equal(files_named(r, ".of-"), 1);
    assert_int_equal(files_named(r, ".of-pi-1"), 1);
}

static void a_device_that_has_its_name_back_sends_what_it_had(void **state)
{
    struct rig *r = *state;
    const uint64_t first = leave_rows(r, "pi-1", 3), second = leave_rows(r, "pi-2", 5);
    r->options.device = "pi-1";
    rig_open(r);
    assert_true(vg_buffer_found(r->b)->taken_back);
    assert_string_equal(vg_buffer_found(r->b)->set_aside, beside(r, "pi-2"));
    assert_int_equal(vg_buffer_found(r->b)->others, 1);
    expect_rows(r, "pi-1", first, 3, 1);
    rig_close(r);
    r->options.device = "pi-2";
    rig_open(r);
    /* Nothing waited in the other's. */
    assert_string_equal(vg_buffer_found(r->b)->set_aside, "");
    assert_true(vg_buffer_found(r->b)->taken_back);
    assert_int_equal(vg_buffer_found(r->b)->others, 0);
    expect_rows(r, "pi-2", second, 5, 1);
    rig_close(r);
    assert_int_equal(files_named(r, ".of-"), 0);
}

static void a_file_in_which_nothing_waits_passes_to_the_next_device(void **state)
{
    struct rig *r = *state;
    const uint64_t store = leave_rows(r, "pi-1", 3);
    rig_open(r);
    expect_rows(r, "pi-1", store, 3, 1);
    rig_close(r);
    for (int opens = 0; opens < 2; opens++) {
        r->options.device = "pi-2";
        rig_open(r);
        assert_string_equal(vg_buffer_found(r->b)->set_aside, "");
        assert_int_equal(vg_buffer_found(r->b)->others, 0);
        struct vg_reading n = normal("s1", 1);
        append(r, &n);
        wait_until(r, routine_committed, 1, "the row");
        rig_close(r);
    }
    assert_int_equal(ask(r, "SELECT count(*) FROM epochs WHERE device = 'pi-2'"), 2);
}

/* A gap that was not told is told by its own device. */
static void a_gap_that_nobody_heard_of_waits_for_its_device(void **state)
{
    struct rig *r = *state;
    (void)leave_rows(r, "pi-1", 1);
    run_sql(r->path, "DELETE FROM queue; INSERT INTO gaps VALUES(0, 1, 1, 1, 9, 9)");
    r->options.device = "pi-2";
    rig_open(r);
    assert_string_equal(vg_buffer_found(r->b)->set_aside, beside(r, "pi-1"));
    assert_int_equal(vg_buffer_found(r->b)->set_aside_rows, 0);
    assert_int_equal(vg_buffer_found(r->b)->others, 1);
    expect_no_rows(r, "pi-2");
}

/* Opens for `device`, lets it say what an agent says of itself at each start, closes. */
static void leave_words(struct rig *r, const char *device)
{
    r->options.device = device;
    rig_open(r);
    struct vg_reading alive = {.event = VG_EVENT_ALIVE};
    assert_true(vg_str_copy(device, alive.sensor, sizeof alive.sensor));
    append(r, &alive);
    wait_until(r, urgent_committed, 1, "the alive");
    rig_close(r);
}

/* What was refused is kept for people: that does not wait for anything, and is no alarm. */
static void files_with_quarantine_only_are_kept_but_are_not_other_buffers(void **state)
{
    struct rig *r = *state;
    char name[16];
    for (int i = 0; i < 12; i++) {
        (void)snprintf(name, sizeof name, "pi-%d", i);
        leave_words(r, name);
        run_sql(r->path, "INSERT INTO quarantine VALUES(1, 1, 1, 1, 150, 0, zeroblob(60))");
        if (i == 0) {
            run_sql(r->path, "DELETE FROM queue");
        }
    }
    r->options.device = "pi-99";
    rig_open(r);
    assert_non_null(strstr(vg_buffer_found(r->b)->set_aside, "/buffer.db.refused-"));
    assert_int_equal(vg_buffer_found(r->b)->set_aside_rows, 0);
    assert_int_equal(vg_buffer_found(r->b)->others, 0);
    assert_int_equal(stats(r).asides_removed, 1);
    assert_int_equal(fetch(r, VG_BUFFER_URGENT, 64), 0);
    expect_no_rows(r, "pi-99");
    rig_close(r);
    assert_int_equal(files_named(r, ".of-"), 0);
    assert_int_equal(files_named(r, ".refused-"), 2);
}

static void what_an_agent_said_of_itself_only_does_not_wait_for_its_device(void **state)
{
    struct rig *r = *state;
    char name[16];
    for (int with_others = 0; with_others < 2; with_others++) {
        if (with_others == 1) {
            (void)leave_rows(r, "house", 1);
        }
        for (int i = 0; i < 12; i++) {
            (void)snprintf(name, sizeof name, "pi-%d", i);
            leave_words(r, name);
        }
        r->options.device = "pi-99";
        rig_open(r);
        assert_string_equal(vg_buffer_found(r->b)->set_aside, "");
        assert_int_equal(vg_buffer_found(r->b)->others, with_others);
        rig_close(r);
        assert_int_equal(files_named(r, ".of-"), with_others);
        assert_int_equal(files_named(r, ".refused-"), 0);
    }
    /* With one reading among them it does. */
    leave_words(r, "pi-1");
    (void)leave_rows(r, "pi-1", 1);
    r->options.device = "pi-2";
    rig_open(r);
    assert_string_equal(vg_buffer_found(r->b)->set_aside, beside(r, "pi-1"));
    assert_int_equal(vg_buffer_found(r->b)->others, 2);
}

static void a_name_that_ends_like_a_file_of_sqlite_counts_too(void **state)
{
    struct rig *r = *state;
    (void)leave_rows(r, "pump-wal", 1);
    (void)leave_rows(r, "pump-shm", 1);
    r->options.device = "pi-2";
    rig_open(r);
    assert_int_equal(vg_buffer_found(r->b)->others, 2);
}

static void a_folder_that_cannot_be_listed_is_not_an_empty_one(void **state)
{
    struct rig *r = *state;
    char path[VG_BUFFER_FILE_MAX];
    size_t others = 0;
    (void)snprintf(path, sizeof path, "%s/%0300d/buffer.db", r->folder, 0);
    assert_int_equal(vgi_beside_others(path, &others, &r->err), VG_E_IO);
    assert_non_null(strstr(r->err.text, "0/: cannot be listed: File name too long"));
    memset(&r->err, 0, sizeof r->err);
    assert_int_equal(vgi_beside_put(path, "pi-1", &r->err), VG_E_IO);
    assert_non_null(strstr(r->err.text, "cannot be listed"));
}

/* By hand: it waits, which is told, until what is in place has been sent; neither covers the other. */
static void an_own_file_put_beside_an_own_file_waits_its_turn(void **state)
{
    struct rig *r = *state;
    const uint64_t first = leave_rows(r, "pi-1", 3);
    r->options.device = "pi-2";
    rig_open(r);
    expect_no_rows(r, "pi-2");
    rig_close(r);
    char away[VG_BUFFER_FILE_MAX];
    (void)snprintf(away, sizeof away, "%s/away", r->folder);
    assert_int_equal(rename(beside(r, "pi-1"), away), 0);
    const uint64_t second = leave_rows(r, "pi-1", 5);
    assert_int_equal(rename(away, beside(r, "pi-1")), 0);
    rig_open(r);
    assert_int_equal(vg_buffer_found(r->b)->others, 1);
    assert_false(vg_buffer_found(r->b)->taken_back);
    expect_rows(r, "pi-1", second, 5, 1);
    rig_close(r);
    rig_open(r);
    assert_true(vg_buffer_found(r->b)->taken_back);
    assert_int_equal(vg_buffer_found(r->b)->others, 0);
    expect_rows(r, "pi-1", first, 3, 1);
}

static void rows_of_a_file_of_version_2_go_to_who_opens_it_first_and_are_then_its_own(void **state)
{
    struct rig *r = *state;
    const uint64_t store = leave_rows(r, "pi-1", 3);
    run_sql(r->path, "ALTER TABLE epochs DROP COLUMN device; PRAGMA user_version=2");
    rig_open(r);
    assert_int_equal(stats(r).rows[VG_BUFFER_ROUTINE], 3);
    struct vg_reading u = smoke("s2");
    append(r, &u);
    wait_until(r, urgent_committed, 1, "the alarm");
    rig_close(r);
    r->options.device = "pi-2";
    rig_open(r);
    assert_int_equal(vg_buffer_found(r->b)->set_aside_rows, 5);
    expect_no_rows(r, "pi-2");
    rig_close(r);
    r->options.device = "pi-1";
    rig_open(r);
    assert_int_equal(take(r, VG_BUFFER_ROUTINE, "pi-1", store), 3);
}

static void write_file(const char *path, const char *end, const char *text)
{
    char name[VG_BUFFER_FILE_MAX];
    (void)snprintf(name, sizeof name, "%s%s", path, end);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void expect_refused(struct rig *r, const char *part)
{
    assert_int_equal(rig_try_open(r), VG_E_EXISTS);
    assert_non_null(strstr(r->err.text, r->path));
    if (strstr(r->err.text, part) == NULL) {
        fail_msg("'%s' is not in: %s", part, r->err.text);
    }
}

static void a_ninth_other_device_is_refused_and_nothing_is_lost(void **state)
{
    struct rig *r = *state;
    char name[16];
    for (int i = 0; i <= 8; i++) {
        (void)snprintf(name, sizeof name, "pi-%d", i);
        (void)leave_rows(r, name, i + 1);
    }
    r->options.device = "pi-9";
    expect_refused(r, "'pi-8', and beside it 8 more; accepted: fewer than 8");
    assert_int_equal(files_named(r, ".of-"), 8);
    assert_int_equal(unlink(beside(r, "pi-0")), 0);
    rig_open(r);
    assert_int_equal(vg_buffer_found(r->b)->set_aside_rows, 11);
}

static void a_file_of_that_name_already_there_is_not_overwritten(void **state)
{
    struct rig *r = *state;
    (void)leave_rows(r, "pi-1", 3);
    write_file(r->path, ".of-pi-1", "my diary\n");
    r->options.device = "pi-2";
    expect_refused(r, "is a buffer of the same device; accepted: one of them");
    struct stat st;
    assert_int_equal(stat(beside(r, "pi-1"), &st), 0);
    assert_int_equal(st.st_size, 9);
    assert_int_equal(unlink(beside(r, "pi-1")), 0);
    rig_open(r);
    assert_int_equal(vg_buffer_found(r->b)->set_aside_rows, 4);
}

static void files_that_changed_places_by_hand_are_told_apart_by_what_they_hold(void **state)
{
    struct rig *r = *state;
    const uint64_t store = leave_rows(r, "pi-1", 3);
    (void)leave_rows(r, "pi-2", 2);
    r->options.device = "pi-3";
    rig_open(r);
    expect_no_rows(r, "pi-3");
    rig_close(r);
    char swap[VG_BUFFER_FILE_MAX], one[VG_BUFFER_FILE_MAX];
    (void)snprintf(swap, sizeof swap, "%s/swap", r->folder);
    (void)snprintf(one, sizeof one, "%s", beside(r, "pi-1"));
    assert_int_equal(rename(one, swap), 0);
    assert_int_equal(rename(beside(r, "pi-2"), one), 0);
    /* Named after pi-1, of pi-2: set aside under its own name, not sent. */
    r->options.device = "pi-1";
    rig_open(r);
    expect_no_rows(r, "pi-1");
    rig_close(r);
    assert_int_equal(rename(swap, one), 0);
    rig_open(r);
    expect_rows(r, "pi-1", store, 3, 1);
    assert_string_equal(vg_buffer_found(r->b)->set_aside, "");
    assert_int_equal(vg_buffer_found(r->b)->others, 1);
}

static void a_name_with_a_slash_names_a_file_all_the_same(void **state)
{
    struct rig *r = *state;
    const uint64_t store = leave_rows(r, "house/2/pi-1", 3);
    r->options.device = "house.2.pi-1";
    rig_open(r);
    assert_string_equal(vg_buffer_found(r->b)->set_aside, beside(r, "house%2%pi-1"));
    expect_no_rows(r, "house.2.pi-1");
    rig_close(r);
    r->options.device = "house/2/pi-1";
    rig_open(r);
    expect_rows(r, "house/2/pi-1", store, 3, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(another_devices_rows_are_set_aside_and_not_sent),
        TEST(a_device_that_has_its_name_back_sends_what_it_had),
        TEST(a_file_in_which_nothing_waits_passes_to_the_next_device),
        TEST(a_gap_that_nobody_heard_of_waits_for_its_device),
        TEST(files_with_quarantine_only_are_kept_but_are_not_other_buffers),
        TEST(what_an_agent_said_of_itself_only_does_not_wait_for_its_device),
        TEST(a_name_that_ends_like_a_file_of_sqlite_counts_too),
        TEST(a_folder_that_cannot_be_listed_is_not_an_empty_one),
        TEST(an_own_file_put_beside_an_own_file_waits_its_turn),
        TEST(rows_of_a_file_of_version_2_go_to_who_opens_it_first_and_are_then_its_own),
        TEST(a_ninth_other_device_is_refused_and_nothing_is_lost),
        TEST(a_file_of_that_name_already_there_is_not_overwritten),
        TEST(files_that_changed_places_by_hand_are_told_apart_by_what_they_hold),
        TEST(a_name_with_a_slash_names_a_file_all_the_same),
    };
    return cmocka_run_group_tests_name("whose rows a file holds", tests, NULL, NULL);
}
