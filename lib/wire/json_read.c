/* The pull reader of JSON: one pass, no heap, the first error sticks (json.h).
 *
 * Containers need no stack: inside an object every value follows a member's name, inside an array
 * an element, and the caller's own loops remember which is which. `fresh` tells whether a comma is
 * due.
 *
 * Here is what steps over the text. What a string says is in json_string.c, numbers are in
 * json_number.c. */
#include "json_inner.h"
#include "json_scan.h"

#include <assert.h>

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

bool vgi_json_expect(struct vg_json *j, enum vg_json_type type)
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
    if (!vgi_json_expect(j, type)) {
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
        size_t len = j->at < j->end && *j->at == '\\' ? vgi_json_escape_len(j->at, j->end) : 0;
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
    return vgi_json_expect(j, VG_JSON_STRING) && take_string(j, out);
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

bool vg_json_text(struct vg_json *j, char *out, size_t size)
{
    struct vg_json_str s;
    assert(size > 0);
    if (!vg_json_string(j, &s)) {
        return false;
    }
    return vg_json_str_copy(s, out, size) || vg_json_fail(j, VG_JSON_RANGE);
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
    if (!vgi_json_expect(j, VG_JSON_BOOL)) {
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
    return vgi_json_expect(j, VG_JSON_NULL) && take_word(j, "null", 4);
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
