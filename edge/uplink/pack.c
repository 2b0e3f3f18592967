#include "pack.h"

static enum vg_pack_time resolve_time(const struct vg_uplink_row *row, const struct vgi_moment *at,
                                      int64_t *ms)
{
    bool exact = row->booted && at->synced;
    if (!exact && row->reading.time_ms > 0) {
        *ms = row->reading.time_ms;
        return VG_PACK_ABSOLUTE;
    }
    struct vg_boot taken = row->booted ? row->taken : (struct vg_boot){0};
    int64_t age = (at->boot.ns - taken.ns) / VG_NS_PER_MS;
    age = age < 0 ? 0 : age;
    if (exact) {
        *ms = at->wall.ms - age;
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
