/* What transcripts cannot say: ids, JSON that is refused, views for people. */
#include "vigia/alarm_engine.h"
#include "vigia/rules_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define S(...) "{\"v\":1,\"sensor\":\"s\",\"device\":\"d\",\"period_ms\":0" __VA_ARGS__ "}"
#define A(...) S(",\"alarms\":[{" __VA_ARGS__ "}]")

static void an_alarm_id_is_read_from_the_right(void **unused)
{
    struct vg_span sensor;
    enum vg_alarm_type type;
    uint64_t activation;
    char id[VG_ALARM_ID_MAX + 1];
    (void)unused;
    assert_true(vg_alarm_id_parse(vg_span_str("urn:dev:1:smoke:12"), &sensor, &type, &activation));
    assert_true(vg_span_eq(sensor, VG_SPAN("urn:dev:1")));
    assert_int_equal(type, VG_ALARM_SMOKE);
    assert_int_equal(activation, 12);
    vg_alarm_id_format("urn:dev:1", type, activation, id);
    assert_string_equal(id, "urn:dev:1:smoke:12");
    assert_true(vg_alarm_id_parse(vg_span_str("s:motion:0"), &sensor, &type, &activation));
}

static void what_is_no_alarm_id_is_refused(void **unused)
{
    static const char *const wrong[] = {
        "",
        ":",
        "s",
        "s:1",
        ":smoke:1",
        "s:fire:1",
        "s:smoke:",
        "s:smoke:01",
        "s:smoke:-1",
        "s:smoke:1x",
        "smoke:1",
        "s:smoke:99999999999999999999999",
        "0123456789012345678901234567890123456789012345678901234567890123:smoke:1"};
    struct vg_span sensor;
    enum vg_alarm_type type;
    uint64_t activation;
    (void)unused;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(vg_alarm_id_parse(vg_span_str(wrong[i]), &sensor, &type, &activation));
    }
}

static void every_word_reads_back(void **unused)
{
    (void)unused;
    for (enum vg_alarm_type t = VG_ALARM_MOTION; t < VG_ALARM_TYPE_COUNT; t++) {
        assert_int_equal(vg_alarm_type_parse(vg_span_str(vg_alarm_type_name(t))), t);
    }
    assert_int_equal(vg_alarm_type_parse(VG_SPAN("fire")), VG_ALARM_TYPE_COUNT);
    assert_string_equal(vg_condition_name(VG_PENDING), "pending");
    assert_string_equal(vg_priority_name(VG_PRIORITY_MEDIUM), "medium");
    assert_string_equal(vg_alarm_event_name(VG_LATE_ACTIVITY), "late_activity");
}

static void a_state_that_is_not_one_is_refused(void **unused)
{
    static const struct {
        const char *json;
        enum vg_err rc;
    } wrong[] = {
        {"", VG_E_INVALID},
        {"{}", VG_E_INVALID},
        {"{\"v\":2,\"sensor\":\"s\"}", VG_E_VERSION},
        {"{\"v\":0,\"sensor\":\"s\"}", VG_E_INVALID},
        {"{\"v\":1,\"sensor\":\"\"}", VG_E_INVALID},
        {"{\"v\":1,\"sensor\":\"s\",\"period_ms\":-1}", VG_E_INVALID},
        {S("") "x", VG_E_INVALID},
        {S(",\"alarms\":{}"), VG_E_INVALID},
        {A(""), VG_E_INVALID},
        {A("\"type\":7"), VG_E_INVALID},
        {A("\"type\":\"fire\",\"activation\":1"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":0"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"raised\":2"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"condition\":\"on\""), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"condition\":1"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"strikes\":11"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"strikes\":-1"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"condition\":\"pending\""), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"condition\":\"pending\",\"strikes\":2,"
           "\"pending\":[[1,1]]"),
         VG_E_INVALID},
        {A("\"type\":\"motion\",\"activation\":1,\"condition\":\"pending\",\"strikes\":1,"
           "\"pending\":[[1,1]]"),
         VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"pending\":[[1,1]]"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"pending\":[[1,1],[0,1]]"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"pending\":[[1,1,1]]"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"pending\":[[],[1]]"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"pending\":[[1]]"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"pending\":[[\"1\",1]]"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"pending\":[[1,true]]"), VG_E_INVALID},
        {A("\"type\":\"smoke\",\"activation\":1,\"pending\":[[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],"
           "[1,1],[1,1],[1,1],[1,1]]"),
         VG_E_INVALID},
        {S(",\"stores\":[{\"store\":\"a1\"}]"), VG_E_INVALID},
        {S(",\"stores\":[{\"store\":\"00000000000000zz\"}]"), VG_E_INVALID},
    };
    struct vg_rules_state s;
    struct vg_error err;
    (void)unused;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        enum vg_err rc = vg_rules_state_decode(vg_span_str(wrong[i].json), &s, &err);
        if (rc != wrong[i].rc) {
            fail_msg("%s: %s", wrong[i].json, vg_err_name(rc));
        }
    }
}

