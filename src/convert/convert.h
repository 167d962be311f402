/* Conversion of a graph that is in memory. */
#ifndef TD_CONVERT_CONVERT_H
#define TD_CONVERT_CONVERT_H

#include <tdsnn/convert.h>

#include "graph/graph.h"

/* tdsnn_convert for a plain graph with the data's normalisation behind its input already, that the
 * data fits. path: what the model is called. */
tdsnn_status td_convert(tdsnn_context *ctx, const td_graph *source, const char *path,
                        const tdsnn_data *calibration, const tdsnn_convert_options *options,
                        tdsnn_model **converted, tdsnn_convert_report **report);

#endif
