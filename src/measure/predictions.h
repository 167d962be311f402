/* Predictions as text, one class a line, by number or by name. */
#ifndef TD_MEASURE_PREDICTIONS_H
#define TD_MEASURE_PREDICTIONS_H

#include "base/context.h"

typedef struct td_predictions td_predictions;

/* path "-" is stdout. labels: a file of class names, one a line, or NULL for numbers.
 * Errors: TDSNN_ERR_USAGE, TDSNN_ERR_INPUT (labels), TDSNN_ERR_RUNTIME. */
tdsnn_status td_predictions_open(tdsnn_context *ctx, const char *path, const char *labels,
                                 bool force, td_predictions **out);
/* Errors: TDSNN_ERR_INPUT when the labels file has no such line. */
tdsnn_status td_predictions_write(td_predictions *predictions, int prediction);
/* Finishes the file if all went well so far, else leaves nothing; frees. Gives the status on. */
tdsnn_status td_predictions_close(td_predictions *predictions, tdsnn_status so_far);

#endif
