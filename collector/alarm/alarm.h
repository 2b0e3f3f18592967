/* What the files of vigia-alarm share: its configuration, the live processor, the replay. */
#ifndef VIGIA_ALARM_H
#define VIGIA_ALARM_H

#include "vigia/alarm_engine.h"
#include "vigia/conf.h"
#include "vigia/dlog.h"
#include "vigia/loop.h"

struct vgi_alarm_conf {
    struct vg_dlog_conf log;
    char instance[64];
    int64_t max_sensors, max_devices;
    int64_t commit_ms; /* routine progress */
    int64_t settle_ms;
    struct vg_rules_conf rules;
    int64_t replay_period_ms;
    char metrics_listen[64];
    char replay[1024]; /* --replay */
    bool replay_supervision;
};

extern const struct vg_conf_table vgi_alarm_conf_table;
enum vg_err vgi_alarm_conf_check(void *conf, struct vg_error *err);

enum vg_err vgi_alarm_start(struct vg_loop *loop, void *conf, void **state, struct vg_error *err);
bool vgi_alarm_ready(void *state);
void vgi_alarm_drain(void *state);
void vgi_alarm_stop(void *state);

/* The exit code; -1: no replay was asked for. */
int vgi_alarm_replay(void *conf);

#endif
