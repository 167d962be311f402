/* How far a training has come: the numbers of a checkpoint. */
#ifndef TD_TRAIN_TRAIN_STATE_H
#define TD_TRAIN_TRAIN_STATE_H

#include <tdsnn/train.h>

#include "train/checkpoint.h"

/* Sums over the steps of an epoch. */
typedef struct td_epoch_sums {
    double loss, cost, seconds;
    uint64_t samples, correct, spikes;
} td_epoch_sums;

typedef struct td_train_state {
    uint64_t step;
    double seconds;       /* since the start, runs that were resumed included */
    double start_percent; /* held-out top-1 before the first step; NaN: no labels */
    td_epoch_sums epoch;  /* under way */
    double best_score;
    tdsnn_epoch best; /* its epoch is 0 if there is none yet */
} td_train_state;

enum { TD_TRAIN_STATE_NUMBERS = 20 };
void td_train_state_write(const td_train_state *state,
                          td_state_number numbers[TD_TRAIN_STATE_NUMBERS]);
/* The numbers in the order in which td_train_state_write has them. */
void td_train_state_read(const td_state_number numbers[TD_TRAIN_STATE_NUMBERS], int epochs,
                         td_train_state *state);

#endif
