/* Graphs that files can hold and networks cannot: refused in a sentence, before they cost anything.
 */
#include "network/network.h"

#include <string.h>
#include <time.h>

#include "tap.h"

#define UNITS 4

static tdsnn_context *ctx;

/* A graph being made: node after node, all flat with UNITS values. */
typedef struct maker {
    td_graph *graph;
    int at;
} maker;

static void add(maker *m, const char *name, td_node node) {
    td_node copy = node;
    copy.name = name;
    copy.shape = (td_shape){UNITS, 1, 1, true};
    if (copy.input_count == 0 && copy.op != TD_OP_INPUT) {
        copy.input_count = 1;
        copy.inputs = &m->at;
    }
    m->at = td_graph_append(ctx, m->graph, &copy);
}

static const float *numbers(const maker *m, size_t count, float value) {
    float *all = td_arena_alloc(m->graph->arena, count, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        all[i] = value;
    }
    return all;
}

static void add_inner(maker *m, const char *name, float weight) {
    add(m, name,
        (td_node){.op = TD_OP_INNER,
                  .weights = numbers(m, (size_t)UNITS * UNITS, weight),
                  .bias = numbers(m, UNITS, 0.0f)});
}

static void add_code(maker *m, const char *name, float negative) {
    tdsnn_code *code = td_arena_alloc(m->graph->arena, 1, sizeof *code);
    tdsnn_code_make(ctx, 20.0, 10, 10.0, TDSNN_ROUND_NEAREST, 0, code);
    add(m, name, (td_node){.op = TD_OP_CODE, .code = code, .negative = negative});
}

static maker start(void) {
    maker m = {.graph = td_graph_create(ctx)};
    m.graph->input_name = m.graph->output_name = "x";
    add(&m, "x", (td_node){.op = TD_OP_INPUT});
    add_code(&m, "x/code", 0.0f);
    return m;
}

/* Ends the graph and compiles it; `text` is what the refusal says, NULL where there is none. */
static void check(maker *m, tdsnn_status wanted, const char *text, const char *what) {
    td_network *network = NULL;
    add_inner(m, "out", 1.0f);
    td_error_clear(ctx);
    clock_t before = clock();
    tdsnn_status status = td_network_create(ctx, m->graph, &network);
    bool quick = clock() - before < 5 * CLOCKS_PER_SEC;
    ok(status == wanted && quick && (text == NULL || strstr(tdsnn_last_error(ctx), text) != NULL),
       "%s: %s", what, status == TDSNN_OK ? "compiled" : tdsnn_last_error(ctx));
    td_network_destroy(network);
    td_graph_destroy(m->graph);
}

/* Constants that are numbers of their own, and none together with the weights behind them. */
static void test_overflow(void) {
    maker m = start();
    add(&m, "tiny", (td_node){.op = TD_OP_DIV, .operand = numbers(&m, UNITS, 1e-38f)});
    add_inner(&m, "first", 1e5f);
    add_code(&m, "code", 0.0f);
    check(&m, TDSNN_ERR_INPUT, "layer 'first'", "a weight beyond float");
    m = start();
    add(&m, "huge", (td_node){.op = TD_OP_SUB, .operand = numbers(&m, UNITS, 1e38f)});
    add_inner(&m, "first", 10.0f);
    add_code(&m, "code", 0.0f);
    check(&m, TDSNN_ERR_INPUT, "layer 'first'", "a bias beyond float");
    m = start();
    add_inner(&m, "first", 1.0f);
    add_code(&m, "code", 3e38f);
    check(&m, TDSNN_ERR_INPUT, "'code'", "a pair whose values are beyond float");
    m = start();
    add(&m, "small", (td_node){.op = TD_OP_DIV, .operand = numbers(&m, UNITS, 1e-20f)});
    add_inner(&m, "first", 1e-20f);
    add_code(&m, "code", 1.0f);
    check(&m, TDSNN_OK, NULL, "what is a number after folding");
}

/* A drive added to itself again and again has twice the populations each time. */
static void test_doubling(int times, bool fits) {
    maker m = start();
    add_inner(&m, "first", 1.0f);
    for (int i = 0; i < times; i++) {
        char name[16];
        snprintf(name, sizeof name, "sum%d", i);
        add(&m, name, (td_node){.op = TD_OP_ADD, .input_count = 2, .inputs = (int[]){m.at, m.at}});
    }
    add_code(&m, "code", 0.0f);
    char what[64];
    snprintf(what, sizeof what, "%d sums of one value and itself", times);
    check(&m, fits ? TDSNN_OK : TDSNN_ERR_UNSUPPORTED, fits ? NULL : "populations", what);
}

