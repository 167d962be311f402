#include "convert/build.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

typedef struct builder {
    tdsnn_context *ctx;
    const td_graph *source;
    const td_placement *placement; /* NULL: no codes */
    const tdsnn_code *codes;
    const tdsnn_data_info *data; /* NULL: no normalisation */
    const char **names;          /* [source->node_count] of the source's nodes, sorted */
    td_graph *made;
} builder;

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static tdsnn_status list_names(builder *b) {
    size_t count = (size_t)b->source->node_count;
    b->names = td_alloc(b->ctx, count, sizeof *b->names);
    if (b->names == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < count; i++) {
        b->names[i] = b->source->nodes[i].name;
    }
    qsort(b->names, count, sizeof *b->names, compare_names);
    return TDSNN_OK;
}

/* The stem with the ending, and with "-2", "-3", ... behind it where a node of the source is called
 * so: those keep their names. NULL without memory. */
static const char *new_name(builder *b, const char *stem, const char *ending) {
    const char *name = td_arena_printf(b->made->arena, "%s%s", stem, ending);
    for (int i = 2; name != NULL && bsearch(&name, b->names, (size_t)b->source->node_count,
                                            sizeof *b->names, compare_names) != NULL;
         i++) {
        name = td_arena_printf(b->made->arena, "%s%s-%d", stem, ending, i);
    }
    return name;
}

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
    td_arena *arena = b->made->arena;
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
    return td_graph_append(b->ctx, b->made, &node);
}

/* Appends the code behind node `at` of the coded graph. */
static int append_code(builder *b, int index, int at) {
    const td_node *source = &b->source->nodes[index];
    const tdsnn_code *code = copy_array(b->made->arena, &b->codes[index], 1, sizeof *code);
    const char *name = new_name(b, source->name, "/code");
    if (code == NULL || name == NULL) {
        return -1;
    }
    return td_graph_append(b->ctx, b->made,
                           &(td_node){.op = TD_OP_CODE,
                                      .name = name,
                                      .input_count = 1,
                                      .inputs = &at,
                                      .shape = source->shape,
                                      .negative = b->placement->sites[index].negative,
                                      .code = code});
}

/* Appends (x - mean) / std behind node `at`, the input, a constant a channel. */
static int append_normalisation(builder *b, int at) {
    td_shape shape = b->made->nodes[at].shape;
    float *means = td_arena_alloc(b->made->arena, (size_t)shape.c, sizeof *means);
    float *stds = td_arena_alloc(b->made->arena, (size_t)shape.c, sizeof *stds);
    const char *mean_name = new_name(b, "input", "-mean"), *std_name = new_name(b, "input", "-std");
    if (means == NULL || stds == NULL || mean_name == NULL || std_name == NULL) {
        return -1;
    }
    for (int c = 0; c < shape.c; c++) {
        int own = b->data->channels_normalised == 1 ? 0 : c;
        means[c] = b->data->mean[own];
        stds[c] = b->data->std[own];
    }
    td_node subtract = {.op = TD_OP_SUB,
                        .name = mean_name,
                        .input_count = 1,
                        .inputs = &at,
                        .shape = shape,
                        .operand = means};
    int centred = td_graph_append(b->ctx, b->made, &subtract);
    td_node divide = {.op = TD_OP_DIV,
                      .name = std_name,
                      .input_count = 1,
                      .inputs = &centred,
                      .shape = shape,
                      .operand = stds};
    return centred < 0 ? -1 : td_graph_append(b->ctx, b->made, &divide);
}

/* Whether a Clip has an end on either side of 0, and they differ: no pair of one code does that. */
static bool has_two_ends(const td_node *node) {
    return node->op == TD_OP_CLIP && node->low < 0.0f && node->low != -node->high;
}

/* Appends a node of one input that is called as node `index` of the source with the ending. */
static int append_part(builder *b, int index, const char *ending, int at, td_node node) {
    node.name = new_name(b, b->source->nodes[index].name, ending);
    node.input_count = 1;
    node.inputs = &at;
    node.shape = b->source->nodes[index].shape;
    return node.name == NULL || at < 0 ? -1 : td_graph_append(b->ctx, b->made, &node);
}

