/* The command table: everything that the command line knows is declared here. */
#include "cli.h"

static const struct cli_option init_options[] = {
    {"dir", "FOLDER", "where the configuration files and the key file go (default: this folder)",
     false, false},
    {"listen", "HOST:PORT", "where the collector will listen (default 0.0.0.0:5684)", false, false},
    {"partitions", "N",
     "Kafka: partitions of readings, commands, alarms and alarm-state (default 6)", false, false},
    {"replication", "N", "Kafka: copies of each record (default 3)", false, false},
};

static const struct cli_option device_add_options[] = {
    {"sensor", "PATTERN", "a sensor id, or a prefix ending in *; repeat for more", true, true},
    {"period", "DURATION", "how often each sensor reports; silence is judged by it (default 60s)",
     false, false},
    {"class", "NAME", "class of the device, for people (default: sensor)", false, false},
    {"collector", "HOST:PORT",
     "collector for the provisioning file, in order of preference; repeat for more", false, true},
    {"out", "FILE", "provisioning file to write, mode 0600 (default NAME.provision.ini)", false,
     false},
    {"show-key", NULL, "also print the key to standard output", false, false},
};

static const struct cli_option device_rotate_options[] = {
    {"collector", "HOST:PORT", "collector for the provisioning file; repeat for more", false, true},
    {"out", "FILE", "provisioning file to write, mode 0600 (default NAME.provision.ini)", false,
     false},
    {"show-key", NULL, "also print the new key to standard output", false, false},
};

static const struct cli_option topic_read_options[] = {
    {"from-beginning", NULL, "begin with the oldest record that is kept (default: the next one)",
     false, false},
    {"follow", NULL, "wait for more at the end", false, false},
    {"limit", "N", "stop after N records", false, false},
    {"timeout", "DURATION", "stop when nothing came for so long (with --follow)", false, false},
};

static const struct cli_option alarm_list_options[] = {
    {"all", NULL, "also pre-alarms: strikes that have not raised an alarm yet", false, false},
};

static const struct cli_option alarm_ack_options[] = {
    {"who", "NAME", "who acknowledges (default: the user's name)", false, false},
    {"why", "TEXT", "the reason, for the record", false, false},
};

static const struct cli_option decode_options[] = {
    {"format", "senml-cbor|senml-json|json", "what standard input holds", true, false},
};

#define OPTIONS(o) (o), sizeof(o) / sizeof((o)[0])

static const struct vg_conf_item items[] = {
    VG_DLOG_CONF_ITEMS(struct cli_conf, log),
    VG_KEYS_CONF_ITEMS(struct cli_conf, keys),
};
const struct vg_conf_table cli_conf_table = {
    .program = "vigia",
    .items = items,
    .item_count = sizeof(items) / sizeof(items[0]),
    .object_size = sizeof(struct cli_conf),
};

const struct cli_command cli_commands[] = {
    {"init", "", 0, 0, OPTIONS(init_options), "make topics, key file and configuration of a site",
     "Writes log.ini, collector.ini, alarm.ini, vigia.ini, edge.ini and vigia.key into the folder "
     "and creates the topics of the log that --log "
     "names (default: an SQLite file beside them). What exists is kept as it is and checked. "
     "Topics "
     "of Kafka that a log.ini which is there contradicts are not made: it is changed first.",
     false, cli_init},
    {"device add", "NAME", 1, 1, OPTIONS(device_add_options),
     "enter a device and write its provisioning file",
     "The key is 256 random bits. It is stored encrypted, written to the provisioning file and "
     "nowhere else.",
     true, cli_device_add},
    {"device list", "", 0, 0, NULL, 0, "list the devices", NULL, true, cli_device_list},
    {"device show", "NAME", 1, 1, NULL, 0, "show one device", NULL, true, cli_device_show},
    {"device rotate", "NAME", 1, 1, OPTIONS(device_rotate_options), "give a device a new key",
     "The old key stops working at once; a live session ends within 5 seconds.", true,
     cli_device_rotate},
    {"device revoke", "NAME", 1, 1, NULL, 0, "refuse a device from now on",
     "Its live sessions end within 5 seconds. The entry stays, so that the name cannot be taken "
     "again.",
     true, cli_device_revoke},
    {"device remove", "NAME", 1, 1, NULL, 0, "delete a device's entry",
     "Also one that cannot be read, and says so.", true, cli_device_remove},
    {"topic list", "", 0, 0, NULL, 0, "list the topics with their sizes", NULL, true,
     cli_topic_list},
    {"topic describe", "TOPIC", 1, 1, NULL, 0, "show the settings of a topic", NULL, true,
     cli_topic_describe},
    {"topic read", "TOPIC", 1, 1, OPTIONS(topic_read_options), "print the records of a topic",
     "Committed records only. With --json each line is an object with partition, offset, time, key "
     "and value.",
     true, cli_topic_read},
    {"topic count", "TOPIC", 1, 1, NULL, 0, "count the records of a topic", NULL, true,
     cli_topic_count},
    {"alarm list", "", 0, 0, OPTIONS(alarm_list_options), "list the alarms that need attention",
     "Each once, as it stands now: those that are active, acknowledged or not, and those that are "
     "cleared but not acknowledged.",
     true, cli_alarm_list},
    {"alarm show", "ALARM", 1, 1, NULL, 0, "show an alarm and its events", NULL, true,
     cli_alarm_show},
    {"alarm ack", "ALARM", 1, 1, OPTIONS(alarm_ack_options), "acknowledge an alarm",
     "Returns when the command is durable in the log; the alarm processor answers with an event: "
     "acknowledged or refused.",
     true, cli_alarm_ack},
    {"log backup", "FILE", 1, 1, NULL, 0, "copy the log while it runs",
     "SQLite only; a Kafka cluster has tools of its own.", true, cli_log_backup},
    {"log skip", "GROUP", 1, 1, NULL, 0, "go on after records that left the log unread",
     "For a program that has stopped because the record it was to read next is not in the log any "
     "more (max_bytes, the retention, a lost end). GROUP is alarm for vigia-alarm. Moves each such "
     "position to the oldest record that is there and prints how many records were skipped: what "
     "they told is lost to the program. Changes nothing while nothing is missing; refuses while an "
     "instance of the group runs. A group that has read nothing of this log (it never ran, or the "
     "name is wrong) is told, with exit code 78: a wrong name must not pass for nothing to skip.",
     true, cli_log_skip},
    {"decode", "", 0, 0, OPTIONS(decode_options),
     "print the readings of one pack from standard input",
     "One JSON line per reading, in the fields of the readings topic. A refused pack or reading is "
     "told on standard error, and the exit code is 1.",
     false, cli_decode},
    {"completion", "", 0, 0, NULL, 0, "print the bash completion", NULL, false,
     cli_completion_print},
};
const size_t cli_command_count = sizeof(cli_commands) / sizeof(cli_commands[0]);

int cli_completion_print(struct cli *cli)
{
    (void)cli;
    cli_completion(stdout);
    return VG_EXIT_OK;
}
