/* Log lines: one line to standard error per event, logfmt or JSON, with a stable message id.
 *
 *   vg_log_info("uplink-up", "collector=%s cid=%d", name, cid);
 *   2026-11-21T05:18:00.123Z level=info prog=vigia-edge msg=uplink-up collector=c1 cid=1
 *
 * The text after the id is itself logfmt: key=value pairs; a value with spaces, quotes or control
 * bytes is passed through VG_Q() or the %s of a `vg_quote` buffer. In JSON form the same pairs
 * become members, always strings, so that an id made of digits keeps its type; text that is not
 * pairs becomes the member "text". Never a key, never customer data. Each message id is limited to
 * VG_LOG_BURST lines per VG_LOG_WINDOW_MS; what was dropped is told in one line when the window
 * closes (vg_log_tick, or the next line). Under journald ($JOURNAL_STREAM) the line starts with <N>
 * and has no time. Safe from any thread. */
#ifndef VIGIA_LOG_H
#define VIGIA_LOG_H

#include "vigia/clock.h"
#include "vigia/err.h"

#include <stdbool.h>
#include <stdint.h>

enum vg_log_level { VG_LOG_ERROR, VG_LOG_WARN, VG_LOG_INFO, VG_LOG_DEBUG };
enum vg_log_format { VG_LOG_LOGFMT, VG_LOG_JSON };

#define VG_LOG_BURST     20
#define VG_LOG_WINDOW_MS 10000
#define VG_LOG_LINE_MAX  1024

/* Call once at start; `program` is kept by pointer. */
void vg_log_init(const char *program, enum vg_log_level level, enum vg_log_format format);
void vg_log_set_level(enum vg_log_level level);
/* "error" "warn" "info" "debug" */
bool vg_log_level_parse(const char *name, enum vg_log_level *out);

void vg_log_write(enum vg_log_level level, const char *msgid, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Time for the stamp and the limit; NULL: the system's. For tests. */
void vg_log_set_clock(const struct vg_clock *clock);
/* Closes windows that are over, telling what they dropped. vg_program calls it from its loop. */
void vg_log_tick(void);
/* Lines suppressed by the limit since start. */
uint64_t vg_log_suppressed(void);

/* Quotes `s` for logfmt into `out` (always terminated; cut with "…" when too long) and returns
 * `out`. Plain words stay bare. NULL becomes "-". */
const char *vg_quote(const char *s, char *out, size_t size);
#define VG_QUOTE_MAX 416
#define VG_Q(s)      vg_quote((s), (char[VG_QUOTE_MAX]){0}, VG_QUOTE_MAX)

#define vg_log_error(id, ...) vg_log_write(VG_LOG_ERROR, (id), __VA_ARGS__)
#define vg_log_warn(id, ...)  vg_log_write(VG_LOG_WARN, (id), __VA_ARGS__)
#define vg_log_info(id, ...)  vg_log_write(VG_LOG_INFO, (id), __VA_ARGS__)
#define vg_log_debug(id, ...) vg_log_write(VG_LOG_DEBUG, (id), __VA_ARGS__)

#endif
