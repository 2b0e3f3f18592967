/* Opening the log on Kafka, creating and describing topics, offsets of partitions. */
#include "kafka.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- opening ---- */

static bool broker_ok(struct vg_span one)
{
    size_t colon = one.len;
    while (colon > 0 && one.at[colon - 1] != ':') {
        colon--;
    }
    unsigned long long port = 0;
    return colon > 1 && vg_span_to_u64(vg_span(one.at + colon, one.len - colon), &port) &&
           port >= 1 && port <= 65535 && memchr(one.at, ' ', one.len) == NULL &&
           memchr(one.at, '/', one.len) == NULL;
}

static enum vg_err check_brokers(const char *list, struct vg_error *err)
{
    for (const char *at = list;; at++) {
        const size_t len = strcspn(at, ",");
        if (!broker_ok(vg_span(at, len))) {
            return vg_fail(
                err, VG_E_INVALID,
                "log.url: kafka:%.100s: '%.*s' is no broker, accepted: kafka:HOST:PORT,HOST:PORT",
                list, (int)(len < 100 ? len : 100), at);
        }
        at += len;
        if (*at == '\0') {
            return VG_OK;
        }
    }
}

static enum vg_err check_file(const char *key, const char *path, bool secret, struct vg_error *err)
{
    struct stat st;
    if (path[0] == '\0') {
        return VG_OK;
    }
    if (stat(path, &st) != 0) {
        return vg_fail(err, VG_E_INVALID, "log.%s: %.150s: %s, accepted: a PEM file", key, path,
                       strerror(errno));
    }
    if (secret && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return vg_fail(err, VG_E_INVALID, "log.%s: %.150s: mode is %04o, accepted: 0600 or 0400",
                       key, path, (unsigned)st.st_mode & 07777u);
    }
    return VG_OK;
}

enum vg_err vgi_kafka_open(const struct vg_dlog_conf *conf, const char *client, const char *rest,
                           unsigned flags, void **out, struct vg_error *err)
{
    (void)flags; /* there is no file to make */
    static const struct vgi_kafka_setting none[] = {{NULL, NULL}};
    enum vg_err rc = check_brokers(rest, err);
    if (rc == VG_OK) {
        rc = check_file("ca_file", conf->ca_file, false, err);
    }
    if (rc == VG_OK) {
        rc = check_file("cert_file", conf->cert_file, false, err);
    }
    if (rc == VG_OK) {
        rc = check_file("key_file", conf->key_file, true, err);
    }
    if (rc != VG_OK) {
        return rc;
    }
    struct vgi_kafka *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the log");
    }
    k->conf = conf;
    k->client = client;
    k->brokers = rest;
    vgi_kafka_note_init(&k->note);
    k->note.quiet = true;
    rc = vgi_kafka_new(k, RD_KAFKA_PRODUCER, &k->note, none, NULL, &k->admin, err);
    if (rc != VG_OK) {
        vgi_kafka_note_done(&k->note);
        free(k);
        return rc;
    }
    *out = k;
    return VG_OK;
}

void vgi_kafka_close(void *log)
{
    struct vgi_kafka *k = log;
    rd_kafka_destroy(k->admin);
    vgi_kafka_note_done(&k->note);
    free(k);
}

/* ---- one request, one answer ---- */

void vgi_kafka_request_init(struct vgi_kafka_request *q, struct vgi_kafka *k,
                            rd_kafka_admin_op_t op)
{
    char text[80];
    q->options = rd_kafka_AdminOptions_new(k->admin, op);
    q->queue = rd_kafka_queue_new(k->admin);
    q->event = NULL;
    rd_kafka_AdminOptions_set_request_timeout(q->options, VGI_KAFKA_ADMIN_MS, text, sizeof text);
}

void vgi_kafka_request_done(struct vgi_kafka_request *q)
{
    if (q->event != NULL) {
        rd_kafka_event_destroy(q->event);
    }
    rd_kafka_queue_destroy(q->queue);
    rd_kafka_AdminOptions_destroy(q->options);
}

enum vg_err vgi_kafka_request_wait(struct vgi_kafka_request *q, struct vgi_kafka *k,
                                   const char *what, struct vg_error *err)
{
    q->event = rd_kafka_queue_poll(q->queue, VGI_KAFKA_ADMIN_MS + 1000);
    if (q->event == NULL) {
        return vgi_kafka_fail(k, err, RD_KAFKA_RESP_ERR__TIMED_OUT, what);
    }
    const rd_kafka_resp_err_t code = rd_kafka_event_error(q->event);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return vg_fail(err, vgi_kafka_class(code), "kafka %.80s: %s: %s", k->brokers, what,
                       rd_kafka_event_error_string(q->event));
    }
    return VG_OK;
}

