/* Whole trainings of a tiny network: it learns; the number of threads, and a stop in mid-epoch with
 * a resumption, change no bit; what cannot be trained is refused. */
#include <tdsnn/train.h>
#include <tdsnn/verify.h>

#include <math.h>
#include <string.h>

#include "base/context.h"
#include "data/array_writer.h"
#include "network/model.h"
#include "random_graph.h"
#include "scratch.h"
#include "tap.h"

enum { SAMPLES = 320, SIDE = 6, PIXELS = SIDE * SIDE, CLASSES = 4 };

static tdsnn_context *ctx;

static void bail_out(const char *where) {
    printf("Bail out! %s: %s\n", where, tdsnn_last_error(ctx));
    exit(1);
}

/* ---- Data: a bar at one of four places, in noise; its place as class, or as two targets. */

typedef enum kind { LABELLED, UNLABELLED, TARGETS, FLAT } kind;

static tdsnn_data *make_data(kind k) {
    static const char *const names[] = {"l.npz", "u.npz", "t.npz", "f.npz"};
    td_array_spec arrays[2] = {
        {.name = "x", .type = TD_ARRAY_FLOAT32, .rank = 3, .dims = {1, SIDE, SIDE}},
        {.name = "y", .type = TD_ARRAY_UINT8, .rank = 0}};
    td_array_writer *writer;
    char path[128], spec[160];
    if (k == TARGETS) {
        arrays[1] = (td_array_spec){.name = "y", .type = TD_ARRAY_FLOAT32, .rank = 1, .dims = {2}};
    }
    if (k == FLAT) {
        arrays[0].rank = 1;
        arrays[0].dims[0] = PIXELS;
    }
    strcpy(path, scratch_path(names[k]));
    if (td_npz_create(ctx, path, true, arrays, k == LABELLED || k == TARGETS ? 2 : 1, &writer) !=
        TDSNN_OK) {
        bail_out("data");
    }
    td_random random;
    td_random_seed(&random, 1, 1);
    for (int i = 0; i < SAMPLES; i++) {
        float values[PIXELS];
        uint8_t label = (uint8_t)(i % CLASSES);
        for (int p = 0; p < PIXELS; p++) {
            bool bar = label < 2 ? p / SIDE == 1 + 3 * label : p % SIDE == 1 + 3 * (label - 2);
            values[p] = (float)((bar ? 0.6 : 0.0) + 0.4 * td_random_uniform(&random));
        }
        td_array_append(writer, 0, values);
        if (k == LABELLED) {
            td_array_append(writer, 1, &label);
        } else if (k == TARGETS) {
            td_array_append(writer, 1, (float[]){(float)label, label == 2 ? 1.0f : -1.0f});
        }
    }
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    snprintf(spec, sizeof spec, "npz:%s", path);
    if (td_array_commit(writer) != TDSNN_OK ||
        tdsnn_data_open(ctx, spec, &options, &data) != TDSNN_OK) {
        bail_out("data");
    }
    return data;
}

/* ---- Networks. */

static tdsnn_model *finish(graph_maker *m) {
    tdsnn_model *model = NULL;
    if (td_model_create(ctx, m->graph, "tiny", &model) != TDSNN_OK) {
        bail_out("model");
    }
    return model;
}

static graph_maker start_graph(td_shape input) {
    graph_maker m = {.ctx = ctx, .graph = td_graph_create(ctx)};
    td_random_seed(&m.random, 3, 3);
    m.graph->input_name = "x";
    m.graph->output_name = "y";
    m.graph->batch_symbol = "N";
    append(&m, (td_node){.op = TD_OP_INPUT, .shape = input});
    return m;
}

/* A convolution, a pool, an inner product. */
static tdsnn_model *picture_model(int outputs, td_op neuron) {
    graph_maker m = start_graph((td_shape){1, SIDE, SIDE, false});
    td_axis same = {.kernel = 3, .stride = 1, .dilation = 1, .pad_begin = 1, .pad_end = 1};
    td_axis half = {.kernel = 2, .stride = 2, .dilation = 1};
    append_conv_of(&m, (td_shape){6, SIDE, SIDE, false}, (td_window){same, same}, 1);
    append(&m, (td_node){.op = neuron, .shape = shape_at(&m), .negative = 0.25f});
    append(&m, (td_node){.op = TD_OP_MAXPOOL,
                         .shape = {6, SIDE / 2, SIDE / 2, false},
                         .window = {half, half}});
    append_inner(&m, outputs);
    return finish(&m);
}

