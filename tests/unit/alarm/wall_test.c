/* How long the wall clock has stood: what the alarm processor asks before it sets a time back. */
#include "../../../collector/alarm/wall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DAY_MS    86400000LL
#define START_MS  1793194820123LL
#define STANDS_MS 5000
#define MINUTE_MS 60000

static struct vg_fake_clock fake;
static struct vgi_wall w;

static int64_t look(void)
{
    return vgi_alarm_wall_look(&w, fake.wall, fake.boot);
}

static bool stands(void)
{
    return vgi_alarm_wall_stands(&w, fake.boot, STANDS_MS);
}

static void begin(void)
{
    vg_fake_clock_init(&fake, START_MS);
    w = (struct vgi_wall){.begun = false};
    assert_false(stands());
    assert_int_equal(look(), 0);
}

/* As a clock without a battery, which is right only some time after. */
static void a_clock_at_the_start_does_not_stand_yet(void **unused)
{
    (void)unused;
    begin();
    assert_false(stands());
    vg_fake_clock_advance_ms(&fake, STANDS_MS - 1);
    assert_int_equal(look(), 0);
    assert_false(stands());
    vg_fake_clock_advance_ms(&fake, 1);
    assert_int_equal(look(), 0);
    assert_true(stands());
}

static void a_clock_that_leapt_stands_no_more_until_it_has_stood_anew(void **unused)
{
    static const int64_t leaps[] = {DAY_MS, -DAY_MS, MINUTE_MS + 1, -MINUTE_MS - 1};
    (void)unused;
    for (size_t i = 0; i < sizeof(leaps) / sizeof(leaps[0]); i++) {
        begin();
        vg_fake_clock_advance_ms(&fake, STANDS_MS);
        assert_int_equal(look(), 0);
        assert_true(stands());
        fake.wall.ms += leaps[i];
        assert_int_equal(look(), leaps[i]);
        assert_int_equal(look(), 0);
        assert_false(stands());
        vg_fake_clock_advance_ms(&fake, STANDS_MS - 1);
        assert_false(stands());
        fake.wall.ms -= leaps[i]; /* and the way back is a leap, too */
        assert_int_equal(look(), -leaps[i]);
        vg_fake_clock_advance_ms(&fake, STANDS_MS - 1);
        assert_int_equal(look(), 0);
        assert_false(stands());
        vg_fake_clock_advance_ms(&fake, 1);
        assert_true(stands());
    }
}

static void a_clock_that_leaps_on_and_on_never_stands(void **unused)
{
    (void)unused;
    begin();
    for (int i = 0; i < 100; i++) {
        fake.wall.ms += DAY_MS;
        assert_int_equal(look(), DAY_MS);
        vg_fake_clock_advance_ms(&fake, STANDS_MS - 1);
        assert_int_equal(look(), 0);
        assert_false(stands());
    }
}

static void a_small_step_is_no_leap(void **unused)
{
    (void)unused;
    begin();
    vg_fake_clock_advance_ms(&fake, STANDS_MS);
    for (int i = 0; i < 10; i++) {
        fake.wall.ms += MINUTE_MS;
        assert_int_equal(look(), 0);
        assert_true(stands());
    }
    fake.wall.ms -= MINUTE_MS;
    assert_int_equal(look(), 0);
    assert_true(stands());
}

static void a_suspended_machine_has_not_leapt(void **unused)
{
    (void)unused;
    begin();
    vg_fake_clock_advance_ms(&fake, STANDS_MS);
    fake.wall.ms += DAY_MS;
    fake.boot.ns += DAY_MS * VG_NS_PER_MS; /* the monotonic clock stands */
    assert_int_equal(look(), 0);
    assert_true(stands());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_at_the_start_does_not_stand_yet),
        cmocka_unit_test(a_clock_that_leapt_stands_no_more_until_it_has_stood_anew),
        cmocka_unit_test(a_clock_that_leaps_on_and_on_never_stands),
        cmocka_unit_test(a_small_step_is_no_leap),
        cmocka_unit_test(a_suspended_machine_has_not_leapt),
    };
    return cmocka_run_group_tests_name("wall", tests, NULL, NULL);
}