/* ---- offsets ---- */

/* librdkafka 2.14.2 fills the answer to ListOffsets with this offset and no error, and leaves it so
 * where the request to a leader failed (rd_kafka_admin_fanout_worker does not look at the error of a
 * part). -1 is an answer where a time was asked for: no record is that new. */
static bool untold(int64_t spec, int64_t offset)
{
    return offset == RD_KAFKA_OFFSET_INVALID || (spec < 0 && offset < 0);
}

static enum vg_err offsets_once(struct vgi_kafka *k, const char *topic, const int32_t *partitions,
                                size_t count, int64_t spec, int64_t *out, struct vg_error *err)
{
    struct vgi_kafka_request q;
    vgi_kafka_request_init(&q, k, RD_KAFKA_ADMIN_OP_LISTOFFSETS);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_list_add(list, topic, partitions[i])->offset = spec;
    }
    rd_kafka_ListOffsets(k->admin, list, q.options, q.queue);
    rd_kafka_topic_partition_list_destroy(list);
    enum vg_err rc = vgi_kafka_request_wait(&q, k, "listing offsets", err);
    if (rc == VG_OK) {
        size_t n = 0;
        const rd_kafka_ListOffsetsResultInfo_t **infos =
            rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(q.event), &n);
        size_t known = 0;
        for (size_t i = 0; i < n && rc == VG_OK; i++) {
            const rd_kafka_topic_partition_t *tp =
                rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
            if (tp->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
                rc = vgi_kafka_fail(k, err, tp->err, topic);
            } else if (untold(spec, tp->offset)) {
                rc = vg_fail(err, VG_E_TIMEOUT,
                             "kafka %.80s: %s[%" PRId32 "]: no broker tells offsets", k->brokers,
                             topic, tp->partition);
            }
            for (size_t j = 0; j < count && rc == VG_OK; j++) {
                if (partitions[j] == tp->partition) {
                    out[j] = tp->offset;
                    known++;
                }
            }
        }
        if (rc == VG_OK && known != count) {
            rc = vg_fail(err, VG_E_IO, "kafka %.80s: %s: %zu offsets asked for, %zu told",
                         k->brokers, topic, count, known);
        }
    }
    vgi_kafka_request_done(&q);
    return rc;
}

#define LEARN_EVERY_MS                                                                             \
    250 /* a request for metadata in each try would only add to what comes back */

/* ListOffsets names the leader's epoch as the client last heard of it, and an answer that it is too
 * old does not make the client ask again: it would be refused until its metadata grows old by
 * itself, which takes minutes. */
static void learn_leaders(struct vgi_kafka *k, const char *topic, int64_t left_ms)
{
    const struct rd_kafka_metadata *found = NULL;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(k->admin, topic, NULL);
    if (rkt != NULL && left_ms > 0 &&
        rd_kafka_metadata(k->admin, 0, rkt, &found, (int)left_ms) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_metadata_destroy(found);
    }
    if (rkt != NULL) {
        rd_kafka_topic_destroy(rkt);
    }
}

enum vg_err vgi_kafka_offsets(struct vgi_kafka *k, const char *topic, const int32_t *partitions,
                              size_t count, int64_t spec, int64_t *out, struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + VGI_KAFKA_REACH_MS;
    int64_t learnt_ms = until - VGI_KAFKA_REACH_MS - LEARN_EVERY_MS;
    for (;;) {
        const enum vg_err rc = offsets_once(k, topic, partitions, count, spec, out, err);
        /* A broker that comes back drops connections, leads nothing at first (VG_E_IO), and may not
         * know the topic yet. */
        const bool may_pass =
            rc == VG_E_AGAIN || rc == VG_E_TIMEOUT || rc == VG_E_IO || rc == VG_E_NOTFOUND;
        if (!may_pass || vgi_now_ms() > until) {
            return rc;
        }
        vgi_kafka_pause();
        if (vgi_now_ms() - learnt_ms >= LEARN_EVERY_MS) {
            learnt_ms = vgi_now_ms();
            learn_leaders(k, topic, until - learnt_ms);
        }
    }
}

