/* The n-th allocation fails, for every n, in all that is done with a small branching network: each
 * call says so and leaves nothing behind, neither memory nor files. */
#include <tdsnn/convert.h>
#include <tdsnn/eval.h>
#include <tdsnn/run.h>
#include <tdsnn/train.h>
#include <tdsnn/verify.h>

#include <stdatomic.h>

#include "base/memory.h"
#include "graph/graph.h"
#include "onnx/onnx.h"
#include "pillow_golden.h"
#include "scratch.h"
#include "tap.h"
#include "train/architectures.h"
#include "train/checkpoint.h"
#include "train/feed.h"

/* ---- The linker sends the libraries' calls here (meson.build). Those of shared libraries are not
 * seen. */

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
char *__real_realpath(const char *path, char *resolved);
void __real_free(void *memory);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
char *__wrap_realpath(const char *path, char *resolved);
void __wrap_free(void *memory);

static atomic_long live;      /* allocations that are not freed */
static atomic_long calls;     /* of functions that allocate or free */
static atomic_long countdown; /* to the one that fails; 0 and below: none does */
static bool and_all_after;    /* as where memory has really run out */
static atomic_bool failed;

static bool fails(void) {
    atomic_fetch_add(&calls, 1);
    long left = atomic_fetch_sub(&countdown, 1);
    bool now = left == 1 || (and_all_after && left <= 0 && atomic_load(&failed));
    if (now) {
        atomic_store(&failed, true);
    }
    return now;
}

