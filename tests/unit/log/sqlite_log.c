/* A log in a SQLite file of its own; see sqlite_log.h. */
#include "sqlite_log.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

void ok(enum vg_err rc, const struct vg_error *err)
{
    if (rc != VG_OK) {
        fail_msg("%s: %s", vg_err_name(rc), err->text);
    }
}

int sqlite_log_setup(void **state)
{
    struct fx *fx = calloc(1, sizeof *fx);
    char url[128];
    assert_non_null(fx);
    snprintf(fx->dir, sizeof fx->dir, "/tmp/vigia-log-XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
    snprintf(fx->path, sizeof fx->path, "%s/log.db", fx->dir);
    snprintf(url, sizeof url, "sqlite:%s", fx->path);
    assert_int_equal(vg_dlog_conf_default(url, &fx->conf), VG_OK);
    *state = fx;
    return 0;
}

int sqlite_log_teardown(void **state)
{
    struct fx *fx = *state;
    const pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", fx->dir, (char *)NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    free(fx);
    return 0;
}

struct vg_dlog *make(const struct fx *fx)
{
    struct vg_dlog *log = NULL;
    struct vg_error err;
    unsigned created = 0;
    ok(vg_dlog_open(&fx->conf, "test", VG_DLOG_MAY_CREATE, &log, &err), &err);
    ok(vg_dlog_create(log, VG_TOPICS_ALL, &created, &err), &err);
    return log;
}

int64_t clock_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void tell(void *arg, const struct vg_dlog_verdict *v)
{
    struct told *t = arg;
    t->verdicts++;
    t->durable += v->result == VG_OK;
    t->last = *v;
}

void append(struct vg_dlog *log, enum vg_topic t, size_t n, const char *value)
{
    struct vg_dlog_appender *a = NULL;
    struct vg_error err;
    struct told told = {0, 0, {VG_OK, false, 0, 0}};
    ok(vg_dlog_appender_open(log, &a, &err), &err);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(vg_dlog_append(a, t, -1, VG_SPAN("k"), vg_span_str(value), tell, &told),
                         VG_OK);
    }
    ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(told.durable, n);
    vg_dlog_appender_close(a);
}

uint64_t count(struct vg_dlog *log, enum vg_topic t)
{
    uint64_t n = 0;
    struct vg_error err;
    ok(vg_dlog_count(log, t, NULL, NULL, &n, &err), &err);
    return n;
}

void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

struct vg_dlog_processor *join(struct vg_dlog *log, const char *group, const char *instance)
{
    struct vg_dlog_processor *p = NULL;
    struct vg_error err;
    struct vg_dlog_record r;
    size_t n = 0;
    const struct vg_dlog_processor_options o = {.group = group,
                                                .instance = instance,
                                                .inputs = {VG_TOPIC_READINGS},
                                                .input_count = 1,
                                                .state_topic = VG_TOPIC_NONE};
    ok(vg_dlog_processor_open(log, &o, &p, &err), &err);
    ok(vg_dlog_processor_poll(p, 0, &r, 1, &n, &err), &err);
    return p;
}
