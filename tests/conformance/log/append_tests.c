/* Appending: order, verdicts, bounds. */
#include "suite.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static struct row rows[ROOM];

static void records_of_a_key_are_read_in_the_order_of_their_appends(void **state)
{
    struct fx *fx = *state;
    int last[7] = {-1, -1, -1, -1, -1, -1, -1};
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 3000, 7);
    const size_t n = suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM);
    assert_int_equal(n, 3000);
    for (size_t i = 0; i < n; i++) {
        const long value = strtol(rows[i].value, NULL, 10), key = strtol(rows[i].key + 1, NULL, 10);
        assert_int_equal(value % 7, key);
        assert_int_equal(value, last[key] < 0 ? key : last[key] + 7);
        last[key] = (int)value;
    }
}

static void records_of_a_key_are_in_one_partition(void **state)
{
    struct fx *fx = *state;
    int32_t partition[7] = {-1, -1, -1, -1, -1, -1, -1};
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 100, 7);
    const size_t n = suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM);
    for (size_t i = 0; i < n; i++) {
        const long key = strtol(rows[i].key + 1, NULL, 10);
        assert_true(partition[key] == -1 || partition[key] == rows[i].partition);
        partition[key] = rows[i].partition;
    }
}

struct told {
    int verdicts, durable;
    struct vg_dlog_verdict last;
};

static void tell(void *arg, const struct vg_dlog_verdict *v)
{
    struct told *t = arg;
    t->verdicts++;
    t->durable += v->result == VG_OK;
    t->last = *v;
}

static void a_durable_verdict_names_where_the_record_is(void **state)
{
    struct fx *fx = *state;
    static struct vg_dlog_record records[10];
    struct vg_error err;
    struct vg_dlog_reader *r = NULL;
    size_t n = 0;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 20, 5);
    const struct vg_dlog_verdict v = suite_append(fx->log, VG_TOPIC_READINGS, "here", "found");
    assert_true(v.offset >= 0);
    suite_ok(vg_dlog_reader_open(fx->log, VG_TOPIC_READINGS, v.partition,
                                 (struct vg_dlog_from){VG_DLOG_OFFSET, v.offset}, &r, &err),
             &err);
    for (int i = 0; i < 100 && n == 0; i++) {
        suite_ok(vg_dlog_read(r, 1000, records, 10, &n, &err), &err);
    }
    assert_int_equal(n, 1);
    assert_true(vg_span_eq(records[0].key, VG_SPAN("here")));
    assert_int_equal(records[0].offset, v.offset);
    vg_dlog_reader_close(r);
}

static void the_descriptor_is_readable_when_a_verdict_waits(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    suite_ok(vg_dlog_appender_open(fx->log, &a, &err), &err);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    assert_int_equal(vg_dlog_appender_pending(a), 1);
    assert_int_equal(t.verdicts, 0);
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    while (t.verdicts == 0) {
        struct pollfd p = {.fd = vg_dlog_appender_fd(a), .events = POLLIN};
        assert_true(suite_now_ms() < until);
        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
        suite_ok(vg_dlog_appender_dispatch(a, &err), &err);
    }
    assert_int_equal(t.durable, 1);
    assert_int_equal(vg_dlog_appender_pending(a), 0);
    assert_false(vg_dlog_appender_holds(a, &t));
    vg_dlog_appender_close(a);
}

static void a_full_queue_refuses_at_once_and_loses_nothing_it_took(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_conf conf = fx->conf;
    struct vg_dlog *log = NULL;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    int taken = 0;
    enum vg_err rc = VG_OK;
    conf.queue_max = 100;
    suite_ok(vg_dlog_open(&conf, "suite", 0, &log, &err), &err);
    suite_ok(vg_dlog_appender_open(log, &a, &err), &err);
    while (rc == VG_OK && taken < 1000) {
        rc = vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t);
        taken += rc == VG_OK;
    }
    assert_int_equal(rc, VG_E_FULL);
    assert_int_equal(taken, 100);
    assert_int_equal(vg_dlog_appender_refused(a), 1);
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.durable, taken);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    assert_int_equal(suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM), taken + 1);
}

static void closing_gives_every_record_exactly_one_verdict(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    suite_ok(vg_dlog_appender_open(fx->log, &a, &err), &err);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(
            vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t), VG_OK);
    }
    vg_dlog_appender_close(a);
    assert_int_equal(t.verdicts, 500);
    assert_true(suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM) >= (size_t)t.durable);
}

