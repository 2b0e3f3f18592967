/* Randomness: the kernel's for identities and keys, a seeded generator for everything that a test
 * must repeat. */
#ifndef VIGIA_RANDOM_H
#define VIGIA_RANDOM_H

#include "vigia/err.h"

#include <stdint.h>

/* getrandom(2), whole; VG_E_IO otherwise. */
enum vg_err vg_random_bytes(void *to, size_t len) VG_NODISCARD;

/* xoshiro256** (Blackman, Vigna 2018): not for secrets. */
struct vg_rng {
    uint64_t s[4];
};
void vg_rng_seed(struct vg_rng *r, uint64_t seed);
uint64_t vg_rng_next(struct vg_rng *r);
/* Uniform in [0, n); n > 0. */
uint64_t vg_rng_below(struct vg_rng *r, uint64_t n);
/* Uniform in [0, 1). */
double vg_rng_unit(struct vg_rng *r);

#endif
