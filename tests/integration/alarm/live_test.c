/* vigia-alarm as a process on a log: what it tells, and that being killed changes nothing of it. */
#include "vigia/clock.h"
#include "vigia/random.h"
#include "world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const quiet[] = {"supervision.enabled=false", "rules.window=1h", NULL};

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    world_open(w);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

static void three_strikes_raise_and_an_ok_clears(void **state)
{
    struct world *w = *state;
    pid_t pid = world_start(w, "one", quiet);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        world_reading(w, "hall", VG_HAS_SMOKE, seq);
    }
    world_wait(w, 2);
    assert_string_equal(w->told[0].event, "pre_alarm");
    assert_string_equal(w->told[1].event, "raised");
    assert_string_equal(w->told[1].id, "hall:smoke:1");
    world_reading(w, "hall", VG_HAS_OK, 4);
    world_wait_for(w, "cleared", "hall:smoke:1");
    world_kill(pid, SIGTERM);
}

static void an_acknowledgement_is_told_and_a_second_one_refused(void **state)
{
    static const char ack[] = "{\"v\":1,\"command\":\"acknowledge\",\"alarm_id\":\"hall:motion:1\","
                              "\"sensor\":\"hall\",\"who\":\"ana\",\"time_ms\":1}";
    struct world *w = *state;
    pid_t pid = world_start(w, "one", quiet);
    world_reading(w, "hall", VG_HAS_MOTION, 1);
    world_wait_for(w, "raised", "hall:motion:1");
    world_put(w, VG_TOPIC_COMMANDS, -1, "hall", ack);
    world_wait_for(w, "acknowledged", "hall:motion:1");
    world_put(w, VG_TOPIC_COMMANDS, -1, "hall", ack);
    world_wait_for(w, "refused", "hall:motion:1");
    world_kill(pid, SIGTERM);
}

static size_t lines_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += *text == '\n';
    }
    return n;
}

/* On Kafka every state that a sensor ever had is still there: only the newest one counts. */
static void the_list_shows_each_alarm_that_stands_once(void **state)
{
    static const char *const list[] = {"alarm", "list", NULL};
    static const char *const all[] = {"alarm", "list", "--all", NULL};
    static const char ack[] = "{\"v\":1,\"command\":\"acknowledge\",\"alarm_id\":\"hall:motion:1\","
                              "\"sensor\":\"hall\",\"who\":\"ana\",\"time_ms\":1}";
    static char out[8192];
    struct world *w = *state;
    pid_t pid = world_start(w, "one", quiet);
    world_reading(w, "hall", VG_HAS_MOTION, 1);
    world_wait_for(w, "raised", "hall:motion:1");
    world_put(w, VG_TOPIC_COMMANDS, -1, "hall", ack);
    world_wait_for(w, "acknowledged", "hall:motion:1");
    world_reading(w, "hall", VG_HAS_OK, 2);
    world_wait_for(w, "cleared", "hall:motion:1");
    world_reading(w, "loft", VG_HAS_SMOKE, 1);
    world_wait_for(w, "pre_alarm", "loft:smoke:1");
    for (uint64_t seq = 1; seq <= 3; seq++) {
        world_reading(w, "attic", VG_HAS_SMOKE, seq);
    }
    world_wait_for(w, "raised", "attic:smoke:1");
    assert_int_equal(world_vigia(w, list, out, sizeof(out)), 0);
    assert_non_null(strstr(out, "\"alarm_id\":\"attic:smoke:1\""));
    assert_non_null(strstr(out, "\"state\":\"active\""));
    assert_int_equal(lines_of(out), 1);
    assert_int_equal(world_vigia(w, all, out, sizeof(out)), 0);
    assert_non_null(strstr(out, "\"alarm_id\":\"attic:smoke:1\""));
    assert_non_null(strstr(out, "\"alarm_id\":\"loft:smoke:1\""));
    assert_int_equal(lines_of(out), 2);
    world_kill(pid, SIGTERM);
}

