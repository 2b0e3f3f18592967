/* What a request deserves: every row of the answer table that is decided without the log. */
#include "../../../collector/ingest/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1793194820180LL

struct fixture {
    struct vg_device *device;
    struct vg_batch *batch;
    struct vgi_request request;
    struct vgi_verdict verdict;
    struct vg_span queries[4];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->device = vg_device_new();
    f->batch = calloc(1, sizeof(*f->batch));
    assert_non_null(f->device);
    assert_non_null(f->batch);
    assert_true(vg_str_copy("pi-42", f->device->name, sizeof(f->device->name)));
    assert_int_equal(vg_device_add_pattern(f->device, VG_SPAN("42959"), NULL), VG_OK);
    assert_int_equal(vg_device_add_pattern(f->device, VG_SPAN("hall-*"), NULL), VG_OK);
    f->queries[0] = VG_SPAN("store=9f3c1b22a0d47e15");
    f->queries[1] = VG_SPAN("lane=u");
    f->queries[2] = VG_SPAN("seq=1812");
    f->request = (struct vgi_request){.resource = VGI_READINGS,
                                      .device = f->device,
                                      .has_format = true,
                                      .format = VG_FORMAT_SENML_JSON,
                                      .queries = f->queries,
                                      .query_count = 3,
                                      .now = {NOW},
                                      .max_batch = VG_BATCH_READINGS_MAX};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    free(f->device);
    free(f->batch);
    free(f);
    return 0;
}

static enum vg_coap check(struct fixture *f, const char *body)
{
    if (body != NULL) {
        f->request.body = vg_span_str(body);
    }
    vgi_check(&f->request, f->batch, &f->verdict);
    return f->verdict.code;
}

static const char good[] = "[{\"bn\":\"42959/"
                           "\",\"bt\":1793194820.123,\"n\":\"smoke\",\"vb\":true},{\"n\":"
                           "\"temperature\",\"u\":\"Cel\",\"v\":25.5}]";

static void a_good_pack_is_taken_with_device_identity_and_times(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(check(f, good), VG_COAP_CHANGED);
    assert_string_equal(f->verdict.reason, "");
    assert_int_equal(f->verdict.list_len, 0);
    assert_int_equal(f->batch->count, 1);
    assert_string_equal(f->batch->readings[0].sensor, "42959");
    assert_string_equal(f->batch->readings[0].device, "pi-42");
    assert_true(f->batch->readings[0].store == 0x9f3c1b22a0d47e15ULL);
    assert_int_equal(f->batch->readings[0].seq, 1812);
    assert_int_equal(f->batch->readings[0].lane, 'u');
    assert_int_equal(f->batch->readings[0].time_ms, 1793194820123LL);
    assert_int_equal(f->batch->readings[0].received_ms, NOW);
    assert_int_equal(f->batch->readings[0].quality, VG_QUALITY_SYNCED);
}

static bool urgent(struct fixture *f, const char *body)
{
    assert_int_equal(check(f, body), VG_COAP_CHANGED);
    return f->verdict.urgent;
}

static void the_lane_says_what_is_urgent(void **state)
{
    struct fixture *f = *state;
    static const char normal[] = "[{\"n\":\"42959/smoke\",\"vb\":false}]";

    assert_true(urgent(f, normal));
    f->queries[1] = VG_SPAN("lane=r");
    assert_false(urgent(f, good));
    assert_int_equal(check(f, "[{\"n\":\"42959/smoke\",\"vb\":1}]"), VG_COAP_BAD_REQUEST);
    assert_false(f->verdict.urgent);
}

static void without_a_lane_active_readings_are_urgent_and_oks_always_are(void **state)
{
    struct fixture *f = *state;

    f->request.query_count = 0;
    assert_false(urgent(f, "[{\"n\":\"42959/smoke\",\"vb\":false}]"));
    assert_true(urgent(f, "[{\"n\":\"42959/smoke\",\"vb\":false},"
                          "{\"n\":\"hall-1/motion\",\"vb\":true},"
                          "{\"n\":\"hall-2/motion\",\"vb\":false}]"));
    f->request.resource = VGI_OK;
    f->request.format = VG_FORMAT_JSON;
    assert_true(urgent(f, "[\"42959\"]"));
    f->request.query_count = 3;
    f->queries[1] = VG_SPAN("lane=r");
    assert_true(urgent(f, "[\"42959\"]"));
}

static void each_reading_of_a_batch_has_the_next_sequence_number(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        check(f, "[{\"n\":\"42959/smoke\",\"vb\":true},{\"n\":\"hall-1/motion\",\"vb\":true}]"),
        VG_COAP_CHANGED);
    assert_int_equal(f->batch->count, 2);
    assert_int_equal(f->batch->readings[1].seq, 1813);
}

