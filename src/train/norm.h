/* Batch-norm over the samples of one shard [Ioffe 2015]: y = gain (x - mean) / deviation + shift, a
 * channel at a time. Values lie channels last, [rows][channels]. */
#ifndef TD_TRAIN_NORM_H
#define TD_TRAIN_NORM_H

#include "base/context.h"

/* Mean and variance (of the samples, not an estimate beyond them) of each channel.
 * about: [channels] numbers near the means, which keep the sums exact. */
void td_norm_survey(const float *x, size_t rows, size_t channels, const float *about, float *mean,
                    float *variance);

/* y = factors[c] x + offsets[c]. */
void td_scale_channels(const float *x, size_t rows, size_t channels, const float *factors,
                       const float *offsets, float *y);

/* factors and offsets that apply the norm. */
void td_norm_factors(size_t channels, const float *mean, const float *variance, const float *gain,
                     const float *shift, float *factors, float *offsets);

/* The gradients of gain and shift, and that of x, which may take x's place. dy: of y. */
void td_norm_backward(const float *x, const float *dy, size_t rows, size_t channels,
                      const float *mean, const float *variance, const float *gain,
                      float *gain_gradient, float *shift_gradient, float *dx);

#endif