static void *count_live(void *memory) {
    atomic_fetch_add(&live, memory != NULL);
    return memory;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : count_live(__real_aligned_alloc(alignment, size));
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : count_live(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : count_live(__real_calloc(count, size));
}

char *__wrap_strdup(const char *text) {
    return fails() ? NULL : count_live(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t size) {
    return fails() ? NULL : count_live(__real_strndup(text, size));
}

char *__wrap_realpath(const char *path, char *resolved) {
    return count_live(
        __real_realpath(path, resolved)); /* its other failures are tested elsewhere */
}

void __wrap_free(void *memory) {
    atomic_fetch_add(&calls, 1);
    atomic_fetch_sub(&live, memory != NULL);
    __real_free(memory);
}

/* ---- The network and its data. */

enum { SIDE = 6, CHANNELS = 4, SAMPLES = 3 };

static int append(td_graph *graph, td_op op, const char *name, td_shape shape, int first,
                  int second) {
    int inputs[] = {first, second};
    td_node node = {.op = op, .name = name, .shape = shape, .inputs = inputs};
    node.input_count = op == TD_OP_INPUT ? 0 : second >= 0 ? 2 : 1;
    if (op == TD_OP_CONV || op == TD_OP_INNER) {
        td_axis same = {.kernel = 3, .stride = 1, .dilation = 1, .pad_begin = 1, .pad_end = 1};
        bool conv = op == TD_OP_CONV;
        size_t in = td_shape_count(graph->nodes[first].shape);
        size_t count =
            conv ? (size_t)shape.c * (size_t)graph->nodes[first].shape.c * 9 : (size_t)shape.c * in;
        float *weights = td_arena_alloc(graph->arena, count, sizeof *weights);
        for (size_t i = 0; i < count; i++) {
            weights[i] = (float)((int)(i * 31 % 17) - 7) / (float)(conv ? 40 : 100);
        }
        node.weights = weights;
        node.bias = td_arena_alloc(graph->arena, (size_t)shape.c, sizeof *node.bias);
        node.groups = 1;
        node.window = (td_window){same, same};
    } else if (op == TD_OP_MAXPOOL) {
        node.window.y = node.window.x = (td_axis){.kernel = 2, .stride = 2, .dilation = 1};
    }
    return td_graph_append(NULL, graph, &node);
}

/* Two branches that meet in a sum, a pool, and an inner product. */
static void write_network(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    td_graph *g = td_graph_create(ctx);
    td_shape full = {CHANNELS, SIDE, SIDE, false}, half = {CHANNELS, SIDE / 2, SIDE / 2, false};
    td_shape flat = {CHANNELS * SIDE * SIDE / 4, 1, 1, true}, classes = {5, 1, 1, true};
    g->input_name = "x";
    g->output_name = "y";
    g->batch_symbol = "N";
    int x = append(g, TD_OP_INPUT, "x", (td_shape){3, SIDE, SIDE, false}, -1, -1);
    int stem = append(g, TD_OP_RELU, "r0", full, append(g, TD_OP_CONV, "c0", full, x, -1), -1);
    int left = append(g, TD_OP_CONV, "c1", full, stem, -1);
    int sum = append(g, TD_OP_RELU, "r1", full, append(g, TD_OP_ADD, "a", full, left, stem), -1);
    int pool = append(g, TD_OP_MAXPOOL, "p", half, sum, -1);
    append(g, TD_OP_INNER, "fc", classes, append(g, TD_OP_FLATTEN, "f", flat, pool, -1), -1);
    if (td_onnx_write(ctx, g, scratch_path("plain.onnx"), true) != TDSNN_OK) {
        printf("Bail out! %s\n", tdsnn_last_error(ctx));
        exit(1);
    }
    td_graph_destroy(g);
    tdsnn_context_destroy(ctx);
}

/* ---- What is done with it. Each gives OK or the first failure, and frees all it made. */

static tdsnn_status open_data(tdsnn_context *ctx, const char *spec, tdsnn_data **data) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    options.shape[0] = 3;
    options.shape[1] = options.shape[2] = SIDE;
    options.resize = options.crop = SIDE;
    return tdsnn_data_open(ctx, spec, &options, data);
}

static tdsnn_status load(tdsnn_context *ctx) {
    tdsnn_model *model = NULL;
    tdsnn_status status = tdsnn_model_load(ctx, scratch_path("plain.onnx"), &model);
    tdsnn_model_destroy(model);
    return status;
}

static tdsnn_status convert_with(tdsnn_context *ctx, double leak, bool equalise) {
    tdsnn_model *source = NULL, *converted = NULL;
    tdsnn_convert_report *report = NULL;
    tdsnn_data *data = NULL;
    tdsnn_convert_options options = TDSNN_CONVERT_OPTIONS_INIT;
    options.steps = 7;
    options.calibration_samples = SAMPLES;
    options.leak = leak;
    options.equalise = equalise;
    options.correct_biases = true;
    tdsnn_status status = tdsnn_model_load(ctx, scratch_path("plain.onnx"), &source);
    if (status == TDSNN_OK) {
        status = open_data(ctx, "random:3", &data);
    }
    if (status == TDSNN_OK) {
        status = tdsnn_convert(ctx, source, data, &options, &converted, &report);
    }
    if (status == TDSNN_OK) {
        status = tdsnn_model_save(ctx, converted, scratch_path("snn.onnx"), true);
    }
    tdsnn_convert_report_free(report);
    tdsnn_model_destroy(converted);
    tdsnn_model_destroy(source);
    tdsnn_data_close(data);
    return status;
}

static tdsnn_status convert(tdsnn_context *ctx) {
    return convert_with(ctx, 0.0, false);
}

static tdsnn_status convert_searching(tdsnn_context *ctx) {
    return convert_with(ctx, TDSNN_LEAK_AUTO, true);
}

/* An epoch of two steps, guided by the network itself. */
static tdsnn_status tune(tdsnn_context *ctx) {
    tdsnn_model *source = NULL, *trained = NULL;
    tdsnn_data *data = NULL;
    tdsnn_convert_options convert_options = TDSNN_CONVERT_OPTIONS_INIT;
    tdsnn_train_options options = TDSNN_TRAIN_OPTIONS_INIT;
    convert_options.steps = 3;
    convert_options.calibration_samples = SAMPLES;
    options.epochs = 1;
    options.batch = 2;
    options.holdout = 2;
    options.distill = 1.0;
    options.norm = TDSNN_NORM_LIVE;
    tdsnn_status status = tdsnn_model_load(ctx, scratch_path("plain.onnx"), &source);
    if (status == TDSNN_OK) {
        status = open_data(ctx, "random:6", &data);
    }
    if (status == TDSNN_OK) {
        status = tdsnn_tune(ctx, source, data, &convert_options, &options, &trained, NULL);
    }
    tdsnn_model_destroy(trained);
    tdsnn_model_destroy(source);
    tdsnn_data_close(data);
    return status;
}

/* The converted network, on data. */
static tdsnn_status use(tdsnn_context *ctx, const char *spec, bool verify) {
    tdsnn_model *model = NULL, *source = NULL;
    tdsnn_data *data = NULL;
    char logits[128], spikes[128], predictions[128];
    tdsnn_eval_options options = TDSNN_EVAL_OPTIONS_INIT;
    tdsnn_verify_options verify_options = TDSNN_VERIFY_OPTIONS_INIT;
    tdsnn_eval_result *result = NULL;
    tdsnn_verify_result *proof = NULL;
    tdsnn_status status = tdsnn_model_load(ctx, scratch_path("snn.onnx"), &model);
    if (status == TDSNN_OK) {
        status = tdsnn_model_load(ctx, scratch_path("plain.onnx"), &source);
    }
    if (status == TDSNN_OK) {
        status = open_data(ctx, spec, &data);
    }
    options.against = source;
    options.logits = strcpy(logits, scratch_path("logits.npy"));
    options.spikes = strcpy(spikes, scratch_path("spikes.npz"));
    options.predictions = strcpy(predictions, scratch_path("predictions.txt"));
    options.force = true;
    if (status == TDSNN_OK && verify) {
        status = tdsnn_verify(ctx, model, data, &verify_options, &proof);
    } else if (status == TDSNN_OK) {
        status = tdsnn_eval(ctx, model, data, &options, &result);
    }
    tdsnn_eval_result_free(result);
    tdsnn_verify_result_free(proof);
    tdsnn_data_close(data);
    tdsnn_model_destroy(source);
    tdsnn_model_destroy(model);
    return status;
}

static tdsnn_status eval(tdsnn_context *ctx) {
    return use(ctx, "random:3", false);
}

static tdsnn_status verify(tdsnn_context *ctx) {
    return use(ctx, "random:2", true);
}

static tdsnn_status eval_pictures(tdsnn_context *ctx) {
    char spec[128];
    snprintf(spec, sizeof spec, "images:%s", scratch_path("pictures"));
    return use(ctx, spec, false);
}

/* Batches of pictures, moved and mirrored. */
static tdsnn_status feed(tdsnn_context *ctx) {
    tdsnn_data *data = NULL;
    td_feed *made = NULL;
    const td_batch *batch;
    tdsnn_status status = open_data(ctx, "random:3", &data);
    if (status == TDSNN_OK) {
        td_feed_options options = {.data = data, .batch = 2};
        options.augmentation = (td_augmentation){.flip = true, .shift = 1};
        status = td_feed_create(ctx, &options, 3, &made);
    }
    for (int i = 0; status == TDSNN_OK && i < 6; i++) {
        status = td_feed_next(made, ctx, &batch);
    }
    td_feed_destroy(made);
    tdsnn_data_close(data);
    return status;
}

/* Saved and loaded. */
static tdsnn_status checkpoint(tdsnn_context *ctx) {
    float values[3] = {1.0f, 2.0f, 3.0f};
    td_state_array array = {"w", values, 3};
    td_state_number number = {"step", 0.1};
    td_state state = {"lr=1", &array, 1, &number, 1};
    char path[128];
    strcpy(path, scratch_path("checkpoint.npz"));
    tdsnn_status status = td_checkpoint_save(ctx, path, &state);
    return status == TDSNN_OK ? td_checkpoint_load(ctx, path, &state) : status;
}

static tdsnn_status architecture(tdsnn_context *ctx) {
    td_graph *graph = NULL;
    tdsnn_status status =
        td_architecture_build(ctx, "lenet", (td_shape){1, 16, 16, false}, 2, 1, &graph);
    td_graph_destroy(graph);
    return status;
}

/* A session on the network, and what 100 runs of it allocate or free. */
static tdsnn_status run_session(tdsnn_context *ctx, const tdsnn_network *network,
                                tdsnn_spread spread, const float *samples, long *allocations) {
    tdsnn_session_options options = TDSNN_SESSION_OPTIONS_INIT;
    tdsnn_session *session = NULL;
    float logits[SAMPLES * 5];
    options.threads = tdsnn_threads(ctx);
    options.spread = spread;
    options.keep_times = true;
    tdsnn_status status = tdsnn_session_create(ctx, network, &options, &session);
    if (status != TDSNN_OK) {
        return status;
    }
    long before = calls;
    for (int i = 0; i < 100; i++) {
        tdsnn_session_run(session, samples, logits);
        tdsnn_session_run_batch(session, samples, SAMPLES, logits);
        (void)tdsnn_session_times(session, 0);
        (void)tdsnn_session_spikes(session, 0);
    }
    *allocations += calls - before;
    tdsnn_session_destroy(session);
    return TDSNN_OK;
}

static long allocations_of_runs;

/* What an embedder does. */
static tdsnn_status embed(tdsnn_context *ctx) {
    float samples[SAMPLES * 3 * SIDE * SIDE];
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        samples[i] = (float)(i * 37 % 101) / 100.0f;
    }
    tdsnn_network_options options = TDSNN_NETWORK_OPTIONS_INIT;
    tdsnn_model *model = NULL;
    tdsnn_network *network = NULL;
    options.samples = samples;
    options.sample_count = SAMPLES;
    tdsnn_status status = tdsnn_model_load(ctx, scratch_path("snn.onnx"), &model);
    if (status == TDSNN_OK) {
        status = tdsnn_network_create(ctx, model, &options, &network);
    }
    for (int spread = 0; spread < 2 && status == TDSNN_OK; spread++) {
        status = run_session(ctx, network, (tdsnn_spread)spread, samples, &allocations_of_runs);
    }
    tdsnn_network_destroy(network);
    tdsnn_model_destroy(model);
    return status;
}

