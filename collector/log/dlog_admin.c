/* What both backends do the same way above the operations of backend.h: the check against the
 * topics table, counts, newest values, views. */
#include "vigia/dlog_admin.h"
#include "dlog_inside.h"
#include "newest.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#define COUNT_STALL_MS  30000 /* a count that gets nothing for so long gives up */
#define NEAR_READS      2 /* so many reads without a record, each of at most NEAR_MS, are the end */
#define NEAR_MS         20
#define UNKNOWN_STEP_MS 100 /* between two looks for a topic that servers do not know yet */

static int64_t clock_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t vgi_now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t vgi_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

bool vgi_wait_fd(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) > 0;
}

/* ---- admin ---- */

static enum vg_err differs(struct vg_error *err, const char *key, const char *topic,
                           const char *setting, int64_t found, int64_t accepted)
{
    return vg_fail(err, VG_E_INVALID, "%s: topic %s: %s is %" PRId64 ", accepted: %" PRId64, key,
                   topic, setting, found, accepted);
}

static const char *cleanup_name(enum vg_cleanup c)
{
    return c == VG_CLEANUP_COMPACT ? "compact" : "delete";
}

/* The key at fault is the one that the wanted setting comes from; where none says it, the log's. */
static enum vg_err compare(const struct vg_dlog_topic_info *info, enum vg_topic t,
                           const struct vg_dlog_conf *conf, struct vg_error *err)
{
    const struct vg_topic_settings *is = &info->settings, want = vg_dlog_want(conf, t);
    const struct vg_topic_spec *spec = vg_topic_spec(t);
    if (is->partitions != want.partitions) {
        return differs(err, spec->partitioned ? "log.partitions" : "log.url", info->name,
                       "partitions", is->partitions, want.partitions);
    }
    if (is->replication != want.replication) {
        return differs(err, "log.replication", info->name, "replication", is->replication,
                       want.replication);
    }
    if (is->min_insync != want.min_insync) {
        return differs(err, "log.min_insync", info->name, "min.insync.replicas", is->min_insync,
                       want.min_insync);
    }
    if (is->cleanup != want.cleanup) {
        return vg_fail(err, VG_E_INVALID, "log.url: topic %s: cleanup is %s, accepted: %s",
                       info->name, cleanup_name(is->cleanup), cleanup_name(want.cleanup));
    }
    if (want.cleanup == VG_CLEANUP_TIME && is->retain_ms != want.retain_ms) {
        return differs(err, spec->long_kept ? "log.retain_alarms" : "log.retain", info->name,
                       "retention in ms", is->retain_ms, want.retain_ms);
    }
    return VG_OK;
}

enum vg_err vg_dlog_describe(struct vg_dlog *log, enum vg_topic t, struct vg_dlog_topic_info *out,
                             struct vg_error *err)
{
    if (t >= VG_TOPIC_COUNT) {
        return vg_fail(err, VG_E_RANGE, "no such topic");
    }
    return vgi_dlog_blame(log, log->ops->describe(log->impl, t, out, err), err);
}

/* What ought to be there: a topic that is unknown for the moment must not look like a log that was
 * never made. */
static enum vg_err describe_needed(struct vg_dlog *log, enum vg_topic t,
                                   struct vg_dlog_topic_info *out, struct vg_error *err)
{
    static const struct timespec pause = {.tv_nsec = UNKNOWN_STEP_MS * 1000 * 1000};
    const int64_t until = vgi_now_ms() + log->ops->unknown_ms;
    enum vg_err rc = log->ops->describe(log->impl, t, out, err);
    while (rc == VG_E_NOTFOUND && vgi_now_ms() < until) {
        nanosleep(&pause, NULL);
        rc = log->ops->describe(log->impl, t, out, err);
    }
    return rc;
}

enum vg_err vg_dlog_check(struct vg_dlog *log, unsigned topics, struct vg_error *err)
{
    struct vg_dlog_topic_info *info = calloc(1, sizeof *info);
    if (info == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a topic's description");
    }
    enum vg_err rc = VG_OK;
    for (int i = 0; i < VG_TOPIC_COUNT && rc == VG_OK; i++) {
        const enum vg_topic t = (enum vg_topic)i;
        if ((topics & VG_TOPIC_BIT(t)) != 0) {
            rc = describe_needed(log, t, info, err);
            if (rc == VG_OK) {
                rc = compare(info, t, &log->conf, err);
            }
        }
    }
    free(info);
    return vgi_dlog_blame(log, rc, err);
}

enum vg_err vg_dlog_create(struct vg_dlog *log, unsigned topics, unsigned *created,
                           struct vg_error *err)
{
    unsigned made = 0;
    enum vg_err rc = log->ops->create(log->impl, topics & VG_TOPICS_ALL, &made, err);
    if (rc == VG_OK) {
        rc = vg_dlog_check(log, topics & VG_TOPICS_ALL, err);
    }
    if (rc == VG_OK) {
        *created = made;
    }
    return vgi_dlog_blame(log, rc, err);
}

