/* Building packs: what goes in comes out again, in at most so many bytes, always the same bytes. */
#include "vigia/random.h"
#include "vigia/senml.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW_MS  1793194820500LL
#define TIME_MS 1793194820123LL

static struct vg_batch batch;
static struct vg_pack pack;
static char body[VG_BODY_MAX];
static const enum vg_format formats[] = {VG_FORMAT_SENML_CBOR, VG_FORMAT_SENML_JSON};
static const struct vg_wall now = {NOW_MS};

static struct vg_reading smoke_at(const char *sensor, int64_t time_ms)
{
    struct vg_reading r = {.has = VG_HAS_SMOKE, .smoke = true, .time_ms = time_ms};
    assert_true(vg_str_copy(sensor, r.sensor, sizeof(r.sensor)));
    return r;
}

/* One reading through a pack of its own and back. */
static const struct vg_reading *there_and_back(const struct vg_reading *r, enum vg_format format,
                                               enum vg_pack_time time)
{
    struct vg_error err = {0};
    vg_pack_init(&pack, format, body, sizeof(body));
    if (vg_pack_add(&pack, r, time, &err) != VG_OK) {
        fail_msg("%s", err.text);
    }
    if (vg_batch_decode(format, vg_pack_finish(&pack), now, &batch, &err) != VG_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(batch.count, 1);
    return &batch.readings[0];
}

static void every_millisecond_of_a_second_survives(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        for (int64_t ms = 0; ms < 1000; ms++) {
            struct vg_reading r = smoke_at("a", 1793194820000LL + ms);
            assert_int_equal(there_and_back(&r, formats[f], VG_PACK_ABSOLUTE)->time_ms, r.time_ms);
            r.time_ms = VG_TIME_MS_MAX - ms;
            assert_int_equal(there_and_back(&r, formats[f], VG_PACK_ABSOLUTE)->time_ms, r.time_ms);
            r.time_ms = -ms;
            const struct vg_reading *back = there_and_back(&r, formats[f], VG_PACK_RELATIVE);
            assert_int_equal(back->time_ms, NOW_MS - ms);
            assert_int_equal(back->quality, VG_QUALITY_UNSYNCED);
        }
    }
}

static void a_pack_has_the_bytes_of_the_golden_one(void **state)
{
    (void)state;
    static const char json[] =
        "[{\"bn\":\"42959/"
        "\",\"bt\":1793194820.123,\"n\":\"motion\",\"vb\":false},{\"n\":\"smoke\",\"vb\":true},"
        "{\"n\":\"temperature\",\"u\":\"Cel\",\"v\":25.5},{\"n\":\"max_temperature\",\"u\":\"Cel\","
        "\"v\":30},"
        "{\"n\":\"battery\",\"v\":91},{\"bt\":1793194821,\"n\":\"ok\",\"vb\":true}]";
    static const char cbor[] = "86a421663432393539"
                               "2f22fb41dab87ed107df3b00666d6f74696f6e04f4a20065736d6f6b6504f5"
                               "a3006b74656d7065726174757265016343656c02f94e60a3006f6d61785f74656d7"
                               "065726174757265016343656c02181e"
                               "a200676261747465727902185ba3221a6ae1fb4500626f6b04f5";
    struct vg_reading r = smoke_at("42959", TIME_MS);
    r.has = VG_HAS_QUANTITIES;
    r.temperature = 25.5;
    r.max_temperature = 30;
    assert_true(vg_reading_add_number(&r, "battery", 91));
    struct vg_reading ok = smoke_at("42959", 1793194821000LL);
    ok.has = VG_HAS_OK;
    for (size_t f = 0; f < 2; f++) {
        struct vg_error err;
        vg_pack_init(&pack, formats[f], body, sizeof(body));
        assert_int_equal(vg_pack_add(&pack, &r, VG_PACK_ABSOLUTE, &err), VG_OK);
        assert_int_equal(vg_pack_add(&pack, &ok, VG_PACK_ABSOLUTE, &err), VG_OK);
        struct vg_span made = vg_pack_finish(&pack);
        if (formats[f] == VG_FORMAT_SENML_JSON) {
            assert_int_equal(made.len, sizeof(json) - 1);
            assert_memory_equal(made.at, json, made.len);
        } else {
            char hex[2 * VG_BODY_MAX + 1];
            vg_hex(made.at, made.len, hex);
            assert_string_equal(hex, cbor);
        }
    }
}

