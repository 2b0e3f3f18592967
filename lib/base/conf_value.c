/* Configuration values: text to field and back.
 *
 * Durations and sizes are written with one unit. Formatting takes the largest unit that divides the
 * value, so what is printed reads back as the same number. */
#include "conf_value.h"
#include "vigia/span.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

/* Bytes of a wrong value that an error shows. */
#define SHOWN_MAX 40

struct unit {
    const char *name;
    int64_t factor;
};

/* Largest first; the end is a NULL name. */
static const struct unit duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                             {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit size_units[] = {
    {"G", 1 << 30}, {"M", 1 << 20}, {"k", 1 << 10}, {"", 1}, {NULL, 0}};

static void *field(const struct vg_conf_item *item, void *object)
{
    return (char *)object + item->offset;
}

size_t vgi_conf_field_size(const struct vg_conf_item *item)
{
    switch (item->type) {
    case VG_CONF_T_BOOL:
        return sizeof(bool);
    case VG_CONF_T_ENUM:
        return sizeof(int);
    case VG_CONF_T_DOUBLE:
        return sizeof(double);
    case VG_CONF_T_STRING:
    case VG_CONF_T_PATH:
        return item->size;
    case VG_CONF_T_INT:
    case VG_CONF_T_DURATION:
    case VG_CONF_T_SIZE:
        break;
    }
    return sizeof(int64_t);
}

/* --- printing --- */

static void format_units(int64_t value, const struct unit *units, char *out, size_t size)
{
    const struct unit *u = units;
    while (u[1].name != NULL && (value == 0 || value % u->factor != 0)) {
        u++;
    }
    snprintf(out, size, "%" PRId64 "%s", value / u->factor, u->name);
}

static void format_integer(enum vg_conf_type type, int64_t value, char *out, size_t size)
{
    if (type == VG_CONF_T_DURATION && value == INT64_MAX) {
        snprintf(out, size, "never");
    } else if (type == VG_CONF_T_DURATION) {
        format_units(value, duration_units, out, size);
    } else if (type == VG_CONF_T_SIZE) {
        format_units(value, size_units, out, size);
    } else {
        snprintf(out, size, "%" PRId64, value);
    }
}

/* The shortest decimal that reads back as the same number. */
static void format_double(double value, char *out, size_t size)
{
    for (int digits = 6; digits <= 17; digits++) {
        double back;
        int len = snprintf(out, size, "%.*g", digits, value);
        if (vg_span_to_double(vg_span(out, (size_t)len), &back) && !(back < value) &&
            !(back > value)) {
            return;
        }
    }
}

/* The `index`th of "a|b|c"; empty when there are fewer. */
static struct vg_span choice(const char *choices, int index)
{
    while (index > 0 && choices != NULL) {
        choices = strchr(choices, '|');
        choices = choices == NULL ? NULL : choices + 1;
        index--;
    }
    return choices == NULL ? VG_SPAN("") : vg_span(choices, strcspn(choices, "|"));
}

void vgi_conf_format(const struct vg_conf_item *item, const void *object, char *out, size_t size)
{
    const void *at = (const char *)object + item->offset;
    switch (item->type) {
    case VG_CONF_T_BOOL:
        snprintf(out, size, "%s", *(const bool *)at ? "true" : "false");
        break;
    case VG_CONF_T_ENUM: {
        struct vg_span name = choice(item->choices, *(const int *)at);
        snprintf(out, size, "%.*s", (int)name.len, name.at);
        break;
    }
    case VG_CONF_T_DOUBLE:
        format_double(*(const double *)at, out, size);
        break;
    case VG_CONF_T_STRING:
    case VG_CONF_T_PATH:
        snprintf(out, size, "%s", (const char *)at);
        break;
    case VG_CONF_T_INT:
    case VG_CONF_T_DURATION:
    case VG_CONF_T_SIZE:
        format_integer(item->type, *(const int64_t *)at, out, size);
        break;
    }
}

static bool has_range(const struct vg_conf_item *item)
{
    return item->type == VG_CONF_T_DOUBLE ? item->dmin < item->dmax
                                          : item->min != 0 || item->max != 0;
}

static void accepted_numbers(const struct vg_conf_item *item, char *out, size_t size)
{
    static const char *const written[] = {
        [VG_CONF_T_INT] = "a whole number",
        [VG_CONF_T_DOUBLE] = "a number",
        [VG_CONF_T_DURATION] = "a duration such as 250ms, 10s, 5m, 2h or 30d",
        [VG_CONF_T_SIZE] = "a size such as 65536, 64k, 16M or 2G",
    };
    char low[VGI_CONF_TEXT_MAX / 4], high[VGI_CONF_TEXT_MAX / 4];
    const char *gap = item->unit == NULL ? "" : " ";
    const char *unit = item->unit == NULL ? "" : item->unit;
    if (!has_range(item)) {
        snprintf(out, size, "%s%s%s", written[item->type], gap, unit);
        return;
    }
    if (item->type == VG_CONF_T_DOUBLE) {
        format_double(item->dmin, low, sizeof low);
        format_double(item->dmax, high, sizeof high);
    } else {
        format_integer(item->type, item->min, low, sizeof low);
        format_integer(item->type, item->max, high, sizeof high);
    }
    if (strcmp(high, "never") == 0) {
        snprintf(out, size, "at least %s, or never", low);
    } else {
        snprintf(out, size, "%s to %s%s%s", low, high, gap, unit);
    }
}

void vgi_conf_accepted(const struct vg_conf_item *item, char *out, size_t size)
{
    switch (item->type) {
    case VG_CONF_T_BOOL:
        snprintf(out, size, "true or false");
        break;
    case VG_CONF_T_ENUM: {
        size_t at = 0;
        out[0] = '\0';
        for (int i = 0; choice(item->choices, i).len > 0 && at < size; i++) {
            struct vg_span name = choice(item->choices, i);
            const char *gap = i == 0 ? "" : choice(item->choices, i + 1).len > 0 ? ", " : " or ";
            int len = snprintf(out + at, size - at, "%s%.*s", gap, (int)name.len, name.at);
            at += (size_t)len;
        }
        break;
    }
    case VG_CONF_T_STRING:
        snprintf(out, size, "text of at most %zu bytes", item->size - 1);
        break;
    case VG_CONF_T_PATH:
        snprintf(out, size, "a path of at most %zu bytes", item->size - 1);
        break;
    case VG_CONF_T_INT:
    case VG_CONF_T_DOUBLE:
    case VG_CONF_T_DURATION:
    case VG_CONF_T_SIZE:
        accepted_numbers(item, out, size);
        break;
    }
}

/* --- parsing --- */

static enum vg_err refuse(const struct vg_conf_item *item, enum vg_err code, const char *text,
                          struct vg_error *err)
{
    char accepted[VGI_CONF_TEXT_MAX], shown[SHOWN_MAX + 1];
    vgi_conf_accepted(item, accepted, sizeof accepted);
    if (item->secret) {
        return vg_fail(err, code, "the value is not accepted, accepted: %s", accepted);
    }
    size_t len = 0;
    for (; len < SHOWN_MAX && text[len] != '\0'; len++) {
        shown[len] = text[len];
        if ((unsigned char)text[len] < ' ' || text[len] == 0x7f) {
            shown[len] = '?';
        }
    }
    shown[len] = '\0';
    return vg_fail(err, code, "'%s'%s, accepted: %s", shown, text[len] == '\0' ? "" : "…",
                   accepted);
}

/* Digits (with a leading '-') and one unit of the list. */
static enum vg_err parse_units(const char *text, const struct unit *units, int64_t *out)
{
    size_t digits = strspn(text, "-0123456789");
    long long value;
    for (const struct unit *u = units; u->name != NULL; u++) {
        if (strcmp(text + digits, u->name) != 0) {
            continue;
        }
        struct vg_span number = vg_span(text, digits);
        if (!vg_span_to_i64(number, &value)) {
            bool all_digits = digits > 0 && strspn(text + 1, "0123456789") == digits - 1 &&
                              (text[0] != '-' || digits > 1);
            return all_digits ? VG_E_RANGE : VG_E_INVALID;
        }
        return __builtin_mul_overflow(value, u->factor, out) ? VG_E_RANGE : VG_OK;
    }
    return VG_E_INVALID;
}

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static enum vg_err parse_integer(const struct vg_conf_item *item, const char *text, int64_t *out)
{
    const struct unit *units = item->type == VG_CONF_T_DURATION ? duration_units
                               : item->type == VG_CONF_T_SIZE   ? size_units
                                                                : no_units;
    int64_t value;
    if (item->type == VG_CONF_T_DURATION && strcmp(text, "never") == 0) {
        value = INT64_MAX;
        if (item->max != INT64_MAX) {
            return VG_E_RANGE;
        }
    } else {
        enum vg_err code = parse_units(text, units, &value);
        if (code != VG_OK) {
            return code;
        }
    }
    if (has_range(item) && (value < item->min || value > item->max)) {
        return VG_E_RANGE;
    }
    *out = value;
    return VG_OK;
}

static enum vg_err parse_double(const struct vg_conf_item *item, const char *text, double *out)
{
    double value;
    if (!vg_span_to_double(vg_span_str(text), &value)) {
        return VG_E_INVALID;
    }
    if (has_range(item) && (value < item->dmin || value > item->dmax)) {
        return VG_E_RANGE;
    }
    *out = value;
    return VG_OK;
}

static enum vg_err parse_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    for (int i = 0; i < 3; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *out = strcasecmp(text, yes[i]) == 0;
            return VG_OK;
        }
    }
    return VG_E_INVALID;
}

