/* A coded graph written as ONNX and read again is the same graph, bit for bit. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "graph/lower.h"
#include "onnx/onnx.h"
#include "tap.h"

#define GRAPHS 200

/* Random graphs of every operator that a converted or trained network may hold. */
typedef struct graph_maker {
    tdsnn_context *ctx;
    td_random random;
    td_graph *graph;
    int at; /* the node that the next one reads */
} graph_maker;

static int pick(graph_maker *m, int low, int high) {
    return low + (int)td_random_below(&m->random, (uint64_t)(high - low + 1));
}

static float *random_floats(graph_maker *m, size_t count) {
    float *values = td_arena_alloc(m->graph->arena, count, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        values[i] = (float)td_random_normal(&m->random);
    }
    return values;
}

static td_shape shape_at(const graph_maker *m) {
    return m->graph->nodes[m->at].shape;
}

static void append_join(graph_maker *m, td_node node, int first, int second) {
    char name[32];
    snprintf(name, sizeof name, "n%d", m->graph->node_count);
    node.name = node.op == TD_OP_INPUT ? m->graph->input_name : name;
    node.inputs = (int[]){first, second};
    node.input_count = node.op == TD_OP_INPUT ? 0 : second < 0 ? 1 : 2;
    m->at = td_graph_append(m->ctx, m->graph, &node);
}

static void append(graph_maker *m, td_node node) {
    append_join(m, node, m->at, -1);
}

/* An axis every window of which holds a member. */
static td_axis random_axis(graph_maker *m, int size, int dilation, int *outputs) {
    for (;;) {
        td_axis a = {.kernel = pick(m, 1, 4), .stride = pick(m, 1, 3), .dilation = dilation};
        a.pad_begin = pick(m, 0, (a.kernel - 1) / 2);
        a.pad_end = pick(m, 0, a.kernel - 1);
        *outputs = td_axis_outputs(&a, size);
        if (*outputs >= 1 && (*outputs - 1) * a.stride - a.pad_begin < size &&
            a.pad_begin < a.kernel) {
            return a;
        }
    }
}

static td_window random_window(graph_maker *m, int dilation, td_shape *out) {
    td_shape in = *out;
    td_window w = {.y = random_axis(m, in.h, dilation, &out->h)};
    w.x = random_axis(m, in.w, dilation, &out->w);
    return w;
}

static void append_conv(graph_maker *m) {
    td_shape in = shape_at(m), out = in;
    td_window w = random_window(m, in.h > 3 && in.w > 3 ? pick(m, 1, 2) : 1, &out);
    int groups = pick(m, 0, 2) == 0 ? in.c : 1;
    out.c = groups * pick(m, 1, groups > 1 ? 2 : 9);
    size_t weights = (size_t)(out.c * (in.c / groups) * w.y.kernel * w.x.kernel);
    append(m, (td_node){.op = TD_OP_CONV,
                        .shape = out,
                        .window = w,
                        .groups = groups,
                        .weights = random_floats(m, weights),
                        .bias = random_floats(m, (size_t)out.c)});
}

static void append_inner(graph_maker *m) {
    td_shape in = shape_at(m);
    if (!in.flat) {
        append(m, (td_node){.op = TD_OP_FLATTEN, .shape = {(int)td_shape_count(in), 1, 1, true}});
        in = shape_at(m);
    }
    int outputs = pick(m, 1, 9);
    append(m, (td_node){.op = TD_OP_INNER,
                        .shape = {outputs, 1, 1, true},
                        .weights = random_floats(m, (size_t)outputs * (size_t)in.c),
                        .bias = random_floats(m, (size_t)outputs)});
}

/* A neuron, a pair, a pair with a slope. */
static void append_code(graph_maker *m) {
    tdsnn_code *code = td_arena_alloc(m->graph->arena, 1, sizeof *code);
    int steps = pick(m, 1, 40), rounding = pick(m, 0, 1), offset = pick(m, 0, 1);
    double leak = steps * (0.6 + 3.0 * td_random_uniform(&m->random));
    tdsnn_code_make(m->ctx, leak, steps, 2.0 / expm1(steps / leak),
                    rounding == 0 ? TDSNN_ROUND_NEAREST : TDSNN_ROUND_CEIL, offset, code);
    float slope = (float)(0.1 + 0.8 * td_random_uniform(&m->random));
    append(m, (td_node){.op = TD_OP_CODE,
                        .shape = shape_at(m),
                        .code = code,
                        .negative = (float[]){0.0f, 1.0f, slope}[pick(m, 0, 2)]});
}

/* An activation of any kind. */
static void append_activation(graph_maker *m) {
    float slope = (float)(0.1 + 0.8 * td_random_uniform(&m->random));
    td_node node = {.shape = shape_at(m)};
    switch (pick(m, 0, 4)) {
    case 0:
        node.op = TD_OP_CLIP;
        node.low = pick(m, 0, 1) == 0 ? 0.0f : -slope;
        node.high = 1.0f + slope;
        append(m, node);
        break;
    case 1:
        node.op = TD_OP_LEAKY;
        node.negative = slope;
        append(m, node);
        break;
    case 2:
        node.op = TD_OP_RELU;
        append(m, node);
        break;
    default:
        append_code(m);
    }
}

