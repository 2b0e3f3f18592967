/* vg_program_main from outside: its options, its configuration, its signals. */
#include "child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- one-shot options --- */

static void help_prints_options_and_keys(void **state)
{
    (void)state;
    assert_int_equal(RUN("--help"), 0);
    assert_non_null(strstr(said.out, "Usage: vigia-sample [OPTION]..."));
    assert_non_null(strstr(said.out, "--digit N"));
    assert_non_null(strstr(said.out, "--check-config"));
    assert_non_null(strstr(said.out, "number: 1 to 10 things; default 3; reloadable"));
    assert_string_equal(said.err, "");
    assert_int_equal(RUN("-h"), 0);
    assert_non_null(strstr(said.out, "Usage: "));
}

static void version_prints_one_line(void **state)
{
    (void)state;
    assert_int_equal(RUN("--version"), 0);
    assert_string_equal(said.out, "vigia-sample " VIGIA_VERSION "\n");
}

static void the_manual_is_a_page_of_section_8(void **state)
{
    (void)state;
    assert_int_equal(RUN("--manual"), 0);
    static const char head[] = "vigia-sample(8)\n\n# NAME\n\nvigia-sample - a program for tests\n\n"
                               "# SYNOPSIS\n\n*vigia-sample* [_OPTION_]...\n\n# DESCRIPTION\n";
    assert_memory_equal(said.out, head, sizeof head - 1);
    assert_non_null(strstr(said.out, "# OPTIONS\n"));
    assert_non_null(strstr(said.out, "# CONFIGURATION\n\n## [sample]\n"));
    assert_non_null(strstr(said.out, "# EXIT STATUS\n"));
    assert_non_null(strstr(said.out, "_/nonexistent/vigia/sample.ini_"));
}

static void a_wrong_command_line_exits_2_with_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *argument, *line;
    } cases[] = {
        {"--bogus", "unrecognized option '--bogus'\n"},
        {"--config", "option '--config' requires an argument\n"},
        {"extra", "vigia-sample: 'extra': no arguments are accepted, see --help\n"},
        {"--log-level=loud",
         "vigia-sample: --log-level: 'loud', accepted: error, warn, info or debug\n"},
        {"--log-format=xml", "vigia-sample: --log-format: 'xml', accepted: logfmt or json\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(RUN(cases[i].argument), 2);
        assert_non_null(strstr(said.err, cases[i].line));
        assert_ptr_equal(strchr(said.err, '\n'), said.err + strlen(said.err) - 1);
        assert_string_equal(said.out, "");
    }
    assert_int_equal(RUN("--set", "sample.required=x", "--digit", "x"), 2);
    assert_string_equal(said.err, "--digit: 'x', accepted: a digit\n");
}

static void a_wrong_configuration_exits_78_with_file_line_and_key(void **state)
{
    (void)state;
    write_config("[sample]\nrequired = x\ncount = 99\n");
    assert_int_equal(RUN("--config", "a.ini", "--check-config"), 78);
    assert_string_equal(said.err, "a.ini:3: sample.count: '99', accepted: 1 to 10 things\n");
    assert_int_equal(RUN("--config", "a.ini"), 78);
    assert_string_equal(said.err, "a.ini:3: sample.count: '99', accepted: 1 to 10 things\n");
    assert_int_equal(RUN("--config", "none.ini"), 78);
    assert_string_equal(said.err, "none.ini: cannot be opened: No such file or directory\n");
    write_config("[sample]\nrequired = x\ncount = 7\n");
    assert_int_equal(RUN("--config", "a.ini", "--check-config"), 78);
    assert_string_equal(said.err, "a.ini:3: sample.count: 7 is unlucky, accepted: any other\n");
    assert_int_equal(RUN("--check-config"), 78);
    assert_string_equal(said.err,
                        "no configuration file: sample.required: missing, accepted: text of "
                        "at most 31 bytes\n");
    assert_string_equal(said.out, "");
}

