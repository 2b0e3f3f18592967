/* The loop: descriptors, timers, and what handlers may do to them. */
#include "unit.h"
#include "vigia/loop.h"

#include <fcntl.h>
#include <sys/socket.h>

static struct vg_fake_clock fake;
static struct vg_loop *loop;

static int set_up(void **state)
{
    (void)state;
    vg_fake_clock_init(&fake, 0);
    return vg_loop_new(&fake.clock, 3, 4, &loop) == VG_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    vg_loop_free(loop);
    return 0;
}

static void turn(void)
{
    assert_int_equal(vg_loop_turn(loop, 0), VG_OK);
}

/* One end of a connected pair under watch, and what its handler saw. */
struct end {
    int fd, other;
    vg_watch_id id;
    int calls;
    unsigned events;
    struct end *unwatches; /* removed by the handler */
    struct end *pauses;
};

static void on_event(void *arg, unsigned events)
{
    struct end *e = arg;
    e->calls++;
    e->events = events;
    if (e->unwatches != NULL) {
        vg_loop_unwatch(loop, e->unwatches->id);
    }
    if (e->pauses != NULL) {
        vg_loop_rewatch(loop, e->pauses->id, 0);
    }
}

static void open_end(struct end *e, unsigned events)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    *e = (struct end){.fd = pair[0], .other = pair[1]};
    assert_int_equal(vg_loop_watch(loop, e->fd, events, on_event, e, &e->id), VG_OK);
    assert_true(e->id > 0);
}

static void close_end(struct end *e)
{
    vg_loop_unwatch(loop, e->id);
    close(e->fd);
    close(e->other);
}

static void send_byte(const struct end *e)
{
    assert_int_equal(write(e->other, "x", 1), 1);
}

static void a_descriptor_is_told_of_what_it_asked_for(void **state)
{
    (void)state;
    struct end e;
    open_end(&e, VG_LOOP_READ);
    turn();
    assert_int_equal(e.calls, 0);
    send_byte(&e);
    turn();
    turn();
    assert_int_equal(e.calls, 2); /* level-triggered */
    assert_int_equal(e.events, VG_LOOP_READ);
    vg_loop_rewatch(loop, e.id, VG_LOOP_READ | VG_LOOP_WRITE);
    vg_loop_rewatch(loop, e.id, VG_LOOP_READ | VG_LOOP_WRITE);
    turn();
    assert_int_equal(e.events, VG_LOOP_READ | VG_LOOP_WRITE);
    vg_loop_rewatch(loop, e.id, VG_LOOP_WRITE);
    turn();
    assert_int_equal(e.events, VG_LOOP_WRITE);
    close_end(&e);
}

static void a_hang_up_is_told_as_what_was_asked_for(void **state)
{
    (void)state;
    struct end e;
    open_end(&e, VG_LOOP_WRITE);
    close(e.other);
    turn();
    assert_int_equal(e.events, VG_LOOP_WRITE);
    e.other = dup(e.fd);
    close_end(&e);
}

static void a_paused_descriptor_is_silent_even_when_hung_up(void **state)
{
    (void)state;
    struct end e;
    open_end(&e, 0);
    close(e.other);
    turn();
    assert_int_equal(e.calls, 0);
    vg_loop_rewatch(loop, e.id, VG_LOOP_READ);
    turn();
    assert_int_equal(e.calls, 1);
    vg_loop_rewatch(loop, e.id, 0);
    turn();
    assert_int_equal(e.calls, 1);
    e.other = dup(e.fd);
    close_end(&e);
}

static void a_watch_removed_by_an_earlier_handler_is_not_called(void **state)
{
    (void)state;
    struct end a, b, again;
    open_end(&a, VG_LOOP_READ);
    open_end(&b, VG_LOOP_READ);
    a.unwatches = &b;
    b.unwatches = &a;
    send_byte(&a);
    send_byte(&b);
    turn();
    assert_int_equal(a.calls + b.calls, 1);
    struct end *gone = a.calls == 1 ? &b : &a;
    vg_watch_id old = gone->id;
    open_end(&again, VG_LOOP_READ); /* takes the freed slot */
    assert_int_not_equal(again.id, old);
    vg_loop_unwatch(loop, old); /* finds nobody */
    send_byte(&again);
    a.unwatches = b.unwatches = NULL;
    turn();
    assert_int_equal(again.calls, 1);
    close_end(&a);
    close_end(&b);
    close_end(&again);
}

