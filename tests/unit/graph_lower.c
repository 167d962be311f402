/* Every row of the table of operators: what it becomes, and what is refused or found broken. */
#include "graph/lower_internal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "source_builder.h"
#include "tap.h"

static tdsnn_context *ctx;

/* ---- Expectations. Each ends the builder. */

#define MAX_ROWS 96
static bool row_seen[MAX_ROWS]; /* that a lowering with it succeeded */

static void note_rows(const td_source *source) {
    size_t count;
    const td_operator *table = td_operators(&count);
    for (int i = 0; i < source->node_count; i++) {
        for (size_t row = 0; row < count; row++) {
            row_seen[row] = row_seen[row] || (strcmp(table[row].name, source->nodes[i].op) == 0 &&
                                              source->opset >= table[row].first_opset &&
                                              source->opset <= table[row].last_opset);
        }
    }
}

/* Lowers what must lower; an empty lowering where it does not. */
static td_lowering expect_graph(builder *b, int output, const char *what) {
    td_lowering lowering = {0};
    add_output(b, output);
    td_error_clear(ctx);
    tdsnn_status status = td_lower(ctx, &b->source, &lowering);
    if (status == TDSNN_OK) {
        status = td_lowering_check(ctx, &lowering, "test.onnx");
    }
    bool lowered = status == TDSNN_OK && lowering.graph != NULL;
    if (!ok(lowered, "%s", what)) {
        printf("# %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    note_rows(&b->source);
    build_end(b);
    return lowering;
}

/* The node is refused for a reason with `text` in it, and no graph is made. */
static void expect_refused(builder *b, int output, const char *node, const char *text) {
    td_lowering lowering = {0};
    const char *reason = "not refused";
    add_output(b, output);
    td_error_clear(ctx);
    tdsnn_status status = td_lower(ctx, &b->source, &lowering);
    for (int i = 0; status == TDSNN_OK && i < lowering.fate_count; i++) {
        const td_fate *fate = &lowering.fates[i];
        if (strcmp(fate->name, node) == 0 && fate->kind == TD_FATE_REFUSED) {
            reason = fate->reason;
        }
    }
    bool check = status == TDSNN_OK && lowering.graph == NULL &&
                 td_lowering_check(ctx, &lowering, "test.onnx") == TDSNN_ERR_UNSUPPORTED;
    ok(check && strstr(reason, text) != NULL, "'%s' is refused: %s", node, text);
    if (!check || strstr(reason, text) == NULL) {
        printf("# status %d, %s; %s\n", status, reason, tdsnn_last_error(ctx));
    }
    if (status == TDSNN_OK) {
        td_lowering_destroy(&lowering);
    }
    build_end(b);
}

/* The whole file is, with an error that has `text` in it. */
static void expect_error(builder *b, tdsnn_status expected, const char *text) {
    td_lowering lowering = {0};
    td_error_clear(ctx);
    tdsnn_status status = td_lower(ctx, &b->source, &lowering);
    const char *sentence = tdsnn_last_error(ctx);
    bool named = strncmp(sentence, "test.onnx: ", 11) == 0 && strstr(sentence, text) != NULL;
    ok(status == expected && named && lowering.arena == NULL, "an error: %s", text);
    if (status != expected || !named) {
        printf("# status %d: %s\n", status, sentence);
    }
    build_end(b);
}

static void expect_broken(builder *b, int output, const char *text) {
    add_output(b, output);
    expect_error(b, TDSNN_ERR_INPUT, text);
}

static const td_fate *fate_of(const td_lowering *lowering, const char *name) {
    for (int i = 0; i < lowering->fate_count; i++) {
        if (strcmp(lowering->fates[i].name, name) == 0) {
            return &lowering->fates[i];
        }
    }
    return NULL;
}

static bool is_fate(const td_lowering *lowering, const char *name, td_fate_kind kind, int node,
                    const char *reason) {
    const td_fate *fate = fate_of(lowering, name);
    return fate != NULL && fate->kind == kind && fate->node == node &&
           strcmp(fate->reason, reason) == 0;
}

/* Whether the graph has just these operators, in this order, behind the input. */
static bool has_ops(const td_graph *graph, const td_op *ops, int count) {
    bool same = graph->node_count == count + 1 && graph->nodes[0].op == TD_OP_INPUT;
    for (int i = 0; same && i < count; i++) {
        same = graph->nodes[i + 1].op == ops[i];
    }
    return same;
}
#define HAS_OPS(graph, ...)                                                                        \
    has_ops(graph, (const td_op[]){__VA_ARGS__},                                                   \
            (int)(sizeof((const td_op[]){__VA_ARGS__}) / sizeof(td_op)))

static bool has_shape(const td_node *node, int c, int h, int w, bool flat) {
    td_shape s = node->shape;
    return s.c == c && s.h == h && s.w == w && s.flat == flat;
}

/* ---- Pieces of networks. */

/* [N, 2, 6, 5] into a 3-channel 3x3 convolution "conv" with bias. */
static int add_conv(builder *b) {
    int x = b->source.input_count > 0 ? b->inputs[0] : add_input(b, "x", INTS(-1, 2, 6, 5));
    int w = add_random(b, "w", INTS(3, 2, 3, 3)), bias = add_random(b, "b", INTS(3));
    return add_node(b, "Conv", "conv", x, w, bias);
}

/* [N, 4] into an inner product "fc" with 3 outputs. */
static int add_inner(builder *b) {
    int x = b->source.input_count > 0 ? b->inputs[0] : add_input(b, "x", INTS(-1, 4));
    int w = add_random(b, "w", INTS(3, 4)), bias = add_random(b, "b", INTS(3));
    int y = add_node(b, "Gemm", "fc", x, w, bias);
    set_int(b, "transB", 1);
    return y;
}

static const float *constant_floats(const builder *b, const char *name) {
    for (int i = 0; i < b->source.value_count; i++) {
        if (strcmp(b->values[i].name, name) == 0) {
            return b->values[i].constant->floats;
        }
    }
    return NULL;
}

/* A copy that outlives the builder. */
static void copy_floats(const builder *b, const char *name, float *out, size_t count) {
    memcpy(out, constant_floats(b, name), count * sizeof *out);
}

/* ---- Conv. */

static void test_conv(void) {
    float w[54], bias[3];
    builder *b = build(ctx, 13);
    int y = add_conv(b);
    set_ints(b, "pads", INTS(1, 0, 2, 1));
    set_ints(b, "strides", INTS(2, 1));
    set_ints(b, "dilations", INTS(1, 2));
    set_ints(b, "kernel_shape", INTS(3, 3));
    copy_floats(b, "w", w, 54);
    copy_floats(b, "b", bias, 3);
    td_lowering lowering = expect_graph(b, y, "a convolution with pads, strides and dilations");
    const td_node *conv = &lowering.graph->nodes[1];
    ok(conv->op == TD_OP_CONV && has_shape(conv, 3, 4, 2, false), "its output is 3x4x2");
    ok(conv->window.y.pad_begin == 1 && conv->window.y.pad_end == 2 &&
           conv->window.x.pad_begin == 0 && conv->window.x.pad_end == 1 &&
           conv->window.y.stride == 2 && conv->window.x.dilation == 2,
       "pads are y begin, x begin, y end, x end");
    ok(memcmp(conv->weights, w, sizeof w) == 0 && memcmp(conv->bias, bias, sizeof bias) == 0,
       "its weights are the file's, bit for bit");
    ok(strcmp(conv->name, "conv") == 0 && strcmp(lowering.graph->nodes[0].name, "x") == 0 &&
           strcmp(lowering.graph->input_name, "x") == 0 &&
           strcmp(lowering.graph->output_name, "conv:0") == 0 &&
           strcmp(lowering.graph->batch_symbol, "N") == 0,
       "names are kept");
    ok(is_fate(&lowering, "conv", TD_FATE_KEPT, 1, ""), "the node is kept");
    td_lowering_destroy(&lowering);

    b = build(ctx, 7);
    int x = add_input(b, "x", INTS(1, 4, 3, 3));
    y = add_node(b, "Conv", "dw", x, add_random(b, "w", INTS(8, 1, 2, 2)));
    set_int(b, "group", 4);
    lowering = expect_graph(b, y, "a depthwise convolution without bias");
    conv = &lowering.graph->nodes[1];
    ok(conv->groups == 4 && has_shape(conv, 8, 2, 2, false) && conv->bias[7] == 0.0f &&
           lowering.graph->batch_symbol == NULL,
       "it has 4 groups, a bias of zero, and a fixed batch");
    td_lowering_destroy(&lowering);
}

static void test_conv_refused(void) {
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 2, 6, 5));
    int y = add_node(b, "Conv", "c", x, add_random(b, "w", INTS(3, 4, 3, 3)));
    expect_broken(b, y, "node 'c' (Conv): its weights [3, 4, 3, 3] do not fit 2 input channels");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 2, 6, 5));
    y = add_node(b, "Conv", "c", x, add_random(b, "w", INTS(3, 2, 3)));
    expect_broken(b, y, "its weights are [3, 2, 3]");

    b = build(ctx, 13);
    y = add_conv(b);
    set_ints(b, "kernel_shape", INTS(3, 2));
    expect_broken(b, y, "kernel_shape is not that of its weights");

    b = build(ctx, 13);
    y = add_conv(b);
    set_ints(b, "dilations", INTS(3, 3));
    expect_broken(b, y, "does not fit into its input of 6x5");

    b = build(ctx, 13);
    y = add_conv(b);
    set_ints(b, "strides", INTS(0, 1));
    expect_broken(b, y, "entry 0 of its strides is 0");

    b = build(ctx, 13);
    y = add_conv(b);
    set_ints(b, "pads", INTS(1, 1));
    expect_broken(b, y, "its pads has 2 entries");

    b = build(ctx, 13);
    y = add_conv(b);
    set_ints(b, "pads", INTS(0, 0, 0, INT64_MAX));
    expect_broken(b, y, "entry 3 of its pads");

    b = build(ctx, 13);
    y = add_conv(b);
    set_string(b, "group", "2");
    expect_broken(b, y, "attribute 'group' is of the wrong type");

    b = build(ctx, 13);
    y = add_conv(b);
    set_int(b, "fused_relu", 1);
    expect_refused(b, y, "conv", "attribute 'fused_relu' is not supported");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 2, 6, 5));
    int r = add_node(b, "Relu", "relu", x);
    y = add_node(b, "Conv", "c", x, r);
    expect_refused(b, y, "c", "its input 'relu:0' is computed");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 4));
    y = add_node(b, "Conv", "c", x, add_random(b, "w", INTS(3, 4, 1, 1)));
    expect_broken(b, y, "its input is [N, 4]");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 1, 2, 2));
    y = add_node(b, "Conv", "c", x,
                 add_floats(b, "w", INTS(1, 1, 1, 2), (const float[]){1.0f, NAN}));
    expect_broken(b, y, "element 1 of 'w' is nan");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 1, 2, 2));
    int w = add_random(b, "w", INTS(1, 1, 1, 1));
    y = add_node(b, "Conv", "c", x, w, add_random(b, "b", INTS(2)));
    expect_broken(b, y, "its bias is [2]");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 1, 1 << 14, 1 << 14));
    w = add_random(b, "w", INTS(64, 1, 1, 1));
    y = add_node(b, "Conv", "c", x, w);
    expect_refused(b, y, "c", "more than 268435456 values");
}

/* The largest window that is let through must not overflow anywhere behind. */
static void test_extreme_window(void) {
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 1, 3, 3));
    int y = add_node(b, "Conv", "c", x, add_random(b, "w", INTS(1, 1, 2, 2)));
    set_ints(b, "pads", INTS(TD_MAX_EXTENT, TD_MAX_EXTENT, TD_MAX_EXTENT, TD_MAX_EXTENT));
    set_ints(b, "strides", INTS(TD_MAX_EXTENT, TD_MAX_EXTENT));
    set_ints(b, "dilations", INTS(TD_MAX_EXTENT, TD_MAX_EXTENT));
    td_lowering lowering = expect_graph(b, y, "an extreme window");
    const td_node *conv = &lowering.graph->nodes[1];
    /* outputs at -2^28 and 0; tap 1 of the first and tap 0 of the second see input 0 */
    ok(conv->shape.h == 2 && td_node_macs(lowering.graph, conv, false) == 4 &&
           td_node_macs(lowering.graph, conv, true) == 16,
       "has 2 outputs a side and sees one pixel each");
    td_lowering_destroy(&lowering);
}

/* auto_pad by hand: SAME gives ceil(size / stride) outputs. */
static void test_auto_pad(void) {
    static const struct {
        int size, kernel, stride, dilation, outputs, upper_begin, upper_end;
    } cases[] = {
        {28, 5, 1, 1, 28, 2, 2}, {5, 2, 1, 1, 5, 0, 1},  {7, 3, 2, 1, 4, 1, 1},
        {6, 3, 2, 1, 3, 0, 1},   {10, 3, 3, 1, 4, 1, 1}, {4, 1, 2, 1, 2, 0, 0},
        {5, 3, 1, 2, 5, 2, 2},   {1, 4, 1, 1, 1, 1, 2},  {9, 2, 4, 3, 3, 1, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int lower = 0; lower < 2; lower++) {
            builder *b = build(ctx, 11);
            int x = add_input(b, "x", INTS(-1, 1, cases[i].size, 1));
            int y = add_node(b, "Conv", "c", x, add_random(b, "w", INTS(1, 1, cases[i].kernel, 1)));
            set_string(b, "auto_pad", lower ? "SAME_LOWER" : "SAME_UPPER");
            set_ints(b, "strides", INTS(cases[i].stride, 1));
            set_ints(b, "dilations", INTS(cases[i].dilation, 1));
            char what[80];
            snprintf(what, sizeof what, "SAME_%s of %d, kernel %d", lower ? "LOWER" : "UPPER",
                     cases[i].size, cases[i].kernel);
            td_lowering lowering = expect_graph(b, y, what);
            const td_node *conv = &lowering.graph->nodes[1];
            const td_axis *axis = &conv->window.y;
            int begin = lower ? axis->pad_end : axis->pad_begin;
            int end = lower ? axis->pad_begin : axis->pad_end;
            ok(conv->shape.h == cases[i].outputs && begin == cases[i].upper_begin &&
                   end == cases[i].upper_end,
               "gives %d outputs", cases[i].outputs);
            td_lowering_destroy(&lowering);
        }
    }

    builder *b = build(ctx, 11);
    int y = add_conv(b);
    set_string(b, "auto_pad", "VALID");
    td_lowering lowering = expect_graph(b, y, "auto_pad VALID");
    ok(has_shape(&lowering.graph->nodes[1], 3, 4, 3, false), "has no pads");
    td_lowering_destroy(&lowering);

    b = build(ctx, 11);
    y = add_conv(b);
    set_string(b, "auto_pad", "SAME_UPPER");
    set_ints(b, "pads", INTS(1, 1, 1, 1));
    expect_broken(b, y, "both auto_pad SAME_UPPER and pads");

    b = build(ctx, 11);
    y = add_conv(b);
    set_string(b, "auto_pad", "SAME");
    expect_broken(b, y, "its auto_pad is 'SAME'");
}

/* ---- Gemm and MatMul. */

static void test_inner(void) {
    float w[12], bias[3];
    builder *b = build(ctx, 13);
    int y = add_inner(b);
    set_float(b, "alpha", 1.0f);
    copy_floats(b, "w", w, 12);
    copy_floats(b, "b", bias, 3);
    td_lowering lowering = expect_graph(b, y, "a Gemm with transB");
    const td_node *fc = &lowering.graph->nodes[1];
    ok(fc->op == TD_OP_INNER && has_shape(fc, 3, 1, 1, true) &&
           memcmp(fc->weights, w, sizeof w) == 0 && memcmp(fc->bias, bias, sizeof bias) == 0,
       "has the file's weights, bit for bit");
    td_lowering_destroy(&lowering);

    b = build(ctx, 7);
    int x = add_input(b, "x", INTS(-1, 2));
    int matrix = add_floats(b, "w", INTS(2, 3), (const float[]){1, 2, 3, 4, 5, 6});
    int c = add_floats(b, "c", INTS(1, 1), (const float[]){10});
    y = add_node(b, "Gemm", "fc", x, matrix, c);
    set_float(b, "alpha", 0.5f);
    set_float(b, "beta", 0.25f);
    lowering = expect_graph(b, y, "a Gemm of opset 7 with alpha, beta and a scalar bias");
    fc = &lowering.graph->nodes[1];
    ok(memcmp(fc->weights, (const float[]){0.5f, 2, 1, 2.5f, 1.5f, 3}, 6 * sizeof(float)) == 0 &&
           fc->bias[0] == 2.5f && fc->bias[2] == 2.5f,
       "is transposed and scaled");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(1, 2));
    matrix = add_floats(b, "w", INTS(2, 3), (const float[]){1, 2, 3, 4, 5, 6});
    y = add_node(b, "MatMul", "mm", x, matrix);
    y = add_node(b, "Add", "bias", add_floats(b, "c", INTS(1, 3), (const float[]){7, 8, 9}), y);
    lowering = expect_graph(b, y, "a MatMul and its bias");
    fc = &lowering.graph->nodes[1];
    ok(HAS_OPS(lowering.graph, TD_OP_INNER) &&
           memcmp(fc->weights, (const float[]){1, 4, 2, 5, 3, 6}, 6 * sizeof(float)) == 0 &&
           memcmp(fc->bias, (const float[]){7, 8, 9}, 3 * sizeof(float)) == 0,
       "become one inner product");
    ok(is_fate(&lowering, "bias", TD_FATE_FOLDED, 1, "bias folded into 'mm'"), "and it is said");
    td_lowering_destroy(&lowering);
}

