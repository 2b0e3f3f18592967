/* Shared by the files behind the public headers. */
#ifndef VG_LOG_DLOG_INSIDE_H
#define VG_LOG_DLOG_INSIDE_H

#include "backend.h"

struct vg_dlog {
    const struct vgi_backend *ops;
    void *impl;
    struct vg_dlog_conf conf;
    char client[VG_DLOG_NAME_MAX];
};

/* What a processor says, with its group's name, when the record to read next has left the log. */
#define VGI_SKIP_HINT "'vigia log skip %s' goes on with the oldest one that is there"

/* 1 to VG_DLOG_NAME_MAX - 1 letters, digits, '.', '_' and '-'. */
bool vgi_name_ok(const char *name);
/* VG_E_INVALID: says what is accepted for `what`, "group" or "instance". */
enum vg_err vgi_name_refused(struct vg_error *err, const char *what, const char *name);

/* CLOCK_MONOTONIC and the wall clock in ms. The log runs in real time only: nothing here depends on
 * which time it is. */
int64_t vgi_now_ms(void);
int64_t vgi_wall_ms(void);
/* Waits until the descriptor is readable or the time passed; returns whether it is. */
bool vgi_wait_fd(int fd, int timeout_ms);

/* Blames log.url for what its server or file did: a text that begins with what the URL names. */
enum vg_err vgi_dlog_blame(const struct vg_dlog *log, enum vg_err code, struct vg_error *err);

#endif
