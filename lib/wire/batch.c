/* A batch of readings: the common ground of the decoders, and what a collector does with the result
 * (senml.h). */
#include "batch.h"

#include "vigia/record.h"

void vgi_text_clear(struct vgi_text *t)
{
    t->at[0] = '\0';
    t->len = 0;
    t->nul = false;
}

void vgi_text_add(struct vgi_text *t, const char *bytes, size_t len)
{
    size_t kept = vgi_text_long(t) ? VGI_TEXT_MAX : t->len;
    size_t room = VGI_TEXT_MAX - kept;
    size_t take = len < room ? len : room;
    /* An empty chunk may come with no address. */
    if (take > 0) {
        memcpy(t->at + kept, bytes, take);
        t->at[kept + take] = '\0';
    }
    if (len > 0 && memchr(bytes, '\0', len) != NULL) {
        t->nul = true;
    }
    t->len += len;
}

void vgi_text_from_json(struct vgi_text *t, struct vg_json_str s)
{
    vgi_text_clear(t);
    if (!s.escaped) {
        vgi_text_add(t, s.raw.at, s.raw.len);
        return;
    }
    const char *at = s.raw.at;
    const char *end = at + s.raw.len;
    while (at < end) {
        char bytes[4];
        size_t len = vgi_json_str_next(&at, end, bytes);
        vgi_text_add(t, bytes, len);
    }
}

enum vg_reason vgi_json_reason(enum vg_json_error error)
{
    switch (error) {
    case VG_JSON_UTF8:
        return VG_REASON_UTF8;
    case VG_JSON_DEPTH:
        return VG_REASON_DEPTH;
    case VG_JSON_TRAILING:
        return VG_REASON_TRAILING;
    case VG_JSON_OK:
    case VG_JSON_SYNTAX:
    case VG_JSON_TYPE:
    case VG_JSON_RANGE:
        break;
    }
    return VG_REASON_SYNTAX;
}

int vgi_batch_add(struct vg_batch *b, struct vg_span sensor, int64_t time_ms, int64_t now_ms,
                  enum vg_quality quality)
{
    if (b->count == VG_BATCH_READINGS_MAX) {
        return -1;
    }
    struct vg_reading *r = &b->readings[b->count];
    b->reasons[b->count] = VG_REASON_NONE;
    assert(sensor.len <= VG_SENSOR_ID_MAX);
    if (sensor.len > 0) {
        memcpy(r->sensor, sensor.at, sensor.len);
    }
    r->sensor[sensor.len] = '\0';
    r->device[0] = '\0';
    r->store = 0;
    r->seq = 0;
    r->lane = VG_LANE_NONE;
    r->quality = (uint8_t)quality;
    r->event = VG_EVENT_NONE;
    r->extra_count = 0;
    r->has = 0;
    r->time_ms = time_ms;
    r->received_ms = now_ms;
    r->event_text[0] = '\0';
    return (int)b->count++;
}

enum vg_err vgi_batch_fail(struct vg_batch *b, enum vg_reason reason, size_t offset,
                           struct vg_error *err)
{
    b->count = 0;
    b->refused = 0;
    b->reason = reason;
    b->offset = offset;
    return vg_fail_at(err, VG_E_INVALID, offset, "byte %zu: %s (%s)", offset,
                      vg_reason_text(reason), vg_reason_name(reason));
}

enum vg_err vgi_batch_finish(struct vg_batch *b, struct vg_error *err)
{
    size_t first = b->count;
    for (size_t i = b->count; i > 0; i--) {
        struct vg_reading *r = &b->readings[i - 1];
        r->has &= ~VGI_HAS_QUALITY;
        if (b->reasons[i - 1] == VG_REASON_NONE) {
            b->reasons[i - 1] = (uint8_t)vgi_reading_check(r);
        }
        if (b->reasons[i - 1] != VG_REASON_NONE) {
            b->refused++;
            first = i - 1;
        }
    }
    if (b->refused == 0) {
        return VG_OK;
    }
    enum vg_reason reason = (enum vg_reason)b->reasons[first];
    return vg_fail(err, VG_E_RANGE, "reading %zu (%s): %s (%s)", first, b->readings[first].sensor,
                   vg_reason_text(reason), vg_reason_name(reason));
}

static void batch_clear(struct vg_batch *b)
{
    b->count = 0;
    b->refused = 0;
    b->reason = VG_REASON_NONE;
    b->offset = 0;
}

enum vg_err vg_batch_decode(enum vg_format format, struct vg_span body, struct vg_wall now,
                            struct vg_batch *batch, struct vg_error *err)
{
    batch_clear(batch);
    switch (format) {
    case VG_FORMAT_SENML_CBOR:
        return vgi_decode_senml_cbor(body, now, batch, err);
    case VG_FORMAT_SENML_JSON:
        return vgi_decode_senml_json(body, now, batch, err);
    case VG_FORMAT_JSON:
        return vgi_decode_plain_json(body, now, batch, err);
    case VG_FORMAT_CBOR:
        break;
    }
    assert(format != VG_FORMAT_CBOR); /* vg_format_known never gives it */
    return vgi_batch_fail(batch, VG_REASON_SHAPE, 0, err);
}

