/* Processors: one atomic commit, takeover, replay. */
#include "suite.h"

#include "vigia/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct row rows[ROOM];
static struct proc one, two;

static size_t alarms(struct fx *fx)
{
    static struct row found[ROOM];
    return suite_read_all(fx->log, VG_TOPIC_ALARMS, found, ROOM);
}

/* Reads n readings and answers each with an alarm and a state of its key. */
static void answer(struct proc *p, size_t n)
{
    assert_int_equal(proc_take(p, n, rows, ROOM), n);
    for (size_t i = 0; i < n; i++) {
        proc_put(p, VG_TOPIC_ALARMS, rows[i].partition, rows[i].key, rows[i].value);
        proc_put(p, VG_TOPIC_ALARM_STATE, rows[i].partition, rows[i].key, rows[i].value);
    }
}

static void poll_until(struct proc *p, const int *counter, int at_least)
{
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    while (*counter < at_least) {
        assert_true(suite_now_ms() < until);
        proc_poll(p, 100);
        assert_int_equal(p->count, 0);
    }
}

static void a_new_group_starts_at_the_earliest_record(void **state)
{
    struct fx *fx = *state;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 40, 4);
    proc_open(&one, fx->log, "g", "a", false);
    assert_int_equal(proc_take(&one, 40, rows, ROOM), 40);
    assert_true(one.assigned >= 1);
    assert_int_equal(one.restored, one.assigned);
    assert_true(vg_dlog_processor_active(one.p));
    vg_dlog_processor_close(one.p);
}

/* Brokers hold the records of an open transaction, and show them to nobody; a file has none. A
 * reader that is opened now waits for the transaction's end before it has caught up. */
static void until_held(const struct fx *fx, enum vg_topic t, int64_t n)
{
    static struct vg_dlog_topic_info info;
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    struct vg_error err = {.code = VG_OK};
    int64_t held = 0;
    while (held < n && !fx->sqlite) {
        assert_true(suite_now_ms() < until);
        suite_ok(vg_dlog_describe(fx->log, t, &info, &err), &err);
        held = 0;
        for (int32_t i = 0; i < info.settings.partitions; i++) {
            held += info.partition[i].end;
        }
    }
}

static void outputs_are_seen_only_after_the_commit(void **state)
{
    static struct vg_dlog_record records[1000];
    struct fx *fx = *state;
    struct vg_dlog_reader *r = NULL;
    struct vg_error err = {.code = VG_OK};
    size_t seen = 0;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 40, 4);
    suite_ok(vg_dlog_reader_open(fx->log, VG_TOPIC_ALARMS, -1,
                                 (struct vg_dlog_from){VG_DLOG_BEGINNING, 0}, &r, &err),
             &err);
    assert_true(vg_dlog_reader_caught_up(r));
    proc_open(&one, fx->log, "g", "a", false);
    answer(&one, 40);
    assert_int_equal(vg_dlog_processor_pending(one.p), 80);
    until_held(fx, VG_TOPIC_ALARMS, 40);
    suite_ok(vg_dlog_read(r, 200, records, 1000, &seen, &err), &err);
    assert_int_equal(seen, 0);
    vg_dlog_reader_close(r);
    proc_commit(&one);
    assert_int_equal(vg_dlog_processor_pending(one.p), 0);
    assert_int_equal(alarms(fx), 40);
    vg_dlog_processor_close(one.p);
}

static void a_restarted_instance_has_its_state_and_goes_on_behind_its_commit(void **state)
{
    struct fx *fx = *state;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 40, 4);
    proc_open(&one, fx->log, "g", "a", false);
    answer(&one, 40);
    proc_commit(&one);
    vg_dlog_processor_close(one.p);
    suite_append(fx->log, VG_TOPIC_READINGS, "k0", "next");
    proc_open(&one, fx->log, "g", "a", false);
    assert_int_equal(proc_take(&one, 1, rows, ROOM), 1);
    assert_string_equal(rows[0].value, "next");
    assert_int_equal(one.state.n, 4);
    assert_string_equal(table_get(&one.state, "k0"), "36");
    assert_string_equal(table_get(&one.state, "k3"), "39");
    vg_dlog_processor_close(one.p);
}

static void a_removed_key_is_not_restored(void **state)
{
    struct fx *fx = *state;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 4, 4);
    proc_open(&one, fx->log, "g", "a", false);
    answer(&one, 4);
    proc_commit(&one);
    assert_int_equal(vg_dlog_processor_append(one.p, VG_TOPIC_ALARM_STATE, rows[0].partition,
                                              vg_span_str(rows[0].key), (struct vg_span){NULL, 0}),
                     VG_OK);
    proc_commit(&one); /* no input moved: timers write like this */
    vg_dlog_processor_close(one.p);
    proc_open(&one, fx->log, "g", "a", false);
    poll_until(&one, &one.caught_up, 1);
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    while (one.state.n < 3 && suite_now_ms() < until) {
        proc_poll(&one, 100);
    }
    assert_int_equal(one.state.n, 3);
    assert_null(table_get(&one.state, rows[0].key));
    vg_dlog_processor_close(one.p);
}

