/* The small things: errors, spans, clocks, randomness, metrics. */
#include "unit.h"
#include "vigia/clock.h"
#include "vigia/err.h"
#include "vigia/metric.h"
#include "vigia/random.h"
#include "vigia/span.h"
#include <errno.h>

static void every_class_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < VG_ERR_COUNT; i++) {
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(vg_err_name((enum vg_err)i), vg_err_name((enum vg_err)k));
        }
    }
    assert_string_equal(vg_err_name(VG_E_NOTFOUND), "not-found");
    assert_string_equal(vg_err_name((enum vg_err)99), "unknown");
    assert_string_equal(vg_err_name((enum vg_err) - 1), "unknown");
}

static void what_the_machine_lacks_is_told_from_what_is_configured_wrong(void **state)
{
    (void)state;
    assert_int_equal(vg_err_of_errno(ENOENT), VG_E_NOTFOUND);
    assert_int_equal(vg_err_of_errno(EACCES), VG_E_DENIED);
    assert_int_equal(vg_err_of_errno(EADDRINUSE), VG_E_EXISTS);
    assert_int_equal(vg_err_of_errno(EADDRNOTAVAIL), VG_E_INVALID);
    assert_int_equal(vg_err_of_errno(ENOMEM), VG_E_NOMEM);
    assert_int_equal(vg_err_of_errno(EMFILE), VG_E_IO);
    assert_int_equal(vg_err_of_errno(EIO), VG_E_IO);
}

static void an_error_carries_class_text_and_offset(void **state)
{
    (void)state;
    struct vg_error err;
    assert_int_equal(vg_fail_at(&err, VG_E_RANGE, 7, "%d of %s", 3, "four"), VG_E_RANGE);
    assert_int_equal(err.code, VG_E_RANGE);
    assert_int_equal(err.offset, 7);
    assert_string_equal(err.text, "3 of four");
    assert_int_equal(vg_fail(&err, VG_E_IO, "%0600d", 1), VG_E_IO);
    assert_int_equal(err.offset, 0);
    assert_int_equal(strlen(err.text), VG_ERROR_TEXT_MAX - 1);
    assert_int_equal(vg_fail(NULL, VG_E_FULL, "nobody listens"), VG_E_FULL);
}

static void an_error_blames_a_key_once_and_only_for_its_value(void **state)
{
    (void)state;
    struct vg_error err;
    assert_int_equal(vg_fail(&err, VG_E_IO, "/a/b: gone"), VG_E_IO);
    assert_int_equal(vg_err_blame_value(&err, VG_E_IO, "log.url", "/c"), VG_E_IO);
    assert_int_equal(vg_err_blame_value(&err, VG_E_IO, "log.url", ""), VG_E_IO);
    assert_int_equal(vg_err_blame_value(&err, VG_OK, "log.url", "/a/b"), VG_OK);
    assert_string_equal(err.text, "/a/b: gone");
    assert_int_equal(vg_err_blame_value(&err, VG_E_IO, "log.url", "/a/b"), VG_E_IO);
    assert_string_equal(err.text, "log.url: /a/b: gone");
    assert_int_equal(vg_err_blame(&err, VG_E_IO, "log.url"), VG_E_IO);
    assert_string_equal(err.text, "log.url: /a/b: gone");
    assert_int_equal(vg_err_blame(&err, VG_E_IO, "log.ur"), VG_E_IO);
    assert_string_equal(err.text, "log.ur: log.url: /a/b: gone");
    assert_int_equal(vg_err_blame(NULL, VG_E_IO, "x"), VG_E_IO);
    assert_int_equal(vg_err_blame_value(NULL, VG_E_IO, "x", "y"), VG_E_IO);
}

