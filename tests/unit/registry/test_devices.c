/* Entries of the `devices` topic and the table that is made of them. */
#include "vigia/devices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CRED                                                                                       \
    "\"credential\":{\"kid\":\"00112233\",\"nonce\":\"000102030405060708090a0b\","                 \
    "\"data\":\"000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f\","               \
    "\"tag\":\"000102030405060708090a0b0c0d0e0f\"}"
#define HEAD "{\"v\":1,\"device\":\"d\",\"version\":1,\"state\":\"active\","

static char *entry(const char *name, unsigned version, const char *state, const char *sensors,
                   unsigned period)
{
    static char text[4096];
    snprintf(text, sizeof(text),
             "{\"v\":1,\"device\":\"%s\",\"version\":%u,\"state\":\"%s\",\"sensors\":[%s],"
             "\"period_ms\":%u,\"class\":\"home\",\"later\":{\"a\":[1]}," CRED "}",
             name, version, state, sensors, period);
    return text;
}

static enum vg_err apply(struct vg_devices *t, const char *key, const char *value)
{
    struct vg_error err;
    return vg_devices_apply(t, vg_span_str(key), vg_span_str(value), &err);
}

static struct vg_devices *table(size_t max, vg_devices_change_fn *fn, void *arg)
{
    struct vg_devices *t = NULL;
    assert_int_equal(vg_devices_new(max, fn, arg, &t), VG_OK);
    return t;
}

static const char *owner(const struct vg_devices *t, const char *sensor)
{
    const struct vg_device *d = vg_devices_find_sensor(t, vg_span_str(sensor));
    return d == NULL ? "-" : d->name;
}

static void an_entry_reads_back_as_it_was_written(void **state)
{
    struct vg_device *a = vg_device_new(), *b = vg_device_new();
    static char text[VG_DEVICE_JSON_MAX], again[VG_DEVICE_JSON_MAX];
    size_t len = 0, len2 = 0;
    struct vg_error err;
    (void)state;

    assert_non_null(a);
    assert_non_null(b);
    snprintf(a->name, sizeof(a->name), "pi-42");
    snprintf(a->class_name, sizeof(a->class_name), "home");
    snprintf(a->credential.kid, sizeof(a->credential.kid), "0a0b0c0d");
    a->version = 9007199254740991ULL;
    a->state = VG_DEVICE_REVOKED;
    a->period_ms = 60000;
    a->credential.data[31] = 0xfe;
    assert_int_equal(vg_device_add_pattern(a, VG_SPAN("42959"), &err), VG_OK);
    assert_int_equal(vg_device_add_pattern(a, VG_SPAN("hall-*"), &err), VG_OK);
    assert_int_equal(vg_device_encode(a, text, sizeof(text), &len, &err), VG_OK);
    assert_int_equal(vg_device_decode(vg_span(text, len), b, &err), VG_OK);
    assert_int_equal(b->version, a->version);
    assert_int_equal(b->state, VG_DEVICE_REVOKED);
    assert_int_equal(b->pattern_count, 2);
    assert_memory_equal(&b->credential, &a->credential, sizeof(a->credential));
    assert_int_equal(vg_device_encode(b, again, sizeof(again), &len2, &err), VG_OK);
    assert_string_equal(text, again);
    assert_int_equal(vg_device_encode(a, text, len, &len2, &err), VG_E_FULL);
    free(a);
    free(b);
}

static void the_largest_entry_fits_its_bound(void **state)
{
    struct vg_device *d = vg_device_new();
    static char text[VG_DEVICE_JSON_MAX];
    struct vg_error err;
    size_t len = 0;
    (void)state;

    assert_non_null(d);
    memset(d->name, 'n', VG_DEVICE_NAME_MAX);
    memset(d->class_name, 'c', VG_DEVICE_CLASS_MAX);
    snprintf(d->credential.kid, sizeof(d->credential.kid), "0a0b0c0d");
    d->version = VG_DEVICE_VERSION_MAX;
    d->period_ms = VG_DEVICE_PERIOD_MAX_MS;
    for (int i = 0; i < VG_DEVICE_PATTERNS_MAX; i++) {
        char p[VG_DEVICE_PATTERN_MAX + 1];
        snprintf(p, sizeof(p), "%063d*", i);
        assert_int_equal(vg_device_add_pattern(d, vg_span_str(p), &err), VG_OK);
    }
    assert_int_equal(vg_device_add_pattern(d, VG_SPAN("one-more"), &err), VG_E_FULL);
    assert_int_equal(vg_device_encode(d, text, sizeof(text), &len, &err), VG_OK);
    d->pattern_count = 0;
    assert_int_equal(vg_device_decode(vg_span(text, len), d, &err), VG_OK);
    assert_int_equal(d->pattern_count, VG_DEVICE_PATTERNS_MAX);
    assert_int_equal(d->version, VG_DEVICE_VERSION_MAX);
    d->version++;
    assert_int_equal(vg_device_encode(d, text, sizeof(text), &len, &err), VG_E_INVALID);
    free(d);
}

