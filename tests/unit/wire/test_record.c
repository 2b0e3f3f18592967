/* Records of the `readings` topic. */
#include "vigia/record.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SAMPLE                                                                                     \
    "{\"v\":1,\"sensor\":\"42959\",\"device\":\"pi-42\",\"store\":\"9f3c1b22a0d47e15\",\"lane\":"  \
    "\"u\",\"seq\":1812,"                                                                          \
    "\"time_ms\":1793194820123,\"received_ms\":1793194820180,\"quality\":\"synced\",\"motion\":"   \
    "false,"                                                                                       \
    "\"smoke\":true,\"temperature\":25.5,\"max_temperature\":30,\"x\":{\"battery\":91,\"open\":"   \
    "true,"                                                                                        \
    "\"room\":\"K\xc3\xbc\\n\"}}"

static struct vg_reading reading;
static struct vg_heartbeat beat;
static enum vg_record_kind kind;
static struct vg_error err;

static enum vg_err decode(const char *text)
{
    return vg_record_decode(vg_span_str(text), &kind, &reading, &beat, &err);
}

static void assert_encodes(const char *expected)
{
    char out[VG_RECORD_MAX];
    size_t len;
    assert_int_equal(vg_record_encode(&reading, out, sizeof(out), &len), VG_OK);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(out, expected, len);
}

static void a_reading_survives_the_topic(void **state)
{
    (void)state;
    assert_int_equal(decode(SAMPLE), VG_OK);
    assert_int_equal(kind, VG_RECORD_READING);
    assert_string_equal(reading.sensor, "42959");
    assert_string_equal(reading.device, "pi-42");
    assert_true(reading.store == 0x9f3c1b22a0d47e15ULL && reading.seq == 1812);
    assert_int_equal(reading.lane, VG_LANE_URGENT);
    assert_int_equal(reading.time_ms, 1793194820123LL);
    assert_int_equal(reading.received_ms, 1793194820180LL);
    assert_int_equal(reading.has, VG_HAS_QUANTITIES);
    assert_true(!reading.motion && reading.smoke && reading.temperature == 25.5 &&
                reading.max_temperature == 30);
    assert_int_equal(reading.extra_count, 3);
    assert_string_equal(reading.extras[2].text, "K\xc3\xbc\n");
    assert_encodes(SAMPLE);
}

static void oks_events_and_bare_readings_survive_the_topic(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{\"v\":1,\"sensor\":\"a\",\"time_ms\":1,\"received_ms\":2,\"quality\":\"unsynced\",\"ok\":"
        "true}",
        "{\"v\":1,\"sensor\":\"a\",\"time_ms\":1,\"received_ms\":2,\"quality\":\"fault\"}",
        "{\"v\":1,\"sensor\":\"a\",\"time_ms\":0,\"received_ms\":253402300799999,\"quality\":"
        "\"stale\",\"motion\":true}",
        "{\"v\":1,\"sensor\":\"d\",\"device\":\"d\",\"store\":\"0000000000000000\",\"lane\":\"r\","
        "\"seq\":9007199254740991,"
        "\"time_ms\":1,\"received_ms\":2,\"quality\":\"warming-up\",\"alive\":true}",
        "{\"v\":1,\"sensor\":\"d\",\"time_ms\":1,\"received_ms\":2,\"quality\":\"synced\",\"gap\":"
        "\"full\",\"x\":{\"count\":120}}",
        "{\"v\":1,\"sensor\":\"d\",\"time_ms\":1,\"received_ms\":2,\"quality\":\"synced\","
        "\"storage\":\"new file\"}",
        "{\"v\":1,\"sensor\":\"d\",\"time_ms\":1,\"received_ms\":2,\"quality\":\"synced\","
        "\"clock\":\"\"}",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(decode(cases[i]), VG_OK);
        assert_int_equal(kind, VG_RECORD_READING);
        assert_encodes(cases[i]);
    }
}

