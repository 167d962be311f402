/* Steps downhill. */
#ifndef TD_TRAIN_OPTIMISER_H
#define TD_TRAIN_OPTIMISER_H

#include <tdsnn/train.h>

#include "train/learner.h"

/* The learning rate of a step, 0 .. steps-1: rises from 0 over the first warmup steps, then follows
 * the schedule. */
double td_learning_rate(tdsnn_schedule schedule, double largest, uint64_t step, uint64_t steps,
                        uint64_t warmup);

typedef struct td_optimiser {
    tdsnn_optimiser kind;
    double momentum, weight_decay;
    float *first, *second; /* [count]: SGD's momentum, or AdamW's moments; second: NULL for SGD */
} td_optimiser;

/* Errors: TDSNN_ERR_RUNTIME. Memory: td_optimiser_free. */
tdsnn_status td_optimiser_create(tdsnn_context *ctx, tdsnn_optimiser kind, size_t count,
                                 double momentum, double weight_decay, td_optimiser *optimiser);
void td_optimiser_free(td_optimiser *optimiser);

/* Moves the learner's values by one step, weight decay on weights alone. `step` counts from 0.
 *     SGD:   m = momentum m + g + decay w,  w -= rate m
 *     AdamW: [Loshchilov 2019], beta 0.9 and 0.999, epsilon 1e-8 */
void td_optimiser_step(const td_optimiser *optimiser, td_learner *learner, const float *gradients,
                       double rate, uint64_t step);

/* sum[i] of the shards' gradients, [shards][count] with the first one's place for the sum, added in
 * their order; gives the sum's square norm over elements first .. end - 1. */
double td_sum_gradients(float *const *gradients, int shards, size_t first, size_t end);
void td_scale_gradients(float *gradients, size_t count, float factor);

#endif
