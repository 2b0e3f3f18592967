/* vigia-collector as vigia/program.h wants it. */
#ifndef VGI_INGEST_COLLECTOR_H
#define VGI_INGEST_COLLECTOR_H

#include "vigia/err.h"
#include "vigia/loop.h"

enum vg_err vgi_collector_start(struct vg_loop *loop, void *conf, void **state,
                                struct vg_error *err) VG_NODISCARD;
bool vgi_collector_ready(void *state);
enum vg_err vgi_collector_reload(void *state, const void *conf, struct vg_error *err) VG_NODISCARD;
void vgi_collector_drain(void *state);
void vgi_collector_stop(void *state);

#endif
