/* What every daemon does the same way: options, configuration, log level, signals, readiness,
 * metrics page.
 *
 *   int main(int argc, char **argv) { return vg_program_main(&program, argc, argv); }
 *
 * Standard options: --help --version --config FILE --check-config --dump-config --set
 * section.key=value (repeatable)
 * --log-level LEVEL --log-format logfmt|json --manual (prints the manual page source, scdoc).
 * Exit codes: vigia/err.h. A wrong configuration is one line on standard error: file:line:
 * section.key: found, accepted. SIGTERM and SIGINT drain; a second one ends at once with exit
 * code 1. SIGHUP reloads in a program that can; a new configuration that is not accepted is told
 * and the running one stays. SIGPIPE is ignored. sd_notify(3) protocol: READY=1, STOPPING=1,
 * RELOADING=1, and WATCHDOG=1 at half of $WATCHDOG_USEC from the loop, so that a stuck loop is
 * restarted. The signals are blocked before start(), so threads made there inherit that and the
 * loop alone receives them. */
#ifndef VIGIA_PROGRAM_H
#define VIGIA_PROGRAM_H

#include "vigia/conf.h"
#include "vigia/loop.h"

/* Time that a drain may take before the program is stopped anyway (and exits with 1). */
#define VG_PROGRAM_DRAIN_MS 10000
/* At most so many options of a program's own. */
#define VG_PROGRAM_OPTIONS_MAX 24

/* The item that makes the page of metrics configurable: a char[] field of at least 64 bytes. */
#define VG_PROGRAM_METRICS_ITEM(S, f)                                                              \
    VG_CONF_STRING(S, f, "metrics", "listen", "",                                                  \
                   "Address and port, such as 127.0.0.1:9464, that serves /metrics (Prometheus), " \
                   "/healthz and /readyz. Empty: none.")

struct vg_program_option {
    const char *name;  /* "replay" */
    const char *value; /* placeholder "FILE"; NULL: a flag, and `set` gets NULL */
    const char *help;
    /* Called after the configuration is loaded into `conf` and before `check`, in the order of the
     * command line, again at every reload. A failure is one line on standard error and exit code 2.
     */
    enum vg_err (*set)(void *conf, const char *value, struct vg_error *err);
    bool standalone; /* with this option, required configuration items may be missing (a one-shot
                        mode) */
};

struct vg_program {
    const char *name;    /* "vigia-edge" */
    const char *summary; /* one line, for --help and the manual */
    const char *manual;  /* DESCRIPTION and further sections in scdoc syntax, headings included;
                            NULL: none */
    const char *default_config; /* "/etc/vigia/edge.ini"; may be missing; NULL: none */
    const struct vg_conf_table *table;
    void *conf; /* object_size bytes, filled before start, replaced in place at a reload */
    const char *metrics_listen; /* the "host:port" field inside `conf`; NULL or empty when loaded:
                                   no page */
    size_t max_watches,
        max_timers; /* of the program's loop, beyond what this module needs itself */

    /* Extra checks across keys, for --check-config, start and reload; may be NULL. Touches nothing
     * on disk. A text that begins with "section.key: " gets the place of that key before it; that
     * holds for start(), too. */
    enum vg_err (*check)(void *conf, struct vg_error *err);
    /* A one-shot mode: called instead of everything below when not NULL and an option asked for it;
     * its result is the exit code, -1 goes on with start. May be NULL. */
    int (*instead)(void *conf);
    /* Builds everything; on failure it has undone its own work. err->code decides the exit code:
     * configuration classes (INVALID RANGE NOTFOUND DENIED VERSION UNSUPPORTED EXISTS) give 78,
     * others 1. *state goes to the other calls. */
    enum vg_err (*start)(struct vg_loop *loop, void *conf, void **state, struct vg_error *err);
    bool (*ready)(void *state); /* for READY=1 and /readyz; NULL: as soon as start returned */
    /* New configuration, already checked; program->conf still holds the old one during the call.
     * Items that are not `reloadable` have kept their running values. A failure has changed nothing;
     * the outcome is logged by the caller. NULL: not reloadable. */
    enum vg_err (*reload)(void *state, const void *conf, struct vg_error *err);
    const char *reloads; /* with `reload`: what SIGHUP does, a sentence for --help and the manual:
                            "Read the key files again." */
    /* Begins the drain; the program calls vg_loop_stop when done. NULL: nothing to drain. */
    void (*drain)(void *state);
    void (*stop)(void *state); /* frees everything, in reverse order of start */

    const struct vg_program_option *options; /* long options of this program; may be NULL */
    size_t option_count;
};

/* Runs the program from options to exit code. */
int vg_program_main(const struct vg_program *program, int argc, char **argv);

/* Says where the key was set that an error blames: vg_conf_locate with the configuration in effect.
 * What start() returns is located already; this is for what the program logs itself. */
void vg_program_locate(struct vg_error *err);

/* Ends the loop from inside (its own thread): stop() runs, then the process exits with `exit_code`.
 */
void vg_program_fail(int exit_code);

#endif
