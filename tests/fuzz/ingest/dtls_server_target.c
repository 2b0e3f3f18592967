/* A hostile network, and then a hostile device, in front of the collector's DTLS: libcoap on Mbed TLS, as they are.
 *
 * A real client shakes hands; what it sends goes through a saboteur who takes his orders from the input. So the fuzzer begins
 * with a handshake that succeeds and goes wrong from there at every message of it. Randomness and time repeat exactly: the
 * same input is the same conversation, byte for byte.
 *
 *   input: flags (1), orders: length (2), bytes; then what the device does once the session stands
 *     flags   1 Connection ID  2 ECDHE suite  4 a wrong key  8/16/32 identity: revoked, unknown, malformed
 *     orders  one for each datagram of the client; none left: it passes
 *     device  0 a good request  1 any bytes as a CoAP message: length (2), bytes  2 durable  3 failed
 *             4 any bytes as a datagram: length (2), bytes  5 its last datagram again, from another address
 *             6 close_notify  7 revoked */
#include "world.h"

#include "vigia/random.h"

#include <mbedtls/ssl.h>

#define TURNS_MAX    64
#define IDLE_MAX     3 /* of them without a datagram */
#define DATAGRAM_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_mbedtls_platform_entropy_poll(void *data, unsigned char *out, size_t len, size_t *got);
time_t __wrap_time(time_t *out);
enum vg_err __wrap_vg_random_bytes(void *to, size_t len);

/* ---- randomness and time that repeat ---- */

static struct vg_rng rng;

static void fill(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)vg_rng_next(&rng);
    }
}

int __wrap_mbedtls_platform_entropy_poll(void *data, unsigned char *out, size_t len, size_t *got)
{
    (void)data;
    fill(out, len);
    *got = len;
    return 0;
}

time_t __wrap_time(time_t *out)
{
    time_t now = WORLD_NOW_MS / 1000;
    if (out != NULL) {
        *out = now;
    }
    return now;
}

enum vg_err __wrap_vg_random_bytes(void *to, size_t len)
{
    fill(to, len);
    return VG_OK;
}

static int coap_random(void *out, size_t len)
{
    fill(out, len);
    return 1;
}

static int client_random(void *arg, unsigned char *out, size_t len)
{
    (void)arg;
    fill(out, len);
    return 0;
}

/* ---- the saboteur ---- */

enum order {
    PASS,
    DROP,
    TWICE,
    CHANGE_BYTE, /* offset (2), what is added (1) */
    OVERWRITE,   /* offset (2), length (2), bytes */
    INSERT,      /* offset (2), length (2), bytes */
    CUT_OUT,     /* offset (2), length (1) */
    CUT_OFF,     /* length (2) */
    REPLACE,     /* length (2), bytes */
    BEFORE,      /* another datagram first: length (2), bytes */
    HOLD,        /* until the next one has gone */
    JOIN,        /* with the next one in one datagram */
    STRANGER,    /* from another address */
    LATE,        /* the client's timer runs out: it sends all of the flight again */
    ORDERS
};

struct network {
    struct world *world;
    struct world_input orders;
    uint8_t held[2 * DATAGRAM_MAX], last[DATAGRAM_MAX];
    size_t held_len, last_len;
    bool join;   /* what is held goes in front of the next one */
    bool late;   /* the timer has run out */
    size_t sent; /* datagrams of the client */
};

static size_t alter(struct network *n, enum order order, uint8_t *at, size_t len)
{
    size_t where = world_u16(&n->orders);
    struct vg_span more = {NULL, 0};
    size_t gone;

    where = where < len ? where : len;
    switch (order) {
    case CHANGE_BYTE:
        gone = world_u8(&n->orders);
        if (where < len) {
            at[where] = (uint8_t)(at[where] + gone);
        }
        break;
    case OVERWRITE:
        more = world_bytes(&n->orders, DATAGRAM_MAX - where);
        memcpy(at + where, more.at, more.len);
        len = where + more.len > len ? where + more.len : len;
        break;
    case INSERT:
        more = world_bytes(&n->orders, DATAGRAM_MAX - len);
        memmove(at + where + more.len, at + where, len - where);
        memcpy(at + where, more.at, more.len);
        len += more.len;
        break;
    case CUT_OUT:
        gone = world_u8(&n->orders);
        gone = gone < len - where ? gone : len - where;
        memmove(at + where, at + where + gone, len - where - gone);
        len -= gone;
        break;
    default: /* CUT_OFF */
        len = where;
        break;
    }
    return len;
}

