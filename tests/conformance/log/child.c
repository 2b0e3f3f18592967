/* The other process of a test: it says a line when it is where the test wants it, then waits to be
 * killed. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct proc proc;
static struct row rows[ROOM];

static void say(const char *line)
{
    printf("%s\n", line);
    fflush(stdout);
}

/* Appends `n` records with the values from `first` on, and waits for their verdicts. */
static void append_from(struct vg_dlog *log, int first, int n)
{
    for (int i = first; i < first + n; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        suite_append(log, VG_TOPIC_READINGS, "child", value);
    }
}

static void append_many(struct vg_dlog *log)
{
    struct vg_dlog_appender *a = NULL;
    struct vg_error err;
    suite_ok(vg_dlog_appender_open(log, &a, &err), &err);
    for (int i = 1000; i < 2000; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("child"),
                                        vg_span_str(value), NULL, NULL),
                         VG_OK);
    }
    suite_ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    vg_dlog_appender_close(a);
}

/* Owns the group's partitions, all caught up. */
static void become_owner(struct vg_dlog *log)
{
    int32_t partitions = 0;
    struct vg_error err;
    suite_ok(vg_dlog_partitions(log, VG_TOPIC_READINGS, &partitions, &err), &err);
    proc_open(&proc, log, "g", "a", false);
    while (proc.assigned < partitions || proc.restored < partitions) {
        proc_poll(&proc, 50);
        assert_int_equal(proc.count, 0);
    }
}

/* Commits one record, appends for the rest and stops before the commit. */
static void process_then_hang(struct vg_dlog *log)
{
    struct vg_dlog_record r;
    struct vg_error err;
    size_t n = 0;
    proc_open(&proc, log, "g", "a", false);
    for (size_t have = 0; have < 10;) { /* one by one: exactly ten are committed */
        suite_ok(vg_dlog_processor_poll(proc.p, 200, &r, 1, &n, &err), &err);
        have += n;
    }
    proc_put(&proc, VG_TOPIC_ALARMS, 0, "first", "seen");
    proc_put(&proc, VG_TOPIC_ALARM_STATE, 0, "kept", "yes");
    proc_commit(&proc);
    say("committed");
    assert_int_equal(proc_take(&proc, 10, rows, ROOM), 10);
    proc_put(&proc, VG_TOPIC_ALARMS, 0, "second", "unseen");
    proc_put(&proc, VG_TOPIC_ALARM_STATE, 0, "lost", "yes");
    proc_put(&proc, VG_TOPIC_ALARM_STATE, 0, "kept", "no");
    say("appended");
}

/* One alarm per reading, some readings per commit, a line per commit, until death. */
static void process_for_ever(struct vg_dlog *log)
{
    struct vg_error err;
    size_t n = 0;
    proc_open(&proc, log, "g", "a", false);
    for (;;) {
        suite_ok(vg_dlog_processor_poll(proc.p, 200, proc.records, 25, &n, &err), &err);
        for (size_t i = 0; i < n; i++) {
            suite_row(&proc.records[i], &rows[i]);
            proc_put(&proc, VG_TOPIC_ALARMS, rows[i].partition, rows[i].key, rows[i].value);
        }
        proc_commit(&proc);
        if (n > 0) {
            say("committed");
        }
    }
}

int child_main(const char *scenario, const char *url, const char *prefix)
{
    struct vg_dlog *log = suite_open(url, prefix);
    if (strcmp(scenario, "append-1000") == 0) {
        append_many(log);
        say("done");
    } else if (strcmp(scenario, "append-then-hang") == 0) {
        append_from(log, 0, 50);
        say("durable");
    } else if (strcmp(scenario, "own-and-hang") == 0) {
        become_owner(log);
        proc_put(&proc, VG_TOPIC_ALARM_STATE, 0, "kept", "yes");
        proc_commit(&proc);
        say("owner");
    } else if (strcmp(scenario, "process-then-hang") == 0) {
        process_then_hang(log);
    } else if (strcmp(scenario, "process-for-ever") == 0) {
        process_for_ever(log);
    } else {
        return 2;
    }
    /* A processor that is not polled would lose its group; here death comes long before that. */
    pause();
    return 0;
}
