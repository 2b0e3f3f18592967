/* The pull reader of JSON: one pass, no heap, the first error sticks (json.h).
 *
 * Containers need no stack: inside an object every value follows a member's name, inside an array
 * an element, and the caller's own loops remember which is which. `fresh` tells whether a comma is
 * due. */
#include "json_inner.h"

#include <assert.h>
#include <math.h>

const char *vg_json_error_text(enum vg_json_error error)
{
    switch (error) {
    case VG_JSON_OK:
        return "no error";
    case VG_JSON_SYNTAX:
        return "not well-formed JSON";
    case VG_JSON_UTF8:
        return "text is not UTF-8";
    case VG_JSON_DEPTH:
        return "nested too deep";
    case VG_JSON_TYPE:
        return "a value of the wrong type";
    case VG_JSON_RANGE:
        return "a value outside what is accepted";
    case VG_JSON_TRAILING:
        return "something after the end";
    }
    return "unknown error";
}

void vg_json_init(struct vg_json *j, struct vg_span text, unsigned max_depth)
{
    assert(max_depth >= 1);
    j->start = text.len == 0 ? "" : text.at;
    j->at = j->start;
    j->end = j->start + text.len;
    j->depth = 0;
    j->max_depth = max_depth;
    j->fresh = true;
    j->error = VG_JSON_OK;
    j->offset = 0;
}

bool vg_json_fail(struct vg_json *j, enum vg_json_error error)
{
    if (j->error == VG_JSON_OK) {
        j->error = error;
        j->offset = (size_t)(j->at - j->start);
    }
    /* Nothing is left to read, so every loop of a caller ends. */
    j->at = j->end;
    return false;
}

/* The loops below run on a local pointer: through j->at every step would be a store and a load. */
static void skip_space(struct vg_json *j)
{
    const char *at = j->at;
    while (at < j->end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
        at++;
    }
    j->at = at;
}

/* The type of value that a byte begins; every other byte is VG_JSON_NONE. */
static const uint8_t type_of[256] = {
    ['{'] = VG_JSON_OBJECT, ['['] = VG_JSON_ARRAY,  ['"'] = VG_JSON_STRING, ['t'] = VG_JSON_BOOL,
    ['f'] = VG_JSON_BOOL,   ['n'] = VG_JSON_NULL,   ['-'] = VG_JSON_NUMBER, ['0'] = VG_JSON_NUMBER,
    ['1'] = VG_JSON_NUMBER, ['2'] = VG_JSON_NUMBER, ['3'] = VG_JSON_NUMBER, ['4'] = VG_JSON_NUMBER,
    ['5'] = VG_JSON_NUMBER, ['6'] = VG_JSON_NUMBER, ['7'] = VG_JSON_NUMBER, ['8'] = VG_JSON_NUMBER,
    ['9'] = VG_JSON_NUMBER,
};
static_assert(VG_JSON_NONE == 0, "what the table does not name is no value");

enum vg_json_type vg_json_peek(struct vg_json *j)
{
    skip_space(j);
    return j->at == j->end ? VG_JSON_NONE : (enum vg_json_type)type_of[(unsigned char)*j->at];
}

/* Refuses when the next value is not of `type`: the wrong type, or no value at all. */
static bool expect(struct vg_json *j, enum vg_json_type type)
{
    if (j->error != VG_JSON_OK) {
        return false;
    }
    enum vg_json_type found = vg_json_peek(j);
    if (found == type) {
        return true;
    }
    return vg_json_fail(j, found == VG_JSON_NONE ? VG_JSON_SYNTAX : VG_JSON_TYPE);
}

static bool open_container(struct vg_json *j, enum vg_json_type type)
{
    if (!expect(j, type)) {
        return false;
    }
    if (j->depth == j->max_depth) {
        return vg_json_fail(j, VG_JSON_DEPTH);
    }
    j->depth++;
    j->at++;
    j->fresh = true;
    return true;
}

bool vg_json_object(struct vg_json *j)
{
    return open_container(j, VG_JSON_OBJECT);
}

bool vg_json_array(struct vg_json *j)
{
    return open_container(j, VG_JSON_ARRAY);
}

/* Consumes the comma that is due, or the container's end (then false). */
static bool next_item(struct vg_json *j, char close)
{
    if (j->error != VG_JSON_OK) {
        return false;
    }
    skip_space(j);
    if (j->at < j->end && *j->at == close) {
        j->at++;
        j->depth--;
        j->fresh = false;
        return false;
    }
    if (!j->fresh) {
        if (j->at == j->end || *j->at != ',') {
            return vg_json_fail(j, VG_JSON_SYNTAX);
        }
        j->at++;
    }
    j->fresh = false;
    return true;
}

bool vg_json_element(struct vg_json *j)
{
    if (!next_item(j, ']')) {
        return false;
    }
    if (vg_json_peek(j) == VG_JSON_NONE) {
        return vg_json_fail(j, VG_JSON_SYNTAX);
    }
    return true;
}

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

