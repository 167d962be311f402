/* Random compiled networks, built by hand from a seed: layers with one to three pre-synaptic
 * populations, each of them channels of a layer or averages of it, onto some of the channels; any
 * window, group and code, pairs of neurons and pools of them. More than any graph expresses. */
#ifndef RANDOM_NETWORK_H
#define RANDOM_NETWORK_H

#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "engine/engine.h"
#include "network/drive.h"

#define MAX_HIDDEN 5 /* layers */

typedef struct random_network_options {
    int offset;              /* of all codes */
    tdsnn_rounding rounding; /* TABLE: silenced `nearest` */
    bool biases;
    bool one_leak; /* the input's leak is the hidden layers' */
    bool ties;     /* one scale, and layers that pass codes on: drives that are codes */
    bool analog;   /* the input has no code */
    td_shape wide; /* up to c channels, all planes h x w, every other window 3x3; 0: small ones */
} random_network_options;

static inline int random_int(td_random *r, int low, int high) {
    return low + (int)td_random_below(r, (uint64_t)(high - low + 1));
}

/* No layers yet, but room for them. Memory: td_network_destroy. */
static inline td_network *empty_network(tdsnn_context *ctx, const char *path, size_t layers) {
    td_network *n = td_alloc(ctx, 1, sizeof *n);
    n->arena = td_arena_create(ctx);
    n->path = path;
    n->layer_capacity = layers;
    n->layers = td_alloc(ctx, layers, sizeof *n->layers);
    return n;
}

