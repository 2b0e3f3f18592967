/* Whole small files: secrets read with their permissions checked, and writing that leaves the old
 * file or the new one. And whether what a program printed has arrived. */
#ifndef VIGIA_FILE_H
#define VIGIA_FILE_H

#include "vigia/err.h"

#include <stdbool.h>

/* Reads a secret (a key, a provisioning file) into `buf` and its length into *len. Refused with one
 * line that names the path, what was found and what is accepted: not there VG_E_NOTFOUND; not
 * readable, or readable, writable or executable by group or others VG_E_DENIED; no regular file
 * VG_E_INVALID; empty or longer than `size` VG_E_RANGE; VG_E_IO. On failure `buf` holds nothing of
 * the file. */
enum vg_err vg_secret_file_read(const char *path, void *buf, size_t size, size_t *len,
                                struct vg_error *err) VG_NODISCARD;

/* The permission check alone, for files that a library opens itself. */
enum vg_err vg_secret_file_check(const char *path, struct vg_error *err) VG_NODISCARD;

/* Writes a file of mode 0600 so that a crash at any moment leaves the old content or the new:
 * temporary file in the same folder, fsync, rename, fsync of the folder. VG_E_IO, VG_E_DENIED,
 * VG_E_NOTFOUND (the folder), VG_E_RANGE (path too long); after any of them the old file is as it
 * was. */
enum vg_err vg_file_write_atomic(const char *path, const void *data, size_t len,
                                 struct vg_error *err) VG_NODISCARD;

/* Syncs the folder in which `path` stands, so that a rename or removal there is durable. VG_E_IO. */
enum vg_err vg_folder_sync(const char *path, struct vg_error *err) VG_NODISCARD;

/* Whether an SQLite file and what stands beside it (-wal, -shm, -journal) may be written, or made
 * where they are not, as far as their permissions and their folder tell. What may pass by itself is
 * no hindrance: a file system that is full or read-only for now, too many open files. */
bool vg_sqlite_may_write(const char *path);

/* What a program returns from main: flushes standard output, and where any of what was printed
 * since the start was lost, tells so in one line on standard error, "PROGRAM: standard output:
 * reason", and turns exit code 0 into 1. */
int vg_stdout_end(const char *program, int exit_code) VG_NODISCARD;

#endif