enum vg_err vgi_kafka_extent(struct vgi_kafka *k, const char *topic, const int32_t *partitions,
                             size_t count, int64_t *begin, int64_t *end, struct vg_error *err)
{
    const enum vg_err rc =
        vgi_kafka_offsets(k, topic, partitions, count, RD_KAFKA_OFFSET_SPEC_EARLIEST, begin, err);
    return rc != VG_OK ? rc
                       : vgi_kafka_offsets(k, topic, partitions, count, RD_KAFKA_OFFSET_SPEC_LATEST,
                                           end, err);
}

/* ---- topics ---- */

/* Calls fn with the topic's metadata while that is valid. */
static enum vg_err with_metadata(struct vgi_kafka *k, const char *topic,
                                 enum vg_err (*fn)(const rd_kafka_metadata_topic_t *, void *arg),
                                 void *arg, struct vg_error *err)
{
    const struct rd_kafka_metadata *found = NULL;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(k->admin, topic, NULL);
    if (rkt == NULL) {
        return vgi_kafka_fail(k, err, rd_kafka_last_error(), topic);
    }
    const int64_t until = vgi_now_ms() + VGI_KAFKA_REACH_MS;
    rd_kafka_resp_err_t code = rd_kafka_metadata(k->admin, 0, rkt, &found, VGI_KAFKA_ADMIN_MS);
    /* A broker that comes back drops its first connections, and names no brokers at first. */
    while ((code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__PARTIAL) &&
           vgi_now_ms() < until) {
        vgi_kafka_pause();
        code = rd_kafka_metadata(k->admin, 0, rkt, &found, VGI_KAFKA_ADMIN_MS);
    }
    rd_kafka_topic_destroy(rkt);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return vgi_kafka_fail(k, err, code, topic);
    }
    enum vg_err rc = VG_OK;
    code = found->topic_cnt == 1 ? found->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || found->topics[0].partition_cnt == 0) {
        rc = vg_fail(err, VG_E_NOTFOUND,
                     "kafka %.80s: topic %s does not exist (vigia init creates it)", k->brokers,
                     topic);
    } else if (code != RD_KAFKA_RESP_ERR_NO_ERROR &&
               code != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
        rc = vgi_kafka_fail(k, err, code, topic);
    } else {
        rc = fn(&found->topics[0], arg);
    }
    rd_kafka_metadata_destroy(found);
    return rc;
}

static enum vg_err take_count(const rd_kafka_metadata_topic_t *t, void *arg)
{
    *(int32_t *)arg = t->partition_cnt;
    return VG_OK;
}

enum vg_err vgi_kafka_partition_count(struct vgi_kafka *k, const char *topic, int32_t *out,
                                      struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + VGI_KAFKA_REACH_MS;
    enum vg_err rc = vgi_kafka_reach(k, err);
    if (rc == VG_OK) {
        rc = with_metadata(k, topic, take_count, out, err);
    }
    /* Brokers that have just come back may not know their topics yet (librdkafka issue 3513). */
    while (rc == VG_E_NOTFOUND && vgi_now_ms() < until) {
        vgi_kafka_pause();
        rc = with_metadata(k, topic, take_count, out, err);
    }
    return rc;
}

/* ---- describing ---- */

static enum vg_err take_shape(const rd_kafka_metadata_topic_t *t, void *arg)
{
    struct vg_topic_settings *s = arg;
    s->partitions = t->partition_cnt;
    s->replication = t->partitions[0].replica_cnt;
    return VG_OK;
}

static void take_config(const char *name, const char *value, struct vg_topic_settings *s)
{
    long long n = 0;
    const struct vg_span text = vg_span_str(value);
    if (value == NULL) {
        return;
    }
    if (strcmp(name, "cleanup.policy") == 0) {
        s->cleanup = strcmp(value, "compact") == 0 ? VG_CLEANUP_COMPACT : VG_CLEANUP_TIME;
    } else if (strcmp(name, "min.insync.replicas") == 0 && vg_span_to_i64(text, &n)) {
        s->min_insync = (int32_t)n;
    } else if (strcmp(name, "retention.ms") == 0 && vg_span_to_i64(text, &n)) {
        s->retain_ms = n < 0 ? INT64_MAX : n;
    }
}