static tdsnn_model *autoencoder(void) {
    graph_maker m = start_graph((td_shape){PIXELS, 1, 1, true});
    append_inner(&m, 12);
    append(&m, (td_node){.op = TD_OP_RELU, .shape = shape_at(&m)});
    append_inner(&m, PIXELS);
    return finish(&m);
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    }
    return hash;
}

/* Every weight, bias and table. */
static uint64_t hash_model(const tdsnn_model *model) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < model->graph->node_count; i++) {
        const td_node *node = &model->graph->nodes[i];
        size_t each =
            node->input_count == 0 ? 0 : (size_t)model->graph->nodes[node->inputs[0]].shape.c;
        if (node->op == TD_OP_CONV) {
            each = each / (size_t)node->groups * 9; /* 3x3 all */
        }
        if (node->weights != NULL) {
            hash = hash_bytes(hash, node->weights, (size_t)node->shape.c * each * sizeof(float));
            hash = hash_bytes(hash, node->bias, (size_t)node->shape.c * sizeof(float));
        }
        if (node->code != NULL) {
            hash = hash_bytes(hash, node->code->thresholds, sizeof node->code->thresholds);
            hash = hash_bytes(hash, node->code->values, sizeof node->code->values);
        }
    }
    return hash;
}

/* ---- Trainings. */

typedef struct trial {
    tdsnn_train_options options;
    tdsnn_convert_options convert;
    bool plain;     /* no codes: trained with ReLU */
    bool from_none; /* trained from nothing, not tuned */
    tdsnn_train_report report;
    tdsnn_status status;
    tdsnn_model *model;
    double losses[32];
    int epochs;
} trial;

static void keep_epoch(void *user, const tdsnn_epoch *epoch) {
    trial *t = user;
    if (t->epochs < 32) {
        t->losses[t->epochs++] = epoch->loss;
    }
}

static trial make_trial(void) {
    trial t = {.options = TDSNN_TRAIN_OPTIONS_INIT, .convert = TDSNN_CONVERT_OPTIONS_INIT};
    t.options.epochs = 6;
    t.options.batch = 64;
    t.options.holdout = 64;
    t.options.learning_rate = 0.05;
    t.options.force = true;
    t.convert.steps = 3;
    t.convert.calibration_samples = 64;
    return t;
}

static void run_trial(trial *t, const tdsnn_model *model, const tdsnn_data *data) {
    t->epochs = 0;
    t->options.on_epoch = keep_epoch;
    t->options.on_epoch_user = t;
    t->status = t->from_none ? tdsnn_train(ctx, NULL, model, data, t->plain ? NULL : &t->convert,
                                           &t->options, &t->model, &t->report)
                             : tdsnn_tune(ctx, model, data,
                                          tdsnn_model_is_spiking(model) ? NULL : &t->convert,
                                          &t->options, &t->model, &t->report);
}

static bool proves(const tdsnn_model *model, const tdsnn_data *data) {
    tdsnn_verify_options options = TDSNN_VERIFY_OPTIONS_INIT;
    tdsnn_verify_result *result = NULL;
    options.limit = 3;
    bool passed = tdsnn_verify(ctx, model, data, &options, &result) == TDSNN_OK;
    if (!passed) {
        printf("# %s\n", tdsnn_last_error(ctx));
    }
    tdsnn_verify_result_free(result);
    return passed;
}

/* The loss falls, held-out samples are far above chance, and what comes out is proved. */
static void check_learning(const char *what, trial *t, const tdsnn_model *model,
                           const tdsnn_data *data) {
    run_trial(t, model, data);
    bool fine = ok(t->status == TDSNN_OK && t->model != NULL && t->epochs == t->options.epochs,
                   "%s: trained", what);
    if (!fine) {
        printf("# status %d, %s\n", t->status, tdsnn_last_error(ctx));
        return;
    }
    ok(t->losses[t->epochs - 1] < 0.7 * t->losses[0], "%s: the loss falls from %.3g to %.3g", what,
       t->losses[0], t->losses[t->epochs - 1]);
    double percent = t->report.best.held_out_percent;
    ok(isnan(percent) || percent >= 80.0, "%s: %.1f %% of the held-out samples", what, percent);
    if (!t->plain) {
        ok(tdsnn_model_is_spiking(t->model) && proves(t->model, data), "%s: proved", what);
    }
    tdsnn_model_destroy(t->model);
    t->model = NULL;
}

