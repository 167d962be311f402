/* AVX2, FMA and BMI2. */
#include <immintrin.h>
#include <stdbool.h>

#include "engine/kernels/kernels.h"

#define VARIANT avx2
#define LANES 8
#define DENSE_SUMS 12
#define SLIDE_REGISTERS 1
#define COLUMN_SUMS 12
#define GATHER_SUMS 12
#define DENSE_REGISTERS 3

typedef __m256 vec;
#define vec_load(from) _mm256_loadu_ps(from)
#define vec_store(to, a) _mm256_storeu_ps(to, a)
#define vec_set(x) _mm256_set1_ps(x)
#define vec_fma(a, b, c) _mm256_fmadd_ps(a, b, c)

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

/* A curve in registers. */
#define CURVE_LEVELS 3 /* fewer are searched as quickly */
typedef struct curve {
    __m256 unit, low, high, silent, terms[4];
    __m256i doubt, shift; /* a shift by a register's lowest lane would take two operations */
} curve;

static inline curve curve_start(const td_curve *from) {
    curve c = {.unit = _mm256_set1_ps(from->unit),
               .low = _mm256_set1_ps(from->low),
               .high = _mm256_set1_ps(from->high),
               .silent = _mm256_set1_ps(from->silent),
               .doubt = _mm256_set1_epi32((int)from->doubt),
               .shift = _mm256_set1_epi32(from->shift)};
    for (int i = 0; i < 4; i++) {
        c.terms[i] = _mm256_loadu_ps(from->terms[i]);
    }
    return c;
}

/* The curve's spike times as the third bytes of the lanes, and below them the fractions. */
static inline __m256i curve_at(const curve *c, const float *drives, const bool silenced) {
    __m256 drive = _mm256_loadu_ps(drives);
    __m256 y = _mm256_fmadd_ps(drive, c->unit, _mm256_set1_ps(1.0f));
    if (silenced) {
        y = _mm256_and_ps(y, is_above(drive, c->silent));
    }
    y = _mm256_min_ps(_mm256_max_ps(y, c->low), c->high); /* NaN becomes `low` */
    __m256i span = _mm256_srlv_epi32(_mm256_castps_si256(y), c->shift);
    __m256 h = _mm256_permutevar8x32_ps(c->terms[3], span);
    for (int i = 2; i >= 0; i--) {
        h = _mm256_fmadd_ps(h, y, _mm256_permutevar8x32_ps(c->terms[i], span));
    }
    return _mm256_castps_si256(h);
}

/* LANES x n spike times; false if some are in doubt. */
static inline bool curve_lanes(const curve *c, const float *drives, const int n,
                               const bool silenced, uint8_t *times) {
    __m256i bytes = _mm256_setzero_si256(), least = _mm256_set1_epi32(-1);
    for (int i = 0; i < n; i++) {
        const __m256i third = _mm256_broadcastsi128_si256(
            _mm_setr_epi32(i == 0 ? 0x0e0a0602 : -1, i == 1 ? 0x0e0a0602 : -1,
                           i == 2 ? 0x0e0a0602 : -1, i == 3 ? 0x0e0a0602 : -1));
        __m256i q = curve_at(c, drives + i * LANES, silenced);
        least = _mm256_min_epu16(least, q);
        bytes = _mm256_or_si256(bytes, _mm256_shuffle_epi8(q, third));
    }
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    if (n == 4) {
        _mm256_storeu_si256((__m256i *)times, bytes);
    } else if (n == 2) {
        _mm_storeu_si128((__m128i *)times, _mm256_castsi256_si128(bytes));
    } else {
        _mm_storel_epi64((__m128i *)times, _mm256_castsi256_si128(bytes));
    }
    __m256i near = _mm256_subs_epu16(c->doubt, least);
    return _mm256_testz_si256(near, near);
}

/* Tables of up to 64 values, byte by byte: [byte of the float][value / 16][value % 16]. */
#define DECODE_REGISTERS 4
typedef struct lookup {
    const float *table;
    int steps;
    uint8_t bytes[4][4][16];
} lookup;

static inline lookup lookup_start(const float *table, int steps) {
    lookup l = {.table = table, .steps = steps};
    for (int i = 0; i < 4; i++) {
        /* byte j of 16 floats */
        const __m128i by_byte = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        __m128i part[4];
        for (int k = 0; k < 4; k++) {
            part[k] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(table + 16 * i + 4 * k)),
                                       by_byte);
        }
        __m128i low = _mm_unpacklo_epi32(part[0], part[1]);
        __m128i high = _mm_unpackhi_epi32(part[0], part[1]);
        __m128i low_2 = _mm_unpacklo_epi32(part[2], part[3]);
        __m128i high_2 = _mm_unpackhi_epi32(part[2], part[3]);
        _mm_storeu_si128((__m128i *)l.bytes[0][i], _mm_unpacklo_epi64(low, low_2));
        _mm_storeu_si128((__m128i *)l.bytes[1][i], _mm_unpackhi_epi64(low, low_2));
        _mm_storeu_si128((__m128i *)l.bytes[2][i], _mm_unpacklo_epi64(high, high_2));
        _mm_storeu_si128((__m128i *)l.bytes[3][i], _mm_unpackhi_epi64(high, high_2));
    }
    return l;
}

