/* See powercut.h. */
#include "powercut.h"

#include "watched.h"

#include "vigia/random.h"

#include <errno.h>
#include <getopt.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX     16
#define FINDINGS_MAX 5
/* https://sqlite.org/fileformat.html §4.1; nothing else of this length is written at the start. */
#define WAL_HEADER_BYTES 32

static const char help[] =
    "usage: powercut buffer|log [OPTION...]\n"
    "Cuts the power at every write and sync of a script of commits and opens what is left.\n"
    "  --commits N      commits of the script (default 200)\n"
    "  --seeds N        random images per point in the modes reorder and tear (default 3)\n"
    "  --first-seed N   seed of the first one, and of the script (default 1)\n"
    "  --every N        random images only at each Nth point (default 1)\n"
    "  --lie wal|all    a card that ignores syncs of the WAL, or all of them\n"
    "  --expect-loss    succeed when, and only when, the proof finds losses\n"
    "  --jobs N         processes that check (default 1, at most 16)\n"
    "  --json FILE      write the counts there\n"
    "  --help\n";

struct options {
    const struct cut_proof *proof;
    size_t commits, seeds, first_seed, every, jobs;
    unsigned lies;
    bool expect_loss;
    const char *json;
};

/* Shared by the processes that check; each has its own slot. */
struct tally {
    size_t images[CRASH_MODES], wrong[CRASH_MODES], points[CRASH_MODES], points_wrong[CRASH_MODES];
    size_t writes, syncs, others;
    size_t wals; /* headers of a WAL: how often one began, or began again */
    size_t findings;
    char finding[FINDINGS_MAX][320];
};

void cut_wrong(struct cut_finding *f, const char *fmt, ...)
{
    if (!f->wrong) {
        va_list args;
        va_start(args, fmt);
        f->wrong = true;
        (void)vsnprintf(f->text, sizeof f->text, fmt, args);
        va_end(args);
    }
}

_Noreturn void cut_stop(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fprintf(stderr, "powercut: ");
    (void)vfprintf(stderr, fmt, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
    _exit(1);
}

void cut_integrity(const char *path, struct cut_finding *f)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix") != SQLITE_OK ||
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW) {
        cut_wrong(f, "integrity_check: %s", db == NULL ? "no memory" : sqlite3_errmsg(db));
    } else if (strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0) {
        cut_wrong(f, "integrity_check: %.150s", (const char *)sqlite3_column_text(st, 0));
    }
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
}

static void check_image(const struct options *o, const void *ledger, const struct crash_replay *r,
                        enum crash_mode mode, size_t seed, const char *folder, struct tally *t,
                        bool *point_wrong)
{
    struct crash_image image;
    struct cut_finding f = {.wrong = false};
    uint64_t mixed = seed * 0x9e3779b97f4a7c15ULL + crash_replay_at(r) * 8 + (uint64_t)mode;
    watched_remove(folder, false);
    crash_replay_image(r, mode, mixed, &image);
    if (!crash_image_write(&image, folder)) {
        cut_stop("%s: an image cannot be written", folder);
    }
    crash_image_done(&image);
    o->proof->check(ledger, folder, crash_replay_at(r), &f);
    t->images[mode]++;
    if (f.wrong) {
        *point_wrong = true;
        t->wrong[mode]++;
        if (t->findings < FINDINGS_MAX) {
            (void)snprintf(t->finding[t->findings++], sizeof t->finding[0],
                           "point %zu, %s, seed %zu: %s", crash_replay_at(r), crash_mode_name(mode),
                           seed, f.text);
        }
    }
}

static void check_point(const struct options *o, const void *ledger, const struct crash_replay *r,
                        const char *folder, struct tally *t)
{
    const struct crash_op *next = crash_replay_next(r);
    bool at_risk = crash_replay_unsafe(r) > 0;
    for (int mode = 0; mode < CRASH_MODES; mode++) {
        bool tears = mode == CRASH_TEAR && next != NULL && next->kind == CRASH_OP_WRITE;
        /* With nothing at risk every mode leaves what `drop` leaves. */
        bool random = mode != CRASH_DROP && (at_risk || tears) &&
                      (crash_replay_at(r) / o->jobs) % o->every == 0;
        size_t rounds = mode == CRASH_DROP ? 1 : random ? o->seeds : 0;
        bool wrong = false;
        for (size_t i = 0; i < rounds; i++) {
            check_image(o, ledger, r, (enum crash_mode)mode, o->first_seed + i, folder, t, &wrong);
        }
        t->points[mode] += rounds > 0;
        t->points_wrong[mode] += wrong;
    }
}

