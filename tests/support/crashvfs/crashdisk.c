/* See crashdisk.h. */
#include "crashdisk.h"

#include "vigia/random.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ops {
    struct crash_op **at;
    size_t count, room;
};

struct inode {
    char *bytes; /* safe */
    size_t size;
    struct ops pending; /* of writes and truncations, oldest first */
    bool wal;
};

struct entry {
    char name[CRASH_NAME_MAX + 1];
    uint32_t file;
};
struct names {
    struct entry *at;
    size_t count, room;
};

struct crash_model {
    unsigned lies;
    struct inode *inodes; /* of file n at n - 1 */
    uint32_t inode_count, inode_room;
    struct names now, safe;
    struct ops folder; /* creations and deletions that are not safe */
};

const char *crash_mode_name(enum crash_mode mode)
{
    static const char *const names[CRASH_MODES] = {"drop", "reorder", "tear"};
    return names[mode];
}

static void *grown(void *at, size_t bytes)
{
    void *to = realloc(at, bytes > 0 ? bytes : 1);
    if (to == NULL) {
        (void)fprintf(stderr, "crashdisk: no memory\n");
        abort();
    }
    return to;
}

struct crash_op *crash_op_new(enum crash_kind kind, uint32_t file, uint64_t at, const void *bytes,
                              size_t len)
{
    struct crash_op *op = grown(NULL, sizeof *op + len);
    *op = (struct crash_op){.kind = kind, .refs = 1, .file = file, .at = at, .len = len};
    if (len > 0) {
        memcpy(op->bytes, bytes, len);
    }
    return op;
}

void crash_op_release(struct crash_op *op)
{
    if (--op->refs == 0) {
        free(op);
    }
}

static void ops_add(struct ops *l, struct crash_op *op)
{
    if (l->count == l->room) {
        l->room = l->room == 0 ? 64 : 2 * l->room;
        l->at = grown(l->at, l->room * sizeof(struct crash_op *));
    }
    op->refs++;
    l->at[l->count++] = op;
}

static void ops_clear(struct ops *l)
{
    for (size_t i = 0; i < l->count; i++) {
        crash_op_release(l->at[i]);
    }
    l->count = 0;
}

static struct entry *names_find(const struct names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (strcmp(n->at[i].name, name) == 0) {
            return &n->at[i];
        }
    }
    return NULL;
}

static void names_set(struct names *n, const char *name, uint32_t file)
{
    struct entry *e = names_find(n, name);
    if (e == NULL) {
        if (n->count == n->room) {
            n->room = n->room == 0 ? 8 : 2 * n->room;
            n->at = grown(n->at, n->room * sizeof *n->at);
        }
        e = &n->at[n->count++];
        (void)snprintf(e->name, sizeof e->name, "%s", name);
    }
    e->file = file;
}

static void names_remove(struct names *n, const char *name)
{
    struct entry *e = names_find(n, name);
    if (e != NULL) {
        *e = n->at[--n->count];
    }
}

static void names_apply(struct names *n, const struct crash_op *op)
{
    char name[CRASH_NAME_MAX + 1];
    assert(op->len < sizeof name);
    memcpy(name, op->bytes, op->len);
    name[op->len] = '\0';
    if (op->kind == CRASH_OP_CREATE) {
        names_set(n, name, op->file);
    } else {
        names_remove(n, name);
    }
}

/* The bytes of a file, growing and shrinking; what was never written reads as zeros. */
struct content {
    char *bytes;
    size_t size;
};

static void content_size(struct content *c, size_t size)
{
    c->bytes = grown(c->bytes, size);
    if (size > c->size) {
        memset(c->bytes + c->size, 0, size - c->size);
    }
    c->size = size;
}

static void content_put(struct content *c, size_t at, const char *from, size_t len)
{
    if (len > 0) {
        if (at + len > c->size) {
            content_size(c, at + len);
        }
        memcpy(c->bytes + at, from, len);
    }
}

static void content_apply(struct content *c, const struct crash_op *op)
{
    if (op->kind == CRASH_OP_TRUNCATE) {
        content_size(c, (size_t)op->at);
    } else {
        content_put(c, (size_t)op->at, op->bytes, op->len);
    }
}

struct crash_model *crash_model_new(unsigned lies)
{
    struct crash_model *m = grown(NULL, sizeof *m);
    *m = (struct crash_model){.lies = lies};
    return m;
}

void crash_model_free(struct crash_model *m)
{
    if (m == NULL) {
        return;
    }
    for (uint32_t i = 0; i < m->inode_count; i++) {
        ops_clear(&m->inodes[i].pending);
        free(m->inodes[i].pending.at);
        free(m->inodes[i].bytes);
    }
    ops_clear(&m->folder);
    free(m->folder.at);
    free(m->inodes);
    free(m->now.at);
    free(m->safe.at);
    free(m);
}

uint32_t crash_model_next(const struct crash_model *m)
{
    return m->inode_count + 1;
}

