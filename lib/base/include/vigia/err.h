/* Errors: a closed set of classes, and a struct for the detail.
 *
 * A function that can fail returns `enum vg_err`; its outputs are the last pointers and stay
 * untouched on failure. Where a person needs to know more (a configuration line, a byte of a pack),
 * the caller passes a `struct vg_error`. Retry policy, CoAP codes and exit codes follow from the
 * class alone. */
#ifndef VIGIA_ERR_H
#define VIGIA_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum vg_err {
    VG_OK = 0,
    VG_E_INVALID,     /* malformed input: it will not get better by itself */
    VG_E_RANGE,       /* well formed, but a value is outside what is accepted */
    VG_E_UNSUPPORTED, /* well formed, but not something this version knows */
    VG_E_FULL,        /* a named bound was reached */
    VG_E_AGAIN,       /* not now: the same call may succeed later */
    VG_E_TIMEOUT,     /* the deadline passed */
    VG_E_NOTFOUND,    /* the thing named is not there */
    VG_E_EXISTS,      /* the thing named is there already */
    VG_E_DENIED,      /* not allowed: credentials, permissions, authorisation */
    VG_E_CONFLICT,    /* somebody else holds it, or it changed underneath */
    VG_E_VERSION,     /* made by a newer version, or by another program */
    VG_E_CORRUPT,     /* stored data is damaged */
    VG_E_IO,          /* the operating system or a device refused */
    VG_E_NOMEM,       /* no memory */
    VG_E_CLOSED,      /* the other side is gone, or the object is shutting down */
    VG_E_FATAL,       /* the object cannot be used any more; end the process or make a new one */
    VG_ERR_COUNT
};

#define VG_NODISCARD __attribute__((warn_unused_result))

/* Longest text of a vg_error, terminating NUL included; longer ones are cut. */
#define VG_ERROR_TEXT_MAX 384

struct vg_error {
    enum vg_err code;
    size_t offset; /* byte offset in the input where that makes sense, else 0 */
    char text[VG_ERROR_TEXT_MAX];
};

/* The class of an errno. What is wrong with the world as configured (no such file, may not, in use)
 * is told from what the machine lacks for now (memory, descriptors, a disk that answers), because
 * a program that ends over the first is not to be started again. */
enum vg_err vg_err_of_errno(int number);

/* The name of a class in lower case ("not-found"), for log lines. Never NULL. */
const char *vg_err_name(enum vg_err code);

/* Fills *err (NULL is allowed) with a class and a formatted text, offset 0, and returns `code`, so
 * that `return vg_fail(err, VG_E_RANGE, "…", …)` is one line. */
enum vg_err vg_fail(struct vg_error *err, enum vg_err code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with a byte offset. */
enum vg_err vg_fail_at(struct vg_error *err, enum vg_err code, size_t offset, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "head: " before the text; what does not fit any more is cut at its end. */
void vg_err_prefix(struct vg_error *err, const char *head);

/* Blames a configuration key: puts "section.key: " before the text, unless it stands there already.
 * The program then says where the key was set (vg_conf_locate). NULL err is allowed; returns
 * `code`. */
enum vg_err vg_err_blame(struct vg_error *err, enum vg_err code, const char *key);

/* The same, but only if the text begins with `value`, the path or address that the key holds: what
 * else went wrong (memory, a library) is not the key's fault. Nothing with VG_OK. */
enum vg_err vg_err_blame_value(struct vg_error *err, enum vg_err code, const char *key,
                               const char *value);

/* For a library's version as it says it itself at run time, "4.3.5" or "libcoap 4.3.5": VG_E_VERSION
 * unless it is at least `floor`, which counts 1000000 * major + 1000 * minor + patch. */
enum vg_err vg_need_version(const char *library, const char *found, unsigned long floor,
                            struct vg_error *err) VG_NODISCARD;

/* Exit codes of every program (sysexits.h for 78). */
#define VG_EXIT_OK     0
#define VG_EXIT_FAIL   1
#define VG_EXIT_USAGE  2
#define VG_EXIT_CONFIG 78

#endif
