/* SenML in CBOR, content-format 112 (RFC 8428 §6): integer labels for the known, text labels for
 * the rest. Definite and indefinite lengths are both accepted (RFC 8949 §3.2). */
#include "batch.h"

#include <cbor.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Tag 4: a decimal fraction [exponent, mantissa] (RFC 8949 §3.4.4). */
#define TAG_DECIMAL 4
/* Beyond these exponents a 64-bit mantissa gives zero or infinity anyway. */
#define DECIMAL_EXPONENT_MAX 400

/* Reads a text, chunked or not; each chunk is UTF-8 by itself (RFC 8949 §3.2.3). */
static enum vg_reason take_text(CborValue *it, struct vgi_text *out)
{
    vgi_text_clear(out);
    if (cbor_value_begin_string_iteration(it) != CborNoError) {
        return VG_REASON_SYNTAX;
    }
    for (;;) {
        const char *chunk;
        size_t len;
        CborError error = cbor_value_get_text_string_chunk(it, &chunk, &len, it);
        if (error == CborErrorNoMoreStringChunks) {
            break;
        }
        if (error != CborNoError) {
            return VG_REASON_SYNTAX;
        }
        if (!vg_utf8_valid(vg_span(chunk, len))) {
            return VG_REASON_UTF8;
        }
        vgi_text_add(out, chunk, len);
    }
    return cbor_value_finish_string_iteration(it) == CborNoError ? VG_REASON_NONE
                                                                 : VG_REASON_SYNTAX;
}

static enum vg_reason advance(CborValue *it)
{
    return cbor_value_advance_fixed(it) == CborNoError ? VG_REASON_NONE : VG_REASON_SYNTAX;
}

/* Two integers in an array behind tag 4. */
static enum vg_reason take_decimal(CborValue *it, double *out)
{
    CborTag tag;
    CborValue pair;
    int exponent;
    int64_t mantissa;
    (void)cbor_value_get_tag(it, &tag);
    if (tag != TAG_DECIMAL) {
        return VG_REASON_LABEL_TYPE;
    }
    if (cbor_value_skip_tag(it) != CborNoError) {
        return VG_REASON_SYNTAX;
    }
    if (!cbor_value_is_array(it)) {
        return VG_REASON_LABEL_TYPE;
    }
    if (cbor_value_enter_container(it, &pair) != CborNoError) {
        return VG_REASON_SYNTAX;
    }
    if (!cbor_value_is_integer(&pair) ||
        cbor_value_get_int_checked(&pair, &exponent) != CborNoError) {
        return VG_REASON_LABEL_TYPE;
    }
    if (advance(&pair) != VG_REASON_NONE) {
        return VG_REASON_SYNTAX;
    }
    if (!cbor_value_is_integer(&pair) ||
        cbor_value_get_int64_checked(&pair, &mantissa) != CborNoError) {
        return VG_REASON_LABEL_TYPE;
    }
    if (advance(&pair) != VG_REASON_NONE) {
        return VG_REASON_SYNTAX;
    }
    if (!cbor_value_at_end(&pair)) {
        return VG_REASON_LABEL_TYPE;
    }
    if (cbor_value_leave_container(it, &pair) != CborNoError) {
        return VG_REASON_SYNTAX;
    }
    exponent = exponent > DECIMAL_EXPONENT_MAX    ? DECIMAL_EXPONENT_MAX
               : exponent < -DECIMAL_EXPONENT_MAX ? -DECIMAL_EXPONENT_MAX
                                                  : exponent;
    /* Through text: the only conversion that rounds right for every pair. */
    char text[48];
    int len = snprintf(text, sizeof(text), "%" PRId64 "E%d", mantissa, exponent);
    if (!vg_span_to_double(vg_span(text, (size_t)len), out)) {
        *out = INFINITY;
    }
    return VG_REASON_NONE;
}

static enum vg_reason take_number(CborValue *it, double *out)
{
    float single;
    uint64_t magnitude;
    switch ((int)cbor_value_get_type(it)) {
    case CborIntegerType:
        (void)cbor_value_get_raw_integer(it, &magnitude);
        *out = cbor_value_is_negative_integer(it) ? -1.0 - (double)magnitude : (double)magnitude;
        return advance(it);
    case CborHalfFloatType:
        (void)cbor_value_get_half_float_as_float(it, &single);
        *out = (double)single;
        return advance(it);
    case CborFloatType:
        (void)cbor_value_get_float(it, &single);
        *out = (double)single;
        return advance(it);
    case CborDoubleType:
        (void)cbor_value_get_double(it, out);
        return advance(it);
    case CborTagType:
        return take_decimal(it, out);
    default:
        return VG_REASON_LABEL_TYPE;
    }
}

/* Steps over any value, `depth` containers deep already. Texts are checked like all others. */
static enum vg_reason skip(CborValue *it, unsigned depth)
{
    struct vgi_text text;
    while (cbor_value_is_tag(it)) {
        if (cbor_value_skip_tag(it) != CborNoError) {
            return VG_REASON_SYNTAX;
        }
    }
    if (cbor_value_is_text_string(it)) {
        return take_text(it, &text);
    }
    if (!cbor_value_is_container(it)) {
        /* Byte strings too: chunked or not, tinycbor steps over them without recursion. */
        return cbor_value_advance(it) == CborNoError ? VG_REASON_NONE : VG_REASON_SYNTAX;
    }
    if (depth == VGI_DEPTH_MAX) {
        return VG_REASON_DEPTH;
    }
    CborValue inside;
    if (cbor_value_enter_container(it, &inside) != CborNoError) {
        return VG_REASON_SYNTAX;
    }
    while (!cbor_value_at_end(&inside)) {
        enum vg_reason reason = skip(&inside, depth + 1);
        if (reason != VG_REASON_NONE) {
            *it = inside;
            return reason;
        }
    }
    return cbor_value_leave_container(it, &inside) == CborNoError ? VG_REASON_NONE
                                                                  : VG_REASON_SYNTAX;
}

