/* From an assignment to partitions that are owned, while the group, the broker or the log's own memory
 * fails; against the client's mock broker. */
#include "../../../collector/log/kafka_processor.h"
#include "mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEARTBEAT         12 /* API keys of Kafka's protocol */
#define OFFSET_FETCH      9
#define TXN_OFFSET_COMMIT 28
#define STATE             "vigia.alarm-state"

/* Moves our clock, not the client's. */
static int64_t ahead_ms;
int64_t __real_vgi_now_ms(void);
int64_t __wrap_vgi_now_ms(void);
int64_t __wrap_vgi_now_ms(void)
{
    return __real_vgi_now_ms() + ahead_ms;
}

static int setup(void **state)
{
    struct mock *m = calloc(1, sizeof *m);
    mock_start(m, 1);
    assert_int_equal(rd_kafka_mock_topic_create(m->cluster, STATE, 1, 1),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_mock_group_initial_rebalance_delay_ms(m->cluster, 0);
    mock_open(m);
    ahead_ms = 0;
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    mock_stop(*state);
    free(*state);
    return 0;
}

static struct vgi_kafka_processor *open_processor(struct mock *m)
{
    struct vg_error err;
    void *p = NULL;
    const struct vg_dlog_processor_options options = {.group = "copy",
                                                      .instance = "one",
                                                      .inputs = {VG_TOPIC_READINGS},
                                                      .input_count = 1,
                                                      .state_topic = VG_TOPIC_ALARM_STATE};
    ok(vgi_kafka_processor_open(m->log, &options, &p, &err), &err);
    return p;
}

static enum vg_err poll_once(struct vgi_kafka_processor *p, struct vg_error *err)
{
    struct vg_dlog_record r;
    size_t n = 0;
    return vgi_kafka_poll(p, 50, &r, 1, &n, err);
}

static void until_active(struct vgi_kafka_processor *p)
{
    struct vg_error err;
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (!vgi_kafka_processor_active(p)) {
        assert_true(vgi_now_ms() < until);
        ok(poll_once(p, &err), &err);
    }
}

static void until_assigned(struct vgi_kafka_processor *p)
{
    struct vg_error err;
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (p->phase == VGI_IDLE) {
        assert_true(vgi_now_ms() < until);
        ok(poll_once(p, &err), &err);
    }
}

/* Refuses positions as a group does that does not know the member. */
static void refuse_positions(struct mock *m)
{
    static rd_kafka_resp_err_t errors[100000];
    const size_t count = sizeof errors / sizeof errors[0];
    for (size_t i = 0; i < count; i++) {
        errors[i] = RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    }
    rd_kafka_mock_push_request_errors_array(m->cluster, TXN_OFFSET_COMMIT, count, errors);
}

/* The client does not look for a lost session while it waits for rd_kafka_assign, nor does it join
 * again when a heartbeat tells it: it has forgotten the member's id by then, and no positions are
 * taken from it any more. */
static void a_member_that_the_group_forgets_while_it_restores_joins_again(void **state)
{
    struct mock *m = *state;
    struct vg_error err;
    /* Nobody tells positions: it stays assigned, as long as it takes to hear of the loss. */
    for (int i = 0; i < 1000; i++) {
        rd_kafka_mock_push_request_errors(m->cluster, OFFSET_FETCH, 1,
                                          RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    }
    struct vgi_kafka_processor *p = open_processor(m);
    until_assigned(p);
    rd_kafka_mock_push_request_errors(m->cluster, HEARTBEAT, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
    refuse_positions(m);
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    for (bool forgotten = false; !forgotten;) {
        rd_kafka_consumer_group_metadata_t *now = rd_kafka_consumer_group_metadata(p->consumer);
        forgotten = rd_kafka_consumer_group_metadata_member_id(now)[0] == '\0';
        rd_kafka_consumer_group_metadata_destroy(now);
        assert_true(vgi_now_ms() < until);
        ok(poll_once(p, &err), &err);
    }
    rd_kafka_mock_clear_request_errors(m->cluster, OFFSET_FETCH);
    while (p->phase != VGI_IDLE) { /* the group has taken its partitions away */
        assert_true(vgi_now_ms() < until);
        ok(poll_once(p, &err), &err);
    }
    rd_kafka_mock_clear_request_errors(m->cluster, TXN_OFFSET_COMMIT);
    until_active(p);
    vgi_kafka_processor_close(p);
}

static void a_group_that_takes_no_positions_for_long_asks_for_a_new_start(void **state)
{
    struct mock *m = *state;
    struct vg_error err;
    enum vg_err rc = VG_OK;
    refuse_positions(m);
    struct vgi_kafka_processor *p = open_processor(m);
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (p->conflicts < 5) {
        assert_true(vgi_now_ms() < until);
        ok(poll_once(p, &err), &err);
        assert_false(vgi_kafka_processor_active(p));
    }
    ahead_ms = VGI_KAFKA_CONFLICT_MS;
    while (rc == VG_OK && vgi_now_ms() - ahead_ms < until) {
        rc = poll_once(p, &err);
    }
    assert_int_equal(rc, VG_E_FATAL); /* ends with 1: what is started again joins anew */
    assert_non_null(strstr(err.text, "vigia.copy"));
    vgi_kafka_processor_close(p);
}

static void a_coordinator_that_needs_its_time_is_waited_for(void **state)
{
    struct mock *m = *state;
    rd_kafka_mock_broker_set_rtt(m->cluster, 1, 150);
    struct vgi_kafka_processor *p = open_processor(m);
    until_active(p);
    vgi_kafka_processor_close(p);
}

/* ---- a group without positions ---- */

/* Opens a processor until it is active; what was logged meanwhile. */
static void log_of_start(struct mock *m, char *text, size_t size)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    const int own = dup(STDERR_FILENO);
    assert_true(own >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    struct vgi_kafka_processor *p = open_processor(m);
    until_active(p);
    vgi_kafka_processor_close(p);
    fflush(stderr);
    assert_true(dup2(own, STDERR_FILENO) >= 0);
    close(own);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void a_group_that_has_state_but_no_position_says_that_it_reads_everything_again(void **state)
{
    struct mock *m = *state;
    char text[4000];
    mock_append(m, TOPIC);
    mock_append(m, STATE);
    log_of_start(m, text, sizeof text);
    assert_non_null(strstr(text, "msg=log-positions-lost group=vigia.copy"));
    assert_non_null(strstr(text, "partition=0"));
}

static void a_new_group_starts_at_the_oldest_record_without_a_word(void **state)
{
    struct mock *m = *state;
    char text[4000];
    mock_append(m, TOPIC);
    log_of_start(m, text, sizeof text);
    assert_null(strstr(text, "log-positions-lost"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_member_that_the_group_forgets_while_it_restores_joins_again),
        TEST(a_group_that_takes_no_positions_for_long_asks_for_a_new_start),
        TEST(a_coordinator_that_needs_its_time_is_waited_for),
        TEST(a_group_that_has_state_but_no_position_says_that_it_reads_everything_again),
        TEST(a_new_group_starts_at_the_oldest_record_without_a_word),
    };
    return cmocka_run_group_tests_name("restore", tests, NULL, NULL);
}
