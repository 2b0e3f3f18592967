/* The public face of the log: picks the backend by URL, checks arguments once, passes on. */
#include "dlog_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct vgi_backend *const backends[] = {
    &vgi_sqlite_backend,
    &vgi_kafka_backend,
};

struct vg_dlog_appender {
    const struct vgi_backend *ops;
    void *impl;
    uint64_t refused;
};

struct vg_dlog_reader {
    const struct vgi_backend *ops;
    void *impl;
};

struct vg_dlog_processor {
    const struct vgi_backend *ops;
    void *impl;
};

/* Topic prefixes, groups and instances end up in file names and broker-side names. */
static bool name_ok(const char *s, size_t max)
{
    const size_t len = strlen(s);
    return len < max &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static const struct vgi_backend *find_backend(const char *url, const char **rest)
{
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        const size_t n = strlen(backends[i]->scheme);
        if (strncmp(url, backends[i]->scheme, n) == 0 && url[n] == ':') {
            *rest = url + n + 1;
            return backends[i];
        }
    }
    return NULL;
}

enum vg_err vgi_dlog_blame(const struct vg_dlog *log, enum vg_err code, struct vg_error *err)
{
    char scheme[16];
    snprintf(scheme, sizeof scheme, "%s ", log->ops->scheme);
    const char *rest = log->conf.url + strlen(log->ops->scheme) + 1;
    code = vg_err_blame_value(err, code, "log.url", rest);
    return vg_err_blame_value(err, code, "log.url", scheme);
}

enum vg_err vg_dlog_open(const struct vg_dlog_conf *conf, const char *client, unsigned flags,
                         struct vg_dlog **out, struct vg_error *err)
{
    const char *rest = NULL;
    const struct vgi_backend *ops = find_backend(conf->url, &rest);
    if (ops == NULL) {
        return vg_fail(err, VG_E_UNSUPPORTED,
                       "log.url: '%.100s' is not a log: accepted are sqlite:FILE and "
                       "kafka:HOST:PORT,HOST:PORT",
                       conf->url);
    }
    if (rest[0] == '\0') {
        return vg_fail(err, VG_E_INVALID, "log.url: '%.100s' names nothing behind '%s:'", conf->url,
                       ops->scheme);
    }
    if (!name_ok(conf->prefix, sizeof conf->prefix)) {
        return vg_fail(err, VG_E_INVALID,
                       "log.prefix: '%.64s': accepted are letters, digits, '.', '_' and '-'",
                       conf->prefix);
    }
    struct vg_dlog *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the log");
    }
    log->ops = ops;
    log->conf = *conf;
    if (!vg_str_copy(client, log->client, sizeof log->client)) {
        free(log);
        return vg_fail(err, VG_E_RANGE, "client name '%.64s…' is too long", client);
    }
    enum vg_err rc = ops->open(&log->conf, log->client, log->conf.url + (rest - conf->url), flags,
                               &log->impl, err);
    if (rc != VG_OK) {
        rc = vgi_dlog_blame(log, rc, err);
        free(log);
        return rc;
    }
    *out = log;
    return VG_OK;
}

void vg_dlog_close(struct vg_dlog *log)
{
    if (log != NULL) {
        log->ops->close(log->impl);
        free(log);
    }
}

/* ---- appender ---- */

enum vg_err vg_dlog_appender_open(struct vg_dlog *log, struct vg_dlog_appender **out,
                                  struct vg_error *err)
{
    struct vg_dlog_appender *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for an appender");
    }
    a->ops = log->ops;
    const enum vg_err rc = log->ops->appender_open(log->impl, &a->impl, err);
    if (rc != VG_OK) {
        free(a);
        return vgi_dlog_blame(log, rc, err);
    }
    *out = a;
    return VG_OK;
}

static bool record_ok(enum vg_topic t, struct vg_span key, struct vg_span value)
{
    return t < VG_TOPIC_COUNT && key.len > 0 && key.len <= VG_DLOG_KEY_MAX &&
           value.len <= VG_DLOG_VALUE_MAX &&
           (value.at != NULL || vg_topic_spec(t)->cleanup == VG_CLEANUP_COMPACT);
}

static enum vg_err append(struct vg_dlog_appender *a, enum vg_topic t, int32_t partition,
                          enum vg_dlog_room room, const struct vg_dlog_entry *entries, size_t count,
                          vg_dlog_verdict_fn *fn, void *arg)
{
    if (partition < -1 || count < 1 || count > VG_DLOG_GROUP_MAX) {
        return VG_E_RANGE;
    }
    for (size_t i = 0; i < count; i++) {
        if (!record_ok(t, entries[i].key, entries[i].value)) {
            return VG_E_RANGE;
        }
    }
    const enum vg_err rc = a->ops->append(a->impl, t, partition, room, entries, count, fn, arg);
    if (rc == VG_E_FULL) {
        a->refused += count;
    }
    return rc;
}

