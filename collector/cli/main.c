/* vigia: parses the command line against the table, loads the configuration, opens the log, runs
 * one command. */
#include "cli.h"

#include "vigia/file.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/vigia/vigia.ini"

static int usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int usage(const char *fmt, ...)
{
    va_list ap;

    (void)fputs("vigia: ", stderr);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputs(" (try vigia --help)\n", stderr);
    return VG_EXIT_USAGE;
}

int cli_fail(const struct cli *cli, const char *fmt, ...)
{
    va_list ap;

    (void)fprintf(stderr, "vigia: %s: ", cli->command->name);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    return VG_EXIT_FAIL;
}

int cli_fail_err(const struct cli *cli, enum vg_err code, const struct vg_error *err)
{
    struct vg_error located = *err;

    if (cli->log_url != NULL && strncmp(err->text, "log.url: ", 9) == 0) {
        vg_err_prefix(&located, "--log");
    } else {
        vg_conf_locate(cli->origins, &located);
    }
    (void)cli_fail(cli, "%s", located.text[0] == '\0' ? vg_err_name(code) : located.text);
    switch (code) {
    case VG_E_INVALID:
    case VG_E_RANGE:
    case VG_E_NOTFOUND:
    case VG_E_DENIED:
    case VG_E_VERSION:
    case VG_E_UNSUPPORTED:
    case VG_E_EXISTS:
        return VG_EXIT_CONFIG;
    default:
        return VG_EXIT_FAIL;
    }
}

const char *cli_option(const struct cli *cli, const char *name, const char *fallback)
{
    for (size_t i = 0; i < cli->value_count; i++) {
        if (strcmp(cli->values[i].name, name) == 0) {
            return cli->values[i].text;
        }
    }
    return fallback;
}

bool cli_flag(const struct cli *cli, const char *name)
{
    return cli_option(cli, name, NULL) != NULL;
}

/* "device add" from two words, or "init" from one; sets *used to the words taken. */
static const struct cli_command *find_command(char **words, int count, int *used)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        const char *space = strchr(name, ' ');

        if (space == NULL && count >= 1 && strcmp(words[0], name) == 0) {
            *used = 1;
            return &cli_commands[i];
        }
        if (space != NULL && count >= 2 && strlen(words[0]) == (size_t)(space - name) &&
            strncmp(words[0], name, (size_t)(space - name)) == 0 &&
            strcmp(words[1], space + 1) == 0) {
            *used = 2;
            return &cli_commands[i];
        }
    }
    return NULL;
}

/* Takes one option that is known everywhere. Returns how many words it took, 0 when it is none, -1
 * on an error. */
static int global_option(struct cli *cli, char **argv, int left)
{
    const struct {
        const char *name;
        const char **to;
    } with_value[] = {{"--config", &cli->config}, {"--log", &cli->log_url}};

    if (strcmp(argv[0], "--json") == 0) {
        cli->json = true;
        return 1;
    }
    for (size_t i = 0; i < sizeof(with_value) / sizeof(with_value[0]); i++) {
        if (strcmp(argv[0], with_value[i].name) == 0) {
            if (left < 2) {
                (void)usage("%s needs a value", argv[0]);
                return -1;
            }
            *with_value[i].to = argv[1];
            return 2;
        }
    }
    if (strcmp(argv[0], "--set") == 0) {
        if (left < 2 || cli->set_count == CLI_SETS_MAX) {
            (void)usage(left < 2 ? "--set needs section.key=value" : "more than %d times --set",
                        CLI_SETS_MAX);
            return -1;
        }
        cli->sets[cli->set_count++] = argv[1];
        return 2;
    }
    return 0;
}

static bool keep_value(struct cli *cli, const char *name, const char *text)
{
    if (cli->value_count == CLI_VALUES_MAX) {
        (void)usage("more than %d option values", CLI_VALUES_MAX);
        return false;
    }
    cli->values[cli->value_count++] = (struct cli_value){name, text};
    return true;
}

/* Takes one option of the command. Returns how many words it took, or -1. */
static int command_option(struct cli *cli, char **argv, int left)
{
    for (size_t i = 0; i < cli->command->option_count; i++) {
        const struct cli_option *o = &cli->command->options[i];
        int taken = 1;

        if (strcmp(argv[0] + 2, o->name) != 0) {
            continue;
        }
        if (o->value == NULL) {
            return keep_value(cli, o->name, "") ? 1 : -1;
        }
        if (left < 2 || strncmp(argv[1], "--", 2) == 0) {
            (void)usage("%s: %s needs %s", cli->command->name, argv[0], o->value);
            return -1;
        }
        do {
            if (!keep_value(cli, o->name, argv[taken])) {
                return -1;
            }
            taken++;
        } while (o->repeat && taken < left && strncmp(argv[taken], "--", 2) != 0);
        return taken;
    }
    (void)usage("%s: unknown option %s", cli->command->name, argv[0]);
    return -1;
}

