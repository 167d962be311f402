/* A convolution or inner product that can be trained: its value, and the gradients of what it
 * reads. Values lie [batch][H][W][C], channels last, so that everything beside it is a loop over
 * channels; a flat value is [batch][N]. Weights and bias lie as in td_node:
 * [C][Cin/groups][kh][kw], or [C][Cin]. */
#ifndef TD_DENSE_LINEAR_H
#define TD_DENSE_LINEAR_H

#include "dense/dense.h"

/* One thread's: it has scratch memory of its own, and runs on the calling thread alone. */
typedef struct td_linear td_linear;

/* For the CONV or INNER `node` over inputs of that shape, `batch` samples at a time. The node's own
 * weights and bias are not read, and it need not outlive the call.
 * Errors: TDSNN_ERR_RUNTIME; TDSNN_ERR_UNSUPPORTED if oneDNN is asked for and not built in.
 * Memory: td_linear_destroy; NULL is fine there. */
tdsnn_status td_linear_create(tdsnn_context *ctx, const td_node *node, td_shape input, int batch,
                              td_dense_backend backend, td_linear **linear);
void td_linear_destroy(td_linear *linear);

/* output = weights * input + bias; bias: NULL for none. Never fails; where oneDNN does, every
 * output is NaN, and likewise below. */
void td_linear_forward(td_linear *linear, const float *input, const float *weights,
                       const float *bias, float *output);

/* The gradient of the input from that of the output; overwrites it. */
void td_linear_backward_input(td_linear *linear, const float *output_gradient, const float *weights,
                              float *input_gradient);

/* The gradients of weights and bias, summed over the batch; overwrites them. bias_gradient: NULL if
 * it is not wanted. */
void td_linear_backward_weights(td_linear *linear, const float *input, const float *output_gradient,
                                float *weights_gradient, float *bias_gradient);

#endif
