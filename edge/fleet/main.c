/* vigia-fleet: load on a collector, as many devices would make it. */
#include "fleet.h"

#include "vigia/program.h"

static const char manual[] =
    "# DESCRIPTION\n\n"
    "*vigia-fleet* speaks to a collector as many devices at once, each with its own DTLS session "
    "and its own key, on the "
    "agent's own uplink. Readings fall due at a fixed rate, whether or not earlier ones are "
    "answered; each one's latency "
    "counts from then to its 2.04.\n\n"
    "When the time is over it prints one JSON object: readings fallen due, sent and acknowledged, "
    "readings missed because "
    "256 of a device already waited, requests, handshakes, sessions as the load began and at the "
    "end, latency in milliseconds (p50, p99, greatest) and the CPU time "
    "of this process. It exits with 0 only if every reading was acknowledged.\n\n";

static struct vgi_fleet_conf conf;

int main(int argc, char **argv)
{
    const struct vg_program program = {
        .name = "vigia-fleet",
        .summary = "emulates many devices that send readings to a collector",
        .manual = manual,
        .table = &vgi_fleet_table,
        .conf = &conf,
        .metrics_listen = conf.metrics_listen,
        .max_watches = 2,                        /* CoAP, look-ups */
        .max_timers = VGI_FLEET_DEVICES_MAX + 1, /* one for each uplink, the tick */
        .check = vgi_fleet_check,
        .start = vgi_fleet_start,
        .drain = vgi_fleet_drain,
        .stop = vgi_fleet_stop,
    };
    return vg_program_main(&program, argc, argv);
}
