/* What the back ends of linear.h share: the three passes, each as one function of arrays. */
#ifndef TD_DENSE_LINEAR_PASSES_H
#define TD_DENSE_LINEAR_PASSES_H

#include "dense/linear.h"

typedef enum td_pass {
    TD_PASS_FORWARD, /* input, weights, bias -> output */
    TD_PASS_INPUT,   /* gradients: weights, output -> input */
    TD_PASS_WEIGHTS, /* input, gradient of output -> gradients: weights, bias */
    TD_PASS_COUNT
} td_pass;

/* What is computed, INNER as a convolution of single pixels. */
typedef struct td_linear_geometry {
    td_shape in, out;
    td_window window;
    int groups, batch;
} td_linear_geometry;

/* What a pass reads and writes, laid out as linear.h says. It only writes what is named behind the
 * arrow above. */
typedef struct td_linear_arrays {
    float *input, *weights, *bias, *output;
} td_linear_arrays;

/* Weights of all outputs. */
static inline size_t td_linear_weight_count(const td_linear_geometry *g) {
    return (size_t)g->out.c * (size_t)(g->in.c / g->groups) * (size_t)g->window.y.kernel *
           (size_t)g->window.x.kernel;
}

/* ---- plain_linear.c */

/* packed: scratch memory, as much as the weights; a bias of NULL is none. Exact: the same bits on
 * every machine. */
void td_plain_linear(const td_linear_geometry *geometry, td_pass pass,
                     const td_linear_arrays *arrays, float *packed);

/* The gradient of the bias, [C], from that of the output. */
void td_plain_sum_bias(const td_linear_geometry *geometry, const float *output, float *bias);

/* ---- onednn_gradient.c, or onednn_absent.c */

/* The passes that oneDNN has quick code for. Errors, memory: as td_linear_create's. */
typedef struct td_onednn_linear td_onednn_linear;
tdsnn_status td_onednn_linear_create(tdsnn_context *ctx, const td_linear_geometry *geometry,
                                     td_onednn_linear **linear);
void td_onednn_linear_destroy(td_onednn_linear *linear);
bool td_onednn_linear_has(const td_onednn_linear *linear, td_pass pass);

/* Runs a pass that it has; a bias of NULL is none. False if oneDNN fails. */
bool td_onednn_linear_run(td_onednn_linear *linear, td_pass pass, const td_linear_arrays *arrays);

#endif
