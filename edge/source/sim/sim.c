/* Plays a scenario: a heap of what is due next, in the story's time, which runs with
 * CLOCK_BOOTTIME.
 *
 *   periods of every sensor ─┐
 *                            ├─► heap by time ─► read(): samples that are due ─► ledger, agent
 *   messages of `at` lines ──┘
 *
 * Everything is a pure function of (seed, sensor, time in the story), so a process that starts
 * again in the middle goes on with the very same story. */
#include "vigia/source_sim.h"

#include "scenario.h"

#include "vigia/log.h"
#include "vigia/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEDGER_LINE_MAX 400

/* A due moment of a sensor's period (event < 0) or of a message. */
struct due {
    int64_t at_ms;
    uint32_t sensor;
    int32_t event;
    int64_t left; /* messages that follow this one */
};

struct sim {
    const struct vg_clock *clock;
    struct vgi_scenario story;
    int64_t start_boot_ms; /* the story's beginning */
    struct due *heap;
    int64_t *last_message; /* per sensor: the moment of its last message, so that its period does
                              not speak twice */
    size_t heap_len;
    int ledger;    /* -1: none */
    int unwritten; /* why the ledger could not be written, to be told by the next read */
};

/* ---- heap, earliest first; equal times in the order of sensor, then event ---- */

static bool earlier(const struct due *a, const struct due *b)
{
    if (a->at_ms != b->at_ms) {
        return a->at_ms < b->at_ms;
    }
    if (a->sensor != b->sensor) {
        return a->sensor < b->sensor;
    }
    return a->event > b->event; /* messages before the period of the same moment */
}

static void sift_up(struct sim *s, size_t i)
{
    while (i > 0 && earlier(&s->heap[i], &s->heap[(i - 1) / 2])) {
        struct due swap = s->heap[i];

        s->heap[i] = s->heap[(i - 1) / 2];
        s->heap[(i - 1) / 2] = swap;
        i = (i - 1) / 2;
    }
}

static void sift_down(struct sim *s)
{
    for (size_t i = 0;;) {
        size_t least = i;

        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->heap_len; child++) {
            least = earlier(&s->heap[child], &s->heap[least]) ? child : least;
        }
        if (least == i) {
            return;
        }
        struct due swap = s->heap[i];

        s->heap[i] = s->heap[least];
        s->heap[least] = swap;
        i = least;
    }
}

static void push(struct sim *s, struct due d)
{
    s->heap[s->heap_len++] = d;
    sift_up(s, s->heap_len - 1);
}

static struct due pop(struct sim *s)
{
    struct due top = s->heap[0];

    s->heap[0] = s->heap[--s->heap_len];
    sift_down(s);
    return top;
}

/* ---- what a sensor says at a moment ---- */

static double noise(const struct sim *s, uint32_t sensor, int64_t at_ms, uint64_t what)
{
    struct vg_rng rng;

    vg_rng_seed(&rng, s->story.seed ^ ((uint64_t)sensor << 40) ^ (uint64_t)at_ms ^ (what << 56));
    return vg_rng_unit(&rng);
}

/* The state of a kind that covers the moment, or NULL. */
static const struct vgi_sim_event *covering(const struct sim *s, uint32_t sensor, int64_t at_ms,
                                            enum vgi_sim_act act)
{
    for (size_t i = 0; i < s->story.event_count; i++) {
        const struct vgi_sim_event *e = &s->story.events[i];

        if (e->sensor == sensor && e->act == act && e->for_ms > 0 && at_ms >= e->at_ms &&
            at_ms - e->at_ms < e->for_ms) {
            return e;
        }
    }
    return NULL;
}

static void fill_quantities(const struct sim *s, uint32_t index, int64_t at_ms,
                            struct vg_reading *r)
{
    const struct vgi_sim_sensor *sensor = &s->story.sensors[index];
    const struct vgi_sim_event *hot = covering(s, index, at_ms, VGI_ACT_TEMPERATURE);

