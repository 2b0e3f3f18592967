/* Where each value of a load came from, for errors that are found only when it is used: a port in
 * use, a file that is not there. */
#include "conf_load.h"

#include <stdlib.h>
#include <string.h>

struct vg_conf_origins *vgi_conf_origins_new(const struct vg_conf_table *table)
{
    size_t slots = table->item_count + 1, blocks = 1;
    for (size_t i = 0; i < table->each_count; i++) {
        slots += table->each[i].max * table->each[i].item_count;
        blocks += table->each[i].max;
    }
    struct vg_conf_origins *o = calloc(1, sizeof *o);
    if (o == NULL) {
        return NULL;
    }
    o->table = table;
    o->seen = calloc(slots, sizeof *o->seen);
    o->names = calloc(blocks, sizeof *o->names);
    if (o->seen == NULL || o->names == NULL) {
        vg_conf_origins_free(o);
        return NULL;
    }
    return o;
}

void vg_conf_origins_free(struct vg_conf_origins *o)
{
    if (o == NULL) {
        return;
    }
    size_t at = 0;
    for (size_t i = 0; o->names != NULL && i < o->table->each_count; i++) {
        for (size_t k = 0; k < o->table->each[i].max; k++) {
            free(o->names[at++]);
        }
    }
    for (size_t i = 0; i <= VGI_INCLUDES_MAX; i++) {
        free(o->files[i]);
    }
    free(o->names);
    free(o->seen);
    free(o);
}

bool vgi_conf_origins_file(struct vg_conf_origins *o, size_t at, const char *path)
{
    char shown[VGI_PLACE_MAX];
    snprintf(shown, sizeof shown, "%s%s", vgi_conf_dots(path), vgi_conf_path_end(path));
    free(o->files[at]);
    o->files[at] = strdup(shown);
    return o->files[at] != NULL;
}

static size_t first_block(const struct vg_conf_origins *o, const struct vg_conf_each *each)
{
    size_t at = 0;
    for (const struct vg_conf_each *e = o->table->each; e != each; e++) {
        at += e->max;
    }
    return at;
}

bool vgi_conf_origins_block(struct vg_conf_origins *o, const struct vg_conf_each *each,
                            size_t block, const char *name)
{
    char **to = &o->names[first_block(o, each) + block];
    free(*to);
    *to = strdup(name);
    return *to != NULL;
}

int *vgi_conf_origins_seen(const struct vg_conf_origins *o, const struct vg_conf_each *each,
                           size_t block)
{
    size_t at = o->table->item_count;
    for (const struct vg_conf_each *e = o->table->each; e != each; e++) {
        at += e->max * e->item_count;
    }
    return o->seen + at + block * each->item_count;
}

/* --- from a key to its place --- */

struct slot {
    const struct vg_conf_item *item;
    int seen;
};

static bool find_in_blocks(const struct vg_conf_origins *o, const char *section, const char *key,
                           struct slot *out)
{
    for (size_t i = 0; i < o->table->each_count; i++) {
        const struct vg_conf_each *each = &o->table->each[i];
        size_t word = strlen(each->section);
        if (strncmp(section, each->section, word) != 0 || section[word] != ' ') {
            continue;
        }
        for (size_t block = 0; block < each->max; block++) {
            const char *name = o->names[first_block(o, each) + block];
            for (size_t k = 0; name != NULL && k < each->item_count; k++) {
                if (strcmp(section + word + 1, name) == 0 && strcmp(key, each->items[k].key) == 0) {
                    out->item = &each->items[k];
                    out->seen = vgi_conf_origins_seen(o, each, block)[k];
                    return true;
                }
            }
        }
    }
    return false;
}

static bool find(const struct vg_conf_origins *o, const char *section, const char *key,
                 struct slot *out)
{
    for (size_t i = 0; i < o->table->item_count; i++) {
        const struct vg_conf_item *item = &o->table->items[i];
        if (strcmp(item->section, section) == 0 && strcmp(item->key, key) == 0) {
            *out = (struct slot){item, o->seen[i]};
            return true;
        }
    }
    return find_in_blocks(o, section, key, out);
}

static const char *main_file(const struct vg_conf_origins *o)
{
    return o->files[0] == NULL ? "no configuration file" : o->files[0];
}

static void tell(const struct vg_conf_origins *o, const char *section, const struct slot *slot,
                 char place[VG_CONF_PLACE_MAX])
{
    char env[VGI_ENV_NAME_MAX];
    size_t file = slot->seen > 0 ? (size_t)(slot->seen / SEEN_INCLUDED) : 0;
    if (slot->seen == SEEN_ENVIRONMENT) {
        vgi_conf_env_name(section, slot->item->key, env);
        snprintf(place, VG_CONF_PLACE_MAX, "environment %s", env);
    } else if (slot->seen == SEEN_SET) {
        snprintf(place, VG_CONF_PLACE_MAX, "--set");
    } else if (slot->seen > 0 && file <= o->included) {
        snprintf(place, VG_CONF_PLACE_MAX, "%s:%d", o->files[file], slot->seen % SEEN_INCLUDED);
    } else {
        bool has_default = slot->item->fallback != NULL && slot->item->fallback[0] != '\0';
        snprintf(place, VG_CONF_PLACE_MAX, "%s%s", main_file(o), has_default ? " (default)" : "");
    }
}

bool vg_conf_where(const struct vg_conf_origins *o, const char *key, char place[VG_CONF_PLACE_MAX])
{
    char section[2 * VG_CONF_SECTION_MAX];
    const char *dot = strrchr(key, '.');
    struct slot slot;
    place[0] = '\0';
    if (dot == NULL || (size_t)(dot - key) >= sizeof section) {
        return false;
    }
    snprintf(section, sizeof section, "%.*s", (int)(dot - key), key);
    if (!find(o, section, dot + 1, &slot)) {
        return false;
    }
    tell(o, section, &slot, place);
    return true;
}

void vg_conf_locate(const struct vg_conf_origins *o, struct vg_error *err)
{
    char key[2 * VG_CONF_SECTION_MAX + VG_CONF_SECTION_MAX], place[VG_CONF_PLACE_MAX];
    const char *end = strstr(err->text, ": ");
    if (o == NULL || end == NULL || (size_t)(end - err->text) >= sizeof key) {
        return;
    }
    snprintf(key, sizeof key, "%.*s", (int)(end - err->text), err->text);
    if (key[0] == '[') {
        snprintf(place, sizeof place, "%s", main_file(o));
    } else if (!vg_conf_where(o, key, place)) {
        return;
    }
    vg_err_prefix(err, place);
}
