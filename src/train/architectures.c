#include "train/architectures.h"

#include <tdsnn/train.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"

/* The graph so far. What goes wrong is noted once; later calls do nothing. */
typedef struct builder {
    tdsnn_context *ctx;
    const char *architecture;
    td_graph *graph;
    tdsnn_status status;
    int at;                                        /* the node that the next one reads */
    int convs, relus, pools, sums, shorts, inners; /* appended so far */
} builder;

static td_shape shape_at(const builder *b) {
    return b->graph->nodes[b->at].shape;
}

/* Appends a node named `kind` and a number (0: none) that reads b->at, and `second` if that is no
 * negative number. */
static void append(builder *b, td_node node, const char *kind, int number, int second) {
    char name[32];
    if (b->status != TDSNN_OK) {
        return;
    }
    snprintf(name, sizeof name, number > 0 ? "%s%d" : "%s", kind, number);
    node.name = name;
    node.inputs = (int[]){b->at, second};
    node.input_count = second < 0 ? 1 : 2;
    int index = td_graph_append(b->ctx, b->graph, &node);
    if (index < 0) {
        b->status = TDSNN_ERR_RUNTIME;
    } else {
        b->at = index;
    }
}

/* Arrays of a linear node, zeroed; the weights are drawn at the end. */
static void append_linear(builder *b, td_node node, size_t inputs, const char *kind, int number) {
    if (b->status != TDSNN_OK) {
        return;
    }
    size_t outputs = (size_t)node.shape.c, count;
    if (!td_size_mul(outputs, inputs, &count)) {
        b->status =
            td_error(b->ctx, TDSNN_ERR_RUNTIME, "no memory for %zu x %zu weights", outputs, inputs);
        return;
    }
    node.weights = td_arena_alloc(b->graph->arena, count, sizeof *node.weights);
    node.bias = td_arena_alloc(b->graph->arena, outputs, sizeof *node.bias);
    if (node.weights == NULL || node.bias == NULL) {
        b->status = TDSNN_ERR_RUNTIME;
        return;
    }
    append(b, node, kind, number, -1);
}

/* The shape behind a square window; a size of 0 is an error. */
static td_shape behind(builder *b, const td_window *window) {
    td_shape in = shape_at(b), out = in;
    out.h = td_axis_outputs(&window->y, in.h);
    out.w = td_axis_outputs(&window->x, in.w);
    if (b->status == TDSNN_OK && (in.flat || out.h == 0 || out.w == 0)) {
        td_shape x = b->graph->nodes[0].shape;
        b->status = td_error(b->ctx, TDSNN_ERR_USAGE,
                             "%s: samples of %dx%dx%d are too small for it: give larger ones, or "
                             "train another architecture",
                             b->architecture, x.c, x.h, x.w);
    }
    return out;
}

static td_window square(int size, int stride, int pad) {
    td_axis axis = {size, stride, 1, pad, pad};
    return (td_window){axis, axis};
}

static void conv_named(builder *b, int channels, int size, int stride, int pad, const char *kind,
                       int number) {
    td_node node = {.op = TD_OP_CONV, .window = square(size, stride, pad), .groups = 1};
    size_t inputs = (size_t)shape_at(b).c * (size_t)size * (size_t)size;
    node.shape = behind(b, &node.window);
    node.shape.c = channels;
    append_linear(b, node, inputs, kind, number);
}

static void conv(builder *b, int channels, int size, int stride, int pad) {
    conv_named(b, channels, size, stride, pad, "conv", ++b->convs);
}

static void relu(builder *b) {
    append(b, (td_node){.op = TD_OP_RELU, .shape = shape_at(b)}, "relu", ++b->relus, -1);
}

static void pool(builder *b) {
    td_node node = {.op = TD_OP_MAXPOOL, .window = square(2, 2, 0)};
    node.shape = behind(b, &node.window);
    append(b, node, "pool", ++b->pools, -1);
}

static void flatten(builder *b) {
    size_t count = td_shape_count(shape_at(b));
    if (shape_at(b).flat || b->status != TDSNN_OK) {
        return;
    }
    if (count > TD_MAX_EXTENT) {
        b->status = td_error(b->ctx, TDSNN_ERR_USAGE, "%s: samples of %zu values are too large",
                             b->architecture, count);
        return;
    }
    append(b, (td_node){.op = TD_OP_FLATTEN, .shape = {(int)count, 1, 1, true}}, "flatten", 0, -1);
}

static void inner(builder *b, int outputs) {
    flatten(b);
    append_linear(b, (td_node){.op = TD_OP_INNER, .shape = {outputs, 1, 1, true}},
                  (size_t)shape_at(b).c, "fc", ++b->inners);
}

/* ---------------------------------------------------------------------------------- architectures
 */

/* LeCun et al., Gradient-based learning applied to document recognition, 1998; with the sizes of
 * Caffe's example. */
static void build_lenet(builder *b, int classes) {
    conv(b, 20, 5, 1, 0);
    relu(b);
    pool(b);
    conv(b, 50, 5, 1, 0);
    relu(b);
    pool(b);
    inner(b, 500);
    relu(b);
    inner(b, classes);
}

static void build_linear(builder *b, int classes) {
    inner(b, classes);
}

static void build_mlp(builder *b, int classes) {
    inner(b, 300);
    relu(b);
    inner(b, 100);
    relu(b);
    inner(b, classes);
}

/* Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2015:
 * configuration A, with one inner product behind it. */
static void build_vgg11(builder *b, int classes) {
    const int channels[] = {64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0}; /* 0: a pool */
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++) {
        if (channels[i] == 0) {
            pool(b);
        } else {
            conv(b, channels[i], 3, 1, 1);
            relu(b);
        }
    }
    inner(b, classes);
}

