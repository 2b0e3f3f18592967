/* The registry's names, the refusal list, the identity of a batch, and what a collector does with a
 * batch. */
#include "vigia/registry.h"
#include "vigia/senml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void formats_have_names_and_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned number;
    } cases[] = {{"json", 50}, {"senml-json", 110}, {"senml-cbor", 112}};
    enum vg_format format;
    for (size_t i = 0; i < 3; i++) {
        assert_true(vg_format_parse(vg_span_str(cases[i].name), &format));
        assert_int_equal(format, cases[i].number);
        assert_true(vg_format_known(cases[i].number, &format));
        assert_string_equal(vg_format_name(format), cases[i].name);
    }
    assert_false(vg_format_parse(VG_SPAN("cbor"), &format));
    assert_false(vg_format_known(VG_FORMAT_CBOR, &format));
    assert_false(vg_format_known(0, &format));
    assert_string_equal(vg_format_name(VG_FORMAT_CBOR), "cbor");
}

static void codes_are_the_bytes_of_the_standard(void **state)
{
    (void)state;
    char text[VG_COAP_TEXT_MAX];
    assert_int_equal(VG_COAP_CHANGED, 68);
    assert_int_equal(VG_COAP_UNPROCESSABLE, 150);
    assert_string_equal(vg_coap_text(VG_COAP_CHANGED, text), "2.04");
    assert_string_equal(vg_coap_text(VG_COAP_UNPROCESSABLE, text), "4.22");
    assert_string_equal(vg_coap_text(VG_COAP_UNAVAILABLE, text), "5.03");
}

static void every_reason_has_name_text_and_code(void **state)
{
    (void)state;
    for (unsigned r = 0; r < VG_REASON_COUNT; r++) {
        assert_true(strlen(vg_reason_name((enum vg_reason)r)) > 0);
        assert_true(strlen(vg_reason_text((enum vg_reason)r)) > 0);
        for (unsigned other = 0; other < r; other++) {
            assert_string_not_equal(vg_reason_name((enum vg_reason)r),
                                    vg_reason_name((enum vg_reason)other));
        }
    }
    assert_int_equal(vg_reason_code(VG_REASON_NONE), VG_COAP_CHANGED);
    assert_int_equal(vg_reason_code(VG_REASON_SYNTAX), VG_COAP_BAD_REQUEST);
    assert_int_equal(vg_reason_code(VG_REASON_TWICE), VG_COAP_UNPROCESSABLE);
    assert_int_equal(vg_reason_code(VG_REASON_FOREIGN), VG_COAP_FORBIDDEN);
}

static void the_refusal_list_is_an_array_of_pairs(void **state)
{
    (void)state;
    static const struct vg_refusal list[] = {{0, VG_COAP_FORBIDDEN}, {300, VG_COAP_UNPROCESSABLE}};
    static const unsigned char expected[] = {0x82, 0x82, 0x00, 0x18, 131, 0x82,
                                             0x19, 0x01, 0x2c, 0x18, 150};
    unsigned char body[32];
    size_t len;
    assert_int_equal(vg_refusals_encode(list, 2, body, sizeof(body), &len), VG_OK);
    assert_int_equal(len, sizeof(expected));
    assert_memory_equal(body, expected, len);
    struct vg_refusal back[2];
    size_t count;
    assert_int_equal(vg_refusals_decode(vg_span(body, len), back, 2, &count), VG_OK);
    assert_int_equal(count, 2);
    assert_int_equal(back[1].index, 300);
    assert_int_equal(back[1].code, VG_COAP_UNPROCESSABLE);
    assert_int_equal(vg_refusals_decode(vg_span(body, len), back, 1, &count), VG_E_FULL);
    for (size_t size = 0; size < len; size++) {
        assert_int_equal(vg_refusals_encode(list, 2, body, size, &len), VG_E_FULL);
        assert_int_equal(vg_refusals_decode(vg_span(expected, size), back, 2, &count),
                         VG_E_INVALID);
    }
}

