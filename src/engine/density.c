/* How many of each layer's values are events: what plans are chosen by. */
#include "engine/event.h"

#include <string.h>

void td_add_densities(const td_network *network, const td_activity *a, double *densities) {
    for (int i = 0; i < network->layer_count; i++) {
        const td_layer *layer = &network->layers[i];
        size_t count = td_shape_count(layer->shape), events = 0;
        for (size_t k = 0; a->times[i] != NULL && k < count; k++) {
            events += a->times[i][k] != 0 || (layer->pair && a->times[i][count + k] != 0);
        }
        densities[i] += (double)(a->times[i] == NULL ? count : events) / (double)count;
    }
}

/* Means over the samples, run by a plan that knows none. */
static tdsnn_status measure(tdsnn_context *ctx, const td_network *network, const td_plan *plan,
                            const float *samples, size_t count, double *densities) {
    td_session *session = NULL;
    td_activity *a = NULL;
    size_t values = td_shape_count(network->layers[0].shape);
    tdsnn_status status = td_session_create(ctx, plan, 1, &session);
    if (status == TDSNN_OK) {
        status = td_activity_create(ctx, network, &a);
    }
    for (size_t i = 0; i < count && status == TDSNN_OK; i++) {
        memcpy(a->input, samples + i * values, values * sizeof *samples);
        td_session_run(session, a, true);
        td_add_densities(network, a, densities);
    }
    for (int i = 0; i < network->layer_count; i++) {
        densities[i] /= (double)count;
    }
    td_activity_destroy(a);
    td_session_destroy(session);
    return status;
}

tdsnn_status td_plan_create_measured(tdsnn_context *ctx, const td_network *network,
                                     const td_kernels *kernels, const float *samples, size_t count,
                                     td_plan **plan) {
    if (count == 0) {
        return td_plan_create(ctx, network, kernels, NULL, plan);
    }
    td_plan *first = NULL;
    double *densities = td_alloc(ctx, (size_t)network->layer_count, sizeof *densities);
    tdsnn_status status = densities == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    if (status == TDSNN_OK) {
        status = td_plan_create(ctx, network, kernels, NULL, &first);
    }
    if (status == TDSNN_OK) {
        status = measure(ctx, network, first, samples, count, densities);
    }
    td_plan_destroy(first);
    if (status == TDSNN_OK) {
        status = td_plan_create(ctx, network, kernels, densities, plan);
    }
    td_free(densities);
    return status;
}
