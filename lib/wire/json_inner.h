/* What the decoders of this module need of the JSON reader beyond its public face. */
#ifndef VIGIA_WIRE_JSON_INNER_H
#define VIGIA_WIRE_JSON_INNER_H

#include "vigia/json.h"

/* The next character of a checked string, unescaped, as 1..4 bytes; moves *at (which is before
 * `end`) behind it. */
size_t vgi_json_str_next(const char **at, const char *end, char bytes[4]);

/* Like vg_json_number, but a number too large for a double is INFINITY instead of an error. */
bool vgi_json_number_any(struct vg_json *j, double *out);

/* A value that is not of the type it should have: steps over it and back, so that true says
 * "well-formed, but wrong" with the reader standing at the value, and false that the reader has
 * failed. */
bool vgi_json_other(struct vg_json *j);

#endif
