/* What every daemon does the same way: options, configuration, log level, signals, readiness, metrics page.
 *
 *   int main(int argc, char **argv) { return vg_program_main(&program, argc, argv); }
 *
 * Standard options: --help --version --config FILE --check-config --dump-config --set section.key=value (repeatable)
 * --log-level LEVEL --log-format logfmt|json --manual (prints the manual page source, scdoc).
 * Exit codes: vigia/err.h. SIGTERM and SIGINT drain (stop is called once; a second signal ends at once), SIGHUP reloads.
 * sd_notify(3) protocol: READY=1, STOPPING=1, RELOADING=1, WATCHDOG=1 at half of $WATCHDOG_USEC, from the loop, so that a
 * stuck loop is restarted.
 * With [metrics] listen = 127.0.0.1:PORT a page serves /metrics, /healthz (the process turns) and /readyz (ready says so). */
#ifndef VIGIA_PROGRAM_H
#define VIGIA_PROGRAM_H

#include "vigia/conf.h"
#include "vigia/loop.h"

struct vg_program {
    const char *name;     /* "vigia-edge" */
    const char *summary;  /* one line, for --help and the manual */
    const char *manual;   /* DESCRIPTION and further sections in scdoc syntax; NULL: none */
    const char *default_config; /* "/etc/vigia/edge.ini"; optional when not named on the command line; NULL: none */
    const struct vg_conf_table *table;
    void *conf;           /* object_size bytes, filled before start */
    const char *const *metrics_listen; /* points at the loaded "host:port" text, or NULL / empty text: no page */
    size_t max_watches, max_timers;    /* of the program's loop, beyond what this module needs itself */
    /* Extra checks across keys, for --check-config and start; may be NULL. Touches nothing on disk. */
    enum vg_err (*check)(void *conf, struct vg_error *err);
    /* Builds everything; on failure it has undone its own work. err->code decides the exit code: configuration classes
     * (INVALID RANGE NOTFOUND DENIED VERSION UNSUPPORTED EXISTS) give 78, others 1. *state goes to the other calls. */
    enum vg_err (*start)(struct vg_loop *loop, void *conf, void **state, struct vg_error *err);
    bool (*ready)(void *state);                      /* for READY=1 and /readyz */
    void (*reload)(void *state, const void *conf);   /* new configuration, already checked; NULL: not reloadable */
    /* Begins the drain; the program calls vg_loop_stop when done. After [10 s] it is stopped anyway. */
    void (*drain)(void *state);
    void (*stop)(void *state); /* frees everything, in reverse order of start */
    /* Extra command-line flags of this program (long options, with or without a value), may be NULL. Handled before start. */
    const struct vg_program_option *options;
    size_t option_count;
};

struct vg_program_option {
    const char *name;  /* "replay" */
    const char *value; /* placeholder "FILE", NULL: a flag */
    const char *help;
    /* Called while parsing; VG_E_INVALID with err gives exit 2. */
    enum vg_err (*set)(void *conf, const char *value, struct vg_error *err);
};

int vg_program_main(const struct vg_program *program, int argc, char **argv);

/* Ends the program from inside with the given exit code after stop() (for example after a fatal log error). */
void vg_program_fail(int exit_code);

#endif