static void a_library_older_than_its_floor_is_refused(void **state)
{
    (void)state;
    struct vg_error err;
    assert_int_equal(vg_need_version("x", "4.3.5", 4003005, &err), VG_OK);
    assert_int_equal(vg_need_version("x", "libcoap 4.3.5-rc1", 4003005, &err), VG_OK);
    assert_int_equal(vg_need_version("x", "4.10", 4003005, &err), VG_OK);
    assert_int_equal(vg_need_version("x", "5", 4003005, &err), VG_OK);
    assert_int_equal(vg_need_version("x", "4.3.4000", 4003005, &err), VG_OK);
    const char *old[] = {"4.3.4", "4.2.99", "3.99.99", "4.3", "", "unknown"};
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        assert_int_equal(vg_need_version("x", old[i], 4003005, &err), VG_E_VERSION);
    }
    assert_int_equal(vg_need_version("cJSON", "1.7.18", 1007019, &err), VG_E_VERSION);
    assert_string_equal(err.text, "cJSON: version 1.7.18, accepted: 1.7.19 or later");
}

static void a_prefix_cuts_what_does_not_fit_at_the_end(void **state)
{
    (void)state;
    struct vg_error err;
    char head[2 * VG_ERROR_TEXT_MAX];
    (void)vg_fail(&err, VG_E_IO, "%0600d", 1);
    vg_err_prefix(&err, "a.ini:1");
    assert_int_equal(strlen(err.text), VG_ERROR_TEXT_MAX - 1);
    assert_memory_equal(err.text, "a.ini:1: 000", 12);
    memset(head, 'h', sizeof head - 1);
    head[sizeof head - 1] = '\0';
    vg_err_prefix(&err, head);
    assert_int_equal(strlen(err.text), VG_ERROR_TEXT_MAX - 1);
    assert_int_equal(strspn(err.text, "h"), VG_ERROR_TEXT_MAX - 1);
}

static void a_copy_fits_whole_or_not_at_all(void **state)
{
    (void)state;
    char to[4] = "old";
    assert_false(vg_str_copy("four", to, sizeof to));
    assert_string_equal(to, "old");
    assert_true(vg_str_copy("abc", to, sizeof to));
    assert_string_equal(to, "abc");
    assert_true(vg_str_copy("", to, sizeof to));
    assert_string_equal(to, "");
    assert_true(vg_span_copy(vg_span_str(NULL), to, sizeof to));
    assert_false(vg_span_copy(vg_span_str(NULL), to, 0));
    assert_true(vg_span_eq(VG_SPAN("ab"), vg_span("abc", 2)));
    assert_false(vg_span_eq(VG_SPAN("ab"), VG_SPAN("ac")));
    assert_false(vg_span_eq(VG_SPAN("ab"), VG_SPAN("a")));
    assert_true(vg_span_eq(vg_span(NULL, 0), VG_SPAN("")));
}

