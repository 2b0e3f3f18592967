/* Log lines.
 *
 *   format the pairs -> limit per message id -> one line (logfmt, JSON, or <N>logfmt for the
 * journal) -> one write(2)
 *
 * A line is at most VG_LOG_LINE_MAX bytes, under PIPE_BUF, so lines of several threads or processes
 * never mix. The limit keeps one slot per message id in a fixed table; when more ids than slots are
 * in use, the slot with the oldest window is taken over after telling what it dropped. */
#include "vigia/log.h"
#include "vigia/span.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDS_MAX    64
#define ID_LEN_MAX 40

_Static_assert(VG_LOG_LINE_MAX <= PIPE_BUF, "a line is written whole");

struct slot {
    char id[ID_LEN_MAX];
    int64_t window_start_ns;
    unsigned lines;
    uint64_t dropped;
};

static struct {
    pthread_mutex_t lock;
    const char *program;
    const struct vg_clock *clock;
    enum vg_log_format format;
    bool journal;
    struct slot slots[IDS_MAX];
    size_t slot_count;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .program = "vigia"};

/* Read without the lock on every call, so that a debug line that is off costs nothing. */
static _Atomic int threshold = VG_LOG_INFO;
static _Atomic uint64_t suppressed;

static const char *const level_names[] = {"error", "warn", "info", "debug"};
/* syslog(3) priorities for the journal. */
static const char level_priority[] = {'3', '4', '6', '7'};

/* $JOURNAL_STREAM names the device and inode of the journal's socket; it counts only if stderr is
 * that socket. */
static bool stderr_is_journal(void)
{
    const char *text = getenv("JOURNAL_STREAM");
    struct stat st;
    if (text == NULL || fstat(STDERR_FILENO, &st) != 0) {
        return false;
    }
    char *end;
    unsigned long long device = strtoull(text, &end, 10);
    return *end == ':' && device == st.st_dev && strtoull(end + 1, NULL, 10) == st.st_ino;
}

void vg_log_init(const char *program, enum vg_log_level level, enum vg_log_format format)
{
    pthread_mutex_lock(&state.lock);
    state.program = program;
    state.format = format;
    state.journal = stderr_is_journal();
    memset(state.slots, 0, sizeof state.slots);
    state.slot_count = 0;
    pthread_mutex_unlock(&state.lock);
    vg_log_set_level(level);
}

void vg_log_set_clock(const struct vg_clock *clock)
{
    pthread_mutex_lock(&state.lock);
    state.clock = clock;
    pthread_mutex_unlock(&state.lock);
}

void vg_log_set_level(enum vg_log_level level)
{
    threshold = (int)level;
}

bool vg_log_level_parse(const char *name, enum vg_log_level *out)
{
    for (int i = 0; i <= VG_LOG_DEBUG; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum vg_log_level)i;
            return true;
        }
    }
    return false;
}

uint64_t vg_log_suppressed(void)
{
    return suppressed;
}

/* --- text --- */

struct text {
    char *at;
    size_t len, room; /* `room` excludes what the caller keeps for an ending */
    bool cut;
};

/* Whole or not at all; after the first that does not fit nothing more is taken. */
static void put(struct text *t, const char *bytes, size_t len)
{
    if (t->cut || len > t->room - t->len) {
        t->cut = true;
        return;
    }
    memcpy(t->at + t->len, bytes, len);
    t->len += len;
}

static void put_str(struct text *t, const char *s)
{
    put(t, s, strlen(s));
}

