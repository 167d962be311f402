#include "command.h"

typedef struct bench_arguments {
    cli_arguments base;
    cli_data_arguments data_options;
    const char *data, *isa;
    int split;
    size_t limit, batch;
    double seconds;
    bool kernels;
} bench_arguments;

static const bench_arguments defaults = {
    .data_options = CLI_DATA_DEFAULTS, .limit = 16, .batch = 1};

static const cli_option options[] = {
    {.kind = CLI_TEXT,
     .name = "data",
     .value = "DATA",
     .help = "the samples to run; how many neurons fire decides the speed",
     .offset = offsetof(bench_arguments, data)},
    {.kind = CLI_FLAG,
     .name = "kernels",
     .help = "instead of a MODEL, single 3x3 convolutions of several shapes\n"
             "and densities, on one thread",
     .offset = offsetof(bench_arguments, kernels)},
    {.kind = CLI_CHOICE,
     .name = "split",
     .value = "test|train",
     .help = "which samples, where there are both (test)",
     .offset = offsetof(bench_arguments, split)},
    {.kind = CLI_SIZE,
     .name = "limit",
     .value = "N",
     .help = "the first N samples, again and again (16)",
     .offset = offsetof(bench_arguments, limit)},
    {.kind = CLI_SIZE,
     .name = "batch",
     .value = "B",
     .help = "samples a run, spread over the threads\n"
             "(1: the threads share each layer)",
     .offset = offsetof(bench_arguments, batch)},
    {.kind = CLI_TEXT,
     .name = "isa",
     .value = "NAME",
     .help = "instruction set of both sides: avx2, avx512\n"
             "(the widest of this processor)",
     .offset = offsetof(bench_arguments, isa)},
    {.kind = CLI_REAL,
     .name = "seconds",
     .value = "S",
     .low = 0.01,
     .high = 86400.0,
     .help = "how long to measure (5; of --kernels 20)",
     .offset = offsetof(bench_arguments, seconds)},
    {.kind = CLI_END}};

/* Multiply-adds a second, in units of 10^9. */
static double giga(double macs, double ms) {
    return ms > 0.0 ? macs / ms / 1e6 : 0.0;
}

static void print_layers(const tdsnn_bench_result *r) {
    cli_table table;
    const char *const headings[] = {"layer", "form",  "density",     "MACs",      "dense ms",
                                    "ms",    "ratio", "G effective", "G executed"};
    cli_table_start(&table, "llrrrrrrr", headings);
    for (int i = 0; i < r->layer_count; i++) {
        const tdsnn_bench_layer *l = &r->layers[i];
        cli_cell(&table, CLI_PLAIN, "%s", l->name);
        cli_cell(&table, CLI_PLAIN, "%s", l->form);
        cli_cell(&table, CLI_PLAIN, "%.2f", l->density);
        cli_cell(&table, CLI_PLAIN, "%s", cli_count(l->macs).s);
        cli_cell(&table, CLI_PLAIN, "%.4f", l->dense_ms);
        cli_cell(&table, CLI_PLAIN, "%.4f", l->event_ms);
        cli_cell(&table, CLI_PLAIN, "%.2f", l->event_ms > 0.0 ? l->dense_ms / l->event_ms : 0.0);
        cli_cell(&table, CLI_PLAIN, "%.1f", giga((double)l->macs, l->event_ms));
        cli_cell(&table, CLI_PLAIN, "%.1f", giga(l->executed_macs, l->event_ms));
    }
    cli_table_print(&table, stdout);
}

static void print_result(const bench_arguments *a, const tdsnn_bench_result *r,
                         const tdsnn_data *data) {
    char cpu[128];
    tdsnn_cpu_name(cpu, sizeof cpu);
    printf("%s on %s\n%d thread%s, batch %d, %s\n\n", cli_base_name(a->base.model),
           cli_describe_data(data, (tdsnn_split)a->split, a->limit).s, r->threads,
           r->threads == 1 ? "" : "s", r->batch, cpu);
    print_layers(r);
    printf("\nG: 10^9 multiply-adds a second, those of the dense network and those executed.\n");
    int threads = r->batch == 1 ? r->threads : 1;
    printf("Layers are timed one by one, on %d thread%s of the event engine.\n\n", threads,
           threads == 1 ? "" : "s");
    printf("dense, %s, %s: %.4f ms a sample\n", r->opponent, r->opponent_isa, r->dense_ms);
    printf("event engine, %s: %.4f ms a sample; %.1f MB of weights and buffers\n", r->isa,
           r->event_ms, (double)r->peak_bytes / 1e6);
    printf("ratio: %.2f, half of %zu rounds between %.2f and %.2f\n", r->ratio, r->rounds,
           r->ratio_low, r->ratio_high);
}

static tdsnn_status bench(tdsnn_context *ctx, const bench_arguments *a, const tdsnn_model *model,
                          const tdsnn_data *data) {
    tdsnn_bench_options bench_options = TDSNN_BENCH_OPTIONS_INIT;
    bench_options.samples = a->limit;
    bench_options.batch = a->batch > 1 << 20 ? 1 << 20 : (int)a->batch;
    bench_options.isa = a->isa;
    bench_options.seconds = a->seconds > 0.0 ? a->seconds : bench_options.seconds;
    tdsnn_bench_result *result = NULL;
    tdsnn_status status = tdsnn_bench(ctx, model, data, &bench_options, &result);
    if (status != TDSNN_OK) {
        return cli_failed(ctx, status);
    }
    if (a->base.json) {
        status = tdsnn_report_bench(ctx, result, a->base.seed, stdout);
    } else {
        print_result(a, result, data);
    }
    tdsnn_bench_result_free(result);
    return status == TDSNN_OK ? status : cli_failed(ctx, status);
}

