/* Passes over the calibration samples, on all threads. */
#ifndef TD_CONVERT_SAMPLES_H
#define TD_CONVERT_SAMPLES_H

#include <stdint.h>

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

/* Where the drives of one channel of a coded node are counted, and how. */
typedef struct td_target {
    size_t histogram; /* its number, or TD_NOWHERE */
    td_counting how;
} td_target;
#define TD_NOWHERE SIZE_MAX

typedef struct td_survey_plan {
    const size_t *channels;   /* [node_count + 1], of td_number_channels */
    const td_target *targets; /* [channels of all nodes]; those of coded nodes are read */
    size_t histogram_count;
    int precision; /* of the histograms */
} td_survey_plan;

/* Numbers the channels of all nodes: node i's are numbers[i] .. numbers[i + 1] - 1.
 * numbers: [node_count + 1]. Errors: NULL with TDSNN_ERR_RUNTIME recorded. Memory: td_free. */
size_t *td_number_channels(tdsnn_context *ctx, const td_graph *graph);

/* Runs the plain graph on the samples and counts what the codes will encode: histograms
 * [histogram_count], NULL where no target points. Memory: td_histograms_free. */
tdsnn_status td_survey(tdsnn_context *ctx, const td_graph *graph, const td_placement *placement,
                       const td_samples *samples, const td_survey_plan *plan,
                       td_histogram ***histograms);
void td_histograms_free(td_histogram **histograms, size_t count);

/* Takes off every bias of the coded graph what rounding to codes has added to its channel's mean
 * drive [X], layer after layer, each on the corrected ones before it. Sums are taken in the order
 * of the samples, so the number of threads changes nothing.
 * factors: what the plain graph's values are divided by in the coded one, [channels of all its
 * nodes], numbered by `channels`. */
tdsnn_status td_correct_biases(tdsnn_context *ctx, const td_graph *plain, td_graph *coded,
                               const td_samples *samples, const size_t *channels,
                               const double *factors);

/* The logits of the plain graph, and of the coded one's spiking network: [samples->count][outputs].
 */
tdsnn_status td_plain_logits(tdsnn_context *ctx, const td_graph *plain, const td_samples *samples,
                             float *logits);
tdsnn_status td_spiking_logits(tdsnn_context *ctx, const td_graph *coded, const td_samples *samples,
                               float *logits);

#endif
