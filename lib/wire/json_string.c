/* What a string of the JSON reader says. It stays as it stands in the text, escapes and all; only
 * what is copied or compared is unescaped. */
#include "json_inner.h"
#include "json_scan.h"

/* The number of four hex digits at `at`, or -1. */
static int hex4(const char *at, const char *end)
{
    int value = 0;
    if (end - at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

static bool is_high_surrogate(int unit)
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(int unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

size_t vgi_json_escape_len(const char *at, const char *end)
{
    if (end - at < 2) {
        return 0;
    }
    if (at[1] != 'u') {
        return memchr("\"\\/bfnrt", at[1], 8) != NULL ? 2 : 0;
    }
    int unit = hex4(at + 2, end);
    if (unit < 0 || is_low_surrogate(unit)) {
        return 0;
    }
    if (!is_high_surrogate(unit)) {
        return 6;
    }
    if (end - at < 8 || at[6] != '\\' || at[7] != 'u') {
        return 0;
    }
    return is_low_surrogate(hex4(at + 8, end)) ? 12 : 0;
}

/* Writes one code point as UTF-8; returns its length (1..4). */
static size_t put_utf8(unsigned cp, char *to)
{
    if (cp < 0x80) {
        to[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        to[0] = (char)(0xC0 | cp >> 6);
        to[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        to[0] = (char)(0xE0 | cp >> 12);
        to[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        to[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | cp >> 18);
    to[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    to[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    to[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

/* Decodes the escape at `at`, already checked by vgi_json_escape_len: its bytes to `to`, how many to *put;
 * returns its length. */
static size_t unescape(const char *at, const char *end, char *to, size_t *put)
{
    static const char from_letter[] = "\"\\/bfnrt";
    static const char to_byte[] = "\"\\/\b\f\n\r\t";
    if (at[1] != 'u') {
        const char *found = memchr(from_letter, at[1], sizeof(from_letter) - 1);
        to[0] = to_byte[found - from_letter];
        *put = 1;
        return 2;
    }
    int unit = hex4(at + 2, end);
    if (!is_high_surrogate(unit)) {
        *put = put_utf8((unsigned)unit, to);
        return 6;
    }
    int low = hex4(at + 8, end);
    *put = put_utf8(0x10000U + (((unsigned)unit - 0xD800U) << 10) + ((unsigned)low - 0xDC00U), to);
    return 12;
}

size_t vgi_json_str_next(const char **at, const char *end, char bytes[4])
{
    size_t put = 1;
    bytes[0] = **at;
    *at += bytes[0] == '\\' ? unescape(*at, end, bytes, &put) : 1;
    return put;
}

bool vg_json_str_copy(struct vg_json_str s, char *out, size_t size)
{
    if (!s.escaped && s.raw.len < size) {
        memcpy(out, s.raw.at, s.raw.len);
        out[s.raw.len] = '\0';
        return true;
    }
    const char *at = s.raw.at;
    const char *end = at + s.raw.len;
    size_t len = 0;
    while (at < end) {
        char bytes[4];
        size_t put = vgi_json_str_next(&at, end, bytes);
        if (bytes[0] == '\0' || len + put >= size) {
            out[len] = '\0';
            return false;
        }
        memcpy(out + len, bytes, put);
        len += put;
    }
    out[len] = '\0';
    return true;
}

bool vg_json_str_is(struct vg_json_str s, const char *text)
{
    size_t len = strlen(text);
    if (!s.escaped) {
        return s.raw.len == len && memcmp(s.raw.at, text, len) == 0;
    }
    const char *at = s.raw.at;
    const char *end = at + s.raw.len;
    size_t done = 0;
    while (at < end) {
        char bytes[4];
        size_t put = vgi_json_str_next(&at, end, bytes);
        if (len - done < put || memcmp(text + done, bytes, put) != 0) {
            return false;
        }
        done += put;
    }
    return done == len;
}
