/* A processor whose group loses its coordinator while it commits: the call that adds positions to a
 * transaction keeps its own timeout (cross/patches/librdkafka, 0004), and the transaction is undone
 * then, without an end of the process. Node 1 does everything, except that node 2 coordinates the
 * group. */
#include "mock.h"

#include <stdio.h>
#include <stdlib.h>

#define ONE     1
#define TWO     2
#define SEND_MS 10000 /* the processor's limit for the call */
#define CALL_MS 2000  /* instead of it, where its end is what the test is about */
#define ASK_MS  500   /* one question for the brokers */
#define LATE_MS 4000  /* less than VGI_KAFKA_OVERDUE_MS, when the watchdog ends the process */

static int call_ms;
static int64_t longest_ms; /* of the calls since it was set to 0 */

rd_kafka_error_t *__real_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *group, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *group, int timeout_ms);
rd_kafka_error_t *__wrap_rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *group, int timeout_ms)
{
    const int64_t began = vgi_now_ms();
    assert_in_range(timeout_ms, CALL_MS, SEND_MS);
    rd_kafka_error_t *error =
        __real_rd_kafka_send_offsets_to_transaction(rk, offsets, group, call_ms);
    const int64_t took = vgi_now_ms() - began;
    print_message("positions: %lld ms: %s\n", (long long)took,
                  error == NULL ? "taken" : rd_kafka_error_string(error));
    longest_ms = took > longest_ms ? took : longest_ms;
    return error;
}

static void coordinated_by(struct mock *m, const char *what, const char *key, int32_t node)
{
    assert_int_equal(rd_kafka_mock_coordinator_set(m->cluster, what, key, node),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void group_at(struct mock *m, int32_t node)
{
    char id[100];
    snprintf(id, sizeof id, "%s%s", m->conf.prefix, MOCK_GROUP);
    coordinated_by(m, "group", id, node);
}

static void transactions_at(struct mock *m, int32_t node)
{
    char id[100];
    snprintf(id, sizeof id, "%s%s.%s", m->conf.prefix, MOCK_GROUP, MOCK_INSTANCE);
    coordinated_by(m, "transaction", id, node);
}

static int setup(void **state)
{
    struct mock *m = calloc(1, sizeof *m);
    mock_start_nodes(m, 2, 1);
    assert_int_equal(rd_kafka_mock_partition_set_leader(m->cluster, TOPIC, 0, ONE),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_mock_group_initial_rebalance_delay_ms(m->cluster, 0);
    mock_open(m);
    longest_ms = 0;
    call_ms = SEND_MS;
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    mock_stop(*state);
    free(*state);
    return 0;
}

/* A processor that has committed once, which has found it its coordinators, and has read again. */
static struct vgi_kafka_processor *open_and_read(struct mock *m)
{
    struct vg_error err;
    struct vgi_kafka_processor *p = mock_processor(m);
    mock_append(m, TOPIC);
    mock_read(p);
    ok(vgi_kafka_txn_commit(p, &err), &err);
    mock_append(m, TOPIC);
    mock_read(p);
    return p;
}

/* TWO stays in the cluster as far as anyone knows. */
static void a_group_without_a_coordinator_undoes_the_transaction_in_time(void **state)
{
    struct mock *m = *state;
    struct vg_error err;
    group_at(m, TWO);
    transactions_at(m, ONE);
    struct vgi_kafka_processor *p = open_and_read(m);
    const int64_t next = p->parts[0].next[0];
    call_ms = CALL_MS;
    assert_int_equal(rd_kafka_mock_broker_set_down(m->cluster, TWO), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(vgi_kafka_txn_commit(p, &err), VG_E_CONFLICT);
    print_message("%s\n", err.text);
    assert_in_range(longest_ms, CALL_MS, CALL_MS + LATE_MS);
    call_ms = SEND_MS;
    assert_int_equal(rd_kafka_mock_broker_set_up(m->cluster, TWO), RD_KAFKA_RESP_ERR_NO_ERROR);
    do { /* what was read is read again; the mock keeps no positions of transactions at all */
        mock_read(p);
        assert_true(p->parts[0].next[0] <= next);
    } while (p->parts[0].next[0] < next);
    ok(vgi_kafka_txn_commit(p, &err), &err);
    vgi_kafka_processor_close(p);
}

/* A client ends its connection to a broker that Metadata names no more, and hears nothing of it. */
static void a_coordinator_that_left_the_cluster_is_replaced_within_the_call(void **state)
{
    struct mock *m = *state;
    struct vg_error err;
    group_at(m, TWO);
    transactions_at(m, ONE);
    struct vgi_kafka_processor *p = open_and_read(m);
    const struct rd_kafka_metadata *found = NULL;
    group_at(m, ONE);
    assert_int_equal(rd_kafka_mock_broker_decommission(m->cluster, TWO),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    /* It may ask the one that has left, and hears nothing until it looks at the cluster again. */
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (rd_kafka_metadata(p->producer, 1, NULL, &found, ASK_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        assert_true(vgi_now_ms() < until);
    }
    assert_int_equal(found->broker_cnt, 1);
    rd_kafka_metadata_destroy(found);
    ok(vgi_kafka_txn_commit(p, &err), &err);
    assert_in_range(longest_ms, 0, SEND_MS - 1);
    vgi_kafka_processor_close(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_group_without_a_coordinator_undoes_the_transaction_in_time),
        TEST(a_coordinator_that_left_the_cluster_is_replaced_within_the_call),
    };
    return cmocka_run_group_tests_name("coordinator", tests, NULL, NULL);
}
