/* See harness.h. */
#include "harness.h"

#include "faultvfs.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void on_rows(void *arg, enum vg_buffer_lane lane, const struct vg_buffer_row *rows,
                    size_t count)
{
    struct rig *r = arg;
    (void)lane;
    memcpy(r->rows, rows, count * sizeof *rows);
    r->count = count;
    r->answered = true;
}

static void on_waiting(void *arg, enum vg_buffer_lane lane)
{
    ((struct rig *)arg)->waiting[lane]++;
}

static void on_fatal(void *arg, const struct vg_error *err)
{
    struct rig *r = arg;
    r->fatal = true;
    r->err = *err;
}

void rig_init(struct rig *r)
{
    memset(r, 0, sizeof *r);
    (void)snprintf(r->folder, sizeof r->folder, "/tmp/vigia-buffer-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    (void)snprintf(r->path, sizeof r->path, "%s/buffer.db", r->folder);
    vg_buffer_options_init(&r->options);
    r->options.path = r->path;
    r->options.device = "pi-1";
    r->options.group_ms = 20;
    r->clock = vg_clock_system();
}

enum vg_err rig_try_open(struct rig *r)
{
    struct vg_buffer_events events = {on_rows, on_waiting, on_fatal, r};
    r->fatal = false;
    memset(&r->err, 0, sizeof r->err);
    return vg_buffer_open(&r->options, &events, r->clock, &r->b, &r->err);
}

void rig_open(struct rig *r)
{
    enum vg_err e = rig_try_open(r);
    if (e != VG_OK) {
        fail_msg("open: %s: %s", vg_err_name(e), r->err.text);
    }
}

void rig_close(struct rig *r)
{
    (void)vg_buffer_close(r->b, NULL);
    r->b = NULL;
}

static void each_file(struct rig *r, const char *part, bool remove_it, int *count)
{
    DIR *d = opendir(r->folder);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] != '.' && strstr(e->d_name, part) != NULL) {
            char path[512];
            (void)snprintf(path, sizeof path, "%s/%s", r->folder, e->d_name);
            ++*count;
            if (remove_it) {
                (void)unlink(path);
            }
        }
    }
    (void)closedir(d);
}

int files_named(struct rig *r, const char *part)
{
    int count = 0;
    each_file(r, part, false, &count);
    return count;
}

void rig_done(struct rig *r)
{
    int count = 0;
    rig_close(r);
    each_file(r, "", true, &count);
    (void)rmdir(r->folder);
}

struct vg_reading normal(const char *sensor, double temperature)
{
    struct vg_reading r = {.has = VG_HAS_QUANTITIES, .temperature = temperature};
    r.max_temperature = 1e9;
    assert_true(vg_str_copy(sensor, r.sensor, sizeof r.sensor));
    return r;
}

struct vg_reading smoke(const char *sensor)
{
    struct vg_reading r = normal(sensor, 20);
    r.smoke = true;
    return r;
}

void append(struct rig *r, const struct vg_reading *reading)
{
    assert_int_equal(vg_buffer_append(r->b, reading, vg_now_boot(r->clock)), VG_OK);
}

struct vg_buffer_stats stats(struct rig *r)
{
    struct vg_buffer_stats s;
    vg_buffer_stats(r->b, &s);
    return s;
}

static bool turn(struct rig *r, struct vg_mono deadline)
{
    /* The descriptor tells of rows; counters move without it, so it is only a hint. */
    struct pollfd p = {.fd = vg_buffer_fd(r->b), .events = POLLIN};
    (void)poll(&p, 1, 2);
    vg_buffer_dispatch(r->b);
    return vg_now_mono(vg_clock_system()).ns < deadline.ns;
}

