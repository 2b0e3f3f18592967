/* A broker that is killed, hangs, or is not there: what the log promises all the same. */
#include "fixture.h"

#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 6000

static int seen[MANY];

static void appends_go_on_over_a_killed_broker_and_lose_nothing(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct fx_sent sent = {NULL, 0, 0, 0};
    int doubled = 0;
    fx_ok(vg_dlog_appender_open(fx->log, &sent.a, &err), &err);
    while (sent.next < MANY / 6) {
        fx_send(&sent);
    }
    fx_ok(vg_dlog_appender_drain(sent.a, DEADLINE_MS, &err), &err);
    while (sent.next < MANY / 3) { /* under way when the broker dies */
        fx_send(&sent);
    }
    fx_broker("kill9");
    while (sent.next < 2 * MANY / 3) {
        fx_send(&sent);
    }
    fx_broker("restart");
    while (sent.next < MANY) {
        fx_send(&sent);
    }
    fx_ok(vg_dlog_appender_drain(sent.a, DEADLINE_MS, &err), &err);
    vg_dlog_appender_close(sent.a);
    assert_int_equal(sent.durable, MANY); /* the broker was back before any verdict was due */
    assert_int_equal(sent.failed, 0);
    const int total = fx_count(fx->log, VG_TOPIC_READINGS, seen, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_true(seen[i] >= 1);
        doubled += seen[i] > 1;
    }
    print_message("%d appended, %d durable, %d read, %d lost, %d doubled\n", MANY, sent.durable,
                  total, 0, doubled);
    assert_int_equal(doubled, 0); /* one producer, idempotent */
}

static void a_processor_copies_each_record_once_over_a_killed_broker(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct fx_sent sent = {NULL, 0, 0, 0};
    int committed = 0, killed = 0;
    fx_ok(vg_dlog_appender_open(fx->log, &sent.a, &err), &err);
    struct vg_dlog_processor *p = fx_copier(fx->log, "one");
    const int64_t until = fx_now_ms() + 2 * DEADLINE_MS;
    while (committed < MANY && fx_now_ms() < until) {
        for (int i = 0; i < 100 && sent.next < MANY; i++) {
            fx_send(&sent);
        }
        committed += fx_copy(p, 20);
        if (killed == 0 && committed > MANY / 3) {
            fx_broker("kill9");
            fx_broker("restart");
            killed = 1;
        }
    }
    fx_ok(vg_dlog_appender_drain(sent.a, DEADLINE_MS, &err), &err);
    vg_dlog_appender_close(sent.a);
    vg_dlog_processor_close(p);
    assert_int_equal(killed, 1);
    assert_int_equal(sent.durable, MANY);
    assert_int_equal(fx_count(fx->log, VG_TOPIC_ALARMS, seen, MANY), MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(seen[i], 1);
    }
}

/* ---- a call that hangs ---- */

/* Says a word on standard output, and waits for the go-ahead on standard input. */
static void child_says(const char *word)
{
    char go;
    if (write(STDOUT_FILENO, word, strlen(word)) != (ssize_t)strlen(word) ||
        read(STDIN_FILENO, &go, 1) != 1) {
        _exit(2);
    }
}

/* Runs in a process of its own: copies, and says "ready" after the first commit and "batch" before
 * the second one. It goes on until it is ended. */
static _Noreturn void child_main(const char *prefix)
{
    struct vg_error err;
    struct vg_dlog_conf conf;
    struct vg_dlog *log = NULL;
    fx_conf(prefix, &conf);
    conf.call_deadline_ms = 2000; /* below every limit that the client has itself */
    fx_ok(vg_dlog_open(&conf, "child", 0, &log, &err), &err);
    struct vg_dlog_processor *p = fx_copier(log, "one");
    while (fx_copy(p, 100) == 0) {
    }
    child_says("ready");
    while (fx_take(p, 100) == 0) {
    }
    child_says("batch");
    for (;;) {
        fx_commit(p);
        fx_take(p, 100);
    }
}

struct child {
    pid_t pid;
    int in, out, errors; /* its standard input and output; the file of its standard error */
};

