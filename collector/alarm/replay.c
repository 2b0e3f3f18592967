/* vigia-alarm --replay FILE: what would have happened. Time comes from received_ms alone, nothing
 * is stored. */
#include "alarm.h"

#include "vigia/rules_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct replay {
    const struct vgi_alarm_conf *conf;
    struct vg_rules_conf rules;
    struct vg_alarm_engine *engine;
    const char *name;
    uint64_t line, bad, events;
};

static void on_event(void *arg, const struct vg_alarm_event *event)
{
    struct replay *r = arg;
    char out[VG_ALARM_EVENT_MAX];
    size_t len;
    if (vg_alarm_event_encode(event, out, sizeof(out) - 1, &len) == VG_OK) {
        out[len++] = '\n';
        (void)fwrite(out, 1, len, stdout); /* what is lost, the end of the program tells */
        r->events++;
    }
}

static int64_t on_period(void *arg, const char *device, const char *sensor)
{
    const struct replay *r = arg;
    return strcmp(device, sensor) == 0 ? r->rules.alive_ms : r->conf->replay_period_ms;
}

static void bad_line(struct replay *r, const char *why)
{
    r->bad++;
    (void)fflush(stdout); /* told where it stands among the events */
    fprintf(stderr, "vigia-alarm: %s:%" PRIu64 ": %s\n", r->name, r->line, why);
}

static void one(struct replay *r, struct vg_span text)
{
    static struct vg_reading m;
    struct vg_heartbeat beat;
    struct vg_error err;
    enum vg_record_kind kind;
    if (vg_record_decode(text, &kind, &m, &beat, &err) != VG_OK) {
        bad_line(r, err.text);
        return;
    }
    if (kind == VG_RECORD_HEARTBEAT) {
        vg_alarm_engine_advance(r->engine, beat.received_ms, SIZE_MAX);
        vg_alarm_engine_heartbeat(r->engine, beat.received_ms);
        return;
    }
    uint64_t no_room = vg_alarm_engine_counters(r->engine).no_room;
    vg_alarm_engine_advance(r->engine, m.received_ms, SIZE_MAX);
    vg_alarm_engine_reading(r->engine, &m);
    if (vg_alarm_engine_counters(r->engine).no_room > no_room) {
        bad_line(r, "one sensor more than processor.max_sensors");
    }
}

/* Lines of any length are read, and those that no record can have are refused. */
static void all(struct replay *r, FILE *from)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    errno = 0;
    while ((len = getline(&line, &size, from)) >= 0) {
        r->line++;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) {
            len--;
        }
        if (len > VG_RECORD_MAX) {
            bad_line(r, "longer than a record can be");
        } else if (len > 0) {
            one(r, vg_span(line, (size_t)len));
        }
    }
    if (ferror(from)) {
        r->line++;
        bad_line(r, strerror(errno));
    }
    free(line);
}

int vgi_alarm_replay(void *arg)
{
    const struct vgi_alarm_conf *conf = arg;
    if (conf->replay[0] == '\0') {
        return -1;
    }
    bool standard = strcmp(conf->replay, "-") == 0;
    struct replay r = {.conf = conf, .rules = conf->rules};
    r.rules.supervision = conf->replay_supervision;
    r.name = standard ? "<stdin>" : conf->replay;
    FILE *from = standard ? stdin : fopen(conf->replay, "re");
    if (from == NULL) {
        fprintf(stderr, "vigia-alarm: %s: %s\n", r.name, strerror(errno));
        return VG_EXIT_FAIL;
    }
    struct vg_alarm_engine_options options = {.conf = &r.rules,
                                              .max_sensors = (size_t)conf->max_sensors,
                                              .event = on_event,
                                              .period = on_period,
                                              .arg = &r};
    int code = VG_EXIT_FAIL;
    if (vg_alarm_engine_new(&options, &r.engine) != VG_OK) {
        fprintf(stderr, "vigia-alarm: no memory for %zu sensors\n", options.max_sensors);
    } else {
        all(&r, from);
        code = r.bad > 0 ? VG_EXIT_FAIL : VG_EXIT_OK;
    }
    vg_alarm_engine_free(r.engine);
    if (!standard) {
        fclose(from);
    }
    return code;
}
