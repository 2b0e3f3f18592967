/* See crashvfs.h. */
#include "crashvfs.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISKS_MAX 16

struct crash_disk {
    char folder[256]; /* with a slash at its end */
    unsigned flags, lies;
    pthread_mutex_t lock; /* all below */
    struct crash_model *model;
    struct crash_op **trace;
    size_t trace_count, trace_room;
    _Atomic size_t ops;
    size_t off_at;
    _Atomic bool off;
    crash_on_op *fn;
    void *arg;
};

struct file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
    struct crash_disk *disk;
    uint32_t number;
};

static pthread_mutex_t disks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct crash_disk *disks[DISKS_MAX];
static sqlite3_vfs *system_vfs;
static sqlite3_vfs vfs;

/* SQLite's own VFS opens the folder when it syncs it, and for nothing else; it decides when. */
static int (*real_open_directory)(const char *, int *);
static _Thread_local bool folder_synced;

static int open_directory(const char *path, int *fd)
{
    folder_synced = true;
    return real_open_directory(path, fd);
}

static struct crash_disk *disk_of(const char *path)
{
    struct crash_disk *found = NULL;
    (void)pthread_mutex_lock(&disks_lock);
    for (int i = 0; i < DISKS_MAX && path != NULL; i++) {
        if (disks[i] != NULL && strncmp(path, disks[i]->folder, strlen(disks[i]->folder)) == 0) {
            found = disks[i];
        }
    }
    (void)pthread_mutex_unlock(&disks_lock);
    return found;
}

static const char *name_in(const struct crash_disk *d, const char *path)
{
    const char *name = path + strlen(d->folder);
    assert(strlen(name) <= CRASH_NAME_MAX);
    return name;
}

/* Whether the operation may be made; with the disk locked. */
static bool begin_op(struct crash_disk *d)
{
    size_t op = atomic_load(&d->ops);
    if (!atomic_load(&d->off) && op >= d->off_at) {
        atomic_store(&d->off, true);
    }
    if (atomic_load(&d->off)) {
        return false;
    }
    if (d->fn != NULL) {
        d->fn(d->arg, op);
    }
    return true;
}

static void end_op(struct crash_disk *d, enum crash_kind kind, uint32_t file, uint64_t at,
                   const void *bytes, size_t len)
{
    struct crash_op *op = crash_op_new(kind, file, at, bytes, len);
    crash_model_apply(d->model, op);
    if ((d->flags & CRASH_RECORD) != 0) {
        if (d->trace_count == d->trace_room) {
            d->trace_room = d->trace_room == 0 ? 1024 : 2 * d->trace_room;
            d->trace = realloc(d->trace, d->trace_room * sizeof(struct crash_op *));
            assert(d->trace != NULL);
        }
        op->refs++;
        d->trace[d->trace_count++] = op;
    }
    crash_op_release(op);
    atomic_fetch_add(&d->ops, 1);
}

static struct file *mine(sqlite3_file *f)
{
    return (struct file *)(void *)f;
}
static sqlite3_file *real_of(sqlite3_file *f)
{
    return mine(f)->real;
}
static bool is_off(sqlite3_file *f)
{
    return mine(f)->disk != NULL && atomic_load(&mine(f)->disk->off);
}

static int x_close(sqlite3_file *f)
{
    sqlite3_file *r = real_of(f);
    return r->pMethods != NULL ? r->pMethods->xClose(r) : SQLITE_OK;
}

static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return is_off(f) ? SQLITE_IOERR_READ : real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    struct crash_disk *d = mine(f)->disk;
    if (d == NULL) {
        return real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
    }
    int rc = SQLITE_IOERR_WRITE;
    (void)pthread_mutex_lock(&d->lock);
    if (begin_op(d)) {
        rc = real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
        if (rc == SQLITE_OK) {
            end_op(d, CRASH_OP_WRITE, mine(f)->number, (uint64_t)at, from, (size_t)n);
        }
    }
    (void)pthread_mutex_unlock(&d->lock);
    return rc;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct crash_disk *d = mine(f)->disk;
    if (d == NULL) {
        return real_of(f)->pMethods->xTruncate(real_of(f), size);
    }
    int rc = SQLITE_IOERR_TRUNCATE;
    (void)pthread_mutex_lock(&d->lock);
    if (begin_op(d)) {
        rc = real_of(f)->pMethods->xTruncate(real_of(f), size);
        if (rc == SQLITE_OK) {
            end_op(d, CRASH_OP_TRUNCATE, mine(f)->number, (uint64_t)size, NULL, 0);
        }
    }
    (void)pthread_mutex_unlock(&d->lock);
    return rc;
}

