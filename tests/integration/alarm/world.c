/* See world.h. */
#include "world.h"
#include "vigia/clock.h"
#include "vigia/json.h"
#include "vigia/record.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct vg_error err;

static void must(enum vg_err rc, const char *what)
{
    if (rc != VG_OK) {
        fail_msg("%s: %s: %s", what, vg_err_name(rc), err.text);
    }
}

static int64_t mono_ms(void)
{
    return vg_now_mono(vg_clock_system()).ns / VG_NS_PER_MS;
}

static void configure(struct world *w)
{
    const char *kafka = getenv("VIGIA_KAFKA");
    const char *ca = getenv("VIGIA_KAFKA_CA");
    char url[256];
    if (kafka != NULL) {
        (void)snprintf(url, sizeof(url), "kafka:%s", kafka);
    } else {
        (void)snprintf(url, sizeof(url), "sqlite:%s/log.db", w->folder);
    }
    must(vg_dlog_conf_default(url, &w->conf), "url");
    w->conf.partitions = 2;
    w->conf.replication = w->conf.min_insync = 1;
    if (ca != NULL && ca[0] != '\0') {
        assert_true(vg_str_copy(ca, w->conf.ca_file, sizeof(w->conf.ca_file)));
    }
    /* One broker serves all tests: each has a prefix of its own. */
    (void)snprintf(w->conf.prefix, sizeof(w->conf.prefix), "t%s.", strrchr(w->folder, '-') + 1);
}

void world_open(struct world *w)
{
    unsigned created;
    memset(w, 0, sizeof(*w));
    (void)vg_str_copy("/tmp/vigia-alarm-XXXXXX", w->folder, sizeof(w->folder));
    assert_non_null(mkdtemp(w->folder));
    configure(w);
    must(vg_dlog_open(&w->conf, "alarm-test", VG_DLOG_MAY_CREATE, &w->log, &err), "open");
    must(vg_dlog_create(w->log, VG_TOPICS_ALL, &created, &err), "create");
    must(vg_dlog_appender_open(w->log, &w->appender, &err), "appender");
    must(vg_dlog_reader_open(w->log, VG_TOPIC_ALARMS, -1,
                             (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &w->alarms, &err),
         "reader");
    w->now_ms = vg_now_wall(vg_clock_system()).ms;
}

void world_close(struct world *w)
{
    if (w->clock_ms != NULL) {
        (void)munmap(w->clock_ms, sizeof(*w->clock_ms));
        (void)munmap(w->gone_ms, sizeof(*w->gone_ms));
    }
    vg_dlog_reader_close(w->alarms);
    vg_dlog_appender_close(w->appender);
    vg_dlog_close(w->log);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", w->folder, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
}

static int64_t *word(const struct world *w, const char *name)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/%s", w->folder, name);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, sizeof(int64_t)) == 0);
    void *at = mmap(NULL, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    (void)close(fd);
    return at;
}

void world_give_clock(struct world *w)
{
    w->clock_ms = word(w, "clock");
    w->gone_ms = word(w, "gone");
}

/* In the child. */
static void preload_clock(const struct world *w)
{
    const char *asan = getenv("ASAN_OPTIONS");
    char path[96], gone[96], options[512];
    (void)snprintf(path, sizeof(path), "%s/clock", w->folder);
    (void)snprintf(gone, sizeof(gone), "%s/gone", w->folder);
    (void)snprintf(options, sizeof(options), "%s%sverify_asan_link_order=0",
                   asan == NULL ? "" : asan, asan == NULL ? "" : ":");
    if (setenv("VIGIA_TEST_CLOCK", path, 1) != 0 || setenv("VIGIA_TEST_BOOT", gone, 1) != 0 ||
        setenv("ASAN_OPTIONS", options, 1) != 0 ||
        setenv("LD_PRELOAD", VIGIA_BINARY_DIR "/tests/fault_shim.so", 1) != 0) {
        _exit(127);
    }
}

#define SETS_MAX 16
#define LOG_SETS 6

struct command {
    char text[LOG_SETS + 1][600];
    const char *argv[2 * (LOG_SETS + 1 + SETS_MAX) + 2];
    size_t count;
    const struct world *clock; /* whose clock it sees; NULL: the machine's */
};

static void add_word(struct command *c, const char *word)
{
    assert_true(c->count + 1 < sizeof(c->argv) / sizeof(c->argv[0]));
    c->argv[c->count++] = word;
    c->argv[c->count] = NULL;
}

static void add_set(struct command *c, const char *set)
{
    add_word(c, "--set");
    add_word(c, set);
}

/* A program on this world's log. */
static void command_init(struct command *c, const struct world *w, const char *path)
{
    memset(c, 0, sizeof(*c));
    (void)snprintf(c->text[0], sizeof(c->text[0]), "log.url=%s", w->conf.url);
    (void)snprintf(c->text[1], sizeof(c->text[1]), "log.prefix=%s", w->conf.prefix);
    (void)snprintf(c->text[2], sizeof(c->text[2]), "log.partitions=%d", (int)w->conf.partitions);
    (void)snprintf(c->text[3], sizeof(c->text[3]), "log.replication=1");
    (void)snprintf(c->text[4], sizeof(c->text[4]), "log.min_insync=1");
    (void)snprintf(c->text[5], sizeof(c->text[5]), "log.ca_file=%s", w->conf.ca_file);
    add_word(c, path);
    for (size_t i = 0; i < LOG_SETS - (w->conf.ca_file[0] == '\0'); i++) {
        add_set(c, c->text[i]);
    }
}

/* What the child writes to its descriptor `child` goes to `to`; -1: to where the test's goes. */
static pid_t command_start(const struct command *c, int child, int to)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
        if (to >= 0 && dup2(to, child) < 0) {
            _exit(127);
        }
        if (c->clock != NULL) {
            preload_clock(c->clock);
        }
        union {
            const char *const *from;
            char *const *to;
        } args = {.from = c->argv};
        execv(c->argv[0], args.to);
        _exit(127);
    }
    if (to >= 0) {
        close(to);
    }
    return pid;
}