/* Two linear layers in a row are one; the third has a drive to read. */
static void test_rows(int layers, bool fits) {
    maker m = start();
    for (int i = 0; i < layers; i++) {
        char name[16];
        snprintf(name, sizeof name, "inner%d", i);
        add_inner(&m, name, 0.5f);
    }
    char what[64];
    snprintf(what, sizeof what, "%d inner products without a code", layers + 1);
    check(&m, fits ? TDSNN_OK : TDSNN_ERR_UNSUPPORTED, fits ? NULL : "has no code", what);
}

/* A node of another shape; its numbers, if it has any, are 0, 1, 2, .. */
static void add_shaped(maker *m, const char *name, td_op op, td_shape shape) {
    add(m, name, (td_node){.op = op, .window = TD_WINDOW_ONE, .groups = 1});
    td_node *node = &m->graph->nodes[m->at];
    size_t count = td_shape_count(shape) * UNITS;
    float *all = td_arena_alloc(m->graph->arena, count, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        all[i] = (float)i;
    }
    node->shape = shape;
    node->operand = node->weights = node->bias = all;
}

/* Flat values made a picture, and factors for each, where they have no neurons of their own. */
static void test_relabelled(void) {
    const td_shape flat = {UNITS, 1, 1, true}, picture = {1, 2, 2, false};
    maker m = start();
    add_shaped(&m, "picture", TD_OP_UNFLATTEN, picture);
    add_shaped(&m, "pool", TD_OP_MAXPOOL, picture);
    add_shaped(&m, "flat", TD_OP_FLATTEN, flat);
    check(&m, TDSNN_ERR_UNSUPPORTED, "put a linear layer between", "a max-pool of flat neurons");
    m = start();
    add_shaped(&m, "picture", TD_OP_UNFLATTEN, picture);
    add_shaped(&m, "pool", TD_OP_AVGPOOL, picture);
    add_shaped(&m, "flat", TD_OP_FLATTEN, flat);
    check(&m, TDSNN_ERR_UNSUPPORTED, "put a linear layer between", "an average of flat neurons");
    m = start();
    add_shaped(&m, "factors", TD_OP_MUL, flat);
    add_shaped(&m, "picture", TD_OP_UNFLATTEN, picture);
    add_shaped(&m, "conv", TD_OP_CONV, picture);
    add_shaped(&m, "flat", TD_OP_FLATTEN, flat);
    check(&m, TDSNN_ERR_UNSUPPORTED, "has no code", "a factor for each input of a convolution");
    m = start();
    add_shaped(&m, "picture", TD_OP_UNFLATTEN, picture);
    add_shaped(&m, "conv", TD_OP_CONV, picture);
    add_shaped(&m, "flat", TD_OP_FLATTEN, flat);
    add_shaped(&m, "factors", TD_OP_MUL, flat);
    add_code(&m, "code", 1.0f);
    check(&m, TDSNN_ERR_UNSUPPORTED, "put a code in front", "a factor for each output of one");
    m = start();
    add_shaped(&m, "picture", TD_OP_UNFLATTEN, picture);
    add_shaped(&m, "conv", TD_OP_CONV, picture);
    add_shaped(&m, "flat", TD_OP_FLATTEN, flat);
    add(&m, "sum", (td_node){.op = TD_OP_ADD, .input_count = 2, .inputs = (int[]){m.at, 1}});
    add_code(&m, "code", 1.0f);
    check(&m, TDSNN_ERR_UNSUPPORTED, "behind a Flatten", "a flat sum with a convolution's drive");
    m = start();
    add_shaped(&m, "picture", TD_OP_UNFLATTEN, picture);
    add_shaped(&m, "conv", TD_OP_CONV, picture);
    add_shaped(&m, "flat", TD_OP_FLATTEN, flat);
    add_shaped(&m, "constants", TD_OP_SHIFT, flat);
    add_code(&m, "code", 1.0f);
    check(&m, TDSNN_OK, NULL, "a constant for each output of a convolution");
}

int main(void) {
    ctx = tdsnn_context_create();
    test_rows(1, true);
    test_rows(2, false);
    test_relabelled();
    test_overflow();
    test_doubling(8, true);
    test_doubling(14, false);
    test_doubling(40, false);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
