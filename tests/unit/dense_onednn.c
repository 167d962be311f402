/* oneDNN against plain C: operator by operator, and whole networks with all that is fused. */
#include "dense/onednn.h"

#include <string.h>

#include "dense/plain.h"
#include "network/model.h"
#include "random_graph.h"
#include "tap.h"

#define GRAPHS 150

/* How far two values of a node whose largest is `largest` may be apart: sums of up to a few
 * thousand terms, each rounded. */
static float tolerance(float largest) {
    return 2e-5f * (largest > 1.0f ? largest : 1.0f);
}

static float largest_of(const float *values, size_t count) {
    float largest = 0.0f;
    for (size_t i = 0; i < count; i++) {
        largest = fmaxf(largest, fabsf(values[i]));
    }
    return largest;
}

static bool near(const float *values, const float *expected, size_t count) {
    float allowed = tolerance(largest_of(expected, count));
    for (size_t i = 0; i < count; i++) {
        if (!(fabsf(values[i] - expected[i]) <= allowed)) {
            printf("# value %zu is %.9g, not %.9g\n", i, values[i], expected[i]);
            return false;
        }
    }
    return true;
}

/* A plan and a session of it; errors end the program. */
typedef struct runner {
    td_dense_plan *plan;
    td_dense *session;
} runner;

