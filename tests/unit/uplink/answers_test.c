/* The answer table of vigia/uplink.h, row by row; those that ask for a wait: waits_test.c. */
#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void a_2_04_removes_the_rows(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, URGENT, STORE_A, 10, 3);
    answer(&b, URGENT, VG_COAP_CHANGED);
    for (size_t i = 0; i < 3; i++) {
        const struct vg_uplink_outcome *o = settled(&b, URGENT, i, 3);
        assert_true(o->store == STORE_A);
        assert_int_equal(o->seq, 10 + i);
        assert_int_equal(o->fate, VG_UPLINK_DONE);
    }
    bench_done(&b);
}

static void a_hole_or_another_store_ends_a_batch(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    const struct vg_uplink_row rows[] = {row_of("s1", STORE_A, 1), row_of("s2", STORE_A, 2),
                                         row_of("s1", STORE_A, 4), row_of("s1", STORE_B, 5)};
    give_rows(&b, ROUTINE, rows, 4);
    expect_sent(&b, ROUTINE, STORE_A, 1, 2);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    expect_sent(&b, ROUTINE, STORE_A, 4, 1);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    expect_sent(&b, ROUTINE, STORE_B, 5, 1);
    bench_done(&b);
}

static void what_does_not_fit_in_a_body_goes_with_the_next(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    b.fit = 3;
    give(&b, ROUTINE, STORE_A, 1, 5);
    expect_sent(&b, ROUTINE, STORE_A, 1, 3);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    expect_sent(&b, ROUTINE, STORE_A, 4, 2);
    bench_done(&b);
}

static void a_row_that_cannot_be_encoded_is_quarantined_and_the_rest_goes(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    assert_true(vg_str_copy("bad", b.unpackable, sizeof b.unpackable));
    const struct vg_uplink_row rows[] = {row_of("bad", STORE_A, 1), row_of("bad", STORE_A, 2),
                                         row_of("s1", STORE_A, 3)};
    give_rows(&b, ROUTINE, rows, 3);
    assert_int_equal(settled(&b, ROUTINE, 0, 2)->fate, VG_UPLINK_QUARANTINED);
    assert_int_equal(settled(&b, ROUTINE, 1, 2)->seq, 2);
    assert_int_equal(last_told(&b, VG_UPLINK_EV_QUARANTINED)->detail, 2);
    expect_sent(&b, ROUTINE, STORE_A, 3, 1);
    bench_done(&b);
}

static void refused_rows_are_quarantined_and_the_rest_goes_in_runs_of_its_own(unsigned code)
{
    struct bench b;
    bench_up(&b, 1);
    give(&b, URGENT, STORE_A, 10, 6);
    const struct vg_refusal list[] = {{0, (uint8_t)code}, {3, (uint8_t)code}};
    refuse(&b, URGENT, code, list, 2);
    assert_int_equal(settled(&b, URGENT, 0, 2)->seq, 10);
    assert_int_equal(settled(&b, URGENT, 1, 2)->seq, 13);
    assert_int_equal(settled(&b, URGENT, 1, 2)->fate, VG_UPLINK_QUARANTINED);
    assert_int_equal(settled(&b, URGENT, 1, 2)->code, code);
    expect_sent(&b, URGENT, STORE_A, 11, 2);
    answer(&b, URGENT, VG_COAP_CHANGED);
    expect_sent(&b, URGENT, STORE_A, 14, 2);
    answer(&b, URGENT, VG_COAP_CHANGED);
    assert_int_equal(vgi_core_stats(b.core)->rows_quarantined, 2);
    assert_int_equal(vgi_core_stats(b.core)->rows_done, 4);
    bench_done(&b);
}

static void a_4_22_quarantines_the_named_rows(void **state)
{
    (void)state;
    refused_rows_are_quarantined_and_the_rest_goes_in_runs_of_its_own(VG_COAP_UNPROCESSABLE);
}

static void a_4_00_quarantines_the_named_rows(void **state)
{
    (void)state;
    refused_rows_are_quarantined_and_the_rest_goes_in_runs_of_its_own(VG_COAP_BAD_REQUEST);
}

