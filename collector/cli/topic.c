/* vigia topic … and vigia log backup: looking at the log, changing nothing in it. */
#include "cli_log.h"

#include "vigia/clock.h"
#include "vigia/dlog_admin.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BATCH 256

static const char *cleanup_name(enum vg_cleanup c)
{
    return c == VG_CLEANUP_COMPACT ? "compact" : "time";
}

static cJSON *topic_json(const struct vg_dlog_topic_info *info)
{
    cJSON *row = cJSON_CreateObject();
    int64_t span = 0;

    for (int32_t p = 0; p < info->settings.partitions; p++) {
        span += info->partition[p].end - info->partition[p].begin;
    }
    cJSON_AddStringToObject(row, "topic", info->name);
    cJSON_AddStringToObject(row, "cleanup", cleanup_name(info->settings.cleanup));
    cJSON_AddNumberToObject(row, "partitions", info->settings.partitions);
    cJSON_AddNumberToObject(row, "replication", info->settings.replication);
    cJSON_AddNumberToObject(row, "min_insync", info->settings.min_insync);
    if (info->settings.retain_ms == 0 || info->settings.retain_ms == INT64_MAX) {
        cJSON_AddNullToObject(row, "retain_hours");
    } else {
        cJSON_AddNumberToObject(row, "retain_hours", (double)info->settings.retain_ms / 3600000.0);
    }
    cJSON_AddNumberToObject(row, "offsets", (double)span);
    return row;
}

int cli_topic_list(struct cli *cli)
{
    static const struct cli_column columns[] = {
        {"topic", "TOPIC"},        {"cleanup", "CLEANUP"},       {"partitions", "PARTITIONS"},
        {"replication", "COPIES"}, {"retain_hours", "KEPT (h)"}, {"offsets", "OFFSETS"},
    };
    struct vg_dlog_topic_info *info = calloc(1, sizeof(*info));
    struct cli_rows *rows = cli_rows_new(cli, columns, sizeof(columns) / sizeof(columns[0]));
    struct vg_error err = {0};
    unsigned topics = 0;
    enum vg_err code =
        info == NULL || rows == NULL ? VG_E_NOMEM : vg_dlog_list(cli->log, &topics, &err);

    for (enum vg_topic t = 0; code == VG_OK && t < VG_TOPIC_COUNT; t++) {
        if ((topics & VG_TOPIC_BIT(t)) != 0) {
            code = vg_dlog_describe(cli->log, t, info, &err);
            if (code == VG_OK && !cli_rows_add(rows, topic_json(info))) {
                break;
            }
        }
    }
    free(info);
    if (code != VG_OK) {
        (void)cli_rows_end(rows, "no topics");
        return cli_fail_err(cli, code, &err);
    }
    return cli_rows_end(rows, "no topics: vigia init makes them");
}

int cli_topic_describe(struct cli *cli)
{
    struct vg_dlog_topic_info *info;
    struct vg_error err = {0};
    enum vg_topic topic;
    enum vg_err code;
    int exit_code = cli_topic(cli, &topic);

    if (exit_code != VG_EXIT_OK) {
        return exit_code;
    }
    info = calloc(1, sizeof(*info));
    if (info == NULL) {
        return cli_fail(cli, "no memory");
    }
    code = vg_dlog_describe(cli->log, topic, info, &err);
    if (code != VG_OK) {
        free(info);
        return cli_fail_err(cli, code, &err);
    }
    if (cli->json) {
        cJSON *row = topic_json(info);
        cJSON *parts = cJSON_AddArrayToObject(row, "partition");
        char *text;

        for (int32_t p = 0; p < info->settings.partitions; p++) {
            cJSON *part = cJSON_CreateObject();

            cJSON_AddNumberToObject(part, "begin", (double)info->partition[p].begin);
            cJSON_AddNumberToObject(part, "end", (double)info->partition[p].end);
            cJSON_AddItemToArray(parts, part);
        }
        text = cJSON_PrintUnformatted(row);
        (void)puts(text == NULL ? "" : text);
        cJSON_free(text);
        cJSON_Delete(row);
    } else {
        const struct vg_topic_spec *spec = vg_topic_spec(topic);

        (void)printf("topic        %s\nkey          %s\nvalue        %s\ncleanup      "
                     "%s\npartitions   %d\ncopies       %d\n"
                     "min in-sync  %d\n",
                     info->name, spec->key, spec->value, cleanup_name(info->settings.cleanup),
                     info->settings.partitions, info->settings.replication,
                     info->settings.min_insync);
        for (int32_t p = 0; p < info->settings.partitions; p++) {
            (void)printf("partition %-3d offsets %" PRId64 " to %" PRId64 "\n", p,
                         info->partition[p].begin, info->partition[p].end);
        }
    }
    free(info);
    return VG_EXIT_OK;
}

