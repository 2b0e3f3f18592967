/* The alarm engine: the rules for all sensors of one partition, with its clock and its deadlines.
 *
 *   heartbeat ─► clock ─► deadlines (two heaps) ─┐
 *   reading ───► table sensor ─► state ──────────┼─► event(...)
 *   command ───►                                 └─► changed states, taken with next_dirty
 *
 * All memory is taken in _new and bounded by max_sensors; the sensors found are never forgotten
 * while the engine lives, because their marks and activation numbers are what makes alarm ids
 * unique. No I/O, no clock: the caller moves time. One more sensor than max_sensors is refused:
 * counted, and its active readings are told as `late_activity`, reason "no-room". */
#ifndef VIGIA_ALARM_ENGINE_H
#define VIGIA_ALARM_ENGINE_H

#include "vigia/err.h"
#include "vigia/record.h"
#include "vigia/rules.h"

struct vg_alarm_engine;

/* The period of a sensor whose newest message came from `device`; 0: not supervised. */
typedef int64_t vg_alarm_period_fn(void *arg, const char *device, const char *sensor);

struct vg_alarm_engine_options {
    const struct vg_rules_conf *conf; /* outlives the engine */
    int32_t partition;
    size_t max_sensors; /* 1 .. 2^26 */
    uint64_t seed;      /* of the table's hash */
    vg_alarm_event_fn *event;
    vg_alarm_period_fn *period;
    void *arg;
};

struct vg_alarm_engine_counters {
    uint64_t readings, active, oks, device_events, heartbeats, commands;
    uint64_t duplicates, old_stores;
    uint64_t no_room; /* readings of sensors that did not fit */
};

/* VG_E_NOMEM, VG_E_RANGE. */
enum vg_err vg_alarm_engine_new(const struct vg_alarm_engine_options *options,
                                struct vg_alarm_engine **out) VG_NODISCARD;
void vg_alarm_engine_free(struct vg_alarm_engine *e); /* NULL is allowed */

/* Takes over a stored state (before anything else); then _restored once. VG_E_FULL: more than
 * max_sensors. Else as decode. */
enum vg_err vg_alarm_engine_restore(struct vg_alarm_engine *e, struct vg_span json,
                                    struct vg_error *err) VG_NODISCARD;
void vg_alarm_engine_restored(struct vg_alarm_engine *e);

/* Moves the partition's clock to at least `now_ms` and tells deadlines up to it, oldest first, at
 * most `max` of them. What _restored and _set_back left to be stored counts as one each. Returns how
 * many. */
size_t vg_alarm_engine_advance(struct vg_alarm_engine *e, int64_t now_ms, size_t max);
/* The clock; VG_LONG_AGO_MS before the first move. */
int64_t vg_alarm_engine_clock(const struct vg_alarm_engine *e);
/* When the clock, or a time of it in any state, is more than `slack_ms` ahead of `now_ms`: sets all
 * that is later than `now_ms` back to it; patience and windows that were running begin again there.
 * Arrivals, strikes and marks too, and OKs are forgotten, or nothing active would count until then.
 * Returns how many states were ahead; 0: all is as it was. The sensors among them are to be stored
 * in portions, by _advance. */
size_t vg_alarm_engine_set_back(struct vg_alarm_engine *e, int64_t now_ms, int64_t slack_ms);
/* A time not later than the next deadline; VG_NEVER_MS: there is none. */
int64_t vg_alarm_engine_next(const struct vg_alarm_engine *e);

/* Applied at the partition's clock: advance to received_ms first. */
void vg_alarm_engine_reading(struct vg_alarm_engine *e, const struct vg_reading *m);
void vg_alarm_engine_heartbeat(struct vg_alarm_engine *e, int64_t received_ms);
void vg_alarm_engine_command(struct vg_alarm_engine *e, const struct vg_command *c);
/* The period of every sensor is asked anew, by the next _advance; what that clears counts as a
 * deadline told. */
void vg_alarm_engine_devices_changed(struct vg_alarm_engine *e);

/* Takes one changed state and encodes it into `buf` (VG_ALARM_STATE_MAX bytes); false when there is
 * none. The spans are borrowed from the engine and `buf`. */
bool vg_alarm_engine_next_dirty(struct vg_alarm_engine *e, char *buf, struct vg_span *key,
                                struct vg_span *value);
size_t vg_alarm_engine_dirty(const struct vg_alarm_engine *e);
size_t vg_alarm_engine_sensors(const struct vg_alarm_engine *e);
struct vg_alarm_engine_counters vg_alarm_engine_counters(const struct vg_alarm_engine *e);

#endif
