/* Numbers for /metrics: copied from the parts once per tick, so that no part needs to know of
 * metrics. */
#include "parts.h"

#include "vigia/metric.h"

enum figure {
    APPENDED_U,
    APPENDED_R,
    WAITING_U,
    WAITING_R,
    REFUSED,
    EVICTED,
    QUARANTINED,
    QUARANTINE_TRIMMED,
    UNDATED,
    GAPS_JOINED,
    ASIDES_REMOVED,
    PARKED,
    DAMAGED,
    OTHERS,
    BUFFER_BYTES,
    RING_BYTES,
    COMMITS,
    COMMIT_FAILURES,
    COMMIT_MAX,
    DISK_FULL,
    DONE,
    SENT,
    REQUESTS,
    ANSWERS_OK,
    ANSWERS_REFUSED,
    ANSWERS_WAIT,
    ANSWERS_UNEXPECTED,
    ANSWERS_LATE,
    UNANSWERED,
    UP,
    HANDSHAKES,
    SESSIONS,
    SESSIONS_LOST,
    FAILOVERS,
    BACKOFFS,
    PARKED_FORGOTTEN,
    CLOCK_SYNCED,
    FIGURES
};

#define C(n, l, h)                                                                                 \
    {                                                                                              \
        .name = "vigia_edge_" n, .labels = l, .help = h, .type = VG_COUNTER                        \
    }
#define G(n, l, h)                                                                                 \
    {                                                                                              \
        .name = "vigia_edge_" n, .labels = l, .help = h, .type = VG_GAUGE                          \
    }

static struct vg_metric figures[FIGURES] = {
    [APPENDED_U] = C("readings_total", "lane=\"urgent\"", "Readings taken into the buffer."),
    [APPENDED_R] = C("readings_total", "lane=\"routine\"", "Readings taken into the buffer."),
    [WAITING_U] = G("waiting_readings", "lane=\"urgent\"",
                    "Readings on the card that are not yet acknowledged."),
    [WAITING_R] = G("waiting_readings", "lane=\"routine\"",
                    "Readings on the card that are not yet acknowledged."),
    [REFUSED] =
        C("refused_readings_total", NULL, "Readings lost because memory before the card was full."),
    [EVICTED] = C("evicted_readings_total", NULL, "Readings given up unsent, by size or age."),
    [QUARANTINED] = C("quarantined_readings_total", NULL, "Readings that no collector will take."),
    [QUARANTINE_TRIMMED] = C("quarantine_trimmed_total", NULL,
                             "Quarantined readings removed because quarantine was full."),
    [UNDATED] = C("undated_readings_total", NULL,
                  "Times a reading of an earlier boot was taken from the card without its time."),
    [GAPS_JOINED] =
        C("gaps_joined_total", NULL,
          "Runs of readings given up whose gap event is another's: the table of gaps was full."),
    [ASIDES_REMOVED] = C("set_aside_removed_total", NULL,
                         "Buffer files set aside, damaged or refused, that one more removed."),
    [PARKED] = C("parked_readings_total", NULL,
                 "Times a reading was parked: its sensor is not this device's."),
    [DAMAGED] =
        C("buffer_damaged_total", NULL, "Buffer files set aside, and rows with a wrong checksum."),
    [OTHERS] = G("other_buffers", NULL,
                 "Buffer files of other devices, set aside: what waits in them is not sent."),
    [BUFFER_BYTES] = G("buffer_bytes", NULL, "Live size of the buffer's file."),
    [RING_BYTES] = G("ring_bytes", NULL, "Readings in memory that wait for the card."),
    [COMMITS] = C("buffer_commits_total", NULL, "Commits of the buffer."),
    [COMMIT_FAILURES] = C("buffer_commit_failures_total", NULL, "Commits that failed."),
    [COMMIT_MAX] = {.name = "vigia_edge_buffer_commit_max_seconds",
                    .help = "Longest commit since start.",
                    .type = VG_GAUGE,
                    .scale = 1e-6},
    [DISK_FULL] = G("disk_full", NULL, "1 while the last commit failed for want of space."),
    [DONE] = C("acknowledged_readings_total", NULL, "Readings that a collector made durable."),
    [SENT] = C("sent_readings_total", NULL, "Readings sent, repeats included."),
    [REQUESTS] = C("requests_total", NULL, "Requests sent, retransmissions of CoAP not included."),
    [ANSWERS_OK] = C("answers_total", "class=\"ok\"", "Answers."),
    [ANSWERS_REFUSED] = C("answers_total", "class=\"refused\"", "Answers."),
    [ANSWERS_WAIT] = C("answers_total", "class=\"wait\"", "Answers."),
    [ANSWERS_UNEXPECTED] = C("answers_total", "class=\"unexpected\"", "Answers."),
    [ANSWERS_LATE] = C("answers_total", "class=\"late\"", "Answers."),
    [UNANSWERED] = C("unanswered_requests_total", NULL, "Requests without an answer in time."),
    [UP] = G("session_up", NULL, "1 while a DTLS session is established."),
    [HANDSHAKES] = C("handshakes_total", NULL, "Handshakes begun."),
    [SESSIONS] = C("sessions_total", NULL, "Handshakes completed."),
    [SESSIONS_LOST] = C("sessions_lost_total", NULL, "Established sessions that ended."),
    [FAILOVERS] = C("failovers_total", NULL, "Moves to another collector."),
    [BACKOFFS] =
        C("backoffs_total", NULL,
          "Waits because every collector had failed, or had closed sessions again and again."),
    [PARKED_FORGOTTEN] =
        C("parked_sensors_forgotten_total", NULL, "Parked sensors above the bound."),
    [CLOCK_SYNCED] = G("clock_synced", NULL, "1 while the clock counts as synchronised."),
};

