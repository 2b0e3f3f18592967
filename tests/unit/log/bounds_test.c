/* Who may fill how much of an appender's bounds. */
#include "../../../collector/log/bounds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct vg_dlog_conf conf = {.queue_max = 100, .queue_max_bytes = 1000};

static bool take(struct vgi_bounds *b, enum vg_dlog_room room, size_t records, size_t bytes)
{
    return vgi_bounds_take(b, &conf, room, records, bytes);
}

static void routine_records_leave_an_eighth_to_urgent_ones(void **state)
{
    struct vgi_bounds b = {0};
    (void)state;
    assert_true(take(&b, VG_DLOG_ROUTINE, 88, 1));
    assert_false(take(&b, VG_DLOG_ROUTINE, 1, 1));
    assert_true(take(&b, VG_DLOG_URGENT, 12, 1));
    assert_false(take(&b, VG_DLOG_URGENT, 1, 1));
    vgi_bounds_give(&b, VG_DLOG_ROUTINE, 88, 1);
    assert_true(take(&b, VG_DLOG_ROUTINE, 76, 1)); /* urgent ones count, whichever part they took */
    assert_false(take(&b, VG_DLOG_ROUTINE, 1, 1));
}

static void of_the_bytes_too(void **state)
{
    struct vgi_bounds b = {0};
    (void)state;
    assert_false(take(&b, VG_DLOG_ROUTINE, 1, 876));
    assert_true(take(&b, VG_DLOG_ROUTINE, 1, 875));
    assert_false(take(&b, VG_DLOG_ROUTINE, 1, 1));
    assert_false(take(&b, VG_DLOG_URGENT, 1, 126));
    assert_true(take(&b, VG_DLOG_URGENT, 1, 125));
    assert_false(take(&b, VG_DLOG_URGENT, 1, 1));
}

static void heartbeats_have_a_room_that_nothing_else_fills_and_that_is_bounded(void **state)
{
    struct vgi_bounds b = {0};
    (void)state;
    assert_true(take(&b, VG_DLOG_URGENT, 100, 1000));
    assert_true(take(&b, VG_DLOG_HEARTBEAT, VGI_BEATS_MAX, 1));
    assert_false(take(&b, VG_DLOG_HEARTBEAT, 1, 1));
    vgi_bounds_give(&b, VG_DLOG_HEARTBEAT, VGI_BEATS_MAX, 1);
    assert_false(take(&b, VG_DLOG_HEARTBEAT, 1, VGI_BEATS_BYTES + 1));
    assert_true(take(&b, VG_DLOG_HEARTBEAT, 1, VGI_BEATS_BYTES));
    vgi_bounds_give(&b, VG_DLOG_URGENT, 100, 1000);
    assert_int_equal(b.queue.records, 0);
    assert_int_equal(b.queue.bytes, 0);
    assert_true(take(&b, VG_DLOG_ROUTINE, 88, 875)); /* and heartbeats take nobody's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routine_records_leave_an_eighth_to_urgent_ones),
        cmocka_unit_test(of_the_bytes_too),
        cmocka_unit_test(heartbeats_have_a_room_that_nothing_else_fills_and_that_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
