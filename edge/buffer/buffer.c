/* The loop's side of the buffer: nothing here waits for the card. */
#include "inner.h"
#include "row.h"

#include "vigia/random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

void vg_buffer_options_init(struct vg_buffer_options *options)
{
    *options = (struct vg_buffer_options){
        .max_bytes = 64LL << 20,
        .max_age_ms = 30LL * 24 * 3600 * 1000,
        .group_ms = VG_BUFFER_GROUP_MS,
        .ring_bytes = {128 << 10, 256 << 10},
    };
}

static enum vg_err check_options(const struct vg_buffer_options *o, struct vg_error *err)
{
    if (!vg_sensor_id_valid(vg_span_str(o->device))) {
        return vg_fail(err, VG_E_RANGE, "buffer: '%s' is not a device name", o->device);
    }
    if (o->max_bytes < VG_BUFFER_BYTES_MIN) {
        return vg_fail(err, VG_E_RANGE, "buffer: max_bytes is %lld; accepted: %d and more",
                       (long long)o->max_bytes, VG_BUFFER_BYTES_MIN);
    }
    if (o->max_age_ms <= 0) {
        return vg_fail(err, VG_E_RANGE, "buffer: max_age is %lld ms; accepted: above 0",
                       (long long)o->max_age_ms);
    }
    if (o->group_ms < 1 || o->group_ms > 5000) {
        return vg_fail(err, VG_E_RANGE, "buffer: group time is %lld ms; accepted: 1 to 5000",
                       (long long)o->group_ms);
    }
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        if (o->ring_bytes[lane] < 4096) {
            return vg_fail(err, VG_E_RANGE, "buffer: a ring has %zu bytes; accepted: 4096 and more",
                           o->ring_bytes[lane]);
        }
    }
    return VG_OK;
}

static enum vg_err read_boot_id(char *out, struct vg_error *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, out, VGI_BOOT_ID_MAX);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (got != VGI_BOOT_ID_MAX) {
        return vg_fail(err, VG_E_IO, "%s: cannot be read", path);
    }
    out[VGI_BOOT_ID_MAX] = '\0';
    return VG_OK;
}

static bool read_stock(struct vg_buffer *b, int64_t *live)
{
    b->gap_count = 0;
    bool good =
        vgi_store_gaps_load(&b->store, b->gaps, &b->gap_count) && vgi_store_bytes(&b->store, live);
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        good = good && vgi_store_count(&b->store, lane, &b->rows[lane]);
        b->cursor[lane] = (struct vgi_key){INT64_MIN, 0};
        b->own.rows[lane] = b->rows[lane];
    }
    return good;
}

/* What the file tells at start: how much waits, and gaps that nobody has heard of yet. A long file is
 * not read through when it is opened: here its damage shows. */
static enum vg_err take_stock(struct vg_buffer *b, int64_t wall_s, struct vg_error *err)
{
    int64_t live = 0;
    bool good = read_stock(b, &live);
    if (!good && b->store.fault == VGI_FAULT_DAMAGED) {
        good = read_stock(b, &live); /* what is set aside is not read again: it is asked twice */
    }
    if (!good && b->store.fault == VGI_FAULT_DAMAGED) {
        enum vg_err e = vgi_store_replace(&b->store, wall_s, err);
        if (e != VG_OK) {
            return e;
        }
        b->found.damaged = true;
        good = read_stock(b, &live);
    }
    if (!good) {
        return vg_fail(err, VG_E_IO, "%s: %s", b->store.path, b->store.why);
    }
    b->own.bytes = live;
    b->own.damaged = b->found.damaged ? 1 : 0;
    b->own.asides_removed = b->store.asides_removed;
    if (b->found.damaged) {
        vgi_writer_damage(b, 0);
        (void)vgi_writer_event(b, VG_EVENT_STORAGE, "damaged: file set aside, a new one begun");
    }
    if (b->found.others > 0) {
        /* Not whose: this device's collector need not be theirs. */
        char text[VG_EVENT_TEXT_MAX + 1];
        (void)snprintf(text, sizeof text, VGI_OTHERS_TEXT ", count=%zu", b->found.others);
        (void)vgi_writer_event(b, VG_EVENT_STORAGE, text);
    }
    return VG_OK;
}

