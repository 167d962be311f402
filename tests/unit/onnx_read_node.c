/* Nodes: operator, domain, values and every kind of attribute. */
#include "onnx_maker.h"

#define TYPE(name) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##name

/* Node "r" with one attribute of each kind; `typed` is false for the files of IR 1. */
static maker *with_attributes(tdsnn_context *ctx, bool typed) {
    static float floats[] = {0.5f, -2.0f};
    static int64_t ints[] = {3, -4, INT64_MIN};
    maker *m = maker_small(ctx);
    Onnx__NodeProto *node = m->nodes[0];
    Onnx__AttributeProto *a = maker_attribute(m, node, "int", TYPE(INT));
    a->has_i = 1;
    a->i = -7;
    a = maker_attribute(m, node, "float", TYPE(FLOAT));
    a->has_f = 1;
    a->f = 0.25f;
    a = maker_attribute(m, node, "string", TYPE(STRING));
    a->has_s = 1;
    a->s.data = (uint8_t *)"SAME_UPPER";
    a->s.len = 10;
    a = maker_attribute(m, node, "tensor", TYPE(TENSOR));
    a->t = maker_tensor(m, "", 7, (int64_t[]){3}, 1);
    a->t->int64_data = ints;
    a->t->n_int64_data = 3;
    a = maker_attribute(m, node, "ints", TYPE(INTS));
    a->ints = ints;
    a->n_ints = 3;
    a = maker_attribute(m, node, "floats", TYPE(FLOATS));
    a->floats = floats;
    a->n_floats = 2;
    for (size_t i = 0; i < node->n_attribute; i++) {
        node->attribute[i]->has_type = typed;
    }
    return m;
}

static void test_attributes(tdsnn_context *ctx, bool typed) {
    const char *what = typed ? "typed attributes" : "attributes without types";
    td_source *source = maker_read(with_attributes(ctx, typed), what);
    if (source == NULL) {
        return;
    }
    const td_source_node *n = &source->nodes[0];
    const td_attribute *a = td_source_attribute(n, "int");
    ok(a != NULL && a->type == TD_ATTRIBUTE_INT && a->i == -7, "%s: an integer", what);
    a = td_source_attribute(n, "float");
    ok(a != NULL && a->type == TD_ATTRIBUTE_FLOAT && a->f == 0.25f, "%s: a float", what);
    a = td_source_attribute(n, "string");
    ok(a != NULL && a->type == TD_ATTRIBUTE_STRING && strcmp(a->s, "SAME_UPPER") == 0,
       "%s: a string", what);
    a = td_source_attribute(n, "tensor");
    ok(a != NULL && a->type == TD_ATTRIBUTE_TENSOR && a->tensor->type == TD_TYPE_INT &&
           a->tensor->count == 3 && a->tensor->ints[2] == INT64_MIN,
       "%s: a tensor", what);
    a = td_source_attribute(n, "ints");
    ok(a != NULL && a->type == TD_ATTRIBUTE_INTS && a->count == 3 && a->ints[1] == -4,
       "%s: integers", what);
    a = td_source_attribute(n, "floats");
    ok(a != NULL && a->type == TD_ATTRIBUTE_FLOATS && a->count == 2 && a->floats[1] == -2.0f,
       "%s: floats", what);
    ok(td_source_attribute(n, "absent") == NULL, "%s: one that is not there", what);
    td_source_destroy(source);
}

static void test_other(tdsnn_context *ctx) {
    maker *m = maker_small(ctx);
    Onnx__GraphProto inner = ONNX__GRAPH_PROTO__INIT;
    maker_attribute(m, m->nodes[0], "then_branch", TYPE(GRAPH))->g = &inner;
    Onnx__AttributeProto *a = maker_attribute(m, m->nodes[0], "leak", TYPE(FLOAT));
    a->ref_attr_name = (char *)"outer";
    maker_attribute(m, m->nodes[0], "absent", TYPE(INT));
    maker_attribute(m, m->nodes[0], "empty", TYPE(INTS));
    td_source *source = maker_read(m, "a graph, a reference, values left out");
    const td_source_node *n = &source->nodes[0];
    ok(td_source_attribute(n, "then_branch")->type == TD_ATTRIBUTE_OTHER,
       "a graph is present only");
    ok(td_source_attribute(n, "leak")->type == TD_ATTRIBUTE_OTHER, "so is a reference");
    ok(td_source_attribute(n, "absent")->i == 0, "a number left out is 0, as protobuf has it");
    ok(td_source_attribute(n, "empty")->type == TD_ATTRIBUTE_INTS &&
           td_source_attribute(n, "empty")->count == 0,
       "an empty list");
    td_source_destroy(source);
}

