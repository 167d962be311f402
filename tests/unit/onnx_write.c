/* The written file, read by protobuf-c and by our reader: all that SPEC 4 asks for, the same bytes
 * each time, whole or not at all. */
#include <math.h>

#include "base/file.h"
#include "graph/graph.h"
#include "onnx_maker.h"
#include "scratch.h"

static float *floats(td_graph *graph, size_t count, float first) {
    float *values = td_arena_alloc(graph->arena, count, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        values[i] = first + (float)i;
    }
    return values;
}

static tdsnn_code *code(tdsnn_context *ctx, td_graph *graph, tdsnn_rounding rounding, int steps) {
    tdsnn_code *made = td_arena_alloc(graph->arena, 1, sizeof *made);
    tdsnn_code_make(ctx, steps * 2.0, steps, 0.7, rounding, rounding == TDSNN_ROUND_CEIL, made);
    return made;
}

/* Every operator, names that collide, an input symbol. */
static td_graph *every_operator(tdsnn_context *ctx) {
    td_graph *g = td_graph_create(ctx);
    td_shape image = {4, 6, 5, false}, small = {4, 3, 4, false}, flat = {48, 1, 1, true};
    td_window w = {{3, 2, 1, 1, 0}, {2, 1, 1, 0, 0}}, pool = {{2, 1, 1, 0, 1}, {2, 1, 2, 1, 1}};
    tdsnn_code *table = code(ctx, g, TDSNN_ROUND_NEAREST, 7);
    table->rounding = TDSNN_ROUND_TABLE;
    td_node nodes[] = {
        {.op = TD_OP_INPUT, .name = "x", .shape = image},
        {.op = TD_OP_CODE,
         .name = "code",
         .shape = image,
         .code = code(ctx, g, TDSNN_ROUND_CEIL, 255)},
        {.op = TD_OP_SUB, .name = "sub", .shape = image, .operand = floats(g, 4, 0.5f)},
        {.op = TD_OP_DIV, .name = "div", .shape = image, .operand = floats(g, 4, 1.5f)},
        {.op = TD_OP_MUL, .name = "mul", .shape = image, .operand = floats(g, 4, 2.5f)},
        {.op = TD_OP_SHIFT, .name = "shift", .shape = image, .operand = floats(g, 4, 3.5f)},
        {.op = TD_OP_CONV,
         .name = "conv",
         .shape = small,
         .window = w,
         .groups = 2,
         .weights = floats(g, 4 * 2 * 6, -3.0f),
         .bias = floats(g, 4, 0.25f)},
        {.op = TD_OP_RELU, .name = "y", .shape = small},
        {.op = TD_OP_ADD, .name = "conv.bias", .shape = small},
        {.op = TD_OP_ADD, .name = "sum", .shape = small},
        {.op = TD_OP_MAXPOOL, .name = "pool", .shape = {4, 3, 4, false}, .window = pool},
        {.op = TD_OP_FLATTEN, .name = "flat", .shape = flat},
        {.op = TD_OP_MUL, .name = "flat mul", .shape = flat, .operand = floats(g, 48, 1.0f)},
        {.op = TD_OP_CODE, .name = "table", .shape = flat, .code = table},
        {.op = TD_OP_INNER,
         .name = "inner",
         .shape = {3, 1, 1, true},
         .weights = floats(g, 48 * 3, -9.0f),
         .bias = floats(g, 3, 0.125f)},
        {.op = TD_OP_LOGSOFTMAX, .name = "log", .shape = {3, 1, 1, true}},
    };
    g->input_name = "x";
    g->output_name = "y";
    g->batch_symbol = "batch";
    for (int i = 0; i < (int)(sizeof nodes / sizeof *nodes); i++) {
        int inputs[3] = {i - 1, 6, 7};
        nodes[i].inputs = inputs;
        nodes[i].input_count = i == 0 ? 0 : i == 8 ? 2 : i == 9 ? 3 : 1;
        td_graph_append(ctx, g, &nodes[i]);
    }
    td_graph_set_metadata(ctx, g, "tdsnn.layout", "nchw");
    td_graph_set_metadata(ctx, g, "note", "two\nlines");
    return g;
}

