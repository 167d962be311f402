/* The reference engine against the dense oracle, which runs the same graph node by node, constants
 * and zero padding as they stand there. The two add in different orders, so a spike time may differ
 * where the drive lies at a threshold, and nowhere else. */
#include "engine/engine.h"

#include <math.h>
#include <string.h>

#include "dense/dense.h"
#include "random_graph.h"
#include "tap.h"

#define GRAPHS 200

static int node_named(const td_graph *graph, const char *name) {
    for (int i = 0; i < graph->node_count; i++) {
        if (strcmp(graph->nodes[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* Whether the drive lies between the two codes up to rounding. */
static bool at_threshold(const tdsnn_code *code, float drive, int time) {
    double slack = 1e-4 * (1.0 + fabs((double)drive));
    return tdsnn_code_encode_double(code, drive - slack) <= time &&
           time <= tdsnn_code_encode_double(code, drive + slack);
}

typedef struct tally {
    size_t neurons, differing, wrong, logits_wrong;
} tally;

/* What the dense graph gives where this layer computes its drives: the node that the layer is named
 * after, or what the code of that name reads. NULL for a pool over a part of a concatenation. */
static const float *dense_drives(const td_graph *graph, const td_dense *dense,
                                 const td_layer *layer) {
    int node = node_named(graph, layer->name);
    if (node < 0) {
        node = layer->kind == TD_LAYER_READOUT ? td_graph_logits(graph) : -1;
    } else if (graph->nodes[node].op == TD_OP_CODE) {
        node = graph->nodes[node].inputs[0];
    }
    return node < 0 ? NULL : td_dense_value(dense, node);
}

/* Compares one value of a layer: 1 if a spike time differs. */
static size_t compare_value(const td_layer *layer, const td_activity *a, int index, size_t n,
                            float dense, tally *sum) {
    size_t count = td_shape_count(layer->shape), differing = 0;
    if (layer->kind == TD_LAYER_READOUT) {
        sum->logits_wrong += !(fabsf(dense - a->logits[n]) <= 1e-3f);
        return 0;
    }
    const uint8_t *times = a->times[index];
    if (layer->kind == TD_LAYER_POOL) {
        float value = layer->code->values[times[n]];
        value -= layer->pair ? layer->negative * layer->code->values[times[count + n]] : 0.0f;
        sum->wrong += dense != value;
        return dense != value;
    }
    for (int half = 0; half < (layer->pair ? 2 : 1); half++) {
        float drive = half == 0 ? dense : -dense;
        int time = times[(size_t)half * count + n];
        if (tdsnn_code_encode(layer->code, drive) != time) {
            differing = 1;
            sum->wrong += !at_threshold(layer->code, drive, time);
        }
    }
    return differing;
}

/* Compares layer after layer, up to the first on which the two differ: from there on their inputs
 * are not the same. */
static void compare(const td_graph *graph, const td_network *network, const td_dense *dense,
                    const td_activity *a, tally *sum) {
    for (int i = 1; i < network->layer_count; i++) {
        const td_layer *layer = &network->layers[i];
        const float *drives = dense_drives(graph, dense, layer);
        size_t count = td_shape_count(layer->shape), differing = 0;
        for (size_t n = 0; drives != NULL && n < count; n++) {
            differing += compare_value(layer, a, i, n, drives[n], sum);
        }
        sum->neurons += count;
        sum->differing += differing;
        if (differing > 0) {
            return;
        }
    }
}

static void run_graph(tdsnn_context *ctx, uint64_t seed, tally *sum) {
    td_graph *graph = random_graph(ctx, seed);
    td_network *network = NULL;
    const td_dense_options options = {.keep_all = true};
    td_dense_plan *plan = NULL;
    td_dense *dense = NULL;
    td_reference *reference = NULL;
    td_activity *a = NULL;
    if (td_network_create(ctx, graph, &network) != TDSNN_OK ||
        td_dense_plan_create(ctx, graph, &options, &plan) != TDSNN_OK ||
        td_dense_create(ctx, plan, &dense) != TDSNN_OK ||
        td_reference_create(ctx, network, &reference) != TDSNN_OK ||
        td_activity_create(ctx, network, &a) != TDSNN_OK) {
        ok(false, "seed %llu: %s", (unsigned long long)seed, tdsnn_last_error(ctx));
        exit(1);
    }
    td_random random;
    td_random_seed(&random, seed, 2);
    random_graph_sample(&random, graph, a->input);
    td_dense_run(dense, a->input);
    td_reference_run(reference, a);
    tally one = {0};
    compare(graph, network, dense, a, &one);
    if (one.wrong + one.logits_wrong > 0) {
        printf("# seed %llu: %zu of %zu neurons wrong, %zu logits\n", (unsigned long long)seed,
               one.wrong, one.neurons, one.logits_wrong);
    }
    sum->neurons += one.neurons;
    sum->differing += one.differing;
    sum->wrong += one.wrong;
    sum->logits_wrong += one.logits_wrong;
    td_activity_destroy(a);
    td_reference_destroy(reference);
    td_dense_destroy(dense);
    td_dense_plan_destroy(plan);
    td_network_destroy(network);
    td_graph_destroy(graph);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    tally sum = {0};
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        run_graph(ctx, seed, &sum);
    }
    printf("# %d graphs, %zu neurons, %zu spike times differ at a threshold\n", GRAPHS, sum.neurons,
           sum.differing);
    ok(sum.neurons > 50000, "the graphs are not trivial");
    ok(sum.wrong == 0, "spike times are those of the dense graph, but at thresholds");
    ok(sum.logits_wrong == 0, "and so are the logits");
    tdsnn_context_destroy(ctx);
    return tap_end();
}
