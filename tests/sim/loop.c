/* The event loop, the program's frame, metrics and log lines, on virtual time: the same interfaces
 * as in lib/base and lib/program. */
#include "sim.h"

#include "vigia/log.h"
#include "vigia/loop.h"
#include "vigia/metric.h"
#include "vigia/program.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS    96
#define LINE_IDS 96

/* Looks that come again and again, behind descriptors that tell earlier. */
#define LOOK_MIN_MS 100
#define LOOK_MAX_MS 1000

struct slot {
    bool used;
    int fd;
    unsigned events;
    vg_loop_fd_fn *on_fd;
    vg_loop_timer_fn *on_timer;
    void *arg;
    int64_t at; /* SIM_NEVER: disarmed */
};

struct vg_loop {
    const struct vg_clock *clock;
    struct sim_proc *proc;
    struct slot watches[SLOTS], timers[SLOTS];
    size_t watch_count, timer_count; /* one past the highest used */
    bool stop;
};

int64_t sim_slack_ns;

enum vg_err vg_loop_new(const struct vg_clock *clock, size_t max_watches, size_t max_timers,
                        struct vg_loop **out)
{
    if (max_watches > SLOTS || max_timers > SLOTS) {
        return VG_E_RANGE;
    }
    struct vg_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return VG_E_NOMEM;
    }
    loop->clock = clock;
    loop->proc = sim_me();
    *out = loop;
    return VG_OK;
}

void vg_loop_free(struct vg_loop *loop)
{
    free(loop);
}

const struct vg_clock *vg_loop_clock(const struct vg_loop *loop)
{
    return loop->clock;
}

static int take(struct slot *slots, size_t *count)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (!slots[i].used) {
            slots[i] = (struct slot){.used = true, .at = SIM_NEVER};
            *count = i + 1 > *count ? i + 1 : *count;
            return (int)i + 1;
        }
    }
    return 0;
}

enum vg_err vg_loop_watch(struct vg_loop *loop, int fd, unsigned events, vg_loop_fd_fn *fn,
                          void *arg, vg_watch_id *out)
{
    int id = take(loop->watches, &loop->watch_count);
    if (id == 0) {
        return VG_E_FULL;
    }
    struct slot *s = &loop->watches[id - 1];
    s->fd = fd;
    s->events = events;
    s->on_fd = fn;
    s->arg = arg;
    *out = id;
    return VG_OK;
}

void vg_loop_rewatch(struct vg_loop *loop, vg_watch_id id, unsigned events)
{
    loop->watches[id - 1].events = events;
}

void vg_loop_unwatch(struct vg_loop *loop, vg_watch_id id)
{
    if (id > 0) {
        loop->watches[id - 1].used = false;
    }
}

enum vg_err vg_loop_timer(struct vg_loop *loop, vg_loop_timer_fn *fn, void *arg, vg_timer_id *out)
{
    int id = take(loop->timers, &loop->timer_count);
    if (id == 0) {
        return VG_E_FULL;
    }
    loop->timers[id - 1].on_timer = fn;
    loop->timers[id - 1].arg = arg;
    *out = id;
    return VG_OK;
}

void vg_loop_timer_at(struct vg_loop *loop, vg_timer_id id, struct vg_mono when)
{
    loop->timers[id - 1].at = loop->proc->host->booted_ns + when.ns;
}

void vg_loop_timer_in_ms(struct vg_loop *loop, vg_timer_id id, int64_t ms)
{
    int64_t slack = ms >= LOOK_MIN_MS && ms <= LOOK_MAX_MS ? sim_slack_ns : 0;
    loop->timers[id - 1].at = sim_now + ms * SIM_MS + slack;
}

void vg_loop_timer_stop(struct vg_loop *loop, vg_timer_id id)
{
    loop->timers[id - 1].at = SIM_NEVER;
}

void vg_loop_timer_remove(struct vg_loop *loop, vg_timer_id id)
{
    if (id > 0) {
        loop->timers[id - 1].used = false;
    }
}

void vg_loop_stop(struct vg_loop *loop)
{
    loop->stop = true;
    sim_fd_changed(loop->proc);
}