static enum vg_err describe_config(struct vgi_kafka *k, const char *topic,
                                   struct vg_topic_settings *s, struct vg_error *err)
{
    struct vgi_kafka_request q;
    vgi_kafka_request_init(&q, k, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_DescribeConfigs(k->admin, &resource, 1, q.options, q.queue);
    rd_kafka_ConfigResource_destroy(resource);
    enum vg_err rc = vgi_kafka_request_wait(&q, k, "describing topics", err);
    size_t n = 0;
    const rd_kafka_ConfigResource_t **found = NULL;
    if (rc == VG_OK) {
        found = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(q.event), &n);
        if (n != 1 || rd_kafka_ConfigResource_error(found[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rc = vgi_kafka_fail(
                k, err, n == 1 ? rd_kafka_ConfigResource_error(found[0]) : RD_KAFKA_RESP_ERR__FAIL,
                topic);
        }
    }
    if (rc == VG_OK) {
        const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(found[0], &n);
        for (size_t i = 0; i < n; i++) {
            take_config(rd_kafka_ConfigEntry_name(entries[i]),
                        rd_kafka_ConfigEntry_value(entries[i]), s);
        }
        if (s->cleanup == VG_CLEANUP_COMPACT) {
            s->retain_ms = 0;
        }
    }
    vgi_kafka_request_done(&q);
    return rc;
}

enum vg_err vgi_kafka_describe(void *log, enum vg_topic t, struct vg_dlog_topic_info *out,
                               struct vg_error *err)
{
    struct vgi_kafka *k = log;
    struct vg_topic_settings s = {.min_insync = 1};
    char name[VGI_KAFKA_NAME_MAX];
    vgi_kafka_topic_name(k, t, name);
    enum vg_err rc = vgi_kafka_reach(k, err);
    if (rc == VG_OK) {
        rc = with_metadata(k, name, take_shape, &s, err);
    }
    if (rc == VG_OK && s.partitions > VG_DLOG_PARTITIONS_MAX) {
        rc = vg_fail(err, VG_E_INVALID, "topic %s: partitions is %" PRId32 ", accepted: at most %d",
                     name, s.partitions, VG_DLOG_PARTITIONS_MAX);
    }
    if (rc == VG_OK) {
        rc = describe_config(k, name, &s, err);
    }
    if (rc != VG_OK) {
        return rc;
    }
    int32_t partitions[VG_DLOG_PARTITIONS_MAX];
    int64_t offsets[2][VG_DLOG_PARTITIONS_MAX];
    const size_t n = (size_t)s.partitions;
    for (size_t i = 0; i < n; i++) {
        partitions[i] = (int32_t)i;
    }
    rc = vgi_kafka_extent(k, name, partitions, n, offsets[0], offsets[1], err);
    if (rc != VG_OK) {
        return rc;
    }
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->settings = s;
    for (size_t i = 0; i < n; i++) {
        out->partition[i] = (struct vg_dlog_partition_info){offsets[0][i], offsets[1][i]};
    }
    return VG_OK;
}

/* ---- creating ---- */

static rd_kafka_NewTopic_t *new_topic(const struct vgi_kafka *k, enum vg_topic t, const char *name,
                                      struct vg_error *err)
{
    const struct vg_topic_settings want = vg_dlog_want(k->conf, t);
    char text[120] = "";
    char number[32];
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(name, want.partitions, want.replication, text, sizeof text);
    if (topic == NULL) {
        vg_fail(err, VG_E_RANGE, "topic %s: %s", name, text);
        return NULL;
    }
    snprintf(number, sizeof number, "%" PRId32, want.min_insync);
    rd_kafka_NewTopic_set_config(topic, "min.insync.replicas", number);
    rd_kafka_NewTopic_set_config(topic, "unclean.leader.election.enable", "false");
    /* The time of the append is the broker's: what retention and reading from a time go by. */
    rd_kafka_NewTopic_set_config(topic, "message.timestamp.type", "LogAppendTime");
    if (want.cleanup == VG_CLEANUP_COMPACT) {
        rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "compact");
        rd_kafka_NewTopic_set_config(topic, "segment.bytes",
                                     "67108864"); /* only closed segments are compacted */
        snprintf(number, sizeof number, "%lld", VG_TOMBSTONE_KEEP_MS);
        rd_kafka_NewTopic_set_config(topic, "delete.retention.ms", number);
    } else {
        rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "delete");
        snprintf(number, sizeof number, "%" PRId64,
                 want.retain_ms == INT64_MAX ? -1 : want.retain_ms);
        rd_kafka_NewTopic_set_config(topic, "retention.ms", number);
    }
    if (want.replication == 1) {
        /* One copy: acknowledged must mean on the disk, for there is no other broker to have it
         * from. */
        rd_kafka_NewTopic_set_config(topic, "flush.messages", "1");
    }
    return topic;
}

