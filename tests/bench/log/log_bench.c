/* log_bench URL [RECORDS [VALUE_BYTES]]: what a log carries on this machine.
 *
 * Prints one line per figure, "name value unit". The topics must exist; with sqlite: they are made
 * when absent. */
#include "vigia/dlog_admin.h"
#include "vigia/dlog_processor.h"
#include "vigia/random.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 60000

static double now_s(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static void must(enum vg_err rc, const struct vg_error *err)
{
    if (rc != VG_OK) {
        fprintf(stderr, "log_bench: %s\n", err->text);
        exit(VG_EXIT_FAIL);
    }
}

static size_t durable, failed;

static void on_verdict(void *arg, const struct vg_dlog_verdict *v)
{
    (void)arg;
    durable += v->result == VG_OK;
    failed += v->result != VG_OK;
}

static void print(const char *name, size_t n, double wall, double cpu)
{
    printf("%-28s %12.0f rows/s %8.2f us-cpu/row\n", name, (double)n / wall, cpu * 1e6 / (double)n);
}

static void append_many(struct vg_dlog *log, size_t n, size_t size)
{
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    char key[32];
    char *value = malloc(size);
    memset(value, 'x', size);
    must(vg_dlog_appender_open(log, &a, &err), &err);
    const double wall = now_s(CLOCK_MONOTONIC), cpu = cpu_s();
    for (size_t i = 0; i < n;) {
        const int len = snprintf(key, sizeof key, "sensor-%zu", i % 1000);
        const enum vg_err rc = vg_dlog_append(a, VG_TOPIC_READINGS, -1, vg_span(key, (size_t)len),
                                              vg_span(value, size), on_verdict, NULL);
        if (rc == VG_OK) {
            i++;
        } else if (rc == VG_E_FULL) {
            struct pollfd verdicts = {.fd = vg_dlog_appender_fd(a), .events = POLLIN};
            (void)poll(&verdicts, 1, WAIT_MS);
        } else {
            must(vg_fail(&err, rc, "append: %s", vg_err_name(rc)), &err);
        }
        if (rc == VG_E_FULL || i % 256 == 0) {
            must(vg_dlog_appender_dispatch(a, &err), &err);
        }
    }
    must(vg_dlog_appender_drain(a, WAIT_MS, &err), &err);
    print("append, queue kept full", n, now_s(CLOCK_MONOTONIC) - wall, cpu_s() - cpu);
    vg_dlog_appender_close(a);
    free(value);
}

static void append_each(struct vg_dlog *log, size_t n)
{
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    must(vg_dlog_appender_open(log, &a, &err), &err);
    const double wall = now_s(CLOCK_MONOTONIC), cpu = cpu_s();
    for (size_t i = 0; i < n; i++) {
        must(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("one"), VG_SPAN("{}"), on_verdict,
                            NULL),
             &err);
        must(vg_dlog_appender_drain(a, WAIT_MS, &err), &err);
    }
    const double took = now_s(CLOCK_MONOTONIC) - wall;
    print("append, one at a time", n, took, cpu_s() - cpu);
    printf("%-28s %12.3f ms\n", "time to a durable verdict", took * 1e3 / (double)n);
    vg_dlog_appender_close(a);
}

static void process(struct vg_dlog *log, size_t n, size_t outputs_every, const char *name)
{
    static struct vg_dlog_record records[VG_DLOG_BATCH_MAX];
    struct vg_error err;
    struct vg_dlog_processor *p = NULL;
    char group[VG_DLOG_NAME_MAX];
    snprintf(group, sizeof group, "bench-%d-%zu", (int)getpid(), outputs_every);
    const struct vg_dlog_processor_options o = {.group = group,
                                                .instance = "one",
                                                .inputs = {VG_TOPIC_READINGS},
                                                .input_count = 1,
                                                .state_topic = VG_TOPIC_ALARM_STATE};
    must(vg_dlog_processor_open(log, &o, &p, &err), &err);
    const double wall = now_s(CLOCK_MONOTONIC), cpu = cpu_s();
    size_t seen = 0;
    while (seen < n && now_s(CLOCK_MONOTONIC) - wall < WAIT_MS / 1000) {
        size_t got = 0;
        must(vg_dlog_processor_poll(p, 1000, records, VG_DLOG_BATCH_MAX, &got, &err), &err);
        for (size_t i = 0; i < got; i++) {
            if (outputs_every != 0 && (seen + i) % outputs_every == 0) {
                must(vg_dlog_processor_append(p, VG_TOPIC_ALARM_STATE, records[i].partition,
                                              records[i].key, records[i].value),
                     &err);
            }
        }
        seen += got;
        must(vg_dlog_processor_commit(p, &err), &err);
    }
    print(name, seen, now_s(CLOCK_MONOTONIC) - wall, cpu_s() - cpu);
    vg_dlog_processor_close(p);
}

/* ---- from append to poll, with a steady stream on another thread ---- */

struct stream {
    struct vg_dlog *log;
    size_t rate, seconds;
};

