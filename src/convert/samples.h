/* Passes over the calibration samples, on all threads. */
#ifndef TD_CONVERT_SAMPLES_H
#define TD_CONVERT_SAMPLES_H

#include <tdsnn/data.h>

#include "convert/place.h"
#include "convert/scale.h"

/* Distinct samples of the data, drawn by seed. */
typedef struct td_samples {
    const tdsnn_data *data;
    size_t count;
    size_t *indices; /* [count] of the data */
} td_samples;

/* Draws `count` samples, or all if there are fewer. Errors: TDSNN_ERR_INPUT if there are none. */
tdsnn_status td_samples_draw(tdsnn_context *ctx, const tdsnn_data *data, size_t count,
                             uint64_t seed, td_samples *samples);
void td_samples_free(td_samples *samples);

/* Reads sample `index` in 0 .. count-1. Errors: as tdsnn_data_read. Threads: safe. */
tdsnn_status td_samples_read(tdsnn_context *ctx, const td_samples *samples, size_t index,
                             float *values);

/* Runs the plain graph on the samples and gives a histogram of every coded node's values:
 * [node_count], NULL at the others. Memory: td_histograms_free. */
tdsnn_status td_survey(tdsnn_context *ctx, const td_graph *graph, const td_placement *placement,
                       const td_samples *samples, td_histogram ***histograms);
void td_histograms_free(const td_graph *graph, td_histogram **histograms);

/* Takes off every bias of the coded graph what rounding to codes has added to its channel's mean
 * drive [X], layer after layer, each on the corrected ones before it. Sums are taken in the order
 * of the samples, so the number of threads changes nothing. */
tdsnn_status td_correct_biases(tdsnn_context *ctx, const td_graph *plain, td_graph *coded,
                               const td_samples *samples);

/* On how many samples the plain and the coded graph predict the same class. */
tdsnn_status td_agreement(tdsnn_context *ctx, const td_graph *plain, const td_graph *coded,
                          const td_samples *samples, size_t *agreements);

#endif
