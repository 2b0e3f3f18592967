/* The wall clock that the alarm processor goes by: leaps are followed only when they stand. */
#include "../../../collector/alarm/wall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DAY_MS    86400000LL
#define START_MS  1793194820123LL
#define STOOD_MS  (START_MS + VGI_WALL_STANDS_MS)
#define MINUTE_MS 60000

static struct vg_fake_clock fake;
static struct vgi_wall w;

static enum vgi_wall_news look(void)
{
    return vgi_alarm_wall_look(&w, fake.wall, fake.boot);
}

static int64_t now(void)
{
    return vgi_alarm_wall_ms(&w, fake.boot);
}

/* Started, and the clock has stood for so long. */
static void begin(int64_t stood_ms)
{
    vg_fake_clock_init(&fake, START_MS);
    w = (struct vgi_wall){.begun = false};
    assert_int_equal(look(), VGI_WALL_SAME);
    vg_fake_clock_advance_ms(&fake, stood_ms);
    assert_int_equal(look(), VGI_WALL_SAME);
    assert_int_equal(now(), START_MS + stood_ms);
}

static void a_leap_that_does_not_stand_is_not_seen(void **unused)
{
    static const int64_t leaps[] = {DAY_MS, -DAY_MS, MINUTE_MS + 1, -MINUTE_MS - 1};
    (void)unused;
    for (size_t i = 0; i < sizeof(leaps) / sizeof(leaps[0]); i++) {
        begin(VGI_WALL_STANDS_MS);
        fake.wall.ms += leaps[i];
        assert_int_equal(look(), VGI_WALL_LEAPT);
        assert_int_equal(vgi_alarm_wall_leap_ms(&w), leaps[i]);
        assert_int_equal(now(), STOOD_MS);
        vg_fake_clock_advance_ms(&fake, VGI_WALL_STANDS_MS - 1);
        assert_int_equal(look(), VGI_WALL_SAME);
        assert_int_equal(now(), STOOD_MS + VGI_WALL_STANDS_MS - 1);
        fake.wall.ms -= leaps[i];
        assert_int_equal(look(), VGI_WALL_BACK);
        vg_fake_clock_advance_ms(&fake, 1);
        assert_int_equal(look(), VGI_WALL_SAME);
        assert_int_equal(now(), STOOD_MS + VGI_WALL_STANDS_MS);
    }
}

static void a_leap_that_stands_is_followed(void **unused)
{
    static const int64_t leaps[] = {DAY_MS, -DAY_MS};
    (void)unused;
    for (size_t i = 0; i < sizeof(leaps) / sizeof(leaps[0]); i++) {
        begin(VGI_WALL_STANDS_MS);
        fake.wall.ms += leaps[i];
        assert_int_equal(look(), VGI_WALL_LEAPT);
        vg_fake_clock_advance_ms(&fake, VGI_WALL_STANDS_MS);
        assert_int_equal(look(), VGI_WALL_FOLLOWED);
        assert_int_equal(vgi_alarm_wall_leap_ms(&w), leaps[i]);
        assert_int_equal(now(), fake.wall.ms);
        /* It has stood: the way back is a leap again. */
        fake.wall.ms -= leaps[i];
        assert_int_equal(look(), VGI_WALL_LEAPT);
    }
}

static void a_clock_that_leaps_on_and_on_is_not_followed(void **unused)
{
    (void)unused;
    begin(VGI_WALL_STANDS_MS);
    for (int i = 1; i <= 100; i++) {
        fake.wall.ms += DAY_MS;
        assert_int_equal(look(), VGI_WALL_LEAPT);
        assert_int_equal(vgi_alarm_wall_leap_ms(&w), i * DAY_MS);
        vg_fake_clock_advance_ms(&fake, VGI_WALL_STANDS_MS - 1);
        assert_int_equal(look(), VGI_WALL_SAME);
    }
    assert_int_equal(now(), STOOD_MS + 100LL * (VGI_WALL_STANDS_MS - 1));
}

static void a_small_step_is_followed_at_once(void **unused)
{
    (void)unused;
    begin(VGI_WALL_STANDS_MS);
    fake.wall.ms += MINUTE_MS;
    assert_int_equal(look(), VGI_WALL_SAME);
    assert_int_equal(now(), fake.wall.ms);
    fake.wall.ms -= MINUTE_MS;
    assert_int_equal(look(), VGI_WALL_SAME);
    assert_int_equal(now(), fake.wall.ms);
}

static void a_time_that_has_not_stood_is_left_at_once(void **unused)
{
    (void)unused;
    begin(VGI_WALL_STANDS_MS - 1);
    fake.wall.ms += DAY_MS;
    assert_int_equal(look(), VGI_WALL_FOLLOWED);
    assert_int_equal(now(), fake.wall.ms);
    /* Nor has this one stood. */
    vg_fake_clock_advance_ms(&fake, VGI_WALL_STANDS_MS - 1);
    fake.wall.ms -= DAY_MS;
    assert_int_equal(look(), VGI_WALL_FOLLOWED);
    assert_int_equal(vgi_alarm_wall_leap_ms(&w), -DAY_MS);
    assert_int_equal(now(), fake.wall.ms);
}

static void a_suspended_machine_has_not_leapt(void **unused)
{
    (void)unused;
    begin(VGI_WALL_STANDS_MS);
    fake.wall.ms += DAY_MS;
    fake.boot.ns += DAY_MS * VG_NS_PER_MS; /* the monotonic clock stands */
    assert_int_equal(look(), VGI_WALL_SAME);
    assert_int_equal(now(), fake.wall.ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leap_that_does_not_stand_is_not_seen),
        cmocka_unit_test(a_leap_that_stands_is_followed),
        cmocka_unit_test(a_clock_that_leaps_on_and_on_is_not_followed),
        cmocka_unit_test(a_small_step_is_followed_at_once),
        cmocka_unit_test(a_time_that_has_not_stood_is_left_at_once),
        cmocka_unit_test(a_suspended_machine_has_not_leapt),
    };
    return cmocka_run_group_tests_name("wall", tests, NULL, NULL);
}
