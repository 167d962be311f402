#include "dense/plain.h"

#include <math.h>
#include <string.h>

/* A convolution computes blocks of so many channels by so many neighbouring pixels in registers:
 * 8 vectors of 4 floats, half of what the smallest x86-64 has. */
#define BLOCK_CHANNELS 4
#define BLOCK_PIXELS 8

/* ---- Convolution. For each output: the bias, then one multiply and one add a present tap, in the
 * order input channel, kernel row, kernel column. */

typedef struct convolution {
    const td_node *node;
    td_shape in, out;
    const float *input;
    float *output;
    size_t inputs_per_group, taps; /* channels; weights of one output channel */
} convolution;

/* The input plane of input channel i of the group that output channel c belongs to. */
static inline const float *input_plane(const convolution *v, int c, size_t i) {
    size_t group = (size_t)c / ((size_t)v->out.c / (size_t)v->node->groups);
    return v->input + (group * v->inputs_per_group + i) * (size_t)v->in.h * (size_t)v->in.w;
}

static inline float *output_row(const convolution *v, int c, int y) {
    return v->output + ((size_t)c * (size_t)v->out.h + (size_t)y) * (size_t)v->out.w;
}

/* One output, taps in the padding left out. */
static void convolve_pixel(const convolution *v, int c, int y, int x) {
    const td_axis *ay = &v->node->window.y, *ax = &v->node->window.x;
    int ky0, ky1, kx0, kx1;
    td_axis_taps(ay, y, v->in.h, &ky0, &ky1);
    td_axis_taps(ax, x, v->in.w, &kx0, &kx1);
    const float *weights = v->node->weights + (size_t)c * v->taps;
    float sum = v->node->bias[c];
    for (size_t i = 0; i < v->inputs_per_group; i++) {
        const float *plane = input_plane(v, c, i);
        for (int ky = ky0; ky < ky1; ky++) {
            const float *row = plane + (size_t)td_axis_input(ay, y, ky) * (size_t)v->in.w;
            const float *w = weights + (i * (size_t)ay->kernel + (size_t)ky) * (size_t)ax->kernel;
            for (int kx = kx0; kx < kx1; kx++) {
                sum += w[kx] * row[td_axis_input(ax, x, kx)];
            }
        }
    }
    output_row(v, c, y)[x] = sum;
}

/* Four neighbouring outputs in one register; lanes are never added to each other. */
typedef float quad __attribute__((vector_size(16)));

static inline quad load_quad(const float *pixels, int stride) {
    if (stride == 1) {
        quad q;
        memcpy(&q, pixels, sizeof q);
        return q;
    }
    return (quad){pixels[0], pixels[stride], pixels[2 * stride], pixels[3 * stride]};
}

/* BLOCK_PIXELS outputs of `channels` channels from (c, y, x) on, whose taps all lie inside the
 * input along x. `channels` is a constant at every call, so that the sums stay in registers. */
static inline __attribute__((always_inline)) void convolve_block(const convolution *v, int c, int y,
                                                                 int x, int channels, int stride) {
    const td_axis *ay = &v->node->window.y, *ax = &v->node->window.x;
    int ky0, ky1;
    td_axis_taps(ay, y, v->in.h, &ky0, &ky1);
    const float *weights = v->node->weights + (size_t)c * v->taps;
    quad sums[BLOCK_CHANNELS][2];
    for (int j = 0; j < channels; j++) {
        float bias = v->node->bias[c + j];
        sums[j][0] = sums[j][1] = (quad){bias, bias, bias, bias};
    }
    for (size_t i = 0; i < v->inputs_per_group; i++) {
        const float *plane = input_plane(v, c, i);
        for (int ky = ky0; ky < ky1; ky++) {
            const float *row = plane + (size_t)td_axis_input(ay, y, ky) * (size_t)v->in.w;
            const float *w = weights + (i * (size_t)ay->kernel + (size_t)ky) * (size_t)ax->kernel;
            for (int kx = 0; kx < ax->kernel; kx++) {
                const float *pixels = row + td_axis_input(ax, x, kx);
                quad first = load_quad(pixels, stride);
                quad second = load_quad(pixels + 4 * stride, stride);
                for (int j = 0; j < channels; j++) {
                    float weight = w[(size_t)j * v->taps + (size_t)kx];
                    sums[j][0] += weight * first;
                    sums[j][1] += weight * second;
                }
            }
        }
    }
    for (int j = 0; j < channels; j++) {
        memcpy(output_row(v, c + j, y) + x, sums[j], sizeof sums[j]);
    }
}

