/* The graph: appending, metadata, multiply-adds, and what makes two graphs equal. */
#include "graph/graph.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "tap.h"

static tdsnn_context *ctx;

/* What make() makes of the graph below; tests change one thing and look whether it is noticed. */
typedef struct plan {
    float weight, bias, operand, inner;
    td_window window, pool;
    int groups, relu_input;
    const char *relu_name, *batch, *input_name;
    td_op last;
    tdsnn_code code;
} plan;

static plan usual(void) {
    plan p = {.weight = 1.0f,
              .bias = 0.0f,
              .operand = 2.0f,
              .inner = 3.0f,
              .window = {{3, 1, 1, 1, 1}, {3, 1, 1, 1, 1}},
              .pool = {{2, 2, 1, 0, 0}, {2, 2, 1, 0, 0}},
              .groups = 1,
              .relu_input = 2,
              .relu_name = "relu",
              .batch = "N",
              .input_name = "x",
              .last = TD_OP_SOFTMAX};
    tdsnn_code_make(ctx, 7.0, 7, 1.0, TDSNN_ROUND_NEAREST, 0, &p.code);
    return p;
}

static void append(td_graph *graph, td_node node, int input) {
    node.input_count = 1;
    node.inputs = &input;
    td_graph_append(ctx, graph, &node);
}

static float *floats(td_graph *graph, size_t count, float last) {
    float *values = td_arena_alloc(graph->arena, count, sizeof *values);
    values[count - 1] = last;
    return values;
}

/* input - sub - conv - relu - code - pool - flatten - inner - softmax */
static td_graph *make(const plan *p) {
    td_graph *g = td_graph_create(ctx);
    td_shape map = {2, 4, 4, false}, half = {2, 2, 2, false}, flat = {8, 1, 1, true};
    td_shape out = {3, 1, 1, true};
    tdsnn_code *code = td_arena_alloc(g->arena, 1, sizeof *code);
    *code = p->code;
    g->input_name = p->input_name;
    g->output_name = "y";
    g->batch_symbol = p->batch;
    td_graph_append(ctx, g, &(td_node){.op = TD_OP_INPUT, .name = "in", .shape = map});
    append(g, (td_node){TD_OP_SUB, "sub", .shape = map, .operand = floats(g, 2, p->operand)}, 0);
    append(g,
           (td_node){TD_OP_CONV, "conv", .shape = map, .window = p->window, .groups = p->groups,
                     .weights = floats(g, 36, p->weight), .bias = floats(g, 2, p->bias)},
           1);
    append(g, (td_node){TD_OP_RELU, p->relu_name, .shape = map}, p->relu_input);
    append(g, (td_node){TD_OP_CODE, "code", .shape = map, .code = code}, 3);
    append(g, (td_node){TD_OP_MAXPOOL, "pool", .shape = half, .window = p->pool}, 4);
    append(g, (td_node){TD_OP_FLATTEN, "flat", .shape = flat}, 5);
    append(g,
           (td_node){TD_OP_INNER, "inner", .shape = out, .weights = floats(g, 24, p->inner),
                     .bias = floats(g, 3, 0.0f)},
           6);
    append(g, (td_node){p->last, "last", .shape = out}, 7);
    return g;
}

static bool equal(const plan *a, const plan *b) {
    td_graph *x = make(a), *y = make(b);
    bool same = td_graph_equal(x, y);
    td_graph_destroy(x);
    td_graph_destroy(y);
    return same;
}

