/* What is printed from a configuration table: a file, the help, the manual's section. */
#include "conf_value.h"

#include <string.h>

/* Column at which a comment or a help text is wrapped. */
#define WRAP_COLUMN 96

static const char *type_name(const struct vg_conf_item *item)
{
    static const char *const names[] = {
        [VG_CONF_T_INT] = "number",  [VG_CONF_T_DOUBLE] = "number",     [VG_CONF_T_BOOL] = "switch",
        [VG_CONF_T_SIZE] = "size",   [VG_CONF_T_DURATION] = "duration", [VG_CONF_T_ENUM] = "choice",
        [VG_CONF_T_STRING] = "text", [VG_CONF_T_PATH] = "path",
    };
    return names[item->type];
}

/* Words of `text`, each line starting with `prefix`. */
static void print_wrapped(FILE *to, const char *prefix, const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column == 0 || column + 1 + word > WRAP_COLUMN) {
            fprintf(to, "%s%s", column == 0 ? "" : "\n", prefix);
            column = strlen(prefix);
        } else {
            fputc(' ', to);
            column++;
        }
        fprintf(to, "%.*s", (int)word, text);
        column += word;
        text += word + strspn(text + word, " ");
    }
    fputc('\n', to);
}

/* "number, 1 to 64 readings/s, default 10, reloadable" */
static void facts(const struct vg_conf_item *item, char *out, size_t size)
{
    char accepted[VGI_CONF_TEXT_MAX];
    vgi_conf_accepted(item, accepted, sizeof accepted);
    const char *def = item->fallback == NULL      ? "required"
                      : item->fallback[0] == '\0' ? "empty by default"
                                                  : "default ";
    snprintf(out, size, "%s: %s; %s%s%s%s", type_name(item), accepted, def,
             item->fallback == NULL ? "" : item->fallback, item->reloadable ? "; reloadable" : "",
             item->secret ? "; secret" : "");
}

/* --- dump --- */

static void dump_item(FILE *to, const struct vg_conf_item *item, const void *object)
{
    char text[VG_CONF_VALUE_MAX + 1], line[VG_CONF_VALUE_MAX + VGI_CONF_TEXT_MAX];
    print_wrapped(to, "# ", item->help);
    facts(item, line, sizeof line);
    print_wrapped(to, "# ", line);
    if (object == NULL) {
        fprintf(to, "%s%s = %s\n\n", item->fallback == NULL ? "# " : "", item->key,
                item->fallback == NULL ? "" : item->fallback);
        return;
    }
    if (item->secret) {
        fprintf(to, "# %s is a secret and not shown\n\n", item->key);
        return;
    }
    vgi_conf_format(item, object, text, sizeof text);
    /* A required text that is empty was allowed to be missing: as a line it would be refused. */
    bool missing = item->fallback == NULL && text[0] == '\0';
    fprintf(to, "%s%s = %s\n\n", missing ? "# " : "", item->key, text);
}

static void dump_blocks(FILE *to, const struct vg_conf_each *each, const char *object)
{
    print_wrapped(to, "# ", each->help == NULL ? "" : each->help);
    fprintf(to, "# At most %zu.\n", each->max);
    if (object == NULL) {
        fprintf(to, "# [%s NAME]\n", each->section);
        for (size_t i = 0; i < each->item_count; i++) {
            fprintf(to, "# %s = %s\n", each->items[i].key,
                    each->items[i].fallback == NULL ? "" : each->items[i].fallback);
        }
        fputc('\n', to);
        return;
    }
    size_t count = *(const size_t *)(const void *)(object + each->count_offset);
    for (size_t i = 0; i < count; i++) {
        const char *element = object + each->array_offset + i * each->element_size;
        fprintf(to, "[%s %s]\n", each->section, element + each->name_offset);
        for (size_t k = 0; k < each->item_count; k++) {
            dump_item(to, &each->items[k], element);
        }
    }
}

/* True for the first item of its section; sections are printed where they first appear, whole. */
static bool opens_section(const struct vg_conf_table *table, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(table->items[i].section, table->items[at].section) == 0) {
            return false;
        }
    }
    return true;
}

typedef void item_fn(FILE *to, const struct vg_conf_item *item, const void *object);

static void print_sections(const struct vg_conf_table *table, FILE *to, const char *before,
                           const char *after, item_fn *fn, const void *object)
{
    for (size_t first = 0; first < table->item_count; first++) {
        if (!opens_section(table, first)) {
            continue;
        }
        fprintf(to, "%s[%s]%s", before, table->items[first].section, after);
        for (size_t i = first; i < table->item_count; i++) {
            if (strcmp(table->items[i].section, table->items[first].section) == 0) {
                fn(to, &table->items[i], object);
            }
        }
    }
}

void vg_conf_dump(const struct vg_conf_table *table, const void *object, FILE *to)
{
    fprintf(to, "# Configuration of %s\n\n", table->program);
    print_sections(table, to, "", "\n", dump_item, object);
    for (size_t i = 0; i < table->each_count; i++) {
        dump_blocks(to, &table->each[i], object);
    }
}

/* --- help --- */

static void help_item(FILE *to, const struct vg_conf_item *item, const void *object)
{
    char line[VG_CONF_VALUE_MAX + VGI_CONF_TEXT_MAX];
    (void)object;
    facts(item, line, sizeof line);
    fprintf(to, "    %s\n", item->key);
    print_wrapped(to, "        ", item->help);
    print_wrapped(to, "        ", line);
}

void vg_conf_help(const struct vg_conf_table *table, FILE *to)
{
    print_sections(table, to, "  ", "\n", help_item, NULL);
    for (size_t i = 0; i < table->each_count; i++) {
        const struct vg_conf_each *each = &table->each[i];
        fprintf(to, "  [%s NAME], at most %zu\n", each->section, each->max);
        if (each->help != NULL) {
            print_wrapped(to, "    ", each->help);
        }
        for (size_t k = 0; k < each->item_count; k++) {
            help_item(to, &each->items[k], NULL);
        }
    }
}

/* --- manual --- */

/* scdoc reads * _ and \ as markup, '#' at the start of a line as a heading; each may be escaped
 * anywhere. */
static void print_scdoc(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("*_\\#[]|<>~", *text) != NULL) {
            fputc('\\', to);
        }
        fputc(*text, to);
    }
}

static void manual_item(FILE *to, const struct vg_conf_item *item, const void *object)
{
    char line[VG_CONF_VALUE_MAX + VGI_CONF_TEXT_MAX];
    (void)object;
    facts(item, line, sizeof line);
    fputc('*', to);
    print_scdoc(to, item->key);
    fputs("*\n\t", to);
    print_scdoc(to, item->help);
    fputs("++\n", to);
    print_scdoc(to, line);
    fputs(".\n\n", to);
}

void vg_conf_manual(const struct vg_conf_table *table, FILE *to)
{
    fputs("# CONFIGURATION\n\n", to);
    print_sections(table, to, "## ", "\n\n", manual_item, NULL);
    for (size_t i = 0; i < table->each_count; i++) {
        const struct vg_conf_each *each = &table->each[i];
        fprintf(to, "## [%s NAME]\n\nMay be given up to %zu times, each with its own NAME. ",
                each->section, each->max);
        print_scdoc(to, each->help == NULL ? "" : each->help);
        fputs("\n\n", to);
        for (size_t k = 0; k < each->item_count; k++) {
            manual_item(to, &each->items[k], NULL);
        }
    }
}