static void count_op(const struct crash_op *op, struct tally *t)
{
    switch (op->kind) {
    case CRASH_OP_WRITE:
    case CRASH_OP_TRUNCATE:
        t->writes++;
        t->wals += op->at == 0 && op->len == WAL_HEADER_BYTES;
        break;
    case CRASH_OP_SYNC:
    case CRASH_OP_SYNC_FOLDER:
        t->syncs++;
        break;
    case CRASH_OP_CREATE:
    case CRASH_OP_DELETE:
        t->others++;
        break;
    }
}

/* Every point whose number leaves the rest `job`. */
static void work(const struct options *o, const void *ledger, const struct crash_disk *d,
                 const char *home, size_t job, struct tally *t)
{
    char folder[WATCHED_FOLDER_MAX + 16];
    (void)snprintf(folder, sizeof folder, "%s/%zu", home, job);
    if (mkdir(folder, 0700) != 0) {
        cut_stop("%s: %s", folder, strerror(errno));
    }
    struct crash_replay *r = crash_replay_new(d, o->lies);
    for (;;) {
        const struct crash_op *op = crash_replay_next(r);
        if (crash_replay_at(r) % o->jobs == job) {
            check_point(o, ledger, r, folder, t);
            if (op != NULL) {
                count_op(op, t);
            }
        }
        if (op == NULL) {
            break;
        }
        crash_replay_step(r);
    }
    crash_replay_free(r);
}

static void work_all(const struct options *o, const void *ledger, const struct crash_disk *d,
                     const char *home, struct tally *tallies)
{
    pid_t workers[JOBS_MAX];
    for (size_t job = 1; job < o->jobs; job++) {
        workers[job] = watched_fork();
        if (workers[job] == 0) {
            work(o, ledger, d, home, job, &tallies[job]);
            _exit(0);
        }
        if (workers[job] < 0) {
            cut_stop("fork: %s", strerror(errno));
        }
    }
    work(o, ledger, d, home, 0, &tallies[0]);
    for (size_t job = 1; job < o->jobs; job++) {
        int status = 0;
        if (waitpid(workers[job], &status, 0) != workers[job] || status != 0) {
            cut_stop("a checking process ended with status %d", status);
        }
    }
    for (size_t job = 1; job < o->jobs; job++) {
        struct tally *a = &tallies[0];
        const struct tally *b = &tallies[job];
        for (int mode = 0; mode < CRASH_MODES; mode++) {
            a->images[mode] += b->images[mode];
            a->wrong[mode] += b->wrong[mode];
            a->points[mode] += b->points[mode];
            a->points_wrong[mode] += b->points_wrong[mode];
        }
        a->writes += b->writes;
        a->syncs += b->syncs;
        a->others += b->others;
        a->wals += b->wals;
        for (size_t i = 0; i < b->findings && a->findings < FINDINGS_MAX; i++) {
            memcpy(a->finding[a->findings++], b->finding[i], sizeof b->finding[i]);
        }
    }
}

static bool write_json(const struct options *o, const void *ledger, const struct tally *t)
{
    FILE *f = fopen(o->json, "w");
    if (f == NULL) {
        return false;
    }
    (void)fprintf(f,
                  "{\"proof\":\"%s\",\"commits\":%zu,\"seeds\":%zu,\"first_seed\":%zu,\"lies\":%u,"
                  "\"writes\":%zu,\"syncs\":%zu,\"creations_deletions\":%zu,\"wals\":%zu,"
                  "\"modes\":{",
                  o->proof->name, o->proof->commits(ledger), o->seeds, o->first_seed, o->lies,
                  t->writes, t->syncs, t->others, t->wals);
    for (int mode = 0; mode < CRASH_MODES; mode++) {
        (void)fprintf(f,
                      "%s\"%s\":{\"points\":%zu,\"points_wrong\":%zu,\"images\":%zu,\"wrong\":%zu}",
                      mode > 0 ? "," : "", crash_mode_name((enum crash_mode)mode), t->points[mode],
                      t->points_wrong[mode], t->images[mode], t->wrong[mode]);
    }
    (void)fprintf(f, "}}\n");
    return fclose(f) == 0;
}

