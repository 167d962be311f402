/* Equalisation changes no network but by rounding, evens its channels out, and keeps to its bounds:
 * factors of input and logits are 1, those in front of a Clip at most 1. */
#include "convert/equalise.h"

#include <string.h>

#include "convert/attempt.h"
#include "convert/build.h"
#include "dense/dense.h"
#include "plain_graph.h"
#include "tap.h"

#define GRAPHS 60

static tdsnn_context *ctx;

static const tdsnn_convert_options conversion = {.size = sizeof conversion,
                                                 .steps = 12,
                                                 .leak = 12.0,
                                                 .input_steps = 30,
                                                 .input_leak = 60.0,
                                                 .calibration_samples = 24,
                                                 .equalise = true};

/* A copy of the graph with the factors in its weights. */
static td_graph *rescaled(const td_graph *graph, const size_t *channels, const double *factors) {
    tdsnn_data_info none = {.channels_normalised = 0};
    td_graph *copy = NULL;
    if (td_build_normalised(ctx, graph, &none, &copy) != TDSNN_OK ||
        td_rescale(ctx, copy, channels, factors) != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(ctx));
    }
    return copy;
}

/* The largest difference between a node's value and the other graph's times its factor, relative
 * to the largest value. */
static double node_difference(const td_graph *graph, int i, const float *a, const float *b,
                              const double *factors) {
    td_shape shape = graph->nodes[i].shape;
    size_t plane = (size_t)shape.h * (size_t)shape.w;
    double most = 0.0, largest = 1e-30;
    for (size_t k = 0; k < td_shape_count(shape); k++) {
        most = fmax(most, fabs(a[k] / factors[k / plane] - b[k]));
        largest = fmax(largest, fabs(b[k]));
    }
    return most / largest;
}

/* The worst node on one sample. */
static double difference(const td_graph *graph, const td_graph *other, const size_t *channels,
                         const double *factors, const float *input) {
    const td_dense_options options = {.backend = TD_DENSE_PLAIN, .keep_all = true};
    td_dense_plan *plans[2] = {NULL, NULL};
    td_dense *runs[2] = {NULL, NULL};
    double worst = INFINITY;
    if (td_dense_plan_create(ctx, graph, &options, &plans[0]) == TDSNN_OK &&
        td_dense_plan_create(ctx, other, &options, &plans[1]) == TDSNN_OK &&
        td_dense_create(ctx, plans[0], &runs[0]) == TDSNN_OK &&
        td_dense_create(ctx, plans[1], &runs[1]) == TDSNN_OK) {
        td_dense_run(runs[0], input);
        td_dense_run(runs[1], input);
        worst = 0.0;
        for (int i = 0; i < graph->node_count; i++) {
            worst = fmax(worst, node_difference(graph, i, td_dense_value(runs[0], i),
                                                td_dense_value(runs[1], i), factors + channels[i]));
        }
    }
    for (int i = 0; i < 2; i++) {
        td_dense_destroy(runs[i]);
        td_dense_plan_destroy(plans[i]);
    }
    return worst;
}

static bool all_one(const double *factors, const size_t *channels, int node) {
    for (size_t c = channels[node]; c < channels[node + 1]; c++) {
        if (factors[c] != 1.0) {
            return false;
        }
    }
    return true;
}

/* What random graphs showed. */
typedef struct findings {
    int graphs;
    double worst;   /* difference */
    double spread;  /* the largest |log2 r| */
    bool ends_keep; /* factors of input and logits are 1 */
    double gain;    /* the mean of log(error without / error with) over all codes */
    int codes;
} findings;

static void compare_codes(const td_calibration *c, const td_attempt *plain,
                          const td_attempt *equalised, findings *f) {
    for (int i = 1; i < c->source->node_count; i++) {
        td_code_error a = plain->errors[i], b = equalised->errors[i];
        if (c->placement.sites[i].coded && a.error > 0.0 && b.error > 0.0) {
            f->gain += log(a.error / a.energy) - log(b.error / b.energy);
            f->codes++;
        }
    }
}

