/* Rows to bodies: what fits, and which times are sent. */
#include "../../../edge/uplink/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define WALL_MS 1793194820000LL
#define BOOT_MS 500000LL

static struct vg_pack pack;
static char body_bytes[VGI_BODY_MAX];
static struct vg_batch batch;

static struct vgi_moment moment(bool synced)
{
    return (struct vgi_moment){
        .boot = {BOOT_MS * VG_NS_PER_MS}, .wall = {WALL_MS}, .synced = synced};
}

static struct vg_uplink_row row(int64_t taken_ms)
{
    struct vg_uplink_row r = {.booted = true, .taken = {taken_ms * VG_NS_PER_MS}};
    assert_true(vg_str_copy("42959", r.reading.sensor, sizeof r.reading.sensor));
    r.reading.has = VG_HAS_MOTION;
    return r;
}

/* What a collector reads whose own clock says `received_ms`. */
static size_t pack_and_decode_at(const struct vgi_moment *at, int64_t received_ms,
                                 const struct vg_uplink_row *rows, size_t count)
{
    struct vg_span body;
    size_t n = vgi_pack_rows(&pack, VG_FORMAT_SENML_CBOR, body_bytes, at, rows, count, &body);
    if (n > 0) {
        assert_true(body.len <= VGI_BODY_MAX);
        assert_int_equal(vg_batch_decode(VG_FORMAT_SENML_CBOR, body, (struct vg_wall){received_ms},
                                         &batch, NULL),
                         VG_OK);
        assert_int_equal(batch.count, n);
    }
    return n;
}

static size_t pack_and_decode(const struct vgi_moment *at, const struct vg_uplink_row *rows,
                              size_t count)
{
    return pack_and_decode_at(at, at->wall.ms, rows, count);
}

static void a_synchronised_clock_gives_wall_times(void **state)
{
    (void)state;
    struct vgi_moment at = moment(true);
    struct vg_uplink_row rows[] = {row(BOOT_MS - 2500), row(BOOT_MS)};
    rows[0].reading.time_ms = 1; /* the buffer's older idea does not count */
    assert_int_equal(pack_and_decode(&at, rows, 2), 2);
    assert_int_equal(batch.readings[0].time_ms, WALL_MS - 2500);
    assert_int_equal(batch.readings[0].quality, VG_QUALITY_SYNCED);
    assert_int_equal(batch.readings[1].time_ms, WALL_MS);
}

static void an_unsynchronised_clock_gives_ages(void **state)
{
    (void)state;
    struct vgi_moment at = moment(false);
    struct vg_uplink_row rows[] = {row(BOOT_MS - 2500), row(BOOT_MS + 10)};
    assert_int_equal(pack_and_decode(&at, rows, 2), 2);
    assert_int_equal(batch.readings[0].time_ms, WALL_MS - 2500);
    assert_int_equal(batch.readings[0].quality, VG_QUALITY_UNSYNCED);
    assert_int_equal(batch.readings[1].time_ms, WALL_MS); /* never in the future */
}

static void an_anchored_time_stands_in_while_the_clock_is_lost(void **state)
{
    (void)state;
    struct vgi_moment at = moment(false);
    struct vg_uplink_row r = row(BOOT_MS - 2500);
    r.reading.time_ms = WALL_MS - 2600;
    assert_int_equal(pack_and_decode(&at, &r, 1), 1);
    assert_int_equal(batch.readings[0].time_ms, WALL_MS - 2600);
    assert_int_equal(batch.readings[0].quality, VG_QUALITY_SYNCED);
}

static void a_row_of_another_boot_keeps_its_time_or_is_as_old_as_this_boot(void **state)
{
    (void)state;
    struct vgi_moment at = moment(true);
    struct vg_uplink_row known = row(0), unknown = row(0);
    known.booted = unknown.booted = false;
    known.reading.time_ms = WALL_MS - 86400000;
    assert_int_equal(pack_and_decode(&at, &known, 1), 1);
    assert_int_equal(batch.readings[0].time_ms, WALL_MS - 86400000);
    assert_int_equal(pack_and_decode(&at, &unknown, 1), 1);
    assert_int_equal(batch.readings[0].time_ms, WALL_MS - BOOT_MS);
    assert_int_equal(batch.readings[0].quality, VG_QUALITY_UNSYNCED);
}

