/* A VFS of SQLite over a disk whose power can be cut.
 *
 * Files live in a folder of the real file system (a tmpfs makes them memory), so locks, shared
 * memory and whatever a program does by path work as ever; beside it a model (crashdisk.h) keeps
 * what of them would be safe. Two ways to use it:
 *
 *   live    crash_power_off(d)         every call fails from here on and changes nothing
 *           … close what was open …
 *           crash_power_on(d, mode, seed)   the folder holds what a power cut leaves; open again
 *
 *   record  every operation is kept; afterwards crash_replay_… walks them and writes the disk as a
 *           cut at any of them would have left it, as often as wanted
 *
 * Seen are writes, truncations, syncs, creations, deletions and syncs of the folder that SQLite
 * makes, whichever thread; not what a program does to the files without SQLite (renaming a damaged
 * file, say). A file that SQLite finds and the model does not know counts as just created. The
 * shared memory (-shm) is lost by every cut. */
#ifndef VIGIA_TEST_CRASHVFS_H
#define VIGIA_TEST_CRASHVFS_H

#include "crashdisk.h"

#define CRASH_VFS "crash"

/* Registers the VFS, also as the default one. Files outside the folders of disks pass through it. */
void crash_install(bool as_default);

struct crash_disk;

#define CRASH_RECORD 1u
/* The disk of everything opened in this folder. What is there already is safe. */
struct crash_disk *crash_disk_new(const char *folder, unsigned flags);
void crash_disk_free(struct crash_disk *d);
/* Syncs are ignored from now on as the bits CRASH_LIE_… say (live). Before the first operation. */
void crash_disk_lie(struct crash_disk *d, unsigned lies);

/* Operations so far. Any thread. */
size_t crash_disk_ops(const struct crash_disk *d);
/* Called before each operation, on the thread that makes it, with its number. The disk is locked
 * meanwhile: nothing in it may use SQLite. */
typedef void crash_on_op(void *arg, size_t op);
void crash_disk_on_op(struct crash_disk *d, crash_on_op *fn, void *arg);

void crash_power_off(struct crash_disk *d);
/* The power fails instead of operation `op`. */
void crash_power_off_at(struct crash_disk *d, size_t op);
bool crash_power_is_off(const struct crash_disk *d);
/* All files of the folder are closed. False when the files cannot be written. */
bool crash_power_on(struct crash_disk *d, enum crash_mode mode, uint64_t seed);

/* Walks what a disk recorded; the disk stays as it is and outlives the walk. */
struct crash_replay;
struct crash_replay *crash_replay_new(const struct crash_disk *d, unsigned lies);
void crash_replay_free(struct crash_replay *r);
/* The number of the operation that comes next: a cut here interrupts it. */
size_t crash_replay_at(const struct crash_replay *r);
/* NULL behind the last one. */
const struct crash_op *crash_replay_next(const struct crash_replay *r);
/* Operations, writes and so on that a cut here would put at risk. */
size_t crash_replay_unsafe(const struct crash_replay *r);
void crash_replay_step(struct crash_replay *r);
/* The disk after a cut here. */
void crash_replay_image(const struct crash_replay *r, enum crash_mode mode, uint64_t seed,
                        struct crash_image *out);

#endif
