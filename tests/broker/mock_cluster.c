/* Brokers that fail when they are told to: librdkafka's mock cluster as a process, for programs that know nothing of it. It listens
 * on real loopback ports, prints bootstrap=HOST:PORT,… and then obeys one line of standard input at a time, each answered by one
 * line (`read` by more):
 *
 *   topic NAME PARTITIONS REPLICAS        errors API CODE…     the next requests of this API get these errors
 *   down BROKER | up BROKER               clear API            no more of them
 *   rtt BROKER MS                         leader TOPIC PARTITION BROKER
 *   broken TOPIC CODE                     metadata tells this error of the topic; 0: none
 *   told                                  which errors requests have got so far: "API CODE TIMES" each, then "ok"
 *   read TOPIC MS                         a fresh consumer from the beginning to the present end of every partition, committed
 *                                         records only: "PARTITION OFFSET VALUE" each, then "end RECORDS GONE", where GONE counts
 *                                         what the brokers no longer keep; "late" when it takes longer than MS
 *
 * API and CODE are the numbers of Kafka's protocol; code -195 carries the request out and cuts the connection instead of answering.
 * Errors of Metadata are only those of a topic: the mock does not look for others there.
 * Errors of single brokers are not offered: once a broker has had one, the mock never again looks at those of the cluster. The mock
 * keeps 5 MiB of each partition, and proves nothing about transactions. The sequence numbers of idempotent producers, at which it does
 * not look, are judged here as Kafka's brokers do; a producer that gives numbers a second time, to other records, is told on standard
 * error. It ends with standard input.
 */
#include "vigia/span.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BROKERS        3
#define WORDS_MAX      40
#define PARTITIONS_MAX 64
#define TOLD_MAX       128
#define METADATA       3

static rd_kafka_mock_cluster_t *cluster;
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;
static struct told {
    int api, code;
    long times;
} told[TOLD_MAX];
static size_t told_count;
static int broken_code; /* of a topic, since: */
static int64_t broken_us;

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *brokers)
{
    char text[200] = "";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *const settings[][2] = {
        {"bootstrap.servers", brokers},  {"group.id", "fresh"},
        {"enable.auto.commit", "false"}, {"isolation.level", "read_committed"},
        {"auto.offset.reset", "error"},  {"check.crcs", "true"}};

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if ((type == RD_KAFKA_CONSUMER || i == 0) && brokers != NULL &&
            rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof(text)) !=
                RD_KAFKA_CONF_OK) {
            (void)fprintf(stderr, "mock_cluster: %s\n", text);
            exit(1);
        }
    }
    (void)rd_kafka_conf_set(conf, "log_level", "2", text, sizeof(text));
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));
    if (rk == NULL) {
        (void)fprintf(stderr, "mock_cluster: %s\n", text);
        exit(1);
    }
    return rk;
}

/* ---- which errors have got to somebody ---- */

static int64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* With the lock held. */
static void note(int api, int code, long times)
{
    size_t i = 0;
    while (i < told_count && (told[i].api != api || told[i].code != code)) {
        i++;
    }
    if (i < TOLD_MAX) {
        told_count += i == told_count;
        told[i] = (struct told){api, code, told[i].times + times};
    }
}

/* Looks through the requests since the last look; those for metadata, while the topic is broken, are
 * told so. Returns the API of the last one, -1 when there is none. With the lock held. */
static int look_through(void)
{
    size_t count = 0;
    long times = 0;
    int last = -1;
    rd_kafka_mock_request_t **requests = rd_kafka_mock_get_requests(cluster, &count);
    for (size_t i = 0; i < count; i++) {
        last = rd_kafka_mock_request_api_key(requests[i]);
        times += last == METADATA && rd_kafka_mock_request_timestamp(requests[i]) >= broken_us;
    }
    if (count > 0) {
        rd_kafka_mock_request_destroy_array(requests, count);
        rd_kafka_mock_clear_requests(cluster);
    }
    if (broken_code != 0 && times > 0) {
        note(METADATA, broken_code, times);
    }
    return last;
}

typedef struct rd_kafka_mock_connection_s rd_kafka_mock_connection_t;
typedef struct rd_kafka_buf_s rd_kafka_buf_t;
rd_kafka_resp_err_t __real_rd_kafka_mock_next_request_error(rd_kafka_mock_connection_t *c,
                                                            rd_kafka_buf_t *answer);
