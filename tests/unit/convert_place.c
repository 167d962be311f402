/* Where codes go in small chains, and what is refused. */
#include "convert/place.h"

#include <string.h>

#include "tap.h"

/* Builds a chain from one letter a node, the input first: C conv, I inner, R relu, P max-pool,
 * F flatten, B a constant, S softmax. Names are letter and number: "C1". */
static td_graph *chain(tdsnn_context *ctx, const char *letters) {
    static const td_window window = {{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}};
    td_graph *graph = td_graph_create(ctx);
    float *ones = td_arena_alloc(graph->arena, 64, sizeof *ones);
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
            shape = (td_shape){1, 1, 1, true};
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
        case 'B':
            node.op = TD_OP_SHIFT;
            node.operand = ones;
            break;
        default:
            node.op = TD_OP_SOFTMAX;
        }
        node.shape = shape;
        td_graph_append(ctx, graph, &node);
    }
    return graph;
}

/* Expects codes behind the nodes marked 'c' in `marks` and dropped ones marked 'd', one mark a
 * node, the input first. */
static void places(tdsnn_context *ctx, const char *letters, const char *marks) {
    td_graph *graph = chain(ctx, letters);
    td_placement placement;
    tdsnn_status status = td_place(ctx, graph, marks[0] != 'c', &placement);
    bool right = status == TDSNN_OK;
    for (int i = 0; right && i < graph->node_count; i++) {
        right =
            placement.coded[i] == (marks[i] == 'c') && placement.dropped[i] == (marks[i] == 'd');
    }
    ok(right, "%s is placed as %s %s", letters, marks,
       status == TDSNN_OK ? "" : tdsnn_last_error(ctx));
    if (status == TDSNN_OK) {
        td_placement_free(&placement);
    }
    td_graph_destroy(graph);
}

static void refuses(tdsnn_context *ctx, const char *letters, const char *name) {
    td_graph *graph = chain(ctx, letters);
    td_placement placement;
    td_error_clear(ctx);
    tdsnn_status status = td_place(ctx, graph, false, &placement);
    ok(status == TDSNN_ERR_UNSUPPORTED && strstr(tdsnn_last_error(ctx), name) != NULL,
       "%s is refused for %s: %s", letters, name, tdsnn_last_error(ctx));
    td_graph_destroy(graph);
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
    refuses(ctx, "CCRFI", "'C2'");
    refuses(ctx, "CPFI", "'P2'");
    refuses(ctx, "CRFIR", "'R5'");
    refuses(ctx, "CRBRFI", "'R4'");
    refuses(ctx, "CRBPFI", "'P4'");
    refuses(ctx, "CRF", "'F3'");
    tdsnn_context_destroy(ctx);
    return tap_end();
}
