/* How the three decoders of this module fill a batch: texts, quantities and SenML records. */
#ifndef VIGIA_WIRE_BATCH_H
#define VIGIA_WIRE_BATCH_H

#include "json_inner.h"
#include "vigia/senml.h"

#include <assert.h>

/* Containers open at once, in JSON and CBOR. A pack needs two; the rest is for values under unknown
 * labels. */
#define VGI_DEPTH_MAX 8
/* Labels of one record, unknown ones included. */
#define VGI_LABELS_MAX 32

/* A text of the body, cut to what any use of it may need; `len` counts all of it. */
#define VGI_TEXT_MAX 95
struct vgi_text {
    char at[VGI_TEXT_MAX + 1]; /* NUL-terminated */
    size_t len;
    bool nul; /* it contains a NUL byte */
};
static_assert(VG_SENSOR_ID_MAX + 1 + VG_EXTRA_NAME_MAX <= VGI_TEXT_MAX, "a name fits a text");
static_assert(VG_EVENT_TEXT_MAX <= VGI_TEXT_MAX, "an event fits a text");
static_assert(VG_EXTRA_TEXT_MAX <= VG_EVENT_TEXT_MAX, "an extra fits a text");

void vgi_text_clear(struct vgi_text *t);
void vgi_text_add(struct vgi_text *t, const char *bytes, size_t len);
void vgi_text_from_json(struct vgi_text *t, struct vg_json_str s);
static inline bool vgi_text_long(const struct vgi_text *t)
{
    return t->len > VGI_TEXT_MAX;
}
static inline struct vg_span vgi_text_span(const struct vgi_text *t)
{
    return vg_span(t->at, vgi_text_long(t) ? VGI_TEXT_MAX : t->len);
}

/* FNV-1a, 64 bits. */
static inline uint64_t vgi_hash(struct vg_span s)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < s.len; i++) {
        h = (h ^ (unsigned char)s.at[i]) * 0x100000001b3ULL;
    }
    return h;
}

enum vgi_value_type { VGI_NUMBER, VGI_BOOL, VGI_TEXT, VGI_OTHER };
struct vgi_value {
    enum vgi_value_type type;
    double number; /* may be infinite or NaN: refused by vgi_quantity_set */
    bool boolean;
    const struct vgi_text *text;
    const struct vgi_text *unit; /* NULL: none */
};

/* Gives a reading one quantity by its name. */
enum vg_reason vgi_quantity_set(struct vg_reading *r, struct vg_span name,
                                const struct vgi_value *value);
/* Only the characters of RFC 8428 §4.5.1, at least one. */
bool vgi_name_chars(struct vg_span name);
/* A name that may stand under `x`: not one of the wire's or the schema's own. */
bool vgi_extra_name(struct vg_span name);
/* Whether a complete reading makes sense as a whole: something in it, an OK or an event alone. */
enum vg_reason vgi_reading_check(const struct vg_reading *r);

/* Kept in vg_reading.has until the batch is finished: `q` was given. */
#define VGI_HAS_QUALITY (1u << 31)

/* A new reading at the end of the batch; its index, or -1 when the batch is full. */
int vgi_batch_add(struct vg_batch *b, struct vg_span sensor, int64_t time_ms, int64_t now_ms,
                  enum vg_quality quality);
/* The whole body is refused: notes why and where, empties the batch. */
enum vg_err vgi_batch_fail(struct vg_batch *b, enum vg_reason reason, size_t offset,
                           struct vg_error *err);
/* Checks every reading as a whole and sums up. */
enum vg_err vgi_batch_finish(struct vg_batch *b, struct vg_error *err);
/* The reason that stands for an error of the JSON reader. */
enum vg_reason vgi_json_reason(enum vg_json_error error);

/* Labels of a SenML record, in the order of vgi_labels. */
enum vgi_label {
    VGI_BN,
    VGI_BT,
    VGI_BU,
    VGI_BV,
    VGI_BS,
    VGI_BVER,
    VGI_N,
    VGI_U,
    VGI_V,
    VGI_VS,
    VGI_VB,
    VGI_S,
    VGI_T,
    VGI_UT,
    VGI_VD,
    VGI_LABEL_COUNT,
    VGI_LABEL_UNKNOWN = VGI_LABEL_COUNT
};
enum vgi_label_type {
    VGI_LABEL_TEXT,
    VGI_LABEL_NUMBER,
    VGI_LABEL_BOOL,
    VGI_LABEL_UINT,
    VGI_LABEL_DATA
};
struct vgi_label_row {
    const char *name; /* JSON */
    int number;       /* CBOR (RFC 8428 table 4) */
    enum vgi_label_type type;
};
extern const struct vgi_label_row vgi_labels[VGI_LABEL_COUNT];
enum vgi_label vgi_label_by_name(struct vg_span name);
enum vgi_label vgi_label_by_number(int64_t number);

/* One record as it stands in the pack. */
struct vgi_record {
    uint32_t present; /* bit per vgi_label */
    struct vgi_text base_name;
    struct vgi_text base_unit;
    struct vgi_text name;
    struct vgi_text unit;
    struct vgi_text string;
    double numbers[VGI_LABEL_COUNT]; /* of the labels that are numbers */
    bool boolean;
    size_t label_count;
    size_t unknown_count;
    uint64_t unknown[VGI_LABELS_MAX]; /* hashes of the unknown labels seen */
};
/* The place of a text label, or NULL. */
struct vgi_text *vgi_record_text(struct vgi_record *rec, enum vgi_label label);
void vgi_record_clear(struct vgi_record *rec);
/* Notes a known label; refuses a second one. */
enum vg_reason vgi_record_label(struct vgi_record *rec, enum vgi_label label);
/* Notes an unknown label; refuses a second one and one that must be understood (RFC 8428 §4.4). */
enum vg_reason vgi_record_unknown(struct vgi_record *rec, const struct vgi_text *name);

/* What base fields are in effect while a pack is resolved. */
struct vgi_resolver {
    struct vg_batch *batch;
    int64_t now_ms;
    struct vgi_text base_name;
    struct vgi_text base_unit;
    bool has_base_unit;
    bool has_base_sum;
    double base_time;
    double base_value;
};
void vgi_resolver_init(struct vgi_resolver *r, struct vg_batch *batch, struct vg_wall now);
/* Resolves one record into the batch. What is wrong with one reading is noted there; a reason that
 * concerns the whole pack is returned. */
enum vg_reason vgi_resolve(struct vgi_resolver *r, const struct vgi_record *rec);

enum vg_err vgi_decode_senml_cbor(struct vg_span body, struct vg_wall now, struct vg_batch *b,
                                  struct vg_error *err);
enum vg_err vgi_decode_senml_json(struct vg_span body, struct vg_wall now, struct vg_batch *b,
                                  struct vg_error *err);
enum vg_err vgi_decode_plain_json(struct vg_span body, struct vg_wall now, struct vg_batch *b,
                                  struct vg_error *err);

#endif
