#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 500

int64_t fx_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

const char *fx_env(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        fail_msg("%s is not set: run this through tests/support/kafka/broker run", name);
    }
    return value;
}

void fx_ok(enum vg_err rc, const struct vg_error *err)
{
    if (rc != VG_OK) {
        fail_msg("%s: %s", vg_err_name(rc), err->text);
    }
}

static void take_file(const char *variable, char *to, size_t size)
{
    const char *value = getenv(variable);
    if (value != NULL) {
        assert_true(vg_str_copy(value, to, size));
    }
}

void fx_conf(const char *prefix, struct vg_dlog_conf *out)
{
    char url[256];
    snprintf(url, sizeof url, "kafka:%s", fx_env("VIGIA_KAFKA"));
    assert_int_equal(vg_dlog_conf_default(url, out), VG_OK);
    assert_true(vg_str_copy(prefix, out->prefix, sizeof out->prefix));
    take_file("VIGIA_KAFKA_CA", out->ca_file, sizeof out->ca_file);
    take_file("VIGIA_KAFKA_CERT", out->cert_file, sizeof out->cert_file);
    take_file("VIGIA_KAFKA_KEY", out->key_file, sizeof out->key_file);
    out->partitions = 2;
    out->replication = out->min_insync = 1;
}

int fx_setup(void **state)
{
    static int number;
    struct vg_error err;
    unsigned created = 0;
    char prefix[32];
    struct fx *fx = calloc(1, sizeof *fx);
    snprintf(prefix, sizeof prefix, "t%d-%d.", (int)getpid(), number++);
    fx_conf(prefix, &fx->conf);
    fx_ok(vg_dlog_open(&fx->conf, "test", 0, &fx->log, &err), &err);
    fx_ok(vg_dlog_create(fx->log, VG_TOPICS_ALL, &created, &err), &err);
    *state = fx;
    return 0;
}

int fx_teardown(void **state)
{
    struct fx *fx = *state;
    vg_dlog_close(fx->log);
    free(fx);
    return 0;
}

void fx_broker(const char *verb)
{
    int status = 0;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(VIGIA_SOURCE_DIR "/tests/support/kafka/broker", "broker", verb,
              fx_env("VIGIA_KAFKA_DIR"), (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void on_verdict(void *arg, const struct vg_dlog_verdict *v)
{
    struct fx_sent *s = arg;
    s->durable += v->result == VG_OK;
    s->failed += v->result != VG_OK;
}

bool fx_send(struct fx_sent *s)
{
    struct vg_error err;
    char key[16], value[16];
    const int k = snprintf(key, sizeof key, "k%d", s->next % 8);
    const int v = snprintf(value, sizeof value, "%d", s->next);
    const enum vg_err rc = vg_dlog_append(s->a, VG_TOPIC_READINGS, -1, vg_span(key, (size_t)k),
                                          vg_span(value, (size_t)v), on_verdict, s);
    assert_true(rc == VG_OK || rc == VG_E_FULL);
    s->next += rc == VG_OK;
    fx_ok(vg_dlog_appender_dispatch(s->a, &err), &err);
    return rc == VG_OK;
}

int fx_count(struct vg_dlog *log, enum vg_topic t, int *seen, int room)
{
    static struct vg_dlog_record records[BATCH];
    struct vg_error err;
    struct vg_dlog_reader *r = NULL;
    int total = 0;
    const int64_t until = fx_now_ms() + DEADLINE_MS;
    memset(seen, 0, (size_t)room * sizeof *seen);
    fx_ok(vg_dlog_reader_open(log, t, -1, (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &r, &err),
          &err);
    while (!vg_dlog_reader_caught_up(r)) {
        size_t n = 0;
        assert_true(fx_now_ms() < until);
        fx_ok(vg_dlog_read(r, 200, records, BATCH, &n, &err), &err);
        for (size_t i = 0; i < n; i++, total++) {
            unsigned long long number = 0;
            assert_true(vg_span_to_u64(records[i].value, &number) &&
                        number < (unsigned long long)room);
            seen[number]++;
        }
    }
    vg_dlog_reader_close(r);
    return total;
}

struct vg_dlog_processor *fx_copier(struct vg_dlog *log, const char *instance)
{
    struct vg_error err;
    struct vg_dlog_processor *p = NULL;
    const struct vg_dlog_processor_options options = {
        .group = "copy",
        .instance = instance,
        .inputs = {VG_TOPIC_READINGS},
        .input_count = 1,
        .state_topic = VG_TOPIC_ALARM_STATE,
    };
    fx_ok(vg_dlog_processor_open(log, &options, &p, &err), &err);
    return p;
}

int fx_take(struct vg_dlog_processor *p, int timeout_ms)
{
    static struct vg_dlog_record records[BATCH];
    struct vg_error err = {.code = VG_OK};
    size_t n = 0;
    fx_ok(vg_dlog_processor_poll(p, timeout_ms, records, BATCH, &n, &err), &err);
    for (size_t i = 0; i < n; i++) {
        const enum vg_err rc = vg_dlog_processor_append(p, VG_TOPIC_ALARMS, records[i].partition,
                                                        records[i].key, records[i].value);
        assert_true(rc == VG_OK || rc == VG_E_CONFLICT);
    }
    return (int)n;
}

bool fx_commit(struct vg_dlog_processor *p)
{
    struct vg_error err = {.code = VG_OK};
    const enum vg_err rc = vg_dlog_processor_commit(p, &err);
    assert_true(rc == VG_OK || rc == VG_E_CONFLICT);
    return rc == VG_OK;
}

int fx_copy(struct vg_dlog_processor *p, int timeout_ms)
{
    const int n = fx_take(p, timeout_ms);
    return fx_commit(p) ? n : 0;
}
