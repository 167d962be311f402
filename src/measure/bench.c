/* Event engine and dense network by turns, in one process, on the same samples. */
#include <tdsnn/bench.h>

#include <string.h>

#include "base/clock.h"
#include "convert/decode.h"
#include "data/fit.h"
#include "dense/dense.h"
#include "measure/quantile.h"
#include "measure/runner.h"
#include "network/model.h"

#define LEAST_ROUNDS 15
#define MOST_ROUNDS 2000
#define REST_NANOSECONDS 20000000

typedef struct owned_result {
    tdsnn_bench_result result;
    td_arena *arena;
} owned_result;

/* An event session: of one thread, or at batch 1 of all. */
typedef struct worker {
    td_session *session;
    td_activity *activity;
} worker;

typedef struct bench {
    tdsnn_context *ctx;
    const tdsnn_bench_options *options;
    td_program program;
    size_t samples;          /* a multiple of the batch */
    size_t count;            /* values of one sample */
    float *raw, *normalised; /* [samples][count]: what either side is given */
    td_graph *decoded;
    td_dense_plan *dense_plan;
    td_dense *dense;
    int threads;
    int sessions; /* side by side, sharing the threads */
    worker *workers;
    size_t first; /* sample of the batch under way */
    size_t rounds;
    double *dense_times, *event_times, *ratios; /* [MOST_ROUNDS] */
    owned_result *owned;
} bench;

/* ------------------------------------------------------------------------------------- preparation
 */

static tdsnn_status check(bench *b, const tdsnn_model *model, const tdsnn_data *data) {
    const tdsnn_bench_options *o = b->options;
    if (o->size != sizeof *o) {
        return td_error(b->ctx, TDSNN_ERR_USAGE,
                        "bench options of %zu bytes, expected %zu: start from "
                        "TDSNN_BENCH_OPTIONS_INIT",
                        o->size, sizeof *o);
    }
    if (o->batch < 1 || o->samples < 1 || !(o->seconds > 0.0)) {
        return td_error(b->ctx, TDSNN_ERR_USAGE,
                        "a batch, a number of samples and a time above zero are needed");
    }
    tdsnn_status status = td_program_create(b->ctx, model, data, TDSNN_ENGINE_EVENT, &b->program);
    if (status == TDSNN_OK && b->program.network == NULL) {
        return td_error(b->ctx, TDSNN_ERR_USAGE,
                        "%s: a plain network has no spikes to be quick with; convert it first",
                        model->path);
    }
    if (status == TDSNN_OK && tdsnn_data_get_info(data).samples == 0) {
        return td_error(b->ctx, TDSNN_ERR_INPUT, "%s: has no samples",
                        tdsnn_data_get_info(data).spec);
    }
    return status != TDSNN_OK ? status : td_data_fits(b->ctx, data, b->program.input);
}

/* The dense network is given what stands behind the input's normalisation. */
static void normalise(bench *b, const float *scale, const float *shift) {
    td_shape shape = b->program.input;
    size_t plane = (size_t)shape.h * (size_t)shape.w;
    for (size_t i = 0; i < b->samples * b->count; i++) {
        size_t c = i % b->count / plane;
        b->normalised[i] = b->raw[i] * scale[c] + shift[c];
    }
}

static tdsnn_status read_samples(bench *b, const tdsnn_data *data, const float *scale,
                                 const float *shift) {
    size_t available = tdsnn_data_get_info(data).samples, batch = (size_t)b->options->batch;
    size_t wanted = b->options->samples < available ? b->options->samples : available;
    b->samples = (wanted + batch - 1) / batch * batch;
    b->count = td_shape_count(b->program.input);
    size_t floats;
    if (!td_size_mul(b->samples, b->count, &floats)) {
        return td_error(b->ctx, TDSNN_ERR_USAGE, "%zu samples are too many", b->samples);
    }
    b->raw = td_alloc(b->ctx, floats, sizeof *b->raw);
    b->normalised = td_alloc(b->ctx, floats, sizeof *b->normalised);
    if (b->raw == NULL || b->normalised == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < b->samples; i++) {
        tdsnn_status status =
            tdsnn_data_read(b->ctx, data, i % available, b->raw + i * b->count, NULL);
        if (status != TDSNN_OK) {
            return status;
        }
    }
    normalise(b, scale, shift);
    return TDSNN_OK;
}

