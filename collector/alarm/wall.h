/* The wall clock that the processor goes by: the machine's, without its leaps.
 *
 *   machine   ────────┐        ┌─────────      a blip: nothing of it is seen
 *                     └────────┘
 *   gone by   ──────────────────────────
 *
 * A step of the machine's clock against the one that runs since boot, of more than
 * VGI_WALL_LEAP_MS either way, is not followed: time goes on from where it was. A leap that has
 * stood for VGI_WALL_STANDS_MS is the right time, and is followed. That collectors agree with it
 * proves nothing: on one machine they leap together. A time that has not stood so long itself, as
 * after a start without a battery-backed clock, is no better than the next: that one is followed at
 * once, and so are smaller steps. Pure. */
#ifndef VIGIA_ALARM_WALL_H
#define VIGIA_ALARM_WALL_H

#include "vigia/clock.h"

#define VGI_WALL_LEAP_MS   60000
#define VGI_WALL_STANDS_MS 300000

struct vgi_wall {
    bool begun, leapt;
    int64_t offset_ms;    /* wall clock less time since boot, as gone by */
    struct vg_boot since; /* gone by it since */
    int64_t leap_ms;      /* how far the newest leap led from that */
    struct vg_boot leapt_at;
};

enum vgi_wall_news {
    VGI_WALL_SAME,
    VGI_WALL_LEAPT,   /* and is not followed */
    VGI_WALL_BACK,    /* to where it was, about */
    VGI_WALL_FOLLOWED /* a leap, as it has stood long enough or the time before it had not */
};

/* What happened since the last look; the first one takes the clock as it is. Start with zeros. */
enum vgi_wall_news vgi_alarm_wall_look(struct vgi_wall *w, struct vg_wall wall,
                                       struct vg_boot boot);
/* The time gone by at `boot`, ms since 1970 UTC; looked at before. */
int64_t vgi_alarm_wall_ms(const struct vgi_wall *w, struct vg_boot boot);
/* How far the newest leap led ahead (back: less than 0). */
int64_t vgi_alarm_wall_leap_ms(const struct vgi_wall *w);

#endif
