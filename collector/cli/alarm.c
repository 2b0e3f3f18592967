/* vigia alarm …: the current alarms as `alarm-state` has them, their history in `alarms`, and
 * acknowledgement. */
#include "cli_log.h"

#include "vigia/clock.h"
#include "vigia/dlog_admin.h"
#include "vigia/rules_json.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Room for the newest state of every sensor while it is looked for; one takes about 1 kB. */
#define STATES_BYTES_MAX ((size_t)1 << 30)

struct listing {
    struct cli *cli;
    struct cli_rows *rows;
    bool all;
    uint64_t unreadable;
    enum vg_err failed;
    struct vg_error err;
};

static void when(int64_t ms, char out[VG_RFC3339_MAX])
{
    if (ms == VG_LONG_AGO_MS) {
        (void)vg_str_copy("-", out, VG_RFC3339_MAX);
    } else {
        vg_wall_format((struct vg_wall){ms}, out);
    }
}

static const char *state_name(const struct vg_alarm_view *view)
{
    if (view->pre_alarm) {
        return "pre-alarm";
    }
    return view->active ? "active" : "cleared";
}

static cJSON *view_json(const struct vg_alarm_view *view)
{
    cJSON *row = cJSON_CreateObject();
    char text[VG_RFC3339_MAX];

    cJSON_AddStringToObject(row, "alarm_id", view->id);
    cJSON_AddStringToObject(row, "sensor", view->sensor);
    cJSON_AddStringToObject(row, "device", view->device);
    cJSON_AddStringToObject(row, "type", vg_alarm_type_name(view->type));
    cJSON_AddStringToObject(row, "state", state_name(view));
    cJSON_AddBoolToObject(row, "acknowledged", view->acked);
    if (view->pre_alarm) {
        cJSON_AddNullToObject(row, "priority"); /* it gets one when it is raised */
    } else {
        cJSON_AddStringToObject(row, "priority",
                                vg_priority_name((enum vg_priority)view->alarm->priority));
    }
    cJSON_AddNumberToObject(row, "strikes", view->alarm->strikes);
    when(view->pre_alarm ? view->alarm->first_ms : view->alarm->raised_ms, text);
    cJSON_AddStringToObject(row, "since", text);
    return row;
}

static void on_view(void *arg, const struct vg_alarm_view *view)
{
    struct listing *l = arg;

    if (l->all || !view->pre_alarm) {
        (void)cli_rows_add(l->rows, view_json(view));
    }
}

static void on_state(void *arg, int32_t partition, struct vg_span sensor, struct vg_span value)
{
    static struct vg_rules_state state;
    struct listing *l = arg;
    enum vg_err code;

    (void)partition;
    (void)sensor;
    if (l->failed != VG_OK) {
        return;
    }
    code = vg_rules_state_decode(value, &state, &l->err);
    if (code == VG_E_VERSION) {
        l->failed = code;
    } else if (code != VG_OK) {
        l->unreadable++;
    } else {
        vg_alarm_views(&state, on_view, l);
    }
}

int cli_alarm_list(struct cli *cli)
{
    static const struct cli_column columns[] = {
        {"alarm_id", "ALARM"},    {"type", "TYPE"},   {"state", "STATE"},   {"acknowledged", "ACK"},
        {"priority", "PRIORITY"}, {"since", "SINCE"}, {"device", "DEVICE"},
    };
    struct listing l = {.cli = cli, .all = cli_flag(cli, "all")};
    const struct vg_dlog_latest_limits limits = {CLI_LOG_WAIT_MS, STATES_BYTES_MAX};
    struct vg_error err = {0};
    enum vg_err code;

    l.rows = cli_rows_new(cli, columns, sizeof(columns) / sizeof(columns[0]));
    if (l.rows == NULL) {
        return cli_fail(cli, "no memory");
    }
    code = vg_dlog_latest(cli->log, VG_TOPIC_ALARM_STATE, &limits, on_state, &l, &err);
    if (code != VG_OK || l.failed != VG_OK) {
        (void)cli_rows_end(l.rows, "");
        return code != VG_OK ? cli_fail_err(cli, code, &err) : cli_fail_err(cli, l.failed, &l.err);
    }
    if (l.unreadable > 0) {
        (void)cli_fail(cli, "%" PRIu64 " states could not be read and are not shown", l.unreadable);
        (void)cli_rows_end(l.rows, "no alarms");
        return VG_EXIT_FAIL;
    }
    return cli_rows_end(l.rows, "no alarms");
}

