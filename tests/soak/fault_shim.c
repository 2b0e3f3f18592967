/* Preloaded into a program, it moves the wall clock that the program sees, or fills its disk.
 *
 * VIGIA_TEST_CLOCK names a file with one int64_t: milliseconds that are added to what the program
 * asks of CLOCK_REALTIME. The monotonic and the boot clock stay what they are, as they do on a
 * machine whose clock is set. A wait until a time of that clock ends when the moved clock says so,
 * also when it is stepped meanwhile: the kernel's own would end it at once, or too late.
 *
 * VIGIA_TEST_BOOT names another with one: milliseconds that have gone by unseen, on the boot clock
 * and the wall clock alike. Both see a change from the next look at the boot clock on, so that who
 * reads that one first never finds the two apart.
 *
 * VIGIA_TEST_DISK names a file with two: while the first is not 0, each write to a file whose name
 * has ".db" in it fails with ENOSPC, every other one after half of it was written, as on a disk that
 * has just become full. The second counts those writes.
 *
 * The files are mapped: a change is seen at once. Without the variable nothing is changed. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000LL
#define MS_PER_S  1000LL
#define NS_PER_S  1000000000LL

#define LINK_MAX_LEN 64
#define LOOK_NS      (20 * NS_PER_MS) /* how soon a step of the clock is noticed by those who wait */

struct disk {
    volatile int64_t full;
    _Atomic int64_t refused;
};

static const volatile int64_t *offset_ms, *gone_ms;
static _Atomic int64_t seen_gone_ms;
static struct disk *disk;

/* The C library's own: a sanitizer's program has another of that name, which saw this wait begin. */
static int (*clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);

static void *map(const char *variable, size_t bytes)
{
    const char *path = getenv(variable);
    int fd;
    void *at;

    if (path == NULL) {
        return NULL;
    }
    fd = open(path, O_RDWR | O_CLOEXEC);
    at = fd < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        (void)fprintf(stderr, "fault_shim: %s=%s: no file of %zu bytes\n", variable, path, bytes);
        _exit(2);
    }
    (void)close(fd);
    return at;
}

__attribute__((constructor)) static void find_files(void)
{
    offset_ms = map("VIGIA_TEST_CLOCK", sizeof *offset_ms);
    gone_ms = map("VIGIA_TEST_BOOT", sizeof *gone_ms);
    disk = map("VIGIA_TEST_DISK", sizeof *disk);
    *(void **)&clockwait = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
    if (clockwait == NULL) {
        (void)fprintf(stderr, "fault_shim: the C library has no pthread_cond_clockwait\n");
        _exit(2);
    }
}

static void move(struct timespec *t, int64_t ms)
{
    int64_t ns = t->tv_nsec + ms % MS_PER_S * NS_PER_MS;

    t->tv_sec += (time_t)(ms / MS_PER_S);
    if (ns < 0) {
        ns += NS_PER_S;
        t->tv_sec--;
    } else if (ns >= NS_PER_S) {
        ns -= NS_PER_S;
        t->tv_sec++;
    }
    t->tv_nsec = (long)ns;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    long rc = syscall(SYS_clock_gettime, id, t);

    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        move(t, (offset_ms == NULL ? 0 : *offset_ms) + seen_gone_ms);
    } else if (rc == 0 && id == CLOCK_BOOTTIME && gone_ms != NULL) {
        seen_gone_ms = *gone_ms;
        move(t, seen_gone_ms);
    }
    return (int)rc;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return -1;
    }
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

static int64_t ns_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * NS_PER_S + t->tv_nsec;
}

/* Waits with the monotonic clock and looks at the moved one. Waits of conditions with a monotonic
 * clock come here as well; their deadlines are of a time at which this clock has long been past. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline)
{
    struct timespec now;
    int64_t left_ns = 0, until_ns = 0;
    int rc;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ns_of(deadline) < ns_of(&now) / 2) {
        return clockwait(cond, mutex, CLOCK_MONOTONIC, deadline);
    }
    do {
        (void)clock_gettime(CLOCK_REALTIME, &now);
        left_ns = ns_of(deadline) - ns_of(&now);
        left_ns = left_ns < 0 ? 0 : left_ns;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        until_ns = ns_of(&now) + (left_ns < LOOK_NS ? left_ns : LOOK_NS);
        now = (struct timespec){.tv_sec = (time_t)(until_ns / NS_PER_S),
                                .tv_nsec = (long)(until_ns % NS_PER_S)};
        rc = clockwait(cond, mutex, CLOCK_MONOTONIC, &now);
    } while (rc == ETIMEDOUT && left_ns > LOOK_NS);
    return rc;
}

/* ---- the disk ---- */

static bool is_database(int fd)
{
    char link[LINK_MAX_LEN], path[4096];
    ssize_t len;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof(path) - 1);
    path[len < 0 ? 0 : len] = '\0';
    return strstr(path, ".db") != NULL;
}

/* How much of a write the disk still takes; -1: nothing, and errno says why. */
static ssize_t room(int fd, size_t bytes)
{
    static atomic_uint writes;

    if (disk == NULL || disk->full == 0 || !is_database(fd)) {
        return (ssize_t)bytes;
    }
    (void)atomic_fetch_add(&disk->refused, 1);
    if (atomic_fetch_add(&writes, 1) % 2 == 0 && bytes > 1) {
        return (ssize_t)(bytes / 2);
    }
    errno = ENOSPC;
    return -1;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    ssize_t fits = room(fd, bytes);

    return fits < 0 ? -1 : syscall(SYS_pwrite64, fd, data, (size_t)fits, at);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at)
{
    return pwrite(fd, data, bytes, at);
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    ssize_t fits = room(fd, bytes);

    return fits < 0 ? -1 : syscall(SYS_write, fd, data, (size_t)fits);
}
