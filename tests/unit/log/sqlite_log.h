/* A log in a SQLite file of its own, and short forms of what the tests of the backend do with it. */
#ifndef VIGIA_TEST_SQLITE_LOG_H
#define VIGIA_TEST_SQLITE_LOG_H

#include "vigia/dlog_admin.h"
#include "vigia/dlog_processor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#define DEADLINE_MS 30000

struct fx {
    char dir[64], path[96];
    struct vg_dlog_conf conf;
};

int sqlite_log_setup(void **state);
int sqlite_log_teardown(void **state);

/* Fails the test with the error's text. */
void ok(enum vg_err rc, const struct vg_error *err);
/* Makes the log with all its topics. */
struct vg_dlog *make(const struct fx *fx);
int64_t clock_ms(clockid_t id);

struct told {
    int verdicts, durable;
    struct vg_dlog_verdict last;
};

void tell(void *arg, const struct vg_dlog_verdict *v); /* `arg`: a struct told */

/* `n` times the same record under the key "k", all durable. */
void append(struct vg_dlog *log, enum vg_topic t, size_t n, const char *value);
uint64_t count(struct vg_dlog *log, enum vg_topic t);
/* A processor of readings without state; its first poll has taken it into the group. */
struct vg_dlog_processor *join(struct vg_dlog *log, const char *group, const char *instance);
/* Past the log: by SQLite alone. */
void run_sql(const char *path, const char *sql);

#endif
