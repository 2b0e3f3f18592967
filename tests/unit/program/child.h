/* A small program (sample.c) that runs as a child process, in a folder of its own.
 *
 * Its standard output is a pipe and its standard error a file. Nothing sleeps: a test reads until a
 * line is there, or asks the page until it answers, each with a deadline. */
#ifndef VIGIA_TEST_PROGRAM_CHILD_H
#define VIGIA_TEST_PROGRAM_CHILD_H

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/types.h>

#define DEADLINE_MS 20000
#define FOLDER_MAX  64

struct child {
    pid_t pid;
    int out;
};

/* What the last child wrote, as far as it was read. */
struct said {
    char out[65536], err[65536];
};
extern struct said said;
extern char folder[FOLDER_MAX];

/* Of a group of tests. */
int folder_make(void **state);
int folder_remove(void **state);

/* a.ini in the folder. */
void write_config(const char *text);
/* Starts the sample with these arguments; the last is NULL. $VIGIA_EMULATOR (words) runs it where
 * it was built for another machine. */
struct child start(const char *const *args);
/* Reads on until `text` is on its standard output; an end or the deadline fails the test. */
void wait_for(const struct child *c, const char *text);
/* The same in its log. */
void wait_for_log(const char *text);
/* Waits for its end, collects what it wrote, returns its exit code. */
int finish(struct child *c);
/* Lines of the log that hold `text`. */
int count_of(const char *text);

/* From start to finish: its exit code. */
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})
int run(const char *const *args);

#endif
