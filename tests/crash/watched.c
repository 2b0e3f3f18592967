/* See watched.h. */
#include "watched.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void watched_remove(const char *folder, bool itself)
{
    DIR *d = opendir(folder);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlink(path) != 0 &&
            (errno == EISDIR || errno == EPERM)) {
            watched_remove(path, true);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    if (itself) {
        (void)rmdir(folder);
    }
}

pid_t watched_fork(void)
{
    const pid_t parent = getpid();
    const pid_t child = fork();
    /* The parent may have ended before its end could kill: then there is another one by now. */
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)) {
        _exit(1);
    }
    return child;
}

/* Blocks what the watcher waits for: the end of a child, and the signals that end a program. */
static void take_signals(sigset_t *taken)
{
    struct sigaction hangup;
    (void)sigemptyset(taken);
    (void)sigaddset(taken, SIGCHLD);
    (void)sigaddset(taken, SIGINT);
    (void)sigaddset(taken, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hangup) != 0 || hangup.sa_handler != SIG_IGN) {
        (void)sigaddset(taken, SIGHUP);
    }
    (void)signal(SIGCHLD, SIG_DFL); /* where it is ignored, a child's status is lost */
    (void)sigprocmask(SIG_BLOCK, taken, NULL);
}

/* Until the work ends, or has to; the exit status. */
static int wait_for(pid_t work, const sigset_t *taken)
{
    for (;;) {
        int number = 0;
        int status = 0;
        (void)sigwait(taken, &number);
        if (number != SIGCHLD) {
            (void)kill(work, SIGKILL);
            return 128 + number;
        }
        if (waitpid(work, &status, WNOHANG) == work) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
    }
}

int watched_run(const char *name, int (*work)(void *arg, const char *folder), void *arg)
{
    char folder[WATCHED_FOLDER_MAX];
    sigset_t taken;
    take_signals(&taken);
    (void)snprintf(folder, sizeof folder, "%s/vigia-%s-%ld-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", name, (long)getpid());
    if (mkdtemp(folder) == NULL) {
        (void)fprintf(stderr, "%s: no temporary folder: %s\n", name, strerror(errno));
        return 1;
    }
    /* The children of work that was ended come to this process, which waits for them, too. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    int status = 1;
    const pid_t child = watched_fork();
    if (child == 0) {
        exit(work(arg, folder));
    }
    if (child > 0) {
        status = wait_for(child, &taken);
    } else {
        (void)fprintf(stderr, "%s: fork: %s\n", name, strerror(errno));
    }
    while (waitpid(-1, NULL, 0) > 0) {
    }
    watched_remove(folder, true);
    return status;
}
