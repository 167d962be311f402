#include <tdsnn/train.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "convert/build.h"
#include "convert/convert.h"
#include "data/fit.h"
#include "data/subset.h"
#include "network/model.h"
#include "train/architectures.h"
#include "train/training.h"

#define DEFAULT_EPOCHS 10
#define DEFAULT_BATCH 128
#define DEFAULT_TEMPERATURE 4.0
#define MOST_HELD_OUT 5000
/* Streams of the seed. */
#define SPLIT_STREAM 0x5b1175
/* Networks of so many layers are hard to train without norms. */
#define NORMED_LAYERS 6

/* One training under way. */
typedef struct job {
    tdsnn_context *ctx;
    const char *path; /* of the model, or the architecture's name */
    const tdsnn_data *data;
    const tdsnn_convert_options *convert; /* NULL: none */
    tdsnn_train_options options;          /* defaults filled in */
    td_graph *plain, *teacher;            /* the data's normalisation inside; NULL: none */
    tdsnn_model *converted;               /* made here */
    tdsnn_data *train, *held_out;
    td_training_setup setup;
    char settings[2048];
} job;

/* --------------------------------------------------------------------------------------- options
 */

static tdsnn_status check_ranges(tdsnn_context *ctx, const tdsnn_train_options *o) {
    if (o->epochs < 1 || o->batch < 1 || o->shift < 0) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "%d epochs in batches of %d, moved by %d pixels: give numbers above 0",
                        o->epochs, o->batch, o->shift);
    }
    if (o->batch > TD_SHARD && o->batch % TD_SHARD != 0) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "a batch of %d: give a multiple of %d, or less than that", o->batch,
                        TD_SHARD);
    }
    if (!(o->learning_rate > 0.0 && o->learning_rate <= 1e3) || !(o->momentum >= 0.0) ||
        o->momentum >= 1.0 || !(o->weight_decay >= 0.0) || !(o->warmup >= 0.0) ||
        !(o->clip >= 0.0) || !isfinite(o->weight_decay) || !isfinite(o->clip) ||
        !isfinite(o->warmup)) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "learning rate %g, momentum %g, weight decay %g, warm-up %g, gradients to "
                        "%g: one of them is out of range",
                        o->learning_rate, o->momentum, o->weight_decay, o->warmup, o->clip);
    }
    if (!(o->sparsity >= 0.0 && o->sparsity <= 1e3)) {
        return td_error(ctx, TDSNN_ERR_USAGE, "a sparsity of %g: give 0, for none, or more",
                        o->sparsity);
    }
    if (!(o->distill >= 0.0 && o->distill <= 1.0) || !(o->temperature > 0.0)) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "%g of the loss distilled at temperature %g: give 0 to 1, and more than 0",
                        o->distill, o->temperature);
    }
    if (o->resume && o->checkpoint == NULL) {
        return td_error(ctx, TDSNN_ERR_USAGE, "nothing to resume: name the checkpoint");
    }
    return TDSNN_OK;
}

static double or_default(double given, double otherwise) {
    return given == 0.0 ? otherwise : given == -1.0 ? 0.0 : given;
}

/* tunes: from weights that are good already. */
static tdsnn_status fill_defaults(tdsnn_context *ctx, const tdsnn_train_options *given,
                                  size_t samples, bool tunes, tdsnn_train_options *o) {
    if (given->size != sizeof *given) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "training options of %zu bytes, expected %zu: start from "
                        "TDSNN_TRAIN_OPTIONS_INIT",
                        given->size, sizeof *given);
    }
    *o = *given;
    bool sgd = o->optimiser == TDSNN_OPTIMISER_SGD;
    o->epochs = o->epochs == 0 ? DEFAULT_EPOCHS : o->epochs;
    o->batch = o->batch == 0 ? DEFAULT_BATCH : o->batch;
    o->learning_rate = or_default(o->learning_rate, !sgd ? 0.001 : tunes ? 0.005 : 0.05);
    o->momentum = or_default(o->momentum, 0.9);
    o->weight_decay = or_default(o->weight_decay, !sgd ? 0.01 : tunes ? 1e-4 : 5e-4);
    o->temperature = o->temperature == 0.0 ? DEFAULT_TEMPERATURE : o->temperature;
    if (o->limit == 0 || o->limit > samples) {
        o->limit = samples;
    }
    if (o->holdout == 0) {
        o->holdout = o->limit / 10 < MOST_HELD_OUT ? o->limit / 10 : MOST_HELD_OUT;
        o->holdout = o->holdout == 0 ? 1 : o->holdout;
    }
    tdsnn_status status = check_ranges(ctx, o);
    if (status == TDSNN_OK && o->holdout >= o->limit) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "%zu of %zu samples held out: none would be left to train on", o->holdout,
                        o->limit);
    }
    return status;
}