static void a_watch_paused_by_an_earlier_handler_is_not_called(void **state)
{
    (void)state;
    struct end a, b;
    open_end(&a, VG_LOOP_READ);
    open_end(&b, VG_LOOP_READ);
    a.pauses = &b;
    b.pauses = &a;
    send_byte(&a);
    send_byte(&b);
    turn();
    assert_int_equal(a.calls + b.calls, 1);
    close_end(&a);
    close_end(&b);
}

static void bounds_are_refused_by_name(void **state)
{
    (void)state;
    struct end e[3];
    vg_watch_id id = -1;
    vg_timer_id timer = -1;
    for (int i = 0; i < 3; i++) {
        open_end(&e[i], VG_LOOP_READ);
    }
    assert_int_equal(vg_loop_watch(loop, 0, VG_LOOP_READ, on_event, NULL, &id), VG_E_FULL);
    vg_loop_unwatch(loop, e[2].id);
    assert_int_equal(vg_loop_watch(loop, e[0].fd, VG_LOOP_READ, on_event, NULL, &id), VG_E_EXISTS);
    int file = open("/proc/self/exe", O_RDONLY);
    assert_true(file >= 0);
    assert_int_equal(vg_loop_watch(loop, file, VG_LOOP_READ, on_event, NULL, &id), VG_E_IO);
    close(file);
    assert_int_equal(id, -1);
    for (int i = 0; i < 3; i++) {
        close_end(&e[i]);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(vg_loop_timer(loop, NULL, NULL, &timer), VG_OK);
    }
    vg_timer_id last = timer;
    assert_int_equal(vg_loop_timer(loop, NULL, NULL, &timer), VG_E_FULL);
    assert_int_equal(timer, last);
    vg_loop_timer_remove(loop, last);
    assert_int_equal(vg_loop_timer(loop, NULL, NULL, &timer), VG_OK);
    assert_int_not_equal(timer, last);
    struct vg_loop *big;
    assert_int_equal(vg_loop_new(&fake.clock, VG_LOOP_SLOTS_MAX + 1, 0, &big), VG_E_RANGE);
    assert_int_equal(vg_loop_new(&fake.clock, 0, VG_LOOP_SLOTS_MAX + 1, &big), VG_E_RANGE);
    assert_int_equal(vg_loop_new(&fake.clock, 0, 0, &big), VG_OK);
    assert_int_equal(vg_loop_timer(big, NULL, NULL, &timer), VG_E_FULL);
    vg_loop_free(big);
    vg_loop_free(NULL);
}

static char fired[64];
static size_t fired_len;

struct tick {
    vg_timer_id id;
    char name;
    vg_timer_id stops, removes, moves;
    int again_in_ms; /* -1: no */
};

static void on_tick(void *arg)
{
    struct tick *t = arg;
    fired[fired_len++] = t->name;
    fired[fired_len] = '\0';
    vg_loop_timer_stop(loop, t->stops);
    vg_loop_timer_remove(loop, t->removes);
    if (t->moves != 0) {
        vg_loop_timer_in_ms(loop, t->moves, 5);
    }
    if (t->again_in_ms >= 0) {
        vg_loop_timer_in_ms(loop, t->id, t->again_in_ms);
    }
}

static void make_ticks(struct tick *t, int count)
{
    fired_len = 0;
    fired[0] = '\0';
    for (int i = 0; i < count; i++) {
        t[i] = (struct tick){.name = (char)('a' + i), .again_in_ms = -1};
        assert_int_equal(vg_loop_timer(loop, on_tick, &t[i], &t[i].id), VG_OK);
    }
}

static void advance(int64_t ms)
{
    vg_fake_clock_advance_ms(&fake, ms);
    turn();
}

static void timers_fire_once_in_order_of_time(void **state)
{
    (void)state;
    struct tick t[4];
    make_ticks(t, 4);
    vg_loop_timer_in_ms(loop, t[0].id, 30);
    vg_loop_timer_in_ms(loop, t[1].id, 10);
    vg_loop_timer_in_ms(loop, t[2].id, 20);
    vg_loop_timer_in_ms(loop, t[3].id, 10);
    advance(9);
    assert_string_equal(fired, "");
    advance(1);
    assert_string_equal(fired, "bd"); /* equal times: order of arming */
    advance(100);
    assert_string_equal(fired, "bdca");
    advance(100);
    assert_string_equal(fired, "bdca");
}

