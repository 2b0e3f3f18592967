/* A buffer in a folder of its own, driven from the test's thread. */
#ifndef VIGIA_TEST_BUFFER_HARNESS_H
#define VIGIA_TEST_BUFFER_HARNESS_H

#include "vigia/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DEADLINE_MS 100000 /* only a hang takes so long, also with a sanitizer on a busy machine */

struct rig {
    char folder[128];
    char path[160];
    struct vg_buffer_options options;
    const struct vg_clock *clock;
    struct vg_buffer *b;
    struct vg_buffer_row rows[VG_BUFFER_FETCH_MAX];
    size_t count;
    bool answered;
    unsigned waiting[VG_BUFFER_LANES];
    bool fatal;
    struct vg_error err;
};

void rig_init(struct rig *r);
void rig_open(struct rig *r);
enum vg_err rig_try_open(struct rig *r);
void rig_close(struct rig *r);
void rig_done(struct rig *r); /* closes and removes the folder */
/* Of a test whose state is a rig. */
int rig_setup(void **state);
int rig_setup_failing_card(void **state); /* on faultvfs.h, no fault armed */
int rig_teardown(void **state);

struct vg_reading normal(const char *sensor, double temperature);
struct vg_reading smoke(const char *sensor);
void append(struct rig *r, const struct vg_reading *reading);
/* Fetches up to max rows of the lane into r->rows. */
size_t fetch(struct rig *r, enum vg_buffer_lane lane, size_t max);
/* The same outcome for every row that fetch gave. */
void settle(struct rig *r, enum vg_buffer_lane lane, enum vg_buffer_fate fate);
struct vg_buffer_stats stats(struct rig *r);
/* Dispatches until the condition holds; fails the test after DEADLINE_MS. */
typedef bool condition(struct rig *r, uint64_t value);
void wait_until(struct rig *r, condition *holds, uint64_t value, const char *what);
bool urgent_committed(struct rig *r, uint64_t value);
bool routine_committed(struct rig *r, uint64_t value);
bool is_fatal(struct rig *r, uint64_t value);
bool disk_is_full(struct rig *r, uint64_t value);
bool rows_on_card(struct rig *r, uint64_t value);
bool evicted(struct rig *r, uint64_t value);
bool gap_waits(struct rig *r, uint64_t value);
/* Waits for a gap event in the urgent lane that begins like `text`; settles all it passes. */
void expect_gap(struct rig *r, const char *text);
/* The first number of the answer, from the file itself. */
int64_t ask(struct rig *r, const char *sql);
/* Changes the file itself. `series` stands for the numbers from 1 to 10,000 in a table of one
 * column, `value`. */
void run_sql(const char *path, const char *sql);
int files_named(struct rig *r, const char *part);

#endif