pid_t world_start(struct world *w, const char *instance, const char *const *sets)
{
    struct command c;
    char lines[96];
    int to = -1;
    command_init(&c, w, VIGIA_BINARY_DIR "/bin/vigia-alarm");
    (void)snprintf(c.text[LOG_SETS], sizeof(c.text[LOG_SETS]), "processor.instance=%s", instance);
    add_set(&c, c.text[LOG_SETS]);
    for (size_t i = 0; sets != NULL && sets[i] != NULL; i++) {
        add_set(&c, sets[i]);
    }
    c.clock = w->clock_ms != NULL ? w : NULL;
    if (w->keep_lines) {
        (void)snprintf(lines, sizeof(lines), "%s/lines", w->folder);
        to = open(lines, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        assert_true(to >= 0);
    }
    return command_start(&c, STDERR_FILENO, to);
}

int world_vigia(struct world *w, const char *const *words, char *out, size_t size)
{
    struct command c;
    int fds[2];
    int status;
    size_t len = 0;
    ssize_t n;
    command_init(&c, w, VIGIA_BINARY_DIR "/bin/vigia");
    add_word(&c, "--json");
    for (size_t i = 0; words[i] != NULL; i++) {
        add_word(&c, words[i]);
    }
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = command_start(&c, STDOUT_FILENO, fds[1]);
    while ((n = read(fds[0], out + len, size - 1 - len)) > 0) {
        len += (size_t)n;
    }
    out[len] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void world_kill(pid_t pid, int signal)
{
    assert_int_equal(kill(pid, signal), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void on_verdict(void *arg, const struct vg_dlog_verdict *verdict)
{
    *(enum vg_err *)arg = verdict->result;
}

void world_put(struct world *w, enum vg_topic topic, int32_t partition, const char *key,
               const char *json)
{
    enum vg_err result = VG_E_TIMEOUT;
    must(vg_dlog_append(w->appender, topic, partition, vg_span_str(key), vg_span_str(json),
                        on_verdict, &result),
         "append");
    must(vg_dlog_appender_drain(w->appender, VG_DLOG_VERDICT_MAX_MS, &err), "drain");
    must(result, "verdict");
}

void world_reading(struct world *w, const char *sensor, uint32_t what, uint64_t seq)
{
    struct vg_reading m = {.store = 0xa1, .seq = seq, .lane = VG_LANE_URGENT};
    char json[VG_RECORD_MAX];
    size_t len;
    w->now_ms++;
    m.time_ms = m.received_ms = w->now_ms;
    assert_true(vg_str_copy(sensor, m.sensor, sizeof(m.sensor)));
    assert_true(vg_str_copy("pi", m.device, sizeof(m.device)));
    m.has = what == 0 ? VG_HAS_SMOKE : what;
    m.motion = what == VG_HAS_MOTION;
    m.smoke = what == VG_HAS_SMOKE;
    must(vg_record_encode(&m, json, sizeof(json) - 1, &len), "encode");
    json[len] = '\0';
    world_put(w, VG_TOPIC_READINGS, -1, sensor, json);
}

void world_heartbeat(struct world *w)
{
    struct vg_heartbeat beat = {.instance = "c1"};
    char json[VG_RECORD_MAX];
    size_t len;
    int32_t partitions;
    beat.time_ms = beat.received_ms = w->now_ms = vg_now_wall(vg_clock_system()).ms;
    must(vg_heartbeat_encode(&beat, json, sizeof(json) - 1, &len), "encode");
    json[len] = '\0';
    must(vg_dlog_partitions(w->log, VG_TOPIC_READINGS, &partitions, &err), "partitions");
    for (int32_t i = 0; i < partitions; i++) {
        world_put(w, VG_TOPIC_READINGS, i, "c1", json);
    }
}

static struct told parse(struct vg_span text)
{
    struct told t;
    struct vg_json j;
    struct vg_json_str key;
    memset(&t, 0, sizeof(t));
    vg_json_init(&j, text, 4);
    vg_json_object(&j);
    while (vg_json_member(&j, &key)) {
        if (vg_json_str_is(key, "event")) {
            vg_json_text(&j, t.event, sizeof(t.event));
        } else if (vg_json_str_is(key, "alarm_id")) {
            vg_json_text(&j, t.id, sizeof(t.id));
        } else if (vg_json_str_is(key, "time_ms")) {
            vg_json_i64(&j, &t.time_ms);
        } else if (vg_json_str_is(key, "late")) {
            vg_json_bool(&j, &t.late);
        } else {
            vg_json_skip(&j);
        }
    }
    assert_true(vg_json_done(&j));
    return t;
}

static void read_alarms(struct world *w)
{
    struct vg_dlog_record records[64];
    size_t count = 0;
    must(vg_dlog_read(w->alarms, 100, records, 64, &count, &err), "read");
    for (size_t i = 0; i < count; i++) {
        assert_true(w->told_count < WORLD_EVENTS_MAX);
        w->told[w->told_count++] = parse(records[i].value);
    }
}

static void tell_all(const struct world *w)
{
    for (size_t i = 0; i < w->told_count; i++) {
        fprintf(stderr, "  told: %s %s\n", w->told[i].event, w->told[i].id);
    }
}

void world_wait(struct world *w, size_t count)
{
    int64_t deadline = mono_ms() + WORLD_DEADLINE_MS;
    while (w->told_count < count && mono_ms() < deadline) {
        read_alarms(w);
    }
    if (w->told_count < count) {
        tell_all(w);
        fail_msg("%zu events were told, %zu expected", w->told_count, count);
    }
}

size_t world_count(const struct world *w, const char *event, const char *id)
{
    size_t n = 0;
    for (size_t i = 0; i < w->told_count; i++) {
        n += strcmp(w->told[i].event, event) == 0 && strcmp(w->told[i].id, id) == 0;
    }
    return n;
}

void world_wait_for(struct world *w, const char *event, const char *id)
{
    int64_t deadline = mono_ms() + WORLD_DEADLINE_MS;
    while (world_count(w, event, id) == 0 && mono_ms() < deadline) {
        read_alarms(w);
    }
    if (world_count(w, event, id) == 0) {
        tell_all(w);
        fail_msg("%s %s was not told", event, id);
    }
}

/* What the processors have logged so far. */
static void read_lines(const struct world *w, char *lines, size_t size)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/lines", w->folder);
    FILE *f = fopen(path, "re");
    const size_t len = f == NULL ? 0 : fread(lines, 1, size - 1, f);
    lines[len] = '\0';
    if (f != NULL) {
        (void)fclose(f);
    }
}

bool world_has_line(const struct world *w, const char *text)
{
    char lines[65536];
    read_lines(w, lines, sizeof(lines));
    return strstr(lines, text) != NULL;
}

void world_wait_for_line(const struct world *w, const char *text)
{
    int64_t deadline = mono_ms() + WORLD_DEADLINE_MS;
    char lines[65536];
    do {
        read_lines(w, lines, sizeof(lines));
        if (strstr(lines, text) != NULL) {
            return;
        }
        (void)poll(NULL, 0, 10);
    } while (mono_ms() < deadline);
    fail_msg("'%s' is not among the lines:\n%s", text, lines);
}
