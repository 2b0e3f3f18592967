#include "fleet.h"

#include "vigia/file.h"
#include "vigia/log.h"
#include "vigia/program.h"
#include "vigia/random.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#define TICK_MS         2
#define CREDENTIALS_MAX (4u << 20)
#define NAME_MAX_BYTES  40 /* leaves room for the sensor's number */

struct fleet;

/* What a device has in one lane. */
struct stream {
    bool asked, told;
    int64_t next_due_ns;                       /* of its next batch, on the monotonic clock */
    struct vg_boot due[VGI_FLEET_WAITING_MAX]; /* ring: reading `seq` fell due at due[seq % MAX] */
    uint64_t made, handed, settled; /* sequence numbers of the lane begin at 1: seq = made */
};

struct device {
    struct fleet *fleet;
    struct vg_uplink *uplink;
    char name[NAME_MAX_BYTES + 1];
    struct stream streams[VG_UPLINK_LANES];
};

enum phase { CONNECTING, LOADING, WAITING, OVER };

struct fleet {
    struct vgi_fleet_conf *conf;
    struct vg_loop *loop;
    const struct vg_clock *clock;
    struct vg_uplink_net *net;
    struct vg_uplink_options options;
    enum vg_uplink_lane first, last; /* the lanes in use */
    vg_timer_id tick;
    struct device *devices;
    size_t count, begun;
    size_t load_sessions; /* that were there when the load began */
    uint64_t store;
    enum phase phase;
    struct vg_mono phase_end, began, load_began;
    uint64_t missed, quarantined, parked;
    struct vgi_tally tally;
    struct vg_uplink_row rows[VG_UPLINK_BATCH_MAX];
};

static void fetch(void *arg, enum vg_uplink_lane lane, size_t max)
{
    (void)max;
    struct device *d = arg;
    struct stream *st = &d->streams[lane];
    if (lane >= d->fleet->first && lane <= d->fleet->last) {
        st->asked = true;
        st->told = false;
        if (st->made > st->handed) {
            vg_loop_timer_in_ms(d->fleet->loop, d->fleet->tick, 0);
        }
    }
}

static void settle(void *arg, enum vg_uplink_lane lane, const struct vg_uplink_outcome *outcomes,
                   size_t count)
{
    struct device *d = arg;
    struct fleet *f = d->fleet;
    struct stream *st = &d->streams[lane];
    struct vg_boot now = vg_now_boot(f->clock);
    for (size_t i = 0; i < count; i++) {
        switch (outcomes[i].fate) {
        case VG_UPLINK_DONE:
            vgi_tally_add(&f->tally,
                          (now.ns - st->due[outcomes[i].seq % VGI_FLEET_WAITING_MAX].ns) / 1000);
            break;
        case VG_UPLINK_QUARANTINED:
            f->quarantined++;
            break;
        case VG_UPLINK_PARKED:
            f->parked++;
            break;
        }
        st->settled++;
    }
}

static bool synced(void *arg)
{
    (void)arg;
    return true; /* emulated devices believe the clock of this machine */
}

static void make_reading(const struct device *d, enum vg_uplink_lane lane, uint64_t seq,
                         struct vg_uplink_row *row)
{
    const struct vgi_fleet_conf *conf = d->fleet->conf;
    struct vg_reading *r = &row->reading;
    *row = (struct vg_uplink_row){.booted = true,
                                  .taken = d->streams[lane].due[seq % VGI_FLEET_WAITING_MAX]};
    int len = snprintf(r->sensor, sizeof r->sensor, "%s.%u", d->name,
                       (unsigned)(seq % (uint64_t)conf->sensors));
    assert(len > 0 && (size_t)len < sizeof r->sensor);
    (void)len;
    r->store = d->fleet->store;
    r->seq = seq;
    r->lane = lane == VG_UPLINK_URGENT ? VG_LANE_URGENT : VG_LANE_ROUTINE;
    r->has = VG_HAS_SMOKE | VG_HAS_TEMPERATURE | VG_HAS_MAX_TEMPERATURE;
    r->smoke = conf->active;
    r->temperature = 20.0 + (double)(seq % 50) / 10;
    r->max_temperature = 30.0;
    /* Two readings of one sensor in one pack need two times. */
    row->taken.ns -= (int64_t)(VG_UPLINK_BATCH_MAX - seq % VG_UPLINK_BATCH_MAX) * VG_NS_PER_MS;
}

/* Between two batches of one lane of one device. */
static int64_t every_ns(const struct fleet *f)
{
    return (int64_t)((double)(f->conf->batch * f->conf->lanes) * (double)f->count * 1e9 /
                     (double)f->conf->rate);
}

