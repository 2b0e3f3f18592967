/* The counters of vigia-alarm. */
#ifndef VIGIA_ALARM_METRICS_H
#define VIGIA_ALARM_METRICS_H

#include "vigia/alarm_engine.h"

enum vg_err vgi_metrics_start(void) VG_NODISCARD;
void vgi_metrics_event(enum vg_alarm_event_kind kind);
/* Adds what an engine counted since `before`. */
void vgi_metrics_engine(const struct vg_alarm_engine_counters *now,
                        const struct vg_alarm_engine_counters *before);
void vgi_metrics_unreadable(void);
void vgi_metrics_ahead(void);
/* The wall clock of this machine leapt, ahead or back. */
void vgi_metrics_clock_leapt(void);
void vgi_metrics_clock_set_back(void);
void vgi_metrics_devices_refused(uint64_t count);
void vgi_metrics_commit(void);
void vgi_metrics_dropped(void);
void vgi_metrics_active(bool active);

#endif
