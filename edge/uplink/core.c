/* The link half of the core: sessions, failover, backoff, time. The rows are in lane.c. */
#include "core_private.h"

#include <assert.h>
#include <stdlib.h>

struct vgi_action *vgi_act(struct vgi_core *c, enum vgi_action_type type)
{
    assert(c->action_count < VGI_ACTIONS_MAX);
    struct vgi_action *a = &c->actions[c->action_count++];
    *a = (struct vgi_action){.type = type, .collector = c->collector};
    return a;
}

void vgi_tell(struct vgi_core *c, enum vg_uplink_event event, int64_t detail)
{
    struct vgi_action *a = vgi_act(c, VGI_ACT_TELL);
    a->event = event;
    a->detail = detail;
}

/* Every event begins here: what the last one gave out is no longer valid. */
static void begin(struct vgi_core *c)
{
    assert(c->action_next == c->action_count);
    c->action_next = c->action_count = 0;
    for (size_t l = 0; l < VG_UPLINK_LANES; l++) {
        c->lanes[l].outcome_count = 0;
    }
}

static void connect_now(struct vgi_core *c, struct vg_mono now)
{
    c->link = VGI_CONNECTING;
    c->link_deadline = vg_mono_add_ms(now, c->options.handshake_ms);
    c->proven = false;
    c->unavailable = 0;
    c->format = VG_FORMAT_SENML_CBOR;
    c->stats.handshakes++;
    c->stats.collector = c->collector;
    vgi_act(c, VGI_ACT_CONNECT);
}

/* What was in flight is in flight no longer; its rows stay at the head of their windows. */
static void close_session(struct vgi_core *c)
{
    if (c->link == VGI_UP) {
        c->stats.sessions_lost++;
    }
    c->stats.up = false;
    for (size_t l = 0; l < VG_UPLINK_LANES; l++) {
        c->lanes[l].sent = 0;
        c->lanes[l].silent = 0;
    }
    vgi_act(c, VGI_ACT_CLOSE);
}

static void next_collector(struct vgi_core *c)
{
    if (c->options.collector_count > 1) {
        c->collector = (c->collector + 1) % c->options.collector_count;
        c->stats.failovers++;
    }
}

/* Over the upper half, so that a thousand devices do not return together. */
static int64_t jittered(struct vgi_core *c, int64_t ms)
{
    return ms / 2 + (int64_t)vg_rng_below(&c->rng, (uint64_t)(ms - ms / 2) + 1);
}

/* Exponential, capped and jittered. */
static void wait_before_next(struct vgi_core *c, unsigned *exponent, int64_t most_ms,
                             struct vg_mono now)
{
    int64_t delay = c->options.backoff_min_ms;
    for (unsigned i = 0; i < *exponent; i++) {
        delay *= 2;
    }
    if (delay >= most_ms) {
        delay = most_ms;
    } else {
        (*exponent)++;
    }
    delay = jittered(c, delay);
    c->link = VGI_WAITING;
    c->link_deadline = vg_mono_add_ms(now, delay);
    c->tried = 0;
    c->stats.backoffs++;
    c->stats.wait_ms = delay;
    vgi_tell(c, VG_UPLINK_EV_BACKOFF, delay);
}

/* How long after a try that failed an urgent row calls for the next: 5 to 10 s at first, then 10 to
 * 20 s, then 15 to 30 s. */
static int64_t urgent_pace_ms(struct vgi_core *c)
{
    int64_t most = 2LL * VGI_URGENT_EVERY_MS << c->hurried;
    return jittered(c, most < VGI_WAIT_URGENT_MAX_MS ? most : VGI_WAIT_URGENT_MAX_MS);
}

static void back_off(struct vgi_core *c, struct vg_mono now)
{
    wait_before_next(c, &c->attempt, c->options.backoff_max_ms, now);
    c->urgent_from = vg_mono_add_ms(now, urgent_pace_ms(c));
}

/* After a close: whoever closed it answers, and would take an alarm. So this wait is shorter. */
static void pause_after_close(struct vgi_core *c, struct vg_mono now)
{
    int64_t most_ms = c->options.backoff_max_ms;
    wait_before_next(c, &c->closes,
                     most_ms < VGI_WAIT_URGENT_MAX_MS ? most_ms : VGI_WAIT_URGENT_MAX_MS, now);
}

/* When an urgent row ends the present wait: not before the collector's own Max-Age, which would
 * keep the row back all the same. */
static bool hurry_at(const struct vgi_core *c, struct vg_mono *at)
{
    if (c->link != VGI_WAITING || c->lanes[VG_UPLINK_URGENT].count == 0) {
        return false;
    }
    struct vg_mono hold = c->lanes[VG_UPLINK_URGENT].hold[c->collector];
    *at = vgi_before(c->urgent_from, hold) ? hold : c->urgent_from;
    return true;
}