static enum vg_err start_thread(struct vg_buffer *b)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&b->lock, NULL);
    (void)pthread_cond_init(&b->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    if (pthread_create(&b->thread, NULL, vgi_writer_main, b) != 0) {
        (void)pthread_cond_destroy(&b->wake);
        (void)pthread_mutex_destroy(&b->lock);
        return VG_E_NOMEM;
    }
    return VG_OK;
}

static void release(struct vg_buffer *b)
{
    vgi_store_close(&b->store);
    if (b->event_fd >= 0) {
        (void)close(b->event_fd);
    }
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        free(b->rings[lane].memory);
    }
    free(b);
}

static enum vg_err open_parts(struct vg_buffer *b, const struct vg_buffer_options *options,
                              struct vg_error *err)
{
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        size_t bytes = options->ring_bytes[lane] / 8 * 8;
        void *memory = malloc(bytes);
        if (memory == NULL) {
            return vg_fail(err, VG_E_NOMEM, "buffer: no memory for rings");
        }
        vgi_ring_init(&b->rings[lane], memory, bytes);
    }
    b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->event_fd < 0) {
        return vg_fail(err, VG_E_IO, "buffer: eventfd: %s", strerror(errno));
    }
    const int64_t wall_s = vg_now_wall(b->clock).ms / 1000;
    char boot_id[VGI_BOOT_ID_MAX + 1];
    uint64_t id;
    enum vg_err e = options->boot_id == NULL ? read_boot_id(boot_id, err) : VG_OK;
    if (e == VG_OK && (e = vg_random_bytes(&id, sizeof id)) != VG_OK) {
        (void)vg_fail(err, e, "buffer: no randomness");
    }
    if (e == VG_OK) {
        const struct vgi_opening how = {
            .path = options->path,
            .vfs = options->vfs,
            .boot_id = options->boot_id != NULL ? options->boot_id : boot_id,
            .device = b->device,
            .id = id,
            .wall_s = wall_s,
        };
        e = vgi_store_open(&b->store, &how, &b->found, err);
    }
    if (e != VG_OK) {
        return e;
    }
    vgi_store_bound(&b->store, b->max_bytes);
    return take_stock(b, wall_s, err);
}

enum vg_err vg_buffer_open(const struct vg_buffer_options *options,
                           const struct vg_buffer_events *events, const struct vg_clock *clock,
                           struct vg_buffer **out, struct vg_error *err)
{
    enum vg_err e = check_options(options, err);
    if (e != VG_OK) {
        return e;
    }
    struct vg_buffer *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return vg_fail(err, VG_E_NOMEM, "buffer: no memory");
    }
    b->event_fd = -1;
    b->events = *events;
    b->clock = clock;
    b->max_bytes = options->max_bytes;
    b->max_age_ms = options->max_age_ms;
    b->group_ms = options->group_ms;
    (void)vg_str_copy(options->device, b->device, sizeof b->device);
    /* The first sweep waits for what the agent does at start: sending comes first. */
    b->sweep_at = vg_mono_add_ms(vg_now_mono(clock), VG_BUFFER_GROUP_MS);
    e = open_parts(b, options, err);
    if (e == VG_OK) {
        b->own.store = b->store.id;
        b->stats = b->own;
        for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
            b->requests[lane].ready = b->rows[lane] > 0 ? VGI_WAITING : 0;
        }
        uint64_t one = 1;
        ssize_t rung = write(b->event_fd, &one, sizeof one);
        (void)rung;
        if ((e = start_thread(b)) != VG_OK) {
            (void)vg_fail(err, e, "buffer: cannot start a thread");
        }
    }
    if (e != VG_OK) {
        release(b);
        return e;
    }
    *out = b;
    return VG_OK;
}

