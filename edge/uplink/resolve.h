/* Names to addresses without stopping the loop: getaddrinfo(3) blocks, so a thread of its own calls
 * it. */
#ifndef VIGIA_UPLINK_RESOLVE_H
#define VIGIA_UPLINK_RESOLVE_H

#include "vigia/endpoint.h"
#include "vigia/loop.h"

#include <sys/socket.h>

/* Look-ups waiting at once; above it a look-up fails like a name that is not known, and is tried
 * again. */
#define VGI_RESOLVE_MAX 32

struct vgi_address {
    struct sockaddr_storage at;
    socklen_t len; /* 0: the name has no address */
};

struct vgi_resolver;
/* On the loop's thread. */
typedef void vgi_resolved_fn(void *arg, uint64_t ticket, const struct vgi_address *address);

/* Takes one watch of the loop; the thread starts with the first name. */
enum vg_err vgi_resolver_new(struct vg_loop *loop, vgi_resolved_fn *fn, void *arg,
                             struct vgi_resolver **out) VG_NODISCARD;
/* Does not wait for a look-up under way, which may take half a minute: its thread is left alone with
 * it, tells nobody, and frees what it has when the system's resolver comes back. */
void vgi_resolver_free(struct vgi_resolver *r);

/* A numeric address, at once: VG_OK. Anything else: VG_E_NOTFOUND. */
enum vg_err vgi_resolve_numeric(const struct vg_endpoint *e, struct vgi_address *out) VG_NODISCARD;
/* Asks for the `turn`-th address (modulo their number) of a name; fn is told under *ticket, never
 * 0. */
enum vg_err vgi_resolver_ask(struct vgi_resolver *r, const struct vg_endpoint *e, unsigned turn,
                             uint64_t *ticket) VG_NODISCARD;

#endif
