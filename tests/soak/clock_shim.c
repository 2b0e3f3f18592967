/* Moves the wall clock of one program: preloaded, it adds the milliseconds that stand in the file
 * VIGIA_TEST_CLOCK (one int64_t, mapped, so that a change is seen at once) to what the program asks
 * of CLOCK_REALTIME. The monotonic and the boot clock stay what they are, as they do on a machine
 * whose clock is set. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000LL
#define MS_PER_S  1000LL
#define NS_PER_S  1000000000LL

static const volatile int64_t *offset_ms;

__attribute__((constructor)) static void find_offset(void)
{
    const char *path = getenv("VIGIA_TEST_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED) {
        static const char text[] = "clock_shim: VIGIA_TEST_CLOCK names no file of eight bytes\n";
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        _exit(2);
    }
    (void)close(fd);
    offset_ms = at;
}

static void moved(struct timespec *t)
{
    int64_t ms = offset_ms == NULL ? 0 : *offset_ms;
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
        moved(t);
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
