#include "engine/engine.h"

static tdsnn_status fill(tdsnn_context *ctx, const td_network *network, td_activity *a) {
    a->layer_count = network->layer_count;
    a->times = td_alloc(ctx, (size_t)network->layer_count, sizeof *a->times);
    a->input = td_alloc(ctx, td_shape_count(network->layers[0].shape), sizeof *a->input);
    a->logits = td_alloc(ctx, (size_t)network->classes, sizeof *a->logits);
    if (a->times == NULL || a->input == NULL || a->logits == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < network->layer_count; i++) {
        if (network->layers[i].code == NULL) {
            continue;
        }
        a->times[i] = td_alloc(ctx, td_layer_neurons(&network->layers[i]), 1);
        if (a->times[i] == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return TDSNN_OK;
}

tdsnn_status td_activity_create(tdsnn_context *ctx, const td_network *network, td_activity **out) {
    td_activity *a = td_alloc(ctx, 1, sizeof *a);
    if (a == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (fill(ctx, network, a) != TDSNN_OK) {
        td_activity_destroy(a);
        return TDSNN_ERR_RUNTIME;
    }
    *out = a;
    return TDSNN_OK;
}

void td_activity_destroy(td_activity *a) {
    if (a == NULL) {
        return;
    }
    for (int i = 0; a->times != NULL && i < a->layer_count; i++) {
        td_free(a->times[i]);
    }
    td_free(a->times);
    td_free(a->input);
    td_free(a->logits);
    td_free(a);
}

void td_layer_encode(const td_layer *layer, float drive, uint8_t *times, size_t i) {
    times[i] = (uint8_t)tdsnn_code_encode(layer->code, drive);
    if (layer->pair) {
        times[td_shape_count(layer->shape) + i] = (uint8_t)tdsnn_code_encode(layer->code, -drive);
    }
}

void td_activity_encode(const td_network *network, td_activity *a) {
    const td_layer *input = &network->layers[0];
    if (input->code == NULL) {
        return;
    }
    for (size_t i = 0; i < td_shape_count(input->shape); i++) {
        td_layer_encode(input, a->input[i], a->times[0], i);
    }
}

/* The latest, or the first, spike of the members of one window; 0 without members. */
static uint8_t pool_window(const td_synapses *s, const uint8_t *plane, int y, int x, bool first) {
    int y0, y1, x0, x1, best = -1;
    td_axis_taps(&s->window.y, y, s->view.h, &y0, &y1);
    td_axis_taps(&s->window.x, x, s->view.w, &x0, &x1);
    for (int ky = y0; ky < y1; ky++) {
        const uint8_t *row = plane + (size_t)td_axis_input(&s->window.y, y, ky) * (size_t)s->view.w;
        for (int kx = x0; kx < x1; kx++) {
            int time = row[td_axis_input(&s->window.x, x, kx)];
            best = best < 0 || (first ? time < best : time > best) ? time : best;
        }
    }
    return (uint8_t)(best < 0 ? 0 : best);
}

void td_pool_times(const td_layer *layer, const uint8_t *source, uint8_t *times) {
    const td_synapses *s = &layer->synapses[0];
    size_t plane = (size_t)s->view.h * (size_t)s->view.w;
    for (int half = 0; half < (layer->pair ? 2 : 1); half++) {
        const uint8_t *from =
            source + (size_t)half * td_shape_count(s->view) + (size_t)s->first_input * plane;
        for (int c = 0; c < layer->shape.c; c++) {
            for (int y = 0; y < layer->shape.h; y++) {
                for (int x = 0; x < layer->shape.w; x++) {
                    *times++ = pool_window(s, from + (size_t)c * plane, y, x, half == 1);
                }
            }
        }
    }
}

int td_prediction(const float *logits, int classes) {
    int best = classes == 1 && logits[0] > 0.0f;
    for (int i = 1; i < classes; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}
