/* Any bytes as a scenario: parsed within its bounds, or refused in one line that names the file. */
#include "../require.h"

#include "../../../edge/source/sim/scenario.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vgi_scenario s;
    struct vg_error err;
    if (vgi_scenario_parse(vg_span(data, size), "story", &s, &err) != VG_OK) {
        require(strncmp(err.text, "story:", 6) == 0);
        return 0;
    }
    require(s.sensor_count > 0 && s.sensor_count <= VGI_SIM_SENSORS_MAX);
    require(s.event_count <= VGI_SIM_EVENTS_MAX && s.end_ms > 0);
    for (size_t i = 0; i < s.sensor_count; i++) {
        const struct vgi_sim_sensor *x = &s.sensors[i];
        require(vg_sensor_id_valid(vg_span_str(x->id)));
        require(x->period_ms > 0 && x->phase_ms >= 0 && x->phase_ms < x->period_ms);
        (void)vgi_wave_value(&x->temperature, x->phase_ms, 0.5);
    }
    for (size_t i = 0; i < s.event_count; i++) {
        const struct vgi_sim_event *e = &s.events[i];
        require(e->sensor < s.sensor_count && e->at_ms >= 0 && e->times >= 1);
        require(e->times == 1 || e->every_ms > 0);
    }
    vgi_scenario_done(&s);
    return 0;
}
