/* What leaves a log of the SQLite backend: old records, and the oldest when the file is full; and how
 * a group goes on behind what left unread. */
#include "sqlite_log.h"
#include "vigia/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void age(int64_t ms)
{
    const int64_t until = clock_ms(CLOCK_REALTIME) + ms;
    while (clock_ms(CLOCK_REALTIME) <=
           until) { /* stamps are wall times: only the clock makes them old */
    }
}

static void old_records_leave_in_steps_and_young_ones_stay(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_retained gone;
    struct vg_dlog *log = make(fx);
    append(log, VG_TOPIC_READINGS, 2500, "old");
    append(log, VG_TOPIC_ALARMS, 10, "kept longer");
    append(log, VG_TOPIC_DEVICES, 1, "kept for ever");
    /* A month goes by: readings (r1) are kept 30 days, alarms (r3) a year, devices (r6) for ever. */
    run_sql(fx->path, "UPDATE r1 SET ts = ts - 2678400000; UPDATE r3 SET ts = ts - 2678400000;"
                      "UPDATE r6 SET ts = ts - 2678400000");
    ok(vg_dlog_retain(log, &gone, &err), &err);
    assert_int_equal(gone.removed, 2500);
    assert_int_equal(gone.forced, 0);
    append(log, VG_TOPIC_READINGS, 3, "young");
    ok(vg_dlog_retain(log, &gone, &err), &err);
    assert_int_equal(gone.removed, 0);
    assert_int_equal(count(log, VG_TOPIC_READINGS), 3);
    assert_int_equal(count(log, VG_TOPIC_ALARMS), 10);
    assert_int_equal(count(log, VG_TOPIC_DEVICES), 1);
    static struct vg_dlog_topic_info info;
    ok(vg_dlog_describe(log, VG_TOPIC_READINGS, &info, &err), &err);
    assert_int_equal(info.partition[0].begin, 2500); /* offsets never start over */
    assert_int_equal(info.partition[0].end, 2503);
    vg_dlog_close(log);
}

static void what_a_group_has_not_read_stays(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_retained gone;
    static struct vg_dlog_record records[VG_DLOG_BATCH_MAX];
    size_t n = 0;
    fx->conf.retain_ms = 10;
    struct vg_dlog *log = make(fx);
    struct vg_dlog_processor *p = join(log, "g", "a");
    append(log, VG_TOPIC_READINGS, 100, "old");
    age(20);
    ok(vg_dlog_retain(log, &gone, &err), &err);
    assert_int_equal(gone.removed, 0);
    ok(vg_dlog_processor_poll(p, DEADLINE_MS, records, 40, &n, &err), &err);
    assert_int_equal(n, 40);
    ok(vg_dlog_processor_commit(p, &err), &err);
    ok(vg_dlog_retain(log, &gone, &err), &err);
    assert_int_equal(gone.removed, 40);
    ok(vg_dlog_processor_poll(p, DEADLINE_MS, records, VG_DLOG_BATCH_MAX, &n, &err), &err);
    assert_int_equal(n, 60);
    vg_dlog_processor_close(p);
    vg_dlog_close(log);
}

/* The same log again, with room for a third of 3,000 such readings: whoever opened it before has not
 * begun to trim. */
static struct vg_dlog *open_tight(struct fx *fx)
{
    struct vg_error err;
    struct vg_dlog *tight = NULL;
    fx->conf.max_bytes = 1 << 20;
    ok(vg_dlog_open(&fx->conf, "test", 0, &tight, &err), &err);
    return tight;
}

static void a_full_file_drops_the_oldest_even_unread_and_the_group_stops_with_a_line(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_retained gone;
    struct vg_dlog_record r;
    size_t n = 0;
    char value[1001];
    memset(value, 'x', 1000);
    value[1000] = '\0';
    struct vg_dlog *log = make(fx);
    struct vg_dlog_processor *p = join(log, "g", "a");
    append(log, VG_TOPIC_ALARMS, 5, "alarm");
    append(log, VG_TOPIC_READINGS, 3000, value);
    struct vg_dlog *tight = open_tight(fx);
    ok(vg_dlog_retain(tight, &gone, &err), &err);
    /* In steps of a thousand: 1,000 left would be too many still. */
    static struct vg_dlog_topic_info info;
    ok(vg_dlog_describe(log, VG_TOPIC_READINGS, &info, &err), &err);
    assert_int_equal(info.partition[0].begin, 3000);
    assert_int_equal(gone.forced, gone.removed);
    assert_int_equal(count(log, VG_TOPIC_ALARMS), 5);
    assert_int_equal(vg_dlog_processor_poll(p, 0, &r, 1, &n, &err), VG_E_RANGE);
    assert_non_null(strstr(err.text, "readings"));
    assert_non_null(strstr(err.text, "offset 0"));
    assert_non_null(strstr(err.text, "vigia log skip g"));
    vg_dlog_close(tight);
    vg_dlog_processor_close(p);
    vg_dlog_close(log);
}

struct skips {
    struct vg_dlog_skipped at[4];
    size_t count;
};

static void on_skipped(void *arg, const struct vg_dlog_skipped *skipped)
{
    struct skips *s = arg;
    assert_true(s->count < 4);
    s->at[s->count++] = *skipped;
}

