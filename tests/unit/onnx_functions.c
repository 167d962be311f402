/* Functions of others: their nodes in place of the calls, and bounds on what a file can ask for. */
#include "graph/lower.h"
#include "onnx_maker.h"

#define DOMAIN "other"

/* A node of a function's body: as maker_node, but outside of the graph. */
static Onnx__NodeProto *body_node(maker *m, const char *op, const char *name, const char *first,
                                  const char *second, const char *output) {
    Onnx__NodeProto *node = maker_node(m, op, name, first, second, output);
    m->graph.n_node--;
    return node;
}

static Onnx__NodeProto *calling(Onnx__NodeProto *node) {
    node->domain = (char *)DOMAIN;
    return node;
}

/* A function of up to two inputs (NULL: none) and one output. */
static Onnx__FunctionProto *add_function(maker *m, const char *name, const char *first,
                                         const char *second, const char *output) {
    Onnx__FunctionProto *f =
        MAKER_NEW(m, &m->functions[m->model.n_functions++], Onnx__FunctionProto);
    onnx__function_proto__init(f);
    char **values = td_arena_alloc(m->arena, 3, sizeof *values);
    values[0] = (char *)first;
    values[1] = (char *)second;
    values[2] = (char *)output;
    f->name = (char *)name;
    f->domain = (char *)DOMAIN;
    f->input = values;
    f->n_input = (first != NULL) + (second != NULL);
    f->output = values + 2;
    f->n_output = 1;
    f->node = td_arena_alloc(m->arena, MAKER_ITEMS, sizeof *f->node);
    return f;
}

static Onnx__NodeProto *add_to(Onnx__FunctionProto *f, Onnx__NodeProto *node) {
    return f->node[f->n_node++] = node;
}