static void test_inner_refused(void) {
    builder *b = build(ctx, 13);
    int y = add_inner(b);
    set_int(b, "transA", 1);
    expect_refused(b, y, "fc", "transA");

    b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 5));
    y = add_node(b, "Gemm", "fc", x, add_random(b, "w", INTS(4, 3)));
    expect_broken(b, y, "its weights 'w' are [4, 3] and its input is [N, 5]");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 4));
    int w = add_random(b, "w", INTS(4, 3));
    y = add_node(b, "Gemm", "fc", x, w, add_random(b, "c", INTS(3, 1)));
    expect_broken(b, y, "its bias 'c' is [3, 1]");

    b = build(ctx, 10);
    x = add_input(b, "x", INTS(-1, 4));
    y = add_node(b, "Gemm", "fc", x, add_random(b, "w", INTS(4, 3)));
    expect_broken(b, y, "input 2 is missing");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 2, 2, 3));
    y = add_node(b, "MatMul", "mm", x, add_random(b, "w", INTS(3, 3)));
    expect_refused(b, y, "mm", "put a Flatten in front");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 3));
    y = add_node(b, "MatMul", "mm", add_random(b, "w", INTS(3, 3)), x);
    expect_refused(b, y, "mm", "its input 'w' is a constant");
}

/* ---- Constants a channel. */

static void test_affine(void) {
    float w[54], bias[3];
    builder *b = build(ctx, 13);
    int y = add_conv(b);
    y = add_node(b, "Sub", "sub", y, add_floats(b, "s", INTS(3, 1, 1), (const float[]){1, 2, 3}));
    y = add_node(b, "Mul", "mul", add_floats(b, "m", INTS(1, 3, 1, 1), (const float[]){2, 3, 5}),
                 y);
    y = add_node(b, "Div", "div", y, add_floats(b, "d", NULL, 0, (const float[]){0.3f}));
    y = add_node(b, "Add", "add", y, add_vector(b, "a", FLOATS(0.7f)));
    copy_floats(b, "w", w, 54);
    copy_floats(b, "b", bias, 3);
    td_lowering lowering = expect_graph(b, y, "Sub, Mul, Div and Add behind a convolution");
    const td_node *conv = &lowering.graph->nodes[1];
    ok(HAS_OPS(lowering.graph, TD_OP_CONV), "are folded into it");
    double factor[3] = {2, 3, 5}, offset[3] = {1, 2, 3};
    bool same = true;
    for (int c = 0; c < 3; c++) {
        double scale = factor[c] * (1.0 / (double)0.3f);
        for (int i = 0; i < 18; i++) {
            same = same && conv->weights[c * 18 + i] == (float)((double)w[c * 18 + i] * scale);
        }
        double shifted = ((double)bias[c] - offset[c]) * factor[c] * (1.0 / (double)0.3f);
        same = same && conv->bias[c] == (float)(shifted + (double)0.7f);
    }
    ok(same, "in double, rounded once");
    ok(is_fate(&lowering, "mul", TD_FATE_FOLDED, 1, "scale folded into 'conv'") &&
           is_fate(&lowering, "div", TD_FATE_FOLDED, 1, "scale folded into 'conv'") &&
           is_fate(&lowering, "sub", TD_FATE_FOLDED, 1, "bias folded into 'conv'"),
       "and each says so");
    td_lowering_destroy(&lowering);

    b = build(ctx, 15);
    int x = add_input(b, "x", INTS(-1, 2, 3, 3));
    y = add_node(b, "Sub", "mean", x, add_floats(b, "m", INTS(1, 2, 1, 1), (const float[]){1, 2}));
    y = add_node(b, "Div", "std", y, add_floats(b, "s", INTS(1, 2, 1, 1), (const float[]){3, 4}));
    y = add_node(b, "Mul", "mul", y, add_vector(b, "f", FLOATS(5)));
    y = add_node(b, "Add", "add", y, add_vector(b, "o", FLOATS(6)));
    lowering = expect_graph(b, y, "the same behind the input");
    const td_node *nodes = lowering.graph->nodes;
    ok(HAS_OPS(lowering.graph, TD_OP_SUB, TD_OP_DIV, TD_OP_MUL, TD_OP_SHIFT),
       "are operators of their own");
    ok(nodes[1].operand[1] == 2 && nodes[2].operand[0] == 3 && nodes[3].operand[1] == 5 &&
           nodes[4].operand[1] == 6 && is_fate(&lowering, "std", TD_FATE_KEPT, 2, ""),
       "with a constant a channel");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    y = add_conv(b);
    int z = add_node(b, "Add", "add", y, add_vector(b, "a", FLOATS(1)));
    int r = add_node(b, "Relu", "relu", y);
    y = add_node(b, "Add", "sum", z, r);
    lowering = expect_graph(b, y, "a constant behind a convolution that is read twice");
    ok(HAS_OPS(lowering.graph, TD_OP_CONV, TD_OP_SHIFT, TD_OP_RELU, TD_OP_ADD) &&
           lowering.graph->nodes[4].input_count == 2 && lowering.graph->nodes[4].inputs[1] == 3,
       "is not folded");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    y = add_conv(b);
    int alias = add_node(b, "Identity", "id", y);
    z = add_node(b, "Add", "add", alias, add_vector(b, "a", FLOATS(1)));
    y = add_node(b, "Add", "sum", z, y);
    lowering = expect_graph(b, y, "nor where the second reader stands behind an Identity");
    ok(HAS_OPS(lowering.graph, TD_OP_CONV, TD_OP_SHIFT, TD_OP_ADD), "so it is");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    y = add_conv(b);
    z = add_node(b, "Add", "add", y, add_vector(b, "a", FLOATS(1)));
    add_node(b, "Whatever", "dead", y);
    lowering = expect_graph(b, z, "a second reader that the output does not need");
    ok(HAS_OPS(lowering.graph, TD_OP_CONV) &&
           is_fate(&lowering, "dead", TD_FATE_FOLDED, -1, "not used by the output"),
       "does not count");
    td_lowering_destroy(&lowering);
}

/* A layout of a value of 3 channels, 4 rows, 5 columns, and a constant beside it that has number
 * 100 a + 10 b + c at place [a, b, c] of its last three dimensions, and what value (c, y, x) meets.
 */
typedef struct by_value_case {
    const char *what;
    int64_t dims[3]; /* of the constant, 1 in front */
    bool last;       /* the value is [N, H, W, C] */
    int at[3];       /* number of value (c, y, x): c at[0] + y at[1] + x at[2] */
} by_value_case;

static int add_numbered(builder *b, const int64_t dims[3]) {
    float values[60];
    int count = 0;
    for (int i = 0; i < dims[0]; i++) {
        for (int j = 0; j < dims[1]; j++) {
            for (int k = 0; k < dims[2]; k++) {
                values[count++] = (float)(100 * i + 10 * j + k + 1);
            }
        }
    }
    return add_floats(b, "c", INTS(1, dims[0], dims[1], dims[2]), values);
}

/* Whether node `flat` .. are a Flatten, the operator with the numbers that belong to the values,
 * and the way back. */
static bool is_by_value(const td_graph *g, int flat, td_op op, const by_value_case *as) {
    const td_node *node = &g->nodes[flat + 1];
    bool same = g->nodes[flat].op == TD_OP_FLATTEN && node->op == op &&
                g->nodes[flat + 2].op == TD_OP_UNFLATTEN && has_shape(node, 60, 1, 1, true) &&
                has_shape(&g->nodes[flat + 2], 3, 4, 5, false);
    for (int i = 0; same && i < 60; i++) {
        int number = i / 20 * as->at[0] + i % 20 / 5 * as->at[1] + i % 5 * as->at[2] + 1;
        same = node->operand[i] == (float)number;
    }
    return same;
}

/* Constants that differ from position to position, by every broadcast. */
static void test_by_value(void) {
    static const struct {
        const char *name;
        td_op op;
    } ops[] = {{"Add", TD_OP_SHIFT}, {"Sub", TD_OP_SUB}, {"Mul", TD_OP_MUL}, {"Div", TD_OP_DIV}};
    static const by_value_case cases[] = {{"every value", {3, 4, 5}, false, {100, 10, 1}},
                                          {"every position", {1, 4, 5}, false, {0, 10, 1}},
                                          {"every column", {1, 1, 5}, false, {0, 0, 1}},
                                          {"every row", {3, 4, 1}, false, {100, 10, 0}},
                                          {"channels last", {4, 5, 3}, true, {1, 100, 10}},
                                          {"rows, channels last", {4, 1, 1}, true, {0, 100, 0}}};
    for (size_t i = 0; i < 4 * sizeof cases / sizeof *cases; i++) {
        const by_value_case *as = &cases[i / 4];
        builder *b = build(ctx, 13);
        int x =
            as->last ? add_input(b, "x", INTS(-1, 4, 5, 3)) : add_input(b, "x", INTS(-1, 3, 4, 5));
        int c = add_numbered(b, as->dims);
        int y = add_node(b, ops[i % 4].name, "op", x, c);
        if (as->last) {
            y = add_node(b, "Transpose", "t", y);
            set_ints(b, "perm", INTS(0, 3, 1, 2));
        }
        td_lowering lowering = expect_graph(b, add_node(b, "Relu", "r", y), as->what);
        ok(is_by_value(lowering.graph, 1, ops[i % 4].op, as) &&
               strcmp(lowering.graph->nodes[2].name, "op.by-value") == 0 &&
               strcmp(lowering.graph->nodes[3].name, "op") == 0,
           "%s by %s has a number for every value", ops[i % 4].name, as->what);
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 13); /* c - x */
    int c = add_numbered(b, cases[0].dims), x = add_input(b, "x", INTS(-1, 3, 4, 5));
    td_lowering lowering = expect_graph(b, add_node(b, "Sub", "op", c, x), "c - x");
    const td_graph *g = lowering.graph;
    ok(is_by_value(g, 1, TD_OP_SUB, &cases[0]) && g->nodes[4].op == TD_OP_MUL &&
           g->nodes[4].operand[2] == -1.0f,
       "is -(x - c)");
    td_lowering_destroy(&lowering);
    b = build(ctx, 13);
    float zeros[5] = {1, 1, 0, 1, 1};
    x = add_input(b, "x", INTS(-1, 3, 4, 5));
    expect_broken(b, add_node(b, "Div", "op", x, add_vector(b, "c", zeros, 5)),
                  "it divides value 2 by zero");
    b = build(ctx, 13); /* [N, H*W*C], the constant in the same order: put into ours */
    float in_order[60];
    for (int i = 0; i < 60; i++) {
        in_order[i] = (float)i;
    }
    x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 3, 4, 5)));
    int y = add_node(b, "Transpose", "t", x);
    set_ints(b, "perm", INTS(0, 2, 3, 1));
    y = add_node(b, "Add", "op", add_node(b, "Flatten", "f", y), add_vector(b, "c", in_order, 60));
    lowering = expect_graph(b, y, "a constant beside [N, H*W*C]");
    bool same = HAS_OPS(lowering.graph, TD_OP_RELU, TD_OP_FLATTEN, TD_OP_SHIFT);
    for (int i = 0; same && i < 60; i++) {
        same = lowering.graph->nodes[3].operand[i] == (float)(i % 20 * 3 + i / 20);
    }
    ok(same, "is put into the order C, H, W");
    td_lowering_destroy(&lowering);
}

static void test_affine_refused(void) {
    static const char *const ops[] = {"Add", "Sub", "Mul", "Div"};
    for (int i = 0; i < 4; i++) {
        builder *b = build(ctx, 13);
        int y = add_conv(b); /* [N, 3, 4, 3] */
        y = add_node(b, ops[i], "op", y, add_random(b, "c", INTS(4)));
        expect_refused(b, y, "op", "the constant 'c' is [4] beside [N, 3, 4, 3]");
    }
    builder *b = build(ctx, 13);
    int y = add_inner(b);
    y = add_node(b, "Add", "op", y, add_random(b, "c", INTS(2, 3)));
    expect_refused(b, y, "op", "the constant 'c' is [2, 3]");

    b = build(ctx, 13);
    y = add_inner(b);
    y = add_node(b, "Sub", "op", y, b->inputs[0]);
    expect_refused(b, y, "op", "it adds [N, 3] and [N, 4]");

    b = build(ctx, 13);
    y = add_inner(b);
    y = add_node(b, "Div", "op", add_random(b, "c", INTS(3)), y);
    expect_refused(b, y, "op", "its input 'fc:0' is computed");

    b = build(ctx, 13);
    y = add_inner(b);
    y = add_node(b, "Div", "op", y, add_vector(b, "c", FLOATS(1, 0, 2)));
    expect_broken(b, y, "it divides channel 1 by zero");

    b = build(ctx, 13);
    y = add_inner(b);
    y = add_node(b, "Mul", "op", y, y);
    expect_refused(b, y, "op", "product of two computed values");

    b = build(ctx, 13);
    y = add_inner(b);
    int c = add_node(b, "Mul", "op", add_random(b, "p", INTS(3)), add_integers(b, "q", INTS(3)));
    y = add_node(b, "Add", "next", y, c);
    expect_refused(b, y, "op", "arithmetic on constants");

    b = build(ctx, 13);
    y = add_inner(b);
    y = add_node(b, "Add", "op", y, add_integers(b, "c", INTS(1)));
    expect_broken(b, y, "'c' holds no floating-point numbers");

    b = build(ctx, 13);
    y = add_inner(b);
    y = add_node(b, "Add", "op", y, add_vector(b, "c", FLOATS(INFINITY)));
    expect_broken(b, y, "element 0 of 'c' is inf");

    b = build(ctx, 13);
    y = add_inner(b);
    y = add_node(b, "Mul", "a", y, add_vector(b, "c", FLOATS(3e38f)));
    y = add_node(b, "Mul", "b", y, add_vector(b, "d", FLOATS(3e38f)));
    expect_broken(b, y,
                  "node 'fc' (Gemm): after folding the weight of channel 0 is beyond float32");

    b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 2, 4, 4));
    int r = add_node(b, "MaxPool", "pool", x);
    set_ints(b, "kernel_shape", INTS(2, 2));
    y = add_node(b, "Add", "sum", x, r);
    expect_refused(b, y, "sum", "it adds [N, 2, 4, 4] and [N, 2, 3, 3]");
}

/* ---- BatchNormalization. */

static int add_batch_norm(builder *b, int x, int channels) {
    int gamma = add_random(b, "gamma", INTS(channels)),
        beta = add_random(b, "beta", INTS(channels));
    int mean = add_random(b, "mean", INTS(channels));
    float *variance = td_arena_alloc(b->source.arena, (size_t)channels, sizeof *variance);
    for (int i = 0; i < channels; i++) {
        variance[i] = (float)td_random_uniform(&b->random);
    }
    int var = add_floats(b, "var", INTS(channels), variance);
    int y = add_node(b, "BatchNormalization", "bn", x, gamma, beta, mean, var);
    return y;
}

/* The formula, written out once more. */
static double bn_scale(float p[4][3], int c, double epsilon) {
    return (double)p[0][c] / sqrt((double)p[3][c] + epsilon);
}

static double bn_shift(float p[4][3], int c, double epsilon) {
    return (double)p[1][c] - (double)p[2][c] * bn_scale(p, c, epsilon);
}

static void copy_parameters(const builder *b, float p[4][3]) {
    copy_floats(b, "gamma", p[0], 3);
    copy_floats(b, "beta", p[1], 3);
    copy_floats(b, "mean", p[2], 3);
    copy_floats(b, "var", p[3], 3);
}

