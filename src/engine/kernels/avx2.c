/* AVX2, FMA and BMI2. */
#include <immintrin.h>
#include <stdbool.h>

#include "engine/kernels/kernels.h"

#define VARIANT avx2
#define LANES 8
#define DENSE_SUMS 12
#define DENSE_REGISTERS 3

typedef __m256 vec;
#define vec_load(from) _mm256_loadu_ps(from)
#define vec_store(to, a) _mm256_storeu_ps(to, a)
#define vec_set(x) _mm256_set1_ps(x)
#define vec_fma(a, b, c) _mm256_fmadd_ps(a, b, c)

/* The lanes of `high` where bit `bit` of the index is set, else those of `low`. */
static inline __m256 choose(__m256 low, __m256 high, __m256i index, int bit) {
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 31 - bit)));
}

/* Lanes of 16 numbers in two registers: a permutation takes the lowest three bits. */
static inline __m256 look_up_16(const __m256 *numbers, __m256i index) {
    return choose(_mm256_permutevar8x32_ps(numbers[0], index),
                  _mm256_permutevar8x32_ps(numbers[1], index), index, 3);
}

static inline __m256 look_up_32(const __m256 *numbers, __m256i index) {
    return choose(look_up_16(numbers, index), look_up_16(numbers + 2, index), index, 4);
}

/* The search tree as vectors: nodes 1 .. 7 in all lanes, of those below what each octant has. */
typedef struct search {
    const td_tree *tree;
    __m256 top[8], octants[7];
} search;

static inline search search_start(const td_tree *tree) {
    search s = {.tree = tree};
    for (int i = 1; i < 8; i++) {
        s.top[i] = _mm256_set1_ps(tree->nodes[i]);
    }
    for (int i = 0; i < 7; i++) {
        s.octants[i] = _mm256_loadu_ps(tree->octants[i]);
    }
    return s;
}

/* One step down: the time so far, 2 times or 2 times + 1. */
static inline __m256i go_on(__m256i time, __m256 above) {
    return _mm256_sub_epi32(_mm256_add_epi32(time, time), _mm256_castps_si256(above));
}

static inline __m256 is_above(__m256 drive, __m256 threshold) {
    return _mm256_cmp_ps(drive, threshold, _CMP_GT_OQ);
}

/* The thresholds of the octant's nodes are looked up before it is known which of them will be
 * needed; the compares before choose among them. So the chain of dependent steps is short. */
static inline __m256i search_octant(const search *s, const int levels, __m256 drive,
                                    __m256i octant) {
    __m256 nodes[7];
    for (int i = 0; i < 7; i++) {
        nodes[i] = _mm256_permutevar8x32_ps(s->octants[i], octant);
    }
    __m256 first = is_above(drive, nodes[0]), second = first, third;
    __m256i time = go_on(octant, first);
    if (levels > 4) {
        second = is_above(drive, _mm256_blendv_ps(nodes[1], nodes[2], first));
        time = go_on(time, second);
    }
    if (levels > 5) {
        third = _mm256_blendv_ps(_mm256_blendv_ps(nodes[3], nodes[4], second),
                                 _mm256_blendv_ps(nodes[5], nodes[6], second), first);
        time = go_on(time, is_above(drive, third));
    }
    for (int level = 6; level < levels; level++) {
        __m256i node = _mm256_add_epi32(time, _mm256_set1_epi32(1 << level));
        __m256 threshold = _mm256_i32gather_ps(s->tree->nodes, node, 4);
        time = go_on(time, is_above(drive, threshold));
    }
    return time;
}

static inline void encode_lanes(const search *s, const int levels, const float *drives,
                                uint8_t *times) {
    const __m256 *t = s->top;
    __m256 drive = _mm256_loadu_ps(drives);
    __m256 first = is_above(drive, t[1]), second = first, third;
    __m256i time = go_on(_mm256_setzero_si256(), first);
    if (levels > 1) {
        second = is_above(drive, _mm256_blendv_ps(t[2], t[3], first));
        time = go_on(time, second);
    }
    if (levels > 2) {
        third = _mm256_blendv_ps(_mm256_blendv_ps(t[4], t[5], second),
                                 _mm256_blendv_ps(t[6], t[7], second), first);
        time = go_on(time, is_above(drive, third));
    }
    if (levels > 3) {
        time = search_octant(s, levels, drive, time);
    }
    __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(time), _mm256_extracti128_si256(time, 1));
    _mm_storel_epi64((__m128i *)times, _mm_packus_epi16(words, words));
}

/* Tables of up to 64 values in registers. */
typedef struct lookup {
    const float *table;
    int steps;
    __m256 values[8];
} lookup;

static inline lookup lookup_start(const float *table, int steps) {
    lookup l = {.table = table, .steps = steps};
    for (int i = 0; i < 8; i++) {
        l.values[i] = _mm256_loadu_ps(table + 8 * i);
    }
    return l;
}

static inline void decode_lanes(const lookup *l, const uint8_t *times, float *values) {
    __m256i time = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)times));
    __m256 value;
    if (l->steps < 32) {
        value = look_up_32(l->values, time);
    } else if (l->steps < 64) {
        value = choose(look_up_32(l->values, time), look_up_32(l->values + 4, time), time, 5);
    } else {
        value = _mm256_i32gather_ps(l->table, time, 4);
    }
    _mm256_storeu_ps(values, value);
}

/* The numbers of the bits that are set: what moves chosen lanes to the front. */
static inline __m256i chosen_lanes(unsigned mask) {
    uint64_t spread = _pdep_u64(mask, 0x0101010101010101u) * 255; /* a byte a bit */
    return _mm256_cvtepu8_epi32(
        _mm_cvtsi64_si128((long long)_pext_u64(0x0706050403020100u, spread)));
}

static inline size_t list_lanes(const uint8_t *times, const uint8_t *negative, int count,
                                uint32_t first, uint32_t *events) {
    const __m256i places =
        _mm256_setr_epi32(0, 1 << 16, 2 << 16, 3 << 16, 4 << 16, 5 << 16, 6 << 16, 7 << 16);
    const __m256i zero = _mm256_setzero_si256();
    __m256i index = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)times));
    if (negative != NULL) {
        __m256i second = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)negative));
        __m256i silent = _mm256_cmpeq_epi32(second, zero);
        second = _mm256_add_epi32(second, _mm256_set1_epi32(TD_NEGATIVE));
        index = _mm256_blendv_epi8(second, index, silent);
    }
    __m256i silent = _mm256_cmpeq_epi32(index, zero);
    unsigned mask = ~(unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(silent));
    mask &= (1u << count) - 1;
    __m256i event =
        _mm256_add_epi32(_mm256_add_epi32(index, places), _mm256_set1_epi32((int)first));
    event = _mm256_permutevar8x32_epi32(event, chosen_lanes(mask));
    _mm256_storeu_si256((__m256i *)events, event);
    return (size_t)__builtin_popcount(mask);
}

#include "engine/kernels/body.h"
