/* Sessions that the collector closes: how soon the next one begins. */
#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The agent's defaults, and what no such wait may pass: three missing heartbeats are an alarm. */
#define ALIVE_MS    60000
#define PATIENCE_MS (3 * ALIVE_MS)
#define WAIT_MAX_MS 30000
#define URGENT_MS   5000
#define AT_ONCE_MS  300000 /* five times backoff_max */

/* A session that carries one reading; its collector then closes it. */
static void serve_and_close(struct bench *b, uint64_t seq)
{
    connected(b);
    give(b, URGENT, STORE_A, seq, 1);
    answer(b, URGENT, VG_COAP_CHANGED);
    forget(b);
    lose(b, VGI_LOST_CLOSED);
}

static void a_collector_that_closes_every_session_is_not_stormed(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    b.options.backoff_min_ms = 1000;
    b.options.backoff_max_ms = AT_ONCE_MS / 5;
    bench_start(&b);
    for (int l = 0; l < VG_UPLINK_LANES; l++) {
        hand(&b, (enum vg_uplink_lane)l, NULL, 0);
    }
    serve_and_close(&b, 1); /* once may be a restart */
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    int64_t passed = 0;
    static const int64_t most[] = {1000, 2000, 4000};
    for (size_t i = 0; i < 3; i++) { /* each acknowledged a reading, and still */
        serve_and_close(&b, 2 + i);
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
        int64_t wait = last_told(&b, VG_UPLINK_EV_BACKOFF)->detail;
        assert_true(wait >= most[i] / 2 && wait <= most[i]);
        pass_ms(&b, wait);
        passed += wait;
    }
    connected(&b);
    give(&b, URGENT, STORE_A, 5, 1);
    answer(&b, URGENT, VG_COAP_CHANGED);
    pass_ms(&b, AT_ONCE_MS - passed); /* this one lasts */
    forget(&b);
    lose(&b, VGI_LOST_CLOSED);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    serve_and_close(&b, 6); /* and it all begins anew */
    assert_true(last_told(&b, VG_UPLINK_EV_BACKOFF)->detail <= 1000);
    bench_done(&b);
}

static void collectors_that_close_every_session_in_turn_are_not_stormed(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 2);
    bench_start(&b);
    for (int l = 0; l < VG_UPLINK_LANES; l++) {
        hand(&b, (enum vg_uplink_lane)l, NULL, 0);
    }
    serve_and_close(&b, 1);
    assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 0);
    for (size_t i = 0; i < 4; i++) {
        serve_and_close(&b, 2 + i);
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
        pass_ms(&b, last_told(&b, VG_UPLINK_EV_BACKOFF)->detail);
        assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, (i + 1) % 2);
    }
    bench_done(&b);
}

/* Served and closed `times` times, from number `seq` on: each wait is passed, the last one is not.
 * Returns it. */
static int64_t closed_again(struct bench *b, uint64_t seq, size_t times)
{
    int64_t wait = 0;
    for (size_t i = 0; i < times; i++) {
        pass_ms(b, wait);
        serve_and_close(b, seq + i);
        assert_int_equal(count_of(b, VGI_ACT_CONNECT), 0);
        wait = deadline_in_ms(b);
        assert_int_equal(wait, last_told(b, VG_UPLINK_EV_BACKOFF)->detail);
    }
    return wait;
}

/* One collector, the protocol's own timing; a session has been closed, and the next one begun at
 * once is under way. */
static void bench_closed_once(struct bench *b)
{
    bench_init(b, 1);
    bench_start(b);
    for (int l = 0; l < VG_UPLINK_LANES; l++) {
        hand(b, (enum vg_uplink_lane)l, NULL, 0);
    }
    serve_and_close(b, 1);
    assert_int_equal(count_of(b, VGI_ACT_CONNECT), 1);
}

