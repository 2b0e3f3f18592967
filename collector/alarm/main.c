/* vigia-alarm: the three-strikes rule on the log. */
#include "alarm.h"

#include "vigia/program.h"

static struct vgi_alarm_conf conf;

static enum vg_err set_replay(void *arg, const char *value, struct vg_error *err)
{
    struct vgi_alarm_conf *c = arg;
    if (value[0] == '\0' || !vg_str_copy(value, c->replay, sizeof(c->replay))) {
        return vg_fail(err, VG_E_INVALID, "--replay: a file name of 1 to %zu bytes, or -",
                       sizeof(c->replay) - 1);
    }
    return VG_OK;
}

static enum vg_err set_supervision(void *arg, const char *value, struct vg_error *err)
{
    struct vgi_alarm_conf *c = arg;
    (void)value;
    (void)err;
    c->replay_supervision = true;
    return VG_OK;
}

static const struct vg_program_option options[] = {
    {.name = "replay",
     .value = "FILE",
     .help = "Read lines of the readings schema (- is standard input), take time from "
             "received_ms, print the events that would have happened, and exit.",
     .set = set_replay,
     .standalone = true},
    {.name = "supervision",
     .help = "With --replay: tell silence too.",
     .set = set_supervision,
     .standalone = true},
};

static const char manual[] =
    "# DESCRIPTION\n\n"
    "*vigia-alarm* reads the topics _readings_, _commands_ and _devices_, applies the alarm rules "
    "to each sensor and writes what happens to the topic _alarms_, and the state of every sensor "
    "to _alarm-state_. Outputs, state and progress are committed together, so it may be killed at "
    "any time: the next instance goes on from the last commit and tells nothing twice.\n\n"
    "Several instances share the partitions of a Kafka log. On an SQLite log one is active and the "
    "others stand by.\n\n"
    "# RULES\n\n"
    "Motion raises an alarm at once. Smoke and temperature count strikes: the first active reading "
    "is a pre-alarm, the one that completes _rules.strikes_ within _rules.window_ of the first "
    "raises the alarm. An OK clears what was raised at or before its time and removes strikes; a "
    "late OK never clears a newer alarm. A sensor without a message for _supervision.factor_ times "
    "the period of its device is told as silent, a device that does not say _alive_ likewise. An "
    "alarm has an id, sensor:type:activation, and is acknowledged by it.\n\n"
    "# SILENCE AND RESTARTS\n\n"
    "When a sensor was last heard is stored at most once in period × factor. After a restart its "
    "silence is therefore told after up to twice that time, and never too early.\n\n";

int main(int argc, char **argv)
{
    const struct vg_program program = {
        .name = "vigia-alarm",
        .summary = "raises and clears alarms from readings",
        .manual = manual,
        .default_config = "/etc/vigia/alarm.ini",
        .table = &vgi_alarm_conf_table,
        .conf = &conf,
        .metrics_listen = conf.metrics_listen,
        .max_watches = 2,
        .max_timers = 2,
        .check = vgi_alarm_conf_check,
        .instead = vgi_alarm_replay,
        .start = vgi_alarm_start,
        .ready = vgi_alarm_ready,
        .drain = vgi_alarm_drain,
        .stop = vgi_alarm_stop,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    return vg_program_main(&program, argc, argv);
}
