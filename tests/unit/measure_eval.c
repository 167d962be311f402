/* Evaluation on random networks: the engines agree, threads change nothing, outputs appear whole or
 * not at all. */
#include <tdsnn/eval.h>

#include <string.h>
#include <unistd.h>

#include "data/array_writer.h"
#include "network/model.h"
#include "random_graph.h"
#include "scratch.h"
#include "tap.h"

#define SAMPLES "random:150"

static tdsnn_model *random_model(tdsnn_context *ctx, uint64_t seed) {
    tdsnn_model *model = NULL;
    if (td_model_create(ctx, random_graph(ctx, seed), "random", &model) != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    return model;
}

static tdsnn_data *open_data(tdsnn_context *ctx, const tdsnn_model *model, double scale) {
    tdsnn_model_shape shape;
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    tdsnn_model_get_shape(ctx, model, &shape);
    memcpy(options.shape, shape.input, sizeof options.shape);
    options.scale = scale;
    if (tdsnn_data_open(ctx, SAMPLES, &options, &data) != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    return data;
}

static tdsnn_eval_result *evaluate(tdsnn_context *ctx, const tdsnn_model *model,
                                   const tdsnn_data *data, tdsnn_eval_options options) {
    tdsnn_eval_result *result = NULL;
    if (tdsnn_eval(ctx, model, data, &options, &result) != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(ctx));
    }
    return result;
}

static bool same_file(const char *a, const char *b) {
    FILE *first = fopen(a, "rb"), *second = fopen(b, "rb");
    bool same = first != NULL && second != NULL;
    for (int c = 0; same && c != EOF;) {
        c = fgetc(first);
        same = c == fgetc(second);
    }
    if (first != NULL) {
        fclose(first);
    }
    if (second != NULL) {
        fclose(second);
    }
    return same;
}

/* Logits, predictions and counts do not depend on the number of threads. */
static void check_threads(tdsnn_context *ctx, uint64_t seed) {
    tdsnn_model *model = random_model(ctx, seed);
    tdsnn_data *data = open_data(ctx, model, 1.0);
    tdsnn_eval_options options = TDSNN_EVAL_OPTIONS_INIT;
    options.force = true;
    tdsnn_eval_result *results[3];
    static const char *const logits[] = {"a.npy", "b.npy", "c.npy"};
    static const char *const spikes[] = {"a.npz", "b.npz", "c.npz"};
    for (int i = 0; i < 3; i++) {
        tdsnn_set_threads(ctx, i * 2 + 1);
        options.logits = logits[i];
        options.spikes = spikes[i];
        results[i] = evaluate(ctx, model, data, options);
    }
    bool same = true;
    for (int i = 1; i < 3; i++) {
        same = same && results[i] != NULL &&
               memcmp(&results[i]->total, &results[0]->total, sizeof results[0]->total) == 0 &&
               results[i]->latency_dynamic == results[0]->latency_dynamic &&
               same_file(logits[0], logits[i]) && same_file(spikes[0], spikes[i]);
    }
    ok(same, "seed %llu: 1, 3 and 5 threads give the same logits, spikes and counts",
       (unsigned long long)seed);
    for (int i = 0; i < 3; i++) {
        tdsnn_eval_result_free(results[i]);
    }
    tdsnn_data_close(data);
    tdsnn_model_destroy(model);
}

/* The stepped network predicts what the float engine predicts, rounding at thresholds aside. */
static void check_engines(tdsnn_context *ctx, uint64_t seed) {
    tdsnn_model *model = random_model(ctx, seed);
    tdsnn_data *data = open_data(ctx, model, 1.0);
    tdsnn_eval_options options = TDSNN_EVAL_OPTIONS_INIT;
    options.engine = TDSNN_ENGINE_CLOCK;
    options.against = model; /* by the reference engine */
    tdsnn_eval_result *result = evaluate(ctx, model, data, options);
    ok(result != NULL && result->compared && result->agreements + 1 >= result->samples &&
           result->mean_abs_error < 1e-3,
       "seed %llu: clock and reference agree on %llu of %zu", (unsigned long long)seed,
       result == NULL ? 0 : (unsigned long long)result->agreements,
       result == NULL ? 0 : result->samples);
    tdsnn_eval_result_free(result);
    tdsnn_data_close(data);
    tdsnn_model_destroy(model);
}

static int stop_soon(void *user, const char *what, uint64_t done, uint64_t total) {
    (void)user;
    (void)what;
    (void)total;
    return done > 0;
}

static void check_failures(tdsnn_context *ctx) {
    tdsnn_model *model = random_model(ctx, 3), *other = random_model(ctx, 4);
    tdsnn_data *data = open_data(ctx, model, 1.0), *strange = open_data(ctx, other, 1.0);
    tdsnn_eval_options options = TDSNN_EVAL_OPTIONS_INIT;
    tdsnn_eval_result *result = NULL;
    options.logits = "stopped.npy";
    options.spikes = "stopped.npz";
    options.predictions = "stopped.txt";
    tdsnn_set_threads(ctx, 1);
    tdsnn_set_progress(ctx, stop_soon, NULL);
    ok(tdsnn_eval(ctx, model, data, &options, &result) == TDSNN_ERR_CANCELLED,
       "a progress callback stops it: %s", tdsnn_last_error(ctx));
    tdsnn_set_progress(ctx, NULL, NULL);
    ok(access("stopped.npy", F_OK) != 0 && access("stopped.npz", F_OK) != 0 &&
           access("stopped.txt", F_OK) != 0,
       "and no output is left");

    options = (tdsnn_eval_options)TDSNN_EVAL_OPTIONS_INIT;
    options.predictions = "once.txt";
    tdsnn_eval_result_free(evaluate(ctx, model, data, options));
    ok(tdsnn_eval(ctx, model, data, &options, &result) == TDSNN_ERR_USAGE,
       "an output that exists is not replaced: %s", tdsnn_last_error(ctx));

    options = (tdsnn_eval_options)TDSNN_EVAL_OPTIONS_INIT;
    options.predictions = options.logits = "same.txt";
    ok(tdsnn_eval(ctx, model, data, &options, &result) == TDSNN_ERR_USAGE &&
           strstr(tdsnn_last_error(ctx), "two outputs") != NULL && access("same.txt", F_OK) != 0,
       "one file for two outputs: %s", tdsnn_last_error(ctx));

    options = (tdsnn_eval_options)TDSNN_EVAL_OPTIONS_INIT;
    ok(tdsnn_eval(ctx, model, strange, &options, &result) == TDSNN_ERR_USAGE,
       "data of another shape: %s", tdsnn_last_error(ctx));
    td_graph_set_metadata(ctx, model->graph, "tdsnn.scale", "0.5");
    ok(tdsnn_eval(ctx, model, data, &options, &result) == TDSNN_ERR_USAGE &&
           strstr(tdsnn_last_error(ctx), "--scale 0.5") != NULL,
       "data of another scale than the file's: %s", tdsnn_last_error(ctx));
    tdsnn_data_close(data);
    tdsnn_data_close(strange);
    tdsnn_model_destroy(model);
    tdsnn_model_destroy(other);
}

/* Whether data of that normalisation may be given to the model. */
static bool takes(tdsnn_context *ctx, const tdsnn_model *model, int channels, float mean,
                  float std) {
    tdsnn_model_shape shape;
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_eval_options eval_options = TDSNN_EVAL_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    tdsnn_eval_result *result = NULL;
    tdsnn_model_get_shape(ctx, model, &shape);
    memcpy(options.shape, shape.input, sizeof options.shape);
    options.channels_normalised = channels;
    options.mean[0] = mean;
    options.std[0] = std;
    eval_options.limit = 1;
    tdsnn_status status = tdsnn_data_open(ctx, SAMPLES, &options, &data);
    status = status == TDSNN_OK ? tdsnn_eval(ctx, model, data, &eval_options, &result) : status;
    tdsnn_eval_result_free(result);
    tdsnn_data_close(data);
    return status == TDSNN_OK;
}

static void check_normalisation(tdsnn_context *ctx) {
    tdsnn_model *model = random_model(ctx, 3);
    td_graph_set_metadata(ctx, model->graph, "tdsnn.layout", "nchw");
    ok(takes(ctx, model, 0, 0.0f, 0.0f), "no normalisation is that of the file");
    ok(!takes(ctx, model, 1, 0.5f, 0.25f) &&
           strstr(tdsnn_last_error(ctx), "has another; leave mean and std out") != NULL,
       "one that the file has not: %s", tdsnn_last_error(ctx));
    td_graph_set_metadata(ctx, model->graph, "tdsnn.mean", "0.5");
    td_graph_set_metadata(ctx, model->graph, "tdsnn.std", "0.25");
    ok(takes(ctx, model, 0, 0.0f, 0.0f) && takes(ctx, model, 1, 0.5f, 0.25f) &&
           !takes(ctx, model, 1, 0.5f, 0.125f) && !takes(ctx, model, 1, 0.25f, 0.25f),
       "the file's own, given again, and others");
    td_graph_set_metadata(ctx, model->graph, "tdsnn.mean", "0.5,0.5");
    ok(!takes(ctx, model, 1, 0.5f, 0.25f), "as many numbers as the file's");
    tdsnn_model_destroy(model);
}

/* A model of the graph that has been made. */
static tdsnn_model *finish_model(graph_maker *m, const char *path) {
    tdsnn_model *model = NULL;
    m->graph->input_name = "x";
    m->graph->output_name = "y";
    if (td_model_create(m->ctx, m->graph, path, &model) != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(m->ctx));
        exit(1);
    }
    return model;
}

