#include "data/array_writer.h"

#include <signal.h>
#include <sys/resource.h>

#include <tdsnn/data.h>

#include "scratch.h"
#include "tap.h"

static tdsnn_data *open_data(tdsnn_context *ctx, const char *kind, const char *name) {
    char spec[160];
    tdsnn_data_options options = TDSNN_DATA_OPTIONS_INIT;
    tdsnn_data *data = NULL;
    snprintf(spec, sizeof spec, "%s:%s", kind, scratch_path(name));
    if (tdsnn_data_open(ctx, spec, &options, &data) != TDSNN_OK) {
        printf("# %s\n", tdsnn_last_error(ctx));
    }
    return data;
}

static void test_npy(tdsnn_context *ctx) {
    const td_array_spec spec = {.type = TD_ARRAY_FLOAT32, .rank = 1, .dims = {10}};
    td_array_writer *writer;
    float sample[10], back[10];
    ok(td_npy_create(ctx, scratch_path("a.npy"), false, &spec, &writer) == TDSNN_OK,
       "a .npy opens");
    bool right = true;
    for (int n = 0; n < 1000; n++) {
        for (int i = 0; i < 10; i++) {
            sample[i] = (float)(n * 10 + i) / 16.0f;
        }
        right = right && td_array_append(writer, 0, sample) == TDSNN_OK;
    }
    ok(right && access(scratch_path("a.npy"), F_OK) != 0, "nothing is seen before the commit");
    ok(td_array_commit(writer) == TDSNN_OK && scratch_count() == 1, "one file after it");
    tdsnn_data *data = open_data(ctx, "npy", "a.npy");
    right = data != NULL && tdsnn_data_get_info(data).samples == 1000 &&
            tdsnn_data_get_info(data).shape[0] == 10 &&
            tdsnn_data_read(ctx, data, 999, back, NULL) == TDSNN_OK &&
            memcmp(sample, back, sizeof back) == 0;
    ok(right, "it reads back");
    tdsnn_data_close(data);
    ok(td_npy_create(ctx, scratch_path("a.npy"), false, &spec, &writer) == TDSNN_ERR_USAGE &&
           scratch_count() == 1,
       "it is not replaced");
    ok(td_npy_create(ctx, scratch_path("a.npy"), true, &spec, &writer) == TDSNN_OK &&
           td_array_commit(writer) == TDSNN_OK,
       "but by force it is");
    ok(td_npy_create(ctx, scratch_path("a.npy"), true, &spec, &writer) == TDSNN_OK, "again");
    td_array_append(writer, 0, sample);
    td_array_discard(writer);
    ok(scratch_count() == 1, "a discarded one leaves nothing");
    unlink(scratch_path("a.npy"));
}

static void write_spikes(tdsnn_context *ctx, const td_array_spec *specs, int count) {
    td_array_writer *writer;
    if (!ok(td_npz_create(ctx, scratch_path("a.npz"), true, specs, count, &writer) == TDSNN_OK,
            "an .npz of %d arrays opens", count)) {
        printf("# %s\n", tdsnn_last_error(ctx));
        return;
    }
    bool right = scratch_count() <= 2; /* a former a.npz, and the new one's temporary name */
    for (int n = 0; n < 7; n++) {
        for (int i = 0; i < count; i++) {
            unsigned char sample[24];
            memset(sample, n + i, sizeof sample);
            right = right && td_array_append(writer, i, sample) == TDSNN_OK;
        }
    }
    ok(right, "samples of several arrays, one after the other; no other file is seen");
    ok(td_array_commit(writer) == TDSNN_OK && scratch_count() == 1, "one file at the end");
}

static void test_npz(tdsnn_context *ctx) {
    const td_array_spec specs[] = {
        {.name = "x", .type = TD_ARRAY_UINT8, .rank = 3, .dims = {2, 3, 4}},
        {.name = "/conv1/Relu:0", .type = TD_ARRAY_UINT8, .rank = 1, .dims = {24}},
        {.name = "/conv1/Relu 0", .type = TD_ARRAY_UINT8, .rank = 1, .dims = {24}},
        {.name = "", .type = TD_ARRAY_FLOAT32, .rank = 2, .dims = {2, 3}}};
    static unsigned char first[4096], second[4096];
    write_spikes(ctx, specs, 4);
    size_t size = scratch_read("a.npz", first, sizeof first);
    write_spikes(ctx, specs, 4);
    ok(size > 0 && size == scratch_read("a.npz", second, sizeof second) &&
           memcmp(first, second, size) == 0,
       "equal arrays are equal files");
    ok(memmem(first, size, "_conv1_Relu_0.npy", 17) != NULL &&
           memmem(first, size, "_conv1_Relu_0-2.npy", 19) != NULL &&
           memmem(first, size, "_.npy", 5) != NULL,
       "keys are plain and unique");
    tdsnn_data *data = open_data(ctx, "npz", "a.npz");
    float values[24] = {0};
    ok(data != NULL && tdsnn_data_get_info(data).samples == 7 &&
           tdsnn_data_get_info(data).shape[1] == 3 &&
           tdsnn_data_read(ctx, data, 6, values, NULL) == TDSNN_OK && values[0] == 6.0f &&
           values[23] == 6.0f,
       "x reads back");
    tdsnn_data_close(data);
    unlink(scratch_path("a.npz"));
}

/* A disk that is full, as a limit on the size of files. */
static void test_full(tdsnn_context *ctx) {
    const td_array_spec spec = {.name = "x", .type = TD_ARRAY_UINT8, .rank = 1, .dims = {100000}};
    static unsigned char noise[100000];
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    for (int archive = 0; archive < 2; archive++) {
        const char *path = scratch_path("full");
        td_array_writer *writer;
        td_error_clear(ctx);
        tdsnn_status status = archive ? td_npz_create(ctx, path, false, &spec, 1, &writer)
                                      : td_npy_create(ctx, path, false, &spec, &writer);
        struct rlimit small = {150000, limit.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
        for (int n = 0; status == TDSNN_OK && n < 10; n++) {
            for (size_t i = 0; i < sizeof noise; i++) {
                noise[i] = (unsigned char)((i * 2654435761u) >> 7 ^ i >> 3);
            }
            status = td_array_append(writer, 0, noise);
        }
        if (status == TDSNN_OK) {
            status = td_array_commit(writer);
        } else {
            td_array_discard(writer);
        }
        setrlimit(RLIMIT_FSIZE, &limit);
        ok(status == TDSNN_ERR_RUNTIME && scratch_count() == 0 &&
               strstr(tdsnn_last_error(ctx), "cannot be written") != NULL,
           "%s on a full disk: an error, and nothing is left", archive ? ".npz" : ".npy");
    }
    td_array_writer *writer;
    ok(td_npz_create(ctx, "/nowhere/at/all.npz", false, &spec, 1, &writer) == TDSNN_ERR_RUNTIME,
       "a folder that is not there");
}

int main(void) {
    tdsnn_context *ctx = tdsnn_context_create();
    scratch_path(".");
    test_npy(ctx);
    test_npz(ctx);
    test_full(ctx);
    scratch_clean();
    tdsnn_context_destroy(ctx);
    return tap_end();
}
