/* What the log holds against what the sensors said; see judge.h. */
#include "judge.h"

#include <inttypes.h>
#include <math.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LOG_PATH "/sim/0/log.db"
/* A synchronised clock is within 30 ms; the time of a row is worked out from notes of it. */
#define TIME_SLACK_MS 1000

static const char *const names[SIM_WRONG_COUNT] = {
    [SIM_LOST] = "lost",
    [SIM_DUPLICATED] = "duplicated",
    [SIM_REORDERED] = "reordered",
    [SIM_WRONG_VALUE] = "wrong value",
    [SIM_WRONG_TIME] = "wrong time",
    [SIM_NEVER_SAID] = "never said",
    [SIM_FALSE_ALARM] = "false alarm",
    [SIM_MISSED_ALARM] = "missed alarm",
    [SIM_WRONG_ALARM] = "wrong alarm",
    [SIM_LATE_ALARM] = "late alarm",
    [SIM_DOUBLE_ALARM] = "alarm raised twice",
    [SIM_BROKEN] = "broken",
};

const char *sim_wrong_name(enum sim_wrong w)
{
    return names[w];
}

void sim_wrong(struct sim_verdict *v, enum sim_wrong what, const char *fmt, ...)
{
    char text[300];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    v->wrong[what]++;
    sim_trace("wrong: %s: %s", names[what], text);
    if (v->first[0] == '\0') {
        (void)snprintf(v->first, sizeof v->first, "%s: %s", names[what], text);
    }
}

/* ---- the log file ---- */

struct rows {
    struct sim_record *records;
    struct sim_alarm *alarms;
    size_t count, room;
};

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK) {
        sim_fail("%s: %s", sql, sqlite3_errmsg(db));
    }
    return s;
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = prepare(db, sql);
    int64_t n = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    (void)sqlite3_finalize(s);
    return n;
}

sqlite3_stmt *sim_log_rows(sqlite3 *db, const char *topic)
{
    char sql[128];
    (void)snprintf(sql, sizeof sql, "SELECT id FROM topic WHERE name='vigia.%s'", topic);
    int64_t id = number(db, sql);
    (void)snprintf(sql, sizeof sql, "SELECT off, ts, key, value FROM r%" PRId64 " ORDER BY off",
                   id);
    return prepare(db, sql);
}

static void *grown(void *at, size_t room, size_t size)
{
    void *more = realloc(at, room * size);
    if (more == NULL) {
        sim_fail("no memory for the log's content");
    }
    return more;
}