static enum vg_err parse_enum(const struct vg_conf_item *item, const char *text, int *out)
{
    for (int i = 0; choice(item->choices, i).len > 0; i++) {
        if (vg_span_eq(choice(item->choices, i), vg_span_str(text))) {
            *out = i;
            return VG_OK;
        }
    }
    return VG_E_INVALID;
}

/* What a file could not say is refused from everywhere, so that a dump always reads back. */
static enum vg_err check_text(const struct vg_conf_item *item, struct vg_span text)
{
    if (text.len == 0) {
        return item->fallback == NULL ? VG_E_INVALID : VG_OK;
    }
    if (text.len > VG_CONF_VALUE_MAX) {
        return VG_E_RANGE;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        bool comment = c == ';' && (i == 0 || text.at[i - 1] == ' ');
        if (c < ' ' || c == 0x7f || comment) {
            return VG_E_INVALID;
        }
    }
    return VG_OK;
}

static enum vg_err parse_text(const struct vg_conf_item *item, const char *text, const char *folder,
                              char *out)
{
    text += strspn(text, " \t");
    struct vg_span s = vg_span_str(text);
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t')) {
        s.len--;
    }
    enum vg_err code = check_text(item, s);
    if (code != VG_OK) {
        return code;
    }
    if (item->type == VG_CONF_T_PATH && s.len > 0 && s.at[0] != '/') {
        size_t len = strlen(folder);
        if (len + 1 + s.len >= item->size || len + 1 + s.len > VG_CONF_VALUE_MAX) {
            return VG_E_RANGE;
        }
        memcpy(out, folder, len);
        out[len] = '/';
        out += len + 1;
        memcpy(out, s.at, s.len);
        out[s.len] = '\0';
        return VG_OK;
    }
    return vg_span_copy(s, out, item->size) ? VG_OK : VG_E_RANGE;
}

