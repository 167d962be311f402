/* The coded graph keeps the names of the source's nodes, and gives its own others. */
#include "convert/build.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "network/model.h"
#include "onnx/onnx.h"
#include "scratch.h"
#include "tap.h"

#define UNITS 3
#define NODES 8

static tdsnn_context *ctx;

/* A chain whose names are those that conversion would like to give. */
static td_graph *make_source(void) {
    static const struct {
        const char *name;
        td_op op;
    } nodes[NODES] = {{"x", TD_OP_INPUT},          {"x/code", TD_OP_INNER},
                      {"x/code-2", TD_OP_RELU},    {"a", TD_OP_INNER},
                      {"a/code/code", TD_OP_RELU}, {"a/code", TD_OP_INNER},
                      {"input-mean", TD_OP_RELU},  {"input-std", TD_OP_INNER}};
    td_graph *graph = td_graph_create(ctx);
    float *ones = td_arena_alloc(graph->arena, (size_t)UNITS * UNITS, sizeof *ones);
    for (int i = 0; i < UNITS * UNITS; i++) {
        ones[i] = 1.0f;
    }
    graph->input_name = "x";
    graph->output_name = "y";
    for (int i = 0, at = -1; i < NODES; i++) {
        bool inner = nodes[i].op == TD_OP_INNER;
        at = td_graph_append(ctx, graph,
                             &(td_node){.op = nodes[i].op,
                                        .name = nodes[i].name,
                                        .input_count = i > 0,
                                        .inputs = &at,
                                        .shape = {UNITS, 1, 1, true},
                                        .weights = inner ? ones : NULL,
                                        .bias = inner ? ones : NULL});
    }
    return graph;
}

/* Whether no two nodes have one name. */
static bool names_differ(const td_graph *graph) {
    for (int i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < i; k++) {
            if (strcmp(graph->nodes[i].name, graph->nodes[k].name) == 0) {
                printf("# '%s' twice\n", graph->nodes[i].name);
                return false;
            }
        }
    }
    return true;
}

static bool has_name(const td_graph *graph, const char *name, td_op op) {
    for (int i = 0; i < graph->node_count; i++) {
        if (strcmp(graph->nodes[i].name, name) == 0) {
            return graph->nodes[i].op == op;
        }
    }
    return false;
}

/* Whether a file of the graph gives it back. */
static bool survives(const td_graph *graph) {
    tdsnn_model *model = NULL;
    td_error_clear(ctx);
    const char *path = scratch_path("coded.onnx");
    bool same = td_onnx_write(ctx, graph, path, true) == TDSNN_OK &&
                tdsnn_model_load(ctx, path, &model) == TDSNN_OK && model->graph != NULL &&
                td_graph_equal(model->graph, graph);
    printf("# %s\n", tdsnn_last_error(ctx));
    tdsnn_model_destroy(model);
    return same;
}

static void test_names(void) {
    td_graph *source = make_source(), *normalised = NULL, *coded = NULL;
    tdsnn_data_info data = {.channels_normalised = 1};
    td_placement placement;
    tdsnn_code codes[NODES + 2];
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        tdsnn_code_make(ctx, 20.0, 10, 1.0, TDSNN_ROUND_NEAREST, 0, &codes[i]);
    }
    data.std[0] = 1.0f;
    ok(td_build_normalised(ctx, source, &data, &normalised) == TDSNN_OK &&
           normalised->node_count == NODES + 2 && names_differ(normalised),
       "the normalisation's nodes have names of their own");
    ok(td_place(ctx, source, false, &placement) == TDSNN_OK &&
           td_build_coded(ctx, source, &placement, codes, &coded) == TDSNN_OK &&
           names_differ(coded),
       "so have the codes");
    ok(has_name(coded, "a/code", TD_OP_INNER) && has_name(coded, "x/code", TD_OP_INNER) &&
           has_name(coded, "x/code-3", TD_OP_CODE) && has_name(coded, "a/code-2", TD_OP_CODE),
       "the source's nodes keep theirs");
    ok(survives(coded), "and the file gives the same graph back");
    td_placement_free(&placement);
    td_graph_destroy(coded);
    td_graph_destroy(normalised);
    td_graph_destroy(source);
}

/* A Clip of two ends that differ: a code for either side, and the file gives them back. */
static void test_sides(void) {
    static const struct {
        float low, high;
    } ends[] = {{-0.25f, 0.5f}, {-0.25f, FLT_MAX}, {-FLT_MAX, 0.5f}, {-0.5f, 0.5f}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        td_graph *source = make_source(), *split = NULL, *coded = NULL;
        tdsnn_data_info data = {.channels_normalised = 0};
        td_placement placement = {0};
        tdsnn_code codes[NODES + 4];
        for (size_t k = 0; k < sizeof codes / sizeof *codes; k++) {
            tdsnn_code_make(ctx, 20.0, 10, 1.0, TDSNN_ROUND_NEAREST, 0, &codes[k]);
        }
        source->nodes[2].op = TD_OP_CLIP;
        source->nodes[2].low = ends[i].low;
        source->nodes[2].high = ends[i].high;
        bool differ = ends[i].low != -ends[i].high;
        ok(td_build_normalised(ctx, source, &data, &split) == TDSNN_OK &&
               split->node_count == NODES + (differ ? 4 : 0) && names_differ(split) &&
               has_name(split, "x/code-2", differ ? TD_OP_ADD : TD_OP_CLIP),
           "a Clip to %g .. %g is one of %s", (double)ends[i].low, (double)ends[i].high,
           differ ? "two sides" : "a pair");
        ok(td_place(ctx, split, false, &placement) == TDSNN_OK, "which are placed");
        if (differ) {
            float above = ends[i].high == FLT_MAX ? INFINITY : ends[i].high;
            float below = ends[i].low == -FLT_MAX ? INFINITY : -ends[i].low;
            ok(!placement.sites[1].coded && placement.sites[2].cap == above &&
                   placement.sites[3].cap == below,
               "each capped at its own end");
        }
        ok(td_build_coded(ctx, split, &placement, codes, &coded) == TDSNN_OK && survives(coded),
           "and the file gives the same graph back");
        td_placement_free(&placement);
        td_graph_destroy(coded);
        td_graph_destroy(split);
        td_graph_destroy(source);
    }
}

int main(void) {
    ctx = tdsnn_context_create();
    test_names();
    test_sides();
    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
