#include "dense/linear.h"

#include <math.h>

#include "dense/linear_passes.h"
#include "dense/onednn.h"

struct td_linear {
    td_linear_geometry geometry;
    td_onednn_linear *onednn; /* NULL: all passes in plain C */
    float *packed;            /* of plain C: [weights]; NULL if no pass is */
};

static td_linear_geometry geometry_of(const td_node *node, td_shape input, int batch) {
    td_linear_geometry g = {input, node->shape, node->window, node->groups, batch};
    if (node->op == TD_OP_INNER) {
        g.in = (td_shape){(int)td_shape_count(input), 1, 1, true};
        g.window = TD_WINDOW_ONE;
        g.groups = 1;
    }
    return g;
}

static bool has(const td_linear *linear, td_pass pass) {
    return linear->onednn != NULL && td_onednn_linear_has(linear->onednn, pass);
}

static tdsnn_status create(tdsnn_context *ctx, td_dense_backend backend, td_linear *linear) {
    bool plain = backend == TD_DENSE_PLAIN || (backend == TD_DENSE_BEST && !td_onednn_present());
    if (!plain) {
        tdsnn_status status = td_onednn_linear_create(ctx, &linear->geometry, &linear->onednn);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    if (has(linear, TD_PASS_FORWARD) && has(linear, TD_PASS_INPUT) &&
        has(linear, TD_PASS_WEIGHTS)) {
        return TDSNN_OK;
    }
    linear->packed =
        td_alloc(ctx, td_linear_weight_count(&linear->geometry), sizeof *linear->packed);
    return linear->packed != NULL ? TDSNN_OK : TDSNN_ERR_RUNTIME;
}

tdsnn_status td_linear_create(tdsnn_context *ctx, const td_node *node, td_shape input, int batch,
                              td_dense_backend backend, td_linear **linear) {
    td_linear *made = td_alloc(ctx, 1, sizeof *made);
    if (made == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    made->geometry = geometry_of(node, input, batch);
    tdsnn_status status = create(ctx, backend, made);
    if (status != TDSNN_OK) {
        td_linear_destroy(made);
        return status;
    }
    *linear = made;
    return TDSNN_OK;
}

void td_linear_destroy(td_linear *linear) {
    if (linear == NULL) {
        return;
    }
    td_onednn_linear_destroy(linear->onednn);
    td_free(linear->packed);
    td_free(linear);
}

static void spoil(float *values, size_t count) {
    for (size_t i = 0; values != NULL && i < count; i++) {
        values[i] = NAN;
    }
}

/* What the pass writes is no number rather than a wrong one. */
static void spoil_written(const td_linear_geometry *g, td_pass pass, const td_linear_arrays *a) {
    size_t batch = (size_t)g->batch;
    switch (pass) {
    case TD_PASS_FORWARD:
        spoil(a->output, batch * td_shape_count(g->out));
        break;
    case TD_PASS_INPUT:
        spoil(a->input, batch * td_shape_count(g->in));
        break;
    default:
        spoil(a->weights, td_linear_weight_count(g));
        spoil(a->bias, (size_t)g->out.c);
        break;
    }
}

static void run(td_linear *linear, td_pass pass, td_linear_arrays arrays) {
    if (!has(linear, pass)) {
        td_plain_linear(&linear->geometry, pass, &arrays, linear->packed);
    } else if (!td_onednn_linear_run(linear->onednn, pass, &arrays)) {
        spoil_written(&linear->geometry, pass, &arrays);
    }
}

/* The casts: no pass writes what it is to read. */
void td_linear_forward(td_linear *linear, const float *input, const float *weights,
                       const float *bias, float *output) {
    run(linear, TD_PASS_FORWARD,
        (td_linear_arrays){(float *)input, (float *)weights, (float *)bias, output});
}

void td_linear_backward_input(td_linear *linear, const float *output_gradient, const float *weights,
                              float *input_gradient) {
    run(linear, TD_PASS_INPUT,
        (td_linear_arrays){.input = input_gradient,
                           .weights = (float *)weights,
                           .output = (float *)output_gradient});
}

void td_linear_backward_weights(td_linear *linear, const float *input, const float *output_gradient,
                                float *weights_gradient, float *bias_gradient) {
    run(linear, TD_PASS_WEIGHTS,
        (td_linear_arrays){(float *)input, weights_gradient, bias_gradient,
                           (float *)output_gradient});
}
