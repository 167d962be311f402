#include <string.h>

#include "command.h"

typedef struct eval_arguments {
    cli_arguments base;
    cli_data_arguments data_options;
    const char *data, *against, *predictions, *labels, *logits, *spikes;
    int split, engine;
    size_t limit, count;
    bool force;
} eval_arguments;

static const eval_arguments defaults = {.data_options = CLI_DATA_DEFAULTS,
                                        .count = TDSNN_DEFAULT_COUNTED};

static const cli_option options[] = {
    {.kind = CLI_TEXT,
     .name = "data",
     .value = "DATA",
     .help = "the samples to run it on",
     .offset = offsetof(eval_arguments, data),
     .required = true},
    {.kind = CLI_CHOICE,
     .name = "split",
     .value = "test|train",
     .help = "which samples, where there are both (test)",
     .offset = offsetof(eval_arguments, split)},
    {.kind = CLI_SIZE,
     .name = "limit",
     .value = "N",
     .help = "the first N samples; 0: all (0)",
     .offset = offsetof(eval_arguments, limit)},
    {.kind = CLI_SIZE,
     .name = "count",
     .value = "N",
     .help = "count spikes, operations and latency on the first N\n"
             "samples; 0: on all, slow (256)",
     .offset = offsetof(eval_arguments, count)},
    {.kind = CLI_CHOICE,
     .name = "engine",
     .value = "event|reference|clock",
     .help = "of a spiking network (event); reference: the same bits,\n"
             "slower; clock: neurons stepped through time, slow",
     .offset = offsetof(eval_arguments, engine)},
    {.kind = CLI_TEXT,
     .name = "against",
     .value = "SOURCE",
     .help = "a second network, run on the same samples",
     .offset = offsetof(eval_arguments, against)},
    {.kind = CLI_TEXT,
     .name = "predictions",
     .value = "F",
     .help = "write one class index a line; -: on stdout, and the\n"
             "report on stderr",
     .offset = offsetof(eval_arguments, predictions)},
    {.kind = CLI_TEXT,
     .name = "labels",
     .value = "F",
     .help = "names of the classes, one a line, for the predictions",
     .offset = offsetof(eval_arguments, labels)},
    {.kind = CLI_TEXT,
     .name = "logits",
     .value = "F.npy",
     .help = "write float32 [samples][outputs]",
     .offset = offsetof(eval_arguments, logits)},
    {.kind = CLI_TEXT,
     .name = "spikes",
     .value = "F.npz",
     .help = "write spike times, uint8, an array a layer",
     .offset = offsetof(eval_arguments, spikes)},
    {.kind = CLI_FLAG,
     .name = "force",
     .help = "replace files that exist",
     .offset = offsetof(eval_arguments, force)},
    {.kind = CLI_END}};

/* ----------------------------------------------------------------------------------- the report */

/* A line of the report: what, the figure, what is to be known of it. */
static void add_line(cli_table *table, const char *what, const char *figure, const char *note) {
    cli_cell(table, CLI_PLAIN, "%s", what);
    cli_cell(table, CLI_PLAIN, "%s", figure);
    cli_cell(table, CLI_PLAIN, "%s", note);
}

static double ratio(double part, double whole) {
    return whole > 0.0 ? part / whole : 0.0;
}

static double percent_of(uint64_t part, size_t whole) {
    return 100.0 * ratio((double)part, (double)whole);
}

/* Outputs that are values: how far they are from their targets, and from the other network's. */
static void add_errors(cli_table *table, const eval_arguments *a, const tdsnn_eval_result *r) {
    char figure[64], note[300];
    if (r->targets != TDSNN_TARGETS_NONE) {
        snprintf(figure, sizeof figure, "%.4g", r->target_error.mean_abs);
        snprintf(note, sizeof note, "absolute, of %s outputs against %s; root mean square %.4g",
                 cli_count((uint64_t)r->outputs).s,
                 r->targets == TDSNN_TARGETS_Y ? "y" : "the input",
                 r->target_error.root_mean_square);
        add_line(table, "mean error", figure, note);
    }
    if (r->targets != TDSNN_TARGETS_NONE && r->compared) {
        snprintf(figure, sizeof figure, "%.4g", r->against_target_error.mean_abs);
        snprintf(note, sizeof note, "%s; root mean square %.4g", cli_base_name(a->against),
                 r->against_target_error.root_mean_square);
        add_line(table, "  against", figure, note);
    }
    if (r->compared) {
        snprintf(figure, sizeof figure, "%.4g", r->mean_abs_error);
        snprintf(note, sizeof note, "of the two networks' outputs, on average; %.4g at most",
                 r->max_abs_error);
        add_line(table, "difference", figure, note);
    }
}