static inline void *random_alloc(td_network *n, size_t count, size_t size) {
    void *memory = td_arena_alloc(n->arena, count, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static inline bool random_one_in(td_random *r, int n) {
    return td_random_below(r, (uint64_t)n) == 0;
}

/* Makes pairs of the layer's neurons. */
static inline void random_pair(td_random *r, td_network *n, td_layer *layer) {
    float *negatives = random_alloc(n, TDSNN_MAX_STEPS + 1, sizeof *negatives);
    layer->pair = true;
    layer->negative = random_one_in(r, 2) ? 1.0f : (float)(0.01 + 1.3 * td_random_uniform(r));
    for (int t = 0; t <= TDSNN_MAX_STEPS; t++) {
        negatives[t] = layer->negative * layer->event_values[t];
    }
    layer->negative_values = negatives;
}

/* A code with a window of its own; at offset 0 a third are pairs. A silenced table may as well
 * begin below 0, where both neurons of a pair fire. */
static inline void random_code(tdsnn_context *ctx, td_random *r, td_network *n, td_layer *layer,
                               double leak, const random_network_options *options) {
    bool table = options->rounding == TDSNN_ROUND_TABLE;
    int longest = (int)fmin(TDSNN_MAX_STEPS, leak * 4.0);
    int steps =
        td_random_below(r, 8) == 0 ? longest : random_int(r, 1, longest < 20 ? longest : 20);
    double scale = options->ties ? 1.0 : exp(td_random_normal(r));
    tdsnn_code *code = random_alloc(n, 1, sizeof *code);
    if (tdsnn_code_make(ctx, leak, steps, scale, table ? TDSNN_ROUND_NEAREST : options->rounding,
                        options->offset, code) != TDSNN_OK) {
        abort();
    }
    if (table) {
        code->rounding = TDSNN_ROUND_TABLE;
        float least = (float)(td_random_uniform(r) * 0.5) * code->values[steps];
        for (int k = 0; k < steps; k++) {
            code->thresholds[k] = fmaxf(code->thresholds[k], least);
        }
        code->thresholds[0] *= random_one_in(r, 4) ? -1.0f : 1.0f;
    }
    float *events = random_alloc(n, TDSNN_MAX_STEPS + 1, sizeof *events);
    double zero = code->offset == 1 ? tdsnn_code_value(code, 0) : 0.0;
    for (int t = 1; t <= steps; t++) {
        events[t] = (float)(tdsnn_code_value(code, t) - zero);
    }
    layer->code = code;
    layer->event_values = events;
    if (options->offset == 0 && random_one_in(r, 3)) {
        random_pair(r, n, layer);
    }
}

static inline td_axis random_axis(td_random *r) {
    td_axis axis = {.kernel = random_int(r, 1, 4),
                    .stride = random_int(r, 1, 3),
                    .dilation = random_int(r, 1, 2),
                    .pad_begin = random_int(r, 0, 3)};
    return axis;
}

/* A divisor of both numbers. */
static inline int random_groups(td_random *r, int a, int b) {
    int groups;
    do {
        groups = random_int(r, 1, a < b ? a : b);
    } while (a % groups != 0 || b % groups != 0);
    return groups;
}

/* An axis over `size` inputs all of whose windows hold a member, or at offset 1 (`whole`) all their
 * members; gives the number of outputs. */
static inline td_axis random_pool_axis(td_random *r, int size, bool whole, int *outputs) {
    for (;;) {
        td_axis a = random_axis(r);
        int first, end;
        a.kernel = random_one_in(r, 4) ? size : a.kernel;
        a.pad_begin = whole ? 0 : a.pad_begin;
        for (*outputs = 0; *outputs < 7; *outputs += 1) {
            td_axis_taps(&a, *outputs, size, &first, &end);
            if (end - first < (whole ? a.kernel : 1)) {
                break;
            }
        }
        if (*outputs > 0) {
            *outputs = random_int(r, 1, *outputs);
            return a;
        }
    }
}

/* Some of the channels. */
static inline void random_range(td_random *r, int channels, int *first, int *count) {
    *count = random_one_in(r, 2) ? channels : random_int(r, 1, channels);
    *first = random_int(r, 0, channels - *count);
}

/* An average pool between the population and its synapses. */
static inline void random_average(td_random *r, td_shape source, bool whole, td_synapses *s) {
    s->averages = true;
    s->count_padding = random_one_in(r, 2);
    s->averaged = (td_shape){.c = source.c};
    s->average.y = random_pool_axis(r, source.h, whole, &s->averaged.h);
    s->average.x = random_pool_axis(r, source.w, whole, &s->averaged.w);
    s->view = s->averaged;
}

/* Synapses from layer `source`; weights of a size that makes drives of about the magnitude `unit`.
 */
static inline td_term random_term(td_random *r, td_network *n, const td_layer *layer, int source,
                                  double unit, const random_network_options *options) {
    const td_layer *pre = &n->layers[source];
    td_synapses s = {.source = source, .view = pre->shape, .window = TD_WINDOW_ONE, .groups = 1};
    if (!options->ties && random_one_in(r, 4)) {
        random_average(r, pre->shape, options->offset == 1, &s);
    }
    if (layer->shape.flat) {
        s.view = (td_shape){(int)td_shape_count(s.view), 1, 1, true};
    } else if (options->wide.c > 0 && !s.averages && random_one_in(r, 2)) {
        td_axis same = {.kernel = 3, .stride = 1, .dilation = 1, .pad_begin = 1, .pad_end = 1};
        s.window = (td_window){same, same};
    } else {
        s.window = (td_window){random_axis(r), random_axis(r)};
    }
    random_range(r, s.view.c, &s.first_input, &s.inputs);
    random_range(r, layer->shape.c, &s.first_output, &s.outputs);
    s.groups = layer->shape.flat ? 1 : random_groups(r, s.inputs, s.outputs);
    size_t inputs =
        (size_t)(s.inputs / s.groups) * (size_t)s.window.y.kernel * (size_t)s.window.x.kernel;
    size_t count = (size_t)s.outputs * inputs;
    double *weights = random_alloc(n, count, sizeof *weights);
    double largest = pre->code == NULL ? 1.0 : (double)pre->code->values[pre->code->steps];
    double typical = largest * sqrt((double)inputs) * 0.3;
    for (size_t i = 0; i < count && !options->ties; i++) {
        weights[i] = td_random_normal(r) * unit / typical;
    }
    for (int c = 0; c < s.outputs && options->ties; c++) {
        weights[(size_t)c * inputs + td_random_below(r, inputs)] = 1.0;
    }
    return (td_term){.synapses = s, .weights = weights};
}

static inline void random_bias(td_random *r, td_network *n, td_drive *drive, double unit) {
    drive->bias_per_neuron = td_random_below(r, 3) == 0;
    size_t count = drive->bias_per_neuron ? td_shape_count(drive->shape) : (size_t)drive->shape.c;
    drive->bias = random_alloc(n, count, sizeof *drive->bias);
    for (size_t i = 0; i < count; i++) {
        drive->bias[i] = td_random_normal(r) * unit * 0.5;
    }
}

/* A layer of neurons, or the read-out, reading one to three earlier layers of one leak. */
static inline void random_linear(tdsnn_context *ctx, td_random *r, td_network *n, td_layer *layer,
                                 double leak, const random_network_options *options) {
    double unit = 1.0;
    if (layer->kind == TD_LAYER_SYNAPSES) {
        random_code(ctx, r, n, layer, leak, options);
        unit = layer->code->values[layer->code->steps] * 0.6;
    }
    td_drive drive = {.shape = layer->shape};
    drive.terms = random_alloc(n, 3, sizeof *drive.terms);
    int wanted = options->ties ? 1 : random_int(r, 1, 3), newest = n->layer_count - 1;
    const tdsnn_code *read = n->layers[newest].code;
    for (int i = 0, source = newest; i < wanted; source = random_int(r, 0, newest)) {
        const tdsnn_code *code = n->layers[source].code;
        bool fits = code == read || (code != NULL && read != NULL && code->leak == read->leak);
        if (fits) {
            drive.terms[i++] = random_term(r, n, layer, source, unit, options);
            drive.term_count = i;
        }
    }
    random_bias(r, n, &drive, options->biases ? unit : 0.0);
    if (td_drive_close(n->arena, n->arena, &drive, n->layers, layer) != TDSNN_OK) {
        abort();
    }
}

static inline void random_pool(td_random *r, td_network *n, td_layer *layer) {
    td_layer *pre = &n->layers[n->layer_count - 1];
    td_synapses s = {.source = n->layer_count - 1, .view = pre->shape};
    layer->shape = (td_shape){.flat = false};
    s.window.y = random_pool_axis(r, s.view.h, false, &layer->shape.h);
    s.window.x = random_pool_axis(r, s.view.w, false, &layer->shape.w);
    random_range(r, s.view.c, &s.first_input, &s.inputs);
    s.outputs = s.groups = layer->shape.c = s.inputs;
    layer->code = pre->code;
    layer->event_values = pre->event_values;
    layer->pair = pre->pair;
    layer->negative = pre->negative;
    layer->negative_values = pre->negative_values;
    layer->synapses = random_alloc(n, 1, sizeof *layer->synapses);
    layer->synapses[0] = s;
    layer->synapse_count = 1;
    pre->feeds_pool = true;
}

/* A network of an input, one to five hidden layers and a read-out. Memory: td_network_destroy. */
static inline td_network *random_network(tdsnn_context *ctx, td_random *r,
                                         const random_network_options *options) {
    static const char *const names[] = {"input", "one", "two", "three", "four", "five", "six"};
    td_network *n = empty_network(ctx, "random.onnx", MAX_HIDDEN + 2);
    double leak = 1.0 + 30.0 * td_random_uniform(r);
    double input_leak =
        options->one_leak || options->ties ? leak : 1.0 + 60.0 * td_random_uniform(r);
    int hidden = random_int(r, 1, MAX_HIDDEN);
    for (int i = 0; i < hidden + 2; i++) {
        td_layer *layer = &n->layers[i];
        layer->name = names[i];
        layer->shape =
            (td_shape){random_int(r, 1, 6), random_int(r, 1, 7), random_int(r, 1, 7), false};
        bool last = i == hidden + 1;
        if (options->wide.c > 0) {
            layer->shape = options->wide;
            layer->shape.c = random_int(r, 1, options->wide.c);
        }
        if (last || td_random_below(r, 4) == 0) {
            layer->shape = (td_shape){random_int(r, 1, 20), 1, 1, i > 0};
        }
        if (i == 0 && !options->analog) {
            random_code(ctx, r, n, layer, input_leak, options);
        } else if (i > 0 && !last && n->layers[i - 1].code != NULL && random_one_in(r, 4)) {
            layer->kind = TD_LAYER_POOL;
            random_pool(r, n, layer);
        } else if (i > 0) {
            layer->kind = last ? TD_LAYER_READOUT : TD_LAYER_SYNAPSES;
            random_linear(ctx, r, n, layer, leak, options);
        }
        n->layer_count++;
    }
    n->classes = (int)td_shape_count(n->layers[hidden + 1].shape);
    return n;
}

/* Samples that use the whole window, of a pair both signs, and silence. */
static inline void random_sample(td_random *r, const td_network *n, float *input) {
    const td_layer *layer = &n->layers[0];
    double silence = random_one_in(r, 10) ? 1.0 : td_random_uniform(r) * 0.8;
    float largest = layer->code == NULL ? 1.0f : layer->code->values[layer->code->steps];
    for (size_t i = 0; i < td_shape_count(layer->shape); i++) {
        bool mute = td_random_uniform(r) < silence;
        float sign = layer->pair && random_one_in(r, 2) ? -1.0f : 1.0f;
        input[i] = mute ? 0.0f : sign * (float)(td_random_uniform(r) * 1.1) * largest;
    }
}

#endif
