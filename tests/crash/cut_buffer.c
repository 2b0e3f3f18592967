/* The script against the edge buffer: groups, urgent readings, settling, quarantine, parking,
 * evictions and their gaps, anchors, closing and opening again in the same boot and in another. */
#include "cut_buffer.h"
#include "../../edge/buffer/inner.h"

#include "vigia/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct script {
    struct cut_ledger *l;
    struct drive d;
    struct vg_rng rng;
    struct crash_disk *disk;
    _Atomic(struct vg_buffer *) live; /* once its figures belong to the open in the ledger */
    char path[300];
    uint64_t evicted; /* seen */
    uint64_t urgent;  /* last number of the urgent lane that we know of */
    int64_t gap_at;   /* when the buffer may tell the next gap, ms of the clock */
};

const char *cut_boot_id(int boot)
{
    static const char *const ids[] = {"boot-0", "boot-1", "boot-2"};
    return ids[boot];
}

int64_t cut_wall_ms(const struct cut_ledger *l, int64_t taken_ms)
{
    return taken_ms - l->clock.boot_ms + l->clock.wall_ms;
}

static uint64_t value_of(const char *text, const char *name, int base)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, base);
}

bool cut_gap_parse(const struct vg_reading *r, struct cut_gap *out)
{
    if (r->event != VG_EVENT_GAP) {
        return false;
    }
    const char *lane = strstr(r->event_text, "lane=");
    const char *dash = strstr(r->event_text, " seq=");
    dash = dash == NULL ? NULL : strchr(dash, '-');
    *out = (struct cut_gap){.store = value_of(r->event_text, "store=", 16),
                            .first = value_of(r->event_text, " seq=", 10),
                            .last = dash == NULL ? 0 : strtoull(dash + 1, NULL, 10),
                            .lane = lane == NULL ? '?' : lane[5]};
    return true;
}

/* Before each operation, on the thread that makes it: what does the buffer hold for safe now? It is
 * the writer's own thread (or the only one), so its own figures can be read. */
static void note(void *arg, size_t op)
{
    struct script *s = arg;
    struct cut_ledger *l = s->l;
    const struct vg_buffer *b = atomic_load(&s->live);
    if (b == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&l->lock);
    for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
        size_t *at = &l->open[l->opens - 1].first_row[lane];
        for (; *at < l->rows; ++*at) {
            struct cut_row *r = &l->row[*at];
            if (r->lane == lane && r->seq > b->own.committed[lane]) {
                break;
            }
            if (r->lane == lane) {
                r->owed = op;
            }
        }
    }
    uint64_t gone = l->gone_before + b->own.settled + b->own.quarantined;
    for (; l->gone_count < gone && l->gone_count < l->asked_count; l->gone_count++) {
        l->row[l->asked[l->gone_count]].gone = op;
    }
    l->commits = l->commits_before + b->own.commits;
    (void)pthread_mutex_unlock(&l->lock);
}

static void open_buffer(struct script *s, int boot)
{
    struct cut_ledger *l = s->l;
    struct vg_buffer_options o;
    vg_buffer_options_init(&o);
    o.path = s->path;
    o.device = CUT_DEVICE;
    o.max_bytes = 65536;
    o.group_ms = 1;
    o.boot_id = cut_boot_id(boot);
    if (!drive_open(&s->d, &o, &l->clock.clock)) {
        cut_stop("the script: open: %s", s->d.err.text);
    }
    s->d.clock = &l->clock;
    (void)pthread_mutex_lock(&l->lock);
    l->quarantine_max = (size_t)s->d.b->store.quarantine_max;
    l->open[l->opens].store = drive_stats(&s->d).store;
    l->open[l->opens].boot = boot;
    l->open[l->opens].first_row[0] = l->open[l->opens].first_row[1] = l->rows;
    l->opens++;
    (void)pthread_mutex_unlock(&l->lock);
    atomic_store(&s->live, s->d.b);
    s->evicted = s->urgent = 0;
    s->gap_at = 0;
}

static void close_buffer(struct script *s)
{
    struct cut_ledger *l = s->l;
    drive_close(&s->d);
    atomic_store(&s->live, NULL);
    size_t now = crash_disk_ops(s->disk);
    l->commits_before = l->commits;
    /* Everything that was settled was waited for. */
    l->gone_before = l->asked_count;
    for (; l->gone_count < l->asked_count; l->gone_count++) {
        l->row[l->asked[l->gone_count]].gone = now;
    }
    for (size_t i = 0; i < l->rows; i++) {
        l->row[i].owed = l->row[i].owed == CUT_NEVER ? now : l->row[i].owed;
    }
}

