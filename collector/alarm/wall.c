/* See wall.h. */
#include "wall.h"

int64_t vgi_alarm_wall_look(struct vgi_wall *w, struct vg_wall wall, struct vg_boot boot)
{
    const int64_t offset_ms = wall.ms - boot.ns / VG_NS_PER_MS;
    const int64_t step_ms = w->begun ? offset_ms - w->offset_ms : 0;
    const bool leapt = step_ms > VGI_WALL_LEAP_MS || step_ms < -VGI_WALL_LEAP_MS;
    if (!w->begun || leapt) {
        w->since = boot;
    }
    w->begun = true;
    w->offset_ms = offset_ms;
    return leapt ? step_ms : 0;
}

bool vgi_alarm_wall_stands(const struct vgi_wall *w, struct vg_boot boot, int64_t for_ms)
{
    return w->begun && (boot.ns - w->since.ns) / VG_NS_PER_MS >= for_ms;
}
