/* Logits of a graph, plain or coded, on the calibration samples: run densely, which is the spiking
 * network to rounding, and quicker. */
#include <string.h>

#include "convert/samples.h"
#include "dense/dense.h"

typedef struct pass {
    tdsnn_context *ctx;
    const td_graph *graph;
    const td_samples *samples;
    td_dense_plan *plan;
    td_dense **sessions; /* [threads] */
    float **inputs;      /* [threads] */
    float *logits;       /* [samples][outputs] */
} pass;

static tdsnn_status run_sample(void *arg, size_t index, int worker) {
    pass *p = arg;
    tdsnn_status status = td_samples_read(p->ctx, p->samples, index, p->inputs[worker]);
    if (status == TDSNN_OK) {
        int node = td_graph_logits(p->graph);
        size_t outputs = td_shape_count(p->graph->nodes[node].shape);
        td_dense_run(p->sessions[worker], p->inputs[worker]);
        memcpy(p->logits + index * outputs, td_dense_value(p->sessions[worker], node),
               outputs * sizeof(float));
    }
    return status;
}

static tdsnn_status run(pass *p, int threads) {
    size_t inputs = td_shape_count(p->graph->nodes[0].shape);
    tdsnn_status planned = td_dense_plan_create(p->ctx, p->graph, &(td_dense_options){0}, &p->plan);
    if (planned != TDSNN_OK) {
        return planned;
    }
    for (int t = 0; t < threads; t++) {
        p->inputs[t] = td_alloc(p->ctx, inputs, sizeof(float));
        tdsnn_status status = p->inputs[t] == NULL
                                  ? TDSNN_ERR_RUNTIME
                                  : td_dense_create(p->ctx, p->plan, &p->sessions[t]);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    return td_parallel(p->ctx, "comparing leaks", p->samples->count, run_sample, p);
}

tdsnn_status td_logits(tdsnn_context *ctx, const td_graph *graph, const td_samples *samples,
                       float *logits) {
    int threads = tdsnn_threads(ctx);
    pass p = {.ctx = ctx, .graph = graph, .samples = samples, .logits = logits};
    p.sessions = td_alloc(ctx, (size_t)threads, sizeof(td_dense *));
    p.inputs = td_alloc(ctx, (size_t)threads, sizeof *p.inputs);
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (p.sessions != NULL && p.inputs != NULL) {
        status = run(&p, threads);
    }
    for (int t = 0; t < threads; t++) {
        td_dense_destroy(p.sessions == NULL ? NULL : p.sessions[t]);
        td_free(p.inputs == NULL ? NULL : p.inputs[t]);
    }
    td_dense_plan_destroy(p.plan);
    td_free(p.sessions);
    td_free(p.inputs);
    return status;
}
