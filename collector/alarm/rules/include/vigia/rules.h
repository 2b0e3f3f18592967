/* The alarm rules: readings, commands and time in, alarm events out.
 *
 *   reading ─┐                                   ┌─► event(...)  pre_alarm, raised, cleared, …
 *   command ─┼─► state of one sensor ─► new state┤
 *   time ────┘   (fixed size)                    └─► dirty: the state has to be stored with the
 * events
 *
 * Pure: no clock, no heap, no I/O. Two times appear everywhere and must not be confused:
 *   reading time  when something was measured (vg_reading_count_ms); strikes and OKs are compared
 * by it now           the partition's clock, which the caller moves and which never goes back;
 * deadlines run on it docs/alarm-rules.md describes the behaviour; rules/matrix.txt has every state
 * and event. */
#ifndef VIGIA_RULES_H
#define VIGIA_RULES_H

#include "vigia/reading.h"

#define VG_STRIKES_MAX 10 /* greatest [rules] strikes */
/* Buffers of a sensor's device that are remembered. The agent begins one at each start, and after an
 * outage the readings of all its starts come together. */
#define VG_RULES_STORES_MAX 32
#define VG_NEVER_MS         INT64_MAX
#define VG_LONG_AGO_MS      INT64_MIN /* "has not happened yet" */

enum vg_alarm_type {
    VG_ALARM_MOTION,
    VG_ALARM_SMOKE,
    VG_ALARM_TEMPERATURE,
    VG_ALARM_SILENCE,   /* a sensor sends nothing */
    VG_ALARM_DEVICE,    /* a device sends no `alive` */
    VG_ALARM_STORAGE,   /* a device lost readings or its buffer */
    VG_ALARM_COLLECTOR, /* no collector writes to the partition */
    VG_ALARM_TYPE_COUNT
};

enum vg_condition { VG_NORMAL, VG_PENDING, VG_ACTIVE };
enum vg_priority { VG_PRIORITY_LOW, VG_PRIORITY_MEDIUM, VG_PRIORITY_HIGH };

enum vg_alarm_event_kind {
    VG_PRE_ALARM,
    VG_PRE_ALARM_EXPIRED,
    VG_PRE_ALARM_CANCELLED,
    VG_RAISED,
    VG_CLEARED,
    VG_LATE_ACTIVITY,
    VG_ACKNOWLEDGED,
    VG_REFUSED,
    VG_ALARM_EVENT_KIND_COUNT
};

const char *vg_alarm_type_name(enum vg_alarm_type type);
/* VG_ALARM_TYPE_COUNT when it is none of them. */
enum vg_alarm_type vg_alarm_type_parse(struct vg_span name);
const char *vg_condition_name(enum vg_condition condition);
const char *vg_priority_name(enum vg_priority priority);
const char *vg_alarm_event_name(enum vg_alarm_event_kind kind);

struct vg_rules_conf {
    int64_t strikes;        /* 1..VG_STRIKES_MAX active readings raise smoke and temperature */
    int64_t window_ms;      /* within this of the first one; VG_NEVER_MS: without limit */
    bool normal_resets;     /* a normal reading removes strikes, as an OK does */
    bool supervision;       /* tell silence of sensors, devices and collectors */
    int64_t silence_factor; /* k: silence is told after period * k */
    int64_t alive_ms;       /* period of a device's `alive` */
    int64_t heartbeat_ms;   /* without a heartbeat for this long, the collectors are silent */
    int priority[VG_ALARM_TYPE_COUNT]; /* enum vg_priority */
};
/* The values of design: 3 strikes in 10 min, k = 3, alive 60 s, heartbeat 30 s; smoke, temperature,
 * collector high. */
void vg_rules_conf_default(struct vg_rules_conf *conf);

/* One (sensor, type). Times are reading times; VG_LONG_AGO_MS where there is none yet. */
struct vg_alarm {
    uint64_t activation; /* the running or last episode; 0: none so far */
    uint64_t raised;     /* the last activation that was raised, which `acked` speaks of; 0: none */
    uint64_t count;      /* active readings of the running or last episode */
    int64_t first_ms;    /* its first active reading */
    int64_t last_ms;     /* its newest one */
    int64_t raised_ms;   /* of `raised`: newest of the strikes that raised it */
    uint8_t condition;   /* enum vg_condition */
    uint8_t strikes;     /* PENDING: strikes so far; afterwards how many there were */
    uint8_t priority;    /* enum vg_priority, of `raised` */
    bool acked;
};

struct vg_strike {
    int64_t time_ms; /* reading time */
    int64_t now_ms;  /* the partition's clock when it was applied */
};

/* What was applied from one buffer: `next` is one past the highest seq of an active reading, OK or
 * device event, per lane (urgent, routine); 0: nothing. Routine readings need no mark: repeating a
 * normal one is harmless. */
struct vg_store_mark {
    uint64_t store;
    uint64_t next[2];
    int64_t newest_ms; /* greatest min(reading time, received time) */
};

#define VG_RULES_STRIKE_TYPES 2 /* smoke, temperature */