/* Rows in memory without an outcome. The writer's thread has ended. */
static uint64_t unsaved(const struct vg_buffer *b)
{
    uint64_t rows = 0;
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        const struct vgi_ring *ring = &b->rings[lane];
        uint64_t pos = ring->head;
        const struct vgi_record *r;
        while ((r = vgi_ring_next(ring, ring->tail, &pos)) != NULL) {
            rows += r->dead ? 0 : 1;
        }
    }
    return rows;
}

uint64_t vg_buffer_close(struct vg_buffer *b, struct vg_error *err)
{
    if (b == NULL) {
        return 0;
    }
    (void)pthread_mutex_lock(&b->lock);
    b->stop = true;
    (void)pthread_cond_signal(&b->wake);
    (void)pthread_mutex_unlock(&b->lock);
    (void)pthread_join(b->thread, NULL);
    (void)pthread_cond_destroy(&b->wake);
    (void)pthread_mutex_destroy(&b->lock);
    const uint64_t lost = unsaved(b);
    if (lost > 0) {
        (void)vg_fail(err, VG_E_IO, "%s: %" PRIu64 " rows are not on the card: %s", b->store.path,
                      lost, b->store.why);
    }
    release(b);
    return lost;
}

const struct vg_buffer_found *vg_buffer_found(const struct vg_buffer *b)
{
    return &b->found;
}

int vg_buffer_fd(const struct vg_buffer *b)
{
    return b->event_fd;
}

static void dispatch_lane(struct vg_buffer *b, int lane)
{
    struct vgi_request *r = &b->requests[lane];
    (void)pthread_mutex_lock(&b->lock);
    unsigned ready = r->ready;
    r->ready = 0;
    if ((ready & VGI_ROWS_READY) != 0) {
        r->busy = false;
        r->outstanding = r->row_count;
    }
    size_t count = r->row_count;
    (void)pthread_mutex_unlock(&b->lock);
    if ((ready & VGI_ROWS_READY) != 0) {
        b->events.on_rows(b->events.arg, (enum vg_buffer_lane)lane, r->rows, count);
    }
    if ((ready & VGI_WAITING) != 0) {
        b->events.on_waiting(b->events.arg, (enum vg_buffer_lane)lane);
    }
}

void vg_buffer_dispatch(struct vg_buffer *b)
{
    uint64_t rings;
    ssize_t got = read(b->event_fd, &rings, sizeof rings);
    (void)got; /* nothing there: nothing will be found either */
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        dispatch_lane(b, lane);
    }
    (void)pthread_mutex_lock(&b->lock);
    bool fatal = b->fatal_ready && !b->fatal_told;
    b->fatal_told = b->fatal_told || fatal;
    struct vg_error err = b->fatal;
    (void)pthread_mutex_unlock(&b->lock);
    if (fatal) {
        b->events.on_fatal(b->events.arg, &err);
    }
}

static void kick(struct vg_buffer *b)
{
    b->kick = true;
    (void)pthread_cond_signal(&b->wake);
}

enum vg_err vg_buffer_append(struct vg_buffer *b, const struct vg_reading *reading,
                             struct vg_boot taken)
{
    if (!vg_sensor_id_valid(
            vg_span(reading->sensor, strnlen(reading->sensor, sizeof reading->sensor)))) {
        return VG_E_INVALID;
    }
    bool urgent = reading->event != VG_EVENT_NONE || (reading->has & VG_HAS_OK) != 0 ||
                  vg_reading_active(reading);
    int lane = urgent ? VG_BUFFER_URGENT : VG_BUFFER_ROUTINE;
    uint8_t row[VGI_ROW_MAX];
    size_t len = vgi_row_encode(reading, row);
    struct vg_mono now = vg_now_mono(b->clock);

