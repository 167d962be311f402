/* Bias correction: the plain and the coded graph run side by side, node after node, each on all
 * samples before the next. The two have the same linear layers in the same order. */
#include "convert/samples.h"
#include "dense/dense.h"

/* All samples' values of both graphs are held at once; beyond this there are fewer samples. */
#define MEMORY_LIMIT ((size_t)1 << 30)

typedef struct correction {
    tdsnn_context *ctx;
    const td_graph *plain, *coded;
    const td_samples *samples;
    size_t count; /* of samples */
    td_dense_plan *plain_plan, *coded_plan;
    td_dense **plain_sessions, **coded_sessions; /* [count] */
    int plain_node, coded_node;                  /* the node under way in each graph */
    double *plain_sums, *coded_sums;             /* [count][channels of the widest layer] */
    size_t widest;
    const size_t *channels; /* numbering of the plain graph's */
    const double *factors;  /* what its values are divided by in the coded one */
} correction;

static bool is_linear(const td_node *node) {
    return node->op == TD_OP_CONV || node->op == TD_OP_INNER;
}

static int next_linear(const td_graph *graph, int after) {
    int i = after + 1;
    while (i < graph->node_count && !is_linear(&graph->nodes[i])) {
        i++;
    }
    return i;
}

static tdsnn_status start_sample(void *arg, size_t index, int worker) {
    correction *c = arg;
    (void)worker;
    size_t values = td_shape_count(c->plain->nodes[0].shape);
    float *input = td_alloc(c->ctx, values, sizeof *input);
    tdsnn_status status = input == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    if (status == TDSNN_OK) {
        status = td_dense_create(c->ctx, c->plain_plan, &c->plain_sessions[index]);
    }
    if (status == TDSNN_OK) {
        status = td_dense_create(c->ctx, c->coded_plan, &c->coded_sessions[index]);
    }
    if (status == TDSNN_OK) {
        status = td_samples_read(c->ctx, c->samples, index, input);
    }
    if (status == TDSNN_OK) {
        td_dense_feed(c->plain_sessions[index], input);
        td_dense_feed(c->coded_sessions[index], input);
    }
    td_free(input);
    return status;
}

static void sum_channels(const td_dense *session, const td_graph *graph, int node, double *sums) {
    td_shape shape = graph->nodes[node].shape;
    const float *values = td_dense_value(session, node);
    for (int c = 0; c < shape.c; c++) {
        sums[c] = 0.0;
        for (int p = 0; p < shape.h * shape.w; p++) {
            sums[c] += *values++;
        }
    }
}

/* Runs both graphs of one sample up to their next linear layer. */
static tdsnn_status advance(void *arg, size_t index, int worker) {
    correction *c = arg;
    (void)worker;
    int plain_end = next_linear(c->plain, c->plain_node);
    int coded_end = next_linear(c->coded, c->coded_node);
    for (int i = c->plain_node + 1; i <= plain_end; i++) {
        td_dense_run_node(c->plain_sessions[index], i);
    }
    for (int i = c->coded_node + 1; i <= coded_end; i++) {
        td_dense_run_node(c->coded_sessions[index], i);
    }
    sum_channels(c->plain_sessions[index], c->plain, plain_end, c->plain_sums + index * c->widest);
    sum_channels(c->coded_sessions[index], c->coded, coded_end, c->coded_sums + index * c->widest);
    return TDSNN_OK;
}

/* The corrected layer once more. */
static tdsnn_status repeat(void *arg, size_t index, int worker) {
    correction *c = arg;
    (void)worker;
    td_dense_run_node(c->coded_sessions[index], c->coded_node);
    return TDSNN_OK;
}

