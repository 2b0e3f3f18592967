/* What the files of the JSON reader share: json_read.c, json_string.c, json_number.c. */
#ifndef VIGIA_WIRE_JSON_SCAN_H
#define VIGIA_WIRE_JSON_SCAN_H

#include "vigia/json.h"

/* Refuses when the next value is not of `type`: the wrong type, or no value at all. */
bool vgi_json_expect(struct vg_json *j, enum vg_json_type type);

/* The length of the escape at `at` (which is a backslash), or 0 when it is none. */
size_t vgi_json_escape_len(const char *at, const char *end);

#endif
