/* Threads, locks, time and randomness of the programs: pthread_*, usleep, clock_gettime, getrandom.
 *
 * A lock lives in the first bytes of the program's own pthread_mutex_t, all zero when it is free, so
 * static initialisers work. Outside a process (before the world begins) the real functions answer. */
#include "sim.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct mutex {
    struct sim_task *owner;
    uint32_t depth, waiters;
};
static_assert(sizeof(struct mutex) <= sizeof(pthread_mutex_t), "a lock fits");

int __real_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a);
int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *a);
int __wrap_pthread_cond_destroy(pthread_cond_t *c);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
                                  const struct timespec *until);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_join(pthread_t t, void **result);
pthread_t __wrap_pthread_self(void);
int __wrap_usleep(useconds_t us);
int __real_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_clock_gettime(clockid_t id, struct timespec *out);
ssize_t __real_getrandom(void *to, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags);

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a)
{
    (void)a;
    memset(m, 0, sizeof *m);
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *m)
{
    (void)m;
    return 0;
}

void sim_mutex_drop(void *arg)
{
    struct mutex *m = arg;
    m->owner = NULL;
    m->depth = 0;
    if (m->waiters > 0) {
        sim_wake(m, true);
    }
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *arg)
{
    struct mutex *m = (struct mutex *)(void *)arg;
    struct sim_task *me = sim_task();
    if (me == NULL) {
        return 0;
    }
    while (m->owner != NULL && m->owner != me) {
        m->waiters++;
        (void)sim_wait(m, SIM_NEVER);
        m->waiters--;
    }
    if (m->owner == NULL) {
        m->owner = me;
        sim_task_held(me, m, true);
    }
    m->depth++;
    return 0;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *arg)
{
    const struct mutex *m = (const struct mutex *)(const void *)arg;
    if (m->owner != NULL && m->owner != sim_task()) {
        return EBUSY;
    }
    return __wrap_pthread_mutex_lock(arg);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *arg)
{
    struct mutex *m = (struct mutex *)(void *)arg;
    if (sim_task() != NULL && m->owner == sim_task() && --m->depth == 0) {
        sim_task_held(m->owner, m, false);
        sim_mutex_drop(m);
    }
    return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *a)
{
    (void)a;
    memset(c, 0, sizeof *c);
    return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *c)
{
    (void)c;
    return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
    sim_wake(c, false);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
    sim_wake(c, true);
    return 0;
}

static int wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t until_ns)
{
    (void)__wrap_pthread_mutex_unlock(m);
    bool woken = sim_wait(c, until_ns);
    (void)__wrap_pthread_mutex_lock(m);
    return woken ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    return wait_until(c, m, SIM_NEVER);
}

/* Every condition variable of the programs runs on CLOCK_MONOTONIC. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
                                  const struct timespec *until)
{
    int64_t mono = (int64_t)until->tv_sec * SIM_S + until->tv_nsec;
    return wait_until(c, m, sim_me()->host->booted_ns + mono);
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    (void)a;
    struct sim_task *task = sim_task_new(sim_me(), fn, arg);
    *t = (pthread_t)(uintptr_t)task;
    return 0;
}

int __wrap_pthread_join(pthread_t t, void **result)
{
    (void)result;
    sim_task_join((struct sim_task *)(uintptr_t)t);
    return 0;
}

pthread_t __wrap_pthread_self(void)
{
    return (pthread_t)(uintptr_t)sim_task();
}

int __wrap_usleep(useconds_t us)
{
    sim_sleep((int64_t)us * 1000);
    return 0;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
    const struct sim_proc *p = sim_me();
    if (p == NULL) {
        return __real_clock_gettime(id, out);
    }
    int64_t ns = sim_now - p->host->booted_ns;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
        ns = sim_now + (SIM_EPOCH_MS + p->host->wall_offset_ms) * SIM_MS;
    }
    out->tv_sec = (time_t)(ns / SIM_S);
    out->tv_nsec = (long)(ns % SIM_S);
    return 0;
}

ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags)
{
    if (sim_me() == NULL) {
        return __real_getrandom(to, len, flags);
    }
    uint8_t *at = to;
    for (size_t i = 0; i < len; i++) {
        at[i] = (uint8_t)vg_rng_next(sim_dice(SIM_DICE_KERNEL));
    }
    return (ssize_t)len;
}

/* ---- the clock object that a host's programs get ---- */

static struct vg_mono host_mono(void *self)
{
    return (struct vg_mono){sim_now - ((const struct sim_host *)self)->booted_ns};
}

static struct vg_boot host_boot(void *self)
{
    return (struct vg_boot){sim_now - ((const struct sim_host *)self)->booted_ns};
}

static struct vg_wall host_wall(void *self)
{
    const struct sim_host *h = self;
    return (struct vg_wall){SIM_EPOCH_MS + h->wall_offset_ms + sim_now / SIM_MS};
}

static bool host_synced(void *self)
{
    return ((const struct sim_host *)self)->synced;
}

/* Monotonic time begins at 1 s, as no kernel hands out 0. */
void sim_host_boot(struct sim_host *h)
{
    h->booted_ns = sim_now - SIM_S;
    h->boots++;
    (void)snprintf(h->boot_id, sizeof h->boot_id, "%08x-0000-4000-8000-%012x", (unsigned)h->number,
                   h->boots);
    h->clock = (struct vg_clock){host_mono, host_boot, host_wall, host_synced, h};
}
