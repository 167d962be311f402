#include "onnx/reader.h"

/* The walk from one node back to what it needs, without recursion: a hostile file may hold a chain
 * of a million nodes. */
typedef struct walk {
    int *next;  /* the input of a node to look at next; -1: not visited yet */
    int *stack; /* nodes being visited */
    int *order; /* nodes done, each after those it needs */
    int depth, done;
} walk;

static void push(walk *w, int node) {
    w->next[node] = 0;
    w->stack[w->depth++] = node;
}

/* Takes one step; false on a cycle, which the node on top of the stack closes. */
static bool step(walk *w, const td_source *source, const int *maker) {
    int node = w->stack[w->depth - 1];
    const td_source_node *n = &source->nodes[node];
    if (w->next[node] == n->input_count) {
        w->order[w->done++] = node;
        w->depth--;
        w->next[node]++; /* done */
        return true;
    }
    int value = n->inputs[w->next[node]++];
    int needed = value < 0 ? -1 : maker[value];
    if (needed < 0) {
        return true;
    }
    if (w->next[needed] < 0) {
        push(w, needed);
        return true;
    }
    return w->next[needed] > source->nodes[needed].input_count;
}

static tdsnn_status sort(tdsnn_context *ctx, td_source *source, const int *maker, walk *w) {
    for (int root = 0; root < source->node_count; root++) {
        if (w->next[root] < 0) {
            push(w, root);
        }
        while (w->depth > 0) {
            if (!step(w, source, maker)) {
                const td_source_node *n = &source->nodes[w->stack[w->depth - 1]];
                return td_error(ctx, TDSNN_ERR_INPUT,
                                "node '%s' (%s) needs its own result: the graph has a cycle",
                                n->name, n->op);
            }
        }
    }
    td_source_node *sorted =
        td_arena_alloc(source->arena, (size_t)source->node_count, sizeof *sorted);
    if (sorted == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < source->node_count; i++) {
        sorted[i] = source->nodes[w->order[i]];
    }
    source->nodes = sorted;
    return TDSNN_OK;
}

tdsnn_status td_order_nodes(tdsnn_context *ctx, td_source *source, const int *maker) {
    size_t count = (size_t)source->node_count;
    int *memory = td_alloc(ctx, count, 3 * sizeof *memory);
    if (memory == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    walk w = {.next = memory, .stack = memory + count, .order = memory + 2 * count};
    for (size_t i = 0; i < count; i++) {
        w.next[i] = -1;
    }
    tdsnn_status status = sort(ctx, source, maker, &w);
    td_free(memory);
    return status;
}
