/* The SQLite file behind the buffer: one connection, one thread, no policy of its own.
 *
 *   boots   boot ids seen                         anchors     wall time at a boot's moment
 *   epochs  one per open: store id, boot, device  queue       place → taken, packed reading
 *   gaps    what was evicted and not yet told     quarantine  rows that a collector refused
 *
 * A place is lane, epoch and seq in one integer, in this order, so that a routine reading always
 * goes to the very end of the table: SQLite then adds a page where it would otherwise spread rows
 * over the neighbours and write them all again. The view `rows` shows them apart, for people.
 *
 * A migration is a list of statements per version; opening runs those above the file's version in
 * one transaction. The last, from VGI_SCHEMA_LATER, rides in the first commit instead: so a full card
 * does not keep a file from being opened. */
#ifndef VIGIA_BUFFER_STORE_H
#define VIGIA_BUFFER_STORE_H

#include "beside.h"
#include "resolve.h"
#include "row.h"

#include "vigia/buffer.h"

#define VGI_APPLICATION_ID 0x56474231 /* "VGB1" */
#define VGI_SCHEMA_VERSION 3
#define VGI_SCHEMA_LATER   (VGI_SCHEMA_VERSION - 1)
#define VGI_PAGE_BYTES     4096
/* Bits of a place: the lane above them. */
#define VGI_SEQ_BITS   38
#define VGI_EPOCH_BITS 24
#define VGI_EPOCH_MAX  ((1LL << VGI_EPOCH_BITS) - 1)
/* Pages in the WAL after which it is copied back into the file. While it grows, each commit costs
 * the file system a commit of its own; once it has this size it is written over in place. */
#define VGI_CHECKPOINT_PAGES 256
/* SQLite's memory: the page cache of the connection, and everything together. */
#define VGI_CACHE_KIB      512
#define VGI_HEAP_MAX_BYTES (4 << 20)
/* A file larger than this is not read through at start; damage shows when it is read. */
#define VGI_CHECK_MAX_BYTES (32LL << 20)
#define VGI_BOOT_ID_MAX     36
#define VGI_GAPS_MAX        16
/* How the event begins that tells of other devices' files. */
#define VGI_OTHERS_TEXT "set aside: buffers of other devices"
/* Anchors and quarantine may each take this part of the file at most: readings that wait keep the
 * greater part. An anchor takes less than so many bytes, half-empty pages included. */
#define VGI_ASIDE_SHARE  8
#define VGI_ANCHOR_BYTES 64

struct sqlite3;
struct sqlite3_stmt;

/* What an error of SQLite means for us. */
enum vgi_fault {
    VGI_FAULT_NONE,
    VGI_FAULT_FULL,    /* no space, no memory: it may pass */
    VGI_FAULT_DAMAGED, /* the file is not what we wrote, or a read failed: only what is so a second
                          time is acted on. No failed write or sync is this */
    VGI_FAULT_FATAL,   /* a write, a sync or our own statement failed: the file can no longer be
                          trusted to keep */
};

enum vgi_gap_reason { VGI_GAP_FULL, VGI_GAP_AGE, VGI_GAP_MEMORY, VGI_GAP_DAMAGED, VGI_GAP_REASONS };
const char *vgi_gap_reason_name(enum vgi_gap_reason reason);

/* A run of rows that went unsent. first and last are 0 when the rows had no number yet. */
struct vgi_gap {
    uint64_t store, first, last, count;
    uint8_t reason, lane;
    bool told; /* its event is in the ring; the entry goes with the commit that writes the event */
};

/* Where a row stands. Rows of a lane are ordered by (epoch, seq). */
struct vgi_key {
    int64_t epoch;
    uint64_t seq;
};

#define VGI_STATEMENTS 21
struct vgi_store {
    struct sqlite3 *db;
    struct sqlite3_stmt *statements[VGI_STATEMENTS];
    char path[VGI_PATH_MAX];
    char vfs[64];
    char aside[VGI_BESIDE_MAX]; /* the damaged file that was set aside last; "": none */
    uint64_t asides_removed;    /* files set aside earlier that had to go for another one */
    char device[VG_DEVICE_NAME_MAX + 1];
    char boot_id[VGI_BOOT_ID_MAX + 1];
    uint64_t id;                        /* of this open; survives a damaged file */
    int64_t epoch;                      /* of this open */
    int64_t boot;                       /* row of `boots` */
    bool registered;                    /* boot and epoch are on the card */
    bool forward;                       /* of VGI_SCHEMA_LATER until the first commit */
    char owner[VG_DEVICE_NAME_MAX + 1]; /* whose file this was when opened; "": not known */
    bool kept; /* when opened, something was in it that is not to be lost */
    int64_t anchors_max, quarantine_max; /* entries kept */
    uint64_t quarantine_trimmed;         /* entries above that, gone in this transaction */
    int wal_pages;
    enum vgi_fault fault; /* of the last failure */
    char why[160];
};

