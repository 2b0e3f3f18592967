/* What every target for a body of POST /v1/readings does: decode, and hold the result to its
 * contract. */
#ifndef VIGIA_FUZZ_WIRE_BODY_H
#define VIGIA_FUZZ_WIRE_BODY_H

#include "../require.h"

#include "vigia/record.h"
#include "vigia/senml.h"

#include <stdint.h>

#define FUZZ_NOW_MS 1793194820500LL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vg_batch fuzz_batch;

/* A reading that was accepted can be stored, and comes back the same. */
static inline void fuzz_record(const struct vg_reading *r)
{
    static struct vg_reading back;
    static struct vg_heartbeat beat;
    enum vg_record_kind kind;
    char line[VG_RECORD_MAX];
    size_t len;
    require(vg_record_encode(r, line, sizeof(line), &len) == VG_OK);
    require(vg_record_decode(vg_span(line, len), &kind, &back, &beat, NULL) == VG_OK);
    require(kind == VG_RECORD_READING && vg_reading_equal(r, &back));
}

/* Accepted readings go into a pack and come out the same, unless a pack cannot carry them as they
 * are. */
static inline void fuzz_pack(enum vg_format format)
{
    static char body[VG_BODY_MAX];
    static struct vg_pack pack;
    static struct vg_batch again;
    size_t count = 0;
    vg_pack_init(&pack, format, body, sizeof(body));
    while (count < fuzz_batch.count &&
           vg_pack_add(&pack, &fuzz_batch.readings[count], VG_PACK_ABSOLUTE, NULL) == VG_OK) {
        count++;
    }
    struct vg_span made = vg_pack_finish(&pack);
    require(made.len <= sizeof(body));
    if (count > 0) {
        require(vg_batch_decode(format, made, (struct vg_wall){FUZZ_NOW_MS}, &again, NULL) ==
                VG_OK);
        require(again.count == count);
        for (size_t i = 0; i < count; i++) {
            require(vg_reading_equal(&fuzz_batch.readings[i], &again.readings[i]));
        }
    }
}

static inline void fuzz_body(enum vg_format format, const uint8_t *data, size_t size)
{
    struct vg_error err;
    struct vg_wall now = {FUZZ_NOW_MS};
    enum vg_err result = vg_batch_decode(format, vg_span(data, size), now, &fuzz_batch, &err);
    require(result == VG_OK || result == VG_E_INVALID || result == VG_E_RANGE);
    require((result == VG_E_INVALID) == (fuzz_batch.count == 0));
    require((result == VG_E_RANGE) == (fuzz_batch.refused > 0));
    require(fuzz_batch.offset <= size);
    for (size_t i = 0; i < fuzz_batch.count; i++) {
        if (fuzz_batch.reasons[i] == VG_REASON_NONE) {
            fuzz_record(&fuzz_batch.readings[i]);
        }
    }
    if (result == VG_OK) {
        fuzz_pack(format == VG_FORMAT_JSON ? VG_FORMAT_SENML_JSON : format);
    }
}

#endif
