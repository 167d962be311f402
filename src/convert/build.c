#include "convert/build.h"

#include <string.h>

typedef struct builder {
    tdsnn_context *ctx;
    const td_graph *source;
    const td_placement *placement;
    const tdsnn_code *codes;
    td_graph *coded;
} builder;

static void *copy_array(td_arena *arena, const void *from, size_t count, size_t size) {
    void *to = from == NULL ? NULL : td_arena_alloc(arena, count, size);
    if (to != NULL) {
        memcpy(to, from, count * size);
    }
    return to;
}

/* Appends a copy of the source's node that reads nodes of the coded graph; -1 on failure. */
static int copy_node(builder *b, int index, const int *map) {
    const td_node *from = &b->source->nodes[index];
    td_arena *arena = b->coded->arena;
    size_t inputs = from->input_count > 0 ? (size_t)b->source->nodes[from->inputs[0]].shape.c : 0;
    size_t channels = (size_t)from->shape.c;
    size_t weights = from->op == TD_OP_CONV
                         ? channels * (inputs / (size_t)from->groups) *
                               (size_t)from->window.y.kernel * (size_t)from->window.x.kernel
                         : channels * inputs;
    td_node node = *from;
    node.weights = copy_array(arena, from->weights, weights, sizeof(float));
    node.bias = copy_array(arena, from->bias, channels, sizeof(float));
    node.operand = copy_array(arena, from->operand, channels, sizeof(float));
    int *mapped = td_arena_alloc(arena, (size_t)from->input_count, sizeof *mapped);
    bool lost = (from->weights != NULL && node.weights == NULL) ||
                (from->bias != NULL && node.bias == NULL) ||
                (from->operand != NULL && node.operand == NULL) || mapped == NULL;
    if (lost) {
        return -1;
    }
    for (int k = 0; k < from->input_count; k++) {
        mapped[k] = map[from->inputs[k]];
    }
    node.inputs = mapped;
    return td_graph_append(b->ctx, b->coded, &node);
}

/* Appends the code behind node `at` of the coded graph. */
static int append_code(builder *b, int index, int at) {
    const td_node *source = &b->source->nodes[index];
    const tdsnn_code *code = copy_array(b->coded->arena, &b->codes[index], 1, sizeof *code);
    char *name = td_arena_printf(b->coded->arena, "%s/code", source->name);
    if (code == NULL || name == NULL) {
        return -1;
    }
    return td_graph_append(b->ctx, b->coded,
                           &(td_node){.op = TD_OP_CODE,
                                      .name = name,
                                      .input_count = 1,
                                      .inputs = &at,
                                      .shape = source->shape,
                                      .code = code});
}

static tdsnn_status copy_nodes(builder *b, int *map) {
    for (int i = 0; i < b->source->node_count; i++) {
        if (b->placement->dropped[i]) {
            map[i] = map[b->source->nodes[i].inputs[0]];
            continue;
        }
        map[i] = copy_node(b, i, map);
        if (map[i] >= 0 && b->placement->coded[i]) {
            map[i] = append_code(b, i, map[i]);
        }
        if (map[i] < 0) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return TDSNN_OK;
}

static tdsnn_status build(builder *b, int *map) {
    tdsnn_status status = copy_nodes(b, map);
    if (status != TDSNN_OK) {
        return status;
    }
    td_arena *arena = b->coded->arena;
    b->coded->input_name = td_arena_strdup(arena, b->source->input_name);
    b->coded->output_name = td_arena_strdup(arena, b->source->output_name);
    if (b->source->batch_symbol != NULL) {
        b->coded->batch_symbol = td_arena_strdup(arena, b->source->batch_symbol);
    }
    return b->coded->input_name == NULL || b->coded->output_name == NULL ? TDSNN_ERR_RUNTIME
                                                                         : TDSNN_OK;
}

tdsnn_status td_build_coded(tdsnn_context *ctx, const td_graph *source,
                            const td_placement *placement, const tdsnn_code *codes,
                            td_graph **coded) {
    builder b = {ctx, source, placement, codes, td_graph_create(ctx)};
    int *map = td_alloc(ctx, (size_t)source->node_count, sizeof *map);
    tdsnn_status status = b.coded == NULL || map == NULL ? TDSNN_ERR_RUNTIME : build(&b, map);
    td_free(map);
    if (status != TDSNN_OK) {
        td_graph_destroy(b.coded);
        return status;
    }
    *coded = b.coded;
    return TDSNN_OK;
}