static const Onnx__NodeProto *find_node(const Onnx__ModelProto *m, const char *name) {
    for (size_t i = 0; i < m->graph->n_node; i++) {
        if (strcmp(m->graph->node[i]->name, name) == 0) {
            return m->graph->node[i];
        }
    }
    return NULL;
}

static const Onnx__TensorProto *find_constant(const Onnx__ModelProto *m, const char *name) {
    for (size_t i = 0; i < m->graph->n_initializer; i++) {
        if (strcmp(m->graph->initializer[i]->name, name) == 0) {
            return m->graph->initializer[i];
        }
    }
    return NULL;
}

static const Onnx__AttributeProto *find_attribute(const Onnx__NodeProto *n, const char *name) {
    for (size_t i = 0; i < n->n_attribute; i++) {
        if (strcmp(n->attribute[i]->name, name) == 0) {
            return n->attribute[i];
        }
    }
    return NULL;
}

static bool has_ints(const Onnx__NodeProto *n, const char *name, const int64_t *values,
                     size_t count) {
    const Onnx__AttributeProto *a = find_attribute(n, name);
    return a != NULL && a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS &&
           a->n_ints == count && memcmp(a->ints, values, count * sizeof *values) == 0;
}

static bool has_int(const Onnx__NodeProto *n, const char *name, int64_t value) {
    const Onnx__AttributeProto *a = find_attribute(n, name);
    return a != NULL && a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT && a->has_i &&
           a->i == value;
}

#define HAS_INTS(node, name, ...)                                                                  \
    has_ints(node, name, (int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / 8)

/* The constant that is a node's input `at`, with those dimensions. */
static bool has_constant(const Onnx__ModelProto *m, const Onnx__NodeProto *n, size_t at,
                         const float *values, const int64_t *dims, size_t rank) {
    const Onnx__TensorProto *t = at < n->n_input ? find_constant(m, n->input[at]) : NULL;
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        count *= (size_t)dims[i];
    }
    return t != NULL && t->data_type == 1 && t->n_dims == rank &&
           (rank == 0 || memcmp(t->dims, dims, rank * sizeof *dims) == 0) &&
           t->n_float_data == count && memcmp(t->float_data, values, count * sizeof *values) == 0;
}

#define HAS_CONSTANT(model, node, at, values, ...)                                                 \
    has_constant(model, node, at, values, (int64_t[]){__VA_ARGS__},                                \
                 sizeof((int64_t[]){__VA_ARGS__}) / 8)

static void test_frame(const Onnx__ModelProto *m) {
    ok(m->ir_version == 8 && strcmp(m->producer_name, "tdsnn") == 0 &&
           strcmp(m->producer_version, TDSNN_VERSION) == 0,
       "IR 8, producer and its version");
    ok(m->n_opset_import == 2 && strcmp(m->opset_import[0]->domain, "") == 0 &&
           m->opset_import[0]->version == 15 &&
           strcmp(m->opset_import[1]->domain, "org.tdsnn") == 0 && m->opset_import[1]->version == 1,
       "opset 15, org.tdsnn 1");
    ok(m->n_functions == 1 && strcmp(m->functions[0]->name, "TemporalCode") == 0 &&
           strcmp(m->functions[0]->domain, "org.tdsnn") == 0 && m->functions[0]->n_attribute == 5,
       "the function, once, with its five attributes");
    ok(m->n_metadata_props == 2 && strcmp(m->metadata_props[1]->key, "note") == 0 &&
           strcmp(m->metadata_props[1]->value, "two\nlines") == 0,
       "metadata");
    ok(m->graph->n_input == 1 && m->graph->n_output == 1 &&
           strcmp(m->graph->input[0]->name, "x") == 0 &&
           strcmp(m->graph->output[0]->name, "y") == 0,
       "input and output keep their names");
    const Onnx__TensorShapeProto *in = m->graph->input[0]->type->tensor_type->shape;
    const Onnx__TensorShapeProto *out = m->graph->output[0]->type->tensor_type->shape;
    ok(in->n_dim == 4 && strcmp(in->dim[0]->dim_param, "batch") == 0 &&
           in->dim[1]->dim_value == 4 && in->dim[2]->dim_value == 6 && in->dim[3]->dim_value == 5,
       "the input is batch x 4 x 6 x 5");
    ok(out->n_dim == 2 && strcmp(out->dim[0]->dim_param, "batch") == 0 &&
           out->dim[1]->dim_value == 3,
       "the output is batch x 3");
}

