/* A test that hides what goes wrong: its child does what a sanitizer reports, and is then killed; nobody looks at how it ended.
 * tests/support/sanitized has to tell all the same. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int shared;

static void *race(void *arg)
{
    volatile int *at = arg;
    for (int i = 0; i < 100000; i++) {
        *at = *at + 1;
    }
    return NULL;
}

static void misbehave(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, race, &shared) != 0) {
            _exit(2);
        }
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    char *volatile gone = malloc(8);
    free(gone);
    gone[1] = 1;
}

int main(void)
{
    int ends[2];
    char byte = 0;
    if (pipe(ends) != 0) {
        return 2;
    }
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        misbehave();
        (void)!write(ends[1], &byte, 1);
        pause();
        _exit(0);
    }
    close(ends[1]);
    (void)!read(ends[0], &byte, 1); /* the byte, or the child's end */
    (void)kill(child, SIGKILL);
    return waitpid(child, NULL, 0) == child ? 0 : 2;
}
