/* The coded graph: the plain one with codes where they were placed. */
#ifndef TD_CONVERT_BUILD_H
#define TD_CONVERT_BUILD_H

#include <tdsnn/data.h>

#include "convert/place.h"

/* Copies the graph, puts the normalisation of the data, if it has one, behind the input, and splits
 * Clips with different ends below and above 0: Clip(x, 0, b) - Clip(-x, 0, a). */
tdsnn_status td_build_normalised(tdsnn_context *ctx, const td_graph *source,
                                 const tdsnn_data_info *data, td_graph **normalised);

/* Copies the graph, puts codes[i] behind every coded node i and leaves out the dropped ones.
 * codes: [source->node_count]. Metadata is not copied. Memory: td_graph_destroy. */
tdsnn_status td_build_coded(tdsnn_context *ctx, const td_graph *source,
                            const td_placement *placement, const tdsnn_code *codes,
                            td_graph **coded);

#endif
