/* Where codes go in small chains, and what is refused. */
#include "convert/place.h"

#include <string.h>

#include "tap.h"

/* Builds a chain from one letter a node, the input first: C conv, I inner, R relu, P max-pool,
 * F flatten, U its contrary, B a constant, M a factor for each of a channel, or each flat value, S
 * softmax. Names are letter and number: "C1". */
static td_graph *chain(tdsnn_context *ctx, const char *letters) {
    static const td_window window = {{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}};
    td_graph *graph = td_graph_create(ctx);
    float *ones = td_arena_alloc(graph->arena, 36 * 36, sizeof *ones);
    float *numbers = td_arena_alloc(graph->arena, 64, sizeof *numbers);
    for (int i = 0; i < 64; i++) {
        numbers[i] = (float)i;
    }
    td_shape shape = {4, 3, 3, false};
    td_graph_append(ctx, graph, &(td_node){.op = TD_OP_INPUT, .name = "x", .shape = shape});
    for (int i = 0; letters[i] != '\0'; i++) {
        char name[16];
        snprintf(name, sizeof name, "%c%d", letters[i], i + 1);
        td_node node = {
            .name = name, .input_count = 1, .inputs = &i, .groups = 1, .window = window};
        switch (letters[i]) {
        case 'C':
            node.op = TD_OP_CONV;
            node.weights = node.bias = ones;
            break;
        case 'I':
            node.op = TD_OP_INNER;
            node.weights = node.bias = ones;
            shape = (td_shape){letters[i + 1] == 'U' ? 36 : 1, 1, 1, true};
            break;
        case 'R':
            node.op = TD_OP_RELU;
            break;
        case 'P':
            node.op = TD_OP_MAXPOOL;
            break;
        case 'F':
            node.op = TD_OP_FLATTEN;
            shape = (td_shape){36, 1, 1, true};
            break;
        case 'U':
            node.op = TD_OP_UNFLATTEN;
            shape = (td_shape){4, 3, 3, false};
            break;
        case 'B':
            node.op = TD_OP_SHIFT;
            node.operand = ones;
            break;
        case 'M':
            node.op = TD_OP_MUL;
            node.operand = numbers;
            break;
        default:
            node.op = TD_OP_SOFTMAX;
        }
        node.shape = shape;
        td_graph_append(ctx, graph, &node);
    }
    return graph;
}

/* - a node that stays, c one with a code behind it, p one with a pair, d one that is dropped, r one
 * whose place a code takes. */
static char mark_of(const td_site *site) {
    if (site->dropped) {
        return site->coded ? 'r' : 'd';
    }
    return !site->coded ? '-' : site->negative != 0.0f ? 'p' : 'c';
}

/* Expects these marks, one a node, the input first. */
static void expect(tdsnn_context *ctx, td_graph *graph, const char *what, const char *marks) {
    td_placement placement;
    char found[32] = "";
    td_error_clear(ctx);
    tdsnn_status status = td_place(ctx, graph, marks[0] != 'c', &placement);
    for (int i = 0; status == TDSNN_OK && i < graph->node_count; i++) {
        found[i] = mark_of(&placement.sites[i]);
    }
    ok(status == TDSNN_OK && strcmp(found, marks) == 0, "%s is placed as %s, found %s%s", what,
       marks, found, tdsnn_last_error(ctx));
    if (status == TDSNN_OK) {
        td_placement_free(&placement);
    }
    td_graph_destroy(graph);
}

static void places(tdsnn_context *ctx, const char *letters, const char *marks) {
    expect(ctx, chain(ctx, letters), letters, marks);
}

/* Appends a node that reads two. */
static void join(tdsnn_context *ctx, td_graph *graph, td_op op, const char *name, int a, int b) {
    td_shape shape = graph->nodes[a].shape;
    shape.c += op == TD_OP_CONCAT ? graph->nodes[b].shape.c : 0;
    td_graph_append(
        ctx, graph,
        &(td_node){
            .op = op, .name = name, .input_count = 2, .inputs = (int[]){a, b}, .shape = shape});
}

/* Appends a copy of node `like` that reads node `from`. */
static void again(tdsnn_context *ctx, td_graph *graph, int like, const char *name, int from) {
    td_node node = graph->nodes[like];
    node.name = name;
    node.inputs = &from;
    td_graph_append(ctx, graph, &node);
}

/* x C1 clip I: one code where the ends are 0 and b, a pair where they are -b and b, no other. */
static void check_clips(tdsnn_context *ctx) {
    static const struct {
        float low, high;
        const char *marks; /* NULL: refused */
    } clips[] = {{0.0f, 6.0f, "ccd--"}, {-1.0f, 1.0f, "cpd--"}, {-0.5f, 1.0f, NULL}};
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        td_graph *graph = chain(ctx, "CRFI");
        graph->nodes[2].op = TD_OP_CLIP;
        graph->nodes[2].low = clips[i].low;
        graph->nodes[2].high = clips[i].high;
        td_placement placement;
        if (clips[i].marks == NULL) {
            ok(td_place(ctx, graph, false, &placement) == TDSNN_ERR_UNSUPPORTED &&
                   strstr(tdsnn_last_error(ctx), "-b and b") != NULL,
               "a Clip of other ends is refused");
            td_error_clear(ctx);
            td_graph_destroy(graph);
        } else {
            ok(td_place(ctx, graph, false, &placement) == TDSNN_OK &&
                   placement.sites[1].cap == clips[i].high,
               "a Clip to %g .. %g caps its code", (double)clips[i].low, (double)clips[i].high);
            td_placement_free(&placement);
            expect(ctx, graph, "a Clip", clips[i].marks);
        }
    }
}

