/* Inside vg_registry: what the table and its follower share. */
#ifndef VGI_TABLE_H
#define VGI_TABLE_H

#include "vigia/devices.h"

struct vg_dlog_view;

struct vgi_entry;
struct vgi_pattern; /* one node of the sensor index */

struct vg_devices {
    vg_devices_change_fn *fn;
    void *arg;
    size_t max, count;
    uint64_t refused;
    size_t mask;                /* buckets - 1, of both hash tables */
    struct vgi_entry **by_name; /* chains */
    struct vgi_pattern **by_pattern;
    struct vgi_entry **all; /* dense, for walking */
    /* How many prefix patterns have this length (the star not counted): only such lengths are
     * looked up. */
    uint32_t prefixes[VG_DEVICE_PATTERN_MAX + 1];
    struct vg_device *scratch;
    /* Follower. */
    struct vg_dlog_view *view;
    enum vg_err failed; /* of an apply inside the view's callback; VG_E_VERSION or VG_E_NOMEM */
    struct vg_error failure;
    struct vg_error refusal; /* the last entry that was passed over */
};

#endif
