/* vigia_sim: runs seeds, each in a child process of its own, and says what went wrong. */
#include "judge.h"

#include "coap_sim.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64

static const char usage[] =
    "usage: vigia_sim [options]\n"
    "Agents, collectors, log and alarm processor in one process, over virtual time, a simulated\n"
    "network and simulated disks, from one seed.\n"
    "  --seed N        the first seed (default 1)\n"
    "  --seeds N       how many (default 1)\n"
    "  --jobs N        so many at a time (default 1)\n"
    "  --hours H       virtual hours with faults (default 30)\n"
    "  --devices N     devices, 1 to 200 (default 3)\n"
    "  --collectors N  1 or 2 (default 2)\n"
    "  --loss P        share of datagrams lost, each way (default 0.5)\n"
    "  --duplicate P   share of datagrams that come twice (default 0.2)\n"
    "  --reorder P     share of datagrams that come late (default 0.3)\n"
    "  --calm          no faults but the network's\n"
    "  --defect NAME   put in a defect that has to be found: lying-disk any-answer no-dedup\n"
    "                  renumber swap forget-state wrong-clock early-ack lying-card lost-row\n"
    "                  long-group late-alarm wrong-event\n"
    "  --trace         print every event\n"
    "  --export DIR    leave ledger, readings, alarms, kills and kept rows of each seed in a "
    "folder\n"
    "                  there, for tests/checker\n"
    "  --lines         print how often the programs wrote each log line\n"
    "  --json          one JSON object per seed and one for all, instead of text\n"
    "Exit: 0 all seeds are clean, 1 something is wrong, 2 usage, 3 the simulation itself failed.\n";

struct figures { /* what a child tells */
    struct sim_verdict verdict;
    uint64_t hash, kills, power_cuts, stops, outages, clock_steps, log_faults, rebinds,
        failed_starts;
    struct sim_net_count net;
    struct sim_coap_count coap;
    double device_hours, wall_s;
};

struct run {
    struct sim_options options;
    uint64_t seeds;
    int jobs;
    bool trace, json, lines;
};

struct total {
    uint64_t done, failed, said, stored, excused, again, raised, alarms, kills, power_cuts;
    uint64_t wrong[SIM_WRONG_COUNT];
    double device_hours;
};

struct child {
    pid_t pid;
    int from;
    uint64_t seed;
};

static double wall(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool clean(const struct figures *f)
{
    for (int i = 0; i < SIM_WRONG_COUNT; i++) {
        if (f->verdict.wrong[i] > 0) {
            return false;
        }
    }
    return f->verdict.stored > 0;
}

/* ---- one seed ---- */

static void one_seed(const struct run *run, uint64_t seed, int to)
{
    struct figures f;
    struct sim_options options = run->options;
    double begun = wall();
    memset(&f, 0, sizeof f);
    options.seed = seed;
    char folder[256];
    if (options.export_folder != NULL) {
        (void)snprintf(folder, sizeof folder, "%s/%" PRIu64, options.export_folder, seed);
        options.export_folder = folder;
        if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
            sim_fail("%s: %s", folder, strerror(errno));
        }
    }
    sim_trace_print(run->trace);
    sim_world_run(&options);
    sim_judge(&f.verdict);
    f.hash = sim_trace_hash();
    f.kills = sim_world.kills;
    f.power_cuts = sim_world.power_cuts;
    f.stops = sim_world.stops;
    f.outages = sim_world.outages;
    f.clock_steps = sim_world.clock_steps;
    f.log_faults = sim_world.log_faults;
    f.rebinds = sim_world.rebinds;
    f.failed_starts = sim_world.failed_starts;
    f.net = sim_net_counts();
    f.coap = sim_coap_counts;
    f.device_hours = (double)sim_world.done_ns / (double)SIM_HOUR * options.devices;
    f.wall_s = wall() - begun;
    if (run->lines) {
        sim_lines_print(stderr);
    }
    ssize_t wrote = write(to, &f, sizeof f);
    _exit(wrote == (ssize_t)sizeof f ? 0 : 3);
}

