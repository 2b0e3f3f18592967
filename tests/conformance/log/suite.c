/* What the tests of the suite share. */
#include "suite.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int64_t suite_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void suite_ok(enum vg_err rc, const struct vg_error *err)
{
    if (rc != VG_OK) {
        fail_msg("%s: %s", vg_err_name(rc), err == NULL ? "" : err->text);
    }
}

static void from_env(const char *name, char *to, size_t size)
{
    const char *value = getenv(name);
    if (value != NULL) {
        assert_true(vg_str_copy(value, to, size));
    }
}

void suite_conf(const char *url, const char *prefix, struct vg_dlog_conf *out)
{
    const char *partitions = getenv("VIGIA_TEST_LOG_PARTITIONS");
    assert_int_equal(vg_dlog_conf_default(url, out), VG_OK);
    assert_true(vg_str_copy(prefix, out->prefix, sizeof out->prefix));
    out->partitions = partitions == NULL ? 2 : strtol(partitions, NULL, 10);
    out->replication = out->min_insync = 1;
    from_env("VIGIA_TEST_LOG_CA", out->ca_file, sizeof out->ca_file);
    from_env("VIGIA_TEST_LOG_CERT", out->cert_file, sizeof out->cert_file);
    from_env("VIGIA_TEST_LOG_KEY", out->key_file, sizeof out->key_file);
}

int suite_setup(void **state)
{
    static int number;
    struct fx *fx = calloc(1, sizeof *fx);
    const char *url = getenv("VIGIA_TEST_LOG_URL");
    char prefix[48], own[128];
    unsigned created = 0;
    struct vg_error err = {.code = VG_OK};
    assert_non_null(fx);
    snprintf(fx->dir, sizeof fx->dir, "/tmp/vigia-log-XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
    snprintf(own, sizeof own, "sqlite:%s/log.db", fx->dir);
    snprintf(prefix, sizeof prefix, "t%ld-%d-%d.", (long)time(NULL), (int)getpid(), ++number);
    suite_conf(url == NULL ? own : url, prefix, &fx->conf);
    fx->sqlite = strncmp(fx->conf.url, "sqlite:", 7) == 0;
    suite_ok(vg_dlog_open(&fx->conf, "suite", VG_DLOG_MAY_CREATE, &fx->log, &err), &err);
    suite_ok(vg_dlog_create(fx->log, VG_TOPICS_ALL, &created, &err), &err);
    assert_int_equal(created, VG_TOPICS_ALL);
    *state = fx;
    return 0;
}

int suite_teardown(void **state)
{
    struct fx *fx = *state;
    char command[128];
    vg_dlog_close(fx->log);
    snprintf(command, sizeof command, "%s", fx->dir);
    const pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", command, (char *)NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    free(fx);
    return 0;
}

struct vg_dlog *suite_open(const char *url, const char *prefix)
{
    struct vg_dlog_conf conf;
    struct vg_dlog *log = NULL;
    struct vg_error err = {.code = VG_OK};
    suite_conf(url, prefix, &conf);
    suite_ok(vg_dlog_open(&conf, "suite-child", 0, &log, &err), &err);
    return log;
}

/* ---- appending and reading ---- */

static void keep_verdict(void *arg, const struct vg_dlog_verdict *v)
{
    *(struct vg_dlog_verdict *)arg = *v;
}

struct vg_dlog_verdict suite_append(struct vg_dlog *log, enum vg_topic t, const char *key,
                                    const char *value)
{
    struct vg_dlog_appender *a = NULL;
    struct vg_error err = {.code = VG_OK};
    struct vg_dlog_verdict v = {.result = VG_E_AGAIN};
    suite_ok(vg_dlog_appender_open(log, &a, &err), &err);
    assert_int_equal(
        vg_dlog_append(a, t, -1, vg_span_str(key), vg_span_str(value), keep_verdict, &v), VG_OK);
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(v.result, VG_OK);
    vg_dlog_appender_close(a);
    return v;
}

static void count_durable(void *arg, const struct vg_dlog_verdict *v)
{
    *(int *)arg += v->result == VG_OK;
}

void suite_append_numbers(struct vg_dlog *log, enum vg_topic t, int n, int keys)
{
    struct vg_dlog_appender *a = NULL;
    struct vg_error err = {.code = VG_OK};
    int durable = 0;
    suite_ok(vg_dlog_appender_open(log, &a, &err), &err);
    for (int i = 0; i < n; i++) {
        char key[16], value[16];
        snprintf(key, sizeof key, "k%d", i % keys);
        snprintf(value, sizeof value, "%d", i);
        assert_int_equal(
            vg_dlog_append(a, t, -1, vg_span_str(key), vg_span_str(value), count_durable, &durable),
            VG_OK);
    }
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(durable, n);
    vg_dlog_appender_close(a);
}

void suite_row(const struct vg_dlog_record *r, struct row *out)
{
    *out = (struct row){.partition = r->partition,
                        .offset = r->offset,
                        .append_ms = r->append_ms,
                        .tombstone = r->value.at == NULL};
    assert_true(vg_span_copy(r->key, out->key, sizeof out->key));
    assert_true(
        vg_span_copy(r->value.at == NULL ? VG_SPAN("") : r->value, out->value, sizeof out->value));
}

size_t suite_read_all(struct vg_dlog *log, enum vg_topic t, struct row *rows, size_t room)
{
    static struct vg_dlog_record records[1000];
    struct vg_dlog_reader *r = NULL;
    struct vg_error err = {.code = VG_OK};
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    size_t n = 0;
    suite_ok(vg_dlog_reader_open(log, t, -1, (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &r, &err),
             &err);
    while (!vg_dlog_reader_caught_up(r)) {
        size_t got = 0;
        assert_true(suite_now_ms() < until);
        suite_ok(vg_dlog_read(r, 200, records, 1000, &got, &err), &err);
        for (size_t i = 0; i < got; i++) {
            assert_true(n < room);
            suite_row(&records[i], &rows[n++]);
        }
    }
    vg_dlog_reader_close(r);
    return n;
}

/* ---- a table ---- */

void table_set(struct table *t, struct vg_span key, struct vg_span value)
{
    char k[64];
    size_t i = 0;
    assert_true(vg_span_copy(key, k, sizeof k));
    while (i < t->n && strcmp(t->entry[i].key, k) != 0) {
        i++;
    }
    if (value.at == NULL) {
        if (i < t->n) {
            t->entry[i] = t->entry[--t->n];
        }
        return;
    }
    if (i == t->n) {
        assert_true(t->n < sizeof t->entry / sizeof t->entry[0]);
        t->n++;
    }
    memcpy(t->entry[i].key, k, sizeof k);
    assert_true(vg_span_copy(value, t->entry[i].value, sizeof t->entry[i].value));
}

const char *table_get(const struct table *t, const char *key)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->entry[i].key, key) == 0) {
            return t->entry[i].value;
        }
    }
    return NULL;
}