static void records_that_cannot_be_read_are_skipped(void **state)
{
    struct world *w = *state;
    pid_t pid = world_start(w, "one", quiet);
    world_put(w, VG_TOPIC_READINGS, -1, "hall", "rubbish");
    world_put(w, VG_TOPIC_COMMANDS, -1, "hall", "{\"v\":1}");
    world_reading(w, "hall", VG_HAS_MOTION, 1);
    world_wait_for(w, "raised", "hall:motion:1");
    world_kill(pid, SIGTERM);
}

static void a_record_of_a_newer_version_ends_it(void **state)
{
    struct world *w = *state;
    pid_t pid = world_start(w, "one", quiet);
    int status = 0;
    world_put(w, VG_TOPIC_READINGS, -1, "hall", "{\"v\":2,\"sensor\":\"hall\"}");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

/* The strikes before a kill count after it. */
static void strikes_survive_a_kill(void **state)
{
    struct world *w = *state;
    pid_t pid = world_start(w, "one", quiet);
    world_reading(w, "hall", VG_HAS_SMOKE, 1);
    world_wait_for(w, "pre_alarm", "hall:smoke:1");
    world_reading(w, "hall", VG_HAS_SMOKE, 2);
    world_reading(w, "attic", VG_HAS_MOTION, 1);
    world_wait_for(w, "raised", "attic:motion:1");
    world_kill(pid, SIGKILL);
    world_reading(w, "hall", VG_HAS_SMOKE, 2); /* delivered again */
    pid = world_start(w, "one", quiet);
    world_reading(w, "hall", VG_HAS_SMOKE, 3);
    world_wait_for(w, "raised", "hall:smoke:1");
    assert_int_equal(w->told_count, 3);
    world_kill(pid, SIGTERM);
}

#define SENSORS 24
#define ROUNDS  60

/* Random lives of many sensors, the processor killed again and again: each event once, each id
 * once, in order. */
static void killed_at_any_moment_it_tells_everything_once(void **state)
{
    struct world *w = *state;
    struct vg_rng rng;
    uint64_t seed = 0, seq[SENSORS] = {0};
    unsigned motions[SENSORS] = {0}, strikes[SENSORS] = {0}, smokes[SENSORS] = {0};
    bool moving[SENSORS] = {false};
    size_t expected = 0;
    char name[16], id[64];
    assert_int_equal(vg_random_bytes(&seed, 4), VG_OK);
    print_message("seed %llu\n", (unsigned long long)seed);
    vg_rng_seed(&rng, seed);
    pid_t pid = world_start(w, "one", quiet);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < SENSORS; i++) {
            (void)snprintf(name, sizeof(name), "s%u", i);
            switch (vg_rng_below(&rng, 4)) {
            case 0:
                world_reading(w, name, VG_HAS_MOTION, ++seq[i]);
                expected += !moving[i];
                motions[i] += !moving[i];
                moving[i] = true;
                break;
            case 1:
                world_reading(w, name, VG_HAS_SMOKE, ++seq[i]);
                strikes[i]++;
                smokes[i] += strikes[i] == 1;
                expected += strikes[i] == 1 || strikes[i] == 3;
                break;
            case 2:
                world_reading(w, name, VG_HAS_OK, ++seq[i]);
                expected += (unsigned)moving[i] + (strikes[i] > 0);
                moving[i] = false;
                strikes[i] = 0;
                break;
            default:
                world_reading(w, name, 0, 0);
                break;
            }
        }
        if (round % 6 == 3) {
            world_kill(pid, SIGKILL);
            pid = world_start(w, "one", quiet);
            /* Not always far enough to have done anything. */
            if (vg_rng_below(&rng, 2) == 0) {
                world_wait(w, expected / 2);
            }
        }
    }
    world_wait(w, expected);
    /* A sentinel in every partition: nothing more comes before it. */
    for (unsigned i = 0; i < SENSORS; i++) {
        (void)snprintf(name, sizeof(name), "end%u", i);
        (void)snprintf(id, sizeof(id), "%s:motion:1", name);
        world_reading(w, name, VG_HAS_MOTION, 1);
        world_wait_for(w, "raised", id);
    }
    assert_int_equal(w->told_count, expected + SENSORS);
    for (unsigned i = 0; i < SENSORS; i++) {
        for (unsigned k = 1; k <= motions[i]; k++) {
            (void)snprintf(id, sizeof(id), "s%u:motion:%u", i, k);
            assert_int_equal(world_count(w, "raised", id), 1);
        }
        for (unsigned k = 1; k <= smokes[i]; k++) {
            (void)snprintf(id, sizeof(id), "s%u:smoke:%u", i, k);
            assert_int_equal(world_count(w, "pre_alarm", id), 1);
        }
    }
    world_kill(pid, SIGTERM);
}

