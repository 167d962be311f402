#include "network/model.h"

#include "base/number.h"
#include "onnx/onnx.h"

static const char *shape_text(td_arena *arena, td_shape s) {
    return s.flat ? td_arena_printf(arena, "%d", s.c)
                  : td_arena_printf(arena, "%dx%dx%d", s.c, s.h, s.w);
}

/* Fills in what a graph's node says; `kept` is false for one that was folded into it. */
static tdsnn_status describe(tdsnn_model *model, int index, tdsnn_node_info *info) {
    const td_node *node = &model->graph->nodes[index];
    info->shape = shape_text(model->arena, node->shape);
    info->macs = td_node_macs(model->graph, node, false);
    info->macs_padded = td_node_macs(model->graph, node, true);
    info->code = node->op == TD_OP_CODE ? node->code : NULL;
    return info->shape == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

/* One row a node of the file. */
static tdsnn_status describe_fates(tdsnn_model *model) {
    static const tdsnn_node_status status_of[] = {
        [TD_FATE_KEPT] = TDSNN_NODE_SUPPORTED,
        [TD_FATE_FOLDED] = TDSNN_NODE_FOLDED,
        [TD_FATE_REFUSED] = TDSNN_NODE_REFUSED,
    };
    model->node_count = model->lowering.fate_count;
    for (int i = 0; i < model->node_count; i++) {
        const td_fate *fate = &model->lowering.fates[i];
        tdsnn_node_info *info = &model->nodes[i];
        *info = (tdsnn_node_info){.name = fate->name,
                                  .op = fate->op,
                                  .status = status_of[fate->kind],
                                  .reason = fate->reason == NULL ? "" : fate->reason,
                                  .shape = ""};
        bool known = model->graph != NULL && fate->kind == TD_FATE_KEPT && fate->node >= 0;
        if (known && describe(model, fate->node, info) != TDSNN_OK) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return TDSNN_OK;
}

/* One row a node of a graph made here, the input left out. */
static tdsnn_status describe_graph(tdsnn_model *model) {
    for (int i = 1; i < model->graph->node_count; i++) {
        const td_node *node = &model->graph->nodes[i];
        tdsnn_node_info *info = &model->nodes[model->node_count++];
        *info = (tdsnn_node_info){.name = node->name,
                                  .op = td_op_name(node->op),
                                  .status = TDSNN_NODE_SUPPORTED,
                                  .reason = ""};
        if (describe(model, i, info) != TDSNN_OK) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    return TDSNN_OK;
}

/* A model with an arena and room for `nodes` rows. */
static tdsnn_model *model_alloc(tdsnn_context *ctx, const char *path, int nodes) {
    tdsnn_model *model = td_alloc(ctx, 1, sizeof *model);
    if (model == NULL) {
        return NULL;
    }
    model->arena = td_arena_create(ctx);
    if (model->arena != NULL) {
        model->path = td_arena_strdup(model->arena, path);
        model->nodes = td_arena_alloc(model->arena, (size_t)nodes, sizeof *model->nodes);
    }
    if (model->arena == NULL || model->path == NULL || model->nodes == NULL) {
        td_arena_destroy(model->arena);
        td_free(model);
        return NULL;
    }
    return model;
}

static tdsnn_status load_lowered(tdsnn_context *ctx, const char *path, const td_source *source,
                                 tdsnn_model **model) {
    td_lowering lowering = {0};
    tdsnn_status status = td_lower(ctx, source, &lowering);
    if (status != TDSNN_OK) {
        return status;
    }
    tdsnn_model *made = model_alloc(ctx, path, lowering.fate_count);
    if (made == NULL) {
        td_lowering_destroy(&lowering);
        return TDSNN_ERR_RUNTIME;
    }
    made->lowering = lowering;
    made->graph = lowering.graph;
    made->opset = source->opset;
    if (describe_fates(made) != TDSNN_OK) {
        tdsnn_model_destroy(made);
        return TDSNN_ERR_RUNTIME;
    }
    *model = made;
    return TDSNN_OK;
}

tdsnn_status tdsnn_model_load(tdsnn_context *ctx, const char *path, tdsnn_model **model) {
    return tdsnn_model_load_sized(ctx, path, NULL, model);
}

tdsnn_status tdsnn_model_load_sized(tdsnn_context *ctx, const char *path, const char *sizes,
                                    tdsnn_model **model) {
    td_error_clear(ctx);
    td_source *source;
    tdsnn_status status = td_onnx_read(ctx, path, &source);
    if (status != TDSNN_OK) {
        return status;
    }
    if (sizes != NULL) {
        status = td_source_set_sizes(ctx, source, sizes);
    }
    if (status == TDSNN_OK) {
        status = load_lowered(ctx, path, source, model);
    }
    td_source_destroy(source);
    return status;
}

tdsnn_status td_model_create(tdsnn_context *ctx, td_graph *graph, const char *path,
                             tdsnn_model **model) {
    tdsnn_model *made = model_alloc(ctx, path, graph->node_count);
    if (made == NULL) {
        td_graph_destroy(graph);
        return TDSNN_ERR_RUNTIME;
    }
    made->graph = graph;
    made->opset = 15; /* what the writer writes */
    if (describe_graph(made) != TDSNN_OK) {
        tdsnn_model_destroy(made);
        return TDSNN_ERR_RUNTIME;
    }
    *model = made;
    return TDSNN_OK;
}

void tdsnn_model_destroy(tdsnn_model *model) {
    if (model == NULL) {
        return;
    }
    if (model->lowering.arena != NULL) {
        td_lowering_destroy(&model->lowering); /* the graph is part of it */
    } else {
        td_graph_destroy(model->graph);
    }
    td_arena_destroy(model->arena);
    td_free(model);
}

tdsnn_status tdsnn_model_save(tdsnn_context *ctx, const tdsnn_model *model, const char *path,
                              bool force) {
    tdsnn_status status = tdsnn_model_check(ctx, model);
    return status != TDSNN_OK ? status : td_onnx_write(ctx, model->graph, path, force);
}

tdsnn_status tdsnn_model_save_inline(tdsnn_context *ctx, const tdsnn_model *model, const char *path,
                                     bool force) {
    tdsnn_status status = tdsnn_model_check(ctx, model);
    return status != TDSNN_OK ? status : td_onnx_write_inline(ctx, model->graph, path, force);
}

bool tdsnn_model_is_spiking(const tdsnn_model *model) {
    return model->graph != NULL && td_graph_is_spiking(model->graph);
}

int tdsnn_model_node_count(const tdsnn_model *model) {
    return model->node_count;
}

tdsnn_node_info tdsnn_model_node(const tdsnn_model *model, int index) {
    return model->nodes[index];
}

tdsnn_status tdsnn_model_check(tdsnn_context *ctx, const tdsnn_model *model) {
    td_error_clear(ctx);
    return model->graph != NULL ? TDSNN_OK : td_lowering_check(ctx, &model->lowering, model->path);
}

tdsnn_status tdsnn_model_get_shape(tdsnn_context *ctx, const tdsnn_model *model,
                                   tdsnn_model_shape *shape) {
    tdsnn_status status = tdsnn_model_check(ctx, model);
    if (status != TDSNN_OK) {
        return status;
    }
    const td_graph *graph = model->graph;
    td_shape in = graph->nodes[0].shape, out = graph->nodes[graph->node_count - 1].shape;
    *shape = (tdsnn_model_shape){
        .input_name = graph->input_name,
        .output_name = graph->output_name,
        .input = {in.c, in.h, in.w},
        .input_flat = in.flat,
        .outputs = (int)td_shape_count(out),
        .opset = (long)model->opset,
    };
    return TDSNN_OK;
}

const char *tdsnn_model_metadata(const tdsnn_model *model, const char *key) {
    return model->graph == NULL ? NULL : td_graph_metadata(model->graph, key);
}

/* Whether "0.5,0.25" are these numbers, as float32. */
static bool same_numbers(const char *recorded, const float *numbers, int count) {
    for (int i = 0; i < count && recorded != NULL; i++) {
        const char *end;
        double number;
        bool same = td_number_read(recorded, &number, &end) && (float)number == numbers[i];
        recorded = same && *end == (i + 1 < count ? ',' : '\0') ? end + 1 : NULL;
    }
    return recorded != NULL;
}

tdsnn_status td_preprocessing_fits(tdsnn_context *ctx, const tdsnn_model *model, double scale,
                                   int channels, const float *mean, const float *std) {
    const char *recorded = tdsnn_model_metadata(model, "tdsnn.scale"), *end;
    double needed;
    if (recorded != NULL && (!td_number_read(recorded, &needed, &end) || needed != scale)) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "'%s' was converted for data of scale %s, but this data has scale %.17g; "
                        "give --scale %s or convert again",
                        model->path, recorded, scale, recorded);
    }
    bool converted = tdsnn_model_metadata(model, "tdsnn.layout") != NULL;
    if (converted && channels > 0 &&
        !(same_numbers(tdsnn_model_metadata(model, "tdsnn.mean"), mean, channels) &&
          same_numbers(tdsnn_model_metadata(model, "tdsnn.std"), std, channels))) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "'%s' has the normalisation it was converted with inside, and this data "
                        "has another; leave mean and std out, or convert again",
                        model->path);
    }
    return TDSNN_OK;
}
