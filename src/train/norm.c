#include "train/norm.h"

#include <math.h>
#include <string.h>

#include "train/learner.h"
#include "train/loops.h"

/* Rows are taken several at once, as many as fill a tile: loops over channels alone are too short
 * to be quick. Sums go to the tile in float, and from time to time to the channels in double. */
#define TILE 512
#define TILES_A_SUM 64

static size_t rows_a_tile(size_t channels) {
    return channels >= TILE ? 1 : TILE / channels;
}

/* Adds the sums of one tile, [count] = rows x channels, to those of the channels, and clears it. */
static void flush(float *tile, size_t count, size_t channels, double *sums) {
    for (size_t i = 0, c = 0; i < count; i++) {
        sums[c] += (double)tile[i];
        tile[i] = 0.0f;
        c = c + 1 == channels ? 0 : c + 1;
    }
}

TD_CLONES static void add_moments(const float *restrict x, size_t count,
                                  const float *restrict about, float *restrict first,
                                  float *restrict second) {
    for (size_t i = 0; i < count; i++) {
        float off = x[i] - about[i];
        first[i] += off;
        second[i] += off * off;
    }
}

TD_CLONES static void add_products(const float *restrict x, const float *restrict dy, size_t count,
                                   const float *restrict mean, float *restrict sums,
                                   float *restrict products) {
    for (size_t i = 0; i < count; i++) {
        sums[i] += dy[i];
        products[i] += dy[i] * (x[i] - mean[i]);
    }
}

TD_CLONES static void scale_tile(const float *x, size_t count, const float *restrict factors,
                                 const float *restrict offsets, float *y) {
    for (size_t i = 0; i < count; i++) {
        y[i] = factors[i] * x[i] + offsets[i];
    }
}

/* dx = a dy + b x + c; in place where dx is x. */
TD_CLONES static void combine_tile(const float *x, const float *restrict dy, size_t count,
                                   const float *restrict a, const float *restrict b,
                                   const float *restrict c, float *dx) {
    for (size_t i = 0; i < count; i++) {
        dx[i] = a[i] * dy[i] + b[i] * x[i] + c[i];
    }
}

/* [channels] again and again, until the tile is full. */
static void repeat(const float *values, size_t channels, size_t count, float *tile) {
    for (size_t i = 0; i < count; i += channels) {
        memcpy(tile + i, values, channels * sizeof *values);
    }
}

/* The most channels whose tiles lie on the stack; more are worked on in slices of rows. */
typedef struct slice {
    size_t first, channels;
} slice;

/* Layers wider than a tile are rare (inner products); their channels are cut into tiles. */
typedef void (*slice_fn)(void *arg, slice s);
static void for_slices(size_t channels, slice_fn fn, void *arg) {
    for (size_t first = 0; first < channels; first += TILE) {
        size_t left = channels - first;
        fn(arg, (slice){first, left < TILE ? left : TILE});
    }
}

typedef struct work {
    const float *x, *dy;
    size_t rows, channels;
    const float *mean, *factors, *offsets, *third;
    float *out, *out2;
} work;

/* Calls body for runs of whole rows: at(row) elements of the slice, `count` of them in one run. */
#define FOR_TILES(w, s, tile_rows, row, count)                                                     \
    for (size_t row = 0, count = 0;                                                                \
         row < (w)->rows &&                                                                        \
         (count = ((w)->rows - row < (tile_rows) ? (w)->rows - row : (tile_rows)) * (s).channels,  \
         true);                                                                                    \
         row += (tile_rows))

/* A slice narrower than the row can only be taken a row at a time. */
static size_t tile_rows_of(const work *w, slice s) {
    return s.channels == w->channels ? rows_a_tile(s.channels) : 1;
}

static void survey_slice(void *arg, slice s) {
    work *w = arg;
    float about[TILE], first[TILE] = {0.0f}, second[TILE] = {0.0f};
    double sums[TILE] = {0.0}, squares[TILE] = {0.0};
    size_t rows = tile_rows_of(w, s), full = rows * s.channels, tiles = 0;
    repeat(w->mean + s.first, s.channels, full, about);
    FOR_TILES(w, s, rows, row, count) {
        add_moments(w->x + row * w->channels + s.first, count, about, first, second);
        if (++tiles % TILES_A_SUM == 0) {
            flush(first, full, s.channels, sums);
            flush(second, full, s.channels, squares);
        }
    }
    flush(first, full, s.channels, sums);
    flush(second, full, s.channels, squares);
    for (size_t c = 0; c < s.channels; c++) {
        double off = sums[c] / (double)w->rows;
        double variance = squares[c] / (double)w->rows - off * off;
        w->out[s.first + c] = (float)(w->mean[s.first + c] + off);
        w->out2[s.first + c] = (float)(variance > 0.0 ? variance : 0.0);
    }
}

