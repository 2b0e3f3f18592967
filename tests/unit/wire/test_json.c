/* The JSON reader's answers to wrong types and ranges, and the writer. The grammar itself is in
 * tests/vectors/wire. */
#include "vigia/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct vg_json reader(const char *text)
{
    struct vg_json j;
    vg_json_init(&j, vg_span_str(text), 8);
    return j;
}

static void integers_are_read_to_their_limits(void **state)
{
    (void)state;
    int64_t i;
    uint64_t u;
    struct vg_json j =
        reader("[-9223372036854775808,9223372036854775807,0,-0,18446744073709551615,0]");
    assert_true(vg_json_array(&j));
    assert_true(vg_json_element(&j) && vg_json_i64(&j, &i) && i == INT64_MIN);
    assert_true(vg_json_element(&j) && vg_json_i64(&j, &i) && i == INT64_MAX);
    assert_true(vg_json_element(&j) && vg_json_i64(&j, &i) && i == 0);
    assert_true(vg_json_element(&j) && vg_json_i64(&j, &i) && i == 0);
    assert_true(vg_json_element(&j) && vg_json_u64(&j, &u) && u == UINT64_MAX);
    assert_true(vg_json_element(&j) && vg_json_u64(&j, &u) && u == 0);
    assert_false(vg_json_element(&j));
    assert_true(vg_json_done(&j));
}

static void integers_beyond_their_limits_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_signed;
        enum vg_json_error error;
    } cases[] = {
        {" 9223372036854775808", true, VG_JSON_RANGE},
        {" -9223372036854775809", true, VG_JSON_RANGE},
        {" 99999999999999999999", true, VG_JSON_RANGE},
        {" 1.0", true, VG_JSON_TYPE},
        {" 1e2", true, VG_JSON_TYPE},
        {" \"1\"", true, VG_JSON_TYPE},
        {" ", true, VG_JSON_SYNTAX},
        {" 18446744073709551616", false, VG_JSON_RANGE},
        {" 184467440737095516150", false, VG_JSON_RANGE},
        {" -1", false, VG_JSON_RANGE},
        {" 1.5", false, VG_JSON_TYPE},
        {" true", false, VG_JSON_TYPE},
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        int64_t i = 7;
        uint64_t u = 7;
        struct vg_json j = reader(cases[k].text);
        assert_false(cases[k].is_signed ? vg_json_i64(&j, &i) : vg_json_u64(&j, &u));
        assert_int_equal(j.error, cases[k].error);
        assert_int_equal(j.offset, 1);
        assert_true(i == 7 && u == 7);
        assert_false(vg_json_done(&j));
    }
}

static void numbers_are_the_nearest_double(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0", 0},           {"-0.5", -0.5},
        {"0.1", 0.1},       {"123456789012345678901234567890", 123456789012345678901234567890.0},
        {"1e-400", 0},      {"2.2250738585072011e-308", 2.2250738585072011e-308},
        {"-17", -17},       {"9007199254740993", 9007199254740992.0},
        {"1.5E+3", 1500.0}, {"0.000000000000000000000000000001", 1e-30},
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        double value;
        struct vg_json j = reader(cases[k].text);
        assert_true(vg_json_number(&j, &value));
        assert_true(vg_json_done(&j));
        assert_true(value == cases[k].value);
    }
    double value = 7;
    struct vg_json j = reader("1e999");
    assert_false(vg_json_number(&j, &value));
    assert_int_equal(j.error, VG_JSON_RANGE);
    assert_true(value == 7);
}

static void a_text_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    char out[4];
    struct vg_json j = reader("\"abc\"");
    assert_true(vg_json_text(&j, out, sizeof(out)));
    assert_string_equal(out, "abc");
    j = reader("\"abcd\"");
    assert_false(vg_json_text(&j, out, sizeof(out)));
    assert_int_equal(j.error, VG_JSON_RANGE);
    j = reader("\"ab\\u20ac\"");
    assert_false(vg_json_text(&j, out, sizeof(out)));
    j = reader("\"a\\u0000\"");
    assert_false(vg_json_text(&j, out, sizeof(out)));
    j = reader("7");
    assert_false(vg_json_text(&j, out, sizeof(out)));
    assert_int_equal(j.error, VG_JSON_TYPE);
}