static void without_a_list_the_batch_is_halved_down_to_the_bad_row(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 4); /* number 2 is bad */
    answer(&b, ROUTINE, VG_COAP_BAD_REQUEST);
    expect_sent(&b, ROUTINE, STORE_A, 1, 2);
    answer(&b, ROUTINE, VG_COAP_BAD_REQUEST);
    expect_sent(&b, ROUTINE, STORE_A, 1, 1);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    expect_sent(&b, ROUTINE, STORE_A, 2, 2);
    answer(&b, ROUTINE, VG_COAP_BAD_REQUEST);
    expect_sent(&b, ROUTINE, STORE_A, 2, 1);
    answer(&b, ROUTINE, VG_COAP_BAD_REQUEST);
    assert_int_equal(settled(&b, ROUTINE, 0, 1)->seq, 2);
    assert_int_equal(settled(&b, ROUTINE, 0, 1)->fate, VG_UPLINK_QUARANTINED);
    expect_sent(&b, ROUTINE, STORE_A, 3, 1);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    expect_sent(&b, ROUTINE, STORE_A, 4, 1);
    bench_done(&b);
}

static void a_list_that_makes_no_sense_counts_as_none(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 4);
    const struct vg_refusal beyond[] = {{0, VG_COAP_UNPROCESSABLE}, {4, VG_COAP_UNPROCESSABLE}};
    refuse(&b, ROUTINE, VG_COAP_UNPROCESSABLE, beyond, 2);
    expect_sent(&b, ROUTINE, STORE_A, 1, 2);
    refuse(&b, ROUTINE, VG_COAP_UNPROCESSABLE, NULL, 0);
    expect_sent(&b, ROUTINE, STORE_A, 1, 1);
    assert_int_equal(vgi_core_stats(b.core)->rows_quarantined, 0);
    answer_with(&b, ROUTINE, VG_COAP_UNPROCESSABLE, -1, VG_SPAN("not CBOR"));
    assert_int_equal(vgi_core_stats(b.core)->rows_quarantined, 1);
    bench_done(&b);
}

static void a_4_03_parks_the_named_rows_for_an_hour(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    const struct vg_uplink_row rows[] = {row_of("mine", STORE_A, 1), row_of("foreign", STORE_A, 2),
                                         row_of("mine", STORE_A, 3), row_of("foreign", STORE_A, 4)};
    give_rows(&b, ROUTINE, rows, 4);
    const struct vg_refusal list[] = {{1, VG_COAP_FORBIDDEN}, {3, VG_COAP_FORBIDDEN}};
    refuse(&b, ROUTINE, VG_COAP_FORBIDDEN, list, 2);
    assert_int_equal(settled(&b, ROUTINE, 0, 2)->fate, VG_UPLINK_PARKED);
    assert_int_equal(settled(&b, ROUTINE, 0, 2)->seq, 2);
    assert_int_equal(vg_mono_diff_ms(settled(&b, ROUTINE, 0, 2)->until, b.now), 3600000);
    assert_int_equal(last_told(&b, VG_UPLINK_EV_PARKED)->detail, 2);
    expect_sent(&b, ROUTINE, STORE_A, 1, 1);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    expect_sent(&b, ROUTINE, STORE_A, 3, 1);
    bench_done(&b);
}

static void later_rows_of_a_parked_sensor_do_not_overtake_its_parked_ones(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    const struct vg_uplink_row first[] = {row_of("foreign", STORE_A, 1)};
    give_rows(&b, ROUTINE, first, 1);
    answer(&b, ROUTINE, VG_COAP_FORBIDDEN);
    struct vg_mono until = settled(&b, ROUTINE, 0, 1)->until;
    pass_ms(&b, 1800000);
    forget(&b);
    const struct vg_uplink_row later[] = {row_of("foreign", STORE_A, 2),
                                          row_of("mine", STORE_A, 3)};
    give_rows(&b, ROUTINE, later, 2);
    assert_int_equal(settled(&b, ROUTINE, 0, 1)->seq, 2);
    assert_int_equal(settled(&b, ROUTINE, 0, 1)->fate, VG_UPLINK_PARKED);
    assert_true(settled(&b, ROUTINE, 0, 1)->until.ns == until.ns); /* they return together */
    expect_sent(&b, ROUTINE, STORE_A, 3, 1);
    /* The other lane has numbers and marks of its own. */
    const struct vg_uplink_row urgent[] = {row_of("foreign", STORE_A, 9)};
    give_rows(&b, URGENT, urgent, 1);
    expect_sent(&b, URGENT, STORE_A, 9, 1);
    bench_done(&b);
}

