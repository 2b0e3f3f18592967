/* What stands in a file, seen without opening it as a database: whether it is ours to touch. */
#ifndef VIGIA_BUFFER_LOOK_H
#define VIGIA_BUFFER_LOOK_H

#include "vigia/err.h"

#include <stdint.h>

/* UNDONE: a power cut left a rollback journal beside it (the schema was being made, or WAL being
 * switched on), so what it holds is known only once SQLite has rolled that back. */
enum vgi_look { VGI_LOOK_NEW, VGI_LOOK_OURS, VGI_LOOK_UNDONE, VGI_LOOK_DAMAGED };

/* VG_E_VERSION: another program's, or of a newer version; VG_E_INVALID: no regular file; VG_E_DENIED,
 * VG_E_IO. */
enum vg_err vgi_look_at(const char *path, enum vgi_look *look, struct vg_error *err) VG_NODISCARD;
enum vg_err vgi_refuse_version(const char *path, uint32_t version, struct vg_error *err);
enum vg_err vgi_refuse_owner(const char *path, uint32_t application, struct vg_error *err);

#endif
