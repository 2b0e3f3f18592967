/* A scenario in memory: what docs/scenario.md says, parsed and checked. Pure but for reading the
 * text it is given. */
#ifndef VIGIA_SIM_SCENARIO_H
#define VIGIA_SIM_SCENARIO_H

#include "vigia/err.h"
#include "vigia/reading.h"

#define VGI_SIM_SENSORS_MAX 4096
#define VGI_SIM_EVENTS_MAX  4096 /* after ranges are expanded */
#define VGI_SIM_LINE_MAX    300
#define VGI_SIM_FILE_MAX    (4 << 20)

enum vgi_wave_kind {
    VGI_WAVE_CONSTANT,
    VGI_WAVE_SINE,
    VGI_WAVE_SQUARE,
    VGI_WAVE_RAMP,
    VGI_WAVE_NOISE
};

struct vgi_wave {
    enum vgi_wave_kind kind;
    double a, b; /* constant: a; sine, noise: mid, amplitude; square: low, high; ramp: from, to */
    int64_t period_ms; /* sine, square, ramp */
};

struct vgi_sim_sensor {
    char id[VG_SENSOR_ID_MAX + 1];
    int64_t period_ms;
    int64_t phase_ms; /* of the first reading */
    uint32_t has;     /* VG_HAS_… of its periodic readings */
    struct vgi_wave temperature;
    double max_temperature;
};

enum vgi_sim_act {
    VGI_ACT_MOTION,
    VGI_ACT_SMOKE,
    VGI_ACT_TEMPERATURE,
    VGI_ACT_OK,
    VGI_ACT_SILENT,
    VGI_ACT_FAULT,
    VGI_ACT_STUCK,
    VGI_ACT_DROP,
};

struct vgi_sim_event {
    int64_t at_ms;
    uint32_t sensor; /* index */
    enum vgi_sim_act act;
    double value;   /* temperature: degrees; drop: part of 1 */
    int64_t for_ms; /* > 0: a state of the periodic readings; 0: a message of its own */
    int64_t times;  /* messages, >= 1 */
    int64_t every_ms;
};

struct vgi_scenario {
    uint64_t seed;
    bool stamp;
    int64_t end_ms; /* INT64_MAX: never */
    size_t sensor_count, event_count;
    struct vgi_sim_sensor *sensors;
    struct vgi_sim_event *events;
};

/* Parses a whole text; `name` is shown in errors as name:line. VG_E_INVALID, VG_E_RANGE, VG_E_FULL,
 * VG_E_NOMEM. On failure nothing is left to free. */
enum vg_err vgi_scenario_parse(struct vg_span text, const char *name, struct vgi_scenario *out,
                               struct vg_error *err) VG_NODISCARD;
void vgi_scenario_done(struct vgi_scenario *s);

/* The value of a wave at a time of the story; `noise` in [0, 1) is what its randomness is made
 * from. */
double vgi_wave_value(const struct vgi_wave *wave, int64_t at_ms, double noise);

#endif
