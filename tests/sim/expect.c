/* The alarm rules a second time, from docs/alarm-rules.md: an acceptor of what was told.
 *
 * It applies the records in the log's order and compares, for each sensor and type, what has to be
 * told next with what was told: event, activation, strikes, time, and the reading that caused it.
 * Where a pre-alarm ends by the clock within CLOCK_SLACK_MS of the next record, both orders are
 * right, as nobody knows here how long the processor took; the number of strikes that was told, and
 * that no reading caused it, say which of them happened.
 *
 * An event is late when more than LATE_MS lie between the appends of its reading and of itself,
 * the times left out in which the processor was not there or the log's disk failed, each with
 * RESTORE_MS behind it, and as long as this seed lets a look be late that nothing else wakes: nobody
 * could append meanwhile either. */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

#define SENSORS_MAX    (SIM_DEVICES_MAX * SIM_SENSORS_MAX)
#define STRIKES        3
#define STORES         32
#define CLOCK_SLACK_MS 120000
/* A restart of the processor forgets arrivals since the last heartbeat that it had read. */
#define NEARLY_MS  2000
#define LATE_MS    1000
#define RESTORE_MS 2000
#define LONG_AGO   INT64_MIN

enum type { MOTION, SMOKE, TEMPERATURE, TYPES };
enum condition { NORMAL, PENDING, ACTIVE };
static const char *const type_names[TYPES] = {"motion", "smoke", "temperature"};

struct strike {
    int64_t time, arrived;
};

struct alarm {
    enum condition condition;
    struct strike strikes[STRIKES];
    int count;
    int64_t activation, raised_ms;
    const struct sim_alarm **told; /* in order */
    size_t told_count, told_room, next;
    bool given_up; /* it differs already: the rest would only repeat that */
};

struct store {
    char id[24];
    int64_t newest;
};

struct sensor {
    char id[64];
    int64_t ok_ms, newest_ms;
    bool nearly; /* a reading of it counted at an arrival that is not its own: see NEARLY_MS */
    struct alarm alarms[TYPES];
    struct store stores[STORES];
    int store_count;
};

struct sim_expect {
    struct sim_verdict *v;
    struct sensor *sensors;
    size_t sensor_count;
    int64_t clock_ms;
    const struct sim_record *by; /* what is applied, at its reading time; NULL: it is the clock */
    int64_t by_ms;
};

static struct sensor *sensor_of(struct sim_expect *x, const char *id)
{
    for (size_t i = 0; i < x->sensor_count; i++) {
        if (strcmp(x->sensors[i].id, id) == 0) {
            return &x->sensors[i];
        }
    }
    if (x->sensor_count == SENSORS_MAX) {
        sim_fail("more than %d sensors", SENSORS_MAX);
    }
    struct sensor *s = &x->sensors[x->sensor_count++];
    (void)snprintf(s->id, sizeof s->id, "%s", id);
    s->ok_ms = s->newest_ms = LONG_AGO;
    return s;
}

static void note_told(struct sim_expect *x, const struct sim_alarm *a)
{
    if (strcmp(a->type, "collector") == 0) {
        return; /* collectors are killed on purpose */
    }
    for (int t = 0; t < TYPES; t++) {
        if (strcmp(a->type, type_names[t]) == 0) {
            struct alarm *to = &sensor_of(x, a->sensor)->alarms[t];
            if (to->told_count == to->told_room) {
                to->told_room = to->told_room == 0 ? 16 : to->told_room * 2;
                to->told = realloc(to->told, to->told_room * sizeof(const struct sim_alarm *));
                if (to->told == NULL) {
                    sim_fail("no memory for alarms");
                }
            }
            to->told[to->told_count++] = a;
            return;
        }
    }
    sim_wrong(x->v, SIM_FALSE_ALARM, "%s of type %s for %s", a->event, a->type, a->sensor);
}