static int x_sync(sqlite3_file *f, int flags)
{
    struct crash_disk *d = mine(f)->disk;
    if (d == NULL) {
        return real_of(f)->pMethods->xSync(real_of(f), flags);
    }
    int rc = SQLITE_IOERR_FSYNC;
    (void)pthread_mutex_lock(&d->lock);
    if (begin_op(d)) {
        folder_synced = false;
        rc = real_of(f)->pMethods->xSync(real_of(f), flags);
        if (rc == SQLITE_OK) {
            end_op(d, CRASH_OP_SYNC, mine(f)->number, 0, NULL, 0);
        }
        if (rc == SQLITE_OK && folder_synced) {
            rc = begin_op(d) ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
            if (rc == SQLITE_OK) {
                end_op(d, CRASH_OP_SYNC_FOLDER, 0, 0, NULL, 0);
            }
        }
    }
    (void)pthread_mutex_unlock(&d->lock);
    return rc;
}

static int x_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return is_off(f) ? SQLITE_IOERR_FSTAT : real_of(f)->pMethods->xFileSize(real_of(f), size);
}
static int x_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}
static int x_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}
static int x_check(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}
static int x_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int x_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}
static int x_traits(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}
static int x_shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **out)
{
    return is_off(f) ? SQLITE_IOERR_SHMMAP
                     : real_of(f)->pMethods->xShmMap(real_of(f), region, size, extend, out);
}
static int x_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}
static void x_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}
static int x_shm_unmap(sqlite3_file *f, int remove_it)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove_it);
}

/* Version 2: shared memory, but no mapping of the database itself, which would hide writes. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = x_close,
    .xRead = x_read,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = x_size,
    .xLock = x_lock,
    .xUnlock = x_unlock,
    .xCheckReservedLock = x_check,
    .xFileControl = x_control,
    .xSectorSize = x_sector,
    .xDeviceCharacteristics = x_traits,
    .xShmMap = x_shm_map,
    .xShmLock = x_shm_lock,
    .xShmBarrier = x_shm_barrier,
    .xShmUnmap = x_shm_unmap,
};

/* The file as the model knows it; a new one is told to it. With the disk locked. */
static uint32_t number_of(struct crash_disk *d, const char *path, sqlite3_file *real)
{
    const char *name = name_in(d, path);
    uint32_t number = crash_model_find(d->model, name);
    if (number != 0) {
        return number;
    }
    number = crash_model_next(d->model);
    end_op(d, CRASH_OP_CREATE, number, 0, name, strlen(name));
    sqlite3_int64 size = 0;
    (void)real->pMethods->xFileSize(real, &size);
    if (size > 0) {
        char *bytes = malloc((size_t)size);
        assert(bytes != NULL);
        int rc = real->pMethods->xRead(real, bytes, (int)size, 0);
        assert(rc == SQLITE_OK);
        (void)rc;
        end_op(d, CRASH_OP_WRITE, number, 0, bytes, (size_t)size);
        free(bytes);
    }
    return number;
}

static int x_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)v;
    struct file *file = mine(f);
    memset(file, 0, (size_t)vfs.szOsFile);
    file->real = (sqlite3_file *)(void *)(file + 1);
    struct crash_disk *d = disk_of(name);
    int rc;
    if (d == NULL) {
        rc = system_vfs->xOpen(system_vfs, name, file->real, flags, out);
    } else {
        rc = SQLITE_CANTOPEN;
        (void)pthread_mutex_lock(&d->lock);
        if (begin_op(d)) {
            rc = system_vfs->xOpen(system_vfs, name, file->real, flags, out);
            if (rc == SQLITE_OK) {
                file->disk = d;
                file->number = number_of(d, name, file->real);
            }
        }
        (void)pthread_mutex_unlock(&d->lock);
    }
    file->base.pMethods = file->real->pMethods != NULL ? &methods : NULL;
    return rc;
}

