/* A member of a consumer group that owns its partitions only after it has restored their state.
 *
 * An assignment is not handed to the client until the committed positions, the ends of the inputs
 * and the state are known; until then nothing is fetched, and the group waits. The committed
 * positions are asked for with stable offsets, so a new owner waits until the transaction of the
 * one before has ended. State is read up to the end of the changelog as it stands after that.
 *
 * Eager rebalancing (range): a revocation takes everything. The open transaction is aborted then,
 * never committed: the caller may not have handled all it was given. */
#include "kafka_processor.h"
#include "vigia/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STEP_MS 100 /* a step of restoring may take this long even if the caller waits for less */

static struct vgi_kafka_part *part_of(struct vgi_kafka_processor *p, int32_t partition)
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

static size_t input_of(const struct vgi_kafka_processor *p, const char *topic)
{
    size_t i = 0;
    while (i < p->options.input_count && strcmp(p->input_names[i], topic) != 0) {
        i++;
    }
    return i;
}

/* ---- rebalancing ---- */

static void drop_restore(struct vgi_kafka_processor *p)
{
    vgi_kafka_scan_close(p->scan);
    vgi_newest_free(p->table);
    p->scan = NULL;
    p->table = NULL;
}

/* Forgets what the caller was told about the partitions. They may still be ours. */
static void untell(struct vgi_kafka_processor *p)
{
    drop_restore(p);
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

/* Every input must bring the same partitions: a partition's state is made from all of them. */
static enum vg_err take_assignment(struct vgi_kafka_processor *p,
                                   const rd_kafka_topic_partition_list_t *list,
                                   struct vg_error *err)
{
    p->part_count = 0;
    for (int i = 0; i < list->cnt; i++) {
        const int32_t partition = list->elems[i].partition;
        if (partition >= VG_DLOG_PARTITIONS_MAX ||
            input_of(p, list->elems[i].topic) == p->options.input_count) {
            return vg_fail(err, VG_E_INVALID,
                           "kafka %.80s: group %s: assigned %s[%" PRId32 "], which is no input",
                           p->k->brokers, p->group_id, list->elems[i].topic, partition);
        }
        if (part_of(p, partition) == NULL) {
            p->parts[p->part_count++] = (struct vgi_kafka_part){.partition = partition};
        }
    }
    for (size_t i = 0; i < p->part_count; i++) {
        for (size_t j = 0; j < p->options.input_count; j++) {
            if (rd_kafka_topic_partition_list_find(list, p->input_names[j],
                                                   p->parts[i].partition) == NULL) {
                return vg_fail(err, VG_E_INVALID,
                               "kafka %.80s: group %s: assigned partition %" PRId32
                               " without that of %s: the inputs "
                               "are not co-partitioned",
                               p->k->brokers, p->group_id, p->parts[i].partition,
                               p->input_names[j]);
            }
        }
    }
    return VG_OK;
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
                         rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct vgi_kafka_processor *p = opaque;
    if (p->in_txn && !p->finished) {
        struct vg_error why;
        (void)!vgi_kafka_txn_abort(p, &why); /* a fatal one is told by the next call */
    }
    untell(p);
    p->part_count = 0;
    p->phase = VGI_IDLE;
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && list->cnt > 0 && !p->closing &&
        take_assignment(p, list, &p->refused) == VG_OK) {
        p->phase = VGI_ASSIGNED; /* assign() follows when it is restored */
        return;
    }
    rd_kafka_assign(rk,
                    what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && list->cnt == 0 ? list : NULL);
}

/* ---- restoring ---- */

/* Before the state is there, waiting is no error: the former owner's transaction is open, or a
 * broker is away or just back and does not know its topics yet. Only what waiting cannot mend is
 * told. */