/* The outputs [first, end) of one row and `channels` channels, in blocks; the last one may compute
 * some outputs again. */
static void convolve_inside(const convolution *v, int c, int channels, int y, int first, int end) {
    int stride = v->node->window.x.stride;
    for (int next = first; next < end; next += BLOCK_PIXELS) {
        int x = next + BLOCK_PIXELS <= end ? next : end - BLOCK_PIXELS;
        if (channels == BLOCK_CHANNELS && stride == 1) {
            convolve_block(v, c, y, x, BLOCK_CHANNELS, 1);
        } else if (channels == BLOCK_CHANNELS) {
            convolve_block(v, c, y, x, BLOCK_CHANNELS, stride);
        } else {
            convolve_block(v, c, y, x, 1, stride);
        }
    }
}

/* One output row of `channels` channels: blocks where no tap is in the padding along x and there
 * is room for one, and single outputs elsewhere. */
static void convolve_row(const convolution *v, int c, int channels, int y, int first, int end) {
    if (end - first >= BLOCK_PIXELS) {
        convolve_inside(v, c, channels, y, first, end);
    } else {
        end = first;
    }
    for (int j = 0; j < channels; j++) {
        for (int x = 0; x < first; x++) {
            convolve_pixel(v, c + j, y, x);
        }
        for (int x = end; x < v->out.w; x++) {
            convolve_pixel(v, c + j, y, x);
        }
    }
}

/* The outputs [*first, *end) along an axis whose taps all lie inside an input of `size`. */
static void inner_outputs(const td_axis *axis, int outputs, int size, int *first, int *end) {
    int span = (axis->kernel - 1) * axis->dilation + 1;
    *first = (axis->pad_begin + axis->stride - 1) / axis->stride;
    *end = size + axis->pad_begin < span ? 0 : (size + axis->pad_begin - span) / axis->stride + 1;
    *end = *end > outputs ? outputs : *end;
    *first = *first > *end ? *end : *first;
}

static void run_conv(const td_node *node, td_shape in, const float *input, float *output) {
    convolution v = {.node = node, .in = in, .out = node->shape, .input = input, .output = output};
    v.inputs_per_group = (size_t)in.c / (size_t)node->groups;
    v.taps = v.inputs_per_group * (size_t)node->window.y.kernel * (size_t)node->window.x.kernel;
    int per_group = node->shape.c / node->groups, first, end;
    inner_outputs(&node->window.x, node->shape.w, in.w, &first, &end);
    for (int group = 0; group < node->groups; group++) {
        for (int c = 0; c < per_group;) {
            int channels = per_group - c >= BLOCK_CHANNELS ? BLOCK_CHANNELS : 1;
            for (int y = 0; y < node->shape.h; y++) {
                convolve_row(&v, group * per_group + c, channels, y, first, end);
            }
            c += channels;
        }
    }
}

/* ---- The other operators. */

/* Partial sums that a vector holds, added up in pairs at the end. */
#define LANES 16

static float dot(const float *a, const float *b, size_t count) {
    float lanes[LANES] = {0.0f};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            lanes[j] += a[i + j] * b[i + j];
        }
    }
    for (; i < count; i++) {
        lanes[i % LANES] += a[i] * b[i];
    }
    for (size_t half = LANES / 2; half > 0; half /= 2) {
        for (size_t j = 0; j < half; j++) {
            lanes[j] += lanes[j + half];
        }
    }
    return lanes[0];
}

static void run_inner(const td_node *node, td_shape in, const float *input, float *output) {
    size_t inputs = (size_t)in.c;
    for (int c = 0; c < node->shape.c; c++) {
        output[c] = node->bias[c] + dot(node->weights + (size_t)c * inputs, input, inputs);
    }
}

