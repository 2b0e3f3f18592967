/* vigia-edge: sensors in, a collector's 2.04 out, nothing lost in between. */
#include "agent.h"

#include "vigia/program.h"

#include <sys/stat.h>

static const char manual[] =
    "# DESCRIPTION\n\n"
    "*vigia-edge* reads sensors, keeps every reading in a buffer on the card, and sends them to a "
    "collector by CoAP over "
    "DTLS with the device's pre-shared key. A reading leaves the buffer only when a collector has "
    "answered that it is "
    "durable, or when a bound of the buffer is reached, which is told by a _gap_ event.\n\n"
    "Active readings, OKs and the device's own events go at once, each written to the card first; "
    "routine readings are "
    "written and sent in groups. While no collector can be reached the agent keeps sampling.\n\n"
    "# ANSWERS\n\n"
    "*2.04* removes the readings. *4.00* and *4.22* put the named readings into quarantine in the "
    "buffer's file; the rest "
    "is sent again. *4.03* parks readings of a sensor that the device may not speak for, and tries "
    "them again each "
    "_uplink.park_. *4.01* ends the session; a new one begins after a wait. *4.13* halves the "
    "batch. *4.15* falls back "
    "from CBOR to JSON. *4.29* and *5.03* are obeyed by waiting. Anything else means that this "
    "collector cannot serve "
    "the device: the next one is tried.\n\n"
    "# ANOTHER DEVICE\n\n"
    "What waits in the buffer goes out under the name of the device that took it, or not at all. "
    "Started under another "
    "_device.name_, the agent renames the file, adding _.of-DEVICE_, and begins a new one. The log "
    "line _buffer-set-aside_ "
    "names file and count; a _storage_ event and the metric _vigia_edge_other_buffers_ tell it at "
    "every start while there "
    "is such a file. Started under that name again, the agent takes the file back and sends what "
    "is in it. Eight such files are kept; instead of making a ninth the agent ends with 78.\n\n"
    "An empty file is used on. _alive_ events do not wait for anybody: a file with nothing else is "
    "removed, or, with readings in "
    "quarantine, becomes _NAME.refused-SECONDS_, of which two are kept and nothing is sent. Remove "
    "either kind of file while the "
    "agent is stopped, if nobody needs what is in it.\n\n"
    "To send what is set aside, start the agent under the former name with its sources stopped, "
    "wait for "
    "_vigia_edge_waiting_readings_ 0 and end it with SIGTERM. The first commit notes whose the "
    "file is: an agent that is killed "
    "within its first second has noted nothing.\n\n"
    "# CLOCK\n\n"
    "While the kernel does not call its clock synchronised, times are sent as ages and the "
    "collector marks the readings "
    "_unsynced_. Readings of an earlier boot get their time from the anchors that the buffer "
    "keeps.\n\n";

static struct vgi_edge_conf conf;

int main(int argc, char **argv)
{
    const struct vg_program program = {
        .name = "vigia-edge",
        .summary = "reads sensors and never loses a reading on its way to a collector",
        .manual = manual,
        .default_config = "/etc/vigia/edge.ini",
        .table = &vgi_edge_table,
        .conf = &conf,
        .metrics_listen = conf.metrics_listen,
        .max_watches = VGI_AGENT_WATCHES,
        .max_timers = VGI_AGENT_TIMERS,
        .check = vgi_edge_conf_check,
        .start = vgi_agent_start,
        .stop = vgi_agent_stop,
    };
    (void)umask(0077); /* the buffer holds what people do at home */
    return vg_program_main(&program, argc, argv);
}
