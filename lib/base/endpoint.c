/* "host:port" between text and struct. */
#include "vigia/endpoint.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

static bool host_is_valid(struct vg_span host)
{
    if (host.len == 0 || host.len > VG_HOST_MAX) {
        return false;
    }
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.at[i];
        if (c >= 0x80 || (!isalnum(c) && strchr(".-_", c) == NULL)) {
            return false;
        }
    }
    return host.at[0] != '-';
}

static bool port_is_valid(struct vg_span text, uint16_t *out)
{
    unsigned long long port;
    if (!vg_span_to_u64(text, &port) || port < 1 || port > UINT16_MAX) {
        return false;
    }
    *out = (uint16_t)port;
    return true;
}

/* Splits into host and what follows it; false for what is no host. */
static bool split(struct vg_span text, struct vg_endpoint *out, struct vg_span *rest)
{
    const char *end;
    if (text.len > 0 && text.at[0] == '[') {
        unsigned char address[sizeof(struct in6_addr)];
        end = memchr(text.at, ']', text.len);
        if (end == NULL ||
            !vg_span_copy(vg_span(text.at + 1, (size_t)(end - text.at - 1)), out->host,
                          sizeof out->host) ||
            inet_pton(AF_INET6, out->host, address) != 1) {
            return false;
        }
        end++;
    } else {
        end = text.len == 0 ? NULL : memchr(text.at, ':', text.len);
        if (end == NULL) {
            end = text.at + text.len;
        }
        struct vg_span host = vg_span(text.at, (size_t)(end - text.at));
        if (!host_is_valid(host) || !vg_span_copy(host, out->host, sizeof out->host)) {
            return false;
        }
    }
    *rest = vg_span(end, text.len - (size_t)(end - text.at));
    return true;
}

enum vg_err vg_endpoint_parse(struct vg_span text, uint16_t default_port, struct vg_endpoint *out,
                              struct vg_error *err)
{
    struct vg_endpoint e = {.port = default_port};
    struct vg_span rest;
    bool valid = split(text, &e, &rest);
    if (valid && rest.len == 0) {
        valid = default_port != 0;
    } else if (valid) {
        valid = rest.at[0] == ':' && port_is_valid(vg_span(rest.at + 1, rest.len - 1), &e.port);
    }
    if (!valid) {
        return vg_fail(err, VG_E_INVALID, "'%.*s': accepted: host%s or [IPv6 address]%s",
                       (int)(text.len > VG_HOST_MAX / 4 ? VG_HOST_MAX / 4 : text.len), text.at,
                       default_port == 0 ? ":port" : "[:port]",
                       default_port == 0 ? ":port" : "[:port]");
    }
    *out = e;
    return VG_OK;
}

enum vg_err vg_endpoint_list_parse(const char *text, uint16_t default_port, struct vg_endpoint *out,
                                   size_t max, size_t *count, struct vg_error *err)
{
    size_t found = 0;
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        struct vg_span one = vg_span(at, len);
        while (one.len > 0 && one.at[0] == ' ') {
            one = vg_span(one.at + 1, one.len - 1);
        }
        while (one.len > 0 && one.at[one.len - 1] == ' ') {
            one.len--;
        }
        if (found == max) {
            return vg_fail(err, VG_E_RANGE, "more than %zu addresses, accepted: 1 to %zu", max,
                           max);
        }
        enum vg_err code = vg_endpoint_parse(one, default_port, &out[found], err);
        if (code != VG_OK) {
            return code;
        }
        found++;
        at += len;
        if (*at == '\0') {
            break;
        }
    }
    *count = found;
    return VG_OK;
}

const char *vg_endpoint_format(const struct vg_endpoint *e, char out[VG_ENDPOINT_TEXT_MAX])
{
    bool v6 = strchr(e->host, ':') != NULL;
    snprintf(out, VG_ENDPOINT_TEXT_MAX, "%s%s%s:%u", v6 ? "[" : "", e->host, v6 ? "]" : "",
             (unsigned)e->port);
    return out;
}