static void wait_for(struct script *s, bool (*holds)(struct drive *d, uint64_t value),
                     uint64_t value, const char *what)
{
    if (!drive_until(&s->d, holds, value)) {
        struct vg_buffer_stats st = drive_stats(&s->d);
        cut_stop("the script: waited for %s (%" PRIu64 "): settled %" PRIu64
                 ", quarantined %" PRIu64 ", evicted %" PRIu64 ", rows %" PRIu64 " and %" PRIu64
                 ", %s",
                 what, value, st.settled, st.quarantined, st.evicted, st.rows[0], st.rows[1],
                 s->d.err.text);
    }
}

static bool all_committed(struct drive *d, uint64_t value)
{
    struct vg_buffer_stats s = drive_stats(d);
    (void)value;
    return s.committed[0] == s.appended[0] && s.committed[1] == s.appended[1];
}
static bool more_urgent(struct drive *d, uint64_t value)
{
    struct vg_buffer_stats s = drive_stats(d);
    return s.appended[VG_BUFFER_URGENT] > value && all_committed(d, 0);
}
static bool left(struct drive *d, uint64_t value)
{
    struct vg_buffer_stats s = drive_stats(d);
    return s.settled + s.quarantined >= value;
}
static bool commits(struct drive *d, uint64_t value)
{
    return drive_stats(d).commits >= value;
}

static void give(struct script *s, bool urgent)
{
    struct cut_ledger *l = s->l;
    if (l->rows == CUT_ROWS_MAX) {
        cut_stop("the script: more than %d readings", CUT_ROWS_MAX);
    }
    struct vg_reading r = {.has = VG_HAS_SMOKE | VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE,
                           .smoke = urgent,
                           .temperature = (double)l->rows,
                           .max_temperature = 1e9};
    (void)vg_str_copy(CUT_SENSOR, r.sensor, sizeof r.sensor);
    int lane = urgent ? VG_BUFFER_URGENT : VG_BUFFER_ROUTINE;
    struct vg_boot taken = vg_now_boot(&l->clock.clock);
    uint64_t seq = drive_stats(&s->d).appended[lane] + 1;
    (void)pthread_mutex_lock(&l->lock);
    l->row[l->rows++] = (struct cut_row){.lane = lane,
                                         .open = l->opens - 1,
                                         .seq = seq,
                                         .taken_ms = taken.ns / VG_NS_PER_MS,
                                         .given = crash_disk_ops(s->disk),
                                         .owed = CUT_NEVER,
                                         .settled_at = CUT_NEVER,
                                         .gone = CUT_NEVER};
    (void)pthread_mutex_unlock(&l->lock);
    /* A gap event may follow at once: the commit that an urgent reading begins can evict. Had one come
     * before it, the row would come back with another number than ours, and settle_row() stops. */
    if (vg_buffer_append(s->d.b, &r, taken) != VG_OK || drive_stats(&s->d).appended[lane] < seq) {
        cut_stop("the script: a reading was not appended");
    }
    s->urgent = urgent ? seq : s->urgent;
}

/* An eviction leaves a gap event: the first one at once, later ones when their time has come. No
 * reading is given meanwhile, so that the numbers of ours are known. */
static void wait_for_gaps(struct script *s)
{
    struct vg_buffer_stats st = drive_stats(&s->d);
    if (st.evicted > s->evicted && atomic_load(&s->l->clock.ms) >= s->gap_at) {
        wait_for(s, more_urgent, s->urgent, "a gap event");
        st = drive_stats(&s->d);
        s->gap_at = atomic_load(&s->l->clock.ms) + VGI_GAP_MS;
        s->evicted = st.evicted;
        s->urgent = st.appended[VG_BUFFER_URGENT];
    }
}

/* What the collector would do with the rows. */
static enum vg_buffer_fate fate_of(struct script *s, bool trouble)
{
    uint64_t dice = trouble ? vg_rng_below(&s->rng, 4) : 0;
    return dice == 1 ? VG_BUFFER_QUARANTINED : dice == 2 ? VG_BUFFER_PARKED : VG_BUFFER_DONE;
}

static struct vg_buffer_outcome settle_row(struct script *s, const struct vg_reading *r,
                                           bool trouble)
{
    struct cut_ledger *l = s->l;
    struct vg_buffer_outcome o = {.store = r->store, .seq = r->seq, .fate = VG_BUFFER_DONE};
    size_t now = crash_disk_ops(s->disk);
    if (r->event != VG_EVENT_NONE) {
        if (l->gaps < CUT_GAPS_MAX && cut_gap_parse(r, &l->gap[l->gaps])) {
            l->gap[l->gaps++].seen = now;
        }
        /* Its place in the order of what leaves, without a row of ours. */
        l->asked[l->asked_count++] = CUT_ROWS_MAX - 1;
        return o;
    }
    size_t n = (size_t)r->temperature;
    struct cut_row *row = &l->row[n];
    if (n >= l->rows || row->seq != r->seq || l->open[row->open].store != r->store) {
        cut_stop("the script: a row came back as another one");
    }
    o.fate = (uint8_t)fate_of(s, trouble);
    if (o.fate == VG_BUFFER_PARKED) {
        o.until = vg_mono_add_ms(vg_now_mono(&l->clock.clock), 5);
        return o;
    }
    o.code = o.fate == VG_BUFFER_QUARANTINED ? CUT_REFUSED_BY : 0;
    row->fate = o.fate;
    row->settled_at = now;
    l->asked[l->asked_count++] = n;
    return o;
}