static void the_longest_refusal_list_fits_its_bound(void **state)
{
    (void)state;
    struct vg_refusal list[VG_BATCH_READINGS_MAX];
    unsigned char body[VG_REFUSALS_BYTES_MAX];
    struct vg_refusal back[VG_BATCH_READINGS_MAX];
    size_t len;
    size_t count;
    for (size_t i = 0; i < VG_BATCH_READINGS_MAX; i++) {
        list[i] = (struct vg_refusal){(uint16_t)i, VG_COAP_UNPROCESSABLE};
    }
    assert_int_equal(vg_refusals_encode(list, VG_BATCH_READINGS_MAX, body, sizeof(body), &len),
                     VG_OK);
    assert_int_equal(vg_refusals_decode(vg_span(body, len), back, VG_BATCH_READINGS_MAX, &count),
                     VG_OK);
    assert_int_equal(count, VG_BATCH_READINGS_MAX);
    assert_true(len <= VG_BODY_MAX);
}

static void a_malformed_refusal_list_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "01",       "8101",       "818101",           "81830101 01",  "8182200 1",
        "818201f5", "8182016131", "81821a0001000001", "81820119ffff", "81820101 00",
        "8182",     "9f820101",   "81820181",         "81ff",         "819f01"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char hex[64];
        size_t n = 0;
        for (const char *c = cases[i]; *c != '\0'; c++) {
            if (*c != ' ') {
                hex[n++] = *c;
            }
        }
        unsigned char body[32];
        struct vg_refusal out[4];
        size_t count;
        assert_true(vg_unhex(vg_span(hex, n), body, n / 2));
        assert_int_equal(vg_refusals_decode(vg_span(body, n / 2), out, 4, &count), VG_E_INVALID);
    }
}

static enum vg_err parse(const char *a, const char *b, const char *c, size_t count,
                         struct vg_identity *out, struct vg_error *err)
{
    struct vg_span queries[3] = {vg_span_str(a), vg_span_str(b), vg_span_str(c)};
    size_t n = (size_t)((a != NULL) + (b != NULL) + (c != NULL));
    return vg_identity_parse(queries, n, count, out, err);
}

static void an_identity_travels_in_the_query(void **state)
{
    (void)state;
    const struct vg_identity id = {
        .store = 0x9f3c1b22a0d47e15ULL, .seq = 1812, .lane = VG_LANE_URGENT};
    char q[3][VG_QUERY_MAX];
    struct vg_identity back;
    struct vg_error err;
    vg_identity_format(&id, q);
    assert_string_equal(q[0], "store=9f3c1b22a0d47e15");
    assert_string_equal(q[1], "lane=u");
    assert_string_equal(q[2], "seq=1812");
    assert_int_equal(parse(q[2], q[0], q[1], 10, &back, &err), VG_OK);
    assert_true(back.store == id.store && back.seq == id.seq && back.lane == id.lane);
    const struct vg_identity most = {
        .store = UINT64_MAX, .seq = VG_SEQ_MAX, .lane = VG_LANE_ROUTINE};
    vg_identity_format(&most, q);
    assert_int_equal(parse(q[0], q[1], q[2], 0, &back, &err), VG_OK);
    assert_true(back.store == UINT64_MAX && back.seq == VG_SEQ_MAX);
    assert_int_equal(vg_identity_parse(NULL, 0, 1, &back, &err), VG_OK);
    assert_int_equal(back.lane, VG_LANE_NONE);
    assert_int_equal(parse("other=1", "st", "storex=1", 1, &back, &err), VG_OK);
    assert_int_equal(back.lane, VG_LANE_NONE);
}

static void a_wrong_identity_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *q[3];
        const char *says;
    } cases[] = {
        {{"store=9f3c1b22a0d47e15", NULL, NULL},
         "query: store, lane and seq go together, or none of them"},
        {{"store=9f3c1b22a0d47e15", "lane=u", NULL},
         "query: store, lane and seq go together, or none of them"},
        {{"store=9f3c1b22a0d47e1", "lane=u", "seq=1"}, "query store: not a value it can have"},
        {{"store=9f3c1b22a0d47e1g", "lane=u", "seq=1"}, "query store: not a value it can have"},
        {{"store=9f3c1b22a0d47e15", "lane=x", "seq=1"}, "query lane: not a value it can have"},
        {{"store=9f3c1b22a0d47e15", "lane=ur", "seq=1"}, "query lane: not a value it can have"},
        {{"store=9f3c1b22a0d47e15", "lane=u", "seq="}, "query seq: not a value it can have"},
        {{"store=9f3c1b22a0d47e15", "lane=u", "seq=9007199254740992"},
         "query seq: not a value it can have"},
        {{"store=9f3c1b22a0d47e15", "lane=u", "seq=9007199254740990"},
         "query seq: not a value it can have"},
        {{"lane=u", "lane=u", "seq=1"}, "query lane: given twice"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vg_identity untouched = {.seq = 77};
        struct vg_error err;
        assert_int_equal(parse(cases[i].q[0], cases[i].q[1], cases[i].q[2], 5, &untouched, &err),
                         VG_E_INVALID);
        assert_string_equal(err.text, cases[i].says);
        assert_int_equal(untouched.seq, 77);
    }
}

