/* TemporalCode: its body counts the thresholds below x, and no other body passes for it. */
#include "onnx/function.h"

#include <math.h>

#include "base/random.h"
#include "onnx_maker.h"

#define CODE_NODES 63

/* --- what the body computes, node by node, as ONNX defines the operators --- */

typedef struct cell {
    const char *name;
    double value;
} cell;

typedef struct machine {
    const float *thresholds, *values;
    cell cells[CODE_NODES + 1];
    int count;
    bool sound; /* every index was inside its table */
} machine;

static double look_up(const machine *v, const char *name) {
    for (int i = 0; i < v->count; i++) {
        if (strcmp(v->cells[i].name, name) == 0) {
            return v->cells[i].value;
        }
    }
    return NAN;
}

static double gather(machine *v, const char *table, double index) {
    bool values = strcmp(table, "values") == 0;
    v->sound = v->sound && index >= 0 && index < (values ? 256 : 255) && index == floor(index);
    return !v->sound ? NAN : values ? v->values[(int)index] : v->thresholds[(int)index];
}

static double evaluate(machine *v, const Onnx__NodeProto *n) {
    if (strcmp(n->op_type, "Constant") == 0) {
        return n->attribute[0]->t->int32_data[0];
    }
    if (strcmp(n->op_type, "Gather") == 0) {
        return gather(v, n->input[0], look_up(v, n->input[1]));
    }
    double a = look_up(v, n->input[0]), b = n->n_input > 1 ? look_up(v, n->input[1]) : 0;
    return strcmp(n->op_type, "Greater") == 0 ? a > b
           : strcmp(n->op_type, "Cast") == 0  ? a
           : strcmp(n->op_type, "Mul") == 0   ? a * b
           : strcmp(n->op_type, "Add") == 0   ? a + b
                                              : NAN;
}

static float run(const Onnx__FunctionProto *f, const float *thresholds, const float *values,
                 float x, bool *sound) {
    machine v = {.thresholds = thresholds, .values = values, .cells = {{"x", x}}, .count = 1};
    v.sound = true;
    for (size_t i = 0; i < f->n_node; i++) {
        v.cells[v.count] = (cell){f->node[i]->output[0], evaluate(&v, f->node[i])};
        v.count++;
    }
    *sound = v.sound;
    return (float)look_up(&v, f->output[0]);
}

static void test_search(tdsnn_context *ctx) {
    td_arena *arena = td_arena_create(ctx);
    const Onnx__FunctionProto *f = td_temporal_code(arena);
    td_random random;
    float thresholds[255], values[256];
    int wrong = 0, outside = 0, runs = 0;
    td_random_seed(&random, 4, 0);
    ok(f->n_node == CODE_NODES, "the body has %d nodes", CODE_NODES);
    for (int i = 0; i < 256; i++) {
        values[i] = (float)i;
    }
    for (int steps = 1; steps <= 255; steps++) {
        float at = -3.0f;
        for (int k = 0; k < 255; k++) { /* ties among the thresholds too */
            at += td_random_below(&random, 4) == 0 ? 0.0f : (float)td_random_uniform(&random);
            thresholds[k] = k < steps ? at : INFINITY;
        }
        for (int i = 0; i < 40; i++) {
            float x = thresholds[td_random_below(&random, (uint64_t)steps)];
            x = i == 0   ? INFINITY
                : i == 1 ? -INFINITY
                : i == 2 ? NAN
                : i == 3 ? thresholds[0]
                : i == 4 ? nextafterf(thresholds[0], INFINITY)
                : i == 5 ? thresholds[steps - 1]
                : i == 6 ? nextafterf(thresholds[steps - 1], INFINITY)
                : i < 20 ? nextafterf(x, i % 2 == 0 ? INFINITY : -INFINITY)
                         : x;
            int below = 0;
            for (int k = 0; k < 255; k++) {
                below += x > thresholds[k];
            }
            bool sound;
            wrong += run(f, thresholds, values, x, &sound) != (float)below;
            outside += !sound;
            runs++;
        }
    }
    ok(wrong == 0, "in %d searches it counts the thresholds below, ties and NaN included", runs);
    ok(outside == 0, "no index leaves its table");
    td_arena_destroy(arena);
}

/* --- which bodies pass --- */

