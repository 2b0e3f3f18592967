/* DTLS identities and sessions: which key belongs to which name, how many sessions there may be,
 * and when one ends.
 *
 * A session is known here from the moment its client names an identity: first as a candidate, which
 * counts for nothing, and from the end of its handshake as good. libcoap's Mbed TLS server tells no
 * event then, so candidates are looked at each turn; there are few, as a client sends its key
 * exchange and its last message together. A session is doomed when its device is revoked, gone or
 * has a new key, when its device opens a third one, and when there are too many; the doomed are
 * ended at the end of the turn. */
#include "inside.h"

#include "vigia/log.h"
#include "vigia/random.h"

#include <mbedtls/constant_time.h>
#include <stdlib.h>

/* ---- keys ---- */

static bool active_psk(struct vgi_collector *c, struct vg_span name, uint8_t psk[VG_PSK_BYTES])
{
    const struct vg_device *device = vg_devices_find(c->devices, name);
    struct vg_error err;

    if (device == NULL || device->state != VG_DEVICE_ACTIVE) {
        return false;
    }
    if (vg_keys_unseal(c->keys, device->name, device->version, &device->credential, psk, &err) !=
        VG_OK) {
        vg_log_error("credential-unusable", "device=%s error=%s", device->name, VG_Q(err.text));
        return false;
    }
    return true;
}

/* The key that the session was opened with is still the device's. */
static bool same_key(const struct vgi_session *s, const uint8_t psk[VG_PSK_BYTES])
{
    const coap_bin_const_t *key = coap_session_get_psk_key(s->coap);
    return key != NULL && key->length == VG_PSK_BYTES &&
           mbedtls_ct_memcmp(key->s, psk, VG_PSK_BYTES) == 0;
}

/* ---- line of sessions, heard least lately first ---- */

static void lru_remove(struct vgi_collector *c, struct vgi_session *s)
{
    if (s->lru_prev != NULL) {
        s->lru_prev->lru_next = s->lru_next;
    } else {
        c->lru_first = s->lru_next;
    }
    if (s->lru_next != NULL) {
        s->lru_next->lru_prev = s->lru_prev;
    } else {
        c->lru_last = s->lru_prev;
    }
    s->lru_next = s->lru_prev = NULL;
}

static void lru_append(struct vgi_collector *c, struct vgi_session *s)
{
    s->lru_prev = c->lru_last;
    s->lru_next = NULL;
    if (c->lru_last != NULL) {
        c->lru_last->lru_next = s;
    } else {
        c->lru_first = s;
    }
    c->lru_last = s;
}

/* From now on nothing is accepted from it and no answer is sent to it; safe at any time. */
static void retire(struct vgi_collector *c, struct vgi_session *s)
{
    if (s->peer == NULL) {
        return;
    }
    vgi_peer_drop(s->peer, s);
    s->peer = NULL;
    lru_remove(c, s);
    c->session_count--;
    vgi_gauge(VGI_M_SESSIONS, (int64_t)c->session_count);
    while (s->exchanges.waiting != NULL) {
        struct vgi_pending *p = s->exchanges.waiting;
        vgi_exchange_remove(&s->exchanges, p);
        vgi_pool_unhold(&c->pool, p);
        p->session = NULL;
        coap_session_release(s->coap);
    }
}

static void doom(struct vgi_collector *c, struct vgi_session *s, enum vgi_metric why)
{
    if (s->doomed) {
        return;
    }
    vgi_count(why);
    retire(c, s);
    s->doomed = true;
    s->doomed_next = c->doomed;
    c->doomed = s;
}

void vgi_sessions_end_doomed(struct vgi_collector *c)
{
    while (c->doomed != NULL) {
        struct vgi_session *s = c->doomed;
        c->doomed = s->doomed_next;
        s->doomed_next = NULL;
        if (s->coap != NULL) {
            coap_session_disconnected(s->coap, COAP_NACK_NOT_DELIVERABLE);
        }
    }
}

/* ---- events ---- */

static void handshake_over(struct vgi_collector *c)
{
    if (c->handshakes > 0) {
        c->handshakes--;
    }
    c->handshakes_full = false;
    vgi_gauge(VGI_M_HANDSHAKES, (int64_t)c->handshakes);
}

static void on_new(struct vgi_collector *c)
{
    c->handshakes++;
    vgi_gauge(VGI_M_HANDSHAKES, (int64_t)c->handshakes);
    if (c->handshakes >= (size_t)c->conf->max_handshakes && !c->handshakes_full) {
        c->handshakes_full = true;
        vgi_count(VGI_M_HANDSHAKES_FULL);
        vg_log_warn("handshakes-full", "max_handshakes=%lld", (long long)c->conf->max_handshakes);
    }
}

