/* The one inner loop of the reference engine, and of the event engine's averages. */
#ifndef TD_ENGINE_FMA_ROW_H
#define TD_ENGINE_FMA_ROW_H

#include <stddef.h>

#include "engine/kernels/kernels.h"

/* sums[i] = fma(weights[i], value, sums[i]) for i in 0 .. count-1: one event reaches `count`
 * neurons. Exact: each fused multiply-add rounds once, so every variant gives the same bits. */
typedef void (*td_fma_row_fn)(float *restrict sums, const float *restrict weights, float value,
                              size_t count);

/* The variant for the instruction set of these kernels. */
td_fma_row_fn td_fma_row_for(const td_kernels *kernels);

#endif
