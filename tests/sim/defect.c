/* Defects put in below or between the programs, so that it is seen that the simulation finds them. */
#include "coap_sim.h"
#include "disk.h"
#include "world.h"

#include "../../collector/alarm/rules/rules_internal.h"
#include "../../edge/buffer/inner.h"

#include "vigia/dlog.h"
#include "vigia/dlog_processor.h"
#include "vigia/registry.h"
#include "vigia/rules_json.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOST_ROW_NS (30 * SIM_S)

static enum sim_defect defect;

static const char *const names[SIM_DEFECT_COUNT] = {
    [SIM_NO_DEFECT] = "none",
    [SIM_DEFECT_LYING_DISK] = "lying-disk",
    [SIM_DEFECT_ANY_ANSWER] = "any-answer",
    [SIM_DEFECT_NO_DEDUP] = "no-dedup",
    [SIM_DEFECT_RENUMBER] = "renumber",
    [SIM_DEFECT_SWAP] = "swap",
    [SIM_DEFECT_FORGET_STATE] = "forget-state",
    [SIM_DEFECT_WRONG_CLOCK] = "wrong-clock",
    [SIM_DEFECT_EARLY_ACK] = "early-ack",
    [SIM_DEFECT_LYING_CARD] = "lying-card",
    [SIM_DEFECT_LOST_ROW] = "lost-row",
    [SIM_DEFECT_LONG_GROUP] = "long-group",
    [SIM_DEFECT_LATE_ALARM] = "late-alarm",
    [SIM_DEFECT_WRONG_EVENT] = "wrong-event",
};

const char *sim_defect_name(enum sim_defect d)
{
    return names[d];
}

enum sim_defect sim_defect_is(void)
{
    return defect;
}

static unsigned all_is_well(unsigned code)
{
    (void)code;
    return VG_COAP_CHANGED;
}

void sim_defect_on(enum sim_defect d)
{
    defect = d;
    if (d == SIM_DEFECT_LYING_DISK) {
        sim_disk_faults(0)->lies = true;
    } else if (d == SIM_DEFECT_LYING_CARD) {
        for (int i = 1; i <= sim_world.options.devices; i++) {
            sim_disk_faults(i)->lies = true;
        }
    } else if (d == SIM_DEFECT_ANY_ANSWER) {
        sim_answer_twist = all_is_well;
    }
}

enum vgi_mark __real_vgi_rules_mark(struct vg_rules_state *s, const struct vg_reading *m);
enum vgi_mark __wrap_vgi_rules_mark(struct vg_rules_state *s, const struct vg_reading *m);
enum vgi_mark __wrap_vgi_rules_mark(struct vg_rules_state *s, const struct vg_reading *m)
{
    enum vgi_mark mark = __real_vgi_rules_mark(s, m);
    return defect == SIM_DEFECT_NO_DEDUP ? VGI_MARK_NEW : mark;
}

void __real_vg_identity_format(const struct vg_identity *id, char out[3][VG_QUERY_MAX]);
void __wrap_vg_identity_format(const struct vg_identity *id, char out[3][VG_QUERY_MAX]);
void __wrap_vg_identity_format(const struct vg_identity *id, char out[3][VG_QUERY_MAX])
{
    static unsigned calls;
    struct vg_identity other = *id;
    if (defect == SIM_DEFECT_RENUMBER && ++calls % 20 == 0) {
        other.seq += 1000000;
    }
    __real_vg_identity_format(&other, out);
}

size_t __real_vgi_rows_fetch(struct vg_buffer *b, int lane, size_t max, struct vg_buffer_row *out);
size_t __wrap_vgi_rows_fetch(struct vg_buffer *b, int lane, size_t max, struct vg_buffer_row *out);
size_t __wrap_vgi_rows_fetch(struct vg_buffer *b, int lane, size_t max, struct vg_buffer_row *out)
{
    static unsigned calls;
    size_t n = __real_vgi_rows_fetch(b, lane, max, out);
    if (defect == SIM_DEFECT_SWAP && n > 1 && ++calls % 10 == 0) {
        struct vg_buffer_row row = out[0];
        out[0] = out[1];
        out[1] = row;
    }
    return n;
}

enum vg_err __real_vg_alarm_engine_restore(struct vg_alarm_engine *e, struct vg_span json,
                                           struct vg_error *err);
enum vg_err __wrap_vg_alarm_engine_restore(struct vg_alarm_engine *e, struct vg_span json,
                                           struct vg_error *err);
enum vg_err __wrap_vg_alarm_engine_restore(struct vg_alarm_engine *e, struct vg_span json,
                                           struct vg_error *err)
{
    return defect == SIM_DEFECT_FORGET_STATE ? VG_OK : __real_vg_alarm_engine_restore(e, json, err);
}

enum vg_err __real_vg_dlog_processor_commit(struct vg_dlog_processor *p, struct vg_error *err);
enum vg_err __wrap_vg_dlog_processor_commit(struct vg_dlog_processor *p, struct vg_error *err);
enum vg_err __wrap_vg_dlog_processor_commit(struct vg_dlog_processor *p, struct vg_error *err)
{
    static unsigned calls;
    if (defect == SIM_DEFECT_LATE_ALARM && ++calls % 20 == 0) {
        sim_sleep(60 * SIM_S);
    }
    return __real_vg_dlog_processor_commit(p, err);
}

