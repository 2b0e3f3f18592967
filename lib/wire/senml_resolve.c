/* From SenML records to readings: labels, base fields, names and times (RFC 8428 §4). */
#include "batch.h"

const struct vgi_label_row vgi_labels[VGI_LABEL_COUNT] = {
    [VGI_BN] = {"bn", -2, VGI_LABEL_TEXT},   [VGI_BT] = {"bt", -3, VGI_LABEL_NUMBER},
    [VGI_BU] = {"bu", -4, VGI_LABEL_TEXT},   [VGI_BV] = {"bv", -5, VGI_LABEL_NUMBER},
    [VGI_BS] = {"bs", -6, VGI_LABEL_NUMBER}, [VGI_BVER] = {"bver", -1, VGI_LABEL_UINT},
    [VGI_N] = {"n", 0, VGI_LABEL_TEXT},      [VGI_U] = {"u", 1, VGI_LABEL_TEXT},
    [VGI_V] = {"v", 2, VGI_LABEL_NUMBER},    [VGI_VS] = {"vs", 3, VGI_LABEL_TEXT},
    [VGI_VB] = {"vb", 4, VGI_LABEL_BOOL},    [VGI_S] = {"s", 5, VGI_LABEL_NUMBER},
    [VGI_T] = {"t", 6, VGI_LABEL_NUMBER},    [VGI_UT] = {"ut", 7, VGI_LABEL_NUMBER},
    [VGI_VD] = {"vd", 8, VGI_LABEL_DATA},
};

/* The newest version of the format that is understood, and the one meant when none is given (RFC
 * 8428 §4.1). */
#define SENML_VERSION 10
/* Times below this are relative to now (RFC 8428 §4.5.3), in seconds. */
#define SENML_RELATIVE_BELOW 268435456.0

enum vgi_label vgi_label_by_name(struct vg_span name)
{
    for (unsigned i = 0; i < VGI_LABEL_COUNT; i++) {
        if (vg_span_eq(name, vg_span_str(vgi_labels[i].name))) {
            return (enum vgi_label)i;
        }
    }
    return VGI_LABEL_UNKNOWN;
}

enum vgi_label vgi_label_by_number(int64_t number)
{
    for (unsigned i = 0; i < VGI_LABEL_COUNT; i++) {
        if (vgi_labels[i].number == number) {
            return (enum vgi_label)i;
        }
    }
    return VGI_LABEL_UNKNOWN;
}

struct vgi_text *vgi_record_text(struct vgi_record *rec, enum vgi_label label)
{
    switch ((int)label) {
    case VGI_BN:
        return &rec->base_name;
    case VGI_BU:
        return &rec->base_unit;
    case VGI_N:
        return &rec->name;
    case VGI_U:
        return &rec->unit;
    default:
        assert(label == VGI_VS);
        return &rec->string;
    }
}

void vgi_record_clear(struct vgi_record *rec)
{
    rec->present = 0;
    rec->label_count = 0;
    rec->unknown_count = 0;
}

enum vg_reason vgi_record_label(struct vgi_record *rec, enum vgi_label label)
{
    if ((rec->present & 1u << label) != 0) {
        return VG_REASON_LABEL_TWICE;
    }
    rec->present |= 1u << label;
    return ++rec->label_count > VGI_LABELS_MAX ? VG_REASON_LABELS : VG_REASON_NONE;
}

enum vg_reason vgi_record_unknown(struct vgi_record *rec, const struct vgi_text *name)
{
    if (vgi_text_long(name) || ++rec->label_count > VGI_LABELS_MAX) {
        return VG_REASON_LABELS;
    }
    struct vg_span label = vgi_text_span(name);
    if (label.len > 0 && label.at[label.len - 1] == '_') {
        return VG_REASON_MUST_KNOW;
    }
    /* Two labels with the same hash are taken for the same label. */
    uint64_t h = vgi_hash(label);
    for (size_t i = 0; i < rec->unknown_count; i++) {
        if (rec->unknown[i] == h) {
            return VG_REASON_LABEL_TWICE;
        }
    }
    rec->unknown[rec->unknown_count++] = h;
    return VG_REASON_NONE;
}

void vgi_resolver_init(struct vgi_resolver *r, struct vg_batch *batch, struct vg_wall now)
{
    r->batch = batch;
    r->now_ms = now.ms;
    vgi_text_clear(&r->base_name);
    vgi_text_clear(&r->base_unit);
    r->has_base_unit = false;
    r->has_base_sum = false;
    r->base_time = 0;
    r->base_value = 0;
}

static bool has(const struct vgi_record *rec, enum vgi_label label)
{
    return (rec->present & 1u << label) != 0;
}

/* Base fields hold for this record and all that follow (RFC 8428 §4.1). */
static enum vg_reason take_base(struct vgi_resolver *r, const struct vgi_record *rec)
{
    if (has(rec, VGI_BVER)) {
        double version = rec->numbers[VGI_BVER];
        if (version < 1 || version > SENML_VERSION || version != (double)(int)version) {
            return VG_REASON_VERSION;
        }
    }
    if (has(rec, VGI_BN)) {
        r->base_name = rec->base_name;
    }
    if (has(rec, VGI_BU)) {
        r->base_unit = rec->base_unit;
        r->has_base_unit = true;
    }
    if (has(rec, VGI_BT)) {
        r->base_time = rec->numbers[VGI_BT];
    }
    if (has(rec, VGI_BV)) {
        r->base_value = rec->numbers[VGI_BV];
    }
    r->has_base_sum = r->has_base_sum || has(rec, VGI_BS);
    return VG_REASON_NONE;
}

/* The resolved name, in two parts: the sensor, and the quantity behind the last '/' or ':'. */
struct name {
    struct vgi_text whole;
    struct vg_span sensor;
    struct vg_span quantity;
};