enum vg_err vgi_figures_register(struct vg_error *err)
{
    enum vg_err e = vg_metric_register(figures, FIGURES);
    return e == VG_OK ? VG_OK : vg_fail(err, e, "cannot register metrics: %s", vg_err_name(e));
}

static void set(enum figure f, uint64_t v)
{
    vg_metric_set(&figures[f], (int64_t)v);
}

void vgi_figures_tick(struct vgi_agent *a)
{
    struct vg_buffer_stats b;
    vg_buffer_stats(a->buffer, &b);
    set(APPENDED_U, b.appended[VG_BUFFER_URGENT]);
    set(APPENDED_R, b.appended[VG_BUFFER_ROUTINE]);
    set(WAITING_U, b.rows[VG_BUFFER_URGENT]);
    set(WAITING_R, b.rows[VG_BUFFER_ROUTINE]);
    set(REFUSED, b.refused);
    set(EVICTED, b.evicted);
    set(QUARANTINED, b.quarantined);
    set(QUARANTINE_TRIMMED, b.quarantine_trimmed);
    set(UNDATED, b.undated);
    set(GAPS_JOINED, b.gaps_joined);
    set(ASIDES_REMOVED, b.asides_removed);
    set(PARKED, b.parked);
    set(DAMAGED, b.damaged);
    set(OTHERS, vg_buffer_found(a->buffer)->others);
    set(BUFFER_BYTES, (uint64_t)b.bytes);
    set(RING_BYTES, (uint64_t)b.ring_bytes);
    set(COMMITS, b.commits);
    set(COMMIT_FAILURES, b.commit_failures);
    set(COMMIT_MAX, (uint64_t)b.commit_us_max);
    set(DISK_FULL, b.disk_full);
    const struct vg_uplink_stats *u = vg_uplink_stats(a->uplink);
    set(DONE, u->rows_done);
    set(SENT, u->rows_sent);
    set(REQUESTS, u->requests);
    set(ANSWERS_OK, u->answers_ok);
    set(ANSWERS_REFUSED, u->answers_refused);
    set(ANSWERS_WAIT, u->answers_wait);
    set(ANSWERS_UNEXPECTED, u->answers_unexpected);
    set(ANSWERS_LATE, u->answers_late);
    set(UNANSWERED, u->unanswered);
    set(UP, u->up);
    set(HANDSHAKES, u->handshakes);
    set(SESSIONS, u->connected);
    set(SESSIONS_LOST, u->sessions_lost);
    set(FAILOVERS, u->failovers);
    set(BACKOFFS, u->backoffs);
    set(PARKED_FORGOTTEN, u->parked_forgotten);
    set(CLOCK_SYNCED, a->keeper.synced);
}
