/* AVX2, FMA and BMI2. */
#include <immintrin.h>
#include <string.h>

#include "engine/kernels/kernels.h"

#define VARIANT avx2
#define LANES 8
#define DENSE_PIXELS 6
#define DENSE_REGISTERS 2

typedef __m256 vec;
#define vec_load(from) _mm256_loadu_ps(from)
#define vec_store(to, a) _mm256_storeu_ps(to, a)
#define vec_set(x) _mm256_set1_ps(x)
#define vec_fma(a, b, c) _mm256_fmadd_ps(a, b, c)

static inline void encode_lanes(const td_encoder *e, const float *drives, uint8_t *times) {
    __m256 drive = _mm256_loadu_ps(drives);
    __m256i bits = _mm256_castps_si256(_mm256_add_ps(drive, _mm256_set1_ps(e->shift)));
    __m256i lowest = _mm256_set1_epi32((int)e->lowest);
    __m256i above = _mm256_sub_epi32(_mm256_max_epi32(bits, lowest), lowest);
    __m256i bucket = _mm256_srl_epi32(above, _mm_cvtsi32_si128(e->dropped));
    bucket = _mm256_min_epu32(bucket, _mm256_set1_epi32((int)e->last));
    __m256 threshold = _mm256_i32gather_ps(e->thresholds, bucket, 4);
    __m256i both = _mm256_i32gather_epi32((const int *)e->times, bucket, 4);
    __m256i beyond = _mm256_castps_si256(_mm256_cmp_ps(drive, threshold, _CMP_GT_OQ));
    __m256i time = _mm256_blendv_epi8(both, _mm256_srli_epi32(both, 8), beyond);
    __m256 number = _mm256_cmp_ps(drive, drive, _CMP_ORD_Q); /* what is none fires at 0 */
    time = _mm256_and_si256(time,
                            _mm256_and_si256(_mm256_castps_si256(number), _mm256_set1_epi32(255)));
    __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(time), _mm256_extracti128_si256(time, 1));
    _mm_storel_epi64((__m128i *)times, _mm_packus_epi16(words, words));
}

static inline void decode_lanes(const float *table, const uint8_t *times, float *values) {
    __m256i index = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)times));
    _mm256_storeu_ps(values, _mm256_i32gather_ps(table, index, 4));
}

/* The positions of the bits of a mask, one a byte: what moves chosen lanes to the front. */
static inline __m256i chosen_lanes(unsigned mask) {
    uint64_t spread = _pdep_u64(mask, 0x0101010101010101u) * 255; /* a byte a bit */
    return _mm256_cvtepu8_epi32(
        _mm_cvtsi64_si128((long long)_pext_u64(0x0706050403020100u, spread)));
}

static inline size_t list_lanes(const float *values, int count, uint32_t first, uint32_t *places,
                                float *event_values) {
    __m256 value = _mm256_loadu_ps(values);
    __m256 is_event = _mm256_cmp_ps(value, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    unsigned mask = (unsigned)_mm256_movemask_ps(is_event) & ((1u << count) - 1);
    __m256i lanes = chosen_lanes(mask);
    _mm256_storeu_ps(event_values, _mm256_permutevar8x32_ps(value, lanes));
    _mm256_storeu_si256((__m256i *)places, _mm256_add_epi32(lanes, _mm256_set1_epi32((int)first)));
    return (size_t)__builtin_popcount(mask);
}

#include "engine/kernels/body.h"