static void fall_due(struct fleet *f, struct stream *st, struct vg_mono now)
{
    int64_t every = every_ns(f);
    while (st->next_due_ns <= now.ns) {
        struct vg_boot due = {vg_now_boot(f->clock).ns - (now.ns - st->next_due_ns)};
        for (int64_t i = 0; i < f->conf->batch; i++) {
            if (st->made - st->settled >= VGI_FLEET_WAITING_MAX) {
                f->missed++;
                continue;
            }
            st->made++;
            st->due[st->made % VGI_FLEET_WAITING_MAX] = due;
        }
        st->next_due_ns += every;
    }
}

static void hand_over(struct fleet *f, struct device *d, enum vg_uplink_lane lane)
{
    struct stream *st = &d->streams[lane];
    if (st->handed == st->made) {
        return;
    }
    if (!st->asked) {
        if (!st->told) {
            st->told = true; /* it asks when its window is empty, which may be at once */
            vg_uplink_notify(d->uplink, lane);
        }
        return;
    }
    size_t n = 0;
    while (n < (size_t)f->conf->batch && st->handed < st->made) {
        make_reading(d, lane, ++st->handed, &f->rows[n++]);
    }
    st->asked = false;
    vg_uplink_rows(d->uplink, lane, f->rows, n);
}

static size_t sessions(const struct fleet *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->count; i++) {
        n += vg_uplink_stats(f->devices[i].uplink)->up;
    }
    return n;
}

static void report(struct fleet *f)
{
    struct vg_uplink_stats sum = {0};
    uint64_t made = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct vg_uplink_stats *s = vg_uplink_stats(f->devices[i].uplink);
        sum.requests += s->requests;
        sum.rows_sent += s->rows_sent;
        sum.rows_done += s->rows_done;
        sum.handshakes += s->handshakes;
        sum.connected += s->connected;
        sum.sessions_lost += s->sessions_lost;
        sum.answers_wait += s->answers_wait;
        sum.answers_refused += s->answers_refused;
        for (size_t l = f->first; l <= f->last; l++) {
            made += f->devices[i].streams[l].made;
        }
    }
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    double load_s = (double)vg_mono_diff_ms(vg_now_mono(f->clock), f->load_began) / 1000;
    printf("{\"devices\":%zu,\"sessions_at_start\":%zu,\"sessions\":%zu,\"seconds\":%.3f,"
           "\"readings\":%llu,\"sent\":%llu,"
           "\"acknowledged\":%llu,"
           "\"quarantined\":%llu,\"parked\":%llu,\"missed\":%llu,\"requests\":%llu,\"refused\":%"
           "llu,\"told_to_wait\":%llu,"
           "\"handshakes\":%llu,\"sessions_lost\":%llu,\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%"
           ".1f,\"cpu_s\":%.3f}\n",
           f->count, f->load_sessions, sessions(f), load_s, (unsigned long long)made,
           (unsigned long long)sum.rows_sent, (unsigned long long)sum.rows_done,
           (unsigned long long)f->quarantined, (unsigned long long)f->parked,
           (unsigned long long)f->missed, (unsigned long long)sum.requests,
           (unsigned long long)sum.answers_refused, (unsigned long long)sum.answers_wait,
           (unsigned long long)sum.handshakes, (unsigned long long)sum.sessions_lost,
           vgi_tally_quantile_ms(&f->tally, 0.5), vgi_tally_quantile_ms(&f->tally, 0.99),
           (double)f->tally.max_us / 1000, cpu);
    (void)fflush(stdout);
    bool whole = sum.rows_done == made && f->missed == 0;
    vg_program_fail(whole ? VG_EXIT_OK : VG_EXIT_FAIL);
}

static void enter(struct fleet *f, enum phase phase, struct vg_mono end)
{
    f->phase = phase;
    f->phase_end = end;
}

/* Only what went wrong: of thousands of devices, each success would be a line. */
static void event(void *arg, enum vg_uplink_event what, size_t collector, int64_t detail)
{
    struct device *d = arg;
    char at[VG_ENDPOINT_TEXT_MAX];
    if (what == VG_UPLINK_EV_LOST) {
        vg_endpoint_format(&d->fleet->options.collectors[collector], at);
        struct vg_error why = {0};
        if (vg_uplink_lost_unresolved(detail)) {
            (void)vg_fail(&why, VG_E_NOTFOUND, "fleet.collectors: does not resolve");
            vg_program_locate(&why);
        }
        vg_log_warn(
            "uplink-lost", "collector=%s reason=%s%s%s", VG_Q(at), vg_uplink_lost_name(detail),
            why.text[0] == '\0' ? "" : " error=", why.text[0] == '\0' ? "" : VG_Q(why.text));
    }
}

