/* SenML in JSON, content-format 110 (RFC 8428 §5). */
#include "batch.h"

/* Reads the value of a known label. False: of the wrong type (or the reader has failed). */
static bool take_label(struct vg_json *j, struct vgi_record *rec, enum vgi_label label)
{
    struct vg_json_str text;
    switch (vgi_labels[label].type) {
    case VGI_LABEL_TEXT:
        if (vg_json_peek(j) != VG_JSON_STRING || !vg_json_string(j, &text)) {
            return false;
        }
        vgi_text_from_json(vgi_record_text(rec, label), text);
        return true;
    case VGI_LABEL_NUMBER:
    case VGI_LABEL_UINT:
        return vg_json_peek(j) == VG_JSON_NUMBER && vgi_json_number_any(j, &rec->numbers[label]);
    case VGI_LABEL_BOOL:
        return vg_json_peek(j) == VG_JSON_BOOL && vg_json_bool(j, &rec->boolean);
    case VGI_LABEL_DATA:
        break;
    }
    return vg_json_peek(j) == VG_JSON_STRING && vg_json_string(j, &text);
}

/* One member of a record; what is wrong with it, where the reader itself has not failed. */
static enum vg_reason take_member(struct vg_json *j, struct vgi_record *rec, struct vg_json_str key)
{
    struct vgi_text name;
    vgi_text_from_json(&name, key);
    enum vgi_label label =
        vgi_text_long(&name) ? VGI_LABEL_UNKNOWN : vgi_label_by_name(vgi_text_span(&name));
    if (label == VGI_LABEL_UNKNOWN) {
        enum vg_reason reason = vgi_record_unknown(rec, &name);
        if (reason == VG_REASON_NONE) {
            vg_json_skip(j);
        }
        return reason;
    }
    enum vg_reason reason = vgi_record_label(rec, label);
    if (reason != VG_REASON_NONE) {
        return reason;
    }
    if (!take_label(j, rec, label) && j->error == VG_JSON_OK && vgi_json_other(j)) {
        return VG_REASON_LABEL_TYPE;
    }
    return VG_REASON_NONE;
}

static enum vg_reason take_record(struct vg_json *j, struct vgi_resolver *resolver,
                                  struct vgi_record *rec)
{
    struct vg_json_str key;
    if (vg_json_peek(j) != VG_JSON_OBJECT && vgi_json_other(j)) {
        return VG_REASON_SHAPE;
    }
    vgi_record_clear(rec);
    vg_json_object(j);
    while (vg_json_member(j, &key)) {
        enum vg_reason reason = take_member(j, rec, key);
        if (reason != VG_REASON_NONE) {
            return reason;
        }
    }
    if (j->error != VG_JSON_OK) {
        return VG_REASON_NONE; /* the caller sees it */
    }
    return vgi_resolve(resolver, rec);
}

enum vg_err vgi_decode_senml_json(struct vg_span body, struct vg_wall now, struct vg_batch *b,
                                  struct vg_error *err)
{
    struct vg_json j;
    struct vgi_resolver resolver;
    struct vgi_record rec;
    size_t records = 0;
    vg_json_init(&j, body, VGI_DEPTH_MAX);
    vgi_resolver_init(&resolver, b, now);
    if (vg_json_peek(&j) != VG_JSON_ARRAY && vgi_json_other(&j)) {
        return vgi_batch_fail(b, VG_REASON_SHAPE, (size_t)(j.at - j.start), err);
    }
    vg_json_array(&j);
    while (vg_json_element(&j)) {
        records++;
        enum vg_reason reason = take_record(&j, &resolver, &rec);
        if (reason != VG_REASON_NONE) {
            return vgi_batch_fail(b, reason, (size_t)(j.at - j.start), err);
        }
    }
    if (!vg_json_done(&j)) {
        return vgi_batch_fail(b, vgi_json_reason(j.error), j.offset, err);
    }
    if (records == 0) {
        return vgi_batch_fail(b, VG_REASON_EMPTY, 0, err);
    }
    return vgi_batch_finish(b, err);
}
