#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const cli_option cli_common_options[] = {{.kind = CLI_FLAG,
                                          .name = "json",
                                          .help = "one JSON document on stdout instead of text",
                                          .offset = offsetof(cli_arguments, json)},
                                         {.kind = CLI_FLAG,
                                          .name = "verbose",
                                          .letter = 'v',
                                          .help = "more detail, layer by layer",
                                          .offset = offsetof(cli_arguments, verbose)},
                                         {.kind = CLI_FLAG,
                                          .name = "quiet",
                                          .letter = 'q',
                                          .help = "no progress, no warnings",
                                          .offset = offsetof(cli_arguments, quiet)},
                                         {.kind = CLI_TEXT,
                                          .name = "shape",
                                          .value = "NAME=V,..",
                                          .help = "sizes of the input's symbolic dimensions; the\n"
                                                  "batch needs none",
                                          .offset = offsetof(cli_arguments, shape)},
                                         {.kind = CLI_INT,
                                          .name = "threads",
                                          .value = "N",
                                          .help = "threads to use (all cores)",
                                          .offset = offsetof(cli_arguments, threads),
                                          .low = 1,
                                          .high = 1024},
                                         {.kind = CLI_SEED,
                                          .name = "seed",
                                          .value = "N",
                                          .help = "of everything that is random (0)",
                                          .offset = offsetof(cli_arguments, seed)},
                                         {.kind = CLI_FLAG,
                                          .name = "help",
                                          .letter = 'h',
                                          .help = "this page",
                                          .offset = offsetof(cli_arguments, help)},
                                         {.kind = CLI_FLAG,
                                          .name = "version",
                                          .help = "the version",
                                          .offset = offsetof(cli_arguments, version)},
                                         {.kind = CLI_END}};

const cli_option cli_data_options[] = {
    {.kind = CLI_SCALE,
     .name = "scale",
     .value = "F",
     .help = "what a raw value is multiplied by, as 0.5 or 1/255\n"
             "(1/255 for pictures, 1 for arrays)",
     .offset = offsetof(cli_data_arguments, scale)},
    {.kind = CLI_LIST,
     .name = "mean",
     .value = "A,B,C",
     .help = "what is subtracted from the scaled values, a number\n"
             "a channel or one for all",
     .offset = offsetof(cli_data_arguments, mean),
     .low = -1e30,
     .high = 1e30},
    {.kind = CLI_LIST,
     .name = "std",
     .value = "A,B,C",
     .help = "what they are divided by then",
     .offset = offsetof(cli_data_arguments, std),
     .low = 1e-30,
     .high = 1e30},
    {.kind = CLI_CHOICE,
     .name = "layout",
     .value = "nchw|nhwc",
     .help = "of npz and npy arrays with channels (nchw)",
     .offset = offsetof(cli_data_arguments, layout)},
    {.kind = CLI_INT,
     .name = "resize",
     .value = "N",
     .help = "bring the shorter side of images to N pixels",
     .offset = offsetof(cli_data_arguments, resize),
     .low = 1,
     .high = 32768},
    {.kind = CLI_INT,
     .name = "crop",
     .value = "N",
     .help = "then keep the N x N pixels in their middle",
     .offset = offsetof(cli_data_arguments, crop),
     .low = 1,
     .high = 32768},
    {.kind = CLI_REAL,
     .name = "low",
     .value = "F",
     .help = "smallest of the random values (0)",
     .offset = offsetof(cli_data_arguments, low),
     .low = -1e30,
     .high = 1e30},
    {.kind = CLI_REAL,
     .name = "high",
     .value = "F",
     .help = "bound of the random values, itself left out (1)",
     .offset = offsetof(cli_data_arguments, high),
     .low = -1e30,
     .high = 1e30},
    {.kind = CLI_END}};

const char cli_data_footer[] =
    "DATA is one of\n"
    "  glyphs        ten digit classes, built in: 20,000 to train on and\n"
    "                10,000 to test on\n"
    "  mnist:DIR     MNIST's four IDX files, .gz or not\n"
    "  cifar10:DIR   CIFAR-10's binary files, .gz or not\n"
    "  images:PATH   JPEG and PNG: one picture; a folder with val.txt (file and\n"
    "                class index a line) or with a folder for each class\n"
    "  npz:FILE      arrays x and, if there, y: classes (integers) or\n"
    "                target values (floats)\n"
    "  npy:FILE      one array, unlabelled\n"
    "  random[:N]    N (64) samples of the network's input shape";

