/* The world of one seed: devices with sensors, collectors, one alarm processor, one log; what goes
 * wrong with them; and what is known about it afterwards. */
#ifndef VIGIA_SIM_WORLD_H
#define VIGIA_SIM_WORLD_H

#include "card.h"
#include "sim.h"

#include "../../collector/alarm/alarm.h"
#include "../../collector/ingest/conf.h"
#include "../../edge/agent/parts.h"

#define SIM_DEVICES_MAX    200
#define SIM_SENSORS_MAX    4
#define SIM_COLLECTORS_MAX 2
#define SIM_DEATHS_MAX     512

enum sim_defect {
    SIM_NO_DEFECT,
    SIM_DEFECT_LYING_DISK,   /* the log's disk says synced and is not */
    SIM_DEFECT_ANY_ANSWER,   /* a refusal reaches the device as 2.04 */
    SIM_DEFECT_NO_DEDUP,     /* the rules forget which readings they applied */
    SIM_DEFECT_RENUMBER,     /* a request now and then carries another first number */
    SIM_DEFECT_SWAP,         /* rows leave the buffer in the wrong order */
    SIM_DEFECT_FORGET_STATE, /* a processor starts with no state */
    SIM_DEFECT_WRONG_CLOCK,  /* an agent calls a clock synchronised that is an hour off */
    SIM_DEFECT_EARLY_ACK, /* the collector answers when a reading is queued, not when it is durable */
    SIM_DEFECT_LYING_CARD,  /* a device's card says synced and is not */
    SIM_DEFECT_LOST_ROW,    /* an agent that was killed loses the last row of its card */
    SIM_DEFECT_LONG_GROUP,  /* an agent waits 5 s before it commits, not 1 s */
    SIM_DEFECT_LATE_ALARM,  /* the processor now and then waits a minute before it commits */
    SIM_DEFECT_WRONG_EVENT, /* events tell other strikes, another time, another reading */
    SIM_DEFECT_COUNT
};
const char *sim_defect_name(enum sim_defect d);

struct sim_options {
    uint64_t seed;
    double hours;
    int devices, collectors;
    double loss, twice, reorder;
    enum sim_defect defect;
    bool calm; /* no faults but the network's figures */
    const char *export_folder;
};

/* What a sensor said. */
struct sim_said {
    int64_t ns,
        at;        /* at: ms since the world began, unique for the sensor; the reading carries it */
    unsigned life; /* of the agent */
    bool ok, motion, smoke, urgent;
    double temperature;
    bool synced;
    bool kept; /* a commit with it returned (card.c); then as: */
    uint64_t store, seq;
    unsigned stored; /* identities found in the log (judge.c) */
};

struct sim_sensor {
    char id[32];
    struct sim_said *said;
    size_t said_count, said_room;
    int64_t last_at;
    int64_t period, next_normal, next_episode, next_strike, ok_at;
    int strikes_left;
    int64_t strike_gap;
    bool motion, smoke, hot; /* of the running episode */
    int burst_left;
};

struct sim_death {
    int64_t ns;
    unsigned life;
    int64_t owed_urgent, owed_routine; /* what was said before is on the card */
};

struct sim_span {
    int64_t from, until;
};

struct sim_device {
    struct sim_host host;
    struct sim_proc proc;
    struct vgi_edge_conf conf;
    struct vgi_agent *agent; /* while it runs */
    struct sim_sensor sensors[SIM_SENSORS_MAX];
    size_t sensor_count;
    struct sim_card card;
    struct sim_death deaths[SIM_DEATHS_MAX]; /* by kill or power cut */
    size_t death_count;
    int64_t down_until;
};

struct sim_world {
    struct sim_options options;
    int64_t end_ns;   /* sensors and faults stop */
    int64_t quiet_ns; /* everything had arrived */
    int64_t done_ns;
    bool unread; /* the processor had not read all that was in the log then */
    int64_t window_ms;
    struct sim_host log_host;
    struct sim_device *devices;
    struct {
        struct sim_proc proc;
        struct vgi_conf conf;
        void *state;
        int64_t down_until;
    } collectors[SIM_COLLECTORS_MAX];
    struct {
        struct sim_proc proc;
        struct vgi_alarm_conf conf;
        void *state;
        int64_t down_until;
        struct sim_span *idle; /* it could not work: not there, or the log's disk failed; by from */
        size_t idle_count, idle_room;
    } alarm;
    uint64_t kills, power_cuts, stops, outages, clock_steps, log_faults, rebinds, failed_starts;
};

extern struct sim_world sim_world;

/* world.c: runs it from beginning to end. */
void sim_world_run(const struct sim_options *options);
/* Kills it and starts it again later. */
void sim_world_kill(struct sim_proc *p, int64_t down_ns);
void sim_world_stop(struct sim_proc *p, int64_t down_ns); /* SIGTERM */
void sim_world_power_cut(int host, int64_t down_ns);
/* From now until then the processor cannot work. */
void sim_world_idle(int64_t until);
/* plan.c: everything that will go wrong, in events. */
void sim_plan(void);
void sim_plan_end(void);
void sim_clock_unsynced(struct sim_host *h);
/* source.c */
void sim_sensors_init(struct sim_device *d);
/* defect.c */
void sim_defect_on(enum sim_defect d);
enum sim_defect sim_defect_is(void);

#endif
