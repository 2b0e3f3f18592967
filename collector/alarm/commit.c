/* The transaction of the live processor: what is appended to it, when it is committed, and what
 * becomes of it when it cannot be. */
#include "live.h"
#include "metrics.h"

#include "vigia/fault.h"
#include "vigia/log.h"

#define COMMIT_GIVE_UP 20000 /* ms after which a commit that is refused for now is given up */

void vgi_alarm_append(struct vgi_alarm *a, enum vg_topic topic, int32_t partition,
                      struct vg_span key, struct vg_span value)
{
    if (!a->broken &&
        vg_dlog_processor_append(a->processor, topic, partition, key, value) != VG_OK) {
        a->broken = true;
    }
}

static void store_states(struct vgi_alarm *a)
{
    struct vg_span key, value;
    for (int32_t i = 0; i < a->part_count; i++) {
        struct vgi_alarm_part *p = &a->parts[i];
        while (p->engine != NULL && !a->broken &&
               vg_alarm_engine_next_dirty(p->engine, a->buf, &key, &value)) {
            vgi_alarm_append(a, VG_TOPIC_ALARM_STATE, i, key, value);
            if (VG_FAULT(ALARM_STATE)) {
                a->broken = true;
            }
        }
    }
}

static void drop(struct vgi_alarm *a, const char *why)
{
    struct vg_error err;
    vg_log_warn("transaction-dropped", "why=%s", why);
    vgi_metrics_dropped();
    if (vg_dlog_processor_abort(a->processor, &err) != VG_OK) {
        vgi_alarm_fail(a, "abort", &err);
    }
    a->broken = a->urgent = a->uncommitted = a->commit_waits = false;
}

void vgi_alarm_commit(struct vgi_alarm *a)
{
    struct vg_error err;
    struct vg_mono now = vg_now_mono(vg_loop_clock(a->loop));
    if (!a->commit_waits) {
        store_states(a);
        a->give_up = vg_mono_add_ms(now, COMMIT_GIVE_UP);
    }
    if (a->broken) {
        drop(a, "append");
        return;
    }
    enum vg_err rc = VG_FAULT(ALARM_BEFORE_COMMIT) ? vg_fail(&err, VG_E_AGAIN, "fault point")
                                                   : vg_dlog_processor_commit(a->processor, &err);
    a->commit_waits = rc == VG_E_AGAIN;
    switch (rc) {
    case VG_OK:
        (void)VG_FAULT(ALARM_AFTER_COMMIT);
        vgi_metrics_commit();
        break;
    case VG_E_AGAIN:
        vg_log_warn("commit-waits", "error=%s", VG_Q(err.text));
        if (now.ns >= a->give_up.ns) {
            drop(a, "commit");
        }
        return;
    case VG_E_CONFLICT:
        /* The next poll takes everything away and gives it again. */
        vg_log_warn("commit-refused", "error=%s", VG_Q(err.text));
        break;
    default:
        vgi_alarm_fail(a, "commit", &err);
        return;
    }
    a->urgent = a->uncommitted = false;
    a->commit_due = vg_mono_add_ms(now, a->conf->commit_ms);
}

void vgi_alarm_commit_if_due(struct vgi_alarm *a, bool backlog)
{
    size_t waiting = vg_dlog_processor_pending(a->processor);
    for (int32_t i = 0; i < a->part_count; i++) {
        if (a->parts[i].engine != NULL) {
            waiting += vg_alarm_engine_dirty(a->parts[i].engine);
        }
    }
    if (!a->uncommitted && !a->broken && waiting == 0) {
        return;
    }
    const int64_t now_ns = vg_now_mono(vg_loop_clock(a->loop)).ns;
    const bool urgent = a->urgent && (!backlog || now_ns >= a->urgent_due.ns);
    if (urgent || a->broken || waiting >= VGI_ALARM_COMMIT_RECORDS || now_ns >= a->commit_due.ns) {
        vgi_alarm_commit(a);
    }
}
