/* Any bytes as a stored state and as a command. What is read must be written again so that it reads
 * the same, and the rules must live with it. */
#include "../require.h"

#include "vigia/rules_json.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *arg, const struct vg_alarm_event *event)
{
    char out[VG_ALARM_EVENT_MAX];
    size_t len;
    (void)arg;
    require(vg_alarm_event_encode(event, out, sizeof(out), &len) == VG_OK);
}

static void see(void *arg, const struct vg_alarm_view *view)
{
    (void)arg;
    (void)view;
}

static void state(struct vg_span json)
{
    static char one[VG_ALARM_STATE_MAX], two[VG_ALARM_STATE_MAX];
    struct vg_rules_state s, again;
    struct vg_rules_conf conf;
    struct vg_rules rules = {.conf = &conf, .event = ignore};
    struct vg_reading m = {.sensor = "s", .device = "d", .store = 1, .seq = 1, .lane = 'u'};
    size_t len, len_again;
    if (vg_rules_state_decode(json, &s, NULL) != VG_OK) {
        return;
    }
    require(vg_rules_state_encode(&s, one, sizeof(one), &len) == VG_OK);
    require(vg_rules_state_decode(vg_span(one, len), &again, NULL) == VG_OK);
    require(vg_rules_state_encode(&again, two, sizeof(two), &len_again) == VG_OK);
    require(vg_span_eq(vg_span(one, len), vg_span(two, len_again)));
    vg_alarm_views(&s, see, NULL);
    vg_rules_conf_default(&conf);
    m.has = VG_HAS_SMOKE;
    m.smoke = true;
    m.time_ms = m.received_ms = 1000;
    vg_rules_reading(&rules, &s, &m, 1000);
    vg_rules_silent(&rules, &s, 2000, VG_LONG_AGO_MS);
    m.has = VG_HAS_OK;
    m.seq = 2;
    vg_rules_reading(&rules, &s, &m, 3000);
}

static void command(struct vg_span json)
{
    char out[2 * VG_COMMAND_JSON_MAX];
    struct vg_command c, again;
    size_t len;
    if (vg_command_decode(json, &c, NULL) == VG_OK) {
        require(vg_command_encode(&c, out, sizeof(out), &len) == VG_OK);
        require(len > VG_COMMAND_JSON_MAX ||
                vg_command_decode(vg_span(out, len), &again, NULL) == VG_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    state(vg_span(data, size));
    command(vg_span(data, size));
    return 0;
}
