/* The header of a buffer's file, read as bytes; see look.h. */
#include "look.h"

#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

enum vg_err vgi_refuse_version(const char *path, uint32_t version, struct vg_error *err)
{
    return vg_fail(err, VG_E_VERSION,
                   "%s: buffer of schema version %" PRIu32
                   ", made by a newer program; accepted: up to %d",
                   path, version, VGI_SCHEMA_VERSION);
}

static bool has_journal(const char *path)
{
    char journal[600];
    struct stat is;
    (void)snprintf(journal, sizeof journal, "%s-journal", path);
    return stat(journal, &is) == 0 && S_ISREG(is.st_mode) && is.st_size > 0;
}

enum vg_err vgi_refuse_owner(const char *path, uint32_t application, struct vg_error *err)
{
    return vg_fail(err, VG_E_VERSION,
                   "%s: database of another program (application id 0x%08" PRIx32
                   "); accepted: 0x%08x",
                   path, application, (unsigned)VGI_APPLICATION_ID);
}

/* The header of the file itself (https://sqlite.org/fileformat.html §1.3): application id at 68,
 * user version at 60. A file that is no database is somebody else's unless its size is that of one.
 */
enum vg_err vgi_look_at(const char *path, enum vgi_look *look, struct vg_error *err)
{
    struct stat is;
    if (stat(path, &is) == 0 && !S_ISREG(is.st_mode)) {
        return vg_fail(err, VG_E_INVALID,
                       "%s: is no regular file; accepted: a buffer file of this program, or none",
                       path);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno != ENOENT) {
            return vg_fail(err, errno == EACCES ? VG_E_DENIED : VG_E_IO, "%s: %s", path,
                           strerror(errno));
        }
        *look = VGI_LOOK_NEW;
        return VG_OK;
    }
    uint8_t head[100] = {0};
    struct stat st = {0};
    ssize_t got = read(fd, head, sizeof head);
    int failed = got < 0 || fstat(fd, &st) != 0 ? errno : 0;
    (void)close(fd);
    if (failed != 0) {
        return vg_fail(err, VG_E_IO, "%s: %s", path, strerror(failed));
    }
    bool whole = got == (ssize_t)sizeof head && memcmp(head, "SQLite format 3", 16) == 0;
    if (has_journal(path) && (!whole || be32(head + 68) == 0)) {
        *look = VGI_LOOK_UNDONE;
        return VG_OK;
    }
    if (got == 0) {
        *look = VGI_LOOK_NEW;
        return VG_OK;
    }
    if (!whole) {
        if (st.st_size % VGI_PAGE_BYTES != 0) {
            return vg_fail(err, VG_E_VERSION,
                           "%s: not a database; accepted: a buffer file of this program, or none",
                           path);
        }
        *look = VGI_LOOK_DAMAGED;
        return VG_OK;
    }
    uint32_t application = be32(head + 68);
    if (application != VGI_APPLICATION_ID) {
        return vgi_refuse_owner(path, application, err);
    }
    if (be32(head + 60) > VGI_SCHEMA_VERSION) {
        return vgi_refuse_version(path, be32(head + 60), err);
    }
    *look = VGI_LOOK_OURS;
    return VG_OK;
}
