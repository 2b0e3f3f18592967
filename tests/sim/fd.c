/* Descriptors that the programs use: eventfd, epoll, inotify, files below /sim/, the boot id.
 * Everything else goes to the system. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FDS_MAX     2048
#define MEMBERS_MAX 4

enum kind { FREE, EVENT, EPOLL, INOTIFY, FILE_OPEN, BOOT_ID, SOCKET, COAP };

struct vfd {
    enum kind kind;
    struct sim_proc *proc;
    uint64_t count;           /* EVENT; INOTIFY: a touch waits */
    int members[MEMBERS_MAX]; /* EPOLL */
    size_t member_count;
    char path[SIM_PATH_MAX]; /* INOTIFY */
    struct sim_file *file;
    int64_t at;
    const bool *ready; /* COAP */
};

static struct vfd fds[FDS_MAX];

int __wrap_eventfd(unsigned initial, int flags);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int __wrap_inotify_init1(int flags);
int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __real_read(int fd, void *to, size_t len);
ssize_t __wrap_read(int fd, void *to, size_t len);
ssize_t __real_write(int fd, const void *from, size_t len);
ssize_t __wrap_write(int fd, const void *from, size_t len);
int __real_fstat(int fd, struct stat *out);
int __wrap_fstat(int fd, struct stat *out);
int __real_stat(const char *path, struct stat *out);
int __wrap_stat(const char *path, struct stat *out);
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_flock(int fd, int op);
int __wrap_flock(int fd, int op);
int __real_utimensat(int dir, const char *path, const struct timespec t[2], int flags);
int __wrap_utimensat(int dir, const char *path, const struct timespec t[2], int flags);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_socket(int family, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *at, socklen_t len);
int __wrap_eventfd_read(int fd, uint64_t *value);
int __wrap_eventfd_write(int fd, uint64_t value);

static bool ours(const char *path)
{
    return strncmp(path, "/sim/", 5) == 0;
}

static struct vfd *find(int fd)
{
    return fd >= SIM_FD_FIRST && fd < SIM_FD_FIRST + FDS_MAX ? &fds[fd - SIM_FD_FIRST] : NULL;
}

static int make(enum kind kind)
{
    for (int i = 0; i < FDS_MAX; i++) {
        if (fds[i].kind == FREE) {
            fds[i] = (struct vfd){.kind = kind, .proc = sim_me()};
            return SIM_FD_FIRST + i;
        }
    }
    sim_fail("more than %d descriptors", FDS_MAX);
}

bool sim_fd_ready(int fd)
{
    const struct vfd *v = find(fd);
    if (v == NULL) {
        return false;
    }
    switch (v->kind) {
    case EVENT:
    case INOTIFY:
        return v->count > 0;
    case COAP:
        return *v->ready;
    case EPOLL:
        for (size_t i = 0; i < v->member_count; i++) {
            if (sim_fd_ready(v->members[i])) {
                return true;
            }
        }
        return false;
    default:
        return false;
    }
}

void sim_fd_changed(struct sim_proc *p)
{
    if (p != NULL && p->alive) {
        sim_wake(p, true);
    }
}

int sim_fd_coap(struct sim_proc *p, const bool *ready)
{
    int fd = make(COAP);
    find(fd)->proc = p;
    find(fd)->ready = ready;
    return fd;
}

static void free_fd(struct vfd *v)
{
    if (v->kind == FILE_OPEN && v->file->flock_fd == (int)(v - fds)) {
        v->file->flock_fd = -1;
    }
    v->kind = FREE;
}

void sim_fd_forget(struct sim_proc *p)
{
    for (int i = 0; i < FDS_MAX; i++) {
        if (fds[i].kind != FREE && fds[i].proc == p) {
            free_fd(&fds[i]);
        }
    }
}

void sim_fd_touched(const char *path)
{
    for (int i = 0; i < FDS_MAX; i++) {
        if (fds[i].kind == INOTIFY && strcmp(fds[i].path, path) == 0) {
            fds[i].count = 1;
            sim_fd_changed(fds[i].proc);
        }
    }
}

int __wrap_eventfd(unsigned initial, int flags)
{
    (void)flags;
    int fd = make(EVENT);
    find(fd)->count = initial;
    return fd;
}

int __wrap_epoll_create1(int flags)
{
    (void)flags;
    return make(EPOLL);
}

int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
    (void)ev;
    struct vfd *v = find(ep);
    if (op != EPOLL_CTL_ADD || v == NULL || v->member_count == MEMBERS_MAX) {
        sim_fail("epoll_ctl is used in a way that the simulation does not know");
    }
    v->members[v->member_count++] = fd;
    return 0;
}

int __wrap_inotify_init1(int flags)
{
    (void)flags;
    return make(INOTIFY);
}

int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    (void)mask;
    if (sim_file_find(path) == NULL) {
        errno = ENOENT;
        return -1;
    }
    (void)snprintf(find(fd)->path, SIM_PATH_MAX, "%s", path);
    return 1;
}

int __wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (sim_me() != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) {
        return make(BOOT_ID);
    }
    if (!ours(path)) {
        return __real_open(path, flags, mode);
    }
    struct sim_file *f = sim_file_find(path);
    if (f == NULL && (flags & O_CREAT) == 0) {
        errno = ENOENT;
        return -1;
    }
    if (f != NULL && (flags & O_EXCL) != 0) {
        errno = EEXIST;
        return -1;
    }
    int fd = make(FILE_OPEN);
    find(fd)->file = f != NULL ? f : sim_file_make(path);
    return fd;
}

