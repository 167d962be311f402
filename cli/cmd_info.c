#include <stdlib.h>

#include "command.h"

typedef struct info_arguments {
    cli_arguments base;
    cli_data_arguments data_options;
    const char *data, *isa;
    bool build, plan;
} info_arguments;

static const info_arguments defaults = {.data_options = CLI_DATA_DEFAULTS};

static const cli_option options[] = {
    {.kind = CLI_FLAG,
     .name = "build",
     .help = "what this program was built with; needs no model",
     .offset = offsetof(info_arguments, build)},
    {.kind = CLI_FLAG,
     .name = "plan",
     .help = "how the event engine runs each layer of a spiking network",
     .offset = offsetof(info_arguments, plan)},
    {.kind = CLI_TEXT,
     .name = "data",
     .value = "DATA",
     .help = "of --plan: samples whose spikes decide it (a half of all\n"
             "neurons is taken to fire)",
     .offset = offsetof(info_arguments, data)},
    {.kind = CLI_TEXT,
     .name = "isa",
     .value = "NAME",
     .help = "of --plan: the instruction set (the widest of this\n"
             "processor)",
     .offset = offsetof(info_arguments, isa)},
    {.kind = CLI_END}};

static tdsnn_status show_build(tdsnn_context *ctx, const cli_arguments *arguments) {
    if (arguments->json) {
        tdsnn_status status = tdsnn_report_build(ctx, arguments->seed, stdout);
        return status == TDSNN_OK ? status : cli_failed(ctx, status);
    }
    const tdsnn_build_entry *entry;
    for (int i = 0; (entry = tdsnn_build_entry_at(i)) != NULL; i++) {
        printf("%-16s%s\n", entry->name, entry->value);
    }
    return TDSNN_OK;
}

/* Where it comes from, what goes in and out; nothing of a network with refused nodes. */
static void print_shape(tdsnn_context *ctx, const tdsnn_model *model, const char *path) {
    tdsnn_model_shape shape;
    printf("%s: %s network", cli_base_name(path),
           tdsnn_model_is_spiking(model) ? "a spiking" : "a plain");
    if (tdsnn_model_get_shape(ctx, model, &shape) == TDSNN_OK) {
        printf(", opset %ld, input ", shape.opset);
        if (shape.input_flat) {
            printf("%d", shape.input[0]);
        } else {
            printf("%dx%dx%d", shape.input[0], shape.input[1], shape.input[2]);
        }
        printf(", %s outputs", cli_count((uint64_t)shape.outputs).s);
    }
    printf("\n\n");
}

static void add_status(cli_table *table, const tdsnn_node_info *node) {
    static const char *const names[] = {[TDSNN_NODE_SUPPORTED] = "supported",
                                        [TDSNN_NODE_FOLDED] = "folded",
                                        [TDSNN_NODE_REFUSED] = "refused"};
    static const cli_style styles[] = {[TDSNN_NODE_SUPPORTED] = CLI_PLAIN,
                                       [TDSNN_NODE_FOLDED] = CLI_PLAIN,
                                       [TDSNN_NODE_REFUSED] = CLI_BAD};
    cli_cell(table, styles[node->status], "%s%s%s", names[node->status],
             node->reason[0] == '\0' ? "" : ": ", node->reason);
}

static void add_code(cli_table *table, const tdsnn_code *code) {
    static const char *const roundings[] = {[TDSNN_ROUND_NEAREST] = "nearest",
                                            [TDSNN_ROUND_CEIL] = "ceil",
                                            [TDSNN_ROUND_TABLE] = "table"};
    if (code == NULL) {
        cli_cell(table, CLI_PLAIN, "%s", "");
    } else {
        cli_cell(table, CLI_PLAIN, "K %d, L %g, scale %.6g, %s, offset %d", code->steps,
                 (double)code->leak, (double)code->scale, roundings[code->rounding], code->offset);
    }
}

