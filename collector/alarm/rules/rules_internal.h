/* What the files of the rules share. */
#ifndef VIGIA_RULES_INTERNAL_H
#define VIGIA_RULES_INTERNAL_H

#include "vigia/rules.h"

/* An event with everything that the alarm and the reading (may be NULL) say. */
struct vg_alarm_event vgi_rules_event(const struct vg_rules_state *s, enum vg_alarm_event_kind kind,
                                      enum vg_alarm_type type, const struct vg_reading *m,
                                      int64_t time_ms);
void vgi_rules_emit(struct vg_rules *rules, struct vg_alarm_event *event);

/* Starts the alarm of the running activation: ACTIVE, not acknowledged. The event is the caller's.
 */
void vgi_rules_activate(const struct vg_rules *rules, struct vg_rules_state *s,
                        enum vg_alarm_type type, int64_t raised_ms);
/* A new episode, raised at once. */
void vgi_rules_raise_new(struct vg_rules *rules, struct vg_rules_state *s, enum vg_alarm_type type,
                         const struct vg_reading *m, int64_t time_ms, int64_t first_ms,
                         const char *reason);
void vgi_rules_clear(struct vg_rules *rules, struct vg_rules_state *s, enum vg_alarm_type type,
                     const struct vg_reading *m, int64_t time_ms, bool late, const char *reason);

/* A message of the sensor arrived: whatever it says, the silence is over. */
void vgi_rules_heard(struct vg_rules *rules, struct vg_rules_state *s, const struct vg_reading *m,
                     int64_t now_ms);

/* Period * k: the longest time that the log's seen_ms may lag behind the truth, and the length of
 * silence that is told. VG_NEVER_MS: longer than can be counted. */
int64_t vgi_rules_patience_ms(const struct vg_rules_conf *conf, const struct vg_rules_state *s);
/* A state has come back from the log, maybe from a processor with another k. */
void vgi_rules_restored(const struct vg_rules *rules, struct vg_rules_state *s, int64_t now_ms);
/* The newest time in a state that later messages are measured by; VG_LONG_AGO_MS: none. */
int64_t vgi_rules_newest_ms(const struct vg_rules_state *s);
/* Makes now_ms of those that are later, and forgets a later OK or newest reading; stale then. When
 * an alarm was raised stays as it was told. */
void vgi_rules_set_back(struct vg_rules_state *s, int64_t now_ms);

enum vgi_mark { VGI_MARK_NEW, VGI_MARK_DUPLICATE, VGI_MARK_OLD_STORE };
/* Whether the reading was applied before; if not, notes that it is now. */
enum vgi_mark vgi_rules_mark(struct vg_rules_state *s, const struct vg_reading *m);

/* a + b, and VG_NEVER_MS instead of an overflow; b >= 0. */
static inline int64_t vgi_add_ms(int64_t a, int64_t b)
{
    return a > 0 && b > VG_NEVER_MS - a ? VG_NEVER_MS : a + b;
}

static inline int64_t vgi_min_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t vgi_max_ms(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#endif
