/* A transcript of the rules: what comes in, line by line, and what must come out.
 * tests/vectors/rules/README explains the words.
 *
 *   conf strikes=3 window=600000        r hall at=1000 rx=1010 smoke id=a1:u:5 dev=pi q=unsynced
 *   period pi 60000                     beat 1000      tick 9000      ack hall:smoke:1 who=ana
 * restart > raised hall:smoke:1 strikes=3     = hall smoke active unacked
 */
#ifndef TESTS_RULES_SCRIPT_H
#define TESTS_RULES_SCRIPT_H

#include "vigia/alarm_engine.h"
#include "vigia/rules_json.h"

#include <stdio.h>

#define SCRIPT_SENSORS_MAX 64
#define SCRIPT_EVENTS_MAX  512
#define SCRIPT_DEVICES_MAX 16
#define SCRIPT_WORDS_MAX   24

struct script {
    struct vg_rules_conf conf;
    struct vg_alarm_engine *engine; /* made at the first line that is not `conf` or `period` */
    char (*event)[VG_ALARM_EVENT_MAX];
    size_t event_count, event_next;
    struct {
        char key[VG_SENSOR_ID_MAX + 1];
        char json[VG_ALARM_STATE_MAX];
    } * stored; /* what the log would hold */
    size_t stored_count;
    struct {
        char device[64];
        int64_t period_ms;
    } device[SCRIPT_DEVICES_MAX];
    size_t device_count;
    bool print; /* events to stdout instead of a comparison */
    char problem[1024];
};

void script_init(struct script *s);
void script_done(struct script *s);
/* False: s->problem says what is wrong with this line. */
bool script_line(struct script *s, char *line);
/* Whether nothing was told that no line expected. */
bool script_quiet(struct script *s);
/* The stored state of a sensor; false: none. */
bool script_state(const struct script *s, const char *sensor, struct vg_rules_state *out);

#endif
