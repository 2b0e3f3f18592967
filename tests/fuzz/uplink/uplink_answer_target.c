/* A hostile collector in front of the uplink's decisions: any answers, at any time, with any body. Whatever it says, a row is
 * settled at most once, and counts as delivered only if a 2.04 answered the very request that carried it.
 *
 *   input: flags (1), then steps, each a byte and what it needs
 *     0 connected              1 lost: why (1)           2 time passes: ms (2)         3 the lane has rows: lane (1)
 *     4 an answer: lane (1), code (1), Max-Age (1), length (1), body        5 the same to a request of the past
 *     6 rows for a lane that has asked: lane (1), how many (1), gaps (1)    7 a very long time passes */
#include "../require.h"

#include "../../../edge/uplink/core.h"

#define BATCH    8
#define ROWS_MAX 512 /* per lane and input */
#define STORE    0x9f3c1b22a0d47e15ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct row {
    uint64_t seq;
    bool out, settled;
};

struct lane {
    struct row rows[ROWS_MAX];
    size_t count;   /* that exist; number i has a seq of its own */
    uint64_t next;  /* seq */
    bool asked;     /* a FETCH waits */
    size_t window;  /* handed over and not settled */
    size_t flight;  /* of the newest request, 0: answered or lost */
    bool given_up;  /* perhaps: no answer came in time */
    uint64_t first; /* its first number */
    uint32_t request;
};

static struct {
    struct vgi_core *core;
    struct vg_mono now;
    struct lane lanes[VG_UPLINK_LANES];
    bool up;
    size_t fit;
    /* What the present event allows. */
    bool done_allowed, quarantine_allowed;
    enum vg_uplink_lane answered;
} b;

static uint8_t u8(const uint8_t **at, size_t *left)
{
    if (*left == 0) {
        return 0;
    }
    (*left)--;
    return *(*at)++;
}

static size_t pack(void *arg, enum vg_uplink_lane lane, enum vg_format format,
                   const struct vg_uplink_row *rows, size_t count)
{
    (void)arg;
    (void)lane;
    require(format == VG_FORMAT_SENML_CBOR || format == VG_FORMAT_SENML_JSON);
    require(count >= 1 && count <= BATCH);
    if (strcmp(rows[0].reading.sensor, "unpackable") == 0) {
        return 0;
    }
    return count < b.fit ? count : b.fit;
}

static void settle(const struct vgi_action *a)
{
    struct lane *lane = &b.lanes[a->lane];

    require(a->count >= 1 && a->count <= BATCH);
    for (size_t i = 0; i < a->count; i++) {
        const struct vg_uplink_outcome *o = &a->outcomes[i];
        struct row *row = NULL;
        for (size_t k = 0; k < lane->count && row == NULL; k++) {
            row = lane->rows[k].seq == o->seq ? &lane->rows[k] : NULL;
        }
        require(row != NULL && o->store == STORE && row->out && !row->settled);
        row->settled = true;
        lane->window--;
        bool carried =
            a->lane == b.answered && o->seq >= lane->first && o->seq < lane->first + lane->flight;
        require(o->fate != VG_UPLINK_DONE || (b.done_allowed && carried));
        require(o->fate != VG_UPLINK_QUARANTINED || o->code == 0 ||
                (b.quarantine_allowed && carried));
        require(o->fate != VG_UPLINK_PARKED || b.now.ns < o->until.ns);
    }
}

static void send(const struct vgi_action *a)
{
    struct lane *lane = &b.lanes[a->lane];

    require(b.up && (lane->flight == 0 || lane->given_up) && a->store == STORE);
    require(a->count >= 1 && a->count <= BATCH);
    for (uint64_t seq = a->seq; seq < a->seq + a->count; seq++) {
        bool here = false;
        for (size_t k = 0; k < lane->count && !here; k++) {
            here = lane->rows[k].seq == seq && lane->rows[k].out && !lane->rows[k].settled;
        }
        require(here);
    }
    lane->given_up = false;
    lane->first = a->seq;
    lane->flight = a->count;
    lane->request = a->request;
}

/* Settlements first: they speak of the request that was answered, not of the next one. */
static void take_actions(void)
{
    struct vgi_action actions[64];
    size_t count = 0;

    while (vgi_core_next(b.core, &actions[count])) {
        require(++count < 64);
    }
    for (size_t i = 0; i < count; i++) {
        if (actions[i].type == VGI_ACT_SETTLE) {
            settle(&actions[i]);
        }
    }
    if (b.answered < VG_UPLINK_LANES) {
        b.lanes[b.answered].flight = 0;
    }
    for (size_t i = 0; i < count; i++) {
        const struct vgi_action *a = &actions[i];
        switch (a->type) {
        case VGI_ACT_FETCH:
            require(!b.lanes[a->lane].asked && b.lanes[a->lane].window == 0 && a->count == BATCH);
            b.lanes[a->lane].asked = true;
            break;
        case VGI_ACT_CLOSE:
            b.up = false;
            b.lanes[0].flight = b.lanes[1].flight = 0;
            break;
        case VGI_ACT_TELL:
            b.up = b.up || a->event == VG_UPLINK_EV_CONNECTED;
            break;
        case VGI_ACT_SEND:
            send(a);
            break;
        default:
            break;
        }
    }
    b.done_allowed = b.quarantine_allowed = false;
    b.answered = VG_UPLINK_LANES;
}

