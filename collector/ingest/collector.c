/* vigia-collector: start, turn, ready, drain, stop.
 *
 *   start ─► follow devices ─► caught up ─► open the port ─► requests and heartbeats …
 *         ─► drain: no new ones, wait for the log ─► stop */
#include "collector.h"

#include "inside.h"

#include "vigia/dlog_admin.h"
#include "vigia/log.h"
#include "vigia/program.h"
#include "vigia/record.h"

#include <stdlib.h>
#include <string.h>

#define TOPICS_USED                                                                                \
    (VG_TOPIC_BIT(VG_TOPIC_READINGS) | VG_TOPIC_BIT(VG_TOPIC_REJECTED) |                           \
     VG_TOPIC_BIT(VG_TOPIC_DEVICES))
#define DEVICES_PACE_MS  50 /* between two looks at the devices; a look costs more than a request */
#define DRAIN_ANSWERS_MS 200 /* for the last answers' own acknowledgements and repetitions */

void vgi_collector_fail(struct vgi_collector *c, const char *msgid, const struct vg_error *err)
{
    if (c->fatal == VG_OK) {
        c->fatal = err->code == VG_OK ? VG_E_FATAL : err->code;
        struct vg_error located = *err;
        vg_program_locate(&located);
        vg_log_error(msgid, "error=%s", VG_Q(located.text));
        vg_program_fail(VG_EXIT_FAIL);
    }
}

/* ---- turns ---- */

static void open_when_caught_up(struct vgi_collector *c)
{
    struct vg_error err;

    if (c->open || c->draining || !vg_devices_caught_up(c->devices)) {
        return;
    }
    if (vgi_endpoint_open(c, &err) != VG_OK) {
        vgi_collector_fail(c, "listen-failed", &err);
        return;
    }
    vg_log_info("listening", "address=%s devices=%zu", c->conf->listen,
                vg_devices_count(c->devices));
    /* Not before: a heartbeat says that what devices send can be stored. */
    vg_loop_timer_in_ms(c->loop, c->timer_heartbeat, 0);
}

static void turn_devices(struct vgi_collector *c)
{
    struct vg_error err = {0};

    if (vg_devices_dispatch(c->devices, &err) != VG_OK) {
        if (err.code == VG_E_AGAIN || err.code == VG_E_TIMEOUT) {
            vg_log_warn("devices-waiting", "error=%s", VG_Q(err.text));
        } else {
            vgi_collector_fail(c, "devices-failed", &err);
        }
        return;
    }
    if (vg_devices_refused(c->devices) != c->devices_refused) {
        vgi_count_many(VGI_M_DEVICES_REFUSED,
                       (int64_t)(vg_devices_refused(c->devices) - c->devices_refused));
        c->devices_refused = vg_devices_refused(c->devices);
        vg_log_error("device-entry-refused", "error=%s", VG_Q(vg_devices_refusal(c->devices)));
    }
    vgi_gauge(VGI_M_DEVICES, (int64_t)vg_devices_count(c->devices));
    open_when_caught_up(c);
    vgi_sessions_end_doomed(c);
}

static void turn_appender(struct vgi_collector *c)
{
    struct vg_error err = {0};

    if (vg_dlog_appender_dispatch(c->appender, &err) != VG_OK && err.code == VG_E_FATAL) {
        c->log_good = false;
        vgi_collector_fail(c, "log-failed", &err);
    }
}

static void on_coap(void *arg, unsigned events)
{
    (void)events;
    vgi_endpoint_turn(arg);
}

static void on_appender(void *arg, unsigned events)
{
    (void)events;
    turn_appender(arg);
}

/* On one file the descriptor wakes for every commit, our own included. */
static void on_devices(void *arg, unsigned events)
{
    struct vgi_collector *c = arg;
    (void)events;
    turn_devices(c);
    vg_loop_rewatch(c->loop, c->watch_devices, 0);
    vg_loop_timer_in_ms(c->loop, c->timer_devices, DEVICES_PACE_MS);
}

