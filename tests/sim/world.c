/* The programs on their machines: made, started, killed, started again, brought to rest. */
#include "world.h"

#include "coap_sim.h"
#include "disk.h"
#include "judge.h"

#include "../../collector/ingest/collector.h"

#include "vigia/devices.h"
#include "vigia/dlog_admin.h"
#include "vigia/log.h"

#include <stdlib.h>
#include <string.h>

#define RESTART_MIN    (1 * SIM_S) /* a supervisor's pause before it starts a program again */
#define RESTART_MAX    (4 * SIM_S)
#define GROUP          (1 * SIM_S) /* a routine reading waits this long for its commit, no longer */
#define READ_TO_END    (12 * SIM_S) /* two are less than the patience for heartbeats */
#define REST_STEP      (60 * SIM_S)
#define REST_MAX       (24 * SIM_HOUR)
#define REST_AFTER     (25 * 60 * SIM_S) /* two windows of the rules */
#define LOG_PATH       "/sim/0/log.db"
#define KEK_PATH       "/sim/0/kek"
#define PORT           5684
#define HOURS_TO_NS(h) ((int64_t)((h)*3600.0 * 1e9))

struct sim_world sim_world;
#define W (&sim_world)

static void must(enum vg_err rc, const char *what, const struct vg_error *err)
{
    if (rc != VG_OK) {
        sim_fail("%s: %s: %s", what, vg_err_name(rc), err->text);
    }
}

/* ---- configuration ---- */

static void load(const struct vg_conf_table *table, void *conf, const char *const *sets,
                 size_t count)
{
    const struct vg_conf_sources from = {
        .sets = sets, .set_count = count, .ignore_environment = true};
    struct vg_error err = {0};
    must(vg_conf_load(table, &from, conf, &err), "configuration", &err);
}

static void key_of(int device, uint8_t psk[VG_PSK_BYTES])
{
    for (int i = 0; i < VG_PSK_BYTES; i++) {
        psk[i] = (uint8_t)(device * 7 + i);
    }
}

static void configure_device(struct sim_device *d)
{
    char name[40], path[80], psk[100], collectors[80], cid[40];
    uint8_t key[VG_PSK_BYTES];
    key_of(d->host.number, key);
    (void)snprintf(name, sizeof name, "device.name=device-%d", d->host.number);
    (void)snprintf(path, sizeof path, "buffer.path=/sim/%d/edge.db", d->host.number);
    size_t at = (size_t)snprintf(psk, sizeof psk, "uplink.psk=");
    vg_hex(key, sizeof key, psk + at);
    at = (size_t)snprintf(collectors, sizeof collectors, "uplink.collectors=10.0.0.1:%d", PORT);
    for (int i = 1; i < W->options.collectors; i++) {
        at += (size_t)snprintf(collectors + at, sizeof collectors - at, ",10.0.0.1:%d", PORT + i);
    }
    (void)snprintf(cid, sizeof cid, "uplink.connection_id=%s",
                   sim_chance(SIM_DICE_PLAN, 0.75) ? "true" : "false");
    const char *const sets[] = {name, path, psk, collectors, cid};
    load(&vgi_edge_table, &d->conf, sets, sizeof sets / sizeof sets[0]);
    d->conf.source_count = 1;
    (void)vg_str_copy("sim", d->conf.sources[0].name, sizeof d->conf.sources[0].name);
    (void)vg_str_copy("-", d->conf.sources[0].scenario, sizeof d->conf.sources[0].scenario);
    struct vg_error err = {0};
    must(vgi_edge_conf_check(&d->conf, &err), "device", &err);
}

static void configure_collector(int i)
{
    char listen[60], instance[60];
    (void)snprintf(listen, sizeof listen, "collector.listen=0.0.0.0:%d", PORT + i);
    (void)snprintf(instance, sizeof instance, "collector.instance=collector-%d", i + 1);
    const char *const sets[] = {"log.url=sqlite:" LOG_PATH, "keys.kek_file=" KEK_PATH, listen,
                                instance};
    load(&vgi_conf_table, &W->collectors[i].conf, sets, sizeof sets / sizeof sets[0]);
    struct vg_error err = {0};
    must(vgi_conf_check(&W->collectors[i].conf, &err), "collector", &err);
}

static void configure_alarm(void)
{
    const char *const sets[] = {"log.url=sqlite:" LOG_PATH, "processor.instance=alarm-1",
                                "processor.max_sensors=2000", "processor.max_devices=500",
                                W->window_ms == INT64_MAX ? "rules.window=never"
                                                          : "rules.window=10m"};
    load(&vgi_alarm_conf_table, &W->alarm.conf, sets, sizeof sets / sizeof sets[0]);
    struct vg_error err = {0};
    must(vgi_alarm_conf_check(&W->alarm.conf, &err), "alarm", &err);
}