/* ---- telling ---- */

static void reproduce(const struct run *run, uint64_t seed, char *out, size_t size)
{
    const struct sim_options *o = &run->options;
    int n = snprintf(out, size,
                     "vigia_sim --seed %" PRIu64 " --hours %g --devices %d --collectors %d --loss "
                     "%g --duplicate %g --reorder %g%s",
                     seed, o->hours, o->devices, o->collectors, o->loss, o->twice, o->reorder,
                     o->calm ? " --calm" : "");
    if (o->defect != SIM_NO_DEFECT && n > 0 && (size_t)n < size) {
        (void)snprintf(out + n, size - (size_t)n, " --defect %s", sim_defect_name(o->defect));
    }
}

static void tell_json(uint64_t seed, const struct figures *f)
{
    (void)printf("{\"seed\":%" PRIu64 ",\"clean\":%s,\"trace\":\"%016" PRIx64 "\",\"said\":%" PRIu64
                 ",\"stored\":%" PRIu64 ",\"excused\":%" PRIu64 ",\"excused_urgent\":%" PRIu64
                 ",\"repeated\":%" PRIu64 ",\"raised\":%" PRIu64 ",\"alarm_events\":%" PRIu64
                 ",\"kills\":%" PRIu64 ",\"power_cuts\":%" PRIu64 ",\"stops\":%" PRIu64
                 ",\"outages\":%" PRIu64 ",\"clock_steps\":%" PRIu64 ",\"log_faults\":%" PRIu64
                 ",\"rebinds\":%" PRIu64 ",\"failed_starts\":%" PRIu64,
                 seed, clean(f) ? "true" : "false", f->hash, f->verdict.said, f->verdict.stored,
                 f->verdict.excused, f->verdict.excused_urgent, f->verdict.again, f->verdict.raised,
                 f->verdict.alarms, f->kills, f->power_cuts, f->stops, f->outages, f->clock_steps,
                 f->log_faults, f->rebinds, f->failed_starts);
    (void)printf(",\"datagrams\":%" PRIu64 ",\"lost_datagrams\":%" PRIu64 ",\"handshakes\":%" PRIu64
                 ",\"sessions\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"retransmissions\":%" PRIu64,
                 f->net.sent, f->net.lost, f->coap.handshakes, f->coap.established,
                 f->coap.requests, f->coap.retransmissions);
    for (int i = 0; i < SIM_WRONG_COUNT; i++) {
        (void)printf(",\"%s\":%" PRIu64, sim_wrong_name((enum sim_wrong)i), f->verdict.wrong[i]);
    }
    (void)printf(",\"longest_wait_ms\":%" PRId64 ",\"device_hours\":%.2f,\"wall_s\":%.3f}\n",
                 f->verdict.longest_wait_ms, f->device_hours, f->wall_s);
}

static void tell_failure(const struct run *run, uint64_t seed, const struct figures *f)
{
    char command[300];
    reproduce(run, seed, command, sizeof command);
    (void)fprintf(stderr, "vigia_sim: seed %" PRIu64 " failed:", seed);
    for (int i = 0; i < SIM_WRONG_COUNT; i++) {
        if (f->verdict.wrong[i] > 0) {
            (void)fprintf(stderr, " %s %" PRIu64, sim_wrong_name((enum sim_wrong)i),
                          f->verdict.wrong[i]);
        }
    }
    (void)fprintf(stderr, "\n  first: %s\n  again: %s\n",
                  f->verdict.first[0] != '\0' ? f->verdict.first : "nothing was stored", command);
}

static void add(struct total *t, const struct figures *f)
{
    t->done++;
    t->failed += !clean(f);
    t->said += f->verdict.said;
    t->stored += f->verdict.stored;
    t->excused += f->verdict.excused;
    t->again += f->verdict.again;
    t->raised += f->verdict.raised;
    t->alarms += f->verdict.alarms;
    t->kills += f->kills;
    t->power_cuts += f->power_cuts;
    t->device_hours += f->device_hours;
    for (int i = 0; i < SIM_WRONG_COUNT; i++) {
        t->wrong[i] += f->verdict.wrong[i];
    }
}

