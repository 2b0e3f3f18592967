/* A client handle of librdkafka: settings that all of ours share, its errors as classes, and
 * finding a broker that answers. */
#include "kafka.h"
#include "vigia/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define AWAY_LINE_EVERY_MS 10000

/* Failures of single connections are noted; one line tells that the last broker is gone, with the
 * reason that came before. */
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct vgi_kafka_note *note = opaque;
    char text[sizeof note->text];
    bool say = false;
    pthread_mutex_lock(&note->lock);
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        note->code = (rd_kafka_resp_err_t)code;
        snprintf(note->text, sizeof note->text, "%s", reason);
    } else if (!note->quiet && vgi_now_ms() - note->said_away_ms >= AWAY_LINE_EVERY_MS) {
        note->said_away_ms = vgi_now_ms();
        say = true;
    }
    memcpy(text, note->text, sizeof text);
    pthread_mutex_unlock(&note->lock);
    if (say) {
        vg_log_warn("log-brokers-away", "client=%s last=%s", rd_kafka_name(rk), VG_Q(text));
    }
}

/* The client's own lines. Failed connections come in dozens and are told by on_error, except that a
 * broker which hangs up on a stranger (one that expects TLS) is told here alone. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    const bool fail = strcmp(facility, "FAIL") == 0;
    struct vgi_kafka_note *note = rk == NULL ? NULL : rd_kafka_opaque(rk);
    if (fail && note != NULL) {
        const char *what = strstr(text, "]: ");
        pthread_mutex_lock(&note->lock);
        if (note->text[0] == '\0') {
            snprintf(note->text, sizeof note->text, "%s", what == NULL ? text : what + 3);
        }
        pthread_mutex_unlock(&note->lock);
    }
    if (level <= 4) { /* syslog's warning */
        /* CONFWARN: what it thinks of settings that we have chosen. */
        const bool quiet =
            fail || strcmp(facility, "GETPID") == 0 || strcmp(facility, "CONFWARN") == 0;
        vg_log_write(quiet ? VG_LOG_DEBUG : VG_LOG_WARN, "kafka-client",
                     "client=%s what=%s text=%s", rk == NULL ? "-" : rd_kafka_name(rk), facility,
                     VG_Q(text));
    }
}

void vgi_kafka_note_init(struct vgi_kafka_note *note)
{
    pthread_mutex_init(&note->lock, NULL);
    note->code = RD_KAFKA_RESP_ERR_NO_ERROR;
    note->text[0] = '\0';
    note->quiet = false;
    note->said_away_ms = vgi_now_ms() - AWAY_LINE_EVERY_MS;
}

void vgi_kafka_note_done(struct vgi_kafka_note *note)
{
    pthread_mutex_destroy(&note->lock);
}

static enum vg_err set_all(rd_kafka_conf_t *conf, const struct vgi_kafka_setting *settings,
                           struct vg_error *err)
{
    char text[160];
    for (const struct vgi_kafka_setting *s = settings; s->name != NULL; s++) {
        if (s->value[0] != '\0' &&
            rd_kafka_conf_set(conf, s->name, s->value, text, sizeof text) != RD_KAFKA_CONF_OK) {
            return vg_fail(err, VG_E_INVALID, "kafka: %s = %.60s: %s", s->name, s->value, text);
        }
    }
    return VG_OK;
}

/* The library names its own settings; people know ours. */
static enum vg_err refused_by_library(const struct vgi_kafka *k, const char *text,
                                      struct vg_error *err)
{
    const char *key = NULL, *path = NULL;
    if (strstr(text, "ssl.ca.location") != NULL) {
        key = "ca_file";
        path = k->conf->ca_file;
    } else if (strstr(text, "ssl.certificate.location") != NULL) {
        key = "cert_file";
        path = k->conf->cert_file;
    } else if (strstr(text, "ssl.key.location") != NULL) {
        key = "key_file";
        path = k->conf->key_file;
    }
    return key == NULL ? vg_fail(err, VG_E_INVALID, "kafka: %s", text)
                       : vg_fail(err, VG_E_INVALID, "log.%s: %.100s: %.120s", key, path, text);
}

enum vg_err vgi_kafka_new(const struct vgi_kafka *k, rd_kafka_type_t type,
                          struct vgi_kafka_note *note, const struct vgi_kafka_setting *settings,
                          void (*conf_fn)(rd_kafka_conf_t *), rd_kafka_t **out,
                          struct vg_error *err)
{
    const bool tls = k->conf->ca_file[0] != '\0' || k->conf->cert_file[0] != '\0';
    const struct vgi_kafka_setting common[] = {
        {"bootstrap.servers", k->brokers},
        {"client.id", k->client},
        {"security.protocol", tls ? "ssl" : "plaintext"},
        {"ssl.ca.location", k->conf->ca_file},
        {"ssl.certificate.location", k->conf->cert_file},
        {"ssl.key.location", k->conf->key_file},
        {"enable.ssl.certificate.verification", "true"},
        {"ssl.endpoint.identification.algorithm", "https"},
        {"allow.auto.create.topics", type == RD_KAFKA_CONSUMER ? "false" : ""},
        {"socket.keepalive.enable", "true"},
        {"socket.nagle.disable", "true"},
        {"socket.timeout.ms", "10000"},
        {"socket.connection.setup.timeout.ms", "5000"},
        {"reconnect.backoff.ms", "50"},
        {"reconnect.backoff.max.ms", "1000"},
        {"topic.metadata.refresh.interval.ms", "30000"},
        {NULL, NULL},
    };
    if (rd_kafka_version() < VG_FLOOR_RDKAFKA) {
        return vg_fail(err, VG_E_VERSION, "librdkafka %s; accepted: 0x%08x or later",
                       rd_kafka_version_str(), VG_FLOOR_RDKAFKA);
    }
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    enum vg_err rc = set_all(conf, common, err);
    if (rc == VG_OK) {
        rc = set_all(conf, settings, err);
    }
    if (rc != VG_OK) {
        rd_kafka_conf_destroy(conf);
        return rc;
    }
    rd_kafka_conf_set_opaque(conf, note);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (conf_fn != NULL) {
        conf_fn(conf);
    }
    char text[200];
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return refused_by_library(k, text, err);
    }
    *out = rk;
    return VG_OK;
}

