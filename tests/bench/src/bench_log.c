/* What the benchmark needs of a log, as small commands for a script:
 *
 *   devices URL KEK COUNT FILE      enters d0 … and writes their credentials for vigia-fleet
 *   fill URL ROWS SENSORS PERMILLE  appends readings, PERMILLE of 1,000 of them active or OK
 *   count URL                       readings, and how many different ones by identity
 *   active URL                      of each active reading: device seq time received append, ms
 *   follow URL                      each new alarm event: the wall clock in us as it was read, a blank, the event
 */
#include "bench_log.h"

#include "vigia/dlog_admin.h"
#include "vigia/record.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READ_MS 200

static struct vg_dlog_record records[VG_DLOG_BATCH_MAX];
static struct vg_error err;
static volatile sig_atomic_t over;

void bench_must(enum vg_err rc, const char *what)
{
    if (rc != VG_OK) {
        fprintf(stderr, "bench_log: %s: %s: %s\n", what, vg_err_name(rc), err.text);
        exit(VG_EXIT_FAIL);
    }
}

struct vg_error *bench_error(void)
{
    return &err;
}

struct vg_dlog *bench_open(const char *url)
{
    struct vg_dlog_conf conf;
    struct vg_dlog *log = NULL;
    bench_must(vg_dlog_conf_default(url, &conf), "url");
    conf.queue_max = 200000;
    conf.queue_max_bytes = 256 << 20;
    bench_must(vg_dlog_open(&conf, "bench_log", 0, &log, &err), "open");
    return log;
}

/* ---- reading all of a topic ---- */

typedef void on_record_fn(void *arg, const struct vg_dlog_record *record);