static void the_wait_after_many_closes_stays_far_under_a_heartbeats_patience(void **state)
{
    (void)state;
    struct bench b;
    bench_closed_once(&b);
    int64_t passed = 0;
    for (uint64_t i = 0; passed < AT_ONCE_MS - 50000; i++) {
        int64_t wait = closed_again(&b, 2 + i, 1);
        assert_true(wait <= WAIT_MAX_MS && wait < PATIENCE_MS / 4);
        assert_true(i < 6 || wait >= WAIT_MAX_MS / 2); /* and no storm either */
        pass_ms(&b, wait);
        passed += wait;
    }
    bench_done(&b);
}

static void a_backoff_max_below_the_bound_of_that_wait_bounds_it_too(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    b.options.backoff_min_ms = 100;
    b.options.backoff_max_ms = 1000;
    bench_start(&b);
    for (int l = 0; l < VG_UPLINK_LANES; l++) {
        hand(&b, (enum vg_uplink_lane)l, NULL, 0);
    }
    serve_and_close(&b, 1);
    for (uint64_t i = 0; i < 4; i++) {
        assert_true(closed_again(&b, 2 + i, 1) <= 1000);
        pass_ms(&b, deadline_in_ms(&b));
    }
    bench_done(&b);
}

static void sessions_closed_before_they_carried_anything_wait_no_longer_either(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    bench_start(&b);
    for (int l = 0; l < VG_UPLINK_LANES; l++) {
        hand(&b, (enum vg_uplink_lane)l, NULL, 0);
    }
    for (int i = 0; i < 12; i++) {
        connected(&b);
        forget(&b);
        lose(&b, VGI_LOST_CLOSED);
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
        int64_t wait = deadline_in_ms(&b);
        assert_true(wait <= WAIT_MAX_MS && (i < 6 || wait >= WAIT_MAX_MS / 2));
        if (i < 11) {
            pass_ms(&b, wait);
        }
    }
    give(&b, URGENT, STORE_A, 1, 1);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    bench_done(&b);
}

static void an_urgent_row_ends_a_wait_that_a_close_began_and_a_routine_row_does_not(void **state)
{
    (void)state;
    struct bench b;
    bench_closed_once(&b);
    assert_true(closed_again(&b, 2, 6) > URGENT_MS);
    give(&b, ROUTINE, STORE_A, 100, 1);
    vgi_core_notify(b.core, URGENT, b.now); /* news, but no row yet */
    collect(&b);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    hand(&b, URGENT, NULL, 0);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    give(&b, URGENT, STORE_A, 8, 1);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    connected(&b);
    expect_sent(&b, URGENT, STORE_A, 8, 1);
    bench_done(&b);
}

static void an_urgent_row_in_flight_when_its_session_is_closed_ends_the_wait_too(void **state)
{
    (void)state;
    struct bench b;
    bench_closed_once(&b);
    (void)closed_again(&b, 2, 6);
    pass_ms(&b, deadline_in_ms(&b));
    connected(&b);
    give(&b, URGENT, STORE_A, 8, 2);
    answer(&b, URGENT, VG_COAP_CHANGED);
    give(&b, URGENT, STORE_A, 10, 1);
    forget(&b);
    lose(&b, VGI_LOST_CLOSED);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    connected(&b);
    expect_sent(&b, URGENT, STORE_A, 10, 1);
    bench_done(&b);
}

static void urgent_rows_end_such_waits_once_in_five_seconds_and_no_more(void **state)
{
    (void)state;
    struct bench b;
    bench_closed_once(&b);
    (void)closed_again(&b, 2, 6);
    give(&b, URGENT, STORE_A, 8, 1);
    connected(&b); /* the wait has ended: from now on count five seconds */
    answer(&b, URGENT, VG_COAP_CHANGED);
    pass_ms(&b, 2000);
    forget(&b);
    lose(&b, VGI_LOST_CLOSED);
    assert_true(deadline_in_ms(&b) > URGENT_MS);
    give(&b, URGENT, STORE_A, 9, 1);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    assert_int_equal(deadline_in_ms(&b), URGENT_MS - 2000);
    pass_ms(&b, URGENT_MS - 2001);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    pass_ms(&b, 1);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    bench_done(&b);
}

/* An hour in which there is always an urgent row to send, and every session is closed as soon as it
 * has carried one. */