static void names_and_patterns_keep_to_their_characters(void **state)
{
    char longest[VG_DEVICE_PATTERN_MAX + 1];
    (void)state;

    assert_true(vg_device_name_valid(VG_SPAN("pi-42.a_b:c")));
    assert_false(vg_device_name_valid(VG_SPAN("")));
    assert_false(vg_device_name_valid(VG_SPAN("-pi")));
    assert_false(vg_device_name_valid(VG_SPAN("a/b")));
    assert_false(vg_device_name_valid(VG_SPAN("a\"b")));
    assert_false(vg_device_name_valid(VG_SPAN("a*")));
    assert_true(vg_device_pattern_valid(VG_SPAN("*")));
    assert_true(vg_device_pattern_valid(VG_SPAN("urn:dev:ow:1/x")));
    assert_true(vg_device_pattern_valid(VG_SPAN("floor/1/*")));
    assert_false(vg_device_pattern_valid(VG_SPAN("**")));
    assert_false(vg_device_pattern_valid(VG_SPAN("a*b")));
    assert_false(vg_device_pattern_valid(VG_SPAN("")));
    memset(longest, 'x', sizeof(longest));
    assert_true(vg_device_pattern_valid(vg_span(longest, VG_SENSOR_ID_MAX)));
    assert_false(vg_device_pattern_valid(vg_span(longest, VG_SENSOR_ID_MAX + 1)));
    longest[VG_SENSOR_ID_MAX] = '*';
    assert_true(vg_device_pattern_valid(vg_span(longest, VG_SENSOR_ID_MAX + 1)));
}

static void a_device_speaks_for_its_patterns_and_itself_only(void **state)
{
    struct vg_device *d = vg_device_new();
    struct vg_error err;
    (void)state;

    assert_non_null(d);
    snprintf(d->name, sizeof(d->name), "pi-42");
    assert_int_equal(vg_device_add_pattern(d, VG_SPAN("hall-*"), &err), VG_OK);
    assert_int_equal(vg_device_add_pattern(d, VG_SPAN("77"), &err), VG_OK);
    assert_int_equal(vg_device_add_pattern(d, VG_SPAN("77"), &err), VG_E_EXISTS);
    assert_int_equal(vg_device_add_pattern(d, VG_SPAN("7 7"), &err), VG_E_INVALID);
    assert_true(vg_device_may(d, VG_SPAN("hall-1")));
    assert_true(vg_device_may(d, VG_SPAN("77")));
    assert_true(vg_device_may(d, VG_SPAN("pi-42")));
    assert_false(vg_device_may(d, VG_SPAN("hall-"))); /* the star is at least one character */
    assert_false(vg_device_may(d, VG_SPAN("hall")));
    assert_false(vg_device_may(d, VG_SPAN("777")));
    assert_false(vg_device_may(d, VG_SPAN("7")));
    assert_false(vg_device_may(d, VG_SPAN("")));
    assert_false(vg_device_may(d, VG_SPAN("pi-421")));
    free(d);
}

static void malformed_entries_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "null",
        "{\"v\":0}",
        "{\"v\":\"1\"}",
        "{\"v\":1}",
        "{\"v\":1,\"device\":7}",
        "{\"v\":1,\"device\":\"d\",\"version\":0,\"state\":\"active\",\"sensors\":[]," CRED "}",
        "{\"v\":1,\"device\":\"d\",\"version\":1.5,\"state\":\"active\",\"sensors\":[]," CRED "}",
        "{\"v\":1,\"device\":\"d\",\"version\":-1,\"state\":\"active\",\"sensors\":[]," CRED "}",
        "{\"v\":1,\"device\":\"d\",\"version\":1e17,\"state\":\"active\",\"sensors\":[]," CRED "}",
        "{\"v\":1,\"device\":\"d\",\"version\":1,\"state\":\"paused\",\"sensors\":[]," CRED "}",
        "{\"v\":1,\"device\":\"d\",\"version\":1,\"sensors\":[]," CRED "}",
        "{\"v\":1,\"device\":\"d/\",\"version\":1,\"state\":\"active\",\"sensors\":[]," CRED "}",
        HEAD CRED "}",
        HEAD "\"sensors\":\"*\"," CRED "}",
        HEAD "\"sensors\":[1]," CRED "}",
        HEAD "\"sensors\":[\"a\",\"a\"]," CRED "}",
        HEAD "\"sensors\":[\"a b\"]," CRED "}",
        HEAD "\"sensors\":[],\"period_ms\":5," CRED "}",
        HEAD "\"sensors\":[],\"period_ms\":\"1m\"," CRED "}",
        HEAD "\"sensors\":[],\"class\":\"a b\"," CRED "}",
        HEAD "\"sensors\":[],\"class\":1," CRED "}",
        HEAD "\"sensors\":[]}",
        HEAD "\"sensors\":[],\"credential\":{}}",
        HEAD "\"sensors\":[],\"credential\":{\"kid\":\"00112233\",\"nonce\":\"00\"}}",
    };
    static char huge[VG_DEVICE_JSON_MAX + 1];
    struct vg_device *d = vg_device_new();
    struct vg_error err;
    (void)state;

    assert_non_null(d);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err.text[0] = '\0';
        assert_int_equal(vg_device_decode(vg_span_str(bad[i]), d, &err), VG_E_INVALID);
        assert_int_not_equal(err.text[0], '\0');
        assert_int_equal(d->name[0], '\0');
    }
    assert_int_equal(vg_device_decode(VG_SPAN("{\"v\":1,\"x\":[[[[[[[[[1]]]]]]]]]}"), d, &err),
                     VG_E_FULL);
    memset(huge, ' ', sizeof(huge));
    assert_int_equal(vg_device_decode(vg_span(huge, sizeof(huge)), d, &err), VG_E_FULL);
    assert_int_equal(vg_device_decode(VG_SPAN("{\"v\":2}"), d, &err), VG_E_VERSION);
    free(d);
}

