/* The table of last values, the watchdog, and the broker list of the URL. */
#include "../../../collector/log/kafka.h"
#include "../../../collector/log/kafka_watchdog.h"
#include "../../../collector/log/newest.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define KEYS 5000

/* ---- table ---- */

static int told[2][KEYS];

static void on_entry(void *arg, int32_t partition, struct vg_span key, struct vg_span value)
{
    unsigned long long k = 0, v = 0;
    (void)arg;
    assert_true(vg_span_to_u64(key, &k) && k < KEYS && vg_span_to_u64(value, &v));
    told[partition][k] = (int)v;
}

static void set(struct vgi_newest *t, int32_t partition, int key, const char *value)
{
    char text[16];
    const int n = snprintf(text, sizeof text, "%d", key);
    assert_int_equal(vgi_newest_set(t, partition, vg_span(text, (size_t)n), vg_span_str(value)),
                     VG_OK);
}

static void the_table_keeps_the_last_value_of_each_key_of_each_partition(void **state)
{
    struct vgi_newest *t = vgi_newest_new();
    char value[32];
    (void)state;
    for (int round = 1; round <= 3; round++) {
        for (int k = 0; k < KEYS; k++) {
            snprintf(value, sizeof value, "%d",
                     k % 7 == 0 ? round : round * 1000000); /* longer and shorter ones */
            set(t, k % 2, k, value);
        }
    }
    for (int k = 0; k < KEYS; k += 10) {
        set(t, k % 2, k, NULL);
    }
    set(t, 0, 10, "77");   /* removed, then set again */
    set(t, 1, 10, "78");   /* the same key elsewhere */
    set(t, 1, 4998, NULL); /* never was there */
    vgi_newest_each(t, on_entry, NULL);
    for (int k = 0; k < KEYS; k++) {
        const int other = k == 10 ? 78 : 0;
        const int own = k == 10 ? 77 : k % 10 == 0 ? 0 : k % 7 == 0 ? 3 : 3000000;
        assert_int_equal(told[k % 2][k], own);
        assert_int_equal(told[1 - k % 2][k], other);
    }
    vgi_newest_free(t);
}

/* ---- watchdog ---- */

/* Runs `fn` in a process of its own; returns its exit status and its standard error. */
static int in_a_process(void (*fn)(struct vgi_kafka_watchdog *), int64_t deadline_ms, char *errors,
                        size_t size)
{
    int ends[2], status = 0;
    size_t n = 0;
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct vgi_kafka_watchdog *w = NULL;
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (vgi_kafka_watchdog_start(deadline_ms, &w, NULL) != VG_OK) {
            _exit(99);
        }
        fn(w);
        vgi_kafka_watchdog_stop(w);
        _exit(42);
    }
    close(ends[1]);
    for (ssize_t got = 1; got > 0 && n<size - 1; n += got> 0 ? (size_t)got : 0) {
        got = read(ends[0], errors + n, size - 1 - n);
    }
    errors[n] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void hang(struct vgi_kafka_watchdog *w)
{
    vgi_kafka_watchdog_enter(w, "rd_kafka_first", 0);
    vgi_kafka_watchdog_leave(w);
    vgi_kafka_watchdog_enter(w, "rd_kafka_that_hangs", 0);
    for (;;) {
        pause();
    }
}

static void hang_past_its_own_limit(struct vgi_kafka_watchdog *w)
{
    vgi_kafka_watchdog_enter(w, "rd_kafka_with_a_limit", 100);
    for (;;) {
        pause();
    }
}

static void hang_with_a_long_limit(struct vgi_kafka_watchdog *w)
{
    vgi_kafka_watchdog_enter(w, "rd_kafka_with_a_limit", 60000);
    for (;;) {
        pause();
    }
}

/* Calls that take more than the deadline together, each less. */
static void return_in_time(struct vgi_kafka_watchdog *w)
{
    const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    for (int i = 0; i < 300; i++) {
        vgi_kafka_watchdog_enter(w, "rd_kafka_quick", 0);
        nanosleep(&pause, NULL);
        vgi_kafka_watchdog_leave(w);
    }
}

