/* What the SQLite log gives after a cut, against the ledger. */
#include "cut_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define READ_MAX 256

struct seen {
    const struct cut_log_ledger *l;
    size_t point;
    struct cut_finding *f;
    struct vg_dlog *log;
    int64_t begin, end; /* offsets of readings that are there */
    size_t batches;     /* whose alarms are there */
    bool state[CUT_KEYS], position, here;
    size_t strange; /* keys of the state that should not be there */
};

static void judge_error(struct seen *s, enum vg_err rc, const struct vg_error *err,
                        const char *doing)
{
    if (rc != VG_OK) {
        cut_wrong(s->f, "%s: %s: %.150s", doing, vg_err_name(rc), err->text);
    }
}

static bool same(struct vg_span got, const char *text)
{
    return vg_span_eq(got, vg_span_str(text));
}

static void see_reading(struct seen *s, const struct vg_dlog_record *r)
{
    char key[16], value[CUT_TEXT_MAX];
    size_t n = (size_t)r->offset;
    if (n >= s->l->records || s->l->record[n].given > s->point) {
        cut_wrong(s->f, "a reading that was never appended, offset %" PRId64, r->offset);
        return;
    }
    cut_log_key(n, key, sizeof key);
    cut_log_value(n, value, sizeof value);
    if (!same(r->key, key) || !same(r->value, value)) {
        cut_wrong(s->f, "reading %zu has another content", n);
    }
    if (s->begin >= 0 && r->offset != s->end) {
        cut_wrong(s->f, "offset %" PRId64 " follows %" PRId64, r->offset, s->end - 1);
    }
    s->begin = s->begin < 0 ? r->offset : s->begin;
    s->end = r->offset + 1;
}

/* The alarms of a batch stand together, all of them, in order. */
static void see_alarm(struct seen *s, const struct vg_dlog_record *r, int *part)
{
    char text[CUT_TEXT_MAX];
    const struct cut_batch *b = &s->l->batch[s->batches];
    if (s->batches >= s->l->batches || b->given > s->point) {
        cut_wrong(s->f, "an alarm that was never given: %.*s", (int)r->value.len, r->value.at);
        return;
    }
    cut_log_alarm(s->batches, ++*part, b->parts, text, sizeof text);
    if (!same(r->value, text)) {
        cut_wrong(s->f, "'%.*s' instead of '%s'", (int)r->value.len, r->value.at, text);
    }
    if (*part == b->parts) {
        s->batches++;
        *part = 0;
    }
}