static void test_learning(const tdsnn_data *data) {
    tdsnn_model *model = picture_model(CLASSES, TD_OP_RELU);
    trial t = make_trial();
    t.options.epochs = 10;
    t.plain = t.from_none = true;
    check_learning("ReLU from nothing", &t, model, data);
    t.plain = false;
    check_learning("codes from nothing", &t, model, data);
    t.options.norm = TDSNN_NORM_LIVE;
    check_learning("live norms", &t, model, data);
    t.options.norm = TDSNN_NORM_AUTO;
    t.from_none = false;
    check_learning("tuned", &t, model, data);
    t.options.learn_thresholds = true;
    check_learning("thresholds learned", &t, model, data);
    t.options.optimiser = TDSNN_OPTIMISER_ADAMW;
    t.options.learning_rate = 0.01;
    t.options.sparsity = 0.01;
    check_learning("AdamW and sparse", &t, model, data);
    tdsnn_model_destroy(model);
    model = picture_model(CLASSES, TD_OP_LEAKY);
    t = make_trial();
    t.options.epochs = 10;
    check_learning("signed pairs", &t, model, data);
    tdsnn_model_destroy(model);
}

/* The paper's codes learn slowly here, where a silent neuron of the source stands for a whole
 * scale: that the loss falls at all is what is asked. */
static void test_paper(const tdsnn_data *data) {
    tdsnn_model *model = picture_model(CLASSES, TD_OP_RELU);
    trial t = make_trial();
    t.convert.offset = 1;
    t.convert.leak = 2.5;
    t.convert.rounding = TDSNN_ROUND_CEIL;
    t.convert.steps = 7;
    run_trial(&t, model, data);
    ok(t.status == TDSNN_OK && t.losses[t.epochs - 1] < t.losses[0] && proves(t.model, data),
       "the paper's codes: the loss falls from %.4g to %.4g; proved", t.losses[0],
       t.losses[t.epochs - 1]);
    tdsnn_model_destroy(t.model);
    tdsnn_model_destroy(model);
}

static void test_values(void) {
    tdsnn_data *targets = make_data(TARGETS), *flat = make_data(FLAT);
    tdsnn_model *model = picture_model(2, TD_OP_RELU);
    trial t = make_trial();
    t.options.epochs = 10;
    t.options.learning_rate = 0.01;
    t.convert.steps = 15;
    check_learning("targets", &t, model, targets);
    tdsnn_model_destroy(model);
    model = autoencoder();
    t.options.learning_rate = 0.003;
    t.from_none = t.plain = true;
    check_learning("an autoencoder", &t, model, flat);
    tdsnn_model_destroy(model);
    tdsnn_data_close(targets);
    tdsnn_data_close(flat);
}

/* ---- The same bits. */

static uint64_t hash_trial(trial *t, const tdsnn_model *model, const tdsnn_data *data) {
    run_trial(t, model, data);
    if (t->status != TDSNN_OK) {
        printf("# status %d, %s\n", t->status, tdsnn_last_error(ctx));
        return 0;
    }
    uint64_t hash = hash_model(t->model);
    tdsnn_model_destroy(t->model);
    t->model = NULL;
    return hash;
}

static void test_threads(const tdsnn_data *data) {
    tdsnn_model *model = picture_model(CLASSES, TD_OP_RELU);
    trial t = make_trial();
    uint64_t hashes[3];
    t.options.epochs = 2;
    t.options.batch = 128; /* four shards */
    t.options.norm = TDSNN_NORM_LIVE;
    t.options.shift = 1;
    t.options.mixup = true;
    t.options.distill = 0.5;
    for (int threads = 1; threads <= 3; threads++) {
        tdsnn_set_threads(ctx, threads);
        hashes[threads - 1] = hash_trial(&t, model, data);
    }
    tdsnn_set_threads(ctx, 1);
    ok(hashes[0] != 0 && hashes[0] == hashes[1] && hashes[1] == hashes[2],
       "1, 2 and 3 threads give the same weights");
    t.options.seed = 5;
    ok(hash_trial(&t, model, data) != hashes[0], "another seed gives others");
    tdsnn_model_destroy(model);
}