static void help_and_manual_say_what_a_hup_does(void **state)
{
    (void)state;
    assert_int_equal(RUN("--help"), 0);
    assert_non_null(strstr(said.out, "\nSIGHUP: Keys marked reloadable take effect.\n"));
    assert_int_equal(RUN("--manual"), 0);
    assert_non_null(
        strstr(said.out, "\n*SIGHUP*\n\tKeys marked reloadable take effect. Any other"));

    setenv("SAMPLE_WITHOUT_RELOAD", "1", 1);
    assert_int_equal(RUN("--help"), 0);
    assert_non_null(strstr(said.out, "\nSIGHUP: Refused. "));
    assert_int_equal(RUN("--manual"), 0);
    assert_non_null(strstr(said.out, "\n*SIGHUP*\n\tRefused with the log line _reload-refused_"));
    const char *const args[] = {"--set", "sample.required=x", NULL};
    struct child c = start(args);
    unsetenv("SAMPLE_WITHOUT_RELOAD");
    wait_for(&c, "start\n");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    wait_for_log("msg=reload-refused reason=\"this program cannot reload\"\n");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(finish(&c), 0);
    assert_string_equal(said.out, "start\ndrain\nstop\n");
}

static void a_right_configuration_is_checked_in_silence(void **state)
{
    (void)state;
    write_config("[sample]\nrequired = x\n");
    assert_int_equal(RUN("--config", "a.ini", "--check-config"), 0);
    assert_string_equal(said.out, "");
    assert_string_equal(said.err, "");
}

static void a_dump_shows_what_is_in_effect_and_reads_back(void **state)
{
    (void)state;
    write_config("[sample]\nrequired = x\ncount = 4\nsecret = hush\n");
    assert_int_equal(RUN("--config", "a.ini", "--dump-config", "--set", "sample.fixed=b c"), 0);
    assert_non_null(strstr(said.out, "\ncount = 4\n"));
    assert_non_null(strstr(said.out, "\nfixed = b c\n"));
    assert_null(strstr(said.out, "hush"));
    write_config(said.out);
    assert_int_equal(RUN("--config", "a.ini", "--check-config"), 0);
    assert_int_equal(RUN("--dump-config"), 0); /* a template: nothing is required */
    assert_non_null(strstr(said.out, "\n# required = \n"));
}

static void a_standalone_option_needs_no_configuration_and_starts_nothing(void **state)
{
    (void)state;
    assert_int_equal(RUN("--once", "--digit", "4"), 0);
    assert_string_equal(said.out, "once 4\n");
    assert_string_equal(said.err, "");
}

/* --- running --- */

static void a_start_that_fails_is_one_line_and_exit_1(void **state)
{
    (void)state;
    assert_int_equal(RUN("--set", "sample.required=x", "--set", "sample.fail_start=yes"), 1);
    assert_string_equal(said.out, "");
    assert_non_null(strstr(said.err, "level=error prog=vigia-sample msg=start-failed class=io "
                                     "reason=\"the sample does not want to start\"\n"));
    assert_ptr_equal(strchr(said.err, '\n'), said.err + strlen(said.err) - 1);
}

static void a_failure_from_inside_stops_and_gives_its_exit_code(void **state)
{
    (void)state;
    assert_int_equal(RUN("--set", "sample.required=x", "--set", "sample.fail_code=42"), 42);
    assert_string_equal(said.out, "start\nstop\n");
}

static void a_term_drains_stops_and_exits_0(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *const args[] = {"--set", "sample.required=x", "--log-format", "json", NULL};
        struct child c = start(args);
        wait_for(&c, "start\n");
        assert_int_equal(kill(c.pid, i == 0 ? SIGTERM : SIGINT), 0);
        assert_int_equal(finish(&c), 0);
        assert_string_equal(said.out, "start\ndrain\nstop\n");
        assert_non_null(strstr(said.err, i == 0 ? "\"msg\":\"draining\",\"signal\":\"TERM\"}"
                                                : "\"msg\":\"draining\",\"signal\":\"INT\"}"));
        assert_non_null(strstr(said.err, "\"msg\":\"stopped\",\"exit\":\"0\"}\n"));
    }
}