/* args[0] as an alarm id; its sensor is the key of what is told about it. */
static bool alarm_of(const struct cli *cli, struct vg_span *sensor)
{
    enum vg_alarm_type type;
    uint64_t activation;

    if (vg_alarm_id_parse(vg_span_str(cli->args[0]), sensor, &type, &activation)) {
        return true;
    }
    (void)cli_fail(
        cli, "'%s' is no alarm id; accepted is sensor:type:number, as vigia alarm list shows it",
        cli->args[0]);
    return false;
}

static cJSON *event_json(struct vg_span value)
{
    cJSON *event = cJSON_ParseWithLength(value.at, value.len);
    const cJSON *time = cJSON_GetObjectItemCaseSensitive(event, "time_ms");
    char text[VG_RFC3339_MAX];

    if (cJSON_IsNumber(time)) {
        when((int64_t)time->valuedouble, text);
        cJSON_AddStringToObject(event, "time", text);
    }
    return event;
}

int cli_alarm_show(struct cli *cli)
{
    static const struct cli_column columns[] = {
        {"time", "TIME"}, {"event", "EVENT"},   {"strikes", "STRIKES"}, {"late", "LATE"},
        {"who", "WHO"},   {"reason", "REASON"}, {"why", "WHY"},
    };
    static struct vg_dlog_record records[256];
    struct vg_dlog_reader *reader = NULL;
    struct vg_mono last = vg_now_mono(vg_clock_system());
    struct vg_error err = {0};
    struct vg_span sensor;
    struct cli_rows *rows;
    size_t shown = 0;
    enum vg_err code;
    int exit_code;

    if (!alarm_of(cli, &sensor)) {
        return VG_EXIT_USAGE;
    }
    rows = cli_rows_new(cli, columns, sizeof(columns) / sizeof(columns[0]));
    code = vg_dlog_reader_open(cli->log, VG_TOPIC_ALARMS, -1,
                               (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &reader, &err);
    while (code == VG_OK && rows != NULL) {
        size_t count = 0;

        code = vg_dlog_read(reader, VG_DLOG_TURN_MS, records, sizeof(records) / sizeof(records[0]),
                            &count, &err);
        for (size_t i = 0; code == VG_OK && i < count; i++) {
            cJSON *event = vg_span_eq(records[i].key, sensor) ? event_json(records[i].value) : NULL;
            const cJSON *id = cJSON_GetObjectItemCaseSensitive(event, "alarm_id");

            if (cJSON_IsString(id) && strcmp(id->valuestring, cli->args[0]) == 0) {
                (void)cli_rows_add(rows, event);
                shown++;
            } else {
                cJSON_Delete(event);
            }
        }
        if (vg_dlog_reader_caught_up(reader)) {
            break;
        }
        if (code == VG_OK) {
            code = cli_log_moved(&last, count, &err);
        }
    }
    vg_dlog_reader_close(reader);
    exit_code = cli_rows_end(rows, "no events of this alarm are kept");
    if (code != VG_OK) {
        return cli_fail_err(cli, code, &err);
    }
    return shown == 0 && exit_code == VG_EXIT_OK ? VG_EXIT_FAIL : exit_code;
}

static const char *user_name(void)
{
    const struct passwd *user = getpwuid(getuid());

    return user == NULL ? "unknown" : user->pw_name;
}

int cli_alarm_ack(struct cli *cli)
{
    struct vg_command command = {.verb = VG_COMMAND_ACKNOWLEDGE,
                                 .time_ms = vg_now_wall(vg_clock_system()).ms};
    char json[VG_COMMAND_JSON_MAX];
    struct vg_error err = {0};
    struct vg_span sensor;
    size_t len = 0;
    enum vg_err code;

    if (!alarm_of(cli, &sensor)) {
        return VG_EXIT_USAGE;
    }
    if (!vg_str_copy(cli->args[0], command.alarm_id, sizeof(command.alarm_id)) ||
        !vg_str_copy(cli_option(cli, "who", user_name()), command.who, sizeof(command.who)) ||
        !vg_str_copy(cli_option(cli, "why", ""), command.why, sizeof(command.why))) {
        return cli_fail(cli, "too long; accepted are %d characters of --who and %d of --why",
                        VG_COMMAND_WHO_MAX, VG_COMMAND_WHY_MAX);
    }
    code = vg_command_encode(&command, json, sizeof(json), &len);
    if (code != VG_OK) {
        return cli_fail(cli, "the command cannot be written: %s", vg_err_name(code));
    }
    code = cli_put_at(cli, VG_TOPIC_COMMANDS, vg_collector_partition(sensor), sensor,
                      vg_span(json, len), &err);
    if (code != VG_OK) {
        return cli_fail_err(cli, code, &err);
    }
    (void)fprintf(stderr,
                  "vigia: the log has the command; vigia alarm show %s tells what became of it\n",
                  cli->args[0]);
    return VG_EXIT_OK;
}
