#include <tdsnn/convert.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "convert/attempt.h"
#include "convert/build.h"
#include "convert/convert.h"
#include "convert/silence.h"
#include "data/fit.h"
#include "engine/engine.h"
#include "network/model.h"

#define DEFAULT_INPUT_STEPS 127
#define DEFAULT_INPUT_LEAK_RATIO 2.0
#define DEFAULT_CALIBRATION_SAMPLES 256

/* One conversion under way. */
typedef struct conversion {
    tdsnn_context *ctx;
    const td_graph *source; /* the plain graph, the data's normalisation behind its input */
    const tdsnn_data *data;
    tdsnn_convert_options options; /* defaults filled in */
    td_calibration calibration;
    td_attempt attempt; /* the best so far */
    double logit_error, agreement_percent;
    size_t outputs;
    float *wanted, *logits; /* [samples][outputs] the source's, those of the last attempt */
    int trial_count;
    tdsnn_leak_trial trials[TDSNN_MAX_LEAK_TRIALS];
    td_silencing silencing;
} conversion;

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
    if (!(o->silence_points >= 0.0 && o->silence_points <= 100.0)) {
        return td_error(ctx, TDSNN_ERR_USAGE, "silence for %g points: give 0 to 100",
                        o->silence_points);
    }
    if (o->silence > 0.0 && o->silence_points > 0.0) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "silence both as a share and for points of accuracy: give one of them");
    }
    if (o->silence_points > 0.0 && o->offset == 1) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "silence for points of accuracy needs offset 0: at offset 1 every neuron "
                        "fires");
    }
    if (o->equalise && o->offset == 1) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "offset 1 cannot be equalised: its smallest value is not 0; use offset 0, "
                        "or leave the scales as they are");
    }
    double ratio = o->offset == 1 ? TDSNN_DEFAULT_LEAK_RATIO_1 : TDSNN_DEFAULT_LEAK_RATIO;
    o->leak = o->leak == 0.0 ? ratio * o->steps : o->leak;
    o->input_steps = o->input_steps == 0 ? DEFAULT_INPUT_STEPS : o->input_steps;
    o->input_leak =
        o->input_leak == 0.0 ? DEFAULT_INPUT_LEAK_RATIO * o->input_steps : o->input_leak;
    o->calibration_samples =
        o->calibration_samples == 0 ? DEFAULT_CALIBRATION_SAMPLES : o->calibration_samples;
    return TDSNN_OK;
}

/* Numbers of all channels, separated by commas. */
static tdsnn_status set_numbers(conversion *c, const char *key, const float *numbers, int count) {
    char text[TDSNN_MAX_NORMALISED * 24] = "";
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        char number[TD_NUMBER_TEXT];
        td_number_write((double)numbers[i], 9, number);
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s", i == 0 ? "" : ",",
                                   number);
    }
    return td_graph_set_metadata(c->ctx, c->attempt.coded, key, text);
}

static tdsnn_status set_size(conversion *c, const char *key, int size) {
    char text[16];
    snprintf(text, sizeof text, "%d", size);
    return td_graph_set_metadata(c->ctx, c->attempt.coded, key, text);
}

/* The kind of the calibration data, without its path: "mnist", "random". */
static tdsnn_status set_calibration(conversion *c, const char *spec) {
    char kind[32];
    snprintf(kind, sizeof kind, "%.*s", (int)strcspn(spec, ":"), spec);
    return td_graph_set_metadata(c->ctx, c->attempt.coded, "tdsnn.calibration", kind);
}

/* What evaluating the file needs to know about its data. Made-up calibration data says nothing. */
static tdsnn_status set_metadata(conversion *c) {
    tdsnn_data_info info = tdsnn_data_get_info(c->data);
    tdsnn_status status = td_graph_set_metadata(c->ctx, c->attempt.coded, "tdsnn.layout", "nchw");
    if (status == TDSNN_OK) {
        status = set_calibration(c, info.spec);
    }
    if (status == TDSNN_OK && strncmp(info.spec, "random", 6) != 0) {
        char scale[TD_NUMBER_TEXT];
        td_number_write(info.scale, 17, scale);
        status = td_graph_set_metadata(c->ctx, c->attempt.coded, "tdsnn.scale", scale);
    }
    if (status == TDSNN_OK && info.channels_normalised > 0) {
        status = set_numbers(c, "tdsnn.mean", info.mean, info.channels_normalised);
    }
    if (status == TDSNN_OK && info.channels_normalised > 0) {
        status = set_numbers(c, "tdsnn.std", info.std, info.channels_normalised);
    }
    if (status == TDSNN_OK && info.resize > 0) {
        status = set_size(c, "tdsnn.resize", info.resize);
    }
    if (status == TDSNN_OK && info.crop > 0) {
        status = set_size(c, "tdsnn.crop", info.crop);
    }
    return status;
}

