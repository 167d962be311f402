/* AVX-512 F, BW, VL, DQ. */
#include <immintrin.h>
#include <stdbool.h>

#include "engine/kernels/kernels.h"

#define VARIANT avx512
#define LANES 16
#define DENSE_SUMS 24
#define DENSE_REGISTERS 4

typedef __m512 vec;
#define vec_load(from) _mm512_loadu_ps(from)
#define vec_store(to, a) _mm512_storeu_ps(to, a)
#define vec_set(x) _mm512_set1_ps(x)
#define vec_fma(a, b, c) _mm512_fmadd_ps(a, b, c)

/* The upper levels of a search tree in registers, nodes 1 .. 127; what is below is gathered. */
typedef struct search {
    const td_tree *tree;
    __m512 nodes[8];
} search;

static inline search search_start(const td_tree *tree) {
    search s = {.tree = tree};
    for (int i = 0; i < 8; i++) {
        s.nodes[i] = _mm512_loadu_ps(tree->nodes + 16 * i);
    }
    return s;
}

/* Lanes of 64 numbers in four registers: a permutation of two of them takes the lowest five bits.
 */
static inline __m512 look_up_64(const __m512 *numbers, __m512i index) {
    __mmask16 high = _mm512_test_epi32_mask(index, _mm512_set1_epi32(32));
    return _mm512_mask_mov_ps(_mm512_permutex2var_ps(numbers[0], index, numbers[1]), high,
                              _mm512_permutex2var_ps(numbers[2], index, numbers[3]));
}

/* The thresholds of nodes that are all on one level. */
static inline __m512 thresholds_at(const search *s, __m512i node, int level) {
    switch (level) {
    case 0:
    case 1:
    case 2:
    case 3:
        return _mm512_permutexvar_ps(node, s->nodes[0]);
    case 4:
        return _mm512_permutexvar_ps(node, s->nodes[1]);
    case 5:
        return _mm512_permutex2var_ps(s->nodes[2], node, s->nodes[3]);
    case 6:
        return look_up_64(s->nodes + 4, node);
    default:
        return _mm512_i32gather_ps(node, s->tree->nodes, 4);
    }
}

static inline void encode_lanes(const search *s, const int levels, const float *drives,
                                uint8_t *times) {
    const __m512i one = _mm512_set1_epi32(1);
    __m512 drive = _mm512_loadu_ps(drives);
    __m512i node = one;
#pragma GCC unroll 8
    for (int level = 0; level < levels; level++) {
        __mmask16 above = _mm512_cmp_ps_mask(drive, thresholds_at(s, node, level), _CMP_GT_OQ);
        node = _mm512_add_epi32(node, node);
        node = _mm512_mask_or_epi32(node, above, node, one);
    }
    __m512i time = _mm512_sub_epi32(node, _mm512_set1_epi32(1 << levels));
    _mm_storeu_si128((__m128i *)times, _mm512_cvtepi32_epi8(time));
}

/* Tables of up to 64 values in registers. */
typedef struct lookup {
    const float *table;
    bool small;
    __m512 values[4];
} lookup;

static inline lookup lookup_start(const float *table, int steps) {
    lookup l = {.table = table, .small = steps < 64};
    for (int i = 0; i < 4; i++) {
        l.values[i] = _mm512_loadu_ps(table + 16 * i);
    }
    return l;
}

static inline void decode_lanes(const lookup *l, const uint8_t *times, float *values) {
    __m512i time = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)times));
    _mm512_storeu_ps(values, l->small ? look_up_64(l->values, time)
                                      : _mm512_i32gather_ps(time, l->table, 4));
}

static inline size_t list_lanes(const uint8_t *times, const uint8_t *negative, int count,
                                uint32_t first, uint32_t *events) {
    const __m512i places = _mm512_slli_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), 16);
    __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)times));
    if (negative != NULL) {
        __m512i second = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)negative));
        __mmask16 fires = _mm512_test_epi32_mask(second, second);
        index = _mm512_mask_add_epi32(index, fires, second, _mm512_set1_epi32(TD_NEGATIVE));
    }
    __mmask16 mask = _mm512_test_epi32_mask(index, index) & (__mmask16)((1u << count) - 1);
    __m512i event =
        _mm512_add_epi32(_mm512_add_epi32(index, places), _mm512_set1_epi32((int)first));
    _mm512_storeu_si512(events, _mm512_maskz_compress_epi32(mask, event));
    return (size_t)__builtin_popcount(mask);
}

#include "engine/kernels/body.h"
