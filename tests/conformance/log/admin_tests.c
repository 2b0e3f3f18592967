/* Opening, the topics table, counting, retention and backup. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct row rows[ROOM];

static void creating_again_changes_nothing(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    unsigned created = 1, topics = 0;
    suite_append(fx->log, VG_TOPIC_READINGS, "k", "v");
    suite_ok(vg_dlog_create(fx->log, VG_TOPICS_ALL, &created, &err), &err);
    assert_int_equal(created, 0);
    suite_ok(vg_dlog_list(fx->log, &topics, &err), &err);
    assert_int_equal(topics, VG_TOPICS_ALL);
    assert_int_equal(suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM), 1);
}

static void the_check_accepts_what_was_created(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    suite_ok(vg_dlog_check(fx->log, VG_TOPICS_ALL, &err), &err);
}

static void the_check_names_a_missing_topic(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_conf conf;
    struct vg_dlog *log = NULL;
    unsigned topics = 1;
    suite_conf(fx->conf.url, "absent-", &conf);
    suite_ok(vg_dlog_open(&conf, "suite", 0, &log, &err), &err);
    assert_int_equal(vg_dlog_check(log, VG_TOPIC_BIT(VG_TOPIC_ALARMS), &err), VG_E_NOTFOUND);
    assert_non_null(strstr(err.text, "absent-alarms"));
    suite_ok(vg_dlog_list(log, &topics, &err), &err);
    assert_int_equal(topics, 0);
    vg_dlog_close(log);
}

static void the_check_names_the_setting_that_differs(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_conf conf = fx->conf;
    struct vg_dlog *log = NULL;
    unsigned created = 0;
    conf.retain_ms = 7200000;
    suite_ok(vg_dlog_open(&conf, "suite", 0, &log, &err), &err);
    assert_int_equal(vg_dlog_check(log, VG_TOPICS_ALL, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "readings"));
    assert_non_null(strstr(err.text, "retention"));
    assert_non_null(strstr(err.text, "2592000000"));
    assert_non_null(strstr(err.text, "7200000"));
    assert_memory_equal(err.text, "log.retain: ", 12);
    assert_int_equal(vg_dlog_create(log, VG_TOPICS_ALL, &created, &err), VG_E_INVALID);
    assert_memory_equal(err.text, "log.retain: ", 12);
    vg_dlog_close(log);
    conf = fx->conf;
    conf.partitions++;
    suite_ok(vg_dlog_open(&conf, "suite", 0, &log, &err), &err);
    if (strncmp(conf.url, "kafka:", 6) == 0) {
        assert_int_equal(vg_dlog_check(log, VG_TOPICS_ALL, &err), VG_E_INVALID);
        assert_memory_equal(err.text, "log.partitions: ", 16);
    } else { /* a file has one partition, whatever the key says */
        suite_ok(vg_dlog_check(log, VG_TOPICS_ALL, &err), &err);
    }
    vg_dlog_close(log);
}

static void a_description_has_settings_and_offsets(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    static struct vg_dlog_topic_info info;
    int64_t records = 0;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 25, 4);
    suite_ok(vg_dlog_describe(fx->log, VG_TOPIC_READINGS, &info, &err), &err);
    assert_int_equal(info.settings.partitions, fx->sqlite ? 1 : fx->conf.partitions);
    assert_int_equal(info.settings.retain_ms, fx->conf.retain_ms);
    assert_int_equal(info.settings.cleanup, VG_CLEANUP_TIME);
    for (int32_t p = 0; p < info.settings.partitions; p++) {
        records += info.partition[p].end - info.partition[p].begin;
    }
    assert_int_equal(records, 25);
    suite_ok(vg_dlog_describe(fx->log, VG_TOPIC_DEVICES, &info, &err), &err);
    assert_int_equal(info.settings.cleanup, VG_CLEANUP_COMPACT);
    assert_int_equal(info.settings.partitions, 1);
}

