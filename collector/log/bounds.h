/* What an appender holds, against its bounds; the same for both backends.
 *
 *   |<----------------- queue_max, queue_max_bytes ----------------->|<--- heartbeats --->|
 *   |<------------ VG_DLOG_ROUTINE ------------>|                    |
 *   |<----------------------- VG_DLOG_URGENT ----------------------->|
 *
 * Heartbeats have a place for each partition that a topic can have, beside the others. */
#ifndef VG_LOG_BOUNDS_H
#define VG_LOG_BOUNDS_H

#include "vigia/dlog_admin.h"

/* Room of all heartbeats. */
#define VGI_BEATS_MAX   VG_DLOG_PARTITIONS_MAX
#define VGI_BEATS_BYTES (VGI_BEATS_MAX * 1024LL)

struct vgi_held {
    size_t records, bytes;
};

struct vgi_bounds {
    struct vgi_held queue, beats;
};

/* Counts a group in; false: it does not fit, nothing was counted. */
bool vgi_bounds_take(struct vgi_bounds *b, const struct vg_dlog_conf *conf, enum vg_dlog_room room,
                     size_t records, size_t bytes) VG_NODISCARD;
/* Counts it out. */
void vgi_bounds_give(struct vgi_bounds *b, enum vg_dlog_room room, size_t records, size_t bytes);

#endif