/* Says stop when so many steps of the training are done. */
typedef struct stopper {
    uint64_t at;
    bool stopped;
} stopper;

static int stop_at(void *user, const char *what, uint64_t done, uint64_t total) {
    stopper *s = user;
    (void)total;
    bool now = strncmp(what, "training", 8) == 0 && done >= s->at;
    s->stopped = s->stopped || now;
    return now;
}

static void test_resumed(const tdsnn_data *data, bool from_none, tdsnn_optimiser optimiser) {
    tdsnn_model *model = picture_model(CLASSES, TD_OP_RELU);
    trial t = make_trial();
    char path[128];
    strcpy(path, scratch_path("state.npz"));
    t.options.epochs = 4;
    t.options.norm = TDSNN_NORM_LIVE;
    t.options.optimiser = optimiser;
    t.options.shift = 1;
    t.options.learn_thresholds = true;
    t.from_none = from_none;
    uint64_t whole = hash_trial(&t, model, data);
    double loss = t.report.best.held_out_loss;
    size_t wrong = 0;
    for (uint64_t at = 1; at <= 13; at += 3) { /* 4 steps an epoch */
        stopper s = {.at = at};
        t.options.checkpoint = path;
        t.options.resume = false;
        tdsnn_set_progress(ctx, stop_at, &s);
        run_trial(&t, model, data);
        wrong += t.status != TDSNN_ERR_CANCELLED || !s.stopped || (t.model != NULL) != (at >= 4);
        wrong += strstr(tdsnn_last_error(ctx), "interrupted") == NULL;
        tdsnn_model_destroy(t.model);
        t.model = NULL;
        tdsnn_set_progress(ctx, NULL, NULL);
        t.options.resume = true;
        wrong += hash_trial(&t, model, data) != whole || t.report.best.held_out_loss != loss ||
                 t.report.epochs != 4;
    }
    ok(wrong == 0 && whole != 0, "%s, optimiser %d: stopped anywhere and resumed, the same weights",
       from_none ? "from nothing" : "tuned", (int)optimiser);
    t.options.weight_decay = 0.125;
    run_trial(&t, model, data);
    ok(t.status == TDSNN_ERR_USAGE && strstr(tdsnn_last_error(ctx), "weight-decay") != NULL,
       "a training of other settings is not resumed: %s", tdsnn_last_error(ctx));
    t.options.weight_decay = 0.0;
    t.options.resume = t.options.force = false;
    run_trial(&t, model, data);
    ok(t.status == TDSNN_ERR_USAGE && strstr(tdsnn_last_error(ctx), "exists") != NULL,
       "a checkpoint is not replaced unasked");
    tdsnn_model_destroy(t.model);
    tdsnn_model_destroy(model);
}

/* ---- What goes wrong. */

static void test_diverged(void) {
    tdsnn_data *data = make_data(TARGETS);
    tdsnn_model *model = picture_model(2, TD_OP_LEAKY);
    trial t = make_trial();
    t.options.learning_rate = 1000.0;
    t.options.epochs = 30;
    t.options.norm = TDSNN_NORM_FOLDED;
    t.plain = t.from_none = true;
    run_trial(&t, model, data);
    ok(t.status == TDSNN_ERR_RUNTIME && strstr(tdsnn_last_error(ctx), "learning rate") != NULL,
       "a rate far too large ends with a reason: %s", tdsnn_last_error(ctx));
    ok((t.model != NULL) == (t.epochs > 0), "with the best of %d epochs", t.epochs);
    tdsnn_model_destroy(t.model);
    tdsnn_model_destroy(model);
    tdsnn_data_close(data);
}

static void check_refused(const char *what, trial *t, const tdsnn_model *model,
                          const tdsnn_data *data, const char *why) {
    td_error_clear(ctx);
    run_trial(t, model, data);
    ok(t->status == TDSNN_ERR_USAGE && t->model == NULL &&
           strstr(tdsnn_last_error(ctx), why) != NULL,
       "%s: %s", what, tdsnn_last_error(ctx));
    tdsnn_model_destroy(t->model);
    t->model = NULL;
}