tdsnn_status cli_failed(tdsnn_context *ctx, tdsnn_status status) {
    const char *hint =
        status == TDSNN_ERR_CANCELLED ? "; nothing was written, run it again to start over" : "";
    cli_error("%s%s", tdsnn_last_error(ctx), hint);
    return status;
}

tdsnn_status cli_load_model(tdsnn_context *ctx, const cli_arguments *arguments,
                            tdsnn_model **model) {
    if (arguments->model == NULL) {
        cli_error("a model is missing: give the path of an ONNX file");
        return TDSNN_ERR_USAGE;
    }
    tdsnn_status status = tdsnn_model_load_sized(ctx, arguments->model, arguments->shape, model);
    return status == TDSNN_OK ? TDSNN_OK : cli_failed(ctx, status);
}

bool cli_output_exists(const char *path, bool force) {
    struct stat info;
    if (stat(path, &info) != 0 || (force && S_ISREG(info.st_mode))) {
        return false;
    }
    if (!S_ISREG(info.st_mode)) {
        cli_error("%s: is %s and is not replaced; give a file's name", path,
                  S_ISDIR(info.st_mode) ? "a folder" : "no regular file");
        return true;
    }
    cli_error("%s: exists already; give --force to replace it, or another name", path);
    return true;
}

/* What a converted file carries, or NULL; a network that is yet to be made carries nothing. */
static const char *recorded(const tdsnn_model *model, const char *key) {
    return model == NULL ? NULL : tdsnn_model_metadata(model, key);
}

/* The scale to open data with: that of the converted file, unless another one was given. */
static tdsnn_status choose_scale(const cli_arguments *arguments, const tdsnn_model *model,
                                 double given, double *scale) {
    const char *text = recorded(model, "tdsnn.scale");
    double needed = text == NULL ? 0.0 : strtod(text, NULL);
    *scale = given == 0.0 ? needed : given;
    if (needed > 0.0 && given != 0.0 && given != needed) {
        cli_error("%s: was converted for data of scale %s, and --scale %s was given: leave --scale "
                  "out, or convert again",
                  arguments->model, cli_fraction(needed).s, cli_fraction(given).s);
        return TDSNN_ERR_USAGE;
    }
    return TDSNN_OK;
}

/* The numbers that a converted file carries under `key`, separated by commas; none: count 0. */
static cli_list recorded_list(const tdsnn_model *model, const char *key) {
    cli_list list = {0};
    const char *text = recorded(model, key);
    while (text != NULL && list.count < TDSNN_MAX_NORMALISED) {
        char *end;
        list.values[list.count] = strtod(text, &end);
        list.count += end != text;
        text = *end == ',' && end != text ? end + 1 : NULL;
    }
    return list;
}

/* As float32, which is what is computed with. */
static bool same_list(const cli_list *a, const cli_list *b) {
    bool same = a->count == b->count;
    for (int i = 0; same && i < a->count; i++) {
        same = (float)a->values[i] == (float)b->values[i];
    }
    return same;
}

/* Says so where the network begins by normalising: twice is a mistake, and a costly one. */
static void warn_of_two(const cli_arguments *arguments, const tdsnn_model *model) {
    tdsnn_node_info first = {0};
    if (model != NULL && tdsnn_model_node_count(model) > 0) {
        first = tdsnn_model_node(model, 0);
    }
    if (first.op != NULL && strcmp(first.op, "Sub") == 0) {
        cli_warning(
            "%s normalises its input itself (node '%s'): --mean and --std come on top of it",
            arguments->model, first.name);
    }
}

