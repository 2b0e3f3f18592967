/* Which readings were applied before.
 *
 * A buffer of a device has a random store id, and each of its lanes counts on its own and in order,
 * so one number per (store, lane) says it. A sensor keeps VG_RULES_STORES_MAX stores: those with
 * the newest readings. When another one comes, the store whose newest reading is the oldest leaves.
 * What was applied from it lies at or before every time kept, so a reading of an unknown store at
 * or before all of them is refused: it cannot be told from one that was applied before. */
#include "rules_internal.h"

static int lane_index(char lane)
{
    return lane == VG_LANE_URGENT ? 0 : 1;
}

static struct vg_store_mark *oldest(struct vg_rules_state *s)
{
    struct vg_store_mark *found = &s->store[0];
    for (unsigned i = 1; i < s->store_count; i++) {
        const struct vg_store_mark *other = &s->store[i];
        if (other->newest_ms < found->newest_ms ||
            (other->newest_ms == found->newest_ms && other->store < found->store)) {
            found = &s->store[i];
        }
    }
    return found;
}

enum vgi_mark vgi_rules_mark(struct vg_rules_state *s, const struct vg_reading *m)
{
    if (m->lane == VG_LANE_NONE) {
        return VGI_MARK_NEW;
    }
    /* A device whose clock runs ahead must not hold its place among the newest for years. */
    int64_t time_ms = vg_reading_count_ms(m);
    if (time_ms > m->received_ms) {
        time_ms = m->received_ms;
    }
    struct vg_store_mark *mark = NULL;
    for (unsigned i = 0; i < s->store_count && mark == NULL; i++) {
        if (s->store[i].store == m->store) {
            mark = &s->store[i];
        }
    }
    if (mark != NULL) {
        uint64_t *next = &mark->next[lane_index(m->lane)];
        if (m->seq < *next) {
            return VGI_MARK_DUPLICATE;
        }
        *next = m->seq + 1;
        mark->newest_ms = vgi_max_ms(mark->newest_ms, time_ms);
        return VGI_MARK_NEW;
    }
    if (s->store_count < VG_RULES_STORES_MAX) {
        mark = &s->store[s->store_count++];
    } else {
        mark = oldest(s);
        if (time_ms <= mark->newest_ms) {
            return VGI_MARK_OLD_STORE;
        }
    }
    *mark = (struct vg_store_mark){.store = m->store, .newest_ms = time_ms};
    mark->next[lane_index(m->lane)] = m->seq + 1;
    return VGI_MARK_NEW;
}