/* ---- the programs ---- */

static struct vg_loop *new_loop(void)
{
    struct sim_proc *p = sim_me();
    if (vg_loop_new(&p->host->clock, 64, 64, &p->loop) != VG_OK) {
        sim_fail("no loop");
    }
    return p->loop;
}

static int failed_start(const struct vg_error *err)
{
    W->failed_starts++;
    sim_trace("not started: %s", err->text);
    return 1;
}

static int run_loop(struct vg_loop *loop)
{
    if (vg_loop_run(loop) != VG_OK) {
        sim_fail("a loop failed");
    }
    return sim_me()->exit_code;
}

static int agent_main(void *arg)
{
    struct sim_device *d = arg;
    struct vg_error err = {0};
    void *state = NULL;
    struct vg_loop *loop = new_loop();
    d->agent = NULL;
    sim_card_begin(&d->card);
    if (vgi_agent_start(loop, &d->conf, &state, &err) != VG_OK) {
        return failed_start(&err);
    }
    d->agent = state;
    int code = run_loop(loop);
    d->agent = NULL;
    vgi_agent_stop(state);
    return code;
}

static int collector_main(void *arg)
{
    int i = (int)(intptr_t)arg;
    struct vg_error err = {0};
    struct vg_loop *loop = new_loop();
    W->collectors[i].state = NULL;
    if (vgi_collector_start(loop, &W->collectors[i].conf, &W->collectors[i].state, &err) != VG_OK) {
        return failed_start(&err);
    }
    int code = run_loop(loop);
    vgi_collector_stop(W->collectors[i].state);
    return code;
}

static int alarm_main(void *arg)
{
    (void)arg;
    struct vg_error err = {0};
    struct vg_loop *loop = new_loop();
    W->alarm.state = NULL;
    if (vgi_alarm_start(loop, &W->alarm.conf, &W->alarm.state, &err) != VG_OK) {
        return failed_start(&err);
    }
    int code = run_loop(loop);
    vgi_alarm_stop(W->alarm.state);
    return code;
}

/* ---- supervision ---- */

static int64_t *down_until(struct sim_proc *p)
{
    if (p == &W->alarm.proc) {
        return &W->alarm.down_until;
    }
    for (int i = 0; i < W->options.collectors; i++) {
        if (p == &W->collectors[i].proc) {
            return &W->collectors[i].down_until;
        }
    }
    return &W->devices[p->host->number - 1].down_until;
}

void sim_world_idle(int64_t until)
{
    if (W->alarm.idle_count == W->alarm.idle_room) {
        W->alarm.idle_room = W->alarm.idle_room == 0 ? 64 : W->alarm.idle_room * 2;
        W->alarm.idle = realloc(W->alarm.idle, W->alarm.idle_room * sizeof *W->alarm.idle);
        if (W->alarm.idle == NULL) {
            sim_fail("no memory for the processor's times");
        }
    }
    W->alarm.idle[W->alarm.idle_count++] = (struct sim_span){sim_now, until};
}

/* It is there again. */
static void end_absence(void)
{
    for (size_t i = W->alarm.idle_count; i-- > 0;) {
        if (W->alarm.idle[i].until == SIM_NEVER) {
            W->alarm.idle[i].until = sim_now;
        }
    }
}

static void start(struct sim_proc *p)
{
    if (p == &W->alarm.proc) {
        end_absence();
        sim_start(p, alarm_main, NULL);
        return;
    }
    for (int i = 0; i < W->options.collectors; i++) {
        if (p == &W->collectors[i].proc) {
            sim_start(p, collector_main, (void *)(intptr_t)i);
            return;
        }
    }
    sim_start(p, agent_main, &W->devices[p->host->number - 1]);
}

static void on_restart(void *arg, uint64_t life)
{
    struct sim_proc *p = arg;
    if (p->alive || p->lives != life) {
        return;
    }
    if (sim_now < *down_until(p)) {
        sim_at(*down_until(p), on_restart, p, life);
        return;
    }
    start(p);
}

/* `life`: how many it has behind it then. */
static void restart_later(struct sim_proc *p, int64_t down_ns, unsigned life)
{
    int64_t at = sim_now + down_ns;
    int64_t *until = down_until(p);
    if (p == &W->alarm.proc) {
        sim_world_idle(SIM_NEVER);
    }
    *until = at > *until ? at : *until;
    sim_at(*until, on_restart, p, life);
}

static void on_ended(struct sim_proc *p)
{
    restart_later(p,
                  sim_between(SIM_DICE_PLAN, RESTART_MIN / SIM_MS, RESTART_MAX / SIM_MS) * SIM_MS,
                  p->lives);
}