    r->has = sensor->has;
    r->temperature = hot != NULL
                         ? hot->value
                         : vgi_wave_value(&sensor->temperature, at_ms, noise(s, index, at_ms, 1));
    r->max_temperature = sensor->max_temperature;
    if (hot != NULL) {
        r->has |= VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE;
    }
    if (covering(s, index, at_ms, VGI_ACT_MOTION) != NULL) {
        r->has |= VG_HAS_MOTION;
        r->motion = true;
    }
    if (covering(s, index, at_ms, VGI_ACT_SMOKE) != NULL) {
        r->has |= VG_HAS_SMOKE;
        r->smoke = true;
    }
}

static void start_reading(const struct sim *s, uint32_t index, int64_t at_ms, struct vg_reading *r)
{
    *r = (struct vg_reading){.quality = VG_QUALITY_SYNCED};
    memcpy(r->sensor, s->story.sensors[index].id, sizeof(r->sensor));
    if (s->story.stamp) {
        (void)vg_reading_add_number(r, "at", (double)at_ms);
    }
}

/* A periodic reading; false when the sensor says nothing at this moment. */
static bool periodic(const struct sim *s, uint32_t index, int64_t at_ms, struct vg_reading *r)
{
    const struct vgi_sim_event *drop = covering(s, index, at_ms, VGI_ACT_DROP);
    const struct vgi_sim_event *stuck = covering(s, index, at_ms, VGI_ACT_STUCK);

    if (covering(s, index, at_ms, VGI_ACT_SILENT) != NULL ||
        (drop != NULL && noise(s, index, at_ms, 2) < drop->value)) {
        return false;
    }
    start_reading(s, index, at_ms, r);
    if (covering(s, index, at_ms, VGI_ACT_FAULT) != NULL) {
        r->quality = VG_QUALITY_FAULT;
    } else if (stuck != NULL) {
        fill_quantities(s, index, stuck->at_ms, r);
        r->quality = VG_QUALITY_STALE;
    } else {
        fill_quantities(s, index, at_ms, r);
    }
    return true;
}

static void message(const struct sim *s, const struct vgi_sim_event *e, int64_t at_ms,
                    struct vg_reading *r)
{
    start_reading(s, e->sensor, at_ms, r);
    if (e->act == VGI_ACT_OK) {
        r->has = VG_HAS_OK;
        r->extra_count = 0; /* an OK stands alone on the wire: no stamp either */
        return;
    }
    fill_quantities(s, e->sensor, at_ms, r);
    if (e->act == VGI_ACT_MOTION) {
        r->has |= VG_HAS_MOTION;
        r->motion = true;
    } else if (e->act == VGI_ACT_SMOKE) {
        r->has |= VG_HAS_SMOKE;
        r->smoke = true;
    } else {
        r->has |= VG_HAS_TEMPERATURE;
        r->temperature = e->value;
    }
}

/* ---- ledger ---- */

static const char *tristate(uint32_t has, uint32_t bit, bool value)
{
    if ((has & bit) == 0) {
        return "null";
    }
    return value ? "true" : "false";
}

static void number_or_null(uint32_t has, uint32_t bit, double value, char out[32])
{
    if ((has & bit) == 0) {
        (void)snprintf(out, 32, "null");
    } else {
        (void)snprintf(out, 32, "%.10g", value);
    }
}

static enum vg_err note(struct sim *s, const struct due *d, const struct vg_reading *r,
                        struct vg_error *err)
{
    char line[LEDGER_LINE_MAX];
    char temperature[32];
    char max_temperature[32];
    int len;

