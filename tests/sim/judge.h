/* The independent judge: from what the sensors said, the records in the log and the alarm events. It
 * shares no code with the programs: it reads the log file with SQL and JSON of its own, and has the
 * rules a second time, written from docs/alarm-rules.md. */
#ifndef VIGIA_SIM_JUDGE_H
#define VIGIA_SIM_JUDGE_H

#include "world.h"

enum sim_wrong {
    SIM_LOST,
    SIM_DUPLICATED,
    SIM_REORDERED,
    SIM_WRONG_VALUE,
    SIM_WRONG_TIME,
    SIM_NEVER_SAID,
    SIM_FALSE_ALARM,
    SIM_MISSED_ALARM,
    SIM_WRONG_ALARM, /* the right event with other strikes, another time or another reading */
    SIM_LATE_ALARM, /* told too long after its reading, for a processor and a log that could work */
    SIM_DOUBLE_ALARM, /* an alarm id raised twice */
    SIM_BROKEN,       /* the log, a buffer, or somebody who does not come to rest */
    SIM_WRONG_COUNT
};
const char *sim_wrong_name(enum sim_wrong w);

struct sim_verdict {
    uint64_t wrong[SIM_WRONG_COUNT];
    uint64_t said, stored, excused, excused_urgent, again, events, heartbeats, alarms, raised;
    int64_t
        longest_wait_ms; /* from a reading's append to that of its event, while nothing was wrong */
    char first[400];     /* the first thing that is wrong */
};

/* The record of a reading, as the judge reads it. */
struct sim_record {
    char sensor[64], device[64], quality[16], event[16];
    char store[24];
    char lane;
    int64_t seq, time_ms, received_ms, at, append_ms;
    bool heartbeat, ok, motion, smoke, has_at;
    double temperature, max_temperature;
};

/* An alarm event. */
struct sim_alarm {
    char sensor[64], type[16], event[24], id[100];
    char store[24]; /* of the reading that caused it, with lane and seq; empty: none did */
    char lane;
    int64_t activation, seq;
    int64_t strikes; /* 0: not told */
    int64_t time_ms, append_ms;
};

void sim_judge(struct sim_verdict *v);
/* Whether the processor has not read all that others see in the log. */
bool sim_log_unread(void);
void sim_wrong(struct sim_verdict *v, enum sim_wrong what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

struct sqlite3;
struct sqlite3_stmt;
/* The rows of a topic: offset, time, key, value. */
struct sqlite3_stmt *sim_log_rows(struct sqlite3 *db, const char *topic);
/* export.c: ledger, kills, rows kept, readings and alarms, into the folder of the options. */
void sim_export(struct sqlite3 *db);

/* json.c: flat JSON as the topics have it; false: not readable. */
bool sim_json_record(const char *text, size_t len, struct sim_record *out);
bool sim_json_alarm(const char *text, size_t len, struct sim_alarm *out);

/* expect.c: the rules a second time. Records in the log's order, each identity once; then the end. */
struct sim_expect;
struct sim_expect *sim_expect_new(struct sim_verdict *v, const struct sim_alarm *alarms,
                                  size_t count);
void sim_expect_record(struct sim_expect *x, const struct sim_record *r);
void sim_expect_end(struct sim_expect *x, int64_t now_ms);

#endif
