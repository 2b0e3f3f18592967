/* Sources to the buffer: whatever is due is read and handed over; nothing here waits. */
#include "parts.h"

#include "vigia/log.h"
#include "vigia/source_sim.h"

#include <stdio.h>

/* Reads in one turn of the loop, so that a source that always has more does not starve the rest. */
#define READS_PER_TURN 8

static void plan(struct vgi_feeder *f)
{
    struct vg_mono at;
    if (f->ops->deadline(f->source, &at)) {
        vg_loop_timer_at(f->agent->loop, f->timer, at);
    } else {
        vg_loop_timer_stop(f->agent->loop, f->timer);
    }
}

static void close_source(struct vgi_feeder *f)
{
    vg_loop_unwatch(f->agent->loop, f->watch);
    vg_loop_timer_remove(f->agent->loop, f->timer);
    if (f->source != NULL) {
        f->ops->close(f->source);
        f->source = NULL;
    }
}

static void read_source(struct vgi_feeder *f)
{
    struct vgi_agent *a = f->agent;
    size_t count = VGI_SAMPLES_MAX;
    for (int i = 0; i < READS_PER_TURN && count == VGI_SAMPLES_MAX; i++) {
        struct vg_error err = {0};
        enum vg_err e = f->ops->read(f->source, a->samples, VGI_SAMPLES_MAX, &count, &err);
        if (e == VG_E_FATAL) {
            vg_log_error("source-ended", "source=%s reason=%s", VG_Q(f->conf->name),
                         VG_Q(err.text));
            close_source(f);
            return;
        }
        if (e != VG_OK) {
            vg_log_warn("source-failed", "source=%s reason=%s", VG_Q(f->conf->name),
                        VG_Q(err.text));
            break;
        }
        for (size_t k = 0; k < count; k++) {
            vgi_agent_keep(a, &a->samples[k].reading, a->samples[k].taken);
        }
    }
    plan(f);
}

static void on_timer(void *arg)
{
    read_source(arg);
}

static void on_readable(void *arg, unsigned events)
{
    (void)events;
    read_source(arg);
}

/* A file that the source could not use is the fault of the key that names it. */
static enum vg_err blame(const struct vgi_source_conf *conf, enum vg_err e, struct vg_error *err)
{
    char scenario[sizeof conf->name + 32], ledger[sizeof conf->name + 32];
    (void)snprintf(scenario, sizeof scenario, "source %s.scenario", conf->name);
    (void)snprintf(ledger, sizeof ledger, "source %s.ledger", conf->name);
    e = vg_err_blame_value(err, e, ledger, conf->ledger);
    return vg_err_blame_value(err, e, scenario, conf->scenario);
}

static enum vg_err start(struct vgi_feeder *f, struct vg_error *err)
{
    const struct vg_source_sim_options sim = {
        .scenario = f->conf->scenario, .ledger = f->conf->ledger, .start_ms = f->conf->start_ms};
    struct vgi_agent *a = f->agent;
    f->ops = &vg_source_sim; /* the one kind that the table of configuration knows */
    enum vg_err e = f->ops->open(&sim, a->clock, &f->source, err);
    if (e != VG_OK) {
        return blame(f->conf, e, err);
    }
    int fd = f->ops->fd(f->source);
    e = vg_loop_timer(a->loop, on_timer, f, &f->timer);
    if (e == VG_OK && fd >= 0) {
        e = vg_loop_watch(a->loop, fd, VG_LOOP_READ, on_readable, f, &f->watch);
    }
    if (e != VG_OK) {
        return vg_fail(err, e, "source %s: the loop takes no more: %s", f->conf->name,
                       vg_err_name(e));
    }
    plan(f);
    return VG_OK;
}

enum vg_err vgi_feeders_start(struct vgi_agent *a, struct vg_error *err)
{
    for (size_t i = 0; i < a->conf->source_count; i++) {
        struct vgi_feeder *f = &a->feeders[a->feeder_count++];
        *f = (struct vgi_feeder){.agent = a, .conf = &a->conf->sources[i]};
        enum vg_err e = start(f, err);
        if (e != VG_OK) {
            return e;
        }
    }
    return VG_OK;
}

void vgi_feeders_stop(struct vgi_agent *a)
{
    while (a->feeder_count > 0) {
        close_source(&a->feeders[--a->feeder_count]);
    }
}
