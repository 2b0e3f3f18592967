/* Files that pass from device to device, as when a board is provisioned anew. */
#ifndef VIGIA_TEST_BUFFER_OWNERS_H
#define VIGIA_TEST_BUFFER_OWNERS_H

#include "harness.h"

/* Opens for `device`, takes `count` routine rows and one alarm, closes. Returns the store. */
uint64_t leave_rows(struct rig *r, const char *device, int count);
/* All that waits in the lane, which must be of `device`: how many rows, device events not counted.
 */
size_t take(struct rig *r, enum vg_buffer_lane lane, const char *device, uint64_t store);
/* These wait in the lanes and no others; they are settled, and are gone from the card. */
void expect_rows(struct rig *r, const char *device, uint64_t store, size_t routine, size_t urgent);
void expect_no_rows(struct rig *r, const char *device);
/* Where the file of `device` is set aside; until the next call. */
const char *beside(struct rig *r, const char *device);

#endif
