#include <string.h>

#include "command.h"

typedef struct verify_arguments {
    cli_arguments base;
    cli_data_arguments data_options;
    const char *data;
    int split;
    size_t limit;
} verify_arguments;

static const verify_arguments defaults = {.data_options = CLI_DATA_DEFAULTS, .limit = 100};

static const cli_option options[] = {{.kind = CLI_TEXT,
                                      .name = "data",
                                      .value = "DATA",
                                      .help = "the samples to prove it on",
                                      .offset = offsetof(verify_arguments, data),
                                      .required = true},
                                     {.kind = CLI_CHOICE,
                                      .name = "split",
                                      .value = "test|train",
                                      .help = "which samples, where there are both (test)",
                                      .offset = offsetof(verify_arguments, split)},
                                     {.kind = CLI_SIZE,
                                      .name = "limit",
                                      .value = "N",
                                      .help = "the first N samples (100); 0: all",
                                      .offset = offsetof(verify_arguments, limit)},
                                     {.kind = CLI_END}};

/* A count of errors. */
static void add_errors(cli_table *table, uint64_t errors) {
    cli_cell(table, errors > 0 ? CLI_BAD : CLI_PLAIN, "%s", cli_count(errors).s);
}

static void print_layers(const tdsnn_verify_result *r) {
    cli_table table;
    const char *const headings[] = {"layer",        "kind",          "checked",    "not as formula",
                                    "fast differs", "float differs", "unexplained"};
    cli_table_start(&table, "llrrrrr", headings);
    for (int i = 0; i < r->layer_count; i++) {
        const tdsnn_verify_layer *l = &r->layers[i];
        if (strcmp(l->kind, "input") == 0) {
            continue; /* encoded, not computed */
        }
        cli_cell(&table, CLI_PLAIN, "%s", l->name);
        cli_cell(&table, CLI_PLAIN, "%s", l->kind);
        cli_cell(&table, CLI_PLAIN, "%s", cli_count(l->neurons_checked).s);
        add_errors(&table, l->neuron_vs_formula_mismatches);
        add_errors(&table, l->fast_vs_reference_mismatches);
        cli_cell(&table, CLI_PLAIN, "%s", cli_count(l->float_vs_double_mismatches).s);
        add_errors(&table, l->float_vs_double_beyond_bound);
    }
    cli_table_print(&table, stdout);
}

static void print_result(const tdsnn_context *ctx, const verify_arguments *a,
                         const tdsnn_verify_result *r, const tdsnn_data *data) {
    printf("%s on %s, %s\n\n", cli_base_name(a->base.model),
           cli_describe_data(data, (tdsnn_split)a->split, a->limit).s,
           r->mode_count == 4 ? "in 4 modes: release fixed or dynamic, zeros silent or firing"
                              : "in 2 modes: release fixed or dynamic");
    print_layers(r);
    char cpu[128];
    tdsnn_cpu_name(cpu, sizeof cpu);
    printf("\nPredictions that differ between float and double: %s of %s.\n",
           cli_count(r->predictions_changed).s, cli_count(r->samples).s);
    printf("Time: %s, %d thread%s on %s.\n\n", cli_seconds(r->seconds).s, tdsnn_threads(ctx),
           tdsnn_threads(ctx) == 1 ? "" : "s", cpu);
    if (r->passed) {
        cli_styled(stdout, CLI_GOOD, "PROVED");
        printf(": %s spike times of stepped neurons, all as the formula says.\n",
               cli_count(r->neurons_checked).s);
        if (r->float_vs_double_mismatches == 0) {
            printf("The reference engine's, in float, are the same;\n");
        } else {
            printf("The reference engine's, in float, differ in %s places, each explained by "
                   "rounding;\n",
                   cli_count(r->float_vs_double_mismatches).s);
        }
        printf("the event engine (%s) gives its bits.\n", r->isa);
    } else {
        cli_styled(stdout, CLI_BAD, "FAILED");
        printf(
            ": %s spike times are not as the formula says, %s differ from double by more than\n"
            "rounding explains, and so do %s potentials at the read-out. In %s places the event\n"
            "engine (%s) has not the reference engine's bits.\n",
            cli_count(r->neuron_vs_formula_mismatches).s,
            cli_count(r->float_vs_double_beyond_bound).s, cli_count(r->readout_mismatches).s,
            cli_count(r->fast_vs_reference_mismatches).s, r->isa);
    }
}

static tdsnn_status verify(tdsnn_context *ctx, const verify_arguments *a, const tdsnn_model *model,
                           const tdsnn_data *data) {
    tdsnn_verify_options verify_options = TDSNN_VERIFY_OPTIONS_INIT;
    verify_options.limit = a->limit;
    tdsnn_verify_result *result = NULL;
    tdsnn_status status = tdsnn_verify(ctx, model, data, &verify_options, &result);
    if (result == NULL) {
        return cli_failed(ctx, status);
    }
    char failure[1024];
    snprintf(failure, sizeof failure, "%s", tdsnn_last_error(ctx)); /* the next call clears it */
    tdsnn_status reported = TDSNN_OK;
    if (a->base.json) {
        reported = tdsnn_report_verify(ctx, result, a->base.seed, stdout);
    } else {
        print_result(ctx, a, result, data);
    }
    tdsnn_verify_result_free(result);
    if (status != TDSNN_OK) {
        cli_error("%s", failure);
    }
    return reported == TDSNN_OK ? status : cli_failed(ctx, reported);
}

static tdsnn_status run(tdsnn_context *ctx, const void *given) {
    const verify_arguments *a = given;
    tdsnn_model *model = NULL;
    tdsnn_data *data = NULL;
    tdsnn_status status = cli_load_model(ctx, &a->base, &model);
    if (status == TDSNN_OK) {
        status = cli_open_data(ctx, &a->base, model, a->data, (tdsnn_split)a->split,
                               &a->data_options, &data);
    }
    if (status == TDSNN_OK) {
        status = verify(ctx, a, model, data);
    }
    tdsnn_data_close(data);
    tdsnn_model_destroy(model);
    return status;
}

const cli_command cli_verify = {
    .syntax = {.name = "verify",
               .summary = "prove, neuron by neuron, that a spiking network does what its file says",
               .examples = "tdsnn verify lenet.snn.onnx --data glyphs\n"
                           "tdsnn verify lenet.snn.onnx --data mnist:DIR --limit 1000\n"
                           "tdsnn verify net.snn.onnx --data random:10 --json",
               .usage = "MODEL --data DATA [options]",
               .groups = {{"Options", options, 0, "Exit code 5 if the proof fails."},
                          {"Options of DATA", cli_data_options,
                           offsetof(verify_arguments, data_options), cli_data_footer},
                          CLI_COMMON_GROUP}},
    .arguments_size = sizeof defaults,
    .defaults = &defaults,
    .run = run};