static void read_all(struct vg_dlog *log, enum vg_topic topic, on_record_fn *fn, void *arg)
{
    struct vg_dlog_reader *r = NULL;
    size_t count = 0;
    bench_must(
        vg_dlog_reader_open(log, topic, -1, (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &r, &err),
        "reader");
    do {
        bench_must(vg_dlog_read(r, READ_MS, records, VG_DLOG_BATCH_MAX, &count, &err), "read");
        for (size_t i = 0; i < count; i++) {
            fn(arg, &records[i]);
        }
    } while (count > 0 || !vg_dlog_reader_caught_up(r));
    vg_dlog_reader_close(r);
}

static bool reading_of(const struct vg_dlog_record *record, struct vg_reading *out)
{
    struct vg_heartbeat beat;
    enum vg_record_kind kind;
    bench_must(vg_record_decode(record->value, &kind, out, &beat, &err), "a record");
    return kind == VG_RECORD_READING;
}

/* ---- count ---- */

#define SENDERS_MAX 65536 /* a power of two */

struct sender {
    char device[VG_DEVICE_NAME_MAX + 1];
    uint64_t store;
    char lane;
    uint8_t *seen; /* one bit for each seq */
    size_t bytes;
};

struct count {
    struct sender *senders;
    uint64_t readings, distinct, heartbeats;
};

static struct sender *sender_of(struct count *c, const struct vg_reading *r)
{
    uint64_t hash = r->store ^ (uint64_t)r->lane;
    for (const char *p = r->device; *p != '\0'; p++) {
        hash = (hash ^ (uint8_t)*p) * 0x100000001b3ULL;
    }
    for (size_t n = 0, i = hash % SENDERS_MAX; n < SENDERS_MAX; n++, i = (i + 1) % SENDERS_MAX) {
        struct sender *s = &c->senders[i];
        if (s->lane == 0) {
            s->lane = r->lane;
            s->store = r->store;
            bench_must(vg_str_copy(r->device, s->device, sizeof(s->device)) ? VG_OK : VG_E_RANGE,
                       "device");
        }
        if (s->lane == r->lane && s->store == r->store && strcmp(s->device, r->device) == 0) {
            return s;
        }
    }
    bench_must(VG_E_FULL, "more senders than can be counted");
    return NULL;
}

static void count_one(void *arg, const struct vg_dlog_record *record)
{
    static struct vg_reading r;
    struct count *c = arg;
    if (!reading_of(record, &r)) {
        c->heartbeats++;
        return;
    }
    c->readings++;
    struct sender *s = sender_of(c, &r);
    const size_t at = (size_t)(r.seq / 8);
    if (at >= s->bytes) {
        const size_t bytes = at * 2 + 64;
        uint8_t *seen = realloc(s->seen, bytes);
        bench_must(seen == NULL ? VG_E_NOMEM : VG_OK, "count");
        memset(seen + s->bytes, 0, bytes - s->bytes);
        s->seen = seen;
        s->bytes = bytes;
    }
    const uint8_t bit = (uint8_t)(1u << (r.seq % 8));
    c->distinct += (s->seen[at] & bit) == 0;
    s->seen[at] |= bit;
}

static void count_readings(const char *url)
{
    struct count c = {.senders = calloc(SENDERS_MAX, sizeof(struct sender))};
    struct vg_dlog *log = bench_open(url);
    bench_must(c.senders == NULL ? VG_E_NOMEM : VG_OK, "count");
    read_all(log, VG_TOPIC_READINGS, count_one, &c);
    vg_dlog_close(log);
    for (size_t i = 0; i < SENDERS_MAX; i++) {
        free(c.senders[i].seen);
    }
    free(c.senders);
    printf("{\"readings\":%" PRIu64 ",\"distinct\":%" PRIu64 ",\"heartbeats\":%" PRIu64 "}\n",
           c.readings, c.distinct, c.heartbeats);
}

/* ---- active ---- */

static void active_one(void *arg, const struct vg_dlog_record *record)
{
    static struct vg_reading r;
    (void)arg;
    if (reading_of(record, &r) && vg_reading_active(&r)) {
        printf("%s %" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", r.device, r.seq, r.time_ms,
               r.received_ms, record->append_ms);
    }
}

static void active(const char *url)
{
    struct vg_dlog *log = bench_open(url);
    read_all(log, VG_TOPIC_READINGS, active_one, NULL);
    vg_dlog_close(log);
}

/* ---- follow ---- */

static void on_signal(int number)
{
    (void)number;
    over = 1;
}

static void follow(const char *url)
{
    struct vg_dlog *log = bench_open(url);
    struct vg_dlog_reader *r = NULL;
    size_t count = 0;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    bench_must(vg_dlog_reader_open(log, VG_TOPIC_ALARMS, -1, (struct vg_dlog_from){VG_DLOG_END, 0},
                                   &r, &err),
               "reader");
    do {
        bench_must(vg_dlog_read(r, READ_MS, records, VG_DLOG_BATCH_MAX, &count, &err), "read");
    } while (!over && !vg_dlog_reader_caught_up(r));
    puts("ready");
    fflush(stdout);
    while (!over) {
        bench_must(vg_dlog_read(r, READ_MS, records, VG_DLOG_BATCH_MAX, &count, &err), "read");
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        const int64_t us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
        for (size_t i = 0; i < count; i++) {
            printf("%" PRId64 " %.*s\n", us, (int)records[i].value.len, records[i].value.at);
        }
        fflush(stdout);
    }
    vg_dlog_reader_close(r);
    vg_dlog_close(log);
}

static int usage(void)
{
    fprintf(stderr,
            "usage: bench_log devices URL KEK COUNT FILE | fill URL ROWS SENSORS PERMILLE |\n"
            "       count URL | active URL | follow URL\n");
    return VG_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";
    if (strcmp(verb, "devices") == 0 && argc == 6) {
        return bench_devices(argv[2], argv[3], strtoul(argv[4], NULL, 10), argv[5]);
    }
    if (strcmp(verb, "fill") == 0 && argc == 6) {
        return bench_fill(argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10),
                          strtoul(argv[5], NULL, 10));
    }
    if (argc != 3) {
        return usage();
    }
    if (strcmp(verb, "count") == 0) {
        count_readings(argv[2]);
    } else if (strcmp(verb, "active") == 0) {
        active(argv[2]);
    } else if (strcmp(verb, "follow") == 0) {
        follow(argv[2]);
    } else {
        return usage();
    }
    return VG_EXIT_OK;
}
