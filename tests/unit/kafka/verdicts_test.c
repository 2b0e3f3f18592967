/* Verdicts of the appender when the broker refuses, stalls, or the producer breaks; against the
 * client's mock broker. */
#include "../../../collector/log/kafka_appender.h"
#include "mock.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

#define PRODUCE 0 /* the API key of Kafka's protocol */

struct fx {
    struct mock mock;
    void *appender;
    int durable, failed;
    struct vg_dlog_verdict last, refused;
};

static int setup(void **state)
{
    struct vg_error err;
    struct fx *fx = calloc(1, sizeof *fx);
    mock_start(&fx->mock, 2);
    fx->mock.conf.verdict_ms = 2000;
    fx->mock.conf.queue_max = 100;
    mock_open(&fx->mock);
    ok(vgi_kafka_appender_open(fx->mock.log, &fx->appender, &err), &err);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fx *fx = *state;
    if (fx->appender != NULL) {
        vgi_kafka_appender_close(fx->appender);
    }
    mock_stop(&fx->mock);
    free(fx);
    return 0;
}

static void on_verdict(void *arg, const struct vg_dlog_verdict *v)
{
    struct fx *fx = arg;
    fx->durable += v->result == VG_OK;
    fx->failed += v->result != VG_OK;
    fx->last = *v;
    fx->refused = v->result != VG_OK ? *v : fx->refused;
}

static enum vg_err append(struct fx *fx)
{
    const struct vg_dlog_entry entry = {VG_SPAN("k"), VG_SPAN("{}")};
    return vgi_kafka_append(fx->appender, VG_TOPIC_READINGS, -1, VG_DLOG_URGENT, &entry, 1,
                            on_verdict, fx);
}

static void turn(struct fx *fx)
{
    struct vg_error err;
    struct pollfd p = {.fd = vgi_kafka_appender_fd(fx->appender), .events = POLLIN};
    poll(&p, 1, 20);
    ok(vgi_kafka_appender_dispatch(fx->appender, &err), &err);
}

/* Turns until `at`: a moment of the clock is what the test is about. */
static void turn_until(struct fx *fx, int64_t at)
{
    while (vgi_now_ms() < at) {
        turn(fx);
    }
}

/* Dispatches until `n` verdicts have come. */
static void await(struct fx *fx, int n)
{
    struct vg_error err;
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (fx->durable + fx->failed < n) {
        struct pollfd p = {.fd = vgi_kafka_appender_fd(fx->appender), .events = POLLIN};
        assert_true(vgi_now_ms() < until);
        poll(&p, 1, VG_DLOG_TURN_MS);
        ok(vgi_kafka_appender_dispatch(fx->appender, &err), &err);
    }
}

static void a_refusal_that_passes_ends_in_a_durable_verdict(void **state)
{
    struct fx *fx = *state;
    rd_kafka_mock_push_request_errors(fx->mock.cluster, PRODUCE, 2,
                                      RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(append(fx), VG_OK);
    }
    await(fx, 10);
    assert_int_equal(fx->durable, 10);
    assert_int_equal(vgi_kafka_appender_pending(fx->appender), 0);
}

static void a_refusal_that_stays_fails_and_says_that_nothing_is_stored(void **state)
{
    struct fx *fx = *state;
    rd_kafka_mock_push_request_errors(fx->mock.cluster, PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_INVALID_RECORD);
    assert_int_equal(append(fx), VG_OK);
    await(fx, 1);
    assert_int_equal(fx->failed, 1);
    assert_int_equal(fx->last.result, VG_E_IO);
    assert_false(fx->last.maybe_persisted);
    assert_int_equal(fx->last.offset, -1);
}

static void a_broker_that_is_gone_fails_within_the_verdicts_time(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(append(fx), VG_OK);
    await(fx, 1);
    rd_kafka_mock_broker_set_down(fx->mock.cluster, 1);
    const int64_t from = vgi_now_ms();
    assert_int_equal(append(fx), VG_OK);
    await(fx, 2);
    assert_int_equal(fx->last.result, VG_E_TIMEOUT);
    assert_true(vgi_now_ms() - from < DEADLINE_MS);
    rd_kafka_mock_broker_set_up(fx->mock.cluster, 1);
    assert_int_equal(append(fx), VG_OK);
    await(fx, 3);
    assert_int_equal(fx->last.result, VG_OK);
}

