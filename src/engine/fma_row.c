#include "engine/fma_row.h"

#include <math.h>
#include <string.h>

/* The same loop for each instruction set; the compiler vectorises it where there is a fused
 * multiply-add, and calls the C library's exact fmaf elsewhere. */
#define FMA_ROW(name, target)                                                                      \
    target static void name(float *restrict sums, const float *restrict weights, float value,      \
                            size_t count) {                                                        \
        for (size_t i = 0; i < count; i++) {                                                       \
            sums[i] = fmaf(weights[i], value, sums[i]);                                            \
        }                                                                                          \
    }

FMA_ROW(fma_row_plain, )
#if defined(__x86_64__)
FMA_ROW(fma_row_avx2, __attribute__((target("avx2,fma"))))
FMA_ROW(fma_row_avx512, __attribute__((target("avx512f,avx512vl,avx2,fma"))))
#endif

td_fma_row_fn td_fma_row_for(const td_kernels *kernels) {
#if defined(__x86_64__)
    if (strcmp(kernels->name, "avx512") == 0) {
        return fma_row_avx512;
    }
    if (strcmp(kernels->name, "avx2") == 0) {
        return fma_row_avx2;
    }
#endif
    (void)kernels;
    return fma_row_plain;
}