static void note_death(struct sim_proc *p)
{
    if (p->host == &W->log_host) {
        return;
    }
    struct sim_device *d = &W->devices[p->host->number - 1];
    if (d->death_count == SIM_DEATHS_MAX) {
        sim_fail("%s died more than %d times", p->name, SIM_DEATHS_MAX);
    }
    d->deaths[d->death_count++] =
        (struct sim_death){.ns = sim_now,
                           .life = p->lives,
                           .owed_urgent = sim_card_owed(&d->card, 0),
                           .owed_routine = sim_card_owed(&d->card, GROUP)};
    d->agent = NULL;
}

void sim_world_kill(struct sim_proc *p, int64_t down_ns)
{
    if (!p->alive) {
        return;
    }
    W->kills++;
    note_death(p);
    restart_later(p, down_ns, p->lives + 1);
    sim_kill(p);
}

/* In the middle of a write of its own. */
void sim_disk_death(struct sim_proc *p)
{
    sim_world_kill(p, sim_between(SIM_DICE_PLAN, 1, 30) * SIM_S);
}

void sim_world_stop(struct sim_proc *p, int64_t down_ns)
{
    if (!p->alive || p->loop == NULL) {
        return;
    }
    W->stops++;
    sim_trace("stop %s", p->name);
    int64_t *until = down_until(p);
    *until = sim_now + down_ns > *until ? sim_now + down_ns : *until;
    vg_loop_stop(p->loop);
}

void sim_world_power_cut(int host, int64_t down_ns)
{
    W->power_cuts++;
    if (host == 0) {
        for (int i = 0; i < W->options.collectors; i++) {
            sim_world_kill(&W->collectors[i].proc, down_ns);
        }
        sim_world_kill(&W->alarm.proc, down_ns);
        sim_disk_power_cut(0, (enum sim_loss)sim_between(SIM_DICE_DISK, 0, SIM_LOSS_COUNT - 1));
        sim_host_boot(&W->log_host);
        return;
    }
    struct sim_device *d = &W->devices[host - 1];
    sim_world_kill(&d->proc, down_ns);
    sim_disk_power_cut(host, (enum sim_loss)sim_between(SIM_DICE_DISK, 0, SIM_LOSS_COUNT - 1));
    sim_host_boot(&d->host);
    sim_clock_unsynced(&d->host);
}

/* ---- setting up: vigia init, vigia device add ---- */

static void add_device(struct vg_dlog_appender *a, const struct vg_keys *keys, int number)
{
    struct vg_error err = {0};
    char json[8192], pattern[24];
    uint8_t psk[VG_PSK_BYTES];
    size_t len = 0;
    struct vg_device *d = vg_device_new();
    if (d == NULL) {
        sim_fail("no memory for a device");
    }
    (void)snprintf(d->name, sizeof d->name, "device-%d", number);
    (void)snprintf(pattern, sizeof pattern, "d%d-*", number);
    d->version = 1;
    d->state = VG_DEVICE_ACTIVE;
    key_of(number, psk);
    must(vg_device_add_pattern(d, vg_span_str(pattern), &err), "pattern", &err);
    must(vg_keys_seal(keys, d->name, 1, psk, &d->credential, &err), "seal", &err);
    must(vg_device_encode(d, json, sizeof json, &len, &err), "encode", &err);
    must(vg_dlog_append(a, VG_TOPIC_DEVICES, -1, vg_span_str(d->name), vg_span(json, len), NULL,
                        NULL),
         "append", &err);
    free(d);
}

static int init_main(void *arg)
{
    (void)arg;
    struct vg_error err = {0};
    struct vg_dlog *log = NULL;
    struct vg_dlog_appender *a = NULL;
    struct vg_keys *keys = NULL;
    const struct vg_keys_conf keys_conf = {.kek_file = KEK_PATH};
    uint8_t kek[VG_KEK_BYTES];
    unsigned made = 0;
    if (vg_random_bytes(kek, sizeof kek) != VG_OK) {
        sim_fail("no random bytes");
    }
    sim_file_write(sim_file_make(KEK_PATH), kek, sizeof kek, 0);
    sim_file_sync(sim_file_find(KEK_PATH));
    must(vg_keys_open(&keys_conf, &keys, &err), "keys", &err);
    must(vg_dlog_open(&W->alarm.conf.log, "init", VG_DLOG_MAY_CREATE, &log, &err), "log", &err);
    must(vg_dlog_create(log, VG_TOPICS_ALL, &made, &err), "topics", &err);
    must(vg_dlog_appender_open(log, &a, &err), "appender", &err);
    for (int i = 1; i <= W->options.devices; i++) {
        add_device(a, keys, i);
    }
    must(vg_dlog_appender_drain(a, 60000, &err), "drain", &err);
    vg_dlog_appender_close(a);
    vg_dlog_close(log);
    vg_keys_close(keys);
    return 0;
}

