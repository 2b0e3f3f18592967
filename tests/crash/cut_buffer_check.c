/* What the edge buffer gives after a cut, against the ledger. */
#include "cut_buffer.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

struct seen {
    const struct cut_ledger *l;
    size_t point;
    struct cut_finding *f;
    struct drive d;
    bool row[CUT_ROWS_MAX];
    bool refused[CUT_ROWS_MAX]; /* found in quarantine */
    struct cut_gap gap[CUT_GAPS_MAX];
    size_t gaps;
    bool probe;
    int last_open[VG_BUFFER_LANES]; /* order */
    uint64_t last_seq[VG_BUFFER_LANES];
};

static void see_probe(struct seen *s, const struct vg_reading *r)
{
    s->probe = true;
    for (int i = 0; i < s->l->opens; i++) {
        if (r->store == s->l->open[i].store) {
            cut_wrong(s->f, "the store id %016" PRIx64 " was given out again", r->store);
        }
    }
}

static void see_time(struct seen *s, const struct cut_row *row, const struct vg_buffer_row *got)
{
    int boot = s->l->open[row->open].boot;
    int64_t expect = cut_wall_ms(s->l, row->taken_ms);
    if (got->taken.ns / VG_NS_PER_MS != row->taken_ms || got->booted) {
        cut_wrong(s->f, "a row's own time changed");
    }
    if (got->reading.time_ms != expect &&
        (got->reading.time_ms != 0 || cut_by(s->l->anchored[boot], s->point))) {
        cut_wrong(s->f, "time %" PRId64 " instead of %" PRId64, got->reading.time_ms, expect);
    }
}

static void see_row(struct seen *s, int lane, const struct vg_buffer_row *got)
{
    const struct vg_reading *r = &got->reading;
    size_t n = r->temperature >= 0 && r->temperature < CUT_ROWS_MAX ? (size_t)r->temperature
                                                                    : CUT_ROWS_MAX;
    const struct cut_row *row = n < s->l->rows ? &s->l->row[n] : NULL;
    if (row == NULL || row->given > s->point) {
        cut_wrong(s->f, "a row that was never given: temperature %g", r->temperature);
        return;
    }
    if (row->lane != lane || row->seq != r->seq || s->l->open[row->open].store != r->store ||
        r->smoke != (lane == VG_BUFFER_URGENT) || strcmp(r->sensor, CUT_SENSOR) != 0) {
        cut_wrong(s->f, "reading %zu came back as another one (seq %" PRIu64 ", was %" PRIu64 ")",
                  n, r->seq, row->seq);
    }
    if (s->row[n]) {
        cut_wrong(s->f, "reading %zu is there twice", n);
    }
    if (cut_by(row->gone, s->point)) {
        cut_wrong(s->f, "reading %zu came back after it had left", n);
    }
    if (row->open < s->last_open[lane] ||
        (row->open == s->last_open[lane] && row->seq <= s->last_seq[lane])) {
        cut_wrong(s->f, "reading %zu is out of order", n);
    }
    s->last_open[lane] = row->open;
    s->last_seq[lane] = row->seq;
    s->row[n] = true;
    see_time(s, row, got);
}

/* Takes all rows of a lane; ends with the probe in the urgent one. */
static void drain(struct seen *s, enum vg_buffer_lane lane)
{
    struct vg_buffer_outcome o[VG_BUFFER_FETCH_MAX];
    for (size_t rounds = 0; rounds < CUT_ROWS_MAX && !s->f->wrong; rounds++) {
        if (!drive_fetch(&s->d, lane, VG_BUFFER_FETCH_MAX)) {
            cut_wrong(s->f, "a fetch was not answered: %s", s->d.err.text);
            return;
        }
        for (size_t i = 0; i < s->d.count; i++) {
            const struct vg_reading *r = &s->d.rows[i].reading;
            o[i] = (struct vg_buffer_outcome){
                .store = r->store, .seq = r->seq, .fate = VG_BUFFER_DONE};
            if (r->event != VG_EVENT_NONE) {
                if (s->gaps < CUT_GAPS_MAX && cut_gap_parse(r, &s->gap[s->gaps])) {
                    s->gaps++;
                } else {
                    cut_wrong(s->f, "an event that nothing gave cause to: %s", r->event_text);
                }
            } else if (r->temperature == CUT_PROBE) {
                see_probe(s, r);
            } else {
                see_row(s, (int)lane, &s->d.rows[i]);
            }
        }
        size_t count = s->d.count;
        if (vg_buffer_settle(s->d.b, lane, o, count) != VG_OK) {
            cut_wrong(s->f, "settle was refused");
        }
        if (lane == VG_BUFFER_URGENT ? s->probe : count == 0) {
            return;
        }
    }
}

