#include <string.h>

#include "command.h"

typedef struct convert_arguments {
    cli_arguments base;
    cli_data_arguments data;
    const char *output, *calibrate, *silence;
    int steps, input_steps, rounding, offset;
    double leak, input_leak;
    bool equalise, correct_biases, inlined, force;
} convert_arguments;

static const convert_arguments defaults = {.data = CLI_DATA_DEFAULTS};

static const cli_option options[] = {
    {.kind = CLI_TEXT,
     .name = "output",
     .letter = 'o',
     .value = "OUT",
     .help = "the file to write",
     .offset = offsetof(convert_arguments, output),
     .required = true},
    {.kind = CLI_INT,
     .name = "steps",
     .value = "K",
     .help = "window of the hidden layers: spike times 0 to K",
     .offset = offsetof(convert_arguments, steps),
     .low = 1,
     .high = TDSNN_MAX_STEPS,
     .required = true},
    {.kind = CLI_TEXT,
     .name = "calibrate",
     .value = "DATA",
     .help = "choose the scales on 256 of its training samples\n"
             "(without it: on random ones, which is a makeshift)",
     .offset = offsetof(convert_arguments, calibrate)},
    {.kind = CLI_REAL,
     .name = "leak",
     .value = "L|auto",
     .help = "leak of the hidden layers, in steps (2 K, at offset 1 K/3);\n"
             "auto: of K/4, K/2, K, 2 K and 4 K the one whose\n"
             "logits are nearest to the source's",
     .offset = offsetof(convert_arguments, leak),
     .low = 0.01,
     .high = TDSNN_MAX_LEAK,
     .word = "auto",
     .word_value = -1},
    {.kind = CLI_INT,
     .name = "input-steps",
     .value = "K|analog",
     .help = "window of the input (127); analog: the first layer reads\n"
             "real values and does not spike",
     .offset = offsetof(convert_arguments, input_steps),
     .low = 1,
     .high = TDSNN_MAX_STEPS,
     .word = "analog",
     .word_value = -1},
    {.kind = CLI_REAL,
     .name = "input-leak",
     .value = "L",
     .help = "leak of the input, in steps (twice its window)",
     .offset = offsetof(convert_arguments, input_leak),
     .low = 0.01,
     .high = TDSNN_MAX_LEAK},
    {.kind = CLI_CHOICE,
     .name = "rounding",
     .value = "nearest|ceil",
     .help = "how values become spike times (nearest); ceil: the paper's",
     .offset = offsetof(convert_arguments, rounding)},
    {.kind = CLI_CHOICE,
     .name = "offset",
     .value = "0|1",
     .help = "value of a spike at 0 (0); 1: for networks trained with\n"
             "the paper's activation",
     .offset = offsetof(convert_arguments, offset)},
    {.kind = CLI_FLAG,
     .name = "equalise",
     .help = "give each channel a scale of its own, put into the weights\n"
             "(not with offset 1)",
     .offset = offsetof(convert_arguments, equalise)},
    {.kind = CLI_FLAG,
     .name = "correct-biases",
     .help = "take off each bias what rounding adds to its mean drive on\n"
             "the calibration samples",
     .offset = offsetof(convert_arguments, correct_biases)},
    {.kind = CLI_TEXT,
     .name = "silence",
     .value = "F|auto:POINTS",
     .help = "keep values below this share of the layer's largest\n"
             "silent (0); auto: a share for each layer, as far as\n"
             "POINTS percentage points of the answers on the\n"
             "calibration data allow",
     .offset = offsetof(convert_arguments, silence)},
    {.kind = CLI_FLAG,
     .name = "inline",
     .help = "write plain ONNX operators only, for tools without\n"
             "functions; tdsnn does not read such a file back",
     .offset = offsetof(convert_arguments, inlined)},
    {.kind = CLI_FLAG,
     .name = "force",
     .help = "replace OUT if it exists",
     .offset = offsetof(convert_arguments, force)},
    {.kind = CLI_END}};