    (void)pthread_mutex_lock(&b->lock);
    bool fits = vgi_ring_push(&b->rings[lane], b->last_seq[lane] + 1, taken.ns, row, len);
    bool closed = !fits && b->fatal_ready;
    if (fits) {
        b->last_seq[lane]++;
        if (b->waiting[lane]++ == 0 && !urgent) {
            b->oldest = now;
        }
        /* The writer wakes for the first of a group, to set its alarm, and for what is due. */
        if (urgent || b->waiting[lane] == 1 || b->waiting[lane] == VG_BUFFER_GROUP_MAX) {
            kick(b);
        }
    } else {
        b->refused_total++;
        b->dropped[lane]++;
    }
    (void)pthread_mutex_unlock(&b->lock);
    return fits ? VG_OK : closed ? VG_E_CLOSED : VG_E_FULL;
}

enum vg_err vg_buffer_fetch(struct vg_buffer *b, enum vg_buffer_lane lane, size_t max)
{
    struct vgi_request *r = &b->requests[lane];
    if (max < 1 || max > VG_BUFFER_FETCH_MAX) {
        return VG_E_RANGE;
    }
    enum vg_err e = VG_OK;
    (void)pthread_mutex_lock(&b->lock);
    if (r->busy || r->outstanding > 0) {
        e = VG_E_CONFLICT;
    } else {
        r->busy = true;
        r->wanted = max;
        kick(b);
    }
    (void)pthread_mutex_unlock(&b->lock);
    return e;
}

enum vg_err vg_buffer_settle(struct vg_buffer *b, enum vg_buffer_lane lane,
                             const struct vg_buffer_outcome *outcomes, size_t count)
{
    struct vgi_request *r = &b->requests[lane];
    enum vg_err e = VG_OK;
    (void)pthread_mutex_lock(&b->lock);
    if (count > r->outstanding) {
        e = VG_E_RANGE;
    } else {
        /* At most VG_BUFFER_FETCH_MAX are outstanding, and no fetch passes before the writer has
         * taken these. */
        memcpy(r->outcomes + r->outcome_count, outcomes, count * sizeof *outcomes);
        r->outcome_count += count;
        r->outstanding -= count;
        kick(b);
    }
    (void)pthread_mutex_unlock(&b->lock);
    return e;
}

void vg_buffer_rewind(struct vg_buffer *b, enum vg_buffer_lane lane)
{
    struct vgi_request *r = &b->requests[lane];
    (void)pthread_mutex_lock(&b->lock);
    r->generation++;
    r->rewind = true;
    r->wanted = 0;
    r->busy = false;
    r->outstanding = 0;
    r->ready = VGI_WAITING;
    kick(b);
    (void)pthread_mutex_unlock(&b->lock);
}

void vg_buffer_anchor(struct vg_buffer *b, struct vg_boot boot, struct vg_wall wall)
{
    (void)pthread_mutex_lock(&b->lock);
    b->anchor = (struct vgi_anchor){boot.ns, wall.ms};
    b->has_anchor = true;
    kick(b);
    (void)pthread_mutex_unlock(&b->lock);
}

void vg_buffer_stats(struct vg_buffer *b, struct vg_buffer_stats *out)
{
    (void)pthread_mutex_lock(&b->lock);
    *out = b->stats;
    out->refused = b->refused_total;
    out->ring_bytes = 0;
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        out->appended[lane] = b->last_seq[lane];
        out->ring_bytes += (int64_t)vgi_ring_used(&b->rings[lane]);
    }
    (void)pthread_mutex_unlock(&b->lock);
}

void vg_buffer_damage(struct vg_buffer *b, struct vg_buffer_damage *out)
{
    (void)pthread_mutex_lock(&b->lock);
    *out = b->damage;
    (void)pthread_mutex_unlock(&b->lock);
}
