/* The processor on Kafka as its caller sees it: open, poll, close, questions. What it is made of:
 * a member of a consumer group (kafka_group.c) that owns its partitions only after it has restored
 * their state (kafka_restore.c), and a transactional producer (kafka_txn.c). */
#include "kafka_processor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct vgi_kafka_part *vgi_kafka_part_of(struct vgi_kafka_processor *p, int32_t partition)
{
    for (size_t i = 0; i < p->part_count; i++) {
        if (p->parts[i].partition == partition) {
            return &p->parts[i];
        }
    }
    return NULL;
}

bool vgi_kafka_owns(const struct vgi_kafka_processor *p, int32_t partition)
{
    for (size_t i = 0; i < p->part_count; i++) {
        if (p->parts[i].partition == partition) {
            return true;
        }
    }
    return false;
}

size_t vgi_kafka_input_of(const struct vgi_kafka_processor *p, const char *topic)
{
    size_t i = 0;
    while (i < p->options.input_count && strcmp(p->input_names[i], topic) != 0) {
        i++;
    }
    return i;
}

void vgi_kafka_untell(struct vgi_kafka_processor *p)
{
    vgi_kafka_restore_drop(p);
    vgi_kafka_batch_clear(&p->batch);
    for (size_t i = 0; i < p->part_count; i++) {
        if (p->told && !p->closing && p->options.calls.revoked != NULL) {
            p->options.calls.revoked(p->options.arg, p->parts[i].partition);
        }
        p->parts[i].caught_up = false;
    }
    p->told = false;
    p->moved = false;
    p->start_over = false;
}

/* ---- poll ---- */

static bool part_at_end(const struct vgi_kafka_processor *p, const struct vgi_kafka_part *part)
{
    for (size_t j = 0; j < p->options.input_count; j++) {
        if (part->next[j] < part->end[j]) {
            return false;
        }
    }
    return true;
}

static void tell_caught_up(struct vgi_kafka_processor *p)
{
    for (size_t i = 0; i < p->part_count; i++) {
        struct vgi_kafka_part *part = &p->parts[i];
        if (!part->caught_up && part_at_end(p, part)) {
            part->caught_up = true;
            if (p->options.calls.caught_up != NULL) {
                p->options.calls.caught_up(p->options.arg, part->partition);
            }
        }
    }
}

enum vg_err vgi_kafka_poll(void *processor, int timeout_ms, struct vg_dlog_record *records,
                           size_t max, size_t *count, struct vg_error *err)
{
    struct vgi_kafka_processor *p = processor;
    struct vg_error own = {0};
    err = err == NULL ? &own : err;
    if (p->finished) {
        return vg_fail(err, VG_E_FATAL, "kafka %.80s: the processor is finished", p->k->brokers);
    }
    vgi_kafka_batch_clear(&p->batch);
    vgi_kafka_fd_clear(p->fd);
    if (p->phase == VGI_ACTIVE && !p->start_over) {
        tell_caught_up(p);
    }
    if (p->start_over) {
        vgi_kafka_untell(p);
        p->phase = p->part_count > 0 ? VGI_ASSIGNED : VGI_IDLE;
    }
    /* While it restores, this only serves the group. */
    const bool restoring = p->phase == VGI_ASSIGNED || p->phase == VGI_RESTORING;
    enum vg_err rc = vgi_kafka_group_fill(p, restoring ? 0 : timeout_ms, records, max, err);
    if (rc == VG_OK && p->refused.code != VG_OK) {
        *err = p->refused;
        rc = p->refused.code;
    }
    if (rc == VG_OK && p->phase == VGI_ASSIGNED) {
        rc = vgi_kafka_restore_begin(p, err);
    }
    if (rc == VG_OK && p->phase == VGI_RESTORING) {
        rc = vgi_kafka_restore_step(p, timeout_ms, err);
    }
    if (restoring) {
        vgi_kafka_fd_raise(p->fd);
    }
    if (rc == VG_OK && p->finished) { /* an abort inside a rebalance failed */
        rc = vg_fail(err, VG_E_FATAL, "kafka %.80s: group %s: a transaction could not be aborted",
                     p->k->brokers, p->group_id);
    }
    if (rc == VG_OK) {
        *count = p->batch.count;
    }
    return rc;
}

/* ---- open, close, questions ---- */

