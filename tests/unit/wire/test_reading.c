/* Questions about one reading. */
#include "vigia/reading.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void qualities_and_events_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VG_QUALITY_COUNT; i++) {
        enum vg_quality quality;
        assert_true(vg_quality_parse(vg_span_str(vg_quality_name((enum vg_quality)i)), &quality));
        assert_int_equal(quality, i);
    }
    enum vg_quality untouched = VG_QUALITY_FAULT;
    assert_false(vg_quality_parse(VG_SPAN("good"), &untouched));
    assert_int_equal(untouched, VG_QUALITY_FAULT);
    for (unsigned i = 1; i < VG_EVENT_COUNT; i++) {
        assert_int_equal(vg_event_parse(vg_span_str(vg_event_name((enum vg_event)i))), i);
    }
    assert_int_equal(vg_event_parse(VG_SPAN("none")), VG_EVENT_NONE);
}

static void sensor_ids_follow_the_wire(void **state)
{
    (void)state;
    char longest[VG_SENSOR_ID_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    assert_true(vg_sensor_id_valid(VG_SPAN("42959")));
    assert_true(vg_sensor_id_valid(VG_SPAN("Zz9-:./_")));
    assert_true(vg_sensor_id_valid(vg_span(longest, VG_SENSOR_ID_MAX)));
    assert_false(vg_sensor_id_valid(vg_span(longest, VG_SENSOR_ID_MAX + 1)));
    assert_false(vg_sensor_id_valid(VG_SPAN("")));
    assert_false(vg_sensor_id_valid(VG_SPAN("_a")));
    assert_false(vg_sensor_id_valid(VG_SPAN("a b")));
    assert_false(vg_sensor_id_valid(VG_SPAN("a\0")));
    assert_false(vg_sensor_id_valid(VG_SPAN("a{")));
    assert_false(vg_sensor_id_valid(VG_SPAN("a[")));
    assert_false(vg_sensor_id_valid(VG_SPAN("a@")));
}

static void a_reading_is_active_when_one_field_is(void **state)
{
    (void)state;
    struct vg_reading r = {.motion = true, .smoke = true, .temperature = 31, .max_temperature = 30};
    assert_false(vg_reading_active(&r));
    r.has = VG_HAS_TEMPERATURE;
    assert_false(vg_reading_active(&r));
    r.has = VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE;
    assert_true(vg_reading_active(&r));
    r.temperature = 30;
    assert_false(vg_reading_active(&r));
    r.has = VG_HAS_SMOKE;
    assert_true(vg_reading_active(&r));
    r.smoke = false;
    assert_false(vg_reading_active(&r));
    r.has = VG_HAS_MOTION;
    assert_true(vg_reading_active(&r));
    r.motion = false;
    assert_false(vg_reading_active(&r));
}

static void only_synced_readings_count_by_their_own_time(void **state)
{
    (void)state;
    struct vg_reading r = {.time_ms = 1, .received_ms = 2};
    assert_int_equal(vg_reading_count_ms(&r), 1);
    for (uint8_t q = VG_QUALITY_UNSYNCED; q < VG_QUALITY_COUNT; q++) {
        r.quality = q;
        assert_int_equal(vg_reading_count_ms(&r), 2);
    }
}

static void extras_are_bounded(void **state)
{
    (void)state;
    char long_text[VG_EXTRA_TEXT_MAX + 2];
    struct vg_reading r = {0};
    memset(long_text, 't', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    assert_false(vg_reading_add_number(&r, "n", NAN));
    assert_false(vg_reading_add_number(&r, "a_name_of_more_than_31_characters", 1));
    assert_false(vg_reading_add_bool(&r, "a_name_of_more_than_31_characters", true));
    assert_false(vg_reading_add_text(&r, "a_name_of_more_than_31_characters", ""));
    assert_false(vg_reading_add_text(&r, "t", long_text));
    assert_int_equal(r.extra_count, 0);
    long_text[VG_EXTRA_TEXT_MAX] = '\0';
    assert_true(vg_reading_add_text(&r, "t", long_text));
    assert_true(vg_reading_add_bool(&r, "b", true));
    while (r.extra_count < VG_EXTRAS_MAX) {
        assert_true(vg_reading_add_number(&r, "n", r.extra_count));
    }
    assert_false(vg_reading_add_number(&r, "n", 1));
    assert_false(vg_reading_add_bool(&r, "n", true));
    assert_false(vg_reading_add_text(&r, "n", ""));
}

/* Fills every field that equality looks at. */
static struct vg_reading sample(void)
{
    struct vg_reading r = {.sensor = "a",
                           .device = "d",
                           .store = 1,
                           .seq = 2,
                           .lane = VG_LANE_URGENT,
                           .quality = VG_QUALITY_STALE,
                           .event = VG_EVENT_GAP,
                           .has = VG_HAS_QUANTITIES,
                           .time_ms = 3,
                           .received_ms = 4,
                           .motion = true,
                           .smoke = true,
                           .temperature = 5,
                           .max_temperature = 6,
                           .event_text = "e"};
    assert_true(vg_reading_add_number(&r, "n", 1));
    assert_true(vg_reading_add_bool(&r, "b", true));
    assert_true(vg_reading_add_text(&r, "t", "x"));
    return r;
}

#define ASSERT_DIFFERS(change)                                                                     \
    do {                                                                                           \
        struct vg_reading a = sample();                                                            \
        struct vg_reading b = sample();                                                            \
        change;                                                                                    \
        assert_false(vg_reading_equal(&a, &b));                                                    \
    } while (0)
#define ASSERT_SAME(change)                                                                        \
    do {                                                                                           \
        struct vg_reading a = sample();                                                            \
        struct vg_reading b = sample();                                                            \
        change;                                                                                    \
        assert_true(vg_reading_equal(&a, &b));                                                     \
    } while (0)

static void equality_sees_every_field_that_counts(void **state)
{
    (void)state;
    ASSERT_SAME((void)0);
    ASSERT_DIFFERS(b.sensor[0] = 'b');
    ASSERT_DIFFERS(b.device[0] = 'b');
    ASSERT_DIFFERS(b.store = 9);
    ASSERT_DIFFERS(b.seq = 9);
    ASSERT_DIFFERS(b.lane = VG_LANE_ROUTINE);
    ASSERT_DIFFERS(b.quality = VG_QUALITY_FAULT);
    ASSERT_DIFFERS(b.event = VG_EVENT_CLOCK);
    ASSERT_DIFFERS(b.has = VG_HAS_MOTION);
    ASSERT_DIFFERS(b.time_ms = 9);
    ASSERT_DIFFERS(b.received_ms = 9);
    ASSERT_DIFFERS(b.motion = false);
    ASSERT_DIFFERS(b.smoke = false);
    ASSERT_DIFFERS(b.temperature = 9);
    ASSERT_DIFFERS(b.max_temperature = 9);
    ASSERT_DIFFERS(b.event_text[0] = 'f');
    ASSERT_DIFFERS(b.extra_count = 2);
    ASSERT_DIFFERS(b.extras[0].number = 9);
    ASSERT_DIFFERS(b.extras[1].boolean = false);
    ASSERT_DIFFERS(b.extras[2].text[0] = 'y');
    ASSERT_DIFFERS(b.extras[0].name[0] = 'z');
    ASSERT_DIFFERS(b.extras[0].type = VG_EXTRA_BOOL);
    ASSERT_DIFFERS((a.extras[0].type = 9, b.extras[0].type = 9));
}

static void equality_ignores_what_carries_no_value(void **state)
{
    (void)state;
    ASSERT_SAME(
        (a.has = b.has = 0, b.motion = b.smoke = false, b.temperature = b.max_temperature = 9));
    ASSERT_SAME((a.lane = b.lane = VG_LANE_NONE, b.store = b.seq = 9));
    ASSERT_SAME((a.event = b.event = VG_EVENT_ALIVE, b.event_text[0] = 'f'));
    ASSERT_SAME((a.event = b.event = VG_EVENT_NONE, b.event_text[0] = 'f'));
    ASSERT_SAME((a.extra_count = b.extra_count = 2, b.extras[2].text[0] = 'y'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qualities_and_events_have_names),
        cmocka_unit_test(sensor_ids_follow_the_wire),
        cmocka_unit_test(a_reading_is_active_when_one_field_is),
        cmocka_unit_test(only_synced_readings_count_by_their_own_time),
        cmocka_unit_test(extras_are_bounded),
        cmocka_unit_test(equality_sees_every_field_that_counts),
        cmocka_unit_test(equality_ignores_what_carries_no_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
