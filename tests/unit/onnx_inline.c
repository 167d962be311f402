/* Files without functions: refused by our reader, and computing the same: a small interpreter of
 * the six operators runs them against expand-and-compare. */
#include <math.h>

#include "base/file.h"
#include "onnx_maker.h"
#include "scratch.h"

#define BODY 63

/* x -> a signed code, or a single one if negative is 0 -> a code; names that collide with those of
 * the bodies. */
static td_graph *make_codes(tdsnn_context *ctx, float negative) {
    td_graph *g = td_graph_create(ctx);
    td_shape flat = {1, 1, 1, true};
    td_node nodes[] = {
        {.op = TD_OP_INPUT, .name = "x", .shape = flat},
        {.op = TD_OP_CODE, .name = "code", .shape = flat, .negative = negative},
        {.op = TD_OP_MUL, .name = "code.pos.s64_below", .shape = flat},
        {.op = TD_OP_CODE, .name = "code.s1_count", .shape = flat},
    };
    for (int i = 0; i < 4; i++) {
        if (nodes[i].op == TD_OP_CODE) {
            tdsnn_code *code = td_arena_alloc(g->arena, 1, sizeof *code);
            tdsnn_code_make(ctx, 40.0, i == 1 ? 255 : 5, 2.0, TDSNN_ROUND_NEAREST, 0, code);
            nodes[i].code = code;
        }
        float *operand = td_arena_alloc(g->arena, 1, sizeof *operand);
        *operand = 0.75f;
        nodes[i].operand = operand;
        nodes[i].inputs = (int[]){i - 1};
        nodes[i].input_count = i > 0;
        td_graph_append(ctx, g, &nodes[i]);
    }
    g->input_name = "x";
    g->output_name = "y";
    return g;
}

static float code_value(const tdsnn_code *code, float x) {
    int time = 0;
    while (time < TDSNN_MAX_STEPS && x > code->thresholds[time]) {
        time++;
    }
    return code->values[time];
}

static float expected(const td_graph *g, float x) {
    const td_node *n = g->nodes;
    float first = code_value(n[1].code, x);
    if (n[1].negative != 0.0f) {
        first -= n[1].negative * code_value(n[1].code, -x);
    }
    return code_value(n[3].code, first * n[2].operand[0]);
}

/* One number of a constant, or a computed one. */
static double number(const td_source *s, const double *computed, int value, double index) {
    const td_tensor *t = s->values[value].constant;
    for (int i = 0; t == NULL && i < s->node_count; i++) {
        const td_source_node *node = &s->nodes[i];
        if (node->outputs[0] == value && strcmp(node->op, "Constant") == 0) {
            t = node->attributes[0].tensor;
        }
    }
    return t == NULL                  ? computed[value]
           : t->type == TD_TYPE_FLOAT ? (double)t->floats[(int)index]
                                      : (double)t->ints[(int)index];
}

/* What a node computes of a single number; NaN for an operator that none should be. */
static double compute(const td_source *s, const double *computed, const td_source_node *node) {
    bool gather = strcmp(node->op, "Gather") == 0, two = node->input_count > 1;
    double b = two ? number(s, computed, node->inputs[1], 0.0) : 0.0;
    double a = node->input_count > 0 ? number(s, computed, node->inputs[0], gather ? b : 0.0) : 0.0;
    const char *op = node->op;
    return gather || strcmp(op, "Cast") == 0 || strcmp(op, "Constant") == 0 ? a
           : strcmp(op, "Greater") == 0                                     ? a > b
           : strcmp(op, "Mul") == 0                                         ? (double)(float)(a * b)
           : strcmp(op, "Add") == 0                                         ? a + b
           : strcmp(op, "Sub") == 0                                         ? (double)(float)(a - b)
           : strcmp(op, "Neg") == 0                                         ? -a
                                                                            : NAN;
}

static double run(const td_source *s, float x) {
    double computed[1024] = {0};
    computed[s->inputs[0]] = (double)x;
    for (int i = 0; i < s->node_count; i++) {
        computed[s->nodes[i].outputs[0]] = compute(s, computed, &s->nodes[i]);
    }
    return computed[s->outputs[0]];
}

/* The file as our reader would read it, were it not marked. */
static td_source *read_unmarked(tdsnn_context *ctx, const char *path) {
    unsigned char *bytes = NULL;
    size_t size = 0;
    td_source *source = NULL;
    td_file_read(ctx, path, 1 << 20, &bytes, &size);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, size, bytes);
    ok(m->n_functions == 0 && m->n_opset_import == 1, "no function, no domain but ONNX's own");
    td_free(bytes);
    for (size_t i = 0; i < m->n_metadata_props; i++) {
        if (strcmp(m->metadata_props[i]->key, TD_INLINE_KEY) == 0) {
            m->metadata_props[i]->value[0] = '0';
        }
    }
    bytes = malloc(onnx__model_proto__get_packed_size(m));
    size = onnx__model_proto__pack(m, bytes);
    onnx__model_proto__free_unpacked(m, NULL);
    ok(td_onnx_parse(ctx, path, bytes, size, &source) == TDSNN_OK, "read once the mark is gone");
    free(bytes);
    return source;
}

static void test_graph(tdsnn_context *ctx, float negative) {
    td_graph *g = make_codes(ctx, negative);
    const char *path = scratch_path("inline.onnx");
    td_source *source = NULL;
    int parts = negative == 0.0f ? 0 : negative == 1.0f ? 2 : 3; /* Neg, Sub, perhaps Mul */
    int calls = negative == 0.0f ? 2 : 3;
    ok(td_onnx_write_inline(ctx, g, path, true) == TDSNN_OK, "slope %g: written", (double)negative);
    ok(td_onnx_read(ctx, path, &source) == TDSNN_ERR_UNSUPPORTED &&
           strstr(tdsnn_last_error(ctx), "again without --inline") != NULL,
       "refused with the remedy");
    td_error_clear(ctx);
    source = read_unmarked(ctx, path);
    if (source == NULL) {
        printf("# %s\n", tdsnn_last_error(ctx));
        return;
    }
    ok(source->node_count == calls * BODY + parts + 1, "%d nodes", source->node_count);
    int wrong = 0;
    for (int i = -4000; i <= 4000; i++) {
        float x = (float)i * 0.37f;
        wrong += run(source, x) != (double)expected(g, x);
    }
    for (int i = 0; i < TDSNN_MAX_STEPS; i++) {
        float x = g->nodes[1].code->thresholds[i];
        wrong += run(source, x) != (double)expected(g, x);
        wrong +=
            run(source, nextafterf(x, INFINITY)) != (double)expected(g, nextafterf(x, INFINITY));
    }
    ok(wrong == 0, "%d of 8,511 numbers differ from expand-and-compare", wrong);
    td_source_destroy(source);
    td_graph_destroy(g);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_graph(ctx, 0.0f);
    test_graph(ctx, 1.0f);
    test_graph(ctx, 0.25f);
    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