/* What is above 0, up to an end. */
static td_node side(float end) {
    return end == FLT_MAX ? (td_node){.op = TD_OP_RELU} : (td_node){.op = TD_OP_CLIP, .high = end};
}

/* Appends Clip(x, low, high) as Clip(x, 0, high) - Clip(-x, 0, -low) [X]: a code for either side,
 * capped at its own end. */
static int append_sides(builder *b, int index, int at) {
    const td_node *clip = &b->source->nodes[index];
    float *signs = td_arena_alloc(b->made->arena, (size_t)clip->shape.c, sizeof *signs);
    if (signs == NULL) {
        return -1;
    }
    for (int c = 0; c < clip->shape.c; c++) {
        signs[c] = -1.0f;
    }
    td_node flip = {.op = TD_OP_MUL, .operand = signs};
    int sides[2] = {append_part(b, index, "/above", at, side(clip->high))};
    int below = append_part(b, index, "/minus", at, flip);
    below = append_part(b, index, "/below", below, side(-clip->low));
    sides[1] = append_part(b, index, "/back", below, flip);
    td_node sum = {.op = TD_OP_ADD,
                   .name = clip->name,
                   .input_count = 2,
                   .inputs = sides,
                   .shape = clip->shape};
    return sides[0] < 0 || sides[1] < 0 ? -1 : td_graph_append(b->ctx, b->made, &sum);
}

static int append_node(builder *b, int index, const int *map) {
    const td_node *node = &b->source->nodes[index];
    return b->placement == NULL && has_two_ends(node) ? append_sides(b, index, map[node->inputs[0]])
                                                      : copy_node(b, index, map);
}

static tdsnn_status copy_nodes(builder *b, int *map) {
    static const td_site plain = {.coded = false};
    for (int i = 0; i < b->source->node_count; i++) {
        const td_site *site = b->placement == NULL ? &plain : &b->placement->sites[i];
        map[i] = site->dropped ? map[b->source->nodes[i].inputs[0]] : append_node(b, i, map);
        if (map[i] >= 0 && site->coded) {
            map[i] = append_code(b, i, map[i]);
        }
        if (map[i] >= 0 && i == 0 && b->data != NULL) {
            map[i] = append_normalisation(b, map[i]);
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
    td_arena *arena = b->made->arena;
    b->made->input_name = td_arena_strdup(arena, b->source->input_name);
    b->made->output_name = td_arena_strdup(arena, b->source->output_name);
    if (b->source->batch_symbol != NULL) {
        b->made->batch_symbol = td_arena_strdup(arena, b->source->batch_symbol);
    }
    return b->made->input_name == NULL || b->made->output_name == NULL ? TDSNN_ERR_RUNTIME
                                                                       : TDSNN_OK;
}

static tdsnn_status make(builder *b, td_graph **made) {
    b->made = td_graph_create(b->ctx);
    int *map = td_alloc(b->ctx, (size_t)b->source->node_count, sizeof *map);
    tdsnn_status status = b->made == NULL || map == NULL ? TDSNN_ERR_RUNTIME : list_names(b);
    status = status != TDSNN_OK ? status : build(b, map);
    td_free(b->names);
    td_free(map);
    if (status != TDSNN_OK) {
        td_graph_destroy(b->made);
        return status;
    }
    *made = b->made;
    return TDSNN_OK;
}

tdsnn_status td_build_normalised(tdsnn_context *ctx, const td_graph *source,
                                 const tdsnn_data_info *data, td_graph **normalised) {
    builder b = {.ctx = ctx, .source = source, .data = data->channels_normalised > 0 ? data : NULL};
    return make(&b, normalised);
}

tdsnn_status td_build_coded(tdsnn_context *ctx, const td_graph *source,
                            const td_placement *placement, const tdsnn_code *codes,
                            td_graph **coded) {
    builder b = {.ctx = ctx, .source = source, .placement = placement, .codes = codes};
    return make(&b, coded);
}
