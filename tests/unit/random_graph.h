/* Random coded graphs: convolutions of every geometry, pools, averages, inner products, constants a
 * channel and a value, residual adds, concatenations, choices of channels, signed pairs, slopes a
 * channel, two linear layers without a code between, flat values as pictures, any code; half of
 * them deep. For properties that must hold of every network. */
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
    double leak;              /* of all codes but perhaps the input's; 0: each has its own */
    int at;                   /* the node that the next one reads */
    bool joinable;            /* what stands there has that leak: it may meet others */
    bool constants, averages; /* stand behind its code */
    int depth;                /* codes on the longest path */
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

/* Appends a node that reads two others. */
static inline void append_join(graph_maker *m, td_node node, int first, int second) {
    char name[32];
    int inputs[2] = {first, second};
    snprintf(name, sizeof name, "n%d", m->graph->node_count);
    node.name = node.op == TD_OP_INPUT ? m->graph->input_name : name;
    node.inputs = inputs;
    node.input_count = node.op == TD_OP_INPUT ? 0 : second < 0 ? 1 : 2;
    m->at = td_graph_append(m->ctx, m->graph, &node);
}

/* Appends a node that reads the last one. */
static inline void append(graph_maker *m, td_node node) {
    append_join(m, node, m->at, -1);
}

/* A code whose largest value is about `largest`; at offset 0 a fourth are pairs. */
static inline void append_code_of(graph_maker *m, double leak, double largest) {
    tdsnn_code *code = td_arena_alloc(m->graph->arena, 1, sizeof *code);
    int steps = pick(m, 1, 40);
    leak = leak > 0.0 ? leak : steps * (0.6 + 3.0 * td_random_uniform(&m->random));
    tdsnn_code_make(m->ctx, leak, steps, largest / expm1(steps / leak), m->rounding, m->offset,
                    code);
    float negative = pick(m, 0, 1) == 0 ? 1.0f : (float)(0.05 + td_random_uniform(&m->random));
    bool pair = m->offset == 0 && pick(m, 0, 3) == 0;
    append(m, (td_node){.op = TD_OP_CODE,
                        .shape = shape_at(m),
                        .code = code,
                        .negative = pair ? negative : 0.0f});
    m->constants = m->averages = false;
}

static inline void append_code(graph_maker *m, double largest) {
    append_code_of(m, m->leak, largest);
    m->joinable = true;
    m->depth++;
}

/* Whether every output along the axis sees a member, or all of its members. */
static inline bool axis_holds(const td_axis *a, int size, int outputs, bool all) {
    for (int o = 0; o < outputs; o++) {
        int first, end;
        td_axis_taps(a, o, size, &first, &end);
        if (end - first < (all ? a->kernel : 1)) {
            return false;
        }
    }
    return true;
}

typedef enum axis_kind { AXIS_CONV, AXIS_POOL, AXIS_WHOLE_POOL } axis_kind;

/* A random axis over `size` inputs that gives at least one output; *outputs is their number. */
static inline td_axis random_axis(graph_maker *m, int size, axis_kind kind, int *outputs) {
    for (;;) {
        td_axis a = {.kernel = pick(m, 1, 4),
                     .stride = pick(m, 1, size > 4 ? 3 : 1),
                     .dilation = pick(m, 1, 2)};
        a.pad_begin = kind == AXIS_WHOLE_POOL ? 0 : pick(m, 0, a.kernel - 1);
        a.pad_end = kind == AXIS_WHOLE_POOL ? 0 : pick(m, 0, a.kernel - 1);
        int span = size + a.pad_begin + a.pad_end - a.dilation * (a.kernel - 1) - 1;
        *outputs = span < 0 ? 0 : span / a.stride + 1;
        if (*outputs >= 1 &&
            (kind == AXIS_CONV || axis_holds(&a, size, *outputs, kind == AXIS_WHOLE_POOL))) {
            return a;
        }
    }
}

/* An axis that keeps the size. */
static inline td_axis same_axis(graph_maker *m) {
    td_axis a = {.kernel = pick(m, 1, 3), .stride = 1, .dilation = 1};
    a.pad_begin = pick(m, 0, a.kernel - 1);
    a.pad_end = a.kernel - 1 - a.pad_begin;
    return a;
}

static inline void append_conv_of(graph_maker *m, td_shape out, td_window w, int groups) {
    size_t fan_in = (size_t)(shape_at(m).c / groups) * (size_t)(w.y.kernel * w.x.kernel);
    append(m, (td_node){.op = TD_OP_CONV,
                        .shape = out,
                        .window = w,
                        .groups = groups,
                        .weights = random_floats(m, (size_t)out.c * fan_in, 0.0,
                                                 1.0 / sqrt((double)fan_in)),
                        .bias = random_floats(m, (size_t)out.c, 0.0, 0.2)});
}