/* A session that cannot be kept: known here so that it is ended, but never good. */
static void admit(struct vgi_collector *c, struct vgi_session *s)
{
    const coap_bin_const_t *identity = coap_session_get_psk_identity(s->coap);
    struct vg_span name =
        identity == NULL ? vg_span("", 0) : vg_span(identity->s, identity->length);
    const struct vg_device *device = vg_devices_find(c->devices, name);
    struct vgi_peer *peer = NULL;
    uint8_t psk[VG_PSK_BYTES];

    /* The key may have changed since the client named its identity. */
    bool proven = active_psk(c, name, psk) && same_key(s, psk);
    explicit_bzero(psk, sizeof(psk));
    if (device == NULL || !proven ||
        vgi_peers_get(c->peers, device->name, vg_now_mono(c->clock), &peer) != VG_OK) {
        doom(c, s, VGI_M_SESSIONS_ENDED_DEVICE);
        return;
    }
    struct vgi_session *replaced = vgi_peer_add(peer, s);
    if (replaced != NULL) {
        vg_log_info("session-replaced", "device=%s max=%d", peer->name, VGI_SESSIONS_PER_DEVICE);
        doom(c, replaced, VGI_M_SESSIONS_ENDED_REPLACED);
    }
    s->peer = peer;
    lru_append(c, s);
    c->session_count++;
    vgi_gauge(VGI_M_SESSIONS, (int64_t)c->session_count);
    vgi_count(VGI_M_SESSIONS_OPENED);
    vg_log_debug("session-open", "device=%s", peer->name);
    if (c->session_count > (size_t)c->conf->max_sessions) {
        vg_log_warn("sessions-full", "max_sessions=%lld ended=%s", (long long)c->conf->max_sessions,
                    c->lru_first->peer->name);
        doom(c, c->lru_first, VGI_M_SESSIONS_ENDED_CAP);
    }
}

/* The client has named an identity; nothing is proven yet. */
static void add_candidate(struct vgi_collector *c, coap_session_t *coap)
{
    if (coap_session_get_app_data(coap) != NULL) {
        return;
    }
    struct vgi_session *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        vg_log_error("no-memory", "for=session");
        return; /* without it every request is answered 4.01 */
    }
    s->coap = coap;
    coap_session_set_app_data(coap, s);
    s->candidate = true;
    s->candidate_next = c->candidates;
    c->candidates = s;
}

static void no_candidate(struct vgi_collector *c, struct vgi_session *s)
{
    struct vgi_session **slot = &c->candidates;
    while (*slot != NULL && *slot != s) {
        slot = &(*slot)->candidate_next;
    }
    if (*slot == s) {
        *slot = s->candidate_next;
    }
    s->candidate = false;
}

static void admit_when_established(struct vgi_collector *c, struct vgi_session *s)
{
    if (s->candidate && coap_session_get_state(s->coap) == COAP_SESSION_STATE_ESTABLISHED) {
        no_candidate(c, s);
        handshake_over(c);
        admit(c, s);
    }
}

void vgi_sessions_admit(struct vgi_collector *c)
{
    struct vgi_session *next = NULL;
    for (struct vgi_session *s = c->candidates; s != NULL; s = next) {
        next = s->candidate_next;
        admit_when_established(c, s);
    }
}

struct vgi_session *vgi_session_of(struct vgi_collector *c, coap_session_t *coap)
{
    struct vgi_session *s = coap_session_get_app_data(coap);

    if (s != NULL) {
        admit_when_established(c, s);
    }
    if (s == NULL || s->peer == NULL) {
        return NULL;
    }
    lru_remove(c, s);
    lru_append(c, s);
    return s;
}

static void on_deleted(struct vgi_collector *c, coap_session_t *coap)
{
    struct vgi_session *s = coap_session_get_app_data(coap);

    if (s == NULL) {
        handshake_over(c);
        return;
    }
    if (s->candidate) {
        no_candidate(c, s);
        handshake_over(c);
    }
    retire(c, s);
    for (struct vgi_session **slot = &c->doomed; *slot != NULL; slot = &(*slot)->doomed_next) {
        if (*slot == s) {
            *slot = s->doomed_next;
            break;
        }
    }
    coap_session_set_app_data(coap, NULL);
    free(s);
}

