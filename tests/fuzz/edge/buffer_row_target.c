/* Any bytes as a row of the buffer, with the right checksum so that what follows it is reached.
 * What decodes encodes to a row that decodes to the same. */
#include "../../../edge/buffer/row.h"
#include "../require.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t row[VGI_ROW_MAX + 16], again[VGI_ROW_MAX], third[VGI_ROW_MAX];
    struct vg_reading r, back;
    if (size > sizeof row - 4) {
        return 0;
    }
    memcpy(row, data, size);
    uint32_t crc = vgi_crc32(row, size);
    for (size_t i = 0; i < 4; i++) {
        row[size + i] = (uint8_t)(crc >> 8 * i);
    }
    if (!vgi_row_decode(vg_span(row, size + 4), &r)) {
        return 0;
    }
    /* Compared as bytes: a decoded number may be a NaN, which equals nothing. */
    size_t len = vgi_row_encode(&r, again);
    require(vgi_row_decode(vg_span(again, len), &back));
    require(vgi_row_encode(&back, third) == len && memcmp(again, third, len) == 0);
    return 0;
}
