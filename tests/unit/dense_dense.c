/* The dense runner, by each back end, against the definitions, written out once more in double. */
#include "dense/dense.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "dense/onednn.h"
#include "tap.h"

#define GEOMETRIES 400

typedef struct maker {
    tdsnn_context *ctx;
    td_random random;
    td_graph *graph;
    td_dense_options options;
    td_dense_plan *plan;
} maker;

static int pick(maker *m, int low, int high) {
    return low + (int)td_random_below(&m->random, (uint64_t)(high - low + 1));
}

static float *random_floats(maker *m, size_t count) {
    float *floats = td_arena_alloc(m->graph->arena, count, sizeof *floats);
    for (size_t i = 0; i < count; i++) {
        floats[i] = (float)td_random_normal(&m->random);
    }
    return floats;
}

static void start(maker *m, td_shape input) {
    m->graph = td_graph_create(m->ctx);
    td_graph_append(m->ctx, m->graph, &(td_node){.op = TD_OP_INPUT, .name = "x", .shape = input});
}

/* Appends a node that reads the last one. */
static void append(maker *m, td_node node) {
    int last = m->graph->node_count - 1;
    node.name = "node";
    node.input_count = 1;
    node.inputs = &last;
    td_graph_append(m->ctx, m->graph, &node);
}

/* Runs one random sample and leaves the session for its values. */
static td_dense *run(maker *m) {
    td_dense *session = NULL;
    td_dense_plan_create(m->ctx, m->graph, &m->options, &m->plan);
    td_dense_create(m->ctx, m->plan, &session);
    td_dense_run(session, random_floats(m, td_shape_count(m->graph->nodes[0].shape)));
    return session;
}

static void finish(maker *m, td_dense *session) {
    td_dense_destroy(session);
    td_dense_plan_destroy(m->plan);
    td_graph_destroy(m->graph);
}

static td_axis random_axis(maker *m) {
    return (td_axis){.kernel = pick(m, 1, 5),
                     .stride = pick(m, 1, 3),
                     .dilation = pick(m, 1, 3),
                     .pad_begin = pick(m, 0, 4),
                     .pad_end = pick(m, 0, 4)};
}

/* Sizes such that rows are longer and shorter than a block, and the window fits. */
static td_shape random_input(maker *m, td_window *window) {
    for (;;) {
        td_shape in = {pick(m, 1, 6), pick(m, 1, 12), pick(m, 1, 40), false};
        *window = (td_window){random_axis(m), random_axis(m)};
        if (td_axis_outputs(&window->y, in.h) > 0 && td_axis_outputs(&window->x, in.w) > 0) {
            return in;
        }
    }
}

/* The value at (c, y, x), 0 in the padding. */
static double at(const float *values, td_shape s, int c, int y, int x) {
    bool inside = y >= 0 && y < s.h && x >= 0 && x < s.w;
    return inside ? (double)values[((size_t)c * (size_t)s.h + (size_t)y) * (size_t)s.w + (size_t)x]
                  : 0.0;
}

/* One output and the sum of its terms' magnitudes: rounding is bounded by a multiple of it. */
static double conv_output(const td_node *node, td_shape in, const float *input, int c, int y, int x,
                          double *magnitude) {
    const td_window *w = &node->window;
    int group_inputs = in.c / node->groups, group = c / (node->shape.c / node->groups);
    double sum = (double)node->bias[c];
    *magnitude = fabs(sum);
    for (int i = 0; i < group_inputs; i++) {
        for (int ky = 0; ky < w->y.kernel; ky++) {
            for (int kx = 0; kx < w->x.kernel; kx++) {
                int place = ((c * group_inputs + i) * w->y.kernel + ky) * w->x.kernel + kx;
                double term = (double)node->weights[place] *
                              at(input, in, group * group_inputs + i,
                                 y * w->y.stride - w->y.pad_begin + ky * w->y.dilation,
                                 x * w->x.stride - w->x.pad_begin + kx * w->x.dilation);
                sum += term;
                *magnitude += fabs(term);
            }
        }
    }
    return sum;
}

/* Outputs of the last node that are off by more than rounding. */
static size_t wrong_conv(const td_graph *graph, const td_dense *session) {
    const td_node *node = &graph->nodes[1];
    td_shape in = graph->nodes[0].shape, out = node->shape;
    const float *input = td_dense_value(session, 0), *output = td_dense_value(session, 1);
    size_t wrong = 0;
    for (int c = 0; c < out.c; c++) {
        for (int y = 0; y < out.h; y++) {
            for (int x = 0; x < out.w; x++) {
                double magnitude, sum = conv_output(node, in, input, c, y, x, &magnitude);
                wrong += !(fabs(at(output, out, c, y, x) - sum) <= 1e-5 * magnitude);
            }
        }
    }
    return wrong;
}

