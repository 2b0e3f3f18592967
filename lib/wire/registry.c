/* Names of the wire's numbers, the refusal list and the identity of a batch (registry.h). */
#include "vigia/registry.h"

#include <assert.h>
#include <cbor.h>
#include <inttypes.h>
#include <stdio.h>

static const struct {
    enum vg_format format;
    const char *name;
} formats[] = {
    {VG_FORMAT_JSON, "json"},
    {VG_FORMAT_SENML_JSON, "senml-json"},
    {VG_FORMAT_SENML_CBOR, "senml-cbor"},
};
#define FORMAT_COUNT (sizeof(formats) / sizeof(formats[0]))

bool vg_format_parse(struct vg_span name, enum vg_format *out)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        if (vg_span_eq(name, vg_span_str(formats[i].name))) {
            *out = formats[i].format;
            return true;
        }
    }
    return false;
}

bool vg_format_known(unsigned content_format, enum vg_format *out)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        if ((unsigned)formats[i].format == content_format) {
            *out = formats[i].format;
            return true;
        }
    }
    return false;
}

const char *vg_format_name(enum vg_format format)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        if (formats[i].format == format) {
            return formats[i].name;
        }
    }
    return "cbor";
}

const char *vg_coap_text(unsigned code, char *out)
{
    snprintf(out, VG_COAP_TEXT_MAX, "%u.%02u", code >> 5 & 7, code & 31);
    return out;
}

static const struct {
    const char *name;
    const char *text;
    enum vg_coap code;
} reasons[] = {{"none", "accepted", VG_COAP_CHANGED},
#define REASON_ROW(id, code, stable, text) {stable, text, code},
               VG_REASONS(REASON_ROW)
#undef REASON_ROW
};
static_assert(sizeof(reasons) / sizeof(reasons[0]) == VG_REASON_COUNT, "one row per reason");
static_assert(VG_REASON_COUNT <= 256, "a reason fits the byte that vg_batch keeps of it");

const char *vg_reason_name(enum vg_reason reason)
{
    assert((unsigned)reason < VG_REASON_COUNT);
    return reasons[reason].name;
}

const char *vg_reason_text(enum vg_reason reason)
{
    assert((unsigned)reason < VG_REASON_COUNT);
    return reasons[reason].text;
}

enum vg_coap vg_reason_code(enum vg_reason reason)
{
    assert((unsigned)reason < VG_REASON_COUNT);
    return reasons[reason].code;
}

enum vg_err vg_refusals_encode(const struct vg_refusal *list, size_t count, void *out, size_t size,
                               size_t *len)
{
    CborEncoder root;
    CborEncoder array;
    CborEncoder pair;
    cbor_encoder_init(&root, out, size, 0);
    /* tinycbor counts on after the buffer is full; the total tells whether it all fitted. */
    (void)cbor_encoder_create_array(&root, &array, count);
    for (size_t i = 0; i < count; i++) {
        (void)cbor_encoder_create_array(&array, &pair, 2);
        (void)cbor_encode_uint(&pair, list[i].index);
        (void)cbor_encode_uint(&pair, list[i].code);
        (void)cbor_encoder_close_container(&array, &pair);
    }
    (void)cbor_encoder_close_container(&root, &array);
    if (cbor_encoder_get_extra_bytes_needed(&root) > 0) {
        return VG_E_FULL;
    }
    *len = cbor_encoder_get_buffer_size(&root, out);
    return VG_OK;
}

/* One unsigned number of at most `most`, consumed. */
static bool take_uint(CborValue *it, uint64_t most, uint64_t *out)
{
    if (!cbor_value_is_unsigned_integer(it)) {
        return false;
    }
    (void)cbor_value_get_uint64(it, out);
    return *out <= most && cbor_value_advance_fixed(it) == CborNoError;
}

static bool take_refusal(CborValue *list, struct vg_refusal *out)
{
    CborValue pair;
    uint64_t index;
    uint64_t code;
    if (!cbor_value_is_array(list) || cbor_value_enter_container(list, &pair) != CborNoError ||
        !take_uint(&pair, UINT16_MAX, &index) || !take_uint(&pair, UINT8_MAX, &code) ||
        !cbor_value_at_end(&pair) || cbor_value_leave_container(list, &pair) != CborNoError) {
        return false;
    }
    out->index = (uint16_t)index;
    out->code = (uint8_t)code;
    return true;
}

