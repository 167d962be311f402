/* What training makes small, and its gradient at the logits. */
#ifndef TD_TRAIN_LOSS_H
#define TD_TRAIN_LOSS_H

#include "base/context.h"

/* What the outputs of one shard are compared with. */
typedef struct td_aim {
    const int *labels;    /* [samples], -1: unlabelled; or NULL */
    const int *others;    /* [samples] labels of what was mixed in; or NULL */
    const float *shares;  /* [samples] of the loss that is labels' then, the rest is others' */
    const float *targets; /* [samples][outputs]; or NULL */
    const float
        *teacher;   /* [samples][outputs] of the network whose outputs are to be met; or NULL */
    double distill; /* the teacher's share of the loss, 0 .. 1 */
    double temperature;
    bool values; /* outputs are values, not logits of classes */
} td_aim;

/* The sum over the samples of
 *     (1 - distill) L + distill D
 * classes: L = - ln softmax(z)[label], D = temperature^2 KL(softmax(teacher/temperature) ||
 * softmax(z/temperature)) [Hinton 2015]; of one logit alone, that of class 1 against 0, both are
 * cross-entropies at temperature 1; values: L and D are half the squared distance to target
 * and teacher. gradient: [samples][outputs], divided by `batch`. *correct: samples whose largest
 * logit is that of their label. scratch: [outputs]. */
double td_loss(const td_aim *aim, const float *outputs, int samples, size_t width, int batch,
               double *scratch, float *gradient, uint64_t *correct);

#endif