static void add_macs(cli_table *table, uint64_t macs) {
    cli_cell(table, CLI_PLAIN, "%s", macs == 0 ? "" : cli_count(macs).s);
}

static void print_nodes(const tdsnn_model *model) {
    bool spiking = tdsnn_model_is_spiking(model);
    uint64_t macs = 0, padded = 0;
    cli_table table;
    const char *const headings[] = {"node", "operator", "output", "MACs", "status", "code"};
    cli_table_start(&table, spiking ? "lllrll" : "lllrl", headings);
    for (int i = 0; i < tdsnn_model_node_count(model); i++) {
        tdsnn_node_info node = tdsnn_model_node(model, i);
        cli_cell(&table, CLI_PLAIN, "%s", node.name);
        cli_cell(&table, CLI_PLAIN, "%s", node.op);
        cli_cell(&table, CLI_PLAIN, "%s", node.shape);
        add_macs(&table, node.macs);
        add_status(&table, &node);
        if (spiking) {
            add_code(&table, node.code);
        }
        macs += node.macs;
        padded += node.macs_padded;
    }
    cli_table_print(&table, stdout);
    printf("\n%s multiply-adds (MACs) a sample; %s with taps on padding.\n", cli_count(macs).s,
           cli_count(padded).s);
}

/* Whether anything stands in the way of running it, or of converting it. */
static tdsnn_status check(tdsnn_context *ctx, const tdsnn_model *model) {
    tdsnn_status status = tdsnn_model_check(ctx, model);
    if (status == TDSNN_OK && !tdsnn_model_is_spiking(model)) {
        status = tdsnn_convert_check(ctx, model);
    }
    return status == TDSNN_OK ? TDSNN_OK : cli_failed(ctx, status);
}

static tdsnn_status show_model(tdsnn_context *ctx, const cli_arguments *arguments,
                               const tdsnn_model *model) {
    if (arguments->json) {
        tdsnn_status status = tdsnn_report_info(ctx, model, arguments->seed, stdout);
        return status == TDSNN_OK ? check(ctx, model) : cli_failed(ctx, status);
    }
    print_shape(ctx, model, arguments->model);
    print_nodes(model);
    tdsnn_status status = check(ctx, model);
    if (status == TDSNN_OK) {
        printf("Every node is supported%s.\n",
               tdsnn_model_is_spiking(model) ? "" : ": it can be converted");
    }
    return status;
}

static void print_plan(const tdsnn_network *network) {
    tdsnn_network_info info = tdsnn_network_get_info(network);
    cli_table table;
    const char *const headings[] = {"layer", "reads", "form", "at once", "density", "cycles"};
    printf("event engine, %s, %.1f MB of weights\n\n", info.isa, (double)info.weight_bytes / 1e6);
    cli_table_start(&table, "lllrrr", headings);
    for (int i = 0; i < info.layer_count; i++) {
        for (int k = 0; k < tdsnn_network_population_count(network, i); k++) {
            tdsnn_network_population p = tdsnn_network_get_population(network, i, k);
            cli_cell(&table, CLI_PLAIN, "%s",
                     k == 0 ? tdsnn_network_get_layer(network, i).name : "");
            cli_cell(&table, CLI_PLAIN, "%s", p.source);
            cli_cell(&table, CLI_PLAIN, "%s", p.form);
            cli_cell(&table, CLI_PLAIN, "%d", p.outputs);
            cli_cell(&table, CLI_PLAIN, "%.2f", p.density);
            cli_cell(&table, CLI_PLAIN, "%s", cli_count((uint64_t)p.cycles).s);
        }
    }
    cli_table_print(&table, stdout);
    printf("\nAt once: neurons of neighbouring channels whose sums are in registers. Cycles:\n"
           "predicted, and what the forms were chosen by.\n");
}

/* Samples that a plan is made for. */
#define PLANNING_SAMPLES 4

