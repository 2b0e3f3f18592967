/* Scenario files: every statement, and every way in which one is refused, with the line it stands
 * in. */
#include "../../../edge/source/sim/scenario.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum vg_err parse(const char *text, struct vgi_scenario *out, struct vg_error *err)
{
    memset(err, 0, sizeof(*err));
    return vgi_scenario_parse(vg_span_str(text), "story", out, err);
}

static void a_range_makes_sensors_spread_over_their_period(void **state)
{
    struct vgi_scenario s;
    struct vg_error err;

    (void)state;
    assert_int_equal(parse("sensor hall-08..hall-11 period 2s smoke off\n", &s, &err), VG_OK);
    assert_int_equal(s.sensor_count, 4);
    assert_string_equal(s.sensors[0].id, "hall-08");
    assert_string_equal(s.sensors[3].id, "hall-11");
    assert_int_equal(s.sensors[0].phase_ms, 0);
    assert_int_equal(s.sensors[3].phase_ms, 1500);
    assert_int_equal(s.end_ms, INT64_MAX);
    vgi_scenario_done(&s);
}

static void every_statement_is_understood(void **state)
{
    struct vgi_scenario s;
    struct vg_error err;

    (void)state;
    assert_int_equal(parse("# a comment\n\nseed 9 # and one behind\nstamp on\nend 1m\r\n"
                           "sensor a temperature constant 20 max_temperature 30 motion off\n"
                           "at 0s a motion\nat 1s a smoke 3 times every 250ms\nat 2s a ok\nat 3s a "
                           "temperature 60 for 5s\n"
                           "at 4s a silent for 1s\nat 5s a fault for 1s\nat 6s a stuck for 1s\nat "
                           "7s a drop 50% for 1s",
                           &s, &err),
                     VG_OK);
    assert_int_equal(s.seed, 9);
    assert_true(s.stamp);
    assert_int_equal(s.end_ms, 60000);
    assert_int_equal(s.sensors[0].period_ms, 60000);
    assert_int_equal(s.event_count, 8);
    assert_int_equal(s.events[1].times, 3);
    assert_int_equal(s.events[1].every_ms, 250);
    assert_int_equal(s.events[3].for_ms, 5000);
    assert_true(s.events[3].value > 59.99 && s.events[3].value < 60.01);
    assert_true(s.events[7].value > 0.49 && s.events[7].value < 0.51);
    vgi_scenario_done(&s);
}

static void an_event_for_a_range_counts_for_each_sensor(void **state)
{
    struct vgi_scenario s;
    struct vg_error err;

    (void)state;
    assert_int_equal(parse("sensor a1..a3 smoke off\nat 1s a2..a3 smoke\n", &s, &err), VG_OK);
    assert_int_equal(s.event_count, 2);
    assert_int_equal(s.events[0].sensor, 1);
    assert_int_equal(s.events[1].sensor, 2);
    vgi_scenario_done(&s);
}

