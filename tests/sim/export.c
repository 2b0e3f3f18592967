/* One seed for another judge: the files that tests/checker reads. */
#include "judge.h"

#include <inttypes.h>
#include <sqlite3.h>

static FILE *export_file(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", sim_world.options.export_folder, name);
    FILE *f = fopen(path, "w");
    if (f == NULL) {
        sim_fail("%s cannot be written", path);
    }
    return f;
}

static const char *yes(bool b)
{
    return b ? "true" : "false";
}

static void export_said(FILE *f, const struct sim_sensor *s)
{
    for (size_t i = 0; i < s->said_count; i++) {
        const struct sim_said *said = &s->said[i];
        (void)fprintf(f, "{\"sensor\":\"%s\",\"at\":%" PRId64 ",\"wall_ms\":%" PRId64 ",\"ok\":%s",
                      s->id, said->at, (int64_t)(SIM_EPOCH_MS + said->ns / SIM_MS), yes(said->ok));
        if (said->ok) {
            (void)fputs(",\"motion\":null,\"smoke\":null,\"temperature\":null,"
                        "\"max_temperature\":null}\n",
                        f);
        } else {
            (void)fprintf(f,
                          ",\"motion\":%s,\"smoke\":%s,\"temperature\":%.1f,"
                          "\"max_temperature\":30.0}\n",
                          yes(said->motion), yes(said->smoke), said->temperature);
        }
    }
}

static void export_kept(FILE *f, const struct sim_device *d, const struct sim_sensor *s)
{
    for (size_t i = 0; i < s->said_count; i++) {
        const struct sim_said *said = &s->said[i];
        if (said->kept) {
            (void)fprintf(f,
                          "{\"device\":\"device-%d\",\"store\":\"%016" PRIx64
                          "\",\"lane\":\"%c\",\"seq\":%" PRIu64 "}\n",
                          d->host.number, said->store, said->urgent ? 'u' : 'r', said->seq);
        }
    }
}

static void export_world(void)
{
    FILE *ledger = export_file("ledger"), *kills = export_file("kills"),
         *kept = export_file("kept");
    for (int i = 0; i < sim_world.options.devices; i++) {
        const struct sim_device *d = &sim_world.devices[i];
        for (size_t k = 0; k < d->sensor_count; k++) {
            export_said(ledger, &d->sensors[k]);
            export_kept(kept, d, &d->sensors[k]);
        }
        for (size_t k = 0; k < d->death_count; k++) {
            const struct sim_death *death = &d->deaths[k];
            (void)fprintf(kills,
                          "{\"wall_ms\":%" PRId64 ",\"sensors\":[\"d%d-*\"],\"window_ms\":%" PRId64
                          ",\"urgent_window_ms\":%" PRId64 "}\n",
                          (int64_t)(SIM_EPOCH_MS + death->ns / SIM_MS), d->host.number,
                          (int64_t)((death->ns - death->owed_routine) / SIM_MS + 1),
                          (int64_t)((death->ns - death->owed_urgent) / SIM_MS + 1));
        }
    }
    (void)fclose(ledger);
    (void)fclose(kills);
    (void)fclose(kept);
    FILE *rules = export_file("rules"), *end = export_file("end_ms");
    (void)fprintf(rules, sim_world.window_ms == INT64_MAX ? "window=never\n" : "window=600000\n");
    (void)fprintf(end, "%" PRId64 "\n", (int64_t)(SIM_EPOCH_MS + sim_world.done_ns / SIM_MS));
    (void)fclose(rules);
    (void)fclose(end);
}

static void export_topic(sqlite3 *db, const char *topic)
{
    FILE *f = export_file(topic);
    sqlite3_stmt *s = sim_log_rows(db, topic);
    while (sqlite3_step(s) == SQLITE_ROW) {
        (void)fprintf(f,
                      "{\"partition\":0,\"offset\":%" PRId64 ",\"append_ms\":%" PRId64
                      ",\"key\":\"%.*s\",\"value\":%.*s}\n",
                      (int64_t)sqlite3_column_int64(s, 0), (int64_t)sqlite3_column_int64(s, 1),
                      sqlite3_column_bytes(s, 2), (const char *)sqlite3_column_blob(s, 2),
                      sqlite3_column_bytes(s, 3), (const char *)sqlite3_column_blob(s, 3));
    }
    (void)sqlite3_finalize(s);
    (void)fclose(f);
}

void sim_export(sqlite3 *db)
{
    export_topic(db, "readings");
    export_topic(db, "alarms");
    export_world();
}