static void a_state_with_more_stores_than_are_kept_is_refused(void **unused)
{
    char json[4096];
    size_t len = (size_t)snprintf(json, sizeof(json), "{\"v\":1,\"sensor\":\"s\",\"stores\":[");
    struct vg_rules_state s;
    (void)unused;
    for (int i = 0; i < VG_RULES_STORES_MAX + 1; i++) {
        len += (size_t)snprintf(json + len, sizeof(json) - len, "%s{\"store\":\"%016x\"}",
                                i == 0 ? "" : ",", (unsigned)i);
    }
    (void)snprintf(json + len, sizeof(json) - len, "]}");
    assert_int_equal(vg_rules_state_decode(vg_span_str(json), &s, NULL), VG_E_INVALID);
}

static void fields_of_a_later_version_are_ignored(void **unused)
{
    struct vg_rules_state s;
    (void)unused;
    assert_int_equal(
        vg_rules_state_decode(
            vg_span_str(
                S(",\"new\":{},\"alarms\":[{\"type\":\"smoke\",\"activation\":1,"
                  "\"until_ms\":[1]}],\"stores\":[{\"store\":\"00000000000000a1\",\"z\":1}]")),
            &s, NULL),
        VG_OK);
    assert_true(s.restored);
    assert_false(s.dirty);
}

static void too_small_a_buffer_is_refused(void **unused)
{
    struct vg_rules_state s;
    struct vg_alarm_event e = {.kind = VG_RAISED, .sensor = "s", .activation = 1};
    struct vg_command c = {.alarm_id = "s:smoke:1"};
    char out[20];
    size_t len = 7;
    (void)unused;
    assert_true(vg_rules_state_init(&s, VG_SPAN("s")));
    assert_int_equal(vg_rules_state_encode(&s, out, sizeof(out), &len), VG_E_FULL);
    assert_int_equal(vg_alarm_event_encode(&e, out, sizeof(out), &len), VG_E_FULL);
    assert_int_equal(vg_command_encode(&c, out, sizeof(out), &len), VG_E_FULL);
    assert_int_equal(len, 7);
}

static void a_command_comes_back_as_it_was(void **unused)
{
    struct vg_command c = {.verb = VG_COMMAND_ACKNOWLEDGE,
                           .alarm_id = "a:b:smoke:3",
                           .who = "Ana \"the boss\"",
                           .why = "seen",
                           .time_ms = 5};
    struct vg_command back;
    char json[VG_COMMAND_JSON_MAX];
    size_t len;
    (void)unused;
    assert_int_equal(vg_command_encode(&c, json, sizeof(json), &len), VG_OK);
    assert_int_equal(vg_command_decode(vg_span(json, len), &back, NULL), VG_OK);
    assert_memory_equal(&c, &back, sizeof(c));
    assert_true(vg_span_eq(vg_command_sensor(&back), VG_SPAN("a:b")));
    c.verb = VG_COMMAND_OTHER;
    (void)vg_str_copy("rubbish", c.alarm_id, sizeof(c.alarm_id));
    assert_int_equal(vg_command_encode(&c, json, sizeof(json), &len), VG_OK);
    assert_int_equal(vg_command_decode(vg_span(json, len), &back, NULL), VG_OK);
    assert_int_equal(back.verb, VG_COMMAND_OTHER);
    assert_int_equal(vg_command_sensor(&back).len, 0);
}

static void a_command_that_is_not_one_is_refused(void **unused)
{
    static const struct {
        const char *json;
        enum vg_err rc;
    } wrong[] = {
        {"[]", VG_E_INVALID},
        {"{\"v\":1}", VG_E_INVALID},
        {"{\"v\":2,\"command\":\"x\",\"alarm_id\":\"s:smoke:1\",\"time_ms\":1}", VG_E_VERSION},
        {"{\"command\":\"x\",\"alarm_id\":\"s:smoke:1\",\"time_ms\":1}", VG_E_INVALID},
        {"{\"v\":1,\"command\":\"x\",\"alarm_id\":\"\",\"time_ms\":1}", VG_E_INVALID},
        {"{\"v\":1,\"command\":\"x\",\"alarm_id\":\"s:smoke:1\",\"time_ms\":-1}", VG_E_INVALID},
        {"{\"v\":1,\"command\":\"x\",\"alarm_id\":\"s:smoke:1\",\"time_ms\":253402300800000}",
         VG_E_INVALID},
        {"{\"v\":1,\"command\":\"x\",\"alarm_id\":\"s:smoke:1\",\"time_ms\":1,\"who\":"
         "\"0123456789012345678901234567890123456789012345678901234567890123\"}",
         VG_E_RANGE},
    };
    static char big[VG_COMMAND_JSON_MAX + 1];
    struct vg_command c;
    (void)unused;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(vg_command_decode(vg_span_str(wrong[i].json), &c, NULL), wrong[i].rc);
    }
    assert_int_equal(vg_command_decode(vg_span(big, sizeof(big)), &c, NULL), VG_E_RANGE);
    assert_int_equal(
        vg_command_decode(vg_span_str("{\"v\":1,\"command\":\"shelve\",\"alarm_id\":\"s:smoke:1\","
                                      "\"time_ms\":1,\"until_ms\":9}"),
                          &c, NULL),
        VG_OK);
    assert_int_equal(c.verb, VG_COMMAND_OTHER);
}