/* x -> TemporalCode -> y, with its definition. */
static maker *with_code(tdsnn_context *ctx) {
    static float table[256];
    maker *m = maker_begin(ctx, 15);
    maker_opset(m, "org.tdsnn", 1);
    maker_input(m, "x");
    maker_floats(m, "thresholds", table, 255);
    maker_floats(m, "values", table, 256);
    Onnx__NodeProto *n = maker_node(m, "TemporalCode", "code", "x", "thresholds", "y");
    n->domain = (char *)"org.tdsnn";
    n->input = td_arena_alloc(m->arena, 3, sizeof *n->input);
    n->input[0] = (char *)"x";
    n->input[1] = (char *)"thresholds";
    n->input[2] = (char *)"values";
    n->n_input = 3;
    maker_output(m, "y");
    m->functions[m->model.n_functions++] = td_temporal_code(m->arena);
    return m;
}

static void rename_all(maker *m, const char *from, const char *to) {
    Onnx__FunctionProto *f = m->functions[0];
    for (size_t i = 0; i < f->n_node; i++) {
        for (size_t k = 0; k < f->node[i]->n_input + f->node[i]->n_output; k++) {
            char **name = k < f->node[i]->n_input ? &f->node[i]->input[k] : &f->node[i]->output[0];
            *name = strcmp(*name, from) == 0 ? (char *)to : *name;
        }
    }
}

static void test_same(tdsnn_context *ctx) {
    td_source *s = maker_read(with_code(ctx), "our own body");
    ok(s != NULL && s->node_count == 1 && strcmp(s->nodes[0].op, "TemporalCode") == 0 &&
           strcmp(s->nodes[0].domain, "org.tdsnn") == 0 && s->nodes[0].input_count == 3,
       "a node with its operator, domain and inputs");
    td_source_destroy(s);
    maker *m = with_code(ctx);
    m->functions[0]->doc_string = (char *)"a code";
    m->functions[0]->node[7]->doc_string = (char *)"a node";
    m->functions[0]->node[7]->name = (char *)"a name";
    rename_all(m, "s32_below", "some other name");
    td_source_destroy(maker_read(m, "the same with other names and documentation"));
    m = with_code(ctx);
    rename_all(m, "x", "in");
    m->functions[0]->input[0] = (char *)"in";
    td_source_destroy(maker_read(m, "the same with another name for x"));
    m = with_code(ctx);
    Onnx__TensorProto *t = m->functions[0]->node[0]->attribute[0]->t;
    t->n_int32_data = 0;
    t->has_raw_data = 1;
    t->raw_data.len = 4;
    t->raw_data.data = (uint8_t *)t->int32_data;
    td_source_destroy(maker_read(m, "the same with a constant stored raw"));
}

/* Every node in turn, spoiled in every way that applies: each must be noticed. */
static void test_every_node(tdsnn_context *ctx) {
    int spoiled = 0, wrong = 0;
    for (size_t i = 0; i < CODE_NODES; i++) {
        for (int way = 0; way < 6; way++) {
            maker *m = with_code(ctx);
            Onnx__FunctionProto *f = m->functions[0];
            Onnx__NodeProto *n = f->node[i];
            bool applies = true;
            switch (way) {
            case 0:
                n->op_type = (char *)"Identity";
                break;
            case 1:
                n->domain = (char *)"com.example";
                break;
            case 2:
                applies = n->n_input > 0;
                n->n_input--;
                break;
            case 3:
                applies = n->n_input > 1 && strcmp(n->input[0], n->input[1]) != 0;
                if (applies) {
                    char *first = n->input[0];
                    n->input[0] = n->input[1];
                    n->input[1] = first;
                }
                break;
            case 4:
                applies = n->n_attribute > 0;
                if (applies && n->attribute[0]->t != NULL) {
                    n->attribute[0]->t->int32_data[0]++;
                } else if (applies) {
                    n->attribute[0]->i = 7;
                }
                break;
            default:
                memmove(f->node + i, f->node + i + 1, (f->n_node - i - 1) * sizeof *f->node);
                f->n_node--;
                break;
            }
            td_source *source = NULL;
            if (applies) {
                spoiled++;
                wrong += maker_parse(m, "test.onnx", &source) != TDSNN_ERR_INPUT ||
                         strstr(tdsnn_last_error(ctx), "org.tdsnn.TemporalCode: has") == NULL;
                td_source_destroy(source);
            }
            maker_end(m);
        }
    }
    ok(wrong == 0 && spoiled > 250, "%d bodies with one node spoiled are refused", spoiled);
}