static void an_answer_that_does_not_come_leaves_it_open_whether_the_record_is_stored(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(append(fx), VG_OK);
    await(fx, 1);
    rd_kafka_mock_broker_set_rtt(fx->mock.cluster, 1, 10000);
    assert_int_equal(append(fx), VG_OK);
    await(fx, 2);
    assert_int_equal(fx->last.result, VG_E_TIMEOUT);
    assert_true(fx->last.maybe_persisted);
}

/* The client looks for records that are too old once a second, each by itself. */
static void no_record_becomes_durable_before_an_earlier_one_that_timed_out(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(append(fx), VG_OK);
    await(fx, 1);
    rd_kafka_mock_broker_set_down(fx->mock.cluster, 1);
    const int64_t from = vgi_now_ms();
    assert_int_equal(append(fx), VG_OK); /* offset 1 */
    turn_until(fx, from + fx->mock.conf.verdict_ms - 100);
    assert_int_equal(append(fx), VG_OK); /* offset 2, if the log keeps their order */
    await(fx, 2);
    assert_int_equal(fx->last.result, VG_E_TIMEOUT);
    assert_true(vgi_kafka_appender_holds(fx->appender, fx)); /* both may be stored yet */
    assert_false(vgi_kafka_appender_holds(fx->appender, state));
    turn_until(fx, from + fx->mock.conf.verdict_ms + 1100);
    rd_kafka_mock_broker_set_up(fx->mock.cluster, 1);
    await(fx, 3); /* durable or timed out, as fast as the client finds the broker again */
    assert_int_equal(append(fx), VG_OK);
    await(fx, 4);
    assert_int_equal(fx->last.result, VG_OK);
    assert_int_equal(fx->last.offset, 3);
    assert_false(vgi_kafka_appender_holds(fx->appender, fx));
}

static void no_record_becomes_durable_behind_one_that_was_refused(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(append(fx), VG_OK);
    await(fx, 1);
    rd_kafka_mock_broker_set_rtt(fx->mock.cluster, 1, 500);
    rd_kafka_mock_push_request_errors(fx->mock.cluster, PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_INVALID_RECORD);
    const int64_t from = vgi_now_ms();
    assert_int_equal(append(fx), VG_OK);
    turn_until(fx, from + 200); /* it is on its way by now */
    assert_int_equal(append(fx), VG_OK);
    await(fx, 3);
    assert_int_equal(fx->durable, 1);
    assert_int_equal(fx->failed, 2);
}

/* When the produce requests came that the broker has received, at most `max`; how many there were. */
static size_t produce_requests(struct fx *fx, int64_t *at_us, size_t max)
{
    size_t all = 0, n = 0;
    rd_kafka_mock_request_t **requests = rd_kafka_mock_get_requests(fx->mock.cluster, &all);
    for (size_t i = 0; i < all; i++) {
        if (rd_kafka_mock_request_api_key(requests[i]) == PRODUCE && n < max) {
            at_us[n++] = (int64_t)rd_kafka_mock_request_timestamp(requests[i]);
        }
    }
    rd_kafka_mock_request_destroy_array(requests, all);
    return n;
}

/* Turns until the broker has received `n` produce requests. */
static void await_requests(struct fx *fx, size_t n)
{
    int64_t at_us[4];
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (produce_requests(fx, at_us, 4) < n) {
        assert_true(vgi_now_ms() < until);
        turn(fx);
    }
}

/* A broker that has heard nothing of a producer yet takes any sequence number. So a second request
 * that was on its way while the first one was refused is stored, and the client calls the first one
 * delivered as well. Nobody has told its offset, and it is not there. */
