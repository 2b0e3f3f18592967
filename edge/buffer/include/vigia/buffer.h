/* The store-and-forward buffer: readings kept on the card until a collector has them. One SQLite
 * file, one own thread.
 *
 *   loop thread                               writer thread
 *   append ──► two bounded rings (u, r) ──► group commit (WAL, FULL): 64 readings or 1 s; urgent at
 * once fetch  ──►                              rows, oldest first ──► on_rows settle ──► delete,
 * quarantine or park, riding in the next commit
 *
 * No call waits for the card: results come through vg_buffer_dispatch when vg_buffer_fd is
 * readable.
 *
 * Identity: `store` is a random 64-bit number drawn at every open, each lane numbers its rows from
 * 1 in it, and a row keeps both for ever. So a number is never used twice, whatever a power cut or
 * a restored card did to the file.
 *
 * Bounds, and what happens there:
 *   max_bytes   (live pages of the file) the oldest routine rows go first, urgent ones only when no
 *               routine row is left; the last VG_BUFFER_KEEP_ROWS rows stay, whatever else fills
 *               the file
 *   max_age_ms  rows older than this go, whatever their lane
 *   ring_bytes  readings waiting for the card: while the disk is full the oldest routine ones go; a
 *               ring that the card keeps full refuses the reading
 * Whatever goes unsent is counted and told by a `gap` event (urgent, under the device's name),
 * committed together with the eviction. While the disk is full, readings are kept in the rings and
 * handed out from there.
 *
 * The file belongs to one device. Opened for another (this one was provisioned anew), what waits in
 * it is not sent under the other's name: the file is renamed to NAME.of-DEVICE, a new one begins and
 * a `storage` event says so, at every open while there is such a file. Opened for its own device
 * again, NAME.of-DEVICE is in place again and what it holds is sent; if a file of the same device is
 * in place (by hand), once that is empty. An empty file passes to whoever opens it. `alive` events,
 * and those that tell of files set aside, do not make a file wait: where there is nothing else but
 * quarantine, it becomes NAME.refused-<epoch s>, told by the log alone, of which two are kept; without
 * quarantine it is removed. Whose a file is, its first commit notes.
 *
 * A damaged file is renamed to NAME.damaged-<epoch s>, a new one begins and a `storage` event says
 * so. A failed fsync or write is fatal for the open file: on_fatal is called, nothing is written
 * any more, rows not yet on the card can still be fetched; the process is expected to end and start
 * again. */
#ifndef VIGIA_BUFFER_H
#define VIGIA_BUFFER_H

#include "vigia/clock.h"
#include "vigia/err.h"
#include "vigia/reading.h"

enum vg_buffer_lane { VG_BUFFER_URGENT, VG_BUFFER_ROUTINE, VG_BUFFER_LANES };

/* Most rows of one fetch. */
#define VG_BUFFER_FETCH_MAX 64
/* Readings of one group commit, and the longest wait for them. */
#define VG_BUFFER_GROUP_MAX 64
#define VG_BUFFER_GROUP_MS  1000
/* Most rows kept in quarantine, and most anchors; one more removes the oldest. A small file keeps
 * fewer: at most an eighth of max_bytes for each. */
#define VG_BUFFER_QUARANTINE_MAX 1000
#define VG_BUFFER_ANCHORS_MAX    8192
/* Smallest max_bytes: the empty file has ten pages of the sixteen. */
#define VG_BUFFER_BYTES_MIN 65536
/* Rows that max_bytes never evicts, so that what has just been written can be fetched. */
#define VG_BUFFER_KEEP_ROWS VG_BUFFER_FETCH_MAX

