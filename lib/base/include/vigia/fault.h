/* Named fault points, for tests only: places where a program can be killed, ended, stalled or made to fail by its environment.
 *
 *   VIGIA_FAULT=NAME:ACTION[:NTH]   at the NTH time (default 1) that NAME is reached, once:
 *       kill    SIGKILL to itself           exit   _exit(1), nothing tidied up
 *       stall   this thread stands still    error  VG_FAULT() is true: the caller takes its error path
 *   VIGIA_FAULT=list                prints "NAME ACTIONS" for every point and ends
 *
 * Only a build with VIGIA_FAULTS=ON has them. In every other one VG_FAULT() is the constant false, and neither a name nor a
 * look at the environment is in the program. A point that fires tells "fault point=NAME action=ACTION" on standard error. */
#ifndef VIGIA_FAULT_H
#define VIGIA_FAULT_H

#include <stdbool.h>

/* X(identifier, name, whether the caller has an error path). In the order in which a reading meets them. */
#define VG_FAULT_POINTS(X)                                                                         \
    /* the agent: reading kept ─► request ─► answer ─► row removed */                  \
    X(EDGE_BEFORE_COMMIT, "edge.before-commit", false)                                             \
    X(EDGE_ROW_COMMITTED, "edge.row-committed", false)                                             \
    X(EDGE_REQUEST_SENT, "edge.request-sent", true)                                                \
    X(EDGE_ANSWER_READ, "edge.answer-read", true)                                                  \
    X(EDGE_BEFORE_DELETE, "edge.before-delete-commit", false)                                      \
    X(EDGE_AFTER_DELETE, "edge.after-delete-commit", false)                                        \
    /* the collector: datagram read ─► 2.04 sent */                                            \
    X(COLLECTOR_DATAGRAM, "collector.datagram-read", false)                                        \
    X(COLLECTOR_SESSION, "collector.session-found", true)                                          \
    X(COLLECTOR_DECODED, "collector.body-decoded", false)                                          \
    X(COLLECTOR_AUTHORISED, "collector.authorised", false)                                         \
    X(COLLECTOR_PENDING, "collector.pending-taken", true)                                          \
    X(COLLECTOR_APPEND, "collector.before-append", true)                                           \
    X(COLLECTOR_APPENDED, "collector.appended", false)                                             \
    X(COLLECTOR_SUBMITTED, "collector.submitted", false)                                           \
    X(LOG_GROUP_WRITTEN, "log.group-written", true)                                                \
    X(LOG_GROUP_COMMITTED, "log.group-committed", false)                                           \
    X(COLLECTOR_VERDICT, "collector.verdict-received", true)                                       \
    X(COLLECTOR_BEFORE_ANSWER, "collector.before-answer", true)                                    \
    X(COLLECTOR_AFTER_ANSWER, "collector.after-answer", false)                                     \
    /* the alarm processor: batch polled ─► commit seen */                                     \
    X(ALARM_POLLED, "alarm.batch-polled", false)                                                   \
    X(ALARM_APPLIED, "alarm.record-applied", false)                                                \
    X(ALARM_OUTPUT, "alarm.output-appended", true)                                                 \
    X(ALARM_STATE, "alarm.state-appended", true)                                                   \
    X(ALARM_BEFORE_COMMIT, "alarm.before-commit", true)                                            \
    X(LOG_TXN_WRITTEN, "log.transaction-written", true)                                            \
    X(LOG_TXN_COMMITTED, "log.transaction-committed", false)                                       \
    X(ALARM_AFTER_COMMIT, "alarm.after-commit", false)

enum vg_fault_point {
#define VG_FAULT_ID(id, name, fails) VG_FAULT_##id,
    VG_FAULT_POINTS(VG_FAULT_ID)
#undef VG_FAULT_ID
        VG_FAULT_COUNT
};

#ifdef VIGIA_FAULTS
#define VG_FAULT(id) vg_fault(VG_FAULT_##id)
#else
#define VG_FAULT(id) false
#endif
/* True: fail here. From any thread. Only behind VG_FAULT(). */
bool vg_fault(enum vg_fault_point point);

#endif
