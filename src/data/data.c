#include "data/data.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

/* Every kind of data: a row here and a file that reads it. */
static const struct reader {
    const char *name;
    enum { NOTHING, OPTIONAL, REQUIRED } argument; /* after the colon */
    const char *usage;
    td_data_open_fn open;
} readers[] = {
    {"glyphs", NOTHING, "glyphs", td_data_open_glyphs},
    {"mnist", REQUIRED, "mnist:DIR", td_data_open_mnist},
    {"cifar10", REQUIRED, "cifar10:DIR", td_data_open_cifar10},
    {"images", REQUIRED, "images:PATH", td_data_open_images},
    {"random", OPTIONAL, "random[:N]", td_data_open_random},
    {"npy", REQUIRED, "npy:FILE", td_data_open_npy},
    {"npz", REQUIRED, "npz:FILE", td_data_open_npz},
};
#define READER_COUNT (sizeof readers / sizeof readers[0])

static const struct reader *find_reader(const char *spec, size_t length) {
    for (size_t i = 0; i < READER_COUNT; i++) {
        if (strlen(readers[i].name) == length && memcmp(readers[i].name, spec, length) == 0) {
            return &readers[i];
        }
    }
    return NULL;
}

static tdsnn_status unknown_reader(tdsnn_context *ctx, const char *spec) {
    char names[256] = "";
    for (size_t i = 0; i < READER_COUNT; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : ", ", readers[i].usage);
    }
    return td_error(ctx, TDSNN_ERR_USAGE, "no data is called '%s': give one of %s", spec, names);
}

static tdsnn_status check_options(tdsnn_context *ctx, const tdsnn_data_options *options) {
    if (options->size != sizeof *options) {
        return td_error(ctx, TDSNN_ERR_USAGE,
                        "data options: start from TDSNN_DATA_OPTIONS_INIT of this version");
    }
    if (!isfinite(options->scale) || options->scale < 0.0) {
        return td_error(ctx, TDSNN_ERR_USAGE, "a scale of %g: give a number above 0",
                        options->scale);
    }
    if (options->resize < 0 || options->crop < 0) {
        return td_error(ctx, TDSNN_ERR_USAGE, "resize to %d, crop to %d: give sizes above 0",
                        options->resize, options->crop);
    }
    return td_normalisation_check(ctx, options);
}

tdsnn_status tdsnn_data_open(tdsnn_context *ctx, const char *spec,
                             const tdsnn_data_options *options, tdsnn_data **data) {
    td_error_clear(ctx);
    tdsnn_status status = check_options(ctx, options);
    if (status != TDSNN_OK) {
        return status;
    }
    size_t length = strcspn(spec, ":");
    const struct reader *reader = find_reader(spec, length);
    if (reader == NULL) {
        return unknown_reader(ctx, spec);
    }
    const char *argument = spec[length] == '\0' ? "" : spec + length + 1;
    if (reader->argument == REQUIRED && argument[0] == '\0') {
        return td_error(ctx, TDSNN_ERR_USAGE, "%s: a path is missing: give %s", spec,
                        reader->usage);
    }
    if (reader->argument == NOTHING && spec[length] != '\0') {
        return td_error(ctx, TDSNN_ERR_USAGE, "%s: nothing can follow the name: give %s", spec,
                        reader->usage);
    }
    tdsnn_data *opened = td_alloc(ctx, 1, sizeof *opened);
    char *copy = td_alloc(ctx, strlen(spec) + 1, 1);
    if (opened == NULL || copy == NULL) {
        td_free(opened);
        td_free(copy);
        return TDSNN_ERR_RUNTIME;
    }
    opened->options = *options;
    opened->info.spec = opened->spec = strcpy(copy, spec);
    status = reader->open(ctx, argument, opened);
    if (status == TDSNN_OK) {
        status = td_normalisation_set(ctx, opened);
    }
    if (status != TDSNN_OK) {
        tdsnn_data_close(opened);
        return status;
    }
    *data = opened;
    return TDSNN_OK;
}

void tdsnn_data_close(tdsnn_data *data) {
    if (data == NULL) {
        return;
    }
    if (data->own != NULL) {
        data->close_own(data->own);
    }
    td_array_free(&data->samples);
    td_array_free(&data->labels);
    td_free(data->indices);
    td_free(data->spec);
    td_free(data);
}

tdsnn_data_info tdsnn_data_get_info(const tdsnn_data *data) {
    return data->info;
}

tdsnn_status tdsnn_data_read(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                             float *values, int *label) {
    int ignored;
    if (index >= data->info.samples) {
        return td_error(ctx, TDSNN_ERR_INPUT, "%s: has %zu samples, and no. %zu was asked for",
                        data->spec, data->info.samples, index);
    }
    return data->read(ctx, data, index, values, label == NULL ? &ignored : label);
}
