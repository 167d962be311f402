#include <tdsnn/convert.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "convert/build.h"
#include "convert/samples.h"
#include "data/fit.h"
#include "network/model.h"

#define DEFAULT_INPUT_STEPS 127
#define DEFAULT_INPUT_LEAK_RATIO 2.0
#define DEFAULT_CALIBRATION_SAMPLES 256

/* One conversion under way. */
typedef struct conversion {
    tdsnn_context *ctx;
    td_graph *source; /* the plain graph, the data's normalisation behind its input */
    const tdsnn_data *data;
    tdsnn_convert_options options; /* defaults filled in */
    td_placement placement;
    td_samples samples;
    tdsnn_code *codes;     /* [source->node_count]; those of coded nodes are set */
    td_code_error *errors; /* likewise */
    td_graph *coded;
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
    o->leak = o->leak == 0.0 ? TDSNN_DEFAULT_LEAK_RATIO * o->steps : o->leak;
    o->input_steps = o->input_steps == 0 ? DEFAULT_INPUT_STEPS : o->input_steps;
    o->input_leak =
        o->input_leak == 0.0 ? DEFAULT_INPUT_LEAK_RATIO * o->input_steps : o->input_leak;
    o->calibration_samples =
        o->calibration_samples == 0 ? DEFAULT_CALIBRATION_SAMPLES : o->calibration_samples;
    return TDSNN_OK;
}

/* Raises the thresholds so that values below a share of the largest stay silent. */
static void silence(tdsnn_code *code, double share) {
    float least = (float)(share * code->values[code->steps]);
    for (int k = 0; k < code->steps; k++) {
        code->thresholds[k] = code->thresholds[k] < least ? least : code->thresholds[k];
    }
    code->rounding = TDSNN_ROUND_TABLE;
}

/* Window and leak of the input. Where its spikes enter a layer together with those of hidden
 * neurons, all leak alike, and the window is as long as that leak can carry. */
static void input_window(const conversion *c, int *steps, double *leak) {
    *steps = c->options.input_steps;
    *leak = c->options.input_leak;
    if (c->placement.input_joins) {
        *leak = c->options.leak;
        int longest = (int)(*leak * log(1e6));
        *steps = *steps < longest ? *steps : longest;
    }
}

/* The code of one node, from the histogram of its values. */
static tdsnn_status choose_code(conversion *c, int index, const td_histogram *h) {
    const tdsnn_convert_options *o = &c->options;
    td_site *site = &c->placement.sites[index];
    tdsnn_code *code = &c->codes[index];
    int steps = o->steps;
    double leak = o->leak;
    if (index == 0) {
        input_window(c, &steps, &leak);
        site->negative = td_histogram_min(h) < 0.0f ? 1.0f : 0.0f;
    }
    if (site->negative != 0.0f && o->offset == 1) {
        return td_error(c->ctx, TDSNN_ERR_UNSUPPORTED,
                        "the value of '%s' has both signs, which offset 1 cannot encode; use "
                        "offset 0",
                        c->source->nodes[index].name);
    }
    tdsnn_status status =
        td_fit_code(c->ctx, h, leak, steps, o->rounding, o->offset, site->cap, code);
    if (status == TDSNN_OK && o->silence > 0.0 && index != 0) {
        silence(code, o->silence);
    }
    c->errors[index] = td_histogram_error(h, code);
    return status;
}

static tdsnn_status calibrate(conversion *c) {
    td_histogram **histograms;
    tdsnn_status status = td_survey(c->ctx, c->source, &c->placement, &c->samples, &histograms);
    if (status != TDSNN_OK) {
        return status;
    }
    for (int i = 0; i < c->source->node_count && status == TDSNN_OK; i++) {
        if (c->placement.sites[i].coded) {
            status = choose_code(c, i, histograms[i]);
        }
    }
    td_histograms_free(c->source, histograms);
    return status;
}

/* Numbers of all channels, separated by commas. */
static tdsnn_status set_numbers(conversion *c, const char *key, const float *numbers, int count) {
    char text[TDSNN_MAX_NORMALISED * 24] = "";
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%.9g", i == 0 ? "" : ",",
                                   (double)numbers[i]);
    }
    return td_graph_set_metadata(c->ctx, c->coded, key, text);
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
    if (status == TDSNN_OK && info.channels_normalised > 0) {
        status = set_numbers(c, "tdsnn.mean", info.mean, info.channels_normalised);
    }
    if (status == TDSNN_OK && info.channels_normalised > 0) {
        status = set_numbers(c, "tdsnn.std", info.std, info.channels_normalised);
    }
    return status;
}

static tdsnn_status build_coded(conversion *c) {
    tdsnn_status status = td_build_coded(c->ctx, c->source, &c->placement, c->codes, &c->coded);
    return status != TDSNN_OK ? status : set_metadata(c);
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

/* In decibels; infinite where nothing is lost, as in a layer that never fires. */
static double signal_to_noise(td_code_error e) {
    return e.error > 0.0 ? 10.0 * log10(e.energy / e.error) : INFINITY;
}

/* One row a code, in the order of the network. */
static tdsnn_status make_report(const conversion *c, size_t agreements,
                                tdsnn_convert_report **report) {
    tdsnn_convert_report *made = td_alloc(c->ctx, 1, sizeof *made);
    if (made == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    made->calibration_samples = c->samples.count;
    made->agreement_percent = 100.0 * (double)agreements / (double)c->samples.count;
    made->layers = td_alloc(c->ctx, (size_t)c->source->node_count, sizeof *made->layers);
    for (int i = 0; made->layers != NULL && i < c->source->node_count; i++) {
        if (!c->placement.sites[i].coded) {
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
            .snr_db = signal_to_noise(c->errors[i]),
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
    size_t agreements = 0;
    tdsnn_status status = TDSNN_OK;
    status = status != TDSNN_OK ? status
                                : td_samples_draw(c->ctx, c->data, c->options.calibration_samples,
                                                  c->options.seed, &c->samples);
    status = status != TDSNN_OK ? status : calibrate(c);
    status = status != TDSNN_OK ? status : build_coded(c);
    if (status == TDSNN_OK && c->options.correct_biases) {
        status = td_correct_biases(c->ctx, c->source, c->coded, &c->samples);
    }
    status = status != TDSNN_OK
                 ? status
                 : td_agreement(c->ctx, c->source, c->coded, &c->samples, &agreements);
    tdsnn_convert_report *made = NULL;
    status = status != TDSNN_OK ? status : make_report(c, agreements, &made);
    if (status != TDSNN_OK) {
        return status;
    }
    if (c->options.offset == 1) {
        td_warn(c->ctx,
                "offset 1 is for networks trained with the paper's activation G; this one agrees "
                "with its source on %.2f %% of the calibration samples",
                made->agreement_percent);
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
    conversion c = {.ctx = ctx, .data = calibration};
    status = status != TDSNN_OK ? status : fill_defaults(ctx, options, &c.options);
    if (status == TDSNN_OK) {
        status = td_data_fits(ctx, calibration, source->graph->nodes[0].shape);
    }
    if (status == TDSNN_OK) {
        tdsnn_data_info info = tdsnn_data_get_info(calibration);
        status = td_build_normalised(ctx, source->graph, &info, &c.source);
    }
    if (status == TDSNN_OK) {
        status = td_place(ctx, c.source, c.options.input_steps < 0, &c.placement);
    }
    if (status == TDSNN_OK) {
        status = run(&c, source->path, converted, report);
    }
    td_placement_free(&c.placement);
    td_graph_destroy(c.source);
    td_graph_destroy(c.coded);
    td_samples_free(&c.samples);
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
