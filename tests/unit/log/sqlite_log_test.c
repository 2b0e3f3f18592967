/* What only the SQLite backend can show: files that are not ours, retention, a busy writer, a full
 * disk, a failed sync. */
#include "vigia/dlog_admin.h"
#include "vigia/dlog_processor.h"
#include "vigia/log.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 30000

struct fx {
    char dir[64], path[96];
    struct vg_dlog_conf conf;
};

static void ok(enum vg_err rc, const struct vg_error *err)
{
    if (rc != VG_OK) {
        fail_msg("%s: %s", vg_err_name(rc), err->text);
    }
}

static int setup(void **state)
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

static int teardown(void **state)
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

static struct vg_dlog *make(const struct fx *fx)
{
    struct vg_dlog *log = NULL;
    struct vg_error err;
    unsigned created = 0;
    ok(vg_dlog_open(&fx->conf, "test", VG_DLOG_MAY_CREATE, &log, &err), &err);
    ok(vg_dlog_create(log, VG_TOPICS_ALL, &created, &err), &err);
    return log;
}

static int64_t clock_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
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

static void append(struct vg_dlog *log, enum vg_topic t, size_t n, const char *value)
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

static uint64_t count(struct vg_dlog *log, enum vg_topic t)
{
    uint64_t n = 0;
    struct vg_error err;
    ok(vg_dlog_count(log, t, NULL, NULL, &n, &err), &err);
    return n;
}

/* ---- files that are not ours ---- */

static size_t slurp(const char *path, char **out)
{
    struct stat st;
    const int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    *out = malloc((size_t)st.st_size + 1);
    assert_int_equal(read(fd, *out, (size_t)st.st_size), st.st_size);
    close(fd);
    return (size_t)st.st_size;
}

static void refused_untouched(struct fx *fx, enum vg_err code, const char *word)
{
    char *before = NULL, *after = NULL;
    struct vg_dlog *log = NULL;
    struct vg_error err;
    const size_t n = slurp(fx->path, &before);
    assert_int_equal(vg_dlog_open(&fx->conf, "test", VG_DLOG_MAY_CREATE, &log, &err), code);
    assert_non_null(strstr(err.text, fx->path));
    assert_non_null(strstr(err.text, word));
    assert_null(strchr(err.text, '\n'));
    assert_int_equal(slurp(fx->path, &after), n);
    assert_memory_equal(before, after, n);
    free(before);
    free(after);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_log_of_a_newer_version_is_refused_and_not_touched(void **state)
{
    struct fx *fx = *state;
    vg_dlog_close(make(fx));
    run_sql(fx->path, "PRAGMA user_version=99");
    refused_untouched(fx, VG_E_VERSION, "99");
}

static void a_database_of_another_program_is_refused_and_not_touched(void **state)
{
    struct fx *fx = *state;
    run_sql(fx->path,
            "PRAGMA application_id=1234; CREATE TABLE precious(x); INSERT INTO precious VALUES(1)");
    refused_untouched(fx, VG_E_VERSION, "another program");
}

static void a_database_without_an_owner_but_with_tables_is_refused(void **state)
{
    struct fx *fx = *state;
    run_sql(fx->path, "CREATE TABLE precious(x)");
    refused_untouched(fx, VG_E_VERSION, "another program");
}

static void a_file_that_is_no_database_is_refused_and_not_touched(void **state)
{
    struct fx *fx = *state;
    FILE *f = fopen(fx->path, "w");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++) {
        fputs("dear diary, ", f);
    }
    fclose(f);
    refused_untouched(fx, VG_E_VERSION, "not a database");
}