static void tell_total(const struct run *run, const struct total *t, double seconds)
{
    double per_minute = t->device_hours / seconds * 60.0;
    if (run->json) {
        (void)printf("{\"seeds\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"device_hours\":%.1f"
                     ",\"wall_s\":%.2f,\"device_hours_per_minute\":%.0f}\n",
                     t->done, t->failed, t->device_hours, seconds, per_minute);
        return;
    }
    (void)printf("%" PRIu64 " seeds, %" PRIu64 " failed: %" PRIu64 " readings said, %" PRIu64
                 " stored, %" PRIu64 " lost with an open group, %" PRIu64 " stored again; %" PRIu64
                 " alarms raised, %" PRIu64 " events; %" PRIu64 " kills, %" PRIu64 " power cuts\n",
                 t->done, t->failed, t->said, t->stored, t->excused, t->again, t->raised, t->alarms,
                 t->kills, t->power_cuts);
    for (int i = 0; i < SIM_WRONG_COUNT; i++) {
        (void)printf("%s%s %" PRIu64, i > 0 ? ", " : "", sim_wrong_name((enum sim_wrong)i),
                     t->wrong[i]);
    }
    (void)printf("\n%.0f simulated device-hours in %.1f s: %.0f per minute\n", t->device_hours,
                 seconds, per_minute);
}

/* ---- many seeds ---- */

static bool start_child(const struct run *run, uint64_t seed, struct child *c)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return false;
    }
    (void)fflush(NULL);
    c->seed = seed;
    const pid_t parent = getpid();
    c->pid = fork();
    if (c->pid == 0) {
        /* Nobody waits for a seed whose parent is gone. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
            _exit(3);
        }
        (void)close(ends[0]);
        one_seed(run, seed, ends[1]);
    }
    (void)close(ends[1]);
    c->from = ends[0];
    return c->pid > 0;
}

static void end_child(const struct run *run, struct child *c, struct total *t)
{
    struct figures f;
    size_t got = 0;
    int status = 0;
    memset(&f, 0, sizeof f);
    for (ssize_t n = 1; got < sizeof f && n > 0; got += (size_t)(n > 0 ? n : 0)) {
        n = read(c->from, (char *)&f + got, sizeof f - got);
    }
    (void)close(c->from);
    (void)waitpid(c->pid, &status, 0);
    c->pid = 0;
    if (got != sizeof f) {
        memset(&f, 0, sizeof f);
        f.verdict.wrong[SIM_BROKEN] = 1;
        (void)snprintf(f.verdict.first, sizeof f.verdict.first, "the run ended with %s %d",
                       WIFSIGNALED(status) ? "signal" : "code",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    add(t, &f);
    if (run->json) {
        tell_json(c->seed, &f);
        (void)fflush(stdout);
    }
    if (!clean(&f)) {
        tell_failure(run, c->seed, &f);
    }
}

static int run_all(const struct run *run) __attribute__((unused));
static int run_all(const struct run *run)
{
    struct child children[JOBS_MAX];
    struct total t;
    double begun = wall();
    memset(&t, 0, sizeof t);
    memset(children, 0, sizeof children);
    /* In the order of the seeds, so that the output is the same each time. */
    for (uint64_t i = 0; i < run->seeds + (uint64_t)run->jobs; i++) {
        struct child *c = &children[i % (uint64_t)run->jobs];
        if (c->pid > 0) {
            end_child(run, c, &t);
        }
        if (i < run->seeds && !start_child(run, run->options.seed + i, c)) {
            (void)fprintf(stderr, "vigia_sim: no process: %s\n", strerror(errno));
            return 3;
        }
    }
    tell_total(run, &t, wall() - begun);
    return t.failed > 0 || t.done == 0;
}

/* ---- arguments ---- */

static bool parse_number(const char *text, double low, double high, double *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && end != text && *end == '\0' && *out >= low && *out <= high;
}

