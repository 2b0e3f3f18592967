/* Wall time of a row from anchors. Pure.
 *
 * A row knows the CLOCK_BOOTTIME at which it was taken; an anchor says which wall time a
 * synchronised clock showed at some moment of the same boot.
 *
 *   anchors on both sides      interpolated; if they disagree by more than a disciplined clock can
 * drift (the clock was stepped in between), the later one, which knows better, counts one anchor
 * carried over at the clock's own rate, as far as the error stays below VGI_RESOLVE_ERROR_MS none,
 * or further           unknown: the row is sent unsynced */
#ifndef VIGIA_BUFFER_RESOLVE_H
#define VIGIA_BUFFER_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

struct vgi_anchor {
    int64_t at_ns;
    int64_t wall_ms;
};

/* A free-running crystal is within 100 ppm; NTP slews by at most 500 ppm. */
#define VGI_FREE_PPM         100
#define VGI_SLEW_PPM         500
#define VGI_STEP_SLACK_MS    50
#define VGI_RESOLVE_ERROR_MS 60000
#define VGI_RESOLVE_REACH_MS (VGI_RESOLVE_ERROR_MS * (1000000LL / VGI_FREE_PPM))

/* `before` is the last anchor at or before `taken_ns`, `after` the first one later; either may be
 * NULL. */
bool vgi_buffer_resolve(int64_t taken_ns, const struct vgi_anchor *before,
                        const struct vgi_anchor *after, int64_t *wall_ms);

#endif