static void append_pool(graph_maker *m) {
    td_node node = {.op = pick(m, 0, 1) == 0 ? TD_OP_MAXPOOL : TD_OP_AVGPOOL, .shape = shape_at(m)};
    node.window = random_window(m, 1, &node.shape);
    node.count_padding = node.op == TD_OP_AVGPOOL && pick(m, 0, 1) == 0;
    append(m, node);
}

/* The value that goes on and one made from it, joined. */
static void append_branch(graph_maker *m) {
    int from = m->at;
    td_shape in = shape_at(m);
    append_activation(m);
    if (pick(m, 0, 2) == 0) {
        append_join(m, (td_node){.op = TD_OP_ADD, .shape = in}, m->at, from);
    } else {
        in.c *= 2;
        append_join(m, (td_node){.op = TD_OP_CONCAT, .shape = in}, from, m->at);
    }
    if (in.c > 1 && pick(m, 0, 1) == 0) {
        int first = pick(m, 0, in.c - 1);
        td_shape part = {pick(m, 1, first == 0 ? in.c - 1 : in.c - first), in.h, in.w, in.flat};
        append(m, (td_node){.op = TD_OP_SLICE, .shape = part, .first_channel = first});
    }
}

/* The last value may be any of them. */
static td_graph *random_branches(tdsnn_context *ctx, uint64_t seed) {
    graph_maker m = {.ctx = ctx, .graph = td_graph_create(ctx)};
    td_random_seed(&m.random, seed, 2);
    m.graph->output_name = "n1.neg"; /* as a part of a signed code */
    m.graph->batch_symbol = "N";
    td_shape in = {pick(&m, 1, 3), pick(&m, 4, 14), pick(&m, 4, 14), false};
    m.graph->input_name = "x";
    append(&m, (td_node){.op = TD_OP_INPUT, .shape = in});
    append_code(&m);
    const td_op constants[4] = {TD_OP_SUB, TD_OP_DIV, TD_OP_MUL, TD_OP_SHIFT};
    for (int i = 0; i < 4 && pick(&m, 0, 3) > 0; i++) {
        append(
            &m,
            (td_node){.op = constants[i], .shape = in, .operand = random_floats(&m, (size_t)in.c)});
    }
    for (int i = pick(&m, 1, 4); i > 0; i--) {
        append_conv(&m);
        append_activation(&m);
        append_branch(&m);
        if (pick(&m, 0, 1) == 0) {
            append_pool(&m);
        }
    }
    if (pick(&m, 0, 1) == 0) {
        append_inner(&m);
        append_branch(&m);
    }
    return m.graph;
}

/* Writes, reads, lowers; NULL with the reason printed. */
static td_graph *there_and_back(tdsnn_context *ctx, const td_graph *graph, const char *path,
                                td_lowering *lowering) {
    td_source *source = NULL;
    *lowering = (td_lowering){0};
    if (td_onnx_write(ctx, graph, path, true) == TDSNN_OK &&
        td_onnx_read(ctx, path, &source) == TDSNN_OK &&
        td_lower(ctx, source, lowering) == TDSNN_OK) {
        td_lowering_check(ctx, lowering, path);
    }
    td_source_destroy(source);
    if (lowering->graph == NULL) {
        printf("# %s\n", tdsnn_last_error(ctx));
    }
    return lowering->graph;
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    char path[] = "/tmp/tdsnn-round-trip-XXXXXX";
    close(mkstemp(path));
    int same = 0, ops[TD_OP_COUNT + 1] = {0}; /* the last: signed codes */
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        td_graph *graph = random_branches(ctx, seed);
        td_lowering lowering;
        td_graph *back = there_and_back(ctx, graph, path, &lowering);
        bool equal =
            back != NULL && td_graph_equal(graph, back) && strcmp(back->batch_symbol, "N") == 0;
        if (!equal) {
            printf("# seed %llu differs\n", (unsigned long long)seed);
        }
        same += equal;
        for (int i = 0; i < graph->node_count; i++) {
            const td_node *node = &graph->nodes[i];
            ops[node->op == TD_OP_CODE && node->negative != 0.0f ? TD_OP_COUNT : node->op]++;
        }
        td_lowering_destroy(&lowering);
        td_graph_destroy(graph);
    }
    unlink(path);
    ok(same == GRAPHS, "%d of %d random coded graphs come back bit for bit", same, GRAPHS);
    for (int op = TD_OP_CONV; op <= TD_OP_COUNT; op++) {
        /* in onnx_write.c, and those of flat values in measure_graphs.c */
        bool elsewhere = td_op_closes((td_op)op) || op == TD_OP_UNFLATTEN;
        ok(elsewhere || ops[op] >= 20, "%d nodes were %s", ops[op],
           op == TD_OP_COUNT ? "signed codes" : td_op_name((td_op)op));
    }
    tdsnn_context_destroy(ctx);
    return tap_end();
}
