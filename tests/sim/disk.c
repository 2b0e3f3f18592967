/* Files in memory with the memory of what was not synced; see disk.h. */
#include "disk.h"

#include <stdlib.h>
#include <string.h>

#define FILES_MAX 512
#define HOSTS_MAX 256
#define SECTOR    512

static struct sim_file *files[FILES_MAX];
static size_t file_count;
static struct sim_disk_faults faults[HOSTS_MAX];

int sim_disk_of(const char *path)
{
    int n = 0;
    for (const char *at = path + strlen("/sim/"); *at >= '0' && *at <= '9'; at++) {
        n = n * 10 + (*at - '0');
    }
    if (n >= HOSTS_MAX) {
        sim_fail("%s: no such machine", path);
    }
    return n;
}

struct sim_disk_faults *sim_disk_faults(int host)
{
    return &faults[host];
}

struct sim_file *sim_file_find(const char *path)
{
    for (size_t i = 0; i < file_count; i++) {
        if (files[i]->there && strcmp(files[i]->path, path) == 0) {
            return files[i];
        }
    }
    return NULL;
}

static void *need(void *memory)
{
    if (memory == NULL) {
        sim_fail("no memory for a disk");
    }
    return memory;
}

struct sim_file *sim_file_make(const char *path)
{
    struct sim_file *f = sim_file_find(path);
    if (f == NULL) {
        if (file_count == FILES_MAX || strlen(path) >= SIM_PATH_MAX) {
            sim_fail("%s: more than %d files", path, FILES_MAX);
        }
        f = need(calloc(1, sizeof *f));
        (void)snprintf(f->path, sizeof f->path, "%s", path);
        f->id = (unsigned)file_count + 1;
        f->there = true;
        f->flock_fd = -1;
        files[file_count++] = f;
    }
    return f;
}

static void forget_ops(struct sim_file *f)
{
    for (size_t i = 0; i < f->op_count; i++) {
        free(f->ops[i].old);
        free(f->ops[i].new);
    }
    f->op_count = 0;
}

void sim_file_remove(struct sim_file *f)
{
    f->there = false;
    forget_ops(f);
}

void sim_file_rename(struct sim_file *f, const char *to)
{
    struct sim_file *other = sim_file_find(to);
    if (other != NULL && other != f) {
        sim_file_remove(other);
    }
    (void)snprintf(f->path, sizeof f->path, "%s", to);
}

int64_t sim_file_read(const struct sim_file *f, void *to, int64_t len, int64_t at)
{
    int64_t there = f->size > at ? f->size - at : 0;
    int64_t n = len < there ? len : there;
    if (n > 0) {
        memcpy(to, f->data + at, (size_t)n);
    }
    return n;
}

static void resize(struct sim_file *f, int64_t size)
{
    if (size > f->room) {
        int64_t room = f->room == 0 ? 65536 : f->room;
        while (room < size) {
            room *= 2;
        }
        f->data = need(realloc(f->data, (size_t)room));
        f->room = room;
    }
    if (size > f->size) {
        memset(f->data + f->size, 0, (size_t)(size - f->size));
    }
    f->size = size;
}

static struct sim_op *new_op(struct sim_file *f)
{
    if (f->op_count == f->op_room) {
        f->op_room = f->op_room == 0 ? 16 : f->op_room * 2;
        f->ops = need(realloc(f->ops, f->op_room * sizeof *f->ops));
    }
    struct sim_op *op = &f->ops[f->op_count++];
    *op = (struct sim_op){.old_size = f->size};
    return op;
}

static void remember(struct sim_file *f, struct sim_op *op, int64_t at, int64_t len)
{
    op->at = at;
    op->old_len = f->size > at ? (size_t)(f->size - at < len ? f->size - at : len) : 0;
    if (op->old_len > 0) {
        op->old = need(malloc(op->old_len));
        memcpy(op->old, f->data + at, op->old_len);
    }
}

void sim_file_write(struct sim_file *f, const void *from, int64_t len, int64_t at)
{
    struct sim_op *op = new_op(f);
    remember(f, op, at, len);
    op->len = (size_t)len;
    op->new = need(malloc((size_t)len + 1));
    memcpy(op->new, from, (size_t)len);
    if (at + len > f->size) {
        resize(f, at + len);
    }
    memcpy(f->data + at, from, (size_t)len);
}

void sim_file_truncate(struct sim_file *f, int64_t size)
{
    if (size >= f->size) {
        return;
    }
    struct sim_op *op = new_op(f);
    remember(f, op, size, f->size - size);
    resize(f, size);
}

void sim_file_sync(struct sim_file *f)
{
    forget_ops(f);
}

/* ---- power cut ---- */

static void undo(struct sim_file *f)
{
    for (size_t i = f->op_count; i-- > 0;) {
        const struct sim_op *op = &f->ops[i];
        resize(f, op->old_size);
        if (op->old_len > 0) {
            memcpy(f->data + op->at, op->old, op->old_len);
        }
    }
}

static void redo(struct sim_file *f, const struct sim_op *op, int64_t from, int64_t to)
{
    if (op->new == NULL) {
        resize(f, op->at < f->size ? op->at : f->size);
        return;
    }
    if (op->at + to > f->size) {
        resize(f, op->at + to);
    }
    memcpy(f->data + op->at + from, op->new + from, (size_t)(to - from));
}

static void cut(struct sim_file *f, enum sim_loss loss)
{
    undo(f);
    for (size_t i = 0; i < f->op_count && loss != SIM_LOSE_ALL; i++) {
        const struct sim_op *op = &f->ops[i];
        int64_t len = (int64_t)op->len;
        if (loss == SIM_LOSE_SOME) {
            if (sim_chance(SIM_DICE_DISK, 0.5)) {
                redo(f, op, 0, len);
            }
            continue;
        }
        for (int64_t at = 0; at < len; at += SECTOR) {
            if (sim_chance(SIM_DICE_DISK, 0.5)) {
                redo(f, op, at, at + SECTOR < len ? at + SECTOR : len);
            }
        }
    }
    forget_ops(f);
}

void sim_disk_power_cut(int host, enum sim_loss loss)
{
    for (size_t i = 0; i < file_count; i++) {
        if (files[i]->there && sim_disk_of(files[i]->path) == host && files[i]->op_count > 0) {
            sim_trace("power-cut %s unsynced=%zu loss=%d", files[i]->path, files[i]->op_count,
                      (int)loss);
            cut(files[i], loss);
        }
    }
    faults[host] = (struct sim_disk_faults){.lies = faults[host].lies};
}