int cli_topic_count(struct cli *cli)
{
    struct vg_error err = {0};
    enum vg_topic topic;
    uint64_t count = 0;
    enum vg_err code;
    int exit_code = cli_topic(cli, &topic);

    if (exit_code != VG_EXIT_OK) {
        return exit_code;
    }
    code = vg_dlog_count(cli->log, topic, NULL, NULL, &count, &err);
    if (code != VG_OK) {
        return cli_fail_err(cli, code, &err);
    }
    if (cli->json) {
        (void)printf("{\"topic\":\"%s\",\"count\":%" PRIu64 "}\n", vg_topic_spec(topic)->name,
                     count);
    } else {
        (void)printf("%" PRIu64 "\n", count);
    }
    return VG_EXIT_OK;
}

/* A value that is JSON stays JSON; any other becomes a string. A tombstone is null. NULL: no memory. */
static cJSON *value_json(struct vg_span value)
{
    cJSON *parsed;

    if (value.at == NULL) {
        return cJSON_CreateNull();
    }
    parsed = cJSON_ParseWithLength(value.at, value.len);
    if (parsed == NULL) {
        char *text = strndup(value.at, value.len);

        parsed = text == NULL ? NULL : cJSON_CreateString(text);
        free(text);
    }
    return parsed;
}

static bool print_record(const struct cli *cli, const struct vg_dlog_record *r)
{
    char when[VG_RFC3339_MAX];

    if (!cli->json) {
        vg_wall_format((struct vg_wall){r->append_ms}, when);
        return printf("%s %d/%" PRId64 " %.*s %.*s\n", when, r->partition, r->offset,
                      (int)r->key.len, r->key.len == 0 ? "" : r->key.at,
                      r->value.at == NULL ? 11 : (int)r->value.len,
                      r->value.at == NULL ? "(tombstone)" : r->value.at) > 0;
    }
    cJSON *row = cJSON_CreateObject();
    char *key = strndup(r->key.len == 0 ? "" : r->key.at, r->key.len);
    char *text;
    cJSON *value = value_json(r->value);
    bool ok = key != NULL && value != NULL &&
              cJSON_AddNumberToObject(row, "partition", r->partition) != NULL &&
              cJSON_AddNumberToObject(row, "offset", (double)r->offset) != NULL &&
              cJSON_AddNumberToObject(row, "append_ms", (double)r->append_ms) != NULL &&
              cJSON_AddStringToObject(row, "key", key) != NULL;
    if (ok && cJSON_AddItemToObject(row, "value", value)) {
        value = NULL; /* the row's */
    } else {
        ok = false;
    }
    text = ok ? cJSON_PrintUnformatted(row) : NULL;
    ok = text != NULL && puts(text) != EOF;
    if (text == NULL) {
        (void)cli_fail(cli, "no memory for record %d/%" PRId64, r->partition, r->offset);
    }
    cJSON_free(text);
    cJSON_Delete(value);
    cJSON_Delete(row);
    free(key);
    return ok;
}

struct reading_plan {
    bool follow;
    int64_t limit;      /* records; INT64_MAX: none */
    int64_t timeout_ms; /* of silence; INT64_MAX: none */
};