#define LONG                                                                                       \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"     \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void what_is_wrong_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "no sensor in the whole file"},
        {"sensor a smoke off\nblah", "story:2: 'blah': accepted: seed stamp sensor at end"},
        {"seed x", "story:1: seed: 'x'"},
        {"seed -1", "story:1: seed: '-1'"},
        {"stamp off", "story:1: stamp"},
        {"end 0s", "story:1: end: '0s'"},
        {"end 400d", "story:1: end: '400d'"},
        {"end", "story:1: end: ''"},
        {"sensor *bad smoke off", "story:1: '*bad' is no sensor id"},
        {"sensor a3..a1 smoke off", "story:1: 'a3..a1'"},
        {"sensor a..b smoke off", "story:1: 'a..b'"},
        {"sensor a1..b2 smoke off", "story:1: 'a1..b2'"},
        {"sensor a1..a12 smoke off", "story:1: 'a1..a12'"},
        {"sensor a", "story:1: a sensor without quantities"},
        {"sensor a smoke on", "story:1: smoke: accepted: off"},
        {"sensor a colour red", "story:1: 'colour': accepted: period"},
        {"sensor a period 0s smoke off", "story:1: period: '0s'"},
        {"sensor a temperature wobble 1", "story:1: temperature: 'wobble'"},
        {"sensor a temperature constant warm", "story:1: temperature constant: 'warm'"},
        {"sensor a temperature sine 1 2", "story:1: temperature: ''"},
        {"sensor a temperature sine 1 x 2s", "story:1: temperature: 'x'"},
        {"sensor a temperature noise 1", "story:1: temperature: ''"},
        {"sensor a smoke off max_temperature x", "story:1: max_temperature: 'x'"},
        {"sensor a smoke off\nsensor a smoke off", "story:2: sensor 'a' is there already"},
        {"sensor a smoke off\nat 1s b smoke", "story:2: no sensor 'b' in a line before"},
        {"sensor a smoke off\nat x a smoke", "story:2: at: 'x'"},
        {"sensor a smoke off\nat 1s *a smoke", "story:2: '*a'"},
        {"sensor a smoke off\nat 1s a fly", "story:2: 'fly': accepted: motion"},
        {"sensor a smoke off\nat 1s a temperature 60",
         "story:2: sensor 'a' has no max_temperature"},
        {"sensor a smoke off\nat 1s a temperature hot", "story:2: temperature: 'hot'"},
        {"sensor a smoke off\nat 1s a smoke 0 times every 1s", "story:2: times: '0'"},
        {"sensor a smoke off\nat 1s a smoke 3 each 1s", "story:2: accepted: N times every D"},
        {"sensor a smoke off\nat 1s a smoke 3 times every x", "story:2: every: 'x'"},
        {"sensor a smoke off\nat 1s a ok for 3s", "story:2: ok: accepted"},
        {"sensor a smoke off\nat 1s a silent", "story:2: accepted after this word: for D"},
        {"sensor a smoke off\nat 1s a smoke for x", "story:2: for: 'x'"},
        {"sensor a smoke off\nat 1s a drop 101% for 1s", "story:2: drop: '101%'"},
        {"sensor a smoke off\nat 1s a drop 5 for 1s", "story:2: drop: '5'"},
        {"sensor a smoke off\nat 1s a smoke for 1s now", "story:2: 'now': nothing more"},
        {"sensor a1..a5000 smoke off", "story:1: 'a1..a5000'"},
        {"sensor", "story:1: '' is no sensor id"},
        {"sensor a temperature sine x", "story:1: temperature: 'x'"},
        {"sensor 1..2", "story:1: a sensor without quantities"},
        {"sensor 1234567..1234568", "story:1: a sensor without quantities"},
        {"sensor *1..a2 smoke off", "story:1: '*1..a2'"},
        {"sensor a1..*2 smoke off", "story:1: 'a1..*2'"},
        {"sensor a1..ab smoke off", "story:1: 'a1..ab'"},
        {"sensor a.1 smoke on", "story:1: smoke: accepted: off"},
        {"sensor a temperature", "story:1: temperature: ''"},
        {"sensor a temperature square 1 2 0s", "story:1: temperature: '0s'"},
        {"sensor a temperature ramp 1", "story:1: temperature: ''"},
        {"sensor a temperature constant 1e300", "accepted: a number from -1000000 to 1000000"},
        {"sensor a temperature constant -1000001", "accepted: a number from"},
        {"seed 99999999999999999999", "story:1: seed: '99999999999999999999'"},
        {"sensor a smoke off\nat 1s", "story:2: '' is no sensor id"},
        {"sensor a smoke off\nat 1s a", "story:2: '': accepted: motion"},
        {"sensor a smoke off\nat 1s a drop", "story:2: drop: ''"},
        {"sensor a smoke off\nat 1s a drop % for 1s", "story:2: drop: '%'"},
        {"sensor a smoke off\nat 1s a drop x% for 1s", "story:2: drop: 'x%'"},
        {"sensor a smoke off\nat 1s a drop -1% for 1s", "story:2: drop: '-1%'"},
        {"sensor a smoke off\nat 1s a smoke 3 times", "story:2: accepted: N times every D"},
        {"sensor a smoke off\nat 1s a smoke 3", "story:2: accepted: N times every D"},
        {"sensor a smoke off\nat 1s a smoke 100001 times every 1s", "story:2: times: '100001'"},
        {"sensor a smoke off\nend 999999999999999999999d", "story:2: end: '999999"},
        {"seed 1 2", "story:1: '2': nothing more"},
        {"sensor a\x0b smoke off", "is no sensor id"},
        /* Words longer than what is shown of them. */
        {LONG, "accepted: seed stamp sensor at end"},
        {"sensor " LONG " smoke off", "is no sensor id"},
        {"sensor " LONG ".." LONG " smoke off", "accepted: an id, or FIRST..LAST"},
        {"sensor a temperature " LONG, "accepted: constant sine"},
        {"sensor a " LONG, "accepted: period"},
        {"sensor a period " LONG, "accepted: 1ms to 366d"},
        {"sensor a period -2s smoke off", "period: '-2s'"},
        {"sensor a smoke off\nat 1s a " LONG, "accepted: motion"},
        {"sensor a smoke off\nat 1s a drop " LONG, "accepted: 0% to 100%"},
        {"sensor a smoke off\nat 1s a smoke " LONG, "times: '"},
        {"seed 1 " LONG, "nothing more is accepted here"},
        {"sensor a0001..a5000 smoke off", "story:1: more than 4096 sensors"},
        {"sensor a0001..a4000 smoke off\nat 1s a0001..a4000 smoke\nat 2s a0001..a0100 ok",
         "story:3: more than 4096"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vgi_scenario s;
        struct vg_error err;

        if (parse(cases[i].text, &s, &err) == VG_OK) {
            fail_msg("accepted: %s", cases[i].text);
        }
        if (strstr(err.text, cases[i].says) == NULL) {
            fail_msg("for '%s' it says '%s', not '%s'", cases[i].text, err.text, cases[i].says);
        }
    }
}