static void a_missing_or_empty_file_is_made_only_when_asked(void **state)
{
    struct fx *fx = *state;
    struct vg_dlog *log = NULL;
    struct vg_error err;
    assert_int_equal(vg_dlog_open(&fx->conf, "test", 0, &log, &err), VG_E_NOTFOUND);
    assert_non_null(strstr(err.text, "vigia init"));
    assert_int_not_equal(access(fx->path, F_OK), 0);
    close(open(fx->path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(vg_dlog_open(&fx->conf, "test", 0, &log, &err), VG_E_NOTFOUND);
    vg_dlog_close(make(fx));
    ok(vg_dlog_open(&fx->conf, "test", 0, &log, &err), &err);
    vg_dlog_close(log);
}

static void a_damaged_log_is_told_as_such(void **state)
{
    struct fx *fx = *state;
    struct vg_dlog *log = make(fx);
    struct vg_dlog_reader *r = NULL;
    struct vg_error err;
    char junk[3 * 4096];
    memset(junk, 0x5a, sizeof junk);
    vg_dlog_close(log);
    const int fd = open(fx->path, O_WRONLY);
    assert_int_equal(pwrite(fd, junk, sizeof junk, 4096), sizeof junk);
    close(fd);
    enum vg_err rc = vg_dlog_open(&fx->conf, "test", 0, &log, &err);
    if (rc == VG_OK) { /* the first page is whole: the topics are not */
        rc = vg_dlog_reader_open(log, VG_TOPIC_READINGS, -1,
                                 (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &r, &err);
        vg_dlog_close(log);
    }
    assert_int_equal(rc, VG_E_CORRUPT);
    assert_non_null(strstr(err.text, fx->path));
}

/* ---- retention ---- */

static void age(int64_t ms)
{
    const int64_t until = clock_ms(CLOCK_REALTIME) + ms;
    while (clock_ms(CLOCK_REALTIME) <=
           until) { /* stamps are wall times: only the clock makes them old */
    }
}

static struct vg_dlog_processor *join(struct vg_dlog *log, const char *group, const char *instance)
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

static void two_programs_may_make_the_topics_at_once(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    pid_t child[4];
    for (size_t i = 0; i < 4; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            struct vg_dlog *log = NULL;
            unsigned created = 0;
            enum vg_err rc = vg_dlog_open(&fx->conf, "test", VG_DLOG_MAY_CREATE, &log, &err);
            if (rc == VG_OK) {
                rc = vg_dlog_create(log, VG_TOPICS_ALL, &created, &err);
            }
            if (rc != VG_OK) {
                fprintf(stderr, "%s\n", err.text);
            }
            _exit(rc == VG_OK ? 0 : 1);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        int status = -1;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_int_equal(status, 0);
    }
    struct vg_dlog *log = NULL;
    ok(vg_dlog_open(&fx->conf, "test", 0, &log, &err), &err);
    ok(vg_dlog_check(log, VG_TOPICS_ALL, &err), &err);
    vg_dlog_close(log);
}

/* ---- other writers ---- */

static void a_writer_that_never_ends_costs_a_verdict_and_not_the_log(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    sqlite3 *hog = NULL;
    fx->conf.verdict_ms = 1000;
    struct vg_dlog *log = make(fx);
    ok(vg_dlog_appender_open(log, &a, &err), &err);
    assert_int_equal(sqlite3_open(fx->path, &hog), SQLITE_OK);
    assert_int_equal(sqlite3_exec(hog, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    const int64_t start = clock_ms(CLOCK_MONOTONIC);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.verdicts, 1);
    assert_int_equal(t.last.result, VG_E_TIMEOUT);
    assert_true(clock_ms(CLOCK_MONOTONIC) - start >= 1000);
    assert_int_equal(sqlite3_exec(hog, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(hog);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.verdicts, 2);
    assert_int_equal(t.last.result, VG_OK);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
}

/* It holds the lock, so nobody else steps in: somebody must hear of it. */
static void an_owner_that_cannot_restore_says_so_and_goes_on_later(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_record r;
    char path[96], lines[2048];
    size_t n = 0;
    sqlite3 *hog = NULL;
    struct vg_dlog *log = make(fx);
    assert_int_equal(sqlite3_open(fx->path, &hog), SQLITE_OK);
    assert_int_equal(sqlite3_exec(hog, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    snprintf(path, sizeof path, "%s/lines", fx->dir);
    const int told = open(path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    const int real = dup(STDERR_FILENO);
    assert_true(told >= 0 && real >= 0 && dup2(told, STDERR_FILENO) >= 0);
    struct vg_dlog_processor *p = join(log, "g", "a");
    assert_true(dup2(real, STDERR_FILENO) >= 0);
    const ssize_t len = pread(told, lines, sizeof lines - 1, 0);
    assert_true(len >= 0);
    lines[len] = '\0';
    close(told);
    close(real);
    assert_false(vg_dlog_processor_active(p));
    assert_non_null(strstr(lines, "msg=log-restore-waits group=vigia.g why="));
    assert_int_equal(sqlite3_exec(hog, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(hog);
    ok(vg_dlog_processor_poll(p, 0, &r, 1, &n, &err), &err);
    assert_true(vg_dlog_processor_active(p));
    vg_dlog_processor_close(p);
    vg_dlog_close(log);
}

static void an_owner_whose_lock_file_was_deleted_cannot_commit(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_record r;
    char lock[240];
    size_t n = 0;
    struct vg_dlog *log = make(fx);
    struct vg_dlog_processor *first = join(log, "g", "a");
    struct vg_dlog_processor *second = join(log, "g", "b");
    assert_true(vg_dlog_processor_active(first));
    assert_false(vg_dlog_processor_active(second));
    snprintf(lock, sizeof lock, "%s-%sg.lock", fx->path, fx->conf.prefix);
    assert_int_equal(unlink(lock), 0);
    ok(vg_dlog_processor_poll(second, 0, &r, 1, &n, &err), &err);
    assert_true(vg_dlog_processor_active(second));
    assert_int_equal(
        vg_dlog_processor_append(first, VG_TOPIC_ALARMS, 0, VG_SPAN("k"), VG_SPAN("v")), VG_OK);
    assert_int_equal(vg_dlog_processor_commit(first, &err), VG_E_CONFLICT);
    assert_false(vg_dlog_processor_active(first));
    assert_int_equal(count(log, VG_TOPIC_ALARMS), 0);
    ok(vg_dlog_processor_poll(first, 0, &r, 1, &n, &err), &err);
    assert_false(vg_dlog_processor_active(first));
    vg_dlog_processor_close(first);
    vg_dlog_processor_close(second);
    vg_dlog_close(log);
}

/* ---- a full disk ---- */

/* A file system of 4 MB over the test's folder, seen by this process only. */
static bool mount_small(const char *dir)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("small", dir, "tmpfs", 0, "size=4m") == 0;
}

static void a_full_disk_fails_records_cleanly_until_there_is_room(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    char value[1001], ballast[96];
    if (!mount_small(fx->dir)) {
        print_message("skipped: a full disk needs the right to mount a file system\n");
        skip();
    }
    memset(value, 'x', sizeof value);
    snprintf(ballast, sizeof ballast, "%s/ballast", fx->dir);
    const int fd = open(ballast, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 2 << 20), 0);
    close(fd);
    struct vg_dlog *log = make(fx);
    ok(vg_dlog_appender_open(log, &a, &err), &err);
    for (int i = 0; i < 10000 && t.durable == t.verdicts; i++) {
        assert_int_equal(
            vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), vg_span(value, 1000), tell, &t),
            VG_OK);
        ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    }
    assert_int_equal(t.last.result, VG_E_FULL);
    assert_false(t.last.maybe_persisted);
    const int before = t.durable;
    assert_int_equal(count(log, VG_TOPIC_READINGS), before);
    assert_int_equal(unlink(ballast), 0);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.last.result, VG_OK);
    assert_int_equal(count(log, VG_TOPIC_READINGS), before + 1);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    umount2(fx->dir, MNT_DETACH);
}

static void a_full_disk_stores_a_group_whole_or_not_at_all(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    struct vg_dlog_entry entries[300];
    char value[1000];
    if (!mount_small(fx->dir)) {
        print_message("skipped: a full disk needs the right to mount a file system\n");
        skip();
    }
    memset(value, 'x', sizeof value);
    for (size_t i = 0; i < 300; i++) {
        entries[i] = (struct vg_dlog_entry){VG_SPAN("k"), vg_span(value, sizeof value)};
    }
    struct vg_dlog *log = make(fx);
    ok(vg_dlog_appender_open(log, &a, &err), &err);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(vg_dlog_append_group(a, VG_TOPIC_READINGS, entries, 300, tell, &t), VG_OK);
        if (i % 4 == 3) { /* several in one flight, and no more than the queue takes */
            ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
        }
    }
    assert_int_equal(t.verdicts, 40);
    assert_in_range(t.durable, 1, 39);
    assert_int_equal(t.last.result, VG_E_FULL);
    assert_int_equal(count(log, VG_TOPIC_READINGS), 300 * t.durable);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    umount2(fx->dir, MNT_DETACH);
}

/* ---- a failed sync: SQLite's own file methods with another xSync ---- */

static sqlite3_vfs failing;
static int (*real_open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
static int (*real_sync)(sqlite3_file *, int);
static sqlite3_io_methods wal_methods;
static _Atomic bool sync_fails;

static int failing_sync(sqlite3_file *f, int flags)
{
    return sync_fails ? SQLITE_IOERR_FSYNC : real_sync(f, flags);
}

static int failing_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    const int rc = real_open(vfs, name, f, flags, out);
    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL) != 0 && f->pMethods != &wal_methods) {
        real_sync = f->pMethods->xSync;
        wal_methods = *f->pMethods;
        wal_methods.xSync = failing_sync;
        f->pMethods = &wal_methods;
    }
    return rc;
}

static void after_a_failed_sync_nothing_is_acknowledged_any_more(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_appender *a = NULL;
    struct told t = {0, 0, {VG_OK, false, 0, 0}};
    sqlite3_vfs *own = sqlite3_vfs_find(NULL);
    failing = *own;
    failing.zName = "failing";
    real_open = own->xOpen;
    failing.xOpen = failing_open;
    assert_int_equal(sqlite3_vfs_register(&failing, 1), SQLITE_OK);
    struct vg_dlog *log = make(fx);
    ok(vg_dlog_appender_open(log, &a, &err), &err);
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    ok(vg_dlog_appender_drain(a, DEADLINE_MS, &err), &err);
    assert_int_equal(t.durable, 1);
    sync_fails = true;
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_OK);
    assert_int_equal(vg_dlog_appender_drain(a, DEADLINE_MS, &err), VG_E_FATAL);
    assert_int_equal(t.verdicts, 2);
    assert_int_equal(t.last.result, VG_E_FATAL);
    assert_true(t.last.maybe_persisted);
    sync_fails = false; /* the kernel may say so now; the pages are lost all the same */
    assert_int_equal(vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("k"), VG_SPAN("v"), tell, &t),
                     VG_E_FATAL);
    assert_int_equal(vg_dlog_appender_dispatch(a, &err), VG_E_FATAL);
    assert_true(strlen(err.text) > 0);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    sqlite3_vfs_register(own, 1);
    sqlite3_vfs_unregister(&failing);
}

