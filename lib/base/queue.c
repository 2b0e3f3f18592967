/* A ring of fixed-size items under one mutex. The eventfd holds 1 while items wait and 0 otherwise,
 * so it may be watched level-triggered; both change under the mutex, so they disagree only from a
 * write that failed to the next push. */
#include "vigia/queue.h"
#include "vigia/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct vg_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int fd;
    bool closed;
    bool rung; /* fd is readable: something waits */
    size_t item_size, max, first, len;
    uint64_t refused;
    unsigned char *items;
};

enum vg_err vg_queue_new(size_t item_size, size_t max_items, struct vg_queue **out)
{
    if (item_size == 0 || max_items == 0 || max_items > PTRDIFF_MAX / item_size) {
        return VG_E_RANGE;
    }
    struct vg_queue *q = calloc(1, sizeof *q);
    if (q == NULL) {
        return VG_E_NOMEM;
    }
    q->item_size = item_size;
    q->max = max_items;
    q->items = calloc(max_items, item_size);
    if (q->items == NULL) {
        free(q);
        return VG_E_NOMEM;
    }
    q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->fd < 0) {
        free(q->items);
        free(q);
        return VG_E_IO;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&q->lock, NULL);
    *out = q;
    return VG_OK;
}

void vg_queue_free(struct vg_queue *q)
{
    if (q == NULL) {
        return;
    }
    close(q->fd);
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q->items);
    free(q);
}

enum vg_err vg_queue_push(struct vg_queue *q, const void *item)
{
    enum vg_err result = VG_OK;
    pthread_mutex_lock(&q->lock);
    if (q->closed) {
        result = VG_E_CLOSED;
    } else if (q->len == q->max) {
        q->refused++;
        result = VG_E_FULL;
    } else {
        memcpy(q->items + (q->first + q->len) % q->max * q->item_size, item, q->item_size);
        q->len++;
        if (!q->rung) { /* also where that has failed for the item before */
            q->rung = eventfd_write(q->fd, 1) == 0;
        }
        pthread_cond_signal(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    return result;
}

size_t vg_queue_pop(struct vg_queue *q, void *items, size_t max)
{
    unsigned char *to = items;
    pthread_mutex_lock(&q->lock);
    size_t count = q->len < max ? q->len : max;
    for (size_t i = 0; i < count; i++) {
        memcpy(to + i * q->item_size, q->items + q->first * q->item_size, q->item_size);
        q->first = (q->first + 1) % q->max;
    }
    q->len -= count;
    if (q->rung && q->len == 0) {
        eventfd_t ignored;
        q->rung = eventfd_read(q->fd, &ignored) != 0;
    }
    pthread_mutex_unlock(&q->lock);
    return count;
}

bool vg_queue_wait(struct vg_queue *q, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ms > 0) {
        int64_t ns = until.tv_nsec + (int64_t)timeout_ms * VG_NS_PER_MS;
        until.tv_sec += (time_t)(ns / VG_NS_PER_S);
        until.tv_nsec = (long)(ns % VG_NS_PER_S);
    }
    pthread_mutex_lock(&q->lock);
    int status = 0;
    while (q->len == 0 && !q->closed && status != ETIMEDOUT) {
        status = timeout_ms < 0 ? pthread_cond_wait(&q->changed, &q->lock)
                                : pthread_cond_timedwait(&q->changed, &q->lock, &until);
    }
    bool waiting = q->len > 0;
    pthread_mutex_unlock(&q->lock);
    return waiting;
}

void vg_queue_close(struct vg_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

bool vg_queue_closed(struct vg_queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

int vg_queue_fd(const struct vg_queue *q)
{
    return q->fd;
}

size_t vg_queue_len(struct vg_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t len = q->len;
    pthread_mutex_unlock(&q->lock);
    return len;
}

uint64_t vg_queue_refused(struct vg_queue *q)
{
    pthread_mutex_lock(&q->lock);
    uint64_t refused = q->refused;
    pthread_mutex_unlock(&q->lock);
    return refused;
}