/* Reads them one behind the other; *samples by free. */
static tdsnn_status read_samples(tdsnn_context *ctx, const tdsnn_model *model,
                                 const tdsnn_data *data, float **samples, size_t *count) {
    tdsnn_model_shape shape;
    tdsnn_data_info info = tdsnn_data_get_info(data);
    tdsnn_status status = tdsnn_model_get_shape(ctx, model, &shape);
    if (status != TDSNN_OK) {
        return cli_failed(ctx, status);
    }
    size_t wanted = (size_t)shape.input[0] * (size_t)shape.input[1] * (size_t)shape.input[2];
    size_t values = (size_t)info.shape[0] * (size_t)info.shape[1] * (size_t)info.shape[2];
    if (values != wanted) {
        cli_error("%s has samples of %zu values, but the network reads %zu", info.spec, values,
                  wanted);
        return TDSNN_ERR_USAGE;
    }
    *count = info.samples < PLANNING_SAMPLES ? info.samples : PLANNING_SAMPLES;
    *samples = calloc(*count + 1, values * sizeof **samples);
    if (*samples == NULL) {
        cli_error("no memory for %zu samples of %zu values", *count, values);
        return TDSNN_ERR_RUNTIME;
    }
    for (size_t i = 0; i < *count; i++) {
        status = tdsnn_data_read(ctx, data, i, *samples + i * values, NULL);
        if (status != TDSNN_OK) {
            return cli_failed(ctx, status);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status show_plan(tdsnn_context *ctx, const info_arguments *a,
                              const tdsnn_model *model) {
    tdsnn_network_options wanted = TDSNN_NETWORK_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    float *samples = NULL;
    tdsnn_status status = TDSNN_OK;
    wanted.isa = a->isa;
    if (a->data != NULL) {
        status =
            cli_open_data(ctx, &a->base, model, a->data, TDSNN_SPLIT_TEST, &a->data_options, &data);
        if (status == TDSNN_OK) {
            status = read_samples(ctx, model, data, &samples, &wanted.sample_count);
            wanted.samples = samples;
        }
    }
    tdsnn_network *network = NULL;
    if (status == TDSNN_OK) {
        status = tdsnn_network_create(ctx, model, &wanted, &network);
        status = status == TDSNN_OK ? status : cli_failed(ctx, status);
    }
    if (status == TDSNN_OK && a->base.json) {
        status = tdsnn_report_plan(ctx, network, a->base.seed, stdout);
        status = status == TDSNN_OK ? status : cli_failed(ctx, status);
    } else if (status == TDSNN_OK) {
        print_plan(network);
    }
    tdsnn_network_destroy(network);
    tdsnn_data_close(data);
    free(samples);
    return status;
}

static tdsnn_status run(tdsnn_context *ctx, const void *given) {
    const info_arguments *arguments = given;
    tdsnn_model *model = NULL;
    if (arguments->build) {
        return show_build(ctx, &arguments->base);
    }
    tdsnn_status status = cli_load_model(ctx, &arguments->base, &model);
    if (status == TDSNN_OK) {
        status = arguments->plan ? show_plan(ctx, arguments, model)
                                 : show_model(ctx, &arguments->base, model);
    }
    tdsnn_model_destroy(model);
    return status;
}

const cli_command cli_info = {
    .syntax = {.name = "info",
               .summary = "show a network's nodes, and what can be converted",
               .examples = "tdsnn info lenet.onnx\n"
                           "tdsnn info lenet.snn.onnx        # a converted one: its codes, too\n"
                           "tdsnn info lenet.onnx --json\n"
                           "tdsnn info lenet.snn.onnx --plan --data glyphs\n"
                           "tdsnn info --build",
               .usage = "MODEL [options]",
               .groups = {{"Options", options, 0,
                           "MODEL is an ONNX file, plain or converted. Exit code 4 if a node is "
                           "refused."},
                          {"Options of DATA", cli_data_options,
                           offsetof(info_arguments, data_options), cli_data_footer},
                          CLI_COMMON_GROUP}},
    .arguments_size = sizeof defaults,
    .defaults = &defaults,
    .run = run};