static void deliver(struct network *n, const uint8_t *at, size_t len)
{
    memcpy(n->last, at, len < sizeof(n->last) ? len : sizeof(n->last));
    n->last_len = len < sizeof(n->last) ? len : sizeof(n->last);
    world_send(n->world, at, len);
}

/* One datagram of the client meets one order. */
static void sabotage(struct network *n, uint8_t *at, size_t len)
{
    enum order order = n->orders.left == 0 ? PASS : world_u8(&n->orders) % ORDERS;
    struct vg_span other;

    switch (order) {
    case DROP:
        return;
    case TWICE:
        deliver(n, at, len);
        break;
    case REPLACE:
        other = world_bytes(&n->orders, DATAGRAM_MAX);
        memcpy(at, other.at, other.len);
        len = other.len;
        break;
    case BEFORE:
        other = world_bytes(&n->orders, DATAGRAM_MAX);
        world_send(n->world, other.at, other.len);
        break;
    case HOLD:
    case JOIN:
        if (n->held_len == 0) {
            memcpy(n->held, at, len);
            n->held_len = len;
            n->join = order == JOIN;
            return;
        }
        break;
    case STRANGER:
        world_send_from_stranger(n->world, at, len);
        return;
    case LATE:
        n->late = true;
        break;
    case PASS:
    case ORDERS:
        break;
    default:
        len = alter(n, order, at, len);
        break;
    }
    if (n->join && n->held_len > 0) {
        memcpy(n->held + n->held_len, at, len);
        deliver(n, n->held, n->held_len + len);
        n->held_len = 0;
        return;
    }
    deliver(n, at, len);
    if (n->held_len > 0) {
        deliver(n, n->held, n->held_len);
        n->held_len = 0;
    }
}

static int on_send(void *arg, const unsigned char *bytes, size_t len)
{
    struct network *n = arg;
    uint8_t copy[2 * DATAGRAM_MAX];

    if (len > DATAGRAM_MAX) {
        return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    }
    memcpy(copy, bytes, len);
    n->sent++;
    sabotage(n, copy, len);
    return (int)len;
}