static enum vg_err wait_or_fail(const struct vgi_kafka_processor *p, enum vg_err rc,
                                const struct vg_error *err)
{
    switch (rc) {
    case VG_OK:
    case VG_E_AGAIN:
    case VG_E_TIMEOUT:
        return VG_OK;
    case VG_E_IO:
    case VG_E_NOTFOUND:
        vg_log_warn("log-restore-waits", "group=%s why=%s", p->group_id, VG_Q(err->text));
        return VG_OK;
    default:
        return rc;
    }
}

static rd_kafka_topic_partition_list_t *input_list(const struct vgi_kafka_processor *p)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)(p->part_count * p->options.input_count));
    for (size_t i = 0; i < p->part_count; i++) {
        for (size_t j = 0; j < p->options.input_count; j++) {
            rd_kafka_topic_partition_list_add(list, p->input_names[j], p->parts[i].partition)
                ->offset = p->parts[i].next[j];
        }
    }
    return list;
}

/* The committed positions; negative where the group has none yet. */
static enum vg_err fetch_committed(struct vgi_kafka_processor *p, bool *known, struct vg_error *err)
{
    rd_kafka_topic_partition_list_t *list = input_list(p);
    vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_committed", STEP_MS);
    rd_kafka_resp_err_t code = rd_kafka_committed(p->consumer, list, STEP_MS);
    vgi_kafka_watchdog_leave(p->watchdog);
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        const rd_kafka_topic_partition_t *tp = &list->elems[i];
        code = tp->err;
        part_of(p, tp->partition)->next[input_of(p, tp->topic)] = tp->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    *known = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (*known) {
        return VG_OK;
    }
    return vgi_kafka_fail(p->k, err, code, "fetching committed offsets");
}

static void list_partitions(const struct vgi_kafka_processor *p, int32_t *partitions)
{
    for (size_t i = 0; i < p->part_count; i++) {
        partitions[i] = p->parts[i].partition;
    }
}

/* Checks the committed positions of one input against what the log holds; a new group starts at the
 * earliest record. */
static enum vg_err fetch_ends(struct vgi_kafka_processor *p, size_t input, struct vg_error *err)
{
    int32_t partitions[VG_DLOG_PARTITIONS_MAX] = {0};
    int64_t begin[VG_DLOG_PARTITIONS_MAX] = {0}, end[VG_DLOG_PARTITIONS_MAX] = {0};
    const char *name = p->input_names[input];
    list_partitions(p, partitions);
    enum vg_err rc = vgi_kafka_offsets(p->k, name, partitions, p->part_count,
                                       RD_KAFKA_OFFSET_SPEC_EARLIEST, begin, err);
    if (rc == VG_OK) {
        rc = vgi_kafka_offsets(p->k, name, partitions, p->part_count, RD_KAFKA_OFFSET_SPEC_LATEST,
                               end, err);
    }
    for (size_t i = 0; i < p->part_count && rc == VG_OK; i++) {
        int64_t *next = &p->parts[i].next[input];
        if (*next < 0) {
            *next = begin[i];
        }
        const struct vgi_kafka_place at = {name, partitions[i], *next, begin[i], end[i]};
        rc = vgi_kafka_in_log(p, &at, err);
        p->parts[i].end[input] = end[i];
    }
    return rc;
}

static enum vg_err open_restore(struct vgi_kafka_processor *p, struct vg_error *err)
{
    struct vgi_kafka_scan_part scan[VG_DLOG_PARTITIONS_MAX];
    int32_t partitions[VG_DLOG_PARTITIONS_MAX];
    int64_t begin[VG_DLOG_PARTITIONS_MAX], end[VG_DLOG_PARTITIONS_MAX];
    char name[VGI_KAFKA_NAME_MAX];
    vgi_kafka_topic_name(p->k, p->options.state_topic, name);
    list_partitions(p, partitions);
    enum vg_err rc = vgi_kafka_offsets(p->k, name, partitions, p->part_count,
                                       RD_KAFKA_OFFSET_SPEC_EARLIEST, begin, err);
    if (rc == VG_OK) {
        rc = vgi_kafka_offsets(p->k, name, partitions, p->part_count, RD_KAFKA_OFFSET_SPEC_LATEST,
                               end, err);
    }
    if (rc != VG_OK) {
        return rc;
    }
    for (size_t i = 0; i < p->part_count; i++) {
        scan[i] = (struct vgi_kafka_scan_part){partitions[i], begin[i], end[i]};
    }
    p->table = vgi_newest_new();
    if (p->table == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the state of group %s", p->group_id);
    }
    return vgi_kafka_scan_open(p->k, p->options.state_topic, scan, p->part_count, p->fd, &p->scan,
                               err);
}

