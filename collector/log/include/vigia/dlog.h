/* The log: durable, ordered, keyed records in topics; the only thing that the programs share.
 *
 *   appender   writes records; each gets a verdict once it is durable or failed           (here)
 *   reader     reads committed records from an offset, a time or the beginning            (here)
 *   view       follows a compacted topic, telling each key's changes                      (here)
 *   processor  consumes, keeps state and appends, in one atomic commit (dlog_processor.h) admin
 * creates, checks, counts, backs up                                          (dlog_admin.h)
 *
 * Records of one key are in one partition, and a partition has one order. Two backends stand behind
 * this interface, chosen by URL: sqlite:/path/log.db (one file on one machine, one partition) and
 * kafka:host:port,host:port.
 *
 * Each object is used by one thread at a time; objects of one log may live on different threads.
 * Callbacks run inside the call that the caller makes (dispatch, poll), on its thread, and must not
 * close the object that calls them. Every object has a descriptor for the caller's loop: when it is
 * readable, call dispatch/read/poll; never read the descriptor itself. Call them at least every
 * VG_DLOG_TURN_MS too: that is what notices a change that the descriptor missed.
 *
 * Error classes, the same everywhere: VG_E_AGAIN and VG_E_TIMEOUT may pass; VG_E_FATAL means that
 * the object is finished: log err->text, end the program, let it start again. */
#ifndef VIGIA_DLOG_H
#define VIGIA_DLOG_H

#include "vigia/conf.h"
#include "vigia/err.h"
#include "vigia/span.h"
#include "vigia/topics.h"

#define VG_DLOG_TURN_MS   200          /* see above */
#define VG_DLOG_KEY_MAX   256          /* bytes */
#define VG_DLOG_VALUE_MAX (256 * 1024) /* bytes */
#define VG_DLOG_BATCH_MAX 4096         /* records of one read or poll, at most */
#define VG_DLOG_BATCH_BYTES                                                                        \
    (8 << 20) /* bytes of one read or poll, at most (the first record always fits) */
#define VG_DLOG_VERDICT_MAX_MS 15000 /* no verdict comes later than this */
#define VG_DLOG_PATH_MAX       256   /* room of a path, NUL included */
#define VG_DLOG_GROUP_MAX      1024  /* records of one append */
#define VG_DLOG_URGENT_SHARE   8     /* one part in so many of an appender's bounds */

/* ---- configuration: section [log], the same in every program of the collector side ---- */

struct vg_dlog_conf {
    char url[512];
    char prefix[64];
    char ca_file[VG_DLOG_PATH_MAX], cert_file[VG_DLOG_PATH_MAX], key_file[VG_DLOG_PATH_MAX];
    int64_t queue_max, queue_max_bytes, verdict_ms;
    int64_t retain_ms, retain_alarms_ms, max_bytes;
    int64_t partitions, replication, min_insync;
    int64_t call_deadline_ms;
};

/* Items for a program's table, with the values in member `f` (a struct vg_dlog_conf) of struct S:
 *     static const struct vg_conf_item items[] = { VG_DLOG_CONF_ITEMS(struct ingest_conf, log), …
 * };                  */