static void what_was_not_committed_before_a_kill_is_never_seen(void **state)
{
    struct fx *fx = *state;
    struct child c;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 20, 4);
    child_start(&c, fx, "process-then-hang");
    child_says(&c, "committed");
    child_says(&c, "appended");
    child_kill(&c);
    suite_append(fx->log, VG_TOPIC_READINGS, "k0", "last");
    proc_open(&one, fx->log, "g", "b", false);
    assert_int_equal(proc_take(&one, 11, rows, ROOM), 11);
    assert_null(table_get(&one.state, "lost"));
    assert_string_equal(table_get(&one.state, "kept"), "yes");
    assert_int_equal(alarms(fx), 1);
    vg_dlog_processor_close(one.p);
}

static void every_input_has_exactly_one_output_over_many_kills(void **state)
{
    struct fx *fx = *state;
    static struct row found[ROOM];
    static int seen[2000];
    struct vg_rng rng;
    const uint64_t seed = (uint64_t)suite_now_ms();
    const int kills =
        fx->sqlite ? 20 : 3; /* a broker notices each death only after the session timeout */
    print_message("seed %llu\n", (unsigned long long)seed);
    vg_rng_seed(&rng, seed);
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 2000, 50);
    for (int i = 0; i < kills; i++) {
        struct child c;
        child_start(&c, fx, "process-for-ever");
        for (uint64_t lines = 1 + vg_rng_below(&rng, 3); lines > 0; lines--) {
            child_says(&c, "committed");
        }
        child_kill(&c);
    }
    memset(seen, 0, sizeof seen);
    proc_open(&one, fx->log, "g", "b", false);
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    while (one.caught_up == 0 || one.caught_up < one.assigned) {
        assert_true(suite_now_ms() < until);
        proc_poll(&one, 100);
        for (size_t i = 0; i < one.count; i++) {
            suite_row(&one.records[i], &rows[i]);
            proc_put(&one, VG_TOPIC_ALARMS, rows[i].partition, rows[i].key, rows[i].value);
        }
        proc_commit(&one);
    }
    vg_dlog_processor_close(one.p);
    const size_t n = suite_read_all(fx->log, VG_TOPIC_ALARMS, found, ROOM);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(seen[strtol(found[i].value, NULL, 10)]++, 0);
    }
    assert_int_equal(n, 2000);
}

static void a_second_instance_takes_over_when_the_first_dies(void **state)
{
    struct fx *fx = *state;
    struct child c;
    child_start(&c, fx, "own-and-hang");
    child_says(&c, "owner");
    proc_open(&two, fx->log, "g", "b", false);
    for (int i = 0; i < 5; i++) {
        proc_poll(&two, 50);
    }
    child_kill(&c);
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 20, 4);
    assert_int_equal(proc_take(&two, 20, rows, ROOM), 20);
    assert_string_equal(table_get(&two.state, "kept"), "yes");
    for (size_t i = 0; i < 20; i++) {
        proc_put(&two, VG_TOPIC_ALARMS, rows[i].partition, rows[i].key, rows[i].value);
    }
    proc_commit(&two);
    assert_int_equal(alarms(fx), 20);
    vg_dlog_processor_close(two.p);
}

static void a_second_instance_takes_over_when_the_first_leaves(void **state)
{
    struct fx *fx = *state;
    proc_open(&one, fx->log, "g", "a", false);
    poll_until(&one, &one.caught_up, 1);
    proc_open(&two, fx->log, "g", "b", false);
    proc_poll(&two, 50);
    vg_dlog_processor_close(one.p);
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 20, 4);
    assert_int_equal(proc_take(&two, 20, rows, ROOM), 20);
    vg_dlog_processor_close(two.p);
}

static void an_abort_replays_the_records_with_the_committed_state(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    static int seen[40];
    memset(seen, 0, sizeof seen);
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 20, 4);
    proc_open(&one, fx->log, "g", "a", false);
    answer(&one, 20);
    proc_commit(&one);
    const int assigned = one.assigned;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 40, 4);
    answer(&one, 40);
    suite_ok(vg_dlog_processor_abort(one.p, &err), &err);
    assert_int_equal(vg_dlog_processor_pending(one.p), 0);
    assert_int_equal(proc_take(&one, 40, rows, ROOM), 40);
    for (size_t i = 0; i < 40; i++) {
        seen[strtol(rows[i].value, NULL, 10)]++;
    }
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(seen[i], 1);
    }
    assert_true(one.revoked >= 1);
    assert_true(one.assigned > assigned);
    assert_string_equal(table_get(&one.state, "k0"), "16"); /* of the first 20 */
    assert_int_equal(alarms(fx), 20);
    vg_dlog_processor_close(one.p);
}