static void test_batch_norm(void) {
    float p[4][3], w[54], bias[3];
    builder *b = build(ctx, 9);
    int y = add_batch_norm(b, add_conv(b), 3);
    set_float(b, "epsilon", 0.01f);
    copy_parameters(b, p);
    copy_floats(b, "w", w, 54);
    copy_floats(b, "b", bias, 3);
    td_lowering lowering = expect_graph(b, y, "a batch-norm behind a convolution");
    const td_node *conv = &lowering.graph->nodes[1];
    bool same = HAS_OPS(lowering.graph, TD_OP_CONV);
    for (int c = 0; same && c < 3; c++) {
        double scale = bn_scale(p, c, (double)0.01f), shift = bn_shift(p, c, (double)0.01f);
        for (int i = 0; i < 18; i++) {
            same = same && conv->weights[c * 18 + i] == (float)((double)w[c * 18 + i] * scale);
        }
        same = same && conv->bias[c] == (float)((double)bias[c] * scale + shift);
    }
    ok(same && is_fate(&lowering, "bn", TD_FATE_FOLDED, 1, "batch-norm folded into 'conv'"),
       "is folded into it, in double, rounded once");
    td_lowering_destroy(&lowering);

    b = build(ctx, 15);
    y = add_batch_norm(b, add_node(b, "Relu", "relu", add_conv(b)), 3);
    copy_parameters(b, p);
    lowering = expect_graph(b, y, "a batch-norm behind a Relu");
    same = HAS_OPS(lowering.graph, TD_OP_CONV, TD_OP_RELU, TD_OP_MUL, TD_OP_SHIFT);
    const td_node *nodes = lowering.graph->nodes;
    for (int c = 0; same && c < 3; c++) {
        same = nodes[3].operand[c] == (float)bn_scale(p, c, (double)1e-5f) &&
               nodes[4].operand[c] == (float)bn_shift(p, c, (double)1e-5f);
    }
    ok(same && strcmp(nodes[3].name, "bn.scale") == 0 && strcmp(nodes[4].name, "bn") == 0 &&
           is_fate(&lowering, "bn", TD_FATE_KEPT, 4, ""),
       "becomes Mul and Add, with ONNX's epsilon");
    td_lowering_destroy(&lowering);

    b = build(ctx, 7);
    y = add_batch_norm(b, add_inner(b), 3);
    set_int(b, "spatial", 0);
    lowering = expect_graph(b, y, "spatial 0 where there is one position");
    td_lowering_destroy(&lowering);

    b = build(ctx, 7);
    y = add_batch_norm(b, add_conv(b), 3);
    set_int(b, "spatial", 0);
    expect_refused(b, y, "bn", "spatial 0");

    b = build(ctx, 15);
    y = add_batch_norm(b, add_conv(b), 3);
    set_int(b, "training_mode", 1);
    expect_refused(b, y, "bn", "training mode");

    b = build(ctx, 9);
    y = add_batch_norm(b, add_conv(b), 3);
    add_second_output(b, "running_mean");
    expect_refused(b, y, "bn", "training outputs");

    b = build(ctx, 9);
    y = add_batch_norm(b, add_conv(b), 4);
    expect_broken(b, y, "its 'gamma' is [4] where [3] belongs");

    b = build(ctx, 9);
    y = add_batch_norm(b, add_conv(b), 3);
    set_float(b, "epsilon", -1.0f);
    expect_broken(b, y, "it must be positive");
}

/* ---- MaxPool. */

static void test_maxpool(void) {
    static const struct {
        int size, kernel, stride, begin, end, outputs, pad_end; /* with ceil_mode, by hand */
    } cases[] = {
        {4, 3, 2, 0, 0, 2, 1}, {5, 2, 3, 0, 0, 2, 0}, {3, 2, 3, 0, 0, 1, 0}, {3, 2, 2, 1, 1, 2, 1},
        {7, 3, 2, 1, 1, 4, 1}, {6, 3, 2, 1, 0, 3, 0}, {6, 3, 2, 0, 0, 3, 1}, {5, 3, 3, 1, 1, 2, 1},
        {8, 3, 4, 0, 0, 2, 0}, {9, 3, 4, 0, 0, 3, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        builder *b = build(ctx, 12);
        int x = add_input(b, "x", INTS(-1, 1, cases[i].size, 1));
        int y = add_node(b, "MaxPool", "pool", x);
        set_ints(b, "kernel_shape", INTS(cases[i].kernel, 1));
        set_ints(b, "strides", INTS(cases[i].stride, 1));
        set_ints(b, "pads", INTS(cases[i].begin, 0, cases[i].end, 0));
        set_int(b, "ceil_mode", 1);
        td_lowering lowering = expect_graph(b, y, "a max-pool with ceil_mode");
        const td_node *pool = &lowering.graph->nodes[1];
        ok(pool->shape.h == cases[i].outputs && pool->window.y.pad_end == cases[i].pad_end &&
               td_axis_outputs(&pool->window.y, cases[i].size) == cases[i].outputs,
           "of %d by %d/%d has %d outputs", cases[i].size, cases[i].kernel, cases[i].stride,
           cases[i].outputs);
        td_lowering_destroy(&lowering);
    }

    builder *b = build(ctx, 8);
    int x = add_input(b, "x", INTS(-1, 3, 6, 5));
    int y = add_node(b, "MaxPool", "pool", x);
    set_ints(b, "kernel_shape", INTS(2, 3));
    set_string(b, "auto_pad", "SAME_UPPER");
    add_second_output(b, "indices"); /* named, but nobody reads it */
    td_lowering lowering = expect_graph(b, y, "a max-pool with stride 1 by default");
    ok(has_shape(&lowering.graph->nodes[1], 3, 6, 5, false), "keeps its size with SAME_UPPER");
    td_lowering_destroy(&lowering);

    b = build(ctx, 12);
    x = add_input(b, "x", INTS(-1, 3, 6, 5));
    add_node(b, "MaxPool", "pool", x);
    set_ints(b, "kernel_shape", INTS(2, 2));
    y = add_node(b, "Relu", "relu", add_second_output(b, "indices"));
    expect_refused(b, y, "pool", "its output 'indices' is used");

    b = build(ctx, 12);
    x = add_input(b, "x", INTS(-1, 3, 6, 5));
    y = add_node(b, "MaxPool", "pool", x);
    set_ints(b, "kernel_shape", INTS(2, 2));
    set_ints(b, "pads", INTS(2, 0, 0, 0));
    expect_refused(b, y, "pool", "lies in the padding altogether");

    /* A few bytes that ask for more than fits: by far, and so that the product of all is 2^64. */
    const int64_t sides[] = {1 << 15, TD_MAX_EXTENT};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        b = build(ctx, 12);
        x = add_input(b, "x", INTS(-1, 256, 1, 1));
        y = add_node(b, "MaxPool", "pool", x);
        set_ints(b, "kernel_shape", INTS(sides[i], sides[i]));
        set_ints(b, "pads", INTS(sides[i] - 1, sides[i] - 1, 0, 0));
        expect_refused(b, y, "pool", "more than 268435456 weights and taps of pools");
    }

    b = build(ctx, 12);
    x = add_input(b, "x", INTS(-1, 3, 6, 5));
    y = add_node(b, "MaxPool", "pool", x);
    set_ints(b, "kernel_shape", INTS(2, 2));
    set_string(b, "auto_pad", "VALID");
    set_int(b, "ceil_mode", 1);
    expect_refused(b, y, "pool", "auto_pad VALID with ceil_mode");

    for (int dilated = 0; dilated < 2; dilated++) { /* 6 by 1/3 would want pads of -2 */
        b = build(ctx, 12);
        x = add_input(b, "x", INTS(-1, 3, 6, 5));
        y = add_node(b, "MaxPool", "pool", x);
        set_ints(b, "kernel_shape", INTS(1 + dilated, 1));
        set_ints(b, "strides", INTS(dilated ? 1 : 3, 1));
        set_ints(b, "dilations", INTS(1 + dilated, 1));
        set_string(b, "auto_pad", "SAME_LOWER");
        expect_refused(b, y, "pool", "runtimes differ");
    }

    b = build(ctx, 12);
    x = add_input(b, "x", INTS(-1, 3, 6, 5));
    y = add_node(b, "MaxPool", "pool", x);
    expect_broken(b, y, "no kernel_shape");

    b = build(ctx, 12);
    y = add_node(b, "MaxPool", "pool", add_inner(b));
    set_ints(b, "kernel_shape", INTS(2));
    expect_refused(b, y, "pool", "only 2-D pooling");
}

/* ---- What moves nothing. */

static void test_layout(void) {
    static const int64_t shapes[][4] = {{-1, 30}, {0, -1}, {1, -1}, {-1, 30}, {1, 30}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        builder *b = build(ctx, 13);
        int x = add_input(b, "x", INTS(-1, 2, 3, 5));
        int y = add_node(b, "Reshape", "flat", x, add_integers(b, "s", shapes[i], 2));
        td_lowering lowering = expect_graph(b, y, "a Reshape to [N, F]");
        ok(HAS_OPS(lowering.graph, TD_OP_FLATTEN) &&
               has_shape(&lowering.graph->nodes[1], 30, 1, 1, true) &&
               is_fate(&lowering, "flat", TD_FATE_KEPT, 1, ""),
           "is a Flatten");
        td_lowering_destroy(&lowering);
    }
    for (int axis = -4; axis <= 1; axis++) { /* of a fixed batch of 1 */
        builder *b = build(ctx, 13);
        int x = add_input(b, "x", INTS(1, 2, 3, 5));
        int y = add_node(b, "Flatten", "flat", x);
        set_int(b, "axis", axis);
        if (axis == -2 || axis == -1) {
            expect_refused(b, y, "flat", "only axis 1");
        } else {
            td_lowering lowering = expect_graph(b, y, "a Flatten");
            ok(has_shape(&lowering.graph->nodes[1], 30, 1, 1, true), "of axis %d", axis);
            td_lowering_destroy(&lowering);
        }
    }
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 2, 3, 5));
    int y = add_node(b, "Flatten", "flat", x);
    set_int(b, "axis", 0);
    expect_refused(b, y, "flat", "only axis 1");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 2, 3, 5));
    y = add_node(b, "Reshape", "same", x, add_integers(b, "s", INTS(0, 0, -1, 5)));
    y = add_node(b, "Identity", "id", y);
    y = add_node(b, "Cast", "cast", y);
    set_int(b, "to", 1);
    y = add_node(b, "Dropout", "drop", y, add_vector(b, "ratio", FLOATS(0.5f)),
                 add_integers(b, "training", INTS(0)));
    add_second_output(b, "mask");
    y = add_node(b, "Flatten", "flat", y);
    y = add_node(b, "Flatten", "again", y);
    y = add_node(b, "Reshape", "third", y, add_integers(b, "t", INTS(-1, 30)));
    td_lowering lowering = expect_graph(b, y, "Reshape, Identity, Cast, Dropout, Flatten twice");
    ok(HAS_OPS(lowering.graph, TD_OP_FLATTEN) &&
           is_fate(&lowering, "same", TD_FATE_FOLDED, 0, "no effect at inference") &&
           is_fate(&lowering, "drop", TD_FATE_FOLDED, 0, "no effect at inference") &&
           is_fate(&lowering, "third", TD_FATE_FOLDED, 1, "no effect at inference"),
       "leave one Flatten");
    td_lowering_destroy(&lowering);

    b = build(ctx, 7);
    y = add_node(b, "Dropout", "drop", add_conv(b));
    set_float(b, "ratio", 0.5f);
    lowering = expect_graph(b, y, "a Dropout of opset 7");
    td_lowering_destroy(&lowering);
}

static void test_layout_refused(void) {
    static const struct {
        int64_t shape[4];
        size_t rank;
        int allowzero;
        const char *text;
    } refused[] = {
        {{6, 5}, 2, 0, "only [N, -1]"},
        {{-1}, 1, 0, "does not hold"},
        {{0, -1}, 2, 1, "allowzero"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        builder *b = build(ctx, 14);
        int x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 2, 3, 5)));
        int s = add_integers(b, "s", refused[i].shape, refused[i].rank);
        int y = add_node(b, "Reshape", "r", x, s);
        set_int(b, "allowzero", refused[i].allowzero);
        if (refused[i].rank == 1) {
            expect_broken(b, y, refused[i].text);
        } else {
            expect_refused(b, y, "r", refused[i].text);
        }
    }
    static const int64_t broken[][3] = {
        {1, -1, -1}, {1, 7, -1}, {1, 31, 1}, {1, -2, 15}, {1, INT64_MAX, INT64_MAX}};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        builder *b = build(ctx, 13);
        int x = add_input(b, "x", INTS(-1, 2, 3, 5));
        int y = add_node(b, "Reshape", "r", x, add_integers(b, "s", broken[i], 3));
        expect_broken(b, y, "node 'r' (Reshape): ");
    }
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 4));
    int y = add_node(b, "Reshape", "r", x, add_random(b, "s", INTS(2)));
    expect_broken(b, y, "its shape 's' is not a list of integers");

    b = build(ctx, 12);
    x = add_input(b, "x", INTS(-1, 4));
    y = add_node(b, "Dropout", "d", x, -1, add_integers(b, "t", INTS(1)));
    expect_refused(b, y, "d", "training mode");

    b = build(ctx, 12);
    x = add_input(b, "x", INTS(-1, 4));
    y = add_node(b, "Dropout", "d", x);
    y = add_node(b, "Mul", "m", y, add_second_output(b, "mask"));
    expect_refused(b, y, "d", "its output 'mask' is used");

    b = build(ctx, 12);
    x = add_input(b, "x", INTS(-1, 4));
    y = add_node(b, "Cast", "c", x);
    set_int(b, "to", 10);
    expect_refused(b, y, "c", "a cast to ONNX type 10");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 2, 3, 5));
    y = add_node(b, "Transpose", "t", x);
    expect_refused(b, y, "t", "of [N, 2, 3, 5] only an exchange");
}

/* ---- Constants worked out. */

static void test_constants(void) {
    /* [2, 3] as [3, 2] transposed, through a Constant, a Cast from integers, and a Flatten */
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 2));
    int c = add_node(b, "Constant", "const", -2);
    set_ints(b, "value_ints", INTS(1, 2, 3, 4, 5, 6));
    c = add_node(b, "Cast", "cast", c);
    set_int(b, "to", 1);
    int s = add_node(b, "Constant", "dims", -2);
    add_attribute(b, "value", TD_ATTRIBUTE_TENSOR)->tensor =
        b->values[add_integers(b, "d", INTS(3, -1, 1))].constant;
    c = add_node(b, "Reshape", "shape", c, s);
    c = add_node(b, "Flatten", "flat", c);
    c = add_node(b, "Identity", "id", c);
    c = add_node(b, "Transpose", "turn", c);
    int y = add_node(b, "MatMul", "mm", x, c);
    td_lowering lowering = expect_graph(b, y, "a matrix made from constants");
    ok(memcmp(lowering.graph->nodes[1].weights, (const float[]){1, 2, 3, 4, 5, 6},
              6 * sizeof(float)) == 0,
       "is right");
    ok(is_fate(&lowering, "const", TD_FATE_FOLDED, -1, "constant") &&
           is_fate(&lowering, "turn", TD_FATE_FOLDED, -1, "constant"),
       "and its nodes are folded");
    td_lowering_destroy(&lowering);

    /* any order of three axes, against the definition */
    float values[24];
    for (int i = 0; i < 24; i++) {
        values[i] = (float)i;
    }
    static const int64_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                        {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const int64_t dims[3] = {2, 3, 4}, strides[3] = {12, 4, 1};
    for (size_t i = 0; i < 6; i++) {
        const int64_t *p = orders[i];
        b = build(ctx, 13);
        x = add_input(b, "x", INTS(-1, 24));
        c = add_node(b, "Transpose", "turn", add_floats(b, "c", dims, 3, values));
        set_ints(b, "perm", p, 3);
        c = add_node(b, "Reshape", "row", c, add_integers(b, "s", INTS(1, -1)));
        y = add_node(b, "Mul", "mul", x, c);
        lowering = expect_graph(b, y, "a constant of three axes in another order");
        const float *got = lowering.graph->nodes[1].operand;
        bool same = true;
        for (int64_t j = 0; j < 24; j++) {
            int64_t inner = dims[p[2]], middle = dims[p[1]];
            int64_t place = j % inner * strides[p[2]] + j / inner % middle * strides[p[1]] +
                            j / inner / middle * strides[p[0]];
            same = same && got[j] == (float)place;
        }
        ok(same, "%d %d %d", (int)p[0], (int)p[1], (int)p[2]);
        td_lowering_destroy(&lowering);
    }

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 1, 2, 2));
    c = add_node(b, "Constant", "c", -2);
    set_float(b, "value_float", 2.5f);
    c = add_node(b, "Cast", "double", c);
    set_int(b, "to", 11);
    s = add_node(b, "Cast", "ints", add_vector(b, "s", FLOATS(1.0f, -1.9f)));
    set_int(b, "to", 7);
    y = add_node(b, "Mul", "mul", add_node(b, "Reshape", "r", x, s), c);
    lowering = expect_graph(b, y, "casts of constants");
    ok(lowering.graph->nodes[2].operand[3] == 2.5f && lowering.graph->nodes[1].shape.c == 4,
       "go towards zero");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 4));
    s = add_node(b, "Cast", "ints", add_vector(b, "s", FLOATS(1e20f)));
    set_int(b, "to", 7);
    y = add_node(b, "Reshape", "r", x, s);
    expect_broken(b, y, "element 0 is 1e+20, which is no int64");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 4));
    c = add_node(b, "Transpose", "turn", add_random(b, "c", INTS(2, 2)));
    set_ints(b, "perm", INTS(0, 0));
    y = add_node(b, "MatMul", "mm", x, c);
    expect_broken(b, y, "its perm is no order of 2 axes");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 4));
    c = add_node(b, "Constant", "c", -2);
    add_attribute(b, "sparse_value", TD_ATTRIBUTE_OTHER);
    y = add_node(b, "Add", "add", x, c);
    expect_refused(b, y, "c", "attribute 'sparse_value'");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 4));
    c = add_node(b, "Constant", "c", -2);
    y = add_node(b, "Add", "add", x, c);
    expect_broken(b, y, "it has 0 attributes");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 4));
    c = add_node(b, "Reshape", "r", add_random(b, "c", INTS(INT64_C(1) << 40, INT64_C(1) << 40, 0)),
                 add_integers(b, "s", INTS(4)));
    y = add_node(b, "Add", "add", x, c);
    expect_refused(b, y, "r", "its constant 'c' holds no numbers");
}

