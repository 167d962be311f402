/* One training run: a learner, its data, and steps. */
#ifndef TD_TRAIN_TRAINING_H
#define TD_TRAIN_TRAINING_H

#include <tdsnn/train.h>

#include "train/learner.h"

/* Samples of one shard: a step's batch is worked on in shards, one a thread at a time, and their
 * gradients are added in order, so that the number of threads changes nothing. */
#define TD_SHARD 32

typedef struct td_training_setup {
    const td_graph *graph;   /* plain or coded, the data's normalisation inside */
    const td_graph *teacher; /* plain, likewise; NULL: none */
    const tdsnn_data *train, *held_out;
    const tdsnn_train_options *options; /* defaults filled in */
    bool live_norms;
    /* weights were just drawn: norms start at gain 1 and shift 0; otherwise so that the graph is
     * computed */
    bool fresh;
    bool values;             /* outputs are values, not logits of classes */
    bool inputs_are_targets; /* an autoencoder's, on data without targets */
    const char *path;        /* of the source or the architecture: what models are called */
    const char *settings;    /* a line that says what is trained and how, for checkpoints */
} td_training_setup;

typedef struct td_training td_training;

/* Everything at its start, or at the checkpoint if the options say so. The setup's objects must
 * outlive it. Errors: TDSNN_ERR_USAGE, _INPUT, _UNSUPPORTED, _RUNTIME. Memory:
 * td_training_destroy; NULL is fine there. */
tdsnn_status td_training_create(tdsnn_context *ctx, const td_training_setup *setup,
                                td_training **training);
void td_training_destroy(td_training *training);

/* Trains to the end. Errors: TDSNN_ERR_CANCELLED; TDSNN_ERR_RUNTIME where the loss is no number;
 * what the data and on_best give. The best so far is there in any case. */
tdsnn_status td_training_run(td_training *training);

/* The best network so far, or NULL with TDSNN_OK if there is none. Memory: td_graph_destroy. */
tdsnn_status td_training_best(td_training *training, td_graph **graph);

/* What is known of the run. */
void td_training_report(const td_training *training, tdsnn_train_report *report);

/* A plain graph with fresh norms as it is before the first step, norms folded: what activations
 * look like is known then, so that codes can be fitted to them. Memory: td_graph_destroy. */
tdsnn_status td_training_start(td_training *training, td_graph **graph);

#endif
