/* Log lines: both forms, quoting, the limit. Standard error is a file while a line is written. */
#include "unit.h"
#include "vigia/log.h"

#include <fcntl.h>
#include <sys/socket.h>

static struct vg_fake_clock fake;
static char lines[65536];
static int real_stderr = -1, capture = -1;

static void begin(void)
{
    fflush(stderr);
    real_stderr = dup(STDERR_FILENO);
    capture = open("err", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    assert_true(real_stderr >= 0 && capture >= 0);
    assert_true(dup2(capture, STDERR_FILENO) >= 0);
}

static void end(void)
{
    assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
    ssize_t len = pread(capture, lines, sizeof lines - 1, 0);
    assert_true(len >= 0);
    lines[len] = '\0';
    close(real_stderr);
    close(capture);
}

static int set_up(void **state)
{
    (void)state;
    unsetenv("JOURNAL_STREAM");
    vg_fake_clock_init(&fake, 1793194820123);
    vg_log_set_clock(&fake.clock);
    vg_log_init("vigia-test", VG_LOG_INFO, VG_LOG_LOGFMT);
    return 0;
}

#define CAPTURE(statement)                                                                         \
    do {                                                                                           \
        begin();                                                                                   \
        statement;                                                                                 \
        end();                                                                                     \
    } while (0)

#define HEAD "2026-10-28T13:40:20.123Z level=info prog=vigia-test msg="

static size_t count_lines(void)
{
    size_t count = 0;
    for (const char *c = lines; *c != '\0'; c++) {
        count += *c == '\n' ? 1 : 0;
    }
    return count;
}

static void a_line_has_time_level_program_id_and_pairs(void **state)
{
    (void)state;
    CAPTURE(vg_log_info("uplink-up", "collector=%s cid=%d", "c1", 1));
    assert_string_equal(lines, HEAD "uplink-up collector=c1 cid=1\n");
    CAPTURE(vg_log_error("bare", ""));
    assert_string_equal(lines, "2026-10-28T13:40:20.123Z level=error prog=vigia-test msg=bare\n");
}

static void a_level_below_the_threshold_is_silent(void **state)
{
    (void)state;
    enum vg_log_level level;
    CAPTURE(vg_log_debug("x", "a=1"));
    assert_string_equal(lines, "");
    assert_true(vg_log_level_parse("debug", &level));
    vg_log_set_level(level);
    CAPTURE(vg_log_debug("x", "a=1"));
    assert_int_equal(count_lines(), 1);
    assert_true(vg_log_level_parse("error", &level));
    vg_log_set_level(level);
    CAPTURE(vg_log_warn("x", "a=1"));
    assert_string_equal(lines, "");
    assert_false(vg_log_level_parse("loud", &level));
}

static void values_are_quoted_only_where_they_must(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"plain", "plain"},
        {"127.0.0.1:5684", "127.0.0.1:5684"},
        {NULL, "-"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"x\"", "\"say \\\"x\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"line\nbreak\tand\x01", "\"line\\nbreak\\tand\\u0001\""},
        {"del\x7f", "\"del\\u007f\""},
        {"ñandú €", "\"ñandú €\""},
        {"𝄞", "\"𝄞\""},
        {"\xff\xc0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xc3", "\"\\ufffd\""},
        {"\xe0\x80\x80\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xf0\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xf5", "\"\\ufffd\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(VG_Q(cases[i].from), cases[i].to);
    }
}

static void a_value_too_long_is_cut_and_says_so(void **state)
{
    (void)state;
    char out[12];
    assert_string_equal(vg_quote("0123456789a", out, sizeof out), "0123456789a");
    assert_string_equal(vg_quote("0123456789ab", out, sizeof out), "\"012345…\"");
    assert_string_equal(vg_quote("a b", out, 4), "");
    out[0] = 'x';
    assert_ptr_equal(vg_quote("a b", out, 0), out);
    assert_int_equal(out[0], 'x');
}

static void control_bytes_that_nobody_quoted_cannot_break_a_line(void **state)
{
    (void)state;
    CAPTURE(vg_log_info("x", "a=%s", "1\nlevel=error\x7f\xff ñ"));
    assert_string_equal(lines, HEAD "x a=1?level=error?? ñ\n");
}

static void a_line_too_long_is_cut_and_says_so(void **state)
{
    (void)state;
    static char text[2 * VG_LOG_LINE_MAX];
    memset(text, 'x', sizeof text - 1);
    CAPTURE(vg_log_info("x", "a=%s", text));
    assert_int_equal(count_lines(), 1);
    assert_true(strlen(lines) <= VG_LOG_LINE_MAX);
    assert_non_null(strstr(lines, "x…\n"));
    vg_log_init("vigia-test", VG_LOG_INFO, VG_LOG_JSON);
    CAPTURE(vg_log_info("x", "a=1 b=%s", text));
    assert_true(strlen(lines) <= VG_LOG_LINE_MAX);
    assert_non_null(strstr(lines, "\"msg\":\"x\",\"a\":\"1\",\"cut\":\"true\"}\n"));
}

