/* No collector answers: how soon the next try is made, and for whom. */
#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define URGENT_FIRST_MS                                                                            \
    5000 /* the least between a try and the first that an urgent row calls for */
#define URGENT_MOST_MS 30000 /* and the most, however long the outage */
#define BACKOFF_MAX_MS 60000 /* the default */

/* Tried and failed `times` times in a row, each after its wait. */
static void fail_times(struct bench *b, int times)
{
    for (int i = 0; i < times; i++) {
        forget(b);
        lose(b, VGI_LOST_REFUSED);
        if (i + 1 < times) {
            pass_ms(b, deadline_in_ms(b));
        }
    }
}

static void bench_outage(struct bench *b)
{
    bench_init(b, 1);
    bench_start(b);
    for (int l = 0; l < VG_UPLINK_LANES; l++) {
        hand(b, (enum vg_uplink_lane)l, NULL, 0);
    }
}

static void without_urgent_rows_the_wait_is_a_minute_at_most(void **state)
{
    (void)state;
    struct bench b;
    bench_outage(&b);
    give(&b, ROUTINE, STORE_A, 1, 1);
    for (int i = 0; i < 20; i++) {
        forget(&b);
        lose(&b, VGI_LOST_REFUSED);
        int64_t wait = deadline_in_ms(&b);
        assert_int_equal(wait, last_told(&b, VG_UPLINK_EV_BACKOFF)->detail);
        assert_true(wait <= BACKOFF_MAX_MS && (i < 6 || wait >= BACKOFF_MAX_MS / 2));
        pass_ms(&b, wait);
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    }
    bench_done(&b);
}

static void an_urgent_row_after_ten_failed_handshakes_is_tried_within_thirty_seconds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct bench b;
        bench_init(&b, 1);
        b.options.seed = seed;
        bench_start(&b);
        for (int l = 0; l < VG_UPLINK_LANES; l++) {
            hand(&b, (enum vg_uplink_lane)l, NULL, 0);
        }
        fail_times(&b, 10);
        forget(&b);
        give(&b, URGENT, STORE_A, 1, 1);
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0); /* the last try was a moment ago */
        int64_t wait = deadline_in_ms(&b);
        assert_true(wait >= URGENT_FIRST_MS && wait <= 2 * URGENT_FIRST_MS);
        pass_ms(&b, wait - 1);
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
        pass_ms(&b, 1);
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
        connected(&b);
        expect_sent(&b, URGENT, STORE_A, 1, 1);
        bench_done(&b);
    }
}

static void an_urgent_row_late_in_a_wait_is_tried_at_once(void **state)
{
    (void)state;
    struct bench b;
    bench_outage(&b);
    fail_times(&b, 10);
    pass_ms(&b, 2 * URGENT_FIRST_MS);
    forget(&b);
    give(&b, ROUTINE, STORE_A, 1, 1);
    vgi_core_notify(b.core, URGENT, b.now); /* news, but no row yet */
    collect(&b);
    hand(&b, URGENT, NULL, 0);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    give(&b, URGENT, STORE_A, 1, 1);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    bench_done(&b);
}

/* A day without a collector and with an urgent row all the time. */
static void tries_for_urgent_rows_grow_rarer_but_not_rarer_than_thirty_seconds(void **state)
{
    (void)state;
    struct bench b;
    bench_outage(&b);
    give(&b, URGENT, STORE_A, 1, 1);
    const int64_t day_ms = 86400000;
    int64_t passed = 0, tries = 0;
    for (; passed < day_ms; tries++) {
        forget(&b);
        lose(&b, VGI_LOST_REFUSED);
        int64_t wait = deadline_in_ms(&b);
        assert_true(wait <= URGENT_MOST_MS);
        assert_true(tries < 6 || wait >= URGENT_FIRST_MS);
        assert_true(tries < 8 || wait >= URGENT_MOST_MS / 2);
        pass_ms(&b, wait);
        passed += wait;
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    }
    assert_true(tries <= 10 + day_ms / (URGENT_MOST_MS / 2));
    bench_done(&b);
}

static void a_2_04_begins_the_pace_of_those_tries_anew(void **state)
{
    (void)state;
    struct bench b;
    bench_outage(&b);
    give(&b, URGENT, STORE_A, 1, 1);
    fail_times(&b, 20);
    assert_true(deadline_in_ms(&b) >= URGENT_MOST_MS / 2);
    pass_ms(&b, deadline_in_ms(&b));
    forget(&b);
    connected(&b);
    answer(&b, URGENT, VG_COAP_CHANGED);
    give(&b, URGENT, STORE_A, 2, 1);
    lose(&b, VGI_LOST_UNANSWERED); /* it worked: once at once */
    for (int i = 0; i < 6; i++) {  /* 1, 2, 4 … seconds, and 5 to 10 where that would be more */
        forget(&b);
        lose(&b, VGI_LOST_REFUSED);
        assert_true(deadline_in_ms(&b) <= 4 * URGENT_FIRST_MS);
        pass_ms(&b, deadline_in_ms(&b));
    }
    bench_done(&b);
}

static void an_urgent_row_does_not_end_the_wait_that_a_collector_asked_for(void **state)
{
    (void)state;
    struct bench b;
    bench_outage(&b);
    fail_times(&b, 10);
    pass_ms(&b, deadline_in_ms(&b));
    connected(&b);
    give(&b, URGENT, STORE_A, 1, 1);
    answer_with(&b, URGENT, VG_COAP_UNAVAILABLE, 25, (struct vg_span){0});
    forget(&b);
    lose(&b, VGI_LOST_TIMEOUT);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    assert_int_equal(deadline_in_ms(&b), 25000);
    bench_done(&b);
}

#define AGENTS 1000

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* All lose their collector at one moment, all have an urgent row, and it stays away for ten
 * minutes: whatever moment it returns at, what reaches it then is spread. */
static void a_thousand_agents_do_not_return_together(void **state)
{
    (void)state;
    static int64_t next[AGENTS];
    for (uint64_t seed = 0; seed < AGENTS; seed++) {
        struct bench b;
        bench_init(&b, 1);
        b.options.seed = 1000 + seed;
        bench_start(&b);
        hand(&b, ROUTINE, NULL, 0);
        struct vg_uplink_row row = row_of("s1", STORE_A, 1);
        hand(&b, URGENT, &row, 1);
        int64_t passed = 0;
        while (passed < 600000) {
            forget(&b);
            lose(&b, VGI_LOST_REFUSED);
            int64_t wait = deadline_in_ms(&b);
            pass_ms(&b, wait);
            passed += wait;
        }
        next[seed] = passed - 600000;
        bench_done(&b);
    }
    qsort(next, AGENTS, sizeof next[0], compare);
    assert_true(next[AGENTS - 1] <= URGENT_MOST_MS);
    /* Evenly over some 22 s they would be 45 in each second. */
    for (size_t i = 0; i + 100 < AGENTS; i++) {
        assert_true(next[i + 100] - next[i] > 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_urgent_rows_the_wait_is_a_minute_at_most),
        cmocka_unit_test(an_urgent_row_after_ten_failed_handshakes_is_tried_within_thirty_seconds),
        cmocka_unit_test(an_urgent_row_late_in_a_wait_is_tried_at_once),
        cmocka_unit_test(tries_for_urgent_rows_grow_rarer_but_not_rarer_than_thirty_seconds),
        cmocka_unit_test(a_2_04_begins_the_pace_of_those_tries_anew),
        cmocka_unit_test(an_urgent_row_does_not_end_the_wait_that_a_collector_asked_for),
        cmocka_unit_test(a_thousand_agents_do_not_return_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
