/* The script against the SQLite log: appends with verdicts, a processor that commits alarms, state
 * and position as one, aborts, retention, closing and opening again. */
#include "cut_log.h"

#include "vigia/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct script {
    struct cut_log_ledger *l;
    const struct crash_disk *disk;
    struct vg_rng rng;
    struct vg_dlog_conf conf;
    struct vg_dlog *log;
    struct vg_dlog_appender *appender;
    struct vg_dlog_processor *processor;
};

void cut_log_conf(const char *folder, struct vg_dlog_conf *out)
{
    char url[400];
    (void)snprintf(url, sizeof url, "sqlite:%s/log.db", folder);
    if (vg_dlog_conf_default(url, out) != VG_OK) {
        cut_stop("%s: too long", url);
    }
    out->retain_ms = 1; /* whatever the group has read may leave */
}

void cut_log_key(size_t n, char *out, size_t size)
{
    (void)snprintf(out, size, "s-%zu", n % CUT_KEYS);
}

void cut_log_value(size_t n, char *out, size_t size)
{
    size_t len = 40 + n * 37 % (CUT_TEXT_MAX - 100);
    int used = snprintf(out, size, "{\"v\":1,\"n\":%zu,\"fill\":\"", n);
    memset(out + used, 'a' + (char)(n % 26), len);
    (void)snprintf(out + used + len, size - (size_t)used - len, "\"}");
}

void cut_log_alarm(size_t batch, int part, int parts, char *out, size_t size)
{
    (void)snprintf(out, size, "alarm of batch %zu, part %d of %d", batch, part, parts);
}

void cut_log_state(size_t key, int64_t to, char *out, size_t size)
{
    int64_t count = 0, last = -1;
    if ((int64_t)key < to) {
        count = (to - 1 - (int64_t)key) / CUT_KEYS + 1;
        last = (int64_t)key + (count - 1) * CUT_KEYS;
    }
    (void)snprintf(out, size, "count %" PRId64 ", last %" PRId64, count, last);
}

static void must(enum vg_err rc, const struct vg_error *err, const char *doing)
{
    if (rc != VG_OK) {
        cut_stop("the script: %s: %s: %s", doing, vg_err_name(rc), err->text);
    }
}

static void open_log(struct script *s)
{
    struct vg_error err = {.code = VG_OK};
    const struct vg_dlog_processor_options o = {.group = "alarm",
                                                .instance = "one",
                                                .inputs = {VG_TOPIC_READINGS},
                                                .input_count = 1,
                                                .state_topic = VG_TOPIC_ALARM_STATE};
    must(vg_dlog_open(&s->conf, "powercut", s->l->created == CUT_NEVER ? VG_DLOG_MAY_CREATE : 0,
                      &s->log, &err),
         &err, "open");
    if (s->l->created == CUT_NEVER) {
        unsigned created;
        must(vg_dlog_create(s->log, VG_TOPICS_ALL, &created, &err), &err, "create");
        s->l->created = crash_disk_ops(s->disk);
    }
    must(vg_dlog_appender_open(s->log, &s->appender, &err), &err, "appender");
    must(vg_dlog_processor_open(s->log, &o, &s->processor, &err), &err, "processor");
    if (s->l->joined == CUT_NEVER) {
        struct vg_dlog_record none;
        size_t count;
        must(vg_dlog_processor_poll(s->processor, 0, &none, 1, &count, &err), &err, "join");
        s->l->joined = crash_disk_ops(s->disk);
    }
}

static void close_log(struct script *s)
{
    vg_dlog_processor_close(s->processor);
    vg_dlog_appender_close(s->appender);
    vg_dlog_close(s->log);
}

static void on_verdict(void *arg, const struct vg_dlog_verdict *v)
{
    struct script *s = arg;
    size_t n = (size_t)v->offset;
    if (v->result != VG_OK || n >= s->l->records || s->l->record[n].owed != CUT_NEVER) {
        cut_stop("the script: an append got the verdict %s, offset %" PRId64,
                 vg_err_name(v->result), v->offset);
    }
    s->l->record[n].owed = crash_disk_ops(s->disk);
}

static void append_group(struct script *s)
{
    struct vg_error err = {.code = VG_OK};
    uint64_t count = vg_rng_below(&s->rng, 30) == 0 ? 100 : 1 + vg_rng_below(&s->rng, 8);
    for (uint64_t i = 0; i < count; i++) {
        char key[16], value[CUT_TEXT_MAX];
        size_t n = s->l->records;
        if (n == CUT_RECORDS_MAX) {
            cut_stop("the script: more than %d records", CUT_RECORDS_MAX);
        }
        cut_log_key(n, key, sizeof key);
        cut_log_value(n, value, sizeof value);
        s->l->record[n] = (struct cut_record){crash_disk_ops(s->disk), CUT_NEVER};
        s->l->records++;
        must(vg_dlog_append(s->appender, VG_TOPIC_READINGS, -1, vg_span_str(key),
                            vg_span_str(value), on_verdict, s),
             &err, "append");
    }
    must(vg_dlog_appender_drain(s->appender, CUT_WAIT_MS, &err), &err, "drain");
    s->l->commits++;
}