/* The words after the command. VG_EXIT_OK, or the exit code. */
static int parse_command_words(struct cli *cli, char **argv, int count)
{
    for (int i = 0; i < count;) {
        int taken = 1;

        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
            taken = global_option(cli, argv + i, count - i);
            taken = taken == 0 ? command_option(cli, argv + i, count - i) : taken;
            if (taken < 0) {
                return VG_EXIT_USAGE;
            }
        } else if (cli->arg_count == cli->command->max_args) {
            return usage("%s: one argument too many: '%s'", cli->command->name, argv[i]);
        } else {
            cli->args[cli->arg_count++] = argv[i];
        }
        i += taken;
    }
    if (cli->arg_count < cli->command->min_args) {
        return usage("%s: needs %s", cli->command->name, cli->command->args);
    }
    for (size_t i = 0; i < cli->command->option_count; i++) {
        if (cli->command->options[i].required && !cli_flag(cli, cli->command->options[i].name)) {
            return usage("%s: needs --%s %s", cli->command->name, cli->command->options[i].name,
                         cli->command->options[i].value);
        }
    }
    return VG_EXIT_OK;
}

static int load_and_run(struct cli *cli)
{
    char url_set[CLI_URL_MAX];
    struct vg_error err = {0};
    struct vg_conf_sources from = {.file = cli->config == NULL ? DEFAULT_CONFIG : cli->config,
                                   .file_optional = cli->config == NULL,
                                   .sets = cli->sets};
    enum vg_err code;
    int exit_code;

    if (cli->log_url != NULL) {
        if (cli->set_count == CLI_SETS_MAX) {
            return usage("more than %d times --set", CLI_SETS_MAX);
        }
        if (snprintf(url_set, sizeof(url_set), "log.url=%s", cli->log_url) >=
            (int)sizeof(url_set)) {
            return usage("--log: longer than %d characters", CLI_URL_MAX - 16);
        }
        cli->sets[cli->set_count++] = url_set;
    }
    from.set_count = cli->set_count;
    if (cli->command->run == cli_init && cli->config == NULL) {
        from.file = NULL; /* init makes the files; one that lies in /etc is not meant */
    }
    code = vg_conf_load_traced(&cli_conf_table, &from, &cli->conf, &cli->origins, &err);
    if (code != VG_OK) {
        (void)cli_fail(cli, "%s", err.text);
        vg_conf_origins_free(cli->origins);
        return code == VG_E_NOMEM ? VG_EXIT_FAIL : VG_EXIT_CONFIG;
    }
    code = vg_need_version("cJSON", cJSON_Version(), VG_FLOOR_CJSON, &err);
    if (code == VG_OK && cli->command->needs_log) {
        code = vg_dlog_open(&cli->conf.log, "vigia", 0, &cli->log, &err);
    }
    exit_code = code == VG_OK ? cli->command->run(cli) : cli_fail_err(cli, code, &err);
    vg_dlog_close(cli->log);
    vg_conf_origins_free(cli->origins);
    return exit_code;
}

static bool wants_help(char **argv, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return true;
        }
    }
    return false;
}

static int run_words(int argc, char **argv)
{
    struct cli cli = {0};
    int at = 1;
    int used = 0;
    int exit_code;

    while (at < argc && argv[at][0] == '-') {
        int taken;

        if (strcmp(argv[at], "--help") == 0) {
            cli_help(stdout);
            return VG_EXIT_OK;
        }
        if (strcmp(argv[at], "--version") == 0) {
            (void)puts("vigia " VIGIA_VERSION);
            return VG_EXIT_OK;
        }
        if (strcmp(argv[at], "--manual") == 0) {
            cli_manual(stdout);
            return VG_EXIT_OK;
        }
        taken = global_option(&cli, argv + at, argc - at);
        if (taken <= 0) {
            return taken < 0 ? VG_EXIT_USAGE : usage("unknown option %s", argv[at]);
        }
        at += taken;
    }
    if (at == argc) {
        return usage("which command?");
    }
    cli.command = find_command(argv + at, argc - at, &used);
    if (cli.command == NULL && at + 1 < argc && strcmp(argv[at + 1], "--help") == 0 &&
        cli_help_group(argv[at], stdout)) {
        return VG_EXIT_OK;
    }
    if (cli.command == NULL) {
        return usage("unknown command '%s%s%s'", argv[at], at + 1 < argc ? " " : "",
                     at + 1 < argc ? argv[at + 1] : "");
    }
    if (wants_help(argv + at + used, argc - at - used)) {
        cli_help_command(cli.command, stdout);
        return VG_EXIT_OK;
    }
    exit_code = parse_command_words(&cli, argv + at + used, argc - at - used);
    if (exit_code != VG_EXIT_OK) {
        return exit_code;
    }
    return load_and_run(&cli);
}

int main(int argc, char **argv)
{
    return vg_stdout_end("vigia", run_words(argc, argv));
}
