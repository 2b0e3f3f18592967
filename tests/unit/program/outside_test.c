/* What others hear of a program: its page of metrics and health, and the service manager. */
#include "child.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

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
    assert_non_null(strstr(said.err, line));
    assert_string_equal(said.out, "");
    close(fd);
}

static void an_address_that_is_none_is_told(void **state)
{
    (void)state;
    assert_int_equal(RUN("--set", "sample.required=x", "--set", "metrics.listen=localhost"), 78);
    assert_non_null(strstr(said.err, "metrics.listen: 'localhost': accepted: host:port"));
    assert_int_equal(RUN("--set", "sample.required=x", "--set", "metrics.listen=192.0.2.1:9464"),
                     78);
    assert_non_null(strstr(said.err, "metrics.listen: 192.0.2.1:9464 cannot be listened on"));
}

static void a_page_that_cannot_go_on_ends_the_program_with_one_line_and_1(void **state)
{
    (void)state;
    char set[64];
    uint16_t port = free_port();
    snprintf(set, sizeof set, "metrics.listen=127.0.0.1:%u", (unsigned)port);
    const char *const args[] = {"--set", "sample.required=x", "--set", set, NULL};
    setenv("SAMPLE_KEEPS_WATCHING", "1", 1);
    struct child c = start(args);
    unsetenv("SAMPLE_KEEPS_WATCHING");
    wait_for(&c, "start\n");
    answers(port, "GET", "/healthz", "HTTP/1.1 200 ", "\r\n\r\nok\n");
    assert_int_equal(finish(&c), 1);
    const char *line = strstr(said.err, "level=error prog=vigia-sample msg=page-failed reason=\"");
    assert_non_null(line);
    assert_non_null(strstr(line, "daemon.c:"));
    assert_string_equal(strstr(line, ": Failed"), ": Failed to remove FD from epoll set.\"\n");
    assert_int_equal(count_of("level=error"), 1);
    assert_int_equal(count_of("Fatal error"), 0);
    assert_string_equal(said.out, "start\n"); /* nothing is drained or stopped any more */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_answers_metrics_and_health),
        cmocka_unit_test(a_port_in_use_is_one_clear_line_and_nothing_starts),
        cmocka_unit_test(an_address_that_is_none_is_told),
        cmocka_unit_test(a_page_that_cannot_go_on_ends_the_program_with_one_line_and_1),
        cmocka_unit_test(the_service_manager_hears_of_every_change),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