/* 32 values from tables of 16 * parts. */
static inline void decode_bytes(const lookup *l, const int parts, const uint8_t *times,
                                float *values) {
    /* so that what is unpacked lane by lane comes out in order */
    __m256i time = _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const __m256i *)times),
                                               _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
    __m256i bytes[4], index[4];
    for (int k = 0; k < parts; k++) { /* a high bit where it is another part's: looks up 0 */
        index[k] = parts == 1
                       ? time
                       : _mm256_adds_epu8(_mm256_xor_si256(time, _mm256_set1_epi8((char)(16 * k))),
                                          _mm256_set1_epi8(0x70));
    }
    for (int b = 0; b < 4; b++) {
        for (int k = 0; k < parts; k++) {
            __m256i part =
                _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)l->bytes[b][k]));
            part = _mm256_shuffle_epi8(part, index[k]);
            bytes[b] = k == 0 ? part : _mm256_or_si256(bytes[b], part);
        }
    }
    __m256i low[2] = {_mm256_unpacklo_epi8(bytes[0], bytes[1]),
                      _mm256_unpackhi_epi8(bytes[0], bytes[1])};
    __m256i high[2] = {_mm256_unpacklo_epi8(bytes[2], bytes[3]),
                       _mm256_unpackhi_epi8(bytes[2], bytes[3])};
    for (int i = 0; i < 2; i++) {
        _mm256_storeu_si256((__m256i *)(values + 16 * i), _mm256_unpacklo_epi16(low[i], high[i]));
        _mm256_storeu_si256((__m256i *)(values + 16 * i + 8),
                            _mm256_unpackhi_epi16(low[i], high[i]));
    }
}

static inline void decode_lanes(const lookup *l, const uint8_t *times, float *values) {
    if (l->steps < 16) {
        decode_bytes(l, 1, times, values);
    } else if (l->steps < 32) {
        decode_bytes(l, 2, times, values);
    } else if (l->steps < 64) {
        decode_bytes(l, 4, times, values);
    } else {
        for (int i = 0; i < 4; i++) {
            __m256i time = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(times + 8 * i)));
            _mm256_storeu_ps(values + 8 * i, _mm256_i32gather_ps(l->table, time, 4));
        }
    }
}

/* The numbers of the bits that are set: what moves chosen lanes to the front. */
#define AT(mask, n, i)                                                                             \
    ((mask) >> (i)&1 && __builtin_popcount((mask) & ((1 << (i)) - 1)) == (n) ? (i) : 0)
#define NTH(mask, n)                                                                               \
    (AT(mask, n, 1) | AT(mask, n, 2) | AT(mask, n, 3) | AT(mask, n, 4) | AT(mask, n, 5) |          \
     AT(mask, n, 6) | AT(mask, n, 7))
#define CHOSEN(m)                                                                                  \
    { NTH(m, 0), NTH(m, 1), NTH(m, 2), NTH(m, 3), NTH(m, 4), NTH(m, 5), NTH(m, 6), NTH(m, 7) }
#define CHOSEN_4(mask) CHOSEN(mask), CHOSEN((mask) + 1), CHOSEN((mask) + 2), CHOSEN((mask) + 3)
#define CHOSEN_16(mask)                                                                            \
    CHOSEN_4(mask), CHOSEN_4((mask) + 4), CHOSEN_4((mask) + 8), CHOSEN_4((mask) + 12)
#define CHOSEN_64(mask)                                                                            \
    CHOSEN_16(mask), CHOSEN_16((mask) + 16), CHOSEN_16((mask) + 32), CHOSEN_16((mask) + 48)
static const int32_t chosen[256][8]
    __attribute__((aligned(32))) = {CHOSEN_64(0), CHOSEN_64(64), CHOSEN_64(128), CHOSEN_64(192)};

static inline __m256i chosen_lanes(unsigned mask) {
    return _mm256_load_si256((const __m256i *)chosen[mask]);
}

typedef __m256i places;

static inline places places_from(uint32_t event) {
    __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_add_epi32(_mm256_set1_epi32((int)event), _mm256_slli_epi32(lanes, 16));
}

static inline places places_next(places at) {
    return _mm256_add_epi32(at, _mm256_set1_epi32(LANES << 16));
}

static inline size_t list_lanes(const uint8_t *times, const uint8_t *negative, int count, places at,
                                uint32_t *events) {
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
    __m256i event = _mm256_permutevar8x32_epi32(_mm256_add_epi32(index, at), chosen_lanes(mask));
    _mm256_storeu_si256((__m256i *)events, event);
    return (size_t)__builtin_popcount(mask);
}

#include "engine/kernels/body.h"