/* A convolution that keeps the size and gives `channels`. */
static inline void append_same_conv(graph_maker *m, int channels) {
    td_shape out = shape_at(m);
    out.c = channels;
    append_conv_of(m, out, (td_window){same_axis(m), same_axis(m)}, 1);
}

/* Groups: one; depthwise; or, of a single value, a divisor in between if there is one. */
static inline int pick_groups(graph_maker *m, int channels) {
    int kind = pick(m, 0, 3), groups = pick(m, 2, channels > 2 ? channels - 1 : 2);
    td_op op = m->graph->nodes[m->at].op;
    if (kind == 0) {
        return channels;
    }
    while (groups > 1 && channels % groups != 0) {
        groups--;
    }
    return kind < 3 && op == TD_OP_CODE ? groups : 1;
}

/* Constants a channel behind what stands there: spikes or a drive. */
static inline void append_constants(graph_maker *m, td_op first, td_op second) {
    size_t channels = (size_t)shape_at(m).c;
    append(m, (td_node){.op = first,
                        .shape = shape_at(m),
                        .operand = random_floats(m, channels, 0.4, 0.1)});
    append(m, (td_node){.op = second,
                        .shape = shape_at(m),
                        .operand = random_floats(m, channels, 0.7, 0.05)});
    m->constants = true;
}

static inline void append_conv(graph_maker *m) {
    td_shape in = shape_at(m), out = {.c = 0};
    td_window w = {.y = random_axis(m, in.h, AXIS_CONV, &out.h)};
    w.x = random_axis(m, in.w, AXIS_CONV, &out.w);
    int groups = pick_groups(m, in.c);
    out.c = groups * pick(m, 1, groups > 1 ? 2 : 20);
    append_conv_of(m, out, w, groups);
}

/* A convolution and a code. */
static inline void append_layer(graph_maker *m) {
    append_conv(m);
    append_code(m, 2.0);
}

static inline void append_flatten(graph_maker *m) {
    append(m,
           (td_node){.op = TD_OP_FLATTEN, .shape = {(int)td_shape_count(shape_at(m)), 1, 1, true}});
}

static inline void append_unflatten(graph_maker *m, td_shape shape) {
    append(m, (td_node){.op = TD_OP_UNFLATTEN, .shape = shape});
}

/* Two convolutions without a code between them where they can be composed. */
static inline void append_two(graph_maker *m) {
    append_conv(m);
    const td_node *first = &m->graph->nodes[m->at];
    bool point = first->window.y.kernel * first->window.x.kernel == 1 &&
                 first->window.y.pad_begin + first->window.x.pad_begin == 0;
    td_shape in = shape_at(m), out = in;
    td_window w = TD_WINDOW_ONE;
    if (point) {
        w.y = random_axis(m, in.h, AXIS_WHOLE_POOL, &out.h);
        w.x = random_axis(m, in.w, AXIS_WHOLE_POOL, &out.w);
    }
    out.c = pick(m, 1, 12);
    td_node second = {
        .op = TD_OP_CONV, .shape = out, .window = w, .groups = 1, .inputs = (int[]){m->at}};
    if (!td_node_composes(m->graph, &second)) {
        append_code(m, 2.0);
    }
    append_conv_of(m, out, w, 1);
    append_code(m, 2.0);
}

/* A constant for each value: added to spikes or to a drive, or a factor, which has neurons of its
 * own behind it. */
static inline void append_by_value(graph_maker *m) {
    static const td_op ops[] = {TD_OP_SUB, TD_OP_SHIFT, TD_OP_MUL, TD_OP_DIV};
    bool spikes = pick(m, 0, 1) == 0;
    if (!spikes) {
        append_conv(m);
    } else if (m->averages || m->graph->nodes[m->at].op == TD_OP_UNFLATTEN) {
        return;
    }
    td_shape shape = shape_at(m);
    if (shape.h * shape.w == 1) { /* one a channel; and [N, C, 1, 1] is read as flat */
        append_code(m, 2.0);
        return;
    }
    td_op op = ops[pick(m, 0, spikes ? 3 : 1)];
    bool factors = op == TD_OP_MUL || op == TD_OP_DIV, before = pick(m, 0, 1) == 0;
    append_flatten(m);
    append(m, (td_node){.op = op,
                        .shape = shape_at(m),
                        .operand = random_floats(m, td_shape_count(shape), 0.7, 0.1)});
    if (!spikes && before) {
        append_code(m, 2.0);
    }
    append_unflatten(m, shape);
    if (factors || (!spikes && !before)) {
        append_code(m, 2.0);
    }
    if (factors || spikes) {
        m->constants = m->averages = true; /* no pool may read them */
    }
}

/* What stands there, with slopes or ends of its channels' own on either side of 0: two codes of one
 * drive, one of them turned and scaled back. */