/* ---- the topics table ---- */

static void every_topic_is_found_by_its_name(void **state)
{
    (void)state;
    for (int i = 0; i < VG_TOPIC_COUNT; i++) {
        enum vg_topic t = VG_TOPIC_NONE;
        assert_int_equal(vg_topic_by_name(vg_span_str(vg_topic_spec((enum vg_topic)i)->name), &t),
                         VG_OK);
        assert_int_equal(t, i);
    }
    enum vg_topic t;
    assert_int_equal(vg_topic_by_name(VG_SPAN("reading"), &t), VG_E_NOTFOUND);
}

static void topics_that_are_processed_together_have_the_same_partitions(void **state)
{
    struct vg_dlog_conf conf;
    (void)state;
    assert_int_equal(vg_dlog_conf_default("kafka:127.0.0.1:9092", &conf), VG_OK);
    const enum vg_topic together[] = {VG_TOPIC_READINGS, VG_TOPIC_COMMANDS, VG_TOPIC_ALARMS,
                                      VG_TOPIC_ALARM_STATE};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(vg_dlog_want(&conf, together[i]).partitions, conf.partitions);
    }
    assert_int_equal(vg_dlog_want(&conf, VG_TOPIC_DEVICES).partitions, 1);
    assert_int_equal(vg_dlog_want(&conf, VG_TOPIC_READINGS).retain_ms, conf.retain_ms);
    assert_int_equal(vg_dlog_want(&conf, VG_TOPIC_ALARMS).retain_ms, conf.retain_alarms_ms);
    assert_int_equal(vg_dlog_want(&conf, VG_TOPIC_ALARM_STATE).cleanup, VG_CLEANUP_COMPACT);
}

