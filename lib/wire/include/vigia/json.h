/* JSON (RFC 8259) without heap: a strict pull reader and a bounded writer.
 *
 * The reader walks the text once. Its first error sticks: every later call then returns false or a
 * neutral value, so a caller checks once, at the end:
 *
 *   struct vg_json j;
 *   struct vg_json_str key;
 *   vg_json_init(&j, text, 8);
 *   vg_json_object(&j);
 *   while (vg_json_member(&j, &key)) {
 *       if (vg_json_str_is(key, "seq")) { vg_json_i64(&j, &seq); }
 *       else { vg_json_skip(&j); }
 *   }
 *   if (!vg_json_done(&j)) { … j.error, j.offset … }
 *
 * Strict: UTF-8 only, no byte order mark, no trailing commas, no control bytes in strings, paired
 * surrogates, numbers in the JSON grammar and finite. Each value announced by vg_json_member /
 * vg_json_element must be read or skipped. */
#ifndef VIGIA_JSON_H
#define VIGIA_JSON_H

#include "vigia/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vg_json_error {
    VG_JSON_OK,
    VG_JSON_SYNTAX,
    VG_JSON_UTF8,
    VG_JSON_DEPTH,
    VG_JSON_TYPE,     /* well-formed, but not what the caller asked for */
    VG_JSON_RANGE,    /* a number that does not fit */
    VG_JSON_TRAILING, /* something after the value */
};
const char *vg_json_error_text(enum vg_json_error error);

enum vg_json_type {
    VG_JSON_NONE, /* end of text or an error */
    VG_JSON_OBJECT,
    VG_JSON_ARRAY,
    VG_JSON_STRING,
    VG_JSON_NUMBER,
    VG_JSON_BOOL,
    VG_JSON_NULL,
};

struct vg_json {
    const char *start;
    const char *at;
    const char *end;
    unsigned depth;
    unsigned max_depth;
    bool fresh; /* just inside a container: no comma before the next value */
    enum vg_json_error error;
    size_t offset; /* byte where the error was noticed */
};

/* A string as it stands between its quotes, checked but not unescaped; borrowed from the text. */
struct vg_json_str {
    struct vg_span raw;
    bool escaped;
};

/* `max_depth` >= 1: how many containers may be open at once. */
void vg_json_init(struct vg_json *j, struct vg_span text, unsigned max_depth);
/* The type of the next value, not consumed. */
enum vg_json_type vg_json_peek(struct vg_json *j);

bool vg_json_object(struct vg_json *j);
/* The next member's name, its value to be read next; false at the end of the object (which is
 * consumed) or on error. */
bool vg_json_member(struct vg_json *j, struct vg_json_str *key);
bool vg_json_array(struct vg_json *j);
/* True when another element follows, to be read next; false at the end of the array (consumed) or
 * on error. */
bool vg_json_element(struct vg_json *j);

bool vg_json_string(struct vg_json *j, struct vg_json_str *out);
/* Reads a string and unescapes it into `out`, NUL-terminated. A longer one, or one with a NUL
 * inside, is VG_JSON_RANGE. */
bool vg_json_text(struct vg_json *j, char *out, size_t size);
bool vg_json_number(struct vg_json *j, double *out);
/* An integer without fraction or exponent. */
bool vg_json_i64(struct vg_json *j, int64_t *out);
bool vg_json_u64(struct vg_json *j, uint64_t *out);
bool vg_json_bool(struct vg_json *j, bool *out);
bool vg_json_null(struct vg_json *j);
/* Any value, whole. */
bool vg_json_skip(struct vg_json *j);
/* Every container closed, only white space left, no error so far. */
bool vg_json_done(struct vg_json *j);
/* Lets the caller's own check fail at the place read last: returns false. */
bool vg_json_fail(struct vg_json *j, enum vg_json_error error);

/* Equality after unescaping, with a NUL-terminated string. */
bool vg_json_str_is(struct vg_json_str s, const char *text);
/* Unescapes into `out` with a terminating NUL; false (and `out` cut but terminated) when it does
 * not fit or has a NUL. */
bool vg_json_str_copy(struct vg_json_str s, char *out, size_t size);

/* Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). */
bool vg_utf8_valid(struct vg_span s);

/* The writer. It places commas itself; when the buffer is full or a number is not finite, `failed`
 * sticks and nothing more is written. Not NUL-terminated. */
struct vg_json_out {
    char *buf;
    size_t size;
    size_t len;
    bool comma;
    bool failed;
};

void vg_jsonw_init(struct vg_json_out *w, char *buf, size_t size);
void vg_jsonw_object(struct vg_json_out *w);
void vg_jsonw_object_end(struct vg_json_out *w);
void vg_jsonw_array(struct vg_json_out *w);
void vg_jsonw_array_end(struct vg_json_out *w);
/* The key of the next value; escaped like any string. */
void vg_jsonw_key(struct vg_json_out *w, const char *key);
void vg_jsonw_string(struct vg_json_out *w, const char *text);
/* Bytes that are not UTF-8 become U+FFFD. */
void vg_jsonw_span(struct vg_json_out *w, struct vg_span text);
void vg_jsonw_i64(struct vg_json_out *w, int64_t value);
void vg_jsonw_u64(struct vg_json_out *w, uint64_t value);
/* A decimal that reads back as the same double; short wherever at most 15 digits are enough. */
void vg_jsonw_double(struct vg_json_out *w, double value);
void vg_jsonw_bool(struct vg_json_out *w, bool value);
void vg_jsonw_null(struct vg_json_out *w);
/* A value that is JSON already. */
void vg_jsonw_raw(struct vg_json_out *w, struct vg_span json);
/* The text, or the empty span when something failed. */
struct vg_span vg_jsonw_done(const struct vg_json_out *w);

#endif
