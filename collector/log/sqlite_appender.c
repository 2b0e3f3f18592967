/* The appender: a bounded queue and a thread that commits whatever waits in it, in flights.
 *
 *   caller ─append─► queue ─► flight ─► done ─dispatch─► verdict callbacks on the caller's thread
 *                         thread: begin, put…, commit
 *
 * A flight is whatever came while the last one was being synced, so a lone record waits for nobody
 * and a flood shares its syncs. What one call appends is one item: it is queued, written in one
 * transaction, timed out and told as a whole, so nothing of it is ever stored without the rest.
 * When nothing waits, the thread applies the retention in small steps. */
#include "sqlite_db.h"

#include "bounds.h"

#include "vigia/fault.h"
#include "vigia/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define FLIGHT_MAX    8192 /* records of one commit, or one item more */
#define FLIGHT_BYTES  (4 << 20)
#define FLIGHT_MS     15   /* time to write them before the commit: others wait for the lock */
#define FLIGHT_LOOK   256  /* items between two looks at the clock */
#define GAP_US        300  /* between two commits, so that other writers get the lock */
#define UPKEEP_MS     5000 /* between two looks whether something is to be trimmed */
#define UPKEEP_STEPS  10   /* at once; together they remove more rows than a flight adds */
#define CHECKPOINT_AT 2000 /* frames: 8 MB of WAL */

struct piece {
    uint32_t klen, vlen;
    bool tombstone;
};

struct item {
    struct item *next;
    vg_dlog_verdict_fn *fn;
    void *arg;
    int64_t deadline;
    struct vg_dlog_verdict verdict;
    enum vg_topic topic;
    enum vg_dlog_room room;
    bool told; /* the verdict was given when the deadline passed */
    size_t weight;
    size_t count;
    struct piece pieces[]; /* and behind them key and value of each */
};

struct list {
    struct item *head, *tail;
};

struct appender {
    const struct vgi_sqlite *log;
    struct vgi_writer w; /* the thread's */
    pthread_t thread;
    int fd;
    size_t pending; /* the caller's */

    pthread_mutex_t mutex; /* all below */
    pthread_cond_t wake;
    struct list queue, flight, done;
    struct vgi_bounds held; /* queue + flight + done */
    bool stop, fatal;
    struct vg_error why;
    uint64_t forced; /* unread records that max_bytes removed */
};

static void push(struct list *l, struct item *it)
{
    it->next = NULL;
    if (l->tail == NULL) {
        l->head = it;
    } else {
        l->tail->next = it;
    }
    l->tail = it;
}

static struct item *pop(struct list *l)
{
    struct item *it = l->head;
    if (it != NULL) {
        l->head = it->next;
        if (l->head == NULL) {
            l->tail = NULL;
        }
    }
    return it;
}

/* Puts `front` before what is in `l`. */
static void prepend(struct list *l, struct list *front)
{
    if (front->tail != NULL) {
        front->tail->next = l->head;
        l->head = front->head;
        l->tail = l->tail == NULL ? front->tail : l->tail;
        *front = (struct list){NULL, NULL};
    }
}

/* ---- the thread ---- */

/* With the mutex held. */
static void take_flight(struct appender *a)
{
    size_t n = 0, bytes = 0;
    while (a->queue.head != NULL && n < FLIGHT_MAX && bytes < FLIGHT_BYTES) {
        struct item *it = pop(&a->queue);
        bytes += it->weight;
        n += it->count;
        push(&a->flight, it);
    }
}

static enum vg_err write_item(struct appender *a, struct item *it, int64_t now,
                              struct vg_error *err)
{
    const char *at = (const char *)&it->pieces[it->count];
    enum vg_err rc = VG_OK;
    for (size_t i = 0; i < it->count && rc == VG_OK; i++) {
        const struct piece *p = &it->pieces[i];
        const struct vg_span key = {at, p->klen};
        const struct vg_span value = {p->tombstone ? NULL : at + p->klen, p->vlen};
        rc = vgi_writer_put(&a->w, it->topic, now, key, value, &it->verdict.offset, err);
        at += p->klen + p->vlen;
    }
    return rc;
}

