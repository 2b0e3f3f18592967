/* See mock.h. */
#include "mock.h"

#include <stdio.h>

void ok(enum vg_err rc, const struct vg_error *err)
{
    if (rc != VG_OK) {
        fail_msg("%s: %s", vg_err_name(rc), err->text);
    }
}

void mock_start_nodes(struct mock *m, int nodes, int partitions)
{
    char text[200], url[256];
    m->owner = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
    m->cluster = rd_kafka_mock_cluster_new(m->owner, nodes);
    assert_non_null(m->cluster);
    assert_int_equal(rd_kafka_mock_topic_create(m->cluster, TOPIC, partitions, 1),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    snprintf(url, sizeof url, "kafka:%s", rd_kafka_mock_cluster_bootstraps(m->cluster));
    assert_int_equal(vg_dlog_conf_default(url, &m->conf), VG_OK);
}

void mock_start(struct mock *m, int partitions)
{
    mock_start_nodes(m, 1, partitions);
}

void mock_open(struct mock *m)
{
    struct vg_error err;
    ok(vgi_kafka_open(&m->conf, "test", m->conf.url + 6, 0, &m->log, &err), &err);
}

void mock_stop(struct mock *m)
{
    vgi_kafka_close(m->log);
    rd_kafka_mock_cluster_destroy(m->cluster);
    rd_kafka_destroy(m->owner);
}

void mock_append(struct mock *m, const char *topic)
{
    char text[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers",
                                       rd_kafka_mock_cluster_bootstraps(m->cluster), text,
                                       sizeof text),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(rk);
    assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                                       RD_KAFKA_V_KEY("k", 1), RD_KAFKA_V_VALUE((void *)"v", 1),
                                       RD_KAFKA_V_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_flush(rk, DEADLINE_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(rk);
}

struct vgi_kafka_processor *mock_processor(struct mock *m)
{
    struct vg_error err;
    struct vg_dlog_record r;
    size_t n = 0;
    void *p = NULL;
    const struct vg_dlog_processor_options options = {.group = MOCK_GROUP,
                                                      .instance = MOCK_INSTANCE,
                                                      .inputs = {VG_TOPIC_READINGS},
                                                      .input_count = 1,
                                                      .state_topic = VG_TOPIC_NONE};
    ok(vgi_kafka_processor_open(m->log, &options, &p, &err), &err);
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (!vgi_kafka_processor_active(p)) {
        assert_true(vgi_now_ms() < until);
        ok(vgi_kafka_poll(p, 100, &r, 1, &n, &err), &err);
    }
    return p;
}

void mock_read(struct vgi_kafka_processor *p)
{
    struct vg_error err;
    struct vg_dlog_record r;
    size_t n = 0;
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (n == 0) {
        assert_true(vgi_now_ms() < until);
        ok(vgi_kafka_poll(p, 100, &r, 1, &n, &err), &err);
    }
}
