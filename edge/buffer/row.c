/* Packing of a reading for the card; see row.h. */
#include "row.h"

#include <assert.h>

enum { FLAG_MOTION = 1, FLAG_SMOKE = 2 };

uint32_t vgi_crc32(const void *bytes, size_t len)
{
    /* Four bits at a time: 64 bytes of table, fast enough for rows of a hundred bytes. */
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    const uint8_t *at = bytes;
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static uint8_t *put_text(uint8_t *to, const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    *to++ = (uint8_t)len;
    memcpy(to, text, len);
    return to + len;
}

static uint8_t *put_le(uint8_t *to, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        *to++ = (uint8_t)(v >> 8 * i);
    }
    return to;
}

static uint8_t *put_double(uint8_t *to, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return put_le(to, bits, 8);
}

size_t vgi_row_encode(const struct vg_reading *r, uint8_t *out)
{
    assert(r->extra_count <= VG_EXTRAS_MAX && r->has < 256);
    uint8_t *to = out;
    *to++ = VGI_ROW_VERSION;
    *to++ = r->quality;
    *to++ = r->event;
    *to++ = (uint8_t)r->has;
    *to++ = (uint8_t)((r->motion ? FLAG_MOTION : 0) | (r->smoke ? FLAG_SMOKE : 0));
    *to++ = r->extra_count;
    to = put_text(to, r->sensor, VG_SENSOR_ID_MAX);
    if ((r->has & VG_HAS_TEMPERATURE) != 0) {
        to = put_double(to, r->temperature);
    }
    if ((r->has & VG_HAS_MAX_TEMPERATURE) != 0) {
        to = put_double(to, r->max_temperature);
    }
    if (r->event != VG_EVENT_NONE) {
        to = put_text(to, r->event_text, VG_EVENT_TEXT_MAX);
    }
    for (size_t i = 0; i < r->extra_count; i++) {
        const struct vg_extra *x = &r->extras[i];
        *to++ = x->type;
        to = put_text(to, x->name, VG_EXTRA_NAME_MAX);
        if (x->type == VG_EXTRA_NUMBER) {
            to = put_double(to, x->number);
        } else if (x->type == VG_EXTRA_BOOL) {
            *to++ = x->boolean ? 1 : 0;
        } else {
            to = put_text(to, x->text, VG_EXTRA_TEXT_MAX);
        }
    }
    to = put_le(to, vgi_crc32(out, (size_t)(to - out)), 4);
    return (size_t)(to - out);
}

/* What is left of the row; `bad` sticks. */
struct cursor {
    const uint8_t *at, *end;
    bool bad;
};

static uint8_t get_byte(struct cursor *c)
{
    if (c->bad || c->at == c->end) {
        c->bad = true;
        return 0;
    }
    return *c->at++;
}

static uint64_t get_le(struct cursor *c, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) {
        v |= (uint64_t)get_byte(c) << 8 * i;
    }
    return v;
}

static double get_double(struct cursor *c)
{
    uint64_t bits = get_le(c, 8);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* `to` has max + 1 bytes and is zeroed. */
static void get_text(struct cursor *c, char *to, size_t max)
{
    size_t len = get_byte(c);
    if (c->bad || len > max || len > (size_t)(c->end - c->at)) {
        c->bad = true;
        return;
    }
    memcpy(to, c->at, len);
    c->at += len;
}

static void get_extra(struct cursor *c, struct vg_extra *x)
{
    x->type = get_byte(c);
    get_text(c, x->name, VG_EXTRA_NAME_MAX);
    if (x->type == VG_EXTRA_NUMBER) {
        x->number = get_double(c);
    } else if (x->type == VG_EXTRA_BOOL) {
        x->boolean = get_byte(c) != 0;
    } else if (x->type == VG_EXTRA_TEXT) {
        get_text(c, x->text, VG_EXTRA_TEXT_MAX);
    } else {
        c->bad = true;
    }
}

bool vgi_row_decode(struct vg_span row, struct vg_reading *r)
{
    memset(r, 0, sizeof *r);
    if (row.len < 4 || row.len > VGI_ROW_MAX) {
        return false;
    }
    const uint8_t *bytes = (const uint8_t *)row.at;
    struct cursor sum = {bytes + row.len - 4, bytes + row.len, false};
    if (get_le(&sum, 4) != vgi_crc32(bytes, row.len - 4)) {
        return false;
    }
    struct cursor c = {bytes, bytes + row.len - 4, false};
    if (get_byte(&c) != VGI_ROW_VERSION) {
        return false;
    }
    r->quality = get_byte(&c);
    r->event = get_byte(&c);
    r->has = get_byte(&c);
    uint8_t flags = get_byte(&c);
    r->motion = (flags & FLAG_MOTION) != 0;
    r->smoke = (flags & FLAG_SMOKE) != 0;
    uint8_t extras = get_byte(&c);
    get_text(&c, r->sensor, VG_SENSOR_ID_MAX);
    if (c.bad || extras > VG_EXTRAS_MAX || r->quality >= VG_QUALITY_COUNT ||
        r->event >= VG_EVENT_COUNT) {
        return false;
    }
    if ((r->has & VG_HAS_TEMPERATURE) != 0) {
        r->temperature = get_double(&c);
    }
    if ((r->has & VG_HAS_MAX_TEMPERATURE) != 0) {
        r->max_temperature = get_double(&c);
    }
    if (r->event != VG_EVENT_NONE) {
        get_text(&c, r->event_text, VG_EVENT_TEXT_MAX);
    }
    for (size_t i = 0; i < extras; i++) {
        get_extra(&c, &r->extras[i]);
    }
    r->extra_count = extras;
    return !c.bad && c.at == c.end;
}
