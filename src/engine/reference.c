/* The reference engine: for every neuron one normative sum in float,
 *     A = b + sum over populations, blocks of input channels, kernel rows, kernel columns, channels
 *         of w v(T),
 * each term one fused multiply-add, then + 0.0f, then the code [P 10, 11]. Inputs at T = 0 are
 * skipped: a fused multiply-add with zero leaves the bits. */
#include "engine/engine.h"

#include "engine/fma_row.h"

struct td_reference {
    const td_network *network;
    td_fma_row_fn fma_row;
    float *values; /* [position][channel] of the population being read */
    float *sums;   /* [position][channel] of the layer being run */
};

tdsnn_status td_reference_create(tdsnn_context *ctx, const td_network *network,
                                 td_reference **out) {
    size_t largest = 1;
    for (int i = 0; i < network->layer_count; i++) {
        size_t count = td_shape_count(network->layers[i].shape);
        largest = count > largest ? count : largest;
    }
    td_reference *r = td_alloc(ctx, 1, sizeof *r);
    if (r == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    r->network = network;
    r->fma_row = td_fma_row_best();
    r->values = td_alloc(ctx, largest, sizeof *r->values);
    r->sums = td_alloc(ctx, largest, sizeof *r->sums);
    if (r->values == NULL || r->sums == NULL) {
        td_reference_destroy(r);
        return TDSNN_ERR_RUNTIME;
    }
    *out = r;
    return TDSNN_OK;
}

void td_reference_destroy(td_reference *r) {
    if (r == NULL) {
        return;
    }
    td_free(r->values);
    td_free(r->sums);
    td_free(r);
}

/* What the spikes of a population stand for, channels innermost, as its reader sees it. */
static void look_up_values(td_reference *r, const td_synapses *s, const td_activity *a) {
    const td_layer *source = &r->network->layers[s->source];
    size_t plane = (size_t)s->view.h * (size_t)s->view.w, channels = (size_t)s->view.c;
    for (size_t c = 0; c < channels; c++) {
        for (size_t p = 0; p < plane; p++) {
            size_t i = c * plane + p;
            r->values[p * channels + c] =
                source->code == NULL ? a->input[i] : source->event_values[a->times[s->source][i]];
        }
    }
}

/* Adds the events of one tap and one block of input channels to the sums of a group. */
static void add_block(const td_reference *r, float *sums, const float *values, size_t inputs,
                      const float *packed, size_t outputs) {
    for (size_t i = 0; i < inputs; i++) {
        if (values[i] != 0.0f) {
            r->fma_row(sums, packed + i * outputs, values[i], outputs);
        }
    }
}

/* Adds group g of one population to the sums of output (y, x), in the normative order. */
static void add_group(const td_reference *r, const td_synapses *s, size_t g, size_t outputs, int y,
                      int x, float *sums) {
    size_t inputs = (size_t)(s->view.c / s->groups);
    size_t window = (size_t)s->window.y.kernel * (size_t)s->window.x.kernel;
    const float *packed = s->packed + g * inputs * outputs * window;
    const float *values = r->values + g * inputs;
    int y0, y1, x0, x1;
    td_axis_taps(&s->window.y, y, s->view.h, &y0, &y1);
    td_axis_taps(&s->window.x, x, s->view.w, &x0, &x1);
    for (size_t first = 0; first < inputs; first += TD_CHANNEL_BLOCK) {
        size_t block = inputs - first < TD_CHANNEL_BLOCK ? inputs - first : TD_CHANNEL_BLOCK;
        const float *block_packed = packed + first * window * outputs;
        for (int ky = y0; ky < y1; ky++) {
            for (int kx = x0; kx < x1; kx++) {
                int position = td_axis_input(&s->window.y, y, ky) * s->view.w +
                               td_axis_input(&s->window.x, x, kx);
                size_t tap = (size_t)(ky * s->window.x.kernel + kx);
                add_block(r, sums, values + (size_t)position * (size_t)s->view.c + first, block,
                          block_packed + tap * block * outputs, outputs);
            }
        }
    }
}

static void add_population(const td_reference *r, const td_synapses *s, td_shape shape) {
    size_t outputs = (size_t)(shape.c / s->groups);
    for (int p = 0; p < shape.h * shape.w; p++) {
        float *sums = r->sums + (size_t)p * (size_t)shape.c;
        for (size_t g = 0; g < (size_t)s->groups; g++) {
            add_group(r, s, g, outputs, p / shape.w, p % shape.w, sums + g * outputs);
        }
    }
}

static void start_at_bias(td_reference *r, const td_layer *layer) {
    int plane = layer->shape.h * layer->shape.w;
    for (int p = 0; p < plane; p++) {
        for (int c = 0; c < layer->shape.c; c++) {
            r->sums[(size_t)p * (size_t)layer->shape.c + (size_t)c] =
                td_layer_event_bias(layer, c, p);
        }
    }
}

/* The drives of a layer become spike times, or logits. The 0.0f makes of a drive of -0 a +0. */
static void finish(const td_reference *r, const td_layer *layer, uint8_t *times, float *logits) {
    size_t plane = (size_t)layer->shape.h * (size_t)layer->shape.w;
    size_t channels = (size_t)layer->shape.c;
    for (size_t c = 0; c < channels; c++) {
        for (size_t p = 0; p < plane; p++) {
            float drive = r->sums[p * channels + c] + 0.0f;
            if (layer->kind == TD_LAYER_READOUT) {
                logits[c * plane + p] = drive;
            } else {
                times[c * plane + p] = (uint8_t)tdsnn_code_encode(layer->code, drive);
            }
        }
    }
}

void td_reference_run(td_reference *r, td_activity *a) {
    td_activity_encode(r->network, a);
    for (int i = 1; i < r->network->layer_count; i++) {
        const td_layer *layer = &r->network->layers[i];
        if (layer->kind == TD_LAYER_POOL) {
            td_pool_times(layer, a->times[layer->synapses[0].source], a->times[i]);
            continue;
        }
        start_at_bias(r, layer);
        for (int k = 0; k < layer->synapse_count; k++) {
            look_up_values(r, &layer->synapses[k], a);
            add_population(r, &layer->synapses[k], layer->shape);
        }
        finish(r, layer, a->times[i], a->logits);
    }
}