    if (s->ledger < 0) {
        return VG_OK;
    }
    number_or_null(r->has, VG_HAS_TEMPERATURE, r->temperature, temperature);
    number_or_null(r->has, VG_HAS_MAX_TEMPERATURE, r->max_temperature, max_temperature);
    len = snprintf(line, sizeof(line),
                   "{\"at\":%lld,\"sensor\":\"%s\",\"kind\":\"%s\",\"motion\":%s,\"smoke\":%s,"
                   "\"temperature\":%s,"
                   "\"max_temperature\":%s,\"ok\":%s,\"quality\":\"%s\",\"wall_ms\":%lld}\n",
                   (long long)d->at_ms, r->sensor, d->event < 0 ? "period" : "event",
                   tristate(r->has, VG_HAS_MOTION, r->motion),
                   tristate(r->has, VG_HAS_SMOKE, r->smoke), temperature, max_temperature,
                   (r->has & VG_HAS_OK) != 0 ? "true" : "false", vg_quality_name(r->quality),
                   (long long)vg_now_wall(s->clock).ms);
    if (len < 0 || (size_t)len >= sizeof(line) || write(s->ledger, line, (size_t)len) != len) {
        return vg_fail(err, VG_E_IO, "the ledger cannot be written: %s", strerror(errno));
    }
    return VG_OK;
}

/* ---- the ops ---- */

static int64_t boot_ms(const struct vg_clock *clock)
{
    return vg_now_boot(clock).ns / VG_NS_PER_MS;
}

static enum vg_err read_file(const char *path, char **out, size_t *len, struct vg_error *err)
{
    FILE *file = fopen(path, "re");
    char *text;

    if (file == NULL) {
        return vg_fail(err, errno == ENOENT ? VG_E_NOTFOUND : VG_E_IO,
                       "%s: the scenario cannot be opened: %s", path, strerror(errno));
    }
    text = malloc(VGI_SIM_FILE_MAX + 1);
    *len = text == NULL ? 0 : fread(text, 1, VGI_SIM_FILE_MAX + 1, file);
    if (text == NULL || ferror(file) || *len > VGI_SIM_FILE_MAX) {
        enum vg_err code =
            text == NULL ? vg_fail(err, VG_E_NOMEM, "%s: no memory", path)
            : ferror(file)
                ? vg_fail(err, VG_E_IO, "%s: cannot be read: %s", path, strerror(errno))
                : vg_fail(err, VG_E_RANGE, "%s: longer than %d bytes", path, VGI_SIM_FILE_MAX);
        free(text);
        (void)fclose(file);
        return code;
    }
    (void)fclose(file);
    *out = text;
    return VG_OK;
}

/* The first due moment of each sensor and message that is not past, seen from `now_ms` of the
 * story. */
static void fill_heap(struct sim *s, int64_t now_ms)
{
    for (uint32_t i = 0; i < s->story.sensor_count; i++) {
        const struct vgi_sim_sensor *sensor = &s->story.sensors[i];
        int64_t at = sensor->phase_ms;

        s->last_message[i] = -1;
        if (at < now_ms) {
            at += (now_ms - at + sensor->period_ms - 1) / sensor->period_ms * sensor->period_ms;
        }
        push(s, (struct due){at, i, -1, 0});
    }
    for (size_t i = 0; i < s->story.event_count; i++) {
        const struct vgi_sim_event *e = &s->story.events[i];
        int64_t past = e->at_ms >= now_ms ? 0
                       : e->every_ms == 0 ? e->times
                                          : (now_ms - e->at_ms + e->every_ms - 1) / e->every_ms;

        if (e->for_ms == 0 && past < e->times) {
            push(s, (struct due){e->at_ms + past * e->every_ms, e->sensor, (int32_t)i,
                                 e->times - past - 1});
        }
    }
}

static void sim_close(void *self)
{
    struct sim *s = self;

    if (s == NULL) {
        return;
    }
    if (s->ledger >= 0) {
        (void)close(s->ledger);
    }
    vgi_scenario_done(&s->story);
    free(s->heap);
    free(s->last_message);
    free(s);
}

static enum vg_err sim_open(const void *config, const struct vg_clock *clock, void **self,
                            struct vg_error *err)
{
    const struct vg_source_sim_options *o = config;
    struct sim *s = calloc(1, sizeof(*s));
    char *text = NULL;
    size_t len = 0;
    enum vg_err code;