struct sim_expect *sim_expect_new(struct sim_verdict *v, const struct sim_alarm *alarms,
                                  size_t count)
{
    struct sim_expect *x = calloc(1, sizeof *x);
    struct sensor *sensors = calloc(SENSORS_MAX, sizeof *sensors);
    if (x == NULL || sensors == NULL) {
        sim_fail("no memory for the rules");
    }
    x->v = v;
    x->sensors = sensors;
    x->clock_ms = LONG_AGO;
    for (size_t i = 0; i < count; i++) {
        note_told(x, &alarms[i]);
    }
    return x;
}

static const struct sim_alarm *next_told(const struct alarm *a)
{
    return a->next < a->told_count ? a->told[a->next] : NULL;
}

/* ---- what was told ---- */

/* How much of the time between the two the processor could work. */
static int64_t working_ms(int64_t from_ms, int64_t to_ms)
{
    const int64_t behind_ms = RESTORE_MS + sim_slack_ns / SIM_MS;
    int64_t left = to_ms - from_ms, at = from_ms;
    for (size_t i = 0; i < sim_world.alarm.idle_count; i++) {
        const struct sim_span *idle = &sim_world.alarm.idle[i];
        int64_t begin = SIM_EPOCH_MS + idle->from / SIM_MS;
        int64_t end =
            idle->until == SIM_NEVER ? to_ms : SIM_EPOCH_MS + idle->until / SIM_MS + behind_ms;
        begin = begin > at ? begin : at;
        end = end < to_ms ? end : to_ms;
        if (begin < end) {
            left -= end - begin;
            at = end;
        }
    }
    return left;
}

static void check_wait(struct sim_expect *x, const struct sim_alarm *told)
{
    int64_t wait = working_ms(x->by->append_ms, told->append_ms);
    if (wait > x->v->longest_wait_ms) {
        x->v->longest_wait_ms = wait;
    }
    if (wait > LATE_MS) {
        sim_wrong(x->v, SIM_LATE_ALARM, "%s %s: %lld ms after its reading, of %lld in all",
                  told->id, told->event, (long long)wait,
                  (long long)(told->append_ms - x->by->append_ms));
    }
}

/* The right event of the right alarm: whether what it tells is right, too. */
static void check_content(struct sim_expect *x, const struct sensor *s,
                          const struct sim_alarm *told, int64_t strikes)
{
    int64_t off = x->by_ms - told->time_ms;
    bool same;
    if (x->by == NULL) {
        same = told->store[0] == '\0' && llabs(off) <= CLOCK_SLACK_MS;
    } else {
        same = strcmp(told->store, x->by->store) == 0 && told->lane == x->by->lane &&
               told->seq == x->by->seq && off >= 0 && off <= (s->nearly ? NEARLY_MS : 0);
        check_wait(x, told);
    }
    if (!same || told->strikes != strikes) {
        sim_wrong(x->v, SIM_WRONG_ALARM,
                  "%s %s: told %lld strikes, %lld ms, %s/%c/%lld, expected %lld, %lld, %s/%c/%lld",
                  told->id, told->event, (long long)told->strikes, (long long)told->time_ms,
                  told->store, told->lane != '\0' ? told->lane : '-', (long long)told->seq,
                  (long long)strikes, (long long)x->by_ms, x->by == NULL ? "" : x->by->store,
                  x->by == NULL ? '-' : x->by->lane, x->by == NULL ? 0 : (long long)x->by->seq);
    }
}

/* `strikes`: 0 where the event does not tell them. */
static void must_tell(struct sim_expect *x, struct sensor *s, int type, const char *event,
                      int64_t activation, int64_t strikes)
{
    struct alarm *a = &s->alarms[type];
    const struct sim_alarm *told = next_told(a);
    if (a->given_up) {
        return;
    }
    if (told == NULL) {
        sim_wrong(x->v, SIM_MISSED_ALARM, "%s:%s: %s %lld was not told", s->id, type_names[type],
                  event, (long long)activation);
        a->given_up = true;
    } else if (strcmp(told->event, event) != 0 || told->activation != activation) {
        sim_wrong(x->v, strcmp(event, "raised") == 0 ? SIM_MISSED_ALARM : SIM_FALSE_ALARM,
                  "%s:%s: told %s %lld (number %zu), expected %s %lld", s->id, type_names[type],
                  told->event, (long long)told->activation, a->next + 1, event,
                  (long long)activation);
        a->given_up = true;
    } else {
        check_content(x, s, told, strikes);
    }
    a->next++;
}

