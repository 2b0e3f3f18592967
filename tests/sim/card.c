/* The seam between the buffer's writer and its store; see card.h. */
#include "world.h"

#include "../../edge/buffer/inner.h"

#include <string.h>

/* The writer's alarm is rounded up to a millisecond. */
#define WAKE_NS (2 * SIM_MS)

bool __real_vgi_commit(struct vg_buffer *b);
bool __wrap_vgi_commit(struct vg_buffer *b);
bool __real_vgi_store_begin(struct vgi_store *s);
bool __wrap_vgi_store_begin(struct vgi_store *s);
bool __real_vgi_store_insert(struct vgi_store *s, int lane, uint64_t seq, int64_t taken_ns,
                             struct vg_span row);
bool __wrap_vgi_store_insert(struct vgi_store *s, int lane, uint64_t seq, int64_t taken_ns,
                             struct vg_span row);
bool __real_vgi_store_commit(struct vgi_store *s);
bool __wrap_vgi_store_commit(struct vgi_store *s);

static struct sim_device *my_device(void)
{
    return &sim_world.devices[sim_me()->host->number - 1];
}

void sim_card_begin(struct sim_card *c)
{
    c->open_count = 0;
    c->committing = false;
    c->begun = c->last_begun = c->last_ended = -1;
}

int64_t sim_card_owed(const struct sim_card *c, int64_t group_ns)
{
    int64_t taken = c->committing ? c->begun : sim_now; /* nothing was taken in since */
    int64_t owed = taken - group_ns - WAKE_NS;
    /* Whatever came during the commit before had to wait for its end. */
    bool waited = c->last_ended >= 0 && taken <= c->last_ended + WAKE_NS;
    return waited && c->last_begun < owed ? c->last_begun : owed;
}

/* ---- the ledger's line of a row ---- */

static bool is_line(const struct sim_said *said, const struct vg_reading *r, int64_t ns)
{
    bool ok = (r->has & VG_HAS_OK) != 0;
    if (said->ns != ns || said->ok != ok) {
        return false;
    }
    for (size_t i = 0; i < r->extra_count && !ok; i++) {
        if (strcmp(r->extras[i].name, "at") == 0) {
            return said->at == (int64_t)r->extras[i].number;
        }
    }
    return ok;
}

static void note_row(struct sim_device *d, const struct vg_reading *r, uint64_t store, uint64_t seq,
                     int64_t ns)
{
    struct sim_card *c = &d->card;
    for (size_t k = 0; k < d->sensor_count; k++) {
        struct sim_sensor *s = &d->sensors[k];
        if (strcmp(s->id, r->sensor) != 0) {
            continue;
        }
        for (size_t i = s->said_count; i-- > 0 && s->said[i].ns >= ns;) {
            if (is_line(&s->said[i], r, ns)) {
                if (c->open_count == SIM_OPEN_MAX) {
                    sim_fail("%s: a transaction of more than %d rows", d->proc.name, SIM_OPEN_MAX);
                }
                s->said[i].store = store;
                s->said[i].seq = seq;
                c->open[c->open_count].sensor = (uint32_t)k;
                c->open[c->open_count++].said = (uint32_t)i;
                return;
            }
        }
    }
}

/* ---- the seam ---- */

bool __wrap_vgi_commit(struct vg_buffer *b)
{
    struct sim_card *c = &my_device()->card;
    c->committing = true;
    c->begun = sim_now;
    bool done = __real_vgi_commit(b);
    c->committing = false;
    c->last_begun = c->begun;
    c->last_ended = sim_now;
    return done;
}

bool __wrap_vgi_store_begin(struct vgi_store *s)
{
    my_device()->card.open_count = 0;
    return __real_vgi_store_begin(s);
}

bool __wrap_vgi_store_insert(struct vgi_store *s, int lane, uint64_t seq, int64_t taken_ns,
                             struct vg_span row)
{
    struct sim_device *d = my_device();
    struct vg_reading r;
    if (vgi_row_decode(row, &r)) {
        note_row(d, &r, s->id, seq, taken_ns + d->host.booted_ns);
    }
    return __real_vgi_store_insert(s, lane, seq, taken_ns, row);
}

bool __wrap_vgi_store_commit(struct vgi_store *s)
{
    struct sim_device *d = my_device();
    if (!__real_vgi_store_commit(s)) {
        return false;
    }
    for (size_t i = 0; i < d->card.open_count; i++) {
        d->sensors[d->card.open[i].sensor].said[d->card.open[i].said].kept = true;
    }
    d->card.open_count = 0;
    return true;
}