static void fields_may_come_in_any_order_and_unknown_ones_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(decode(" { \"new\":{\"a\":[1,null]}, \"smoke\" : true, \"received_ms\":2, "
                            "\"a_field_with_a_long_name\\n\":1, "
                            "\"time_ms\":1, \"s\\u0065nsor\":\"a\", \"v\":1 } "),
                     VG_OK);
    assert_encodes("{\"v\":1,\"sensor\":\"a\",\"time_ms\":1,\"received_ms\":2,\"quality\":"
                   "\"synced\",\"smoke\":true}");
}

static void a_heartbeat_survives_the_topic(void **state)
{
    (void)state;
    static const char expected[] =
        "{\"v\":1,\"heartbeat\":\"collector-1\",\"time_ms\":1,\"received_ms\":2}";
    struct vg_heartbeat sent = {.instance = "collector-1", .time_ms = 1, .received_ms = 2};
    char out[VG_RECORD_MAX];
    size_t len;
    assert_int_equal(vg_heartbeat_encode(&sent, out, sizeof(out), &len), VG_OK);
    assert_int_equal(len, sizeof(expected) - 1);
    assert_memory_equal(out, expected, len);
    assert_int_equal(decode(expected), VG_OK);
    assert_int_equal(kind, VG_RECORD_HEARTBEAT);
    assert_string_equal(beat.instance, "collector-1");
    assert_true(beat.time_ms == 1 && beat.received_ms == 2);
    assert_int_equal(vg_heartbeat_encode(&sent, out, 20, &len), VG_E_FULL);
    sent.instance[0] = '\0';
    assert_int_equal(vg_heartbeat_encode(&sent, out, sizeof(out), &len), VG_E_INVALID);
}

#define T "\"time_ms\":1,\"received_ms\":2"
#define S "\"sensor\":\"a\"," T