static void a_clock_that_shows_what_the_wire_cannot_tell_is_not_believed(void **state)
{
    (void)state;
    static const int64_t walls[] = {-1, 0, 60000, VG_PACK_ABSOLUTE_MIN_MS - 1,
                                    VG_TIME_MS_MAX + 2501};
    for (size_t i = 0; i < sizeof walls / sizeof walls[0]; i++) {
        struct vgi_moment at = moment(true);
        at.wall.ms = walls[i];
        struct vg_uplink_row r = row(BOOT_MS - 2500);
        assert_int_equal(pack_and_decode_at(&at, WALL_MS, &r, 1), 1);
        assert_int_equal(batch.readings[0].time_ms, WALL_MS - 2500);
        assert_int_equal(batch.readings[0].quality, VG_QUALITY_UNSYNCED);
        r.reading.time_ms = WALL_MS - 2600; /* anchored while the clock was right */
        assert_int_equal(pack_and_decode_at(&at, WALL_MS, &r, 1), 1);
        assert_int_equal(batch.readings[0].time_ms, WALL_MS - 2600);
    }
    struct vgi_moment at = moment(true);
    at.wall.ms = VG_PACK_ABSOLUTE_MIN_MS; /* the first that the wire can tell */
    struct vg_uplink_row r = row(BOOT_MS);
    assert_int_equal(pack_and_decode_at(&at, WALL_MS, &r, 1), 1);
    assert_int_equal(batch.readings[0].time_ms, at.wall.ms);
}

static void a_row_anchored_to_a_wrong_clock_is_as_old_as_is_known(void **state)
{
    (void)state;
    struct vgi_moment right = moment(true), unsynced = moment(false);
    struct vg_uplink_row earlier = row(0), present = row(BOOT_MS - 2500);
    earlier.booted = false;
    earlier.reading.time_ms = present.reading.time_ms = 60000; /* a minute into 1970 */
    assert_int_equal(pack_and_decode(&right, &earlier, 1), 1);
    assert_int_equal(batch.readings[0].time_ms, WALL_MS - BOOT_MS);
    assert_int_equal(batch.readings[0].quality, VG_QUALITY_UNSYNCED);
    assert_int_equal(pack_and_decode(&unsynced, &present, 1), 1);
    assert_int_equal(batch.readings[0].time_ms, WALL_MS - 2500);
}

static void absolute_times_and_ages_do_not_share_a_body(void **state)
{
    (void)state;
    struct vgi_moment at = moment(true);
    struct vg_uplink_row rows[] = {row(BOOT_MS - 2), row(BOOT_MS - 1), row(0), row(BOOT_MS)};
    rows[2].booted = false;
    assert_int_equal(pack_and_decode(&at, rows, 4), 2);
    assert_int_equal(pack_and_decode(&at, rows + 2, 2), 1);
}

static void a_body_takes_what_fits_and_no_more(void **state)
{
    (void)state;
    struct vgi_moment at = moment(true);
    struct vg_uplink_row rows[VG_UPLINK_BATCH_MAX];
    for (size_t i = 0; i < VG_UPLINK_BATCH_MAX; i++) {
        rows[i] = row((int64_t)i);
        assert_true(
            vg_reading_add_text(&rows[i].reading, "note", "thirty bytes of text, or so it is"));
    }
    size_t n = pack_and_decode(&at, rows, VG_UPLINK_BATCH_MAX);
    assert_true(n > 5 && n < VG_UPLINK_BATCH_MAX);
}

static void a_row_that_the_wire_does_not_know_packs_nothing(void **state)
{
    (void)state;
    struct vgi_moment at = moment(true);
    struct vg_uplink_row rows[] = {row(1), row(2)};
    rows[0].reading.has = 0; /* says nothing at all */
    assert_int_equal(pack_and_decode(&at, rows, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_synchronised_clock_gives_wall_times),
        cmocka_unit_test(an_unsynchronised_clock_gives_ages),
        cmocka_unit_test(an_anchored_time_stands_in_while_the_clock_is_lost),
        cmocka_unit_test(a_row_of_another_boot_keeps_its_time_or_is_as_old_as_this_boot),
        cmocka_unit_test(a_clock_that_shows_what_the_wire_cannot_tell_is_not_believed),
        cmocka_unit_test(a_row_anchored_to_a_wrong_clock_is_as_old_as_is_known),
        cmocka_unit_test(absolute_times_and_ages_do_not_share_a_body),
        cmocka_unit_test(a_body_takes_what_fits_and_no_more),
        cmocka_unit_test(a_row_that_the_wire_does_not_know_packs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
