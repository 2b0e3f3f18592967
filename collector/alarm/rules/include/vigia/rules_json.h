/* The JSON of the rules: events (topic `alarms`), state (`alarm-state`), commands (`commands`).
 * docs/schemas/{alarms,alarm-state,commands}.json state the fields. No heap. */
#ifndef VIGIA_RULES_JSON_H
#define VIGIA_RULES_JSON_H

#include "vigia/err.h"
#include "vigia/rules.h"

#define VG_RULES_VERSION    1
#define VG_ALARM_EVENT_MAX  4096  /* longest encoded event */
#define VG_ALARM_STATE_MAX  16384 /* longest encoded state */
#define VG_COMMAND_JSON_MAX 2048  /* longest command that is looked at */

/* "42959:smoke:3" into `out`, which has room for VG_ALARM_ID_MAX + 1. */
void vg_alarm_id_format(const char *sensor, enum vg_alarm_type type, uint64_t activation,
                        char *out);
/* The reverse, read from the right since a sensor id may have colons. False: not an alarm id.
 * `sensor` is borrowed. */
bool vg_alarm_id_parse(struct vg_span id, struct vg_span *sensor, enum vg_alarm_type *type,
                       uint64_t *activation);

/* VG_E_FULL: `size` is too small, never with VG_ALARM_EVENT_MAX. */
enum vg_err vg_alarm_event_encode(const struct vg_alarm_event *event, char *out, size_t size,
                                  size_t *len) VG_NODISCARD;

/* VG_E_FULL: `size` is too small, never with VG_ALARM_STATE_MAX. */
enum vg_err vg_rules_state_encode(const struct vg_rules_state *s, char *out, size_t size,
                                  size_t *len) VG_NODISCARD;
/* Exactly what was encoded, but restored, and not dirty. VG_E_VERSION: made by a newer version;
 * VG_E_INVALID: not a state. */
enum vg_err vg_rules_state_decode(struct vg_span json, struct vg_rules_state *s,
                                  struct vg_error *err) VG_NODISCARD;

enum vg_err vg_command_encode(const struct vg_command *c, char *out, size_t size,
                              size_t *len) VG_NODISCARD;
/* VG_E_VERSION, VG_E_INVALID, VG_E_RANGE (a text is too long). A verb of a later version is
 * VG_COMMAND_OTHER. */
enum vg_err vg_command_decode(struct vg_span json, struct vg_command *c,
                              struct vg_error *err) VG_NODISCARD;
/* The sensor that a command speaks of, its key in the log: what the alarm id begins with; empty
 * when it is no alarm id. */
struct vg_span vg_command_sensor(const struct vg_command *c);

/* ---- for people: the alarms that are worth showing ---- */

/* What the state of a sensor says about one alarm. */
struct vg_alarm_view {
    char id[VG_ALARM_ID_MAX + 1]; /* names the raised alarm; of a pre-alarm the running episode */
    const char *sensor, *device;
    enum vg_alarm_type type;
    const struct vg_alarm *alarm;
    uint64_t activation;
    bool pre_alarm; /* PENDING: not raised yet */
    bool active;    /* the condition stands */
    bool acked;     /* of a raised one */
};
/* Worth showing: ACTIVE, PENDING, or cleared but never acknowledged. A pre-alarm that follows an
 * unacknowledged alarm gives two. */
typedef void vg_alarm_view_fn(void *arg, const struct vg_alarm_view *view);
void vg_alarm_views(const struct vg_rules_state *s, vg_alarm_view_fn *fn, void *arg);

/* The pseudo-sensor that alarms of type `collector` of a partition belong to: "collectors/3". */
void vg_collector_sensor(int32_t partition, char out[VG_SENSOR_ID_MAX + 1]);
/* The partition of such a name, so that a command about it is appended there; -1 for every other
 * sensor. */
int32_t vg_collector_partition(struct vg_span sensor);

#endif
