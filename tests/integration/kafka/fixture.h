/* Tests of the log on the broker that tests/support/kafka/broker has started for them (its
 * environment: VIGIA_KAFKA…). */
#ifndef KAFKA_FIXTURE_H
#define KAFKA_FIXTURE_H

#include "vigia/dlog_admin.h"
#include "vigia/dlog_processor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* How long a test waits for something that must come. */
#define DEADLINE_MS (60000 * VIGIA_TEST_PATIENCE)

struct fx {
    struct vg_dlog_conf conf;
    struct vg_dlog *log;
};

/* cmocka fixtures: a log with a prefix of its own, all topics created (2 partitions), TLS files
 * where the broker has them. */
int fx_setup(void **state);
int fx_teardown(void **state);
/* `name` is an environment variable that `broker run` sets; fails the test without it. */
const char *fx_env(const char *name);
void fx_conf(const char *prefix, struct vg_dlog_conf *out);

int64_t fx_now_ms(void);
/* Fails the test with the text unless rc is VG_OK. */
void fx_ok(enum vg_err rc, const struct vg_error *err);
/* Runs `broker VERB` on the test's broker and waits for its end. */
void fx_broker(const char *verb);

/* Verdicts of appends with the numbers 0…room-1 as values. */
struct fx_sent {
    struct vg_dlog_appender *a;
    int durable, failed, next;
};
/* Appends the next number (key: number modulo 8) and dispatches; false when the queue is full. */
bool fx_send(struct fx_sent *s);

/* How often each number below `room` is committed in a topic; returns the number of records. */
int fx_count(struct vg_dlog *log, enum vg_topic t, int *seen, int room);

/* A processor that copies each reading to `alarms` and commits after each poll. */
struct vg_dlog_processor *fx_copier(struct vg_dlog *log, const char *instance);
/* One poll and its appends; returns the number of records. */
int fx_take(struct vg_dlog_processor *p, int timeout_ms);
/* False when what was taken is aborted, and comes again. */
bool fx_commit(struct vg_dlog_processor *p);
/* Both; returns the number of records committed. */
int fx_copy(struct vg_dlog_processor *p, int timeout_ms);

#endif
