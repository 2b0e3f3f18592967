/* What a backend of the log implements. The public functions check arguments and bounds once
 * (dlog.c) and then come here; docstrings of the public headers hold for each member. `void *`
 * objects are the backend's own. */
#ifndef VG_LOG_BACKEND_H
#define VG_LOG_BACKEND_H

#include "vigia/dlog.h"
#include "vigia/dlog_admin.h"
#include "vigia/dlog_processor.h"

struct vgi_backend {
    const char *scheme; /* "sqlite", without colon */

    /* `rest` is what follows "scheme:". `conf` and `client` live as long as the log. */
    enum vg_err (*open)(const struct vg_dlog_conf *conf, const char *client, const char *rest,
                        unsigned flags, void **out, struct vg_error *err);
    void (*close)(void *log);

    enum vg_err (*create)(void *log, unsigned topics, unsigned *created, struct vg_error *err);
    /* Settings and offsets as found; the comparison with the table is made by dlog.c. */
    enum vg_err (*describe)(void *log, enum vg_topic t, struct vg_dlog_topic_info *out,
                            struct vg_error *err);
    /* Servers that have just come back may not know a topic for so long; 0: what is there is known. */
    int unknown_ms;
    enum vg_err (*retain)(void *log, struct vg_dlog_retained *out,
                          struct vg_error *err); /* NULL: unsupported */
    enum vg_err (*backup)(void *log, const char *path, vg_dlog_progress_fn *fn, void *arg,
                          struct vg_error *err); /* NULL: unsupported */

    /* The name of the group is checked. */
    enum vg_err (*skip)(void *log, const char *group, vg_dlog_skipped_fn *fn, void *arg,
                        struct vg_error *err);

    enum vg_err (*appender_open)(void *log, void **out, struct vg_error *err);
    /* A group. Key and value are within VG_DLOG_KEY_MAX and VG_DLOG_VALUE_MAX, the key is not
     * empty, tombstones only on compacted topics; 1 to VG_DLOG_GROUP_MAX of them. */
    enum vg_err (*append)(void *a, enum vg_topic t, int32_t partition, enum vg_dlog_room room,
                          const struct vg_dlog_entry *entries, size_t count, vg_dlog_verdict_fn *fn,
                          void *arg);
    int (*appender_fd)(const void *a);
    enum vg_err (*appender_dispatch)(void *a, struct vg_error *err);
    size_t (*appender_pending)(const void *a);
    bool (*appender_holds)(void *a, const void *arg);
    uint64_t (*appender_forced)(void *a); /* NULL: never */
    void (*appender_close)(void *a);

    enum vg_err (*reader_open)(void *log, enum vg_topic t, int32_t partition,
                               struct vg_dlog_from from, void **out, struct vg_error *err);
    /* `max` is 1..VG_DLOG_BATCH_MAX. */
    enum vg_err (*read)(void *r, int timeout_ms, struct vg_dlog_record *records, size_t max,
                        size_t *count, struct vg_error *err);
    bool (*reader_caught_up)(const void *r);
    int (*reader_fd)(const void *r);
    void (*reader_close)(void *r);

    /* Names are checked, topics are in range, the state topic is compacted; `options` is not kept.
     */
    enum vg_err (*processor_open)(void *log, const struct vg_dlog_processor_options *options,
                                  void **out, struct vg_error *err);
    enum vg_err (*poll)(void *p, int timeout_ms, struct vg_dlog_record *records, size_t max,
                        size_t *count, struct vg_error *err);
    int (*processor_fd)(const void *p);
    bool (*processor_active)(const void *p);
    bool (*processor_caught_up)(const void *p, int32_t partition);
    enum vg_err (*end_at_assignment)(const void *p, enum vg_topic t, int32_t partition,
                                     int64_t *out);
    enum vg_err (*processor_append)(void *p, enum vg_topic t, int32_t partition, struct vg_span key,
                                    struct vg_span value);
    size_t (*processor_pending)(const void *p);
    enum vg_err (*commit)(void *p, struct vg_error *err);
    enum vg_err (*abort)(void *p, struct vg_error *err);
    void (*processor_close)(void *p);
};

extern const struct vgi_backend vgi_sqlite_backend;
extern const struct vgi_backend vgi_kafka_backend;

#endif
