/* The conformance suite of the log: the same statements against every backend.
 *
 * The backend is named by VIGIA_TEST_LOG_URL ("kafka:127.0.0.1:9092"); without it, a fresh SQLite
 * file per test. Each test has a prefix of its own, so that a broker can be shared.
 * VIGIA_TEST_LOG_PARTITIONS (2) and VIGIA_TEST_LOG_CA, _CERT, _KEY go to [log]. */
#ifndef LOG_SUITE_H
#define LOG_SUITE_H

#include "vigia/dlog_admin.h"
#include "vigia/dlog_processor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* How long a test waits for something that must come. */
#define DEADLINE_MS (60000 * VIGIA_TEST_PATIENCE)
#define ROOM        4096

struct fx {
    struct vg_dlog_conf conf;
    struct vg_dlog *log;
    char dir[64];
    bool sqlite;
};

/* cmocka fixtures: state is a struct fx with all topics created. */
int suite_setup(void **state);
int suite_teardown(void **state);
/* Opens the log of a test from its URL and prefix (in a child process). */
struct vg_dlog *suite_open(const char *url, const char *prefix);
/* The configuration that every test uses. */
void suite_conf(const char *url, const char *prefix, struct vg_dlog_conf *out);

int64_t suite_now_ms(void);
/* Fails the test when rc is not VG_OK, with the text. */
void suite_ok(enum vg_err rc, const struct vg_error *err);

/* Appends one record and waits for its durable verdict. */
struct vg_dlog_verdict suite_append(struct vg_dlog *log, enum vg_topic t, const char *key,
                                    const char *value);
/* Appends n records with keys k0…k(keys-1) and values 0…n-1, all durable. */
void suite_append_numbers(struct vg_dlog *log, enum vg_topic t, int n, int keys);

/* A copied record. */
struct row {
    int32_t partition;
    int64_t offset, append_ms;
    char key[64], value[64];
    bool tombstone;
};
/* Everything that is committed in a topic now; returns how many. */
size_t suite_read_all(struct vg_dlog *log, enum vg_topic t, struct row *rows, size_t room);
void suite_row(const struct vg_dlog_record *r, struct row *out);

/* A table that a test keeps: last value per key. */
struct table {
    struct {
        char key[64], value[64];
    } entry[256];
    size_t n;
};
void table_set(struct table *t, struct vg_span key,
               struct vg_span value);                          /* value.at NULL: removes */
const char *table_get(const struct table *t, const char *key); /* NULL: not there */

/* A processor with what its callbacks told. */
struct proc {
    struct vg_dlog_processor *p;
    int assigned, restored, caught_up, revoked;
    struct table state;
    struct vg_dlog_record records[ROOM];
    size_t count; /* of the last poll */
};
void proc_open(struct proc *p, struct vg_dlog *log, const char *group, const char *instance,
               bool commands);
void proc_poll(struct proc *p, int timeout_ms);
/* Polls until `n` records in all came (each poll's records are appended to rows). */
size_t proc_take(struct proc *p, size_t n, struct row *rows, size_t room);
void proc_put(struct proc *p, enum vg_topic t, int32_t partition, const char *key,
              const char *value);
void proc_commit(struct proc *p);

/* A child process running `scenario`; it is killed with the test if need be. */
struct child {
    int pid, from; /* its standard output */
};
void child_start(struct child *c, const struct fx *fx, const char *scenario);
/* Waits for this line. */
void child_says(struct child *c, const char *line);
void child_kill(struct child *c);
int child_main(const char *scenario, const char *url, const char *prefix);

int run_append_tests(void);
int run_read_tests(void);
int run_process_tests(void);
int run_admin_tests(void);

#define SUITE_TEST(f) cmocka_unit_test_setup_teardown(f, suite_setup, suite_teardown)

#endif