static void hurry(struct vgi_core *c, struct vg_mono now)
{
    struct vg_mono at;
    if (hurry_at(c, &at) && !vgi_before(now, at)) {
        c->urgent_from = vg_mono_add_ms(now, VGI_URGENT_EVERY_MS);
        if (c->hurried < VGI_HURRIED_MAX) {
            c->hurried++;
        }
        connect_now(c, now);
    }
}

/* The collector answers, but will not serve us: wait, then the next one. */
void vgi_session_failed(struct vgi_core *c, struct vg_mono now)
{
    close_session(c);
    next_collector(c);
    back_off(c, now);
}

/* The collector works, but cannot serve us now, and there is another. */
void vgi_session_next(struct vgi_core *c, struct vg_mono now)
{
    close_session(c);
    next_collector(c);
    connect_now(c, now);
}

/* A session that worked was closed. Once that is a restart: come back at once. Soon again it is a
 * collector without room, which ends another device's session to take ours: coming back at once
 * would keep the two, and all their like, at it for ever. So this is done at most once per five
 * times backoff_max, and a session that lasted that long always has it; what a 2.04 begins anew is
 * the backoff after failures, not this wait. */
static void closed(struct vgi_core *c, struct vg_mono now)
{
    if (!vgi_before(now, c->at_once)) {
        c->at_once = vg_mono_add_ms(now, VGI_AT_ONCE_BACKOFFS * c->options.backoff_max_ms);
        c->closes = 0;
        connect_now(c, now);
        return;
    }
    next_collector(c);
    pause_after_close(c, now);
}

static void lost(struct vgi_core *c, enum vgi_lost why, struct vg_mono now)
{
    bool worked = c->link == VGI_UP && c->proven;
    bool was_closed = c->link == VGI_UP && why == VGI_LOST_CLOSED;
    vgi_tell(c, VG_UPLINK_EV_LOST, why);
    close_session(c);
    if (worked) {
        c->tried = 0;
        if (was_closed) {
            closed(c, now);
        } else {
            /* It worked a moment ago: a collector that died or a forgetful NAT. */
            connect_now(c, now);
        }
        return;
    }
    c->tried++;
    next_collector(c);
    if (c->tried < c->options.collector_count) {
        connect_now(c, now);
    } else if (was_closed) {
        pause_after_close(c, now); /* nothing to send yet, or no time for it */
    } else {
        back_off(c, now);
    }
}

static void expire(struct vgi_core *c, struct vg_mono now)
{
    if (c->link == VGI_CONNECTING && !vgi_before(now, c->link_deadline)) {
        lost(c, VGI_LOST_TIMEOUT, now);
    } else if (c->link == VGI_WAITING && !vgi_before(now, c->link_deadline)) {
        connect_now(c, now);
    }
    for (size_t l = 0; l < VG_UPLINK_LANES; l++) {
        struct vgi_lane *lane = &c->lanes[l];
        if (lane->sent == 0 || vgi_before(now, lane->deadline)) {
            continue;
        }
        c->stats.unanswered++;
        lane->sent = 0;
        lane->silent++;
        if (lane->silent >= VGI_SILENT_MAX) {
            lost(c, VGI_LOST_UNANSWERED, now);
            return;
        }
    }
}

static void finish(struct vgi_core *c, struct vg_mono now)
{
    if (c->link == VGI_STOPPED || c->link == VGI_DOWN) {
        return;
    }
    hurry(c, now);
    vgi_parked_expire(c, now);
    for (size_t l = 0; l < VG_UPLINK_LANES; l++) {
        vgi_lane_drive(c, (enum vg_uplink_lane)l, now);
    }
}

enum vg_err vgi_core_new(const struct vg_uplink_options *options, vgi_pack_fn *pack, void *pack_arg,
                         struct vgi_core **out)
{
    struct vgi_core *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return VG_E_NOMEM;
    }
    c->options = *options;
    c->pack = pack;
    c->pack_arg = pack_arg;
    c->parked = calloc(options->parked_sensors, sizeof *c->parked);
    bool whole = c->parked != NULL;
    for (size_t l = 0; l < VG_UPLINK_LANES; l++) {
        struct vgi_lane *lane = &c->lanes[l];
        lane->rows = calloc(options->batch_rows, sizeof *lane->rows);
        lane->outcomes = calloc(options->batch_rows, sizeof *lane->outcomes);
        lane->limit = options->batch_rows;
        lane->more = true;
        whole = whole && lane->rows != NULL && lane->outcomes != NULL;
    }
    if (!whole) {
        vgi_core_free(c);
        return VG_E_NOMEM;
    }
    vg_rng_seed(&c->rng, options->seed);
    c->next_request = (uint32_t)vg_rng_next(&c->rng);
    *out = c;
    return VG_OK;
}

