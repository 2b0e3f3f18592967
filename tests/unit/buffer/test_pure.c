/* The parts of the buffer that touch no file: the ring, the packed row, wall time from anchors. */
#include "../../../edge/buffer/resolve.h"
#include "../../../edge/buffer/ring.h"
#include "../../../edge/buffer/row.h"

#include "vigia/random.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* ---- ring ---- */

static uint64_t memory[32]; /* 256 bytes */

static void a_ring_gives_back_what_was_pushed_in_order(void **state)
{
    (void)state;
    struct vgi_ring r;
    vgi_ring_init(&r, memory, sizeof memory);
    uint64_t next_in = 1, next_out = 1;
    struct vg_rng rng;
    vg_rng_seed(&rng, 7);
    for (int turn = 0; turn < 2000; turn++) {
        char row[40];
        size_t len = 1 + (size_t)vg_rng_below(&rng, sizeof row);
        memset(row, (int)(next_in & 0xff), sizeof row);
        if (vgi_ring_push(&r, next_in, (int64_t)len, row, len)) {
            next_in++;
        } else {
            uint64_t pos = r.head;
            struct vgi_record *record = vgi_ring_next(&r, r.tail, &pos);
            assert_non_null(record);
            assert_int_equal(record->seq, next_out);
            struct vg_span got = vgi_record_row(record);
            assert_int_equal(got.len, record->taken_ns);
            for (size_t i = 0; i < got.len; i++) {
                assert_int_equal((uint8_t)got.at[i], next_out & 0xff);
            }
            next_out++;
            vgi_ring_pop(&r, pos);
        }
        assert_true(vgi_ring_used(&r) <= sizeof memory);
    }
    assert_true(next_out > 500);
    uint64_t pos = r.head;
    while (vgi_ring_next(&r, r.tail, &pos) != NULL) {
        next_out++;
    }
    assert_int_equal(next_in, next_out);
}

static void a_full_ring_refuses_and_stays_as_it_was(void **state)
{
    (void)state;
    struct vgi_ring r;
    vgi_ring_init(&r, memory, sizeof memory);
    char row[232] = {0};
    assert_false(vgi_ring_push(&r, 1, 0, row, sizeof row + 1));
    assert_true(vgi_ring_push(&r, 1, 0, row, sizeof row)); /* exactly full */
    assert_int_equal(vgi_ring_used(&r), sizeof memory);
    assert_false(vgi_ring_push(&r, 2, 0, row, 1));
    uint64_t pos = r.head;
    assert_int_equal(vgi_ring_next(&r, r.tail, &pos)->seq, 1);
    assert_null(vgi_ring_next(&r, r.tail, &pos));
}

/* ---- row ---- */

static struct vg_reading full_reading(void)
{
    struct vg_reading r = {.sensor = "kitchen-1", .quality = VG_QUALITY_STALE};
    r.has = VG_HAS_QUANTITIES;
    r.motion = true;
    r.smoke = true;
    r.temperature = -12.25;
    r.max_temperature = 45;
    assert_true(vg_reading_add_number(&r, "battery", 91.5));
    assert_true(vg_reading_add_bool(&r, "tamper", true));
    assert_true(vg_reading_add_bool(&r, "lid", false));
    assert_true(vg_reading_add_text(&r, "firmware", "1.2.3"));
    return r;
}

static void expect_round_trip(const struct vg_reading *r)
{
    uint8_t row[VGI_ROW_MAX];
    struct vg_reading back;
    size_t len = vgi_row_encode(r, row);
    assert_true(len <= sizeof row);
    assert_true(vgi_row_decode(vg_span(row, len), &back));
    assert_true(vg_reading_equal(r, &back));
    assert_string_equal(r->event_text, back.event_text);
}

static void a_row_reads_back_as_the_reading_it_was_made_from(void **state)
{
    (void)state;
    struct vg_reading r = full_reading();
    expect_round_trip(&r);
    struct vg_reading ok = {.sensor = "s", .has = VG_HAS_OK};
    expect_round_trip(&ok);
    struct vg_reading gap = {.sensor = "pi-1", .event = VG_EVENT_GAP, .event_text = "full lane=r"};
    expect_round_trip(&gap);
    struct vg_reading fault = {.sensor = "s", .quality = VG_QUALITY_FAULT};
    expect_round_trip(&fault);
    struct vg_reading biggest = {.event = VG_EVENT_STORAGE, .has = VG_HAS_QUANTITIES};
    memset(biggest.sensor, 'a', VG_SENSOR_ID_MAX);
    memset(biggest.event_text, 'b', VG_EVENT_TEXT_MAX);
    for (size_t i = 0; i < VG_EXTRAS_MAX; i++) {
        struct vg_extra *x = &biggest.extras[biggest.extra_count++];
        memset(x->name, 'c', VG_EXTRA_NAME_MAX);
        x->type = VG_EXTRA_TEXT;
        memset(x->text, 'd', VG_EXTRA_TEXT_MAX);
    }
    uint8_t row[VGI_ROW_MAX];
    assert_int_equal(vgi_row_encode(&biggest, row), VGI_ROW_MAX);
    expect_round_trip(&biggest);
}

static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
    (void)state;
    struct vg_reading r = full_reading(), back;
    uint8_t row[VGI_ROW_MAX];
    size_t len = vgi_row_encode(&r, row);
    for (size_t bit = 0; bit < len * 8; bit++) {
        row[bit / 8] = (uint8_t)(row[bit / 8] ^ 1u << bit % 8);
        assert_false(vgi_row_decode(vg_span(row, len), &back));
        row[bit / 8] = (uint8_t)(row[bit / 8] ^ 1u << bit % 8);
    }
    for (size_t cut = 0; cut < len; cut++) {
        assert_false(vgi_row_decode(vg_span(row, cut), &back));
    }
    assert_true(vgi_row_decode(vg_span(row, len), &back));
}

