/* Forward and backward through a learner's network: one shard of samples on one thread. */
#ifndef TD_TRAIN_TAPE_H
#define TD_TRAIN_TAPE_H

#include "dense/dense.h"
#include "train/learner.h"

typedef struct td_tape td_tape;

/* samples: of the shard. The learner must outlive it, and its values, codes and norms are read when
 * a pass runs. Errors: TDSNN_ERR_RUNTIME; TDSNN_ERR_UNSUPPORTED naming a node that has no gradient.
 * Memory: td_tape_destroy; NULL is fine there. */
tdsnn_status td_tape_create(tdsnn_context *ctx, const td_learner *learner, int samples,
                            td_dense_backend backend, td_tape **tape);
void td_tape_destroy(td_tape *tape);

typedef enum td_pass_kind {
    TD_PASS_TRAIN,  /* norms by the shard's own mean and variance */
    TD_PASS_SURVEY, /* without norms, as the learner's graph is: to measure what they would read */
    TD_PASS_INFER   /* norms by the learner's running mean and variance */
} td_pass_kind;

/* Runs the shard, [samples][C][H][W] of the graph's input. Never fails: where a back end does,
 * values are NaN. */
void td_tape_forward(td_tape *tape, td_pass_kind kind, const float *input);

/* Of the last pass: the logits, [samples][outputs] as the file has them; the mean and variance of
 * what each norm read, [norm_channels]; hidden neurons with T > 0, and all (of a pair, both). */
const float *td_tape_logits(const td_tape *tape);
const float *td_tape_mean(const td_tape *tape);
const float *td_tape_variance(const td_tape *tape);
uint64_t td_tape_spikes(const td_tape *tape);
uint64_t td_tape_neurons(const td_tape *tape);

/* The gradients of all values, [learner->count], after a pass of kind TRAIN (or, for networks
 * without norms, of any); overwrites them. logits_gradient: [samples][outputs]. sparsity: weighs
 * the cost of spikes (codes.h), in which a neuron counts by its share of all hidden neurons and of
 * all synapses, half and half; it is divided by `batch`, the samples of all shards. Gives that
 * cost. */
double td_tape_backward(td_tape *tape, const float *logits_gradient, double sparsity, int batch,
                        float *gradients);

#endif
