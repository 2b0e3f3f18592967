/* An uplink whose name server does not answer. getaddrinfo(3) is the test's own (--wrap): a look-up
 * of a name lasts until the test ends it. */
#include "vigia/uplink.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Longest look-up, so that whoever waits for it fails instead of hanging. */
#define LOOK_UP_S  20
#define PATIENCE_S 60

static sem_t asked, answer, ended;
static pthread_key_t thread_end;
static atomic_bool looking;

static bool wait_for(sem_t *what, int seconds)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    int status;
    while ((status = sem_timedwait(what, &until)) != 0 && errno == EINTR) {
    }
    return status == 0;
}

static void on_thread_end(void *arg)
{
    (void)sem_post(arg);
}

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    if ((hints->ai_flags & AI_NUMERICHOST) != 0) {
        return __real_getaddrinfo(host, port, hints, out);
    }
    (void)pthread_setspecific(thread_end, &ended);
    atomic_store(&looking, true);
    (void)sem_post(&asked);
    (void)wait_for(&answer, LOOK_UP_S);
    atomic_store(&looking, false);
    return EAI_AGAIN;
}

static void fetch(void *arg, enum vg_uplink_lane lane, size_t max)
{
    (void)arg;
    (void)lane;
    (void)max;
}

static void settle(void *arg, enum vg_uplink_lane lane, const struct vg_uplink_outcome *outcomes,
                   size_t count)
{
    (void)arg;
    (void)lane;
    (void)outcomes;
    (void)count;
}

static void closing_waits_for_no_look_up(void **state)
{
    (void)state;
    struct vg_uplink_options options;
    const struct vg_uplink_feed feed = {.fetch = fetch, .settle = settle};
    struct vg_loop *loop;
    struct vg_uplink_net *net;
    struct vg_uplink *uplink;
    struct vg_error err;
    assert_int_equal(vg_loop_new(vg_clock_system(), 4, 4, &loop), VG_OK);
    assert_int_equal(vg_uplink_net_new(loop, 1, &net, &err), VG_OK);
    vg_uplink_options_init(&options);
    assert_true(vg_str_copy("pi-42", options.identity, sizeof options.identity));
    options.psk_len = VG_UPLINK_PSK_MAX;
    options.collector_count = 1;
    assert_true(vg_str_copy("silent.example", options.collectors[0].host,
                            sizeof options.collectors[0].host));
    options.collectors[0].port = 5684;
    assert_int_equal(vg_uplink_open(net, &options, &feed, &uplink, &err), VG_OK);
    vg_uplink_start(uplink);
    assert_true(wait_for(&asked, PATIENCE_S));

    vg_uplink_close(uplink);
    vg_uplink_net_free(net);
    vg_loop_free(loop);
    assert_true(atomic_load(&looking));

    /* Answered after all: the thread cleans up behind itself. */
    assert_int_equal(sem_post(&answer), 0);
    assert_true(wait_for(&ended, PATIENCE_S));
}

int main(void)
{
    if (sem_init(&asked, 0, 0) != 0 || sem_init(&answer, 0, 0) != 0 ||
        sem_init(&ended, 0, 0) != 0 || pthread_key_create(&thread_end, on_thread_end) != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_waits_for_no_look_up),
    };
    return cmocka_run_group_tests_name("an uplink whose name server is silent", tests, NULL, NULL);
}