static inline void append_sides(graph_maker *m) {
    append_conv(m);
    int drive = m->at;
    td_shape shape = shape_at(m);
    float *signs = random_floats(m, (size_t)shape.c, -1.0, 0.0);
    append_code(m, 2.0);
    int above = m->at;
    m->at = drive;
    append(m, (td_node){.op = TD_OP_MUL, .shape = shape, .operand = signs});
    append_code(m, pick(m, 0, 1) == 0 ? 2.0 : 0.5);
    append(m, (td_node){.op = TD_OP_MUL,
                        .shape = shape,
                        .operand = random_floats(m, (size_t)shape.c, -0.3, 0.1)});
    append_join(m, (td_node){.op = TD_OP_ADD, .shape = shape}, above, m->at);
    m->depth--;
    append_code(m, 2.0);
}

static inline void append_pool(graph_maker *m) {
    td_shape in = shape_at(m), out = {.c = in.c};
    td_window w = {.y = random_axis(m, in.h, AXIS_POOL, &out.h)};
    w.x = random_axis(m, in.w, AXIS_POOL, &out.w);
    append(m, (td_node){.op = TD_OP_MAXPOOL, .shape = out, .window = w});
}

/* An average, composed with what reads it or with a code of its own. */
static inline void append_mean(graph_maker *m, bool global) {
    td_shape in = shape_at(m), out = {.c = in.c, .h = 1, .w = 1};
    axis_kind kind = m->constants || m->offset == 1 ? AXIS_WHOLE_POOL : AXIS_POOL;
    td_window w = {{in.h, 1, 1, 0, 0}, {in.w, 1, 1, 0, 0}};
    if (!global) {
        w.y = random_axis(m, in.h, kind, &out.h);
        w.x = random_axis(m, in.w, kind, &out.w);
    }
    if (w.y.dilation > 1 || w.x.dilation > 1) {
        return; /* ONNX has no such averages */
    }
    bool pads = w.y.pad_begin + w.y.pad_end + w.x.pad_begin + w.x.pad_end > 0;
    append(m, (td_node){.op = TD_OP_AVGPOOL,
                        .shape = out,
                        .window = w,
                        .count_padding = pads && pick(m, 0, 1) == 0});
    m->averages = true;
    if (pick(m, 0, 2) == 0 && m->joinable) {
        append_code(m, 2.0);
    }
}

/* Two convolutions and a shortcut, as it is or through a convolution of its own. */
static inline void append_residual(graph_maker *m) {
    int start = m->at, channels = shape_at(m).c;
    append_same_conv(m, pick(m, 1, 8));
    append_code(m, 2.0);
    append_same_conv(m, channels);
    int deep = m->at, shortcut = start;
    if (pick(m, 0, 2) == 0) {
        m->at = start;
        append_same_conv(m, channels);
        shortcut = m->at;
    }
    td_node add = {.op = TD_OP_ADD, .shape = shape_at(m)};
    bool first = pick(m, 0, 1) == 0;
    append_join(m, add, first ? deep : shortcut, first ? shortcut : deep);
    if (pick(m, 0, 2) == 0) {
        append_constants(m, TD_OP_MUL, TD_OP_SHIFT);
    }
    append_code(m, 2.0);
}

/* Two branches side by side; the second may be what stands there. */
static inline void append_concat(graph_maker *m) {
    int start = m->at;
    append_same_conv(m, pick(m, 1, 8));
    append_code(m, 2.0);
    int first = m->at, second = start;
    if (pick(m, 0, 1) == 0) {
        m->at = start;
        append_same_conv(m, pick(m, 1, 8));
        append_code(m, 2.0);
        m->depth--;
        second = m->at;
    }
    td_shape shape = m->graph->nodes[first].shape;
    shape.c += m->graph->nodes[second].shape.c;
    append_join(m, (td_node){.op = TD_OP_CONCAT, .shape = shape}, first, second);
    m->constants = m->averages = true; /* perhaps, of the second */
}

/* Some channels pass, the others go through a convolution. */
static inline void append_split(graph_maker *m) {
    int start = m->at;
    td_shape shape = shape_at(m), part = shape, rest = shape;
    part.c = pick(m, 1, shape.c - 1);
    rest.c = shape.c - part.c;
    append(m, (td_node){.op = TD_OP_SLICE, .shape = part});
    int passed = m->at;
    m->at = start;
    append(m, (td_node){.op = TD_OP_SLICE, .shape = rest, .first_channel = part.c});
    bool constants = m->constants, averages = m->averages;
    append_same_conv(m, rest.c);
    append_code(m, 2.0);
    append_join(m, (td_node){.op = TD_OP_CONCAT, .shape = shape}, passed, m->at);
    m->constants = constants;
    m->averages = averages;
}

