/* A VFS of SQLite that passes everything on to the system's and fails what the test asks for. */
#ifndef VIGIA_TEST_FAULTVFS_H
#define VIGIA_TEST_FAULTVFS_H

#include <stdatomic.h>

#define FAULT_VFS "fault"

/* Counted down by each call; the call that brings it to 0 fails, and with `for_ever` every one
 * after it. 0: off. */
struct fault {
    _Atomic int after;
    _Atomic int code; /* what the call returns */
    _Atomic int for_ever;
    _Atomic int fired;
    _Atomic int calls; /* seen since fault_reset */
};
/* fault_copy: writes into the database itself, which a checkpoint makes; fault_write has all. */
extern struct fault fault_read, fault_write, fault_copy, fault_sync;

void fault_install(void);
void fault_reset(void);
void fault_arm(struct fault *f, int after, int code, int for_ever);

#endif
