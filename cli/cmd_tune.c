#include "training.h"

/* A plain network gets windows, a converted one has them. */
static bool check_codes(const cli_training_arguments *a, const tdsnn_model *model) {
    const char *other = cli_training_code_option(a);
    if (tdsnn_model_is_spiking(model) && (a->steps > 0 || other != NULL)) {
        cli_error("%s: is converted already, its windows and leaks stay: leave out --%s",
                  a->base.model, a->steps > 0 ? "steps" : other);
        return false;
    }
    if (!tdsnn_model_is_spiking(model) && a->steps == 0) {
        cli_error("%s: is a plain network: give --steps K, the window of its hidden layers",
                  a->base.model);
        return false;
    }
    return true;
}

static tdsnn_status run(tdsnn_context *ctx, const void *given) {
    const cli_training_arguments *a = given;
    tdsnn_model *model = NULL;
    if (a->base.model != NULL && !cli_training_check(a)) {
        return TDSNN_ERR_USAGE;
    }
    tdsnn_status status = cli_load_model(ctx, &a->base, &model);
    if (status == TDSNN_OK && !check_codes(a, model)) {
        status = TDSNN_ERR_USAGE;
    }
    if (status == TDSNN_OK) {
        status = cli_training_run(ctx, a, true, model);
    }
    tdsnn_model_destroy(model);
    return status;
}

const cli_command cli_tune = {
    .syntax = {.name = "tune",
               .summary = "make a spiking network of a trained one by retraining it: few steps",
               .examples =
                   "tdsnn tune lenet.onnx -o lenet.snn.onnx --steps 3 --data mnist:DIR\n"
                   "tdsnn tune resnet.onnx -o resnet.snn.onnx --steps 7 --data cifar10:DIR "
                   "--flip --shift 4\n"
                   "tdsnn tune lenet.onnx -o sparse.onnx --steps 3 --data glyphs --sparsity 0.1\n"
                   "tdsnn tune lenet.snn.onnx -o better.onnx --data glyphs --lr 0.01",
               .usage = "MODEL -o OUT --data DATA --steps K [options]",
               .groups = {CLI_TRAINING_GROUPS, CLI_COMMON_GROUP}},
    .arguments_size = sizeof cli_training_defaults,
    .defaults = &cli_training_defaults,
    .run = run};
