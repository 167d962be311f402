#include <tdsnn/data.h>

#include <math.h>
#include <string.h>

#include "base/context.h"
#include "data/normalise.h"
#include "tap.h"

static bool refused(tdsnn_context *ctx, const char *spec, tdsnn_data_options options,
                    const char *words) {
    tdsnn_data *data = NULL;
    tdsnn_status status = tdsnn_data_open(ctx, spec, &options, &data);
    bool right =
        status == TDSNN_ERR_USAGE && data == NULL && strstr(tdsnn_last_error(ctx), words) != NULL;
    if (!right) {
        printf("# %s: status %d: %s\n", spec, status, tdsnn_last_error(ctx));
    }
    tdsnn_data_close(data);
    return right;
}

static void test_refusals(tdsnn_context *ctx) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    options.shape[0] = options.shape[1] = options.shape[2] = 2;
    ok(refused(ctx, "mnits:x", options, "random[:N]"), "an unknown name lists the known ones");
    ok(refused(ctx, "", options, "''"), "an empty name");
    ok(refused(ctx, "mnist", options, "mnist:DIR"), "a missing path");
    ok(refused(ctx, "npy:", options, "npy:FILE"), "an empty path");
    ok(refused(ctx, "glyphs:x", options, "nothing can follow"), "a path too many");
    ok(refused(ctx, "random:0", options, "random:100"), "no samples");
    ok(refused(ctx, "random:-3", options, "random:100"), "fewer");
    ok(refused(ctx, "random:99999999999999999999999", options, "random:100"), "too many");
    ok(refused(ctx, "random:1000000000", options, "random:100"),
       "more than a calibration could list in 80 MB");
    tdsnn_data_options wrong = options;
    wrong.size--;
    ok(refused(ctx, "glyphs", wrong, "TDSNN_DATA_OPTIONS_INIT"), "options of another version");
    wrong = options;
    wrong.scale = -1.0;
    ok(refused(ctx, "glyphs", wrong, "scale"), "a negative scale");
    wrong.scale = NAN;
    ok(refused(ctx, "glyphs", wrong, "scale"), "a scale that is no number");
    wrong = options;
    wrong.low = wrong.high;
    ok(refused(ctx, "random", wrong, "smaller"), "an empty range");
    wrong.low = -INFINITY;
    ok(refused(ctx, "random", wrong, "smaller"), "an infinite range");
    wrong = options;
    wrong.shape[1] = 0;
    ok(refused(ctx, "random", wrong, "2x0x2"), "random samples without a shape");
    wrong.shape[0] = wrong.shape[1] = wrong.shape[2] = 2000000000;
    ok(refused(ctx, "random", wrong, "2000000000"), "random samples of an impossible shape");
}

static void test_normalisation(tdsnn_context *ctx) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    options.shape[0] = 3;
    options.shape[1] = options.shape[2] = 2;
    options.channels_normalised = 3;
    for (int c = 0; c < 3; c++) {
        options.mean[c] = 0.1f * (float)(c + 1);
        options.std[c] = 0.5f / (float)(c + 1);
    }
    ok(tdsnn_data_open(ctx, "random:1", &options, &data) == TDSNN_OK, "normalised data opens");
    tdsnn_data_info info = tdsnn_data_get_info(data);
    ok(info.channels_normalised == 3 && info.mean[2] == options.mean[2] &&
           info.std[1] == options.std[1],
       "the normalisation is told");
    float raw[12], values[12], same[12];
    tdsnn_data_read(ctx, data, 0, raw, NULL);
    memcpy(values, raw, sizeof raw);
    memcpy(same, raw, sizeof raw);
    td_data_normalise(&info, values);
    int wrong = 0, outside = 0;
    for (int i = 0; i < 12; i++) {
        wrong += values[i] != (raw[i] - options.mean[i / 4]) / options.std[i / 4];
        outside += raw[i] < 0.0f || raw[i] >= 1.0f;
    }
    ok(wrong == 0 && outside == 0, "read as they are; (x - mean)/std a channel when asked");
    info.channels_normalised = 1;
    td_data_normalise(&info, same);
    wrong = 0;
    for (int i = 0; i < 12; i++) {
        wrong += same[i] != (raw[i] - options.mean[0]) / options.std[0];
    }
    ok(wrong == 0, "one mean for all channels");
    info.channels_normalised = 0;
    memcpy(values, raw, sizeof raw);
    td_data_normalise(&info, values);
    ok(memcmp(values, raw, sizeof raw) == 0, "no mean changes nothing");
    tdsnn_data_close(data);
    options.channels_normalised = 2;
    ok(refused(ctx, "random", options, "C = 3"), "means for other channels");
    options.channels_normalised = 5;
    ok(refused(ctx, "random", options, "at most 4"), "too many means");
    options.channels_normalised = 3;
    options.std[1] = 0.0f;
    ok(refused(ctx, "random", options, "channel 1"), "a standard deviation of 0");
    options.std[1] = 1.0f;
    options.mean[2] = NAN;
    ok(refused(ctx, "random", options, "channel 2"), "a mean that is no number");
}