static int read_records(struct cli *cli, struct vg_dlog_reader *reader,
                        const struct reading_plan *plan)
{
    static struct vg_dlog_record records[READ_BATCH];
    const struct vg_clock *clock = vg_clock_system();
    struct vg_mono last = vg_now_mono(clock);
    struct vg_error err = {0};
    int64_t done = 0;

    while (done < plan->limit) {
        size_t count = 0;
        size_t want = plan->limit - done < READ_BATCH ? (size_t)(plan->limit - done) : READ_BATCH;
        enum vg_err code = vg_dlog_read(reader, VG_DLOG_TURN_MS, records, want, &count, &err);

        if (code == VG_E_RANGE) {
            (void)cli_fail(cli, "%s: --from-beginning reads what is left", err.text);
            return VG_EXIT_CONFIG;
        }
        if (code != VG_OK) {
            return cli_fail_err(cli, code, &err);
        }
        for (size_t i = 0; i < count; i++) {
            if (!print_record(cli, &records[i])) {
                return VG_EXIT_FAIL; /* no memory, or the reader of our output is gone */
            }
        }
        done += (int64_t)count;
        if (count > 0) {
            if (fflush(stdout) != 0) {
                return VG_EXIT_FAIL;
            }
            last = vg_now_mono(clock);
        }
        /* Without --follow all that was there at open is enough: others may go on writing. */
        if (plan->follow ? vg_mono_diff_ms(vg_now_mono(clock), last) >= plan->timeout_ms
                         : vg_dlog_reader_caught_up(reader)) {
            break;
        }
        if (!plan->follow && cli_log_moved(&last, count, &err) != VG_OK) {
            return cli_fail_err(cli, VG_E_TIMEOUT, &err);
        }
    }
    return VG_EXIT_OK;
}

int cli_topic_read(struct cli *cli)
{
    struct vg_dlog_from from = {cli_flag(cli, "from-beginning") ? VG_DLOG_BEGINNING : VG_DLOG_END,
                                0};
    struct reading_plan plan = {cli_flag(cli, "follow"), INT64_MAX, INT64_MAX};
    const char *limit = cli_option(cli, "limit", NULL);
    const char *timeout = cli_option(cli, "timeout", NULL);
    struct vg_dlog_reader *reader = NULL;
    struct vg_error err = {0};
    enum vg_topic topic;
    long long number = 0;
    enum vg_err code;
    int exit_code = cli_topic(cli, &topic);

    if (exit_code != VG_EXIT_OK) {
        return exit_code;
    }
    if (limit != NULL) {
        if (!vg_span_to_i64(vg_span_str(limit), &number) || number < 1) {
            return cli_fail(cli, "--limit '%s': accepted is a number of records, 1 or more", limit);
        }
        plan.limit = number;
    }
    if (timeout != NULL && vg_conf_parse_duration(timeout, &plan.timeout_ms, &err) != VG_OK) {
        return cli_fail(cli, "--timeout: %s", err.text);
    }
    code = vg_dlog_reader_open(cli->log, topic, -1, from, &reader, &err);
    if (code != VG_OK) {
        return cli_fail_err(cli, code, &err);
    }
    exit_code = read_records(cli, reader, &plan);
    vg_dlog_reader_close(reader);
    return exit_code;
}

static bool show_progress(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    if (isatty(STDERR_FILENO) && total > 0) {
        (void)fprintf(stderr, "\r%3" PRIu64 " %%", done * 100 / total);
    }
    return true;
}

int cli_log_backup(struct cli *cli)
{
    struct vg_error err = {0};
    enum vg_err code = vg_dlog_backup(cli->log, cli->args[0], show_progress, NULL, &err);

    if (isatty(STDERR_FILENO)) {
        (void)fputc('\r', stderr);
    }
    if (code != VG_OK) {
        return cli_fail_err(cli, code, &err);
    }
    (void)fprintf(stderr, "vigia: the log is copied to %s\n", cli->args[0]);
    return VG_EXIT_OK;
}
