/* The power-cut proof: a script runs once against a disk that records; then the disk is written as
 * a cut at each recorded operation would have left it, the product opens it, and what it gives is
 * compared with what had been confirmed by then. */
#ifndef VIGIA_TEST_POWERCUT_H
#define VIGIA_TEST_POWERCUT_H

#include "crashvfs.h"

#include "vigia/clock.h"

/* Longest wait for anything that the product does. */
#define CUT_WAIT_MS 30000
/* "Not (yet)" among operation numbers. */
#define CUT_NEVER SIZE_MAX

/* What a check found wrong first; later findings of the same disk are not kept. */
struct cut_finding {
    bool wrong;
    char text[240];
};
void cut_wrong(struct cut_finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The script cannot go on: says why and ends the program. */
_Noreturn void cut_stop(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct cut_proof {
    const char *name;
    /* Runs the script of about `commits` commits in the folder of the disk; returns its ledger. */
    void *(*record)(struct crash_disk *d, const char *folder, size_t commits, uint64_t seed);
    size_t (*commits)(const void *ledger); /* that the script made */
    /* Opens the disk in `folder` as it was cut before operation `point` and compares. */
    void (*check)(const void *ledger, const char *folder, size_t point, struct cut_finding *f);
    void (*done)(void *ledger);
};
extern const struct cut_proof cut_buffer, cut_log;

/* PRAGMA integrity_check of a file, by SQLite alone. */
void cut_integrity(const char *path, struct cut_finding *f);

static inline bool cut_by(size_t op, size_t point)
{
    return op <= point;
}

#endif