typedef struct reading {
    tdsnn_context *ctx;
    const tdsnn_data *data;
    float values[64][8];
} reading;

static tdsnn_status read_one(void *arg, size_t index, int worker) {
    reading *r = arg;
    (void)worker;
    return tdsnn_data_read(r->ctx, r->data, index, r->values[index], NULL);
}

static void test_random(tdsnn_context *ctx) {
    static reading a, b;
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    options.shape[0] = options.shape[1] = options.shape[2] = 2;
    options.low = -1.0f;
    options.high = 3.0f;
    options.seed = 7;
    ok(tdsnn_data_open(ctx, "random", &options, &data) == TDSNN_OK, "random opens");
    tdsnn_data_info info = tdsnn_data_get_info(data);
    ok(info.samples == 64 && !info.labelled && !info.has_splits && info.scale == 1.0,
       "64 unlabelled samples");
    a = b = (reading){.ctx = ctx, .data = data};
    tdsnn_set_threads(ctx, 4);
    td_parallel(ctx, NULL, 64, read_one, &a);
    int label = 5;
    double sum = 0.0, low = 9.0, high = -9.0;
    for (size_t n = 64; n-- > 0;) {
        tdsnn_data_read(ctx, data, n, b.values[n], &label);
        for (int i = 0; i < 8; i++) {
            sum += (double)b.values[n][i];
            low = fmin(low, (double)b.values[n][i]);
            high = fmax(high, (double)b.values[n][i]);
        }
    }
    ok(label == -1, "no label is -1");
    ok(memcmp(a.values, b.values, sizeof a.values) == 0, "any order, any thread, the same samples");
    ok(low >= -1.0 && low < -0.9 && high < 3.0 && high > 2.9 && fabs(sum / 512 - 1.0) < 0.25,
       "uniform in [-1, 3): %g to %g, mean %g", low, high, sum / 512);
    tdsnn_data_close(data);
    options.scale = 0.5;
    tdsnn_data_open(ctx, "random", &options, &data);
    tdsnn_data_read(ctx, data, 0, b.values[0], NULL);
    ok(tdsnn_data_get_info(data).scale == 0.5 && memcmp(a.values[0], b.values[0], 32) == 0,
       "a scale is told, but the range stays");
    tdsnn_data_close(data);
    options.seed = 8;
    tdsnn_data_open(ctx, "random:3", &options, &data);
    tdsnn_data_read(ctx, data, 0, b.values[0], NULL);
    ok(tdsnn_data_get_info(data).samples == 3 && memcmp(a.values[0], b.values[0], 32) != 0,
       "another seed, other samples");
    tdsnn_data_close(data);
}

static void test_glyphs(tdsnn_context *ctx) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    ok(tdsnn_data_open(ctx, "glyphs", &options, &data) == TDSNN_OK, "glyphs open");
    tdsnn_data_info info = tdsnn_data_get_info(data);
    ok(info.samples == 10000 && info.shape[0] == 1 && info.shape[1] == 28 && info.shape[2] == 28 &&
           info.classes == 10 && info.labelled && info.has_splits,
       "10,000 test samples of ten classes");
    float test[784], train[784];
    int label = -1;
    bool in_range = true;
    tdsnn_data_read(ctx, data, 9999, test, &label);
    for (int i = 0; i < 784; i++) {
        in_range = in_range && test[i] >= 0.0f && test[i] <= 1.0f;
    }
    ok(in_range && label >= 0 && label < 10, "pixels in 0..1 and a class");
    tdsnn_data_close(data);
    options.split = TDSNN_SPLIT_TRAIN;
    tdsnn_data_open(ctx, "glyphs", &options, &data);
    tdsnn_data_read(ctx, data, 9999, train, NULL);
    ok(tdsnn_data_get_info(data).samples == 20000 && memcmp(test, train, sizeof test) != 0,
       "20,000 others to train on");
    tdsnn_data_close(data);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    test_refusals(ctx);
    test_normalisation(ctx);
    test_random(ctx);
    test_glyphs(ctx);
    tdsnn_context_destroy(ctx);
    return tap_end();
}
