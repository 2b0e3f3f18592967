/* The live processor from inside: shared by live.c (the loop, from start to stop), parts.c (the
 * engines of the partitions) and commit.c (the transaction). */
#ifndef VIGIA_ALARM_LIVE_H
#define VIGIA_ALARM_LIVE_H

#include "alarm.h"
#include "wall.h"

#include "vigia/devices.h"
#include "vigia/dlog_processor.h"
#include "vigia/rules_json.h"

#include <assert.h>

/* One batch, so that the outputs of its worst case fit a transaction: each reading up to eight
 * records (two pre-alarms that expire, two that begin, motion, the end of a silence and of a
 * storage alarm, its state), each deadline two. */
#define VGI_ALARM_BATCH          1024
#define VGI_ALARM_DEADLINES_MAX  2048
#define VGI_ALARM_COMMIT_RECORDS 4096 /* commit when so many wait, whatever the time */
static_assert(VGI_ALARM_BATCH * 8 + VGI_ALARM_DEADLINES_MAX * 2 + VGI_ALARM_COMMIT_RECORDS <=
                  VG_DLOG_TXN_RECORDS_MAX,
              "the worst batch fits a transaction");

struct vgi_alarm;

struct vgi_alarm_part {
    struct vgi_alarm *alarm;
    int32_t number;
    struct vg_alarm_engine *engine; /* NULL: not ours */
    struct vg_alarm_engine_counters counted;
    bool caught_up;
    bool compared; /* its states with our clock, which stood */
};

struct vgi_alarm {
    const struct vgi_alarm_conf *conf;
    struct vg_loop *loop;
    struct vg_dlog *log;
    struct vg_devices *devices;
    uint64_t devices_refused; /* as told so far */
    struct vg_dlog_processor *processor;
    struct vgi_alarm_part *parts;
    int32_t part_count;
    vg_watch_id devices_watch, processor_watch;
    vg_timer_id timer, pace;
    bool devices_changed;
    bool uncommitted;  /* records were handled since the last commit */
    bool urgent;       /* and an event was told */
    bool broken;       /* the transaction cannot be committed */
    bool commit_waits; /* refused for now */
    bool failed;       /* the program ends */
    size_t deadlines_left;
    struct vg_mono commit_due, urgent_due, give_up;
    struct vgi_wall wall;
    uint64_t seed;
    struct vg_reading reading;
    struct vg_dlog_record records[VGI_ALARM_BATCH];
    char buf[VG_ALARM_STATE_MAX];
};

/* ---- live.c ---- */

/* Logs what cannot be gone on from, once, and ends the program. */
void vgi_alarm_fail(struct vgi_alarm *a, const char *what, const struct vg_error *err);
int64_t vgi_alarm_wall_ms(const struct vgi_alarm *a);

/* ---- parts.c ---- */

/* What the log tells of partitions; `arg` is the struct vgi_alarm. */
extern const struct vg_dlog_processor_calls vgi_alarm_part_calls;
void vgi_alarm_part_record(struct vgi_alarm *a, const struct vg_dlog_record *r);
/* Meets the deadlines up to `now_ms`, as many as the batch has left. */
void vgi_alarm_part_advance(struct vgi_alarm *a, struct vgi_alarm_part *p, int64_t now_ms);
/* Whether our clock has stood for long enough to set a partition's back by it; see wall.h. */
bool vgi_alarm_clock_stands(struct vgi_alarm *a);
/* Sets back a partition's clock that is ahead of `now_ms`, which is of a clock that stands. */
void vgi_alarm_part_compare_clock(struct vgi_alarm_part *p, int64_t now_ms);
void vgi_alarm_part_count(struct vgi_alarm_part *p);

/* ---- commit.c ---- */

/* Appends to the open transaction; one that fails is `broken` and takes nothing more. */
void vgi_alarm_append(struct vgi_alarm *a, enum vg_topic topic, int32_t partition,
                      struct vg_span key, struct vg_span value);
/* Stores the states that changed and commits. Refused for now: `commit_waits`, call again. */
void vgi_alarm_commit(struct vgi_alarm *a);
/* An event commits at once, or with a backlog (whose next batch has one too) a little later. */
void vgi_alarm_commit_if_due(struct vgi_alarm *a, bool backlog);

#endif
