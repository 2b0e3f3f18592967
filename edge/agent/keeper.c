/* What the device says about itself: that it lives, and what its clock does. */
#include "parts.h"

#include "vigia/log.h"

#include <stdio.h>

/* The wall clock has stepped when it moved this much against the boot clock between two looks. NTP
 * slews slower. */
#define STEP_MS 500

static struct vg_reading about(const struct vgi_agent *a, enum vg_event event)
{
    struct vg_reading r = {.event = (uint8_t)event};
    bool fits = vg_str_copy(a->conf->device, r.sensor, sizeof r.sensor);
    assert(fits);
    (void)fits;
    return r;
}

static int64_t offset_ms(const struct vgi_agent *a)
{
    return vg_now_wall(a->clock).ms - vg_now_boot(a->clock).ns / VG_NS_PER_MS;
}

static void anchor(struct vgi_agent *a)
{
    struct vg_boot boot = vg_now_boot(a->clock);
    vg_buffer_anchor(a->buffer, boot, vg_now_wall(a->clock));
    a->keeper.anchored = boot;
}

static void tell_clock(struct vgi_agent *a, const char *text)
{
    struct vg_reading r = about(a, VG_EVENT_CLOCK);
    bool fits = vg_str_copy(text, r.event_text, sizeof r.event_text);
    assert(fits);
    (void)fits;
    vg_log_info("clock", "event=%s", VG_Q(text));
    vgi_agent_keep(a, &r, vg_now_boot(a->clock));
}

static void live(struct vgi_agent *a)
{
    struct vg_boot now = vg_now_boot(a->clock);
    if (a->keeper.has_alive && now.ns - a->keeper.alive.ns < a->conf->alive_ms * VG_NS_PER_MS) {
        return;
    }
    struct vg_reading r = about(a, VG_EVENT_ALIVE);
    vgi_agent_keep(a, &r, now);
    /* On the grid, so that a late tick does not move all later ones. */
    a->keeper.alive.ns =
        a->keeper.has_alive ? a->keeper.alive.ns + a->conf->alive_ms * VG_NS_PER_MS : now.ns;
    if (now.ns - a->keeper.alive.ns >= a->conf->alive_ms * VG_NS_PER_MS) {
        a->keeper.alive = now; /* suspended for longer than a period: one is enough */
    }
    a->keeper.has_alive = true;
}

void vgi_keeper_start(struct vgi_agent *a)
{
    struct vgi_keeper *k = &a->keeper;
    k->synced = vgi_agent_synced(a);
    k->offset_ms = offset_ms(a);
    if (k->synced) {
        anchor(a);
    } else {
        tell_clock(a, "not synchronised");
    }
    live(a);
}

void vgi_keeper_tick(struct vgi_agent *a)
{
    struct vgi_keeper *k = &a->keeper;
    bool synced = vgi_agent_synced(a);
    int64_t offset = offset_ms(a), moved = offset - k->offset_ms;
    k->offset_ms = offset;
    if (synced && !k->synced) {
        anchor(a);
        tell_clock(a, "synchronised");
    } else if (!synced && k->synced) {
        tell_clock(a, "synchronisation lost");
    } else if (moved >= STEP_MS || moved <= -STEP_MS) {
        char text[VG_EVENT_TEXT_MAX + 1];
        (void)snprintf(text, sizeof text, "stepped by %lld ms", (long long)moved);
        if (synced) {
            anchor(a);
        }
        tell_clock(a, text);
    } else if (synced &&
               vg_now_boot(a->clock).ns - k->anchored.ns >= VG_BUFFER_ANCHOR_MS * VG_NS_PER_MS) {
        anchor(a);
    }
    k->synced = synced;
    live(a);
}
