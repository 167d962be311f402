/* Data sets that lie in memory as arrays. */
#include <limits.h>
#include <math.h>

#include "base/memory.h"
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

/* A way to see an array as samples: which of its dimensions counts them and is which of theirs; a
 * sample without it has 1. */
typedef struct view {
    int rank;
    enum { EITHER, FIRST, LAST } channels;
    int samples, c, h, w; /* ONE: there is no such dimension */
} view;

#define ONE (-1)

/* Of equal rank and layout the first is taken, unless another one is what the network wants. */
static const view views[] = {
    {1, EITHER, 0, ONE, ONE, ONE}, /* [N]: one value each */
    {1, EITHER, ONE, 0, ONE, ONE}, /* [F]: one flat sample */
    {2, EITHER, 0, 1, ONE, ONE},   /* [N][F] */
    {2, EITHER, ONE, ONE, 0, 1},   /* [H][W]: one sample */
    {3, EITHER, 0, ONE, 1, 2},     /* [N][H][W] */
    {3, FIRST, 0, 1, ONE, 2},      /* [N][C][L] */
    {3, FIRST, ONE, 0, 1, 2},      /* [C][H][W]: one sample */
    {3, LAST, 0, 2, ONE, 1},       /* [N][L][C] */
    {3, LAST, ONE, 2, 0, 1},       /* [H][W][C]: one sample */
    {4, FIRST, 0, 1, 2, 3},        {4, LAST, 0, 3, 1, 2},
};

static size_t dim_of(const td_array *array, int dim) {
    return dim == ONE ? 1 : array->dims[dim];
}

static void shape_of(const td_array *array, const view *v, size_t shape[3]) {
    shape[0] = dim_of(array, v->c);
    shape[1] = dim_of(array, v->h);
    shape[2] = dim_of(array, v->w);
}

/* Whether samples of that shape are what the network wants; flat ones may have any shape with as
 * many values, and are then of the network's. */
static bool is_wanted(const size_t shape[3], const int wanted[3]) {
    size_t count = 1;
    bool equal = true;
    for (int i = 0; i < 3; i++) {
        equal = equal && wanted[i] > 0 && shape[i] == (size_t)wanted[i];
        if (wanted[i] <= 0 || !td_size_mul(count, (size_t)wanted[i], &count)) {
            return false;
        }
    }
    return equal || (shape[1] == 1 && shape[2] == 1 && shape[0] == count);
}

static const view *choose_view(const tdsnn_data *data, bool *wanted) {
    const view *chosen = NULL;
    *wanted = false;
    for (size_t i = 0; i < sizeof views / sizeof views[0] && !*wanted; i++) {
        const view *v = &views[i];
        if (v->rank == data->samples.rank &&
            (v->channels == EITHER || (v->channels == LAST) == data->channels_last)) {
            size_t shape[3];
            shape_of(&data->samples, v, shape);
            *wanted = is_wanted(shape, data->options.shape);
            chosen = chosen == NULL || *wanted ? v : chosen;
        }
    }
    return chosen;
}

static tdsnn_status set_shape(tdsnn_context *ctx, const char *place, tdsnn_data *data) {
    bool wanted;
    size_t shape[3];
    const view *v = choose_view(data, &wanted);
    shape_of(&data->samples, v, shape);
    for (int i = 0; i < 3; i++) {
        if (shape[i] == 0 || shape[i] > INT_MAX) {
            return td_error(ctx, TDSNN_ERR_INPUT,
                            "%s: samples of %zux%zux%zu values cannot be used", place, shape[0],
                            shape[1], shape[2]);
        }
        data->info.shape[i] = wanted ? data->options.shape[i] : (int)shape[i];
    }
    data->channels_last = v->channels == LAST;
    data->info.samples = dim_of(&data->samples, v->samples);
    return data->info.samples > 0 ? TDSNN_OK
                                  : td_error(ctx, TDSNN_ERR_INPUT, "%s: has no samples", place);
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

/* A y of floats is no label: what the outputs should be. */
static tdsnn_status adopt_targets(tdsnn_context *ctx, const char *place, tdsnn_data *data) {
    const td_array *targets = &data->labels;
    if (targets->dims[0] != data->info.samples || targets->count == 0) {
        return td_error(ctx, TDSNN_ERR_INPUT,
                        "%s: %zu samples, but targets (y) for %zu: they do not belong together",
                        place, data->info.samples, targets->count == 0 ? 0 : targets->dims[0]);
    }
    for (size_t i = 0; i < targets->count; i++) {
        if (!isfinite((float)td_array_at(targets, i))) {
            return td_error(ctx, TDSNN_ERR_INPUT,
                            "%s: value %zu of y is %g, which is not finite as float32", place, i,
                            td_array_at(targets, i));
        }
    }
    data->info.targets = targets->count / data->info.samples;
    return TDSNN_OK;
}

void tdsnn_data_read_targets(const tdsnn_data *data, size_t index, float *targets) {
    if (data->whole != NULL) {
        tdsnn_data_read_targets(data->whole, data->indices[index], targets);
        return;
    }
    for (size_t i = 0; i < data->info.targets; i++) {
        targets[i] = (float)td_array_at(&data->labels, index * data->info.targets + i);
    }
}

static tdsnn_status adopt_labels(tdsnn_context *ctx, const char *place, tdsnn_data *data) {
    const td_array *labels = &data->labels;
    if (labels->type == TD_FLOAT32 || labels->type == TD_FLOAT64) {
        return adopt_targets(ctx, place, data);
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
