/* The numbers of the JSON reader: scanned once by the grammar and taken apart on the way, so that
 * hardly one is parsed a second time. */
#include "json_inner.h"
#include "json_scan.h"

#include <math.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A number of the JSON grammar, taken apart while it is scanned. */
struct scanned {
    struct vg_span text;
    uint64_t whole; /* the digits before the point; wrapped when there are more than 19 */
    size_t whole_digits;
    bool negative;
    bool integer; /* neither fraction nor exponent */
};

static void scan_whole(struct vg_json *j, struct scanned *n)
{
    const char *at = j->at;
    uint64_t whole = 0;
    for (; at < j->end && is_digit(*at); at++) {
        whole = whole * 10 + (uint64_t)(*at - '0');
    }
    n->whole = whole;
    n->whole_digits = (size_t)(at - j->at);
    j->at = at;
}

/* At least one digit, stepped over. */
static bool skip_digits(struct vg_json *j)
{
    const char *at = j->at;
    while (at < j->end && is_digit(*at)) {
        at++;
    }
    bool some = at > j->at;
    j->at = at;
    return some;
}

static bool scan_number(struct vg_json *j, struct scanned *n)
{
    if (!vgi_json_expect(j, VG_JSON_NUMBER)) {
        return false;
    }
    *n = (struct scanned){.integer = true};
    const char *from = j->at;
    if (*j->at == '-') {
        n->negative = true;
        j->at++;
    }
    if (j->at < j->end && *j->at == '0') {
        j->at++;
    } else {
        scan_whole(j, n);
        if (n->whole_digits == 0) {
            return vg_json_fail(j, VG_JSON_SYNTAX);
        }
    }
    if (j->at < j->end && *j->at == '.') {
        j->at++;
        n->integer = false;
        if (!skip_digits(j)) {
            return vg_json_fail(j, VG_JSON_SYNTAX);
        }
    }
    if (j->at < j->end && (*j->at == 'e' || *j->at == 'E')) {
        j->at++;
        n->integer = false;
        if (j->at < j->end && (*j->at == '+' || *j->at == '-')) {
            j->at++;
        }
        if (!skip_digits(j)) {
            return vg_json_fail(j, VG_JSON_SYNTAX);
        }
    }
    n->text = vg_span(from, (size_t)(j->at - from));
    return true;
}

bool vgi_json_number_any(struct vg_json *j, double *out)
{
    struct scanned n;
    if (!scan_number(j, &n)) {
        return false;
    }
    double value;
    if (n.integer && n.whole_digits <= 19 && n.whole <= 1ULL << 53) {
        value = n.negative ? -(double)n.whole : (double)n.whole;
    } else if (!vg_span_to_double(n.text, &value)) {
        value = INFINITY;
    }
    *out = value;
    return true;
}

bool vg_json_number(struct vg_json *j, double *out)
{
    double value;
    if (!vgi_json_number_any(j, &value)) {
        return false;
    }
    if (!isfinite(value)) {
        return vg_json_fail(j, VG_JSON_RANGE);
    }
    *out = value;
    return true;
}

bool vg_json_i64(struct vg_json *j, int64_t *out)
{
    struct scanned n;
    if (!scan_number(j, &n)) {
        return false;
    }
    if (!n.integer) {
        j->at = n.text.at;
        return vg_json_fail(j, VG_JSON_TYPE);
    }
    /* 19 digits are below 10^19, so `whole` has not wrapped. */
    uint64_t most = (uint64_t)INT64_MAX + (n.negative ? 1 : 0);
    if (n.whole_digits > 19 || n.whole > most) {
        j->at = n.text.at;
        return vg_json_fail(j, VG_JSON_RANGE);
    }
    *out = n.negative ? (int64_t)(0 - n.whole) : (int64_t)n.whole;
    return true;
}

bool vg_json_u64(struct vg_json *j, uint64_t *out)
{
    struct scanned n;
    if (!scan_number(j, &n)) {
        return false;
    }
    unsigned long long value = n.whole;
    bool fits = !n.negative && (n.whole_digits <= 19 || vg_span_to_u64(n.text, &value));
    if (!n.integer || !fits) {
        j->at = n.text.at;
        return vg_json_fail(j, n.integer ? VG_JSON_RANGE : VG_JSON_TYPE);
    }
    *out = value;
    return true;
}