static void whole_numbers_are_strict(void **state)
{
    (void)state;
    long long i = 5;
    unsigned long long u = 5;
    static const char *const wrong[] = {"",
                                        "-",
                                        " 1",
                                        "1 ",
                                        "+1",
                                        "1.0",
                                        "0x1",
                                        "--1",
                                        "1-",
                                        "a",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "99999999999999999999999"};
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        assert_false(vg_span_to_i64(vg_span_str(wrong[k]), &i));
    }
    assert_int_equal(i, 5);
    assert_true(vg_span_to_i64(VG_SPAN("-0"), &i) && i == 0);
    assert_true(vg_span_to_i64(VG_SPAN("007"), &i) && i == 7);
    assert_true(vg_span_to_i64(VG_SPAN("9223372036854775807"), &i) && i == INT64_MAX);
    assert_true(vg_span_to_i64(VG_SPAN("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(vg_span_to_u64(VG_SPAN("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_false(vg_span_to_u64(VG_SPAN("18446744073709551616"), &u));
    assert_false(vg_span_to_u64(VG_SPAN("-1"), &u));
    assert_true(u == UINT64_MAX);
}

static void decimal_numbers_follow_the_json_grammar(void **state)
{
    (void)state;
    double d = 5;
    static const char *const wrong[] = {"",    "-",    ".5",    "5.",     "01",  "1e",  "1e+",
                                        "1e-", "+1",   "nan",   "inf",    "1 ",  "0x1", "-.5",
                                        "1,5", "1e5x", "1e999", "-1e999", "1.e5"};
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        assert_false(vg_span_to_double(vg_span_str(wrong[k]), &d));
    }
    char digits[200];
    memset(digits, '1', sizeof digits);
    assert_false(vg_span_to_double(vg_span(digits, sizeof digits), &d));
    assert_true(d == 5);
    assert_true(vg_span_to_double(vg_span("25.5xyz", 4), &d) && d == 25.5);
}

static void decimal_numbers_are_those_of_strtod(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0",
        "25.5",
        "-273.15",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "123456789.123456789",
        "9007199254740992",
        "9007199254740993",
        "18446744073709551615",
        "184467440737095516159",
        "1.7976931348623157e308",
        "5e-324",
        "1e-400",
        "2.2250738585072014e-308",
        "0.1",
        "1E5",
        "1e+5",
        "3.141592653589793238462643383279502884197169399375105820974944",
        "1e00000000001"};
    double d;
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
        assert_true(vg_span_to_double(vg_span_str(texts[k]), &d));
        double expected = strtod(texts[k], NULL);
        assert_memory_equal(&d, &expected, sizeof d);
    }
    struct vg_rng rng;
    vg_rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        char text[64];
        snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)vg_rng_below(&rng, 100000),
                 (unsigned long long)vg_rng_below(&rng, 100000000),
                 (int)vg_rng_below(&rng, 40) - 20);
        assert_true(vg_span_to_double(vg_span_str(text), &d));
        double expected = strtod(text, NULL);
        assert_memory_equal(&d, &expected, sizeof d);
    }
}

static void hex_goes_both_ways(void **state)
{
    (void)state;
    char text[9];
    unsigned char bytes[4] = {0x00, 0x9f, 0xa5, 0xff}, back[4] = {0};
    vg_hex(bytes, 4, text);
    assert_string_equal(text, "009fa5ff");
    assert_true(vg_unhex(VG_SPAN("009fA5Ff"), back, 4));
    assert_memory_equal(bytes, back, 4);
    assert_false(vg_unhex(VG_SPAN("009fa5f"), back, 4));
    assert_false(vg_unhex(VG_SPAN("00000000"), back, 3));
    static const char *const wrong[] = {
        "0000000g", "0000000/", "0000000:", "0000000@", "0000000G", "0000000`"};
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        assert_false(vg_unhex(vg_span_str(wrong[k]), back, 4));
    }
    assert_memory_equal(bytes, back, 4);
}

static void a_wall_time_is_written_as_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {1793194820123, "2026-10-28T13:40:20.123Z"},
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "out-of-range"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
        {-62167219200001, "out-of-range"},
        {INT64_MAX, "out-of-range"},
        {INT64_MIN, "out-of-range"},
    };
    char text[VG_RFC3339_MAX];
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        vg_wall_format((struct vg_wall){cases[k].ms}, text);
        assert_string_equal(text, cases[k].text);
    }
}

static void a_fake_clock_moves_only_when_told(void **state)
{
    (void)state;
    struct vg_fake_clock f;
    vg_fake_clock_init(&f, 1000);
    const struct vg_clock *c = &f.clock;
    assert_int_equal(vg_now_wall(c).ms, 1000);
    assert_int_equal(vg_now_mono(c).ns, 0);
    vg_fake_clock_advance_ms(&f, 5);
    assert_int_equal(vg_now_wall(c).ms, 1005);
    assert_int_equal(vg_now_mono(c).ns, 5 * VG_NS_PER_MS);
    assert_int_equal(vg_now_boot(c).ns, 5 * VG_NS_PER_MS);
    assert_true(c->synced(c->self));
    f.synced = false;
    assert_false(c->synced(c->self));
    assert_int_equal(vg_mono_diff_ms(vg_mono_add_ms(f.mono, 7), f.mono), 7);
}

