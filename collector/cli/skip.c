/* vigia log skip: the way out for a program that stopped because records left the log before it had
 * read them. */
#include "cli_log.h"

#include "vigia/dlog_admin.h"

/* The rows begin with the first position that was moved: an error is then one line. */
struct skips {
    const struct cli *cli;
    struct cli_rows *rows;
};

static struct cli_rows *rows_of(struct skips *skips)
{
    static const struct cli_column columns[] = {
        {"topic", "TOPIC"},      {"partition", "PARTITION"}, {"skipped", "SKIPPED"},
        {"from", "WAS TO READ"}, {"to", "READS ON AT"},
    };

    if (skips->rows == NULL) {
        skips->rows = cli_rows_new(skips->cli, columns, sizeof(columns) / sizeof(columns[0]));
    }
    return skips->rows;
}

static void on_skipped(void *arg, const struct vg_dlog_skipped *s)
{
    struct cli_rows *rows = rows_of(arg);
    cJSON *row = cJSON_CreateObject();

    cJSON_AddStringToObject(row, "topic", vg_topic_spec(s->topic)->name);
    cJSON_AddNumberToObject(row, "partition", s->partition);
    cJSON_AddNumberToObject(row, "from", (double)s->from);
    cJSON_AddNumberToObject(row, "to", (double)s->to);
    cJSON_AddNumberToObject(row, "skipped", s->to > s->from ? (double)(s->to - s->from) : 0);
    if (rows == NULL) {
        cJSON_Delete(row); /* no memory: told at the end */
    } else {
        (void)cli_rows_add(rows, row); /* a failure is told, and cli_rows_end ends with it */
    }
}

int cli_log_skip(struct cli *cli)
{
    struct skips skips = {.cli = cli};
    struct vg_error err = {0};
    enum vg_err code = vg_dlog_skip(cli->log, cli->args[0], on_skipped, &skips, &err);

    if (code == VG_E_CONFLICT) {
        return cli_fail(cli, "%s: stop it, nothing was moved", err.text);
    }
    if (code != VG_OK) {
        return cli_fail_err(cli, code, &err);
    }
    return cli_rows_end(rows_of(&skips), "nothing to skip: what the group reads next is there");
}