static void brackets_inside_a_string_are_not_depth(void **state)
{
    struct vg_device *d = vg_device_new();
    struct vg_error err;
    (void)state;

    assert_non_null(d);
    assert_int_equal(
        vg_device_decode(VG_SPAN(HEAD "\"note\":\"[[[[[[[[[[\\\"[[\",\"sensors\":[]," CRED "}"), d,
                         &err),
        VG_OK);
    free(d);
}

struct seen {
    unsigned changes, removals;
    uint64_t version;
    char name[VG_DEVICE_NAME_MAX + 1];
};

static void on_change(void *arg, const char *name, const struct vg_device *now)
{
    struct seen *seen = arg;
    snprintf(seen->name, sizeof(seen->name), "%s", name);
    if (now == NULL) {
        seen->removals++;
    } else {
        seen->changes++;
        seen->version = now->version;
    }
}

static void the_table_follows_its_topic(void **state)
{
    struct seen seen = {0};
    struct vg_devices *t = table(4, on_change, &seen);
    (void)state;

    assert_null(vg_devices_find(t, VG_SPAN("d1")));
    assert_int_equal(apply(t, "d1", entry("d1", 1, "active", "\"a\"", 1000)), VG_OK);
    assert_int_equal(seen.changes, 1);
    assert_int_equal(apply(t, "d1", entry("d1", 2, "revoked", "\"b\"", 1000)), VG_OK);
    assert_int_equal(seen.version, 2);
    assert_int_equal(vg_devices_count(t), 1);
    assert_int_equal(vg_devices_find(t, VG_SPAN("d1"))->state, VG_DEVICE_REVOKED);
    assert_int_equal(apply(t, "d1", ""), VG_OK);
    assert_int_equal(seen.removals, 1);
    assert_string_equal(seen.name, "d1");
    assert_int_equal(apply(t, "d1", ""), VG_OK);
    assert_int_equal(seen.removals, 1);
    assert_int_equal(vg_devices_count(t), 0);
    vg_devices_free(t);
}

static void an_unreadable_entry_makes_its_device_unknown(void **state)
{
    struct seen seen = {0};
    struct vg_devices *t = table(4, on_change, &seen);
    (void)state;

    assert_int_equal(apply(t, "d1", entry("d1", 1, "active", "\"a\"", 1000)), VG_OK);
    assert_int_equal(apply(t, "d1", "{"), VG_E_INVALID);
    assert_null(vg_devices_find(t, VG_SPAN("d1")));
    assert_string_equal(owner(t, "a"), "-");
    assert_int_equal(seen.removals, 1);
    assert_int_equal(apply(t, "d2", entry("d1", 1, "active", "\"a\"", 1000)), VG_E_INVALID);
    assert_int_equal(vg_devices_count(t), 0);
    assert_int_equal(vg_devices_refused(t), 2);
    assert_int_equal(apply(t, "d1", "{\"v\":2}"), VG_E_VERSION);
    vg_devices_free(t);
}

static void one_device_too_many_is_refused_and_a_removal_makes_room(void **state)
{
    struct vg_devices *t = table(2, NULL, NULL);
    (void)state;

    assert_int_equal(apply(t, "d1", entry("d1", 1, "active", "\"a\"", 0)), VG_OK);
    assert_int_equal(apply(t, "d2", entry("d2", 1, "active", "\"a\"", 0)), VG_OK);
    assert_int_equal(apply(t, "d3", entry("d3", 1, "active", "\"a\"", 0)), VG_E_FULL);
    assert_int_equal(vg_devices_refused(t), 1);
    assert_int_equal(apply(t, "d2", entry("d2", 2, "active", "\"b\"", 0)), VG_OK);
    assert_int_equal(apply(t, "d1", ""), VG_OK);
    assert_int_equal(apply(t, "d3", entry("d3", 1, "active", "\"a\"", 0)), VG_OK);
    assert_int_equal(vg_devices_count(t), 2);
    vg_devices_free(t);
}

