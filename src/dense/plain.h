/* The operators in plain C, one sample at a time: each as its definition says, sums in float. */
#ifndef TD_DENSE_PLAIN_H
#define TD_DENSE_PLAIN_H

#include "graph/graph.h"

/* Computes node `index` (not the input) from what it reads, [input_count] values of [C][H][W].
 * Exact: the same bits on every machine and thread. */
void td_plain_run_node(const td_graph *graph, int index, const float *const *inputs, float *output);

#endif