/* ---- Clip, LeakyRelu. */

static void test_clip(void) {
    static const struct {
        int opset;
        float min, max; /* NAN: left out */
        td_op op;
        float low, high;
    } cases[] = {
        {10, 0.0f, 6.0f, TD_OP_CLIP, 0.0f, 6.0f},
        {11, 0.0f, 6.0f, TD_OP_CLIP, 0.0f, 6.0f},
        {13, -0.0f, 6.0f, TD_OP_CLIP, 0.0f, 6.0f},
        {13, -1.0f, 1.0f, TD_OP_CLIP, -1.0f, 1.0f},
        {13, 0.0f, NAN, TD_OP_RELU, 0.0f, 0.0f},
        {7, 0.0f, NAN, TD_OP_RELU, 0.0f, 0.0f},
        {13, 0.0f, INFINITY, TD_OP_RELU, 0.0f, 0.0f},
        {13, NAN, 2.0f, TD_OP_CLIP, -FLT_MAX, 2.0f},
        {21, -INFINITY, 2.0f, TD_OP_CLIP, -FLT_MAX, 2.0f},
        {21, -2.0f, NAN, TD_OP_CLIP, -2.0f, FLT_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        builder *b = build(ctx, cases[i].opset);
        int x = add_input(b, "x", INTS(-1, 2, 3, 3)), y;
        if (cases[i].opset < 11) {
            y = add_node(b, "Clip", "clip", x);
            set_float(b, "min", cases[i].min);
            if (!isnan(cases[i].max)) {
                set_float(b, "max", cases[i].max);
            }
        } else {
            int low = isnan(cases[i].min) ? -1 : add_floats(b, "l", NULL, 0, &cases[i].min);
            int high = isnan(cases[i].max) ? -1 : add_floats(b, "h", NULL, 0, &cases[i].max);
            y = add_node(b, "Clip", "clip", x, low, high);
        }
        td_lowering lowering = expect_graph(b, y, "a Clip");
        const td_node *node = &lowering.graph->nodes[1];
        ok(node->op == cases[i].op && node->low == cases[i].low &&
               !signbit(node->low + 0.0f) == !signbit(cases[i].low) && node->high == cases[i].high,
           "to %g .. %g", (double)cases[i].min, (double)cases[i].max);
        td_lowering_destroy(&lowering);
    }
    static const float refused[][2] = {{0.5f, 1.0f}, {-1.0f, 0.0f}, {-2.0f, -1.0f}};
    for (size_t i = 0; i < 3; i++) {
        builder *b = build(ctx, 13);
        int x = add_input(b, "x", INTS(-1, 4));
        int y = add_node(b, "Clip", "clip", x, add_floats(b, "l", NULL, 0, &refused[i][0]),
                         add_floats(b, "h", NULL, 0, &refused[i][1]));
        expect_refused(b, y, "clip", "min <= 0 < max");
    }
    builder *b = build(ctx, 13);
    int y = add_node(b, "Clip", "clip", add_inner(b));
    td_lowering lowering = expect_graph(b, y, "a Clip without ends");
    ok(HAS_OPS(lowering.graph, TD_OP_INNER), "is nothing");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    y = add_inner(b);
    y = add_node(b, "Clip", "clip", y, add_vector(b, "l", FLOATS(0, 1)));
    expect_broken(b, y, "its min 'l' is not one float");

    b = build(ctx, 7);
    y = add_node(b, "Clip", "clip", add_inner(b));
    set_float(b, "max", NAN);
    expect_broken(b, y, "its max is not a number");
}

static void test_leaky(void) {
    static const struct {
        float alpha;
        td_op op;
    } cases[] = {{0.2f, TD_OP_LEAKY}, {0.0f, TD_OP_RELU}, {3.0f, TD_OP_LEAKY}};
    for (size_t i = 0; i < 3; i++) {
        builder *b = build(ctx, 16);
        int y = add_node(b, "LeakyRelu", "leaky", add_inner(b));
        set_float(b, "alpha", cases[i].alpha);
        td_lowering lowering = expect_graph(b, y, "a LeakyRelu");
        ok(lowering.graph->nodes[2].op == cases[i].op &&
               lowering.graph->nodes[2].negative == cases[i].alpha,
           "of slope %g", (double)cases[i].alpha);
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 7);
    int y = add_node(b, "LeakyRelu", "leaky", add_inner(b));
    td_lowering lowering = expect_graph(b, y, "a LeakyRelu");
    ok(lowering.graph->nodes[2].negative == 0.01f, "of ONNX's default slope");
    td_lowering_destroy(&lowering);

    b = build(ctx, 7);
    y = add_node(b, "LeakyRelu", "leaky", add_inner(b));
    set_float(b, "alpha", -0.5f);
    expect_refused(b, y, "leaky", "its slope is -0.5");
}

/* One slope is LEAKY, however it is spread; several are refused. */
static void test_prelu(void) {
    for (int rank = 0; rank < 3; rank += 2) {
        builder *b = build(ctx, 9);
        int x = add_input(b, "x", INTS(-1, 3, 2, 2));
        int slope = add_floats(b, "s", INTS(3, 1, 1), (const float[]){0.25f, 0.25f, 0.25f});
        slope = rank == 0 ? add_floats(b, "t", NULL, 0, (const float[]){0.25f}) : slope;
        td_lowering lowering =
            expect_graph(b, add_node(b, "PRelu", "prelu", x, slope), "a PRelu of one slope");
        ok(HAS_OPS(lowering.graph, TD_OP_LEAKY) && lowering.graph->nodes[1].negative == 0.25f,
           "is a LeakyRelu");
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 16);
    int x = add_input(b, "x", INTS(-1, 3, 2, 2));
    int slope = add_floats(b, "s", INTS(3, 1, 1), (const float[]){0.25f, 0.25f, -0.5f});
    td_lowering lowering =
        expect_graph(b, add_node(b, "PRelu", "prelu", x, slope), "a PRelu of several slopes");
    const td_node *nodes = lowering.graph->nodes;
    ok(HAS_OPS(lowering.graph, TD_OP_RELU, TD_OP_MUL, TD_OP_RELU, TD_OP_MUL, TD_OP_ADD) &&
           nodes[2].operand[2] == -1.0f && nodes[3].inputs[0] == 2 &&
           nodes[4].operand[1] == -0.25f && nodes[4].operand[2] == 0.5f &&
           nodes[5].inputs[0] == 1 && nodes[5].inputs[1] == 4,
       "is relu(x) - slope relu(-x)");
    td_lowering_destroy(&lowering);
    b = build(ctx, 16);
    x = add_input(b, "x", INTS(-1, 3, 2, 2));
    slope = add_floats(b, "s", INTS(1, 2, 1), (const float[]){0.25f, 0.5f});
    expect_refused(b, add_node(b, "PRelu", "prelu", x, slope), "prelu",
                   "one for each of the 3 channels");
}

static void test_difference(void) {
    float w[54];
    builder *b = build(ctx, 13);
    int y = add_conv(b);
    copy_floats(b, "w", w, 54);
    int x = add_node(b, "Conv", "other", b->inputs[0], add_random(b, "v", INTS(3, 2, 3, 3)));
    td_lowering lowering = expect_graph(b, add_node(b, "Sub", "sub", x, y), "other - conv");
    const td_node *nodes = lowering.graph->nodes;
    ok(HAS_OPS(lowering.graph, TD_OP_CONV, TD_OP_CONV, TD_OP_ADD) && nodes[1].weights[5] == -w[5] &&
           nodes[3].inputs[0] == 2 && nodes[3].inputs[1] == 1,
       "is a sum, the sign in the convolution");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    y = add_inner(b);
    x = add_node(b, "Relu", "relu", y);
    lowering = expect_graph(b, add_node(b, "Sub", "sub", x, y), "a difference of values in use");
    nodes = lowering.graph->nodes;
    ok(HAS_OPS(lowering.graph, TD_OP_INNER, TD_OP_RELU, TD_OP_MUL, TD_OP_ADD) &&
           nodes[3].operand[2] == -1.0f && strcmp(nodes[3].name, "sub.negated") == 0 &&
           nodes[3].inputs[0] == 1 && nodes[4].inputs[0] == 2 && nodes[4].inputs[1] == 3,
       "is a sum with -1 times the second");
    td_lowering_destroy(&lowering);
}

static void test_signs(void) {
    float w[12], bias[3];
    builder *b = build(ctx, 13);
    int y = add_node(b, "Neg", "neg", add_inner(b));
    copy_floats(b, "w", w, 12);
    copy_floats(b, "b", bias, 3);
    y = add_node(b, "Sub", "sub", add_vector(b, "c", FLOATS(1, 2, 3)), y);
    y = add_node(b, "Neg", "again", add_node(b, "Relu", "relu", y));
    y = add_node(b, "Sub", "last", add_vector(b, "d", FLOATS(5)), y);
    td_lowering lowering = expect_graph(b, y, "Neg, and a constant minus a value");
    const td_node *nodes = lowering.graph->nodes;
    ok(HAS_OPS(lowering.graph, TD_OP_INNER, TD_OP_RELU, TD_OP_MUL, TD_OP_MUL, TD_OP_SHIFT) &&
           nodes[1].weights[7] == w[7] && nodes[1].bias[2] == (float)((double)bias[2] + 3.0) &&
           nodes[3].operand[1] == -1.0f && nodes[4].operand[0] == -1.0f &&
           nodes[5].operand[2] == 5.0f && strcmp(nodes[4].name, "last.scale") == 0,
       "are signs and shifts");
    td_lowering_destroy(&lowering);
}

/* ---- Averages. */

static bool is_window(const td_axis *a, int kernel, int stride, int begin, int end) {
    return a->kernel == kernel && a->stride == stride && a->dilation == 1 &&
           a->pad_begin == begin && a->pad_end == end;
}

static int add_average(builder *b, int x, int kernel, int stride) {
    int y = add_node(b, "AveragePool", "avg", x);
    set_ints(b, "kernel_shape", INTS(kernel, kernel));
    set_ints(b, "strides", INTS(stride, stride));
    return y;
}

static void test_average_pool(void) {
    for (int counts = 0; counts < 2; counts++) {
        for (int pad = 0; pad < 2; pad++) {
            builder *b = build(ctx, 11);
            int y = add_average(b, add_input(b, "x", INTS(-1, 2, 7, 7)), 3, 2);
            set_ints(b, "pads", INTS(pad, pad, pad, pad));
            set_int(b, "count_include_pad", counts);
            td_lowering lowering = expect_graph(b, y, "an average pool");
            const td_node *node = &lowering.graph->nodes[1];
            ok(node->op == TD_OP_AVGPOOL && has_shape(node, 2, 3 + pad, 3 + pad, false) &&
                   is_window(&node->window.y, 3, 2, pad, pad) &&
                   node->count_padding == (counts == 1),
               "counts padding if told so");
            td_lowering_destroy(&lowering);
        }
    }
    builder *b = build(ctx, 19);
    int y = add_average(b, add_input(b, "x", INTS(-1, 2, 6, 6)), 3, 2);
    set_int(b, "ceil_mode", 1);
    td_lowering lowering = expect_graph(b, y, "an average pool with ceil_mode");
    ok(has_shape(&lowering.graph->nodes[1], 2, 3, 3, false) &&
           !lowering.graph->nodes[1].count_padding,
       "counts what is there");
    td_lowering_destroy(&lowering);

    b = build(ctx, 19);
    y = add_average(b, add_input(b, "x", INTS(-1, 2, 6, 6)), 3, 2);
    set_int(b, "ceil_mode", 1);
    set_int(b, "count_include_pad", 1);
    lowering = expect_graph(b, y, "an average pool with ceil_mode that counts no padding");
    ok(!lowering.graph->nodes[1].count_padding, "counts what is there, too");
    td_lowering_destroy(&lowering);

    b = build(ctx, 19);
    y = add_average(b, add_input(b, "x", INTS(-1, 2, 6, 6)), 3, 2);
    set_ints(b, "pads", INTS(1, 1, 1, 1));
    set_int(b, "ceil_mode", 1);
    set_int(b, "count_include_pad", 1);
    expect_refused(b, y, "avg", "ceil_mode together with counted padding");

    b = build(ctx, 19);
    y = add_average(b, add_input(b, "x", INTS(-1, 2, 6, 6)), 2, 2);
    set_ints(b, "dilations", INTS(2, 1));
    expect_refused(b, y, "avg", "dilations");

    b = build(ctx, 13);
    y = add_node(b, "AveragePool", "avg", add_inner(b));
    set_ints(b, "kernel_shape", INTS(2));
    expect_refused(b, y, "avg", "only 2-D pooling");

    static const char *const ops[] = {"GlobalAveragePool", "GlobalMaxPool"};
    for (int i = 0; i < 2; i++) {
        b = build(ctx, 9);
        y = add_node(b, ops[i], "gap", add_input(b, "x", INTS(-1, 4, 5, 7)));
        lowering = expect_graph(b, y, ops[i]);
        const td_node *node = &lowering.graph->nodes[1];
        ok(node->op == (i == 0 ? TD_OP_AVGPOOL : TD_OP_MAXPOOL) &&
               has_shape(node, 4, 1, 1, false) && is_window(&node->window.y, 5, 1, 0, 0) &&
               is_window(&node->window.x, 7, 1, 0, 0),
           "has one window");
        td_lowering_destroy(&lowering);
        b = build(ctx, 9);
        y = add_node(b, ops[i], "gap", add_inner(b));
        expect_refused(b, y, "gap", "only [N, C, H, W]");
    }
}

static void test_reduce_mean(void) {
    for (int opset = 13; opset <= 18; opset += 5) {
        for (int keep = 0; keep < 2; keep++) {
            builder *b = build(ctx, opset);
            int x = add_input(b, "x", INTS(-1, 4, 5, 7)), y;
            if (opset < 18) {
                y = add_node(b, "ReduceMean", "mean", x);
                set_ints(b, "axes", INTS(-1, 2));
            } else {
                y = add_node(b, "ReduceMean", "mean", x, add_integers(b, "a", INTS(2, 3)));
            }
            set_int(b, "keepdims", keep);
            td_lowering lowering = expect_graph(b, y, "a mean over the positions");
            const td_graph *g = lowering.graph;
            ok(keep ? HAS_OPS(g, TD_OP_AVGPOOL) && has_shape(&g->nodes[1], 4, 1, 1, false)
                    : HAS_OPS(g, TD_OP_AVGPOOL, TD_OP_FLATTEN) &&
                          has_shape(&g->nodes[2], 4, 1, 1, true) &&
                          strcmp(g->nodes[1].name, "mean.pool") == 0,
               "is an average pool, keepdims %d", keep);
            td_lowering_destroy(&lowering);
        }
    }
    for (int opset = 13; opset <= 18; opset += 5) {
        builder *b = build(ctx, opset);
        int x = add_input(b, "x", INTS(-1, 4, 5, 7)), y;
        y = opset < 18 ? add_node(b, "ReduceMax", "max", x)
                       : add_node(b, "ReduceMax", "max", x, add_integers(b, "a", INTS(2, 3)));
        if (opset < 18) {
            set_ints(b, "axes", INTS(2, 3));
        }
        td_lowering lowering = expect_graph(b, y, "a maximum over the positions");
        ok(HAS_OPS(lowering.graph, TD_OP_MAXPOOL) &&
               has_shape(&lowering.graph->nodes[1], 4, 1, 1, false),
           "is a max-pool");
        td_lowering_destroy(&lowering);
    }
    static const struct {
        int axis, keep, h, w; /* the file's axis; of the pool */
        td_op ops[3];
    } lines[] = {{2, 1, 1, 7, {TD_OP_AVGPOOL}},
                 {3, 1, 5, 1, {TD_OP_AVGPOOL}},
                 {2, 0, 1, 7, {TD_OP_AVGPOOL}},
                 {3, 0, 5, 1, {TD_OP_AVGPOOL, TD_OP_FLATTEN, TD_OP_UNFLATTEN}}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        builder *b = build(ctx, 13);
        int y = add_node(b, "ReduceMean", "mean", add_input(b, "x", INTS(-1, 4, 5, 7)));
        set_ints(b, "axes", INTS(lines[i].axis));
        set_int(b, "keepdims", lines[i].keep);
        if (!lines[i].keep) { /* [N, 4, 7] or [N, 4, 5] */
            y = add_node(b, "Conv", "conv", y, add_random(b, "w", INTS(2, 4, 3)));
        }
        td_lowering lowering = expect_graph(b, y, "a mean over one axis");
        const td_node *pool = &lowering.graph->nodes[1], *end = pool + (lines[i].ops[1] ? 2 : 0);
        ok(pool->op == TD_OP_AVGPOOL && pool->shape.h == lines[i].h &&
               pool->shape.w == lines[i].w &&
               pool->window.y.kernel == (lines[i].axis == 2 ? 5 : 1) &&
               pool->window.x.kernel == (lines[i].axis == 3 ? 7 : 1) &&
               (lines[i].ops[1] == 0 ||
                (pool[1].op == TD_OP_FLATTEN && end->op == TD_OP_UNFLATTEN &&
                 has_shape(end, 4, 1, 5, false))),
           "is a pool along it, keepdims %d", lines[i].keep);
        td_lowering_destroy(&lowering);
    }
    static const int64_t refused[][3] = {{1, 1, 1}, {1, 2, 3}, {0, 2, 3}};
    for (size_t i = 0; i < 3; i++) {
        builder *b = build(ctx, 13);
        int y = add_node(b, "ReduceMean", "mean", add_input(b, "x", INTS(-1, 4, 5, 7)));
        set_ints(b, "axes", refused[i], 3);
        expect_refused(b, y, "mean", "over other axes");
    }
    builder *b = build(ctx, 13);
    int y = add_node(b, "ReduceMean", "mean", add_input(b, "x", INTS(-1, 4, 5, 7)));
    set_ints(b, "axes", INTS(2, 4));
    expect_broken(b, y, "its axis 4 lies outside");
}

/* ---- Joins and choices of channels. */

static void test_joins(void) {
    for (int axis = -3; axis <= 1; axis += 4) {
        builder *b = build(ctx, 13);
        int x = add_input(b, "x", INTS(-1, 2, 6, 5)), r = add_node(b, "Relu", "relu", x);
        int y = add_node(b, "Concat", "cat", r, x, r);
        set_int(b, "axis", axis);
        td_lowering lowering = expect_graph(b, y, "a Concat of channels");
        const td_node *cat = &lowering.graph->nodes[2];
        ok(cat->op == TD_OP_CONCAT && cat->input_count == 3 && cat->inputs[0] == 1 &&
               cat->inputs[1] == 0 && has_shape(cat, 6, 6, 5, false),
           "of three values");
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 13);
    int y = add_inner(b);
    y = add_node(b, "Concat", "cat", y, add_node(b, "Relu", "relu", y));
    set_int(b, "axis", -1);
    y = add_node(b, "Sum", "sum", y, y, y);
    y = add_node(b, "Sum", "one", y);
    td_lowering lowering = expect_graph(b, y, "a Concat of flat values, a Sum of three");
    const td_node *nodes = lowering.graph->nodes;
    ok(HAS_OPS(lowering.graph, TD_OP_INNER, TD_OP_RELU, TD_OP_CONCAT, TD_OP_ADD) &&
           has_shape(&nodes[3], 6, 1, 1, true) && nodes[4].input_count == 3,
       "are CONCAT and ADD");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 2, 6, 5));
    y = add_node(b, "Concat", "cat", x, x);
    set_int(b, "axis", 2);
    expect_refused(b, y, "cat", "axis 2 of [N, 2, 6, 5] is not supported; only the channels' is");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 2, 6, 5));
    y = add_node(b, "Concat", "cat", x, add_random(b, "c", INTS(1, 2, 6, 5)));
    set_int(b, "axis", 1);
    expect_refused(b, y, "cat", "its input 'c' is a constant");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 2, 6, 5));
    y = add_node(b, "MaxPool", "pool", x);
    set_ints(b, "kernel_shape", INTS(2, 2));
    y = add_node(b, "Concat", "cat", x, y);
    set_int(b, "axis", 1);
    expect_broken(b, y, "it joins [N, 2, 6, 5] and [N, 2, 5, 4]");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 2, 6, 5));
    y = add_node(b, "GlobalAveragePool", "gap", x);
    y = add_node(b, "Sum", "sum", x, y);
    expect_refused(b, y, "sum", "computed values must have one shape");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 2, 6, 5));
    y = add_node(b, "Sum", "sum", x, add_random(b, "c", INTS(1, 2, 6, 5)));
    expect_refused(b, y, "sum", "its input 'c' is a constant");
}