static void test_operators(const Onnx__ModelProto *m, const td_graph *g) {
    const Onnx__NodeProto *n = find_node(m, "conv");
    ok(strcmp(n->op_type, "Conv") == 0 && HAS_INTS(n, "kernel_shape", 3, 2) &&
           HAS_INTS(n, "strides", 2, 1) && HAS_INTS(n, "dilations", 1, 1) &&
           HAS_INTS(n, "pads", 1, 0, 0, 0) && has_int(n, "group", 2) &&
           HAS_CONSTANT(m, n, 1, g->nodes[6].weights, 4, 2, 3, 2) &&
           HAS_CONSTANT(m, n, 2, g->nodes[6].bias, 4),
       "Conv: window, groups, weights, bias");
    n = find_node(m, "pool");
    ok(strcmp(n->op_type, "MaxPool") == 0 && HAS_INTS(n, "kernel_shape", 2, 2) &&
           HAS_INTS(n, "strides", 1, 1) && HAS_INTS(n, "dilations", 1, 2) &&
           HAS_INTS(n, "pads", 0, 1, 1, 1) && n->n_input == 1,
       "MaxPool: window");
    n = find_node(m, "inner");
    ok(strcmp(n->op_type, "Gemm") == 0 && has_int(n, "transB", 1) &&
           HAS_CONSTANT(m, n, 1, g->nodes[14].weights, 3, 48) &&
           HAS_CONSTANT(m, n, 2, g->nodes[14].bias, 3),
       "Gemm: transposed weights, bias");
    static const char *const names[] = {"sub", "div", "mul", "shift"};
    static const char *const ops[] = {"Sub", "Div", "Mul", "Add"};
    for (int i = 0; i < 4; i++) {
        n = find_node(m, names[i]);
        ok(strcmp(n->op_type, ops[i]) == 0 &&
               HAS_CONSTANT(m, n, 1, g->nodes[2 + i].operand, 4, 1, 1),
           "%s: a constant a channel", ops[i]);
    }
    ok(HAS_CONSTANT(m, find_node(m, "flat mul"), 1, g->nodes[12].operand, 48),
       "Mul: flat, its constant too");
    n = find_node(m, "conv.bias");
    ok(strcmp(n->op_type, "Add") == 0 && n->n_input == 2, "Add of two values");
    n = find_node(m, "sum");
    ok(strcmp(n->op_type, "Sum") == 0 && n->n_input == 3, "Sum of three values");
    ok(strcmp(find_node(m, "y")->op_type, "Relu") == 0, "Relu");
    n = find_node(m, "flat");
    ok(strcmp(n->op_type, "Flatten") == 0 && has_int(n, "axis", 1), "Flatten");
    n = find_node(m, "log");
    ok(strcmp(n->op_type, "LogSoftmax") == 0 && has_int(n, "axis", 1), "LogSoftmax");
}

static void test_code(const Onnx__ModelProto *m, const td_graph *g, const char *name, int index,
                      const char *rounding) {
    const Onnx__NodeProto *n = find_node(m, name);
    const tdsnn_code *c = g->nodes[index].code;
    const Onnx__AttributeProto *leak = find_attribute(n, "leak"),
                               *scale = find_attribute(n, "scale");
    const Onnx__AttributeProto *r = find_attribute(n, "rounding");
    ok(strcmp(n->op_type, "TemporalCode") == 0 && strcmp(n->domain, "org.tdsnn") == 0 &&
           n->n_input == 3 && n->n_attribute == 5,
       "TemporalCode, rounding %s", rounding);
    ok(leak->has_f && leak->f == c->leak && scale->has_f && scale->f == c->scale &&
           has_int(n, "steps", c->steps) && has_int(n, "offset", c->offset) && r->has_s &&
           r->s.len == strlen(rounding) && memcmp(r->s.data, rounding, r->s.len) == 0,
       "all five attributes");
    ok(HAS_CONSTANT(m, n, 1, c->thresholds, 255) && HAS_CONSTANT(m, n, 2, c->values, 256),
       "both tables");
}

