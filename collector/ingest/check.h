/* What a request deserves: a pure function of the request, the device of its session and the time.
 *
 *   identity ─► format, size ─► decode ─► store, lane, seq ─► every sensor this device's? ─►
 * verdict
 *
 * Every refusal is decided here; what is left can only fail because of the log. */
#ifndef VGI_INGEST_CHECK_H
#define VGI_INGEST_CHECK_H

#include "vigia/devices.h"
#include "vigia/registry.h"
#include "vigia/senml.h"

enum vgi_resource { VGI_READINGS, VGI_OK };

struct vgi_request {
    enum vgi_resource resource;
    const struct vg_device *device; /* of the session; NULL: none, or not known any more */
    bool has_format;
    unsigned format; /* the Content-Format option, where there is one */
    bool blockwise;  /* a Block1 option that asks for more than one block */
    struct vg_span body;
    const struct vg_span *queries;
    size_t query_count;
    struct vg_wall now;
    size_t max_batch;
};

struct vgi_verdict {
    enum vg_coap code;  /* VG_COAP_CHANGED: store the batch, then answer 2.04 */
    const char *reason; /* stable word for log lines and the `rejected` topic; "" when accepted */
    struct vg_identity identity;
    bool urgent;     /* of an accepted one: OKs, lane u, and active readings without a lane */
    size_t list_len; /* of the refusal list; 0: the answer has no body */
    char list[VG_REFUSALS_BYTES_MAX];
};

/* Fills *verdict, and *batch with complete readings (device, identity, times) when the code is
 * VG_COAP_CHANGED. */
void vgi_check(const struct vgi_request *request, struct vg_batch *batch,
               struct vgi_verdict *verdict);

#endif