static void put(struct script *s, enum vg_topic t, const char *key, const char *value)
{
    struct vg_error err = {.code = VG_OK};
    struct vg_span v = value == NULL ? (struct vg_span){NULL, 0} : vg_span_str(value);
    must(vg_dlog_processor_append(s->processor, t, 0, vg_span_str(key), v), &err, "output");
}

/* Alarms, the state of every key, a key that lives for one batch, and the position. */
static void put_batch(struct script *s, size_t number, const struct cut_batch *b)
{
    char key[32], text[CUT_TEXT_MAX];
    for (int part = 1; part <= b->parts; part++) {
        cut_log_alarm(number, part, b->parts, text, sizeof text);
        put(s, VG_TOPIC_ALARMS, "s-0", text);
    }
    for (size_t k = 0; k < CUT_KEYS; k++) {
        cut_log_key(k, key, sizeof key);
        cut_log_state(k, b->to, text, sizeof text);
        put(s, VG_TOPIC_ALARM_STATE, key, text);
    }
    (void)snprintf(text, sizeof text, "%" PRId64, b->to);
    put(s, VG_TOPIC_ALARM_STATE, "position", text);
    (void)snprintf(key, sizeof key, "batch-%zu", number);
    put(s, VG_TOPIC_ALARM_STATE, key, "here");
    if (number > 0) {
        (void)snprintf(key, sizeof key, "batch-%zu", number - 1);
        put(s, VG_TOPIC_ALARM_STATE, key, NULL);
    }
}

static void process(struct script *s, bool give_up)
{
    struct cut_log_ledger *l = s->l;
    struct vg_error err = {.code = VG_OK};
    struct vg_dlog_record records[64];
    size_t count = 0;
    size_t max = 1 + (size_t)vg_rng_below(&s->rng, 64);
    must(vg_dlog_processor_poll(s->processor, 0, records, max, &count, &err), &err, "poll");
    if (count == 0) {
        return;
    }
    int64_t expect = l->batches > 0 ? l->batch[l->batches - 1].to : 0;
    if (records[0].offset != expect || l->batches == CUT_BATCHES_MAX) {
        cut_stop("the script: record %" PRId64 " came instead of %" PRId64, records[0].offset,
                 expect);
    }
    struct cut_batch b = {.from = records[0].offset,
                          .to = records[count - 1].offset + 1,
                          .parts = 1 + (int)vg_rng_below(&s->rng, CUT_PARTS_MAX),
                          .given = crash_disk_ops(s->disk),
                          .owed = CUT_NEVER};
    put_batch(s, l->batches, &b);
    if (give_up) {
        must(vg_dlog_processor_abort(s->processor, &err), &err, "abort");
        return;
    }
    must(vg_dlog_processor_commit(s->processor, &err), &err, "commit");
    b.owed = crash_disk_ops(s->disk);
    l->batch[l->batches++] = b;
    l->commits++;
}

static void *record(struct crash_disk *d, const char *folder, size_t wanted, uint64_t seed)
{
    struct cut_log_ledger *l = calloc(1, sizeof *l);
    struct script *s = calloc(1, sizeof *s);
    if (l == NULL || s == NULL) {
        cut_stop("no memory");
    }
    l->created = l->joined = CUT_NEVER;
    *s = (struct script){.l = l, .disk = d};
    vg_rng_seed(&s->rng, seed);
    cut_log_conf(folder, &s->conf);
    static const unsigned shares[] = {30, 60, 85, 100}; /* closed and opened again after these */
    size_t n = 0;
    for (size_t p = 0; p < sizeof shares / sizeof shares[0]; p++) {
        open_log(s);
        for (; l->commits < wanted * shares[p] / 100; n++) {
            append_group(s);
            if (n % 3 != 0) {
                process(s, n % 17 == 4);
            }
            if (n % 20 == 10) {
                struct vg_error err = {.code = VG_OK};
                struct vg_dlog_retained kept;
                must(vg_dlog_retain(s->log, &kept, &err), &err, "retention");
                l->commits += kept.removed > 0;
            }
        }
        close_log(s);
    }
    free(s);
    return l;
}

static size_t commits_made(const void *ledger)
{
    return ((const struct cut_log_ledger *)ledger)->commits;
}

const struct cut_proof cut_log = {"log", record, commits_made, cut_log_check, free};