static void on_devices_pace(void *arg)
{
    struct vgi_collector *c = arg;
    vg_loop_rewatch(c->loop, c->watch_devices, VG_LOOP_READ);
}

static void on_turn(void *arg)
{
    struct vgi_collector *c = arg;
    vg_loop_timer_in_ms(c->loop, c->timer_turn, VG_DLOG_TURN_MS);
    turn_appender(c);
    turn_devices(c);
    vgi_endpoint_turn(c);
}

static void on_heartbeat(void *arg)
{
    struct vgi_collector *c = arg;
    vg_loop_timer_in_ms(c->loop, c->timer_heartbeat, c->conf->heartbeat_ms);
    vgi_intake_heartbeat(c);
}

static void on_hold(void *arg)
{
    vgi_answer_held(arg);
}

static void on_drained(void *arg)
{
    struct vgi_collector *c = arg;
    vg_loop_stop(c->loop);
}

static void on_device_change(void *arg, const char *name, const struct vg_device *now)
{
    vgi_sessions_device_changed(arg, name, now);
}

/* ---- start ---- */

static enum vg_err open_log(struct vgi_collector *c, struct vg_error *err)
{
    enum vg_err rc = vg_dlog_open(&c->conf->log, c->conf->instance, 0, &c->log, err);

    if (rc == VG_OK) {
        rc = vg_dlog_check(c->log, TOPICS_USED, err);
    }
    if (rc == VG_OK) {
        rc = vg_dlog_partitions(c->log, VG_TOPIC_READINGS, &c->partitions, err);
    }
    if (rc == VG_OK) {
        rc = vg_dlog_appender_open(c->log, &c->appender, err);
    }
    if (rc == VG_OK) {
        rc = vg_devices_new((size_t)c->conf->max_devices, on_device_change, c, &c->devices);
        if (rc != VG_OK) {
            return vg_fail(err, rc, "no memory for %lld devices", (long long)c->conf->max_devices);
        }
        rc = vg_devices_follow(c->devices, c->log, err);
    }
    return rc;
}

static enum vg_err take_memory(struct vgi_collector *c, struct vg_error *err)
{
    c->batch = calloc(1, sizeof(*c->batch));
    c->values = malloc((size_t)VG_BATCH_READINGS_MAX * VG_RECORD_MAX);
    if (c->batch == NULL || c->values == NULL ||
        vgi_peers_new((size_t)c->conf->max_devices, c->conf->request_rate, c->conf->request_burst,
                      &c->peers) != VG_OK ||
        vgi_pool_init(&c->pool, (size_t)c->conf->max_pending,
                      (size_t)c->conf->max_pending / VG_DLOG_URGENT_SHARE, c) != VG_OK) {
        return vg_fail(err, VG_E_NOMEM, "no memory");
    }
    vgi_bucket_init(&c->rejected, c->conf->rejected_rate > 0 ? c->conf->rejected_rate : 1,
                    c->conf->rejected_rate, vg_now_mono(c->clock));
    return VG_OK;
}

static enum vg_err watch(struct vgi_collector *c, struct vg_error *err)
{
    struct vg_loop *loop = c->loop;

    if (vg_loop_timer(loop, on_turn, c, &c->timer_turn) != VG_OK ||
        vg_loop_timer(loop, on_heartbeat, c, &c->timer_heartbeat) != VG_OK ||
        vg_loop_timer(loop, on_hold, c, &c->timer_hold) != VG_OK ||
        vg_loop_timer(loop, on_devices_pace, c, &c->timer_devices) != VG_OK ||
        vg_loop_timer(loop, on_drained, c, &c->timer_drain) != VG_OK ||
        vg_loop_watch(loop, coap_context_get_coap_fd(c->coap), VG_LOOP_READ, on_coap, c,
                      &c->watch_coap) != VG_OK ||
        vg_loop_watch(loop, vg_dlog_appender_fd(c->appender), VG_LOOP_READ, on_appender, c,
                      &c->watch_appender) != VG_OK ||
        vg_loop_watch(loop, vg_devices_fd(c->devices), VG_LOOP_READ, on_devices, c,
                      &c->watch_devices) != VG_OK) {
        return vg_fail(err, VG_E_IO, "the event loop cannot watch");
    }
    vg_loop_timer_in_ms(loop, c->timer_turn, 0);
    return VG_OK;
}

