/* Open addressing over entries of their own; a removed key keeps its entry, without a value. */
#include "newest.h"

#include <stdbool.h>
#include <stdlib.h>

#define FIRST_ROOM 1024 /* a power of two, as every room after it */

struct entry {
    uint64_t hash;
    int32_t partition;
    bool present;
    size_t key_len, value_len;
    char bytes[]; /* key, value */
};

struct vgi_newest {
    struct entry **slots;
    size_t room, used;
    size_t bytes;
};

/* FNV-1a, 64 bits. */
static uint64_t hash_of(int32_t partition, struct vg_span key)
{
    uint64_t h = 14695981039346656037ULL ^ (uint64_t)(uint32_t)partition;
    for (size_t i = 0; i < key.len; i++) {
        h = (h ^ (unsigned char)key.at[i]) * 1099511628211ULL;
    }
    return h ^ (h >> 32);
}

struct vgi_newest *vgi_newest_new(void)
{
    struct vgi_newest *t = calloc(1, sizeof *t);
    if (t != NULL) {
        t->room = FIRST_ROOM;
        t->slots = calloc(t->room, sizeof(struct entry *));
        if (t->slots == NULL) {
            free(t);
            return NULL;
        }
    }
    return t;
}

void vgi_newest_free(struct vgi_newest *t)
{
    if (t != NULL) {
        for (size_t i = 0; i < t->room; i++) {
            free(t->slots[i]);
        }
        free(t->slots);
        free(t);
    }
}

static struct entry **find(struct entry **slots, size_t room, uint64_t hash, int32_t partition,
                           struct vg_span key)
{
    for (size_t i = (size_t)hash & (room - 1);; i = (i + 1) & (room - 1)) {
        const struct entry *e = slots[i];
        if (e == NULL || (e->hash == hash && e->partition == partition &&
                          vg_span_eq(vg_span(e->bytes, e->key_len), key))) {
            return &slots[i];
        }
    }
}

static bool grow(struct vgi_newest *t)
{
    const size_t room = t->room * 2;
    struct entry **slots = calloc(room, sizeof(struct entry *));
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < t->room; i++) {
        struct entry *e = t->slots[i];
        if (e != NULL) {
            *find(slots, room, e->hash, e->partition, vg_span(e->bytes, e->key_len)) = e;
        }
    }
    free(t->slots);
    t->slots = slots;
    t->room = room;
    return true;
}

enum vg_err vgi_newest_set(struct vgi_newest *t, int32_t partition, struct vg_span key,
                           struct vg_span value)
{
    if (t->used * 4 >= t->room * 3 && !grow(t)) {
        return VG_E_NOMEM;
    }
    const uint64_t hash = hash_of(partition, key);
    struct entry **at = find(t->slots, t->room, hash, partition, key);
    struct entry *e = *at;
    if (value.at == NULL) {
        if (e != NULL) {
            e->present = false;
        }
        return VG_OK;
    }
    t->bytes += e == NULL ? sizeof *e + key.len + value.len : value.len - e->value_len;
    if (e == NULL || e->value_len < value.len) {
        e = realloc(e, sizeof *e + key.len + value.len);
        if (e == NULL) {
            return VG_E_NOMEM;
        }
        t->used += *at == NULL;
        *at = e;
        *e = (struct entry){.hash = hash, .partition = partition, .key_len = key.len};
        memcpy(e->bytes, key.at, key.len);
    }
    e->present = true;
    e->value_len = value.len;
    memcpy(e->bytes + key.len, value.at, value.len);
    return VG_OK;
}

void vgi_newest_each(const struct vgi_newest *t,
                     void (*fn)(void *arg, int32_t partition, struct vg_span key,
                                struct vg_span value),
                     void *arg)
{
    for (size_t i = 0; i < t->room; i++) {
        const struct entry *e = t->slots[i];
        if (e != NULL && e->present) {
            fn(arg, e->partition, vg_span(e->bytes, e->key_len),
               vg_span(e->bytes + e->key_len, e->value_len));
        }
    }
}

size_t vgi_newest_bytes(const struct vgi_newest *t)
{
    return t->bytes;
}

static int by_key(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;
    const size_t common = x->key_len < y->key_len ? x->key_len : y->key_len;
    const int order = memcmp(x->bytes, y->bytes, common);
    if (order != 0 || x->key_len != y->key_len) {
        return order != 0 ? order : x->key_len < y->key_len ? -1 : 1;
    }
    return (x->partition > y->partition) - (x->partition < y->partition);
}

enum vg_err vgi_newest_each_in_order(const struct vgi_newest *t,
                                     void (*fn)(void *arg, int32_t partition, struct vg_span key,
                                                struct vg_span value),
                                     void *arg)
{
    const struct entry **sorted = calloc(t->used + 1, sizeof(const struct entry *));
    size_t n = 0;
    if (sorted == NULL) {
        return VG_E_NOMEM;
    }
    for (size_t i = 0; i < t->room; i++) {
        if (t->slots[i] != NULL && t->slots[i]->present) {
            sorted[n++] = t->slots[i];
        }
    }
    qsort(sorted, n, sizeof(const struct entry *), by_key);
    for (size_t i = 0; i < n; i++) {
        fn(arg, sorted[i]->partition, vg_span(sorted[i]->bytes, sorted[i]->key_len),
           vg_span(sorted[i]->bytes + sorted[i]->key_len, sorted[i]->value_len));
    }
    free(sorted);
    return VG_OK;
}