static enum vg_err step_assigned(struct vgi_kafka_processor *p, struct vg_error *err)
{
    bool known = false;
    enum vg_err rc = fetch_committed(p, &known, err);
    if (rc != VG_OK || !known) {
        return wait_or_fail(p, rc, err);
    }
    for (size_t j = 0; j < p->options.input_count && rc == VG_OK; j++) {
        rc = fetch_ends(p, j, err);
    }
    if (rc == VG_OK && p->options.state_topic != VG_TOPIC_NONE) {
        rc = open_restore(p, err);
    }
    if (rc != VG_OK) {
        drop_restore(p);
        return wait_or_fail(p, rc, err);
    }
    p->phase = VGI_RESTORING;
    p->told = true;
    for (size_t i = 0; i < p->part_count && p->options.calls.assigned != NULL; i++) {
        p->options.calls.assigned(p->options.arg, p->parts[i].partition);
    }
    return VG_OK;
}

static void tell_state(void *arg, int32_t partition, struct vg_span key, struct vg_span value)
{
    const struct vgi_kafka_processor *p = arg;
    if (p->options.calls.state != NULL) {
        p->options.calls.state(p->options.arg, partition, key, value);
    }
}

/* The first commit carries the positions alone: it shows that the group takes our transactions, and
 * spares the first real one the delay of setting the coordinators up. */
static enum vg_err restored(struct vgi_kafka_processor *p, struct vg_error *err)
{
    enum vg_err rc = vgi_kafka_txn_commit_now(p, err);
    if (rc != VG_OK) {
        return rc == VG_E_CONFLICT ? VG_OK : rc; /* the next poll starts over */
    }
    if (p->table != NULL) {
        vgi_newest_each(p->table, tell_state, p);
    }
    drop_restore(p);
    rd_kafka_topic_partition_list_t *list = input_list(p);
    const rd_kafka_resp_err_t code = rd_kafka_assign(p->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return vgi_kafka_fail(p->k, err, code, "taking up an assignment");
    }
    p->phase = VGI_ACTIVE;
    for (size_t i = 0; i < p->part_count && p->options.calls.restored != NULL; i++) {
        p->options.calls.restored(p->options.arg, p->parts[i].partition);
    }
    return VG_OK;
}

static enum vg_err step_restoring(struct vgi_kafka_processor *p, int timeout_ms,
                                  struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + (timeout_ms > STEP_MS ? timeout_ms : STEP_MS);
    while (p->scan != NULL && !vgi_kafka_scan_caught_up(p->scan)) {
        const int64_t left = until - vgi_now_ms();
        if (left <= 0) {
            return VG_OK;
        }
        rd_kafka_message_t *m = NULL;
        enum vg_err rc = vgi_kafka_scan_poll(p->scan, (int)left, &m, err);
        if (rc == VG_OK && m != NULL) {
            struct vg_dlog_record r;
            vgi_kafka_record(p->options.state_topic, m, &r);
            rc = vgi_newest_set(p->table, r.partition, r.key, r.value);
            rd_kafka_message_destroy(m);
            if (rc != VG_OK) {
                return vg_fail(err, rc, "no memory for the state of group %s", p->group_id);
            }
        }
        if (rc != VG_OK) {
            /* VG_E_RANGE is for the inputs: the state is read from its beginning at each start. */
            return rc == VG_E_RANGE ? VG_E_IO : rc;
        }
    }
    return restored(p, err);
}