static void child_start(struct child *c, const struct fx *fx)
{
    int in[2], out[2];
    char path[] = "/tmp/vigia-child-XXXXXX";
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    c->errors = mkstemp(path);
    assert_true(c->errors >= 0);
    unlink(path);
    c->in = in[1];
    c->out = out[0];
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(c->errors, STDERR_FILENO);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        execl("/proc/self/exe", "child", "--child", fx->conf.prefix, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
}

static void child_has_said(const struct child *c, const char *word)
{
    char text[8] = "";
    struct pollfd p = {.fd = c->out, .events = POLLIN};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    assert_int_equal(read(c->out, text, strlen(word)), (int)strlen(word));
    assert_string_equal(text, word);
}

static void child_may_go_on(const struct child *c)
{
    assert_int_equal(write(c->in, "\n", 1), 1);
}

/* Waits for the child's end, which its closed output tells; returns its exit status. */
static int child_ends(struct child *c, char *errors, size_t size)
{
    int status = 0;
    struct pollfd p = {.fd = c->out, .events = POLLIN};
    if (poll(&p, 1, DEADLINE_MS) != 1) {
        kill(c->pid, SIGKILL);
    }
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    const ssize_t n = pread(c->errors, errors, size - 1, 0);
    assert_true(n >= 0);
    errors[n] = '\0';
    close(c->errors);
    close(c->in);
    close(c->out);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void send_and_drain(struct fx_sent *sent, int count)
{
    struct vg_error err;
    const int until = sent->next + count;
    while (sent->next < until) {
        fx_send(sent);
    }
    fx_ok(vg_dlog_appender_drain(sent->a, DEADLINE_MS, &err), &err);
}

static void a_call_that_hangs_ends_the_process_and_its_successor_goes_on(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct fx_sent sent = {NULL, 0, 0, 0};
    struct child c;
    char errors[4096];
    fx_ok(vg_dlog_appender_open(fx->log, &sent.a, &err), &err);
    send_and_drain(&sent, 100);
    child_start(&c, fx);
    child_has_said(&c, "ready");
    send_and_drain(&sent, 800);
    child_may_go_on(&c);
    child_has_said(&c, "batch");
    fx_broker("pause");
    child_may_go_on(&c);
    const int code = child_ends(&c, errors, sizeof errors);
    fx_broker("resume");
    print_message("ended with %d: %s", code, errors);
    assert_int_equal(code, VG_EXIT_FAIL);
    assert_non_null(strstr(errors, "msg=log-call-hangs call=rd_kafka_"));
    vg_dlog_appender_close(sent.a);
    assert_int_equal(sent.durable, sent.next);
    struct vg_dlog_processor *p = fx_copier(fx->log, "one");
    const int64_t until = fx_now_ms() + DEADLINE_MS;
    while (fx_count(fx->log, VG_TOPIC_ALARMS, seen, MANY) < sent.next) {
        assert_true(fx_now_ms() < until);
        fx_copy(p, 200);
    }
    for (int i = 0; i < sent.next; i++) {
        assert_int_equal(seen[i], 1);
    }
    vg_dlog_processor_close(p);
}

/* ---- nobody there, nothing possible ---- */

static void a_broker_that_cannot_be_reached_is_told_in_one_line_in_bounded_time(void **state)
{
    struct vg_error err;
    struct vg_dlog_conf conf;
    struct vg_dlog *log = NULL;
    (void)state;
    assert_int_equal(vg_dlog_conf_default("kafka:127.0.0.1:1", &conf), VG_OK);
    fx_ok(vg_dlog_open(&conf, "test", 0, &log, &err), &err);
    const int64_t from = fx_now_ms();
    assert_int_equal(vg_dlog_check(log, VG_TOPICS_ALL, &err), VG_E_TIMEOUT);
    assert_true(fx_now_ms() - from < 30000);
    assert_non_null(strstr(err.text, "127.0.0.1:1"));
    assert_non_null(strstr(err.text, "refused"));
    assert_null(strchr(err.text, '\n'));
    vg_dlog_close(log);
}

static void the_brokers_own_tools_make_a_backup(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_retained gone;
    assert_int_equal(vg_dlog_backup(fx->log, "/nowhere", NULL, NULL, &err), VG_E_UNSUPPORTED);
    assert_int_equal(vg_dlog_retain(fx->log, &gone, &err), VG_E_UNSUPPORTED);
}

static void copies_that_the_brokers_cannot_keep_are_refused(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_conf conf = fx->conf;
    struct vg_dlog *log = NULL;
    unsigned created = 0;
    conf.replication = 3;
    assert_true(vg_str_copy("three.", conf.prefix, sizeof conf.prefix));
    fx_ok(vg_dlog_open(&conf, "test", 0, &log, &err), &err);
    assert_int_equal(vg_dlog_create(log, VG_TOPICS_ALL, &created, &err), VG_E_RANGE);
    assert_non_null(strstr(err.text, "three.readings"));
    vg_dlog_close(log);
}

#define PARTITIONS 2 /* fx_conf */

struct skips {
    int64_t records; /* of all partitions */
    int count, back; /* moves; of these, to an earlier offset */
};

static void on_skipped(void *arg, const struct vg_dlog_skipped *s)
{
    struct skips *skips = arg;
    assert_int_equal(s->topic, VG_TOPIC_READINGS);
    skips->count++;
    skips->back += s->to < s->from;
    skips->records += s->to - s->from;
}

/* What retention does to readings that nobody has read; or, with `group`, what a leader that had not
 * been in sync does to its position: it lies 1,000 behind the end of partition 0. */
static void spoil(const struct fx *fx, const char *group, int64_t end)
{
    char why[256], topic[128], name[128];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(
        rd_kafka_conf_set(conf, "bootstrap.servers", fx_env("VIGIA_KAFKA"), why, sizeof why),
        RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(rk);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    snprintf(topic, sizeof topic, "%sreadings", fx->conf.prefix);
    if (group == NULL) {
        for (int32_t i = 0; i < PARTITIONS; i++) {
            rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_END;
        }
        rd_kafka_DeleteRecords_t *what = rd_kafka_DeleteRecords_new(list);
        rd_kafka_DeleteRecords(rk, &what, 1, NULL, queue);
        rd_kafka_DeleteRecords_destroy(what);
    } else {
        snprintf(name, sizeof name, "%s%s", fx->conf.prefix, group);
        rd_kafka_topic_partition_list_add(list, topic, 0)->offset = end + 1000;
        rd_kafka_AlterConsumerGroupOffsets_t *what =
            rd_kafka_AlterConsumerGroupOffsets_new(name, list);
        rd_kafka_AlterConsumerGroupOffsets(rk, &what, 1, NULL, queue);
        rd_kafka_AlterConsumerGroupOffsets_destroy(what);
    }
    rd_kafka_event_t *done = rd_kafka_queue_poll(queue, DEADLINE_MS);
    assert_non_null(done);
    assert_string_equal(rd_kafka_err2str(rd_kafka_event_error(done)),
                        rd_kafka_err2str(RD_KAFKA_RESP_ERR_NO_ERROR));
    rd_kafka_event_destroy(done);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static void copy_all(struct vg_dlog_processor *p, int count)
{
    const int64_t until = fx_now_ms() + DEADLINE_MS;
    for (int n = 0; n < count;) {
        assert_true(fx_now_ms() < until);
        n += fx_copy(p, 100);
    }
}

static void expect_a_stop_that_names_the_way_out(const struct fx *fx, enum vg_err class)
{
    struct vg_error err;
    struct vg_dlog_record r;
    size_t n = 0;
    enum vg_err rc = VG_OK;
    const int64_t until = fx_now_ms() + DEADLINE_MS;
    struct vg_dlog_processor *p = fx_copier(fx->log, "two");
    while (rc == VG_OK && fx_now_ms() < until) {
        rc = vg_dlog_processor_poll(p, 100, &r, 1, &n, &err);
        assert_true(rc != VG_OK || n == 0);
    }
    assert_int_equal(rc, class);
    assert_non_null(strstr(err.text, "vigia log skip copy"));
    assert_int_equal(class == VG_E_FATAL, strstr(err.text, "if this repeats") != NULL);
    vg_dlog_processor_close(p);
}

static void a_group_goes_on_once_what_left_the_log_is_skipped(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct skips skips = {0, 0, 0};
    struct fx_sent sent = {NULL, 0, 0, 0};
    static struct vg_dlog_topic_info info;
    fx_ok(vg_dlog_appender_open(fx->log, &sent.a, &err), &err);
    assert_int_equal(vg_dlog_skip(fx->log, "copy", on_skipped, &skips, &err), VG_E_NOTFOUND);
    struct vg_dlog_processor *p = fx_copier(fx->log, "one");
    send_and_drain(&sent, 100);
    copy_all(p, 100);
    fx_ok(vg_dlog_skip(fx->log, "copy", on_skipped, &skips, &err), &err); /* nothing is missing */
    send_and_drain(&sent, 50);
    spoil(fx, NULL, 0);
    assert_int_equal(vg_dlog_skip(fx->log, "copy", on_skipped, &skips, &err), VG_E_CONFLICT);
    assert_int_equal(skips.count, 0);
    vg_dlog_processor_close(p);
    expect_a_stop_that_names_the_way_out(fx, VG_E_RANGE);
    fx_ok(vg_dlog_skip(fx->log, "copy", on_skipped, &skips, &err), &err);
    assert_int_equal(skips.records, 50);
    assert_int_equal(skips.count, PARTITIONS);
    assert_int_equal(skips.back, 0);
    send_and_drain(&sent, 10);
    p = fx_copier(fx->log, "one");
    copy_all(p, 10);
    vg_dlog_processor_close(p);

    fx_ok(vg_dlog_describe(fx->log, VG_TOPIC_READINGS, &info, &err), &err);
    spoil(fx, "copy", info.partition[0].end);
    expect_a_stop_that_names_the_way_out(fx, VG_E_FATAL); /* starting again may help */
    skips = (struct skips){0, 0, 0};
    fx_ok(vg_dlog_skip(fx->log, "copy", on_skipped, &skips, &err), &err);
    assert_int_equal(skips.count, 1);
    assert_int_equal(skips.back, 1);
    p = fx_copier(fx->log, "one");
    copy_all(p, (int)(info.partition[0].end - info.partition[0].begin)); /* once more */
    vg_dlog_processor_close(p);
    vg_dlog_appender_close(sent.a);
}

#define FX_TEST(f) cmocka_unit_test_setup_teardown(f, fx_setup, fx_teardown)

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--child") == 0) {
        child_main(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        FX_TEST(appends_go_on_over_a_killed_broker_and_lose_nothing),
        FX_TEST(a_processor_copies_each_record_once_over_a_killed_broker),
        FX_TEST(a_call_that_hangs_ends_the_process_and_its_successor_goes_on),
        cmocka_unit_test(a_broker_that_cannot_be_reached_is_told_in_one_line_in_bounded_time),
        FX_TEST(the_brokers_own_tools_make_a_backup),
        FX_TEST(a_group_goes_on_once_what_left_the_log_is_skipped),
        FX_TEST(copies_that_the_brokers_cannot_keep_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