/* By SQLite alone, once the buffer is closed. */
static void look_into_quarantine(struct seen *s, const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix") != SQLITE_OK ||
        sqlite3_prepare_v2(db, "SELECT lane, store, seq, code FROM quarantine", -1, &st, NULL) !=
            SQLITE_OK) {
        cut_wrong(s->f, "quarantine: %s", db == NULL ? "no memory" : sqlite3_errmsg(db));
    }
    while (st != NULL && sqlite3_step(st) == SQLITE_ROW) {
        for (size_t n = 0; n < s->l->rows; n++) {
            const struct cut_row *row = &s->l->row[n];
            if (row->lane == sqlite3_column_int(st, 0) &&
                s->l->open[row->open].store == (uint64_t)sqlite3_column_int64(st, 1) &&
                row->seq == (uint64_t)sqlite3_column_int64(st, 2)) {
                s->refused[n] = true;
                if (row->fate != VG_BUFFER_QUARANTINED || !cut_by(row->settled_at, s->point) ||
                    sqlite3_column_int(st, 3) != CUT_REFUSED_BY || s->row[n]) {
                    cut_wrong(s->f, "reading %zu is in quarantine and should not be", n);
                }
            }
        }
    }
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
}

/* Whether the quarantine is full of rows that were refused later than this one: then it had to go. */
static bool made_room(const struct seen *s, size_t n)
{
    size_t later = 0;
    for (size_t i = s->l->asked_count; i > 0 && s->l->asked[i - 1] != n; i--) {
        later += s->refused[s->l->asked[i - 1]];
    }
    return later >= s->l->quarantine_max;
}

static bool told_as_gap(const struct seen *s, const struct cut_row *row)
{
    for (size_t i = 0; i < s->gaps + s->l->gaps; i++) {
        const struct cut_gap *g = i < s->gaps ? &s->gap[i] : &s->l->gap[i - s->gaps];
        bool reached = i < s->gaps || cut_by(g->seen, s->point);
        if (reached && g->store == s->l->open[row->open].store && g->first <= row->seq &&
            row->seq <= g->last && (g->lane == 'u') == (row->lane == VG_BUFFER_URGENT)) {
            return true;
        }
    }
    return false;
}

static void judge(struct seen *s)
{
    for (size_t n = 0; n < s->l->rows && !s->f->wrong; n++) {
        const struct cut_row *row = &s->l->row[n];
        bool settled = cut_by(row->settled_at, s->point);
        if (settled && row->fate == VG_BUFFER_QUARANTINED && cut_by(row->gone, s->point) &&
            !s->refused[n] && !made_room(s, n)) {
            cut_wrong(s->f, "reading %zu is neither waiting nor in quarantine", n);
        }
        if (s->row[n] || settled) {
            continue;
        }
        /* A later row of the same lane and open was kept: then this one was written before it. */
        bool later = s->last_open[row->lane] > row->open ? false
                                                         : s->last_open[row->lane] == row->open &&
                                                               s->last_seq[row->lane] > row->seq;
        if ((cut_by(row->owed, s->point) || later) && !told_as_gap(s, row)) {
            cut_wrong(s->f, "reading %zu (lane %d, open %d, seq %" PRIu64 ") was %s and is lost", n,
                      row->lane, row->open, row->seq,
                      cut_by(row->owed, s->point) ? "confirmed" : "overtaken");
        }
    }
}

static void run(struct seen *s, const char *path)
{
    struct vg_buffer_options o;
    vg_buffer_options_init(&o);
    o.path = path;
    o.device = CUT_DEVICE;
    o.group_ms = 1;
    o.boot_id = "boot-after-the-cut";
    if (!drive_open(&s->d, &o, vg_clock_system())) {
        cut_wrong(s->f, "does not open: %s", s->d.err.text);
        return;
    }
    if (drive_stats(&s->d).damaged > 0) {
        cut_wrong(s->f, "the file was found damaged and set aside");
    }
    struct vg_reading probe = {
        .has = VG_HAS_SMOKE | VG_HAS_TEMPERATURE, .smoke = true, .temperature = CUT_PROBE};
    (void)vg_str_copy(CUT_SENSOR, probe.sensor, sizeof probe.sensor);
    if (vg_buffer_append(s->d.b, &probe, vg_now_boot(vg_clock_system())) != VG_OK) {
        cut_wrong(s->f, "takes no reading");
    }
    drain(s, VG_BUFFER_URGENT);
    drain(s, VG_BUFFER_ROUTINE);
    drive_close(&s->d);
    look_into_quarantine(s, path);
    judge(s);
    cut_integrity(path, s->f);
}

void cut_buffer_check(const void *ledger, const char *folder, size_t point, struct cut_finding *f)
{
    struct seen *s = calloc(1, sizeof *s);
    char path[300];
    if (s == NULL) {
        cut_stop("no memory");
    }
    s->l = ledger;
    s->point = point;
    s->f = f;
    s->last_open[0] = s->last_open[1] = -1;
    (void)snprintf(path, sizeof path, "%s/buffer.db", folder);
    run(s, path);
    drive_close(&s->d);
    free(s);
}