static void test_conv(maker *m) {
    int wrong = 0, grouped = 0, strided = 0, dilated = 0, uneven = 0, empty = 0;
    for (int i = 0; i < GEOMETRIES; i++) {
        td_node node = {.op = TD_OP_CONV, .groups = 1};
        td_shape in = random_input(m, &node.window);
        node.groups = pick(m, 0, 2) == 0 ? in.c : in.c % 2 == 0 ? 2 : 1;
        node.shape = (td_shape){node.groups * pick(m, 1, 6), td_axis_outputs(&node.window.y, in.h),
                                td_axis_outputs(&node.window.x, in.w), false};
        start(m, in);
        node.weights = random_floats(m, (size_t)(node.shape.c * (in.c / node.groups) *
                                                 node.window.y.kernel * node.window.x.kernel));
        node.bias = random_floats(m, (size_t)node.shape.c);
        append(m, node);
        td_dense *session = run(m);
        wrong += wrong_conv(m->graph, session) > 0;
        int first, end;
        td_axis_taps(&node.window.x, 0, in.w, &first, &end);
        grouped += node.groups > 1;
        strided += node.window.x.stride > 1;
        dilated += node.window.x.dilation > 1;
        uneven += node.window.x.pad_begin != node.window.x.pad_end;
        empty += first == end;
        finish(m, session);
    }
    ok(wrong == 0, "%d random convolutions are right, %d are not", GEOMETRIES - wrong, wrong);
    ok(grouped > 50 && strided > 50 && dilated > 50 && uneven > 50 && empty > 5,
       "%d in groups, %d strided, %d dilated, %d with uneven pads, %d with windows in the padding",
       grouped, strided, dilated, uneven, empty);
}

/* The largest member that is there: padding never wins, not even over negative values. */
static float pool_output(const td_node *node, td_shape in, const float *input, int c, int y,
                         int x) {
    const td_window *w = &node->window;
    float best = -INFINITY;
    for (int ky = 0; ky < w->y.kernel; ky++) {
        for (int kx = 0; kx < w->x.kernel; kx++) {
            int iy = y * w->y.stride - w->y.pad_begin + ky * w->y.dilation;
            int ix = x * w->x.stride - w->x.pad_begin + kx * w->x.dilation;
            if (iy >= 0 && iy < in.h && ix >= 0 && ix < in.w) {
                best = fmaxf(best, (float)at(input, in, c, iy, ix));
            }
        }
    }
    return best;
}

static void test_maxpool(maker *m) {
    int wrong = 0;
    for (int i = 0; i < GEOMETRIES; i++) {
        td_node node = {.op = TD_OP_MAXPOOL};
        td_shape in = random_input(m, &node.window);
        node.shape = (td_shape){in.c, td_axis_outputs(&node.window.y, in.h),
                                td_axis_outputs(&node.window.x, in.w), false};
        start(m, in);
        append(m, node);
        td_dense *session = run(m);
        const float *input = td_dense_value(session, 0), *output = td_dense_value(session, 1);
        bool same = true;
        for (int c = 0; c < in.c; c++) {
            for (int y = 0; y < node.shape.h; y++) {
                for (int x = 0; x < node.shape.w; x++) {
                    same = same && pool_output(&node, in, input, c, y, x) == *output++;
                }
            }
        }
        wrong += !same;
        finish(m, session);
    }
    ok(wrong == 0, "%d random max-pools are right, %d are not", GEOMETRIES - wrong, wrong);
}

/* The mean of a window by definition, in double; NAN where it has no members to divide by. */
static double mean_output(const td_node *node, td_shape in, const float *input, int c, int y,
                          int x) {
    const td_window *w = &node->window;
    double sum = 0.0;
    int members = 0;
    for (int ky = 0; ky < w->y.kernel; ky++) {
        for (int kx = 0; kx < w->x.kernel; kx++) {
            int iy = y * w->y.stride - w->y.pad_begin + ky * w->y.dilation;
            int ix = x * w->x.stride - w->x.pad_begin + kx * w->x.dilation;
            sum += at(input, in, c, iy, ix);
            members += node->count_padding || (iy >= 0 && iy < in.h && ix >= 0 && ix < in.w);
        }
    }
    return sum / members;
}

