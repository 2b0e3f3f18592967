/* Parses a scenario, one statement per line; ranges of sensors are expanded here. */
#include "scenario.h"

#include "words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PERIOD_MS 60000
#define RANGE_DIGITS_MAX  6
#define TIMES_MAX         100000

/* "FIRST..LAST" or one id: `prefix` and, for a range, numbers of a fixed width. */
struct range {
    struct vg_span prefix;
    int64_t first, last;
    int width; /* 0: one id, the prefix */
};

static size_t digits_at_end(struct vg_span s)
{
    size_t n = 0;

    while (n < s.len && n < RANGE_DIGITS_MAX && s.at[s.len - n - 1] >= '0' &&
           s.at[s.len - n - 1] <= '9') {
        n++;
    }
    return n;
}

static bool take_range(struct vgi_words *w, struct range *out)
{
    struct vg_span word = vgi_words_next(w);
    size_t dots = 0;
    long long first = 0;
    long long last = 0;

    while (dots + 1 < word.len && (word.at[dots] != '.' || word.at[dots + 1] != '.')) {
        dots++;
    }
    if (dots + 1 >= word.len) {
        *out = (struct range){.prefix = word};
        return vg_sensor_id_valid(word) ||
               vgi_words_fail(w, VG_E_INVALID, "'%.*s' is no sensor id",
                              (int)(word.len < 64 ? word.len : 64), word.at);
    }
    struct vg_span from = vg_span(word.at, dots);
    struct vg_span to = vg_span(word.at + dots + 2, word.len - dots - 2);
    size_t digits = digits_at_end(from);

    if (!vg_sensor_id_valid(from) || !vg_sensor_id_valid(to) || digits == 0 || from.len != to.len ||
        digits_at_end(to) != digits || memcmp(from.at, to.at, from.len - digits) != 0 ||
        !vg_span_to_i64(vg_span(from.at + from.len - digits, digits), &first) ||
        !vg_span_to_i64(vg_span(to.at + to.len - digits, digits), &last) || first > last) {
        return vgi_words_fail(w, VG_E_INVALID,
                              "'%.*s': accepted: an id, or FIRST..LAST such as hall-01..hall-20",
                              (int)(word.len < 128 ? word.len : 128), word.at);
    }
    *out = (struct range){vg_span(from.at, from.len - digits), first, last, (int)digits};
    return true;
}

static void range_id(const struct range *r, int64_t number, char out[VG_SENSOR_ID_MAX + 1])
{
    if (r->width == 0) {
        (void)snprintf(out, VG_SENSOR_ID_MAX + 1, "%.*s", (int)r->prefix.len, r->prefix.at);
    } else {
        (void)snprintf(out, VG_SENSOR_ID_MAX + 1, "%.*s%0*lld", (int)r->prefix.len, r->prefix.at,
                       r->width, (long long)number);
    }
}

static struct vgi_sim_sensor *find(struct vgi_scenario *s, const char *id)
{
    for (size_t i = 0; i < s->sensor_count; i++) {
        if (strcmp(s->sensors[i].id, id) == 0) {
            return &s->sensors[i];
        }
    }
    return NULL;
}

/* ---- sensor ---- */

static bool take_wave(struct vgi_words *w, struct vgi_wave *out)
{
    struct vg_span kind = vgi_words_next(w);
    bool cycles = true;

    *out = (struct vgi_wave){.kind = VGI_WAVE_CONSTANT};
    if (vg_span_eq(kind, VG_SPAN("constant"))) {
        return vgi_words_number(w, "temperature constant", &out->a);
    }
    if (vg_span_eq(kind, VG_SPAN("sine"))) {
        out->kind = VGI_WAVE_SINE;
    } else if (vg_span_eq(kind, VG_SPAN("square"))) {
        out->kind = VGI_WAVE_SQUARE;
    } else if (vg_span_eq(kind, VG_SPAN("ramp"))) {
        out->kind = VGI_WAVE_RAMP;
    } else if (vg_span_eq(kind, VG_SPAN("noise"))) {
        out->kind = VGI_WAVE_NOISE;
        cycles = false;
    } else {
        return vgi_words_fail(w, VG_E_INVALID,
                              "temperature: '%.*s': accepted: constant sine square ramp noise",
                              (int)(kind.len < 40 ? kind.len : 40), kind.at);
    }
    return vgi_words_number(w, "temperature", &out->a) &&
           vgi_words_number(w, "temperature", &out->b) &&
           (!cycles || vgi_words_duration(w, "temperature", false, &out->period_ms));
}