static void an_explicit_partition_is_obeyed_and_a_wrong_one_refused(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    int32_t partitions = 0;
    suite_ok(vg_dlog_partitions(fx->log, VG_TOPIC_READINGS, &partitions, &err), &err);
    assert_int_equal(partitions, fx->sqlite ? 1 : fx->conf.partitions);
    suite_ok(vg_dlog_appender_open(fx->log, &a, &err), &err);
    for (int32_t p = 0; p < partitions; p++) {
        assert_int_equal(
            vg_dlog_append(a, VG_TOPIC_READINGS, p, VG_SPAN("c1"), VG_SPAN("beat"), tell, &t),
            VG_OK);
        suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
        assert_int_equal(t.last.result, VG_OK);
        assert_int_equal(t.last.partition, p);
    }
    assert_int_equal(
        vg_dlog_append(a, VG_TOPIC_READINGS, partitions, VG_SPAN("c1"), VG_SPAN("x"), tell, &t),
        VG_E_RANGE);
    vg_dlog_appender_close(a);
    assert_int_equal(suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM), partitions);
}

static void keys_and_values_outside_their_bounds_are_refused(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    char *big = calloc(1, VG_DLOG_VALUE_MAX + 1);
    const struct vg_span none = {NULL, 0};
    suite_ok(vg_dlog_appender_open(fx->log, &a, &err), &err);
    assert_int_equal(
        vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN(""), VG_SPAN("v"), NULL, NULL),
        VG_E_RANGE);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, vg_span(big, VG_DLOG_KEY_MAX + 1),
                                    VG_SPAN("v"), NULL, NULL),
                     VG_E_RANGE);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"),
                                    vg_span(big, VG_DLOG_VALUE_MAX + 1), NULL, NULL),
                     VG_E_RANGE);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), none, NULL, NULL),
                     VG_E_RANGE);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"),
                                    vg_span(big, VG_DLOG_VALUE_MAX), NULL, NULL),
                     VG_OK);
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    vg_dlog_appender_close(a);
    free(big);
}

static void two_appenders_in_two_processes_lose_and_double_nothing(void **state)
{
    struct fx *fx = *state;
    static int seen[2000];
    struct child c;
    memset(seen, 0, sizeof seen);
    child_start(&c, fx, "append-1000");
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 1000, 3);
    child_says(&c, "done");
    child_kill(&c);
    const size_t n = suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM);
    assert_int_equal(n, 2000);
    for (size_t i = 0; i < n; i++) {
        const long v = strtol(rows[i].value, NULL, 10);
        assert_true(v >= 0 && v < 2000);
        assert_int_equal(seen[v]++, 0);
    }
}

static void what_was_acknowledged_before_a_kill_is_there(void **state)
{
    struct fx *fx = *state;
    struct child c;
    child_start(&c, fx, "append-then-hang");
    child_says(&c, "durable");
    child_kill(&c);
    assert_int_equal(suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM), 50);
}

static void a_group_gets_one_verdict_and_stands_whole_and_in_order(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    struct vg_dlog_entry entries[30];
    char values[30][8], keys[3][3] = {"k0", "k1", "k2"};
    int last[3] = {-1, -1, -1};
    suite_ok(vg_dlog_appender_open(fx->log, &a, &err), &err);
    for (int i = 0; i < 30; i++) {
        snprintf(values[i], sizeof values[i], "%d", i);
        entries[i] = (struct vg_dlog_entry){vg_span_str(keys[i % 3]), vg_span_str(values[i])};
    }
    assert_int_equal(
        vg_dlog_append_group(a, VG_TOPIC_READINGS, VG_DLOG_URGENT, entries, 30, tell, &t), VG_OK);
    assert_int_equal(vg_dlog_appender_pending(a), 30);
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.verdicts, 1);
    assert_int_equal(t.durable, 1);
    vg_dlog_appender_close(a);
    assert_int_equal(suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM), 30);
    for (size_t i = 0; i < 30; i++) {
        const int key = rows[i].key[1] - '0', value = (int)strtol(rows[i].value, NULL, 10);
        assert_int_equal(value, last[key] < 0 ? key : last[key] + 3);
        last[key] = value;
    }
}

static void a_group_that_does_not_fit_is_refused_whole(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_conf conf = fx->conf;
    struct vg_dlog *log = NULL;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    struct vg_dlog_entry entries[60];
    conf.queue_max = 100;
    suite_ok(vg_dlog_open(&conf, "suite", 0, &log, &err), &err);
    suite_ok(vg_dlog_appender_open(log, &a, &err), &err);
    for (int i = 0; i < 60; i++) {
        entries[i] = (struct vg_dlog_entry){VG_SPAN("k"), VG_SPAN("v")};
    }
    assert_int_equal(
        vg_dlog_append_group(a, VG_TOPIC_READINGS, VG_DLOG_URGENT, entries, 0, tell, &t),
        VG_E_RANGE);
    assert_int_equal(
        vg_dlog_append_group(a, VG_TOPIC_READINGS, VG_DLOG_URGENT, entries, 60, tell, &t), VG_OK);
    assert_int_equal(
        vg_dlog_append_group(a, VG_TOPIC_READINGS, VG_DLOG_URGENT, entries, 60, tell, &t),
        VG_E_FULL);
    assert_int_equal(vg_dlog_appender_refused(a), 60);
    entries[10].key = VG_SPAN("");
    assert_int_equal(
        vg_dlog_append_group(a, VG_TOPIC_READINGS, VG_DLOG_URGENT, entries, 11, tell, &t),
        VG_E_RANGE);
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.verdicts, 1);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    assert_int_equal(suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM), 60);
}

