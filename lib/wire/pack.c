/* Building a pack of at most `limit` bytes, reading by reading (senml.h).
 *
 *   CBOR: 98 nn │ {bn, bt, n, v} {n, v} … │ {bt, n, v} …        the head is 81..97 when fewer than
 * 24 records JSON: [ {"bn":…,"bt":…,"n":…,"v":…},{"n":…,"v":…},… ]
 *
 * The first record of a reading carries the base name when the sensor changes and the base time
 * when the time changes; the others inherit both. A reading goes in whole or not at all. */
#include "batch.h"

#include <cbor.h>
#include <math.h>

/* Before the first record: CBOR's two-byte head of an array, or '['. */
#define CBOR_HEAD 2
/* That head counts to 255 records. */
#define RECORDS_MAX 255

/* One quantity of a reading on its way into a record. */
struct item {
    const char *name;
    enum vgi_value_type type;
    double number;
    bool boolean;
    bool extra; /* its name is the caller's */
    const char *text;
};
/* ok or event, q, the four quantities, extras. */
#define ITEMS_MAX (7 + VG_EXTRAS_MAX)

static size_t add_bool(struct item *items, size_t n, const char *name, bool value)
{
    items[n] = (struct item){.name = name, .type = VGI_BOOL, .boolean = value};
    return n + 1;
}

static size_t add_number(struct item *items, size_t n, const char *name, double value)
{
    items[n] = (struct item){.name = name, .type = VGI_NUMBER, .number = value};
    return n + 1;
}

static size_t add_text(struct item *items, size_t n, const char *name, const char *value)
{
    items[n] = (struct item){.name = name, .type = VGI_TEXT, .text = value};
    return n + 1;
}

/* The records of a reading, in an order that never changes. */
static size_t list_items(const struct vg_reading *r, enum vg_pack_time time, struct item *items)
{
    size_t n = 0;
    if ((r->has & VG_HAS_OK) != 0) {
        n = add_bool(items, n, "ok", true);
    }
    if (r->event == VG_EVENT_ALIVE) {
        n = add_bool(items, n, "alive", true);
    } else if (r->event != VG_EVENT_NONE) {
        n = add_text(items, n, vg_event_name((enum vg_event)r->event), r->event_text);
    }
    /* A relative time says `unsynced` by itself. */
    if (r->quality != VG_QUALITY_SYNCED &&
        !(r->quality == VG_QUALITY_UNSYNCED && time == VG_PACK_RELATIVE)) {
        n = add_text(items, n, "q", vg_quality_name((enum vg_quality)r->quality));
    }
    if ((r->has & VG_HAS_MOTION) != 0) {
        n = add_bool(items, n, "motion", r->motion);
    }
    if ((r->has & VG_HAS_SMOKE) != 0) {
        n = add_bool(items, n, "smoke", r->smoke);
    }
    if ((r->has & VG_HAS_TEMPERATURE) != 0) {
        n = add_number(items, n, "temperature", r->temperature);
    }
    if ((r->has & VG_HAS_MAX_TEMPERATURE) != 0) {
        n = add_number(items, n, "max_temperature", r->max_temperature);
    }
    for (size_t i = 0; i < r->extra_count; i++) {
        const struct vg_extra *extra = &r->extras[i];
        switch ((enum vg_extra_type)extra->type) {
        case VG_EXTRA_NUMBER:
            n = add_number(items, n, extra->name, extra->number);
            break;
        case VG_EXTRA_BOOL:
            n = add_bool(items, n, extra->name, extra->boolean);
            break;
        case VG_EXTRA_TEXT:
            n = add_text(items, n, extra->name, extra->text);
            break;
        }
        items[n - 1].extra = true;
    }
    return n;
}

/* What the collector would refuse is refused here, with its reason. */
static enum vg_reason check_item(const struct item *items, size_t index)
{
    const struct item *item = &items[index];
    if (item->type == VGI_NUMBER && !isfinite(item->number)) {
        return VG_REASON_VALUE_RANGE;
    }
    if (item->type == VGI_TEXT && !vg_utf8_valid(vg_span_str(item->text))) {
        return VG_REASON_UTF8;
    }
    if (!item->extra) {
        return VG_REASON_NONE;
    }
    struct vg_span name = vg_span_str(item->name);
    if (!vgi_name_chars(name) || memchr(name.at, '/', name.len) != NULL) {
        return VG_REASON_NAME;
    }
    if (!vgi_extra_name(name)) {
        return VG_REASON_RESERVED;
    }
    for (size_t i = 0; i < index; i++) {
        if (vg_span_eq(name, vg_span_str(items[i].name))) {
            return VG_REASON_TWICE;
        }
    }
    return VG_REASON_NONE;
}

static enum vg_reason check_reading(const struct vg_reading *r, const struct item *items, size_t n)
{
    if (!vg_sensor_id_valid(vg_span_str(r->sensor))) {
        return VG_REASON_NAME;
    }
    for (size_t i = 0; i < n; i++) {
        enum vg_reason reason = check_item(items, i);
        if (reason != VG_REASON_NONE) {
            return reason;
        }
    }
    return vgi_reading_check(r);
}

