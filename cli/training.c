#include "training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const cli_training_arguments cli_training_defaults = {.data_options = CLI_DATA_DEFAULTS,
                                                      .rounding = -1,
                                                      .offset = -1,
                                                      .momentum = -1.0,
                                                      .weight_decay = -1.0};

/* -------------------------------------------------------------------------------------- options
 */

#define FIELD(name) offsetof(cli_training_arguments, name)

const cli_option cli_training_options[] = {
    {.kind = CLI_TEXT,
     .name = "data",
     .value = "DATA",
     .help = "its training samples; some are held out to choose the\n"
             "best epoch, the test samples are never read",
     .offset = FIELD(data),
     .required = true},
    {.kind = CLI_TEXT,
     .name = "output",
     .letter = 'o',
     .value = "OUT",
     .help = "the file to write; it has the best network so far at\n"
             "any time",
     .offset = FIELD(output),
     .required = true},
    {.kind = CLI_INT,
     .name = "epochs",
     .value = "N",
     .help = "how often all samples are seen (10)",
     .offset = FIELD(epochs),
     .low = 1,
     .high = 100000},
    {.kind = CLI_SIZE,
     .name = "holdout",
     .value = "N",
     .help = "samples held out (a tenth, 5,000 at most)",
     .offset = FIELD(holdout)},
    {.kind = CLI_SIZE,
     .name = "limit",
     .value = "N",
     .help = "the first N training samples; 0: all (0)",
     .offset = FIELD(limit)},
    {.kind = CLI_TEXT,
     .name = "log",
     .value = "F",
     .help = "write a line an epoch, .csv or .jsonl",
     .offset = FIELD(log)},
    {.kind = CLI_TEXT,
     .name = "checkpoint",
     .value = "F.npz",
     .help = "what --resume goes on from (OUT with .checkpoint.npz);\n"
             "written after each epoch and every ten minutes",
     .offset = FIELD(checkpoint)},
    {.kind = CLI_FLAG,
     .name = "resume",
     .help = "go on from the checkpoint, as if nothing had happened;\n"
             "with the options of before",
     .offset = FIELD(resume)},
    {.kind = CLI_FLAG,
     .name = "force",
     .help = "replace OUT, log and checkpoint if they exist",
     .offset = FIELD(force)},
    {.kind = CLI_END}};

const cli_option cli_training_code_options[] = {
    {.kind = CLI_INT,
     .name = "steps",
     .value = "K",
     .help = "window of the hidden layers: spike times 0 to K",
     .offset = FIELD(steps),
     .low = 1,
     .high = TDSNN_MAX_STEPS},
    {.kind = CLI_REAL,
     .name = "leak",
     .value = "L|auto",
     .help = "leak of the hidden layers, in steps (2 K, at offset 1 K/3);\n"
             "auto: of K/4, K/2, K, 2 K and 4 K the one that\n"
             "converts best",
     .offset = FIELD(leak),
     .low = 0.01,
     .high = TDSNN_MAX_LEAK,
     .word = "auto",
     .word_value = -1},
    {.kind = CLI_INT,
     .name = "input-steps",
     .value = "K|analog",
     .help = "window of the input (127); analog: the first layer reads\n"
             "real values and does not spike",
     .offset = FIELD(input_steps),
     .low = 1,
     .high = TDSNN_MAX_STEPS,
     .word = "analog",
     .word_value = -1},
    {.kind = CLI_REAL,
     .name = "input-leak",
     .value = "L",
     .help = "leak of the input, in steps (twice its window)",
     .offset = FIELD(input_leak),
     .low = 0.01,
     .high = TDSNN_MAX_LEAK},
    {.kind = CLI_CHOICE,
     .name = "rounding",
     .value = "nearest|ceil",
     .help = "how values become spike times (nearest); ceil: the paper's",
     .offset = FIELD(rounding)},
    {.kind = CLI_CHOICE,
     .name = "offset",
     .value = "0|1",
     .help = "value of a spike at 0 (0); 1: the paper's activation",
     .offset = FIELD(offset)},
    {.kind = CLI_FLAG,
     .name = "equalise",
     .help = "begin with a scale for each channel, put into the weights\n"
             "(not with offset 1)",
     .offset = FIELD(equalise)},
    {.kind = CLI_FLAG,
     .name = "correct-biases",
     .help = "begin with biases less what rounding adds",
     .offset = FIELD(correct_biases)},
    {.kind = CLI_FLAG,
     .name = "fixed-scales",
     .help = "keep the scales as they are at the start; without it\n"
             "they are trained",
     .offset = FIELD(fixed_scales)},
    {.kind = CLI_FLAG,
     .name = "learn-thresholds",
     .help = "train thresholds one by one, not with their scale alone",
     .offset = FIELD(learn_thresholds)},
    {.kind = CLI_REAL,
     .name = "sparsity",
     .value = "F",
     .help = "the dial: how much a spike, and the more the later,\n"
             "weighs against the loss; 0: nothing, 1: much (0)",
     .offset = FIELD(sparsity),
     .low = 0.0,
     .high = 1000.0},
    {.kind = CLI_END}};