/* Every value is made once, and before it is read. */
static void test_values(const Onnx__ModelProto *m) {
    const char *made[200];
    int count = 0, twice = 0, unknown = 0;
    made[count++] = m->graph->input[0]->name;
    for (size_t i = 0; i < m->graph->n_initializer; i++) {
        made[count++] = m->graph->initializer[i]->name;
    }
    for (size_t i = 0; i < m->graph->n_node; i++) {
        const Onnx__NodeProto *n = m->graph->node[i];
        for (size_t k = 0; k < n->n_input; k++) {
            bool known = false;
            for (int v = 0; v < count; v++) {
                known = known || strcmp(made[v], n->input[k]) == 0;
            }
            unknown += !known;
        }
        made[count++] = n->output[0];
    }
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < i; k++) {
            twice += strcmp(made[i], made[k]) == 0;
        }
    }
    ok(twice == 0, "no value has another's name, though a node is called like the output");
    ok(unknown == 0, "every value is made before it is read");
}

/* Our reader gives back what was written. */
static void test_reread(tdsnn_context *ctx, const td_graph *g, const char *path) {
    td_source *s = NULL;
    ok(td_onnx_read(ctx, path, &s) == TDSNN_OK, "our reader takes it");
    int same = 0;
    for (int i = 0; i < s->node_count; i++) {
        same += strcmp(s->nodes[i].name, g->nodes[i + 1].name) == 0;
    }
    ok(s->node_count == g->node_count - 1 && same == s->node_count, "nodes by name and order");
    const td_source_node *n = &s->nodes[0];
    const td_tensor *thresholds = s->values[n->inputs[1]].constant;
    ok(thresholds != NULL && memcmp(thresholds->floats, g->nodes[1].code->thresholds, 1020) == 0 &&
           td_source_attribute(n, "leak")->f == g->nodes[1].code->leak,
       "a code's table and leak");
    ok(s->metadata_count == 2 && strcmp(s->metadata[1].value, "two\nlines") == 0, "metadata");
    td_source_destroy(s);
}

static size_t read_bytes(tdsnn_context *ctx, const char *path, unsigned char **bytes) {
    size_t size = 0;
    ok(td_file_read(ctx, path, 1 << 20, bytes, &size) == TDSNN_OK, "there is a file");
    return size;
}

static void test_files(tdsnn_context *ctx, const td_graph *g) {
    char path[128], other[128];
    unsigned char *bytes = NULL, *again = NULL;
    snprintf(path, sizeof path, "%s", scratch_path("a.onnx"));
    snprintf(other, sizeof other, "%s", scratch_path("b.onnx"));
    ok(td_onnx_write(ctx, g, path, false) == TDSNN_OK, "written");
    ok(td_onnx_write(ctx, g, other, false) == TDSNN_OK, "written again");
    size_t size = read_bytes(ctx, path, &bytes), size_again = read_bytes(ctx, other, &again);
    ok(size == size_again && memcmp(bytes, again, size) == 0, "the same %zu bytes", size);
    td_free(again);
    ok(td_onnx_write(ctx, g, path, false) == TDSNN_ERR_USAGE, "a file that exists is kept");
    td_error_clear(ctx);
    ok(td_onnx_write(ctx, g, path, true) == TDSNN_OK, "and replaced where that is asked for");
    ok(td_onnx_write(ctx, g, scratch_path("absent/a.onnx"), false) == TDSNN_ERR_RUNTIME,
       "a folder that is not there");
    td_error_clear(ctx);
    ok(scratch_count() == 2, "no temporary file is left");
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, size, bytes);
    ok(m != NULL, "protobuf-c reads it");
    test_frame(m);
    test_operators(m, g);
    test_code(m, g, "code", 1, "ceil");
    test_code(m, g, "table", 13, "table");
    test_values(m);
    onnx__model_proto__free_unpacked(m, NULL);
    td_free(bytes);
    test_reread(ctx, g, path);
}

