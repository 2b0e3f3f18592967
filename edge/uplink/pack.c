#include "pack.h"

static bool expressible(int64_t wall_ms)
{
    return wall_ms >= VG_PACK_ABSOLUTE_MIN_MS && wall_ms <= VG_TIME_MS_MAX;
}

/* A wall time that the wire cannot tell is from a clock that was never set: it is not believed,
 * whoever vouches for that clock. */
static enum vg_pack_time resolve_time(const struct vg_uplink_row *row, const struct vgi_moment *at,
                                      int64_t *ms)
{
    struct vg_boot taken = row->booted ? row->taken : (struct vg_boot){0};
    int64_t age = (at->boot.ns - taken.ns) / VG_NS_PER_MS;
    age = age < 0 ? 0 : age;
    if (row->booted && at->synced && expressible(at->wall.ms - age)) {
        *ms = at->wall.ms - age;
        return VG_PACK_ABSOLUTE;
    }
    if (expressible(row->reading.time_ms)) {
        *ms = row->reading.time_ms;
        return VG_PACK_ABSOLUTE;
    }
    *ms = -age;
    return VG_PACK_RELATIVE;
}

size_t vgi_pack_rows(struct vg_pack *pack, enum vg_format format, void *buf,
                     const struct vgi_moment *at, const struct vg_uplink_row *rows, size_t count,
                     struct vg_span *body)
{
    vg_pack_init(pack, format, buf, VGI_BODY_MAX);
    enum vg_pack_time kind = VG_PACK_ABSOLUTE;
    size_t n = 0;
    for (; n < count; n++) {
        struct vg_reading r = rows[n].reading;
        enum vg_pack_time this_kind = resolve_time(&rows[n], at, &r.time_ms);
        if (n > 0 && this_kind != kind) {
            break;
        }
        kind = this_kind;
        if (vg_pack_add(pack, &r, kind, NULL) != VG_OK) {
            break;
        }
    }
    *body = vg_pack_finish(pack);
    return n;
}
