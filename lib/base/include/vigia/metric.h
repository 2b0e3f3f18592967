/* Metrics: named numbers of one program, printed in the Prometheus text format 0.0.4.
 *
 * Metrics are static objects registered at start; updating one is an atomic add, from any thread.
 * Names follow vigia_<program>_<thing>_<unit>; counters end in _total. At most VG_METRIC_MAX per
 * program, VG_METRIC_LABELS_MAX bytes of labels. No device or sensor id ever becomes a label. */
#ifndef VIGIA_METRIC_H
#define VIGIA_METRIC_H

#include "vigia/err.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#define VG_METRIC_MAX        128
#define VG_METRIC_LABELS_MAX 96

enum vg_metric_type { VG_COUNTER, VG_GAUGE };

struct vg_metric {
    const char *name;   /* "vigia_edge_readings_total" */
    const char *labels; /* "lane=\"urgent\"" or NULL */
    const char *help;
    enum vg_metric_type type;
    _Atomic int64_t value;
    double scale; /* printed value = value * scale; 0 means 1 (a gauge in ms printed as seconds has
                     0.001) */
};

/* Registers `count` metrics that live as long as the program. VG_E_FULL above VG_METRIC_MAX,
 * VG_E_INVALID for a name or labels that Prometheus would not read; then none is registered.
 * Registering the same object again changes nothing. Metrics that share a name must be registered
 * next to each other. */
enum vg_err vg_metric_register(struct vg_metric *metrics, size_t count) VG_NODISCARD;

static inline void vg_metric_add(struct vg_metric *m, int64_t n)
{
    atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}
static inline void vg_metric_set(struct vg_metric *m, int64_t v)
{
    atomic_store_explicit(&m->value, v, memory_order_relaxed);
}
static inline int64_t vg_metric_get(const struct vg_metric *m)
{
    return atomic_load_explicit(&m->value, memory_order_relaxed);
}

/* Prints every registered metric, process_* included, to `to`. */
void vg_metric_print(FILE *to);

#endif