enum vg_err vgi_conf_parse(const struct vg_conf_item *item, const char *text, const char *folder,
                           void *object, struct vg_error *err)
{
    enum vg_err code = VG_E_INVALID;
    void *at = field(item, object);
    switch (item->type) {
    case VG_CONF_T_BOOL:
        code = parse_bool(text, at);
        break;
    case VG_CONF_T_ENUM:
        code = parse_enum(item, text, at);
        break;
    case VG_CONF_T_DOUBLE:
        code = parse_double(item, text, at);
        break;
    case VG_CONF_T_STRING:
    case VG_CONF_T_PATH:
        code = parse_text(item, text, folder, at);
        break;
    case VG_CONF_T_INT:
    case VG_CONF_T_DURATION:
    case VG_CONF_T_SIZE:
        code = parse_integer(item, text, at);
        break;
    }
    return code == VG_OK ? VG_OK : refuse(item, code, text, err);
}

/* Without a range of its own; a table's item may go below nothing where its range says so. */
static enum vg_err parse_some(const struct vg_conf_item *item, const char *text, int64_t *value,
                              struct vg_error *err)
{
    const enum vg_err rc = vgi_conf_parse(item, text, "", value, err);
    return rc == VG_OK && *value < 0
               ? vg_fail(err, VG_E_RANGE, "'%.40s', accepted: at least 0", text)
               : rc;
}

enum vg_err vg_conf_parse_duration(const char *text, int64_t *ms, struct vg_error *err)
{
    static const struct vg_conf_item item = {.type = VG_CONF_T_DURATION};
    return parse_some(&item, text, ms, err);
}

enum vg_err vg_conf_parse_size(const char *text, int64_t *bytes, struct vg_error *err)
{
    static const struct vg_conf_item item = {.type = VG_CONF_T_SIZE};
    return parse_some(&item, text, bytes, err);
}