const cli_option cli_training_step_options[] = {
    {.kind = CLI_CHOICE,
     .name = "optimiser",
     .value = "sgd|adamw",
     .help = "what turns gradients into steps (sgd)",
     .offset = FIELD(optimiser)},
    {.kind = CLI_REAL,
     .name = "lr",
     .value = "F",
     .help = "the largest learning rate (0.05, to tune 0.005;\n"
             "adamw: 0.001)",
     .offset = FIELD(learning_rate),
     .low = 1e-9,
     .high = 1000.0},
    {.kind = CLI_CHOICE,
     .name = "schedule",
     .value = "cosine|step|constant",
     .help = "how it falls (cosine, to 0); step: to a tenth at 1/2,\n"
             "to a hundredth at 3/4",
     .offset = FIELD(schedule)},
    {.kind = CLI_REAL,
     .name = "warmup",
     .value = "EPOCHS",
     .help = "how long it rises from 0 first (0)",
     .offset = FIELD(warmup),
     .low = 0.0,
     .high = 100000.0},
    {.kind = CLI_INT,
     .name = "batch",
     .value = "N",
     .help = "samples a step (128)",
     .offset = FIELD(batch),
     .low = 1,
     .high = 65536},
    {.kind = CLI_REAL,
     .name = "momentum",
     .value = "F",
     .help = "of sgd; 0: none (0.9)",
     .offset = FIELD(momentum),
     .low = 0.0,
     .high = 0.9999},
    {.kind = CLI_REAL,
     .name = "weight-decay",
     .value = "F",
     .help = "of weights; 0: none (0.0005, to tune 0.0001;\n"
             "adamw: 0.01)",
     .offset = FIELD(weight_decay),
     .low = 0.0,
     .high = 10.0},
    {.kind = CLI_REAL,
     .name = "clip",
     .value = "F",
     .help = "the largest norm of a step's gradients; 0: any (0)",
     .offset = FIELD(clip),
     .low = 0.0,
     .high = 1e9},
    {.kind = CLI_FLAG,
     .name = "flip",
     .help = "mirror pictures at random, left and right",
     .offset = FIELD(flip)},
    {.kind = CLI_INT,
     .name = "shift",
     .value = "N",
     .help = "move them at random by up to N pixels either way (0)",
     .offset = FIELD(shift),
     .low = 0,
     .high = 10000},
    {.kind = CLI_FLAG,
     .name = "mixup",
     .help = "mix each sample with another one, of which it keeps a half\n"
             "to all",
     .offset = FIELD(mixup)},
    {.kind = CLI_CHOICE,
     .name = "norm",
     .value = "auto|folded|live",
     .help = "batch-norm while training; it is in the weights at the\n"
             "end (auto: live in networks of six and more layers)",
     .offset = FIELD(norm)},
    {.kind = CLI_REAL,
     .name = "distill",
     .value = "F",
     .help = "share of the loss that is the distance to the teacher's\n"
             "outputs, 0 to 1 (0)",
     .offset = FIELD(distill),
     .low = 0.0,
     .high = 1.0},
    {.kind = CLI_TEXT,
     .name = "teacher",
     .value = "MODEL",
     .help = "a plain network to learn from (MODEL itself, where it is\n"
             "a plain one that is tuned)",
     .offset = FIELD(teacher)},
    {.kind = CLI_REAL,
     .name = "temperature",
     .value = "F",
     .help = "of both outputs then (4)",
     .offset = FIELD(temperature),
     .low = 0.01,
     .high = 1000.0},
    {.kind = CLI_END}};