/* Which lane has given its request up is told by what that lane sends next. */
static void tick(void)
{
    uint64_t before = vgi_core_stats(b.core)->unanswered;

    vgi_core_timer(b.core, b.now);
    if (vgi_core_stats(b.core)->unanswered > before) {
        b.lanes[0].given_up = b.lanes[1].given_up = true;
    }
    take_actions();
}

static void pass(int64_t ms)
{
    struct vg_mono until = vg_mono_add_ms(b.now, ms), next;

    for (size_t i = 0; i < 64 && vgi_core_deadline(b.core, &next) && next.ns <= until.ns; i++) {
        b.now = next.ns > b.now.ns ? next : b.now;
        tick();
    }
    b.now = until.ns > b.now.ns ? until : b.now;
    tick();
}

static void hand(enum vg_uplink_lane l, size_t count, uint8_t gaps)
{
    struct vg_uplink_row rows[BATCH];
    struct lane *lane = &b.lanes[l];

    if (!lane->asked) {
        return;
    }
    count %= BATCH + 1;
    count = lane->count + count <= ROWS_MAX ? count : 0;
    for (size_t i = 0; i < count; i++) {
        static const char *const sensors[] = {"s1", "s2", "unpackable", "s3"};
        lane->next += 1 + ((gaps >> i) & 1u);
        rows[i] = (struct vg_uplink_row){.reading = {.store = STORE,
                                                     .seq = lane->next,
                                                     .lane = l == VG_UPLINK_URGENT ? 'u' : 'r'}};
        require(vg_str_copy(sensors[lane->next * 7 % 4], rows[i].reading.sensor,
                            sizeof(rows[i].reading.sensor)));
        lane->rows[lane->count++] = (struct row){.seq = lane->next, .out = true};
    }
    lane->asked = false;
    lane->window += count;
    vgi_core_rows(b.core, l, rows, count, b.now);
    take_actions();
}

static void answer(const uint8_t **at, size_t *left, bool late)
{
    enum vg_uplink_lane l = (enum vg_uplink_lane)(u8(at, left) % VG_UPLINK_LANES);
    unsigned code = u8(at, left);
    uint8_t age = u8(at, left);
    size_t len = u8(at, left);

    len = len < *left ? len : *left;
    struct vg_span body = vg_span(*at, len);
    *at += len;
    *left -= len;
    bool known = b.lanes[l].flight > 0 && !late;
    b.answered = known ? l : VG_UPLINK_LANES;
    b.done_allowed = known && code == VG_COAP_CHANGED;
    b.quarantine_allowed = known && (code == VG_COAP_BAD_REQUEST || code == VG_COAP_UNPROCESSABLE ||
                                     code == VG_COAP_TOO_LARGE || code == VG_COAP_FORBIDDEN);
    vgi_core_answer(b.core, l, b.lanes[l].request - (late ? 1 : 0), code,
                    age == 255 ? -1 : (int64_t)age << (age >> 3), body, b.now);
    take_actions();
}

static void step(const uint8_t **at, size_t *left)
{
    switch (u8(at, left) % 8) {
    case 0:
        vgi_core_connected(b.core, b.now);
        take_actions();
        break;
    case 1:
        vgi_core_lost(b.core, (enum vgi_lost)(u8(at, left) % VGI_LOST_COUNT), b.now);
        take_actions();
        break;
    case 2:
        pass(u8(at, left) << 8 | u8(at, left));
        break;
    case 3:
        vgi_core_notify(b.core, (enum vg_uplink_lane)(u8(at, left) % VG_UPLINK_LANES), b.now);
        take_actions();
        break;
    case 4:
        answer(at, left, false);
        break;
    case 5:
        answer(at, left, true);
        break;
    case 6: {
        enum vg_uplink_lane l = (enum vg_uplink_lane)(u8(at, left) % VG_UPLINK_LANES);
        size_t count = u8(at, left);
        hand(l, count, u8(at, left));
        break;
    }
    default:
        pass(8LL * 3600 * 1000);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_uplink_options options;
    const uint8_t *at = data;
    size_t left = size;
    uint8_t flags = u8(&at, &left);

    memset(&b, 0, sizeof(b));
    b.now = (struct vg_mono){1000 * VG_NS_PER_S};
    b.answered = VG_UPLINK_LANES;
    b.fit = 1 + (flags >> 4 & 7);
    vg_uplink_options_init(&options);
    options.batch_rows = BATCH;
    options.parked_sensors = 2;
    options.collector_count = 1 + (flags & 1u);
    options.rate = (flags & 2) != 0 ? 3 : 0;
    options.seed = 1;
    require(vgi_core_new(&options, pack, NULL, &b.core) == VG_OK);
    vgi_core_start(b.core, b.now);
    take_actions();
    while (left > 0) {
        step(&at, &left);
    }
    vgi_core_stop(b.core);
    take_actions();
    vgi_core_free(b.core);
    return 0;
}