static void test_equal(void) {
    const plan base = usual();
    ok(equal(&base, &base), "the same graph made twice is equal");
#define DIFFERS(what, change)                                                                      \
    do {                                                                                           \
        plan p = usual();                                                                          \
        change;                                                                                    \
        ok(!equal(&base, &p) && !equal(&p, &base), "%s is noticed", what);                         \
    } while (0)
    DIFFERS("the last bit of a weight", p.weight = nextafterf(1.0f, 2.0f));
    DIFFERS("the sign of a zero bias", p.bias = -0.0f);
    DIFFERS("a weight of the inner product", p.inner = 4.0f);
    DIFFERS("a constant", p.operand = 4.0f);
    DIFFERS("a pad of a convolution", p.window.x.pad_end = 2);
    DIFFERS("a stride of a pool", p.pool.y.stride = 1);
    DIFFERS("a dilation", p.window.y.dilation = 2);
    DIFFERS("the number of groups", p.groups = 2);
    DIFFERS("an input", p.relu_input = 1);
    DIFFERS("a name", p.relu_name = "other");
    DIFFERS("a fixed batch", p.batch = NULL);
    DIFFERS("the input's name", p.input_name = "z");
    DIFFERS("an operator", p.last = TD_OP_LOGSOFTMAX);
    DIFFERS("a threshold", p.code.thresholds[6] = 2.0f);
    DIFFERS("a value", p.code.values[255] = 2.0f);
    DIFFERS("a leak", p.code.leak = 8.0f);
    DIFFERS("the rounding", p.code.rounding = TDSNN_ROUND_TABLE);
}

/* A node of the operators that `plan` has not, behind the input. */
static td_graph *make_one(td_node node) {
    td_graph *g = td_graph_create(ctx);
    td_shape map = {2, 4, 4, false};
    g->input_name = g->output_name = "x";
    td_graph_append(ctx, g, &(td_node){.op = TD_OP_INPUT, .name = "in", .shape = map});
    node.name = "node";
    node.shape = map;
    append(g, node, 0);
    return g;
}

