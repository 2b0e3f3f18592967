/* The rows half of the core: windows, runs, and what an answer means for each row. */
#include "core_private.h"

#include <assert.h>
#include <string.h>

/* What is to become of each row of a window. */
#define KEEP 0xff
struct verdict {
    uint8_t fates[VG_UPLINK_BATCH_MAX]; /* enum vg_uplink_fate, or KEEP */
    uint8_t codes[VG_UPLINK_BATCH_MAX]; /* of those quarantined */
    struct vg_mono until;               /* of those parked */
};

static void verdict_init(struct verdict *v)
{
    memset(v->fates, KEEP, sizeof v->fates);
    memset(v->codes, 0, sizeof v->codes);
    v->until = (struct vg_mono){0};
}

static void settle(struct vgi_core *c, struct vgi_lane *lane, size_t index, uint8_t fate,
                   uint8_t code, struct vg_mono until)
{
    const struct vg_reading *r = &lane->rows[index].reading;
    lane->outcomes[lane->outcome_count++] =
        (struct vg_uplink_outcome){.store = r->store,
                                   .seq = r->seq,
                                   .fate = (enum vg_uplink_fate)fate,
                                   .code = code,
                                   .until = until};
    switch ((enum vg_uplink_fate)fate) {
    case VG_UPLINK_DONE:
        c->stats.rows_done++;
        break;
    case VG_UPLINK_QUARANTINED:
        c->stats.rows_quarantined++;
        break;
    case VG_UPLINK_PARKED:
        c->stats.rows_parked++;
        break;
    }
}

static struct vgi_parked *find_parked(struct vgi_core *c, uint8_t lane, const char *sensor)
{
    for (size_t i = 0; i < c->parked_count; i++) {
        if (c->parked[i].lane == lane && strcmp(c->parked[i].sensor, sensor) == 0) {
            return &c->parked[i];
        }
    }
    return NULL;
}

static void park_sensor(struct vgi_core *c, uint8_t lane, const char *sensor, struct vg_mono until)
{
    if (find_parked(c, lane, sensor) != NULL) {
        return;
    }
    if (c->parked_count == c->options.parked_sensors) {
        c->parked_count--;
        memmove(&c->parked[0], &c->parked[1], c->parked_count * sizeof c->parked[0]);
        c->stats.parked_forgotten++;
    }
    struct vgi_parked *p = &c->parked[c->parked_count++];
    bool fits = vg_str_copy(sensor, p->sensor, sizeof p->sensor);
    assert(fits);
    (void)fits;
    p->lane = lane;
    p->until = until;
}

void vgi_parked_expire(struct vgi_core *c, struct vg_mono now)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->parked_count; i++) {
        if (vgi_before(now, c->parked[i].until)) {
            if (kept != i) {
                c->parked[kept] = c->parked[i];
            }
            kept++;
        } else {
            c->lanes[c->parked[i].lane].more = true;
        }
    }
    c->parked_count = kept;
}

/* Takes out of the window what has a fate, and every other row of a parked sensor, and closes the
 * ranks. */
static void sweep(struct vgi_core *c, enum vg_uplink_lane l, const struct verdict *v)
{
    struct vgi_lane *lane = &c->lanes[l];
    size_t kept = 0;
    for (size_t i = 0; i < lane->count; i++) {
        const struct vgi_parked *p = find_parked(c, (uint8_t)l, lane->rows[i].reading.sensor);
        if (v->fates[i] != KEEP) {
            settle(c, lane, i, v->fates[i], v->codes[i], p != NULL ? p->until : v->until);
        } else if (p != NULL) {
            settle(c, lane, i, VG_UPLINK_PARKED, 0, p->until);
        } else {
            if (kept != i) {
                lane->rows[kept] = lane->rows[i];
            }
            kept++;
        }
    }
    lane->count = kept;
}