static void a_second_instance_takes_over(void **state)
{
    struct world *w = *state;
    pid_t first = world_start(w, "one", quiet);
    world_reading(w, "hall", VG_HAS_SMOKE, 1);
    world_wait_for(w, "pre_alarm", "hall:smoke:1");
    pid_t second = world_start(w, "two", quiet);
    world_reading(w, "hall", VG_HAS_SMOKE, 2);
    world_kill(first, SIGKILL);
    world_reading(w, "hall", VG_HAS_SMOKE, 3);
    world_wait_for(w, "raised", "hall:smoke:1");
    world_reading(w, "hall", VG_HAS_OK, 4);
    world_wait_for(w, "cleared", "hall:smoke:1");
    assert_int_equal(w->told_count, 3);
    world_kill(second, SIGTERM);
}

static const char *const watchful[] = {"supervision.heartbeat=60s", "supervision.factor=2",
                                       "processor.settle=0ms", NULL};
static const char device[] =
    "{\"v\":1,\"device\":\"pi\",\"version\":1,\"state\":\"active\",\"sensors\":[\"*\"],"
    "\"period_ms\":500,\"class\":\"\",\"credential\":{\"kid\":\"00000000\","
    "\"nonce\":\"000000000000000000000000\",\"data\":"
    "\"0000000000000000000000000000000000000000000000000000000000000000\","
    "\"tag\":\"00000000000000000000000000000000\"}}";

static void silence_is_told_and_survives_a_restart(void **state)
{
    struct world *w = *state;
    world_put(w, VG_TOPIC_DEVICES, -1, "pi", device);
    world_heartbeat(w);
    world_reading(w, "hall", 0, 0);
    int64_t heard_ms = w->now_ms;
    pid_t pid = world_start(w, "one", watchful);
    world_wait_for(w, "raised", "hall:silence:1");
    assert_true(w->told[0].time_ms >= heard_ms + 1000);
    world_kill(pid, SIGKILL);
    pid = world_start(w, "one", watchful);
    world_heartbeat(w);
    world_reading(w, "hall", 0, 0);
    world_wait_for(w, "cleared", "hall:silence:1");
    world_kill(pid, SIGKILL);
    pid = world_start(w, "one", watchful);
    world_wait_for(w, "raised", "hall:silence:2");
    assert_int_equal(world_count(w, "raised", "hall:silence:1"), 1);
    world_kill(pid, SIGTERM);
}

static void collectors_that_say_nothing_are_one_alarm(void **state)
{
    static const char *const impatient[] = {"supervision.heartbeat=1s", "processor.settle=0ms",
                                            NULL};
    struct world *w = *state;
    world_heartbeat(w);
    pid_t pid = world_start(w, "one", impatient);
    world_wait_for(w, "raised", "collectors/0:collector:1");
    world_heartbeat(w);
    world_wait_for(w, "cleared", "collectors/0:collector:1");
    assert_int_equal(world_count(w, "raised", "collectors/0:collector:1"), 1);
    world_kill(pid, SIGTERM);
}

/* One collector's clock is a day ahead: the strikes around what it wrote are still strikes of one
 * window, and its OK does not outlive the day. */
