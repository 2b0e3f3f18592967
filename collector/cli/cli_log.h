/* What several commands need of the log: one durable append, the devices, a topic by the name
 * people write. */
#ifndef VIGIA_CLI_LOG_H
#define VIGIA_CLI_LOG_H

#include "cli.h"

#include "vigia/clock.h"

/* Longest wait for the log to answer: a little more than its own last verdict. */
#define CLI_LOG_WAIT_MS (VG_DLOG_VERDICT_MAX_MS + 5000)

/* Appends one record and waits for its verdict. value.at NULL: a tombstone. */
enum vg_err cli_put(struct cli *cli, enum vg_topic topic, struct vg_span key, struct vg_span value,
                    struct vg_error *err) VG_NODISCARD;
/* The same to a given partition; -1: by key. */
enum vg_err cli_put_at(struct cli *cli, enum vg_topic topic, int32_t partition, struct vg_span key,
                       struct vg_span value, struct vg_error *err) VG_NODISCARD;

/* For a loop that reads until it has caught up: notes in *last when something was read, and gives
 * up, VG_E_TIMEOUT, when nothing was for CLI_LOG_WAIT_MS. */
enum vg_err cli_log_moved(struct vg_mono *last, size_t count, struct vg_error *err) VG_NODISCARD;

/* Every device, caught up with the log. The caller frees the table. VG_EXIT_OK, or the exit code
 * with the reason told. */
int cli_devices(struct cli *cli, struct vg_devices **out);

/* args[0] as a topic, with or without the prefix. VG_EXIT_OK, or VG_EXIT_USAGE with the names there
 * are. */
int cli_topic(const struct cli *cli, enum vg_topic *out);

#endif