/* The length of the escape at `at` (which is a backslash), or 0 when it is none. */
static size_t escape_len(const char *at, const char *end)
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

/* Every byte of a word set to `b`. */
#define REPEAT(b) (UINT64_C(0x0101010101010101) * (b))

/* Not 0 when one of eight bytes is below 0x20, a quote, a backslash or not ASCII. May be not 0 for
 * other bytes behind such a one, which does no harm: the caller then looks at single bytes. */
static uint64_t special(uint64_t word)
{
    uint64_t quote = word ^ REPEAT('"');
    uint64_t backslash = word ^ REPEAT('\\');
    uint64_t found = (word - REPEAT(0x20)) | (quote - REPEAT(1)) | (backslash - REPEAT(1)) | word;
    return found & REPEAT(0x80);
}

/* Where the plain run of a string that starts at `at` ends: at a quote, a backslash, a control byte
 * or the end. Every byte that is not ASCII is or-ed into *all. */
static const char *plain_run(const char *at, const char *end, unsigned char *all)
{
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        if (special(word) != 0) {
            break;
        }
        at += 8;
    }
    unsigned char seen = 0;
    while (at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\') {
        seen |= (unsigned char)*at;
        at++;
    }
    *all |= seen;
    return at;
}

/* The string whose opening quote is next. */
static bool take_string(struct vg_json *j, struct vg_json_str *out)
{
    const char *from = ++j->at;
    bool escaped = false;
    unsigned char all = 0; /* its top bit tells whether UTF-8 must be checked */
    for (;;) {
        j->at = plain_run(j->at, j->end, &all);
        if (j->at < j->end && *j->at == '"') {
            break;
        }
        size_t len = j->at < j->end && *j->at == '\\' ? escape_len(j->at, j->end) : 0;
        if (len == 0) {
            return vg_json_fail(j, VG_JSON_SYNTAX);
        }
        escaped = true;
        j->at += len;
    }
    struct vg_span raw = {from, (size_t)(j->at - from)};
    if (all >= 0x80 && !vg_utf8_valid(raw)) {
        j->at = from;
        return vg_json_fail(j, VG_JSON_UTF8);
    }
    j->at++;
    out->raw = raw;
    out->escaped = escaped;
    return true;
}

bool vg_json_string(struct vg_json *j, struct vg_json_str *out)
{
    return expect(j, VG_JSON_STRING) && take_string(j, out);
}