static void rows_of_a_parked_sensor_that_already_wait_are_parked_too(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    b.fit = 2;
    const struct vg_uplink_row rows[] = {row_of("foreign", STORE_A, 1), row_of("mine", STORE_A, 2),
                                         row_of("foreign", STORE_A, 3), row_of("mine", STORE_A, 4)};
    give_rows(&b, ROUTINE, rows, 4);
    const struct vg_refusal list[] = {{0, VG_COAP_FORBIDDEN}};
    refuse(&b, ROUTINE, VG_COAP_FORBIDDEN, list, 1);
    assert_int_equal(settled(&b, ROUTINE, 1, 2)->seq, 3);
    expect_sent(&b, ROUTINE, STORE_A, 2, 1);
    bench_done(&b);
}

static void parked_rows_are_asked_for_again_when_the_hour_is_over(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    const struct vg_uplink_row rows[] = {row_of("foreign", STORE_A, 1)};
    give_rows(&b, ROUTINE, rows, 1);
    answer(&b, ROUTINE, VG_COAP_FORBIDDEN);
    forget(&b);
    assert_int_equal(deadline_in_ms(&b), 3600000);
    pass_ms(&b, 3600000);
    assert_int_equal(last_of(&b, VGI_ACT_FETCH)->action.lane, ROUTINE);
    hand(&b, ROUTINE, rows, 1);
    expect_sent(&b, ROUTINE, STORE_A, 1, 1);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    assert_int_equal(settled(&b, ROUTINE, 0, 1)->fate, VG_UPLINK_DONE);
    bench_done(&b);
}

static void above_its_bound_the_oldest_parked_sensor_is_forgotten_and_counted(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    static const char *const names[] = {"f1", "f2", "f3", "f4", "f5"};
    struct vg_uplink_row rows[5];
    for (size_t i = 0; i < 5; i++) {
        rows[i] = row_of(names[i], STORE_A, i + 1);
    }
    give_rows(&b, ROUTINE, rows, 5);
    answer(&b, ROUTINE, VG_COAP_FORBIDDEN); /* no list: all of them */
    assert_int_equal(settled(&b, ROUTINE, 4, 5)->fate, VG_UPLINK_PARKED);
    assert_int_equal(vgi_core_stats(b.core)->parked_forgotten, 1);
    const struct vg_uplink_row again[] = {row_of("f1", STORE_A, 6), row_of("f5", STORE_A, 7)};
    give_rows(&b, ROUTINE, again, 2);
    expect_sent(&b, ROUTINE, STORE_A, 6, 1);
    bench_done(&b);
}

/* As many as a scenario may have, in both lanes. */
#define EVERY_SENSOR 4096

/* Gives the lane every sensor's next row; asserts that none is sent, or that all are and are
 * refused. */
static void all_foreign(struct bench *b, enum vg_uplink_lane lane, uint64_t from, bool sent)
{
    for (uint64_t i = 0; i < EVERY_SENSOR; i += BENCH_BATCH) {
        struct vg_uplink_row rows[BENCH_BATCH];
        for (uint64_t k = 0; k < BENCH_BATCH; k++) {
            char name[VG_SENSOR_ID_MAX + 1];
            (void)snprintf(name, sizeof name, "site:%04u", (unsigned)(i + k));
            rows[k] = row_of(name, STORE_A, from + i + k);
        }
        forget(b);
        give_rows(b, lane, rows, BENCH_BATCH);
        assert_int_equal(count_of(b, VGI_ACT_SEND), sent);
        if (sent) {
            answer(b, lane, VG_COAP_FORBIDDEN);
        }
        assert_int_equal(settled(b, lane, BENCH_BATCH - 1, BENCH_BATCH)->fate, VG_UPLINK_PARKED);
    }
}

