/* AVX-512 F, BW, VL, DQ. */
#include <immintrin.h>
#include <string.h>

#include "engine/kernels/kernels.h"

#define VARIANT avx512
#define LANES 16
#define DENSE_PIXELS 6
#define DENSE_REGISTERS 4

typedef __m512 vec;
#define vec_load(from) _mm512_loadu_ps(from)
#define vec_store(to, a) _mm512_storeu_ps(to, a)
#define vec_set(x) _mm512_set1_ps(x)
#define vec_fma(a, b, c) _mm512_fmadd_ps(a, b, c)

static inline void encode_lanes(const td_encoder *e, const float *drives, uint8_t *times) {
    __m512 drive = _mm512_loadu_ps(drives);
    __m512i bits = _mm512_castps_si512(_mm512_add_ps(drive, _mm512_set1_ps(e->shift)));
    __m512i lowest = _mm512_set1_epi32((int)e->lowest);
    __m512i above = _mm512_sub_epi32(_mm512_max_epi32(bits, lowest), lowest);
    __m512i bucket = _mm512_srl_epi32(above, _mm_cvtsi32_si128(e->dropped));
    bucket = _mm512_min_epu32(bucket, _mm512_set1_epi32((int)e->last));
    __m512 threshold = _mm512_i32gather_ps(bucket, e->thresholds, 4);
    __m512i both = _mm512_i32gather_epi32(bucket, e->times, 4);
    __mmask16 beyond = _mm512_cmp_ps_mask(drive, threshold, _CMP_GT_OQ);
    __mmask16 number = _mm512_cmp_ps_mask(drive, drive, _CMP_ORD_Q); /* what is none fires at 0 */
    __m512i time = _mm512_mask_srli_epi32(both, beyond, both, 8);
    _mm_storeu_si128((__m128i *)times, _mm512_maskz_cvtepi32_epi8(number, time));
}

static inline void decode_lanes(const float *table, const uint8_t *times, float *values) {
    __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)times));
    _mm512_storeu_ps(values, _mm512_i32gather_ps(index, table, 4));
}

static inline size_t list_lanes(const float *values, int count, uint32_t first, uint32_t *places,
                                float *event_values) {
    const __m512i ascending =
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512 value = _mm512_loadu_ps(values);
    __mmask16 mask = _mm512_cmp_ps_mask(value, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    mask &= (__mmask16)((1u << count) - 1);
    __m512i place = _mm512_add_epi32(ascending, _mm512_set1_epi32((int)first));
    _mm512_storeu_ps(event_values, _mm512_maskz_compress_ps(mask, value));
    _mm512_storeu_si512(places, _mm512_maskz_compress_epi32(mask, place));
    return (size_t)__builtin_popcount(mask);
}

#include "engine/kernels/body.h"