static void what_is_not_the_schema_is_refused_with_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum vg_err code;
        const char *says;
    } cases[] = {
        {"", VG_E_INVALID, "byte 0: record: not well-formed JSON"},
        {"[]", VG_E_INVALID, "byte 0: record: a value of the wrong type"},
        {"{\"v\":1," S "} x", VG_E_INVALID, "record: something after the end"},
        {"{\"v\":1," S, VG_E_INVALID, "record: not well-formed JSON"},
        {"{" S "}", VG_E_INVALID, "record: v is missing"},
        {"{\"v\":1," T "}", VG_E_INVALID, "record: sensor is missing"},
        {"{\"v\":1,\"sensor\":\"a\",\"received_ms\":2}", VG_E_INVALID,
         "record: time_ms is missing"},
        {"{\"v\":1,\"sensor\":\"a\",\"time_ms\":2}", VG_E_INVALID,
         "record: received_ms is missing"},
        {"{\"v\":1,\"heartbeat\":\"c\",\"time_ms\":2}", VG_E_INVALID,
         "record: received_ms is missing"},
        {"{\"v\":1," S ",\"lane\":\"u\"}", VG_E_INVALID, "record: store is missing"},
        {"{\"v\":1," S ",\"store\":\"9f3c1b22a0d47e15\",\"lane\":\"u\"}", VG_E_INVALID,
         "record: seq is missing"},
        {"{\"v\":1," S ",\"v\":1}", VG_E_INVALID, "v: given twice"},
        {"{\"v\":2,\"sensor\":5}", VG_E_VERSION, "record: v is 2, this program reads up to 1"},
        {"{\"v\":0," S "}", VG_E_RANGE, "record: v is 0, accepted: 1"},
        {"{\"v\":\"1\"," S "}", VG_E_INVALID, "v: a value of the wrong type"},
        {"{\"v\":1,\"sensor\":\"\"," T "}", VG_E_RANGE, "sensor: a value outside"},
        {"{\"v\":1,\"sensor\":5," T "}", VG_E_INVALID, "sensor: a value of the wrong type"},
        {"{\"v\":1,\"sensor\":"
         "\"0123456789012345678901234567890123456789012345678901234567890123\"," T "}",
         VG_E_RANGE, "sensor: a value outside"},
        {"{\"v\":1," S ",\"device\":true}", VG_E_INVALID, "device: a value of the wrong type"},
        {"{\"v\":1," S ",\"store\":5}", VG_E_INVALID, "store: a value of the wrong type"},
        {"{\"v\":1," S ",\"store\":\"9f3c\"}", VG_E_RANGE, "store: a value outside"},
        {"{\"v\":1," S ",\"store\":\"9f3c1b22a0d47e1x\"}", VG_E_RANGE, "store: a value outside"},
        {"{\"v\":1," S ",\"lane\":5}", VG_E_INVALID, "lane: a value of the wrong type"},
        {"{\"v\":1," S ",\"lane\":\"x\"}", VG_E_RANGE, "lane: a value outside"},
        {"{\"v\":1," S ",\"lane\":\"\"}", VG_E_RANGE, "lane: a value outside"},
        {"{\"v\":1," S ",\"lane\":\"ur\"}", VG_E_RANGE, "lane: a value outside"},
        {"{\"v\":1," S ",\"seq\":9007199254740992}", VG_E_RANGE, "seq: a value outside"},
        {"{\"v\":1," S ",\"seq\":-1}", VG_E_RANGE, "seq: a value outside"},
        {"{\"v\":1," S ",\"seq\":1.5}", VG_E_INVALID, "seq: a value of the wrong type"},
        {"{\"v\":1,\"sensor\":\"a\",\"time_ms\":-1,\"received_ms\":2}", VG_E_RANGE,
         "time_ms: a value outside"},
        {"{\"v\":1,\"sensor\":\"a\",\"time_ms\":1,\"received_ms\":253402300800000}", VG_E_RANGE,
         "received_ms: a value outside"},
        {"{\"v\":1,\"sensor\":\"a\",\"time_ms\":\"1\",\"received_ms\":2}", VG_E_INVALID,
         "time_ms: a value of the wrong type"},
        {"{\"v\":1," S ",\"quality\":\"good\"}", VG_E_RANGE, "quality: a value outside"},
        {"{\"v\":1," S ",\"quality\":1}", VG_E_INVALID, "quality: a value of the wrong type"},
        {"{\"v\":1," S ",\"ok\":false}", VG_E_RANGE, "ok: a value outside"},
        {"{\"v\":1," S ",\"ok\":1}", VG_E_INVALID, "ok: a value of the wrong type"},
        {"{\"v\":1," S ",\"smoke\":\"yes\"}", VG_E_INVALID, "smoke: a value of the wrong type"},
        {"{\"v\":1," S ",\"motion\":null}", VG_E_INVALID, "motion: a value of the wrong type"},
        {"{\"v\":1," S ",\"temperature\":true}", VG_E_INVALID,
         "temperature: a value of the wrong type"},
        {"{\"v\":1," S ",\"max_temperature\":1e999}", VG_E_RANGE,
         "max_temperature: a value outside"},
        {"{\"v\":1," S ",\"alive\":false}", VG_E_RANGE, "alive: a value outside"},
        {"{\"v\":1," S ",\"gap\":1}", VG_E_INVALID, "gap: a value of the wrong type"},
        {"{\"v\":1," S ",\"gap\":\"a\",\"alive\":true}", VG_E_RANGE, "alive: a value outside"},
        {"{\"v\":1," S ",\"x\":1}", VG_E_INVALID, "x: a value of the wrong type"},
        {"{\"v\":1," S ",\"x\":{\"a\":null}}", VG_E_INVALID, "x: a value of the wrong type"},
        {"{\"v\":1," S ",\"x\":{\"a\":1,}}", VG_E_INVALID, "x: not well-formed JSON"},
        {"{\"v\":1," S ",\"x\":{\"a_name_of_more_than_31_characters\":1}}", VG_E_RANGE,
         "x: a value outside"},
        {"{\"v\":1," S ",\"x\":{\"a\":\"0123456789012345678901234567890123456789\"}}", VG_E_RANGE,
         "x: a value outside"},
        {"{\"v\":1," S
         ",\"x\":{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1}}",
         VG_E_RANGE, "x: a value outside"},
        {"{\"v\":1,\"heartbeat\":\"\"," T "}", VG_E_RANGE, "heartbeat: a value outside"},
        {"{\"v\":1,\"heartbeat\":1," T "}", VG_E_INVALID, "heartbeat: a value of the wrong type"},
        {"{\"v\":1," S ",\"new\":[[[[[[[[1]]]]]]]]}", VG_E_INVALID, "record: nested too deep"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum vg_err code = decode(cases[i].text);
        if (code != cases[i].code || strstr(err.text, cases[i].says) == NULL) {
            fail_msg("%s\n  expected %s: %s\n  found %s: %s", cases[i].text,
                     vg_err_name(cases[i].code), cases[i].says, vg_err_name(code), err.text);
        }
    }
}

