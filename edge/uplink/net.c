/* The CoAP context on the loop.
 *
 * libcoap calls back from inside coap_io_process(); there it tolerates requests, but not that the
 * session it is working on goes away. So callbacks feed the core and send at once, while sessions
 * are ended and begun in flush(), when libcoap is off the stack. */
#include "net.h"

#include "link.h"

#include <stdlib.h>

static void silent_log(coap_log_t level, const char *message)
{
    (void)level;
    (void)message;
}

void vgi_net_flush(struct vg_uplink_net *net)
{
    if (net->inside) {
        return;
    }
    net->inside = true;
    while (net->dying_count > 0 || net->wanted) {
        while (net->dying_count > 0) {
            coap_session_release(net->dying[--net->dying_count]);
        }
        net->wanted = false;
        for (struct vg_uplink *u = net->uplinks; u != NULL; u = u->next) {
            if (u->connect_wanted) {
                u->connect_wanted = false;
                vgi_link_connect(u);
            }
        }
    }
    net->inside = false;
    /* What was sent may need a timer of libcoap's, which sits behind the same descriptor. */
    coap_tick_t now;
    coap_ticks(&now);
    (void)coap_io_prepare_epoll(net->coap, now);
}

static void on_readable(void *arg, unsigned events)
{
    (void)events;
    struct vg_uplink_net *net = arg;
    net->inside = true;
    (void)coap_io_process(net->coap, COAP_IO_NO_WAIT);
    if (net->connecting) {
        net->connecting = false;
        for (struct vg_uplink *u = net->uplinks; u != NULL; u = u->next) {
            bool under_way = vgi_link_look(u);
            net->connecting = net->connecting || under_way;
        }
    }
    net->inside = false;
    vgi_net_flush(net);
}

static void on_resolved(void *arg, uint64_t ticket, const struct vgi_address *address)
{
    struct vg_uplink_net *net = arg;
    for (struct vg_uplink *u = net->uplinks; u != NULL; u = u->next) {
        if (u->resolving == ticket) {
            u->resolving = 0;
            vgi_link_resolved(u, address);
            break;
        }
    }
    vgi_net_flush(net);
}

void vgi_net_release(struct vg_uplink_net *net, coap_session_t *session)
{
    /* An uplink has one session at a time and begins another only in flush(), which empties this
     * list first. */
    coap_session_set_app_data(session, NULL);
    net->dying[net->dying_count++] = session;
}

enum vg_err vg_uplink_net_new(struct vg_loop *loop, size_t max_uplinks, struct vg_uplink_net **out,
                              struct vg_error *err)
{
    if (coap_get_tls_library_version()->type != COAP_TLS_LIBRARY_MBEDTLS ||
        !coap_dtls_psk_is_supported()) {
        return vg_fail(err, VG_E_UNSUPPORTED, "libcoap is built without DTLS-PSK on Mbed TLS");
    }
    unsigned long long tls = coap_get_tls_library_version()->version;
    if (tls < VG_FLOOR_MBEDTLS) {
        return vg_fail(err, VG_E_VERSION, "Mbed TLS 0x%08llx; accepted: 0x%08x or later", tls,
                       VG_FLOOR_MBEDTLS);
    }
    if (vg_need_version("libcoap", coap_package_version(), VG_FLOOR_LIBCOAP, err) != VG_OK) {
        return VG_E_VERSION;
    }
    struct vg_uplink_net *net = calloc(1, sizeof *net);
    if (net == NULL) {
        return vg_fail(err, VG_E_NOMEM, "no memory for the uplink");
    }
    net->loop = loop;
    net->dying_max = max_uplinks;
    net->dying = calloc(max_uplinks, sizeof(coap_session_t *));
    coap_startup();
    /* Its lines would name keys and peers; what matters comes through events. */
    coap_set_log_handler(silent_log);
    coap_set_log_level(COAP_LOG_EMERG);
    net->coap = coap_new_context(NULL);
    enum vg_err e = net->dying == NULL || net->coap == NULL ? VG_E_NOMEM : VG_OK;
    if (e == VG_OK) {
        e = vgi_resolver_new(loop, on_resolved, net, &net->resolver);
    }
    if (e == VG_OK) {
        coap_context_set_app_data(net->coap, net);
        vgi_link_handlers(net->coap);
        e = vg_loop_watch(loop, coap_context_get_coap_fd(net->coap), VG_LOOP_READ, on_readable, net,
                          &net->watch);
    }
    if (e != VG_OK) {
        vg_uplink_net_free(net);
        return vg_fail(err, e, "cannot set up the CoAP context: %s", vg_err_name(e));
    }
    *out = net;
    return VG_OK;
}

void vg_uplink_net_free(struct vg_uplink_net *net)
{
    if (net == NULL) {
        return;
    }
    vg_loop_unwatch(net->loop, net->watch);
    vgi_resolver_free(net->resolver);
    coap_free_context(net->coap);
    coap_cleanup();
    free(net->dying);
    free(net);
}
