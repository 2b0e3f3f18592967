/* A load of configuration in progress. Shared by what reads the file and what applies values from
 * anywhere. */
#ifndef VGI_CONF_LOAD_H
#define VGI_CONF_LOAD_H

#include "vigia/conf.h"

#include <limits.h>

/* Bytes of a file's path that an error shows, its end being what tells it apart. */
#define VGI_SHOWN_PATH_MAX 100
#define VGI_PLACE_MAX      VG_CONF_PLACE_MAX
/* Files that one configuration may include. */
#define VGI_INCLUDES_MAX 8

/* Where a value that has been set came from. */
enum {
    SEEN_NOWHERE = 0,
    SEEN_ENVIRONMENT = -1,
    SEEN_SET = -2,
    /* Otherwise the line of the file; n times this is added to a line of the n-th included one. */
    SEEN_INCLUDED = 1 << 24
};

struct vg_conf_origins {
    const struct vg_conf_table *table;
    int *seen;    /* one per item, then max * item_count per kind of repeating section */
    char **names; /* of the blocks: max per kind of repeating section; NULL: no such block */
    char *files[1 + VGI_INCLUDES_MAX]; /* as errors show them; the first is the main one or NULL */
    size_t included;
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
    bool self_contained;     /* no include */
    struct vg_conf_origins *origins;
    char file_folder[PATH_MAX], work_folder[PATH_MAX];
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

/* NULL without memory. */
struct vg_conf_origins *vgi_conf_origins_new(const struct vg_conf_table *table);
/* Keeps the name of a file; false without memory. `at` is 0 or the number of the included one. */
bool vgi_conf_origins_file(struct vg_conf_origins *o, size_t at, const char *path);
/* Keeps the name of a block; false without memory. */
bool vgi_conf_origins_block(struct vg_conf_origins *o, const struct vg_conf_each *each,
                            size_t block, const char *name);
/* The slots of one block. */
int *vgi_conf_origins_seen(const struct vg_conf_origins *o, const struct vg_conf_each *each,
                           size_t block);
/* "VIGIA_SECTION_KEY". */
#define VGI_ENV_NAME_MAX 128
void vgi_conf_env_name(const char *section, const char *key, char out[VGI_ENV_NAME_MAX]);

/* "…" before, and the end of, a path that errors show. */
const char *vgi_conf_dots(const char *path);
const char *vgi_conf_path_end(const char *path);
/* "file:line" of the line being read; `place` has room for VGI_PLACE_MAX. */
void vgi_conf_place_of_line(const struct load *load, char *place);

/* Finds a section, or makes the block that it names. */
enum vg_err vgi_conf_open_section(const struct load *load, const char *place, const char *section,
                                  struct scope *out) VG_NODISCARD;
/* Sets one key; `seen` is its line or SEEN_…. */
enum vg_err vgi_conf_set_value(const struct load *load, const struct scope *scope,
                               const char *place, const char *key, const char *value,
                               int seen) VG_NODISCARD;
/* Reads load->file to its end or its first error. */
enum vg_err vgi_conf_read_file(struct load *load) VG_NODISCARD;

#endif
