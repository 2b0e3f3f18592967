/* Error classes and how a detail is filled in. */
#include "vigia/err.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [VG_OK] = "ok",
    [VG_E_INVALID] = "invalid",
    [VG_E_RANGE] = "range",
    [VG_E_UNSUPPORTED] = "unsupported",
    [VG_E_FULL] = "full",
    [VG_E_AGAIN] = "again",
    [VG_E_TIMEOUT] = "timeout",
    [VG_E_NOTFOUND] = "not-found",
    [VG_E_EXISTS] = "exists",
    [VG_E_DENIED] = "denied",
    [VG_E_CONFLICT] = "conflict",
    [VG_E_VERSION] = "version",
    [VG_E_CORRUPT] = "corrupt",
    [VG_E_IO] = "io",
    [VG_E_NOMEM] = "no-memory",
    [VG_E_CLOSED] = "closed",
    [VG_E_FATAL] = "fatal",
};
static_assert(sizeof names / sizeof names[0] == VG_ERR_COUNT, "every class has a name");

enum vg_err vg_err_of_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return VG_E_NOTFOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return VG_E_DENIED;
    case EEXIST:
    case EADDRINUSE:
        return VG_E_EXISTS;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case EINVAL:
        return VG_E_INVALID;
    case ENOMEM:
    case ENOBUFS:
        return VG_E_NOMEM;
    default:
        return VG_E_IO;
    }
}

const char *vg_err_name(enum vg_err code)
{
    if ((unsigned)code >= VG_ERR_COUNT) {
        return "unknown";
    }
    return names[code];
}

__attribute__((format(printf, 4, 0))) static enum vg_err
fill(struct vg_error *err, enum vg_err code, size_t offset, const char *fmt, va_list args)
{
    if (err != NULL) {
        err->code = code;
        err->offset = offset;
        vsnprintf(err->text, sizeof err->text, fmt, args);
    }
    return code;
}

enum vg_err vg_fail(struct vg_error *err, enum vg_err code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(err, code, 0, fmt, args);
    va_end(args);
    return code;
}

enum vg_err vg_fail_at(struct vg_error *err, enum vg_err code, size_t offset, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(err, code, offset, fmt, args);
    va_end(args);
    return code;
}

void vg_err_prefix(struct vg_error *err, const char *head)
{
    char before[VG_ERROR_TEXT_MAX];
    size_t room = sizeof err->text;
    int made = snprintf(before, room, "%s: ", head);
    size_t len = made < 0 ? 0 : (size_t)made < room ? (size_t)made : room - 1;
    memmove(err->text + len, err->text, room - len);
    memcpy(err->text, before, len);
    err->text[room - 1] = '\0';
}

enum vg_err vg_err_blame(struct vg_error *err, enum vg_err code, const char *key)
{
    size_t len = strlen(key);
    if (err != NULL && !(strncmp(err->text, key, len) == 0 && err->text[len] == ':')) {
        vg_err_prefix(err, key);
    }
    return code;
}

enum vg_err vg_err_blame_value(struct vg_error *err, enum vg_err code, const char *key,
                               const char *value)
{
    bool its = code != VG_OK && err != NULL && value[0] != '\0' &&
               strncmp(err->text, value, strlen(value)) == 0;
    return its ? vg_err_blame(err, code, key) : code;
}

enum vg_err vg_need_version(const char *library, const char *found, unsigned long floor,
                            struct vg_error *err)
{
    const char *at = found + strcspn(found, "0123456789");
    unsigned long version = 0;
    for (int part = 0; part < 3; part++) {
        char *end;
        unsigned long n = strtoul(at, &end, 10);
        version = version * 1000 + (n < 1000 ? n : 999);
        at = *end == '.' ? end + 1 : end;
    }
    if (version >= floor) {
        return VG_OK;
    }
    return vg_fail(err, VG_E_VERSION, "%s: version %s, accepted: %lu.%lu.%lu or later", library,
                   found, floor / 1000000, floor / 1000 % 1000, floor % 1000);
}
