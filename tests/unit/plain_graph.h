/* Random plain graphs, to be converted: those of random_graph.h with rectifiers where codes were,
 * and channels of very different sizes. */
#ifndef PLAIN_GRAPH_H
#define PLAIN_GRAPH_H

#include "random_graph.h"

/* Multiplies what a linear layer gives by 1/16 .. 16, another number a channel. */
static inline void spread_channels(td_random *random, const td_graph *graph, const td_node *node) {
    size_t inputs = (size_t)graph->nodes[node->inputs[0]].shape.c;
    size_t each = node->op == TD_OP_INNER
                      ? inputs
                      : inputs / (size_t)node->groups * (size_t)node->window.y.kernel *
                            (size_t)node->window.x.kernel;
    float *weights = (float *)node->weights, *bias = (float *)node->bias;
    for (size_t c = 0; c < (size_t)node->shape.c; c++) {
        float size = (float)exp2(8.0 * td_random_uniform(random) - 4.0);
        bias[c] *= size;
        for (size_t i = 0; i < each; i++) {
            weights[c * each + i] *= size;
        }
    }
}

static inline td_graph *plain_graph(tdsnn_context *ctx, uint64_t seed) {
    td_graph *graph = random_graph(ctx, seed);
    td_random random;
    td_random_seed(&random, seed, 9);
    for (int i = 0; i < graph->node_count; i++) {
        td_node *node = &graph->nodes[i];
        if (node->op == TD_OP_CODE) {
            node->op = node->negative == 0.0f ? TD_OP_RELU : TD_OP_LEAKY;
        } else if (node->op == TD_OP_CONV || node->op == TD_OP_INNER) {
            spread_channels(&random, graph, node);
        }
    }
    return graph;
}

/* Random data for it: 24 samples in [low, 1). NULL if there are none. */
static inline tdsnn_data *plain_graph_data(tdsnn_context *ctx, const td_graph *graph, float low) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    td_shape shape = graph->nodes[0].shape;
    options.shape[0] = shape.c;
    options.shape[1] = shape.h;
    options.shape[2] = shape.w;
    options.low = low;
    tdsnn_data *data = NULL;
    return tdsnn_data_open(ctx, "random:24", &options, &data) == TDSNN_OK ? data : NULL;
}

#endif
