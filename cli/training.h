/* What `tune` and `train` share: their options, the table of epochs, what is kept when they end. */
#ifndef CLI_TRAINING_H
#define CLI_TRAINING_H

#include "command.h"

/* The arguments of both. What was not given: 0, NULL, false, or as said. */
typedef struct cli_training_arguments {
    cli_arguments base;
    cli_data_arguments data_options;
    const char *data, *output, *log, *checkpoint, *teacher;
    int epochs, batch, steps, input_steps, shift;
    int optimiser, schedule, norm;
    int rounding, offset; /* -1 */
    double leak, input_leak;
    double learning_rate, warmup, clip, sparsity, distill, temperature;
    double momentum, weight_decay; /* -1 */
    size_t holdout, limit;
    bool resume, force, equalise, correct_biases, fixed_scales, learn_thresholds, flip, mixup;
} cli_training_arguments;
extern const cli_training_arguments cli_training_defaults;

/* The groups of options, all but those of every command. */
extern const cli_option cli_training_options[], cli_training_code_options[],
    cli_training_step_options[];
#define CLI_TRAINING_GROUPS                                                                        \
    {"Options", cli_training_options, 0, NULL},                                                    \
        {"Options of the codes", cli_training_code_options, 0, NULL},                              \
        {"Options of the training", cli_training_step_options, 0, NULL}, {                         \
        "Options of DATA", cli_data_options, offsetof(cli_training_arguments, data_options),       \
            cli_data_footer                                                                        \
    }

/* The first option that is about codes, apart from --steps; NULL if none was given. */
const char *cli_training_code_option(const cli_training_arguments *arguments);

/* Runs tdsnn_tune, or tdsnn_train: of `model`, or if that is NULL of the architecture that the
 * arguments name. Prints, writes the file, gives the exit code; errors have been printed. */
tdsnn_status cli_training_run(tdsnn_context *ctx, const cli_training_arguments *arguments,
                              bool tuned, const tdsnn_model *model);

/* Whether nothing is in the way of what will be written; otherwise with a message. */
bool cli_training_check(const cli_training_arguments *arguments);

#endif
