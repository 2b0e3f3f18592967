/* The file of the SQLite backend: one that is not ours, missing, damaged, or made by two programs at
 * once. */
#include "sqlite_log.h"
#include "vigia/log.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Its journal can only be rolled back by who may write: that is for its own program to do. */
static void
a_database_of_another_program_that_was_interrupted_is_refused_and_not_touched(void **state)
{
    struct fx *fx = *state;
    run_sql(fx->path, "PRAGMA application_id=1234; CREATE TABLE precious(x)");
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static const char interrupted[] =
            "PRAGMA cache_size=2; BEGIN;"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 99)"
            "INSERT INTO precious SELECT randomblob(4000) FROM n";
        sqlite3 *db = NULL;
        _exit(sqlite3_open(fx->path, &db) != SQLITE_OK ||
              sqlite3_exec(db, interrupted, NULL, NULL, NULL) != SQLITE_OK);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    refused_untouched(fx, VG_E_VERSION, "which was interrupted");
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

#define T(f) cmocka_unit_test_setup_teardown(f, sqlite_log_setup, sqlite_log_teardown)

int main(int argc, char **argv)
{
    vg_log_init("sqlite_file_test", VG_LOG_WARN, VG_LOG_LOGFMT);
    const struct CMUnitTest tests[] = {
        T(a_log_of_a_newer_version_is_refused_and_not_touched),
        T(a_database_of_another_program_is_refused_and_not_touched),
        T(a_database_of_another_program_that_was_interrupted_is_refused_and_not_touched),
        T(a_database_without_an_owner_but_with_tables_is_refused),
        T(a_file_that_is_no_database_is_refused_and_not_touched),
        T(a_missing_or_empty_file_is_made_only_when_asked),
        T(a_damaged_log_is_told_as_such),
        T(two_programs_may_make_the_topics_at_once),
    };
    if (argc == 2) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