static void a_timer_moves_stops_and_comes_back(void **state)
{
    (void)state;
    struct tick t[4];
    make_ticks(t, 4);
    for (int i = 0; i < 4; i++) {
        vg_loop_timer_in_ms(loop, t[i].id, 10 + i);
    }
    vg_loop_timer_in_ms(loop, t[0].id, 50);
    vg_loop_timer_stop(loop, t[1].id);
    vg_loop_timer_stop(loop, t[1].id);
    advance(20);
    assert_string_equal(fired, "cd");
    vg_loop_timer_in_ms(loop, t[1].id, 40);
    vg_loop_timer_in_ms(loop, t[1].id, 5);
    advance(10);
    advance(20);
    assert_string_equal(fired, "cdba");
    vg_loop_timer_stop(loop, 0);
    vg_loop_timer_remove(loop, 0);
}

static void a_timer_that_arms_itself_in_the_past_waits_for_the_next_turn(void **state)
{
    (void)state;
    struct tick t[2];
    struct end e;
    make_ticks(t, 2);
    open_end(&e, VG_LOOP_READ);
    send_byte(&e);
    t[0].again_in_ms = 0;
    vg_loop_timer_in_ms(loop, t[0].id, -5);
    vg_loop_timer_in_ms(loop, t[1].id, 0);
    turn();
    assert_string_equal(fired, "ab");
    turn();
    assert_string_equal(fired, "aba");
    assert_int_equal(e.calls, 2);
    close_end(&e);
}

static void a_handler_may_stop_remove_and_move_other_due_timers(void **state)
{
    (void)state;
    struct tick t[4];
    make_ticks(t, 4);
    for (int i = 0; i < 4; i++) {
        vg_loop_timer_in_ms(loop, t[i].id, 0);
    }
    t[0].stops = t[1].id;
    t[0].removes = t[2].id;
    t[0].moves = t[3].id;
    turn();
    assert_string_equal(fired, "a");
    advance(5);
    assert_string_equal(fired, "ad");
}

static void many_timers_fire_in_order_whatever_the_order_of_arming(void **state)
{
    (void)state;
    enum { COUNT = 26 };
    struct vg_loop *many;
    struct tick t[COUNT];
    vg_loop_free(loop);
    assert_int_equal(vg_loop_new(&fake.clock, 0, COUNT, &many), VG_OK);
    loop = many;
    make_ticks(t, COUNT);
    for (int i = 0; i < COUNT; i++) {
        int at = i * 7 % COUNT;
        vg_loop_timer_in_ms(loop, t[at].id, at);
    }
    for (int i = 0; i < COUNT; i += 3) {
        vg_loop_timer_stop(loop, t[i].id);
    }
    advance(COUNT);
    assert_string_equal(fired, "bcefhiklnoqrtuwxz");
}

static void stop_ends_the_run(void *arg)
{
    (void)arg;
    vg_loop_stop(loop);
}

static void a_run_waits_for_its_timer_and_ends_on_stop(void **state)
{
    (void)state;
    vg_timer_id id;
    vg_loop_free(loop);
    assert_int_equal(vg_loop_new(vg_clock_system(), 1, 1, &loop), VG_OK);
    assert_ptr_equal(vg_loop_clock(loop), vg_clock_system());
    assert_int_equal(vg_loop_timer(loop, stop_ends_the_run, NULL, &id), VG_OK);
    struct vg_mono before = vg_now_mono(vg_clock_system());
    vg_loop_timer_in_ms(loop, id, 20);
    assert_int_equal(vg_loop_run(loop), VG_OK);
    assert_true(vg_mono_diff_ms(vg_now_mono(vg_clock_system()), before) >= 20);
    vg_loop_stop(loop); /* before the run: it does not begin */
    assert_int_equal(vg_loop_run(loop), VG_OK);
    vg_loop_timer_in_ms(loop, id, INT64_MAX / VG_NS_PER_S);
    assert_int_equal(vg_loop_turn(loop, 1), VG_OK);
}

#define IN_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_LOOP(a_descriptor_is_told_of_what_it_asked_for),
        IN_LOOP(a_hang_up_is_told_as_what_was_asked_for),
        IN_LOOP(a_paused_descriptor_is_silent_even_when_hung_up),
        IN_LOOP(a_watch_removed_by_an_earlier_handler_is_not_called),
        IN_LOOP(a_watch_paused_by_an_earlier_handler_is_not_called),
        IN_LOOP(bounds_are_refused_by_name),
        IN_LOOP(timers_fire_once_in_order_of_time),
        IN_LOOP(a_timer_moves_stops_and_comes_back),
        IN_LOOP(a_timer_that_arms_itself_in_the_past_waits_for_the_next_turn),
        IN_LOOP(a_handler_may_stop_remove_and_move_other_due_timers),
        IN_LOOP(many_timers_fire_in_order_whatever_the_order_of_arming),
        IN_LOOP(a_run_waits_for_its_timer_and_ends_on_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
