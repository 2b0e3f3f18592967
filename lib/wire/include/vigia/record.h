/* A record of the `readings` topic: one flat JSON object per reading, OK or device event, or a
 * heartbeat.
 *
 *   {"v":1,"sensor":"42959","device":"pi-42","store":"9f3c1b22a0d47e15","lane":"u","seq":1812,"time_ms":1793194820123,
 *    "received_ms":1793194820180,"quality":"synced","motion":false,"smoke":true,"temperature":25.5,
 *    "max_temperature":30,"x":{"battery":91}}
 *   {"v":1,"heartbeat":"collector-1","time_ms":1793194820000,"received_ms":1793194820000}
 *
 * Key of a reading: the sensor; of a heartbeat: the collector's instance. The decoder is the hot
 * path of every consumer: no heap, one pass. Unknown fields are ignored; a higher "v" stops the
 * reader. */
#ifndef VIGIA_RECORD_H
#define VIGIA_RECORD_H

#include "vigia/err.h"
#include "vigia/reading.h"

#define VG_RECORD_VERSION 1
/* Longest encoded record in bytes, every text at its longest and escaped. */
#define VG_RECORD_MAX   6144
#define VG_INSTANCE_MAX 63

struct vg_heartbeat {
    char instance[VG_INSTANCE_MAX + 1];
    int64_t time_ms;
    int64_t received_ms;
};

enum vg_record_kind { VG_RECORD_READING, VG_RECORD_HEARTBEAT };

/* Writes the object without newline; fields in schema order, an empty device and an absent identity
 * left out. VG_E_FULL: `size` is too small (never with VG_RECORD_MAX). VG_E_INVALID: empty sensor
 * or a non-finite number. */
enum vg_err vg_record_encode(const struct vg_reading *reading, char *out, size_t size,
                             size_t *len) VG_NODISCARD;
enum vg_err vg_heartbeat_encode(const struct vg_heartbeat *beat, char *out, size_t size,
                                size_t *len) VG_NODISCARD;

/* Reads one record, its fields in any order. "v", "sensor", "time_ms" and "received_ms" must be
 * there; without "quality" it is synced; store, lane and seq come together or not at all. *kind
 * says which of the two was filled; the other is untouched, unused bytes of the reading are not
 * cleared. VG_E_INVALID: not the schema (offset and field in *err). VG_E_RANGE: a field outside its
 * limits. VG_E_VERSION: "v" above VG_RECORD_VERSION. On failure the outputs hold nothing of use. */
enum vg_err vg_record_decode(struct vg_span text, enum vg_record_kind *kind,
                             struct vg_reading *reading, struct vg_heartbeat *beat,
                             struct vg_error *err) VG_NODISCARD;

#endif