/* What scales are chosen on: random samples where nothing was named. */
static tdsnn_status open_calibration(tdsnn_context *ctx, const convert_arguments *a,
                                     const tdsnn_model *model, tdsnn_data **data) {
    const char *spec = a->calibrate != NULL ? a->calibrate : "random:256";
    tdsnn_status status =
        cli_open_data(ctx, &a->base, model, spec, TDSNN_SPLIT_TRAIN, &a->data, data);
    if (status != TDSNN_OK || a->base.quiet) {
        return status;
    }
    if (a->calibrate == NULL) {
        cli_warning("no --calibrate DATA: the scales are chosen on random samples, and real ones "
                    "may do much worse");
    } else if (!tdsnn_data_get_info(*data).has_splits) {
        cli_warning("%s has no training split: do not measure accuracy on the samples that the "
                    "scales are chosen on",
                    spec);
    }
    return TDSNN_OK;
}

/* Reads --silence, "F" or "auto:POINTS". False with a message if it is neither. */
static bool read_silence(const char *text, tdsnn_convert_options *o) {
    if (text == NULL) {
        return true;
    }
    bool searched = strncmp(text, "auto:", 5) == 0;
    double value = 0.0, most = searched ? 100.0 : 1.0;
    if (!cli_read_real(searched ? text + 5 : text, &value) || value < 0.0 || value > most) {
        cli_error("--silence: '%s' is neither a number from 0 to 1 nor auto:POINTS with 0 to 100 "
                  "points, as in auto:0.5",
                  text);
        return false;
    }
    *(searched ? &o->silence_points : &o->silence) = value;
    return true;
}

static tdsnn_convert_options options_of(const convert_arguments *a) {
    tdsnn_convert_options o = TDSNN_CONVERT_OPTIONS_INIT;
    o.steps = a->steps;
    o.leak = a->leak;
    o.input_steps = a->input_steps;
    o.input_leak = a->input_leak;
    o.rounding = a->rounding == 0 ? TDSNN_ROUND_NEAREST : TDSNN_ROUND_CEIL;
    o.offset = a->offset;
    o.equalise = a->equalise;
    o.correct_biases = a->correct_biases;
    o.seed = a->base.seed;
    return o;
}

/* What `--leak auto` found. */
static void print_trials(const tdsnn_convert_report *report) {
    if (report->trial_count < 2) {
        return;
    }
    cli_table table;
    const char *const headings[] = {"leak tried", "error of the logits"};
    cli_table_start(&table, "rr", headings);
    for (int i = 0; i < report->trial_count; i++) {
        const tdsnn_leak_trial *trial = &report->trials[i];
        cli_cell(&table, CLI_PLAIN, "%g%s", trial->leak, trial->leak == report->leak ? " *" : "");
        cli_cell(&table, CLI_PLAIN, "%.3g %%", 100.0 * trial->logit_error);
    }
    cli_table_print(&table, stdout);
    printf("\n");
}

