/* See script.h. */
#include "script.h"
#include "vigia/json.h"

#include <assert.h>
#include <stdlib.h>

struct words {
    char *at[SCRIPT_WORDS_MAX];
    size_t count;
};

static struct words split(char *line)
{
    struct words w = {.count = 0};
    for (char *p = line; *p != '\0' && w.count < SCRIPT_WORDS_MAX;) {
        p += strspn(p, " \t\r\n");
        if (*p != '\0') {
            w.at[w.count++] = p;
            p += strcspn(p, " \t\r\n");
            if (*p != '\0') {
                *p++ = '\0';
            }
        }
    }
    return w;
}

/* The value of "key=value", else NULL. */
static const char *value_of(const char *word, const char *key)
{
    size_t len = strlen(key);
    return strncmp(word, key, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

static int64_t number(const char *text)
{
    long long n = 0;
    if (strcmp(text, "never") == 0) {
        return VG_NEVER_MS;
    }
    if (!vg_span_to_i64(vg_span_str(text), &n)) {
        fprintf(stderr, "not a number: %s\n", text);
        abort();
    }
    return n;
}

static void on_event(void *arg, const struct vg_alarm_event *event)
{
    struct script *s = arg;
    size_t len;
    if (s->event_count == SCRIPT_EVENTS_MAX) {
        fprintf(stderr, "more than %d events without a line that expects them\n",
                SCRIPT_EVENTS_MAX);
        abort();
    }
    char *out = s->event[s->event_count++];
    if (vg_alarm_event_encode(event, out, VG_ALARM_EVENT_MAX - 1, &len) != VG_OK) {
        abort();
    }
    out[len] = '\0';
    if (s->print) {
        puts(out);
        s->event_count--;
    }
}

static int64_t on_period(void *arg, const char *device, const char *sensor)
{
    struct script *s = arg;
    (void)sensor;
    for (size_t i = 0; i < s->device_count; i++) {
        if (strcmp(s->device[i].device, device) == 0) {
            return strcmp(sensor, device) == 0 && s->device[i].period_ms > 0
                       ? s->conf.alive_ms
                       : s->device[i].period_ms;
        }
    }
    return 0;
}

static void start(struct script *s)
{
    struct vg_alarm_engine_options o = {.conf = &s->conf,
                                        .partition = 0,
                                        .max_sensors = SCRIPT_SENSORS_MAX,
                                        .seed = 1,
                                        .event = on_event,
                                        .period = on_period,
                                        .arg = s};
    struct vg_error err;
    if (vg_alarm_engine_new(&o, &s->engine) != VG_OK) {
        abort();
    }
    for (size_t i = 0; i < s->stored_count; i++) {
        if (vg_alarm_engine_restore(s->engine, vg_span_str(s->stored[i].json), &err) != VG_OK) {
            fprintf(stderr, "%s\n", err.text);
            abort();
        }
    }
    vg_alarm_engine_restored(s->engine);
}

void script_init(struct script *s)
{
    memset(s, 0, sizeof(*s));
    vg_rules_conf_default(&s->conf);
    s->conf.supervision = false;
    s->event = calloc(SCRIPT_EVENTS_MAX, sizeof(*s->event));
    s->stored = calloc(SCRIPT_SENSORS_MAX, sizeof(*s->stored));
    if (s->event == NULL || s->stored == NULL) {
        abort();
    }
}

void script_done(struct script *s)
{
    vg_alarm_engine_free(s->engine);
    free(s->event);
    free(s->stored);
}

/* What is stored comes back as it was. */
static void check_round_trip(struct vg_span json)
{
    static char again[VG_ALARM_STATE_MAX];
    struct vg_rules_state state;
    struct vg_error err;
    size_t len;
    if (vg_rules_state_decode(json, &state, &err) != VG_OK ||
        vg_rules_state_encode(&state, again, sizeof(again), &len) != VG_OK ||
        !vg_span_eq(json, vg_span(again, len))) {
        fprintf(stderr, "does not come back: %.*s\n", (int)json.len, json.at);
        abort();
    }
}

static void store(struct script *s)
{
    static char buf[VG_ALARM_STATE_MAX];
    struct vg_span key, value;
    while (vg_alarm_engine_next_dirty(s->engine, buf, &key, &value)) {
        size_t i = 0;
        check_round_trip(value);
        while (i < s->stored_count && !vg_span_eq(vg_span_str(s->stored[i].key), key)) {
            i++;
        }
        if (i == SCRIPT_SENSORS_MAX) {
            abort();
        }
        s->stored_count += i == s->stored_count;
        if (!vg_span_copy(key, s->stored[i].key, sizeof(s->stored[i].key)) ||
            !vg_span_copy(value, s->stored[i].json, sizeof(s->stored[i].json))) {
            abort();
        }
    }
}

bool script_state(const struct script *s, const char *sensor, struct vg_rules_state *out)
{
    struct vg_error err;
    for (size_t i = 0; i < s->stored_count; i++) {
        if (strcmp(s->stored[i].key, sensor) == 0) {
            return vg_rules_state_decode(vg_span_str(s->stored[i].json), out, &err) == VG_OK;
        }
    }
    return false;
}

static void conf_word(struct vg_rules_conf *c, const char *word)
{
    const char *v;
    if ((v = value_of(word, "strikes")) != NULL) {
        c->strikes = number(v);
    } else if ((v = value_of(word, "window")) != NULL) {
        c->window_ms = number(v);
    } else if ((v = value_of(word, "normal_resets")) != NULL) {
        c->normal_resets = number(v) != 0;
    } else if ((v = value_of(word, "supervision")) != NULL) {
        c->supervision = number(v) != 0;
    } else if ((v = value_of(word, "k")) != NULL) {
        c->silence_factor = number(v);
    } else if ((v = value_of(word, "alive")) != NULL) {
        c->alive_ms = number(v);
    } else if ((v = value_of(word, "heartbeat")) != NULL) {
        c->heartbeat_ms = number(v);
    } else {
        fprintf(stderr, "conf: %s?\n", word);
        abort();
    }
}

static void identity(struct vg_reading *m, const char *text)
{
    char *end;
    m->store = strtoull(text, &end, 16);
    m->lane = end[1];
    m->seq = strtoull(end + 3, NULL, 10);
}

static bool quantity(struct vg_reading *m, const char *word)
{
    const char *v;
    if ((v = value_of(word, "motion")) != NULL) {
        m->has |= VG_HAS_MOTION;
        m->motion = number(v) != 0;
    } else if ((v = value_of(word, "smoke")) != NULL) {
        m->has |= VG_HAS_SMOKE;
        m->smoke = number(v) != 0;
    } else if ((v = value_of(word, "temp")) != NULL) {
        m->has |= VG_HAS_TEMPERATURE;
        m->temperature = strtod(v, NULL);
    } else if ((v = value_of(word, "max")) != NULL) {
        m->has |= VG_HAS_MAX_TEMPERATURE;
        m->max_temperature = strtod(v, NULL);
    } else if (strcmp(word, "ok") == 0) {
        m->has |= VG_HAS_OK;
    } else {
        return false;
    }
    return true;
}

static bool reading_word(struct vg_reading *m, const char *word)
{
    const char *v;
    if ((v = value_of(word, "at")) != NULL) {
        m->time_ms = number(v);
    } else if ((v = value_of(word, "rx")) != NULL) {
        m->received_ms = number(v);
    } else if ((v = value_of(word, "id")) != NULL) {
        identity(m, v);
    } else if ((v = value_of(word, "dev")) != NULL) {
        return vg_str_copy(v, m->device, sizeof(m->device));
    } else if ((v = value_of(word, "event")) != NULL) {
        m->event = (uint8_t)vg_event_parse(vg_span_str(v));
        return m->event != VG_EVENT_NONE;
    } else if ((v = value_of(word, "q")) != NULL) {
        enum vg_quality q;
        bool known = vg_quality_parse(vg_span_str(v), &q);
        m->quality = (uint8_t)q;
        return known;
    } else {
        return quantity(m, word);
    }
    return true;
}

static bool reading(struct script *s, const struct words *w)
{
    struct vg_reading m = {.device = "pi", .received_ms = -1};
    if (w->count < 2 || !vg_str_copy(w->at[1], m.sensor, sizeof(m.sensor))) {
        return false;
    }
    for (size_t i = 2; i < w->count; i++) {
        if (!reading_word(&m, w->at[i])) {
            snprintf(s->problem, sizeof(s->problem), "%s?", w->at[i]);
            return false;
        }
    }
    if (m.received_ms < 0) {
        m.received_ms = m.time_ms;
    }
    vg_alarm_engine_advance(s->engine, m.received_ms, SIZE_MAX);
    vg_alarm_engine_reading(s->engine, &m);
    return true;
}

static bool command(struct script *s, const struct words *w, enum vg_command_verb verb)
{
    struct vg_command c = {.verb = verb};
    if (w->count < 2 || !vg_str_copy(w->at[1], c.alarm_id, sizeof(c.alarm_id))) {
        return false;
    }
    for (size_t i = 2; i < w->count; i++) {
        const char *v;
        if ((v = value_of(w->at[i], "who")) != NULL) {
            (void)vg_str_copy(v, c.who, sizeof(c.who));
        } else if ((v = value_of(w->at[i], "at")) != NULL) {
            c.time_ms = number(v);
        }
    }
    vg_alarm_engine_command(s->engine, &c);
    return true;
}

/* The text of a member as it stands in the JSON, without quotes; "-" when it is absent. */
static void member(const char *json, const char *name, char *out, size_t size)
{
    struct vg_json j;
    struct vg_json_str key;
    (void)vg_str_copy("-", out, size);
    vg_json_init(&j, vg_span_str(json), 4);
    vg_json_object(&j);
    while (vg_json_member(&j, &key)) {
        const char *from = j.at;
        vg_json_skip(&j);
        if (vg_json_str_is(key, name)) {
            from += strspn(from, ": ");
            struct vg_span text = vg_span(from, (size_t)(j.at - from));
            if (text.len >= 2 && text.at[0] == '"') {
                text = vg_span(text.at + 1, text.len - 2);
            }
            (void)vg_span_copy(text, out, size);
        }
    }
}

static bool expect(struct script *s, const struct words *w)
{
    char found[256];
    if (s->event_next == s->event_count) {
        snprintf(s->problem, sizeof(s->problem), "nothing more was told");
        return false;
    }
    const char *json = s->event[s->event_next++];
    for (size_t i = 1; i < w->count; i++) {
        char *equals = i > 2 ? strchr(w->at[i], '=') : NULL;
        const char *name = i == 1 ? "event" : "alarm_id";
        const char *want = w->at[i];
        if (i > 2) {
            if (equals == NULL) {
                return false;
            }
            *equals = '\0';
            name = w->at[i];
            want = equals + 1;
        }
        member(json, name, found, sizeof(found));
        if (strcmp(found, want) != 0) {
            snprintf(s->problem, sizeof(s->problem), "%s is %s, expected %s, in %.700s", name,
                     found, want, json);
            return false;
        }
    }
    return true;
}

static bool expect_state(struct script *s, const struct words *w)
{
    struct vg_rules_state state;
    if (w->count < 4 || !script_state(s, w->at[1], &state)) {
        snprintf(s->problem, sizeof(s->problem), "no stored state");
        return false;
    }
    enum vg_alarm_type type = vg_alarm_type_parse(vg_span_str(w->at[2]));
    const struct vg_alarm *a = &state.alarm[type];
    const char *found = vg_condition_name((enum vg_condition)a->condition);
    const char *attention = a->raised == 0 ? "-" : a->acked ? "acked" : "unacked";
    if (strcmp(found, w->at[3]) != 0 || (w->count > 4 && strcmp(attention, w->at[4]) != 0)) {
        snprintf(s->problem, sizeof(s->problem), "the state is %s %s", found, attention);
        return false;
    }
    return true;
}

bool script_quiet(struct script *s)
{
    if (s->event_next < s->event_count) {
        snprintf(s->problem, sizeof(s->problem), "told before this line, and not expected: %.900s",
                 s->event[s->event_next]);
        return false;
    }
    s->event_next = s->event_count = 0;
    return true;
}

static bool period(struct script *s, const struct words *w)
{
    size_t i = 0;
    if (w->count != 3) {
        return false;
    }
    while (i < s->device_count && strcmp(s->device[i].device, w->at[1]) != 0) {
        i++;
    }
    if (i == SCRIPT_DEVICES_MAX ||
        !vg_str_copy(w->at[1], s->device[i].device, sizeof(s->device[i].device))) {
        return false;
    }
    s->device_count += i == s->device_count;
    s->device[i].period_ms = number(w->at[2]);
    if (s->engine != NULL) {
        vg_alarm_engine_devices_changed(s->engine);
        if (vg_alarm_engine_clock(s->engine) != VG_LONG_AGO_MS) {
            vg_alarm_engine_advance(s->engine, vg_alarm_engine_clock(s->engine), SIZE_MAX);
        }
    }
    return true;
}

static bool act(struct script *s, const struct words *w)
{
    const char *verb = w->at[0];
    if (strcmp(verb, "r") == 0) {
        return reading(s, w);
    }
    if (strcmp(verb, "ack") == 0) {
        return command(s, w, VG_COMMAND_ACKNOWLEDGE);
    }
    if (strcmp(verb, "reset") == 0) {
        return command(s, w, VG_COMMAND_OTHER);
    }
    if (strcmp(verb, "restart") == 0) {
        vg_alarm_engine_free(s->engine);
        start(s);
        return true;
    }
    if (w->count == 2 && strcmp(verb, "tick") == 0) {
        vg_alarm_engine_advance(s->engine, number(w->at[1]), SIZE_MAX);
        return true;
    }
    if (w->count == 2 && strcmp(verb, "beat") == 0) {
        vg_alarm_engine_advance(s->engine, number(w->at[1]), SIZE_MAX);
        vg_alarm_engine_heartbeat(s->engine, number(w->at[1]));
        return true;
    }
    snprintf(s->problem, sizeof(s->problem), "unknown word '%s'", verb);
    return false;
}

bool script_line(struct script *s, char *line)
{
    struct words w = split(line);
    (void)vg_str_copy("malformed line", s->problem, sizeof(s->problem));
    if (w.count == 0 || w.at[0][0] == '#') {
        return true;
    }
    if (strcmp(w.at[0], ">") == 0) {
        return expect(s, &w);
    }
    if (!script_quiet(s)) {
        return false;
    }
    if (strcmp(w.at[0], "=") == 0) {
        return expect_state(s, &w);
    }
    if (strcmp(w.at[0], "conf") == 0) {
        for (size_t i = 1; i < w.count; i++) {
            conf_word(&s->conf, w.at[i]);
        }
        return true;
    }
    if (strcmp(w.at[0], "period") == 0) {
        bool fine = period(s, &w);
        if (fine && s->engine != NULL) {
            store(s);
        }
        return fine;
    }
    if (s->engine == NULL) {
        start(s);
    }
    bool fine = act(s, &w);
    store(s);
    return fine;
}