static struct inode *inode_new(struct crash_model *m, const char *name)
{
    if (m->inode_count == m->inode_room) {
        m->inode_room = m->inode_room == 0 ? 8 : 2 * m->inode_room;
        m->inodes = grown(m->inodes, m->inode_room * sizeof *m->inodes);
    }
    struct inode *i = &m->inodes[m->inode_count++];
    size_t len = strlen(name);
    *i = (struct inode){.wal = len > 4 && strcmp(name + len - 4, "-wal") == 0};
    return i;
}

uint32_t crash_model_add(struct crash_model *m, const char *name, const void *bytes, size_t size)
{
    struct inode *i = inode_new(m, name);
    i->bytes = grown(NULL, size);
    i->size = size;
    if (size > 0) {
        memcpy(i->bytes, bytes, size);
    }
    names_set(&m->now, name, m->inode_count);
    names_set(&m->safe, name, m->inode_count);
    return m->inode_count;
}

uint32_t crash_model_find(const struct crash_model *m, const char *name)
{
    const struct entry *e = names_find(&m->now, name);
    return e == NULL ? 0 : e->file;
}

static bool named(const struct crash_model *m, uint32_t file)
{
    for (size_t i = 0; i < m->now.count; i++) {
        if (m->now.at[i].file == file) {
            return true;
        }
    }
    for (size_t i = 0; i < m->safe.count; i++) {
        if (m->safe.at[i].file == file) {
            return true;
        }
    }
    return false;
}

static void sync_file(struct crash_model *m, uint32_t file)
{
    struct inode *i = &m->inodes[file - 1];
    if ((m->lies & (i->wal ? CRASH_LIE_WAL : CRASH_LIE_MAIN)) != 0) {
        return;
    }
    struct content c = {i->bytes, i->size};
    for (size_t n = 0; n < i->pending.count; n++) {
        content_apply(&c, i->pending.at[n]);
    }
    i->bytes = c.bytes;
    i->size = c.size;
    ops_clear(&i->pending);
}

static void sync_folder(struct crash_model *m)
{
    for (size_t n = 0; n < m->folder.count; n++) {
        names_apply(&m->safe, m->folder.at[n]);
    }
    ops_clear(&m->folder);
    for (uint32_t file = 1; file <= m->inode_count; file++) {
        struct inode *i = &m->inodes[file - 1];
        if ((i->bytes != NULL || i->pending.count > 0) && !named(m, file)) {
            ops_clear(&i->pending);
            free(i->bytes);
            i->bytes = NULL;
            i->size = 0;
        }
    }
}

void crash_model_apply(struct crash_model *m, struct crash_op *op)
{
    char name[CRASH_NAME_MAX + 1];
    switch (op->kind) {
    case CRASH_OP_CREATE:
        assert(op->file == crash_model_next(m) && op->len < sizeof name);
        memcpy(name, op->bytes, op->len);
        name[op->len] = '\0';
        (void)inode_new(m, name);
        names_apply(&m->now, op);
        ops_add(&m->folder, op);
        break;
    case CRASH_OP_DELETE:
        names_apply(&m->now, op);
        ops_add(&m->folder, op);
        break;
    case CRASH_OP_WRITE:
    case CRASH_OP_TRUNCATE:
        assert(op->file > 0 && op->file <= m->inode_count);
        ops_add(&m->inodes[op->file - 1].pending, op);
        break;
    case CRASH_OP_SYNC:
        assert(op->file > 0 && op->file <= m->inode_count);
        sync_file(m, op->file);
        break;
    case CRASH_OP_SYNC_FOLDER:
        sync_folder(m);
        break;
    }
}

size_t crash_model_unsafe(const struct crash_model *m)
{
    size_t n = m->folder.count;
    for (uint32_t i = 0; i < m->inode_count; i++) {
        n += m->inodes[i].pending.count;
    }
    return n;
}

/* ---- after the cut ---- */

/* Part of a write reaches the disk. */
static void put_torn(struct content *c, const struct crash_op *op, struct vg_rng *rng)
{
    size_t at = (size_t)op->at;
    size_t cut = (size_t)vg_rng_below(rng, op->len + 1);
    size_t edge = (at + cut) / CRASH_SECTOR * CRASH_SECTOR; /* of the sector in which it broke */
    switch (vg_rng_below(rng, 4)) {
    case 0: /* up to a sector's edge */
        content_put(c, at, op->bytes, edge > at ? edge - at : 0);
        break;
    case 1: /* up to any byte */
        content_put(c, at, op->bytes, cut);
        break;
    case 2: /* some of its sectors */
        for (size_t from = 0; from < op->len;) {
            size_t end = (at + from) / CRASH_SECTOR * CRASH_SECTOR + CRASH_SECTOR - at;
            end = end < op->len ? end : op->len;
            if (vg_rng_below(rng, 2) == 0) {
                content_put(c, at + from, op->bytes + from, end - from);
            }
            from = end;
        }
        break;
    default: { /* rubbish in the sector in which it broke, within the write */
        char rubbish[CRASH_SECTOR];
        size_t end = edge + CRASH_SECTOR - at;
        end = end < op->len ? end : op->len;
        for (size_t i = 0; i < sizeof rubbish; i++) {
            rubbish[i] = (char)vg_rng_next(rng);
        }
        content_put(c, at, op->bytes, cut);
        content_put(c, at + cut, rubbish, end - cut);
        break;
    }
    }
}