static void test_avgpool(maker *m) {
    int wrong = 0, counted = 0;
    for (int i = 0; i < GEOMETRIES; i++) {
        td_node node = {.op = TD_OP_AVGPOOL, .count_padding = i % 2 == 1};
        td_shape in = random_input(m, &node.window);
        node.shape = (td_shape){in.c, td_axis_outputs(&node.window.y, in.h),
                                td_axis_outputs(&node.window.x, in.w), false};
        start(m, in);
        append(m, node);
        td_dense *session = run(m);
        const float *input = td_dense_value(session, 0), *output = td_dense_value(session, 1);
        bool same = true;
        for (int c = 0; c < in.c; c++) {
            for (int y = 0; y < node.shape.h; y++) {
                for (int x = 0; x < node.shape.w; x++, output++) {
                    double mean = mean_output(&node, in, input, c, y, x);
                    same = same && (isnan(mean) || fabs((double)*output - mean) <= 1e-6);
                    counted += !isnan(mean);
                }
            }
        }
        wrong += !same;
        finish(m, session);
    }
    ok(wrong == 0 && counted > 10000, "%d random average pools are right, %d are not",
       GEOMETRIES - wrong, wrong);
}

static void test_inner(maker *m) {
    int wrong = 0;
    for (int inputs = 1; inputs <= 100; inputs++) {
        td_node node = {.op = TD_OP_INNER, .shape = {pick(m, 1, 9), 1, 1, true}};
        start(m, (td_shape){inputs, 1, 1, true});
        node.weights = random_floats(m, (size_t)(node.shape.c * inputs));
        node.bias = random_floats(m, (size_t)node.shape.c);
        append(m, node);
        td_dense *session = run(m);
        const float *input = td_dense_value(session, 0), *output = td_dense_value(session, 1);
        for (int c = 0; c < node.shape.c; c++) {
            double sum = (double)node.bias[c], magnitude = fabs(sum);
            for (int i = 0; i < inputs; i++) {
                double term = (double)node.weights[c * inputs + i] * (double)input[i];
                sum += term;
                magnitude += fabs(term);
            }
            wrong += !(fabs((double)output[c] - sum) <= 1e-5 * magnitude);
        }
        finish(m, session);
    }
    ok(wrong == 0, "inner products of 1 to 100 inputs are right, but for %d outputs", wrong);
}

/* Each of the pointwise operators in one chain, every value looked at. */
static void test_pointwise(maker *m) {
    tdsnn_code *code;
    td_shape shape = {3, 2, 5, false}, flat = {30, 1, 1, true};
    start(m, shape);
    code = td_arena_alloc(m->graph->arena, 1, sizeof *code);
    tdsnn_code_make(m->ctx, 7.0, 7, 1.0, TDSNN_ROUND_NEAREST, 0, code);
    const float *c = random_floats(m, 3);
    append(m, (td_node){.op = TD_OP_SUB, .shape = shape, .operand = c});
    append(m, (td_node){.op = TD_OP_DIV, .shape = shape, .operand = c});
    append(m, (td_node){.op = TD_OP_MUL, .shape = shape, .operand = c});
    append(m, (td_node){.op = TD_OP_SHIFT, .shape = shape, .operand = c});
    append(m, (td_node){.op = TD_OP_RELU, .shape = shape});
    append(m, (td_node){.op = TD_OP_CODE, .shape = shape, .code = code});
    int pair[3] = {5, 6, 0};
    td_graph_append(
        m->ctx, m->graph,
        &(td_node){
            .op = TD_OP_ADD, .name = "sum", .input_count = 3, .inputs = pair, .shape = shape});
    append(m, (td_node){.op = TD_OP_FLATTEN, .shape = flat});
    append(m, (td_node){.op = TD_OP_SOFTMAX, .shape = flat});
    td_dense *session = run(m);
    const float *v[10];
    for (int i = 0; i < 10; i++) {
        v[i] = td_dense_value(session, i);
    }
    bool right[10];
    memset(right, true, sizeof right);
    double exponentials = 0.0, total = 0.0;
    for (int i = 0; i < 30; i++) {
        float k = c[i / 10];
        right[1] &= v[1][i] == v[0][i] - k;
        right[2] &= v[2][i] == v[1][i] / k;
        right[3] &= v[3][i] == v[2][i] * k;
        right[4] &= v[4][i] == v[3][i] + k;
        right[5] &= v[5][i] == fmaxf(v[4][i], 0.0f);
        right[6] &= v[6][i] == code->values[tdsnn_code_encode(code, v[5][i])];
        right[7] &= v[7][i] == v[5][i] + v[6][i] + v[0][i];
        right[8] &= v[8][i] == v[7][i];
        exponentials += exp((double)v[8][i]);
        total += (double)v[9][i];
    }
    for (int i = 0; i < 30; i++) {
        right[9] &= fabs((double)v[9][i] - exp((double)v[8][i]) / exponentials) < 1e-6;
    }
    for (int i = 1; i < 10; i++) {
        ok(right[i], "%s is right", td_op_name(m->graph->nodes[i].op));
    }
    ok(fabs(total - 1.0) < 1e-5, "a Softmax sums to 1");
    finish(m, session);
}

