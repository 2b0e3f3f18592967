/* The smallest program on vg_program_main, for the tests to run as a child process.
 *
 * It reads back what happens to it from its own configuration: [sample] drain decides whether a
 * drain ends at once, late or never, `ready_file` whether it is ready. What it does it tells on
 * standard output. $SAMPLE_KEEPS_WATCHING: no epoll set lets a descriptor go. */
#include "vigia/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct sample_conf {
    int64_t count;
    int drain;
    bool fail_start;
    int64_t fail_code;
    char required[32];
    char ready_file[256];
    char fixed[32];
    char secret[32];
    char listen[64];
};

static struct sample_conf conf;
static bool once;

int __real_epoll_ctl(int set, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    if (op == EPOLL_CTL_DEL && getenv("SAMPLE_KEEPS_WATCHING") != NULL) {
        errno = ENOSPC;
        return -1;
    }
    return __real_epoll_ctl(set, op, fd, event);
}

static const struct vg_conf_item items[] = {
    VG_CONF_INT(struct sample_conf, count, "sample", "count", "3", 1, 10, "things",
                "How many *things* to_count in [brackets].", .reloadable = true),
    VG_CONF_ENUM(struct sample_conf, drain, "sample", "drain", "now", "now|never", "How to end."),
    VG_CONF_BOOL(struct sample_conf, fail_start, "sample", "fail_start", "no", "Fail to start."),
    VG_CONF_INT(struct sample_conf, fail_code, "sample", "fail_code", "0", 0, 255, NULL,
                "End with this exit code from inside."),
    VG_CONF_STRING(struct sample_conf, required, "sample", "required", NULL, "Must be there."),
    VG_CONF_PATH(struct sample_conf, ready_file, "sample", "ready_file", "",
                 "Ready once this file is there."),
    VG_CONF_STRING(struct sample_conf, fixed, "sample", "fixed", "a", "Cannot be reloaded."),
    VG_CONF_STRING(struct sample_conf, secret, "sample", "secret", "", "Not to be shown.",
                   .secret = true),
    VG_PROGRAM_METRICS_ITEM(struct sample_conf, listen),
};
static const struct vg_conf_table table = {
    .program = "vigia-sample",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .object_size = sizeof conf,
};

static struct vg_loop *loop_of_sample;

static void say(const char *what)
{
    printf("%s\n", what);
    fflush(stdout);
}

static enum vg_err check(void *arg, struct vg_error *err)
{
    const struct sample_conf *c = arg;
    if (c->count == 7) {
        return vg_fail(err, VG_E_INVALID, "sample.count: 7 is unlucky, accepted: any other");
    }
    return VG_OK;
}

static enum vg_err start(struct vg_loop *loop, void *arg, void **state, struct vg_error *err)
{
    struct sample_conf *c = arg;
    if (c->fail_start) {
        return vg_fail(err, VG_E_IO, "the sample does not want to start");
    }
    loop_of_sample = loop;
    *state = c;
    say("start");
    if (c->fail_code != 0) {
        vg_program_fail((int)c->fail_code);
    }
    return VG_OK;
}

static bool ready(void *state)
{
    const struct sample_conf *c = state;
    return c->ready_file[0] == '\0' || access(c->ready_file, F_OK) == 0;
}

static enum vg_err reload(void *state, const void *arg, struct vg_error *err)
{
    const struct sample_conf *old = state, *fresh = arg;
    if (fresh->count == 9) {
        say("reload refused");
        return vg_fail(err, VG_E_INVALID, "sample.count: 9 cannot be had now");
    }
    printf("reload %d %d %s\n", (int)old->count, (int)fresh->count, fresh->fixed);
    fflush(stdout);
    return VG_OK;
}

static void drain(void *state)
{
    const struct sample_conf *c = state;
    say("drain");
    if (c->drain == 0) {
        vg_loop_stop(loop_of_sample);
    }
}

static void stop(void *state)
{
    (void)state;
    say("stop");
}

static enum vg_err set_count(void *arg, const char *value, struct vg_error *err)
{
    struct sample_conf *c = arg;
    if (value[0] < '1' || value[0] > '9') {
        return vg_fail(err, VG_E_INVALID, "'%s', accepted: a digit", value);
    }
    c->count = value[0] - '0';
    return VG_OK;
}

static enum vg_err set_once(void *arg, const char *value, struct vg_error *err)
{
    (void)arg;
    (void)value;
    (void)err;
    once = true;
    return VG_OK;
}

static int instead(void *arg)
{
    const struct sample_conf *c = arg;
    if (!once) {
        return -1;
    }
    printf("once %d\n", (int)c->count);
    return VG_EXIT_OK;
}

static const struct vg_program_option options[] = {
    {"digit", "N", "Set the count.", set_count, false},
    {"once", NULL, "Print the count and exit.", set_once, true},
};

int main(int argc, char **argv)
{
    const struct vg_program program = {
        .name = "vigia-sample",
        .summary = "a program for tests",
        .manual = "# DESCRIPTION\n\nDoes nothing, *well*.",
        .default_config = "/nonexistent/vigia/sample.ini",
        .table = &table,
        .conf = &conf,
        .metrics_listen = conf.listen,
        .check = check,
        .instead = instead,
        .start = start,
        .ready = ready,
        .reload = getenv("SAMPLE_WITHOUT_RELOAD") == NULL ? reload : NULL,
        .reloads = "Keys marked reloadable take effect.",
        .drain = drain,
        .stop = stop,
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    return vg_program_main(&program, argc, argv);
}