static struct vg_batch batch;

static void a_collector_adds_its_own_refusals(void **state)
{
    (void)state;
    static const char body[] =
        "[{\"id\":\"a\",\"smoke\":true},{\"id\":\"b\",\"smoke\":1},{\"id\":\"c\",\"ok\":true}]";
    struct vg_error err;
    struct vg_refusal list[VG_BATCH_READINGS_MAX];
    struct vg_wall now = {1793194820500};
    assert_int_equal(vg_batch_decode(VG_FORMAT_JSON, VG_SPAN(body), now, &batch, &err), VG_E_RANGE);
    assert_string_equal(err.text, "reading 1 (b): a value of the wrong type (value-type)");
    assert_int_equal(vg_batch_code(&batch), VG_COAP_UNPROCESSABLE);
    vg_batch_refuse(&batch, 2, VG_REASON_FOREIGN);
    vg_batch_refuse(&batch, 1, VG_REASON_FOREIGN);
    assert_int_equal(batch.refused, 2);
    assert_int_equal(vg_batch_refusals(&batch, list), 2);
    assert_int_equal(list[0].index, 1);
    assert_int_equal(list[0].code, VG_COAP_UNPROCESSABLE);
    assert_int_equal(list[1].index, 2);
    assert_int_equal(list[1].code, VG_COAP_FORBIDDEN);
    assert_int_equal(vg_batch_code(&batch), VG_COAP_UNPROCESSABLE);
    assert_int_equal(vg_batch_decode(VG_FORMAT_JSON, VG_SPAN("{"), now, &batch, &err),
                     VG_E_INVALID);
    assert_string_equal(err.text, "byte 1: not well-formed (syntax)");
    assert_int_equal(err.offset, 1);
    assert_int_equal(vg_batch_code(&batch), VG_COAP_BAD_REQUEST);
}

static void a_batch_takes_device_and_identity(void **state)
{
    (void)state;
    static const char body[] = "[{\"id\":\"a\",\"smoke\":true},{\"id\":\"b\",\"smoke\":true}]";
    const struct vg_identity id = {.store = 5, .seq = 100, .lane = VG_LANE_ROUTINE};
    const struct vg_identity none = {.lane = VG_LANE_NONE};
    struct vg_wall now = {1793194820500};
    assert_int_equal(vg_batch_decode(VG_FORMAT_JSON, VG_SPAN(body), now, &batch, NULL), VG_OK);
    assert_int_equal(vg_batch_code(&batch), VG_COAP_CHANGED);
    vg_batch_identify(&batch, "pi-42", &id);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(batch.readings[i].device, "pi-42");
        assert_int_equal(batch.readings[i].store, 5);
        assert_int_equal(batch.readings[i].seq, 100 + i);
        assert_int_equal(batch.readings[i].lane, VG_LANE_ROUTINE);
    }
    vg_batch_identify(&batch, "pi-43", &none);
    assert_string_equal(batch.readings[1].device, "pi-43");
    assert_int_equal(batch.readings[1].lane, VG_LANE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_have_names_and_numbers),
        cmocka_unit_test(codes_are_the_bytes_of_the_standard),
        cmocka_unit_test(every_reason_has_name_text_and_code),
        cmocka_unit_test(the_refusal_list_is_an_array_of_pairs),
        cmocka_unit_test(the_longest_refusal_list_fits_its_bound),
        cmocka_unit_test(a_malformed_refusal_list_is_refused),
        cmocka_unit_test(an_identity_travels_in_the_query),
        cmocka_unit_test(a_wrong_identity_is_refused_by_name),
        cmocka_unit_test(a_collector_adds_its_own_refusals),
        cmocka_unit_test(a_batch_takes_device_and_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