struct vgi_opening {
    const char *path, *vfs; /* vfs NULL: the system's */
    const char *boot_id, *device;
    uint64_t id; /* the new store id */
    int64_t wall_s;
};

/* Opens or makes the file; *found says what became of one that was damaged or another device's.
 * Errors as vg_buffer_open. The epoch is registered by the first transaction that succeeds. */
enum vg_err vgi_store_open(struct vgi_store *s, const struct vgi_opening *how,
                           struct vg_buffer_found *found, struct vg_error *err) VG_NODISCARD;
/* Sets the file aside and begins a new one with the same store id and epoch. */
enum vg_err vgi_store_replace(struct vgi_store *s, int64_t wall_s,
                              struct vg_error *err) VG_NODISCARD;
void vgi_store_close(struct vgi_store *s);
/* How many anchors and quarantined rows a file of `max_bytes` keeps. Before the first transaction.
 */
void vgi_store_bound(struct vgi_store *s, int64_t max_bytes);

/* Everything below returns false on failure, with s->fault and s->why set; then the transaction is
 * to be undone. */
bool vgi_store_begin(struct vgi_store *s); /* registers the epoch where needed */
bool vgi_store_commit(struct vgi_store *s);
void vgi_store_undo(struct vgi_store *s);
/* Copies the WAL back once it is long enough. Outside a transaction. */
bool vgi_store_checkpoint(struct vgi_store *s);

bool vgi_store_insert(struct vgi_store *s, int lane, uint64_t seq, int64_t taken_ns,
                      struct vg_span row);
/* Removes first..last of an epoch; *removed is increased. */
bool vgi_store_remove(struct vgi_store *s, int lane, int64_t epoch, uint64_t first, uint64_t last,
                      uint64_t *removed);
bool vgi_store_quarantine(struct vgi_store *s, int lane, struct vgi_key key, uint8_t code,
                          uint64_t *removed);
bool vgi_store_anchor(struct vgi_store *s, struct vgi_anchor a);
bool vgi_store_count(struct vgi_store *s, int lane, uint64_t *rows);
bool vgi_store_bytes(struct vgi_store *s, int64_t *live);

bool vgi_store_gaps_load(struct vgi_store *s, struct vgi_gap *gaps, size_t *count);
/* Replaces what is on the card by those that are not told. */
bool vgi_store_gaps_save(struct vgi_store *s, const struct vgi_gap *gaps, size_t count);

struct vgi_stored {
    struct vgi_key key;
    uint64_t store;
    int64_t boot;
    int64_t taken_ns;
    size_t len; /* 0: longer than any row of ours */
    uint8_t row[VGI_ROW_MAX];
};
/* The first row after `after`; *found false when there is none. */
bool vgi_store_next(struct vgi_store *s, int lane, struct vgi_key after, struct vgi_stored *out,
                    bool *found);
/* The last of the first `n` rows of a lane in an epoch that was taken before `cutoff_ns`; 0 when
 * there is none. */
bool vgi_store_oldest(struct vgi_store *s, int lane, int64_t epoch, uint64_t n, int64_t cutoff_ns,
                      uint64_t *last);
/* Wall time of a moment of a boot; *known false: no anchor reaches it. */
bool vgi_store_resolve(struct vgi_store *s, int64_t boot, int64_t taken_ns, bool *known,
                       int64_t *wall_ms);

/* What a file holds: rows; whether somebody waits for it: readings, events, a gap not told, but not
 * what an agent says of itself at each start; whether rows are in quarantine. */
struct vgi_inside {
    int64_t rows;
    bool waits, refused;
};

/* whose.c for store_open.c: codes of SQLite. Fills owner, as the last open that wrote into the file
 * noted it, and kept. */
int vgi_store_whose(struct vgi_store *s);
int vgi_store_inside(struct vgi_store *s, struct vgi_inside *in);

/* store_open.c for the others: the first number of the answer, *out stays if there is none; the last
 * migration if it is due, in a transaction. */
int vgi_store_number(struct sqlite3 *db, const char *sql, int64_t *out);
bool vgi_store_forward(struct vgi_store *s);

/* store.c for store_open.c */
enum vgi_fault vgi_store_classify(int rc);
bool vgi_store_failed(struct vgi_store *s, int rc, const char *doing);
void vgi_store_finalize(struct vgi_store *s);

#endif
