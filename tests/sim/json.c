/* A reader for the flat objects in the topics. */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

struct cursor {
    const char *at, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t')) {
        c->at++;
    }
}

static bool expect(struct cursor *c, char what)
{
    skip_space(c);
    if (c->at < c->end && *c->at == what) {
        c->at++;
        return true;
    }
    return false;
}

/* Text between quotes; an escape is kept as it is, nothing here needs one. */
static bool read_text(struct cursor *c, char *out, size_t size)
{
    size_t len = 0;
    if (!expect(c, '"')) {
        return false;
    }
    while (c->at < c->end && *c->at != '"') {
        if (*c->at == '\\') {
            c->at++;
        }
        if (c->at < c->end && len + 1 < size) {
            out[len++] = *c->at;
        }
        c->at++;
    }
    out[len] = '\0';
    return expect(c, '"');
}

/* Anything: texts without their quotes, objects with their brackets. */
static bool read_value(struct cursor *c, char *out, size_t size)
{
    skip_space(c);
    if (c->at < c->end && *c->at == '"') {
        return read_text(c, out, size);
    }
    const char *from = c->at;
    int depth = 0;
    bool quoted = false;
    for (; c->at < c->end; c->at++) {
        char ch = *c->at;
        if (quoted) {
            quoted = ch != '"';
        } else if (ch == '"') {
            quoted = true;
        } else if (ch == '{' || ch == '[') {
            depth++;
        } else if (ch == '}' || ch == ']' || ch == ',') {
            if (depth == 0) {
                break;
            }
            depth -= ch != ',';
        }
    }
    size_t len = (size_t)(c->at - from);
    len = len < size - 1 ? len : size - 1;
    memcpy(out, from, len);
    out[len] = '\0';
    return len > 0;
}

typedef void member_fn(void *to, const char *name, const char *value);

static bool each_member(const char *text, size_t len, member_fn *fn, void *to)
{
    struct cursor c = {text, text + len};
    char name[64], value[256];
    if (!expect(&c, '{')) {
        return false;
    }
    if (expect(&c, '}')) {
        return true;
    }
    do {
        if (!read_text(&c, name, sizeof name) || !expect(&c, ':') ||
            !read_value(&c, value, sizeof value)) {
            return false;
        }
        fn(to, name, value);
    } while (expect(&c, ','));
    return expect(&c, '}');
}

static void copy(char *to, size_t size, const char *value)
{
    (void)snprintf(to, size, "%s", value);
}

static bool is_true(const char *value)
{
    return strcmp(value, "true") == 0;
}

static void extra(void *to, const char *name, const char *value)
{
    struct sim_record *r = to;
    if (strcmp(name, "at") == 0) {
        r->has_at = true;
        r->at = strtoll(value, NULL, 10);
    }
}

static void record_member(void *to, const char *name, const char *value)
{
    struct sim_record *r = to;
    if (strcmp(name, "sensor") == 0) {
        copy(r->sensor, sizeof r->sensor, value);
    } else if (strcmp(name, "device") == 0) {
        copy(r->device, sizeof r->device, value);
    } else if (strcmp(name, "quality") == 0) {
        copy(r->quality, sizeof r->quality, value);
    } else if (strcmp(name, "store") == 0) {
        copy(r->store, sizeof r->store, value);
    } else if (strcmp(name, "event") == 0) {
        copy(r->event, sizeof r->event, value);
    } else if (strcmp(name, "lane") == 0) {
        r->lane = value[0];
    } else if (strcmp(name, "seq") == 0) {
        r->seq = strtoll(value, NULL, 10);
    } else if (strcmp(name, "time_ms") == 0) {
        r->time_ms = strtoll(value, NULL, 10);
    } else if (strcmp(name, "received_ms") == 0) {
        r->received_ms = strtoll(value, NULL, 10);
    } else if (strcmp(name, "heartbeat") == 0) {
        r->heartbeat = true;
    } else if (strcmp(name, "ok") == 0) {
        r->ok = is_true(value);
    } else if (strcmp(name, "motion") == 0) {
        r->motion = is_true(value);
    } else if (strcmp(name, "smoke") == 0) {
        r->smoke = is_true(value);
    } else if (strcmp(name, "temperature") == 0) {
        r->temperature = strtod(value, NULL);
    } else if (strcmp(name, "max_temperature") == 0) {
        r->max_temperature = strtod(value, NULL);
    } else if (strcmp(name, "x") == 0) {
        (void)each_member(value, strlen(value), extra, r);
    } else if (strcmp(name, "alive") == 0 || strcmp(name, "gap") == 0 ||
               strcmp(name, "storage") == 0 || strcmp(name, "clock") == 0) {
        copy(r->event, sizeof r->event, name);
    }
}

bool sim_json_record(const char *text, size_t len, struct sim_record *out)
{
    memset(out, 0, sizeof *out);
    copy(out->quality, sizeof out->quality, "synced");
    return each_member(text, len, record_member, out);
}

static void alarm_member(void *to, const char *name, const char *value)
{
    struct sim_alarm *a = to;
    if (strcmp(name, "sensor") == 0) {
        copy(a->sensor, sizeof a->sensor, value);
    } else if (strcmp(name, "type") == 0) {
        copy(a->type, sizeof a->type, value);
    } else if (strcmp(name, "event") == 0) {
        copy(a->event, sizeof a->event, value);
    } else if (strcmp(name, "alarm_id") == 0) {
        copy(a->id, sizeof a->id, value);
    } else if (strcmp(name, "activation") == 0) {
        a->activation = strtoll(value, NULL, 10);
    } else if (strcmp(name, "strikes") == 0) {
        a->strikes = strtoll(value, NULL, 10);
    } else if (strcmp(name, "time_ms") == 0) {
        a->time_ms = strtoll(value, NULL, 10);
    } else if (strcmp(name, "store") == 0) {
        copy(a->store, sizeof a->store, value);
    } else if (strcmp(name, "lane") == 0) {
        a->lane = value[0];
    } else if (strcmp(name, "seq") == 0) {
        a->seq = strtoll(value, NULL, 10);
    }
}

bool sim_json_alarm(const char *text, size_t len, struct sim_alarm *out)
{
    memset(out, 0, sizeof *out);
    return each_member(text, len, alarm_member, out);
}
