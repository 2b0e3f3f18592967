/* When the kernel's wall clock counts as synchronised. */
#include "../../../lib/base/clock_synced.h"
#include "unit.h"

/* What the kernel adds to the error bound while nobody corrects the clock: 500 ppm. */
#define GROWTH_US_PER_S 500
/* systemd-timesyncd: the longest time between two corrections (PollIntervalMaxSec=), each of which
 * sets the bound to 0. */
#define TIMESYNCD_POLL_S 2048

static bool synced_after_s(long seconds)
{
    struct timex t = {.status = STA_PLL, .maxerror = seconds * GROWTH_US_PER_S};
    return vgi_clock_synced(TIME_OK, &t);
}

static void a_clock_that_is_corrected_as_seldom_as_timesyncd_does_stays_synchronised(void **state)
{
    (void)state;
    assert_true(synced_after_s(0));
    assert_true(synced_after_s(TIMESYNCD_POLL_S));
    assert_true(synced_after_s(TIMESYNCD_POLL_S + 600)); /* and the first answers are lost */
}

static void a_clock_that_nobody_corrects_any_more_is_lost_after_two_polls(void **state)
{
    (void)state;
    assert_false(synced_after_s(2 * TIMESYNCD_POLL_S));
}

static void what_the_kernel_calls_unsynchronised_is(void **state)
{
    (void)state;
    struct timex t = {.status = STA_UNSYNC};
    assert_false(vgi_clock_synced(TIME_OK, &t));
    t.status = STA_PLL;
    assert_false(vgi_clock_synced(TIME_ERROR, &t));
    assert_false(vgi_clock_synced(-1, &t));
    assert_true(vgi_clock_synced(TIME_INS, &t)); /* a leap second is announced */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_is_corrected_as_seldom_as_timesyncd_does_stays_synchronised),
        cmocka_unit_test(a_clock_that_nobody_corrects_any_more_is_lost_after_two_polls),
        cmocka_unit_test(what_the_kernel_calls_unsynchronised_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