const char *cli_training_code_option(const cli_training_arguments *a) {
    const struct {
        bool given;
        const char *name;
    } all[] = {{a->leak != 0.0, "leak"},
               {a->input_steps != 0, "input-steps"},
               {a->input_leak != 0.0, "input-leak"},
               {a->rounding >= 0, "rounding"},
               {a->offset >= 0, "offset"},
               {a->equalise, "equalise"},
               {a->correct_biases, "correct-biases"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].given) {
            return all[i].name;
        }
    }
    return NULL;
}

static tdsnn_convert_options codes_of(const cli_training_arguments *a) {
    tdsnn_convert_options o = TDSNN_CONVERT_OPTIONS_INIT;
    o.steps = a->steps;
    o.leak = a->leak;
    o.input_steps = a->input_steps;
    o.input_leak = a->input_leak;
    o.rounding = a->rounding == 1 ? TDSNN_ROUND_CEIL : TDSNN_ROUND_NEAREST;
    o.offset = a->offset == 1;
    o.equalise = a->equalise;
    o.correct_biases = a->correct_biases;
    o.seed = a->base.seed;
    return o;
}

/* Where -1 was not given, and 0 means none. */
static double or_none(double given) {
    return given < 0.0 ? 0.0 : given == 0.0 ? -1.0 : given;
}

static tdsnn_train_options options_of(const cli_training_arguments *a) {
    tdsnn_train_options o = TDSNN_TRAIN_OPTIONS_INIT;
    o.epochs = a->epochs;
    o.batch = a->batch;
    o.optimiser = (tdsnn_optimiser)a->optimiser;
    o.learning_rate = a->learning_rate;
    o.momentum = or_none(a->momentum);
    o.weight_decay = or_none(a->weight_decay);
    o.schedule = (tdsnn_schedule)a->schedule;
    o.warmup = a->warmup;
    o.clip = a->clip;
    o.flip = a->flip;
    o.shift = a->shift;
    o.mixup = a->mixup;
    o.norm = (tdsnn_norm)a->norm;
    o.fixed_scales = a->fixed_scales;
    o.learn_thresholds = a->learn_thresholds;
    o.sparsity = a->sparsity;
    o.distill = a->distill;
    o.temperature = a->temperature;
    o.holdout = a->holdout;
    o.limit = a->limit;
    o.seed = a->base.seed;
    o.log = a->log;
    o.resume = a->resume;
    o.force = a->force;
    return o;
}

/* -------------------------------------------------------------------------------- what is written
 */

/* A path of the command's own. */
typedef struct path_text {
    char s[4096];
} path_text;

/* The checkpoint's: OUT, its .onnx taken off, with .checkpoint.npz. */
static path_text checkpoint_of(const cli_training_arguments *a) {
    path_text path;
    if (a->checkpoint != NULL) {
        snprintf(path.s, sizeof path.s, "%s", a->checkpoint);
        return path;
    }
    size_t length = strlen(a->output);
    bool onnx = length > 5 && strcmp(a->output + length - 5, ".onnx") == 0;
    snprintf(path.s, sizeof path.s, "%.*s.checkpoint.npz", (int)(onnx ? length - 5 : length),
             a->output);
    return path;
}

bool cli_training_check(const cli_training_arguments *a) {
    if (a->learn_thresholds && a->fixed_scales) {
        cli_error("--learn-thresholds and --fixed-scales exclude each other");
        return false;
    }
    if (a->temperature != 0.0 && a->distill == 0.0) {
        cli_error("--temperature is that of --distill F, which is missing");
        return false;
    }
    if (a->teacher != NULL && a->distill == 0.0) {
        cli_error("--teacher wants --distill F, the share of the loss that it gives");
        return false;
    }
    if (a->resume && access(checkpoint_of(a).s, F_OK) != 0) {
        cli_error("%s: there is no checkpoint to go on from; start without --resume",
                  checkpoint_of(a).s);
        return false;
    }
    /* What is resumed belongs to the run of before. */
    bool force = a->force || a->resume;
    return !cli_output_exists(a->output, force) && !cli_output_exists(checkpoint_of(a).s, force) &&
           (a->log == NULL || !cli_output_exists(a->log, force));
}

/* What is known of a run while it goes on. */
typedef struct watcher {
    const cli_training_arguments *arguments;
    const tdsnn_data *data;
    bool tuned;
    tdsnn_epoch *epochs;
    int count, capacity;
    bool saved; /* OUT is there, from this run */
} watcher;