static enum vg_err check_partitioning(struct vgi_kafka_processor *p, struct vg_error *err)
{
    int32_t first = 0;
    enum vg_err rc = VG_OK;
    const size_t inputs = p->options.input_count;
    for (size_t i = 0; i < inputs + (p->options.state_topic != VG_TOPIC_NONE) && rc == VG_OK; i++) {
        char name[VGI_KAFKA_NAME_MAX];
        int32_t count = 0;
        vgi_kafka_topic_name(p->k, i < inputs ? p->options.inputs[i] : p->options.state_topic,
                             name);
        rc = vgi_kafka_partition_count(p->k, name, &count, err);
        if (rc == VG_OK && i == 0) {
            first = count;
        }
        if (rc == VG_OK && (count != first || count > VG_DLOG_PARTITIONS_MAX)) {
            rc = vg_fail(err, VG_E_INVALID,
                         "kafka %.80s: group %s: %s has %" PRId32 " partitions and %s has %" PRId32
                         ": accepted: the same number, at most %d",
                         p->k->brokers, p->group_id, p->input_names[0], first, name, count,
                         VG_DLOG_PARTITIONS_MAX);
        }
    }
    return rc;
}

enum vg_err vgi_kafka_processor_open(void *log, const struct vg_dlog_processor_options *options,
                                     void **out, struct vg_error *err)
{
    struct vgi_kafka *k = log;
    struct vgi_kafka_processor *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for a processor");
    }
    p->k = k;
    p->options = *options;
    snprintf(p->group, sizeof p->group, "%s", options->group);
    snprintf(p->instance, sizeof p->instance, "%s", options->instance);
    snprintf(p->group_id, sizeof p->group_id, "%s%s", k->conf->prefix, options->group);
    p->options.group = p->group;
    p->options.instance = p->instance;
    for (size_t i = 0; i < options->input_count; i++) {
        vgi_kafka_topic_name(k, options->inputs[i], p->input_names[i]);
    }
    vgi_kafka_note_init(&p->note);
    p->fd = vgi_kafka_fd_new();
    enum vg_err rc = p->fd < 0 ? vg_fail(err, VG_E_IO, "no descriptor for a processor: %m") : VG_OK;
    if (rc == VG_OK) {
        rc = vgi_kafka_watchdog_start(k->conf->call_deadline_ms, &p->watchdog, err);
    }
    if (rc == VG_OK) {
        rc = check_partitioning(p, err);
    }
    if (rc == VG_OK) {
        rc = vgi_kafka_txn_open(p, err);
    }
    if (rc == VG_OK) {
        rc = vgi_kafka_group_join(p, err);
    }
    if (rc != VG_OK) {
        vgi_kafka_processor_close(p);
        return rc;
    }
    *out = p;
    return VG_OK;
}

void vgi_kafka_processor_close(void *processor)
{
    struct vgi_kafka_processor *p = processor;
    p->closing = true;
    vgi_kafka_batch_clear(&p->batch);
    vgi_kafka_restore_drop(p);
    if (p->in_txn && !p->finished) {
        (void)!vgi_kafka_txn_abort(p, NULL);
    }
    vgi_kafka_group_leave(p);
    vgi_kafka_txn_close(p);
    vgi_kafka_watchdog_stop(p->watchdog);
    if (p->fd >= 0) {
        close(p->fd);
    }
    vgi_kafka_note_done(&p->note);
    free(p);
}

int vgi_kafka_processor_fd(const void *processor)
{
    const struct vgi_kafka_processor *p = processor;
    return p->fd;
}

bool vgi_kafka_processor_active(const void *processor)
{
    const struct vgi_kafka_processor *p = processor;
    return p->phase == VGI_ACTIVE && !p->start_over && !p->finished;
}

bool vgi_kafka_processor_caught_up(const void *processor, int32_t partition)
{
    const struct vgi_kafka_processor *p = processor;
    for (size_t i = 0; i < p->part_count; i++) {
        if (p->parts[i].partition == partition) {
            return p->parts[i].caught_up;
        }
    }
    return false;
}

enum vg_err vgi_kafka_end_at_assignment(const void *processor, enum vg_topic t, int32_t partition,
                                        int64_t *out)
{
    const struct vgi_kafka_processor *p = processor;
    for (size_t i = 0; i < p->part_count && p->told; i++) {
        for (size_t j = 0; j < p->options.input_count; j++) {
            if (p->parts[i].partition == partition && p->options.inputs[j] == t) {
                *out = p->parts[i].end[j];
                return VG_OK;
            }
        }
    }
    return VG_E_NOTFOUND;
}