static int x_delete(sqlite3_vfs *v, const char *path, int sync_folder)
{
    (void)v;
    struct crash_disk *d = disk_of(path);
    if (d == NULL) {
        return system_vfs->xDelete(system_vfs, path, sync_folder);
    }
    int rc = SQLITE_IOERR_DELETE;
    (void)pthread_mutex_lock(&d->lock);
    const char *name = name_in(d, path);
    if (begin_op(d)) {
        folder_synced = false;
        rc = system_vfs->xDelete(system_vfs, path, sync_folder);
        if (rc == SQLITE_OK && crash_model_find(d->model, name) != 0) {
            end_op(d, CRASH_OP_DELETE, 0, 0, name, strlen(name));
        }
        if (rc == SQLITE_OK && folder_synced) {
            end_op(d, CRASH_OP_SYNC_FOLDER, 0, 0, NULL, 0);
        }
    }
    (void)pthread_mutex_unlock(&d->lock);
    return rc;
}

void crash_install(bool as_default)
{
    if (system_vfs == NULL) {
        int rc = sqlite3_initialize();
        assert(rc == SQLITE_OK);
        system_vfs = sqlite3_vfs_find("unix");
        assert(system_vfs != NULL && system_vfs->iVersion >= 3);
        vfs = *system_vfs;
        vfs.szOsFile += (int)sizeof(struct file);
        vfs.zName = CRASH_VFS;
        vfs.pNext = NULL;
        vfs.xOpen = x_open;
        vfs.xDelete = x_delete;
        real_open_directory =
            (int (*)(const char *, int *))system_vfs->xGetSystemCall(system_vfs, "openDirectory");
        rc = system_vfs->xSetSystemCall(system_vfs, "openDirectory",
                                        (sqlite3_syscall_ptr)open_directory);
        assert(rc == SQLITE_OK && real_open_directory != NULL);
        (void)rc;
    }
    int rc = sqlite3_vfs_register(&vfs, as_default);
    assert(rc == SQLITE_OK);
    (void)rc;
}

/* ---- the disk ---- */

static char *read_whole(const char *path, size_t *size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert(fd >= 0 && fstat(fd, &st) == 0);
    char *bytes = malloc((size_t)st.st_size + 1);
    assert(bytes != NULL);
    ssize_t got = read(fd, bytes, (size_t)st.st_size);
    assert(got == st.st_size);
    (void)close(fd);
    *size = (size_t)got;
    return bytes;
}

static bool is_shm(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, "-shm") == 0;
}

/* Calls `fn` for every plain file of the folder. */
static void each_file(struct crash_disk *d,
                      void (*fn)(struct crash_disk *d, const char *path, const char *name))
{
    DIR *dir = opendir(d->folder);
    assert(dir != NULL);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char path[600];
        struct stat st;
        (void)snprintf(path, sizeof path, "%s%s", d->folder, e->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            fn(d, path, e->d_name);
        }
    }
    (void)closedir(dir);
}

static void take_in(struct crash_disk *d, const char *path, const char *name)
{
    if (!is_shm(name) && strlen(name) <= CRASH_NAME_MAX) {
        size_t size;
        char *bytes = read_whole(path, &size);
        (void)crash_model_add(d->model, name, bytes, size);
        free(bytes);
    }
}

static void forget_file(struct crash_disk *d, const char *path, const char *name)
{
    if (is_shm(name) || crash_model_find(d->model, name) != 0) {
        (void)unlink(path);
    }
}

struct crash_disk *crash_disk_new(const char *folder, unsigned flags)
{
    struct crash_disk *d = calloc(1, sizeof *d);
    assert(d != NULL);
    char *real = realpath(folder, NULL);
    assert(real != NULL && strlen(real) + 2 <= sizeof d->folder);
    (void)snprintf(d->folder, sizeof d->folder, "%s/", real);
    free(real);
    d->flags = flags;
    d->off_at = SIZE_MAX;
    (void)pthread_mutex_init(&d->lock, NULL);
    d->model = crash_model_new(0);
    if ((flags & CRASH_RECORD) == 0) {
        each_file(d, take_in);
    }
    (void)pthread_mutex_lock(&disks_lock);
    int i = 0;
    while (i < DISKS_MAX && disks[i] != NULL) {
        i++;
    }
    assert(i < DISKS_MAX);
    disks[i] = d;
    (void)pthread_mutex_unlock(&disks_lock);
    return d;
}

