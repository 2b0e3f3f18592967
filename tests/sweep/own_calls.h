/* Included before every file of our own code in a build with VIGIA_FAULTS: what can fail outside the program goes through
 * interpose.c. Only the name that the linker sees changes, so members and arguments called `read` or `open` stay what they are. */
#ifndef VIGIA_OWN_CALLS_H
#define VIGIA_OWN_CALLS_H

#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#define OWN(name) extern __typeof__(name) name __asm__("vgs_own_" #name);
/* clang-format off */
OWN(malloc) OWN(calloc) OWN(realloc) OWN(strdup) OWN(strndup) OWN(realpath) OWN(newlocale)
OWN(fmemopen) OWN(fopen) OWN(fclose) OWN(fflush) OWN(fread) OWN(fwrite) OWN(fputs) OWN(fputc)
OWN(fprintf) OWN(getc) OWN(getline) OWN(open) OWN(close) OWN(read) OWN(write) OWN(pwrite) OWN(fsync)
OWN(rename) OWN(link) OWN(unlink) OWN(stat) OWN(fstat) OWN(statfs) OWN(statvfs) OWN(access) OWN(fchmod)
OWN(utimensat) OWN(opendir) OWN(readdir) OWN(mkdir) OWN(rmdir) OWN(mkostemp) OWN(getcwd) OWN(flock)
OWN(socket) OWN(bind) OWN(listen) OWN(sendto) OWN(setsockopt) OWN(getaddrinfo) OWN(poll)
OWN(epoll_create1) OWN(epoll_ctl) OWN(epoll_wait) OWN(eventfd) OWN(eventfd_read) OWN(eventfd_write)
OWN(inotify_init1) OWN(inotify_add_watch) OWN(signalfd) OWN(pthread_create) OWN(getrandom)
OWN(sysconf) OWN(adjtimex)
/* clang-format on */
#undef OWN

#endif
