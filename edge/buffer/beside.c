/* Renaming a buffer's file away, and back; see beside.h. */
#include "beside.h"

#include "vigia/file.h"
#include "vigia/span.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static_assert(VGI_BESIDE_MAX >= VGI_PATH_MAX + sizeof ".of-" + VG_DEVICE_NAME_MAX + sizeof "-wal",
              "every path has room for what is put behind it");

static bool ends_with(const char *name, const char *end)
{
    const size_t len = strlen(name), part = strlen(end);
    return len > part && strcmp(name + len - part, end) == 0;
}

/* The folder of `path`, with its slash, or "". */
static void folder_of(const char *path, char out[VGI_PATH_MAX])
{
    (void)snprintf(out, VGI_PATH_MAX, "%s", path);
    char *slash = strrchr(out, '/');
    *(slash != NULL ? slash + 1 : out) = '\0';
}

#define DAMAGED ".damaged-"
#define REFUSED ".refused-"
#define OF      ".of-"

/* Behind a date, SQLite's own names; behind a device's, part of it. */
static bool is_one(const char *name, const char *prefix, bool dated)
{
    return strncmp(name, prefix, strlen(prefix)) == 0 &&
           !(dated && (ends_with(name, "-wal") || ends_with(name, "-shm")));
}

/* Counts the files whose name is path's and `kind`; in a folder that is not there is none. `first`
 * gets the name of the one that sorts first. */
static enum vg_err count(const char *path, const char *kind, char first[NAME_MAX + 1], size_t *n,
                         struct vg_error *err)
{
    char folder[VGI_PATH_MAX], prefix[VGI_BESIDE_MAX];
    folder_of(path, folder);
    (void)snprintf(prefix, sizeof prefix, "%s%s", path + strlen(folder), kind);
    const char *const listed = folder[0] != '\0' ? folder : ".";
    first[0] = '\0';
    *n = 0;
    DIR *d = opendir(listed);
    errno = d != NULL || errno == ENOENT ? 0 : errno;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL; errno = 0) {
        if (is_one(e->d_name, prefix, strcmp(kind, OF) != 0)) {
            ++*n;
            if (first[0] == '\0' || strcmp(e->d_name, first) < 0) {
                (void)vg_str_copy(e->d_name, first, NAME_MAX + 1);
            }
        }
    }
    const int failed = errno;
    if (d != NULL) {
        (void)closedir(d);
    }
    return failed == 0 ? VG_OK
                       : vg_fail(err, vg_err_of_errno(failed), "%s: cannot be listed: %s", listed,
                                 strerror(failed));
}

/* Removes the oldest of those set aside before, so that what comes again cannot fill the card. */
static void forget(const char *path, const char *kind, uint64_t *removed)
{
    char folder[VGI_PATH_MAX], oldest[NAME_MAX + 1];
    size_t n;
    folder_of(path, folder);
    for (int rounds = 0; rounds < 16; rounds++) {
        if (count(path, kind, oldest, &n, NULL) != VG_OK || n <= VGI_DATED_MAX) {
            return;
        }
        char victim[sizeof folder + sizeof oldest + 8];
        (void)snprintf(victim, sizeof victim, "%s%s", folder, oldest);
        *removed += unlink(victim) == 0 ? 1 : 0;
        (void)snprintf(victim, sizeof victim, "%s%s-wal", folder, oldest);
        (void)unlink(victim);
    }
}

static enum vg_err set_aside(const char *path, const char *kind, int64_t wall_s,
                             char to[VGI_BESIDE_MAX], uint64_t *removed, struct vg_error *err)
{
    char from[VGI_BESIDE_MAX], wal[VGI_BESIDE_MAX + 4];
    /* The second part keeps two in one second apart. */
    for (int n = 0; n < 100; n++) {
        (void)snprintf(to, VGI_BESIDE_MAX, "%s%s%010" PRId64 "%s%.*d", path, kind, wall_s,
                       n > 0 ? "." : "", n > 0 ? 2 : 0, n);
        if (access(to, F_OK) != 0) {
            break;
        }
    }
    if (rename(path, to) != 0 && errno != ENOENT) {
        return vg_fail(err, VG_E_IO, "%s: cannot become %s: %s", path, to, strerror(errno));
    }
    /* A WAL left behind would be replayed into the new file. */
    (void)snprintf(from, sizeof from, "%s-wal", path);
    (void)snprintf(wal, sizeof wal, "%s-wal", to);
    if (rename(from, wal) != 0 && errno != ENOENT) {
        return vg_fail(err, VG_E_IO, "%s: cannot become %s: %s", from, wal, strerror(errno));
    }
    forget(path, kind, removed);
    return VG_OK;
}

