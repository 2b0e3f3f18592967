/* What is made of a client that has lost its place in the log, and of offsets that no broker told;
 * against the client's mock broker. */
#include "mock.h"

#include <stdatomic.h>
#include <stdlib.h>

#define FETCH                   1 /* API keys of Kafka's protocol */
#define LIST_OFFSETS            2
#define OFFSET_FOR_LEADER_EPOCH 23
#define UNKNOWN_GROUP           "nobody"

static int setup(void **state)
{
    struct mock *m = calloc(1, sizeof *m);
    mock_start(m, 1);
    rd_kafka_mock_group_initial_rebalance_delay_ms(m->cluster, 0);
    mock_open(m);
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    mock_stop(*state);
    free(*state);
    return 0;
}

/* Whatever the client says of a request that got no answer, an offset that nobody told is none. */
static void offsets_that_no_broker_told_are_asked_for_again(void **state)
{
    struct mock *m = *state;
    struct vg_error err;
    const int32_t partition = 0;
    int64_t end = -1;
    rd_kafka_mock_push_request_errors(m->cluster, LIST_OFFSETS, 1, RD_KAFKA_RESP_ERR__TRANSPORT);
    ok(vgi_kafka_offsets(m->log, TOPIC, &partition, 1, RD_KAFKA_OFFSET_SPEC_LATEST, &end, &err),
       &err);
    assert_int_equal(end, 0);
}

/* A broker that comes back leads with a higher epoch, and refuses a client that knows the old one:
 * FENCED_LEADER_EPOCH (KIP-320). */
static void a_leader_of_a_higher_epoch_is_found_at_once(void **state)
{
    struct mock *m = *state;
    struct vg_error err;
    const int32_t partition = 0;
    int64_t end = -1;
    ok(vgi_kafka_offsets(m->log, TOPIC, &partition, 1, RD_KAFKA_OFFSET_SPEC_LATEST, &end, &err),
       &err);
    end = -1;
    assert_int_equal(rd_kafka_mock_partition_set_leader(m->cluster, TOPIC, partition, 1),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    ok(vgi_kafka_offsets(m->log, TOPIC, &partition, 1, RD_KAFKA_OFFSET_SPEC_LATEST, &end, &err),
       &err);
    assert_int_equal(end, 0);
}

/* How many of the client's locks this thread holds, and held at most when it asked for a leader. */
static _Thread_local int locks_held;
static atomic_int leader_queries, locks_in_queries;

int __real_mtx_lock(void *lock);
int __wrap_mtx_lock(void *lock);
int __wrap_mtx_lock(void *lock)
{
    locks_held++;
    return __real_mtx_lock(lock);
}

int __real_mtx_unlock(void *lock);
int __wrap_mtx_unlock(void *lock);
int __wrap_mtx_unlock(void *lock)
{
    locks_held--;
    return __real_mtx_unlock(lock);
}

void __real_rd_kafka_topic_leader_query0(rd_kafka_t *rk, void *topic, int lock, int force);
void __wrap_rd_kafka_topic_leader_query0(rd_kafka_t *rk, void *topic, int lock, int force);
void __wrap_rd_kafka_topic_leader_query0(rd_kafka_t *rk, void *topic, int lock, int force)
{
    atomic_fetch_add(&locks_in_queries, locks_held);
    atomic_fetch_add(&leader_queries, 1);
    __real_rd_kafka_topic_leader_query0(rk, topic, lock, force);
}

/* Asking takes the client's lock, which a broker's thread that ends holds while it waits for the
 * partition's (cross/patches/librdkafka, 0003). */
static void a_leader_is_looked_for_without_holding_a_lock(void **state)
{
    struct mock *m = *state;
    struct vgi_kafka_processor *p = mock_processor(m);
    mock_append(m, TOPIC);
    mock_read(p);
    rd_kafka_mock_push_request_errors(m->cluster, OFFSET_FOR_LEADER_EPOCH, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH);
    assert_int_equal(rd_kafka_mock_partition_set_leader(m->cluster, TOPIC, 0, 1),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    mock_append(m, TOPIC);
    mock_read(p);
    assert_true(atomic_load(&leader_queries) > 0);
    assert_int_equal(atomic_load(&locks_in_queries), 0);
    vgi_kafka_processor_close(p);
}

/* While a leader changes, the client may give up a place that is in the log. */
static void a_lost_place_that_the_log_holds_asks_for_a_new_start(void **state)
{
    struct mock *m = *state;
    struct vg_error err;
    struct vg_dlog_record r;
    size_t n = 0;
    struct vgi_kafka_processor *p = mock_processor(m);
    enum vg_err rc = VG_OK;
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    /* Two: of an answer to the first fetch at the end, the client tells the end only. */
    rd_kafka_mock_push_request_errors(m->cluster, FETCH, 2, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
                                      RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
    while (rc == VG_OK && vgi_now_ms() < until) {
        rc = vgi_kafka_poll(p, 100, &r, 1, &n, &err);
    }
    print_message("%s: %s\n", vg_err_name(rc), err.text);
    assert_int_equal(rc, VG_E_FATAL);
    assert_non_null(strstr(err.text, TOPIC "[0]"));
    assert_non_null(strstr(err.text, "ut of range"));
    assert_null(strstr(err.text, "vigia log skip"));
    vgi_kafka_processor_close(p);
}

/* What the library gives for a group without positions; set by the tests, otherwise its own. */
static bool no_list;
const rd_kafka_topic_partition_list_t *
__real_rd_kafka_group_result_partitions(const rd_kafka_group_result_t *result);
const rd_kafka_topic_partition_list_t *
__wrap_rd_kafka_group_result_partitions(const rd_kafka_group_result_t *result);
const rd_kafka_topic_partition_list_t *
__wrap_rd_kafka_group_result_partitions(const rd_kafka_group_result_t *result)
{
    return no_list ? NULL : __real_rd_kafka_group_result_partitions(result);
}

static void a_group_without_positions_is_not_found(void **state)
{
    struct mock *m = *state;
    struct vg_error err;
    no_list = true;
    assert_int_equal(vgi_kafka_skip(m->log, UNKNOWN_GROUP, NULL, NULL, &err), VG_E_NOTFOUND);
    no_list = false;
    assert_int_equal(vgi_kafka_skip(m->log, UNKNOWN_GROUP, NULL, NULL, &err), VG_E_NOTFOUND);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(offsets_that_no_broker_told_are_asked_for_again),
        TEST(a_leader_of_a_higher_epoch_is_found_at_once),
        TEST(a_leader_is_looked_for_without_holding_a_lock),
        TEST(a_lost_place_that_the_log_holds_asks_for_a_new_start),
        TEST(a_group_without_positions_is_not_found),
    };
    return cmocka_run_group_tests_name("offsets", tests, NULL, NULL);
}
