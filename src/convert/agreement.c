/* The coded network against the plain one on the calibration samples. */
#include "convert/samples.h"
#include "dense/dense.h"
#include "engine/engine.h"

typedef struct worker {
    td_dense *dense;
    td_reference *reference;
    td_activity *activity;
    size_t agreements;
} worker;

typedef struct comparison {
    tdsnn_context *ctx;
    const td_graph *plain;
    const td_network *network;
    const td_samples *samples;
    int threads;
    td_dense_plan *dense;
    worker *workers; /* [threads] */
} comparison;

static tdsnn_status worker_create(comparison *c, worker *w) {
    tdsnn_status status = td_dense_create(c->ctx, c->dense, &w->dense);
    if (status == TDSNN_OK) {
        status = td_reference_create(c->ctx, c->network, &w->reference);
    }
    return status != TDSNN_OK ? status : td_activity_create(c->ctx, c->network, &w->activity);
}

static void workers_free(comparison *c) {
    for (int t = 0; c->workers != NULL && t < c->threads; t++) {
        td_dense_destroy(c->workers[t].dense);
        td_reference_destroy(c->workers[t].reference);
        td_activity_destroy(c->workers[t].activity);
    }
    td_free(c->workers);
}

static tdsnn_status run_sample(void *arg, size_t index, int number) {
    comparison *c = arg;
    worker *w = &c->workers[number];
    tdsnn_status status = td_samples_read(c->ctx, c->samples, index, w->activity->input);
    if (status != TDSNN_OK) {
        return status;
    }
    td_dense_run(w->dense, w->activity->input);
    td_reference_run(w->reference, w->activity);
    const float *logits = td_dense_value(w->dense, td_graph_logits(c->plain));
    int classes = c->network->classes;
    w->agreements += td_prediction(logits, classes) == td_prediction(w->activity->logits, classes);
    return TDSNN_OK;
}

static tdsnn_status compare(comparison *c, size_t *agreements) {
    c->workers = td_alloc(c->ctx, (size_t)c->threads, sizeof *c->workers);
    tdsnn_status status = c->workers == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (int t = 0; t < c->threads && status == TDSNN_OK; t++) {
        status = worker_create(c, &c->workers[t]);
    }
    if (status == TDSNN_OK) {
        status = td_parallel(c->ctx, "comparing", c->samples->count, run_sample, c);
    }
    size_t sum = 0;
    for (int t = 0; t < c->threads && status == TDSNN_OK; t++) {
        sum += c->workers[t].agreements;
    }
    *agreements = sum;
    workers_free(c);
    return status;
}

tdsnn_status td_agreement(tdsnn_context *ctx, const td_graph *plain, const td_graph *coded,
                          const td_samples *samples, size_t *agreements) {
    td_network *network;
    tdsnn_status status = td_network_create(ctx, coded, &network);
    if (status == TDSNN_OK) {
        comparison c = {ctx, plain, network, samples, tdsnn_threads(ctx), NULL, NULL};
        status = td_dense_plan_create(ctx, plain, &(td_dense_options){0}, &c.dense);
        if (status == TDSNN_OK) {
            status = compare(&c, agreements);
        }
        td_dense_plan_destroy(c.dense);
        td_network_destroy(network);
    }
    return status;
}