/* ------------------------------------------------------------------------------------------ data
 */

/* Holds samples out by seed: the first ones of a shuffle. */
static tdsnn_status split_data(job *j) {
    size_t count = j->options.limit, held_out = j->options.holdout;
    size_t *indices = td_alloc(j->ctx, count, sizeof *indices);
    if (indices == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    td_random random;
    td_random_seed(&random, j->options.seed, SPLIT_STREAM);
    for (size_t i = 0; i < count; i++) {
        indices[i] = i;
    }
    for (size_t i = 0; i < count; i++) {
        size_t k = i + (size_t)td_random_below(&random, count - i), swap = indices[i];
        indices[i] = indices[k];
        indices[k] = swap;
    }
    tdsnn_status status = td_data_subset(j->ctx, j->data, indices, held_out, &j->held_out);
    if (status == TDSNN_OK) {
        status = td_data_subset(j->ctx, j->data, indices + held_out, count - held_out, &j->train);
    }
    td_free(indices);
    return status;
}

/* What the outputs are to be: classes, values of the data, what the network reads, or what the
 * teacher gives. */
static tdsnn_status choose_aim(job *j) {
    const td_graph *graph = j->setup.graph;
    tdsnn_data_info info = tdsnn_data_get_info(j->data);
    size_t outputs = td_shape_count(graph->nodes[td_graph_logits(graph)].shape);
    j->setup.inputs_are_targets =
        !info.labelled && info.targets == 0 && td_graph_is_autoencoder(graph);
    j->setup.values = info.targets > 0 || j->setup.inputs_are_targets;
    if (info.targets > 0 && info.targets != outputs) {
        return td_error(j->ctx, TDSNN_ERR_USAGE,
                        "%s has %zu targets a sample, the network gives %zu "
                        "values",
                        info.spec, info.targets, outputs);
    }
    if (info.labelled && (size_t)info.classes > (outputs == 1 ? 2 : outputs)) {
        return td_error(j->ctx, TDSNN_ERR_USAGE, "%s has %d classes, the network gives %zu",
                        info.spec, info.classes, outputs);
    }
    if (j->options.distill > 0.0 && j->setup.teacher == NULL) {
        return td_error(j->ctx, TDSNN_ERR_USAGE,
                        "nothing to distill from: name a teacher; only a plain network that is "
                        "tuned is its own");
    }
    if (j->teacher != NULL) {
        size_t taught = td_shape_count(j->teacher->nodes[td_graph_logits(j->teacher)].shape);
        if (taught != outputs) {
            return td_error(j->ctx, TDSNN_ERR_USAGE, "%s gives %zu outputs, the network %zu",
                            j->options.teacher->path, taught, outputs);
        }
    }
    if (!info.labelled && !j->setup.values) {
        if (j->options.distill == 0.0) {
            return td_error(j->ctx, TDSNN_ERR_USAGE,
                            "%s has neither labels nor targets: distill from the source, or give "
                            "other data",
                            info.spec);
        }
        j->options.distill = 1.0;
    }
    return TDSNN_OK;
}

/* ----------------------------------------------------------------------------------------- norms
 */

static int count_layers(const td_graph *graph) {
    int layers = 0;
    for (int i = 0; i < graph->node_count; i++) {
        layers += graph->nodes[i].op == TD_OP_CONV || graph->nodes[i].op == TD_OP_INNER;
    }
    return layers;
}

static bool wants_norms(const job *j, const td_graph *graph) {
    return j->options.norm == TDSNN_NORM_LIVE ||
           (j->options.norm == TDSNN_NORM_AUTO && count_layers(graph) >= NORMED_LAYERS);
}

/* -------------------------------------------------------------------------------------- settings
 */

/* A fingerprint of all weights and biases [Fowler, Noll and Vo]. */
static uint64_t add_bytes(uint64_t hash, const void *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    }
    return hash;
}