static bool parse_defect(const char *text, enum sim_defect *out)
{
    for (int i = 0; i < SIM_DEFECT_COUNT; i++) {
        if (strcmp(sim_defect_name((enum sim_defect)i), text) == 0) {
            *out = (enum sim_defect)i;
            return true;
        }
    }
    return false;
}

enum choice {
    SEED,
    SEEDS,
    JOBS,
    HOURS,
    DEVICES,
    COLLECTORS,
    LOSS,
    DUPLICATE,
    REORDER,
    DEFECT,
    EXPORT,
    CALM,
    TRACE,
    JSON,
    LINES,
    HELP
};

static bool take(struct run *run, int option, const char *text)
{
    double n = 0;
    bool good = true;
    switch ((enum choice)option) {
    case SEED:
        good = parse_number(text, 0, 9e15, &n);
        run->options.seed = (uint64_t)n;
        break;
    case SEEDS:
        good = parse_number(text, 1, 1e9, &n);
        run->seeds = (uint64_t)n;
        break;
    case JOBS:
        good = parse_number(text, 1, JOBS_MAX, &n);
        run->jobs = (int)n;
        break;
    case HOURS:
        good = parse_number(text, 0.01, 10000, &run->options.hours);
        break;
    case DEVICES:
        good = parse_number(text, 1, SIM_DEVICES_MAX, &n);
        run->options.devices = (int)n;
        break;
    case COLLECTORS:
        good = parse_number(text, 1, SIM_COLLECTORS_MAX, &n);
        run->options.collectors = (int)n;
        break;
    case LOSS:
        good = parse_number(text, 0, 0.9, &run->options.loss);
        break;
    case DUPLICATE:
        good = parse_number(text, 0, 1, &run->options.twice);
        break;
    case REORDER:
        good = parse_number(text, 0, 1, &run->options.reorder);
        break;
    case DEFECT:
        good = parse_defect(text, &run->options.defect);
        break;
    case EXPORT:
        run->options.export_folder = text;
        break;
    case CALM:
        run->options.calm = true;
        break;
    case TRACE:
        run->trace = true;
        break;
    case JSON:
        run->json = true;
        break;
    case LINES:
        run->lines = true;
        break;
    case HELP:
        break;
    }
    return good;
}

int main(int argc, char **argv)
{
    static const struct option_name {
        const char *name;
        int has;
    } given[] = {{"seed", 1},    {"seeds", 1},      {"jobs", 1},   {"hours", 1},
                 {"devices", 1}, {"collectors", 1}, {"loss", 1},   {"duplicate", 1},
                 {"reorder", 1}, {"defect", 1},     {"export", 1}, {"calm", 0},
                 {"trace", 0},   {"json", 0},       {"lines", 0},  {"help", 0}};
    struct option options[sizeof given / sizeof given[0] + 1];
    struct run run = {.options = {.seed = 1,
                                  .hours = 30,
                                  .devices = 3,
                                  .collectors = 2,
                                  .loss = 0.5,
                                  .twice = 0.2,
                                  .reorder = 0.3},
                      .seeds = 1,
                      .jobs = 1};
    memset(options, 0, sizeof options);
    for (int i = 0; i < (int)(sizeof given / sizeof given[0]); i++) {
        options[i] = (struct option){given[i].name, given[i].has, NULL, i};
    }
    for (int got, at = 0; (got = getopt_long(argc, argv, "", options, &at)) != -1;) {
        if (got == HELP) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (got == '?') {
            return 2;
        }
        if (!take(&run, got, optarg)) {
            (void)fprintf(stderr, "vigia_sim: --%s: '%s' is not accepted; see --help\n",
                          given[got].name, optarg);
            return 2;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "vigia_sim: '%s' is not accepted; see --help\n", argv[optind]);
        return 2;
    }
#if defined(__SANITIZE_THREAD__)
    (void)fputs("vigia_sim: skipped: ThreadSanitizer does not follow coroutines, and there is one "
                "thread only\n",
                stderr);
    return 77;
#else
    return run_all(&run);
#endif
}
