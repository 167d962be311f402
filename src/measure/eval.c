/* Evaluation: samples in chunks, each chunk on all threads, then written out in order. */
#include <tdsnn/eval.h>

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "data/array_writer.h"
#include "data/fit.h"
#include "data/normalise.h"
#include "measure/counts.h"
#include "measure/predictions.h"
#include "measure/runner.h"
#include "network/model.h"

/* A chunk has this many samples a thread, fewer where what is kept of them would take more than
 * CHUNK_BYTES. */
#define CHUNK_PER_THREAD 32
#define CHUNK_BYTES ((size_t)256 << 20)

/* What one thread needs. */
typedef struct worker {
    float *sample;
    td_runner *runner, *against;
    td_counter *counter; /* NULL for a plain model */
    double run_seconds, against_run_seconds;
} worker;

typedef struct error_sums {
    double absolute, squares;
} error_sums;

typedef struct evaluation {
    tdsnn_context *ctx;
    const tdsnn_data *data;
    const tdsnn_eval_options *options;
    td_program program, against; /* against.graph is NULL without a second model */
    int threads;
    worker *workers;
    /* the chunk under way */
    size_t first, count, capacity;
    float *logits, *against_logits; /* [capacity][outputs] */
    float *targets;                 /* [capacity][outputs], NULL: none */
    int *labels;                    /* [capacity] */
    uint8_t *times;                 /* [capacity][times_size], with --spikes only */
    size_t times_size;              /* spike times of all layers of one sample */
    /* outputs */
    td_array_writer *logits_file, *spikes_file;
    td_predictions *predictions_file;
    tdsnn_eval_result *result;
    double error_sum;
    error_sums target_errors, against_target_errors;
} evaluation;

static const td_network *network_of(const evaluation *e) {
    return e->program.network;
}

static tdsnn_status worker_create(evaluation *e, worker *w) {
    w->sample = td_alloc(e->ctx, td_shape_count(e->program.input), sizeof *w->sample);
    tdsnn_status status = w->sample == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    if (status == TDSNN_OK) {
        status = td_runner_create(e->ctx, &e->program, &w->runner);
    }
    if (status == TDSNN_OK && e->against.graph != NULL) {
        status = td_runner_create(e->ctx, &e->against, &w->against);
    }
    if (status == TDSNN_OK && network_of(e) != NULL) {
        status = td_counter_create(e->ctx, network_of(e), &w->counter);
    }
    return status;
}

static void worker_free(worker *w) {
    td_free(w->sample);
    td_runner_destroy(w->runner);
    td_runner_destroy(w->against);
    td_counter_destroy(w->counter);
}

/* Copies the spike times of all layers of one sample, one behind the other. */
static void keep_times(const evaluation *e, const td_activity *activity, uint8_t *to) {
    const td_network *network = network_of(e);
    for (int i = 0; i < network->layer_count; i++) {
        if (activity->times[i] != NULL) {
            size_t count = td_layer_neurons(&network->layers[i]);
            memcpy(to, activity->times[i], count);
            to += count;
        }
    }
}

static void keep_targets(evaluation *e, const worker *w, size_t index) {
    size_t outputs = (size_t)e->program.outputs;
    float *targets = e->targets + index * outputs;
    if (e->result->targets == TDSNN_TARGETS_Y) {
        tdsnn_data_read_targets(e->data, e->first + index, targets);
    } else {
        memcpy(targets, w->sample, outputs * sizeof *targets);
        td_data_normalise(&e->program.data, targets);
    }
}

