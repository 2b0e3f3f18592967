/* Spans: bounded copies, strict numbers, hex.
 *
 * A decimal number whose digits fit in 53 bits and whose power of ten is at most 22 is exact in one
 * IEEE 754 operation (Clinger 1990); that covers every reading. The rest goes through strtod in the
 * C locale. */
#include "vigia/span.h"

#include <float.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

/* Longest decimal number accepted, in bytes: 17 significant digits, sign, point and exponent leave
 * it far behind. */
#define NUMBER_MAX 127

bool vg_span_copy(struct vg_span from, char *to, size_t size)
{
    if (from.len >= size) {
        return false;
    }
    if (from.len > 0) {
        memmove(to, from.at, from.len);
    }
    to[from.len] = '\0';
    return true;
}

bool vg_str_copy(const char *from, char *to, size_t size)
{
    return vg_span_copy(vg_span_str(from), to, size);
}

bool vg_span_to_u64(struct vg_span s, unsigned long long *out)
{
    unsigned long long value = 0;
    if (s.len == 0) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') {
            return false;
        }
        unsigned digit = (unsigned)(s.at[i] - '0');
        if (value > (ULLONG_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool vg_span_to_i64(struct vg_span s, long long *out)
{
    bool negative = s.len > 0 && s.at[0] == '-';
    unsigned long long magnitude;
    if (!vg_span_to_u64(negative ? vg_span(s.at + 1, s.len - 1) : s, &magnitude)) {
        return false;
    }
    if (magnitude > (unsigned long long)LLONG_MAX + (negative ? 1u : 0u)) {
        return false;
    }
    /* -(m-1)-1 reaches LLONG_MIN without overflow. */
    *out = !negative ? (long long)magnitude : magnitude == 0 ? 0 : -(long long)(magnitude - 1) - 1;
    return true;
}

struct decimal {
    uint64_t digits; /* meaningful only while `exact` */
    int exponent;    /* of ten */
    bool negative;
    bool exact; /* digits and exponent hold the whole number */
};

static bool is_digit(struct vg_span s, size_t i)
{
    return i < s.len && s.at[i] >= '0' && s.at[i] <= '9';
}

static size_t take_digits(struct vg_span s, size_t i, struct decimal *d)
{
    for (; is_digit(s, i); i++) {
        if (d->digits > (UINT64_MAX - 9) / 10) {
            d->exact = false;
        } else {
            d->digits = d->digits * 10 + (uint64_t)(s.at[i] - '0');
        }
    }
    return i;
}

/* RFC 8259 §6: [ minus ] int [ frac ] [ exp ] */
static bool scan_decimal(struct vg_span s, struct decimal *d)
{
    size_t i = 0;
    *d = (struct decimal){.exact = true};
    if (s.len > 0 && s.at[0] == '-') {
        d->negative = true;
        i = 1;
    }
    if (!is_digit(s, i)) {
        return false;
    }
    if (s.at[i] == '0') {
        i++;
    } else {
        i = take_digits(s, i, d);
    }
    if (i < s.len && s.at[i] == '.') {
        size_t first = i + 1;
        i = take_digits(s, first, d);
        if (i == first) {
            return false;
        }
        d->exponent = -(int)(i - first);
    }
    if (i < s.len && (s.at[i] == 'e' || s.at[i] == 'E')) {
        bool down = i + 1 < s.len && s.at[i + 1] == '-';
        bool sign = down || (i + 1 < s.len && s.at[i + 1] == '+');
        size_t first = i + 1 + (sign ? 1 : 0);
        int exponent = 0;
        for (i = first; is_digit(s, i); i++) {
            exponent = exponent > 9999 ? exponent : exponent * 10 + (s.at[i] - '0');
        }
        if (i == first) {
            return false;
        }
        d->exponent += down ? -exponent : exponent;
    }
    return i == s.len;
}

static locale_t c_locale;
static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static bool slow_double(struct vg_span s, double *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char text[NUMBER_MAX + 1];
    pthread_once(&once, make_c_locale);
    if (!vg_span_copy(s, text, sizeof text)) {
        return false;
    }
    /* Without memory for a locale of its own: a program that never calls setlocale() is in "C", and
     * in another one the text is not read whole. */
    char *end = text;
    double value = c_locale == (locale_t)0 ? strtod(text, &end) : strtod_l(text, &end, c_locale);
    if (*end != '\0' || !isfinite(value)) {
        return false;
    }
    *out = value;
    return true;
}

bool vg_span_to_double(struct vg_span s, double *out)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    struct decimal d;
    if (s.len > NUMBER_MAX || !scan_decimal(s, &d)) {
        return false;
    }
    if (FLT_EVAL_METHOD != 0 || !d.exact || d.digits > (1ULL << DBL_MANT_DIG) || d.exponent < -22 ||
        d.exponent > 22) {
        return slow_double(s, out);
    }
    double value = (double)d.digits;
    value = d.exponent < 0 ? value / powers[-d.exponent] : value * powers[d.exponent];
    *out = d.negative ? -value : value;
    return true;
}

void vg_hex(const void *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = bytes;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * len] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool vg_unhex(struct vg_span hex, void *out, size_t len)
{
    unsigned char *to = out;
    if (hex.len != 2 * len) {
        return false;
    }
    for (size_t i = 0; i < hex.len; i++) {
        if (hex_value(hex.at[i]) < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < len; i++) {
        to[i] = (unsigned char)((unsigned)hex_value(hex.at[2 * i]) << 4 |
                                (unsigned)hex_value(hex.at[2 * i + 1]));
    }
    return true;
}
