/* Inside the Kafka backend. librdkafka is included by these files only.
 *
 *   kafka_client.c     settings of a client handle, error classes, finding the brokers
 *   kafka_admin.c      open, create, describe; offsets of partitions
 *   kafka_range.c      positions outside the log: gone for good, or not
 *   kafka_skip.c       positions of a group over what has left the log
 *   kafka_appender.c   idempotent producer, verdicts
 *   kafka_reader.c     a consumer of named partitions: the reader, and what restores a processor
 *   kafka_processor.c  the processor as its caller sees it: open, poll, close
 *   kafka_group.c      its consumer: group membership, rebalances, messages
 *   kafka_restore.c    from an assignment to owned partitions
 *   kafka_txn.c        the transactional producer: append, commit, abort
 *   kafka_watchdog.c   ends the process when a client call never returns */
#ifndef VG_LOG_KAFKA_H
#define VG_LOG_KAFKA_H

#include "backend.h"
#include "dlog_inside.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>

#define VGI_KAFKA_REACH_MS 5000  /* looking for a broker that answers, when a call needs one */
#define VGI_KAFKA_ADMIN_MS 10000 /* one administrative request, and the wait for its effect */
#define VGI_KAFKA_TRANSACTION_MS                                                                   \
    15000                           /* the broker aborts a transaction that is open for longer     \
                                     */
#define VGI_KAFKA_SESSION_MS   6000 /* an instance that is silent for longer loses its partitions */
#define VGI_KAFKA_HEARTBEAT_MS 1000
#define VGI_KAFKA_MAX_POLL_MS  120000 /* between two polls of a live instance */
#define VGI_KAFKA_INIT_MS                                                                          \
    30000 /* taking over the transactional id; ends the transaction of a killed predecessor */
#define VGI_KAFKA_NAME_MAX 96 /* topic with prefix, NUL included */

/* The last thing that a client handle complained about; filled from its threads. */
struct vgi_kafka_note {
    pthread_mutex_t lock;
    rd_kafka_resp_err_t code;
    char text[200];
    bool quiet;           /* whoever uses the handle tells its errors */
    int64_t said_away_ms; /* when the last line about it was written */
};

/* What vg_dlog_open makes. */
struct vgi_kafka {
    const struct vg_dlog_conf *conf;
    const char *client;
    const char *brokers; /* "host:port,host:port" */
    rd_kafka_t *admin;   /* connects when first used; safe from any thread */
    struct vgi_kafka_note note;
};

/* ---- kafka_client.c ---- */

struct vgi_kafka_setting {
    const char *name, *value;
};

/* A handle with the common settings and `settings` (ended by a NULL name). `note` becomes its
 * opaque. VG_E_INVALID: the library refuses a setting, usually a TLS file; the text says which.
 * `conf_fn` may add callbacks; NULL is allowed. */
enum vg_err vgi_kafka_new(const struct vgi_kafka *k, rd_kafka_type_t type,
                          struct vgi_kafka_note *note, const struct vgi_kafka_setting *settings,
                          void (*conf_fn)(rd_kafka_conf_t *), rd_kafka_t **out,
                          struct vg_error *err) VG_NODISCARD;
void vgi_kafka_note_init(struct vgi_kafka_note *note);
void vgi_kafka_note_done(struct vgi_kafka_note *note);
enum vg_err vgi_kafka_class(rd_kafka_resp_err_t code);
/* The class of a topic that was not created. A cluster whose brokers have all just missed their
 * heartbeats, or have just started, says that it cannot place the copies: that passes. */
enum vg_err vgi_kafka_create_class(rd_kafka_resp_err_t code, const char *why) VG_NODISCARD;
/* "kafka HOST:PORT: WHAT: error text"; returns the class of `code`. */
enum vg_err vgi_kafka_fail(const struct vgi_kafka *k, struct vg_error *err,
                           rd_kafka_resp_err_t code, const char *what);
/* The same from an error object, which it destroys. */
enum vg_err vgi_kafka_fail_error(const struct vgi_kafka *k, struct vg_error *err,
                                 rd_kafka_error_t *error, const char *what);
/* Waits until a broker answers; VG_E_TIMEOUT names the address and the last complaint, at once for
 * TLS errors (VG_E_DENIED). */
enum vg_err vgi_kafka_reach(struct vgi_kafka *k, struct vg_error *err) VG_NODISCARD;
/* Between two tries of what may pass: 20 ms. */
void vgi_kafka_pause(void);
void vgi_kafka_topic_name(const struct vgi_kafka *k, enum vg_topic t,
                          char name[VGI_KAFKA_NAME_MAX]);
/* An eventfd (-1: none to have), which each watched queue makes readable. Clear it before serving
 * the queue. */
int vgi_kafka_fd_new(void);
void vgi_kafka_fd_watch(int fd, rd_kafka_queue_t *queue);
void vgi_kafka_fd_clear(int fd);
void vgi_kafka_fd_raise(int fd);

/* ---- kafka_admin.c ---- */

/* One administrative request: init, hand options and queue to the client, wait, look at the event,
 * done. VG_E_TIMEOUT after VGI_KAFKA_ADMIN_MS. */
struct vgi_kafka_request {
    rd_kafka_AdminOptions_t *options;
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *event;
};
void vgi_kafka_request_init(struct vgi_kafka_request *q, struct vgi_kafka *k,
                            rd_kafka_admin_op_t op);
enum vg_err vgi_kafka_request_wait(struct vgi_kafka_request *q, struct vgi_kafka *k,
                                   const char *what, struct vg_error *err) VG_NODISCARD;
void vgi_kafka_request_done(struct vgi_kafka_request *q);

/* Offsets of `count` partitions of a topic: `spec` is RD_KAFKA_OFFSET_SPEC_EARLIEST or _LATEST, the
 * latter without regard to open transactions. What may pass is tried again for VGI_KAFKA_REACH_MS.
 * VG_E_NOTFOUND, VG_E_TIMEOUT. */
enum vg_err vgi_kafka_offsets(struct vgi_kafka *k, const char *topic, const int32_t *partitions,
                              size_t count, int64_t spec, int64_t *out,
                              struct vg_error *err) VG_NODISCARD;
/* Both, of each partition: what the topic holds is begin[i] up to, but without, end[i]. */
enum vg_err vgi_kafka_extent(struct vgi_kafka *k, const char *topic, const int32_t *partitions,
                             size_t count, int64_t *begin, int64_t *end,
                             struct vg_error *err) VG_NODISCARD;
/* Number of partitions; VG_E_NOTFOUND when there is no such topic, seen for VGI_KAFKA_REACH_MS. */
enum vg_err vgi_kafka_partition_count(struct vgi_kafka *k, const char *topic, int32_t *out,
                                      struct vg_error *err) VG_NODISCARD;

enum vg_err vgi_kafka_open(const struct vg_dlog_conf *conf, const char *client, const char *rest,
                           unsigned flags, void **out, struct vg_error *err);
void vgi_kafka_close(void *log);
enum vg_err vgi_kafka_create(void *log, unsigned topics, unsigned *created, struct vg_error *err);
enum vg_err vgi_kafka_describe(void *log, enum vg_topic t, struct vg_dlog_topic_info *out,
                               struct vg_error *err);

/* ---- kafka_skip.c ---- */

enum vg_err vgi_kafka_skip(void *log, const char *group, vg_dlog_skipped_fn *fn, void *arg,
                           struct vg_error *err);

#endif
