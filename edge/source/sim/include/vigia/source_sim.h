/* Emulated sensors: a scenario file (docs/scenario.md) played in real time. */
#ifndef VIGIA_SOURCE_SIM_H
#define VIGIA_SOURCE_SIM_H

#include "vigia/source.h"

struct vg_source_sim_options {
    const char *scenario; /* the file */
    /* One JSON line per sample that read handed out is appended here: what an independent checker
     * compares with. NULL or empty: none. Written before read returns, on the loop's thread. */
    const char *ledger;
    /* When the story began, epoch ms UTC. 0: now. A process that is killed and started again with
     * the same value goes on where the story stands by then; what was due in between was never
     * sampled. */
    int64_t start_ms;
};

/* config: struct vg_source_sim_options. */
extern const struct vg_source_ops vg_source_sim;

#endif
