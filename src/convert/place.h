/* Where codes go. */
#ifndef TD_CONVERT_PLACE_H
#define TD_CONVERT_PLACE_H

#include "graph/graph.h"

/* What conversion does with each node of a plain graph; both [node_count]. */
typedef struct td_placement {
    bool *coded;   /* a code is put directly behind it: the input, drives in front of a ReLU */
    bool *dropped; /* a ReLU: the code is its rectification */
} td_placement;

/* Places the codes of a network. analog: the input gets none.
 * Errors: TDSNN_ERR_UNSUPPORTED naming the node and the reason. Memory: td_placement_free. */
tdsnn_status td_place(tdsnn_context *ctx, const td_graph *graph, bool analog,
                      td_placement *placement);
void td_placement_free(td_placement *placement);

#endif
