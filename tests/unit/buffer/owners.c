/* See owners.h. */
#include "owners.h"

#include <stdio.h>

uint64_t leave_rows(struct rig *r, const char *device, int count)
{
    r->options.device = device;
    rig_open(r);
    const uint64_t store = stats(r).store;
    for (int i = 0; i < count; i++) {
        struct vg_reading n = normal("s1", i);
        append(r, &n);
    }
    struct vg_reading u = smoke("s2");
    append(r, &u);
    rig_close(r);
    return store;
}

size_t take(struct rig *r, enum vg_buffer_lane lane, const char *device, uint64_t store)
{
    size_t count = 0;
    uint64_t last = 0;
    while (fetch(r, lane, 64) > 0) {
        for (size_t i = 0; i < r->count; i++) {
            const struct vg_reading *x = &r->rows[i].reading;
            assert_string_equal(x->device, device);
            if (x->event == VG_EVENT_NONE) {
                assert_true(x->store == store);
                assert_true(x->seq > last);
                last = x->seq;
                count++;
            }
        }
        settle(r, lane, VG_BUFFER_DONE);
    }
    return count;
}

void expect_rows(struct rig *r, const char *device, uint64_t store, size_t routine, size_t urgent)
{
    assert_int_equal(take(r, VG_BUFFER_ROUTINE, device, store), routine);
    assert_int_equal(take(r, VG_BUFFER_URGENT, device, store), urgent);
    wait_until(r, rows_on_card, 0, "rows removed");
}

void expect_no_rows(struct rig *r, const char *device)
{
    expect_rows(r, device, 0, 0, 0);
}

const char *beside(struct rig *r, const char *device)
{
    static char path[VG_BUFFER_FILE_MAX];
    (void)snprintf(path, sizeof path, "%s.of-%s", r->path, device);
    return path;
}
