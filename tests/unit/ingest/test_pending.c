/* Requests that wait for the log, and messages that come again. */
#include "../../../collector/ingest/pending.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct vg_mono at_ms(int64_t ms)
{
    return (struct vg_mono){ms * VG_NS_PER_MS};
}

static void the_pool_gives_as_many_as_it_has(void **state)
{
    struct vgi_pool pool;
    char owner;
    (void)state;

    assert_int_equal(vgi_pool_init(&pool, 2, 0, &owner), VG_OK);
    struct vgi_pending *a = vgi_pool_take(&pool, false), *b = vgi_pool_take(&pool, false);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_equal(a->owner, &owner);
    assert_null(vgi_pool_take(&pool, false));
    assert_int_equal(pool.used, 2);
    a->mid = 7;
    vgi_pool_give(&pool, a);
    struct vgi_pending *again = vgi_pool_take(&pool, false);
    assert_ptr_equal(again, a);
    assert_int_equal(again->mid, 0);
    assert_ptr_equal(again->owner, &owner);
    vgi_pool_give(&pool, b);
    vgi_pool_give(&pool, again);
    assert_int_equal(pool.used, 0);
    vgi_pool_done(&pool);
}

static void a_part_of_the_pool_is_kept_for_urgent_requests(void **state)
{
    struct vgi_pool pool;
    struct vgi_pending *p[4];
    (void)state;

    assert_int_equal(vgi_pool_init(&pool, 4, 1, NULL), VG_OK);
    for (int i = 0; i < 3; i++) {
        p[i] = vgi_pool_take(&pool, false);
        assert_non_null(p[i]);
        assert_false(p[i]->urgent);
    }
    assert_null(vgi_pool_take(&pool, false));
    p[3] = vgi_pool_take(&pool, true);
    assert_non_null(p[3]);
    assert_true(p[3]->urgent);
    assert_null(vgi_pool_take(&pool, true));
    vgi_pool_give(&pool, p[0]); /* the place that is free now is the kept one */
    assert_null(vgi_pool_take(&pool, false));
    vgi_pool_give(&pool, p[1]);
    p[1] = vgi_pool_take(&pool, false);
    assert_non_null(p[1]);
    for (int i = 1; i < 4; i++) {
        vgi_pool_give(&pool, p[i]);
    }
    vgi_pool_done(&pool);
}

static void held_requests_come_in_order_and_leave_from_anywhere(void **state)
{
    struct vgi_pool pool;
    struct vgi_pending *p[4];
    (void)state;

    assert_int_equal(vgi_pool_init(&pool, 4, 0, NULL), VG_OK);
    assert_null(vgi_pool_first_held(&pool));
    for (int i = 0; i < 4; i++) {
        p[i] = vgi_pool_take(&pool, false);
        vgi_pool_hold(&pool, p[i]);
    }
    vgi_pool_unhold(&pool, p[1]);
    vgi_pool_unhold(&pool, p[1]); /* a second time: nothing */
    assert_ptr_equal(vgi_pool_first_held(&pool), p[0]);
    vgi_pool_unhold(&pool, p[0]);
    assert_ptr_equal(vgi_pool_first_held(&pool), p[2]);
    vgi_pool_unhold(&pool, p[3]);
    vgi_pool_hold(&pool, p[0]);
    vgi_pool_unhold(&pool, p[2]);
    assert_ptr_equal(vgi_pool_first_held(&pool), p[0]);
    vgi_pool_unhold(&pool, p[0]);
    assert_null(vgi_pool_first_held(&pool));
    vgi_pool_done(&pool);
}

static void a_repeated_message_finds_the_request_that_waits(void **state)
{
    struct vgi_pool pool;
    struct vgi_exchanges x = {.waiting = NULL};
    (void)state;

    assert_int_equal(vgi_pool_init(&pool, 3, 0, NULL), VG_OK);
    struct vgi_pending *a = vgi_pool_take(&pool, false), *b = vgi_pool_take(&pool, false),
                       *c = vgi_pool_take(&pool, false);
    a->mid = 10;
    b->mid = 11;
    c->mid = 12;
    vgi_exchange_add(&x, a);
    vgi_exchange_add(&x, b);
    vgi_exchange_add(&x, c);
    assert_ptr_equal(vgi_exchange_waiting(&x, 11), b);
    assert_null(vgi_exchange_waiting(&x, 13));
    vgi_exchange_remove(&x, b);
    vgi_exchange_remove(&x, b);
    assert_null(vgi_exchange_waiting(&x, 11));
    assert_int_equal(x.waiting_count, 2);
    vgi_exchange_remove(&x, c);
    vgi_exchange_remove(&x, a);
    assert_int_equal(x.waiting_count, 0);
    vgi_pool_done(&pool);
}

static void a_stored_message_is_known_for_an_exchange_lifetime(void **state)
{
    struct vgi_exchanges x = {.waiting = NULL};
    (void)state;

    assert_false(vgi_exchange_was_stored(&x, 0, at_ms(0)));
    vgi_exchange_stored(&x, 500, at_ms(1000));
    assert_true(vgi_exchange_was_stored(&x, 500, at_ms(1000)));
    assert_true(vgi_exchange_was_stored(&x, 500, at_ms(1000 + VGI_RECENT_LIFE_MS - 1)));
    assert_false(vgi_exchange_was_stored(&x, 500, at_ms(1000 + VGI_RECENT_LIFE_MS)));
    assert_false(vgi_exchange_was_stored(&x, 501, at_ms(1000)));
}

static void the_oldest_stored_message_is_forgotten_first(void **state)
{
    struct vgi_exchanges x = {.waiting = NULL};
    (void)state;

    for (unsigned mid = 0; mid <= VGI_RECENT_MAX; mid++) {
        vgi_exchange_stored(&x, (uint16_t)mid, at_ms(0));
    }
    assert_false(vgi_exchange_was_stored(&x, 0, at_ms(0)));
    assert_true(vgi_exchange_was_stored(&x, 1, at_ms(0)));
    assert_true(vgi_exchange_was_stored(&x, VGI_RECENT_MAX, at_ms(0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pool_gives_as_many_as_it_has),
        cmocka_unit_test(a_part_of_the_pool_is_kept_for_urgent_requests),
        cmocka_unit_test(held_requests_come_in_order_and_leave_from_anywhere),
        cmocka_unit_test(a_repeated_message_finds_the_request_that_waits),
        cmocka_unit_test(a_stored_message_is_known_for_an_exchange_lifetime),
        cmocka_unit_test(the_oldest_stored_message_is_forgotten_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