/* ---- Every n. */

#define MOST 20000

/* Whether the job ended well under these conditions; counts what did not. */
static size_t run(tdsnn_status (*job)(tdsnn_context *), int threads, long n, bool *done) {
    long before = live;
    int files = scratch_count();
    failed = false;
    tdsnn_context *ctx = tdsnn_context_create();
    tdsnn_set_threads(ctx, threads);
    atomic_store(&countdown, n);
    tdsnn_status status = job(ctx);
    atomic_store(&countdown, 0);
    size_t wrong = 0;
    *done = !failed;
    failed = false; /* and_all_after: until here */
    if (status != TDSNN_OK) {
        wrong += *done || strlen(tdsnn_last_error(ctx)) < 10;
        wrong += status != TDSNN_ERR_RUNTIME;
        wrong += scratch_count() != files;
    }
    if (wrong > 0) {
        printf("# allocation %ld: status %d, %s\n", n, status, tdsnn_last_error(ctx));
    }
    tdsnn_context_destroy(ctx);
    if (live != before) {
        printf("# allocation %ld: %ld left\n", n, live - before);
        wrong++;
    }
    return wrong;
}

/* Jobs that take long have every fourth of their allocations fail; sanitizers take five times as
 * long again. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LONG_STEP 13
#else
#define LONG_STEP 4
#endif

/* Every step-th allocation. */
static void test_each(const char *what, tdsnn_status (*job)(tdsnn_context *), int threads,
                      int step) {
    for (int kind = 0; kind < 2; kind++) {
        size_t wrong = 0;
        long n = 1 - step;
        bool done = false;
        and_all_after = kind == 1;
        while (!done && n < MOST) {
            n += step;
            wrong += run(job, threads, n, &done);
        }
        ok(wrong == 0 && done, "%s, threads: %d: of %ld allocations each fails, in steps of %d%s",
           what, threads, n - 1, step, and_all_after ? ", and all after it" : "");
        fflush(stdout);
    }
}