/* One id of POST /v1/ok, as an OK taken now. */
static enum vg_reason add_ok(struct vg_batch *b, struct vg_json_str id, struct vg_wall now)
{
    struct vgi_text text;
    vgi_text_from_json(&text, id);
    struct vg_span sensor = vgi_text_span(&text);
    bool valid = text.len <= VG_SENSOR_ID_MAX && vg_sensor_id_valid(sensor);
    int index =
        vgi_batch_add(b, valid ? sensor : vg_span("", 0), now.ms, now.ms, VG_QUALITY_UNSYNCED);
    if (index < 0) {
        return VG_REASON_TOO_MANY;
    }
    b->readings[index].has = VG_HAS_OK;
    if (!valid) {
        b->reasons[index] = text.len > VG_SENSOR_ID_MAX ? VG_REASON_NAME_LONG : VG_REASON_NAME;
    }
    return VG_REASON_NONE;
}

enum vg_err vg_batch_decode_ok(struct vg_span body, struct vg_wall now, struct vg_batch *batch,
                               struct vg_error *err)
{
    struct vg_json j;
    struct vg_json_str id;
    batch_clear(batch);
    vg_json_init(&j, body, VGI_DEPTH_MAX);
    if (vg_json_peek(&j) != VG_JSON_ARRAY && vgi_json_other(&j)) {
        return vgi_batch_fail(batch, VG_REASON_SHAPE, (size_t)(j.at - j.start), err);
    }
    vg_json_array(&j);
    while (vg_json_element(&j)) {
        enum vg_reason reason = VG_REASON_NONE;
        if (vg_json_peek(&j) != VG_JSON_STRING && vgi_json_other(&j)) {
            reason = VG_REASON_SHAPE;
        } else if (vg_json_string(&j, &id)) {
            reason = add_ok(batch, id, now);
        }
        if (reason != VG_REASON_NONE) {
            return vgi_batch_fail(batch, reason, (size_t)(j.at - j.start), err);
        }
    }
    if (!vg_json_done(&j)) {
        return vgi_batch_fail(batch, vgi_json_reason(j.error), j.offset, err);
    }
    if (batch->count == 0) {
        return vgi_batch_fail(batch, VG_REASON_EMPTY, 0, err);
    }
    return vgi_batch_finish(batch, err);
}

void vg_batch_refuse(struct vg_batch *batch, size_t index, enum vg_reason reason)
{
    assert(index < batch->count && reason != VG_REASON_NONE);
    if (batch->reasons[index] == VG_REASON_NONE) {
        batch->reasons[index] = (uint8_t)reason;
        batch->refused++;
    }
}

void vg_batch_identify(struct vg_batch *batch, const char *device, const struct vg_identity *id)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct vg_reading *r = &batch->readings[i];
        bool fits = vg_str_copy(device, r->device, sizeof(r->device));
        assert(fits);
        (void)fits;
        r->lane = id->lane;
        if (id->lane != VG_LANE_NONE) {
            r->store = id->store;
            r->seq = id->seq + i;
        }
    }
}

size_t vg_batch_refusals(const struct vg_batch *batch, struct vg_refusal *out)
{
    size_t found = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->reasons[i] != VG_REASON_NONE) {
            out[found].index = (uint16_t)i;
            out[found].code = (uint8_t)vg_reason_code((enum vg_reason)batch->reasons[i]);
            found++;
        }
    }
    return found;
}

enum vg_coap vg_batch_code(const struct vg_batch *batch)
{
    if (batch->reason != VG_REASON_NONE) {
        return vg_reason_code(batch->reason);
    }
    enum vg_coap worst = VG_COAP_CHANGED;
    for (size_t i = 0; i < batch->count; i++) {
        /* The class of 4.22 is above 4.03 in value too. */
        enum vg_coap code = vg_reason_code((enum vg_reason)batch->reasons[i]);
        worst = code > worst ? code : worst;
    }
    return worst;
}
static_assert(VG_COAP_UNPROCESSABLE > VG_COAP_FORBIDDEN && VG_COAP_FORBIDDEN > VG_COAP_CHANGED,
              "the greatest code wins in vg_batch_code");

static void emit_refusal(const struct vg_batch *batch, size_t i, vg_line_fn *emit, void *arg)
{
    char line[VG_RECORD_MAX];
    char code[VG_COAP_TEXT_MAX];
    struct vg_json_out w;
    enum vg_reason reason = (enum vg_reason)batch->reasons[i];
    vg_jsonw_init(&w, line, sizeof(line));
    vg_jsonw_object(&w);
    vg_jsonw_key(&w, "refused");
    vg_jsonw_u64(&w, i);
    vg_jsonw_key(&w, "sensor");
    vg_jsonw_string(&w, batch->readings[i].sensor);
    vg_jsonw_key(&w, "code");
    vg_jsonw_string(&w, vg_coap_text(vg_reason_code(reason), code));
    vg_jsonw_key(&w, "reason");
    vg_jsonw_string(&w, vg_reason_name(reason));
    vg_jsonw_object_end(&w);
    emit(arg, vg_jsonw_done(&w));
}

void vg_batch_emit(const struct vg_batch *batch, vg_line_fn *emit, void *arg)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->reasons[i] != VG_REASON_NONE) {
            emit_refusal(batch, i, emit, arg);
            continue;
        }
        char line[VG_RECORD_MAX];
        size_t len = 0;
        enum vg_err encoded = vg_record_encode(&batch->readings[i], line, sizeof(line), &len);
        assert(encoded == VG_OK);
        (void)encoded;
        emit(arg, vg_span(line, len));
    }
}

enum vg_err vg_batch_lines(enum vg_format format, struct vg_span body, struct vg_wall now,
                           struct vg_batch *batch, vg_line_fn *emit, void *arg,
                           struct vg_error *err)
{
    enum vg_err result = vg_batch_decode(format, body, now, batch, err);
    vg_batch_emit(batch, emit, arg);
    return result;
}