/* Length of the UTF-8 character at `s` (NUL-terminated), 0 when there is none (RFC 3629 §4). */
static size_t utf8_len(const char *s)
{
    const unsigned char *u = (const unsigned char *)s;
    size_t more;
    if (u[0] < 0x80) {
        return u[0] == 0 ? 0 : 1;
    }
    if (u[0] >= 0xc2 && u[0] <= 0xdf) {
        more = 1;
    } else if (u[0] >= 0xe0 && u[0] <= 0xef) {
        if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f)) {
            return 0;
        }
        more = 2;
    } else if (u[0] >= 0xf0 && u[0] <= 0xf4) {
        if ((u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f)) {
            return 0;
        }
        more = 3;
    } else {
        return 0;
    }
    for (size_t i = 1; i <= more; i++) {
        if ((u[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return more + 1;
}

/* One character of a quoted value, escaped the way both JSON and logfmt read; returns the bytes
 * consumed. */
static size_t put_escaped(struct text *t, const char *s)
{
    char code[8];
    size_t len = utf8_len(s);
    if (*s == '"' || *s == '\\') {
        code[0] = '\\';
        code[1] = *s;
        put(t, code, 2);
    } else if (*s == '\n') {
        put(t, "\\n", 2);
    } else if (*s == '\t') {
        put(t, "\\t", 2);
    } else if (len == 0) {
        put(t, "\\ufffd", 6); /* no UTF-8 */
        return 1;
    } else if ((unsigned char)*s < 0x20 || *s == 0x7f) {
        snprintf(code, sizeof code, "\\u%04x", (unsigned)(unsigned char)*s);
        put_str(t, code);
    } else {
        put(t, s, len);
    }
    return len;
}

static bool is_plain(const char *s)
{
    if (*s == '\0') {
        return false;
    }
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') {
            return false;
        }
    }
    return true;
}

const char *vg_quote(const char *s, char *out, size_t size)
{
    static const char ending[] = "…\"";
    if (size < sizeof ending + 1) {
        if (size > 0) {
            out[0] = '\0';
        }
        return out;
    }
    if (s == NULL) {
        s = "-";
    }
    size_t len = strlen(s);
    if (is_plain(s) && len < size) {
        memcpy(out, s, len + 1);
        return out;
    }
    struct text t = {.at = out, .room = size - sizeof ending};
    put(&t, "\"", 1);
    while (*s != '\0' && !t.cut) {
        s += put_escaped(&t, s);
    }
    const char *end = t.cut ? ending : "\"";
    memcpy(out + t.len, end, strlen(end) + 1);
    return out;
}

/* --- one line --- */

/* Control bytes in the pairs (a value that nobody quoted) must not break the line. */
static void put_logfmt_pairs(struct text *t, const char *s)
{
    while (*s != '\0' && !t->cut) {
        size_t len = utf8_len(s);
        if (len == 0 || (unsigned char)*s < 0x20 || *s == 0x7f) {
            put(t, "?", 1);
            s++;
        } else {
            put(t, s, len);
            s += len;
        }
    }
}

static size_t key_len(const char *s)
{
    size_t len = strcspn(s, "= \"\\");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c <= ' ' || c >= 0x7f) {
            return 0;
        }
    }
    return s[len] == '=' ? len : 0;
}

/* The end of the value at `s`: of a quoted one behind its closing quote; NULL when it has none. */
static const char *value_end(const char *s)
{
    if (*s != '"') {
        return s + strcspn(s, " ");
    }
    for (s++; *s != '"'; s++) {
        if (*s == '\0' || (*s == '\\' && *++s == '\0')) {
            return NULL;
        }
    }
    return s[1] == ' ' || s[1] == '\0' ? s + 1 : NULL;
}

static bool all_pairs(const char *s)
{
    while (*s != '\0') {
        size_t len = key_len(s);
        const char *end = len == 0 ? NULL : value_end(s + len + 1);
        if (end == NULL) {
            return false;
        }
        s = end + strspn(end, " ");
    }
    return true;
}

static void put_json_string(struct text *t, const char *from, const char *end)
{
    put(t, "\"", 1);
    while (from < end && !t->cut) {
        from += put_escaped(t, from);
    }
    put(t, "\"", 1);
}

/* A value that is quoted already: VG_Q's escapes are JSON's; any other backslash stands for itself.
 */
static void put_json_quoted(struct text *t, const char *from, const char *end)
{
    put(t, "\"", 1);
    for (from++; from < end - 1 && !t->cut;) {
        if (*from == '\\' && strchr("\"\\nt", from[1]) != NULL) {
            put(t, from, 2);
            from += 2;
        } else if (strncmp(from, "\\u", 2) == 0 && strspn(from + 2, "0123456789abcdef") >= 4) {
            put(t, from, 6);
            from += 6;
        } else {
            from += put_escaped(t, from);
        }
    }
    put(t, "\"", 1);
}

/* A member that does not fit whole is left out, and `"cut":"true"` says so. */
static void put_json_member(struct text *t, const char *key, size_t len, const char *value,
                            const char *end)
{
    size_t mark = t->len;
    put(t, ",\"", 2);
    put(t, key, len);
    put(t, "\":", 2);
    if (*value == '"') {
        put_json_quoted(t, value, end);
    } else {
        put_json_string(t, value, end);
    }
    if (t->cut) {
        t->len = mark;
    }
}

static void put_json_pairs(struct text *t, const char *s)
{
    if (!all_pairs(s)) {
        put_json_member(t, "text", 4, s, s + strlen(s));
        return;
    }
    while (*s != '\0') {
        size_t len = key_len(s);
        const char *end = value_end(s + len + 1);
        put_json_member(t, s, len, s + len + 1, end);
        s = end + strspn(end, " ");
    }
}

