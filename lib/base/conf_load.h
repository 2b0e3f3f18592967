/* A load of configuration in progress. Shared by what reads the file and what applies values from
 * anywhere. */
#ifndef VGI_CONF_LOAD_H
#define VGI_CONF_LOAD_H

#include "vigia/conf.h"

#include <limits.h>

/* Bytes of a file's path that an error shows, its end being what tells it apart. */
#define VGI_SHOWN_PATH_MAX 100
#define VGI_PLACE_MAX      160

/* Where a value that has been set came from. */
enum {
    SEEN_NOWHERE = 0,
    SEEN_ELSEWHERE = -1,
    /* Otherwise the line of the file; this is added to a line of the included one. */
    SEEN_INCLUDED = 1 << 24
};

struct load {
    const struct vg_conf_table *table;
    char *object;
    struct vg_error *err;
    enum vg_err failed;
    FILE *file;
    int line;
    const char *shown_file;
    char included[PATH_MAX]; /* empty: the main file is being read */
    char file_folder[PATH_MAX], work_folder[PATH_MAX];
    int *seen; /* one per item, then max * item_count per kind of repeating section */
};

/* One section that values go to. */
struct scope {
    const char *section;             /* as written, for errors */
    const struct vg_conf_each *each; /* NULL: a plain section */
    const struct vg_conf_item *items;
    size_t count;
    char *object;
    int *seen;
};

/* "…" before, and the end of, a path that errors show. */
const char *vgi_conf_dots(const char *path);
const char *vgi_conf_path_end(const char *path);
/* "file:line" of the line being read; `place` has room for VGI_PLACE_MAX. */
void vgi_conf_place_of_line(const struct load *load, char *place);

/* Finds a section, or makes the block that it names. */
enum vg_err vgi_conf_open_section(const struct load *load, const char *place, const char *section,
                                  struct scope *out) VG_NODISCARD;
/* Sets one key; `seen` is its line or SEEN_ELSEWHERE. */
enum vg_err vgi_conf_set_value(const struct load *load, const struct scope *scope,
                               const char *place, const char *key, const char *value,
                               int seen) VG_NODISCARD;
/* Reads load->file to its end or its first error. */
enum vg_err vgi_conf_read_file(struct load *load) VG_NODISCARD;

#endif