/* ---- errors ---- */

enum vg_err vgi_kafka_class(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return VG_OK;
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
        return VG_E_TIMEOUT;
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH: /* a leader has changed: the client learns it and
                                                   asks again */
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT:
    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED:
    case RD_KAFKA_RESP_ERR__WAIT_CACHE:
    case RD_KAFKA_RESP_ERR__PARTIAL: /* Metadata of a cluster whose brokers are all fenced yet */
        return VG_E_AGAIN;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return VG_E_FULL;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return VG_E_NOTFOUND;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
        return VG_E_EXISTS;
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return VG_E_DENIED;
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        return VG_E_RANGE;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
        return VG_E_FATAL;
    case RD_KAFKA_RESP_ERR__DESTROY:
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
        return VG_E_CLOSED;
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
        return VG_E_UNSUPPORTED;
    default:
        return VG_E_IO;
    }
}

enum vg_err vgi_kafka_fail(const struct vgi_kafka *k, struct vg_error *err,
                           rd_kafka_resp_err_t code, const char *what)
{
    return vg_fail(err, vgi_kafka_class(code), "kafka %.80s: %s: %s", k->brokers, what,
                   rd_kafka_err2str(code));
}

enum vg_err vgi_kafka_fail_error(const struct vgi_kafka *k, struct vg_error *err,
                                 rd_kafka_error_t *error, const char *what)
{
    enum vg_err class = vgi_kafka_class(rd_kafka_error_code(error));
    if (rd_kafka_error_is_fatal(error)) {
        class = VG_E_FATAL;
    }
    vg_fail(err, class, "kafka %.80s: %s: %s", k->brokers, what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return class;
}

/* ---- finding a broker ---- */

static enum vg_err unreachable(struct vgi_kafka *k, struct vg_error *err)
{
    pthread_mutex_lock(&k->note.lock);
    const bool refused = vgi_kafka_class(k->note.code) == VG_E_DENIED;
    const enum vg_err rc =
        vg_fail(err, refused ? VG_E_DENIED : VG_E_TIMEOUT, "log.url: kafka %.60s: %s%s%.150s",
                k->brokers, refused ? "the connection is refused" : "no broker answers",
                k->note.text[0] == '\0' ? "" : ": ", k->note.text);
    pthread_mutex_unlock(&k->note.lock);
    return rc;
}

enum vg_err vgi_kafka_reach(struct vgi_kafka *k, struct vg_error *err)
{
    const int64_t until = vgi_now_ms() + VGI_KAFKA_REACH_MS;
    pthread_mutex_lock(&k->note.lock);
    k->note.code = RD_KAFKA_RESP_ERR_NO_ERROR; /* only what is said from now on counts */
    k->note.text[0] = '\0';
    pthread_mutex_unlock(&k->note.lock);
    for (;;) {
        const struct rd_kafka_metadata *found = NULL;
        const rd_kafka_resp_err_t code = rd_kafka_metadata(k->admin, 0, NULL, &found, 250);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_metadata_destroy(found);
            return VG_OK;
        }
        rd_kafka_poll(k->admin, 0); /* serves on_error */
        pthread_mutex_lock(&k->note.lock);
        const bool refused = vgi_kafka_class(k->note.code) == VG_E_DENIED;
        pthread_mutex_unlock(&k->note.lock);
        if (refused || vgi_now_ms() >= until) {
            return unreachable(k, err);
        }
    }
}

void vgi_kafka_pause(void)
{
    const struct timespec t = {.tv_nsec = 20 * 1000 * 1000};
    nanosleep(&t, NULL);
}

void vgi_kafka_topic_name(const struct vgi_kafka *k, enum vg_topic t, char name[VGI_KAFKA_NAME_MAX])
{
    snprintf(name, VGI_KAFKA_NAME_MAX, "%s%s", k->conf->prefix, vg_topic_spec(t)->name);
}

/* ---- descriptors ---- */

int vgi_kafka_fd_new(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void vgi_kafka_fd_watch(int fd, rd_kafka_queue_t *queue)
{
    static const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(queue, fd, &one, sizeof one);
}

void vgi_kafka_fd_clear(int fd)
{
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0) {
        return; /* was not raised */
    }
}

void vgi_kafka_fd_raise(int fd)
{
    const uint64_t one = 1;
    if (write(fd, &one, sizeof one) < 0) {
        return; /* the counter is full: it is readable as it is */
    }
}