static void a_collector_whose_clock_is_ahead_moves_no_time(void **state)
{
    const int64_t day_ms = 86400000;
    static const char *const usual[] = {"supervision.enabled=false", "rules.window=10m", NULL};
    struct world *w = *state;
    pid_t pid = world_start(w, "one", usual);
    world_reading(w, "hall", VG_HAS_MOTION, 1);
    world_wait_for(w, "raised", "hall:motion:1");
    w->now_ms += day_ms;
    world_reading(w, "hall", VG_HAS_OK, 2);
    world_wait_for(w, "cleared", "hall:motion:1");
    w->now_ms = vg_now_wall(vg_clock_system()).ms;
    world_reading(w, "hall", VG_HAS_SMOKE, 3);
    world_wait_for(w, "pre_alarm", "hall:smoke:1");
    w->now_ms += day_ms;
    world_reading(w, "hall", VG_HAS_SMOKE, 4);
    w->now_ms -= day_ms;
    world_reading(w, "hall", VG_HAS_SMOKE, 5);
    world_wait_for(w, "raised", "hall:smoke:1");
    assert_int_equal(w->told_count, 4);
    world_kill(pid, SIGTERM);
}

/* Ours leaps a day ahead for a moment. What it said then must not hold all deadlines for a day, here
 * or in the next instance, but only until the clock has stood; nor is a time set back before. */
static void a_moment_of_a_wrong_clock_ends_no_supervision(void **state)
{
    const int64_t day_ms = 86400000, stands_ms = 300000;
    struct world *w = *state;
    world_give_clock(w);
    w->keep_lines = true;
    world_put(w, VG_TOPIC_DEVICES, -1, "pi", device);
    world_heartbeat(w);
    world_reading(w, "hall", 0, 0);
    pid_t pid = world_start(w, "one", watchful);
    world_wait_for(w, "raised", "hall:silence:1");
    *w->clock_ms = day_ms;
    world_wait_for_line(w, "msg=clock-leapt");
    world_wait_for(w, "raised", "collectors/0:collector:1");
    world_heartbeat(w);
    world_wait_for(w, "cleared", "collectors/0:collector:1"); /* stored: the clock with it */
    *w->clock_ms = 0;
    world_wait_for_line(w, "msg=clock-back");
    world_reading(w, "hall", 0, 0);
    world_wait_for(w, "cleared", "hall:silence:1");
    assert_false(world_has_line(w, "msg=partition-clock-set-back"));
    *w->gone_ms += stands_ms;
    world_wait_for_line(w, "msg=partition-clock-set-back partition=0");
    world_wait_for(w, "raised", "hall:silence:2");
    *w->clock_ms = day_ms;
    world_wait_for(w, "raised", "collectors/0:collector:2");
    world_heartbeat(w);
    world_wait_for(w, "cleared", "collectors/0:collector:2");
    world_kill(pid, SIGKILL);
    *w->clock_ms = 0;
    pid = world_start(w, "two", watchful);
    world_heartbeat(w);
    world_reading(w, "hall", 0, 0);
    world_wait_for(w, "cleared", "hall:silence:2");
    *w->gone_ms += stands_ms;
    world_wait_for(w, "raised", "hall:silence:3");
    world_kill(pid, SIGTERM);
}

/* What they speak for is not supervised: somebody must hear of it. */
static void devices_that_are_one_too_many_or_unreadable_are_told(void **state)
{
    static const char *const few[] = {"supervision.enabled=false", "processor.max_devices=1", NULL};
    static const char entry[] =
        "{\"v\":1,\"device\":\"%s\",\"version\":1,\"state\":\"active\",\"sensors\":[\"%s-*\"],"
        "\"period_ms\":500,\"class\":\"\",\"credential\":{\"kid\":\"00000000\","
        "\"nonce\":\"000000000000000000000000\",\"data\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\","
        "\"tag\":\"00000000000000000000000000000000\"}}";
    struct world *w = *state;
    char json[sizeof(entry) + 16];
    w->keep_lines = true;
    for (int i = 0; i < 2; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "pi%d", i);
        (void)snprintf(json, sizeof(json), entry, name, name);
        world_put(w, VG_TOPIC_DEVICES, -1, name, json);
    }
    pid_t pid = world_start(w, "one", few);
    world_wait_for_line(w, "level=error prog=vigia-alarm msg=device-entry-refused "
                           "error=\"device pi1: more than 1 devices\"");
    world_put(w, VG_TOPIC_DEVICES, -1, "pi0", "rubbish");
    world_wait_for_line(w, "msg=device-entry-refused error=\"device entry is not JSON\"");
    world_kill(pid, SIGTERM);
}