static bool take_sensor_words(struct vgi_words *w, struct vgi_sim_sensor *out)
{
    for (struct vg_span word = vgi_words_next(w); word.len > 0; word = vgi_words_next(w)) {
        bool ok;

        if (vg_span_eq(word, VG_SPAN("period"))) {
            ok = vgi_words_duration(w, "period", false, &out->period_ms);
        } else if (vg_span_eq(word, VG_SPAN("temperature"))) {
            out->has |= VG_HAS_TEMPERATURE;
            ok = take_wave(w, &out->temperature);
        } else if (vg_span_eq(word, VG_SPAN("max_temperature"))) {
            out->has |= VG_HAS_MAX_TEMPERATURE;
            ok = vgi_words_number(w, "max_temperature", &out->max_temperature);
        } else if (vg_span_eq(word, VG_SPAN("motion")) || vg_span_eq(word, VG_SPAN("smoke"))) {
            out->has |= word.at[0] == 'm' ? VG_HAS_MOTION : VG_HAS_SMOKE;
            ok = vgi_words_take(w, "off") ||
                 vgi_words_fail(w, VG_E_INVALID, "%.*s: accepted: off", (int)word.len, word.at);
        } else {
            ok = vgi_words_fail(w, VG_E_INVALID,
                                "'%.*s': accepted: period temperature max_temperature motion smoke",
                                (int)(word.len < 40 ? word.len : 40), word.at);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool take_sensor(struct vgi_words *w, struct vgi_scenario *s)
{
    struct vgi_sim_sensor like = {.period_ms = DEFAULT_PERIOD_MS};
    struct range range = {0};

    if (!take_range(w, &range) || !take_sensor_words(w, &like)) {
        return false;
    }
    if (like.has == 0) {
        return vgi_words_fail(w, VG_E_INVALID,
                              "a sensor without quantities: name temperature, motion or smoke");
    }
    for (int64_t n = range.first; n <= range.last; n++) {
        struct vgi_sim_sensor *sensor = &s->sensors[s->sensor_count];

        range_id(&range, n, like.id);
        if (find(s, like.id) != NULL) {
            return vgi_words_fail(w, VG_E_INVALID, "sensor '%s' is there already", like.id);
        }
        if (s->sensor_count == VGI_SIM_SENSORS_MAX) {
            return vgi_words_fail(w, VG_E_FULL, "more than %d sensors", VGI_SIM_SENSORS_MAX);
        }
        *sensor = like;
        sensor->phase_ms = like.period_ms * (n - range.first) / (range.last - range.first + 1);
        s->sensor_count++;
    }
    return true;
}

/* ---- at ---- */

static bool take_act(struct vgi_words *w, struct vgi_sim_event *out)
{
    static const char *const names[] = {"motion", "smoke", "temperature", "ok",
                                        "silent", "fault", "stuck",       "drop"};
    struct vg_span word = vgi_words_next(w);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!vg_span_eq(word, vg_span_str(names[i]))) {
            continue;
        }
        out->act = (enum vgi_sim_act)i;
        if (out->act == VGI_ACT_TEMPERATURE) {
            return vgi_words_number(w, "temperature", &out->value);
        }
        if (out->act == VGI_ACT_DROP) {
            struct vg_span part = vgi_words_next(w);

            if (part.len < 2 || part.at[part.len - 1] != '%' ||
                !vg_span_to_double(vg_span(part.at, part.len - 1), &out->value) || out->value < 0 ||
                out->value > 100) {
                return vgi_words_fail(w, VG_E_INVALID, "drop: '%.*s': accepted: 0%% to 100%%",
                                      (int)(part.len < 40 ? part.len : 40), part.at);
            }
            out->value /= 100;
        }
        return true;
    }
    return vgi_words_fail(w, VG_E_INVALID,
                          "'%.*s': accepted: motion smoke temperature ok silent fault stuck drop",
                          (int)(word.len < 40 ? word.len : 40), word.at);
}

static bool take_shape(struct vgi_words *w, struct vgi_sim_event *out)
{
    bool state_only = out->act >= VGI_ACT_SILENT;

    out->times = 1;
    if (vgi_words_take(w, "for")) {
        return out->act == VGI_ACT_OK
                   ? vgi_words_fail(w, VG_E_INVALID, "ok: accepted: N times every D, or nothing")
                   : vgi_words_duration(w, "for", false, &out->for_ms);
    }
    if (state_only) {
        return vgi_words_fail(w, VG_E_INVALID, "accepted after this word: for D");
    }
    if (vgi_words_take(w, "")) {
        return true;
    }
    if (!vgi_words_integer(w, "times", 1, TIMES_MAX, &out->times)) {
        return false;
    }
    if (!vgi_words_take(w, "times") || !vgi_words_take(w, "every")) {
        return vgi_words_fail(w, VG_E_INVALID, "accepted: N times every D");
    }
    return vgi_words_duration(w, "every", false, &out->every_ms);
}

static bool take_at(struct vgi_words *w, struct vgi_scenario *s)
{
    struct vgi_sim_event like = {0};
    struct range range = {0};

    if (!vgi_words_duration(w, "at", true, &like.at_ms) || !take_range(w, &range) ||
        !take_act(w, &like) || !take_shape(w, &like)) {
        return false;
    }
    for (int64_t n = range.first; n <= range.last; n++) {
        char id[VG_SENSOR_ID_MAX + 1];
        const struct vgi_sim_sensor *sensor;

        range_id(&range, n, id);
        sensor = find(s, id);
        if (sensor == NULL) {
            return vgi_words_fail(w, VG_E_INVALID, "no sensor '%s' in a line before", id);
        }
        if (like.act == VGI_ACT_TEMPERATURE && (sensor->has & VG_HAS_MAX_TEMPERATURE) == 0) {
            return vgi_words_fail(w, VG_E_INVALID, "sensor '%s' has no max_temperature", id);
        }
        if (s->event_count == VGI_SIM_EVENTS_MAX) {
            return vgi_words_fail(w, VG_E_FULL,
                                  "more than %d statements 'at' (each sensor of a range counts)",
                                  VGI_SIM_EVENTS_MAX);
        }
        like.sensor = (uint32_t)(sensor - s->sensors);
        s->events[s->event_count++] = like;
    }
    return true;
}

/* ---- lines ---- */

static bool take_statement(struct vgi_words *w, struct vgi_scenario *s)
{
    struct vg_span word = vgi_words_next(w);
    int64_t number = 0;

    if (word.len == 0) {
        return true;
    }
    if (vg_span_eq(word, VG_SPAN("sensor"))) {
        return take_sensor(w, s);
    }
    if (vg_span_eq(word, VG_SPAN("at"))) {
        return take_at(w, s);
    }
    if (vg_span_eq(word, VG_SPAN("seed"))) {
        if (!vgi_words_integer(w, "seed", 0, INT64_MAX, &number)) {
            return false;
        }
        s->seed = (uint64_t)number;
        return true;
    }
    if (vg_span_eq(word, VG_SPAN("end"))) {
        return vgi_words_duration(w, "end", false, &s->end_ms);
    }
    if (vg_span_eq(word, VG_SPAN("stamp"))) {
        s->stamp = vgi_words_take(w, "on");
        return s->stamp || vgi_words_fail(w, VG_E_INVALID, "stamp: accepted: on");
    }
    return vgi_words_fail(w, VG_E_INVALID, "'%.*s': accepted: seed stamp sensor at end",
                          (int)(word.len < 40 ? word.len : 40), word.at);
}

static bool take_line(struct vgi_words *w, struct vg_span line, struct vgi_scenario *s)
{
    const char *comment = line.len == 0 ? NULL : memchr(line.at, '#', line.len);

    if (line.len > VGI_SIM_LINE_MAX) {
        return vgi_words_fail(w, VG_E_RANGE, "a line longer than %d characters", VGI_SIM_LINE_MAX);
    }
    if (line.len > 0 && memchr(line.at, '\0', line.len) != NULL) {
        return vgi_words_fail(w, VG_E_INVALID, "a NUL byte");
    }
    w->rest = comment == NULL ? line : vg_span(line.at, (size_t)(comment - line.at));
    if (!take_statement(w, s)) {
        return false;
    }
    struct vg_span more = vgi_words_next(w);

    return more.len == 0 || vgi_words_fail(w, VG_E_INVALID, "'%.*s': nothing more is accepted here",
                                           (int)(more.len < 40 ? more.len : 40), more.at);
}

enum vg_err vgi_scenario_parse(struct vg_span text, const char *name, struct vgi_scenario *out,
                               struct vg_error *err)
{
    struct vgi_scenario s = {.seed = 1, .end_ms = INT64_MAX};
    struct vgi_words w = {.name = name, .err = err};

    s.sensors = calloc(VGI_SIM_SENSORS_MAX + 1, sizeof(*s.sensors));
    s.events = calloc(VGI_SIM_EVENTS_MAX, sizeof(*s.events));
    if (s.sensors == NULL || s.events == NULL) {
        vgi_scenario_done(&s);
        return vg_fail(err, VG_E_NOMEM, "%s: no memory", name);
    }
    while (text.len > 0) {
        const char *newline = memchr(text.at, '\n', text.len);
        size_t len = newline == NULL ? text.len : (size_t)(newline - text.at);

        w.line++;
        if (!take_line(&w, vg_span(text.at, len), &s)) {
            break;
        }
        len += newline == NULL ? 0 : 1;
        text = vg_span(text.at + len, text.len - len);
    }
    if (w.failed == VG_OK && s.sensor_count == 0) {
        (void)vgi_words_fail(&w, VG_E_INVALID, "no sensor in the whole file");
    }
    if (w.failed != VG_OK) {
        vgi_scenario_done(&s);
        return w.failed;
    }
    *out = s;
    return VG_OK;
}

void vgi_scenario_done(struct vgi_scenario *s)
{
    free(s->sensors);
    free(s->events);
    *s = (struct vgi_scenario){0};
}

double vgi_wave_value(const struct vgi_wave *wave, int64_t at_ms, double noise)
{
    const double turn = 6.283185307179586;
    double part =
        wave->period_ms == 0 ? 0 : (double)(at_ms % wave->period_ms) / (double)wave->period_ms;
    double value = wave->a;

    switch (wave->kind) {
    case VGI_WAVE_CONSTANT:
        break;
    case VGI_WAVE_SINE:
        value = wave->a + wave->b * sin(turn * part);
        break;
    case VGI_WAVE_SQUARE:
        value = part < 0.5 ? wave->a : wave->b;
        break;
    case VGI_WAVE_RAMP:
        value = wave->a + (wave->b - wave->a) * part;
        break;
    case VGI_WAVE_NOISE:
        value = wave->a + wave->b * (2 * noise - 1);
        break;
    }
    return round(value * 100) / 100; /* a sensor's resolution: hundredths */
}
