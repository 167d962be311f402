/* Random coded chains: convolutions of every geometry, pools, inner products, constants behind the
 * input's code, any code. For properties that must hold of every network. */
#ifndef RANDOM_GRAPH_H
#define RANDOM_GRAPH_H

#include <math.h>
#include <stdio.h>

#include "base/random.h"
#include "graph/graph.h"

typedef struct graph_maker {
    tdsnn_context *ctx;
    td_random random;
    td_graph *graph;
    int offset;
    tdsnn_rounding rounding;
    int at; /* the node that the next one reads */
} graph_maker;

static inline int pick(graph_maker *m, int low, int high) {
    return low + (int)td_random_below(&m->random, (uint64_t)(high - low + 1));
}

static inline float *random_floats(graph_maker *m, size_t count, double mean, double deviation) {
    float *values = td_arena_alloc(m->graph->arena, count, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        values[i] = (float)(mean + deviation * td_random_normal(&m->random));
    }
    return values;
}

static inline td_shape shape_at(const graph_maker *m) {
    return m->graph->nodes[m->at].shape;
}

/* Appends a node that reads the last one. */
static inline void append(graph_maker *m, td_node node) {
    char name[32];
    snprintf(name, sizeof name, "n%d", m->graph->node_count);
    node.name = node.op == TD_OP_INPUT ? m->graph->input_name : name;
    node.inputs = &m->at;
    node.input_count = node.op == TD_OP_INPUT ? 0 : 1;
    m->at = td_graph_append(m->ctx, m->graph, &node);
}

/* A code whose largest value is about `largest`. */
static inline void append_code(graph_maker *m, double largest) {
    tdsnn_code *code = td_arena_alloc(m->graph->arena, 1, sizeof *code);
    int steps = pick(m, 1, 40);
    double leak = steps * (0.6 + 3.0 * td_random_uniform(&m->random));
    tdsnn_code_make(m->ctx, leak, steps, largest / expm1(steps / leak), m->rounding, m->offset,
                    code);
    append(m, (td_node){.op = TD_OP_CODE, .shape = shape_at(m), .code = code});
}

/* A random axis over `size` inputs that gives at least one output; *outputs is their number. */
static inline td_axis random_axis(graph_maker *m, int size, bool pool, int *outputs) {
    for (;;) {
        td_axis a = {.kernel = pick(m, 1, 4), .stride = pick(m, 1, 3), .dilation = pick(m, 1, 2)};
        a.pad_begin = pick(m, 0, pool ? 0 : a.kernel - 1);
        a.pad_end = pick(m, 0, a.kernel - 1);
        int span = size + a.pad_begin + a.pad_end - a.dilation * (a.kernel - 1) - 1;
        *outputs = span < 0 ? 0 : span / a.stride + 1;
        /* a pool's last window must hold a member */
        bool empty = pool && (*outputs - 1) * a.stride >= size;
        if (*outputs >= 1 && !empty) {
            return a;
        }
    }
}

static inline void append_conv(graph_maker *m) {
    td_shape in = shape_at(m), out = {.c = 0};
    td_window w = {.y = random_axis(m, in.h, false, &out.h)};
    w.x = random_axis(m, in.w, false, &out.w);
    int groups = pick(m, 0, 2) == 0 ? in.c : 1; /* a third of them depthwise */
    out.c = groups * pick(m, 1, groups > 1 ? 2 : 20);
    size_t fan_in = (size_t)(in.c / groups) * (size_t)(w.y.kernel * w.x.kernel);
    append(m, (td_node){.op = TD_OP_CONV,
                        .shape = out,
                        .window = w,
                        .groups = groups,
                        .weights = random_floats(m, (size_t)out.c * fan_in, 0.0,
                                                 1.0 / sqrt((double)fan_in)),
                        .bias = random_floats(m, (size_t)out.c, 0.0, 0.2)});
}

static inline void append_pool(graph_maker *m) {
    td_shape in = shape_at(m), out = {.c = in.c};
    td_window w = {.y = random_axis(m, in.h, true, &out.h)};
    w.x = random_axis(m, in.w, true, &out.w);
    append(m, (td_node){.op = TD_OP_MAXPOOL, .shape = out, .window = w});
}

static inline void append_inner(graph_maker *m, int outputs) {
    td_shape in = shape_at(m);
    if (!in.flat) {
        append(m, (td_node){.op = TD_OP_FLATTEN, .shape = {(int)td_shape_count(in), 1, 1, true}});
        in = shape_at(m);
    }
    append(m, (td_node){.op = TD_OP_INNER,
                        .shape = {outputs, 1, 1, true},
                        .weights = random_floats(m, (size_t)outputs * (size_t)in.c, 0.0,
                                                 1.0 / sqrt((double)in.c)),
                        .bias = random_floats(m, (size_t)outputs, 0.0, 0.2)});
}

static inline void append_constants(graph_maker *m) {
    size_t channels = (size_t)shape_at(m).c;
    append(m, (td_node){.op = TD_OP_SUB,
                        .shape = shape_at(m),
                        .operand = random_floats(m, channels, 0.4, 0.1)});
    append(m, (td_node){.op = TD_OP_DIV,
                        .shape = shape_at(m),
                        .operand = random_floats(m, channels, 0.3, 0.02)});
}

/* A network of 1 to 4 convolutions, pools between them, 1 or 2 inner products; inputs in [0, 1). */
static inline td_graph *random_graph(tdsnn_context *ctx, uint64_t seed) {
    graph_maker m = {.ctx = ctx, .graph = td_graph_create(ctx)};
    td_random_seed(&m.random, seed, 1);
    m.offset = pick(&m, 0, 1);
    m.rounding = pick(&m, 0, 1) == 0 ? TDSNN_ROUND_NEAREST : TDSNN_ROUND_CEIL;
    m.graph->input_name = "x";
    m.graph->output_name = "y";
    m.graph->batch_symbol = "N";
    append(&m, (td_node){.op = TD_OP_INPUT,
                         .shape = {pick(&m, 1, 5), pick(&m, 4, 14), pick(&m, 4, 14), false}});
    append_code(&m, 1.0);
    if (pick(&m, 0, 1) == 0) {
        append_constants(&m);
    }
    for (int i = pick(&m, 1, 4); i > 0; i--) {
        append_conv(&m);
        append_code(&m, 2.0);
        if (pick(&m, 0, 2) == 0) {
            append_pool(&m);
        }
    }
    if (pick(&m, 0, 1) == 0) {
        append_inner(&m, pick(&m, 1, 60));
        append_code(&m, 2.0);
    }
    append_inner(&m, 10);
    return m.graph;
}

#endif