static uint64_t hash_graph(const td_graph *graph) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < graph->node_count; i++) {
        const td_node *node = &graph->nodes[i];
        hash = add_bytes(hash, &node->op, sizeof node->op);
        hash = add_bytes(hash, &node->shape.c, sizeof node->shape.c);
        if (node->bias != NULL) {
            hash = add_bytes(hash, node->bias, (size_t)node->shape.c * sizeof(float));
            hash = add_bytes(hash, node->weights, (size_t)node->shape.c * sizeof(float));
        }
        if (node->code != NULL) {
            hash = add_bytes(hash, &node->code->scale, sizeof node->code->scale);
        }
    }
    return hash;
}

static void add_setting(job *j, const char *name, double value) {
    char number[TD_NUMBER_TEXT];
    size_t used = strlen(j->settings);
    td_number_write(value, 17, number);
    snprintf(j->settings + used, sizeof j->settings - used, " %s=%s", name, number);
}

/* All that a checkpoint must agree with. */
static void describe_settings(job *j, const td_graph *graph) {
    const tdsnn_train_options *o = &j->options;
    uint64_t hash = hash_graph(graph);
    snprintf(j->settings, sizeof j->settings, "network=%016llx", (unsigned long long)hash);
    if (j->teacher != NULL) {
        size_t used = strlen(j->settings);
        snprintf(j->settings + used, sizeof j->settings - used, " teacher=%016llx",
                 (unsigned long long)hash_graph(j->teacher));
    }
    add_setting(j, "samples", (double)o->limit);
    add_setting(j, "holdout", (double)o->holdout);
    add_setting(j, "epochs", o->epochs);
    add_setting(j, "batch", o->batch);
    add_setting(j, "seed", (double)o->seed);
    add_setting(j, "optimiser", o->optimiser);
    add_setting(j, "lr", o->learning_rate);
    add_setting(j, "momentum", o->momentum);
    add_setting(j, "weight-decay", o->weight_decay);
    add_setting(j, "schedule", o->schedule);
    add_setting(j, "warmup", o->warmup);
    add_setting(j, "clip", o->clip);
    add_setting(j, "flip", o->flip);
    add_setting(j, "shift", o->shift);
    add_setting(j, "mixup", o->mixup);
    add_setting(j, "norm", o->norm);
    add_setting(j, "fixed-scales", o->fixed_scales);
    add_setting(j, "learn-thresholds", o->learn_thresholds);
    add_setting(j, "sparsity", o->sparsity);
    add_setting(j, "distill", o->distill);
    add_setting(j, "temperature", o->temperature);
    j->setup.settings = j->settings;
}

/* ------------------------------------------------------------------------------------------- run
 */

static void fill_setup(job *j, const td_graph *graph) {
    j->setup.graph = graph;
    j->setup.train = j->train;
    j->setup.held_out = j->held_out;
    j->setup.options = &j->options;
    j->setup.path = j->path;
    j->setup.live_norms = wants_norms(j, graph);
}

/* Trains setup.graph; *trained is the best network, also where it ends early. */
static tdsnn_status run(job *j, tdsnn_model **trained, tdsnn_train_report *report) {
    td_training *training = NULL;
    td_graph *best = NULL;
    tdsnn_status status = choose_aim(j);
    describe_settings(j, j->setup.graph);
    status = status != TDSNN_OK ? status : td_training_create(j->ctx, &j->setup, &training);
    if (status != TDSNN_OK) {
        return status;
    }
    status = td_training_run(training);
    if (report != NULL) {
        td_training_report(training, report);
    }
    tdsnn_status made = td_training_best(training, &best);
    if (made == TDSNN_OK && best != NULL) {
        made = td_model_create(j->ctx, best, j->path, trained);
    }
    td_training_destroy(training);
    return status != TDSNN_OK ? status : made;
}