static void the_systems_clocks_run(void **state)
{
    (void)state;
    const struct vg_clock *c = vg_clock_system();
    struct vg_mono before = vg_now_mono(c);
    assert_true(vg_now_mono(c).ns >= before.ns);
    assert_true(vg_now_boot(c).ns > 0);
    assert_true(vg_now_wall(c).ms > 1700000000000);
    (void)c->synced(c->self); /* either is right: it says what the kernel says */
}

static void the_same_seed_gives_the_same_numbers(void **state)
{
    (void)state;
    struct vg_rng a, b;
    bool seen[6] = {false};
    vg_rng_seed(&a, 42);
    vg_rng_seed(&b, 42);
    for (int i = 0; i < 1000; i++) {
        assert_true(vg_rng_next(&a) == vg_rng_next(&b));
        uint64_t n = vg_rng_below(&a, 6);
        assert_true(n == vg_rng_below(&b, 6) && n < 6);
        seen[n] = true;
        double unit = vg_rng_unit(&a);
        assert_true(unit >= 0 && unit < 1);
        (void)vg_rng_unit(&b);
        /* More than half of 2^64 - below - must be drawn again: the rejecting branch. */
        assert_true(vg_rng_below(&a, (1ULL << 63) + 1) <= 1ULL << 63);
        (void)vg_rng_below(&b, (1ULL << 63) + 1);
    }
    for (int i = 0; i < 6; i++) {
        assert_true(seen[i]);
    }
    vg_rng_seed(&b, 43);
    assert_true(vg_rng_next(&a) != vg_rng_next(&b));
}