void td_norm_survey(const float *x, size_t rows, size_t channels, const float *about, float *mean,
                    float *variance) {
    work w = {
        .x = x, .rows = rows, .channels = channels, .mean = about, .out = mean, .out2 = variance};
    for_slices(channels, survey_slice, &w);
}

static void scale_slice(void *arg, slice s) {
    work *w = arg;
    float factors[TILE], offsets[TILE];
    size_t rows = tile_rows_of(w, s), full = rows * s.channels;
    repeat(w->factors + s.first, s.channels, full, factors);
    repeat(w->offsets + s.first, s.channels, full, offsets);
    FOR_TILES(w, s, rows, row, count) {
        size_t at = row * w->channels + s.first;
        scale_tile(w->x + at, count, factors, offsets, w->out + at);
    }
}

void td_scale_channels(const float *x, size_t rows, size_t channels, const float *factors,
                       const float *offsets, float *y) {
    work w = {.x = x,
              .rows = rows,
              .channels = channels,
              .factors = factors,
              .offsets = offsets,
              .out = y};
    for_slices(channels, scale_slice, &w);
}

void td_norm_factors(size_t channels, const float *mean, const float *variance, const float *gain,
                     const float *shift, float *factors, float *offsets) {
    for (size_t c = 0; c < channels; c++) {
        factors[c] = gain[c] / sqrtf(variance[c] + TD_NORM_EPSILON);
        offsets[c] = shift[c] - mean[c] * factors[c];
    }
}

static void products_slice(void *arg, slice s) {
    work *w = arg;
    float mean[TILE], sum[TILE] = {0.0f}, product[TILE] = {0.0f};
    double sums[TILE] = {0.0}, products[TILE] = {0.0};
    size_t rows = tile_rows_of(w, s), full = rows * s.channels, tiles = 0;
    repeat(w->mean + s.first, s.channels, full, mean);
    FOR_TILES(w, s, rows, row, count) {
        size_t at = row * w->channels + s.first;
        add_products(w->x + at, w->dy + at, count, mean, sum, product);
        if (++tiles % TILES_A_SUM == 0) {
            flush(sum, full, s.channels, sums);
            flush(product, full, s.channels, products);
        }
    }
    flush(sum, full, s.channels, sums);
    flush(product, full, s.channels, products);
    for (size_t c = 0; c < s.channels; c++) {
        w->out[s.first + c] = (float)sums[c];
        w->out2[s.first + c] = (float)products[c];
    }
}

/* With m rows, r = 1/deviation and n = (x - mean) r:
 *     dx = gain r (dy - sum(dy)/m - n sum(dy n)/m) = a dy + b x + c. */
static void combine_slice(void *arg, slice s) {
    work *w = arg;
    float a[TILE], b[TILE], c[TILE];
    size_t rows = tile_rows_of(w, s), full = rows * s.channels;
    repeat(w->factors + s.first, s.channels, full, a);
    repeat(w->offsets + s.first, s.channels, full, b);
    repeat(w->third + s.first, s.channels, full, c);
    FOR_TILES(w, s, rows, row, count) {
        size_t at = row * w->channels + s.first;
        combine_tile(w->x + at, w->dy + at, count, a, b, c, w->out + at);
    }
}

typedef struct backward {
    work w;
    const float *variance, *gain;
    float *gain_gradient, *shift_gradient;
} backward;

static void backward_slice(void *arg, slice s) {
    backward *v = arg;
    float a[TILE], b[TILE], c[TILE];
    for (size_t i = 0; i < s.channels; i++) {
        size_t k = s.first + i;
        double r = 1.0 / sqrt((double)v->variance[k] + (double)TD_NORM_EPSILON);
        double m = (double)v->w.rows, scale = v->gain[k] * r;
        double product = v->gain_gradient[k] * r; /* sum(dy n) */
        double slope = -scale * product * r / m;
        a[i] = (float)scale;
        b[i] = (float)slope;
        c[i] = (float)(-scale * v->shift_gradient[k] / m - slope * v->w.mean[k]);
        v->gain_gradient[k] = (float)product;
    }
    work w = v->w;
    w.factors = a - s.first;
    w.offsets = b - s.first;
    w.third = c - s.first;
    combine_slice(&w, s);
}

void td_norm_backward(const float *x, const float *dy, size_t rows, size_t channels,
                      const float *mean, const float *variance, const float *gain,
                      float *gain_gradient, float *shift_gradient, float *dx) {
    work w = {.x = x,
              .dy = dy,
              .rows = rows,
              .channels = channels,
              .mean = mean,
              .out = shift_gradient,
              .out2 = gain_gradient};
    for_slices(channels, products_slice, &w);
    backward v = {w, variance, gain, gain_gradient, shift_gradient};
    v.w.out = dx;
    for_slices(channels, backward_slice, &v);
}
