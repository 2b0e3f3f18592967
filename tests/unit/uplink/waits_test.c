/* Answers that ask for a wait, 4.29 and 5.03: how long, of which lane, and who is asked next. */
#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void waits(unsigned code, int64_t max_age_s, int64_t expected_ms)
{
    struct bench b;
    bench_up(&b, 1);
    give(&b, URGENT, STORE_A, 1, 1);
    answer_with(&b, URGENT, code, max_age_s, (struct vg_span){0});
    assert_int_equal(last_told(&b, VG_UPLINK_EV_WAIT)->detail, expected_ms);
    assert_int_equal(deadline_in_ms(&b), expected_ms);
    give(&b, ROUTINE, STORE_A, 1, 1); /* the other lane waits as well */
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 1);
    pass_ms(&b, expected_ms - 1);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 1);
    pass_ms(&b, 1);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 3);
    expect_sent(&b, URGENT, STORE_A, 1, 1);
    assert_int_equal(count_of(&b, VGI_ACT_SETTLE), 0);
    bench_done(&b);
}

static void a_4_29_waits_max_age(void **state)
{
    (void)state;
    waits(VG_COAP_TOO_MANY, 7, 7000);
}

static void a_5_03_waits_max_age(void **state)
{
    (void)state;
    waits(VG_COAP_UNAVAILABLE, 30, 30000);
}

static void without_max_age_the_wait_is_a_minute_and_it_has_bounds(void **state)
{
    (void)state;
    waits(VG_COAP_UNAVAILABLE, -1, 60000);
    waits(VG_COAP_UNAVAILABLE, 0, 1000);
    waits(VG_COAP_TOO_MANY, 4294967295, 3600000);
}

/* The urgent row has been sent and is taken; the routine one follows after the rest of its wait. */
static void routine_rows_wait_on(struct bench *b, int64_t ms)
{
    expect_sent(b, URGENT, STORE_A, 7, 1);
    answer(b, URGENT, VG_COAP_CHANGED);
    forget(b);
    pass_ms(b, ms - 1);
    assert_int_equal(count_of(b, VGI_ACT_SEND), 0);
    pass_ms(b, 1);
    expect_sent(b, ROUTINE, STORE_A, 1, 1);
}

/* Urgent rows that come while the collector has answered a routine batch so, Max-Age 60 s. */
static size_t sent_beside_a_routine_answer(unsigned code)
{
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 1);
    answer_with(&b, ROUTINE, code, 60, (struct vg_span){0});
    forget(&b);
    give(&b, URGENT, STORE_A, 7, 1);
    size_t sent = count_of(&b, VGI_ACT_SEND);
    if (sent > 0) {
        routine_rows_wait_on(&b, 60000);
    }
    bench_done(&b);
    return sent;
}

static void a_5_03_to_routine_rows_does_not_hold_urgent_ones(void **state)
{
    (void)state;
    assert_int_equal(sent_beside_a_routine_answer(VG_COAP_UNAVAILABLE), 1);
}

static void a_4_29_to_routine_rows_holds_urgent_ones_too(void **state)
{
    (void)state;
    assert_int_equal(sent_beside_a_routine_answer(VG_COAP_TOO_MANY), 0);
}

static void a_shorter_wait_of_urgent_rows_leaves_the_longer_one_of_routine_rows(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 1);
    answer_with(&b, ROUTINE, VG_COAP_UNAVAILABLE, 60, (struct vg_span){0});
    give(&b, URGENT, STORE_A, 7, 1);
    answer_with(&b, URGENT, VG_COAP_TOO_MANY, 1, (struct vg_span){0});
    forget(&b);
    pass_ms(&b, 1000);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 1);
    routine_rows_wait_on(&b, 59000);
    bench_done(&b);
}

static void an_urgent_row_comes_back_where_there_is_no_room_for_routine_ones(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 1);
    answer_with(&b, ROUTINE, VG_COAP_UNAVAILABLE, 3600, (struct vg_span){0});
    lose(&b, VGI_LOST_TIMEOUT);
    forget(&b);
    give(&b, URGENT, STORE_A, 7, 1);
    pass_ms(&b, deadline_in_ms(&b));
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    connected(&b);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 1);
    expect_sent(&b, URGENT, STORE_A, 7, 1);
    bench_done(&b);
}

static void the_third_5_03_in_a_row_moves_on_to_another_collector(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 2);
    give(&b, URGENT, STORE_A, 1, 1);
    for (int i = 0; i < 2; i++) {
        answer_with(&b, URGENT, VG_COAP_UNAVAILABLE, 5, (struct vg_span){0});
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
        pass_ms(&b, 5000);
    }
    answer_with(&b, URGENT, VG_COAP_UNAVAILABLE, 5, (struct vg_span){0});
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 1);
    connected(&b);
    expect_sent(&b, URGENT, STORE_A, 1, 1);
    bench_done(&b);
}

static void the_wait_of_the_third_5_03_holds_when_the_other_collector_is_gone_too(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 2);
    give(&b, URGENT, STORE_A, 1, 1);
    for (int i = 0; i < 2; i++) {
        answer_with(&b, URGENT, VG_COAP_UNAVAILABLE, 5, (struct vg_span){0});
        pass_ms(&b, 5000);
    }
    answer_with(&b, URGENT, VG_COAP_UNAVAILABLE, 30, (struct vg_span){0});
    lose(&b, VGI_LOST_UNREACHABLE); /* the other one, before its handshake is done */
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 0);
    connected(&b);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 3);
    assert_int_equal(deadline_in_ms(&b), 30000);
    pass_ms(&b, 30000 - 1);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 3);
    pass_ms(&b, 1);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 4);
    bench_done(&b);
}

static void the_only_collector_is_kept_whatever_it_lacks(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, URGENT, STORE_A, 1, 1);
    for (int i = 0; i < 5; i++) {
        answer_with(&b, URGENT, VG_COAP_UNAVAILABLE, 1, (struct vg_span){0});
        pass_ms(&b, 1000);
    }
    assert_int_equal(count_of(&b, VGI_ACT_CLOSE), 0);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 6);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_4_29_waits_max_age),
        cmocka_unit_test(a_5_03_waits_max_age),
        cmocka_unit_test(without_max_age_the_wait_is_a_minute_and_it_has_bounds),
        cmocka_unit_test(a_5_03_to_routine_rows_does_not_hold_urgent_ones),
        cmocka_unit_test(a_4_29_to_routine_rows_holds_urgent_ones_too),
        cmocka_unit_test(a_shorter_wait_of_urgent_rows_leaves_the_longer_one_of_routine_rows),
        cmocka_unit_test(an_urgent_row_comes_back_where_there_is_no_room_for_routine_ones),
        cmocka_unit_test(the_third_5_03_in_a_row_moves_on_to_another_collector),
        cmocka_unit_test(the_wait_of_the_third_5_03_holds_when_the_other_collector_is_gone_too),
        cmocka_unit_test(the_only_collector_is_kept_whatever_it_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
