/* Decides what a request deserves. */
#include "check.h"

#include "vigia/fault.h"

static void refuse(struct vgi_verdict *v, enum vg_coap code, const char *reason)
{
    v->code = code;
    v->reason = reason;
}

/* True when the body may be decoded. */
static bool check_envelope(const struct vgi_request *r, enum vg_format *format,
                           struct vgi_verdict *v)
{
    if (r->device == NULL || r->device->state != VG_DEVICE_ACTIVE) {
        refuse(v, VG_COAP_UNAUTHORIZED, "no-identity");
        return false;
    }
    if (!r->has_format || !vg_format_known(r->format, format) ||
        (r->resource == VGI_OK && *format != VG_FORMAT_JSON)) {
        refuse(v, VG_COAP_UNSUPPORTED_FORMAT, "format");
        return false;
    }
    if (r->blockwise || r->body.len > VG_BODY_MAX) {
        refuse(v, VG_COAP_TOO_LARGE, "body-size");
        return false;
    }
    return true;
}

/* The device's own events come from the device itself; everything else from a sensor of its list.
 */
static void authorise(const struct vg_device *device, struct vg_batch *batch)
{
    struct vg_span self = vg_span_str(device->name);

    for (size_t i = 0; i < batch->count; i++) {
        const struct vg_reading *reading = &batch->readings[i];
        struct vg_span sensor = vg_span_str(reading->sensor);
        if (batch->reasons[i] != VG_REASON_NONE) {
            continue;
        }
        if (reading->event != VG_EVENT_NONE ? !vg_span_eq(sensor, self)
                                            : !vg_device_may(device, sensor)) {
            vg_batch_refuse(batch, i, VG_REASON_FOREIGN);
        }
    }
}

/* The list of all refused readings, and the first one's reason as the word for people. */
static void refuse_readings(const struct vg_batch *batch, struct vgi_verdict *v)
{
    struct vg_refusal refusals[VG_BATCH_READINGS_MAX];
    size_t count = vg_batch_refusals(batch, refusals);

    refuse(v, vg_batch_code(batch), vg_reason_name(batch->reasons[refusals[0].index]));
    if (vg_refusals_encode(refusals, count, v->list, sizeof(v->list), &v->list_len) != VG_OK) {
        v->list_len = 0; /* cannot be: the room is that of the longest list */
    }
}

/* The device says it by its lane; one that names none is judged by what it tells. */
static bool is_urgent(const struct vgi_request *r, char lane, const struct vg_batch *batch)
{
    if (r->resource == VGI_OK || lane == VG_LANE_URGENT) {
        return true;
    }
    bool active = false;
    for (size_t i = 0; i < batch->count && lane == VG_LANE_NONE; i++) {
        active = active || vg_reading_active(&batch->readings[i]);
    }
    return active;
}

void vgi_check(const struct vgi_request *r, struct vg_batch *batch, struct vgi_verdict *v)
{
    enum vg_format format;
    struct vg_error err;
    enum vg_err rc;

    v->code = VG_COAP_CHANGED;
    v->reason = "";
    v->list_len = 0;
    v->urgent = false;
    v->identity = (struct vg_identity){.lane = VG_LANE_NONE};
    if (!check_envelope(r, &format, v)) {
        return;
    }
    rc = r->resource == VGI_OK ? vg_batch_decode_ok(r->body, r->now, batch, &err)
                               : vg_batch_decode(format, r->body, r->now, batch, &err);
    if (rc != VG_OK && rc != VG_E_RANGE) {
        refuse(v, VG_COAP_BAD_REQUEST, vg_reason_name((enum vg_reason)batch->reason));
        return;
    }
    (void)VG_FAULT(COLLECTOR_DECODED);
    if (batch->count > r->max_batch) {
        refuse(v, VG_COAP_TOO_LARGE, "batch-size");
        return;
    }
    if (vg_identity_parse(r->queries, r->query_count, batch->count, &v->identity, &err) != VG_OK) {
        refuse(v, VG_COAP_BAD_REQUEST, vg_reason_name(VG_REASON_IDENTITY));
        return;
    }
    authorise(r->device, batch);
    if (batch->refused > 0) {
        refuse_readings(batch, v);
        return;
    }
    (void)VG_FAULT(COLLECTOR_AUTHORISED);
    vg_batch_identify(batch, r->device->name, &v->identity);
    v->urgent = is_urgent(r, v->identity.lane, batch);
}