/* Runs sample `index` of the chunk. */
static tdsnn_status run_sample(void *arg, size_t index, int number) {
    evaluation *e = arg;
    worker *w = &e->workers[number];
    size_t outputs = (size_t)e->program.outputs;
    tdsnn_status status =
        tdsnn_data_read(e->ctx, e->data, e->first + index, w->sample, &e->labels[index]);
    if (status != TDSNN_OK) {
        return status;
    }
    if (e->targets != NULL) {
        keep_targets(e, w, index);
    }
    const float *logits;
    bool counts = w->counter != NULL && e->first + index < e->result->counted;
    double start = td_now();
    td_runner_run(w->runner, w->sample, counts || e->times != NULL, &logits);
    w->run_seconds += td_now() - start;
    memcpy(e->logits + index * outputs, logits, outputs * sizeof *logits);
    if (counts) {
        td_counter_add(w->counter, td_runner_activity(w->runner));
    }
    if (e->times != NULL) {
        keep_times(e, td_runner_activity(w->runner), e->times + index * e->times_size);
    }
    if (w->against != NULL) {
        start = td_now();
        td_runner_run(w->against, w->sample, false, &logits);
        w->against_run_seconds += td_now() - start;
        memcpy(e->against_logits + index * outputs, logits, outputs * sizeof *logits);
    }
    return TDSNN_OK;
}

/* The number of outputs that come before the label's: larger, or not smaller with a lower index
 * (where sums overflowed to what is no number, neither is smaller). */
static int rank_of(const float *logits, int outputs, int label) {
    int rank = 0;
    for (int i = 0; i < outputs; i++) {
        rank += i < label ? !(logits[i] < logits[label]) : logits[i] > logits[label];
    }
    return rank;
}

static void score(evaluation *e, const float *logits, int label) {
    int outputs = e->program.outputs;
    e->result->top1 += td_prediction(logits, outputs) == label;
    e->result->top5 += rank_of(logits, outputs, label) < 5;
}

static void compare(evaluation *e, const float *logits, const float *against, int label) {
    int outputs = e->program.outputs;
    e->result->against_top1 += label >= 0 && td_prediction(against, outputs) == label;
    e->result->agreements += td_prediction(logits, outputs) == td_prediction(against, outputs);
    for (int i = 0; i < outputs; i++) {
        double error = (double)logits[i] - (double)against[i];
        error = error < 0.0 ? -error : error;
        e->error_sum += error;
        e->result->max_abs_error =
            error > e->result->max_abs_error ? error : e->result->max_abs_error;
    }
}

static void add_errors(error_sums *sums, const float *values, const float *targets, int count) {
    for (int i = 0; i < count; i++) {
        double error = (double)values[i] - (double)targets[i];
        sums->absolute += error < 0.0 ? -error : error;
        sums->squares += error * error;
    }
}

/* How far one sample is from its targets. */
static void measure(evaluation *e, size_t index) {
    size_t place = index * (size_t)e->program.outputs;
    add_errors(&e->target_errors, e->logits + place, e->targets + place, e->program.outputs);
    if (e->against.graph != NULL) {
        add_errors(&e->against_target_errors, e->against_logits + place, e->targets + place,
                   e->program.outputs);
    }
}

/* Arrays of spike times that a layer has: none, one, or two of a pair. */
static int halves_of(const td_layer *layer) {
    return layer->code == NULL ? 0 : layer->pair ? 2 : 1;
}

static tdsnn_status write_times(evaluation *e, const uint8_t *times) {
    const td_network *network = network_of(e);
    tdsnn_status status = TDSNN_OK;
    for (int i = 0, array = 0; i < network->layer_count && status == TDSNN_OK; i++) {
        const td_layer *layer = &network->layers[i];
        for (int half = 0; half < halves_of(layer) && status == TDSNN_OK; half++) {
            status = td_array_append(e->spikes_file, array++, times);
            times += td_shape_count(layer->shape);
        }
    }
    return status;
}