void vgi_core_free(struct vgi_core *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t l = 0; l < VG_UPLINK_LANES; l++) {
        free(c->lanes[l].rows);
        free(c->lanes[l].outcomes);
    }
    free(c->parked);
    free(c);
}

void vgi_core_start(struct vgi_core *c, struct vg_mono now)
{
    begin(c);
    assert(c->link == VGI_DOWN);
    for (size_t i = 0; i < c->options.collector_count; i++) {
        for (size_t l = 0; l < VG_UPLINK_LANES; l++) {
            c->lanes[l].hold[i] = now;
        }
    }
    c->at_once = c->urgent_from = c->credited = now;
    c->credit = c->options.rate * 1000;
    connect_now(c, now);
    finish(c, now);
}

void vgi_core_stop(struct vgi_core *c)
{
    begin(c);
    if (c->link != VGI_DOWN) {
        close_session(c);
    }
    c->link = VGI_STOPPED;
}

void vgi_core_notify(struct vgi_core *c, enum vg_uplink_lane lane, struct vg_mono now)
{
    begin(c);
    c->lanes[lane].more = true;
    finish(c, now);
}

void vgi_core_rows(struct vgi_core *c, enum vg_uplink_lane lane, const struct vg_uplink_row *rows,
                   size_t count, struct vg_mono now)
{
    begin(c);
    vgi_lane_take(c, lane, rows, count, now);
    finish(c, now);
}

void vgi_core_connected(struct vgi_core *c, struct vg_mono now)
{
    begin(c);
    if (c->link == VGI_CONNECTING) {
        c->link = VGI_UP;
        c->stats.up = true;
        c->stats.connected++;
        vgi_tell(c, VG_UPLINK_EV_CONNECTED, (int64_t)c->tried + 1);
    }
    finish(c, now);
}

void vgi_core_lost(struct vgi_core *c, enum vgi_lost why, struct vg_mono now)
{
    begin(c);
    if (c->link == VGI_CONNECTING || c->link == VGI_UP) {
        if (why == VGI_LOST_UNANSWERED) {
            c->stats.unanswered++;
        }
        lost(c, why, now);
    }
    finish(c, now);
}

void vgi_core_answer(struct vgi_core *c, enum vg_uplink_lane lane, uint32_t request, unsigned code,
                     int64_t max_age_s, struct vg_span payload, struct vg_mono now)
{
    begin(c);
    if (c->lanes[lane].sent == 0 || c->lanes[lane].request != request) {
        c->stats.answers_late++;
    } else {
        vgi_lane_answer(c, lane, code, max_age_s, payload, now);
    }
    finish(c, now);
}

void vgi_core_timer(struct vgi_core *c, struct vg_mono now)
{
    begin(c);
    expire(c, now);
    finish(c, now);
}

static void earliest(struct vg_mono t, bool *some, struct vg_mono *out)
{
    if (!*some || vgi_before(t, *out)) {
        *out = t;
        *some = true;
    }
}

bool vgi_core_deadline(const struct vgi_core *c, struct vg_mono *out)
{
    bool some = false;
    struct vg_mono at = {0};
    if (c->link == VGI_CONNECTING || c->link == VGI_WAITING) {
        earliest(c->link_deadline, &some, &at);
    }
    struct vg_mono hurried;
    if (hurry_at(c, &hurried)) {
        earliest(hurried, &some, &at);
    }
    for (size_t l = 0; l < VG_UPLINK_LANES; l++) {
        const struct vgi_lane *lane = &c->lanes[l];
        if (lane->sent > 0) {
            earliest(lane->deadline, &some, &at);
        } else if (lane->count > 0 && c->link == VGI_UP) {
            /* Rows that could go but do not: held back by the collector, or by the rate. */
            struct vg_mono when = lane->hold[c->collector];
            if (l == VG_UPLINK_ROUTINE && c->options.rate > 0 && c->credit < 1000) {
                int64_t ms = (1000 - c->credit + c->options.rate - 1) / c->options.rate;
                struct vg_mono paid = vg_mono_add_ms(c->credited, ms);
                when = vgi_before(when, paid) ? paid : when;
            }
            earliest(when, &some, &at);
        }
    }
    for (size_t i = 0; i < c->parked_count && c->link != VGI_STOPPED; i++) {
        earliest(c->parked[i].until, &some, &at);
    }
    if (some) {
        *out = at;
    }
    return some;
}

bool vgi_core_next(struct vgi_core *c, struct vgi_action *out)
{
    if (c->action_next == c->action_count) {
        return false;
    }
    *out = c->actions[c->action_next++];
    return true;
}

const struct vg_uplink_stats *vgi_core_stats(const struct vgi_core *c)
{
    return &c->stats;
}
