/* Loss, duplication, reordering, delay, outage; see net.h. */
#include "net.h"

#include <stdlib.h>
#include <string.h>

#define PATHS_MAX 256
/* The way there, and how much longer the late ones take. */
#define DELAY_MIN_US 500
#define DELAY_MAX_US 40000
#define LATE_MAX_US  4000000

static struct sim_path paths[PATHS_MAX];
static struct sim_net_count counts;

struct sim_path *sim_path(int host)
{
    return &paths[host];
}

struct sim_net_count sim_net_counts(void)
{
    return counts;
}

struct flight {
    struct sim_path *path;
    sim_deliver_fn *deliver;
    void *datagram;
};

static void arrive(void *arg, uint64_t n)
{
    (void)n;
    struct flight f = *(struct flight *)arg;
    free(arg);
    if (sim_now < f.path->dark_until) {
        counts.dark++;
        free(f.datagram);
        return;
    }
    f.deliver(f.datagram);
}

static void fly(struct sim_path *path, void *datagram, sim_deliver_fn *deliver)
{
    struct flight *f = malloc(sizeof *f);
    if (f == NULL) {
        sim_fail("no memory for the network");
    }
    *f = (struct flight){path, deliver, datagram};
    int64_t us = sim_between(SIM_DICE_NET, DELAY_MIN_US, DELAY_MAX_US);
    if (sim_chance(SIM_DICE_NET, path->reorder)) {
        us += sim_between(SIM_DICE_NET, 0, LATE_MAX_US);
        counts.late++;
    }
    sim_at(sim_now + us * 1000, arrive, f, 0);
}

void sim_net_send(struct sim_path *path, void *datagram, size_t len, sim_deliver_fn *deliver)
{
    counts.sent++;
    if (sim_now < path->dark_until) {
        counts.dark++;
        free(datagram);
        return;
    }
    if (sim_chance(SIM_DICE_NET, path->twice)) {
        void *copy = malloc(len);
        if (copy == NULL) {
            sim_fail("no memory for the network");
        }
        memcpy(copy, datagram, len);
        counts.twice++;
        fly(path, copy, deliver);
    }
    if (sim_chance(SIM_DICE_NET, path->loss)) {
        counts.lost++;
        free(datagram);
        return;
    }
    fly(path, datagram, deliver);
}
