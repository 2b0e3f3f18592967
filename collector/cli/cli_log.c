/* The few ways in which commands use the log. */
#include "cli_log.h"

#include "vigia/clock.h"

#include <poll.h>
#include <string.h>

/* More devices than a site can have; the table takes memory only for those there are. */
#define DEVICES_MAX 1000000

struct put {
    bool done;
    struct vg_dlog_verdict verdict;
};

static void on_verdict(void *arg, const struct vg_dlog_verdict *verdict)
{
    struct put *put = arg;

    put->verdict = *verdict;
    put->done = true;
}

enum vg_err cli_put(struct cli *cli, enum vg_topic topic, struct vg_span key, struct vg_span value,
                    struct vg_error *err)
{
    return cli_put_at(cli, topic, -1, key, value, err);
}

enum vg_err cli_put_at(struct cli *cli, enum vg_topic topic, int32_t partition, struct vg_span key,
                       struct vg_span value, struct vg_error *err)
{
    struct vg_dlog_appender *appender = NULL;
    struct put put = {0};
    enum vg_err code = vg_dlog_appender_open(cli->log, &appender, err);

    if (code != VG_OK) {
        return code;
    }
    code = vg_dlog_append(appender, topic, partition, key, value, on_verdict, &put);
    if (code == VG_OK) {
        code = vg_dlog_appender_drain(appender, CLI_LOG_WAIT_MS, err);
    } else {
        (void)vg_fail(err, code, "the log refused the record: %s", vg_err_name(code));
    }
    if (code == VG_OK && put.verdict.result != VG_OK) {
        code = vg_fail(err, put.verdict.result, "the log did not store the record: %s%s",
                       vg_err_name(put.verdict.result),
                       put.verdict.maybe_persisted ? " (it may be there all the same)" : "");
    }
    vg_dlog_appender_close(appender);
    return code;
}

enum vg_err cli_log_moved(struct vg_mono *last, size_t count, struct vg_error *err)
{
    struct vg_mono now = vg_now_mono(vg_clock_system());

    if (count > 0) {
        *last = now;
    }
    return vg_mono_diff_ms(now, *last) <= CLI_LOG_WAIT_MS
               ? VG_OK
               : vg_fail(err, VG_E_TIMEOUT, "nothing could be read from the log for %d s",
                         CLI_LOG_WAIT_MS / 1000);
}

int cli_devices(struct cli *cli, struct vg_devices **out)
{
    const struct vg_clock *clock = vg_clock_system();
    struct vg_mono deadline = vg_mono_add_ms(vg_now_mono(clock), CLI_LOG_WAIT_MS);
    struct vg_devices *table = NULL;
    struct vg_error err = {0};
    enum vg_err code = vg_devices_new(DEVICES_MAX, NULL, NULL, &table);

    if (code == VG_OK) {
        code = vg_devices_follow(table, cli->log, &err);
    }
    while (code == VG_OK && !vg_devices_caught_up(table)) {
        struct pollfd fd = {.fd = vg_devices_fd(table), .events = POLLIN};

        if (vg_mono_diff_ms(deadline, vg_now_mono(clock)) <= 0) {
            code = vg_fail(&err, VG_E_TIMEOUT, "the log did not tell its devices within %d s",
                           CLI_LOG_WAIT_MS / 1000);
            break;
        }
        (void)poll(&fd, 1, VG_DLOG_TURN_MS);
        code = vg_devices_dispatch(table, &err);
    }
    if (code != VG_OK) {
        vg_devices_free(table);
        return cli_fail_err(cli, code, &err);
    }
    *out = table;
    return VG_EXIT_OK;
}

int cli_topic(const struct cli *cli, enum vg_topic *out)
{
    const char *name = cli->args[0];
    size_t prefix = strlen(cli->conf.log.prefix);

    if (strncmp(name, cli->conf.log.prefix, prefix) == 0) {
        name += prefix;
    }
    if (vg_topic_by_name(vg_span_str(name), out) == VG_OK) {
        return VG_EXIT_OK;
    }
    (void)fprintf(stderr, "vigia: %s: no topic '%s'; there are:", cli->command->name, cli->args[0]);
    for (enum vg_topic t = 0; t < VG_TOPIC_COUNT; t++) {
        (void)fprintf(stderr, " %s", vg_topic_spec(t)->name);
    }
    (void)fputc('\n', stderr);
    return VG_EXIT_USAGE;
}
