/* The drives of the plain network over the calibration samples. Histograms are counts, and counts
 * of several threads add up to the same whoever ran which sample. */
#include "convert/samples.h"
#include "dense/dense.h"

typedef struct worker {
    td_dense *dense;
    float *input;
    td_histogram **histograms; /* [node_count], NULL where there is no code */
} worker;

typedef struct survey {
    tdsnn_context *ctx;
    const td_graph *graph;
    const td_placement *placement;
    const td_samples *samples;
    int threads;
    worker *workers; /* [threads] */
} survey;

void td_histograms_free(const td_graph *graph, td_histogram **histograms) {
    for (int i = 0; histograms != NULL && i < graph->node_count; i++) {
        td_histogram_destroy(histograms[i]);
    }
    td_free(histograms);
}

static tdsnn_status worker_create(survey *s, worker *w) {
    w->input = td_alloc(s->ctx, td_shape_count(s->graph->nodes[0].shape), sizeof *w->input);
    w->histograms = td_alloc(s->ctx, (size_t)s->graph->node_count, sizeof(td_histogram *));
    if (w->input == NULL || w->histograms == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < s->graph->node_count; i++) {
        if (s->placement->sites[i].coded) {
            w->histograms[i] = td_histogram_create(s->ctx);
            if (w->histograms[i] == NULL) {
                return TDSNN_ERR_RUNTIME;
            }
        }
    }
    return td_dense_create(s->ctx, s->graph, &w->dense);
}

static void workers_free(survey *s) {
    for (int t = 0; s->workers != NULL && t < s->threads; t++) {
        td_histograms_free(s->graph, s->workers[t].histograms);
        td_free(s->workers[t].input);
        td_dense_destroy(s->workers[t].dense);
    }
    td_free(s->workers);
}

/* Counts what the code of node i encodes: the node's value, or where the code takes the node's
 * place what the node reads. The input's sign is not known yet. */
static void count_values(const survey *s, const worker *w, int i) {
    const td_site *site = &s->placement->sites[i];
    const float *values =
        td_dense_value(w->dense, site->dropped ? s->graph->nodes[i].inputs[0] : i);
    td_histogram_add(w->histograms[i], values, td_shape_count(s->graph->nodes[i].shape),
                     i == 0 || site->negative != 0.0f, site->cap);
}

static tdsnn_status run_sample(void *arg, size_t index, int number) {
    survey *s = arg;
    worker *w = &s->workers[number];
    tdsnn_status status = td_samples_read(s->ctx, s->samples, index, w->input);
    if (status != TDSNN_OK) {
        return status;
    }
    td_dense_run(w->dense, w->input);
    for (int i = 0; i < s->graph->node_count; i++) {
        if (w->histograms[i] != NULL) {
            count_values(s, w, i);
        }
    }
    return TDSNN_OK;
}

/* Adds all workers' counts to the first one's, which the caller gets. */
static void gather(survey *s, td_histogram ***histograms) {
    td_histogram **sums = s->workers[0].histograms;
    for (int t = 1; t < s->threads; t++) {
        for (int i = 0; i < s->graph->node_count; i++) {
            if (sums[i] != NULL) {
                td_histogram_merge(sums[i], s->workers[t].histograms[i]);
            }
        }
    }
    s->workers[0].histograms = NULL;
    *histograms = sums;
}

tdsnn_status td_survey(tdsnn_context *ctx, const td_graph *graph, const td_placement *placement,
                       const td_samples *samples, td_histogram ***histograms) {
    survey s = {ctx, graph, placement, samples, tdsnn_threads(ctx), NULL};
    s.workers = td_alloc(ctx, (size_t)s.threads, sizeof *s.workers);
    tdsnn_status status = s.workers == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (int t = 0; t < s.threads && status == TDSNN_OK; t++) {
        status = worker_create(&s, &s.workers[t]);
    }
    if (status == TDSNN_OK) {
        status = td_parallel(ctx, "calibrating", samples->count, run_sample, &s);
    }
    if (status == TDSNN_OK) {
        gather(&s, histograms);
    }
    workers_free(&s);
    return status;
}
