/* The queue between threads: order, bound, descriptor, closing. */
#include "unit.h"
#include "vigia/queue.h"

#include <poll.h>
#include <pthread.h>

static bool is_readable(const struct vg_queue *q)
{
    struct pollfd p = {.fd = vg_queue_fd(q), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void items_come_out_in_order_and_the_descriptor_follows(void **state)
{
    (void)state;
    struct vg_queue *q;
    int out[8];
    assert_int_equal(vg_queue_new(sizeof(int), 4, &q), VG_OK);
    assert_false(is_readable(q));
    assert_int_equal(vg_queue_pop(q, out, 8), 0);
    for (int round = 0; round < 3; round++) { /* the ring wraps */
        for (int i = 0; i < 3; i++) {
            assert_int_equal(vg_queue_push(q, &i), VG_OK);
        }
        assert_true(is_readable(q));
        assert_int_equal(vg_queue_len(q), 3);
        assert_int_equal(vg_queue_pop(q, out, 2), 2);
        assert_true(is_readable(q));
        assert_int_equal(vg_queue_pop(q, out + 2, 8), 1);
        assert_false(is_readable(q));
        assert_int_equal(out[0], 0);
        assert_int_equal(out[1], 1);
        assert_int_equal(out[2], 2);
    }
    vg_queue_free(q);
}

static void a_full_queue_refuses_and_counts(void **state)
{
    (void)state;
    struct vg_queue *q;
    int item = 1, out[4] = {0};
    assert_int_equal(vg_queue_new(sizeof item, 2, &q), VG_OK);
    assert_int_equal(vg_queue_push(q, &item), VG_OK);
    item = 2;
    assert_int_equal(vg_queue_push(q, &item), VG_OK);
    item = 3;
    assert_int_equal(vg_queue_push(q, &item), VG_E_FULL);
    assert_int_equal(vg_queue_push(q, &item), VG_E_FULL);
    assert_int_equal(vg_queue_refused(q), 2);
    assert_int_equal(vg_queue_pop(q, out, 4), 2);
    assert_int_equal(out[1], 2);
    vg_queue_free(q);
}

static void a_closed_queue_takes_nothing_but_gives_what_it_has(void **state)
{
    (void)state;
    struct vg_queue *q;
    int item = 1;
    assert_int_equal(vg_queue_new(sizeof item, 2, &q), VG_OK);
    assert_int_equal(vg_queue_push(q, &item), VG_OK);
    assert_false(vg_queue_closed(q));
    vg_queue_close(q);
    assert_true(vg_queue_closed(q));
    assert_int_equal(vg_queue_push(q, &item), VG_E_CLOSED);
    assert_true(vg_queue_wait(q, -1));
    assert_int_equal(vg_queue_pop(q, &item, 1), 1);
    assert_false(vg_queue_wait(q, -1));
    vg_queue_free(q);
}

static void a_wait_ends_when_its_time_is_over(void **state)
{
    (void)state;
    struct vg_queue *q;
    assert_int_equal(vg_queue_new(1, 1, &q), VG_OK);
    assert_false(vg_queue_wait(q, 0));
    assert_false(vg_queue_wait(q, 1));
    vg_queue_free(q);
}

static void sizes_of_zero_or_beyond_memory_are_refused(void **state)
{
    (void)state;
    struct vg_queue *q = NULL;
    assert_int_equal(vg_queue_new(0, 1, &q), VG_E_RANGE);
    assert_int_equal(vg_queue_new(1, 0, &q), VG_E_RANGE);
    assert_int_equal(vg_queue_new(SIZE_MAX / 2, 3, &q), VG_E_RANGE);
    assert_null(q);
    vg_queue_free(NULL);
}

enum { PRODUCERS = 3, EACH = 20000 };

struct message {
    int producer, number;
};

struct producer {
    struct vg_queue *q;
    int number;
};

static void *produce(void *arg)
{
    const struct producer *p = arg;
    for (int i = 0; i < EACH;) {
        struct message m = {p->number, i};
        if (vg_queue_push(p->q, &m) == VG_OK) {
            i++;
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void several_threads_lose_and_reorder_nothing(void **state)
{
    (void)state;
    struct vg_queue *q;
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    int next[PRODUCERS] = {0};
    assert_int_equal(vg_queue_new(sizeof(struct message), 64, &q), VG_OK);
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){q, i};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (int got = 0; got < PRODUCERS * EACH;) {
        struct message m[16];
        assert_true(vg_queue_wait(q, 30000));
        size_t count = vg_queue_pop(q, m, 16);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(m[i].number, next[m[i].producer]++);
        }
        got += (int)count;
    }
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(vg_queue_len(q), 0);
    vg_queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order_and_the_descriptor_follows),
        cmocka_unit_test(a_full_queue_refuses_and_counts),
        cmocka_unit_test(a_closed_queue_takes_nothing_but_gives_what_it_has),
        cmocka_unit_test(a_wait_ends_when_its_time_is_over),
        cmocka_unit_test(sizes_of_zero_or_beyond_memory_are_refused),
        cmocka_unit_test(several_threads_lose_and_reorder_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
