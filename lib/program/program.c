/* The life of a program:
 *
 *   options -> configuration -> signals blocked -> loop -> page -> start -> [loop] -> drain -> stop
 * -> exit code
 */
#include "internal.h"
#include "vigia/endpoint.h"
#include "vigia/file.h"
#include "vigia/metric.h"
#include "vigia/span.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* What this module takes from the loop. */
#define OWN_WATCHES (1 + VGI_PAGE_WATCHES)
#define OWN_TIMERS  (4 + VGI_PAGE_TIMERS)
/* How often ready() is asked until it says yes for the first time. */
#define READY_POLL_MS 50
/* Room for a whole vg_error in quotes. */
#define REASON_MAX (2 * VG_ERROR_TEXT_MAX)

struct run {
    const struct vg_program *program;
    const struct vgi_args *args;
    struct vg_loop *loop;
    void *state;
    void *fresh; /* where a reload loads to */
    struct vgi_page *page;
    int signals;
    vg_timer_id ready_timer, drain_timer, watchdog_timer, log_timer;
    int64_t watchdog_ms;
    bool started;
    bool draining;
    bool told_ready;
    int exit_code;
};

/* For vg_program_fail: there is one program in a process. */
static struct run *running;

/* Of the configuration in effect, for vg_program_locate. */
static struct vg_conf_origins *origins;

static struct vg_metric suppressed_metric = {
    .name = "vigia_log_suppressed_lines_total",
    .help = "Log lines left out by the limit per message id.",
    .type = VG_COUNTER,
};

void vg_program_fail(int exit_code)
{
    if (running != NULL) {
        running->exit_code = exit_code;
        vg_loop_stop(running->loop);
    }
}

void vg_program_locate(struct vg_error *err)
{
    vg_conf_locate(origins, err);
}

/* A library may end the process by itself: libcoap's hash tables do, when they get no memory. That
 * end is told and counted like one of our own. */
static void on_foreign_exit(void)
{
    if (running != NULL) {
        vg_log_error("ended-by-library",
                     "reason=\"a library called exit(): no memory, most likely\"");
        _exit(VG_EXIT_FAIL);
    }
}

static int exit_code_of(enum vg_err code)
{
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

static const char *quoted(const struct vg_error *err, char out[REASON_MAX])
{
    return vg_quote(err->text, out, REASON_MAX);
}

/* --- readiness --- */

static bool is_ready(void *arg)
{
    const struct run *run = arg;
    return run->started && !run->draining &&
           (run->program->ready == NULL || run->program->ready(run->state));
}

static void on_ready_timer(void *arg)
{
    struct run *run = arg;
    if (run->draining) {
        return;
    }
    if (!is_ready(run)) {
        vg_loop_timer_in_ms(run->loop, run->ready_timer, READY_POLL_MS);
        return;
    }
    run->told_ready = true;
    vgi_notify("READY=1");
    vg_log_info("ready", "");
}

static void on_watchdog(void *arg)
{
    struct run *run = arg;
    vgi_notify("WATCHDOG=1");
    vg_loop_timer_in_ms(run->loop, run->watchdog_timer, run->watchdog_ms);
}

static void on_log_timer(void *arg)
{
    struct run *run = arg;
    vg_log_tick();
    vg_metric_set(&suppressed_metric, (int64_t)vg_log_suppressed());
    vg_loop_timer_in_ms(run->loop, run->log_timer, VG_LOG_WINDOW_MS);
}

/* --- signals --- */

static void on_drain_timer(void *arg)
{
    struct run *run = arg;
    vg_log_error("drain-timeout", "after_ms=%d", VG_PROGRAM_DRAIN_MS);
    run->exit_code = VG_EXIT_FAIL;
    vg_loop_stop(run->loop);
}

static void drain(struct run *run, const char *signal_name)
{
    if (run->draining) {
        vg_log_warn("killed", "signal=%s reason=\"second signal while draining\"", signal_name);
        _exit(VG_EXIT_FAIL);
    }
    run->draining = true;
    vgi_notify("STOPPING=1");
    vg_log_info("draining", "signal=%s", signal_name);
    if (run->program->drain == NULL) {
        vg_loop_stop(run->loop);
        return;
    }
    vg_loop_timer_in_ms(run->loop, run->drain_timer, VG_PROGRAM_DRAIN_MS);
    run->program->drain(run->state);
}

static void tell_fixed(void *arg, const char *name)
{
    (void)arg;
    vg_log_warn("reload-needs-restart", "key=%s", VG_Q(name));
}

/* The fresh configuration, whose origins become ours, in place of the running one, unless the
 * program refuses it. */
static void take_over(struct run *run, struct vg_conf_origins *fresh)
{
    const struct vg_program *program = run->program;
    struct vg_error err;
    char reason[REASON_MAX];
    vg_conf_keep_fixed(program->table, program->conf, run->fresh, tell_fixed, NULL);
    if (program->reload(run->state, run->fresh, &err) != VG_OK) {
        vg_conf_locate(fresh, &err);
        vg_conf_origins_free(fresh);
        vg_log_error("reload-refused", "reason=%s", quoted(&err, reason));
        return;
    }
    vg_conf_origins_free(origins);
    origins = fresh;
    memcpy(program->conf, run->fresh, program->table->object_size);
    vg_log_info("reloaded", "");
}

static void reload(struct run *run)
{
    const struct vg_program *program = run->program;
    struct vg_error err;
    bool usage;
    char reason[REASON_MAX], message[64];
    if (program->reload == NULL || run->draining) {
        vg_log_warn("reload-refused", "reason=\"%s\"",
                    run->draining ? "draining" : "this program cannot reload");
        return;
    }
    /* Type=notify-reload of systemd.service(5) wants the moment, too. */
    snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)(vg_now_mono(vg_clock_system()).ns / 1000));
    vgi_notify(message);
    struct vg_conf_origins *fresh;
    if (vgi_configure(program, run->args, run->fresh, &usage, &fresh, &err) != VG_OK) {
        vg_log_error("reload-failed", "reason=%s", quoted(&err, reason));
    } else {
        take_over(run, fresh);
    }
    if (run->told_ready) {
        vgi_notify("READY=1");
    }
}