/* Writes as much of the flight as its time allows; *rest is the first one left over. */
static enum vg_err write_flight(struct appender *a, struct item *first, struct item **rest,
                                struct vg_error *err)
{
    const int64_t now = vgi_wall_ms();
    enum vg_err rc = vgi_writer_begin(&a->w, err);
    if (rc != VG_OK) {
        return rc;
    }
    const int64_t until = vgi_now_ms() + FLIGHT_MS;
    unsigned n = 0;
    struct item *it = first;
    for (; it != NULL; it = it->next) {
        if (++n % FLIGHT_LOOK == 0 && vgi_now_ms() >= until) {
            break;
        }
        rc = write_item(a, it, now, err);
        if (rc != VG_OK) {
            vgi_writer_rollback(&a->w);
            return rc;
        }
    }
    *rest = it;
    if (VG_FAULT(LOG_GROUP_WRITTEN)) {
        vgi_writer_rollback(&a->w);
        return vg_fail(err, VG_E_AGAIN, "fault point");
    }
    rc = vgi_writer_commit(&a->w, err);
    (void)VG_FAULT(LOG_GROUP_COMMITTED);
    return rc;
}

static void tell(struct appender *a)
{
    const uint64_t one = 1;
    const ssize_t ignored = write(a->fd, &one, sizeof one);
    (void)ignored; /* full: it is readable already */
}

/* Sorts the flight after a commit or its failure. With the mutex held. */
static void land_flight(struct appender *a, enum vg_err rc, const struct item *rest,
                        const struct vg_error *err)
{
    struct list again = {NULL, NULL};
    bool waits = rc == VG_E_AGAIN;
    for (struct item *it = pop(&a->flight); it != NULL; it = pop(&a->flight)) {
        waits = waits || it == rest;
        if (waits && !it->told) {
            push(&again, it);
            continue;
        }
        it->verdict.result = rc == VG_OK || rc == VG_E_FULL ? rc : VG_E_FATAL;
        it->verdict.maybe_persisted = it->verdict.result == VG_E_FATAL;
        if (rc != VG_OK) {
            it->verdict.offset = -1;
        }
        push(&a->done, it);
    }
    prepend(&a->queue, &again);
    if (rc != VG_OK && rc != VG_E_AGAIN && rc != VG_E_FULL) {
        a->fatal = true;
        a->why = *err;
    }
}

static void fly(struct appender *a)
{
    struct vg_error err = {.code = VG_OK};
    struct item *rest = NULL;
    take_flight(a);
    struct item *first = a->flight.head;
    pthread_mutex_unlock(&a->mutex);
    const enum vg_err rc = write_flight(a, first, &rest, &err);
    pthread_mutex_lock(&a->mutex);
    land_flight(a, rc, rest, &err);
    pthread_mutex_unlock(&a->mutex);
    tell(a);
    usleep(GAP_US);
    pthread_mutex_lock(&a->mutex);
}

/* Fails everything that came in after the end. With the mutex held. */
static void refuse_all(struct appender *a)
{
    for (struct item *it = pop(&a->queue); it != NULL; it = pop(&a->queue)) {
        it->verdict = (struct vg_dlog_verdict){VG_E_FATAL, false, 0, -1};
        push(&a->done, it);
    }
    tell(a);
}

/* Some steps of retention without the mutex; returns whether another one is due at once. */
static bool upkeep(struct appender *a)
{
    struct vg_dlog_retained sum = {0, 0};
    struct vg_error err;
    bool again = false;
    pthread_mutex_unlock(&a->mutex);
    enum vg_err rc = VG_OK;
    for (int i = 0; i < UPKEEP_STEPS && rc == VG_OK && (i == 0 || again); i++) {
        rc = vgi_trim_step(&a->w, vgi_wall_ms(), &sum, &again, &err);
        usleep(GAP_US);
    }
    if (sum.forced > 0) {
        vg_log_warn("log-trimmed-unread", "records=%" PRIu64 " reason=max_bytes", sum.forced);
    }
    pthread_mutex_lock(&a->mutex);
    a->forced += sum.forced;
    if (rc == VG_E_FATAL || rc == VG_E_CORRUPT) {
        a->fatal = true;
        a->why = err;
    }
    return rc == VG_OK && again;
}

static void wait_until(struct appender *a, int64_t until)
{
    const int64_t left = until - vgi_now_ms();
    if (left > 0) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += (time_t)(left / 1000);
        t.tv_nsec += (long)(left % 1000) * 1000000L;
        if (t.tv_nsec >= 1000000000L) {
            t.tv_sec++;
            t.tv_nsec -= 1000000000L;
        }
        pthread_cond_timedwait(&a->wake, &a->mutex, &t);
    }
}