/* ---- poll ---- */

static enum vg_err lost_place(const struct vgi_kafka_processor *p, const rd_kafka_message_t *m,
                              struct vg_error *err)
{
    const size_t input = m->rkt == NULL ? 0 : input_of(p, rd_kafka_topic_name(m->rkt));
    for (size_t i = 0; i < p->part_count && m->rkt != NULL && input < p->options.input_count; i++) {
        if (p->parts[i].partition == m->partition && p->parts[i].next[input] >= 0) {
            struct vgi_kafka_place at = {p->input_names[input], m->partition,
                                         p->parts[i].next[input], 0, 0};
            return vgi_kafka_lost_place(p, &at, rd_kafka_message_errstr(m), err);
        }
    }
    return vg_fail(err, VG_E_FATAL, "kafka %.80s: group %s: %.120s", p->k->brokers, p->group_id,
                   rd_kafka_message_errstr(m));
}

static enum vg_err consumer_error(struct vgi_kafka_processor *p, const rd_kafka_message_t *m,
                                  struct vg_error *err)
{
    const char *topic = m->rkt == NULL ? p->group_id : rd_kafka_topic_name(m->rkt);
    switch (vgi_kafka_class(m->err)) {
    case VG_E_TIMEOUT:
    case VG_E_AGAIN:
        return VG_OK; /* the client keeps trying */
    case VG_E_RANGE:
        return lost_place(p, m, err);
    case VG_E_FATAL:
        p->finished = true;
        return vgi_kafka_fail(p->k, err, m->err, topic);
    case VG_E_DENIED:
        return vgi_kafka_fail(p->k, err, m->err, topic);
    default: /* a topic that a starting broker does not know yet, a poll that came late: it passes,
                or shows in what follows */
        vg_log_warn("log-consumer", "group=%s topic=%s what=%s", p->group_id, topic,
                    VG_Q(rd_kafka_message_errstr(m)));
        return VG_OK;
    }
}

/* Takes in one message of the consumer: a record is kept, the end of a partition moves the
 * position, an error is judged. */
static enum vg_err take_message(struct vgi_kafka_processor *p, rd_kafka_message_t *m,
                                struct vg_dlog_record *records, struct vg_error *err)
{
    struct vgi_kafka_part *part = m->rkt == NULL ? NULL : part_of(p, m->partition);
    const size_t input = m->rkt == NULL ? 0 : input_of(p, rd_kafka_topic_name(m->rkt));
    const bool ours = p->phase == VGI_ACTIVE && part != NULL && input < p->options.input_count;
    enum vg_err rc = VG_OK;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && ours) {
        part->next[input] = m->offset + 1;
        p->moved = true;
        vgi_kafka_batch_add(&p->batch, p->options.inputs[input], m, &records[p->batch.count]);
        return VG_OK;
    }
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (ours && m->offset > part->next[input]) {
            part->next[input] = m->offset; /* over control records and aborted ones */
        }
    } else if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rc = consumer_error(p, m, err);
    }
    rd_kafka_message_destroy(m);
    return rc;
}

