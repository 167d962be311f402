#include "network/fold.h"

#include <string.h>

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

/* Sums that are constant for a tap: taps[c][tap] is what tap `tap`, where it is present, gives to
 * the neurons of channel c. They become a bias a channel or, where padding hides taps, a neuron. */

static bool hides_taps(const td_layer *layer, const td_synapses *s) {
    const td_axis *y = &s->window.y, *x = &s->window.x;
    return td_axis_total(y, layer->shape.h, s->view.h) !=
               (size_t)y->kernel * (size_t)layer->shape.h ||
           td_axis_total(x, layer->shape.w, s->view.w) !=
               (size_t)x->kernel * (size_t)layer->shape.w;
}

/* base[c] or base[c][p], plus the sums of the present taps, as float. */
static tdsnn_status spread(td_arena *arena, const td_layer *layer, const td_synapses *s,
                           const double *taps, const float *base, bool base_per_neuron,
                           const float **bias, bool *per_neuron) {
    *per_neuron = base_per_neuron || hides_taps(layer, s);
    size_t plane = (size_t)layer->shape.h * (size_t)layer->shape.w;
    size_t positions = *per_neuron ? plane : 1;
    float *out = td_arena_alloc(arena, (size_t)layer->shape.c * positions, sizeof *out);
    if (out == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    const td_axis *ay = &s->window.y, *ax = &s->window.x;
    for (size_t i = 0; i < (size_t)layer->shape.c * positions; i++) {
        size_t c = i / positions, p = i % positions;
        int y = (int)(p / (size_t)layer->shape.w), x = (int)(p % (size_t)layer->shape.w);
        int y0, y1, x0, x1;
        td_axis_taps(ay, y, s->view.h, &y0, &y1);
        td_axis_taps(ax, x, s->view.w, &x0, &x1);
        double sum = base[base_per_neuron ? i : c];
        for (int ky = y0; ky < y1; ky++) {
            for (int kx = x0; kx < x1; kx++) {
                sum += taps[c * tap_count(&s->window) + (size_t)(ky * ax->kernel + kx)];
            }
        }
        out[i] = (float)sum;
    }
    *bias = out;
    return TDSNN_OK;
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
    size_t channels = (size_t)layer->shape.c;
    s->weights = scale_weights(arena, layer, s, node->weights, affine->scale);
    float *bias = td_arena_alloc(arena, channels, sizeof *bias);
    if (s->weights == NULL || bias == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    memcpy(bias, node->bias, channels * sizeof *bias);
    layer->bias = bias;
    if (affine->scale == NULL) {
        return TDSNN_OK;
    }
    double *taps = td_arena_alloc(arena, channels * tap_count(&s->window), sizeof *taps);
    if (taps == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    add_tap_sums(layer, s, node->weights, affine->shift, taps);
    return spread(arena, layer, s, taps, bias, false, &layer->bias, &layer->bias_per_neuron);
}

tdsnn_status td_fold_offset(td_arena *arena, td_layer *layer, const td_layer *layers) {
    layer->event_bias = layer->bias;
    layer->event_bias_per_neuron = layer->bias_per_neuron;
    for (int i = 0; i < layer->synapse_count; i++) {
        const td_synapses *s = &layer->synapses[i];
        const tdsnn_code *code = layers[s->source].code;
        if (code == NULL || code->offset == 0) {
            continue;
        }
        size_t channels = (size_t)s->view.c;
        double *zero = td_arena_alloc(arena, channels, sizeof *zero);
        double *taps =
            td_arena_alloc(arena, (size_t)layer->shape.c * tap_count(&s->window), sizeof *taps);
        if (zero == NULL || taps == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        for (size_t c = 0; c < channels; c++) {
            zero[c] = tdsnn_code_value(code, 0);
        }
        add_tap_sums(layer, s, s->weights, zero, taps);
        tdsnn_status status =
            spread(arena, layer, s, taps, layer->event_bias, layer->event_bias_per_neuron,
                   &layer->event_bias, &layer->event_bias_per_neuron);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    return TDSNN_OK;
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