static void test_slices(void) {
    for (int opset = 9; opset <= 13; opset += 4) {
        builder *b = build(ctx, opset);
        int x = add_input(b, "x", INTS(-1, 6, 4, 4)), y;
        if (opset < 10) {
            y = add_node(b, "Slice", "slice", x);
            set_ints(b, "axes", INTS(1, 2));
            set_ints(b, "starts", INTS(-4, 0));
            set_ints(b, "ends", INTS(5, 1000));
        } else {
            y = add_node(b, "Slice", "slice", x, add_integers(b, "s", INTS(-4, 0)),
                         add_integers(b, "e", INTS(5, INT64_MAX)), add_integers(b, "a", INTS(1, 0)),
                         add_integers(b, "t", INTS(1, 1)));
        }
        td_lowering lowering = expect_graph(b, y, "a Slice of channels");
        const td_node *node = &lowering.graph->nodes[1];
        ok(node->op == TD_OP_SLICE && node->first_channel == 2 && has_shape(node, 3, 4, 4, false),
           "takes 2 .. 4");
        td_lowering_destroy(&lowering);
    }
    static const struct {
        int64_t start, end, axis, step;
        const char *text;
    } refused[] = {{0, 2, 2, 1, "it cuts axis 2"}, {1, 2, 0, 1, "it cuts axis 0"}};
    for (size_t i = 0; i < 2; i++) {
        builder *b = build(ctx, 13);
        int x = add_input(b, "x", INTS(-1, 6, 4, 4));
        int y = add_node(b, "Slice", "slice", x, add_integers(b, "s", &refused[i].start, 1),
                         add_integers(b, "e", &refused[i].end, 1),
                         add_integers(b, "a", &refused[i].axis, 1),
                         add_integers(b, "t", &refused[i].step, 1));
        expect_refused(b, y, "slice", refused[i].text);
    }
    for (int opset = 11; opset <= 13; opset += 2) {
        builder *b = build(ctx, opset);
        int x = add_input(b, "x", INTS(-1, 6, 4, 4)), first;
        if (opset < 13) {
            first = add_node(b, "Split", "split", x);
            set_ints(b, "split", INTS(1, 2, 3));
        } else {
            first = add_node(b, "Split", "split", x, add_integers(b, "p", INTS(1, 2, 3)));
        }
        set_int(b, "axis", 1);
        int second = add_second_output(b, "two"), third = add_second_output(b, "three");
        int y = add_node(b, "Concat", "cat", third, first);
        set_int(b, "axis", 1);
        (void)second; /* nobody reads it */
        td_lowering lowering = expect_graph(b, y, "a Split in uneven parts");
        const td_node *nodes = lowering.graph->nodes;
        ok(HAS_OPS(lowering.graph, TD_OP_SLICE, TD_OP_SLICE, TD_OP_CONCAT) &&
               nodes[1].first_channel == 0 && nodes[1].shape.c == 1 &&
               nodes[2].first_channel == 3 && nodes[2].shape.c == 3 &&
               strcmp(nodes[1].name, "split") == 0 && strcmp(nodes[2].name, "split.2") == 0 &&
               nodes[3].inputs[0] == 2,
           "is a SLICE for each that is read");
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 18);
    int x = add_input(b, "x", INTS(-1, 6, 4, 4));
    int y = add_node(b, "Split", "split", x);
    set_int(b, "axis", -3);
    set_int(b, "num_outputs", 2);
    y = add_node(b, "Add", "add", y, add_second_output(b, "two"));
    td_lowering lowering = expect_graph(b, y, "a Split in equal parts");
    ok(lowering.graph->nodes[2].first_channel == 3 && lowering.graph->nodes[2].shape.c == 3,
       "of 3 channels");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 6, 4, 4));
    y = add_node(b, "Split", "split", x, add_integers(b, "p", INTS(1, 6)));
    set_int(b, "axis", 1);
    add_second_output(b, "two");
    expect_broken(b, y, "its parts do not make up its 6 channels");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 6, 4, 4));
    y = add_node(b, "Split", "split", x);
    set_int(b, "axis", 2);
    add_second_output(b, "two");
    expect_refused(b, y, "split", "only the channels' is");
}

/* ---- Layouts. */

/* [N, 8, 6, 2] -> NCHW -> 3x3 convolution of 3 channels, and back to [N, 6, 4, 3]. */
static void keep_warning(void *user, const char *sentence) {
    snprintf(user, 256, "%s", sentence);
}

static int add_channels_last(builder *b) {
    int x = add_input(b, "x", INTS(-1, 8, 6, 2));
    x = add_node(b, "Sub", "mean", x, add_vector(b, "m", FLOATS(1, 2)));
    x = add_node(b, "Transpose", "first", x);
    set_ints(b, "perm", INTS(0, 3, 1, 2));
    x = add_node(b, "Conv", "conv", x, add_random(b, "cw", INTS(3, 2, 3, 3)));
    x = add_node(b, "Transpose", "last", x);
    set_ints(b, "perm", INTS(0, 2, 3, 1));
    return add_node(b, "Add", "bias", x, add_vector(b, "cb", FLOATS(7, 8, 9)));
}

static void test_channels_last(void) {
    for (int mode = 0; mode < 3; mode++) {
        float w[72 * 2];
        builder *b = build(ctx, 13);
        int y = add_node(b, "Flatten", "flat", add_node(b, "Relu", "relu", add_channels_last(b)));
        int gw = add_random(b, "w", mode == 0 ? (int64_t[]){2, 72} : (int64_t[]){72, 2}, 2);
        copy_floats(b, "w", w, 144);
        if (mode == 2) {
            y = add_node(b, "MatMul", "fc", y, gw);
        } else {
            y = add_node(b, "Gemm", "fc", y, gw);
            set_int(b, "transB", mode == 0);
        }
        td_lowering lowering = expect_graph(b, y, "an input, and a Flatten, of channels last");
        const td_node *nodes = lowering.graph->nodes;
        bool same = HAS_OPS(lowering.graph, TD_OP_SUB, TD_OP_CONV, TD_OP_RELU, TD_OP_FLATTEN,
                            TD_OP_INNER) &&
                    has_shape(&nodes[0], 2, 8, 6, false) && nodes[1].operand[1] == 2.0f &&
                    nodes[2].bias[2] == 9.0f;
        for (int c = 0; same && c < 3; c++) {
            for (int i = 0; i < 24; i++) {
                for (int o = 0; o < 2; o++) {
                    float file = mode == 0 ? w[o * 72 + i * 3 + c] : w[(i * 3 + c) * 2 + o];
                    same = same && nodes[5].weights[o * 72 + c * 24 + i] == file;
                }
            }
        }
        ok(same, "becomes [C][H][W], the columns of the inner product in that order");
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 13);
    int y = add_channels_last(b);
    y = add_node(b, "MatMul", "dense", y, add_random(b, "w", INTS(3, 5)));
    y = add_node(b, "ReduceMean", "mean", y);
    set_ints(b, "axes", INTS(1, 2));
    set_int(b, "keepdims", 0);
    td_lowering lowering = expect_graph(b, y, "a matrix times every position, and the mean");
    ok(HAS_OPS(lowering.graph, TD_OP_SUB, TD_OP_CONV, TD_OP_CONV, TD_OP_AVGPOOL, TD_OP_FLATTEN) &&
           has_shape(&lowering.graph->nodes[3], 5, 6, 4, false),
       "is a convolution of one tap");
    td_lowering_destroy(&lowering);

    char warning[256] = "";
    tdsnn_set_warning(ctx, keep_warning, warning);
    b = build(ctx, 13);
    lowering = expect_graph(b, add_channels_last(b), "channels last at the end");
    ok(strstr(warning, "in the order C, H, W") != NULL, "come first, which is said");
    td_lowering_destroy(&lowering);
    tdsnn_set_warning(ctx, NULL, NULL);

    b = build(ctx, 13);
    y = add_channels_last(b);
    y = add_node(b, "Conv", "again", y, add_random(b, "w", INTS(3, 4, 1, 1)));
    expect_broken(b, y, "its input is [N, 6, 4, 3]; Conv takes [N, C, H, W]");

    b = build(ctx, 13);
    y = add_node(b, "Flatten", "flat", add_channels_last(b));
    lowering = expect_graph(b, add_node(b, "Softmax", "soft", y), "a Softmax of all positions");
    ok(lowering.graph->nodes[lowering.graph->node_count - 1].op == TD_OP_SOFTMAX, "is the last");
    td_lowering_destroy(&lowering);
    b = build(ctx, 13);
    y = add_node(b, "Softmax", "soft", add_channels_last(b));
    expect_refused(b, y, "soft", "only that of [N, F] over F");
}

static int add_scalar(builder *b, const char *name, int64_t value) {
    int v = add_integers(b, name, &value, 1);
    ((td_tensor *)b->values[v].constant)->rank = 0;
    return v;
}

static void test_shapes(void) {
    for (int fixed = 0; fixed < 2; fixed++) { /* PyTorch's x.view(x.size(0), x.size(1) * 4 * 3) */
        builder *b = build(ctx, 13);
        add_input(b, "x", INTS(fixed ? 1 : -1, 2, 6, 5));
        int x = add_conv(b);
        int shape = add_node(b, "Shape", "shape", x);
        int n = add_node(b, "Gather", "gn", shape, add_scalar(b, "zero", 0));
        int c = add_node(b, "Gather", "gc", shape, add_scalar(b, "one", -3));
        c = add_node(b, "Mul", "mul", c, add_scalar(b, "twelve", 12));
        n = add_node(b, "Unsqueeze", "un", n, add_integers(b, "ax", INTS(0)));
        c = add_node(b, "Unsqueeze", "uc", c, add_integers(b, "ay", INTS(0)));
        int to = add_node(b, "Concat", "cat", n, c);
        set_int(b, "axis", 0);
        int y = add_node(b, "Reshape", "view", x, to);
        td_lowering lowering = expect_graph(b, y, "shapes worked out");
        ok(HAS_OPS(lowering.graph, TD_OP_CONV, TD_OP_FLATTEN) &&
               lowering.graph->nodes[2].shape.c == 36,
           "make a Flatten");
        td_lowering_destroy(&lowering);

        b = build(ctx, 11);
        add_input(b, "x", INTS(fixed ? 1 : -1, 2, 6, 5));
        x = add_conv(b);
        shape = add_node(b, "Shape", "shape", x);
        n = add_node(b, "Slice", "slice", shape, add_integers(b, "s", INTS(0)),
                     add_integers(b, "e", INTS(1)));
        n = add_node(b, "Squeeze", "sq", n);
        n = add_node(b, "Unsqueeze", "un", n);
        set_ints(b, "axes", INTS(0));
        n = add_node(b, "Cast", "cast", n);
        set_int(b, "to", 7);
        to = add_node(b, "Concat", "cat", n, add_integers(b, "m", INTS(-1)));
        set_int(b, "axis", 0);
        y = add_node(b, "Reshape", "view", x, to);
        lowering = expect_graph(b, y, "the batch passed on");
        ok(HAS_OPS(lowering.graph, TD_OP_CONV, TD_OP_FLATTEN), "makes a Flatten");
        td_lowering_destroy(&lowering);
    }
    static const char *const ops[] = {"Add", "Sub", "Mul", "Div"};
    static const int64_t results[] = {15, 9, 36, 4};
    for (int i = 0; i < 4; i++) {
        builder *b = build(ctx, 13);
        int x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 180)));
        int c = add_node(b, ops[i], "op", add_integers(b, "p", INTS(12)), add_scalar(b, "q", 3));
        c = add_node(b, "Cast", "cast", c);
        set_int(b, "to", 1);
        td_lowering lowering = expect_graph(b, add_node(b, "Mul", "mul", x, c), "integers");
        ok(lowering.graph->nodes[2].operand[0] == (float)results[i], "12 %s 3 is right", ops[i]);
        td_lowering_destroy(&lowering);

        b = build(ctx, 13); /* the size of the batch is not known */
        x = add_input(b, "x", INTS(-1, 180));
        c = add_node(b, "Shape", "shape", x);
        c = add_node(b, ops[i], "op", c, add_scalar(b, "q", 2));
        expect_refused(b, add_node(b, "Reshape", "view", x, c), "op", "the size of the batch");
    }
    builder *b = build(ctx, 13);
    /* PyTorch's F.pad(x, (1, 2, 3, 4)): filled up, in pairs, turned round */
    int zeros = add_node(b, "ConstantOfShape", "fill", add_integers(b, "four", INTS(4)));
    add_attribute(b, "value", TD_ATTRIBUTE_TENSOR)->tensor =
        b->values[add_integers(b, "zero", INTS(0))].constant;
    int pads = add_node(b, "Concat", "cat", add_integers(b, "p", INTS(1, 2, 3, 4)), zeros);
    set_int(b, "axis", 0);
    pads = add_node(b, "Reshape", "pairs", pads, add_integers(b, "s", INTS(-1, 2)));
    pads = add_node(b, "Slice", "back", pads, add_integers(b, "from", INTS(-1)),
                    add_integers(b, "to", INTS(-INT64_MAX)), add_integers(b, "ax", INTS(0)),
                    add_integers(b, "by", INTS(-1)));
    pads = add_node(b, "Transpose", "turn", pads);
    pads = add_node(b, "Reshape", "list", pads, add_integers(b, "t", INTS(-1)));
    int padded = add_node(b, "Pad", "pad", add_input(b, "x", INTS(-1, 1, 9, 9)), pads);
    int conv = add_node(b, "Conv", "conv", padded, add_random(b, "w", INTS(1, 1, 1, 1)));
    td_lowering lowering = expect_graph(b, conv, "pads worked out");
    ok(is_window(&lowering.graph->nodes[1].window.y, 1, 1, 3, 4) &&
           is_window(&lowering.graph->nodes[1].window.x, 1, 1, 1, 2),
       "are right");
    td_lowering_destroy(&lowering);

    static const struct {
        int64_t start, end, step, count;
        float left[5]; /* of 1 .. 5 */
    } pieces[] = {{1, 4, 2, 2, {2, 4}},
                  {-2, 100, 1, 2, {4, 5}},
                  {100, -100, -2, 3, {5, 3, 1}},
                  {3, 0, -1, 3, {4, 3, 2}},
                  {0, INT64_MAX, 3, 2, {1, 4}}};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        b = build(ctx, 13);
        int list = add_node(
            b, "Slice", "s", add_integers(b, "d", INTS(1, 2, 3, 4, 5)),
            add_integers(b, "from", &pieces[i].start, 1), add_integers(b, "to", &pieces[i].end, 1),
            add_integers(b, "ax", INTS(0)), add_integers(b, "by", &pieces[i].step, 1));
        list = add_node(b, "Cast", "cast", list);
        set_int(b, "to", 1);
        int y = add_node(b, "Mul", "mul", add_input(b, "x", INTS(-1, pieces[i].count)), list);
        lowering = expect_graph(b, y, "a piece of a list");
        ok(memcmp(lowering.graph->nodes[1].operand, pieces[i].left,
                  (size_t)pieces[i].count * sizeof(float)) == 0,
           "is right");
        td_lowering_destroy(&lowering);
    }

    b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 4));
    int c = add_node(b, "Gather", "g", add_node(b, "Shape", "shape", x), add_scalar(b, "i", 2));
    expect_broken(b, add_node(b, "Mul", "m", x, c), "its index 2 lies outside of 2 elements");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 4));
    c = add_node(b, "Cast", "cast", add_node(b, "Shape", "shape", x));
    set_int(b, "to", 1);
    expect_refused(b, add_node(b, "Mul", "m", x, c), "cast", "the size of the batch");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 4));
    c = add_integers(b, "p", INTS(INT64_MAX, INT64_MAX));
    c = add_node(b, "Mul", "mul", c, c);
    expect_refused(b, add_node(b, "Reshape", "r", x, c), "mul", "is no integer");
}

