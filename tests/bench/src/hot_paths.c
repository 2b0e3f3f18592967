/* hot_paths PATH ROUNDS: one pure hot path, again and again, for an instruction counter.
 *
 *   pack-1 pack-10          the agent's side: readings into a SenML-CBOR pack
 *   decode-1 decode-10      a pack of 1 or 10 readings into a batch
 *   encode                  a reading into a record of the topic
 *   record                  such a record into a reading
 *   rules-100 rules-10000   a normal reading through the engine that knows 100 or 10,000 sensors
 *   active                  the first active reading of a sensor through it
 *
 * A round is 10 readings, whatever the path. What the process does before its rounds costs the same for every
 * number of rounds: count two runs and divide the difference. */
#include "vigia/alarm_engine.h"
#include "vigia/record.h"
#include "vigia/senml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND   10
#define NOW_MS  1800000000000LL
#define SENSORS 10000

static struct vg_reading readings[ROUND];
static struct vg_batch *batch;
static char packs[ROUND][VG_BODY_MAX];
static struct vg_span bodies[ROUND]; /* one reading each; bodies[0] has all where `many` */
static char records[ROUND][VG_RECORD_MAX];
static size_t record_len[ROUND];
static struct vg_alarm_engine *engine;
static uint64_t events;

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "hot_paths: %s failed\n", what);
        exit(VG_EXIT_FAIL);
    }
}

static void make_readings(void)
{
    for (size_t i = 0; i < ROUND; i++) {
        struct vg_reading *r = &readings[i];
        (void)snprintf(r->sensor, sizeof(r->sensor), "d3.%zu", i % 4);
        (void)snprintf(r->device, sizeof(r->device), "d3");
        r->store = 0x9f3c1b22a0d47e15ULL;
        r->lane = VG_LANE_ROUTINE;
        r->seq = 1000 + i;
        r->time_ms = NOW_MS - 1000 + (int64_t)i;
        r->received_ms = NOW_MS;
        r->has = VG_HAS_SMOKE | VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE;
        r->temperature = 20.0 + (double)i / 10;
        r->max_temperature = 30.0;
    }
}

/* Packs reading `first` and the `count - 1` after it. */
static void pack(size_t first, size_t count)
{
    struct vg_pack p;
    vg_pack_init(&p, VG_FORMAT_SENML_CBOR, packs[first], VG_BODY_MAX);
    for (size_t i = first; i < first + count; i++) {
        must(vg_pack_add(&p, &readings[i], VG_PACK_ABSOLUTE, NULL) == VG_OK, "pack");
    }
    bodies[first] = vg_pack_finish(&p);
}

static void decode(size_t first, size_t count)
{
    const struct vg_identity id = {
        .store = readings[0].store, .seq = 1000, .lane = VG_LANE_ROUTINE};
    must(vg_batch_decode(VG_FORMAT_SENML_CBOR, bodies[first], (struct vg_wall){NOW_MS}, batch,
                         NULL) == VG_OK &&
             batch->count == count,
         "decode");
    vg_batch_identify(batch, "d3", &id);
}

static void encode(size_t i)
{
    must(vg_record_encode(&readings[i], records[i], sizeof(records[i]), &record_len[i]) == VG_OK,
         "encode");
}

static void read_record(size_t i)
{
    static struct vg_reading r;
    struct vg_heartbeat beat;
    enum vg_record_kind kind;
    must(vg_record_decode(vg_span(records[i], record_len[i]), &kind, &r, &beat, NULL) == VG_OK,
         "record");
}

static void on_event(void *arg, const struct vg_alarm_event *event)
{
    (void)arg;
    (void)event;
    events++;
}

static int64_t on_period(void *arg, const char *device, const char *sensor)
{
    (void)arg;
    (void)device;
    (void)sensor;
    return 60000;
}

/* Each call is a later reading of a sensor chosen by a fixed sequence. */
static void apply(size_t sensors, bool active)
{
    static uint64_t n;
    static struct vg_reading r;
    n++;
    r = readings[n % ROUND];
    (void)snprintf(r.sensor, sizeof(r.sensor), "d3.%zu", (size_t)(n * 7919 % sensors));
    r.seq = n;
    r.smoke = active;
    r.lane = active ? VG_LANE_URGENT : VG_LANE_ROUTINE;
    r.time_ms = r.received_ms = NOW_MS + (int64_t)(n / 10);
    vg_alarm_engine_advance(engine, r.received_ms, SIZE_MAX);
    vg_alarm_engine_reading(engine, &r);
}

static void start_engine(void)
{
    static struct vg_rules_conf rules;
    vg_rules_conf_default(&rules);
    rules.supervision = false;
    const struct vg_alarm_engine_options options = {.conf = &rules,
                                                    .max_sensors = 2 * SENSORS,
                                                    .seed = 7,
                                                    .event = on_event,
                                                    .period = on_period};
    must(vg_alarm_engine_new(&options, &engine) == VG_OK, "engine");
    vg_alarm_engine_restored(engine);
    for (size_t i = 0; i < 2 * SENSORS; i++) {
        apply(SENSORS, false);
    }
}

static void pack_each(void)
{
    for (size_t i = 0; i < ROUND; i++) {
        pack(i, 1);
    }
}
static void pack_all(void)
{
    pack(0, ROUND);
}
static void decode_each(void)
{
    for (size_t i = 0; i < ROUND; i++) {
        decode(i, 1);
    }
}
static void decode_all(void)
{
    decode(0, ROUND);
}
static void encode_each(void)
{
    for (size_t i = 0; i < ROUND; i++) {
        encode(i);
    }
}
static void record_each(void)
{
    for (size_t i = 0; i < ROUND; i++) {
        read_record(i);
    }
}
static void rules_few(void)
{
    for (size_t i = 0; i < ROUND; i++) {
        apply(100, false);
    }
}
static void rules_many(void)
{
    for (size_t i = 0; i < ROUND; i++) {
        apply(SENSORS, false);
    }
}
static void rules_active(void)
{
    for (size_t i = 0; i < ROUND; i++) {
        apply(SENSORS, true);
    }
}

static const struct {
    const char *name;
    void (*before)(void), (*round)(void);
} paths[] = {
    {"pack-1", NULL, pack_each},
    {"pack-10", NULL, pack_all},
    {"decode-1", pack_each, decode_each},
    {"decode-10", pack_all, decode_all},
    {"encode", NULL, encode_each},
    {"record", encode_each, record_each},
    {"rules-100", start_engine, rules_few},
    {"rules-10000", start_engine, rules_many},
    {"active", start_engine, rules_active},
};

int main(int argc, char **argv)
{
    const unsigned long rounds = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    for (size_t i = 0; rounds > 0 && i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strcmp(argv[1], paths[i].name) == 0) {
            batch = malloc(sizeof(*batch));
            must(batch != NULL, "memory");
            make_readings();
            if (paths[i].before != NULL) {
                paths[i].before();
            }
            for (unsigned long n = 0; n < rounds; n++) {
                paths[i].round();
            }
            vg_alarm_engine_free(engine);
            free(batch);
            return VG_EXIT_OK;
        }
    }
    fprintf(stderr, "usage: hot_paths PATH ROUNDS; there are:");
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        fprintf(stderr, " %s", paths[i].name);
    }
    fprintf(stderr, "\n");
    return VG_EXIT_USAGE;
}
