/* Files for tools without functions: the body of TemporalCode in place of every call. */
#include <string.h>

#include "onnx/function.h"
#include "onnx/reader.h"

typedef struct inliner {
    tdsnn_context *ctx;
    td_arena *arena;
    Onnx__GraphProto *graph;
    const Onnx__FunctionProto *function; /* each node of its body gives one value */
    size_t call_count;
    const char **names; /* [call][node of the body]: of the node, and of what it gives */
} inliner;

static bool is_call(const Onnx__NodeProto *node) {
    return node->domain != NULL && strcmp(node->domain, TD_CODE_DOMAIN) == 0 &&
           strcmp(node->op_type, TD_CODE_FUNCTION) == 0;
}

/* The names that the graph has; gives how many. With `names` NULL it only counts. */
static size_t list_names(const Onnx__GraphProto *graph, const char **names) {
    size_t count = 0;
    for (size_t i = 0; i < graph->n_node; i++) {
        const char *own[] = {graph->node[i]->name, graph->node[i]->output[0]};
        for (size_t j = 0; j < 2; j++, count++) {
            if (names != NULL) {
                names[count] = own[j];
            }
        }
    }
    for (size_t i = 0; i < graph->n_initializer + graph->n_input; i++, count++) {
        if (names != NULL) {
            names[count] = i < graph->n_initializer ? graph->initializer[i]->name
                                                    : graph->input[i - graph->n_initializer]->name;
        }
    }
    return count;
}

/* Names every node of every body "CALL.NODE", past the names that are taken. */
static tdsnn_status name_bodies(inliner *in) {
    const Onnx__FunctionProto *f = in->function;
    size_t taken = list_names(in->graph, NULL), made = in->call_count * f->n_node;
    const char **names = td_arena_alloc(in->arena, taken + made, sizeof *names);
    if (names == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    list_names(in->graph, names);
    in->names = names + taken;
    for (size_t i = 0, next = 0; i < in->graph->n_node; i++) {
        const Onnx__NodeProto *node = in->graph->node[i];
        for (size_t j = 0; is_call(node) && j < f->n_node; j++) {
            in->names[next] =
                td_arena_printf(in->arena, "%s.%s", node->name, f->node[j]->output[0]);
            if (in->names[next++] == NULL) {
                return TDSNN_ERR_RUNTIME;
            }
        }
    }
    return td_names_unique(in->ctx, in->arena, names, (int)(taken + made));
}

/* What the body calls `name`, in a call whose nodes have these names. */
static const char *outer_name(const inliner *in, const Onnx__NodeProto *call, const char **names,
                              const char *name) {
    const Onnx__FunctionProto *f = in->function;
    for (size_t i = 0; i < f->n_input; i++) {
        if (strcmp(name, f->input[i]) == 0) {
            return call->input[i];
        }
    }
    for (size_t i = 0; i < f->n_node; i++) {
        if (strcmp(name, f->node[i]->output[0]) == 0) {
            return strcmp(name, f->output[0]) == 0 ? call->output[0] : names[i];
        }
    }
    return NULL; /* our own body names no others */
}

/* A copy of one node of the body with the call's values; its attributes are shared. */
static Onnx__NodeProto *copy_node(const inliner *in, const Onnx__NodeProto *call,
                                  const char **names, size_t index) {
    const Onnx__NodeProto *node = in->function->node[index];
    Onnx__NodeProto *copy = td_arena_alloc(in->arena, 1, sizeof *copy);
    char **values = td_arena_alloc(in->arena, node->n_input + 1, sizeof *values);
    if (copy == NULL || values == NULL) {
        return NULL;
    }
    *copy = *node;
    copy->name = (char *)names[index];
    copy->output = values;
    copy->input = values + 1;
    values[0] = (char *)outer_name(in, call, names, node->output[0]);
    for (size_t i = 0; i < node->n_input; i++) {
        copy->input[i] = (char *)outer_name(in, call, names, node->input[i]);
    }
    return copy;
}

static tdsnn_status replace_calls(const inliner *in) {
    Onnx__GraphProto *graph = in->graph;
    size_t size = in->function->n_node, total = graph->n_node + in->call_count * size, count = 0;
    Onnx__NodeProto **nodes = td_arena_alloc(in->arena, total, sizeof(Onnx__NodeProto *));
    if (nodes == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    const char **names = in->names;
    for (size_t i = 0; i < graph->n_node; i++) {
        if (!is_call(graph->node[i])) {
            nodes[count++] = graph->node[i];
            continue;
        }
        for (size_t j = 0; j < size; j++) {
            nodes[count] = copy_node(in, graph->node[i], names, j);
            if (nodes[count++] == NULL) {
                return TDSNN_ERR_RUNTIME;
            }
        }
        names += size;
    }
    graph->node = nodes;
    graph->n_node = count;
    return TDSNN_OK;
}

tdsnn_status td_inline_codes(tdsnn_context *ctx, td_arena *arena, Onnx__GraphProto *graph) {
    inliner in = {.ctx = ctx, .arena = arena, .graph = graph, .function = td_temporal_code(arena)};
    if (in.function == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < graph->n_node; i++) {
        in.call_count += is_call(graph->node[i]);
    }
    tdsnn_status status = name_bodies(&in);
    return status == TDSNN_OK ? replace_calls(&in) : status;
}
