/* What the commands share: their arguments, a context that talks to the terminal, data. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <tdsnn/tdsnn.h>

#include "options.h"
#include "terminal.h"

/* Options of every command, and its operand: the first member of each command's arguments. */
typedef struct cli_arguments {
    const char *model, *shape;
    int threads;
    uint64_t seed;
    bool json, quiet, verbose, help, version;
} cli_arguments;
extern const cli_option cli_common_options[];
#define CLI_COMMON_GROUP                                                                           \
    { "Options of every command", cli_common_options, 0, NULL }

/* A command. */
typedef struct cli_command {
    cli_syntax syntax;
    size_t arguments_size;
    const void *defaults;
    /* Runs it and gives the exit code; errors have been printed. */
    tdsnn_status (*run)(tdsnn_context *ctx, const void *arguments);
} cli_command;
extern const cli_command cli_info, cli_convert, cli_eval, cli_verify, cli_bench, cli_tune,
    cli_train;

/* Options of commands that read data. */
typedef struct cli_data_arguments {
    double scale; /* 0: not given */
    double low, high;
    cli_list mean, std;
    int layout; /* a tdsnn_layout */
    int resize, crop;
} cli_data_arguments;
#define CLI_DATA_DEFAULTS                                                                          \
    { .high = 1.0 }
extern const cli_option cli_data_options[];
extern const char cli_data_footer[];

/* Prints the context's last error and gives the status back. */
tdsnn_status cli_failed(tdsnn_context *ctx, tdsnn_status status);

/* Reads the model that the arguments name. Errors: printed; TDSNN_ERR_USAGE if they name none. */
tdsnn_status cli_load_model(tdsnn_context *ctx, const cli_arguments *arguments,
                            tdsnn_model **model);

/* Whether a file cannot be written because something is there; then with a message. Known to fail
 * at the end: said before the work, not after it. */
bool cli_output_exists(const char *path, bool force);

/* Opens data for a model: random data of its input's shape, and of the scale and normalisation that
 * a converted file was made with. model NULL: for one that is yet to be made. Errors: printed;
 * TDSNN_ERR_USAGE if others were given. */
tdsnn_status cli_open_data(tdsnn_context *ctx, const cli_arguments *arguments,
                           const tdsnn_model *model, const char *spec, tdsnn_split split,
                           const cli_data_arguments *options, tdsnn_data **data);

/* "10,000 test samples of glyphs, scale 1/255"; `count` of them are used, 0: all. */
typedef struct cli_sentence {
    char s[512];
} cli_sentence;
cli_sentence cli_describe_data(const tdsnn_data *data, tdsnn_split split, size_t count);

#endif
