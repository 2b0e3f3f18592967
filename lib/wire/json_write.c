/* The bounded writer of JSON (json.h). */
#include "vigia/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

void vg_jsonw_init(struct vg_json_out *w, char *buf, size_t size)
{
    *w = (struct vg_json_out){.buf = buf, .size = size};
}

static void put(struct vg_json_out *w, const char *bytes, size_t len)
{
    if (w->failed || w->size - w->len < len) {
        w->failed = true;
        return;
    }
    memcpy(w->buf + w->len, bytes, len);
    w->len += len;
}

static void put_char(struct vg_json_out *w, char c)
{
    put(w, &c, 1);
}

/* Before any value: the comma that separates it from the one before. */
static void begin_value(struct vg_json_out *w)
{
    if (w->comma) {
        put_char(w, ',');
    }
    w->comma = true;
}

static void open_container(struct vg_json_out *w, char c)
{
    begin_value(w);
    put_char(w, c);
    w->comma = false;
}

static void close_container(struct vg_json_out *w, char c)
{
    put_char(w, c);
    w->comma = true;
}

void vg_jsonw_object(struct vg_json_out *w)
{
    open_container(w, '{');
}

void vg_jsonw_object_end(struct vg_json_out *w)
{
    close_container(w, '}');
}

void vg_jsonw_array(struct vg_json_out *w)
{
    open_container(w, '[');
}

void vg_jsonw_array_end(struct vg_json_out *w)
{
    close_container(w, ']');
}

/* The bytes of the UTF-8 sequence at the start of `s`, or 0 when it is not one. */
static size_t sequence_len(struct vg_span s)
{
    for (size_t len = 2; len <= 4 && len <= s.len; len++) {
        if (vg_utf8_valid(vg_span(s.at, len))) {
            return len;
        }
    }
    return 0;
}

static void put_escaped(struct vg_json_out *w, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = "\b\f\n\r\t\"\\";
    const char *found = memchr(letters, c, sizeof(letters) - 1);
    if (found != NULL) {
        char text[2] = {'\\', "bfnrt\"\\"[found - letters]};
        put(w, text, sizeof(text));
    } else {
        char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        put(w, text, sizeof(text));
    }
}

static void put_string(struct vg_json_out *w, struct vg_span s)
{
    put_char(w, '"');
    size_t plain = 0;
    size_t i = 0;
    while (i < s.len && !w->failed) {
        unsigned char c = (unsigned char)s.at[i];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t len = c < 0x80 ? 0 : sequence_len(vg_span(s.at + i, s.len - i));
        if (len > 0) {
            i += len;
            continue;
        }
        if (i > plain) {
            put(w, s.at + plain, i - plain);
        }
        if (c < 0x80) {
            put_escaped(w, c);
        } else {
            put(w, "\xEF\xBF\xBD", 3);
        }
        i++;
        plain = i;
    }
    if (i > plain) {
        put(w, s.at + plain, i - plain);
    }
    put_char(w, '"');
}

void vg_jsonw_key(struct vg_json_out *w, const char *key)
{
    begin_value(w);
    put_string(w, vg_span_str(key));
    put_char(w, ':');
    w->comma = false;
}

void vg_jsonw_span(struct vg_json_out *w, struct vg_span text)
{
    begin_value(w);
    put_string(w, text);
}

void vg_jsonw_string(struct vg_json_out *w, const char *text)
{
    vg_jsonw_span(w, vg_span_str(text));
}

static void put_u64(struct vg_json_out *w, uint64_t value)
{
    char text[20];
    size_t at = sizeof(text);
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    put(w, text + at, sizeof(text) - at);
}

void vg_jsonw_u64(struct vg_json_out *w, uint64_t value)
{
    begin_value(w);
    put_u64(w, value);
}

void vg_jsonw_i64(struct vg_json_out *w, int64_t value)
{
    begin_value(w);
    if (value < 0) {
        put_char(w, '-');
    }
    put_u64(w, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* Decimals with at most six places, which is nearly every measurement: whole and fraction are
 * integers, and because a reader divides the same two exact numbers, the text reads back as the
 * same double. */
static bool put_short_decimal(struct vg_json_out *w, double magnitude)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    if (magnitude >= 1e9) {
        return false;
    }
    for (size_t places = 0; places < sizeof(powers) / sizeof(powers[0]); places++) {
        /* +0.5 and truncate: the nearest integer, without a call into libm. */
        uint64_t scaled = (uint64_t)(magnitude * powers[places] + 0.5);
        if ((double)scaled / powers[places] != magnitude) {
            continue;
        }
        uint64_t power = (uint64_t)powers[places];
        put_u64(w, scaled / power);
        if (places > 0) {
            char text[7] = ".";
            uint64_t rest = scaled % power;
            for (size_t i = places; i > 0; i--) {
                text[i] = (char)('0' + rest % 10);
                rest /= 10;
            }
            put(w, text, places + 1);
        }
        return true;
    }
    return false;
}

void vg_jsonw_double(struct vg_json_out *w, double value)
{
    begin_value(w);
    if (!isfinite(value)) {
        w->failed = true;
        return;
    }
    if (signbit(value)) {
        put_char(w, '-');
        value = -value;
    }
    if (put_short_decimal(w, value)) {
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        char text[32];
        double back;
        int len = snprintf(text, sizeof(text), "%.*g", digits, value);
        assert(len > 0 && (size_t)len < sizeof(text));
        /* 17 digits always read back (IEEE 754); the last turn is not a guess. */
        if (digits == 17 ||
            (vg_span_to_double(vg_span(text, (size_t)len), &back) && back == value)) {
            put(w, text, (size_t)len);
            return;
        }
    }
}

void vg_jsonw_bool(struct vg_json_out *w, bool value)
{
    begin_value(w);
    if (value) {
        put(w, "true", 4);
    } else {
        put(w, "false", 5);
    }
}

void vg_jsonw_null(struct vg_json_out *w)
{
    begin_value(w);
    put(w, "null", 4);
}

void vg_jsonw_raw(struct vg_json_out *w, struct vg_span json)
{
    begin_value(w);
    put(w, json.at, json.len);
}

struct vg_span vg_jsonw_done(const struct vg_json_out *w)
{
    return w->failed ? vg_span(w->buf, 0) : vg_span(w->buf, w->len);
}