/* Whether the outputs are classes: one alone is a value, and so are those with targets. */
static bool has_classes(const tdsnn_eval_result *r) {
    return r->labelled || (r->targets == TDSNN_TARGETS_NONE && r->outputs > 1);
}

static void add_accuracy(cli_table *table, const eval_arguments *a, const tdsnn_eval_result *r) {
    char note[200];
    if (r->labelled) {
        snprintf(note, sizeof note, "%s of %s; among the first five: %s", cli_count(r->top1).s,
                 cli_count(r->samples).s, cli_percent(percent_of(r->top5, r->samples)).s);
        add_line(table, "accuracy", cli_percent(percent_of(r->top1, r->samples)).s, note);
    }
    if (r->compared && r->labelled) {
        add_line(table, "  against", cli_percent(percent_of(r->against_top1, r->samples)).s,
                 cli_base_name(a->against));
    }
    if (r->compared) {
        snprintf(note, sizeof note, "logits differ by %.3g at most, %.3g on average",
                 r->max_abs_error, r->mean_abs_error);
        add_line(table, "same answer", cli_percent(percent_of(r->agreements, r->samples)).s, note);
    }
}

static cli_text four_digits(double value) {
    cli_text text;
    snprintf(text.s, sizeof text.s, "%.4f", value);
    return text;
}

static void add_spikes(cli_table *table, const tdsnn_eval_result *r) {
    double neurons = (double)r->total.neurons;
    char note[200];
    snprintf(note, sizeof note, "of the hidden layers, max-pools included; counted on %s samples",
             cli_count(r->counted).s);
    add_line(table, "neurons", cli_count(r->total.neurons / r->counted).s, note);
    add_line(table, "spikes per neuron", four_digits(ratio((double)r->total.spikes, neurons)).s,
             "later than time 0");
    add_line(table, "zero spikes per neuron",
             four_digits(ratio((double)r->total.zero_spikes, neurons)).s,
             "at time 0, sent because a max-pool waits for them");
    add_line(table, "input spikes per pixel",
             four_digits(ratio((double)r->input_spikes, (double)r->input_neurons)).s,
             r->total.analog_macs > 0 ? "the input is analog: the first layer is not spiking" : "");
    snprintf(note, sizeof note, "steps with dynamic release, on average; %s with fixed",
             cli_count(r->latency_fixed).s);
    add_line(table, "latency", cli_mean((double)r->latency_dynamic / (double)r->counted).s, note);
}

static void add_time(cli_table *table, const tdsnn_context *ctx, const tdsnn_eval_result *r) {
    char note[300], cpu[128];
    tdsnn_cpu_name(cpu, sizeof cpu);
    snprintf(note, sizeof note, "%s samples a second, %d thread%s on %s",
             cli_mean(ratio((double)r->samples, r->seconds)).s, tdsnn_threads(ctx),
             tdsnn_threads(ctx) == 1 ? "" : "s", cpu);
    add_line(table, "time", cli_seconds(r->seconds).s, note);
    snprintf(note, sizeof note, "on one thread");
    if (r->compared) {
        snprintf(note, sizeof note, "on one thread; %s for the other",
                 cli_seconds(r->against_run_seconds / (double)r->samples).s);
    }
    add_line(table, "  a sample", cli_seconds(r->run_seconds / (double)r->samples).s, note);
}

/* A cost of the dense network and of the spiking one, in total. */
typedef struct cost {
    const char *name;
    double dense, paper, silent;
} cost;

/* A figure a sample, and how much less it is than the dense network's. */
static void add_figure(cli_table *table, double figure, double dense, size_t samples) {
    cli_cell(table, CLI_PLAIN, "%s", cli_mean(figure / (double)samples).s);
    cli_cell(table, CLI_PLAIN, "%s",
             figure == dense ? "" : cli_percent(100.0 * ratio(dense - figure, dense)).s);
}

