#include <tdsnn/report.h>

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/json.h"
#include "tap.h"

/* Parses what was written; NULL unless it is one document and nothing else. */
static json_t *parse(char *text, size_t size) {
    json_error_t error;
    json_t *root = json_loadb(text, size, 0, &error);
    if (root == NULL) {
        printf("# %s\n", error.text);
    }
    free(text);
    return root;
}

/* The value at a path of keys, "ops.paper". */
static json_t *at(json_t *root, const char *path) {
    char key[64];
    while (root != NULL && *path != '\0') {
        size_t length = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)length, path);
        root = json_object_get(root, key);
        path += length + (path[length] == '.');
    }
    return root;
}

static bool is(json_t *root, const char *path, double wanted) {
    json_t *value = at(root, path);
    bool right = json_is_number(value) &&
                 fabs(json_number_value(value) - wanted) <= 1e-12 * fmax(1.0, fabs(wanted));
    if (!right) {
        printf("# %s is %g, not %g\n", path, json_number_value(value), wanted);
    }
    return right;
}

static bool has_all(json_t *root, const char *const *keys) {
    bool right = true;
    for (; *keys != NULL; keys++) {
        if (at(root, *keys) == NULL) {
            printf("# %s is missing\n", *keys);
            right = false;
        }
    }
    return right;
}

static const char *const every[] = {"schema", "version", "cpu", "threads", "seed", NULL};

static tdsnn_eval_layer layers[2] = {
    {.name = "caf\xc3\xa9", .kind = "input", .shape = {1, 2, 3}, .steps = 127},
    {.name = "bad\xff name\n", .kind = "synapses", .shape = {10, 1, 1}, .steps = 7}};

/* Two samples of ten hidden neurons. */
static tdsnn_eval_result evaluation(void) {
    tdsnn_counts c = {.neurons = 20, .spikes = 5, .zero_spikes = 4, .macs = 2000};
    c.paper_adds = 1800;
    c.paper_leaks = 100;
    c.silent_adds = 900;
    c.silent_leaks = 60;
    c.ticks = 30;
    c.bias_adds = 20;
    c.pool_adds = 10;
    layers[0].counts.neurons = 12;
    layers[0].counts.spikes = 6;
    layers[1].counts = c;
    layers[1].t_last_in = 250;
    return (tdsnn_eval_result){.samples = 2,
                               .counted = 2,
                               .outputs = 10,
                               .labelled = true,
                               .spiking = true,
                               .top1 = 1,
                               .top5 = 2,
                               .seconds = 0.25,
                               .total = c,
                               .input_spikes = 6,
                               .input_neurons = 12,
                               .latency_fixed = 134,
                               .latency_dynamic = 261,
                               .layer_count = 2,
                               .layers = layers,
                               .compared = true,
                               .agreements = 2,
                               .max_abs_error = 0.5,
                               .mean_abs_error = 0.125};
}

static json_t *eval_document(tdsnn_context *ctx, const tdsnn_eval_result *result) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ok(tdsnn_report_eval(ctx, result, 12345678901234567890u, out) == TDSNN_OK, "eval is written");
    fclose(out);
    return parse(text, size);
}