static void *stream(void *arg)
{
    const struct stream *s = arg;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    must(vg_dlog_appender_open(s->log, &a, &err), &err);
    const double start = now_s(CLOCK_MONOTONIC);
    for (size_t sent = 0; sent < s->rate * s->seconds;) {
        const double now = now_s(CLOCK_MONOTONIC);
        while (sent < s->rate * s->seconds && (double)sent < (now - start) * (double)s->rate) {
            char key[32];
            const double stamp = now_s(CLOCK_MONOTONIC);
            const int len = snprintf(key, sizeof key, "s%zu", sent % 1000);
            const enum vg_err rc =
                vg_dlog_append(a, VG_TOPIC_COMMANDS, -1, vg_span(key, (size_t)len),
                               vg_span(&stamp, sizeof stamp), NULL, NULL);
            if (rc != VG_OK) {
                must(vg_fail(&err, rc, "append: %s", vg_err_name(rc)), &err);
            }
            sent++;
        }
        must(vg_dlog_appender_dispatch(a, &err), &err);
        usleep(500);
    }
    must(vg_dlog_appender_drain(a, WAIT_MS, &err), &err);
    vg_dlog_appender_close(a);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void latency(struct vg_dlog *log, size_t rate)
{
    static struct vg_dlog_record records[VG_DLOG_BATCH_MAX];
    struct vg_error err;
    struct vg_dlog_processor *p = NULL;
    struct stream s = {log, rate, 3};
    const size_t total = s.rate * s.seconds;
    double *took = calloc(total, sizeof *took), committed = 0;
    pthread_t thread;
    size_t n = 0;
    char group[VG_DLOG_NAME_MAX];
    snprintf(group, sizeof group, "latency-%d-%zu", (int)getpid(), rate);
    const struct vg_dlog_processor_options o = {.group = group,
                                                .instance = "one",
                                                .inputs = {VG_TOPIC_COMMANDS},
                                                .input_count = 1,
                                                .state_topic = VG_TOPIC_ALARM_STATE};
    must(vg_dlog_processor_open(log, &o, &p, &err), &err);
    size_t old = 1;
    while (old > 0 || !vg_dlog_processor_active(p)) { /* records of an earlier run */
        must(vg_dlog_processor_poll(p, 100, records, VG_DLOG_BATCH_MAX, &old, &err), &err);
    }
    if (took == NULL || pthread_create(&thread, NULL, stream, &s) != 0) {
        must(vg_fail(&err, VG_E_NOMEM, "no memory or thread"), &err);
    }
    const double start = now_s(CLOCK_MONOTONIC);
    while (n < total && now_s(CLOCK_MONOTONIC) - start < WAIT_MS / 1000) {
        size_t got = 0;
        must(vg_dlog_processor_poll(p, 20, records, VG_DLOG_BATCH_MAX, &got, &err), &err);
        const double now = now_s(CLOCK_MONOTONIC);
        for (size_t i = 0; i < got && n < total; i++) {
            double stamp;
            memcpy(&stamp, records[i].value.at, sizeof stamp);
            took[n++] = now - stamp;
        }
        if (now - committed > 0.05) {
            must(vg_dlog_processor_commit(p, &err), &err);
            committed = now;
        }
    }
    pthread_join(thread, NULL);
    vg_dlog_processor_close(p);
    qsort(took, n, sizeof *took, by_value);
    printf("append to poll at %6zu/s %14.2f ms p50 %8.2f ms p99 %8.2f ms max\n", rate,
           n == 0 ? 0 : took[n / 2] * 1e3, n == 0 ? 0 : took[n * 99 / 100] * 1e3,
           n == 0 ? 0 : took[n - 1] * 1e3);
    free(took);
}

int main(int argc, char **argv)
{
    struct vg_error err = {.code = VG_OK};
    struct vg_dlog_conf conf;
    struct vg_dlog *log = NULL;
    unsigned created = 0;
    const size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 500000;
    const size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 150;
    if (argc < 2 || n == 0 || size == 0 || size > VG_DLOG_VALUE_MAX) {
        fprintf(stderr, "usage: log_bench URL [RECORDS [VALUE_BYTES]]\n");
        return VG_EXIT_USAGE;
    }
    must(vg_dlog_conf_default(argv[1], &conf), &err);
    conf.replication = conf.min_insync = 1;
    must(vg_dlog_open(&conf, "log_bench", VG_DLOG_MAY_CREATE, &log, &err), &err);
    must(vg_dlog_create(log, VG_TOPICS_ALL, &created, &err), &err);
    append_many(log, n, size);
    process(log, n, 0, "process, no outputs");
    process(log, n, 100, "process, state each 100");
    process(log, n / 5, 1, "process, state each 1");
    append_each(log, 500);
    latency(log, 1000);
    latency(log, 50000);
    vg_dlog_close(log);
    printf("%-28s %12zu failed\n", "verdicts", failed);
    return failed == 0 && durable == n + 500 ? VG_EXIT_OK : VG_EXIT_FAIL;
}