static void read_topic(struct sim_verdict *v, sqlite3 *db, const char *topic, struct rows *out,
                       bool alarms)
{
    sqlite3_stmt *s = sim_log_rows(db, topic);
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        if (out->count == out->room) {
            out->room = out->room == 0 ? 1024 : out->room * 2;
            if (alarms) {
                out->alarms = grown(out->alarms, out->room, sizeof *out->alarms);
            } else {
                out->records = grown(out->records, out->room, sizeof *out->records);
            }
        }
        const char *text = sqlite3_column_blob(s, 3);
        size_t len = (size_t)sqlite3_column_bytes(s, 3);
        bool good = alarms ? sim_json_alarm(text, len, &out->alarms[out->count])
                           : sim_json_record(text, len, &out->records[out->count]);
        if (!good) {
            sim_wrong(v, SIM_BROKEN, "%s: not JSON: %.*s", topic, (int)(len < 100 ? len : 100),
                      text);
        } else if (!alarms && !out->records[out->count].heartbeat &&
                   (strlen(out->records[out->count].sensor) != (size_t)sqlite3_column_bytes(s, 2) ||
                    memcmp(out->records[out->count].sensor, sqlite3_column_blob(s, 2),
                           (size_t)sqlite3_column_bytes(s, 2)) != 0)) {
            sim_wrong(v, SIM_BROKEN, "%s: a record has another's key", topic);
        }
        if (alarms) {
            out->alarms[out->count].append_ms = sqlite3_column_int64(s, 1);
        } else {
            out->records[out->count].append_ms = sqlite3_column_int64(s, 1);
        }
        out->count++;
    }
    if (rc != SQLITE_DONE) {
        sim_wrong(v, SIM_BROKEN, "%s: %s", topic, sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(s);
}

static sqlite3 *open_log(void)
{
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(LOG_PATH, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        sim_fail("the log cannot be opened: %s", sqlite3_errmsg(db));
    }
    return db;
}

static bool unread(sqlite3 *db)
{
    return number(db, "SELECT p.next < t.next FROM pos p JOIN topic t ON t.id=p.topic WHERE "
                      "t.name='vigia.readings'") != 0;
}

bool sim_log_unread(void)
{
    sqlite3 *db = open_log();
    const bool found = unread(db);
    (void)sqlite3_close(db);
    return found;
}

static void read_log(struct sim_verdict *v, struct rows *readings, struct rows *alarms)
{
    sqlite3 *db = open_log();
    sqlite3_stmt *s = prepare(db, "PRAGMA quick_check(1)");
    if (sqlite3_step(s) != SQLITE_ROW ||
        strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0) {
        sim_wrong(v, SIM_BROKEN, "the log file is damaged");
    }
    (void)sqlite3_finalize(s);
    if (sim_world.unread || unread(db)) {
        sim_wrong(v, SIM_BROKEN, "the processor has not read to the end of the log");
    }
    read_topic(v, db, "readings", readings, false);
    read_topic(v, db, "alarms", alarms, true);
    if (sim_world.options.export_folder != NULL) {
        sim_export(db);
    }
    (void)sqlite3_close(db);
}

/* ---- identities ---- */

struct lane { /* of one device, store and lane */
    char device[64], store[24], which;
    int64_t last;
};

struct match {
    struct sim_verdict *v;
    struct lane *lanes;
    size_t lane_count, lane_room;
    size_t ok_at[SIM_DEVICES_MAX]
                [SIM_SENSORS_MAX]; /* of each sensor's urgent readings: matched so far */
};

static struct lane *lane_of(struct match *m, const struct sim_record *r)
{
    for (size_t i = m->lane_count; i-- > 0;) {
        struct lane *l = &m->lanes[i];
        if (l->which == r->lane && strcmp(l->store, r->store) == 0 &&
            strcmp(l->device, r->device) == 0) {
            return l;
        }
    }
    if (m->lane_count == m->lane_room) {
        m->lane_room = m->lane_room == 0 ? 64 : m->lane_room * 2;
        m->lanes = grown(m->lanes, m->lane_room, sizeof *m->lanes);
    }
    struct lane *l = &m->lanes[m->lane_count++];
    *l = (struct lane){.which = r->lane};
    (void)snprintf(l->device, sizeof l->device, "%s", r->device);
    (void)snprintf(l->store, sizeof l->store, "%s", r->store);
    return l;
}

/* True for the first record of its identity. Numbers of a lane follow each other without a hole: a
 * hole is a row that was given a number and never arrived. */
static bool first_time(struct match *m, const struct sim_record *r)
{
    struct lane *l = lane_of(m, r);
    if (r->seq <= l->last) {
        m->v->again++;
        return false;
    }
    if (r->seq != l->last + 1) {
        sim_wrong(m->v, SIM_REORDERED, "%s store %s lane %c: %" PRId64 " follows %" PRId64,
                  r->device, r->store, r->lane, r->seq, l->last);
    }
    l->last = r->seq;
    return true;
}

/* "d3-s1": sensor 1 of device 3. */
static struct sim_sensor *sensor_named(const char *id, int *device, int *at)
{
    char *end = NULL;
    if (id[0] != 'd') {
        return NULL;
    }
    *device = (int)strtol(id + 1, &end, 10);
    if (*device < 1 || *device > sim_world.options.devices || strncmp(end, "-s", 2) != 0) {
        return NULL;
    }
    *at = (int)strtol(end + 2, &end, 10);
    struct sim_device *d = &sim_world.devices[*device - 1];
    return *end == '\0' && *at >= 0 && (size_t)*at < d->sensor_count ? &d->sensors[*at] : NULL;
}

static struct sim_said *said_at(struct sim_sensor *s, int64_t at)
{
    size_t low = 0, high = s->said_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (s->said[mid].at < at) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < s->said_count && s->said[low].at == at ? &s->said[low] : NULL;
}

/* An OK has no room for a number: it is the one that the card held under this identity, or the first
 * one after the last urgent reading that was found. */
static struct sim_said *ok_said(struct sim_sensor *s, size_t from, const struct sim_record *r)
{
    uint64_t store = strtoull(r->store, NULL, 16);
    for (size_t i = s->said_count; i-- > 0;) {
        if (s->said[i].ok && s->said[i].store == store && s->said[i].seq == (uint64_t)r->seq) {
            return &s->said[i];
        }
    }
    for (size_t i = from; i < s->said_count; i++) {
        if (s->said[i].ok) {
            return &s->said[i];
        }
    }
    return NULL;
}

static void check_time(struct match *m, const struct sim_record *r, const struct sim_said *said)
{
    int64_t true_ms = SIM_EPOCH_MS + said->ns / SIM_MS;
    if (strcmp(r->quality, "synced") == 0) {
        if (llabs(r->time_ms - true_ms) > TIME_SLACK_MS) {
            sim_wrong(m->v, SIM_WRONG_TIME, "%s at %" PRId64 ": synced, %" PRId64 " ms off",
                      r->sensor, said->at, r->time_ms - true_ms);
        }
    } else if (strcmp(r->quality, "unsynced") != 0) {
        sim_wrong(m->v, SIM_WRONG_TIME, "%s at %" PRId64 ": quality %s", r->sensor, said->at,
                  r->quality);
    }
    if (r->received_ms < true_ms) {
        sim_wrong(m->v, SIM_WRONG_TIME, "%s at %" PRId64 ": received before it was said", r->sensor,
                  said->at);
    }
}

static void match_reading(struct match *m, const struct sim_record *r)
{
    int device = 0, at = 0;
    struct sim_sensor *s = sensor_named(r->sensor, &device, &at);
    char expected[24];
    (void)snprintf(expected, sizeof expected, "device-%d", device);
    if (s == NULL || strcmp(expected, r->device) != 0) {
        sim_wrong(m->v, SIM_NEVER_SAID, "sensor %s of device %s", r->sensor, r->device);
        return;
    }
    size_t *from = &m->ok_at[device - 1][at];
    struct sim_said *said = r->ok ? ok_said(s, *from, r) : r->has_at ? said_at(s, r->at) : NULL;
    if (said == NULL) {
        sim_wrong(m->v, SIM_NEVER_SAID, "%s at %" PRId64 "%s", r->sensor, r->at,
                  r->ok ? " ok" : "");
        return;
    }
    if (said->urgent) {
        size_t index = (size_t)(said - s->said);
        if (index < *from) {
            sim_wrong(m->v, said->stored > 0 ? SIM_DUPLICATED : SIM_REORDERED,
                      "%s at %" PRId64 ", after a later one", r->sensor, said->at);
        }
        *from = index + 1 > *from ? index + 1 : *from;
    }
    if (said->stored++ > 0) {
        sim_wrong(m->v, SIM_DUPLICATED, "%s at %" PRId64 " under another identity", r->sensor,
                  said->at);
    } else {
        m->v->stored++;
    }
    if (said->motion != r->motion || said->smoke != r->smoke || said->ok != r->ok ||
        (!said->ok && fabs(said->temperature - r->temperature) > 1e-6)) {
        sim_wrong(m->v, SIM_WRONG_VALUE, "%s at %" PRId64, r->sensor, said->at);
    }
    check_time(m, r, said);
}

/* ---- what is missing ---- */

static const struct sim_death *death_of(const struct sim_device *d, unsigned life)
{
    for (size_t i = 0; i < d->death_count; i++) {
        if (d->deaths[i].life == life) {
            return &d->deaths[i];
        }
    }
    return NULL;
}

/* A reading is lost without blame only with an agent that died before it had to be on the card, and
 * only if it was not there. Sets *why otherwise. */
static bool excused(const struct sim_device *d, const struct sim_said *said, const char **why)
{
    const struct sim_death *death = death_of(d, said->life);
    int64_t owed = death == NULL  ? INT64_MIN
                   : said->urgent ? death->owed_urgent
                                  : death->owed_routine;
    *why = said->kept        ? "it was on the card"
           : death == NULL   ? "its agent did not die"
           : said->ns < owed ? "it had to be on the card when its agent died"
                             : "";
    return **why == '\0';
}

static void check_missing(struct sim_verdict *v)
{
    for (int i = 0; i < sim_world.options.devices; i++) {
        const struct sim_device *d = &sim_world.devices[i];
        for (size_t k = 0; k < d->sensor_count; k++) {
            const struct sim_sensor *s = &d->sensors[k];
            unsigned gap_life[2] = {UINT32_MAX, UINT32_MAX};
            for (size_t n = 0; n < s->said_count; n++) {
                const struct sim_said *said = &s->said[n];
                v->said++;
                if (said->stored > 0) {
                    if (gap_life[said->urgent] == said->life) {
                        sim_wrong(v, SIM_LOST,
                                  "%s: something before at=%" PRId64
                                  ", which arrived: that was no open group",
                                  s->id, said->at);
                    }
                    if (!said->kept && death_of(d, said->life) == NULL) {
                        sim_wrong(v, SIM_BROKEN, "%s at=%" PRId64 " arrived uncommitted", s->id,
                                  said->at);
                    }
                    continue;
                }
                gap_life[said->urgent] = said->life;
                const char *why;
                if (excused(d, said, &why)) {
                    v->excused++;
                    v->excused_urgent += said->urgent;
                } else {
                    sim_wrong(v, SIM_LOST, "%s at=%" PRId64 " life %u%s: %s", s->id, said->at,
                              said->life, said->urgent ? ", urgent" : "", why);
                }
            }
        }
    }
}

static void check_alarm_ids(struct sim_verdict *v, const struct rows *alarms)
{
    for (size_t i = 0; i < alarms->count; i++) {
        if (strcmp(alarms->alarms[i].event, "raised") != 0) {
            continue;
        }
        v->raised++;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(alarms->alarms[k].event, "raised") == 0 &&
                strcmp(alarms->alarms[k].id, alarms->alarms[i].id) == 0) {
                sim_wrong(v, SIM_DOUBLE_ALARM, "%s", alarms->alarms[i].id);
            }
        }
    }
}

