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
        a->times[i] = td_alloc(ctx, td_shape_count(network->layers[i].shape), 1);
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

void td_activity_encode(const td_network *network, td_activity *a) {
    const td_layer *input = &network->layers[0];
    if (input->code == NULL) {
        return;
    }
    for (size_t i = 0; i < td_shape_count(input->shape); i++) {
        a->times[0][i] = (uint8_t)tdsnn_code_encode(input->code, a->input[i]);
    }
}

void td_pool_times(const td_layer *layer, const uint8_t *source, uint8_t *times) {
    const td_synapses *s = &layer->synapses[0];
    size_t plane = (size_t)s->view.h * (size_t)s->view.w;
    for (int c = 0; c < layer->shape.c; c++) {
        for (int y = 0; y < layer->shape.h; y++) {
            for (int x = 0; x < layer->shape.w; x++) {
                int y0, y1, x0, x1, latest = 0;
                td_axis_taps(&s->window.y, y, s->view.h, &y0, &y1);
                td_axis_taps(&s->window.x, x, s->view.w, &x0, &x1);
                for (int ky = y0; ky < y1; ky++) {
                    const uint8_t *row =
                        source + (size_t)c * plane +
                        (size_t)td_axis_input(&s->window.y, y, ky) * (size_t)s->view.w;
                    for (int kx = x0; kx < x1; kx++) {
                        int time = row[td_axis_input(&s->window.x, x, kx)];
                        latest = time > latest ? time : latest;
                    }
                }
                *times++ = (uint8_t)latest;
            }
        }
    }
}

int td_prediction(const float *logits, int classes) {
    int best = 0;
    for (int i = 1; i < classes; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}
