/* Randomness from the kernel, and xoshiro256** seeded through splitmix64 (both by Blackman and
 * Vigna, public domain). */
#include "vigia/random.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>

enum vg_err vg_random_bytes(void *to, size_t len)
{
    unsigned char *at = to;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return VG_E_IO;
        }
        at += got;
        len -= (size_t)got;
    }
    return VG_OK;
}

static uint64_t splitmix64(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void vg_rng_seed(struct vg_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        r->s[i] = splitmix64(&seed);
    }
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t vg_rng_next(struct vg_rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t vg_rng_below(struct vg_rng *r, uint64_t n)
{
    assert(n > 0);
    /* Values under `reject` would make the low results more likely: 2^64 mod n of them. */
    uint64_t reject = (0 - n) % n;
    uint64_t value;
    do {
        value = vg_rng_next(r);
    } while (value < reject);
    return value % n;
}

double vg_rng_unit(struct vg_rng *r)
{
    return (double)(vg_rng_next(r) >> 11) * 0x1p-53;
}
