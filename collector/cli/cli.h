/* The operator's command line: one table of commands feeds parsing, help, the manual page and shell
 * completion.
 *
 *   vigia [--config FILE] [--set section.key=value] [--log URL] [--json] COMMAND [ARGUMENTS]
 *
 * Data goes to standard output (a table for people, JSON lines with --json), messages to standard
 * error. */
#ifndef VIGIA_CLI_H
#define VIGIA_CLI_H

#include "vigia/conf.h"
#include "vigia/devices.h"
#include "vigia/dlog.h"
#include "vigia/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

#define CLI_ARGS_MAX    8  /* positional arguments of one command */
#define CLI_VALUES_MAX  64 /* values of all options of one command line */
#define CLI_SETS_MAX    32 /* --set on one command line */
#define CLI_COLUMNS_MAX 12
/* Rows that a table for people can hold; above it the command says so and asks for --json, which
 * has no bound. */
#define CLI_ROWS_MAX 100000
#define CLI_URL_MAX  528 /* "log.url=" and [log] url */

struct cli_conf {
    struct vg_dlog_conf log;
    struct vg_keys_conf keys;
};

/* An option of a command. */
struct cli_option {
    const char *name;  /* without the dashes */
    const char *value; /* placeholder such as "FILE"; NULL: a flag */
    const char *help;
    bool required;
    bool repeat; /* also takes further values: --sensor A B C */
};

struct cli_value {
    const char *name; /* points into the option table */
    const char *text; /* "" for a flag */
};

struct cli;

struct cli_command {
    const char *name; /* "device add" */
    const char *args; /* "NAME", "" */
    size_t min_args, max_args;
    const struct cli_option *options;
    size_t option_count;
    const char *summary;
    const char *detail; /* a paragraph for the manual; may be NULL */
    bool needs_log;     /* opened before run */
    int (*run)(struct cli *cli);
};

struct cli {
    const struct cli_command *command;
    const char *args[CLI_ARGS_MAX];
    size_t arg_count;
    struct cli_value values[CLI_VALUES_MAX];
    size_t value_count;
    const char *sets[CLI_SETS_MAX];
    size_t set_count;
    const char *config;  /* --config or NULL */
    const char *log_url; /* --log or NULL */
    bool json;
    struct cli_conf conf;
    struct vg_conf_origins *origins; /* of conf */
    struct vg_dlog *log;             /* open when the command needs it */
};

extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;
extern const struct vg_conf_table cli_conf_table;

/* The first value of an option, or `fallback`. */
const char *cli_option(const struct cli *cli, const char *name, const char *fallback);
bool cli_flag(const struct cli *cli, const char *name);

/* One line to standard error, "vigia: COMMAND: text"; returns VG_EXIT_FAIL, so that `return
 * cli_fail(…)` is one line. */
int cli_fail(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for a failed call: the error's own text, with the place of the key that it blames, and 78
 * where the class is one of configuration. */
int cli_fail_err(const struct cli *cli, enum vg_err code, const struct vg_error *err);

/* Rows: JSON lines at once with --json, else a table at the end. A column is a member name and a
 * heading. */
struct cli_column {
    const char *member;
    const char *heading;
};
struct cli_rows;
struct cli_rows *cli_rows_new(const struct cli *cli, const struct cli_column *columns,
                              size_t count);
/* Takes ownership of `row` (an object). False when the bound is reached or memory is out: told on
 * standard error. */
bool cli_rows_add(struct cli_rows *rows, cJSON *row);
/* Prints what is left and frees; `none` is what people read when there is no row. Returns the exit
 * code. */
int cli_rows_end(struct cli_rows *rows, const char *none);

/* Help, manual and completion, all from cli_commands. */
void cli_help(FILE *to);
/* The commands of a group such as "device"; false when there is no such group. */
bool cli_help_group(const char *group, FILE *to);
void cli_help_command(const struct cli_command *command, FILE *to);
void cli_manual(FILE *to);
void cli_completion(FILE *to);

int cli_init(struct cli *cli);
int cli_device_add(struct cli *cli);
int cli_device_list(struct cli *cli);
int cli_device_show(struct cli *cli);
int cli_device_rotate(struct cli *cli);
int cli_device_revoke(struct cli *cli);
int cli_device_remove(struct cli *cli);
int cli_topic_list(struct cli *cli);
int cli_topic_describe(struct cli *cli);
int cli_topic_read(struct cli *cli);
int cli_topic_count(struct cli *cli);
int cli_alarm_list(struct cli *cli);
int cli_alarm_show(struct cli *cli);
int cli_alarm_ack(struct cli *cli);
int cli_log_backup(struct cli *cli);
int cli_log_skip(struct cli *cli);
int cli_decode(struct cli *cli);
int cli_completion_print(struct cli *cli);

#endif