/* x -> Relu, flat, a batch of 1: no function, and none is imported. */
static void test_plain(tdsnn_context *ctx) {
    td_graph *g = td_graph_create(ctx);
    td_shape flat = {7, 1, 1, true};
    td_graph_append(ctx, g, &(td_node){.op = TD_OP_INPUT, .name = "x", .shape = flat});
    td_graph_append(
        ctx, g,
        &(td_node){
            .op = TD_OP_RELU, .name = "r", .shape = flat, .inputs = (int[]){0}, .input_count = 1});
    g->input_name = "x";
    g->output_name = "out";
    const char *path = scratch_path("plain.onnx");
    unsigned char *bytes = NULL;
    ok(td_onnx_write(ctx, g, path, false) == TDSNN_OK, "a plain network");
    size_t size = read_bytes(ctx, path, &bytes);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, size, bytes);
    const Onnx__TensorShapeProto *in = m->graph->input[0]->type->tensor_type->shape;
    ok(m->n_functions == 0 && m->n_opset_import == 1, "has no function");
    ok(in->n_dim == 2 && in->dim[0]->dim_value == 1 && in->dim[1]->dim_value == 7,
       "its flat input is 1 x 7");
    onnx__model_proto__free_unpacked(m, NULL);
    td_free(bytes);
    td_graph_destroy(g);
}

/* Clip, LeakyRelu, signed codes, averages, joins and choices of channels. */
static td_graph *make_branches(tdsnn_context *ctx, const tdsnn_code *code) {
    static const float slope = 0.25f;
    td_graph *g = td_graph_create(ctx);
    td_shape map = {4, 6, 5, false}, half = {4, 3, 3, false}, all = {12, 3, 3, false};
    td_window window = {{2, 2, 1, 0, 0}, {2, 2, 1, 0, 1}};
    td_node nodes[] = {
        {.op = TD_OP_INPUT, .name = "x", .shape = map},
        {.op = TD_OP_CODE, .name = "pair", .shape = map, .code = code, .negative = 1.0f},
        {.op = TD_OP_CODE, .name = "leaky", .shape = map, .code = code, .negative = slope},
        {.op = TD_OP_CLIP, .name = "clip", .shape = map, .low = -1.0f, .high = 6.0f},
        {.op = TD_OP_LEAKY, .name = "slope", .shape = map, .negative = slope},
        {.op = TD_OP_AVGPOOL, .name = "avg", .shape = half, .window = window},
        {.op = TD_OP_AVGPOOL,
         .name = "all",
         .shape = half,
         .window = window,
         .count_padding = true},
        {.op = TD_OP_CONCAT, .name = "cat", .shape = all},
        {.op = TD_OP_SLICE, .name = "part", .shape = {5, 3, 3, false}, .first_channel = 3},
    };
    static const int inputs[][3] = {{0}, {0}, {1}, {2}, {3}, {4}, {4}, {5, 6, 5}, {7}};
    g->input_name = "x";
    g->output_name = "y";
    for (int i = 0; i < (int)(sizeof nodes / sizeof *nodes); i++) {
        nodes[i].inputs = (int[]){inputs[i][0], inputs[i][1], inputs[i][2]};
        nodes[i].input_count = i == 0 ? 0 : nodes[i].op == TD_OP_CONCAT ? 3 : 1;
        td_graph_append(ctx, g, &nodes[i]);
    }
    return g;
}

/* The node that gives input `at` of another. */
static const Onnx__NodeProto *giver(const Onnx__ModelProto *m, const Onnx__NodeProto *n,
                                    size_t at) {
    for (size_t i = 0; i < m->graph->n_node; i++) {
        if (strcmp(m->graph->node[i]->output[0], n->input[at]) == 0) {
            return m->graph->node[i];
        }
    }
    return NULL;
}

static bool is_call(const Onnx__ModelProto *m, const Onnx__NodeProto *n, const tdsnn_code *code) {
    return n != NULL && strcmp(n->op_type, "TemporalCode") == 0 &&
           strcmp(n->domain, "org.tdsnn") == 0 && n->n_attribute == 5 &&
           HAS_CONSTANT(m, n, 1, code->thresholds, 255) && HAS_CONSTANT(m, n, 2, code->values, 256);
}