static void an_empty_pack_is_empty(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        vg_pack_init(&pack, formats[f], body, sizeof(body));
        assert_int_equal(vg_pack_finish(&pack).len, 0);
    }
}

static void a_full_pack_keeps_what_it_has(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        size_t counts[2];
        for (size_t limit = 60; limit <= VG_BODY_MAX; limit += 7) {
            size_t added = 0;
            enum vg_err result = VG_OK;
            vg_pack_init(&pack, formats[f], body, limit);
            while (result == VG_OK) {
                char sensor[16];
                snprintf(sensor, sizeof(sensor), "s%zu", added);
                struct vg_reading r = smoke_at(sensor, TIME_MS + (int64_t)added);
                result = vg_pack_add(&pack, &r, VG_PACK_ABSOLUTE, NULL);
                added += result == VG_OK;
            }
            assert_int_equal(result, VG_E_FULL);
            struct vg_span made = vg_pack_finish(&pack);
            assert_true(made.len <= limit);
            assert_int_equal(vg_batch_decode(formats[f], made, now, &batch, NULL), VG_OK);
            assert_int_equal(batch.count, added);
            counts[limit > 60] = added;
        }
        assert_true(counts[0] >= 1 && counts[1] > 10);
    }
}

static void a_reading_larger_than_the_pack_is_refused(void **state)
{
    (void)state;
    struct vg_reading r = smoke_at("a-sensor-with-a-long-name", TIME_MS);
    struct vg_error err;
    for (size_t f = 0; f < 2; f++) {
        vg_pack_init(&pack, formats[f], body, 20);
        assert_int_equal(vg_pack_add(&pack, &r, VG_PACK_ABSOLUTE, &err), VG_E_RANGE);
        assert_string_equal(err.text, "reading of a-sensor-with-a-long-name: larger than 20 bytes");
    }
}

static void the_largest_reading_fits_a_body(void **state)
{
    (void)state;
    struct vg_reading r = smoke_at("s", TIME_MS);
    memset(r.sensor, 's', VG_SENSOR_ID_MAX);
    r.has = VG_HAS_QUANTITIES;
    r.quality = VG_QUALITY_WARMING_UP;
    r.temperature = r.max_temperature = 1.0 / 3;
    for (size_t i = 0; i < VG_EXTRAS_MAX; i++) {
        char name[VG_EXTRA_NAME_MAX + 1] = {0};
        char text[VG_EXTRA_TEXT_MAX + 1] = {0};
        memset(name, 'a' + (int)i, VG_EXTRA_NAME_MAX);
        memset(text, 't', VG_EXTRA_TEXT_MAX);
        assert_true(vg_reading_add_text(&r, name, text));
    }
    for (size_t f = 0; f < 2; f++) {
        const struct vg_reading *back = there_and_back(&r, formats[f], VG_PACK_ABSOLUTE);
        struct vg_reading expected = r;
        expected.received_ms = NOW_MS;
        assert_true(vg_reading_equal(&expected, back));
    }
}