/* Errors of the network name the model's file. */
static void check_path(tdsnn_context *ctx) {
    graph_maker m = {.ctx = ctx, .graph = td_graph_create(ctx)};
    td_random_seed(&m.random, 1, 1);
    m.graph->input_name = "x";
    append(&m, (td_node){.op = TD_OP_INPUT, .shape = {7, 1, 1, true}});
    append_inner(&m, 5); /* its input is analog */
    append_code(&m, 2.0);
    append_inner(&m, 3);
    tdsnn_model *model = finish_model(&m, "analog.onnx");
    tdsnn_data *data = open_data(ctx, model, 1.0);
    tdsnn_eval_options options = TDSNN_EVAL_OPTIONS_INIT;
    tdsnn_eval_result *result = NULL;
    options.engine = TDSNN_ENGINE_CLOCK;
    ok(tdsnn_eval(ctx, model, data, &options, &result) == TDSNN_ERR_UNSUPPORTED &&
           strncmp(tdsnn_last_error(ctx), "analog.onnx: ", 13) == 0,
       "a layer that cannot be stepped: %s", tdsnn_last_error(ctx));
    tdsnn_data_close(data);
    tdsnn_model_destroy(model);
}

/* An inner product that passes its first inputs on, plus 0.5. */
static tdsnn_model *passing_model(tdsnn_context *ctx, int inputs, int outputs) {
    graph_maker m = {.ctx = ctx, .graph = td_graph_create(ctx)};
    m.graph->input_name = "x";
    append(&m, (td_node){.op = TD_OP_INPUT, .shape = {inputs, 1, 1, true}});
    float *weights =
        td_arena_alloc(m.graph->arena, (size_t)inputs * (size_t)outputs, sizeof(float));
    float *bias = td_arena_alloc(m.graph->arena, (size_t)outputs, sizeof *bias);
    for (int i = 0; i < outputs; i++) {
        weights[i * inputs + i] = 1.0f;
        bias[i] = 0.5f;
    }
    append(&m, (td_node){.op = TD_OP_INNER,
                         .shape = {outputs, 1, 1, true},
                         .weights = weights,
                         .bias = bias});
    return finish_model(&m, "values.onnx");
}

