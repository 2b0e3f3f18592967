/* The newest value of each key, from a log that is a script: what each read gives. */
#include "../../../collector/log/dlog_inside.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STALL_MS 50

struct step {
    const char *key;   /* NULL: this read gives nothing */
    const char *value; /* NULL: a tombstone */
};

/* One step for each read; after the last one nothing comes any more. */
static const struct step *steps;
static size_t step_count, end_at; /* caught up after `end_at` reads; 0: from the start */
static bool again;                /* begins anew after the last step, without end */
static size_t reads;

static enum vg_err script_open(void *log, enum vg_topic t, int32_t partition,
                               struct vg_dlog_from from, void **out, struct vg_error *err)
{
    (void)log;
    (void)t;
    (void)partition;
    (void)from;
    (void)err;
    reads = 0;
    *out = &reads;
    return VG_OK;
}

static enum vg_err script_read(void *r, int timeout_ms, struct vg_dlog_record *records, size_t max,
                               size_t *count, struct vg_error *err)
{
    (void)r;
    (void)timeout_ms;
    (void)max;
    (void)err;
    const size_t at = again && step_count > 0 ? reads % step_count : reads;
    reads++;
    *count = 0;
    if (at < step_count && steps[at].key != NULL) {
        *count = 1;
        records[0] = (struct vg_dlog_record){
            .topic = VG_TOPIC_ALARM_STATE,
            .key = vg_span_str(steps[at].key),
            .value = steps[at].value == NULL ? vg_span(NULL, 0) : vg_span_str(steps[at].value)};
    }
    return VG_OK;
}

static bool script_caught_up(const void *r)
{
    (void)r;
    return reads >= end_at;
}

static void script_close(void *r)
{
    (void)r;
}

static const struct vgi_backend script = {.scheme = "script",
                                          .reader_open = script_open,
                                          .read = script_read,
                                          .reader_caught_up = script_caught_up,
                                          .reader_close = script_close};

static char told[256];

static void on_latest(void *arg, int32_t partition, struct vg_span key, struct vg_span value)
{
    const size_t used = strlen(told);
    (void)arg;
    (void)partition;
    (void)snprintf(told + used, sizeof told - used, "%.*s=%.*s ", (int)key.len, key.at,
                   (int)value.len, value.at);
}

static enum vg_err latest(const struct step *script_steps, size_t count, size_t end, bool endless,
                          size_t max_bytes, struct vg_error *err)
{
    static struct vg_dlog log = {.ops = &script, .conf.url = "script:"};
    const struct vg_dlog_latest_limits limits = {STALL_MS, max_bytes};
    steps = script_steps;
    step_count = count;
    end_at = end;
    again = endless;
    told[0] = '\0';
    return vg_dlog_latest(&log, VG_TOPIC_ALARM_STATE, &limits, on_latest, NULL, err);
}

#define LATEST(steps, end, endless, max_bytes, err)                                                \
    latest(steps, sizeof(steps) / sizeof((steps)[0]), end, endless, max_bytes, err)

static void a_key_is_told_once_with_what_it_last_was(void **state)
{
    static const struct step s[] = {{"b", "1"}, {"a", "1"}, {"b", NULL}, {NULL, NULL}, {"a", "22"},
                                    {"c", "3"}, {"b", "4"}, {"d", "5"},  {"d", NULL}};
    struct vg_error err;
    (void)state;
    assert_int_equal(LATEST(s, 9, false, 4096, &err), VG_OK);
    assert_string_equal(told, "a=22 b=4 c=3 ");
}

/* On SQLite a key that changes meanwhile leaves its place for one behind the end seen at open. */
static void a_key_that_moved_behind_the_end_is_told(void **state)
{
    static const struct step s[] = {{"a", "1"}, {"moved", "2"}, {"moved", "3"}};
    struct vg_error err;
    (void)state;
    assert_int_equal(LATEST(s, 1, false, 4096, &err), VG_OK);
    assert_string_equal(told, "a=1 moved=3 ");
}

/* A reader gives nothing also when its log is busy. */
static void one_read_that_gives_nothing_is_not_the_end(void **state)
{
    static const struct step s[] = {{"a", "1"}, {NULL, NULL}, {"b", "2"}, {NULL, NULL}, {"c", "3"}};
    struct vg_error err;
    (void)state;
    assert_int_equal(LATEST(s, 1, false, 4096, &err), VG_OK);
    assert_string_equal(told, "a=1 b=2 c=3 ");
}

static void a_log_that_falls_silent_before_its_end_is_given_up(void **state)
{
    static const struct step s[] = {{"a", "1"}};
    struct vg_error err;
    (void)state;
    assert_int_equal(LATEST(s, SIZE_MAX, false, 4096, &err), VG_E_TIMEOUT);
    assert_string_equal(err.text, "script:: nothing could be read for 0 s");
    assert_string_equal(told, "");
}

static void changes_without_end_are_given_up(void **state)
{
    static const struct step s[] = {{"a", "1"}, {"a", "2"}};
    struct vg_error err;
    (void)state;
    assert_int_equal(LATEST(s, 2, true, 4096, &err), VG_E_TIMEOUT);
    assert_string_equal(told, "");
}

static void more_than_the_bound_is_refused_and_a_key_counts_once(void **state)
{
    static const struct step one[] = {{"a", "1234567890"}, {"a", "1234567890"},
                                      {"a", "1234567890"}, {"a", "1"},
                                      {"a", NULL},         {"a", "1234567890"}};
    static const struct step two[] = {{"a", "1234567890"}, {"b", "1234567890"}};
    struct vg_error err;
    (void)state;
    assert_int_equal(LATEST(one, 6, false, 80, &err), VG_OK);
    assert_string_equal(told, "a=1234567890 ");
    assert_int_equal(LATEST(two, 2, false, 80, &err), VG_E_FULL);
    assert_string_equal(err.text, "the newest values of alarm-state take more than 80 bytes");
    assert_string_equal(told, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_told_once_with_what_it_last_was),
        cmocka_unit_test(a_key_that_moved_behind_the_end_is_told),
        cmocka_unit_test(one_read_that_gives_nothing_is_not_the_end),
        cmocka_unit_test(a_log_that_falls_silent_before_its_end_is_given_up),
        cmocka_unit_test(changes_without_end_are_given_up),
        cmocka_unit_test(more_than_the_bound_is_refused_and_a_key_counts_once),
    };
    return cmocka_run_group_tests_name("latest", tests, NULL, NULL);
}
