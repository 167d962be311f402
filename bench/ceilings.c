/* What one core of this machine can do at most: multiply-adds a second, vector loads a second from
 * the first-level cache, and read bandwidth at growing sizes. docs/performance.md compares the
 * kernels with it. */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define ROUNDS 50
#define CHAINS 12

static volatile float sink;

/* The best of some rounds: operations a second, in units of 10^9. */
#define BEST(rate, operations, body)                                                               \
    for (int round = 0; round < ROUNDS; round++) {                                                 \
        double start = td_now();                                                                   \
        body;                                                                                      \
        double now = (operations) / (td_now() - start) / 1e9;                                      \
        (rate) = now > (rate) ? now : (rate);                                                      \
    }

/* Independent chains of fused multiply-adds in registers; loads from 16 kB; reads of `bytes`. */
#define CEILINGS(name, attributes, vec, lanes, set, fma, load, add, first)                         \
    attributes static float name##_fma(long count) {                                               \
        vec sum[CHAINS], x = set(1.0f), y = set(1e-9f);                                            \
        for (int i = 0; i < CHAINS; i++) {                                                         \
            sum[i] = set((float)i);                                                                \
        }                                                                                          \
        for (long k = 0; k < count; k++) {                                                         \
            for (int i = 0; i < CHAINS; i++) {                                                     \
                sum[i] = fma(sum[i], x, y);                                                        \
            }                                                                                      \
            __asm__ volatile("" : "+x"(x)); /* one round after the other */                        \
        }                                                                                          \
        float total = 0.0f;                                                                        \
        for (int i = 0; i < CHAINS; i++) {                                                         \
            total += first(sum[i]);                                                                \
        }                                                                                          \
        return total;                                                                              \
    }                                                                                              \
    attributes static float name##_read(const float *data, size_t floats, long passes) {           \
        vec sum[8];                                                                                \
        for (int i = 0; i < 8; i++) {                                                              \
            sum[i] = set(0.0f);                                                                    \
        }                                                                                          \
        for (long p = 0; p < passes; p++) {                                                        \
            for (size_t k = 0; k + 8 * (lanes) <= floats; k += 8 * (lanes)) {                      \
                for (int i = 0; i < 8; i++) {                                                      \
                    sum[i] = add(sum[i], load(data + k + (size_t)i * (lanes)));                    \
                }                                                                                  \
            }                                                                                      \
            __asm__ volatile("" ::: "memory");                                                     \
        }                                                                                          \
        float total = 0.0f;                                                                        \
        for (int i = 0; i < 8; i++) {                                                              \
            total += first(sum[i]);                                                                \
        }                                                                                          \
        return total;                                                                              \
    }                                                                                              \
    static void name##_print(const float *data) {                                                  \
        static const size_t sizes[] = {16 << 10, 256 << 10, 4 << 20, 64 << 20};                    \
        double macs = 0.0;                                                                         \
        long count = 500000;                                                                       \
        BEST(macs, (double)count *CHAINS *(lanes), sink = name##_fma(count))                       \
        printf("%-8s %6.1f G multiply-adds a second;", #name, macs);                               \
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {                                \
            double bytes = 0.0;                                                                    \
            long passes = (long)((256 << 20) / sizes[i]);                                          \
            BEST(bytes, (double)passes *(double)sizes[i],                                          \
                 sink = name##_read(data, sizes[i] / sizeof(float), passes))                       \
            printf(" %zu kB: %.0f GB/s%s", sizes[i] >> 10, bytes, i == 3 ? "\n" : ",");            \
        }                                                                                          \
    }

CEILINGS(avx2, __attribute__((target("avx2,fma"))), __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps,
         _mm256_loadu_ps, _mm256_add_ps, _mm256_cvtss_f32)
CEILINGS(avx512, __attribute__((target("avx512f"))), __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps,
         _mm512_loadu_ps, _mm512_add_ps, _mm512_cvtss_f32)

int main(void) {
    size_t bytes = 64 << 20;
    float *data = aligned_alloc(64, bytes);
    if (data == NULL) {
        fprintf(stderr, "ceilings: no memory for %zu bytes\n", bytes);
        return 1;
    }
    memset(data, 0, bytes);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        avx2_print(data);
    }
    if (__builtin_cpu_supports("avx512f")) {
        avx512_print(data);
    }
    free(data);
    return 0;
}
