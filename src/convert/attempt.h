/* Conversions of one network at one leak or several, which share the calibration. */
#ifndef TD_CONVERT_ATTEMPT_H
#define TD_CONVERT_ATTEMPT_H

#include <tdsnn/convert.h>

#include "convert/equalise.h"

/* What all attempts share. */
typedef struct td_calibration {
    const td_graph *source; /* the plain graph, the data's normalisation behind its input */
    const tdsnn_convert_options *options; /* defaults filled in */
    td_placement placement;
    td_samples samples;
    size_t *channels;          /* [source->node_count + 1], their numbering */
    td_histogram **histograms; /* [source->node_count], of coded nodes */
    td_equaliser *equaliser;   /* NULL: factors are 1 */
} td_calibration;

/* Places the codes and runs the source on samples of the data.
 * Errors: TDSNN_ERR_UNSUPPORTED naming the node. Memory: td_calibration_free. */
tdsnn_status td_calibration_create(tdsnn_context *ctx, const td_graph *source,
                                   const tdsnn_data *data, const tdsnn_convert_options *options,
                                   td_calibration *calibration);
void td_calibration_free(td_calibration *calibration);

/* The network converted at one leak. */
typedef struct td_attempt {
    double leak;           /* of the hidden layers */
    tdsnn_code *codes;     /* [node_count]; those of coded nodes are set */
    td_code_error *errors; /* likewise, on the calibration samples */
    double *factors;       /* [channels] what values are divided by */
    /* [node_count] of the drives divided, which the codes were fitted to; NULL: the calibration's
     */
    td_histogram **histograms;
    size_t node_count;
    td_graph *coded;
} td_attempt;

/* Memory: td_attempt_free. */
tdsnn_status td_attempt_make(tdsnn_context *ctx, const td_calibration *calibration, double leak,
                             td_attempt *attempt);

/* The same network with values up to shares[i] of the largest of node i's code silent, biases
 * corrected anew where that was asked for; 0 leaves a code as it is. shares: [node_count].
 * Memory: td_attempt_free. */
tdsnn_status td_attempt_silence(tdsnn_context *ctx, const td_calibration *calibration,
                                const td_attempt *base, const double *shares, td_attempt *attempt);

/* The histogram that the code of a coded node was fitted to. */
const td_histogram *td_attempt_histogram(const td_calibration *calibration,
                                         const td_attempt *attempt, int node);
void td_attempt_free(td_attempt *attempt);

#endif