static void a_call_past_its_deadline_ends_the_process_with_a_line_that_names_it(void **state)
{
    char errors[1000];
    (void)state;
    assert_int_equal(in_a_process(hang, 200, errors, sizeof errors), VG_EXIT_FAIL);
    assert_non_null(strstr(errors, "msg=log-call-hangs call=rd_kafka_that_hangs after_ms=200"));
}

static void a_call_past_its_own_limit_hangs_before_the_deadline(void **state)
{
    char errors[1000], line[120];
    (void)state;
    assert_int_equal(in_a_process(hang_past_its_own_limit, 60000, errors, sizeof errors),
                     VG_EXIT_FAIL);
    snprintf(line, sizeof line, "call=rd_kafka_with_a_limit after_ms=%d",
             100 + VGI_KAFKA_OVERDUE_MS);
    assert_non_null(strstr(errors, line));
    assert_int_equal(in_a_process(hang_with_a_long_limit, 200, errors, sizeof errors),
                     VG_EXIT_FAIL);
    assert_non_null(strstr(errors, "call=rd_kafka_with_a_limit after_ms=200"));
}

static void calls_that_return_in_time_are_left_alone(void **state)
{
    char errors[1000];
    (void)state;
    assert_int_equal(in_a_process(return_in_time, 1000, errors, sizeof errors), 42);
    assert_string_equal(errors, "");
}

/* ---- a topic that was not created ---- */

static void brokers_that_are_fenced_for_the_moment_are_asked_again(void **state)
{
    (void)state;
    assert_int_equal(vgi_kafka_create_class(RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR,
                                            "Unable to replicate the partition 1 time(s): All "
                                            "brokers are currently fenced."),
                     VG_E_AGAIN);
    assert_int_equal(vgi_kafka_create_class(RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR,
                                            "Unable to replicate the partition 3 time(s): The "
                                            "target replication factor of 3 cannot be reached "
                                            "because only 1 broker(s) are registered."),
                     VG_E_RANGE);
    assert_int_equal(vgi_kafka_create_class(RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, ""),
                     VG_E_EXISTS);
}

/* ---- URL ---- */

static enum vg_err open_url(const char *url, struct vg_error *err)
{
    struct vg_dlog_conf conf;
    struct vg_dlog *log = NULL;
    assert_int_equal(vg_dlog_conf_default(url, &conf), VG_OK);
    const enum vg_err rc = vg_dlog_open(&conf, "test", 0, &log, err);
    if (rc == VG_OK) {
        vg_dlog_close(log);
    }
    return rc;
}

static void a_list_of_brokers_is_host_and_port_each(void **state)
{
    static const char *const good[] = {"kafka:a:9092", "kafka:a:1,b.example:65535",
                                       "kafka:127.0.0.1:9092", "kafka:[::1]:9092"};
    static const char *const bad[] = {
        "kafka:a",       "kafka::9092",          "kafka:a:0",      "kafka:a:65536",
        "kafka:a:9092,", "kafka:a:9092,,b:9092", "kafka:a b:9092", "kafka:http://a:9092"};
    struct vg_error err;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(open_url(good[i], &err), VG_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(open_url(bad[i], &err), VG_E_INVALID);
        assert_non_null(strstr(err.text, bad[i]));
        assert_non_null(strstr(err.text, "kafka:HOST:PORT"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_keeps_the_last_value_of_each_key_of_each_partition),
        cmocka_unit_test(a_call_past_its_deadline_ends_the_process_with_a_line_that_names_it),
        cmocka_unit_test(a_call_past_its_own_limit_hangs_before_the_deadline),
        cmocka_unit_test(calls_that_return_in_time_are_left_alone),
        cmocka_unit_test(brokers_that_are_fenced_for_the_moment_are_asked_again),
        cmocka_unit_test(a_list_of_brokers_is_host_and_port_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
