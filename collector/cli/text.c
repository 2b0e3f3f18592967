/* Help, manual page and shell completion, all written from the command table. */
#include "cli.h"

#include <string.h>

static const char summary[] = "operate a Vigía site: devices, topics, alarms";

static void command_line(const struct cli_command *c, FILE *to)
{
    char usage[64];

    (void)snprintf(usage, sizeof(usage), "%s%s%s", c->name, c->args[0] == '\0' ? "" : " ", c->args);
    (void)fprintf(to, "  %-28s %s\n", usage, c->summary);
}

bool cli_help_group(const char *group, FILE *to)
{
    size_t len = strlen(group);
    bool found = false;

    for (size_t i = 0; i < cli_command_count; i++) {
        if (strncmp(cli_commands[i].name, group, len) == 0 && cli_commands[i].name[len] == ' ') {
            command_line(&cli_commands[i], to);
            found = true;
        }
    }
    return found;
}

void cli_help(FILE *to)
{
    (void)fprintf(to,
                  "vigia: %s\n\n"
                  "Usage: vigia [OPTIONS] COMMAND [ARGUMENTS]\n\nCommands:\n",
                  summary);
    for (size_t i = 0; i < cli_command_count; i++) {
        command_line(&cli_commands[i], to);
    }
    (void)fputs("\nOptions everywhere:\n"
                "  --config FILE                configuration (default /etc/vigia/vigia.ini, if it "
                "is there)\n"
                "  --log URL                    the log: sqlite:PATH or kafka:HOST:PORT,…; "
                "overrides [log] url\n"
                "  --set SECTION.KEY=VALUE      override one key; may be repeated\n"
                "  --json                       JSON lines instead of a table\n"
                "  --help, --version            after a command: help for that command\n"
                "  --manual                     print the manual page (scdoc source)\n\n",
                to);
    vg_conf_help(&cli_conf_table, to);
    (void)fputs("\nExit codes: 0 done, 1 failed, 2 usage, 78 configuration.\n", to);
}

void cli_help_command(const struct cli_command *c, FILE *to)
{
    (void)fprintf(to, "vigia %s: %s\n\nUsage: vigia %s%s%s%s\n", c->name, c->summary, c->name,
                  c->args[0] == '\0' ? "" : " ", c->args, c->option_count == 0 ? "" : " [OPTIONS]");
    if (c->detail != NULL) {
        (void)fprintf(to, "\n%s\n", c->detail);
    }
    if (c->option_count > 0) {
        (void)fputs("\nOptions:\n", to);
    }
    for (size_t i = 0; i < c->option_count; i++) {
        const struct cli_option *o = &c->options[i];
        char usage[64];

        (void)snprintf(usage, sizeof(usage), "--%s%s%s%s", o->name, o->value == NULL ? "" : " ",
                       o->value == NULL ? "" : o->value, o->repeat ? "..." : "");
        (void)fprintf(to, "  %-28s %s%s\n", usage, o->help, o->required ? " (required)" : "");
    }
}

/* scdoc gives '_' and '*' a meaning: escape them in running text. */
static void escaped(const char *text, FILE *to)
{
    for (; *text != '\0'; text++) {
        if (strchr("_*\\#[]<>", *text) != NULL) {
            (void)fputc('\\', to);
        }
        (void)fputc(*text, to);
    }
}

void cli_manual(FILE *to)
{
    (void)fprintf(
        to,
        "vigia(1)\n\n# NAME\n\nvigia - %s\n\n"
        "# SYNOPSIS\n\n*vigia* [*--config* _file_] [*--log* _url_] [*--set* _section.key=value_] "
        "[*--json*] _command_ [_arguments_]\n\n# COMMANDS\n",
        summary);
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = &cli_commands[i];

        (void)fprintf(to, "\n*%s*", c->name);
        if (c->args[0] != '\0') {
            (void)fputc(' ', to);
            escaped(c->args, to);
        }
        (void)fputs("\n\t", to);
        escaped(c->summary, to);
        (void)fputs(".\n", to);
        if (c->detail != NULL) {
            (void)fputs("\t", to);
            escaped(c->detail, to);
            (void)fputs("\n", to);
        }
        for (size_t k = 0; k < c->option_count; k++) {
            (void)fprintf(to, "\n\t*--%s*", c->options[k].name);
            if (c->options[k].value != NULL) {
                (void)fprintf(to, " _%s_", c->options[k].value);
            }
            (void)fputs("\n\t\t", to);
            escaped(c->options[k].help, to);
            (void)fputs(c->options[k].required ? ". Required.\n" : ".\n", to);
        }
    }
    (void)fputc('\n', to);
    vg_conf_manual(&cli_conf_table, to);
    (void)fputs("\n# FILES\n\n_/etc/vigia/vigia.ini_\n\tThe configuration, unless *--config* names "
                "another. Later sources win: default, file, environment VIGIA\\_SECTION\\_KEY, "
                "*--set*.\n",
                to);
    (void)fputs("\n# EXIT STATUS\n\n*0* done, *1* failed, *2* usage, *78* configuration.\n", to);
}

/* Completes commands, their second words and their options; file names everywhere else. */
void cli_completion(FILE *to)
{
    (void)fputs("# bash completion for vigia(1): source <(vigia completion)\n"
                "_vigia() {\n"
                "    local word=${COMP_WORDS[COMP_CWORD]} line=\" ${COMP_WORDS[*]:1:COMP_CWORD-1} "
                "\" words=\n"
                "    case $line in\n",
                to);
    for (size_t i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = &cli_commands[i];

        (void)fprintf(to, "    *\" %s \"*) words='", c->name);
        for (size_t k = 0; k < c->option_count; k++) {
            (void)fprintf(to, "--%s ", c->options[k].name);
        }
        (void)fputs("--json --config --log --set --help' ;;\n", to);
    }
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        const char *space = strchr(name, ' ');
        size_t len = space == NULL ? 0 : (size_t)(space - name);

        /* The first command of a group writes the whole group; single-word commands have no second
         * word. */
        if (space == NULL || (i > 0 && strncmp(cli_commands[i - 1].name, name, len + 1) == 0)) {
            continue;
        }
        (void)fprintf(to, "    *\" %.*s \"*) words='", (int)len, name);
        for (size_t k = i;
             k < cli_command_count && strncmp(cli_commands[k].name, name, len + 1) == 0; k++) {
            (void)fprintf(to, "%s ", cli_commands[k].name + len + 1);
        }
        (void)fputs("' ;;\n", to);
    }
    (void)fputs("    *) words='", to);
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        size_t len = strcspn(name, " ");

        if (i == 0 || strncmp(cli_commands[i - 1].name, name, len) != 0) {
            (void)fprintf(to, "%.*s ", (int)len, name);
        }
    }
    (void)fputs(
        "--json --config --log --set --help --version' ;;\n"
        "    esac\n"
        "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
        "    [ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
        "}\n"
        "complete -F _vigia vigia\n",
        to);
}