static void test_views(void) {
    static const int64_t columns[][4] = {{0, 4, 1, 1}, {0, 1, 1, 4}, {-1, 4, 1, 0}};
    for (int i = 0; i < 3; i++) { /* a Flatten that a Reshape undoes */
        builder *b = build(ctx, 13);
        int y = add_node(b, "GlobalAveragePool", "gap", add_input(b, "x", INTS(-1, 4, 5, 5)));
        if (i == 2) {
            y = add_node(b, "Squeeze", "squeeze", y, add_integers(b, "a", INTS(-1, 2)));
            y = add_node(b, "Unsqueeze", "un", y, add_integers(b, "u", INTS(2, 3)));
        } else {
            y = add_node(b, "Flatten", "flat", y);
        }
        y = add_node(b, "Reshape", "column", y, add_integers(b, "s", columns[i], 4));
        if (i == 1) {
            y = add_node(b, "Transpose", "turn", y);
            set_ints(b, "perm", INTS(0, 3, 1, 2));
        }
        y = add_node(b, "Conv", "conv", y, add_random(b, "w", INTS(2, 4, 1, 1)));
        y = add_node(b, "Gather", "g", y, add_scalar(b, "z", 0));
        set_int(b, "axis", 3);
        y = add_node(b, "Squeeze", "s2", y, add_integers(b, "two", INTS(2)));
        td_lowering lowering = expect_graph(b, y, "sizes of 1 that come and go");
        ok(HAS_OPS(lowering.graph, TD_OP_AVGPOOL, TD_OP_CONV, TD_OP_FLATTEN) &&
               has_shape(&lowering.graph->nodes[3], 2, 1, 1, true) &&
               is_fate(&lowering, i == 2 ? "squeeze" : "flat", TD_FATE_FOLDED, -1,
                       "undone by a later node"),
           "leave nothing but the Flatten at the end");
        td_lowering_destroy(&lowering);
    }
    for (int rank = 3; rank <= 4; rank++) { /* the input takes on its first shape */
        builder *b = build(ctx, 13);
        int x = add_input(b, "x", INTS(-1, 36));
        static const int64_t to[][4] = {{-1, 3, 12}, {-1, 6, 6, 1}};
        int y = add_node(b, "Reshape", "r", x, add_integers(b, "s", to[rank - 3], (size_t)rank));
        if (rank == 4) {
            y = add_node(b, "Transpose", "t", y);
            set_ints(b, "perm", INTS(0, 3, 1, 2));
            y = add_node(b, "Conv", "conv", y, add_random(b, "w", INTS(2, 1, 3, 3)));
        } else {
            y = add_node(b, "Conv", "conv", y, add_random(b, "w", INTS(2, 3, 3)));
        }
        td_lowering lowering = expect_graph(b, y, "a flat input that is reshaped");
        ok(has_shape(&lowering.graph->nodes[0], rank == 4 ? 1 : 3, rank == 4 ? 6 : 1,
                     rank == 4 ? 6 : 12, false),
           "is fed in the shape of rank %d", rank);
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 7);
    int y = add_node(b, "Squeeze", "s", add_conv(b));
    set_ints(b, "axes", INTS(2));
    expect_broken(b, y, "axis 2, of size 4, cannot go");

    b = build(ctx, 11);
    y = add_node(b, "Unsqueeze", "u", add_inner(b));
    set_ints(b, "axes", INTS(0));
    expect_refused(b, y, "u", "it moves the axis of the batch");

    b = build(ctx, 11);
    y = add_node(b, "Unsqueeze", "u", add_inner(b));
    set_ints(b, "axes", INTS(1, 1));
    expect_broken(b, y, "it names an axis twice");

    b = build(ctx, 13);
    y = add_node(b, "Gather", "g", add_conv(b), add_scalar(b, "i", 1));
    set_int(b, "axis", 1);
    expect_refused(b, y, "g", "0 of an axis of size 1, only");
}

static void test_lines(void) {
    float w[2 * 3 * 3];
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 3, 20));
    int y = add_node(b, "Conv", "conv", x, add_random(b, "w", INTS(2, 3, 3)));
    set_ints(b, "pads", INTS(1, 2));
    set_ints(b, "strides", INTS(2));
    set_ints(b, "kernel_shape", INTS(3));
    copy_floats(b, "w", w, 18);
    y = add_node(b, "Mul", "mul", y, add_random(b, "m", INTS(2, 1)));
    y = add_node(b, "MaxPool", "pool", add_node(b, "Relu", "relu", y));
    set_ints(b, "kernel_shape", INTS(2));
    y = add_node(b, "AveragePool", "avg", y);
    set_ints(b, "kernel_shape", INTS(2));
    y = add_node(b, "ReduceMean", "mean", y);
    set_ints(b, "axes", INTS(2));
    y = add_node(b, "Flatten", "flat", y);
    td_lowering lowering = expect_graph(b, y, "a 1-D network");
    const td_node *conv = &lowering.graph->nodes[1];
    ok(HAS_OPS(lowering.graph, TD_OP_CONV, TD_OP_RELU, TD_OP_MAXPOOL, TD_OP_AVGPOOL, TD_OP_AVGPOOL,
               TD_OP_FLATTEN) &&
           has_shape(conv, 2, 1, 11, false) && is_window(&conv->window.y, 1, 1, 0, 0) &&
           is_window(&conv->window.x, 3, 2, 1, 2) &&
           has_shape(&lowering.graph->nodes[4], 2, 1, 9, false),
       "has a height of 1");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 3, 20));
    y = add_node(b, "Conv", "conv", x, add_random(b, "w", INTS(2, 3, 3, 3)));
    expect_broken(b, y, "its weights are [2, 3, 3, 3]");
}

/* ---- Pad. */

static int add_pad(builder *b, int x, const int64_t *pads, size_t count) {
    int y;
    if (b->source.opset < 11) {
        y = add_node(b, "Pad", "pad", x);
        set_ints(b, "pads", pads, count);
    } else {
        y = add_node(b, "Pad", "pad", x, add_integers(b, "pads", pads, count));
    }
    return y;
}

static void test_float_constants(void) {
    static const struct {
        const char *op;
        float result[3];
    } rows[] = {{"Add", {3, 4, 6}}, {"Sub", {-1, 0, 2}}, {"Mul", {2, 4, 8}}, {"Div", {0.5f, 1, 2}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        builder *b = build(ctx, 13);
        int x = add_input(b, "x", INTS(-1, 3));
        int c = add_node(b, rows[i].op, "c", add_vector(b, "a", FLOATS(1, 2, 4)),
                         add_floats(b, "b", NULL, 0, (const float[]){2}));
        td_lowering lowering = expect_graph(b, add_node(b, "Mul", "mul", x, c), rows[i].op);
        const td_node *mul = &lowering.graph->nodes[1];
        ok(memcmp(mul->operand, rows[i].result, sizeof rows[i].result) == 0,
           "of float constants is worked out");
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 3));
    int c = add_node(b, "Add", "c", add_random(b, "a", INTS(3)), add_random(b, "b", INTS(2, 1)));
    expect_refused(b, add_node(b, "Mul", "mul", x, c), "mul", "[2, 3]");
    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 3));
    c = add_node(b, "Add", "c", add_random(b, "a", INTS(3)), add_random(b, "b", INTS(2, 2)));
    expect_broken(b, add_node(b, "Mul", "mul", x, c), "are not of one shape");
}

/* A constant of equal integers, or without a value of quarters. */
static int add_filled(builder *b, const char *name, int shape, const int64_t *value) {
    static const float quarter = 0.25f;
    int y = add_node(b, "ConstantOfShape", name, shape);
    td_tensor *tensor = new_tensor(b, value == NULL ? TD_TYPE_FLOAT : TD_TYPE_INT, INTS(1));
    tensor->floats = value == NULL ? &quarter : NULL;
    tensor->ints = value;
    add_attribute(b, "value", TD_ATTRIBUTE_TENSOR)->tensor = tensor;
    return y;
}

/* As PyTorch's expand comes out: Expand(x, Where(shape == -1, 1, shape)). */
static void test_made_constants(void) {
    static const int64_t one = 1;
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 3));
    int shape = add_integers(b, "s", INTS(-1, 3));
    int ones = add_filled(b, "ones", add_integers(b, "two", INTS(2)), &one);
    int is_open = add_node(b, "Equal", "open", shape, add_integers(b, "minus", INTS(-1)));
    int to = add_node(b, "Where", "to", is_open, ones, shape);
    int c = add_node(b, "Expand", "c", add_vector(b, "v", FLOATS(2)), to);
    c = add_node(b, "Mul", "half", c, add_filled(b, "q", add_integers(b, "d", INTS(1, 3)), NULL));
    int picked = add_node(b, "Where", "picked",
                          add_node(b, "Equal", "e", add_vector(b, "l", FLOATS(1, 2, 3)),
                                   add_vector(b, "r", FLOATS(1, 0, 3))),
                          c, add_vector(b, "other", FLOATS(7)));
    td_lowering lowering = expect_graph(b, add_node(b, "Mul", "mul", x, picked), "constants");
    ok(HAS_OPS(lowering.graph, TD_OP_MUL) && lowering.graph->nodes[1].operand[0] == 0.5f &&
           lowering.graph->nodes[1].operand[1] == 7.0f &&
           lowering.graph->nodes[1].operand[2] == 0.5f,
       "are filled, compared, chosen and expanded");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 3));
    x = add_node(b, "Expand", "same", x, add_integers(b, "s", INTS(1, 3)));
    lowering = expect_graph(b, add_node(b, "Relu", "relu", x), "an Expand to the same shape");
    ok(HAS_OPS(lowering.graph, TD_OP_RELU), "has no effect");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 3));
    x = add_node(b, "Expand", "wider", x, add_integers(b, "s", INTS(4, 1, 3)));
    expect_refused(b, x, "wider", "repeats a computed value");
    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 3));
    c = add_node(b, "Expand", "c", add_vector(b, "v", FLOATS(1, 2)), add_integers(b, "s", INTS(3)));
    expect_broken(b, add_node(b, "Mul", "mul", x, c), "does not fit the shape 's'");
    static const int64_t large[][2] = {{1 << 20, 1 << 20}, {INT64_MAX, 2}, {-1, 3}, {0, 3}};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        b = build(ctx, 13);
        x = add_input(b, "x", INTS(-1, 3));
        c = add_filled(b, "c", add_integers(b, "d", large[i], 2), NULL);
        expect_refused(b, add_node(b, "Mul", "mul", x, c), "c", "holds nothing, or more than");
    }
}

/* Max and Min of one number clip, together with what clips before them. */
static void test_ends(void) {
    static const struct {
        const char *first, *second;
        float a, b;
        td_op op;
        float low, high;
    } rows[] = {
        {"Max", NULL, 0.0f, 0.0f, TD_OP_RELU, 0.0f, 0.0f},
        {"Max", NULL, -0.5f, 0.0f, TD_OP_CLIP, -0.5f, FLT_MAX},
        {"Min", NULL, 0.5f, 0.0f, TD_OP_CLIP, -FLT_MAX, 0.5f},
        {"Max", "Min", 0.0f, 6.0f, TD_OP_CLIP, 0.0f, 6.0f},
        {"Min", "Max", 6.0f, 0.0f, TD_OP_CLIP, 0.0f, 6.0f},
        {"Min", "Min", 6.0f, 2.0f, TD_OP_CLIP, -FLT_MAX, 2.0f},
        {"Max", "Max", -1.0f, 0.0f, TD_OP_RELU, 0.0f, 0.0f},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        builder *b = build(ctx, 13);
        int y = add_input(b, "x", INTS(-1, 2, 3, 3));
        y = add_node(b, rows[i].first, "first", y, add_vector(b, "a", &rows[i].a, 1));
        if (rows[i].second != NULL) {
            y = add_node(b, rows[i].second, "second", add_vector(b, "b", &rows[i].b, 1), y);
        }
        td_lowering lowering = expect_graph(b, y, "one number's Max or Min");
        const td_node *node = &lowering.graph->nodes[1];
        ok(lowering.graph->node_count == 2 && node->op == rows[i].op && node->low == rows[i].low &&
               node->high == rows[i].high,
           "clips to %g .. %g", (double)rows[i].low, (double)rows[i].high);
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 13);
    int x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 3)));
    int y = add_node(b, "Min", "min", x, add_vector(b, "a", FLOATS(2)));
    td_lowering lowering = expect_graph(b, add_node(b, "Add", "sum", x, y), "a shared Relu");
    ok(HAS_OPS(lowering.graph, TD_OP_RELU, TD_OP_CLIP, TD_OP_ADD), "stays what it is");
    td_lowering_destroy(&lowering);
    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 3));
    expect_refused(b, add_node(b, "Max", "max", x, x), "max",
                   "one computed value and one constant");
    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 2));
    y = add_node(b, "Max", "max", x, add_vector(b, "a", FLOATS(0, 1)));
    expect_refused(b, y, "max", "is not one number");
}

/* [N, 1, F] and the like are flat. */
static void test_rows(void) {
    builder *b = build(ctx, 13);
    int y = add_node(b, "Unsqueeze", "row", add_inner(b), add_integers(b, "one", INTS(1)));
    y = add_node(b, "MatMul", "mul", y, add_random(b, "v", INTS(3, 2)));
    y = add_node(b, "Add", "bias", y, add_vector(b, "c", FLOATS(1, 2)));
    y = add_node(b, "Squeeze", "flat", y, b->nodes[1].inputs[1]);
    td_lowering lowering = expect_graph(b, y, "a matrix times [N, 1, F]");
    ok(HAS_OPS(lowering.graph, TD_OP_INNER, TD_OP_INNER) &&
           lowering.graph->nodes[2].bias[1] == 2.0f,
       "is an inner product");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    y = add_node(b, "Reshape", "row", add_conv(b), add_integers(b, "s", INTS(-1, 1, 1, 36)));
    y = add_node(b, "MatMul", "mul", y, add_random(b, "v", INTS(36, 2)));
    lowering = expect_graph(b, add_node(b, "Flatten", "flat", y), "a picture as a row");
    ok(HAS_OPS(lowering.graph, TD_OP_CONV, TD_OP_FLATTEN, TD_OP_INNER), "is made flat");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 1, 5));
    y = add_node(b, "MatMul", "mul", x, add_random(b, "v", INTS(5, 2)));
    lowering = expect_graph(b, y, "a matrix times an input of [N, 1, F]");
    ok(HAS_OPS(lowering.graph, TD_OP_FLATTEN, TD_OP_INNER), "is an inner product");
    td_lowering_destroy(&lowering);

    for (int opset = 11; opset <= 13; opset += 2) {
        b = build(ctx, opset);
        y = add_inner(b);
        for (int axis = 2; axis < 4; axis++) {
            int axes = opset < 13 ? -1 : add_integers(b, "axes", INTS(axis));
            const char *name = axis == 2 ? "u2" : "u3";
            y = opset < 13 ? add_node(b, "Unsqueeze", name, y)
                           : add_node(b, "Unsqueeze", name, y, axes);
            if (opset < 13) {
                set_ints(b, "axes", INTS(axis));
            }
        }
        y = add_node(b, "Conv", "again", y, add_random(b, "v", INTS(2, 3, 1, 1)));
        lowering = expect_graph(b, y, "a flat value unsqueezed twice");
        ok(HAS_OPS(lowering.graph, TD_OP_INNER, TD_OP_INNER), "is convolved as [N, C, 1, 1]");
        td_lowering_destroy(&lowering);
    }
    b = build(ctx, 13);
    y = add_node(b, "Unsqueeze", "row", add_inner(b), add_integers(b, "one", INTS(1)));
    y = add_node(b, "Conv", "along", y, add_random(b, "v", INTS(2, 1, 3)));
    expect_broken(b, y, "its input is [N, 1, 3]; Conv takes");
}

