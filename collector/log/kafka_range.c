/* What is made of a position from which the client cannot read on. Only records that are gone need a
 * person; all else is left to a new start of the program. */
#include "kafka_processor.h"

#include <inttypes.h>
#include <stdio.h>

enum vg_err vgi_kafka_in_log(const struct vgi_kafka_processor *p, const struct vgi_kafka_place *at,
                             struct vg_error *err)
{
    if (at->next >= at->begin && at->next <= at->end) {
        return VG_OK;
    }
    const bool gone = at->next < at->begin;
    return vg_fail(err, gone ? VG_E_RANGE : VG_E_FATAL,
                   "kafka %.80s: group %s: %s[%" PRId32 "]: the next offset %" PRId64
                   " is not in the log, which holds %" PRId64 " to %" PRId64 ": %s" VGI_SKIP_HINT,
                   p->k->brokers, p->group_id, at->topic, at->partition, at->next, at->begin,
                   at->end, gone ? "" : "if this repeats, ", p->group);
}

/* With auto.offset.reset=error, librdkafka (2.14.2) gives up a place also when the broker that it
 * asks knows less of the log than the leader did: after a fetch out of range, and after a
 * validation of the leader epoch (KIP-320) that finds a shorter log. So the brokers are asked again
 * before anybody is told that records are gone. */
enum vg_err vgi_kafka_lost_place(const struct vgi_kafka_processor *p, struct vgi_kafka_place *at,
                                 const char *why, struct vg_error *err)
{
    struct vg_error unknown = {0};
    char held[128] = "";
    enum vg_err rc =
        vgi_kafka_extent(p->k, at->topic, &at->partition, 1, &at->begin, &at->end, &unknown);
    if (rc == VG_OK) {
        rc = vgi_kafka_in_log(p, at, err);
        if (rc != VG_OK) {
            return rc;
        }
        (void)snprintf(held, sizeof held, "the log holds %" PRId64 " to %" PRId64, at->begin,
                       at->end);
    } else {
        (void)snprintf(held, sizeof held, "what the log holds is not known: %.80s", unknown.text);
    }
    return vg_fail(err, VG_E_FATAL,
                   "kafka %.80s: group %s: %s[%" PRId32 "]: reading ended at %" PRId64
                   ": %.120s; %s",
                   p->k->brokers, p->group_id, at->topic, at->partition, at->next, why, held);
}