static void blanks_comments_and_line_ends_of_any_kind_are_fine(void **state)
{
    struct vgi_scenario s;
    struct vg_error err;

    (void)state;
    assert_int_equal(parse("\r\n# a story\r\n\tsensor  a.b \t smoke off # here\r\n"
                           "sensor c temperature square 1 2 2s max_temperature 9 motion off\n"
                           "at 0s c temperature 10 \r\n\n  \nat 1s a.b drop 0% for 1s",
                           &s, &err),
                     VG_OK);
    assert_int_equal(s.sensor_count, 2);
    assert_string_equal(s.sensors[0].id, "a.b");
    assert_int_equal(s.event_count, 2);
    vgi_scenario_done(&s);
}

static void a_long_line_and_a_nul_byte_are_refused(void **state)
{
    char line[VGI_SIM_LINE_MAX + 2];
    struct vgi_scenario s;
    struct vg_error err;

    (void)state;
    memset(line, '#', sizeof(line));
    line[VGI_SIM_LINE_MAX + 1] = '\0';
    assert_int_equal(parse(line, &s, &err), VG_E_RANGE);
    assert_int_equal(vgi_scenario_parse(vg_span("seed\0 1", 7), "story", &s, &err), VG_E_INVALID);
}

static void waves_have_their_shapes(void **state)
{
    struct vgi_wave w = {.kind = VGI_WAVE_SINE, .a = 20, .b = 3, .period_ms = 4000};

    (void)state;
    assert_true(fabs(vgi_wave_value(&w, 0, 0) - 20) < 0.001);
    assert_true(fabs(vgi_wave_value(&w, 1000, 0) - 23) < 0.001);
    w.kind = VGI_WAVE_SQUARE;
    assert_true(fabs(vgi_wave_value(&w, 1999, 0) - 20) < 0.001);
    assert_true(fabs(vgi_wave_value(&w, 2000, 0) - 3) < 0.001);
    w.kind = VGI_WAVE_RAMP;
    assert_true(fabs(vgi_wave_value(&w, 5000, 0) - 15.75) < 0.001);
    w.kind = VGI_WAVE_NOISE;
    assert_true(fabs(vgi_wave_value(&w, 0, 0.75) - 21.5) < 0.001);
    w = (struct vgi_wave){.kind = VGI_WAVE_CONSTANT, .a = 7};
    assert_true(fabs(vgi_wave_value(&w, 12345, 0.5) - 7) < 0.001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_makes_sensors_spread_over_their_period),
        cmocka_unit_test(every_statement_is_understood),
        cmocka_unit_test(an_event_for_a_range_counts_for_each_sensor),
        cmocka_unit_test(what_is_wrong_is_refused_with_its_line),
        cmocka_unit_test(blanks_comments_and_line_ends_of_any_kind_are_fine),
        cmocka_unit_test(a_long_line_and_a_nul_byte_are_refused),
        cmocka_unit_test(waves_have_their_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
