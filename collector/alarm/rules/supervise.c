/* Silence: of a sensor, of a device (its `alive`), of the collectors; and what ends it and a
 * storage alarm. */
#include "rules_internal.h"

#include <string.h>

int64_t vgi_rules_patience_ms(const struct vg_rules_conf *conf, const struct vg_rules_state *s)
{
    int64_t period = s->period_ms;
    return period > VG_NEVER_MS / conf->silence_factor ? VG_NEVER_MS
                                                       : period * conf->silence_factor;
}

static enum vg_alarm_type silence_type(const struct vg_rules_state *s)
{
    return strcmp(s->sensor, s->device) == 0 ? VG_ALARM_DEVICE : VG_ALARM_SILENCE;
}

static bool trouble(const struct vg_reading *m)
{
    return m->event == VG_EVENT_GAP || m->event == VG_EVENT_STORAGE;
}

static void end_silence(struct vg_rules *rules, struct vg_rules_state *s,
                        const struct vg_reading *m, int64_t now_ms, const char *reason)
{
    static const enum vg_alarm_type types[] = {VG_ALARM_SILENCE, VG_ALARM_DEVICE};
    for (unsigned i = 0; i < 2; i++) {
        if (s->alarm[types[i]].condition == VG_ACTIVE) {
            vgi_rules_clear(rules, s, types[i], m, now_ms, false, reason);
        }
    }
}

void vgi_rules_heard(struct vg_rules *rules, struct vg_rules_state *s, const struct vg_reading *m,
                     int64_t now_ms)
{
    const struct vg_alarm *storage = &s->alarm[VG_ALARM_STORAGE];
    s->seen_ms = now_ms;
    s->restored = false;
    if (strcmp(s->device, m->device) != 0) {
        memcpy(s->device, m->device, sizeof(s->device));
        s->dirty = true;
    }
    end_silence(rules, s, m, now_ms, NULL);
    if (storage->condition == VG_ACTIVE && !trouble(m) &&
        vg_reading_count_ms(m) >= storage->raised_ms) {
        vgi_rules_clear(rules, s, VG_ALARM_STORAGE, m, vg_reading_count_ms(m), false, NULL);
    }
    if (rules->conf->supervision && s->period_ms > 0 &&
        (s->saved_ms == VG_LONG_AGO_MS ||
         now_ms >= vgi_add_ms(s->saved_ms, vgi_rules_patience_ms(rules->conf, s)))) {
        s->dirty = true;
    }
}

int64_t vg_rules_silence(const struct vg_rules_conf *conf, const struct vg_rules_state *s,
                         int64_t floor_ms)
{
    if (!conf->supervision || s->period_ms <= 0 || s->seen_ms == VG_LONG_AGO_MS ||
        s->alarm[silence_type(s)].condition == VG_ACTIVE) {
        return VG_NEVER_MS;
    }
    int64_t patience = vgi_rules_patience_ms(conf, s);
    int64_t from = s->restored ? vgi_add_ms(s->seen_ms, patience) : s->seen_ms;
    from = vgi_max_ms(from, vgi_max_ms(s->since_ms, floor_ms));
    return vgi_add_ms(from, patience);
}

void vg_rules_silent(struct vg_rules *rules, struct vg_rules_state *s, int64_t now_ms,
                     int64_t floor_ms)
{
    int64_t due_ms = vg_rules_silence(rules->conf, s, floor_ms);
    if (due_ms <= now_ms && due_ms != VG_NEVER_MS) {
        vgi_rules_raise_new(rules, s, silence_type(s), NULL, due_ms, s->seen_ms, NULL);
    }
}

bool vg_rules_supervise(struct vg_rules *rules, struct vg_rules_state *s, int64_t period_ms,
                        int64_t now_ms)
{
    if (period_ms == s->period_ms) {
        return false;
    }
    s->period_ms = period_ms;
    s->since_ms = now_ms;
    /* Stored, or each restart would find the change anew and give grace again: of a processor that
     * restarts often, silence would never be told. */
    s->dirty = true;
    if (period_ms == 0) {
        end_silence(rules, s, NULL, now_ms, "not-supervised");
    }
    return true;
}

void vgi_rules_restored(const struct vg_rules *rules, struct vg_rules_state *s, int64_t now_ms)
{
    if (s->period_ms > 0 && s->patience_ms != vgi_rules_patience_ms(rules->conf, s)) {
        /* k has changed, or the state is of a version that did not store this: the log's seen_ms
         * may lag by more than is waited for now. Not dirty at once: it can be so of every sensor,
         * more than a transaction takes. */
        s->since_ms = vgi_max_ms(s->since_ms, now_ms);
        s->stale = true; /* stored, as above */
    }
}

void vg_rules_collector_silent(struct vg_rules *rules, struct vg_rules_state *s, int64_t now_ms)
{
    vgi_rules_raise_new(rules, s, VG_ALARM_COLLECTOR, NULL, now_ms, s->seen_ms, NULL);
}

void vg_rules_collector_heard(struct vg_rules *rules, struct vg_rules_state *s, int64_t now_ms)
{
    s->seen_ms = now_ms;
    s->dirty = true;
    if (s->alarm[VG_ALARM_COLLECTOR].condition == VG_ACTIVE) {
        s->since_ms = now_ms;
        vgi_rules_clear(rules, s, VG_ALARM_COLLECTOR, NULL, now_ms, false, NULL);
    }
}

int64_t vgi_rules_newest_ms(const struct vg_rules_state *s)
{
    int64_t newest_ms = vgi_max_ms(vgi_max_ms(s->seen_ms, s->since_ms), s->newest_ms);
    newest_ms = vgi_max_ms(newest_ms, s->ok_ms);
    for (unsigned i = 0; i < s->store_count; i++) {
        newest_ms = vgi_max_ms(newest_ms, s->store[i].newest_ms);
    }
    for (unsigned t = 0; t < VG_RULES_STRIKE_TYPES; t++) {
        const struct vg_alarm *alarm = &s->alarm[VG_ALARM_SMOKE + t];
        for (unsigned i = 0; alarm->condition == VG_PENDING && i < alarm->strikes; i++) {
            newest_ms = vgi_max_ms(newest_ms, s->strike[t][i].now_ms);
        }
    }
    return newest_ms;
}

void vgi_rules_set_back(struct vg_rules_state *s, int64_t now_ms)
{
    s->stale = s->stale || vgi_rules_newest_ms(s) > now_ms;
    s->seen_ms = vgi_min_ms(s->seen_ms, now_ms);
    s->since_ms = vgi_min_ms(s->since_ms, now_ms);
    /* An OK of then would make every alarm of a backlog older than itself, also as one of now. */
    s->ok_ms = s->ok_ms > now_ms ? VG_LONG_AGO_MS : s->ok_ms;
    s->newest_ms = s->newest_ms > now_ms ? VG_LONG_AGO_MS : s->newest_ms;
    /* New stores find a place. */
    for (unsigned i = 0; i < s->store_count; i++) {
        s->store[i].newest_ms = vgi_min_ms(s->store[i].newest_ms, now_ms);
    }
    for (unsigned t = 0; t < VG_RULES_STRIKE_TYPES; t++) {
        for (unsigned i = 0; i < VG_STRIKES_MAX; i++) {
            struct vg_strike *strike = &s->strike[t][i];
            strike->now_ms = vgi_min_ms(strike->now_ms, now_ms);
            strike->time_ms = vgi_min_ms(strike->time_ms, now_ms);
        }
    }
}

void vg_rules_stored(struct vg_rules_state *s)
{
    s->saved_ms = s->seen_ms;
    s->dirty = s->stale = false;
}