static bool fire_timers(struct vg_loop *loop)
{
    bool any = false;
    for (size_t i = 0; i < loop->timer_count && !loop->stop; i++) {
        struct slot *s = &loop->timers[i];
        if (s->used && s->at <= sim_now) {
            s->at = SIM_NEVER;
            s->on_timer(s->arg);
            any = true;
        }
    }
    return any;
}

static bool serve_watches(struct vg_loop *loop)
{
    bool any = false;
    for (size_t i = 0; i < loop->watch_count && !loop->stop; i++) {
        const struct slot *s = &loop->watches[i];
        if (s->used && (s->events & VG_LOOP_READ) != 0 && sim_fd_ready(s->fd)) {
            s->on_fd(s->arg, VG_LOOP_READ);
            any = true;
        }
    }
    return any;
}

enum vg_err vg_loop_run(struct vg_loop *loop)
{
    while (!loop->stop) {
        bool any = fire_timers(loop);
        any = serve_watches(loop) || any;
        if (any || loop->stop) {
            continue;
        }
        int64_t next = SIM_NEVER;
        for (size_t i = 0; i < loop->timer_count; i++) {
            const struct slot *s = &loop->timers[i];
            next = s->used && s->at < next ? s->at : next;
        }
        (void)sim_wait(loop->proc, next);
    }
    loop->stop = false;
    return VG_OK;
}

/* ---- the program's frame ---- */

void vg_program_fail(int exit_code)
{
    struct sim_proc *p = sim_me();
    p->exit_code = exit_code;
    vg_loop_stop(p->loop);
}

/* There is no file and line to point to. */
void vg_program_locate(struct vg_error *err)
{
    (void)err;
}

/* ---- retention ----
 *
 * The appenders look each 5 s whether something is to be trimmed. Nothing gets old enough here, so
 * they look once in a minute: half of the run's time would go into it. */
#define LOOKS 12
enum vg_err __real_vgi_trim_step(void *w, int64_t now_ms, void *sum, bool *again,
                                 struct vg_error *err);
enum vg_err __wrap_vgi_trim_step(void *w, int64_t now_ms, void *sum, bool *again,
                                 struct vg_error *err);
enum vg_err __wrap_vgi_trim_step(void *w, int64_t now_ms, void *sum, bool *again,
                                 struct vg_error *err)
{
    static unsigned looks;
    if (looks++ % LOOKS == 0) {
        return __real_vgi_trim_step(w, now_ms, sum, again, err);
    }
    *again = false;
    return VG_OK;
}

/* ---- metrics: nobody reads them here ---- */

enum vg_err vg_metric_register(struct vg_metric *metrics, size_t count)
{
    (void)metrics;
    (void)count;
    return VG_OK;
}

/* ---- log lines ---- */

static struct {
    char id[40];
    uint64_t count;
} lines[LINE_IDS];

uint64_t sim_lines(const char *msgid)
{
    for (size_t i = 0; i < LINE_IDS; i++) {
        if (strcmp(lines[i].id, msgid) == 0) {
            return lines[i].count;
        }
    }
    return 0;
}

void sim_lines_print(FILE *to)
{
    for (size_t i = 0; i < LINE_IDS && lines[i].id[0] != '\0'; i++) {
        (void)fprintf(to, "  %8llu %s\n", (unsigned long long)lines[i].count, lines[i].id);
    }
}

void __wrap_vg_log_write(enum vg_log_level level, const char *msgid, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

void __wrap_vg_log_write(enum vg_log_level level, const char *msgid, const char *fmt, ...)
{
    char text[400];
    if (level == VG_LOG_DEBUG) {
        return;
    }
    for (size_t i = 0; i < LINE_IDS; i++) {
        if (lines[i].id[0] == '\0') {
            (void)snprintf(lines[i].id, sizeof lines[i].id, "%s", msgid);
        }
        if (strcmp(lines[i].id, msgid) == 0) {
            lines[i].count++;
            break;
        }
    }
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    sim_trace("log %s %s", msgid, text);
}