/* Channels by a Gather or a Slice of any step: runs of neighbours stay together. */
static void test_chosen_channels(void) {
    static const struct {
        int64_t start, end, step;
        int count, first[3];
    } slices[] = {{-1, INT64_MIN, -1, 3, {2, 1, 0}}, {0, INT64_MAX, 2, 2, {0, 2, 0}}};
    for (size_t i = 0; i < 2; i++) {
        builder *b = build(ctx, 13);
        int y =
            add_node(b, "Slice", "slice", add_conv(b), add_integers(b, "s", INTS(slices[i].start)),
                     add_integers(b, "e", INTS(slices[i].end)), add_integers(b, "a", INTS(1)),
                     add_integers(b, "t", INTS(slices[i].step)));
        td_lowering lowering = expect_graph(b, y, "every so many channels");
        const td_graph *g = lowering.graph;
        bool good =
            g->nodes[g->node_count - 1].op == TD_OP_CONCAT && g->node_count == 3 + slices[i].count;
        for (int k = 0; good && k < slices[i].count; k++) {
            good = g->nodes[2 + k].first_channel == slices[i].first[k];
        }
        ok(good, "are chosen one by one");
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 13);
    int y = add_node(b, "Gather", "g", add_conv(b), add_integers(b, "i", INTS(1, 2, 0, 1, -1)));
    set_int(b, "axis", 1);
    td_lowering lowering = expect_graph(b, y, "channels in another order");
    const td_graph *g = lowering.graph;
    ok(HAS_OPS(g, TD_OP_CONV, TD_OP_SLICE, TD_OP_SLICE, TD_OP_CONCAT) &&
           has_shape(&g->nodes[2], 2, 4, 3, false) && g->nodes[2].first_channel == 1 &&
           has_shape(&g->nodes[3], 3, 4, 3, false) && g->nodes[3].first_channel == 0,
       "stay together in runs");
    td_lowering_destroy(&lowering);
    b = build(ctx, 13);
    y = add_node(b, "Gather", "g", add_conv(b), add_integers(b, "i", INTS(0, 3)));
    set_int(b, "axis", 1);
    expect_broken(b, y, "its index 3 lies outside of 3 channels");
}

/* What cannot be taken over is refused with its reason. */
static void test_reasons(void) {
    static const char *const rows[][2] = {
        {"HardSigmoid", "computes ReLU"},
        {"HardSwish", "computes ReLU"},
        {"Tanh", "computes ReLU"},
        {"Gelu", "computes ReLU"},
        {"Elu", "computes ReLU"},
        {"Erf", "computes ReLU"},
        {"LayerNormalization", "statistic of the sample"},
        {"LRN", "statistic of the"},
        {"ConvTranspose", "shrink"},
        {"LSTM", "fires once"},
        {"QuantizeLinear", "before quantising"},
        {"ArgMax", "its logits"},
        {"Sig", "Sig is not supported; replace"},
        {"", "is not supported; replace"},
        {" Celu", "Celu is not supported; replace"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        builder *b = build(ctx, 20);
        int y = add_node(b, rows[i][0], "act", add_conv(b));
        expect_refused(b, y, "act", rows[i][1]);
    }
}

/* [N, C, H*W]: a mean over its positions, and back; nothing else knows them. */
static void test_positions_in_a_line(void) {
    for (int keep = 0; keep < 2; keep++) {
        builder *b = build(ctx, 13);
        int x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 4, 5, 7)));
        int y = add_node(b, "Reshape", "line", x, add_integers(b, "s", INTS(0, 4, -1)));
        y = add_node(b, "ReduceMean", "mean", y);
        set_ints(b, "axes", INTS(2));
        set_int(b, "keepdims", keep);
        td_lowering lowering =
            expect_graph(b, add_node(b, "Flatten", "flat", y), "a mean over positions in a line");
        ok(HAS_OPS(lowering.graph, TD_OP_RELU, TD_OP_AVGPOOL, TD_OP_FLATTEN) &&
               lowering.graph->nodes[2].window.x.kernel == 7,
           "is an average pool, keepdims %d", keep);
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 13);
    int x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 4, 5, 7)));
    int y = add_node(b, "Reshape", "line", x, add_integers(b, "s", INTS(0, 4, 35)));
    y = add_node(b, "Reshape", "back", y, add_integers(b, "t", INTS(0, 4, 5, 7)));
    td_lowering lowering = expect_graph(b, add_node(b, "Relu", "more", y), "there and back");
    ok(HAS_OPS(lowering.graph, TD_OP_RELU, TD_OP_RELU), "is nothing");
    td_lowering_destroy(&lowering);
    b = build(ctx, 13);
    x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 4, 5, 7)));
    y = add_node(b, "Reshape", "line", x, add_integers(b, "s", INTS(0, 4, 35)));
    y = add_node(b, "Conv", "conv", y, add_random(b, "w", INTS(3, 4, 3)));
    expect_refused(b, y, "conv", "in one row");
}

/* [N, C] as [N, C, 1, 1]: a 1x1 convolution is an inner product. */
static void test_columns(void) {
    builder *b = build(ctx, 13);
    int x = add_node(b, "Relu", "relu", add_inner(b));
    int y = add_node(b, "Reshape", "column", x, add_integers(b, "s", INTS(-1, 3, 1, 1)));
    y = add_node(b, "Conv", "conv", y, add_random(b, "v", INTS(5, 3, 1, 1)));
    y = add_node(b, "GlobalAveragePool", "pool", add_node(b, "Relu", "again", y));
    y = add_node(b, "Flatten", "flat", y);
    y = add_node(b, "Gemm", "last", y, add_random(b, "u", INTS(5, 2)), add_random(b, "c", INTS(2)));
    td_lowering lowering = expect_graph(b, y, "a convolution of [N, C, 1, 1]");
    ok(HAS_OPS(lowering.graph, TD_OP_INNER, TD_OP_RELU, TD_OP_INNER, TD_OP_RELU, TD_OP_INNER) &&
           has_shape(&lowering.graph->nodes[3], 5, 1, 1, true),
       "is an inner product");
    td_lowering_destroy(&lowering);

    static const struct {
        int64_t w[4];
        int64_t pad;
        const char *text;
    } refused[] = {{{5, 3, 3, 3}, 1, "kernels of 1x1"}, {{5, 3, 1, 1}, 1, "it pads"}};
    for (size_t i = 0; i < 2; i++) {
        b = build(ctx, 13);
        x = add_node(b, "Relu", "relu", add_inner(b));
        y = add_node(b, "Reshape", "column", x, add_integers(b, "s", INTS(-1, 3, 1, 1)));
        y = add_node(b, "Conv", "conv", y, add_random(b, "v", refused[i].w, 4));
        set_ints(b, "pads", INTS(refused[i].pad, 1, 1, 1));
        expect_refused(b, y, "conv", refused[i].text);
    }
    b = build(ctx, 13);
    x = add_node(b, "Relu", "relu", add_inner(b));
    y = add_node(b, "Reshape", "column", x, add_integers(b, "s", INTS(-1, 3, 1, 1)));
    expect_refused(b, add_node(b, "MatMul", "mul", y, add_random(b, "v", INTS(3, 2))), "mul",
                   "[N, 3, 1, 1]");
    b = build(ctx, 13);
    y = add_node(b, "Unsqueeze", "column", add_inner(b), add_integers(b, "s", INTS(2)));
    y = add_node(b, "Conv", "conv", y, add_random(b, "v", INTS(5, 3, 1)));
    lowering = expect_graph(b, y, "a convolution of [N, C, 1]");
    ok(HAS_OPS(lowering.graph, TD_OP_INNER, TD_OP_INNER), "is an inner product, too");
    td_lowering_destroy(&lowering);
}

/* Relu -> Reshape -> Transpose -> Reshape of 6 channels in 3 groups. */
static int add_shuffle(builder *b, const int64_t perm[5], const int64_t back[4]) {
    int x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 6, 4, 5)));
    int y = add_node(b, "Reshape", "apart", x, add_integers(b, "s", INTS(0, 3, 2, 4, 5)));
    y = add_node(b, "Transpose", "exchange", y);
    set_ints(b, "perm", perm, 5);
    return add_node(b, "Reshape", "together", y, add_integers(b, "t", back, 4));
}

static void test_shuffle(void) {
    static const int64_t exchange[5] = {0, 2, 1, 3, 4}, same[5] = {0, 1, 2, 3, 4};
    static const int64_t back[4] = {0, -1, 4, 5}, other[4] = {0, 12, 2, 5};
    static const int expected[6] = {0, 2, 4, 1, 3, 5};
    builder *b = build(ctx, 13);
    td_lowering lowering = expect_graph(b, add_shuffle(b, exchange, back), "a channel shuffle");
    const td_graph *g = lowering.graph;
    bool good =
        g->node_count == 9 && g->nodes[8].op == TD_OP_CONCAT && g->nodes[8].input_count == 6;
    for (int i = 0; good && i < 6; i++) {
        const td_node *part = &g->nodes[g->nodes[8].inputs[i]];
        good = part->op == TD_OP_SLICE && part->first_channel == expected[i] && part->shape.c == 1;
    }
    ok(good && has_shape(&g->nodes[8], 6, 4, 5, false), "is a choice of channels");
    td_lowering_destroy(&lowering);

    b = build(ctx, 13);
    expect_refused(b, add_shuffle(b, same, back), "exchange", "only an exchange of the groups");
    b = build(ctx, 13);
    expect_refused(b, add_shuffle(b, exchange, other), "together", "only the way back");
    b = build(ctx, 13);
    add_shuffle(b, exchange, back);
    expect_refused(b, add_node(b, "Relu", "inside", b->nodes[2].outputs[0]), "inside",
                   "only a shuffle of the channels");
}

/* Zeros around the positions of [N, H, W, C], before and behind the Transpose. */
static void test_pad_last(void) {
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 6, 5, 2));
    int y = add_pad(b, x, INTS(0, 1, 2, 0, 0, 3, 4, 0));
    y = add_node(b, "Transpose", "first", y);
    set_ints(b, "perm", INTS(0, 3, 1, 2));
    y = add_node(b, "Conv", "conv", y, add_random(b, "w", INTS(1, 2, 3, 3)));
    td_lowering lowering = expect_graph(b, y, "a Pad of channels last");
    td_window w = lowering.graph->nodes[1].window;
    ok(HAS_OPS(lowering.graph, TD_OP_CONV) &&
           has_shape(&lowering.graph->nodes[0], 2, 6, 5, false) && w.y.pad_begin == 1 &&
           w.x.pad_begin == 2 && w.y.pad_end == 3 && w.x.pad_end == 4,
       "goes into the window behind the Transpose");
    td_lowering_destroy(&lowering);
    b = build(ctx, 13);
    y = add_pad(b, add_channels_last(b), INTS(0, 0, 0, 0, 0, 0, 0, 1));
    expect_refused(b, y, "pad", "around axis 3");
    b = build(ctx, 13);
    y = add_pad(b, add_conv(b), INTS(0, 0, 1, 0, 0, 0, 0, 0));
    y = add_node(b, "Transpose", "turn", y);
    set_ints(b, "perm", INTS(0, 1, 3, 2));
    expect_refused(b, y, "turn", "only an exchange between");
}

static void test_pad(void) {
    for (int opset = 9; opset <= 11; opset++) {
        builder *b = build(ctx, opset);
        int x = add_input(b, "x", INTS(-1, 2, 6, 5));
        int y = add_pad(b, x, INTS(0, 0, 1, 0, 0, 0, 2, 3));
        y = add_node(b, "Conv", "conv", y, add_random(b, "w", INTS(1, 2, 3, 3)));
        set_ints(b, "pads", INTS(1, 1, 0, 0));
        td_lowering lowering = expect_graph(b, y, "a Pad in front of a convolution");
        const td_node *conv = &lowering.graph->nodes[1];
        ok(HAS_OPS(lowering.graph, TD_OP_CONV) && is_window(&conv->window.y, 3, 1, 2, 2) &&
               is_window(&conv->window.x, 3, 1, 1, 3) && has_shape(conv, 1, 8, 7, false),
           "is part of its padding");
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 18);
    int x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 2, 6, 6)));
    int zero = add_floats(b, "z", NULL, 0, (const float[]){0.0f});
    int y = add_node(b, "Pad", "pad", x, add_integers(b, "p", INTS(1, 1)), zero,
                     add_integers(b, "a", INTS(-1)));
    int first = add_average(b, y, 2, 1);
    int second = add_node(b, "MaxPool", "max", y);
    set_ints(b, "kernel_shape", INTS(2, 2));
    y = add_node(b, "Add", "add", first, second);
    td_lowering lowering = expect_graph(b, y, "one in front of pools, behind a Relu");
    const td_node *nodes = lowering.graph->nodes;
    ok(is_window(&nodes[2].window.x, 2, 1, 1, 1) && is_window(&nodes[2].window.y, 2, 1, 0, 0) &&
           nodes[2].count_padding && is_window(&nodes[3].window.x, 2, 1, 1, 1),
       "is counted in the average");
    td_lowering_destroy(&lowering);

    b = build(ctx, 11);
    y = add_pad(b, add_input(b, "x", INTS(-1, 2, 6, 6)), INTS(0, 0, 1, 1, 0, 0, 1, 1));
    y = add_node(b, "MaxPool", "max", y);
    set_ints(b, "kernel_shape", INTS(2, 2));
    expect_refused(b, y, "max", "behind a Relu only");

    b = build(ctx, 11);
    y = add_pad(b, add_input(b, "x", INTS(-1, 2, 6, 6)), INTS(0, 0, 1, 1, 0, 0, 1, 1));
    y = add_average(b, y, 2, 2);
    set_ints(b, "pads", INTS(1, 1, 1, 1));
    expect_refused(b, y, "avg", "is counted and its own padding is not");

    b = build(ctx, 11);
    y = add_pad(b, add_input(b, "x", INTS(-1, 2, 6, 6)), INTS(0, 0, 1, 1, 0, 0, 1, 1));
    expect_refused(b, add_node(b, "Relu", "relu", y), "relu", "its input 'pad:0' is padded");

    static const int64_t refused[][8] = {{0, 1, 0, 0, 0, 0, 0, 0}, {0, 0, -1, 0, 0, 0, 0, 0}};
    for (int i = 0; i < 2; i++) {
        b = build(ctx, 11);
        y = add_pad(b, add_input(b, "x", INTS(-1, 2, 6, 6)), refused[i], 8);
        expect_refused(b, y, "pad", "supported are zeros around the positions");
    }
    b = build(ctx, 11);
    y = add_pad(b, add_input(b, "x", INTS(-1, 2, 6, 6)), INTS(0, 0, INT64_MAX, 0, 0, 0, 1, 0));
    expect_refused(b, y, "pad", "its result is larger than");

    b = build(ctx, 9);
    y = add_pad(b, add_input(b, "x", INTS(-1, 2, 6, 6)), INTS(0, 0, 1, 0, 0, 0, 1, 0));
    set_string(b, "mode", "reflect");
    expect_refused(b, y, "pad", "mode reflect");

    b = build(ctx, 9);
    y = add_pad(b, add_input(b, "x", INTS(-1, 2, 6, 6)), INTS(0, 0, 1, 0, 0, 0, 1, 0));
    set_float(b, "value", 1.0f);
    expect_refused(b, y, "pad", "it pads with 1");

    b = build(ctx, 11);
    y = add_pad(b, add_input(b, "x", INTS(-1, 2, 6, 6)), INTS(1, 1));
    expect_broken(b, y, "it has 2 pads for 4 axes");
}

/* ---- Softmax. */