static runner open_runner(tdsnn_context *ctx, const td_graph *graph, td_dense_options options) {
    runner r = {NULL, NULL};
    if (td_dense_plan_create(ctx, graph, &options, &r.plan) != TDSNN_OK ||
        td_dense_create(ctx, r.plan, &r.session) != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    return r;
}

static void close_runner(runner r) {
    td_dense_destroy(r.session);
    td_dense_plan_destroy(r.plan);
}

static float *make_input(td_random *random, const td_graph *graph, int batch) {
    size_t count = td_shape_count(graph->nodes[0].shape);
    float *input = malloc(count * (size_t)batch * sizeof *input);
    for (int i = 0; i < batch; i++) {
        random_graph_sample(random, graph, input + (size_t)i * count);
    }
    return input;
}

/* Each node from what oneDNN gave its inputs: a code turns no rounding into more. */
static bool check_node(const td_graph *graph, const td_dense *session, int index, int batch) {
    const td_node *node = &graph->nodes[index];
    size_t count = td_shape_count(node->shape);
    float *expected = malloc(count * sizeof *expected);
    const float *inputs[2];
    bool right = true;
    for (size_t sample = 0; sample < (size_t)batch && right; sample++) {
        for (int k = 0; k < node->input_count; k++) {
            inputs[k] = td_dense_value(session, node->inputs[k]) +
                        sample * td_shape_count(graph->nodes[node->inputs[k]].shape);
        }
        td_plain_run_node(graph, index, inputs, expected);
        right = near(td_dense_value(session, index) + sample * count, expected, count);
    }
    if (!right) {
        printf("# node %d, %s\n", index, td_op_name(node->op));
    }
    free(expected);
    return right;
}

static bool check_operators(tdsnn_context *ctx, uint64_t seed) {
    td_graph *graph = random_graph(ctx, seed);
    td_random random;
    td_random_seed(&random, seed, 3);
    int batch = 1 + (int)(seed % 3);
    float *input = make_input(&random, graph, batch);
    runner r = open_runner(
        ctx, graph,
        (td_dense_options){.backend = TD_DENSE_ONEDNN, .batch = batch, .keep_all = true});
    td_dense_run(r.session, input);
    bool right = true;
    for (int i = 1; i < graph->node_count; i++) {
        right = check_node(graph, r.session, i, batch) && right;
    }
    close_runner(r);
    free(input);
    td_graph_destroy(graph);
    return right;
}

/* Rectifiers of every kind take the places of the codes, which would make steps of rounding. */
static void replace_codes(td_graph *graph, td_random *random) {
    static const td_op ops[] = {TD_OP_RELU, TD_OP_CLIP, TD_OP_LEAKY};
    for (int i = 0; i < graph->node_count; i++) {
        td_node *node = &graph->nodes[i];
        if (node->op == TD_OP_CODE) {
            node->op = ops[td_random_below(random, 3)];
            node->low = -0.1f;
            node->high = 1.5f;
            node->negative = 0.2f;
        }
    }
}

static bool same_values(const td_graph *graph, const bool *kept, const td_dense *a,
                        const td_dense *b, int batch) {
    for (int i = 0; i < graph->node_count; i++) {
        if ((kept[i] || i == td_graph_logits(graph)) &&
            !near(td_dense_value(a, i), td_dense_value(b, i),
                  td_shape_count(graph->nodes[i].shape) * (size_t)batch)) {
            printf("# node %d, %s\n", i, td_op_name(graph->nodes[i].op));
            return false;
        }
    }
    return true;
}

/* Whatever is kept, from nothing to all, comes out as plain C has it; twice, as memory is shared.
 */
static bool check_fused(tdsnn_context *ctx, uint64_t seed) {
    td_graph *graph = random_graph(ctx, seed);
    td_random random;
    td_random_seed(&random, seed, 4);
    replace_codes(graph, &random);
    int batch = 1 + (int)(seed % 4);
    bool *kept = calloc((size_t)graph->node_count, sizeof *kept);
    uint64_t share = td_random_below(&random, 4); /* of 6: that a node is kept */
    for (int i = 0; i < graph->node_count; i++) {
        kept[i] = td_random_below(&random, 6) < share;
    }
    td_dense_options options = {
        .backend = TD_DENSE_ONEDNN, .batch = batch, .threads = 1 + (int)(seed % 2), .kept = kept};
    runner fast = open_runner(ctx, graph, options);
    options.backend = TD_DENSE_PLAIN;
    runner plain = open_runner(ctx, graph, options);
    bool right = true;
    for (int time = 0; time < 2; time++) {
        float *input = make_input(&random, graph, batch);
        td_dense_run(fast.session, input);
        td_dense_run(plain.session, input);
        right = right && same_values(graph, kept, fast.session, plain.session, batch);
        free(input);
    }
    close_runner(fast);
    close_runner(plain);
    free(kept);
    td_graph_destroy(graph);
    return right;
}

/* Node after node, the last one again with another bias, is the same as at once. */
static bool check_steps(tdsnn_context *ctx, uint64_t seed) {
    td_graph *graph = random_graph(ctx, seed);
    td_random random;
    td_random_seed(&random, seed, 5);
    float *input = make_input(&random, graph, 1);
    td_dense_options options = {.backend = TD_DENSE_ONEDNN, .keep_all = true};
    runner stepped = open_runner(ctx, graph, options), whole = open_runner(ctx, graph, options);
    td_dense_feed(stepped.session, input);
    for (int i = 1; i < graph->node_count; i++) {
        td_dense_run_node(stepped.session, i);
        if (graph->nodes[i].bias != NULL) {
            float *bias = (float *)graph->nodes[i].bias;
            bias[0] += 0.25f;
            td_dense_run_node(stepped.session, i);
        }
    }
    td_dense_run(whole.session, input);
    bool same = true;
    for (int i = 0; i < graph->node_count; i++) {
        size_t bytes = td_shape_count(graph->nodes[i].shape) * sizeof(float);
        if (memcmp(td_dense_value(stepped.session, i), td_dense_value(whole.session, i), bytes) !=
            0) {
            printf("# node %d, %s\n", i, td_op_name(graph->nodes[i].op));
            same = false;
        }
    }
    close_runner(stepped);
    close_runner(whole);
    free(input);
    td_graph_destroy(graph);
    return same;
}

static void test_property(tdsnn_context *ctx, bool (*check)(tdsnn_context *, uint64_t),
                          const char *what) {
    int wrong = 0;
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        if (!check(ctx, seed)) {
            printf("# seed %llu\n", (unsigned long long)seed);
            wrong++;
        }
    }
    ok(wrong == 0, "%s: %d of %d random graphs differ", what, wrong, GRAPHS);
}

