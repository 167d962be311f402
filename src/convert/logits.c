/* Logits of the plain graph, run densely, and of the coded one, run as the spiking network it is,
 * on the calibration samples. */
#include <string.h>

#include "convert/samples.h"
#include "dense/dense.h"
#include "engine/event.h"

/* One thread's: a dense session and its input, or a spiking one and its activity. */
typedef struct worker {
    td_dense *dense;
    float *input;
    td_session *session;
    td_activity *activity;
} worker;

typedef struct pass {
    tdsnn_context *ctx;
    const td_graph *graph;
    td_dense_plan *dense; /* NULL: a coded graph */
    td_network *network;  /* NULL: a plain one */
    td_plan *events;      /* likewise */
    const td_samples *samples;
    worker *workers; /* [threads] */
    size_t outputs;
    float *logits; /* [samples][outputs] */
} pass;

static tdsnn_status run_sample(void *arg, size_t index, int number) {
    const pass *p = arg;
    worker *w = &p->workers[number];
    float *input = p->dense != NULL ? w->input : w->activity->input;
    tdsnn_status status = td_samples_read(p->ctx, p->samples, index, input);
    if (status != TDSNN_OK) {
        return status;
    }
    const float *logits;
    if (p->dense != NULL) {
        td_dense_run(w->dense, input);
        logits = td_dense_value(w->dense, td_graph_logits(p->graph));
    } else {
        td_session_run(w->session, w->activity, false);
        logits = w->activity->logits;
    }
    memcpy(p->logits + index * p->outputs, logits, p->outputs * sizeof *logits);
    return TDSNN_OK;
}

static tdsnn_status worker_create(const pass *p, worker *w) {
    if (p->dense != NULL) {
        w->input = td_alloc(p->ctx, td_shape_count(p->graph->nodes[0].shape), sizeof *w->input);
        return w->input == NULL ? TDSNN_ERR_RUNTIME : td_dense_create(p->ctx, p->dense, &w->dense);
    }
    tdsnn_status status = td_session_create(p->ctx, p->events, 1, &w->session);
    return status != TDSNN_OK ? status : td_activity_create(p->ctx, p->network, &w->activity);
}

static tdsnn_status run(pass *p) {
    int threads = tdsnn_threads(p->ctx);
    p->outputs = td_shape_count(p->graph->nodes[td_graph_logits(p->graph)].shape);
    p->workers = td_alloc(p->ctx, (size_t)threads, sizeof *p->workers);
    tdsnn_status status = p->workers == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (int t = 0; t < threads && status == TDSNN_OK; t++) {
        status = worker_create(p, &p->workers[t]);
    }
    if (status == TDSNN_OK) {
        status = td_parallel(p->ctx, "comparing", p->samples->count, run_sample, p);
    }
    for (int t = 0; t < threads && p->workers != NULL; t++) {
        td_dense_destroy(p->workers[t].dense);
        td_free(p->workers[t].input);
        td_session_destroy(p->workers[t].session);
        td_activity_destroy(p->workers[t].activity);
    }
    td_free(p->workers);
    return status;
}

tdsnn_status td_plain_logits(tdsnn_context *ctx, const td_graph *plain, const td_samples *samples,
                             float *logits) {
    pass p = {.ctx = ctx, .graph = plain, .samples = samples, .logits = logits};
    tdsnn_status status = td_dense_plan_create(ctx, plain, &(td_dense_options){0}, &p.dense);
    if (status == TDSNN_OK) {
        status = run(&p);
    }
    td_dense_plan_destroy(p.dense);
    return status;
}

tdsnn_status td_spiking_logits(tdsnn_context *ctx, const td_graph *coded, const td_samples *samples,
                               float *logits) {
    pass p = {.ctx = ctx, .graph = coded, .samples = samples, .logits = logits};
    tdsnn_status status = td_network_create(ctx, coded, &p.network);
    if (status == TDSNN_OK) {
        status = td_plan_create(ctx, p.network, td_kernels_find(NULL), NULL, &p.events);
    }
    if (status == TDSNN_OK) {
        status = run(&p);
    }
    td_plan_destroy(p.events);
    td_network_destroy(p.network);
    return status;
}
