/* A reading: what one sensor said at one moment, or an OK, or an event that a device tells about
 * itself.
 *
 * One fixed-size struct without heap, used on both sides: the agent builds it, the wire carries it
 * (senml.h), the `readings` topic stores it (record.h), the rules eat it. A zeroed struct is an
 * empty reading. */
#ifndef VIGIA_READING_H
#define VIGIA_READING_H

#include "vigia/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest texts in bytes, without the terminating NUL. */
#define VG_SENSOR_ID_MAX   63
#define VG_DEVICE_NAME_MAX 63
#define VG_EXTRA_NAME_MAX  31
#define VG_EXTRA_TEXT_MAX  39
#define VG_EVENT_TEXT_MAX  95
/* Most quantities under `x`. */
#define VG_EXTRAS_MAX 8
/* Greatest sequence number: it travels as a JSON number, exact up to 2^53 - 1. */
#define VG_SEQ_MAX 9007199254740991ULL
/* Accepted times: 0 (1970) to the end of the year 9999, epoch milliseconds UTC. */
#define VG_TIME_MS_MAX 253402300799999LL

/* A lane is its own letter; 0 means that the sender gave no identity. */
#define VG_LANE_NONE    '\0'
#define VG_LANE_URGENT  'u'
#define VG_LANE_ROUTINE 'r'

/* One value per reading. What is not SYNCED is counted by received_ms, so where several apply the
 * sensor's own word (stale, warming-up, fault) is kept before `unsynced`. */
enum vg_quality {
    VG_QUALITY_SYNCED,     /* "synced": good, and time_ms is wall time of a synchronised clock */
    VG_QUALITY_UNSYNCED,   /* "unsynced": the sender gave a relative time or none */
    VG_QUALITY_STALE,      /* "stale": the sensor repeats an old value */
    VG_QUALITY_WARMING_UP, /* "warming-up": not to be trusted yet */
    VG_QUALITY_FAULT,      /* "fault": the sensor could not be read; usually without any quantity */
    VG_QUALITY_COUNT
};

/* Bits of vg_reading.has: which fields carry a value. */
#define VG_HAS_MOTION          1u
#define VG_HAS_SMOKE           2u
#define VG_HAS_TEMPERATURE     4u
#define VG_HAS_MAX_TEMPERATURE 8u
#define VG_HAS_OK              16u
#define VG_HAS_QUANTITIES                                                                          \
    (VG_HAS_MOTION | VG_HAS_SMOKE | VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE)

/* What a device tells under its own name (sensor == device). At most one per reading; extras may go
 * with it. */
enum vg_event {
    VG_EVENT_NONE,
    VG_EVENT_ALIVE,   /* "alive": boolean true, no text */
    VG_EVENT_GAP,     /* "gap": readings were evicted; event_text says which and why */
    VG_EVENT_STORAGE, /* "storage": the buffer was damaged, replaced or full; event_text says what
                       */
    VG_EVENT_CLOCK,   /* "clock": the clock was stepped or lost; event_text says what */
    VG_EVENT_COUNT
};

enum vg_extra_type { VG_EXTRA_NUMBER, VG_EXTRA_BOOL, VG_EXTRA_TEXT };

/* A quantity the system does not know: carried, never interpreted. */
struct vg_extra {
    char name[VG_EXTRA_NAME_MAX + 1];
    union {
        double number; /* finite */
        bool boolean;
        char text[VG_EXTRA_TEXT_MAX + 1];
    };
    uint8_t type; /* enum vg_extra_type */
};

struct vg_reading {
    char sensor[VG_SENSOR_ID_MAX + 1];   /* never empty */
    char device[VG_DEVICE_NAME_MAX + 1]; /* from the session; empty: not known (yet) */
    uint64_t store;                      /* identity; meaningful when lane is not VG_LANE_NONE */
    uint64_t seq;                        /* <= VG_SEQ_MAX */
    char lane;
    uint8_t quality; /* enum vg_quality */
    uint8_t event;   /* enum vg_event */
    uint8_t extra_count;
    uint32_t has;
    int64_t time_ms;     /* when it was taken, epoch ms UTC */
    int64_t received_ms; /* when the collector received it, epoch ms UTC; 0 on the edge */
    bool motion;
    bool smoke;
    double temperature;     /* degrees Celsius, finite */
    double max_temperature; /* degrees Celsius: the limit above which `temperature` is an alarm */
    char event_text[VG_EVENT_TEXT_MAX + 1];
    struct vg_extra extras[VG_EXTRAS_MAX]; /* the first extra_count are valid */
};

/* "synced", "unsynced", "stale", "warming-up", "fault"; never NULL. */
const char *vg_quality_name(enum vg_quality quality);
bool vg_quality_parse(struct vg_span name, enum vg_quality *out);

/* "alive", "gap", "storage", "clock"; "none" for VG_EVENT_NONE. */
const char *vg_event_name(enum vg_event event);
/* VG_EVENT_NONE when it is none of them. */
enum vg_event vg_event_parse(struct vg_span name);

/* A sensor id or device name as the wire accepts it: 1..VG_SENSOR_ID_MAX of A-Z a-z 0-9 - : . / _,
 * the first a letter or digit (RFC 8428 §4.5.1). */
bool vg_sensor_id_valid(struct vg_span id);

/* Motion or smoke true, or temperature above max_temperature: such a reading travels in the urgent
 * lane. */
bool vg_reading_active(const struct vg_reading *r);

/* What the rules count with: time_ms when synced, else received_ms. */
int64_t vg_reading_count_ms(const struct vg_reading *r);

/* Adds a quantity the system does not know. False: full, name or text too long, or number not
 * finite. */
bool vg_reading_add_number(struct vg_reading *r, const char *name, double value);
bool vg_reading_add_bool(struct vg_reading *r, const char *name, bool value);
bool vg_reading_add_text(struct vg_reading *r, const char *name, const char *value);

/* The same sensor, times, identity and quantities (unused bytes are not compared). */
bool vg_reading_equal(const struct vg_reading *a, const struct vg_reading *b);

#endif
