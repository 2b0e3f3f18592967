/* The registry of the wire: every number, name and limit that both sides must agree on, once.
 *
 *   POST /v1/readings?store=<16 hex>&lane=<u|r>&seq=<first>    content-format 112, 110 or 50
 *   POST /v1/ok                                                content-format 50: ["id", …]
 *
 * A refused batch is answered with content-format 60 (CBOR): [[index, code], …], index from 0 in
 * the batch, code the CoAP code byte that would have answered this reading alone. */
#ifndef VIGIA_REGISTRY_H
#define VIGIA_REGISTRY_H

#include "vigia/err.h"
#include "vigia/reading.h"

/* CoAP content-formats (IANA). */
enum vg_format {
    VG_FORMAT_JSON = 50,
    VG_FORMAT_CBOR = 60,
    VG_FORMAT_SENML_JSON = 110,
    VG_FORMAT_SENML_CBOR = 112,
};
/* "json", "senml-json", "senml-cbor" (what a request body may be). */
bool vg_format_parse(struct vg_span name, enum vg_format *out);
/* The number of a content-format option; false when a request may not have it (answer 4.15). */
bool vg_format_known(unsigned content_format, enum vg_format *out);
const char *vg_format_name(enum vg_format format);

/* CoAP codes as the byte of the header (RFC 7252 §12.1): class << 5 | detail. */
#define VG_COAP_CODE(class, detail) ((class) << 5 | (detail))
enum vg_coap {
    VG_COAP_POST = VG_COAP_CODE(0, 2),
    VG_COAP_CHANGED = VG_COAP_CODE(2, 4),
    VG_COAP_BAD_REQUEST = VG_COAP_CODE(4, 0),
    VG_COAP_UNAUTHORIZED = VG_COAP_CODE(4, 1),
    VG_COAP_FORBIDDEN = VG_COAP_CODE(4, 3),
    VG_COAP_NOT_FOUND = VG_COAP_CODE(4, 4),
    VG_COAP_NOT_ALLOWED = VG_COAP_CODE(4, 5),
    VG_COAP_TOO_LARGE = VG_COAP_CODE(4, 13),
    VG_COAP_UNSUPPORTED_FORMAT = VG_COAP_CODE(4, 15),
    VG_COAP_UNPROCESSABLE = VG_COAP_CODE(4, 22),
    VG_COAP_TOO_MANY = VG_COAP_CODE(4, 29),
    VG_COAP_INTERNAL = VG_COAP_CODE(5, 0),
    VG_COAP_UNAVAILABLE = VG_COAP_CODE(5, 3),
};
/* "4.22" in a caller's buffer of VG_COAP_TEXT_MAX. */
#define VG_COAP_TEXT_MAX 8
const char *vg_coap_text(unsigned code, char *out);

#define VG_PATH_VERSION  "v1"
#define VG_PATH_READINGS "readings"
#define VG_PATH_OK       "ok"
#define VG_QUERY_STORE   "store"
#define VG_QUERY_LANE    "lane"
#define VG_QUERY_SEQ     "seq"
#define VG_COAPS_PORT    5684

/* Largest request body in bytes; above it 4.13 with Size1 = VG_BODY_MAX. */
#define VG_BODY_MAX 1152
/* Most readings of one request. */
#define VG_BATCH_READINGS_MAX 128

/* Agent timing (milliseconds, CoAP terms of RFC 7252 §4.8) and the collector's promise. */
#define VG_ACK_TIMEOUT_MS        1000
#define VG_MAX_RETRANSMIT        3
#define VG_SEPARATE_TIMEOUT_MS   20000
#define VG_PIGGYBACK_MS          50
#define VG_ALIVE_PERIOD_MS       60000
#define VG_DEAD_AFTER_UNANSWERED 2

/* Why a body or a reading is refused. X(name, code, stable name, text). The stable names appear in
 * logs, in the `rejected` topic and in the vectors; they never change meaning. 4.00 speaks of the
 * whole body, the others of one reading. */