/* An appender of 100 records, and a group to fill it with. */
static struct vg_dlog *open_small(const struct fx *fx, struct vg_dlog_appender **a,
                                  struct vg_dlog_entry entries[100])
{
    struct vg_error err;
    struct vg_dlog_conf conf = fx->conf;
    struct vg_dlog *log = NULL;
    conf.queue_max = 100;
    suite_ok(vg_dlog_open(&conf, "suite", 0, &log, &err), &err);
    suite_ok(vg_dlog_appender_open(log, a, &err), &err);
    for (int i = 0; i < 100; i++) {
        entries[i] = (struct vg_dlog_entry){VG_SPAN("k"), VG_SPAN("v")};
    }
    return log;
}

static void routine_records_leave_an_eighth_of_the_queue_to_urgent_ones(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    struct vg_dlog_entry e[100];
    const enum vg_topic readings = VG_TOPIC_READINGS;
    struct vg_dlog *log = open_small(fx, &a, e);
    assert_int_equal(vg_dlog_append_group(a, readings, VG_DLOG_ROUTINE, e, 88, tell, &t), VG_OK);
    assert_int_equal(vg_dlog_append_group(a, readings, VG_DLOG_ROUTINE, e, 1, tell, &t), VG_E_FULL);
    assert_int_equal(vg_dlog_append_group(a, readings, VG_DLOG_URGENT, e, 12, tell, &t), VG_OK);
    assert_int_equal(vg_dlog_append_group(a, readings, VG_DLOG_URGENT, e, 1, tell, &t), VG_E_FULL);
    assert_int_equal(vg_dlog_appender_refused(a), 2);
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.durable, 2);
    assert_int_equal(vg_dlog_append_group(a, readings, VG_DLOG_ROUTINE, e, 88, tell, &t), VG_OK);
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    assert_int_equal(suite_read_all(fx->log, readings, rows, ROOM), 188);
}

static void a_heartbeat_is_taken_although_the_queue_is_full(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}}, beats = t;
    struct vg_dlog_entry e[100];
    int32_t partitions = 0;
    suite_ok(vg_dlog_partitions(fx->log, VG_TOPIC_READINGS, &partitions, &err), &err);
    struct vg_dlog *log = open_small(fx, &a, e);
    assert_int_equal(vg_dlog_append_group(a, VG_TOPIC_READINGS, VG_DLOG_URGENT, e, 100, tell, &t),
                     VG_OK);
    for (int32_t p = 0; p < partitions; p++) {
        assert_int_equal(
            vg_dlog_append_heartbeat(a, p, VG_SPAN("c1"), VG_SPAN("beat"), tell, &beats), VG_OK);
    }
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.durable, 1);
    assert_int_equal(beats.durable, partitions);
    assert_false(vg_dlog_appender_holds(a, &beats));
    assert_int_equal(
        vg_dlog_append_heartbeat(a, partitions, VG_SPAN("c1"), VG_SPAN("beat"), tell, &beats),
        VG_E_RANGE);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    assert_int_equal(suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM), 100 + partitions);
}

int run_append_tests(void)
{
    const struct CMUnitTest tests[] = {
        SUITE_TEST(records_of_a_key_are_read_in_the_order_of_their_appends),
        SUITE_TEST(records_of_a_key_are_in_one_partition),
        SUITE_TEST(a_durable_verdict_names_where_the_record_is),
        SUITE_TEST(the_descriptor_is_readable_when_a_verdict_waits),
        SUITE_TEST(a_full_queue_refuses_at_once_and_loses_nothing_it_took),
        SUITE_TEST(a_group_gets_one_verdict_and_stands_whole_and_in_order),
        SUITE_TEST(a_group_that_does_not_fit_is_refused_whole),
        SUITE_TEST(routine_records_leave_an_eighth_of_the_queue_to_urgent_ones),
        SUITE_TEST(a_heartbeat_is_taken_although_the_queue_is_full),
        SUITE_TEST(closing_gives_every_record_exactly_one_verdict),
        SUITE_TEST(an_explicit_partition_is_obeyed_and_a_wrong_one_refused),
        SUITE_TEST(keys_and_values_outside_their_bounds_are_refused),
        SUITE_TEST(two_appenders_in_two_processes_lose_and_double_nothing),
        SUITE_TEST(what_was_acknowledged_before_a_kill_is_there),
    };
    return cmocka_run_group_tests_name("append", tests, NULL, NULL);
}
