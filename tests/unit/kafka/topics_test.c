/* Topics that brokers which have just come back do not know for a moment: neither a reader nor a start
 * takes that for the truth; against the client's mock broker. */
#include "../../../collector/log/kafka_reader.h"
#include "mock.h"

#include <stdlib.h>

#define FETCH         1 /* API keys of Kafka's protocol */
#define TRIES_UNKNOWN 3

/* ---- seams ---- */

/* After so many pauses between two tries the broker knows its topics. */
static rd_kafka_mock_cluster_t *knows_later;
static int pauses;
void __real_vgi_kafka_pause(void);
void __wrap_vgi_kafka_pause(void);
void __wrap_vgi_kafka_pause(void)
{
    if (++pauses == TRIES_UNKNOWN && knows_later != NULL) {
        rd_kafka_mock_topic_set_error(knows_later, TOPIC, RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    __real_vgi_kafka_pause();
}

/* The client gives a topic 30 s from when it was first seen before it takes it for gone; here none. */
rd_kafka_conf_res_t __real_rd_kafka_conf_set(rd_kafka_conf_t *conf, const char *name,
                                             const char *value, char *text, size_t size);
rd_kafka_conf_res_t __wrap_rd_kafka_conf_set(rd_kafka_conf_t *conf, const char *name,
                                             const char *value, char *text, size_t size);
rd_kafka_conf_res_t __wrap_rd_kafka_conf_set(rd_kafka_conf_t *conf, const char *name,
                                             const char *value, char *text, size_t size)
{
    if (strcmp(name, "bootstrap.servers") == 0) {
        assert_int_equal(
            __real_rd_kafka_conf_set(conf, "topic.metadata.propagation.max.ms", "0", text, size),
            RD_KAFKA_CONF_OK);
    }
    return __real_rd_kafka_conf_set(conf, name, value, text, size);
}

/* The mock describes nothing. */
static int described, unknown_for;
enum vg_err __wrap_vgi_kafka_describe(void *log, enum vg_topic t, struct vg_dlog_topic_info *out,
                                      struct vg_error *err);
enum vg_err __wrap_vgi_kafka_describe(void *log, enum vg_topic t, struct vg_dlog_topic_info *out,
                                      struct vg_error *err)
{
    (void)log;
    (void)out;
    return vg_fail(err, ++described > unknown_for ? VG_E_CLOSED : VG_E_NOTFOUND, "topic %s",
                   vg_topic_spec(t)->name);
}

static int setup(void **state)
{
    struct mock *m = calloc(1, sizeof *m);
    mock_start(m, 1);
    mock_open(m);
    knows_later = NULL;
    pauses = described = 0;
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    mock_stop(*state);
    free(*state);
    return 0;
}

/* ---- tests ---- */

static void a_reader_waits_while_a_broker_does_not_know_its_topic(void **state)
{
    struct mock *m = *state;
    struct vg_error err;
    struct vg_dlog_record r;
    size_t n = 0;
    void *reader = NULL;
    ok(vgi_kafka_reader_open(m->log, VG_TOPIC_READINGS, 0, (struct vg_dlog_from){VG_DLOG_END, 0},
                             &reader, &err),
       &err);
    mock_append(m, TOPIC);
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (n == 0) {
        assert_true(vgi_now_ms() < until);
        ok(vgi_kafka_read(reader, 50, &r, 1, &n, &err), &err);
    }
    rd_kafka_mock_topic_set_error(m->cluster, TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    rd_kafka_mock_push_request_errors(m->cluster, FETCH, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    const int64_t told = vgi_now_ms() + 3000; /* the client tells it within some 100 ms */
    while (vgi_now_ms() < told) {
        ok(vgi_kafka_read(reader, 50, &r, 1, &n, &err), &err);
        assert_int_equal(n, 0);
    }
    rd_kafka_mock_topic_set_error(m->cluster, TOPIC, RD_KAFKA_RESP_ERR_NO_ERROR);
    mock_append(m, TOPIC);
    while (n == 0) {
        assert_true(vgi_now_ms() < until);
        ok(vgi_kafka_read(reader, 50, &r, 1, &n, &err), &err);
    }
    assert_int_equal(r.offset, 1);
    vgi_kafka_reader_close(reader);
}

static void a_topic_that_is_not_known_yet_is_looked_for_again(void **state)
{
    struct mock *m = *state;
    struct vg_error err;
    int32_t count = 0;
    knows_later = m->cluster;
    rd_kafka_mock_topic_set_error(m->cluster, TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    ok(vgi_kafka_partition_count(m->log, TOPIC, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_true(pauses >= TRIES_UNKNOWN);
}

static enum vg_err check_with_unknown(struct mock *m, int times, struct vg_error *err)
{
    struct vg_dlog *log = NULL;
    unknown_for = times;
    ok(vg_dlog_open(&m->conf, "test", 0, &log, err), err);
    const enum vg_err rc = vg_dlog_check(log, VG_TOPIC_BIT(VG_TOPIC_READINGS), err);
    vg_dlog_close(log);
    return rc;
}

static void a_start_looks_again_for_a_topic_and_gives_up_after_a_while(void **state)
{
    struct vg_error err;
    assert_int_equal(check_with_unknown(*state, TRIES_UNKNOWN, &err), VG_E_CLOSED);
    assert_int_equal(described, TRIES_UNKNOWN + 1);
    described = 0;
    assert_int_equal(check_with_unknown(*state, 1000, &err), VG_E_NOTFOUND);
    assert_true(described > 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reader_waits_while_a_broker_does_not_know_its_topic),
        TEST(a_topic_that_is_not_known_yet_is_looked_for_again),
        TEST(a_start_looks_again_for_a_topic_and_gives_up_after_a_while),
    };
    return cmocka_run_group_tests_name("topics", tests, NULL, NULL);
}
