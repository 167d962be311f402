#include "train/codes.h"

#include <math.h>
#include <string.h>

#include "train/loops.h"

#define BLOCK 1024 /* neurons at a time */

void td_coder_set(td_coder *coder, const tdsnn_code *code, float negative) {
    coder->code = code;
    coder->negative = negative;
    td_tree_fill(code, &coder->tree);
}

/* --------------------------------------------------------------------------------------- forward
 */

TD_CLONES static unsigned count_spikes(const uint8_t *times, size_t count) {
    unsigned spikes = 0;
    for (size_t i = 0; i < count; i++) {
        spikes += times[i] != 0;
    }
    return spikes;
}

TD_CLONES static void negate(const float *restrict x, size_t count, float *restrict y) {
    for (size_t i = 0; i < count; i++) {
        y[i] = -x[i];
    }
}

TD_CLONES static void subtract(const float *restrict x, float factor, size_t count,
                               float *restrict y) {
    for (size_t i = 0; i < count; i++) {
        y[i] -= factor * x[i];
    }
}

/* One block of one neuron each. */
static unsigned run_block(const td_coder *c, const td_kernels *kernels, const float *x,
                          size_t count, float *y, uint8_t *times) {
    kernels->encode(&c->tree, x, count, 1, (int)count, times, count);
    kernels->decode(c->code->values, c->code->steps, times, y, count);
    return count_spikes(times, count);
}

uint64_t td_code_forward(const td_coder *c, const td_kernels *kernels, const float *x, size_t count,
                         float *y, unsigned char *scratch) {
    uint64_t spikes = 0;
    uint8_t *times = scratch;
    float *flipped = (float *)(void *)(scratch + 2 * BLOCK), *other = flipped + BLOCK + TD_SPARE;
    for (size_t first = 0; first < count; first += BLOCK) {
        size_t n = count - first < BLOCK ? count - first : BLOCK;
        spikes += run_block(c, kernels, x + first, n, y + first, times);
        if (c->negative != 0.0f) {
            negate(x + first, n, flipped);
            spikes += run_block(c, kernels, flipped, n, other, times);
            subtract(other, c->negative, n, y + first);
        }
    }
    return spikes;
}

/* -------------------------------------------------------------------------------------- backward
 */

typedef struct window {
    float above;       /* v_K - v_0 */
    float below;       /* the slope where x < 0 */
    float silent, top; /* tau_0, tau_0 + r: the ramp */
    float ramp;        /* 1/r */
    float spike, late; /* gradients of the cost on the ramp, everywhere above 0 */
} window;

/* Sums of one block, lane by lane, so that they are vectors. */
#define LANES 16

/* dx of `count` neurons; scale and cost are added to lanes. Written without branches, or it would
 * not be made vectors of. */
static inline __attribute__((always_inline)) void
backward_lanes(const window *w, const float *restrict x, const float *restrict y,
               const float *restrict dy, size_t count, bool add, float *restrict dx,
               float *restrict scales, float *restrict costs) {
    const float above = w->above, below = w->below, paired = w->below != 0.0f ? 1.0f : 0.0f;
    const float silent = w->silent, top = w->top, ramp = w->ramp, spike = w->spike, late = w->late;
    const float lateness = 0.25f / above;
    for (size_t i = 0; i < count; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            float v = x[i + k], g = dy[i + k];
            float positive = (float)(v > 0.0f), negative = (float)(v < 0.0f);
            float size = fabsf(v), inside = (float)(size < above);
            float through = inside * (positive + negative * below); /* dy/dx */
            float neuron = positive - negative * paired;            /* that hears x, and how */
            float on_ramp = spike * ((float)(size > silent) - (float)(size >= top));
            float gradient = g * through + neuron * (on_ramp + inside * late);
            dx[i + k] = add ? dx[i + k] + gradient : gradient;
            scales[k] += g * (y[i + k] - through * v);
            float reach = inside * size + (1.0f - inside) * above, high = (size - silent) * ramp;
            high *= (float)(high > 0.0f);
            high = high * (float)(high < 1.0f) + (float)(high >= 1.0f);
            costs[k] += neuron * neuron * (high * 0.75f + reach * lateness);
        }
    }
}