void vgi_lane_take(struct vgi_core *c, enum vg_uplink_lane l, const struct vg_uplink_row *rows,
                   size_t count, struct vg_mono now)
{
    struct vgi_lane *lane = &c->lanes[l];
    assert(lane->fetching && lane->count == 0 && count <= c->options.batch_rows);
    lane->fetching = false;
    if (count == c->options.batch_rows) {
        lane->more = true;
    }
    if (count > 0) {
        memcpy(lane->rows, rows, count * sizeof rows[0]);
    }
    lane->count = count;
    vgi_parked_expire(c, now);
    struct verdict v;
    verdict_init(&v);
    sweep(c, l, &v);
}

/* The first `n` rows are done with in one way. */
static void settle_head(struct vgi_core *c, enum vg_uplink_lane l, size_t n,
                        enum vg_uplink_fate fate, unsigned code, struct vg_mono until)
{
    struct verdict v;
    verdict_init(&v);
    memset(v.fates, (int)fate, n);
    memset(v.codes, (int)code, n);
    v.until = until;
    sweep(c, l, &v);
}

/* Nobody says which row is bad: halve until one is left. */
static void halve(struct vgi_core *c, enum vg_uplink_lane l, size_t n, unsigned code)
{
    if (n > 1) {
        c->lanes[l].limit = n / 2;
        return;
    }
    settle_head(c, l, 1, VG_UPLINK_QUARANTINED, code, (struct vg_mono){0});
    vgi_tell(c, VG_UPLINK_EV_QUARANTINED, 1);
}

static void park_head(struct vgi_core *c, enum vg_uplink_lane l, size_t n, struct vg_mono now)
{
    struct vg_mono until = vg_mono_add_ms(now, c->options.park_ms);
    for (size_t i = 0; i < n; i++) {
        park_sensor(c, (uint8_t)l, c->lanes[l].rows[i].reading.sensor, until);
    }
    settle_head(c, l, n, VG_UPLINK_PARKED, 0, until);
    vgi_tell(c, VG_UPLINK_EV_PARKED, (int64_t)n);
}

/* A refusal list is obeyed only if all of it makes sense for the `n` rows that were sent. */
static bool read_refusals(struct vg_span payload, size_t n, struct vg_refusal *list, size_t *count)
{
    if (vg_refusals_decode(payload, list, VG_UPLINK_BATCH_MAX, count) != VG_OK || *count == 0) {
        return false;
    }
    for (size_t i = 0; i < *count; i++) {
        if (list[i].index >= n) {
            return false;
        }
    }
    return true;
}

static void refused(struct vgi_core *c, enum vg_uplink_lane l, size_t n, unsigned code,
                    struct vg_span payload, struct vg_mono now)
{
    struct vg_refusal list[VG_UPLINK_BATCH_MAX];
    size_t count = 0;
    c->stats.answers_refused++;
    vgi_tell(c, VG_UPLINK_EV_REFUSED, (int64_t)code);
    if (!read_refusals(payload, n, list, &count)) {
        if (code == VG_COAP_FORBIDDEN) {
            park_head(c, l, n, now);
        } else {
            halve(c, l, n, code);
        }
        return;
    }
    struct verdict v;
    verdict_init(&v);
    v.until = vg_mono_add_ms(now, c->options.park_ms);
    uint64_t quarantined = c->stats.rows_quarantined, parked = c->stats.rows_parked;
    for (size_t i = 0; i < count; i++) {
        size_t at = list[i].index;
        if (list[i].code == VG_COAP_FORBIDDEN) {
            v.fates[at] = VG_UPLINK_PARKED;
            park_sensor(c, (uint8_t)l, c->lanes[l].rows[at].reading.sensor, v.until);
        } else {
            v.fates[at] = VG_UPLINK_QUARANTINED;
            v.codes[at] = list[i].code;
        }
    }
    sweep(c, l, &v);
    if (c->stats.rows_quarantined > quarantined) {
        vgi_tell(c, VG_UPLINK_EV_QUARANTINED, (int64_t)(c->stats.rows_quarantined - quarantined));
    }
    if (c->stats.rows_parked > parked) {
        vgi_tell(c, VG_UPLINK_EV_PARKED, (int64_t)(c->stats.rows_parked - parked));
    }
}

