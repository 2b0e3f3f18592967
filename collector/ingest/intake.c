/* The log side: readings in, verdicts out; heartbeats; refused payloads. */
#include "inside.h"

#include "vigia/fault.h"
#include "vigia/log.h"
#include "vigia/record.h"

#include <inttypes.h>

static void log_is(struct vgi_collector *c, const struct vg_dlog_verdict *verdict)
{
    bool good = verdict->result == VG_OK;

    if (good != c->log_good) {
        if (good) {
            vg_log_info("log-good", "url=%s", VG_Q(c->conf->log.url));
        } else {
            vg_log_error("log-failing", "error=%s maybe_persisted=%d", vg_err_name(verdict->result),
                         verdict->maybe_persisted);
        }
    }
    c->log_good = good;
}

static void on_readings_verdict(void *arg, const struct vg_dlog_verdict *verdict)
{
    struct vgi_pending *p = arg;
    struct vgi_collector *c = p->owner;

    log_is(c, verdict);
    p->failed = verdict->result != VG_OK || VG_FAULT(COLLECTOR_VERDICT);
    vgi_count_many(p->failed ? VGI_M_READINGS_FAILED : VGI_M_READINGS, (int64_t)p->outstanding);
    p->outstanding = 0;
    vgi_answer(c, p);
}

bool vgi_intake_store(struct vgi_collector *c, struct vgi_pending *p, const struct vg_batch *batch)
{
    struct vg_dlog_entry entries[VG_BATCH_READINGS_MAX];
    size_t used = 0;
    enum vg_err rc = VG_OK;

    for (size_t i = 0; i < batch->count && rc == VG_OK; i++) {
        const struct vg_reading *reading = &batch->readings[i];
        size_t len = 0;
        rc = vg_record_encode(reading, c->values + used, VG_RECORD_MAX, &len);
        entries[i] =
            (struct vg_dlog_entry){vg_span_str(reading->sensor), vg_span(c->values + used, len)};
        used += len;
    }
    if (rc == VG_OK && VG_FAULT(COLLECTOR_APPEND)) {
        rc = VG_E_FULL;
    }
    if (rc == VG_OK) {
        /* As one: a time limit or an error that took only some of a sensor's readings would leave
         * its later ones in the log, and the repeated earlier ones would count as old. */
        rc = vg_dlog_append_group(c->appender, VG_TOPIC_READINGS,
                                  p->urgent ? VG_DLOG_URGENT : VG_DLOG_ROUTINE, entries,
                                  batch->count, on_readings_verdict, p);
    }
    if (rc == VG_E_FULL) {
        vgi_count(p->urgent ? VGI_M_QUEUE_FULL_URGENT : VGI_M_QUEUE_FULL_ROUTINE);
        vg_log_warn(p->urgent ? "urgent-log-queue-full" : "log-queue-full",
                    "queue_max=%" PRId64 " queue_max_bytes=%" PRId64 " kept=1/%d",
                    c->conf->log.queue_max, c->conf->log.queue_max_bytes, VG_DLOG_URGENT_SHARE);
        return false;
    }
    if (rc != VG_OK) {
        vg_log_warn("append-refused", "error=%s", vg_err_name(rc));
        vgi_count_many(VGI_M_READINGS_FAILED, (int64_t)batch->count);
        return false;
    }
    p->outstanding = batch->count;
    (void)VG_FAULT(COLLECTOR_APPENDED);
    return true;
}

static void on_heartbeat_verdict(void *arg, const struct vg_dlog_verdict *verdict)
{
    const struct vgi_beat *beat = arg;
    log_is(beat->owner, verdict);
    vgi_count(verdict->result == VG_OK ? VGI_M_HEARTBEATS : VGI_M_HEARTBEATS_FAILED);
}

static bool withheld(struct vgi_collector *c, int32_t partition)
{
    struct vgi_beat *beat = &c->beats[partition];
    const bool was = beat->withheld;

    beat->owner = c;
    beat->withheld = vg_dlog_appender_holds(c->appender, beat);
    if (beat->withheld != was) {
        vg_log_info(beat->withheld ? "heartbeats-withheld" : "heartbeats-go-on", "partition=%d",
                    partition);
    }
    return beat->withheld;
}

void vgi_intake_heartbeat(struct vgi_collector *c)
{
    int64_t now_ms = vg_now_wall(c->clock).ms;
    struct vg_heartbeat beat = {.time_ms = now_ms, .received_ms = now_ms};
    char value[VG_RECORD_MAX];
    size_t len = 0;

    if (!vg_str_copy(c->conf->instance, beat.instance, sizeof(beat.instance)) ||
        vg_heartbeat_encode(&beat, value, sizeof(value), &len) != VG_OK) {
        return; /* the configuration was checked: this cannot be */
    }
    for (int32_t p = 0; p < c->partitions; p++) {
        if (withheld(c, p)) {
            vgi_count(VGI_M_HEARTBEATS_FAILED);
            continue;
        }
        enum vg_err rc =
            vg_dlog_append_heartbeat(c->appender, p, vg_span_str(beat.instance),
                                     vg_span(value, len), on_heartbeat_verdict, &c->beats[p]);
        if (rc != VG_OK) {
            vgi_count(VGI_M_HEARTBEATS_FAILED);
            vg_log_warn("heartbeat-refused", "partition=%d error=%s", p, vg_err_name(rc));
        }
    }
}

static void on_rejected_verdict(void *arg, const struct vg_dlog_verdict *verdict)
{
    (void)arg;
    vgi_count(verdict->result == VG_OK ? VGI_M_REJECTED : VGI_M_REJECTED_DROPPED);
}

void vgi_intake_reject(struct vgi_collector *c, const struct vgi_request *request,
                       const struct vgi_verdict *verdict)
{
    /* A larger body is no payload that anybody could want back: its beginning is kept. */
    size_t kept = request->body.len < VG_BODY_MAX ? request->body.len : VG_BODY_MAX;
    char body[2 * VG_BODY_MAX + 1], value[sizeof(body) + 512], code[VG_COAP_TEXT_MAX];

    if (request->device == NULL) {
        return;
    }
    if (vgi_bucket_take(&c->rejected, vg_now_mono(c->clock)) > 0) {
        vgi_count(VGI_M_REJECTED_DROPPED);
        return;
    }
    vg_hex(request->body.at, kept, body);
    int len = snprintf(value, sizeof(value),
                       "{\"v\":1,\"device\":\"%s\",\"time_ms\":%" PRId64
                       ",\"resource\":\"%s\",\"format\":%d,\"code\":\"%s\",\"reason\":\"%s\","
                       "\"bytes\":%zu,\"body_hex\":\"%s\"}",
                       request->device->name, request->now.ms,
                       request->resource == VGI_OK ? VG_PATH_VERSION "/" VG_PATH_OK
                                                   : VG_PATH_VERSION "/" VG_PATH_READINGS,
                       request->has_format ? (int)request->format : -1,
                       vg_coap_text(verdict->code, code), verdict->reason, request->body.len, body);
    const struct vg_dlog_entry entry = {vg_span_str(request->device->name),
                                        vg_span(value, len > 0 ? (size_t)len : 0)};
    if (len < 0 || (size_t)len >= sizeof(value) ||
        vg_dlog_append_group(c->appender, VG_TOPIC_REJECTED, VG_DLOG_ROUTINE, &entry, 1,
                             on_rejected_verdict, c) != VG_OK) {
        vgi_count(VGI_M_REJECTED_DROPPED);
    }
}
