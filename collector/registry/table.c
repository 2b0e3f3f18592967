/* The table of devices: by name, and by the sensors they speak for.
 *
 *   by_name[hash(name)]       ─► entry ─► entry …            the device itself
 *   by_pattern[hash(pattern)] ─► node ─► node …              each pattern of each device, the star
 * included
 *
 * A sensor is looked up as an exact pattern, then as "prefix*" for each prefix length that occurs,
 * longest first. */
#include "vgi_table.h"

#include "vigia/dlog.h"

#include <stdlib.h>

struct vgi_pattern {
    struct vgi_pattern *next;
    const struct vgi_entry *owner;
    const char *text;
    size_t len;
};

struct vgi_entry {
    struct vgi_entry *next;
    size_t index; /* in all[] */
    struct vg_device *device;
    struct vgi_pattern *nodes; /* pattern_count of them */
};

/* FNV-1a: the keys come from the operator, so no keyed hash is needed. */
static size_t hash(const char *at, size_t len, char last)
{
    uint64_t h = 14695981039346656037ULL;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)at[i]) * 1099511628211ULL;
    }
    if (last != '\0') {
        h = (h ^ (unsigned char)last) * 1099511628211ULL;
    }
    return (size_t)(h ^ (h >> 32));
}

enum vg_err vg_devices_new(size_t max_devices, vg_devices_change_fn *fn, void *arg,
                           struct vg_devices **out)
{
    struct vg_devices *t = calloc(1, sizeof(*t));
    size_t buckets = 64;

    if (t == NULL) {
        return VG_E_NOMEM;
    }
    while (buckets < 2 * max_devices) {
        buckets *= 2;
    }
    t->max = max_devices;
    t->mask = buckets - 1;
    t->fn = fn;
    t->arg = arg;
    t->by_name = calloc(buckets, sizeof(struct vgi_entry *));
    t->by_pattern = calloc(buckets, sizeof(struct vgi_pattern *));
    t->all = calloc(max_devices + 1, sizeof(struct vgi_entry *));
    t->scratch = vg_device_new();
    if (t->by_name == NULL || t->by_pattern == NULL || t->all == NULL || t->scratch == NULL) {
        vg_devices_free(t);
        return VG_E_NOMEM;
    }
    *out = t;
    return VG_OK;
}

static void free_entry(struct vgi_entry *e)
{
    if (e != NULL) {
        free(e->device);
        free(e->nodes);
        free(e);
    }
}

void vg_devices_free(struct vg_devices *t)
{
    if (t == NULL) {
        return;
    }
    vg_dlog_view_close(t->view);
    for (size_t i = 0; i < t->count; i++) {
        free_entry(t->all[i]);
    }
    free(t->by_name);
    free(t->by_pattern);
    free(t->all);
    free(t->scratch);
    free(t);
}

static struct vgi_entry **find_slot(const struct vg_devices *t, struct vg_span name)
{
    struct vgi_entry **slot = &t->by_name[hash(name.at, name.len, '\0') & t->mask];
    while (*slot != NULL && !vg_span_eq(vg_span_str((*slot)->device->name), name)) {
        slot = &(*slot)->next;
    }
    return slot;
}

static void index_patterns(struct vg_devices *t, struct vgi_entry *e)
{
    for (size_t i = 0; i < e->device->pattern_count; i++) {
        struct vgi_pattern *node = &e->nodes[i];
        node->owner = e;
        node->text = e->device->patterns[i];
        node->len = strlen(node->text);
        struct vgi_pattern **slot = &t->by_pattern[hash(node->text, node->len, '\0') & t->mask];
        node->next = *slot;
        *slot = node;
        if (node->text[node->len - 1] == '*') {
            t->prefixes[node->len - 1]++;
        }
    }
}

static void unindex_patterns(struct vg_devices *t, struct vgi_entry *e)
{
    for (size_t i = 0; i < e->device->pattern_count; i++) {
        struct vgi_pattern *node = &e->nodes[i];
        struct vgi_pattern **slot = &t->by_pattern[hash(node->text, node->len, '\0') & t->mask];
        while (*slot != node) {
            slot = &(*slot)->next;
        }
        *slot = node->next;
        if (node->text[node->len - 1] == '*') {
            t->prefixes[node->len - 1]--;
        }
    }
}

static struct vgi_entry *new_entry(const struct vg_device *from)
{
    size_t size = sizeof(*from) + from->pattern_count * sizeof(from->patterns[0]);
    struct vgi_entry *e = calloc(1, sizeof(*e));

    if (e == NULL) {
        return NULL;
    }
    e->device = malloc(size);
    e->nodes = calloc(from->pattern_count + 1, sizeof(*e->nodes));
    if (e->device == NULL || e->nodes == NULL) {
        free_entry(e);
        return NULL;
    }
    memcpy(e->device, from, size);
    return e;
}