static void no_row_overtakes_where_every_sensor_of_a_large_device_is_foreign(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 1);
    struct vg_uplink_options usual;
    vg_uplink_options_init(&usual);
    b.options.parked_sensors = usual.parked_sensors;
    bench_start(&b);
    connected(&b);
    all_foreign(&b, ROUTINE, 1, true);
    all_foreign(&b, URGENT, 1, true);
    all_foreign(&b, ROUTINE, 1 + EVERY_SENSOR, false);
    all_foreign(&b, URGENT, 1 + EVERY_SENSOR, false);
    assert_int_equal(vgi_core_stats(b.core)->parked_forgotten, 0);
    bench_done(&b);
}

static void a_mixed_list_parks_some_and_quarantines_others(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    const struct vg_uplink_row rows[] = {row_of("bad", STORE_A, 1), row_of("foreign", STORE_A, 2),
                                         row_of("mine", STORE_A, 3)};
    give_rows(&b, URGENT, rows, 3);
    const struct vg_refusal list[] = {{0, VG_COAP_UNPROCESSABLE}, {1, VG_COAP_FORBIDDEN}};
    refuse(&b, URGENT, VG_COAP_UNPROCESSABLE, list, 2);
    assert_int_equal(settled(&b, URGENT, 0, 2)->fate, VG_UPLINK_QUARANTINED);
    assert_int_equal(settled(&b, URGENT, 1, 2)->fate, VG_UPLINK_PARKED);
    expect_sent(&b, URGENT, STORE_A, 3, 1);
    bench_done(&b);
}

static void a_4_01_ends_the_session_and_waits_before_a_new_handshake(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, URGENT, STORE_A, 1, 1);
    answer(&b, URGENT, VG_COAP_CHANGED); /* unlike other ends, this one backs off also where the
                                            session had worked */
    give(&b, URGENT, STORE_A, 2, 1);
    forget(&b);
    give(&b, ROUTINE, STORE_A, 1, 1);
    answer(&b, ROUTINE, VG_COAP_UNAUTHORIZED);
    assert_int_equal(count_of(&b, VGI_ACT_CLOSE), 1);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
    assert_int_equal(count_of(&b, VGI_ACT_SETTLE), 0);
    pass_ms(&b, last_told(&b, VG_UPLINK_EV_BACKOFF)->detail);
    assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 1);
    connected(&b);
    expect_sent(&b, URGENT, STORE_A, 2, 1);
    expect_sent(&b, ROUTINE, STORE_A, 1, 1);
    bench_done(&b);
}

static void a_4_13_halves_and_a_single_row_is_quarantined(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 5);
    answer(&b, ROUTINE, VG_COAP_TOO_LARGE);
    expect_sent(&b, ROUTINE, STORE_A, 1, 2);
    answer(&b, ROUTINE, VG_COAP_TOO_LARGE);
    expect_sent(&b, ROUTINE, STORE_A, 1, 1);
    answer(&b, ROUTINE, VG_COAP_TOO_LARGE);
    assert_int_equal(settled(&b, ROUTINE, 0, 1)->fate, VG_UPLINK_QUARANTINED);
    expect_sent(&b, ROUTINE, STORE_A, 2, 1);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    expect_sent(&b, ROUTINE, STORE_A, 3, 2);
    bench_done(&b);
}

static void a_4_15_falls_back_to_json(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 2);
    assert_int_equal(last_of(&b, VGI_ACT_SEND)->action.format, VG_FORMAT_SENML_CBOR);
    answer(&b, ROUTINE, VG_COAP_UNSUPPORTED_FORMAT);
    assert_int_equal(last_told(&b, VG_UPLINK_EV_FORMAT)->detail, 0);
    assert_int_equal(last_of(&b, VGI_ACT_SEND)->action.format, VG_FORMAT_SENML_JSON);
    answer(&b, ROUTINE, VG_COAP_CHANGED);
    assert_int_equal(vgi_core_stats(b.core)->rows_done, 2);
    bench_done(&b);
}