static void the_same_pairs_become_members_in_json(void **state)
{
    (void)state;
    vg_log_init("vigia-test", VG_LOG_INFO, VG_LOG_JSON);
    CAPTURE(vg_log_info("x", "a=1  b=%s c= d=%s", VG_Q("q \"\\\" \n\x01 ñ"), "e\xff"));
    assert_string_equal(lines, "{\"time\":\"2026-10-28T13:40:20.123Z\",\"level\":\"info\",\"prog\":"
                               "\"vigia-test\",\"msg\":\"x\",\"a\":\"1\",\"b\":\"q \\\"\\\\\\\" "
                               "\\n\\u0001 ñ\",\"c\":\"\",\"d\":\"e\\ufffd\"}\n");
    CAPTURE(vg_log_info("y", "reason=\"a \\d \\ux \t\" z=1"));
    assert_non_null(strstr(lines, "\"reason\":\"a \\\\d \\\\ux \\t\",\"z\":\"1\"}\n"));
    CAPTURE(vg_log_info("z", ""));
    assert_non_null(strstr(lines, "\"msg\":\"z\"}\n"));
}

static void text_that_is_no_pairs_is_one_member_in_json(void **state)
{
    (void)state;
    static const char *const texts[] = {"just text", "a=1 text", "=x",       "a=\"open",
                                        "a=\"x\\",   "ñ=1",      "a=\"x\"y", "\"a=1"};
    vg_log_init("vigia-test", VG_LOG_INFO, VG_LOG_JSON);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CAPTURE(vg_log_info("x", "%s", texts[i]));
        assert_non_null(strstr(lines, "\"msg\":\"x\",\"text\":\""));
    }
}

static void the_burst_of_one_id_is_limited_and_told_when_its_window_closes(void **state)
{
    (void)state;
    uint64_t before = vg_log_suppressed();
    begin();
    for (int i = 0; i < VG_LOG_BURST + 5; i++) {
        vg_log_info("many", "i=%d", i);
    }
    vg_log_info("other", "a=1");
    vg_fake_clock_advance_ms(&fake, VG_LOG_WINDOW_MS - 1);
    vg_log_tick();
    end();
    assert_int_equal(count_lines(), VG_LOG_BURST + 1);
    assert_true(vg_log_suppressed() - before == 5);
    vg_fake_clock_advance_ms(&fake, 1);
    CAPTURE(vg_log_tick());
    assert_non_null(
        strstr(lines, "level=warn prog=vigia-test msg=log-suppressed of=many lines=5\n"));
    CAPTURE(vg_log_info("many", "i=again"));
    assert_int_equal(count_lines(), 1);
}

static void more_ids_than_slots_take_over_the_oldest_window(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < VG_LOG_BURST + 3; i++) {
        vg_log_info("first", "");
    }
    for (int i = 0; i < 70; i++) {
        char id[16];
        snprintf(id, sizeof id, "id-%d", i);
        vg_fake_clock_advance_ms(&fake, 1);
        vg_log_info(id, "");
    }
    end();
    assert_non_null(strstr(lines, "msg=log-suppressed of=first lines=3\n"));
    assert_int_equal(count_lines(), VG_LOG_BURST + 1 + 70);
}

static void under_the_journal_a_line_has_a_priority_and_no_time(void **state)
{
    (void)state;
    char stream[64];
    struct stat st;
    begin();
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    vg_log_init("vigia-test", VG_LOG_DEBUG, VG_LOG_LOGFMT);
    vg_log_error("e", "a=1");
    vg_log_debug("d", "a=1");
    setenv("JOURNAL_STREAM", "1:1", 1); /* of somebody else */
    vg_log_init("vigia-test", VG_LOG_INFO, VG_LOG_LOGFMT);
    vg_log_info("i", "");
    setenv("JOURNAL_STREAM", "x", 1);
    vg_log_init("vigia-test", VG_LOG_INFO, VG_LOG_LOGFMT);
    end();
    assert_string_equal(lines, "<3>level=error prog=vigia-test msg=e a=1\n"
                               "<7>level=debug prog=vigia-test msg=d a=1\n" HEAD "i\n");
}

static void without_a_clock_the_systems_is_used(void **state)
{
    (void)state;
    vg_log_set_clock(NULL);
    CAPTURE(vg_log_info("x", ""));
    assert_memory_equal(lines, "20", 2);
    assert_int_equal(count_lines(), 1);
}

#define WITH_LOG(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(a_line_has_time_level_program_id_and_pairs),
        WITH_LOG(a_level_below_the_threshold_is_silent),
        WITH_LOG(values_are_quoted_only_where_they_must),
        WITH_LOG(a_value_too_long_is_cut_and_says_so),
        WITH_LOG(control_bytes_that_nobody_quoted_cannot_break_a_line),
        WITH_LOG(a_line_too_long_is_cut_and_says_so),
        WITH_LOG(the_same_pairs_become_members_in_json),
        WITH_LOG(text_that_is_no_pairs_is_one_member_in_json),
        WITH_LOG(the_burst_of_one_id_is_limited_and_told_when_its_window_closes),
        WITH_LOG(more_ids_than_slots_take_over_the_oldest_window),
        WITH_LOG(under_the_journal_a_line_has_a_priority_and_no_time),
        WITH_LOG(without_a_clock_the_systems_is_used),
    };
    return cmocka_run_group_tests(tests, vgt_folder_make, vgt_folder_remove);
}
