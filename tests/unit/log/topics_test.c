/* The table of topics and the configuration of a log; no backend is opened. */
#include "vigia/dlog_admin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
    if (vg_conf_load(&table, &none, &conf, &err) != VG_OK) {
        fail_msg("%s", err.text);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_topic_is_found_by_its_name),
        cmocka_unit_test(topics_that_are_processed_together_have_the_same_partitions),
        cmocka_unit_test(the_configuration_items_have_the_defaults_of_the_tests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