static void on_signal(void *arg, unsigned events)
{
    struct run *run = arg;
    struct signalfd_siginfo info;
    (void)events;
    if (read(run->signals, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    if (info.ssi_signo == SIGHUP) {
        reload(run);
    } else {
        drain(run, info.ssi_signo == SIGINT ? "INT" : "TERM");
    }
}

static enum vg_err take_signals(struct run *run, struct vg_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (run->signals < 0) {
        return vg_fail(err, VG_E_IO, "signals cannot be received: %s", strerror(errno));
    }
    vg_watch_id watch;
    enum vg_err code = vg_loop_watch(run->loop, run->signals, VG_LOOP_READ, on_signal, run, &watch);
    return code == VG_OK ? VG_OK : vg_fail(err, code, "signals cannot be watched");
}

/* --- life --- */

static enum vg_err make_timers(struct run *run, struct vg_error *err)
{
    if (vg_loop_timer(run->loop, on_ready_timer, run, &run->ready_timer) != VG_OK ||
        vg_loop_timer(run->loop, on_drain_timer, run, &run->drain_timer) != VG_OK ||
        vg_loop_timer(run->loop, on_watchdog, run, &run->watchdog_timer) != VG_OK ||
        vg_loop_timer(run->loop, on_log_timer, run, &run->log_timer) != VG_OK) {
        return vg_fail(err, VG_E_FULL, "no timers left");
    }
    return VG_OK;
}

static enum vg_err prepare(struct run *run, struct vg_error *err)
{
    const struct vg_program *program = run->program;
    run->fresh = calloc(1, program->table->object_size);
    if (run->fresh == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory");
    }
    enum vg_err code = vg_loop_new(vg_clock_system(), program->max_watches + OWN_WATCHES,
                                   program->max_timers + OWN_TIMERS, &run->loop);
    if (code != VG_OK) {
        return vg_fail(err, code, "the event loop cannot be made");
    }
    code = take_signals(run, err);
    if (code == VG_OK) {
        code = make_timers(run, err);
    }
    if (code == VG_OK && vg_metric_register(&suppressed_metric, 1) != VG_OK) {
        code = vg_fail(err, VG_E_FULL, "no metrics left");
    }
    return code;
}

static enum vg_err open_page(struct run *run, struct vg_error *err)
{
    const char *listen_text = run->program->metrics_listen;
    struct vg_error why;
    if (listen_text == NULL || listen_text[0] == '\0') {
        return VG_OK;
    }
    enum vg_err code = vgi_page_open(run->loop, listen_text, is_ready, run, &run->page, &why);
    return code == VG_OK ? VG_OK : vg_fail(err, code, "metrics.listen: %s", why.text);
}

static enum vg_err turn_until_stopped(struct run *run, struct vg_error *err)
{
    run->watchdog_ms = vgi_watchdog_ms();
    if (run->watchdog_ms > 0) {
        on_watchdog(run);
    }
    vg_loop_timer_in_ms(run->loop, run->log_timer, VG_LOG_WINDOW_MS);
    vg_loop_timer_in_ms(run->loop, run->ready_timer, 0);
    enum vg_err code = vg_loop_run(run->loop);
    return code == VG_OK ? VG_OK : vg_fail(err, code, "the event loop failed: %s", strerror(errno));
}

static int run_program(struct run *run)
{
    const struct vg_program *program = run->program;
    struct vg_error err;
    char reason[REASON_MAX];
    enum vg_err code = prepare(run, &err);
    if (code == VG_OK) {
        /* Before start: a port in use is found while nothing has been touched. */
        code = open_page(run, &err);
    }
    if (code == VG_OK) {
        running = run;
        (void)atexit(on_foreign_exit);
        code = program->start(run->loop, program->conf, &run->state, &err);
        run->started = code == VG_OK;
    }
    if (code == VG_OK) {
        vg_log_info("started", "version=%s", VIGIA_VERSION);
        code = turn_until_stopped(run, &err);
    }
    if (code != VG_OK) {
        vg_program_locate(&err);
        vg_log_error(run->started ? "failed" : "start-failed", "class=%s reason=%s",
                     vg_err_name(code), quoted(&err, reason));
        run->exit_code = exit_code_of(code);
    }
    vgi_page_close(run->page);
    if (run->started) {
        program->stop(run->state);
        vg_log_tick();
        vg_log_info("stopped", "exit=%d", run->exit_code);
    }
    running = NULL;
    vg_loop_free(run->loop);
    if (run->signals >= 0) {
        close(run->signals);
    }
    free(run->fresh);
    return run->exit_code;
}

static int print_and_exit(const struct vg_program *program, const struct vgi_args *args)
{
    if (args->help) {
        vgi_print_help(program, stdout);
    } else if (args->version) {
        printf("%s %s\n", program->name, VIGIA_VERSION);
    } else {
        vgi_print_manual(program, stdout);
    }
    return VG_EXIT_OK;
}

/* What open_page would refuse before it touches the network. */
static int check_page_address(const struct vg_program *program)
{
    struct vg_endpoint where;
    struct vg_error err;
    const char *text = program->metrics_listen;
    if (text != NULL && text[0] != '\0' &&
        vg_endpoint_parse(vg_span_str(text), 0, &where, &err) != VG_OK) {
        (void)vg_err_blame(&err, err.code, "metrics.listen");
        vg_program_locate(&err);
        fprintf(stderr, "%s\n", err.text);
        return VG_EXIT_CONFIG;
    }
    return VG_EXIT_OK;
}

static int with_args(const struct vg_program *program, const struct vgi_args *args)
{
    struct vg_error err;
    bool usage;
    if (args->help || args->version || args->manual) {
        return print_and_exit(program, args);
    }
    vg_log_init(program->name, args->level, args->format);
    enum vg_err code = vgi_configure(program, args, program->conf, &usage, &origins, &err);
    if (code != VG_OK) {
        fprintf(stderr, "%s\n", err.text);
        return usage ? VG_EXIT_USAGE : code == VG_E_NOMEM ? VG_EXIT_FAIL : VG_EXIT_CONFIG;
    }
    if (args->dump_config) {
        vg_conf_dump(program->table, program->conf, stdout);
        return VG_EXIT_OK;
    }
    if (args->check_config) {
        return check_page_address(program);
    }
    if (program->instead != NULL) {
        int exit_code = program->instead(program->conf);
        if (exit_code >= 0) {
            return exit_code;
        }
    }
    struct run run = {.program = program, .args = args, .signals = -1};
    return run_program(&run);
}

int vg_program_main(const struct vg_program *program, int argc, char **argv)
{
    struct vgi_args args;
    bool good = vgi_args_parse(program, argc, argv, &args);
    int exit_code = good             ? with_args(program, &args)
                    : args.no_memory ? VG_EXIT_FAIL
                                     : VG_EXIT_USAGE;
    vgi_args_free(&args);
    vg_conf_origins_free(origins);
    origins = NULL;
    return vg_stdout_end(program->name, exit_code);
}
