/* The agent's parts, shared by its files.
 *
 *   feeder (sources) ──► buffer ──► relay ──► uplink        keeper: alive, the clock's state and
 * events
 *
 * All on one loop; only the buffer's writer has a thread of its own. */
#ifndef VIGIA_EDGE_PARTS_H
#define VIGIA_EDGE_PARTS_H

#include "agent.h"

#include "vigia/buffer.h"
#include "vigia/random.h"
#include "vigia/source.h"

#include <assert.h>

struct vgi_agent;

/* A total, as far as the log has told it. */
struct vgi_told {
    uint64_t total;
    struct vg_mono next; /* not told again before */
};

struct vgi_bounds {
    bool full; /* the last line of the two says so */
    struct vgi_told fulls, damaged_rows, evicted, quarantine, undated, gaps, asides, parked;
    uint64_t files, rows; /* damaged and told */
};

struct vgi_feeder {
    struct vgi_agent *agent;
    const struct vgi_source_conf *conf;
    const struct vg_source_ops *ops;
    void *source;
    vg_watch_id watch;
    vg_timer_id timer;
};

struct vgi_keeper {
    int64_t offset_ms; /* wall - boot, when last looked at */
    bool synced;
    struct vg_boot anchored, alive;
    bool has_alive;
};

#define VGI_SAMPLES_MAX 64 /* read from a source at once */

struct vgi_agent {
    struct vgi_edge_conf *conf;
    struct vg_loop *loop;
    const struct vg_clock *clock;
    struct vg_buffer *buffer;
    vg_watch_id buffer_watch;
    struct vg_uplink_net *net;
    struct vg_uplink *uplink;
    bool unanswered_fetch[VG_UPLINK_LANES];
    vg_timer_id tick, end;
    struct vgi_keeper keeper;
    struct vgi_bounds bounds;
    struct vgi_feeder feeders[VGI_SOURCES_MAX];
    size_t feeder_count;
    struct vg_sample samples[VGI_SAMPLES_MAX];
    struct vg_uplink_row rows[VG_BUFFER_FETCH_MAX];
};

/* Stamps and keeps one reading; what the buffer refuses is counted there and told here. */
void vgi_agent_keep(struct vgi_agent *a, struct vg_reading *reading, struct vg_boot taken);
/* Whether the wall clock is to be believed, by configuration or by the kernel. */
bool vgi_agent_synced(void *agent);

/* feeder.c */
enum vg_err vgi_feeders_start(struct vgi_agent *a, struct vg_error *err);
void vgi_feeders_stop(struct vgi_agent *a);

/* relay.c */
enum vg_err vgi_relay_open_buffer(struct vgi_agent *a, struct vg_error *err);
enum vg_err vgi_relay_open_uplink(struct vgi_agent *a, struct vg_error *err);
void vgi_relay_tick(struct vgi_agent *a);
void vgi_relay_close(struct vgi_agent *a);

/* bounds.c: after the buffer is open, before the uplink is closed; `last`: what was kept back for its
 * pace is told now. */
void vgi_bounds_tell(struct vgi_agent *a, bool last);

/* keeper.c */
void vgi_keeper_start(struct vgi_agent *a);
void vgi_keeper_tick(struct vgi_agent *a);

/* figures.c */
enum vg_err vgi_figures_register(struct vg_error *err);
void vgi_figures_tick(struct vgi_agent *a);

#endif
