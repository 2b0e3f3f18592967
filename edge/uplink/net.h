/* The libcoap half: one context, its descriptor on the loop, and the uplinks that share it. */
#ifndef VIGIA_UPLINK_NET_H
#define VIGIA_UPLINK_NET_H

#include "core.h"
#include "pack.h"
#include "resolve.h"

#include <coap3/coap.h>

struct vg_uplink {
    struct vg_uplink_net *net;
    struct vg_uplink *next; /* of the net's list */
    struct vgi_core *core;
    struct vg_uplink_feed feed;
    struct vg_uplink_options options;
    vg_timer_id timer;
    coap_session_t *session;
    bool connected;
    bool busy; /* carrying out actions */
    bool lost_meanwhile;
    enum vgi_lost lost_why;
    bool connect_wanted; /* until the net is outside libcoap */
    size_t connect_to;
    uint64_t resolving; /* ticket of the look-up under way; 0: none */
    unsigned address_turn;
    struct vg_span bodies[VG_UPLINK_LANES];
};

struct vg_uplink_net {
    struct vg_loop *loop;
    coap_context_t *coap;
    vg_watch_id watch;
    struct vgi_resolver *resolver;
    struct vg_uplink *uplinks;
    size_t uplink_count;
    coap_session_t **dying; /* given up inside a callback of libcoap, to be released outside it */
    size_t dying_count, dying_max;
    bool inside;     /* libcoap, or the flush, is on the stack */
    bool wanted;     /* some uplink has connect_wanted */
    bool connecting; /* some uplink's handshake may be under way */
    struct vg_pack pack;
    char buffers[VG_UPLINK_LANES][VGI_BODY_MAX];
};

#endif
