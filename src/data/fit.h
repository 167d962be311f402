/* Whether data suits a network. */
#ifndef TD_DATA_FIT_H
#define TD_DATA_FIT_H

#include <tdsnn/data.h>

#include "graph/shape.h"

/* A flat input takes samples of any shape with as many values.
 * Errors: TDSNN_ERR_USAGE naming both shapes. */
tdsnn_status td_data_fits(tdsnn_context *ctx, const tdsnn_data *data, td_shape input);

#endif