/* A network learns another's answers, also one that has no labels and is no longer plain. */
static void test_teacher(const tdsnn_data *data) {
    tdsnn_model *model = picture_model(CLASSES, TD_OP_RELU);
    tdsnn_data *unlabelled = make_data(UNLABELLED);
    trial t = make_trial();
    t.plain = t.from_none = true;
    run_trial(&t, model, data);
    tdsnn_model *teacher = t.model;
    ok(t.status == TDSNN_OK && isnan(t.report.source_percent), "a teacher is trained");
    t = make_trial();
    t.plain = t.from_none = true;
    t.options.distill = 1.0;
    t.options.teacher = teacher;
    run_trial(&t, model, unlabelled);
    ok(t.status == TDSNN_OK && t.losses[t.epochs - 1] < 0.5 * t.losses[0],
       "taught from nothing, without labels: %g to %g off the teacher", t.losses[0],
       t.losses[t.epochs - 1]);
    tdsnn_model_destroy(t.model);
    t = make_trial();
    run_trial(&t, model, data);
    tdsnn_model *converted = t.model;
    t = make_trial();
    t.options.distill = 0.5;
    t.options.teacher = teacher;
    run_trial(&t, converted, data);
    ok(t.status == TDSNN_OK && t.report.source_percent > 80.0 && proves(t.model, data),
       "a converted network is taught by one of %.1f %%", t.report.source_percent);
    tdsnn_model_destroy(t.model);
    t.options.teacher = converted;
    check_refused("a spiking teacher", &t, model, data, "spiking");
    t.options.teacher = teacher;
    t.options.distill = 0.0;
    check_refused("a teacher of nothing", &t, model, data, "teaches nothing");
    tdsnn_model *other = picture_model(CLASSES + 1, TD_OP_RELU);
    t.options.distill = 0.5;
    t.options.teacher = other;
    check_refused("a teacher of other classes", &t, model, data, "outputs, the network");
    tdsnn_model_destroy(other);
    tdsnn_model_destroy(teacher);
    tdsnn_model_destroy(converted);
    tdsnn_model_destroy(model);
    tdsnn_data_close(unlabelled);
}

static void test_refused(const tdsnn_data *data) {
    tdsnn_model *model = picture_model(CLASSES, TD_OP_RELU);
    tdsnn_data *unlabelled = make_data(UNLABELLED);
    trial t = make_trial();
    t.options.batch = 48;
    check_refused("a batch of 48", &t, model, data, "multiple of 32");
    t = make_trial();
    t.options.holdout = SAMPLES;
    check_refused("all held out", &t, model, data, "none would be left");
    t = make_trial();
    t.options.resume = true;
    check_refused("nothing to resume", &t, model, data, "checkpoint");
    t = make_trial();
    t.options.distill = 0.5;
    t.from_none = true;
    check_refused("no teacher", &t, model, data, "distill");
    t = make_trial();
    check_refused("unlabelled samples", &t, model, unlabelled, "neither labels nor targets");
    t.options.distill = 0.5;
    run_trial(&t, model, unlabelled);
    ok(t.status == TDSNN_OK && isnan(t.report.best.held_out_percent) &&
           t.losses[t.epochs - 1] < t.losses[0],
       "but distilled: the distance to the source falls from %g to %g", t.losses[0],
       t.losses[t.epochs - 1]);
    tdsnn_model *tuned = t.model;
    t = make_trial();
    if (tuned != NULL) {
        run_trial(&t, tuned, data);
        ok(t.status == TDSNN_OK && proves(t.model, data), "what is tuned can be tuned on");
        tdsnn_model_destroy(t.model);
        t.model = NULL;
        t.options.distill = 0.5;
        check_refused("but has no teacher", &t, tuned, data, "distill");
    }
    tdsnn_model_destroy(tuned);
    tdsnn_model_destroy(model);
    tdsnn_data_close(unlabelled);
}

int main(void) {
    ctx = tdsnn_context_create();
    tdsnn_set_threads(ctx, 1);
    tdsnn_data *data = make_data(LABELLED);
    test_learning(data);
    test_paper(data);
    test_values();
    test_threads(data);
    test_resumed(data, false, TDSNN_OPTIMISER_SGD);
    test_resumed(data, true, TDSNN_OPTIMISER_ADAMW);
    test_diverged();
    test_teacher(data);
    test_refused(data);
    tdsnn_data_close(data);
    tdsnn_context_destroy(ctx);
    scratch_clean();
    return tap_end();
}
