/* A VFS of SQLite that passes everything on to the system's and fails what the test asks for. */
#ifndef VIGIA_TEST_FAULTVFS_H
#define VIGIA_TEST_FAULTVFS_H

#include <stdatomic.h>

#define FAULT_VFS "fault"

#define FAULT_EVER (-1)

/* Counted down by each call; the call that brings it to 0 fails, and `more` calls after it. 0: off.
 */
struct fault {
    _Atomic int after;
    _Atomic int code;             /* what the call returns */
    _Atomic int more;             /* FAULT_EVER: all */
    _Atomic(const void *) thread; /* whose calls count; NULL: everybody's */
    _Atomic int fired;
    _Atomic int calls; /* seen since fault_reset */
};
/* fault_copy: writes into the database itself, which a checkpoint makes; fault_write has all.
 * fault_log: reads of the WAL; fault_read has all. */
extern struct fault fault_read, fault_log, fault_write, fault_copy, fault_sync;

void fault_install(void);
void fault_reset(void);
void fault_arm(struct fault *f, int after, int code, int more);
/* Once, in the calls of this thread: an open's, and not those of the writer that it starts. */
void fault_arm_here(struct fault *f, int after, int code);

#endif