/* Scores and writes one sample of the chunk. */
static tdsnn_status finish_sample(evaluation *e, size_t index) {
    const float *logits = e->logits + index * (size_t)e->program.outputs;
    tdsnn_status status = TDSNN_OK;
    int label = e->labels[index];
    if (label >= 0 && label < e->program.outputs) {
        score(e, logits, label);
    }
    if (e->against.graph != NULL) {
        compare(e, logits, e->against_logits + index * (size_t)e->program.outputs, label);
    }
    if (e->targets != NULL) {
        measure(e, index);
    }
    if (e->predictions_file != NULL) {
        status =
            td_predictions_write(e->predictions_file, td_prediction(logits, e->program.outputs));
    }
    if (e->logits_file != NULL && status == TDSNN_OK) {
        status = td_array_append(e->logits_file, 0, logits);
    }
    if (e->spikes_file != NULL && status == TDSNN_OK) {
        status = write_times(e, e->times + index * e->times_size);
    }
    return status;
}

static tdsnn_status run_all(evaluation *e, size_t samples) {
    tdsnn_status status = td_progress(e->ctx, "evaluating", 0, samples);
    for (e->first = 0; e->first < samples && status == TDSNN_OK; e->first += e->count) {
        size_t left = samples - e->first;
        e->count = left < e->capacity ? left : e->capacity;
        status = td_parallel(e->ctx, NULL, e->count, run_sample, e);
        for (size_t i = 0; i < e->count && status == TDSNN_OK; i++) {
            status = finish_sample(e, i);
        }
        if (status == TDSNN_OK) {
            status = td_progress(e->ctx, "evaluating", e->first + e->count, samples);
        }
    }
    return status;
}

/* The arrays of one layer; gives their number. */
static int spike_arrays(td_arena *names, const td_layer *layer, td_array_spec *arrays) {
    static const char *const endings[] = {".pos", ".neg"};
    for (int half = 0; half < halves_of(layer); half++) {
        arrays[half] = (td_array_spec){
            .name = layer->pair ? td_arena_printf(names, "%s%s", layer->name, endings[half])
                                : layer->name,
            .type = TD_ARRAY_UINT8,
            .rank = layer->shape.flat ? 1 : 3,
            .dims = {layer->shape.c, layer->shape.h, layer->shape.w}};
    }
    return halves_of(layer);
}

static tdsnn_status create_spikes(evaluation *e, td_arena *names, td_array_spec *arrays) {
    const td_network *network = network_of(e);
    int count = 0;
    for (int i = 0; i < network->layer_count; i++) {
        int more = spike_arrays(names, &network->layers[i], arrays + count);
        if (more > 0 && arrays[count].name == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        count += more;
        e->times_size += more > 0 ? td_layer_neurons(&network->layers[i]) : 0;
    }
    return td_npz_create(e->ctx, e->options->spikes, e->options->force, arrays, count,
                         &e->spikes_file);
}

/* Opens the .npz: one array a layer that has spike times, two a layer of pairs. */
static tdsnn_status open_spikes(evaluation *e) {
    const td_network *network = network_of(e);
    if (network == NULL) {
        return td_error(e->ctx, TDSNN_ERR_USAGE,
                        "%s: a plain network has no spike times to write; convert it first",
                        e->options->spikes);
    }
    td_arena *names = td_arena_create(e->ctx);
    td_array_spec *arrays =
        names == NULL ? NULL
                      : td_arena_alloc(names, 2 * (size_t)network->layer_count, sizeof *arrays);
    tdsnn_status status = arrays == NULL ? TDSNN_ERR_RUNTIME : create_spikes(e, names, arrays);
    td_arena_destroy(names);
    return status;
}

/* With --force the last one would replace the others. */
static tdsnn_status check_outputs(const evaluation *e) {
    const char *const paths[] = {e->options->predictions, e->options->logits, e->options->spikes};
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < i; k++) {
            if (paths[i] != NULL && paths[k] != NULL && strcmp(paths[i], paths[k]) == 0) {
                return td_error(e->ctx, TDSNN_ERR_USAGE,
                                "%s: is named for two outputs; give each a file of its own",
                                paths[i]);
            }
        }
    }
    return TDSNN_OK;
}

