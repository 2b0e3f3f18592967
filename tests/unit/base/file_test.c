/* Secret files, atomic writing, host:port. */
#include "unit.h"
#include "vigia/endpoint.h"
#include "vigia/file.h"

#include <sys/wait.h>

static struct vg_error error;

static void write_secret(const char *text, mode_t mode)
{
    vgt_write("secret", text);
    assert_int_equal(chmod("secret", mode), 0);
}

static void a_secret_of_its_owner_alone_is_read(void **state)
{
    (void)state;
    char buf[8];
    size_t len = 99;
    write_secret("12345678", 0600);
    assert_int_equal(vg_secret_file_read("secret", buf, sizeof buf, &len, &error), VG_OK);
    assert_int_equal(len, 8);
    assert_memory_equal(buf, "12345678", 8);
    write_secret("123", 0600);
    assert_int_equal(chmod("secret", 0400), 0);
    assert_int_equal(vg_secret_file_read("secret", buf, sizeof buf, &len, &error), VG_OK);
    assert_int_equal(len, 3);
    assert_int_equal(vg_secret_file_check("secret", &error), VG_OK);
    assert_int_equal(chmod("secret", 0600), 0);
}

static void a_secret_that_others_may_touch_is_refused(void **state)
{
    (void)state;
    static const mode_t modes[] = {0644, 0640, 0602, 0610, 0601};
    char buf[8] = "before";
    size_t len = 99;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        char expected[64];
        write_secret("123", modes[i]);
        snprintf(expected, sizeof expected, "secret: has mode %04o, accepted: 0600 or 0400",
                 (unsigned)modes[i]);
        assert_int_equal(vg_secret_file_read("secret", buf, sizeof buf, &len, &error), VG_E_DENIED);
        assert_string_equal(error.text, expected);
        assert_int_equal(vg_secret_file_check("secret", NULL), VG_E_DENIED);
        assert_int_equal(chmod("secret", 0600), 0);
    }
    assert_string_equal(buf, "before");
    assert_int_equal(len, 99);
}

static void a_secret_of_the_wrong_kind_is_refused(void **state)
{
    (void)state;
    char buf[4];
    size_t len = 99;
    assert_int_equal(vg_secret_file_read("none", buf, sizeof buf, &len, &error), VG_E_NOTFOUND);
    assert_string_equal(error.text, "none: cannot be read: No such file or directory");
    assert_int_equal(vg_secret_file_read("/proc", buf, sizeof buf, &len, &error), VG_E_INVALID);
    assert_string_equal(error.text, "/proc: is no regular file");
    write_secret("", 0600);
    assert_int_equal(vg_secret_file_read("secret", buf, sizeof buf, &len, &error), VG_E_RANGE);
    assert_string_equal(error.text, "secret: is empty, accepted: 1 to 4 bytes");
    write_secret("12345", 0600);
    assert_int_equal(vg_secret_file_read("secret", buf, sizeof buf, &len, &error), VG_E_RANGE);
    assert_string_equal(error.text, "secret: is too long, accepted: 1 to 4 bytes");
    assert_memory_equal(buf, "\0\0\0\0", 4); /* nothing of it stays */
    assert_int_equal(vg_secret_file_read("secret/x", buf, sizeof buf, &len, &error), VG_E_NOTFOUND);
    assert_int_equal(len, 99);
}

