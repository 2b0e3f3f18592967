/* Files beside the live one: NAME.damaged-<epoch s>; and, of devices that this one was before it was
 * provisioned anew, NAME.of-DEVICE, buffers in which something waits ('/' in a device's name is
 * written '%', which no name has), and NAME.refused-<epoch s>, in which only quarantine is left. */
#ifndef VIGIA_BUFFER_BESIDE_H
#define VIGIA_BUFFER_BESIDE_H

#include "vigia/buffer.h"

#define VGI_PATH_MAX 512
/* A path with what is put behind it. */
#define VGI_BESIDE_MAX VG_BUFFER_FILE_MAX
/* Damaged files kept, and files with quarantine; one more removes the oldest. */
#define VGI_DATED_MAX 2
/* Other devices' files kept. They hold readings that nobody else has, so one more is not made: the
 * open is refused. */
#define VGI_OTHERS_MAX 8

/* Renames the file and its WAL, closed before; `to` gets the name. *removed is increased by the files
 * that go for it. */
enum vg_err vgi_beside_damaged(const char *path, int64_t wall_s, char to[VGI_BESIDE_MAX],
                               uint64_t *removed, struct vg_error *err) VG_NODISCARD;

/* The same for a file in which only quarantine is left, durably. */
enum vg_err vgi_beside_refused(const char *path, int64_t wall_s, char to[VGI_BESIDE_MAX],
                               uint64_t *removed, struct vg_error *err) VG_NODISCARD;

/* How many NAME.of-* there are. VG_E_IO, VG_E_DENIED, VG_E_NOMEM: the folder cannot be listed. */
enum vg_err vgi_beside_others(const char *path, size_t *others, struct vg_error *err) VG_NODISCARD;
void vgi_beside_name(const char *path, const char *device, char out[VGI_BESIDE_MAX]);
/* Whether NAME.of-DEVICE is there. VG_E_IO, VG_E_DENIED: it cannot be told, which is not the same as
 * no. */
enum vg_err vgi_beside_has(const char *path, const char *device, bool *has,
                           struct vg_error *err) VG_NODISCARD;

/* path → NAME.of-DEVICE, durably. The file is closed and has no WAL. VG_E_EXISTS: there is one, or
 * there are VGI_OTHERS_MAX; those of vgi_beside_has and vgi_beside_others; VG_E_IO. */
enum vg_err vgi_beside_put(const char *path, const char *device, struct vg_error *err) VG_NODISCARD;
/* NAME.of-DEVICE → path, durably, if there is one and path is free; what a file that once was at
 * path has left there (WAL, journal) goes first. VG_E_IO. */
enum vg_err vgi_beside_take(const char *path, const char *device, bool *taken,
                            struct vg_error *err) VG_NODISCARD;
/* Removes the file at path. */
enum vg_err vgi_beside_remove(const char *path, struct vg_error *err) VG_NODISCARD;

#endif
