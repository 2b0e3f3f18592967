/* See faultvfs.h. */
#include "faultvfs.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

struct fault fault_read, fault_log, fault_write, fault_copy, fault_sync;

static _Thread_local const char self; /* its address names the thread */

struct file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
    bool main;          /* the database itself, not its WAL */
};

static sqlite3_vfs *system_vfs;
static sqlite3_vfs vfs;

static int count(struct fault *f)
{
    atomic_fetch_add(&f->calls, 1);
    const void *thread = atomic_load(&f->thread);
    if (atomic_load(&f->after) == 0 || (thread != NULL && thread != &self)) {
        return SQLITE_OK;
    }
    if (atomic_load(&f->after) > 1) {
        atomic_fetch_sub(&f->after, 1);
        return SQLITE_OK;
    }
    if (atomic_load(&f->more) == 0) {
        atomic_store(&f->after, 0);
    } else if (atomic_load(&f->more) != FAULT_EVER) {
        atomic_fetch_sub(&f->more, 1);
    }
    atomic_fetch_add(&f->fired, 1);
    return atomic_load(&f->code);
}

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct file *)(void *)f)->real;
}

static int x_close(sqlite3_file *f)
{
    sqlite3_file *r = real_of(f);
    return r->pMethods != NULL ? r->pMethods->xClose(r) : SQLITE_OK;
}
static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    int rc = ((struct file *)(void *)f)->main ? SQLITE_OK : count(&fault_log);
    rc = rc != SQLITE_OK ? rc : count(&fault_read);
    return rc != SQLITE_OK ? rc : real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}
static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    int rc = ((struct file *)(void *)f)->main ? count(&fault_copy) : SQLITE_OK;
    rc = rc != SQLITE_OK ? rc : count(&fault_write);
    return rc != SQLITE_OK ? rc : real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
}
static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}
static int x_sync(sqlite3_file *f, int flags)
{
    int rc = count(&fault_sync);
    return rc != SQLITE_OK ? rc : real_of(f)->pMethods->xSync(real_of(f), flags);
}
static int x_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), size);
}
static int x_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}
static int x_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}
static int x_check(sqlite3_file *f, int *held)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), held);
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

static const sqlite3_io_methods methods = {
    .iVersion = 1,
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
};

static int x_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)v;
    struct file *file = (struct file *)(void *)f;
    memset(file, 0, (size_t)vfs.szOsFile);
    file->real = (sqlite3_file *)(void *)(file + 1);
    file->main = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    int rc = system_vfs->xOpen(system_vfs, name, file->real, flags, out);
    file->base.pMethods = file->real->pMethods != NULL ? &methods : NULL;
    return rc;
}

void fault_install(void)
{
    if (system_vfs != NULL) {
        return;
    }
    int rc = sqlite3_initialize();
    assert(rc == SQLITE_OK);
    system_vfs = sqlite3_vfs_find(NULL);
    vfs = *system_vfs;
    vfs.szOsFile += (int)sizeof(struct file);
    vfs.zName = FAULT_VFS;
    vfs.pNext = NULL;
    vfs.xOpen = x_open;
    rc = sqlite3_vfs_register(&vfs, 0);
    assert(rc == SQLITE_OK);
    (void)rc;
}

static void clear(struct fault *f)
{
    atomic_store(&f->after, 0);
    atomic_store(&f->fired, 0);
    atomic_store(&f->calls, 0);
    atomic_store(&f->thread, NULL);
}

void fault_reset(void)
{
    clear(&fault_read);
    clear(&fault_log);
    clear(&fault_write);
    clear(&fault_copy);
    clear(&fault_sync);
}

void fault_arm(struct fault *f, int after, int code, int more)
{
    clear(f);
    atomic_store(&f->code, code);
    atomic_store(&f->more, more);
    atomic_store(&f->after, after);
}

void fault_arm_here(struct fault *f, int after, int code)
{
    clear(f);
    atomic_store(&f->code, code);
    atomic_store(&f->more, 0);
    atomic_store(&f->thread, &self);
    atomic_store(&f->after, after);
}