static void texts_compare_after_unescaping(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *with;
        bool same;
    } cases[] = {
        {"\"seq\"", "seq", true},       {"\"seq\"", "se", false},
        {"\"seq\"", "sex", false},      {"\"s\\u0065q\"", "seq", true},
        {"\"s\\u0065q\"", "se", false}, {"\"s\\u0065q\"", "sex", false},
        {"\"s\\u0065\"", "seq", false}, {"\"\\n\"", "\n", true},
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        struct vg_json_str s;
        struct vg_json j = reader(cases[k].text);
        assert_true(vg_json_string(&j, &s));
        assert_int_equal(vg_json_str_is(s, cases[k].with), cases[k].same);
    }
}

static void the_first_error_sticks(void **state)
{
    (void)state;
    struct vg_json_str s;
    bool b = false;
    struct vg_json j = reader("[1, 2]");
    assert_true(vg_json_array(&j) && vg_json_element(&j));
    assert_false(vg_json_bool(&j, &b));
    size_t offset = j.offset;
    assert_false(vg_json_element(&j));
    assert_false(vg_json_member(&j, &s));
    assert_false(vg_json_object(&j));
    assert_false(vg_json_null(&j));
    assert_false(vg_json_skip(&j));
    assert_false(vg_json_done(&j));
    assert_int_equal(vg_json_peek(&j), VG_JSON_NONE);
    assert_int_equal(j.error, VG_JSON_TYPE);
    assert_int_equal(j.offset, offset);
    assert_int_equal(offset, 1);
}

static void an_open_container_is_not_done(void **state)
{
    (void)state;
    struct vg_json j = reader("[1]");
    assert_true(vg_json_array(&j));
    assert_false(vg_json_done(&j));
    assert_int_equal(j.error, VG_JSON_SYNTAX);
    j = reader("null");
    assert_true(vg_json_null(&j) && vg_json_done(&j));
    j = reader("nil");
    assert_false(vg_json_null(&j));
    vg_json_init(&j, vg_span(NULL, 0), 1);
    assert_false(vg_json_skip(&j));
}

static void every_error_has_a_text(void **state)
{
    (void)state;
    for (unsigned e = VG_JSON_OK; e <= VG_JSON_TRAILING; e++) {
        assert_string_not_equal(vg_json_error_text((enum vg_json_error)e), "unknown error");
    }
    assert_string_equal(vg_json_error_text((enum vg_json_error)99), "unknown error");
}

static struct vg_span write_sample(struct vg_json_out *w)
{
    vg_jsonw_object(w);
    vg_jsonw_key(w, "a\"");
    vg_jsonw_string(w, "\b\f\n\r\t\"\\\x01\x7f");
    vg_jsonw_key(w, "list");
    vg_jsonw_array(w);
    vg_jsonw_i64(w, INT64_MIN);
    vg_jsonw_i64(w, 5);
    vg_jsonw_u64(w, UINT64_MAX);
    vg_jsonw_bool(w, true);
    vg_jsonw_bool(w, false);
    vg_jsonw_null(w);
    vg_jsonw_raw(w, VG_SPAN("{\"r\":1}"));
    vg_jsonw_array(w);
    vg_jsonw_array_end(w);
    vg_jsonw_array_end(w);
    vg_jsonw_key(w, "text");
    vg_jsonw_span(w, VG_SPAN("é€😀"));
    vg_jsonw_object_end(w);
    return vg_jsonw_done(w);
}

static void the_writer_places_commas_and_escapes(void **state)
{
    (void)state;
    static const char expected[] =
        "{\"a\\\"\":\"\\b\\f\\n\\r\\t\\\"\\\\\\u0001\x7f\",\"list\":[-9223372036854775808,5,"
        "18446744073709551615,true,false,null,{\"r\":1},[]],\"text\":\"é€😀\"}";
    char buf[256];
    struct vg_json_out w;
    vg_jsonw_init(&w, buf, sizeof(buf));
    struct vg_span text = write_sample(&w);
    assert_int_equal(text.len, sizeof(expected) - 1);
    assert_memory_equal(text.at, expected, text.len);
}