static void test_interface(tdsnn_context *ctx) {
    const char *words = "has other inputs, outputs, attributes or imports";
    maker *m = with_code(ctx);
    m->functions[0]->n_attribute = 4;
    maker_refused(m, TDSNN_ERR_INPUT, words, "an attribute missing");
    m = with_code(ctx);
    m->functions[0]->attribute[2] = (char *)"gain";
    maker_refused(m, TDSNN_ERR_INPUT, words, "an attribute of another name");
    m = with_code(ctx);
    m->functions[0]->opset_import[0]->version = 13;
    maker_refused(m, TDSNN_ERR_INPUT, words, "another opset");
    m = with_code(ctx);
    m->functions[0]->opset_import[0]->domain = (char *)"com.example";
    maker_refused(m, TDSNN_ERR_INPUT, words, "an opset of another domain");
    m = with_code(ctx);
    m->functions[0]->output[0] = m->functions[0]->node[0]->output[0];
    maker_refused(m, TDSNN_ERR_INPUT, "org.tdsnn.TemporalCode: has", "another value as the output");
    m = with_code(ctx);
    m->functions[0]->n_node = 0;
    maker_refused(m, TDSNN_ERR_INPUT, "has a body of 0 nodes instead of 63, which computes",
                  "no body");
    m = with_code(ctx);
    m->functions[0]->node[62]->op_type = (char *)"Exp";
    maker_refused(m, TDSNN_ERR_INPUT, "has another body from node 62 (Exp) on", "an Exp");
    m = with_code(ctx);
    Onnx__NodeProto *many[300];
    for (int i = 0; i < 300; i++) {
        many[i] = m->functions[0]->node[i % CODE_NODES];
    }
    m->functions[0]->node = many;
    m->functions[0]->n_node = 300;
    maker_refused(m, TDSNN_ERR_INPUT, "has a body of", "300 nodes");
}

static void test_definitions(tdsnn_context *ctx) {
    maker *m = with_code(ctx);
    m->model.n_functions = 0;
    maker_refused(m, TDSNN_ERR_INPUT, "node 'code' is a TemporalCode of org.tdsnn, but the file",
                  "no definition");
    m = with_code(ctx);
    m->model.n_opset_import = 1;
    maker_refused(m, TDSNN_ERR_INPUT, "does not define it", "no import");
    m = with_code(ctx);
    m->opsets[1]->version = 2;
    maker_refused(m, TDSNN_ERR_UNSUPPORTED, "version 2 of the domain org.tdsnn", "a later version");
    m = with_code(ctx);
    m->functions[m->model.n_functions++] = m->functions[0];
    maker_refused(m, TDSNN_ERR_INPUT, "twice", "two definitions");
    m = with_code(ctx);
    Onnx__FunctionProto relu = ONNX__FUNCTION_PROTO__INIT;
    relu.name = (char *)"Relu";
    relu.domain = (char *)"";
    m->functions[m->model.n_functions++] = &relu;
    maker_refused(m, TDSNN_ERR_UNSUPPORTED, "ONNX's operator 'Relu'", "a Relu of the file's own");
    m = with_code(ctx);
    Onnx__FunctionProto foreign = ONNX__FUNCTION_PROTO__INIT;
    foreign.name = (char *)"TemporalCode";
    foreign.domain = (char *)"com.example";
    char *values[] = {(char *)"a", (char *)"b"};
    Onnx__NodeProto *body = maker_node(m, "Relu", "r", "a", NULL, "b");
    m->graph.n_node--;
    foreign.input = &values[0];
    foreign.output = &values[1];
    foreign.node = &body;
    foreign.n_input = foreign.n_output = foreign.n_node = 1;
    m->functions[m->model.n_functions++] = &foreign;
    Onnx__NodeProto *n = maker_node(m, "TemporalCode", "f", "y", NULL, "z");
    n->domain = (char *)"com.example";
    td_source *s = maker_read(m, "a function from elsewhere");
    ok(s != NULL && s->node_count == 2 && strcmp(s->nodes[1].op, "Relu") == 0,
       "is what its own body says");
    td_source_destroy(s);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_search(ctx);
    test_same(ctx);
    test_every_node(ctx);
    test_interface(ctx);
    test_definitions(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