static void test(const char *what, tdsnn_status (*job)(tdsnn_context *), int threads) {
    test_each(what, job, threads, 1);
}

int main(void) {
    write_network();
    mkdir(scratch_path("pictures"), 0777);
    scratch_write("pictures/a.jpg", golden_jpeg, sizeof golden_jpeg);
    scratch_write("pictures/b.png", golden_png, sizeof golden_png);
    scratch_write("pictures/val.txt", "a.jpg 1\nb.png 0\na.jpg 3\nb.png 2\n", 32);
    test("load", load, 1);
    test("architecture", architecture, 1);
    test("feed", feed, 1);
    scratch_write("checkpoint.npz", "", 0); /* it is replaced, so that files stay as many */
    test("checkpoint", checkpoint, 1);
    test_each("convert", convert, 1, LONG_STEP);
    test_each("convert, channels equalised, leak searched", convert_searching, 1, 5 * LONG_STEP);
    test_each("eval", eval, 1, LONG_STEP);
    test_each("tune", tune, 1, 3 * LONG_STEP);
    test_each("tune", tune, 2, 6 * LONG_STEP);
    test_each("verify", verify, 1, LONG_STEP);
    test_each("eval of pictures", eval_pictures, 1, LONG_STEP);
    test_each("convert", convert, 2, 2 * LONG_STEP);
    test_each("eval", eval, 2, 2 * LONG_STEP);
    test("load, compile, create sessions, run", embed, 1);
    test("load, compile, create sessions, run", embed, 2);
    ok(allocations_of_runs == 0, "runs and batches allocate and free nothing: %ld calls",
       allocations_of_runs);
    const char *const files[] = {"a.jpg", "b.png", "val.txt"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "pictures/%s", files[i]);
        unlink(scratch_path(name));
    }
    rmdir(scratch_path("pictures"));
    scratch_clean();
    return tap_end();
}