static void *work(void *arg)
{
    struct appender *a = arg;
    int64_t upkeep_at = vgi_now_ms();
    pthread_mutex_lock(&a->mutex);
    while (!a->stop) {
        if (a->fatal) {
            refuse_all(a);
            pthread_cond_wait(&a->wake, &a->mutex);
            continue;
        }
        const bool busy = a->queue.head != NULL;
        if (busy) {
            fly(a);
        }
        const int64_t now = vgi_now_ms();
        /* Without slack the bound on the file still holds: then it is trimmed between flights. */
        if (now >= upkeep_at && !a->stop && !a->fatal) {
            const bool idle = a->queue.head == NULL;
            if (idle || vgi_over_limit(&a->w.conn)) {
                upkeep_at = upkeep(a) ? now : now + UPKEEP_MS;
            } else {
                upkeep_at = now + UPKEEP_MS / 5;
            }
        } else if (!busy && a->queue.head == NULL) {
            wait_until(a, upkeep_at);
        }
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* ---- the caller's side ---- */

static enum vg_err start(struct appender *a, struct vg_error *err)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->wake, &attr);
    pthread_condattr_destroy(&attr);
    const int rc = pthread_create(&a->thread, NULL, work, a);
    if (rc != 0) {
        pthread_cond_destroy(&a->wake);
        pthread_mutex_destroy(&a->mutex);
        return vg_fail(err, VG_E_NOMEM, "%s: no thread for an appender: %s", a->log->path,
                       strerror(rc));
    }
    return VG_OK;
}

enum vg_err vgi_sqlite_appender_open(void *log, void **out, struct vg_error *err)
{
    struct appender *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for an appender");
    }
    a->log = log;
    a->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enum vg_err rc = a->fd >= 0 ? VG_OK : vg_fail(err, VG_E_IO, "eventfd: %s", strerror(errno));
    if (rc == VG_OK) {
        rc = vgi_writer_open(a->log, CHECKPOINT_AT, &a->w, err);
    }
    if (rc == VG_OK) {
        rc = start(a, err);
        if (rc != VG_OK) {
            vgi_writer_close(&a->w);
        }
    }
    if (rc != VG_OK) {
        if (a->fd >= 0) {
            close(a->fd);
        }
        free(a);
        return rc;
    }
    *out = a;
    return VG_OK;
}

/* Within the bounds: counted in and queued. */
static enum vg_err enqueue(struct appender *a, struct item *it)
{
    enum vg_err rc = VG_OK;
    pthread_mutex_lock(&a->mutex);
    if (a->fatal) {
        rc = VG_E_FATAL;
    } else if (!vgi_bounds_take(&a->held, a->log->conf, it->room, it->count, it->weight)) {
        rc = VG_E_FULL;
    } else {
        const bool was_empty = a->queue.head == NULL;
        push(&a->queue, it);
        if (was_empty) {
            pthread_cond_signal(&a->wake);
        }
    }
    pthread_mutex_unlock(&a->mutex);
    return rc;
}

static char *put_bytes(char *to, struct vg_span bytes)
{
    if (bytes.len > 0 && bytes.at != NULL) {
        memcpy(to, bytes.at, bytes.len);
    }
    return to + bytes.len;
}

/* NULL: no memory. */
static struct item *item_new(const struct vg_dlog_entry *entries, size_t count)
{
    size_t size = sizeof(struct item) + count * sizeof(struct piece);
    for (size_t i = 0; i < count; i++) {
        size += entries[i].key.len + entries[i].value.len;
    }
    struct item *it = malloc(size);
    if (it == NULL) {
        return NULL;
    }
    *it = (struct item){.weight = size, .count = count};
    char *at = (char *)&it->pieces[count];
    for (size_t i = 0; i < count; i++) {
        const struct vg_dlog_entry *e = &entries[i];
        it->pieces[i] =
            (struct piece){(uint32_t)e->key.len, (uint32_t)e->value.len, e->value.at == NULL};
        at = put_bytes(put_bytes(at, e->key), e->value);
    }
    return it;
}

enum vg_err vgi_sqlite_append(void *self, enum vg_topic t, int32_t partition,
                              enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                              size_t count, vg_dlog_verdict_fn *fn, void *arg)
{
    struct appender *a = self;
    if (partition > 0) {
        return VG_E_RANGE;
    }
    if (!a->w.conn.topic[t].exists) {
        return VG_E_NOTFOUND;
    }
    struct item *it = item_new(entries, count);
    if (it == NULL) {
        return VG_E_FULL;
    }
    it->fn = fn;
    it->arg = arg;
    it->deadline = vgi_now_ms() + a->log->conf->verdict_ms;
    it->topic = t;
    it->room = room;
    const enum vg_err rc = enqueue(a, it);
    if (rc != VG_OK) {
        free(it);
        return rc;
    }
    a->pending += count;
    return VG_OK;
}

int vgi_sqlite_appender_fd(const void *self)
{
    return ((const struct appender *)self)->fd;
}