/* The plain graph becomes a coded one, its codes fitted to the samples trained on. At offset 1
 * every value has grown by v_0; biases are less by what that adds, or it would have to be unlearned
 * first.
 */
static tdsnn_status convert(job *j, const td_graph *plain) {
    tdsnn_convert_options options = *j->convert;
    options.correct_biases = options.correct_biases || options.offset == 1;
    tdsnn_status status =
        td_convert(j->ctx, plain, j->path, j->train, &options, &j->converted, NULL);
    if (status == TDSNN_OK) {
        fill_setup(j, j->converted->graph);
    }
    return status;
}

static void job_free(job *j) {
    td_graph_destroy(j->plain);
    td_graph_destroy(j->teacher);
    tdsnn_model_destroy(j->converted);
    tdsnn_data_close(j->train);
    tdsnn_data_close(j->held_out);
}

static tdsnn_status adopt_teacher(job *j) {
    const tdsnn_model *teacher = j->options.teacher;
    tdsnn_data_info info = tdsnn_data_get_info(j->data);
    tdsnn_status status = tdsnn_model_check(j->ctx, teacher);
    if (status != TDSNN_OK) {
        return status;
    }
    if (tdsnn_model_is_spiking(teacher)) {
        return td_error(j->ctx, TDSNN_ERR_USAGE,
                        "%s is a spiking network: a teacher is a plain one", teacher->path);
    }
    if (j->options.distill == 0.0) {
        return td_error(j->ctx, TDSNN_ERR_USAGE,
                        "%s teaches nothing: say what share of the loss is distilled",
                        teacher->path);
    }
    status = td_data_fits(j->ctx, j->data, teacher->graph->nodes[0].shape);
    status = status != TDSNN_OK ? status
                                : td_build_normalised(j->ctx, teacher->graph, &info, &j->teacher);
    j->setup.teacher = j->teacher;
    return status;
}

static tdsnn_status start(job *j, const tdsnn_train_options *options, bool tunes, td_shape input) {
    size_t samples = tdsnn_data_get_info(j->data).samples;
    tdsnn_status status = fill_defaults(j->ctx, options, samples, tunes, &j->options);
    status = status != TDSNN_OK ? status : td_data_fits(j->ctx, j->data, input);
    status = status != TDSNN_OK || options->teacher == NULL ? status : adopt_teacher(j);
    return status != TDSNN_OK ? status : split_data(j);
}

/* ------------------------------------------------------------------------------------------ tune
 */

static tdsnn_status check_source(job *j, const tdsnn_model *source) {
    tdsnn_status status = tdsnn_model_check(j->ctx, source);
    if (status != TDSNN_OK) {
        return status;
    }
    bool spiking = tdsnn_model_is_spiking(source);
    if (spiking && j->convert != NULL) {
        return td_error(j->ctx, TDSNN_ERR_USAGE,
                        "%s is converted already: its windows and leaks stay; give none",
                        source->path);
    }
    if (!spiking && j->convert == NULL) {
        return td_error(j->ctx, TDSNN_ERR_USAGE,
                        "%s is a plain network: say how many steps its windows are to have",
                        source->path);
    }
    return TDSNN_OK;
}

static tdsnn_status tune(job *j, const tdsnn_model *source, tdsnn_model **trained,
                         tdsnn_train_report *report) {
    if (tdsnn_model_is_spiking(source)) {
        fill_setup(j, source->graph);
        return run(j, trained, report);
    }
    tdsnn_data_info info = tdsnn_data_get_info(j->data);
    tdsnn_status status = td_build_normalised(j->ctx, source->graph, &info, &j->plain);
    status = status != TDSNN_OK ? status : convert(j, j->plain);
    j->setup.teacher = j->teacher != NULL ? j->teacher : j->plain;
    return status != TDSNN_OK ? status : run(j, trained, report);
}

tdsnn_status tdsnn_tune(tdsnn_context *ctx, const tdsnn_model *source, const tdsnn_data *data,
                        const tdsnn_convert_options *convert_options,
                        const tdsnn_train_options *options, tdsnn_model **trained,
                        tdsnn_train_report *report) {
    job j = {.ctx = ctx, .path = source->path, .data = data, .convert = convert_options};
    *trained = NULL;
    td_error_clear(ctx);
    tdsnn_status status = check_source(&j, source);
    status = status != TDSNN_OK ? status : start(&j, options, true, source->graph->nodes[0].shape);
    status = status != TDSNN_OK ? status : tune(&j, source, trained, report);
    job_free(&j);
    return status;
}