/* Two convolutions, and what they add their result to. */
static void residual_block(builder *b, int channels, int stride) {
    int start = b->at;
    conv(b, channels, 3, stride, 1);
    relu(b);
    conv(b, channels, 3, 1, 1);
    int branch = b->at;
    b->at = start;
    if (shape_at(b).c != channels || stride != 1) {
        conv_named(b, channels, 1, stride, 0, "short", ++b->shorts);
    }
    int direct = b->at;
    b->at = branch;
    append(b, (td_node){.op = TD_OP_ADD, .shape = shape_at(b)}, "add", ++b->sums, direct);
    relu(b);
}

/* He et al., Deep residual learning for image recognition, 2015: the one of 20 layers for small
 * pictures, option B. */
static void build_resnet20(builder *b, int classes) {
    conv(b, 16, 3, 1, 1);
    relu(b);
    for (int stage = 0; stage < 3; stage++) {
        for (int block = 0; block < 3; block++) {
            residual_block(b, 16 << stage, stage > 0 && block == 0 ? 2 : 1);
        }
    }
    td_shape in = shape_at(b);
    td_node mean = {.op = TD_OP_AVGPOOL, .shape = {in.c, 1, 1, false}};
    mean.window = (td_window){{in.h, 1, 1, 0, 0}, {in.w, 1, 1, 0, 0}};
    append(b, mean, "mean", 0, -1);
    inner(b, classes);
}

static const struct {
    tdsnn_architecture about;
    bool pictures; /* of more than one pixel; else any values */
    void (*build)(builder *b, int classes);
} architectures[] = {
    {{"lenet", "20 and 50 windows of 5x5 with pools, 500 neurons"}, true, build_lenet},
    {{"linear", "no hidden layer: what a task gives without one"}, false, build_linear},
    {{"mlp", "300 and 100 neurons"}, false, build_mlp},
    {{"vgg11", "eight layers of 3x3 windows, 64 to 512 channels, five pools"}, true, build_vgg11},
    {{"resnet20", "nine residual blocks of 16, 32 and 64 channels"}, true, build_resnet20},
};
#define COUNT ((int)(sizeof architectures / sizeof architectures[0]))

tdsnn_architecture tdsnn_architecture_at(int index) {
    return index >= 0 && index < COUNT ? architectures[index].about : (tdsnn_architecture){0};
}

/* Its index; -1 with the names that there are in the error. */
static int find(tdsnn_context *ctx, const char *name) {
    char names[200] = "";
    for (int i = 0; i < COUNT; i++) {
        const char *other = architectures[i].about.name;
        if (strcmp(name, other) == 0) {
            return i;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "", other);
    }
    td_error(ctx, TDSNN_ERR_USAGE, "no architecture is called '%s'; there are %s", name, names);
    return -1;
}

static void start(builder *b, td_shape input) {
    td_graph *g = b->graph;
    g->input_name = td_arena_strdup(g->arena, "x");
    g->output_name = td_arena_strdup(g->arena, "logits");
    g->batch_symbol = td_arena_strdup(g->arena, "N");
    if (g->input_name == NULL || g->output_name == NULL || g->batch_symbol == NULL) {
        b->status = TDSNN_ERR_RUNTIME;
        return;
    }
    if (td_graph_append(b->ctx, g,
                        &(td_node){.op = TD_OP_INPUT, .name = g->input_name, .shape = input}) < 0) {
        b->status = TDSNN_ERR_RUNTIME;
    }
}

tdsnn_status td_architecture_build(tdsnn_context *ctx, const char *name, td_shape input,
                                   int classes, uint64_t seed, td_graph **graph) {
    int index = find(ctx, name);
    if (index < 0) {
        return TDSNN_ERR_USAGE;
    }
    if (classes < 1 || (architectures[index].pictures && input.flat)) {
        return td_error(ctx, TDSNN_ERR_USAGE, "%s: needs pictures and classes", name);
    }
    builder b = {.ctx = ctx, .architecture = name, .graph = td_graph_create(ctx)};
    if (b.graph == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    start(&b, input);
    if (b.status == TDSNN_OK) {
        architectures[index].build(&b, classes);
    }
    if (b.status != TDSNN_OK) {
        td_graph_destroy(b.graph);
        return b.status;
    }
    td_initialise(b.graph, seed);
    *graph = b.graph;
    return TDSNN_OK;
}

/* ---------------------------------------------------------------------------------------- weights
 */

/* Streams of random numbers of this file, one a node. */
#define STREAM ((uint64_t)0x1417 << 48)

void td_initialise(td_graph *graph, uint64_t seed) {
    for (int i = 0; i < graph->node_count; i++) {
        const td_node *node = &graph->nodes[i];
        if (node->op != TD_OP_CONV && node->op != TD_OP_INNER) {
            continue;
        }
        size_t each = (size_t)graph->nodes[node->inputs[0]].shape.c;
        if (node->op == TD_OP_CONV) {
            each = each / (size_t)node->groups * (size_t)node->window.y.kernel *
                   (size_t)node->window.x.kernel;
        }
        float *weights = (float *)node->weights; /* the arena's, not the compiler's */
        double deviation = sqrt(2.0 / (double)each);
        td_random random;
        td_random_seed(&random, seed, STREAM ^ (uint64_t)i);
        for (size_t w = 0; w < each * (size_t)node->shape.c; w++) {
            weights[w] = (float)(deviation * td_random_normal(&random));
        }
        memset((float *)node->bias, 0, (size_t)node->shape.c * sizeof *node->bias);
    }
}
