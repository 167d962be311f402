/* Graphs: who makes which value, what is declared, and contradictions. */
#include "onnx_maker.h"

static const td_source_value *value_of(const td_source *source, const char *name) {
    for (int i = 0; i < source->value_count; i++) {
        if (strcmp(source->values[i].name, name) == 0) {
            return &source->values[i];
        }
    }
    return NULL;
}

static const float two[] = {1, 2};

static void test_values(tdsnn_context *ctx) {
    maker *m = maker_small(ctx);
    maker_floats(m, "w", two, 2);
    m->nodes[0]->n_input = 2;
    m->nodes[0]->input[1] = (char *)"w";
    td_source *s = maker_read(m, "one node");
    const td_source_value *x = value_of(s, "x"), *y = value_of(s, "y"), *w = value_of(s, "w");
    ok(s->value_count == 3 && s->node_count == 1 && s->input_count == 1 && s->output_count == 1,
       "three values, one node, one input, one output");
    ok(&s->values[s->inputs[0]] == x && &s->values[s->outputs[0]] == y &&
           &s->values[s->nodes[0].inputs[0]] == x && &s->values[s->nodes[0].inputs[1]] == w &&
           &s->values[s->nodes[0].outputs[0]] == y,
       "their numbers");
    ok(x->constant == NULL && y->constant == NULL && w->constant != NULL &&
           w->constant->floats[1] == 2.0f,
       "only the initialiser is a constant");
    ok(x->rank == 4 && x->dims[0] == -1 && strcmp(x->symbols[0], "N") == 0 && x->dims[1] == 3 &&
           x->dims[3] == 8 && x->symbols[1] == NULL,
       "the input's shape, the batch by its symbol");
    ok(y->rank == 2 && y->dims[1] == 10 && w->rank == -1, "the output's; none for others");
    ok(strcmp(s->path, "test.onnx") == 0 && s->opset == 13, "path and opset");
    td_source_destroy(s);
}

/* Up to IR 3 every initialiser had to be listed as an input too. */
static void test_old_inputs(tdsnn_context *ctx) {
    maker *m = maker_small(ctx);
    m->inputs[m->graph.n_input++] = maker_value(m, "w", (int64_t[]){2}, 1);
    maker_floats(m, "w", two, 2);
    td_source *s = maker_read(m, "an initialiser listed as an input");
    ok(s->input_count == 1 && strcmp(s->values[s->inputs[0]].name, "x") == 0 &&
           value_of(s, "w")->constant != NULL,
       "is a constant, not an input");
    td_source_destroy(s);
}

