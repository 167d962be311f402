#include <tdsnn/convert.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "convert/build.h"
#include "convert/calibrate.h"
#include "convert/place.h"
#include "data/fit.h"
#include "dense/dense.h"
#include "engine/engine.h"
#include "network/model.h"

#define DEFAULT_INPUT_STEPS 127
#define DEFAULT_INPUT_LEAK_RATIO 2.0
#define DEFAULT_CALIBRATION_SAMPLES 256

/* One conversion under way. */
typedef struct conversion {
    tdsnn_context *ctx;
    const td_graph *source;
    const tdsnn_data *data;
    tdsnn_convert_options options; /* defaults filled in */
    td_placement placement;
    size_t *samples;       /* [options.calibration_samples] indices into the data */
    tdsnn_code *codes;     /* [source->node_count]; those of coded nodes are set */
    td_code_error *errors; /* likewise */
    td_graph *coded;
} conversion;

/* What one worker thread needs. */
typedef struct worker {
    td_dense *dense;
    float *input;
    td_histogram **histograms; /* [node_count], NULL where there is no code */
    td_reference *reference;
    td_activity *activity;
} worker;

typedef struct crew {
    conversion *c;
    td_network *network;
    worker *workers;       /* [tdsnn_threads] */
    unsigned char *agrees; /* [calibration_samples] */
} crew;

static tdsnn_status fill_defaults(tdsnn_context *ctx, const tdsnn_convert_options *given,
                                  tdsnn_convert_options *o) {
    if (given->size != sizeof *given) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "convert options of %zu bytes, expected %zu: start from "
                        "TDSNN_CONVERT_OPTIONS_INIT",
                        given->size, sizeof *given);
    }
    *o = *given;
    if (o->steps < 1 || o->steps > TDSNN_MAX_STEPS) {
        return td_error(ctx, TDSNN_ERR_USAGE, "a window of %d steps: give 1 to %d", o->steps,
                        TDSNN_MAX_STEPS);
    }
    if (!(o->silence >= 0.0 && o->silence < 1.0)) {
        return td_error(ctx, TDSNN_ERR_USAGE, "silence %g: give a fraction from 0 to below 1",
                        o->silence);
    }
    o->leak = o->leak == 0.0 ? TDSNN_DEFAULT_LEAK_RATIO * o->steps : o->leak;
    o->input_steps = o->input_steps == 0 ? DEFAULT_INPUT_STEPS : o->input_steps;
    o->input_leak =
        o->input_leak == 0.0 ? DEFAULT_INPUT_LEAK_RATIO * o->input_steps : o->input_leak;
    o->calibration_samples =
        o->calibration_samples == 0 ? DEFAULT_CALIBRATION_SAMPLES : o->calibration_samples;
    return TDSNN_OK;
}

