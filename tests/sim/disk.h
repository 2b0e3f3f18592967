/* The disks of the machines: files that a power cut can take back to what was synced.
 *
 * Each file keeps its bytes as a running process sees them, and the list of writes since its last
 * sync. A kill -9 changes nothing. A power cut undoes all of that list, then does again a part of
 * it, as the loss mode says. Names (made, renamed, removed) are durable at once. */
#ifndef VIGIA_SIM_DISK_H
#define VIGIA_SIM_DISK_H

#include "sim.h"

#define SIM_PATH_MAX  256
#define SIM_SHM_LOCKS 8
#define SIM_SHM_MAX   64

enum sim_loss { SIM_LOSE_ALL, SIM_LOSE_SOME, SIM_LOSE_TORN, SIM_LOSS_COUNT };

/* What goes wrong with a disk, and until when. */
struct sim_disk_faults {
    int64_t full_until;  /* a write fails for want of space: */
    bool full_for_all;   /* every write; else only one that would make its file longer */
    int64_t error_until; /* every sync fails */
    int64_t slow_until;  /* a sync takes seconds */
    int64_t
        die_after; /* so many writes and syncs from now the process that makes it is killed; 0: none */
    bool lies;     /* a sync does nothing (a defect to be found) */
};

struct sim_op {
    int64_t at, old_size;
    size_t len, old_len;
    uint8_t *old, *new; /* new NULL: a truncation to `at` */
};

struct sim_file {
    char path[SIM_PATH_MAX];
    unsigned id;
    bool there;
    uint8_t *data;
    int64_t size, room;
    struct sim_op *ops;
    size_t op_count, op_room;
    /* locks of SQLite (vfs.c) and flock (fd.c) */
    int shared;
    const void *reserved, *pending, *exclusive;
    int flock_fd;
    /* shared memory of the WAL; gone when nobody maps it */
    void *shm[SIM_SHM_MAX];
    int shm_count, shm_users;
    int shm_shared[SIM_SHM_LOCKS];
    const void *shm_exclusive[SIM_SHM_LOCKS];
};

struct sim_file *sim_file_find(const char *path); /* NULL: not there */
struct sim_file *sim_file_make(const char *path); /* or finds it */
void sim_file_remove(struct sim_file *f);
void sim_file_rename(struct sim_file *f, const char *to);
int64_t sim_file_read(const struct sim_file *f, void *to, int64_t len, int64_t at);
void sim_file_write(struct sim_file *f, const void *from, int64_t len, int64_t at);
void sim_file_truncate(struct sim_file *f, int64_t size);
void sim_file_sync(struct sim_file *f);

/* Faults of the machine that `path` lies on: "/sim/<number>/…". */
struct sim_disk_faults *sim_disk_faults(int host);
int sim_disk_of(const char *path);
/* The machine's power is cut: to be called after its processes were killed. */
void sim_disk_power_cut(int host, enum sim_loss loss);

/* Called when `die_after` has come to its end (world.c); does not return. */
void sim_disk_death(struct sim_proc *p);

void sim_vfs_register(void);

#endif
