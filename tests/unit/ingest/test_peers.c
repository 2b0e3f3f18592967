/* Request rate and sessions of a device. */
#include "../../../collector/ingest/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct vg_mono at_ms(int64_t ms)
{
    return (struct vg_mono){ms * VG_NS_PER_MS};
}

static void a_burst_passes_and_then_the_rate_holds(void **state)
{
    struct vgi_bucket b;
    (void)state;

    vgi_bucket_init(&b, 10, 3, at_ms(0));
    assert_int_equal(vgi_bucket_take(&b, at_ms(0)), 0);
    assert_int_equal(vgi_bucket_take(&b, at_ms(0)), 0);
    assert_int_equal(vgi_bucket_take(&b, at_ms(0)), 0);
    assert_int_equal(vgi_bucket_take(&b, at_ms(0)), 100); /* ms until the next one */
    assert_int_equal(vgi_bucket_take(&b, at_ms(50)), 50);
    assert_int_equal(vgi_bucket_take(&b, at_ms(100)), 0);
    assert_int_equal(vgi_bucket_take(&b, at_ms(100)), 100);
}

static void asking_often_does_not_slow_the_refill(void **state)
{
    struct vgi_bucket b;
    int passed = 0;
    (void)state;

    vgi_bucket_init(&b, 20, 1, at_ms(0));
    for (int ms = 1; ms <= 1000; ms++) {
        passed += vgi_bucket_take(&b, at_ms(ms)) == 0;
    }
    assert_int_equal(passed, 20); /* the burst of one at 1 ms, then one each 50 ms */
}

static void a_long_rest_fills_the_burst_and_no_more(void **state)
{
    struct vgi_bucket b;
    (void)state;

    vgi_bucket_init(&b, 1000, 2, at_ms(0));
    assert_int_equal(vgi_bucket_take(&b, at_ms(INT64_C(1) << 40)), 0);
    assert_int_equal(vgi_bucket_take(&b, at_ms(INT64_C(1) << 40)), 0);
    assert_true(vgi_bucket_take(&b, at_ms(INT64_C(1) << 40)) > 0);
}

static void a_bucket_without_burst_is_always_empty(void **state)
{
    struct vgi_bucket b;
    (void)state;

    vgi_bucket_init(&b, 5, 0, at_ms(0));
    assert_true(vgi_bucket_take(&b, at_ms(5000)) > 0);
}

static void a_third_session_ends_the_oldest(void **state)
{
    struct vgi_peer peer = {.session_count = 0};
    char a, b, c;
    (void)state;

    assert_null(vgi_peer_add(&peer, (struct vgi_session *)&a));
    assert_null(vgi_peer_add(&peer, (struct vgi_session *)&b));
    assert_ptr_equal(vgi_peer_add(&peer, (struct vgi_session *)&c), &a);
    assert_int_equal(peer.session_count, 2);
    vgi_peer_drop(&peer, (struct vgi_session *)&a); /* not there any more: nothing */
    assert_int_equal(peer.session_count, 2);
    vgi_peer_drop(&peer, (struct vgi_session *)&b);
    assert_ptr_equal(peer.sessions[0], &c);
}

static void a_device_keeps_its_bucket_over_sessions(void **state)
{
    struct vgi_peers *peers = NULL;
    struct vgi_peer *peer = NULL, *again = NULL;
    char s;
    (void)state;

    assert_int_equal(vgi_peers_new(2, 1, 1, &peers), VG_OK);
    assert_int_equal(vgi_peers_get(peers, "pi-1", at_ms(0), &peer), VG_OK);
    assert_int_equal(vgi_bucket_take(&peer->bucket, at_ms(0)), 0);
    assert_int_equal(vgi_peers_get(peers, "pi-1", at_ms(0), &again), VG_OK);
    assert_ptr_equal(again, peer);
    assert_true(vgi_bucket_take(&again->bucket, at_ms(0)) > 0);
    assert_null(vgi_peer_add(peer, (struct vgi_session *)&s));
    vgi_peers_remove(peers, "pi-1"); /* it has a session: stays */
    assert_ptr_equal(vgi_peers_find(peers, "pi-1"), peer);
    vgi_peer_drop(peer, (struct vgi_session *)&s);
    vgi_peers_remove(peers, "pi-1");
    assert_null(vgi_peers_find(peers, "pi-1"));
    vgi_peers_remove(peers, "pi-1");
    vgi_peers_free(peers);
}

static void one_peer_too_many_is_refused(void **state)
{
    struct vgi_peers *peers = NULL;
    struct vgi_peer *peer = NULL;
    char name[100];
    (void)state;

    assert_int_equal(vgi_peers_new(100, 1, 1, &peers), VG_OK);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(vgi_peers_get(peers, name, at_ms(0), &peer), VG_E_INVALID);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "pi-%d", i);
        assert_int_equal(vgi_peers_get(peers, name, at_ms(0), &peer), VG_OK);
    }
    assert_int_equal(vgi_peers_get(peers, "more", at_ms(0), &peer), VG_E_FULL);
    vgi_peers_remove(peers, "pi-50");
    assert_int_equal(vgi_peers_get(peers, "more", at_ms(0), &peer), VG_OK);
    vgi_peers_free(peers);
    vgi_peers_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_and_then_the_rate_holds),
        cmocka_unit_test(asking_often_does_not_slow_the_refill),
        cmocka_unit_test(a_long_rest_fills_the_burst_and_no_more),
        cmocka_unit_test(a_bucket_without_burst_is_always_empty),
        cmocka_unit_test(a_third_session_ends_the_oldest),
        cmocka_unit_test(a_device_keeps_its_bucket_over_sessions),
        cmocka_unit_test(one_peer_too_many_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
