/* The numbers that vigia-collector publishes. */
#include "metrics.h"

#define NAME(x) "vigia_collector_" x
#define ANSWERS NAME("answers_total"), .help = "Answers sent, by CoAP code.", .type = VG_COUNTER
#define ENDED                                                                                      \
    NAME("sessions_ended_total"), .help = "Sessions that the collector ended, by reason.",         \
                                  .type = VG_COUNTER
#define PENDING_FULL                                                                               \
    NAME("pending_full_total"), .help = "Requests refused because too many waited for the log.",   \
                                .type = VG_COUNTER
#define QUEUE_FULL                                                                                 \
    NAME("log_queue_full_total"), .help = "Requests refused because the log's queue was full.",    \
                                  .type = VG_COUNTER

static struct vg_metric metrics[VGI_M_COUNT] = {
    [VGI_M_READINGS] = {NAME("readings_total"), .help = "Readings made durable.",
                        .type = VG_COUNTER},
    [VGI_M_READINGS_FAILED] = {NAME("readings_failed_total"),
                               .help = "Readings that the log did not make durable.",
                               .type = VG_COUNTER},
    [VGI_M_ANSWER_204] = {ANSWERS, .labels = "code=\"2.04\""},
    [VGI_M_ANSWER_400] = {ANSWERS, .labels = "code=\"4.00\""},
    [VGI_M_ANSWER_401] = {ANSWERS, .labels = "code=\"4.01\""},
    [VGI_M_ANSWER_403] = {ANSWERS, .labels = "code=\"4.03\""},
    [VGI_M_ANSWER_413] = {ANSWERS, .labels = "code=\"4.13\""},
    [VGI_M_ANSWER_415] = {ANSWERS, .labels = "code=\"4.15\""},
    [VGI_M_ANSWER_422] = {ANSWERS, .labels = "code=\"4.22\""},
    [VGI_M_ANSWER_429] = {ANSWERS, .labels = "code=\"4.29\""},
    [VGI_M_ANSWER_503] = {ANSWERS, .labels = "code=\"5.03\""},
    [VGI_M_EARLY_ACKS] =
        {NAME("early_acknowledgements_total"),
         .help = "Requests acknowledged before the log was done: their answers go by themselves.",
         .type = VG_COUNTER},
    [VGI_M_DUPLICATES] = {NAME("duplicate_messages_total"),
                          .help = "Messages repeated by their sender, stored once.",
                          .type = VG_COUNTER},
    [VGI_M_WAIT_MS] = {NAME("log_wait_seconds_total"),
                       .help = "Time that requests waited for the log, summed.", .type = VG_COUNTER,
                       .scale = 0.001},
    [VGI_M_PENDING] = {NAME("pending_requests"), .help = "Requests waiting for the log.",
                       .type = VG_GAUGE},
    [VGI_M_PENDING_FULL_URGENT] = {PENDING_FULL, .labels = "lane=\"urgent\""},
    [VGI_M_PENDING_FULL_ROUTINE] = {PENDING_FULL, .labels = "lane=\"routine\""},
    [VGI_M_QUEUE_FULL_URGENT] = {QUEUE_FULL, .labels = "lane=\"urgent\""},
    [VGI_M_QUEUE_FULL_ROUTINE] = {QUEUE_FULL, .labels = "lane=\"routine\""},
    [VGI_M_SESSIONS] = {NAME("sessions"), .help = "Open DTLS sessions.", .type = VG_GAUGE},
    [VGI_M_SESSIONS_OPENED] = {NAME("sessions_opened_total"), .help = "DTLS sessions opened.",
                               .type = VG_COUNTER},
    [VGI_M_SESSIONS_ENDED_CAP] = {ENDED, .labels = "reason=\"cap\""},
    [VGI_M_SESSIONS_ENDED_REPLACED] = {ENDED, .labels = "reason=\"replaced\""},
    [VGI_M_SESSIONS_ENDED_DEVICE] = {ENDED, .labels = "reason=\"device-changed\""},
    [VGI_M_HANDSHAKES] = {NAME("handshakes"), .help = "Handshakes under way.", .type = VG_GAUGE},
    [VGI_M_HANDSHAKES_FULL] = {NAME("handshakes_full_total"),
                               .help = "Times that the cap on handshakes was reached.",
                               .type = VG_COUNTER},
    [VGI_M_HANDSHAKES_FAILED] = {NAME("handshakes_failed_total"), .help = "Handshakes that failed.",
                                 .type = VG_COUNTER},
    [VGI_M_IDENTITIES_REFUSED] = {NAME("identities_refused_total"),
                                  .help = "Handshakes under an unknown or revoked identity.",
                                  .type = VG_COUNTER},
    [VGI_M_REJECTED] = {NAME("rejected_records_total"),
                        .help = "Refused payloads written to the topic rejected.",
                        .type = VG_COUNTER},
    [VGI_M_REJECTED_DROPPED] = {NAME("rejected_dropped_total"),
                                .help = "Refused payloads not written, by rate or a full queue.",
                                .type = VG_COUNTER},
    [VGI_M_HEARTBEATS] = {NAME("heartbeats_total"), .help = "Heartbeats made durable.",
                          .type = VG_COUNTER},
    [VGI_M_HEARTBEATS_FAILED] = {NAME("heartbeats_failed_total"),
                                 .help = "Heartbeats that the log did not make durable.",
                                 .type = VG_COUNTER},
    [VGI_M_DEVICES] = {NAME("devices"), .help = "Devices known.", .type = VG_GAUGE},
    [VGI_M_DEVICES_REFUSED] = {NAME("devices_refused_total"),
                               .help = "Entries of the topic devices that could not be used.",
                               .type = VG_COUNTER},
};

enum vg_err vgi_metrics_register(void)
{
    return vg_metric_register(metrics, VGI_M_COUNT);
}

void vgi_count(enum vgi_metric m)
{
    vg_metric_add(&metrics[m], 1);
}

void vgi_count_many(enum vgi_metric m, int64_t n)
{
    vg_metric_add(&metrics[m], n);
}

void vgi_gauge(enum vgi_metric m, int64_t value)
{
    vg_metric_set(&metrics[m], value);
}

int64_t vgi_metric_value(enum vgi_metric m)
{
    return vg_metric_get(&metrics[m]);
}

void vgi_count_answer(enum vg_coap code)
{
    switch (code) {
    case VG_COAP_CHANGED:
        vgi_count(VGI_M_ANSWER_204);
        break;
    case VG_COAP_BAD_REQUEST:
        vgi_count(VGI_M_ANSWER_400);
        break;
    case VG_COAP_UNAUTHORIZED:
        vgi_count(VGI_M_ANSWER_401);
        break;
    case VG_COAP_FORBIDDEN:
        vgi_count(VGI_M_ANSWER_403);
        break;
    case VG_COAP_TOO_LARGE:
        vgi_count(VGI_M_ANSWER_413);
        break;
    case VG_COAP_UNSUPPORTED_FORMAT:
        vgi_count(VGI_M_ANSWER_415);
        break;
    case VG_COAP_UNPROCESSABLE:
        vgi_count(VGI_M_ANSWER_422);
        break;
    case VG_COAP_TOO_MANY:
        vgi_count(VGI_M_ANSWER_429);
        break;
    default:
        vgi_count(VGI_M_ANSWER_503);
        break;
    }
}
