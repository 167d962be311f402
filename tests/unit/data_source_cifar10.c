#include <zlib.h>

#include "hostile.h"
#include "tap.h"

enum { PIXELS = 3 * 32 * 32, RECORD = 1 + PIXELS, COUNT = 4 };

static unsigned char records[COUNT * RECORD];
static char spec[80];

static tdsnn_status try_open(tdsnn_context *ctx, tdsnn_split split, tdsnn_data **data) {
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    options.split = split;
    *data = NULL;
    return tdsnn_data_open(ctx, spec, &options, data);
}

/* Whether the split is refused as bad input, saying `words`. */
static bool refused(tdsnn_context *ctx, tdsnn_split split, const char *words) {
    tdsnn_data *data;
    tdsnn_status status = try_open(ctx, split, &data);
    bool right = status == TDSNN_ERR_INPUT && strstr(tdsnn_last_error(ctx), words) != NULL;
    if (!right) {
        printf("# status %d: %s\n", status, tdsnn_last_error(ctx));
    }
    tdsnn_data_close(data);
    return right;
}

static void write_gzip(const char *name, const void *bytes, size_t size) {
    gzFile file = gzopen(scratch_path(name), "wb");
    if (file == NULL || gzwrite(file, bytes, (unsigned)size) != (int)size ||
        gzclose(file) != Z_OK) {
        printf("Bail out! cannot write %s\n", name);
        exit(1);
    }
}

/* Reads a split that holds records `first` .. first + count - 1, in this order. */
static void test_contents(tdsnn_context *ctx, tdsnn_split split, size_t first, size_t count,
                          const char *what) {
    tdsnn_data *data;
    if (!ok(try_open(ctx, split, &data) == TDSNN_OK, "%s: opens", what)) {
        printf("# %s\n", tdsnn_last_error(ctx));
        return;
    }
    tdsnn_data_info info = tdsnn_data_get_info(data);
    ok(info.samples == count && info.shape[0] == 3 && info.shape[1] == 32 && info.shape[2] == 32 &&
           info.labelled && info.has_splits && info.scale == 1.0 / 255.0,
       "%s: samples, shape, labels and scale are told", what);
    int wrong = 0, label;
    for (size_t n = 0; n < count; n++) {
        static float values[PIXELS];
        const unsigned char *record = records + (first + n) * RECORD;
        wrong += tdsnn_data_read(ctx, data, n, values, &label) != TDSNN_OK || label != record[0];
        for (size_t i = 0; i < PIXELS; i++) {
            wrong += values[i] != (float)(record[1 + i] * (1.0 / 255.0));
        }
    }
    ok(wrong == 0, "%s: planes and labels are those of the records", what);
    tdsnn_data_close(data);
}

static void test_train(tdsnn_context *ctx) {
    char name[40];
    scratch_write("data_batch_1.bin", records, RECORD);
    for (int i = 2; i <= 5; i++) {
        snprintf(name, sizeof name, "data_batch_%d.bin.gz", i);
        ok(refused(ctx, TDSNN_SPLIT_TRAIN, "data_batch_"), "file %d is missing", i);
        write_gzip(name, records + (i == 2 ? RECORD : 0), i == 2 ? 2 * RECORD : RECORD);
    }
    tdsnn_data *data;
    ok(try_open(ctx, TDSNN_SPLIT_TRAIN, &data) == TDSNN_OK &&
           tdsnn_data_get_info(data).samples == 6,
       "the five files are one split, packed or not");
    tdsnn_data_close(data);
}

static void test_refusals(tdsnn_context *ctx) {
    unsigned char wrong[RECORD] = {10};
    unlink(scratch_path("test_batch.bin"));
    write_gzip("test_batch.bin.gz", wrong, sizeof wrong);
    ok(refused(ctx, TDSNN_SPLIT_TEST, "label 10"), "a label that is no class");
    write_gzip("test_batch.bin.gz", records, RECORD - 1);
    ok(refused(ctx, TDSNN_SPLIT_TEST, "whole number"), "half a record");
    static unsigned char zeros[1 << 20];
    gzFile file = gzopen(scratch_path("test_batch.bin.gz"), "wb9");
    for (int i = 0; i < 64; i++) {
        gzwrite(file, zeros, sizeof zeros);
    }
    gzclose(file);
    ok(refused(ctx, TDSNN_SPLIT_TEST, "longer than 10000"), "64 MB of zeros in 64 kB");
    unlink(scratch_path("test_batch.bin.gz"));
    mkdir(scratch_path("test_batch.bin"), 0777);
    ok(refused(ctx, TDSNN_SPLIT_TEST, "regular file"), "a folder in the place of a file");
    rmdir(scratch_path("test_batch.bin"));
}

/* The real files, where they are. */
static void test_shared(tdsnn_context *ctx) {
    const char *folder = getenv("TDSNN_SHARED_DATA");
    char path[1000];
    snprintf(path, sizeof path, "%s/cifar10", folder == NULL ? "../shared/data" : folder);
    if (access(path, R_OK) != 0) {
        ok(true, "CIFAR-10's own files # SKIP %s is not there", path);
        return;
    }
    char real[1100];
    snprintf(real, sizeof real, "cifar10:%s", path);
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    int counts[10] = {0}, label, wrong = 0;
    static float values[PIXELS];
    ok(tdsnn_data_open(ctx, real, &options, &data) == TDSNN_OK &&
           tdsnn_data_get_info(data).samples == 10000 && tdsnn_data_get_info(data).classes == 10,
       "CIFAR-10's test batch opens");
    for (size_t i = 0; data != NULL && i < 10000; i++) {
        wrong += tdsnn_data_read(ctx, data, i, values, &label) != TDSNN_OK;
        counts[label]++;
    }
    for (int i = 0; i < 10; i++) {
        wrong += counts[i] != 1000;
    }
    ok(wrong == 0, "it has 1,000 pictures of each class");
    tdsnn_data_close(data);
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    for (size_t i = 0; i < sizeof records; i++) {
        records[i] = (unsigned char)(i % RECORD == 0 ? 3 * i / RECORD : i * 37 + i / 256);
    }
    scratch_path(".");
    snprintf(spec, sizeof spec, "cifar10:%s", scratch_folder);
    ok(refused(ctx, TDSNN_SPLIT_TEST, "has neither test_batch.bin nor"), "an empty folder");
    scratch_write("test_batch.bin", records, sizeof records);
    test_contents(ctx, TDSNN_SPLIT_TEST, 0, COUNT, "plain");
    unlink(scratch_path("test_batch.bin"));
    write_gzip("test_batch.bin.gz", records + RECORD, RECORD);
    test_contents(ctx, TDSNN_SPLIT_TEST, 1, 1, "packed");
    hostile_file(ctx, "test_batch.bin.gz", spec, HOSTILE_GZIP);
    unlink(scratch_path("test_batch.bin.gz"));
    scratch_write("test_batch.bin", records, RECORD);
    hostile_file(ctx, "test_batch.bin", spec, HOSTILE_BARE);
    test_train(ctx);
    test_refusals(ctx);
    test_shared(ctx);
    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
