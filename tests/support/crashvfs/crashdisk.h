/* What a disk holds of a few files, and what it may hold after the power failed. Pure: no I/O, no
 * clock; randomness comes from the caller's seed.
 *
 *   operations ──► [unsynced writes and truncations of a file] ──sync of the file──► its safe bytes
 *                  [unsynced entries of the folder]        ──sync of the folder──► its safe names
 *
 * A cut leaves what is safe, and of the rest:
 *   drop     nothing
 *   reorder  a random subset, in any order
 *   tear     a random subset, in any order, and one write in part: up to a sector's edge or to any
 *            byte, some of its sectors only, or with rubbish in the sector in which it broke
 * A write never harms bytes outside itself (SQLite's powersafe overwrite, which the programs rely
 * on as everybody does). Sectors have 512 bytes. */
#ifndef VIGIA_TEST_CRASHDISK_H
#define VIGIA_TEST_CRASHDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRASH_SECTOR   512
#define CRASH_NAME_MAX 95 /* bytes of a file's name in the folder */

enum crash_mode { CRASH_DROP, CRASH_REORDER, CRASH_TEAR, CRASH_MODES };
const char *crash_mode_name(enum crash_mode mode);

/* A card that tells that it synced, and did not. Bits. */
#define CRASH_LIE_WAL  1u /* for the WAL: what synchronous=NORMAL would risk */
#define CRASH_LIE_MAIN 2u /* for every other file */
#define CRASH_LIE_ALL  (CRASH_LIE_WAL | CRASH_LIE_MAIN)

enum crash_kind {
    CRASH_OP_CREATE, /* bytes: the name */
    CRASH_OP_WRITE,
    CRASH_OP_TRUNCATE, /* to `at` bytes */
    CRASH_OP_SYNC,
    CRASH_OP_DELETE, /* bytes: the name */
    CRASH_OP_SYNC_FOLDER
};

struct crash_op {
    enum crash_kind kind;
    unsigned refs;
    uint32_t file; /* number of the file, a new one for each creation */
    uint64_t at;
    size_t len;
    char bytes[];
};
/* Copies `bytes`; with one reference. Never NULL: the test ends without memory. */
struct crash_op *crash_op_new(enum crash_kind kind, uint32_t file, uint64_t at, const void *bytes,
                              size_t len);
void crash_op_release(struct crash_op *op);

struct crash_model;

struct crash_model *crash_model_new(unsigned lies);
void crash_model_free(struct crash_model *m);
/* A file that is there from the start, safe with its name. Returns its number. */
uint32_t crash_model_add(struct crash_model *m, const char *name, const void *bytes, size_t size);
/* The number that the next CRASH_OP_CREATE carries. */
uint32_t crash_model_next(const struct crash_model *m);
/* The number of the file that has this name now; 0: none. */
uint32_t crash_model_find(const struct crash_model *m, const char *name);
/* Takes references as it needs them. */
void crash_model_apply(struct crash_model *m, struct crash_op *op);
/* Writes, truncations and folder entries that are not safe. */
size_t crash_model_unsafe(const struct crash_model *m);

/* What is there when the power is back. */
struct crash_image {
    size_t count;
    struct crash_file {
        char name[CRASH_NAME_MAX + 1];
        char *bytes;
        size_t size;
    } * files;
};
/* `cut` is the operation that the power cut interrupted, not applied to the model (NULL: between
 * two). The same model, mode and seed give the same image. */
void crash_model_image(const struct crash_model *m, enum crash_mode mode, uint64_t seed,
                       const struct crash_op *cut, struct crash_image *out);
void crash_image_done(struct crash_image *image);
/* Writes the files into the folder; false when that fails. */
bool crash_image_write(const struct crash_image *image, const char *folder);

#endif