static void write_line(const char *line, size_t len)
{
    /* Nobody is left to tell if standard error is gone. */
    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR) {
    }
}

static void emit(enum vg_log_level level, const char *msgid, const char *pairs)
{
    static const char json_ending[] = ",\"cut\":\"true\"}\n";
    char line[VG_LOG_LINE_MAX], stamp[VG_RFC3339_MAX];
    struct text t = {.at = line, .room = sizeof line - sizeof json_ending};
    const struct vg_clock *clock = state.clock == NULL ? vg_clock_system() : state.clock;
    vg_wall_format(vg_now_wall(clock), stamp);
    if (state.format == VG_LOG_JSON) {
        put_str(&t, "{\"time\":\"");
        put_str(&t, stamp);
        put_str(&t, "\",\"level\":\"");
        put_str(&t, level_names[level]);
        put_str(&t, "\",\"prog\":\"");
        put_str(&t, state.program);
        put_str(&t, "\",\"msg\":\"");
        put_str(&t, msgid);
        put_str(&t, "\"");
        put_json_pairs(&t, pairs);
        const char *ending = t.cut ? json_ending : "}\n";
        memcpy(line + t.len, ending, strlen(ending));
        write_line(line, t.len + strlen(ending));
        return;
    }
    if (state.journal) {
        char prefix[] = {'<', level_priority[level], '>'};
        put(&t, prefix, sizeof prefix);
    } else {
        put_str(&t, stamp);
        put(&t, " ", 1);
    }
    put_str(&t, "level=");
    put_str(&t, level_names[level]);
    put_str(&t, " prog=");
    put_str(&t, state.program);
    put_str(&t, " msg=");
    put_str(&t, msgid);
    if (pairs[0] != '\0') {
        put(&t, " ", 1);
        put_logfmt_pairs(&t, pairs);
    }
    const char *ending = t.cut ? "…\n" : "\n";
    memcpy(line + t.len, ending, strlen(ending));
    write_line(line, t.len + strlen(ending));
}

/* --- the limit --- */

static int64_t now_ns(void)
{
    return vg_now_mono(state.clock == NULL ? vg_clock_system() : state.clock).ns;
}

static void tell_dropped(struct slot *s)
{
    char pairs[ID_LEN_MAX + 64];
    if (s->dropped == 0) {
        return;
    }
    snprintf(pairs, sizeof pairs, "of=%s lines=%" PRIu64, s->id, s->dropped);
    s->dropped = 0;
    emit(VG_LOG_WARN, "log-suppressed", pairs);
}

static void close_windows(int64_t now)
{
    for (size_t i = 0; i < state.slot_count; i++) {
        struct slot *s = &state.slots[i];
        if (now - s->window_start_ns >= VG_LOG_WINDOW_MS * VG_NS_PER_MS) {
            tell_dropped(s);
            s->window_start_ns = now;
            s->lines = 0;
        }
    }
}

static struct slot *slot_for(const char *msgid, int64_t now)
{
    struct slot *oldest = &state.slots[0];
    for (size_t i = 0; i < state.slot_count; i++) {
        struct slot *s = &state.slots[i];
        if (strncmp(s->id, msgid, ID_LEN_MAX - 1) == 0) {
            return s;
        }
        if (s->window_start_ns < oldest->window_start_ns) {
            oldest = s;
        }
    }
    if (state.slot_count < IDS_MAX) {
        oldest = &state.slots[state.slot_count++];
    } else {
        tell_dropped(oldest);
    }
    *oldest = (struct slot){.window_start_ns = now};
    snprintf(oldest->id, sizeof oldest->id, "%s", msgid);
    return oldest;
}

void vg_log_tick(void)
{
    pthread_mutex_lock(&state.lock);
    close_windows(now_ns());
    pthread_mutex_unlock(&state.lock);
}

void vg_log_write(enum vg_log_level level, const char *msgid, const char *fmt, ...)
{
    char pairs[VG_LOG_LINE_MAX];
    if ((int)level > threshold) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    vsnprintf(pairs, sizeof pairs, fmt, args);
    va_end(args);

    pthread_mutex_lock(&state.lock);
    int64_t now = now_ns();
    close_windows(now);
    struct slot *s = slot_for(msgid, now);
    if (s->lines < VG_LOG_BURST) {
        s->lines++;
        emit(level, msgid, pairs);
    } else {
        s->dropped++;
        suppressed++;
    }
    pthread_mutex_unlock(&state.lock);
}