#define VG_REASONS(X)                                                                              \
    X(SYNTAX, VG_COAP_BAD_REQUEST, "syntax", "not well-formed")                                    \
    X(UTF8, VG_COAP_BAD_REQUEST, "utf8", "text is not UTF-8")                                      \
    X(DEPTH, VG_COAP_BAD_REQUEST, "depth", "nested too deep")                                      \
    X(TRAILING, VG_COAP_BAD_REQUEST, "trailing", "bytes after the end")                            \
    X(SHAPE, VG_COAP_BAD_REQUEST, "shape", "not the expected array or object")                     \
    X(EMPTY, VG_COAP_BAD_REQUEST, "empty", "nothing in it")                                        \
    X(TOO_MANY, VG_COAP_BAD_REQUEST, "too-many", "too many readings")                              \
    X(LABELS, VG_COAP_BAD_REQUEST, "labels", "too many or too long labels in one record")          \
    X(LABEL_FORM, VG_COAP_BAD_REQUEST, "label-form", "a label that RFC 8428 cannot have")          \
    X(LABEL_TWICE, VG_COAP_BAD_REQUEST, "label-twice", "the same label twice in one record")       \
    X(LABEL_TYPE, VG_COAP_BAD_REQUEST, "label-type", "a label with a value of the wrong type")     \
    X(MUST_KNOW, VG_COAP_BAD_REQUEST, "must-know", "an unknown label ending in _")                 \
    X(VERSION, VG_COAP_BAD_REQUEST, "version", "a SenML version that is not understood")           \
    X(IDENTITY, VG_COAP_BAD_REQUEST, "identity", "store, lane and seq are incomplete or wrong")    \
    X(NAME, VG_COAP_UNPROCESSABLE, "name", "not a SenML name")                                     \
    X(NAME_LONG, VG_COAP_UNPROCESSABLE, "name-long", "a name that is too long")                    \
    X(NAME_PARTS, VG_COAP_UNPROCESSABLE, "name-parts", "a name without sensor or quantity")        \
    X(RESERVED, VG_COAP_UNPROCESSABLE, "reserved", "a quantity named like a field of the schema")  \
    X(TIME, VG_COAP_UNPROCESSABLE, "time", "a time outside what is accepted")                      \
    X(NO_VALUE, VG_COAP_UNPROCESSABLE, "no-value", "no value")                                     \
    X(VALUES, VG_COAP_UNPROCESSABLE, "values", "more than one value in one record")                \
    X(SUM, VG_COAP_UNPROCESSABLE, "sum", "a sum where a value is expected")                        \
    X(VALUE_TYPE, VG_COAP_UNPROCESSABLE, "value-type", "a value of the wrong type")                \
    X(VALUE_RANGE, VG_COAP_UNPROCESSABLE, "value-range", "a number that is not finite")            \
    X(UNIT, VG_COAP_UNPROCESSABLE, "unit", "a unit other than Cel")                                \
    X(FALSE, VG_COAP_UNPROCESSABLE, "false", "a value that can only be true")                      \
    X(QUALITY, VG_COAP_UNPROCESSABLE, "quality", "an unknown quality")                             \
    X(TWICE, VG_COAP_UNPROCESSABLE, "twice", "the same quantity twice in one reading")             \
    X(OK_ALONE, VG_COAP_UNPROCESSABLE, "ok-alone", "an OK together with something else")           \
    X(EVENT_ALONE, VG_COAP_UNPROCESSABLE, "event-alone", "an event together with a quantity")      \
    X(EXTRAS, VG_COAP_UNPROCESSABLE, "extras", "too many unknown quantities")                      \
    X(TEXT, VG_COAP_UNPROCESSABLE, "text", "a text that is too long or has a NUL")                 \
    X(FOREIGN, VG_COAP_FORBIDDEN, "foreign", "not this device's sensor")

enum vg_reason {
    VG_REASON_NONE = 0,
#define VG_REASON_ENUM(name, code, stable, text) VG_REASON_##name,
    VG_REASONS(VG_REASON_ENUM)
#undef VG_REASON_ENUM
        VG_REASON_COUNT
};
const char *vg_reason_name(enum vg_reason reason);  /* "name-long"; "none" */
const char *vg_reason_text(enum vg_reason reason);  /* one short clause for people */
enum vg_coap vg_reason_code(enum vg_reason reason); /* VG_COAP_CHANGED for VG_REASON_NONE */

/* One entry of the refusal list. */
struct vg_refusal {
    uint16_t index;
    uint8_t code; /* enum vg_coap */
};
/* Room that any list of VG_BATCH_READINGS_MAX entries needs. */
#define VG_REFUSALS_BYTES_MAX (3 + VG_BATCH_READINGS_MAX * 5)
/* Writes [[index, code], …]. VG_E_FULL when `size` is too small. */
enum vg_err vg_refusals_encode(const struct vg_refusal *list, size_t count, void *out, size_t size,
                               size_t *len) VG_NODISCARD;
/* Strict: an array of pairs of unsigned numbers, nothing after it. VG_E_INVALID otherwise,
 * VG_E_FULL above `max`. */
enum vg_err vg_refusals_decode(struct vg_span body, struct vg_refusal *out, size_t max,
                               size_t *count) VG_NODISCARD;

/* The identity of a batch: its reading i is (device, store, lane, seq + i). */
struct vg_identity {
    uint64_t store;
    uint64_t seq; /* of the first reading */
    char lane;    /* VG_LANE_NONE: the request had none */
};
#define VG_QUERY_MAX 32
/* The three Uri-Query options, NUL-terminated: "store=…", "lane=…", "seq=…". */
void vg_identity_format(const struct vg_identity *id, char out[3][VG_QUERY_MAX]);
/* Reads the Uri-Query options of a request, in any order: all three or none; unknown names are
 * ignored, a repeated one is not. VG_E_INVALID (4.00, VG_REASON_IDENTITY) with the option named in
 * *err. `count` is the batch's number of readings: seq + count must stay within VG_SEQ_MAX. */
enum vg_err vg_identity_parse(const struct vg_span *queries, size_t query_count, size_t count,
                              struct vg_identity *out, struct vg_error *err) VG_NODISCARD;

#endif
