/* Operators without parameters, forward and backward, one shard of samples. Values lie channels
 * last, [samples][H][W][C]; flat ones [samples][N]. `add`: gradients are added to what is there
 * instead of overwriting it. */
#ifndef TD_TRAIN_OPERATORS_H
#define TD_TRAIN_OPERATORS_H

#include "graph/graph.h"

/* RELU, CLIP and LEAKY. */
void td_rectify(const td_node *node, const float *x, size_t count, float *y);
void td_rectify_backward(const td_node *node, const float *x, const float *dy, size_t count,
                         bool add, float *dx);

/* y = x, or y += x. */
void td_copy_values(const float *x, size_t count, bool add, float *y);

/* MAXPOOL: chosen[i] is which input of its sample output i took. AVGPOOL: chosen is NULL. */
void td_pool(const td_node *node, td_shape in, int samples, const float *x, float *y,
             int32_t *chosen);
void td_pool_backward(const td_node *node, td_shape in, int samples, const float *dy,
                      const int32_t *chosen, bool add, float *dx);

/* Channels first .. first + count - 1 of rows of `channels`, to or from rows of `count`. */
void td_take_channels(const float *x, size_t rows, size_t channels, size_t first, size_t count,
                      bool add, float *y);
void td_put_channels(const float *x, size_t rows, size_t count, size_t first, size_t channels,
                     bool add, float *y);

/* [samples][C][H][W] to [samples][H][W][C], and back. */
void td_channels_last(td_shape shape, int samples, const float *x, bool add, float *y);
void td_channels_first(td_shape shape, int samples, const float *x, bool add, float *y);

#endif
