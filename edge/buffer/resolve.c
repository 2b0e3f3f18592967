/* Wall time from anchors; see resolve.h. */
#include "resolve.h"

#include "vigia/clock.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

static int64_t between_ms(int64_t from_ns, int64_t to_ns)
{
    return (to_ns - from_ns) / VG_NS_PER_MS;
}

static bool carry(int64_t taken_ns, const struct vgi_anchor *a, int64_t *wall_ms)
{
    int64_t ms = between_ms(a->at_ns, taken_ns);
    if (llabs(ms) > VGI_RESOLVE_REACH_MS) {
        return false;
    }
    *wall_ms = a->wall_ms + ms;
    return true;
}

bool vgi_buffer_resolve(int64_t taken_ns, const struct vgi_anchor *before,
                        const struct vgi_anchor *after, int64_t *wall_ms)
{
    assert(before == NULL || before->at_ns <= taken_ns);
    assert(after == NULL || after->at_ns > taken_ns);
    if (before == NULL || after == NULL) {
        const struct vgi_anchor *only = before != NULL ? before : after;
        return only != NULL && carry(taken_ns, only, wall_ms);
    }
    int64_t span_ms = between_ms(before->at_ns, after->at_ns);
    int64_t drift_ms = after->wall_ms - before->wall_ms - span_ms;
    if (llabs(drift_ms) > VGI_STEP_SLACK_MS + span_ms / (1000000 / VGI_SLEW_PPM)) {
        return carry(taken_ns, after, wall_ms);
    }
    int64_t part_ms = between_ms(before->at_ns, taken_ns);
    *wall_ms = before->wall_ms + part_ms + (span_ms > 0 ? drift_ms * part_ms / span_ms : 0);
    return true;
}