/* ---- a processor ---- */

static void on_assigned(void *arg, int32_t partition)
{
    (void)partition;
    ((struct proc *)arg)->assigned++;
}
static void on_state(void *arg, int32_t partition, struct vg_span key, struct vg_span value)
{
    (void)partition;
    table_set(&((struct proc *)arg)->state, key, value);
}
static void on_restored(void *arg, int32_t partition)
{
    (void)partition;
    ((struct proc *)arg)->restored++;
}
static void on_caught_up(void *arg, int32_t partition)
{
    (void)partition;
    ((struct proc *)arg)->caught_up++;
}
static void on_revoked(void *arg, int32_t partition)
{
    struct proc *p = arg;
    (void)partition;
    p->revoked++;
    p->state.n =
        0; /* in these tests all state goes at once: either all partitions or the only one */
}

void proc_open(struct proc *p, struct vg_dlog *log, const char *group, const char *instance,
               bool commands)
{
    struct vg_error err = {.code = VG_OK};
    memset(p, 0, sizeof *p);
    const struct vg_dlog_processor_options o = {
        .group = group,
        .instance = instance,
        .inputs = {VG_TOPIC_READINGS, VG_TOPIC_COMMANDS},
        .input_count = commands ? 2 : 1,
        .state_topic = VG_TOPIC_ALARM_STATE,
        .calls = {on_assigned, on_state, on_restored, on_caught_up, on_revoked},
        .arg = p,
    };
    suite_ok(vg_dlog_processor_open(log, &o, &p->p, &err), &err);
}

void proc_poll(struct proc *p, int timeout_ms)
{
    struct vg_error err = {.code = VG_OK};
    suite_ok(vg_dlog_processor_poll(p->p, timeout_ms, p->records, ROOM, &p->count, &err), &err);
}

size_t proc_take(struct proc *p, size_t n, struct row *rows, size_t room)
{
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    size_t have = 0;
    while (have < n) {
        if (suite_now_ms() >= until) {
            fail_msg("%zu of %zu records came in %d ms", have, n, DEADLINE_MS);
        }
        proc_poll(p, 200);
        for (size_t i = 0; i < p->count; i++) {
            assert_true(have < room);
            suite_row(&p->records[i], &rows[have++]);
        }
    }
    return have;
}

void proc_put(struct proc *p, enum vg_topic t, int32_t partition, const char *key,
              const char *value)
{
    assert_int_equal(
        vg_dlog_processor_append(p->p, t, partition, vg_span_str(key), vg_span_str(value)), VG_OK);
}

void proc_commit(struct proc *p)
{
    struct vg_error err = {.code = VG_OK};
    suite_ok(vg_dlog_processor_commit(p->p, &err), &err);
}

/* ---- child processes ---- */

void child_start(struct child *c, const struct fx *fx, const char *scenario)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "child", "--child", scenario, fx->conf.url, fx->conf.prefix,
              (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    c->from = ends[0];
}

void child_says(struct child *c, const char *line)
{
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    char got[64] = "";
    size_t n = 0;
    while (n == 0 || got[n - 1] != '\n') {
        struct pollfd p = {.fd = c->from, .events = POLLIN};
        assert_true(suite_now_ms() < until && n < sizeof got - 1);
        if (poll(&p, 1, 1000) > 0) {
            assert_int_equal(read(c->from, got + n, 1), 1);
            n++;
        }
    }
    got[n - 1] = '\0';
    assert_string_equal(got, line);
}

void child_kill(struct child *c)
{
    kill(c->pid, SIGKILL);
    assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
    close(c->from);
}