struct vg_rules_state {
    char sensor[VG_SENSOR_ID_MAX + 1];
    char device[VG_DEVICE_NAME_MAX + 1]; /* of the newest message */
    int64_t ok_ms;                       /* newest OK applied */
    int64_t newest_ms;                   /* newest active reading or OK applied */
    int64_t seen_ms; /* partition's clock at the newest message; for type `collector`: at the newest
                        heartbeat */
    int64_t saved_ms;    /* seen_ms as last stored */
    int64_t since_ms;    /* supervised in this way since (grace after a change of period, or of the
                          collectors' return) */
    int64_t clock_ms;    /* type `collector` only: the partition's clock as last stored */
    int64_t arrived_ms;  /* type `collector` only: vg_rules.arrived_ms as last stored */
    int64_t period_ms;   /* 0: not supervised */
    int64_t patience_ms; /* period * k as last stored: how far the stored seen_ms may lag behind */
    struct vg_alarm alarm[VG_ALARM_TYPE_COUNT];
    struct vg_strike strike[VG_RULES_STRIKE_TYPES]
                           [VG_STRIKES_MAX]; /* PENDING: oldest reading time first */
    struct vg_store_mark store[VG_RULES_STORES_MAX];
    uint8_t store_count;
    bool restored; /* seen_ms comes from the log and may be older than the truth by period * k */
    bool dirty;    /* differs from what was stored */
    bool stale;    /* does too, but as many others may: stored in portions */
};

struct vg_alarm_event {
    enum vg_alarm_event_kind kind;
    enum vg_alarm_type type; /* VG_ALARM_TYPE_COUNT: unknown (`refused` only) */
    const char *sensor;
    const char *named;   /* acknowledged, refused: the alarm id as the command gave it; else NULL */
    uint64_t activation; /* 0 for late_activity */
    unsigned strikes;
    uint64_t count; /* active readings in the episode */
    int priority;
    bool late;
    int64_t time_ms;                  /* reading, OK, command or deadline that caused the event */
    int64_t raised_ms;                /* VG_LONG_AGO_MS: left out */
    int64_t first_ms;                 /* VG_LONG_AGO_MS: left out */
    const char *reason;               /* late_activity, refused, storage; else NULL */
    const char *who, *why;            /* of a command; else NULL */
    const char *device;               /* may be empty */
    const struct vg_reading *reading; /* values and identity; NULL: none */
};

/* Called for each event, in order; nothing in it outlives the call. */
typedef void vg_alarm_event_fn(void *arg, const struct vg_alarm_event *event);

struct vg_rules_counters {
    uint64_t duplicates; /* identity at or below its mark */
    uint64_t old_stores; /* not among the newest stores of its sensor */
};

struct vg_rules {
    const struct vg_rules_conf *conf;
    vg_alarm_event_fn *event;
    void *arg;
    struct vg_rules_counters counters;
    int64_t
        arrived_ms; /* greatest received time of the partition's records; VG_LONG_AGO_MS: none */
};

#define VG_ALARM_ID_MAX    (VG_SENSOR_ID_MAX + 1 + 11 + 1 + 20) /* "sensor:type:activation" */
#define VG_COMMAND_WHO_MAX 63
#define VG_COMMAND_WHY_MAX 159

enum vg_command_verb {
    VG_COMMAND_ACKNOWLEDGE,
    VG_COMMAND_OTHER /* reset, shelve, out_of_service …: refused by this version */
};
struct vg_command {
    enum vg_command_verb verb;
    char alarm_id[VG_ALARM_ID_MAX + 1];
    char who[VG_COMMAND_WHO_MAX + 1];
    char why[VG_COMMAND_WHY_MAX + 1];
    int64_t time_ms;
};

/* A sensor of which nothing is known. False: the id is too long or empty. */
bool vg_rules_state_init(struct vg_rules_state *s, struct vg_span sensor);

/* Applies one message of the sensor. Deadlines up to `now_ms` are told first. A time_ms later than
 * arrived_ms counts as that; what has no time of its own counts by its received_ms, but not before
 * what the sensor has told. */
void vg_rules_reading(struct vg_rules *rules, struct vg_rules_state *s, const struct vg_reading *m,
                      int64_t now_ms);
void vg_rules_command(struct vg_rules *rules, struct vg_rules_state *s, const struct vg_command *c);

/* The next time at which a pre-alarm expires, or VG_NEVER_MS; _expire tells those at or before
 * `now_ms`. */
int64_t vg_rules_expiry(const struct vg_rules_conf *conf, const struct vg_rules_state *s);
void vg_rules_expire(struct vg_rules *rules, struct vg_rules_state *s, int64_t now_ms);

/* The time at which silence is told, or VG_NEVER_MS. `floor_ms`: no message is expected before then
 * (the collectors' return); VG_LONG_AGO_MS: none. */
int64_t vg_rules_silence(const struct vg_rules_conf *conf, const struct vg_rules_state *s,
                         int64_t floor_ms);
/* Raises it (type `silence`, for a device's own name `device`) if it is due at `now_ms`. */
void vg_rules_silent(struct vg_rules *rules, struct vg_rules_state *s, int64_t now_ms,
                     int64_t floor_ms);
/* The sensor's period changed, or it is no longer supervised (0): counted from `now_ms`; a silence
 * told is cleared by 0. True: it is another one than before, to be stored. */
bool vg_rules_supervise(struct vg_rules *rules, struct vg_rules_state *s, int64_t period_ms,
                        int64_t now_ms);

/* Type `collector`, on a state of its own: silent since s->seen_ms, told at `now_ms`; heard again.
 */
void vg_rules_collector_silent(struct vg_rules *rules, struct vg_rules_state *s, int64_t now_ms);
void vg_rules_collector_heard(struct vg_rules *rules, struct vg_rules_state *s, int64_t now_ms);

/* The state has been handed to the log: not dirty or stale, and seen_ms counts as stored. */
void vg_rules_stored(struct vg_rules_state *s);

#endif
