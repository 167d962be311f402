/* Single convolutions, shape x density: the event engine's layer against the dense one by turns. */
#include <tdsnn/bench.h>

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "code/code.h"
#include "dense/dense.h"
#include "engine/event.h"
#include "measure/quantile.h"

/* Samples that are run one after the other, lest the processor learn one by heart. */
#define SAMPLES 16
#define LEAST_ROUNDS 16
#define MOST_ROUNDS 2000

/* The code on both sides of the layer. */
#define STEPS 31
#define LEAK 62.0

static const struct {
    int channels, size;
} shapes[] = {{16, 32}, {32, 16}, {64, 8}, {64, 32}, {128, 16}, {256, 8}, {512, 4}};
static const double densities[] = {0.5, 0.3, 0.2, 0.1};
#define SHAPES ((int)(sizeof shapes / sizeof *shapes))
#define DENSITIES ((int)(sizeof densities / sizeof *densities))

typedef struct owned_result {
    tdsnn_bench_kernels_result result;
    td_arena *arena;
} owned_result;

/* Nodes of the two graphs that are timed, and the layer of the network. */
enum { SPIKING_CONV = 2, DENSE_CONV = 3, DENSE_RELU = 4, DENSE_NODES = 6, CONV_LAYER = 1 };

/* One cell of the grid. */
typedef struct cell {
    tdsnn_context *ctx;
    td_random *random;
    td_shape shape;
    double density;
    tdsnn_code code;
    td_graph *spiking, *dense;
    td_network *network;
    td_plan *plan;
    td_session *session;
    td_activity *activity;
    td_dense_plan *dense_plan;
    td_dense *dense_session;
    float *samples;                                            /* [SAMPLES][count] */
    double by_layer[3], by_node[DENSE_NODES];                  /* seconds of one round */
    double dense_times[MOST_ROUNDS], event_times[MOST_ROUNDS]; /* seconds */
    double ratios[MOST_ROUNDS];
} cell;

/* ----------------------------------------------------------------------------------------- graphs
 */

static float *random_weights(cell *c, td_graph *graph, size_t outputs, size_t inputs) {
    float *weights = td_arena_alloc(graph->arena, outputs * inputs, sizeof *weights);
    for (size_t i = 0; weights != NULL && i < outputs * inputs; i++) {
        weights[i] = (float)(td_random_normal(c->random) * sqrt(2.0 / (double)inputs));
    }
    return weights;
}

