#include <string.h>
#include <unistd.h>

#include "training.h"

/* "lenet, linear or ..." */
static cli_sentence architectures(void) {
    cli_sentence sentence = {""};
    const char *name;
    for (int i = 0; (name = tdsnn_architecture_at(i).name) != NULL; i++) {
        size_t used = strlen(sentence.s);
        snprintf(sentence.s + used, sizeof sentence.s - used, "%s%s", i > 0 ? ", " : "", name);
    }
    return sentence;
}

static bool is_architecture(const char *text) {
    const char *name;
    for (int i = 0; (name = tdsnn_architecture_at(i).name) != NULL; i++) {
        if (strcmp(name, text) == 0) {
            return true;
        }
    }
    return false;
}

/* Options of codes that there are none of. */
static bool check_codes(const cli_training_arguments *a) {
    const char *other = a->fixed_scales       ? "fixed-scales"
                        : a->learn_thresholds ? "learn-thresholds"
                        : a->sparsity > 0.0   ? "sparsity"
                                              : cli_training_code_option(a);
    if (a->steps == 0 && other != NULL) {
        cli_error("--%s is of codes, and without --steps K there are none", other);
        return false;
    }
    if (a->distill > 0.0 && a->teacher == NULL) {
        cli_error("--distill wants a network to learn from: give --teacher MODEL");
        return false;
    }
    return true;
}

/* A name that is neither an architecture's nor a file's. */
static bool check_name(const char *name) {
    if (name == NULL) {
        cli_error("a network is missing: give %s, or the path of an ONNX file", architectures().s);
        return false;
    }
    if (!is_architecture(name) && strchr(name, '.') == NULL && access(name, F_OK) != 0) {
        cli_error("'%s' is neither a file nor one of %s", name, architectures().s);
        return false;
    }
    return true;
}

static tdsnn_status run(tdsnn_context *ctx, const void *given) {
    const cli_training_arguments *a = given;
    if (!check_name(a->base.model) || !check_codes(a) || !cli_training_check(a)) {
        return TDSNN_ERR_USAGE;
    }
    tdsnn_model *model = NULL;
    tdsnn_status status =
        is_architecture(a->base.model) ? TDSNN_OK : cli_load_model(ctx, &a->base, &model);
    if (status == TDSNN_OK && model != NULL && tdsnn_model_is_spiking(model)) {
        cli_error("%s: is converted already; give the plain network, or tune it", a->base.model);
        status = TDSNN_ERR_USAGE;
    }
    if (status == TDSNN_OK) {
        status = cli_training_run(ctx, a, false, model);
    }
    tdsnn_model_destroy(model);
    return status;
}

const cli_command cli_train = {
    .syntax = {.name = "train",
               .summary = "train a network from nothing, with or without codes",
               .examples =
                   "tdsnn train lenet -o lenet.onnx --data mnist:DIR\n"
                   "tdsnn train resnet20 -o resnet.onnx --data cifar10:DIR --epochs 60 --flip "
                   "--shift 4\n"
                   "tdsnn train lenet -o paper.onnx --data mnist:DIR --steps 15 --offset 1 "
                   "--rounding ceil\n"
                   "tdsnn train net.onnx -o again.onnx --data npz:train.npz   # weights drawn anew",
               .usage = "ARCH|MODEL -o OUT --data DATA [options]\n"
                        "ARCH is lenet, linear, mlp, vgg11 or resnet20; MODEL an ONNX file, of\n"
                        "which only the shape is taken.",
               .groups = {CLI_TRAINING_GROUPS, CLI_COMMON_GROUP}},
    .arguments_size = sizeof cli_training_defaults,
    .defaults = &cli_training_defaults,
    .run = run};