static void the_kernels_randomness_fills_the_whole_buffer(void **state)
{
    (void)state;
    unsigned char a[64] = {0}, b[64] = {0};
    assert_int_equal(vg_random_bytes(a, sizeof a), VG_OK);
    assert_int_equal(vg_random_bytes(b, sizeof b), VG_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(vg_random_bytes(a, 0), VG_OK);
}

static char page[65536];

static void print_page(void)
{
    FILE *to = fmemopen(page, sizeof page, "w");
    assert_non_null(to);
    vg_metric_print(to);
    assert_int_equal(fclose(to), 0);
}

static void metrics_print_in_the_prometheus_format(void **state)
{
    (void)state;
    static struct vg_metric metrics[] = {
        {.name = "vigia_test_readings_total", .labels = "lane=\"u\"", .help = "Two\nlines \\."},
        {.name = "vigia_test_readings_total", .labels = "lane=\"r\"", .help = "Two\nlines \\."},
        {.name = "vigia_test_age_seconds",
         .labels = "",
         .help = "Age.",
         .type = VG_GAUGE,
         .scale = 0.001},
        {.name = "vigia_test_ones", .help = "Ones.", .type = VG_GAUGE, .scale = 1},
    };
    assert_int_equal(vg_metric_register(metrics, 4), VG_OK);
    assert_int_equal(vg_metric_register(metrics, 4), VG_OK); /* changes nothing */
    vg_metric_add(&metrics[0], 2);
    vg_metric_add(&metrics[0], 3);
    vg_metric_set(&metrics[2], 1500);
    vg_metric_set(&metrics[3], -1);
    assert_int_equal(vg_metric_get(&metrics[0]), 5);
    print_page();
    static const char expected[] = "# HELP vigia_test_readings_total Two\\nlines \\\\.\n"
                                   "# TYPE vigia_test_readings_total counter\n"
                                   "vigia_test_readings_total{lane=\"u\"} 5\n"
                                   "vigia_test_readings_total{lane=\"r\"} 0\n"
                                   "# HELP vigia_test_age_seconds Age.\n"
                                   "# TYPE vigia_test_age_seconds gauge\n"
                                   "vigia_test_age_seconds 1.5\n"
                                   "# HELP vigia_test_ones Ones.\n"
                                   "# TYPE vigia_test_ones gauge\n"
                                   "vigia_test_ones -1\n"
                                   "# HELP process_cpu_seconds_total ";
    assert_memory_equal(page, expected, sizeof expected - 1);
}

/* The number behind "NAME " at the start of a line. */
static double value_of(const char *name)
{
    char line[64];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(page, line);
    assert_non_null(at);
    return strtod(at + strlen(line), NULL);
}

static void the_process_describes_itself(void **state)
{
    (void)state;
    print_page();
    double rss = value_of("process_resident_memory_bytes");
    assert_true(rss > 100e3 && rss < 1e12);
    double fds = value_of("process_open_fds");
    assert_true(fds >= 3 && fds < 100);
    double started = value_of("process_start_time_seconds");
    double now = (double)vg_now_wall(vg_clock_system()).ms / 1000;
    assert_true(started > now - 600 && started < now + 2);
    assert_true(value_of("process_cpu_seconds_total") >= 0);
}

static void a_metric_that_prometheus_would_not_read_is_refused(void **state)
{
    (void)state;
    static char labels[VG_METRIC_LABELS_MAX + 2];
    static const char *const names[] = {"", "1x", "a-b", "a b"};
    memset(labels, 'x', sizeof labels - 1);
    for (size_t i = 0; i < 4; i++) {
        struct vg_metric m = {.name = names[i], .help = "x"};
        assert_int_equal(vg_metric_register(&m, 1), VG_E_INVALID);
    }
    struct vg_metric no_help = {.name = "x"};
    struct vg_metric long_labels = {.name = "x", .help = "x", .labels = labels};
    assert_int_equal(vg_metric_register(&no_help, 1), VG_E_INVALID);
    assert_int_equal(vg_metric_register(&long_labels, 1), VG_E_INVALID);
}

static void one_metric_too_many_registers_none(void **state)
{
    (void)state;
    static struct vg_metric many[VG_METRIC_MAX + 1];
    for (int i = 0; i <= VG_METRIC_MAX; i++) {
        many[i] = (struct vg_metric){.name = "vigia_test_many", .help = "Many."};
    }
    assert_int_equal(vg_metric_register(many, VG_METRIC_MAX + 1), VG_E_FULL);
    print_page();
    assert_null(strstr(page, "vigia_test_many"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class_has_a_name_of_its_own),
        cmocka_unit_test(what_the_machine_lacks_is_told_from_what_is_configured_wrong),
        cmocka_unit_test(an_error_carries_class_text_and_offset),
        cmocka_unit_test(an_error_blames_a_key_once_and_only_for_its_value),
        cmocka_unit_test(a_library_older_than_its_floor_is_refused),
        cmocka_unit_test(a_prefix_cuts_what_does_not_fit_at_the_end),
        cmocka_unit_test(a_copy_fits_whole_or_not_at_all),
        cmocka_unit_test(whole_numbers_are_strict),
        cmocka_unit_test(decimal_numbers_follow_the_json_grammar),
        cmocka_unit_test(decimal_numbers_are_those_of_strtod),
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(a_wall_time_is_written_as_rfc_3339),
        cmocka_unit_test(a_fake_clock_moves_only_when_told),
        cmocka_unit_test(the_systems_clocks_run),
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(the_kernels_randomness_fills_the_whole_buffer),
        cmocka_unit_test(metrics_print_in_the_prometheus_format),
        cmocka_unit_test(the_process_describes_itself),
        cmocka_unit_test(a_metric_that_prometheus_would_not_read_is_refused),
        cmocka_unit_test(one_metric_too_many_registers_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