/* A new topic is usable once every partition has a leader that the metadata names. */
static enum vg_err all_led(const rd_kafka_metadata_topic_t *t, void *arg)
{
    (void)arg;
    for (int i = 0; i < t->partition_cnt; i++) {
        if (t->partitions[i].err != RD_KAFKA_RESP_ERR_NO_ERROR || t->partitions[i].leader < 0) {
            return VG_E_AGAIN;
        }
    }
    return VG_OK;
}

static enum vg_err wait_usable(struct vgi_kafka *k, const char *name, struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + VGI_KAFKA_ADMIN_MS;
    for (;;) {
        const enum vg_err rc = with_metadata(k, name, all_led, NULL, err);
        if (rc != VG_E_NOTFOUND && rc != VG_E_AGAIN) {
            return rc;
        }
        if (vgi_now_ms() > until) {
            return vg_fail(err, VG_E_TIMEOUT, "kafka %.80s: topic %s has no leaders after %d ms",
                           k->brokers, name, VGI_KAFKA_ADMIN_MS);
        }
        vgi_kafka_pause();
    }
}

enum vg_err vgi_kafka_create_class(rd_kafka_resp_err_t code, const char *why)
{
    const bool passes = code == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR &&
                        strstr(why, "currently fenced") != NULL;
    return passes ? VG_E_AGAIN : vgi_kafka_class(code);
}

static enum vg_err request_topic(struct vgi_kafka *k, enum vg_topic t, const char *name,
                                 struct vg_error *err)
{
    rd_kafka_NewTopic_t *topic = new_topic(k, t, name, err);
    if (topic == NULL) {
        return VG_E_RANGE;
    }
    char text[80];
    struct vgi_kafka_request q;
    vgi_kafka_request_init(&q, k, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_AdminOptions_set_operation_timeout(q.options, VGI_KAFKA_ADMIN_MS - 1000, text,
                                                sizeof text);
    rd_kafka_CreateTopics(k->admin, &topic, 1, q.options, q.queue);
    rd_kafka_NewTopic_destroy(topic);
    enum vg_err rc = vgi_kafka_request_wait(&q, k, "creating topics", err);
    if (rc == VG_OK) {
        size_t n = 0;
        const rd_kafka_topic_result_t **results =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(q.event), &n);
        const rd_kafka_resp_err_t code =
            n == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__FAIL;
        if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            rc = VG_E_EXISTS; /* somebody else ran the same at the same time */
        } else if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            const char *why = n == 1 ? rd_kafka_topic_result_error_string(results[0]) : "no answer";
            rc = vg_fail(err, vgi_kafka_create_class(code, why), "kafka %.80s: topic %s: %.100s",
                         k->brokers, name, why);
        }
    }
    vgi_kafka_request_done(&q);
    return rc;
}

static enum vg_err create_one(struct vgi_kafka *k, enum vg_topic t, const char *name,
                              struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + VGI_KAFKA_ADMIN_MS;
    enum vg_err rc = request_topic(k, t, name, err);
    while (rc == VG_E_AGAIN && vgi_now_ms() < until) {
        vgi_kafka_pause();
        rc = request_topic(k, t, name, err);
    }
    if (rc == VG_OK || rc == VG_E_EXISTS) {
        const enum vg_err usable = wait_usable(k, name, err);
        rc = usable == VG_OK ? rc : usable;
    }
    return rc;
}

enum vg_err vgi_kafka_create(void *log, unsigned topics, unsigned *created, struct vg_error *err)
{
    struct vgi_kafka *k = log;
    enum vg_err rc = vgi_kafka_reach(k, err);
    for (int i = 0; i < VG_TOPIC_COUNT && rc == VG_OK; i++) {
        const enum vg_topic t = (enum vg_topic)i;
        char name[VGI_KAFKA_NAME_MAX];
        int32_t partitions = 0;
        if ((topics & VG_TOPIC_BIT(t)) == 0) {
            continue;
        }
        vgi_kafka_topic_name(k, t, name);
        rc = with_metadata(k, name, take_count, &partitions, err);
        if (rc != VG_E_NOTFOUND) {
            continue; /* is there already, or a real error ends the loop */
        }
        rc = create_one(k, t, name, err);
        if (rc == VG_OK) {
            *created |= VG_TOPIC_BIT(t);
        } else if (rc == VG_E_EXISTS) {
            rc = VG_OK;
        }
    }
    return rc;
}
