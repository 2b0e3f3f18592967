/* The link: sessions, failover, backoff, one batch in flight per lane. */
#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_start_begins_a_handshake_with_the_first_collector(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 3);
    bench_start(&b);
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 0);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    assert_int_equal(deadline_in_ms(&b), 10000);
    bench_done(&b);
}

static void rows_are_asked_for_while_the_handshake_runs_and_leave_when_it_is_done(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    bench_start(&b);
    assert_int_equal(count_of(&b, VGI_ACT_FETCH), 2);
    struct vg_uplink_row row = row_of("s1", STORE_A, 7);
    hand(&b, URGENT, &row, 1);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 0);
    connected(&b);
    expect_sent(&b, URGENT, STORE_A, 7, 1);
    assert_true(vgi_core_stats(b.core)->up);
    bench_done(&b);
}

static void a_connection_nobody_waits_for_is_ignored(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    connected(&b);
    assert_int_equal(vgi_core_stats(b.core)->connected, 1);
    bench_done(&b);
}

static void one_batch_is_in_flight_per_lane(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 3);
    give(&b, URGENT, STORE_A, 1, 2);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    vgi_core_notify(b.core, ROUTINE, b.now);
    collect(&b);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    assert_int_equal(count_of(&b, VGI_ACT_FETCH), 2);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    assert_int_equal(count_of(&b, VGI_ACT_FETCH), 3); /* for the news that came meanwhile */
    bench_done(&b);
}

static void the_urgent_lane_goes_first(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    bench_start(&b);
    struct vg_uplink_row row = row_of("s1", STORE_A, 7);
    hand(&b, ROUTINE, &row, 1);
    hand(&b, URGENT, &row, 1);
    forget(&b);
    connected(&b);
    assert_int_equal(b.notes[1].action.type, VGI_ACT_SEND);
    assert_int_equal(b.notes[1].action.lane, URGENT);
    assert_int_equal(b.notes[2].action.lane, ROUTINE);
    bench_done(&b);
}

static void a_full_window_means_that_more_may_wait(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, BENCH_BATCH);
    forget(&b);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    assert_int_equal(count_of(&b, VGI_ACT_FETCH), 1);
    hand(&b, ROUTINE, NULL, 0);
    assert_int_equal(count_of(&b, VGI_ACT_FETCH), 1);
    bench_done(&b);
}

static void news_during_a_fetch_are_not_forgotten(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    vgi_core_notify(b.core, URGENT, b.now);
    collect(&b);
    vgi_core_notify(b.core, URGENT, b.now);
    collect(&b);
    assert_int_equal(count_of(&b, VGI_ACT_FETCH), 1);
    hand(&b, URGENT, NULL, 0);
    assert_int_equal(count_of(&b, VGI_ACT_FETCH), 2);
    bench_done(&b);
}

static void a_failed_handshake_goes_to_the_next_collector_at_once(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 2);
    bench_start(&b);
    lose(&b, VGI_LOST_REFUSED);
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 1);
    assert_int_equal(vgi_core_stats(b.core)->failovers, 1);
    assert_int_equal(vgi_core_stats(b.core)->backoffs, 0);
    bench_done(&b);
}

static void when_all_collectors_failed_there_is_a_backoff_and_the_first_is_tried_again(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 2);
    bench_start(&b);
    lose(&b, VGI_LOST_UNREACHABLE);
    forget(&b);
    lose(&b, VGI_LOST_UNRESOLVED);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    int64_t wait = last_told(&b, VG_UPLINK_EV_BACKOFF)->detail;
    assert_true(wait >= 500 && wait <= 1000);
    assert_int_equal(deadline_in_ms(&b), wait);
    pass_ms(&b, wait - 1);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    pass_ms(&b, 1);
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 0);
    bench_done(&b);
}

