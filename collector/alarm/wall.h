/* How long the machine's wall clock has stood: gone as the clock since boot does, without a step of
 * more than VGI_WALL_LEAP_MS either way. A clock that has not stood for a while proves nothing about
 * another one, be it wrong for a moment or not yet right after a start without a battery. Smaller
 * steps are those of a clock that is kept right. Pure. */
#ifndef VIGIA_ALARM_WALL_H
#define VIGIA_ALARM_WALL_H

#include "vigia/clock.h"

#define VGI_WALL_LEAP_MS   60000
#define VGI_WALL_STANDS_MS 300000 /* then it is believed against a time that was stored */

struct vgi_wall {
    bool begun;
    int64_t offset_ms;    /* wall clock less time since boot, at the last look */
    struct vg_boot since; /* it stands */
};

/* How far the clock has leapt since the last look, ms, less than 0: back; 0: it has not. Start with
 * zeros; the first look takes the clock as it is. Read `boot` before `wall`. */
int64_t vgi_alarm_wall_look(struct vgi_wall *w, struct vg_wall wall, struct vg_boot boot);
/* It has stood for `for_ms` since the first look or the last leap. */
bool vgi_alarm_wall_stands(const struct vgi_wall *w, struct vg_boot boot, int64_t for_ms);

#endif
