/* Start order, the tick, stop order. */
#include "parts.h"
#include "provision.h"

#include "vigia/log.h"

#include <stdlib.h>

#define TICK_MS 1000

bool vgi_agent_synced(void *agent)
{
    const struct vgi_agent *a = agent;
    switch ((enum vgi_clock_mode)a->conf->clock) {
    case VGI_CLOCK_TRUSTED:
        return true;
    case VGI_CLOCK_UNSYNCED:
        return false;
    case VGI_CLOCK_AUTO:
        break;
    }
    return a->clock->synced(a->clock->self);
}

void vgi_agent_keep(struct vgi_agent *a, struct vg_reading *reading, struct vg_boot taken)
{
    bool fits = vg_str_copy(a->conf->device, reading->device, sizeof reading->device);
    assert(fits);
    (void)fits;
    enum vg_err e = vg_buffer_append(a->buffer, reading, taken);
    if (e != VG_OK) {
        vg_log_error("reading-refused", "sensor=%s reason=%s", VG_Q(reading->sensor),
                     vg_err_name(e));
    }
}

static void on_tick(void *arg)
{
    struct vgi_agent *a = arg;
    vgi_keeper_tick(a);
    vgi_relay_tick(a);
    vgi_figures_tick(a);
    vg_loop_timer_in_ms(a->loop, a->tick, TICK_MS);
}

enum vg_err vgi_agent_start(struct vg_loop *loop, void *conf, void **state, struct vg_error *err)
{
    struct vgi_agent *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the agent");
    }
    a->conf = conf;
    a->loop = loop;
    a->clock = vg_loop_clock(loop);
    enum vg_err e = vgi_provision_take(a->conf, err);
    if (e == VG_OK) {
        e = vgi_figures_register(err);
    }
    /* The sources first: they read nothing before the loop turns, and one that cannot be opened is
     * found while the buffer has not been touched. */
    if (e == VG_OK) {
        e = vgi_feeders_start(a, err);
    }
    if (e == VG_OK) {
        e = vgi_relay_open_buffer(a, err);
    }
    if (e == VG_OK) {
        e = vgi_relay_open_uplink(a, err);
    }
    if (e == VG_OK && vg_loop_timer(loop, on_tick, a, &a->tick) != VG_OK) {
        e = vg_fail(err, VG_E_FULL, "the loop takes no more timers");
    }
    if (e != VG_OK) {
        vgi_agent_stop(a);
        return e;
    }
    vgi_keeper_start(a);
    vgi_figures_tick(a); /* whoever looks before the first tick sees what waits on the card */
    vg_loop_timer_in_ms(loop, a->tick, TICK_MS);
    vg_log_info("agent-up", "device=%s buffer=%s sources=%zu", VG_Q(a->conf->device),
                VG_Q(a->conf->buffer_path), a->feeder_count);
    *state = a;
    return VG_OK;
}

/* What is unsent is on the card; the buffer's close commits the rest. */
void vgi_agent_stop(void *state)
{
    struct vgi_agent *a = state;
    vg_loop_timer_remove(a->loop, a->tick);
    vgi_feeders_stop(a);
    vgi_relay_close(a);
    free(a);
}
