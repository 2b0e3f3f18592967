/* Any bytes as SenML-CBOR. */
#include "body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_body(VG_FORMAT_SENML_CBOR, data, size);
    return 0;
}
