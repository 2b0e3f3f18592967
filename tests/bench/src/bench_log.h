/* The commands of bench_log that append. */
#ifndef VIGIA_BENCH_LOG_H
#define VIGIA_BENCH_LOG_H

#include "vigia/dlog.h"

/* Ends the program with one line unless `rc` is VG_OK. */
void bench_must(enum vg_err rc, const char *what);
/* Where calls put their detail for bench_must. */
struct vg_error *bench_error(void);
struct vg_dlog *bench_open(const char *url);

/* Enters devices d0, d1, … (each may speak for its own name and what begins with it and a dot) and
 * appends "name key" lines to `file`. Returns an exit status. */
int bench_devices(const char *url, const char *kek, size_t count, const char *file);
/* Appends `rows` readings of `sensors` sensors, of 32 devices, as a collector would have over
 * rows / 20,000 seconds until now, with a heartbeat to each partition every 10 s. */
int bench_fill(const char *url, size_t rows, size_t sensors, size_t permille);

#endif
