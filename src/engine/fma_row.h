/* The one inner loop of the reference engine. */
#ifndef TD_ENGINE_FMA_ROW_H
#define TD_ENGINE_FMA_ROW_H

#include <stddef.h>

/* sums[i] = fma(weights[i], value, sums[i]) for i in 0 .. count-1: one event reaches `count`
 * neurons. Exact: each fused multiply-add rounds once, so every variant gives the same bits. */
typedef void (*td_fma_row_fn)(float *restrict sums, const float *restrict weights, float value,
                              size_t count);

/* The widest variant that this processor runs; the environment's TDSNN_CPU (scalar, avx2, avx512)
 * lowers it. */
td_fma_row_fn td_fma_row_best(void);

#endif
