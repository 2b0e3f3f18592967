/* Devices: who may speak, for which sensors, with which key.
 *
 *   `devices` topic (compacted)  ─view─►  struct vg_devices  ─►  by name    collector: handshake,
 *   key: device name                      (bounded table)                   authorisation
 *                                                            ─►  by sensor  alarm: period and class
 *
 * A value is one JSON object:
 *   {"v":1,"device":"pi-42","version":3,"state":"active","sensors":["42959","hall-*"],"period_ms":60000,"class":"home",
 *    "credential":{"kid":"9f3c1b22","nonce":"…","data":"…","tag":"…"}}
 * A pattern is an exact sensor id or a prefix followed by one trailing '*'. `version` grows with
 * every change of the entry; the credential is sealed for exactly one version (vigia/keys.h), so an
 * older one cannot be pasted into a newer entry. */
#ifndef VIGIA_DEVICES_H
#define VIGIA_DEVICES_H

#include "vigia/err.h"
#include "vigia/keys.h"
#include "vigia/reading.h"
#include "vigia/span.h"

#include <stdint.h>

#define VG_DEVICE_PATTERN_MAX                                                                      \
    (VG_SENSOR_ID_MAX + 1)         /* longest pattern, without NUL: an id and the star */
#define VG_DEVICE_CLASS_MAX    32  /* longest class, without NUL */
#define VG_DEVICE_PATTERNS_MAX 256 /* patterns of one device */
#define VG_DEVICE_JSON_MAX                                                                         \
    (VG_DEVICE_PATTERNS_MAX * (VG_DEVICE_PATTERN_MAX + 3) + 1024) /* bytes of an encoded entry */
#define VG_DEVICE_VERSION_MAX   9007199254740991ULL               /* exact as a JSON number */
#define VG_DEVICE_PERIOD_MIN_MS 100LL
#define VG_DEVICE_PERIOD_MAX_MS (31LL * 24 * 3600 * 1000)

enum vg_device_state { VG_DEVICE_ACTIVE, VG_DEVICE_REVOKED };

struct vg_device {
    char name[VG_DEVICE_NAME_MAX + 1];
    uint64_t version; /* from 1 */
    enum vg_device_state state;
    int64_t
        period_ms; /* longest time between two messages of each of its sensors; 0: not supervised */
    char class_name[VG_DEVICE_CLASS_MAX +
                    1]; /* free word for rules and people ("home"); may be empty */
    struct vg_credential credential;
    size_t pattern_count;
    char patterns[][VG_DEVICE_PATTERN_MAX +
                    1]; /* vg_device_new gives room for VG_DEVICE_PATTERNS_MAX */
};

/* An empty device with room for every pattern; free() it. NULL: no memory. */
struct vg_device *vg_device_new(void);

/* A name: 1 to VG_DEVICE_NAME_MAX of A-Z a-z 0-9 . _ : - (no '/', no '*'). A pattern: the
 * characters of a sensor id, or a prefix of them and '*'; "*" alone is every sensor. */
bool vg_device_name_valid(struct vg_span name);
bool vg_device_pattern_valid(struct vg_span pattern);

/* Adds a pattern: VG_E_INVALID (malformed), VG_E_EXISTS, VG_E_FULL. */
enum vg_err vg_device_add_pattern(struct vg_device *device, struct vg_span pattern,
                                  struct vg_error *err) VG_NODISCARD;

/* Whether the device may speak for the sensor: one of its patterns covers it, or the sensor is the
 * device's own name. State is not looked at. */
bool vg_device_may(const struct vg_device *device, struct vg_span sensor);

/* JSON of an entry, NUL-terminated, in `out` of `size` bytes (VG_DEVICE_JSON_MAX always fits).
 * VG_E_INVALID for an entry that decode would refuse, VG_E_FULL when it does not fit. */
enum vg_err vg_device_encode(const struct vg_device *device, char *out, size_t size, size_t *len,
                             struct vg_error *err) VG_NODISCARD;
/* VG_E_INVALID: not such an object; VG_E_VERSION: "v" is higher than 1 (stop); VG_E_FULL: too long,
 * too deep or too many patterns. `out` has the room of vg_device_new and is untouched on failure.
 */
enum vg_err vg_device_decode(struct vg_span json, struct vg_device *out,
                             struct vg_error *err) VG_NODISCARD;

/* ---- the table ---- */

struct vg_dlog;
struct vg_devices;

/* One entry changed. `now` is NULL when it was removed or became unusable. Called from
 * vg_devices_apply or _dispatch; pointers are valid during the call. */
typedef void vg_devices_change_fn(void *arg, const char *name, const struct vg_device *now);

/* A table of at most max_devices. fn may be NULL. */
enum vg_err vg_devices_new(size_t max_devices, vg_devices_change_fn *fn, void *arg,
                           struct vg_devices **out) VG_NODISCARD;
/* Closes the view too. NULL is allowed. */
void vg_devices_free(struct vg_devices *table);

/* Follows the `devices` topic of an open log; the log outlives the table. Errors of
 * vg_dlog_view_open. */
enum vg_err vg_devices_follow(struct vg_devices *table, struct vg_dlog *log,
                              struct vg_error *err) VG_NODISCARD;
/* Readable when _dispatch has something to do. */
int vg_devices_fd(const struct vg_devices *table);
/* Applies what has arrived; never blocks. VG_E_VERSION: a newer program wrote an entry, stop;
 * others: the log's. */
enum vg_err vg_devices_dispatch(struct vg_devices *table, struct vg_error *err) VG_NODISCARD;
/* Whether everything that was in the topic when it was opened has been applied. */
bool vg_devices_caught_up(const struct vg_devices *table);

/* One record of the topic: the change callback runs if something changed. An empty value removes.
 * An entry that cannot be read (VG_E_INVALID, VG_E_FULL) or that is one too many (VG_E_FULL) leaves
 * its device unknown: it fails closed. */
enum vg_err vg_devices_apply(struct vg_devices *table, struct vg_span key, struct vg_span value,
                             struct vg_error *err) VG_NODISCARD;

size_t vg_devices_count(const struct vg_devices *table);
/* Entries that were refused since the table was made. */
uint64_t vg_devices_refused(const struct vg_devices *table);
/* Why the last entry of the topic was refused, one line for the program's log; "" when none was. */
const char *vg_devices_refusal(const struct vg_devices *table);
/* NULL when unknown. Valid until the next apply or dispatch. */
const struct vg_device *vg_devices_find(const struct vg_devices *table, struct vg_span name);
/* The active device that answers for a sensor: its own name, else an exact pattern, else the
 * longest prefix; among equals the shortest period. NULL when there is none. */
const struct vg_device *vg_devices_find_sensor(const struct vg_devices *table,
                                               struct vg_span sensor);
/* Walks all entries: start with *cursor = 0, NULL at the end. No order; no apply or dispatch in
 * between. */
const struct vg_device *vg_devices_next(const struct vg_devices *table, size_t *cursor);

#endif
