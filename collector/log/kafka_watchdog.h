/* A watchdog over calls of the Kafka client.
 *
 * Some of them are known never to return (librdkafka issues 5456 and 5511: sending offsets to a
 * transaction while its coordinator goes away). Nothing inside the process can undo that, so the
 * process ends: exit code 1 and one log line "log-call-hangs" with the call's name. Its successor
 * takes over the same transactional id, which aborts what was open. */
#ifndef VG_LOG_KAFKA_WATCHDOG_H
#define VG_LOG_KAFKA_WATCHDOG_H

#include "vigia/err.h"

#include <stdint.h>

#define VGI_KAFKA_OVERDUE_MS 5000

struct vgi_kafka_watchdog;

/* VG_E_NOMEM, VG_E_IO. */
enum vg_err vgi_kafka_watchdog_start(int64_t deadline_ms, struct vgi_kafka_watchdog **out,
                                     struct vg_error *err) VG_NODISCARD;
/* Around one call; not nested, one thread. `call` is static text. `own_ms`: the time after which the
 * call returns by itself, 0 without one; VGI_KAFKA_OVERDUE_MS later it hangs, even before
 * `deadline_ms`. */
void vgi_kafka_watchdog_enter(struct vgi_kafka_watchdog *w, const char *call, int64_t own_ms);
void vgi_kafka_watchdog_leave(struct vgi_kafka_watchdog *w);
void vgi_kafka_watchdog_stop(struct vgi_kafka_watchdog *w); /* NULL is allowed */

#endif