static void settle_some(struct script *s)
{
    struct cut_ledger *l = s->l;
    enum vg_buffer_lane lane = vg_rng_below(&s->rng, 3) == 0 ? VG_BUFFER_URGENT : VG_BUFFER_ROUTINE;
    bool trouble = vg_rng_below(&s->rng, 6) == 0;
    struct vg_buffer_outcome o[VG_BUFFER_FETCH_MAX];
    if (!drive_fetch(&s->d, lane, 1 + (size_t)vg_rng_below(&s->rng, 40))) {
        cut_stop("the script: a fetch was not answered: %s", s->d.err.text);
    }
    (void)pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < s->d.count; i++) {
        o[i] = settle_row(s, &s->d.rows[i].reading, trouble);
    }
    uint64_t gone = l->asked_count - l->gone_before;
    (void)pthread_mutex_unlock(&l->lock);
    if (vg_buffer_settle(s->d.b, lane, o, s->d.count) != VG_OK) {
        cut_stop("the script: settle was refused");
    }
    wait_for(s, left, gone, "rows to leave");
}

static void anchor(struct script *s)
{
    struct cut_ledger *l = s->l;
    uint64_t before = drive_stats(&s->d).commits;
    vg_buffer_anchor(s->d.b, vg_now_boot(&l->clock.clock), vg_now_wall(&l->clock.clock));
    wait_for(s, commits, before + 1, "an anchor");
    int boot = l->open[l->opens - 1].boot;
    if (l->anchored[boot] == CUT_NEVER) {
        l->anchored[boot] = crash_disk_ops(s->disk);
    }
}

static void step(struct script *s, size_t n)
{
    uint64_t routine = vg_rng_below(&s->rng, 25) == 0 ? 70 : 1 + vg_rng_below(&s->rng, 6);
    for (uint64_t i = 0; i < routine; i++) {
        give(s, false);
    }
    /* More than a group commits, and may evict, before all is given: then no urgent one follows, whose
     * number a gap event might take. */
    if (vg_rng_below(&s->rng, 3) == 0 && routine < VG_BUFFER_GROUP_MAX) {
        give(s, true);
    }
    wait_for(s, all_committed, 0, "a commit");
    wait_for_gaps(s);
    if (n % 3 == 1) {
        settle_some(s);
        wait_for_gaps(s);
    }
    if (n % 25 == 8) {
        anchor(s);
        wait_for_gaps(s);
    }
    if (n % 40 == 30) {
        drive_clock_advance(&s->l->clock, 2 * VGI_GAP_MS);
        wait_for_gaps(s);
    }
}

static void *record(struct crash_disk *d, const char *folder, size_t wanted, uint64_t seed)
{
    struct cut_ledger *l = calloc(1, sizeof *l);
    struct script *s = calloc(1, sizeof *s);
    if (l == NULL || s == NULL) {
        cut_stop("no memory");
    }
    (void)pthread_mutex_init(&l->lock, NULL);
    drive_clock_init(&l->clock);
    for (int i = 0; i < CUT_OPENS_MAX; i++) {
        l->anchored[i] = CUT_NEVER;
    }
    *s = (struct script){.l = l, .disk = d};
    vg_rng_seed(&s->rng, seed);
    (void)snprintf(s->path, sizeof s->path, "%s/buffer.db", folder);
    crash_disk_on_op(d, note, s);
    static const struct {
        unsigned share; /* per cent of the commits after which it is closed */
        int boot;
    } parts[] = {{35, 0}, {60, 0}, {80, 1}, {100, 2}};
    size_t n = 0;
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        open_buffer(s, parts[p].boot);
        while (l->commits < wanted * parts[p].share / 100) {
            step(s, n++);
        }
        close_buffer(s);
    }
    crash_disk_on_op(d, NULL, NULL);
    free(s);
    return l;
}

static size_t commits_made(const void *ledger)
{
    return ((const struct cut_ledger *)ledger)->commits;
}

static void done(void *ledger)
{
    (void)pthread_mutex_destroy(&((struct cut_ledger *)ledger)->lock);
    free(ledger);
}

const struct cut_proof cut_buffer = {"buffer", record, commits_made, cut_buffer_check, done};
