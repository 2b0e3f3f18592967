/* The log over TLS; the broker asks for a client's certificate too. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int seen[100];

static void records_travel_over_tls_with_a_client_certificate(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct fx_sent sent = {NULL, 0, 0, 0};
    assert_true(fx->conf.ca_file[0] != '\0' && fx->conf.cert_file[0] != '\0' &&
                fx->conf.key_file[0] != '\0');
    fx_ok(vg_dlog_appender_open(fx->log, &sent.a, &err), &err);
    while (sent.next < 100) {
        fx_send(&sent);
    }
    fx_ok(vg_dlog_appender_drain(sent.a, DEADLINE_MS, &err), &err);
    vg_dlog_appender_close(sent.a);
    struct vg_dlog_processor *p = fx_copier(fx->log, "one");
    const int64_t until = fx_now_ms() + DEADLINE_MS;
    for (int copied = 0; copied < 100;) {
        assert_true(fx_now_ms() < until);
        copied += fx_copy(p, 200);
    }
    vg_dlog_processor_close(p);
    assert_int_equal(fx_count(fx->log, VG_TOPIC_ALARMS, seen, 100), 100);
}

/* Opens the log under `conf` and checks it; the open or the check has to fail. */
static enum vg_err refused(const struct vg_dlog_conf *conf, struct vg_error *err)
{
    struct vg_dlog *log = NULL;
    enum vg_err rc = vg_dlog_open(conf, "test", 0, &log, err);
    if (rc == VG_OK) {
        rc = vg_dlog_check(log, VG_TOPICS_ALL, err);
        vg_dlog_close(log);
    }
    print_message("%s: %s\n", vg_err_name(rc), err->text);
    assert_null(strchr(err->text, '\n'));
    return rc;
}

static void a_broker_that_another_authority_signed_is_refused(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_conf conf = fx->conf;
    /* Any certificate that is not the authority's: the broker's chain does not lead to it. */
    assert_true(vg_str_copy(conf.cert_file, conf.ca_file, sizeof conf.ca_file));
    assert_int_equal(refused(&conf, &err), VG_E_DENIED);
}

static void a_client_without_a_certificate_gets_nothing(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_conf conf = fx->conf;
    conf.cert_file[0] = conf.key_file[0] = '\0';
    const enum vg_err rc = refused(&conf, &err);
    assert_true(
        rc == VG_E_DENIED ||
        rc ==
            VG_E_TIMEOUT); /* TLS 1.3 tells the client late, or only by the end of the connection */
}

static void a_client_without_tls_gets_nothing(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_conf conf = fx->conf;
    conf.ca_file[0] = conf.cert_file[0] = conf.key_file[0] = '\0';
    assert_int_equal(refused(&conf, &err), VG_E_TIMEOUT);
}

static void files_that_cannot_be_used_are_named(void **state)
{
    struct fx *fx = *state;
    struct vg_error err;
    struct vg_dlog_conf conf = fx->conf;
    assert_true(vg_str_copy("/nowhere/ca.pem", conf.ca_file, sizeof conf.ca_file));
    assert_int_equal(refused(&conf, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "log.ca_file: /nowhere/ca.pem"));
    conf = fx->conf;
    assert_true(vg_str_copy("/dev/null", conf.ca_file, sizeof conf.ca_file));
    assert_int_equal(refused(&conf, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "log.ca_file: /dev/null"));
    char path[] = "/tmp/vigia-key-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && fchmod(fd, 0640) == 0);
    close(fd);
    conf = fx->conf;
    assert_true(vg_str_copy(path, conf.key_file, sizeof conf.key_file));
    assert_int_equal(refused(&conf, &err), VG_E_INVALID);
    assert_non_null(strstr(err.text, "mode is 0640"));
    unlink(path);
}

#define FX_TEST(f) cmocka_unit_test_setup_teardown(f, fx_setup, fx_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(records_travel_over_tls_with_a_client_certificate),
        FX_TEST(a_broker_that_another_authority_signed_is_refused),
        FX_TEST(a_client_without_a_certificate_gets_nothing),
        FX_TEST(a_client_without_tls_gets_nothing),
        FX_TEST(files_that_cannot_be_used_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