static tdsnn_status create_dense(bench *b) {
    td_dense_options options = {.batch = b->options->batch, .threads = b->threads};
    tdsnn_bench_result *r = &b->owned->result;
    if (b->options->isa != NULL) {
        td_dense_limit_isa(b->options->isa);
    }
    tdsnn_status status = td_dense_plan_create(b->ctx, b->decoded, &options, &b->dense_plan);
    r->opponent_isa = td_dense_isa();
    r->opponent = td_dense_backend_name();
    return status != TDSNN_OK ? status : td_dense_create(b->ctx, b->dense_plan, &b->dense);
}

static tdsnn_status create_event(bench *b, const tdsnn_data *data) {
    const td_kernels *kernels = td_kernels_find(b->options->isa);
    if (kernels == NULL) {
        return td_error(b->ctx, TDSNN_ERR_USAGE,
                        "this processor or build has no kernels for '%s'; leave --isa out for the "
                        "widest it has",
                        b->options->isa);
    }
    b->owned->result.isa = kernels->name;
    tdsnn_status status = td_program_plan(b->ctx, data, kernels, &b->program);
    b->workers = td_alloc(b->ctx, (size_t)b->sessions, sizeof *b->workers);
    status = b->workers == NULL ? TDSNN_ERR_RUNTIME : status;
    for (int t = 0; t < b->sessions && status == TDSNN_OK; t++) {
        status = td_session_create(b->ctx, b->program.plan, b->threads / b->sessions,
                                   &b->workers[t].session);
        if (status == TDSNN_OK) {
            status = td_activity_create(b->ctx, b->program.network, &b->workers[t].activity);
        }
    }
    return status;
}

static tdsnn_status prepare(bench *b, const tdsnn_model *model, const tdsnn_data *data) {
    const float *scale, *shift;
    b->threads = tdsnn_threads(b->ctx);
    b->sessions = b->options->batch > 1 ? b->threads : 1;
    tdsnn_status status = check(b, model, data);
    if (status == TDSNN_OK) {
        status = td_build_decoded(b->ctx, b->program.graph, &b->decoded, &scale, &shift);
    }
    if (status == TDSNN_OK) {
        status = read_samples(b, data, scale, shift);
    }
    if (status == TDSNN_OK) {
        status = create_event(b, data);
    }
    return status != TDSNN_OK ? status : create_dense(b);
}

/* -------------------------------------------------------------------------------------- measuring
 */

static tdsnn_status run_one(void *arg, size_t index, int number) {
    bench *b = arg;
    worker *w = &b->workers[number];
    memcpy(w->activity->input, b->raw + (b->first + index) * b->count, b->count * sizeof *b->raw);
    td_session_run(w->session, w->activity, false);
    return TDSNN_OK;
}

/* The first `count` samples by the event engine, batch by batch. */
static tdsnn_status run_event_on(bench *b, size_t count) {
    size_t batch = (size_t)b->options->batch;
    tdsnn_status status = TDSNN_OK;
    for (b->first = 0; b->first < count && status == TDSNN_OK; b->first += batch) {
        if (b->sessions > 1) {
            status = td_parallel(b->ctx, NULL, batch, run_one, b);
            continue;
        }
        for (size_t i = 0; i < batch; i++) {
            run_one(b, i, 0);
        }
    }
    return status;
}

static tdsnn_status run_event(bench *b) {
    return run_event_on(b, b->samples);
}

static void run_dense_on(bench *b, size_t count) {
    size_t batch = (size_t)b->options->batch;
    for (size_t i = 0; i < count; i += batch) {
        td_dense_run(b->dense, b->normalised + i * b->count);
    }
}

static void run_dense(bench *b) {
    run_dense_on(b, b->samples);
}

/* The threads of either side wait awake for some milliseconds after its last run, and would take
 * the cores from the other side: both begin when all sleep, and with one batch that is not timed.
 */
static void rest(const bench *b) {
    if (b->threads > 1) {
        nanosleep(&(struct timespec){.tv_nsec = REST_NANOSECONDS}, NULL);
    }
}

static tdsnn_status time_event(bench *b, double *time) {
    rest(b);
    run_event_on(b, 1);
    double start = td_now();
    tdsnn_status status = run_event(b);
    *time = td_now() - start;
    return status;
}

static double time_dense(bench *b) {
    rest(b);
    run_dense_on(b, 1);
    double start = td_now();
    run_dense(b);
    return td_now() - start;
}

/* One round: both sides, the first one by turns. */
static tdsnn_status run_round(bench *b) {
    size_t i = b->rounds;
    double event, dense = i % 2 == 0 ? time_dense(b) : 0.0;
    tdsnn_status status = time_event(b, &event);
    dense = i % 2 == 0 ? dense : time_dense(b);
    b->event_times[i] = event;
    b->dense_times[i] = dense;
    b->ratios[i] = dense / event;
    b->rounds++;
    return status;
}

