/* A client whose brokers are all gone for a while, or not named: it finds them again. What the library
 * does in its threads is held up here where the order of two of them decides (librdkafka issues 5301
 * and 5606). */
#include "mock.h"
#include "proxy.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct fx {
    struct mock mock;
    struct proxy *proxy;
};

/* ---- the order of the client's threads ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool hold;                /* the next end of a Metadata answer waits for a bootstrap */
static int bootstraps;           /* asked for: all brokers are down */
static struct proxy *hang_up;    /* cut while the answer is held up */
static atomic_int servers_added; /* bootstrap servers were taken up */

void __real_rd_kafka_rebootstrap(rd_kafka_t *rk);
void __wrap_rd_kafka_rebootstrap(rd_kafka_t *rk);
void __wrap_rd_kafka_rebootstrap(rd_kafka_t *rk)
{
    __real_rd_kafka_rebootstrap(rk);
    pthread_mutex_lock(&lock);
    bootstraps++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Called at the end of each Metadata answer that is taken. */
int __real_rd_kafka_rebootstrap_tmr_stop(rd_kafka_t *rk);
int __wrap_rd_kafka_rebootstrap_tmr_stop(rd_kafka_t *rk);
int __wrap_rd_kafka_rebootstrap_tmr_stop(rd_kafka_t *rk)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    pthread_mutex_lock(&lock);
    if (hold) {
        const int before = hang_up == NULL ? 0 : bootstraps;
        hold = false;
        if (hang_up != NULL) {
            proxy_hang_up(hang_up);
        }
        while (bootstraps == before && pthread_cond_timedwait(&changed, &lock, &until) == 0) {
        }
    }
    pthread_mutex_unlock(&lock);
    return __real_rd_kafka_rebootstrap_tmr_stop(rk);
}

int __real_rd_kafka_brokers_add0(rd_kafka_t *rk, const char *brokerlist, int is_bootstrap);
int __wrap_rd_kafka_brokers_add0(rd_kafka_t *rk, const char *brokerlist, int is_bootstrap);
int __wrap_rd_kafka_brokers_add0(rd_kafka_t *rk, const char *brokerlist, int is_bootstrap)
{
    atomic_fetch_add(&servers_added, 1);
    return __real_rd_kafka_brokers_add0(rk, brokerlist, is_bootstrap);
}

static void hold_next_answer(struct proxy *cut)
{
    pthread_mutex_lock(&lock);
    hold = true;
    hang_up = cut;
    bootstraps = 0;
    pthread_mutex_unlock(&lock);
}

static int bootstraps_asked_for(void)
{
    pthread_mutex_lock(&lock);
    const int n = bootstraps;
    hold = false;
    pthread_mutex_unlock(&lock);
    return n;
}

/* ---- tests ---- */

static int setup(void **state)
{
    struct fx *fx = calloc(1, sizeof *fx);
    char url[64];
    mock_start(&fx->mock, 1);
    const char *port = strrchr(fx->mock.conf.url, ':') + 1;
    fx->proxy = proxy_start((int)strtol(port, NULL, 10));
    snprintf(url, sizeof url, "kafka:127.0.0.1:%d", proxy_port(fx->proxy));
    assert_int_equal(vg_dlog_conf_default(url, &fx->mock.conf), VG_OK);
    mock_open(&fx->mock);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fx *fx = *state;
    mock_stop(&fx->mock);
    proxy_stop(fx->proxy);
    free(fx);
    return 0;
}

static void ask_for_offsets(struct fx *fx)
{
    struct vg_error err;
    const int32_t partition = 0;
    int64_t end = -1;
    ok(vgi_kafka_offsets(fx->mock.log, TOPIC, &partition, 1, RD_KAFKA_OFFSET_SPEC_LATEST, &end,
                         &err),
       &err);
    assert_int_equal(end, 0);
}

/* Asks once; what is told does not matter. */
static void ask_for_the_topic(struct fx *fx, int timeout_ms)
{
    const struct vgi_kafka *k = fx->mock.log;
    const struct rd_kafka_metadata *found = NULL;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(k->admin, TOPIC, NULL);
    if (rd_kafka_metadata(k->admin, 0, rkt, &found, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_metadata_destroy(found);
    }
    rd_kafka_topic_destroy(rkt);
}

static void a_client_that_is_told_of_no_broker_keeps_the_one_it_has(void **state)
{
    struct fx *fx = *state;
    ask_for_offsets(fx);
    hold_next_answer(NULL);
    proxy_name_no_broker(fx->proxy, true);
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (proxy_named_none(fx->proxy) < 3 && vgi_now_ms() < until) {
        ask_for_the_topic(fx, 200);
    }
    proxy_name_no_broker(fx->proxy, false);
    assert_int_equal(bootstraps_asked_for(), 0);
    assert_true(proxy_named_none(fx->proxy) >= 3);
    ask_for_offsets(fx);
}

static void a_bootstrap_that_an_answer_overtakes_takes_place(void **state)
{
    struct fx *fx = *state;
    ask_for_offsets(fx);
    const int before = atomic_load(&servers_added);
    hold_next_answer(fx->proxy);
    ask_for_the_topic(fx, 10000);
    assert_true(bootstraps_asked_for() > 0); /* that it was overtaken */
    const int64_t until = vgi_now_ms() + DEADLINE_MS;
    while (atomic_load(&servers_added) == before) {
        assert_true(vgi_now_ms() < until);
        vgi_kafka_pause();
    }
    ask_for_offsets(fx);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_that_is_told_of_no_broker_keeps_the_one_it_has),
        TEST(a_bootstrap_that_an_answer_overtakes_takes_place),
    };
    return cmocka_run_group_tests_name("brokers", tests, NULL, NULL);
}