/* The write that is torn: the one that was under way, else one of those that were not safe. */
static const struct crash_op *choose_torn(const struct crash_model *m, const struct crash_op *cut,
                                          struct vg_rng *rng)
{
    if (cut != NULL && cut->kind == CRASH_OP_WRITE) {
        return cut;
    }
    size_t seen = 0;
    const struct crash_op *torn = NULL;
    for (uint32_t i = 0; i < m->inode_count; i++) {
        const struct ops *pending = &m->inodes[i].pending;
        for (size_t n = 0; n < pending->count; n++) {
            if (pending->at[n]->kind == CRASH_OP_WRITE && vg_rng_below(rng, ++seen) == 0) {
                torn = pending->at[n];
            }
        }
    }
    return torn;
}

static void add_pending(struct content *c, uint32_t file, const struct ops *pending,
                        const struct crash_op *torn, double keep, struct vg_rng *rng)
{
    const struct crash_op **order = grown(NULL, (pending->count + 1) * sizeof *order);
    size_t count = 0;
    bool in_flight = torn != NULL && torn->file == file;
    for (size_t n = 0; n < pending->count; n++) {
        if (pending->at[n] == torn) {
            order[count++] = torn;
            in_flight = false;
        } else if (vg_rng_unit(rng) < keep) {
            order[count++] = pending->at[n];
        }
    }
    if (in_flight) {
        order[count++] = torn;
    }
    for (size_t n = count; n > 1; n--) {
        size_t other = (size_t)vg_rng_below(rng, n);
        const struct crash_op *op = order[n - 1];
        order[n - 1] = order[other];
        order[other] = op;
    }
    for (size_t n = 0; n < count; n++) {
        if (order[n] == torn) {
            put_torn(c, torn, rng);
        } else {
            content_apply(c, order[n]);
        }
    }
    free(order);
}

/* Names after the cut. */
static struct names surviving_names(const struct crash_model *m, enum crash_mode mode, double keep,
                                    struct vg_rng *rng)
{
    struct names names = {0};
    for (size_t i = 0; i < m->safe.count; i++) {
        names_set(&names, m->safe.at[i].name, m->safe.at[i].file);
    }
    for (size_t i = 0; mode != CRASH_DROP && i < m->folder.count; i++) {
        if (vg_rng_unit(rng) < keep) {
            names_apply(&names, m->folder.at[i]);
        }
    }
    return names;
}

void crash_model_image(const struct crash_model *m, enum crash_mode mode, uint64_t seed,
                       const struct crash_op *cut, struct crash_image *out)
{
    /* From nearly nothing to nearly all: a fixed half would seldom lose one write alone. */
    static const double shares[] = {0.1, 0.3, 0.5, 0.7, 0.9, 0.97};
    struct vg_rng rng;
    vg_rng_seed(&rng, seed);
    double keep = shares[vg_rng_below(&rng, sizeof shares / sizeof shares[0])];
    const struct crash_op *torn = mode == CRASH_TEAR ? choose_torn(m, cut, &rng) : NULL;
    struct names names = surviving_names(m, mode, keep, &rng);
    *out = (struct crash_image){names.count, grown(NULL, names.count * sizeof *out->files)};
    for (size_t i = 0; i < names.count; i++) {
        const struct inode *inode = &m->inodes[names.at[i].file - 1];
        struct content c = {0};
        content_put(&c, 0, inode->bytes, inode->size);
        if (mode != CRASH_DROP) {
            add_pending(&c, names.at[i].file, &inode->pending, torn, keep, &rng);
        }
        struct crash_file *f = &out->files[i];
        (void)snprintf(f->name, sizeof f->name, "%s", names.at[i].name);
        f->bytes = c.bytes;
        f->size = c.size;
    }
    free(names.at);
}

void crash_image_done(struct crash_image *image)
{
    for (size_t i = 0; i < image->count; i++) {
        free(image->files[i].bytes);
    }
    free(image->files);
    *image = (struct crash_image){0};
}

bool crash_image_write(const struct crash_image *image, const char *folder)
{
    bool good = true;
    for (size_t i = 0; i < image->count && good; i++) {
        const struct crash_file *f = &image->files[i];
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", folder, f->name);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
        good = fd >= 0 && (f->size == 0 || write(fd, f->bytes, f->size) == (ssize_t)f->size);
        good = fd >= 0 && close(fd) == 0 && good;
    }
    return good;
}