static void a_collector_has_a_sensor_in_each_partition(void **unused)
{
    char name[VG_SENSOR_ID_MAX + 1];
    (void)unused;
    vg_collector_sensor(12, name);
    assert_string_equal(name, "collectors/12");
    assert_int_equal(vg_collector_partition(vg_span_str(name)), 12);
    assert_int_equal(vg_collector_partition(VG_SPAN("collectors/")), -1);
    assert_int_equal(vg_collector_partition(VG_SPAN("collectors/-1")), -1);
    assert_int_equal(vg_collector_partition(VG_SPAN("collectors/x")), -1);
    assert_int_equal(vg_collector_partition(VG_SPAN("collectors/99999999999")), -1);
    assert_int_equal(vg_collector_partition(VG_SPAN("hall/12")), -1);
    assert_int_equal(vg_collector_partition(VG_SPAN("collectorz/12")), -1);
}

struct seen {
    unsigned count, pre_alarms, active, acked;
    char last[VG_ALARM_ID_MAX + 1];
};

static void on_view(void *arg, const struct vg_alarm_view *view)
{
    struct seen *seen = arg;
    seen->count++;
    seen->pre_alarms += view->pre_alarm;
    seen->active += view->active;
    seen->acked += view->acked;
    (void)vg_str_copy(view->id, seen->last, sizeof(seen->last));
}

static void only_alarms_worth_showing_are_shown(void **unused)
{
    static const char json[] =
        S(",\"alarms\":["
          "{\"type\":\"motion\",\"condition\":\"active\",\"activation\":2,\"raised\":2,\"acked\":"
          "true},"
          "{\"type\":\"smoke\",\"condition\":\"pending\",\"activation\":4,\"raised\":3,\"acked\":"
          "false,"
          "\"strikes\":1,\"pending\":[[1,1]]},"
          "{\"type\":\"temperature\",\"condition\":\"normal\",\"activation\":4,\"raised\":3,"
          "\"acked\":true},"
          "{\"type\":\"storage\",\"condition\":\"normal\",\"activation\":1,\"raised\":1,"
          "\"acked\":false}]");
    struct vg_rules_state s;
    struct seen seen = {0};
    (void)unused;
    assert_int_equal(vg_rules_state_decode(vg_span_str(json), &s, NULL), VG_OK);
    vg_alarm_views(&s, on_view, &seen);
    assert_int_equal(seen.count, 4); /* motion, the raised smoke, its new pre-alarm, storage */
    assert_int_equal(seen.pre_alarms, 1);
    assert_int_equal(seen.active, 1);
    assert_int_equal(seen.acked, 1);
    assert_string_equal(seen.last, "s:storage:1");
}

static void a_sensor_that_was_never_heard_is_not_silent(void **unused)
{
    struct vg_rules_conf conf;
    struct vg_rules_state s;
    (void)unused;
    vg_rules_conf_default(&conf);
    assert_true(vg_rules_state_init(&s, VG_SPAN("hall")));
    s.period_ms = 1000;
    assert_true(vg_rules_silence(&conf, &s, VG_LONG_AGO_MS) == VG_NEVER_MS);
    s.seen_ms = 5000;
    assert_true(vg_rules_silence(&conf, &s, VG_LONG_AGO_MS) == 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_alarm_id_is_read_from_the_right),
        cmocka_unit_test(what_is_no_alarm_id_is_refused),
        cmocka_unit_test(every_word_reads_back),
        cmocka_unit_test(a_state_that_is_not_one_is_refused),
        cmocka_unit_test(a_state_with_more_stores_than_are_kept_is_refused),
        cmocka_unit_test(fields_of_a_later_version_are_ignored),
        cmocka_unit_test(too_small_a_buffer_is_refused),
        cmocka_unit_test(a_command_comes_back_as_it_was),
        cmocka_unit_test(a_command_that_is_not_one_is_refused),
        cmocka_unit_test(a_sensor_that_was_never_heard_is_not_silent),
        cmocka_unit_test(a_collector_has_a_sensor_in_each_partition),
        cmocka_unit_test(only_alarms_worth_showing_are_shown),
    };
    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