static void a_4_15_for_json_too_is_an_error_that_waits_an_hour(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 2);
    answer(&b, ROUTINE, VG_COAP_UNSUPPORTED_FORMAT);
    answer(&b, ROUTINE, VG_COAP_UNSUPPORTED_FORMAT);
    assert_int_equal(last_told(&b, VG_UPLINK_EV_FORMAT)->detail, 1);
    assert_int_equal(count_of(&b, VGI_ACT_SEND), 2);
    assert_int_equal(count_of(&b, VGI_ACT_SETTLE), 0);
    assert_int_equal(deadline_in_ms(&b), 3600000);
    pass_ms(&b, 3600000);
    assert_int_equal(last_of(&b, VGI_ACT_SEND)->action.format, VG_FORMAT_SENML_CBOR);
    bench_done(&b);
}

static void a_new_session_begins_with_cbor_again(void **state)
{
    (void)state;
    struct bench b;
    bench_up(&b, 1);
    give(&b, ROUTINE, STORE_A, 1, 2);
    answer(&b, ROUTINE, VG_COAP_UNSUPPORTED_FORMAT);
    lose(&b, VGI_LOST_CLOSED);
    pass_ms(&b, vgi_core_stats(b.core)->wait_ms);
    connected(&b);
    assert_int_equal(last_of(&b, VGI_ACT_SEND)->action.format, VG_FORMAT_SENML_CBOR);
    bench_done(&b);
}

static void
any_other_answer_keeps_the_rows_and_goes_to_the_next_collector_after_a_backoff(void **state)
{
    (void)state;
    static const unsigned codes[] = {VG_COAP_CODE(2, 1),  VG_COAP_CODE(2, 5), VG_COAP_NOT_FOUND,
                                     VG_COAP_NOT_ALLOWED, VG_COAP_INTERNAL,   VG_COAP_CODE(5, 2)};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct bench b;
        bench_up(&b, 2);
        give(&b, URGENT, STORE_A, 1, 1);
        answer(&b, URGENT, codes[i]);
        assert_int_equal(last_told(&b, VG_UPLINK_EV_UNEXPECTED)->detail, codes[i]);
        assert_int_equal(count_of(&b, VGI_ACT_SETTLE), 0);
        assert_int_equal(count_of(&b, VGI_ACT_CONNECT), 0);
        pass_ms(&b, last_told(&b, VG_UPLINK_EV_BACKOFF)->detail);
        assert_int_equal(last_of(&b, VGI_ACT_CONNECT)->action.collector, 1);
        bench_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_2_04_removes_the_rows),
        cmocka_unit_test(a_hole_or_another_store_ends_a_batch),
        cmocka_unit_test(what_does_not_fit_in_a_body_goes_with_the_next),
        cmocka_unit_test(a_row_that_cannot_be_encoded_is_quarantined_and_the_rest_goes),
        cmocka_unit_test(a_4_22_quarantines_the_named_rows),
        cmocka_unit_test(a_4_00_quarantines_the_named_rows),
        cmocka_unit_test(without_a_list_the_batch_is_halved_down_to_the_bad_row),
        cmocka_unit_test(a_list_that_makes_no_sense_counts_as_none),
        cmocka_unit_test(a_4_03_parks_the_named_rows_for_an_hour),
        cmocka_unit_test(later_rows_of_a_parked_sensor_do_not_overtake_its_parked_ones),
        cmocka_unit_test(rows_of_a_parked_sensor_that_already_wait_are_parked_too),
        cmocka_unit_test(parked_rows_are_asked_for_again_when_the_hour_is_over),
        cmocka_unit_test(above_its_bound_the_oldest_parked_sensor_is_forgotten_and_counted),
        cmocka_unit_test(no_row_overtakes_where_every_sensor_of_a_large_device_is_foreign),
        cmocka_unit_test(a_mixed_list_parks_some_and_quarantines_others),
        cmocka_unit_test(a_4_01_ends_the_session_and_waits_before_a_new_handshake),
        cmocka_unit_test(a_4_13_halves_and_a_single_row_is_quarantined),
        cmocka_unit_test(a_4_15_falls_back_to_json),
        cmocka_unit_test(a_4_15_for_json_too_is_an_error_that_waits_an_hour),
        cmocka_unit_test(a_new_session_begins_with_cbor_again),
        cmocka_unit_test(
            any_other_answer_keeps_the_rows_and_goes_to_the_next_collector_after_a_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
