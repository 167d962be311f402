/* Seeded random numbers, the same on every machine: xoshiro256** seeded by splitmix64. */
#ifndef TD_BASE_RANDOM_H
#define TD_BASE_RANDOM_H

#include <stdint.h>

typedef struct td_random {
    uint64_t state[4];
} td_random;

/* Streams with different (seed, stream) pairs are independent. */
void td_random_seed(td_random *r, uint64_t seed, uint64_t stream);
uint64_t td_random_u64(td_random *r);
/* Uniform in 0..bound-1 without bias; bound > 0. */
uint64_t td_random_below(td_random *r, uint64_t bound);
/* Uniform in [0, 1), 53 bits. */
double td_random_uniform(td_random *r);
/* Standard normal (Box-Muller). */
double td_random_normal(td_random *r);

#endif