rd_kafka_resp_err_t __wrap_rd_kafka_mock_next_request_error(rd_kafka_mock_connection_t *c,
                                                            rd_kafka_buf_t *answer);
/* The mock asks for the error of the request that it has just received: the last one. */
rd_kafka_resp_err_t __wrap_rd_kafka_mock_next_request_error(rd_kafka_mock_connection_t *c,
                                                            rd_kafka_buf_t *answer)
{
    rd_kafka_resp_err_t code = __real_rd_kafka_mock_next_request_error(c, answer);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        (void)pthread_mutex_lock(&told_lock);
        int api = look_through();
        if (api >= 0) { /* else it was looked through in between: one less is told than there was */
            note(api, (int)code, 1);
        }
        (void)pthread_mutex_unlock(&told_lock);
    }
    return code;
}

static void break_topic(const char *topic, int code)
{
    (void)pthread_mutex_lock(&told_lock);
    (void)look_through();
    broken_code = 0;
    (void)pthread_mutex_unlock(&told_lock);
    rd_kafka_mock_topic_set_error(cluster, topic, (rd_kafka_resp_err_t)code);
    (void)pthread_mutex_lock(&told_lock);
    broken_code = code;
    broken_us = now_us();
    (void)pthread_mutex_unlock(&told_lock);
}

static void print_told(void)
{
    (void)pthread_mutex_lock(&told_lock);
    for (size_t i = 0; i < told_count; i++) {
        printf("%d %d %ld\n", told[i].api, told[i].code, told[i].times);
    }
    (void)pthread_mutex_unlock(&told_lock);
}

/* ---- sequence numbers ---- */

/* What a broker knows of a producer in a partition (Kafka's ProducerStateEntry): its last batches. */
#define BATCHES 5
struct producer {
    const void *partition;
    int64_t id;
    uint16_t epoch;
    uint32_t next; /* the sequence number that is expected */
    struct {
        uint32_t first, count, crc;
        int64_t offset;
    } batch[BATCHES];
    size_t batches; /* of all time; the last ones are kept */
};
static struct producer *producers;
static size_t producer_count, producer_room;

int __real_rd_jitter(int low, int high);
int __wrap_rd_jitter(int low, int high);
/* The client's own: any number from low to high. The mock takes one of 900,000 for the id of a producer,
 * so that some of thousands would get one that another has had. A broker gives none twice. */
int __wrap_rd_jitter(int low, int high)
{
    static atomic_int given;
    return low == 1 && high == 900000 ? atomic_fetch_add(&given, 1) + 1
                                      : __real_rd_jitter(low, high);
}

static uint64_t big_endian(const unsigned char *at, size_t bytes)
{
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        n = n << 8 | at[i];
    }
    return n;
}

static struct producer *producer_of(const void *partition, int64_t id)
{
    for (size_t i = producer_count; i-- > 0;) { /* the newest ones speak most */
        if (producers[i].partition == partition && producers[i].id == id) {
            return &producers[i];
        }
    }
    if (producer_count == producer_room) {
        producer_room = producer_room == 0 ? 1024 : 2 * producer_room;
        producers = realloc(producers, producer_room * sizeof(*producers));
        if (producers == NULL) {
            (void)fprintf(stderr, "mock_cluster: no memory\n");
            exit(1);
        }
    }
    producers[producer_count] = (struct producer){.partition = partition, .id = id};
    return &producers[producer_count++];
}

/* The client's own, not in its header: bytes of the protocol. */
struct bytes {
    int32_t len;
    const unsigned char *data;
};
rd_kafka_resp_err_t __real_rd_kafka_mock_partition_log_append(void *partition,
                                                              const struct bytes *records,
                                                              const void *transactional_id,
                                                              int64_t *offset);
rd_kafka_resp_err_t __wrap_rd_kafka_mock_partition_log_append(void *partition,
                                                              const struct bytes *records,
                                                              const void *transactional_id,
                                                              int64_t *offset);
/* In the mock's own thread. A record batch of version 2 (https://kafka.apache.org/documentation, 5.3.1);
 * the rules are those of Kafka 4.1's ProducerAppendInfo.checkSequence: a producer of which the partition
 * has heard nothing may begin anywhere, a new epoch begins with 0, one of the last five batches is
 * answered as it was then, anything else has to follow. */
