/* The command line of every program, its help and its manual page, from one table each. */
#include "internal.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { OWN_BASE = 1000 }; /* options of the program itself count from here */

static const struct standard {
    const char *name, *value, *help;
    int code;
} standard[] = {
    {"help", NULL, "Print this help and exit.", 'h'},
    {"version", NULL, "Print the version and exit.", 'V'},
    {"config", "FILE", "Read the configuration from FILE.", 'c'},
    {"set", "SECTION.KEY=VALUE", "Override one key of the configuration; may be repeated.", 's'},
    {"check-config", NULL, "Check the configuration and exit.", 'C'},
    {"dump-config", NULL, "Print the configuration in effect as a commented file and exit.", 'D'},
    {"log-level", "LEVEL", "error, warn, info (default) or debug.", 'l'},
    {"log-format", "FORMAT", "logfmt (default) or json.", 'f'},
    {"manual", NULL, "Print the manual page's source (scdoc) and exit.", 'm'},
};
#define STANDARD_COUNT (sizeof standard / sizeof standard[0])

static void fill_long_options(const struct vg_program *program, struct option *to)
{
    for (size_t i = 0; i < STANDARD_COUNT; i++) {
        *to++ = (struct option){standard[i].name,
                                standard[i].value == NULL ? no_argument : required_argument, NULL,
                                standard[i].code};
    }
    for (size_t i = 0; i < program->option_count; i++) {
        *to++ = (struct option){program->options[i].name,
                                program->options[i].value == NULL ? no_argument : required_argument,
                                NULL, OWN_BASE + (int)i};
    }
    *to = (struct option){0};
}

static bool take_format(const char *text, enum vg_log_format *out)
{
    if (strcmp(text, "logfmt") == 0 || strcmp(text, "json") == 0) {
        *out = text[0] == 'j' ? VG_LOG_JSON : VG_LOG_LOGFMT;
        return true;
    }
    return false;
}

/* False for a value that is not accepted. */
static bool take_standard(const struct vg_program *program, int code, struct vgi_args *args)
{
    switch (code) {
    case 'h':
        args->help = true;
        break;
    case 'V':
        args->version = true;
        break;
    case 'm':
        args->manual = true;
        break;
    case 'C':
        args->check_config = true;
        break;
    case 'D':
        args->dump_config = true;
        break;
    case 'c':
        args->config = optarg;
        break;
    case 's':
        args->sets[args->set_count++] = optarg;
        break;
    case 'l':
        if (!vg_log_level_parse(optarg, &args->level)) {
            fprintf(stderr, "%s: --log-level: '%.40s', accepted: error, warn, info or debug\n",
                    program->name, optarg);
            return false;
        }
        break;
    case 'f':
        if (!take_format(optarg, &args->format)) {
            fprintf(stderr, "%s: --log-format: '%.40s', accepted: logfmt or json\n", program->name,
                    optarg);
            return false;
        }
        break;
    default: /* getopt_long has told what is wrong */
        return false;
    }
    return true;
}