enum vg_err vg_dlog_list(struct vg_dlog *log, unsigned *topics, struct vg_error *err)
{
    struct vg_dlog_topic_info *info = calloc(1, sizeof *info);
    if (info == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a topic's description");
    }
    unsigned found = 0;
    enum vg_err rc = VG_OK;
    for (int i = 0; i < VG_TOPIC_COUNT && rc == VG_OK; i++) {
        rc = log->ops->describe(log->impl, (enum vg_topic)i, info, err);
        if (rc == VG_OK) {
            found |= VG_TOPIC_BIT(i);
        } else if (rc == VG_E_NOTFOUND) {
            rc = VG_OK;
        }
    }
    free(info);
    if (rc == VG_OK) {
        *topics = found;
    }
    return rc;
}

enum vg_err vg_dlog_partitions(struct vg_dlog *log, enum vg_topic t, int32_t *out,
                               struct vg_error *err)
{
    struct vg_dlog_topic_info *info = calloc(1, sizeof *info);
    if (info == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a topic's description");
    }
    const enum vg_err rc = vg_dlog_describe(log, t, info, err);
    if (rc == VG_OK) {
        *out = info->settings.partitions;
    }
    free(info);
    return rc;
}

enum vg_err vg_dlog_count(struct vg_dlog *log, enum vg_topic t, vg_dlog_progress_fn *fn, void *arg,
                          uint64_t *out, struct vg_error *err)
{
    struct vg_dlog_reader *r = NULL;
    struct vg_dlog_record *records = calloc(VG_DLOG_BATCH_MAX, sizeof *records);
    if (records == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a batch");
    }
    enum vg_err rc =
        vg_dlog_reader_open(log, t, -1, (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &r, err);
    uint64_t n = 0;
    int64_t moved_ms = vgi_now_ms();
    while (rc == VG_OK && !vg_dlog_reader_caught_up(r)) {
        size_t got = 0;
        rc = vg_dlog_read(r, VG_DLOG_TURN_MS, records, VG_DLOG_BATCH_MAX, &got, err);
        for (size_t i = 0; rc == VG_OK && i < got; i++) {
            n += records[i].value.at != NULL;
        }
        moved_ms = got > 0 ? vgi_now_ms() : moved_ms;
        if (rc == VG_OK && vgi_now_ms() - moved_ms > COUNT_STALL_MS) {
            rc = vg_fail(err, VG_E_TIMEOUT, "%s: nothing could be read for %d s", log->conf.url,
                         COUNT_STALL_MS / 1000);
        }
        if (rc == VG_OK && fn != NULL && !fn(arg, n, 0)) {
            rc = vg_fail(err, VG_E_CLOSED, "stopped");
        }
    }
    vg_dlog_reader_close(r);
    free(records);
    if (rc == VG_OK) {
        *out = n;
    }
    return rc;
}

/* ---- the newest value of each key ---- */

static enum vg_err keep(struct vgi_newest *table, const struct vg_dlog_record *records, size_t n,
                        size_t max_bytes, struct vg_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct vg_dlog_record *r = &records[i];
        if (vgi_newest_set(table, r->partition, r->key, r->value) != VG_OK) {
            return vg_fail(err, VG_E_NOMEM, "no memory for the newest values");
        }
        if (vgi_newest_bytes(table) > max_bytes) {
            return vg_fail(err, VG_E_FULL, "the newest values of %s take more than %zu bytes",
                           vg_topic_spec(r->topic)->name, max_bytes);
        }
    }
    return VG_OK;
}

/* A key that changes while the reader is on its way may move from before it to behind the end that
 * was seen at open (SQLite keeps one row of each key), so the end is reached only when nothing more
 * is there. One read may give nothing because the log is busy: it takes NEAR_READS of them in a row.
 */
static enum vg_err gather(struct vg_dlog *log, struct vg_dlog_reader *r,
                          const struct vg_dlog_latest_limits *limits, struct vgi_newest *table,
                          struct vg_error *err)
{
    struct vg_dlog_record *records = calloc(VG_DLOG_BATCH_MAX, sizeof *records);
    if (records == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a batch");
    }
    int64_t moved_ms = vgi_now_ms();
    enum vg_err rc = VG_OK;
    for (int empty = 0; rc == VG_OK && empty < NEAR_READS;) {
        const bool near = vg_dlog_reader_caught_up(r);
        size_t n = 0;
        rc = vg_dlog_read(r, near ? NEAR_MS : VG_DLOG_TURN_MS, records, VG_DLOG_BATCH_MAX, &n, err);
        if (rc == VG_OK) {
            rc = keep(table, records, n, limits->max_bytes, err);
        }
        empty = near && n == 0 ? empty + 1 : 0;
        moved_ms = !near && n > 0 ? vgi_now_ms() : moved_ms;
        if (rc == VG_OK && empty == 0 && vgi_now_ms() - moved_ms > limits->stall_ms) {
            rc = vg_fail(err, VG_E_TIMEOUT, "%s: %s for %" PRId64 " s", log->conf.url,
                         near ? "new values came faster than they were read"
                              : "nothing could be read",
                         limits->stall_ms / 1000);
        }
    }
    free(records);
    return rc;
}