/* ----------------------------------------------------------------------------------------- train
 */

/* The plain graph to start from, weights drawn, the data's normalisation inside. */
static tdsnn_status draw_network(job *j, const char *architecture, const tdsnn_model *model) {
    tdsnn_data_info info = tdsnn_data_get_info(j->data);
    td_graph *drawn = NULL;
    tdsnn_status status;
    if (model == NULL) {
        if (!info.labelled) {
            return td_error(j->ctx, TDSNN_ERR_USAGE,
                            "%s has no labels: an architecture is trained "
                            "on classes",
                            info.spec);
        }
        td_shape input = {info.shape[0], info.shape[1], info.shape[2],
                          info.shape[1] == 1 && info.shape[2] == 1};
        status = td_architecture_build(j->ctx, architecture, input, info.classes, j->options.seed,
                                       &drawn);
    } else {
        td_graph *copy = NULL;
        status = td_build_normalised(j->ctx, model->graph, &(tdsnn_data_info){0}, &copy);
        if (status == TDSNN_OK) {
            td_initialise(copy, j->options.seed);
            drawn = copy;
        }
    }
    if (status == TDSNN_OK) {
        status = td_build_normalised(j->ctx, drawn, &info, &j->plain);
    }
    td_graph_destroy(drawn);
    return status;
}

/* Norms measured and folded once, so that codes can be fitted to what activations will be. */
static tdsnn_status settle_norms(job *j, td_graph **settled) {
    td_training *training = NULL;
    tdsnn_train_options options = j->options;
    options.log = options.checkpoint = NULL;
    options.resume = false;
    fill_setup(j, j->plain);
    j->setup.options = &options;
    tdsnn_status status = choose_aim(j);
    status = status != TDSNN_OK ? status : td_training_create(j->ctx, &j->setup, &training);
    status = status != TDSNN_OK ? status : td_training_start(training, settled);
    td_training_destroy(training);
    return status;
}

static tdsnn_status train(job *j, tdsnn_model **trained, tdsnn_train_report *report) {
    j->setup.fresh = true;
    if (j->convert == NULL) {
        fill_setup(j, j->plain);
        return run(j, trained, report);
    }
    td_graph *settled = NULL;
    tdsnn_status status = settle_norms(j, &settled);
    status = status != TDSNN_OK ? status : convert(j, settled);
    td_graph_destroy(settled);
    j->setup.fresh = false; /* norms continue from those that were settled */
    return status != TDSNN_OK ? status : run(j, trained, report);
}

tdsnn_status tdsnn_train(tdsnn_context *ctx, const char *architecture, const tdsnn_model *model,
                         const tdsnn_data *data, const tdsnn_convert_options *convert_options,
                         const tdsnn_train_options *options, tdsnn_model **trained,
                         tdsnn_train_report *report) {
    job j = {.ctx = ctx,
             .path = model != NULL ? model->path : architecture,
             .data = data,
             .convert = convert_options};
    *trained = NULL;
    td_error_clear(ctx);
    tdsnn_status status = model == NULL ? TDSNN_OK : tdsnn_model_check(ctx, model);
    if (status == TDSNN_OK && model != NULL && tdsnn_model_is_spiking(model)) {
        status = td_error(ctx, TDSNN_ERR_USAGE,
                          "%s is converted already: start from a plain network, or tune it",
                          model->path);
    }
    tdsnn_data_info info = tdsnn_data_get_info(data);
    td_shape own = {info.shape[0], info.shape[1], info.shape[2], false};
    if (status == TDSNN_OK) {
        status = start(&j, options, false, model == NULL ? own : model->graph->nodes[0].shape);
    }
    status = status != TDSNN_OK ? status : draw_network(&j, architecture, model);
    status = status != TDSNN_OK ? status : train(&j, trained, report);
    job_free(&j);
    return status;
}
