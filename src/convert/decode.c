#include "convert/decode.h"

static bool is_constant(td_op op) {
    return op == TD_OP_SUB || op == TD_OP_DIV || op == TD_OP_MUL || op == TD_OP_SHIFT;
}

/* Follows one more constant node. */
static void apply(const td_node *node, float *scale, float *shift) {
    for (int c = 0; c < node->shape.c; c++) {
        float operand = node->operand[c];
        switch (node->op) {
        case TD_OP_SUB:
            shift[c] -= operand;
            break;
        case TD_OP_SHIFT:
            shift[c] += operand;
            break;
        case TD_OP_DIV:
            scale[c] /= operand;
            shift[c] /= operand;
            break;
        default:
            scale[c] *= operand;
            shift[c] *= operand;
            break;
        }
    }
}

/* Puts into the node what takes a code's place; false: nothing does. */
static bool decode(td_node *node) {
    if (node->op != TD_OP_CODE) {
        return true;
    }
    node->op = node->negative == 0.0f ? TD_OP_RELU : TD_OP_LEAKY;
    node->code = NULL;
    return node->negative != 1.0f && node->inputs[0] != 0;
}

/* Copies node i; map[] gives the copy's number of each earlier one. */
static tdsnn_status copy_node(tdsnn_context *ctx, const td_graph *coded, int i, td_graph *made,
                              int *map) {
    td_node node = coded->nodes[i];
    if (!decode(&node)) {
        map[i] = map[node.inputs[0]];
        return TDSNN_OK;
    }
    int *inputs = td_arena_alloc(made->arena, (size_t)node.input_count, sizeof *inputs);
    if (inputs == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int k = 0; k < node.input_count; k++) {
        inputs[k] = map[node.inputs[k]];
    }
    node.inputs = inputs;
    map[i] = td_graph_append(ctx, made, &node);
    return map[i] < 0 ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static tdsnn_status copy_all(tdsnn_context *ctx, const td_graph *coded, td_graph *made, int *map,
                             float *scale, float *shift) {
    for (int c = 0; c < coded->nodes[0].shape.c; c++) {
        scale[c] = 1.0f;
    }
    for (int i = 0; i < coded->node_count; i++) {
        const td_node *node = &coded->nodes[i];
        bool before = i > 0 && is_constant(node->op) && map[node->inputs[0]] == 0 &&
                      td_graph_consumers(coded, node->inputs[0]) == 1;
        if (before) {
            apply(node, scale, shift);
            map[i] = 0;
        } else if (copy_node(ctx, coded, i, made, map) != TDSNN_OK) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return TDSNN_OK;
}

tdsnn_status td_build_decoded(tdsnn_context *ctx, const td_graph *coded, td_graph **decoded,
                              const float **scale, const float **shift) {
    td_graph *made = td_graph_create(ctx);
    int *map = td_alloc(ctx, (size_t)coded->node_count, sizeof *map);
    size_t channels = (size_t)coded->nodes[0].shape.c;
    float *scales = made == NULL ? NULL : td_arena_alloc(made->arena, channels, sizeof *scales);
    float *shifts = made == NULL ? NULL : td_arena_alloc(made->arena, channels, sizeof *shifts);
    tdsnn_status status = map == NULL || scales == NULL || shifts == NULL
                              ? TDSNN_ERR_RUNTIME
                              : copy_all(ctx, coded, made, map, scales, shifts);
    td_free(map);
    if (status != TDSNN_OK) {
        td_graph_destroy(made);
        return status;
    }
    made->input_name = coded->input_name;
    made->output_name = coded->output_name;
    *decoded = made;
    *scale = scales;
    *shift = shifts;
    return TDSNN_OK;
}