enum vg_err vg_dlog_latest(struct vg_dlog *log, enum vg_topic t,
                           const struct vg_dlog_latest_limits *limits, vg_dlog_latest_fn *fn,
                           void *arg, struct vg_error *err)
{
    if (t >= VG_TOPIC_COUNT || vg_topic_spec(t)->cleanup != VG_CLEANUP_COMPACT) {
        return vg_fail(err, VG_E_INVALID, "newest values need a compacted topic");
    }
    struct vgi_newest *table = vgi_newest_new();
    if (table == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the newest values");
    }
    struct vg_dlog_reader *r = NULL;
    enum vg_err rc =
        vg_dlog_reader_open(log, t, -1, (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &r, err);
    if (rc == VG_OK) {
        rc = gather(log, r, limits, table, err);
        vg_dlog_reader_close(r);
    }
    if (rc == VG_OK && vgi_newest_each_in_order(table, fn, arg) != VG_OK) {
        rc = vg_fail(err, VG_E_NOMEM, "no memory for the newest values");
    }
    vgi_newest_free(table);
    return rc;
}

enum vg_err vg_dlog_retain(struct vg_dlog *log, struct vg_dlog_retained *out, struct vg_error *err)
{
    if (log->ops->retain == NULL) {
        return vg_fail(err, VG_E_UNSUPPORTED, "%s: its servers apply the retention by themselves",
                       log->conf.url);
    }
    return log->ops->retain(log->impl, out, err);
}

enum vg_err vg_dlog_backup(struct vg_dlog *log, const char *path, vg_dlog_progress_fn *fn,
                           void *arg, struct vg_error *err)
{
    if (log->ops->backup == NULL) {
        return vg_fail(err, VG_E_UNSUPPORTED,
                       "%s: a backup is made with the servers' own means (mirroring)",
                       log->conf.url);
    }
    return log->ops->backup(log->impl, path, fn, arg, err);
}

enum vg_err vg_dlog_skip(struct vg_dlog *log, const char *group, vg_dlog_skipped_fn *fn, void *arg,
                         struct vg_error *err)
{
    if (!vgi_name_ok(group)) {
        return vgi_name_refused(err, "group", group);
    }
    return log->ops->skip(log->impl, group, fn, arg, err);
}

/* ---- view: a reader over all partitions of a compacted topic ---- */

struct vg_dlog_view {
    struct vg_dlog_reader *reader;
    vg_dlog_change_fn *fn;
    void *arg;
    struct vg_dlog_record records[VG_DLOG_BATCH_MAX];
};

enum vg_err vg_dlog_view_open(struct vg_dlog *log, enum vg_topic t, vg_dlog_change_fn *fn,
                              void *arg, struct vg_dlog_view **out, struct vg_error *err)
{
    if (t >= VG_TOPIC_COUNT || vg_topic_spec(t)->cleanup != VG_CLEANUP_COMPACT) {
        return vg_fail(err, VG_E_INVALID, "a view needs a compacted topic");
    }
    struct vg_dlog_view *v = calloc(1, sizeof *v);
    if (v == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a view");
    }
    v->fn = fn;
    v->arg = arg;
    const enum vg_err rc = vg_dlog_reader_open(
        log, t, -1, (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &v->reader, err);
    if (rc != VG_OK) {
        free(v);
        return rc;
    }
    *out = v;
    return VG_OK;
}

enum vg_err vg_dlog_view_dispatch(struct vg_dlog_view *v, int timeout_ms, struct vg_error *err)
{
    size_t n = 0;
    const enum vg_err rc =
        vg_dlog_read(v->reader, timeout_ms, v->records, VG_DLOG_BATCH_MAX, &n, err);
    for (size_t i = 0; rc == VG_OK && i < n; i++) {
        v->fn(v->arg, &v->records[i]);
    }
    return rc;
}

bool vg_dlog_view_caught_up(const struct vg_dlog_view *v)
{
    return vg_dlog_reader_caught_up(v->reader);
}

int vg_dlog_view_fd(const struct vg_dlog_view *v)
{
    return vg_dlog_reader_fd(v->reader);
}

void vg_dlog_view_close(struct vg_dlog_view *v)
{
    if (v != NULL) {
        vg_dlog_reader_close(v->reader);
        free(v);
    }
}
