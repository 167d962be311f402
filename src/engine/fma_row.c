#include "engine/fma_row.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
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

#if defined(__x86_64__)
/* Whether the environment's TDSNN_CPU permits a level: it lowers what the processor offers. */
static bool permitted(int level) {
    static const char *const names[] = {"scalar", "avx2", "avx512"};
    const char *wanted = getenv("TDSNN_CPU");
    for (int i = 0; wanted != NULL && i < level; i++) {
        if (strcmp(wanted, names[i]) == 0) {
            return false;
        }
    }
    return true;
}
#endif

td_fma_row_fn td_fma_row_best(void) {
#if defined(__x86_64__)
    if (permitted(2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) {
        return fma_row_avx512;
    }
    if (permitted(1) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return fma_row_avx2;
    }
#endif
    return fma_row_plain;
}
