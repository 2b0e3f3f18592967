/* The public face: the core's actions carried out. */
#include "link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t pack(void *arg, enum vg_uplink_lane lane, enum vg_format format,
                   const struct vg_uplink_row *rows, size_t count)
{
    struct vg_uplink *u = arg;
    const struct vg_clock *clock = vg_loop_clock(u->net->loop);
    struct vgi_moment at = {.boot = vg_now_boot(clock),
                            .wall = vg_now_wall(clock),
                            .synced = u->feed.synced != NULL ? u->feed.synced(u->feed.arg)
                                                             : clock->synced(clock->self)};
    return vgi_pack_rows(&u->net->pack, format, u->net->buffers[lane], &at, rows, count,
                         &u->bodies[lane]);
}

static void carry_out(struct vg_uplink *u, const struct vgi_action *a)
{
    switch (a->type) {
    case VGI_ACT_CONNECT:
        u->connect_wanted = true;
        u->connect_to = a->collector;
        u->net->wanted = true;
        break;
    case VGI_ACT_CLOSE:
        vgi_link_close(u);
        break;
    case VGI_ACT_FETCH:
        u->feed.fetch(u->feed.arg, a->lane, a->count);
        break;
    case VGI_ACT_SEND:
        if (u->session != NULL && !vgi_link_send(u, a)) {
            vgi_link_lost(u, VGI_LOST_UNREACHABLE);
        }
        break;
    case VGI_ACT_SETTLE:
        u->feed.settle(u->feed.arg, a->lane, a->outcomes, a->count);
        break;
    case VGI_ACT_TELL:
        if (u->feed.event != NULL) {
            u->feed.event(u->feed.arg, a->event, a->collector, a->detail);
        }
        break;
    }
}

static struct vg_mono mono(const struct vg_uplink *u)
{
    assert(!u->busy);
    return vg_now_mono(vg_loop_clock(u->net->loop));
}

void vgi_uplink_act(struct vg_uplink *u)
{
    struct vgi_action a;
    struct vg_mono at;
    do {
        if (u->lost_meanwhile) {
            u->lost_meanwhile = false;
            vgi_core_lost(u->core, u->lost_why, mono(u));
        }
        u->busy = true;
        while (vgi_core_next(u->core, &a)) {
            carry_out(u, &a);
        }
        u->busy = false;
    } while (u->lost_meanwhile);
    if (vgi_core_deadline(u->core, &at)) {
        vg_loop_timer_at(u->net->loop, u->timer, at);
    } else {
        vg_loop_timer_stop(u->net->loop, u->timer);
    }
}

static void after_event(struct vg_uplink *u)
{
    vgi_uplink_act(u);
    vgi_net_flush(u->net);
}

static void on_timer(void *arg)
{
    struct vg_uplink *u = arg;
    vgi_core_timer(u->core, mono(u));
    after_event(u);
}

enum vg_err vg_uplink_open(struct vg_uplink_net *net, const struct vg_uplink_options *options,
                           const struct vg_uplink_feed *feed, struct vg_uplink **out,
                           struct vg_error *err)
{
    enum vg_err e = vgi_options_check(options, err);
    if (e != VG_OK) {
        return e;
    }
    if (net->uplink_count == net->dying_max) {
        return vg_fail(err, VG_E_FULL, "more than %zu uplinks", net->dying_max);
    }
    struct vg_uplink *u = calloc(1, sizeof *u);
    if (u == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for an uplink");
    }
    u->net = net;
    u->options = *options;
    u->feed = *feed;
    e = vg_loop_timer(net->loop, on_timer, u, &u->timer);
    if (e == VG_OK) {
        e = vgi_core_new(options, pack, u, &u->core);
    }
    if (e != VG_OK) {
        vg_loop_timer_remove(net->loop, u->timer);
        free(u);
        return vg_fail(err, e, "cannot set up an uplink: %s", vg_err_name(e));
    }
    u->next = net->uplinks;
    net->uplinks = u;
    net->uplink_count++;
    *out = u;
    return VG_OK;
}

void vg_uplink_start(struct vg_uplink *u)
{
    vgi_core_start(u->core, mono(u));
    after_event(u);
}

void vg_uplink_stop(struct vg_uplink *u)
{
    assert(!u->busy);
    vgi_core_stop(u->core);
    after_event(u);
}

void vg_uplink_close(struct vg_uplink *u)
{
    if (u == NULL) {
        return;
    }
    vg_uplink_stop(u);
    struct vg_uplink **at = &u->net->uplinks;
    while (*at != u) {
        at = &(*at)->next;
    }
    *at = u->next;
    u->net->uplink_count--;
    vg_loop_timer_remove(u->net->loop, u->timer);
    vgi_core_free(u->core);
    free(u);
}

void vg_uplink_notify(struct vg_uplink *u, enum vg_uplink_lane lane)
{
    vgi_core_notify(u->core, lane, mono(u));
    after_event(u);
}

void vg_uplink_rows(struct vg_uplink *u, enum vg_uplink_lane lane, const struct vg_uplink_row *rows,
                    size_t count)
{
    vgi_core_rows(u->core, lane, rows, count, mono(u));
    after_event(u);
}

const struct vg_uplink_stats *vg_uplink_stats(const struct vg_uplink *u)
{
    return vgi_core_stats(u->core);
}
