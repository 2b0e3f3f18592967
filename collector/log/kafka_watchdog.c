/* The watchdog thread: sleeps until a call begins, then until that call's deadline. */
#include "kafka_watchdog.h"
#include "vigia/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct vgi_kafka_watchdog {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    int64_t deadline_ms;
    const char *call;   /* NULL: none under way */
    int64_t allowed_ms; /* to that call */
    struct timespec until;
    bool stopping;
};

static bool reached(struct timespec until)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > until.tv_sec ||
           (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec);
}

static void *run(void *arg)
{
    struct vgi_kafka_watchdog *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        if (w->call == NULL) {
            pthread_cond_wait(&w->changed, &w->lock);
        } else if (!reached(w->until)) {
            pthread_cond_timedwait(&w->changed, &w->lock, &w->until);
        } else {
            vg_log_error("log-call-hangs", "call=%s after_ms=%" PRId64, w->call, w->allowed_ms);
            _exit(VG_EXIT_FAIL); /* no handlers: the thread that hangs may hold any lock */
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

enum vg_err vgi_kafka_watchdog_start(int64_t deadline_ms, struct vgi_kafka_watchdog **out,
                                     struct vg_error *err)
{
    struct vgi_kafka_watchdog *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a watchdog");
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    w->deadline_ms = deadline_ms;
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return vg_fail(err, VG_E_IO, "no thread for a watchdog");
    }
    *out = w;
    return VG_OK;
}

void vgi_kafka_watchdog_enter(struct vgi_kafka_watchdog *w, const char *call, int64_t own_ms)
{
    const int64_t overdue_ms = own_ms + VGI_KAFKA_OVERDUE_MS;
    pthread_mutex_lock(&w->lock);
    w->allowed_ms = own_ms > 0 && overdue_ms < w->deadline_ms ? overdue_ms : w->deadline_ms;
    clock_gettime(CLOCK_MONOTONIC, &w->until);
    w->until.tv_sec += (time_t)(w->allowed_ms / 1000);
    w->until.tv_nsec += (long)(w->allowed_ms % 1000) * 1000000L;
    if (w->until.tv_nsec >= 1000000000L) {
        w->until.tv_sec++;
        w->until.tv_nsec -= 1000000000L;
    }
    w->call = call;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void vgi_kafka_watchdog_leave(struct vgi_kafka_watchdog *w)
{
    pthread_mutex_lock(&w->lock);
    w->call = NULL;
    pthread_mutex_unlock(&w->lock);
}

void vgi_kafka_watchdog_stop(struct vgi_kafka_watchdog *w)
{
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
