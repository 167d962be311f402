/* Batches of training samples, shuffled and augmented, made ahead by a thread of their own. */
#ifndef TD_TRAIN_FEED_H
#define TD_TRAIN_FEED_H

#include <tdsnn/data.h>

#include "base/random.h"
#include "graph/shape.h"

/* What is done to a sample [X], drawn anew every epoch. Values that come in are 0. */
typedef struct td_augmentation {
    bool flip; /* left and right change places, with probability 1/2 */
    int shift; /* moved by up to so many pixels along either axis: what padding by as many and
                * cropping at random does; an axis of one pixel stays */
    bool mix;  /* with another sample of the data, of which it keeps 1/2 to 1, uniformly: mixup
                * [Zhang 2018] with its alpha at 1 */
} td_augmentation;

typedef struct td_feed_options {
    const tdsnn_data *data;
    int batch; /* samples of a step; the last, smaller one of an epoch is left out, but
                * for data smaller than a batch, whose samples then repeat */
    uint64_t seed;
    td_augmentation augmentation;
} td_feed_options;

/* One step's samples. */
typedef struct td_batch {
    float *values;  /* [batch][C][H][W], scaled and augmented, not normalised */
    int *labels;    /* [batch]; -1 if unlabelled */
    float *targets; /* [batch][targets] of the data, mixed likewise; NULL if there are none */
    int *others;    /* [batch] labels of what was mixed in; NULL if nothing is mixed */
    float *shares;  /* [batch] what samples keep then; NULL likewise */
} td_batch;

typedef struct td_feed td_feed;

/* The first batch given is that of step `first` (0 .. : epochs one behind the other, each
 * td_feed_steps long). What a step's batch is depends on the options and its number alone, so that
 * training goes on anywhere as if it had never stopped.
 * Errors: TDSNN_ERR_USAGE (no samples; a shift or flip of flat values, a shift as wide as the
 * pictures), TDSNN_ERR_RUNTIME. The data must outlive it. Memory: td_feed_destroy. */
tdsnn_status td_feed_create(tdsnn_context *ctx, const td_feed_options *options, uint64_t first,
                            td_feed **feed);
/* At any time: waits for the sample being read, not for the batch. NULL is fine. */
void td_feed_destroy(td_feed *feed);

/* Steps of one epoch, at least 1. */
uint64_t td_feed_steps(const td_feed_options *options);

/* The next batch; valid until the next call. Errors: those of tdsnn_data_read, in the call whose
 * batch could not be made, and in every later one. */
tdsnn_status td_feed_next(td_feed *feed, tdsnn_context *ctx, const td_batch **batch);

/* The augmented form of one sample [C][H][W], in place, as `random` says; scratch: [C*H*W]. */
void td_augment(const td_augmentation *augmentation, td_shape shape, td_random *random,
                float *values, float *scratch);

#endif
