/* Configuration: one table feeds the parser, --help, --dump-config, --check-config and the manual
 * page.
 *
 *   static const struct vg_conf_item items[] = {
 *       VG_CONF_INT(struct edge_conf, buffer.max_bytes, "buffer", "max_bytes", "67108864", 65536,
 * 1LL << 40, "bytes", "Largest size of the buffer file; the eviction policy acts above it."), …
 *   };
 *
 * INI syntax through libinih: [section], key = value, ';' and '#' comments. Precedence, later wins:
 * default, file, environment VIGIA_<SECTION>_<KEY> (upper case), --set section.key=value. An
 * unknown section or key, a value out of range or a duplicate key is refused with one line:
 * file:line: section.key: what was found and what is accepted.
 *
 * A text holds no control bytes and no ';' that would begin a comment (at its start or after a
 * space); blanks around it are dropped. A required text may not be empty.
 *
 * A section may repeat as "[section NAME]" when the table says so (struct vg_conf_each), for
 * example [collector c1]; NAME has letters, digits and . _ - : @ / * +. --set "collector
 * c1.address=…" sets a key of a block, and makes the block if there is none; the environment
 * (VIGIA_COLLECTOR_C1_ADDRESS) only changes blocks that exist.
 *
 * "include = FILE" before the first section reads that regular file first, as if its lines stood
 * there (one level, relative to the including file): programs of one site share a section, such as
 * [log], in one place.
 */
#ifndef VIGIA_CONF_H
#define VIGIA_CONF_H

#include "vigia/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum vg_conf_type {
    VG_CONF_T_INT,      /* int64_t */
    VG_CONF_T_DOUBLE,   /* double */
    VG_CONF_T_BOOL,     /* bool: true/false/yes/no/on/off */
    VG_CONF_T_DURATION, /* int64_t milliseconds; written 250ms, 10s, 5m, 2h, 30d; "never" =
                           INT64_MAX where max allows it */
    VG_CONF_T_SIZE,     /* int64_t bytes; written 65536, 64k, 16M, 2G */
    VG_CONF_T_STRING,   /* char[size] */
    VG_CONF_T_PATH,     /* char[size]; made absolute: values in the file and defaults start at the
                           file's folder, those     of environment and command line at the working
                           directory
                         */
    VG_CONF_T_ENUM,     /* int; `choices` is "a|b|c" and the value is the index */
};

struct vg_conf_item {
    const char *section;
    const char *key;
    enum vg_conf_type type;
    size_t offset;
    size_t size;          /* room of the field in bytes, NUL included, for STRING and PATH */
    const char *fallback; /* the default as it would be written; NULL = required */
    int64_t min, max;     /* INT, DURATION (ms), SIZE (bytes), inclusive; both 0: any */
    double dmin, dmax;    /* DOUBLE, inclusive; both 0: any finite number */
    const char *choices;
    const char *unit; /* for the manual: "bytes", "readings/s"; NULL when the type says it */
    bool secret;      /* never printed by --dump-config or in errors */
    bool reloadable;  /* SIGHUP applies it */
    const char *help;
};

struct vg_conf_each; /* a repeating section: see below */

struct vg_conf_table {
    const char *program; /* "vigia-edge" */
    const struct vg_conf_item *items;
    size_t item_count;
    const struct vg_conf_each *each; /* repeating sections, may be NULL */
    size_t each_count;
    size_t object_size;
};

/* "[section NAME]" blocks collected into an array of elements inside the object; element has a name
 * and own items. */
struct vg_conf_each {
    const char *section;
    const struct vg_conf_item
        *items; /* `section` of these is ignored; offsets are within the element */
    size_t item_count;
    size_t array_offset; /* of element[0] in the object */
    size_t element_size;
    size_t count_offset; /* of a size_t in the object */
    size_t max;          /* one block more is refused */
    size_t name_offset;  /* char[] within the element */
    size_t name_size;
    const char *help;
};

#define VG_CONF_FIELD(S, f) offsetof(S, f), sizeof(((S *)0)->f)
/* Further members may follow the help text: VG_CONF_STRING(…, "…", .secret = true, .reloadable =
 * true). */
#define VG_CONF_INT(S, f, sec, k, def, lo, hi, u, h, ...)                                          \
    {                                                                                              \
        .section = sec, .key = k, .type = VG_CONF_T_INT, .offset = offsetof(S, f),                 \
        .fallback = def, .min = lo, .max = hi, .unit = u, .help = h, __VA_ARGS__                   \
    }
#define VG_CONF_DOUBLE(S, f, sec, k, def, lo, hi, u, h, ...)                                       \
    {                                                                                              \
        .section = sec, .key = k, .type = VG_CONF_T_DOUBLE, .offset = offsetof(S, f),              \
        .fallback = def, .dmin = lo, .dmax = hi, .unit = u, .help = h, __VA_ARGS__                 \
    }
#define VG_CONF_DURATION(S, f, sec, k, def, lo_ms, hi_ms, h, ...)                                  \
    {                                                                                              \
        .section = sec, .key = k, .type = VG_CONF_T_DURATION, .offset = offsetof(S, f),            \
        .fallback = def, .min = lo_ms, .max = hi_ms, .help = h, __VA_ARGS__                        \
    }