struct vg_buffer_options {
    const char *path;                   /* the database file; its folder exists */
    const char *device;                 /* whose rows these are; events stand under it, too */
    int64_t max_bytes;                  /* >= VG_BUFFER_BYTES_MIN */
    int64_t max_age_ms;                 /* > 0; INT64_MAX: no limit */
    int64_t group_ms;                   /* 1 to 5000 */
    size_t ring_bytes[VG_BUFFER_LANES]; /* >= 4096 each */
    const char *boot_id; /* of /proc/sys/kernel/random/boot_id; NULL: read there. For tests. */
    const char *vfs;     /* SQLite's name of another VFS; NULL: the system's. For tests. */
};
/* 64 MiB, 30 days, VG_BUFFER_GROUP_MS, rings of 128 and 256 KiB. */
void vg_buffer_options_init(struct vg_buffer_options *options);

/* A row as it is handed out. */
struct vg_buffer_row {
    /* With device and identity. time_ms is the wall time that the anchors give (see
     * vg_buffer_anchor), or 0: unknown; then a reading of quality SYNCED has become UNSYNCED. */
    struct vg_reading reading;
    struct vg_boot
        taken; /* of the present boot when `booted`, otherwise of the boot in which it was taken */
    bool booted;
};

enum vg_buffer_fate { VG_BUFFER_DONE, VG_BUFFER_QUARANTINED, VG_BUFFER_PARKED };

struct vg_buffer_outcome {
    uint64_t store, seq;
    uint8_t fate;         /* enum vg_buffer_fate */
    uint8_t code;         /* quarantined: the CoAP code that refused it */
    struct vg_mono until; /* parked: not offered again before */
};

/* Called by vg_buffer_dispatch only. None may be NULL. */
struct vg_buffer_events {
    /* The answer to a fetch: at most the number asked for, oldest first, possibly none. */
    void (*on_rows)(void *arg, enum vg_buffer_lane lane, const struct vg_buffer_row *rows,
                    size_t count);
    /* Rows of the lane may be waiting that the last fetch did not see. */
    void (*on_waiting)(void *arg, enum vg_buffer_lane lane);
    /* Once; nothing will be written any more. */
    void (*on_fatal)(void *arg, const struct vg_error *err);
    void *arg;
};

/* A snapshot. Counts are since open. */
struct vg_buffer_stats {
    uint64_t store;
    uint64_t appended[VG_BUFFER_LANES];  /* accepted; also the lane's last number */
    uint64_t committed[VG_BUFFER_LANES]; /* the lane's last number that is safe on the card */
    uint64_t rows[VG_BUFFER_LANES];      /* waiting on the card now */
    uint64_t refused;                    /* appends refused: ring full */
    uint64_t evicted;                    /* rows removed unsent, by any bound */
    uint64_t quarantined, parked, settled;
    /* Rows that left a full quarantine, the oldest first. */
    uint64_t quarantine_trimmed;
    /* Times that a row of an earlier boot was handed out without the time that it had: none of that
     * boot's anchors that are kept reaches it. */
    uint64_t undated;
    /* Runs of rows given up that a full table of gaps joined to another: one event counts both. */
    uint64_t gaps_joined;
    /* Files set aside (NAME.damaged-, NAME.refused-) that went for one more. */
    uint64_t asides_removed;
    uint64_t commits, commit_failures;
    uint64_t damaged;      /* files set aside, and rows whose checksum was wrong */
    uint64_t damaged_rows; /* the rows among them */
    uint64_t fulls;        /* times that disk_full began */
    int64_t bytes;         /* live pages of the file, bytes */
    int64_t ring_bytes;    /* in both rings now */
    int64_t commit_us_max, commit_us_last;
    bool disk_full; /* the last commit or checkpoint failed for want of space */
    bool fatal;
};

/* Room for the name of a file set aside. */
#define VG_BUFFER_FILE_MAX 640

/* What an open found. */
struct vg_buffer_found {
    bool damaged;    /* the file was damaged and is set aside */
    bool taken_back; /* the device's own file, set aside before, is in place again */
    size_t others;   /* files NAME.of-DEVICE: what waits in them is not sent now */
    char set_aside[VG_BUFFER_FILE_MAX]; /* the one that this open has made of the file; "": none */
    uint64_t set_aside_rows;            /* waiting in it */
};

