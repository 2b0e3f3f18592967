/* A log as it would have become. */
#include "bench_log.h"

#include "vigia/devices.h"
#include "vigia/record.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_MS   60000
#define ROWS_PER_S 20000
#define DEVICES    32

static struct vg_dlog_appender *appender;
static size_t failed;

static void on_verdict(void *arg, const struct vg_dlog_verdict *verdict)
{
    (void)arg;
    failed += verdict->result != VG_OK;
}

/* Waits where the queue is full. */
static void append(enum vg_topic topic, int32_t partition, const char *key, struct vg_span value)
{
    struct vg_error *err = bench_error();
    for (;;) {
        const enum vg_err rc =
            vg_dlog_append(appender, topic, partition, vg_span_str(key), value, on_verdict, NULL);
        if (rc == VG_OK) {
            return;
        }
        if (rc != VG_E_FULL) {
            bench_must(vg_fail(err, rc, "append: %s", vg_err_name(rc)), "append");
        }
        struct pollfd verdicts = {.fd = vg_dlog_appender_fd(appender), .events = POLLIN};
        (void)poll(&verdicts, 1, DRAIN_MS);
        bench_must(vg_dlog_appender_dispatch(appender, err), "dispatch");
    }
}

static int finish(struct vg_dlog *log)
{
    bench_must(vg_dlog_appender_drain(appender, DRAIN_MS, bench_error()), "drain");
    vg_dlog_appender_close(appender);
    vg_dlog_close(log);
    if (failed > 0) {
        fprintf(stderr, "bench_log: %zu records did not become durable\n", failed);
        return VG_EXIT_FAIL;
    }
    return VG_EXIT_OK;
}

/* ---- devices ---- */

int bench_devices(const char *url, const char *kek, size_t count, const char *file)
{
    struct vg_error *err = bench_error();
    struct vg_keys_conf conf = {.kek_file_old = ""};
    struct vg_keys *keys = NULL;
    struct vg_device *d = vg_device_new();
    char *json = malloc(VG_DEVICE_JSON_MAX), hex[2 * VG_PSK_BYTES + 1], pattern[40];
    const int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "a");
    if (d == NULL || json == NULL || out == NULL || count == 0 ||
        !vg_str_copy(kek, conf.kek_file, sizeof(conf.kek_file))) {
        bench_must(vg_fail(err, VG_E_INVALID, "%s", file), "devices");
        return VG_EXIT_FAIL;
    }
    bench_must(vg_keys_open(&conf, &keys, err), "keys");
    struct vg_dlog *log = bench_open(url);
    bench_must(vg_dlog_appender_open(log, &appender, err), "appender");
    for (size_t i = 0; i < count; i++) {
        uint8_t psk[VG_PSK_BYTES];
        size_t len = 0;
        memset(d, 0, sizeof(*d));
        (void)snprintf(d->name, sizeof(d->name), "d%zu", i);
        (void)snprintf(pattern, sizeof(pattern), "d%zu.*", i);
        for (size_t n = 0; n < sizeof(psk); n++) { /* the keys of a benchmark are no secret */
            psk[n] = (uint8_t)(i >> (n % 4 * 8) ^ n * 37);
        }
        d->version = 1;
        d->state = VG_DEVICE_ACTIVE;
        bench_must(vg_device_add_pattern(d, vg_span_str(pattern), err), "pattern");
        bench_must(vg_keys_seal(keys, d->name, d->version, psk, &d->credential, err), "seal");
        bench_must(vg_device_encode(d, json, VG_DEVICE_JSON_MAX, &len, err), "encode");
        append(VG_TOPIC_DEVICES, -1, d->name, vg_span(json, len));
        vg_hex(psk, sizeof(psk), hex);
        fprintf(out, "%s %s\n", d->name, hex);
    }
    vg_keys_close(keys);
    free(json);
    free(d);
    return fclose(out) == 0 ? finish(log) : VG_EXIT_FAIL;
}

/* ---- fill ---- */

/* Steele, Lea, Flood: SplitMix64; the same rows on every machine. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

static void beat(int32_t partitions, int64_t at_ms)
{
    const struct vg_heartbeat b = {.instance = "fill", .time_ms = at_ms, .received_ms = at_ms};
    char value[VG_RECORD_MAX];
    size_t len = 0;
    bench_must(vg_heartbeat_encode(&b, value, sizeof(value), &len), "heartbeat");
    for (int32_t p = 0; p < partitions; p++) {
        append(VG_TOPIC_READINGS, p, b.instance, vg_span(value, len));
    }
}

/* Of eight that are not normal: two motions, three of smoke, two of temperature, one OK. */
static void make(struct vg_reading *r, uint64_t random, bool normal)
{
    const unsigned kind = normal ? 8 : (unsigned)(random >> 40 & 7);
    r->lane = normal ? VG_LANE_ROUTINE : VG_LANE_URGENT;
    r->has = VG_HAS_QUANTITIES;
    r->motion = kind < 2;
    r->smoke = kind >= 2 && kind < 5;
    r->max_temperature = 30;
    r->temperature = (kind == 5 || kind == 6) ? 60.5 : 20.0 + (double)(random >> 50 & 63) / 10;
    if (kind == 7) {
        r->has = VG_HAS_OK;
    }
}

int bench_fill(const char *url, size_t rows, size_t sensors, size_t permille)
{
    static struct vg_reading r;
    static uint64_t seq[DEVICES][2];
    struct vg_error *err = bench_error();
    char value[VG_RECORD_MAX];
    int32_t partitions = 0;
    struct timespec now;
    size_t len = 0;
    if (rows == 0 || sensors == 0 || permille > 1000) {
        fprintf(stderr, "bench_log: fill: at least one row and sensor, at most 1000 permille\n");
        return VG_EXIT_USAGE;
    }
    struct vg_dlog *log = bench_open(url);
    bench_must(vg_dlog_appender_open(log, &appender, err), "appender");
    bench_must(vg_dlog_partitions(log, VG_TOPIC_READINGS, &partitions, err), "partitions");
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t end_ms = (int64_t)now.tv_sec * 1000;
    const int64_t begin_ms = end_ms - (int64_t)(rows * 1000 / ROWS_PER_S);
    r.store = 0x62656e6368ULL;
    for (size_t i = 0; i < rows; i++) {
        const uint64_t random = mix(i);
        const size_t sensor = (size_t)(random % sensors), device = sensor % DEVICES;
        const bool normal = (random >> 20) % 1000 >= permille;
        if (i % (10 * ROWS_PER_S) == 0) {
            beat(partitions, begin_ms + (int64_t)(i * 1000 / ROWS_PER_S));
        }
        make(&r, random, normal);
        (void)snprintf(r.device, sizeof(r.device), "f%zu", device);
        (void)snprintf(r.sensor, sizeof(r.sensor), "f%zu.%zu", device, sensor / DEVICES);
        r.seq = ++seq[device][normal];
        r.received_ms = begin_ms + (int64_t)(i * 1000 / ROWS_PER_S);
        r.time_ms = r.received_ms - 5;
        bench_must(vg_record_encode(&r, value, sizeof(value), &len), "encode");
        append(VG_TOPIC_READINGS, -1, r.sensor, vg_span(value, len));
        if (i % 256 == 0) {
            bench_must(vg_dlog_appender_dispatch(appender, err), "dispatch");
        }
    }
    return finish(log);
}
