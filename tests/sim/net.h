/* The network between devices and collectors: one path per device. */
#ifndef VIGIA_SIM_NET_H
#define VIGIA_SIM_NET_H

#include "sim.h"

struct sim_path {
    double loss, twice, reorder; /* probabilities of one datagram in one direction */
    int64_t dark_until;          /* nothing passes before */
    unsigned address; /* the device's address as the collector sees it: a NAT may change it */
};

struct sim_net_count {
    uint64_t sent, lost, twice, late, dark;
};

struct sim_path *sim_path(int host);
/* Takes over `datagram` (malloc'ed); `deliver` gets it, or a copy of `len` bytes, and frees it. */
typedef void sim_deliver_fn(void *datagram);
void sim_net_send(struct sim_path *path, void *datagram, size_t len, sim_deliver_fn *deliver);
struct sim_net_count sim_net_counts(void);

#endif