/* Rectifiers that differ read one drive, each with neurons of its own. */
static void check_rectifiers(tdsnn_context *ctx) {
    td_graph *both = chain(ctx, "CR"); /* x C1 R2, and C1 behind a constant, rectified */
    float *ones = td_arena_alloc(both->arena, 4, sizeof *ones);
    int at = td_graph_append(ctx, both,
                             &(td_node){.op = TD_OP_MUL,
                                        .name = "minus",
                                        .input_count = 1,
                                        .inputs = (int[]){1},
                                        .shape = both->nodes[1].shape,
                                        .operand = ones});
    again(ctx, both, 2, "other", at);
    join(ctx, both, TD_OP_CONCAT, "both", 2, 4);
    expect(ctx, both, "relu(x) beside relu(-x)", "c-rcd-");
    td_graph *mixed = chain(ctx, "CR"); /* and C1 is read by a convolution */
    again(ctx, mixed, 1, "other", 1);
    join(ctx, mixed, TD_OP_CONCAT, "both", 2, 3);
    expect(ctx, mixed, "relu(x) beside x", "cprp-");
}

static void check_branches(tdsnn_context *ctx) {
    td_graph *shortcut = chain(ctx, "CRC"); /* x C1 R2 C3, then the sum with R2, a ReLU */
    join(ctx, shortcut, TD_OP_ADD, "sum", 3, 2);
    again(ctx, shortcut, 2, "relu", 4);
    again(ctx, shortcut, 3, "last", 5);
    expect(ctx, shortcut, "a shortcut: the drives stay, the sum has the code", "ccd-cd-");

    td_graph *linear = chain(ctx, "CRC");
    join(ctx, linear, TD_OP_ADD, "sum", 3, 2);
    again(ctx, linear, 3, "last", 4);
    expect(ctx, linear, "a sum without ReLU before a linear layer is a pair", "ccd-p-");

    td_graph *shared = chain(ctx, "CRC");
    again(ctx, shared, 2, "relu", 3);
    join(ctx, shared, TD_OP_ADD, "sum", 4, 3);
    expect(ctx, shared, "a drive read with and without ReLU is a pair; the ReLU has its own",
           "ccdpr-");

    td_graph *fire = chain(ctx, "CRCR"); /* SqueezeNet: two branches side by side */
    again(ctx, fire, 3, "branch", 2);
    again(ctx, fire, 2, "relu", 5);
    join(ctx, fire, TD_OP_CONCAT, "both", 4, 6);
    expect(ctx, fire, "two rectified branches side by side", "ccdcdcd-");

    td_graph *behind = chain(ctx, "CRC");
    again(ctx, behind, 3, "branch", 2);
    join(ctx, behind, TD_OP_CONCAT, "both", 3, 4);
    again(ctx, behind, 2, "relu", 5);
    expect(ctx, behind, "a ReLU behind a concatenation moves in front", "ccdcc-d");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    places(ctx, "CRFI", "ccd--");
    places(ctx, "CRPCRPFIRIS", "ccd-cd--cd--");
    places(ctx, "CPRFI", "cc-d--");
    places(ctx, "CPPRFI", "cc--d--");
    places(ctx, "CFRI", "cc-d-");
    places(ctx, "CRPRFI", "ccd-d--");
    places(ctx, "BCRBCRFI", "c-cd-cd--");
    places(ctx, "CRFI", "-cd--");
    places(ctx, "CCRFI", "c-cd--");
    places(ctx, "CCCRFI", "c-pcd--");
    places(ctx, "CCCCRFI", "c-p-cd--");
    places(ctx, "CPFI", "cp---");
    places(ctx, "CRFIR", "ccd-cd");
    places(ctx, "CRBRFI", "ccd-r--");
    places(ctx, "CRBPFI", "ccdp---");
    places(ctx, "CBRFI", "c-cd--");
    places(ctx, "CRF", "ccd-");
    places(ctx, "FBUCRFI", "c---cd--");     /* a constant for each value of the input */
    places(ctx, "CFBURFI", "c--c-d--");     /* of a drive: the ReLU's code moves in front */
    places(ctx, "CFBUPRFI", "c--c--d--");   /* also of a max-pool's */
    places(ctx, "CRFMUCRFI", "ccd--pcd--"); /* factors have neurons behind them */
    places(ctx, "CFMURFI", "cp--cd--");     /* and of a drive in front, too */
    places(ctx, "FIUCRFI", "c-p-cd--");     /* flat neurons, read as a picture */
    static const char *const pooled[] = {"FIURPFI", "FMUPFI"};
    for (size_t i = 0; i < 2; i++) {
        td_graph *graph = chain(ctx, pooled[i]);
        td_placement placement;
        ok(td_place(ctx, graph, false, &placement) == TDSNN_ERR_UNSUPPORTED &&
               strstr(tdsnn_last_error(ctx), "put a linear layer between") != NULL,
           "%s is refused: a max-pool of flat neurons", pooled[i]);
        td_graph_destroy(graph);
    }
    check_clips(ctx);
    check_rectifiers(ctx);
    check_branches(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