/* Two samples of four values, and two targets: 1 below what comes out, and 3 above. */
static void write_targets(tdsnn_context *ctx) {
    const td_array_spec arrays[] = {
        {.name = "x", .type = TD_ARRAY_FLOAT32, .rank = 1, .dims = {4}},
        {.name = "y", .type = TD_ARRAY_FLOAT32, .rank = 1, .dims = {2}}};
    td_array_writer *writer = NULL;
    td_npz_create(ctx, "targets.npz", true, arrays, 2, &writer);
    for (int i = 0; i < 2; i++) {
        const float x[] = {(float)i, 2.0f, 3.0f, 4.0f};
        const float y[] = {(float)i - 0.5f, 5.5f};
        td_array_append(writer, 0, x);
        td_array_append(writer, 1, y);
    }
    td_array_commit(writer);
}

static bool near(double a, double b) {
    return fabs(a - b) < 1e-6;
}

/* Outputs that are values: against y, against the input, against another network's. */
static void check_targets(tdsnn_context *ctx) {
    tdsnn_model *model = passing_model(ctx, 4, 2), *coder = passing_model(ctx, 4, 4);
    tdsnn_data_options given = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    write_targets(ctx);
    if (tdsnn_data_open(ctx, "npz:targets.npz", &given, &data) != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    tdsnn_eval_options options = TDSNN_EVAL_OPTIONS_INIT;
    options.against = model;
    tdsnn_eval_result *r = evaluate(ctx, model, data, options);
    ok(r != NULL && r->targets == TDSNN_TARGETS_Y && !r->labelled &&
           near(r->target_error.mean_abs, 2.0) &&
           near(r->target_error.root_mean_square, sqrt(5.0)) &&
           near(r->against_target_error.mean_abs, 2.0) && r->max_abs_error == 0.0,
       "errors against y");
    tdsnn_eval_result_free(r);
    options.against = NULL;
    ok(tdsnn_eval(ctx, coder, data, &options, &r) == TDSNN_ERR_USAGE,
       "another number of outputs: %s", tdsnn_last_error(ctx));
    tdsnn_data_close(data);
    given.channels_normalised = 1;
    given.mean[0] = 0.25f;
    given.std[0] = 0.5f;
    memcpy(given.shape, (int[]){4, 1, 1}, sizeof given.shape);
    if (tdsnn_data_open(ctx, "random:9", &given, &data) == TDSNN_OK) {
        r = evaluate(ctx, coder, data, options);
        ok(r != NULL && r->targets == TDSNN_TARGETS_INPUT && near(r->target_error.mean_abs, 0.5) &&
               near(r->target_error.root_mean_square, 0.5),
           "an autoencoder is compared with what it reads, normalised");
        tdsnn_eval_result_free(r);
        r = evaluate(ctx, model, data, options);
        ok(r != NULL && r->targets == TDSNN_TARGETS_NONE, "other outputs without y with nothing");
        tdsnn_eval_result_free(r);
    }
    tdsnn_data_close(data);
    tdsnn_model_destroy(model);
    tdsnn_model_destroy(coder);
}

/* A network whose sums are infinite less infinite answers nothing, and that is never right. */
static void check_nan(tdsnn_context *ctx) {
    graph_maker m = {.ctx = ctx, .graph = td_graph_create(ctx)};
    float weights[10 * 784], bias[10] = {0};
    for (int i = 0; i < 10 * 784; i++) {
        weights[i] = i % 2 == 0 ? 3e38f : -3e38f;
    }
    m.graph->input_name = "x";
    append(&m, (td_node){.op = TD_OP_INPUT, .shape = {784, 1, 1, true}});
    append(&m, (td_node){
                   .op = TD_OP_INNER, .shape = {10, 1, 1, true}, .weights = weights, .bias = bias});
    tdsnn_model *model = finish_model(&m, "nan.onnx");
    tdsnn_data_options raw = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    raw.scale = 1.0;
    tdsnn_eval_options options = TDSNN_EVAL_OPTIONS_INIT;
    options.limit = 20; /* two of each class */
    tdsnn_eval_result *result = NULL;
    if (tdsnn_data_open(ctx, "glyphs", &raw, &data) == TDSNN_OK) {
        result = evaluate(ctx, model, data, options);
    }
    ok(result != NULL && result->top1 == 2 && result->top5 == 10,
       "logits that are no numbers count as class 0, not as right: %llu, %llu of 20",
       result == NULL ? 0 : (unsigned long long)result->top1,
       result == NULL ? 0 : (unsigned long long)result->top5);
    tdsnn_eval_result_free(result);
    tdsnn_data_close(data);
    tdsnn_model_destroy(model);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    scratch_path("."); /* makes the folder */
    if (chdir(scratch_folder) != 0) {
        return 1;
    }
    for (uint64_t seed = 0; seed < 5; seed++) {
        check_threads(ctx, seed);
        check_engines(ctx, seed);
    }
    check_failures(ctx);
    check_normalisation(ctx);
    check_path(ctx);
    check_targets(ctx);
    check_nan(ctx);
    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
