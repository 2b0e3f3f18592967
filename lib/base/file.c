/* Secret files, atomic writing, the end of standard output. */
#include "vigia/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum vg_err open_secret(const char *path, int *fd, struct vg_error *err)
{
    struct stat st;
    /* Non-blocking, so that a named pipe is refused below instead of waited for. */
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (opened < 0) {
        return vg_fail(err, vg_err_of_errno(errno), "%s: cannot be read: %s", path,
                       strerror(errno));
    }
    enum vg_err code = VG_OK;
    if (fstat(opened, &st) != 0) {
        code = vg_fail(err, VG_E_IO, "%s: cannot be examined: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        code = vg_fail(err, VG_E_INVALID, "%s: is no regular file", path);
    } else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        code = vg_fail(err, VG_E_DENIED, "%s: has mode %04o, accepted: 0600 or 0400", path,
                       (unsigned)(st.st_mode & 07777));
    }
    if (code != VG_OK) {
        close(opened);
        return code;
    }
    *fd = opened;
    return VG_OK;
}

enum vg_err vg_secret_file_check(const char *path, struct vg_error *err)
{
    int fd = -1;
    enum vg_err code = open_secret(path, &fd, err);
    if (code == VG_OK) {
        close(fd);
    }
    return code;
}

/* Reads until `size` bytes or the end; -1 with errno on failure. */
static ssize_t read_all(int fd, char *to, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = read(fd, to + got, size - got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    return (ssize_t)got;
}

enum vg_err vg_secret_file_read(const char *path, void *buf, size_t size, size_t *len,
                                struct vg_error *err)
{
    int fd = -1;
    enum vg_err code = open_secret(path, &fd, err);
    if (code != VG_OK) {
        return code;
    }
    char beyond;
    ssize_t got = read_all(fd, buf, size);
    ssize_t more = got == (ssize_t)size ? read_all(fd, &beyond, 1) : 0;
    if (got < 0 || more < 0) {
        code = vg_fail(err, VG_E_IO, "%s: cannot be read: %s", path, strerror(errno));
    } else if (got == 0 || more > 0) {
        code = vg_fail(err, VG_E_RANGE, "%s: is %s, accepted: 1 to %zu bytes", path,
                       got == 0 ? "empty" : "too long", size);
    } else {
        *len = (size_t)got;
    }
    if (code != VG_OK) {
        explicit_bzero(buf, size);
    }
    close(fd);
    return code;
}

static int write_all(int fd, const char *from, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, from, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

static void folder_of(const char *path, char folder[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    snprintf(folder, PATH_MAX, "%.*s", (int)(len == 0 ? 1 : len), len == 0 ? "." : path);
}

/* Makes the rename durable. */
static int sync_folder(const char *path)
{
    char folder[PATH_MAX];
    folder_of(path, folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int status = fsync(fd);
    int error = errno;
    close(fd);
    errno = error;
    return status;
}

enum vg_err vg_file_write_atomic(const char *path, const void *data, size_t len,
                                 struct vg_error *err)
{
    char temporary[PATH_MAX];
    int made = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (made < 0 || (size_t)made >= sizeof temporary) {
        return vg_fail(err, VG_E_RANGE, "%.64s…: the path is too long", path);
    }
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0) {
        return vg_fail(err, vg_err_of_errno(errno), "%s: cannot be written: %s", path,
                       strerror(errno));
    }
    bool done = write_all(fd, data, len) == 0 && fsync(fd) == 0;
    int error = errno;
    if (close(fd) != 0 && done) {
        done = false;
        error = errno;
    }
    if (done && rename(temporary, path) != 0) {
        done = false;
        error = errno;
    }
    if (!done) {
        unlink(temporary);
        return vg_fail(err, vg_err_of_errno(error), "%s: cannot be written: %s", path,
                       strerror(error));
    }
    if (sync_folder(path) != 0) {
        return vg_fail(err, VG_E_IO, "%s: written, but its folder cannot be synced: %s", path,
                       strerror(errno));
    }
    return VG_OK;
}

static bool permits(const char *path, int mode)
{
    return access(path, mode) == 0 || errno == EROFS;
}

bool vg_sqlite_may_write(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char at[PATH_MAX];
    folder_of(path, at);
    bool may = permits(at, W_OK | X_OK);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0] && may; i++) {
        snprintf(at, sizeof at, "%s%s", path, suffixes[i]);
        may = permits(at, R_OK | W_OK) || errno == ENOENT;
    }
    return may;
}

enum vg_err vg_folder_sync(const char *path, struct vg_error *err)
{
    return sync_folder(path) == 0 ? VG_OK
                                  : vg_fail(err, VG_E_IO, "%s: its folder cannot be synced: %s",
                                            path, strerror(errno));
}

int vg_stdout_end(const char *program, int exit_code)
{
    const bool flushed = fflush(stdout) == 0;
    const char *reason = flushed ? "not everything could be written" : strerror(errno);
    if (flushed && ferror(stdout) == 0) { /* a flush forgets what an earlier one lost */
        return exit_code;
    }
    fprintf(stderr, "%s: standard output: %s\n", program, reason);
    return exit_code == VG_EXIT_OK ? VG_EXIT_FAIL : exit_code;
}