TD_CLONES static void write_backward(const window *w, const float *restrict x,
                                     const float *restrict y, const float *restrict dy,
                                     size_t count, float *restrict dx, float *restrict scales,
                                     float *restrict costs) {
    backward_lanes(w, x, y, dy, count, false, dx, scales, costs);
}

TD_CLONES static void add_backward(const window *w, const float *restrict x,
                                   const float *restrict y, const float *restrict dy, size_t count,
                                   float *restrict dx, float *restrict scales,
                                   float *restrict costs) {
    backward_lanes(w, x, y, dy, count, true, dx, scales, costs);
}

static void backward_block(const window *w, const float *x, const float *y, const float *dy,
                           size_t count, bool add, float *dx, float *scales, float *costs) {
    (add ? add_backward : write_backward)(w, x, y, dy, count, dx, scales, costs);
}

static int bin_of(const tdsnn_code *code, float size) {
    int low = 0, high = code->steps; /* v_low <= size + v_0 < v_high */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        *(code->values[middle] - code->values[0] <= size ? &low : &high) = middle;
    }
    return low;
}

static void add_thresholds(const td_coder *c, const window *w, const float *x, const float *dy,
                           size_t count, double *gradients) {
    for (size_t i = 0; i < count; i++) {
        float size = x[i] < 0.0f ? -x[i] : x[i];
        float sign = x[i] > 0.0f ? -1.0f : c->negative;
        if (size > 0.0f && size < w->above && sign != 0.0f) {
            gradients[bin_of(c->code, size)] += (double)(sign * dy[i]);
            gradients[0] -= size > w->silent && size < w->top ? (double)w->spike : 0.0;
        }
    }
}

static window window_of(const td_coder *c, td_spike_cost cost) {
    const tdsnn_code *code = c->code;
    float above = code->values[code->steps] - code->values[0], silent = code->thresholds[0];
    float ramp = silent > above / 4.0f ? silent : above / 4.0f;
    return (window){.above = above,
                    .below = c->negative,
                    .silent = silent,
                    .top = silent + ramp,
                    .ramp = 1.0f / ramp,
                    .spike = (float)(0.75 * cost.weight / (double)ramp),
                    .late = (float)(0.25 * cost.weight / (double)above)};
}

double td_code_backward(const td_coder *c, td_spike_cost cost, const float *x, const float *y,
                        const float *dy, size_t count, bool add, float *dx, double *scale_gradient,
                        double *threshold_gradients) {
    window w = window_of(c, cost);
    double costs = 0.0, scales = 0.0;
    for (size_t first = 0; first < count; first += BLOCK) {
        size_t n = count - first < BLOCK ? count - first : BLOCK, whole = n - n % LANES;
        float scale[LANES] = {0.0f}, spent[LANES] = {0.0f};
        backward_block(&w, x + first, y + first, dy + first, whole, add, dx + first, scale, spent);
        if (whole < n) { /* the last few, with zeros behind them */
            float part[4][LANES] = {{0.0f}};
            size_t at = first + whole, left = (n - whole) * sizeof(float);
            memcpy(part[0], x + at, left);
            memcpy(part[1], y + at, left);
            memcpy(part[2], dy + at, left);
            memcpy(part[3], dx + at, left);
            backward_block(&w, part[0], part[1], part[2], LANES, add, part[3], scale, spent);
            memcpy(dx + at, part[3], left);
        }
        for (int k = 0; k < LANES; k++) {
            costs += (double)spent[k];
            scales += (double)scale[k];
        }
        if (threshold_gradients != NULL) {
            add_thresholds(c, &w, x + first, dy + first, n, threshold_gradients);
        }
    }
    *scale_gradient = scales;
    return costs * cost.weight;
}
