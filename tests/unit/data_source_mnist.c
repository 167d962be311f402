#include <zlib.h>

#include "hostile.h"
#include "tap.h"

enum { COUNT = 5, SIDE = 4, HEADER = 16, PIXELS = COUNT * SIDE * SIDE };

static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, COUNT, 3, 1, 4, 1, 5};
static unsigned char pictures[HEADER + PIXELS] = {0, 0, 8, 3,    0, 0, 0, COUNT,
                                                  0, 0, 0, SIDE, 0, 0, 0, SIDE};

static char spec[80];

static void write_gzip(const char *name, const void *bytes, size_t size) {
    gzFile file = gzopen(scratch_path(name), "wb");
    if (file == NULL || gzwrite(file, bytes, (unsigned)size) != (int)size ||
        gzclose(file) != Z_OK) {
        printf("Bail out! cannot write %s\n", name);
        exit(1);
    }
}

static tdsnn_status try_open(tdsnn_context *ctx, tdsnn_split split) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    options.split = split;
    tdsnn_status status = tdsnn_data_open(ctx, spec, &options, &data);
    tdsnn_data_close(data);
    return status;
}

static bool says(tdsnn_context *ctx, const char *words) {
    bool found = strstr(tdsnn_last_error(ctx), words) != NULL;
    if (!found) {
        printf("# it said: %s\n", tdsnn_last_error(ctx));
    }
    return found;
}

static void test_contents(tdsnn_context *ctx) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    if (!ok(tdsnn_data_open(ctx, spec, &options, &data) == TDSNN_OK, "plain files open")) {
        printf("# %s\n", tdsnn_last_error(ctx));
        return;
    }
    tdsnn_data_info info = tdsnn_data_get_info(data);
    ok(info.samples == COUNT && info.shape[0] == 1 && info.shape[1] == SIDE &&
           info.shape[2] == SIDE && info.labelled && info.classes == 6 && info.has_splits &&
           info.scale == 1.0 / 255.0 && strcmp(info.spec, spec) == 0,
       "samples, shape, labels and scale are told");
    int wrong = 0, label;
    for (size_t n = 0; n < COUNT; n++) {
        float values[SIDE * SIDE];
        wrong +=
            tdsnn_data_read(ctx, data, n, values, &label) != TDSNN_OK || label != labels[8 + n];
        for (size_t i = 0; i < SIDE * SIDE; i++) {
            unsigned char raw = pictures[HEADER + n * SIDE * SIDE + i];
            wrong += values[i] != (float)(raw * (1.0 / 255.0));
        }
    }
    ok(wrong == 0, "pixels are scaled in double and rounded once; labels are right");
    ok(tdsnn_data_read(ctx, data, COUNT, NULL, NULL) == TDSNN_ERR_INPUT, "no sample beyond");
    tdsnn_data_close(data);
}

/* 64 MB of zeros pack into 64 kB; the header promises 80 bytes. */
static void test_bomb(tdsnn_context *ctx) {
    static unsigned char zeros[1 << 20];
    memcpy(zeros, pictures, HEADER);
    gzFile file = gzopen(scratch_path("t10k-images-idx3-ubyte.gz"), "wb9");
    for (int i = 0; i < 64; i++) {
        gzwrite(file, zeros, sizeof zeros);
    }
    gzclose(file);
    ok(try_open(ctx, TDSNN_SPLIT_TEST) == TDSNN_ERR_INPUT && says(ctx, "longer than its header"),
       "more gzip data than the header promises are not unpacked");
    memset(zeros + 4, 0xff, 4);
    write_gzip("t10k-images-idx3-ubyte.gz", zeros, HEADER);
    ok(try_open(ctx, TDSNN_SPLIT_TEST) == TDSNN_ERR_INPUT && says(ctx, "promises"),
       "a promise that the file cannot hold is refused before memory is taken");
    memset(zeros + 4, 0xff, 12);
    write_gzip("t10k-images-idx3-ubyte.gz", zeros, HEADER);
    ok(try_open(ctx, TDSNN_SPLIT_TEST) == TDSNN_ERR_INPUT && says(ctx, "promises more than"),
       "a size that overflows is refused");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    for (int i = 0; i < PIXELS; i++) {
        pictures[HEADER + i] = (unsigned char)(i * 37);
    }
    scratch_path(".");
    snprintf(spec, sizeof spec, "mnist:%s", scratch_folder);
    ok(try_open(ctx, TDSNN_SPLIT_TEST) == TDSNN_ERR_INPUT && says(ctx, "has neither"),
       "an empty folder is refused");

    scratch_write("t10k-images-idx3-ubyte", pictures, sizeof pictures);
    scratch_write("t10k-labels-idx1-ubyte", labels, sizeof labels);
    test_contents(ctx);
    ok(try_open(ctx, TDSNN_SPLIT_TRAIN) == TDSNN_ERR_INPUT && says(ctx, "train-images"),
       "the other split is not there");
    hostile_file(ctx, "t10k-images-idx3-ubyte", spec, HOSTILE_PLAIN);
    hostile_file(ctx, "t10k-labels-idx1-ubyte", spec, HOSTILE_PLAIN);

    scratch_write("t10k-labels-idx1-ubyte", labels, sizeof labels - 1);
    unsigned char fewer[sizeof labels];
    memcpy(fewer, labels, sizeof labels);
    fewer[7] = COUNT - 1;
    scratch_write("t10k-labels-idx1-ubyte", fewer, sizeof labels - 1);
    ok(try_open(ctx, TDSNN_SPLIT_TEST) == TDSNN_ERR_INPUT && says(ctx, "labels for 4"),
       "labels for another number of samples are refused");
    scratch_write("t10k-labels-idx1-ubyte", pictures, sizeof pictures);
    ok(try_open(ctx, TDSNN_SPLIT_TEST) == TDSNN_ERR_INPUT && says(ctx, "of labels"),
       "pictures in the place of labels are refused");

    unlink(scratch_path("t10k-images-idx3-ubyte"));
    unlink(scratch_path("t10k-labels-idx1-ubyte"));
    write_gzip("t10k-images-idx3-ubyte.gz", pictures, sizeof pictures);
    write_gzip("t10k-labels-idx1-ubyte.gz", labels, sizeof labels);
    test_contents(ctx);
    hostile_file(ctx, "t10k-images-idx3-ubyte.gz", spec, HOSTILE_GZIP);
    test_bomb(ctx);

    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