/* Files found damaged and set aside since the open began. */
struct vg_buffer_damage {
    uint64_t files;
    uint64_t rows; /* that waited in them; of a file found damaged by the open it is not known */
    char file[VG_BUFFER_FILE_MAX]; /* the last of them */
};

struct vg_buffer;

/* Opens or creates the file and starts the thread. `clock` outlives the buffer. err->text is one
 * line naming the file. VG_E_VERSION   a database of another program, or of a newer version: found
 * and accepted are named, nothing touched VG_E_CONFLICT  another process has it open VG_E_INVALID
 * the settings that promise durability did not read back as set VG_E_EXISTS another device's file that
 * cannot be set aside: there are eight already, or one of its name VG_E_FULL  no room to make the file
 * or bring it forward, or as many opens as there are epochs VG_E_IO, VG_E_NOTFOUND, VG_E_DENIED,
 * VG_E_RANGE (options), VG_E_NOMEM */
enum vg_err vg_buffer_open(const struct vg_buffer_options *options,
                           const struct vg_buffer_events *events, const struct vg_clock *clock,
                           struct vg_buffer **out, struct vg_error *err) VG_NODISCARD;
/* Commits what waits, ends the thread, closes the file. NULL is allowed. Waits for the card. Returns
 * how many accepted rows are neither settled nor on the card, and thus gone: if any, *err (may be
 * NULL) says why in one line that names the file (VG_E_IO). */
uint64_t vg_buffer_close(struct vg_buffer *b, struct vg_error *err);

/* Unchanged since the open. */
const struct vg_buffer_found *vg_buffer_found(const struct vg_buffer *b);

int vg_buffer_fd(const struct vg_buffer *b);
void vg_buffer_dispatch(struct vg_buffer *b);

/* Takes a copy. Its lane follows from its content: active readings, OKs and device events are
 * urgent (an `alive` too). VG_E_FULL: the ring is full; counted, and told by a gap event.
 * VG_E_INVALID: not a sensor id. VG_E_CLOSED after on_fatal when the ring is full as well. */
enum vg_err vg_buffer_append(struct vg_buffer *b, const struct vg_reading *reading,
                             struct vg_boot taken) VG_NODISCARD;

/* Asks for up to `max` (1 to VG_BUFFER_FETCH_MAX) rows; answered by on_rows. One request per lane
 * at a time, and every row handed out before has had its outcome (VG_E_CONFLICT otherwise). */
enum vg_err vg_buffer_fetch(struct vg_buffer *b, enum vg_buffer_lane lane, size_t max) VG_NODISCARD;
/* What became of rows that were handed out; each row has one outcome. VG_E_RANGE: more than were
 * handed out. */
enum vg_err vg_buffer_settle(struct vg_buffer *b, enum vg_buffer_lane lane,
                             const struct vg_buffer_outcome *outcomes, size_t count) VG_NODISCARD;
/* Everything of the lane that has no outcome is offered again, parked rows too (a new uplink
 * begins). */
void vg_buffer_rewind(struct vg_buffer *b, enum vg_buffer_lane lane);

/* Notes that the synchronised wall clock says `wall` at `boot`. To be called while synchronised
 * only: at start, on becoming synchronised, after a step, and every VG_BUFFER_ANCHOR_MS. Rows of
 * other boots get their time from these. */
#define VG_BUFFER_ANCHOR_MS 600000
void vg_buffer_anchor(struct vg_buffer *b, struct vg_boot boot, struct vg_wall wall);

void vg_buffer_stats(struct vg_buffer *b, struct vg_buffer_stats *out);
void vg_buffer_damage(struct vg_buffer *b, struct vg_buffer_damage *out);

#endif
