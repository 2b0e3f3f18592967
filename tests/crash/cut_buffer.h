/* The ledger of the script that runs against the edge buffer: what was given to it, and from which
 * operation of the disk on it is owed. */
#ifndef VIGIA_TEST_CUT_BUFFER_H
#define VIGIA_TEST_CUT_BUFFER_H

#include "drive.h"
#include "powercut.h"

#include <pthread.h>

#define CUT_ROWS_MAX   20000
#define CUT_OPENS_MAX  8
#define CUT_GAPS_MAX   256
#define CUT_DEVICE     "pi-1"
#define CUT_SENSOR     "s-1"
#define CUT_PROBE      1e6 /* temperature of the reading that a check appends */
#define CUT_REFUSED_BY 150 /* CoAP code of a quarantined row */

struct cut_row { /* the n-th reading has the temperature n */
    int lane, open;
    uint64_t seq;
    int64_t taken_ms;
    size_t given;      /* operation before which it was appended */
    size_t owed;       /* from here on it was confirmed */
    size_t settled_at; /* its outcome was told */
    size_t gone;       /* from here on it was confirmed that it left */
    uint8_t fate;      /* enum vg_buffer_fate */
};

struct cut_gap { /* as an event tells it */
    uint64_t store, first, last;
    char lane;
    size_t seen; /* a collector had it from here on */
};

struct cut_ledger {
    pthread_mutex_t lock; /* while the script runs */
    const struct crash_disk *disk;
    struct cut_row row[CUT_ROWS_MAX];
    size_t rows;
    struct {
        uint64_t store;
        int boot;
        size_t first_row[VG_BUFFER_LANES]; /* not yet owed */
    } open[CUT_OPENS_MAX];
    int opens;
    size_t anchored[CUT_OPENS_MAX]; /* by boot: an anchor was confirmed */
    size_t asked[CUT_ROWS_MAX];     /* rows in the order in which they were settled */
    size_t asked_count, gone_count, gone_before;
    size_t quarantine_max; /* rows that the quarantine of so small a buffer keeps */
    struct cut_gap gap[CUT_GAPS_MAX];
    size_t gaps;
    size_t commits, commits_before;
    struct drive_clock clock;
};

const char *cut_boot_id(int boot);
int64_t cut_wall_ms(const struct cut_ledger *l, int64_t taken_ms);
/* Takes a gap event apart; false when it is something else. */
bool cut_gap_parse(const struct vg_reading *r, struct cut_gap *out);
void cut_buffer_check(const void *ledger, const char *folder, size_t point, struct cut_finding *f);

#endif