static void a_group_goes_on_at_the_oldest_record_once_what_left_is_skipped(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_retained gone;
    struct skips told = {.count = 0};
    struct vg_dlog_record r;
    size_t n = 0;
    char value[1001];
    memset(value, 'x', 1000);
    value[1000] = '\0';
    struct vg_dlog *log = make(fx);
    struct vg_dlog_processor *p = join(log, "g", "a");
    append(log, VG_TOPIC_READINGS, 2, "read");
    ok(vg_dlog_processor_poll(p, DEADLINE_MS, &r, 1, &n, &err), &err);
    assert_int_equal(n, 1);
    ok(vg_dlog_processor_commit(p, &err), &err);
    ok(vg_dlog_skip(log, "g", on_skipped, &told, &err), &err); /* runs, but nothing is missing */
    assert_int_equal(told.count, 0);
    append(log, VG_TOPIC_READINGS, 2998, value);
    struct vg_dlog *tight = open_tight(fx);
    ok(vg_dlog_retain(tight, &gone, &err), &err);
    vg_dlog_close(tight);
    assert_int_equal(vg_dlog_skip(log, "g", on_skipped, &told, &err), VG_E_CONFLICT);
    vg_dlog_processor_close(p);
    assert_int_equal(vg_dlog_skip(log, "other", on_skipped, &told, &err), VG_E_NOTFOUND);
    assert_non_null(strstr(err.text, "'other'"));
    assert_int_equal(vg_dlog_skip(log, "a group", on_skipped, &told, &err), VG_E_INVALID);
    assert_int_equal(told.count, 0);
    ok(vg_dlog_skip(log, "g", on_skipped, &told, &err), &err);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.at[0].topic, VG_TOPIC_READINGS);
    assert_int_equal(told.at[0].from, 1);
    assert_int_equal(told.at[0].to, 3000);
    ok(vg_dlog_skip(log, "g", on_skipped, &told, &err), &err); /* once is enough */
    assert_int_equal(told.count, 1);
    p = join(log, "g", "a");
    append(log, VG_TOPIC_READINGS, 1, "after");
    ok(vg_dlog_processor_poll(p, DEADLINE_MS, &r, 1, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(r.offset, 3000);
    vg_dlog_processor_close(p);
    vg_dlog_close(log);
}

/* The lock's file is gone, so nothing tells the instance that runs: its next commit finds out. */
static void a_commit_by_an_instance_that_was_skipped_over_is_refused(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_retained gone;
    struct skips told = {.count = 0};
    struct vg_dlog_record r;
    size_t n = 0;
    char value[1001];
    memset(value, 'x', 1000);
    value[1000] = '\0';
    struct vg_dlog *log = make(fx);
    struct vg_dlog_processor *p = join(log, "g", "a");
    append(log, VG_TOPIC_READINGS, 3000, value);
    ok(vg_dlog_processor_poll(p, DEADLINE_MS, &r, 1, &n, &err), &err);
    assert_int_equal(n, 1);
    struct vg_dlog *tight = open_tight(fx);
    ok(vg_dlog_retain(tight, &gone, &err), &err);
    vg_dlog_close(tight);
    char lock[400];
    snprintf(lock, sizeof lock, "%s-%sg.lock", fx->path, fx->conf.prefix);
    assert_int_equal(unlink(lock), 0);
    ok(vg_dlog_skip(log, "g", on_skipped, &told, &err), &err);
    assert_int_equal(told.count, 1);
    assert_int_equal(vg_dlog_processor_commit(p, &err), VG_E_CONFLICT);
    vg_dlog_processor_close(p);
    ok(vg_dlog_skip(log, "g", on_skipped, &told, &err), &err); /* the position stayed */
    assert_int_equal(told.count, 1);
    vg_dlog_close(log);
}

static void an_idle_appender_applies_the_retention_by_itself(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    static struct vg_dlog_topic_info info;
    char value[1001];
    memset(value, 'x', 1000);
    value[1000] = '\0';
    struct vg_dlog *log = make(fx);
    struct vg_dlog_processor *p = join(log, "g", "a");
    append(log, VG_TOPIC_READINGS, 3000, value);
    struct vg_dlog *tight = open_tight(fx);
    ok(vg_dlog_appender_open(tight, &a, &err), &err);
    const int64_t until = clock_ms(CLOCK_MONOTONIC) + DEADLINE_MS;
    do {
        assert_true(clock_ms(CLOCK_MONOTONIC) < until);
        ok(vg_dlog_describe(log, VG_TOPIC_READINGS, &info, &err), &err);
    } while (info.partition[0].begin < 3000);
    while (vg_dlog_appender_forced(a) == 0) { /* told right after the commit that removed them */
        assert_true(clock_ms(CLOCK_MONOTONIC) < until);
    }
    vg_dlog_appender_close(a);
    vg_dlog_close(tight);
    vg_dlog_processor_close(p);
    vg_dlog_close(log);
}

#define T(f) cmocka_unit_test_setup_teardown(f, sqlite_log_setup, sqlite_log_teardown)

int main(int argc, char **argv)
{
    vg_log_init("sqlite_retention_test", VG_LOG_WARN, VG_LOG_LOGFMT);
    const struct CMUnitTest tests[] = {
        T(old_records_leave_in_steps_and_young_ones_stay),
        T(what_a_group_has_not_read_stays),
        T(a_full_file_drops_the_oldest_even_unread_and_the_group_stops_with_a_line),
        T(a_group_goes_on_at_the_oldest_record_once_what_left_is_skipped),
        T(a_commit_by_an_instance_that_was_skipped_over_is_refused),
        T(an_idle_appender_applies_the_retention_by_itself),
    };
    if (argc == 2) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