static enum vg_reason take_label(CborValue *it, struct vgi_record *rec, enum vgi_label label)
{
    switch (vgi_labels[label].type) {
    case VGI_LABEL_TEXT:
        if (!cbor_value_is_text_string(it)) {
            return VG_REASON_LABEL_TYPE;
        }
        return take_text(it, vgi_record_text(rec, label));
    case VGI_LABEL_NUMBER:
        return take_number(it, &rec->numbers[label]);
    case VGI_LABEL_UINT:
        if (!cbor_value_is_unsigned_integer(it)) {
            return VG_REASON_LABEL_TYPE;
        }
        return take_number(it, &rec->numbers[label]);
    case VGI_LABEL_BOOL:
        if (!cbor_value_is_boolean(it)) {
            return VG_REASON_LABEL_TYPE;
        }
        (void)cbor_value_get_boolean(it, &rec->boolean);
        return advance(it);
    case VGI_LABEL_DATA:
        break;
    }
    if (!cbor_value_is_byte_string(it)) {
        return VG_REASON_LABEL_TYPE;
    }
    return cbor_value_advance(it) == CborNoError ? VG_REASON_NONE : VG_REASON_SYNTAX;
}

/* Reads a map key into a label; an unknown one is noted in the record. */
static enum vg_reason take_key(CborValue *it, struct vgi_record *rec, enum vgi_label *label)
{
    if (cbor_value_is_integer(it)) {
        int64_t number = INT64_MIN;
        (void)cbor_value_get_int64_checked(it, &number);
        *label = vgi_label_by_number(number);
        if (*label == VGI_LABEL_UNKNOWN) {
            return VG_REASON_LABEL_FORM;
        }
        enum vg_reason reason = vgi_record_label(rec, *label);
        return reason != VG_REASON_NONE ? reason : advance(it);
    }
    if (!cbor_value_is_text_string(it)) {
        return VG_REASON_LABEL_FORM;
    }
    struct vgi_text name;
    enum vg_reason reason = take_text(it, &name);
    if (reason != VG_REASON_NONE) {
        return reason;
    }
    /* A known label spelled out would be read by some and ignored by others. */
    if (vgi_label_by_name(vgi_text_span(&name)) != VGI_LABEL_UNKNOWN) {
        return VG_REASON_LABEL_FORM;
    }
    *label = VGI_LABEL_UNKNOWN;
    return vgi_record_unknown(rec, &name);
}

/* The record at `it`, which moves behind it; on failure `it` stands where it happened. */
static enum vg_reason take_record(CborValue *it, struct vgi_resolver *resolver,
                                  struct vgi_record *rec)
{
    if (!cbor_value_is_map(it)) {
        return VG_REASON_SHAPE;
    }
    CborValue map;
    if (cbor_value_enter_container(it, &map) != CborNoError) {
        return VG_REASON_SYNTAX;
    }
    vgi_record_clear(rec);
    while (!cbor_value_at_end(&map)) {
        enum vgi_label label;
        enum vg_reason reason = take_key(&map, rec, &label);
        if (reason == VG_REASON_NONE) {
            reason = label == VGI_LABEL_UNKNOWN ? skip(&map, 2) : take_label(&map, rec, label);
        }
        if (reason != VG_REASON_NONE) {
            *it = map;
            return reason;
        }
    }
    if (cbor_value_leave_container(it, &map) != CborNoError) {
        *it = map;
        return VG_REASON_SYNTAX;
    }
    return vgi_resolve(resolver, rec);
}

enum vg_err vgi_decode_senml_cbor(struct vg_span body, struct vg_wall now, struct vg_batch *b,
                                  struct vg_error *err)
{
    CborParser parser;
    CborValue root;
    CborValue records;
    struct vgi_resolver resolver;
    struct vgi_record rec;
    const uint8_t *bytes = (const uint8_t *)body.at;
    if (body.len == 0 || cbor_parser_init(bytes, body.len, 0, &parser, &root) != CborNoError) {
        return vgi_batch_fail(b, VG_REASON_SYNTAX, 0, err);
    }
    if (!cbor_value_is_array(&root)) {
        return vgi_batch_fail(b, VG_REASON_SHAPE, 0, err);
    }
    if (cbor_value_enter_container(&root, &records) != CborNoError) {
        return vgi_batch_fail(b, VG_REASON_SYNTAX, 0, err);
    }
    if (cbor_value_at_end(&records)) {
        return vgi_batch_fail(b, VG_REASON_EMPTY, 0, err);
    }
    vgi_resolver_init(&resolver, b, now);
    enum vg_reason reason = VG_REASON_NONE;
    while (reason == VG_REASON_NONE && !cbor_value_at_end(&records)) {
        reason = take_record(&records, &resolver, &rec);
    }
    if (reason != VG_REASON_NONE || cbor_value_leave_container(&root, &records) != CborNoError) {
        reason = reason != VG_REASON_NONE ? reason : VG_REASON_SYNTAX;
        return vgi_batch_fail(b, reason, (size_t)(cbor_value_get_next_byte(&records) - bytes), err);
    }
    size_t used = (size_t)(cbor_value_get_next_byte(&root) - bytes);
    if (used != body.len) {
        return vgi_batch_fail(b, VG_REASON_TRAILING, used, err);
    }
    return vgi_batch_finish(b, err);
}
