/* Any bytes as a record of the `readings` topic: what is read can be written, and reads back the
 * same. */
#include "body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vg_reading reading;
    static struct vg_heartbeat beat;
    enum vg_record_kind kind;
    struct vg_error err;
    if (vg_record_decode(vg_span(data, size), &kind, &reading, &beat, &err) != VG_OK) {
        return 0;
    }
    if (kind == VG_RECORD_READING) {
        fuzz_record(&reading);
    } else {
        char line[VG_RECORD_MAX];
        size_t len;
        require(vg_heartbeat_encode(&beat, line, sizeof(line), &len) == VG_OK);
    }
    return 0;
}