enum vg_err vg_dlog_append(struct vg_dlog_appender *a, enum vg_topic t, int32_t partition,
                           struct vg_span key, struct vg_span value, vg_dlog_verdict_fn *fn,
                           void *arg)
{
    const struct vg_dlog_entry one = {key, value};
    return append(a, t, partition, VG_DLOG_URGENT, &one, 1, fn, arg);
}

enum vg_err vg_dlog_append_group(struct vg_dlog_appender *a, enum vg_topic t,
                                 enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                                 size_t count, vg_dlog_verdict_fn *fn, void *arg)
{
    return append(a, t, -1, room, entries, count, fn, arg);
}

enum vg_err vg_dlog_append_heartbeat(struct vg_dlog_appender *a, int32_t partition,
                                     struct vg_span key, struct vg_span value,
                                     vg_dlog_verdict_fn *fn, void *arg)
{
    const struct vg_dlog_entry one = {key, value};
    return append(a, VG_TOPIC_READINGS, partition, VG_DLOG_HEARTBEAT, &one, 1, fn, arg);
}

int vg_dlog_appender_fd(const struct vg_dlog_appender *a)
{
    return a->ops->appender_fd(a->impl);
}

enum vg_err vg_dlog_appender_dispatch(struct vg_dlog_appender *a, struct vg_error *err)
{
    return a->ops->appender_dispatch(a->impl, err);
}

enum vg_err vg_dlog_appender_drain(struct vg_dlog_appender *a, int timeout_ms, struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + timeout_ms;
    for (;;) {
        const enum vg_err rc = vg_dlog_appender_dispatch(a, err);
        if (rc != VG_OK || vg_dlog_appender_pending(a) == 0) {
            return rc;
        }
        const int64_t left = until - vgi_now_ms();
        if (left <= 0) {
            return vg_fail(err, VG_E_TIMEOUT, "%zu records without a verdict after %d ms",
                           vg_dlog_appender_pending(a), timeout_ms);
        }
        vgi_wait_fd(vg_dlog_appender_fd(a), left < VG_DLOG_TURN_MS ? (int)left : VG_DLOG_TURN_MS);
    }
}

size_t vg_dlog_appender_pending(const struct vg_dlog_appender *a)
{
    return a->ops->appender_pending(a->impl);
}

bool vg_dlog_appender_holds(const struct vg_dlog_appender *a, const void *arg)
{
    return a->ops->appender_holds(a->impl, arg);
}

uint64_t vg_dlog_appender_refused(const struct vg_dlog_appender *a)
{
    return a->refused;
}

uint64_t vg_dlog_appender_forced(const struct vg_dlog_appender *a)
{
    return a->ops->appender_forced == NULL ? 0 : a->ops->appender_forced(a->impl);
}

void vg_dlog_appender_close(struct vg_dlog_appender *a)
{
    if (a != NULL) {
        a->ops->appender_close(a->impl);
        free(a);
    }
}

/* ---- reader ---- */

enum vg_err vg_dlog_reader_open(struct vg_dlog *log, enum vg_topic t, int32_t partition,
                                struct vg_dlog_from from, struct vg_dlog_reader **out,
                                struct vg_error *err)
{
    if (t >= VG_TOPIC_COUNT || partition < -1 || (from.kind == VG_DLOG_OFFSET && partition < 0)) {
        return vg_fail(err, VG_E_RANGE, "a reader needs a topic, and for an offset a partition");
    }
    struct vg_dlog_reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a reader");
    }
    r->ops = log->ops;
    const enum vg_err rc = log->ops->reader_open(log->impl, t, partition, from, &r->impl, err);
    if (rc != VG_OK) {
        free(r);
        return vgi_dlog_blame(log, rc, err);
    }
    *out = r;
    return VG_OK;
}

enum vg_err vg_dlog_read(struct vg_dlog_reader *r, int timeout_ms, struct vg_dlog_record *records,
                         size_t max, size_t *count, struct vg_error *err)
{
    if (max == 0) {
        return vg_fail(err, VG_E_RANGE, "a read needs room for a record");
    }
    return r->ops->read(r->impl, timeout_ms, records,
                        max < VG_DLOG_BATCH_MAX ? max : VG_DLOG_BATCH_MAX, count, err);
}

bool vg_dlog_reader_caught_up(const struct vg_dlog_reader *r)
{
    return r->ops->reader_caught_up(r->impl);
}

int vg_dlog_reader_fd(const struct vg_dlog_reader *r)
{
    return r->ops->reader_fd(r->impl);
}

void vg_dlog_reader_close(struct vg_dlog_reader *r)
{
    if (r != NULL) {
        r->ops->reader_close(r->impl);
        free(r);
    }
}

