/* Wakes readers when somebody committed. */
#include "sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static void wal_path(const struct vgi_sqlite *log, char *out, size_t size)
{
    snprintf(out, size, "%s-wal", log->path);
}

enum vg_err vgi_wake_open(const struct vgi_sqlite *log, struct vgi_wake *w, struct vg_error *err)
{
    char path[420];
    wal_path(log, path, sizeof path);
    *w = (struct vgi_wake){epoll_create1(EPOLL_CLOEXEC), inotify_init1(IN_NONBLOCK | IN_CLOEXEC),
                           eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)};
    struct epoll_event ev = {.events = EPOLLIN};
    /* A refused watch (a limit of the machine) is survivable: the poll behind it still finds every
     * commit. */
    if (w->epoll < 0 || w->inotify < 0 || w->more < 0 ||
        epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->inotify, &ev) != 0 ||
        epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->more, &ev) != 0 ||
        (inotify_add_watch(w->inotify, path, IN_ATTRIB) < 0 && errno != ENOSPC)) {
        const enum vg_err rc =
            vg_fail(err, VG_E_IO, "%s: cannot watch for changes: %s", path, strerror(errno));
        vgi_wake_close(w);
        return rc;
    }
    return VG_OK;
}

void vgi_wake_close(struct vgi_wake *w)
{
    const int fds[] = {w->epoll, w->inotify, w->more};
    for (size_t i = 0; i < 3; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    *w = (struct vgi_wake){-1, -1, -1};
}

void vgi_wake_more(const struct vgi_wake *w, bool more)
{
    uint64_t n = 1;
    const ssize_t moved = more ? write(w->more, &n, sizeof n) : read(w->more, &n, sizeof n);
    (void)moved; /* a full or empty counter is what was wanted */
}

void vgi_wake_drain(const struct vgi_wake *w)
{
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    while (read(w->inotify, events, sizeof events) > 0) {
    }
}

void vgi_wake_others(const struct vgi_sqlite *log)
{
    char path[420];
    wal_path(log, path, sizeof path);
    /* Not vital: whoever misses it polls. */
    const int ignored = utimensat(AT_FDCWD, path, NULL, 0);
    (void)ignored;
}