static void set_up(void)
{
    static struct sim_proc init = {.name = "init", .host = &sim_world.log_host};
    sim_start(&init, init_main, NULL);
    sim_run_until(sim_now + 60 * SIM_S);
    if (init.alive || init.exit_code != 0) {
        sim_fail("the log was not made");
    }
}

/* ---- the whole ---- */

static void make_machines(void)
{
    W->log_host = (struct sim_host){.name = "log", .number = 0, .synced = true};
    sim_host_boot(&W->log_host);
    W->devices = calloc((size_t)W->options.devices, sizeof *W->devices);
    if (W->devices == NULL) {
        sim_fail("no memory for devices");
    }
    for (int i = 0; i < W->options.devices; i++) {
        struct sim_device *d = &W->devices[i];
        d->host = (struct sim_host){.number = i + 1, .synced = true};
        (void)snprintf(d->host.name, sizeof d->host.name, "pi-%d", i + 1);
        (void)snprintf(d->proc.name, sizeof d->proc.name, "edge-%d", i + 1);
        d->proc.host = &d->host;
        d->proc.ended = on_ended;
        sim_host_boot(&d->host);
    }
    for (int i = 0; i < W->options.collectors; i++) {
        struct sim_proc *p = &W->collectors[i].proc;
        (void)snprintf(p->name, sizeof p->name, "collector-%d", i + 1);
        p->host = &W->log_host;
        p->ended = on_ended;
        configure_collector(i);
    }
    (void)snprintf(W->alarm.proc.name, sizeof W->alarm.proc.name, "alarm-1");
    W->alarm.proc.host = &W->log_host;
    W->alarm.proc.ended = on_ended;
    configure_alarm();
}

static bool all_sent(void)
{
    for (int i = 0; i < W->options.devices; i++) {
        const struct sim_device *d = &W->devices[i];
        struct vg_buffer_stats s;
        if (d->agent == NULL) {
            return false;
        }
        vg_buffer_stats(d->agent->buffer, &s);
        for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
            if (s.rows[lane] > 0 || s.appended[lane] != s.committed[lane]) {
                return false;
            }
        }
    }
    return true;
}

/* Faults and sensors are over: everything has to arrive. What the agents say of themselves each
 * minute goes on, so a moment without anything waiting is enough. */
static void bring_to_rest(void)
{
    sim_plan_end();
    for (int64_t step = 0; step < REST_MAX / SIM_S; step++) {
        if (step % 60 == 0) {
            sim_run_until(sim_now + REST_STEP - 20 * SIM_S);
        }
        if (all_sent()) {
            W->quiet_ns = sim_now;
            break;
        }
        sim_run_until(sim_now + SIM_S);
    }
    sim_run_until(sim_now + REST_AFTER);
    W->done_ns = sim_now;
}

void sim_world_run(const struct sim_options *options)
{
    W->options = *options;
    sim_begin(options->seed);
    sim_vfs_register();
    W->window_ms = sim_chance(SIM_DICE_PLAN, 0.3) ? INT64_MAX : 600000;
    sim_replay_protection = sim_chance(SIM_DICE_PLAN, 0.5);
    sim_slack_ns = sim_between(SIM_DICE_PLAN, 0, 4000) * SIM_MS;
    make_machines();
    set_up();
    W->end_ns = sim_now + HOURS_TO_NS(options->hours);
    for (int i = 0; i < options->devices; i++) {
        configure_device(&W->devices[i]);
        sim_sensors_init(&W->devices[i]);
    }
    sim_defect_on(options->defect);
    sim_plan();
    for (int i = 0; i < options->collectors; i++) {
        start(&W->collectors[i].proc);
    }
    start(&W->alarm.proc);
    for (int i = 0; i < options->devices; i++) {
        start(&W->devices[i].proc);
    }
    sim_run_until(W->end_ns);
    bring_to_rest();
    for (int i = 0; i < options->devices; i++) {
        sim_kill(&W->devices[i].proc);
    }
    for (int i = 0; i < options->collectors; i++) {
        sim_kill(&W->collectors[i].proc);
    }
    sim_run_until(sim_now + READ_TO_END);
    W->unread = sim_log_unread();
    /* A writer that is killed between its commit and the WAL's index leaves a record that only who
     * opens the log alone finds: the processor's next start. */
    sim_kill(&W->alarm.proc);
    start(&W->alarm.proc);
    sim_run_until(sim_now + READ_TO_END);
    sim_kill(&W->alarm.proc);
}