static void the_writer_gives_all_or_nothing(void **state)
{
    (void)state;
    char buf[256];
    struct vg_json_out w;
    vg_jsonw_init(&w, buf, sizeof(buf));
    size_t full = write_sample(&w).len;
    for (size_t size = 0; size < full; size++) {
        vg_jsonw_init(&w, buf, size);
        assert_int_equal(write_sample(&w).len, 0);
    }
    vg_jsonw_init(&w, buf, full);
    assert_int_equal(write_sample(&w).len, full);
}

static void bytes_that_are_not_utf8_are_replaced(void **state)
{
    (void)state;
    char buf[64];
    struct vg_json_out w;
    vg_jsonw_init(&w, buf, sizeof(buf));
    vg_jsonw_string(&w, "a\xff\xc3(\xe2\x82");
    struct vg_span text = vg_jsonw_done(&w);
    static const char expected[] = "\"a\xEF\xBF\xBD\xEF\xBF\xBD(\xEF\xBF\xBD\xEF\xBF\xBD\"";
    assert_int_equal(text.len, sizeof(expected) - 1);
    assert_memory_equal(text.at, expected, text.len);
}

static void assert_double(double value, const char *expected)
{
    char buf[40];
    struct vg_json_out w;
    vg_jsonw_init(&w, buf, sizeof(buf));
    vg_jsonw_double(&w, value);
    struct vg_span text = vg_jsonw_done(&w);
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.at, expected, text.len);
}

static void doubles_are_written_short_and_read_back(void **state)
{
    (void)state;
    assert_double(0, "0");
    assert_double(-0.0, "-0");
    assert_double(25.5, "25.5");
    assert_double(-12.1, "-12.1");
    assert_double(0.000001, "0.000001");
    assert_double(1.05, "1.05");
    assert_double(1793194820.123, "1793194820.123");
    assert_double(1e300, "1e+300");
    assert_double(0.1 + 0.2, "0.30000000000000004");
    assert_double(1e-7, "1e-07");
    struct vg_json_out w;
    char buf[40];
    vg_jsonw_init(&w, buf, sizeof(buf));
    vg_jsonw_double(&w, INFINITY);
    assert_int_equal(vg_jsonw_done(&w).len, 0);
    vg_jsonw_init(&w, buf, sizeof(buf));
    vg_jsonw_double(&w, NAN);
    assert_true(w.failed);
}

static void every_thousandth_reads_back_as_the_same_double(void **state)
{
    (void)state;
    for (int i = -60000; i <= 60000; i++) {
        double value = i / 1000.0;
        double back;
        char buf[40];
        struct vg_json_out w;
        struct vg_json j;
        vg_jsonw_init(&w, buf, sizeof(buf));
        vg_jsonw_double(&w, value);
        vg_json_init(&j, vg_jsonw_done(&w), 1);
        assert_true(vg_json_number(&j, &back) && vg_json_done(&j));
        assert_true(back == value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_read_to_their_limits),
        cmocka_unit_test(integers_beyond_their_limits_are_refused),
        cmocka_unit_test(numbers_are_the_nearest_double),
        cmocka_unit_test(a_text_that_does_not_fit_is_refused),
        cmocka_unit_test(texts_compare_after_unescaping),
        cmocka_unit_test(the_first_error_sticks),
        cmocka_unit_test(an_open_container_is_not_done),
        cmocka_unit_test(every_error_has_a_text),
        cmocka_unit_test(the_writer_places_commas_and_escapes),
        cmocka_unit_test(the_writer_gives_all_or_nothing),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced),
        cmocka_unit_test(doubles_are_written_short_and_read_back),
        cmocka_unit_test(every_thousandth_reads_back_as_the_same_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