static void print_costs(FILE *out, const char *title, const cost costs[2],
                        const tdsnn_eval_result *r) {
    cli_table table;
    const char *const headings[] = {title, costs[0].name, "reduction", costs[1].name, "reduction"};
    cli_table_start(&table, "lrrrr", headings);
    cli_cell(&table, CLI_PLAIN, "dense");
    for (int i = 0; i < 2; i++) {
        add_figure(&table, costs[i].dense, costs[i].dense, r->counted);
    }
    if (r->spiking) {
        cli_cell(&table, CLI_PLAIN, "spiking, paper's convention");
        for (int i = 0; i < 2; i++) {
            add_figure(&table, costs[i].paper, costs[i].dense, r->counted);
        }
        cli_cell(&table, CLI_PLAIN, "spiking, zeros silent");
        for (int i = 0; i < 2; i++) {
            add_figure(&table, costs[i].silent, costs[i].dense, r->counted);
        }
    }
    cli_table_print(&table, out);
}

/* A multiply-add counts as two operations, and as one; the spiking network has none but those
 * behind an analog input. */
static void print_operations(FILE *out, const tdsnn_eval_result *r) {
    double macs = (double)r->total.macs, analog = (double)r->total.analog_macs;
    double paper = (double)tdsnn_ops_paper(&r->total);
    double silent = (double)tdsnn_ops_silent(&r->total);
    const cost costs[] = {{"MAC = 2", 2.0 * macs, paper, silent},
                          {"MAC = 1", macs, paper - analog, silent - analog}};
    print_costs(out, "operations a sample", costs, r);
}

static void print_energy(FILE *out, const tdsnn_eval_result *r) {
    cost costs[2];
    for (int i = 0; i < 2; i++) {
        const tdsnn_energy_model *model = tdsnn_energy_model_at(i);
        costs[i] = (cost){model->name, tdsnn_energy_dense(model, &r->total) / 1e3,
                          tdsnn_energy_paper(model, &r->total) / 1e3,
                          tdsnn_energy_silent(model, &r->total) / 1e3};
    }
    print_costs(out, "energy a sample, nJ", costs, r);
}

static void print_layers(FILE *out, const tdsnn_eval_result *r) {
    cli_table table;
    const char *const headings[] = {"layer", "kind", "shape",     "K",          "neurons", "spikes",
                                    "zero",  "MACs", "ops paper", "ops silent", "T_il"};
    cli_table_start(&table, "lllrrrrrrrr", headings);
    for (int i = 0; i < r->layer_count; i++) {
        const tdsnn_eval_layer *l = &r->layers[i];
        const tdsnn_counts *c = &l->counts;
        double n = (double)r->counted, neurons = (double)c->neurons;
        cli_cell(&table, CLI_PLAIN, "%s", l->name);
        cli_cell(&table, CLI_PLAIN, "%s", l->kind);
        cli_cell(&table, CLI_PLAIN, "%dx%dx%d", l->shape[0], l->shape[1], l->shape[2]);
        cli_cell(&table, CLI_PLAIN, "%d", l->steps);
        cli_cell(&table, CLI_PLAIN, "%s", cli_count(c->neurons / r->counted).s);
        cli_cell(&table, CLI_PLAIN, "%s", four_digits(ratio((double)c->spikes, neurons)).s);
        cli_cell(&table, CLI_PLAIN, "%s", four_digits(ratio((double)c->zero_spikes, neurons)).s);
        cli_cell(&table, CLI_PLAIN, "%s", cli_count(c->macs / r->counted).s);
        cli_cell(&table, CLI_PLAIN, "%s", cli_mean((double)tdsnn_ops_paper(c) / n).s);
        cli_cell(&table, CLI_PLAIN, "%s", cli_mean((double)tdsnn_ops_silent(c) / n).s);
        cli_cell(&table, CLI_PLAIN, "%s", cli_mean((double)l->t_last_in / n).s);
    }
    cli_table_print(&table, out);
}

