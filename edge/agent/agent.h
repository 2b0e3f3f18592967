/* The running agent: for vg_program. */
#ifndef VIGIA_EDGE_AGENT_H
#define VIGIA_EDGE_AGENT_H

#include "conf.h"

enum vg_err vgi_agent_start(struct vg_loop *loop, void *conf, void **state, struct vg_error *err);
void vgi_agent_stop(void *state);

/* What the agent itself needs of the loop. */
#define VGI_AGENT_WATCHES (3 + VGI_SOURCES_MAX) /* buffer, CoAP, look-ups, sources */
#define VGI_AGENT_TIMERS  (3 + VGI_SOURCES_MAX) /* tick, end, uplink, sources */

#endif
