/* Buffer and uplink, each the other's feed: rows one way, outcomes the other. */
#include "parts.h"

#include "vigia/log.h"
#include "vigia/program.h"

#include <inttypes.h>
#include <string.h>

/* After a fatal failure of the buffer's file: time for what is in memory to leave, then the process
 * ends. */
#define LAST_WORDS_MS 5000

static_assert((int)VG_UPLINK_URGENT == (int)VG_BUFFER_URGENT &&
                  (int)VG_UPLINK_ROUTINE == (int)VG_BUFFER_ROUTINE,
              "lanes have one order");
static_assert(VG_UPLINK_BATCH_MAX <= VG_BUFFER_FETCH_MAX, "a window is fetched at once");

static void on_rows(void *arg, enum vg_buffer_lane lane, const struct vg_buffer_row *rows,
                    size_t count)
{
    struct vgi_agent *a = arg;
    for (size_t i = 0; i < count; i++) {
        a->rows[i].reading = rows[i].reading;
        a->rows[i].taken = rows[i].taken;
        a->rows[i].booted = rows[i].booted;
    }
    vg_uplink_rows(a->uplink, (enum vg_uplink_lane)lane, a->rows, count);
}

static void on_waiting(void *arg, enum vg_buffer_lane lane)
{
    struct vgi_agent *a = arg;
    if (a->uplink != NULL) {
        vg_uplink_notify(a->uplink, (enum vg_uplink_lane)lane);
    }
}

static void on_fatal(void *arg, const struct vg_error *err)
{
    struct vgi_agent *a = arg;
    vg_log_error("buffer-failed", "file=%s reason=%s", VG_Q(a->conf->buffer_path), VG_Q(err->text));
    vg_loop_timer_in_ms(a->loop, a->end, LAST_WORDS_MS);
}

static void on_end(void *arg)
{
    (void)arg;
    vg_program_fail(VG_EXIT_FAIL);
}

static void on_buffer(void *arg, unsigned events)
{
    (void)events;
    struct vgi_agent *a = arg;
    vg_buffer_dispatch(a->buffer);
}

static void fetch(void *arg, enum vg_uplink_lane lane, size_t max)
{
    struct vgi_agent *a = arg;
    enum vg_err e = vg_buffer_fetch(a->buffer, (enum vg_buffer_lane)lane, max);
    if (e != VG_OK) {
        vg_log_error("fetch-refused", "lane=%d reason=%s", (int)lane, vg_err_name(e));
        a->unanswered_fetch[lane] = true;
    }
}

static void settle(void *arg, enum vg_uplink_lane lane, const struct vg_uplink_outcome *outcomes,
                   size_t count)
{
    static const uint8_t fates[] = {[VG_UPLINK_DONE] = VG_BUFFER_DONE,
                                    [VG_UPLINK_QUARANTINED] = VG_BUFFER_QUARANTINED,
                                    [VG_UPLINK_PARKED] = VG_BUFFER_PARKED};
    struct vgi_agent *a = arg;
    struct vg_buffer_outcome out[VG_UPLINK_BATCH_MAX];
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct vg_buffer_outcome){.store = outcomes[i].store,
                                            .seq = outcomes[i].seq,
                                            .fate = fates[outcomes[i].fate],
                                            .code = outcomes[i].code,
                                            .until = outcomes[i].until};
    }
    enum vg_err e = vg_buffer_settle(a->buffer, (enum vg_buffer_lane)lane, out, count);
    if (e != VG_OK) {
        vg_log_error("settle-refused", "lane=%d rows=%zu reason=%s", (int)lane, count,
                     vg_err_name(e));
    }
}

/* A name without an address is told with the key that holds it: the agent goes on, but somebody may
 * have to correct a line. */
static void lost(const struct vgi_agent *a, const char *at, int64_t detail)
{
    struct vg_error why;
    if (!vg_uplink_lost_unresolved(detail)) {
        vg_log_warn("uplink-lost", "collector=%s reason=%s", VG_Q(at), vg_uplink_lost_name(detail));
        return;
    }
    (void)vg_fail(&why, VG_E_NOTFOUND,
                  "%suplink.collectors: '%s' does not resolve, accepted: host:port, …",
                  a->conf->places.collectors, at);
    vg_program_locate(&why);
    vg_log_warn("uplink-lost", "collector=%s reason=%s error=%s", VG_Q(at),
                vg_uplink_lost_name(detail), VG_Q(why.text));
}

static void event(void *arg, enum vg_uplink_event what, size_t collector, int64_t detail)
{
    struct vgi_agent *a = arg;
    char at[VG_ENDPOINT_TEXT_MAX], code[VG_COAP_TEXT_MAX];
    vg_endpoint_format(&a->conf->uplink.collectors[collector], at);
    switch (what) {
    case VG_UPLINK_EV_CONNECTED:
        vg_log_info("uplink-up", "collector=%s", VG_Q(at));
        break;
    case VG_UPLINK_EV_LOST:
        lost(a, at, detail);
        break;
    case VG_UPLINK_EV_BACKOFF:
        vg_log_info("uplink-waits", "ms=%lld", (long long)detail);
        break;
    case VG_UPLINK_EV_REFUSED:
        vg_log_warn("uplink-refused", "collector=%s code=%s", VG_Q(at),
                    vg_coap_text((unsigned)detail, code));
        break;
    case VG_UPLINK_EV_WAIT:
        vg_log_warn("collector-busy", "collector=%s ms=%lld", VG_Q(at), (long long)detail);
        break;
    case VG_UPLINK_EV_FORMAT:
        if (detail == 0) {
            vg_log_warn("format-refused", "collector=%s format=senml-cbor next=senml-json",
                        VG_Q(at));
        } else {
            vg_log_error("format-refused", "collector=%s format=senml-json retry_ms=%lld", VG_Q(at),
                         (long long)a->conf->park_ms);
        }
        break;
    case VG_UPLINK_EV_UNEXPECTED:
        vg_log_error("collector-unfit", "collector=%s code=%s", VG_Q(at),
                     vg_coap_text((unsigned)detail, code));
        break;
    case VG_UPLINK_EV_QUARANTINED:
        vg_log_error("readings-quarantined", "count=%lld", (long long)detail);
        break;
    case VG_UPLINK_EV_PARKED:
        vg_log_warn("readings-parked", "count=%lld retry_ms=%lld", (long long)detail,
                    (long long)a->conf->park_ms);
        break;
    }
}