enum vg_err vgi_beside_damaged(const char *path, int64_t wall_s, char to[VGI_BESIDE_MAX],
                               uint64_t *removed, struct vg_error *err)
{
    return set_aside(path, DAMAGED, wall_s, to, removed, err);
}

enum vg_err vgi_beside_refused(const char *path, int64_t wall_s, char to[VGI_BESIDE_MAX],
                               uint64_t *removed, struct vg_error *err)
{
    enum vg_err e = set_aside(path, REFUSED, wall_s, to, removed, err);
    return e == VG_OK ? vg_folder_sync(path, err) : e;
}

enum vg_err vgi_beside_others(const char *path, size_t *others, struct vg_error *err)
{
    char first[NAME_MAX + 1];
    return count(path, OF, first, others, err);
}

void vgi_beside_name(const char *path, const char *device, char out[VGI_BESIDE_MAX])
{
    const int kept = snprintf(out, VGI_BESIDE_MAX, "%s" OF, path);
    (void)snprintf(out + kept, VGI_BESIDE_MAX - (size_t)kept, "%s", device);
    for (char *at = out + kept; *at != '\0'; at++) {
        *at = *at == '/' ? '%' : *at;
    }
}

static enum vg_err is_there(const char *path, bool *there, struct vg_error *err)
{
    *there = access(path, F_OK) == 0;
    /* A name too long for the folder cannot be there either. */
    return *there || errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG
               ? VG_OK
               : vg_fail(err, vg_err_of_errno(errno), "%s: %s", path, strerror(errno));
}

enum vg_err vgi_beside_has(const char *path, const char *device, bool *has, struct vg_error *err)
{
    char name[VGI_BESIDE_MAX];
    vgi_beside_name(path, device, name);
    return is_there(name, has, err);
}

static enum vg_err move(const char *from, const char *to, struct vg_error *err)
{
    if (rename(from, to) != 0) {
        return vg_fail(err, VG_E_IO, "%s: cannot become %s: %s", from, to, strerror(errno));
    }
    return vg_folder_sync(to, err);
}

enum vg_err vgi_beside_put(const char *path, const char *device, struct vg_error *err)
{
    char to[VGI_BESIDE_MAX];
    bool there;
    size_t others;
    vgi_beside_name(path, device, to);
    enum vg_err e = is_there(to, &there, err);
    if (e != VG_OK) {
        return e;
    }
    if (there) {
        return vg_fail(err, VG_E_EXISTS,
                       "%s: there, and %s is a buffer of the same device; accepted: one of them",
                       to, path);
    }
    if ((e = vgi_beside_others(path, &others, err)) != VG_OK) {
        return e;
    }
    if (others >= VGI_OTHERS_MAX) {
        return vg_fail(err, VG_E_EXISTS,
                       "%s: the buffer of another device, '%s', and beside it %d more; accepted: "
                       "fewer than %d. Send or remove what is in %s.of-*",
                       path, device, VGI_OTHERS_MAX, VGI_OTHERS_MAX, path);
    }
    return move(path, to, err);
}

static enum vg_err remove_file(const char *path, const char *end, struct vg_error *err)
{
    char victim[VGI_BESIDE_MAX];
    (void)snprintf(victim, sizeof victim, "%s%s", path, end);
    return unlink(victim) == 0 || errno == ENOENT
               ? VG_OK
               : vg_fail(err, VG_E_IO, "%s: cannot be removed: %s", victim, strerror(errno));
}

enum vg_err vgi_beside_remove(const char *path, struct vg_error *err)
{
    return remove_file(path, "", err);
}

enum vg_err vgi_beside_take(const char *path, const char *device, bool *taken, struct vg_error *err)
{
    char from[VGI_BESIDE_MAX];
    bool there, taken_up = false;
    vgi_beside_name(path, device, from);
    enum vg_err e = is_there(from, &there, err);
    if (e == VG_OK && there) {
        e = is_there(path, &taken_up, err);
    }
    if (e != VG_OK || !there || taken_up) {
        return e;
    }
    /* Of another file: SQLite would play them into this one. */
    e = remove_file(path, "-wal", err);
    if (e == VG_OK) {
        e = remove_file(path, "-journal", err);
    }
    if (e == VG_OK) {
        e = vg_folder_sync(path, err);
    }
    if (e == VG_OK) {
        e = move(from, path, err);
    }
    *taken = *taken || e == VG_OK;
    return e;
}