#define FILL_BYTES (250 * 1024)
#define FILL_COUNT 8 /* more than max_bytes below */

/* Readings that nobody has read fill the log above its bound, and leave it. */
static void trim_unread(struct world *w)
{
    static char fill[FILL_BYTES + 1];
    struct vg_dlog_conf conf = w->conf;
    struct vg_dlog *tight = NULL;
    struct vg_dlog_retained gone = {0, 0};
    struct vg_error err;
    memset(fill, 'x', FILL_BYTES);
    for (int i = 0; i < FILL_COUNT; i++) {
        world_put(w, VG_TOPIC_READINGS, -1, "hall", fill);
    }
    conf.max_bytes = 1 << 20;
    assert_int_equal(vg_dlog_open(&conf, "tight", 0, &tight, &err), VG_OK);
    assert_int_equal(vg_dlog_retain(tight, &gone, &err), VG_OK);
    assert_int_equal(gone.forced, FILL_COUNT);
    vg_dlog_close(tight);
}

static int exit_code_of(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* What `vigia log skip alarm` prints. */
static const char *skip_gone(struct world *w)
{
    static const char *const words[] = {"log", "skip", "alarm", NULL};
    static char out[512];
    assert_int_equal(world_vigia(w, words, out, sizeof(out)), 0);
    return out;
}

/* Starting it again and again would not bring the readings back: it says what goes on without them,
 * and for its operator that is the way out. */
static void readings_that_left_unread_stop_it_until_the_operator_skips_them(void **state)
{
    struct world *w = *state;
    if (strncmp(w->conf.url, "sqlite:", 7) != 0) {
        print_message("max_bytes is SQLite's alone; see the tests of the log on Kafka\n");
        skip();
    }
    pid_t pid = world_start(w, "one", quiet);
    world_reading(w, "hall", VG_HAS_MOTION, 1);
    world_wait_for(w, "raised", "hall:motion:1");
    assert_string_equal(skip_gone(w), ""); /* nothing is missing */
    world_kill(pid, SIGTERM);
    trim_unread(w);
    w->keep_lines = true;
    assert_int_equal(exit_code_of(world_start(w, "one", quiet)), 78);
    world_wait_for_line(w, "is not in the log any more: 'vigia log skip alarm' goes on");
    assert_string_equal(
        skip_gone(w),
        "{\"topic\":\"readings\",\"partition\":0,\"from\":1,\"to\":9,\"skipped\":8}\n");
    pid = world_start(w, "one", quiet);
    world_reading(w, "yard", VG_HAS_MOTION, 1);
    world_wait_for(w, "raised", "yard:motion:1");
    world_reading(w, "hall", VG_HAS_OK, 2); /* its state is there */
    world_wait_for(w, "cleared", "hall:motion:1");
    assert_int_equal(w->told_count, 3);
    world_kill(pid, SIGTERM);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(three_strikes_raise_and_an_ok_clears, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(an_acknowledgement_is_told_and_a_second_one_refused,
                                        open_world, close_world),
        cmocka_unit_test_setup_teardown(the_list_shows_each_alarm_that_stands_once, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(records_that_cannot_be_read_are_skipped, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(a_record_of_a_newer_version_ends_it, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(strikes_survive_a_kill, open_world, close_world),
        cmocka_unit_test_setup_teardown(killed_at_any_moment_it_tells_everything_once, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(a_second_instance_takes_over, open_world, close_world),
        cmocka_unit_test_setup_teardown(silence_is_told_and_survives_a_restart, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(collectors_that_say_nothing_are_one_alarm, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(a_collector_whose_clock_is_ahead_moves_no_time, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(a_moment_of_a_wrong_clock_ends_no_supervision, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(devices_that_are_one_too_many_or_unreadable_are_told,
                                        open_world, close_world),
        cmocka_unit_test_setup_teardown(
            readings_that_left_unread_stop_it_until_the_operator_skips_them, open_world,
            close_world),
    };
    if (argc == 2) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests_name("alarm", tests, NULL, NULL);
}