rd_kafka_resp_err_t __wrap_rd_kafka_mock_partition_log_append(void *partition,
                                                              const struct bytes *records,
                                                              const void *transactional_id,
                                                              int64_t *offset)
{
    const unsigned char *batch = records->data;
    if (records->len < 61 || batch[16] != 2 || (int64_t)big_endian(batch + 43, 8) < 0) {
        return __real_rd_kafka_mock_partition_log_append(partition, records, transactional_id,
                                                         offset);
    }
    struct producer *p = producer_of(partition, (int64_t)big_endian(batch + 43, 8));
    const uint16_t epoch = (uint16_t)big_endian(batch + 51, 2);
    const uint32_t first = (uint32_t)big_endian(batch + 53, 4);
    const uint32_t count = (uint32_t)big_endian(batch + 57, 4);
    const uint32_t crc = (uint32_t)big_endian(batch + 17, 4);
    const bool known = p->batches > 0;
    if (known && epoch < p->epoch) {
        return RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
    }
    for (size_t i = 0; known && epoch == p->epoch && i < BATCHES && i < p->batches; i++) {
        if (p->batch[i].first == first && p->batch[i].count == count) {
            if (p->batch[i].crc != crc) {
                (void)fprintf(stderr,
                              "mock_cluster: producer %lld, epoch %u: the numbers %u to %u again, "
                              "for other records\n",
                              (long long)p->id, epoch, first, first + count - 1);
            }
            *offset = p->batch[i].offset;
            return RD_KAFKA_RESP_ERR_NO_ERROR;
        }
    }
    if (known && first != (epoch == p->epoch ? p->next : 0)) {
        return RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    }
    const rd_kafka_resp_err_t rc =
        __real_rd_kafka_mock_partition_log_append(partition, records, transactional_id, offset);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR) {
        p->batches = epoch == p->epoch ? p->batches : 0;
        p->epoch = epoch;
        p->next = (first + count) & INT32_MAX;
        const size_t at = p->batches++ % BATCHES;
        p->batch[at].first = first;
        p->batch[at].count = count;
        p->batch[at].crc = crc;
        p->batch[at].offset = *offset;
    }
    return rc;
}

/* ---- the fresh reader ---- */

struct reading {
    rd_kafka_t *rk;
    const char *topic;
    int64_t until;
    int32_t partitions;
    int64_t end[PARTITIONS_MAX];
    long gone, records;
};

static bool find_partitions(struct reading *r)
{
    const struct rd_kafka_metadata *found = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(r->rk, r->topic, NULL);

    while (r->partitions == 0 && now_ms() < r->until) {
        if (rd_kafka_metadata(r->rk, 0, topic, &found, 1000) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            continue;
        }
        if (found->topic_cnt == 1 && found->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
            found->topics[0].partition_cnt <= PARTITIONS_MAX) {
            r->partitions = found->topics[0].partition_cnt;
        }
        rd_kafka_metadata_destroy(found);
    }
    rd_kafka_topic_destroy(topic);
    return r->partitions > 0;
}

static bool find_ends(struct reading *r)
{
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(r->partitions);
    bool good = true;

    for (int32_t p = 0; p < r->partitions && good; p++) {
        int64_t low = -1, high = -1;
        while (rd_kafka_query_watermark_offsets(r->rk, r->topic, p, &low, &high, 1000) !=
                   RD_KAFKA_RESP_ERR_NO_ERROR &&
               now_ms() < r->until) {
        }
        good = low >= 0;
        r->gone += good ? low : 0;
        r->end[p] = high;
        rd_kafka_topic_partition_list_add(all, r->topic, p)->offset = low;
    }
    good = good && rd_kafka_assign(r->rk, all) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(all);
    return good;
}

static bool is_done(const struct reading *r)
{
    rd_kafka_topic_partition_list_t *at = rd_kafka_topic_partition_list_new(r->partitions);
    bool done = true;

    for (int32_t p = 0; p < r->partitions; p++) {
        rd_kafka_topic_partition_list_add(at, r->topic, p);
    }
    done = rd_kafka_position(r->rk, at) == RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int32_t p = 0; p < r->partitions && done; p++) {
        int64_t offset = at->elems[p].offset < 0 ? 0 : at->elems[p].offset;
        done = offset >= r->end[p];
    }
    rd_kafka_topic_partition_list_destroy(at);
    return done;
}

