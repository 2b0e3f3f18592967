/* "host:port" as people write it: a name, an IPv4 address, or an IPv6 address in brackets. No name
 * is resolved here. */
#ifndef VIGIA_ENDPOINT_H
#define VIGIA_ENDPOINT_H

#include "vigia/err.h"
#include "vigia/span.h"

#include <stdint.h>

/* Longest host: a DNS name (RFC 1035 §2.3.4), without brackets. */
#define VG_HOST_MAX 253
/* Room for "[host]:port" and its NUL. */
#define VG_ENDPOINT_TEXT_MAX (VG_HOST_MAX + 9)

struct vg_endpoint {
    char host[VG_HOST_MAX + 1];
    uint16_t port;
};

/* One "host", "host:port", "[v6]" or "[v6]:port"; the port is 1 to 65535, and `default_port` where
 * none is written (0: one must be). VG_E_INVALID with a line that shows the text and what is
 * accepted. */
enum vg_err vg_endpoint_parse(struct vg_span text, uint16_t default_port, struct vg_endpoint *out,
                              struct vg_error *err) VG_NODISCARD;

/* A list separated by commas, blanks allowed around each: 1 to `max` of them, else VG_E_RANGE. */
enum vg_err vg_endpoint_list_parse(const char *text, uint16_t default_port, struct vg_endpoint *out,
                                   size_t max, size_t *count, struct vg_error *err) VG_NODISCARD;

/* "host:port", with brackets where the host holds a ':'; returns `out`. */
const char *vg_endpoint_format(const struct vg_endpoint *e, char out[VG_ENDPOINT_TEXT_MAX]);

#endif