static void a_reading_that_would_merge_waits_for_the_next_pack(void **state)
{
    (void)state;
    struct vg_reading a = smoke_at("a", TIME_MS);
    struct vg_reading b = smoke_at("b", TIME_MS);
    vg_pack_init(&pack, VG_FORMAT_SENML_CBOR, body, sizeof(body));
    assert_int_equal(vg_pack_add(&pack, &a, VG_PACK_ABSOLUTE, NULL), VG_OK);
    assert_int_equal(vg_pack_add(&pack, &b, VG_PACK_ABSOLUTE, NULL), VG_OK);
    assert_int_equal(vg_pack_add(&pack, &a, VG_PACK_ABSOLUTE, NULL), VG_E_FULL);
    a.time_ms++;
    assert_int_equal(vg_pack_add(&pack, &a, VG_PACK_ABSOLUTE, NULL), VG_OK);
    assert_int_equal(
        vg_batch_decode(VG_FORMAT_SENML_CBOR, vg_pack_finish(&pack), now, &batch, NULL), VG_OK);
    assert_int_equal(batch.count, 3);
}

static void a_pack_holds_no_more_readings_than_a_collector_takes(void **state)
{
    (void)state;
    static char large[65536];
    for (size_t f = 0; f < 2; f++) {
        size_t added = 0;
        vg_pack_init(&pack, formats[f], large, sizeof(large));
        struct vg_reading r = smoke_at("a", TIME_MS);
        while (vg_pack_add(&pack, &r, VG_PACK_ABSOLUTE, NULL) == VG_OK) {
            r.time_ms++;
            added++;
        }
        assert_int_equal(added, VG_BATCH_READINGS_MAX);
        assert_int_equal(vg_batch_decode(formats[f], vg_pack_finish(&pack), now, &batch, NULL),
                         VG_OK);
    }
    /* Four records each: 255 of them are the bound before 128 readings are. */
    struct vg_reading r = smoke_at("a", TIME_MS);
    r.has = VG_HAS_QUANTITIES;
    size_t added = 0;
    vg_pack_init(&pack, VG_FORMAT_SENML_CBOR, large, sizeof(large));
    while (vg_pack_add(&pack, &r, VG_PACK_ABSOLUTE, NULL) == VG_OK) {
        r.time_ms++;
        added++;
    }
    assert_int_equal(added, 63);
    assert_int_equal(
        vg_batch_decode(VG_FORMAT_SENML_CBOR, vg_pack_finish(&pack), now, &batch, NULL), VG_OK);
    assert_int_equal(batch.count, 63);
}

static void assert_refused(const struct vg_reading *r, enum vg_err code, const char *reason)
{
    struct vg_error err = {0};
    vg_pack_init(&pack, VG_FORMAT_SENML_CBOR, body, sizeof(body));
    assert_int_equal(vg_pack_add(&pack, r, VG_PACK_ABSOLUTE, &err), code);
    assert_non_null(strstr(err.text, reason));
    assert_int_equal(vg_pack_finish(&pack).len, 0);
}

