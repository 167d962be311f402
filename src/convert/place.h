/* Where codes go. */
#ifndef TD_CONVERT_PLACE_H
#define TD_CONVERT_PLACE_H

#include "graph/graph.h"

/* What conversion does with one node of a plain graph. */
typedef struct td_site {
    bool coded;     /* a code is put behind it, or takes its place */
    bool dropped;   /* it goes: a code before it does its work, or takes its place */
    float negative; /* of the code: 0 one neuron, 1 a signed pair, or a LeakyReLU's slope */
    float cap;      /* of the code: the largest value it may stand for; INFINITY without */
} td_site;

typedef struct td_placement {
    td_site *sites; /* [node_count] */
    /* The input's spikes enter a layer together with others: one membrane, so one leak. */
    bool input_joins;
} td_placement;

/* Places the codes of a network. analog: the input gets none. Whether the input's is a pair shows
 * only in its values and is left to the caller.
 * Errors: TDSNN_ERR_UNSUPPORTED naming the node and the reason. Memory: td_placement_free. */
tdsnn_status td_place(tdsnn_context *ctx, const td_graph *graph, bool analog,
                      td_placement *placement);
void td_placement_free(td_placement *placement);

#endif
