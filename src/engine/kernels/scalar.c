/* Plain C: what every processor runs, and what the others are compared with. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "engine/kernels/kernels.h"

#define VARIANT scalar
#define LANES 4
#define DENSE_SUMS 12
#define SLIDE_REGISTERS 1
#define COLUMN_SUMS 12
#define GATHER_SUMS 8
#define DENSE_REGISTERS 3

typedef struct vec {
    float lane[LANES];
} vec;

static inline vec vec_load(const float *from) {
    vec a;
    memcpy(a.lane, from, sizeof a.lane);
    return a;
}

static inline void vec_store(float *to, vec a) {
    memcpy(to, a.lane, sizeof a.lane);
}

static inline vec vec_set(float x) {
    return (vec){{x, x, x, x}};
}

static inline vec vec_fma(vec a, vec b, vec c) {
    for (int i = 0; i < LANES; i++) {
        c.lane[i] = fmaf(a.lane[i], b.lane[i], c.lane[i]);
    }
    return c;
}

#include "engine/kernels/lookups.h"
/* the kernels over all of it */
#include "engine/kernels/body.h"