static void the_most_specific_active_device_answers_for_a_sensor(void **state)
{
    struct vg_devices *t = table(16, NULL, NULL);
    (void)state;

    assert_int_equal(apply(t, "all", entry("all", 1, "active", "\"*\"", 5000)), VG_OK);
    assert_int_equal(apply(t, "hall", entry("hall", 1, "active", "\"hall-*\",\"x\"", 4000)), VG_OK);
    assert_int_equal(apply(t, "hall1", entry("hall1", 1, "active", "\"hall-1*\"", 3000)), VG_OK);
    assert_int_equal(apply(t, "one", entry("one", 1, "active", "\"hall-11\"", 2000)), VG_OK);
    assert_string_equal(owner(t, "hall-11"), "one");
    assert_string_equal(owner(t, "hall-12"), "hall1");
    assert_string_equal(owner(t, "hall-2"), "hall");
    assert_string_equal(owner(t, "hall-1"), "hall"); /* a star is at least one character here too */
    assert_string_equal(owner(t, "hall-"), "all");
    assert_string_equal(owner(t, "x"), "hall");
    assert_string_equal(owner(t, "kitchen"), "all");
    assert_string_equal(owner(t, "hall1"), "hall1"); /* a device's own name */
    assert_int_equal(apply(t, "one", entry("one", 2, "revoked", "\"hall-11\"", 2000)), VG_OK);
    assert_string_equal(owner(t, "hall-11"), "hall1");
    assert_int_equal(apply(t, "hall1", ""), VG_OK);
    assert_string_equal(owner(t, "hall-11"), "hall");
    assert_int_equal(apply(t, "all", ""), VG_OK);
    assert_string_equal(owner(t, "kitchen"), "-");
    vg_devices_free(t);
}

static void among_equal_patterns_the_shortest_period_answers(void **state)
{
    struct vg_devices *t = table(16, NULL, NULL);
    (void)state;

    assert_int_equal(apply(t, "none", entry("none", 1, "active", "\"s\"", 0)), VG_OK);
    assert_int_equal(apply(t, "slow", entry("slow", 1, "active", "\"s\"", 5000)), VG_OK);
    assert_int_equal(apply(t, "fast", entry("fast", 1, "active", "\"s\"", 1000)), VG_OK);
    assert_int_equal(apply(t, "mid", entry("mid", 1, "active", "\"s\"", 2000)), VG_OK);
    assert_string_equal(owner(t, "s"), "fast");
    vg_devices_free(t);
}

static void many_devices_are_found_and_walked(void **state)
{
    enum { N = 2000 };
    struct vg_devices *t = table(N, NULL, NULL);
    char name[32], text[64];
    size_t cursor = 0, walked = 0;
    (void)state;

    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "d%u", i);
        snprintf(text, sizeof(text), "\"s%u\",\"p%u-*\"", i, i);
        assert_int_equal(apply(t, name, entry(name, 1, "active", text, 1000)), VG_OK);
    }
    for (unsigned i = 0; i < N; i += 2) {
        snprintf(name, sizeof(name), "d%u", i);
        assert_int_equal(apply(t, name, ""), VG_OK);
    }
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "d%u", i);
        snprintf(text, sizeof(text), "p%u-7", i);
        assert_string_equal(owner(t, text), i % 2 == 1 ? name : "-");
    }
    while (vg_devices_next(t, &cursor) != NULL) {
        walked++;
    }
    assert_int_equal(walked, N / 2);
    vg_devices_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_reads_back_as_it_was_written),
        cmocka_unit_test(the_largest_entry_fits_its_bound),
        cmocka_unit_test(names_and_patterns_keep_to_their_characters),
        cmocka_unit_test(a_device_speaks_for_its_patterns_and_itself_only),
        cmocka_unit_test(malformed_entries_are_refused),
        cmocka_unit_test(brackets_inside_a_string_are_not_depth),
        cmocka_unit_test(the_table_follows_its_topic),
        cmocka_unit_test(an_unreadable_entry_makes_its_device_unknown),
        cmocka_unit_test(one_device_too_many_is_refused_and_a_removal_makes_room),
        cmocka_unit_test(the_most_specific_active_device_answers_for_a_sensor),
        cmocka_unit_test(among_equal_patterns_the_shortest_period_answers),
        cmocka_unit_test(many_devices_are_found_and_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
