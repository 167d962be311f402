/* A convolution and its gradients in plain C: for every output pixel and every tap of it that lies
 * inside the input, one product of pixels and weights, channels innermost. */
#include <string.h>

#include "dense/linear_passes.h"

/* Channels of one group, and weights of one tap. */
typedef struct sizes {
    size_t groups, inputs, outputs, tap;
} sizes;

static sizes sizes_of(const td_linear_geometry *g) {
    sizes s = {.groups = (size_t)g->groups,
               .inputs = (size_t)g->in.c / (size_t)g->groups,
               .outputs = (size_t)g->out.c / (size_t)g->groups};
    s.tap = s.groups * s.inputs * s.outputs;
    return s;
}

/* The place in td_node's weights of (group, input i, output o) of tap 0, and the steps between
 * taps are 1. */
static size_t weight_place(const sizes *s, size_t taps, size_t group, size_t i, size_t o) {
    return ((group * s->outputs + o) * s->inputs + i) * taps;
}

/* Between td_node's weights and [tap][group][a][b], where a, b are inputs, outputs of the group, or
 * outputs, inputs if `transposed`. */
static void repack(const td_linear_geometry *g, bool transposed, bool unpack, float *weights,
                   float *packed) {
    sizes s = sizes_of(g);
    size_t taps = (size_t)g->window.y.kernel * (size_t)g->window.x.kernel;
    size_t rows = transposed ? s.outputs : s.inputs, columns = transposed ? s.inputs : s.outputs;
    for (size_t group = 0; group < s.groups; group++) {
        for (size_t a = 0; a < rows; a++) {
            for (size_t b = 0; b < columns; b++) {
                float *at = weights + (transposed ? weight_place(&s, taps, group, b, a)
                                                  : weight_place(&s, taps, group, a, b));
                float *to = packed + (group * rows + a) * columns + b;
                for (size_t t = 0; t < taps; t++) {
                    if (unpack) {
                        at[t] = to[t * s.tap];
                    } else {
                        to[t * s.tap] = at[t];
                    }
                }
            }
        }
    }
}

static inline void add_scaled(float *restrict sum, float scale, const float *restrict values,
                              size_t count) {
    for (size_t i = 0; i < count; i++) {
        sum[i] += scale * values[i];
    }
}

static inline void add_products(float *restrict sum, const float *restrict a,
                                const float *restrict b, size_t count) {
    for (size_t i = 0; i < count; i++) {
        sum[i] += a[i] * b[i];
    }
}

/* Groups of one input and one output: channel by channel. */
static void run_depthwise(size_t channels, td_pass pass, float *in, float *out, float *packed) {
    switch (pass) {
    case TD_PASS_FORWARD:
        add_products(out, in, packed, channels);
        break;
    case TD_PASS_INPUT:
        add_products(in, out, packed, channels);
        break;
    default:
        add_products(packed, in, out, channels);
        break;
    }
}

/* What one tap adds: between one input pixel, one output pixel, and the tap's weights. */
static void run_tap(const sizes *s, td_pass pass, float *in, float *out, float *packed) {
    if (s->inputs == 1 && s->outputs == 1) {
        run_depthwise(s->groups, pass, in, out, packed);
        return;
    }
    size_t inputs = s->inputs, outputs = s->outputs;
    for (size_t group = 0; group < s->groups; group++) {
        for (size_t o = 0; pass == TD_PASS_INPUT && o < outputs; o++) {
            add_scaled(in, out[o], packed + o * inputs, inputs);
        }
        for (size_t i = 0; pass == TD_PASS_FORWARD && i < inputs; i++) {
            add_scaled(out, in[i], packed + i * outputs, outputs);
        }
        for (size_t i = 0; pass == TD_PASS_WEIGHTS && i < inputs; i++) {
            add_scaled(packed + i * outputs, in[i], out, outputs);
        }
        in += inputs;
        out += outputs;
        packed += inputs * outputs;
    }
}

/* All taps of output (y, x) of a sample. */
static void run_pixel(const td_linear_geometry *g, td_pass pass, int y, int x, float *input,
                      float *out, float *packed) {
    sizes s = sizes_of(g);
    const td_axis *ay = &g->window.y, *ax = &g->window.x;
    int ky0, ky1, kx0, kx1;
    td_axis_taps(ay, y, g->in.h, &ky0, &ky1);
    td_axis_taps(ax, x, g->in.w, &kx0, &kx1);
    for (int ky = ky0; ky < ky1; ky++) {
        float *row = input + (size_t)td_axis_input(ay, y, ky) * (size_t)g->in.w * (size_t)g->in.c;
        for (int kx = kx0; kx < kx1; kx++) {
            size_t tap = (size_t)ky * (size_t)ax->kernel + (size_t)kx;
            run_tap(&s, pass, row + (size_t)td_axis_input(ax, x, kx) * (size_t)g->in.c, out,
                    packed + tap * s.tap);
        }
    }
}

static void start_output(const td_linear_geometry *g, const float *bias, float *out) {
    if (bias != NULL) {
        memcpy(out, bias, (size_t)g->out.c * sizeof *out);
    } else {
        memset(out, 0, (size_t)g->out.c * sizeof *out);
    }
}

static void run_pixels(const td_linear_geometry *g, td_pass pass, const td_linear_arrays *arrays,
                       float *packed) {
    float *input = arrays->input, *out = arrays->output;
    for (int sample = 0; sample < g->batch; sample++) {
        for (int y = 0; y < g->out.h; y++) {
            for (int x = 0; x < g->out.w; x++) {
                if (pass == TD_PASS_FORWARD) {
                    start_output(g, arrays->bias, out);
                }
                run_pixel(g, pass, y, x, input, out, packed);
                out += g->out.c;
            }
        }
        input += td_shape_count(g->in);
    }
}

void td_plain_sum_bias(const td_linear_geometry *g, const float *output, float *bias) {
    size_t channels = (size_t)g->out.c;
    size_t pixels = (size_t)g->batch * (size_t)g->out.h * (size_t)g->out.w;
    memset(bias, 0, channels * sizeof *bias);
    for (size_t i = 0; i < pixels; i++) {
        add_scaled(bias, 1.0f, output + i * channels, channels);
    }
}

void td_plain_linear(const td_linear_geometry *g, td_pass pass, const td_linear_arrays *arrays,
                     float *packed) {
    if (pass == TD_PASS_WEIGHTS) {
        memset(packed, 0, td_linear_weight_count(g) * sizeof *packed);
    } else {
        repack(g, pass == TD_PASS_INPUT, false, arrays->weights, packed);
    }
    if (pass == TD_PASS_INPUT) {
        memset(arrays->input, 0, (size_t)g->batch * td_shape_count(g->in) * sizeof *packed);
    }
    run_pixels(g, pass, arrays, packed);
    if (pass == TD_PASS_WEIGHTS) {
        repack(g, false, true, arrays->weights, packed);
        if (arrays->bias != NULL) {
            td_plain_sum_bias(g, arrays->output, arrays->bias);
        }
    }
}