static void print_report(const convert_arguments *a, const tdsnn_convert_report *report,
                         const tdsnn_data *data) {
    printf("%s -> %s: windows of %d steps, %s, offset %d%s%s\n", cli_base_name(a->base.model),
           cli_base_name(a->output), a->steps,
           a->rounding == 0 ? "rounded to nearest" : "rounded up", a->offset,
           a->equalise ? ", a scale for each channel" : "",
           a->correct_biases ? ", biases corrected" : "");
    tdsnn_data_info info = tdsnn_data_get_info(data);
    printf("scales chosen on %s %ssamples of %s\n\n", cli_count(report->calibration_samples).s,
           info.has_splits ? "training " : "", info.spec);
    print_trials(report);
    cli_table table;
    const char *const headings[] = {"layer", "steps K", "leak L", "scale", "SNR, dB", "silent to"};
    cli_table_start(&table, a->silence != NULL ? "lrrrrr" : "lrrrr", headings);
    for (int i = 0; i < report->layer_count; i++) {
        const tdsnn_convert_layer *layer = &report->layers[i];
        cli_cell(&table, CLI_PLAIN, "%s", layer->name);
        cli_cell(&table, CLI_PLAIN, "%d", layer->steps);
        cli_cell(&table, CLI_PLAIN, "%g", layer->leak);
        cli_cell(&table, CLI_PLAIN, "%.6g", layer->scale);
        cli_cell(&table, CLI_PLAIN, "%.1f", layer->snr_db);
        if (a->silence != NULL) { /* the first threshold, as a share of the largest value */
            cli_cell(&table, CLI_PLAIN, "%.1f %%", 100.0 * layer->first_threshold);
        }
    }
    cli_table_print(&table, stdout);
    printf("\n");
    if (report->values) {
        printf("On these samples the outputs are %s off the source's (root mean square, "
               "of theirs)."
               "\n",
               cli_percent(100.0 * report->logit_error).s);
    } else {
        printf("Same answer as the source on %s of these samples.\n",
               cli_percent(report->agreement_percent).s);
    }
    if (report->silence_samples > 0) {
        printf("Silenced: %.0f spikes a sample instead of %.0f; %.2f points more of the answers on "
               "%s samples are wrong.\n",
               report->spikes_after, report->spikes_before, report->silence_loss,
               cli_count(report->silence_samples).s);
    }
    if (a->input_steps < 0) {
        printf("The input is analog: the first layer is not spiking.\n");
    }
    if (a->inlined) {
        printf("Written without functions: for other tools, not for this one.\n");
    } else if (a->calibrate != NULL) {
        printf("Next: tdsnn verify %s --data %s\n", a->output, a->calibrate);
    }
}

static tdsnn_status convert(tdsnn_context *ctx, const convert_arguments *a,
                            const tdsnn_convert_options *o, const tdsnn_model *model,
                            const tdsnn_data *data) {
    tdsnn_model *converted = NULL;
    tdsnn_convert_report *report = NULL;
    tdsnn_status status = tdsnn_convert(ctx, model, data, o, &converted, &report);
    if (status == TDSNN_OK) {
        status = a->inlined ? tdsnn_model_save_inline(ctx, converted, a->output, a->force)
                            : tdsnn_model_save(ctx, converted, a->output, a->force);
    }
    if (status == TDSNN_OK && a->base.json) {
        status = tdsnn_report_convert(ctx, report, a->base.seed, stdout);
    } else if (status == TDSNN_OK) {
        print_report(a, report, data);
    }
    if (status != TDSNN_OK) {
        cli_failed(ctx, status);
    }
    tdsnn_convert_report_free(report);
    tdsnn_model_destroy(converted);
    return status;
}

static tdsnn_status run(tdsnn_context *ctx, const void *given) {
    const convert_arguments *a = given;
    tdsnn_model *model = NULL;
    tdsnn_data *data = NULL;
    tdsnn_convert_options o = options_of(a);
    if (!read_silence(a->silence, &o) ||
        (a->base.model != NULL && cli_output_exists(a->output, a->force))) {
        return TDSNN_ERR_USAGE;
    }
    tdsnn_status status = cli_load_model(ctx, &a->base, &model);
    if (status == TDSNN_OK) {
        status = open_calibration(ctx, a, model, &data);
    }
    if (status == TDSNN_OK) {
        status = convert(ctx, a, &o, model, data);
    }
    tdsnn_data_close(data);
    tdsnn_model_destroy(model);
    return status;
}

const cli_command cli_convert = {
    .syntax = {.name = "convert",
               .summary = "make a spiking network of a trained one, without retraining",
               .examples =
                   "tdsnn convert lenet.onnx -o lenet.snn.onnx --steps 7 --calibrate glyphs\n"
                   "tdsnn convert lenet.onnx -o lenet.snn.onnx --steps 7 --calibrate mnist:DIR\n"
                   "tdsnn convert net.onnx -o net.snn.onnx --steps 31 --leak 31 --calibrate "
                   "npz:train.npz",
               .usage = "MODEL -o OUT --steps K [options]",
               .groups = {{"Options", options, 0, NULL},
                          {"Options of DATA", cli_data_options, offsetof(convert_arguments, data),
                           cli_data_footer},
                          CLI_COMMON_GROUP}},
    .arguments_size = sizeof defaults,
    .defaults = &defaults,
    .run = run};
