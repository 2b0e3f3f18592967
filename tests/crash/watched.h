/* Work that can be ended at any moment and leaves nothing behind.
 *
 *   the process that was started: only waits -+- the work, in a folder of its own --- its own children
 *                                             '- removes the folder when all of them have ended
 *
 * No signal is handled: the watcher takes SIGINT, SIGTERM and SIGHUP by sigwait(), and in the work they stay blocked. */
#ifndef VIGIA_TEST_WATCHED_H
#define VIGIA_TEST_WATCHED_H

#include <stdbool.h>
#include <sys/types.h>

#define WATCHED_FOLDER_MAX 64

/* Runs `work` in a child, in a new folder /dev/shm/vigia-NAME-PID-XXXXXX (or in /tmp), and removes the folder after it. Returns
 * what `work` returned, or 128 + the signal that ended it or this process, or 1 with a line on stderr when it cannot begin.
 * The caller has no threads. A SIGHUP that is ignored (nohup) stays so. */
int watched_run(const char *name, int (*work)(void *arg, const char *folder), void *arg);

/* As fork(); the child is killed when its parent ends, however it ends. */
pid_t watched_fork(void);

/* Removes what is in a folder, and `itself`. */
void watched_remove(const char *folder, bool itself);

#endif
