/* What the log says of the agent's bounds: that the card is full or damaged, that readings had to go,
 * that what is kept beside them had to. */
#include "parts.h"

#include "vigia/log.h"

#include <inttypes.h>
#include <stdio.h>

/* A card at the edge of full changes each second; rows that go one by one would be a line each. */
#define FULL_AGAIN_MS  60000
#define COUNT_AGAIN_MS 600000

/* How much a total has grown since it was told; 0 while it is too early to tell. */
static uint64_t untold(struct vgi_told *t, uint64_t total, struct vg_mono now, int64_t again_ms,
                       bool last)
{
    const uint64_t grown = total - t->total;
    if (grown == 0 || (now.ns < t->next.ns && !last)) {
        return 0;
    }
    t->total = total;
    t->next = vg_mono_add_ms(now, again_ms);
    return grown;
}

static void tell_full(struct vgi_agent *a, const struct vg_buffer_stats *s, struct vg_mono now,
                      bool last)
{
    struct vgi_bounds *b = &a->bounds;
    if (!b->full && untold(&b->fulls, s->fulls, now, FULL_AGAIN_MS, last) > 0) {
        vg_log_warn("card-full", "file=%s commit_failures=%" PRIu64, VG_Q(a->conf->buffer_path),
                    s->commit_failures);
        b->full = true;
    }
    if (b->full && !s->disk_full) {
        vg_log_info("card-has-room", "file=%s", VG_Q(a->conf->buffer_path));
        b->full = false;
    }
}

static void tell_damaged_files(struct vgi_agent *a)
{
    struct vgi_bounds *b = &a->bounds;
    struct vg_buffer_damage d;
    vg_buffer_damage(a->buffer, &d);
    if (d.files == b->files) {
        return;
    }
    char rows[24] = "unknown"; /* of a file that was damaged before it could be counted */
    if (b->files > 0 || !vg_buffer_found(a->buffer)->damaged) {
        (void)snprintf(rows, sizeof rows, "%" PRIu64, d.rows - b->rows);
    }
    vg_log_error("buffer-damaged", "file=%s set_aside=%s rows=%s", VG_Q(a->conf->buffer_path),
                 VG_Q(d.file), rows);
    b->files = d.files;
    b->rows = d.rows;
}

static void tell_counts(struct vgi_agent *a, const struct vg_buffer_stats *s, struct vg_mono now,
                        bool last)
{
    struct vgi_bounds *b = &a->bounds;
    const struct {
        struct vgi_told *told;
        uint64_t total;
        enum vg_log_level level;
        const char *id, *unit;
    } counts[] = {
        {&b->damaged_rows, s->damaged_rows, VG_LOG_ERROR, "rows-damaged", "rows"},
        {&b->evicted, s->evicted, VG_LOG_WARN, "readings-evicted", "rows"},
        {&b->quarantine, s->quarantine_trimmed, VG_LOG_WARN, "quarantine-trimmed", "rows"},
        {&b->undated, s->undated, VG_LOG_WARN, "readings-undated", "times"},
        {&b->gaps, s->gaps_joined, VG_LOG_WARN, "gaps-joined", "gaps"},
        {&b->asides, s->asides_removed, VG_LOG_WARN, "set-aside-removed", "files"},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const uint64_t count = untold(counts[i].told, counts[i].total, now, COUNT_AGAIN_MS, last);
        if (count > 0) {
            vg_log_write(counts[i].level, counts[i].id, "file=%s %s=%" PRIu64,
                         VG_Q(a->conf->buffer_path), counts[i].unit, count);
        }
    }
}

static void tell_parked(struct vgi_agent *a, struct vg_mono now, bool last)
{
    if (a->uplink == NULL) {
        return;
    }
    const uint64_t count = untold(&a->bounds.parked, vg_uplink_stats(a->uplink)->parked_forgotten,
                                  now, COUNT_AGAIN_MS, last);
    if (count > 0) {
        vg_log_warn("parked-sensors-forgotten", "sensors=%" PRIu64, count);
    }
}

void vgi_bounds_tell(struct vgi_agent *a, bool last)
{
    const struct vg_mono now = vg_now_mono(a->clock);
    struct vg_buffer_stats s;
    vg_buffer_stats(a->buffer, &s);
    tell_full(a, &s, now, last);
    tell_damaged_files(a);
    tell_counts(a, &s, now, last);
    tell_parked(a, now, last);
}