static enum vg_err fill(struct vgi_kafka_processor *p, int timeout_ms,
                        struct vg_dlog_record *records, size_t max, struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + timeout_ms;
    while (p->batch.count < max && p->batch.bytes < VG_DLOG_BATCH_BYTES) {
        const int64_t left = p->batch.count > 0 ? 0 : until - vgi_now_ms();
        const enum vgi_phase before = p->phase;
        rd_kafka_message_t *m = rd_kafka_consumer_poll(p->consumer, left > 0 ? (int)left : 0);
        if (m == NULL) {
            if (p->phase != before) {
                vgi_kafka_fd_raise(p->fd); /* a rebalance: go on in the next poll */
            }
            return VG_OK;
        }
        const enum vg_err rc = take_message(p, m, records, err);
        if (rc != VG_OK) {
            return rc;
        }
        if (p->phase != before) {
            vgi_kafka_fd_raise(p->fd);
            return VG_OK;
        }
    }
    vgi_kafka_fd_raise(p->fd); /* full: there may be more */
    return VG_OK;
}

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
        untell(p);
        p->phase = p->part_count > 0 ? VGI_ASSIGNED : VGI_IDLE;
    }
    /* While it restores, this only serves the group. */
    const bool restoring = p->phase == VGI_ASSIGNED || p->phase == VGI_RESTORING;
    enum vg_err rc = fill(p, restoring ? 0 : timeout_ms, records, max, err);
    if (rc == VG_OK && p->refused.code != VG_OK) {
        *err = p->refused;
        rc = p->refused.code;
    }
    if (rc == VG_OK && p->phase == VGI_ASSIGNED) {
        rc = step_assigned(p, err);
    }
    if (rc == VG_OK && p->phase == VGI_RESTORING) {
        rc = step_restoring(p, timeout_ms, err);
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

static void add_callback(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
}

static enum vg_err consumer_open(struct vgi_kafka_processor *p, struct vg_error *err)
{
    char session[16], heartbeat[16], max_poll[16];
    snprintf(session, sizeof session, "%d", VGI_KAFKA_SESSION_MS);
    snprintf(heartbeat, sizeof heartbeat, "%d", VGI_KAFKA_HEARTBEAT_MS);
    snprintf(max_poll, sizeof max_poll, "%d", VGI_KAFKA_MAX_POLL_MS);
    const struct vgi_kafka_setting settings[] = {
        {"group.id", p->group_id},
        {"partition.assignment.strategy", "range"},
        {"session.timeout.ms", session},
        {"heartbeat.interval.ms", heartbeat},
        {"max.poll.interval.ms", max_poll},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"},
        {"auto.offset.reset", "error"},
        {"enable.partition.eof", "true"},
        /* While anything waits here, the next request to the broker does: under load a few large
         * ones, instead of one for each append. What is asked for at once makes up for it. */
        {"queued.min.messages", "1"},
        {"fetch.queue.backoff.ms", "10"},
        {"queued.max.messages.kbytes", "16384"},
        {"fetch.message.max.bytes", "4194304"},
        {"fetch.max.bytes", "16777216"},
        {NULL, NULL},
    };
    enum vg_err rc =
        vgi_kafka_new(p->k, RD_KAFKA_CONSUMER, &p->note, settings, add_callback, &p->consumer, err);
    if (rc != VG_OK) {
        return rc;
    }
    rd_kafka_poll_set_consumer(p->consumer);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(p->consumer);
    vgi_kafka_fd_watch(p->fd, queue);
    rd_kafka_queue_destroy(queue);
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)p->options.input_count);
    for (size_t i = 0; i < p->options.input_count; i++) {
        rd_kafka_topic_partition_list_add(list, p->input_names[i], RD_KAFKA_PARTITION_UA);
    }
    const rd_kafka_resp_err_t code = rd_kafka_subscribe(p->consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? VG_OK
                                              : vgi_kafka_fail(p->k, err, code, p->group_id);
}

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
        rc = consumer_open(p, err);
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
    drop_restore(p);
    if (p->in_txn && !p->finished) {
        (void)!vgi_kafka_txn_abort(p, NULL);
    }
    if (p->consumer != NULL) {
        if (p->phase == VGI_ASSIGNED || p->phase == VGI_RESTORING) {
            rd_kafka_assign(p->consumer, NULL); /* it was promised one; close would wait for it */
        }
        vgi_kafka_watchdog_enter(p->watchdog, "rd_kafka_consumer_close", 0);
        rd_kafka_consumer_close(p->consumer);
        rd_kafka_destroy(p->consumer);
        vgi_kafka_watchdog_leave(p->watchdog);
    }
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
