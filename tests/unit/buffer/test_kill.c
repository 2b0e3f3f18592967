/* An agent killed at any moment: what it was told is on the card is there, in order, and no number
 * is used twice.
 *
 * A child appends as fast as the card lets it and tells through a pipe what has become durable; it
 * is killed after a random number of such messages. The page cache survives a kill: this is no test
 * of a power cut. */
#include "harness.h"

#include "vigia/random.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct durable {
    uint64_t store;
    uint64_t committed[VG_BUFFER_LANES];
};

static void child_main(struct rig *r, int to, uint64_t seed)
{
    struct vg_rng rng;
    vg_rng_seed(&rng, seed);
    rig_open(r);
    struct durable last = {.store = stats(r).store};
    for (;;) {
        struct vg_reading x =
            vg_rng_below(&rng, 20) == 0 ? smoke("s1") : normal("s2", vg_rng_unit(&rng));
        enum vg_err e = vg_buffer_append(r->b, &x, vg_now_boot(r->clock));
        if (e != VG_OK && e != VG_E_FULL) {
            _exit(1);
        }
        struct vg_buffer_stats s = stats(r);
        if (s.committed[0] != last.committed[0] || s.committed[1] != last.committed[1]) {
            memcpy(last.committed, s.committed, sizeof last.committed);
            if (write(to, &last, sizeof last) != sizeof last) {
                _exit(0);
            }
        }
    }
}

/* Reads `messages` of them, kills, reads what was on its way; returns the last. */
static struct durable kill_after(pid_t child, int from, uint64_t messages)
{
    struct durable last = {0}, next;
    for (uint64_t n = 0; n < messages; n++) {
        struct pollfd p = {.fd = from, .events = POLLIN};
        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
        assert_int_equal(read(from, &next, sizeof next), sizeof next);
        last = next;
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    while (read(from, &next, sizeof next) == sizeof next) {
        last = next;
    }
    return last;
}

/* Takes every row of a lane; numbers of each store are 1, 2, 3, … without a hole. Returns the last
 * number of `store`. */
static uint64_t take_all(struct rig *r, enum vg_buffer_lane lane, uint64_t store)
{
    uint64_t current = 0, last = 0, found = 0;
    while (fetch(r, lane, 64) > 0) {
        for (size_t i = 0; i < r->count; i++) {
            const struct vg_reading *x = &r->rows[i].reading;
            assert_true(x->store != current ? x->seq == 1 : x->seq == last + 1);
            current = x->store;
            last = x->seq;
            found = x->store == store ? x->seq : found;
        }
        settle(r, lane, VG_BUFFER_DONE);
    }
    return found;
}

static void what_was_durable_survives_a_hundred_kills(void **state)
{
    (void)state;
    const char *given = getenv("VIGIA_SEED");
    unsigned long long seed =
        given != NULL ? strtoull(given, NULL, 0) : (unsigned long long)time(NULL);
    print_message("VIGIA_SEED=%llu\n", seed);
    struct vg_rng rng;
    vg_rng_seed(&rng, seed);
    uint64_t rows = 0;
    struct rig *r = calloc(1, sizeof *r);
    rig_init(r);
    r->options.group_ms = 2;
    r->options.ring_bytes[VG_BUFFER_URGENT] = 8192;
    r->options.ring_bytes[VG_BUFFER_ROUTINE] = 16384;
    for (int cycle = 0; cycle < 100; cycle++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)close(ends[0]);
            child_main(r, ends[1], vg_rng_next(&rng));
        }
        (void)close(ends[1]);
        (void)vg_rng_next(&rng);
        struct durable d = kill_after(child, ends[0], 1 + vg_rng_below(&rng, 12));
        (void)close(ends[0]);
        rig_open(r);
        assert_true(stats(r).store != d.store);
        assert_int_equal(stats(r).damaged, 0);
        for (int lane = 0; lane < VG_BUFFER_LANES; lane++) {
            uint64_t last = take_all(r, (enum vg_buffer_lane)lane, d.store);
            if (last < d.committed[lane]) {
                fail_msg("cycle %d lane %d: %llu rows were durable, %llu are there", cycle, lane,
                         (unsigned long long)d.committed[lane], (unsigned long long)last);
            }
            rows += d.committed[lane];
        }
        rig_close(r);
    }
    print_message("100 kills, %llu durable rows, none lost\n", (unsigned long long)rows);
    rig_done(r);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_durable_survives_a_hundred_kills)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
