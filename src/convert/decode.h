/* The dense network that a coded one computes with codes: what it is compared with for speed. */
#ifndef TD_CONVERT_DECODE_H
#define TD_CONVERT_DECODE_H

#include "graph/graph.h"

/* Copies the coded graph with rectifiers in place of its codes (nothing in place of the input's and
 * of pairs), names kept. Constants that only the input passes through are left out: the caller
 * normalises samples with scale and shift, [C] each in the graph's arena: x' = x scale + shift. The
 * copy shares the arrays of `coded`, which must outlive it. Memory: td_graph_destroy. */
tdsnn_status td_build_decoded(tdsnn_context *ctx, const td_graph *coded, td_graph **decoded,
                              const float **scale, const float **shift);

#endif