/* The entry leaves the table; the callback still sees its name. */
static void remove_entry(struct vg_devices *t, struct vgi_entry **slot, bool tell)
{
    struct vgi_entry *e = *slot;

    *slot = e->next;
    unindex_patterns(t, e);
    t->all[e->index] = t->all[--t->count];
    t->all[e->index]->index = e->index;
    if (tell && t->fn != NULL) {
        t->fn(t->arg, e->device->name, NULL);
    }
    free_entry(e);
}

/* An entry that cannot be used makes its device unknown. */
static void refuse(struct vg_devices *t, struct vg_span name)
{
    struct vgi_entry **slot = find_slot(t, name);

    t->refused++;
    if (*slot != NULL) {
        remove_entry(t, slot, true);
    }
}

static enum vg_err store(struct vg_devices *t, const struct vg_device *device, struct vg_error *err)
{
    struct vg_span name = vg_span_str(device->name);
    struct vgi_entry **slot = find_slot(t, name);
    struct vgi_entry *e = NULL;

    if (*slot == NULL && t->count == t->max) {
        t->refused++;
        return vg_fail(err, VG_E_FULL, "device %s: more than %zu devices", device->name, t->max);
    }
    e = new_entry(device);
    if (e == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for device %s", device->name);
    }
    if (*slot != NULL) {
        remove_entry(t, slot, false);
    }
    slot = &t->by_name[hash(name.at, name.len, '\0') & t->mask];
    e->next = *slot;
    *slot = e;
    e->index = t->count;
    t->all[t->count++] = e;
    index_patterns(t, e);
    if (t->fn != NULL) {
        t->fn(t->arg, e->device->name, e->device);
    }
    return VG_OK;
}

enum vg_err vg_devices_apply(struct vg_devices *t, struct vg_span key, struct vg_span value,
                             struct vg_error *err)
{
    if (value.len == 0) {
        struct vgi_entry **slot = find_slot(t, key);
        if (*slot != NULL) {
            remove_entry(t, slot, true);
        }
        return VG_OK;
    }
    t->scratch->pattern_count = 0;
    enum vg_err rc = vg_device_decode(value, t->scratch, err);
    if (rc == VG_OK && !vg_span_eq(vg_span_str(t->scratch->name), key)) {
        rc = vg_fail(err, VG_E_INVALID, "device entry of '%s' under the key '%.*s'",
                     t->scratch->name,
                     (int)(key.len > VG_DEVICE_NAME_MAX ? VG_DEVICE_NAME_MAX : key.len), key.at);
    }
    if (rc == VG_OK) {
        return store(t, t->scratch, err);
    }
    if (rc != VG_E_NOMEM && rc != VG_E_VERSION) {
        refuse(t, key);
    }
    return rc;
}

size_t vg_devices_count(const struct vg_devices *t)
{
    return t->count;
}

uint64_t vg_devices_refused(const struct vg_devices *t)
{
    return t->refused;
}

const struct vg_device *vg_devices_find(const struct vg_devices *t, struct vg_span name)
{
    struct vgi_entry **slot = find_slot(t, name);
    return *slot == NULL ? NULL : (*slot)->device;
}

/* The best active owner of one pattern: `at` for `len` bytes, then `last` unless NUL. */
static const struct vg_device *find_pattern(const struct vg_devices *t, const char *at, size_t len,
                                            char last)
{
    const struct vg_device *best = NULL;
    size_t whole = len + (last != '\0' ? 1 : 0);

    for (const struct vgi_pattern *n = t->by_pattern[hash(at, len, last) & t->mask]; n != NULL;
         n = n->next) {
        const struct vg_device *d = n->owner->device;
        if (n->len != whole || memcmp(n->text, at, len) != 0 ||
            (last != '\0' && n->text[len] != last) || d->state != VG_DEVICE_ACTIVE) {
            continue;
        }
        /* 0 means unsupervised: any period is stricter. */
        if (best == NULL ||
            (d->period_ms != 0 && (best->period_ms == 0 || d->period_ms < best->period_ms))) {
            best = d;
        }
    }
    return best;
}

const struct vg_device *vg_devices_find_sensor(const struct vg_devices *t, struct vg_span sensor)
{
    const struct vg_device *found = vg_devices_find(t, sensor);

    if (found != NULL && found->state == VG_DEVICE_ACTIVE) {
        return found;
    }
    found = find_pattern(t, sensor.at, sensor.len, '\0');
    /* The star stands for at least one character: no prefix is as long as the sensor. */
    size_t shorter =
        sensor.len < VG_DEVICE_PATTERN_MAX ? sensor.len : (size_t)VG_DEVICE_PATTERN_MAX;
    for (size_t len = shorter; found == NULL && len-- > 0;) {
        if (t->prefixes[len] > 0) {
            found = find_pattern(t, sensor.at, len, '*');
        }
    }
    return found;
}

const struct vg_device *vg_devices_next(const struct vg_devices *t, size_t *cursor)
{
    return *cursor < t->count ? t->all[(*cursor)++]->device : NULL;
}