/* Whose readings are on the card. */
static void tell_found(const struct vgi_agent *a)
{
    const struct vg_buffer_found *f = vg_buffer_found(a->buffer);
    if (f->set_aside[0] != '\0') {
        vg_log_warn("buffer-set-aside", "device=%s file=%s rows=%" PRIu64 " reason=%s",
                    VG_Q(a->conf->device), VG_Q(f->set_aside), f->set_aside_rows,
                    VG_Q("another device's"));
    }
    if (f->taken_back) {
        vg_log_info("buffer-taken-back", "device=%s file=%s", VG_Q(a->conf->device),
                    VG_Q(a->conf->buffer_path));
    }
    if (f->others > 0) {
        vg_log_warn("other-buffers", "count=%zu files=%s.of-*", f->others,
                    VG_Q(a->conf->buffer_path));
    }
}

enum vg_err vgi_relay_open_buffer(struct vgi_agent *a, struct vg_error *err)
{
    const struct vgi_edge_conf *conf = a->conf;
    struct vg_buffer_options options;
    vg_buffer_options_init(&options);
    options.path = conf->buffer_path;
    options.device = conf->device;
    options.max_bytes = conf->max_bytes;
    options.max_age_ms = conf->max_age_ms;
    options.group_ms = conf->group_ms;
    options.ring_bytes[VG_BUFFER_URGENT] = (size_t)conf->urgent_ring;
    options.ring_bytes[VG_BUFFER_ROUTINE] = (size_t)conf->routine_ring;
    const struct vg_buffer_events events = {
        .on_rows = on_rows, .on_waiting = on_waiting, .on_fatal = on_fatal, .arg = a};
    enum vg_err e = vg_buffer_open(&options, &events, a->clock, &a->buffer, err);
    if (e != VG_OK) {
        return vg_err_blame_value(err, e, "buffer.path", conf->buffer_path);
    }
    tell_found(a);
    vgi_bounds_tell(a, false);
    e = vg_loop_watch(a->loop, vg_buffer_fd(a->buffer), VG_LOOP_READ, on_buffer, a,
                      &a->buffer_watch);
    if (e == VG_OK) {
        e = vg_loop_timer(a->loop, on_end, a, &a->end);
    }
    return e == VG_OK ? VG_OK : vg_fail(err, e, "the buffer cannot be watched: %s", vg_err_name(e));
}

enum vg_err vgi_relay_open_uplink(struct vgi_agent *a, struct vg_error *err)
{
    const struct vg_uplink_feed feed = {
        .fetch = fetch, .settle = settle, .event = event, .synced = vgi_agent_synced, .arg = a};
    struct vg_uplink_options options = a->conf->uplink;
    enum vg_err e = vg_random_bytes(&options.seed, sizeof options.seed);
    if (e != VG_OK) {
        return vg_fail(err, e, "the kernel gives no random numbers");
    }
    e = vg_uplink_net_new(a->loop, 1, &a->net, err);
    if (e == VG_OK) {
        e = vg_uplink_open(a->net, &options, &feed, &a->uplink, err);
    }
    explicit_bzero(options.psk, sizeof options.psk);
    if (e == VG_OK) {
        vg_uplink_start(a->uplink);
    }
    return e;
}

void vgi_relay_tick(struct vgi_agent *a)
{
    /* The buffer's thread rings a bell that the loop watches; if that ever fails, it costs a tick. */
    vg_buffer_dispatch(a->buffer);
    vgi_bounds_tell(a, false);
    for (int l = 0; l < VG_UPLINK_LANES; l++) {
        if (a->unanswered_fetch[l]) {
            a->unanswered_fetch[l] = false;
            vg_uplink_rows(a->uplink, (enum vg_uplink_lane)l, NULL, 0);
        }
    }
}

void vgi_relay_close(struct vgi_agent *a)
{
    if (a->buffer != NULL) {
        vgi_bounds_tell(a, true);
    }
    vg_uplink_close(a->uplink);
    vg_uplink_net_free(a->net);
    vg_loop_unwatch(a->loop, a->buffer_watch);
    vg_loop_timer_remove(a->loop, a->end);
    struct vg_error err;
    const uint64_t lost = vg_buffer_close(a->buffer, &err);
    if (lost > 0) {
        vg_log_error("readings-lost", "file=%s count=%" PRIu64 " reason=%s",
                     VG_Q(a->conf->buffer_path), lost, VG_Q(err.text));
        vg_program_fail(VG_EXIT_FAIL);
    }
}