/* SUB, DIV, MUL, SHIFT: one constant a channel. */
static void run_affine(const td_node *node, const float *input, float *output) {
    size_t plane = (size_t)node->shape.h * (size_t)node->shape.w;
    for (int c = 0; c < node->shape.c; c++) {
        float operand = node->operand[c];
        const float *from = input + (size_t)c * plane;
        float *to = output + (size_t)c * plane;
        for (size_t i = 0; i < plane; i++) {
            to[i] = node->op == TD_OP_SUB   ? from[i] - operand
                    : node->op == TD_OP_DIV ? from[i] / operand
                    : node->op == TD_OP_MUL ? from[i] * operand
                                            : from[i] + operand;
        }
    }
}

static void run_add(const td_node *node, const float *const *inputs, float *output) {
    size_t count = td_shape_count(node->shape);
    memcpy(output, inputs[0], count * sizeof *output);
    for (int k = 1; k < node->input_count; k++) {
        for (size_t i = 0; i < count; i++) {
            output[i] += inputs[k][i];
        }
    }
}

static void run_relu(const td_node *node, const float *input, float *output) {
    size_t count = td_shape_count(node->shape);
    for (size_t i = 0; i < count; i++) {
        output[i] = input[i] > 0.0f ? input[i] : 0.0f;
    }
}

static void run_clip(const td_node *node, const float *input, float *output) {
    size_t count = td_shape_count(node->shape);
    for (size_t i = 0; i < count; i++) {
        output[i] = input[i] < node->low    ? node->low
                    : input[i] > node->high ? node->high
                                            : input[i];
    }
}

static void run_leaky(const td_node *node, const float *input, float *output) {
    size_t count = td_shape_count(node->shape);
    for (size_t i = 0; i < count; i++) {
        output[i] = input[i] < 0.0f ? node->negative * input[i] : input[i];
    }
}

static void run_code(const td_node *node, const float *input, float *output) {
    const float *values = node->code->values;
    size_t count = td_shape_count(node->shape);
    for (size_t i = 0; i < count; i++) {
        output[i] = values[tdsnn_code_encode(node->code, input[i])];
    }
    if (node->negative == 0.0f) {
        return;
    }
    for (size_t i = 0; i < count; i++) { /* the second neuron of the pair */
        output[i] -= node->negative * values[tdsnn_code_encode(node->code, -input[i])];
    }
}

/* The largest member of one window that is inside the input. */
static float window_max(const td_window *window, td_shape in, const float *plane, int y, int x) {
    int ky0, ky1, kx0, kx1;
    td_axis_taps(&window->y, y, in.h, &ky0, &ky1);
    td_axis_taps(&window->x, x, in.w, &kx0, &kx1);
    float best = -INFINITY;
    for (int ky = ky0; ky < ky1; ky++) {
        const float *row = plane + (size_t)td_axis_input(&window->y, y, ky) * (size_t)in.w;
        for (int kx = kx0; kx < kx1; kx++) {
            float member = row[td_axis_input(&window->x, x, kx)];
            best = member > best ? member : best;
        }
    }
    return best;
}

static void run_maxpool(const td_node *node, td_shape in, const float *input, float *output) {
    for (int c = 0; c < node->shape.c; c++) {
        const float *plane = input + (size_t)c * (size_t)in.h * (size_t)in.w;
        for (int y = 0; y < node->shape.h; y++) {
            for (int x = 0; x < node->shape.w; x++) {
                *output++ = window_max(&node->window, in, plane, y, x);
            }
        }
    }
}

/* The mean of one window: of the members inside the input, or with padding as 0. */
static float window_mean(const td_node *node, td_shape in, const float *plane, int y, int x) {
    const td_window *window = &node->window;
    int ky0, ky1, kx0, kx1;
    td_axis_taps(&window->y, y, in.h, &ky0, &ky1);
    td_axis_taps(&window->x, x, in.w, &kx0, &kx1);
    double sum = 0.0;
    for (int ky = ky0; ky < ky1; ky++) {
        const float *row = plane + (size_t)td_axis_input(&window->y, y, ky) * (size_t)in.w;
        for (int kx = kx0; kx < kx1; kx++) {
            sum += (double)row[td_axis_input(&window->x, x, kx)];
        }
    }
    double members = node->count_padding ? (double)window->y.kernel * window->x.kernel
                                         : (double)(ky1 - ky0) * (kx1 - kx0);
    return (float)(sum / members);
}