static void test_names(tdsnn_context *ctx) {
    maker *m = maker_begin(ctx, 13);
    maker_input(m, "x");
    maker_node(m, "Relu", "Relu_1", "x", NULL, "a");
    maker_node(m, "Relu", "", "a", NULL, "b");
    maker_node(m, "Clip", "same", "b", "", "c")->domain = (char *)"ai.onnx";
    maker_node(m, "Relu", "same", "c", NULL, "y")->domain = (char *)"com.example";
    maker_output(m, "y");
    td_source *source = maker_read(m, "names of nodes");
    ok(strcmp(source->nodes[0].name, "Relu_1") == 0 &&
           strcmp(source->nodes[1].name, "Relu_1_2") == 0 &&
           strcmp(source->nodes[2].name, "same") == 0 &&
           strcmp(source->nodes[3].name, "same_2") == 0,
       "a node without a name gets operator and number; names are unique");
    ok(strcmp(source->nodes[2].domain, "") == 0 &&
           strcmp(source->nodes[3].domain, "com.example") == 0,
       "ai.onnx is ONNX's own domain; others stay");
    ok(source->nodes[2].input_count == 2 && source->nodes[2].inputs[1] == -1,
       "an input left out is -1");
    td_source_destroy(source);
}

static void test_refused(tdsnn_context *ctx) {
    maker *m = maker_small(ctx);
    m->nodes[0]->op_type = NULL;
    maker_refused(m, TDSNN_ERR_INPUT, "node 0, 'r' (): has no operator", "no operator");
    m = maker_small(ctx);
    maker_attribute(m, m->nodes[0], "alpha", TYPE(INT));
    maker_attribute(m, m->nodes[0], "alpha", TYPE(INT));
    maker_refused(m, TDSNN_ERR_INPUT, "attribute 'alpha' stands there twice", "an attribute twice");
    m = maker_small(ctx);
    maker_attribute(m, m->nodes[0], "", TYPE(INT));
    maker_refused(m, TDSNN_ERR_INPUT, "has no name", "an attribute without a name");
    m = maker_small(ctx);
    Onnx__AttributeProto *a = maker_attribute(m, m->nodes[0], "mode", TYPE(STRING));
    a->has_s = 1;
    a->s.data = (uint8_t *)"a\0b";
    a->s.len = 3;
    maker_refused(m, TDSNN_ERR_INPUT,
                  "node 0, 'r' (Relu): attribute 'mode': a name or string holds",
                  "a string with a zero byte");
    m = maker_small(ctx);
    maker_attribute(m, m->nodes[0], "value", TYPE(TENSOR));
    maker_refused(m, TDSNN_ERR_INPUT, "attribute 'value': is a tensor without contents",
                  "a tensor that is not there");
    m = maker_small(ctx);
    a = maker_attribute(m, m->nodes[0], "value", TYPE(TENSOR));
    a->t = maker_tensor(m, "", 1, (int64_t[]){2}, 1);
    maker_refused(m, TDSNN_ERR_INPUT, "attribute 'value': its dimensions ask for 2 entries",
                  "a tensor that contradicts itself");
    m = maker_small(ctx);
    m->nodes[0]->name = (char *)"\x1b[2J";
    maker_refused(m, TDSNN_ERR_INPUT, "control character", "a name that clears the screen");
    m = maker_small(ctx);
    m->nodes[0]->attribute = td_arena_alloc(m->arena, 300, sizeof *m->nodes[0]->attribute);
    for (int i = 0; i < 300; i++) {
        maker_attribute(m, m->nodes[0], td_arena_printf(m->arena, "a%d", i), TYPE(INT));
    }
    maker_refused(m, TDSNN_ERR_INPUT, "more inputs, outputs or attributes", "300 attributes");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_attributes(ctx, true);
    test_attributes(ctx, false);
    test_other(ctx);
    test_names(ctx);
    test_refused(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