static void a_count_is_of_committed_records(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    uint64_t n = 1;
    suite_ok(vg_dlog_count(fx->log, VG_TOPIC_READINGS, NULL, NULL, &n, &err), &err);
    assert_int_equal(n, 0);
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 1234, 4);
    suite_ok(vg_dlog_count(fx->log, VG_TOPIC_READINGS, NULL, NULL, &n, &err), &err);
    assert_int_equal(n, 1234);
}

static void an_unknown_kind_of_url_is_refused_in_one_line(void **state)
{
    static const char *const urls[] = {"file:/tmp/x", "/var/lib/x.db", "", "sqlite", "SQLITE:/x"};
    struct vg_error err;
    struct vg_dlog *log = NULL;
    struct vg_dlog_conf conf;
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_int_equal(vg_dlog_conf_default(urls[i], &conf), VG_OK);
        assert_int_equal(vg_dlog_open(&conf, "suite", 0, &log, &err), VG_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, urls[i]));
        assert_non_null(strstr(err.text, "sqlite:"));
        assert_non_null(strstr(err.text, "kafka:"));
        assert_null(strchr(err.text, '\n'));
    }
}

static void old_records_leave_by_retention_where_the_backend_does_it(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_retained gone = {1, 1};
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 10, 2);
    const enum vg_err rc = vg_dlog_retain(fx->log, &gone, &err);
    if (rc == VG_E_UNSUPPORTED) { /* then the brokers have the setting, as the check has shown */
        suite_ok(vg_dlog_check(fx->log, VG_TOPICS_ALL, &err), &err);
        return;
    }
    suite_ok(rc, &err);
    assert_int_equal(gone.removed, 0); /* 30 days */
    assert_int_equal(suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM), 10);
}

static bool append_one(void *arg, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    struct fx *fx = arg;
    suite_append(fx->log, VG_TOPIC_READINGS, "meanwhile", "1");
    return true;
}

static void a_backup_of_a_log_in_use_is_a_whole_log(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    char path[128], url[160];
    struct vg_dlog_conf conf = fx->conf;
    struct vg_dlog *copy = NULL;
    snprintf(path, sizeof path, "%s/copy.db", fx->dir);
    snprintf(url, sizeof url, "sqlite:%s", path);
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 3000, 4);
    const enum vg_err rc = vg_dlog_backup(fx->log, path, append_one, fx, &err);
    if (rc == VG_E_UNSUPPORTED) {
        assert_int_not_equal(access(path, F_OK), 0);
        return;
    }
    suite_ok(rc, &err);
    assert_int_equal(vg_dlog_backup(fx->log, path, NULL, NULL, &err), VG_E_EXISTS);
    assert_true(suite_read_all(fx->log, VG_TOPIC_READINGS, rows, ROOM) > 3000);
    memcpy(conf.url, url, strlen(url) + 1);
    suite_ok(vg_dlog_open(&conf, "suite", 0, &copy, &err), &err);
    suite_ok(vg_dlog_check(copy, VG_TOPICS_ALL, &err), &err);
    assert_int_equal(suite_read_all(copy, VG_TOPIC_READINGS, rows, ROOM), 3000);
    suite_append(copy, VG_TOPIC_READINGS, "k", "v");
    vg_dlog_close(copy);
}

int run_admin_tests(void)
{
    const struct CMUnitTest tests[] = {
        SUITE_TEST(creating_again_changes_nothing),
        SUITE_TEST(the_check_accepts_what_was_created),
        SUITE_TEST(the_check_names_a_missing_topic),
        SUITE_TEST(the_check_names_the_setting_that_differs),
        SUITE_TEST(a_description_has_settings_and_offsets),
        SUITE_TEST(a_count_is_of_committed_records),
        cmocka_unit_test(an_unknown_kind_of_url_is_refused_in_one_line),
        SUITE_TEST(old_records_leave_by_retention_where_the_backend_does_it),
        SUITE_TEST(a_backup_of_a_log_in_use_is_a_whole_log),
    };
    return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