static bool time_fits(int64_t time_ms, enum vg_pack_time time)
{
    if (time == VG_PACK_RELATIVE) {
        return time_ms <= 0 && time_ms >= -VG_TIME_MS_MAX;
    }
    return time_ms >= VG_PACK_ABSOLUTE_MIN_MS && time_ms <= VG_TIME_MS_MAX;
}

/* A finite double as a half-precision float (IEEE 754 binary16), when it is one exactly. */
static bool as_half(double value, uint16_t *out)
{
    int exponent;
    double mantissa = frexp(fabs(value), &exponent); /* 0.5 <= mantissa < 1 */
    double scaled = ldexp(mantissa, 11);
    if (exponent < -13 || exponent > 16 || scaled != (double)(int)scaled) {
        return false;
    }
    unsigned bits = (unsigned)(exponent + 14) << 10 | ((unsigned)scaled & 0x3FF);
    *out = (uint16_t)(bits | (signbit(value) ? 0x8000U : 0));
    return true;
}

/* The shortest exact form: integer, half, single, double (RFC 8949 §4.2.2). */
static void encode_number(CborEncoder *e, double value)
{
    uint16_t half;
    float single = (float)value;
    if (fabs(value) < 9007199254740992.0 && value == (double)(int64_t)value) {
        (void)cbor_encode_int(e, (int64_t)value);
    } else if (as_half(value, &half)) {
        (void)cbor_encode_half_float(e, &half);
    } else if ((double)single == value) {
        (void)cbor_encode_float(e, single);
    } else {
        (void)cbor_encode_double(e, value);
    }
}

static void encode_label(CborEncoder *map, enum vgi_label label)
{
    (void)cbor_encode_int(map, vgi_labels[label].number);
}

/* What the first record of a reading adds to the base fields. */
struct base {
    bool name;
    bool time;
    double seconds;
};

static void encode_base(CborEncoder *map, const struct vg_reading *r, const struct base *base)
{
    if (base->name) {
        char name[VG_SENSOR_ID_MAX + 2];
        size_t len = strlen(r->sensor);
        memcpy(name, r->sensor, len);
        name[len] = '/';
        encode_label(map, VGI_BN);
        (void)cbor_encode_text_string(map, name, len + 1);
    }
    if (base->time) {
        encode_label(map, VGI_BT);
        encode_number(map, base->seconds);
    }
}

static bool is_celsius(const struct item *item)
{
    return item->type == VGI_NUMBER && !item->extra;
}

static void encode_record(CborEncoder *e, const struct vg_reading *r, const struct item *item,
                          const struct base *base)
{
    CborEncoder map;
    size_t pairs = 2U + base->name + base->time + is_celsius(item);
    (void)cbor_encoder_create_map(e, &map, pairs);
    encode_base(&map, r, base);
    encode_label(&map, VGI_N);
    (void)cbor_encode_text_stringz(&map, item->name);
    if (is_celsius(item)) {
        encode_label(&map, VGI_U);
        (void)cbor_encode_text_stringz(&map, "Cel");
    }
    switch (item->type) {
    case VGI_NUMBER:
        encode_label(&map, VGI_V);
        encode_number(&map, item->number);
        break;
    case VGI_BOOL:
        encode_label(&map, VGI_VB);
        (void)cbor_encode_boolean(&map, item->boolean);
        break;
    case VGI_TEXT:
    case VGI_OTHER:
        encode_label(&map, VGI_VS);
        (void)cbor_encode_text_stringz(&map, item->text);
        break;
    }
    (void)cbor_encoder_close_container(e, &map);
}

/* Appends the records behind what is there; the bytes they took, or 0 when they do not fit. */
static size_t append_cbor(const struct vg_pack *p, const struct vg_reading *r,
                          const struct item *items, size_t n, const struct base *base)
{
    CborEncoder e;
    uint8_t *at = (uint8_t *)p->buf + p->len;
    cbor_encoder_init(&e, at, p->limit - p->len, 0);
    for (size_t i = 0; i < n; i++) {
        struct base none = {0};
        encode_record(&e, r, &items[i], i == 0 ? base : &none);
    }
    return cbor_encoder_get_extra_bytes_needed(&e) > 0 ? 0 : cbor_encoder_get_buffer_size(&e, at);
}

static void write_record(struct vg_json_out *w, const struct vg_reading *r, const struct item *item,
                         const struct base *base)
{
    vg_jsonw_object(w);
    if (base->name) {
        char name[VG_SENSOR_ID_MAX + 2];
        size_t len = strlen(r->sensor);
        memcpy(name, r->sensor, len);
        name[len] = '/';
        vg_jsonw_key(w, "bn");
        vg_jsonw_span(w, vg_span(name, len + 1));
    }
    if (base->time) {
        vg_jsonw_key(w, "bt");
        vg_jsonw_double(w, base->seconds);
    }
    vg_jsonw_key(w, "n");
    vg_jsonw_string(w, item->name);
    if (is_celsius(item)) {
        vg_jsonw_key(w, "u");
        vg_jsonw_string(w, "Cel");
    }
    switch (item->type) {
    case VGI_NUMBER:
        vg_jsonw_key(w, "v");
        vg_jsonw_double(w, item->number);
        break;
    case VGI_BOOL:
        vg_jsonw_key(w, "vb");
        vg_jsonw_bool(w, item->boolean);
        break;
    case VGI_TEXT:
    case VGI_OTHER:
        vg_jsonw_key(w, "vs");
        vg_jsonw_string(w, item->text);
        break;
    }
    vg_jsonw_object_end(w);
}

