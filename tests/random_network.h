/* Random compiled networks, built by hand from a seed: layers with one to three pre-synaptic
 * populations, any window, group and code; more than any graph can express today. */
#ifndef RANDOM_NETWORK_H
#define RANDOM_NETWORK_H

#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "engine/engine.h"
#include "network/fold.h"

typedef struct random_network_options {
    int offset;              /* of all codes */
    tdsnn_rounding rounding; /* TABLE: silenced `nearest` */
    bool biases;
    bool one_leak; /* the input's leak is the hidden layers' */
    bool ties;     /* one scale, and layers that pass codes on: drives that are codes */
} random_network_options;

static inline int random_int(td_random *r, int low, int high) {
    return low + (int)td_random_below(r, (uint64_t)(high - low + 1));
}

static inline void *random_alloc(td_network *n, size_t count, size_t size) {
    void *memory = td_arena_alloc(n->arena, count, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* A code with a window of its own. */
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
    }
    float *events = random_alloc(n, TDSNN_MAX_STEPS + 1, sizeof *events);
    double zero = code->offset == 1 ? tdsnn_code_value(code, 0) : 0.0;
    for (int t = 1; t <= steps; t++) {
        events[t] = (float)(tdsnn_code_value(code, t) - zero);
    }
    layer->code = code;
    layer->event_values = events;
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

/* Synapses from layer `source`; weights of a size that makes drives of about the magnitude `unit`.
 */
static inline void random_synapses(td_random *r, td_network *n, td_layer *layer, td_synapses *s,
                                   int source, double unit, bool ties) {
    const td_layer *pre = &n->layers[source];
    bool inner = layer->shape.flat;
    *s = (td_synapses){.source = source, .view = pre->shape, .window = TD_WINDOW_ONE, .groups = 1};
    if (inner) {
        s->view = (td_shape){(int)td_shape_count(pre->shape), 1, 1, true};
    } else {
        s->window = (td_window){random_axis(r), random_axis(r)};
        s->groups = random_groups(r, s->view.c, layer->shape.c);
    }
    size_t inputs =
        (size_t)(s->view.c / s->groups) * (size_t)s->window.y.kernel * (size_t)s->window.x.kernel;
    size_t count = (size_t)layer->shape.c * inputs;
    float *weights = random_alloc(n, count, sizeof *weights);
    double typical = pre->code->values[pre->code->steps] * sqrt((double)inputs) * 0.3;
    for (size_t i = 0; i < count && !ties; i++) {
        weights[i] = (float)(td_random_normal(r) * unit / typical);
    }
    for (int c = 0; c < layer->shape.c && ties; c++) {
        weights[(size_t)c * inputs + td_random_below(r, inputs)] = 1.0f;
    }
    s->weights = weights;
}

static inline void random_bias(td_random *r, td_network *n, td_layer *layer, double unit) {
    layer->bias_per_neuron = td_random_below(r, 3) == 0;
    size_t count = layer->bias_per_neuron ? td_shape_count(layer->shape) : (size_t)layer->shape.c;
    float *bias = random_alloc(n, count, sizeof *bias);
    for (size_t i = 0; i < count; i++) {
        bias[i] = (float)(td_random_normal(r) * unit * 0.5);
    }
    layer->bias = bias;
}

/* A layer of neurons, or the read-out, reading one to three earlier layers of one leak. */
static inline void random_linear(tdsnn_context *ctx, td_random *r, td_network *n, td_layer *layer,
                                 double leak, const random_network_options *options) {
    int index = n->layer_count;
    double unit = 1.0;
    if (layer->kind == TD_LAYER_SYNAPSES) {
        random_code(ctx, r, n, layer, leak, options);
        unit = layer->code->values[layer->code->steps] * 0.6;
    }
    layer->synapses = random_alloc(n, 3, sizeof *layer->synapses);
    int wanted = options->ties ? 1 : random_int(r, 1, 3), newest = index - 1;
    for (int source = newest; source >= 0 && layer->synapse_count < wanted; source--) {
        if (n->layers[source].code->leak == n->layers[newest].code->leak) {
            random_synapses(r, n, layer, &layer->synapses[layer->synapse_count++], source, unit,
                            options->ties);
        }
    }
    random_bias(r, n, layer, options->biases ? unit : 0.0);
    if (td_fold_offset(n->arena, layer, n->layers) != TDSNN_OK ||
        td_pack_weights(n->arena, layer) != TDSNN_OK) {
        abort();
    }
}

static inline void random_pool(td_random *r, td_network *n, td_layer *layer) {
    td_layer *pre = &n->layers[n->layer_count - 1];
    layer->shape.c = pre->shape.c;
    layer->shape.flat = false;
    layer->code = pre->code;
    layer->event_values = pre->event_values;
    layer->synapses = random_alloc(n, 1, sizeof *layer->synapses);
    layer->synapses[0] = (td_synapses){.source = n->layer_count - 1,
                                       .view = pre->shape,
                                       .window = {random_axis(r), random_axis(r)},
                                       .groups = pre->shape.c};
    layer->synapse_count = 1;
    pre->feeds_pool = true;
}

/* A network of an input, one to five hidden layers and a read-out. Memory: td_network_destroy. */
static inline td_network *random_network(tdsnn_context *ctx, td_random *r,
                                         const random_network_options *options) {
    static const char *const names[] = {"input", "one", "two", "three", "four", "five", "six"};
    td_arena *arena = td_arena_create(ctx);
    td_network *n = td_arena_alloc(arena, 1, sizeof *n);
    *n = (td_network){.arena = arena, .path = "random.onnx"};
    double leak = 1.0 + 30.0 * td_random_uniform(r);
    double input_leak =
        options->one_leak || options->ties ? leak : 1.0 + 60.0 * td_random_uniform(r);
    int hidden = random_int(r, 1, 5);
    n->layers = random_alloc(n, (size_t)hidden + 2, sizeof *n->layers);
    for (int i = 0; i < hidden + 2; i++) {
        td_layer *layer = &n->layers[i];
        layer->name = names[i];
        layer->shape =
            (td_shape){random_int(r, 1, 6), random_int(r, 1, 7), random_int(r, 1, 7), false};
        bool last = i == hidden + 1;
        if (last || td_random_below(r, 4) == 0) {
            layer->shape = (td_shape){random_int(r, 1, 20), 1, 1, i > 0};
        }
        if (i == 0) {
            random_code(ctx, r, n, layer, input_leak, options);
        } else if (!last && td_random_below(r, 4) == 0) {
            layer->kind = TD_LAYER_POOL;
            random_pool(r, n, layer);
        } else {
            layer->kind = last ? TD_LAYER_READOUT : TD_LAYER_SYNAPSES;
            random_linear(ctx, r, n, layer, leak, options);
        }
        n->layer_count++;
    }
    n->classes = (int)td_shape_count(n->layers[hidden + 1].shape);
    return n;
}

/* Samples that use the whole window, and silence. */
static inline void random_sample(td_random *r, const td_network *n, float *input) {
    const tdsnn_code *code = n->layers[0].code;
    double silence = td_random_below(r, 10) == 0 ? 1.0 : td_random_uniform(r) * 0.8;
    for (size_t i = 0; i < td_shape_count(n->layers[0].shape); i++) {
        bool mute = td_random_uniform(r) < silence;
        input[i] = mute ? 0.0f : (float)(td_random_uniform(r) * 1.1) * code->values[code->steps];
    }
}

#endif