/* Recomputes the checksum of a row whose bytes were changed. */
static bool decodes_with_sum(uint8_t *row, size_t body)
{
    struct vg_reading back;
    uint32_t crc = vgi_crc32(row, body);
    for (size_t i = 0; i < 4; i++) {
        row[body + i] = (uint8_t)(crc >> 8 * i);
    }
    return vgi_row_decode(vg_span(row, body + 4), &back);
}

static void a_row_that_makes_no_sense_is_refused_whatever_its_checksum(void **state)
{
    (void)state;
    struct vg_reading r = full_reading();
    uint8_t good[VGI_ROW_MAX + 8], row[VGI_ROW_MAX + 8];
    size_t body = vgi_row_encode(&r, good) - 4;
    memcpy(row, good, sizeof row);
    assert_true(decodes_with_sum(row, body));
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {
        {0, 2},   /* version */
        {1, 99},  /* quality */
        {2, 99},  /* event */
        {5, 9},   /* extras */
        {6, 200}, /* length of the id: above its bound */
        {6, 63},  /* … and above what is left of a cut row */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        memcpy(row, good, sizeof row);
        row[wrong[i].at] = wrong[i].value;
        assert_false(decodes_with_sum(row, wrong[i].value == 63 ? 20 : body));
    }
    for (size_t cut = 0; cut < body; cut++) {
        memcpy(row, good, sizeof row);
        assert_false(decodes_with_sum(row, cut));
    }
    memcpy(row, good, sizeof row);
    assert_false(decodes_with_sum(row, body + 1)); /* a byte too many */
    memcpy(row, good, sizeof row);
    size_t first_extra = 7 + strlen(r.sensor) + 16;
    row[first_extra] = 7; /* a kind of extra nobody knows */
    assert_false(decodes_with_sum(row, body));
    uint8_t huge[VGI_ROW_MAX + 1] = {0};
    struct vg_reading back;
    assert_false(vgi_row_decode(vg_span(huge, sizeof huge), &back));
}

static void the_checksum_is_the_common_one(void **state)
{
    (void)state;
    assert_int_equal(vgi_crc32("123456789", 9), 0xcbf43926);
    assert_int_equal(vgi_crc32("", 0), 0);
}

/* ---- time ---- */

#define S 1000000000LL

static void a_row_between_two_anchors_is_interpolated(void **state)
{
    (void)state;
    struct vgi_anchor a = {10 * S, 1000000},
                      b = {1010 * S, 2000100}; /* 100 ms of drift in 1000 s */
    int64_t ms = 0;
    assert_true(vgi_buffer_resolve(510 * S, &a, &b, &ms));
    assert_int_equal(ms, 1500050);
    assert_true(vgi_buffer_resolve(10 * S, &a, &b, &ms));
    assert_int_equal(ms, 1000000);
    struct vgi_anchor c = {10 * S + 1, 1000000};
    assert_true(vgi_buffer_resolve(10 * S, &a, &c, &ms));
    assert_int_equal(ms, 1000000);
}

static void anchors_across_a_step_give_the_later_one(void **state)
{
    (void)state;
    struct vgi_anchor a = {10 * S, 1000000}, b = {1010 * S, 9000000};
    int64_t ms = 0;
    assert_true(vgi_buffer_resolve(510 * S, &a, &b, &ms));
    assert_int_equal(ms, 8500000);
    b.wall_ms = 5;
    assert_true(vgi_buffer_resolve(510 * S, &a, &b, &ms));
    assert_int_equal(ms, 5 - 500000);
}

static void one_anchor_reaches_as_far_as_its_error_allows(void **state)
{
    (void)state;
    struct vgi_anchor a = {1000000 * S, 5000000000};
    int64_t ms = 7;
    assert_true(vgi_buffer_resolve(1000010 * S, &a, NULL, &ms));
    assert_int_equal(ms, 5000010000);
    assert_true(vgi_buffer_resolve(999990 * S, NULL, &a, &ms));
    assert_int_equal(ms, 4999990000);
    int64_t reach_ns = VGI_RESOLVE_REACH_MS * 1000000LL;
    assert_true(vgi_buffer_resolve(a.at_ns + reach_ns, &a, NULL, &ms));
    ms = 7;
    assert_false(vgi_buffer_resolve(a.at_ns + reach_ns + 1000000, &a, NULL, &ms));
    assert_false(vgi_buffer_resolve(a.at_ns - reach_ns - 1000000, NULL, &a, &ms));
    assert_false(vgi_buffer_resolve(5, NULL, NULL, &ms));
    assert_int_equal(ms, 7);
}

static void a_step_beyond_reach_leaves_the_time_unknown(void **state)
{
    (void)state;
    struct vgi_anchor a = {0, 0}, b = {VGI_RESOLVE_REACH_MS * 2000000LL, 5};
    int64_t ms = 7;
    assert_false(vgi_buffer_resolve(1 * S, &a, &b, &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_gives_back_what_was_pushed_in_order),
        cmocka_unit_test(a_full_ring_refuses_and_stays_as_it_was),
        cmocka_unit_test(a_row_reads_back_as_the_reading_it_was_made_from),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
        cmocka_unit_test(a_row_that_makes_no_sense_is_refused_whatever_its_checksum),
        cmocka_unit_test(the_checksum_is_the_common_one),
        cmocka_unit_test(a_row_between_two_anchors_is_interpolated),
        cmocka_unit_test(anchors_across_a_step_give_the_later_one),
        cmocka_unit_test(one_anchor_reaches_as_far_as_its_error_allows),
        cmocka_unit_test(a_step_beyond_reach_leaves_the_time_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
