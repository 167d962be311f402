#include "train/architectures.h"

#include <math.h>
#include <string.h>

#include <tdsnn/train.h>

#include "base/context.h"
#include "graph/lower.h"
#include "onnx/onnx.h"
#include "scratch.h"
#include "tap.h"

static const td_shape mnist = {1, 28, 28, false}, cifar = {3, 32, 32, false};

static td_graph *build(tdsnn_context *ctx, const char *name, td_shape input, uint64_t seed) {
    td_graph *graph = NULL;
    if (td_architecture_build(ctx, name, input, 10, seed, &graph) != TDSNN_OK) {
        printf("Bail out! %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    return graph;
}

/* Written, read and lowered; whether that is the same graph. */
static bool comes_back(tdsnn_context *ctx, const td_graph *graph) {
    td_source *source = NULL;
    td_lowering lowering = {0};
    bool same = td_onnx_write(ctx, graph, scratch_path("a.onnx"), true) == TDSNN_OK &&
                td_onnx_read(ctx, scratch_path("a.onnx"), &source) == TDSNN_OK &&
                td_lower(ctx, source, &lowering) == TDSNN_OK &&
                td_lowering_check(ctx, &lowering, "a.onnx") == TDSNN_OK &&
                td_graph_equal(graph, lowering.graph);
    if (!same) {
        printf("# %s\n", tdsnn_last_error(ctx));
    }
    td_source_destroy(source);
    td_lowering_destroy(&lowering);
    return same;
}

static size_t weights_of(const td_graph *graph, const td_node *node) {
    size_t each = (size_t)graph->nodes[node->inputs[0]].shape.c;
    if (node->op == TD_OP_CONV) {
        each = each / (size_t)node->groups * (size_t)node->window.y.kernel *
               (size_t)node->window.x.kernel;
    }
    return each;
}

/* Weights as the literature counts them, and multiply-adds with and without taps on padding. */
static void test_size(tdsnn_context *ctx, const char *name, td_shape input, uint64_t parameters,
                      uint64_t padded, int layers) {
    td_graph *graph = build(ctx, name, input, 1);
    uint64_t weights = 0, macs = 0;
    int linear = 0;
    for (int i = 0; i < graph->node_count; i++) {
        const td_node *node = &graph->nodes[i];
        macs += td_node_macs(graph, node, true);
        if (node->op == TD_OP_CONV || node->op == TD_OP_INNER) {
            weights += (weights_of(graph, node) + 1) * (uint64_t)node->shape.c;
            linear++;
        }
    }
    ok(weights == parameters, "%s: %llu weights and biases", name, (unsigned long long)weights);
    ok(macs == padded, "%s: %llu multiply-adds", name, (unsigned long long)macs);
    ok(linear == layers && graph->nodes[graph->node_count - 1].shape.c == 10,
       "%s: %d layers, ten classes", name, linear);
    ok(comes_back(ctx, graph), "%s: written and read it is the same", name);
    td_graph_destroy(graph);
}

/* Mean 0, variance 2 / inputs of a weight, biases 0; seeds and layers differ. */
static void test_weights(tdsnn_context *ctx) {
    td_graph *graph = build(ctx, "resnet20", cifar, 7), *same = build(ctx, "resnet20", cifar, 7);
    td_graph *other = build(ctx, "resnet20", cifar, 8);
    const float *conv2 = NULL;
    double worst_mean = 0.0, worst_variance = 0.0;
    bool zero = true, distinct = true;
    for (int i = 0; i < graph->node_count; i++) {
        const td_node *node = &graph->nodes[i];
        if (node->op != TD_OP_CONV && node->op != TD_OP_INNER) {
            continue;
        }
        size_t each = weights_of(graph, node), count = each * (size_t)node->shape.c;
        double sum = 0.0, squares = 0.0, variance = 2.0 / (double)each;
        for (size_t w = 0; w < count; w++) {
            sum += node->weights[w];
            squares += (double)node->weights[w] * node->weights[w];
        }
        double n = (double)count; /* in standard deviations of mean and of the mean square */
        worst_mean = fmax(worst_mean, fabs(sum / n) / sqrt(variance / n));
        worst_variance = fmax(worst_variance, fabs(squares / n / variance - 1.0) / sqrt(2.0 / n));
        for (int c = 0; c < node->shape.c; c++) {
            zero = zero && node->bias[c] == 0.0f;
        }
        if (strcmp(node->name, "conv2") == 0) {
            conv2 = node->weights;
        } else if (strcmp(node->name, "conv4") == 0) {
            distinct = memcmp(conv2, node->weights, count * sizeof *conv2) != 0;
        }
    }
    ok(worst_mean < 4.0, "means are 0: at most %.2f deviations off", worst_mean);
    ok(worst_variance < 4.0, "variances are 2 / inputs: at most %.2f deviations off",
       worst_variance);
    ok(zero && distinct, "biases are 0, layers differ");
    ok(td_graph_equal(graph, same) && !td_graph_equal(graph, other), "the seed says which");
    td_graph_destroy(other);
    td_graph_destroy(same);
    td_graph_destroy(graph);
}

/* Drawn anew, a graph is that of the other seed: nothing else depends on it. */
static void test_drawn_anew(tdsnn_context *ctx) {
    td_graph *graph = build(ctx, "lenet", mnist, 7), *other = build(ctx, "lenet", mnist, 8);
    ((float *)graph->nodes[1].bias)[3] = 5.0f;
    td_initialise(graph, 8);
    ok(td_graph_equal(graph, other), "drawn anew");
    td_graph_destroy(other);
    td_graph_destroy(graph);
}

static bool refused(tdsnn_context *ctx, const char *name, td_shape input, int classes,
                    const char *why) {
    td_graph *graph = NULL;
    td_error_clear(ctx);
    bool right = td_architecture_build(ctx, name, input, classes, 0, &graph) == TDSNN_ERR_USAGE &&
                 strstr(tdsnn_last_error(ctx), why) != NULL && graph == NULL;
    if (!right) {
        printf("# %s\n", tdsnn_last_error(ctx));
    }
    return right;
}

static void test_refused(tdsnn_context *ctx) {
    const td_shape flat = {784, 1, 1, true}, huge = {1 << 15, 1 << 10, 1 << 10, false};
    ok(refused(ctx, "alexnet", cifar, 10, "there are lenet, linear, mlp, vgg11, resnet20"),
       "an architecture that there is not");
    ok(refused(ctx, "vgg11", mnist, 10, "1x28x28 are too small"), "five pools want 32 pixels");
    ok(refused(ctx, "lenet", (td_shape){1, 15, 28, false}, 10, "too small"), "windows want 16");
    ok(refused(ctx, "lenet", flat, 10, "needs pictures"), "windows want pictures");
    ok(refused(ctx, "mlp", mnist, 0, "needs"), "classes are wanted");
    ok(refused(ctx, "mlp", huge, 10, "too large"), "values are counted");
    td_graph *graph = build(ctx, "lenet", (td_shape){1, 16, 16, false}, 1);
    ok(td_shape_count(graph->nodes[6].shape) == 50, "and 16 are enough");
    td_graph_destroy(graph);
    graph = build(ctx, "mlp", flat, 1);
    ok(graph->nodes[1].op == TD_OP_INNER, "flat samples need no Flatten");
    td_graph_destroy(graph);
}

static void test_list(tdsnn_context *ctx) {
    int count = 0;
    bool built = true;
    for (tdsnn_architecture a; (a = tdsnn_architecture_at(count)).name != NULL; count++) {
        td_graph *graph = build(ctx, a.name, cifar, 1);
        built = built && graph != NULL && strlen(a.about) > 5;
        td_graph_destroy(graph);
    }
    ok(built && count == 5 && tdsnn_architecture_at(-1).name == NULL, "a list of %d, all built",
       count);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    /* conv 20 x (25 + 1), 50 x (500 + 1); inner 500 x (800 + 1), 10 x 501 */
    test_size(ctx, "lenet", mnist, 520 + 25050 + 400500 + 5010,
              20 * 25 * 576 + 50 * 500 * 64 + 500 * 800 + 10 * 500, 4);
    test_size(ctx, "linear", mnist, 10 * 785, 7840, 1);
    test_size(ctx, "mlp", mnist, 300 * 785 + 100 * 301 + 10 * 101, 300 * 784 + 30000 + 1000, 3);
    test_size(
        ctx, "vgg11", cifar,
        64 * 28 + 128 * 577 + 256 * 1153 + 256 * 2305 + 512 * 2305 + 3 * 512 * 4609 + 10 * 513,
        1769472 + 18874368 + 18874368 + 37748736 + 18874368 + 37748736 + 2 * 9437184 + 5120, 9);
    /* He's 40.6 million with the identity as shortcuts; two strided 1x1 more */
    test_size(ctx, "resnet20", cifar,
              16 * 28 + 6 * 16 * 145 + 32 * 145 + 5 * 32 * 289 + 64 * 289 + 5 * 64 * 577 + 32 * 17 +
                  64 * 33 + 10 * 65,
              442368 + 6 * 2359296 + 1179648 + 5 * 2359296 + 1179648 + 5 * 2359296 + 2 * 131072 +
                  640,
              22);
    test_weights(ctx);
    test_drawn_anew(ctx);
    test_refused(ctx);
    test_list(ctx);
    tdsnn_context_destroy(ctx);
    scratch_clean();
    return tap_end();
}
