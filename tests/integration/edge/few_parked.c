/* For vigia-edge linked with --wrap=vg_uplink_options_init: it remembers as many parked sensors as
 * VIGIA_TEST_PARKED_SENSORS says. */
#include "vigia/uplink.h"

#include <stdlib.h>

void __real_vg_uplink_options_init(struct vg_uplink_options *options);
void __wrap_vg_uplink_options_init(struct vg_uplink_options *options);
void __wrap_vg_uplink_options_init(struct vg_uplink_options *options)
{
    __real_vg_uplink_options_init(options);
    const char *sensors = getenv("VIGIA_TEST_PARKED_SENSORS");
    if (sensors != NULL) {
        options->parked_sensors = strtoul(sensors, NULL, 10);
    }
}
