/* Provisioning: one small INI file with the device's name, collectors and key, as `vigia device
 * add` writes it. */
#ifndef VIGIA_EDGE_PROVISION_H
#define VIGIA_EDGE_PROVISION_H

#include "conf.h"

/* Fills in what the configuration leaves out. A new boot file wins over the one that is in place.
 */
enum vg_err vgi_provision_read(struct vgi_edge_conf *conf, struct vg_error *err) VG_NODISCARD;

/* Moves a new boot file to its place, mode 0600, and wipes the key where it lay. */
enum vg_err vgi_provision_take(const struct vgi_edge_conf *conf, struct vg_error *err) VG_NODISCARD;

#endif