/* ----------------------------------------------------------------------------------------- leak
 */

/* How far the attempt's logits are from the source's, relative to those. */
static double logit_error(const conversion *c) {
    double error = 0.0, energy = 0.0;
    for (size_t i = 0; i < c->calibration.samples.count * c->outputs; i++) {
        double wanted = c->wanted[i], miss = c->logits[i] - wanted;
        error += miss * miss;
        energy += wanted * wanted;
    }
    return energy > 0.0 ? sqrt(error / energy) : sqrt(error);
}

static double agreement_percent(const conversion *c) {
    size_t agreements = 0, samples = c->calibration.samples.count;
    for (size_t s = 0; s < samples; s++) {
        size_t first = s * c->outputs;
        agreements += td_prediction(c->wanted + first, (int)c->outputs) ==
                      td_prediction(c->logits + first, (int)c->outputs);
    }
    return 100.0 * (double)agreements / (double)samples;
}

/* Converts at one leak; the attempt is kept if its logits are the nearest so far. */
static tdsnn_status try_leak(conversion *c, double leak) {
    td_attempt attempt;
    tdsnn_status status = td_attempt_make(c->ctx, &c->calibration, leak, &attempt);
    if (status != TDSNN_OK) {
        return status;
    }
    status = td_spiking_logits(c->ctx, attempt.coded, &c->calibration.samples, c->logits);
    if (status != TDSNN_OK) {
        td_attempt_free(&attempt);
        return status;
    }
    tdsnn_leak_trial trial = {leak, logit_error(c)};
    bool best = c->attempt.coded == NULL || trial.logit_error < c->logit_error;
    c->trials[c->trial_count++] = trial;
    if (best) {
        td_attempt_free(&c->attempt);
        c->attempt = attempt;
        c->logit_error = trial.logit_error;
        c->agreement_percent = agreement_percent(c);
    } else {
        td_attempt_free(&attempt);
    }
    return TDSNN_OK;
}

/* Converts at the leak given, or at each of those that are searched. */
static tdsnn_status try_leaks(conversion *c) {
    static const double ratios[TDSNN_MAX_LEAK_TRIALS] = {0.25, 0.5, 1.0, 2.0, 4.0};
    const td_graph *source = c->source;
    size_t count = 0;
    c->outputs = td_shape_count(source->nodes[td_graph_logits(source)].shape);
    if (!td_size_mul(c->calibration.samples.count, c->outputs, &count)) {
        count = SIZE_MAX; /* which no allocation grants */
    }
    c->wanted = td_alloc(c->ctx, count, sizeof *c->wanted);
    c->logits = td_alloc(c->ctx, count, sizeof *c->logits);
    tdsnn_status status = TDSNN_ERR_RUNTIME;
    if (c->wanted != NULL && c->logits != NULL) {
        status = td_plain_logits(c->ctx, source, &c->calibration.samples, c->wanted);
    }
    if (c->options.leak != TDSNN_LEAK_AUTO) {
        return status != TDSNN_OK ? status : try_leak(c, c->options.leak);
    }
    for (int i = 0; i < TDSNN_MAX_LEAK_TRIALS && status == TDSNN_OK; i++) {
        status = try_leak(c, ratios[i] * c->options.steps);
    }
    return status;
}

/* Outputs that are no classes: see tdsnn_convert_report. */
static bool gives_values(const conversion *c) {
    tdsnn_data_info info = tdsnn_data_get_info(c->data);
    return info.targets > 0 || c->outputs == 1 ||
           (!info.labelled && td_graph_is_autoencoder(c->source));
}

/* Silences as far as was asked for, and looks at the answers again. */
static tdsnn_status silence(conversion *c) {
    if (c->options.silence_points == 0.0) {
        return TDSNN_OK;
    }
    tdsnn_status status =
        td_silence(c->ctx, &c->calibration, c->options.silence_points, &c->attempt, &c->silencing);
    if (status == TDSNN_OK) {
        status = td_spiking_logits(c->ctx, c->attempt.coded, &c->calibration.samples, c->logits);
    }
    if (status == TDSNN_OK) {
        c->logit_error = logit_error(c);
        c->agreement_percent = agreement_percent(c);
    }
    return status;
}

/* --------------------------------------------------------------------------------------- report
 */

void tdsnn_convert_report_free(tdsnn_convert_report *report) {
    if (report != NULL) {
        for (int i = 0; report->layers != NULL && i < report->layer_count; i++) {
            td_free((char *)report->layers[i].name);
        }
        td_free(report->layers);
        td_free(report);
    }
}

/* In decibels; infinite where nothing is lost, as in a layer that never fires. */
static double signal_to_noise(td_code_error e) {
    return e.error > 0.0 ? 10.0 * log10(e.energy / e.error) : INFINITY;
}