void wait_until(struct rig *r, condition *holds, uint64_t value, const char *what)
{
    struct vg_mono deadline = vg_mono_add_ms(vg_now_mono(vg_clock_system()), DEADLINE_MS);
    while (!holds(r, value)) {
        if (!turn(r, deadline)) {
            struct vg_buffer_stats s = stats(r);
            fail_msg(
                "waited %d ms for: %s (appended %d %d, committed %d %d, rows %d %d, fatal: %s)",
                DEADLINE_MS, what, (int)s.appended[0], (int)s.appended[1], (int)s.committed[0],
                (int)s.committed[1], (int)s.rows[0], (int)s.rows[1], r->err.text);
        }
    }
}

static bool has_answer(struct rig *r, uint64_t value)
{
    (void)value;
    return r->answered;
}

size_t fetch(struct rig *r, enum vg_buffer_lane lane, size_t max)
{
    r->answered = false;
    assert_int_equal(vg_buffer_fetch(r->b, lane, max), VG_OK);
    wait_until(r, has_answer, 0, "rows");
    return r->count;
}

void settle(struct rig *r, enum vg_buffer_lane lane, enum vg_buffer_fate fate)
{
    struct vg_buffer_outcome o[VG_BUFFER_FETCH_MAX];
    memset(o, 0, sizeof o);
    for (size_t i = 0; i < r->count; i++) {
        o[i].store = r->rows[i].reading.store;
        o[i].seq = r->rows[i].reading.seq;
        o[i].fate = (uint8_t)fate;
        o[i].code = 150;
        o[i].until = vg_mono_add_ms(vg_now_mono(r->clock), 50);
    }
    assert_int_equal(vg_buffer_settle(r->b, lane, o, r->count), VG_OK);
}

bool urgent_committed(struct rig *r, uint64_t value)
{
    return stats(r).committed[VG_BUFFER_URGENT] >= value;
}

bool routine_committed(struct rig *r, uint64_t value)
{
    return stats(r).committed[VG_BUFFER_ROUTINE] >= value;
}

bool is_fatal(struct rig *r, uint64_t value)
{
    (void)value;
    return r->fatal;
}

bool disk_is_full(struct rig *r, uint64_t value)
{
    return stats(r).disk_full == (value != 0);
}

bool rows_on_card(struct rig *r, uint64_t value)
{
    struct vg_buffer_stats s = stats(r);
    return s.rows[0] + s.rows[1] == value;
}

int rig_setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    rig_init(r);
    *state = r;
    return 0;
}

int rig_setup_failing_card(void **state)
{
    (void)rig_setup(state);
    fault_install();
    fault_reset();
    ((struct rig *)*state)->options.vfs = FAULT_VFS;
    return 0;
}

int rig_teardown(void **state)
{
    fault_reset();
    rig_done(*state);
    free(*state);
    return 0;
}

bool evicted(struct rig *r, uint64_t value)
{
    return stats(r).evicted >= value;
}

bool gap_waits(struct rig *r, uint64_t value)
{
    return stats(r).rows[VG_BUFFER_URGENT] > value;
}

void expect_gap(struct rig *r, const char *text)
{
    struct vg_mono deadline = vg_mono_add_ms(vg_now_mono(r->clock), DEADLINE_MS);
    while (vg_now_mono(r->clock).ns < deadline.ns) {
        (void)fetch(r, VG_BUFFER_URGENT, 64);
        for (size_t i = 0; i < r->count; i++) {
            const struct vg_reading *x = &r->rows[i].reading;
            if (x->event == VG_EVENT_GAP && strncmp(x->event_text, text, strlen(text)) == 0) {
                assert_string_equal(x->sensor, "pi-1");
                return;
            }
        }
        settle(r, VG_BUFFER_URGENT, VG_BUFFER_DONE);
    }
    fail_msg("no gap event like: %s", text);
}

int64_t ask(struct rig *r, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open_v2(r->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
    return v;
}

void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TEMP VIEW series AS WITH RECURSIVE n(value) AS (SELECT 1"
                                  " UNION ALL SELECT value + 1 FROM n LIMIT 10000) SELECT * FROM n",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}
