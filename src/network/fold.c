#include "network/fold.h"

static size_t tap_count(const td_window *w) {
    return (size_t)w->y.kernel * (size_t)w->x.kernel;
}

static tdsnn_status affine_alloc(td_arena *arena, size_t channels, td_affine *out) {
    out->scale = td_arena_alloc(arena, channels, sizeof *out->scale);
    out->shift = td_arena_alloc(arena, channels, sizeof *out->shift);
    return out->scale == NULL || out->shift == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

tdsnn_status td_affine_apply(td_arena *arena, const td_node *node, const td_affine *in,
                             td_affine *out) {
    td_affine result;
    if (affine_alloc(arena, (size_t)node->shape.c, &result) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int c = 0; c < node->shape.c; c++) {
        double operand = node->operand[c];
        double scale = in->scale == NULL ? 1.0 : in->scale[c];
        double shift = in->scale == NULL ? 0.0 : in->shift[c];
        switch (node->op) {
        case TD_OP_SUB:
            shift -= operand;
            break;
        case TD_OP_SHIFT:
            shift += operand;
            break;
        case TD_OP_DIV:
            scale /= operand;
            shift /= operand;
            break;
        default: /* TD_OP_MUL */
            scale *= operand;
            shift *= operand;
            break;
        }
        result.scale[c] = scale;
        result.shift[c] = shift;
    }
    *out = result;
    return TDSNN_OK;
}

tdsnn_status td_affine_flatten(td_arena *arena, td_shape shape, const td_affine *in,
                               td_affine *out) {
    if (in->scale == NULL) {
        *out = *in;
        return TDSNN_OK;
    }
    td_affine result;
    if (affine_alloc(arena, td_shape_count(shape), &result) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    size_t plane = (size_t)shape.h * (size_t)shape.w;
    for (size_t i = 0; i < td_shape_count(shape); i++) {
        result.scale[i] = in->scale[i / plane];
        result.shift[i] = in->shift[i / plane];
    }
    *out = result;
    return TDSNN_OK;
}

/* Whether padding hides taps of some neurons from this population. */
static bool hides_taps(const td_layer *layer, const td_synapses *s) {
    const td_axis *y = &s->window.y, *x = &s->window.x;
    return td_axis_total(y, layer->shape.h, s->view.h) !=
               (size_t)y->kernel * (size_t)layer->shape.h ||
           td_axis_total(x, layer->shape.w, s->view.w) !=
               (size_t)x->kernel * (size_t)layer->shape.w;
}

/* A bias being summed in double: [C] or, where padding hides taps, [C][H][W]. */
typedef struct bias_sum {
    double *sums;
    bool per_neuron;
} bias_sum;

static size_t bias_positions(const td_layer *layer, bool per_neuron) {
    return per_neuron ? (size_t)layer->shape.h * (size_t)layer->shape.w : 1;
}

/* Starts at `bias`, [C] or [C][H][W]. */
static tdsnn_status bias_start(td_arena *arena, const td_layer *layer, const float *bias,
                               bool bias_per_neuron, bool per_neuron, bias_sum *out) {
    size_t positions = bias_positions(layer, per_neuron), channels = (size_t)layer->shape.c;
    double *sums = td_arena_alloc(arena, channels * positions, sizeof *sums);
    if (sums == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < channels * positions; i++) {
        sums[i] = bias[bias_per_neuron ? i : i / positions];
    }
    *out = (bias_sum){sums, per_neuron};
    return TDSNN_OK;
}

/* Adds a constant a tap, taps[C][kh * kw], to every neuron for which the tap is present. */
static void bias_add_taps(const td_layer *layer, const td_synapses *s, const double *taps,
                          bias_sum *bias) {
    const td_axis *ay = &s->window.y, *ax = &s->window.x;
    size_t positions = bias_positions(layer, bias->per_neuron);
    for (size_t i = 0; i < (size_t)layer->shape.c * positions; i++) {
        size_t c = i / positions, p = i % positions;
        int y0, y1, x0, x1;
        td_axis_taps(ay, (int)p / layer->shape.w, s->view.h, &y0, &y1);
        td_axis_taps(ax, (int)p % layer->shape.w, s->view.w, &x0, &x1);
        for (int ky = y0; ky < y1; ky++) {
            for (int kx = x0; kx < x1; kx++) {
                bias->sums[i] += taps[c * tap_count(&s->window) + (size_t)(ky * ax->kernel + kx)];
            }
        }
    }
}

/* Rounded to float, once. */
static const float *bias_round(td_arena *arena, const td_layer *layer, const bias_sum *bias) {
    size_t count = (size_t)layer->shape.c * bias_positions(layer, bias->per_neuron);
    float *rounded = td_arena_alloc(arena, count, sizeof *rounded);
    for (size_t i = 0; rounded != NULL && i < count; i++) {
        rounded[i] = (float)bias->sums[i];
    }
    return rounded;
}

/* Adds sum over inputs of w[c][i][tap] constant[i] to taps[c][tap]; weights as in td_synapses. */
static void add_tap_sums(const td_layer *layer, const td_synapses *s, const float *weights,
                         const double *constant, double *taps) {
    size_t inputs = (size_t)(s->view.c / s->groups), window = tap_count(&s->window);
    size_t outputs = (size_t)(layer->shape.c / s->groups);
    for (size_t c = 0; c < (size_t)layer->shape.c; c++) {
        size_t first = c / outputs * inputs; /* the first input channel of its group */
        for (size_t i = 0; i < inputs; i++) {
            for (size_t k = 0; k < window; k++) {
                taps[c * window + k] +=
                    weights[(c * inputs + i) * window + k] * constant[first + i];
            }
        }
    }
}

/* weights x scale, rounded once. */
static const float *scale_weights(td_arena *arena, const td_layer *layer, const td_synapses *s,
                                  const float *weights, const double *scale) {
    size_t inputs = (size_t)(s->view.c / s->groups), window = tap_count(&s->window);
    size_t outputs = (size_t)(layer->shape.c / s->groups);
    size_t count = (size_t)layer->shape.c * inputs * window;
    float *scaled = td_arena_alloc(arena, count, sizeof *scaled);
    if (scaled == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t c = i / (inputs * window), input = i / window % inputs;
        double factor = scale == NULL ? 1.0 : scale[c / outputs * inputs + input];
        scaled[i] = (float)(weights[i] * factor);
    }
    return scaled;
}

tdsnn_status td_fold_affine(td_arena *arena, td_layer *layer, const td_node *node,
                            const td_affine *affine) {
    td_synapses *s = &layer->synapses[0];
    bias_sum bias;
    layer->bias_per_neuron = affine->scale != NULL && hides_taps(layer, s);
    s->weights = scale_weights(arena, layer, s, node->weights, affine->scale);
    double *taps =
        td_arena_alloc(arena, (size_t)layer->shape.c * tap_count(&s->window), sizeof *taps);
    if (s->weights == NULL || taps == NULL ||
        bias_start(arena, layer, node->bias, false, layer->bias_per_neuron, &bias) != TDSNN_OK) {
        return TDSNN_ERR_RUNTIME;
    }
    if (affine->scale != NULL) {
        add_tap_sums(layer, s, node->weights, affine->shift, taps);
        bias_add_taps(layer, s, taps, &bias);
    }
    layer->bias = bias_round(arena, layer, &bias);
    return layer->bias == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static bool has_offset(const td_layer *layers, const td_synapses *s) {
    return layers[s->source].code != NULL && layers[s->source].code->offset == 1;
}

/* Adds sum w v_0 over the present taps of one population. */
static tdsnn_status add_offset(td_arena *arena, const td_layer *layer, const td_layer *layers,
                               const td_synapses *s, bias_sum *bias) {
    double *zero = td_arena_alloc(arena, (size_t)s->view.c, sizeof *zero);
    double *taps =
        td_arena_alloc(arena, (size_t)layer->shape.c * tap_count(&s->window), sizeof *taps);
    if (zero == NULL || taps == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int c = 0; c < s->view.c; c++) {
        zero[c] = tdsnn_code_value(layers[s->source].code, 0);
    }
    add_tap_sums(layer, s, s->weights, zero, taps);
    bias_add_taps(layer, s, taps, bias);
    return TDSNN_OK;
}

tdsnn_status td_fold_offset(td_arena *arena, td_layer *layer, const td_layer *layers) {
    layer->event_bias = layer->bias;
    layer->event_bias_per_neuron = layer->bias_per_neuron;
    bool any = false;
    for (int i = 0; i < layer->synapse_count; i++) {
        const td_synapses *s = &layer->synapses[i];
        any = any || has_offset(layers, s);
        layer->event_bias_per_neuron |= has_offset(layers, s) && hides_taps(layer, s);
    }
    bias_sum bias;
    if (!any) {
        return TDSNN_OK;
    }
    tdsnn_status status = bias_start(arena, layer, layer->bias, layer->bias_per_neuron,
                                     layer->event_bias_per_neuron, &bias);
    for (int i = 0; i < layer->synapse_count && status == TDSNN_OK; i++) {
        if (has_offset(layers, &layer->synapses[i])) {
            status = add_offset(arena, layer, layers, &layer->synapses[i], &bias);
        }
    }
    layer->event_bias = status == TDSNN_OK ? bias_round(arena, layer, &bias) : NULL;
    return layer->event_bias == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

/* One group's weights in the normative order. */
static void pack_group(float *packed, const float *weights, size_t inputs, size_t outputs,
                       size_t window) {
    for (size_t first = 0; first < inputs; first += TD_CHANNEL_BLOCK) {
        size_t end = first + TD_CHANNEL_BLOCK < inputs ? first + TD_CHANNEL_BLOCK : inputs;
        for (size_t k = 0; k < window; k++) {
            for (size_t i = first; i < end; i++) {
                for (size_t o = 0; o < outputs; o++) {
                    *packed++ = weights[(o * inputs + i) * window + k];
                }
            }
        }
    }
}

tdsnn_status td_pack_weights(td_arena *arena, td_layer *layer) {
    for (int i = 0; i < layer->synapse_count; i++) {
        td_synapses *s = &layer->synapses[i];
        size_t inputs = (size_t)(s->view.c / s->groups), window = tap_count(&s->window);
        size_t outputs = (size_t)(layer->shape.c / s->groups);
        size_t group = inputs * outputs * window;
        float *packed = td_arena_alloc(arena, group * (size_t)s->groups, sizeof *packed);
        if (packed == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        for (size_t g = 0; g < (size_t)s->groups; g++) {
            pack_group(packed + g * group, s->weights + g * group, inputs, outputs, window);
        }
        s->packed = packed;
    }
    return TDSNN_OK;
}