static tdsnn_status save_best(void *user, tdsnn_context *ctx, const tdsnn_model *model) {
    watcher *w = user;
    const cli_training_arguments *a = w->arguments;
    bool force = a->force || a->resume || w->saved;
    tdsnn_status status = tdsnn_model_save(ctx, model, a->output, force);
    w->saved = w->saved || status == TDSNN_OK;
    return status;
}

static void keep_epoch(watcher *w, const tdsnn_epoch *epoch) {
    if (w->count == w->capacity) {
        w->capacity = w->capacity == 0 ? 64 : 2 * w->capacity;
        tdsnn_epoch *grown = realloc(w->epochs, (size_t)w->capacity * sizeof *grown);
        if (grown == NULL) {
            cli_error("no memory for a table");
            exit(TDSNN_ERR_RUNTIME);
        }
        w->epochs = grown;
    }
    w->epochs[w->count++] = *epoch;
}

/* ----------------------------------------------------------------------------------- the report */

static cli_text number_text(double value, const char *format) {
    cli_text text = {"-"};
    if (isfinite(value)) {
        snprintf(text.s, sizeof text.s, format, value);
    }
    return text;
}

/* Printed as they come, so that the columns are of fixed width. */
#define ROW "%7s  %8s  %8s  %9s  %9s  %7s  %9s  %8s  %9s"

static void print_start(const watcher *w) {
    const cli_training_arguments *a = w->arguments;
    printf("%s -> %s: %s on %s\n", cli_base_name(a->base.model), cli_base_name(a->output),
           w->tuned ? "tuned" : "trained",
           cli_describe_data(w->data, TDSNN_SPLIT_TRAIN, a->limit).s);
    if (a->steps > 0) {
        printf("windows of %d steps, %s, offset %d\n", a->steps,
               a->rounding == 1 ? "rounded up" : "rounded to nearest", a->offset == 1);
    }
    printf("\n");
    cli_styled(stdout, CLI_BOLD, ROW, "epoch", "loss", "held out", "top-1", "held out", "spikes",
               "rate", "images/s", "time");
    printf("\n");
}

static void print_epoch(const tdsnn_epoch *e) {
    char which[32];
    snprintf(which, sizeof which, "%d/%d", e->epoch, e->epochs);
    cli_styled(stdout, e->best ? CLI_GOOD : CLI_PLAIN, ROW "%s", which,
               number_text(e->loss, "%.4f").s, number_text(e->held_out_loss, "%.4f").s,
               cli_percent(e->train_percent).s, cli_percent(e->held_out_percent).s,
               number_text(e->spikes_per_neuron > 0.0 ? e->spikes_per_neuron : NAN, "%.4f").s,
               number_text(e->learning_rate, "%.3g").s, cli_mean(e->images_per_second).s,
               cli_seconds(e->seconds).s, e->best ? "  best" : "");
    printf("\n");
    fflush(stdout);
}

static void on_epoch(void *user, const tdsnn_epoch *epoch) {
    watcher *w = user;
    keep_epoch(w, epoch);
    if (w->arguments->base.json) {
        return;
    }
    cli_progress_wipe();
    if (w->count == 1) {
        print_start(w);
    }
    print_epoch(epoch);
}

static void print_end(const watcher *w, bool source, const tdsnn_train_report *r) {
    const cli_training_arguments *a = w->arguments;
    const tdsnn_epoch *best = &r->best;
    bool labelled = isfinite(best->held_out_percent);
    printf("%sThe best of %d epochs is %d: ", w->count > 0 ? "\n" : "", r->epochs, best->epoch);
    if (labelled) {
        printf("%s", cli_percent(best->held_out_percent).s);
    } else {
        printf("loss %.4g", best->held_out_loss);
    }
    printf(" on %s samples held out.\n", cli_count(r->held_out_samples).s);
    if (isfinite(r->start_percent)) {
        printf("Before the first step: %s.\n", cli_percent(r->start_percent).s);
    }
    if (isfinite(r->source_percent)) {
        printf("The %s: %s.\n", a->teacher != NULL ? "teacher" : "source",
               cli_percent(r->source_percent).s);
    }
    printf("Next: tdsnn eval %s --data %s%s%s\n", a->output, a->data, source ? " --against " : "",
           source ? a->base.model : "");
    if (w->tuned || a->steps > 0) {
        printf("      tdsnn verify %s --data %s\n", a->output, a->data);
    } else {
        printf("      tdsnn tune %s -o OUT --steps K --data %s\n", a->output, a->data);
    }
}