static void every_cut_of_a_record_is_refused(void **state)
{
    (void)state;
    const struct vg_span whole = VG_SPAN(SAMPLE);
    for (size_t len = 0; len < whole.len; len++) {
        assert_int_equal(vg_record_decode(vg_span(whole.at, len), &kind, &reading, &beat, &err),
                         VG_E_INVALID);
        assert_true(err.offset <= len);
    }
}

static void the_longest_record_fits_its_bound(void **state)
{
    (void)state;
    struct vg_reading r = {.lane = VG_LANE_URGENT,
                           .store = UINT64_MAX,
                           .seq = VG_SEQ_MAX,
                           .quality = VG_QUALITY_WARMING_UP,
                           .event = VG_EVENT_STORAGE,
                           .has = VG_HAS_QUANTITIES | VG_HAS_OK,
                           .time_ms = VG_TIME_MS_MAX,
                           .received_ms = VG_TIME_MS_MAX,
                           .temperature = -2.2250738585072011e-308,
                           .max_temperature = -2.2250738585072011e-308,
                           .extra_count = VG_EXTRAS_MAX};
    memset(r.sensor, 1, VG_SENSOR_ID_MAX);
    memset(r.device, 1, VG_DEVICE_NAME_MAX);
    memset(r.event_text, 1, VG_EVENT_TEXT_MAX);
    for (size_t i = 0; i < VG_EXTRAS_MAX; i++) {
        memset(r.extras[i].name, 1, VG_EXTRA_NAME_MAX);
        memset(r.extras[i].text, 1, VG_EXTRA_TEXT_MAX);
        r.extras[i].type = VG_EXTRA_TEXT;
    }
    char out[VG_RECORD_MAX];
    size_t len;
    assert_int_equal(vg_record_encode(&r, out, sizeof(out), &len), VG_OK);
    assert_int_equal(vg_record_decode(vg_span(out, len), &kind, &reading, &beat, &err), VG_OK);
    assert_true(vg_reading_equal(&r, &reading));
    assert_int_equal(vg_record_encode(&r, out, len - 1, &len), VG_E_FULL);
}

static void what_cannot_be_a_record_is_not_written(void **state)
{
    (void)state;
    char out[VG_RECORD_MAX];
    size_t len;
    struct vg_reading r = {.has = VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE};
    assert_int_equal(vg_record_encode(&r, out, sizeof(out), &len), VG_E_INVALID);
    r.sensor[0] = 'a';
    r.temperature = NAN;
    assert_int_equal(vg_record_encode(&r, out, sizeof(out), &len), VG_E_INVALID);
    r.temperature = 1;
    r.max_temperature = INFINITY;
    assert_int_equal(vg_record_encode(&r, out, sizeof(out), &len), VG_E_INVALID);
    r.max_temperature = 1;
    assert_true(vg_reading_add_number(&r, "n", 1) && vg_reading_add_bool(&r, "b", true));
    assert_int_equal(vg_record_encode(&r, out, sizeof(out), &len), VG_OK);
    r.extras[0].number = NAN;
    assert_int_equal(vg_record_encode(&r, out, sizeof(out), &len), VG_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reading_survives_the_topic),
        cmocka_unit_test(oks_events_and_bare_readings_survive_the_topic),
        cmocka_unit_test(fields_may_come_in_any_order_and_unknown_ones_are_ignored),
        cmocka_unit_test(a_heartbeat_survives_the_topic),
        cmocka_unit_test(what_is_not_the_schema_is_refused_with_its_field),
        cmocka_unit_test(every_cut_of_a_record_is_refused),
        cmocka_unit_test(the_longest_record_fits_its_bound),
        cmocka_unit_test(what_cannot_be_a_record_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
