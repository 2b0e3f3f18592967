/* The bounds of an appender, and who may fill how much of them. */
#include "bounds.h"

static struct vgi_held *held_of(struct vgi_bounds *b, enum vg_dlog_room room)
{
    return room == VG_DLOG_HEARTBEAT ? &b->beats : &b->queue;
}

static size_t most(int64_t bound, enum vg_dlog_room room)
{
    return (size_t)(room == VG_DLOG_ROUTINE ? bound - bound / VG_DLOG_URGENT_SHARE : bound);
}

bool vgi_bounds_take(struct vgi_bounds *b, const struct vg_dlog_conf *conf, enum vg_dlog_room room,
                     size_t records, size_t bytes)
{
    const bool beat = room == VG_DLOG_HEARTBEAT;
    struct vgi_held *held = held_of(b, room);
    if (held->records + records > most(beat ? VGI_BEATS_MAX : conf->queue_max, room) ||
        held->bytes + bytes > most(beat ? VGI_BEATS_BYTES : conf->queue_max_bytes, room)) {
        return false;
    }
    held->records += records;
    held->bytes += bytes;
    return true;
}

void vgi_bounds_give(struct vgi_bounds *b, enum vg_dlog_room room, size_t records, size_t bytes)
{
    struct vgi_held *held = held_of(b, room);
    held->records -= records;
    held->bytes -= bytes;
}
