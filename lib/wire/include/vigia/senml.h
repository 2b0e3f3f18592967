/* The body of a request: SenML in CBOR or JSON (RFC 8428), or plain JSON, to and from readings. No
 * heap.
 *
 *   bytes ──vg_batch_decode──► struct vg_batch (readings, and per reading why it is refused)
 *   readings ──vg_pack_add──► bytes of at most `limit`
 *
 * A reading is the SenML records of one sensor and one resolved time, wherever they stand in the
 * pack; readings are in the order of their first record. A record whose name or time is refused is
 * a reading of its own. The sensor is the resolved name up to its last '/', or up to its last ':'
 * where there is no '/'; the rest is the quantity:
 *
 *   motion smoke         vb
 *   temperature max_temperature   v, unit absent or Cel
 *   ok                   vb true, alone
 *   q                    vs: good, unsynced, stale, warming-up, fault
 *   alive                vb true   (a device under its own name; the collector checks that)
 *   gap storage clock    vs
 *   anything else        v, vb or vs: an extra; names of the readings schema are refused
 *
 * Times below 2^28 s are relative to `now` (RFC 8428 §4.5.3) and make the reading `unsynced`. Units
 * of other quantities and update times are checked for type and otherwise ignored. */
#ifndef VIGIA_SENML_H
#define VIGIA_SENML_H

#include "vigia/clock.h"
#include "vigia/reading.h"
#include "vigia/registry.h"

/* About 120 kB: take it at start. */
struct vg_batch {
    size_t count;
    struct vg_reading readings[VG_BATCH_READINGS_MAX];
    uint8_t
        reasons[VG_BATCH_READINGS_MAX]; /* enum vg_reason: the first thing wrong with it, or NONE */
    size_t refused;                     /* how many are not NONE */
    /* When the whole body is refused: */
    enum vg_reason reason;
    size_t offset; /* byte of the body where it was noticed */
};

/* Decodes a body of POST /v1/readings. Plain JSON is one object or an array of them, {"id",
 * "motion", "smoke", "temperature", "max_temperature"} and extras; every object is one reading,
 * taken `now`. VG_OK          every reading is good VG_E_INVALID   4.00: the body as a whole
 * (reason, offset); count is 0 VG_E_RANGE     4.22: batch->reasons names the refused readings; the
 * others are complete, a refused one has its sensor where its name was good, else "" Readings have
 * sensor, time, quality and quantities, and received_ms = now; device and identity are left empty.
 * *err (may be NULL) gets one line with the offset or index. */
enum vg_err vg_batch_decode(enum vg_format format, struct vg_span body, struct vg_wall now,
                            struct vg_batch *batch, struct vg_error *err) VG_NODISCARD;

/* Decodes a body of POST /v1/ok, ["id", …]: one OK per id, taken `now`. The same contract. */
enum vg_err vg_batch_decode_ok(struct vg_span body, struct vg_wall now, struct vg_batch *batch,
                               struct vg_error *err) VG_NODISCARD;

/* Refuses one reading more (the collector's own reasons); the first reason stays. */
void vg_batch_refuse(struct vg_batch *batch, size_t index, enum vg_reason reason);
/* Gives every reading its device and, where `id` has a lane, its identity (seq + index). */
void vg_batch_identify(struct vg_batch *batch, const char *device, const struct vg_identity *id);
/* The list for the answer; `out` has room for VG_BATCH_READINGS_MAX. Returns how many. */
size_t vg_batch_refusals(const struct vg_batch *batch, struct vg_refusal *out);
/* The code that answers a batch with refused readings: 4.22 when one is 4.22, else 4.03; 2.04 when
 * none is. */
enum vg_coap vg_batch_code(const struct vg_batch *batch);

/* A decoded batch as lines, one per reading: an object in the fields of the readings schema
 * (record.h) for a good one,
 * {"refused":index,"sensor":…,"code":"4.22","reason":…} for a refused one. `emit` gets each line
 * without newline. */
typedef void vg_line_fn(void *arg, struct vg_span line);
void vg_batch_emit(const struct vg_batch *batch, vg_line_fn *emit, void *arg);

/* What `vigia decode` does with a body: vg_batch_decode, whose result is returned, then
 * vg_batch_emit. */
enum vg_err vg_batch_lines(enum vg_format format, struct vg_span body, struct vg_wall now,
                           struct vg_batch *batch, vg_line_fn *emit, void *arg,
                           struct vg_error *err) VG_NODISCARD;

/* A pack under construction. The same readings in the same order give the same bytes. */
struct vg_pack {
    enum vg_format format;
    char *buf;
    size_t limit;
    size_t len;
    size_t records;
    size_t count; /* readings added */
    bool has_base_time;
    int64_t base_ms;
    char sensor[VG_SENSOR_ID_MAX + 1];
    struct {
        uint64_t sensor_hash;
        int64_t time_ms;
    } seen[VG_BATCH_READINGS_MAX];
};

/* A time of SenML is absolute from 2^28 s on, July 1978 (RFC 8428 §4.5.3). */
#define VG_PACK_ABSOLUTE_MIN_MS (268435456LL * 1000)

enum vg_pack_time {
    VG_PACK_ABSOLUTE, /* reading->time_ms is epoch milliseconds, VG_PACK_ABSOLUTE_MIN_MS to
                         VG_TIME_MS_MAX */
    VG_PACK_RELATIVE, /* reading->time_ms is milliseconds relative to sending, 0 or negative: the
                         clock is unsynchronised */
};

/* `buf` has `limit` bytes (at most VG_BODY_MAX is what a collector takes) and belongs to the caller
 * until the pack was sent. `format` is VG_FORMAT_SENML_CBOR or VG_FORMAT_SENML_JSON. */
void vg_pack_init(struct vg_pack *pack, enum vg_format format, void *buf, size_t limit);
/* Appends a reading: sensor, time, quality (when not synced or unsynced), quantities, event,
 * extras. VG_E_FULL     it does not fit here any more, or a reading of the same sensor and
 * millisecond is in the pack already (the two would be taken for one): finish this pack, begin the
 * next with it; the pack is unchanged VG_E_INVALID  not a reading that the wire accepts (empty, bad
 * name, non-finite number, OK with quantities …) VG_E_RANGE    its time cannot be expressed, or it
 * alone is larger than `limit` */
enum vg_err vg_pack_add(struct vg_pack *pack, const struct vg_reading *reading,
                        enum vg_pack_time time, struct vg_error *err) VG_NODISCARD;
/* The finished body inside `buf` (empty when nothing was added). The pack can then only be
 * initialised again. */
struct vg_span vg_pack_finish(struct vg_pack *pack);

#endif
