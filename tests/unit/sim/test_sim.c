/* The player of scenarios, on a clock that moves only when told. */
#include "vigia/clock.h"
#include "vigia/source_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SAMPLES_MAX 4096
#define START_MS    1793194800000

struct play {
    char story[64];
    char ledger[64];
    struct vg_fake_clock clock;
    struct vg_source_sim_options options;
    void *sim;
    struct vg_sample samples[SAMPLES_MAX];
    size_t count;
};

static struct play play;

static int begin(void **state)
{
    (void)state;
    memset(&play, 0, sizeof(play));
    (void)snprintf(play.story, sizeof(play.story), "/tmp/vigia-story-XXXXXX");
    (void)snprintf(play.ledger, sizeof(play.ledger), "/tmp/vigia-ledger-XXXXXX");
    (void)close(mkstemp(play.story));
    (void)close(mkstemp(play.ledger));
    vg_fake_clock_init(&play.clock, START_MS);
    play.options = (struct vg_source_sim_options){.scenario = play.story, .ledger = play.ledger};
    return 0;
}

static int end(void **state)
{
    (void)state;
    vg_source_sim.close(play.sim);
    (void)unlink(play.story);
    (void)unlink(play.ledger);
    return 0;
}

static void open_story(const char *text)
{
    struct vg_error err = {0};
    FILE *file = fopen(play.story, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    if (vg_source_sim.open(&play.options, &play.clock.clock, &play.sim, &err) != VG_OK) {
        fail_msg("%s", err.text);
    }
}

/* Plays from deadline to deadline until `ms` of the test have passed. */
static void run_ms(int64_t ms)
{
    struct vg_mono stop = vg_mono_add_ms(play.clock.mono, ms);
    struct vg_mono at;

    while (vg_source_sim.deadline(play.sim, &at) && at.ns <= stop.ns) {
        struct vg_error err = {0};
        size_t count = 0;

        if (at.ns > play.clock.mono.ns) {
            vg_fake_clock_advance_ms(&play.clock, (at.ns - play.clock.mono.ns + VG_NS_PER_MS - 1) /
                                                      VG_NS_PER_MS);
        }
        assert_int_equal(vg_source_sim.read(play.sim, play.samples + play.count,
                                            SAMPLES_MAX - play.count, &count, &err),
                         VG_OK);
        play.count += count;
    }
    vg_fake_clock_advance_ms(&play.clock, (stop.ns - play.clock.mono.ns) / VG_NS_PER_MS);
}

static size_t count_has(uint32_t bit, bool (*is)(const struct vg_reading *))
{
    size_t n = 0;

    for (size_t i = 0; i < play.count; i++) {
        n += (play.samples[i].reading.has & bit) != 0 && is(&play.samples[i].reading);
    }
    return n;
}

static bool smokes(const struct vg_reading *r)
{
    return r->smoke;
}
static bool any(const struct vg_reading *r)
{
    (void)r;
    return true;
}

static void sensors_report_every_period_from_their_own_phase(void **state)
{
    (void)state;
    open_story("sensor a1..a2 period 1s temperature constant 20 max_temperature 30\n");
    run_ms(2400);
    assert_int_equal(play.count, 5);
    assert_string_equal(play.samples[1].reading.sensor, "a2");
    assert_int_equal((play.samples[1].taken.ns - play.samples[0].taken.ns) / VG_NS_PER_MS, 500);
}

static void messages_come_as_often_as_asked_and_the_period_does_not_repeat_them(void **state)
{
    (void)state;
    open_story("stamp on\nsensor a period 1s smoke off\nat 1s a smoke 3 times every 500ms\nat "
               "2500ms a ok\n");
    run_ms(3000);
    assert_int_equal(count_has(VG_HAS_SMOKE, smokes), 3);
    assert_int_equal(count_has(VG_HAS_OK, any), 1);
    assert_int_equal(play.count, 2 + 3 + 1); /* periods at 0 and 3 s; 1 and 2 s are messages */
    assert_int_equal(play.samples[0].reading.extra_count, 1);
}

static void states_change_the_periodic_readings(void **state)
{
    size_t faults = 0;
    size_t stale = 0;

    (void)state;
    open_story(
        "sensor a period 1s temperature ramp 0 100 100s max_temperature 200 smoke off\n"
        "at 1s a smoke for 2s\nat 4s a silent for 2s\nat 7s a fault for 1s\nat 8s a stuck for 2s\n"
        "at 10s a drop 100% for 1s\nat 11s a temperature 300 for 1s\nat 12s a motion for 1s\n");
    run_ms(12500);
    for (size_t i = 0; i < play.count; i++) {
        faults +=
            play.samples[i].reading.quality == VG_QUALITY_FAULT && play.samples[i].reading.has == 0;
        stale += play.samples[i].reading.quality == VG_QUALITY_STALE;
    }
    assert_int_equal(play.count, 13 - 2 - 1);
    assert_int_equal(count_has(VG_HAS_SMOKE, smokes), 2);
    assert_int_equal(faults, 1);
    assert_int_equal(stale, 2);
    assert_true(vg_reading_active(&play.samples[play.count - 2].reading));
    assert_true(play.samples[play.count - 1].reading.motion);
}

static void a_killed_player_goes_on_in_the_middle_with_the_same_story(void **state)
{
    static struct vg_sample whole[SAMPLES_MAX];
    const char *story =
        "seed 5\nsensor a1..a3 period 700ms temperature noise 20 5 max_temperature 30\n"
        "at 2s a2 smoke 4 times every 1s\n";
    size_t whole_count;
    size_t before;

    (void)state;
    play.options.start_ms = START_MS;
    open_story(story);
    run_ms(10000);
    whole_count = play.count;
    memcpy(whole, play.samples, sizeof(whole));
    vg_source_sim.close(play.sim);

    play.count = 0;
    vg_fake_clock_init(&play.clock, START_MS);
    open_story(story);
    run_ms(3300);
    before = play.count;
    vg_source_sim.close(play.sim);
    vg_fake_clock_advance_ms(&play.clock, 1);
    open_story(story);
    run_ms(10000 - 3301);
    assert_true(before > 0 && before < whole_count);
    assert_int_equal(play.count, whole_count);
    for (size_t i = 0; i < whole_count; i++) {
        assert_true(vg_reading_equal(&whole[i].reading, &play.samples[i].reading));
        assert_int_equal(whole[i].taken.ns, play.samples[i].taken.ns);
    }
}

static void the_ledger_has_a_line_for_each_sample(void **state)
{
    char line[512];
    size_t lines = 0;
    FILE *file;

    (void)state;
    open_story("sensor a period 1s smoke off\nat 500ms a ok\n");
    run_ms(2000);
    file = fopen(play.ledger, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (lines == 1) {
            assert_string_equal(line, "{\"at\":500,\"sensor\":\"a\",\"kind\":\"event\",\"motion\":"
                                      "null,\"smoke\":null,\"temperature\":null,"
                                      "\"max_temperature\":null,\"ok\":true,\"quality\":\"synced\","
                                      "\"wall_ms\":1793194800500}\n");
        }
        lines++;
    }
    (void)fclose(file);
    assert_int_equal(lines, play.count);
    assert_int_equal(lines, 4);
}

static void nothing_is_said_after_the_end(void **state)
{
    struct vg_mono at;

    (void)state;
    open_story("sensor a period 1s smoke off\nend 2s\n");
    run_ms(5000);
    assert_int_equal(play.count, 2);
    assert_false(vg_source_sim.deadline(play.sim, &at));
}

static void a_missing_file_and_a_wrong_ledger_are_told(void **state)
{
    struct vg_error err = {0};
    void *sim = NULL;

    (void)state;
    assert_true(vg_source_ops_complete(&vg_source_sim));
    play.options.scenario = "/nowhere/story";
    assert_int_equal(vg_source_sim.open(&play.options, &play.clock.clock, &sim, &err),
                     VG_E_NOTFOUND);
    assert_non_null(strstr(err.text, "/nowhere/story"));
    play.options.scenario = play.story;
    open_story("sensor a smoke off\n");
    play.options.ledger = "/nowhere/ledger";
    assert_int_equal(vg_source_sim.open(&play.options, &play.clock.clock, &sim, &err),
                     VG_E_NOTFOUND);
    assert_non_null(strstr(err.text, "/nowhere/ledger"));
    assert_null(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sensors_report_every_period_from_their_own_phase, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            messages_come_as_often_as_asked_and_the_period_does_not_repeat_them, begin, end),
        cmocka_unit_test_setup_teardown(states_change_the_periodic_readings, begin, end),
        cmocka_unit_test_setup_teardown(a_killed_player_goes_on_in_the_middle_with_the_same_story,
                                        begin, end),
        cmocka_unit_test_setup_teardown(the_ledger_has_a_line_for_each_sample, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_said_after_the_end, begin, end),
        cmocka_unit_test_setup_teardown(a_missing_file_and_a_wrong_ledger_are_told, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
