/* Readers and views. */
#include "suite.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct row rows[ROOM];
static struct vg_dlog_record records[100];

static struct vg_dlog_reader *open_reader(struct fx *fx, int32_t partition,
                                          enum vg_dlog_from_kind kind, int64_t at)
{
    struct vg_dlog_reader *r = NULL;
    struct vg_error err;
    suite_ok(vg_dlog_reader_open(fx->log, VG_TOPIC_READINGS, partition,
                                 (struct vg_dlog_from){kind, at}, &r, &err),
             &err);
    return r;
}

static void a_reader_returns_no_more_than_was_asked_for(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    size_t total = 0;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 50, 3);
    struct vg_dlog_reader *r = open_reader(fx, -1, VG_DLOG_BEGINNING, 0);
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    while (!vg_dlog_reader_caught_up(r) && suite_now_ms() < until) {
        size_t n = 0;
        suite_ok(vg_dlog_read(r, 200, records, 7, &n, &err), &err);
        assert_true(n <= 7);
        total += n;
    }
    assert_int_equal(total, 50);
    vg_dlog_reader_close(r);
}

static void a_reader_of_an_empty_topic_has_caught_up_and_waits_no_longer_than_told(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_reader *r = open_reader(fx, -1, VG_DLOG_BEGINNING, 0);
    size_t n = 1;
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    do {
        suite_ok(vg_dlog_read(r, 50, records, 7, &n, &err), &err);
        assert_int_equal(n, 0);
    } while (!vg_dlog_reader_caught_up(r) && suite_now_ms() < until);
    assert_true(vg_dlog_reader_caught_up(r));
    vg_dlog_reader_close(r);
}

static void a_reader_starts_where_it_is_told(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    int32_t partition = -1;
    int64_t third = -1;
    size_t same = 0, n = 0;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 30, 1); /* one key, so one partition */
    n = suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM);
    assert_int_equal(n, 30);
    partition = rows[0].partition;
    third = rows[3].offset;
    struct vg_dlog_reader *r = open_reader(fx, partition, VG_DLOG_OFFSET, third);
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    while (same < 27 && suite_now_ms() < until) {
        suite_ok(vg_dlog_read(r, 200, records, 100, &n, &err), &err);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(records[i].offset, rows[3 + same].offset);
            same++;
        }
    }
    assert_int_equal(same, 27);
    vg_dlog_reader_close(r);
    r = NULL;
    assert_int_equal(vg_dlog_reader_open(
                         fx->log, VG_TOPIC_READINGS, partition,
                         (struct vg_dlog_from){VG_DLOG_OFFSET, rows[29].offset + 1000}, &r, &err),
                     VG_E_RANGE);
    assert_non_null(strstr(err.text, "readings"));
    assert_null(r);
}

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void a_reader_starts_at_a_time(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    size_t n = 0;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 20, 2);
    const int64_t before = wall_ms();
    while (wall_ms() <= before) { /* the clock's step, not a pause: stamps are whole milliseconds */
    }
    const int64_t mark = wall_ms();
    suite_append(fx->log, VG_TOPIC_READINGS, "later", "1");
    struct vg_dlog_reader *r = open_reader(fx, -1, VG_DLOG_TIME, mark);
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    while (n == 0 && suite_now_ms() < until) {
        suite_ok(vg_dlog_read(r, 200, records, 100, &n, &err), &err);
    }
    assert_int_equal(n, 1);
    assert_true(vg_span_eq(records[0].key, VG_SPAN("later")));
    assert_true(records[0].append_ms >= mark);
    vg_dlog_reader_close(r);
}

/* Appends through an appender that is open already: opening one may wake a reader by itself. */
static void append_with(struct vg_dlog_appender *a, enum vg_topic t, const char *key,
                        const char *value)
{
    struct vg_error err;
    assert_int_equal(vg_dlog_append(a, t, -1, vg_span_str(key), vg_span_str(value), NULL, NULL),
                     VG_OK);
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
}

