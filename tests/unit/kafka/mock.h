/* The client's mock broker with one topic, and a log and a processor opened on it. */
#ifndef VIGIA_TEST_KAFKA_MOCK_H
#define VIGIA_TEST_KAFKA_MOCK_H

#include "../../../collector/log/kafka_processor.h"

#include <librdkafka/rdkafka_mock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TOPIC         "vigia.readings"
#define MOCK_GROUP    "copy"
#define MOCK_INSTANCE "one"
#define DEADLINE_MS   30000

struct mock {
    rd_kafka_t *owner;
    rd_kafka_mock_cluster_t *cluster;
    struct vg_dlog_conf conf; /* the defaults; change them between mock_start and mock_open */
    void *log;
};

/* Fails the test with the error's text. */
void ok(enum vg_err rc, const struct vg_error *err);

void mock_start(struct mock *m, int partitions); /* one node */
void mock_start_nodes(struct mock *m, int nodes, int partitions);
void mock_open(struct mock *m);
/* Appends one record to partition 0. */
void mock_append(struct mock *m, const char *topic);
/* A processor of TOPIC that owns its partitions. */
struct vgi_kafka_processor *mock_processor(struct mock *m);
/* Polls until a record is there. */
void mock_read(struct vgi_kafka_processor *p);
/* Closes the log and ends the broker. */
void mock_stop(struct mock *m);

#endif
