/* What a tdsnn_model is made of. */
#ifndef TD_NETWORK_MODEL_H
#define TD_NETWORK_MODEL_H

#include <tdsnn/model.h>

#include "graph/lower.h"

struct tdsnn_model {
    char *path;           /* of the file, or of the source it was converted from */
    td_lowering lowering; /* fates; empty for a model that was made here */
    td_graph *graph;      /* NULL if a node was refused */
    int64_t opset;
    td_arena *arena; /* strings of the node table */
    tdsnn_node_info *nodes;
    int node_count;
};

/* A model around a graph made here; takes the graph over, also when it fails. */
tdsnn_status td_model_create(tdsnn_context *ctx, td_graph *graph, const char *path,
                             tdsnn_model **model);

/* Whether data of that scale and normalisation (channels: how many numbers; 0: none, and the file's
 * own is taken) is what the model was converted with; a file that does not say takes any.
 * Errors: TDSNN_ERR_USAGE. */
tdsnn_status td_preprocessing_fits(tdsnn_context *ctx, const tdsnn_model *model, double scale,
                                   int channels, const float *mean, const float *std);

#endif
