/* A world in one process: virtual time, machines with clocks and disks, processes whose threads are
 * coroutines, a network; all decided by one seed.
 *
 * The programs run as they are. What lies below them is replaced at link time:
 *
 *   sched.c      time, events, coroutines, processes and their death      (no product symbol)
 *   thread.c     pthread_*, usleep, clock_gettime, getrandom              --wrap
 *   fd.c         eventfd, epoll, inotify, open, stat, flock, …            --wrap, for /sim/ and virtual descriptors
 *   disk.c       files that can lose what was not synced                  SQLite's default VFS (vfs.c)
 *   loop.c       vigia/loop.h, vigia/program.h, vigia/metric.h, log lines instead of lib/base/loop.c, …
 *   net.c        datagrams: loss, duplication, reordering, delay, outage
 *   coap_*.c     the part of libcoap that the uplink and the collector call
 *   source.c     vigia/source_sim.h: random sensors with a ledger
 *   card.c       the seam between the buffer's writer and its store: what a card has promised --wrap
 *
 * Nothing here may depend on real time, on addresses or on the order of a hash of them. */
#ifndef VIGIA_SIM_H
#define VIGIA_SIM_H

#include "vigia/clock.h"
#include "vigia/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_MS    1000000LL
#define SIM_S     1000000000LL
#define SIM_HOUR  (3600LL * SIM_S)
#define SIM_NEVER INT64_MAX
/* True wall time of virtual time 0. */
#define SIM_EPOCH_MS 1793194800000LL

/* What the seed decides, each with its own stream, so that a change in one does not move the others. */
enum sim_dice {
    SIM_DICE_SCHED,
    SIM_DICE_NET,
    SIM_DICE_DISK,
    SIM_DICE_PLAN,
    SIM_DICE_TRAFFIC,
    SIM_DICE_KERNEL, /* getrandom */
    SIM_DICE_COUNT
};

struct sim_host { /* a machine */
    char name[16];
    int number;
    int64_t booted_ns;
    unsigned boots;
    char boot_id[37];
    int64_t wall_offset_ms; /* wall clock minus the true time */
    bool synced;
    struct vg_clock clock;
};

struct vg_loop;
struct sim_task;

struct sim_proc { /* a process: its threads, descriptors and open files end with it */
    char name[24];
    struct sim_host *host;
    bool alive;
    unsigned lives;
    int exit_code;
    struct vg_loop *loop; /* of its main thread, once there is one */
    struct sim_task *main;
    void (*ended)(struct sim_proc *p); /* scheduler's side: it has exited by itself */
};

extern int64_t sim_now; /* ns since the beginning */

/* ---- run ---- */
void sim_begin(uint64_t seed);
uint64_t sim_seed(void);
void sim_run_until(int64_t ns);
/* The run is void: what happened cannot happen. Printed with the seed; ends the process with 3. */
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
struct vg_rng *sim_dice(enum sim_dice which);
bool sim_chance(enum sim_dice which, double p);
int64_t sim_between(enum sim_dice which, int64_t low, int64_t high); /* both ends */

/* ---- trace: every line goes into the hash; printed when asked for ---- */
void sim_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t sim_trace_hash(void);
void sim_trace_print(bool on);

/* ---- events: from the scheduler's side, not inside a process ---- */
typedef void sim_event_fn(void *arg, uint64_t n);
void sim_at(int64_t ns, sim_event_fn *fn, void *arg, uint64_t n);

/* ---- processes ---- */
/* Starts `entry` as the main thread; its return is exit(result). */
void sim_start(struct sim_proc *p, int (*entry)(void *arg), void *arg);
/* kill -9. Also from inside the process itself: then it does not return. */
void sim_kill(struct sim_proc *p);
struct sim_proc *sim_me(void); /* NULL: the scheduler's side */
void sim_exit(int code) __attribute__((noreturn));

/* ---- inside a process ---- */
struct sim_task *sim_task_new(struct sim_proc *p, void *(*entry)(void *), void *arg);
void sim_task_join(struct sim_task *t);
struct sim_task *sim_task(void);
void sim_sleep(int64_t ns);
/* Waits for sim_wake on `what`; false: the time came first. */
bool sim_wait(const void *what, int64_t until_ns);
void sim_wake(const void *what, bool all);
/* What a dying thread still holds is given back by this (thread.c). */
void sim_task_held(struct sim_task *t, void *mutex, bool held);
void sim_mutex_drop(void *mutex);

/* ---- parts that hear of a process's death ---- */
void sim_fd_forget(struct sim_proc *p);
void sim_disk_forget(struct sim_proc *p);
void sim_coap_forget(struct sim_proc *p);

/* ---- descriptors ---- */
#define SIM_FD_FIRST 1000000
int sim_fd_coap(struct sim_proc *p, const bool *ready); /* readable while *ready */
bool sim_fd_ready(int fd);
void sim_fd_changed(struct sim_proc *p); /* some descriptor of p may have become readable */
void sim_fd_touched(const char *path);   /* a file's times changed: inotify */

/* ---- loop ---- */
/* How late the periodic looks of 100 to 1000 ms may come while nothing else happens. */
extern int64_t sim_slack_ns;
/* Log lines told by the programs, by message id. */
uint64_t sim_lines(const char *msgid);
void sim_lines_print(FILE *to);

void sim_host_boot(struct sim_host *h);

#endif