static void test_sigmoid(void) {
    builder *b = build(ctx, 13);
    td_lowering lowering = expect_graph(b, add_node(b, "Sigmoid", "s", add_conv(b)), "a Sigmoid");
    ok(HAS_OPS(lowering.graph, TD_OP_CONV, TD_OP_SIGMOID) && td_graph_logits(lowering.graph) == 1,
       "is kept at the end, the logits being its input");
    td_lowering_destroy(&lowering);
    b = build(ctx, 13);
    int y = add_node(b, "Sigmoid", "s", add_inner(b));
    expect_refused(b, add_node(b, "Relu", "relu", y), "relu", "reads 's'");
}

/* Flat values as a picture, and pictures as others. */
static void test_unflatten(void) {
    static const struct {
        int64_t dims[4];
        size_t rank;
        int c, h, w;
    } to[] = {{{-1, 2, 2, 3}, 4, 2, 2, 3}, {{0, 3, 4}, 3, 3, 1, 4}, {{-1, 1, 1, 12}, 4, 1, 1, 12}};
    for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
        builder *b = build(ctx, 13);
        int x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 12)));
        int y = add_node(b, "Reshape", "r", x, add_integers(b, "s", to[i].dims, to[i].rank));
        int64_t w[] = {2, to[i].c, 1, 1};
        y = add_node(b, "Conv", "c", y, add_random(b, "w", w, to[i].rank));
        td_lowering lowering = expect_graph(b, y, "flat values made a picture");
        ok(HAS_OPS(lowering.graph, TD_OP_RELU, TD_OP_UNFLATTEN, TD_OP_CONV) &&
               has_shape(&lowering.graph->nodes[2], to[i].c, to[i].h, to[i].w, false),
           "are read by a convolution as %dx%dx%d", to[i].c, to[i].h, to[i].w);
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 13);
    int x = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 2, 3, 4)));
    int y = add_node(b, "Reshape", "r", x, add_integers(b, "s", INTS(0, 6, 2, 2)));
    y = add_node(b, "Flatten", "f", y);
    td_lowering lowering = expect_graph(b, add_node(b, "Relu", "s", y), "a picture, another, flat");
    ok(HAS_OPS(lowering.graph, TD_OP_RELU, TD_OP_FLATTEN, TD_OP_RELU), "is flattened once");
    td_lowering_destroy(&lowering);
    float w[96];
    for (int i = 0; i < 96; i++) {
        w[i] = (float)i;
    }
    b = build(ctx, 13); /* nodes are numbered anew where one has gone; the weights stay */
    y = add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 2, 3, 4)));
    y = add_node(b, "Reshape", "r", add_node(b, "Flatten", "f", y),
                 add_integers(b, "s", INTS(-1, 2, 3, 4)));
    y = add_node(b, "Conv", "c", y, add_random(b, "v", INTS(4, 2, 1, 1)));
    y = add_node(b, "Gemm", "d", add_node(b, "Flatten", "g", y), add_floats(b, "w", INTS(2, 48), w),
                 add_random(b, "u", INTS(2)));
    set_int(b, "transB", 1);
    lowering = expect_graph(b, y, "linear layers behind a node that has gone");
    ok(HAS_OPS(lowering.graph, TD_OP_RELU, TD_OP_CONV, TD_OP_FLATTEN, TD_OP_INNER) &&
           memcmp(lowering.graph->nodes[4].weights, w, sizeof w) == 0,
       "have all their weights");
    td_lowering_destroy(&lowering);
    b = build(ctx, 13); /* H, W, C: another order than ours */
    y = add_node(b, "Transpose", "t",
                 add_node(b, "Relu", "relu", add_input(b, "x", INTS(-1, 2, 3, 4))));
    set_ints(b, "perm", INTS(0, 2, 3, 1));
    y = add_node(b, "Reshape", "r", y, add_integers(b, "s", INTS(0, 6, 2, 2)));
    expect_refused(b, y, "r", "in the order C, H, W");
}

static void test_softmax(void) {
    static const char *const ops[] = {"Softmax", "LogSoftmax"};
    for (int i = 0; i < 2; i++) {
        for (int opset = 7; opset <= 21; opset += 7) {
            builder *b = build(ctx, opset);
            int y = add_node(b, ops[i], "s", add_inner(b));
            td_lowering lowering = expect_graph(b, y, "a closing Softmax or LogSoftmax");
            ok(lowering.graph->nodes[2].op == (i == 0 ? TD_OP_SOFTMAX : TD_OP_LOGSOFTMAX) &&
                   td_graph_logits(lowering.graph) == 1,
               "%s of opset %d is kept", ops[i], opset);
            td_lowering_destroy(&lowering);
        }
        builder *b = build(ctx, 13);
        int y = add_node(b, ops[i], "s", add_inner(b));
        y = add_node(b, "Relu", "relu", y);
        expect_refused(b, y, "relu", "reads 's'");

        b = build(ctx, 13);
        y = add_node(b, ops[i], "s", add_inner(b));
        set_int(b, "axis", 0);
        expect_refused(b, y, "s", "only that of [N, F] over F");

        b = build(ctx, 13);
        y = add_node(b, ops[i], "s", add_conv(b));
        expect_refused(b, y, "s", "only that of [N, F] over F");
    }
}

/* ---- TemporalCode. */

typedef struct code_case {
    float leak, scale;
    int64_t steps, offset;
    const char *rounding;
    int thresholds;        /* entries of the table */
    const char *leave_out; /* an attribute */
} code_case;

static int add_code(builder *b, int x, const tdsnn_code *code, const code_case *as) {
    int t = add_floats(b, "t", INTS(as->thresholds), code->thresholds);
    int v = add_floats(b, "v", INTS(256), code->values);
    int y = add_node(b, "TemporalCode", "code", x, t, v);
    set_float(b, "leak", as->leak);
    set_float(b, "scale", as->scale);
    set_int(b, "steps", as->steps);
    set_int(b, "offset", as->offset);
    set_string(b, "rounding", as->rounding);
    td_source_node *node = &b->nodes[b->source.node_count - 1];
    for (int i = 0; as->leave_out != NULL && i < node->attribute_count; i++) {
        td_attribute *attributes = b->attributes[b->source.node_count - 1];
        if (strcmp(attributes[i].name, as->leave_out) == 0) {
            attributes[i] = attributes[--node->attribute_count];
        }
    }
    return y;
}

static void test_code(void) {
    tdsnn_code code;
    ok(tdsnn_code_make(ctx, 7.0, 7, 1.5, TDSNN_ROUND_NEAREST, 0, &code) == TDSNN_OK, "a code");
    const code_case right = {7.0f, 1.5f, 7, 0, "nearest", 255, NULL};
    builder *b = build(ctx, 15);
    int y = add_code(b, add_conv(b), &code, &right);
    td_lowering lowering = expect_graph(b, y, "a TemporalCode");
    const td_node *node = &lowering.graph->nodes[2];
    ok(node->op == TD_OP_CODE && node->code->steps == 7 &&
           node->code->rounding == TDSNN_ROUND_NEAREST &&
           memcmp(node->code->thresholds, code.thresholds, sizeof code.thresholds) == 0 &&
           memcmp(node->code->values, code.values, sizeof code.values) == 0 &&
           td_graph_is_spiking(lowering.graph),
       "comes with its tables");
    td_lowering_destroy(&lowering);

    static const struct {
        code_case as;
        const char *text;
    } wrong[] = {
        {{7.0f, 1.5f, 300, 0, "nearest", 255, NULL}, "steps 300"},
        {{7.0f, 1.5f, 7, 2, "nearest", 255, NULL}, "offset 2"},
        {{7.0f, 1.5f, 7, 0, "floor", 255, NULL}, "its rounding 'floor'"},
        {{7.0f, 1.5f, 7, 0, "nearest", 254, NULL}, "its table 't' is not float [255]"},
        {{7.0f, 1.5f, 7, 0, "nearest", 255, "leak"}, "its attribute 'leak' is missing"},
        {{7.0f, 1.25f, 7, 0, "nearest", 255, NULL}, "node 'code' (TemporalCode)"},
        {{NAN, 1.5f, 7, 0, "nearest", 255, NULL}, "node 'code' (TemporalCode)"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        b = build(ctx, 15);
        y = add_code(b, add_conv(b), &code, &wrong[i].as);
        expect_broken(b, y, wrong[i].text);
    }
    tdsnn_code bent = code;
    bent.thresholds[3] = bent.thresholds[1];
    b = build(ctx, 15);
    y = add_code(b, add_conv(b), &bent, &right);
    expect_broken(b, y, "node 'code' (TemporalCode)");
}

/* Sub(TemporalCode(x), [slope x] TemporalCode(Neg(x))) of two codes. */
static int add_pair(builder *b, const tdsnn_code *up, const tdsnn_code *down, float slope) {
    const code_case as = {up->leak, up->scale, up->steps, up->offset, "nearest", 255, NULL};
    const code_case as_down = {down->leak, down->scale, down->steps, down->offset,
                               "nearest",  255,         NULL};
    int x = add_conv(b), plus = add_code(b, x, up, &as);
    b->nodes[b->source.node_count - 1].name = "plus";
    int minus = add_code(b, add_node(b, "Neg", "neg", x), down, &as_down);
    b->nodes[b->source.node_count - 1].name = "minus";
    if (slope != 1.0f) {
        minus = add_node(b, "Mul", "slope", minus, add_floats(b, "k", NULL, 0, &slope));
    }
    return add_node(b, "Sub", "pair", plus, minus);
}

static void test_pairs(void) {
    tdsnn_code code, other;
    tdsnn_code_make(ctx, 7.0, 7, 1.5, TDSNN_ROUND_NEAREST, 0, &code);
    tdsnn_code_make(ctx, 7.0, 7, 1.25, TDSNN_ROUND_NEAREST, 0, &other);
    for (int i = 0; i < 2; i++) {
        float slope = i == 0 ? 1.0f : 0.3f;
        builder *b = build(ctx, 15);
        int y = add_pair(b, &code, &code, slope);
        td_lowering lowering = expect_graph(b, y, "a signed code");
        const td_node *node = &lowering.graph->nodes[2];
        ok(HAS_OPS(lowering.graph, TD_OP_CONV, TD_OP_CODE) && node->negative == slope &&
               td_code_equal(node->code, &code) && strcmp(node->name, "pair") == 0 &&
               is_fate(&lowering, "neg", TD_FATE_FOLDED, -1, "part of the signed code 'pair'"),
           "is one CODE of slope %g", (double)slope);
        td_lowering_destroy(&lowering);
    }
    builder *b = build(ctx, 15);
    int y = add_pair(b, &code, &other, 1.0f);
    expect_refused(b, y, "pair", "'plus' and 'minus' have different codes");

    b = build(ctx, 15);
    y = add_pair(b, &code, &code, -0.5f);
    expect_refused(b, y, "pair", "is not one positive constant");

    b = build(ctx, 15); /* a second reader of one side: what it reads would be missing */
    y = add_pair(b, &code, &code, 1.0f);
    y = add_node(b, "Add", "add", y, b->nodes[1].outputs[0]);
    td_lowering lowering = expect_graph(b, y, "a pair of which one side has another reader");
    int codes = 0;
    for (int i = 0; i < lowering.graph->node_count; i++) {
        const td_node *node = &lowering.graph->nodes[i];
        codes += node->op == TD_OP_CODE && node->negative == 0.0f;
    }
    ok(codes == 2, "is the difference of two codes");
    td_lowering_destroy(&lowering);
}

/* ---- The network as a whole. */

static void test_refusals_go_on(void) {
    builder *b = build(ctx, 13);
    int x = add_input(b, "x", INTS(-1, 2, 6, 5));
    int y = add_node(b, "Foo", "foo", x);
    y = add_node(b, "Relu", "relu", y);
    y = add_node(b, "Bar", "bar", y);
    b->nodes[2].domain = "com.example";
    add_output(b, y);
    td_lowering lowering;
    ok(td_lower(ctx, &b->source, &lowering) == TDSNN_OK && lowering.graph == NULL,
       "unknown operators are no error");
    ok(strstr(lowering.fates[0].reason, "the operator Foo is not supported") != NULL &&
           strstr(lowering.fates[2].reason, "the operator com.example.Bar is not") != NULL &&
           lowering.fates[2].kind == TD_FATE_REFUSED,
       "each is named, behind another as well");
    ok(strcmp(lowering.fates[1].reason, "waits for 'foo', which is refused") == 0,
       "a node between them waits");
    td_error_clear(ctx);
    ok(td_lowering_check(ctx, &lowering, "a.onnx") == TDSNN_ERR_UNSUPPORTED &&
           strstr(tdsnn_last_error(ctx), "a.onnx: node 'foo' (Foo): the operator Foo") != NULL,
       "the check names the first");
    td_lowering_destroy(&lowering);
    build_end(b);

    b = build(ctx, 22);
    y = add_conv(b);
    expect_refused(b, y, "conv", "Conv of opset 22 is not supported");
}

static void test_network(void) {
    builder *b = build(ctx, 13);
    int x = add_input(b, "a", INTS(-1, 4));
    add_input(b, "b", INTS(-1, 4));
    add_output(b, add_node(b, "Relu", "relu", x));
    expect_error(b, TDSNN_ERR_UNSUPPORTED, "2 inputs, 'a', 'b'");

    b = build(ctx, 13);
    x = add_input(b, "a", INTS(-1, 4));
    int y = add_node(b, "Relu", "relu", x);
    add_output(b, y);
    add_output(b, x);
    expect_error(b, TDSNN_ERR_UNSUPPORTED, "2 outputs, 'relu:0', 'a'");

    static const struct {
        int64_t dims[5];
        size_t rank;
        const char *text;
    } shapes[] = {
        {{2, 1, 28, 28}, 4, "fixed batch of 2"},     {{-1, 1, -1, 28}, 4, "symbolic ('N')"},
        {{-1}, 1, "[N, C, L] and [N, F]"},           {{-1, 3, 8, 8, 8}, 5, "another rank"},
        {{-1, 1 << 15, 1 << 15, 1}, 4, "more than"},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        b = build(ctx, 13);
        x = add_input(b, "x", shapes[i].dims, shapes[i].rank);
        add_output(b, add_node(b, "Relu", "relu", x));
        expect_error(b, TDSNN_ERR_UNSUPPORTED, shapes[i].text);
    }
    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 0));
    add_output(b, add_node(b, "Relu", "relu", x));
    expect_error(b, TDSNN_ERR_INPUT, "dimension 1 of input 'x' is 0");

    b = build(ctx, 13);
    add_input(b, "x", INTS(-1, 4));
    add_output(b, add_node(b, "Identity", "id", add_random(b, "c", INTS(4))));
    expect_error(b, TDSNN_ERR_UNSUPPORTED, "the output 'id:0' is a constant");

    b = build(ctx, 13);
    x = add_input(b, "x", INTS(-1, 4));
    add_output(b, add_node(b, "Identity", "id", x));
    expect_error(b, TDSNN_ERR_UNSUPPORTED, "the output 'id:0' is the input");

    b = build(ctx, 13);
    b->source.metadata = (td_metadata[]){{"k", "v"}, {"l", "w"}};
    b->source.metadata_count = 2;
    int z = add_conv(b);
    b->nodes[0].name = "x"; /* as the input */
    y = add_batch_norm(b, add_node(b, "Relu", "bn.scale", z), 3);
    td_lowering lowering = expect_graph(b, y, "names that meet");
    ok(strcmp(lowering.graph->nodes[0].name, "x-2") == 0 &&
           strcmp(lowering.graph->nodes[1].name, "x") == 0 &&
           strcmp(lowering.graph->nodes[3].name, "bn.scale-2") == 0 &&
           strcmp(lowering.graph->input_name, "x") == 0,
       "are made unique, those of the file staying");
    ok(lowering.graph->metadata_count == 2 &&
           strcmp(td_graph_metadata(lowering.graph, "l"), "w") == 0,
       "metadata comes along");
    td_lowering_destroy(&lowering);
}

static void test_every_row(void) {
    size_t count;
    const td_operator *table = td_operators(&count);
    for (size_t i = 0; i < count; i++) {
        ok(i < MAX_ROWS && row_seen[i], "%s of opset %d to %d was lowered here", table[i].name,
           table[i].first_opset, table[i].last_opset);
    }
}

int main(void) {
    ctx = tdsnn_context_create();
    test_conv();
    test_conv_refused();
    test_extreme_window();
    test_auto_pad();
    test_inner();
    test_inner_refused();
    test_affine();
    test_by_value();
    test_affine_refused();
    test_batch_norm();
    test_maxpool();
    test_clip();
    test_leaky();
    test_prelu();
    test_signs();
    test_difference();
    test_average_pool();
    test_reduce_mean();
    test_joins();
    test_slices();
    test_layout();
    test_layout_refused();
    test_channels_last();
    test_shapes();
    test_views();
    test_lines();
    test_float_constants();
    test_made_constants();
    test_ends();
    test_rows();
    test_chosen_channels();
    test_reasons();
    test_positions_in_a_line();
    test_columns();
    test_shuffle();
    test_pad();
    test_pad_last();
    test_constants();
    test_softmax();
    test_sigmoid();
    test_unflatten();
    test_code();
    test_pairs();
    test_refusals_go_on();
    test_network();
    test_every_row();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
