/* Virtual time, events, coroutines, processes. */
#include "sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES (512 << 10)
#define TASKS_MAX   512
#define HELD_MAX    16
#define SPIN_MAX    2000000 /* turns of coroutines at one moment: more is a livelock */
#define FNV_OFFSET  0xcbf29ce484222325u
#define FNV_PRIME   0x100000001b3u

enum state { READY, WAITING, DONE };

struct sim_task {
    ucontext_t context;
    void *stack;
    struct sim_proc *proc;
    unsigned life;
    void *(*entry)(void *);
    void *arg;
    enum state state;
    const void *what;
    uint64_t token; /* of the wait: an older alarm is no longer for it */
    bool timed_out;
    int error;
    void *held[HELD_MAX];
    size_t held_count;
    void *fake_stack;
};

struct event {
    int64_t at;
    uint64_t order;
    sim_event_fn *fn;
    void *arg;
    uint64_t n;
};

int64_t sim_now;
static uint64_t seed, order, tokens, hash;
static bool printing;
static struct vg_rng dice[SIM_DICE_COUNT];
static struct event *heap;
static size_t heap_count, heap_room;
static struct sim_task *tasks[TASKS_MAX];
static size_t task_count;
static struct sim_task *current;
static ucontext_t scheduler;
#if defined(__SANITIZE_ADDRESS__)
static void *scheduler_fake;
static const void *scheduler_stack;
static size_t scheduler_size;
#endif

/* ---- seed, dice, trace ---- */

void sim_begin(uint64_t value)
{
    seed = value;
    hash = FNV_OFFSET;
    sim_now = 0;
    for (int i = 0; i < SIM_DICE_COUNT; i++) {
        vg_rng_seed(&dice[i], value * SIM_DICE_COUNT + (uint64_t)i);
    }
}

uint64_t sim_seed(void)
{
    return seed;
}

struct vg_rng *sim_dice(enum sim_dice which)
{
    return &dice[which];
}

bool sim_chance(enum sim_dice which, double p)
{
    return vg_rng_unit(&dice[which]) < p;
}

int64_t sim_between(enum sim_dice which, int64_t low, int64_t high)
{
    return low + (int64_t)vg_rng_below(&dice[which], (uint64_t)(high - low) + 1);
}

void sim_trace(const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    int n = snprintf(line, sizeof line, "%lld.%06lld %s ", sim_now / SIM_S, sim_now % SIM_S / 1000,
                     current != NULL ? current->proc->name : "-");
    int more = vsnprintf(line + n, sizeof line - (size_t)n, fmt, args);
    va_end(args);
    size_t len = (size_t)n + (size_t)(more < 0 ? 0 : more);
    len = len < sizeof line ? len : sizeof line - 1;
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)line[i]) * FNV_PRIME;
    }
    if (printing) {
        (void)fprintf(stderr, "%s\n", line);
    }
}

uint64_t sim_trace_hash(void)
{
    return hash;
}

void sim_trace_print(bool on)
{
    printing = on;
}

void sim_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fprintf(stderr, "vigia_sim: seed %" PRIu64 ": at %.3f s: ", seed,
                  (double)sim_now / (double)SIM_S);
    (void)vfprintf(stderr, fmt, args);
    (void)fputc('\n', stderr);
    va_end(args);
    _exit(3);
}