    if (s == NULL) {
        return vg_fail(err, VG_E_NOMEM, "%s: no memory", o->scenario);
    }
    s->clock = clock;
    s->ledger = -1;
    code = read_file(o->scenario, &text, &len, err);
    if (code == VG_OK) {
        code = vgi_scenario_parse(vg_span(text, len), o->scenario, &s->story, err);
    }
    free(text);
    if (code == VG_OK && o->ledger != NULL && o->ledger[0] != '\0') {
        s->ledger = open(o->ledger, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (s->ledger < 0) {
            code = vg_fail(err, errno == ENOENT ? VG_E_NOTFOUND : VG_E_IO,
                           "%s: the ledger cannot be opened: %s", o->ledger, strerror(errno));
        }
    }
    if (code == VG_OK) {
        s->heap = calloc(s->story.sensor_count + s->story.event_count + 1, sizeof(*s->heap));
        s->last_message = calloc(s->story.sensor_count, sizeof(*s->last_message));
        if (s->heap == NULL || s->last_message == NULL) {
            code = vg_fail(err, VG_E_NOMEM, "%s: no memory", o->scenario);
        }
    }
    if (code != VG_OK || s->heap == NULL || s->last_message == NULL) {
        sim_close(s);
        return code;
    }
    s->start_boot_ms =
        boot_ms(clock) - (o->start_ms == 0 ? 0 : vg_now_wall(clock).ms - o->start_ms);
    fill_heap(s, boot_ms(clock) - s->start_boot_ms);
    *self = s;
    return VG_OK;
}

static int sim_fd(void *self)
{
    (void)self;
    return -1;
}

static bool sim_deadline(void *self, struct vg_mono *at)
{
    const struct sim *s = self;

    if (s->heap_len == 0 || s->heap[0].at_ms >= s->story.end_ms) {
        return false;
    }
    *at = vg_mono_add_ms(vg_now_mono(s->clock),
                         s->start_boot_ms + s->heap[0].at_ms - boot_ms(s->clock));
    return true;
}

static enum vg_err sim_read(void *self, struct vg_sample *out, size_t max, size_t *count,
                            struct vg_error *err)
{
    struct sim *s = self;
    int64_t now = boot_ms(s->clock) - s->start_boot_ms;
    size_t n = 0;

    if (s->unwritten != 0) {
        enum vg_err code =
            vg_fail(err, VG_E_IO, "the ledger cannot be written: %s", strerror(s->unwritten));
        s->unwritten = 0;
        return code;
    }
    while (n < max && s->heap_len > 0 && s->heap[0].at_ms <= now &&
           s->heap[0].at_ms < s->story.end_ms) {
        struct due d = pop(s);
        struct vg_sample *sample = &out[n];
        bool said = true;

        if (d.event < 0) {
            said = d.at_ms != s->last_message[d.sensor] &&
                   periodic(s, d.sensor, d.at_ms, &sample->reading);
            push(s, (struct due){d.at_ms + s->story.sensors[d.sensor].period_ms, d.sensor, -1, 0});
        } else {
            const struct vgi_sim_event *e = &s->story.events[d.event];

            message(s, e, d.at_ms, &sample->reading);
            s->last_message[d.sensor] = d.at_ms;
            if (d.left > 0) {
                push(s, (struct due){d.at_ms + e->every_ms, d.sensor, d.event, d.left - 1});
            }
        }
        if (said) {
            enum vg_err code = note(s, &d, &sample->reading, err);

            if (code != VG_OK && n > 0) {
                s->unwritten =
                    errno != 0 ? errno : EIO; /* what is in the ledger already, is said */
                break;
            }
            if (code != VG_OK) {
                return code;
            }
            sample->taken = (struct vg_boot){(s->start_boot_ms + d.at_ms) * VG_NS_PER_MS};
            n++;
        }
    }
    *count = n;
    return VG_OK;
}

const struct vg_source_ops vg_source_sim = {
    .name = "sim",
    .open = sim_open,
    .fd = sim_fd,
    .deadline = sim_deadline,
    .read = sim_read,
    .close = sim_close,
};
