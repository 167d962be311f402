#include "convert/attempt.h"

#include <math.h>
#include <string.h>

#include "code/code.h"
#include "convert/build.h"

/* ---------------------------------------------------------------------------------- calibration */

/* Counts the drives of whole layers, each divided by its channel's factor; NULL: by 1. */
static tdsnn_status survey_layers(tdsnn_context *ctx, const td_calibration *c,
                                  const double *factors, td_histogram ***histograms) {
    const td_graph *graph = c->source;
    td_target *targets = td_alloc(ctx, c->channels[graph->node_count], sizeof *targets);
    if (targets == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (int i = 0; i < graph->node_count; i++) {
        const td_site *site = &c->placement.sites[i];
        for (size_t k = c->channels[i]; k < c->channels[i + 1]; k++) {
            targets[k].histogram = (size_t)i;
            targets[k].how = (td_counting){
                .absolute = i == 0 || site->negative != 0.0f, /* its sign shows later */
                .cap = site->cap,
                .unit = factors == NULL ? 1.0 : factors[k]};
        }
    }
    tdsnn_status status =
        td_survey(ctx, graph, &c->placement, &c->samples,
                  &(td_survey_plan){c->channels, targets, (size_t)graph->node_count, TD_FINE_BINS},
                  histograms);
    td_free(targets);
    return status;
}

static tdsnn_status check_signs(tdsnn_context *ctx, const td_calibration *c) {
    for (int i = 0; i < c->source->node_count && c->options->offset == 1; i++) {
        if (c->placement.sites[i].coded && c->placement.sites[i].negative != 0.0f) {
            return td_error(ctx, TDSNN_ERR_UNSUPPORTED,
                            "the value of '%s' has both signs, which offset 1 cannot encode; use "
                            "offset 0",
                            c->source->nodes[i].name);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status calibrate(tdsnn_context *ctx, td_calibration *c) {
    tdsnn_status status = survey_layers(ctx, c, NULL, &c->histograms);
    if (status != TDSNN_OK) {
        return status;
    }
    if (c->placement.sites[0].coded) {
        bool both = td_histogram_min(c->histograms[0]) < 0.0f;
        c->placement.sites[0].negative = both ? 1.0f : 0.0f;
    }
    status = check_signs(ctx, c);
    if (status == TDSNN_OK && c->options->equalise) {
        status = td_equaliser_create(ctx, c->source, &c->placement, &c->samples, c->channels,
                                     c->histograms, &c->equaliser);
    }
    return status;
}

tdsnn_status td_calibration_create(tdsnn_context *ctx, const td_graph *source,
                                   const tdsnn_data *data, const tdsnn_convert_options *options,
                                   td_calibration *calibration) {
    td_calibration *c = calibration;
    *c = (td_calibration){.source = source, .options = options};
    tdsnn_status status = td_place(ctx, source, options->input_steps < 0, &c->placement);
    if (status == TDSNN_OK) {
        status =
            td_samples_draw(ctx, data, options->calibration_samples, options->seed, &c->samples);
    }
    if (status == TDSNN_OK) {
        c->channels = td_number_channels(ctx, source);
        status = c->channels == NULL ? TDSNN_ERR_RUNTIME : calibrate(ctx, c);
    }
    if (status != TDSNN_OK) {
        td_calibration_free(c);
    }
    return status;
}

void td_calibration_free(td_calibration *c) {
    td_equaliser_destroy(c->equaliser);
    td_histograms_free(c->histograms, c->source == NULL ? 0 : (size_t)c->source->node_count);
    td_free(c->channels);
    td_samples_free(&c->samples);
    td_placement_free(&c->placement);
    *c = (td_calibration){0};
}

/* -------------------------------------------------------------------------------------- attempt */

/* Window and leak of the input. Where its spikes enter a layer together with those of hidden
 * neurons, all leak alike, and the window is as long as that leak can carry. */
static void input_window(const td_calibration *c, double hidden_leak, int *steps, double *leak) {
    *steps = c->options->input_steps;
    *leak = c->options->input_leak;
    if (c->placement.input_joins) {
        *leak = hidden_leak;
        int longest = (int)(*leak * log(1e6));
        *steps = *steps < longest ? *steps : longest;
    }
}

/* The code of one node, from the histogram of its values. */
static tdsnn_status choose_code(tdsnn_context *ctx, const td_calibration *c, int index,
                                const td_histogram *h, td_attempt *a) {
    const tdsnn_convert_options *o = c->options;
    tdsnn_code *code = &a->codes[index];
    int steps = o->steps;
    double leak = a->leak;
    if (index == 0) {
        input_window(c, a->leak, &steps, &leak);
    }
    tdsnn_status status = td_fit_code(ctx, h, leak, steps, o->rounding, o->offset,
                                      c->placement.sites[index].cap, code);
    if (status == TDSNN_OK && o->silence > 0.0 && index != 0) {
        td_silence_code(code, o->silence);
    }
    a->errors[index] = td_histogram_error(h, code);
    return status;
}

static tdsnn_status choose_codes(tdsnn_context *ctx, const td_calibration *c,
                                 td_histogram *const *histograms, td_attempt *a) {
    tdsnn_status status = TDSNN_OK;
    for (int i = 0; i < c->source->node_count && status == TDSNN_OK; i++) {
        if (c->placement.sites[i].coded) {
            status = choose_code(ctx, c, i, histograms[i], a);
        }
    }
    return status;
}

/* Factors from each channel's own drives, then the codes once more, of the drives divided. */
static tdsnn_status equalise(tdsnn_context *ctx, const td_calibration *c, td_attempt *a) {
    tdsnn_code hidden;
    tdsnn_status status =
        td_code_make(ctx, a->leak, c->options->steps, 1.0, c->options->rounding, 0, &hidden);
    if (status == TDSNN_OK) {
        status = td_equaliser_factors(ctx, c->equaliser, a->codes, &hidden, a->factors);
    }
    if (status == TDSNN_OK) {
        status = survey_layers(ctx, c, a->factors, &a->histograms);
    }
    if (status == TDSNN_OK) {
        status = choose_codes(ctx, c, a->histograms, a);
    }
    return status;
}

/* The coded graph: of the source with its weights rescaled, then its biases corrected. */
static tdsnn_status build(tdsnn_context *ctx, const td_calibration *c, td_attempt *a) {
    const tdsnn_data_info as_it_is = {.channels_normalised = 0};
    td_graph *plain;
    tdsnn_status status = td_build_normalised(ctx, c->source, &as_it_is, &plain);
    if (status != TDSNN_OK) {
        return status;
    }
    status = td_rescale(ctx, plain, c->channels, a->factors);
    if (status == TDSNN_OK) {
        status = td_build_coded(ctx, plain, &c->placement, a->codes, &a->coded);
    }
    td_graph_destroy(plain);
    if (status == TDSNN_OK && c->options->correct_biases) {
        status = td_correct_biases(ctx, c->source, a->coded, &c->samples, c->channels, a->factors);
    }
    return status;
}

static tdsnn_status allocate(tdsnn_context *ctx, const td_calibration *c, td_attempt *a) {
    size_t nodes = (size_t)c->source->node_count, channels = c->channels[nodes];
    a->node_count = nodes;
    a->codes = td_alloc(ctx, nodes, sizeof *a->codes);
    a->errors = td_alloc(ctx, nodes, sizeof *a->errors);
    a->factors = td_alloc(ctx, channels, sizeof *a->factors);
    if (a->codes == NULL || a->errors == NULL || a->factors == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t k = 0; k < channels; k++) {
        a->factors[k] = 1.0;
    }
    return TDSNN_OK;
}

tdsnn_status td_attempt_make(tdsnn_context *ctx, const td_calibration *c, double leak,
                             td_attempt *attempt) {
    td_attempt a = {.leak = leak};
    tdsnn_status status = allocate(ctx, c, &a);
    if (status == TDSNN_OK) {
        status = choose_codes(ctx, c, c->histograms, &a);
    }
    if (status == TDSNN_OK && c->equaliser != NULL) {
        status = equalise(ctx, c, &a);
    }
    if (status == TDSNN_OK) {
        status = build(ctx, c, &a);
    }
    if (status != TDSNN_OK) {
        td_attempt_free(&a);
        return status;
    }
    *attempt = a;
    return TDSNN_OK;
}

const td_histogram *td_attempt_histogram(const td_calibration *c, const td_attempt *attempt,
                                         int node) {
    return attempt->histograms != NULL ? attempt->histograms[node] : c->histograms[node];
}

tdsnn_status td_attempt_silence(tdsnn_context *ctx, const td_calibration *c, const td_attempt *base,
                                const double *shares, td_attempt *attempt) {
    td_attempt a = {.leak = base->leak};
    size_t nodes = base->node_count;
    tdsnn_status status = allocate(ctx, c, &a);
    if (status == TDSNN_OK) {
        memcpy(a.codes, base->codes, nodes * sizeof *a.codes);
        memcpy(a.errors, base->errors, nodes * sizeof *a.errors);
        memcpy(a.factors, base->factors, c->channels[nodes] * sizeof *a.factors);
        for (int i = 0; i < c->source->node_count; i++) {
            if (shares[i] > 0.0) {
                td_silence_code(&a.codes[i], shares[i]);
                a.errors[i] = td_histogram_error(td_attempt_histogram(c, base, i), &a.codes[i]);
            }
        }
        status = build(ctx, c, &a);
    }
    if (status != TDSNN_OK) {
        td_attempt_free(&a);
        return status;
    }
    *attempt = a;
    return TDSNN_OK;
}

void td_attempt_free(td_attempt *a) {
    td_histograms_free(a->histograms, a->node_count);
    td_free(a->codes);
    td_free(a->errors);
    td_free(a->factors);
    td_graph_destroy(a->coded);
    *a = (td_attempt){0};
}