static bool all_settled(const struct fleet *f)
{
    for (size_t i = 0; i < f->count; i++) {
        for (size_t l = f->first; l <= f->last; l++) {
            const struct stream *st = &f->devices[i].streams[l];
            if (st->settled != st->made) {
                return false;
            }
        }
    }
    return true;
}

static void connect_some(struct fleet *f, struct vg_mono now)
{
    int64_t may = vg_mono_diff_ms(now, f->began) * f->conf->ramp / 1000 + 1;
    while (f->begun < f->count && (int64_t)f->begun < may) {
        vg_uplink_start(f->devices[f->begun++].uplink);
    }
    bool late = vg_mono_diff_ms(now, f->phase_end) >= 0;
    if (!late && (f->begun < f->count || sessions(f) < f->count)) {
        return;
    }
    f->load_began = now;
    f->load_sessions = sessions(f);
    vg_log_info("load-begins", "devices=%zu sessions=%zu", f->count, f->load_sessions);
    const int64_t streams = (int64_t)f->count * f->conf->lanes;
    for (int64_t i = 0; i < streams; i++) {
        /* Spread over one period, so that the devices do not speak in chorus. */
        struct device *d = &f->devices[i % (int64_t)f->count];
        d->streams[f->first + (size_t)(i / (int64_t)f->count)].next_due_ns =
            now.ns + every_ns(f) * i / streams;
    }
    enter(f, LOADING, vg_mono_add_ms(now, f->conf->duration_ms));
}

static void on_tick(void *arg)
{
    struct fleet *f = arg;
    struct vg_mono now = vg_now_mono(f->clock);
    bool over = vg_mono_diff_ms(now, f->phase_end) >= 0;
    switch (f->phase) {
    case CONNECTING:
        connect_some(f, now);
        break;
    case LOADING:
    case WAITING:
        for (size_t i = 0; i < f->count; i++) {
            for (size_t l = f->first; l <= f->last; l++) {
                if (f->phase == LOADING) {
                    fall_due(f, &f->devices[i].streams[l], now);
                }
                hand_over(f, &f->devices[i], (enum vg_uplink_lane)l);
            }
        }
        if (f->phase == LOADING && over) {
            enter(f, WAITING, vg_mono_add_ms(now, f->conf->grace_ms));
        } else if (f->phase == WAITING && (over || all_settled(f))) {
            enter(f, OVER, now);
            report(f);
            return;
        }
        break;
    case OVER:
        return;
    }
    vg_loop_timer_in_ms(f->loop, f->tick, TICK_MS);
}

static enum vg_err open_device(struct fleet *f, struct vg_span name, struct vg_span key,
                               size_t line, struct vg_error *err)
{
    struct device *d = &f->devices[f->count];
    struct vg_uplink_options *o = &f->options;
    o->psk_len = key.len / 2;
    if (!vg_sensor_id_valid(name) || !vg_span_copy(name, d->name, sizeof d->name) ||
        key.len % 2 != 0 || o->psk_len < VG_UPLINK_PSK_MIN || o->psk_len > VG_UPLINK_PSK_MAX ||
        !vg_unhex(key, o->psk, o->psk_len)) {
        return vg_fail(err, VG_E_INVALID,
                       "%s:%zu: accepted: a device's name of at most 40 bytes, a blank and its key "
                       "of 32 to 64 hexadecimal digits",
                       f->conf->credentials, line);
    }
    (void)vg_span_copy(name, o->identity, sizeof o->identity);
    o->seed = f->store ^ (f->count * 0x9e3779b97f4a7c15ULL);
    d->fleet = f;
    const struct vg_uplink_feed feed = {
        .fetch = fetch, .settle = settle, .event = event, .synced = synced, .arg = d};
    enum vg_err e = vg_uplink_open(f->net, o, &feed, &d->uplink, err);
    explicit_bzero(o->psk, sizeof o->psk);
    f->count += e == VG_OK;
    return e;
}

