/* A core on a bench: rows in, actions noted, a clock that moves when told. */
#ifndef VIGIA_TEST_UPLINK_BENCH_H
#define VIGIA_TEST_UPLINK_BENCH_H

#include "../../../edge/uplink/core.h"

#define BENCH_BATCH 8
#define STORE_A     0xa1a1a1a1a1a1a1a1ULL
#define STORE_B     0xb2b2b2b2b2b2b2b2ULL
#define URGENT      VG_UPLINK_URGENT
#define ROUTINE     VG_UPLINK_ROUTINE

struct note {
    struct vgi_action action;
    struct vg_uplink_outcome outcomes[BENCH_BATCH];
};

struct bench {
    struct vg_uplink_options options;
    struct vgi_core *core;
    struct vg_mono now;
    size_t fit; /* rows that a body takes */
    char unpackable[VG_SENSOR_ID_MAX + 1];
    struct note notes[64]; /* since the last forget() */
    size_t note_count;
    bool asked[VG_UPLINK_LANES];       /* a FETCH waits for its rows */
    uint32_t request[VG_UPLINK_LANES]; /* the newest */
};

/* `collectors` of them; the core is made and started by bench_start(), so that options can be
 * changed before. */
void bench_init(struct bench *b, size_t collectors);
void bench_start(struct bench *b);
/* Started, and a session up; both lanes have asked for rows and were told that none wait. */
void bench_up(struct bench *b, size_t collectors);
void bench_done(struct bench *b);

void forget(struct bench *b);
/* Takes the actions out of the core; call after every event. */
void collect(struct bench *b);
size_t count_of(const struct bench *b, enum vgi_action_type type);
/* The newest action of this kind; the test fails without one. */
const struct note *last_of(const struct bench *b, enum vgi_action_type type);
const struct vgi_action *last_told(const struct bench *b, enum vg_uplink_event event);

void connected(struct bench *b);
void lose(struct bench *b, enum vgi_lost why);
void pass_ms(struct bench *b, int64_t ms);
/* Answers the lane's FETCH. */
void hand(struct bench *b, enum vg_uplink_lane lane, const struct vg_uplink_row *rows,
          size_t count);
/* Notifies the lane if it has not asked yet, and hands over `count` rows: sensor "s1", numbers from
 * `seq`. */
void give(struct bench *b, enum vg_uplink_lane lane, uint64_t store, uint64_t seq, size_t count);
void give_rows(struct bench *b, enum vg_uplink_lane lane, const struct vg_uplink_row *rows,
               size_t count);
struct vg_uplink_row row_of(const char *sensor, uint64_t store, uint64_t seq);
/* Answers the newest request of the lane. */
void answer(struct bench *b, enum vg_uplink_lane lane, unsigned code);
void answer_with(struct bench *b, enum vg_uplink_lane lane, unsigned code, int64_t max_age_s,
                 struct vg_span payload);
void refuse(struct bench *b, enum vg_uplink_lane lane, unsigned code, const struct vg_refusal *list,
            size_t count);
/* The newest request of the lane was for `count` rows from (store, seq). */
void expect_sent(const struct bench *b, enum vg_uplink_lane lane, uint64_t store, uint64_t seq,
                 size_t count);
/* Outcome i of the newest settlement of the lane. */
const struct vg_uplink_outcome *settled(const struct bench *b, enum vg_uplink_lane lane, size_t i,
                                        size_t of);
int64_t deadline_in_ms(const struct bench *b);

#endif