static void what_a_collector_refuses_does_not_enter_a_pack(void **state)
{
    (void)state;
    struct vg_reading r = smoke_at("_a", TIME_MS);
    assert_refused(&r, VG_E_INVALID, "(name)");
    r = smoke_at("a", TIME_MS);
    r.has = 0;
    assert_refused(&r, VG_E_INVALID, "(no-value)");
    r.has = VG_HAS_OK | VG_HAS_SMOKE;
    assert_refused(&r, VG_E_INVALID, "(ok-alone)");
    r.has = VG_HAS_SMOKE;
    r.event = VG_EVENT_ALIVE;
    assert_refused(&r, VG_E_INVALID, "(event-alone)");
    r = smoke_at("a", TIME_MS);
    r.has = VG_HAS_TEMPERATURE;
    r.temperature = NAN;
    assert_refused(&r, VG_E_INVALID, "(value-range)");
    r = smoke_at("a", TIME_MS);
    assert_true(vg_reading_add_text(&r, "t", "\xff"));
    assert_refused(&r, VG_E_INVALID, "(utf8)");
    static const struct {
        const char *name;
        const char *reason;
    } names[] = {{"a b", "(name)"},    {"a/b", "(name)"}, {"a{b", "(name)"},
                 {"a[b", "(name)"},    {"", "(name)"},    {"smoke", "(reserved)"},
                 {"seq", "(reserved)"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        r = smoke_at("a", TIME_MS);
        assert_true(vg_reading_add_bool(&r, names[i].name, true));
        assert_refused(&r, VG_E_INVALID, names[i].reason);
    }
    r = smoke_at("a", TIME_MS);
    assert_true(vg_reading_add_number(&r, "n", 1) && vg_reading_add_number(&r, "n", 2));
    assert_refused(&r, VG_E_INVALID, "(twice)");
}

static void times_that_would_change_their_meaning_are_refused(void **state)
{
    (void)state;
    struct vg_reading r = smoke_at("a", 268435456LL * 1000 - 1);
    assert_refused(&r, VG_E_RANGE, "cannot be sent");
    r.time_ms = VG_TIME_MS_MAX + 1;
    assert_refused(&r, VG_E_RANGE, "cannot be sent");
    vg_pack_init(&pack, VG_FORMAT_SENML_CBOR, body, sizeof(body));
    r.time_ms = 1;
    assert_int_equal(vg_pack_add(&pack, &r, VG_PACK_RELATIVE, NULL), VG_E_RANGE);
    r.time_ms = -VG_TIME_MS_MAX - 1;
    assert_int_equal(vg_pack_add(&pack, &r, VG_PACK_RELATIVE, NULL), VG_E_RANGE);
    r.time_ms = 0;
    assert_int_equal(vg_pack_add(&pack, &r, VG_PACK_RELATIVE, NULL), VG_OK);
}

static void unsynced_is_said_once(void **state)
{
    (void)state;
    struct vg_reading r = smoke_at("a", TIME_MS);
    r.quality = VG_QUALITY_UNSYNCED;
    assert_int_equal(there_and_back(&r, VG_FORMAT_SENML_CBOR, VG_PACK_ABSOLUTE)->quality,
                     VG_QUALITY_UNSYNCED);
    assert_int_equal(pack.records, 2);
    r.time_ms = -5;
    assert_int_equal(there_and_back(&r, VG_FORMAT_SENML_CBOR, VG_PACK_RELATIVE)->quality,
                     VG_QUALITY_UNSYNCED);
    assert_int_equal(pack.records, 1);
}

static double random_number(struct vg_rng *rng)
{
    double sign = vg_rng_below(rng, 2) == 0 ? 1 : -1;
    switch (vg_rng_below(rng, 6)) {
    case 0:
        return sign * (double)vg_rng_below(rng, 1000);
    case 1:
        return sign * (double)vg_rng_below(rng, 100000) / 100;
    case 2:
        return sign * vg_rng_unit(rng);
    case 3:
        return sign *
               ldexp(1.0 + (double)vg_rng_below(rng, 1024) / 1024, (int)vg_rng_below(rng, 40) - 24);
    case 4:
        return sign * ldexp(vg_rng_unit(rng), (int)vg_rng_below(rng, 2000) - 1000);
    default:
        return sign * (double)vg_rng_next(rng);
    }
}

static void random_text(struct vg_rng *rng, char *out, size_t max)
{
    static const char *const pieces[] = {"a",    "Z", " ", "\"", "\\", "\n",
                                         "\x01", "é", "€", "😀",  "/"};
    size_t len = 0;
    for (uint64_t left = vg_rng_below(rng, max + 1); left > 0; left--) {
        const char *piece = pieces[vg_rng_below(rng, sizeof(pieces) / sizeof(pieces[0]))];
        if (len + strlen(piece) > max) {
            break;
        }
        memcpy(out + len, piece, strlen(piece));
        len += strlen(piece);
    }
    out[len] = '\0';
}

static void random_extras(struct vg_rng *rng, struct vg_reading *r)
{
    for (uint64_t left = vg_rng_below(rng, VG_EXTRAS_MAX + 1); left > 0; left--) {
        char name[24];
        char text[VG_EXTRA_TEXT_MAX + 1];
        snprintf(name, sizeof(name), "x%llu", (unsigned long long)left);
        random_text(rng, text, VG_EXTRA_TEXT_MAX);
        switch (vg_rng_below(rng, 3)) {
        case 0:
            assert_true(vg_reading_add_number(r, name, random_number(rng)));
            break;
        case 1:
            assert_true(vg_reading_add_bool(r, name, vg_rng_below(rng, 2) == 0));
            break;
        default:
            assert_true(vg_reading_add_text(r, name, text));
            break;
        }
    }
}

static void random_reading(struct vg_rng *rng, struct vg_reading *r)
{
    memset(r, 0, sizeof(*r));
    snprintf(r->sensor, sizeof(r->sensor), "s%llu", (unsigned long long)vg_rng_below(rng, 5));
    r->time_ms = TIME_MS + (int64_t)vg_rng_below(rng, 4000);
    r->received_ms = NOW_MS;
    uint64_t kind = vg_rng_below(rng, 10);
    if (kind == 0) {
        r->has = VG_HAS_OK;
        return;
    }
    if (kind == 1) {
        r->event = (uint8_t)(1 + vg_rng_below(rng, VG_EVENT_COUNT - 1));
        if (r->event != VG_EVENT_ALIVE) {
            random_text(rng, r->event_text, VG_EVENT_TEXT_MAX);
        }
        random_extras(rng, r);
        return;
    }
    r->has = (uint32_t)(1 + vg_rng_below(rng, VG_HAS_QUANTITIES));
    r->motion = vg_rng_below(rng, 2) == 0;
    r->smoke = vg_rng_below(rng, 2) == 0;
    r->temperature = random_number(rng);
    r->max_temperature = random_number(rng);
    r->quality = (uint8_t)vg_rng_below(rng, VG_QUALITY_COUNT);
    random_extras(rng, r);
}

static void random_packs_come_back_whole(void **state)
{
    (void)state;
    static struct vg_reading sent[VG_BATCH_READINGS_MAX];
    const char *given = getenv("VIGIA_SEED");
    unsigned long long seed = 20261121;
    assert_true(given == NULL || vg_span_to_u64(vg_span_str(given), &seed));
    print_message("seed %llu (VIGIA_SEED)\n", seed);
    struct vg_rng rng;
    vg_rng_seed(&rng, seed);
    for (int round = 0; round < 2000; round++) {
        enum vg_format format = formats[round % 2];
        struct vg_error err = {0};
        size_t count = 0;
        enum vg_err result = VG_OK;
        vg_pack_init(&pack, format, body, sizeof(body));
        while (result == VG_OK) {
            random_reading(&rng, &sent[count]);
            result = vg_pack_add(&pack, &sent[count], VG_PACK_ABSOLUTE, &err);
            count += result == VG_OK;
        }
        /* A JSON reading full of escapes may be larger than a body by itself. */
        if (result == VG_E_RANGE && count == 0) {
            continue;
        }
        assert_int_equal(result, VG_E_FULL);
        if (vg_batch_decode(format, vg_pack_finish(&pack), now, &batch, &err) != VG_OK) {
            fail_msg("round %d: %s", round, err.text);
        }
        assert_int_equal(batch.count, count);
        for (size_t i = 0; i < count; i++) {
            assert_true(vg_reading_equal(&sent[i], &batch.readings[i]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_millisecond_of_a_second_survives),
        cmocka_unit_test(a_pack_has_the_bytes_of_the_golden_one),
        cmocka_unit_test(an_empty_pack_is_empty),
        cmocka_unit_test(a_full_pack_keeps_what_it_has),
        cmocka_unit_test(a_reading_larger_than_the_pack_is_refused),
        cmocka_unit_test(the_largest_reading_fits_a_body),
        cmocka_unit_test(a_reading_that_would_merge_waits_for_the_next_pack),
        cmocka_unit_test(a_pack_holds_no_more_readings_than_a_collector_takes),
        cmocka_unit_test(what_a_collector_refuses_does_not_enter_a_pack),
        cmocka_unit_test(times_that_would_change_their_meaning_are_refused),
        cmocka_unit_test(unsynced_is_said_once),
        cmocka_unit_test(random_packs_come_back_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