/* Returns the exit status. */
static int report(const struct options *o, const void *ledger, const struct tally *t)
{
    size_t images = 0, wrong = 0;
    printf("powercut %s: %zu commits, %zu writes, %zu syncs, %zu creations and deletions, %zu "
           "beginnings of a WAL, first seed %zu\n",
           o->proof->name, o->proof->commits(ledger), t->writes, t->syncs, t->others, t->wals,
           o->first_seed);
    for (int mode = 0; mode < CRASH_MODES; mode++) {
        printf("  %-8s %6zu points, %7zu images: %zu wrong\n",
               crash_mode_name((enum crash_mode)mode), t->points[mode], t->images[mode],
               t->wrong[mode]);
        images += t->images[mode];
        wrong += t->wrong[mode];
    }
    for (size_t i = 0; i < t->findings; i++) {
        printf("  %s\n", t->finding[i]);
    }
    if (o->json != NULL && !write_json(o, ledger, t)) {
        (void)fprintf(stderr, "powercut: %s: cannot be written\n", o->json);
        return 1;
    }
    if (images == 0 || t->syncs == 0) {
        (void)fprintf(stderr, "powercut: nothing was cut\n");
        return 1;
    }
    if (o->expect_loss) {
        printf("  losses were expected: %s\n", wrong > 0 ? "found" : "NOT FOUND");
        return wrong > 0 ? 0 : 1;
    }
    return wrong > 0 ? 1 : 0;
}

static size_t number(const char *name, const char *text, size_t least, size_t most)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || v < least || v > most) {
        (void)fprintf(stderr, "powercut: %s '%s': accepted is a number from %zu to %zu\n", name,
                      text, least, most);
        exit(2);
    }
    return (size_t)v;
}

static unsigned lies_of(const char *text)
{
    if (strcmp(text, "wal") == 0) {
        return CRASH_LIE_WAL;
    }
    if (strcmp(text, "all") != 0) {
        (void)fprintf(stderr, "powercut: --lie '%s': accepted are wal and all\n", text);
        exit(2);
    }
    return CRASH_LIE_ALL;
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"commits", required_argument, NULL, 'c'},
                                          {"seeds", required_argument, NULL, 's'},
                                          {"first-seed", required_argument, NULL, 'f'},
                                          {"every", required_argument, NULL, 'e'},
                                          {"lie", required_argument, NULL, 'l'},
                                          {"expect-loss", no_argument, NULL, 'x'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"json", required_argument, NULL, 'o'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){.commits = 200, .seeds = 3, .first_seed = 1, .every = 1, .jobs = 1};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 'c':
            o->commits = number("--commits", optarg, 10, 2000);
            break;
        case 's':
            o->seeds = number("--seeds", optarg, 0, 1000);
            break;
        case 'f':
            o->first_seed = number("--first-seed", optarg, 0, 1000000000);
            break;
        case 'e':
            o->every = number("--every", optarg, 1, 1000000);
            break;
        case 'l':
            o->lies = lies_of(optarg);
            break;
        case 'x':
            o->expect_loss = true;
            break;
        case 'j':
            o->jobs = number("--jobs", optarg, 1, JOBS_MAX);
            break;
        case 'o':
            o->json = optarg;
            break;
        case 'h':
            printf("%s", help);
            exit(0);
        default:
            exit(2);
        }
    }
    static const struct cut_proof *const proofs[] = {&cut_buffer, &cut_log};
    for (size_t i = 0; optind + 1 == argc && i < 2; i++) {
        if (strcmp(argv[optind], proofs[i]->name) == 0) {
            o->proof = proofs[i];
        }
    }
    if (o->proof == NULL) {
        (void)fprintf(stderr, "powercut: say what to cut: buffer or log (see --help)\n");
        exit(2);
    }
}

static int cut(void *arg, const char *home)
{
    const struct options *o = arg;
    char folder[WATCHED_FOLDER_MAX + 8];
    (void)snprintf(folder, sizeof folder, "%s/script", home);
    if (mkdir(folder, 0700) != 0) {
        cut_stop("%s: %s", folder, strerror(errno));
    }
    crash_install(true);
    struct crash_disk *d = crash_disk_new(folder, CRASH_RECORD);
    void *ledger = o->proof->record(d, folder, o->commits, o->first_seed);
    struct tally *t =
        mmap(NULL, JOBS_MAX * sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t == MAP_FAILED) {
        cut_stop("no memory for the tally");
    }
    work_all(o, ledger, d, home, t);
    int status = report(o, ledger, &t[0]);
    o->proof->done(ledger);
    crash_disk_free(d);
    (void)munmap(t, JOBS_MAX * sizeof *t);
    return status;
}

int main(int argc, char **argv)
{
    struct options o;
    parse(argc, argv, &o);
    return watched_run("powercut", cut, &o);
}
