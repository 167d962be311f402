/* The reference engine: for every neuron one normative sum in float,
 *     A = b + sum over populations, blocks of input channels, kernel rows, kernel columns, channels
 *         of w v(T),
 * each term one fused multiply-add (averages are finished first), then + 0.0f, then the code [P 10,
 * 11]. Inputs at T = 0 are skipped: a fused multiply-add with zero leaves the bits. */
#include <math.h>

#include "engine/engine.h"
#include "engine/fma_row.h"

struct td_reference {
    const td_network *network;
    td_fma_row_fn fma_row;
    float *plain;  /* [channel][position] of the population being read */
    float *means;  /* [channel][position] of its averages */
    float *values; /* [position][channel] of what the synapses read */
    float *sums;   /* [position][channel] of the layer being run */
};

/* Of all layers and of all averages, which a padded pool can make more than there are values. */
static size_t largest_buffer(const td_network *network) {
    size_t largest = 1;
    for (int i = 0; i < network->layer_count; i++) {
        const td_layer *layer = &network->layers[i];
        size_t count = td_shape_count(layer->shape);
        largest = count > largest ? count : largest;
        for (int k = 0; k < layer->synapse_count; k++) {
            count = td_shape_count(layer->synapses[k].view);
            largest = count > largest ? count : largest;
        }
    }
    return largest;
}

tdsnn_status td_reference_create(tdsnn_context *ctx, const td_network *network,
                                 td_reference **out) {
    size_t largest = largest_buffer(network);
    td_reference *r = td_alloc(ctx, 1, sizeof *r);
    if (r == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    r->network = network;
    r->fma_row = td_fma_row_for(td_kernels_find(NULL));
    float **buffers[] = {&r->plain, &r->means, &r->values, &r->sums};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        *buffers[i] = td_alloc(ctx, largest, sizeof(float));
        if (*buffers[i] == NULL) {
            td_reference_destroy(r);
            return TDSNN_ERR_RUNTIME;
        }
    }
    *out = r;
    return TDSNN_OK;
}

void td_reference_destroy(td_reference *r) {
    if (r == NULL) {
        return;
    }
    td_free(r->plain);
    td_free(r->means);
    td_free(r->values);
    td_free(r->sums);
    td_free(r);
}

/* What the spikes of a population stand for. */
static void look_up_values(td_reference *r, const td_synapses *s, const td_activity *a) {
    const td_layer *source = &r->network->layers[s->source];
    size_t count = td_shape_count(source->shape);
    for (size_t i = 0; i < count; i++) {
        r->plain[i] = source->code == NULL
                          ? a->input[i]
                          : td_layer_event_value(source, a->times[s->source], i, count);
    }
}

/* The mean of one window, a sum of its own that is finished first: fma by float(1/N), rows, then
 * columns. */
static float mean(const td_synapses *s, const float *plane, td_shape in, int y, int x) {
    int y0, y1, x0, x1;
    td_axis_taps(&s->average.y, y, in.h, &y0, &y1);
    td_axis_taps(&s->average.x, x, in.w, &x0, &x1);
    float share = td_average_share(s, (y1 - y0) * (x1 - x0)), sum = 0.0f;
    for (int ky = y0; ky < y1; ky++) {
        const float *row = plane + (size_t)td_axis_input(&s->average.y, y, ky) * (size_t)in.w;
        for (int kx = x0; kx < x1; kx++) {
            sum = fmaf(row[td_axis_input(&s->average.x, x, kx)], share, sum);
        }
    }
    return sum;
}

static void average_values(td_reference *r, const td_synapses *s) {
    td_shape in = r->network->layers[s->source].shape;
    float *means = r->means;
    for (int c = 0; c < s->averaged.c; c++) {
        const float *plane = r->plain + (size_t)c * (size_t)in.h * (size_t)in.w;
        for (int y = 0; y < s->averaged.h; y++) {
            for (int x = 0; x < s->averaged.w; x++) {
                *means++ = mean(s, plane, in, y, x);
            }
        }
    }
}

/* The population as its reader sees it, channels innermost. */
static void read_population(td_reference *r, const td_synapses *s, const td_activity *a) {
    size_t plane = (size_t)s->view.h * (size_t)s->view.w, channels = (size_t)s->view.c;
    look_up_values(r, s, a);
    if (s->averages) {
        average_values(r, s);
    }
    const float *from = s->averages ? r->means : r->plain;
    for (size_t c = 0; c < channels; c++) {
        for (size_t p = 0; p < plane; p++) {
            r->values[p * channels + c] = from[c * plane + p];
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

/* Adds group g of one population to its sums at output (y, x), in the normative order. */
static void add_group(const td_reference *r, const td_synapses *s, size_t g, int y, int x,
                      float *sums) {
    size_t inputs = (size_t)(s->inputs / s->groups), outputs = (size_t)(s->outputs / s->groups);
    size_t window = (size_t)s->window.y.kernel * (size_t)s->window.x.kernel;
    const float *packed = s->packed + g * inputs * outputs * window;
    const float *values = r->values + (size_t)s->first_input + g * inputs;
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
    size_t outputs = (size_t)(s->outputs / s->groups);
    for (int y = 0; y < shape.h; y++) {
        for (int x = 0; x < shape.w; x++) {
            size_t position = (size_t)y * (size_t)shape.w + (size_t)x;
            float *sums = r->sums + position * (size_t)shape.c + (size_t)s->first_output;
            for (size_t g = 0; g < (size_t)s->groups; g++) {
                add_group(r, s, g, y, x, sums + g * outputs);
            }
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
                td_layer_encode(layer, drive, times, c * plane + p);
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
            read_population(r, &layer->synapses[k], a);
            add_population(r, &layer->synapses[k], layer->shape);
        }
        finish(r, layer, a->times[i], a->logits);
    }
}
