/* One way to run any model on one sample: densely, or by one of the engines. */
#ifndef TD_MEASURE_RUNNER_H
#define TD_MEASURE_RUNNER_H

#include <tdsnn/eval.h>

#include "dense/dense.h"
#include "engine/event.h"

/* What all threads share of a model being run; a plain model has no network. */
typedef struct td_program {
    const td_graph *graph;
    td_network *network;  /* NULL: dense */
    td_dense_plan *dense; /* NULL: spiking */
    tdsnn_engine engine;
    td_plan *plan;        /* of the event engine */
    tdsnn_data_info data; /* a plain model's input is normalised as the data says */
    td_shape input;
    int outputs;
} td_program;
tdsnn_status td_program_create(tdsnn_context *ctx, const tdsnn_model *model, const tdsnn_data *data,
                               tdsnn_engine engine, td_program *program);

/* Plans the event engine by the densities of the first samples; nothing to do for other engines.
 * kernels: td_kernels_find. The data must fit the model. */
tdsnn_status td_program_plan(tdsnn_context *ctx, const tdsnn_data *data, const td_kernels *kernels,
                             td_program *program);

void td_program_free(td_program *program);

/* One thread's session. */
typedef struct td_runner td_runner;
tdsnn_status td_runner_create(tdsnn_context *ctx, const td_program *program, td_runner **runner);
void td_runner_destroy(td_runner *runner);

/* Runs one sample, [C][H][W], and gives its logits, [outputs]; valid until the next run. With
 * keep_times the spike times as well. Never fails. */
void td_runner_run(td_runner *runner, const float *sample, bool keep_times, const float **logits);

/* The spike times of the last run that kept them; NULL for a dense runner. */
const td_activity *td_runner_activity(const td_runner *runner);

#endif