static void run_avgpool(const td_node *node, td_shape in, const float *input, float *output) {
    for (int c = 0; c < node->shape.c; c++) {
        const float *plane = input + (size_t)c * (size_t)in.h * (size_t)in.w;
        for (int y = 0; y < node->shape.h; y++) {
            for (int x = 0; x < node->shape.w; x++) {
                *output++ = window_mean(node, in, plane, y, x);
            }
        }
    }
}

static void run_concat(const td_graph *graph, const td_node *node, const float *const *inputs,
                       float *output) {
    for (int k = 0; k < node->input_count; k++) {
        size_t count = td_shape_count(graph->nodes[node->inputs[k]].shape);
        memcpy(output, inputs[k], count * sizeof *output);
        output += count;
    }
}

static void run_slice(const td_node *node, const float *input, float *output) {
    size_t plane = (size_t)node->shape.h * (size_t)node->shape.w;
    memcpy(output, input + (size_t)node->first_channel * plane,
           (size_t)node->shape.c * plane * sizeof *output);
}

/* The largest is subtracted first, so that no exponential overflows. */
static void run_softmax(const td_node *node, const float *input, float *output) {
    int count = node->shape.c;
    float largest = input[0], sum = 0.0f;
    for (int i = 1; i < count; i++) {
        largest = input[i] > largest ? input[i] : largest;
    }
    for (int i = 0; i < count; i++) {
        output[i] = expf(input[i] - largest);
        sum += output[i];
    }
    for (int i = 0; i < count; i++) {
        output[i] = node->op == TD_OP_SOFTMAX ? output[i] / sum : input[i] - largest - logf(sum);
    }
}

static void run_sigmoid(const td_node *node, const float *input, float *output) {
    for (size_t i = 0; i < td_shape_count(node->shape); i++) {
        output[i] = 1.0f / (1.0f + expf(-input[i]));
    }
}

void td_plain_run_node(const td_graph *graph, int index, const float *const *inputs,
                       float *output) {
    const td_node *node = &graph->nodes[index];
    const float *input = inputs[0];
    td_shape in = graph->nodes[node->inputs[0]].shape;
    switch (node->op) {
    case TD_OP_CONV:
        run_conv(node, in, input, output);
        break;
    case TD_OP_INNER:
        run_inner(node, in, input, output);
        break;
    case TD_OP_SUB:
    case TD_OP_DIV:
    case TD_OP_MUL:
    case TD_OP_SHIFT:
        run_affine(node, input, output);
        break;
    case TD_OP_ADD:
        run_add(node, inputs, output);
        break;
    case TD_OP_RELU:
        run_relu(node, input, output);
        break;
    case TD_OP_CLIP:
        run_clip(node, input, output);
        break;
    case TD_OP_LEAKY:
        run_leaky(node, input, output);
        break;
    case TD_OP_CODE:
        run_code(node, input, output);
        break;
    case TD_OP_MAXPOOL:
        run_maxpool(node, in, input, output);
        break;
    case TD_OP_AVGPOOL:
        run_avgpool(node, in, input, output);
        break;
    case TD_OP_CONCAT:
        run_concat(graph, node, inputs, output);
        break;
    case TD_OP_SOFTMAX:
    case TD_OP_LOGSOFTMAX:
        run_softmax(node, input, output);
        break;
    case TD_OP_SIGMOID:
        run_sigmoid(node, input, output);
        break;
    case TD_OP_SLICE:
        run_slice(node, input, output);
        break;
    case TD_OP_FLATTEN:
    case TD_OP_UNFLATTEN:
        memcpy(output, input, td_shape_count(in) * sizeof *output);
        break;
    case TD_OP_INPUT:
    case TD_OP_COUNT:
        break;
    }
}
