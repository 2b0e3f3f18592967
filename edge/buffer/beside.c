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

/* Counts the files whose name is path's and `kind`, SQLite's own beside them left out. `first` gets
 * the name of the one that sorts first. */
static size_t count(const char *path, const char *kind, char first[NAME_MAX + 1])
{
    char folder[VGI_PATH_MAX], prefix[VGI_BESIDE_MAX];
    folder_of(path, folder);
    (void)snprintf(prefix, sizeof prefix, "%s%s", path + strlen(folder), kind);
    first[0] = '\0';
    DIR *d = opendir(folder[0] != '\0' ? folder : ".");
    if (d == NULL) {
        return 0;
    }
    size_t n = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && !ends_with(e->d_name, "-wal") &&
            !ends_with(e->d_name, "-shm")) {
            n++;
            if (first[0] == '\0' || strcmp(e->d_name, first) < 0) {
                (void)vg_str_copy(e->d_name, first, NAME_MAX + 1);
            }
        }
    }
    (void)closedir(d);
    return n;
}

/* Removes the oldest files set aside before, so that damage that comes again cannot fill the card.
 */
static void forget_damaged(const char *path)
{
    char folder[VGI_PATH_MAX], oldest[NAME_MAX + 1];
    folder_of(path, folder);
    for (int rounds = 0; rounds < 16; rounds++) {
        if (count(path, ".damaged-", oldest) <= VGI_DAMAGED_MAX) {
            return;
        }
        char victim[sizeof folder + sizeof oldest + 8];
        (void)snprintf(victim, sizeof victim, "%s%s", folder, oldest);
        (void)unlink(victim);
        (void)snprintf(victim, sizeof victim, "%s%s-wal", folder, oldest);
        (void)unlink(victim);
    }
}

enum vg_err vgi_beside_damaged(const char *path, int64_t wall_s, struct vg_error *err)
{
    char from[VGI_BESIDE_MAX], to[VGI_BESIDE_MAX];
    /* The second part keeps two in one second apart. */
    for (int n = 0; n < 100; n++) {
        (void)snprintf(to, sizeof to, "%s.damaged-%010" PRId64 "%s%.*d", path, wall_s,
                       n > 0 ? "." : "", n > 0 ? 2 : 0, n);
        if (access(to, F_OK) != 0) {
            break;
        }
    }
    if (rename(path, to) != 0 && errno != ENOENT) {
        return vg_fail(err, VG_E_IO, "%s: damaged, and cannot be renamed: %s", path,
                       strerror(errno));
    }
    /* A WAL left behind would be replayed into the new file. */
    (void)snprintf(from, sizeof from, "%s-wal", path);
    (void)snprintf(to + strlen(to), sizeof to - strlen(to), "-wal");
    if (rename(from, to) != 0 && errno != ENOENT) {
        return vg_fail(err, VG_E_IO, "%s: damaged, and cannot be renamed: %s", from,
                       strerror(errno));
    }
    forget_damaged(path);
    return VG_OK;
}

size_t vgi_beside_others(const char *path)
{
    char first[NAME_MAX + 1];
    return count(path, ".of-", first);
}

void vgi_beside_name(const char *path, const char *device, char out[VGI_BESIDE_MAX])
{
    const int kept = snprintf(out, VGI_BESIDE_MAX, "%s.of-", path);
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
    if (vgi_beside_others(path) >= VGI_OTHERS_MAX) {
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
