/* Loading configuration: default -> file -> environment -> command line, into one object.
 * The first error ends the load. */
#include "conf_load.h"
#include "conf_value.h"
#include "vigia/span.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *file_or_none(const struct load *load, char *place)
{
    if (load->file == NULL) {
        return "no configuration file";
    }
    snprintf(place, VGI_PLACE_MAX, "%s%s", vgi_conf_dots(load->shown_file),
             vgi_conf_path_end(load->shown_file));
    return place;
}

/* --- sections --- */

static size_t *count_of(const struct vg_conf_each *each, void *object)
{
    return (size_t *)(void *)((char *)object + each->count_offset);
}

static struct scope scope_of_block(const struct load *load, const struct vg_conf_each *each,
                                   size_t block, const char *section)
{
    return (struct scope){
        .section = section,
        .each = each,
        .items = each->items,
        .count = each->item_count,
        .object = load->object + each->array_offset + block * each->element_size,
        .seen = vgi_conf_origins_seen(load->origins, each, block),
    };
}

static bool has_section(const struct vg_conf_table *table, const char *section)
{
    for (size_t i = 0; i < table->item_count; i++) {
        if (strcmp(table->items[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

static enum vg_err unknown_section(const struct load *load, const char *place, const char *section)
{
    char known[VG_ERROR_TEXT_MAX] = "";
    size_t at = 0;
    const char *last = "";
    for (size_t i = 0; i < load->table->item_count && at < sizeof known; i++) {
        const char *name = load->table->items[i].section;
        if (strcmp(name, last) != 0) {
            at += (size_t)snprintf(known + at, sizeof known - at, " [%s]", name);
            last = name;
        }
    }
    for (size_t i = 0; i < load->table->each_count && at < sizeof known; i++) {
        at += (size_t)snprintf(known + at, sizeof known - at, " [%s NAME]",
                               load->table->each[i].section);
    }
    return vg_fail(load->err, VG_E_INVALID, "%s: [%s]: unknown section, accepted:%s", place,
                   section, known);
}

static enum vg_err apply_defaults(const struct load *load, const struct scope *to)
{
    const char *folder = load->file == NULL ? load->work_folder : load->file_folder;
    for (size_t i = 0; i < to->count; i++) {
        struct vg_error why;
        const struct vg_conf_item *item = &to->items[i];
        if (item->fallback != NULL &&
            vgi_conf_parse(item, item->fallback, folder, to->object, &why) != VG_OK) {
            return vg_fail(load->err, why.code, "default: %s.%s: %s", to->section, item->key,
                           why.text);
        }
    }
    return VG_OK;
}

static bool name_is_valid(const char *name)
{
    if (name[0] == '\0') {
        return false;
    }
    for (; *name != '\0'; name++) {
        unsigned char c = (unsigned char)*name;
        if (c >= 0x80 || (!isalnum(c) && strchr("._-:@/*+", c) == NULL)) {
            return false;
        }
    }
    return true;
}

/* Finds or makes the block "[section NAME]". */
static enum vg_err open_block(const struct load *load, const struct vg_conf_each *each,
                              const char *place, const char *section, const char *name,
                              struct scope *out)
{
    size_t *count = count_of(each, load->object);
    for (size_t i = 0; i < *count; i++) {
        struct scope s = scope_of_block(load, each, i, section);
        if (strcmp(s.object + each->name_offset, name) == 0) {
            *out = s;
            return VG_OK;
        }
    }
    if (!name_is_valid(name) || strlen(name) >= each->name_size) {
        return vg_fail(load->err, VG_E_INVALID,
                       "%s: [%s]: accepted: [%s NAME], NAME of 1 to %zu letters, digits and "
                       "._-:@/*+",
                       place, section, each->section, each->name_size - 1);
    }
    if (*count == each->max) {
        return vg_fail(load->err, VG_E_RANGE, "%s: [%s]: one more than accepted: %zu of [%s NAME]",
                       place, section, each->max, each->section);
    }
    struct scope s = scope_of_block(load, each, *count, section);
    (void)vg_str_copy(name, s.object + each->name_offset, each->name_size);
    enum vg_err code = vgi_conf_origins_block(load->origins, each, *count, name)
                           ? apply_defaults(load, &s)
                           : vg_fail(load->err, VG_E_NOMEM, "no memory for [%s]", section);
    if (code == VG_OK) {
        ++*count;
        *out = s;
    }
    return code;
}

enum vg_err vgi_conf_open_section(const struct load *load, const char *place, const char *section,
                                  struct scope *out)
{
    if (has_section(load->table, section)) {
        *out = (struct scope){.section = section,
                              .items = load->table->items,
                              .count = load->table->item_count,
                              .object = load->object,
                              .seen = load->origins->seen};
        return VG_OK;
    }
    size_t word = strcspn(section, " \t");
    const char *name = section + word + strspn(section + word, " \t");
    for (size_t i = 0; i < load->table->each_count; i++) {
        const struct vg_conf_each *each = &load->table->each[i];
        if (vg_span_eq(vg_span(section, word), vg_span_str(each->section))) {
            return open_block(load, each, place, section, name, out);
        }
    }
    return unknown_section(load, place, section);
}

/* --- values --- */

static enum vg_err unknown_key(const struct load *load, const struct scope *scope,
                               const char *place, const char *key)
{
    char known[VG_ERROR_TEXT_MAX] = "";
    size_t at = 0;
    for (size_t i = 0; i < scope->count && at < sizeof known; i++) {
        if (scope->each != NULL || strcmp(scope->items[i].section, scope->section) == 0) {
            at += (size_t)snprintf(known + at, sizeof known - at, " %s", scope->items[i].key);
        }
    }
    return vg_fail(load->err, VG_E_INVALID, "%s: %s.%s: unknown key, accepted:%s", place,
                   scope->section, key, known);
}

enum vg_err vgi_conf_set_value(const struct load *load, const struct scope *scope,
                               const char *place, const char *key, const char *value, int line)
{
    const char *folder = line > 0 ? load->file_folder : load->work_folder;
    for (size_t i = 0; i < scope->count; i++) {
        const struct vg_conf_item *item = &scope->items[i];
        if (strcmp(item->key, key) != 0 ||
            (scope->each == NULL && strcmp(item->section, scope->section) != 0)) {
            continue;
        }
        if (line > 0 && scope->seen[i] > 0) {
            bool included = scope->seen[i] >= SEEN_INCLUDED;
            return vg_fail(load->err, VG_E_INVALID, "%s: %s.%s: given again, first in line %d%s",
                           place, scope->section, key, scope->seen[i] % SEEN_INCLUDED,
                           included ? " of the included file" : "");
        }
        struct vg_error why;
        if (vgi_conf_parse(item, value, folder, scope->object, &why) != VG_OK) {
            return vg_fail(load->err, why.code, "%s: %s.%s: %s", place, scope->section, key,
                           why.text);
        }
        scope->seen[i] = line;
        return VG_OK;
    }
    return unknown_key(load, scope, place, key);
}

/* --- environment and command line --- */

void vgi_conf_env_name(const char *section, const char *key, char out[VGI_ENV_NAME_MAX])
{
    int len = snprintf(out, VGI_ENV_NAME_MAX, "VIGIA_%s_%s", section, key);
    for (int i = 0; i < len && out[i] != '\0'; i++) {
        unsigned char c = (unsigned char)out[i];
        out[i] = c < 0x80 && isalnum(c) ? (char)toupper(c) : '_';
    }
}

static enum vg_err apply_environment_to(const struct load *load, const struct scope *scope)
{
    for (size_t i = 0; i < scope->count; i++) {
        char name[VGI_ENV_NAME_MAX], place[VGI_PLACE_MAX];
        struct scope one = *scope;
        if (scope->each == NULL) {
            one.section = scope->items[i].section;
        }
        vgi_conf_env_name(one.section, scope->items[i].key, name);
        const char *value = getenv(name);
        if (value == NULL) {
            continue;
        }
        snprintf(place, sizeof place, "environment %s", name);
        enum vg_err code =
            vgi_conf_set_value(load, &one, place, scope->items[i].key, value, SEEN_ENVIRONMENT);
        if (code != VG_OK) {
            return code;
        }
    }
    return VG_OK;
}

/* Calls `fn` for the plain items and for every block. */
static enum vg_err for_each_scope(const struct load *load,
                                  enum vg_err (*fn)(const struct load *, const struct scope *))
{
    struct scope plain = {.section = "",
                          .items = load->table->items,
                          .count = load->table->item_count,
                          .object = load->object,
                          .seen = load->origins->seen};
    enum vg_err code = fn(load, &plain);
    for (size_t e = 0; e < load->table->each_count; e++) {
        const struct vg_conf_each *each = &load->table->each[e];
        for (size_t i = 0; code == VG_OK && i < *count_of(each, load->object); i++) {
            char section[2 * VG_CONF_SECTION_MAX];
            struct scope s = scope_of_block(load, each, i, section);
            snprintf(section, sizeof section, "%s %s", each->section, s.object + each->name_offset);
            code = fn(load, &s);
        }
    }
    return code;
}

static enum vg_err apply_set(const struct load *load, const char *set)
{
    char section[VG_CONF_SECTION_MAX + 1], key[VG_CONF_SECTION_MAX + 1];
    const char *equals = strchr(set, '=');
    const char *dot = equals == NULL ? NULL : memrchr(set, '.', (size_t)(equals - set));
    if (dot == NULL || !vg_span_copy(vg_span(set, (size_t)(dot - set)), section, sizeof section) ||
        !vg_span_copy(vg_span(dot + 1, (size_t)(equals - dot - 1)), key, sizeof key)) {
        return vg_fail(load->err, VG_E_INVALID, "--set: '%.*s': accepted: section.key=value",
                       (int)strcspn(set, "="), set);
    }
    struct scope scope = {0};
    enum vg_err code = vgi_conf_open_section(load, "--set", section, &scope);
    return code != VG_OK ? code
                         : vgi_conf_set_value(load, &scope, "--set", key, equals + 1, SEEN_SET);
}

static enum vg_err check_required(const struct load *load, const struct scope *scope)
{
    for (size_t i = 0; i < scope->count; i++) {
        const struct vg_conf_item *item = &scope->items[i];
        if (item->fallback == NULL && scope->seen[i] == SEEN_NOWHERE) {
            char accepted[VGI_CONF_TEXT_MAX], place[VGI_PLACE_MAX];
            vgi_conf_accepted(item, accepted, sizeof accepted);
            return vg_fail(load->err, VG_E_NOTFOUND, "%s: %s.%s: missing, accepted: %s",
                           file_or_none(load, place),
                           scope->each == NULL ? item->section : scope->section, item->key,
                           accepted);
        }
    }
    return VG_OK;
}

/* --- loading --- */

static enum vg_err open_file(struct load *load, const struct vg_conf_sources *from)
{
    if (getcwd(load->work_folder, sizeof load->work_folder) == NULL) {
        return vg_fail(load->err, VG_E_IO, "the working directory cannot be named: %s",
                       strerror(errno));
    }
    if (strcmp(load->work_folder, "/") == 0) {
        load->work_folder[0] = '\0';
    }
    if (from->file == NULL) {
        return VG_OK;
    }
    load->shown_file = from->file;
    if (!vgi_conf_origins_file(load->origins, 0, from->file)) {
        return vg_fail(load->err, VG_E_NOMEM, "no memory to load the configuration");
    }
    load->file = fopen(from->file, "re");
    if (load->file == NULL) {
        if (errno == ENOENT && from->file_optional) {
            return VG_OK;
        }
        return vg_fail(load->err, errno == ENOENT ? VG_E_NOTFOUND : VG_E_IO,
                       "%s%s: cannot be opened: %s", vgi_conf_dots(from->file),
                       vgi_conf_path_end(from->file), strerror(errno));
    }
    const char *slash = strrchr(from->file, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - from->file);
    bool absolute = from->file[0] == '/';
    int made = snprintf(load->file_folder, sizeof load->file_folder, "%s%s%.*s",
                        absolute ? "" : load->work_folder, absolute || len == 0 ? "" : "/",
                        (int)len, from->file);
    if (made < 0 || (size_t)made >= sizeof load->file_folder) {
        return vg_fail(load->err, VG_E_RANGE, "…%s: the path is too long",
                       vgi_conf_path_end(from->file));
    }
    return VG_OK;
}

static enum vg_err load_all(struct load *load, const struct vg_conf_sources *from)
{
    struct scope plain = {.section = "default",
                          .items = load->table->items,
                          .count = load->table->item_count,
                          .object = load->object};
    enum vg_err code = open_file(load, from);
    if (code == VG_OK) {
        code = apply_defaults(load, &plain);
    }
    if (code == VG_OK && load->file != NULL) {
        code = vgi_conf_read_file(load);
    }
    if (code == VG_OK && !from->ignore_environment) {
        code = for_each_scope(load, apply_environment_to);
    }
    for (size_t i = 0; code == VG_OK && i < from->set_count; i++) {
        code = apply_set(load, from->sets[i]);
    }
    return code == VG_OK && !from->allow_missing ? for_each_scope(load, check_required) : code;
}

enum vg_err vg_conf_load_traced(const struct vg_conf_table *table,
                                const struct vg_conf_sources *from, void *object,
                                struct vg_conf_origins **origins, struct vg_error *err)
{
    struct load *load = calloc(1, sizeof *load);
    struct vg_conf_origins *o = vgi_conf_origins_new(table);
    *origins = NULL;
    if (load == NULL || o == NULL) {
        free(load);
        vg_conf_origins_free(o);
        return vg_fail(err, VG_E_NOMEM, "no memory to load the configuration");
    }
    memset(object, 0, table->object_size);
    *load = (struct load){.table = table,
                          .object = object,
                          .err = err,
                          .self_contained = from->self_contained,
                          .origins = o};
    enum vg_err code = load_all(load, from);
    if (load->file != NULL) {
        fclose(load->file);
    }
    free(load);
    *origins = o;
    return code;
}

enum vg_err vg_conf_load(const struct vg_conf_table *table, const struct vg_conf_sources *from,
                         void *object, struct vg_error *err)
{
    struct vg_conf_origins *origins;
    enum vg_err code = vg_conf_load_traced(table, from, object, &origins, err);
    vg_conf_origins_free(origins);
    return code;
}