#define VG_DLOG_CONF_ITEMS(S, f)                                                                   \
    VG_CONF_STRING(S, f.url, "log", "url", "sqlite:/var/lib/vigia/log.db",                         \
                   "The log: sqlite:FILE, or kafka:HOST:PORT,HOST:PORT."),                         \
        VG_CONF_STRING(S, f.prefix, "log", "prefix", "vigia.",                                     \
                       "Begins every topic name; one prefix is one tenant."),                      \
        VG_CONF_PATH(S, f.ca_file, "log", "ca_file", "",                                           \
                     "Kafka: PEM file of the authority that signed the brokers; turns TLS on."),   \
        VG_CONF_PATH(S, f.cert_file, "log", "cert_file", "",                                       \
                     "Kafka: PEM file of this program's certificate."),                            \
        VG_CONF_PATH(S, f.key_file, "log", "key_file", "",                                         \
                     "Kafka: PEM file of this program's private key, mode 0600."),                 \
        VG_CONF_INT(S, f.queue_max, "log", "queue_max", "20000", 100, 1000000, "records",          \
                    "Records waiting to become durable; one more is refused. A collector keeps "   \
                    "an eighth for urgent readings and OKs."),                                     \
        VG_CONF_SIZE(S, f.queue_max_bytes, "log", "queue_max_bytes", "32M", 1 << 20, 1LL << 32,    \
                     "Bytes waiting to become durable; more are refused. A collector keeps an "    \
                     "eighth for urgent readings and OKs."),                                       \
        VG_CONF_DURATION(S, f.verdict_ms, "log", "verdict_timeout", "15s", 1000,                   \
                         VG_DLOG_VERDICT_MAX_MS,                                                   \
                         "A record that is not durable after this long has failed."),              \
        VG_CONF_DURATION(S, f.retain_ms, "log", "retain", "30d", 60000, INT64_MAX,                 \
                         "How long readings and rejected payloads are kept."),                     \
        VG_CONF_DURATION(S, f.retain_alarms_ms, "log", "retain_alarms", "365d", 60000, INT64_MAX,  \
                         "How long alarms and commands are kept."),                                \
        VG_CONF_SIZE(S, f.max_bytes, "log", "max_bytes", "8G", 1 << 20, 1LL << 46,                 \
                     "SQLite: size of the file above which the oldest readings leave early."),     \
        VG_CONF_INT(S, f.partitions, "log", "partitions", "6", 1, 1000, "partitions",              \
                    "Kafka: partitions of readings, alarms, alarm-state, commands; fixed for "     \
                    "ever."),                                                                      \
        VG_CONF_INT(S, f.replication, "log", "replication", "3", 1, 15, "brokers",                 \
                    "Kafka: copies of each record."),                                              \
        VG_CONF_INT(S, f.min_insync, "log", "min_insync", "2", 1, 15, "brokers",                   \
                    "Kafka: copies that must be written before a record is durable."),             \
        VG_CONF_DURATION(S, f.call_deadline_ms, "log", "call_deadline", "45s", 1000, 600000,       \
                         "Kafka: a call of the client that has not returned after this long, or "  \
                         "5 s after a limit of its own, ends the program, which its supervisor "   \
                         "starts again.")

/* The defaults above with the given URL, for tests and tools. VG_E_RANGE when the URL is too long.
 */
enum vg_err vg_dlog_conf_default(const char *url, struct vg_dlog_conf *out) VG_NODISCARD;

/* What topic `t` has to look like under `conf`. The only place that knows. */
struct vg_topic_settings vg_dlog_want(const struct vg_dlog_conf *conf, enum vg_topic t);

/* ---- opening ---- */

struct vg_dlog;

#define VG_DLOG_MAY_CREATE                                                                         \
    1u /* SQLite: make the file if it is absent (`vigia init`); else that is VG_E_NOTFOUND */

/* `client` names the program to the broker and in errors; copied. Needs no reachable broker: calls
 * that do, say so. VG_E_UNSUPPORTED: URL of an unknown kind. VG_E_INVALID: malformed URL, TLS files
 * that cannot be used. VG_E_NOTFOUND, VG_E_VERSION, VG_E_CORRUPT, VG_E_DENIED: the file; nothing in
 * it was touched. err->text is one complete line. */
enum vg_err vg_dlog_open(const struct vg_dlog_conf *conf, const char *client, unsigned flags,
                         struct vg_dlog **out, struct vg_error *err) VG_NODISCARD;
/* After everything opened from it is closed. NULL is allowed. */
void vg_dlog_close(struct vg_dlog *log);

/* Number of partitions of a topic (numbered from 0). VG_E_NOTFOUND: the topic does not exist.
 * VG_E_TIMEOUT: no broker. */
enum vg_err vg_dlog_partitions(struct vg_dlog *log, enum vg_topic t, int32_t *out,
                               struct vg_error *err) VG_NODISCARD;

/* ---- records ---- */

/* A committed record. Key and value are borrowed until the next call on the object that gave it. */
struct vg_dlog_record {
    enum vg_topic topic;
    int32_t partition;
    int64_t offset;    /* grows by at least 1 within a partition; may have holes */
    int64_t append_ms; /* wall time of the append, ms since 1970 */
    struct vg_span key;
    struct vg_span value; /* at == NULL: a tombstone */
};

