/* A log of its own with alarm processors around it, for the tests in live_test.c. On SQLite, or,
 * with VIGIA_KAFKA set (as tests/support/kafka/broker run does), on a real broker. */
#ifndef TESTS_ALARM_WORLD_H
#define TESTS_ALARM_WORLD_H

#include "vigia/dlog.h"
#include "vigia/dlog_admin.h"
#include "vigia/reading.h"

#include <sys/types.h>

#define WORLD_DEADLINE_MS (60000 * VIGIA_TEST_PATIENCE) /* for what must come */
#define WORLD_EVENTS_MAX  4096
#define WORLD_TEXT_MAX    160

/* One record of `alarms`, cut to what the tests compare. */
struct told {
    char event[24];
    char id[WORLD_TEXT_MAX];
    int64_t time_ms;
    bool late;
};

struct world {
    char folder[64];
    struct vg_dlog_conf conf;
    struct vg_dlog *log;
    struct vg_dlog_appender *appender;
    struct vg_dlog_reader *alarms;
    struct told told[WORLD_EVENTS_MAX];
    size_t told_count;
    size_t states; /* records of alarm-state seen by world_states */
    int64_t now_ms;
    int64_t *clock_ms; /* world_give_clock: what their wall clock is ahead of ours */
    int64_t *gone_ms;  /* too: how much time has gone by for them unseen */
    bool keep_lines;   /* what the processors log goes to a file, for world_wait_for_line */
};

/* Fails the test when anything cannot be made. */
void world_open(struct world *w);
void world_close(struct world *w);

/* Starts vigia-alarm with further --set values (NULL-terminated); its log goes to the test's. */
pid_t world_start(struct world *w, const char *instance, const char *const *sets);
/* Processors started from now on see a wall clock that *w->clock_ms moves, and time that
 * *w->gone_ms lets go by at once, on that and on the clock since boot. */
void world_give_clock(struct world *w);
void world_kill(pid_t pid, int signal); /* and waits for its end */

/* Runs `vigia --json WORDS` (NULL-terminated) on this log: its exit code, and what it printed. */
int world_vigia(struct world *w, const char *const *words, char *out, size_t size);

/* Appends and waits until it is durable. */
void world_put(struct world *w, enum vg_topic topic, int32_t partition, const char *key,
               const char *json);
/* A reading of `sensor` taken and received now; `what` is a VG_HAS_ bit, or 0 for a normal one. */
void world_reading(struct world *w, const char *sensor, uint32_t what, uint64_t seq);
void world_heartbeat(struct world *w);

/* Waits until at least `count` events have been told in all. */
void world_wait(struct world *w, size_t count);
/* How many events of this kind and alarm id were told so far. */
size_t world_count(const struct world *w, const char *event, const char *id);
/* Waits until one is told. */
void world_wait_for(struct world *w, const char *event, const char *id);
/* Waits until the log of a processor, started after keep_lines was set, holds this text. */
void world_wait_for_line(const struct world *w, const char *text);
bool world_has_line(const struct world *w, const char *text); /* so far */

#endif