/* ---- the rules ---- */

static void end_pending(struct sim_expect *x, struct sensor *s, int type, const char *event)
{
    s->alarms[type].condition = NORMAL;
    must_tell(x, s, type, event, s->alarms[type].activation, s->alarms[type].count);
}

/* A pre-alarm ends by the clock when its first strike arrived a window ago. */
static void expire(struct sim_expect *x, struct sensor *s, int type, int64_t now_ms)
{
    struct alarm *a = &s->alarms[type];
    if (a->condition != PENDING || sim_world.window_ms == INT64_MAX) {
        return;
    }
    int64_t due = a->strikes[0].arrived + sim_world.window_ms;
    if (now_ms < due - CLOCK_SLACK_MS) {
        return;
    }
    const struct sim_alarm *told = next_told(a);
    if (now_ms > due + CLOCK_SLACK_MS ||
        (told != NULL && strcmp(told->event, "pre_alarm_expired") == 0 &&
         told->strikes == a->count && told->store[0] == '\0')) {
        x->by_ms = due;
        end_pending(x, s, type, "pre_alarm_expired");
    }
}

static void begin(struct sim_expect *x, struct sensor *s, int type, int64_t time, int64_t arrived)
{
    struct alarm *a = &s->alarms[type];
    a->activation++;
    a->strikes[0] = (struct strike){time, arrived};
    a->count = 1;
    if (type == MOTION) {
        a->condition = ACTIVE;
        a->raised_ms = time;
        must_tell(x, s, type, "raised", a->activation, 1);
    } else {
        a->condition = PENDING;
        must_tell(x, s, type, "pre_alarm", a->activation, 1);
    }
}

static void strike(struct sim_expect *x, struct sensor *s, int type, int64_t time, int64_t arrived)
{
    struct alarm *a = &s->alarms[type];
    int at = a->count++;
    for (; at > 0 && a->strikes[at - 1].time > time; at--) {
        a->strikes[at] = a->strikes[at - 1];
    }
    a->strikes[at] = (struct strike){time, arrived};
    if (a->count == STRIKES) {
        a->condition = ACTIVE;
        a->raised_ms = a->strikes[STRIKES - 1].time;
        must_tell(x, s, type, "raised", a->activation, STRIKES);
    }
}

static bool beyond(int64_t from, int64_t to)
{
    return sim_world.window_ms != INT64_MAX && to - from > sim_world.window_ms;
}

static void active(struct sim_expect *x, struct sensor *s, int type, int64_t time, int64_t arrived)
{
    struct alarm *a = &s->alarms[type];
    if (time < s->ok_ms) {
        must_tell(x, s, type, "late_activity", 0, 0);
    } else if (a->condition == NORMAL) {
        begin(x, s, type, time, arrived);
    } else if (a->condition == ACTIVE) {
        return;
    } else if (beyond(a->strikes[0].time, time)) {
        end_pending(x, s, type, "pre_alarm_expired");
        begin(x, s, type, time, arrived);
    } else if (beyond(time, a->strikes[a->count - 1].time)) {
        must_tell(x, s, type, "late_activity", 0, 0);
    } else {
        strike(x, s, type, time, arrived);
    }
}