/* ---- appender ---- */

struct vg_dlog_appender;

struct vg_dlog_verdict {
    enum vg_err result; /* VG_OK: durable. VG_E_TIMEOUT, VG_E_IO, VG_E_FULL (disk), VG_E_CLOSED,
                           VG_E_FATAL: failed */
    bool
        maybe_persisted; /* failed, yet the record may be in the log all the same (at least once) */
    int32_t partition;   /* of a durable record; of a group, of its last */
    int64_t offset;      /* of a durable record; -1 where the backend does not tell */
};

/* Exactly one verdict for each accepted append, in no promised order across keys. */
typedef void vg_dlog_verdict_fn(void *arg, const struct vg_dlog_verdict *verdict);

/* How much of the bounds [log] queue_max and queue_max_bytes an append may fill. */
enum vg_dlog_room {
    VG_DLOG_ROUTINE,  /* all but one part in VG_DLOG_URGENT_SHARE */
    VG_DLOG_URGENT,   /* all; what vg_dlog_append does */
    VG_DLOG_HEARTBEAT /* none: a room of its own, for one record in each partition */
};

/* Bounds: [log] queue_max, queue_max_bytes, verdict_timeout. */
enum vg_err vg_dlog_appender_open(struct vg_dlog *log, struct vg_dlog_appender **out,
                                  struct vg_error *err) VG_NODISCARD;
/* Copies key and value and queues them; never blocks. `partition` -1: by key (murmur2_random); a
 * topic is written either by key or by explicit partition, heartbeats apart. value.at == NULL: a
 * tombstone (compacted topics). `fn` may be NULL. VG_E_FULL: a bound is reached, nothing was
 * queued. VG_E_RANGE: key, value or partition out of bounds.
 * VG_E_NOTFOUND: no such topic when the appender was opened. VG_E_FATAL. */
enum vg_err vg_dlog_append(struct vg_dlog_appender *a, enum vg_topic t, int32_t partition,
                           struct vg_span key, struct vg_span value, vg_dlog_verdict_fn *fn,
                           void *arg) VG_NODISCARD;

struct vg_dlog_entry {
    struct vg_span key, value;
};

/* Appends 1 to VG_DLOG_GROUP_MAX records, by key, as one: they are accepted together or not at all,
 * have one time limit and get one verdict, VG_OK when all of them are durable. After any other
 * verdict the log may hold some of them, but of each key only the first ones in their order: never
 * a later record without the earlier ones. So whoever appends the whole group again leaves a log in
 * which every first copy stands in order, and a reader that keeps a high-water mark per key loses
 * nothing. Errors as vg_dlog_append. */
enum vg_err vg_dlog_append_group(struct vg_dlog_appender *a, enum vg_topic t,
                                 enum vg_dlog_room room, const struct vg_dlog_entry *entries,
                                 size_t count, vg_dlog_verdict_fn *fn, void *arg) VG_NODISCARD;
/* As vg_dlog_append to a partition of readings, in the room VG_DLOG_HEARTBEAT: a queue that is full
 * of readings does not refuse it. The caller appends none to a partition while the appender holds
 * the last one (vg_dlog_appender_holds). */
enum vg_err vg_dlog_append_heartbeat(struct vg_dlog_appender *a, int32_t partition,
                                     struct vg_span key, struct vg_span value,
                                     vg_dlog_verdict_fn *fn, void *arg) VG_NODISCARD;
/* Readable while verdicts wait. */
int vg_dlog_appender_fd(const struct vg_dlog_appender *a);
/* Makes the waiting callbacks, never blocks. VG_E_FATAL: no later record can become durable; the
 * verdicts still come. */
enum vg_err vg_dlog_appender_dispatch(struct vg_dlog_appender *a,
                                      struct vg_error *err) VG_NODISCARD;
/* Dispatches until every accepted record has its verdict or `timeout_ms` passed (VG_E_TIMEOUT). */
enum vg_err vg_dlog_appender_drain(struct vg_dlog_appender *a, int timeout_ms,
                                   struct vg_error *err) VG_NODISCARD;