/* ---- processor ---- */

bool vgi_name_ok(const char *name)
{
    return name_ok(name, VG_DLOG_NAME_MAX) && name[0] != '\0';
}

enum vg_err vgi_name_refused(struct vg_error *err, const char *what, const char *name)
{
    return vg_fail(err, VG_E_INVALID,
                   "%s '%.64s': accepted are 1 to %d letters, digits, '.', '_' and '-'", what, name,
                   VG_DLOG_NAME_MAX - 1);
}

static enum vg_err check_options(const struct vg_dlog_processor_options *o, struct vg_error *err)
{
    if (!vgi_name_ok(o->group)) {
        return vgi_name_refused(err, "group", o->group);
    }
    if (!vgi_name_ok(o->instance)) {
        return vgi_name_refused(err, "instance", o->instance);
    }
    if (o->input_count == 0 || o->input_count > VG_DLOG_INPUTS_MAX ||
        o->state_topic > VG_TOPIC_NONE) {
        return vg_fail(err, VG_E_INVALID, "group '%s': 1 to %d input topics are accepted", o->group,
                       VG_DLOG_INPUTS_MAX);
    }
    for (size_t i = 0; i < o->input_count; i++) {
        if (o->inputs[i] >= VG_TOPIC_COUNT) {
            return vg_fail(err, VG_E_INVALID, "group '%s': input %zu is not a topic", o->group, i);
        }
        for (size_t j = 0; j < i; j++) {
            if (o->inputs[j] == o->inputs[i]) {
                return vg_fail(err, VG_E_INVALID, "group '%s': an input topic is named twice",
                               o->group);
            }
        }
    }
    if (o->state_topic != VG_TOPIC_NONE &&
        vg_topic_spec(o->state_topic)->cleanup != VG_CLEANUP_COMPACT) {
        return vg_fail(err, VG_E_INVALID, "group '%s': state topic '%s' is not compacted", o->group,
                       vg_topic_spec(o->state_topic)->name);
    }
    return VG_OK;
}

enum vg_err vg_dlog_processor_open(struct vg_dlog *log,
                                   const struct vg_dlog_processor_options *options,
                                   struct vg_dlog_processor **out, struct vg_error *err)
{
    enum vg_err rc = check_options(options, err);
    if (rc != VG_OK) {
        return rc;
    }
    struct vg_dlog_processor *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a processor");
    }
    p->ops = log->ops;
    rc = log->ops->processor_open(log->impl, options, &p->impl, err);
    if (rc != VG_OK) {
        free(p);
        return vgi_dlog_blame(log, rc, err);
    }
    *out = p;
    return VG_OK;
}

enum vg_err vg_dlog_processor_poll(struct vg_dlog_processor *p, int timeout_ms,
                                   struct vg_dlog_record *records, size_t max, size_t *count,
                                   struct vg_error *err)
{
    if (max == 0) {
        return vg_fail(err, VG_E_RANGE, "a poll needs room for a record");
    }
    return p->ops->poll(p->impl, timeout_ms, records,
                        max < VG_DLOG_BATCH_MAX ? max : VG_DLOG_BATCH_MAX, count, err);
}

int vg_dlog_processor_fd(const struct vg_dlog_processor *p)
{
    return p->ops->processor_fd(p->impl);
}

bool vg_dlog_processor_active(const struct vg_dlog_processor *p)
{
    return p->ops->processor_active(p->impl);
}

bool vg_dlog_processor_caught_up(const struct vg_dlog_processor *p, int32_t partition)
{
    return p->ops->processor_caught_up(p->impl, partition);
}

enum vg_err vg_dlog_processor_end_at_assignment(const struct vg_dlog_processor *p, enum vg_topic t,
                                                int32_t partition, int64_t *out)
{
    return p->ops->end_at_assignment(p->impl, t, partition, out);
}

enum vg_err vg_dlog_processor_append(struct vg_dlog_processor *p, enum vg_topic t,
                                     int32_t partition, struct vg_span key, struct vg_span value)
{
    if (!record_ok(t, key, value) || partition < -1) {
        return VG_E_RANGE;
    }
    return p->ops->processor_append(p->impl, t, partition, key, value);
}

size_t vg_dlog_processor_pending(const struct vg_dlog_processor *p)
{
    return p->ops->processor_pending(p->impl);
}

enum vg_err vg_dlog_processor_commit(struct vg_dlog_processor *p, struct vg_error *err)
{
    return p->ops->commit(p->impl, err);
}

enum vg_err vg_dlog_processor_abort(struct vg_dlog_processor *p, struct vg_error *err)
{
    return p->ops->abort(p->impl, err);
}

void vg_dlog_processor_close(struct vg_dlog_processor *p)
{
    if (p != NULL) {
        p->ops->processor_close(p->impl);
        free(p);
    }
}