static int on_event(coap_session_t *coap, const coap_event_t event)
{
    struct vgi_collector *c = coap_context_get_app_data(coap_session_get_context(coap));
    struct vgi_session *s = coap_session_get_app_data(coap);

    switch (event) {
    case COAP_EVENT_SERVER_SESSION_NEW:
        on_new(c);
        break;
    case COAP_EVENT_DTLS_ERROR:
    case COAP_EVENT_DTLS_CLOSED:
        if (s != NULL && !s->candidate) {
            retire(c, s);
        } else if (event == COAP_EVENT_DTLS_ERROR) {
            vgi_count(VGI_M_HANDSHAKES_FAILED);
            vg_log_warn("handshake-failed", "peer=%s", VG_Q(coap_session_str(coap)));
        }
        break;
    case COAP_EVENT_SERVER_SESSION_DEL:
        on_deleted(c, coap);
        break;
    default:
        break;
    }
    return 0;
}

/* libcoap asks for the key of an identity. An unknown one gets random bytes after the same work, so
 * that neither the alert nor the time tells which names exist. */
static const coap_bin_const_t *on_identity(coap_bin_const_t *identity, coap_session_t *session,
                                           void *arg)
{
    struct vgi_collector *c = arg;
    add_candidate(c, session);
    if (!active_psk(c, vg_span(identity->s, identity->length), c->psk_bytes)) {
        uint8_t ignored[VG_PSK_BYTES];
        if (vg_keys_unseal(c->keys, "-", 1, &c->decoy, ignored, NULL) != VG_OK ||
            vg_random_bytes(c->psk_bytes, sizeof(c->psk_bytes)) != VG_OK) {
            return NULL;
        }
        vgi_count(VGI_M_IDENTITIES_REFUSED);
        char name[VG_DEVICE_NAME_MAX + 1] = "";
        bool sane = vg_device_name_valid(vg_span(identity->s, identity->length)) &&
                    vg_span_copy(vg_span(identity->s, identity->length), name, sizeof(name));
        vg_log_warn("identity-refused", "identity=%s", sane ? name : "malformed");
    }
    c->psk = (coap_bin_const_t){.s = c->psk_bytes, .length = sizeof(c->psk_bytes)};
    return &c->psk;
}

enum vg_err vgi_sessions_psk(struct vgi_collector *c, struct vg_error *err)
{
    static uint8_t
        hint_key[VG_PSK_BYTES]; /* libcoap wants one to be set; every key comes from on_identity */
    coap_dtls_spsk_t setup;
    enum vg_err rc = vg_random_bytes(hint_key, sizeof(hint_key));

    if (rc == VG_OK) {
        rc = vg_keys_seal(c->keys, "-", 1, hint_key, &c->decoy, err);
    }
    if (rc != VG_OK) {
        return rc;
    }
    memset(&setup, 0, sizeof(setup));
    setup.version = COAP_DTLS_SPSK_SETUP_VERSION;
    setup.validate_id_call_back = on_identity;
    setup.id_call_back_arg = c;
    setup.psk_info.key.s = hint_key;
    setup.psk_info.key.length = sizeof(hint_key);
    if (coap_context_set_psk2(c->coap, &setup) != 1) {
        return vg_fail(err, VG_E_FATAL, "DTLS cannot be set up");
    }
    return VG_OK;
}

void vgi_sessions_setup(struct vgi_collector *c)
{
    coap_context_set_app_data(c->coap, c);
    coap_register_event_handler(c->coap, on_event);
    coap_context_set_max_handshake_sessions(c->coap, (unsigned)c->conf->max_handshakes);
    /* Our own line acts first; this one is behind it. */
    coap_context_set_max_idle_sessions(
        c->coap, (unsigned)(c->conf->max_sessions + c->conf->max_handshakes + 1));
    coap_context_set_session_timeout(c->coap, (unsigned)(c->conf->idle_timeout_ms / 1000));
}

/* ---- changes of the table ---- */

void vgi_sessions_device_changed(struct vgi_collector *c, const char *name,
                                 const struct vg_device *now)
{
    struct vgi_peer *peer = c->peers == NULL ? NULL : vgi_peers_find(c->peers, name);
    uint8_t psk[VG_PSK_BYTES] = {0};
    bool active = false;

    if (peer == NULL) {
        return;
    }
    if (now != NULL && now->state == VG_DEVICE_ACTIVE) {
        struct vg_error err;
        active = vg_keys_unseal(c->keys, name, now->version, &now->credential, psk, &err) == VG_OK;
    }
    for (size_t i = peer->session_count; i-- > 0;) {
        struct vgi_session *s = peer->sessions[i];
        if (!active || !same_key(s, psk)) {
            vg_log_info("session-ended", "device=%s reason=%s", name,
                        now == NULL                       ? "removed"
                        : now->state == VG_DEVICE_REVOKED ? "revoked"
                                                          : "rotated");
            doom(c, s, VGI_M_SESSIONS_ENDED_DEVICE);
        }
    }
    if (now == NULL) {
        vgi_peers_remove(c->peers, name);
    }
}