static void read_topic(const char *topic, int64_t ms)
{
    struct reading r = {.topic = topic, .until = now_ms() + ms};
    bool done = false;

    r.rk = client(RD_KAFKA_CONSUMER, rd_kafka_mock_cluster_bootstraps(cluster));
    rd_kafka_poll_set_consumer(r.rk);
    if (find_partitions(&r) && find_ends(&r)) {
        while (!(done = is_done(&r)) && now_ms() < r.until) {
            rd_kafka_message_t *m = rd_kafka_consumer_poll(r.rk, 50);
            if (m != NULL && m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                printf("%d %lld %.*s\n", m->partition, (long long)m->offset, (int)m->len,
                       (const char *)m->payload);
                r.records++;
            }
            if (m != NULL) {
                rd_kafka_message_destroy(m);
            }
        }
    }
    if (done) {
        printf("end %ld %ld\n", r.records, r.gone);
    } else {
        printf("late\n");
    }
    rd_kafka_consumer_close(r.rk);
    rd_kafka_destroy(r.rk);
}

/* ---- commands ---- */

static bool numbers(char **words, size_t count, long long *out)
{
    for (size_t i = 0; i < count; i++) {
        if (!vg_span_to_i64(vg_span_str(words[i]), &out[i])) {
            return false;
        }
    }
    return true;
}

static bool push_errors(char **words, size_t count)
{
    rd_kafka_resp_err_t codes[WORDS_MAX];
    long long n[WORDS_MAX];

    if (count < 3 || !numbers(words + 1, count - 1, n)) {
        return false;
    }
    for (size_t i = 1; i < count - 1; i++) {
        codes[i - 1] = (rd_kafka_resp_err_t)n[i];
    }
    rd_kafka_mock_push_request_errors_array(cluster, (int16_t)n[0], count - 2, codes);
    return true;
}

static bool obey(char **words, size_t count)
{
    long long n[WORDS_MAX] = {0};
    const char *verb = words[0];
    rd_kafka_resp_err_t rc = RD_KAFKA_RESP_ERR_NO_ERROR;

    if (strcmp(verb, "errors") == 0) {
        return push_errors(words, count);
    }
    if (strcmp(verb, "topic") == 0 && count == 4 && numbers(words + 2, 2, n)) {
        rc = rd_kafka_mock_topic_create(cluster, words[1], (int)n[0], (int)n[1]);
    } else if (strcmp(verb, "leader") == 0 && count == 4 && numbers(words + 2, 2, n)) {
        rc = rd_kafka_mock_partition_set_leader(cluster, words[1], (int32_t)n[0], (int32_t)n[1]);
    } else if (strcmp(verb, "broken") == 0 && count == 3 && numbers(words + 2, 1, n)) {
        break_topic(words[1], (int)n[0]);
    } else if (strcmp(verb, "told") == 0 && count == 1) {
        print_told();
    } else if (!numbers(words + 1, count - 1, n)) {
        return false;
    } else if (strcmp(verb, "clear") == 0 && count == 2) {
        rd_kafka_mock_clear_request_errors(cluster, (int16_t)n[0]);
    } else if (strcmp(verb, "down") == 0 && count == 2) {
        rc = rd_kafka_mock_broker_set_down(cluster, (int32_t)n[0]);
    } else if (strcmp(verb, "up") == 0 && count == 2) {
        rc = rd_kafka_mock_broker_set_up(cluster, (int32_t)n[0]);
    } else if (strcmp(verb, "rtt") == 0 && count == 3) {
        rc = rd_kafka_mock_broker_set_rtt(cluster, (int32_t)n[0], (int)n[1]);
    } else {
        return false;
    }
    return rc == RD_KAFKA_RESP_ERR_NO_ERROR;
}

int main(void)
{
    char line[512], *words[WORDS_MAX], *rest = NULL;
    rd_kafka_t *owner = client(RD_KAFKA_PRODUCER, NULL);

    cluster = rd_kafka_mock_cluster_new(owner, BROKERS);
    if (cluster == NULL) {
        (void)fprintf(stderr, "mock_cluster: no cluster\n");
        return 1;
    }
    rd_kafka_mock_start_request_tracking(cluster);
    printf("bootstrap=%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        long long ms = 0;
        size_t count = 0;
        for (char *w = strtok_r(line, " \n", &rest); w != NULL && count < WORDS_MAX;
             w = strtok_r(NULL, " \n", &rest)) {
            words[count++] = w;
        }
        if (count == 3 && strcmp(words[0], "read") == 0 && numbers(words + 2, 1, &ms)) {
            read_topic(words[1], ms);
        } else {
            printf(count > 0 && obey(words, count) ? "ok\n" : "refused\n");
        }
        (void)fflush(stdout);
    }
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(owner);
    return 0;
}