static void a_storm_of_closes_and_urgent_rows_is_a_session_in_five_seconds_at_most(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    bench_start(&b);
    for (int l = 0; l < VG_UPLINK_LANES; l++) {
        hand(&b, (enum vg_uplink_lane)l, NULL, 0);
    }
    give(&b, URGENT, STORE_A, 1, 1);
    const int64_t hour_ms = 3600000;
    int64_t passed = 0;
    for (uint64_t i = 2; passed < hour_ms && i < 2000; i++) {
        connected(&b);
        expect_sent(&b, URGENT, STORE_A, i - 1, 1);
        answer(&b, URGENT, VG_COAP_CHANGED);
        give(&b, URGENT, STORE_A, i, 1);
        forget(&b);
        lose(&b, VGI_LOST_CLOSED);
        if (count_of(&b, VGI_ACT_CONNECT) == 0) {
            int64_t wait = deadline_in_ms(&b);
            assert_true(wait > 0 && wait <= URGENT_MS);
            pass_ms(&b, wait);
            passed += wait;
        }
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
        forget(&b);
    }
    /* One per five seconds, and at times the one begun at once and the short first waits. */
    uint64_t begun = vgi_core_stats(b.core)->handshakes;
    uint64_t expected = (uint64_t)(hour_ms / URGENT_MS);
    uint64_t extra = (uint64_t)(hour_ms / AT_ONCE_MS) * 8;
    assert_true(begun >= expected && begun <= expected + extra);
    bench_done(&b);
}

static void a_failure_after_closes_begins_the_backoff_at_its_own_beginning(void **state)
{
    (void)state;
    struct bench b;
    bench_closed_once(&b);
    (void)closed_again(&b, 2, 6);
    give(&b, URGENT, STORE_A, 8, 1);
    pass_ms(&b, URGENT_MS);
    forget(&b);
    lose(&b, VGI_LOST_REFUSED);
    give(&b, ROUTINE, STORE_A, 1, 1);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    assert_true(deadline_in_ms(&b) <= b.options.backoff_min_ms);
    pass_ms(&b, deadline_in_ms(&b));
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    bench_done(&b);
}

static void an_urgent_row_waits_for_a_collector_that_has_asked_for_peace(void **state)
{
    (void)state;
    struct bench b;
    bench_closed_once(&b);
    (void)closed_again(&b, 2, 6);
    pass_ms(&b, deadline_in_ms(&b));
    connected(&b);
    give(&b, URGENT, STORE_A, 8, 1);
    answer(&b, URGENT, VG_COAP_CHANGED);
    give(&b, URGENT, STORE_A, 9, 1);
    answer_with(&b, URGENT, VG_COAP_UNAVAILABLE, 10, (struct vg_span){0});
    forget(&b);
    lose(&b, VGI_LOST_CLOSED);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    assert_int_equal(deadline_in_ms(&b), 10000);
    pass_ms(&b, 10000);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collector_that_closes_every_session_is_not_stormed),
        cmocka_unit_test(collectors_that_close_every_session_in_turn_are_not_stormed),
        cmocka_unit_test(the_wait_after_many_closes_stays_far_under_a_heartbeats_patience),
        cmocka_unit_test(a_backoff_max_below_the_bound_of_that_wait_bounds_it_too),
        cmocka_unit_test(sessions_closed_before_they_carried_anything_wait_no_longer_either),
        cmocka_unit_test(an_urgent_row_ends_a_wait_that_a_close_began_and_a_routine_row_does_not),
        cmocka_unit_test(an_urgent_row_in_flight_when_its_session_is_closed_ends_the_wait_too),
        cmocka_unit_test(urgent_rows_end_such_waits_once_in_five_seconds_and_no_more),
        cmocka_unit_test(a_storm_of_closes_and_urgent_rows_is_a_session_in_five_seconds_at_most),
        cmocka_unit_test(a_failure_after_closes_begins_the_backoff_at_its_own_beginning),
        cmocka_unit_test(an_urgent_row_waits_for_a_collector_that_has_asked_for_peace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