static tdsnn_status measure(bench *b) {
    tdsnn_bench_result *r = &b->owned->result;
    tdsnn_status status = run_event(b); /* warm */
    run_dense(b);
    double start = td_now(), share = 0.0;
    while (status == TDSNN_OK && b->rounds < MOST_ROUNDS &&
           (b->rounds < LEAST_ROUNDS || share < 1.0)) {
        status = run_round(b);
        share = (td_now() - start) / b->options->seconds;
        if (status == TDSNN_OK) {
            status = td_progress(b->ctx, "measuring", share < 1.0 ? (uint64_t)(share * 1e3) : 1000,
                                 1000);
        }
    }
    double each = 1e3 / (double)b->samples;
    r->rounds = b->rounds;
    r->event_ms = each * td_quantile(b->event_times, b->rounds, 0.5);
    r->dense_ms = each * td_quantile(b->dense_times, b->rounds, 0.5);
    r->ratio_low = td_quantile(b->ratios, b->rounds, 0.25);
    r->ratio_high = td_quantile(b->ratios, b->rounds, 0.75);
    r->ratio = td_quantile(b->ratios, b->rounds, 0.5);
    return status;
}

/* ----------------------------------------------------------------------------------------- layers
 */

/* The layer that each node of the dense graph counts for: the one whose drive it is part of. Layers
 * have the names of their drives' last nodes. */
static void assign_nodes(const bench *b, int *layer_of) {
    const td_network *n = b->program.network;
    int layer = n->layer_count - 1;
    for (int i = b->decoded->node_count - 1; i >= 0; i--) {
        for (int k = 0; k < n->layer_count; k++) {
            layer = strcmp(n->layers[k].name, b->decoded->nodes[i].name) == 0 ? k : layer;
        }
        layer_of[i] = layer;
    }
}

/* Times of one round, or of all of them side by side. */
typedef struct profile {
    size_t layers, nodes;
    double *by_layer, *by_node; /* [layers], [nodes] */
    double *event, *dense;      /* [layers][LEAST_ROUNDS] */
    double *densities;          /* [layers] */
    int *layer_of;              /* [nodes] */
} profile;

static tdsnn_status create_profile(const bench *b, profile *p) {
    td_arena *arena = b->owned->arena;
    p->layers = (size_t)b->program.network->layer_count;
    p->nodes = (size_t)b->decoded->node_count;
    p->by_layer = td_arena_alloc(arena, p->layers, sizeof(double));
    p->by_node = td_arena_alloc(arena, p->nodes, sizeof(double));
    p->event = td_arena_alloc(arena, p->layers * LEAST_ROUNDS, sizeof(double));
    p->dense = td_arena_alloc(arena, p->layers * LEAST_ROUNDS, sizeof(double));
    p->densities = td_arena_alloc(arena, p->layers, sizeof(double));
    p->layer_of = td_arena_alloc(arena, p->nodes, sizeof(int));
    b->owned->result.layers = td_arena_alloc(arena, p->layers, sizeof(tdsnn_bench_layer));
    bool made = p->by_layer != NULL && p->by_node != NULL && p->event != NULL && p->dense != NULL &&
                p->densities != NULL && p->layer_of != NULL && b->owned->result.layers != NULL;
    return made ? TDSNN_OK : TDSNN_ERR_RUNTIME;
}

static void profile_round(bench *b, profile *p, size_t round) {
    memset(p->by_layer, 0, p->layers * sizeof(double));
    memset(p->by_node, 0, p->nodes * sizeof(double));
    run_dense(b);
    for (b->first = 0; b->first < b->samples; b->first++) {
        run_one(b, 0, 0);
    }
    for (size_t i = 0; i < p->layers; i++) {
        p->event[i * LEAST_ROUNDS + round] = p->by_layer[i];
    }
    for (size_t i = 0; i < p->nodes; i++) {
        p->dense[(size_t)p->layer_of[i] * LEAST_ROUNDS + round] += p->by_node[i];
    }
}

static void measure_densities(bench *b, profile *p) {
    td_activity *a = b->workers[0].activity;
    for (size_t i = 0; i < b->samples; i++) {
        memcpy(a->input, b->raw + i * b->count, b->count * sizeof *b->raw);
        td_session_run(b->workers[0].session, a, true);
        td_add_densities(b->program.network, a, p->densities);
    }
    for (size_t i = 0; i < p->layers; i++) {
        p->densities[i] /= (double)b->samples;
    }
}