int __wrap_close(int fd)
{
    struct vfd *v = find(fd);
    if (v == NULL) {
        return __real_close(fd);
    }
    free_fd(v);
    return 0;
}

static ssize_t take_count(struct vfd *v, void *to, size_t len)
{
    if (v->count == 0) {
        errno = EAGAIN;
        return -1;
    }
    uint64_t n = v->count;
    v->count = 0;
    if (v->kind == INOTIFY) {
        const struct inotify_event e = {.mask = IN_ATTRIB};
        memcpy(to, &e, len < sizeof e ? len : sizeof e);
        return (ssize_t)sizeof e;
    }
    memcpy(to, &n, sizeof n);
    return (ssize_t)sizeof n;
}

ssize_t __wrap_read(int fd, void *to, size_t len)
{
    struct vfd *v = find(fd);
    if (v == NULL) {
        return __real_read(fd, to, len);
    }
    switch (v->kind) {
    case EVENT:
    case INOTIFY:
        return take_count(v, to, len);
    case BOOT_ID:
        memcpy(to, v->proc->host->boot_id, len < 36 ? len : 36);
        return 36;
    case FILE_OPEN: {
        int64_t n = sim_file_read(v->file, to, (int64_t)len, v->at);
        v->at += n;
        return (ssize_t)n;
    }
    default:
        errno = EBADF;
        return -1;
    }
}

ssize_t __wrap_write(int fd, const void *from, size_t len)
{
    struct vfd *v = find(fd);
    if (v == NULL) {
        return __real_write(fd, from, len);
    }
    uint64_t n;
    if (v->kind != EVENT || len != sizeof n) {
        errno = EBADF;
        return -1;
    }
    memcpy(&n, from, sizeof n);
    v->count += n;
    sim_fd_changed(v->proc);
    return (ssize_t)len;
}

int __wrap_eventfd_read(int fd, uint64_t *value)
{
    return __wrap_read(fd, value, sizeof *value) == (ssize_t)sizeof *value ? 0 : -1;
}

int __wrap_eventfd_write(int fd, uint64_t value)
{
    return __wrap_write(fd, &value, sizeof value) == (ssize_t)sizeof value ? 0 : -1;
}

static void fill_stat(const struct sim_file *f, struct stat *out)
{
    memset(out, 0, sizeof *out);
    out->st_mode = S_IFREG | 0600;
    out->st_ino = f->id;
    out->st_size = f->size;
}

int __wrap_fstat(int fd, struct stat *out)
{
    const struct vfd *v = find(fd);
    if (v == NULL) {
        return __real_fstat(fd, out);
    }
    fill_stat(v->file, out);
    return 0;
}

int __wrap_stat(const char *path, struct stat *out)
{
    if (!ours(path)) {
        return __real_stat(path, out);
    }
    const struct sim_file *f = sim_file_find(path);
    if (f == NULL) {
        errno = ENOENT;
        return -1;
    }
    fill_stat(f, out);
    return 0;
}

int __wrap_access(const char *path, int mode)
{
    struct stat st;
    return ours(path) ? __wrap_stat(path, &st) : __real_access(path, mode);
}

int __wrap_rename(const char *from, const char *to)
{
    if (!ours(from)) {
        return __real_rename(from, to);
    }
    struct sim_file *f = sim_file_find(from);
    if (f == NULL) {
        errno = ENOENT;
        return -1;
    }
    sim_file_rename(f, to);
    return 0;
}

int __wrap_unlink(const char *path)
{
    if (!ours(path)) {
        return __real_unlink(path);
    }
    struct sim_file *f = sim_file_find(path);
    if (f == NULL) {
        errno = ENOENT;
        return -1;
    }
    sim_file_remove(f);
    return 0;
}

int __wrap_flock(int fd, int op)
{
    struct vfd *v = find(fd);
    if (v == NULL) {
        return __real_flock(fd, op);
    }
    int me = fd - SIM_FD_FIRST;
    if (v->file->flock_fd >= 0 && v->file->flock_fd != me) {
        errno = EWOULDBLOCK;
        return -1;
    }
    v->file->flock_fd = (op & LOCK_UN) != 0 ? -1 : me;
    return 0;
}

int __wrap_utimensat(int dir, const char *path, const struct timespec t[2], int flags)
{
    if (!ours(path)) {
        return __real_utimensat(dir, path, t, flags);
    }
    sim_fd_touched(path);
    return 0;
}

/* One descriptor or none, as the programs use it. */
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout_ms)
{
    if (sim_me() == NULL || (n > 0 && find(p[0].fd) == NULL)) {
        return __real_poll(p, n, timeout_ms);
    }
    int64_t until = timeout_ms < 0 ? SIM_NEVER : sim_now + timeout_ms * SIM_MS;
    while (n == 0 || !sim_fd_ready(p[0].fd)) {
        if (sim_now >= until) {
            return 0;
        }
        (void)sim_wait(sim_me(), until);
    }
    p[0].revents = POLLIN;
    return 1;
}

/* Only the collector's look whether its port is free. */
int __wrap_socket(int family, int type, int protocol)
{
    (void)family;
    (void)type;
    (void)protocol;
    return make(SOCKET);
}

int __wrap_bind(int fd, const struct sockaddr *at, socklen_t len)
{
    (void)fd;
    (void)at;
    (void)len;
    return 0;
}