static void test_pair(const Onnx__ModelProto *m, const char *name, const tdsnn_code *code,
                      const float *slope) {
    const Onnx__NodeProto *sub = find_node(m, name), *plus = giver(m, sub, 0);
    const Onnx__NodeProto *minus = giver(m, sub, 1);
    ok(strcmp(sub->op_type, "Sub") == 0 && is_call(m, plus, code), "%s is a Sub of a call", name);
    if (slope != NULL) {
        ok(strcmp(minus->op_type, "Mul") == 0 &&
               has_constant(m, minus, 1, slope, (int64_t[]){0}, 0),
           "and a Mul by the slope");
        minus = giver(m, minus, 0);
    }
    const Onnx__NodeProto *neg = giver(m, minus, 0);
    ok(is_call(m, minus, code) && strcmp(neg->op_type, "Neg") == 0 &&
           strcmp(neg->input[0], plus->input[0]) == 0 &&
           strcmp(plus->input[1], minus->input[1]) == 0,
       "and a call of the same tables on the negated value");
}

static bool has_integer(const Onnx__ModelProto *m, const Onnx__NodeProto *n, size_t at,
                        int64_t value) {
    const Onnx__TensorProto *t = find_constant(m, n->input[at]);
    return t != NULL && t->data_type == 7 && t->n_dims == 1 && t->dims[0] == 1 &&
           t->n_int64_data == 1 && t->int64_data[0] == value;
}

static void test_branches(tdsnn_context *ctx) {
    static const float ends[] = {-1.0f, 6.0f}, slope = 0.25f;
    tdsnn_code code;
    tdsnn_code_make(ctx, 7.0, 7, 1.5, TDSNN_ROUND_NEAREST, 0, &code);
    td_graph *g = make_branches(ctx, &code);
    const char *path = scratch_path("branches.onnx");
    unsigned char *bytes = NULL;
    g->nodes[5].window.x.dilation = 2;
    ok(td_onnx_write(ctx, g, path, false) == TDSNN_ERR_UNSUPPORTED &&
           strstr(tdsnn_last_error(ctx), "node 'avg' (AveragePool): dilations") != NULL,
       "an average with dilations is refused");
    g->nodes[5].window.x.dilation = 1;
    td_error_clear(ctx);
    ok(td_onnx_write(ctx, g, path, false) == TDSNN_OK, "branches are written");
    size_t size = read_bytes(ctx, path, &bytes);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, size, bytes);
    test_values(m);
    test_pair(m, "pair", &code, NULL);
    test_pair(m, "leaky", &code, &slope);
    const Onnx__NodeProto *n = find_node(m, "clip");
    ok(strcmp(n->op_type, "Clip") == 0 && has_constant(m, n, 1, &ends[0], (int64_t[]){0}, 0) &&
           has_constant(m, n, 2, &ends[1], (int64_t[]){0}, 0),
       "Clip: its ends");
    n = find_node(m, "slope");
    ok(strcmp(n->op_type, "LeakyRelu") == 0 && n->n_attribute == 1 && n->attribute[0]->f == slope,
       "LeakyRelu: its slope");
    n = find_node(m, "avg");
    ok(strcmp(n->op_type, "AveragePool") == 0 && HAS_INTS(n, "kernel_shape", 2, 2) &&
           HAS_INTS(n, "strides", 2, 2) && HAS_INTS(n, "pads", 0, 0, 0, 1) &&
           has_int(n, "count_include_pad", 0) && find_attribute(n, "dilations") == NULL &&
           has_int(find_node(m, "all"), "count_include_pad", 1),
       "AveragePool: window, and whether it counts padding");
    n = find_node(m, "cat");
    ok(strcmp(n->op_type, "Concat") == 0 && n->n_input == 3 && has_int(n, "axis", 1),
       "Concat of three");
    n = find_node(m, "part");
    ok(strcmp(n->op_type, "Slice") == 0 && n->n_input == 4 && has_integer(m, n, 1, 3) &&
           has_integer(m, n, 2, 8) && has_integer(m, n, 3, 1),
       "Slice: the channels 3 .. 7");
    onnx__model_proto__free_unpacked(m, NULL);
    td_free(bytes);
    td_graph_destroy(g);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    td_graph *g = every_operator(ctx);
    test_files(ctx, g);
    td_graph_destroy(g);
    test_plain(ctx);
    test_branches(ctx);
    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
