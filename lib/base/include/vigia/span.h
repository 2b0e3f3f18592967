/* Borrowed bytes: a pointer and a length, never owned, never NUL-terminated. */
#ifndef VIGIA_SPAN_H
#define VIGIA_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct vg_span {
    const char *at;
    size_t len;
};

#define VG_SPAN(literal) ((struct vg_span){(literal), sizeof(literal) - 1})

static inline struct vg_span vg_span(const void *at, size_t len)
{
    return (struct vg_span){(const char *)at, len};
}

/* A span over a NUL-terminated string; NULL gives the empty span. */
static inline struct vg_span vg_span_str(const char *s)
{
    return (struct vg_span){s, s == NULL ? 0 : strlen(s)};
}

static inline bool vg_span_eq(struct vg_span a, struct vg_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Copies into a NUL-terminated buffer of `size` bytes; false (and an untouched buffer) when it does
 * not fit whole. */
bool vg_span_copy(struct vg_span from, char *to, size_t size);

/* Bounded copy of a string with the same contract. */
bool vg_str_copy(const char *from, char *to, size_t size);

/* Strict whole-span numbers: digits only (a leading '-' for the signed form), no spaces, no sign
 * '+', no overflow. */
bool vg_span_to_i64(struct vg_span s, long long *out);
bool vg_span_to_u64(struct vg_span s, unsigned long long *out);
/* Decimal floating point in the JSON grammar (RFC 8259 §6), finite, locale-independent. */
bool vg_span_to_double(struct vg_span s, double *out);

/* Lower-case hex of `len` bytes; `out` has room for 2*len+1. */
void vg_hex(const void *bytes, size_t len, char *out);
/* Exactly `len` bytes from 2*len hex digits (either case); false otherwise. */
bool vg_unhex(struct vg_span hex, void *out, size_t len);

#endif