static tdsnn_status describe_layer(bench *b, profile *p, size_t index) {
    const td_layer *layer = &b->program.network->layers[index];
    tdsnn_bench_layer *row = &b->owned->result.layers[index];
    double each = 1e3 / (double)b->samples;
    bool sums = layer->kind == TD_LAYER_SYNAPSES || layer->kind == TD_LAYER_READOUT;
    row->name = td_arena_strdup(b->owned->arena, layer->name);
    row->form = sums ? td_form_name(td_plan_describe(b->program.plan, (int)index, 0).form) : "";
    row->density = index > 0 ? p->densities[layer->synapses[0].source] : 1.0;
    for (size_t i = 0; i < p->nodes; i++) {
        if (p->layer_of[i] == (int)index) {
            row->macs += td_node_macs(b->decoded, &b->decoded->nodes[i], false);
        }
    }
    bool all = strcmp(row->form, "dense") == 0 || strcmp(row->form, "channels") == 0;
    row->executed_macs = (double)row->macs * (all ? 1.0 : row->density);
    row->event_ms = each * td_quantile(p->event + index * LEAST_ROUNDS, LEAST_ROUNDS, 0.5);
    row->dense_ms = each * td_quantile(p->dense + index * LEAST_ROUNDS, LEAST_ROUNDS, 0.5);
    return row->name == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

/* Rounds in which every layer is timed. */
static tdsnn_status measure_layers(bench *b) {
    profile p;
    tdsnn_status status = create_profile(b, &p);
    if (status != TDSNN_OK) {
        return status;
    }
    assign_nodes(b, p.layer_of);
    td_dense_profile(b->dense, p.by_node);
    td_session_profile(b->workers[0].session, p.by_layer);
    for (size_t round = 0; round < LEAST_ROUNDS; round++) {
        profile_round(b, &p, round);
    }
    td_dense_profile(b->dense, NULL);
    td_session_profile(b->workers[0].session, NULL);
    measure_densities(b, &p);
    for (size_t i = 0; i < p.layers && status == TDSNN_OK; i++) {
        status = describe_layer(b, &p, i);
    }
    b->owned->result.layer_count = (int)p.layers;
    return status;
}

/* --------------------------------------------------------------------------------- public function
 */

static tdsnn_status run(bench *b, const tdsnn_model *model, const tdsnn_data *data) {
    tdsnn_bench_result *r = &b->owned->result;
    b->dense_times = td_alloc(b->ctx, MOST_ROUNDS, sizeof(double));
    b->event_times = td_alloc(b->ctx, MOST_ROUNDS, sizeof(double));
    b->ratios = td_alloc(b->ctx, MOST_ROUNDS, sizeof(double));
    if (b->dense_times == NULL || b->event_times == NULL || b->ratios == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = prepare(b, model, data);
    if (status != TDSNN_OK) {
        return status;
    }
    r->threads = b->threads;
    r->batch = b->options->batch;
    r->samples = b->samples;
    r->peak_bytes =
        td_plan_weight_bytes(b->program.plan) +
        (size_t)b->sessions * td_plan_session_bytes(b->program.plan, b->threads / b->sessions);
    status = measure(b);
    return status != TDSNN_OK ? status : measure_layers(b);
}

static void release(bench *b) {
    for (int t = 0; b->workers != NULL && t < b->sessions; t++) {
        td_session_destroy(b->workers[t].session);
        td_activity_destroy(b->workers[t].activity);
    }
    td_free(b->workers);
    td_dense_destroy(b->dense);
    td_dense_plan_destroy(b->dense_plan);
    td_graph_destroy(b->decoded);
    td_program_free(&b->program);
    td_free(b->raw);
    td_free(b->normalised);
    td_free(b->dense_times);
    td_free(b->event_times);
    td_free(b->ratios);
}

tdsnn_status tdsnn_bench(tdsnn_context *ctx, const tdsnn_model *model, const tdsnn_data *data,
                         const tdsnn_bench_options *options, tdsnn_bench_result **result) {
    td_error_clear(ctx);
    td_arena *arena = td_arena_create(ctx);
    bench b = {.ctx = ctx, .options = options};
    b.owned = arena == NULL ? NULL : td_arena_alloc(arena, 1, sizeof *b.owned);
    if (b.owned == NULL) {
        td_arena_destroy(arena);
        return TDSNN_ERR_RUNTIME;
    }
    b.owned->arena = arena;
    tdsnn_status status = run(&b, model, data);
    release(&b);
    if (status != TDSNN_OK) {
        td_arena_destroy(arena);
        return status;
    }
    *result = &b.owned->result;
    return TDSNN_OK;
}

void tdsnn_bench_result_free(tdsnn_bench_result *result) {
    if (result != NULL) {
        td_arena_destroy(((owned_result *)result)->arena);
    }
}