static void read_topic(struct seen *s, enum vg_topic t)
{
    struct vg_error err = {.code = VG_OK};
    struct vg_dlog_reader *r = NULL;
    struct vg_dlog_record records[READ_MAX];
    int part = 0;
    enum vg_err rc =
        vg_dlog_reader_open(s->log, t, -1, (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &r, &err);
    for (size_t rounds = 0; rc == VG_OK && rounds < CUT_RECORDS_MAX && !s->f->wrong; rounds++) {
        size_t count = 0;
        rc = vg_dlog_read(r, 0, records, READ_MAX, &count, &err);
        for (size_t i = 0; rc == VG_OK && i < count; i++) {
            if (t == VG_TOPIC_READINGS) {
                see_reading(s, &records[i]);
            } else {
                see_alarm(s, &records[i], &part);
            }
        }
        if (count == 0) {
            break;
        }
    }
    judge_error(s, rc, &err, vg_topic_spec(t)->name);
    if (part != 0) {
        cut_wrong(s->f, "batch %zu: some of its alarms only", s->batches);
    }
    vg_dlog_reader_close(r);
}

static int64_t position(const struct seen *s)
{
    return s->batches > 0 ? s->l->batch[s->batches - 1].to : 0;
}

static void judge(struct seen *s)
{
    const struct cut_log_ledger *l = s->l;
    /* Only what the processor has read, or is just about to have read, may have left. */
    int64_t read_to = position(s);
    int64_t end = s->begin < 0 ? read_to : s->end;
    if (s->begin > read_to) {
        cut_wrong(s->f, "the log begins at %" PRId64 ", read was up to %" PRId64, s->begin,
                  read_to);
    }
    for (size_t n = 0; n < l->records; n++) {
        if (cut_by(l->record[n].owed, s->point) && (int64_t)n >= end) {
            cut_wrong(s->f, "reading %zu was acknowledged and is lost", n);
        }
    }
    for (size_t b = s->batches; b < l->batches; b++) {
        if (cut_by(l->batch[b].owed, s->point)) {
            cut_wrong(s->f, "the alarms of batch %zu were committed and are lost", b);
        }
    }
}

static void on_state(void *arg, int32_t partition, struct vg_span key, struct vg_span value)
{
    struct seen *s = arg;
    char name[32], text[CUT_TEXT_MAX];
    (void)partition;
    for (size_t k = 0; k < CUT_KEYS; k++) {
        cut_log_key(k, name, sizeof name);
        cut_log_state(k, position(s), text, sizeof text);
        if (same(key, name)) {
            s->state[k] = same(value, text);
            return;
        }
    }
    if (same(key, "position")) {
        (void)snprintf(text, sizeof text, "%" PRId64, position(s));
        s->position = same(value, text);
        return;
    }
    (void)snprintf(name, sizeof name, "batch-%zu", s->batches - 1);
    if (s->batches > 0 && same(key, name)) {
        s->here = true;
        return;
    }
    s->strange++;
}

/* The state belongs to the alarms that are there, and to where the processor goes on. */
static void judge_state(struct seen *s)
{
    bool all = s->position && s->here;
    for (size_t k = 0; k < CUT_KEYS; k++) {
        all = all && s->state[k];
    }
    if (s->strange > 0 || all != (s->batches > 0)) {
        cut_wrong(s->f, "the state is not that of %zu batches (%zu keys too many)", s->batches,
                  s->strange);
    }
}

static void on_verdict(void *arg, const struct vg_dlog_verdict *v)
{
    *(struct vg_dlog_verdict *)arg = *v;
}

/* A new reading gets the next offset. */
static void append_probe(struct seen *s)
{
    struct vg_error err = {.code = VG_OK};
    struct vg_dlog_appender *a = NULL;
    struct vg_dlog_verdict v = {.result = VG_E_AGAIN};
    int64_t next = s->begin < 0 ? position(s) : s->end;
    enum vg_err rc = vg_dlog_appender_open(s->log, &a, &err);
    if (rc == VG_OK) {
        rc = vg_dlog_append(a, VG_TOPIC_READINGS, -1, VG_SPAN("probe"), VG_SPAN("after the cut"),
                            on_verdict, &v);
    }
    if (rc == VG_OK) {
        rc = vg_dlog_appender_drain(a, CUT_WAIT_MS, &err);
    }
    judge_error(s, rc, &err, "append after the cut");
    if (rc == VG_OK && (v.result != VG_OK || v.offset != next)) {
        cut_wrong(s->f, "the next record got offset %" PRId64 " instead of %" PRId64, v.offset,
                  next);
    }
    vg_dlog_appender_close(a);
}

/* The processor goes on where its alarms end. */
static void go_on(struct seen *s)
{
    struct vg_error err = {.code = VG_OK};
    const struct vg_dlog_processor_options o = {.group = "alarm",
                                                .instance = "one",
                                                .inputs = {VG_TOPIC_READINGS},
                                                .input_count = 1,
                                                .state_topic = VG_TOPIC_ALARM_STATE,
                                                .calls = {.state = on_state},
                                                .arg = s};
    struct vg_dlog_processor *p = NULL;
    struct vg_dlog_record first;
    size_t count = 0;
    enum vg_err rc = vg_dlog_processor_open(s->log, &o, &p, &err);
    if (rc == VG_OK) {
        rc = vg_dlog_processor_poll(p, 0, &first, 1, &count, &err);
    }
    judge_error(s, rc, &err, "processor after the cut");
    append_probe(s);
    if (rc == VG_OK && count == 0) {
        rc = vg_dlog_processor_poll(p, s->f->wrong ? 0 : CUT_WAIT_MS, &first, 1, &count, &err);
        judge_error(s, rc, &err, "poll after the cut");
    }
    if (rc == VG_OK && (count != 1 || first.offset != position(s))) {
        cut_wrong(s->f, "the processor goes on at %" PRId64 " instead of %" PRId64,
                  count == 1 ? first.offset : -1, position(s));
    }
    judge_state(s);
    rc = p != NULL ? vg_dlog_processor_commit(p, &err) : VG_OK;
    judge_error(s, rc, &err, "commit after the cut");
    vg_dlog_processor_close(p);
}

void cut_log_check(const void *ledger, const char *folder, size_t point, struct cut_finding *f)
{
    struct seen s = {.l = ledger, .point = point, .f = f, .begin = -1};
    struct vg_error err = {.code = VG_OK};
    struct vg_dlog_conf conf;
    char path[300];
    bool made = cut_by(s.l->created, point);
    unsigned created;
    cut_log_conf(folder, &conf);
    (void)snprintf(path, sizeof path, "%s/log.db", folder);
    enum vg_err rc = vg_dlog_open(&conf, "powercut", made ? 0 : VG_DLOG_MAY_CREATE, &s.log, &err);
    judge_error(&s, rc, &err, "open");
    if (rc == VG_OK) {
        rc = made ? vg_dlog_check(s.log, VG_TOPICS_ALL, &err)
                  : vg_dlog_create(s.log, VG_TOPICS_ALL, &created, &err);
        judge_error(&s, rc, &err, made ? "check" : "create again");
    }
    if (rc == VG_OK) {
        read_topic(&s, VG_TOPIC_READINGS);
        read_topic(&s, VG_TOPIC_ALARMS);
        judge(&s);
        go_on(&s);
    }
    vg_dlog_close(s.log);
    cut_integrity(path, f);
}
