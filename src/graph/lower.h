/* From the file's operators to ours: what is supported, what is folded away, what is refused. */
#ifndef TD_GRAPH_LOWER_H
#define TD_GRAPH_LOWER_H

#include "graph/graph.h"

/* What became of one node of the file. */
typedef enum td_fate_kind {
    TD_FATE_KEPT,   /* stands in the graph as an operator of its own */
    TD_FATE_FOLDED, /* taken up by another node, or needs nothing */
    TD_FATE_REFUSED /* cannot be taken over; `reason` says why and what to do */
} td_fate_kind;

typedef struct td_fate {
    const char *name, *op; /* as in the file */
    td_fate_kind kind;
    const char *reason; /* of a folding or a refusal; "" for a kept node */
    int node;           /* the graph's node that stands for it; -1 if none */
} td_fate;

typedef struct td_lowering {
    td_graph *graph; /* NULL if anything was refused */
    int fate_count;
    td_fate *fates; /* one a node of the file, in its order; live in `arena` */
    td_arena *arena;
} td_lowering;

/* Lowers a network: resolves constants, folds (in double, rounded once at the end), checks shapes.
 * Refusals of nodes are no error: they stand in the fates, so that `info` can show all of them.
 * Errors: TDSNN_ERR_INPUT for a file that contradicts itself (naming node, cause and remedy);
 * TDSNN_ERR_UNSUPPORTED for what no node is to blame for (several inputs or outputs, a symbolic
 * input dimension, a constant as output); TDSNN_ERR_RUNTIME.
 * Memory: td_lowering_destroy; the source may go before. The caller may take `graph` over by
 * setting it to NULL here. */
tdsnn_status td_lower(tdsnn_context *ctx, const td_source *source, td_lowering *lowering);
void td_lowering_destroy(td_lowering *lowering);

/* TDSNN_ERR_UNSUPPORTED with the first refusal's sentence, or TDSNN_OK. */
tdsnn_status td_lowering_check(tdsnn_context *ctx, const td_lowering *lowering, const char *path);

#endif