static enum vg_reason resolve_name(const struct vgi_resolver *r, const struct vgi_record *rec,
                                   struct name *out)
{
    out->whole = r->base_name;
    if (has(rec, VGI_N)) {
        /* Of a name that is too long only the beginning is there; its length tells. */
        vgi_text_add(&out->whole, rec->name.at, vgi_text_span(&rec->name).len);
        out->whole.len = r->base_name.len + rec->name.len;
    }
    struct vg_span whole = vgi_text_span(&out->whole);
    /* RFC 8428 §4.5.1: the first character is a letter or a digit. */
    if (!vgi_name_chars(whole) || strchr("-:./_", whole.at[0]) != NULL) {
        return VG_REASON_NAME;
    }
    if (vgi_text_long(&out->whole)) {
        return VG_REASON_NAME_LONG;
    }
    const char *cut = memrchr(whole.at, '/', whole.len);
    if (cut == NULL) {
        cut = memrchr(whole.at, ':', whole.len);
    }
    if (cut == NULL || cut + 1 == whole.at + whole.len) {
        return VG_REASON_NAME_PARTS;
    }
    out->sensor = vg_span(whole.at, (size_t)(cut - whole.at));
    out->quantity = vg_span(cut + 1, whole.len - out->sensor.len - 1);
    bool fits = out->sensor.len <= VG_SENSOR_ID_MAX && out->quantity.len <= VG_EXTRA_NAME_MAX;
    return fits ? VG_REASON_NONE : VG_REASON_NAME_LONG;
}

static enum vg_reason resolve_time(const struct vgi_resolver *r, const struct vgi_record *rec,
                                   int64_t *time_ms, enum vg_quality *quality)
{
    double seconds = r->base_time + (has(rec, VGI_T) ? rec->numbers[VGI_T] : 0);
    bool relative = seconds < SENML_RELATIVE_BELOW;
    double ms = seconds * 1000 + (relative ? (double)r->now_ms : 0);
    /* The comparison is written so that NaN fails it. */
    if (!(ms >= 0 && ms <= (double)VG_TIME_MS_MAX)) {
        return VG_REASON_TIME;
    }
    *time_ms = (int64_t)(ms + 0.5);
    *quality = relative ? VG_QUALITY_UNSYNCED : VG_QUALITY_SYNCED;
    return VG_REASON_NONE;
}

/* Exactly one value per record (RFC 8428 §4.2); a sum is no quantity of ours. */
static enum vg_reason take_value(const struct vgi_resolver *r, const struct vgi_record *rec,
                                 struct vgi_value *out)
{
    if (has(rec, VGI_S) || r->has_base_sum) {
        return VG_REASON_SUM;
    }
    int values = has(rec, VGI_V) + has(rec, VGI_VS) + has(rec, VGI_VB) + has(rec, VGI_VD);
    if (values != 1) {
        return values == 0 ? VG_REASON_NO_VALUE : VG_REASON_VALUES;
    }
    *out = (struct vgi_value){.type = VGI_OTHER};
    if (has(rec, VGI_V)) {
        out->type = VGI_NUMBER;
        out->number = r->base_value + rec->numbers[VGI_V];
    } else if (has(rec, VGI_VB)) {
        out->type = VGI_BOOL;
        out->boolean = rec->boolean;
    } else if (has(rec, VGI_VS)) {
        out->type = VGI_TEXT;
        out->text = &rec->string;
    }
    if (has(rec, VGI_U)) {
        out->unit = &rec->unit;
    } else if (r->has_base_unit) {
        out->unit = &r->base_unit;
    }
    return VG_REASON_NONE;
}

/* The reading of this sensor and time, new when there is none yet; -1 when the batch is full. The
 * newest is looked at first: packs are nearly always in order. */
static int find_reading(struct vgi_resolver *r, struct vg_span sensor, int64_t time_ms,
                        enum vg_quality quality)
{
    const struct vg_batch *b = r->batch;
    for (size_t i = b->count; i > 0; i--) {
        const struct vg_reading *reading = &b->readings[i - 1];
        if (reading->time_ms == time_ms && vg_span_eq(sensor, vg_span_str(reading->sensor))) {
            return (int)(i - 1);
        }
    }
    return vgi_batch_add(r->batch, sensor, time_ms, r->now_ms, quality);
}

enum vg_reason vgi_resolve(struct vgi_resolver *r, const struct vgi_record *rec)
{
    struct name name;
    struct vgi_value value;
    int64_t time_ms = 0;
    enum vg_quality quality = VG_QUALITY_UNSYNCED;
    enum vg_reason whole = take_base(r, rec);
    if (whole != VG_REASON_NONE) {
        return whole;
    }
    enum vg_reason reason = resolve_name(r, rec, &name);
    bool named = reason == VG_REASON_NONE;
    if (named) {
        reason = resolve_time(r, rec, &time_ms, &quality);
    }
    int index;
    if (reason != VG_REASON_NONE) {
        /* No time to share with other records: a reading of its own. Time -1 keeps later records
         * from joining it. */
        index =
            vgi_batch_add(r->batch, named ? name.sensor : vg_span("", 0), -1, r->now_ms, quality);
    } else {
        index = find_reading(r, name.sensor, time_ms, quality);
    }
    if (index < 0) {
        return VG_REASON_TOO_MANY;
    }
    if (reason == VG_REASON_NONE) {
        reason = take_value(r, rec, &value);
    }
    if (reason == VG_REASON_NONE) {
        reason = vgi_quantity_set(&r->batch->readings[index], name.quantity, &value);
    }
    if (r->batch->reasons[index] == VG_REASON_NONE) {
        r->batch->reasons[index] = (uint8_t)reason;
    }
    return VG_REASON_NONE;
}
