/* See child.h. */
#include "child.h"

#include "vigia/clock.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM  VIGIA_BINARY_DIR "/tests/vg_sample"
#define ARGS_MAX 24

char folder[FOLDER_MAX];
struct said said;
static size_t out_len;

int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/vigia-program-XXXXXX");
    return mkdtemp(folder) == NULL || chdir(folder) != 0 ? -1 : 0;
}

int folder_remove(void **state)
{
    (void)state;
    static const char *const names[] = {"a.ini", "err", "ready", "notify", NULL};
    for (int i = 0; names[i] != NULL; i++) {
        (void)unlink(names[i]);
    }
    return chdir("/") != 0 || rmdir(folder) != 0 ? -1 : 0;
}

void write_config(const char *text)
{
    FILE *f = fopen("a.ini", "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

struct child start(const char *const *args)
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
    said.out[0] = '\0';
    return c;
}

void wait_for(const struct child *c, const char *text)
{
    const struct vg_clock *clock = vg_clock_system();
    struct vg_mono until = vg_mono_add_ms(vg_now_mono(clock), DEADLINE_MS);
    while (strstr(said.out, text) == NULL) {
        int64_t left = vg_mono_diff_ms(until, vg_now_mono(clock));
        struct pollfd p = {.fd = c->out, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) <= 0) {
            fail_msg("no '%s' within %d ms; so far: %s", text, DEADLINE_MS, said.out);
        }
        ssize_t n = read(c->out, said.out + out_len, sizeof said.out - 1 - out_len);
        if (n <= 0) {
            fail_msg("ended without '%s'; so far: %s", text, said.out);
        }
        out_len += (size_t)n;
        said.out[out_len] = '\0';
    }
}

static void read_err(void)
{
    FILE *f = fopen("err", "r");
    assert_non_null(f);
    said.err[fread(said.err, 1, sizeof said.err - 1, f)] = '\0';
    fclose(f);
}

void wait_for_log(const char *text)
{
    const struct vg_clock *clock = vg_clock_system();
    struct vg_mono until = vg_mono_add_ms(vg_now_mono(clock), DEADLINE_MS);
    do {
        read_err();
        assert_true(vg_mono_diff_ms(until, vg_now_mono(clock)) > 0);
    } while (strstr(said.err, text) == NULL);
}

int finish(struct child *c)
{
    ssize_t n;
    while ((n = read(c->out, said.out + out_len, sizeof said.out - 1 - out_len)) > 0) {
        out_len += (size_t)n;
    }
    said.out[out_len] = '\0';
    close(c->out);
    int status;
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    read_err();
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int count_of(const char *text)
{
    int n = 0;
    for (const char *at = strstr(said.err, text); at != NULL; at = strstr(at + 1, text)) {
        n++;
    }
    return n;
}

int run(const char *const *args)
{
    struct child c = start(args);
    return finish(&c);
}
