/* A transaction is committed only when every record of it has a place in the log; against the
 * client's mock broker. */
#include "mock.h"

#include <stdlib.h>

#define PRODUCE  0    /* the API key of Kafka's protocol */
#define LATE_MS  3000 /* so late is the answer behind which something is sent */
#define STALL_MS 4000 /* what the machine may take for itself; less than the 5 s of a flush */
#define ALARMS   "vigia.alarms"

static int commits; /* calls */
static int aborts;

rd_kafka_error_t *__real_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_commit_transaction(rd_kafka_t *rk, int timeout_ms)
{
    commits++;
    return __real_rd_kafka_commit_transaction(rk, timeout_ms);
}

rd_kafka_error_t *__real_rd_kafka_abort_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_abort_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_abort_transaction(rd_kafka_t *rk, int timeout_ms)
{
    aborts++;
    return __real_rd_kafka_abort_transaction(rk, timeout_ms);
}

/* The mock checks the sequence numbers of a producer that it knows by its transactional id. Here it
 * is a broker that has forgotten it: it takes any. */
int __real_rd_kafka_mock_partition_log_append(void *partition, const void *records,
                                              const void *transactional_id, int64_t *offset);
int __wrap_rd_kafka_mock_partition_log_append(void *partition, const void *records,
                                              const void *transactional_id, int64_t *offset);
int __wrap_rd_kafka_mock_partition_log_append(void *partition, const void *records,
                                              const void *transactional_id, int64_t *offset)
{
    (void)transactional_id;
    return __real_rd_kafka_mock_partition_log_append(partition, records, NULL, offset);
}

struct fx {
    struct mock mock;
    struct vgi_kafka_processor *p;
};

static void append(struct fx *fx)
{
    assert_int_equal(vgi_kafka_txn_append(fx->p, VG_TOPIC_ALARMS, 0, VG_SPAN("k"), VG_SPAN("{}")),
                     VG_OK);
}

static void read_one(struct fx *fx)
{
    mock_append(&fx->mock, TOPIC);
    mock_read(fx->p);
}

/* A processor in a transaction, whose producer has written to the partition before. */
static int setup(void **state)
{
    struct vg_error err;
    struct fx *fx = calloc(1, sizeof *fx);
    mock_start(&fx->mock, 1);
    assert_int_equal(rd_kafka_mock_topic_create(fx->mock.cluster, ALARMS, 1, 1),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_mock_group_initial_rebalance_delay_ms(fx->mock.cluster, 0);
    mock_open(&fx->mock);
    fx->p = mock_processor(&fx->mock);
    read_one(fx);
    append(fx);
    ok(vgi_kafka_txn_commit(fx->p, &err), &err);
    read_one(fx);
    rd_kafka_mock_start_request_tracking(fx->mock.cluster);
    commits = aborts = 0;
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fx *fx = *state;
    rd_kafka_mock_stop_request_tracking(fx->mock.cluster);
    vgi_kafka_processor_close(fx->p);
    mock_stop(&fx->mock);
    free(fx);
    return 0;
}

static size_t produce_requests(struct fx *fx)
{
    size_t all = 0, n = 0;
    rd_kafka_mock_request_t **requests = rd_kafka_mock_get_requests(fx->mock.cluster, &all);
    for (size_t i = 0; i < all; i++) {
        n += rd_kafka_mock_request_api_key(requests[i]) == PRODUCE;
    }
    rd_kafka_mock_request_destroy_array(requests, all);
    return n;
}

/* Appends one record, alone in the `n`th request since the start of the test. */
static void append_and_await(struct fx *fx, size_t n)
{
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    append(fx);
    while (produce_requests(fx) < n) {
        assert_true(vgi_now_ms() < until);
        vgi_kafka_pause();
    }
    assert_int_equal(produce_requests(fx), n);
}

static void answer_late(struct fx *fx, rd_kafka_resp_err_t code)
{
    assert_int_equal(rd_kafka_mock_broker_push_request_error_rtts(fx->mock.cluster, 1, PRODUCE, 1,
                                                                  code, LATE_MS),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* What was read comes again, and so may what was appended. */
static void done_again(struct fx *fx)
{
    struct vg_error err;
    mock_read(fx->p);
    append(fx);
    ok(vgi_kafka_txn_commit(fx->p, &err), &err);
    assert_int_equal(aborts, 1);
    assert_int_equal(vgi_kafka_txn_pending(fx->p), 0);
}

/* What was on its way behind a request that is refused is stored, and the client calls the refused
 * records delivered as well. */
static void a_transaction_with_a_record_that_has_no_place_is_not_committed(void **state)
{
    struct fx *fx = *state;
    struct vg_error err = {0};
    answer_late(fx, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    append_and_await(fx, 1);
    append_and_await(fx, 2);
    assert_int_equal(vgi_kafka_txn_commit(fx->p, &err), VG_E_CONFLICT);
    print_message("%s\n", err.text);
    assert_non_null(strstr(err.text, "1 of 2 records"));
    assert_non_null(strstr(err.text, "no place"));
    assert_int_equal(produce_requests(fx), 2);
    assert_int_equal(commits, 0);
    assert_int_equal(aborts, 1);
    assert_int_equal(vgi_kafka_txn_pending(fx->p), 0);
    done_again(fx);
}

/* The client's own word about it stays, and nothing waits for what will not be sent any more. */
static void a_refusal_while_reports_are_awaited_undoes_the_transaction_at_once(void **state)
{
    struct fx *fx = *state;
    struct vg_error err = {0};
    answer_late(fx, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    append_and_await(fx, 1);
    append_and_await(fx, 2);
    const int64_t from = vgi_now_ms();
    assert_int_equal(vgi_kafka_txn_commit(fx->p, &err), VG_E_CONFLICT);
    print_message("%lld ms: %s\n", (long long)(vgi_now_ms() - from), err.text);
    assert_in_range(vgi_now_ms() - from, 0, LATE_MS + STALL_MS);
    assert_int_equal(aborts, 1);
    done_again(fx);
}

static void a_refusal_that_passes_is_not_noticed(void **state)
{
    struct fx *fx = *state;
    struct vg_error err = {0};
    rd_kafka_mock_push_request_errors(fx->mock.cluster, PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    append(fx);
    ok(vgi_kafka_txn_commit(fx->p, &err), &err);
    assert_int_equal(produce_requests(fx), 2);
    assert_int_equal(commits, 1);
    assert_int_equal(aborts, 0);
}

static void a_transaction_that_is_given_up_serves_its_reports(void **state)
{
    struct fx *fx = *state;
    struct vg_error err = {0};
    append_and_await(fx, 1);
    ok(vgi_kafka_txn_abort(fx->p, &err), &err);
    assert_int_equal(rd_kafka_outq_len(fx->p->producer), 0);
    done_again(fx);
    assert_int_equal(rd_kafka_outq_len(fx->p->producer), 0);
}

#define FX_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(a_transaction_with_a_record_that_has_no_place_is_not_committed),
        FX_TEST(a_refusal_while_reports_are_awaited_undoes_the_transaction_at_once),
        FX_TEST(a_refusal_that_passes_is_not_noticed),
        FX_TEST(a_transaction_that_is_given_up_serves_its_reports),
    };
    return cmocka_run_group_tests_name("transaction", tests, NULL, NULL);
}
