/* vigia-collector as it is, apart from what the mock brokers cannot do:
 *
 *   They cannot describe a topic's settings: those that are wanted are told as found.
 *
 * With BROKER_DEFECT=answer-first it has the defect that the proof is about: readings are called durable as soon as they are
 * queued. tests/broker/errors must then find readings that were acknowledged and are not there. */
#include "../../collector/log/kafka.h"

#include <stdlib.h>
#include <string.h>

#define EARLY_MAX 20000 /* [log] queue_max is below */

enum vg_err __wrap_vgi_kafka_describe(void *log, enum vg_topic t, struct vg_dlog_topic_info *out,
                                      struct vg_error *err);
enum vg_err __wrap_vg_dlog_append_group(struct vg_dlog_appender *a, enum vg_topic t,
                                        enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                                        size_t count, vg_dlog_verdict_fn *fn, void *arg);
enum vg_err __real_vg_dlog_append_group(struct vg_dlog_appender *a, enum vg_topic t,
                                        enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                                        size_t count, vg_dlog_verdict_fn *fn, void *arg);
enum vg_err __wrap_vg_dlog_appender_dispatch(struct vg_dlog_appender *a, struct vg_error *err);
enum vg_err __real_vg_dlog_appender_dispatch(struct vg_dlog_appender *a, struct vg_error *err);

static struct {
    vg_dlog_verdict_fn *fn;
    void *arg;
} early[EARLY_MAX];
static size_t early_count;

static bool answers_first(void)
{
    static int known = -1;
    if (known < 0) {
        const char *defect = getenv("BROKER_DEFECT");
        known = defect != NULL && strcmp(defect, "answer-first") == 0;
    }
    return known == 1;
}

enum vg_err __wrap_vgi_kafka_describe(void *log, enum vg_topic t, struct vg_dlog_topic_info *out,
                                      struct vg_error *err)
{
    struct vgi_kafka *k = log;
    char name[VGI_KAFKA_NAME_MAX];
    int32_t partitions = 0;

    vgi_kafka_topic_name(k, t, name);
    enum vg_err rc = vgi_kafka_partition_count(k, name, &partitions, err);
    if (rc == VG_OK) {
        memset(out, 0, sizeof(*out));
        memcpy(out->name, name, sizeof(name));
        out->settings = vg_dlog_want(k->conf, t);
        out->settings.partitions = partitions;
    }
    return rc;
}

enum vg_err __wrap_vg_dlog_append_group(struct vg_dlog_appender *a, enum vg_topic t,
                                        enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                                        size_t count, vg_dlog_verdict_fn *fn, void *arg)
{
    if (!answers_first() || early_count == EARLY_MAX) {
        return __real_vg_dlog_append_group(a, t, room, entries, count, fn, arg);
    }
    enum vg_err rc = __real_vg_dlog_append_group(a, t, room, entries, count, NULL, NULL);
    if (rc == VG_OK) {
        early[early_count].fn = fn;
        early[early_count++].arg = arg;
    }
    return rc;
}

enum vg_err __wrap_vg_dlog_appender_dispatch(struct vg_dlog_appender *a, struct vg_error *err)
{
    const struct vg_dlog_verdict durable = {.result = VG_OK, .offset = -1};
    for (size_t i = 0; i < early_count; i++) {
        early[i].fn(early[i].arg, &durable);
    }
    early_count = 0;
    return __real_vg_dlog_appender_dispatch(a, err);
}