static void caught_up_is_told_once_after_what_was_there_at_assignment(void **state)
{
    struct fx *fx = *state;
    int64_t sum = 0;
    int32_t partitions = 0;
    struct vg_error err;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 40, 4);
    proc_open(&one, fx->log, "g", "a", false);
    suite_ok(vg_dlog_partitions(fx->log, VG_TOPIC_READINGS, &partitions, &err), &err);
    assert_int_equal(proc_take(&one, 40, rows, ROOM), 40);
    poll_until(&one, &one.caught_up, partitions);
    for (int32_t p = 0; p < partitions; p++) {
        int64_t end = -1;
        assert_int_equal(vg_dlog_processor_end_at_assignment(one.p, VG_TOPIC_READINGS, p, &end),
                         VG_OK);
        sum += end;
        assert_true(vg_dlog_processor_caught_up(one.p, p));
    }
    assert_int_equal(sum, 40);
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 8, 4);
    assert_int_equal(proc_take(&one, 8, rows, ROOM), 8);
    proc_poll(&one, 50);
    assert_int_equal(one.caught_up, partitions);
    vg_dlog_processor_close(one.p);
}

static void two_inputs_are_both_read_and_committed_together(void **state)
{
    struct fx *fx = *state;
    int readings = 0;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 30, 4);
    suite_append_numbers(fx->log, VG_TOPIC_COMMANDS, 10, 4);
    proc_open(&one, fx->log, "g", "a", true);
    const int64_t until = suite_now_ms() + DEADLINE_MS;
    for (size_t have = 0; have < 40;) {
        assert_true(suite_now_ms() < until);
        proc_poll(&one, 200);
        for (size_t i = 0; i < one.count; i++) {
            readings += one.records[i].topic == VG_TOPIC_READINGS;
        }
        have += one.count;
    }
    assert_int_equal(readings, 30);
    proc_commit(&one);
    vg_dlog_processor_close(one.p);
    suite_append(fx->log, VG_TOPIC_COMMANDS, "k1", "ack");
    proc_open(&one, fx->log, "g", "a", true);
    assert_int_equal(proc_take(&one, 1, rows, ROOM), 1);
    assert_string_equal(rows[0].value, "ack");
    vg_dlog_processor_close(one.p);
}

static void groups_do_not_disturb_each_other(void **state)
{
    struct fx *fx = *state;
    suite_append_numbers(fx->log, VG_TOPIC_READINGS, 20, 4);
    proc_open(&one, fx->log, "g1", "a", false);
    proc_open(&two, fx->log, "g2", "a", false);
    assert_int_equal(proc_take(&one, 20, rows, ROOM), 20);
    proc_commit(&one);
    assert_int_equal(proc_take(&two, 20, rows, ROOM), 20);
    vg_dlog_processor_close(one.p);
    vg_dlog_processor_close(two.p);
}

static void a_transaction_has_a_bound_and_says_so(void **state)
{
    struct fx *fx = *state;
    enum vg_err rc = VG_OK;
    size_t n = 0;
    proc_open(&one, fx->log, "g", "a", false);
    poll_until(&one, &one.caught_up, 1);
    while (rc == VG_OK && n <= VG_DLOG_TXN_RECORDS_MAX) {
        rc = vg_dlog_processor_append(one.p, VG_TOPIC_ALARMS, 0, VG_SPAN("k"), VG_SPAN("v"));
        n += rc == VG_OK;
    }
    assert_int_equal(rc, VG_E_FULL);
    assert_int_equal(n, VG_DLOG_TXN_RECORDS_MAX);
    struct vg_error err;
    suite_ok(vg_dlog_processor_abort(one.p, &err), &err);
    vg_dlog_processor_close(one.p);
    assert_int_equal(alarms(fx), 0);
}

static void wrong_options_are_refused_with_the_reason(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_processor *p = NULL;
    struct vg_dlog_processor_options o = {.group = "a b",
                                          .instance = "i",
                                          .inputs = {VG_TOPIC_READINGS},
                                          .input_count = 1,
                                          .state_topic = VG_TOPIC_NONE};
    assert_int_equal(vg_dlog_processor_open(fx->log, &o, &p, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "a b"));
    o.group = "g";
    o.state_topic = VG_TOPIC_ALARMS;
    assert_int_equal(vg_dlog_processor_open(fx->log, &o, &p, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "alarms"));
}

int run_process_tests(void)
{
    const struct CMUnitTest tests[] = {
        SUITE_TEST(a_new_group_starts_at_the_earliest_record),
        SUITE_TEST(outputs_are_seen_only_after_the_commit),
        SUITE_TEST(a_restarted_instance_has_its_state_and_goes_on_behind_its_commit),
        SUITE_TEST(a_removed_key_is_not_restored),
        SUITE_TEST(what_was_not_committed_before_a_kill_is_never_seen),
        SUITE_TEST(every_input_has_exactly_one_output_over_many_kills),
        SUITE_TEST(a_second_instance_takes_over_when_the_first_dies),
        SUITE_TEST(a_second_instance_takes_over_when_the_first_leaves),
        SUITE_TEST(an_abort_replays_the_records_with_the_committed_state),
        SUITE_TEST(caught_up_is_told_once_after_what_was_there_at_assignment),
        SUITE_TEST(two_inputs_are_both_read_and_committed_together),
        SUITE_TEST(groups_do_not_disturb_each_other),
        SUITE_TEST(a_transaction_has_a_bound_and_says_so),
        SUITE_TEST(wrong_options_are_refused_with_the_reason),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