static void look_at(const td_calibration *c, const tdsnn_data *data, findings *f) {
    const td_graph *graph = c->source;
    td_calibration without = *c;
    td_attempt plain = {0}, equalised = {0};
    without.equaliser = NULL;
    if (td_attempt_make(ctx, &without, 12.0, &plain) != TDSNN_OK ||
        td_attempt_make(ctx, c, 12.0, &equalised) != TDSNN_OK) {
        printf("Bail out! %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    td_graph *other = rescaled(graph, c->channels, equalised.factors);
    float *input = td_alloc(ctx, td_shape_count(graph->nodes[0].shape), sizeof *input);
    for (size_t s = 0; s < 3; s++) {
        tdsnn_data_read(ctx, data, s, input, NULL);
        f->worst = fmax(f->worst, difference(graph, other, c->channels, equalised.factors, input));
    }
    for (size_t k = 0; k < c->channels[graph->node_count]; k++) {
        f->spread = fmax(f->spread, fabs(log2(equalised.factors[k])));
    }
    f->ends_keep = f->ends_keep && all_one(equalised.factors, c->channels, 0) &&
                   all_one(equalised.factors, c->channels, td_graph_logits(graph));
    compare_codes(c, &plain, &equalised, f);
    f->graphs++;
    td_free(input);
    td_graph_destroy(other);
    td_attempt_free(&plain);
    td_attempt_free(&equalised);
}

static void test_random_graphs(void) {
    findings f = {.ends_keep = true};
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        td_graph *graph = plain_graph(ctx, seed);
        tdsnn_data *data = plain_graph_data(ctx, graph, seed % 3 == 0 ? -1.0f : 0.0f);
        td_calibration c;
        td_error_clear(ctx);
        if (td_calibration_create(ctx, graph, data, &conversion, &c) == TDSNN_OK) {
            look_at(&c, data, &f);
            td_calibration_free(&c);
        } else {
            printf("# seed %d: %s\n", (int)seed, tdsnn_last_error(ctx));
        }
        tdsnn_data_close(data);
        td_graph_destroy(graph);
    }
    ok(f.graphs >= GRAPHS * 3 / 4, "%d random graphs are equalised", f.graphs);
    ok(f.worst < 1e-4 && f.spread > 4.0,
       "every node's value is what it was, divided by its factor: %.2g of the largest apart, "
       "factors up to 2^%.1f from 1",
       f.worst, f.spread);
    ok(f.ends_keep, "input and logits keep the factor 1");
    ok(f.gain / f.codes > log(1.3), "codes lose less: the geometric mean over %d is %.2f times",
       f.codes, exp(f.gain / f.codes));
}

/* Appends a node of four channels behind the last. */
static void append_four(td_graph *graph, td_node node) {
    int at = graph->node_count - 1;
    char name[16];
    snprintf(name, sizeof name, "n%d", graph->node_count);
    node.name = name;
    node.shape = (td_shape){4, 1, 1, true};
    node.inputs = &at;
    node.input_count = at >= 0;
    td_graph_append(ctx, graph, &node);
}

/* Four inputs, each through a weight of its own, a Clip at 6, and a mean. */
static td_graph *clipped_graph(void) {
    static const float sizes[] = {100.0f, 4.0f, 0.5f, 0.01f};
    td_graph *graph = td_graph_create(ctx);
    float *diagonal = td_arena_alloc(graph->arena, 16, sizeof *diagonal);
    float *ones = td_arena_alloc(graph->arena, 16, sizeof *ones);
    float *zeros = td_arena_alloc(graph->arena, 4, sizeof *zeros);
    float *more_zeros = td_arena_alloc(graph->arena, 4, sizeof *zeros);
    for (int i = 0; i < 16; i++) {
        ones[i] = 1.0f;
        diagonal[i] = i % 5 == 0 ? sizes[i / 5] : 0.0f;
    }
    graph->input_name = "x";
    graph->output_name = "y";
    append_four(graph, (td_node){.op = TD_OP_INPUT});
    append_four(graph, (td_node){.op = TD_OP_INNER, .weights = diagonal, .bias = zeros});
    append_four(graph, (td_node){.op = TD_OP_CLIP, .low = 0.0f, .high = 6.0f});
    append_four(graph, (td_node){.op = TD_OP_INNER, .weights = ones, .bias = more_zeros});
    return graph;
}

static void test_clip(void) {
    td_graph *graph = clipped_graph();
    tdsnn_data *data = plain_graph_data(ctx, graph, 0.0f);
    td_calibration c = {0};
    td_attempt a = {0};
    bool made = td_calibration_create(ctx, graph, data, &conversion, &c) == TDSNN_OK &&
                td_attempt_make(ctx, &c, 12.0, &a) == TDSNN_OK;
    const double *r = made ? a.factors + c.channels[2] : NULL;
    ok(made && r[0] <= 1.0 && r[1] <= 1.0 && r[1] > 0.5 && r[2] < 0.2 && r[3] < 0.004,
       "in front of a Clip factors are at most 1: %.3g %.3g %.3g %.3g", r[0], r[1], r[2], r[3]);
    ok(made && memcmp(r, a.factors + c.channels[1], 4 * sizeof *r) == 0,
       "and the same on both sides");
    ok(made && a.codes[1].values[conversion.steps] <= 6.0f,
       "so that no spike stands for more than its bound: %g <= 6",
       made ? (double)a.codes[1].values[conversion.steps] : 0.0);
    td_attempt_free(&a);
    td_calibration_free(&c);
    tdsnn_data_close(data);
    td_graph_destroy(graph);
}

static void test_overflow(void) {
    td_graph *graph = clipped_graph();
    size_t *channels = td_number_channels(ctx, graph);
    double factors[16];
    for (int i = 0; i < 16; i++) {
        factors[i] = i >= 4 && i < 8 ? 1e-38 : 1.0;
    }
    td_error_clear(ctx);
    ok(td_rescale(ctx, graph, channels, factors) == TDSNN_ERR_UNSUPPORTED &&
           strstr(tdsnn_last_error(ctx), "'n1'") != NULL,
       "weights that leave float32 are refused by name: %s", tdsnn_last_error(ctx));
    td_free(channels);
    td_graph_destroy(graph);
}

int main(void) {
    ctx = tdsnn_context_create();
    test_random_graphs();
    test_clip();
    test_overflow();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
