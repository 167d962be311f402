/* The command-line tool: finds the command, reads its arguments, runs it. */
#include <stdlib.h>
#include <string.h>

#include "command.h"

static const cli_command *const commands[] = {&cli_info,   &cli_convert, &cli_tune, &cli_train,
                                              &cli_verify, &cli_eval,    &cli_bench};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_overview(void) {
    printf("tdsnn turns a trained network into a spiking one, proves that it computes the same,\n"
           "and counts what it costs.\n"
           "\n"
           "Examples:\n"
           "  tdsnn info lenet.onnx\n"
           "  tdsnn convert lenet.onnx -o lenet.snn.onnx --steps 7 --calibrate glyphs\n"
           "  tdsnn tune lenet.onnx -o lenet.tuned.onnx --steps 3 --data glyphs\n"
           "  tdsnn verify lenet.snn.onnx --data glyphs\n"
           "  tdsnn eval lenet.snn.onnx --data glyphs --against lenet.onnx\n"
           "  tdsnn bench lenet.snn.onnx --data glyphs\n"
           "\n"
           "Commands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        printf("  %-10s%s\n", commands[i]->syntax.name, commands[i]->syntax.summary);
    }
    printf(
        "\n"
        "'tdsnn COMMAND --help' shows a command's examples and options.\n"
        "Exit codes: 0 done, 1 failed at run time, 2 wrong usage, 3 bad input, 4 the model needs\n"
        "something unsupported, 5 a check failed, 130 interrupted.\n");
}

static const cli_command *find_command(const char *name) {
    const char *names[COMMAND_COUNT];
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        names[i] = commands[i]->syntax.name;
        if (strcmp(names[i], name) == 0) {
            return commands[i];
        }
    }
    const char *nearest = cli_nearest(name, names, COMMAND_COUNT);
    cli_error("tdsnn has no command '%s'%s%s; 'tdsnn help' lists them all", name,
              nearest == NULL ? "" : ", but ", nearest == NULL ? "" : nearest);
    return NULL;
}

/* Whether an option that works in any company is there. */
static bool has(int count, char **words, const char *name, const char *letter) {
    for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++) {
        if (strcmp(words[i], name) == 0 || strcmp(words[i], letter) == 0) {
            return true;
        }
    }
    return false;
}

static void on_warning(void *user, const char *sentence) {
    (void)user;
    cli_warning("%s", sentence);
}

/* With a context that the arguments have set up. */
static tdsnn_status run_in_context(const cli_command *command, const cli_arguments *arguments) {
    tdsnn_context *ctx = tdsnn_context_create();
    if (ctx == NULL) {
        cli_error("no memory");
        return TDSNN_ERR_RUNTIME;
    }
    cli_progress progress = {.shown = !arguments->quiet && cli_progress_possible()};
    tdsnn_set_progress(ctx, cli_progress_update, &progress);
    if (!arguments->quiet) {
        tdsnn_set_warning(ctx, on_warning, NULL);
    }
    tdsnn_status status = tdsnn_set_threads(ctx, arguments->threads);
    status = status == TDSNN_OK ? command->run(ctx, arguments) : cli_failed(ctx, status);
    tdsnn_context_destroy(ctx);
    return status;
}

static tdsnn_status run_command(const cli_command *command, int count, char **words) {
    if (has(count, words, "--help", "-h")) {
        cli_help(&command->syntax);
        return TDSNN_OK;
    }
    cli_arguments *arguments = malloc(command->arguments_size);
    if (arguments == NULL) {
        cli_error("no memory");
        return TDSNN_ERR_RUNTIME;
    }
    memcpy(arguments, command->defaults, command->arguments_size);
    const char *model;
    tdsnn_status status = TDSNN_ERR_USAGE;
    if (cli_parse(&command->syntax, count, words, arguments, &model)) {
        arguments->model = model;
        status = run_in_context(command, arguments);
    }
    free(arguments);
    return status;
}

static tdsnn_status run(int count, char **words) {
    bool help = count > 0 && strcmp(words[0], "help") == 0;
    if (has(count, words, "--version", "--version")) {
        printf("tdsnn %s\n", tdsnn_version());
        return TDSNN_OK;
    }
    if (count == 0 || (help && count == 1) || strcmp(words[0], "--help") == 0 ||
        strcmp(words[0], "-h") == 0) {
        print_overview();
        return TDSNN_OK;
    }
    const cli_command *command = find_command(words[help]);
    if (command == NULL) {
        return TDSNN_ERR_USAGE;
    }
    if (help) {
        cli_help(&command->syntax);
        return TDSNN_OK;
    }
    return run_command(command, count - 1, words + 1);
}

int main(int argc, char **argv) {
    cli_catch_interrupts();
    tdsnn_status status = run(argc - 1, argv + 1);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == TDSNN_OK) {
        cli_error("stdout cannot be written");
        status = TDSNN_ERR_RUNTIME;
    }
    return (int)status;
}