enum vg_err vgi_collector_start(struct vg_loop *loop, void *conf, void **state,
                                struct vg_error *err)
{
    struct vgi_collector *c = calloc(1, sizeof(*c));
    enum vg_err rc = VG_OK;

    if (c == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory");
    }
    c->conf = conf;
    c->loop = loop;
    c->clock = vg_loop_clock(loop);
    c->log_good = true;
    if (vgi_metrics_register() != VG_OK) {
        rc = vg_fail(err, VG_E_FULL, "too many metrics");
    }
    if (rc == VG_OK) {
        rc = vgi_endpoint_probe(c, err);
    }
    if (rc == VG_OK) {
        rc = vg_keys_open(&c->conf->keys, &c->keys, err);
    }
    if (rc == VG_OK) {
        rc = take_memory(c, err);
    }
    if (rc == VG_OK) {
        rc = open_log(c, err);
    }
    if (rc == VG_OK) {
        rc = vgi_endpoint_new(c, err);
    }
    if (rc == VG_OK) {
        rc = watch(c, err);
    }
    if (rc != VG_OK) {
        vgi_collector_stop(c);
        return rc;
    }
    *state = c;
    return VG_OK;
}

bool vgi_collector_ready(void *state)
{
    const struct vgi_collector *c = state;
    return c->open && c->log_good && !c->draining && c->fatal == VG_OK;
}

/* A rotated key file is read again; the rest of the configuration needs a restart. */
enum vg_err vgi_collector_reload(void *state, const void *conf, struct vg_error *err)
{
    struct vgi_collector *c = state;
    const struct vgi_conf *fresh = conf;
    static const uint8_t nothing[VG_PSK_BYTES];
    struct vg_keys *keys = NULL;
    struct vg_credential decoy;
    enum vg_err rc = vg_keys_open(&fresh->keys, &keys, err);

    if (rc == VG_OK) {
        rc = vg_keys_seal(keys, "-", 1, nothing, &decoy, err);
    }
    if (rc != VG_OK) {
        vg_keys_close(keys);
        return rc;
    }
    if (strcmp(vg_keys_id(c->keys), vg_keys_id(keys)) != 0) {
        vg_log_info("keys-changed", "kid=%s", vg_keys_id(keys));
    }
    vg_keys_close(c->keys);
    c->keys = keys;
    c->decoy = decoy;
    return VG_OK;
}

/* ---- end ---- */

void vgi_collector_drained(struct vgi_collector *c)
{
    if (!c->stopped) {
        c->stopped = true;
        vg_loop_timer_in_ms(c->loop, c->timer_drain, DRAIN_ANSWERS_MS);
    }
}

void vgi_collector_drain(void *state)
{
    struct vgi_collector *c = state;

    c->draining = true;
    vg_loop_timer_stop(c->loop, c->timer_heartbeat);
    vg_log_info("draining-requests", "pending=%zu sessions=%zu", c->pool.used, c->session_count);
    if (c->pool.used == 0) {
        vgi_collector_drained(c);
    }
}

void vgi_collector_stop(void *state)
{
    struct vgi_collector *c = state;

    if (c->loop != NULL) {
        vg_loop_unwatch(c->loop, c->watch_devices);
        vg_loop_unwatch(c->loop, c->watch_appender);
        vg_loop_unwatch(c->loop, c->watch_coap);
    }
    vg_dlog_appender_close(c->appender); /* what still waits is answered 5.03 from in here */
    vgi_endpoint_free(c);
    vg_devices_free(c->devices);
    vg_dlog_close(c->log);
    vgi_pool_done(&c->pool);
    vgi_peers_free(c->peers);
    vg_keys_close(c->keys);
    free(c->values);
    free(c->batch);
    free(c);
}
