/* One instance of a group on SQLite: what sqlite_owner.c (whose turn it is) and sqlite_processor.c
 * (records in, transaction out) share. */
#ifndef VG_LOG_SQLITE_PROCESSOR_H
#define VG_LOG_SQLITE_PROCESSOR_H

#include "sqlite_db.h"

enum vgi_status { VGI_STANDBY, VGI_ASSIGNING, VGI_ACTIVE };

struct vgi_input {
    struct vgi_fetch fetch;
    int64_t committed, end;
};

struct vgi_out {
    enum vg_topic topic;
    bool tombstone;
    uint32_t klen, vlen;
    size_t at;
};

struct vgi_processor {
    const struct vgi_sqlite *log;
    struct vgi_writer w;
    struct vgi_wake wake;
    struct vgi_arena arena;
    char group[VGI_GROUP_MAX], instance[VG_DLOG_NAME_MAX]; /* group with prefix */
    struct vg_dlog_processor_calls calls;
    void *arg;
    enum vg_topic state_topic;
    struct vgi_input input[VG_DLOG_INPUTS_MAX];
    size_t inputs, turn;
    enum vgi_status status;
    bool told_assigned, caught_up;
    int lock;
    int64_t group_id, epoch;
    struct vgi_out *out;
    size_t outs;
    char *bytes;
    size_t used, room;
};

/* Gets this instance as far as it can until the time given: *ready when records may be read. Makes
 * the callbacks of assignment. */
enum vg_err vgi_owner_poll(struct vgi_processor *p, int64_t until, bool *ready,
                           struct vg_error *err);
/* Gives the lock back. */
void vgi_owner_leave(struct vgi_processor *p);

#endif
