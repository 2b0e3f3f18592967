/* The bytes of a row: one reading, packed, with a checksum. Pure.
 *
 *   version quality event has flags extras | id | temperature max_temperature | event text |
 * extras… | CRC-32
 *
 * Identity and time are columns beside it. Integers and doubles are little-endian; texts have a
 * length byte. */
#ifndef VIGIA_BUFFER_ROW_H
#define VIGIA_BUFFER_ROW_H

#include "vigia/reading.h"

#define VGI_ROW_VERSION 1
#define VGI_ROW_MAX                                                                                \
    (6 + 1 + VG_SENSOR_ID_MAX + 16 + 1 + VG_EVENT_TEXT_MAX +                                       \
     VG_EXTRAS_MAX * (2 + VG_EXTRA_NAME_MAX + 1 + VG_EXTRA_TEXT_MAX) + 4)

/* Writes at most VGI_ROW_MAX bytes and returns how many. */
size_t vgi_row_encode(const struct vg_reading *r, uint8_t *out);
/* Strict: the whole span, right checksum, every length within its bound. *r is zeroed first; false
 * leaves it unspecified. */
bool vgi_row_decode(struct vg_span row, struct vg_reading *r);

/* CRC-32 (IEEE 802.3). */
uint32_t vgi_crc32(const void *bytes, size_t len);

#endif