static void a_second_signal_ends_a_drain_at_once(void **state)
{
    (void)state;
    const char *const args[] = {"--set", "sample.required=x", "--set", "sample.drain=never", NULL};
    struct child c = start(args);
    wait_for(&c, "start\n");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    wait_for(&c, "drain\n");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(finish(&c), 1);
    assert_string_equal(said.out, "start\ndrain\n");
    assert_non_null(strstr(said.err, "msg=killed signal=TERM"));
}

static struct child started_with(const char *config)
{
    const char *const args[] = {"--config", "a.ini", NULL};
    write_config(config);
    const struct child c = start(args);
    wait_for(&c, "start\n");
    return c;
}

/* With another configuration, until the program has said so. */
static void hang_up(const struct child *c, const char *config, const char *text)
{
    write_config(config);
    assert_int_equal(kill(c->pid, SIGHUP), 0);
    wait_for(c, text);
}

static void a_hup_reloads_what_may_be_reloaded(void **state)
{
    (void)state;
    struct child c = started_with("[sample]\nrequired = x\ncount = 4\n");
    hang_up(&c, "[sample]\nrequired = x\ncount = 5\nfixed = changed\n", "reload 4 5 a\n");
    hang_up(&c, "[sample]\nrequired = x\ncount = 6\n", "reload 5 6 a\n");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(finish(&c), 0);
    assert_non_null(strstr(said.err, "msg=reload-needs-restart key=sample.fixed\n"));
    assert_int_equal(count_of("msg=reloaded"), 2);
    assert_int_equal(count_of("msg=reload-refused"), 0);
}

static void a_reload_that_the_program_refuses_is_one_line_and_changes_nothing(void **state)
{
    (void)state;
    struct child c = started_with("[sample]\nrequired = x\ncount = 4\n");
    hang_up(&c, "[sample]\nrequired = x\ncount = 9\n", "reload refused\n");
    hang_up(&c, "[sample]\nrequired = x\ncount = 5\n", "reload 4 5 a\n");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(finish(&c), 0);
    assert_non_null(strstr(said.err, "level=error prog=vigia-sample msg=reload-refused "
                                     "reason=\"a.ini:3: sample.count: 9 cannot be had now\"\n"));
    assert_int_equal(count_of("msg=reload-refused"), 1);
    assert_int_equal(count_of("msg=reloaded"), 1);
}

static void a_reload_that_is_refused_leaves_the_running_configuration(void **state)
{
    (void)state;
    struct child c = started_with("[sample]\nrequired = x\ncount = 4\n");
    write_config("[sample]\nrequired = x\ncount = 99\n");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    wait_for_log("msg=reload-failed reason=\"a.ini:3: sample.count: '99', accepted: 1 to 10 "
                 "things\"\n");
    hang_up(&c, "[sample]\nrequired = x\ncount = 5\n", "reload 4 5 a\n");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(finish(&c), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_prints_options_and_keys),
        cmocka_unit_test(version_prints_one_line),
        cmocka_unit_test(the_manual_is_a_page_of_section_8),
        cmocka_unit_test(help_and_manual_say_what_a_hup_does),
        cmocka_unit_test(a_wrong_command_line_exits_2_with_one_line),
        cmocka_unit_test(a_wrong_configuration_exits_78_with_file_line_and_key),
        cmocka_unit_test(a_right_configuration_is_checked_in_silence),
        cmocka_unit_test(a_dump_shows_what_is_in_effect_and_reads_back),
        cmocka_unit_test(a_standalone_option_needs_no_configuration_and_starts_nothing),
        cmocka_unit_test(a_start_that_fails_is_one_line_and_exit_1),
        cmocka_unit_test(a_failure_from_inside_stops_and_gives_its_exit_code),
        cmocka_unit_test(a_term_drains_stops_and_exits_0),
        cmocka_unit_test(a_second_signal_ends_a_drain_at_once),
        cmocka_unit_test(a_hup_reloads_what_may_be_reloaded),
        cmocka_unit_test(a_reload_that_the_program_refuses_is_one_line_and_changes_nothing),
        cmocka_unit_test(a_reload_that_is_refused_leaves_the_running_configuration),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
