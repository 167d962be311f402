/* AArch64 Advanced SIMD. */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "engine/kernels/kernels.h"

#define VARIANT neon
#define LANES 4
#define DENSE_SUMS 24
#define SLIDE_REGISTERS 2
#define COLUMN_SUMS 24
#define GATHER_SUMS 24
#define DENSE_REGISTERS 4

typedef float32x4_t vec;
#define vec_load(from) vld1q_f32(from)
#define vec_store(to, a) vst1q_f32(to, a)
#define vec_set(x) vdupq_n_f32(x)
#define vec_fma(a, b, c) vfmaq_f32(c, a, b)

#include "engine/kernels/lookups.h"
/* the kernels over all of it */
#include "engine/kernels/body.h"