struct program_conf {
    int before;
    struct vg_dlog_conf log;
};

static void the_configuration_items_have_the_defaults_of_the_tests(void **state)
{
    static const struct vg_conf_item items[] = {VG_DLOG_CONF_ITEMS(struct program_conf, log)};
    const struct vg_conf_table table = {.program = "test",
                                        .items = items,
                                        .item_count = sizeof items / sizeof items[0],
                                        .object_size = sizeof(struct program_conf)};
    const struct vg_conf_sources none = {.ignore_environment = true};
    struct program_conf conf;
    struct vg_dlog_conf want;
    struct vg_error err;
    (void)state;
    ok(vg_conf_load(&table, &none, &conf, &err), &err);
    assert_int_equal(vg_dlog_conf_default("sqlite:/var/lib/vigia/log.db", &want), VG_OK);
    assert_string_equal(conf.log.url, want.url);
    assert_string_equal(conf.log.prefix, want.prefix);
    assert_int_equal(conf.log.queue_max, want.queue_max);
    assert_int_equal(conf.log.queue_max_bytes, want.queue_max_bytes);
    assert_int_equal(conf.log.verdict_ms, want.verdict_ms);
    assert_int_equal(conf.log.retain_ms, want.retain_ms);
    assert_int_equal(conf.log.retain_alarms_ms, want.retain_alarms_ms);
    assert_int_equal(conf.log.max_bytes, want.max_bytes);
    assert_int_equal(conf.log.partitions, want.partitions);
    assert_int_equal(conf.log.replication, want.replication);
    assert_int_equal(conf.log.min_insync, want.min_insync);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    vg_log_init("sqlite_log_test", VG_LOG_WARN, VG_LOG_LOGFMT);
    const struct CMUnitTest tests[] = {
        T(a_log_of_a_newer_version_is_refused_and_not_touched),
        T(a_database_of_another_program_is_refused_and_not_touched),
        T(a_database_without_an_owner_but_with_tables_is_refused),
        T(a_file_that_is_no_database_is_refused_and_not_touched),
        T(a_missing_or_empty_file_is_made_only_when_asked),
        T(a_damaged_log_is_told_as_such),
        T(old_records_leave_in_steps_and_young_ones_stay),
        T(what_a_group_has_not_read_stays),
        T(a_full_file_drops_the_oldest_even_unread_and_the_group_stops_with_a_line),
        T(a_group_goes_on_at_the_oldest_record_once_what_left_is_skipped),
        T(a_commit_by_an_instance_that_was_skipped_over_is_refused),
        T(an_idle_appender_applies_the_retention_by_itself),
        T(two_programs_may_make_the_topics_at_once),
        T(a_writer_that_never_ends_costs_a_verdict_and_not_the_log),
        T(an_owner_that_cannot_restore_says_so_and_goes_on_later),
        T(an_owner_whose_lock_file_was_deleted_cannot_commit),
        T(a_full_disk_fails_records_cleanly_until_there_is_room),
        T(a_full_disk_stores_a_group_whole_or_not_at_all),
        T(after_a_failed_sync_nothing_is_acknowledged_any_more),
        cmocka_unit_test(every_topic_is_found_by_its_name),
        cmocka_unit_test(topics_that_are_processed_together_have_the_same_partitions),
        cmocka_unit_test(the_configuration_items_have_the_defaults_of_the_tests),
    };
    if (argc == 2) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