static void a_follower_at_the_end_sees_only_what_is_new_and_is_woken(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    size_t n = 1;
    suite_ok(vg_dlog_appender_open(fx->log, &a, &err), &err);
    append_with(a, VG_TOPIC_READINGS, "old", "1");
    struct vg_dlog_reader *r = open_reader(fx, -1, VG_DLOG_END, 0);
    suite_ok(vg_dlog_read(r, 0, records, 100, &n, &err), &err);
    assert_int_equal(n, 0);
    append_with(a, VG_TOPIC_READINGS, "new", "1");
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    while (n == 0 && suite_now_ms() < until) {
        struct pollfd p = {.fd = vg_dlog_reader_fd(r), .events = POLLIN};
        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
        suite_ok(vg_dlog_read(r, 0, records, 100, &n, &err), &err);
    }
    assert_int_equal(n, 1);
    assert_true(vg_span_eq(records[0].key, VG_SPAN("new")));
    vg_dlog_reader_close(r);
    vg_dlog_appender_close(a);
}

static void a_missing_topic_cannot_be_read(void **state)
{
    struct fx *fx = *state;
    struct vg_dlog_conf conf = fx->conf;
    struct vg_dlog *log = NULL;
    struct vg_dlog_reader *r = NULL;
    struct vg_error err;
    suite_conf(fx->conf.url, "absent-", &conf);
    suite_ok(vg_dlog_open(&conf, "suite", 0, &log, &err), &err);
    assert_int_equal(vg_dlog_reader_open(log, VG_TOPIC_ALARMS, -1,
                                         (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &r, &err),
                     VG_E_NOTFOUND);
    assert_non_null(strstr(err.text, "absent-alarms"));
    vg_dlog_close(log);
}

/* ---- views ---- */

struct seen {
    struct table table;
    int changes;
};

static void on_change(void *arg, const struct vg_dlog_record *r)
{
    struct seen *s = arg;
    s->changes++;
    table_set(&s->table, r->key, r->value);
}

static struct vg_dlog_view *open_view(struct fx *fx, struct seen *seen)
{
    struct vg_dlog_view *v = NULL;
    struct vg_error err;
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    memset(seen, 0, sizeof *seen);
    suite_ok(vg_dlog_view_open(fx->log, VG_TOPIC_DEVICES, on_change, seen, &v, &err), &err);
    while (!vg_dlog_view_caught_up(v)) {
        assert_true(suite_now_ms() < until);
        suite_ok(vg_dlog_view_dispatch(v, 200, &err), &err);
    }
    return v;
}

static void a_view_holds_the_newest_value_of_each_key(void **state)
{
    struct fx *fx = *state;
    struct seen seen;
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-1", "old");
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-2", "two");
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-1", "new");
    struct vg_dlog_view *v = open_view(fx, &seen);
    assert_int_equal(seen.table.n, 2);
    assert_string_equal(table_get(&seen.table, "pi-1"), "new");
    assert_string_equal(table_get(&seen.table, "pi-2"), "two");
    vg_dlog_view_close(v);
}

static void a_tombstone_removes_its_key_from_old_and_new_views(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct seen seen, again;
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-1", "one");
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-2", "two");
    struct vg_dlog_view *v = open_view(fx, &seen);
    assert_int_equal(seen.table.n, 2);
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-1", NULL);
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    while (seen.table.n != 1 && suite_now_ms() < until) {
        suite_ok(vg_dlog_view_dispatch(v, 200, &err), &err);
    }
    assert_null(table_get(&seen.table, "pi-1"));
    vg_dlog_view_close(v);
    v = open_view(fx, &again);
    assert_int_equal(again.table.n, 1);
    assert_string_equal(table_get(&again.table, "pi-2"), "two");
    vg_dlog_view_close(v);
    uint64_t n = 0;
    suite_ok(vg_dlog_count(fx->log, VG_TOPIC_CUSTOMERS, NULL, NULL, &n, &err), &err);
    assert_int_equal(n, 0);
}

static void a_view_tells_a_change_and_is_woken_by_it(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct seen seen;
    struct vg_dlog_appender *a = NULL;
    suite_ok(vg_dlog_appender_open(fx->log, &a, &err), &err);
    append_with(a, VG_TOPIC_DEVICES, "pi-1", "active");
    struct vg_dlog_view *v = open_view(fx, &seen);
    const int before = seen.changes;
    append_with(a, VG_TOPIC_DEVICES, "pi-1", "revoked");
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    while (seen.changes == before && suite_now_ms() < until) {
        struct pollfd p = {.fd = vg_dlog_view_fd(v), .events = POLLIN};
        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
        suite_ok(vg_dlog_view_dispatch(v, 0, &err), &err);
    }
    assert_string_equal(table_get(&seen.table, "pi-1"), "revoked");
    vg_dlog_view_close(v);
    vg_dlog_appender_close(a);
}

/* What vg_dlog_latest tells, as "key=value " each. */
static void on_latest(void *arg, int32_t partition, struct vg_span key, struct vg_span value)
{
    char *text = arg;
    const size_t used = strlen(text);
    assert_true(partition >= 0);
    (void)snprintf(text + used, 256 - used, "%.*s=%.*s ", (int)key.len, key.at, (int)value.len,
                   value.at);
}

static void the_newest_value_of_each_key_is_told_once_in_order(void **state)
{
    struct fx *fx = *state;
    const struct vg_dlog_latest_limits limits = {DEADLINE_MS, 1 << 20};
    struct vg_error err;
    char told[256] = "";
    suite_ok(vg_dlog_latest(fx->log, VG_TOPIC_DEVICES, &limits, on_latest, told, &err), &err);
    assert_string_equal(told, "");
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-3", "three");
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-1", "raised");
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-2", "gone");
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-1", "acknowledged");
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-2", NULL);
    suite_append(fx->log, VG_TOPIC_DEVICES, "pi-1", "cleared");
    suite_ok(vg_dlog_latest(fx->log, VG_TOPIC_DEVICES, &limits, on_latest, told, &err), &err);
    assert_string_equal(told, "pi-1=cleared pi-3=three ");
    assert_int_equal(vg_dlog_latest(fx->log, VG_TOPIC_READINGS, &limits, on_latest, told, &err),
                     VG_E_INVALID);
}

static void a_view_of_a_topic_that_is_not_compacted_is_refused(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_view *v = NULL;
    assert_int_equal(vg_dlog_view_open(fx->log, VG_TOPIC_READINGS, on_change, NULL, &v, &err),
                     VG_E_INVALID);
}

int run_read_tests(void)
{
    const struct CMUnitTest tests[] = {
        SUITE_TEST(a_reader_returns_no_more_than_was_asked_for),
        SUITE_TEST(a_reader_of_an_empty_topic_has_caught_up_and_waits_no_longer_than_told),
        SUITE_TEST(a_reader_starts_where_it_is_told),
        SUITE_TEST(a_reader_starts_at_a_time),
        SUITE_TEST(a_follower_at_the_end_sees_only_what_is_new_and_is_woken),
        SUITE_TEST(a_missing_topic_cannot_be_read),
        SUITE_TEST(a_view_holds_the_newest_value_of_each_key),
        SUITE_TEST(a_tombstone_removes_its_key_from_old_and_new_views),
        SUITE_TEST(a_view_tells_a_change_and_is_woken_by_it),
        SUITE_TEST(the_newest_value_of_each_key_is_told_once_in_order),
        SUITE_TEST(a_view_of_a_topic_that_is_not_compacted_is_refused),
    };
    return cmocka_run_group_tests_name("read", tests, NULL, NULL);
}
