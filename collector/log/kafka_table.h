/* The last value of each (partition, key), gathered from a changelog while it is read; grows with
 * the state that it holds. */
#ifndef VG_LOG_KAFKA_TABLE_H
#define VG_LOG_KAFKA_TABLE_H

#include "vigia/err.h"
#include "vigia/span.h"

#include <stdint.h>

struct vgi_kafka_table;

/* NULL: no memory. */
struct vgi_kafka_table *vgi_kafka_table_new(void);
void vgi_kafka_table_free(struct vgi_kafka_table *t); /* NULL is allowed */
/* Copies. value.at == NULL removes the key. VG_E_NOMEM. */
enum vg_err vgi_kafka_table_set(struct vgi_kafka_table *t, int32_t partition, struct vg_span key,
                                struct vg_span value) VG_NODISCARD;
/* Every key that has a value, in no order. */
void vgi_kafka_table_each(const struct vgi_kafka_table *t,
                          void (*fn)(void *arg, int32_t partition, struct vg_span key,
                                     struct vg_span value),
                          void *arg);

#endif
