/* SQLite's default VFS: the simulated disks. Locks and the WAL's shared memory work between the
 * connections of different processes, and are freed when a process dies. */
#include "disk.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct handle {
    sqlite3_file base;
    struct sim_file *file;
    const struct sim_proc *proc;
    struct handle *next;
    int level;
    unsigned shm_shared, shm_exclusive; /* bits */
    bool mapped, remove;
};

static struct handle *handles;

static struct handle *of(sqlite3_file *base)
{
    return (struct handle *)(void *)base;
}

/* ---- death ---- */

/* The process may be told to die in the middle of its own writing. */
static void step(const struct handle *h)
{
    struct sim_disk_faults *f = sim_disk_faults(sim_disk_of(h->file->path));
    if (sim_me() != NULL && f->die_after > 0 && --f->die_after == 0) {
        sim_disk_death(sim_me());
    }
}

static void unlock_to(struct handle *h, int level)
{
    struct sim_file *f = h->file;
    if (level < SQLITE_LOCK_RESERVED) {
        f->reserved = f->reserved == h ? NULL : f->reserved;
    }
    f->pending = f->pending == h ? NULL : f->pending;
    f->exclusive = f->exclusive == h ? NULL : f->exclusive;
    if (level == SQLITE_LOCK_NONE && h->level >= SQLITE_LOCK_SHARED) {
        f->shared--;
    }
    h->level = level;
}

static void release_shm(struct handle *h)
{
    struct sim_file *f = h->file;
    for (unsigned i = 0; i < SIM_SHM_LOCKS; i++) {
        if ((h->shm_shared & 1u << i) != 0) {
            f->shm_shared[i]--;
        }
        if ((h->shm_exclusive & 1u << i) != 0) {
            f->shm_exclusive[i] = NULL;
        }
    }
    h->shm_shared = h->shm_exclusive = 0;
    if (h->mapped && --f->shm_users == 0) {
        /* The memory itself stays: a connection of a dead process may point to it still. */
        f->shm_count = 0;
    }
    h->mapped = false;
}

static void unlink_handle(struct handle *h)
{
    for (struct handle **at = &handles; *at != NULL; at = &(*at)->next) {
        if (*at == h) {
            *at = h->next;
            return;
        }
    }
}

void sim_disk_forget(struct sim_proc *p)
{
    struct handle *next = NULL;
    for (struct handle *h = handles; h != NULL; h = next) {
        next = h->next;
        if (h->proc == p) {
            release_shm(h);
            unlock_to(h, SQLITE_LOCK_NONE);
            unlink_handle(h);
        }
    }
}

/* ---- file ---- */

static int file_close(sqlite3_file *base)
{
    struct handle *h = of(base);
    release_shm(h);
    unlock_to(h, SQLITE_LOCK_NONE);
    if (h->remove) {
        sim_file_remove(h->file);
    }
    unlink_handle(h);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *to, int len, sqlite3_int64 at)
{
    int64_t n = sim_file_read(of(base)->file, to, len, at);
    if (n < len) {
        memset((char *)to + n, 0, (size_t)(len - n));
        return SQLITE_IOERR_SHORT_READ;
    }
    return SQLITE_OK;
}

static int file_write(sqlite3_file *base, const void *from, int len, sqlite3_int64 at)
{
    struct handle *h = of(base);
    const struct sim_disk_faults *f = sim_disk_faults(sim_disk_of(h->file->path));
    step(h);
    if (sim_now < f->full_until && (f->full_for_all || at + len > h->file->size)) {
        return SQLITE_FULL;
    }
    sim_file_write(h->file, from, len, at);
    return SQLITE_OK;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    step(of(base));
    sim_file_truncate(of(base)->file, size);
    return SQLITE_OK;
}

/* The one call that takes time: others run meanwhile, and the process can be killed in it. */
static int file_sync(sqlite3_file *base, int flags)
{
    (void)flags;
    struct handle *h = of(base);
    const struct sim_disk_faults *f = sim_disk_faults(sim_disk_of(h->file->path));
    step(h);
    if (sim_task() != NULL) {
        bool slow = sim_now < f->slow_until;
        sim_sleep(slow ? sim_between(SIM_DICE_DISK, 100, 3000) * SIM_MS
                       : sim_between(SIM_DICE_DISK, 200, 9000) * 1000);
    }
    step(h);
    if (sim_now < f->error_until) {
        return SQLITE_IOERR_FSYNC;
    }
    if (!f->lies) {
        sim_file_sync(h->file);
    }
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    *out = of(base)->file->size;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *base, int level)
{
    struct handle *h = of(base);
    struct sim_file *f = h->file;
    if (h->level >= level) {
        return SQLITE_OK;
    }
    bool others_exclusive = f->exclusive != NULL && f->exclusive != h;
    bool others_pending = f->pending != NULL && f->pending != h;
    bool others_reserved = f->reserved != NULL && f->reserved != h;
    if (others_exclusive || (h->level == SQLITE_LOCK_NONE && others_pending)) {
        return SQLITE_BUSY;
    }
    if (h->level == SQLITE_LOCK_NONE) {
        f->shared++;
        h->level = SQLITE_LOCK_SHARED;
    }
    if (level == SQLITE_LOCK_SHARED) {
        return SQLITE_OK;
    }
    if (others_reserved || others_pending) {
        return SQLITE_BUSY;
    }
    if (level == SQLITE_LOCK_RESERVED) {
        f->reserved = h;
        h->level = level;
        return SQLITE_OK;
    }
    f->pending = h;
    if (f->shared > 1) {
        return SQLITE_BUSY;
    }
    f->exclusive = h;
    h->level = SQLITE_LOCK_EXCLUSIVE;
    return SQLITE_OK;
}