static double first_threshold(const tdsnn_code *code) {
    return (double)code->thresholds[0] / (double)code->values[code->steps];
}

/* One row a code, in the order of the network. */
static tdsnn_status make_report(const conversion *c, tdsnn_convert_report **report) {
    tdsnn_convert_report *made = td_alloc(c->ctx, 1, sizeof *made);
    if (made == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    made->calibration_samples = c->calibration.samples.count;
    made->values = gives_values(c);
    made->logit_error = c->logit_error;
    made->agreement_percent = c->agreement_percent;
    made->leak = c->attempt.leak;
    made->trial_count = c->trial_count;
    made->silence_samples = c->silencing.samples;
    made->silence_loss = c->silencing.points;
    made->spikes_before = c->silencing.spikes_before;
    made->spikes_after = c->silencing.spikes_after;
    memcpy(made->trials, c->trials, sizeof made->trials);
    made->layers = td_alloc(c->ctx, (size_t)c->source->node_count, sizeof *made->layers);
    for (int i = 0; made->layers != NULL && i < c->source->node_count; i++) {
        if (!c->calibration.placement.sites[i].coded) {
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
            .steps = c->attempt.codes[i].steps,
            .leak = c->attempt.codes[i].leak,
            .scale = c->attempt.codes[i].scale,
            .snr_db = signal_to_noise(c->attempt.errors[i]),
            .first_threshold = first_threshold(&c->attempt.codes[i]),
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
    tdsnn_status status =
        td_calibration_create(c->ctx, c->source, c->data, &c->options, &c->calibration);
    status = status != TDSNN_OK ? status : try_leaks(c);
    status = status != TDSNN_OK ? status : silence(c);
    status = status != TDSNN_OK ? status : set_metadata(c);
    tdsnn_convert_report *made = NULL;
    status = status != TDSNN_OK ? status : make_report(c, &made);
    if (status != TDSNN_OK) {
        return status;
    }
    td_graph *graph = c->attempt.coded;
    c->attempt.coded = NULL; /* the model takes it over */
    status = td_model_create(c->ctx, graph, path, converted);
    if (status != TDSNN_OK || report == NULL) {
        tdsnn_convert_report_free(made);
    } else {
        *report = made;
    }
    return status;
}

tdsnn_status td_convert(tdsnn_context *ctx, const td_graph *source, const char *path,
                        const tdsnn_data *calibration, const tdsnn_convert_options *options,
                        tdsnn_model **converted, tdsnn_convert_report **report) {
    conversion c = {.ctx = ctx, .source = source, .data = calibration};
    tdsnn_status status = fill_defaults(ctx, options, &c.options);
    if (status == TDSNN_OK) {
        status = run(&c, path, converted, report);
    }
    td_attempt_free(&c.attempt);
    td_calibration_free(&c.calibration);
    td_free(c.wanted);
    td_free(c.logits);
    return status;
}

tdsnn_status tdsnn_convert(tdsnn_context *ctx, const tdsnn_model *source,
                           const tdsnn_data *calibration, const tdsnn_convert_options *options,
                           tdsnn_model **converted, tdsnn_convert_report **report) {
    td_graph *graph = NULL;
    tdsnn_status status = tdsnn_model_check(ctx, source);
    if (status == TDSNN_OK) {
        status = td_data_fits(ctx, calibration, source->graph->nodes[0].shape);
    }
    if (status == TDSNN_OK) {
        tdsnn_data_info info = tdsnn_data_get_info(calibration);
        status = td_build_normalised(ctx, source->graph, &info, &graph);
    }
    tdsnn_convert_report *made = NULL;
    if (status == TDSNN_OK) {
        status = td_convert(ctx, graph, source->path, calibration, options, converted, &made);
    }
    td_graph_destroy(graph);
    if (status == TDSNN_OK && options->offset == 1) {
        td_warn(ctx,
                "offset 1 is for networks trained with the paper's activation G; this one agrees "
                "with its source on %.2f %% of the calibration samples",
                made->agreement_percent);
    }
    if (report != NULL && status == TDSNN_OK) {
        *report = made;
    } else {
        tdsnn_convert_report_free(made);
    }
    return status;
}

tdsnn_status tdsnn_convert_check(tdsnn_context *ctx, const tdsnn_model *source) {
    tdsnn_status status = tdsnn_model_check(ctx, source);
    td_placement placement;
    td_graph *graph = NULL;
    if (status == TDSNN_OK) {
        status = td_build_normalised(ctx, source->graph, &(tdsnn_data_info){0}, &graph);
    }
    if (status == TDSNN_OK) {
        status = td_place(ctx, graph, false, &placement);
    }
    if (status == TDSNN_OK) {
        td_placement_free(&placement);
    }
    td_graph_destroy(graph);
    return status;
}