enum vg_err __real_vg_alarm_event_encode(const struct vg_alarm_event *e, char *out, size_t size,
                                         size_t *len);
enum vg_err __wrap_vg_alarm_event_encode(const struct vg_alarm_event *e, char *out, size_t size,
                                         size_t *len);
enum vg_err __wrap_vg_alarm_event_encode(const struct vg_alarm_event *e, char *out, size_t size,
                                         size_t *len)
{
    static unsigned calls;
    struct vg_alarm_event other = *e;
    struct vg_reading reading;
    if (defect == SIM_DEFECT_WRONG_EVENT && ++calls % 10 == 0) {
        const unsigned which = calls / 10 % 3;
        other.strikes += which == 0 && e->strikes > 0;
        other.time_ms -= which == 1 ? 200000 : 0;
        if (which == 2 && e->reading != NULL) {
            reading = *e->reading;
            reading.seq++;
            other.reading = &reading;
        }
    }
    return __real_vg_alarm_event_encode(&other, out, size, len);
}

enum vg_err __real_vg_buffer_open(const struct vg_buffer_options *options,
                                  const struct vg_buffer_events *events,
                                  const struct vg_clock *clock, struct vg_buffer **out,
                                  struct vg_error *err);
enum vg_err __wrap_vg_buffer_open(const struct vg_buffer_options *options,
                                  const struct vg_buffer_events *events,
                                  const struct vg_clock *clock, struct vg_buffer **out,
                                  struct vg_error *err);
enum vg_err __wrap_vg_buffer_open(const struct vg_buffer_options *options,
                                  const struct vg_buffer_events *events,
                                  const struct vg_clock *clock, struct vg_buffer **out,
                                  struct vg_error *err)
{
    struct vg_buffer_options other = *options;
    other.group_ms = defect == SIM_DEFECT_LONG_GROUP ? 5000 : other.group_ms;
    return __real_vg_buffer_open(&other, events, clock, out, err);
}

enum vg_err __real_vgi_store_open(struct vgi_store *s, const struct vgi_opening *how,
                                  struct vg_buffer_found *found, struct vg_error *err);
enum vg_err __wrap_vgi_store_open(struct vgi_store *s, const struct vgi_opening *how,
                                  struct vg_buffer_found *found, struct vg_error *err);
enum vg_err __wrap_vgi_store_open(struct vgi_store *s, const struct vgi_opening *how,
                                  struct vg_buffer_found *found, struct vg_error *err)
{
    const struct sim_device *d = &sim_world.devices[sim_me()->host->number - 1];
    enum vg_err rc = __real_vgi_store_open(s, how, found, err);
    if (rc == VG_OK && defect == SIM_DEFECT_LOST_ROW && d->death_count > 0) {
        /* Only one that came in the last seconds: nothing in the log stands behind it. */
        char sql[200];
        int64_t since = d->deaths[d->death_count - 1].ns - d->host.booted_ns - LOST_ROW_NS;
        (void)snprintf(
            sql, sizeof sql,
            "DELETE FROM queue WHERE place=(SELECT max(place) FROM queue) AND taken>%lld",
            (long long)since);
        if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
            sim_fail("%s: %s", sql, sqlite3_errmsg(s->db));
        }
    }
    return rc;
}

/* The verdict is made up at once; the true one is kept from the collector. */
struct early {
    struct early *next;
    struct vg_dlog_appender *a;
    vg_dlog_verdict_fn *fn;
    void *arg;
};
static struct early *early_first;

enum vg_err __real_vg_dlog_append_group(struct vg_dlog_appender *a, enum vg_topic t,
                                        enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                                        size_t count, vg_dlog_verdict_fn *fn, void *arg);
enum vg_err __wrap_vg_dlog_append_group(struct vg_dlog_appender *a, enum vg_topic t,
                                        enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                                        size_t count, vg_dlog_verdict_fn *fn, void *arg);
enum vg_err __wrap_vg_dlog_append_group(struct vg_dlog_appender *a, enum vg_topic t,
                                        enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                                        size_t count, vg_dlog_verdict_fn *fn, void *arg)
{
    if (defect != SIM_DEFECT_EARLY_ACK) {
        return __real_vg_dlog_append_group(a, t, room, entries, count, fn, arg);
    }
    enum vg_err rc = __real_vg_dlog_append_group(a, t, room, entries, count, NULL, NULL);
    struct early *e = malloc(sizeof *e);
    if (rc == VG_OK && e != NULL) {
        *e = (struct early){early_first, a, fn, arg};
        early_first = e;
        const uint64_t one = 1;
        (void)!write(vg_dlog_appender_fd(a), &one, sizeof one);
    }
    return rc;
}

enum vg_err __real_vg_dlog_appender_dispatch(struct vg_dlog_appender *a, struct vg_error *err);
enum vg_err __wrap_vg_dlog_appender_dispatch(struct vg_dlog_appender *a, struct vg_error *err);
enum vg_err __wrap_vg_dlog_appender_dispatch(struct vg_dlog_appender *a, struct vg_error *err)
{
    const struct vg_dlog_verdict durable = {VG_OK, false, 0, -1};
    while (early_first != NULL) {
        struct early e = *early_first;
        free(early_first);
        early_first = e.next;
        if (e.a == a) {
            e.fn(e.arg, &durable);
        }
    }
    return __real_vg_dlog_appender_dispatch(a, err);
}