static void give_all(struct appender *a, struct list *l)
{
    struct list gone = {NULL, NULL};
    for (struct item *it = pop(l); it != NULL; it = pop(l)) {
        if (!it->told) {
            a->pending -= it->count;
            if (it->fn != NULL) {
                it->fn(it->arg, &it->verdict);
            }
        }
        push(&gone, it);
    }
    pthread_mutex_lock(&a->mutex);
    for (const struct item *it = gone.head; it != NULL; it = it->next) {
        vgi_bounds_give(&a->held, it->room, it->count, it->weight);
    }
    pthread_mutex_unlock(&a->mutex);
    for (struct item *it = pop(&gone); it != NULL; it = pop(&gone)) {
        free(it);
    }
}

/* Whom to tell that an item is too old, when the item itself is still being written. */
struct late {
    vg_dlog_verdict_fn *fn;
    void *arg;
    size_t count;
};

#define LATE_STEP 64 /* told in one dispatch */

/* What is too old leaves the queue; what is being written is told that it may be durable, and
 * forgotten when it lands. The lists are in order of arrival, so the first young one ends the
 * search. With the mutex held. */
static size_t expire(struct appender *a, struct list *unwritten, struct late *flying)
{
    const int64_t now = vgi_now_ms();
    size_t n = 0;
    struct item *it = a->flight.head;
    for (; it != NULL && it->deadline <= now && n < LATE_STEP; it = it->next) {
        if (!it->told) {
            it->told = true;
            flying[n++] = (struct late){it->fn, it->arg, it->count};
        }
    }
    while (a->queue.head != NULL && a->queue.head->deadline <= now) {
        it = pop(&a->queue);
        it->verdict = (struct vg_dlog_verdict){VG_E_TIMEOUT, false, 0, -1};
        push(unwritten, it);
    }
    return n;
}

enum vg_err vgi_sqlite_appender_dispatch(void *self, struct vg_error *err)
{
    struct appender *a = self;
    struct list done, unwritten = {NULL, NULL};
    struct late flying[LATE_STEP];
    uint64_t ignored;
    if (read(a->fd, &ignored, sizeof ignored) < 0 && errno != EAGAIN) {
        return vg_fail(err, VG_E_FATAL, "eventfd: %s", strerror(errno));
    }
    pthread_mutex_lock(&a->mutex);
    done = a->done;
    a->done = (struct list){NULL, NULL};
    const size_t n = expire(a, &unwritten, flying);
    const bool fatal = a->fatal;
    const struct vg_error why = a->why;
    if (fatal) {
        pthread_cond_signal(&a->wake); /* refuse what is queued */
    }
    pthread_mutex_unlock(&a->mutex);
    give_all(a, &done);
    give_all(a, &unwritten);
    for (size_t i = 0; i < n; i++) {
        const struct vg_dlog_verdict maybe = {VG_E_TIMEOUT, true, 0, -1};
        a->pending -= flying[i].count;
        if (flying[i].fn != NULL) {
            flying[i].fn(flying[i].arg, &maybe);
        }
    }
    if (n == LATE_STEP) {
        tell(a); /* there may be more */
    }
    return fatal ? vg_fail(err, VG_E_FATAL, "%s", why.text) : VG_OK;
}

size_t vgi_sqlite_appender_pending(const void *self)
{
    return ((const struct appender *)self)->pending;
}

static bool has(const struct list *l, const void *arg)
{
    const struct item *it = l->head;
    while (it != NULL && it->arg != arg) {
        it = it->next;
    }
    return it != NULL;
}

bool vgi_sqlite_appender_holds(void *self, const void *arg)
{
    struct appender *a = self;
    pthread_mutex_lock(&a->mutex);
    const bool held = has(&a->flight, arg) || has(&a->queue, arg);
    pthread_mutex_unlock(&a->mutex);
    return held;
}

uint64_t vgi_sqlite_appender_forced(void *self)
{
    struct appender *a = self;
    pthread_mutex_lock(&a->mutex);
    const uint64_t n = a->forced;
    pthread_mutex_unlock(&a->mutex);
    return n;
}

void vgi_sqlite_appender_close(void *self)
{
    struct appender *a = self;
    pthread_mutex_lock(&a->mutex);
    a->stop = true;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
    give_all(a, &a->done);
    for (struct item *it = a->queue.head; it != NULL; it = it->next) {
        it->verdict = (struct vg_dlog_verdict){VG_E_CLOSED, false, 0, -1};
    }
    give_all(a, &a->queue);
    vgi_writer_close(&a->w);
    pthread_cond_destroy(&a->wake);
    pthread_mutex_destroy(&a->mutex);
    close(a->fd);
    free(a);
}