static void judge_records(struct sim_verdict *v, const struct rows *readings,
                          const struct rows *alarms)
{
    struct match *m = calloc(1, sizeof *m);
    struct sim_expect *x = sim_expect_new(v, alarms->alarms, alarms->count);
    if (m == NULL) {
        sim_fail("no memory to judge");
    }
    m->v = v;
    for (size_t i = 0; i < readings->count; i++) {
        const struct sim_record *r = &readings->records[i];
        if (r->heartbeat) {
            v->heartbeats++;
            sim_expect_record(x, r);
            continue;
        }
        bool first = first_time(m, r);
        if (first && strcmp(r->sensor, r->device) == 0) {
            v->events++;
            if (strcmp(r->event, "gap") == 0 || strcmp(r->event, "storage") == 0) {
                sim_wrong(v, SIM_BROKEN, "%s tells %s", r->device, r->event);
            }
        } else if (first) {
            match_reading(m, r);
        }
        if (first) {
            sim_expect_record(x, r);
        }
    }
    sim_expect_end(x, SIM_EPOCH_MS + sim_world.done_ns / SIM_MS);
    free(m->lanes);
    free(m);
}

void sim_judge(struct sim_verdict *v)
{
    struct rows readings = {0}, alarms = {0};
    memset(v, 0, sizeof *v);
    if (sim_world.quiet_ns == 0) {
        sim_wrong(v, SIM_BROKEN, "something still waits a day after the last fault");
    }
    read_log(v, &readings, &alarms);
    v->alarms = alarms.count;
    judge_records(v, &readings, &alarms);
    check_missing(v);
    check_alarm_ids(v, &alarms);
    free(readings.records);
    free(alarms.alarms);
}
