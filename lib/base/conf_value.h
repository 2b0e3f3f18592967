/* One configuration value: between its text and its field. Shared by the loader and the printers.
 */
#ifndef VGI_CONF_VALUE_H
#define VGI_CONF_VALUE_H

#include "vigia/conf.h"

/* Longest text that vgi_conf_format makes of a number, and of a list of accepted values. */
#define VGI_CONF_TEXT_MAX 160

/* Parses `text` into the item's field of `object`. `folder` is where a relative path starts
 * (absolute, no trailing '/'). The error's text says what was found and what is accepted, without
 * place and key. */
enum vg_err vgi_conf_parse(const struct vg_conf_item *item, const char *text, const char *folder,
                           void *object, struct vg_error *err) VG_NODISCARD;
/* Writes the field as it would be written in a file. `size` of VG_CONF_VALUE_MAX + 1 always
 * suffices. */
void vgi_conf_format(const struct vg_conf_item *item, const void *object, char *out, size_t size);
/* "accepted: …" for errors, help and manual: "1 to 64 readings/s", "true or false", "a, b or c",
 * "text of at most 63 bytes". */
void vgi_conf_accepted(const struct vg_conf_item *item, char *out, size_t size);
/* Room of the field in the object, in bytes. */
size_t vgi_conf_field_size(const struct vg_conf_item *item);

#endif
