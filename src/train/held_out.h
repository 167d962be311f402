/* Samples held out, and how right a network is on them. */
#ifndef TD_TRAIN_HELD_OUT_H
#define TD_TRAIN_HELD_OUT_H

#include "train/training.h"

typedef struct td_held_out {
    const td_training_setup *setup;
    tdsnn_data_info info;
    size_t outputs;         /* of a sample */
    float *taught;          /* [samples][outputs] the teacher's; NULL without one */
    double teacher_percent; /* NaN without a teacher or labels */
} td_held_out;

/* Runs the setup's teacher, if there is one, once for all. The setup must outlive it.
 * Errors: TDSNN_ERR_RUNTIME, and those of reading the data. Memory: td_held_out_free. */
tdsnn_status td_held_out_fill(tdsnn_context *ctx, const td_training_setup *setup,
                              td_held_out *held_out);
void td_held_out_free(td_held_out *held_out);

/* Judges a graph as it would be written: a coded one by the engine that it is for.
 * *percent: top-1, NaN without labels; *loss: mean. Errors: as td_held_out_fill. */
tdsnn_status td_held_out_judge(tdsnn_context *ctx, const td_held_out *held_out,
                               const td_graph *graph, double *percent, double *loss);

#endif