bool vgi_args_parse(const struct vg_program *program, int argc, char **argv, struct vgi_args *out)
{
    struct option options[STANDARD_COUNT + VG_PROGRAM_OPTIONS_MAX + 1];
    *out = (struct vgi_args){.level = VG_LOG_INFO};
    /* Every argument is at most one of these. */
    out->sets = calloc((size_t)argc, sizeof *out->sets);
    out->given = calloc((size_t)argc, sizeof *out->given);
    if (out->sets == NULL || out->given == NULL || program->option_count > VG_PROGRAM_OPTIONS_MAX) {
        fprintf(stderr, "%s: no memory for the command line\n", program->name);
        out->no_memory = true;
        return false;
    }
    fill_long_options(program, options);
    optind = 1;
    for (int code; (code = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (code < OWN_BASE) {
            if (!take_standard(program, code, out)) {
                return false;
            }
            continue;
        }
        const struct vg_program_option *option = &program->options[code - OWN_BASE];
        out->given[out->given_count++] = (struct vgi_given){option, optarg};
        out->standalone = out->standalone || option->standalone;
    }
    if (optind < argc) {
        fprintf(stderr, "%s: '%.80s': no arguments are accepted, see --help\n", program->name,
                argv[optind]);
        return false;
    }
    return true;
}

void vgi_args_free(struct vgi_args *args)
{
    free(args->sets);
    free(args->given);
}

enum vg_err vgi_configure(const struct vg_program *program, const struct vgi_args *args, void *conf,
                          bool *usage, struct vg_conf_origins **out, struct vg_error *err)
{
    struct vg_conf_origins *origins;
    const struct vg_conf_sources from = {
        .file = args->config != NULL ? args->config : program->default_config,
        .file_optional = args->config == NULL,
        .allow_missing = args->standalone || args->dump_config,
        .sets = args->sets,
        .set_count = args->set_count,
    };
    *usage = false;
    enum vg_err code = vg_conf_load_traced(program->table, &from, conf, &origins, err);
    for (size_t i = 0; code == VG_OK && i < args->given_count; i++) {
        struct vg_error why;
        const struct vgi_given *given = &args->given[i];
        if (given->option->set(conf, given->value, &why) != VG_OK) {
            *usage = true;
            code = vg_fail(err, why.code, "--%s: %s", given->option->name, why.text);
        }
    }
    if (code == VG_OK && program->check != NULL && !args->dump_config) {
        code = program->check(conf, err);
    }
    if (code != VG_OK) {
        vg_conf_locate(origins, err);
        vg_conf_origins_free(origins);
        return code;
    }
    *out = origins;
    return VG_OK;
}

/* --- help and manual --- */

static void help_option(FILE *to, const char *name, const char *value, const char *help)
{
    char left[64];
    snprintf(left, sizeof left, "--%s%s%s", name, value == NULL ? "" : " ",
             value == NULL ? "" : value);
    fprintf(to, "  %-28s %s\n", left, help);
}

void vgi_print_help(const struct vg_program *program, FILE *to)
{
    fprintf(to, "%s: %s\n\nUsage: %s [OPTION]...\n\nOptions:\n", program->name, program->summary,
            program->name);
    for (size_t i = 0; i < program->option_count; i++) {
        help_option(to, program->options[i].name, program->options[i].value,
                    program->options[i].help);
    }
    for (size_t i = 0; i < STANDARD_COUNT; i++) {
        help_option(to, standard[i].name, standard[i].value, standard[i].help);
    }
    fprintf(
        to,
        "\nConfiguration: INI file%s%s; environment VIGIA_SECTION_KEY and --set override it.\n\n",
        program->default_config == NULL ? "" : " ",
        program->default_config == NULL ? "" : program->default_config);
    vg_conf_help(program->table, to);
    fprintf(to, "\nSIGHUP: %s\n",
            program->reload == NULL ? "Refused. Restart the program to change its configuration."
                                    : program->reloads);
    fputs("\nExit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration.\n", to);
}

/* Plain text in scdoc: its markup characters are escaped. */
static void manual_text(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("\\*_#[]|<>~", *text) != NULL) {
            fputc('\\', to);
        }
        fputc(*text, to);
    }
}

static void manual_option(FILE *to, const char *name, const char *value, const char *help)
{
    fprintf(to, "*--%s*", name);
    if (value != NULL) {
        fprintf(to, " _%s_", value);
    }
    fputs("\n\t", to);
    manual_text(to, help);
    fputs("\n\n", to);
}

static void manual_hup(const struct vg_program *program, FILE *to)
{
    if (program->reload == NULL) {
        fputs("Refused with the log line _reload-refused_; the program goes on as before. Restart "
              "it to change its configuration.\n\n",
              to);
        return;
    }
    manual_text(to, program->reloads);
    fputs(" Any other change of the configuration is told (_reload-needs-restart_) and waits for a "
          "restart. What is not accepted is told (_reload-failed_, _reload-refused_), and "
          "everything stays as it was.\n\n",
          to);
}

void vgi_print_manual(const struct vg_program *program, FILE *to)
{
    fprintf(to, "%s(8)\n\n# NAME\n\n%s - ", program->name, program->name);
    manual_text(to, program->summary);
    fprintf(to, "\n\n# SYNOPSIS\n\n*%s* [_OPTION_]...\n\n", program->name);
    if (program->manual != NULL) {
        fputs(program->manual, to);
        fputs("\n\n", to);
    }
    fputs("# OPTIONS\n\n", to);
    for (size_t i = 0; i < program->option_count; i++) {
        manual_option(to, program->options[i].name, program->options[i].value,
                      program->options[i].help);
    }
    for (size_t i = 0; i < STANDARD_COUNT; i++) {
        manual_option(to, standard[i].name, standard[i].value, standard[i].help);
    }
    vg_conf_manual(program->table, to);
    fputs("# SIGNALS\n\n"
          "*SIGTERM*, *SIGINT*\n\tFinish what was begun, then exit. A second one ends at once.\n\n"
          "*SIGHUP*\n\t",
          to);
    manual_hup(program, to);
    fputs("# EXIT STATUS\n\n"
          "*0*\n\tDone.\n\n*1*\n\tFailed; the last line of the log says why.\n\n"
          "*2*\n\tThe command line is wrong.\n\n"
          "*78*\n\tThe configuration is wrong; one line names file, line and key, what was found "
          "and what is "
          "accepted.\n\n"
          "# ENVIRONMENT\n\n"
          "*VIGIA\\_SECTION\\_KEY*\n\tOverrides _key_ of _section_, both in upper case.\n\n"
          "*NOTIFY\\_SOCKET*, *WATCHDOG\\_USEC*\n\tReadiness and watchdog of *systemd*(1).\n\n",
          to);
    if (program->default_config != NULL) {
        fputs("# FILES\n\n_", to);
        manual_text(to, program->default_config);
        fputs("_\n\tThe configuration, unless *--config* names another.\n", to);
    }
}