/* Appends a node that reads the one before it. */
static tdsnn_status append(cell *c, td_graph *graph, td_node node) {
    int before = graph->node_count - 1;
    node.inputs = &before;
    node.input_count = node.op == TD_OP_INPUT ? 0 : 1;
    return td_graph_append(c->ctx, graph, &node) < 0 ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static tdsnn_status append_conv(cell *c, td_graph *graph, const char *name, int kernel) {
    size_t channels = (size_t)c->shape.c;
    td_axis axis = {.kernel = kernel, .stride = 1, .dilation = 1};
    axis.pad_begin = axis.pad_end = kernel / 2;
    float *weights = random_weights(c, graph, channels, channels * (size_t)(kernel * kernel));
    float *bias = td_arena_alloc(graph->arena, channels, sizeof *bias);
    if (weights == NULL || bias == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    return append(c, graph,
                  (td_node){.op = TD_OP_CONV,
                            .name = name,
                            .shape = c->shape,
                            .window = {axis, axis},
                            .groups = 1,
                            .weights = weights,
                            .bias = bias});
}

static tdsnn_status append_inner(cell *c, td_graph *graph, const char *name) {
    int inputs = (int)td_shape_count(c->shape);
    float *weights = random_weights(c, graph, 1, (size_t)inputs);
    float *bias = td_arena_alloc(graph->arena, 1, sizeof *bias);
    if (weights == NULL || bias == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    return append(c, graph,
                  (td_node){.op = TD_OP_INNER,
                            .name = name,
                            .shape = {1, 1, 1, true},
                            .weights = weights,
                            .bias = bias});
}

static tdsnn_status append_plain(cell *c, td_graph *graph, td_op op, const char *name) {
    td_node node = {.op = op, .name = name, .shape = c->shape};
    if (op == TD_OP_FLATTEN) {
        node.shape = (td_shape){(int)td_shape_count(c->shape), 1, 1, true};
    }
    node.code = op == TD_OP_CODE ? &c->code : NULL;
    return append(c, graph, node);
}

/* Input, code, the convolution, code, and a read-out that nobody times. */
static tdsnn_status build_spiking(cell *c) {
    td_graph *g = c->spiking = td_graph_create(c->ctx);
    bool built = g != NULL && append_plain(c, g, TD_OP_INPUT, "x") == TDSNN_OK &&
                 append_plain(c, g, TD_OP_CODE, "spikes") == TDSNN_OK &&
                 append_conv(c, g, "layer", 3) == TDSNN_OK &&
                 append_plain(c, g, TD_OP_CODE, "code") == TDSNN_OK &&
                 append_plain(c, g, TD_OP_FLATTEN, "flat") == TDSNN_OK &&
                 append_inner(c, g, "out") == TDSNN_OK;
    return built ? TDSNN_OK : TDSNN_ERR_RUNTIME;
}

/* The convolution and its ReLU between two of one tap: what lays values out anew at the borders
 * counts for those. */
static tdsnn_status build_dense(cell *c) {
    td_graph *g = c->dense = td_graph_create(c->ctx);
    bool built = g != NULL && append_plain(c, g, TD_OP_INPUT, "x") == TDSNN_OK &&
                 append_conv(c, g, "before", 1) == TDSNN_OK &&
                 append_plain(c, g, TD_OP_RELU, "relu_before") == TDSNN_OK &&
                 append_conv(c, g, "layer", 3) == TDSNN_OK &&
                 append_plain(c, g, TD_OP_RELU, "relu") == TDSNN_OK &&
                 append_conv(c, g, "behind", 1) == TDSNN_OK;
    return built ? TDSNN_OK : TDSNN_ERR_RUNTIME;
}

/* ------------------------------------------------------------------------------------ preparation
 */

/* Spikes at random places, at random times. */
static tdsnn_status fill_samples(cell *c) {
    size_t count = td_shape_count(c->shape);
    c->samples = td_alloc(c->ctx, SAMPLES * count, sizeof *c->samples);
    for (size_t i = 0; c->samples != NULL && i < SAMPLES * count; i++) {
        bool fires = td_random_uniform(c->random) < c->density;
        uint64_t time = 1 + td_random_below(c->random, STEPS);
        c->samples[i] = fires ? c->code.values[time] : 0.0f;
    }
    return c->samples == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
}

static tdsnn_status create_event(cell *c, const td_kernels *kernels) {
    const double expected[] = {c->density, 0.5, 0.5};
    tdsnn_status status = build_spiking(c);
    if (status == TDSNN_OK) {
        status = td_network_create(c->ctx, c->spiking, &c->network);
    }
    if (status == TDSNN_OK) {
        status = td_plan_create(c->ctx, c->network, kernels, expected, &c->plan);
    }
    if (status == TDSNN_OK) {
        status = td_session_create(c->ctx, c->plan, 1, &c->session);
    }
    if (status == TDSNN_OK) {
        status = td_activity_create(c->ctx, c->network, &c->activity);
    }
    return status;
}

static tdsnn_status create_dense(cell *c) {
    td_dense_options one = {.batch = 1, .threads = 1};
    tdsnn_status status = build_dense(c);
    if (status == TDSNN_OK) {
        status = td_dense_plan_create(c->ctx, c->dense, &one, &c->dense_plan);
    }
    return status != TDSNN_OK ? status : td_dense_create(c->ctx, c->dense_plan, &c->dense_session);
}

static tdsnn_status prepare(cell *c, const td_kernels *kernels) {
    tdsnn_status status = td_code_make(c->ctx, LEAK, STEPS, 1.0, TDSNN_ROUND_NEAREST, 0, &c->code);
    if (status == TDSNN_OK) {
        status = create_event(c, kernels);
    }
    if (status == TDSNN_OK) {
        status = create_dense(c);
    }
    return status != TDSNN_OK ? status : fill_samples(c);
}

static void release(cell *c) {
    td_session_destroy(c->session);
    td_activity_destroy(c->activity);
    td_plan_destroy(c->plan);
    td_network_destroy(c->network);
    td_graph_destroy(c->spiking);
    td_dense_destroy(c->dense_session);
    td_dense_plan_destroy(c->dense_plan);
    td_graph_destroy(c->dense);
    td_free(c->samples);
    td_free(c);
}

/* -------------------------------------------------------------------------------------- measuring
 */

static const float *sample_of(const cell *c, size_t round) {
    return c->samples + round % SAMPLES * td_shape_count(c->shape);
}

static double time_event(cell *c, size_t round) {
    memcpy(c->activity->input, sample_of(c, round), td_shape_count(c->shape) * sizeof(float));
    memset(c->by_layer, 0, sizeof c->by_layer);
    td_session_run(c->session, c->activity, false);
    return c->by_layer[CONV_LAYER];
}

/* The ReLU is fused into the convolution, or else its time is its own. */
static double time_dense(cell *c, size_t round) {
    memset(c->by_node, 0, sizeof c->by_node);
    td_dense_run(c->dense_session, sample_of(c, round));
    return c->by_node[DENSE_CONV] + c->by_node[DENSE_RELU];
}

static void run_round(cell *c, size_t round) {
    double dense = round % 2 == 0 ? time_dense(c, round) : 0.0;
    double event = time_event(c, round);
    dense = round % 2 == 0 ? dense : time_dense(c, round);
    c->dense_times[round] = dense;
    c->event_times[round] = event;
    c->ratios[round] = dense / event;
}

static size_t run_rounds(cell *c, double seconds) {
    size_t rounds = 0;
    for (size_t warm = 0; warm < 2; warm++) {
        time_dense(c, warm);
        time_event(c, warm);
    }
    double start = td_now();
    while (rounds < MOST_ROUNDS && (rounds < LEAST_ROUNDS || td_now() - start < seconds)) {
        run_round(c, rounds++);
    }
    return rounds;
}

static void measure(cell *c, double seconds, tdsnn_bench_kernel *row) {
    td_session_profile(c->session, c->by_layer);
    td_dense_profile(c->dense_session, c->by_node);
    size_t rounds = run_rounds(c, seconds);
    td_form form = td_plan_describe(c->plan, CONV_LAYER, 0).form;
    uint64_t macs = td_node_macs(c->spiking, &c->spiking->nodes[SPIKING_CONV], false);
    *row = (tdsnn_bench_kernel){.channels = c->shape.c,
                                .height = c->shape.h,
                                .width = c->shape.w,
                                .density = c->density,
                                .form = td_form_name(form),
                                .macs = macs,
                                .executed_macs =
                                    (double)macs * (form == TD_FORM_DENSE ? 1.0 : c->density),
                                .rounds = rounds,
                                .dense_ms = 1e3 * td_quantile(c->dense_times, rounds, 0.5),
                                .event_ms = 1e3 * td_quantile(c->event_times, rounds, 0.5),
                                .ratio = td_quantile(c->ratios, rounds, 0.5),
                                .ratio_low = td_quantile(c->ratios, rounds, 0.25),
                                .ratio_high = td_quantile(c->ratios, rounds, 0.75)};
}

static tdsnn_status measure_cell(tdsnn_context *ctx, td_random *random, const td_kernels *kernels,
                                 int shape, double density, double seconds,
                                 tdsnn_bench_kernel *row) {
    cell *c = td_alloc(ctx, 1, sizeof *c);
    if (c == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    c->ctx = ctx;
    c->random = random;
    c->shape = (td_shape){shapes[shape].channels, shapes[shape].size, shapes[shape].size, false};
    c->density = density;
    tdsnn_status status = prepare(c, kernels);
    if (status == TDSNN_OK) {
        measure(c, seconds, row);
    }
    release(c);
    return status;
}

/* --------------------------------------------------------------------------------- public function
 */

static tdsnn_status measure_all(tdsnn_context *ctx, const tdsnn_bench_kernels_options *o,
                                const td_kernels *kernels, tdsnn_bench_kernels_result *r) {
    td_random random;
    td_random_seed(&random, o->seed, 1);
    const int count = SHAPES * DENSITIES;
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; i < count && status == TDSNN_OK; i++) {
        status = measure_cell(ctx, &random, kernels, i / DENSITIES, densities[i % DENSITIES],
                              o->seconds / count, &r->kernels[i]);
        r->kernel_count += status == TDSNN_OK;
        if (status == TDSNN_OK) {
            status = td_progress(ctx, "measuring", (uint64_t)i + 1, (uint64_t)count);
        }
    }
    return status;
}

static tdsnn_status check(tdsnn_context *ctx, const tdsnn_bench_kernels_options *o,
                          const td_kernels **kernels) {
    if (o->size != sizeof *o) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "options of %zu bytes, expected %zu: start from "
                        "TDSNN_BENCH_KERNELS_OPTIONS_INIT",
                        o->size, sizeof *o);
    }
    if (!(o->seconds > 0.0)) {
        return td_error(ctx, TDSNN_ERR_USAGE, "a time above zero is needed");
    }
    *kernels = td_kernels_find(o->isa);
    if (*kernels == NULL) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "this processor or build has no kernels for '%s'; leave --isa out for the "
                        "widest it has",
                        o->isa);
    }
    return TDSNN_OK;
}