static void test_eval(tdsnn_context *ctx) {
    static const char *const keys[] = {"samples",
                                       "top1_percent",
                                       "top5_percent",
                                       "neurons",
                                       "spikes_per_neuron",
                                       "zero_spikes_per_neuron",
                                       "input_spikes_per_pixel",
                                       "macs",
                                       "ops.dnn",
                                       "ops.paper",
                                       "ops.silent",
                                       "ops.reduction_paper_percent",
                                       "ops.reduction_silent_percent",
                                       "ops.dnn_mac1",
                                       "ops.paper_mac1",
                                       "ops.silent_mac1",
                                       "ops.reduction_paper_mac1_percent",
                                       "ops.reduction_silent_mac1_percent",
                                       "latency.fixed_steps",
                                       "latency.dynamic_steps_mean",
                                       "time_s",
                                       "layers",
                                       "agreement_percent",
                                       "max_abs_error",
                                       "mean_abs_error",
                                       NULL};
    tdsnn_eval_result result = evaluation();
    json_t *root = eval_document(ctx, &result);
    ok(has_all(root, every) && has_all(root, keys), "every key that was promised");
    ok(is(root, "top1_percent", 50) && is(root, "top5_percent", 100), "accuracy");
    ok(is(root, "neurons", 10) && is(root, "spikes_per_neuron", 0.25) &&
           is(root, "zero_spikes_per_neuron", 0.2) && is(root, "input_spikes_per_pixel", 0.5),
       "spikes");
    ok(is(root, "macs", 1000) && is(root, "ops.dnn", 2000) && is(root, "ops.dnn_mac1", 1000) &&
           is(root, "ops.paper", 995) && is(root, "ops.paper_mac1", 995) &&
           is(root, "ops.silent", 525),
       "operations of one sample");
    ok(is(root, "ops.reduction_paper_percent", 50.25) &&
           is(root, "ops.reduction_paper_mac1_percent", 0.5) &&
           is(root, "ops.reduction_silent_percent", 73.75) &&
           is(root, "ops.reduction_silent_mac1_percent", 47.5),
       "reductions");
    /* 1000 multiply-adds; 1860/2 adds and 130/2 multiplies; 960/2 adds and 90/2 multiplies */
    ok(is(root, "energy.45nm_fp32.dnn_pj", 4600) &&
           is(root, "energy.45nm_fp32.paper_pj", 930 * 0.9 + 65 * 3.7) &&
           is(root, "energy.45nm_fp32.silent_pj", 480 * 0.9 + 45 * 3.7) &&
           is(root, "energy.45nm_int8.paper_pj", 930 * 0.03 + 65 * 0.2),
       "energy");
    ok(json_is_false(at(root, "analog_input")), "the input spikes");
    ok(is(root, "latency.fixed_steps", 134) && is(root, "latency.dynamic_steps_mean", 130.5),
       "latency");
    ok(is(root, "agreement_percent", 100) && is(root, "mean_abs_error", 0.125), "comparison");
    ok(json_is_null(at(root, "targets")) && json_is_null(at(root, "target_rms_error")),
       "classes have no targets");
    ok(is(root, "seed", 12345678901234567890.0), "a seed beyond 63 bits");
    json_t *first = json_array_get(at(root, "layers"), 0);
    json_t *second = json_array_get(at(root, "layers"), 1);
    ok(strcmp(json_string_value(at(first, "name")), "caf\xc3\xa9") == 0 &&
           strcmp(json_string_value(at(second, "name")), "bad? name\n") == 0,
       "names that are UTF-8 stay, others lose what is not");
    ok(is(first, "neurons", 6) && is(first, "density", 0.5) && is(second, "spikes", 2.5) &&
           is(second, "t_last_in_mean", 125),
       "layers");
    json_decref(root);

    result.total.analog_macs = 200; /* counted as 400 of the adds */
    root = eval_document(ctx, &result);
    ok(json_is_true(at(root, "analog_input")) && is(root, "ops.paper", 995) &&
           is(root, "ops.paper_mac1", 895) && is(root, "ops.reduction_silent_mac1_percent", 57.5) &&
           is(root, "energy.45nm_fp32.paper_pj", 730 * 0.9 + 65 * 3.7 + 100 * 4.6),
       "behind an analog input multiply-adds stay multiply-adds");
    json_decref(root);

    result.targets = TDSNN_TARGETS_INPUT;
    result.target_error = (tdsnn_errors){0.5, 0.75};
    result.against_target_error = (tdsnn_errors){0.25, 0.375};
    root = eval_document(ctx, &result);
    ok(strcmp(json_string_value(at(root, "targets")), "input") == 0 &&
           is(root, "target_mean_abs_error", 0.5) && is(root, "target_rms_error", 0.75) &&
           is(root, "against_target_mean_abs_error", 0.25) &&
           is(root, "against_target_rms_error", 0.375),
       "errors against targets");
    json_decref(root);

    result.labelled = result.spiking = result.compared = false;
    result.layer_count = 0;
    root = eval_document(ctx, &result);
    ok(json_is_null(at(root, "top1_percent")) && json_is_null(at(root, "spikes_per_neuron")) &&
           json_is_null(at(root, "ops.paper")) && json_is_null(at(root, "latency.fixed_steps")) &&
           is(root, "ops.dnn", 2000) && at(root, "agreement_percent") == NULL,
       "what does not apply is null");
    json_decref(root);
}

static void test_convert(tdsnn_context *ctx) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    tdsnn_convert_layer made[] = {{"input", 127, 254.0, 0.5, 40.0, 0.003},
                                  {"c1", 7, 14.0, 2.5, INFINITY, 0.25}};
    tdsnn_convert_report report = {.layer_count = 2,
                                   .layers = made,
                                   .leak = 14.0,
                                   .calibration_samples = 256,
                                   .logit_error = 0.125,
                                   .agreement_percent = 99.21875,
                                   .silence_samples = 1024,
                                   .silence_loss = 0.375,
                                   .spikes_before = 300.0,
                                   .spikes_after = 200.5};
    ok(tdsnn_report_convert(ctx, &report, 3, out) == TDSNN_OK, "convert is written");
    fclose(out);
    json_t *root = parse(text, size), *layer = json_array_get(at(root, "layers"), 1);
    ok(has_all(root, every) && is(root, "leak", 14) && is(root, "logit_error", 0.125) &&
           is(root, "agreement_percent", 99.21875) && is(layer, "steps", 7) &&
           is(layer, "scale", 2.5) && is(layer, "leak", 14) && is(layer, "first_threshold", 0.25) &&
           json_is_null(at(layer, "snr_db")),
       "its keys; an infinite ratio is null");
    ok(is(root, "silence.samples", 1024) && is(root, "silence.loss_points", 0.375) &&
           is(root, "silence.spikes_before", 300) && is(root, "silence.spikes_after", 200.5),
       "what silence came to");
    json_decref(root);
}