static void no_record_is_called_durable_because_a_later_one_is(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(append(fx), VG_OK);
    await(fx, 1);
    fx->mock.conf.verdict_ms = DEADLINE_MS;
    rd_kafka_mock_broker_set_rtt(fx->mock.cluster, 1, 2000); /* no answer before the second */
    rd_kafka_mock_start_request_tracking(fx->mock.cluster);
    rd_kafka_mock_push_request_errors(fx->mock.cluster, PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    assert_int_equal(append(fx), VG_OK);
    await_requests(fx, 1);
    assert_int_equal(append(fx), VG_OK);
    await_requests(fx, 2);
    await(fx, 3);
    rd_kafka_mock_stop_request_tracking(fx->mock.cluster);
    assert_int_equal(fx->durable, 2);
    assert_int_equal(fx->failed, 1);
    assert_int_equal(fx->refused.result, VG_E_IO);
    assert_true(fx->refused.maybe_persisted);
    assert_int_equal(fx->refused.offset, -1);
}

/* cross/patches/librdkafka, 0005 */
static void nothing_is_sent_behind_a_first_request_before_it_is_acknowledged(void **state)
{
    struct fx *fx = *state;
    int64_t at_us[4] = {0};
    fx->mock.conf.verdict_ms = DEADLINE_MS; /* it takes some answers to connect */
    rd_kafka_mock_broker_set_rtt(fx->mock.cluster, 1, 300);
    rd_kafka_mock_start_request_tracking(fx->mock.cluster);
    assert_int_equal(append(fx), VG_OK);
    await_requests(fx, 1);
    assert_int_equal(append(fx), VG_OK);
    await(fx, 2);
    assert_int_equal(fx->durable, 2);
    assert_int_equal(produce_requests(fx, at_us, 4), 2);
    assert_in_range(at_us[1] - at_us[0], 290000, DEADLINE_MS * 1000);
    rd_kafka_mock_stop_request_tracking(fx->mock.cluster);
}

static void a_full_queue_refuses_and_takes_records_again_after_a_verdict(void **state)
{
    struct fx *fx = *state;
    int taken = 0;
    while (append(fx) == VG_OK) {
        taken++;
    }
    assert_int_equal(taken, 100);
    assert_int_equal(append(fx), VG_E_FULL);
    await(fx, taken);
    assert_int_equal(append(fx), VG_OK);
    await(fx, taken + 1);
    assert_int_equal(fx->durable, taken + 1);
}

static void a_producer_with_a_fatal_error_is_replaced(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(append(fx), VG_OK);
    await(fx, 1);
    rd_kafka_test_fatal_error(vgi_kafka_appender_handle(fx->appender),
                              RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "made by a test");
    assert_int_equal(append(fx), VG_E_FULL); /* nothing is taken until the next dispatch */
    struct vg_error err;
    ok(vgi_kafka_appender_dispatch(fx->appender, &err), &err);
    assert_int_equal(vgi_kafka_appender_renewed(fx->appender), 1);
    assert_int_equal(append(fx), VG_OK);
    await(fx, 2);
    assert_int_equal(fx->durable, 2);
}

static int64_t cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The client's thread used to turn without a pause while it might not send what was queued. */
static void waiting_for_an_answer_costs_next_to_no_processor_time(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(append(fx), VG_OK);
    await(fx, 1);
    rd_kafka_mock_broker_set_rtt(fx->mock.cluster, 1, 1500);
    const int64_t from = vgi_now_ms();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(append(fx), VG_OK);
    }
    turn_until(fx, from + 200); /* on their way */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(append(fx), VG_OK);
    }
    turn_until(fx, from + 300);
    assert_int_equal(fx->durable, 1);
    const int64_t used = cpu_ms();
    turn_until(fx, from + 1300);
    assert_in_range(cpu_ms() - used, 0, 100);
    assert_int_equal(fx->durable, 1);
    rd_kafka_mock_broker_set_rtt(fx->mock.cluster, 1, 0);
    await(fx, 41);
}

static void closing_tells_what_had_no_verdict(void **state)
{
    struct fx *fx = *state;
    assert_int_equal(append(fx), VG_OK);
    await(fx, 1);
    rd_kafka_mock_broker_set_down(fx->mock.cluster, 1);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(append(fx), VG_OK);
    }
    vgi_kafka_appender_close(fx->appender);
    fx->appender = NULL;
    assert_int_equal(fx->durable + fx->failed, 21);
    assert_int_equal(fx->last.result, VG_E_CLOSED);
}

#define FX_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(a_refusal_that_passes_ends_in_a_durable_verdict),
        FX_TEST(a_refusal_that_stays_fails_and_says_that_nothing_is_stored),
        FX_TEST(a_broker_that_is_gone_fails_within_the_verdicts_time),
        FX_TEST(an_answer_that_does_not_come_leaves_it_open_whether_the_record_is_stored),
        FX_TEST(no_record_becomes_durable_before_an_earlier_one_that_timed_out),
        FX_TEST(no_record_becomes_durable_behind_one_that_was_refused),
        FX_TEST(no_record_is_called_durable_because_a_later_one_is),
        FX_TEST(nothing_is_sent_behind_a_first_request_before_it_is_acknowledged),
        FX_TEST(a_full_queue_refuses_and_takes_records_again_after_a_verdict),
        FX_TEST(a_producer_with_a_fatal_error_is_replaced),
        FX_TEST(waiting_for_an_answer_costs_next_to_no_processor_time),
        FX_TEST(closing_tells_what_had_no_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
