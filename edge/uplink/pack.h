/* Rows to a body: times made absolute or relative, as the clocks allow at this moment. */
#ifndef VIGIA_UPLINK_PACK_H
#define VIGIA_UPLINK_PACK_H

#include "vigia/senml.h"
#include "vigia/uplink.h"

#include <assert.h>

/* A body that travels in one packet with its options and DTLS around it, also over the smallest
 * IPv6 link (RFC 7252 §4.6). */
#define VGI_BODY_MAX 1024
static_assert(VGI_BODY_MAX <= VG_BODY_MAX, "a collector takes what we pack");

/* The clocks at the moment of sending. */
struct vgi_moment {
    struct vg_boot boot;
    struct vg_wall wall;
    bool synced;
};

/* Packs as many of `count` rows as fit into `buf` (VGI_BODY_MAX bytes) and returns how many, 0 when
 * the wire does not accept the first one. Absolute and relative times do not mix in a body: a
 * change ends it. */
size_t vgi_pack_rows(struct vg_pack *pack, enum vg_format format, void *buf,
                     const struct vgi_moment *at, const struct vg_uplink_row *rows, size_t count,
                     struct vg_span *body);

#endif
