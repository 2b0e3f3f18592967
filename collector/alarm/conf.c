/* The configuration of vigia-alarm. */
#include "alarm.h"

#include "vigia/program.h"

#define DAY_MS (24LL * 3600 * 1000)
#define PRIORITY(type, name, def)                                                                  \
    VG_CONF_ENUM(struct vgi_alarm_conf, rules.priority[type], "rules", "priority_" name, def,      \
                 "low|medium|high", "Priority of alarms of type " name ".")

static const struct vg_conf_item items[] = {
    VG_DLOG_CONF_ITEMS(struct vgi_alarm_conf, log),
    VG_CONF_STRING(struct vgi_alarm_conf, instance, "processor", "instance", NULL,
                   "Name of this instance: unique among the alarm processors of one log, and the "
                   "same after a restart."),
    VG_CONF_INT(struct vgi_alarm_conf, max_sensors, "processor", "max_sensors", "100000", 1,
                1 << 26, "sensors",
                "Sensors of one partition that are followed, about 2.1 kB each; the active "
                "readings of one more are told as late_activity."),
    VG_CONF_INT(struct vgi_alarm_conf, max_devices, "processor", "max_devices", "100000", 1,
                10000000, "devices", "Devices that are known."),
    VG_CONF_DURATION(struct vgi_alarm_conf, commit_ms, "processor", "commit_interval", "75ms", 1,
                     10000,
                     "How often routine progress is committed; what tells an event commits at "
                     "once."),
    VG_CONF_DURATION(struct vgi_alarm_conf, settle_ms, "processor", "settle", "500ms", 0, 60000,
                     "How far the clock of a partition stays behind the wall clock, so that "
                     "records on their way come before the deadlines that they would stop."),
    VG_CONF_INT(struct vgi_alarm_conf, rules.strikes, "rules", "strikes", "3", 1, VG_STRIKES_MAX,
                "readings", "Active readings that raise an alarm of smoke or temperature."),
    VG_CONF_DURATION(struct vgi_alarm_conf, rules.window_ms, "rules", "window", "10m", 1,
                     VG_NEVER_MS,
                     "Time within which they must come; after it the pre-alarm expires. never: "
                     "without limit."),
    VG_CONF_BOOL(struct vgi_alarm_conf, rules.normal_resets, "rules", "normal_resets", "false",
                 "A normal reading removes the strikes of what it measured, as an OK does."),
    PRIORITY(VG_ALARM_MOTION, "motion", "medium"),
    PRIORITY(VG_ALARM_SMOKE, "smoke", "high"),
    PRIORITY(VG_ALARM_TEMPERATURE, "temperature", "high"),
    PRIORITY(VG_ALARM_SILENCE, "silence", "low"),
    PRIORITY(VG_ALARM_DEVICE, "device", "medium"),
    PRIORITY(VG_ALARM_STORAGE, "storage", "low"),
    PRIORITY(VG_ALARM_COLLECTOR, "collector", "high"),
    VG_CONF_BOOL(struct vgi_alarm_conf, rules.supervision, "supervision", "enabled", "true",
                 "Tell the silence of sensors, devices and collectors."),
    VG_CONF_INT(struct vgi_alarm_conf, rules.silence_factor, "supervision", "factor", "3", 1, 1000,
                "periods",
                "A sensor or device is silent after this many periods without a message."),
    VG_CONF_DURATION(struct vgi_alarm_conf, rules.alive_ms, "supervision", "alive", "60s", 100,
                     DAY_MS, "Period in which an agent tells that it is alive."),
    VG_CONF_DURATION(struct vgi_alarm_conf, rules.heartbeat_ms, "supervision", "heartbeat", "30s",
                     100, DAY_MS,
                     "Without a collector's heartbeat for this long, an alarm of type collector "
                     "is raised and no sensor counts as silent. Choose it longer than two of "
                     "the collectors' heartbeats, and so that it and one of them are shorter than "
                     "factor - 1 of the shortest periods: a sensor may have been due when the "
                     "log went away, and would be called silent before the collectors are."),
    VG_CONF_DURATION(struct vgi_alarm_conf, replay_period_ms, "supervision", "replay_period", "60s",
                     100, 31 * DAY_MS,
                     "Period of every sensor in --replay --supervision; otherwise it comes from "
                     "the sensor's device."),
    VG_PROGRAM_METRICS_ITEM(struct vgi_alarm_conf, metrics_listen),
};

const struct vg_conf_table vgi_alarm_conf_table = {
    .program = "vigia-alarm",
    .items = items,
    .item_count = sizeof(items) / sizeof(items[0]),
    .object_size = sizeof(struct vgi_alarm_conf),
};

enum vg_err vgi_alarm_conf_check(void *arg, struct vg_error *err)
{
    const struct vgi_alarm_conf *conf = arg;
    if (conf->replay_supervision && conf->replay[0] == '\0') {
        return vg_fail(err, VG_E_INVALID, "--supervision belongs to --replay");
    }
    return VG_OK;
}
