/* What a reload may change, and what stays as it runs. */
#include "conf_value.h"

#include <string.h>

static size_t each_size(const struct vg_conf_each *each)
{
    return each->max * each->element_size;
}

static bool each_is_reloadable(const struct vg_conf_each *each)
{
    for (size_t i = 0; i < each->item_count; i++) {
        if (!each->items[i].reloadable) {
            return false;
        }
    }
    return true;
}

/* Fields are compared as they would be written: bytes behind a text's end mean nothing. */
static bool same_value(const struct vg_conf_item *item, const void *a, const void *b)
{
    char x[VG_CONF_VALUE_MAX + 1], y[VG_CONF_VALUE_MAX + 1];
    vgi_conf_format(item, a, x, sizeof x);
    vgi_conf_format(item, b, y, sizeof y);
    return strcmp(x, y) == 0;
}

static bool same_blocks(const struct vg_conf_each *each, const char *a, const char *b)
{
    size_t count = *(const size_t *)(const void *)(a + each->count_offset);
    if (count != *(const size_t *)(const void *)(b + each->count_offset)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char *x = a + each->array_offset + i * each->element_size;
        const char *y = b + each->array_offset + i * each->element_size;
        if (strcmp(x + each->name_offset, y + each->name_offset) != 0) {
            return false;
        }
        for (size_t k = 0; k < each->item_count; k++) {
            if (!same_value(&each->items[k], x, y)) {
                return false;
            }
        }
    }
    return true;
}

void vg_conf_keep_fixed(const struct vg_conf_table *table, const void *running, void *fresh,
                        void (*changed)(void *arg, const char *name), void *arg)
{
    const char *from = running;
    char *to = fresh;
    for (size_t i = 0; i < table->item_count; i++) {
        const struct vg_conf_item *item = &table->items[i];
        if (item->reloadable || same_value(item, from, to)) {
            continue;
        }
        char name[2 * VG_CONF_SECTION_MAX + 2];
        snprintf(name, sizeof name, "%s.%s", item->section, item->key);
        memcpy(to + item->offset, from + item->offset, vgi_conf_field_size(item));
        changed(arg, name);
    }
    for (size_t i = 0; i < table->each_count; i++) {
        const struct vg_conf_each *each = &table->each[i];
        if (each_is_reloadable(each) || same_blocks(each, from, to)) {
            continue;
        }
        memcpy(to + each->array_offset, from + each->array_offset, each_size(each));
        memcpy(to + each->count_offset, from + each->count_offset, sizeof(size_t));
        changed(arg, each->section);
    }
}
