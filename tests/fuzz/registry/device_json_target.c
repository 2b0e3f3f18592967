/* Any bytes as entries of the `devices` topic, NUL between them. What is read must be written again so that it reads the same,
 * and the table must find for each sensor what a plain search over all its entries finds. */
#include "../require.h"

#include "vigia/devices.h"

#define DEVICES_MAX 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct vg_device *d)
{
    static char one[VG_DEVICE_JSON_MAX], two[VG_DEVICE_JSON_MAX];
    static struct vg_device *again;
    size_t len = 0, len_again = 0;

    again = again == NULL ? vg_device_new() : again;
    require(again != NULL);
    require(vg_device_name_valid(vg_span_str(d->name)) && d->version >= 1 &&
            d->version <= VG_DEVICE_VERSION_MAX && d->pattern_count <= VG_DEVICE_PATTERNS_MAX);
    require(d->period_ms == 0 ||
            (d->period_ms >= VG_DEVICE_PERIOD_MIN_MS && d->period_ms <= VG_DEVICE_PERIOD_MAX_MS));
    require(vg_device_encode(d, one, sizeof(one), &len, NULL) == VG_OK);
    require(vg_device_decode(vg_span(one, len), again, NULL) == VG_OK);
    require(vg_device_encode(again, two, sizeof(two), &len_again, NULL) == VG_OK);
    require(vg_span_eq(vg_span(one, len), vg_span(two, len_again)));
}

/* Whether any active device of the table may speak for the sensor. */
static bool somebody_may(const struct vg_devices *table, struct vg_span sensor)
{
    const struct vg_device *d;
    size_t cursor = 0;

    while ((d = vg_devices_next(table, &cursor)) != NULL) {
        if (d->state == VG_DEVICE_ACTIVE && vg_device_may(d, sensor)) {
            return true;
        }
    }
    return false;
}

static void look_up(const struct vg_devices *table, struct vg_span sensor)
{
    const struct vg_device *found = vg_devices_find_sensor(table, sensor);

    require((found != NULL) == somebody_may(table, sensor));
    require(found == NULL || (found->state == VG_DEVICE_ACTIVE && vg_device_may(found, sensor)));
}

/* Sensors that the entries speak of, and their neighbours. */
static void look_up_all(const struct vg_devices *table)
{
    const struct vg_device *d;
    size_t cursor = 0;

    look_up(table, VG_SPAN("42959"));
    while ((d = vg_devices_next(table, &cursor)) != NULL) {
        look_up(table, vg_span_str(d->name));
        for (size_t i = 0; i < d->pattern_count; i++) {
            struct vg_span pattern = vg_span_str(d->patterns[i]);
            look_up(table, pattern);
            look_up(table, vg_span(pattern.at, pattern.len - 1));
        }
    }
}

static void apply(struct vg_devices *table, struct vg_span json)
{
    static struct vg_device *entry;
    struct vg_error err = {0};
    struct vg_span key = VG_SPAN("pi-42");

    entry = entry == NULL ? vg_device_new() : entry;
    require(entry != NULL);
    entry->pattern_count = 0;
    enum vg_err rc = vg_device_decode(json, entry, &err);
    if (rc == VG_OK) {
        round_trip(entry);
        key = vg_span_str(entry->name);
    } else {
        require(rc == VG_E_INVALID || rc == VG_E_VERSION || rc == VG_E_FULL);
        require(err.text[0] != '\0');
    }
    bool known = vg_devices_find(table, key) != NULL;
    enum vg_err applied = vg_devices_apply(table, key, json, &err);
    require(json.len == 0 || rc != VG_OK || applied == VG_OK || (applied == VG_E_FULL && !known));
    require(vg_devices_count(table) <= DEVICES_MAX);
    /* What cannot be read leaves its device unknown; a newer schema stops the program instead. */
    require(applied == VG_OK || applied == VG_E_VERSION || vg_devices_find(table, key) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_devices *table = NULL;
    struct vg_span left = vg_span(data, size);

    require(vg_devices_new(DEVICES_MAX, NULL, NULL, &table) == VG_OK);
    while (left.len > 0) {
        const char *end = memchr(left.at, '\0', left.len);
        size_t len = end == NULL ? left.len : (size_t)(end - left.at);
        apply(table, vg_span(left.at, len));
        len += end != NULL;
        left = vg_span(left.at + len, left.len - len);
    }
    look_up_all(table);
    vg_devices_free(table);
    return 0;
}
