#include "dense/dense.h"

#include <string.h>

#include "base/clock.h"
#include "dense/onednn.h"
#include "dense/plain.h"

struct td_dense_plan {
    const td_graph *graph;
    int batch;
    td_onednn *onednn; /* NULL: plain C */
    /* of plain C */
    size_t *places; /* [node_count] floats before each node's values; a FLATTEN's are its input's */
    size_t floats;
    int most_inputs;
};

struct td_dense {
    const td_dense_plan *plan;
    td_onednn_session *onednn; /* NULL: plain C */
    /* of plain C */
    double *seconds;      /* [node_count] or NULL: see td_dense_profile */
    float *memory;        /* of all values */
    const float **inputs; /* [most_inputs] of the node and sample under way */
};

/* ---- Plans. */

/* The nodes' values one behind the other, rounded up so that each is aligned. */
static bool place_values(td_dense_plan *plan) {
    for (int i = 0; i < plan->graph->node_count; i++) {
        const td_node *node = &plan->graph->nodes[i];
        size_t floats;
        plan->most_inputs =
            node->input_count > plan->most_inputs ? node->input_count : plan->most_inputs;
        if (node->op == TD_OP_FLATTEN) {
            plan->places[i] = plan->places[node->inputs[0]];
            continue;
        }
        plan->places[i] = plan->floats;
        if (!td_size_mul(td_shape_count(node->shape), (size_t)plan->batch, &floats) ||
            !td_size_add(floats, 15, &floats) ||
            !td_size_add(plan->floats, floats / 16 * 16, &plan->floats)) {
            return false;
        }
    }
    return true;
}

static tdsnn_status plan_plain(tdsnn_context *ctx, td_dense_plan *plan) {
    plan->places = td_alloc(ctx, (size_t)plan->graph->node_count, sizeof *plan->places);
    if (plan->places == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    return place_values(plan) ? TDSNN_OK
                              : td_error(ctx, TDSNN_ERR_RUNTIME,
                                         "no memory for the values of %d samples", plan->batch);
}

tdsnn_status td_dense_plan_create(tdsnn_context *ctx, const td_graph *graph,
                                  const td_dense_options *options, td_dense_plan **plan) {
    td_dense_plan *made = td_alloc(ctx, 1, sizeof *made);
    if (made == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    made->graph = graph;
    made->batch = options->batch > 0 ? options->batch : 1;
    bool plain = options->backend == TD_DENSE_PLAIN ||
                 (options->backend == TD_DENSE_BEST && !td_onednn_present());
    tdsnn_status status =
        plain ? plan_plain(ctx, made) : td_onednn_create(ctx, graph, options, &made->onednn);
    if (status != TDSNN_OK) {
        td_dense_plan_destroy(made);
        return status;
    }
    *plan = made;
    return TDSNN_OK;
}

void td_dense_plan_destroy(td_dense_plan *plan) {
    if (plan == NULL) {
        return;
    }
    td_onednn_destroy(plan->onednn);
    td_free(plan->places);
    td_free(plan);
}

size_t td_dense_session_bytes(const td_dense_plan *plan) {
    return plan->onednn != NULL ? td_onednn_session_bytes(plan->onednn)
                                : plan->floats * sizeof(float);
}

const char *td_dense_backend_name(void) {
    return td_onednn_present() ? td_onednn_name() : "plain C";
}

bool td_dense_limit_isa(const char *name) {
    return td_onednn_present() && td_onednn_limit_isa(name);
}

const char *td_dense_isa(void) {
    return td_onednn_present() ? td_onednn_isa() : "any";
}

/* ---- Sessions. */

static tdsnn_status create_plain(tdsnn_context *ctx, td_dense *session) {
    const td_dense_plan *plan = session->plan;
    session->memory = td_alloc(ctx, plan->floats, sizeof *session->memory);
    session->inputs = td_alloc(ctx, (size_t)plan->most_inputs, sizeof *session->inputs);
    return session->memory == NULL || session->inputs == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

tdsnn_status td_dense_create(tdsnn_context *ctx, const td_dense_plan *plan, td_dense **session) {
    td_dense *dense = td_alloc(ctx, 1, sizeof *dense);
    if (dense == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    dense->plan = plan;
    tdsnn_status status = plan->onednn == NULL
                              ? create_plain(ctx, dense)
                              : td_onednn_session_create(ctx, plan->onednn, &dense->onednn);
    if (status != TDSNN_OK) {
        td_dense_destroy(dense);
        return status;
    }
    *session = dense;
    return TDSNN_OK;
}

void td_dense_destroy(td_dense *session) {
    if (session == NULL) {
        return;
    }
    td_onednn_session_destroy(session->onednn);
    td_free(session->memory);
    td_free(session->inputs);
    td_free(session);
}

void td_dense_feed(td_dense *session, const float *input) {
    if (session->onednn != NULL) {
        td_onednn_feed(session->onednn, input);
        return;
    }
    size_t count = td_shape_count(session->plan->graph->nodes[0].shape);
    memcpy(session->memory, input, count * (size_t)session->plan->batch * sizeof *input);
}

static void run_plain(td_dense *session, int index) {
    const td_graph *graph = session->plan->graph;
    const td_node *node = &graph->nodes[index];
    if (node->op == TD_OP_FLATTEN) {
        return; /* the same numbers in the same place */
    }
    for (size_t sample = 0; sample < (size_t)session->plan->batch; sample++) {
        for (int k = 0; k < node->input_count; k++) {
            int input = node->inputs[k];
            session->inputs[k] = session->memory + session->plan->places[input] +
                                 sample * td_shape_count(graph->nodes[input].shape);
        }
        td_plain_run_node(graph, index, session->inputs,
                          session->memory + session->plan->places[index] +
                              sample * td_shape_count(node->shape));
    }
}

void td_dense_profile(td_dense *session, double *seconds) {
    session->seconds = seconds;
    if (session->onednn != NULL) {
        td_onednn_profile(session->onednn, seconds);
    }
}

void td_dense_run_node(td_dense *session, int node) {
    if (session->onednn != NULL) {
        td_onednn_run_node(session->onednn, node);
    } else {
        run_plain(session, node);
    }
}

void td_dense_run(td_dense *session, const float *input) {
    td_dense_feed(session, input);
    if (session->onednn != NULL) {
        td_onednn_run(session->onednn);
        return;
    }
    for (int i = 1; i < session->plan->graph->node_count; i++) {
        double start = td_now();
        run_plain(session, i);
        if (session->seconds != NULL) {
            session->seconds[i] += td_now() - start;
        }
    }
}

const float *td_dense_value(const td_dense *session, int node) {
    return session->onednn != NULL ? td_onednn_value(session->onednn, node)
                                   : session->memory + session->plan->places[node];
}