#define VG_CONF_SIZE(S, f, sec, k, def, lo, hi, h, ...)                                            \
    {                                                                                              \
        .section = sec, .key = k, .type = VG_CONF_T_SIZE, .offset = offsetof(S, f),                \
        .fallback = def, .min = lo, .max = hi, .help = h, __VA_ARGS__                              \
    }
#define VG_CONF_BOOL(S, f, sec, k, def, h, ...)                                                    \
    {                                                                                              \
        .section = sec, .key = k, .type = VG_CONF_T_BOOL, .offset = offsetof(S, f),                \
        .fallback = def, .help = h, __VA_ARGS__                                                    \
    }
#define VG_CONF_STRING(S, f, sec, k, def, h, ...)                                                  \
    {                                                                                              \
        .section = sec, .key = k, .type = VG_CONF_T_STRING, .offset = offsetof(S, f),              \
        .size = sizeof(((S *)0)->f), .fallback = def, .help = h, __VA_ARGS__                       \
    }
#define VG_CONF_PATH(S, f, sec, k, def, h, ...)                                                    \
    {                                                                                              \
        .section = sec, .key = k, .type = VG_CONF_T_PATH, .offset = offsetof(S, f),                \
        .size = sizeof(((S *)0)->f), .fallback = def, .help = h, __VA_ARGS__                       \
    }
#define VG_CONF_ENUM(S, f, sec, k, def, ch, h, ...)                                                \
    {                                                                                              \
        .section = sec, .key = k, .type = VG_CONF_T_ENUM, .offset = offsetof(S, f),                \
        .fallback = def, .choices = ch, .help = h, __VA_ARGS__                                     \
    }

/* Longest line of a file, longest name between brackets, longest value anywhere, all in bytes. */
#define VG_CONF_LINE_MAX    1000
#define VG_CONF_SECTION_MAX 48
#define VG_CONF_VALUE_MAX   900

/* Where the values come from. */
struct vg_conf_sources {
    const char *file;        /* NULL: no file, defaults only */
    bool file_optional;      /* a missing file is fine (the default path of a program) */
    const char *const *sets; /* "section.key=value", in order */
    size_t set_count;
    bool allow_missing; /* required items without a value stay zero (one-shot modes, templates) */
    bool ignore_environment; /* for tests */
    bool self_contained;     /* "include" is refused: a file that came from outside */
};

/* Fills `object` (object_size bytes, zeroed first). On failure the object is not to be used and
 * err->text is one complete line. Required items without a value: VG_E_NOTFOUND; everything else
 * that is wrong with input: VG_E_INVALID or VG_E_RANGE; a file that cannot be opened: VG_E_IO or
 * VG_E_NOTFOUND. */
enum vg_err vg_conf_load(const struct vg_conf_table *table, const struct vg_conf_sources *from,
                         void *object, struct vg_error *err) VG_NODISCARD;

/* Where each value of one load came from. */
struct vg_conf_origins;

/* Room of a place, NUL included. */
#define VG_CONF_PLACE_MAX 160

/* vg_conf_load that also tells the origins, on failure too (NULL when there was no memory). The
 * caller frees them. */
enum vg_err vg_conf_load_traced(const struct vg_conf_table *table,
                                const struct vg_conf_sources *from, void *object,
                                struct vg_conf_origins **origins,
                                struct vg_error *err) VG_NODISCARD;
void vg_conf_origins_free(struct vg_conf_origins *origins); /* NULL is allowed */

/* Where "section.key" or "section NAME.key" was set: "edge.ini:12", "environment VIGIA_LOG_URL",
 * "--set", "edge.ini (default)", or the file alone for a key that stands nowhere and has no default.
 * False, with an empty place, for what is no key of the table. */
bool vg_conf_where(const struct vg_conf_origins *origins, const char *key,
                   char place[VG_CONF_PLACE_MAX]);

/* Puts the place before an error whose text blames a key ("section.key: …", vg_err_blame) or a
 * section that is missing ("[section …]: …"); leaves every other text, and one that names its place
 * already, as it is. NULL origins are allowed. */
void vg_conf_locate(const struct vg_conf_origins *origins, struct vg_error *err);

/* For a reload: what may not change while the program runs is put back to its running value, and
 * `changed` hears the "section.key" of each such difference. A kind of repeating section is taken
 * over whole if all its items are reloadable. */
void vg_conf_keep_fixed(const struct vg_conf_table *table, const void *running, void *fresh,
                        void (*changed)(void *arg, const char *name), void *arg);

/* A complete commented INI file with the values of `object`, or the defaults when it is NULL. Reads
 * back as the same object, secrets apart: those are left out, and so are required items when there
 * is no object. */
void vg_conf_dump(const struct vg_conf_table *table, const void *object, FILE *to);
/* The options part of --help: every key with type, unit, range, default. */
void vg_conf_help(const struct vg_conf_table *table, FILE *to);
/* The CONFIGURATION section of the manual page in scdoc syntax. */
void vg_conf_manual(const struct vg_conf_table *table, FILE *to);

/* Parses one duration or size the way the table does (for command lines). VG_E_RANGE: less than 0. */
enum vg_err vg_conf_parse_duration(const char *text, int64_t *ms,
                                   struct vg_error *err) VG_NODISCARD;
enum vg_err vg_conf_parse_size(const char *text, int64_t *bytes, struct vg_error *err) VG_NODISCARD;

#endif
