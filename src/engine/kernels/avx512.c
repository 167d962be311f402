/* AVX-512 F, BW, VL, DQ. */
#include <immintrin.h>
#include <stdbool.h>

#include "engine/kernels/kernels.h"

#define VARIANT avx512
#define LANES 16
#define DENSE_SUMS 24
#define SLIDE_REGISTERS 2
#define COLUMN_SUMS 24
#define GATHER_SUMS 16
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

/* A curve in registers. */
#define CURVE_LEVELS 5 /* fewer are searched as quickly */
typedef struct curve {
    __m512 unit, low, high, silent, terms[4];
    __m512i doubt, shift; /* a shift by a register's lowest lane would take two operations */
} curve;

static inline curve curve_start(const td_curve *from) {
    curve c = {.unit = _mm512_set1_ps(from->unit),
               .low = _mm512_set1_ps(from->low),
               .high = _mm512_set1_ps(from->high),
               .silent = _mm512_set1_ps(from->silent),
               .doubt = _mm512_set1_epi32((int)from->doubt),
               .shift = _mm512_set1_epi32(from->shift)};
    for (int i = 0; i < 4; i++) {
        c.terms[i] = _mm512_loadu_ps(from->terms[i]);
    }
    return c;
}

/* The curve's spike times as the third bytes of the lanes, and below them the fractions. */
static inline __m512i curve_at(const curve *c, const float *drives, const bool silenced) {
    __m512 drive = _mm512_loadu_ps(drives);
    __m512 y = _mm512_fmadd_ps(drive, c->unit, _mm512_set1_ps(1.0f));
    if (silenced) {
        y = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(drive, c->silent, _CMP_GT_OQ), y);
    }
    y = _mm512_min_ps(_mm512_max_ps(y, c->low), c->high); /* NaN becomes `low` */
    __m512i span = _mm512_srlv_epi32(_mm512_castps_si512(y), c->shift);
    __m512 h = _mm512_permutexvar_ps(span, c->terms[3]);
    for (int i = 2; i >= 0; i--) {
        h = _mm512_fmadd_ps(h, y, _mm512_permutexvar_ps(span, c->terms[i]));
    }
    return _mm512_castps_si512(h);
}

/* LANES x n spike times; false if some are in doubt. */
static inline bool curve_lanes(const curve *c, const float *drives, const int n,
                               const bool silenced, uint8_t *times) {
    __m512i least = _mm512_set1_epi32(-1);
    __m512i bytes = _mm512_setzero_si512();
    for (int i = 0; i < n; i++) {
        const __m512i third = _mm512_broadcast_i32x4(
            _mm_setr_epi32(i == 0 ? 0x0e0a0602 : -1, i == 1 ? 0x0e0a0602 : -1,
                           i == 2 ? 0x0e0a0602 : -1, i == 3 ? 0x0e0a0602 : -1));
        __m512i q = curve_at(c, drives + i * LANES, silenced);
        least = _mm512_min_epu16(least, q);
        bytes = _mm512_or_si512(bytes, _mm512_shuffle_epi8(q, third));
    }
    bytes = _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
    if (n == 4) {
        _mm512_storeu_si512(times, bytes);
    } else if (n == 2) {
        _mm256_storeu_si256((__m256i *)times, _mm512_castsi512_si256(bytes));
    } else {
        _mm_storeu_si128((__m128i *)times, _mm512_castsi512_si128(bytes));
    }
    __m512i near = _mm512_subs_epu16(c->doubt, least);
    return _mm512_test_epi32_mask(near, near) == 0;
}

/* Tables of up to 64 values in registers. */
#define DECODE_REGISTERS 1
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

typedef __m512i places;

static inline places places_from(uint32_t event) {
    __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_add_epi32(_mm512_set1_epi32((int)event), _mm512_slli_epi32(lanes, 16));
}

static inline places places_next(places at) {
    return _mm512_add_epi32(at, _mm512_set1_epi32(LANES << 16));
}

static inline size_t list_lanes(const uint8_t *times, const uint8_t *negative, int count, places at,
                                uint32_t *events) {
    __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)times));
    if (negative != NULL) {
        __m512i second = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)negative));
        __mmask16 fires = _mm512_test_epi32_mask(second, second);
        index = _mm512_mask_add_epi32(index, fires, second, _mm512_set1_epi32(TD_NEGATIVE));
    }
    __mmask16 mask = _mm512_test_epi32_mask(index, index) & (__mmask16)((1u << count) - 1);
    __m512i event = _mm512_add_epi32(index, at);
    _mm512_storeu_si512(events, _mm512_maskz_compress_epi32(mask, event));
    return (size_t)__builtin_popcount(mask);
}

#include "engine/kernels/body.h"