static void the_backoff_doubles_up_to_its_cap_and_starts_over_after_a_2_04(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    b.options.backoff_min_ms = 1000;
    b.options.backoff_max_ms = 6000;
    bench_start(&b);
    static const int64_t most[] = {1000, 2000, 4000, 6000, 6000};
    for (size_t i = 0; i < 5; i++) {
        lose(&b, VGI_LOST_TIMEOUT);
        int64_t wait = vgi_core_stats(b.core)->wait_ms;
        assert_true(wait >= most[i] / 2 && wait <= most[i]);
        pass_ms(&b, wait);
    }
    connected(&b);
    struct vg_uplink_row row = row_of("s1", STORE_A, 7);
    hand(&b, URGENT, &row, 1);
    answer(&b, URGENT, VG_COAP_CHANGED);
    lose(&b, VGI_LOST_CLOSED); /* proven: straight back */
    lose(&b, VGI_LOST_REFUSED);
    assert_true(vgi_core_stats(b.core)->wait_ms <= 1000);
    bench_done(&b);
}

static void a_handshake_has_a_deadline(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 2);
    bench_start(&b);
    pass_ms(&b, 9999);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    pass_ms(&b, 1);
    assert_int_equal(last_told(&b, VG_UPLINK_EV_LOST)->detail, VGI_LOST_TIMEOUT);
    assert_int_equal(count_of(&b, VGI_ACT_CLOSE), 1);
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 1);
    bench_done(&b);
}

static void a_dead_session_that_worked_gets_one_new_handshake_with_the_same_collector(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 2);
    give(&b, URGENT, STORE_A, 1, 1);
    answer(&b, URGENT, VG_COAP_CHANGED);
    give(&b, URGENT, STORE_A, 2, 1);
    forget(&b);
    lose(&b, VGI_LOST_UNANSWERED);
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 0);
    assert_int_equal(count_of(&b, VGI_ACT_CLOSE), 1);
    assert_int_equal(vgi_core_stats(b.core)->unanswered, 1);
    assert_int_equal(vgi_core_stats(b.core)->sessions_lost, 1);
    connected(&b);
    expect_sent(&b, URGENT, STORE_A, 2, 1); /* the same rows, under the same identity */
    lose(&b, VGI_LOST_UNANSWERED);          /* and this one proved nothing */
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 1);
    bench_done(&b);
}

static void a_collector_that_dies_again_and_again_is_tried_at_once_each_time(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    for (uint64_t i = 0; i < 4; i++) {
        give(&b, URGENT, STORE_A, i, 1);
        answer(&b, URGENT, VG_COAP_CHANGED);
        forget(&b);
        lose(&b, VGI_LOST_UNANSWERED);
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
        connected(&b);
    }
    bench_done(&b);
}

static void a_request_without_answer_is_sent_once_more_and_then_the_session_is_dead(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 2);
    int64_t wait = deadline_in_ms(&b);
    assert_int_equal(wait, 30500); /* (1 + 2 + 4) s * 1.5 of retransmission, then 20 s */
    pass_ms(&b, wait - 1);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 1);
    pass_ms(&b, 1);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    expect_sent(&b, ROUTINE, STORE_A, 1, 2);
    assert_int_equal(count_of(&b, VGI_ACT_CLOSE), 0);
    pass_ms(&b, wait);
    assert_int_equal(count_of(&b, VGI_ACT_CLOSE), 1);
    assert_int_equal(last_told(&b, VG_UPLINK_EV_LOST)->detail, VGI_LOST_UNANSWERED);
    assert_false(vgi_core_stats(b.core)->up);
    bench_done(&b);
}

static void a_wait_holds_with_the_collector_that_asked_for_it_and_with_no_other(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 2);
    give(&b, URGENT, STORE_A, 1, 1);
    answer_with(&b, URGENT, VG_COAP_UNAVAILABLE, 600, (struct vg_span){0});
    lose(&b, VGI_LOST_CLOSED); /* it drained, and is gone */
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 1);
    connected(&b);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    expect_sent(&b, URGENT, STORE_A, 1, 1);
    lose(&b, VGI_LOST_CLOSED); /* back to the first, which is still to be left alone */
    int64_t wait = vgi_core_stats(b.core)->wait_ms;
    pass_ms(&b, wait);
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 0);
    connected(&b);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    pass_ms(&b, 600000 - wait - 1);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    pass_ms(&b, 1);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 3);
    bench_done(&b);
}

