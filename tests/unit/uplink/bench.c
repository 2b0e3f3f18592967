#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static size_t fake_pack(void *arg, enum vg_uplink_lane lane, enum vg_format format,
                        const struct vg_uplink_row *rows, size_t count)
{
    struct bench *b = arg;
    (void)lane;
    (void)format;
    size_t n = 0;
    while (n < count && n < b->fit && strcmp(rows[n].reading.sensor, b->unpackable) != 0) {
        n++;
    }
    return n;
}

void bench_init(struct bench *b, size_t collectors)
{
    memset(b, 0, sizeof *b);
    vg_uplink_options_init(&b->options);
    b->options.batch_rows = BENCH_BATCH;
    b->options.parked_sensors = 4;
    b->options.collector_count = collectors;
    b->options.seed = 42;
    b->fit = BENCH_BATCH;
    b->now.ns = 1000 * VG_NS_PER_S;
}

void bench_start(struct bench *b)
{
    assert_int_equal(vgi_core_new(&b->options, fake_pack, b, &b->core), VG_OK);
    vgi_core_start(b->core, b->now);
    collect(b);
}

void bench_up(struct bench *b, size_t collectors)
{
    bench_init(b, collectors);
    bench_start(b);
    connected(b);
    for (int l = 0; l < VG_UPLINK_LANES; l++) {
        hand(b, (enum vg_uplink_lane)l, NULL, 0);
    }
    forget(b);
}

void bench_done(struct bench *b)
{
    vgi_core_free(b->core);
}

void forget(struct bench *b)
{
    b->note_count = 0;
}

void collect(struct bench *b)
{
    struct vgi_action a;
    while (vgi_core_next(b->core, &a)) {
        assert_true(b->note_count < sizeof b->notes / sizeof b->notes[0]);
        struct note *n = &b->notes[b->note_count++];
        n->action = a;
        if (a.type == VGI_ACT_FETCH) {
            assert_false(b->asked[a.lane]);
            b->asked[a.lane] = true;
        } else if (a.type == VGI_ACT_SEND) {
            b->request[a.lane] = a.request;
        } else if (a.type == VGI_ACT_SETTLE) {
            assert_true(a.count <= BENCH_BATCH);
            memcpy(n->outcomes, a.outcomes, a.count * sizeof a.outcomes[0]);
        }
    }
}

size_t count_of(const struct bench *b, enum vgi_action_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < b->note_count; i++) {
        n += b->notes[i].action.type == type;
    }
    return n;
}

static const struct note *last_in_lane(const struct bench *b, enum vgi_action_type type, int lane)
{
    for (size_t i = b->note_count; i-- > 0;) {
        const struct vgi_action *a = &b->notes[i].action;
        if (a->type == type && (lane < 0 || (int)a->lane == lane)) {
            return &b->notes[i];
        }
    }
    fail_msg("no action of type %d in lane %d", (int)type, lane);
    return NULL;
}

const struct note *last_of(const struct bench *b, enum vgi_action_type type)
{
    return last_in_lane(b, type, -1);
}

const struct vgi_action *last_told(const struct bench *b, enum vg_uplink_event event)
{
    for (size_t i = b->note_count; i-- > 0;) {
        const struct vgi_action *a = &b->notes[i].action;
        if (a->type == VGI_ACT_TELL && a->event == event) {
            return a;
        }
    }
    fail_msg("event %d was not told", (int)event);
    return NULL;
}

void connected(struct bench *b)
{
    vgi_core_connected(b->core, b->now);
    collect(b);
}

void lose(struct bench *b, enum vgi_lost why)
{
    vgi_core_lost(b->core, why, b->now);
    collect(b);
}

void pass_ms(struct bench *b, int64_t ms)
{
    b->now = vg_mono_add_ms(b->now, ms);
    vgi_core_timer(b->core, b->now);
    collect(b);
}

struct vg_uplink_row row_of(const char *sensor, uint64_t store, uint64_t seq)
{
    struct vg_uplink_row row = {.reading = {.store = store, .seq = seq}};
    assert_true(vg_str_copy(sensor, row.reading.sensor, sizeof row.reading.sensor));
    return row;
}

void hand(struct bench *b, enum vg_uplink_lane lane, const struct vg_uplink_row *rows, size_t count)
{
    assert_true(b->asked[lane]);
    b->asked[lane] = false;
    vgi_core_rows(b->core, lane, rows, count, b->now);
    collect(b);
}

void give_rows(struct bench *b, enum vg_uplink_lane lane, const struct vg_uplink_row *rows,
               size_t count)
{
    if (!b->asked[lane]) {
        vgi_core_notify(b->core, lane, b->now);
        collect(b);
    }
    hand(b, lane, rows, count);
}

void give(struct bench *b, enum vg_uplink_lane lane, uint64_t store, uint64_t seq, size_t count)
{
    struct vg_uplink_row rows[BENCH_BATCH];
    assert_true(count <= BENCH_BATCH);
    for (size_t i = 0; i < count; i++) {
        rows[i] = row_of("s1", store, seq + i);
    }
    give_rows(b, lane, rows, count);
}

void answer_with(struct bench *b, enum vg_uplink_lane lane, unsigned code, int64_t max_age_s,
                 struct vg_span payload)
{
    vgi_core_answer(b->core, lane, b->request[lane], code, max_age_s, payload, b->now);
    collect(b);
}

void answer(struct bench *b, enum vg_uplink_lane lane, unsigned code)
{
    answer_with(b, lane, code, -1, (struct vg_span){0});
}

void refuse(struct bench *b, enum vg_uplink_lane lane, unsigned code, const struct vg_refusal *list,
            size_t count)
{
    char payload[VG_REFUSALS_BYTES_MAX];
    size_t len;
    assert_int_equal(vg_refusals_encode(list, count, payload, sizeof payload, &len), VG_OK);
    answer_with(b, lane, code, -1, vg_span(payload, len));
}

void expect_sent(const struct bench *b, enum vg_uplink_lane lane, uint64_t store, uint64_t seq,
                 size_t count)
{
    const struct vgi_action *a = &last_in_lane(b, VGI_ACT_SEND, (int)lane)->action;
    assert_true(a->store == store);
    assert_int_equal(a->seq, seq);
    assert_int_equal(a->count, count);
}

const struct vg_uplink_outcome *settled(const struct bench *b, enum vg_uplink_lane lane, size_t i,
                                        size_t of)
{
    const struct note *n = last_in_lane(b, VGI_ACT_SETTLE, (int)lane);
    assert_int_equal(n->action.count, of);
    assert_true(i < of);
    return &n->outcomes[i];
}

int64_t deadline_in_ms(const struct bench *b)
{
    struct vg_mono at;
    assert_true(vgi_core_deadline(b->core, &at));
    return vg_mono_diff_ms(at, b->now);
}