static int on_receive(void *arg, unsigned char *out, size_t max)
{
    struct network *n = arg;
    uint8_t datagram[WORLD_ANSWER_MAX];
    size_t len = world_receive(n->world, datagram);

    if (len == 0) {
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    world_require(len <= 1400, "the collector sends no datagram that may not pass");
    len = len < max ? len : max;
    memcpy(out, datagram, len);
    return (int)len;
}

static void set_timer(void *arg, uint32_t intermediate_ms, uint32_t final_ms)
{
    (void)arg;
    (void)intermediate_ms;
    (void)final_ms;
}

static int get_timer(void *arg)
{
    struct network *n = arg;
    bool late = n->late;
    n->late = false;
    return late ? 2 : 0;
}

/* ---- the device ---- */

struct client {
    struct network network;
    mbedtls_ssl_config conf;
    mbedtls_ssl_context ssl;
    uint8_t requests;
    bool may_speak; /* a good identity and the right key */
};

static void client_open(struct client *c, uint8_t flags)
{
    static const int fast[] = {MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256, 0};
    static const int full[] = {MBEDTLS_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, 0};
    static const char *const identities[] = {WORLD_DEVICE, WORLD_REVOKED,     "nobody",
                                             "nobody",     "pi-42\nlevel=ok", WORLD_DEVICE,
                                             "",           "\xff\x00"};
    const char *identity = identities[flags >> 3 & 7];
    uint8_t key[VG_PSK_BYTES];

    memcpy(key, world_psk(), sizeof(key));
    key[0] ^= (flags & 4) != 0;
    c->may_speak = strcmp(identity, WORLD_DEVICE) == 0 && (flags & 4) == 0;
    mbedtls_ssl_config_init(&c->conf);
    mbedtls_ssl_init(&c->ssl);
    /* Mbed TLS refuses an empty identity of its own: one byte stands for it. */
    size_t identity_len = strlen(identity) > 0 ? strlen(identity) : 1;
    world_require(mbedtls_ssl_config_defaults(&c->conf, MBEDTLS_SSL_IS_CLIENT,
                                              MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                              MBEDTLS_SSL_PRESET_DEFAULT) == 0 &&
                      mbedtls_ssl_conf_psk(&c->conf, key, sizeof(key),
                                           (const unsigned char *)identity, identity_len) == 0 &&
                      mbedtls_ssl_conf_cid(&c->conf, 0, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE) == 0,
                  "a client's configuration");
    mbedtls_ssl_conf_rng(&c->conf, client_random, NULL);
    mbedtls_ssl_conf_ciphersuites(&c->conf, (flags & 2) != 0 ? full : fast);
    world_require(mbedtls_ssl_setup(&c->ssl, &c->conf) == 0, "a client");
    if ((flags & 1) != 0) {
        world_require(mbedtls_ssl_set_cid(&c->ssl, MBEDTLS_SSL_CID_ENABLED, NULL, 0) == 0, "a CID");
    }
    mbedtls_ssl_set_timer_cb(&c->ssl, &c->network, set_timer, get_timer);
    mbedtls_ssl_set_bio(&c->ssl, &c->network, on_send, on_receive, NULL);
}

static bool client_handshake(struct client *c)
{
    size_t idle = 0;

    for (size_t turn = 0; turn < TURNS_MAX && idle < IDLE_MAX; turn++) {
        size_t before = c->network.sent;
        int rc = mbedtls_ssl_handshake(&c->ssl);
        if (rc == 0) {
            return true;
        }
        if (rc != MBEDTLS_ERR_SSL_WANT_READ && rc != MBEDTLS_ERR_SSL_WANT_WRITE) {
            return false;
        }
        /* A silent turn is a lost flight: the client asks again. */
        if (c->network.sent == before) {
            c->network.late = true;
            idle++;
        }
    }
    return false;
}

/* Reads what has come; every 2.04 stands for something durable. */
static bool client_listen(struct client *c)
{
    uint8_t answer[WORLD_ANSWER_MAX];

    for (size_t turn = 0; turn < TURNS_MAX; turn++) {
        int rc = mbedtls_ssl_read(&c->ssl, answer, sizeof(answer));
        if (rc == MBEDTLS_ERR_SSL_WANT_READ) {
            return true;
        }
        if (rc <= 0) {
            return false;
        }
        world_require(rc < 2 || answer[1] != VG_COAP_CHANGED || c->network.world->durable > 0,
                      "2.04 only for what is durable");
    }
    return true;
}

static void good_request(struct client *c)
{
    uint8_t request[] = WORLD_GOOD_REQUEST;
    request[3] = ++c->requests;
    (void)mbedtls_ssl_write(&c->ssl, request, sizeof(request) - 1);
}

static bool client_step(struct client *c, struct world_input *in)
{
    struct world *w = c->network.world;
    struct vg_span bytes;
    uint8_t step = world_u8(in) % 8;

    switch (step) {
    case 0:
        good_request(c);
        break;
    case 1:
        bytes = world_bytes(in, 1500);
        (void)mbedtls_ssl_write(&c->ssl, (const uint8_t *)bytes.at, bytes.len);
        break;
    case 2:
    case 3:
        (void)world_verdicts(w, step == 2 ? VG_OK : VG_E_TIMEOUT);
        break;
    case 4:
        bytes = world_bytes(in, DATAGRAM_MAX);
        world_send(w, bytes.at, bytes.len);
        break;
    case 5:
        world_send_from_stranger(w, c->network.last, c->network.last_len);
        break;
    case 6:
        (void)mbedtls_ssl_close_notify(&c->ssl);
        break;
    default:
        world_revoke(w);
        break;
    }
    return client_listen(c);
}

static void one_input(struct world *w, const uint8_t *data, size_t size)
{
    static struct client c;
    struct world_input in = {data, size};

    vg_rng_seed(&rng, 1);
    coap_set_prng(coap_random);
    world_open(w, COAP_PROTO_DTLS);
    w->may_append = false;
    memset(&c, 0, sizeof(c));
    c.network.world = w;
    uint8_t flags = world_u8(&in);
    struct vg_span orders = world_bytes(&in, 4096);
    c.network.orders = (struct world_input){(const uint8_t *)orders.at, orders.len};
    client_open(&c, flags);
    if (client_handshake(&c)) {
        world_require(c.may_speak, "no session without the device's key");
        w->may_append = true;
        while (in.left > 0 && client_step(&c, &in)) {
        }
    }
    world_require(w->collector.handshakes <= 6, "handshakes are bounded");
    mbedtls_ssl_free(&c.ssl);
    mbedtls_ssl_config_free(&c.conf);
    world_close(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    static bool known_good;

    if (!known_good) { /* that the target still reaches what it is for */
        static const uint8_t good[] = {1, 0, 0, 0, 2};
        world_once();
        one_input(&w, good, sizeof(good));
        world_require(w.durable == 1, "a good request is stored");
        known_good = true;
    }
    one_input(&w, data, size);
    return 0;
}