tdsnn_status tdsnn_bench_kernels(tdsnn_context *ctx, const tdsnn_bench_kernels_options *options,
                                 tdsnn_bench_kernels_result **result) {
    td_error_clear(ctx);
    const td_kernels *kernels;
    tdsnn_status status = check(ctx, options, &kernels);
    if (status != TDSNN_OK) {
        return status;
    }
    td_arena *arena = td_arena_create(ctx);
    owned_result *o = arena == NULL ? NULL : td_arena_alloc(arena, 1, sizeof *o);
    if (o != NULL) {
        o->arena = arena;
        o->result.kernels =
            td_arena_alloc(arena, (size_t)(SHAPES * DENSITIES), sizeof *o->result.kernels);
    }
    if (o == NULL || o->result.kernels == NULL) {
        td_arena_destroy(arena);
        return TDSNN_ERR_RUNTIME;
    }
    if (options->isa != NULL) {
        td_dense_limit_isa(options->isa);
    }
    status = measure_all(ctx, options, kernels, &o->result);
    if (status != TDSNN_OK) {
        td_arena_destroy(arena);
        return status;
    }
    o->result.isa = kernels->name;
    o->result.opponent = td_dense_backend_name();
    o->result.opponent_isa = td_dense_isa();
    *result = &o->result;
    return TDSNN_OK;
}

void tdsnn_bench_kernels_result_free(tdsnn_bench_kernels_result *result) {
    if (result != NULL) {
        td_arena_destroy(((owned_result *)result)->arena);
    }
}