static void the_only_collector_s_wait_outlives_its_session(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, URGENT, STORE_A, 1, 1);
    answer(&b, URGENT, VG_COAP_CHANGED);
    give(&b, URGENT, STORE_A, 2, 1);
    answer_with(&b, URGENT, VG_COAP_UNAVAILABLE, 600, (struct vg_span){0});
    lose(&b, VGI_LOST_CLOSED);
    connected(&b);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    pass_ms(&b, 600000);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 3);
    bench_done(&b);
}

static void a_late_answer_is_counted_and_changes_nothing(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 2);
    uint32_t request = last_of(&b, VGI_ACT_SEND)->action.request;
    vgi_core_answer(b.core, ROUTINE, request + 1, VG_COAP_CHANGED, -1, (struct vg_span){0}, b.now);
    collect(&b);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    vgi_core_answer(b.core, ROUTINE, request, VG_COAP_UNAUTHORIZED, -1, (struct vg_span){0}, b.now);
    collect(&b);
    assert_int_equal(vgi_core_stats(b.core)->answers_late, 2);
    assert_int_equal(vgi_core_stats(b.core)->rows_done, 2);
    assert_int_equal(count_of(&b, VGI_ACT_CLOSE), 0);
    bench_done(&b);
}

static void losses_while_waiting_are_ignored(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    bench_start(&b);
    lose(&b, VGI_LOST_REFUSED);
    uint64_t backoffs = vgi_core_stats(b.core)->backoffs;
    lose(&b, VGI_LOST_CLOSED);
    assert_int_equal(vgi_core_stats(b.core)->backoffs, backoffs);
    bench_done(&b);
}

static void a_stopped_core_closes_its_session_and_sends_nothing_more(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 2);
    forget(&b);
    vgi_core_stop(b.core);
    collect(&b);
    assert_int_equal(count_of(&b, VGI_ACT_CLOSE), 1);
    vgi_core_notify(b.core, URGENT, b.now);
    collect(&b);
    pass_ms(&b, 100000);
    assert_int_equal(b.note_count, 1);
    struct vg_mono at;
    assert_false(vgi_core_deadline(b.core, &at));
    bench_done(&b);
}

static void a_core_that_never_started_stops_quietly(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    struct vgi_core *idle;
    struct vgi_action a;
    assert_int_equal(vgi_core_new(&b.options, NULL, NULL, &idle), VG_OK);
    vgi_core_timer(idle, b.now);
    vgi_core_stop(idle);
    assert_false(vgi_core_next(idle, &a));
    vgi_core_free(idle);
    vgi_core_free(NULL);
    bench_done(&b);
}

static void routine_readings_keep_to_their_rate_and_urgent_ones_do_not_wait(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    b.options.rate = 10; /* and as many at once */
    bench_start(&b);
    connected(&b);
    struct vg_uplink_row rows[BENCH_BATCH];
    uint64_t seq = 1;
    for (size_t i = 0; i < 2; i++) { /* 16 readings: 10 saved up, 6 on credit */
        for (size_t k = 0; k < BENCH_BATCH; k++) {
            rows[k] = row_of("s1", STORE_A, seq++);
        }
        hand(&b, ROUTINE, rows, BENCH_BATCH);
        answer(&b, ROUTINE, VG_COAP_CHANGED);
    }
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    for (size_t k = 0; k < BENCH_BATCH; k++) {
        rows[k] = row_of("s1", STORE_A, seq++);
    }
    hand(&b, ROUTINE, rows, BENCH_BATCH);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    assert_int_equal(deadline_in_ms(&b), 700);
    struct vg_uplink_row row = row_of("s2", STORE_A, 1);
    hand(&b, URGENT, &row, 1);
    expect_sent(&b, URGENT, STORE_A, 1, 1);
    answer(&b, URGENT, VG_COAP_CHANGED);
    pass_ms(&b, 699);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 3);
    pass_ms(&b, 1);
    expect_sent(&b, ROUTINE, STORE_A, 17, BENCH_BATCH);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    pass_ms(&b, 3600000); /* an hour of silence does not save up more than a second's worth */
    forget(&b);
    for (size_t i = 0; i < 3; i++) {
        hand(&b, ROUTINE, rows, BENCH_BATCH);
        if (i < 2) {
            answer(&b, ROUTINE, VG_COAP_CHANGED);
        }
    }
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    bench_done(&b);
}

