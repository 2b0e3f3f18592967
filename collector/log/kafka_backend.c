/* The Kafka backend's operations, in one table. */
#include "kafka_appender.h"
#include "kafka_processor.h"

const struct vgi_backend vgi_kafka_backend = {
    .scheme = "kafka",
    .open = vgi_kafka_open,
    .close = vgi_kafka_close,
    .create = vgi_kafka_create,
    .describe = vgi_kafka_describe,
    .unknown_ms = VGI_KAFKA_REACH_MS,
    .retain = NULL, /* the brokers do it */
    .backup = NULL, /* the brokers' own means */
    .skip = vgi_kafka_skip,
    .appender_open = vgi_kafka_appender_open,
    .append = vgi_kafka_append,
    .appender_fd = vgi_kafka_appender_fd,
    .appender_dispatch = vgi_kafka_appender_dispatch,
    .appender_pending = vgi_kafka_appender_pending,
    .appender_holds = vgi_kafka_appender_holds,
    .appender_close = vgi_kafka_appender_close,
    .reader_open = vgi_kafka_reader_open,
    .read = vgi_kafka_read,
    .reader_caught_up = vgi_kafka_reader_caught_up,
    .reader_fd = vgi_kafka_reader_fd,
    .reader_close = vgi_kafka_reader_close,
    .processor_open = vgi_kafka_processor_open,
    .poll = vgi_kafka_poll,
    .processor_fd = vgi_kafka_processor_fd,
    .processor_active = vgi_kafka_processor_active,
    .processor_caught_up = vgi_kafka_processor_caught_up,
    .end_at_assignment = vgi_kafka_end_at_assignment,
    .processor_append = vgi_kafka_txn_append,
    .processor_pending = vgi_kafka_txn_pending,
    .commit = vgi_kafka_txn_commit,
    .abort = vgi_kafka_txn_abort,
    .processor_close = vgi_kafka_processor_close,
};