static tdsnn_status open_outputs(evaluation *e) {
    const tdsnn_eval_options *o = e->options;
    tdsnn_status status = check_outputs(e);
    if (o->predictions != NULL && status == TDSNN_OK) {
        status =
            td_predictions_open(e->ctx, o->predictions, o->labels, o->force, &e->predictions_file);
    }
    if (o->logits != NULL && status == TDSNN_OK) {
        td_array_spec array = {
            .name = "logits", .type = TD_ARRAY_FLOAT32, .rank = 1, .dims = {e->program.outputs}};
        status = td_npy_create(e->ctx, o->logits, o->force, &array, &e->logits_file);
    }
    if (o->spikes != NULL && status == TDSNN_OK) {
        status = open_spikes(e);
    }
    return status;
}

/* Commits every output, the first failure wins; or discards them all. */
static tdsnn_status close_outputs(evaluation *e, tdsnn_status status) {
    if (e->predictions_file != NULL) {
        status = td_predictions_close(e->predictions_file, status);
    }
    td_array_writer *writers[] = {e->logits_file, e->spikes_file};
    for (size_t i = 0; i < 2; i++) {
        if (writers[i] != NULL && status == TDSNN_OK) {
            status = td_array_commit(writers[i]);
        } else {
            td_array_discard(writers[i]);
        }
    }
    return status;
}