static void the_next_deadline_is_the_earliest_of_all(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    b.options.rate = 10;
    bench_start(&b);
    connected(&b);
    give(&b, URGENT, STORE_A, 1, 1);
    pass_ms(&b, 500);
    give(&b, ROUTINE, STORE_A, 1, BENCH_BATCH);
    assert_int_equal(deadline_in_ms(&b), 30000); /* the urgent answer's */
    answer(&b, URGENT, VG_COAP_CHANGED);
    assert_int_equal(deadline_in_ms(&b), 30500);
    answer(&b, ROUTINE, VG_COAP_FORBIDDEN);
    assert_int_equal(deadline_in_ms(&b), 3600000); /* the parked sensor's */
    struct vg_uplink_row rows[BENCH_BATCH];
    for (size_t i = 0; i < BENCH_BATCH; i++) {
        rows[i] = row_of("s2", STORE_A, 20 + i);
    }
    give_rows(&b, ROUTINE, rows, BENCH_BATCH);
    answer_with(&b, ROUTINE, VG_COAP_TOO_MANY, 20, (struct vg_span){0});
    assert_int_equal(deadline_in_ms(&b), 20000); /* the wait's: later than the rate's */
    vgi_core_stop(b.core);
    collect(&b);
    struct vg_mono at;
    assert_false(vgi_core_deadline(b.core, &at));
    bench_done(&b);
}

static void without_a_rate_the_backlog_goes_as_fast_as_it_is_answered(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    for (uint64_t i = 0; i < 50; i++) {
        give(&b, ROUTINE, STORE_A, i, 1);
        answer(&b, ROUTINE, VG_COAP_CHANGED);
        forget(&b);
    }
    assert_int_equal(vgi_core_stats(b.core)->rows_done, 50);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_begins_a_handshake_with_the_first_collector),
        cmocka_unit_test(rows_are_asked_for_while_the_handshake_runs_and_leave_when_it_is_done),
        cmocka_unit_test(a_connection_nobody_waits_for_is_ignored),
        cmocka_unit_test(one_batch_is_in_flight_per_lane),
        cmocka_unit_test(the_urgent_lane_goes_first),
        cmocka_unit_test(a_full_window_means_that_more_may_wait),
        cmocka_unit_test(news_during_a_fetch_are_not_forgotten),
        cmocka_unit_test(a_failed_handshake_goes_to_the_next_collector_at_once),
        cmocka_unit_test(
            when_all_collectors_failed_there_is_a_backoff_and_the_first_is_tried_again),
        cmocka_unit_test(the_backoff_doubles_up_to_its_cap_and_starts_over_after_a_2_04),
        cmocka_unit_test(a_handshake_has_a_deadline),
        cmocka_unit_test(a_dead_session_that_worked_gets_one_new_handshake_with_the_same_collector),
        cmocka_unit_test(a_collector_that_dies_again_and_again_is_tried_at_once_each_time),
        cmocka_unit_test(a_request_without_answer_is_sent_once_more_and_then_the_session_is_dead),
        cmocka_unit_test(a_wait_holds_with_the_collector_that_asked_for_it_and_with_no_other),
        cmocka_unit_test(the_only_collector_s_wait_outlives_its_session),
        cmocka_unit_test(a_late_answer_is_counted_and_changes_nothing),
        cmocka_unit_test(losses_while_waiting_are_ignored),
        cmocka_unit_test(a_stopped_core_closes_its_session_and_sends_nothing_more),
        cmocka_unit_test(a_core_that_never_started_stops_quietly),
        cmocka_unit_test(routine_readings_keep_to_their_rate_and_urgent_ones_do_not_wait),
        cmocka_unit_test(the_next_deadline_is_the_earliest_of_all),
        cmocka_unit_test(without_a_rate_the_backlog_goes_as_fast_as_it_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
