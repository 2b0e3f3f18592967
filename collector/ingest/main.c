/* vigia-collector: CoAP over DTLS in, the durable log out. */
#include "collector.h"
#include "conf.h"

#include "vigia/program.h"

static const char manual[] = "# DESCRIPTION\n\n"
                             "*vigia-collector* takes readings from devices by CoAP over DTLS "
                             "(POST /v1/readings, POST /v1/ok) and writes them to "
                             "the topic _readings_ of the log. It answers 2.04 only when every "
                             "reading of a request is durable. Who a device is, "
                             "is decided by its DTLS session alone; what it may speak for stands "
                             "in the topic _devices_, which *vigia device* "
                             "writes. A revoked device loses its sessions within seconds.\n\n"
                             "The port opens when everything in _devices_ has been read. SIGTERM "
                             "ends it after the requests under way are answered; "
                             "SIGHUP reads the key files again.\n\n"
                             "# IDENTITY OF A READING\n\n"
                             "The options store, lane and seq of a request give each reading an "
                             "identity, by which whoever counts counts it once, however "
                             "often it is sent. A client that sends none is protected by CoAP "
                             "message ids only: a message repeated within 247 "
                             "seconds in the same session is stored once.\n\n";

static struct vgi_conf conf;

int main(int argc, char **argv)
{
    const struct vg_program program = {
        .name = "vigia-collector",
        .summary = "takes readings by CoAP over DTLS and makes them durable",
        .manual = manual,
        .default_config = "/etc/vigia/collector.ini",
        .table = &vgi_conf_table,
        .conf = &conf,
        .metrics_listen = conf.metrics_listen,
        .max_watches = 3,
        .max_timers = 5,
        .check = vgi_conf_check,
        .start = vgi_collector_start,
        .ready = vgi_collector_ready,
        .reload = vgi_collector_reload,
        .reloads = "Read the key files again, where they are.",
        .drain = vgi_collector_drain,
        .stop = vgi_collector_stop,
    };
    return vg_program_main(&program, argc, argv);
}