static void print_result(FILE *out, const tdsnn_context *ctx, const eval_arguments *a,
                         const tdsnn_eval_result *r, const tdsnn_data *data) {
    static const char *const engines[] = {"event engine", "reference engine", "clock engine"};
    const char *how = r->spiking ? engines[a->engine] : "a plain network, run densely";
    fprintf(out, "%s on %s; %s\n\n", cli_base_name(a->base.model),
            cli_describe_data(data, (tdsnn_split)a->split, a->limit).s, how);
    cli_table table;
    cli_table_start(&table, "lrl", NULL);
    if (has_classes(r)) {
        add_accuracy(&table, a, r);
    } else {
        add_errors(&table, a, r);
    }
    if (r->spiking) {
        add_spikes(&table, r);
    }
    add_time(&table, ctx, r);
    cli_table_print(&table, out);
    fprintf(out, "\n");
    print_operations(out, r);
    fprintf(out, "\n");
    print_energy(out, r);
    if (r->spiking) {
        fprintf(out, "\nMAC: a multiply-add of the dense network, counted as two operations or "
                     "one.\nPaper's convention: every neuron sends a spike. Zeros silent: "
                     "neurons at time 0 do not.\n");
    }
    if (a->base.verbose && r->layer_count > 0) {
        fprintf(out, "\n");
        print_layers(out, r);
    }
}

/* ------------------------------------------------------------------------------------ the command
 */

static tdsnn_status evaluate(tdsnn_context *ctx, const eval_arguments *a, const tdsnn_model *model,
                             const tdsnn_model *against, const tdsnn_data *data) {
    tdsnn_eval_options eval_options = TDSNN_EVAL_OPTIONS_INIT;
    eval_options.limit = a->limit;
    eval_options.count = a->count;
    eval_options.engine = (tdsnn_engine)a->engine;
    eval_options.against = against;
    eval_options.predictions = a->predictions;
    eval_options.labels = a->labels;
    eval_options.logits = a->logits;
    eval_options.spikes = a->spikes;
    eval_options.force = a->force;
    tdsnn_eval_result *result = NULL;
    tdsnn_status status = tdsnn_eval(ctx, model, data, &eval_options, &result);
    if (status == TDSNN_OK && a->base.json) {
        status = tdsnn_report_eval(ctx, result, a->base.seed, stdout);
    } else if (status == TDSNN_OK) {
        bool taken = a->predictions != NULL && strcmp(a->predictions, "-") == 0;
        print_result(taken ? stderr : stdout, ctx, a, result, data);
    }
    tdsnn_eval_result_free(result);
    return status == TDSNN_OK ? TDSNN_OK : cli_failed(ctx, status);
}

/* Options that do not go together. */
static bool check(const eval_arguments *a) {
    if (a->labels != NULL && a->predictions == NULL) {
        cli_error("--labels names the classes of --predictions F, which is missing");
        return false;
    }
    if (a->base.json && a->predictions != NULL && strcmp(a->predictions, "-") == 0) {
        cli_error("--json and --predictions - both write to stdout: give --predictions a file");
        return false;
    }
    return true;
}

static tdsnn_status run(tdsnn_context *ctx, const void *given) {
    const eval_arguments *a = given;
    tdsnn_model *model = NULL, *against = NULL;
    tdsnn_data *data = NULL;
    if (!check(a)) {
        return TDSNN_ERR_USAGE;
    }
    tdsnn_status status = cli_load_model(ctx, &a->base, &model);
    if (status == TDSNN_OK && a->against != NULL) {
        cli_arguments other = a->base;
        other.model = a->against;
        status = cli_load_model(ctx, &other, &against);
    }
    if (status == TDSNN_OK) {
        status = cli_open_data(ctx, &a->base, model, a->data, (tdsnn_split)a->split,
                               &a->data_options, &data);
    }
    if (status == TDSNN_OK) {
        status = evaluate(ctx, a, model, against, data);
    }
    tdsnn_data_close(data);
    tdsnn_model_destroy(against);
    tdsnn_model_destroy(model);
    return status;
}

const cli_command cli_eval = {
    .syntax =
        {.name = "eval",
         .summary = "run a network on data: accuracy, spikes, operations, latency",
         .examples =
             "tdsnn eval lenet.snn.onnx --data glyphs --against lenet.onnx\n"
             "tdsnn eval lenet.onnx --data mnist:DIR          # a plain network runs densely\n"
             "tdsnn eval lenet.snn.onnx --data glyphs --limit 100 --engine clock\n"
             "tdsnn eval lenet.snn.onnx --data npy:picture.npy --predictions - --labels "
             "names.txt",
         .usage = "MODEL --data DATA [options]",
         .groups = {{"Options", options, 0, NULL},
                    {"Options of DATA", cli_data_options, offsetof(eval_arguments, data_options),
                     cli_data_footer},
                    CLI_COMMON_GROUP}},
    .arguments_size = sizeof defaults,
    .defaults = &defaults,
    .run = run};
