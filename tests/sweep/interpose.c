/* Makes chosen calls out of the program fail, for tests/sweep/calls. Linked into every program of a build with VIGIA_FAULTS.
 *
 *   our own code ──vgs_own_NAME──┐                      (own_calls.h renames)
 *                                ├─► count, fail? ─► the real NAME
 *   libraries ─────__wrap_NAME───┘                      (ld --wrap, static libraries only)
 *
 *   VIGIA_CALLS=own|library[:AT.K …][:stay]   the Kth call of each place AT fails (AT: hexadecimal return address, from the program's
 *                                             beginning); stay: every later call of the first one's function, too. No AT: only counts
 *   VIGIA_CALLS_FILE=FILE                     shared memory that survives the program: struct told, below */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <unistd.h>

#define SITES  4096 /* places in the code; more than all have together */
#define FAULTS 4
#define NAME   24

enum whose { OWN, LIBRARY };

/* What the driver reads: see the struct formats in tests/sweep/places.py. */
struct told {
    _Atomic uint64_t fired[FAULTS]; /* calls that were made to fail, fault by fault */
    struct site {
        _Atomic uintptr_t at;
        _Atomic uint64_t calls;
        char name[NAME];
    } sites[SITES];
};

static struct {
    bool on, stay;
    enum whose whose;
    size_t faults;
    struct {
        uintptr_t at;
        uint64_t nth;
    } fault[FAULTS];
    _Atomic(const char *) stays; /* the function that fails from now on */
    struct told *told;
} state;

extern const char __executable_start[];

void *__real_mmap64(void *, size_t, int, int, int, off64_t);
int __real_open(const char *, int, ...);
int __real_close(int);

static void refuse(const char *what)
{
    (void)dprintf(STDERR_FILENO, "VIGIA_CALLS=%s; accepted: own|library[:AT.K …][:stay]\n", what);
    _exit(2);
}

static void read_faults(const char *what)
{
    state.whose = strncmp(what, "library", 7) == 0 ? LIBRARY : OWN;
    if (state.whose == OWN && strncmp(what, "own", 3) != 0) {
        refuse(what);
    }
    for (const char *at = what + (state.whose == OWN ? 3 : 7); at[0] != '\0';) {
        char *end = NULL;
        if (strcmp(at, ":stay") == 0) {
            state.stay = true;
            return;
        }
        if (at[0] != ':' || state.faults == FAULTS) {
            refuse(what);
        }
        state.fault[state.faults].at = strtoull(at + 1, &end, 16);
        if (end[0] != '.') {
            refuse(what);
        }
        state.fault[state.faults++].nth = strtoull(end + 1, &end, 10);
        at = end;
    }
}

__attribute__((constructor(200))) static void arm(void)
{
    static struct told nowhere;
    const char *what = getenv("VIGIA_CALLS"), *file = getenv("VIGIA_CALLS_FILE");
    if (what == NULL || what[0] == '\0') {
        return;
    }
    read_faults(what);
    state.told = &nowhere;
    if (file != NULL) {
        int fd = __real_open(file, O_RDWR | O_CLOEXEC);
        void *at = fd < 0 ? MAP_FAILED
                          : __real_mmap64(NULL, sizeof *state.told, PROT_READ | PROT_WRITE,
                                          MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) {
            (void)dprintf(STDERR_FILENO, "VIGIA_CALLS_FILE=%s: %s\n", file, strerror(errno));
            _exit(2);
        }
        (void)__real_close(fd);
        state.told = at;
    }
    state.on = true;
}

/* The entry of a place, made where it is new. */
static struct site *site_of(uintptr_t at, const char *name)
{
    for (size_t i = at / 4 % SITES, seen = 0; seen < SITES; i = (i + 1) % SITES, seen++) {
        struct site *site = &state.told->sites[i];
        uintptr_t was = 0;
        if (atomic_compare_exchange_strong(&site->at, &was, at)) {
            (void)snprintf(site->name, sizeof site->name, "%s", name);
            return site;
        }
        if (was == at) {
            return site;
        }
    }
    (void)dprintf(STDERR_FILENO, "interpose.c: more than %d places\n", SITES);
    abort();
}

static bool fails(enum whose whose, const char *name, const void *caller)
{
    if (!state.on || whose != state.whose) {
        return false;
    }
    uintptr_t at = (uintptr_t)caller - (uintptr_t)__executable_start;
    uint64_t call = atomic_fetch_add(&site_of(at, name)->calls, 1) + 1;
    const char *stays = atomic_load(&state.stays);
    if (stays != NULL && strcmp(stays, name) == 0) {
        return true;
    }
    for (size_t i = 0; i < state.faults; i++) {
        if (state.fault[i].at == at && state.fault[i].nth == call) {
            atomic_fetch_add(&state.told->fired[i], 1);
            atomic_store(&state.stays, state.stay ? name : NULL);
            return true;
        }
    }
    return false;
}

