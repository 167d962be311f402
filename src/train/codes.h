/* Temporal codes forward, exactly as the engines encode and decode, and straight-through gradients
 * behind them [X]. */
#ifndef TD_TRAIN_CODES_H
#define TD_TRAIN_CODES_H

#include <tdsnn/code.h>

#include "engine/plan.h"

/* A code as it is looked up; made anew whenever the code has changed. */
typedef struct td_coder {
    const tdsnn_code *code;
    float negative; /* of a pair, as in td_node */
    td_tree tree;
} td_coder;
void td_coder_set(td_coder *coder, const tdsnn_code *code, float negative);

/* y = values[T(x)] - negative values[T(-x)]; gives how many of the neurons, both of a pair counted,
 * have T > 0. scratch: [TD_CODER_SCRATCH] bytes. x and y have TD_SPARE elements to spare. */
#define TD_CODER_SCRATCH 16384
uint64_t td_code_forward(const td_coder *coder, const td_kernels *kernels, const float *x,
                         size_t count, float *y, unsigned char *scratch);

/* What a spike costs, and the more the later. With m = v_K - v_0, where drives are no longer told
 * apart, each neuron adds
 *     weight (3/4 min(1, max(0, x - tau_0) / r) + 1/4 x/m),  r the larger of tau_0 and m/4,
 * to the loss; large drives have no gradient from the first part, so it is the weak spikes that
 * fall silent. */
typedef struct td_spike_cost {
    double weight;
} td_spike_cost;

/* dx = dy inside the window, |x| < m (times `negative` below 0; without a pair 0 there), and 0
 * outside: straight through the rounding. add: to what dx holds.
 * *scale_gradient: sum of dy y where outside, dy (y - x) inside: of ln(scale).
 * threshold_gradients: [K] of tau_k: - sum of dy over v_k <= x + v_0 < v_{k+1}, which is what
 * moving x the other way would do; NULL if they are not wanted.
 * Gives the cost of the spikes. */
double td_code_backward(const td_coder *coder, td_spike_cost cost, const float *x, const float *y,
                        const float *dy, size_t count, bool add, float *dx, double *scale_gradient,
                        double *threshold_gradients);

#endif