/* Draws distinct samples by seed: the first entries of a shuffle. */
static tdsnn_status draw_samples(conversion *c) {
    size_t have = tdsnn_data_get_info(c->data).samples;
    if (have == 0) {
        return td_error(c->ctx, TDSNN_ERR_INPUT, "the calibration data has no samples");
    }
    if (c->options.calibration_samples > have) {
        c->options.calibration_samples = have;
    }
    c->samples = td_alloc(c->ctx, have, sizeof *c->samples);
    if (c->samples == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    td_random random;
    td_random_seed(&random, c->options.seed, 0);
    for (size_t i = 0; i < have; i++) {
        c->samples[i] = i;
    }
    for (size_t i = 0; i < c->options.calibration_samples; i++) {
        size_t j = i + (size_t)td_random_below(&random, have - i);
        size_t swap = c->samples[i];
        c->samples[i] = c->samples[j];
        c->samples[j] = swap;
    }
    return TDSNN_OK;
}

static void crew_destroy(crew *team) {
    int threads = tdsnn_threads(team->c->ctx);
    for (int t = 0; team->workers != NULL && t < threads; t++) {
        worker *w = &team->workers[t];
        for (int i = 0; w->histograms != NULL && i < team->c->source->node_count; i++) {
            td_histogram_destroy(w->histograms[i]);
        }
        td_free(w->histograms);
        td_free(w->input);
        td_dense_destroy(w->dense);
        td_reference_destroy(w->reference);
        td_activity_destroy(w->activity);
    }
    td_free(team->workers);
    td_free(team->agrees);
}

static tdsnn_status worker_create(crew *team, worker *w) {
    conversion *c = team->c;
    size_t nodes = (size_t)c->source->node_count;
    w->input = td_alloc(c->ctx, td_shape_count(c->source->nodes[0].shape), sizeof *w->input);
    w->histograms = td_alloc(c->ctx, nodes, sizeof *w->histograms);
    if (w->input == NULL || w->histograms == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < nodes; i++) {
        if (c->placement.coded[i] && team->network == NULL) {
            w->histograms[i] = td_histogram_create(c->ctx);
            if (w->histograms[i] == NULL) {
                return TDSNN_ERR_RUNTIME;
            }
        }
    }
    tdsnn_status status = td_dense_create(c->ctx, c->source, &w->dense);
    if (status == TDSNN_OK && team->network != NULL) {
        status = td_reference_create(c->ctx, team->network, &w->reference);
    }
    if (status == TDSNN_OK && team->network != NULL) {
        status = td_activity_create(c->ctx, team->network, &w->activity);
    }
    return status;
}

/* A worker a thread; with a network they compare, without they calibrate. */
static tdsnn_status crew_create(conversion *c, td_network *network, crew *made) {
    size_t threads = (size_t)tdsnn_threads(c->ctx);
    *made = (crew){.c = c, .network = network};
    made->workers = td_alloc(c->ctx, threads, sizeof *made->workers);
    made->agrees = td_alloc(c->ctx, c->options.calibration_samples, 1);
    tdsnn_status status =
        made->workers == NULL || made->agrees == NULL ? TDSNN_ERR_RUNTIME : TDSNN_OK;
    for (size_t t = 0; t < threads && status == TDSNN_OK; t++) {
        status = worker_create(made, &made->workers[t]);
    }
    return status;
}

static tdsnn_status calibrate_sample(void *arg, size_t index, int number) {
    crew *team = arg;
    conversion *c = team->c;
    worker *w = &team->workers[number];
    tdsnn_status status = tdsnn_data_read(c->ctx, c->data, c->samples[index], w->input, NULL);
    if (status != TDSNN_OK) {
        return status;
    }
    td_dense_run(w->dense, w->input);
    for (int i = 0; i < c->source->node_count; i++) {
        if (w->histograms[i] != NULL) {
            td_histogram_add(w->histograms[i], td_dense_value(w->dense, i),
                             td_shape_count(c->source->nodes[i].shape));
        }
    }
    return TDSNN_OK;
}

/* The code of one node from all workers' histograms. */
static tdsnn_status choose_code(crew *team, int index) {
    conversion *c = team->c;
    const tdsnn_convert_options *o = &c->options;
    td_histogram *h = team->workers[0].histograms[index];
    for (int t = 1; t < tdsnn_threads(c->ctx); t++) {
        td_histogram_merge(h, team->workers[t].histograms[index]);
    }
    bool input = index == 0;
    if (input && td_histogram_min(h) < 0.0f) {
        return td_error(c->ctx, TDSNN_ERR_UNSUPPORTED,
                        "the input '%s' has negative values (%g in the calibration data); signed "
                        "inputs are not supported yet: give --input-steps analog, or data scaled "
                        "from 0 up",
                        c->source->input_name, (double)td_histogram_min(h));
    }
    tdsnn_code *code = &c->codes[index];
    tdsnn_status status =
        td_calibrate_code(c->ctx, h, input ? o->input_leak : o->leak,
                          input ? o->input_steps : o->steps, o->rounding, o->offset, code);
    if (status == TDSNN_OK && o->silence > 0.0 && !input) {
        float least = (float)(o->silence * code->values[code->steps]);
        for (int k = 0; k < code->steps; k++) {
            code->thresholds[k] = code->thresholds[k] < least ? least : code->thresholds[k];
        }
        code->rounding = TDSNN_ROUND_TABLE;
    }
    c->errors[index] = td_histogram_error(h, code);
    return status;
}

static tdsnn_status calibrate(conversion *c) {
    crew team;
    tdsnn_status status = crew_create(c, NULL, &team);
    if (status == TDSNN_OK) {
        status = td_parallel(c->ctx, "calibrating", c->options.calibration_samples,
                             calibrate_sample, &team);
    }
    for (int i = 0; i < c->source->node_count && status == TDSNN_OK; i++) {
        if (c->placement.coded[i]) {
            status = choose_code(&team, i);
        }
    }
    crew_destroy(&team);
    return status;
}

/* What evaluating the file needs to know about its data. Made-up calibration data says nothing. */
static tdsnn_status set_metadata(conversion *c) {
    tdsnn_data_info info = tdsnn_data_get_info(c->data);
    tdsnn_status status = td_graph_set_metadata(c->ctx, c->coded, "tdsnn.layout", "nchw");
    if (status == TDSNN_OK && strncmp(info.spec, "random", 6) != 0) {
        char scale[32];
        snprintf(scale, sizeof scale, "%.17g", info.scale);
        status = td_graph_set_metadata(c->ctx, c->coded, "tdsnn.scale", scale);
    }
    return status;
}

static tdsnn_status build_coded(conversion *c) {
    tdsnn_status status = td_build_coded(c->ctx, c->source, &c->placement, c->codes, &c->coded);
    return status != TDSNN_OK ? status : set_metadata(c);
}

static tdsnn_status compare_sample(void *arg, size_t index, int number) {
    crew *team = arg;
    conversion *c = team->c;
    worker *w = &team->workers[number];
    tdsnn_status status =
        tdsnn_data_read(c->ctx, c->data, c->samples[index], w->activity->input, NULL);
    if (status != TDSNN_OK) {
        return status;
    }
    td_dense_run(w->dense, w->activity->input);
    td_reference_run(w->reference, w->activity);
    const float *logits = td_dense_value(w->dense, td_graph_logits(c->source));
    int classes = team->network->classes;
    team->agrees[index] =
        td_prediction(logits, classes) == td_prediction(w->activity->logits, classes);
    return TDSNN_OK;
}

/* Share of the calibration samples on which source and converted network answer the same. */
static tdsnn_status measure_agreement(conversion *c, double *percent) {
    td_network *network;
    tdsnn_status status = td_network_create(c->ctx, c->coded, &network);
    if (status != TDSNN_OK) {
        return status;
    }
    crew team;
    size_t agreements = 0;
    status = crew_create(c, network, &team);
    if (status == TDSNN_OK) {
        status =
            td_parallel(c->ctx, "comparing", c->options.calibration_samples, compare_sample, &team);
    }
    for (size_t i = 0; i < c->options.calibration_samples && status == TDSNN_OK; i++) {
        agreements += team.agrees[i];
    }
    crew_destroy(&team);
    td_network_destroy(network);
    *percent = 100.0 * (double)agreements / (double)c->options.calibration_samples;
    return status;
}

void tdsnn_convert_report_free(tdsnn_convert_report *report) {
    if (report != NULL) {
        for (int i = 0; report->layers != NULL && i < report->layer_count; i++) {
            td_free((char *)report->layers[i].name);
        }
        td_free(report->layers);
        td_free(report);
    }
}

/* One row a code, in the order of the network. */
static tdsnn_status make_report(const conversion *c, double agreement,
                                tdsnn_convert_report **report) {
    tdsnn_convert_report *made = td_alloc(c->ctx, 1, sizeof *made);
    if (made == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    made->agreement_percent = agreement;
    made->calibration_samples = c->options.calibration_samples;
    made->layers = td_alloc(c->ctx, (size_t)c->source->node_count, sizeof *made->layers);
    for (int i = 0; made->layers != NULL && i < c->source->node_count; i++) {
        if (!c->placement.coded[i]) {
            continue;
        }
        const char *name = c->source->nodes[i].name;
        char *copy = td_alloc(c->ctx, strlen(name) + 1, 1);
        if (copy == NULL) {
            tdsnn_convert_report_free(made);
            return TDSNN_ERR_RUNTIME;
        }
        memcpy(copy, name, strlen(name));
        made->layers[made->layer_count++] = (tdsnn_convert_layer){
            .name = copy,
            .steps = c->codes[i].steps,
            .leak = c->codes[i].leak,
            .scale = c->codes[i].scale,
            .snr_db = 10.0 * log10(c->errors[i].energy / c->errors[i].error),
        };
    }
    if (made->layers == NULL) {
        tdsnn_convert_report_free(made);
        return TDSNN_ERR_RUNTIME;
    }
    *report = made;
    return TDSNN_OK;
}

/* All of it but the freeing. */
static tdsnn_status run(conversion *c, const char *path, tdsnn_model **converted,
                        tdsnn_convert_report **report) {
    size_t nodes = (size_t)c->source->node_count;
    c->codes = td_alloc(c->ctx, nodes, sizeof *c->codes);
    c->errors = td_alloc(c->ctx, nodes, sizeof *c->errors);
    if (c->codes == NULL || c->errors == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    double agreement = 0.0;
    tdsnn_status status = td_data_fits(c->ctx, c->data, c->source->nodes[0].shape);
    status = status != TDSNN_OK ? status : draw_samples(c);
    status = status != TDSNN_OK ? status : calibrate(c);
    status = status != TDSNN_OK ? status : build_coded(c);
    status = status != TDSNN_OK ? status : measure_agreement(c, &agreement);
    tdsnn_convert_report *made = NULL;
    status = status != TDSNN_OK ? status : make_report(c, agreement, &made);
    if (status != TDSNN_OK) {
        return status;
    }
    if (c->options.offset == 1) {
        td_warn(c->ctx,
                "offset 1 is for networks trained with the paper's activation G; this one agrees "
                "with its source on %.2f %% of the calibration samples",
                agreement);
    }
    td_graph *graph = c->coded;
    c->coded = NULL; /* the model takes it over */
    status = td_model_create(c->ctx, graph, path, converted);
    if (status != TDSNN_OK || report == NULL) {
        tdsnn_convert_report_free(made);
    } else {
        *report = made;
    }
    return status;
}

tdsnn_status tdsnn_convert(tdsnn_context *ctx, const tdsnn_model *source,
                           const tdsnn_data *calibration, const tdsnn_convert_options *options,
                           tdsnn_model **converted, tdsnn_convert_report **report) {
    tdsnn_status status = tdsnn_model_check(ctx, source);
    conversion c = {.ctx = ctx, .source = source->graph, .data = calibration};
    status = status != TDSNN_OK ? status : fill_defaults(ctx, options, &c.options);
    if (status == TDSNN_OK) {
        status = td_place(ctx, c.source, c.options.input_steps < 0, &c.placement);
    }
    if (status == TDSNN_OK) {
        status = run(&c, source->path, converted, report);
    }
    td_placement_free(&c.placement);
    td_graph_destroy(c.coded);
    td_free(c.samples);
    td_free(c.codes);
    td_free(c.errors);
    return status;
}

tdsnn_status tdsnn_convert_check(tdsnn_context *ctx, const tdsnn_model *source) {
    tdsnn_status status = tdsnn_model_check(ctx, source);
    td_placement placement;
    if (status == TDSNN_OK) {
        status = td_place(ctx, source->graph, false, &placement);
    }
    if (status == TDSNN_OK) {
        td_placement_free(&placement);
    }
    return status;
}