static size_t append_json(const struct vg_pack *p, const struct vg_reading *r,
                          const struct item *items, size_t n, const struct base *base)
{
    struct vg_json_out w;
    /* One byte stays for the closing bracket. */
    vg_jsonw_init(&w, p->buf + p->len, p->limit - p->len - 1);
    w.comma = p->records > 0;
    for (size_t i = 0; i < n; i++) {
        struct base none = {0};
        write_record(&w, r, &items[i], i == 0 ? base : &none);
    }
    return vg_jsonw_done(&w).len;
}

void vg_pack_init(struct vg_pack *pack, enum vg_format format, void *buf, size_t limit)
{
    assert(format == VG_FORMAT_SENML_CBOR || format == VG_FORMAT_SENML_JSON);
    assert(limit > CBOR_HEAD);
    pack->format = format;
    pack->buf = buf;
    pack->limit = limit;
    pack->len = format == VG_FORMAT_SENML_CBOR ? CBOR_HEAD : 1;
    pack->records = 0;
    pack->count = 0;
    pack->has_base_time = false;
    pack->base_ms = 0;
    pack->sensor[0] = '\0';
}

static bool already_there(const struct vg_pack *p, uint64_t hash, int64_t time_ms)
{
    for (size_t i = p->count; i > 0; i--) {
        if (p->seen[i - 1].sensor_hash == hash && p->seen[i - 1].time_ms == time_ms) {
            return true;
        }
    }
    return false;
}

static enum vg_err full(struct vg_error *err)
{
    return vg_fail(err, VG_E_FULL, "pack: full");
}

enum vg_err vg_pack_add(struct vg_pack *pack, const struct vg_reading *reading,
                        enum vg_pack_time time, struct vg_error *err)
{
    struct item items[ITEMS_MAX];
    size_t n = list_items(reading, time, items);
    enum vg_reason reason = check_reading(reading, items, n);
    if (reason != VG_REASON_NONE) {
        return vg_fail(err, VG_E_INVALID, "reading of %s: %s (%s)", reading->sensor,
                       vg_reason_text(reason), vg_reason_name(reason));
    }
    if (!time_fits(reading->time_ms, time)) {
        return vg_fail(err, VG_E_RANGE, "reading of %s: time %lld ms cannot be sent",
                       reading->sensor, (long long)reading->time_ms);
    }
    /* A clash of hashes only ends a pack early. */
    uint64_t hash = vgi_hash(vg_span_str(reading->sensor));
    if (pack->count == VG_BATCH_READINGS_MAX || pack->records + n > RECORDS_MAX ||
        already_there(pack, hash, reading->time_ms)) {
        return full(err);
    }
    struct base base = {
        .name = strcmp(pack->sensor, reading->sensor) != 0,
        .time = !pack->has_base_time || pack->base_ms != reading->time_ms,
        .seconds = (double)reading->time_ms / 1000,
    };
    size_t len = pack->format == VG_FORMAT_SENML_CBOR ? append_cbor(pack, reading, items, n, &base)
                                                      : append_json(pack, reading, items, n, &base);
    if (len == 0) {
        return pack->count > 0 ? full(err)
                               : vg_fail(err, VG_E_RANGE, "reading of %s: larger than %zu bytes",
                                         reading->sensor, pack->limit);
    }
    pack->len += len;
    pack->records += n;
    pack->has_base_time = true;
    pack->base_ms = reading->time_ms;
    memcpy(pack->sensor, reading->sensor, strlen(reading->sensor) + 1);
    pack->seen[pack->count].sensor_hash = hash;
    pack->seen[pack->count].time_ms = reading->time_ms;
    pack->count++;
    return VG_OK;
}

struct vg_span vg_pack_finish(struct vg_pack *pack)
{
    if (pack->count == 0) {
        return vg_span(pack->buf, 0);
    }
    if (pack->format == VG_FORMAT_SENML_JSON) {
        pack->buf[0] = '[';
        pack->buf[pack->len] = ']';
        return vg_span(pack->buf, pack->len + 1);
    }
    uint8_t *head = (uint8_t *)pack->buf;
    if (pack->records < 24) {
        head[1] = (uint8_t)(0x80 | pack->records);
        return vg_span(pack->buf + 1, pack->len - 1);
    }
    head[0] = 0x98;
    head[1] = (uint8_t)pack->records;
    return vg_span(pack->buf, pack->len);
}