static void correct_layer(const correction *c) {
    const td_node *node = &c->coded->nodes[c->coded_node];
    float *bias = (float *)node->bias; /* the coded graph is the caller's to change */
    const double *factors = c->factors + c->channels[c->plain_node];
    double positions = (double)node->shape.h * (double)node->shape.w * (double)c->count;
    for (int channel = 0; channel < node->shape.c; channel++) {
        double error = 0.0;
        for (size_t s = 0; s < c->count; s++) {
            size_t i = s * c->widest + (size_t)channel;
            error += c->coded_sums[i] - c->plain_sums[i] / factors[channel];
        }
        bias[channel] = (float)(bias[channel] - error / positions);
    }
}

static tdsnn_status correct_all(correction *c) {
    tdsnn_status status = td_parallel(c->ctx, "reading samples", c->count, start_sample, c);
    while (status == TDSNN_OK && next_linear(c->coded, c->coded_node) < c->coded->node_count) {
        status = td_parallel(c->ctx, NULL, c->count, advance, c);
        if (status != TDSNN_OK) {
            break;
        }
        c->plain_node = next_linear(c->plain, c->plain_node);
        c->coded_node = next_linear(c->coded, c->coded_node);
        correct_layer(c);
        status = td_parallel(c->ctx, NULL, c->count, repeat, c);
        if (status == TDSNN_OK) {
            status = td_progress(c->ctx, "correcting biases", (uint64_t)c->coded_node,
                                 (uint64_t)c->coded->node_count);
        }
    }
    return status;
}

static tdsnn_status plan(correction *c) {
    const td_dense_options options = {.keep_all = true};
    tdsnn_status status = td_dense_plan_create(c->ctx, c->plain, &options, &c->plain_plan);
    return status != TDSNN_OK ? status
                              : td_dense_plan_create(c->ctx, c->coded, &options, &c->coded_plan);
}

static tdsnn_status allocate(correction *c) {
    size_t bytes = td_dense_session_bytes(c->plain_plan) + td_dense_session_bytes(c->coded_plan);
    size_t room = MEMORY_LIMIT / bytes + 1;
    c->count = c->samples->count < room ? c->samples->count : room;
    for (int i = 0; i < c->coded->node_count; i++) {
        size_t channels = (size_t)c->coded->nodes[i].shape.c;
        c->widest = is_linear(&c->coded->nodes[i]) && channels > c->widest ? channels : c->widest;
    }
    c->plain_sessions = td_alloc(c->ctx, c->count, sizeof(td_dense *));
    c->coded_sessions = td_alloc(c->ctx, c->count, sizeof(td_dense *));
    c->plain_sums = td_alloc(c->ctx, c->count * c->widest, sizeof *c->plain_sums);
    c->coded_sums = td_alloc(c->ctx, c->count * c->widest, sizeof *c->coded_sums);
    return c->plain_sessions == NULL || c->coded_sessions == NULL || c->plain_sums == NULL ||
                   c->coded_sums == NULL
               ? TDSNN_ERR_RUNTIME
               : TDSNN_OK;
}

static void release(correction *c) {
    for (size_t i = 0; i < c->count; i++) {
        td_dense_destroy(c->plain_sessions == NULL ? NULL : c->plain_sessions[i]);
        td_dense_destroy(c->coded_sessions == NULL ? NULL : c->coded_sessions[i]);
    }
    td_dense_plan_destroy(c->plain_plan);
    td_dense_plan_destroy(c->coded_plan);
    td_free(c->plain_sessions);
    td_free(c->coded_sessions);
    td_free(c->plain_sums);
    td_free(c->coded_sums);
}

tdsnn_status td_correct_biases(tdsnn_context *ctx, const td_graph *plain, td_graph *coded,
                               const td_samples *samples, const size_t *channels,
                               const double *factors) {
    correction c = {.ctx = ctx,
                    .plain = plain,
                    .coded = coded,
                    .samples = samples,
                    .channels = channels,
                    .factors = factors};
    tdsnn_status status = plan(&c);
    if (status == TDSNN_OK) {
        status = allocate(&c);
    }
    if (status == TDSNN_OK) {
        status = correct_all(&c);
    }
    release(&c);
    return status;
}