enum vg_err vg_refusals_decode(struct vg_span body, struct vg_refusal *out, size_t max,
                               size_t *count)
{
    CborParser parser;
    CborValue root;
    CborValue list;
    const uint8_t *bytes = (const uint8_t *)body.at;
    if (body.len == 0 || cbor_parser_init(bytes, body.len, 0, &parser, &root) != CborNoError ||
        !cbor_value_is_array(&root) || cbor_value_enter_container(&root, &list) != CborNoError) {
        return VG_E_INVALID;
    }
    size_t found = 0;
    while (!cbor_value_at_end(&list)) {
        struct vg_refusal refusal;
        if (!take_refusal(&list, &refusal)) {
            return VG_E_INVALID;
        }
        if (found == max) {
            return VG_E_FULL;
        }
        out[found++] = refusal;
    }
    if (cbor_value_leave_container(&root, &list) != CborNoError ||
        cbor_value_get_next_byte(&root) != bytes + body.len) {
        return VG_E_INVALID;
    }
    *count = found;
    return VG_OK;
}

void vg_identity_format(const struct vg_identity *id, char out[3][VG_QUERY_MAX])
{
    snprintf(out[0], VG_QUERY_MAX, VG_QUERY_STORE "=%016" PRIx64, id->store);
    snprintf(out[1], VG_QUERY_MAX, VG_QUERY_LANE "=%c", id->lane);
    snprintf(out[2], VG_QUERY_MAX, VG_QUERY_SEQ "=%" PRIu64, id->seq);
}

/* The value after "name=", when the query is that one. */
static bool query_value(struct vg_span query, const char *name, struct vg_span *value)
{
    size_t len = strlen(name);
    if (query.len <= len || memcmp(query.at, name, len) != 0 || query.at[len] != '=') {
        return false;
    }
    *value = vg_span(query.at + len + 1, query.len - len - 1);
    return true;
}

/* Exactly 16 hex digits: what vg_identity_format writes. */
static bool parse_store(struct vg_span value, uint64_t *out)
{
    uint8_t bytes[8];
    if (value.len != 16 || !vg_unhex(value, bytes, sizeof(bytes))) {
        return false;
    }
    uint64_t store = 0;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        store = store << 8 | bytes[i];
    }
    *out = store;
    return true;
}

static bool parse_lane(struct vg_span value, char *out)
{
    if (value.len != 1 || (value.at[0] != VG_LANE_URGENT && value.at[0] != VG_LANE_ROUTINE)) {
        return false;
    }
    *out = value.at[0];
    return true;
}

enum vg_err vg_identity_parse(const struct vg_span *queries, size_t query_count, size_t count,
                              struct vg_identity *out, struct vg_error *err)
{
    enum { STORE = 1, LANE = 2, SEQ = 4, ALL = 7 };
    struct vg_identity id = {.lane = VG_LANE_NONE};
    unsigned seen = 0;
    for (size_t i = 0; i < query_count; i++) {
        struct vg_span value;
        unsigned which;
        bool good;
        unsigned long long seq = 0;
        const char *name;
        if (query_value(queries[i], name = VG_QUERY_STORE, &value)) {
            which = STORE;
            good = parse_store(value, &id.store);
        } else if (query_value(queries[i], name = VG_QUERY_LANE, &value)) {
            which = LANE;
            good = parse_lane(value, &id.lane);
        } else if (query_value(queries[i], name = VG_QUERY_SEQ, &value)) {
            which = SEQ;
            good = vg_span_to_u64(value, &seq) && seq <= VG_SEQ_MAX && count <= VG_SEQ_MAX - seq;
            id.seq = seq;
        } else {
            continue;
        }
        if (!good) {
            return vg_fail(err, VG_E_INVALID, "query %s: not a value it can have", name);
        }
        if ((seen & which) != 0) {
            return vg_fail(err, VG_E_INVALID, "query %s: given twice", name);
        }
        seen |= which;
    }
    if (seen != 0 && seen != ALL) {
        return vg_fail(err, VG_E_INVALID,
                       "query: store, lane and seq go together, or none of them");
    }
    *out = id;
    return VG_OK;
}