void crash_disk_free(struct crash_disk *d)
{
    if (d == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&disks_lock);
    for (int i = 0; i < DISKS_MAX; i++) {
        disks[i] = disks[i] == d ? NULL : disks[i];
    }
    (void)pthread_mutex_unlock(&disks_lock);
    for (size_t i = 0; i < d->trace_count; i++) {
        crash_op_release(d->trace[i]);
    }
    free(d->trace);
    crash_model_free(d->model);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

void crash_disk_lie(struct crash_disk *d, unsigned lies)
{
    (void)pthread_mutex_lock(&d->lock);
    assert(atomic_load(&d->ops) == 0);
    d->lies = lies;
    crash_model_free(d->model);
    d->model = crash_model_new(lies);
    each_file(d, take_in);
    (void)pthread_mutex_unlock(&d->lock);
}

size_t crash_disk_ops(const struct crash_disk *d)
{
    return atomic_load(&d->ops);
}

void crash_disk_on_op(struct crash_disk *d, crash_on_op *fn, void *arg)
{
    (void)pthread_mutex_lock(&d->lock);
    d->fn = fn;
    d->arg = arg;
    (void)pthread_mutex_unlock(&d->lock);
}

void crash_power_off(struct crash_disk *d)
{
    (void)pthread_mutex_lock(&d->lock);
    atomic_store(&d->off, true);
    (void)pthread_mutex_unlock(&d->lock);
}

void crash_power_off_at(struct crash_disk *d, size_t op)
{
    (void)pthread_mutex_lock(&d->lock);
    d->off_at = op;
    (void)pthread_mutex_unlock(&d->lock);
}

bool crash_power_is_off(const struct crash_disk *d)
{
    return atomic_load(&d->off);
}

bool crash_power_on(struct crash_disk *d, enum crash_mode mode, uint64_t seed)
{
    struct crash_image image;
    assert((d->flags & CRASH_RECORD) == 0);
    (void)pthread_mutex_lock(&d->lock);
    crash_model_image(d->model, mode, seed, NULL, &image);
    each_file(d, forget_file);
    bool good = crash_image_write(&image, d->folder);
    crash_model_free(d->model);
    d->model = crash_model_new(d->lies);
    for (size_t i = 0; i < image.count; i++) {
        const struct crash_file *f = &image.files[i];
        (void)crash_model_add(d->model, f->name, f->bytes, f->size);
    }
    crash_image_done(&image);
    d->off_at = SIZE_MAX;
    atomic_store(&d->off, false);
    (void)pthread_mutex_unlock(&d->lock);
    return good;
}

/* ---- replay ---- */

struct crash_replay {
    const struct crash_disk *disk;
    struct crash_model *model;
    size_t at;
};

struct crash_replay *crash_replay_new(const struct crash_disk *d, unsigned lies)
{
    struct crash_replay *r = calloc(1, sizeof *r);
    assert(r != NULL && (d->flags & CRASH_RECORD) != 0);
    r->disk = d;
    r->model = crash_model_new(lies);
    return r;
}

void crash_replay_free(struct crash_replay *r)
{
    if (r != NULL) {
        crash_model_free(r->model);
        free(r);
    }
}

size_t crash_replay_at(const struct crash_replay *r)
{
    return r->at;
}

const struct crash_op *crash_replay_next(const struct crash_replay *r)
{
    return r->at < r->disk->trace_count ? r->disk->trace[r->at] : NULL;
}

size_t crash_replay_unsafe(const struct crash_replay *r)
{
    return crash_model_unsafe(r->model);
}

void crash_replay_step(struct crash_replay *r)
{
    assert(r->at < r->disk->trace_count);
    crash_model_apply(r->model, r->disk->trace[r->at++]);
}

void crash_replay_image(const struct crash_replay *r, enum crash_mode mode, uint64_t seed,
                        struct crash_image *out)
{
    crash_model_image(r->model, mode, seed, crash_replay_next(r), out);
}