/* ------------------------------------------------------------------------------------- the run */

/* Whether a file was written since. */
static bool written_since(const char *path, time_t start) {
    struct stat info;
    return stat(path, &info) == 0 && info.st_mtime >= start;
}

/* What went wrong, what is there nevertheless, how to go on. */
static void say_failure(tdsnn_context *ctx, const watcher *w, tdsnn_status status, time_t start) {
    const cli_training_arguments *a = w->arguments;
    path_text checkpoint = checkpoint_of(a);
    bool resumable = (status == TDSNN_ERR_CANCELLED || status == TDSNN_ERR_RUNTIME) &&
                     written_since(checkpoint.s, start);
    char best[4200] = "", resume[4300] = "";
    if (w->saved) {
        snprintf(best, sizeof best, "; %s has the best network so far", a->output);
    } else if (status == TDSNN_ERR_CANCELLED && !a->resume) {
        snprintf(best, sizeof best, "; no network was written yet");
    }
    if (resumable) {
        snprintf(resume, sizeof resume, "; the same command with --resume goes on from %s",
                 checkpoint.s);
    }
    cli_error("%s%s%s", tdsnn_last_error(ctx), best, resume);
}

static tdsnn_status report(tdsnn_context *ctx, const watcher *w, bool source,
                           const tdsnn_train_report *r) {
    const cli_training_arguments *a = w->arguments;
    if (!a->base.json) {
        print_end(w, source, r);
        return TDSNN_OK;
    }
    tdsnn_status status =
        tdsnn_report_train(ctx, w->tuned, r, w->epochs, w->count, a->base.seed, stdout);
    return status == TDSNN_OK ? TDSNN_OK : cli_failed(ctx, status);
}

static tdsnn_status run(tdsnn_context *ctx, const cli_training_arguments *a, bool tuned,
                        const tdsnn_model *model, const tdsnn_model *teacher,
                        const tdsnn_data *data) {
    watcher w = {.arguments = a, .data = data, .tuned = tuned};
    path_text checkpoint = checkpoint_of(a);
    tdsnn_convert_options codes = codes_of(a);
    tdsnn_train_options o = options_of(a);
    const tdsnn_convert_options *convert = a->steps > 0 ? &codes : NULL;
    tdsnn_model *trained = NULL;
    tdsnn_train_report r = {0};
    time_t start = time(NULL);
    o.teacher = teacher;
    o.checkpoint = checkpoint.s;
    o.on_epoch = on_epoch;
    o.on_best = save_best;
    o.on_epoch_user = o.on_best_user = &w;
    tdsnn_status status = tuned ? tdsnn_tune(ctx, model, data, convert, &o, &trained, &r)
                                : tdsnn_train(ctx, model == NULL ? a->base.model : NULL, model,
                                              data, convert, &o, &trained, &r);
    if (status != TDSNN_OK) {
        say_failure(ctx, &w, status, start);
    } else if (!w.saved && save_best(&w, ctx, trained) != TDSNN_OK) {
        status = cli_failed(ctx, TDSNN_ERR_RUNTIME); /* resumed, and its best is of before */
    } else {
        bool source = tuned && !tdsnn_model_is_spiking(model);
        status = report(ctx, &w, source, &r);
    }
    tdsnn_model_destroy(trained);
    free(w.epochs);
    return status;
}

tdsnn_status cli_training_run(tdsnn_context *ctx, const cli_training_arguments *a, bool tuned,
                              const tdsnn_model *model) {
    tdsnn_data *data = NULL;
    tdsnn_model *teacher = NULL;
    tdsnn_status status =
        cli_open_data(ctx, &a->base, model, a->data, TDSNN_SPLIT_TRAIN, &a->data_options, &data);
    if (status == TDSNN_OK && a->teacher != NULL) {
        cli_arguments other = a->base;
        other.model = a->teacher;
        status = cli_load_model(ctx, &other, &teacher);
    }
    if (status != TDSNN_OK) {
        tdsnn_data_close(data);
        return status;
    }
    if (!a->base.quiet && !tdsnn_data_get_info(data).has_splits) {
        cli_warning("%s has no training split: do not measure accuracy on the samples that are "
                    "trained on",
                    a->data);
    }
    status = run(ctx, a, tuned, model, teacher, data);
    tdsnn_model_destroy(teacher);
    tdsnn_data_close(data);
    return status;
}
