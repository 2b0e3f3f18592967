/* Any bytes as plain JSON, and as the list of a POST /v1/ok. */
#include "body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_body(VG_FORMAT_JSON, data, size);
    (void)vg_batch_decode_ok(vg_span(data, size), (struct vg_wall){FUZZ_NOW_MS}, &fuzz_batch, NULL);
    return 0;
}
