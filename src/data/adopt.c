/* Data sets that lie in memory as arrays. */
#include <limits.h>
#include <math.h>

#include "data/data.h"

static float scaled(const tdsnn_data *data, size_t element) {
    return (float)(td_array_at(&data->samples, element) * data->info.scale);
}

static tdsnn_status read_arrays(tdsnn_context *ctx, const tdsnn_data *data, size_t index,
                                float *values, int *label) {
    (void)ctx;
    size_t count = data->samples.count / data->info.samples;
    size_t channels = data->channels_last ? (size_t)data->info.shape[0] : 1;
    size_t plane = count / channels;
    for (size_t c = 0; c < channels; c++) {
        for (size_t i = 0; i < plane; i++) {
            values[c * plane + i] = scaled(data, index * count + i * channels + c);
        }
    }
    *label = data->info.labelled ? (int)td_array_at(&data->labels, index) : -1;
    return TDSNN_OK;
}

/* [N][F] is F values, [N][H][W] one channel. */
static tdsnn_status set_shape(tdsnn_context *ctx, const char *place, tdsnn_data *data) {
    const size_t *d = data->samples.dims;
    const size_t shapes[TD_ARRAY_RANK + 1][3] = {
        {0, 0, 0}, {1, 1, 1}, {d[1], 1, 1}, {1, d[1], d[2]}, {d[1], d[2], d[3]}};
    const size_t last[3] = {d[3], d[1], d[2]};
    data->channels_last = data->channels_last && data->samples.rank == 4;
    const size_t *shape = data->channels_last ? last : shapes[data->samples.rank];
    for (int i = 0; i < 3; i++) {
        if (shape[i] == 0 || shape[i] > INT_MAX) {
            return td_error(ctx, TDSNN_ERR_INPUT,
                            "%s: samples of %zux%zux%zu values cannot be used", place, shape[0],
                            shape[1], shape[2]);
        }
        data->info.shape[i] = (int)shape[i];
    }
    data->info.samples = d[0];
    return d[0] > 0 ? TDSNN_OK : td_error(ctx, TDSNN_ERR_INPUT, "%s: has no samples", place);
}

static tdsnn_status check_values(tdsnn_context *ctx, const char *place, const tdsnn_data *data) {
    if (data->samples.type == TD_UINT8 && data->info.scale < 1e36) {
        return TDSNN_OK; /* cannot be anything but finite */
    }
    for (size_t i = 0; i < data->samples.count; i++) {
        if (!isfinite(scaled(data, i))) {
            size_t values = data->samples.count / data->info.samples;
            return td_error(ctx, TDSNN_ERR_INPUT,
                            "%s: value %zu of sample %zu is %g, which is not finite as float32",
                            place, i % values, i / values,
                            td_array_at(&data->samples, i) * data->info.scale);
        }
    }
    return TDSNN_OK;
}

static tdsnn_status adopt_labels(tdsnn_context *ctx, const char *place, tdsnn_data *data) {
    const td_array *labels = &data->labels;
    if (labels->type == TD_FLOAT32 || labels->type == TD_FLOAT64) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "%s: labels are fractions: save them as uint8, int32 or int64", place);
    }
    if (labels->rank != 1 || labels->dims[0] != data->info.samples) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "%s: %zu samples, but labels for %zu: they do not "
                        "belong together",
                        place, data->info.samples, labels->rank == 1 ? labels->dims[0] : (size_t)0);
    }
    for (size_t i = 0; i < labels->count; i++) {
        double label = td_array_at(labels, i);
        if (label < 0 || label >= TD_MAX_CLASSES) {
            return td_error(ctx, TDSNN_ERR_INPUT,
                            "%s: label %zu is %.0f: labels are classes, counted from 0", place, i,
                            label);
        }
        data->info.classes = (int)label >= data->info.classes ? (int)label + 1 : data->info.classes;
    }
    data->info.labelled = true;
    return TDSNN_OK;
}

tdsnn_status td_data_adopt(tdsnn_context *ctx, const char *place, double scale, tdsnn_data *data) {
    data->info.scale = data->options.scale != 0.0 ? data->options.scale : scale;
    data->read = read_arrays;
    tdsnn_status status = set_shape(ctx, place, data);
    if (status == TDSNN_OK) {
        status = check_values(ctx, place, data);
    }
    if (status == TDSNN_OK && data->labels.rank > 0) {
        status = adopt_labels(ctx, place, data);
    }
    return status;
}