bool vg_json_member(struct vg_json *j, struct vg_json_str *key)
{
    if (!next_item(j, '}')) {
        return false;
    }
    /* A name that is no string is a fault of the grammar, not of the caller's schema. */
    skip_space(j);
    if (j->at == j->end || *j->at != '"') {
        return vg_json_fail(j, VG_JSON_SYNTAX);
    }
    if (!take_string(j, key)) {
        return false;
    }
    skip_space(j);
    if (j->at == j->end || *j->at != ':') {
        return vg_json_fail(j, VG_JSON_SYNTAX);
    }
    j->at++;
    return true;
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

/* Decodes the escape at `at`, already checked by escape_len: its bytes to `to`, how many to *put;
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

bool vg_json_text(struct vg_json *j, char *out, size_t size)
{
    struct vg_json_str s;
    assert(size > 0);
    if (!vg_json_string(j, &s)) {
        return false;
    }
    return vg_json_str_copy(s, out, size) || vg_json_fail(j, VG_JSON_RANGE);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A number of the JSON grammar, taken apart while it is scanned. */
struct scanned {
    struct vg_span text;
    uint64_t whole; /* the digits before the point; wrapped when there are more than 19 */
    size_t whole_digits;
    bool negative;
    bool integer; /* neither fraction nor exponent */
};

static void scan_whole(struct vg_json *j, struct scanned *n)
{
    const char *at = j->at;
    uint64_t whole = 0;
    for (; at < j->end && is_digit(*at); at++) {
        whole = whole * 10 + (uint64_t)(*at - '0');
    }
    n->whole = whole;
    n->whole_digits = (size_t)(at - j->at);
    j->at = at;
}

/* At least one digit, stepped over. */
static bool skip_digits(struct vg_json *j)
{
    const char *at = j->at;
    while (at < j->end && is_digit(*at)) {
        at++;
    }
    bool some = at > j->at;
    j->at = at;
    return some;
}

static bool scan_number(struct vg_json *j, struct scanned *n)
{
    if (!expect(j, VG_JSON_NUMBER)) {
        return false;
    }
    *n = (struct scanned){.integer = true};
    const char *from = j->at;
    if (*j->at == '-') {
        n->negative = true;
        j->at++;
    }
    if (j->at < j->end && *j->at == '0') {
        j->at++;
    } else {
        scan_whole(j, n);
        if (n->whole_digits == 0) {
            return vg_json_fail(j, VG_JSON_SYNTAX);
        }
    }
    if (j->at < j->end && *j->at == '.') {
        j->at++;
        n->integer = false;
        if (!skip_digits(j)) {
            return vg_json_fail(j, VG_JSON_SYNTAX);
        }
    }
    if (j->at < j->end && (*j->at == 'e' || *j->at == 'E')) {
        j->at++;
        n->integer = false;
        if (j->at < j->end && (*j->at == '+' || *j->at == '-')) {
            j->at++;
        }
        if (!skip_digits(j)) {
            return vg_json_fail(j, VG_JSON_SYNTAX);
        }
    }
    n->text = vg_span(from, (size_t)(j->at - from));
    return true;
}

bool vgi_json_number_any(struct vg_json *j, double *out)
{
    struct scanned n;
    if (!scan_number(j, &n)) {
        return false;
    }
    double value;
    if (n.integer && n.whole_digits <= 19 && n.whole <= 1ULL << 53) {
        value = n.negative ? -(double)n.whole : (double)n.whole;
    } else if (!vg_span_to_double(n.text, &value)) {
        value = INFINITY;
    }
    *out = value;
    return true;
}

bool vg_json_number(struct vg_json *j, double *out)
{
    double value;
    if (!vgi_json_number_any(j, &value)) {
        return false;
    }
    if (!isfinite(value)) {
        return vg_json_fail(j, VG_JSON_RANGE);
    }
    *out = value;
    return true;
}

bool vg_json_i64(struct vg_json *j, int64_t *out)
{
    struct scanned n;
    if (!scan_number(j, &n)) {
        return false;
    }
    if (!n.integer) {
        j->at = n.text.at;
        return vg_json_fail(j, VG_JSON_TYPE);
    }
    /* 19 digits are below 10^19, so `whole` has not wrapped. */
    uint64_t most = (uint64_t)INT64_MAX + (n.negative ? 1 : 0);
    if (n.whole_digits > 19 || n.whole > most) {
        j->at = n.text.at;
        return vg_json_fail(j, VG_JSON_RANGE);
    }
    *out = n.negative ? (int64_t)(0 - n.whole) : (int64_t)n.whole;
    return true;
}

bool vg_json_u64(struct vg_json *j, uint64_t *out)
{
    struct scanned n;
    if (!scan_number(j, &n)) {
        return false;
    }
    unsigned long long value = n.whole;
    bool fits = !n.negative && (n.whole_digits <= 19 || vg_span_to_u64(n.text, &value));
    if (!n.integer || !fits) {
        j->at = n.text.at;
        return vg_json_fail(j, n.integer ? VG_JSON_RANGE : VG_JSON_TYPE);
    }
    *out = value;
    return true;
}

static bool take_word(struct vg_json *j, const char *word, size_t len)
{
    if ((size_t)(j->end - j->at) < len || memcmp(j->at, word, len) != 0) {
        return vg_json_fail(j, VG_JSON_SYNTAX);
    }
    j->at += len;
    return true;
}

bool vg_json_bool(struct vg_json *j, bool *out)
{
    if (!expect(j, VG_JSON_BOOL)) {
        return false;
    }
    bool value = *j->at == 't';
    if (!(value ? take_word(j, "true", 4) : take_word(j, "false", 5))) {
        return false;
    }
    *out = value;
    return true;
}

bool vg_json_null(struct vg_json *j)
{
    return expect(j, VG_JSON_NULL) && take_word(j, "null", 4);
}

/* Recursion is bounded by max_depth. */
bool vg_json_skip(struct vg_json *j)
{
    struct vg_json_str text;
    double number;
    bool boolean;
    switch (vg_json_peek(j)) {
    case VG_JSON_OBJECT:
        vg_json_object(j);
        while (vg_json_member(j, &text)) {
            vg_json_skip(j);
        }
        return j->error == VG_JSON_OK;
    case VG_JSON_ARRAY:
        vg_json_array(j);
        while (vg_json_element(j)) {
            vg_json_skip(j);
        }
        return j->error == VG_JSON_OK;
    case VG_JSON_STRING:
        return vg_json_string(j, &text);
    case VG_JSON_NUMBER:
        return vg_json_number(j, &number);
    case VG_JSON_BOOL:
        return vg_json_bool(j, &boolean);
    case VG_JSON_NULL:
        return vg_json_null(j);
    case VG_JSON_NONE:
        break;
    }
    return vg_json_fail(j, VG_JSON_SYNTAX);
}

bool vgi_json_other(struct vg_json *j)
{
    (void)vg_json_peek(j);
    const char *at = j->at;
    if (!vg_json_skip(j)) {
        return false;
    }
    j->at = at;
    return true;
}

bool vg_json_done(struct vg_json *j)
{
    if (j->error != VG_JSON_OK) {
        return false;
    }
    if (j->depth != 0) {
        return vg_json_fail(j, VG_JSON_SYNTAX);
    }
    skip_space(j);
    return j->at == j->end || vg_json_fail(j, VG_JSON_TRAILING);
}
