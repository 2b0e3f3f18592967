/* vg_program_main from outside: a small program (sample.c) runs as a child process.
 *
 * The child's standard output is a pipe and its standard error a file. Nothing sleeps: the test
 * reads until a line is there, or asks the page until it answers, each with a deadline. */
#include "vigia/clock.h"

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM     VIGIA_BINARY_DIR "/tests/vg_sample"
#define DEADLINE_MS 20000
#define ARGS_MAX    24

static char folder[64];
static char out[65536], err[65536];
static size_t out_len;

struct child {
    pid_t pid;
    int out;
};

static int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/vigia-program-XXXXXX");
    return mkdtemp(folder) == NULL || chdir(folder) != 0 ? -1 : 0;
}

static int folder_remove(void **state)
{
    (void)state;
    static const char *const names[] = {"a.ini", "err", "ready", "notify", NULL};
    for (int i = 0; names[i] != NULL; i++) {
        (void)unlink(names[i]);
    }
    return chdir("/") != 0 || rmdir(folder) != 0 ? -1 : 0;
}

static void write_config(const char *text)
{
    FILE *f = fopen("a.ini", "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Starts the sample with these arguments; the last is NULL. $VIGIA_EMULATOR (words) runs it where
 * it was built for another machine. */
static struct child start(const char *const *args)
{
    struct child c;
    int ends[2], argc = 0;
    char *argv[ARGS_MAX + 1] = {NULL}, emulator[256], *rest = emulator;
    const char *words = getenv("VIGIA_EMULATOR");
    snprintf(emulator, sizeof emulator, "%s", words == NULL ? "" : words);
    for (char *word; (word = strsep(&rest, " ")) != NULL && argc < 8;) {
        if (word[0] != '\0') {
            argv[argc++] = word;
        }
    }
    argv[argc++] = (char *)(uintptr_t)PROGRAM;
    for (int i = 0; args[i] != NULL; i++) {
        assert_true(argc < ARGS_MAX);
        argv[argc++] = (char *)(uintptr_t)args[i];
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    c.pid = fork();
    assert_true(c.pid >= 0);
    if (c.pid == 0) {
        int errors = open("err", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
        if (dup2(ends[1], STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0) {
            _exit(99);
        }
        execvp(argv[0], argv);
        _exit(99);
    }
    close(ends[1]);
    c.out = ends[0];
    out_len = 0;
    out[0] = '\0';
    return c;
}

/* Reads on until `text` is on its standard output; an end or the deadline fails the test. */
static void wait_for(const struct child *c, const char *text)
{
    const struct vg_clock *clock = vg_clock_system();
    struct vg_mono until = vg_mono_add_ms(vg_now_mono(clock), DEADLINE_MS);
    while (strstr(out, text) == NULL) {
        int64_t left = vg_mono_diff_ms(until, vg_now_mono(clock));
        struct pollfd p = {.fd = c->out, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) <= 0) {
            fail_msg("no '%s' within %d ms; so far: %s", text, DEADLINE_MS, out);
        }
        ssize_t n = read(c->out, out + out_len, sizeof out - 1 - out_len);
        if (n <= 0) {
            fail_msg("ended without '%s'; so far: %s", text, out);
        }
        out_len += (size_t)n;
        out[out_len] = '\0';
    }
}

static void read_err(void)
{
    FILE *f = fopen("err", "r");
    assert_non_null(f);
    err[fread(err, 1, sizeof err - 1, f)] = '\0';
    fclose(f);
}

static void wait_for_log(const char *text)
{
    const struct vg_clock *clock = vg_clock_system();
    struct vg_mono until = vg_mono_add_ms(vg_now_mono(clock), DEADLINE_MS);
    do {
        read_err();
        assert_true(vg_mono_diff_ms(until, vg_now_mono(clock)) > 0);
    } while (strstr(err, text) == NULL);
}

/* Waits for its end, collects what it wrote, returns its exit code. */
static int finish(struct child *c)
{
    ssize_t n;
    while ((n = read(c->out, out + out_len, sizeof out - 1 - out_len)) > 0) {
        out_len += (size_t)n;
    }
    out[out_len] = '\0';
    close(c->out);
    int status;
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    read_err();
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Lines of the log that hold `text`. */
static int count_of(const char *text)
{
    int n = 0;
    for (const char *at = strstr(err, text); at != NULL; at = strstr(at + 1, text)) {
        n++;
    }
    return n;
}

#define RUN(...)                                                                                   \
    (running_child = start((const char *const[]){__VA_ARGS__, NULL}), finish(&running_child))
static struct child running_child;

/* --- one-shot options --- */

static void help_prints_options_and_keys(void **state)
{
    (void)state;
    assert_int_equal(RUN("--help"), 0);
    assert_non_null(strstr(out, "Usage: vigia-sample [OPTION]..."));
    assert_non_null(strstr(out, "--digit N"));
    assert_non_null(strstr(out, "--check-config"));
    assert_non_null(strstr(out, "number: 1 to 10 things; default 3; reloadable"));
    assert_string_equal(err, "");
    assert_int_equal(RUN("-h"), 0);
    assert_non_null(strstr(out, "Usage: "));
}

static void version_prints_one_line(void **state)
{
    (void)state;
    assert_int_equal(RUN("--version"), 0);
    assert_string_equal(out, "vigia-sample " VIGIA_VERSION "\n");
}

static void the_manual_is_a_page_of_section_8(void **state)
{
    (void)state;
    assert_int_equal(RUN("--manual"), 0);
    static const char head[] = "vigia-sample(8)\n\n# NAME\n\nvigia-sample - a program for tests\n\n"
                               "# SYNOPSIS\n\n*vigia-sample* [_OPTION_]...\n\n# DESCRIPTION\n";
    assert_memory_equal(out, head, sizeof head - 1);
    assert_non_null(strstr(out, "# OPTIONS\n"));
    assert_non_null(strstr(out, "# CONFIGURATION\n\n## [sample]\n"));
    assert_non_null(strstr(out, "# EXIT STATUS\n"));
    assert_non_null(strstr(out, "_/nonexistent/vigia/sample.ini_"));
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
        assert_non_null(strstr(err, cases[i].line));
        assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
        assert_string_equal(out, "");
    }
    assert_int_equal(RUN("--set", "sample.required=x", "--digit", "x"), 2);
    assert_string_equal(err, "--digit: 'x', accepted: a digit\n");
}

static void a_wrong_configuration_exits_78_with_file_line_and_key(void **state)
{
    (void)state;
    write_config("[sample]\nrequired = x\ncount = 99\n");
    assert_int_equal(RUN("--config", "a.ini", "--check-config"), 78);
    assert_string_equal(err, "a.ini:3: sample.count: '99', accepted: 1 to 10 things\n");
    assert_int_equal(RUN("--config", "a.ini"), 78);
    assert_string_equal(err, "a.ini:3: sample.count: '99', accepted: 1 to 10 things\n");
    assert_int_equal(RUN("--config", "none.ini"), 78);
    assert_string_equal(err, "none.ini: cannot be opened: No such file or directory\n");
    write_config("[sample]\nrequired = x\ncount = 7\n");
    assert_int_equal(RUN("--config", "a.ini", "--check-config"), 78);
    assert_string_equal(err, "a.ini:3: sample.count: 7 is unlucky, accepted: any other\n");
    assert_int_equal(RUN("--check-config"), 78);
    assert_string_equal(err, "no configuration file: sample.required: missing, accepted: text of "
                             "at most 31 bytes\n");
    assert_string_equal(out, "");
}

static void help_and_manual_say_what_a_hup_does(void **state)
{
    (void)state;
    assert_int_equal(RUN("--help"), 0);
    assert_non_null(strstr(out, "\nSIGHUP: Keys marked reloadable take effect.\n"));
    assert_int_equal(RUN("--manual"), 0);
    assert_non_null(strstr(out, "\n*SIGHUP*\n\tKeys marked reloadable take effect. Any other"));

    setenv("SAMPLE_WITHOUT_RELOAD", "1", 1);
    assert_int_equal(RUN("--help"), 0);
    assert_non_null(strstr(out, "\nSIGHUP: Refused. "));
    assert_int_equal(RUN("--manual"), 0);
    assert_non_null(strstr(out, "\n*SIGHUP*\n\tRefused with the log line _reload-refused_"));
    const char *const args[] = {"--set", "sample.required=x", NULL};
    struct child c = start(args);
    unsetenv("SAMPLE_WITHOUT_RELOAD");
    wait_for(&c, "start\n");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    wait_for_log("msg=reload-refused reason=\"this program cannot reload\"\n");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(finish(&c), 0);
    assert_string_equal(out, "start\ndrain\nstop\n");
}

static void a_right_configuration_is_checked_in_silence(void **state)
{
    (void)state;
    write_config("[sample]\nrequired = x\n");
    assert_int_equal(RUN("--config", "a.ini", "--check-config"), 0);
    assert_string_equal(out, "");
    assert_string_equal(err, "");
}

static void a_dump_shows_what_is_in_effect_and_reads_back(void **state)
{
    (void)state;
    write_config("[sample]\nrequired = x\ncount = 4\nsecret = hush\n");
    assert_int_equal(RUN("--config", "a.ini", "--dump-config", "--set", "sample.fixed=b c"), 0);
    assert_non_null(strstr(out, "\ncount = 4\n"));
    assert_non_null(strstr(out, "\nfixed = b c\n"));
    assert_null(strstr(out, "hush"));
    write_config(out);
    assert_int_equal(RUN("--config", "a.ini", "--check-config"), 0);
    assert_int_equal(RUN("--dump-config"), 0); /* a template: nothing is required */
    assert_non_null(strstr(out, "\n# required = \n"));
}

static void a_standalone_option_needs_no_configuration_and_starts_nothing(void **state)
{
    (void)state;
    assert_int_equal(RUN("--once", "--digit", "4"), 0);
    assert_string_equal(out, "once 4\n");
    assert_string_equal(err, "");
}

/* --- running --- */

static void a_start_that_fails_is_one_line_and_exit_1(void **state)
{
    (void)state;
    assert_int_equal(RUN("--set", "sample.required=x", "--set", "sample.fail_start=yes"), 1);
    assert_string_equal(out, "");
    assert_non_null(strstr(err, "level=error prog=vigia-sample msg=start-failed class=io "
                                "reason=\"the sample does not want to start\"\n"));
    assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
}

static void a_failure_from_inside_stops_and_gives_its_exit_code(void **state)
{
    (void)state;
    assert_int_equal(RUN("--set", "sample.required=x", "--set", "sample.fail_code=42"), 42);
    assert_string_equal(out, "start\nstop\n");
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
        assert_string_equal(out, "start\ndrain\nstop\n");
        assert_non_null(strstr(err, i == 0 ? "\"msg\":\"draining\",\"signal\":\"TERM\"}"
                                           : "\"msg\":\"draining\",\"signal\":\"INT\"}"));
        assert_non_null(strstr(err, "\"msg\":\"stopped\",\"exit\":\"0\"}\n"));
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
    assert_string_equal(out, "start\ndrain\n");
    assert_non_null(strstr(err, "msg=killed signal=TERM"));
}

static void a_hup_reloads_what_may_be_reloaded(void **state)
{
    (void)state;
    write_config("[sample]\nrequired = x\ncount = 4\n");
    const char *const args[] = {"--config", "a.ini", NULL};
    struct child c = start(args);
    wait_for(&c, "start\n");
    write_config("[sample]\nrequired = x\ncount = 5\nfixed = changed\n");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    wait_for(&c, "reload 4 5 a\n");
    write_config("[sample]\nrequired = x\ncount = 6\n");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    wait_for(&c, "reload 5 6 a\n");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(finish(&c), 0);
    assert_non_null(strstr(err, "msg=reload-needs-restart key=sample.fixed\n"));
    assert_int_equal(count_of("msg=reloaded"), 2);
    assert_int_equal(count_of("msg=reload-refused"), 0);
}

static void a_reload_that_the_program_refuses_is_one_line_and_changes_nothing(void **state)
{
    (void)state;
    write_config("[sample]\nrequired = x\ncount = 4\n");
    const char *const args[] = {"--config", "a.ini", NULL};
    struct child c = start(args);
    wait_for(&c, "start\n");
    write_config("[sample]\nrequired = x\ncount = 9\n");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    wait_for(&c, "reload refused\n");
    write_config("[sample]\nrequired = x\ncount = 5\n");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    wait_for(&c, "reload 4 5 a\n");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(finish(&c), 0);
    assert_non_null(strstr(err, "level=error prog=vigia-sample msg=reload-refused "
                                "reason=\"a.ini:3: sample.count: 9 cannot be had now\"\n"));
    assert_int_equal(count_of("msg=reload-refused"), 1);
    assert_int_equal(count_of("msg=reloaded"), 1);
}

/* --- the page --- */

static struct sockaddr_in page_address(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
    struct sockaddr_in at = page_address(0);
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static char answer[131072];

/* One request on a connection of its own; the whole answer lies in `answer`. */
static void request(uint16_t port, const char *method, const char *path)
{
    char text[256];
    struct sockaddr_in at = page_address(port);
    struct timeval limit = {.tv_sec = DEADLINE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    int len = snprintf(text, sizeof text,
                       "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                       "Content-Length: 0\r\n\r\n",
                       method, path);
    assert_int_equal(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
    size_t got = 0;
    for (ssize_t n; (n = recv(fd, answer + got, sizeof answer - 1 - got, 0)) > 0;) {
        got += (size_t)n;
    }
    answer[got] = '\0';
    close(fd);
}

static void answers(uint16_t port, const char *method, const char *path, const char *status,
                    const char *body)
{
    request(port, method, path);
    assert_memory_equal(answer, status, strlen(status));
    assert_non_null(strstr(answer, body));
}

static void the_page_answers_metrics_and_health(void **state)
{
    (void)state;
    char listen_set[64], ready_set[128];
    uint16_t port = free_port();
    snprintf(listen_set, sizeof listen_set, "metrics.listen=127.0.0.1:%u", (unsigned)port);
    snprintf(ready_set, sizeof ready_set, "sample.ready_file=%s/ready", folder);
    (void)unlink("ready");
    const char *const args[] = {"--set", "sample.required=x", "--set", listen_set,
                                "--set", ready_set,           NULL};
    struct child c = start(args);
    wait_for(&c, "start\n"); /* the page listens before start */
    answers(port, "GET", "/healthz", "HTTP/1.1 200 ", "\r\n\r\nok\n");
    answers(port, "GET", "/readyz", "HTTP/1.1 503 ", "\r\n\r\nnot ready\n");
    FILE *f = fopen("ready", "w");
    assert_non_null(f);
    fclose(f);
    answers(port, "GET", "/readyz", "HTTP/1.1 200 ", "\r\n\r\nready\n");
    answers(port, "GET", "/metrics", "HTTP/1.1 200 ",
            "\n# TYPE vigia_log_suppressed_lines_total counter\n"
            "vigia_log_suppressed_lines_total 0\n");
    assert_non_null(strstr(answer, "text/plain; version=0.0.4"));
    assert_non_null(strstr(answer, "\nprocess_resident_memory_bytes "));
    answers(port, "HEAD", "/healthz", "HTTP/1.1 200 ", "\r\n\r\n");
    answers(port, "GET", "/other", "HTTP/1.1 404 ", "/metrics /healthz /readyz");
    answers(port, "POST", "/metrics", "HTTP/1.1 405 ", "only GET");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(finish(&c), 0);
}

static void a_port_in_use_is_one_clear_line_and_nothing_starts(void **state)
{
    (void)state;
    struct sockaddr_in at = page_address(0);
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    char set[64], line[256];
    unsigned port = ntohs(at.sin_port);
    snprintf(set, sizeof set, "metrics.listen=127.0.0.1:%u", port);
    assert_int_equal(RUN("--set", "sample.required=x", "--set", set), 78);
    snprintf(line, sizeof line,
             "msg=start-failed class=exists reason=\"--set: metrics.listen: 127.0.0.1:%u "
             "cannot be listened on: Address already in use; accepted: an address of this machine "
             "and a free TCP port\"\n",
             port);
    assert_non_null(strstr(err, line));
    assert_string_equal(out, "");
    close(fd);
}

static void an_address_that_is_none_is_told(void **state)
{
    (void)state;
    assert_int_equal(RUN("--set", "sample.required=x", "--set", "metrics.listen=localhost"), 78);
    assert_non_null(strstr(err, "metrics.listen: 'localhost': accepted: host:port"));
    assert_int_equal(RUN("--set", "sample.required=x", "--set", "metrics.listen=192.0.2.1:9464"),
                     78);
    assert_non_null(strstr(err, "metrics.listen: 192.0.2.1:9464 cannot be listened on"));
}

/* --- the service manager --- */

static char notified[4096];

/* Collects datagrams until one of them is `text`. */
static void wait_for_notification(int fd, const char *text)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, DEADLINE_MS) != 1) {
            fail_msg("no '%s' within %d ms", text, DEADLINE_MS);
        }
        ssize_t n = recv(fd, notified, sizeof notified - 1, 0);
        assert_true(n >= 0);
        notified[n] = '\0';
        if (strncmp(notified, text, strlen(text)) == 0) {
            return;
        }
    }
}

static void the_service_manager_hears_of_every_change(void **state)
{
    (void)state;
    char ready_set[128];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s/notify", folder);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    setenv("WATCHDOG_USEC", "20000", 1);
    (void)unlink("ready");
    snprintf(ready_set, sizeof ready_set, "sample.ready_file=%s/ready", folder);
    const char *const args[] = {"--set", "sample.required=x", "--set", ready_set, NULL};
    struct child c = start(args);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    wait_for_notification(fd, "WATCHDOG=1"); /* turns before it is ready */
    wait_for_notification(fd, "WATCHDOG=1");
    FILE *f = fopen("ready", "w");
    assert_non_null(f);
    fclose(f);
    wait_for_notification(fd, "READY=1");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    wait_for_notification(fd, "RELOADING=1\nMONOTONIC_USEC=");
    wait_for_notification(fd, "READY=1");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    wait_for_notification(fd, "STOPPING=1");
    assert_int_equal(finish(&c), 0);
    close(fd);
}

static void a_reload_that_is_refused_leaves_the_running_configuration(void **state)
{
    (void)state;
    write_config("[sample]\nrequired = x\ncount = 4\n");
    const char *const args[] = {"--config", "a.ini", NULL};
    struct child c = start(args);
    wait_for(&c, "start\n");
    write_config("[sample]\nrequired = x\ncount = 99\n");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    wait_for_log("msg=reload-failed reason=\"a.ini:3: sample.count: '99', accepted: 1 to 10 "
                 "things\"\n");
    write_config("[sample]\nrequired = x\ncount = 5\n");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    wait_for(&c, "reload 4 5 a\n");
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
        cmocka_unit_test(the_page_answers_metrics_and_health),
        cmocka_unit_test(a_port_in_use_is_one_clear_line_and_nothing_starts),
        cmocka_unit_test(an_address_that_is_none_is_told),
        cmocka_unit_test(the_service_manager_hears_of_every_change),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