static void test_verify(tdsnn_context *ctx) {
    static const char *const keys[] = {"samples",
                                       "neurons_checked",
                                       "neuron_vs_formula_mismatches",
                                       "fast_vs_reference_mismatches",
                                       "isa",
                                       "float_vs_double_mismatches",
                                       "predictions_changed",
                                       "first_failure",
                                       NULL};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    tdsnn_verify_layer layer = {.name = "c1", .kind = "synapses", .neurons_checked = 40};
    tdsnn_verify_result result = {.samples = 1,
                                  .neurons_checked = 40,
                                  .layer_count = 1,
                                  .layers = &layer,
                                  .neuron_vs_formula_mismatches = 1,
                                  .fast_vs_reference_mismatches = 2,
                                  .isa = "avx2"};
    result.first = (tdsnn_verify_failure){.check = "neuron against formula",
                                          .layer = "c1",
                                          .mode = "fixed, silent",
                                          .time_found = -1,
                                          .x = 3};
    ok(tdsnn_report_verify(ctx, &result, 0, out) == TDSNN_OK, "verify is written");
    fclose(out);
    json_t *root = parse(text, size);
    ok(has_all(root, every) && has_all(root, keys) && json_is_false(at(root, "passed")) &&
           is(root, "fast_vs_reference_mismatches", 2) && is(root, "first_failure.x", 3) &&
           is(root, "first_failure.time_found", -1),
       "its keys");
    json_decref(root);
}

static void test_train(tdsnn_context *ctx) {
    static const char *const keys[] = {"train_samples", "held_out_samples", "parameters",
                                       "batch",         "learning_rate",    "weight_decay",
                                       "live_norms",    "start_percent",    "source_percent",
                                       "epochs_run",    "best.epoch",       "best.loss",
                                       "best.step",     "best.time_s",      "best.held_out_percent",
                                       "best.best",     "epochs",           NULL};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    tdsnn_epoch epochs[2] = {{.epoch = 3, .epochs = 4, .loss = 0.5, .held_out_percent = NAN},
                             {.epoch = 4, .epochs = 4, .loss = 0.25, .seconds = 8.0, .best = true}};
    tdsnn_train_report report = {.epochs = 4,
                                 .train_samples = 900,
                                 .held_out_samples = 100,
                                 .best = epochs[1],
                                 .start_percent = 12.5,
                                 .source_percent = NAN,
                                 .live_norms = true};
    ok(tdsnn_report_train(ctx, true, &report, epochs, 2, 0, out) == TDSNN_OK, "tune is written");
    fclose(out);
    json_t *root = parse(text, size), *list = at(root, "epochs");
    ok(has_all(root, every) && has_all(root, keys) && is(root, "train_samples", 900) &&
           is(root, "start_percent", 12.5) && is(root, "epochs_run", 4) &&
           is(root, "best.loss", 0.25) && is(root, "best.time_s", 8) &&
           json_is_null(at(root, "source_percent")) && json_is_true(at(root, "live_norms")) &&
           strcmp(json_string_value(at(root, "schema")), "tdsnn.tune/1") == 0,
       "its keys");
    ok(json_array_size(list) == 2 && is(json_array_get(list, 0), "epoch", 3) &&
           is(json_array_get(list, 1), "epoch", 4) &&
           json_is_null(at(json_array_get(list, 0), "held_out_percent")) &&
           json_is_false(at(json_array_get(list, 0), "best")),
       "its epochs, with null for what is no number");
    json_decref(root);
    out = open_memstream(&text, &size);
    ok(tdsnn_report_train(ctx, false, &report, NULL, 0, 0, out) == TDSNN_OK, "and train");
    fclose(out);
    root = parse(text, size);
    ok(strcmp(json_string_value(at(root, "schema")), "tdsnn.train/1") == 0 &&
           json_array_size(at(root, "epochs")) == 0,
       "without epochs of this run");
    json_decref(root);
}

static void test_stream(tdsnn_context *ctx) {
    FILE *full = fopen("/dev/full", "w");
    if (full != NULL) {
        tdsnn_eval_result result = evaluation();
        ok(tdsnn_report_eval(ctx, &result, 0, full) == TDSNN_ERR_RUNTIME, "a full disk is noticed");
        fclose(full);
    }
    char name[64] = "", cut[4] = "";
    tdsnn_cpu_name(name, sizeof name);
    tdsnn_cpu_name(cut, sizeof cut);
    ok(strlen(name) > 0 && strchr(name, '\n') == NULL && strlen(cut) < sizeof cut &&
           strncmp(name, cut, strlen(cut)) == 0,
       "the processor: %s", name);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_eval(ctx);
    test_convert(ctx);
    test_verify(ctx);
    test_train(ctx);
    test_stream(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