/* Nothing of any lane goes to this collector before, nor before what a lane was told. */
static void hold_all(struct vgi_core *c, struct vg_mono until)
{
    for (size_t l = 0; l < VG_UPLINK_LANES; l++) {
        struct vg_mono *hold = &c->lanes[l].hold[c->collector];
        if (vgi_before(*hold, until)) {
            *hold = until;
        }
    }
}

/* A 5.03 to routine rows says nothing of urgent ones, for which a collector keeps room: those find
 * out by themselves. */
static void wait_as_told(struct vgi_core *c, enum vg_uplink_lane l, unsigned code,
                         int64_t max_age_s, struct vg_mono now)
{
    c->stats.answers_wait++;
    int64_t ms = VGI_WAIT_DEFAULT_MS;
    if (max_age_s >= 0) {
        ms = max_age_s < VGI_WAIT_MAX_MS / 1000 ? max_age_s * 1000 : VGI_WAIT_MAX_MS;
        ms = ms < VGI_WAIT_MIN_MS ? VGI_WAIT_MIN_MS : ms;
    }
    if (code == VG_COAP_UNAVAILABLE && l == VG_UPLINK_ROUTINE) {
        c->lanes[l].hold[c->collector] = vg_mono_add_ms(now, ms);
    } else {
        hold_all(c, vg_mono_add_ms(now, ms));
    }
    vgi_tell(c, VG_UPLINK_EV_WAIT, ms);
    if (code == VG_COAP_UNAVAILABLE && ++c->unavailable >= VGI_UNAVAILABLE_MAX &&
        c->options.collector_count > 1) {
        vgi_session_next(c, now);
    }
}

static void refused_format(struct vgi_core *c, struct vg_mono now)
{
    c->stats.answers_refused++;
    bool last = c->format == VG_FORMAT_SENML_JSON;
    c->format = last ? VG_FORMAT_SENML_CBOR : VG_FORMAT_SENML_JSON;
    if (last) {
        hold_all(c, vg_mono_add_ms(now, c->options.park_ms));
    }
    vgi_tell(c, VG_UPLINK_EV_FORMAT, last);
}

static void done(struct vgi_core *c, enum vg_uplink_lane l, size_t n)
{
    c->stats.answers_ok++;
    c->proven = true;
    c->tried = 0;
    c->attempt = 0;
    c->hurried = 0;
    c->unavailable = 0;
    size_t doubled = c->lanes[l].limit * 2;
    c->lanes[l].limit = doubled < c->options.batch_rows ? doubled : c->options.batch_rows;
    settle_head(c, l, n, VG_UPLINK_DONE, 0, (struct vg_mono){0});
}

void vgi_lane_answer(struct vgi_core *c, enum vg_uplink_lane l, unsigned code, int64_t max_age_s,
                     struct vg_span payload, struct vg_mono now)
{
    struct vgi_lane *lane = &c->lanes[l];
    size_t n = lane->sent;
    lane->sent = 0;
    lane->silent = 0;
    switch (code) {
    case VG_COAP_CHANGED:
        done(c, l, n);
        break;
    case VG_COAP_BAD_REQUEST:
    case VG_COAP_UNPROCESSABLE:
    case VG_COAP_FORBIDDEN:
        refused(c, l, n, code, payload, now);
        break;
    case VG_COAP_UNAUTHORIZED:
        c->stats.answers_refused++;
        vgi_tell(c, VG_UPLINK_EV_REFUSED, (int64_t)code);
        vgi_session_failed(c, now);
        break;
    case VG_COAP_TOO_LARGE:
        c->stats.answers_refused++;
        vgi_tell(c, VG_UPLINK_EV_REFUSED, (int64_t)code);
        halve(c, l, n, code);
        break;
    case VG_COAP_UNSUPPORTED_FORMAT:
        refused_format(c, now);
        break;
    case VG_COAP_TOO_MANY:
    case VG_COAP_UNAVAILABLE:
        wait_as_told(c, l, code, max_age_s, now);
        break;
    default:
        c->stats.answers_unexpected++;
        vgi_tell(c, VG_UPLINK_EV_UNEXPECTED, (int64_t)code);
        vgi_session_failed(c, now);
        break;
    }
}

