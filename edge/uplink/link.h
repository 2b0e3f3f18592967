/* One uplink's session in libcoap: what net.c and uplink.c need of link.c. */
#ifndef VIGIA_UPLINK_LINK_H
#define VIGIA_UPLINK_LINK_H

#include "net.h"

/* net.c */
void vgi_net_flush(struct vg_uplink_net *net);
void vgi_net_release(struct vg_uplink_net *net, coap_session_t *session);

/* link.c */
void vgi_link_handlers(coap_context_t *coap);
void vgi_link_connect(struct vg_uplink *u);
void vgi_link_resolved(struct vg_uplink *u, const struct vgi_address *address);
void vgi_link_close(struct vg_uplink *u);
/* Completes a handshake that libcoap has completed, since it raises no event for that; returns
 * whether one is still under way. */
bool vgi_link_look(struct vg_uplink *u);
/* Tells the core, now or, while its actions are carried out, after them. */
void vgi_link_lost(struct vg_uplink *u, enum vgi_lost why);
/* False when libcoap would not take the request. */
bool vgi_link_send(struct vg_uplink *u, const struct vgi_action *a);

/* uplink.c: after an event was given to u->core. */
void vgi_uplink_act(struct vg_uplink *u);

#endif