static void ok(struct sim_expect *x, struct sensor *s, int64_t time)
{
    for (int type = 0; type < TYPES; type++) {
        struct alarm *a = &s->alarms[type];
        if (a->condition == ACTIVE && a->raised_ms <= time) {
            a->condition = NORMAL;
            must_tell(x, s, type, "cleared", a->activation, type == MOTION ? 1 : STRIKES);
        } else if (a->condition == PENDING) {
            int gone = 0;
            while (gone < a->count && a->strikes[gone].time <= time) {
                gone++;
            }
            if (gone == a->count) {
                end_pending(x, s, type, "pre_alarm_cancelled");
            } else {
                a->count -= gone;
                memmove(a->strikes, a->strikes + gone, (size_t)a->count * sizeof a->strikes[0]);
            }
        }
    }
    s->ok_ms = time > s->ok_ms ? time : s->ok_ms;
}

/* Whether the store is among the 32 with the newest readings, or is so now. */
static bool known_store(struct sensor *s, const struct sim_record *r, int64_t time)
{
    int64_t judged = time < r->received_ms ? time : r->received_ms;
    int oldest = 0;
    for (int i = 0; i < s->store_count; i++) {
        struct store *one = &s->stores[i];
        if (strcmp(one->id, r->store) == 0) {
            one->newest = judged > one->newest ? judged : one->newest;
            return true;
        }
        oldest = one->newest < s->stores[oldest].newest ? i : oldest;
    }
    struct store *to = &s->stores[oldest];
    if (s->store_count < STORES) {
        to = &s->stores[s->store_count++];
    } else if (judged <= to->newest) {
        return false;
    }
    (void)snprintf(to->id, sizeof to->id, "%s", r->store);
    to->newest = judged;
    return true;
}

void sim_expect_record(struct sim_expect *x, const struct sim_record *r)
{
    x->clock_ms = r->received_ms > x->clock_ms ? r->received_ms : x->clock_ms;
    if (r->heartbeat || strcmp(r->sensor, r->device) == 0) {
        return;
    }
    bool hot = r->temperature > r->max_temperature && !r->ok;
    if (!r->ok && !r->motion && !r->smoke && !hot) {
        return;
    }
    struct sensor *s = sensor_of(x, r->sensor);
    x->by = NULL;
    for (int type = SMOKE; type < TYPES; type++) {
        expire(x, s, type, x->clock_ms);
    }
    int64_t time;
    if (strcmp(r->quality, "synced") == 0) { /* nothing is measured after it has arrived */
        time = r->time_ms < x->clock_ms ? r->time_ms : x->clock_ms;
    } else { /* and nothing is told before what was told */
        time = r->received_ms > s->newest_ms ? r->received_ms : s->newest_ms;
    }
    s->nearly = s->nearly || (strcmp(r->quality, "synced") == 0 && r->received_ms < x->clock_ms &&
                              r->time_ms > r->received_ms);
    x->by = r;
    x->by_ms = time;
    const bool is[TYPES] = {r->motion, r->smoke, hot};
    bool known = known_store(s, r, time);
    if (r->ok && known) {
        ok(x, s, time);
    }
    for (int type = 0; type < TYPES && !r->ok; type++) {
        if (is[type] && known) {
            active(x, s, type, time, x->clock_ms);
        } else if (is[type]) {
            must_tell(x, s, type, "late_activity", 0, 0);
        }
    }
    if (known && time >= s->ok_ms && time > s->newest_ms) {
        s->newest_ms = time;
    }
}

void sim_expect_end(struct sim_expect *x, int64_t now_ms)
{
    x->by = NULL;
    for (size_t i = 0; i < x->sensor_count; i++) {
        struct sensor *s = &x->sensors[i];
        for (int type = 0; type < TYPES; type++) {
            struct alarm *a = &s->alarms[type];
            if (type != MOTION) {
                expire(x, s, type, now_ms);
            }
            if (!a->given_up && a->next < a->told_count) {
                sim_wrong(x->v, SIM_FALSE_ALARM, "%s:%s: told %s %lld, expected nothing more",
                          s->id, type_names[type], a->told[a->next]->event,
                          (long long)a->told[a->next]->activation);
            }
            free(a->told);
        }
    }
    free(x->sensors);
    free(x);
}