/* Longer than any debt lasts, short enough not to overflow. */
#define RATE_MEMORY_MS 1000000

int64_t vgi_rate_wait_ms(struct vgi_core *c, struct vg_mono now)
{
    int64_t rate = c->options.rate;
    if (rate == 0) {
        return 0;
    }
    int64_t passed = vg_mono_diff_ms(now, c->credited);
    c->credited =
        vg_mono_add_ms(c->credited, passed); /* what is left of a millisecond counts next time */
    c->credit += (passed < RATE_MEMORY_MS ? passed : RATE_MEMORY_MS) * rate; /* a reading: 1000 */
    if (c->credit > rate * 1000) {
        c->credit = rate * 1000;
    }
    return c->credit >= 1000 ? 0 : (1000 - c->credit + rate - 1) / rate;
}

/* Rows at the head with one store and numbers that follow each other. */
static size_t run_length(const struct vgi_lane *lane)
{
    const struct vg_uplink_row *rows = lane->rows;
    size_t n = 1;
    while (n < lane->count && n < lane->limit && rows[n].reading.store == rows[0].reading.store &&
           rows[n].reading.seq == rows[0].reading.seq + n) {
        n++;
    }
    return n;
}

/* Packs and sends the first run; false when its first row cannot be packed at all and was settled
 * instead. */
static bool send_run(struct vgi_core *c, enum vg_uplink_lane l, struct vg_mono now)
{
    struct vgi_lane *lane = &c->lanes[l];
    size_t n = c->pack(c->pack_arg, l, c->format, lane->rows, run_length(lane));
    if (n == 0) {
        settle_head(c, l, 1, VG_UPLINK_QUARANTINED, 0, (struct vg_mono){0});
        return false;
    }
    const struct vg_uplink_options *o = &c->options;
    lane->sent = n;
    lane->request = c->next_request++;
    /* The last moment at which the second retransmission can be acknowledged, and then the separate
     * answer. */
    lane->deadline = vg_mono_add_ms(now, o->ack_timeout_ms * 21 / 2 + o->response_ms);
    if (l == VG_UPLINK_ROUTINE) {
        c->credit -= (int64_t)n * 1000;
    }
    c->stats.requests++;
    c->stats.rows_sent += n;
    struct vgi_action *a = vgi_act(c, VGI_ACT_SEND);
    a->lane = l;
    a->format = c->format;
    a->count = n;
    a->request = lane->request;
    a->store = lane->rows[0].reading.store;
    a->seq = lane->rows[0].reading.seq;
    return true;
}

void vgi_lane_drive(struct vgi_core *c, enum vg_uplink_lane l, struct vg_mono now)
{
    struct vgi_lane *lane = &c->lanes[l];
    bool may = c->link == VGI_UP && lane->sent == 0 && !vgi_before(now, lane->hold[c->collector]) &&
               (l != VG_UPLINK_ROUTINE || vgi_rate_wait_ms(c, now) == 0);
    uint64_t quarantined = c->stats.rows_quarantined;
    while (may && lane->count > 0 && !send_run(c, l, now)) {
    }
    if (c->stats.rows_quarantined > quarantined) {
        vgi_tell(c, VG_UPLINK_EV_QUARANTINED, (int64_t)(c->stats.rows_quarantined - quarantined));
    }
    if (lane->outcome_count > 0) {
        struct vgi_action *a = vgi_act(c, VGI_ACT_SETTLE);
        a->lane = l;
        a->outcomes = lane->outcomes;
        a->count = lane->outcome_count;
    }
    if (lane->count == 0 && lane->more && !lane->fetching) {
        lane->fetching = true;
        lane->more = false;
        struct vgi_action *a = vgi_act(c, VGI_ACT_FETCH);
        a->lane = l;
        a->count = c->options.batch_rows;
    }
}
