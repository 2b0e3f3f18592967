/* Open addressing over entries of their own; a removed key keeps its entry, without a value. */
#include "kafka_table.h"

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

struct vgi_kafka_table {
    struct entry **slots;
    size_t room, used;
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

struct vgi_kafka_table *vgi_kafka_table_new(void)
{
    struct vgi_kafka_table *t = calloc(1, sizeof *t);
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

void vgi_kafka_table_free(struct vgi_kafka_table *t)
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

static bool grow(struct vgi_kafka_table *t)
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

enum vg_err vgi_kafka_table_set(struct vgi_kafka_table *t, int32_t partition, struct vg_span key,
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

void vgi_kafka_table_each(const struct vgi_kafka_table *t,
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