/* Records without a verdict yet. */
size_t vg_dlog_appender_pending(const struct vg_dlog_appender *a);
/* Whether a record that was appended with this `arg` may still be stored later: the appender has it,
 * also when its time limit has passed and the verdict was given. Looks at every record it has. */
bool vg_dlog_appender_holds(const struct vg_dlog_appender *a, const void *arg);
/* Records refused with VG_E_FULL since open. */
uint64_t vg_dlog_appender_refused(const struct vg_dlog_appender *a);
/* Records that some group had not read and that this appender removed because the file had reached
 * [log] max_bytes; it also writes the log line log-trimmed-unread. SQLite only, else 0. */
uint64_t vg_dlog_appender_forced(const struct vg_dlog_appender *a);
/* Gives what is still pending the verdict VG_E_CLOSED (maybe_persisted) from inside this call. NULL
 * is allowed. */
void vg_dlog_appender_close(struct vg_dlog_appender *a);

/* ---- reader ---- */

struct vg_dlog_reader;

enum vg_dlog_from_kind {
    VG_DLOG_BEGINNING, /* the earliest record kept */
    VG_DLOG_END,       /* only what is appended from now on */
    VG_DLOG_OFFSET,    /* `at` is an offset; needs one partition */
    VG_DLOG_TIME       /* the first record appended at or after `at` ms since 1970 */
};
struct vg_dlog_from {
    enum vg_dlog_from_kind kind;
    int64_t at;
};

/* `partition` -1: all of them (their records interleave). VG_E_NOTFOUND: no such topic. VG_E_RANGE:
 * no such partition, or an offset that is not kept any more or lies behind the end. */
enum vg_err vg_dlog_reader_open(struct vg_dlog *log, enum vg_topic t, int32_t partition,
                                struct vg_dlog_from from, struct vg_dlog_reader **out,
                                struct vg_error *err) VG_NODISCARD;
/* Up to `max` (at most VG_DLOG_BATCH_MAX) committed records; waits at most `timeout_ms` for the
 * first. VG_OK with *count 0: nothing in that time. VG_E_RANGE: what was to be read next has left
 * the log. */
enum vg_err vg_dlog_read(struct vg_dlog_reader *r, int timeout_ms, struct vg_dlog_record *records,
                         size_t max, size_t *count, struct vg_error *err) VG_NODISCARD;
/* True once everything that was in the log at open has been returned; what an open transaction had
 * put there is waited for until that ends (Kafka). Check it after each read. */
bool vg_dlog_reader_caught_up(const struct vg_dlog_reader *r);
int vg_dlog_reader_fd(const struct vg_dlog_reader *r);
void vg_dlog_reader_close(struct vg_dlog_reader *r); /* NULL is allowed */

/* ---- view: the table of a compacted topic, kept by the caller, fed from here ---- */

struct vg_dlog_view;

/* One change: the record is a value of the key, or a tombstone (value.at == NULL) when the key is
 * gone. Those of one key come in their order, so that the last one told is the newest. An unchanged
 * value may be told again, and so may values that were superseded before the view was opened: the
 * log keeps them for a while (Kafka, until its cleaner has run). Who wants each key once takes
 * vg_dlog_latest (dlog_admin.h). */
typedef void vg_dlog_change_fn(void *arg, const struct vg_dlog_record *record);

/* VG_E_INVALID: the topic is not compacted. */
enum vg_err vg_dlog_view_open(struct vg_dlog *log, enum vg_topic t, vg_dlog_change_fn *fn,
                              void *arg, struct vg_dlog_view **out,
                              struct vg_error *err) VG_NODISCARD;
/* Tells at most VG_DLOG_BATCH_MAX changes; waits at most `timeout_ms` for the first (0: never
 * blocks). */
enum vg_err vg_dlog_view_dispatch(struct vg_dlog_view *v, int timeout_ms,
                                  struct vg_error *err) VG_NODISCARD;
/* True once everything that was in the topic at open has been told. */
bool vg_dlog_view_caught_up(const struct vg_dlog_view *v);
int vg_dlog_view_fd(const struct vg_dlog_view *v);
void vg_dlog_view_close(struct vg_dlog_view *v); /* NULL is allowed */

#endif