static void test_equal_content(void) {
    tdsnn_code code;
    tdsnn_code_make(ctx, 7.0, 7, 1.0, TDSNN_ROUND_NEAREST, 0, &code);
    const td_window one = TD_WINDOW_ONE;
    td_window wide = one;
    wide.x.kernel = 2;
    const struct {
        const char *what;
        td_node a, b;
    } cases[] = {
        {"a Clip's low",
         {.op = TD_OP_CLIP, .high = 6.0f},
         {.op = TD_OP_CLIP, .low = -1.0f, .high = 6.0f}},
        {"a Clip's high", {.op = TD_OP_CLIP, .high = 6.0f}, {.op = TD_OP_CLIP, .high = 5.0f}},
        {"a slope", {.op = TD_OP_LEAKY, .negative = 0.1f}, {.op = TD_OP_LEAKY, .negative = 0.2f}},
        {"the second neuron of a code",
         {.op = TD_OP_CODE, .code = &code},
         {.op = TD_OP_CODE, .code = &code, .negative = 1.0f}},
        {"the window of an average",
         {.op = TD_OP_AVGPOOL, .window = one},
         {.op = TD_OP_AVGPOOL, .window = wide}},
        {"whether an average counts padding",
         {.op = TD_OP_AVGPOOL, .window = one},
         {.op = TD_OP_AVGPOOL, .window = one, .count_padding = true}},
        {"the first channel of a slice",
         {.op = TD_OP_SLICE, .first_channel = 1},
         {.op = TD_OP_SLICE, .first_channel = 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        td_graph *a = make_one(cases[i].a), *same = make_one(cases[i].a), *b = make_one(cases[i].b);
        ok(td_graph_equal(a, same) && !td_graph_equal(a, b) && !td_graph_equal(b, a),
           "%s is noticed", cases[i].what);
        td_graph_destroy(a);
        td_graph_destroy(same);
        td_graph_destroy(b);
    }
    for (int op = 0; op < TD_OP_COUNT; op++) {
        ok(td_op_name((td_op)op) != NULL, "operator %d has a name", op);
    }
}

static void test_metadata(void) {
    td_graph *g = td_graph_create(ctx);
    char key[16] = "one";
    td_graph_set_metadata(ctx, g, key, "1");
    key[0] = 'x';
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%d", i);
        td_graph_set_metadata(ctx, g, key, key);
    }
    td_graph_set_metadata(ctx, g, "k7", "seven");
    ok(g->metadata_count == 41 && strcmp(td_graph_metadata(g, "one"), "1") == 0 &&
           strcmp(td_graph_metadata(g, "k39"), "k39") == 0,
       "metadata is copied and found");
    ok(strcmp(td_graph_metadata(g, "k7"), "seven") == 0, "a value is replaced");
    ok(td_graph_metadata(g, "none") == NULL, "a key that is not there is NULL");
    td_graph_destroy(g);
}

static void test_queries(void) {
    plan p = usual();
    td_graph *g = make(&p);
    ok(td_graph_logits(g) == 7 && td_graph_is_spiking(g), "logits are before a closing Softmax");
    ok(td_graph_consumers(g, 2) == 1 && td_graph_consumers(g, 8) == 0, "consumers are counted");
    int both[2] = {5, 5};
    td_graph_append(
        ctx, g,
        &(td_node){TD_OP_ADD, "sum", .input_count = 2, .inputs = both, .shape = {2, 2, 2, false}});
    ok(td_graph_consumers(g, 5) == 2, "one that reads twice is one consumer");
    ok(td_graph_logits(g) == 9, "without a Softmax the last node gives the logits");
    td_graph_destroy(g);
}

/* Multiply-adds of a convolution, tap by tap. */
static uint64_t count_macs(const td_node *node, td_shape in, bool padded) {
    uint64_t macs = 0;
    const td_window *w = &node->window;
    for (int y = 0; y < node->shape.h; y++) {
        for (int x = 0; x < node->shape.w; x++) {
            for (int ky = 0; ky < w->y.kernel; ky++) {
                for (int kx = 0; kx < w->x.kernel; kx++) {
                    int iy = td_axis_input(&w->y, y, ky), ix = td_axis_input(&w->x, x, kx);
                    bool inside = iy >= 0 && iy < in.h && ix >= 0 && ix < in.w;
                    macs += padded || inside;
                }
            }
        }
    }
    return macs * (uint64_t)(node->shape.c * (in.c / node->groups));
}

static void test_macs(void) {
    td_random r;
    td_random_seed(&r, 2, 0);
    int wrong = 0, bordered = 0;
    for (int i = 0; i < 300; i++) {
        td_axis a[2];
        for (int j = 0; j < 2; j++) {
            a[j] = (td_axis){1 + (int)td_random_below(&r, 4), 1 + (int)td_random_below(&r, 3),
                             1 + (int)td_random_below(&r, 2), (int)td_random_below(&r, 4),
                             (int)td_random_below(&r, 4)};
        }
        int groups = 1 + (int)td_random_below(&r, 2);
        td_shape in = {groups * 3, 7 + (int)td_random_below(&r, 9), 7 + (int)td_random_below(&r, 9),
                       false};
        td_node conv = {TD_OP_CONV, "conv", .window = {a[0], a[1]}, .groups = groups};
        conv.shape = (td_shape){groups * 2, td_axis_outputs(&a[0], in.h),
                                td_axis_outputs(&a[1], in.w), false};
        td_graph *g = td_graph_create(ctx);
        td_graph_append(ctx, g, &(td_node){TD_OP_INPUT, "x", .shape = in});
        append(g, conv, 0);
        uint64_t plain = td_node_macs(g, &g->nodes[1], false);
        uint64_t padded = td_node_macs(g, &g->nodes[1], true);
        wrong += plain != count_macs(&conv, in, false) || padded != count_macs(&conv, in, true);
        bordered += plain != padded;
        td_graph_destroy(g);
    }
    ok(wrong == 0 && bordered > 100, "multiply-adds of 300 convolutions, %d with taps on padding",
       bordered);
    plan p = usual();
    td_graph *g = make(&p);
    ok(td_node_macs(g, &g->nodes[7], false) == 24 && td_node_macs(g, &g->nodes[5], true) == 0,
       "an inner product has one a weight, a pool none");
    td_graph_destroy(g);
}

/* td_axis_outputs against the definition: windows that fit are counted one by one. */
static void test_outputs(void) {
    td_random r;
    td_random_seed(&r, 3, 0);
    int wrong = 0;
    for (int i = 0; i < 2000; i++) {
        td_axis a = {1 + (int)td_random_below(&r, 6), 1 + (int)td_random_below(&r, 5),
                     1 + (int)td_random_below(&r, 4), (int)td_random_below(&r, 4),
                     (int)td_random_below(&r, 4)};
        int size = 1 + (int)td_random_below(&r, 20), count = 0;
        while (td_axis_input(&a, count, a.kernel - 1) < size + a.pad_end) {
            count++;
        }
        wrong += td_axis_outputs(&a, size) != count;
    }
    ok(wrong == 0, "outputs along an axis");
    td_axis huge = {TD_MAX_EXTENT, 1, TD_MAX_EXTENT, TD_MAX_EXTENT, TD_MAX_EXTENT};
    ok(td_axis_outputs(&huge, TD_MAX_EXTENT) == 0, "huge windows do not overflow");
}

static td_axis random_axis(td_random *r, int kernel, bool padded) {
    return (td_axis){1 + (int)td_random_below(r, (uint64_t)kernel), 1 + (int)td_random_below(r, 3),
                     1 + (int)td_random_below(r, 2), padded ? (int)td_random_below(r, 3) : 0,
                     padded ? (int)td_random_below(r, 3) : 0};
}

/* Whether tap k of the two together reads what tap k1 of the first does at what k2 of the second
 * reads, at every output, and is there where that is. */
static bool same_taps(const td_axis *first, const td_axis *second, const td_axis *both, int size,
                      int outputs) {
    bool same = both->kernel == first->kernel * second->kernel;
    for (int o = 0; same && o < outputs; o++) {
        int begin, end;
        td_axis_taps(both, o, size, &begin, &end);
        for (int k = 0; k < both->kernel; k++) {
            int k1 = k % first->kernel, k2 = k / first->kernel;
            int at = td_axis_input(first, td_axis_input(second, o, k2), k1);
            same = same && at == td_axis_input(both, o, k) &&
                   (at >= 0 && at < size) == (k >= begin && k < end);
        }
    }
    return same;
}

/* Windows of two layers as one, against their taps one by one. */
static void test_composed_windows(void) {
    td_random r;
    td_random_seed(&r, 4, 0);
    int wrong = 0, composed = 0;
    for (int i = 0; i < 4000; i++) {
        bool first_point = td_random_below(&r, 2);
        td_window a, b, both;
        a.y = random_axis(&r, first_point ? 1 : 4, true);
        b.y = random_axis(&r, first_point ? 4 : 1, td_random_below(&r, 4) == 0);
        a.x = b.x = TD_WINDOW_ONE.x;
        td_shape in = {1, 5 + (int)td_random_below(&r, 9), 1, false};
        td_shape middle = {1, td_axis_outputs(&a.y, in.h), 1, false};
        td_shape out = {1, td_axis_outputs(&b.y, middle.h), 1, false};
        if (out.h < 1 || !td_window_compose(&a, &b, middle, out, &both)) {
            continue;
        }
        composed++;
        wrong += !same_taps(&a.y, &b.y, &both.y, in.h, out.h);
    }
    ok(wrong == 0 && composed > 1000, "windows of two layers as one: %d of %d are wrong", wrong,
       composed);
    td_window far = TD_WINDOW_ONE, both;
    far.y.stride = TD_MAX_EXTENT;
    td_shape one = {1, 1, 1, false};
    ok(!td_window_compose(&far, &far, one, one, &both), "strides beyond all bounds are not");
}

/* Synapses at most twice the separate ones: in -> middle -> out, all flat. */
static bool composes(int in, int middle, int out) {
    td_graph *g = td_graph_create(ctx);
    td_graph_append(ctx, g, &(td_node){TD_OP_INPUT, "x", .shape = {in, 1, 1, true}});
    append(g, (td_node){TD_OP_INNER, "a", .shape = {middle, 1, 1, true}}, 0);
    append(g, (td_node){TD_OP_INNER, "b", .shape = {out, 1, 1, true}}, 1);
    bool yes = td_node_composes(g, &g->nodes[2]) && !td_node_composes(g, &g->nodes[1]);
    td_graph_destroy(g);
    return yes;
}

static void test_composes(void) {
    ok(composes(100, 40, 10) && composes(8, 2, 8) && !composes(9, 2, 9) &&
           !composes(TD_MAX_EXTENT, 1, TD_MAX_EXTENT),
       "two inner products are composed where that has at most twice the synapses");
}

int main(void) {
    ctx = tdsnn_context_create();
    test_equal();
    test_equal_content();
    test_metadata();
    test_queries();
    test_macs();
    test_outputs();
    test_composed_windows();
    test_composes();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