/* Clip, LeakyRelu and signed codes, and the channels of some of them side by side and apart. */
static void test_branches(maker *m) {
    td_shape shape = {3, 2, 5, false};
    start(m, shape);
    tdsnn_code *code = td_arena_alloc(m->graph->arena, 1, sizeof *code);
    tdsnn_code_make(m->ctx, 7.0, 7, 0.7, TDSNN_ROUND_NEAREST, 0, code);
    const td_node nodes[] = {
        {.op = TD_OP_CLIP, .low = -0.25f, .high = 0.5f},
        {.op = TD_OP_LEAKY, .negative = 0.3f},
        {.op = TD_OP_CODE, .code = code, .negative = 1.0f},
        {.op = TD_OP_CODE, .code = code, .negative = 0.3f},
    };
    for (int i = 0; i < 4; i++) { /* all read the input */
        td_node node = nodes[i];
        node.name = "node";
        node.input_count = 1;
        node.inputs = (int[]){0};
        node.shape = shape;
        td_graph_append(m->ctx, m->graph, &node);
    }
    int both[3] = {1, 3, 2};
    td_graph_append(m->ctx, m->graph,
                    &(td_node){.op = TD_OP_CONCAT,
                               .name = "join",
                               .input_count = 3,
                               .inputs = both,
                               .shape = {9, 2, 5, false}});
    append(m, (td_node){.op = TD_OP_SLICE, .shape = {4, 2, 5, false}, .first_channel = 2});
    td_dense *session = run(m);
    const float *v[7];
    for (int i = 0; i < 7; i++) {
        v[i] = td_dense_value(session, i);
    }
    bool right[7];
    memset(right, true, sizeof right);
    for (int i = 0; i < 30; i++) {
        float x = v[0][i];
        float up = code->values[tdsnn_code_encode(code, x)];
        float down = code->values[tdsnn_code_encode(code, -x)];
        right[1] &= v[1][i] == fminf(fmaxf(x, -0.25f), 0.5f);
        right[2] &= v[2][i] == (x < 0.0f ? 0.3f * x : x);
        right[3] &= v[3][i] == up - down;
        right[4] &= v[4][i] == up - 0.3f * down;
        right[5] &= v[5][i] == v[1][i] && v[5][30 + i] == v[3][i] && v[5][60 + i] == v[2][i];
    }
    for (int i = 0; i < 40; i++) {
        right[6] &= v[6][i] == v[5][20 + i];
    }
    for (int i = 1; i < 7; i++) {
        ok(right[i], "%s %d is right", td_op_name(m->graph->nodes[i].op), i);
    }
    finish(m, session);
}

static void test_large_logits(maker *m) {
    td_shape shape = {3, 1, 1, true};
    static const float large[3] = {1000.0f, 999.0f, -1000.0f};
    for (int i = 0; i < 2; i++) {
        start(m, shape);
        append(m, (td_node){.op = i == 0 ? TD_OP_SOFTMAX : TD_OP_LOGSOFTMAX, .shape = shape});
        td_dense *session = NULL;
        td_dense_plan_create(m->ctx, m->graph, &m->options, &m->plan);
        td_dense_create(m->ctx, m->plan, &session);
        td_dense_run(session, large);
        const float *v = td_dense_value(session, 1);
        double first = log(1.0 / (1.0 + exp(-1.0)));
        ok(fabs((i == 0 ? log((double)v[0]) : (double)v[0]) - first) < 1e-6 &&
               (i == 0 ? v[2] == 0.0f : v[2] < -1999.0f),
           "%s of large logits does not overflow", td_op_name(m->graph->nodes[1].op));
        finish(m, session);
    }
}

static void test_backend(tdsnn_context *ctx, td_dense_backend backend) {
    maker m = {.ctx = ctx, .options = {.backend = backend, .keep_all = true}};
    printf("# %s\n", backend == TD_DENSE_PLAIN ? "plain C" : td_dense_backend_name());
    td_random_seed(&m.random, 1, 0);
    test_conv(&m);
    test_maxpool(&m);
    test_avgpool(&m);
    test_inner(&m);
    test_pointwise(&m);
    test_branches(&m);
    test_large_logits(&m);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_backend(ctx, TD_DENSE_PLAIN);
    if (td_onednn_present()) {
        test_backend(ctx, TD_DENSE_ONEDNN);
    }
    tdsnn_context_destroy(ctx);
    return tap_end();
}