static enum vg_err open_devices(struct fleet *f, const char *text, size_t len, struct vg_error *err)
{
    size_t most = f->conf->devices > 0 ? (size_t)f->conf->devices : VGI_FLEET_DEVICES_MAX;
    enum vg_err e = VG_OK;
    for (size_t at = 0, line = 1; at < len && f->count < most && e == VG_OK; line++) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t width = end == NULL ? len - at : (size_t)(end - (text + at));
        const char *blank = memchr(text + at, ' ', width);
        if (width > 0) {
            size_t name = blank == NULL ? width : (size_t)(blank - (text + at));
            size_t key = blank == NULL ? 0 : width - name - 1;
            e = open_device(f, vg_span(text + at, name), vg_span(text + at + width - key, key),
                            line, err);
        }
        at += width + 1;
    }
    if (e == VG_OK && (f->count == 0 || f->count < (size_t)f->conf->devices)) {
        e = vg_fail(err, VG_E_RANGE, "%s: %zu devices found, accepted: at least %lld",
                    f->conf->credentials, f->count,
                    (long long)(f->conf->devices > 0 ? f->conf->devices : 1));
    }
    return e;
}

static enum vg_err read_credentials(struct fleet *f, struct vg_error *err)
{
    char *text = malloc(CREDENTIALS_MAX);
    if (text == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the credentials");
    }
    size_t len = 0;
    enum vg_err e = vg_secret_file_read(f->conf->credentials, text, CREDENTIALS_MAX, &len, err);
    if (e == VG_OK) {
        e = open_devices(f, text, len, err);
        explicit_bzero(text, len);
    }
    free(text);
    return e == VG_OK ? VG_OK
                      : vg_err_blame_value(err, e, "fleet.credentials", f->conf->credentials);
}

/* One socket per device. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum vg_err set_options(struct fleet *f, struct vg_error *err)
{
    struct vg_uplink_options *o = &f->options;
    vg_uplink_options_init(o);
    o->batch_rows = (size_t)f->conf->batch;
    o->parked_sensors = 4;
    o->cid = f->conf->cid;
    enum vg_err e = vg_random_bytes(&f->store, sizeof f->store);
    if (e != VG_OK) {
        return vg_fail(err, e, "the kernel gives no random numbers");
    }
    return vg_endpoint_list_parse(f->conf->collectors, VG_COAPS_PORT, o->collectors,
                                  VG_UPLINK_COLLECTORS_MAX, &o->collector_count, err);
}

enum vg_err vgi_fleet_start(struct vg_loop *loop, void *conf, void **state, struct vg_error *err)
{
    struct fleet *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the fleet");
    }
    f->conf = conf;
    f->loop = loop;
    f->clock = vg_loop_clock(loop);
    f->first = f->conf->active || f->conf->lanes == 2 ? VG_UPLINK_URGENT : VG_UPLINK_ROUTINE;
    f->last = f->conf->lanes == 2 ? VG_UPLINK_ROUTINE : f->first;
    static_assert(VG_UPLINK_URGENT < VG_UPLINK_ROUTINE, "the lanes in use are a range");
    size_t most = f->conf->devices > 0 ? (size_t)f->conf->devices : VGI_FLEET_DEVICES_MAX;
    raise_descriptor_limit();
    f->devices = calloc(most, sizeof *f->devices);
    enum vg_err e = f->devices == NULL || vgi_tally_init(&f->tally) != VG_OK
                        ? vg_fail(err, VG_E_NOMEM, "no memory for %zu devices", most)
                        : set_options(f, err);
    if (e == VG_OK) {
        e = vg_uplink_net_new(loop, most, &f->net, err);
    }
    if (e == VG_OK) {
        e = read_credentials(f, err);
    }
    if (e == VG_OK && vg_loop_timer(loop, on_tick, f, &f->tick) != VG_OK) {
        e = vg_fail(err, VG_E_FULL, "the loop takes no more timers");
    }
    if (e != VG_OK) {
        vgi_fleet_stop(f);
        return e;
    }
    f->began = vg_now_mono(f->clock);
    enter(f, CONNECTING, vg_mono_add_ms(f->began, f->conf->grace_ms));
    vg_loop_timer_in_ms(loop, f->tick, 0);
    *state = f;
    return VG_OK;
}

/* An end before its time: what is known is reported. */
void vgi_fleet_drain(void *state)
{
    struct fleet *f = state;
    if (f->phase != OVER) {
        enter(f, OVER, vg_now_mono(f->clock));
        report(f);
    }
}

void vgi_fleet_stop(void *state)
{
    struct fleet *f = state;
    vg_loop_timer_remove(f->loop, f->tick);
    for (size_t i = 0; i < f->count; i++) {
        vg_uplink_close(f->devices[i].uplink);
    }
    vg_uplink_net_free(f->net);
    vgi_tally_done(&f->tally);
    free(f->devices);
    free(f);
}