/* One function: how it is called, what it gives back when it fails, and why. */
#define CALL(ret, name, params, args, failed, why)                                                 \
    ret __real_##name params;                                                                      \
    ret vgs_own_##name params;                                                                     \
    ret __wrap_##name params;                                                                      \
    ret vgs_own_##name params                                                                      \
    {                                                                                              \
        if (fails(OWN, #name, __builtin_return_address(0))) {                                      \
            errno = why;                                                                           \
            return failed;                                                                         \
        }                                                                                          \
        return __real_##name args;                                                                 \
    }                                                                                              \
    ret __wrap_##name params                                                                       \
    {                                                                                              \
        if (fails(LIBRARY, #name, __builtin_return_address(0))) {                                  \
            errno = why;                                                                           \
            return failed;                                                                         \
        }                                                                                          \
        return __real_##name args;                                                                 \
    }

/* A stream that has failed says so until it is closed (glibc's own mark). */
static int spoilt(FILE *stream, int why)
{
    if (stream != NULL) {
        stream->_flags |= _IO_ERR_SEEN;
    }
    return why;
}

/* Closed, whatever it says. */
int __real_fclose(FILE *stream);
static int closed(FILE *stream)
{
    (void)__real_fclose(stream);
    errno = EIO;
    return EOF;
}

/* memory */
CALL(void *, malloc, (size_t n), (n), NULL, ENOMEM)
CALL(void *, calloc, (size_t n, size_t m), (n, m), NULL, ENOMEM)
CALL(void *, realloc, (void *p, size_t n), (p, n), NULL, ENOMEM)
CALL(char *, strdup, (const char *s), (s), NULL, ENOMEM)
CALL(char *, strndup, (const char *s, size_t n), (s, n), NULL, ENOMEM)
CALL(char *, realpath, (const char *s, char *to), (s, to), NULL, ENOMEM)
CALL(locale_t, newlocale, (int mask, const char *s, locale_t base), (mask, s, base), (locale_t)0,
     ENOMEM)
CALL(FILE *, fmemopen, (void *p, size_t n, const char *mode), (p, n, mode), NULL, ENOMEM)
CALL(void *, mmap64, (void *p, size_t n, int prot, int flags, int fd, off64_t at),
     (p, n, prot, flags, fd, at), MAP_FAILED, ENOMEM)
/* files */
CALL(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL, EMFILE)
CALL(int, fclose, (FILE * f), (f), closed(f), EIO)
CALL(int, fflush, (FILE * f), (f), EOF, spoilt(f, ENOSPC))
CALL(size_t, fread, (void *to, size_t n, size_t m, FILE *f), (to, n, m, f), 0, spoilt(f, EIO))
CALL(size_t, fwrite, (const void *from, size_t n, size_t m, FILE *f), (from, n, m, f), 0,
     spoilt(f, ENOSPC))
CALL(int, fputs, (const char *s, FILE *f), (s, f), EOF, spoilt(f, ENOSPC))
CALL(int, fputc, (int c, FILE *f), (c, f), EOF, spoilt(f, ENOSPC))
CALL(int, getc, (FILE * f), (f), EOF, spoilt(f, EIO))
CALL(ssize_t, getline, (char **to, size_t *n, FILE *f), (to, n, f), -1, spoilt(f, EIO))
CALL(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n), -1, EIO)
CALL(ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n), -1, ENOSPC)
CALL(ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at), -1, ENOSPC)
CALL(ssize_t, pread64, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at), -1, EIO)
CALL(ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at), -1,
     ENOSPC)
CALL(int, fsync, (int fd), (fd), -1, EIO)
CALL(int, fdatasync, (int fd), (fd), -1, EIO)
CALL(int, ftruncate64, (int fd, off64_t n), (fd, n), -1, EIO)
CALL(int, rename, (const char *from, const char *to), (from, to), -1, EIO)
CALL(int, link, (const char *from, const char *to), (from, to), -1, EIO)
CALL(int, unlink, (const char *path), (path), -1, EIO)
CALL(int, stat, (const char *path, struct stat *st), (path, st), -1, EIO)
CALL(int, fstat, (int fd, struct stat *st), (fd, st), -1, EIO)
CALL(int, stat64, (const char *path, struct stat64 *st), (path, st), -1, EIO)
CALL(int, fstat64, (int fd, struct stat64 *st), (fd, st), -1, EIO)
CALL(int, lstat64, (const char *path, struct stat64 *st), (path, st), -1, EIO)
CALL(int, statfs, (const char *path, struct statfs *st), (path, st), -1, EIO)
CALL(int, statvfs, (const char *path, struct statvfs *st), (path, st), -1, EIO)
CALL(int, access, (const char *path, int mode), (path, mode), -1, EIO)
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode), -1, EIO)
CALL(int, utimensat, (int fd, const char *path, const struct timespec t[2], int flags),
     (fd, path, t, flags), -1, EIO)
