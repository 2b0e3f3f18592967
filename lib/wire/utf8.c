/* Strict UTF-8 (RFC 3629), shared by the JSON and CBOR readers. */
#include "vigia/json.h"

/* How many continuation bytes follow `lead`, and the range of the first of them; -1 when it cannot
 * lead. The narrowed ranges keep out overlong forms, surrogates and everything above U+10FFFF. */
static int continuation(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80) {
        return 0;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        return 1;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        *low = lead == 0xE0 ? 0xA0 : 0x80;
        *high = lead == 0xED ? 0x9F : 0xBF;
        return 2;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *low = lead == 0xF0 ? 0x90 : 0x80;
        *high = lead == 0xF4 ? 0x8F : 0xBF;
        return 3;
    }
    return -1;
}

bool vg_utf8_valid(struct vg_span s)
{
    const unsigned char *at = (const unsigned char *)s.at;
    size_t left = s.len;
    while (left > 0) {
        unsigned char low;
        unsigned char high;
        int more = continuation(*at, &low, &high);
        if (more < 0 || (size_t)more >= left) {
            return false;
        }
        for (int i = 1; i <= more; i++) {
            if (at[i] < low || at[i] > high) {
                return false;
            }
            low = 0x80;
            high = 0xBF;
        }
        at += more + 1;
        left -= (size_t)more + 1;
    }
    return true;
}
