/* Whose a file is, and whether anybody needs what is in it. */
#include "store.h"

#include "vigia/span.h"

#include <sqlite3.h>
#include <string.h>

int vgi_store_whose(struct vgi_store *s)
{
    sqlite3_stmt *st = NULL;
    int rc = SQLITE_DONE;
    s->owner[0] = '\0';
    if (!s->forward) {
        rc = sqlite3_prepare_v2(s->db, "SELECT device FROM epochs ORDER BY epoch DESC LIMIT 1", -1,
                                &st, NULL);
        rc = rc == SQLITE_OK ? sqlite3_step(st) : rc;
    }
    if (rc == SQLITE_ROW) {
        const char *owner = (const char *)sqlite3_column_text(st, 0);
        rc = owner == NULL                                   ? SQLITE_NOMEM
             : vg_str_copy(owner, s->owner, sizeof s->owner) ? SQLITE_OK
                                                             : SQLITE_CORRUPT;
    }
    (void)sqlite3_finalize(st);
    int64_t kept = 0;
    if (rc == SQLITE_OK || rc == SQLITE_DONE) {
        rc = vgi_store_number(s->db,
                              "SELECT EXISTS (SELECT 1 FROM queue) OR EXISTS (SELECT 1 FROM gaps)"
                              " OR EXISTS (SELECT 1 FROM quarantine)",
                              &kept);
    }
    s->kept = kept != 0;
    return rc;
}

/* What an agent says of itself at each start: of no use once its device has another name. What
 * cannot be read is not that. */
static bool is_word(struct vg_span row)
{
    static const char others[] = VGI_OTHERS_TEXT;
    struct vg_reading r;
    return vgi_row_decode(row, &r) &&
           (r.event == VG_EVENT_ALIVE ||
            (r.event == VG_EVENT_STORAGE && strncmp(r.event_text, others, sizeof others - 1) == 0));
}

static int any_waits(struct vgi_store *s, bool *waits)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, "SELECT row FROM queue ORDER BY place", -1, &st, NULL);
    rc = rc == SQLITE_OK ? SQLITE_ROW : rc;
    while (rc == SQLITE_ROW && !*waits) {
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
            const void *row = sqlite3_column_blob(st, 0);
            const size_t len = (size_t)sqlite3_column_bytes(st, 0);
            *waits = row == NULL || !is_word((struct vg_span){row, len});
        }
    }
    (void)sqlite3_finalize(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int vgi_store_inside(struct vgi_store *s, struct vgi_inside *in)
{
    int64_t gaps = 0, refused = 0;
    int rc = vgi_store_number(s->db, "SELECT count(*) FROM queue", &in->rows);
    if (rc == SQLITE_OK) {
        rc = vgi_store_number(s->db, "SELECT EXISTS (SELECT 1 FROM gaps)", &gaps);
    }
    if (rc == SQLITE_OK) {
        rc = vgi_store_number(s->db, "SELECT EXISTS (SELECT 1 FROM quarantine)", &refused);
    }
    in->waits = gaps != 0;
    in->refused = refused != 0;
    return rc == SQLITE_OK ? any_waits(s, &in->waits) : rc;
}