static tdsnn_status allocate(evaluation *e) {
    e->threads = tdsnn_threads(e->ctx);
    e->capacity = (size_t)e->threads * CHUNK_PER_THREAD;
    size_t outputs = (size_t)e->program.outputs;
    size_t kept = e->times_size +
                  outputs * (sizeof *e->logits + sizeof *e->against_logits + sizeof *e->targets);
    if (e->capacity > CHUNK_BYTES / kept) {
        e->capacity = CHUNK_BYTES / kept + 1;
    }
    e->workers = td_alloc(e->ctx, (size_t)e->threads, sizeof *e->workers);
    e->logits = td_alloc(e->ctx, e->capacity * outputs, sizeof *e->logits);
    e->against_logits = td_alloc(e->ctx, e->capacity * outputs, sizeof *e->against_logits);
    e->labels = td_alloc(e->ctx, e->capacity, sizeof *e->labels);
    if (e->workers == NULL || e->logits == NULL || e->against_logits == NULL || e->labels == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    if (e->result->targets != TDSNN_TARGETS_NONE) {
        e->targets = td_alloc(e->ctx, e->capacity * outputs, sizeof *e->targets);
        if (e->targets == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    if (e->times_size > 0) {
        e->times = td_alloc(e->ctx, e->capacity, e->times_size);
        if (e->times == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
    }
    tdsnn_status status = TDSNN_OK;
    for (int t = 0; t < e->threads && status == TDSNN_OK; t++) {
        status = worker_create(e, &e->workers[t]);
    }
    return status;
}

static void release(evaluation *e) {
    for (int t = 0; e->workers != NULL && t < e->threads; t++) {
        worker_free(&e->workers[t]);
    }
    td_free(e->workers);
    td_free(e->logits);
    td_free(e->against_logits);
    td_free(e->labels);
    td_free(e->targets);
    td_free(e->times);
    td_program_free(&e->program);
    td_program_free(&e->against);
}

static void add_counts(tdsnn_counts *to, const tdsnn_counts *from) {
    uint64_t *sums = (uint64_t *)to;
    const uint64_t *terms = (const uint64_t *)from;
    _Static_assert(sizeof *to % sizeof *sums == 0, "tdsnn_counts holds nothing but uint64_t");
    for (size_t i = 0; i < sizeof *to / sizeof *sums; i++) {
        sums[i] += terms[i];
    }
}

static const char *kind_name(td_layer_kind kind) {
    static const char *const names[] = {[TD_LAYER_INPUT] = "input",
                                        [TD_LAYER_SYNAPSES] = "synapses",
                                        [TD_LAYER_POOL] = "max-pool",
                                        [TD_LAYER_READOUT] = "read-out"};
    return names[kind];
}

/* The largest K among the codes that a layer with ticking neuron or a read-out reads. */
static int fixed_t_last_in(const td_network *network, const td_layer *layer) {
    int steps = 0;
    for (int k = 0; layer->kind != TD_LAYER_POOL && k < layer->synapse_count; k++) {
        const tdsnn_code *code = network->layers[layer->synapses[k].source].code;
        steps = code != NULL && code->steps > steps ? code->steps : steps;
    }
    return steps;
}

static tdsnn_status report_layers(evaluation *e, const td_counter *counter) {
    const td_network *network = network_of(e);
    tdsnn_eval_result *r = e->result;
    r->layers = td_alloc(e->ctx, (size_t)network->layer_count, sizeof *r->layers);
    if (r->layers == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < network->layer_count; i++) {
        const td_layer *layer = &network->layers[i];
        tdsnn_eval_layer *out = &r->layers[r->layer_count];
        char *name = td_alloc(e->ctx, strlen(layer->name) + 1, 1);
        if (name == NULL) {
            return TDSNN_ERR_RUNTIME;
        }
        memcpy(name, layer->name, strlen(layer->name));
        r->layer_count++;
        *out = (tdsnn_eval_layer){.name = name,
                                  .kind = kind_name(layer->kind),
                                  .shape = {layer->shape.c, layer->shape.h, layer->shape.w},
                                  .steps = layer->code == NULL ? 0 : layer->code->steps,
                                  .t_last_in_fixed = fixed_t_last_in(network, layer)};
        out->counts = td_counter_layer(counter, i, &out->t_last_in);
        if (i == 0) {
            r->input_spikes = out->counts.spikes;
            r->input_neurons = out->counts.neurons;
        } else {
            add_counts(&r->total, &out->counts);
        }
    }
    r->latency_fixed = td_counter_latency_fixed(counter);
    r->latency_dynamic = td_counter_latency_dynamic(counter);
    return TDSNN_OK;
}

static tdsnn_errors mean_errors(const error_sums *sums, const tdsnn_eval_result *r) {
    double count = (double)r->samples * (double)r->outputs;
    return (tdsnn_errors){sums->absolute / count, sqrt(sums->squares / count)};
}

static tdsnn_status report(evaluation *e, double seconds) {
    tdsnn_eval_result *r = e->result;
    r->target_error = mean_errors(&e->target_errors, r);
    r->against_target_error = mean_errors(&e->against_target_errors, r);
    r->seconds = seconds;
    for (int t = 0; t < e->threads; t++) {
        r->run_seconds += e->workers[t].run_seconds;
        r->against_run_seconds += e->workers[t].against_run_seconds;
    }
    r->mean_abs_error = e->error_sum / ((double)r->samples * (double)r->outputs);
    if (network_of(e) == NULL) {
        for (int i = 0; i < e->program.graph->node_count; i++) {
            r->total.macs +=
                r->counted * td_node_macs(e->program.graph, &e->program.graph->nodes[i], false);
        }
        return TDSNN_OK;
    }
    td_counter *counter = e->workers[0].counter;
    for (int t = 1; t < e->threads; t++) {
        td_counter_merge(counter, e->workers[t].counter);
    }
    return report_layers(e, counter);
}

static tdsnn_status choose_targets(evaluation *e) {
    const tdsnn_data_info *info = &e->program.data;
    if (info->targets > 0 && info->targets != (size_t)e->program.outputs) {
        return td_error(e->ctx, TDSNN_ERR_USAGE,
                        "%s: y has %zu real values a sample, and the network %d outputs; classes "
                        "are saved as integers",
                        info->spec, info->targets, e->program.outputs);
    }
    e->result->targets = info->targets > 0 ? TDSNN_TARGETS_Y
                         : !info->labelled && td_graph_is_autoencoder(e->program.graph)
                             ? TDSNN_TARGETS_INPUT
                             : TDSNN_TARGETS_NONE;
    return TDSNN_OK;
}

static tdsnn_status run(evaluation *e) {
    tdsnn_status status = choose_targets(e);
    if (status == TDSNN_OK) {
        status = open_outputs(e);
    }
    if (status == TDSNN_OK) {
        status = allocate(e);
    }
    double start = td_now();
    if (status == TDSNN_OK) {
        status = run_all(e, e->result->samples);
    }
    if (status == TDSNN_OK) {
        status = report(e, td_now() - start);
    }
    return close_outputs(e, status); /* last: nothing may fail once files have their names */
}

/* Makes the programs and looks whether data and models suit each other. */
static tdsnn_status prepare(evaluation *e, const tdsnn_model *model) {
    const tdsnn_eval_options *o = e->options;
    tdsnn_data_info info = tdsnn_data_get_info(e->data);
    if (o->size != sizeof *o) {
        return td_error(e->ctx, TDSNN_ERR_USAGE,
                        "eval options of %zu bytes, expected %zu: start from "
                        "TDSNN_EVAL_OPTIONS_INIT",
                        o->size, sizeof *o);
    }
    if (info.samples == 0) {
        return td_error(e->ctx, TDSNN_ERR_INPUT, "%s: has no samples", info.spec);
    }
    tdsnn_status status = td_program_create(e->ctx, model, e->data, o->engine, &e->program);
    if (status == TDSNN_OK && o->against != NULL) {
        status = td_program_create(e->ctx, o->against, e->data, TDSNN_ENGINE_EVENT, &e->against);
    }
    if (status == TDSNN_OK) {
        status = td_data_fits(e->ctx, e->data, e->program.input);
    }
    if (status == TDSNN_OK && o->against != NULL) {
        status = td_data_fits(e->ctx, e->data, e->against.input);
    }
    if (status == TDSNN_OK && o->against != NULL) {
        status = td_program_plan(e->ctx, e->data, td_kernels_find(NULL), &e->against);
    }
    if (status == TDSNN_OK && o->against != NULL && e->against.outputs != e->program.outputs) {
        status = td_error(e->ctx, TDSNN_ERR_USAGE,
                          "'%s' has %d outputs and '%s' %d: they cannot be compared", model->path,
                          e->program.outputs, o->against->path, e->against.outputs);
    }
    if (status == TDSNN_OK) {
        status = td_preprocessing_fits(e->ctx, model, info.scale, info.channels_normalised,
                                       info.mean, info.std);
    }
    if (status == TDSNN_OK) {
        status = td_program_plan(e->ctx, e->data, td_kernels_find(NULL), &e->program);
    }
    *e->result = (tdsnn_eval_result){
        .samples = o->limit > 0 && o->limit < info.samples ? o->limit : info.samples,
        .outputs = e->program.outputs,
        .labelled = info.labelled,
        .spiking = e->program.network != NULL,
        .compared = o->against != NULL};
    size_t samples = e->result->samples;
    e->result->counted = o->count > 0 && o->count < samples ? o->count : samples;
    return status;
}

tdsnn_status tdsnn_eval(tdsnn_context *ctx, const tdsnn_model *model, const tdsnn_data *data,
                        const tdsnn_eval_options *options, tdsnn_eval_result **result) {
    td_error_clear(ctx);
    evaluation e = {.ctx = ctx, .data = data, .options = options};
    e.result = td_alloc(ctx, 1, sizeof *e.result);
    if (e.result == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    tdsnn_status status = prepare(&e, model);
    if (status == TDSNN_OK) {
        status = run(&e);
    }
    release(&e);
    if (status != TDSNN_OK) {
        tdsnn_eval_result_free(e.result);
        return status;
    }
    *result = e.result;
    return TDSNN_OK;
}

void tdsnn_eval_result_free(tdsnn_eval_result *result) {
    if (result == NULL) {
        return;
    }
    for (int i = 0; i < result->layer_count; i++) {
        td_free((char *)result->layers[i].name);
    }
    td_free(result->layers);
    td_free(result);
}
