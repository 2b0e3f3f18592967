/* For vigia-edge linked with --wrap=pwrite,--wrap=pwrite64, by which SQLite writes: there is no space
 * while the file is there that VIGIA_TEST_CARD_FULL names. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static bool is_full(void)
{
    const char *path = getenv("VIGIA_TEST_CARD_FULL");
    return path != NULL && access(path, F_OK) == 0;
}

ssize_t __real_pwrite(int fd, const void *from, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *from, size_t n, off_t at)
{
    if (is_full()) {
        errno = ENOSPC;
        return -1;
    }
    return __real_pwrite(fd, from, n, at);
}

ssize_t __real_pwrite64(int fd, const void *from, size_t n, off64_t at);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t n, off64_t at);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t n, off64_t at)
{
    if (is_full()) {
        errno = ENOSPC;
        return -1;
    }
    return __real_pwrite64(fd, from, n, at);
}