static int file_unlock(sqlite3_file *base, int level)
{
    if (of(base)->level > level) {
        unlock_to(of(base), level);
    }
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *base, int *out)
{
    *out = of(base)->file->reserved != NULL;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
    (void)base;
    (void)arg;
    return op == SQLITE_FCNTL_PERSIST_WAL ? SQLITE_OK : SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *base)
{
    (void)base;
    return 4096;
}

/* What a common disk promises: nothing but that a write tears no neighbour. */
static int file_character(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- shared memory ---- */

static int shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
    struct handle *h = of(base);
    struct sim_file *f = h->file;
    if (!h->mapped) {
        h->mapped = true;
        f->shm_users++;
    }
    *out = NULL;
    if (region >= f->shm_count && extend == 0) {
        return SQLITE_OK;
    }
    while (f->shm_count <= region) {
        if (f->shm_count == SIM_SHM_MAX) {
            return SQLITE_IOERR_SHMSIZE;
        }
        f->shm[f->shm_count] = calloc(1, (size_t)size);
        if (f->shm[f->shm_count] == NULL) {
            return SQLITE_IOERR_NOMEM;
        }
        f->shm_count++;
    }
    *out = f->shm[region];
    return SQLITE_OK;
}

static int shm_lock_one(struct handle *h, unsigned i, int flags)
{
    struct sim_file *f = h->file;
    unsigned bit = 1u << i;
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
        if ((h->shm_shared & bit) != 0) {
            f->shm_shared[i]--;
        }
        if ((h->shm_exclusive & bit) != 0) {
            f->shm_exclusive[i] = NULL;
        }
        h->shm_shared &= ~bit;
        h->shm_exclusive &= ~bit;
        return SQLITE_OK;
    }
    const void *exclusive = f->shm_exclusive[i];
    int mine = (h->shm_shared & bit) != 0;
    if (exclusive != NULL && exclusive != h) {
        return SQLITE_BUSY;
    }
    if ((flags & SQLITE_SHM_SHARED) != 0) {
        if (!mine) {
            f->shm_shared[i]++;
            h->shm_shared |= bit;
        }
        return SQLITE_OK;
    }
    if (f->shm_shared[i] - mine > 0) {
        return SQLITE_BUSY;
    }
    f->shm_exclusive[i] = h;
    h->shm_exclusive |= bit;
    return SQLITE_OK;
}

static int shm_lock(sqlite3_file *base, int offset, int n, int flags)
{
    struct handle *h = of(base);
    for (int i = 0; i < n; i++) {
        int rc = shm_lock_one(h, (unsigned)(offset + i), flags);
        if (rc != SQLITE_OK) {
            for (int k = 0; k < i; k++) {
                (void)shm_lock_one(h, (unsigned)(offset + k),
                                   SQLITE_SHM_UNLOCK | (flags & ~SQLITE_SHM_LOCK));
            }
            return rc;
        }
    }
    return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *base)
{
    (void)base;
}

static int shm_unmap(sqlite3_file *base, int remove)
{
    (void)remove;
    release_shm(of(base));
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_character,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

/* ---- the file system ---- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out)
{
    (void)vfs;
    static unsigned temporary;
    char made_up[40];
    struct handle *h = of(base);
    memset(h, 0, sizeof *h);
    if (name == NULL) {
        (void)snprintf(made_up, sizeof made_up, "/sim/0/temporary-%u", ++temporary);
        name = made_up;
        flags |= SQLITE_OPEN_CREATE | SQLITE_OPEN_DELETEONCLOSE;
    }
    struct sim_file *f = sim_file_find(name);
    if (f == NULL && (flags & SQLITE_OPEN_CREATE) == 0) {
        return SQLITE_CANTOPEN;
    }
    h->file = f != NULL ? f : sim_file_make(name);
    h->proc = sim_me();
    h->remove = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    h->next = handles;
    handles = h;
    base->pMethods = &methods;
    if (out != NULL) {
        *out = flags;
    }
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    (void)sync_folder;
    struct sim_file *f = sim_file_find(name);
    if (f == NULL) {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    sim_file_remove(f);
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    (void)vfs;
    const struct sim_file *f = sim_file_find(name);
    *out = f != NULL && (flags != SQLITE_ACCESS_EXISTS || f->size > 0);
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
    (void)vfs;
    (void)snprintf(out, (size_t)size, "%s", name);
    return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int len, char *out)
{
    (void)vfs;
    for (int i = 0; i < len; i++) {
        out[i] = (char)vg_rng_next(sim_dice(SIM_DICE_KERNEL));
    }
    return len;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    sim_sleep((int64_t)us * 1000);
    return us;
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    (void)vfs;
    *out = 210866760000000LL + SIM_EPOCH_MS + sim_now / SIM_MS;
    return SQLITE_OK;
}

void sim_vfs_register(void)
{
    static sqlite3_vfs vfs = {
        .iVersion = 2,
        .szOsFile = sizeof(struct handle),
        .mxPathname = SIM_PATH_MAX - 1,
        .zName = "sim",
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_random,
        .xSleep = vfs_sleep,
        .xCurrentTimeInt64 = vfs_time,
    };
    /* The buffer's bound on SQLite's memory is one of a process; here many share one library. */
    if (sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK ||
        sqlite3_vfs_register(&vfs, 1) != SQLITE_OK) {
        sim_fail("SQLite does not take the simulated disk");
    }
}