/* Windows that networks seldom have: wide, far apart, mostly padding. */
static void test_extremes(tdsnn_context *ctx) {
    static const struct {
        td_shape in;
        td_axis y, x;
    } cases[] = {
        {{3, 1, 2000, false}, {1, 1, 1, 0, 0}, {256, 4, 1, 100, 156}},
        {{3, 1, 2000, false}, {1, 1, 1, 0, 0}, {257, 1, 1, 0, 0}},
        {{16, 1, 1500, false}, {1, 1, 1, 0, 0}, {80, 256, 1, 79, 0}},
        {{2, 3, 700, false}, {3, 1, 1, 1, 1}, {3, 1, 256, 255, 256}},
        {{5, 2, 2, false}, {2, 1, 1, 200, 256}, {1, 200, 1, 256, 200}},
        {{17, 40, 40, false}, {40, 1, 1, 0, 0}, {40, 1, 1, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        graph_maker m = {.ctx = ctx, .graph = td_graph_create(ctx)};
        td_random_seed(&m.random, i, 6);
        m.graph->input_name = "x";
        append(&m, (td_node){.op = TD_OP_INPUT, .shape = cases[i].in});
        append_conv_of(&m,
                       (td_shape){6, td_axis_outputs(&cases[i].y, cases[i].in.h),
                                  td_axis_outputs(&cases[i].x, cases[i].in.w), false},
                       (td_window){cases[i].y, cases[i].x}, 1);
        float *input = make_input(&m.random, m.graph, 1);
        runner r = open_runner(ctx, m.graph,
                               (td_dense_options){.backend = TD_DENSE_ONEDNN, .keep_all = true});
        td_dense_run(r.session, input);
        ok(check_node(m.graph, r.session, 1, 1), "a window of %dx%d, stride %d, dilation %d",
           cases[i].y.kernel, cases[i].x.kernel, cases[i].x.stride, cases[i].x.dilation);
        close_runner(r);
        free(input);
        td_graph_destroy(m.graph);
    }
}

/* ---- The networks of the shared data. */

static const char *const networks[] = {
    "lenet-mnist",
    "mnist-8",
    "lenet_caffe",
    "netkit_mnist_cnn_dw",
    "netkit_mnist_mlp",
    "resnet20",
    "resnet56",
    "kws_dscnn",
    "ad01_fc_autoencoder",
    "vww_mobilenet_v1_0.25_96",
    "squeezenet1.1/squeezenet1.1",
    "mobilenet_v1_0.75_224",
};

static void compare_network(tdsnn_context *ctx, const char *name, const td_graph *graph) {
    td_random random;
    td_random_seed(&random, 1, 7);
    float *input = make_input(&random, graph, 2);
    td_dense_options options = {.backend = TD_DENSE_ONEDNN, .batch = 2};
    runner fast = open_runner(ctx, graph, options);
    options.backend = TD_DENSE_PLAIN;
    runner plain = open_runner(ctx, graph, options);
    td_dense_run(fast.session, input);
    td_dense_run(plain.session, input);
    int logits = td_graph_logits(graph);
    ok(near(td_dense_value(fast.session, logits), td_dense_value(plain.session, logits),
            2 * td_shape_count(graph->nodes[logits].shape)),
       "%s: the same logits", name);
    close_runner(fast);
    close_runner(plain);
    free(input);
}

static void test_networks(tdsnn_context *ctx) {
    const char *folder = getenv("TDSNN_SHARED_DATA");
    folder = folder == NULL ? "../shared/data" : folder;
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        char path[600];
        tdsnn_model *model = NULL;
        snprintf(path, sizeof path, "%s/models/%s.onnx", folder, networks[i]);
        if (tdsnn_model_load(ctx, path, &model) != TDSNN_OK) {
            ok(true, "networks # SKIP %s is not there", path);
            return;
        }
        compare_network(ctx, networks[i], model->graph);
        tdsnn_model_destroy(model);
    }
}

int main(void) {
    if (!td_onednn_present()) {
        tap_skip_all("built without oneDNN");
    }
    tdsnn_context *ctx = tdsnn_context_create();
    test_property(ctx, check_operators, "each operator");
    test_property(ctx, check_fused, "fused");
    test_property(ctx, check_steps, "in steps");
    test_extremes(ctx);
    test_networks(ctx);
    const char *isa = td_dense_isa();
    ok(!td_dense_limit_isa("scalar") && strcmp(td_dense_isa(), isa) == 0,
       "the instruction set, %s, stays once it was used", isa);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
