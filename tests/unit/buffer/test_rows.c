/* Rows of the buffer as the agent sees them: order, identity, group commit, outcomes, time. */
#include "harness.h"

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
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
        TEST(rows_of_an_earlier_boot_get_their_time_from_anchors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