/* In a child that is not root, to whom permissions apply. Returns its exit code. */
static int as_nobody(int (*fn)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(geteuid() != 0 || setuid(65534) == 0 ? fn() : 99);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int read_unreadable(void)
{
    char buf[4];
    size_t len;
    struct vg_error err;
    return vg_secret_file_read("secret", buf, sizeof buf, &len, &err) == VG_E_DENIED &&
                   strcmp(err.text, "secret: cannot be read: Permission denied") == 0
               ? 0
               : 1;
}

static int write_unwritable(void)
{
    struct vg_error err;
    return vg_file_write_atomic("file", "x", 1, &err) == VG_E_DENIED &&
                   strcmp(err.text, "file: cannot be written: Permission denied") == 0
               ? 0
               : 1;
}

static void what_the_user_may_not_touch_is_named(void **state)
{
    (void)state;
    assert_int_equal(chmod(".", 0555), 0);
    write_secret("123", 0);
    int read_result = as_nobody(read_unreadable), write_result = as_nobody(write_unwritable);
    assert_int_equal(chmod("secret", 0600), 0);
    assert_int_equal(chmod(".", 0700), 0);
    assert_int_equal(read_result, 0);
    assert_int_equal(write_result, 0);
}

/* The file, one beside it, one in a folder that is not there. */
static int may_write(void)
{
    return vg_sqlite_may_write("file") << 2 | vg_sqlite_may_write("other") << 1 |
           vg_sqlite_may_write("nowhere/file");
}

static void whether_a_file_may_be_written_depends_on_it_and_on_its_folder(void **state)
{
    (void)state;
    vgt_write("file", "x");
    assert_int_equal(chmod("file", 0666), 0);
    assert_int_equal(chmod(".", 0777), 0);
    assert_int_equal(as_nobody(may_write), 6);
    vgt_write("other-wal", "x"); /* restored by root, say, without its owner */
    assert_int_equal(chmod("other-wal", 0600), 0);
    assert_int_equal(as_nobody(may_write), 4);
    assert_int_equal(remove("other-wal"), 0);
    assert_int_equal(chmod("file", 0444), 0);
    assert_int_equal(as_nobody(may_write), 2);
    assert_int_equal(chmod("file", 0666), 0);
    assert_int_equal(chmod(".", 0555), 0);
    assert_int_equal(as_nobody(may_write), 0);
    assert_int_equal(chmod(".", 0700), 0);
}

static void an_atomic_write_replaces_and_is_private(void **state)
{
    (void)state;
    char path[128], buf[16];
    size_t len;
    struct stat st;
    vgt_write("file", "old");
    assert_int_equal(chmod("file", 0644), 0);
    assert_int_equal(vg_file_write_atomic("file", "newer", 5, &error), VG_OK);
    assert_int_equal(stat("file", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(vg_secret_file_read("file", buf, sizeof buf, &len, &error), VG_OK);
    assert_memory_equal(buf, "newer", 5);
    snprintf(path, sizeof path, "%s/file", vgt_folder);
    assert_int_equal(vg_file_write_atomic(path, "", 0, &error), VG_OK);
    assert_int_equal(stat("file", &st), 0);
    assert_int_equal(st.st_size, 0);
}

static void an_atomic_write_that_fails_leaves_what_was(void **state)
{
    (void)state;
    char path[5000];
    assert_int_equal(vg_file_write_atomic("none/file", "x", 1, &error), VG_E_NOTFOUND);
    assert_string_equal(error.text, "none/file: cannot be written: No such file or directory");
    /* A folder in the way: the rename fails, and the temporary file goes away. */
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(vg_file_write_atomic("folder", "x", 1, &error), VG_E_IO);
    assert_int_equal(rmdir("folder"), 0);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(vg_file_write_atomic(path, "x", 1, &error), VG_E_RANGE);
}

static void an_endpoint_is_host_and_port(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        unsigned port;
        const char *formatted;
    } cases[] = {
        {"collector.example.org:5684", "collector.example.org", 5684, "collector.example.org:5684"},
        {"127.0.0.1", "127.0.0.1", 5, "127.0.0.1:5"},
        {"[::1]:1", "::1", 1, "[::1]:1"},
        {"[fe80::2]", "fe80::2", 5, "[fe80::2]:5"},
        {"a_b-c:65535", "a_b-c", 65535, "a_b-c:65535"},
    };
    struct vg_endpoint e;
    char text[VG_ENDPOINT_TEXT_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(vg_endpoint_parse(vg_span_str(cases[i].text), 5, &e, &error), VG_OK);
        assert_string_equal(e.host, cases[i].host);
        assert_int_equal(e.port, cases[i].port);
        assert_string_equal(vg_endpoint_format(&e, text), cases[i].formatted);
    }
}

static void what_is_no_endpoint_is_told(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",       ":1",      "h:",   "h:0",  "h:65536", "h:x",
                                        "h:1:2",  "::1",     "[::1", "[]:1", "[h]:1",   "[::1]x",
                                        "[::1]:", "two w:1", "ñ:1",  "-h:1", "h;:1",    "[::1]1"};
    struct vg_endpoint e = {.port = 7};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(vg_endpoint_parse(vg_span_str(wrong[i]), 5, &e, &error), VG_E_INVALID);
    }
    assert_string_equal(error.text, "'[::1]1': accepted: host[:port] or [IPv6 address][:port]");
    assert_int_equal(vg_endpoint_parse(VG_SPAN("h"), 0, &e, &error), VG_E_INVALID);
    assert_string_equal(error.text, "'h': accepted: host:port or [IPv6 address]:port");
    char longer[300];
    memset(longer, 'x', sizeof longer);
    assert_int_equal(vg_endpoint_parse(vg_span(longer, sizeof longer), 5, &e, &error),
                     VG_E_INVALID);
    memset(longer, ':', sizeof longer);
    longer[0] = '[';
    longer[299] = ']';
    assert_int_equal(vg_endpoint_parse(vg_span(longer, sizeof longer), 5, &e, &error),
                     VG_E_INVALID);
    assert_int_equal(vg_endpoint_parse(vg_span(NULL, 0), 5, &e, &error), VG_E_INVALID);
    assert_int_equal(e.port, 7);
}

static void a_list_of_endpoints_is_bounded(void **state)
{
    (void)state;
    struct vg_endpoint e[2];
    size_t count = 9;
    assert_int_equal(vg_endpoint_list_parse(" a , b:2 ", 1, e, 2, &count, &error), VG_OK);
    assert_int_equal(count, 2);
    assert_string_equal(e[0].host, "a");
    assert_int_equal(e[1].port, 2);
    count = 9;
    assert_int_equal(vg_endpoint_list_parse("a,b,c", 1, e, 2, &count, &error), VG_E_RANGE);
    assert_string_equal(error.text, "more than 2 addresses, accepted: 1 to 2");
    assert_int_equal(vg_endpoint_list_parse("a,", 1, e, 2, &count, &error), VG_E_INVALID);
    assert_int_equal(vg_endpoint_list_parse("", 1, e, 2, &count, &error), VG_E_INVALID);
    assert_int_equal(count, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_of_its_owner_alone_is_read),
        cmocka_unit_test(a_secret_that_others_may_touch_is_refused),
        cmocka_unit_test(a_secret_of_the_wrong_kind_is_refused),
        cmocka_unit_test(what_the_user_may_not_touch_is_named),
        cmocka_unit_test(whether_a_file_may_be_written_depends_on_it_and_on_its_folder),
        cmocka_unit_test(an_atomic_write_replaces_and_is_private),
        cmocka_unit_test(an_atomic_write_that_fails_leaves_what_was),
        cmocka_unit_test(an_endpoint_is_host_and_port),
        cmocka_unit_test(what_is_no_endpoint_is_told),
        cmocka_unit_test(a_list_of_endpoints_is_bounded),
    };
    return cmocka_run_group_tests(tests, vgt_folder_make, vgt_folder_remove);
}
