/* The drives of the plain network over the calibration samples. Histograms are counts, and counts
 * of several threads add up to the same whoever ran which sample. */
#include "convert/samples.h"
#include "dense/dense.h"

typedef struct worker {
    td_dense *dense;
    float *input;
    td_histogram **histograms; /* [plan->histogram_count] */
} worker;

typedef struct survey {
    tdsnn_context *ctx;
    const td_graph *graph;
    const td_placement *placement;
    const td_samples *samples;
    const td_survey_plan *plan;
    int threads;
    td_dense_plan *dense;
    worker *workers; /* [threads] */
} survey;

size_t *td_number_channels(tdsnn_context *ctx, const td_graph *graph) {
    size_t *numbers = td_alloc(ctx, (size_t)graph->node_count + 1, sizeof *numbers);
    for (int i = 0; numbers != NULL && i < graph->node_count; i++) {
        numbers[i + 1] = numbers[i] + (size_t)graph->nodes[i].shape.c;
    }
    return numbers;
}

void td_histograms_free(td_histogram **histograms, size_t count) {
    for (size_t i = 0; histograms != NULL && i < count; i++) {
        td_histogram_destroy(histograms[i]);
    }
    td_free(histograms);
}

/* The histograms that some channel of a coded node is counted in. */
static tdsnn_status create_histograms(const survey *s, td_histogram **histograms) {
    for (int i = 0; i < s->graph->node_count; i++) {
        if (!s->placement->sites[i].coded) {
            continue;
        }
        for (size_t c = s->plan->channels[i]; c < s->plan->channels[i + 1]; c++) {
            size_t h = s->plan->targets[c].histogram;
            if (h == TD_NOWHERE || histograms[h] != NULL) {
                continue;
            }
            histograms[h] = td_histogram_create(s->ctx, s->plan->precision);
            if (histograms[h] == NULL) {
                return TDSNN_ERR_RUNTIME;
            }
        }
    }
    return TDSNN_OK;
}

static tdsnn_status worker_create(survey *s, worker *w) {
    w->input = td_alloc(s->ctx, td_shape_count(s->graph->nodes[0].shape), sizeof *w->input);
    w->histograms = td_alloc(s->ctx, s->plan->histogram_count, sizeof(td_histogram *));
    if (w->input == NULL || w->histograms == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = create_histograms(s, w->histograms);
    return status != TDSNN_OK ? status : td_dense_create(s->ctx, s->dense, &w->dense);
}

static void workers_free(survey *s) {
    for (int t = 0; s->workers != NULL && t < s->threads; t++) {
        td_histograms_free(s->workers[t].histograms, s->plan->histogram_count);
        td_free(s->workers[t].input);
        td_dense_destroy(s->workers[t].dense);
    }
    td_free(s->workers);
}

/* What the code of node i encodes: the node's value, or where the code takes the node's place what
 * the node reads. */
static int encoded_node(const survey *s, int i) {
    return s->placement->sites[i].dropped ? s->graph->nodes[i].inputs[0] : i;
}

static void count_values(const survey *s, const worker *w, int i) {
    td_shape shape = s->graph->nodes[i].shape;
    size_t plane = (size_t)shape.h * (size_t)shape.w;
    const td_target *targets = s->plan->targets + s->plan->channels[i];
    const float *values = td_dense_value(w->dense, encoded_node(s, i));
    for (int c = 0; c < shape.c; c++, values += plane) {
        if (targets[c].histogram != TD_NOWHERE) {
            td_histogram_add(w->histograms[targets[c].histogram], values, plane, targets[c].how);
        }
    }
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
        if (s->placement->sites[i].coded) {
            count_values(s, w, i);
        }
    }
    return TDSNN_OK;
}

/* Adds all workers' counts to the first one's, which the caller gets. */
static void gather(survey *s, td_histogram ***histograms) {
    td_histogram **sums = s->workers[0].histograms;
    for (int t = 1; t < s->threads; t++) {
        for (size_t h = 0; h < s->plan->histogram_count; h++) {
            if (sums[h] != NULL) {
                td_histogram_merge(sums[h], s->workers[t].histograms[h]);
            }
        }
    }
    s->workers[0].histograms = NULL;
    *histograms = sums;
}

/* Only what is counted can be read, so that the rest is quick. */
static tdsnn_status plan_dense(survey *s) {
    bool *kept = td_alloc(s->ctx, (size_t)s->graph->node_count, sizeof *kept);
    if (kept == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < s->graph->node_count; i++) {
        if (s->placement->sites[i].coded) {
            kept[encoded_node(s, i)] = true;
        }
    }
    tdsnn_status status =
        td_dense_plan_create(s->ctx, s->graph, &(td_dense_options){.kept = kept}, &s->dense);
    td_free(kept);
    return status;
}

tdsnn_status td_survey(tdsnn_context *ctx, const td_graph *graph, const td_placement *placement,
                       const td_samples *samples, const td_survey_plan *plan,
                       td_histogram ***histograms) {
    survey s = {ctx, graph, placement, samples, plan, tdsnn_threads(ctx), NULL, NULL};
    s.workers = td_alloc(ctx, (size_t)s.threads, sizeof *s.workers);
    tdsnn_status status = s.workers == NULL ? TDSNN_ERR_RUNTIME : plan_dense(&s);
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
    td_dense_plan_destroy(s.dense);
    return status;
}