/* The mean and standard deviation: those of the converted file, unless others were given. */
static tdsnn_status choose_normalisation(const cli_arguments *arguments, const tdsnn_model *model,
                                         const cli_data_arguments *given,
                                         tdsnn_data_options *options) {
    bool converted = recorded(model, "tdsnn.layout") != NULL;
    cli_list mean = recorded_list(model, "tdsnn.mean"), std = recorded_list(model, "tdsnn.std");
    if (given->mean.count != given->std.count) {
        cli_error("--mean and --std belong together: give both, with as many numbers");
        return TDSNN_ERR_USAGE;
    }
    if (converted && given->mean.count > 0 &&
        (!same_list(&mean, &given->mean) || !same_list(&std, &given->std))) {
        cli_error("%s: was converted with %s --mean and --std: leave them out, or convert again",
                  arguments->model, mean.count == 0 ? "no" : "another");
        return TDSNN_ERR_USAGE;
    }
    if (!converted) {
        mean = given->mean;
        std = given->std;
    }
    if (!converted && mean.count > 0) {
        warn_of_two(arguments, model);
    }
    options->channels_normalised = mean.count < std.count ? mean.count : std.count;
    for (int i = 0; i < options->channels_normalised; i++) {
        options->mean[i] = (float)mean.values[i];
        options->std[i] = (float)std.values[i];
    }
    return TDSNN_OK;
}

/* A size that pictures are brought to: that of the converted file, unless one was given. */
static tdsnn_status choose_size(const cli_arguments *arguments, const tdsnn_model *model,
                                const char *option, int given, int *size) {
    char key[32];
    snprintf(key, sizeof key, "tdsnn.%s", option);
    const char *text = recorded(model, key);
    int needed = text == NULL ? 0 : atoi(text);
    *size = given == 0 && needed > 0 ? needed : given;
    if (needed > 0 && given != 0 && given != needed) {
        cli_error("%s: was converted with --%s %d, and --%s %d was given: leave it out, or convert "
                  "again",
                  arguments->model, option, needed, option, given);
        return TDSNN_ERR_USAGE;
    }
    return TDSNN_OK;
}

tdsnn_status cli_open_data(tdsnn_context *ctx, const cli_arguments *arguments,
                           const tdsnn_model *model, const char *spec, tdsnn_split split,
                           const cli_data_arguments *given, tdsnn_data **data) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_model_shape shape = {0};
    tdsnn_status status = model == NULL ? TDSNN_OK : tdsnn_model_get_shape(ctx, model, &shape);
    if (status != TDSNN_OK) {
        return cli_failed(ctx, status);
    }
    status = choose_scale(arguments, model, given->scale, &options.scale);
    if (status == TDSNN_OK) {
        status = choose_normalisation(arguments, model, given, &options);
    }
    if (status == TDSNN_OK) {
        status = choose_size(arguments, model, "resize", given->resize, &options.resize);
    }
    if (status == TDSNN_OK) {
        status = choose_size(arguments, model, "crop", given->crop, &options.crop);
    }
    if (status != TDSNN_OK) {
        return status;
    }
    options.split = split;
    options.layout = (tdsnn_layout)given->layout;
    options.seed = arguments->seed;
    options.low = (float)given->low;
    options.high = (float)given->high;
    memcpy(options.shape, shape.input, sizeof options.shape);
    status = tdsnn_data_open(ctx, spec, &options, data);
    return status == TDSNN_OK ? TDSNN_OK : cli_failed(ctx, status);
}

cli_sentence cli_describe_data(const tdsnn_data *data, tdsnn_split split, size_t count) {
    cli_sentence sentence;
    tdsnn_data_info info = tdsnn_data_get_info(data);
    const char *kind = !info.has_splits ? "" : split == TDSNN_SPLIT_TRAIN ? "training " : "test ";
    size_t used = count == 0 || count > info.samples ? info.samples : count;
    bool random = strncmp(info.spec, "random", 6) == 0; /* made in the network's own unit */
    snprintf(sentence.s, sizeof sentence.s, "%s%s %ssample%s of %s%s%s%s",
             used < info.samples ? "the first " : "", cli_count(used).s, kind, used == 1 ? "" : "s",
             info.spec, random ? "" : ", scale ", random ? "" : cli_fraction(info.scale).s,
             info.channels_normalised > 0 ? ", normalised" : "");
    return sentence;
}