static void a_relative_time_is_resolved_and_told_as_unsynced(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(check(f, "[{\"n\":\"42959/smoke\",\"vb\":true,\"t\":-10}]"), VG_COAP_CHANGED);
    assert_int_equal(f->batch->readings[0].time_ms, NOW - 10000);
    assert_int_equal(f->batch->readings[0].quality, VG_QUALITY_UNSYNCED);
}

static void plain_json_and_ok_lists_are_taken(void **state)
{
    struct fixture *f = *state;

    f->request.format = VG_FORMAT_JSON;
    assert_int_equal(check(f, "{\"id\":\"42959\",\"smoke\":true}"), VG_COAP_CHANGED);
    f->request.resource = VGI_OK;
    assert_int_equal(check(f, "[\"42959\",\"hall-7\"]"), VG_COAP_CHANGED);
    assert_int_equal(f->batch->count, 2);
    assert_int_equal(f->batch->readings[1].has, VG_HAS_OK);
}

static void without_store_lane_and_seq_a_reading_has_no_identity(void **state)
{
    struct fixture *f = *state;

    f->request.query_count = 0;
    assert_int_equal(check(f, good), VG_COAP_CHANGED);
    assert_int_equal(f->batch->readings[0].lane, VG_LANE_NONE);
}

static void no_device_and_a_revoked_one_are_4_01(void **state)
{
    struct fixture *f = *state;

    f->device->state = VG_DEVICE_REVOKED;
    assert_int_equal(check(f, good), VG_COAP_UNAUTHORIZED);
    f->request.device = NULL;
    assert_int_equal(check(f, good), VG_COAP_UNAUTHORIZED);
    assert_string_equal(f->verdict.reason, "no-identity");
}

static void a_missing_or_unknown_format_is_4_15(void **state)
{
    struct fixture *f = *state;

    f->request.format = 0;
    assert_int_equal(check(f, good), VG_COAP_UNSUPPORTED_FORMAT);
    f->request.format = VG_FORMAT_CBOR;
    assert_int_equal(check(f, good), VG_COAP_UNSUPPORTED_FORMAT);
    f->request.format = VG_FORMAT_SENML_JSON;
    f->request.has_format = false;
    assert_int_equal(check(f, good), VG_COAP_UNSUPPORTED_FORMAT);
    f->request.has_format = true;
    f->request.resource = VGI_OK;
    assert_int_equal(check(f, "[\"42959\"]"), VG_COAP_UNSUPPORTED_FORMAT);
    assert_string_equal(f->verdict.reason, "format");
}

static void a_body_above_the_limit_or_in_blocks_is_4_13(void **state)
{
    struct fixture *f = *state;
    static char body[VG_BODY_MAX + 1];

    memset(body, ' ', sizeof(body));
    f->request.body = vg_span(body, sizeof(body));
    assert_int_equal(check(f, NULL), VG_COAP_TOO_LARGE);
    assert_string_equal(f->verdict.reason, "body-size");
    memcpy(body, good, sizeof(good) - 1);
    f->request.body = vg_span(body, VG_BODY_MAX);
    assert_int_equal(check(f, NULL), VG_COAP_CHANGED);
    f->request.blockwise = true;
    assert_int_equal(check(f, good), VG_COAP_TOO_LARGE);
}

static void more_readings_than_configured_are_4_13(void **state)
{
    struct fixture *f = *state;

    f->request.max_batch = 1;
    assert_int_equal(
        check(f, "[{\"n\":\"42959/smoke\",\"vb\":true},{\"n\":\"hall-1/motion\",\"vb\":true}]"),
        VG_COAP_TOO_LARGE);
    assert_string_equal(f->verdict.reason, "batch-size");
}

static void an_unreadable_body_is_4_00_without_a_list(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(check(f, "[{"), VG_COAP_BAD_REQUEST);
    assert_int_equal(f->verdict.list_len, 0);
    assert_int_not_equal(f->verdict.reason[0], '\0');
    assert_int_equal(check(f, ""), VG_COAP_BAD_REQUEST);
    f->request.format = VG_FORMAT_SENML_CBOR;
    assert_int_equal(check(f, good), VG_COAP_BAD_REQUEST);
}

static void half_an_identity_or_a_malformed_one_is_4_00(void **state)
{
    struct fixture *f = *state;

    f->request.query_count = 2;
    assert_int_equal(check(f, good), VG_COAP_BAD_REQUEST);
    assert_string_equal(f->verdict.reason, "identity");
    f->request.query_count = 3;
    f->queries[1] = VG_SPAN("lane=x");
    assert_int_equal(check(f, good), VG_COAP_BAD_REQUEST);
    f->queries[1] = VG_SPAN("lane=r");
    f->queries[2] = VG_SPAN("seq=99999999999999999999");
    assert_int_equal(check(f, good), VG_COAP_BAD_REQUEST);
    f->queries[2] = VG_SPAN("seq=9007199254740991");
    assert_int_equal(
        check(f, "[{\"n\":\"42959/smoke\",\"vb\":true},{\"n\":\"hall-1/motion\",\"vb\":true}]"),
        VG_COAP_BAD_REQUEST);
}