static Onnx__AttributeProto *set_slope(maker *m, Onnx__NodeProto *node, float slope) {
    Onnx__AttributeProto *a =
        maker_attribute(m, node, "slope", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    a->has_f = 1;
    a->f = slope;
    return a;
}

/* attribute_proto, field 11, which the schema of older ONNX releases does not have. */
static void add_default(maker *m, Onnx__FunctionProto *f, const Onnx__AttributeProto *a) {
    ProtobufCMessageUnknownField *field = td_arena_alloc(m->arena, 1, sizeof *field);
    size_t size = onnx__attribute_proto__get_packed_size(a); /* below 128: one byte says it */
    field->tag = 11;
    field->wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    field->len = size + 1;
    field->data = td_arena_alloc(m->arena, size + 1, 1);
    field->data[0] = (uint8_t)size;
    onnx__attribute_proto__pack(a, field->data + 1);
    f->base.unknown_fields = field;
    f->base.n_unknown_fields = 1;
}

/* x -> outer -> outer -> y with outer(a) = Relu(inner(a)), inner(a) = LeakyRelu(a), its slope
 * passed on; both have a value called "t", and so has the graph. */
static maker *make_nested(tdsnn_context *ctx, bool given, bool with_default) {
    maker *m = maker_begin(ctx, 16);
    maker_input(m, "x");
    Onnx__NodeProto *first = calling(maker_node(m, "outer", "f", "x", NULL, "t"));
    calling(maker_node(m, "outer", "g", "t", NULL, "y"));
    maker_output(m, "y");
    Onnx__FunctionProto *outer = add_function(m, "outer", "a", NULL, "b");
    Onnx__NodeProto *call = add_to(outer, calling(body_node(m, "inner", "call", "a", NULL, "t")));
    Onnx__AttributeProto *passed = set_slope(m, call, 0.0f);
    passed->has_f = 0;
    passed->ref_attr_name = (char *)"slope";
    add_to(outer, body_node(m, "Relu", "relu", "t", NULL, "b"));
    Onnx__FunctionProto *inner = add_function(m, "inner", "a", NULL, "t");
    Onnx__NodeProto *leaky = add_to(inner, body_node(m, "LeakyRelu", "leaky", "a", NULL, "t"));
    Onnx__AttributeProto *alpha =
        maker_attribute(m, leaky, "alpha", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    alpha->ref_attr_name = (char *)"slope";
    if (given) {
        set_slope(m, first, 0.25f);
    }
    if (with_default) {
        Onnx__NodeProto *holder = body_node(m, "Relu", "", "a", NULL, "b");
        add_default(m, inner, set_slope(m, holder, 0.75f));
    }
    return m;
}

static void test_nested(tdsnn_context *ctx) {
    for (int i = 0; i < 4; i++) {
        bool given = i & 1, with_default = i & 2;
        td_source *s = maker_read(make_nested(ctx, given, with_default), "functions of functions");
        if (s == NULL) {
            continue;
        }
        const td_source_node *n = s->nodes;
        ok(s->node_count == 4 && strcmp(n[0].op, "LeakyRelu") == 0 &&
               strcmp(n[1].op, "Relu") == 0 && strcmp(n[2].op, "LeakyRelu") == 0 &&
               strcmp(n[3].op, "Relu") == 0,
           "four nodes stand in place of two calls");
        ok(strcmp(n[0].name, "f/call/leaky") == 0 && strcmp(n[3].name, "g/relu") == 0,
           "called '%s', '%s'", n[0].name, n[3].name);
        ok(n[0].inputs[0] == s->inputs[0] && n[3].outputs[0] == s->outputs[0] &&
               n[1].inputs[0] == n[0].outputs[0] && n[2].inputs[0] == n[1].outputs[0] &&
               n[3].inputs[0] == n[2].outputs[0],
           "one behind the other, whatever their values are called");
        const td_attribute *a = td_source_attribute(&n[0], "alpha"),
                           *b = td_source_attribute(&n[2], "alpha");
        ok(given          ? a != NULL && a->type == TD_ATTRIBUTE_FLOAT && a->f == 0.25f
           : with_default ? a != NULL && a->f == 0.75f
                          : a == NULL,
           "the slope is the call's, else the default, else left out");
        ok(with_default ? b != NULL && b->f == 0.75f : b == NULL, "call by call");
        td_source_destroy(s);
    }
}

/* An output that is an input; an input and an output left out. */
static void test_copies(tdsnn_context *ctx) {
    maker *m = maker_begin(ctx, 13);
    maker_input(m, "x");
    calling(maker_node(m, "same", "call", "x", NULL, "y"));
    maker_output(m, "y");
    add_function(m, "same", "a", "b", "a");
    td_source *s = maker_read(m, "a function that gives its input");
    ok(s != NULL && s->node_count == 1 && strcmp(s->nodes[0].op, "Identity") == 0 &&
           s->nodes[0].inputs[0] == s->inputs[0] && s->nodes[0].outputs[0] == s->outputs[0],
       "is an Identity");
    td_source_destroy(s);

    m = maker_begin(ctx, 13);
    maker_input(m, "x");
    calling(maker_node(m, "clip", "call", "x", NULL, "y"));
    maker_output(m, "y");
    Onnx__FunctionProto *f = add_function(m, "clip", "a", "low", "b");
    add_to(f, body_node(m, "Clip", "clip", "a", "low", "b"));
    s = maker_read(m, "a call that leaves an input out");
    ok(s != NULL && s->nodes[0].input_count == 2 && s->nodes[0].inputs[1] == -1,
       "leaves it out inside");
    td_source_destroy(s);
}

/* A function may be of another opset than the model. */
static void test_opset(tdsnn_context *ctx) {
    maker *m = maker_begin(ctx, 13);
    maker_input(m, "x");
    calling(maker_node(m, "clip", "call", "x", NULL, "y"));
    maker_output(m, "y");
    Onnx__FunctionProto *f = add_function(m, "clip", "a", NULL, "b");
    Onnx__NodeProto *clip = add_to(f, body_node(m, "Clip", "clip", "a", NULL, "b"));
    Onnx__AttributeProto *max =
        maker_attribute(m, clip, "max", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    max->has_f = 1;
    max->f = 6.0f;
    Onnx__AttributeProto *min =
        maker_attribute(m, clip, "min", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    min->has_f = 1;
    maker_opset(m, "", 10);
    f->opset_import = &m->opsets[--m->model.n_opset_import];
    f->n_opset_import = 1;
    td_source *s = maker_read(m, "a function of opset 10 in a model of 13");
    td_lowering lowering = {0};
    ok(s != NULL && td_lower(ctx, s, &lowering) == TDSNN_OK && lowering.graph != NULL &&
           lowering.graph->nodes[1].op == TD_OP_CLIP && lowering.graph->nodes[1].high == 6.0f,
       "has the Clip of opset 10");
    td_lowering_destroy(&lowering);
    td_source_destroy(s);
}

/* f0 calls f1 `calls` times, f1 calls f2, ... */
static maker *make_chain(tdsnn_context *ctx, int length, int calls) {
    maker *m = maker_begin(ctx, 13);
    maker_input(m, "x");
    calling(maker_node(m, "f0", "call", "x", NULL, "y"));
    maker_output(m, "y");
    for (int i = 0; i < length; i++) {
        Onnx__FunctionProto *f =
            add_function(m, td_arena_printf(m->arena, "f%d", i), "a", NULL, "b");
        const char *next = td_arena_printf(m->arena, "f%d", i + 1);
        for (int j = 0; j < calls; j++) {
            Onnx__NodeProto *node = body_node(m, i + 1 == length ? "Relu" : next, "n",
                                              j == 0 ? "a" : "t", NULL, j + 1 == calls ? "b" : "t");
            add_to(f, i + 1 == length ? node : calling(node));
        }
    }
    return m;
}

static void test_bounds(tdsnn_context *ctx) {
    td_source *s = maker_read(make_chain(ctx, 60, 1), "60 functions deep");
    ok(s != NULL && s->node_count == 1, "comes to one node");
    td_source_destroy(s);
    maker_refused(make_chain(ctx, 70, 1), TDSNN_ERR_UNSUPPORTED, "64 deep", "70 functions deep");
    maker *m = make_chain(ctx, 40, 1);
    Onnx__FunctionProto *last = m->functions[39];
    last->node[0]->domain = (char *)DOMAIN;
    last->node[0]->op_type = (char *)"f0";
    maker_refused(m, TDSNN_ERR_INPUT, "calls itself", "a circle of 40 functions");
    maker_refused(make_chain(ctx, 40, 2), TDSNN_ERR_UNSUPPORTED, "262144 nodes and values",
                  "2^40 calls");
    m = make_chain(ctx, 1, 1);
    m->functions[0]->node[0]->op_type = (char *)"f0";
    calling(m->functions[0]->node[0]);
    maker_refused(m, TDSNN_ERR_INPUT, "'f0': the function calls itself", "a function of itself");
}

static void test_refused(tdsnn_context *ctx) {
    maker *m = make_chain(ctx, 1, 1);
    m->nodes[0]->input[1] = (char *)"x";
    m->nodes[0]->n_input = 2;
    maker_refused(m, TDSNN_ERR_INPUT, "called with 2 inputs and 1 outputs, and the function has 1",
                  "too many inputs");
    m = make_chain(ctx, 1, 1);
    add_function(m, "f0", "a", NULL, "b");
    maker_refused(m, TDSNN_ERR_INPUT, "defines the function other.f0 twice", "two of one name");
    m = make_chain(ctx, 1, 1);
    add_to(m->functions[0], body_node(m, "Relu", "r", "b", NULL, "a"));
    maker_refused(m, TDSNN_ERR_INPUT, "node 'r' gives its input 'a'", "an input given inside");
    m = make_chain(ctx, 1, 1);
    m->functions[0]->node[0]->input[0] = (char *)"nowhere";
    maker_refused(m, TDSNN_ERR_INPUT, "reads 'call/nowhere', which nothing gives",
                  "a value that nothing gives");
    m = make_chain(ctx, 1, 1);
    m->functions[0]->node[0]->output[0] = (char *)"other";
    maker_refused(m, TDSNN_ERR_INPUT, "nothing gives the output 'y'",
                  "an output that nothing gives");

    m = make_chain(ctx, 1, 1);
    m->nodes[0]->op_type = (char *)"missing";
    td_source *s = maker_read(m, "a call of a function that is not there");
    td_lowering lowering = {0};
    ok(td_lower(ctx, s, &lowering) == TDSNN_OK &&
           td_lowering_check(ctx, &lowering, "test.onnx") == TDSNN_ERR_UNSUPPORTED &&
           strstr(tdsnn_last_error(ctx), "other.missing is not supported") != NULL,
       "is refused by name");
    td_error_clear(ctx);
    td_lowering_destroy(&lowering);
    td_source_destroy(s);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_nested(ctx);
    test_copies(ctx);
    test_opset(ctx);
    test_bounds(ctx);
    test_refused(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