static inline void append_block(graph_maker *m) {
    td_shape shape = shape_at(m);
    bool plain = !m->constants && !m->averages;
    switch (pick(m, 0, 12)) {
    case 0:
        if (plain) {
            append_pool(m);
        }
        break;
    case 1:
        if (!m->averages) {
            append_mean(m, false);
        }
        break;
    case 2:
    case 3:
        if (m->joinable) {
            append_residual(m);
        }
        break;
    case 4:
        if (m->joinable) {
            append_concat(m);
        }
        break;
    case 5:
        if (m->joinable && shape.c > 1) {
            append_split(m);
        }
        break;
    case 6:
        append_two(m);
        break;
    case 7:
        if (m->joinable) {
            append_sides(m);
        }
        break;
    case 8:
        append_by_value(m);
        break;
    default:
        append_layer(m);
        break;
    }
}

static inline void append_inner(graph_maker *m, int outputs) {
    if (!shape_at(m).flat) {
        append_flatten(m);
    }
    td_shape in = shape_at(m);
    append(m, (td_node){.op = TD_OP_INNER,
                        .shape = {outputs, 1, 1, true},
                        .weights = random_floats(m, (size_t)outputs * (size_t)in.c, 0.0,
                                                 1.0 / sqrt((double)in.c)),
                        .bias = random_floats(m, (size_t)outputs, 0.0, 0.2)});
}

/* An inner product whose values are a picture, and a convolution of it. */
static inline void append_picture(graph_maker *m) {
    td_shape picture = {pick(m, 1, 4), pick(m, 1, 5), pick(m, 2, 5), false};
    append_inner(m, (int)td_shape_count(picture));
    append_code(m, 2.0);
    append_unflatten(m, picture);
    if (pick(m, 0, 1) == 0) {
        append_constants(m, TD_OP_MUL, TD_OP_SUB);
    }
    append_layer(m);
}

/* The read-out: an inner product, perhaps behind another or an average, or averages themselves. */
static inline void append_tail(graph_maker *m) {
    if (m->graph->nodes[m->at].op == TD_OP_UNFLATTEN) { /* reading turns it and a Flatten to none */
        append_layer(m);
    }
    if (pick(m, 0, 3) == 0) {
        append_picture(m);
    }
    bool global = !m->averages && pick(m, 0, 3) == 0;
    if (global) {
        append_mean(m, true);
    }
    if (global && pick(m, 0, 2) == 0) {
        append_flatten(m);
        return;
    }
    td_node last = {.op = TD_OP_INNER, .shape = {10, 1, 1, true}, .inputs = &m->at};
    if (pick(m, 0, 1) == 0) {
        append_inner(m, pick(m, 1, 60));
        if (pick(m, 0, 1) == 0 || !td_node_composes(m->graph, &last)) {
            append_code(m, 2.0);
        }
    }
    append_inner(m, 10);
}

/* A network for inputs in [0, 1), or for signed ones where its code is a pair's; graphs of odd
 * seeds have at least five layers in a row. */
static inline td_graph *random_graph(tdsnn_context *ctx, uint64_t seed) {
    graph_maker m = {.ctx = ctx, .graph = td_graph_create(ctx)};
    td_random_seed(&m.random, seed, 1);
    m.offset = pick(&m, 0, 3) == 0;
    m.rounding = pick(&m, 0, 1) == 0 ? TDSNN_ROUND_NEAREST : TDSNN_ROUND_CEIL;
    m.leak = 12.0 + 50.0 * td_random_uniform(&m.random);
    m.joinable = pick(&m, 0, 1) == 0;
    m.graph->input_name = "x";
    m.graph->output_name = "y";
    m.graph->batch_symbol = "N";
    append(&m, (td_node){.op = TD_OP_INPUT,
                         .shape = {pick(&m, 1, 5), pick(&m, 4, 14), pick(&m, 4, 14), false}});
    append_code_of(&m, m.joinable ? m.leak : 0.0, 1.0);
    if (pick(&m, 0, 1) == 0) {
        append_constants(&m, TD_OP_SUB, TD_OP_DIV);
    }
    int least = seed % 2 == 1 ? 4 : 0, blocks = pick(&m, 1, 5);
    while (m.depth < least || blocks-- > 0) {
        append_block(&m);
    }
    append_tail(&m);
    return m.graph;
}

/* A sample for it, [C][H][W]. */
static inline void random_graph_sample(td_random *r, const td_graph *graph, float *values) {
    bool pair = graph->nodes[1].negative != 0.0f;
    for (size_t i = 0; i < td_shape_count(graph->nodes[0].shape); i++) {
        values[i] = (float)td_random_uniform(r) * (pair && td_random_below(r, 2) ? -1.0f : 1.0f);
    }
}

#endif