static void a_foreign_sensor_is_4_03_and_named_by_index(void **state)
{
    struct fixture *f = *state;
    struct vg_refusal list[4];
    size_t count = 0;

    assert_int_equal(
        check(f, "[{\"n\":\"42959/smoke\",\"vb\":true},{\"n\":\"77/motion\",\"vb\":true},"
                 "{\"n\":\"hall-1/motion\",\"vb\":true},{\"n\":\"hall/motion\",\"vb\":true}]"),
        VG_COAP_FORBIDDEN);
    assert_string_equal(f->verdict.reason, "foreign");
    assert_int_equal(
        vg_refusals_decode(vg_span(f->verdict.list, f->verdict.list_len), list, 4, &count), VG_OK);
    assert_int_equal(count, 2);
    assert_int_equal(list[0].index, 1);
    assert_int_equal(list[0].code, VG_COAP_FORBIDDEN);
    assert_int_equal(list[1].index, 3);
}

static void a_reading_with_wrong_meaning_makes_it_4_22_and_foreign_ones_are_listed_too(void **state)
{
    struct fixture *f = *state;
    struct vg_refusal list[4];
    size_t count = 0;

    assert_int_equal(check(f, "[{\"n\":\"77/motion\",\"vb\":true},{\"n\":\"42959/smoke\",\"v\":1},"
                              "{\"n\":\"hall-1/motion\",\"vb\":true}]"),
                     VG_COAP_UNPROCESSABLE);
    assert_int_equal(
        vg_refusals_decode(vg_span(f->verdict.list, f->verdict.list_len), list, 4, &count), VG_OK);
    assert_int_equal(count, 2);
    assert_int_equal(list[0].code, VG_COAP_FORBIDDEN);
    assert_int_equal(list[1].code, VG_COAP_UNPROCESSABLE);
}

static void a_device_tells_events_about_itself_only(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(check(f, "[{\"n\":\"pi-42/alive\",\"vb\":true}]"), VG_COAP_CHANGED);
    assert_int_equal(check(f, "[{\"n\":\"pi-42/gap\",\"vs\":\"evicted 3\"}]"), VG_COAP_CHANGED);
    assert_int_equal(check(f, "[{\"n\":\"pi-42/motion\",\"vb\":true}]"), VG_COAP_CHANGED);
    /* one of its own sensors is not the device itself */
    assert_int_equal(check(f, "[{\"n\":\"hall-1/alive\",\"vb\":true}]"), VG_COAP_FORBIDDEN);
    assert_int_equal(check(f, "[{\"n\":\"pi-43/alive\",\"vb\":true}]"), VG_COAP_FORBIDDEN);
}

static void a_verdict_forgets_the_request_before(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(check(f, "[{\"n\":\"77/motion\",\"vb\":true}]"), VG_COAP_FORBIDDEN);
    assert_int_equal(check(f, good), VG_COAP_CHANGED);
    assert_int_equal(f->verdict.list_len, 0);
    assert_string_equal(f->verdict.reason, "");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_good_pack_is_taken_with_device_identity_and_times),
        cmocka_unit_test_setup_teardown(the_lane_says_what_is_urgent, setup, teardown),
        cmocka_unit_test_setup_teardown(
            without_a_lane_active_readings_are_urgent_and_oks_always_are, setup, teardown),
        CASE(each_reading_of_a_batch_has_the_next_sequence_number),
        CASE(a_relative_time_is_resolved_and_told_as_unsynced),
        CASE(plain_json_and_ok_lists_are_taken),
        CASE(without_store_lane_and_seq_a_reading_has_no_identity),
        CASE(no_device_and_a_revoked_one_are_4_01),
        CASE(a_missing_or_unknown_format_is_4_15),
        CASE(a_body_above_the_limit_or_in_blocks_is_4_13),
        CASE(more_readings_than_configured_are_4_13),
        CASE(an_unreadable_body_is_4_00_without_a_list),
        CASE(half_an_identity_or_a_malformed_one_is_4_00),
        CASE(a_foreign_sensor_is_4_03_and_named_by_index),
        CASE(a_reading_with_wrong_meaning_makes_it_4_22_and_foreign_ones_are_listed_too),
        CASE(a_device_tells_events_about_itself_only),
        CASE(a_verdict_forgets_the_request_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