static void test_shapes(tdsnn_context *ctx) {
    maker *m = maker_small(ctx);
    m->inputs[0]->type = NULL;
    td_source *s = maker_read(m, "an input without a type");
    ok(value_of(s, "x")->rank == -1, "has no rank");
    td_source_destroy(s);
    m = maker_small(ctx);
    m->inputs[0] = maker_value(m, "x", (int64_t[]){-1, 784}, 2);
    s = maker_read(m, "a batch of -1");
    ok(value_of(s, "x")->rank == 2 && value_of(s, "x")->dims[0] == -1 &&
           value_of(s, "x")->symbols[0] == NULL,
       "is any batch");
    td_source_destroy(s);
    m = maker_small(ctx);
    m->inputs[0]->type->tensor_type->shape->n_dim = 0;
    s = maker_read(m, "a scalar input");
    ok(value_of(s, "x")->rank == 0, "has rank 0");
    td_source_destroy(s);
    m = maker_small(ctx);
    m->inputs[0] = maker_value(m, "x", (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 9);
    maker_refused(m, TDSNN_ERR_UNSUPPORTED, "an input: has more than 8 dimensions", "nine of them");
}

static void test_lists(tdsnn_context *ctx) {
    maker *m = maker_small(ctx);
    maker_input(m, "x2");
    maker_node(m, "Sigmoid", "s", "x2", NULL, "y2");
    maker_output(m, "y2");
    td_source *s = maker_read(m, "two inputs and outputs");
    ok(s->input_count == 2 && s->output_count == 2 &&
           strcmp(s->values[s->inputs[1]].name, "x2") == 0 &&
           strcmp(s->values[s->outputs[1]].name, "y2") == 0,
       "are listed in the file's order");
    td_source_destroy(s);
}

static void test_order(tdsnn_context *ctx) {
    maker *m = maker_begin(ctx, 13);
    maker_input(m, "x");
    maker_node(m, "Relu", "last", "b", NULL, "y");
    maker_node(m, "Add", "middle", "a", "x", "b");
    maker_node(m, "Relu", "first", "x", NULL, "a");
    maker_output(m, "y");
    td_source *s = maker_read(m, "nodes in reverse");
    ok(strcmp(s->nodes[0].name, "first") == 0 && strcmp(s->nodes[1].name, "middle") == 0 &&
           strcmp(s->nodes[2].name, "last") == 0,
       "are sorted");
    td_source_destroy(s);
    m = maker_begin(ctx, 13);
    maker_input(m, "x");
    maker_node(m, "Add", "p", "x", "b", "a");
    maker_node(m, "Relu", "q", "a", NULL, "b");
    maker_output(m, "b");
    maker_refused(m, TDSNN_ERR_INPUT, "node 'q' (Relu) needs its own result", "a cycle");
}

static void test_contradictions(tdsnn_context *ctx) {
    maker *m = maker_small(ctx);
    m->nodes[0]->input[0] = (char *)"nowhere";
    maker_refused(m, TDSNN_ERR_INPUT, "node 'r' (Relu) reads 'nowhere', which nothing gives",
                  "a dangling input");
    m = maker_small(ctx);
    maker_output(m, "z");
    maker_refused(m, TDSNN_ERR_INPUT, "nothing gives the output 'z'", "a dangling output");
    m = maker_small(ctx);
    maker_node(m, "Relu", "again", "x", NULL, "y");
    maker_refused(m, TDSNN_ERR_INPUT, "give the value 'y'", "two nodes of one output");
    m = maker_small(ctx);
    maker_node(m, "Relu", "again", "x", NULL, "x");
    maker_refused(m, TDSNN_ERR_INPUT, "give the value 'x'", "a node that makes the input");
    m = maker_small(ctx);
    maker_floats(m, "y", two, 2);
    maker_refused(m, TDSNN_ERR_INPUT, "give the value 'y'", "a node that makes an initialiser");
    m = maker_small(ctx);
    maker_floats(m, "w", two, 2);
    maker_floats(m, "w", two, 2);
    maker_refused(m, TDSNN_ERR_INPUT, "give the value 'w'", "an initialiser twice");
    m = maker_small(ctx);
    maker_input(m, "x");
    maker_refused(m, TDSNN_ERR_INPUT, "give the value 'x'", "an input twice");
    m = maker_small(ctx);
    maker_input(m, "");
    maker_refused(m, TDSNN_ERR_INPUT, "an input: has no name", "an input without a name");
    m = maker_small(ctx);
    maker_floats(m, "", two, 2);
    maker_refused(m, TDSNN_ERR_INPUT, "has no name", "an initialiser without a name");
    m = maker_small(ctx);
    Onnx__SparseTensorProto sparse = ONNX__SPARSE_TENSOR_PROTO__INIT, *list = &sparse;
    m->graph.n_sparse_initializer = 1;
    m->graph.sparse_initializer = &list;
    maker_refused(m, TDSNN_ERR_UNSUPPORTED, "sparse initialisers", "a sparse initialiser");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_values(ctx);
    test_old_inputs(ctx);
    test_shapes(ctx);
    test_lists(ctx);
    test_order(ctx);
    test_contradictions(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