/* ---- events ---- */

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_at(int64_t ns, sim_event_fn *fn, void *arg, uint64_t n)
{
    if (heap_count == heap_room) {
        heap_room = heap_room == 0 ? 1024 : heap_room * 2;
        heap = realloc(heap, heap_room * sizeof *heap);
        if (heap == NULL) {
            sim_fail("no memory for events");
        }
    }
    struct event e = {ns < sim_now ? sim_now : ns, order++, fn, arg, n};
    size_t at = heap_count++;
    while (at > 0 && earlier(&e, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = e;
}

static struct event pop_event(void)
{
    struct event first = heap[0], last = heap[--heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= heap_count) {
            break;
        }
        if (child + 1 < heap_count && earlier(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!earlier(&heap[child], &last)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

/* ---- coroutines ---- */

struct sim_task *sim_task(void)
{
    return current;
}

struct sim_proc *sim_me(void)
{
    return current != NULL ? current->proc : NULL;
}

static void to_scheduler(struct sim_task *t, bool for_good)
{
    t->error = errno;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_good ? NULL : &t->fake_stack, scheduler_stack,
                                   scheduler_size);
#else
    (void)for_good;
#endif
    (void)swapcontext(&t->context, &scheduler);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(t->fake_stack, &scheduler_stack, &scheduler_size);
#endif
    errno = t->error;
}

static void run_task(struct sim_task *t)
{
    current = t;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake, t->stack, STACK_BYTES);
#endif
    (void)swapcontext(&scheduler, &t->context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_fake, NULL, NULL);
#endif
    current = NULL;
}

static void finish(struct sim_task *t)
{
    t->state = DONE;
    sim_wake(t, true);
}

static void trampoline(void)
{
    struct sim_task *t = current;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_size);
#endif
    (void)t->entry(t->arg);
    finish(t);
    to_scheduler(t, true);
}

struct sim_task *sim_task_new(struct sim_proc *p, void *(*entry)(void *), void *arg)
{
    if (task_count == TASKS_MAX) {
        sim_fail("more than %d threads", TASKS_MAX);
    }
    struct sim_task *t = calloc(1, sizeof *t);
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t == NULL || stack == MAP_FAILED) {
        sim_fail("no memory for a thread");
    }
    t->stack = stack;
    t->proc = p;
    t->life = p->lives;
    t->entry = entry;
    t->arg = arg;
    (void)getcontext(&t->context);
    t->context.uc_stack.ss_sp = stack;
    t->context.uc_stack.ss_size = STACK_BYTES;
    t->context.uc_link = NULL;
    makecontext(&t->context, trampoline, 0);
    tasks[task_count++] = t;
    return t;
}

void sim_task_held(struct sim_task *t, void *mutex, bool held)
{
    if (held) {
        if (t->held_count == HELD_MAX) {
            sim_fail("a thread holds more than %d locks", HELD_MAX);
        }
        t->held[t->held_count++] = mutex;
        return;
    }
    for (size_t i = t->held_count; i-- > 0;) {
        if (t->held[i] == mutex) {
            t->held[i] = t->held[--t->held_count];
            return;
        }
    }
}

static void wake_task(struct sim_task *t, bool timed_out)
{
    t->state = READY;
    t->what = NULL;
    t->timed_out = timed_out;
}

static void on_alarm(void *arg, uint64_t n)
{
    struct sim_task *t = arg;
    if (t->state == WAITING && t->token == n) {
        wake_task(t, true);
    }
}

bool sim_wait(const void *what, int64_t until_ns)
{
    struct sim_task *t = current;
    if (t == NULL) {
        sim_fail("the scheduler itself would wait");
    }
    t->state = WAITING;
    t->what = what;
    t->token = ++tokens;
    t->timed_out = false;
    if (until_ns != SIM_NEVER) {
        sim_at(until_ns, on_alarm, t, t->token);
    }
    to_scheduler(t, false);
    return !t->timed_out;
}

void sim_sleep(int64_t ns)
{
    (void)sim_wait(NULL, sim_now + ns);
}

void sim_wake(const void *what, bool all)
{
    for (size_t i = 0; i < task_count; i++) {
        struct sim_task *t = tasks[i];
        if (t->state == WAITING && t->what == what) {
            wake_task(t, false);
            if (!all) {
                return;
            }
        }
    }
}

void sim_task_join(struct sim_task *t)
{
    while (t->state != DONE) {
        (void)sim_wait(t, SIM_NEVER);
    }
}

/* ---- processes ---- */

struct start {
    int (*entry)(void *);
    void *arg;
};

static void bury(struct sim_proc *p)
{
    p->alive = false;
    p->lives++;
    p->loop = NULL;
    p->main = NULL;
    for (size_t i = 0; i < task_count; i++) {
        struct sim_task *t = tasks[i];
        if (t->proc == p) {
            t->state = DONE;
            while (t->held_count > 0) {
                sim_mutex_drop(t->held[--t->held_count]);
            }
        }
    }
    sim_coap_forget(p);
    sim_fd_forget(p);
    sim_disk_forget(p);
}

void sim_kill(struct sim_proc *p)
{
    if (!p->alive) {
        return;
    }
    sim_trace("kill %s", p->name);
    bury(p);
    if (current != NULL && current->proc == p) {
        to_scheduler(current, true);
    }
}

void sim_exit(int code)
{
    struct sim_proc *p = current->proc;
    sim_trace("exit %s %d", p->name, code);
    p->exit_code = code;
    bury(p);
    if (p->ended != NULL) {
        p->ended(p);
    }
    to_scheduler(current, true);
    abort();
}

static void *main_thread(void *arg)
{
    struct start s = *(struct start *)arg;
    free(arg);
    sim_exit(s.entry(s.arg));
}

void sim_start(struct sim_proc *p, int (*entry)(void *), void *arg)
{
    struct start *s = malloc(sizeof *s);
    if (s == NULL || p->alive) {
        sim_fail("%s cannot be started", p->name);
    }
    *s = (struct start){entry, arg};
    p->alive = true;
    p->exit_code = 0;
    p->main = sim_task_new(p, main_thread, s);
    sim_trace("start %s", p->name);
}

/* ---- the scheduler ---- */

static void reap(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < task_count; i++) {
        struct sim_task *t = tasks[i];
        if (t->state == DONE && t->stack != NULL) {
            (void)munmap(t->stack, STACK_BYTES);
            t->stack = NULL; /* the task itself stays: alarms and joins may still name it */
        }
        if (t->state != DONE) {
            tasks[kept++] = t;
        }
    }
    task_count = kept;
}

/* A ready thread, by dice: the order in which threads run is part of what the seed tries. */
static struct sim_task *pick(void)
{
    struct sim_task *ready[TASKS_MAX];
    size_t n = 0;
    bool done = false;
    for (size_t i = 0; i < task_count; i++) {
        done = done || tasks[i]->state == DONE;
        if (tasks[i]->state == READY) {
            ready[n++] = tasks[i];
        }
    }
    if (done) {
        reap();
    }
    if (n == 0) {
        return NULL;
    }
    return ready[n == 1 ? 0 : vg_rng_below(&dice[SIM_DICE_SCHED], n)];
}

void sim_run_until(int64_t ns)
{
    uint64_t spins = 0;
    for (;;) {
        struct sim_task *t;
        while ((t = pick()) != NULL) {
            run_task(t);
            if (++spins > SPIN_MAX) {
                sim_fail("%s does not come to rest", t->proc->name);
            }
        }
        if (heap_count == 0 || heap[0].at > ns) {
            sim_now = ns;
            return;
        }
        struct event e = pop_event();
        if (e.at > sim_now) {
            sim_now = e.at;
            spins = 0;
        }
        e.fn(e.arg, e.n);
    }
}