/* ---------------------------------------------------------------------------------- --kernels */

static void print_kernels(const tdsnn_bench_kernels_result *r) {
    char cpu[128];
    tdsnn_cpu_name(cpu, sizeof cpu);
    printf("3x3 convolutions, stride 1, one thread, %s\n", cpu);
    printf("event engine, %s, against %s, %s\n\n", r->isa, r->opponent, r->opponent_isa);
    cli_table table;
    const char *const headings[] = {"shape", "density",      "form",        "dense ms",  "ms",
                                    "ratio", "half between", "G effective", "G executed"};
    cli_table_start(&table, "lrlrrrrrr", headings);
    for (int i = 0; i < r->kernel_count; i++) {
        const tdsnn_bench_kernel *k = &r->kernels[i];
        cli_cell(&table, CLI_PLAIN, "%d@%dx%d", k->channels, k->height, k->width);
        cli_cell(&table, CLI_PLAIN, "%.1f", k->density);
        cli_cell(&table, CLI_PLAIN, "%s", k->form);
        cli_cell(&table, CLI_PLAIN, "%.4f", k->dense_ms);
        cli_cell(&table, CLI_PLAIN, "%.4f", k->event_ms);
        cli_cell(&table, CLI_PLAIN, "%.2f", k->ratio);
        cli_cell(&table, CLI_PLAIN, "%.2f - %.2f", k->ratio_low, k->ratio_high);
        cli_cell(&table, CLI_PLAIN, "%.1f", giga((double)k->macs, k->event_ms));
        cli_cell(&table, CLI_PLAIN, "%.1f", giga(k->executed_macs, k->event_ms));
    }
    cli_table_print(&table, stdout);
    printf("\nRatio: the median; half of the rounds lie between those behind it. G: 10^9 "
           "multiply-adds\n"
           "a second, those of the dense convolution and those executed.\n");
}

static tdsnn_status bench_kernels(tdsnn_context *ctx, const bench_arguments *a) {
    tdsnn_bench_kernels_options kernels_options = TDSNN_BENCH_KERNELS_OPTIONS_INIT;
    if (a->base.model != NULL || a->data != NULL) {
        cli_error("tdsnn bench: --kernels makes its own layers and spikes: leave %s out",
                  a->base.model != NULL ? "MODEL" : "--data");
        return TDSNN_ERR_USAGE;
    }
    tdsnn_set_threads(ctx, 1);
    kernels_options.isa = a->isa;
    kernels_options.seconds = a->seconds > 0.0 ? a->seconds : kernels_options.seconds;
    kernels_options.seed = a->base.seed;
    tdsnn_bench_kernels_result *result = NULL;
    tdsnn_status status = tdsnn_bench_kernels(ctx, &kernels_options, &result);
    if (status != TDSNN_OK) {
        return cli_failed(ctx, status);
    }
    if (a->base.json) {
        status = tdsnn_report_bench_kernels(ctx, result, a->base.seed, stdout);
    } else {
        print_kernels(result);
    }
    tdsnn_bench_kernels_result_free(result);
    return status == TDSNN_OK ? status : cli_failed(ctx, status);
}

static tdsnn_status run(tdsnn_context *ctx, const void *given) {
    const bench_arguments *a = given;
    if (a->kernels) {
        return bench_kernels(ctx, a);
    }
    if (a->data == NULL) {
        cli_error("tdsnn bench: --data DATA is missing; 'tdsnn bench --help' shows examples");
        return TDSNN_ERR_USAGE;
    }
    tdsnn_model *model = NULL;
    tdsnn_data *data = NULL;
    tdsnn_status status = cli_load_model(ctx, &a->base, &model);
    if (status == TDSNN_OK) {
        status = cli_open_data(ctx, &a->base, model, a->data, (tdsnn_split)a->split,
                               &a->data_options, &data);
    }
    if (status == TDSNN_OK) {
        status = bench(ctx, a, model, data);
    }
    tdsnn_data_close(data);
    tdsnn_model_destroy(model);
    return status;
}

const cli_command cli_bench = {
    .syntax = {.name = "bench",
               .summary = "time a spiking network against the dense one it was converted from",
               .examples = "tdsnn bench lenet.snn.onnx --data glyphs --threads 1\n"
                           "tdsnn bench net.snn.onnx --data cifar10:DIR --threads 1 --isa avx2\n"
                           "tdsnn bench net.snn.onnx --data cifar10:DIR --batch 64 --json\n"
                           "tdsnn bench --kernels --isa avx2",
               .usage = "MODEL --data DATA [options]",
               .groups = {{"Options", options, 0, NULL},
                          {"Options of DATA", cli_data_options,
                           offsetof(bench_arguments, data_options), cli_data_footer},
                          CLI_COMMON_GROUP}},
    .arguments_size = sizeof defaults,
    .defaults = &defaults,
    .run = run};
