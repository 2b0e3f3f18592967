/* The newest value of each (partition, key), gathered from a changelog while it is read; grows with
 * the state that it holds. */
#ifndef VG_LOG_NEWEST_H
#define VG_LOG_NEWEST_H

#include "vigia/err.h"
#include "vigia/span.h"

#include <stdint.h>

struct vgi_newest;

/* NULL: no memory. */
struct vgi_newest *vgi_newest_new(void);
void vgi_newest_free(struct vgi_newest *t); /* NULL is allowed */
/* Copies. value.at == NULL removes the key. VG_E_NOMEM. */
enum vg_err vgi_newest_set(struct vgi_newest *t, int32_t partition, struct vg_span key,
                           struct vg_span value) VG_NODISCARD;
/* Bytes of what was set: keys, values, and what the table adds to each; a removed key's too. */
size_t vgi_newest_bytes(const struct vgi_newest *t);
/* Every key that has a value, in no order. */
void vgi_newest_each(const struct vgi_newest *t,
                     void (*fn)(void *arg, int32_t partition, struct vg_span key,
                                struct vg_span value),
                     void *arg);
/* The same in the order of the keys. VG_E_NOMEM: none was told. */
enum vg_err vgi_newest_each_in_order(const struct vgi_newest *t,
                                     void (*fn)(void *arg, int32_t partition, struct vg_span key,
                                                struct vg_span value),
                                     void *arg) VG_NODISCARD;

#endif
