/* Runs a graph densely, as the DNN it is: for source accuracy, calibration, and as an oracle. Codes
 * in the graph run too (x -> values[T(x)]), so a converted file can be run the plain way. */
#ifndef TD_DENSE_DENSE_H
#define TD_DENSE_DENSE_H

#include "graph/graph.h"

/* A session: the buffers of one thread. The graph must outlive it. */
typedef struct td_dense td_dense;
tdsnn_status td_dense_create(tdsnn_context *ctx, const td_graph *graph, td_dense **session);
void td_dense_destroy(td_dense *session);

/* Runs one sample, [C][H][W] of the graph's input. Never fails. */
void td_dense_run(td_dense *session, const float *input);

/* The same in steps: the input, then node after node from 1 on, each once what it reads is there.
 */
void td_dense_feed(td_dense *session, const float *input);
void td_dense_run_node(td_dense *session, int node);

/* The value of a node after the last run, [C][H][W] of its shape; valid until the next run. */
const float *td_dense_value(const td_dense *session, int node);

#endif
