/* See wall.h. */
#include "wall.h"

#include <assert.h>

static bool apart(int64_t a_ms, int64_t b_ms)
{
    int64_t by_ms = a_ms - b_ms;
    return by_ms > VGI_WALL_LEAP_MS || by_ms < -VGI_WALL_LEAP_MS;
}

static bool stood(struct vg_boot since, struct vg_boot now)
{
    return now.ns - since.ns >= VGI_WALL_STANDS_MS * VG_NS_PER_MS;
}

static enum vgi_wall_news follow(struct vgi_wall *w, struct vg_boot since, int64_t by_ms)
{
    w->leapt = false;
    w->since = since;
    w->leap_ms = by_ms;
    w->offset_ms += by_ms;
    return VGI_WALL_FOLLOWED;
}

enum vgi_wall_news vgi_alarm_wall_look(struct vgi_wall *w, struct vg_wall wall, struct vg_boot boot)
{
    const int64_t offset_ms = wall.ms - boot.ns / VG_NS_PER_MS;
    const int64_t by_ms = offset_ms - w->offset_ms;
    const bool leapt = w->leapt;
    if (!w->begun) {
        *w = (struct vgi_wall){.begun = true, .offset_ms = offset_ms, .since = boot};
        return VGI_WALL_SAME;
    }
    if (!apart(by_ms, 0)) {
        w->leapt = false;
        w->offset_ms = offset_ms;
        return leapt ? VGI_WALL_BACK : VGI_WALL_SAME;
    }
    if (!stood(w->since, boot)) {
        return follow(w, boot, by_ms);
    }
    if (!leapt || apart(by_ms, w->leap_ms)) {
        w->leapt = true;
        w->leap_ms = by_ms;
        w->leapt_at = boot;
        return VGI_WALL_LEAPT;
    }
    return stood(w->leapt_at, boot) ? follow(w, w->leapt_at, by_ms) : VGI_WALL_SAME;
}

int64_t vgi_alarm_wall_ms(const struct vgi_wall *w, struct vg_boot boot)
{
    assert(w->begun);
    return w->offset_ms + boot.ns / VG_NS_PER_MS;
}

int64_t vgi_alarm_wall_leap_ms(const struct vgi_wall *w)
{
    return w->leap_ms;
}
