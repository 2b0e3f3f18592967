/* Any bytes as SenML-JSON. */
#include "body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_body(VG_FORMAT_SENML_JSON, data, size);
    return 0;
}