CALL(DIR *, opendir, (const char *path), (path), NULL, EMFILE)
CALL(struct dirent *, readdir, (DIR * dir), (dir), NULL, EIO)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), -1, ENOSPC)
CALL(int, rmdir, (const char *path), (path), -1, EIO)
CALL(int, mkostemp, (char *path, int flags), (path, flags), -1, ENOSPC)
CALL(char *, getcwd, (char *to, size_t n), (to, n), NULL, ENOMEM)
CALL(int, flock, (int fd, int what), (fd, what), -1, ENOLCK)
/* sockets */
CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1, EMFILE)
CALL(int, bind, (int fd, const struct sockaddr *at, socklen_t n), (fd, at, n), -1, EADDRINUSE)
CALL(int, connect, (int fd, const struct sockaddr *at, socklen_t n), (fd, at, n), -1, ENETUNREACH)
CALL(int, listen, (int fd, int n), (fd, n), -1, EADDRINUSE)
CALL(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), -1, ENOBUFS)
CALL(ssize_t, sendto,
     (int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t m),
     (fd, p, n, flags, to, m), -1, ENOBUFS)
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), -1, ENOBUFS)
CALL(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), -1, ENOMEM)
CALL(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags), -1, ENOMEM)
CALL(int, setsockopt, (int fd, int level, int name, const void *p, socklen_t n),
     (fd, level, name, p, n), -1, ENOBUFS)
CALL(int, getsockname, (int fd, struct sockaddr *at, socklen_t *n), (fd, at, n), -1, ENOBUFS)
CALL(int, getaddrinfo,
     (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **to),
     (node, service, hints, to), EAI_MEMORY, ENOMEM)
/* the kernel's other objects */
CALL(int, poll, (struct pollfd * p, nfds_t n, int ms), (p, n, ms), -1, EINTR)
CALL(int, epoll_create1, (int flags), (flags), -1, EMFILE)
CALL(int, epoll_ctl, (int fd, int op, int other, struct epoll_event *e), (fd, op, other, e), -1,
     ENOSPC)
CALL(int, epoll_wait, (int fd, struct epoll_event *e, int n, int ms), (fd, e, n, ms), -1, EINTR)
CALL(int, timerfd_create, (int clock, int flags), (clock, flags), -1, EMFILE)
CALL(int, timerfd_settime, (int fd, int flags, const struct itimerspec *to, struct itimerspec *was),
     (fd, flags, to, was), -1, ENOMEM)
CALL(int, eventfd, (unsigned n, int flags), (n, flags), -1, EMFILE)
CALL(int, eventfd_read, (int fd, eventfd_t *n), (fd, n), -1, EIO)
CALL(int, eventfd_write, (int fd, eventfd_t n), (fd, n), -1, EIO)
CALL(int, inotify_init1, (int flags), (flags), -1, EMFILE)
CALL(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask), -1,
     ENOSPC)
CALL(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags), -1, EMFILE)
CALL(int, pthread_create,
     (pthread_t * t, const pthread_attr_t *attr, void *(*f)(void *), void *arg), (t, attr, f, arg),
     EAGAIN, EAGAIN)
CALL(ssize_t, getrandom, (void *p, size_t n, unsigned flags), (p, n, flags), -1, EINTR)
CALL(long, sysconf, (int name), (name), -1, EINVAL)
CALL(int, adjtimex, (struct timex * t), (t), -1, EPERM)

/* Closed, whatever it says: a second close could hit another thread's descriptor. */
int vgs_own_close(int fd);
int __wrap_close(int fd);
static int close_and(int fd, bool failed)
{
    int rc = __real_close(fd);
    if (failed) {
        errno = EIO;
    }
    return failed ? -1 : rc;
}
int vgs_own_close(int fd)
{
    return close_and(fd, fails(OWN, "close", __builtin_return_address(0)));
}
int __wrap_close(int fd)
{
    return close_and(fd, fails(LIBRARY, "close", __builtin_return_address(0)));
}

/* Libraries print with it where they print at all; ours is the page of metrics, and what is told on standard error. */
int vgs_own_fprintf(FILE *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
int vgs_own_fprintf(FILE *to, const char *format, ...)
{
    if (fails(OWN, "fprintf", __builtin_return_address(0))) {
        errno = spoilt(to, ENOSPC);
        return -1;
    }
    va_list more;
    va_start(more, format);
    int n = vfprintf(to, format, more);
    va_end(more);
    return n;
}

/* The third argument of open is there when the flags say so. */
#define OPEN(prefix, name, whose)                                                                  \
    int prefix##name(const char *path, int flags, ...);                                            \
    int prefix##name(const char *path, int flags, ...)                                             \
    {                                                                                              \
        mode_t mode = 0;                                                                           \
        if ((flags & (O_CREAT | __O_TMPFILE)) != 0) {                                              \
            va_list more;                                                                          \
            va_start(more, flags);                                                                 \
            mode = va_arg(more, mode_t);                                                           \
            va_end(more);                                                                          \
        }                                                                                          \
        if (fails(whose, #name, __builtin_return_address(0))) {                                    \
            errno = EMFILE;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
        return __real_##name(path, flags, mode);                                                   \
    }
int __real_open64(const char *, int, ...);
OPEN(vgs_own_, open, OWN)
OPEN(__wrap_, open, LIBRARY)
OPEN(__wrap_, open64, LIBRARY)
